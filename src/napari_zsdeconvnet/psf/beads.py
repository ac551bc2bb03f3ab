"""A PSF from an image of beads: find them, keep the sound ones, align and average."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..utils.errors import InputError
from .bead_fit import fitted_together
from .grid import core_centre, fourier_shift, widths

FloatArray = NDArray[np.float64]

_DETECTED_WIDTH = 3.0  # pixels, the FWHM that detection is tuned to at first
_DETECTION = 7.0  # standard deviations above the noise, after smoothing
_RING = 0.05  # of the brightest nearby
_NEIGHBOUR = 0.15  # a neighbour below this share of a bead's height is put up with
_BRIGHTNESS = 2.5  # times the median, either way: doublets and dirt
_WIDTH = 0.25  # share of the median width
_DOUBLET = (1.4, 1.08)  # light and width, over those of the faint and the narrow, of two in one
_UNSOUND = 0.2  # of the peak of a fitted shape, below zero or away from it
_SIZE_IN_WIDTHS = 8  # holds 95 % of an Airy pattern
_LEAST_IN_WIDTHS = 1.8  # to either side, where the border cuts all beads
_SMALLEST_SIZE, _LARGEST_SIZE = 15, 65


@dataclass(frozen=True)
class BeadAverage:
    """The mean bead, and what became of each candidate.

    Attributes
    ----------
    array
        Mean of the aligned crops, background subtracted, (Y, X) or (Z, Y, X), odd.
    used
        Sub-pixel positions of the beads in it, (N, axes), in pixels.
    rejected
        How many were left out, by reason.
    fitted
        Whether beads near one another or the border were fitted together, as none stood alone.
    """

    array: FloatArray
    used: FloatArray
    rejected: dict[str, int]
    fitted: bool = False


def average_beads(
    image: NDArray[np.generic], *, size: int | None = None, largest_count: int = 200
) -> BeadAverage:
    """Find beads, leave out the doubtful, align the rest below the pixel and average them.

    A bead counts if its crop lies inside the image, nothing in it is saturated, no other
    bead stands in it, and its brightness and width are near the median of all. From each
    crop the median of its border is subtracted; the Fourier shift to the middle pixel keeps
    the noise and the shape as they are. The mean of raw counts weighs each bead by its
    brightness, as its noise asks. Where no bead counts, those near one another or the border are
    fitted together (`bead_fit`).

    Parameters
    ----------
    image
        Beads on a dark background, (Y, X) or (Z, Y, X), camera counts, finite.
    size
        Odd lateral size of the crops in pixels; None takes eight widths of a bead.
    largest_count
        Use no more than this many, the brightest.

    Raises
    ------
    InputError
        If no bead is found or none is sound; the message says why.
    """
    counts = np.asarray(image, dtype=float)
    peaks, heights = _candidates(counts)
    if not len(peaks):
        raise InputError(
            "beads-not-found",
            f"No bead was found in the image of shape {counts.shape}: nothing rises "
            f"{_DETECTION:g} standard deviations above the noise; record brighter beads or "
            "average several exposures.",
        )
    width = _typical_width(counts, peaks, heights)
    if width > _DETECTED_WIDTH:  # a wide bead has several maxima at the finest scale
        peaks, heights = _candidates(counts, width)
    half = _half_sizes(counts, peaks, heights, width, size)
    rejected: dict[str, int] = {}
    crops, places = [], []
    for index in np.argsort(-heights):
        fault = _fault(image, peaks, heights, int(index), half, width)
        if fault:
            rejected[fault] = rejected.get(fault, 0) + 1
            continue
        window = _window(peaks[index], half)
        crop = counts[window]
        crops.append(crop - np.median(_frame(crop)))
        places.append(peaks[index])

    kept = _alike(crops, rejected)[:largest_count]
    if not kept:
        return _together(image, counts, peaks, heights, half, width, rejected)
    aligned, positions = [], []
    for index in kept:
        offset = _offset(crops[index], width)
        aligned.append(fourier_shift(crops[index], -offset))
        positions.append(places[index] + offset)
    return BeadAverage(np.mean(aligned, axis=0), np.array(positions), rejected)


def _together(
    image: NDArray[np.generic],
    counts: FloatArray,
    peaks: NDArray[np.intp],
    heights: FloatArray,
    half: tuple[int, ...],
    width: float,
    rejected: dict[str, int],
) -> BeadAverage:
    """Fit the beads that stand near one another or the border together, as none stands alone.

    Raises
    ------
    InputError
        If none is left, or all lack the same part of their window.
    """
    bright = np.argsort(-heights)
    cores = [_window_within(peaks[index], half, image.shape, width) for index in bright]
    usable = [
        index
        for index, core in zip(bright, cores, strict=True)
        if core is not None and not _saturated(image[core], image)
    ]
    usable = [index for index in usable if heights[index] > heights[usable[0]] / _BRIGHTNESS**2]
    fitted = None
    least = min(half[-1], math.ceil(_LEAST_IN_WIDTHS * width))
    lateral = half[-1]
    while usable and fitted is None and lateral >= least:
        # Smaller windows leave less of the shape to others where the border cuts them.
        sides = (*half[:-2], lateral, lateral)
        fitted = fitted_together(counts, peaks[usable], sides, width)
        if fitted is not None and not _sound(fitted[0], width):
            fitted = None  # in a row of beads each window holds the next one in the same place
        lateral -= max(lateral // 8, 1)
    if fitted is None:
        raise InputError(
            "beads-unusable",
            f"None of the {len(peaks)} beads found can be used ({in_words(rejected)}), and "
            "together they do not show the whole of a PSF; record fewer beads to the field, well "
            "apart and not saturated, or give a smaller size of the crops.",
        )
    shape, places = fitted
    left_out = len(peaks) - len(places)
    return BeadAverage(
        shape * float(counts[tuple(peaks[usable[0]])]),
        places,
        {"saturated, faint or cut by the border": left_out} if left_out else {},
        fitted=True,
    )


def _sound(shape: FloatArray, width: float) -> bool:
    """Tell whether a fitted shape is one bead: hardly negative, and without another peak."""
    height, breadth = shape.shape[-2:]
    away = np.ones((height, breadth), dtype=bool)
    core = math.ceil(1.5 * width)
    middle = [slice(max(n // 2 - core, 0), n // 2 + core + 1) for n in (height, breadth)]
    away[tuple(middle)] = False
    peak = float(shape.max())
    beyond = float(shape[..., away].max(initial=0.0))
    return float(shape.min()) > -_UNSOUND * peak and beyond < _UNSOUND * peak


def in_words(rejected: dict[str, int]) -> str:
    """List what was left out: "3 near the border, 1 saturated"; "none" where nothing was."""
    return ", ".join(f"{count} {reason}" for reason, count in rejected.items()) or "none"


def _candidates(
    counts: FloatArray, width: float = _DETECTED_WIDTH
) -> tuple[NDArray[np.intp], FloatArray]:
    """Local maxima of the image between two blurs, far enough above its noise."""
    sigma = width / 2.355
    band = ndimage.gaussian_filter(counts, sigma) - ndimage.gaussian_filter(counts, 5 * sigma)
    spread = 1.4826 * float(np.median(np.abs(band - np.median(band))))
    neighbourhood = 2 * int(np.ceil(width)) + 1
    maxima = (band == ndimage.maximum_filter(band, neighbourhood)) & (band > _DETECTION * spread)
    # The rings of a bright bead are no beads.
    maxima &= band > _RING * ndimage.maximum_filter(band, 4 * neighbourhood + 1)
    peaks, heights = np.argwhere(maxima), band[maxima]
    if counts.ndim == 3 and len(peaks):
        # Out of focus a bead's rings reach across the field, so that only their faintness
        # tells them from beads. The third brightest is the measure: the first may be a clump.
        real = heights > _RING * np.sort(heights)[-3:][0]
        peaks, heights = peaks[real], heights[real]
    return peaks, heights


def _typical_width(
    counts: FloatArray, peaks: NDArray[np.intp], heights: FloatArray, reach: int = 15
) -> float:
    """Diameter of the disc as large as what is above half of the maximum, in pixels."""
    found = []
    for index in np.argsort(-heights)[:30]:
        row, column = peaks[index][-2:]
        plane = counts[peaks[index][0]] if counts.ndim == 3 else counts
        top, left = max(row - reach, 0), max(column - reach, 0)
        crop = plane[top : row + reach + 1, left : column + reach + 1]
        smooth = ndimage.gaussian_filter(crop - np.median(crop), 0.7)
        labels, _ = ndimage.label(smooth > smooth[row - top, column - left] / 2)
        own = labels == labels[row - top, column - left]
        found.append(2 * np.sqrt(own.sum() / np.pi))
    return float(np.median(found))


def _half_sizes(
    counts: FloatArray,
    peaks: NDArray[np.intp],
    heights: FloatArray,
    width: float,
    size: int | None,
) -> tuple[int, ...]:
    """Half of the crop along each axis."""
    shape = counts.shape
    if size is None:
        size = min(max(int(_SIZE_IN_WIDTHS * width) | 1, _SMALLEST_SIZE), _LARGEST_SIZE)
        size = min(size, (min(shape[-2:]) - 1) | 1)
    half = size // 2
    if 2 * half + 1 > min(shape[-2:]):
        raise InputError(
            "bead-crop-too-large",
            f"A crop of {size} pixels about a bead does not fit into the image of shape "
            f"{shape}; give a smaller odd size or a larger image.",
        )
    return (half, half) if len(shape) == 2 else (_half_depth(counts, peaks, heights), half, half)


def _half_depth(counts: FloatArray, peaks: NDArray[np.intp], heights: FloatArray) -> int:
    """Planes to either side of a bead: as many as most beads have.

    Beads on a cover slip lie in one plane, beads in a gel at any depth. Four of five are to
    fit, but not at the price of an axial extent below three widths to either side.
    """
    room = np.minimum(peaks[:, 0], len(counts) - 1 - peaks[:, 0])
    shared, most = int(np.percentile(room, 20)) - 1, int(room.max()) - 1
    depth = _depth(counts, peaks, heights)
    if room.max() < depth / 2 and depth < len(counts) / 2:
        return math.ceil(depth)  # all are cut in half; together they may show what is whole
    return max(min(max(shared, math.ceil(3 * depth)), most), 0)


def _depth(counts: FloatArray, peaks: NDArray[np.intp], heights: FloatArray) -> float:
    """Axial FWHM of the brighter beads, in planes."""
    found = []
    for index in np.argsort(-heights)[:30]:
        plane, row, column = peaks[index]
        spot = counts[:, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        line = spot.mean(axis=(1, 2))
        line = line - np.percentile(line, 10)
        labels, _ = ndimage.label(line > line[plane] / 2)
        found.append(np.count_nonzero(labels == labels[plane]))
    return float(np.median(found))


def _fault(
    image: NDArray[np.generic],
    peaks: NDArray[np.intp],
    heights: FloatArray,
    index: int,
    half: tuple[int, ...],
    clearance: float,
) -> str:
    """Say why a candidate cannot be used, or nothing."""
    peak = peaks[index]
    inside = all(h <= p < n - h for p, h, n in zip(peak, half, image.shape, strict=True))
    if not inside:
        return "near the border"
    crop = image[_window(peak, half)]
    if _saturated(crop, image):
        return "saturated"
    distance = np.abs(peaks - peak)
    # Half a bead beyond the crop still throws light into its corner.
    near = (distance[:, -2:] <= half[-1] + clearance).all(axis=1)
    near[index] = False
    if (heights[near] > _NEIGHBOUR * heights[index]).any():
        return "too close to another"
    return ""


def _saturated(crop: NDArray[np.generic], image: NDArray[np.generic]) -> bool:
    """Several pixels at the very top of the image, which is the top of a camera's range."""
    top = image.max()
    full = top in [2**bits - 1 for bits in (8, 10, 12, 14, 16)]
    return bool(full and np.count_nonzero(crop == top) >= 2)


def _alike(crops: list[FloatArray], rejected: dict[str, int]) -> list[int]:
    """Choose the crops whose brightness and width are near the median."""
    if not crops:
        return []
    brightness = np.array([_core_light(crop) for crop in crops])
    across_both = np.array(
        [widths(ndimage.gaussian_filter(c, 0.7), (1,) * c.ndim)[-2:] for c in crops]
    )
    width = across_both.mean(axis=1)
    doublet = _doublets(brightness, across_both)
    middle = np.median(brightness)
    kept = []
    for index, (light, across) in enumerate(zip(brightness, width, strict=True)):
        if not middle / _BRIGHTNESS <= light <= middle * _BRIGHTNESS:
            reason = "of another brightness"
        elif not abs(across - np.nanmedian(width)) <= _WIDTH * np.nanmedian(width):
            reason = "of another width"
        elif doublet[index]:
            reason = "two in one"
        else:
            kept.append(index)
            continue
        rejected[reason] = rejected.get(reason, 0) + 1
    return kept


def _doublets(brightness: FloatArray, across: FloatArray) -> NDArray[np.bool_]:
    """Mark beads that are brighter and, along Y or X, wider than others: two close together."""
    light, width = (np.nanpercentile(values, 25, axis=0) for values in (brightness, across))
    return np.asarray(
        (brightness > _DOUBLET[0] * light) & (across > _DOUBLET[1] * width).any(axis=1)
    )


def _offset(crop: FloatArray, width: float) -> FloatArray:
    """Where the bead's centre lies, in pixels from the middle of its crop."""
    halves = [min(n // 2, int(1.5 * width) + 3) for n in crop.shape[-2:]]
    halves = [n // 2 for n in crop.shape[:-2]] + halves
    middle = tuple(
        slice(n // 2 - half, n // 2 + half + 1) for n, half in zip(crop.shape, halves, strict=True)
    )
    return np.asarray(core_centre(crop[middle]) - np.array(halves))


def _core_light(crop: FloatArray) -> float:
    middle = tuple(slice(max(n // 2 - 3, 0), n // 2 + 4) for n in crop.shape)
    return float(crop[middle].sum())


def _frame(crop: FloatArray) -> FloatArray:
    """Pixels along the lateral borders of a crop."""
    edges = (crop[..., :2, :], crop[..., -2:, :], crop[..., :2], crop[..., -2:])
    return np.concatenate([edge.ravel() for edge in edges])


def _window_within(
    peak: NDArray[np.intp], half: tuple[int, ...], shape: tuple[int, ...], width: float
) -> tuple[slice, ...] | None:
    """Return the core of a bead, None where the border cuts it."""
    core = math.ceil(width)
    reach = [*half[:-2], core, core]
    lateral = zip(peak[-2:], shape[-2:], strict=True)
    if any(not core <= place < length - core for place, length in lateral):
        return None
    return tuple(
        slice(max(int(p) - r, 0), int(p) + r + 1) for p, r in zip(peak, reach, strict=True)
    )


def _window(peak: NDArray[np.intp], half: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(int(p) - h, int(p) + h + 1) for p, h in zip(peak, half, strict=True))
