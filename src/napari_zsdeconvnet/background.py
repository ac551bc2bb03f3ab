"""What an empty region of an image says about the camera: its offset and read variance.

A pixel that receives no light still reads the offset, with the variance of reading it out.
Both are the first two moments of an empty region. The rest of this module is doubt: whether
the region is empty, and whether its noise is the camera's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import binary_dilation
from scipy.special import ndtr

from .errors import InputError
from .images import check_pixels
from .lazy import is_lazy
from .saturation import piled_up

FloatArray = NDArray[np.float64]

FEW_PIXELS = 200
"""Below this many pixels the read variance is known to no better than 10 %."""

_PIXELS_USED = 2_000_000  # of a stack; more change no digit that matters and cost time
_FRAMES_CHECKED = 4
_PLANES_COMPARED = 3  # along Z, at each of so many places
_HOT = 8.0  # robust standard deviations; a sound camera has none beyond
_FILLINGS = 4  # values of flat squares that are looked at
_HOT_SHARE = 0.01  # more than this are not outliers but something in the region


@dataclass(frozen=True, eq=False)
class BackgroundFit:
    """An empty region, measured: what a histogram plot and a verdict need.

    Attributes
    ----------
    offset
        Mean of the region, counts.
    read_variance
        Variance of its pixels about a plane, counts squared.
    offset_error, read_variance_error
        Standard errors of the two.
    pixels
        How many pixel values they rest on.
    edges
        Bin edges of the histogram, counts, shape ``(bins + 1,)``.
    counts
        Pixels in each bin, shape ``(bins,)``.
    fitted
        Pixels in each bin expected of a Gaussian of that mean and variance, same shape.
    warnings
        What is wrong with the region, one sentence each.
    verdict
        One plain sentence for the user.
    """

    offset: float
    read_variance: float
    offset_error: float
    read_variance_error: float
    pixels: int
    edges: FloatArray
    counts: NDArray[np.int64]
    fitted: FloatArray
    warnings: tuple[str, ...]
    verdict: str


def fit_background(
    image: ArrayLike,
    mask: ArrayLike,
    *,
    gain: float | None = None,
    planes: bool | None = None,
    name: str = "image",
) -> BackgroundFit:
    """Measure offset and read variance in an empty region of an image.

    Outliers (hot pixels, more than eight robust standard deviations off) are left out as
    long as they are fewer than one in a hundred; so far out they cost Gaussian or Poisson
    noise nothing, and both moments stay unbiased. The mean of each frame and one plane are
    taken out before the variance, so that a drifting or sloping background does not pass
    for noise.

    Parameters
    ----------
    image
        Camera counts, axes ``(Y, X)``, ``(T, Y, X)``, ``(Z, Y, X)`` or ``(T, Z, Y, X)``; only
        the region is read of what is read lazily.
    mask
        True (or a label above zero) in the empty region, which may have any shape; axes
        ``(Y, X)`` for every frame and plane alike, those of one volume, or the shape of the
        image.
    gain
        Counts per electron, when known: how much skew photon noise may have.
    planes
        Whether the axis before Y is Z, along which interpolation may have shared noise too;
        None takes it for Z in four axes alone.
    name
        What messages call the image.

    Raises
    ------
    InputError
        If the mask does not fit the image or marks none of its pixels, or if pixels are
        NaN, infinite, constant or saturated.
    """
    pixels: Any = image if is_lazy(image) else np.asarray(image)
    planes = pixels.ndim > 3 if planes is None else planes
    marked = _checked_mask(pixels, np.asarray(mask), name)
    region, inside = _cut_out(pixels, marked)
    warnings = list(_check_frames(pixels, name, planes))

    values = region[inside]
    _check_values(values, name)
    inside = inside & ~_hot_pixels(region, inside, warnings)
    values = region[inside]
    offset = float(values.mean())

    residual, slope_variance = _flatten(region, inside)
    fitted_away = len(region) + 2
    degrees = max(len(values) - fitted_away, 1)
    read_variance = float(np.sum(residual**2) / degrees)
    squares = np.where(inside, residual**2 - read_variance, 0.0)

    padding = float(np.mean(filled(region[0])[inside[0]])) if inside[0].any() else 0.0
    if padding > 0:
        warnings.append(filled_warning(padding, "the background region"))
    warnings += _doubt_region(residual, inside, read_variance, slope_variance, gain)
    if planes and pixels.ndim > 2:
        warnings += _doubt_planes(pixels, marked)
    warnings += _doubt_camera(values, read_variance, pixels.dtype.kind in "ui")
    edges, counts = _histogram(values, offset, read_variance)
    curve = len(values) * np.diff(ndtr((edges - offset) / np.sqrt(read_variance)))
    return BackgroundFit(
        offset=offset,
        read_variance=read_variance,
        offset_error=_error_of_mean(residual, len(values)),
        read_variance_error=_error_of_mean(squares, len(values)),
        pixels=len(values),
        edges=edges,
        counts=counts,
        fitted=curve,
        warnings=tuple(warnings),
        verdict=_verdict(warnings, len(values)),
    )


def neighbour_correlation(residual: FloatArray, inside: NDArray[np.bool_]) -> tuple[float, float]:
    """Correlation between pixels one and two apart, along the axis where it is stronger.

    A camera's pixels are read one by one, so both are zero for its noise. Interpolated
    noise (rotated, registered, deskewed) correlates neighbours and hardly anything beyond;
    an image of something, blurred by the microscope, stays correlated two pixels on.

    Parameters
    ----------
    residual
        Noise with zero mean, zero outside the region, axes ``(T, Y, X)``.
    inside
        The region, same shape.
    """
    energy = float(np.sum(residual**2))
    variance = energy / max(int(inside.sum()), 1)

    def correlation(axis: int, lag: int) -> float:
        if residual.shape[axis] <= lag or variance == 0:
            return 0.0
        here, there = [slice(None)] * 3, [slice(None)] * 3
        here[axis], there[axis] = slice(None, -lag), slice(lag, None)
        pairs = int(np.count_nonzero(inside[tuple(here)] & inside[tuple(there)]))
        product = float(np.vdot(residual[tuple(here)], residual[tuple(there)]))
        return product / (variance * max(pairs, 1))

    axis = max((1, 2), key=lambda candidate: abs(correlation(candidate, 1)))
    return correlation(axis, 1), correlation(axis, 2)


def filled(image: NDArray[Any], side: int = 8) -> NDArray[np.bool_]:
    """Mark squares in which all pixels are equal, as no camera leaves them.

    Deskewing, rotating and registering fill the corners they leave empty with one value.

    Parameters
    ----------
    image
        Axes ``(Y, X)``.
    side
        Side of the squares, pixels; a margin narrower than that is not looked at.
    """
    rows, columns = image.shape[0] // side, image.shape[1] // side
    marked = np.zeros(image.shape, dtype=bool)
    squares = image[: rows * side, : columns * side].reshape(rows, side, columns, side)
    flat = squares.max(axis=(1, 3)) == squares.min(axis=(1, 3))
    if flat.any() and not flat.all():
        flat &= ~_as_those_beside(squares, flat)
    marked[: rows * side, : columns * side] = flat.repeat(side, axis=0).repeat(side, axis=1)
    return marked


def _as_those_beside(squares: NDArray[Any], flat: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark flat squares whose value most pixels of those beside them have, too.

    So it is where the noise of the camera is less than one count.
    """
    alike = np.zeros(flat.shape, dtype=bool)
    values = squares[:, 0, :, 0]
    # A filling has one value or a few; where noise is less than one count it is the same.
    for value in np.unique(values[flat])[:_FILLINGS]:
        own = flat & (values == value)
        beside = binary_dilation(own, np.ones((3, 3))) & ~flat
        if beside.any() and (squares == value).mean(axis=(1, 3))[beside].mean() > 0.5:
            alike |= own
    return alike


def filled_warning(share: float, what: str) -> str:
    """Say that part of an image was never recorded."""
    return (
        f"{share:.1%} of {what} is filled with one value, as deskewing, rotating and registering "
        "leave it; such images carry interpolated noise, so calibrate on the camera's original "
        "pixels where there are any."
    )


def is_structure(near: float, far: float) -> bool:
    """Tell an image (still correlated two pixels on) from interpolated noise."""
    return far > 0.35 * near > 0


def _checked_mask(pixels: Any, mask: NDArray[Any], name: str) -> NDArray[np.bool_]:
    """Return the mask as True and False, for each of the image's frames or for all alike."""
    if pixels.ndim not in (2, 3, 4):
        raise InputError(
            f"{name} has {pixels.ndim} axes {tuple(pixels.shape)}; a background region is measured "
            "in one image (Y, X), a time series (T, Y, X) or volumes (Z, Y, X), (T, Z, Y, X)."
        )
    if mask.dtype.kind not in "bui":
        raise InputError(
            f"The mask holds {mask.dtype} values; give True and False, or whole-number labels."
        )
    if mask.ndim < 2 or mask.shape != tuple(pixels.shape)[-mask.ndim :]:
        raise InputError(
            f"The mask has shape {mask.shape} and {name} {tuple(pixels.shape)}; draw the "
            "background region on the image it is meant for."
        )
    inside: NDArray[np.bool_] = np.asarray(mask > 0, dtype=bool)
    if not inside.any():
        raise InputError(
            f"The background region holds no pixel of {name}; draw it inside the image, on an "
            "area without signal."
        )
    return inside


def _cut_out(pixels: Any, mask: NDArray[np.bool_]) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return the mask's bounding box of the image and the mask therein, both (frames, Y, X)."""
    box = _bounding_box(mask)
    leading = pixels.shape[:-2]
    masked = np.broadcast_to(np.any(mask, axis=(-2, -1)), leading)
    places: list[tuple[int, ...]] = [
        place for place, any_of_it in np.ndenumerate(masked) if any_of_it
    ]
    few = max(_PIXELS_USED // math.prod(edge.stop - edge.start for edge in box), 1)
    if len(places) > few:
        places = [places[i] for i in np.linspace(0, len(places) - 1, few).round().astype(int)]
    return _read_boxes(pixels, mask, places, box)


def _bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    flat: NDArray[np.bool_] = np.any(mask, axis=tuple(range(mask.ndim - 2)))
    rows, columns = np.flatnonzero(np.any(flat, axis=1)), np.flatnonzero(np.any(flat, axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _read_boxes(
    pixels: Any,
    mask: NDArray[np.bool_],
    places: Sequence[tuple[int, ...]],
    box: tuple[slice, slice],
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Read the box in the frames at `places`, and what the mask says there."""
    region = np.stack([np.asarray(pixels[(*place, *box)], np.float64) for place in places])
    skipped = pixels.ndim - mask.ndim  # leading axes that the mask lacks
    boxes: list[tuple[int | slice, ...]] = [(*place[skipped:], *box) for place in places]
    return region, np.stack([mask[part] for part in boxes])


def _check_frames(pixels: Any, name: str, planes: bool) -> tuple[str, ...]:
    """Check whole frames, as a region alone cannot tell a dark image from a clipped one."""
    leading = pixels.shape[:-2]
    count = math.prod(leading)
    chosen = np.linspace(0, count - 1, min(count, _FRAMES_CHECKED)).round().astype(int)
    frames = [np.asarray(pixels[np.unravel_index(i, leading)]) for i in np.unique(chosen)]
    # What is NaN beyond the region is of no concern to it.
    frames = [
        frame
        if np.isfinite(frame).all()
        else np.where(np.isfinite(frame), frame, np.median(frame[np.isfinite(frame)]))
        for frame in frames
    ]
    if planes:  # a stack may have empty ones at its ends
        frames = [frame for frame in frames if frame.min() != frame.max()] or frames
    return check_pixels(np.stack(frames), name=name)


def _check_values(values: FloatArray, name: str) -> None:
    if not np.isfinite(values).all():
        wrong = int(np.sum(~np.isfinite(values)))
        raise InputError(
            f"The background region holds {wrong} pixel(s) that are NaN or infinite; draw it "
            "where the image has values."
        )
    if values.min() == values.max():
        raise InputError(
            f"The background region is constant, every pixel being {values[0]:g}; draw it inside "
            "the part of the image that the camera recorded."
        )
    full = values.max()
    if np.mean(values == full) > _HOT_SHARE and piled_up(values):
        raise InputError(
            f"{name} is saturated in the background region, whose highest value, {full:g}, is the "
            "end of the camera's range; draw it where the image is dark."
        )


def _hot_pixels(
    region: FloatArray, inside: NDArray[np.bool_], warnings: list[str]
) -> NDArray[np.bool_]:
    """Find isolated outliers and say so; none when they are too many to be outliers."""
    values = region[inside]
    some = values[:: max(len(values) // 100_000, 1)]
    low, middle, high = np.percentile(some, [15.87, 50, 84.13])
    spread = max((high - low) / 2, 0.05 * float(values.std()))
    if np.all(some == np.round(some)):
        spread = max(spread, 0.5)  # whole counts say nothing finer
    hot: NDArray[np.bool_] = inside & (np.abs(region - middle) > _HOT * spread)
    found = int(hot.sum())
    if found == 0 or found > _HOT_SHARE * len(values):
        return np.zeros_like(hot)
    warnings.append(
        f"{found} of {len(values)} pixels in the background region lie far off all others (hot "
        "pixels or cosmic rays) and were left out."
    )
    return hot


def _flatten(region: FloatArray, inside: NDArray[np.bool_]) -> tuple[FloatArray, float]:
    """Take each frame's mean and one common plane out; also return the plane's variance."""
    seen = inside.sum(axis=(1, 2))
    means = np.sum(region, axis=(1, 2), where=inside) / np.maximum(seen, 1)
    residual = np.where(inside, region - means[:, None, None], 0.0)

    weight = inside.sum(axis=0).astype(np.float64)
    total = weight.sum()
    ramps = [np.arange(length) - (length - 1) / 2 for length in weight.shape]
    across = (weight.sum(axis=1), weight.sum(axis=0))
    y, x = (ramp - float(ramp @ share) / total for ramp, share in zip(ramps, across, strict=True))
    summed = residual.sum(axis=0)
    normal = np.array(
        [
            [float(y**2 @ across[0]), float(y @ weight @ x)],
            [float(y @ weight @ x), float(x**2 @ across[1])],
        ]
    )
    slopes = np.linalg.pinv(normal) @ [float(y @ summed.sum(axis=1)), float(summed.sum(axis=0) @ x)]
    plane = slopes[0] * y[:, None] + slopes[1] * x
    residual = np.where(inside, residual - plane, 0.0)
    return residual, float(np.sum(weight * plane**2) / total)


def _error_of_mean(residual: FloatArray, count: int) -> float:
    """Return the standard error of a mean over pixels that may repeat from frame to frame.

    Frames of one pixel share its fixed pattern, so they are summed before they are squared.
    """
    return float(np.sqrt(np.sum(residual.sum(axis=0) ** 2)) / count)


def _doubt_region(
    residual: FloatArray,
    inside: NDArray[np.bool_],
    variance: float,
    slope_variance: float,
    gain: float | None,
) -> list[str]:
    """Ask whether the region is empty and its noise independent from pixel to pixel."""
    warnings = []
    count = int(inside.sum())
    if count < FEW_PIXELS:
        warnings.append(
            f"The background region has {count} pixels; with fewer than {FEW_PIXELS} the read "
            "variance is only roughly known, so draw a larger one."
        )
    if slope_variance > 0.03 * variance and slope_variance * count > 30 * variance:
        warnings.append(
            "The background region slopes from one side to the other; its slope was taken out, but "
            "the offset is a mean over it, so choose a flatter place."
        )

    near, far = neighbour_correlation(residual, inside)
    if abs(near) > max(0.05, 5 / np.sqrt(count)):
        if is_structure(near, far):
            warnings.append(
                f"The background region holds structure (pixels two apart correlate by {far:.2f}), "
                "which counts as read variance here; move it to an emptier place."
            )
        else:
            warnings.append(correlated_noise(near))

    skew = float(np.vdot(residual, residual * residual)) / count / variance**1.5
    photon_skew = 0.5 if gain is None else gain / np.sqrt(variance)
    if skew > photon_skew + 5 * np.sqrt(6 / count):
        warnings.append(
            f"The background region is skewed toward bright pixels (skewness {skew:.1f}), more "
            "than noise explains; something bright may reach into it."
        )
    return warnings


def _doubt_planes(pixels: Any, mask: NDArray[np.bool_]) -> list[str]:
    """Ask whether neighbouring planes share noise, as rotated and resampled volumes do."""
    starts = pixels.shape[-3] - _PLANES_COMPARED + 1
    if starts < 1:
        return []
    box = _bounding_box(mask)
    found, count = [], 0
    for start in np.unique(np.linspace(0, starts - 1, min(starts, 4)).round().astype(int)):
        outer = (0,) * (pixels.ndim - 3)
        places = [(*outer, int(start) + step) for step in range(_PLANES_COMPARED)]
        region, inside = _read_boxes(pixels, mask, places, box)
        inside = np.broadcast_to(inside.all(axis=0) & np.isfinite(region).all(axis=0), region.shape)
        if inside.any():
            residual, _ = _flatten(np.where(inside, region, 0.0), inside)
            found.append(axial_correlation(residual, inside))
            count += int(inside.sum())
    if not found:
        return []
    near, far = np.mean(np.array(found), axis=0)
    if abs(near) < max(0.05, 5 / np.sqrt(count)) or is_structure(near, far):
        return []
    return [correlated_noise(near, "planes")]


def axial_correlation(residual: FloatArray, inside: NDArray[np.bool_]) -> tuple[float, float]:
    """Correlation of noise with that one plane and two planes on.

    As laterally, noise of a camera has none, interpolation correlates neighbours alone, and
    what is still correlated two planes on is an image, or the camera's fixed pattern.

    Parameters
    ----------
    residual
        Noise with zero mean in three neighbouring planes, zero outside the region, axes
        ``(Z, Y, X)``.
    inside
        The region, the same in all planes, same shape.
    """
    variance = float(np.sum(residual**2)) / max(int(inside.sum()), 1)
    if variance == 0:
        return 0.0, 0.0
    pixels = max(int(inside[0].sum()), 1)
    one, two, three = residual
    near = (np.vdot(one, two) + np.vdot(two, three)) / 2
    return float(near / pixels / variance), float(np.vdot(one, three) / pixels / variance)


def correlated_noise(correlation: float, what: Literal["pixels", "planes"] = "pixels") -> str:
    """Say that the noise is not the camera's own any more."""
    return (
        f"Neighbouring {what} share noise (correlation {correlation:.2f}): the image was "
        "interpolated, deskewed, registered, smoothed or compressed after recording; calibrate and "
        "train on the camera's original pixels where there are any."
    )


def _doubt_camera(values: FloatArray, variance: float, whole_numbers: bool) -> list[str]:
    """Ask whether the values are as the camera gave them."""
    warnings = []
    at_zero = float(np.mean(values == 0))
    if at_zero > 0.01 and values.min() == 0:
        warnings.append(
            f"{at_zero:.0%} of the background region is exactly 0: an offset was subtracted and "
            "the rest clipped, so offset and read variance come out wrong; use the original image."
        )
    if not whole_numbers:
        warnings += averaged(values, "the image")
    if whole_numbers and variance < 0.2:
        warnings.append(
            f"A read variance of {variance:.2g} counts squared is little more than rounding makes: "
            "the image may be averaged, denoised or compressed."
        )
    return warnings


def averaged(values: NDArray[Any], name: str) -> list[str]:
    """Say that values are means over frames, where they are multiples of a fraction."""
    parts = _averaged_frames(values)
    if parts == 1:
        return []
    return [
        f"All values are multiples of 1/{parts}: {name} looks like a mean of {parts} frames (or of "
        "binned pixels), so gain and read variance are those of the mean, not of the camera."
    ]


def _averaged_frames(values: NDArray[Any]) -> int:
    """Return the smallest n for which all values are multiples of 1/n, or 1."""
    if values.dtype.kind in "ui":
        return 1
    some = values.ravel()[:1000].astype(np.float64)
    for parts in range(1, 65):
        multiples = some * parts
        if np.abs(multiples - np.round(multiples)).max() < 1e-3:
            return parts
    return 1


def _histogram(
    values: FloatArray, offset: float, variance: float
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Count pixels in bins over five standard deviations; whole numbers get whole bins."""
    reach = 5 * np.sqrt(variance)
    if np.all(values[:1000] == np.round(values[:1000])):
        width = max(round(reach / 32), 1)
        first = np.floor(offset - reach) - 0.5
        bins = int(np.ceil((offset + reach - first) / width))
        edges = first + width * np.arange(bins + 1, dtype=np.float64)
    else:
        edges = np.linspace(offset - reach, offset + reach, 65)
    counts, _ = np.histogram(values, edges)
    return edges, counts.astype(np.int64)


def _verdict(warnings: list[str], count: int) -> str:
    if not warnings:
        return f"Good: {count} pixels of plain camera noise."
    if len(warnings) == 1:
        return f"Take care: {warnings[0]}"
    return f"Take care, for {len(warnings)} reasons: {warnings[0]}"
