"""Boxes for maps of a camera's pixels: files or a dark stack, bad pixels, the part read out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np
from magicgui.types import FileDialogMode
from magicgui.widgets import CheckBox, FileEdit, SpinBox
from napari import layers
from napari.viewer import Viewer
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtWidgets import QWidget

from ...io.image_files import read_image
from ...noise.partial_maps import MapParts
from ...utils.errors import InputError
from ..layers.layer_axes import pixels_of
from ..layers.layers import METADATA_KEY, RULE_KEY, rule_of
from ..layers.state import ViewerState, unwrapped
from ..workers.connections import alive, follow
from ..workers.window_text import worded
from .forms import Form, note, say, stack

_FILES = (
    ("offset", "Offset", "the counts of each pixel without light"),
    ("gain", "Gain", "the counts per photoelectron of each pixel"),
    ("read_variance", "Read variance", "each pixel's variance without light"),
)


def map_boxes(suffix: str = "") -> dict[str, FileEdit]:
    """Make a box for the file of each map, by the names of `CameraMaps`."""
    return {
        name: FileEdit(
            label=f"{label}{suffix}",
            mode=FileDialogMode.EXISTING_FILE,
            filter="Images (*.tif *.tiff *.npy);;All files (*)",
            nullable=True,
            tooltip=f"Image with {what}, of the same pixels of the camera as the frames.",
        )
        for name, label, what in _FILES
    }


def chosen_path(box: FileEdit) -> Path | None:
    """Return the file that a box names; None where it names none."""
    path = box.value
    return path if isinstance(path, Path) and str(path) not in ("", ".") else None


class MapsForm(QWidget):
    """Maps, each of which may be missing, bad pixels, and where the region read out begins.

    A file prevails over what a dark stack has told. The map of bad pixels goes to the layers of
    the viewer that it fits, as part of their `PixelRule`.
    """

    changed = Signal()

    def __init__(self, viewer: Viewer, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = unwrapped(viewer)
        self._state = ViewerState.of(viewer)
        self._measured: dict[str, NDArray[np.float32]] = {}
        self._marked: WeakSet[layers.Image] = WeakSet()
        self.files = map_boxes(" map")
        self.bad_box = FileEdit(
            label="Bad pixels",
            mode=FileDialogMode.EXISTING_FILE,
            filter="Images (*.tif *.tiff *.mrc *.npy);;All files (*)",
            nullable=True,
            tooltip="Image of the camera's pixels, other than 0 where one is bad. Bad pixels are "
            "left out of calibration and training in every layer of this size.",
        )
        self.dark_box = CheckBox(
            label="",
            text="offset and read variance of each pixel, from the dark stack",
            value=True,
            visible=False,
            tooltip="Use what the dark stack tells of each pixel. Where a file is chosen it "
            "prevails. Maps need the gain: measure or type it, too.",
        )
        self.bad_note = note()
        self.row_box, self.column_box = (
            SpinBox(
                label=f"First {what}",
                min=0,
                max=100_000,
                tooltip=f"First {what} of the maps that was read out, counted from 0, where they "
                "are of the whole camera and the image is of a region of it.",
            )
            for what in ("row", "column")
        )
        boxes: tuple[Any, ...] = (
            *(self.dark_box, *self.files.values(), self.bad_box),
            *(self.row_box, self.column_box),
        )
        stack(self, Form(*boxes), self.bad_note)
        self.bad_note.setVisible(False)
        for box in boxes:
            box.changed.connect(self._on_changed)
        follow(self, self._viewer.layers.events.inserted, self._mark_bad_pixels)

    def parts(self, *, gain: bool = True) -> MapParts | None:
        """Return what is chosen or measured; None where no map is.

        Without the gain, what was measured in a dark stack is left out.
        """
        files: dict[str, Any] = {name: chosen_path(box) for name, box in self.files.items()}
        if self._measured and self.dark_box.value and (gain or files["gain"] is not None):
            files |= {name: files[name] or pixels for name, pixels in self._measured.items()}
        parts = MapParts(**files, start=self._start if any(self._start) else None)
        return parts if parts.names else None

    def measured(self, offset: NDArray[np.float32], read_variance: NDArray[np.float32]) -> None:
        """Take offset and read variance of each pixel from a dark stack, (Y, X) each."""
        self._measured = {"offset": offset, "read_variance": read_variance}
        self.dark_box.visible = True
        self.dark_box.value = True
        self._on_changed()

    @property
    def waits(self) -> bool:
        """Whether something was measured, which is used as soon as the gain is known."""
        return bool(self._measured)

    @property
    def _start(self) -> tuple[int, int]:
        return int(self.row_box.value), int(self.column_box.value)

    def _on_changed(self) -> None:
        self._mark_bad_pixels()
        self.changed.emit()

    def _mark_bad_pixels(self, _: Any = None) -> None:
        """Tell the layers of the map's size, or of the part read out, which pixels are bad."""
        if not alive(self):
            return
        path, said = chosen_path(self.bad_box), ""
        bad = None
        try:
            bad = None if path is None else read_bad_pixels(path)
        except InputError as error:
            said = f"⚠ {worded(error)}"
        taken = 0
        for layer in self._viewer.layers:
            if not isinstance(layer, layers.Image) or METADATA_KEY in layer.metadata or layer.rgb:
                continue
            part = None if bad is None else self._part(bad, pixels_of(layer).shape)
            taken += part is not None
            if part is None and layer not in self._marked:
                continue
            (self._marked.discard if part is None else self._marked.add)(layer)
            layer.metadata[RULE_KEY] = replace(rule_of(layer), bad_pixels=part)
            self._state.said_changed.emit(layer)
        if bad is not None:
            where = "no layer; check the first row and column" if not taken else f"{taken} layer"
            where += "s" * (taken > 1)
            said = (
                f"{np.count_nonzero(bad)} bad pixels of {bad.shape[0]} x {bad.shape[1]}: {where}."
            )
        say(self.bad_note, said)

    def _part(self, bad: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
        """Cut out what was read out for a layer of this shape; None where it does not fit."""
        row, column = self._start
        if bad.shape == tuple(shape[-2:]):
            return bad
        part = bad[row : row + shape[-2], column : column + shape[-1]]
        return part if any(self._start) and part.shape == tuple(shape[-2:]) else None


def read_bad_pixels(path: Path) -> NDArray[np.bool_]:
    """Read a map of bad pixels, (Y, X), True where it holds another number than 0.

    Raises InputError if it cannot be read or has other axes.
    """
    pixels = np.squeeze(np.asarray(read_image(path).data))
    if pixels.ndim != 2:
        raise InputError(
            "camera-maps-shape",
            f"{path.name} has the shape {pixels.shape}: give a map of the camera's pixels, (Y, X).",
        )
    return np.asarray(np.nan_to_num(pixels) != 0)
