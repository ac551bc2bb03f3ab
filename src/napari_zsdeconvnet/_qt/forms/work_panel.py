"""A dock widget that has one piece of work at a time done on an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer
from napari.viewer import Viewer
from qtpy.QtWidgets import QWidget

from ...utils.errors import InputError
from ..workers.connections import alive
from ..workers.notifications import show_error
from .action_panel import CANCELLED, ActionPanel
from .choosers import ImageChooser
from .forms import Form, offer

if TYPE_CHECKING:
    from ..workers.workers import Job


class WorkPanel(ActionPanel):
    """Chooses an image and has one piece of work at a time done on it in a worker.

    The action is what the button says, and the purpose what it does. A subclass fills `form`, lays
    out `action_rows`, says in `_missing` what is needed first, and begins the work in `_begin`.
    """

    def __init__(
        self,
        viewer: Viewer,
        *,
        action: str,
        image: str,
        purpose: str,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(viewer, action=action, parent=parent)
        self._purpose = purpose

        self.image = ImageChooser(self._viewer, image, owner=self)
        self.form = Form()
        self.form.add_image(self.image)
        self.cancel_button.setToolTip("Stop at once; nothing is added.")

    def start(self, layer: ImageLayer | None = None) -> None:
        """Have the work done on the chosen layer, or on the one given."""
        if layer is not None:
            self.image.layer = layer
        problem = "work is under way; cancel it first." if self.running else self._missing()
        if problem:
            show_error(problem)
            return
        try:
            self._job = self._begin()
        except InputError as error:
            self._on_failure(error)
            return
        self._begin_waiting("Preparing…")
        self._update_buttons()

    def cancel(self) -> None:
        """Give up the work under way."""
        if self._job is not None and self.running:
            self._job.stop()
            self._say(CANCELLED)
            self.cancel_button.setEnabled(False)

    def reset_choices(self, _: Any = None) -> None:
        """Offer the layers that the viewer holds now; napari calls it when they change."""
        if alive(self):
            self.image.reset_choices()
            self._refresh()

    # ------------------------------------------------------------------ for subclasses

    def _missing(self) -> str:
        """Say what is needed before work can start; empty if nothing."""
        raise NotImplementedError

    def _begin(self) -> Job[Any, Any]:
        """Start the work on the chosen layer, once nothing is missing."""
        raise NotImplementedError

    def _report(self, text: str) -> None:
        """Say what is under way, unless it was cancelled."""
        if self.cancel_button.isEnabled():
            self._say(text)

    def _refresh(self, _: Any = None) -> None:
        """Show what the viewer knows now."""
        if alive(self):
            self._update_buttons()

    def _update_buttons(self) -> None:
        missing = self._missing()
        offer(self.start_button, missing, self._purpose, free=not self.running)
        self.cancel_button.setEnabled(self.running)
        self.form.setEnabled(not self.running)
