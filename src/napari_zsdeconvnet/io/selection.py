"""One channel or plane of an image that has several."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..utils.errors import InputError
from .image import Image
from .lazy import Sliced, whole_index

if TYPE_CHECKING:
    from numpy.typing import NDArray


def channel_count(image: Image) -> int:
    """Return the number of channels of an image; 1 without the axis."""
    return int(image.data.shape[image.axes.index("C")]) if "C" in image.axes else 1


def one_of(image: Image, letter: str, index: int | None) -> Image:
    """Take one channel (C) or plane (Z), counted from 0, or the only one.

    Parameters
    ----------
    image : Image
        Pixels that are not in memory are not read.
    letter : str
        "C" or "Z".
    index : int or None
        Which; None leaves an image with several as it is.

    Raises
    ------
    InputError
        If there is none of that number.
    """
    count = image.data.shape[image.axes.index(letter)] if letter in image.axes else 1
    if index is None:
        if count > 1:
            return image
        index = 0
    if not 0 <= index < count:
        what = "channel" if letter == "C" else "plane"
        raise InputError(
            "index-out-of-range",
            f"{image.name} has {count} {what}{'s' if count > 1 else ''}, counted from 0, so there "
            f"is none of number {index}; choose another {what}.",
        )
    if letter not in image.axes:
        return image
    several = len(image.optics) > 1
    taken: dict[str, Any] = {"channel" if letter == "C" else "plane": index}
    z, y, x = image.position
    if letter == "Z":
        z += index * (image.steps[0] or 0.0)
    return replace(
        image,
        origin=None if image.origin is None else replace(image.origin, **taken),
        data=_taken(image.data, image.axes.index(letter), index),
        axes=image.axes.replace(letter, ""),
        channel_names=image.channel_names[index : index + 1] if letter == "C" else (),
        optics=image.optics[index : index + 1] if letter == "C" and several else image.optics,
        display=image.display[index : index + 1] if letter == "C" else image.display,
        position=(z, y, x),
    )


def _taken(data: Any, axis: int, index: int) -> NDArray[Any]:
    """Take one element along an axis, without reading what is not in memory."""
    if isinstance(data, np.ndarray):
        place: Any = (*(slice(None),) * axis, index)
        return cast("NDArray[Any]", data[place])
    return cast("NDArray[Any]", _Taken(data, axis, index))


class _Taken(Sliced):
    """A lazily read array at one place of an axis, which is gone."""

    def __init__(self, source: Any, axis: int, index: int) -> None:
        self._source = source
        self._axis, self._index = axis, index
        self.shape = (*source.shape[:axis], *source.shape[axis + 1 :])
        self.dtype = source.dtype

    def __getitem__(self, index: Any) -> NDArray[Any]:
        wanted = whole_index(index, self.shape)
        place = (*wanted[: self._axis], self._index, *wanted[self._axis :])
        return np.asarray(self._source[place])
