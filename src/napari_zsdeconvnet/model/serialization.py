"""What a model's file holds: a header that JSON knows, and tensors by their names."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from ..io.grid import voxel_of
from ..networks.registry import build_network
from ..noise.camera_maps import CameraMaps, typical_of
from ..noise.noise_model import NoiseModel
from ..psf.psf import PSF
from ..sim.patterns import check_reconstruction
from ..utils.errors import InputError
from ..utils.json_values import built, entries, fitting, known_of
from .model_file import (
    CAMERA,
    FORMAT,
    NETWORK,
    PSF_TENSOR,
    TRAINING,
    WITH_BACKGROUND,
    below,
    check_format,
)
from .presets import read_settings
from .told_noise import tell_noise

if TYPE_CHECKING:
    from .model import Model

M = TypeVar("M")


def written(
    model: Model, tensors: Mapping[str, Tensor], state: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Give header and tensors of a model, with those and the state of its training."""
    camera = model.camera
    header = {
        "format": WITH_BACKGROUND if model.out_of_focus else FORMAT,
        **entries(model, "network", "psf", "camera"),
        "psf": model.psf.to_metadata(),
        "upsampling": model.upsampling,
        "training": dict(state),
        "camera": None if camera is None else typical_of(camera).to_dict(),
        "camera_of_image": isinstance(camera, CameraMaps) and camera.of_image,
    }
    contents = {PSF_TENSOR: torch.tensor(model.psf.array)}
    if isinstance(camera, CameraMaps):
        maps = camera.to_arrays()
        contents |= {CAMERA + name: torch.tensor(pixels) for name, pixels in maps.items()}
    contents |= {NETWORK + name: value for name, value in model.network.state_dict().items()}
    contents |= {TRAINING + name: value for name, value in tensors.items()}
    return header, contents


def read_model(
    cls: Callable[..., M], header: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> M:
    """Build a `Model` of its file's header and tensors, and check all of them."""
    check_format(header)
    if header["axes"] not in ("YX", "ZYX"):
        raise InputError(
            "model-inconsistent",
            f"it is a model for axes {header['axes']} and this version knows YX and ZYX",
        )
    if not (math.isfinite(header["scale"]) and header["scale"] > 0):
        raise InputError("model-inconsistent", f"its intensity scale is {header['scale']}")
    psf = PSF.from_metadata(tensors[PSF_TENSOR].numpy(), header["psf"])
    if psf.array.ndim != len(header["axes"]):
        raise InputError(
            "model-inconsistent",
            f"its PSF has {psf.array.ndim} axes and its images {header['axes']}",
        )
    if header["upsampling"] not in (1, 2):
        raise InputError(
            "model-inconsistent",
            f"it asks for {header['upsampling']}x up-sampling, and 1 and 2 are known",
        )
    if header.get("reconstruction") is not None:
        check_reconstruction(header["reconstruction"])
    network = build_network(header["settings"]["network"], psf, header["upsampling"])
    if header.get("out_of_focus") and not network.takes_background:
        raise InputError(
            "model-inconsistent", "its network cannot take the background that it asks for"
        )
    noise, scale = NoiseModel.from_dict(header["noise"]), float(header["scale"])
    camera = _camera(
        header.get("camera"),
        below(CAMERA, tensors),
        of_image=header.get("camera_of_image", False),
    )
    tell_noise(network, noise, scale, camera, header.get("reconstruction"))
    network.load_state_dict(below(NETWORK, tensors), strict=True)
    if not all(bool(weight.isfinite().all()) for weight in network.parameters()):
        raise InputError("model-inconsistent", "its weights are not finite")
    voxel_size = fitting(header["voxel_size"], tuple[float, ...] | None, "voxel_size")
    if voxel_size is not None:
        voxel_size = voxel_of(voxel_size, header["axes"])
    return built(
        cls,
        known_of(cls, header),
        network=network.eval(),
        settings=read_settings(header["settings"]),
        psf=psf,
        noise=noise,
        voxel_size=voxel_size,
        camera=camera,
    )


def _camera(
    numbers: Mapping[str, Any] | None, maps: Mapping[str, Tensor], *, of_image: bool
) -> NoiseModel | CameraMaps | None:
    if maps:
        return CameraMaps.from_arrays(
            {name: pixels.numpy() for name, pixels in maps.items()}, numbers, of_image
        )
    return None if numbers is None else NoiseModel.from_dict(numbers)
