"""Numbers, lengths and times as programs write them, and which of them a microscope can have."""

from __future__ import annotations

import html
import math
import re
import unicodedata
from typing import Any

from ..utils.errors import InputError

SMALLEST_PIXEL = 0.005
"""Micrometres across the field; no camera image of light is sampled finer."""
LARGEST_PIXEL = 20.0
"""Micrometres across the field; printing resolutions such as 72 dpi lie far above."""
LARGEST_STEP = 20.0
"""Micrometres between planes."""
PIXEL_SIZE_TOLERANCE = 0.05
"""Relative difference up to which two pixel sizes are the same."""

_MICROMETRES = {
    **dict.fromkeys(("um", "micron", "microns", "micrometer", "micrometre", "mikron"), 1.0),
    **dict.fromkeys(("micrometers", "micrometres", "mikrometer", "mum"), 1.0),
    **dict.fromkeys(("a", "angstrom", "angstroms", "angstroem"), 1e-4),
    **dict.fromkeys(("pm", "picometer", "picometre", "picometers", "picometres"), 1e-6),
    **dict.fromkeys(("nm", "nanometer", "nanometre", "nanometers", "nanometres"), 1e-3),
    **dict.fromkeys(("mm", "millimeter", "millimetre", "millimeters", "millimetres"), 1e3),
    **dict.fromkeys(("cm", "centimeter", "centimetre", "centimeters", "centimetres"), 1e4),
    **dict.fromkeys(("m", "meter", "metre", "meters", "metres"), 1e6),
    **dict.fromkeys(("in", "inch", "inches", '"'), 25400.0),
}
_SECONDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "msecs", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "usec", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("ns", "nsec", "nanosecond", "nanoseconds"), 1e-9),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}
_NO_LENGTHS = {"", "pixel", "pixels", "px", "none", "unknown", "referenceframe"}


def checked_length(
    length: float, name: str, smallest: float = SMALLEST_PIXEL, largest: float = LARGEST_PIXEL
) -> float:
    """Give a length in micrometres back, unless no microscope has it.

    Parameters
    ----------
    length
        Micrometres, as typed.
    name
        What messages call it, with a capital letter.
    smallest, largest
        Between which it lies.

    Raises
    ------
    InputError
        With what was probably meant, where nanometres or metres were typed, or micrometres for
        nanometres.
    """
    if smallest <= length <= largest:
        return length
    meant = next(
        (length * scale for scale in (1e-3, 1e3, 1e6) if smallest <= length * scale <= largest),
        None,
    )
    remedy = (
        f"it lies between {in_both_units(smallest)} and {in_both_units(largest)}."
        if meant is None
        else f"did you mean {in_both_units(meant)}?"
    )
    raise InputError(
        "length-out-of-range",
        f"{name} is {in_both_units(length)}; {remedy}",
        length=length,
        meant=meant,
        limits=(smallest, largest),
    )


def in_both_units(length: float) -> str:
    """Say a length in micrometres, which Python and the shell take, and in nanometres."""
    return f"{length:.6g} µm ({1000 * length:.6g} nm)"


def number_in(value: Any) -> float | None:
    """Return a finite number, also one with a decimal comma; None for anything else."""
    if isinstance(value, str):
        text = value.strip()
        # A comma before a point divides thousands, and one alone divides decimals.
        value = text.replace(",", "" if "." in text else ".")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def micrometres_in(unit: str) -> float | None:
    """Return how many micrometres a unit is, None for what is no length.

    Known are the names of lengths in singular and plural, and the micro sign and the ring of
    the Angstrom as Unicode, escapes and bytes that were read in a wrong encoding have them.
    """
    return _MICROMETRES.get(_plain(unit))


def seconds_in(unit: str) -> float | None:
    """Return how many seconds a unit is, None for what is no time."""
    return _SECONDS.get(_plain(unit))


def is_no_unit(unit: str) -> bool:
    """Tell whether a unit says that nothing is known, such as "pixel"."""
    return _plain(unit) in _NO_LENGTHS


def _plain(unit: str) -> str:
    """Return a unit in small letters, with u for micro and a for Angstrom."""
    text = html.unescape(unit.strip())
    text = text.strip("'\" ") or text
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), text)
    for _ in range(2):  # some programs read wrongly what another had read wrongly
        text = _read_rightly(text)
    text = unicodedata.normalize("NFKC", text).replace(
        "\N{LATIN CAPITAL LETTER A WITH RING ABOVE}", "A"
    )
    # What was lost in between is the micro sign: the other letters before m are plain.
    text = re.sub("^[\N{GREEK SMALL LETTER MU}\N{REPLACEMENT CHARACTER}?]+", "u", text)
    return re.sub(r"[\s_.-]", "", text.lower())


def _read_rightly(text: str) -> str:
    """Undo that bytes of UTF-8 were read as those of Latin letters."""
    for encoding in ("cp1252", "latin-1"):
        try:
            return text.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
    return text
