"""Zero-shot denoising and deconvolution of fluorescence microscopy images.

The names below are loaded on first use, so that importing the package needs neither torch
nor a display.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import sim
    from .camera_maps import CameraMaps
    from .damping import Damping
    from .errors import InputError
    from .image_files import read_image, write_image
    from .images import Image
    from .model import Model
    from .noise import NoiseModel
    from .psf import PSF
    from .sim_training import predict_sim, train_sim
    from .training import train

__version__ = "0.1.0"

_HOMES = {
    "CameraMaps": "camera_maps",
    "Damping": "damping",
    "InputError": "errors",
    "Image": "images",
    "read_image": "image_files",
    "write_image": "image_files",
    "Model": "model",
    "NoiseModel": "noise",
    "PSF": "psf",
    "predict_sim": "sim_training",
    "train": "training",
    "train_sim": "sim_training",
}

__all__ = [
    "PSF",
    "CameraMaps",
    "Damping",
    "Image",
    "InputError",
    "Model",
    "NoiseModel",
    "predict_sim",
    "read_image",
    "sim",
    "train",
    "train_sim",
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
