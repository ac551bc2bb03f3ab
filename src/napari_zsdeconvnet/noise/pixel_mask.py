"""The pixels of a recording that must not be used, and what stands in their place.

A mask keeps runs of pixels along rows, which is little for single pixels and for large areas alike,
so that it fits into memory where a long recording does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..io.lazy import PlaneInTime, Sliced, whole_index


class Kind(IntEnum):
    """Why a pixel is not used."""

    OUTLIER = 1
    """Hot or dead, a cosmic ray, part of a hot or dead column or row, or a single NaN."""
    SATURATED = 2
    UNRECORDED = 3
    """In a border that registering or deskewing filled, or that is NaN."""
    GIVEN = 4
    """By a map of bad pixels."""


@dataclass(frozen=True, eq=False)
class Runs:
    """Masked pixels of one plane, as runs within rows, in order."""

    start: NDArray[np.int64]
    """Flat index of the first pixel."""
    length: NDArray[np.int64]
    kind: NDArray[np.uint8]
    first: NDArray[np.float32]
    """Counts that stand for the first pixel."""
    last: NDArray[np.float32]
    """And for the last; between them they follow a line."""

    @classmethod
    def of(cls, kinds: NDArray[np.uint8], values: NDArray[Any]) -> Runs:
        """Make them of the kinds of a plane's pixels and of what stands for them."""
        places = np.flatnonzero(kinds)
        kind, value = kinds.ravel()[places], values.ravel()[places].astype(np.float32)
        new = np.ones(len(places), dtype=bool)
        new[1:] = (np.diff(places) != 1) | (places[1:] % kinds.shape[1] == 0)
        new[1:] |= kind[1:] != kind[:-1]
        first = np.flatnonzero(new)
        last = np.r_[first[1:], len(places)] - 1
        return cls(places[first], last - first + 1, kind[first], value[first], value[last])

    def pixels(
        self, low: int, high: int
    ) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.float32]]:
        """Give flat index, kind and value of each masked pixel of the runs from `low` to `high`."""
        some = slice(*np.searchsorted(self.start, (low, high)))
        length = self.length[some]
        run = np.repeat(np.arange(len(length)), length)
        along = np.arange(len(run)) - np.repeat(np.cumsum(length) - length, length)
        share = (along / np.maximum(length - 1, 1)[run]).astype(np.float32)
        first, last = self.first[some][run], self.last[some][run]
        return self.start[some][run] + along, self.kind[some][run], first + share * (last - first)


@dataclass(frozen=True, eq=False)
class PixelMask(Sliced):
    """True where pixels must not be used; cut like the recording that it belongs to.

    Attributes
    ----------
    shape
        Of the recording, ``(T, [Z,] Y, X)``.
    planes
        What is masked in each plane, by its index along the axes before Y; others have nothing.
    sentences
        What was found, with numbers and places, one sentence each.
    """

    shape: tuple[int, ...]
    planes: Mapping[tuple[int, ...], Runs]
    sentences: tuple[str, ...] = ()
    dtype: np.dtype[Any] = field(default=np.dtype(bool))

    def __getitem__(self, index: Any) -> NDArray[np.bool_]:
        """Cut a part, True where a pixel must not be used."""
        return self.kinds(index) > 0

    def kinds(self, index: Any) -> NDArray[np.uint8]:
        """Cut a part that says why each pixel is not used, as `Kind` does, 0 where it is used."""
        entries = whole_index(index, self.shape)
        cut = np.zeros(
            [
                len(range(*entry.indices(length)))
                for entry, length in zip(entries, self.shape, strict=True)
                if isinstance(entry, slice)
            ],
            np.uint8,
        )
        for where, kind, _ in self._pixels(entries):
            cut[where] = kind
        return cut

    def fill(self, index: Any, cut: NDArray[Any]) -> NDArray[Any]:
        """Put what stands for masked pixels into a copy of a part of the recording."""
        filled = np.array(cut)
        for where, _, value in self._pixels(whole_index(index, self.shape)):
            filled[where] = np.rint(value) if filled.dtype.kind in "ui" else value
        return filled

    def _pixels(
        self, entries: tuple[int | slice, ...]
    ) -> Iterator[tuple[tuple[Any, ...], Any, Any]]:
        """Give where masked pixels lie in a cut, plane by plane, with kind and value."""
        *outer, rows, columns = entries
        breadth = self.shape[-1]
        lines = _range(rows, self.shape[-2])
        low, high = breadth * lines.start, breadth * (lines[-1] + 1) if lines else 0
        axes = [list(enumerate(_range(e, n))) for e, n in zip(outer, self.shape, strict=False)]
        for places in product(*axes):
            runs = self.planes.get(tuple(plane for _, plane in places))
            if runs is None:
                continue
            flat, kind, value = runs.pixels(low, high)
            (y, there), (x, across) = (
                _within(entry, length, coordinate)
                for entry, length, coordinate in zip(
                    (rows, columns), self.shape[-2:], divmod(flat, breadth), strict=True
                )
            )
            both = there & across
            at = [
                n for (n, _), entry in zip(places, outer, strict=True) if isinstance(entry, slice)
            ]
            inner = [c[both] for c, e in ((y, rows), (x, columns)) if isinstance(e, slice)]
            if inner:
                yield (*at, *inner), kind[both], value[both]
            elif both.any():  # one pixel of each plane
                yield tuple(at), kind[both][0], value[both][0]

    def __len__(self) -> int:
        return self.shape[0]


class Filled(Sliced):
    """A recording with what stands for masked pixels in their place, read where it is cut.

    Parameters
    ----------
    source
        ``(T, [Z,] Y, X)``.
    mask
        Of the same shape.
    """

    def __init__(self, source: Any, mask: PixelMask) -> None:
        self.source = source
        self.mask = mask
        self.shape = tuple(source.shape)
        self.dtype = np.dtype(source.dtype)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        return self.mask.fill(index, self.source[index])


def mask_of(recording: Any) -> Any:
    """Give the mask of a recording, cut as the recording is; None where it has none."""
    return recording.mask if isinstance(recording, Filled | PlaneInTime) else None


def looked_at(recording: Any) -> Filled:
    """Mark a recording as one of which is known what must not be used, if only that all can be."""
    if isinstance(recording, Filled):
        return recording
    return Filled(recording, PixelMask(tuple(recording.shape), {}))


def as_recorded(recording: Any) -> Any:
    """Give a recording with all its pixels as they were recorded."""
    return recording.source if isinstance(recording, Filled) else recording


def mask_of_filled(pixels: NDArray[Any], kinds: NDArray[np.uint8] | None) -> PixelMask:
    """Give the mask, (1, [Z,] Y, X), of one frame that is filled already.

    Kinds say why each pixel is not used, as `Kind` does, 0 where it is; None where all are.
    """
    planes: dict[tuple[int, ...], Runs] = {}
    if kinds is not None:
        for place in np.ndindex(pixels.shape[:-2]):
            if kinds[place].any():
                planes[(0, *place)] = Runs.of(kinds[place], pixels[place])
    return PixelMask((1, *pixels.shape), planes)


def one_frame(recording: Any, frame: int) -> Any:
    """Give one frame of a recording as a recording of one, with its mask if it has one."""
    pixels = np.asarray(recording[frame])[np.newaxis]
    mask = mask_of(recording)
    if mask is None:
        return pixels
    planes = {(0, *place[1:]): runs for place, runs in mask.planes.items() if place[0] == frame}
    return Filled(pixels, PixelMask(pixels.shape, planes)) if planes else pixels


def _range(entry: int | slice, length: int) -> range:
    return range(*entry.indices(length)) if isinstance(entry, slice) else range(entry, entry + 1)


def _within(
    entry: int | slice, length: int, coordinate: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Give the places of coordinates in a cut along one axis, and which of them are in it."""
    some = _range(entry, length)
    along, beside = np.divmod(coordinate - some.start, some.step)
    return along, (beside == 0) & (along >= 0) & (along < len(some))
