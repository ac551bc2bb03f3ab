"""Resolution of a single image by decorrelation analysis (Descloux and others 2019).

The image is compared with itself, its spectrum stripped of all amplitudes: as the phases beyond
the resolution are noise, the agreement within a circle of the spectrum is best where the circle
just holds the signal. High-pass filters bring out the finest part of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import fft

from ..utils.errors import InputError
from ..utils.phases import go_on
from .spectra import FloatArray, faded

FILTERS = 10
"""High-pass filters that are tried, besides none."""

LEAST = 0.001
"""Height above its surroundings of a maximum that counts."""


def decorrelation_resolution(image: ArrayLike, pixel_size: float) -> float:
    r"""Estimate the resolution of one image (Y, X) as a period; infinity where no signal is found.

    :math:`d(r) = \sum_{|k|<r} |I| / \sqrt{\sum |I|^2 \sum_{|k|<r} 1}` for the spectrum I within
    Nyquist's circle, high-pass filtered by Gaussians of growing width; the resolution is one
    over the largest r at which any of these has a local maximum (Nature Methods 16, 918, 2019).
    Raises InputError if the image is not 2D.
    """
    values = np.asarray(image, dtype=float)
    if values.ndim != 2:
        raise InputError(
            "image-axes-count",
            f"The image has {values.ndim} axes; give a single frame with axes YX.",
        )
    window = faded(values.shape, 0.1)
    spectrum = np.abs(fft.fft2((values - values.mean()) * window))
    radius = np.hypot(fft.fftfreq(values.shape[0])[:, None], fft.fftfreq(values.shape[1])) / 0.5
    inside = (radius > 0) & (radius < 1)
    order = np.argsort(radius[inside])
    r, amplitude = radius[inside][order], spectrum[inside][order]
    samples = np.linspace(0, 1, 101)[1:]
    ends = np.searchsorted(r, samples, side="right")

    def peak(weights: FloatArray | float) -> float:
        filtered = amplitude * weights
        # Each mode against itself with its amplitude set to one.
        together = np.r_[0.0, np.cumsum(filtered)][ends]
        d = together / np.sqrt(np.maximum(np.sum(filtered**2) * ends, np.finfo(float).tiny))
        return _maximum(samples, d)

    first = peak(1.0)
    # Widths in pixels from the one that the unfiltered image suggests to a very fine one.
    coarsest = 2 / first if first > 0 else min(values.shape) / 4
    found = [first]
    for sigma in np.geomspace(max(coarsest, 0.3), 0.15, FILTERS):
        go_on()
        high_pass = 1 - np.exp(-2 * (np.pi * sigma * r / 2) ** 2)
        found.append(peak(high_pass))
    best = max(found)
    return float("inf") if best == 0 else 2 * pixel_size / best


def _maximum(r: FloatArray, d: FloatArray) -> float:
    """Place of the maximum, once a rise at the very end is cut off; 0 if there is none."""
    last = len(d)
    while last > 1:
        place = int(np.argmax(d[:last]))
        if place < last - 1 and d[place] - d[place:last].min() > LEAST:
            return float(r[place])
        last = place
    return 0.0
