"""What is known of a layer before it is deconvolved, and what makes its recipe out of that.

One click and the queue both ask here, so that a layer is treated alike by either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
from .one_click_worker import ImageTask, SIMTask, Task

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image as ImageLayer

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


def channel_said(layer: ImageLayer, look: Look, reading: Reading | None) -> str:
    """Return the name of the layer's channel, empty where it has none."""
    said = look.recorded
    return channel_name(said, channel_of(layer, said, reading.channel if reading else None))


def facts_of(layer: ImageLayer, look: Look, reading: Reading | None, state: ViewerState) -> Facts:
    """Put together what is known of a layer's optics."""
    said = look.recorded
    channel = channel_of(layer, said, reading.channel if reading else None)
    lateral = layer_voxel_size(layer, "YX")
    step = None
    if reading is not None and "Z" in reading.axes:
        step = state.said(layer).axial_step or said_step(layer, reading.axes)
    from_file = state.files.get(layer, Recorded()).steps
    if lateral is not None and lateral[-1] == from_file[-1]:
        lateral = None  # it was written into the layer, and stands in `said` as well
    if step is not None and step == from_file[0]:
        step = None
    return gather(
        None if lateral is None else lateral[-1],
        step,
        said,
        optics_of(said, channel),
        channel_name(said, channel),
        preferences.microscopes(),
        {name: value for name, value in _answers(layer, state).items() if name in LASTING},
    )


def is_sim(layer: ImageLayer, look: Look, state: ViewerState) -> bool | None:
    """Tell whether it is raw SIM, as the user says or as it seems; None where it cannot be."""
    return None if look.sim is None else bool(_answers(layer, state).get("sim", look.sim))


def is_ambiguous(layer: ImageLayer, look: Look, state: ViewerState, doubt: str = "") -> bool:
    """Tell whether what the frames are has to be asked, and has not been.

    Parameters
    ----------
    layer, look, state
        The layer and what is known of it.
    doubt : str
        What speaks against the way it is read, if anything does.
    """
    if _answers(layer, state):
        return False
    said = state.said(layer).kind is not None or says_its_axes(layer)
    return bool(look.sim) or not said or bool(doubt)


def answer(
    layer: ImageLayer, channel: str, values: dict[str, Any], state: ViewerState, *, sim: bool
) -> None:
    """Remember what was typed: for this layer, and for its channel from now on."""
    lasting = {name: values[name] for name in LASTING if name in values}
    state.answers[layer] = {**lasting, "sim": sim}
    remember(channel, lasting)


def _answers(layer: ImageLayer, state: ViewerState) -> dict[str, Any]:
    return state.answers.get(layer, {})


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
    viewer: napari.viewer.Viewer,
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


def task_of(
    viewer: napari.viewer.Viewer,
    layer: ImageLayer,
    reading: Reading | None,
    *,
    sim: bool,
    pixel_size: float | None = None,
    mode: str | None = None,
) -> Task:
    """Return what is to be done with a layer; InputError if it cannot be.

    A ``mode`` that the user has chosen goes before ``sim``.
    """
    if sim and mode is None:
        return SIMTask(layer, pixel_size)
    return ImageTask(layer, reading, viewer, mode)


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
        "psf": users_psf(state, task.spatial),
        "camera": users_noise(state) if camera else None,
        "offset": users_offset() if camera else None,
        "upsample": state.upsampling(task.spatial) == 2,
        "out_of_focus": out_of_focus and task.spatial == "YX",
        "frame": task.frame or 0,
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
