"""What the dock widgets have in common: they scroll, and work outlasts the dock.

A dock that is closed while its widget has work under way takes nothing along: the widget waits
out of sight, napari's activity dock shows the work and stops it, and whoever opens the widget
again gets the same one back. A widget without work ends with its dock.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from napari.viewer import Viewer
from qtpy.QtCore import QEvent, QObject, QSize, Qt, QTimer
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import (
    QApplication,
    QDockWidget,
    QFrame,
    QProgressBar,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from ..layers.state import ViewerState, unwrapped
from ..workers.activity import activity
from ..workers.connections import alive, end_with
from ..workers.workers import jobs_of

WIDTH = 340
"""Width in pixels that the widgets are laid out for."""


class _GivenBack(type(QWidget)):  # type: ignore[misc]
    """Gives a widget that waits out of sight in place of a new one."""

    def __call__(cls, viewer: Viewer, *args: Any, **kwargs: Any) -> Any:
        for panel in list(_out_of_sight):
            if type(panel) is cls and alive(panel) and panel.viewer is unwrapped(viewer):
                _out_of_sight.discard(panel)
                return panel
        return super().__call__(viewer, *args, **kwargs)


class Panel(QWidget, metaclass=_GivenBack):
    """A dock widget whose content scrolls when the window is too low for it.

    Made while another one of its kind has work under way for this viewer and its dock was closed,
    it is that one.
    """

    title = ""
    """What the menu calls it."""

    always_in_activity = False
    """Whether the activity dock shows its work also while its own dock is open."""

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = unwrapped(viewer)
        self._state = ViewerState.of(viewer)
        self._docked = parent is not None
        content = QWidget()
        self.body = QVBoxLayout(content)
        self.body.setContentsMargins(6, 6, 6, 6)
        self.area = _Area()
        self.area.setWidgetResizable(True)
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.setWidget(content)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.area)
        events = self._viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered, events.renamed):
            end_with(self, event, self.reset_choices)  # napari connects it to all of these

    def reset_choices(self, _: Any = None) -> None:
        """Offer the layers that the viewer holds now; napari calls it when they change."""

    def show_at_top(self, part: QWidget) -> None:
        """Scroll to a part of the content, where not all of it is to be seen."""
        content, bar = self.area.widget(), self.area.verticalScrollBar()
        if content is not None and bar is not None:
            bar.setValue(part.mapTo(content, part.rect().topLeft()).y())

    @property
    def viewer(self) -> Viewer:
        """The viewer that it is for, not napari's proxy of it."""
        return self._viewer

    # ------------------------------------------------------------------ work and who sees it

    @property
    def at_work(self) -> bool:
        """Whether work is under way that the user has asked for."""
        return bool(jobs_of(self))

    @property
    def asks(self) -> bool:
        """Whether it waits for an answer of the user's."""
        return False

    @property
    def seen(self) -> bool:
        """Whether its dock is open, be it behind another one."""
        if self in _out_of_sight:
            return False
        holder = self.parentWidget()
        while holder is not None and not isinstance(holder, QDockWidget):
            holder = holder.parentWidget()
        return holder is None or not holder.isHidden()

    def doing(self) -> tuple[float, str]:
        """Return how much of the work is done, from 0 to 1, and what is under way."""
        bar: QProgressBar | None = getattr(self, "progress_bar", None)
        if bar is None or not bar.format():
            jobs = jobs_of(self)
            said = getattr(self, "status_label", None)
            words = "" if said is None else said.text().partition("\n")[0]
            return 0.0, words or (jobs[0].title if jobs else "")
        return max(bar.value(), 0) / max(bar.maximum(), 1), bar.format()

    def stop_work(self) -> None:
        """End what is under way, as the widget's own button does."""
        for job in jobs_of(self):
            job.stop()

    def show_phase(self, words: str) -> None:
        """Say what is under way before it can be told how far it is."""
        bar, said = getattr(self, "progress_bar", None), getattr(self, "status_label", None)
        if bar is not None and said is not None and bar.maximum() == 0:
            said.setText(f"Preparing: {words}…")

    def how_it_ended(self) -> str:
        """Say how the work has ended, for who did not see it; empty where nothing is to be said."""
        said = getattr(self, "status_label", None)
        return "" if said is None else str(said.text())

    def end_unseen(self) -> None:
        """Go, once the work is done and the dock was closed; one that asks waits to be opened."""
        if self in _out_of_sight and not self.asks:
            _out_of_sight.discard(self)
            self.deleteLater()

    def changeEvent(self, event: QEvent | None) -> None:
        """Notice a dock that comes, and one that was closed, which napari takes the widget from."""
        super().changeEvent(event)
        if event is None or event.type() != QEvent.Type.ParentChange:
            return
        if self.parentWidget() is not None:
            self._docked = True
            if isinstance(self.parentWidget(), QDockWidget):
                QTimer.singleShot(0, self.show)  # one given back is still hidden
        elif self._docked:
            # Later: napari is about to delete the dock, or to give the widget another one.
            QTimer.singleShot(0, self._on_closed)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Take the work out of the activity dock."""
        super().showEvent(event)
        activity.look_at(self)

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Show the work in the activity dock."""
        super().hideEvent(event)
        activity.look_at(self)

    def _on_closed(self) -> None:
        if not alive(self) or self.parentWidget() is not None:
            return
        if not (self.at_work or self.asks):
            self.deleteLater()
            return
        window = getattr(self._viewer.window, "_qt_window", None)
        self._docked = False
        _out_of_sight.add(self)
        self.setParent(window)  # which takes it along when it closes
        self._docked = True
        activity.look_at(self)


class _Area(QScrollArea):
    """Scrolls up and down only, so it is never narrower than content and scroll bar."""

    def minimumSizeHint(self) -> QSize:
        """Return the size below which the content would be cut off at its side."""
        size = super().minimumSizeHint()
        content, bar = self.widget(), self.verticalScrollBar()
        if content is not None and bar is not None:
            needed = content.minimumSizeHint().width() + bar.sizeHint().width()
            size.setWidth(max(needed, WIDTH))
        return size

    def focusNextPrevChild(self, forwards: bool) -> bool:
        """Scroll to what gets the focus by the Tab key, but not where a button was disabled.

        Qt passes the focus of what is disabled on, to whatever comes next and may be far below.
        """
        before, bar = QApplication.focusWidget(), self.verticalScrollBar()
        place = 0 if bar is None else bar.value()
        moved = super().focusNextPrevChild(forwards)
        if bar is not None and before is not None and not before.isEnabled():
            bar.setValue(place)
        return moved

    def eventFilter(self, content: QObject | None, event: QEvent | None) -> bool:
        """Widen with the content when it asks for more than before."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(content, event)


_out_of_sight: WeakSet[Panel] = WeakSet()
"""Those whose dock was closed while they had work under way."""
