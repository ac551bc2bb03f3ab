"""A dock widget with work under way: buttons that start and cancel it, progress and status."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from napari.viewer import Viewer
from qtpy.QtWidgets import QProgressBar, QVBoxLayout, QWidget

from ..workers.notifications import show_error, show_warning
from ..workers.window_text import worded
from ..workers.workers import Job
from .forms import advance, button, fill, in_row, note
from .panel import Panel

if TYPE_CHECKING:
    from ...inference.predict import TileProgress

CANCELLED = "Cancelled; nothing changed."


class ActionPanel(Panel):
    """Has a button for an action and one that cancels; a subclass lays out `action_rows`."""

    def __init__(self, viewer: Viewer, *, action: str, parent: QWidget | None = None) -> None:
        super().__init__(viewer, parent)
        self._job: Job[Any, Any] | None = None
        self.start_button = button(action, self._on_start)
        self.cancel_button = button("Cancel", self.cancel)
        self.progress_bar = QProgressBar()
        self.progress_bar.setRange(0, 1)
        self.progress_bar.setValue(0)
        self.progress_bar.setFormat("")
        self.status_label = note()
        self.buttons = in_row(self.start_button, self.cancel_button)
        self.action_rows = QVBoxLayout()
        fill(self.action_rows, self.buttons, self.progress_bar, self.status_label)

    @property
    def running(self) -> bool:
        """Whether work is under way."""
        return self._job is not None and self._job.running

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

    # ------------------------------------------------------------------ what is under way

    def _started(
        self, work: Generator[Any, Any, Any], title: str, **settings: Any
    ) -> Job[Any, Any]:
        """Start work in a worker; settings as for `Job`, by default with the handlers below."""
        usual = {"on_failure": self._on_failure, "on_end": self._on_end, "uses_torch": True}
        return Job(work, owner=self, title=title, **{**usual, **settings}).start()

    def _on_end(self) -> None:
        self._end_waiting()
        self._update_buttons()

    def _update_buttons(self) -> None:
        """Offer what can be done now."""
        raise NotImplementedError

    def _say(self, text: str) -> None:
        self.status_label.setText(text)

    def _begin_waiting(self, text: str) -> None:
        """Say what is under way before it can be told how long it takes."""
        self.progress_bar.setFormat("")
        self.progress_bar.setRange(0, 0)
        self._say(text)

    def _end_waiting(self) -> None:
        """Leave the bar as it is where it has shown how far the work came."""
        if self.progress_bar.maximum() == 0:
            self.progress_bar.setRange(0, 1)

    def _show_done(self, done: int, total: int, text: str = "") -> None:
        advance(self.progress_bar, done, total, text)

    def _show_tiles(self, values: Sequence[TileProgress]) -> None:
        """Show how far a prediction has come, and its warnings."""
        for value in values:
            if value.message:
                show_warning(value.message)
        self._show_parts(values[-1])

    def _show_parts(self, tiles: TileProgress) -> None:
        self._show_done(tiles.done, tiles.total, f"part {tiles.done} of {tiles.total}")

    def _show_share(self, share: float) -> None:
        self._show_done(round(1000 * share), 1000, f"{100 * share:.0f} %")

    def _on_failure(self, error: Exception) -> None:
        show_error(error)
        self._say(f"⚠ {worded(error)}")
