"""The networks that a preset can name."""

from __future__ import annotations

from collections.abc import Callable

from ..psf.psf import PSF
from ..utils.errors import InputError
from .base import PublishedNetwork, TwoStageNetwork, UnrolledNetwork
from .informed import InformedNetwork
from .informed_sim import InformedSIMNetwork
from .informed_volume import InformedVolumeNetwork
from .published_volume import PublishedVolumeNetwork
from .volume import SharpeningNetwork

NETWORKS: dict[str, Callable[[PSF, int], TwoStageNetwork]] = {
    "published": lambda psf, upsampling: PublishedNetwork(upsampling),
    "informed": InformedNetwork,
    "informed-sim": InformedSIMNetwork,
    "unrolled": UnrolledNetwork,
    "published-volume": lambda psf, upsampling: PublishedVolumeNetwork(upsampling),
    "sharpening": SharpeningNetwork,
    "informed-volume": InformedVolumeNetwork,
}


def build_network(name: str, psf: PSF, upsampling: int | None = None) -> TwoStageNetwork:
    """Build a network by its name, with fresh weights.

    Parameters
    ----------
    name : str
        Key of `NETWORKS`.
    psf : PSF
        On the output grid, for networks that hold a model of the microscope.
    upsampling : int, optional
        Output pixels side by side in a raw pixel, 1 or 2; by default 2 for images and 1 for
        volumes.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if name not in NETWORKS:
        raise InputError(
            "network-unknown",
            f"Network {name!r} is unknown: a newer version of zsdeconvnet has it.",
        )
    if upsampling is None:
        upsampling = usual_upsampling(psf.array.ndim)
    return NETWORKS[name](psf, upsampling)


def usual_upsampling(dimensions: int) -> int:
    """Give 2 for images and 1 for volumes, where it costs four times the time and memory."""
    return 2 if dimensions == 2 else 1
