"""What files and readers say of the optics, in whatever words they say it.

Every format and every reader has names and nestings of its own: OME's XML and the objects and
dictionaries made of it, Nikon's structures, Zeiss' and Leica's XML, lines of text in ImageJ files.
So all of it is walked through, and what counts is a value that stands under a known name and is
plausible for a microscope. What is not found stays None: nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any, Literal
from xml.etree import ElementTree

import numpy as np

from .units import micrometres_in, number_in

Modality = Literal["widefield", "confocal", "light-sheet"]

_DEEPEST = 14
_MOST = 20_000  # values looked at; metadata may hold a log of every frame

_NA = {"lensna", "objectivena", "dobjectivena", "numericalaperture", "objectivenumericalaperture"}
_INDEX = {"refractiveindex", "immersionrefractiveindex", "refractionindex", "drefractiveindex"}
_IMMERSION = {"immersion", "immersionmedium", "medium"}
_EMISSION = {"emissionwavelength", "emissionlambdanm", "emwavelength"}
_EXCITATION = {"excitationwavelength", "excitationlambdanm", "exwavelength"}
_MODALITY = {"acquisitionmode", "modality", "modalityflags"}
_TEXTS = {"info", "originalmetadata"}  # of lines, name = value
_INDICES = {"oil": 1.515, "water": 1.333, "air": 1.0, "dry": 1.0, "glycerol": 1.47}


@dataclass(frozen=True)
class Optics:
    """What is known of the optics behind one channel; None where it is not.

    Attributes
    ----------
    na
        Numerical aperture of the objective.
    wavelength
        Of the emission, micrometres.
    refractive_index
        Of the immersion medium.
    excitation_wavelength
        Micrometres.
    modality
        How the microscope lights and looks, in the words of `PSF.simulate`.
    """

    na: float | None = None
    wavelength: float | None = None
    refractive_index: float | None = None
    excitation_wavelength: float | None = None
    modality: Modality | None = None


@dataclass(frozen=True)
class Recorded:
    """What metadata say of a recording.

    Attributes
    ----------
    channels
        The optics of each channel; one entry that holds for all where they are not told apart,
        none where nothing is said.
    channel_names
        Of all channels, or none.
    steps
        Micrometres along Z, Y, X, each None where it is not said.
    axes
        Letters of the axes as the file names them, in its order; empty where it does not.
    frame_interval
        Seconds between frames; None where it is not said.
    """

    channels: tuple[Optics, ...] = ()
    channel_names: tuple[str, ...] = ()
    steps: tuple[float | None, float | None, float | None] = (None, None, None)
    axes: str = ""
    frame_interval: float | None = None

    def optics(self, channel: int = 0) -> Optics:
        """Return what is known of a channel, counted from 0."""
        if len(self.channels) == 1:
            return self.channels[0]
        return self.channels[channel] if 0 <= channel < len(self.channels) else Optics()


def recorded(metadata: Any) -> Recorded:
    """Find what metadata say of the optics, the channels and the pixels.

    Parameters
    ----------
    metadata
        Dictionaries, lists, objects with attributes, XML as text or as elements, and text of
        ``name = value`` lines, nested as they please. Of several images the first is read.

    Returns
    -------
    Recorded
        With empty fields for whatever is not said or is impossible.
    """
    values = list(_walk(metadata))
    numbers = [value.channel for value in values if value.channel is not None]
    count = max(numbers, default=-1) + 1
    channels = tuple(_optics(values, index) for index in range(max(count, 1)))
    if len(set(channels)) == 1:
        channels = channels[:1] if channels[0] != Optics() else ()
    names = tuple(_channel_name(values, index) for index in range(count))
    return Recorded(channels, names if all(names) else (), _steps(values))


# What is found


def _optics(values: Sequence[_Value], channel: int) -> Optics:
    index = _first(values, channel, _INDEX, lambda value: _number(value, 1.0, 2.0))
    modality = _first(values, channel, _MODALITY, _modality)
    return Optics(
        na=_first(values, channel, _NA, lambda value: _number(value, 0.05, 1.7)),
        wavelength=_first(values, channel, _EMISSION, _wavelength),
        refractive_index=index or _first(values, channel, _IMMERSION, _index_of),
        excitation_wavelength=_first(values, channel, _EXCITATION, _wavelength),
        modality=modality,
    )


def _first(
    values: Sequence[_Value], channel: int, names: set[str], read: Callable[[Any], Any]
) -> Any:
    """Return the first plausible value of that name: the channel's own, else one for all."""
    for wanted in (channel, None):
        for value in values:
            if value.channel == wanted and value.name in names:
                found = read(value.content)
                if found is not None:
                    return found
    return None


def _number(value: Any, low: float, high: float) -> float | None:
    number = number_in((str(value).split() or [""])[0])
    return number if number is not None and low <= number <= high else None


def _wavelength(value: Any) -> float | None:
    """Return micrometres: nanometres, micrometres and metres cannot be taken for each other."""
    for scale in (1e-3, 1.0, 1e6):
        number = _number(value, 0.2 / scale, 2.0 / scale)
        if number is not None:
            return float(f"{number * scale:.6g}")
    return None


def _index_of(value: Any) -> float | None:
    word = re.sub(r"[^a-z]", "", str(value).lower())
    return next((index for medium, index in _INDICES.items() if word.startswith(medium)), None)


def _modality(value: Any) -> Modality | None:
    word = re.sub(r"[^a-z]", "", str(value).lower())
    if "confocal" in word or "laserscan" in word:
        return "confocal"
    if "sheet" in word or "spim" in word:
        return "light-sheet"
    return "widefield" if "widefield" in word else None


def _channel_name(values: Sequence[_Value], channel: int) -> str:
    for value in values:
        if value.channel == channel and value.name == "name" and value.parent == "channel":
            return str(value.content).strip()
    return ""


def _steps(values: Sequence[_Value]) -> tuple[float | None, float | None, float | None]:
    found: dict[str, float | None] = {}
    for value in values:
        if value.name.startswith("physicalsize") and value.name[-1:] in "zyx":
            unit = value.siblings.get(f"{value.name}unit", "um")
            scale = micrometres_in(str(getattr(unit, "value", unit)))
            number = _number(value.content, 1e-4, 1e4)
            if scale and number:
                found.setdefault(value.name[-1], scale * number)
        elif value.name == "axescalibration" and isinstance(value.content, list | tuple):
            for letter, number in zip("xyz", value.content, strict=False):
                found.setdefault(letter, _number(number, 1e-4, 1e4))
        elif value.parent == "distance" and value.name == "value":  # of Zeiss, in metres
            metres = _number(value.content, 1e-10, 1e-2)
            if metres:
                letter = str(value.siblings.get("id", "")).lower()
                found.setdefault(letter, float(f"{1e6 * metres:.6g}"))
    if (found.get("y"), found.get("x")) == (1, 1):  # what stands where nothing is known
        return None, None, None
    return found.get("z"), found.get("y"), found.get("x")


# How it is found


@dataclass(frozen=True)
class _Value:
    """One value in the metadata, with where it stands."""

    name: str
    content: Any
    parent: str
    channel: int | None
    siblings: Mapping[str, Any]


@dataclass(frozen=True)
class _Place:
    """Where the walk is: the name of what is entered, its channel, how deep, and inside what."""

    name: str = ""
    channel: int | None = None
    depth: int = 0
    within: frozenset[int] = frozenset()


def _walk(metadata: Any) -> Iterator[_Value]:
    for count, value in enumerate(_values(metadata, _Place())):
        if count >= _MOST:
            return
        yield value


def _values(node: Any, place: _Place) -> Iterator[_Value]:
    if place.depth > _DEEPEST or id(node) in place.within:
        return
    members = _members(node)
    within = place.within | {id(node)}
    plain = {name: child for name, child in members if _is_plain(child)}
    repeated: dict[str, int] = {}
    for name, child in members:
        number = repeated[name] = repeated.get(name, -1) + 1
        if name == "image" and number:
            continue  # of several images the first
        channel = place.channel
        if channel is None and name == "channel":
            channel = number
        match = re.fullmatch(r"(.+)#(\d+)", name)  # of Bio-Formats' lines: "LensNA #1"
        if match:
            name, number = match[1], int(match[2]) - 1
            channel = number if name in _EMISSION | _EXCITATION else channel
        if name in plain or match or _is_plain(child):
            yield _Value(name, _content(child), place.name, channel, plain)
        else:
            yield from _values(child, _Place(name, channel, place.depth + 1, within))


def _members(node: Any) -> list[tuple[str, Any]]:
    """List what is inside: pairs of a name without case, marks and plural, and what it names."""
    if isinstance(node, str):
        return _members_of_text(node)
    if isinstance(node, bytes):
        return _members_of_text(node.decode("utf-8", errors="replace"))
    pairs: list[tuple[str, Any]]
    if isinstance(node, Mapping):
        pairs = [(str(name), child) for name, child in node.items()]
    elif isinstance(node, list | tuple) and not hasattr(node, "_fields"):
        pairs = [("", child) for child in node]
    elif hasattr(node, "attrib") and hasattr(node, "tag"):  # XML, of whichever library
        pairs = [*node.attrib.items(), *((str(child.tag), child) for child in node)]
        text = (node.text or "").strip()
        if text and not len(node):
            pairs.append(("value", text))
    elif type(node).__module__.split(".")[0] in ("numpy", "dask", "xarray", "builtins"):
        pairs = []
    elif hasattr(node, "_asdict"):
        pairs = list(node._asdict().items())
    elif is_dataclass(node):
        pairs = [(field.name, getattr(node, field.name, None)) for field in fields(node)]
    else:
        pairs = [pair for pair in getattr(node, "__dict__", {}).items() if pair[0][:1] != "_"]
    named: list[tuple[str, Any]] = []
    for name, child in pairs:
        word = _normal(name)
        if _is_list_of_parts(child):  # "channels": [...] is read as a channel after the other
            named += [(_singular(word), one) for one in child]
        elif _is_leaf_element(child):
            named.append((word, child.text.strip()))
        elif _opens_as_xml(child) or (word in _TEXTS and isinstance(child, str)):
            named += _members_of_text(child)
        else:
            named.append((word, child))
    return named


def _members_of_text(text: str) -> list[tuple[str, Any]]:
    if _opens_as_xml(text):
        try:
            root = ElementTree.fromstring(text.strip())
        except ElementTree.ParseError:
            return []
        return [(_normal(root.tag), root)]
    lines = (line.partition("=") for line in text.splitlines()[:_MOST] if "=" in line)
    return [(_normal(name.split("|")[-1]), value.strip()) for name, _, value in lines]


def _normal(name: str) -> str:
    """Return a name in small letters, without a namespace and without marks between words."""
    return re.sub(r"[^a-z0-9#]", "", name.rpartition("}")[2].lower())


def _singular(word: str) -> str:
    return word.removesuffix("s") if word in ("channels", "images") else word


def _opens_as_xml(value: Any) -> bool:
    return isinstance(value, str) and value.lstrip()[:1] == "<" and ">" in value


def _is_list_of_parts(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and not any(map(_is_plain, value))


def _is_leaf_element(value: Any) -> bool:
    return (
        hasattr(value, "attrib")
        and hasattr(value, "text")
        and not len(value)
        and not value.attrib
        and bool((value.text or "").strip())
    )


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(isinstance(part, int | float | str) for part in value)
    if isinstance(value, str):
        return not _opens_as_xml(value)
    return isinstance(value, int | float | Enum | np.number)


def _content(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value
