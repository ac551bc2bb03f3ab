"""What SIM images have at the frequencies of the patterns, where honeycombs come from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_zsdeconvnet.sim.patterns import Patterns

WIDTH = 2.5
"""Steps of the spectrum over which the fade towards the borders spreads a peak."""

NEAR, FAR = 3, 10
"""Steps of the spectrum: the ring around a frequency that shows what is usual there."""

_OFFSETS = np.arange(-FAR, FAR + 1)
_DISTANCE = np.hypot(_OFFSETS[:, None], _OFFSETS)
_RING = (_DISTANCE >= NEAR) & (_DISTANCE <= FAR)

Spectrum = NDArray[np.complex128]


def pattern_power(image: ArrayLike, truth: ArrayLike, patterns: Patterns) -> float:
    r"""Measure how much more of the spectrum than right there is at the pattern frequencies.

    With the factor :math:`c` of `_fitted`,

    .. math:: |F|^2 - |c E|^2 - \langle |F - c E|^2 \rangle ,

    where the average over a ring around the frequency is what noise adds anywhere, over the mean
    power in the ring. Less than right is negative.

    Parameters
    ----------
    image, truth
        (2Y, 2X), on the doubled grid.
    patterns
        Whose frequencies are looked at.

    Returns
    -------
    float
        Mean over the orientations.
    """
    excess = []
    for seen, right in _fitted(image, truth, patterns):
        here = _power(seen)[FAR, FAR] - _power(right)[FAR, FAR]
        noise = _power(seen - right)[_RING].mean()
        excess.append((here - noise) / _power(seen)[_RING].mean())
    return float(np.mean(excess))


def residual_peak(image: ArrayLike, expected: ArrayLike, patterns: Patterns) -> float:
    """Measure the highest peak of what is wrong with an image without noise.

    Parameters
    ----------
    image, expected
        (2Y, 2X), on the doubled grid.
    patterns
        Whose frequencies are looked at.

    Returns
    -------
    float
        Power of the peak over the mean power of the image around it, of the worst orientation.
    """
    peaks = []
    for seen, right in _fitted(image, expected, patterns):
        peak = _power(seen - right)[_DISTANCE < WIDTH].max()
        peaks.append(peak / _power(seen)[_RING].mean())
    return float(max(peaks))


def _fitted(
    image: ArrayLike, expected: ArrayLike, patterns: Patterns
) -> Iterator[tuple[Spectrum, Spectrum]]:
    """Give the spectra around each frequency, fitted to each other in the ring.

    One complex factor fits what is expected to the image, so that neither resolution nor
    brightness matter.
    """
    for pattern in patterns.found:
        seen, right = (
            _around(values, pattern.frequency, patterns.pixel_size / 2)
            for values in (image, expected)
        )
        factor = np.vdot(right[_RING], seen[_RING]) / np.vdot(right[_RING], right[_RING])
        yield seen, factor * right


def _around(image: ArrayLike, frequency: tuple[float, float], pixel_size: float) -> Spectrum:
    """Give the spectrum at a frequency (cycles per micrometre) and at whole steps around it."""
    values = np.asarray(image, dtype=float)
    values = values - values.mean()
    waves = []
    for length, centre in zip(values.shape, frequency, strict=True):
        at = centre + _OFFSETS / (length * pixel_size)
        positions = (np.arange(length) - (length - 1) / 2) * pixel_size
        waves.append(np.exp(-2j * np.pi * np.outer(at, positions)) * np.hanning(length + 2)[1:-1])
    return np.asarray(waves[0] @ values @ waves[1].T)


def _power(spectrum: Spectrum) -> NDArray[np.float64]:
    return np.asarray(np.abs(spectrum) ** 2)
