"""Sizes that a TIFF declares, held against its bytes before anything is allocated for them."""

from __future__ import annotations

import lzma
import math
import re
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from ..utils.memory import in_bytes

if TYPE_CHECKING:
    import tifffile

_DEFLATE, _LZMA = (8, 32946, 50013), 34925  # values of the TIFF tag Compression
_MOST_EXPANDED = {
    1: 1,  # not compressed
    5: 2600,  # LZW: 3837 equal bytes by one code of 12 bits
    32773: 64,  # PackBits: 128 bytes by two
    _LZMA: 2**14,
    **dict.fromkeys(_DEFLATE, 1032),  # 258 bytes by two bits
}
"""Bytes that come of a stored one at most, by kind of compression."""

_HARMLESS = 2**28  # bytes; so much is decoded without asking further
_BLANK = 100  # noise, which is in every recording, lets nothing shrink so far
_AT_ONCE = 2**20  # bytes; so much is decoded at a time where it is counted only
_MOST_PLANES = 2**22  # of an OME image; each takes a place in a list before it is looked for
_OME_SIZE = re.compile(r'\bSize([TCZYX])\s*=\s*"\s*(\d+)\s*"')


def lost_metadata(xml: str | None) -> str:
    """Tell why OME metadata cannot be used, empty where they can, or where there are none.

    Raises
    ------
    ValueError
        If they declare more planes than any file has.
    """
    if not xml:
        return ""
    _check_planes(xml)
    try:
        tree = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        return f"they are no XML ({error})"
    for pixels in tree.iter():
        if pixels.tag.rpartition("}")[2] != "Pixels":
            continue
        for letter in "TCZYX":
            size = pixels.get(f"Size{letter}", "")
            if not size.strip().isdecimal() or int(size) < 1:
                return f"Size{letter} is {size[:40]!r}"
    return ""


def _check_planes(xml: str | None) -> None:
    for pixels in (xml or "").split("<Pixels")[1:]:
        sizes = {
            letter: int(number[:30])
            for letter, number in _OME_SIZE.findall(pixels[: pixels.find(">")])
        }
        planes = math.prod(sizes.get(letter, 1) for letter in "TCZ")
        if planes > _MOST_PLANES:
            raise ValueError(f"its OME metadata declare {planes:.3g} planes")


def check_series(series: tifffile.TiffPageSeries) -> None:
    """Refuse a series whose pages declare more than their bytes can hold, by a ValueError.

    Nothing of it is decoded.
    """
    stored = 0
    for page in series.pages:
        if page is not None:
            stored += check_page(page)
    _check_blank(series.nbytes, stored, "its pixels")


def check_page(page: Any) -> int:
    """Refuse a page that declares more than its bytes can hold; gives their number."""
    key = page.keyframe
    ends = (a + b for a, b in zip(page.dataoffsets, page.databytecounts, strict=True))
    if max(ends, default=0) > page.parent.filehandle.size:  # of a set, each has a file
        raise ValueError("the file is shorter than its header says")
    stored: int = sum(page.databytecounts)
    bits = key.bitspersample
    bits = max(bits) if isinstance(bits, Sequence) else bits
    declared = math.prod(key.shaped) * bits // 8
    factor = _MOST_EXPANDED.get(key.compression)
    if factor is not None and declared > factor * stored:
        raise ValueError(
            f"a page declares {in_bytes(declared)} and {in_bytes(stored)} in the file cannot "
            "hold them"
        )
    _check_blank(declared, stored, "a page")
    if not key.is_contiguous and len(page.dataoffsets) < math.prod(key.chunked):
        raise ValueError(
            f"a page has {math.prod(key.chunked):.3g} strips or tiles, and the places of "
            f"{len(page.dataoffsets)} are given"
        )
    return stored


def _check_blank(declared: int, stored: int, what: str) -> None:
    if declared > max(_HARMLESS, _BLANK * stored):
        raise ValueError(
            f"{what} would grow from {in_bytes(stored)} to {in_bytes(declared)}, as no "
            "recording does"
        )


def check_expansion(page: Any) -> None:
    """Refuse a page with a strip or tile that expands to more than it declares, by a ValueError.

    tifffile by itself decodes all that is there. `check_page` has found the page's sizes sound; its
    file is open.
    """
    key = page.keyframe
    expected = min(math.prod(key.chunks), math.prod(key.shaped)) * key.dtype.itemsize
    if key.compression not in (*_DEFLATE, _LZMA):
        return  # imagecodecs decodes all others, into room of the size that is declared
    for place, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        if count * _MOST_EXPANDED[key.compression] > max(_HARMLESS, expected):
            _decode_within(page.parent.filehandle, place, count, expected, key.compression)


def _decode_within(file: Any, place: int, count: int, expected: int, compression: int) -> None:
    """Count what a strip or tile expands to, a little at a time, and stop where it is too much."""
    with file.lock:
        file.seek(place)
        stored = file.read(count)
    decoder: Any = zlib.decompressobj() if compression in _DEFLATE else lzma.LZMADecompressor()
    grown, rest = 0, stored
    while not decoder.eof:
        part = decoder.decompress(rest, _AT_ONCE)
        rest = decoder.unconsumed_tail if compression in _DEFLATE else b""
        grown += len(part)
        if grown > expected:
            raise ValueError(f"a strip or tile of {in_bytes(expected)} expands to more than that")
        if not part and not rest:
            return
