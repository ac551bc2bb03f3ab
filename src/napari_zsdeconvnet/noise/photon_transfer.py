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

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from scipy.signal import fftconvolve

from ..utils.errors import InputError
from .dark_region import filled
from .pixel_mask import Kind

FloatArray = NDArray[np.float64]
NYQUIST_CUTOFF = 0.5
"""Cycles per pixel beyond which an image sampled at Nyquist's rate holds noise alone."""
MOST_FRAMES = 8
"""So many frames of a series, or planes of volumes in time, are looked at one by one."""
TAPS = 31  # width of the high-pass filter, pixels
BLOCK = 8  # side of a block, pixels
DARK_BLOCK = 16  # side of a block in which darkness is looked for
SMALLEST = 64  # pixels; a smaller frame has too few blocks for a line
WINDOW = 1024  # large frames are taken in windows of this side, to bound memory
CORRELATED = 0.1
MOST_FAR_OFF = 0.05  # of the pixels
CHANCE = 1e-7  # of a sound pixel to be taken for one off the line


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
class TransferBlocks:
    """Mean signal above the offset and noise variance in each block, with its weight.

    ``dilution`` is the variance of a block's mean per variance of a pixel.
    """

    signal: FloatArray
    variance: FloatArray
    weight: FloatArray
    dilution: float


def recorded_pixels(image: NDArray[Any], kinds: NDArray[Any] | None = None) -> NDArray[np.bool_]:
    """Mark pixels out of the filter's reach of any that were filled in."""
    padding = filled(image)
    if kinds is not None:
        padding |= kinds == Kind.UNRECORDED
    if not padding.any():
        return ~padding
    # A square that is filled in part is not marked itself, hence one more on each side.
    reach = 2 * BLOCK + TAPS
    reached: NDArray[np.bool_] = maximum_filter(padding, reach)
    return ~reached


@lru_cache(maxsize=8)
def highpass(cutoff: float) -> FloatArray:
    """Return a short filter that passes frequencies beyond the cutoff, with unit energy.

    The ideal filter is cut off by a Blackman window, whose side lobes (below -58 dB) keep
    bright structures out.
    """
    size = 128
    frequency = np.fft.fftfreq(size)
    radius = np.hypot(frequency[:, None], frequency[None, :])
    ideal = np.fft.fftshift(np.fft.ifft2(radius > cutoff).real)
    middle, reach = size // 2, TAPS // 2
    core = slice(middle - reach, middle + reach + 1)
    taper = np.blackman(TAPS + 2)[1:-1]
    kernel: FloatArray = ideal[core, core] * taper[:, None] * taper[None, :]
    kernel -= kernel.mean()
    kernel /= np.sqrt(np.sum(kernel**2))
    return kernel


def noise_left_by(kernel: FloatArray, side: int) -> float:
    """Return the variance of a block's mean signal per variance of a pixel."""
    averaged = fftconvolve(kernel**2, np.full((side, side), 1 / side**2))
    return float(np.sum(averaged**2))


def joined_blocks(parts: Sequence[TransferBlocks]) -> TransferBlocks:
    """Put the blocks of several windows or frames into one set."""
    return TransferBlocks(
        np.concatenate([part.signal for part in parts]),
        np.concatenate([part.variance for part in parts]),
        np.concatenate([part.weight for part in parts]),
        parts[0].dilution,
    )


@dataclass(frozen=True)
class TransferLine:
    """The line ``variance = intercept + slope * mean``, counts, with its errors."""

    intercept: float
    slope: float
    intercept_error: float
    slope_error: float
    contrast: float  # spread of the means over what noise alone gives them


def fit_line(blocks: TransferBlocks) -> TransferLine:
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
            return TransferLine(line[0], 0.0, np.inf, np.inf, 0.0)
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
    return TransferLine(
        intercept=float(line[0]),
        slope=float(line[1]),
        intercept_error=float(np.sqrt(covariance[0, 0])),
        slope_error=float(np.sqrt(covariance[1, 1])),
        contrast=float(np.sum(weight * centred**2) / max(by_noise, 1e-300)),
    )


def fitted_transfer(
    blocks: TransferBlocks,
    offset: float,
    offset_error: float | None,
    warnings: list[str],
    *,
    scale: float,
    name: str,
) -> PhotonTransfer:
    """Fit the line through blocks, and give gain and read variance with their errors."""
    line = fit_line(blocks)
    if not (line.contrast > 1.5 and line.slope > 3 * line.slope_error):
        raise InputError(
            "signal-too-weak",
            f"{name} shows too little signal above its background to measure a gain (slope "
            f"{line.slope:.3g} ± {line.slope_error:.2g} counts per electron); use an image with "
            "bright structures, or type in the gain from the camera's data sheet.",
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


def check_size(frames: NDArray[Any], name: str) -> None:
    """Refuse frames with too few blocks for a line."""
    height, width = frames.shape[-2:]
    if min(height, width) < SMALLEST:
        raise InputError(
            "image-too-small",
            f"{name} is {height} x {width} pixels; a gain needs at least {SMALLEST} x "
            f"{SMALLEST}, so use a larger image or type the gain in.",
        )


def check_blocks(blocks: int, name: str) -> None:
    """Refuse too few blocks for a line."""
    if blocks < 10:
        raise InputError(
            "blocks-too-few",
            f"{name} has only {blocks} blocks of {BLOCK} x {BLOCK} pixels that were recorded, "
            "not filled in, and stand still; use another image or type the gain in.",
        )


def evenly_spread(available: int, most: int) -> NDArray[np.intp]:
    """Return up to `most` indices, evenly spread over what is available."""
    return np.unique(np.linspace(0, available - 1, min(available, most)).round().astype(np.intp))


def block_means(image: FloatArray, side: int) -> FloatArray:
    """Average an image over square blocks; what is left at its ends is left out."""
    rows, columns = image.shape[0] // side, image.shape[1] // side
    cropped = image[: rows * side, : columns * side]
    means: FloatArray = cropped.reshape(rows, side, columns, side).mean(axis=(1, 3))
    return means


def enlarged(blocks: NDArray[Any]) -> NDArray[Any]:
    """Repeat a map of dark blocks on the grid of the image."""
    return np.repeat(np.repeat(blocks, DARK_BLOCK, axis=0), DARK_BLOCK, axis=1)
