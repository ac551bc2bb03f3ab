"""What one click does with a layer: with images and volumes, and with raw SIM frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer

from ...io.image import Image
from ...modes.registry import mode_named
from ...utils.errors import InputError
from ..forms.optics_metadata import mode_of
from ..forms.sim_frames import RawFrames, raw_frames
from ..layers.layer_axes import Reading, pixels_of, what_is_there
from ..layers.layers import (
    add_or_update,
    bring_forward,
    layer_image,
    made_before,
    origin_of,
    rule_of,
    shown_place,
)
from ..layers.records import keep_verdict
from ..layers.results import (
    BACKGROUND,
    DECONVOLVED,
    DENOISED,
    result_metadata,
    result_name,
    result_names,
    show_result,
)
from ..layers.state import Made
from ..workers.workers import Turns

if TYPE_CHECKING:
    import napari.viewer

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
_RESULT = ("result", "Result.", (("Deconvolve…", "Deconvolve"),))
_SIM_RESULT = ("result", "Result.", (("SIM…", "SIM"),))
_VERDICT = ("verdict", "Verdict.", (("Quality…", "Quality"),))

STEPS = (_IMAGE, _OPTICS, _PSF, _NOISE, _MODEL, _RESULT, _VERDICT)
SIM_STEPS = (_IMAGE, _OPTICS, _NOISE, _PATTERNS, _SIM_MODEL, _SIM_RESULT, _VERDICT)
_OF_ALL = {step[0]: step for step in (*STEPS, _PATTERNS)}


class Task:
    """A layer, how it is read, and how its results are shown."""

    layer: ImageLayer
    reading: Reading
    spatial: str
    grid: int
    """Pixels of what is trained on per pixel of the layer."""
    words: str
    frame: int | None = None
    """Which time point is judged; None for a layer without time."""
    mode: str
    """As `find_mode` takes it."""
    more: str = ""
    """What more steps would bring."""

    def image(self) -> Image:
        """Return the recording, for the worker."""
        raise NotImplementedError

    @property
    def judged_by_layer(self) -> bool:
        """Whether the window that judges layers knows its mode."""
        return self.mode in ("image", "volume", "sim", "sim-stack")

    @property
    def shown_steps(self) -> tuple[Any, ...]:
        """What the window lists: the layer, its optics, and the stages of the mode."""
        if self.mode == "sim":
            return SIM_STEPS
        stages = mode_named(self.mode).stages
        other = ((stage, f"{stage.capitalize()}.", ()) for stage in stages)
        return (_IMAGE, _OPTICS, *(_OF_ALL.get(step[0], step) for step in other))

    def show_plain(self, viewer: napari.viewer.Viewer, step: Reconstructed) -> None:
        """Show what was reconstructed, if anything was."""

    def show_result(self, viewer: napari.viewer.Viewer, step: pipeline.Predicted) -> Turns[str]:
        """Show the result, each of its layers in a turn of its own, and name them."""
        raise NotImplementedError

    def keep_verdict(self, viewer: napari.viewer.Viewer, verdict: Verdict) -> None:
        """Add a verdict to the record of the results."""
        for name in result_names(self.layer).values():
            layer = made_before(viewer, name, self.layer)
            if layer is not None:
                keep_verdict(layer, verdict)

    def select_result(self, viewer: napari.viewer.Viewer) -> None:
        """Select the deconvolved layer, whatever was added after it."""
        layer = made_before(viewer, result_name(self.layer, DECONVOLVED), self.layer)
        if layer is not None:
            viewer.layers.selection.active = layer


class ImageTask(Task):
    grid = 1

    def __init__(
        self,
        layer: ImageLayer,
        reading: Reading | None,
        viewer: napari.viewer.Viewer,
        mode: str | None = None,
    ) -> None:
        if reading is None:
            raise InputError(f"Layer {layer.name!r} cannot be read.")
        self.layer, self.reading = layer, reading
        self.spatial = reading.spatial
        self.mode = mode or mode_of(self.spatial, sim=False)
        if self.mode == "volume":
            self.more = " The 600 of the preset gain a little, and more in dense stacks: Train…"
        lines = [f"{layer.name}: {what_is_there(layer, reading)}"]
        if layer.multiscale:
            lines.append("Of its several resolutions the full one is taken.")
        if pixels_of(layer).dtype.itemsize == 1:
            lines.append("⚠ 8 bits: their rounding hides the camera's noise; use the original.")
        self.words = " ".join(lines)
        place = shown_place(layer, viewer, reading)
        self.frame = place[0] if "T" in reading.axes else None

    def image(self) -> Image:
        return layer_image(self.layer, self.reading)

    def show_result(self, viewer: napari.viewer.Viewer, step: pipeline.Predicted) -> Turns[str]:
        made = Made(step.model, self.reading)
        record = step.record.to_dict()
        denoised, deconvolved = yield from show_result(
            viewer, self.layer, made, step.result, record, hidden=(DENOISED,)
        )
        denoised.visible = False
        hidden = f"'{denoised.name}'"
        if step.result.background is not None:
            hidden += f" and '{result_name(self.layer, BACKGROUND)}'"
        return f"'{deconvolved.name}', and hidden {hidden}."


class SIMTask(Task):
    mode = "sim"
    grid = 2
    spatial = "YX"

    def __init__(self, layer: ImageLayer, pixel_size: float | None = None) -> None:
        self.layer, self.pixel_size = layer, pixel_size
        self._frames: RawFrames = raw_frames(layer, 3, 3)
        self.reading = self._frames.reading
        height, width = pixels_of(layer).shape[-2:]
        images = f"{self._frames.images} images of " if self._frames.images > 1 else ""
        self.words = (
            f"{layer.name}: raw SIM, {images}{self._frames.per_image} frames of {height} x {width}."
        )

    def image(self) -> Image:
        frames = self._frames.of(self.layer)
        return Image(
            frames,
            "TCYX"[-frames.ndim :],
            None if self.pixel_size is None else (self.pixel_size,) * 2,
            self.layer.name,
            origin=origin_of(self.layer, self._frames.reading),
            pixel_rule=rule_of(self.layer),
        )

    def show_plain(self, viewer: napari.viewer.Viewer, step: Reconstructed) -> None:
        watched = viewer.layers.selection.active
        self._show(viewer, "Wiener", step.image, visible=False).visible = False
        viewer.layers.selection.active = watched

    def show_result(self, viewer: napari.viewer.Viewer, step: pipeline.Predicted) -> Turns[str]:
        metadata = result_metadata(step.model, step.record.to_dict())
        denoised = self._show(viewer, DENOISED, step.result.denoised, metadata, visible=False)
        denoised.visible = False
        yield
        deconvolved = self._show(viewer, DECONVOLVED, step.result.deconvolved, metadata)
        yield
        return f"'{deconvolved.name}', and hidden '{denoised.name}' and the plain reconstruction."

    def _show(
        self,
        viewer: napari.viewer.Viewer,
        what: str,
        pixels: Any,
        metadata: dict[str, Any] | None = None,
        *,
        visible: bool = True,
    ) -> ImageLayer:
        one = add_or_update(
            viewer,
            result_name(self.layer, what),
            self._frames.placed(pixels),
            like=self.layer,
            axes=self._frames.axes,
            upsampling=2,
            every=self._frames.every if self._frames.images > 1 else 1,
            metadata=metadata,
            visible=visible,
        )
        return bring_forward(viewer, one, like=self.layer) if visible else one
