"""A layer with channels becomes one layer for each: what napari, the queue and users work with."""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer
from napari.viewer import Viewer

from ...io.image import Image
from ...quality.chromatic_shift import channel_shifts
from ...utils.errors import InputError
from ..workers.window_text import NANOMETRES
from .contrast import contrast_of, middle_plane
from .layer_axes import Reading, channels, pixels_of
from .layer_metadata import channel_name, optics_of, recorded_of
from .layers import ORIGIN_KEY, RULE_KEY, origin_of, placement, rule_of

if TYPE_CHECKING:
    from ...io.acquisition import Recorded

COLOURS = {1: ("gray",), 2: ("green", "magenta")}
MORE_COLOURS = ("cyan", "magenta", "yellow", "blue", "green", "red")
"""As napari colours the channels of an image that it splits."""


def said_of_channels(layer: ImageLayer, reading: Reading) -> tuple[Recorded, str]:
    """Read what a file says of the channels of a layer, and measure how they are shifted.

    The second is a sentence for each channel but the first. It may take some seconds.
    """
    said = recorded_of(layer)
    size = reading.voxel_size or (None, None)
    image = Image(
        pixels_of(layer),
        reading.axes,
        channel_names=said.channel_names,
        steps=(size[0] if len(size) == 3 else None, size[-2], size[-1]),
    )
    try:
        shifts = channel_shifts(image)
    except InputError:  # a part that cannot be read is said where it is deconvolved
        shifts = ()
    return said, "\n".join(shift.sentence for shift in shifts)


def split_channels(
    viewer: Viewer, layer: ImageLayer, reading: Reading, said: Recorded
) -> list[ImageLayer]:
    """Add a layer for each channel of a layer, and hide that one; no pixel is copied.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Holds the layer.
    layer : napari.layers.Image
        With channels.
    reading : Reading
        How it is read, with an axis C.
    said : Recorded
        What its file says, by channel.

    Returns
    -------
    list of napari.layers.Image
        Each with the name and the optics of its channel, with the file that it is from, and with
        the contrast of its own pixels.
    """
    count = channels(layer, reading.axes)
    made = []
    for number in range(count):
        one = replace(reading, channel=number)
        pixels, axes = one.pixels(layer)
        name = channel_name(said, number) or f"channel {number}"
        metadata: dict[str, Any] = {
            **optics_as_metadata(said, number, name),
            RULE_KEY: rule_of(layer),
        }
        origin = origin_of(layer, one)
        if origin is not None:
            metadata[ORIGIN_KEY] = origin
        place = placement(layer, len(axes), axes=reading.axes)
        limits, span = contrast_of(middle_plane(pixels))
        new = ImageLayer(
            pixels,
            name=f"{layer.name} {name}",
            metadata=metadata,
            colormap=colours(count)[number],
            blending="additive",
            contrast_limits=limits,
            **place | {"axis_labels": tuple(axes.lower())},
        )
        new.contrast_limits_range = span
        made.append(viewer.add_layer(new))
    layer.visible = False
    return made


def colours(count: int) -> tuple[str, ...]:
    """Name the colormaps of so many channels."""
    return COLOURS.get(count) or tuple(islice(cycle(MORE_COLOURS), count))


def has_channels(layer: ImageLayer | None, reading: Reading | None) -> bool:
    """Tell whether there is anything to split."""
    if layer is None or reading is None:
        return False
    return "C" in reading.axes and channels(layer, reading.axes) > 1


def optics_as_metadata(said: Recorded, number: int, name: str) -> dict[str, Any]:
    """Say the optics of a channel as `acquisition.recorded` reads them."""
    optics = optics_of(said, number)

    def in_nanometres(length: float | None) -> float | None:
        return None if length is None else NANOMETRES * length

    channel = {
        "Name": name,
        "LensNA": optics.na,
        "EmissionWavelength": in_nanometres(optics.wavelength),
        "ExcitationWavelength": in_nanometres(optics.excitation_wavelength),
        "RefractiveIndex": optics.refractive_index,
        "AcquisitionMode": optics.modality,
    }
    return {"Channel": {word: value for word, value in channel.items() if value is not None}}
