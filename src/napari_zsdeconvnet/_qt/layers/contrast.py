"""Which counts are shown black and which white: those of the source, where they are of use."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from numpy.typing import NDArray

from ...io.lazy import is_lazy

Limits = tuple[float, float]

_PLANES = 8
_PLANE = 2**20  # pixels of each

BRIGHTER = 3.0
"""Up to how many times the light of the bulk of its pixels the white of a source may show."""


def fit_contrast(layer: ImageLayer, like: Limits | None = None) -> None:
    """Set the contrast limits to those of `limits_for` the data."""
    limits, span = contrast_of(layer.data[-1] if layer.multiscale else layer.data, like)
    layer.contrast_limits_range = span
    layer.contrast_limits = limits


def contrast_of(pixels: NDArray[Any], like: Limits | None = None) -> tuple[Limits, Limits]:
    """Return the contrast limits for pixels, and the range that they may be moved in.

    Of pixels that lie in a file some planes are looked at, as the window waits meanwhile.
    """
    if is_lazy(pixels):
        pixels = some_planes(pixels)
    low, high = limits_for(pixels, like)
    if pixels.dtype.kind == "f" and np.isnan(pixels).all():
        return (low, high), (low, high)
    span = min(float(np.nanmin(pixels)), low), max(float(np.nanmax(pixels)), high)
    return (low, high), span


def limits_for(pixels: NDArray[Any], like: Limits | None = None) -> Limits:
    """Return the contrast limits for pixels.

    Without ``like`` they hold the bulk of the pixels, so that a few peaks do not hide it. With
    those of `limits_above` the black is that of the source, and so is the white, unless the bulk
    of the pixels lies above it: what is sharper has higher peaks.
    """
    low, high = bulk(pixels)
    if like is None or like[0] >= high:
        return low, high
    return like[0], max(like[1], high)


def limits_above(source: ImageLayer, pixels: Any, offset: float) -> Limits | None:
    """Return the contrast limits of a source as counts above the camera's offset.

    None where they show little of what is there, as the 0 to 65535 of some files do with dim
    counts: the white far above the bulk of the pixels, or the black far below it.

    Parameters
    ----------
    source : napari.layers.Image
        Whose limits, in camera counts.
    pixels : array, (..., Y, X)
        What of it is read; of a stack the middle plane is looked at.
    offset : float
        Counts without light.
    """
    black, white = (float(limit) - offset for limit in source.contrast_limits)
    light = bulk(middle_plane(pixels))[1] - offset
    if white > BRIGHTER * light or black < -light:
        return None
    return black, white


def middle_plane(pixels: Any) -> NDArray[Any]:
    """Return one plane, so that no lazy image is read whole for its contrast."""
    while pixels.ndim > 2:
        pixels = pixels[pixels.shape[0] // 2]
    return np.asarray(pixels)


def some_planes(pixels: Any) -> NDArray[Any]:
    """Return planes from all parts of a stack or series, (N, Y, X), of large ones some pixels."""
    outer = pixels.shape[:-2]
    count = math.prod(outer)
    chosen = np.linspace(0, count - 1, min(count, _PLANES)).round().astype(int)
    step = max(round(math.sqrt(math.prod(pixels.shape[-2:]) / _PLANE)), 1)
    places = (np.unravel_index(int(one), outer) if outer else () for one in chosen)
    return np.stack(
        [np.asarray(pixels[(*map(int, place), ...)])[::step, ::step] for place in places]
    )


def bulk(pixels: NDArray[Any]) -> tuple[float, float]:
    """Return the values between which nearly all pixels lie, the lower below the higher.

    NaN is where nothing was measured, and does not count.
    """
    step = max(1, pixels.size // 500_000)
    seen = pixels.ravel()[::step]
    seen = seen[~np.isnan(seen)] if seen.dtype.kind == "f" else seen
    if not seen.size:
        return 0.0, 1.0
    low, high, peak = (float(value) for value in np.percentile(seen, [0.5, 99.8, 100]))
    return low, high if high > low else max(peak, low + 1.0)
