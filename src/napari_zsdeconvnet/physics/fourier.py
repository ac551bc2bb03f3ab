"""Fourier transforms of a volume in a larger room, by all cores and without the lines of zeros.

On CPUs scipy's transforms of one axis after the other take every core, while those of torch take
one; their bits are the same for any number of cores. Lines in which the room is empty, or whose
result is not asked for, are left out. Elsewhere, and where gradients are needed, torch transforms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft
from torch import Tensor

from ..utils.phases import go_on

_AXES = (-3, -2, -1)


def placed(volume: Tensor, room: Sequence[int], start: Sequence[int]) -> Tensor:
    """Put volumes (N, C, Z, Y, X) at a voxel of a room of this shape, with nothing around them."""
    whole = volume.new_zeros((*volume.shape[:2], *room))
    cut(whole, start, volume.shape[2:]).copy_(volume)
    return whole


def cut(volume: Tensor, start: Sequence[int], size: Sequence[int]) -> Tensor:
    """Give the part of volumes that begins at a voxel, as a view."""
    for axis, first, length in zip(_AXES, start, size, strict=True):
        volume = volume.narrow(axis, first, length)
    return volume


def to_spectrum(volume: Tensor, room: Sequence[int], start: Sequence[int]) -> Tensor:
    """Give the spectrum of a room (Z, Y, X), as `torch.fft.rfftn` does.

    Parameters
    ----------
    volume : Tensor
        What is in the room, (N, C, Z, Y, X).
    room : sequence of int
        Its shape.
    start : sequence of int
        Voxel of the room at which the volume begins; around it there is nothing.
    """
    go_on()
    if not _by_scipy(volume):
        whole: Tensor = torch.fft.rfftn(placed(volume, room, start), dim=_AXES)
        return whole
    values, workers = volume.detach().numpy(), torch.get_num_threads()
    for axis, first, length in reversed(list(zip(_AXES, start, room, strict=True))):
        values = _padded(values, axis, first, length)
        if axis == -1:
            values = fft.rfft(values, axis=axis, workers=workers)
        else:
            values = fft.fft(values, axis=axis, workers=workers, overwrite_x=True)
    return torch.from_numpy(values)


def from_spectrum(
    spectrum: Tensor, room: Sequence[int], start: Sequence[int], size: Sequence[int]
) -> Tensor:
    """Give the part of a room that begins at ``start`` and is so large, from its spectrum.

    The spectrum may be overwritten.
    """
    if not _by_scipy(spectrum):
        return cut(torch.fft.irfftn(spectrum, s=tuple(room), dim=_AXES), start, size)
    values, workers = spectrum.detach().numpy(), torch.get_num_threads()
    for axis, first, length, full in zip(_AXES, start, size, room, strict=True):
        if axis == -1:
            values = fft.irfft(values, n=full, axis=axis, workers=workers, overwrite_x=True)
        else:
            values = fft.ifft(values, axis=axis, workers=workers, overwrite_x=True)
        if length < full:
            window = [slice(None)] * values.ndim
            window[axis] = slice(first, first + length)
            values = values[tuple(window)]
    return torch.from_numpy(np.ascontiguousarray(values))


def _by_scipy(values: Tensor) -> bool:
    return values.device.type == "cpu" and not (torch.is_grad_enabled() and values.requires_grad)


def _padded(values: NDArray[Any], axis: int, first: int, length: int) -> NDArray[Any]:
    """Put values at a place of a longer axis, with zeros around them."""
    if values.shape[axis] == length:
        return values
    shape, window = list(values.shape), [slice(None)] * values.ndim
    shape[axis], window[axis] = length, slice(first, first + values.shape[axis])
    whole = np.zeros(shape, values.dtype)
    whole[tuple(window)] = values
    return whole
