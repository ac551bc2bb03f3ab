"""Parts of a recording that stand for all of it, where all of it would take hours to read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..utils.errors import UnreadableError
from ..utils.phases import rounds
from .image import Image
from .lazy import Sliced, whole_index

LARGE = 2**29
"""Bytes of a recording from which on parts stand for it."""

_CANDIDATES = 2  # for each part that is taken where the brightest are
_PLACES = 8  # that a part of all frames is chosen from
_STRIDE = 4  # pixels between those that tell the light of a candidate
_BASES = (2, 3, 5, 7)  # of Halton's sequence along T, Z, Y, X


class Excerpt(Sliced):
    """Boxes of a recording as frames or volumes of one of its own, read where they are cut.

    Parameters
    ----------
    source
        ``(T, [Z,] Y, X)``.
    starts
        First element of each box along all axes of the source, T included.
    box
        Lengths along ``([Z,] Y, X)``.
    held
        Whether all boxes are read at once and kept in memory.
    """

    def __init__(
        self,
        source: Any,
        starts: Sequence[tuple[int, ...]],
        box: tuple[int, ...],
        *,
        held: bool = False,
    ) -> None:
        self.source = source
        self.starts = tuple(starts)
        self.shape = (len(self.starts), *box)
        self.dtype = np.dtype(source.dtype)
        self.held: NDArray[Any] | None = None
        if held:
            self.held = self[...]

    @property
    def has_whole_planes(self) -> bool:
        """Whether a pixel (Y, X) of a box is the one of the camera with that index."""
        return self.shape[-2:] == tuple(self.source.shape[-2:])

    def place(self, box: int, region: Sequence[slice]) -> tuple[int, tuple[slice, ...]]:
        """Say where a region of a box lies in the source: the frame, and a slice of each axis."""
        frame, *start = self.starts[box]
        pairs = zip(start, region, strict=True)
        return frame, tuple(slice(n + part.start, n + part.stop) for n, part in pairs)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Read a part."""
        if self.held is not None:
            return np.asarray(self.held[index])
        box, *rest = whole_index(index, self.shape)
        if isinstance(box, int):
            return self._cut(box, rest)
        cuts = [self._cut(number, rest) for number in range(*box.indices(len(self.starts)))]
        if not cuts:
            return np.empty((0, *self._cut(0, rest).shape), self.dtype)
        return np.stack(cuts)

    def _cut(self, box: int, entries: Sequence[int | slice]) -> NDArray[Any]:
        frame, *start = self.starts[box]
        where = [
            entry + first
            if isinstance(entry, int)
            else slice(first + part[0], first + part[-1] + 1, part.step)
            if (part := range(*entry.indices(length)))
            else slice(first, first)
            for entry, first, length in zip(entries, start, self.shape[1:], strict=True)
        ]
        return np.asarray(self.source[(frame, *where)])


def is_large(data: Any) -> bool:
    """Whether parts are looked at in place of all of a recording."""
    return bool(math.prod(data.shape) * np.dtype(data.dtype).itemsize >= LARGE)


def excerpt(
    image: Image, box: Sequence[int], most: int, *, brightest: bool = False
) -> tuple[Image, str]:
    """Take parts of a large recording, spread evenly over it.

    Parameters
    ----------
    image
        Axes (T, [Z,] Y, X). Where it has a map of bad pixels, (Y, X), parts are whole planes; with
        one of every plane no parts are taken.
    box
        Size of a part along ([Z,] Y, X); no longer than the recording.
    most
        Pixels of all parts together, at least one part.
    brightest
        Whether of twice as many parts the brighter half is taken.

    Returns
    -------
    image
        As given where it is not large; else with an `Excerpt`, whose T counts the parts.
    said
        What was taken, in a sentence; empty where all is.
    """
    data, size = image.data, _fitting(image, box)
    if size is None:
        return image, ""
    count = max(most // math.prod(size), 1)
    starts = _spread(data.shape, size, count * (_CANDIDATES if brightest else 1))
    seen = len(starts)
    if brightest:
        light = [
            _light(data, start, size)
            for start in rounds(starts, "looking where a large recording is bright")
        ]
        kept = sorted(np.argsort(light, kind="stable")[::-1][:count])
        starts = [starts[number] for number in kept]
    what = f"{' x '.join(map(str, size))} {'voxels' if len(size) == 3 else 'pixels'}"
    chosen = f"the brightest of {seen}" if brightest and seen > len(starts) else "spread evenly"
    said = (
        f"{image.name or 'The recording'} is large: {len(starts)} parts of {what} stand for it, "
        f"{chosen}."
    )
    taken: Any = Excerpt(data, starts, size, held=True)
    return replace(image, data=taken), said


def window_of_all_frames(image: Image, box: Sequence[int]) -> tuple[Image, str]:
    """Take the same part of all frames of a large recording: of some, that with the most light.

    Parameters and what is returned are those of `excerpt`.
    """
    data, size = image.data, _fitting(image, box)
    if size is None or size == tuple(data.shape[1:]):
        return image, ""
    place = max(
        _spread((len(data), *data.shape[1:]), size, _PLACES),
        key=lambda start: _light(data, start, size),
    )[1:]
    taken: Any = Excerpt(data, [(frame, *place) for frame in range(len(data))], size)
    return replace(image, data=taken), (
        f"{image.name or 'The recording'} is large: {' x '.join(map(str, size))} of its pixels "
        f"stand for each frame, from {place} on."
    )


def _fitting(image: Image, box: Sequence[int]) -> tuple[int, ...] | None:
    """Return the size of a part; None where none is taken."""
    data, bad = image.data, image.pixel_rule.bad_pixels
    if not is_large(data) or (bad is not None and np.ndim(bad) > 2):
        return None
    if bad is not None:
        box = (*box[:-2], *data.shape[-2:])
    return tuple(min(length, n) for length, n in zip(box, data.shape[1:], strict=True))


def _spread(shape: Sequence[int], size: Sequence[int], count: int) -> list[tuple[int, ...]]:
    """Give the first elements of boxes that are spread evenly; none twice."""
    room = [shape[0], *(length - part + 1 for length, part in zip(shape[1:], size, strict=True))]
    bases = (_BASES[0], *_BASES[-len(size) :])
    places = (
        tuple(int(_halton(number, base) * n) for base, n in zip(bases, room, strict=True))
        for number in range(1, count + 1)
    )
    return list(dict.fromkeys(places))


def _halton(number: int, base: int) -> float:
    """Give an element of the sequence of van der Corput, from 0 to 1 (Halton 1960)."""
    value, share = 0.0, 1.0
    while number:
        share /= base
        number, digit = divmod(number, base)
        value += share * digit
    return value


def _light(data: Any, start: Sequence[int], size: Sequence[int]) -> float:
    """Tell how far the brightest pixels in the middle of a box rise above the usual one."""
    frame, *first = start
    if len(size) == 3:
        first = [first[0] + size[0] // 2, *first[1:]]
    rows, columns = (slice(n, n + part) for n, part in zip(first[-2:], size[-2:], strict=True))
    try:
        plane = np.asarray(data[(frame, *first[:-2], rows, columns)])
    except UnreadableError:
        return -math.inf
    usual, bright = np.nanpercentile(plane[::_STRIDE, ::_STRIDE], (50, 99))
    return float(bright - usual)
