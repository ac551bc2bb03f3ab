r"""Where the orders overlap: the frequency of the fringes, their phase and their depth.

Where both bands reach, the first order is the zeroth one moved,

.. math:: H(q - k)\,S_+(q) = \tfrac{m}{2} e^{i\varphi} H(q)\,S_0(q - k)

up to noise. Filtered alike on both sides, so that each frequency counts as its noise allows, and
taken back to space, the one times the conjugate of the other is
:math:`\tfrac{m}{2} e^{i\varphi} |u(r)|^2`: positive but for the phase. A frequency that is off
by :math:`\delta` turns it by :math:`2\pi\,\delta \cdot r`, so that the maximum of

.. math:: \Bigl|\sum_r e^{-2\pi i\,\delta \cdot r}\, u_+(r)\,u_0^*(r)\Bigr|

finds :math:`\delta`, as maximum likelihood does where noise is white, and its phase and height
are those of the fringes. Filters that differ between the orders would bend the maximum to one
side by a few hundredths of a step of the grid, in frames without noise, too. So would a taper
before the filters; the borders are left out of the sum over space instead.

No microscope has quite the OTF it is taken for, and what is then left unexplained grows with the
power of the sample at each frequency. Where it is known how much that is, a frequency counts
inversely as noise and this error together (compare Knapp and Carter 1976, on delays), so that few
strong ones do not decide alone.

What noise adds to the power of the zeroth order is known, since it is measured beyond the
cutoff, and is subtracted: plain regression would find the depth too low.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import fft, optimize

from .orders import ComplexArray, FloatArray, Grid
from .otf import OTF

_EDGE = 0.02  # of the OTF, below which it is not trusted
_NOTCH = 3.0  # steps of the frequency about the zero of either order that count little
_BORDER = 12  # pixels at each border over which the sum fades in
_LEAST_POWER = 0.2  # share of an order's power that is left to it when noise is subtracted
_BLOCKS = 16  # along Y and along X, within which the fringes hardly turn between two looks
_LOOK = 1 / 8  # steps of the grid between the first looks for the maximum


@dataclass(frozen=True)
class Fringes:
    """What two orders tell of the fringes.

    Attributes
    ----------
    frequency
        (ky, kx), cycles per micrometre.
    turn
        Radians at the centre of the image, of a frame with which the orders were taken apart
        as if its phase were 0.
    depth
        Modulation depth, corrected for noise.
    explained
        Power of the first order that the zeroth explains; it compares frequencies.
    agreement
        Correlation of the orders as if there were no noise, 1 where the OTF is that of the
        microscope; None where noise is most of what an order shows, since it cannot be told
        then.
    """

    frequency: tuple[float, float]
    turn: float
    depth: float
    explained: float
    agreement: float | None


class Overlap:
    """The frequencies that two orders share near a frequency of the fringes.

    Parameters
    ----------
    frequency
        (ky, kx) of the fringes as far as it is known, cycles per micrometre. The overlap is
        taken at the nearest step of the grid, where one order moves onto the other as it is.
    depth
        As far as it is known; it decides between the weights of the two orders.
    grid, otf
        The frequencies, and what the microscope passes of them.
    """

    def __init__(self, frequency: tuple[float, float], depth: float, grid: Grid, otf: OTF) -> None:
        self._grid = grid
        self._depth = depth
        wanted = np.divide(frequency, grid.step)
        self._whole = tuple(int(step) for step in np.rint(wanted))
        self._off = wanted - self._whole
        steps = [
            _shared(n, whole, otf.cutoff / step)
            for n, whole, step in zip(grid.shape, self._whole, grid.step, strict=True)
        ]
        self._first = np.ix_(*steps)
        self._zeroth = np.ix_(*(s - whole for s, whole in zip(steps, self._whole, strict=True)))
        (y, x), (v, u) = (
            [s * step for s, step in zip(part, grid.step, strict=True)]
            for part in (steps, [s - w for s, w in zip(steps, self._whole, strict=True)])
        )
        here, there = otf.at(y, x), otf.at(v, u)
        inside = (np.abs(here) > _EDGE) & (np.abs(there) > _EDGE)
        counts = inside * far_from_zero(y, x, grid, _NOTCH) * far_from_zero(v, u, grid, _NOTCH)
        both = np.abs(there) ** 2 + (depth / 2 * np.abs(here)) ** 2
        weight = np.sqrt(counts / np.where(inside, both, 1))
        self._filters = (weight * here).astype(np.complex64), (weight * there).astype(np.complex64)
        self._shape = [fft.next_fast_len(max(len(s), _BLOCKS)) for s in steps]
        spans = [n / size for n, size in zip(grid.shape, self._shape, strict=True)]
        pixels = [np.arange(size) * span for size, span in zip(self._shape, spans, strict=True)]
        self._window = np.outer(*map(_fading_in, pixels, grid.shape)).astype(np.float32)
        self._places = [p - (n - 1) / 2 for p, n in zip(pixels, grid.shape, strict=True)]

    def fringes(
        self,
        zeroth: ComplexArray,
        first: ComplexArray,
        noises: tuple[float, float],
        reach: float,
        unexplained: float = 0.0,
    ) -> Fringes:
        """Find the fringes within some steps of the grid about the frequency given.

        Parameters
        ----------
        zeroth, first
            Spectra of the orders 0 and +1, (Y, X), of frames that are not tapered.
        noises
            Power of the noise in each.
        reach
            Steps of the grid; 0 takes the frequency as it was given.
        unexplained
            Share of the first order's power that the zeroth does not explain and noise does
            not either, as the OTF of a microscope is never quite the one it is taken for.
        """
        orders = (
            zeroth[self._zeroth] * self._filters[0],
            first[self._first] * self._filters[1],
        )
        images = [self._in_space(order) for order in orders]
        product = self._window * images[1] * images[0].conj()
        if reach and unexplained:
            trust = self._trust(*orders, noises[1], unexplained)
            evened = [self._in_space(order * trust) for order in orders]
            off = self._top(self._window * evened[1] * evened[0].conj(), reach)
        else:
            off = self._top(product, reach)
        cross = self._value(product, off)
        powers = [float((self._window * np.abs(image) ** 2).sum()) for image in images]
        extent = float(self._window.sum()) / math.prod(self._shape) ** 2
        clean = [
            max(
                power - noise * extent * float((np.abs(by) ** 2).sum()), _LEAST_POWER * power, 1e-30
            )
            for power, noise, by in zip(powers, noises, self._filters, strict=True)
        ]
        seen = all(c >= 0.5 * power for c, power in zip(clean, powers, strict=True))
        at_centre = sum(
            math.pi * whole * (n - 1) / n
            for whole, n in zip(self._whole, self._grid.shape, strict=True)
        )
        frequency = tuple(
            (whole + d) * step
            for whole, d, step in zip(self._whole, off, self._grid.step, strict=True)
        )
        return Fringes(
            frequency=(frequency[0], frequency[1]),
            turn=math.remainder(float(np.angle(cross)) + at_centre, 2 * math.pi),
            depth=2 * abs(cross) / clean[0],
            explained=abs(cross) ** 2 / max(powers[0], 1e-30),
            agreement=abs(cross) / math.sqrt(clean[0] * clean[1]) if seen else None,
        )

    def _in_space(self, spectrum: ComplexArray) -> ComplexArray:
        return np.asarray(fft.ifft2(spectrum, s=self._shape, workers=-1))

    def _trust(
        self, zeroth: ComplexArray, first: ComplexArray, noise: float, unexplained: float
    ) -> FloatArray:
        """Give the factor by which each frequency counts where a share of it is unexplained.

        What is unexplained is an error in proportion to the power there, beside the noise, and
        a frequency counts inversely as both together.
        """
        half = self._depth / 2
        power = (np.abs(first) ** 2 + half**2 * np.abs(zeroth) ** 2 - noise) / 2
        error = noise + unexplained * np.maximum(power, 0)
        return np.asarray(np.sqrt(noise / error) if noise else 1 / np.sqrt(error + 1e-30))

    def _top(self, product: ComplexArray, reach: float) -> FloatArray:
        """Find where the transform of the product is highest, in steps of the grid."""
        if not reach:
            return self._off
        near = np.arange(-reach, reach + _LOOK / 2, _LOOK)
        rows, columns = (self._waves(self._off[axis] + near, axis) for axis in (0, 1))
        heights = np.abs(rows @ product @ columns.T)
        row, column = np.unravel_index(heights.argmax(), heights.shape)
        start = self._off + near[[row, column]]
        top = max(float(heights.max()), 1e-30)
        # Turned back, so that little is left to vary, the product is summed over blocks.
        turned = product * np.outer(self._waves(start[0], 0), self._waves(start[1], 1))
        edges = [np.arange(_BLOCKS) * n // _BLOCKS for n in product.shape]
        sums = np.add.reduceat(np.add.reduceat(turned, edges[0], 0), edges[1], 1)
        y, x = (
            np.add.reduceat(places, edge) / np.diff([*edge, len(places)]) / n
            for places, edge, n in zip(self._places, edges, self._grid.shape, strict=True)
        )

        def height(off: FloatArray) -> float:
            rows, columns = np.exp(-2j * np.pi * off[0] * y), np.exp(-2j * np.pi * off[1] * x)
            # Too few numbers for threads, which a matrix product would wait for.
            return float(abs((rows[:, None] * sums * columns).sum()))

        found = optimize.minimize(
            lambda off: -height(off) / top,
            np.zeros(2),
            method="Nelder-Mead",
            options={
                "initial_simplex": _LOOK / 2 * np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]),
                "xatol": 1e-4,
                "fatol": 1e-10,
            },
        ).x
        return np.asarray(start + found)

    def _value(self, product: ComplexArray, off: FloatArray) -> complex:
        """Give the transform of the product at a frequency off the whole steps."""
        return complex(self._waves(off[0], 0) @ product @ self._waves(off[1], 1))

    def _waves(self, off: FloatArray, axis: int) -> ComplexArray:
        places = self._places[axis] / self._grid.shape[axis]
        return np.asarray(np.exp(-2j * np.pi * np.multiply.outer(off, places)))


def far_from_zero(ky: FloatArray, kx: FloatArray, grid: Grid, width: float) -> FloatArray:
    """Count little what lies near zero: haze, and what is left of the other order."""
    steps = np.hypot(ky[:, None] / grid.step[0], kx / grid.step[1])
    return np.asarray(1 - np.exp(-((steps / width) ** 2)))


def _shared(length: int, whole: int, cutoff: float) -> np.ndarray:
    """Give the steps along an axis that lie in both bands, and on the grid in both orders."""
    least = max(math.ceil(-cutoff), math.ceil(whole - cutoff), -(length // 2), whole - length // 2)
    most = min(math.floor(cutoff), math.floor(whole + cutoff))
    most = min(most, (length - 1) // 2, whole + (length - 1) // 2)
    return np.arange(least, max(most, least) + 1)


def _fading_in(pixels: FloatArray, length: int) -> FloatArray:
    """Give 0 at the outer edges of the border pixels, rising to 1 inside."""
    edge = np.minimum(pixels + 0.5, length - 0.5 - pixels)
    return np.asarray(np.sin(np.pi / 2 * np.clip(edge / _BORDER, 0, 1)) ** 2)
