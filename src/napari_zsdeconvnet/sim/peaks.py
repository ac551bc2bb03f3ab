"""Where the fringes may be: peaks of a cross-correlation at the steps of the grid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from .orders import ComplexArray, FloatArray, Grid, unmixing
from .otf import OTF

SURE = 0.001
"""Chance that noise has such a peak, below which fringes are found."""

_OTHERS = 11  # peaks beside the highest that are looked at
_RIVAL = 0.5  # of the highest peak; between the steps of the grid less is lost
_APART = 2  # steps of the grid
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
    the sample it should show is that of order 0, deconvolved. The sum is over what the window
    of the grid leaves of the image.

    Parameters
    ----------
    spectra
        Of the frames of one orientation, their borders tapered, (phases, Y, X).
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
    return np.asarray(np.abs(fft.fft2(product * grid.window**2, workers=-1)), dtype=float)


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


def highest(relative: FloatArray, search: Search, grid: Grid) -> list[Peak]:
    """Find the highest peaks within a search, the highest first.

    A structure with a period of its own, or of few and thin parts, has peaks beside that of
    the fringes, which lies between the steps of the grid and may be lower there. Those that
    noise might have as well are left out, but for the highest.

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
    inside = np.where(region, relative, -1.0)
    tops = region & (inside == ndimage.maximum_filter(inside, 2 * _APART + 1, mode="wrap"))
    heights = inside[tops]
    count = np.count_nonzero(region)
    peaks: list[Peak] = []
    for place in np.flatnonzero(tops)[np.argsort(-heights)][: _OTHERS + 1]:
        row, column = np.unravel_index(place, region.shape)
        height = float(relative[row, column])
        # Noise has heights of which a share exp(-height^2) is larger.
        single = math.exp(-min(height**2, 700.0))
        chance = -math.expm1(count * math.log1p(-min(single, 1 - 1e-12)))
        if peaks and (chance > SURE or height < _RIVAL * peaks[0].snr):
            break
        frequency = float(grid.ky[row]), float(grid.kx[column])
        if given and chance > SURE:
            frequency = _as_given(search, frequency)
        peaks.append(Peak(frequency, height, float(chance), given))
    return peaks


def _as_given(search: Search, near: tuple[float, float]) -> tuple[float, float]:
    """Give the frequency of a period and an angle, on the side on which another one lies.

    Of the two directions that mean the same fringes, it is that of the rising phases.
    """
    angle = math.radians(search.angle or 0.0)
    length = 1 / (search.period or 1.0)
    forward = length * math.sin(angle), length * math.cos(angle)
    nearer = forward[0] * near[0] + forward[1] * near[1] >= 0
    return forward if nearer else (-forward[0], -forward[1])


def _nearest(search: Search, grid: Grid) -> NDArray[np.bool_]:
    """Mark the one frequency of a coarse grid that is nearest to a narrow search."""
    middle = (search.least + search.most) / 2
    angle = math.radians(search.angle or 0.0)
    distance = np.hypot(
        grid.ky[:, None] - middle * math.sin(angle), grid.kx - middle * math.cos(angle)
    )
    return np.asarray(distance == distance.min())
