"""Beads that stand near one another or the border, fitted together to one shape."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .grid import core_centre, fourier_shift

FloatArray = NDArray[np.float64]

_ROUNDS = 10  # neighbours a bead's width apart are told apart to a per cent by then
_MOST_BEADS = 16
_FEWEST_FAR = 1000  # pixels beyond all beads that give the background


def fitted_together(
    counts: FloatArray,
    peaks: NDArray[np.intp],
    half: tuple[int, ...],
    width: float,
) -> tuple[FloatArray, FloatArray] | None:
    r"""Find the one shape whose copies at the beads explain the image.

    The image is taken as :math:`b + \sum_i a_i\,h(r - r_i)`. In turns the shape h is the mean,
    weighted by the brightness, of what each bead's window holds beyond the copies of the others,
    and the brightness of each is that of the least squares. Where the image ends a bead says
    nothing, and others have to.

    Parameters
    ----------
    counts
        (Y, X) or (Z, Y, X).
    peaks
        Brightest pixel of each bead, (N, axes); the brightest beads first.
    half
        Half of the window along each axis.
    width
        Of a bead across the field, pixels.

    Returns
    -------
    shape, places
        The shape, odd, and the sub-pixel positions of the beads; None where the windows
        together leave a part of the shape unseen.
    """
    peaks = peaks[:_MOST_BEADS]
    places = np.array([_place(counts, peak, width) for peak in peaks])
    whole = np.rint(places).astype(int)
    windows = [_Window(counts.shape, centre, half) for centre in whole]
    size = tuple(2 * h + 1 for h in half)
    seen = np.sum([window.valid(size) for window in windows], axis=0)
    if not seen.all():
        return None
    image = counts - _background(counts, windows)
    shape = np.zeros(size)
    light = np.array([image[tuple(peak)] for peak in peaks])
    for turn in range(_ROUNDS):
        copies = [
            a * fourier_shift(shape, place - centre)
            for a, place, centre in zip(light, places, whole, strict=True)
        ]
        total = np.zeros(image.shape)
        for window, copy in zip(windows, copies, strict=True):
            total[window.outer] += copy[window.inner]
        over, under = np.zeros(size), np.zeros(size)
        for index, window in enumerate(windows):
            # Where the image ends, the copy stands for it, so that nothing rings when it is moved.
            own = copies[index].copy()
            own[window.inner] += (image - total)[window.outer]
            own = fourier_shift(own, whole[index] - places[index])
            valid = window.valid(size)
            if turn == 0:
                valid = valid * _nearest(whole, index, half)
            over += light[index] * valid * own
            under += light[index] ** 2 * valid
        shape = over / np.maximum(under, 1e-12 * under.max())
        shape /= max(float(shape.max()), 1e-30)
        light = np.array(
            [
                _brightness(image - total, copy, window, a)
                for copy, window, a in zip(copies, windows, light, strict=True)
            ]
        )
    return shape, places


class _Window:
    """The part of a bead's window that lies in the image."""

    def __init__(
        self, shape: tuple[int, ...], centre: NDArray[np.intp], half: tuple[int, ...]
    ) -> None:
        starts = [int(c) - h for c, h in zip(centre, half, strict=True)]
        stops = [int(c) + h + 1 for c, h in zip(centre, half, strict=True)]
        low = [max(start, 0) for start in starts]
        high = [min(stop, n) for stop, n in zip(stops, shape, strict=True)]
        self.outer = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        self.inner = tuple(
            slice(a - start, b - start) for a, b, start in zip(low, high, starts, strict=True)
        )

    def valid(self, size: tuple[int, ...]) -> FloatArray:
        inside = np.zeros(size)
        inside[self.inner] = 1.0
        return inside


def _place(counts: FloatArray, peak: NDArray[np.intp], width: float) -> FloatArray:
    """Find a bead's centre from its core alone."""
    reach = [int(1.2 * width) + 2] * 2
    if counts.ndim == 3:
        reach.insert(0, len(counts))
    low = [max(int(p) - r, 0) for p, r in zip(peak, reach, strict=True)]
    high = [int(p) + r + 1 for p, r in zip(peak, reach, strict=True)]
    part = counts[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    return np.asarray(core_centre(part - np.median(part)) + np.array(low))


def _background(counts: FloatArray, windows: list[_Window]) -> float:
    far = np.ones(counts.shape, dtype=bool)
    for window in windows:
        far[window.outer] = False
    if np.count_nonzero(far) < _FEWEST_FAR:
        return float(np.median(counts))
    values = counts[far]
    return float(values[values <= np.percentile(values, 99)].mean())


def _nearest(centres: NDArray[np.intp], index: int, half: tuple[int, ...]) -> FloatArray:
    """Mark the pixels of a window that lie nearer to its own bead than to any other."""
    axes = np.meshgrid(*(np.arange(-h, h + 1) for h in half), indexing="ij")
    offsets = np.stack(axes, axis=-1)[..., -2:]
    own = (offsets**2).sum(axis=-1)
    nearest = np.ones(own.shape, dtype=bool)
    for other in np.delete(centres, index, axis=0):
        nearest &= own < ((offsets - (other - centres[index])[-2:]) ** 2).sum(axis=-1)
    return nearest.astype(float)


def _brightness(residual: FloatArray, copy: FloatArray, window: _Window, light: float) -> float:
    """Correct the brightness of a bead by what its copy leaves unexplained."""
    own = copy[window.inner]
    power = float((own**2).sum())
    if not power:
        return light
    return light * max(1 + float((residual[window.outer] * own).sum()) / power, 0.05)
