"""The progress of a queue in napari's activity dock, with a button that cancels it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.utils import cancelable_progress

PARTS = 100
"""Of the bar, for each layer."""


class _Cancelable(cancelable_progress):  # type: ignore[misc]
    """Cancels at once, and not at the next turn of a loop."""

    def cancel(self) -> None:
        super().cancel()
        if self.cancel_callback is not None:
            self.cancel_callback()


class QueueProgress:
    """One bar for the queue, which says what is done with the layer whose turn it is.

    A second bar below it would come and go with every layer, and napari 0.9.2 can crash when one
    of several bars goes.

    Parameters
    ----------
    layers : int
        In the queue.
    on_cancel : callable
        Called when the button in the activity dock is pressed.
    """

    def __init__(self, layers: int, on_cancel: Callable[[], None]) -> None:
        self._layers = layers
        self._ended = 0
        self._words, self._done = "ZS-DeconvNet queue", 0
        self._bar: Any = _Cancelable(
            total=PARTS * layers, desc=self._words, cancel_callback=on_cancel
        )

    def tell(self, name: str, doing: str, share: float) -> None:
        """Take note of how far a layer has come; `paint` shows it.

        Parameters
        ----------
        name : str
            Of the layer.
        doing : str
            What is done with it.
        share : float
            Of that, from 0 to 1. Training takes longest: the bar follows it, and the rest only
            counts once the layer is through.
        """
        self._words = f"{self._ended + 1} of {self._layers}, {name}: {doing}"
        if doing == "training":
            self._done = PARTS * self._ended + int((PARTS - 1) * share)

    def end_layer(self) -> None:
        """Take note of a layer that is through."""
        self._ended += 1
        self._done = PARTS * self._ended

    def paint(self) -> None:
        """Show what was told.

        To be called last: napari has Qt work off its events in between, among which may be the
        end of the queue.
        """
        if self._bar is not None and self._bar.desc != f"{self._words}: ":
            self._bar.set_description(self._words)
        if self._bar is not None and self._done > self._bar.n:
            self._bar.update(self._done - self._bar.n)

    def close(self) -> None:
        """Take the bar away."""
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.close()
