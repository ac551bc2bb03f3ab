"""A TIFF series that cannot be mapped (compressed, or scattered over its file), read by page."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ..utils.errors import InputError
from ..utils.memory import check_room
from .pages import Pages
from .tiff_sizes import check_expansion

if TYPE_CHECKING:
    import tifffile


class TiffPages(Pages):
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
        super().__init__(tuple(series.shape), series.dtype, len(series.keyframe.shape))
        self._name = name
        self._pages = list(series.pages)
        self._on_error = on_error

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

    def decode(self, number: int) -> NDArray[Any]:
        """Decode a page of the file."""
        page: Any = self._pages[number]
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
