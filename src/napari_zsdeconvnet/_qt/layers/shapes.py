"""From drawn shapes to masks."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from napari import layers
from numpy.typing import NDArray

from ...utils.errors import InputError
from .layer_axes import pixels_of

ENCLOSING = ("rectangle", "ellipse", "polygon")
"""Kinds of shapes that have an inside."""

_ELLIPSE_CORNERS = 96


def shapes_mask(
    shapes: layers.Shapes, layer: layers.Image, which: Collection[int] | None = None
) -> tuple[NDArray[np.bool_], tuple[slice, slice]]:
    """Return which pixels of the layer lie inside the drawn shapes, and in which part of it.

    The mask is cut to the part of the image that the shapes touch. Rectangles, ellipses and
    polygons count, all or those of the given numbers; lines and paths enclose nothing. The shapes
    go through their own and the layer's transforms. Raises InputError if nothing was drawn or it
    lies outside the image.
    """
    outlines = [
        _to_pixels(_outline(corners[:, -2:], kind), shapes, layer)
        for index, (corners, kind) in enumerate(zip(shapes.data, shapes.shape_type, strict=True))
        if kind in ENCLOSING and (which is None or index in which)
    ]
    if not outlines:
        raise InputError(
            "shapes-empty",
            f"Layer {shapes.name!r} holds no rectangle, ellipse or polygon; "
            "draw one over empty background.",
        )
    corners = np.concatenate(outlines)
    shape = pixels_of(layer).shape[-2:]
    first = np.clip(np.ceil(corners.min(axis=0)), 0, shape).astype(int)
    last = np.clip(np.floor(corners.max(axis=0)) + 1, 0, shape).astype(int)
    part = (slice(first[0], last[0]), slice(first[1], last[1]))
    mask = np.zeros(np.maximum(last - first, 0), dtype=bool)
    for outline in outlines:
        mask |= _filled(outline - first, mask.shape)
    if not mask.any():
        raise InputError(
            "shapes-outside",
            f"The shapes in {shapes.name!r} cover no pixel of {layer.name!r}; "
            "draw one over empty background inside the image.",
        )
    return mask, part


def _outline(corners: NDArray[np.floating], kind: str) -> NDArray[np.floating]:
    """Return the corners of a closed polygon (n, 2); an ellipse is given by its frame."""
    if kind != "ellipse":
        return np.asarray(corners)
    centre = corners.mean(axis=0)
    angle = np.linspace(0, 2 * np.pi, _ELLIPSE_CORNERS, endpoint=False)[:, np.newaxis]
    across, along = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    return np.asarray(centre + np.cos(angle) * across + np.sin(angle) * along)


def _to_pixels(
    corners: NDArray[np.floating], shapes: layers.Shapes, layer: layers.Image
) -> NDArray[np.floating]:
    inside = np.empty((len(corners), 2))
    for i, corner in enumerate(corners):
        drawn = np.zeros(shapes.ndim)
        drawn[-2:] = corner
        world = np.zeros(layer.ndim)
        world[-2:] = np.asarray(shapes.data_to_world(drawn))[-2:]
        inside[i] = np.asarray(layer.world_to_data(world))[-2:]
    return inside


def _filled(outline: NDArray[np.floating], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Fill a closed polygon (even-odd rule) by scan lines: fast also for a large one."""
    height, width = shape
    crossings = np.zeros((height, width + 1), dtype=bool)
    for (y0, x0), (y1, x1) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        low, high = sorted((y0, y1))
        rows = np.arange(max(0, int(np.ceil(low))), min(height, int(np.ceil(high))))
        x = x0 + (rows - y0) * (x1 - x0) / (y1 - y0)
        columns = np.clip(np.ceil(x), 0, width).astype(int)
        crossings[rows, columns] ^= True
    return np.logical_xor.accumulate(crossings, axis=1)[:, :width]
