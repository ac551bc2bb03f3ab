"""The spectrum in which the fringes are found, to be looked at."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from ..io.image import Image
from .frames import as_raw, by_orientation
from .orders import Grid
from .otf import OTF
from .patterns import Patterns
from .peaks import correlation_map, relative_to_noise

_LEAST = 0.3  # of the cutoff, below which orders agree whatever the fringes
_BEYOND = 1.1  # times the highest frequency of the patterns, up to which it is shown


def fringe_spectrum(raw: ArrayLike | Image, patterns: Patterns) -> NDArray[np.float32]:
    """Show at which frequencies the orders of the frames agree, (Y, X), as a multiple of the noise.

    In the power spectrum itself the middle of a side order is faint where the optics hardly pass
    it. The correlation of the orders, which `estimate` searches, has peaks that stand out. Frames
    are (N, Y, X), or (T, N, Y, X), which is averaged over time. Of the orientations the highest
    value is taken, of orders 0 and +1, and 0 and -1. Frequency 0 is at (Y // 2, X // 2); the
    spectrum is 0 where no fringes are searched, about the middle and beyond the cutoff.
    """
    pixels = as_raw(raw, len(patterns), patterns.phases)
    mean = pixels.reshape(-1, *pixels.shape[-3:]).mean(axis=0, dtype=np.float64)
    frames = by_orientation(mean, len(patterns), patterns.phases, patterns.order)
    frames *= np.asarray(patterns.brightness, np.float32)[..., None, None]
    grid = Grid(patterns.shape, patterns.pixel_size)
    otf = OTF(
        patterns.na, patterns.wavelength, patterns.pixel_size, attenuation=patterns.attenuation
    )
    least = _LEAST * otf.cutoff
    most = max(_BEYOND / min(pattern.period for pattern in patterns), otf.cutoff)
    highest = np.zeros(patterns.shape)
    for group, pattern in zip(frames, patterns, strict=True):
        spectra = fft.fft2((group - group.mean()) * grid.borders, workers=-1)
        heights = correlation_map(spectra, np.asarray(pattern.phases), grid, otf)
        relative = relative_to_noise(heights, grid, least, most)
        highest = np.maximum(highest, relative)
    highest[(grid.radius < least) | (grid.radius > most)] = 0
    opposite = np.roll(highest[::-1, ::-1], (1, 1), axis=(0, 1))
    return np.asarray(fft.fftshift(np.maximum(highest, opposite)), dtype=np.float32)


def peak_places(patterns: Patterns) -> NDArray[np.float64]:
    """Where the patterns' frequencies lie in `fringe_spectrum`.

    Returns
    -------
    numpy.ndarray
        (orientations, 2, 2): row and column, in pixels, of order +1 and of order -1.
    """
    size = np.asarray(patterns.shape)
    away = np.array([pattern.frequency for pattern in patterns]) * patterns.pixel_size * size
    return np.stack([size // 2 + away, size // 2 - away], axis=1)
