"""Pixels at the end of a camera's range: a pile-up at the highest value, wherever that is.

A camera's range ends at 255, at 4095, at 65520 where 12 bits are shifted to the left, or where a
converter runs full. What the ends have in common: far more pixels have the highest value than any
of the next ones, for all that is brighter was put there too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FEWEST = 10
"""Pixels at the highest value; fewer may be there by chance."""

_LEVELS = 10  # values below the highest that are compared
_PILE = 4.0  # times as many pixels as at any of them
_GAP = 20.0  # steps between the next values, by which no noise is brighter than all others

_LIT = 0.1  # part of the range between dark and bright from where on a pixel is lit
_CLIPPED = 0.02  # part of the pixels at the lowest value that is worth a word
_STEEP = 2.0  # how much more frequent the next value of noise may be than that after it


def piled_up(pixels: NDArray[Any]) -> bool:
    """Tell whether the highest value of some pixels is the end of the camera's range.

    Parameters
    ----------
    pixels
        Usable pixels of one plane, any shape, without isolated outliers.
    """
    top = pixels.max()
    count = int(np.count_nonzero(pixels == top))
    below = pixels[pixels < top]
    if count < FEWEST or len(below) == 0:
        return False
    some = min(len(below), max(4 * count, 2000))
    levels, counts = np.unique(np.partition(below, -some)[-some:], return_counts=True)
    if len(levels) < _LEVELS:  # more than `some` at a level, or few levels in all
        levels, counts = np.unique(below, return_counts=True)
    if len(levels) < _LEVELS // 2:
        return False  # a mask, or a few photons: nothing to compare with
    levels, counts = levels[-_LEVELS:], counts[-_LEVELS:]
    gap = float(top) - float(levels[-1])
    apart = gap > _GAP * float(np.median(np.diff(levels)))  # brighter than anything near it
    return apart or count > _PILE * max(int(counts.max()), FEWEST // 4)


def lit_from(pixels: NDArray[Any]) -> float:
    """Give the counts from where on a pixel holds light: a tenth of the way from dark to bright.

    Parameters
    ----------
    pixels
        Usable pixels, any shape; the highest value is taken for the end of the range.
    """
    below = pixels[pixels < pixels.max()]
    dark, bright = np.quantile(below, (0.05, 0.999))
    return float(dark + _LIT * (float(bright) - float(dark)))


def clipped_share(pixels: NDArray[Any]) -> float:
    """Return the part of the pixels that was cut off at the lowest value; 0 where none was.

    Where an offset was subtracted, half of the noise of dark pixels lies below zero and is put
    there. Photons counted without an offset make many zeros too, but then the next values fall
    off steeply or rise.

    Parameters
    ----------
    pixels
        Usable pixels, any shape.
    """
    low = pixels.min()
    share = float(np.mean(pixels == low))
    if share < _CLIPPED:
        return 0.0
    above = pixels[pixels > low]
    if len(above) == 0:
        return 0.0
    whole = bool((above == np.rint(above)).all())
    if not whole:
        return share  # numbers that are not counted have no value twice
    levels, counts = np.unique(above, return_counts=True)
    near = counts[:3].astype(float)
    if len(near) < 3 or levels[2] - levels[0] > 2.5 * (levels[0] - float(low)):
        return 0.0
    even = near[0] < _STEEP * near[1] and near[1] < _STEEP * near[2]
    return share if even and share * pixels.size > 1.5 * near[0] else 0.0
