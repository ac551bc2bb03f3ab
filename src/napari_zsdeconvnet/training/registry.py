"""The objectives that a preset can name, and what training asks of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .objectives import Objective, ReconstructedObjective, RecorruptedObjective, Setting
from .volume_objectives import (
    DenoisedPlanesObjective,
    InterleavedObjective,
    SequentialObjective,
)

OBJECTIVES: dict[str, Callable[[Setting, Any], Objective]] = {
    "recorrupted": RecorruptedObjective,
    "interleaved": InterleavedObjective,
    "sequential": SequentialObjective,
    "reconstructed": ReconstructedObjective,
    "denoised-planes": DenoisedPlanesObjective,
}

NEEDS_CAMERA = ("recorrupted", "sequential")
"""Objectives that re-corrupt the images themselves, and so must know the camera's gain."""
