"""The frequency of the fringes: found as a peak of a cross-correlation, then refined."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, optimize

from .orders import ComplexArray, FloatArray, Grid, unmixing
from .otf import OTF

SURE = 0.001
"""Chance that noise has such a peak, below which fringes are found."""

_BLOCK = 8  # pixels
_REACH = 2  # steps of the grid
_RINGS = 24  # in which the height of the noise is measured, from the least frequency to the largest


@dataclass(frozen=True)
class Search:
    """Where a peak may lie.

    Attributes
    ----------
    least, most
        Bounds of the frequency, cycles per micrometre.
    angle
        Degrees about which to search; None for all.
    spread
        Degrees to either side of `angle`.
    period
        Micrometres, where it is known; with an angle the frequency is.
    """

    least: float
    most: float
    angle: float | None = None
    spread: float = 4.0
    period: float | None = None

    def region(self, grid: Grid) -> NDArray[np.bool_]:
        """Mark the frequencies of `grid` that are searched."""
        radius = grid.radius
        inside = (radius >= self.least) & (radius <= self.most)
        if self.angle is None:
            return np.asarray(inside)
        angle = np.degrees(np.arctan2(grid.ky[:, None], grid.kx)) - self.angle
        off = np.abs((angle + 90) % 180 - 90)
        return np.asarray(inside & (off <= self.spread))


@dataclass(frozen=True)
class Peak:
    """A peak of the cross-correlation.

    Attributes
    ----------
    frequency
        (ky, kx), cycles per micrometre.
    snr
        Its height over the root mean square of the correlation about as far from zero.
    chance
        Probability that noise alone has a peak as high in the region that was searched.
    given
        Whether period and angle were given, so that the frequency stands without a peak. If
        noise is all there is, `frequency` is as given.
    """

    frequency: tuple[float, float]
    snr: float
    chance: float
    given: bool = False


def correlation_map(spectra: ComplexArray, phases: FloatArray, grid: Grid, otf: OTF) -> FloatArray:
    r"""Correlate the orders 0 and +1 at every shift of the grid.

    .. math:: c(k) = \sum_q H^*(q)\,S_+(q)\,\hat S^*(q - k)

    Each lag is weighted as a matched filter would: the noise of the first order is white, and
    the sample it should show is that of order 0, deconvolved.

    Parameters
    ----------
    spectra
        Of the tapered frames of one orientation, (phases, Y, X).
    phases
        Radians, as far as they are known.
    grid, otf
        The frequencies, and what the microscope passes of them.

    Returns
    -------
    numpy.ndarray
        (Y, X), the modulus over its own root mean square in the ring about each frequency, 1
        where there is noise alone.
    """
    transfer = otf.at(grid.ky, grid.kx)
    separate = unmixing(phases)
    power = np.abs(transfer) ** 2
    whitened = np.sqrt(grid.radius / otf.cutoff)
    sample = np.conj(transfer) / (power + 0.01) * whitened
    first = np.tensordot(separate[1], spectra, 1) * np.conj(transfer) * whitened
    zeroth = np.tensordot(separate[0], spectra, 1) * sample
    product = fft.ifft2(first.astype(np.complex64), workers=-1) * np.conj(
        fft.ifft2(zeroth.astype(np.complex64), workers=-1)
    )
    return np.asarray(np.abs(fft.fft2(product, workers=-1)), dtype=float)


def relative_to_noise(heights: FloatArray, grid: Grid, least: float, most: float) -> FloatArray:
    """Divide the correlation by its own root mean square in rings, as noise would have it.

    The median stands for it, so that the peaks themselves do not count.
    """
    edges = np.linspace(0.9 * least, 1.1 * most, _RINGS + 1)
    ring = np.clip(np.digitize(grid.radius, edges) - 1, 0, _RINGS - 1)
    levels = np.array(
        [
            np.median(heights[ring == index]) if (ring == index).any() else np.nan
            for index in range(_RINGS)
        ]
    )
    centres = (edges[1:] + edges[:-1]) / 2
    good = np.isfinite(levels)
    # Of moduli that scatter as Rayleigh has it, the median is sqrt(ln 2) of the rms.
    smooth = np.interp(grid.radius, centres[good], levels[good]) / math.sqrt(math.log(2))
    return np.asarray(heights / np.maximum(smooth, np.finfo(float).tiny))


def highest(relative: FloatArray, search: Search, grid: Grid) -> Peak:
    """Find the highest peak within a search.

    Parameters
    ----------
    relative
        Correlation over the noise, (Y, X).
    search
        Where to look.
    grid
        The frequencies.
    """
    region = search.region(grid)
    given = search.period is not None and search.angle is not None
    if not region.any():
        region = _nearest(search, grid)
    row, column = np.unravel_index(np.where(region, relative, -1.0).argmax(), region.shape)
    height = float(relative[row, column])
    # Noise has heights of which a share exp(-height^2) is larger.
    single = math.exp(-min(height**2, 700.0))
    chance = -math.expm1(np.count_nonzero(region) * math.log1p(-min(single, 1 - 1e-12)))
    frequency = float(grid.ky[row]), float(grid.kx[column])
    if given and chance > SURE:
        angle = math.radians(search.angle or 0.0)
        length = 1 / (search.period or 1.0)
        forward = length * math.sin(angle), length * math.cos(angle)
        # Of the two directions that mean the same fringes, that of the rising phases.
        nearer = forward[0] * frequency[0] + forward[1] * frequency[1] >= 0
        frequency = forward if nearer else (-forward[0], -forward[1])
    return Peak(frequency, height, float(chance), given)


def _nearest(search: Search, grid: Grid) -> NDArray[np.bool_]:
    """Mark the one frequency of a coarse grid that is nearest to a narrow search."""
    middle = (search.least + search.most) / 2
    angle = math.radians(search.angle or 0.0)
    distance = np.hypot(
        grid.ky[:, None] - middle * math.sin(angle), grid.kx - middle * math.cos(angle)
    )
    return np.asarray(distance == distance.min())


def refined(
    spectra: ComplexArray,
    phases: FloatArray,
    frequency: tuple[float, float],
    grid: Grid,
    otf: OTF,
) -> tuple[float, float]:
    r"""Move a frequency to the top of the correlation, between the steps of the grid.

    .. math:: c(k) = \sum_q A(q) S_+(q)\, A(q - k) S_0^*(q - k), \quad A = \sqrt{|H|}\,|q|^{5/4}

    The filter makes most samples about white, so that large and bright structures do not
    decide alone, and needs no exact OTF. In space c is the Fourier transform of a product,
    which can be had at any frequency.

    Parameters
    ----------
    spectra
        Of the tapered frames of one orientation, (phases, Y, X).
    phases
        Radians, as far as they are known.
    frequency
        (ky, kx), within two steps of the grid.
    grid, otf
        The frequencies, and what the microscope passes of them.

    Returns
    -------
    tuple of float
        (ky, kx), cycles per micrometre.
    """
    white = np.sqrt(np.abs(otf.at(grid.ky, grid.kx))) * (grid.radius / otf.cutoff) ** 1.25
    orders = np.tensordot(unmixing(phases)[:2].astype(np.complex64), spectra, 1)
    zeroth, first = fft.ifft2(orders * white.astype(np.float32), workers=-1)
    turned = first * zeroth.conj() * grid.ramp(frequency).conj()
    # Turned back, so that little is left to vary, the product is summed over blocks.
    starts = [np.arange(0, n, _BLOCK) for n in grid.shape]
    sums = np.add.reduceat(np.add.reduceat(turned, starts[0], 0), starts[1], 1)
    y, x = (
        np.add.reduceat(axis, start) / np.diff([*start, len(axis)])
        for axis, start in zip((grid.y, grid.x), starts, strict=True)
    )

    def height(steps: FloatArray) -> float:
        rows = np.exp(-2j * np.pi * steps[0] * grid.step[0] * y)
        columns = np.exp(-2j * np.pi * steps[1] * grid.step[1] * x)
        # Too few numbers for threads, which a matrix product would wait for.
        return float(abs((rows[:, None] * sums * columns).sum()))

    # The map that gave the frequency is filtered otherwise: the top may be a few steps off.
    near = np.linspace(-_REACH, _REACH, 8 * _REACH + 1)
    rows, columns = (
        np.exp(-2j * np.pi * np.outer(near, axis) * step)
        for axis, step in zip((y, x), grid.step, strict=True)
    )
    heights = np.abs(rows @ sums @ columns.T)
    row, column = np.unravel_index(heights.argmax(), heights.shape)
    start = np.array([near[row], near[column]])
    top = max(height(start), 1e-30)
    simplex = start + np.array([[0.0, 0.0], [0.1, 0.0], [0.0, 0.1]])
    found = optimize.minimize(
        lambda steps: -height(steps) / top,
        simplex[0],
        method="Nelder-Mead",
        options={"initial_simplex": simplex, "xatol": 1e-4, "fatol": 1e-10},
    ).x
    return (
        frequency[0] + float(found[0]) * grid.step[0],
        frequency[1] + float(found[1]) * grid.step[1],
    )
