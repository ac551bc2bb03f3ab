"""What is known of the chosen layer before one click begins: looked up in a worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from ...io.acquisition import Recorded
from ..forms.optics_metadata import Facts
from ..layers.state import ViewerState
from ..workers.workers import Job, once
from .layer_inspection import (
    Look,
    answer,
    channel_said,
    facts_of,
    is_ambiguous,
    is_sim,
    look_at,
    users_psf,
)

if TYPE_CHECKING:
    import napari.viewer
    from qtpy.QtWidgets import QWidget

    from ...psf.psf import PSF
    from ..forms.choosers import ImageChooser

_WAIT = 50  # milliseconds between two looks at whether the chooser has looked at the pixels


class Knowledge:
    """What layer, file, memory, preferences and user say of the chosen layer.

    Parameters
    ----------
    image : ImageChooser
        The choice of the layer.
    """

    def __init__(
        self, viewer: napari.viewer.Viewer, image: ImageChooser, *, owner: QWidget
    ) -> None:
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
        self._look, self._then = None, then
        self._job = Job(
            once(look_at, layer),
            owner=self._owner,
            on_result=self._on_looked,
            on_failure=on_failure,
            title="looking at a layer",
        )
        self._job.start()

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
    def sim(self) -> bool | None:
        """Whether it is raw SIM, as the user says or as it seems; None where it cannot be."""
        layer = self._image.layer
        return None if layer is None else is_sim(layer, self._found, self._state)

    @property
    def channel(self) -> str:
        """The name of the layer's channel, empty where it has none."""
        layer = self._image.layer
        return "" if layer is None else channel_said(layer, self._found, self._image.reading)

    @property
    def ambiguous(self) -> bool:
        """Whether what the frames are has to be asked, and has not been."""
        layer, doubt = self._image.layer, self._image.doubt
        return layer is not None and is_ambiguous(layer, self._found, self._state, doubt)

    def facts(self) -> Facts:
        """Put together what is known of the optics."""
        layer = self._image.layer
        if layer is None:
            return Facts()
        return facts_of(layer, self._found, self._image.reading, self._state)

    def answer(self, values: dict[str, Any], *, sim: bool) -> None:
        """Remember what was typed: for this layer, and for its channel from now on."""
        if self._image.layer is not None:
            answer(self._image.layer, self.channel, values, self._state, sim=sim)

    @property
    def psf(self) -> PSF | None:
        """The PSF that the user has chosen, if it has as many axes as the image."""
        return users_psf(self._state, self._image.spatial)

    @property
    def _found(self) -> Look:
        return self._look or Look(Recorded())
