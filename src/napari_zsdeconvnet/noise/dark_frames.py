"""Pixels without light, frame by frame: their means, their variances, and which are sound."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtri, polygamma

from ..io.image import Image, as_frames, check_pixels, spatial_axes
from ..io.lazy import volumes_in_slabs
from ..utils.errors import InputError

_BRIGHT_DARK_PIXEL = 5.0  # variance over the typical one from which a pixel counts as hot
_HOT_OFFSET = 8.0  # standard errors of a mean over frames
_CHANCE = 1e-6  # of a sound pixel to be taken for a hot one


def dark_moments(frames: ArrayLike | Image, axes: str | None) -> dict[str, Any]:
    """Measure by `NoiseModel.from_dark`."""
    frames = as_frames(frames, axes, name="dark frames", spatial=spatial_axes(frames, axes))
    count = math.prod(frames.shape[:-2])
    if count < 2:
        raise InputError(
            "dark-frames-too-few",
            "A dark calibration was given 1 frame; it needs at least 2, or mark all of the one "
            "frame as a background region.",
        )
    warnings = list(check_pixels(frames, name="dark frames"))
    means, levels = frame_means(frames)
    variances = variance_over_time(frames, means, levels)
    sound = sound_pixels(means, variances, count)
    if not sound.all():
        hot = 1 - sound.mean()
        warnings.append(
            f"{100 * hot:.2f} % of the pixels are hot or unusually noisy and were left out of the "
            "averages; their noise in an image is underestimated."
        )
    pixels = int(sound.sum())
    read_variance = float(variances[sound].mean())
    drift = float(levels.std())
    if drift > 5 * math.sqrt(read_variance / means.size) and drift > 0.1:
        warnings.append(
            f"The level of the dark frames drifts by {drift:.2g} counts (one standard "
            "deviation); let the camera reach its temperature and keep light out."
        )
    return {
        "offset": float(means[sound].mean()),
        "gain": None,
        "read_variance": read_variance,
        "offset_error": float(
            math.hypot(means[sound].std() / math.sqrt(pixels), drift / math.sqrt(count))
        ),
        "read_variance_error": float(variances[sound].std() / math.sqrt(pixels)),
        "source": f"a dark stack of {count} frames",
        "warnings": tuple(warnings),
    }


def dark_pixels(
    frames: ArrayLike | Image, *, axes: str | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    r"""Measure offset and read variance of every pixel without light, (Y, X) each.

    What n frames leave open is taken from what pixels have in common. The offset: means of rows
    and columns, and of what is left of a pixel's own mean the part :math:`1 - s^2 / (n v)`, with
    :math:`s^2 / n` the variance of a mean and v that of what is left. The variance: a typical
    one with the weight of as many frames as the spread of the variances allows (Smyth, Stat. Appl.
    Genet. Mol. Biol. 3, 3, 2004).

    Parameters
    ----------
    frames, axes
        As for `NoiseModel.from_dark`.
    """
    frames = as_frames(frames, axes, name="dark frames", spatial=spatial_axes(frames, axes))
    means, levels = frame_means(frames)
    variances = variance_over_time(frames, means, levels)
    count = len(levels)
    typical = float(np.median(variances)) * (count - 1) / chdtri(count - 1, 0.5)
    lines = _of_rows_and_columns(means)
    rest = means - lines
    spread = float((np.subtract(*np.percentile(rest, [84.13, 15.87])) / 2) ** 2)
    share = np.clip(1 - typical / count / max(spread, 1e-12), 0, 1)
    # A hot pixel's offset is its own.
    own = np.where(np.abs(rest) > _HOT_OFFSET * math.sqrt(max(typical / count, 1e-12)), 1.0, share)
    freedom = _frames_in_common(variances, count - 1)
    variance = (freedom * typical + (count - 1) * variances) / (freedom + count - 1)
    return (lines + own * rest).astype(np.float32), variance.astype(np.float32)


def _of_rows_and_columns(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what rows and columns have in common, by medians."""
    columns = np.median(image, axis=0, keepdims=True)
    return np.asarray(columns + np.median(image - columns, axis=1, keepdims=True))


def _frames_in_common(variances: NDArray[np.float64], degrees: int) -> float:
    """Return how many frames' worth pixels' variances tell of each other.

    The logarithm of a variance over d degrees scatters by trigamma(d / 2); what pixels scatter
    beyond that is their own.
    """
    logs = np.log(np.maximum(variances, 1e-3))
    low, high = (float(value) for value in np.percentile(logs, [15.87, 84.13]))
    beyond = ((high - low) / 2) ** 2 - float(polygamma(1, degrees / 2))
    # trigamma(x) is about 1 / x + 1 / (2 x^2), solved for x.
    if beyond <= 1e-3:
        return 2000.0
    return (1 + math.sqrt(1 + 2 * beyond)) / beyond


def frame_means(frames: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean over all frames, axes (Y, X), and the mean of each frame."""
    total = np.zeros(frames.shape[-2:])
    levels: list[float] = []
    for _, slab in volumes_in_slabs(frames):
        for frame in slab:
            total += frame
            levels.append(float(frame.mean(dtype=np.float64)))
    return total / len(levels), np.array(levels)


def variance_over_time(
    frames: NDArray[Any], means: NDArray[np.float64], levels: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return each pixel's unbiased variance over time, the drift of whole frames taken out."""
    squares = np.zeros(means.shape)
    read = (frame for _, slab in volumes_in_slabs(frames) for frame in slab)
    for frame, level in zip(read, levels, strict=True):
        squares += (frame - means - (level - levels.mean())) ** 2
    return squares / (len(levels) - 1)


def sound_pixels(
    means: NDArray[np.float64], variances: NDArray[np.float64], frames: int
) -> NDArray[np.bool_]:
    """Mark pixels that are neither hot nor far noisier than the typical one.

    A variance over few frames scatters as chi squared does, so the limit follows from it.
    """
    degrees = frames - 1
    typical = max(float(np.median(variances)) * degrees / chdtri(degrees, 0.5), 1e-12)
    limit = typical * max(_BRIGHT_DARK_PIXEL, chdtri(degrees, _CHANCE) / degrees)
    low, middle, high = np.percentile(means, [15.87, 50, 84.13])
    spread = max((high - low) / 2, math.sqrt(typical / frames))
    sound: NDArray[np.bool_] = (variances <= limit) & (np.abs(means - middle) <= 8 * spread)
    return sound
