"""The grid of an image: its voxel size, spelled out, compared and said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np

from ..utils.errors import InputError, Remedy
from .units import PIXEL_SIZE_TOLERANCE, checked_length


def voxel_of(
    voxel_size: float | Sequence[float], spatial: Literal["YX", "ZYX"] = "YX"
) -> tuple[float, ...]:
    """Spell out a voxel size for these axes, or say what it lacks.

    Parameters
    ----------
    voxel_size : float or sequence of float
        Micrometres: one number for each axis, ([Z,] Y, X); for images one number for both,
        and three are taken as those of a stack of which they are planes.
    spatial : {"YX", "ZYX"}
        Axes of the images.
    """
    try:
        given = [float(size) for size in np.atleast_1d(np.asarray(voxel_size, dtype=float))]
    except (TypeError, ValueError):
        given = []
    wrong = InputError(
        "voxel-size-wrong",
        f"The voxel size is {voxel_size}",
        Remedy("voxel-size", ", ".join(spatial.lower())),
        voxel_size=voxel_size,
    )
    if not given or not all(math.isfinite(size) and size > 0 for size in given):
        raise wrong
    for size in given:
        checked_length(size, "The voxel size")
    if spatial == "YX":
        return tuple(given * 2 if len(given) == 1 else given[-2:])
    if len(given) != len(spatial):
        raise wrong
    return tuple(given)


def same_pixel_size(one: tuple[float, ...] | None, other: tuple[float, ...] | None) -> bool:
    """Tell whether two pixel sizes are equal to within `PIXEL_SIZE_TOLERANCE`."""
    if one is None or other is None:
        return one is other
    return all(map(partial(math.isclose, rel_tol=PIXEL_SIZE_TOLERANCE), one, other))


def nanometres(voxel_size: Sequence[float]) -> str:
    """Say a pixel size in words."""
    return " x ".join(f"{1000 * size:.4g}" for size in voxel_size) + " nm"
