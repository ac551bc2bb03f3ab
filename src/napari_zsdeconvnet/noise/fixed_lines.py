"""Columns and rows that keep an offset of their own, as those of an sCMOS, found in images.

What a column adds is the same in all its pixels: in the spectrum it lies where no structure is,
beyond the optical cutoff along a row, and at frequency zero along a column. Its neighbours there
hold the noise alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from .dark_region import filled

FloatArray = NDArray[np.float64]

_PLANES = 16  # that are averaged at most
_BEYOND = 1.1  # times the cutoff, from where on there is no structure
_LAST = 0.47  # cycles per pixel, from where on too little is left
_NEIGHBOURS = slice(3, 9)  # frequencies across lines, the first beyond the reach of the window
_FEWEST = 16  # frequencies that are needed
_BANDS = 4  # across lines, in all of which they must be alike
_ALIKE = 0.25  # times their mean covariance, for two bands to be alike
_CERTAIN = 6.0  # times the noise, from where on lines are there for certain


@dataclass(frozen=True, eq=False)
class FixedLines:
    """What columns and rows add to their pixels.

    Attributes
    ----------
    offset
        Counts, zero on average, (Y, X).
    deviation
        Standard deviation among rows and among columns, counts; 0 where there are none.
    """

    offset: FloatArray
    deviation: tuple[float, float]

    def describe(self) -> str:
        """Say in one sentence what was found and taken out."""
        found = [
            f"{what} ({size:.2g} counts, standard deviation)"
            for what, size in zip(("rows", "columns"), self.deviation, strict=True)
            if size
        ]
        return (
            f"The {' and '.join(found)} of the camera keep an offset of their own, which was "
            "measured in the image and taken out as far as it is finer than structure; maps of a "
            "dark stack know all of it."
        )


def fixed_lines(frames: Any, cutoff: float) -> FixedLines | None:
    """Find what columns and rows keep for themselves; None where that is nothing for certain.

    Parameters
    ----------
    frames
        Counts, (T, [Z,] Y, X); a few planes are read and averaged. Where some of them was filled
        with one value, lines are those of the filling.
    cutoff
        Cycles per pixel beyond which the optics pass nothing.
    """
    edge = _BEYOND * cutoff
    if edge > _LAST or min(frames.shape[-2:]) < 2 * _NEIGHBOURS.stop:
        return None
    mean = _mean_plane(frames)
    if mean is None:
        return None
    rows, columns = _lines(mean.T, edge), _lines(mean, edge)
    if rows is None and columns is None:
        return None
    offset = np.zeros(mean.shape)
    if columns is not None:
        offset += columns
    if rows is not None:
        offset += rows[:, None]
    deviation = tuple(0.0 if line is None else float(line.std()) for line in (rows, columns))
    return FixedLines(offset, (deviation[0], deviation[1]))


def _mean_plane(frames: Any) -> FloatArray | None:
    """Average a few planes; None where they were filled in after recording, as by deskewing."""
    leading = frames.shape[:-2]
    count = math.prod(leading)
    places = np.unique(np.linspace(0, count - 1, min(count, _PLANES)).round().astype(int))
    total = np.zeros(frames.shape[-2:])
    for place in places:
        plane = np.asarray(frames[tuple(int(i) for i in np.unravel_index(place, leading))])
        if not np.isfinite(plane).all() or filled(plane).any():
            return None
        total += plane
    return total / len(places)


def _lines(image: FloatArray, edge: float) -> FloatArray | None:
    """Return what each column adds, by a Wiener filter; None where nothing is certain.

    Power at frequency zero along the columns is lines, noise and structure; that of its
    neighbours the latter two. Lines are white: the power that they have beyond the cutoff they
    have everywhere.
    """
    height, width = image.shape
    tapers = [np.hanning(length + 2)[1:-1] for length in (height, width)]
    spectrum = np.fft.rfft2((image - image.mean()) * np.outer(*tapers))
    power = np.abs(spectrum) ** 2
    frequency = np.arange(power.shape[1]) / width
    beyond = frequency > edge
    own, around = power[0], power[_NEIGHBOURS].mean(axis=0)
    if beyond.sum() < _FEWEST or own[beyond].mean() < _CERTAIN * around[beyond].mean():
        return None
    if not _all_along(image, tapers[1], beyond):
        return None
    lines = float(own[beyond].mean() - around[beyond].mean())
    # Structure that is all along columns shows at frequency zero alone.
    other = np.where(beyond, around, np.maximum(uniform_filter1d(own, 9) - lines, around))
    share = lines / (lines + uniform_filter1d(other, 5))
    share[0] = 0.0
    # Mirrored, so that the two ends of a row do not meet.
    column = image.mean(axis=0)
    mirrored = np.fft.rfft(np.concatenate([column, column[::-1]]))
    kept = np.interp(np.arange(len(mirrored)) / (2 * width), frequency, share)
    return np.fft.irfft(mirrored * kept, 2 * width)[:width]


def _all_along(image: FloatArray, taper: FloatArray, beyond: NDArray[np.bool_]) -> bool:
    """Tell lines, alike from one end of their columns to the other, from edges of something."""
    means = np.stack([band.mean(axis=0) for band in np.array_split(image, _BANDS)])
    fine = np.fft.rfft((means - means.mean()) * taper)[:, beyond]
    covariance = (fine @ fine.conj().T).real[np.triu_indices(_BANDS, 1)]
    return bool(covariance.min() > _ALIKE * covariance.mean() > 0)
