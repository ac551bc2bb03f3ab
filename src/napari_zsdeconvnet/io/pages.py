"""Recordings whose pages are read one by one where they are cut, the last of them being kept."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .lazy import Sliced, whole_index


class Pages(Sliced):
    """An array whose leading axes count pages; a subclass reads one of these.

    Attributes
    ----------
    shape, dtype
        Of the whole, in the machine's byte order.
    inside
        How many of the last axes a page has, two or more.
    """

    kept = 2**26
    """Bytes of pages that stay decoded, as neighbouring tiles need the same ones."""

    def __init__(self, shape: tuple[int, ...], dtype: Any, inside: int) -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype).newbyteorder("=")
        self.inside = inside
        self._decoded: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def decode(self, number: int) -> NDArray[Any]:
        """Read a page, counted along the leading axes, of the shape of the last ones."""
        raise NotImplementedError

    def __getitem__(self, index: Any) -> NDArray[Any]:
        entries = whole_index(index, self.shape)
        leading, inside = entries[: -self.inside], entries[-self.inside :]
        places = [
            range(length)[entry] if isinstance(entry, slice) else [entry]
            for entry, length in zip(leading, self.shape, strict=False)
        ]
        kept = [
            len(list(place))
            for place, entry in zip(places, leading, strict=True)
            if isinstance(entry, slice)
        ]
        part = np.empty(self.shape[-self.inside :], np.uint8)[inside].shape
        cut = np.empty((math.prod(len(list(place)) for place in places), *part), self.dtype)
        for number, place in enumerate(product(*places)):
            page = int(np.ravel_multi_index(place, self.shape[: len(place)])) if place else 0
            cut[number] = self._part(page, inside)
        return cut.reshape(*kept, *part)

    def _part(self, number: int, inside: tuple[int | slice, ...]) -> NDArray[Any]:
        """Cut a page, out of those that were read last if it is among them."""
        with self._lock:
            pixels = self._decoded.pop(number, None)
            if pixels is None:
                pixels = self.decode(number)
            self._decoded[number] = pixels
            while len(self._decoded) > max(self.kept // max(pixels.nbytes, 1), 1):
                self._decoded.popitem(last=False)
            return pixels[inside]
