"""The dock widget *Deconvolve*: a model and an image in, two result layers out."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from math import isclose
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import SpinBox
from napari.layers import Image as ImageLayer
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QWidget,
)

from ..errors import InputError
from ._choosers import MODEL_FILES, DeviceChooser, ImageChooser, alive
from ._damping import DampingForm
from ._forms import Form, Panel, advance, note
from ._known import PLUGIN
from ._layers import layer_image
from ._notify import show_error, show_warning
from ._one_click import SHOWN_KEY, bind_key, deconvolve_layer
from ._readings import Reading, in_window_words, read_as
from ._results import show_result
from ._state import Made, ViewerState, unwrapped
from ._workers import Job, once

if TYPE_CHECKING:
    import napari.viewer

    from ..inference import Result, TileProgress
    from ..model import Model

PIXEL_SIZE_TOLERANCE = 0.05  # as the model itself applies it


class DeconvolveWidget(Panel):
    """Applies a model to a layer of the viewer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer whose layers are offered and which shows the results.
    parent : QWidget, optional
        The widget that holds this one.
    """

    def __init__(self, viewer: napari.viewer.Viewer, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = unwrapped(viewer)
        self._state = ViewerState.of(viewer)
        self._job: Job[TileProgress, Result] | None = None

        self._build_settings()
        self._build_actions()
        self._lay_out()
        bind_key(self._viewer)

        self._state.model_changed.connect(self._on_choice_changed)
        self.image.changed.connect(self._on_choice_changed)
        self._on_choice_changed()

    # ------------------------------------------------------------------ construction

    def _build_settings(self) -> None:
        self.one_click_button = QPushButton("Deconvolve selected layer")
        self.one_click_button.setToolTip(
            "In one click: calibrate, train where no model fits, deconvolve and judge the layer "
            f"that is selected in the layer list ({SHOWN_KEY})."
        )
        self.one_click_button.clicked.connect(lambda: deconvolve_layer(self._viewer))
        self.model_label = note()
        self.load_button = QPushButton("Load…")
        self.load_button.setToolTip("Load a model that was saved to a file.")
        self.load_button.clicked.connect(self._on_load)

        self.image = ImageChooser(
            self._viewer,
            "The raw image, volume or series of either to deconvolve, in camera counts.",
            owner=self,
        )
        self.repeats_box = SpinBox(
            label="Averaging",
            tooltip="Average over this many freshly re-corrupted copies of the image, which "
            "calms what noise is left; time grows accordingly. 0 takes the image as it is.",
            max=256,
        )
        self.tile_box = SpinBox(
            label="Tile",
            tooltip="Width in raw pixels of the parts computed at a time, overlap included. "
            "0 takes what fits into the free memory; the result is the same.",
            max=16384,
            step=64,
        )
        self.device = DeviceChooser(self)
        self.form = Form()
        self.form.add_image(self.image)
        for box in (self.device.box, self.repeats_box, self.tile_box):
            self.form.add(box)
        self.damping = DampingForm(self._viewer, self.image)

        self.mismatch_label = note()

    def _build_actions(self) -> None:
        self.deconvolve_button = QPushButton("Deconvolve")
        self.deconvolve_button.clicked.connect(lambda: self.start())
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Stop after the part under way; nothing is added.")
        self.cancel_button.clicked.connect(lambda: self.cancel())
        self.progress_bar = QProgressBar()
        self.progress_bar.setRange(0, 1)
        self.progress_bar.setFormat("")
        self.status_label = note()

    def _lay_out(self) -> None:
        self.body.addWidget(self.one_click_button)
        buttons = QHBoxLayout()
        buttons.addWidget(self.deconvolve_button)
        buttons.addWidget(self.cancel_button)

        self.body.addWidget(self.model_label)
        self.body.addWidget(self.load_button)
        self.body.addWidget(self.form)
        self.body.addWidget(self.damping)
        self.body.addWidget(self.mismatch_label)
        self.body.addLayout(buttons)
        self.body.addWidget(self.progress_bar)
        self.body.addWidget(self.status_label)
        self.body.addStretch(1)

    def reset_choices(self, _: Any = None) -> None:
        """Offer the layers that the viewer holds now; napari calls it when they change."""
        if alive(self):
            self.image.reset_choices()
            self._on_choice_changed()

    # ------------------------------------------------------------------ actions

    @property
    def running(self) -> bool:
        """Whether a deconvolution is under way."""
        return self._job is not None and self._job.running

    def load_model(self, path: str | Path) -> None:
        """Read a model from a file and share it with the other widgets."""
        Job(
            once(_load, path),
            owner=self,
            on_result=self._on_loaded,
            on_failure=show_error,
            title="loading a model",
            uses_torch=True,
        ).start()

    def start(self, layer: ImageLayer | None = None) -> None:
        """Deconvolve a layer: the given one, or the one that is chosen."""
        if layer is not None:
            self.image.layer = layer
        model, layer = self._state.model, self.image.layer
        if self.running or model is None or layer is None:
            show_error(self._missing() or "a deconvolution is under way; cancel it first.")
            return
        try:
            reading = self.image.reading or read_as(layer)
            work = self._predict(model, layer, reading)
        except InputError as error:
            self._on_failure(error)
            return
        self._job = Job(
            work,
            owner=self,
            on_values=self._on_values,
            on_result=lambda result: self._on_result(result, model, layer, reading),
            on_failure=self._on_failure,
            on_end=self._on_end,
            title="ZS-DeconvNet deconvolution",
            uses_torch=True,
        )
        self.progress_bar.setRange(0, 0)
        self._say("Preparing…")
        self._job.start()
        self._update_buttons()

    def cancel(self) -> None:
        """Give up the deconvolution under way."""
        if self._job is not None and self.running:
            self._job.stop()
            self._say("Cancelled.")
            self.cancel_button.setEnabled(False)

    # ------------------------------------------------------------------ the work

    def _predict(
        self, model: Model, layer: ImageLayer, reading: Reading
    ) -> Generator[TileProgress, None, Result]:
        """Collect the settings now; the returned generator does the work in the worker."""
        settings: dict[str, Any] = {
            "device": self.device.device,
            "repeats": int(self.repeats_box.value),
            "tile": int(self.tile_box.value) or None,
            "damping": self.damping.chosen,
        }

        def work() -> Generator[TileProgress, None, Result]:
            return (yield from model.iter_predict(layer_image(layer, reading), **settings))

        return work()

    def _on_values(self, values: list[TileProgress]) -> None:
        for value in values:
            if value.message:
                show_warning(value.message)
        latest = values[-1]
        text = f"part {latest.done} of {latest.total}"
        advance(self.progress_bar, latest.done, latest.total, text)
        if self.cancel_button.isEnabled():
            self._say("Computing…")

    def _on_result(self, result: Result, model: Model, layer: ImageLayer, reading: Reading) -> None:
        denoised, deconvolved = show_result(self._viewer, layer, Made(model, reading), result)
        self._say(f"Done: '{denoised.name}' and '{deconvolved.name}'.")

    def _on_failure(self, error: Exception) -> None:
        words = in_window_words(str(error))
        show_error(words if isinstance(error, InputError) else error)
        self._say(words)

    def _on_end(self) -> None:
        if self.progress_bar.maximum() == 0:
            self.progress_bar.setRange(0, 1)
        self._update_buttons()

    # ------------------------------------------------------------------ what the window shows

    def _on_load(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Load a model", "", MODEL_FILES)
        if path:
            self.load_model(path)

    def _on_loaded(self, model: Model) -> None:
        self._state.model = model

    def _on_choice_changed(self, _: Any = None) -> None:
        if not alive(self):
            return
        model = self._state.model
        self.model_label.setText(
            f"<b>Model:</b> {'<br>'.join(model.describe().splitlines())}"
            if model is not None
            else "<b>Model:</b> none yet; train one or load it from a file."
        )
        self._say_mismatch()
        self._update_buttons()

    def _say_mismatch(self) -> None:
        model, layer = self._state.model, self.image.layer
        text = ""
        if model is not None and layer is not None and self.image.reading is not None:
            text = _mismatch(model, layer, self.image.reading)
        self.mismatch_label.setText(text and f"⚠ {text}")
        self.mismatch_label.setVisible(bool(text))

    def _missing(self) -> str:
        if self._state.model is None:
            return "there is no model; train one or load it from a file."
        if self.image.layer is None:
            return "there is no image to deconvolve; open one first."
        return ""

    def _update_buttons(self) -> None:
        missing = self._missing()
        self.deconvolve_button.setEnabled(not self.running and not missing)
        self.deconvolve_button.setToolTip(missing or "Add the denoised and deconvolved image.")
        self.cancel_button.setEnabled(self.running)
        self.load_button.setEnabled(not self.running)
        self.form.setEnabled(not self.running)
        self.damping.setEnabled(not self.running)

    def _say(self, text: str) -> None:
        self.status_label.setText(text)


def start_deconvolve(viewer: napari.viewer.Viewer, layer: ImageLayer) -> DeconvolveWidget:
    """Open *Deconvolve* and start on a layer, for a menu entry that acts at once."""
    widget: DeconvolveWidget
    _, widget = unwrapped(viewer).window.add_plugin_dock_widget(PLUGIN, "Deconvolve")
    widget.start(layer)
    return widget


def _load(path: str | Path) -> Model:
    from ..model import Model

    return Model.load(path)


def _mismatch(model: Model, layer: ImageLayer, reading: Reading) -> str:
    """Say how the layer differs from what the model was trained on; empty where it does not."""
    if model.axes != reading.spatial:
        made, given = ("volumes", "images") if model.axes == "ZYX" else ("images", "volumes")
        return (
            f"The model is for {made} and the layer is read as a {reading.kind}: load a model for "
            f"{given}, or correct 'Read as'."
        )
    trained, size = model.voxel_size, reading.voxel_size
    if trained is None or (size is not None and _same_size(size, trained)):
        return ""
    if model.reconstruction is not None:
        return (
            f"The model is for reconstructions of raw SIM with pixels of {_nm(trained)}: raw "
            "frames are deconvolved in the SIM window."
        )
    element = "voxel" if model.axes == "ZYX" else "pixel"
    if size is None:
        return (
            f"The layer has no {element} size; the model was trained on {_nm(trained)}. Make sure "
            "it is the same."
        )
    return (
        f"The layer has {element}s of {_nm(size)} and the model was trained on {_nm(trained)}: "
        f"train a model for this {element} size."
    )


def _same_size(size: tuple[float, ...], trained: tuple[float, ...]) -> bool:
    return all(map(partial(isclose, rel_tol=PIXEL_SIZE_TOLERANCE), size, trained))


def _nm(voxel_size: tuple[float, ...]) -> str:
    """Say a size in nanometres, z, y and x, or one number for square pixels."""
    shown = voxel_size[-1:] if len(voxel_size) == 2 else voxel_size
    return " x ".join(f"{1000 * size:.4g}" for size in shown) + " nm"
