from __future__ import annotations

import pytest

from napari_zsdeconvnet.io.units import is_no_unit, micrometres_in, number_in, seconds_in

MICRO = "\N{MICRO SIGN}m"
MU = "\N{GREEK SMALL LETTER MU}m"
TWICE = MICRO.encode().decode("latin-1").encode().decode("cp1252")


@pytest.mark.parametrize(
    "unit",
    [
        *("um", "micron", "Microns", "micrometer", "micrometers", "micrometre", "'um'", '"micron"'),
        *(MICRO, MU, "\\u00B5m", "\\u00b5m", "&micro;m", "&#181;m"),
        *(MICRO.encode().decode("latin-1"), MU.encode().decode("cp1252"), TWICE),
        *("\N{REPLACEMENT CHARACTER}m", "?m"),
    ],
)
def test_micrometres_are_known_however_they_were_written_and_misread(unit: str):
    assert micrometres_in(unit) == 1


@pytest.mark.parametrize(
    ("unit", "micrometres"),
    [
        *(("nm", 1e-3), ("nanometers", 1e-3), ("mm", 1e3), ("cm", 1e4), ("m", 1e6)),
        *(("inch", 25400), ('"', 25400), ("Angstrom", 1e-4), ("\N{ANGSTROM SIGN}", 1e-4)),
        ("\N{LATIN CAPITAL LETTER A WITH RING ABOVE}".encode().decode("cp1252"), 1e-4),
    ],
)
def test_other_lengths(unit: str, micrometres: float):
    assert micrometres_in(unit) == pytest.approx(micrometres)


def test_what_is_no_length_is_none():
    for unit in ("pixel", "pixels", "", "s", "furlong", "dm?"):
        assert micrometres_in(unit) is None
    assert is_no_unit(" Pixel ")
    assert not is_no_unit("furlong")


def test_times():
    words = {"ms": 1e-3, "sec": 1, "s": 1, "min": 60, "Hours": 3600, MICRO[0] + "s": 1e-6}
    for unit, seconds in words.items():
        assert seconds_in(unit) == pytest.approx(seconds)
    assert seconds_in("fortnight") is None


@pytest.mark.parametrize(
    ("text", "number"),
    [("0,3", 0.3), (" 0.3 ", 0.3), ("1,234.5", 1234.5), (2, 2.0), ("1e-1", 0.1)],
)
def test_numbers(text: object, number: float):
    assert number_in(text) == number


@pytest.mark.parametrize("text", ["", "abc", None, "nan", "inf", "0,3,4", (1, 2), b"x"])
def test_what_is_no_number_is_none(text: object):
    assert number_in(text) is None
