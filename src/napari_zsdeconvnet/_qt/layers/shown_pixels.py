"""Pixels of a file as a layer shows them: what cannot be read is said and shown black."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.utils.notifications import show_warning
from numpy.typing import NDArray

from ...io.lazy import Sliced
from ...utils.errors import InputError


class ShownPixels(Sliced):
    """An array that is read where it is cut, and that napari can always draw.

    napari leaves a layer behind that it can neither draw nor remove where an array raises an error.
    Whoever computes takes `strict` instead.

    Attributes
    ----------
    strict
        The array, which raises an error where it cannot be read.
    """

    def __init__(self, pixels: Any) -> None:
        self.strict = pixels
        self.shape = tuple(pixels.shape)
        self.dtype = np.dtype(pixels.dtype)
        self._said: set[str] = set()

    def __getitem__(self, index: Any) -> NDArray[Any]:
        try:
            return np.asarray(self.strict[index])
        except InputError as error:
            if str(error) not in self._said:
                self._said.add(str(error))
                show_warning(f"{error} It is shown black.")
            return np.array(np.broadcast_to(np.zeros((), self.dtype), self.shape)[index])
