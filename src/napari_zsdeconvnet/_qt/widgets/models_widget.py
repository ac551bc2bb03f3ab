"""The dock widget *Models*: what is in the folder of models, to load, rename and delete."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QGridLayout,
    QHeaderView,
    QInputDialog,
    QMessageBox,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from ...model import store
from ...utils.errors import InputError
from ..forms.forms import button, fill, note, offer, tip
from ..forms.kept_models import keep_in, read_model
from ..forms.panel import Panel
from ..workers import preferences
from ..workers.connections import alive, follow
from ..workers.notifications import errors_shown, show_error, show_info
from ..workers.workers import Job, in_background

if TYPE_CHECKING:
    import napari.viewer

    from ...model.model import Model
    from ...model.store import Kept

COLUMNS = ("Name", "Date", "Trained on", "Pixel", "PSF")
_WIDE = (0, 2, 4)
"""Columns that take the room that there is."""
_KEPT = Qt.ItemDataRole.UserRole


class ModelsWidget(Panel):
    """Lists the models in the folder of the preferences."""

    title = "Models"

    def __init__(self, viewer: napari.viewer.Viewer, *, parent: QWidget | None = None) -> None:
        super().__init__(viewer, parent)
        self._job: Job[Any, Any] | None = None
        self._wanted: Path | None = None
        self._again = False
        self._build()
        self._lay_out()
        follow(self, self._state.model_changed, self._on_model)
        self.refresh()

    def _build(self) -> None:
        self.folder_label = note()
        self.list = QTreeWidget()
        self.list.setHeaderLabels(COLUMNS)
        self.list.setRootIsDecorated(False)
        self.list.setSortingEnabled(True)
        self.list.sortByColumn(1, Qt.SortOrder.DescendingOrder)
        self.list.setMinimumHeight(140)
        header = self.list.header()
        if header is not None:
            header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            for column in _WIDE:  # what does not fit is in the tooltip
                header.setSectionResizeMode(column, QHeaderView.ResizeMode.Stretch)
            header.setStretchLastSection(False)  # which would keep its usual width
            header.setMinimumSectionSize(40)
        self.list.itemSelectionChanged.connect(self._on_selection)
        self.list.itemDoubleClicked.connect(lambda *_: self.load())
        self.details = note()
        self.load_button = button(
            "Load", self.load, "Take the model for Apply model, Deconvolve… and Queue."
        )
        self.rename_button = button("Rename…", self._on_rename, "Name the file of the model anew.")
        self.delete_button = button(
            "Delete…", self._on_delete, "Delete the file of the model, after a question."
        )
        self.keep_button = button("Keep current…", self._on_keep)
        self.refresh_button = button("Refresh", self.refresh, "Look again what is in the folder.")

    def _lay_out(self) -> None:
        buttons = QGridLayout()
        for place, one in enumerate(
            (self.load_button, self.rename_button, self.delete_button, self.keep_button)
        ):
            buttons.addWidget(one, *divmod(place, 2))
        buttons.addWidget(self.refresh_button, 2, 0, 1, 2)
        fill(self.body, self.folder_label, self.list, self.details, buttons)
        self.body.setStretchFactor(self.list, 1)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Look again: models may have come and the preferences changed meanwhile."""
        super().showEvent(event)
        self.refresh()

    # ------------------------------------------------------------------ actions

    @property
    def folder(self) -> Path:
        """Whose models are listed."""
        return preferences.models_home()

    @property
    def running(self) -> bool:
        """Whether anything is under way."""
        return self._job is not None and self._job.running

    @property
    def selected(self) -> Kept | None:
        """The model that is selected, or None."""
        items = self.list.selectedItems()
        return items[0].data(0, _KEPT) if items else None

    def select(self, path: Path) -> None:
        """Select the model of a file."""
        for row in range(self.list.topLevelItemCount()):
            item = self.list.topLevelItem(row)
            if item is not None and item.data(0, _KEPT).path == path:
                self.list.setCurrentItem(item)

    def refresh(self) -> None:
        """List what is in the folder now."""
        if self.running:
            self._again = True
            return
        kept = self.selected
        if self._wanted is None and kept is not None:
            self._wanted = kept.path
        look = partial(store.kept_models, self.folder)
        self._start("looking into a folder", look, self._show, aside=True)

    def load(self) -> None:
        """Read the selected model and share it with the other widgets."""
        kept = self.selected
        if kept is None or self.running:
            show_error("select a model first." if kept is None else "a model is being read.")
            return
        read = partial(read_model, kept.path)
        self._start("loading a model", read, self._on_loaded, uses_torch=True)

    def rename(self, name: str) -> None:
        """Give the selected model's file another name."""
        self._change(lambda path: store.rename(path, name))

    def delete(self) -> None:
        """Delete the selected model's file."""
        self._change(store.delete)

    @errors_shown
    def _change(self, change: Callable[[Path], Path | None]) -> None:
        """Change the selected model's file; what is returned is selected then."""
        if self.selected is None:
            raise InputError("model-not-selected", "select a model first.")
        try:
            self._wanted = change(self.selected.path)
        finally:
            self.refresh()

    def keep(self, name: str) -> None:
        """Save the current model in the folder, under this name with date and time behind it."""
        model = self._state.model
        if model is None:
            show_error("there is no model yet; train one first.")
            return
        keep_in(self.folder, self, model, name, self._on_kept)

    # ------------------------------------------------------------------ what is asked

    def _on_rename(self) -> None:
        kept = self.selected
        if kept is None:
            return
        name, accepted = QInputDialog.getText(self, "Rename the model", "Name", text=kept.name)
        if accepted:
            self.rename(name)

    def _on_delete(self) -> None:
        kept = self.selected
        if kept is None:
            return
        answer = QMessageBox.question(
            self,
            "Delete the model",
            tip(f"Delete {kept.name} from the disk? It cannot be brought back."),
        )
        if answer == QMessageBox.StandardButton.Yes:
            self.delete()

    def _on_keep(self) -> None:
        model = self._state.model
        if model is None:
            return
        name = Path(model.sources[0].name).stem if model.sources else "model"
        name, accepted = QInputDialog.getText(self, "Keep the current model", "Name", text=name)
        if accepted:
            self.keep(name)

    # ------------------------------------------------------------------ work in a thread

    def _start(self, title: str, call: Any, then: Any, **settings: Any) -> None:
        self._job = in_background(self, title, call, then, on_end=self._on_end, **settings)
        self._update_buttons()

    def _on_end(self) -> None:
        self._update_buttons()
        if self._again:
            self._again = False
            self.refresh()

    def _on_loaded(self, model: Model) -> None:
        self._state.model = model
        show_info("The model is loaded.")

    def _on_kept(self, path: Path) -> None:
        self._wanted = path
        show_info(f"Kept as {path.name}.")
        self.refresh()

    # ------------------------------------------------------------------ what the window shows

    def _show(self, found: list[Kept]) -> None:
        self.list.setSortingEnabled(False)
        self.list.clear()
        for kept in found:
            item = QTreeWidgetItem(
                [
                    kept.name,
                    kept.date.strftime("%Y-%m-%d %H:%M"),
                    kept.trained_on,
                    kept.pixel_size,
                    kept.psf,
                ]
            )
            item.setData(0, _KEPT, kept)
            item.setToolTip(0, tip(str(kept.path)))
            item.setToolTip(2, tip(kept.trained_on))
            item.setToolTip(4, tip(kept.psf))
            self.list.addTopLevelItem(item)
        self.list.setSortingEnabled(True)
        count = f"{len(found)} model{'' if len(found) == 1 else 's'} in"
        self.folder_label.setText(f"{count if found else 'No models yet in'} {_shown(self.folder)}")
        if self._wanted is not None:
            self.select(self._wanted)
            self._wanted = None
        self._on_selection()

    def _on_selection(self) -> None:
        kept = self.selected
        self.details.setText("" if kept is None else _described(kept))
        self._update_buttons()

    def _on_model(self, _: Any = None) -> None:
        if alive(self):
            self._update_buttons()

    def _update_buttons(self) -> None:
        kept, free = self.selected, not self.running
        self.load_button.setEnabled(free and kept is not None and kept.facts is not None)
        for one in (self.rename_button, self.delete_button):
            one.setEnabled(free and kept is not None)
        offer(
            self.keep_button,
            "" if self._state.model is not None else "There is no model yet; train one first.",
            "Save the model that was trained or loaded last in this folder.",
        )


def _shown(folder: Path) -> str:
    """Write a folder as briefly as it can be told."""
    home = Path.home()
    return str(Path("~", folder.relative_to(home)) if folder.is_relative_to(home) else folder)


def _described(kept: Kept) -> str:
    """Say of a model what the list has no room for."""
    facts = kept.facts
    if facts is None:
        return f"⚠ {kept.problem}"
    kind = "volumes" if facts.axes == "ZYX" else "images"
    grid = " on a grid twice as fine" if facts.upsampling == 2 else ""
    return f"{facts.preset} model for {kind}{grid}, {facts.steps_trained} steps."
