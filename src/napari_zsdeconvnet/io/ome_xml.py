"""What OME-XML says of an image, and of the files that belong to a set."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from .units import number_in, seconds_in

_EVEN = 0.1  # of the interval, by which a frame may come earlier or later


@dataclass(frozen=True)
class OMEPixels:
    """The pixels of an image as the XML has them, in text.

    Attributes
    ----------
    attributes
        Sizes, physical sizes and the time increment.
    channels, planes
        Attributes of each channel, and of each plane.
    """

    attributes: Mapping[str, str]
    channels: Sequence[Mapping[str, str]] = ()
    planes: Sequence[Mapping[str, str]] = ()


def first_pixels(xml: str | None) -> OMEPixels:
    """Return the pixels of the first image; empty where there are none.

    Numbers stay text: of "0,05" and of a channel named "01" nothing else keeps all.
    """
    for element in _elements(xml, "Pixels"):
        inside = [(_name(child), child.attrib) for child in element]
        return OMEPixels(
            element.attrib,
            [attributes for name, attributes in inside if name == "Channel"],
            [attributes for name, attributes in inside if name == "Plane"],
        )
    return OMEPixels({})


def of_image(xml: str, number: int) -> str:
    """Return the XML with one image alone, counted from 0, and all that images share."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return xml
    for place, image in enumerate([child for child in root if _name(child) == "Image"]):
        if place != number:
            root.remove(image)
    return ElementTree.tostring(root, encoding="unicode")


def interval_of_planes(pixels: OMEPixels) -> tuple[float | None, str]:
    """Find the interval between frames from the times at which the planes were taken.

    Returns
    -------
    seconds, note
        None where there are no such times, or where they lie unevenly, which the note says.
    """
    times: dict[int, float] = {}
    for plane in pixels.planes:
        place = [number_in(plane.get(name)) for name in ("TheT", "TheC", "TheZ")]
        taken = number_in(plane.get("DeltaT"))
        unit = seconds_in(plane.get("DeltaTUnit", "s"))
        if place[0] is not None and place[1:] == [0, 0] and taken is not None and unit:
            times[int(place[0])] = taken * unit
    steps = [times[n + 1] - times[n] for n in sorted(times) if n + 1 in times]
    if len(times) < 2 or not steps or not any(steps):
        return None, ""
    usual = statistics.median(steps)
    if usual <= 0 or any(abs(step - usual) > _EVEN * usual for step in steps):
        return None, (
            f"its frames lie unevenly in time, {min(steps):.4g} to {max(steps):.4g} s apart, so "
            "that no frame interval is kept."
        )
    return float(f"{sum(steps) / len(steps):.6g}"), ""


def files_of_set(xml: str | None) -> list[str]:
    """List the names of the files that hold the planes."""
    return [element.get("FileName", "") for element in _elements(xml, "UUID")]


def companion_of(xml: str | None) -> str:
    """Return the name of the file that holds the metadata of a set, empty where it is this one."""
    found = [element.get("MetadataFile", "") for element in _elements(xml, "BinaryOnly")]
    return found[0] if found else ""


def _elements(xml: str | None, name: str) -> list[ElementTree.Element]:
    try:
        root = ElementTree.fromstring(xml or "<OME/>")
    except ElementTree.ParseError:
        return []
    return [element for element in root.iter() if _name(element) == name]


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
