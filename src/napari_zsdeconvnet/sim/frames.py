"""Raw frames of structured illumination: how they are laid out, and what speaks against them."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, ndimage

from ..io.image import Image, PixelRule
from ..noise.noise_model import NoiseModel
from ..noise.processed_images import processed_words
from ..noise.usable_pixels import checked
from ..utils.errors import InputError, Remedy
from .frame_axes import frame_axes
from .patterns import Order

FloatArray = NDArray[np.float64]

SMALLEST = 32  # pixels along Y and along X, below which there is no spectrum to speak of
_UNEVEN = 0.2  # difference of brightness between frames that is worth a word
_DARK = 0.2  # share of the median brightness below which a frame was not exposed
_DRIFT = 0.5  # pixels between the first and the last orientation that are worth a word
_AGREE = 2.5  # standard errors within which two slopes are the same
_BLEACHING = 0.1  # loss from one frame to the next that may be bleaching
_FLICKER = 0.05  # deviation of one frame from steady bleaching that no structure explains
_NOISY = 3.0  # standard errors of a frame's mean that noise explains
RAW_COUNTS = {9: (3, 3), 15: (3, 5)}  # frames of usual 2D-SIM and 3D-SIM


def layout(orientations: int, phases: int, order: Order) -> NDArray[np.int64]:
    """Give the index of each frame in the recording, (orientations, phases)."""
    count = np.arange(orientations * phases)
    if order == "orientation":
        return count.reshape(orientations, phases)
    return count.reshape(phases, orientations).T


def as_raw(
    raw: ArrayLike | Image, orientations: int = 3, phases: int = 3, *, name: str = "raw"
) -> NDArray[Any]:
    """Check that an array is raw SIM and lay it out as (..., orientations * phases, Y, X).

    Parameters
    ----------
    raw
        Counts, of any real type. The frames may lie along any one axis, or along one of
        orientations and one of phases; the others keep their order.
    orientations, phases
        How many there should be.
    name
        What messages call it; that of an `Image` goes before.

    Returns
    -------
    numpy.ndarray
        The same pixels, the frames before Y and X.

    Raises
    ------
    InputError
        If the frames do not divide into orientations and phases, are too small, or are no
        camera counts.
    """
    letters = ""
    if isinstance(raw, Image):
        letters = raw.axes[:-2]
        name, raw = raw.name or name, raw.data
    pixels = np.asarray(raw)
    wanted = orientations * phases
    if orientations < 1 or phases < 3:
        raise InputError(
            "frame-counts-impossible",
            f"{orientations} orientations of {phases} phases cannot be taken apart; give one "
            "orientation or more and three phases or more.",
        )
    if pixels.dtype.kind not in "uif":
        raise InputError("image-kind", f"{name} holds {pixels.dtype} values; give camera counts.")
    if pixels.ndim == 2:
        raise InputError(
            "frames-missing",
            f"{name} is one image of shape {pixels.shape} where {wanted} raw frames are wanted; if "
            "it is a reconstruction already, deconvolve it as an image, otherwise give the raw "
            "recording.",
        )
    found = frame_axes(pixels.shape[:-2], orientations, phases, letters=letters, name=name)
    pixels = pixels if found is None else found.sets(pixels)
    if pixels.ndim < 3 or pixels.shape[-3] != wanted:
        raise _miscounted(name, pixels.shape, orientations, phases)
    if min(pixels.shape[-2:]) < SMALLEST:
        raise InputError(
            "image-too-small",
            f"{name} has frames of {pixels.shape[-2]}x{pixels.shape[-1]} pixels; give "
            f"{SMALLEST}x{SMALLEST} or more.",
        )
    return pixels


def _miscounted(name: str, shape: tuple[int, ...], orientations: int, phases: int) -> InputError:
    have = shape[-3] if len(shape) > 2 else 0
    wanted = orientations * phases
    told = f"{orientations} orientations x {phases} phases"
    if have in RAW_COUNTS and len(shape) > 2:
        o, p = RAW_COUNTS[have]
        kind = "2D-SIM" if p == 3 else "3D-SIM"
        return InputError(
            "frame-counts-wrong",
            f"{name} has {have} frames where {told} are wanted; {have} is usual for {kind} of {o} "
            f"orientations and {p} phases",
            Remedy("frame-counts", when="if that is what it is"),
        )
    if have and have % wanted == 0:
        return InputError(
            "frame-counts-wrong",
            f"{name} has {have} frames, {have // wanted} times {told}; give it the axes (time, "
            f"{wanted}, Y, X) of the shape ({have // wanted}, {wanted}, ...).",
        )
    return InputError(
        "frame-counts-wrong",
        f"{name} of shape {shape} has {have} frames, which do not divide into {told}",
        f"give {wanted} frames before Y and X",
        Remedy("frame-counts"),
    )


def by_orientation(
    raw: NDArray[Any], orientations: int = 3, phases: int = 3, order: Order = "orientation"
) -> NDArray[np.float32]:
    """Lay raw frames (..., frames, Y, X) out as (..., orientations, phases, Y, X), float32.

    In the order "orientation" frames 0, 1, 2 are the phases of the first orientation; in the order
    "phase" frames 0, 3, 6 are.
    """
    index = layout(orientations, phases, order)
    taken = np.take(raw, index.ravel(), axis=-3).astype(np.float32)
    return taken.reshape(*raw.shape[:-3], orientations, phases, *raw.shape[-2:])


def offset_counts(
    offset: float | ArrayLike | NoiseModel, shape: tuple[int, int]
) -> float | FloatArray:
    """Give the offset as a number, or as a map of the frames' shape.

    Raises
    ------
    InputError
        If a map has another shape, or holds NaN.
    """
    if isinstance(offset, NoiseModel):
        return offset.offset
    values = np.asarray(getattr(offset, "offset", offset), dtype=float)
    if not np.isfinite(values).all():
        raise InputError("offset-wrong", "The offset holds NaN or infinite values; give counts.")
    if values.ndim == 0:
        return float(values)
    if values.shape != shape:
        raise InputError(
            "offset-wrong",
            f"The offset map has the shape {values.shape} and the frames {shape}; crop the map to "
            "the same region of the camera.",
        )
    return cast("FloatArray", values)


def usable_frames(
    raw: NDArray[Any],
    rule: PixelRule | None = None,
    *,
    width: float | None = None,
    name: str = "raw",
) -> tuple[Any, tuple[str, ...]]:
    """Find what must not be used of raw frames, (..., N, Y, X) counts, and check the rest.

    Parameters are those of `usable_pixels.checked`. Returns the recording (T, N, Y, X), `Filled`
    where pixels must not be used, and warnings. Raises InputError if frames are constant, or too
    many pixels are NaN or saturated.
    """
    stack = raw.reshape(-1, *raw.shape[-3:])
    usable, warnings = checked(stack, rule, width=width, name=name, spatial="YX")
    return usable, (*warnings, *processed_words(usable, name=name))


def equalising(
    frames: NDArray[np.floating], order: Order, *, name: str = "raw"
) -> tuple[FloatArray, tuple[str, ...]]:
    """Find factors that make the frames equally bright, as if nothing had bleached.

    The mean of one orientation holds no pattern, so that orientations are made equal. Within
    an orientation the mean of a frame changes by a few per cent with where the fringes lie on
    the structure; only steady bleaching is taken out there, and what no structure explains.
    How fast it bleaches is best seen from one orientation to the next, if the frames within
    them agree with that; if not, each orientation has light of its own.

    Frames are (orientations, phases, Y, X), their offset subtracted, in the order in which they
    were recorded. Returns the factors, (orientations, phases), and warnings. Raises InputError if a
    frame holds no light, or far less than the others.
    """
    means = frames.mean(axis=(-2, -1), dtype=np.float64)
    index = layout(means.shape[0], means.shape[1], order)
    typical = float(np.median(means))
    if typical <= 0:
        raise InputError(
            "offset-wrong",
            f"{name} has a mean of {typical:.4g} counts after subtracting the offset; give the "
            "offset of this camera.",
        )
    worst = np.unravel_index(means.argmin(), means.shape)
    if means[worst] < _DARK * typical:
        raise InputError(
            "frame-dark",
            f"Frame {index[worst]} of {name} has a mean of {means[worst]:.4g} counts above the "
            f"offset and the others {typical:.4g}; a frame is missing or was not exposed, so "
            "record it again.",
        )
    logs = np.log(means)
    # The pixels scatter by noise and by the structure, so that noise alone has no larger error.
    scatter = frames.std(axis=(-2, -1), dtype=np.float64)
    errors = scatter / means / math.sqrt(math.prod(frames.shape[-2:]))
    flicker = np.hypot(_FLICKER, _NOISY * errors)
    near = np.abs(logs - np.median(logs, axis=1, keepdims=True)) < flicker + _BLEACHING
    steady = _steady(logs, index.astype(float), near)
    brightness = np.exp(np.where(np.abs(logs - steady) < flicker, steady, logs))
    factors = brightness.mean() / brightness
    warnings = []
    spread = float(means.max() / means.min()) - 1
    if spread > _UNEVEN:
        within = float((means.max(axis=1) / means.min(axis=1)).max()) - 1
        warnings.append(
            f"The frames differ in brightness by {100 * spread:.0f} % ({100 * within:.0f} % within "
            "one orientation); they are made equal, but noise is not, so look for bleaching or an "
            "uneven laser."
        )
    return factors, tuple(warnings)


def _steady(logs: FloatArray, time: FloatArray, used: NDArray[np.bool_]) -> FloatArray:
    """Fit a level for each orientation and one slope for all to the frames that are used."""

    def mean(values: FloatArray) -> FloatArray:
        total = np.where(used, values, 0).sum(axis=1, keepdims=True)
        return np.asarray(total / used.sum(axis=1, keepdims=True))

    level, middle = mean(logs), mean(time)
    off, step = (np.where(used, values - mean(values), 0) for values in (logs, time))
    extent = max(float((step**2).sum()), 1e-12)
    within = float((off * step).sum()) / extent
    freedom = max(int(used.sum()) - len(logs) - 1, 1)
    error = math.sqrt(float(((off - within * step) ** 2).sum()) / freedom / extent)
    between = 0.0
    if len(logs) > 1:
        apart = middle - middle.mean()
        between = float((apart * level).sum() / (apart**2).sum())
    if abs(within - between) < _AGREE * error:
        slope = between
    else:
        slope = within if -within > _AGREE * error else 0.0
    slope = min(slope, 0.0)  # a dye does not become brighter
    return np.asarray(level + slope * (time - middle))


def drift(frames: NDArray[np.floating], pixel_size: float) -> tuple[float, str]:
    """Measure how far the image moves between the orientations, in pixels.

    The mean over the phases of one orientation is a widefield image; those of the first and the
    last orientation are registered by their cross-correlation. A sentence says where it matters.
    """
    if len(frames) < 2:
        return 0.0, ""
    shape = frames.shape[-2:]
    window = np.outer(*(np.hanning(n + 2)[1:-1] for n in shape))
    first, last = (frames[index].mean(axis=0, dtype=np.float64) for index in (0, -1))
    spectra = [
        fft.rfft2((ndimage.gaussian_filter(image, 1) - image.mean()) * window)
        for image in (first, last)
    ]
    correlation = fft.irfft2(spectra[0].conj() * spectra[1], s=shape)
    peak = np.unravel_index(correlation.argmax(), shape)
    shifts = []
    for axis in (0, 1):
        line = np.take(correlation, peak[1 - axis], axis=1 - axis)
        before, top, after = (line[(peak[axis] + step) % shape[axis]] for step in (-1, 0, 1))
        bend = before - 2 * top + after
        part = 0.5 * (before - after) / bend if bend else 0.0
        shifts.append((peak[axis] + shape[axis] / 2) % shape[axis] - shape[axis] / 2 + part)
    pixels = float(np.hypot(*shifts))
    if pixels < _DRIFT:
        return pixels, ""
    return pixels, (
        f"The image moves by {pixels:.1f} pixels ({1000 * pixels * pixel_size:.0f} nm) between the "
        "first and the last orientation; a drift blurs the reconstruction, so record faster or "
        "register the frames."
    )
