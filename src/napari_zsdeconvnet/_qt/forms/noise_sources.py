"""The buttons that measure the noise in an image, a time series or a dark stack."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QPushButton, QWidget

from .forms import button, in_row, note, say, stack

IMAGE, SERIES, DARK = "image", "series", "dark"

BUTTONS = {
    IMAGE: (
        "This image",
        "Measure the gain in the frame shown, or in planes all through the volume shown, from "
        "the noise beyond the optical cutoff (to about 25 %). Offset and read variance are "
        "measured as well where not known.",
    ),
    SERIES: (
        "Time series",
        "Measure the gain from the differences of consecutive frames, or volumes, of the "
        "chosen layer (to a few per cent from twenty frames).",
    ),
    DARK: (
        "Dark stack",
        "Take the chosen layer for frames, or planes, recorded without light, and measure "
        "offset and read variance in it.",
    ),
}


class NoiseSources(QWidget):
    """A button for each source of a calibration, one that cancels it, and what is under way."""

    asked = Signal(str)
    """Carries `IMAGE`, `SERIES` or `DARK`."""
    cancelled = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.buttons: dict[str, QPushButton] = {
            source: button(words, partial(self.asked.emit, source), purpose)
            for source, (words, purpose) in BUTTONS.items()
        }
        self.cancel_button = button(
            "Cancel", self.cancelled.emit, "End the measurement at once; nothing changes."
        )
        self.status = note()
        stack(self, in_row(*self.buttons.values(), self.cancel_button), self.status)
        self.say("")

    def say(self, words: str) -> None:
        """Say what is under way, or how it ended; nothing where the words are empty."""
        say(self.status, words)

    def offer(self, *, volume: bool, series: bool, busy: bool) -> None:
        """Enable what suits the layer, or only *Cancel* while a measurement is under way."""
        self.buttons[IMAGE].setText("This volume" if volume else "This image")
        for source, one in self.buttons.items():
            one.setEnabled(not busy and (series or source != SERIES))
        self.cancel_button.setEnabled(busy)
