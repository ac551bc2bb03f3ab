"""An array as it lies on a slow disk, for tests of what must never be in memory as a whole."""

from __future__ import annotations

from typing import Any

import numpy as np


class Watched:
    """Read and filled by slicing alone, never more than so much at once; it counts what is read.

    Parameters
    ----------
    pixels
        What is read or filled.
    most
        Elements that may be read or filled at once.
    """

    def __init__(self, pixels: np.ndarray, most: int) -> None:
        self._pixels = pixels
        self._most = most
        self.shape, self.dtype, self.ndim = pixels.shape, pixels.dtype, pixels.ndim
        self.read = 0

    def __getitem__(self, index: Any) -> np.ndarray:
        cut = self._pixels[index]
        assert cut.size <= self._most, f"{cut.size} elements read at once: {index}"
        self.read += cut.size
        return cut

    def __setitem__(self, index: Any, values: Any) -> None:
        room = self._pixels[index]
        assert room.size <= self._most, f"{room.size} elements filled at once: {index}"
        self._pixels[index] = values

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise AssertionError("read as a whole")
