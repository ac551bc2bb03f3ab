"""What the viewer knows of noise and PSF, with a way to where it is found out."""

from __future__ import annotations

from typing import Any

from napari.viewer import Viewer
from qtpy.QtWidgets import QGridLayout, QWidget

from ...modes.words import psf_words, sentence
from ..layers.state import ViewerState, unwrapped
from ..workers.connections import alive, follow
from .folded_note import FoldedNote
from .forms import button
from .navigation import open_widget


class Known(QWidget):
    """The noise and the PSF that training will use, or a button to get them."""

    def __init__(self, viewer: Viewer, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = unwrapped(viewer)
        self._state = ViewerState.of(viewer)
        self.noise_label, self.psf_label = FoldedNote(), FoldedNote()
        self.noise_button = button(
            "Calibrate…", lambda: self._open("Noise calibration"), "Open Noise calibration."
        )
        self.psf_button = button(
            "Get a PSF…",
            lambda: self._open("PSF"),
            "Open PSF: load it, simulate it or take it from beads.",
        )

        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setColumnStretch(0, 1)
        for row, (label, opens) in enumerate(
            ((self.noise_label, self.noise_button), (self.psf_label, self.psf_button))
        ):
            layout.addWidget(label, row, 0)
            layout.addWidget(opens, row, 1)

        follow(self, self._state.noise_changed, self.refresh)
        follow(self, self._state.maps_changed, self.refresh)
        follow(self, self._state.psf_changed, self.refresh)
        self.refresh()

    def refresh(self, _: Any = None) -> None:
        """Show what the state holds now."""
        if not alive(self):
            return
        noise, psf = self._state.noise, self._state.psf
        maps = "" if self._state.maps is None else f" With {self._state.maps.describe()}."
        self.noise_label.say(
            "Noise:",
            f"{noise.brief()}." if noise else "not known yet.",
            f"{sentence(noise.describe())}{maps}" if noise else "",
        )
        self.psf_label.say(
            "PSF:", psf_words(psf) if psf else "none yet.", psf.describe() if psf else ""
        )
        self.noise_button.setVisible(noise is None)
        self.psf_button.setVisible(psf is None)

    def _open(self, name: str) -> None:
        open_widget(self._viewer, name)
