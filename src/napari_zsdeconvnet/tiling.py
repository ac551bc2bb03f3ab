"""Windows into frames: tiles that overlap, borders continued by reflection, memory kept."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor

LARGEST_TILE = 1024
"""Beyond this a tile gains nothing: its overlap is small already."""

MEMORY_SHARE = 0.4
"""Part of the free memory that one tile may take."""


def as_tensor(array: NDArray[Any]) -> Tensor:
    """Wrap an array as a tensor, without a copy where torch knows its type.

    A file mapped read-only is wrapped as well: nothing here writes to its input.
    """
    if array.dtype not in _SHARED_TYPES:
        array = array.astype(np.float32)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(np.ascontiguousarray(array))


def window(frame: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """Cut a window out of a frame as float32; beyond the edges the frame is reflected.

    Parameters
    ----------
    frame : Tensor
        One image (Y, X) of any real type; it is not converted as a whole.
    top, left, height, width : int
        The window in pixels of the frame; it may begin or end outside.
    """
    inside = frame[
        max(top, 0) : max(top + height, 0),
        max(left, 0) : max(left + width, 0),
    ]
    if inside.shape == (height, width):
        return inside.float()
    # The indices stay on the host, where looking at them does not wait for a GPU.
    rows = _reflected(top, height, frame.shape[0])
    columns = _reflected(left, width, frame.shape[1])
    first_row, first_column = int(rows.min()), int(columns.min())
    part = frame[
        first_row : int(rows.max()) + 1,
        first_column : int(columns.max()) + 1,
    ].float()
    return part[rows - first_row][:, columns - first_column]


def _reflected(start: int, length: int, size: int) -> Tensor:
    """Fold the indices of a stretch into ``0 ... size`` as mirrors at the edges would."""
    period = max(2 * (size - 1), 1)
    indices = torch.arange(start, start + length).remainder(period)
    return torch.minimum(indices, period - indices) if size > 1 else torch.zeros_like(indices)


_SHARED_TYPES = (np.uint8, np.int16, np.uint16, np.int32, np.float32)


@dataclass(frozen=True)
class Tile:
    """A rectangle of the result and the larger window that it is computed from."""

    top: int
    left: int
    height: int
    width: int
    window_top: int
    window_left: int
    window_height: int
    window_width: int


def tiles(shape: tuple[int, int], size: int, overlap: int, multiple: int) -> Iterator[Tile]:
    """Cover a frame with tiles.

    Windows begin at multiples of ``multiple`` counted from a common point and are multiples
    of it wide, so that pooling falls on the same pixels in every tiling.

    Parameters
    ----------
    shape : tuple of int
        Size of the frame (Y, X).
    size : int
        Width of a tile's window in raw pixels, overlap on both sides included.
    overlap : int
        Context a result pixel needs on each side, at least the receptive field.
    multiple : int
        What windows must be divisible by.
    """
    rim = multiple * math.ceil(overlap / multiple)
    step = max((size - 2 * rim) // multiple, 1) * multiple
    for top in range(0, shape[0], step):
        for left in range(0, shape[1], step):
            height, width = min(step, shape[0] - top), min(step, shape[1] - left)
            yield Tile(
                top,
                left,
                height,
                width,
                top - rim,
                left - rim,
                multiple * math.ceil(height / multiple) + 2 * rim,
                multiple * math.ceil(width / multiple) + 2 * rim,
            )


def free_memory(device: torch.device) -> int:
    """Bytes that a computation on this device may still take."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    # Apple's GPUs share the memory of the host.
    return int(psutil.virtual_memory().available)


def fitting_tile(device: torch.device, bytes_per_pixel: int) -> int:
    """Width of the largest tile, in raw pixels, that the free memory holds with ease."""
    budget = MEMORY_SHARE * free_memory(device)
    return min(int(math.sqrt(budget / bytes_per_pixel)), LARGEST_TILE)
