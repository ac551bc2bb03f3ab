"""The spectrum of what the fringes change from frame to frame, to be looked at."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from ..images import Image
from .frames import as_raw, by_orientation
from .orders import Grid
from .patterns import Patterns


def side_orders(raw: ArrayLike | Image, patterns: Patterns) -> NDArray[np.float32]:
    """Power spectrum of the orders +1 and -1 of all orientations, added up.

    The mean of an orientation's frames is without fringes; what each frame differs from it by
    is the side orders, whose middles stand out as a pair of peaks.

    Parameters
    ----------
    raw
        Counts, (N, Y, X), or (T, N, Y, X), which is averaged over time.
    patterns
        Of them.

    Returns
    -------
    numpy.ndarray
        (Y, X), decadic logarithm of the power over its median; frequency 0 in the middle, at
        (Y // 2, X // 2).
    """
    pixels = as_raw(raw, len(patterns), patterns.phases)
    mean = pixels.reshape(-1, *pixels.shape[-3:]).mean(axis=0, dtype=np.float64)
    frames = by_orientation(mean, len(patterns), patterns.phases, patterns.order)
    frames -= frames.min()  # near the offset, so that the factors do not act on it
    frames *= np.asarray(patterns.brightness, np.float32)[..., None, None]
    frames -= frames.mean(axis=1, keepdims=True)
    frames *= Grid(patterns.shape, patterns.pixel_size).window
    power = (np.abs(fft.fft2(frames, workers=-1)) ** 2).sum(axis=(0, 1))
    power = fft.fftshift(power / max(float(np.median(power)), np.finfo(np.float32).tiny))
    return np.asarray(np.log10(np.maximum(power, 1e-6)), dtype=np.float32)


def peak_places(patterns: Patterns) -> NDArray[np.float64]:
    """Where the patterns' frequencies lie in `side_orders`.

    Returns
    -------
    numpy.ndarray
        (orientations, 2, 2): row and column, in pixels, of order +1 and of order -1.
    """
    size = np.asarray(patterns.shape)
    away = np.array([pattern.frequency for pattern in patterns]) * patterns.pixel_size * size
    return np.stack([size // 2 + away, size // 2 - away], axis=1)
