"""Fourier ring correlation: up to which frequency two exposures agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, ndimage

from ..utils.errors import InputError
from .reference_metrics import same_shape
from .spectra import faded, per_ring, rings

FloatArray = NDArray[np.float64]

FADE = 0.25
"""Of a side, faded at either end of it before images are correlated. To fade all of it (Hann) would
judge the middle alone, by half as many independent modes; to fade half as much would let the coarse
structure of bright images leak into rings beyond the cutoff, where it passes for agreement."""


@dataclass(frozen=True, eq=False)
class RingCorrelation:
    """Fourier ring correlation of two images.

    Attributes
    ----------
    frequency
        Centre of each ring, cycles per micrometre.
    correlation
        Of the two spectra within each ring, from -1 to 1.
    resolution
        Period in micrometres at which the correlation first falls below the threshold; two
        pixels where it never does, and infinity where it is never above.
    """

    frequency: FloatArray
    correlation: FloatArray
    resolution: float


def fourier_ring_correlation(
    first: ArrayLike, second: ArrayLike, pixel_size: float, *, threshold: float = 1 / 7
) -> RingCorrelation:
    """Correlate the spectra of two images of the same structure, ring by ring.

    Saxton and Baumeister 1982; the resolution is read at 1/7 (Nieuwenhuizen and others 2013),
    after a running mean over three rings. Both images are faded to their mean over a quarter of
    each side at either end. The planes of volumes are correlated together, each in its own plane.
    What two results share because one method made both, such as its own smoothing or prior, counts
    as agreement: after a nonlinear method the figure is an optimistic bound.

    Parameters
    ----------
    first, second
        (Y, X) or (Z, Y, X), two independent exposures or results from them.
    pixel_size
        Along Y and X, in micrometres.
    threshold
        Correlation at which the resolution is read.

    Raises
    ------
    InputError
        The shapes differ, or are neither 2D nor 3D.
    """
    a, b = same_shape(first, second)
    if a.ndim not in (2, 3):
        raise InputError(
            "image-axes-count",
            f"The images have {a.ndim} axes; compare single frames (YX) or stacks (ZYX).",
        )
    window = faded(a.shape[-2:], FADE)
    spectrum_a = fft.fft2((a - a.mean(axis=(-2, -1), keepdims=True)) * window)
    spectrum_b = fft.fft2((b - b.mean(axis=(-2, -1), keepdims=True)) * window)
    centres, ring = rings(a.shape[-2:], pixel_size)
    cross = per_ring((spectrum_a * np.conj(spectrum_b)).real, ring)
    power = per_ring(np.abs(spectrum_a) ** 2, ring) * per_ring(np.abs(spectrum_b) ** 2, ring)
    correlation = cross / np.sqrt(np.maximum(power, np.finfo(float).tiny))
    smooth = ndimage.uniform_filter1d(correlation, 3, mode="nearest")
    return RingCorrelation(centres, correlation, _period_at(centres, smooth, threshold))


def _period_at(frequency: FloatArray, correlation: FloatArray, threshold: float) -> float:
    """Period at which the correlation first falls below the threshold, between two rings."""
    below = np.flatnonzero(correlation < threshold)
    if not below.size:
        return float(1 / frequency[-1])
    index = int(below[0])
    if index == 0:
        return float("inf")
    above, under = correlation[index - 1], correlation[index]
    share = (above - threshold) / (above - under)
    return float(1 / (frequency[index - 1] + share * (frequency[index] - frequency[index - 1])))
