"""What is known of the chosen layer before one click begins: looked up in a worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from ..images import Image
from ..metadata import Recorded
from ..sim.recognition import raw_sim_taken_for_frames
from . import _preferences as preferences
from ._facts import LASTING, Facts, gather
from ._layer_metadata import channel_name, channel_of, optics_of, recorded_of
from ._memory import remember
from ._readings import layer_voxel_size, pixels_of, said_step, says_its_axes
from ._state import ViewerState
from ._workers import Job, once

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image as ImageLayer
    from qtpy.QtWidgets import QWidget

    from ..noise import NoiseModel
    from ..psf import PSF
    from ._choosers import ImageChooser

_WAIT = 50  # milliseconds between two looks at whether the chooser has looked at the pixels
_SIM_FRAMES = 9


@dataclass(frozen=True)
class _Look:
    """What a worker has found out about a layer."""

    recorded: Recorded
    sim: bool | None
    """Whether its frames seem to be raw SIM; None where they cannot be."""


class Knowledge:
    """What layer, file, memory, preferences and user say of the chosen layer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose state holds what the user has said.
    image : ImageChooser
        The choice of the layer.
    owner : QWidget
        The widget that asks.
    """

    def __init__(
        self, viewer: napari.viewer.Viewer, image: ImageChooser, *, owner: QWidget
    ) -> None:
        self._state = ViewerState.of(viewer)
        self._image = image
        self._owner = owner
        self._look: _Look | None = None
        self._job: Job[Any, _Look] | None = None
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
            once(_look_at, layer),
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

    def _on_looked(self, found: _Look) -> None:
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
        seems = self._look.sim if self._look else None
        return None if seems is None else bool(self._answers.get("sim", seems))

    @property
    def channel(self) -> str:
        """The name of the layer's channel, empty where it has none."""
        return channel_name(self._recorded, self._channel_number)

    @property
    def ambiguous(self) -> bool:
        """Whether what the frames are has to be asked, and has not been."""
        layer = self._image.layer
        if layer is None or self._answers:
            return False
        said = self._state.said(layer).kind is not None or says_its_axes(layer)
        return bool(self.sim) or not said or bool(self._image.doubt)

    def facts(self) -> Facts:
        """Put together what is known of the optics."""
        layer, reading = self._image.layer, self._image.reading
        lateral = None if layer is None else layer_voxel_size(layer, "YX")
        step = None
        if layer is not None and reading is not None and "Z" in reading.axes:
            step = self._state.said(layer).axial_step or said_step(layer, reading.axes)
        return gather(
            None if lateral is None else lateral[-1],
            step,
            self._recorded,
            optics_of(self._recorded, self._channel_number),
            self.channel,
            preferences.microscopes(),
            {name: value for name, value in self._answers.items() if name in LASTING},
        )

    def answer(self, values: dict[str, Any], *, sim: bool) -> None:
        """Remember what was typed: for this layer, and for its channel from now on."""
        lasting = {name: values[name] for name in LASTING if name in values}
        if self._image.layer is not None:
            self._state.answers[self._image.layer] = {**lasting, "sim": sim}
        remember(self.channel, lasting)

    @property
    def psf(self) -> PSF | None:
        """The PSF that the user has chosen, if it has as many axes as the image."""
        psf = self._state.psf
        if psf is None or psf in self._state.assumed:
            return None
        return psf if psf.array.ndim == len(self._image.spatial) else None

    @property
    def noise(self) -> NoiseModel | None:
        """The camera, as calibrated by the user or as the preferences have it."""
        noise = self._state.noise
        if noise is not None and noise not in self._state.assumed:
            return noise
        presets = preferences.microscopes()
        return presets[0].noise if len(presets) == 1 else None

    @property
    def offset(self) -> float | None:
        """Counts without light, where the preferences say no more than that."""
        presets = preferences.microscopes()
        return presets[0].offset if len(presets) == 1 else None

    @property
    def _answers(self) -> dict[str, Any]:
        layer = self._image.layer
        return {} if layer is None else self._state.answers.get(layer, {})

    @property
    def _recorded(self) -> Recorded:
        return self._look.recorded if self._look else Recorded()

    @property
    def _channel_number(self) -> int | None:
        layer, reading = self._image.layer, self._image.reading
        if layer is None:
            return None
        return channel_of(layer, self._recorded, reading.channel if reading else None)


def _look_at(layer: ImageLayer) -> _Look:
    sim: bool | None = None
    pixels = pixels_of(layer)
    leading = pixels.shape[:-2]
    if leading and leading[-1] % _SIM_FRAMES == 0:
        sim = False
        if leading == (_SIM_FRAMES,):
            sim = raw_sim_taken_for_frames(Image(pixels, "TYX", name=layer.name)) is not None
    return _Look(recorded_of(layer), sim)
