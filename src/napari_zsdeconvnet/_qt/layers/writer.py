"""File > Save: a layer as OME-TIFF or OME-Zarr, with axes, sizes, frame interval and channel."""

from __future__ import annotations

from typing import Any

from napari.layers import Image as ImageLayer

from ...io.image_writing import write_image
from .layer_axes import layer_axes, layer_voxel_size, pixels_of
from .layers import CHANNEL_KEY

OME_FILES = ("OME-TIFF (*.ome.tif *.ome.tiff)", "OME-Zarr (*.ome.zarr)")
"""What a dialog offers that asks where to save a layer."""


def write_layer(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write an image layer; napari calls it for names that end in .ome.tif or .ome.zarr.

    Raises InputError if the layer is an RGB picture, its axes cannot be told, or the file cannot be
    written.
    """
    save_layer(ImageLayer(data, **attributes), path)
    return [path]


def save_layer(layer: ImageLayer, path: str) -> None:
    """Write an image layer with its axes, sizes, frame interval and channel name.

    Raises InputError as `write_layer`.
    """
    axes = layer_axes(layer)
    pixels = pixels_of(layer)
    name = str(layer.metadata.get(CHANNEL_KEY, ""))
    write_image(
        path,
        pixels,
        axes=axes,
        voxel_size=layer_voxel_size(layer, axes),
        frame_interval=frame_interval(layer, axes),
        channel_names=(name,) if name and "C" not in axes else (),
    )


def frame_interval(layer: ImageLayer, axes: str) -> float | None:
    """Return the seconds between the frames of a layer, None where its time is in no such unit."""
    if "T" not in axes:
        return None
    axis = axes.index("T")
    unit = 1 * layer.units[axis]
    if not unit.check("[time]"):
        return None
    return abs(float(layer.scale[axis])) * float(unit.to("second").magnitude)
