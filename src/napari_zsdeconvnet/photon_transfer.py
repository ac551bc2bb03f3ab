"""The gain of a camera from the noise of its images: photon transfer.

Shot noise grows with the light, ``variance = gain * (mean - offset) + read_variance`` (all in
counts), so the slope of variance over mean is the gain. What makes it hard is to see the
variance apart from what the image shows. Two ways:

* one image: beyond the optical cutoff there is no image, only noise;
* a time series: in the difference of two frames what stands still is gone.

In both, a map of squared noise and the matching map of the mean are averaged over small
blocks, and a line is fitted through the blocks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, uniform_filter
from scipy.optimize import least_squares
from scipy.signal import fftconvolve
from scipy.special import chdtri

from .background import averaged, filled, filled_warning
from .errors import InputError
from .frame_pairs import FramePairs, pair_frames, spread_runs
from .lazy import PlaneInTime
from .phases import go_on
from .pixel_mask import Kind, mask_of
from .shared_noise import axial_correlation, correlated_noise, is_structure, neighbour_correlation

FloatArray = NDArray[np.float64]

NYQUIST_CUTOFF = 0.5
"""Cycles per pixel beyond which an image sampled at Nyquist's rate holds noise alone."""

MOST_FRAMES = 8
"""So many frames of a series, or planes of volumes in time, are looked at one by one."""

MOST_PLANES = 32
"""So many planes of a volume are looked at one by one."""

_TAPS = 31  # width of the high-pass filter, pixels
_BLOCK = 8  # side of a block, pixels
_DARK_BLOCK = 16  # side of a block in which darkness is looked for
_SMALLEST = 64  # pixels; a smaller frame has too few blocks for a line
_WINDOW = 1024  # large frames are taken in windows of this side, to bound memory
_MOST_WINDOWS = 16
_PLANE_PIXELS = 4_000_000  # and planes of so many pixels in all
SERIES_PIXELS = 25_000_000
"""So many pixels of a series are looked at; more add no precision, only time."""

FEWEST_LOOKED_AT = 32
"""Frames that are looked at, however large."""

_CORRELATED = 0.1
SERIES_FROM = 10  # frames; fewer say less about the noise than one image does
_SHARED = 0.2  # from where on it is no chance, even where a few bright spots make the noise
_EDGE = 0.43  # cycles per pixel, from where on well sampled images hold noise alone
_LAST_EDGE = 0.495  # beyond which too little is left
_SURELY_BEYOND = 1.05  # times the cutoff, from where on a spectrum is noise for certain
_SLOPE = 0.03  # cycles per pixel beyond the cutoff, where the filter passes half
_FURTHER, _CORNER = 0.1, 0.62  # cycles per pixel beyond that, and at most, for the corner
_COMPARED = 4  # planes in which the corner is looked at
_FALLEN = 0.25  # part of the gain by which the corner must be lower
_STRAY = 6.0  # times the upper spread of blocks, from where on one is far off
_BESIDE = 3  # pixels a side, around one that is not used, in which the filter lacks noise
_LEAST_USED = 0.5  # part of a block
_FINER = 0.56  # cycles per pixel, from where on what moves leaves nothing at all
_MOVING = 1.4  # times as much coarse change in bright blocks as in dark ones
_MOVED = 4.5  # standard deviations of the local mean difference
_FAR_OFF = 8.0  # standard deviations of a pixel's difference, which no noise of a camera reaches
_CROWD = 0.3  # of 5 x 5 pixels
_MOST_FAR_OFF = 0.05  # of the pixels
_BRIGHTEST = 0.99  # quantile of the mean
_LEVELS = 16  # of brightness, in each of which the first look at a series takes a median
_PILED_UP = 10  # pixels of a frame at the highest value of a series, from where on it is saturated
_CHANCE = 1e-7  # of a sound pixel to be taken for one off the line
_GROWN = 1.15  # times the noise of neighbours, for frames further apart to share less of it
_SETTLED = 1.03  # times the noise, which is less than that still shared
_FURTHEST = 8  # frames apart, for a pair


@dataclass(frozen=True)
class PhotonTransfer:
    """A fitted line ``variance = read_variance + gain * (mean - offset)``.

    ``gain_error`` and ``read_variance_error`` are standard errors from the scatter of the
    blocks about the line; they know nothing of what is wrong with the method.
    """

    offset: float
    offset_error: float | None
    gain: float
    gain_error: float
    read_variance: float
    read_variance_error: float
    warnings: tuple[str, ...] = ()
    frames: int = 1
    """How many frames it rests on."""


@dataclass(frozen=True)
class _Blocks:
    """Mean signal above the offset and noise variance in each block, with its weight.

    ``dilution`` is the variance of a block's mean per variance of a pixel.
    """

    signal: FloatArray
    variance: FloatArray
    weight: FloatArray
    dilution: float


# One image ---------------------------------------------------------------------------------


def transfer_of_images(
    frames: NDArray[Any], offset: float | None, cutoff: float | None, *, name: str = "image"
) -> PhotonTransfer:
    """Measure gain and read variance in single images, from noise beyond the optical cutoff.

    The image is filtered with a short high-pass filter ``k`` (31 x 31 taps, unit energy,
    only where it fits wholly inside, so that no border leaks in). For noise that is white,
    ``E[(k * y)^2] = k^2 * variance`` exactly, and ``k^2 * (y - offset)`` is the mean to set
    against it.

    Parameters
    ----------
    frames
        Camera counts, axes ``(T, Y, X)`` or ``(T, Z, Y, X)``; each frame or plane is taken by
        itself, eight frames or 32 planes at most.
    offset
        Counts without light; None to take the darkest part of the frames for it.
    cutoff
        Cycles per pixel beyond which the optics pass nothing, ``2 NA / wavelength * pixel
        size``; None for 0.5, an image sampled at Nyquist's rate or finer.
    name
        What messages call the image.

    Raises
    ------
    InputError
        If the cutoff leaves no frequencies, the image is too small, or it shows no signal.
    """
    cutoff = NYQUIST_CUTOFF if cutoff is None else float(cutoff)
    if not 0 < cutoff < 0.65:
        raise InputError(
            f"The cutoff is {cutoff:g} cycles per pixel; give 2 NA / wavelength times the pixel "
            "size, which must lie between 0 and 0.65 for noise to be left beyond it (finer pixels "
            "or a series of frames are the other ways)."
        )
    _check_size(frames, name)
    warnings: list[str] = []
    places = chosen_planes(frames.shape)
    planes = [np.asarray(frames[place]) for place in places]
    # Planes and frames that are empty were not recorded and hold no noise.
    shown = [n for n, plane in enumerate(planes) if plane.min() < plane.max()]
    chosen = np.stack([planes[n] for n in shown or range(len(planes))])
    kinds = _kinds(frames, [places[n] for n in shown or range(len(planes))])
    # What the mask has is said where it is made.
    known = itertools.repeat(0) if kinds is None else kinds == Kind.UNRECORDED
    padding = float(
        np.mean(
            [(filled(frame) & (of == 0)).mean() for frame, of in zip(chosen, known, strict=False)]
        )
    )
    if padding > 0:
        warnings.append(filled_warning(padding, name))
    offset_error = None
    if offset is None:
        offset, offset_error = _darkest_level_of_images(chosen, kinds)
        warnings.append(
            f"The offset was not given; the darkest part of the image, {offset:.1f} counts, stands "
            "for it, so background light counts as offset and its noise as read variance."
        )
    kernel = _highpass(_edge(cutoff))
    blocks = _blocks_of_images(chosen, kinds, offset, kernel, name)
    corner = _highpass(min(_edge(cutoff) + _FURTHER, _CORNER))
    beyond = _fit_line(_blocks_of_images(chosen[:_COMPARED], kinds, offset, corner, name))
    scale, correlation = _correlation_scale(chosen, kernel, kinds)
    if scale != 1 and _structure_beyond(_fit_line(blocks), beyond):
        scale = 1.0
    if scale != 1:
        warnings.append(
            f"The gain was scaled by {scale:.1f}, since neighbouring pixels share noise "
            f"(correlation {correlation:.2f}: the image was interpolated or smoothed) and the high "
            "frequencies lack it; take it as rough, or calibrate on the camera's original pixels."
        )
    if frames.ndim == 4:
        axial = _axial_correlation(frames)
        if axial > _CORRELATED:
            warnings.append(correlated_noise(axial, "planes"))
    fitted = _fitted(blocks, offset, offset_error, warnings, scale=scale, name=name)
    return _lower_at_the_corner(fitted, beyond) if scale == 1 else fitted


def _edge(cutoff: float) -> float:
    """Return where the filter begins, so that its slope lies beyond the cutoff where it can."""
    return max(min(cutoff + _SLOPE, NYQUIST_CUTOFF), cutoff)


def _blocks_of_images(
    planes: NDArray[Any],
    kinds: NDArray[np.uint8] | None,
    offset: float,
    kernel: FloatArray,
    name: str,
) -> _Blocks:
    """Gather the blocks of all planes, without those that something else than noise made."""
    unusable: Iterable[Any] = _each(None) if kinds is None else _windows(kinds)
    parts = [
        _image_blocks(window, offset, kernel, unused)
        for window, unused in zip(_windows(planes), unusable, strict=False)
    ]
    _check_blocks(sum(len(part.signal) for part in parts), name)
    energy = np.abs(np.fft.fft2(kernel, (128, 128))) ** 2
    modes = _BLOCK**2 * float(energy.mean() ** 2 / (energy**2).mean())
    return _without_far_off(_joined(parts), modes)


def _without_far_off(blocks: _Blocks, modes: float) -> _Blocks:
    """Leave out few blocks far above the line, where a bad pixel was not found or structure shows.

    Variances of blocks scatter as chi squared over as many numbers as modes pass the filter, and
    wider where few photons were counted: so do most of these, and the limit follows them.
    """
    kept = np.ones(len(blocks.signal), dtype=bool)
    for _ in range(3):
        line = _fit_line(_some_blocks(blocks, kept))
        ratio = blocks.variance / np.maximum(
            line.intercept + line.slope * blocks.signal, 0.2 * max(line.intercept, 1e-12)
        )
        middle, high = np.quantile(ratio[kept], (0.5, 0.84))
        limit = max(float(chdtri(modes, _CHANCE) / modes), float(middle + _STRAY * (high - middle)))
        fewer = ratio <= limit
        if (fewer == kept).all() or fewer.mean() < 1 - _MOST_FAR_OFF:
            break
        kept = fewer
    return _some_blocks(blocks, kept)


def _some_blocks(blocks: _Blocks, kept: NDArray[np.bool_]) -> _Blocks:
    return replace(
        blocks,
        signal=blocks.signal[kept],
        variance=blocks.variance[kept],
        weight=blocks.weight[kept],
    )


def _structure_beyond(line: _Line, corner: _Line) -> bool:
    """Tell structure beyond the cutoff from noise that neighbours share.

    At the corner of the spectrum such noise lacks in the dark as much as where it is bright;
    structure shows where it is bright alone.
    """
    certain = 3 * math.hypot(line.slope_error, corner.slope_error)
    lower = line.slope - corner.slope > max(certain, _FALLEN * line.slope)
    dark = corner.intercept > max(line.intercept, 3 * corner.intercept_error)
    return bool(lower and dark)


def _lower_at_the_corner(fitted: PhotonTransfer, line: _Line) -> PhotonTransfer:
    """Take the gain of the corner of the spectrum where it is lower for certain.

    White noise gives both the same; structure beyond the cutoff, as of pixels too coarse for it
    or of optics that are finer than said, raises what lies nearer to the middle.
    """
    fall = fitted.gain - line.slope
    certain = 3 * math.hypot(fitted.gain_error, line.slope_error)
    if fall < max(certain, _FALLEN * fitted.gain):
        return fitted
    return replace(
        fitted,
        gain=max(line.slope, line.slope_error, 1e-3 * fitted.gain),
        gain_error=fall,
        read_variance=max(line.intercept, 0.0),
        read_variance_error=max(line.intercept_error, abs(fitted.read_variance - line.intercept)),
        warnings=(
            *fitted.warnings,
            "The highest frequencies of the image hold less noise than those below them, as if "
            "structure reached beyond the optical cutoff (pixels too coarse, or optics finer than "
            f"said): the gain comes out as {line.slope:.3g} to {fitted.gain:.3g} counts per "
            "electron and is not to be relied on; measure it in a series or type it in.",
        ),
    )


def chosen_planes(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return where the frames or planes lie that are looked at, evenly spread over all."""
    leading = shape[:-2]
    if len(leading) == 1:
        most = MOST_FRAMES
    else:
        most = int(np.clip(_PLANE_PIXELS // math.prod(shape[-2:]), MOST_FRAMES, MOST_PLANES))
    places = _spread(math.prod(leading), most)
    return [tuple(int(i) for i in np.unravel_index(place, leading)) for place in places]


def _kinds(frames: Any, places: Sequence[tuple[int, ...]]) -> NDArray[np.uint8] | None:
    """Give why pixels of some planes are not used; None where all of them are."""
    mask = mask_of(frames)
    return None if mask is None else np.stack([mask.kinds(place) for place in places])


def _image_blocks(
    window: FloatArray, offset: float, kernel: FloatArray, kinds: FloatArray | None = None
) -> _Blocks:
    signal = window - offset
    # Without its own mean the image is smaller and the transforms lose fewer digits.
    noise = fftconvolve(signal - signal.mean(), kernel, mode="valid")
    mean = fftconvolve(signal, kernel**2, mode="valid")
    trim = kernel.shape[0] // 2
    recorded = _recorded(window, kinds)[trim:-trim, trim:-trim].astype(np.float64)
    dilution = _dilution(kernel, _BLOCK)
    if kinds is None:
        signals = _block_means(mean, _BLOCK).ravel()
        variances = _block_means(noise**2, _BLOCK).ravel()
        kept = _block_means(recorded, _BLOCK).ravel() == 1
        return _Blocks(signals[kept], variances[kept], np.ones(int(kept.sum())), dilution)
    # What stands for a pixel has no noise, of which most is in the filtered pixel itself.
    used = recorded * ~maximum_filter(kinds > 0, _BESIDE)[trim:-trim, trim:-trim]
    weight = _block_means(used, _BLOCK).ravel()
    kept = (_block_means(recorded, _BLOCK).ravel() == 1) & (weight > _LEAST_USED)
    weight = weight[kept]
    signals, variances = (
        _block_means(values * used, _BLOCK).ravel()[kept] / weight for values in (mean, noise**2)
    )
    return _Blocks(signals, variances, weight, dilution)


def _recorded(image: NDArray[Any], kinds: NDArray[Any] | None = None) -> NDArray[np.bool_]:
    """Mark pixels out of the filter's reach of any that were filled in."""
    padding = filled(image)
    if kinds is not None:
        padding |= kinds == Kind.UNRECORDED
    if not padding.any():
        return ~padding
    # A square that is filled in part is not marked itself, hence one more on each side.
    reach = 2 * _BLOCK + _TAPS
    reached: NDArray[np.bool_] = maximum_filter(padding, reach)
    return ~reached


def _windows(frames: NDArray[Any]) -> Iterator[FloatArray]:
    """Cut frames into windows small enough to transform, evenly chosen when there are many."""
    corners = [
        (frame, y, x)
        for frame in range(len(frames))
        for y in range(0, frames.shape[1], _WINDOW)
        for x in range(0, frames.shape[2], _WINDOW)
    ]
    for index in _spread(len(corners), _MOST_WINDOWS):
        frame, y, x = corners[index]
        go_on()
        window = frames[frame, y : y + _WINDOW, x : x + _WINDOW]
        if min(window.shape) >= _SMALLEST:
            yield window.astype(np.float64)


@lru_cache(maxsize=8)
def _highpass(cutoff: float) -> FloatArray:
    """Return a short filter that passes frequencies beyond the cutoff, with unit energy.

    The ideal filter is cut off by a Blackman window, whose side lobes (below -58 dB) keep
    bright structures out.
    """
    size = 128
    frequency = np.fft.fftfreq(size)
    radius = np.hypot(frequency[:, None], frequency[None, :])
    ideal = np.fft.fftshift(np.fft.ifft2(radius > cutoff).real)
    middle, reach = size // 2, _TAPS // 2
    core = slice(middle - reach, middle + reach + 1)
    taper = np.blackman(_TAPS + 2)[1:-1]
    kernel: FloatArray = ideal[core, core] * taper[:, None] * taper[None, :]
    kernel -= kernel.mean()
    kernel /= np.sqrt(np.sum(kernel**2))
    return kernel


def _dilution(kernel: FloatArray, side: int) -> float:
    """Return the variance of a block's mean signal per variance of a pixel."""
    averaged = fftconvolve(kernel**2, np.full((side, side), 1 / side**2))
    return float(np.sum(averaged**2))


def _darkest_level_of_images(
    frames: NDArray[Any], kinds: NDArray[np.uint8] | None
) -> tuple[float, float]:
    """Return the mean of the darkest fiftieth of the blocks and its standard error.

    Blocks chosen for being dark are dark by chance too. So the black squares of a
    checkerboard choose and the white ones are averaged, and the other way round.
    """
    shape = frames.shape[1:]
    white = np.add.outer(np.arange(shape[0]), np.arange(shape[1])) % 2 == 0
    levels: list[FloatArray] = []
    recorded = np.concatenate(
        [
            _block_means(_recorded(frame, unused).astype(np.float64), _DARK_BLOCK).ravel()
            for frame, unused in zip(frames, _each(kinds), strict=False)
        ]
    )
    for chooser in (white, ~white):
        chosen_by, measured = (
            np.concatenate(
                [_block_means(np.where(half, frame, 0.0), _DARK_BLOCK).ravel() for frame in frames]
            )
            for half in (chooser, ~chooser)
        )
        chosen_by = np.where(recorded == 1, chosen_by, np.inf)
        darkest = np.argsort(chosen_by)[: max(int((recorded == 1).sum()) // 50, 4)]
        levels.append(2 * measured[darkest])
    values = np.concatenate(levels)
    return float(values.mean()), float(values.std() / np.sqrt(len(values)))


def _each(kinds: NDArray[np.uint8] | None) -> Iterable[Any]:
    return itertools.repeat(None) if kinds is None else kinds


def _correlation_scale(
    frames: NDArray[Any], kernel: FloatArray, kinds: NDArray[np.uint8] | None
) -> tuple[float, float]:
    """Return how much noise the filter misses because neighbours share it, and how they do.

    Interpolation takes noise away at high frequencies. In the darkest tenth of the image,
    where hardly anything but noise is seen, the variance of the pixels is compared with what
    passes the filter. Structure would tell on pixels two apart too, and then nothing is scaled.
    """
    scales, correlations = [], []
    unusable: Iterable[Any] = _each(None) if kinds is None else _windows(kinds)
    for window, unused in zip(_windows(frames), unusable, strict=False):
        means = _block_means(window, _DARK_BLOCK)
        recorded = _block_means(_recorded(window, unused).astype(np.float64), _DARK_BLOCK) == 1
        if not recorded.any():
            continue
        inside = _enlarge(recorded & (means <= np.quantile(means[recorded], 0.1)))
        cropped = window[: inside.shape[0], : inside.shape[1]]
        residual = np.where(inside, cropped - _enlarge(means), 0.0)
        near, far = neighbour_correlation(residual[None], inside[None])
        correlations.append((near, far))
        filtered = fftconvolve(cropped - cropped.mean(), kernel, mode="same")
        total = np.sum(residual**2) / (1 - 1 / _DARK_BLOCK**2)
        edge = _TAPS // 2
        inner = inside[edge:-edge, edge:-edge]
        beyond = np.mean(filtered[edge:-edge, edge:-edge][inner] ** 2) if inner.any() else np.nan
        scales.append(total / inside.sum() / beyond)
    if not correlations:
        return 1.0, 0.0
    near, far = np.median(np.array(correlations), axis=0)
    if near < _CORRELATED or is_structure(near, far) or not np.isfinite(scales).all():
        return 1.0, float(near)
    return max(float(np.median(scales)), 1.0), float(near)


def _axial_correlation(volumes: Any) -> float:
    """Return how neighbouring planes share noise, in the darkest tenth of the first volume.

    Zero where it reaches two planes on, for that is an image or the camera's fixed pattern.
    """
    values = []
    for start in _spread(volumes.shape[1] - 2, 4) if volumes.shape[1] > 2 else ():
        window = np.asarray(volumes[0, start : start + 3, :_WINDOW, :_WINDOW], dtype=np.float64)
        means = np.stack([_block_means(plane, _DARK_BLOCK) for plane in window])
        recorded = np.stack(
            [_block_means(_recorded(p).astype(np.float64), _DARK_BLOCK) == 1 for p in window]
        ).all(axis=0)
        if not recorded.any():
            continue
        dark = means.mean(axis=0)
        inside = _enlarge(recorded & (dark <= np.quantile(dark[recorded], 0.1)))
        cropped = window[:, : inside.shape[0], : inside.shape[1]]
        level = np.stack([_enlarge(plane) for plane in means])
        inside = np.broadcast_to(inside, cropped.shape)
        values.append(axial_correlation(np.where(inside, cropped - level, 0.0), inside))
    if not values:
        return 0.0
    near, far = np.median(np.array(values), axis=0)
    return 0.0 if is_structure(near, far) else float(near)


# A series ----------------------------------------------------------------------------------


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
            f"{name} has {len(frames)} frame; photon transfer from differences needs at least two "
            "exposures of the same field (for one image use the single-image calibration)."
        )
    _check_size(frames, name)
    fields: list[Any] = [frames]
    if frames.ndim == 4:
        fields = [PlaneInTime(frames, int(z)) for z in _spread(frames.shape[1], MOST_FRAMES)]
    chosen = pair_frames(fields, name, among)
    pairs = list(chosen.pairs)
    correlation = float(np.mean([_series_correlation(field, pairs) for field in fields]))
    fine = _highpass(NYQUIST_CUTOFF)
    white = abs(correlation) < _CORRELATED or _moves(fields, pairs, fine)
    kernel = fine if white else np.ones((1, 1))

    warnings = [*chosen.said, *averaged(_as_counted(frames, chosen.frames[0]), name)]
    if not white:
        warnings.append(correlated_noise(correlation))
    level, level_error = min(_darkest_level_of_series(field, chosen.frames) for field in fields)
    # A few pairs are enough to know how much change is noise.
    few = _some(pairs, MOST_FRAMES // 2)
    line = _first_line(fields, few, level)
    finer = _highpass(_FINER) if white else kernel
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
        line = _fit_line(blocks)
    if offset is None:
        zero = level - line.intercept / line.slope if line.slope > 0 else -np.inf
        warnings.append(
            f"The offset was not given; the darkest pixels, {level:.1f} counts, stand for it, and "
            f"the noise would vanish at {zero:.1f} counts: the camera's offset lies between the "
            "two, and only a dark image or an empty region tells where."
        )
        fitted = _fitted(blocks, level, level_error, warnings, scale=1.0, name=name)
    else:
        shifted = replace(blocks, signal=blocks.signal + level - offset)
        fitted = _fitted(shifted, offset, None, warnings, scale=1.0, name=name)
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
                part.append(_block_means(values, _BLOCK))
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
    return [pairs[index] for index in _spread(len(pairs), most)]


def _apart(
    fields: Sequence[Any], chosen: FramePairs, kernel: FloatArray, level: float, line: _Line
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
                dark, energy = (_block_means(v, _BLOCK) for v in (change.mean, difference**2))
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
    def of(cls, frames: Any, pair: tuple[int, int], level: float, line: _Line) -> _Change:
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
        if far_off.mean() > _MOST_FAR_OFF:  # it is motion, or this line is none
            far_off = np.zeros_like(far_off)
        x, y = mean[~far_off], difference[~far_off]
        centred = x - x.mean()
        slope = np.vdot(y, centred) / max(float(np.vdot(centred, centred)), 1e-12)
        return cls(one, two, mean, difference - y.mean() - slope * (mean - x.mean()), far_off)

    def full(self, highest: float) -> NDArray[np.bool_]:
        """Mark pixels at the highest value, where it is a pile-up."""
        full = (self.one == highest) | (self.two == highest)
        return full if full.sum() >= _PILED_UP else np.zeros_like(full)


def _first_line(fields: Sequence[Any], pairs: list[tuple[int, int]], level: float) -> _Line:
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
    return _Line(max(float(intercept), 1 / 12), max(float(slope), 0.0), np.inf, np.inf, 0.0)


def _series_blocks(
    fields: Sequence[Any],
    pairs: list[tuple[int, int]],
    kernel: FloatArray,
    level: float,
    line: _Line,
) -> _Blocks:
    """Gather the blocks of all fields, each a series (T, Y, X)."""
    parts = [_field_blocks(field, pairs, kernel, level, line) for field in fields]
    _check_blocks(sum(len(part.weight) for part in parts), "frames")
    return _joined(parts)


def _joined(parts: Sequence[_Blocks]) -> _Blocks:
    return _Blocks(
        np.concatenate([part.signal for part in parts]),
        np.concatenate([part.variance for part in parts]),
        np.concatenate([part.weight for part in parts]),
        parts[0].dilution,
    )


def _field_blocks(
    frames: Any,
    pairs: list[tuple[int, int]],
    kernel: FloatArray,
    level: float,
    line: _Line,
) -> _Blocks:
    """Sum noise and mean of all pairs over blocks, without what moved or was not recorded."""
    trim = kernel.shape[0] // 2
    recorded = _recorded(frames[pairs[0][0]]) & _recorded(frames[pairs[-1][1]])
    inner = (slice(trim, frames.shape[1] - trim), slice(trim, frames.shape[2] - trim))
    signal, variance, seen = (np.zeros(recorded[inner].shape) for _ in range(3))
    highest = max(float(np.max(frames[index])) for pair in pairs for index in pair)
    off = _off_the_line(frames, pairs, level, line)
    mask = mask_of(frames)
    for pair in pairs:
        go_on()
        change = _Change.of(frames, pair, level, line)
        still = recorded & _standing_still(change.difference, change.mean, line)
        still &= ~maximum_filter(change.full(highest), _TAPS)
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
    side = max(_BLOCK // int(np.sqrt(exposures)), 2)
    weight = _block_means(seen, side).ravel()
    kept = weight > 0
    return _Blocks(
        _block_means(signal, side).ravel()[kept] / weight[kept],
        _block_means(variance, side).ravel()[kept] / weight[kept],
        weight[kept] / len(pairs),
        _dilution(kernel, side) / exposures,
    )


def _off_the_line(
    frames: Any, pairs: list[tuple[int, int]], level: float, line: _Line
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
    most, least = (chdtri(degrees, chance) / degrees for chance in (_CHANCE, 1 - _CHANCE))
    around = np.maximum(mean, uniform_filter(mean, 5))
    off: NDArray[np.bool_] = squares > most * _expected(around, line)
    often = chdtri(degrees, math.sqrt(_CHANCE)) / degrees
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


def _standing_still(difference: FloatArray, mean: FloatArray, line: _Line) -> NDArray[np.bool_]:
    """Mark pixels whose surroundings did not change beyond their noise."""
    change = uniform_filter(difference / np.sqrt(_expected(uniform_filter(mean, 5), line)), 5)
    noise = 1.4826 * float(np.median(np.abs(change)))
    moved = np.abs(change) > _MOVED * max(noise, 1e-12)
    reach = 5 + _TAPS // 4
    still: NDArray[np.bool_] = uniform_filter(moved.astype(np.float32), reach) < 1e-4
    return still


def _expected(mean: FloatArray, line: _Line) -> FloatArray:
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
        energy = _block_means(change**2, _DARK_BLOCK)
        inside = _enlarge(energy <= np.quantile(energy, 0.25))
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
    recorded = _recorded(frames[chosen[0]]) & _recorded(frames[chosen[-1]])
    if not recorded.any():
        recorded = ~recorded
    levels = []
    for chooser, measured in (halves, halves[::-1]):
        darkest = recorded & (chooser <= np.quantile(chooser[recorded], 0.01))
        levels.append(measured[darkest])
    values = np.concatenate(levels)
    # The smoothing makes nine neighbours one.
    return float(values.mean()), float(values.std() / np.sqrt(max(len(values) / 9, 1)))


# Shared noise --------------------------------------------------------------------------------


def shared_noise(frames: Any, cutoff: float) -> tuple[float, ...]:
    r"""Measure how neighbouring pixels share noise, as resampling and filters leave it.

    Of a series from the differences of consecutive frames, of single images from the edge of
    their spectrum, where nothing but noise is: that of which neighbours share :math:`\rho_y` and
    :math:`\rho_x` has there a power of
    :math:`(1 + 2 \rho_y \cos 2 \pi k_y) (1 + 2 \rho_x \cos 2 \pi k_x)`.

    Parameters
    ----------
    frames
        Camera counts, axes ``(T, Y, X)`` or ``(T, Z, Y, X)``.
    cutoff
        Cycles per pixel beyond which the optics pass nothing.

    Returns
    -------
    tuple of float
        Correlations of neighbours along ([z,] y, x); empty where there are none, or where too
        little is seen beyond the cutoff to tell.
    """
    series = len(frames) >= SERIES_FROM and frames.ndim == 3
    edge = _EDGE if series else max(_SURELY_BEYOND * cutoff, _EDGE)
    lateral = _correlation_at_the_edge(frames, edge, series) if edge < _LAST_EDGE else (0.0, 0.0)
    axial = _axial_correlation(frames) if frames.ndim == 4 else 0.0
    found = (*((axial,) if frames.ndim == 4 else ()), *lateral)
    # Resampling and smoothing give neighbours noise of the same sign.
    found = tuple(float(np.clip(value, 0.0, 0.5)) for value in found)
    return found if max(found) >= _SHARED else ()


def _correlation_at_the_edge(frames: Any, edge: float, series: bool) -> tuple[float, float]:
    """Fit the power of the noise, of frames or of their differences, at the edge of the spectrum.

    Compared are the middles of the two sides of the spectrum and its corner, so that a PSF that
    is too wide, and with it a cutoff that is too low, does not make noise of structure.
    """
    height, width = (min(length, _WINDOW) for length in frames.shape[-2:])
    y, x = np.abs(np.fft.fftfreq(height))[:, None], np.abs(np.fft.fftfreq(width))[None, :]
    places = [(x > edge) & (y < 0.12), (y > edge) & (x < 0.12), (y > 0.38) & (x > 0.38)]
    # What is cut off at the border would reach beyond the cutoff.
    taper = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    power = np.zeros((height, width))
    for place in chosen_planes((len(frames) - 1, *frames.shape[1:]) if series else frames.shape):
        go_on()
        window = np.asarray(frames[place], dtype=np.float64)[:height, :width]
        if series:
            window = np.asarray(frames[place[0] + 1])[:height, :width] - window
        power += np.abs(np.fft.fft2(taper * (window - window.mean()))) ** 2
    if not all(place.any() and power[place].any() for place in places):
        return 0.0, 0.0
    found = np.log([power[place].mean() for place in places])
    along_y, along_x = (np.broadcast_to(2 * np.cos(2 * np.pi * k), power.shape) for k in (y, x))
    waves = np.array(
        [[1, *(w[place].mean() for w in (along_y, along_x, along_y * along_x))] for place in places]
    )

    def misfit(values: FloatArray) -> FloatArray:
        level, shared_y, shared_x = values
        expected = waves @ (1, shared_y, shared_x, shared_y * shared_x)
        return np.asarray(level + np.log(np.maximum(expected, 1e-4)) - found)

    bounds = ([-np.inf, 0.0, 0.0], [np.inf, 0.5, 0.5])
    fitted = least_squares(misfit, (found[2], 0.1, 0.1), bounds=bounds)
    return float(fitted.x[1]), float(fitted.x[2])


# The line ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Line:
    intercept: float
    slope: float
    intercept_error: float
    slope_error: float
    contrast: float  # spread of the means over what noise alone gives them


def _fit_line(blocks: _Blocks) -> _Line:
    """Fit variance over signal by weighted least squares, iterated.

    A variance estimate scatters in proportion to the variance itself, so the weights are the
    fitted variance to the power -2 (a gamma model with identity link). The means are noisy
    too, which dilutes the slope. Shot noise does no harm, as a block that is bright by chance
    is noisy by the same chance (the second and third moment of Poisson noise are one); the
    read noise in the means is subtracted from their spread. Errors come from the scatter
    about the line, each residual divided by one minus its leverage.
    """
    x, y = blocks.signal, blocks.variance
    design = np.stack([np.ones_like(x), x], axis=1)
    line = np.array([float(np.average(y, weights=blocks.weight)), 0.0])
    floor = 0.05 * line[0]
    for _ in range(50):
        weight = blocks.weight / np.maximum(design @ line, max(0.5 * line[0], floor)) ** 2
        normal = (design.T * weight) @ design
        normal[1, 1] -= np.sum(weight) * blocks.dilution * max(line[0], 0.0)
        try:
            updated = np.linalg.solve(normal, (design.T * weight) @ y)
        except np.linalg.LinAlgError:
            return _Line(line[0], 0.0, np.inf, np.inf, 0.0)
        settled = bool(np.allclose(updated, line, rtol=1e-5))
        line = updated
        if settled:
            break
    inverse = np.linalg.inv(normal)
    leverage = np.clip(np.sum((design @ inverse) * design, axis=1) * weight, 0, 0.9)
    scatter = (y - design @ line) / (1 - leverage) * weight
    covariance = inverse @ ((design.T * scatter**2) @ design) @ inverse
    centred = x - np.average(x, weights=weight)
    by_noise = np.sum(weight * np.maximum(design @ line, 0)) * blocks.dilution
    return _Line(
        intercept=float(line[0]),
        slope=float(line[1]),
        intercept_error=float(np.sqrt(covariance[0, 0])),
        slope_error=float(np.sqrt(covariance[1, 1])),
        contrast=float(np.sum(weight * centred**2) / max(by_noise, 1e-300)),
    )


def _fitted(
    blocks: _Blocks,
    offset: float,
    offset_error: float | None,
    warnings: list[str],
    *,
    scale: float,
    name: str,
) -> PhotonTransfer:
    line = _fit_line(blocks)
    if not (line.contrast > 1.5 and line.slope > 3 * line.slope_error):
        raise InputError(
            f"{name} shows too little signal above its background to measure a gain (slope "
            f"{line.slope:.3g} ± {line.slope_error:.2g} counts per electron); use an image with "
            "bright structures, or type in the gain from the camera's data sheet."
        )
    if line.intercept < -2 * line.intercept_error:
        warnings.append(
            f"The noise at the offset of {offset:.1f} counts comes out below zero "
            f"({line.intercept:.2g} counts squared); the offset is probably too low, and the read "
            "variance was set to 0."
        )
    return PhotonTransfer(
        offset=offset,
        offset_error=offset_error,
        gain=scale * line.slope,
        # What is scaled is known to a part of what the scale adds.
        gain_error=math.hypot(scale * line.slope_error, (scale - 1) / 2 * line.slope),
        read_variance=max(scale * line.intercept, 0.0),
        read_variance_error=scale * line.intercept_error,
        warnings=tuple(warnings),
    )


# Helpers -----------------------------------------------------------------------------------


def _check_size(frames: NDArray[Any], name: str) -> None:
    height, width = frames.shape[-2:]
    if min(height, width) < _SMALLEST:
        raise InputError(
            f"{name} is {height} x {width} pixels; a gain needs at least {_SMALLEST} x "
            f"{_SMALLEST}, so use a larger image or type the gain in."
        )


def _check_blocks(blocks: int, name: str) -> None:
    if blocks < 10:
        raise InputError(
            f"{name} has only {blocks} blocks of {_BLOCK} x {_BLOCK} pixels that were recorded, "
            "not filled in, and stand still; use another image or type the gain in."
        )


def _spread(available: int, most: int) -> NDArray[np.intp]:
    """Return up to `most` indices, evenly spread over what is available."""
    return np.unique(np.linspace(0, available - 1, min(available, most)).round().astype(np.intp))


def _block_means(image: FloatArray, side: int) -> FloatArray:
    rows, columns = image.shape[0] // side, image.shape[1] // side
    cropped = image[: rows * side, : columns * side]
    means: FloatArray = cropped.reshape(rows, side, columns, side).mean(axis=(1, 3))
    return means


def _enlarge(blocks: NDArray[Any]) -> NDArray[Any]:
    return np.repeat(np.repeat(blocks, _DARK_BLOCK, axis=0), _DARK_BLOCK, axis=1)
