r"""Phases of single frames, where the fringes do not move in even steps.

They follow from the correlation of a frame with what the first order should be,

.. math:: B_p = \sum_q D_p(q)\,T^*(q) = \alpha + \beta e^{i\varphi_p} + \gamma e^{-i\varphi_p}

(compare Wicker and others 2013). In even steps :math:`\alpha` and :math:`\gamma`, which the
sample's own structure makes, fall out of the first order exactly. Uneven steps are read from
the circle on which the :math:`B_p` lie about :math:`\alpha`; there :math:`\gamma` is an error,
whose size is seen by leaving out one tile of the image after the other.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from .orders import ComplexArray, FloatArray, Grid, even_phases
from .otf import OTF
from .overlap import far_from_zero

_FALL = 1.5  # power of the frequency with which the power of samples falls, about
_LEFT_OVER = 0.03  # of the power of order 0 that is in the way of finding phases
_LEAST = 1e-12  # of what is divided by
_TILES = 5  # along Y and along X, left out in turn


def uneven_steps(
    frames: NDArray[np.floating],
    noise: float,
    frequency: tuple[float, float],
    depth: float,
    grid: Grid,
    otf: OTF,
) -> tuple[FloatArray, float]:
    r"""Measure by how much the phases deviate from even steps.

    The template :math:`T(q)` is the sample, deconvolved from order 0 in Wiener's manner, moved
    and blurred; each frequency counts inversely as noise and the structure that is in its way
    have power there. That of the sample is taken to fall as a power of the frequency.

    Parameters
    ----------
    frames
        Of one orientation, tapered, (phases, Y, X).
    noise
        Power of the noise in order 0.
    frequency, depth, grid, otf
        As in `Overlap`.

    Returns
    -------
    deviations, error
        Radians, one for each frame and zero on average; and the standard error of one.
    """
    ky, kx = frequency
    here, there = otf.at(grid.ky, grid.kx), otf.at(grid.ky - ky, grid.kx - kx)
    power = _sample_power(fft.fft2(frames.mean(axis=0), workers=-1), noise, grid, otf)
    away = [
        np.hypot(grid.ky[:, None] + sign * ky, grid.kx + sign * kx) / otf.cutoff
        for sign in (-1, 0, 1)
    ]
    least = 2 * max(grid.step) / otf.cutoff
    behind, own, ahead = (power * np.maximum(radius, least) ** -_FALL for radius in away)
    moved = fft.fft2(frames.mean(axis=0) * grid.ramp(frequency), workers=-1)
    # Where pixels are too coarse to show noise alone, there may be none in the way at all.
    sample = there.conj() * moved / np.maximum(np.abs(there) ** 2 + noise / behind, _LEAST)
    in_the_way = len(frames) * noise + np.abs(here) ** 2 * (
        (depth / 2) ** 2 * ahead + _LEFT_OVER * own
    )
    counts = far_from_zero(grid.ky - ky, grid.kx - kx, grid, 1.0) * (np.abs(there) > 0)
    template = fft.ifft2(counts * here * sample / np.maximum(in_the_way, _LEAST), workers=-1)

    edges = [np.linspace(0, n, _TILES + 1).astype(int)[:-1] for n in grid.shape]
    product = np.add.reduceat(frames * template.conj(), edges[0], axis=-2)
    tiles = np.add.reduceat(product, edges[1], axis=-1).reshape(len(frames), -1)
    whole = tiles.sum(axis=1)
    deviations = _off_even(whole)
    left_out = np.array([_off_even(whole - tile) for tile in tiles.T])
    count = len(left_out)
    variance = (count - 1) / count * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0)
    return deviations, math.sqrt(float(variance.mean()))


def _sample_power(spectrum: ComplexArray, noise: float, grid: Grid, otf: OTF) -> float:
    """Give the power of the sample at the cutoff, extrapolated from where it stands out."""
    radius = grid.radius / otf.cutoff
    middle = (radius > 0.08) & (radius < 0.5)
    passed = np.abs(otf.at(grid.ky, grid.kx)[middle]) ** 2 * radius[middle] ** -_FALL
    power = float((np.abs(spectrum[middle]) ** 2).sum()) - noise * np.count_nonzero(middle)
    total = float((np.abs(spectrum[middle]) ** 2).sum())
    return max(power, 0.01 * total, 1e-30) / float(passed.sum())


def _off_even(correlations: ComplexArray) -> FloatArray:
    """Give the deviations from even steps of numbers that lie on a circle."""
    angles = np.angle(correlations - _centre_of_circle(correlations))
    off = np.angle(np.exp(1j * (angles - even_phases(len(angles)))))
    off = np.angle(np.exp(1j * (off - np.angle(np.exp(1j * off).sum()))))
    return np.asarray(off - off.mean())


def _centre_of_circle(points: ComplexArray) -> complex:
    """Give the centre of the circle through points, in the least squares for more than three."""
    terms = np.stack([2 * points.real, 2 * points.imag, np.ones(len(points))], axis=1)
    scale = max(float(np.abs(points).max()), 1e-30)
    terms[:, :2] /= scale
    y = np.linalg.lstsq(terms, np.abs(points / scale) ** 2, rcond=None)[0]
    return complex(y[0], y[1]) * scale
