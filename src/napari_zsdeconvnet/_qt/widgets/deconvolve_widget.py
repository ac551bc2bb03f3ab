"""The dock widget *Apply model*: a model and an image in, two result layers out."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer
from qtpy.QtWidgets import QWidget

from ..forms.choosers import MODEL_FILES
from ..forms.device_chooser import DeviceChooser
from ..forms.folded_note import FoldedNote
from ..forms.forms import button, fill, note, number, offer, open_file
from ..forms.kept_models import read_model
from ..forms.model_check import show_mismatch
from ..forms.stripe_filter import DampingForm
from ..forms.work_panel import WorkPanel
from ..layers.layer_axes import Reading, read_as
from ..layers.layers import layer_image, made_before
from ..layers.records import RECORD_KEY, recorded, save_record, write_record
from ..layers.results import DECONVOLVED, result_name, result_names, show_result
from ..layers.state import Made
from ..workers.connections import alive, follow
from ..workers.notifications import show_error
from ..workers.workers import Job, Turns, in_background
from .one_click import NAME, SHOWN_KEY, bind_key, deconvolve_layer

if TYPE_CHECKING:
    import napari.viewer

    from ...inference.predict import Result, TileProgress
    from ...model.model import Model


class DeconvolveWidget(WorkPanel):
    """Applies a model to a layer of the viewer."""

    title = "Apply model"

    def __init__(self, viewer: napari.viewer.Viewer, *, parent: QWidget | None = None) -> None:
        super().__init__(
            viewer,
            action="Apply model",
            image="The raw image, volume or series of either to deconvolve, in camera counts.",
            purpose="Add the denoised and deconvolved image.",
            parent=parent,
        )
        self.deconvolve_button = self.start_button
        self._build()
        bind_key(self._viewer)

        follow(self, self._state.model_changed, self._refresh)
        self.image.changed.connect(self._refresh)
        self._refresh()

    # ------------------------------------------------------------------ construction

    def _build(self) -> None:
        self.one_click_button = button(
            NAME,
            lambda: deconvolve_layer(self._viewer),
            "In one click: calibrate, train where no model fits, deconvolve and judge the layer "
            f"that is selected in the layer list ({SHOWN_KEY}).",
        )
        self.model_label = FoldedNote()
        load = partial(open_file, self, "Load a model", MODEL_FILES, self.load_model)
        self.load_button = button("Load…", load, "Load a model that was saved to a file.")
        self.repeats_box = number(
            "Averaging",
            0,
            unit="",
            maximum=256,
            decimals=0,
            absent="off",
            tooltip="Average over this many freshly re-corrupted copies of the image, which "
            "calms what noise is left; time grows accordingly. Off takes the image as it is.",
        )
        self.tile_box = number(
            "Tile",
            0,
            unit="pixels",
            maximum=16384,
            step=64,
            decimals=0,
            absent="automatic",
            tooltip="Width in raw pixels of the parts computed at a time, overlap included. "
            "Automatic takes what fits into the free memory; the result is the same.",
        )
        self.device = DeviceChooser(self)
        for box in (self.device.box, self.repeats_box, self.tile_box):
            self.form.add(box)
        self.damping = DampingForm(self._viewer, self.image)

        self.mismatch_label = note()
        self.record_button = button("Save record…", self.save_record)
        fill(
            self.body,
            *(self.one_click_button, self.model_label, self.load_button, self.form, self.damping),
            *(self.mismatch_label, self.action_rows, self.record_button),
        )
        self.body.addStretch(1)

    # ------------------------------------------------------------------ actions

    def load_model(self, path: str | Path) -> None:
        """Read a model from a file and share it with the other widgets."""
        read = partial(read_model, path)
        in_background(self, "loading a model", read, self._on_loaded, uses_torch=True)

    def save_record(self, path: str | Path | None = None) -> None:
        """Write the record of the chosen image's result to a file.

        Parameters
        ----------
        path : path, optional
            The file; by default it is asked for.
        """
        result = self._result
        if result is None:
            show_error("there is no result of this image; press Apply model first.")
        elif path is None:
            save_record(self, result)
        else:
            write_record(self, result, path)

    @property
    def _result(self) -> ImageLayer | None:
        """The deconvolved layer of the chosen image, if it has a record."""
        layer = self.image.layer
        if layer is None:
            return None
        result = made_before(self._viewer, result_name(layer, DECONVOLVED), layer)
        return result if result is not None and RECORD_KEY in result.metadata else None

    # ------------------------------------------------------------------ the work

    def _begin(self) -> Job[TileProgress, tuple[Result, dict[str, Any]]]:
        model, layer = self._state.model, self.image.layer
        assert model is not None
        assert layer is not None
        reading = self.image.reading or read_as(layer)
        return self._started(
            self._predict(model, layer, reading),
            "ZS-DeconvNet deconvolution",
            on_values=self._on_values,
            on_result=lambda made: self._on_result(made, layer, Made(model, reading)),
        )

    def _predict(
        self, model: Model, layer: ImageLayer, reading: Reading
    ) -> Generator[TileProgress, None, tuple[Result, dict[str, Any]]]:
        """Collect the settings now; the returned generator does the work in the worker."""
        settings: dict[str, Any] = {
            "device": self.device.device,
            "repeats": int(self.repeats_box.value),
            "tile": int(self.tile_box.value) or None,
            "damping": self.damping.chosen,
        }

        names = result_names(layer)
        maps = None if model.maps is None or model.maps.of_image else self._state.maps

        def work() -> Generator[TileProgress, None, tuple[Result, dict[str, Any]]]:
            from ...workflow.record import iter_recorded

            image = layer_image(layer, reading)
            if maps is not None:
                settings["camera"] = maps.camera(model.noise, image.data.shape, image.name)
            tiles = iter_recorded(model, image, **settings)
            return (yield from recorded(tiles, model, names, image))

        return work()

    def _on_values(self, values: list[TileProgress]) -> None:
        self._show_tiles(values)
        self._report("Computing…")

    def _on_result(
        self, made: tuple[Result, dict[str, Any]], layer: ImageLayer, made_by: Made
    ) -> Turns[None]:
        denoised, deconvolved = yield from show_result(self._viewer, layer, made_by, *made)
        self._say(f"Done: '{denoised.name}' and '{deconvolved.name}'.")

    # ------------------------------------------------------------------ what the window shows

    def _on_loaded(self, model: Model) -> None:
        self._state.model = model

    def _refresh(self, _: Any = None) -> None:
        if not alive(self):
            return
        model = self._state.model
        if model is None:
            self.model_label.say("Model:", "none yet; train one or load it from a file.")
        else:
            brief, _, whole = model.describe().partition("\n")
            self.model_label.say("Model:", f"{brief}.", whole)
        show_mismatch(self.mismatch_label, model, self.image)
        self._update_buttons()

    def _missing(self) -> str:
        if self._state.model is None:
            return "there is no model; train one or load it from a file."
        if self.image.layer is None:
            return "there is no image to deconvolve; open one first."
        return ""

    def _update_buttons(self) -> None:
        super()._update_buttons()
        has_record = self._result is not None
        offer(
            self.record_button,
            "" if has_record else "Deconvolve the image first.",
            "Write all that is needed to repeat this result, and to describe it, as JSON.",
            free=not self.running,
        )
        self.load_button.setEnabled(not self.running)
        self.damping.setEnabled(not self.running)
