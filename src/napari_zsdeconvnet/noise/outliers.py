r"""Isolated outliers of a camera: hot and dead pixels, cosmic rays, hot and dead columns.

No structure of the optics is one pixel wide. Light is a sum of PSFs and a constant, and a pixel of
a Gaussian PSF of standard deviation :math:`\sigma` is at most :math:`\rho = \exp(1 / 2 \sigma^2)`
times as bright as its neighbours, wherever its centre lies; so is any sum of such PSFs. A pixel
that is brighter than that, or darker by as much, beyond its noise, is no light. Neighbours are
ranked; the second (against one hot neighbour) and the fourth (against a small cluster) are
compared. On bright structure a finer test is that of its curvature: with :math:`g = 1 / \rho` a
point source leaves :math:`(1 - g)^2` of itself in the mixed second difference, and whatever is
smoother leaves less. Where the width of a PSF is known to be finer sampled than the optics ask for,
a pixel is also compared with what all of its surroundings predict (`surroundings`).

Nothing of the camera is known yet. So the noise is measured in the plane itself, by its level, and
the tails of its distribution are continued as exponentials from the quantiles at 5 and 1 %: the
tails of Gaussian and Poisson noise fall faster, and heavier ones raise the limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, uniform_filter1d

from .interpolated_pixels import stand_in
from .surroundings import REACH, Predictor, beyond_predicted, predictors

Plane = NDArray[np.floating]
Marked = NDArray[np.bool_]

USUAL_WIDTH = 1.0
"""Full width at half maximum of the PSF, pixels, where it is not known: coarsely sampled."""

NYQUIST_WIDTH = 2.04
"""The same where pixels are as coarse as the optics allow, which is assumed of an image alone."""

WIDEST = 2.3
"""Full width at half maximum, pixels, from where on PSFs are taken for one: a wider one adds little
to what surroundings predict, and a wrong one would cost structure."""

_WIDEST = 2.0  # pixels; a wider PSF adds nothing, and a wrong one would cost structure
_NARROWEST = 0.5
_MARGIN = 1.5  # times rho; real PSFs are no Gaussians
_NEIGHBOUR_NOISE = 2.0  # standard deviations of a pixel that a ranked neighbour may be too low
_CURVED = 2.5  # times (1 - g)^2
_CURVATURE_NOISE = 1.5  # standard deviation of the mixed second difference, in those of a pixel
_PEAK = 0.5  # times it, by which a pixel is brighter than its neighbours and they not darker
_ALPHA = 1e-3  # false outliers in a plane of noise
_LEAST_LIMIT = 8.0  # standard deviations
_MOST = 0.005  # part of a plane; more are not isolated, and the plane is as it is
_RINGS = 0.04  # part of the light nearby that rings and spikes of a bright spot have
_CLUSTER = 5  # pixels at most
_WELL_SAMPLED = 2.1  # pixels in the width of a PSF, from where on surroundings predict a pixel
_LEFT = 1.5  # times what light leaves; real PSFs are no Gaussians
_ROUNDS = 4
_NEARBY = 7  # pixels to either side
_RUN = 16  # pixels of a column or row that is hot or dead as a whole
_RUN_SHARE = 0.8
_RUN_LIMIT = 4.0  # standard deviations of each of its pixels
_DARKEST = 0.03  # part of the pixels, more than dead columns have
_SAMPLE = 200_000  # pixels that the noise is measured in
_SAMPLE_LEFT = 60_000  # the same of what predictors leave, which is measured again and again
_WORKING = (48, 74)
"""Bytes that a pixel takes, without and with the comparison with what surrounds it, measured."""
_AROUND = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]


def memory_to_search(shape: tuple[int, ...], width: float | None) -> int:
    """Bytes that `isolated_outliers` takes for a plane of this shape and a PSF of this width."""
    return math.prod(shape[-2:]) * _WORKING[_predicts(width)]


def _predicts(width: float | None) -> bool:
    """Whether the surroundings of a pixel predict it."""
    return width is not None and width > _WELL_SAMPLED


def isolated_outliers(
    plane: NDArray[Any], width: float | None = None, unusable: Marked | None = None
) -> Marked:
    """Mark pixels of one plane that neither light nor noise explains.

    Parameters
    ----------
    plane
        Counts, axes ``(Y, X)``, all finite.
    width
        Full width at half maximum of the PSF in pixels; None where it is not known.
    unusable
        Pixels that are not to be used, and hold whatever is nearest to what they should; they
        are not marked.

    Returns
    -------
    ndarray
        True for outliers; none where more than one pixel in 200 would be one.
    """
    pixels = np.asarray(plane, np.float32)
    nothing = np.zeros(pixels.shape, dtype=bool)
    if min(pixels.shape) < 8:
        return nothing
    usable = ~nothing if unusable is None else ~unusable
    light = _Light.of(pixels, usable, width)
    if light is None:
        return nothing
    found = light.lines(pixels, usable)
    lines = found.any()
    filled = np.where(found, light.beside(pixels, found), pixels) if lines else pixels
    single = light.isolated(filled) & usable & ~found
    if width is not None and _predicts(width):
        single |= _unpredicted(pixels, light.floor, width, single | found, usable)
    if single.sum() > _MOST * single.size:
        return found
    return found | single


def _unpredicted(
    pixels: Plane, floor: float, width: float, known: Marked, usable: Marked
) -> Marked:
    """Mark single pixels that differ from what their surroundings predict, on bright structure.

    The strongest are filled before others near them are looked at.
    """
    width = min(width, WIDEST)
    quantum = _quantum(pixels.ravel()[:: max(pixels.size // _SAMPLE, 1)])
    found = np.zeros(pixels.shape, dtype=bool)
    for _ in range(_ROUNDS):
        outliers = known | found
        filled = stand_in(pixels, outliers.astype(np.uint8)) if outliers.any() else pixels
        beside = np.maximum(_second_brightest(_padded(filled)), floor)
        new = np.zeros(pixels.shape, dtype=bool)
        for predictor, left in zip(predictors(width), beyond_predicted(filled, width), strict=True):
            level = np.maximum(filled - left, beside)
            new |= _beyond(predictor, left, level, floor, quantum, outliers | ~usable)
        for y, x in np.argwhere(new):
            lit = _ranked(filled, y, x, _NEARBY, _CLUSTER + 3) - floor
            new[y, x] = abs(pixels[y, x] - beside[y, x]) > _RINGS * lit
        if not new.any():
            break
        found |= new
    return found


def _beyond(
    predictor: Predictor,
    left: Plane,
    level: Plane,
    floor: float,
    quantum: float,
    left_out: Marked,
) -> Marked:
    """Mark what neither light of this level nor noise leaves over."""
    step = max(left.size // _SAMPLE_LEFT, 1)
    sample = ~left_out.ravel()[::step]
    some, at = left.ravel()[::step][sample], level.ravel()[::step][sample]
    if len(some) < 256:
        return np.zeros(left.shape, dtype=bool)
    noise = _Light(floor, 1.0, *_noise_by_level(some, at, quantum), 0.0, 0.0, 0.0)
    z = some / noise.deviation(at)
    strength = np.abs(left)
    found = np.zeros(left.shape, dtype=bool)
    for bright in (True, False):
        limit = _limit(z if bright else -z, left.size)
        share = _LEFT * _of_rest(predictor.above if bright else predictor.below)
        # No noise is less than that of the darkest pixels, which leaves few to look at closely.
        least = np.maximum(np.float32(share) * (level - floor), limit * noise.deviations[0])
        places = np.nonzero((left > least if bright else -left > least) & ~left_out)
        beside = level[places]
        bound = np.hypot(limit * noise.deviation(beside), share * np.maximum(beside - floor, 0))
        found[places] = strength[places] > bound
    if found.any():
        found &= strength >= maximum_filter(strength, 2 * REACH - 1)
    return found


def _of_rest(share: float) -> float:
    """Turn a share of a pixel's light into one of what is predicted of it."""
    return share / max(1 - share, 0.1)


def gaussian_bound(width: float | None) -> float:
    r"""How many times as bright as its neighbours a pixel of a point source may be.

    :math:`\exp(1 / 2 \sigma^2)` with the variance of the PSF and that of a pixel, 1/12.

    Parameters
    ----------
    width
        Full width at half maximum of the PSF in pixels; None takes `USUAL_WIDTH`.
    """
    known = USUAL_WIDTH if width is None or not math.isfinite(width) else width
    sigma = min(max(known, _NARROWEST), _WIDEST) / math.sqrt(8 * math.log(2))
    return math.exp(1 / (2 * (sigma**2 + 1 / 12)))


def width_from_cutoff(cutoff: float | None) -> float | None:
    """Full width at half maximum, pixels, of a PSF with this cutoff in cycles per pixel.

    Of a widefield microscope, 0.51 wavelength / NA where the cutoff is 2 NA / wavelength. From half
    a cycle per pixel on pixels are too coarse to tell, and the PSF may be narrower.
    """
    return None if cutoff is None or cutoff >= 0.5 else NYQUIST_WIDTH * 0.5 / cutoff


@dataclass(frozen=True, eq=False)
class _Light:
    """What light and noise can do in a plane."""

    floor: float  # counts that have no light, or all pixels' share of it
    ratio: float  # rho
    levels: NDArray[np.float64]  # mean counts at which the noise was measured
    deviations: NDArray[np.float64]
    high: float  # limits in standard deviations
    low: float
    curved: float

    @classmethod
    def of(cls, pixels: Plane, usable: Marked, width: float | None) -> _Light | None:
        around = _padded(pixels)
        mean = (around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]) / 4
        step = max(pixels.size // _SAMPLE, 1)
        sample = usable.ravel()[::step]
        value, level = pixels.ravel()[::step][sample], mean.ravel()[::step][sample]
        if len(value) < 256:
            return None
        floor = float(np.quantile(level, _DARKEST))
        levels, deviations = _noise_by_level(value - level, level, _quantum(value))
        light = cls(floor, gaussian_bound(width), levels, deviations, 0.0, 0.0, 0.0)
        noise = light.deviation(level)
        curvature = _curvature(around).ravel()[::step][sample] / _CURVATURE_NOISE
        low, high, curved = (
            _limit(excess / noise, pixels.size)
            for excess in (level - value, value - level, curvature)
        )
        return replace(light, high=high, low=low, curved=curved)

    def deviation(self, level: Any) -> Any:
        """Give the standard deviation of pixels of a mean; beyond what is seen, as Poisson's."""
        within = np.interp(level, self.levels, self.deviations)
        top = max(float(self.levels[-1]) - self.floor, 1e-30)
        beyond = np.maximum((np.asarray(level, np.float64) - self.floor) / top, 1.0)
        return within * np.sqrt(beyond)

    def above(self, level: Any, ratio: float, limit: float) -> Any:
        """Give the most counts that light and noise make where neighbours have this level."""
        noise = math.hypot(limit, _NEIGHBOUR_NOISE * ratio)
        return self.floor + ratio * self._lit(level) + noise * self.deviation(level)

    def below(self, level: Any, ratio: float, limit: float) -> Any:
        """Give the fewest; where all around is darker than the floor, no fewer than around."""
        dark = np.minimum(level, self.floor)
        return dark + self._lit(level) / ratio - limit * self.deviation(level)

    def _lit(self, level: Any) -> Any:
        return np.maximum(level - self.floor, 0)

    def _compared(
        self, pixels: Plane, level: Plane, ratio: float, limit: float, *, dark: bool = False
    ) -> Marked:
        """Mark pixels brighter, or darker, than light and noise make them beside this level."""
        floor, least = np.float32(self.floor), np.float32(limit * self.deviations[0])
        lit = np.maximum(level - floor, 0)
        # No noise is less than that of the darkest pixels, which leaves few to look at closely.
        if dark:
            marked = pixels < floor + lit / np.float32(ratio) - least
        else:
            marked = pixels > floor + lit * np.float32(ratio) + least
        places = np.nonzero(marked)
        value, beside = pixels[places], level[places]
        if dark:
            marked[places] = value < self.below(beside, ratio, limit)
        else:
            marked[places] = value > self.above(beside, ratio, limit)
        return np.asarray(marked)

    def isolated(self, pixels: Plane) -> Marked:
        """Mark single pixels and small clusters."""
        around = _padded(pixels)
        near, far = _MARGIN * self.ratio, _MARGIN * self.ratio**2
        # At the border a dead pixel must not be its own neighbour.
        beside = _second_lowest(np.pad(pixels, 1, mode="reflect"))
        found = self._compared(pixels, beside, near, self.low, dark=True)
        # The second lowest neighbour is no brighter than those that are compared below.
        candidates = self._compared(pixels, _second_lowest(around), near, self.high)
        curvature = _curvature(around)
        candidates |= curvature > self.curved * _CURVATURE_NOISE * np.float32(self.deviations[0])
        places = np.nonzero(candidates)
        value = pixels[places]
        neighbours = np.sort([around[places[0] + 1 + y, places[1] + 1 + x] for y, x in _AROUND], 0)
        bright = value > self.above(neighbours[-2], near, self.high)
        cluster = value > self.above(neighbours[-4], far, self.high)
        curved = curvature[places]
        peak = value - neighbours[-2] > _PEAK * curved
        left = _CURVED * (1 - 1 / self.ratio) ** 2 * self._lit(value)
        noise = _CURVATURE_NOISE * self.curved * self.deviation(neighbours[-2])
        bright |= peak & (curved > np.hypot(left, noise))
        for y, x in np.transpose(places)[bright | cluster]:
            # The brightest nearby that is more than a pixel or a small cluster of them.
            lit = _ranked(pixels, y, x, _NEARBY, _CLUSTER + 3) - self.floor
            found[y, x] = pixels[y, x] - self.floor > _RINGS * lit
        for y, x in np.transpose(places)[cluster & ~bright]:
            # The corner of something bright has more of it beyond its neighbours.
            beyond = _ranked(pixels, y, x, 2, _CLUSTER)
            found[y, x] &= pixels[y, x] > self.above(beyond, far, self.high)
        return found

    def lines(self, pixels: Plane, usable: Marked) -> Marked:
        """Mark columns and rows, or long parts of them, that are hot or dead, one or two wide."""
        found = np.zeros(pixels.shape, dtype=bool)
        for turned in (False, True):
            image, view = (pixels.T, found.T) if turned else (pixels, found)
            view |= self._columns(image) & (usable.T if turned else usable)
        return found

    def _columns(self, pixels: Plane) -> Marked:
        around = np.pad(pixels, ((0, 0), (2, 2)), mode="reflect")
        one, two, four, five = (
            around[:, shift : shift + pixels.shape[1]] for shift in (0, 1, 3, 4)
        )
        single, double = (two + four) / 2, [(two + five) / 2, (one + four) / 2]
        # As of coarse sampling: a line along a column may be narrower than the PSF is said to be.
        ratio = max(gaussian_bound(None), self.ratio)
        near, far = _MARGIN * ratio, _MARGIN * ratio**2
        hot = self._compared(pixels, single, near, _RUN_LIMIT)
        hot |= self._compared(pixels, np.minimum(*double), far, _RUN_LIMIT)
        dead = self._compared(pixels, single, near, _RUN_LIMIT, dark=True)
        dead |= self._compared(pixels, np.maximum(*double), far, _RUN_LIMIT, dark=True)
        return _long(hot) | _long(dead)

    def beside(self, pixels: Plane, found: Marked) -> Plane:
        """Give the mean of the nearest pixels to either side that are not part of a line."""
        filled = np.where(found, np.nan, pixels)
        sides = [np.roll(filled, shift, axis) for axis in (0, 1) for shift in (-2, -1, 1, 2)]
        count = np.isfinite(sides).sum(axis=0)
        total = np.nansum(sides, axis=0)
        return np.where(count > 0, total / np.maximum(count, 1), self.floor).astype(np.float32)


def _second_lowest(around: Plane) -> Plane:
    """Give the second lowest of the eight neighbours of each pixel, without the rim."""
    height, breadth = around.shape[0] - 2, around.shape[1] - 2
    least = np.full((height, breadth), np.inf, np.float32)
    second = least.copy()
    for dy, dx in _AROUND:
        moved = around[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + breadth]
        np.minimum(second, np.maximum(least, moved), out=second)
        np.minimum(least, moved, out=least)
    return second


def _second_brightest(around: Plane) -> Plane:
    """Give the second brightest of the eight neighbours of each pixel, without the rim."""
    return -_second_lowest(-around)


def _ranked(pixels: Plane, y: int, x: int, reach: int, above: int) -> float:
    """Give the brightest pixel of a window but for so many."""
    window = pixels[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
    return float(np.partition(window, -above - 1, axis=None)[-above - 1])


def _curvature(around: Plane) -> Plane:
    """Mixed second difference, in counts of the pixel in the middle, without the rim."""
    rows = around[1:-1] - (around[:-2] + around[2:]) / 2
    return rows[:, 1:-1] - (rows[:, :-2] + rows[:, 2:]) / 2


def _padded(pixels: Plane) -> Plane:
    """Repeat the border: what is bright there may go on beyond."""
    return np.pad(pixels, 1, mode="edge")


def _long(marked: Marked) -> Marked:
    """Keep what belongs to long runs along Y, gaps of single pixels included."""
    length = min(_RUN, marked.shape[0])
    if marked.sum(axis=0).max() < _RUN_SHARE * length:
        return np.zeros_like(marked)
    share = uniform_filter1d(marked.astype(np.float32), length, axis=0, mode="constant")
    core = share >= _RUN_SHARE - 1e-4
    if not core.any():
        return np.zeros_like(marked)
    reached = uniform_filter1d(core.astype(np.float32), length, axis=0, mode="constant") > 1e-4
    return np.asarray(reached & (marked | core))


def _quantum(values: NDArray[Any]) -> float:
    """Return the smallest step between values, as of whole counts or of a left-justified range."""
    steps = np.diff(np.unique(values))
    return float(steps.min()) if len(steps) else 0.0


def _noise_by_level(
    difference: NDArray[Any], level: NDArray[Any], quantum: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measure the noise of pixels against the mean of four neighbours, darkest to brightest."""
    count = min(max(len(level) // 500, 1), 32)
    order = np.argsort(level, kind="stable")[: len(level) // count * count].reshape(count, -1)
    levels = level[order[:, order.shape[1] // 2]].astype(np.float64)
    upper, lower = np.quantile(difference[order], (0.84, 0.16), axis=1)
    spreads = (upper - lower) / 2
    # The mean of four brings a quarter of their variance along; whole counts say nothing finer.
    deviations = np.maximum(spreads / math.sqrt(1.25), max(quantum / 2, 1e-12))
    return levels, np.maximum.accumulate(deviations)


def _limit(z: NDArray[Any], pixels: int) -> float:
    """Continue the upper tail as an exponential to where a plane of noise hardly ever comes."""
    nearer, further = np.quantile(z, (0.95, 0.99))
    fall = max(float(further - nearer), 0.0) / math.log(5)
    return max(float(further) + fall * math.log(0.01 * pixels / _ALPHA), _LEAST_LIMIT)
