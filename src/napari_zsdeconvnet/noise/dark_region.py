"""What an empty region of an image says about the camera: its offset and read variance.

A pixel that receives no light still reads the offset, with the variance of reading it out.
Both are the first two moments of an empty region. The rest of this module is doubt: whether
the region is empty, and whether its noise is the camera's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import binary_dilation, label
from scipy.special import ndtr

from ..io.image import check_pixels
from ..io.lazy import is_lazy
from ..utils.errors import InputError
from .correlated_noise import (
    axial_correlation,
    correlated_noise,
    is_structure,
    neighbour_correlation,
)
from .fill_regions import within_one_step
from .marked_regions import bounding_box, checked_mask, cut_out, read_boxes, some_frames
from .saturation import piled_up

FloatArray = NDArray[np.float64]

FEW_PIXELS = 200
"""Below this many pixels the read variance is known to no better than 10 %."""

_PLANES_COMPARED = 3  # along Z, at each of so many places
_HOT = 8.0  # robust standard deviations; a sound camera has none beyond
_SQUARE = 8  # pixels on a side
_MOST_DARKER = 0.05  # of the image; vignetting and single dark corners stay below
_BY_ONE_STEP = 0.5  # of the pixels beside an area of one value
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
    empty
        Whether the region can be taken for empty: nothing that is seen in it, and hardly any place
        of the image that is darker. Where it is not, offset and read variance mean nothing.
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
    empty: bool = True


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
    marked = checked_mask(pixels, np.asarray(mask), name)
    region, inside = cut_out(pixels, marked)
    frames, masks = some_frames(pixels, marked, planes)
    warnings = list(check_pixels(np.stack(frames), name=name))

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
    light = _doubt_emptiness(residual, inside, read_variance, gain)
    light += _doubt_darkness(frames, masks, read_variance)
    warnings += [*_doubt_region(inside, read_variance, slope_variance), *light]
    warnings += _doubt_noise(residual, inside)
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
        verdict=_verdict(light or warnings, len(values), empty=not light),
        empty=not light,
    )


def filled(image: NDArray[Any], side: int = 8) -> NDArray[np.bool_]:
    """Mark squares of an image (Y, X) in which all pixels are equal, as no camera leaves them.

    Deskewing, rotating and registering fill the corners they leave empty with one value. A margin
    narrower than a side of the squares is not looked at.
    """
    rows, columns = image.shape[0] // side, image.shape[1] // side
    marked = np.zeros(image.shape, dtype=bool)
    squares = image[: rows * side, : columns * side].reshape(rows, side, columns, side)
    flat = squares.max(axis=(1, 3)) == squares.min(axis=(1, 3))
    marked[: rows * side, : columns * side] = flat.repeat(side, axis=0).repeat(side, axis=1)
    if flat.any() and not flat.all():
        marked &= ~_with_little_noise(image, marked)
    return marked


def _with_little_noise(image: NDArray[Any], flat: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark flat areas where most pixels beside them differ by a single step.

    They are dark parts of a recording whose noise is less than one count, and no fillings.
    """
    alike = np.zeros(flat.shape, dtype=bool)
    for value in np.unique(image[flat])[:_FILLINGS]:
        areas, _ = label(image == value)
        own = flat & (image == value)
        area = np.isin(areas, np.unique(areas[own]))
        beside = binary_dilation(area, np.ones((3, 3))) & (image != value)
        if not beside.any():
            continue
        share, _ = within_one_step(image[beside].astype(float), float(value))
        if share > _BY_ONE_STEP:
            alike |= own
    return alike


def filled_warning(share: float, what: str) -> str:
    """Say that part of an image was never recorded."""
    return (
        f"{100 * share:.1f} % of {what} is filled with one value, as deskewing, rotating and "
        "registering leave it; such images carry interpolated noise, so calibrate on the camera's "
        "original pixels where there are any."
    )


def _check_values(values: FloatArray, name: str) -> None:
    if not np.isfinite(values).all():
        wrong = int(np.sum(~np.isfinite(values)))
        raise InputError(
            "background-region-not-finite",
            f"The background region holds {wrong} pixel(s) that are NaN or infinite; draw it "
            "where the image has values.",
        )
    if values.min() == values.max():
        raise InputError(
            "background-region-constant",
            f"The background region is constant, every pixel being {values[0]:g}; draw it inside "
            "the part of the image that the camera recorded.",
        )
    full = values.max()
    if np.mean(values == full) > _HOT_SHARE and piled_up(values):
        raise InputError(
            "background-region-saturated",
            f"{name} is saturated in the background region, whose highest value, {full:g}, is the "
            "end of the camera's range; draw it where the image is dark.",
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


def _doubt_region(inside: NDArray[np.bool_], variance: float, slope_variance: float) -> list[str]:
    """Ask whether the region is large and flat enough."""
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
    return warnings


def _doubt_emptiness(
    residual: FloatArray, inside: NDArray[np.bool_], variance: float, gain: float | None
) -> list[str]:
    """Ask whether there is something in the region."""
    warnings = []
    count = int(inside.sum())
    near, far = neighbour_correlation(residual, inside)
    if _is_shared(near, count) and is_structure(near, far):
        warnings.append(
            f"The background region holds structure (pixels two apart correlate by {far:.2f}), "
            "which counts as read variance here; move it to an emptier place."
        )
    skew = float(np.vdot(residual, residual * residual)) / count / variance**1.5
    photon_skew = 0.5 if gain is None else gain / np.sqrt(variance)
    if skew > photon_skew + 5 * np.sqrt(6 / count):
        warnings.append(
            f"The background region is skewed toward bright pixels (skewness {skew:.1f}), more "
            "than noise explains; something bright may reach into it."
        )
    return warnings


def _doubt_noise(residual: FloatArray, inside: NDArray[np.bool_]) -> list[str]:
    """Ask whether the noise is independent from pixel to pixel."""
    near, far = neighbour_correlation(residual, inside)
    if _is_shared(near, int(inside.sum())) and not is_structure(near, far):
        return [correlated_noise(near)]
    return []


def _is_shared(near: float, count: int) -> bool:
    return abs(near) > max(0.05, 5 / math.sqrt(count))


def _doubt_darkness(
    frames: Sequence[NDArray[Any]], masks: Sequence[NDArray[np.bool_]], variance: float
) -> list[str]:
    """Ask whether much of the image is darker than the region, which then is lit itself.

    Compared are means over squares, whose noise is small beside that of a pixel: twice a pixel's
    own spread is a difference that noise cannot make. What was filled in later is left out.
    """
    shares, depths = [], []
    for frame, inside in zip(frames, masks, strict=True):
        rows, columns = (length // _SQUARE for length in frame.shape)
        if min(rows, columns) < 2 or not inside.any():
            continue
        level = float(np.mean(frame[inside]))
        cut = frame[: rows * _SQUARE, : columns * _SQUARE]
        squares = cut.reshape(rows, _SQUARE, columns, _SQUARE).astype(np.float64)
        recorded = squares.max(axis=(1, 3)) > squares.min(axis=(1, 3))
        depth = level - squares.mean(axis=(1, 3))[recorded]
        darker = depth[depth > 2 * math.sqrt(variance)]
        if depth.size:
            shares.append(darker.size / depth.size)
            depths += [float(darker.mean())] if darker.size else []
    share = float(np.mean(shares)) if shares else 0.0
    if share < _MOST_DARKER:
        return []
    return [
        f"{100 * share:.0f} % of the image is darker than the background region, by "
        f"{np.mean(depths):.3g} counts, so light falls on it; move it to where the image is "
        "darkest."
    ]


def _doubt_planes(pixels: Any, mask: NDArray[np.bool_]) -> list[str]:
    """Ask whether neighbouring planes share noise, as rotated and resampled volumes do."""
    starts = pixels.shape[-3] - _PLANES_COMPARED + 1
    if starts < 1:
        return []
    box = bounding_box(mask)
    found, count = [], 0
    for start in np.unique(np.linspace(0, starts - 1, min(starts, 4)).round().astype(int)):
        outer = (0,) * (pixels.ndim - 3)
        places = [(*outer, int(start) + step) for step in range(_PLANES_COMPARED)]
        region, inside = read_boxes(pixels, mask, places, box)
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


def _doubt_camera(values: FloatArray, variance: float, whole_numbers: bool) -> list[str]:
    """Ask whether the values are as the camera gave them."""
    warnings = []
    at_zero = float(np.mean(values == 0))
    if at_zero > 0.01 and values.min() == 0:
        warnings.append(
            f"{100 * at_zero:.0f} % of the background region is exactly 0: an offset was "
            "subtracted and the rest clipped, so offset and read variance come out wrong; use the "
            "original image."
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


def _verdict(warnings: list[str], count: int, *, empty: bool) -> str:
    if not warnings:
        return f"Good: {count} pixels of plain camera noise."
    how = "Take care" if empty else "Not empty"
    if len(warnings) == 1:
        return f"{how}: {warnings[0]}"
    return f"{how}, for {len(warnings)} reasons: {warnings[0]}"
