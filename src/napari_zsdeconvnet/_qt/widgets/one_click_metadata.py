"""What is known of the chosen layer before one click begins: looked up in a worker."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.viewer import Viewer
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

from ..layers.state import ViewerState
from ..workers.workers import Job, in_background
from .layer_inspection import Inspected, Look, look_at

if TYPE_CHECKING:
    from ..forms.choosers import ImageChooser

_WAIT = 50  # milliseconds between two looks at whether the chooser has looked at the pixels


class Knowledge:
    """What layer, file, memory, preferences and user say of the chosen layer."""

    def __init__(self, viewer: Viewer, image: ImageChooser, *, owner: QWidget) -> None:
        self._state = ViewerState.of(viewer)
        self._image = image
        self._owner = owner
        self._look: Look | None = None
        self._job: Job[Any, Look] | None = None
        self._then: Callable[[], None] = lambda: None
        self._timer = QTimer(owner)
        self._timer.setInterval(_WAIT)
        self._timer.timeout.connect(self._wait_for_the_chooser)

    # ------------------------------------------------------------------ looking

    def look(self, then: Callable[[], None], on_failure: Callable[[Exception], None]) -> None:
        """Read the layer's metadata and look for fringes; `then` is called when all is known."""
        layer = self._image.layer
        assert layer is not None  # else nothing is looked up
        self._look, self._then = None, then
        look = partial(look_at, layer)
        self._job = in_background(
            self._owner, "looking at a layer", look, self._on_looked, on_failure=on_failure
        )

    @property
    def looking(self) -> bool:
        """Whether this is still under way."""
        return self._timer.isActive() or (self._job is not None and self._job.running)

    def stop(self) -> None:
        """Look no further."""
        self._timer.stop()
        if self._job is not None:
            self._job.stop()

    def _on_looked(self, found: Look) -> None:
        self._look = found
        self._timer.start()

    def _wait_for_the_chooser(self) -> None:
        """Wait for what it has to say of planes and frames, which it asks in its own worker."""
        if not self._image.looking:
            self._timer.stop()
            self._then()

    # ------------------------------------------------------------------ what is known

    @property
    def complete(self) -> bool:
        """Whether the layer has been looked at."""
        return self._look is not None

    @property
    def now(self) -> Inspected | None:
        """What is known of the chosen layer; None where there is none."""
        image = self._image
        if image.layer is None:
            return None
        return Inspected(image.layer, self._state, image.reading, self._look, image.doubt)
