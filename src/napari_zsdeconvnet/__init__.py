"""Zero-shot denoising and deconvolution of fluorescence microscopy images.

The names below are loaded on first use, so that importing the package needs neither torch
nor a display.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import sim
    from .damping import Damping
    from .errors import InputError
    from .image_files import read_image, write_image
    from .images import Image
    from .model import Model
    from .noise import NoiseModel
    from .psf import PSF
    from .training import train

__version__ = "0.1.0"

_HOMES = {
    "Damping": "damping",
    "InputError": "errors",
    "Image": "images",
    "read_image": "image_files",
    "write_image": "image_files",
    "Model": "model",
    "NoiseModel": "noise",
    "PSF": "psf",
    "train": "training",
}

__all__ = [
    "PSF",
    "Damping",
    "Image",
    "InputError",
    "Model",
    "NoiseModel",
    "read_image",
    "sim",
    "train",
    "write_image",
]


_ROOMS = {"sim"}  # subpackages


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f".{name}", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES, *_ROOMS])
