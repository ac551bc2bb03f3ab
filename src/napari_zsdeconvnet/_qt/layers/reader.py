"""File > Open: OME-Zarr as one multiscale layer for each channel, read where it is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.utils.notifications import show_warning

from ...io.acquisition import Recorded
from ...io.image import Image
from ...io.ome_zarr import read_pyramid
from ...io.selection import channel_count, one_of
from ...io.zarr_stores import name_of, names_zarr
from .channels import colours, optics_as_metadata
from .contrast import contrast_of, middle_plane
from .layers import ORIGIN_KEY
from .shown_pixels import ShownPixels

LayerData = tuple[list[Any], dict[str, Any], str]


def get_reader(path: Any) -> Callable[[str], list[LayerData]] | None:
    """Return what reads OME-Zarr; None for anything else. napari calls it with each path."""
    return read_layers if isinstance(path, str) and names_zarr(path) else None


def read_layers(path: str) -> list[LayerData]:
    """Make a layer of each channel, with scale, units, colour and contrast as the file says.

    Raises InputError if it cannot be read, or is a plate, of which one field has to be named.
    """
    levels = read_pyramid(path)
    for note in levels[0].notes:
        show_warning(note)
    return [_layer(path, levels, number) for number in range(channel_count(levels[0]))]


def _layer(path: str, levels: list[Image], number: int) -> LayerData:
    """Describe the layer of a channel."""
    images = [one_of(image, "C", number) for image in levels]
    finest = images[0]
    several = channel_count(levels[0]) > 1
    name = finest.channel_names[0] if finest.channel_names else ""
    name = name or (f"channel {number}" if several else "")
    said = Recorded(finest.optics, finest.channel_names)
    metadata = optics_as_metadata(said, 0, name) if name or finest.optics else {}
    if finest.origin is not None:
        metadata[ORIGIN_KEY] = finest.origin
    data: Any = [ShownPixels(image.data) for image in images]
    limits, _ = contrast_of(middle_plane(data[-1]))
    display = finest.display[0] if finest.display else None
    window = display.window if display else None
    attributes: dict[str, Any] = {
        "name": " ".join(part for part in (_stem(path), name if several else "") if part),
        "metadata": metadata,
        "multiscale": len(images) > 1,
        "contrast_limits": window or limits,
        "colormap": _colormap(display.colour) if display and display.colour else "gray",
        "blending": "additive" if several else "translucent_no_depth",
        **_place(finest),
    }
    if several and not (display and display.colour):
        attributes["colormap"] = colours(channel_count(levels[0]))[number]
    return data if len(data) > 1 else data[0], attributes, "image"


def _place(image: Image) -> dict[str, Any]:
    """Say in napari's words where the pixels lie."""
    steps = dict(zip("ZYX", image.steps, strict=True))
    begins = dict(zip("ZYX", image.position, strict=True))
    if image.frame_interval:
        steps["T"] = image.frame_interval
    units = {"T": "second"} if image.frame_interval else {}
    units |= {letter: "micrometer" for letter in "ZYX" if steps[letter]}
    return {
        "scale": tuple(steps.get(letter) or 1.0 for letter in image.axes),
        "translate": tuple(
            begins.get(letter, 0.0) if steps.get(letter) else 0.0 for letter in image.axes
        ),
        "units": tuple(units.get(letter, "pixel") for letter in image.axes),
        "axis_labels": tuple(image.axes.lower()),
    }


_NAMED = {
    "FFFFFF": "gray",
    "FF0000": "red",
    "00FF00": "green",
    "0000FF": "blue",
    "00FFFF": "cyan",
    "FF00FF": "magenta",
    "FFFF00": "yellow",
}
"""Colours that napari has a name for, so that they stand in its list."""


def _colormap(colour: str) -> str:
    return _NAMED.get(colour, f"#{colour}")


def _stem(path: str) -> str:
    """Return the name of a file without its endings."""
    name = name_of(path)
    for suffix in (".ozx", ".zip", ".zarr", ".ome"):
        name = name.removesuffix(suffix)
    return name
