"""Notice raw SIM that was taken for an ordinary stack or series."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from ..io.image import Image, as_frames
from .frames import RAW_COUNTS, SMALLEST, by_orientation
from .orders import FloatArray, Grid, even_phases
from .otf import OTF
from .patterns import Order
from .peaks import Peak, Search, correlation_map, highest, relative_to_noise

_CUTOFFS = (0.3, 0.45)  # cycles per pixel, of optics that the pixels sample as they usually do
_LEAST, _MOST = 0.08, 0.47  # cycles per pixel between which fringes lie
_CHANCE = 1e-4  # that noise has such a peak, of which there must be two
_NOISE = 2.7  # height that noise has in less than one place of a thousand
_LEAK = 0.35  # of a high peak, where the frequency of another orientation is
_SAME_PERIOD = 0.1  # relative difference between orientations
_APART = (50.0, 70.0)  # degrees between orientations
_SIDE = 512  # pixels of the middle that is looked at


def raw_sim_taken_for_frames(stack: ArrayLike | Image, axes: str | None = None) -> str | None:
    """Say in a sentence that frames are `striped`, and what to do; None where they are not."""
    found = striped(stack, axes)
    if found is None:
        return None
    words, phases = found
    remedy = (
        "process it as raw SIM (mode sim; in napari tick 'raw SIM frames' in Deconvolve…, or "
        "open SIM)"
        if phases == 3
        else "reconstruct the stack that they belong to first"
    )
    return f"{words}: {remedy}."


def striped(stack: ArrayLike | Image, axes: str | None = None) -> tuple[str, int] | None:
    """Notice that 9 or 15 planes or frames are those of raw SIM, by their fringes.

    The orders of each orientation are taken apart as if the phases had even steps. Bleaching
    and blinking leave no sharp peak in their correlation then. What moves may leave some, but
    in all orientations alike, and not of one period at 60 degrees to each other.

    The stack is (T, Y, X) or (Z, Y, X) counts; with more axes it is not looked at. Returns what two
    orientations are striped as, to be ended by a stop, and the number of phases; None otherwise.
    """
    letters = axes or (stack.axes if isinstance(stack, Image) else None)
    if letters is not None and "Z" in letters:
        volumes = as_frames(stack, axes, spatial="ZYX")
        frames = volumes[0] if len(volumes) == 1 else volumes
    else:
        frames = as_frames(stack, axes)
    if frames.ndim != 3 or len(frames) not in RAW_COUNTS or min(frames.shape[1:]) < SMALLEST:
        return None
    orientations, phases = RAW_COUNTS[len(frames)]
    pixels = np.stack([_middle(np.asarray(frame)) for frame in frames])
    grid = Grid((pixels.shape[1], pixels.shape[2]), 1.0)
    orders: tuple[Order, ...] = ("orientation", "phase")
    if not any(
        _has_fringes(by_orientation(pixels, orientations, phases, order), grid, cutoff)
        for order in orders
        for cutoff in _CUTOFFS
    ):
        return None
    name = (stack.name if isinstance(stack, Image) else "") or "the stack"
    kind = "2D" if phases == 3 else "3D"
    return (
        f"The {len(frames)} frames of {name} are striped as raw {kind}-SIM of {orientations} "
        f"orientations and {phases} phases is"
    ), phases


def _has_fringes(frames: NDArray[np.float32], grid: Grid, cutoff: float) -> bool:
    """Tell whether orientations have fringes of one period, each its own, 60 degrees apart."""
    otf = OTF(na=cutoff, wavelength=2.0, pixel_size=1.0)
    correlations = [_correlation(group, grid, otf) for group in frames]
    peaks = [highest(heights, Search(_LEAST, _MOST), grid)[0] for heights in correlations]
    sure = [index for index, peak in enumerate(peaks) if peak.chance < _CHANCE]
    alone = all(
        _height_at(peaks[index], heights, grid) < max(_NOISE, _LEAK * peaks[index].snr)
        for index in sure
        for other, heights in enumerate(correlations)
        if other != index
    )
    pairs = combinations([peaks[index] for index in sure], 2)
    return len(sure) > 1 and alone and all(_belong_together(*pair) for pair in pairs)


def _correlation(frames: NDArray[np.float32], grid: Grid, otf: OTF) -> FloatArray:
    tapered = (frames - frames.mean(axis=(1, 2), keepdims=True)) * grid.borders
    spectra = fft.fft2(tapered, workers=-1)
    heights = correlation_map(spectra, even_phases(len(frames)), grid, otf)
    return relative_to_noise(heights, grid, _LEAST, _MOST)


def _height_at(peak: Peak, heights: FloatArray, grid: Grid) -> float:
    """Give the larger height at a frequency and its opposite, which are the same fringes."""
    row, column = (
        int(np.abs(axis - k).argmin())
        for axis, k in zip((grid.ky, grid.kx), peak.frequency, strict=True)
    )
    return float(max(heights[row, column], heights[-row, -column]))


def _belong_together(one: Peak, other: Peak) -> bool:
    (y, x), (v, u) = one.frequency, other.frequency
    lengths = np.hypot(y, x), np.hypot(v, u)
    angle = np.degrees(np.arctan2(y, x) - np.arctan2(v, u))
    apart = abs((angle + 90) % 180 - 90)
    alike = abs(lengths[0] - lengths[1]) < _SAME_PERIOD * max(lengths)
    return bool(alike and _APART[0] < apart < _APART[1])


def _middle(frame: NDArray[np.generic]) -> NDArray[np.float32]:
    top, left = (max((length - _SIDE) // 2, 0) for length in frame.shape)
    return frame[top : top + _SIDE, left : left + _SIDE].astype(np.float32)
