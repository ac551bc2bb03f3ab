"""What is done with a layer by one click and the queue, and how its results are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer
from napari.viewer import Viewer

from ...modes.registry import mode_named
from ...utils.errors import InputError
from ..forms.optics_metadata import mode_of
from ..layers.layer_axes import Reading, pixels_of, what_is_there
from ..layers.layers import layer_image, made_before
from ..layers.raw_frames import RawFrames, raw_frames
from ..layers.results import (
    BACKGROUND,
    DECONVOLVED,
    DENOISED,
    RECONSTRUCTED,
    Frame,
    result_name,
    show_image,
    show_result,
)
from ..layers.state import Judged, Made
from ..layers.verdicts import show_verdict
from ..workers.workers import Turns

if TYPE_CHECKING:
    from ...io.image import Image
    from ...model.model import Model
    from ...modes.steps import Reconstructed
    from ...quality.verdict import Verdict
    from ...workflow import pipeline

_IMAGE = ("image", "Image.", (("Change…", "form"),))
_OPTICS = ("optics", "Optics.", (("Change…", "form"),))
_PSF = ("psf", "PSF.", (("Change…", "PSF"),))
_NOISE = ("noise", "Noise.", (("Change…", "Noise calibration"),))
_PATTERNS = ("patterns", "Patterns.", (("Change…", "SIM"),))
_MODEL = ("model", "Model.", (("Train anew", "anew"), ("Train…", "Train")))
_SIM_MODEL = ("model", "Model.", (("Train anew", "anew"), ("SIM…", "SIM")))
_RESULT = ("result", "Result.", (("Save…", "save"), ("Apply model…", "Apply model")))
_SIM_RESULT = ("result", "Result.", (("Save…", "save"), ("SIM…", "SIM")))
_VERDICT = ("verdict", "Verdict.", (("Check…", "Quality"),))

STEPS = (_IMAGE, _OPTICS, _PSF, _NOISE, _MODEL, _RESULT, _VERDICT)
SIM_STEPS = (_IMAGE, _OPTICS, _NOISE, _PATTERNS, _SIM_MODEL, _SIM_RESULT, _VERDICT)
_OF_ALL = {step[0]: step for step in (*STEPS, _PATTERNS)}


class Task:
    """A layer with its mode and the way it is read."""

    def __init__(self, viewer: Viewer, layer: ImageLayer, reading: Reading, mode: str) -> None:
        self._viewer, self.layer, self.reading, self.mode = viewer, layer, reading, mode
        self.frame = Frame.shown(viewer, layer, reading)
        """What is judged."""

    @property
    def words(self) -> str:
        """What the layer is taken for."""
        if isinstance(self.reading, RawFrames):
            return f"{self.layer.name}: raw SIM, {self.reading.words(self.layer)}"
        lines = [f"{self.layer.name}: {what_is_there(self.layer, self.reading)}"]
        if self.layer.multiscale:
            lines.append("Of its several resolutions the full one is taken.")
        if pixels_of(self.layer).dtype.itemsize == 1:
            lines.append("⚠ 8 bits: their rounding hides the camera's noise; use the original.")
        return " ".join(lines)

    @property
    def more(self) -> str:
        """What more steps would bring."""
        if self.mode != "volume":
            return ""
        return " The 600 of the preset gain a little, and more in dense stacks: Train…"

    @property
    def shown_steps(self) -> tuple[Any, ...]:
        """What the window lists: the layer, its optics, and the stages of the mode."""
        if self.mode == "sim":
            return SIM_STEPS
        stages = mode_named(self.mode).stages
        other = ((stage, f"{stage.capitalize()}.", ()) for stage in stages)
        return (_IMAGE, _OPTICS, *(_OF_ALL.get(step[0], step) for step in other))

    def image(self) -> Image:
        """Return the recording, for the worker."""
        return layer_image(self.layer, self.reading)

    def show_plain(self, step: Reconstructed) -> None:
        """Show what was reconstructed of raw frames, hidden and not selected."""
        watched = self._viewer.layers.selection.active
        pixels = self.reading.placed(step.image)
        shown = show_image(
            *(self._viewer, self.layer, self.reading, RECONSTRUCTED, pixels), visible=False
        )
        shown.visible = False
        self._viewer.layers.selection.active = watched

    def show_result(self, step: pipeline.Predicted) -> Turns[str]:
        """Show the result, each of its layers in a turn of its own, and name them."""
        made, record = Made(step.model, self.reading), step.record.to_dict()
        denoised, deconvolved = yield from show_result(
            self._viewer, self.layer, made, step.result, record, hidden=(DENOISED,)
        )
        hidden = f"'{denoised.name}'"
        if step.result.background is not None:
            hidden += f" and '{result_name(self.layer, BACKGROUND)}'"
        elif isinstance(self.reading, RawFrames):
            hidden += " and the plain reconstruction"
        return f"'{deconvolved.name}', and hidden {hidden}."

    def show_verdict(self, model: Model, verdict: Verdict, *, maps: bool) -> Turns[Judged]:
        """Keep the verdict on the result of a model."""
        return show_verdict(self._viewer, self.frame, model, verdict, maps=maps)

    def select_result(self) -> None:
        """Select the deconvolved layer, whatever was added after it."""
        layer = made_before(self._viewer, result_name(self.layer, DECONVOLVED), self.layer)
        if layer is not None:
            self._viewer.layers.selection.active = layer


def task_of(
    viewer: Viewer,
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
        return Task(viewer, layer, raw_frames(layer, 3, 3, pixel_size), "sim")
    if reading is None:
        raise InputError("layer-unreadable", f"Layer {layer.name!r} cannot be read.")
    return Task(viewer, layer, reading, mode or mode_of(reading.spatial, sim=False))
