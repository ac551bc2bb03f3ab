"""Windows into recordings: tiles that overlap, borders continued by reflection, memory kept."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .memory import available_memory

LARGEST_TILE = 2304
"""Beyond this a tile gains nothing: its overlap is small already. A camera's 2048 x 2048 pixels fit
in with their rim."""

LARGEST_DEPTH = 256
"""Planes of a tile, likewise."""

MEMORY_SHARE = 0.4
"""Part of the free memory that one tile may take."""

WORKING_MEMORY = 7 * 2**29
"""Bytes that a tile takes at most where the host computes: more makes nothing faster there."""


def window(frames: NDArray[Any], index: int, start: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Cut a window out of one frame as float32; beyond the edges the frame is reflected.

    Nothing else of the frames is read, so they may be a file or any other lazy array.

    Parameters
    ----------
    frames : ndarray
        Recording (T, [Z,] Y, X) of any real type.
    index : int
        Which frame.
    start, shape : sequence of int
        The window in pixels of the frame, one number per spatial axis; it may begin or end
        outside.
    """
    places = [
        _reflected(first, length, size)
        for first, length, size in zip(start, shape, frames.shape[1:], strict=True)
    ]
    cut = tuple(slice(int(place.min()), int(place.max()) + 1) for place in places)
    where: tuple[Any, ...] = (index, *cut)
    # A copy in any case: what is read may not be written to, nor does it belong to us.
    part = torch.from_numpy(np.array(frames[where], dtype=np.float32, order="C"))
    for axis, (place, span) in enumerate(zip(places, cut, strict=True)):
        if not np.array_equal(place, np.arange(span.start, span.stop)):
            part = part.index_select(axis, torch.from_numpy(place - span.start))
    return part


def window_of_map(
    pixels: NDArray[np.float32], start: Sequence[int], shape: Sequence[int]
) -> Tensor:
    """Cut the window that `window` cuts of a frame out of a map (Y, X), alike in all planes."""
    return window(pixels[None], 0, start[-2:], shape[-2:]).expand(*shape)


def _reflected(start: int, length: int, size: int) -> NDArray[np.int64]:
    """Fold the indices of a stretch into ``0 ... size`` as mirrors at the edges would."""
    if size == 1:
        return np.zeros(length, np.int64)
    period = 2 * (size - 1)
    indices = np.arange(start, start + length) % period
    return np.minimum(indices, period - indices)


@dataclass(frozen=True)
class Tile:
    """A box of the result and the larger window that it is computed from, in raw pixels."""

    start: tuple[int, ...]
    shape: tuple[int, ...]
    window_start: tuple[int, ...]
    window_shape: tuple[int, ...]


def tiles(
    shape: Sequence[int],
    size: Sequence[int],
    overlap: Sequence[int],
    multiple: Sequence[int],
    border: Sequence[int] | None = None,
) -> Iterator[Tile]:
    """Cover a frame with tiles.

    Windows begin at multiples of ``multiple`` counted from a common point and are multiples
    of it wide, so that pooling falls on the same pixels in every tiling.

    Parameters
    ----------
    shape : sequence of int
        Size of the frame ([Z,] Y, X).
    size : sequence of int
        Size of a tile's window in raw pixels, overlap on both sides included.
    overlap : sequence of int
        Context a result pixel needs on each side, at least the receptive field.
    multiple : sequence of int
        What windows must be divisible by.
    border : sequence of int, optional
        How far windows reach beyond the frame at most, where reflections stand for context;
        by default as far as the overlap.
    """
    along_each = zip(shape, size, overlap, multiple, border or overlap, strict=True)
    stretches = [list(_stretches(*along)) for along in along_each]
    for place in product(*stretches):
        yield Tile(*(tuple(numbers) for numbers in zip(*place, strict=True)))


def _stretches(
    length: int, size: int, overlap: int, multiple: int, border: int
) -> Iterator[tuple[int, int, int, int]]:
    """Tile one axis: start and length of each stretch and of its window."""
    rim = multiple * math.ceil(overlap / multiple)
    outside = multiple * math.ceil(min(border, rim) / multiple)
    end = multiple * math.ceil(length / multiple) + outside
    step = max((size - 2 * rim) // multiple, 1) * multiple
    if size >= end + outside:
        step = length  # all of it at once, which needs no overlap
    for start in range(0, length, step):
        part = min(step, length - start)
        first = max(start - rim, -outside)
        last = min(start + multiple * math.ceil(part / multiple) + rim, end)
        yield start, part, first, last - first


def free_memory(device: torch.device) -> int:
    """Bytes that a computation on this device may still take."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    # Apple's GPUs share the memory of the host.
    return available_memory()


def fitting_tile(
    device: torch.device,
    bytes_per_pixel: int,
    shape: Sequence[int],
    overlap: Sequence[int],
    multiple: Sequence[int],
    border: Sequence[int],
    most: int = WORKING_MEMORY,
) -> tuple[int, ...]:
    """Size of the largest window that the free memory holds with ease.

    A volume is cut across the field first, and along the axis only where it is deep: a tile
    as deep as the stack needs no overlap there.

    Parameters
    ----------
    device : torch.device
        Where the tile is computed.
    bytes_per_pixel : int
        Working memory for one raw pixel.
    shape : sequence of int
        Size of the frame ([Z,] Y, X).
    overlap, multiple, border : sequence of int
        As for `tiles`.
    most : int
        Bytes that it takes at most where the host computes.
    """
    budget = MEMORY_SHARE * free_memory(device)
    if device.type != "cuda":
        budget = min(budget, most)
    pixels = budget / bytes_per_pixel
    least = smallest_tile(overlap, multiple)
    depth = 1
    size: tuple[int, ...] = ()
    if len(shape) == 3:
        # A field twice as wide as its overlap is still left at this depth.
        field = 4 * math.prod(least[1:])
        depth = min(shape[0] + 2 * border[0], LARGEST_DEPTH, int(pixels / field))
        depth = max(depth, min(least[0], shape[0] + 2 * border[0]))
        size = (depth,)
    width = min(int(math.sqrt(pixels / depth)), LARGEST_TILE)
    return (*size, *(max(width, smallest) for smallest in least[-2:]))


def smallest_tile(overlap: Sequence[int], multiple: Sequence[int]) -> tuple[int, ...]:
    """Size of the least window worth computing: its overlap and a little more."""
    return tuple(2 * reach + 4 * divisor for reach, divisor in zip(overlap, multiple, strict=True))


def largest_window(
    shape: Sequence[int],
    size: Sequence[int],
    overlap: Sequence[int],
    multiple: Sequence[int],
    border: Sequence[int],
) -> tuple[int, ...]:
    """Size of the largest window of `tiles` with the same arguments."""
    along_each = zip(shape, size, overlap, multiple, border, strict=True)
    return tuple(max(stretch[3] for stretch in _stretches(*along)) for along in along_each)


def smaller_tile(
    size: Sequence[int], overlap: Sequence[int], multiple: Sequence[int]
) -> tuple[int, ...] | None:
    """Halve a window that memory did not hold, across the field first; None if it is least."""
    least = smallest_tile(overlap, multiple)
    lateral = tuple(
        max(width // 2, smallest) for width, smallest in zip(size[-2:], least[-2:], strict=True)
    )
    if lateral != tuple(size[-2:]):
        return (*size[:-2], *lateral)
    if len(size) == 3 and size[0] > least[0]:
        return (max(size[0] // 2, least[0]), *lateral)
    return None
