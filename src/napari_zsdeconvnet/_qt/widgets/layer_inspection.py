"""What is known of a layer before it is deconvolved, and what makes its recipe out of that.

One click and the queue both ask here, so that a layer is treated alike by either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from napari.layers import Image as ImageLayer
from napari.viewer import Viewer

from ...io.acquisition import Recorded
from ...io.image import Image
from ...modes.registry import mode_named
from ..forms.optics_metadata import LASTING, Facts, gather
from ..layers.layer_axes import (
    Reading,
    layer_voxel_size,
    pixels_of,
    said_step,
    says_its_axes,
    set_pixel,
    set_step,
)
from ..layers.layer_metadata import channel_name, channel_of, optics_of, recorded_of
from ..layers.layers import same_plane
from ..workers import preferences
from ..workers.remembered_optics import remember
from .task import Task

if TYPE_CHECKING:
    from ...modes.base import Mode
    from ...noise.noise_model import NoiseModel
    from ...psf.psf import PSF
    from ..layers.state import ViewerState

_AXES = {3: "TYX", 4: "TZYX", 5: "TCZYX"}
"""Letters for the axes of a layer, for lack of better ones."""


@dataclass(frozen=True)
class Look:
    """What a worker has found of a layer."""

    recorded: Recorded
    """What metadata and file say."""
    sim: bool | None = None
    """Whether its frames seem to be raw SIM; None where they cannot be."""


def look_at(layer: ImageLayer) -> Look:
    """Read what the layer says, and whether its frames seem to be raw SIM."""
    sim: bool | None = None
    pixels, frames = pixels_of(layer), mode_named("sim")
    if pixels.ndim in _AXES:
        image = Image(pixels, _AXES[pixels.ndim], name=layer.name)
        seems, can_be = frames.recognised(image), frames.fits(image)
        sim = bool(seems) if seems or can_be else None
    return Look(recorded_of(layer), sim)


@dataclass
class Inspected:
    """What layer, file, memory, preferences and user say of a layer."""

    layer: ImageLayer
    state: ViewerState
    reading: Reading | None = None
    """How it is read; None where it cannot be."""
    look: Look | None = None
    """What a worker has found of it."""
    doubt: str = ""
    """What speaks against the reading, if anything does."""

    @property
    def spatial(self) -> Literal["YX", "ZYX"]:
        """Axes of a single image or volume."""
        return "YX" if self.reading is None else self.reading.spatial

    @property
    def psf(self) -> PSF | None:
        """The PSF that the user has chosen, if it has as many axes as the image."""
        return users_psf(self.state, self.spatial)

    @property
    def channel(self) -> str:
        """The name of the layer's channel, empty where it has none."""
        return channel_name(self._recorded, self._channel)

    @property
    def seems_sim(self) -> bool | None:
        """Whether it is raw SIM, as the user says or as it seems; None where it cannot be."""
        seems = None if self.look is None else self.look.sim
        return None if seems is None else bool(self._answers.get("sim", seems))

    @property
    def ambiguous(self) -> bool:
        """Whether what the frames are has to be asked, and has not been."""
        if self._answers:
            return False
        said = self.state.said(self.layer).kind is not None or says_its_axes(self.layer)
        return bool(self.look and self.look.sim) or not said or bool(self.doubt)

    @property
    def asked_as(self) -> dict[str, Any]:
        """What `AskForm.ask` is told beside the facts."""
        return {
            "spatial": self.spatial,
            "psf": self.psf is not None,
            "sim": None if self.look is None else self.seems_sim,
            "presets": preferences.microscopes(),
        }

    def facts(self) -> Facts:
        """Put together what is known of its optics."""
        layer, reading = self.layer, self.reading
        lateral, step = layer_voxel_size(layer, "YX"), None
        if reading is not None and "Z" in reading.axes:
            step = self.state.said(layer).axial_step or said_step(layer, reading.axes)
        from_file = self.state.files.get(layer, Recorded()).steps
        if lateral is not None and lateral[-1] == from_file[-1]:
            lateral = None  # it was written into the layer, and stands in the record as well
        if step is not None and step == from_file[0]:
            step = None
        return gather(
            None if lateral is None else lateral[-1],
            step,
            self._recorded,
            optics_of(self._recorded, self._channel),
            self.channel,
            preferences.microscopes(),
            {name: value for name, value in self._answers.items() if name in LASTING},
        )

    def answer(self, values: dict[str, Any], *, sim: bool) -> None:
        """Remember what was typed: for this layer, and for its channel from now on."""
        lasting = {name: values[name] for name in LASTING if name in values}
        self.state.answers[self.layer] = {**lasting, "sim": sim}
        remember(self.channel, lasting)

    @property
    def _recorded(self) -> Recorded:
        return Recorded() if self.look is None else self.look.recorded

    @property
    def _channel(self) -> int | None:
        chosen = self.reading.channel if self.reading else None
        return channel_of(self.layer, self._recorded, chosen)

    @property
    def _answers(self) -> dict[str, Any]:
        return self.state.answers.get(self.layer, {})


def users_psf(state: ViewerState, spatial: str) -> PSF | None:
    """Return the PSF that the user has chosen, if it has as many axes as the image."""
    psf = state.psf
    if psf is None or psf in state.assumed:
        return None
    return psf if psf.array.ndim == len(spatial) else None


def users_noise(state: ViewerState) -> NoiseModel | None:
    """Return the calibration that the user has made, or that of the one microscope there is."""
    noise = state.noise
    if noise is not None and noise not in state.assumed:
        return noise
    presets = preferences.microscopes()
    return presets[0].noise if len(presets) == 1 else None


def users_offset() -> float | None:
    """Return the counts without light, where the preferences say no more than that."""
    presets = preferences.microscopes()
    return presets[0].offset if len(presets) == 1 else None


def write_scale(
    viewer: Viewer,
    layer: ImageLayer,
    reading: Reading | None,
    values: dict[str, Any],
    state: ViewerState,
) -> None:
    """Write the sizes that were typed or read into the layer, as all widgets go by it."""
    known = layer_voxel_size(layer, "YX")
    pixel = values.get("pixel_size")
    if pixel is not None and (known is None or abs(known[-1] / pixel - 1) > 1e-6):
        with same_plane(viewer, layer):
            set_pixel(layer, pixel)
        viewer.reset_view()
    step = values.get("axial_step")
    if step is None or reading is None:
        return
    size = reading.voxel_size
    if size is None or abs(size[0] / step - 1) > 1e-6:
        with same_plane(viewer, layer):
            set_step(layer, reading.axes, step)
        state.say(layer, axial_step=step)


def mode_maker(
    task: Task, values: dict[str, Any], state: ViewerState, *, out_of_focus: bool = False
) -> Callable[[], Mode]:
    """Return what makes the mode in the worker, from the numbers that a form would give.

    ``out_of_focus`` asks for the background of thick samples, of images alone.
    """
    microscope = {name: values[name] for name in values if name in LASTING}
    if microscope.get("pinhole") == 0:
        microscope["pinhole"] = None  # a point
    camera = mode_named(task.mode).has_camera
    known: dict[str, Any] = {
        "psf": users_psf(state, task.reading.spatial),
        "camera": users_noise(state) if camera else None,
        "offset": users_offset() if camera else None,
        "upsample": state.upsampling(task.reading.spatial) == 2,
        "out_of_focus": out_of_focus and task.reading.spatial == "YX",
        "frame": task.frame.index or 0,
    }
    maps = state.maps

    def make() -> Mode:
        from ...modes.base import Known
        from ...modes.registry import find_mode
        from ...psf.microscope import Microscope

        image = task.image()
        if maps is not None and known["camera"] is not None and task.mode != "sim":
            known["camera"] = maps.camera(known["camera"], image.data.shape, image.name)
        scope = None
        if "na" in microscope and (known["psf"] is None or task.mode == "sim"):
            scope = Microscope(**microscope)
        given = Known(scope, **known)
        return find_mode(image, task.mode, given)[0](image, given)

    return make
