"""Which layer holds raw SIM frames, how many make an image, and how large their pixels are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, SpinBox
from napari.layers import Image as ImageLayer
from napari.viewer import Viewer
from qtpy.QtWidgets import QWidget

from ...io.units import checked_length
from ...utils.errors import InputError
from ..layers.layer_axes import layer_voxel_size, pixels_of
from ..layers.raw_frames import RawFrames, raw_frames
from ..workers.connections import alive
from ..workers.window_text import NANOMETRES, worded
from .choosers import LayerChooser
from .forms import say
from .optics_boxes import optics_box

if TYPE_CHECKING:
    from ...sim.patterns import Order

ORDERS: list[tuple[str, Order | None]] = [
    ("automatic", None),
    ("orientation by orientation", "orientation"),
    ("phase by phase", "phase"),
]


class SIMChooser(LayerChooser):
    """A choice among the viewer's layers, and what is to be known of its frames."""

    def __init__(self, viewer: Viewer, *, owner: QWidget) -> None:
        super().__init__(
            viewer,
            "The layer with the raw frames of 2D-SIM, in camera counts: 9 for an image, or a time "
            "series of them.",
            label="Raw frames",
            owner=owner,
        )
        self._shown: ImageLayer | None = None
        self.frames: RawFrames | None = None
        self.order_box = ComboBox(
            label="Frame order",
            choices=ORDERS,
            tooltip="Orientation by orientation: frames 1, 2, 3 are the phases of one orientation. "
            "Phase by phase: frames 1, 4, 7 are. Automatic tries both.",
        )
        self.pixel_box = optics_box("pixel_size", absent="not known")
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
        self.pixel_box.changed.connect(self.changed.emit)
        self._watch(self.orientations_box, self.phases_box)

    @property
    def kind(self) -> str:
        """What is trained on, in the words of `presets_for`."""
        return "SIM"

    @property
    def pixel_size(self) -> float | None:
        """Micrometres, or None where not known."""
        return float(self.pixel_box.value) / NANOMETRES or None

    @property
    def reading(self) -> RawFrames | None:
        """How the frames make images, with the pixel size; None where they make none."""
        if self.frames is None or self.pixel_size is None:
            return self.frames
        return replace(self.frames, voxel_size=(self.pixel_size, self.pixel_size))

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
            checked_length(self.pixel_size, "The raw pixel")
        except InputError as error:
            return worded(error)
        return ""

    def _on_said(self, layer: ImageLayer) -> None:
        """Take in what its file says, which a worker has read."""
        if layer is self.layer and self.pixel_size is None:
            self._shown = None
        super()._on_said(layer)

    def _refresh(self, _: Any = None) -> None:
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
                size, self.problem = None, worded(error)
            if layer in self._state.unfit:
                self.frames, self.problem = None, self._state.unfit[layer]
            if layer is not self._shown:
                self._shown = layer
                with self.pixel_box.changed.blocked():
                    self.pixel_box.value = NANOMETRES * size[-1] if size else 0
        text = self.problem and f"⚠ {self.problem}"
        if layer is None:
            text = self.missing[:1].upper() + self.missing[1:]
        elif self.frames is not None:
            text = self.frames.words(layer)
        say(self.note, text)
        self.changed.emit()
