"""The camera of the SIM window: measured, calibrated, typed, or from maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox
from napari.viewer import Viewer
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtWidgets import QWidget

from ...io.image import Image
from ...modes.words import sentence
from ...noise.camera_maps import CameraMaps
from ...noise.noise_model import NoiseModel
from ...utils.errors import InputError
from ..layers.state import ViewerState
from ..workers.connections import alive, follow
from .camera_maps import chosen_path, map_boxes
from .folded_note import FoldedNote
from .forms import Form, stack
from .noise_values import NoiseValues

if TYPE_CHECKING:
    Camera = NoiseModel | CameraMaps
    CameraMaker = Callable[[NDArray[Any], float], Camera]
    """Takes the frames of one image and the cutoff of the optics in cycles per pixel."""

MEASURED, CALIBRATED, TYPED, MAPS = "measured", "calibrated", "typed", "maps"
_CHOICES = [
    ("measured in these frames", MEASURED),
    ("calibrated (Noise calibration)", CALIBRATED),
    ("typed here", TYPED),
    ("maps from files", MAPS),
]


class CameraForm(QWidget):
    """Where offset, gain and read variance come from, and what that takes.

    The choice itself, `source`, is for the form of the widget that holds this one.
    """

    changed = Signal()

    def __init__(self, viewer: Viewer, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._state = ViewerState.of(viewer)
        self.source = ComboBox(
            label="Camera",
            choices=_CHOICES,
            tooltip="Where offset, gain and read variance come from. Measured: from the darkest "
            "part of the frames and from noise beyond what the optics pass.",
        )
        self.values = NoiseValues()
        self.files = map_boxes()
        self.maps = Form(*self.files.values())
        self.known = FoldedNote()
        stack(self, self.values, self.maps, self.known)
        self.source.changed.connect(self._show)
        self.values.typed.connect(self.changed.emit)
        for box in self.files.values():
            box.changed.connect(self.changed.emit)
        follow(self, self._state.noise_changed, self._on_noise)
        self._on_noise(self._state.noise)

    @property
    def missing(self) -> str:
        """What is still to be given; empty if nothing."""
        source = self.source.value
        if source == CALIBRATED and self._state.noise is None:
            return "the noise is not known; calibrate it (Noise calibration), or choose Camera."
        if source == TYPED and not self.values.complete:
            return "offset and read variance of the camera are not known; type them."
        if source == MAPS and not all(map(chosen_path, self.files.values())):
            return "the camera needs three maps; choose their files."
        return ""

    def maker(self) -> CameraMaker:
        """Return what makes the camera in a worker, as it is chosen now.

        Raises InputError if something is still to be given.
        """
        if self.missing:
            raise InputError("optics-incomplete", self.missing)
        if self.source.value == MEASURED:
            return lambda frames, cutoff: NoiseModel.from_image(
                Image(frames, "TYX"), cutoff=min(cutoff, 0.5)
            )
        if self.source.value == MAPS:
            paths = {name: str(chosen_path(box)) for name, box in self.files.items()}
            return lambda frames, cutoff: CameraMaps.read(**paths)
        noise = self._state.noise if self.source.value == CALIBRATED else self.values.model()
        assert noise is not None
        return lambda frames, cutoff: noise

    def _on_noise(self, noise: NoiseModel | None) -> None:
        if not alive(self):
            return
        if noise is not None and self.source.value == MEASURED:
            self.source.value = CALIBRATED
        self._show()

    def _show(self, _: Any = None) -> None:
        source, noise = self.source.value, self._state.noise
        self.values.setVisible(source == TYPED)
        self.maps.setVisible(source == MAPS)
        self.known.setVisible(source == CALIBRATED)
        if noise is None:
            self.known.say("", "Not calibrated yet.")
        else:
            self.known.say("", f"{sentence(noise.brief())}.", noise.describe())
        self.changed.emit()
