"""Which layer holds raw SIM frames, how many make an image, and how large their pixels are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import ComboBox, SpinBox
from psygnal import Signal

from ...io.image import Image
from ...io.units import checked_length
from ...sim.frame_axes import frame_axes
from ...sim.frames import RAW_COUNTS
from ...utils.errors import InputError
from ..layers.layer_axes import Reading, layer_voxel_size, pixels_of
from ..layers.layer_files import LayerFiles
from ..layers.layers import origin_of
from ..layers.state import ViewerState, unwrapped
from ..workers.connections import alive, follow
from ..workers.window_text import NANOMETRES, in_window_words
from .choosers import image_layers
from .forms import note, number

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image as ImageLayer
    from numpy.typing import NDArray
    from qtpy.QtWidgets import QWidget

    from ...sim.patterns import Order

ORDERS: list[tuple[str, Order | None]] = [
    ("automatic", None),
    ("orientation by orientation", "orientation"),
    ("phase by phase", "phase"),
]


@dataclass(frozen=True)
class RawFrames:
    """How the frames of a layer make images."""

    axes: str
    """Letters for the axes of the layer; the frames of an image are its channels, "C"."""
    images: int
    """How many there are."""
    per_image: int
    """Frames that make one: orientations times phases."""
    every: int = 1
    """Frames along the layer's first axis for one image, where images follow each other there."""
    order: tuple[int, ...] = ()
    """Axes before Y and X in the order of images and frames; empty where they have it already."""
    lengths: tuple[int, ...] = ()
    """How many images along each axis of the layer that has some, such as time and planes."""

    @property
    def reading(self) -> Reading:
        """What places an image that was made from the layer."""
        return Reading(self.axes)

    def of(self, layer: ImageLayer) -> NDArray[Any]:
        """Read the frames: (N, Y, X), or (T, N, Y, X) where they make several images."""
        pixels = np.asarray(pixels_of(layer))
        field = pixels.shape[-2:]
        if self.order:
            pixels = pixels.transpose(*self.order, -2, -1)
        if self.images == 1:
            return pixels.reshape(self.per_image, *field)
        return pixels.reshape(self.images, self.per_image, *field)

    def placed(self, results: NDArray[Any]) -> NDArray[Any]:
        """Lay out what was made of each image, (N, Y, X), along the layer's own axes."""
        if self.images == 1 or len(self.lengths) < 2:
            return results
        return results.reshape(*self.lengths, *results.shape[-2:])

    def in_a_row(self, placed: NDArray[Any]) -> NDArray[Any]:
        """Undo `placed`."""
        return placed.reshape(-1, *placed.shape[-2:]) if len(self.lengths) > 1 else placed

    def image(self, layer: ImageLayer, pixel_size: float | None) -> Image:
        """Read the frames with what is known of them, their pixels in micrometres."""
        frames = self.of(layer)
        origin = origin_of(layer, self.reading)
        size = None if pixel_size is None else (pixel_size, pixel_size)
        return Image(frames, "TCYX"[-frames.ndim :], size, layer.name, origin=origin)


def raw_frames(layer: ImageLayer, orientations: int, phases: int) -> RawFrames:
    """Read a layer as raw SIM.

    Frames lie along the one axis or the pair of axes whose length fits, and images along another
    or one after the other along the same axis.

    Raises InputError if the layer is an RGB picture, or its frames make no whole number of images.
    """
    wanted = orientations * phases
    if layer.rgb:
        raise InputError(f"Layer {layer.name!r} is an RGB picture; open the raw frames.")
    *leading, _, _ = pixels_of(layer).shape
    total = math.prod(leading)
    if total == 1:
        raise InputError(
            f"Layer {layer.name!r} is one image, and raw SIM has {wanted} frames for each; if it "
            "was reconstructed already, work on it with Train and Deconvolve, else open the raw "
            "recording."
        )
    labels = [str(label).upper() for label in layer.axis_labels[:-2]]
    letters = "".join(labels) if all(label in ("T", "C", "Z") for label in labels) else ""
    found = frame_axes(leading, orientations, phases, letters=letters, name=f"Layer {layer.name!r}")
    if found is not None:
        axes = "".join("T" if axis in found.images else "C" for axis in range(len(leading)))
        lengths = tuple(leading[axis] for axis in found.images)
        return RawFrames(
            f"{axes}YX", math.prod(lengths), wanted, order=found.order, lengths=lengths
        )
    if len(leading) == 1 and total % wanted == 0:
        return RawFrames("TYX", total // wanted, wanted, every=wanted)
    usual = RAW_COUNTS.get(leading[-1])
    as_usual = ""
    if usual is not None:
        kind = "2D" if usual[1] == 3 else "3D"
        as_usual = (
            f"; {leading[-1]} is usual for raw {kind}-SIM of {usual[0]} orientations and "
            f"{usual[1]} phases"
        )
    elsewhere = " (raw 3D-SIM is to be reconstructed elsewhere)" if total % 15 == 0 else ""
    raise InputError(
        f"Layer {layer.name!r} has {' x '.join(map(str, leading))} frames, which make no whole "
        f"number of images of {orientations} orientations and {phases} phases{as_usual}: correct "
        f"the two under 'What is known'{elsewhere}, or open a complete recording."
    )


class SIMChooser:
    """A choice among the viewer's layers, and what is to be known of its frames."""

    changed = Signal()
    """Emitted when another layer is chosen or the same one is read otherwise."""

    def __init__(self, viewer: napari.viewer.Viewer, *, owner: QWidget) -> None:
        self._viewer = unwrapped(viewer)
        self._owner = owner
        self._shown: ImageLayer | None = None
        self.frames: RawFrames | None = None
        self.problem = ""
        self.layer_box = ComboBox(
            label="Raw frames",
            tooltip="The layer with the raw frames of 2D-SIM, in camera counts: 9 for an image, or "
            "a time series of them.",
            choices=lambda _: image_layers(self._viewer),
        )
        self.order_box = ComboBox(
            label="Their order",
            choices=ORDERS,
            tooltip="Orientation by orientation: frames 1, 2, 3 are the phases of one orientation. "
            "Phase by phase: frames 1, 4, 7 are. Automatic tries both.",
        )
        self.pixel_box = number(
            "Raw pixel",
            0,
            unit="nm",
            maximum=10_000,
            decimals=2,
            absent="not known",
            tooltip="Pixel size of the raw frames in the sample, in nanometres: the camera's pixel "
            "over the magnification. Taken from the layer's scale where it has one.",
        )
        self.orientations_box = SpinBox(
            label="Orientations", value=3, min=1, max=9, tooltip="Of the fringes; 3 is usual."
        )
        self.phases_box = SpinBox(
            label="Phases",
            value=3,
            min=3,
            max=15,
            tooltip="Positions of the fringes for each orientation; 3 is usual.",
        )
        self.note = note()
        self.layer_box.changed.connect(self.refresh)
        self.orientations_box.changed.connect(self.refresh)
        self.phases_box.changed.connect(self.refresh)
        self.pixel_box.changed.connect(self.changed.emit)
        active = self._viewer.layers.selection.active
        if active in self.layer_box.choices:
            self.layer_box.value = active
        self._state = ViewerState.of(viewer)
        self._files = LayerFiles(viewer, owner=owner)
        follow(owner, self._state.said_changed, self._on_said)
        self.refresh()

    @property
    def layer(self) -> ImageLayer | None:
        """The chosen layer, or None where there is none to choose."""
        return self.layer_box.value

    @layer.setter
    def layer(self, layer: ImageLayer) -> None:
        self.layer_box.value = layer

    @property
    def pixel_size(self) -> float | None:
        """Micrometres, or None where not known."""
        return float(self.pixel_box.value) / NANOMETRES or None

    @property
    def field(self) -> tuple[int, int] | None:
        """Rows and columns of a frame."""
        if self.layer is None or self.frames is None:
            return None
        height, width = pixels_of(self.layer).shape[-2:]
        return int(height), int(width)

    @property
    def missing(self) -> str:
        """What is to be said before the frames can be used; empty if nothing."""
        if self.layer is None:
            return "there are no raw frames; open a recording or a sample (File > Open Sample)."
        if self.problem:
            return self.problem
        if self.pixel_size is None:
            return "the pixel size is not known; type it (Raw pixel)."
        try:
            checked_length(self.pixel_size, "the raw pixel")
        except InputError as error:
            return in_window_words(str(error))
        return ""

    def reset_choices(self) -> None:
        """Offer the layers that the viewer holds now."""
        self.layer_box.reset_choices()
        self._files.look()
        self.refresh()

    def _on_said(self, layer: ImageLayer) -> None:
        """Take in what its file says, which a worker has read."""
        if alive(self._owner) and layer is self.layer:
            self._shown = None if self.pixel_size is None else self._shown
            self.refresh()

    def refresh(self, _: Any = None) -> None:
        """Take in what the layer says now."""
        if not alive(self._owner):
            return
        layer, self.frames, self.problem = self.layer, None, ""
        if layer is not None:
            try:
                self.frames = raw_frames(
                    layer, int(self.orientations_box.value), int(self.phases_box.value)
                )
                size = layer_voxel_size(layer, self.frames.axes)
            except InputError as error:
                size, self.problem = None, in_window_words(str(error))
            if layer in self._state.unfit:
                self.frames, self.problem = None, self._state.unfit[layer]
            if layer is not self._shown:
                self._shown = layer
                with self.pixel_box.changed.blocked():
                    self.pixel_box.value = NANOMETRES * size[-1] if size else 0
        self._say()
        self.changed.emit()

    def _say(self) -> None:
        text = self.problem and f"⚠ {self.problem}"
        if self.frames is not None and self.field is not None:
            images = f"{self.frames.images} images of " if self.frames.images > 1 else ""
            text = f"{images}{self.frames.per_image} frames of {self.field[0]} x {self.field[1]}."
        self.note.setText(text)
        self.note.setVisible(bool(text))
