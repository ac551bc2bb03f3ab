r"""Where the orders overlap: the depth of the fringes and their phases.

Where both bands reach, the first order is the zeroth one moved,

.. math:: H(q - k)\,S_+(q) = \tfrac{m}{2} H(q)\,S_0(q - k)

up to noise. Depth and phase follow from a regression of one on the other. What noise adds
to its sums is known, since its power is measured beyond the cutoff, and is subtracted: plain
regression on a noisy zeroth order would find the depth too low.

Phases of single frames follow from their correlation with what the first order should be,

.. math:: B_p = \sum_q D_p(q)\,T^*(q) = \alpha + \beta e^{i\varphi_p} + \gamma e^{-i\varphi_p}

(compare Wicker and others 2013). In even steps :math:`\alpha` and :math:`\gamma`, which the
sample's own structure makes, fall out of the first order exactly. Uneven steps are read from
the circle on which the :math:`B_p` lie about :math:`\alpha`; there :math:`\gamma` is an error,
whose size is seen by leaving out one tile of the image after the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from .orders import ComplexArray, FloatArray, Grid, even_phases
from .otf import OTF

_EDGE = 0.02  # of the OTF, below which it is not trusted
_NOTCH = 3.0  # steps of the frequency about the zero of either order that count little
_FALL = 1.5  # power of the frequency with which the power of samples falls, about
_LEFT_OVER = 0.03  # of the power of order 0 that is in the way of finding phases
_TILES = 5  # along Y and along X, left out in turn
_LEAST_POWER = 0.2  # share of an order's power that is left to it when noise is subtracted


class Overlap:
    """The frequencies that two orders share, and how much each of them counts.

    Parameters
    ----------
    frequency
        (ky, kx) of the fringes, cycles per micrometre.
    depth
        As far as it is known; it decides between the weights of the two orders.
    grid, otf
        The frequencies, and what the microscope passes of them.
    """

    def __init__(self, frequency: tuple[float, float], depth: float, grid: Grid, otf: OTF) -> None:
        ky, kx = frequency
        self._ramp = grid.ramp(frequency)
        rows = np.flatnonzero((abs(grid.ky) < otf.cutoff) & (abs(grid.ky - ky) < otf.cutoff))
        columns = np.flatnonzero((abs(grid.kx) < otf.cutoff) & (abs(grid.kx - kx) < otf.cutoff))
        self._box = np.ix_(rows, columns)
        y, x = grid.ky[rows], grid.kx[columns]
        here, there = otf.at(y, x), otf.at(y - ky, x - kx)
        self._inside = (np.abs(here) > _EDGE) & (np.abs(there) > _EDGE)
        self.here, self.there = here[self._inside], there[self._inside]
        counts = _away(y, x, grid, _NOTCH) * _away(y - ky, x - kx, grid, _NOTCH)
        both = np.abs(self.there) ** 2 + (depth / 2 * np.abs(self.here)) ** 2
        self.weight = counts[self._inside] / both

    def __len__(self) -> int:
        return len(self.weight)

    def first(self, spectra: ComplexArray) -> ComplexArray:
        """Cut spectra (..., Y, X) to the overlap, blurred as the other order is: (..., count)."""
        return self._cut(spectra) * self.there

    def zeroth(self, frames: NDArray[Any]) -> ComplexArray:
        """Move tapered frames (..., Y, X) by the frequency, and cut and blur them likewise."""
        return self._cut(fft.fft2(frames * self._ramp, workers=-1)) * self.here

    def _cut(self, spectra: ComplexArray) -> ComplexArray:
        return np.asarray(spectra[..., self._box[0], self._box[1]][..., self._inside])


def _away(ky: FloatArray, kx: FloatArray, grid: Grid, width: float) -> FloatArray:
    """Count little what lies near zero: haze, and what is left of the other order."""
    steps = np.hypot(ky[:, None] / grid.step[0], kx / grid.step[1])
    return np.asarray(1 - np.exp(-((steps / width) ** 2)))


def depth_and_turn(
    zeroth: NDArray[Any],
    first: ComplexArray,
    noise: float,
    overlap: Overlap,
    independent: float,
) -> tuple[float, float, float]:
    """Find the depth, and by how much all phases are to be turned.

    Parameters
    ----------
    zeroth, first
        Orders 0 and +1 of the tapered frames, in space, (Y, X).
    noise
        Power of the noise in either.
    overlap
        At the frequency of the fringes.
    independent
        Share of the frequencies that are independent, less than 1 in tapered frames.

    Returns
    -------
    depth, error, turn
        The depth and its standard error from noise alone; radians to add to the phases with
        which the orders were taken apart.
    """
    spectrum = fft.fft2(first, workers=-1)
    sums = _Sums.of(overlap.zeroth(zeroth), overlap.first(spectrum), noise, overlap)
    return (
        2 * abs(sums.cross) / sums.zeroth,
        2 * math.sqrt(noise / (2 * independent * sums.zeroth)),
        float(np.angle(sums.cross)),
    )


def agreement(
    zeroth: NDArray[Any], first: ComplexArray, noise: float, overlap: Overlap
) -> float | None:
    """Correlate the orders as if there were no noise: 1 where the OTF is that of the microscope.

    None where noise is most of what an order shows, since it cannot be told then.
    """
    spectrum = fft.fft2(first, workers=-1)
    sums = _Sums.of(overlap.zeroth(zeroth), overlap.first(spectrum), noise, overlap)
    if sums.zeroth < 0.5 * sums.noisy_zeroth or sums.first < 0.5 * sums.noisy_first:
        return None
    return abs(sums.cross) / math.sqrt(sums.zeroth * sums.first)


@dataclass(frozen=True)
class _Sums:
    """Weighted sums over an overlap; powers with the noise, and with its power taken off."""

    cross: complex
    noisy_zeroth: float
    noisy_first: float
    zeroth: float
    first: float

    @classmethod
    def of(cls, zeroth: ComplexArray, first: ComplexArray, noise: float, overlap: Overlap) -> _Sums:
        weight = overlap.weight
        powers = [float((weight * np.abs(order) ** 2).sum()) for order in (zeroth, first)]
        clean = [
            max(
                power - noise * float((weight * np.abs(by) ** 2).sum()), _LEAST_POWER * power, 1e-30
            )
            for power, by in zip(powers, (overlap.here, overlap.there), strict=True)
        ]
        cross = complex((weight * first * zeroth.conj()).sum())
        return cls(cross, powers[0], powers[1], clean[0], clean[1])


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
    sample = there.conj() * moved / (np.abs(there) ** 2 + noise / behind)
    in_the_way = len(frames) * noise + np.abs(here) ** 2 * (
        (depth / 2) ** 2 * ahead + _LEFT_OVER * own
    )
    counts = _away(grid.ky - ky, grid.kx - kx, grid, 1.0) * (np.abs(there) > 0)
    template = fft.ifft2(counts * here * sample / in_the_way, workers=-1)

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
