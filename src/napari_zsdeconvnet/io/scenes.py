"""What microscope files have in common: scenes, of which one is read, page by page."""

from __future__ import annotations

import math
import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..utils.errors import InputError
from ..utils.memory import check_room
from .acquisition import Recorded
from .image import Display
from .pages import Pages

_NAMED = 6


@dataclass(frozen=True)
class Scene:
    """One recording of a file, as its metadata describe it.

    Attributes
    ----------
    axes, shape
        Letters out of "TCZYX" in the order of the file, pages last, and their lengths.
    inside
        How many of these a page has: two, or three where all channels are read together.
    dtype
        Of the pixels.
    page
        Reads a page: an index for each axis before those, by letter, in; an array out.
    part
        The same for rows and columns of a page of two axes (two slices); None where a page cannot
        be read in parts.
    recorded
        What the file says of optics, channels, steps and times.
    display
        How the channels are shown; empty where it is not said.
    notes
        What had to be left out, one sentence each.
    """

    axes: str
    shape: tuple[int, ...]
    inside: int
    dtype: Any
    page: Callable[[Mapping[str, int]], NDArray[Any]]
    part: Callable[[Mapping[str, int], slice, slice], NDArray[Any]] | None = None
    recorded: Recorded = field(default_factory=Recorded)
    display: tuple[Display, ...] = ()
    notes: tuple[str, ...] = ()


class SceneFile(ABC):
    """An open file with one scene or several.

    Parameters
    ----------
    path
        The file. What its library raises is the caller's to word.
    """

    package: str
    """Of the library that reads it, as pip knows it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Of the scenes, in the order of the file."""

    @abstractmethod
    def scene(self, number: int) -> Scene:
        """Describe a scene; none of its pixels are read."""

    @abstractmethod
    def close(self) -> None:
        """Close the file."""


def scene_number(
    wanted: int | str | None, names: Sequence[str], path: str | os.PathLike[str]
) -> int:
    """Find a scene by its number, counted from 0, or its name; None is the first.

    Raises
    ------
    InputError
        If there is none.
    """
    if wanted is None:
        return 0
    if isinstance(wanted, str) and wanted in names:
        return list(names).index(wanted)
    digits = str(wanted)
    if digits.isdecimal() and int(digits) < len(names):
        return int(digits)
    said = ", ".join(f"{number}: {name}" for number, name in enumerate(names[:_NAMED]))
    more = ", ..." if len(names) > _NAMED else ""
    raise InputError(
        "scene-missing",
        f"{Path(path).name} has {len(names)} scene{'s' if len(names) > 1 else ''} ({said}{more}) "
        f"and none that is {wanted}; name one of these by its number or name.",
    )


def check_extra_axes(sizes: Mapping[str, int], words: Mapping[str, str], name: str) -> None:
    """Refuse axes that no image has, where they are longer than one.

    Parameters
    ----------
    sizes
        Length by the letter that the file gives an axis.
    words
        What each letter stands for.
    name
        What messages call the file.
    """
    for letter, length in sizes.items():
        if length > 1 and letter not in "TCZYX":
            raise InputError(
                "scene-axes",
                f"{name} has {length} elements along {words.get(letter, 'an axis')} ({letter}), "
                "which no image here has; export one of them as OME-TIFF.",
            )


class ScenePages(Pages):
    """The pixels of a scene, read where they are cut; what is pickled is where they are.

    Parameters
    ----------
    file
        Open; it stays so as long as the pixels are used, or until `close` is called.
    number
        Of the scene.
    scene
        Its description.
    on_error
        Turns the failure to read a page into the exception to be raised.
    again
        Opens the file once more, by its name and the number of the scene.
    """

    def __init__(
        self,
        file: SceneFile,
        number: int,
        scene: Scene,
        on_error: Callable[[Exception], Exception],
        again: Callable[[str, int], ScenePages],
    ) -> None:
        super().__init__(scene.shape, scene.dtype, scene.inside)
        self._file, self.number, self.scene = file, number, scene
        self._on_error, self._again = on_error, again
        self.close = weakref.finalize(self, file.close)

    def __reduce__(self) -> tuple[Any, ...]:
        return self._again, (str(self._file.path), self.number)

    def decode(self, number: int) -> NDArray[Any]:
        """Read a page of the file."""
        shape = self.shape[-self.inside :]
        check_room(math.prod(shape) * self.dtype.itemsize, self._file.path.name)
        return self._read(lambda: self.scene.page(self._place(number)), shape)

    def _part(self, number: int, inside: tuple[int | slice, ...]) -> NDArray[Any]:
        rows, columns = inside[-2:]
        read = self.scene.part
        if (
            read is None
            or self.inside != 2
            or not isinstance(rows, slice)
            or not isinstance(columns, slice)
            or math.prod(self.shape[-2:]) * self.dtype.itemsize <= self.kept
        ):
            return super()._part(number, inside)
        spans = [
            range(length)[entry]
            for entry, length in zip((rows, columns), self.shape[-2:], strict=True)
        ]
        if any(span.step != 1 for span in spans) or not all(map(len, spans)):
            return super()._part(number, inside)
        y, x = (slice(span.start, span.stop) for span in spans)
        with self._lock:
            return self._read(
                lambda: read(self._place(number), y, x), tuple(len(span) for span in spans)
            )

    def _place(self, number: int) -> dict[str, int]:
        leading = self.shape[: -self.inside]
        place = np.unravel_index(number, leading) if leading else ()
        return {letter: int(index) for letter, index in zip(self.scene.axes, place, strict=False)}

    def _read(self, read: Callable[[], NDArray[Any]], shape: tuple[int, ...]) -> NDArray[Any]:
        try:
            # A copy, as libraries give views of files that are closed one day.
            return np.array(read(), self.dtype).reshape(shape)
        except InputError:
            raise
        except Exception as error:
            raise self._on_error(error) from error


def display_of(red: float, green: float, blue: float) -> Display:
    """Give the display of a channel with a colour, each part 0 to 255."""
    parts = (min(max(round(part), 0), 255) for part in (red, green, blue))
    return Display("".join(f"{part:02X}" for part in parts))


def in_file_order(sizes: Mapping[str, int], order: str) -> tuple[str, tuple[int, ...]]:
    """Give the letters of an order that a file has, and their lengths."""
    letters = [letter for letter in order if letter in "YX" or sizes.get(letter, 1) > 1]
    return "".join(letters), tuple(int(sizes.get(letter, 1)) for letter in letters)


def seconds(milliseconds: Any) -> float | None:
    """Give a time in seconds; None where it is none."""
    try:
        value = float(milliseconds) / 1000
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) and value > 0 else None
