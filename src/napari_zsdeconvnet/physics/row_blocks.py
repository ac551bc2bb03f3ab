"""Computing an image band by band: the same result, in memory that the processor keeps at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from ..utils.phases import go_on

BAND = 2**23
"""Bytes of what a band is computed from. What is made of larger ones leaves the caches, and its
memory is new each time, which takes as long to get as to fill; smaller ones overlap more."""

_UNDIVIDED: ContextVar[bool] = ContextVar("undivided", default=False)


@contextmanager
def undivided() -> Iterator[None]:
    """Compute images whole: what is recorded as a graph must not depend on their size."""
    before = _UNDIVIDED.set(True)
    try:
        yield
    finally:
        _UNDIVIDED.reset(before)


def bands(
    image: Tensor, *others: Tensor, multiple: int = 1, least: int = 1, size: int | None = None
) -> Iterator[tuple[int, int]]:
    """Give the first row of each band of an image and the one behind its last.

    With gradients, and on GPUs, there is one band alone.

    Parameters
    ----------
    image, *others : Tensor
        What bands are computed from, (N, C, Y, X); the rows are those of ``image``.
    multiple : int
        Rows in which bands begin.
    least : int
        Rows of a band, at least.
    size : int, optional
        Bytes of a band; by default `BAND`.
    """
    rows = height = image.shape[-2]
    if image.device.type == "cpu" and not torch.is_grad_enabled():
        total = max(_bytes(image, *others), 1)
        fitting = max((size or BAND) * height // total, least, 1)
        rows = -(-fitting // multiple) * multiple
    for first in range(0, height, max(rows, 1)):
        go_on()
        yield first, min(first + rows, height)


def _bytes(*tensors: Tensor) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def by_bands(
    stage: Callable[..., Tensor],
    image: Tensor,
    *others: Tensor,
    reach: int = 0,
    multiple: int = 1,
    in_place: bool = False,
    rows: int | None = None,
) -> Tensor:
    """Apply a stage of a network to `bands`, one after the other.

    Parameters
    ----------
    stage : callable
        What takes ``image`` and ``others`` and gives a tensor on the same or another grid.
    image, *others : Tensor
        (N, C, [Z,] Y, X), on grids that are whole multiples or parts of each other.
    reach : int
        Rows of ``image`` that the stage looks beyond an output pixel.
    multiple : int
        Rows of ``image`` in which bands begin, as where pixels are pooled; ``reach`` is a
        multiple of it.
    in_place : bool
        Whether the result, which is of the shape of ``image``, may take its place.
    rows : int, optional
        Rows of a band, about; by default as many as are in `BAND`.
    """
    if _UNDIVIDED.get():
        return stage(image, *others)
    height = image.shape[-2]
    size = None if rows is None else rows * _bytes(image, *others) // height
    places = list(bands(image, *others, multiple=multiple, least=reach, size=size))
    if len(places) == 1:
        return stage(image, *others)
    result = image if in_place else None
    above = image[..., :0, :]
    for first, last in places:
        start, stop = max(first - reach, 0), min(last + reach, height)
        band = _rows(image, start, stop, height)
        if in_place:
            # The rows above have been overwritten.
            band = torch.cat([above, _rows(image, first, stop, height)], dim=-2)
            above = _rows(image, max(last - reach, 0), last, height).clone()
        made = stage(band, *(_rows(other, start, stop, height) for other in others))
        if result is None:
            result = _room(made, made.shape[-2] * height // (stop - start))
        inner = _rows(made, first - start, last - start, stop - start)
        _rows(result, first, last, height).copy_(inner)
    assert result is not None
    return result


def _rows(image: Tensor, start: int, stop: int, height: int) -> Tensor:
    """Cut rows out that are given on a grid of ``height`` rows."""
    own = image.shape[-2]
    return image[..., start * own // height : stop * own // height, :]


def _room(like: Tensor, height: int) -> Tensor:
    """Make a tensor of this height, its numbers laid out as those of another."""
    shape = (*like.shape[:-2], height, like.shape[-1])
    last = like.shape[1] > 1 and like.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if last else torch.contiguous_format
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=layout)
