"""Photon transfer from a time series: the difference of two frames holds no still structure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, uniform_filter
from scipy.signal import fftconvolve
from scipy.special import chdtri

from ..io.lazy import PlaneInTime
from ..utils.errors import InputError
from ..utils.phases import go_on
from .correlated_noise import (
    correlated_noise,
    is_structure,
    neighbour_correlation,
)
from .dark_region import averaged, filled, filled_warning
from .frame_pairs import FramePairs, pair_frames, spread_runs
from .photon_transfer import (
    BLOCK,
    CHANCE,
    CORRELATED,
    DARK_BLOCK,
    MOST_FAR_OFF,
    MOST_FRAMES,
    NYQUIST_CUTOFF,
    TAPS,
    FloatArray,
    PhotonTransfer,
    TransferBlocks,
    TransferLine,
    block_means,
    check_blocks,
    check_size,
    enlarged,
    evenly_spread,
    fit_line,
    fitted_transfer,
    highpass,
    joined_blocks,
    noise_left_by,
    recorded_pixels,
)
from .pixel_mask import mask_of

SERIES_PIXELS = 25_000_000
"""So many pixels of a series are looked at; more add no precision, only time."""
FEWEST_LOOKED_AT = 32
"""Frames that are looked at, however large."""
_FINER = 0.56  # cycles per pixel, from where on what moves leaves nothing at all
_MOVING = 1.4  # times as much coarse change in bright blocks as in dark ones
_MOVED = 4.5  # standard deviations of the local mean difference
_FAR_OFF = 8.0  # standard deviations of a pixel's difference, which no noise of a camera reaches
_CROWD = 0.3  # of 5 x 5 pixels
_BRIGHTEST = 0.99  # quantile of the mean
_LEVELS = 16  # of brightness, in each of which the first look at a series takes a median
_PILED_UP = 10  # pixels of a frame at the highest value of a series, from where on it is saturated
_GROWN = 1.15  # times the noise of neighbours, for frames further apart to share less of it
_SETTLED = 1.03  # times the noise, which is less than that still shared
_FURTHEST = 8  # frames apart, for a pair


def transfer_of_series(
    frames: NDArray[Any],
    offset: float | None,
    *,
    name: str = "frames",
    among: Sequence[int] | None = None,
) -> PhotonTransfer:
    """Measure gain and read variance from the differences of consecutive frames.

    Half the squared difference of two exposures is their noise variance. Five things spoil
    it. Repeated frames, flashes, jumps and closed shutters: `pair_frames` leaves them out.
    Bleaching and lamp drift: a line in the mean is taken out of each difference. Motion:
    a pixel is left out of a pair where the mean difference over 5 x 5 pixels is more than
    4.5 standard deviations, and, unless neighbours share noise, the differences are filtered
    to beyond 0.5 cycles per pixel, where moving structures leave no trace. Pixels that are
    hot, flicker or are hit by cosmic rays: those off the line are left out, and so are the
    surroundings of saturated ones. Averages over frames: frames are compared that lie so far
    apart that they share no noise. Undersampled images are safe as long as they stand still,
    for then they cancel.

    Parameters
    ----------
    frames
        Camera counts, axes ``(T, Y, X)``, two frames at least; or ``(T, Z, Y, X)``, of which
        eight planes are followed in time.
    offset
        Counts without light; None to take the darkest pixels' mean for it.
    name
        What messages call the series.
    among
        As for `frame_pairs.pair_frames`.

    Raises
    ------
    InputError
        If there are fewer than two frames, or they are too small or show no signal.
    """
    if len(frames) < 2:
        raise InputError(
            "exposures-missing",
            f"{name} has {len(frames)} frame; photon transfer from differences needs at least two "
            "exposures of the same field (for one image use the single-image calibration).",
        )
    check_size(frames, name)
    fields: list[Any] = [frames]
    if frames.ndim == 4:
        fields = [PlaneInTime(frames, int(z)) for z in evenly_spread(frames.shape[1], MOST_FRAMES)]
    chosen = pair_frames(fields, name, among)
    pairs = list(chosen.pairs)
    correlation = float(np.mean([_series_correlation(field, pairs) for field in fields]))
    fine = highpass(NYQUIST_CUTOFF)
    white = abs(correlation) < CORRELATED or _moves(fields, pairs, fine)
    kernel = fine if white else np.ones((1, 1))

    warnings = [*chosen.said, *averaged(_as_counted(frames, chosen.frames[0]), name)]
    if not white:
        warnings.append(correlated_noise(correlation))
    level, level_error = min(_darkest_level_of_series(field, chosen.frames) for field in fields)
    # A few pairs are enough to know how much change is noise.
    few = _some(pairs, MOST_FRAMES // 2)
    line = _first_line(fields, few, level)
    finer = highpass(_FINER) if white else kernel
    apart = _apart(fields, chosen, finer, level, line)
    if apart > 1:
        pairs = list(chosen.apart(apart))
        few = _some(pairs, MOST_FRAMES // 2)
        warnings.append(
            f"Consecutive frames of {name} share noise, as a running average or a recursive filter "
            f"leaves it; those {apart} apart were compared, and gain and read variance are those "
            "of the averaged frames, not of the camera."
        )
    padding = float(np.mean([_padding(field, pairs[0][0]) for field in fields]))
    if padding > 0:
        warnings.append(filled_warning(padding, name))
    for some in (few, few, pairs):
        blocks = _series_blocks(fields, some, kernel, level, line)
        line = fit_line(blocks)
    if offset is None:
        zero = level - line.intercept / line.slope if line.slope > 0 else -np.inf
        warnings.append(
            f"The offset was not given; the darkest pixels, {level:.1f} counts, stand for it, and "
            f"the noise would vanish at {zero:.1f} counts: the camera's offset lies between the "
            "two, and only a dark image or an empty region tells where."
        )
        fitted = fitted_transfer(blocks, level, level_error, warnings, scale=1.0, name=name)
    else:
        shifted = replace(blocks, signal=blocks.signal + level - offset)
        fitted = fitted_transfer(shifted, offset, None, warnings, scale=1.0, name=name)
    return replace(fitted, frames=len(chosen.frames))


def _as_counted(frames: Any, index: int) -> NDArray[Any]:
    """Return the pixels of a frame that hold what the camera counted, in one row."""
    frame, mask = np.asarray(frames[index]), mask_of(frames)
    return frame.ravel() if mask is None else np.extract(~mask[index], frame)


def _moves(fields: Sequence[Any], pairs: Sequence[tuple[int, int]], fine: FloatArray) -> bool:
    """Tell motion from noise that neighbours share, both of which are coarser than white noise.

    Shared noise lacks the same part of its fine noise wherever it is; what moves adds coarse
    changes where it is bright.
    """
    gathered: list[list[FloatArray]] = [[], [], []]
    trim = fine.shape[0] // 2
    for field in fields:
        parts: list[list[FloatArray]] = [[], [], []]
        for first, second in _some(pairs, MOST_FRAMES):
            one, two = field[first].astype(np.float64), field[second].astype(np.float64)
            change = two - one - np.median(two - one)
            inner = np.s_[trim:-trim, trim:-trim]
            passed = fftconvolve(change, fine, mode="valid")
            for part, values in zip(
                parts, ((one + two)[inner], change[inner] ** 2, passed**2), strict=True
            ):
                part.append(block_means(values, BLOCK))
        for found, part in zip(gathered, parts, strict=True):
            found.append(np.mean(part, axis=0).ravel())
    signal, total, beyond = (np.concatenate(one) for one in gathered)
    low, high = np.quantile(signal, (0.25, 0.75))
    ratios = [
        float(np.median(total[where]) / max(np.median(beyond[where]), 1e-12))
        for where in (signal <= low, signal >= high)
    ]
    return ratios[1] > _MOVING * ratios[0]


def _padding(frames: Any, index: int) -> float:
    """Return which part of a frame is filled with one value and not masked."""
    padding, mask = filled(frames[index]), mask_of(frames)
    return float((padding if mask is None else padding & ~mask[index]).mean())


def looked_at(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the frames of a series (T, [Z,] Y, X) that are looked at, all unless it is long."""
    planes = min(shape[1], MOST_FRAMES) if len(shape) == 4 else 1
    most = SERIES_PIXELS // (planes * math.prod(shape[-2:]))
    return spread_runs(shape[0], max(most, FEWEST_LOOKED_AT))


def _some(pairs: Sequence[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    return [pairs[index] for index in evenly_spread(len(pairs), most)]


def _apart(
    fields: Sequence[Any], chosen: FramePairs, kernel: FloatArray, level: float, line: TransferLine
) -> int:
    """Return how far apart frames must be to share no noise, 1 where neighbours do not.

    Only the darkest quarter of each field is compared, where hardly anything moves.
    """
    noise: list[float] = []
    while len(noise) < _FURTHEST and (pairs := chosen.apart(len(noise) + 1)):
        found = []
        for pair in _some(pairs, MOST_FRAMES):
            for field in fields:
                go_on()
                change = _Change.of(field, pair, level, line)
                difference = np.where(change.far_off, 0.0, change.difference)
                difference = fftconvolve(difference, kernel, mode="same")
                dark, energy = (block_means(v, BLOCK) for v in (change.mean, difference**2))
                found.append(np.median(energy[dark <= np.quantile(dark, 0.25)]))
        noise.append(float(np.mean(found)))
    if not noise or max(noise) < _GROWN * noise[0]:
        return 1
    return next(index for index, value in enumerate(noise, 1) if _SETTLED * value >= max(noise))


@dataclass(frozen=True)
class _Change:
    """What two frames differ by, in counts of one frame, and their mean above a level."""

    one: FloatArray
    two: FloatArray
    mean: FloatArray
    difference: FloatArray
    far_off: NDArray[np.bool_]
    """Cosmic rays and pixels that flicker, further off than noise."""

    @classmethod
    def of(cls, frames: Any, pair: tuple[int, int], level: float, line: TransferLine) -> _Change:
        """Compare two frames; bleaching, lamp and offset drift, a line in the mean, are taken out.

        Few pixels far off would turn that line, so that it is fitted without them; where it lies
        is told by the typical and by the brightest pixels.
        """
        one, two = (frames[index].astype(np.float64) for index in pair)
        mean, difference = (one + two) / 2 - level, (two - one) / np.sqrt(2)
        bright = mean >= np.quantile(mean, _BRIGHTEST)
        contrast = np.median(mean[bright]) - np.median(mean)
        slope = (np.median(difference[bright]) - np.median(difference)) / max(contrast, 1e-12)
        rest = difference - np.median(difference) - slope * (mean - np.median(mean))
        around = np.maximum(mean, uniform_filter(mean, 5))
        deviation = np.sqrt(_expected(around, line))
        far_off = np.abs(rest) > _FAR_OFF * deviation
        far_off &= ~_crowded(np.abs(rest) > _FAR_OFF / 2 * deviation)
        if far_off.mean() > MOST_FAR_OFF:  # it is motion, or this line is none
            far_off = np.zeros_like(far_off)
        x, y = mean[~far_off], difference[~far_off]
        centred = x - x.mean()
        slope = np.vdot(y, centred) / max(float(np.vdot(centred, centred)), 1e-12)
        return cls(one, two, mean, difference - y.mean() - slope * (mean - x.mean()), far_off)

    def full(self, highest: float) -> NDArray[np.bool_]:
        """Mark pixels at the highest value, where it is a pile-up."""
        full = (self.one == highest) | (self.two == highest)
        return full if full.sum() >= _PILED_UP else np.zeros_like(full)


def _first_line(fields: Sequence[Any], pairs: list[tuple[int, int]], level: float) -> TransferLine:
    """Fit a line through medians at several brightnesses, which outliers and motion hardly move."""
    signals, variances = [], []
    for pair in pairs:
        for field in fields:
            go_on()
            one, two = (field[index].astype(np.float64).ravel() for index in pair)
            mean, difference = (one + two) / 2 - level, (two - one) / np.sqrt(2)
            for part in np.array_split(np.argsort(mean), _LEVELS):
                signals.append(mean[part].mean())
                # What bleaching does to pixels of one brightness is the same.
                change = np.abs(difference[part] - np.median(difference[part]))
                variances.append((1.4826 * np.median(change)) ** 2)
    spread = np.maximum(variances, 1 / 12)  # rounding leaves so much
    slope, intercept = np.polyfit(signals, spread, 1, w=1 / spread)
    return TransferLine(max(float(intercept), 1 / 12), max(float(slope), 0.0), np.inf, np.inf, 0.0)


def _series_blocks(
    fields: Sequence[Any],
    pairs: list[tuple[int, int]],
    kernel: FloatArray,
    level: float,
    line: TransferLine,
) -> TransferBlocks:
    """Gather the blocks of all fields, each a series (T, Y, X)."""
    parts = [_field_blocks(field, pairs, kernel, level, line) for field in fields]
    check_blocks(sum(len(part.weight) for part in parts), "frames")
    return joined_blocks(parts)


def _field_blocks(
    frames: Any,
    pairs: list[tuple[int, int]],
    kernel: FloatArray,
    level: float,
    line: TransferLine,
) -> TransferBlocks:
    """Sum noise and mean of all pairs over blocks, without what moved or was not recorded."""
    trim = kernel.shape[0] // 2
    recorded = recorded_pixels(frames[pairs[0][0]]) & recorded_pixels(frames[pairs[-1][1]])
    inner = (slice(trim, frames.shape[1] - trim), slice(trim, frames.shape[2] - trim))
    signal, variance, seen = (np.zeros(recorded[inner].shape) for _ in range(3))
    highest = max(float(np.max(frames[index])) for pair in pairs for index in pair)
    off = _off_the_line(frames, pairs, level, line)
    mask = mask_of(frames)
    for pair in pairs:
        go_on()
        change = _Change.of(frames, pair, level, line)
        still = recorded & _standing_still(change.difference, change.mean, line)
        still &= ~maximum_filter(change.full(highest), TAPS)
        weight = still[inner].astype(np.float64)
        # What is far off would reach as far as the filter does.
        sound = ~(off | change.far_off)
        if mask is not None:
            sound &= ~(mask[pair[0]] | mask[pair[1]])
        difference, mean = change.difference * sound, change.mean * sound
        if kernel.size > 1:
            difference = fftconvolve(difference, kernel, mode="valid")
            mean = fftconvolve(mean, kernel**2, mode="valid")
        if not sound.all():
            weight *= np.clip(fftconvolve(sound, kernel**2, mode="valid"), 0, 1)
        signal += mean * still[inner]
        variance += difference**2 * still[inner]
        seen += weight
    # Many exposures know the mean so well that small blocks, which keep bright spots apart
    # from their surroundings, are better.
    exposures = len({frame for pair in pairs for frame in pair})
    side = max(BLOCK // int(np.sqrt(exposures)), 2)
    weight = block_means(seen, side).ravel()
    kept = weight > 0
    return TransferBlocks(
        block_means(signal, side).ravel()[kept] / weight[kept],
        block_means(variance, side).ravel()[kept] / weight[kept],
        weight[kept] / len(pairs),
        noise_left_by(kernel, side) / exposures,
    )


def _off_the_line(
    frames: Any, pairs: list[tuple[int, int]], level: float, line: TransferLine
) -> NDArray[np.bool_]:
    """Mark pixels that are noisier or quieter over time than their brightness makes them.

    Those flicker, or are hot without light. Over n pairs of consecutive frames the mean square
    scatters as chi squared over 2 n / 3 numbers.
    """
    squares, mean = np.zeros(frames.shape[-2:]), np.zeros(frames.shape[-2:])
    for pair in pairs:
        go_on()
        change = _Change.of(frames, pair, level, line)
        squares += change.difference**2 / len(pairs)
        mean += change.mean / len(pairs)
    degrees = max(2 * len(pairs) / 3, 1.0)
    most, least = (chdtri(degrees, chance) / degrees for chance in (CHANCE, 1 - CHANCE))
    around = np.maximum(mean, uniform_filter(mean, 5))
    off: NDArray[np.bool_] = squares > most * _expected(around, line)
    often = chdtri(degrees, math.sqrt(CHANCE)) / degrees
    off &= ~_crowded(squares > often * _expected(around, line))
    off |= squares < least * _expected(mean, line)
    return off


def _crowded(marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark where many pixels side by side are marked, as where something moves.

    Leaving single pixels of that out would cut its smooth change into pieces, which are finer
    than the optics.
    """
    crowded: NDArray[np.bool_] = uniform_filter(marked.astype(np.float32), 5) > _CROWD
    return crowded


def _standing_still(
    difference: FloatArray, mean: FloatArray, line: TransferLine
) -> NDArray[np.bool_]:
    """Mark pixels whose surroundings did not change beyond their noise."""
    change = uniform_filter(difference / np.sqrt(_expected(uniform_filter(mean, 5), line)), 5)
    noise = 1.4826 * float(np.median(np.abs(change)))
    moved = np.abs(change) > _MOVED * max(noise, 1e-12)
    reach = 5 + TAPS // 4
    still: NDArray[np.bool_] = uniform_filter(moved.astype(np.float32), reach) < 1e-4
    return still


def _expected(mean: FloatArray, line: TransferLine) -> FloatArray:
    """Return the variance that a line expects."""
    expected: FloatArray = np.maximum(line.intercept + line.slope * mean, 1e-12)
    return expected


def _series_correlation(frames: Any, pairs: list[tuple[int, int]]) -> float:
    """Return how neighbouring pixels share noise, in the blocks that change least.

    Zero where the correlation reaches two pixels on, for that is motion and no noise.
    """
    values = []
    for first, second in _some(pairs, MOST_FRAMES):
        one, two = frames[first].astype(np.float64), frames[second].astype(np.float64)
        change = two - one - np.median(two - one)
        energy = block_means(change**2, DARK_BLOCK)
        inside = enlarged(energy <= np.quantile(energy, 0.25))
        residual = np.where(inside, change[: inside.shape[0], : inside.shape[1]], 0.0)
        values.append(neighbour_correlation(residual[None], inside[None]))
    near, far = np.mean(np.array(values), axis=0)
    return 0.0 if is_structure(near, far) else float(near)


def _darkest_level_of_series(frames: Any, chosen: Sequence[int]) -> tuple[float, float]:
    """Return the mean of the darkest hundredth of the pixels, and its standard error.

    As in one image, one half of the chosen frames chooses the pixels and the other half measures.
    """
    halves = []
    for start in (0, 1):
        total = np.zeros(frames.shape[1:])
        for index in chosen[start::2]:
            go_on()
            total += frames[index]
        halves.append(uniform_filter(total / len(chosen[start::2]), 3))
    recorded = recorded_pixels(frames[chosen[0]]) & recorded_pixels(frames[chosen[-1]])
    if not recorded.any():
        recorded = ~recorded
    levels = []
    for chooser, measured in (halves, halves[::-1]):
        darkest = recorded & (chooser <= np.quantile(chooser[recorded], 0.01))
        levels.append(measured[darkest])
    values = np.concatenate(levels)
    # The smoothing makes nine neighbours one.
    return float(values.mean()), float(values.std() / np.sqrt(max(len(values) / 9, 1)))
