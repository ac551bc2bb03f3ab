"""Zero-shot denoising and deconvolution of fluorescence microscopy images.

The names below are loaded on first use, so that importing the package needs neither torch
nor a display.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import sim
    from .inference.predict import Result
    from .io.image import Image
    from .io.image_files import read_image, scenes_of
    from .io.image_writing import write_image, written_image
    from .model.export_files import export_model
    from .model.model import Model
    from .modes.base import Mode
    from .modes.registry import register
    from .noise.camera_maps import CameraMaps
    from .noise.noise_model import NoiseModel
    from .physics.stripe_filter import Damping
    from .psf.microscope import Microscope
    from .psf.psf import PSF
    from .quality.verdict import judge
    from .simulation.sample import simulate
    from .training.trainer import train
    from .utils.errors import InputError
    from .workflow.deprecated import predict_sim as predict_sim
    from .workflow.deprecated import train_sim as train_sim
    from .workflow.distributed import predict_to_zarr
    from .workflow.record import RunRecord
    from .workflow.run import run
    from .workflow.run_many import run_many

__version__ = "0.1.0"

_MODULE_OF = {
    "CameraMaps": "noise.camera_maps",
    "Damping": "physics.stripe_filter",
    "InputError": "utils.errors",
    "Image": "io.image",
    "export_model": "model.export_files",
    "read_image": "io.image_files",
    "scenes_of": "io.image_files",
    "write_image": "io.image_writing",
    "written_image": "io.image_writing",
    "Microscope": "psf.microscope",
    "Mode": "modes.base",
    "Model": "model.model",
    "NoiseModel": "noise.noise_model",
    "PSF": "psf.psf",
    "Result": "inference.predict",
    "RunRecord": "workflow.record",
    "judge": "quality.verdict",
    "predict_sim": "workflow.deprecated",
    "predict_to_zarr": "workflow.distributed",
    "register": "modes.registry",
    "run": "workflow.run",
    "run_many": "workflow.run_many",
    "simulate": "simulation.sample",
    "train": "training.trainer",
    "train_sim": "workflow.deprecated",
}

__all__ = [
    "PSF",
    "CameraMaps",
    "Damping",
    "Image",
    "InputError",
    "Microscope",
    "Mode",
    "Model",
    "NoiseModel",
    "Result",
    "RunRecord",
    "export_model",
    "judge",
    "predict_to_zarr",
    "read_image",
    "register",
    "run",
    "run_many",
    "scenes_of",
    "sim",
    "simulate",
    "train",
    "write_image",
    "written_image",
]


_SUBPACKAGES = {"sim"}


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return import_module(f".{name}", __name__)
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULE_OF, *_SUBPACKAGES])
