"""The objectives that a preset can name, and what training asks of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from torch import Tensor

from .objectives import (
    DenoisedPlanesObjective,
    InterleavedObjective,
    ReconstructedObjective,
    RecorruptedObjective,
    SequentialObjective,
    Setting,
)
from .pairs import Patches
from .validation import Validation


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
