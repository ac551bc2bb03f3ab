r"""Predicts a pixel from those around it, for light that a PSF of known width has blurred.

Light of power spectrum :math:`S(f) = \exp(-4 \pi^2 \sigma^2 f^2)`, that of point sources blurred by
a Gaussian of standard deviation :math:`\sigma`, and white noise whose power is a part 1/q of it
have the covariance :math:`C = q \rho + 1` among the pixels of a window, with :math:`\rho` the
normalised autocorrelation. The filter :math:`k = C^{-1} e_0 / (C^{-1})_{00}` gives a pixel minus
its best linear prediction from the other pixels of the window. What one pixel alone holds passes
it whole, and light hardly at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.special import erf

REACH = 3
"""Pixels of the window to either side."""

_POWERS = (30.0, 1000.0)  # of light over that of noise: dim, where noise decides, and bright
_NARROWER = 0.75  # times the width that is known: a narrower PSF than was said
_FIELD = 64  # pixels, for the autocorrelation
_PHASES = (0.0, 0.25, 0.5)  # of a point source in its pixel

Plane = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Predictor:
    """A filter that gives a pixel minus what its surroundings predict.

    Attributes
    ----------
    kernel
        One in the middle, (Y, X).
    noise
        Standard deviation of the filtered white noise of unit variance.
    above, below
        What a point source of unit brightness leaves at most, upwards and downwards.
    """

    kernel: NDArray[np.float64]
    noise: float
    above: float
    below: float


@lru_cache(maxsize=16)
def predictors(width: float) -> tuple[Predictor, ...]:
    """Give filters for dim and for bright light.

    Parameters
    ----------
    width
        Full width at half maximum of the PSF, pixels.
    """
    sigma = width / math.sqrt(8 * math.log(2))
    made = []
    for power in _POWERS:
        kernel = _kernel(sigma, power)
        above, below = _left_by_points(kernel, _NARROWER * sigma)
        made.append(Predictor(kernel, float(np.sqrt((kernel**2).sum())), above, below))
    return tuple(made)


def beyond_predicted(pixels: Plane, width: float) -> list[NDArray[np.float32]]:
    """Filter a plane by each of `predictors`; beyond the border it is mirrored.

    Parameters
    ----------
    pixels
        Counts, (Y, X).
    width
        As for `predictors`.
    """
    mean = np.float32(pixels.mean())  # without it the transforms lose fewer digits
    around = np.pad(pixels - mean, REACH, mode="reflect").astype(np.float32)
    sides = [fft.next_fast_len(length + 2 * REACH, real=True) for length in around.shape]
    spectrum = fft.rfft2(around, sides)
    inner = tuple(slice(2 * REACH, 2 * REACH + length) for length in pixels.shape)
    left = []
    for one in predictors(width):
        passed = fft.irfft2(spectrum * fft.rfft2(one.kernel.astype(np.float32), sides), sides)
        left.append(np.asarray(passed[inner] + mean * np.float32(one.kernel.sum()), np.float32))
    return left


def _kernel(sigma: float, power: float) -> NDArray[np.float64]:
    frequency = fft.fftfreq(_FIELD)
    spectrum = np.exp(-4 * (np.pi * sigma) ** 2 * np.add.outer(frequency**2, frequency**2))
    correlation = fft.ifft2(spectrum).real
    correlation /= correlation[0, 0]
    side = 2 * REACH + 1
    y, x = (axis.ravel() for axis in np.indices((side, side)))
    covariance = power * correlation[
        (y[:, None] - y[None]) % _FIELD, (x[:, None] - x[None]) % _FIELD
    ] + np.eye(side**2)
    middle = side**2 // 2
    solved = np.linalg.solve(covariance, np.eye(side**2)[middle])
    return np.asarray((solved / solved[middle]).reshape(side, side))


def _left_by_points(kernel: NDArray[np.float64], sigma: float) -> tuple[float, float]:
    """Filter point sources that lie anywhere in their pixels, each of unit brightness."""
    edges = np.arange(-3 * REACH - 0.5, 3 * REACH + 1)
    above = below = 0.0
    profiles = [np.diff(erf((edges - phase) / (math.sqrt(2) * sigma))) for phase in _PHASES]
    for first in profiles:
        for second in profiles:
            image = np.outer(first, second)
            sides = [length + kernel.shape[0] - 1 for length in image.shape]
            passed = fft.irfft2(fft.rfft2(image, sides) * fft.rfft2(kernel, sides), sides)
            above = max(above, float(passed.max() / image.max()))
            below = max(below, float(-passed.min() / image.max()))
    return above, below
