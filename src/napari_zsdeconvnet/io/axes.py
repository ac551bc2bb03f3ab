"""The letters of an image's axes, and what cannot be an image by type, shape and letters alone."""

from __future__ import annotations

import math
from typing import Any

from ..utils.errors import InputError


class Note(str):
    """A sentence of a reader, with a code where other code has to know what it is about.

    "pages-as-time" where pages that the file does not explain are taken as time, "step-missing"
    where it lacks the step between its planes, "axes-reordered" where its axes have another order.
    """

    code: str

    def __new__(cls, sentence: str, code: str = "") -> Note:
        """Keep the code beside the sentence."""
        note = super().__new__(cls, sentence)
        note.code = code
        return note


def about(note: str) -> str:
    """Return the code of a note, empty where it has none."""
    return getattr(note, "code", "")


ORDER = "TCZYX"
"""The letters of all axes, in the order that images have them."""


def check_kind(pixels: Any, name: str) -> None:
    """Refuse what cannot be an image by its type and shape alone."""
    if pixels.dtype.kind == "c":
        raise InputError(
            "image-kind",
            f"{name} is complex ({pixels.dtype}); give camera counts, not a Fourier transform.",
        )
    if pixels.dtype.kind not in "uif":
        raise InputError(
            "image-kind",
            f"{name} holds {pixels.dtype} values; give camera counts, whole numbers or floats.",
        )
    if math.prod(pixels.shape) == 0:
        raise InputError(
            "image-empty", f"{name} has no pixels (shape {pixels.shape}); choose another image."
        )
    if pixels.ndim < 2:
        raise InputError(
            "image-axes-count",
            f"{name} has {pixels.ndim} axes; an image has at least two, Y and X.",
        )


def check_axes(axes: str, ndim: int, name: str) -> None:
    """Refuse letters that are not those of an image, or not one for each of its axes."""
    unknown = sorted(set(axes) - set(ORDER))
    if unknown or len(set(axes)) != len(axes) or not {"Y", "X"} <= set(axes):
        raise InputError(
            "axes-wrong",
            f"{name} has the axes {axes}; use each of the letters T, C, Z, Y, X at most once, "
            "with Y and X present, as in TYX.",
            axes=axes,
        )
    if len(axes) != ndim:
        raise InputError(
            "axes-wrong",
            f"{name} has {ndim} axes, but {axes} names {len(axes)}; name one letter for each.",
            axes=axes,
        )


def assumed_axes(pixels: Any, name: str, spatial: str = "YX") -> str:
    """Return the axes of an array that came without: those of `spatial`, time before them."""
    if pixels.ndim == 3 and pixels.shape[-1] in (3, 4) and min(pixels.shape[:2]) > 4:
        raise rgb_error(name)
    axes = f"T{spatial}"
    if not len(spatial) <= pixels.ndim <= len(axes):
        kinds = {
            "YX": "an image (Y, X) or frames (T, Y, X)",
            "ZYX": "a volume (Z, Y, X) or (T, Z, Y, X)",
        }
        raise InputError(
            "image-axes-count",
            f"{name} has {pixels.ndim} axes of shape {tuple(pixels.shape)}; give {kinds[spatial]}, "
            "or name the axes.",
        )
    return axes[-pixels.ndim :]


def rgb_error(name: str) -> InputError:
    """Return the refusal of a colour picture."""
    return InputError(
        "rgb-picture",
        f"{name} is an RGB picture, not camera counts; convert to one channel: in Fiji, "
        "Image > Color > Split Channels. Planes or frames that a program has saved as colours "
        "are to be saved again as grey ones (photometric minisblack in TIFF).",
    )
