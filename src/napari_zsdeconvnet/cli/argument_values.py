"""What may stand behind an option: numbers, lengths, tiles and regions, read from text."""

from __future__ import annotations

import argparse
import math

from ..io.units import LARGEST_STEP, checked_length
from ..utils.errors import InputError

_FINEST = 1e-3  # micrometres; the grid of a PSF may be finer than a camera's pixel
_THICKNESSES = (0.05, 100.0)  # micrometres
_WAVELENGTHS = (0.2, 2.0)  # micrometres


def number(text: str) -> float:
    """Read a finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return value


def positive(text: str) -> float:
    """Read a number above zero."""
    value = number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not above zero")
    return value


def from_one_on(text: str) -> float:
    """Read a number that is one or above."""
    value = number(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is below one")
    return value


def not_negative(text: str) -> float:
    """Read a number that is zero or above."""
    value = number(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below zero")
    return value


def count(text: str) -> int:
    """Read a whole number from 0 on."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def whole(text: str) -> int:
    """Read a whole number from 1 on."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def length(text: str) -> float:
    """Read a pixel size or a step between planes in micrometres."""
    return _of_a_microscope(text, _FINEST, LARGEST_STEP)


def thickness(text: str) -> float:
    """Read the thickness of a light sheet in micrometres."""
    return _of_a_microscope(text, *_THICKNESSES)


def wavelength(text: str) -> float:
    """Read a wavelength of light in micrometres."""
    return _of_a_microscope(text, *_WAVELENGTHS)


def wavelengths(text: str) -> list[float]:
    """Read several wavelengths of light in micrometres, with commas between them."""
    return [wavelength(part) for part in text.split(",")]


def counts(text: str) -> list[int]:
    """Read several whole numbers from 0 on, with commas between them."""
    return [count(part) for part in text.split(",")]


def _of_a_microscope(text: str, smallest: float, largest: float) -> float:
    try:
        return checked_length(positive(text), "it", smallest, largest)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error).rstrip(".")) from None


def lengths(text: str) -> float | tuple[float, ...]:
    """Read one length for all axes, or one for each with commas between."""
    steps = tuple(length(part) for part in text.split(","))
    return steps if len(steps) > 1 else steps[0]


def angles(text: str) -> tuple[float, ...]:
    """Read numbers with commas between."""
    return tuple(number(part) for part in text.split(","))


def number_or_file(text: str) -> float | str:
    """Read a finite number; anything that is no number at all is the name of a file."""
    try:
        float(text)
    except ValueError:
        return text
    return number(text)


def place(text: str) -> tuple[int, int]:
    """Read a row and a column, counted from 0."""
    try:
        row, column = (count(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a row and a column; write them as Y,X, for instance 512,0"
        ) from None
    return row, column


def tile(text: str) -> int | tuple[int, ...]:
    """Read the width of a tile, or its size along each axis with commas between."""
    size = tuple(whole(part) for part in text.split(","))
    return size if len(size) > 1 else size[0]


def region(text: str) -> tuple[slice, slice]:
    """Read "Y0:Y1,X0:X1", first pixel included and last excluded."""
    try:
        rows, columns = (
            slice(*(int(bound) for bound in axis.split(":", 1))) for axis in text.split(",")
        )
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a region; write it as Y0:Y1,X0:X1, for instance 0:64,10:80"
        ) from None
    return rows, columns
