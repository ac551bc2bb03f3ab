"""A TIFF series that cannot be mapped (compressed, or scattered over its file), read by page."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..utils.errors import InputError
from ..utils.memory import check_room
from .lazy import Sliced, whole_index
from .tiff_sizes import check_expansion

if TYPE_CHECKING:
    import tifffile

_KEPT = 2**26  # bytes of pages that stay decoded, as neighbouring tiles need the same ones


class TiffPages(Sliced):
    """A series whose pages are decoded when they are cut; the file is open only meanwhile.

    Parameters
    ----------
    series
        One page for each index of its leading axes (see `fits`), whose sizes are sound; its file
        may be closed.
    name
        Of the file, for messages.
    on_error
        Turns the failure to decode a page into the exception to be raised.
    """

    def __init__(
        self,
        series: tifffile.TiffPageSeries,
        name: str,
        on_error: Callable[[Exception], Exception],
    ) -> None:
        self._name = name
        self.shape = tuple(series.shape)
        self.dtype = np.dtype(series.dtype).newbyteorder("=")
        self._inside = len(series.keyframe.shape)
        self._pages = list(series.pages)
        self._on_error = on_error
        self._decoded: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()

    @staticmethod
    def fits(series: tifffile.TiffPageSeries) -> bool:
        """Tell whether every page is what the last axes of the series hold, and none is missing."""
        inside = tuple(series.keyframe.shape)
        leading = tuple(series.shape[: len(series.shape) - len(inside)])
        return (
            len(inside) >= 2
            and (*leading, *inside) == tuple(series.shape)
            and math.prod(leading) == len(series.pages)
            and all(page is not None for page in series.pages)
        )

    def __getitem__(self, index: Any) -> NDArray[Any]:
        entries = whole_index(index, self.shape)
        leading, inside = entries[: -self._inside], entries[-self._inside :]
        places = [
            range(length)[entry] if isinstance(entry, slice) else [entry]
            for entry, length in zip(leading, self.shape, strict=False)
        ]
        kept = [
            len(list(place))
            for place, entry in zip(places, leading, strict=True)
            if isinstance(entry, slice)
        ]
        part = np.empty(self.shape[-self._inside :], np.uint8)[inside].shape
        cut = np.empty((math.prod(len(list(place)) for place in places), *part), self.dtype)
        for number, place in enumerate(product(*places)):
            page = int(np.ravel_multi_index(place, self.shape[: len(place)])) if place else 0
            cut[number] = self._page(page)[inside]
        return cut.reshape(*kept, *part)

    def _page(self, number: int) -> NDArray[Any]:
        with self._lock:
            pixels = self._decoded.pop(number, None)
            if pixels is None:
                pixels = self._decode(self._pages[number])
            self._decoded[number] = pixels
            while len(self._decoded) > max(_KEPT // max(pixels.nbytes, 1), 1):
                self._decoded.popitem(last=False)
            return pixels

    def _decode(self, page: Any) -> NDArray[Any]:
        file = page.parent.filehandle
        closed = file.closed
        try:
            if closed:
                file.open()
            check_room(math.prod(page.keyframe.shape) * self.dtype.itemsize, self._name)
            check_expansion(page)
            pixels: NDArray[Any] = page.asarray()
            return pixels
        except InputError:
            raise
        except Exception as error:
            raise self._on_error(error) from error
        finally:
            if closed:
                file.close()
