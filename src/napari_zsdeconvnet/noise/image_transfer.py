"""Photon transfer from single images: beyond the optical cutoff there is no image, only noise."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from scipy.signal import fftconvolve
from scipy.special import chdtri

from ..utils.errors import InputError
from ..utils.phases import go_on
from .correlated_noise import (
    axial_correlation,
    correlated_noise,
    is_structure,
    neighbour_correlation,
)
from .dark_region import filled, filled_warning
from .photon_transfer import (
    BLOCK,
    CHANCE,
    CORRELATED,
    DARK_BLOCK,
    MOST_FAR_OFF,
    MOST_FRAMES,
    NYQUIST_CUTOFF,
    SMALLEST,
    TAPS,
    WINDOW,
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
from .pixel_mask import Kind, mask_of

MOST_PLANES = 32
"""So many planes of a volume are looked at one by one."""
_MOST_WINDOWS = 16
_PLANE_PIXELS = 4_000_000  # and planes of so many pixels in all
_SLOPE = 0.03  # cycles per pixel beyond the cutoff, where the filter passes half
_FURTHER, _CORNER = 0.1, 0.62  # cycles per pixel beyond that, and at most, for the corner
_COMPARED = 4  # planes in which the corner is looked at
_FALLEN = 0.25  # part of the gain by which the corner must be lower
_STRAY = 6.0  # times the upper spread of blocks, from where on one is far off
_BESIDE = 3  # pixels a side, around one that is not used, in which the filter lacks noise
_LEAST_USED = 0.5  # part of a block


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
            "cutoff-out-of-range",
            f"The cutoff is {cutoff:g} cycles per pixel; give 2 NA / wavelength times the pixel "
            "size, which must lie between 0 and 0.65 for noise to be left beyond it (finer pixels "
            "or a series of frames are the other ways).",
        )
    check_size(frames, name)
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
    kernel = highpass(_edge(cutoff))
    blocks = _blocks_of_images(chosen, kinds, offset, kernel, name)
    corner = highpass(min(_edge(cutoff) + _FURTHER, _CORNER))
    beyond = fit_line(_blocks_of_images(chosen[:_COMPARED], kinds, offset, corner, name))
    scale, correlation = _correlation_scale(chosen, kernel, kinds)
    if scale != 1 and _structure_beyond(fit_line(blocks), beyond):
        scale = 1.0
    if scale != 1:
        warnings.append(
            f"The gain was scaled by {scale:.1f}, since neighbouring pixels share noise "
            f"(correlation {correlation:.2f}: the image was interpolated or smoothed) and the high "
            "frequencies lack it; take it as rough, or calibrate on the camera's original pixels."
        )
    if frames.ndim == 4:
        axial = axial_correlation_of_volumes(frames)
        if axial > CORRELATED:
            warnings.append(correlated_noise(axial, "planes"))
    fitted = fitted_transfer(blocks, offset, offset_error, warnings, scale=scale, name=name)
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
) -> TransferBlocks:
    """Gather the blocks of all planes, without those that something else than noise made."""
    unusable: Iterable[Any] = _each(None) if kinds is None else _windows(kinds)
    parts = [
        _image_blocks(window, offset, kernel, unused)
        for window, unused in zip(_windows(planes), unusable, strict=False)
    ]
    check_blocks(sum(len(part.signal) for part in parts), name)
    energy = np.abs(np.fft.fft2(kernel, (128, 128))) ** 2
    modes = BLOCK**2 * float(energy.mean() ** 2 / (energy**2).mean())
    return _without_far_off(joined_blocks(parts), modes)


def _without_far_off(blocks: TransferBlocks, modes: float) -> TransferBlocks:
    """Leave out few blocks far above the line, where a bad pixel was not found or structure shows.

    Variances of blocks scatter as chi squared over as many numbers as modes pass the filter, and
    wider where few photons were counted: so do most of these, and the limit follows them.
    """
    kept = np.ones(len(blocks.signal), dtype=bool)
    for _ in range(3):
        line = fit_line(_some_blocks(blocks, kept))
        ratio = blocks.variance / np.maximum(
            line.intercept + line.slope * blocks.signal, 0.2 * max(line.intercept, 1e-12)
        )
        middle, high = np.quantile(ratio[kept], (0.5, 0.84))
        limit = max(float(chdtri(modes, CHANCE) / modes), float(middle + _STRAY * (high - middle)))
        fewer = ratio <= limit
        if (fewer == kept).all() or fewer.mean() < 1 - MOST_FAR_OFF:
            break
        kept = fewer
    return _some_blocks(blocks, kept)


def _some_blocks(blocks: TransferBlocks, kept: NDArray[np.bool_]) -> TransferBlocks:
    return replace(
        blocks,
        signal=blocks.signal[kept],
        variance=blocks.variance[kept],
        weight=blocks.weight[kept],
    )


def _structure_beyond(line: TransferLine, corner: TransferLine) -> bool:
    """Tell structure beyond the cutoff from noise that neighbours share.

    At the corner of the spectrum such noise lacks in the dark as much as where it is bright;
    structure shows where it is bright alone.
    """
    certain = 3 * math.hypot(line.slope_error, corner.slope_error)
    lower = line.slope - corner.slope > max(certain, _FALLEN * line.slope)
    dark = corner.intercept > max(line.intercept, 3 * corner.intercept_error)
    return bool(lower and dark)


def _lower_at_the_corner(fitted: PhotonTransfer, line: TransferLine) -> PhotonTransfer:
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
    places = evenly_spread(math.prod(leading), most)
    return [tuple(int(i) for i in np.unravel_index(place, leading)) for place in places]


def _kinds(frames: Any, places: Sequence[tuple[int, ...]]) -> NDArray[np.uint8] | None:
    """Give why pixels of some planes are not used; None where all of them are."""
    mask = mask_of(frames)
    return None if mask is None else np.stack([mask.kinds(place) for place in places])


def _image_blocks(
    window: FloatArray, offset: float, kernel: FloatArray, kinds: FloatArray | None = None
) -> TransferBlocks:
    signal = window - offset
    # Without its own mean the image is smaller and the transforms lose fewer digits.
    noise = fftconvolve(signal - signal.mean(), kernel, mode="valid")
    mean = fftconvolve(signal, kernel**2, mode="valid")
    trim = kernel.shape[0] // 2
    recorded = recorded_pixels(window, kinds)[trim:-trim, trim:-trim].astype(np.float64)
    dilution = noise_left_by(kernel, BLOCK)
    if kinds is None:
        signals = block_means(mean, BLOCK).ravel()
        variances = block_means(noise**2, BLOCK).ravel()
        kept = block_means(recorded, BLOCK).ravel() == 1
        return TransferBlocks(signals[kept], variances[kept], np.ones(int(kept.sum())), dilution)
    # What stands for a pixel has no noise, of which most is in the filtered pixel itself.
    used = recorded * ~maximum_filter(kinds > 0, _BESIDE)[trim:-trim, trim:-trim]
    weight = block_means(used, BLOCK).ravel()
    kept = (block_means(recorded, BLOCK).ravel() == 1) & (weight > _LEAST_USED)
    weight = weight[kept]
    signals, variances = (
        block_means(values * used, BLOCK).ravel()[kept] / weight for values in (mean, noise**2)
    )
    return TransferBlocks(signals, variances, weight, dilution)


def _windows(frames: NDArray[Any]) -> Iterator[FloatArray]:
    """Cut frames into windows small enough to transform, evenly chosen when there are many."""
    corners = [
        (frame, y, x)
        for frame in range(len(frames))
        for y in range(0, frames.shape[1], WINDOW)
        for x in range(0, frames.shape[2], WINDOW)
    ]
    for index in evenly_spread(len(corners), _MOST_WINDOWS):
        frame, y, x = corners[index]
        go_on()
        window = frames[frame, y : y + WINDOW, x : x + WINDOW]
        if min(window.shape) >= SMALLEST:
            yield window.astype(np.float64)


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
            block_means(recorded_pixels(frame, unused).astype(np.float64), DARK_BLOCK).ravel()
            for frame, unused in zip(frames, _each(kinds), strict=False)
        ]
    )
    for chooser in (white, ~white):
        chosen_by, measured = (
            np.concatenate(
                [block_means(np.where(half, frame, 0.0), DARK_BLOCK).ravel() for frame in frames]
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
        means = block_means(window, DARK_BLOCK)
        recorded = block_means(recorded_pixels(window, unused).astype(np.float64), DARK_BLOCK) == 1
        if not recorded.any():
            continue
        inside = enlarged(recorded & (means <= np.quantile(means[recorded], 0.1)))
        cropped = window[: inside.shape[0], : inside.shape[1]]
        residual = np.where(inside, cropped - enlarged(means), 0.0)
        near, far = neighbour_correlation(residual[None], inside[None])
        correlations.append((near, far))
        filtered = fftconvolve(cropped - cropped.mean(), kernel, mode="same")
        total = np.sum(residual**2) / (1 - 1 / DARK_BLOCK**2)
        edge = TAPS // 2
        inner = inside[edge:-edge, edge:-edge]
        beyond = np.mean(filtered[edge:-edge, edge:-edge][inner] ** 2) if inner.any() else np.nan
        scales.append(total / inside.sum() / beyond)
    if not correlations:
        return 1.0, 0.0
    near, far = np.median(np.array(correlations), axis=0)
    if near < CORRELATED or is_structure(near, far) or not np.isfinite(scales).all():
        return 1.0, float(near)
    return max(float(np.median(scales)), 1.0), float(near)


def axial_correlation_of_volumes(volumes: Any) -> float:
    """Return how neighbouring planes share noise, in the darkest tenth of the first volume.

    Zero where it reaches two planes on, for that is an image or the camera's fixed pattern.
    """
    values = []
    for start in evenly_spread(volumes.shape[1] - 2, 4) if volumes.shape[1] > 2 else ():
        window = np.asarray(volumes[0, start : start + 3, :WINDOW, :WINDOW], dtype=np.float64)
        means = np.stack([block_means(plane, DARK_BLOCK) for plane in window])
        recorded = np.stack(
            [block_means(recorded_pixels(p).astype(np.float64), DARK_BLOCK) == 1 for p in window]
        ).all(axis=0)
        if not recorded.any():
            continue
        dark = means.mean(axis=0)
        inside = enlarged(recorded & (dark <= np.quantile(dark[recorded], 0.1)))
        cropped = window[:, : inside.shape[0], : inside.shape[1]]
        level = np.stack([enlarged(plane) for plane in means])
        inside = np.broadcast_to(inside, cropped.shape)
        values.append(axial_correlation(np.where(inside, cropped - level, 0.0), inside))
    if not values:
        return 0.0
    near, far = np.median(np.array(values), axis=0)
    return 0.0 if is_structure(near, far) else float(near)
