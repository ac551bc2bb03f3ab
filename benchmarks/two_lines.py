"""How well two parallel lines are told apart, by the dip between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from napari_zsdeconvnet.quality.line_widths import profiles_across

RAYLEIGH_DIP = 0.265
"""Dip between two points at Rayleigh's distance: the centre is at 73.5 % of the peaks."""


def two_line_dip(image: ArrayLike, path: ArrayLike, separation: float, pixel_size: float) -> float:
    """Depth of the valley between two parallel lines: 1 is empty, 0 or less is unresolved.

    Parameters
    ----------
    image
        (Y, X).
    path
        (points, 2), midway between the lines, y before x, in pixels.
    separation
        Distance of the lines in micrometres.
    pixel_size
        In micrometres.

    Returns
    -------
    float
        1 less the valley over the lower of both peaks, above the background; NaN where the
        pair lies outside the image. Peaks are sought within a quarter of the separation of
        their place, and the value midway is the valley.
    """
    offsets, profiles = profiles_across(
        image, path, reach=separation / 2 + 0.4, voxel_size=pixel_size
    )
    if not len(profiles):
        return float("nan")
    profile = profiles.mean(axis=0)
    profile = profile - np.percentile(profile, 10)
    peaks = [
        profile[np.abs(offsets - side * separation / 2) <= separation / 4].max() for side in (-1, 1)
    ]
    valley = profile[np.abs(offsets) <= pixel_size / 2].mean()
    return float(1 - valley / max(min(peaks), np.finfo(float).tiny))


def two_line_separability(
    image: ArrayLike, paths: Sequence[ArrayLike], separations: Sequence[float], pixel_size: float
) -> dict[float, float]:
    """Median dip of all pairs of lines of each separation.

    Parameters
    ----------
    image
        (Y, X).
    paths, separations
        Of the pairs, as in `sample.Sample`; those of separation 0 are left out.
    pixel_size
        Of the image, in micrometres.

    Returns
    -------
    dict
        Separation in micrometres, in rising order, to dip.
    """
    dips: dict[float, list[float]] = {distance: [] for distance in sorted({*separations} - {0.0})}
    for path, distance in zip(paths, separations, strict=True):
        if distance:
            dips[distance].append(two_line_dip(image, path, distance, pixel_size))
    return {
        distance: float(np.nanmedian(values)) if np.isfinite(values).any() else float("nan")
        for distance, values in dips.items()
    }


def smallest_resolved(dips: dict[float, float], dip: float = RAYLEIGH_DIP) -> float:
    """Smallest separation that is resolved together with all wider ones.

    Parameters
    ----------
    dips
        From `two_line_separability`; what is NaN was not measured and is passed over.
    dip
        From which depth on two lines count as resolved; by default Rayleigh's.

    Returns
    -------
    float
        In micrometres; infinity where not even the widest is resolved.
    """
    smallest = float("inf")
    for distance in sorted(dips, reverse=True):
        if dips[distance] < dip:
            break
        if dips[distance] >= dip:
            smallest = distance
    return smallest
