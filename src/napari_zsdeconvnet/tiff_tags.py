"""What TIFF tags, ImageJ and OME metadata say of an image, and how ours is said in them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .errors import InputError
from .images import ORDER, Image, rgb_error
from .metadata import Recorded, micrometres_in, recorded

if TYPE_CHECKING:
    import tifffile

IMAGEJ_ORDER = "TZCYX"
"""The order in which ImageJ stores the axes."""

_LARGEST_PIXEL = 10.0  # micrometres; printing resolutions such as 72 dpi lie far above
_RESOLUTION_UNITS = {2: "inch", 3: "cm"}  # values of the TIFF tag ResolutionUnit


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
    if image.channel_names and "C" in image.axes:
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
    if image.channel_names and "C" in image.axes:
        metadata["Channel"] = {"Name": list(image.channel_names)}
    if image.frame_interval is not None and "T" in image.axes:
        metadata["TimeIncrement"] = image.frame_interval
        metadata["TimeIncrementUnit"] = "s"
    return metadata


def read_letters(axes: str, shape: tuple[int, ...], name: str) -> tuple[list[str], list[str]]:
    """Translate the letters of tifffile into ours; "" marks an axis of length one to drop."""
    letters: list[str] = []
    notes: list[str] = []
    for letter, length in zip(axes, shape, strict=True):
        if letter == "S" and length > 1:
            raise rgb_error(name)
        if letter in ORDER:
            letters.append(letter)
        elif length == 1:
            letters.append("")
        elif "T" in axes or "T" in letters:
            raise InputError(
                f'{name} has axes "{axes}" of shape {shape}, of which "{letter}" is not known; '
                "save it as an ImageJ hyperstack or OME-TIFF with T, C, Z, Y, X."
            )
        else:
            letters.append("T")
            notes.append(
                f"{name} does not say what its {length} pages are; they are taken as time."
            )
    return letters, notes


def read_voxel_size(
    tiff: tifffile.TiffFile, axes: list[str]
) -> tuple[tuple[float, ...] | None, list[str]]:
    """Find the voxel size in micrometres, or say why what the file has is not used."""
    if tiff.is_ome:
        sizes = _ome_sizes(tiff)
    elif tiff.is_imagej:
        metadata = tiff.imagej_metadata or {}
        sizes = _tag_sizes(tiff, str(metadata.get("unit", "")), metadata.get("spacing"))
    else:
        metadata = (tiff.shaped_metadata or ({},))[0]
        sizes = _tag_sizes(tiff, str(metadata.get("unit", "")), metadata.get("spacing"))
    lateral = [sizes.get("Y"), sizes.get("X")]
    if any(step is None for step in lateral):
        return None, []
    stated = f"the pixel size in the file, {lateral[1]:g} um,"
    if lateral == [1.0, 1.0]:
        return None, [f"{stated} is what is written when none is known; it is not used."]
    if any(not 0 < step <= _LARGEST_PIXEL for step in lateral if step is not None):
        return None, [f"{stated} cannot be that of a microscope; it is not used."]
    steps = [sizes.get(letter) for letter in axes if letter and letter in "ZYX"]
    known = [step for step in steps if step is not None and step > 0]
    if len(known) < len(steps):
        return None, [f"{stated} comes without the step between planes; it is not used."]
    if not math.isclose(known[-2], known[-1], rel_tol=1e-3):
        return tuple(known), [f"pixels are not square, {known[-2]:g} x {known[-1]:g} um (Y, X)."]
    return tuple(known), []


def _tag_sizes(tiff: tifffile.TiffFile, unit: str, spacing: Any) -> dict[str, float | None]:
    """Voxel size from the resolution tags, in the unit that the metadata or a tag names."""
    tags = tiff.pages.first.tags
    if not unit:
        tag = tags.get("ResolutionUnit")
        unit = _RESOLUTION_UNITS.get(int(tag.value) if tag else 1, "")
    scale = micrometres_in(unit)
    sizes: dict[str, float | None] = {}
    for letter in "YX":
        tag = tags.get(f"{letter}Resolution")
        if tag and scale and tag.value[0] and tag.value[1]:
            # A ratio of two integers: 9090909 / 10**6 pixels per micrometre means 0.11 um.
            sizes[letter] = float(f"{scale * tag.value[1] / tag.value[0]:.6g}")
    if spacing and scale:
        sizes["Z"] = scale * abs(float(spacing))
    return sizes


def _ome_sizes(tiff: tifffile.TiffFile) -> dict[str, float | None]:
    attributes = _ome_pixels(tiff)
    sizes: dict[str, float | None] = {}
    for letter in "ZYX":
        scale = micrometres_in(str(attributes.get(f"PhysicalSize{letter}Unit", "um")))
        if scale and f"PhysicalSize{letter}" in attributes:
            sizes[letter] = scale * float(attributes[f"PhysicalSize{letter}"])
    return sizes


def _ome_pixels(tiff: tifffile.TiffFile) -> dict[str, Any]:
    import tifffile

    image = tifffile.xml2dict(tiff.ome_metadata or "<OME/>").get("OME", {}).get("Image", {})
    first = image[0] if isinstance(image, list | tuple) else image
    pixels = first.get("Pixels", {}) if isinstance(first, dict) else {}
    return dict(pixels)


def read_names_and_interval(
    tiff: tifffile.TiffFile, axes: list[str]
) -> tuple[tuple[str, ...], float | None]:
    """Find the names of the channels and the seconds between frames, where the file has them."""
    names: list[Any] = []
    interval: Any = None
    if tiff.is_ome:
        attributes = _ome_pixels(tiff)
        channels = attributes.get("Channel", [])
        channels = channels if isinstance(channels, list | tuple) else [channels]
        names = [channel.get("Name", "") for channel in channels]
        if attributes.get("TimeIncrementUnit", "s") == "s":
            interval = attributes.get("TimeIncrement")
    elif tiff.is_imagej:
        metadata = tiff.imagej_metadata or {}
        names = list(metadata.get("Labels", []))[: int(metadata.get("channels", 0))]
        if metadata.get("tunit", "s") in ("s", "sec"):
            interval = metadata.get("finterval")
    channel_names = tuple(str(name) for name in names) if "C" in axes and all(names) else ()
    return channel_names, float(interval) if interval else None


def recorded_in(tiff: tifffile.TiffFile) -> Recorded:
    """Find what the metadata of a TIFF say of the optics and the channels."""
    if tiff.is_ome:
        return recorded(tiff.ome_metadata)
    # Bio-Formats leaves the original metadata there, a line for each entry.
    return recorded({"info": (tiff.imagej_metadata or {}).get("Info")})
