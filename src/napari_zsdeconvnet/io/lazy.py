"""Arrays that are read where they are cut, so that a long recording is never whole in memory."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SLAB = 2**25  # bytes; so much of a volume is read at once


def is_lazy(data: Any) -> bool:
    """Tell whether slicing `data` reads it: a memory map, a dask or zarr array, and their like."""
    if isinstance(data, np.ndarray):
        return _is_mapped(data)
    try:
        np.dtype(data.dtype)
    except (AttributeError, TypeError):
        return False
    return all(hasattr(data, name) for name in ("shape", "ndim", "__getitem__"))


def _is_mapped(data: NDArray[Any]) -> bool:
    base: Any = data
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap):
            return True
        base = base.base
    return False


class Sliced:
    """What arrays have in common that are read where they are cut; a subclass does the cutting."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that the whole would take in memory."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self[index] for index in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        whole = self[...]
        return np.array(whole, dtype) if copy else np.asarray(whole, dtype)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Read a part: whole numbers, slices and an ellipsis, as in numpy."""
        raise NotImplementedError


class LazyArray(Sliced):
    """A view of a lazily read array with its axes in another order.

    Cutting it reads that part of the source and gives it as a numpy array in the machine's
    byte order.

    Parameters
    ----------
    source
        Anything with shape, dtype, ndim and slicing.
    axes
        A letter for each axis of `source`.
    order
        The letters of the view. Letters that the source lacks become axes of length one; axes
        of the source that are left out must have length one.
    """

    def __init__(self, source: Any, axes: str, order: str) -> None:
        lengths = dict(zip(axes, (int(length) for length in source.shape), strict=True))
        self._source = source
        self._axes = axes
        self._order = order
        self.shape = tuple(lengths.get(letter, 1) for letter in order)
        self.dtype = np.dtype(source.dtype).newbyteorder("=")

    def __getitem__(self, index: Any) -> NDArray[Any]:
        wanted = dict(zip(self._order, whole_index(index, self.shape), strict=True))
        cut = self._source[tuple(wanted.get(letter, 0) for letter in self._axes)]
        kept = [letter for letter in self._axes if isinstance(wanted.get(letter), slice)]
        pixels = np.asarray(cut, dtype=self.dtype)
        order = [letter for letter in self._order if isinstance(wanted[letter], slice)]
        pixels = pixels.transpose([kept.index(letter) for letter in order if letter in kept])
        # An axis that the source lacks is one element long, and slicing may leave none of it.
        return pixels[tuple(slice(None) if letter in kept else None for letter in order)][
            tuple(slice(None) if letter in kept else wanted[letter] for letter in order)
        ]


class FirstColumns(Sliced):
    """So many columns of an array that is read where it is cut, from its left edge on."""

    def __init__(self, pixels: Any, columns: int) -> None:
        self._pixels = pixels
        self.shape = (*pixels.shape[:-1], columns)
        self.dtype = np.dtype(pixels.dtype)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        *outer, along = whole_index(index, self.shape)
        if isinstance(along, slice):
            along = slice(*along.indices(self.shape[-1]))
        return np.asarray(self._pixels[(*outer, along)])


class PlaneInTime(Sliced):
    """One plane of volumes (T, Z, Y, X) as frames (T, Y, X), read frame by frame."""

    def __init__(self, volumes: Any, plane: int) -> None:
        self._volumes = volumes
        self._plane = plane
        self.shape = (volumes.shape[0], *volumes.shape[2:])
        self.dtype = volumes.dtype

    @property
    def mask(self) -> PlaneInTime | None:
        """That of the volumes, if they have one: pixels that must not be used."""
        mask = getattr(self._volumes, "mask", None)
        return None if mask is None else PlaneInTime(mask, self._plane)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        frame, *rest = whole_index(index, self.shape)
        return np.asarray(self._volumes[(frame, self._plane, *rest)])


def volumes_in_slabs(data: Any) -> Iterator[tuple[tuple[int, ...], NDArray[Any]]]:
    """Read frames one by one, and volumes in slabs of planes of 32 MiB at most.

    Yields where the slab's first plane lies, an index for each axis but the last two, and the slab,
    (planes, Y, X).
    """
    shape = tuple(data.shape)
    if len(shape) == 2:
        yield (), np.asarray(data[...])[None]
        return
    together = 1
    if len(shape) > 3:
        plane = math.prod(shape[-2:]) * np.dtype(data.dtype).itemsize
        together = max(_SLAB // max(plane, 1), 1)
    for outer in np.ndindex(shape[:-3]):
        for first in range(0, shape[-3], together):
            yield (*outer, first), np.asarray(data[(*outer, slice(first, first + together))])


def whole_index(index: Any, shape: tuple[int, ...]) -> tuple[int | slice, ...]:
    """Return one whole number, counted from the start, or slice for each axis."""
    entries = list(index) if isinstance(index, tuple) else [index]
    if Ellipsis in entries:
        place = entries.index(Ellipsis)
        rest = [slice(None)] * (len(shape) - len(entries) + 1)
        entries = [*entries[:place], *rest, *entries[place + 1 :]]
    entries += [slice(None)] * (len(shape) - len(entries))
    if len(entries) > len(shape):
        raise IndexError(f"{len(entries)} indices were given for {len(shape)} axes")
    return tuple(
        entry if isinstance(entry, slice) else _position(entry, length)
        for entry, length in zip(entries, shape, strict=True)
    )


def _position(entry: Any, length: int) -> int:
    position = operator.index(entry)
    if not -length <= position < length:
        raise IndexError(f"index {position} is out of bounds for an axis of length {length}")
    return position % length
