"""A button that shows two layers with a divider between them, and ends it again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from weakref import ref

from napari.layers import Image as ImageLayer
from napari.viewer import Viewer
from psygnal import Signal
from qtpy.QtWidgets import QPushButton

from ..layers.split_view import Swipe
from ..workers.connections import alive
from .forms import offer

Pair = tuple[ImageLayer, ImageLayer]


class SwipeButton(QPushButton):
    """Pressed, it shows the pair of the moment; released, what was shown before.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose canvas it is.
    words : str
        On it.
    pair : callable
        Gives the layers to the left and to the right of the divider, or says why there are none.
    place : callable, optional
        Gives where the divider stands at first, as `Swipe` takes it.
    """

    changed = Signal()
    """Emitted when it begins and when it ends, however it ends."""
    moved = Signal(float)
    """Emitted with the place of the divider when it is dragged."""

    def __init__(
        self,
        viewer: Viewer,
        words: str,
        pair: Callable[[], Pair | str],
        place: Callable[[], float | None] = lambda: None,
    ) -> None:
        super().__init__(words)
        self._viewer, self._pair, self._place = viewer, pair, place
        self.swipe: Swipe | None = None
        """What is shown; None where it is not pressed."""
        self.setCheckable(True)
        self.toggled.connect(self._on_toggled)
        self.refresh()

    def refresh(self) -> None:
        """Take in which layers there are now."""
        pair = "" if self.swipe is not None else self._pair()
        purpose = (
            "Show these two layers alone, with a divider between them that can be dragged."
            if self.swipe is None
            else "Show again what was shown before."
        )
        offer(self, pair if isinstance(pair, str) else "", purpose)

    def _on_toggled(self, pressed: bool) -> None:
        if not pressed:
            if self.swipe is not None:
                self.swipe.end()
            return
        pair = self._pair()
        if isinstance(pair, str):
            self.setChecked(False)
            return
        self.swipe = Swipe(self._viewer, *pair, self._place())
        self.swipe.moved.connect(self._on_moved)
        self.swipe.ended.connect(self._on_ended)
        self.destroyed.connect(partial(_end, ref(self.swipe)))
        self.refresh()
        self.changed.emit()

    def _on_moved(self, place: float) -> None:
        # psygnal calls what is connected with a 1 where that is `emit` of another signal.
        self.moved.emit(place)

    def _on_ended(self) -> None:
        self.swipe = None
        if alive(self):
            self.setChecked(False)
            self.refresh()
            self.changed.emit()


def _end(swipe: ref[Swipe]) -> None:
    """End a swipe that nobody could end any more."""
    running = swipe()
    if running is not None:
        running.end()
