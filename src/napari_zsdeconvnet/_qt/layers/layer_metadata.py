"""What a layer says of its optics beside its scale: its metadata, and the file it came from."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from napari import layers

from ...io.acquisition import Optics, Recorded, recorded
from ...io.image_files import read_recorded
from .layers import ORIGIN_KEY


def recorded_of(layer: layers.Image) -> Recorded:
    """Read what a layer's reader left in its metadata, and where that is little, its file.

    napari's own reader drops all that a TIFF says. It may take a moment: not for the main thread.
    """
    left = recorded(layer.metadata)
    # What our reader and the splitting of channels make is of one channel, and says all of it.
    path = None if ORIGIN_KEY in layer.metadata else layer.source.path
    from_file = Recorded() if path is None else read_recorded(str(path))
    z, y, x = (a or b for a, b in zip(left.steps, from_file.steps, strict=True))
    return replace(
        from_file,
        channels=left.channels or from_file.channels,
        channel_names=left.channel_names or from_file.channel_names,
        steps=(z, y, x),
    )


def channel_of(layer: layers.Image, said: Recorded, channel: int | None = None) -> int | None:
    """Tell which channel of its file a layer is, None where that is not known.

    Of a layer that has several it is the one chosen.
    """
    if channel is not None:
        return channel
    if len(said.channel_names) == 1:
        return 0
    # Readers that make a layer of each channel name it after the channel, or end in its name.
    places = [
        index
        for index, name in enumerate(said.channel_names)
        if layer.name == name or layer.name.endswith((f" {name}", f":{name}", f"_{name}"))
    ]
    return places[0] if len(places) == 1 else None


def optics_of(said: Recorded, channel: int | None) -> Optics:
    """Return what holds for a channel; where it is not known which, what holds for all."""
    if channel is not None or len(said.channels) < 2:
        return said.optics(channel or 0)
    shared: dict[str, Any] = {
        field.name: getattr(said.channels[0], field.name)
        for field in fields(Optics)
        if len({getattr(optics, field.name) for optics in said.channels}) == 1
    }
    return Optics(**shared)


def channel_name(said: Recorded, channel: int | None) -> str:
    """Return the channel's name, empty where it has none."""
    names = said.channel_names
    return names[channel] if channel is not None and channel < len(names) else ""
