"""Boxes for maps of a camera's pixels: their files, and the part of the chip that was read out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from magicgui.types import FileDialogMode
from magicgui.widgets import FileEdit, SpinBox
from psygnal import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from ..map_parts import MapParts
from ._forms import Form

_FILES = (
    ("offset", "Offset", "the counts of each pixel without light"),
    ("gain", "Gain", "the counts per photoelectron of each pixel"),
    ("read_variance", "Read variance", "each pixel's variance without light"),
)


def map_boxes(suffix: str = "") -> dict[str, FileEdit]:
    """Make a box for the file of each map, by the names of `CameraMaps`.

    Parameters
    ----------
    suffix
        What follows in their labels.
    """
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
    """Files of maps, each of which may be missing, and where the region that was read out begins.

    Parameters
    ----------
    parent : QWidget, optional
        The widget that holds this one.
    """

    changed = Signal()

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.files = map_boxes(" map")
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
        boxes: tuple[Any, ...] = (*self.files.values(), self.row_box, self.column_box)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(Form(*boxes))
        for box in boxes:
            box.changed.connect(self._on_changed)

    @property
    def parts(self) -> MapParts | None:
        """What is chosen; None where no map is."""
        files = {name: chosen_path(box) for name, box in self.files.items()}
        start = (int(self.row_box.value), int(self.column_box.value))
        parts = MapParts(**files, start=start if any(start) else None)
        return parts if parts.names else None

    def _on_changed(self) -> None:
        self.changed.emit()
