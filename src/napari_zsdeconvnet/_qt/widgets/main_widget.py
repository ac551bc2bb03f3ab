"""The dock of all pages: buttons for each of them, and below the one that is chosen.

A page is made when it is first shown. It is the same widget that the menu opens in a dock of its
own. When this dock is closed, a page with work under way goes on out of sight, as such a dock's
would.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from qtpy.QtCore import QEvent, QSize, QTimer
from qtpy.QtWidgets import (
    QButtonGroup,
    QFrame,
    QGridLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from ..forms.forms import tip
from ..forms.navigation import offer_pages, withdraw_pages
from ..forms.panel import Panel
from ..layers.state import unwrapped
from ..workers.connections import alive, end_with
from .one_click import NAME as ONE_CLICK

if TYPE_CHECKING:
    import napari.viewer


class Page(NamedTuple):
    """A page of the dock.

    Attributes
    ----------
    name
        As the manifest names its own dock.
    label
        On its button.
    place
        Module and class, ``module:class``; each module is imported when its page is first shown.
    purpose
        What it is for, in one sentence.
    """

    name: str
    label: str
    place: str
    purpose: str

    def make(self, viewer: napari.viewer.Viewer) -> Panel:
        """Make the page, or give the one back that works out of sight."""
        module, name = self.place.split(":")
        found: Panel = getattr(import_module(f".{module}", __package__), name)(viewer)
        return found


ROWS: tuple[tuple[str, tuple[Page, ...]], ...] = (
    (
        "In one go",
        (
            Page(
                ONE_CLICK,
                ONE_CLICK,
                "one_click_widget:OneClickWidget",
                "Deconvolve one layer: noise, PSF, training, result and check in one go. "
                "Begin here.",
            ),
            Page(
                "Queue",
                "Queue",
                "queue_widget:QueueWidget",
                "Deconvolve several layers, one after the other.",
            ),
            Page(
                "SIM",
                "Raw SIM",
                "sim_widget:SIMWidget",
                "Reconstruct raw SIM frames and train on them.",
            ),
        ),
    ),
    (
        "Step by step",
        (
            Page(
                "Noise calibration",
                "Noise",
                "noise_widget:NoiseWidget",
                "Step 1: measure the camera's offset, gain and read variance.",
            ),
            Page(
                "PSF", "PSF", "psf_widget:PSFWidget", "Step 2: load, simulate or measure the PSF."
            ),
            Page(
                "Train",
                "Train",
                "train_widget:TrainWidget",
                "Step 3: train on the recording and watch.",
            ),
            Page(
                "Apply model",
                "Apply",
                "deconvolve_widget:DeconvolveWidget",
                "Step 4: apply a trained model.",
            ),
        ),
    ),
    (
        "Afterwards",
        (
            Page(
                "Quality",
                "Check",
                "quality_widget:QualityWidget",
                "Check whether a result can be believed.",
            ),
            Page(
                "Compare",
                "Compare",
                "compare_widget:CompareWidget",
                "Make Richardson-Lucy and Wiener results, and see two layers side by side.",
            ),
            Page(
                "Models",
                "Models",
                "models_widget:ModelsWidget",
                "List, load, rename and delete models.",
            ),
        ),
    ),
)
"""In the order in which a user needs them."""

PAGES = {page.name: page for _, row in ROWS for page in row}


class MainWidget(QWidget):
    """All pages of the plugin in one dock; it opens on the first."""

    def __init__(self, viewer: napari.viewer.Viewer, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = unwrapped(viewer)
        self._docked = parent is not None
        self._made: dict[str, Panel] = {}
        self._buttons = QButtonGroup(self)
        self._stack = _Stack()
        # Otherwise napari puts a stretch below it, a larger one with every dock that is opened.
        self._stack.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._navigation())
        line = QFrame()
        line.setFrameShape(QFrame.Shape.HLine)
        layout.addWidget(line)
        layout.addWidget(self._stack, 1)
        offer_pages(self._viewer, self.show_page)
        events = self._viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered, events.renamed):
            end_with(self, event, self.reset_choices)  # napari connects it to all of these
        self.show_page(ONE_CLICK)

    def _navigation(self) -> QWidget:
        """Lay out one row of buttons for each group of pages."""
        navigation = QWidget()
        grid = QGridLayout(navigation)
        grid.setContentsMargins(6, 6, 6, 4)
        grid.setSpacing(3)
        for row, (words, pages) in enumerate(ROWS):
            grid.addWidget(QLabel(words), row, 0)
            for column, page in enumerate(pages):
                one = QPushButton(page.label)
                one.setCheckable(True)
                one.setToolTip(tip(page.purpose))
                one.setAccessibleName(page.label)
                one.setAccessibleDescription(page.purpose)
                one.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
                one.setObjectName(page.name)
                grid.addWidget(one, row, 1 + column)
                self._buttons.addButton(one)
        for column in range(1, grid.columnCount()):
            grid.setColumnStretch(column, 1)
        self._buttons.buttonClicked.connect(lambda one: self.show_page(one.objectName()))
        return navigation

    @property
    def page(self) -> Panel:
        """The page that is shown."""
        page = self._stack.currentWidget()
        assert isinstance(page, Panel)
        return page

    def show_page(self, name: str) -> Panel:
        """Show a page, which is made if it was not shown before.

        Parameters
        ----------
        name : str
            A key of `PAGES`.
        """
        page = self._made.get(name)
        if page is None or not alive(page) or page.parentWidget() is not self._stack:
            page = self._made[name] = PAGES[name].make(self._viewer)
            self._stack.addWidget(page)
        self._stack.setCurrentWidget(page)
        for one in self._buttons.buttons():
            one.setChecked(one.objectName() == name)
        self._bring_forward()
        return page

    def reset_choices(self, _: Any = None) -> None:
        """Let all pages offer the layers that the viewer holds now; napari calls it alone."""
        for page in self._made.values():
            if alive(page):
                page.reset_choices()

    def _bring_forward(self) -> None:
        dock = self.parentWidget()
        if dock is not None and self._docked:
            dock.show()
            dock.raise_()

    # ------------------------------------------------------------------ its end

    def changeEvent(self, event: QEvent | None) -> None:
        """Notice that the dock was closed, which napari takes the widget from."""
        super().changeEvent(event)
        if event is None or event.type() != QEvent.Type.ParentChange:
            return
        if self.parentWidget() is not None:
            self._docked = True
        elif self._docked:
            # Later: napari may be about to give the widget another dock.
            QTimer.singleShot(0, self._on_closed)

    def _on_closed(self) -> None:
        if not alive(self) or self.parentWidget() is not None:
            return
        withdraw_pages(self._viewer, self.show_page)
        for page in self._made.values():
            if alive(page) and page.parentWidget() is self._stack:
                page.setParent(None)  # each decides for itself whether it has work to go on with
        self.deleteLater()


class _Stack(QStackedWidget):
    """As small as the page that is shown; the others do not count."""

    def minimumSizeHint(self) -> QSize:
        """Return that of the page."""
        page = self.currentWidget()
        return super().minimumSizeHint() if page is None else page.minimumSizeHint()

    def sizeHint(self) -> QSize:
        """Return that of the page."""
        page = self.currentWidget()
        return super().sizeHint() if page is None else page.sizeHint()
