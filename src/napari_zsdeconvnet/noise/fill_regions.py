"""Parts of a plane that no camera recorded: NaN, and borders filled with one value.

Registering, rotating and deskewing leave corners and borders empty, and fill them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SMALLEST = 64
"""Pixels; a smaller area of one value may be chance."""

_RUN = 8  # equal pixels in a row at the border that make it worth a look
_PUNCTURES = 2  # single other pixels in an area; in what was filled there are none
_CURVED = 0.75  # steps, for the mixed second difference beside it
_NEAR = 0.75  # of the pixels next to it, which differ by one step at most
_AROUND = np.ones((3, 3), dtype=bool)


def never_recorded(plane: NDArray[Any]) -> NDArray[np.bool_]:
    """Mark NaN and infinite pixels, and areas of one value that touch the border.

    Areas at the highest value are left: they may be saturated. So are areas with single other
    pixels in them, as where few photons were counted, and areas from which values go on
    by single steps, as where noise is less than one count.

    Parameters
    ----------
    plane
        Axes ``(Y, X)``.
    """
    missing: NDArray[np.bool_] = (
        ~np.isfinite(plane) if plane.dtype.kind == "f" else np.zeros(plane.shape, dtype=bool)
    )
    if missing.all() or plane[~missing].min() == plane[~missing].max():
        return np.ones(plane.shape, dtype=bool)
    edges = (plane[0], plane[-1], plane[:, 0], plane[:, -1])
    if any(_longest_run(edge) >= _RUN for edge in edges):
        missing = missing | _constant_borders(plane, missing)
    return missing


def touching_border(marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the connected areas that touch the border of a plane."""
    labels, _ = ndimage.label(marked)
    return np.asarray(np.isin(labels, list(_at_border(labels))))


def _at_border(labels: NDArray[Any]) -> set[int]:
    edges = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    return {int(label) for edge in edges for label in np.unique(edge)} - {0}


def _constant_borders(plane: NDArray[Any], missing: NDArray[np.bool_]) -> NDArray[np.bool_]:
    values = np.where(missing, np.nan, plane) if missing.any() else plane
    solid = ndimage.maximum_filter(plane, 3) == ndimage.minimum_filter(plane, 3)
    solid &= ~ndimage.binary_dilation(missing, _AROUND)
    labels, count = ndimage.label(solid, _AROUND)
    found = np.zeros(plane.shape, dtype=bool)
    if not count:
        return found
    top = np.nanmax(values)
    boxes = ndimage.find_objects(labels)
    for label in _at_border(labels):
        # Areas are many where few photons were counted, so that each is looked at on its own.
        box = tuple(slice(max(side.start - 3, 0), side.stop + 3) for side in boxes[label - 1])
        core = labels[box] == label
        value = plane[box][core][0]
        if value == top:
            continue
        area = ndimage.binary_dilation(core, _AROUND) & (plane[box] == value)
        if area.sum() < SMALLEST or _punctures(area) > _PUNCTURES:
            continue
        if not _goes_on(area, plane[box]):
            found[box] |= area
    return found


def _goes_on(area: NDArray[np.bool_], plane: NDArray[Any]) -> bool:
    """Tell whether values rise from those of an area by single steps, without noise.

    So they do where the noise of the camera is less than one count, and beside no filling.
    """
    values = plane.astype(np.float64)
    beside = ndimage.binary_dilation(area, _AROUND) & ~area & np.isfinite(values)
    if not beside.any():
        return False
    near, step = within_one_step(values[beside], values[area][0])
    rows = values - ndimage.correlate1d(values, (0.5, 0.0, 0.5), axis=0)
    curvature = rows - ndimage.correlate1d(rows, (0.5, 0.0, 0.5), axis=1)
    return bool(near > _NEAR and np.median(np.abs(curvature[beside])) <= _CURVED * step)


def within_one_step(beside: NDArray[Any], value: float) -> tuple[float, float]:
    """Compare the pixels beside an area of one value with that value.

    Returns
    -------
    share : float
        Part of the pixels that differ by one step at most.
    step : float
        Smallest difference between two values, counts.
    """
    step = float(np.diff(np.unique(np.append(beside, value))).min())
    return float(np.mean(np.abs(beside - value) <= step)), step


def _punctures(area: NDArray[np.bool_]) -> int:
    """Count single pixels outside of an area that are surrounded by it."""
    neighbours = ndimage.convolve(area.astype(np.uint8), _AROUND.astype(np.uint8), mode="constant")
    return int(np.count_nonzero(~area & (neighbours >= 7)))


def _longest_run(edge: NDArray[Any]) -> int:
    """Return how many equal numbers follow one another at most."""
    changes = np.flatnonzero(edge[1:] != edge[:-1])
    return int(np.diff(np.r_[-1, changes, len(edge) - 1]).max())
