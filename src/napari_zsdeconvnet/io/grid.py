"""The grid of an image: its voxel size, spelled out, compared and said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np

from ..utils.errors import InputError
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
    wanted = f"{len(spatial)} positive lengths ({', '.join(spatial)})"
    if not given or not all(math.isfinite(size) and size > 0 for size in given):
        raise InputError(f"voxel_size is {voxel_size}: give {wanted} in micrometres.")
    for size in given:
        checked_length(size, "voxel_size")
    if spatial == "YX":
        given = (given * 2 if len(given) == 1 else given)[-2:]
    elif len(given) < 3:
        raise InputError(
            f"voxel_size is {voxel_size}, without the axial step: give {wanted} in micrometres."
        )
    if len(given) != len(spatial):
        raise InputError(f"voxel_size is {voxel_size}: give {wanted} in micrometres.")
    return tuple(given)


def same_pixel_size(one: tuple[float, ...] | None, other: tuple[float, ...] | None) -> bool:
    """Tell whether two pixel sizes are equal to within `PIXEL_SIZE_TOLERANCE`."""
    if one is None or other is None:
        return one is other
    return all(map(partial(math.isclose, rel_tol=PIXEL_SIZE_TOLERANCE), one, other))


def nanometres(voxel_size: Sequence[float]) -> str:
    """Say a pixel size in words."""
    return " x ".join(f"{1000 * size:.4g}" for size in voxel_size) + " nm"
