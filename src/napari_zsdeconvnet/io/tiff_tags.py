"""What TIFF tags, ImageJ and OME metadata say of an image, and how ours is said in them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..utils.errors import InputError
from .acquisition import Recorded, recorded
from .axes import ORDER, Note, rgb_error
from .grid import nanometres
from .image import Image
from .ome_xml import first_pixels, interval_of_planes
from .tiff_vendors import said_by_vendor
from .units import (
    LARGEST_PIXEL,
    LARGEST_STEP,
    SMALLEST_PIXEL,
    is_no_unit,
    micrometres_in,
    number_in,
    seconds_in,
)

if TYPE_CHECKING:
    import tifffile

IMAGEJ_ORDER = "TZCYX"
"""The order in which ImageJ stores the axes."""

Steps = tuple[float | None, float | None, float | None]
"""Micrometres along Z, Y, X, each None where it is not known."""

_COLOURED = {2, 5, 6, 8}  # values of the tag PhotometricInterpretation: RGB, CMYK, YCbCr, CIELab
_OTHER_AXES = {
    "R": "positions",
    "A": "angles",
    "P": "phases",
    "H": "lifetimes",
    "E": "wavelengths",
    "L": "exposures",
    "M": "tiles of a mosaic",
    "V": "events",
}
_FALLING = 0.2  # of a table of colours; one for intensities rises nearly everywhere

_RESOLUTION_UNITS = {2: "inch", 3: "cm", 4: "mm", 5: "um"}  # values of the TIFF tag ResolutionUnit


def options_for(image: Image, *, ome: bool) -> dict[str, Any]:
    """Return what `tifffile.imwrite` must be told of an image: its metadata and its tags."""
    options: dict[str, Any] = {
        "ome": ome,
        "imagej": not ome,
        "byteorder": "<",  # that of today's machines, so that the file can be mapped as it is
        "photometric": "minisblack",
        "metadata": _ome_metadata(image) if ome else _imagej_metadata(image),
    }
    if image.voxel_size is not None:
        # ImageJ counts pixels per its own unit; OME readers look at the XML and fall back on
        # pixels per centimetre.
        per_unit = 1e4 if ome else 1.0
        step_y, step_x = image.voxel_size[-2:]
        options["resolution"] = (per_unit / step_x, per_unit / step_y)
        options["resolutionunit"] = "CENTIMETER" if ome else "NONE"
    return options


def _imagej_metadata(image: Image) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "axes": "".join(letter for letter in IMAGEJ_ORDER if letter in image.axes)
    }
    if image.voxel_size is not None:
        metadata["unit"] = "um"
        if "Z" in image.axes:
            metadata["spacing"] = image.voxel_size[0]
    if image.channel_names:
        planes = [image.data.shape[image.axes.index(a)] for a in "TZ" if a in image.axes]
        metadata["Labels"] = list(image.channel_names) * math.prod(planes)
    if image.frame_interval is not None and "T" in image.axes:
        metadata["finterval"] = image.frame_interval
        metadata["tunit"] = "s"
    return metadata


def _ome_metadata(image: Image) -> dict[str, Any]:
    metadata: dict[str, Any] = {"axes": "".join(letter for letter in ORDER if letter in image.axes)}
    if image.voxel_size is not None:
        spatial = [letter for letter in image.axes if letter in "ZYX"]
        for letter, step in zip(spatial, image.voxel_size, strict=True):
            metadata[f"PhysicalSize{letter}"] = step
            metadata[f"PhysicalSize{letter}Unit"] = "µm"
    if image.channel_names:
        metadata["Channel"] = {"Name": list(image.channel_names)}
    if image.frame_interval is not None and "T" in image.axes:
        metadata["TimeIncrement"] = image.frame_interval
        metadata["TimeIncrementUnit"] = "s"
    return metadata


def read_letters(
    axes: str, shape: tuple[int, ...], name: str, *, unnamed: str = "T", coloured: bool = True
) -> tuple[list[str], str, list[str]]:
    """Translate the letters of tifffile into ours.

    Parameters
    ----------
    axes, shape
        As tifffile has them.
    name
        Of the file, for messages.
    unnamed
        The letter for pages of which nothing is said: "T", or "Z" where there is a step.
    coloured
        Whether the samples of a pixel are colours; otherwise they are channels.

    Returns
    -------
    letters, guessed, notes
        "" marks an axis of length one to drop; `guessed` are the letters that the file does
        not name.
    """
    letters: list[str] = []
    notes: list[str] = []
    guessed = ""
    for letter, length in zip(axes, shape, strict=True):
        if letter == "S" and length > 1 and (coloured or "C" in axes):
            raise rgb_error(name)
        if letter == "S" and length > 1:
            letters.append("C")
        elif letter in ORDER:
            letters.append(letter)
        elif length == 1:
            letters.append("")
        elif letter == "P" and "A" in axes and "C" not in axes:
            letters.append("C")  # of raw SIM, whose angles are the other axis
            notes.append(f"{name}: its {length} phases are taken as channels.")
        elif guessed or unnamed in axes:
            raise InputError(
                "axes-unknown",
                f"{name} has the axes {axes} of shape {shape}, of which {letter} is not known; "
                "save it as an ImageJ hyperstack or OME-TIFF with T, C, Z, Y, X.",
                axes=axes,
            )
        else:
            letters.append(unnamed)
            guessed += unnamed
            code = "pages-as-time" if unnamed == "T" else ""
            notes.append(Note(_guess_words(name, letter, length, unnamed), code))
    return letters, guessed, notes


def _guess_words(name: str, letter: str, length: int, unnamed: str) -> str:
    taken = "time" if unnamed == "T" else "planes, as it says the step between them"
    if letter in _OTHER_AXES:
        return f"{name}: its {length} {_OTHER_AXES[letter]} are taken as {taken}."
    return f"{name} does not say what its {length} pages are; they are taken as {taken}."


def is_coloured(page: Any) -> bool:
    """Tell whether the samples of a page's pixels are colours, and not channels."""
    return int(page.photometric) in _COLOURED


def read_meaning(page: Any) -> list[str]:
    """Say where a page's pixels may be no intensities that rise with the light."""
    if int(page.photometric) == 0 and page.dtype.kind != "b":
        return [
            "its tags say that white is zero; the values are taken as they are, so invert them "
            "if structure is dark in them."
        ]
    table = getattr(page, "colormap", None)
    if int(page.photometric) != 3 or table is None:
        return []
    brightness = np.asarray(table, dtype=float)[:3].T @ (0.3, 0.59, 0.11)
    steps = np.diff(brightness)
    if np.count_nonzero(steps < 0) <= _FALLING * len(steps):
        return []
    return [
        "its pixels point into a table of colours, whose brightness does not rise with them; they "
        "are taken as they are, so check that they are intensities and no numbers of colours."
    ]


def read_steps(tiff: tifffile.TiffFile) -> tuple[Steps, list[str]]:
    """Find the sizes along Z, Y, X, each on its own, and say why what the file has is not used."""
    if tiff.is_ome:
        sizes, notes = _ome_sizes(tiff)
    else:
        metadata = tiff.imagej_metadata if tiff.is_imagej else (tiff.shaped_metadata or ({},))[0]
        sizes, notes = _tag_sizes(tiff, metadata or {})
        own = said_by_vendor(tiff).sizes
        sizes = {**own, **{letter: size for letter, size in sizes.items() if size}}
    if (sizes.get("Y"), sizes.get("X")) == (1.0, 1.0):
        notes.append(
            "the pixel size in the file, 1 µm, is what is written when none is known; it is not "
            "used."
        )
        sizes = {"Z": sizes["Z"]} if sizes.get("Z") not in (None, 1.0) else {}
    steps, impossible = possible_steps(sizes)
    return steps, [*notes, *impossible]


def possible_steps(sizes: dict[str, float | None]) -> tuple[Steps, list[str]]:
    """Return micrometres along Z, Y, X without those that no microscope has, and say which."""
    sizes, notes = dict(sizes), []
    for letter, largest in (("Z", LARGEST_STEP), ("Y", LARGEST_PIXEL), ("X", LARGEST_PIXEL)):
        size = sizes.get(letter)
        if size is not None and not SMALLEST_PIXEL <= size <= largest:
            what = "step between planes" if letter == "Z" else f"pixel size along {letter}"
            notes.append(
                f"the {what} in the file, {size:g} µm, cannot be that of a microscope; "
                "it is not used."
            )
            sizes[letter] = None
    y, x = sizes.get("Y"), sizes.get("X")
    if y and x and not math.isclose(y, x, rel_tol=1e-3):
        notes.append(f"pixels are not square, {nanometres((y, x))} (Y, X).")
    return (sizes.get("Z"), y, x), notes


def voxel_size_of(steps: Steps, axes: str) -> tuple[tuple[float, ...] | None, list[str]]:
    """Return the voxel size for these axes, None where one step is missing, and say which."""
    wanted = steps if "Z" in axes else steps[1:]
    known = tuple(step for step in wanted if step is not None)
    if len(known) == len(wanted):
        return known, []
    z, y, x = steps
    pixel = y or x
    if y and x:
        fact = f"it says a pixel size of {nanometres((x,))} and not the step between planes"
        return None, [Note(f"{fact}; give that step.", "step-missing")]
    if pixel:
        along = f"{nanometres((pixel,))} along {'Y' if y else 'X'}"
        return None, [f"it says {along} alone; give the pixel size."]
    if z and "Z" in axes:
        return None, [
            f"it says a step of {nanometres((z,))} between planes and no pixel size; give that."
        ]
    return None, []


def _tag_sizes(
    tiff: tifffile.TiffFile, metadata: Mapping[str, Any]
) -> tuple[dict[str, float | None], list[str]]:
    """Find sizes in the resolution tags, in the unit that the metadata or a tag names.

    ImageJ names a unit of Y and of Z where they are not that of X.
    """
    tags = tiff.pages.first.tags
    unit = str(metadata.get("unit", ""))
    if not unit:
        tag = tags.get("ResolutionUnit")
        unit = _RESOLUTION_UNITS.get(int(number_in(tag.value) or 1) if tag else 1, "")
    sizes: dict[str, float | None] = {}
    notes: list[str] = []
    for letter in "XYZ":
        own = str(metadata.get(f"{letter.lower()}unit", "")) or unit
        if letter == "Z":
            said = metadata.get("spacing")
            size = None if said is None else number_in(said)
            size = None if size is None else abs(size)
        else:
            tag = tags.get(f"{letter}Resolution")
            said = None if tag is None else tag.value
            size = _inverse(said)
        scale = micrometres_in(own)
        if said is None or is_no_unit(own):
            continue
        if scale is None or not size:
            notes.append(_unreadable(letter, said, own))
        else:
            # A ratio of two integers: 9090909 / 10**6 pixels per micrometre means 0.11 um.
            sizes[letter] = float(f"{scale * size:.6g}")
    return sizes, list(dict.fromkeys(notes))


def _inverse(resolution: Any) -> float | None:
    """Return the length of a pixel from pixels per length: a ratio, a number, or text of one."""
    if isinstance(resolution, tuple | list):
        if len(resolution) < 2:
            resolution = resolution[0] if resolution else None
        else:
            over, under = number_in(resolution[0]), number_in(resolution[1])
            return under / over if over and under and under / over > 0 else None
    number = number_in(resolution)
    return 1 / number if number and number > 0 else None


def _unreadable(letter: str, said: Any, unit: str) -> str:
    what = "step between planes" if letter == "Z" else f"pixel size along {letter}"
    if micrometres_in(unit) is None:
        return f"the {what} is in {unit!r}, which is no length that is known; it is not used."
    return f"the {what} cannot be read from {said!r}; it is taken as not known."


def _ome_sizes(tiff: tifffile.TiffFile) -> tuple[dict[str, float | None], list[str]]:
    attributes = first_pixels(tiff.ome_metadata).attributes
    sizes: dict[str, float | None] = {}
    notes: list[str] = []
    for letter in "XYZ":
        said = attributes.get(f"PhysicalSize{letter}")
        unit = str(attributes.get(f"PhysicalSize{letter}Unit", "um"))
        size, scale = number_in(said), micrometres_in(unit)
        size = abs(size) if size and letter == "Z" else size  # from the last plane to the first
        if said is None or is_no_unit(unit):
            continue
        if scale is None or not size or size < 0:
            notes.append(_unreadable(letter, said, unit))
        else:
            sizes[letter] = float(f"{scale * size:.9g}")
    return sizes, notes


def read_channel_names(tiff: tifffile.TiffFile, axes: str) -> tuple[str, ...]:
    """Find the names of the channels: as many as there are, or none."""
    names: list[Any] = []
    if tiff.is_ome:
        names = [channel.get("Name", "") for channel in first_pixels(tiff.ome_metadata).channels]
    elif tiff.is_imagej:
        metadata = tiff.imagej_metadata or {}
        labels = metadata.get("Labels", [])
        labels = [labels] if isinstance(labels, str) else list(labels)
        if "C" in axes:
            names = labels[: int(metadata.get("channels", 0))]
        elif len(set(labels)) == 1 and not set("./:") & set(str(labels[0])):
            names = labels[:1]  # one for all planes that is no name of a file
    names = names if any(names) else list(said_by_vendor(tiff).channel_names)
    if "C" not in axes and len(names) > 1:
        return ()
    return tuple(str(name) for name in names) if all(names) else ()


def read_interval(tiff: tifffile.TiffFile) -> tuple[float | None, list[str]]:
    """Find the seconds between frames, and say where what the file has is not used."""
    if tiff.is_ome:
        pixels = first_pixels(tiff.ome_metadata)
        metadata: Mapping[str, Any] = pixels.attributes
        said, unit = metadata.get("TimeIncrement"), metadata.get("TimeIncrementUnit", "s")
        if said is None or number_in(said) == 0:
            interval, note = interval_of_planes(pixels)
            return interval, [note] if note else []
    else:
        metadata = (tiff.imagej_metadata if tiff.is_imagej else None) or {}
        said, unit = metadata.get("finterval"), metadata.get("tunit", "s")
        if said is None or number_in(said) == 0:
            return said_by_vendor(tiff).interval, []
    interval, seconds = number_in(said), seconds_in(str(unit))
    if interval is None or interval < 0 or seconds is None:
        return None, [f"the frame interval cannot be read from {said!r} {unit}; it is not used."]
    return float(f"{interval * seconds:.9g}"), []


def recorded_in(tiff: tifffile.TiffFile) -> Recorded:
    """Find what the metadata of a TIFF say of the optics and the channels."""
    if tiff.is_ome:
        return recorded(tiff.ome_metadata)
    # Bio-Formats leaves the original metadata there, a line for each entry.
    return recorded({"info": (tiff.imagej_metadata or {}).get("Info")})
