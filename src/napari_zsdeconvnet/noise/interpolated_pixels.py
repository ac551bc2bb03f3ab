"""What stands for pixels that must not be used: what surrounds them says."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .pixel_mask import Kind

_STEPS = 20  # pixels that are filled inward one after the other; the rest takes the nearest
_SMOOTHED = 5  # pixels a side whose mean continues an image into what was never recorded
_AROUND = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]


def stand_in(
    plane: NDArray[Any], kinds: NDArray[np.uint8], dark: float | None = None
) -> NDArray[np.float32]:
    """Fill masked pixels of a plane from what surrounds them.

    Single pixels become the median of their usable neighbours. Saturated ones are at least as
    bright as those around them, and become the brightest of these. What was never recorded
    continues the nearest local mean.

    Parameters
    ----------
    plane
        Counts, axes ``(Y, X)``.
    kinds
        `Kind` of each pixel, 0 where it can be used; same shape.
    dark
        Counts for a plane of which nothing can be used.
    """
    values = np.array(plane, np.float32)
    masked = kinds > 0
    values[masked] = np.nan
    if masked.all():
        values[:] = 0.0 if dark is None else dark
        return values
    saturated = kinds == Kind.SATURATED
    unrecorded = kinds == Kind.UNRECORDED
    inward = masked & ~unrecorded
    for _ in range(_STEPS):
        places = np.nonzero(inward & np.isnan(values))
        if len(places[0]) == 0:
            break
        around = np.pad(values, 1, constant_values=np.nan)
        near = np.stack([around[places[0] + 1 + dy, places[1] + 1 + dx] for dy, dx in _AROUND])
        some = np.isfinite(near).any(axis=0)
        places, near = (places[0][some], places[1][some]), near[:, some]
        if len(places[0]) == 0:
            break
        values[places] = np.where(
            saturated[places], np.nanmax(near, axis=0), np.nanmedian(near, axis=0)
        )
    left = np.isnan(values)
    if left.any():
        nearest = ndimage.distance_transform_edt(left, return_distances=False, return_indices=True)
        smooth = _local_mean(values, ~left)
        values[left] = smooth[tuple(nearest[:, left])]
    return values


def _local_mean(values: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    total = ndimage.uniform_filter(np.where(known, values, np.float32(0)), _SMOOTHED)
    share = ndimage.uniform_filter(known.astype(np.float32), _SMOOTHED)
    return np.asarray(total / np.maximum(share, 1e-6))
