"""What the names in a preset stand for: the one place where networks and objectives are listed.

A new kind of recording is a new network, a new objective, and a preset that names both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from torch import Tensor

from .errors import InputError
from .informed_network import InformedNetwork
from .networks import PublishedNetwork, TwoStageNetwork, UnrolledNetwork
from .objectives import (
    DenoisedPlanesObjective,
    InterleavedObjective,
    ReconstructedObjective,
    RecorruptedObjective,
    SequentialObjective,
    Setting,
)
from .pairs import Patches
from .psf import PSF
from .validation import Validation
from .volume_networks import PublishedVolumeNetwork, SharpeningNetwork

NETWORKS: dict[str, Callable[[PSF, int], TwoStageNetwork]] = {
    "published": lambda psf, upsampling: PublishedNetwork(upsampling),
    "informed": InformedNetwork,
    "unrolled": UnrolledNetwork,
    "published-volume": lambda psf, upsampling: PublishedVolumeNetwork(upsampling),
    "sharpening": SharpeningNetwork,
}


class Objective(Protocol):
    """What training asks of an objective."""

    setting: Setting

    @property
    def pairs(self) -> Patches:
        """Give the source of pairs; its batch may be lowered where memory runs out."""
        ...

    @property
    def validation(self) -> Validation | None:
        """Give what judges the weights; None where nothing is held out."""
        ...

    def losses(self, step: int) -> Mapping[str, Tensor]:
        """Draw a batch and give the terms of the loss on it, ``total`` first."""
        ...

    def random_state(self) -> dict[str, Tensor]:
        """State of all random draws."""
        ...

    def set_random_state(self, state: dict[str, Tensor]) -> None:
        """Go on where `random_state` was taken."""


OBJECTIVES: dict[str, Callable[[Setting, Any], Objective]] = {
    "recorrupted": RecorruptedObjective,
    "interleaved": InterleavedObjective,
    "sequential": SequentialObjective,
    "reconstructed": ReconstructedObjective,
    "denoised-planes": DenoisedPlanesObjective,
}

NEEDS_CAMERA = ("recorrupted", "sequential")
"""Objectives that re-corrupt the images themselves, and so must know the camera's gain."""


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
        raise InputError(f"Network {name!r} is unknown: a newer version of zsdeconvnet has it.")
    if upsampling is None:
        upsampling = usual_upsampling(psf.array.ndim)
    return NETWORKS[name](psf, upsampling)


def usual_upsampling(dimensions: int) -> int:
    """Give 2 for images and 1 for volumes, where it costs four times the time and memory."""
    return 2 if dimensions == 2 else 1
