"""A layer read as raw SIM: how its frames make images."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from napari.layers import Image as ImageLayer
from numpy.typing import NDArray

from ...sim.frame_axes import frame_axes
from ...sim.frames import RAW_COUNTS
from ...utils.errors import InputError
from .layer_axes import Reading, pixels_of


@dataclass(frozen=True)
class RawFrames(Reading):
    """How the frames of a layer make images; the frames of an image are its channels, "C"."""

    voxel_size: tuple[float, ...] | None = field(default=None, compare=False)
    images: int = 1
    """How many there are."""
    per_image: int = 9
    """Frames that make one: orientations times phases."""
    order: tuple[int, ...] = ()
    """Axes before Y and X in the order of images and frames; empty where they have it already."""
    lengths: tuple[int, ...] = ()
    """How many images along each axis of the layer that has some, such as time and planes."""

    grid: ClassVar[int] = 2

    def pixels(self, layer: ImageLayer) -> tuple[Any, str]:
        """Read the frames, and give them their axes."""
        frames = self.of(layer)
        return frames, "TCYX"[-frames.ndim :]

    def of(self, layer: ImageLayer) -> NDArray[Any]:
        """Read the frames: (N, Y, X), or (T, N, Y, X) where they make several images."""
        pixels = np.asarray(pixels_of(layer))
        field = pixels.shape[-2:]
        if self.order:
            pixels = pixels.transpose(*self.order, -2, -1)
        if self.images == 1:
            return pixels.reshape(self.per_image, *field)
        return pixels.reshape(self.images, self.per_image, *field)

    def index(self, place: tuple[int, ...]) -> int | None:
        """Return which image lies at a place along the axes that hold some."""
        if len(self.lengths) > 1:
            return int(np.ravel_multi_index(place, self.lengths))
        return super().index(place)

    def placed(self, results: NDArray[Any]) -> NDArray[Any]:
        """Lay out what was made of each image, (N, Y, X), along the layer's own axes."""
        if self.images == 1 or len(self.lengths) < 2:
            return results
        return results.reshape(*self.lengths, *results.shape[-2:])

    def in_a_row(self, placed: NDArray[Any]) -> NDArray[Any]:
        """Undo `placed`."""
        return placed.reshape(-1, *placed.shape[-2:]) if len(self.lengths) > 1 else placed

    def words(self, layer: ImageLayer) -> str:
        """Say what the layer holds."""
        height, width = pixels_of(layer).shape[-2:]
        images = f"{self.images} images of " if self.images > 1 else ""
        return f"{images}{self.per_image} frames of {height} x {width}."


def raw_frames(
    layer: ImageLayer, orientations: int, phases: int, pixel_size: float | None = None
) -> RawFrames:
    """Read a layer as raw SIM, its pixel size in micrometres.

    Frames lie along the one axis or the pair of axes whose length fits, and images along another
    or one after the other along the same axis.

    Raises InputError if the layer is an RGB picture, or its frames make no whole number of images.
    """
    wanted, size = orientations * phases, None if pixel_size is None else (pixel_size, pixel_size)
    if layer.rgb:
        raise InputError(
            "layer-rgb", f"Layer {layer.name!r} is an RGB picture; open the raw frames."
        )
    *leading, _, _ = pixels_of(layer).shape
    total = math.prod(leading)
    if total == 1:
        raise InputError(
            "layer-one-image",
            f"Layer {layer.name!r} is one image; raw SIM has {wanted} frames for each. Use Train "
            "for one that is reconstructed.",
        )
    labels = [str(label).upper() for label in layer.axis_labels[:-2]]
    letters = "".join(labels) if all(label in ("T", "C", "Z") for label in labels) else ""
    found = frame_axes(leading, orientations, phases, letters=letters, name=f"Layer {layer.name!r}")
    if found is not None:
        axes = "".join("T" if axis in found.images else "C" for axis in range(len(leading)))
        lengths = tuple(leading[axis] for axis in found.images)
        return RawFrames(
            f"{axes}YX",
            size,
            images=math.prod(lengths),
            per_image=wanted,
            order=found.order,
            lengths=lengths,
        )
    if len(leading) == 1 and total % wanted == 0:
        return RawFrames("TYX", size, every=wanted, images=total // wanted, per_image=wanted)
    raise _no_whole_number(layer.name, leading, orientations, phases)


def _no_whole_number(name: str, leading: list[int], orientations: int, phases: int) -> InputError:
    """Say why frames make no images."""
    usual, as_usual = RAW_COUNTS.get(leading[-1]), ""
    if usual is not None:
        kind = "2D" if usual[1] == 3 else "3D"
        as_usual = (
            f"; {leading[-1]} is usual for raw {kind}-SIM of {usual[0]} orientations and "
            f"{usual[1]} phases"
        )
    elsewhere = ""
    if math.prod(leading) % 15 == 0:
        elsewhere = " (raw 3D-SIM is to be reconstructed elsewhere)"
    return InputError(
        "layer-frame-counts",
        f"Layer {name!r} has {' x '.join(map(str, leading))} frames, which make no whole "
        f"number of images of {orientations} orientations and {phases} phases{as_usual}: correct "
        f"the two under 'Known pattern values'{elsewhere}, or open a complete recording.",
    )
