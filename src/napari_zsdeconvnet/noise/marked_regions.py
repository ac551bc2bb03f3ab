"""What is read of a recording where a region of it is marked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..utils.errors import InputError

FloatArray = NDArray[np.float64]

_PIXELS_USED = 2_000_000  # of a stack; more change no digit that matters and cost time
_FRAMES_CHECKED = 4


def checked_mask(pixels: Any, mask: NDArray[Any], name: str) -> NDArray[np.bool_]:
    """Return the mask as True and False, for each of the image's frames or for all alike."""
    if pixels.ndim not in (2, 3, 4):
        raise InputError(
            "image-axes-count",
            f"{name} has {pixels.ndim} axes {tuple(pixels.shape)}; a background region is measured "
            "in one image (Y, X), a time series (T, Y, X) or volumes (Z, Y, X), (T, Z, Y, X).",
        )
    if mask.dtype.kind not in "bui":
        raise InputError(
            "mask-kind",
            f"The mask holds {mask.dtype} values; give true and false, or whole-number labels.",
        )
    if mask.ndim < 2 or mask.shape != tuple(pixels.shape)[-mask.ndim :]:
        raise InputError(
            "mask-shape",
            f"The mask has shape {mask.shape} and {name} {tuple(pixels.shape)}; draw the "
            "background region on the image it is meant for.",
        )
    inside: NDArray[np.bool_] = np.asarray(mask > 0, dtype=bool)
    if not inside.any():
        raise InputError(
            "mask-empty",
            f"The background region holds no pixel of {name}; draw it inside the image, on an "
            "area without signal.",
        )
    return inside


def cut_out(pixels: Any, mask: NDArray[np.bool_]) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return the mask's bounding box of the image and the mask therein, both (frames, Y, X)."""
    box = bounding_box(mask)
    leading = pixels.shape[:-2]
    masked = np.broadcast_to(np.any(mask, axis=(-2, -1)), leading)
    places: list[tuple[int, ...]] = [
        place for place, any_of_it in np.ndenumerate(masked) if any_of_it
    ]
    few = max(_PIXELS_USED // math.prod(edge.stop - edge.start for edge in box), 1)
    if len(places) > few:
        places = [places[i] for i in np.linspace(0, len(places) - 1, few).round().astype(int)]
    return read_boxes(pixels, mask, places, box)


def bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Give the rows and columns that a mask (..., Y, X) touches."""
    flat: NDArray[np.bool_] = np.any(mask, axis=tuple(range(mask.ndim - 2)))
    rows, columns = np.flatnonzero(np.any(flat, axis=1)), np.flatnonzero(np.any(flat, axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def read_boxes(
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


def some_frames(
    pixels: Any, mask: NDArray[np.bool_], planes: bool
) -> tuple[list[NDArray[Any]], list[NDArray[np.bool_]]]:
    """Read some whole frames, with their masks.

    A region alone cannot tell a dark image from a clipped one.
    """
    leading = pixels.shape[:-2]
    count = math.prod(leading)
    chosen = np.linspace(0, count - 1, min(count, _FRAMES_CHECKED)).round().astype(int)
    places = [np.unravel_index(i, leading) for i in np.unique(chosen)]
    frames = [np.asarray(pixels[place]) for place in places]
    masks = [mask[place[pixels.ndim - mask.ndim :]] for place in places]
    # What is NaN beyond the region is of no concern to it.
    frames = [
        frame
        if np.isfinite(frame).all()
        else np.where(np.isfinite(frame), frame, np.median(frame[np.isfinite(frame)]))
        for frame in frames
    ]
    if planes:  # a stack may have empty ones at its ends
        shown = [n for n, frame in enumerate(frames) if frame.min() != frame.max()]
        shown = shown or list(range(len(frames)))
        frames, masks = [frames[n] for n in shown], [masks[n] for n in shown]
    return frames, masks
