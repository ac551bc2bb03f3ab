"""What one click does with a layer: with images and volumes, and with raw SIM frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer

from ...utils.errors import InputError
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

QUICK_STEPS = 240
"""Of a training on a stack, whose preset takes minutes longer."""

STEPS = (_IMAGE, _OPTICS, _PSF, _NOISE, _MODEL, _RESULT, _VERDICT)
SIM_STEPS = (_IMAGE, _OPTICS, _NOISE, _PATTERNS, _SIM_MODEL, _SIM_RESULT, _VERDICT)


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
    steps: int | None = None
    """Of the training; None for the preset's own."""
    more: str = ""
    """What more steps would bring."""

    def recipe_maker(self, microscope: dict[str, Any], **known: Any) -> Callable[[], Any]:
        """Return what makes the recipe in the worker."""
        raise NotImplementedError

    def show_plain(self, viewer: napari.viewer.Viewer, step: pipeline.Reconstructed) -> None:
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
        self, layer: ImageLayer, reading: Reading | None, viewer: napari.viewer.Viewer
    ) -> None:
        if reading is None:
            raise InputError(f"Layer {layer.name!r} cannot be read.")
        self.layer, self.reading = layer, reading
        self.spatial = reading.spatial
        if self.spatial == "ZYX":
            self.steps = QUICK_STEPS
            self.more = " The 600 of the preset gain a little, and more in dense stacks: Train…"
        lines = [f"{layer.name}: {what_is_there(layer, reading)}"]
        if layer.multiscale:
            lines.append("Of its several resolutions the full one is taken.")
        if pixels_of(layer).dtype.itemsize == 1:
            lines.append("⚠ 8 bits: their rounding hides the camera's noise; use the original.")
        self.words = " ".join(lines)
        place = shown_place(layer, viewer, reading)
        self.frame = place[0] if "T" in reading.axes else None

    def recipe_maker(self, microscope: dict[str, Any], **known: Any) -> Callable[[], Any]:
        image = layer_image(self.layer, self.reading)
        known.pop("pixel_size")
        maps = known.pop("maps")

        def make() -> Any:
            from ...workflow.pipeline import Images, Microscope

            if maps is not None and known["noise"] is not None:
                known["noise"] = maps.camera(known["noise"], image.data.shape, image.name)
            scope = Microscope(**microscope) if known["psf"] is None else None
            return Images(image, scope, frame=self.frame or 0, **known)

        return make

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
    grid = 2
    spatial = "YX"

    def __init__(self, layer: ImageLayer) -> None:
        self.layer = layer
        self._frames: RawFrames = raw_frames(layer, 3, 3)
        self.reading = self._frames.reading
        height, width = pixels_of(layer).shape[-2:]
        images = f"{self._frames.images} images of " if self._frames.images > 1 else ""
        self.words = (
            f"{layer.name}: raw SIM, {images}{self._frames.per_image} frames of {height} x {width}."
        )

    def recipe_maker(self, microscope: dict[str, Any], **known: Any) -> Callable[[], Any]:
        frames, layer = self._frames, self.layer

        def make() -> Any:
            from ...workflow import pipeline

            scope = pipeline.Microscope(microscope["na"], microscope["wavelength"])
            return pipeline.RawFrames(
                frames.of(layer),
                scope,
                known["pixel_size"],
                noise=known["noise"],
                offset=known["offset"],
                name=layer.name,
                origin=origin_of(layer, frames.reading),
                pixel_rule=rule_of(layer),
            )

        return make

    def show_plain(self, viewer: napari.viewer.Viewer, step: pipeline.Reconstructed) -> None:
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
