"""A dock widget that has something done: a button, how far it is, what is said of it, a way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QProgressBar, QVBoxLayout, QWidget

from .forms import button, fill, in_row, note
from .panel import Panel

if TYPE_CHECKING:
    import napari.viewer


CANCELLED = "Cancelled; nothing changed."


class ActionPanel(Panel):
    """Has a button that starts and one that cancels; a subclass lays out `action_rows`.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer whose layers are offered and which shows the results.
    action : str
        What the button says.
    """

    def __init__(
        self, viewer: napari.viewer.Viewer, *, action: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(viewer, parent)
        self.start_button = button(action, self._on_start)
        self.cancel_button = button("Cancel", self.cancel)
        self.progress_bar = QProgressBar()
        self.progress_bar.setRange(0, 1)
        self.progress_bar.setFormat("")
        self.status_label = note()

        self.action_rows = QVBoxLayout()
        buttons = in_row(self.start_button, self.cancel_button)
        fill(self.action_rows, buttons, self.progress_bar, self.status_label)

    def start(self) -> None:
        """Have it done."""
        raise NotImplementedError

    def cancel(self) -> None:
        """End what is under way."""
        raise NotImplementedError

    def stop_work(self) -> None:
        """End what is under way, as the widget's own button does."""
        self.cancel()

    def _on_start(self) -> None:
        self.start()

    def _begin_waiting(self, text: str) -> None:
        """Say what is under way before it can be told how long it takes."""
        self.progress_bar.setRange(0, 0)
        self._say(text)

    def _say(self, text: str) -> None:
        self.status_label.setText(text)
