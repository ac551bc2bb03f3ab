"""The offer to go on with a training that broke off."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QWidget

from ..workers.checkpoints import Broken, all_broken_off, latest_broken
from ..workers.workers import in_background
from .forms import button, in_row, note, stack


class BrokenTraining(QWidget):
    """Says which training broke off, with a button that goes on and one that begins anew.

    Hidden while there is none. Trainings on raw SIM frames are apart from those on images.
    """

    continued = Signal()
    anew = Signal()

    def __init__(self, owner: QWidget, *, raw_sim: bool) -> None:
        super().__init__()
        self.found: Broken | None = None
        self.label = note()
        self.continue_button = button(
            "Continue", self.continued.emit, "Go on with the training that broke off."
        )
        self.anew_button = button(
            "Start anew",
            self.anew.emit,
            "Train from the first step with what is chosen here; what was learned is deleted.",
        )
        stack(self, self.label, in_row(self.continue_button, self.anew_button))
        self.hide()
        left = all_broken_off()
        if left:
            look = partial(latest_broken, left, raw_sim=raw_sim)
            title = "looking for trainings that broke off"
            in_background(owner, title, look, self._show, on_failure=None, aside=True)

    @property
    def path(self) -> Path | None:
        """The file of the training that is offered."""
        return None if self.found is None else self.found.path

    def _show(self, found: Broken | None) -> None:
        self.found = found
        if found is None:
            return
        where = f"after step {found.step} of {found.planned}"
        if found.complete:
            where = f"after its last step, {found.step}"
        self.label.setText(f"A training of {found.name} stopped {where}.")
        self.continue_button.setToolTip(
            "Take its model."
            if found.complete
            else f"Go on after step {found.step}, with the PSF, noise and settings it has."
        )
        self.show()

    def put_away(self, *, delete: bool = False) -> None:
        """Offer it no more, and delete its file where it is not wanted any more."""
        self.hide()
        if delete and self.path is not None:
            self.path.unlink(missing_ok=True)
        self.found = None
