"""The dock widget *Train*: choose an image, press Train, watch it sharpen, keep the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, Select
from qtpy.QtWidgets import QWidget

from ..forms.choosers import ImageChooser, image_layers
from ..forms.forms import fill
from ..forms.noise_and_psf import Known
from ..forms.optics_boxes import out_of_focus_box
from ..layers.layers import layer_image
from ..workers.connections import alive, follow
from .training_panel import TrainingPanel

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image as ImageLayer

    from ...training.trainer import TrainingRun


MODEL_AT_HAND = "model"
INITIAL_WEIGHTS = {
    "what the preset brings along": None,
    "random weights": "scratch",
    "the model at hand": MODEL_AT_HAND,
}
"""Initial weights, as they are shown and as `train` takes them."""


class TrainWidget(TrainingPanel):
    """Trains a model on an image of the viewer.

    Noise and PSF come from the viewer's shared state; the model goes there when the training
    ends, however it ends.
    """

    title = "Train"
    image: ImageChooser

    def __init__(self, viewer: napari.viewer.Viewer, *, parent: QWidget | None = None) -> None:
        super().__init__(viewer, parent=parent)
        self._spatial = ""
        self.known = Known(viewer)
        self._build()

        follow(self, self._state.noise_changed, self._on_state_changed)
        follow(self, self._state.psf_changed, self._on_state_changed)
        follow(self, self._state.model_changed, self._on_state_changed)
        self.begin_box.changed.connect(self._on_state_changed)
        self.image.layer_box.changed.connect(self._on_layer_changed)
        self.image.changed.connect(self._on_read)
        self.upsample_box.changed.connect(self._on_upsample)
        follow(self, self._state.upsample_changed, self._show_upsample)
        self._on_read()

    # ------------------------------------------------------------------ construction

    def _make_chooser(self) -> ImageChooser:
        self.image = ImageChooser(
            self._viewer,
            "The raw image, volume or series of either to train on, in camera counts.",
            owner=self,
        )
        return self.image

    def _build(self) -> None:
        self.upsample_box = CheckBox(
            text="twice the pixels in Y and X",
            tooltip="Put the deconvolved image on a grid of half the raw pixel, which detail "
            "beyond the raw grid needs: usual for images. Of a volume it takes about four times "
            "the time and memory, and pays where the raw pixel is coarse for the optics. Planes "
            "stay as they are.",
        )
        self.out_of_focus_box = out_of_focus_box()
        self.more_box = Select(
            label="Also train on",
            tooltip="Further images of the same microscope and pixel size, trained on together "
            "(Ctrl-click to choose several or none).",
            choices=lambda _: [
                layer for layer in image_layers(self._viewer) if layer is not self.image.layer
            ],
        )
        self.more_box.native.setMaximumHeight(90)
        self.begin_box = ComboBox(
            label="Begin with",
            tooltip="What the network knows before the first step: what simulated images have "
            "taught it (of images with the preset fast), nothing, or what the model at hand has "
            "learned. That of the channel, frame or sample before is done soonest.",
            choices=list(INITIAL_WEIGHTS.items()),
        )

        self.form.add_image(self.image)
        self.form.add(self.preset_box)
        self.form.add(self.upsample_box)
        self.form.add(self.out_of_focus_box)
        self.settings.add(self.begin_box)
        self.settings.add(self.more_box)
        fill(
            self.body,
            *(self.form, self.preset_label, self.known, self.settings_panel, self.broken),
            *(self.action_rows, self.curves),
        )
        self.body.setStretchFactor(self.curves, 1)
        self.body.addStretch(0)

    def reset_choices(self, _: Any = None) -> None:
        """Offer the layers that the viewer holds now; napari calls it when they change."""
        if alive(self):
            self.image.reset_choices()
            self.more_box.reset_choices()
            self._update_buttons()

    # ------------------------------------------------------------------ the run

    def _new_settings(self) -> dict[str, Any]:
        return {
            **super()._new_settings(),
            "psf": self._state.psf,
            "noise": self._state.noise,
            "upsample": bool(self.upsample_box.value),
            "out_of_focus": self._spatial == "YX" and bool(self.out_of_focus_box.value),
            "start": self._state.model if self._begins_with_model else self.begin_box.value,
        }

    def _new_run(self, **settings: Any) -> Callable[[], TrainingRun]:
        chosen = self._trained = self.image.readings(self._chosen_layers())
        maps = self._state.maps

        def make() -> TrainingRun:
            from ...training.trainer import train

            images = [layer_image(layer, reading) for layer, reading in chosen]
            if maps is not None and settings.get("noise") is not None:
                first = images[0]
                settings["noise"] = maps.camera(settings["noise"], first.data.shape, first.name)
            return train(images, **settings)

        return make

    def _chosen_layers(self) -> list[ImageLayer]:
        first = self.image.layer
        if first is None:
            return []
        return [first, *(layer for layer in self.more_box.value if layer is not first)]

    @property
    def _begins_with_model(self) -> bool:
        return bool(self.begin_box.value == MODEL_AT_HAND)

    # ------------------------------------------------------------------ what the window shows

    def _on_layer_changed(self) -> None:
        self.more_box.reset_choices()
        self._update_buttons()

    def _on_read(self) -> None:
        """Offer what suits images, or volumes."""
        if not alive(self):
            return
        if self.image.spatial != self._spatial:
            self._spatial = self.image.spatial
            self.out_of_focus_box.enabled = self._spatial == "YX"
            self._on_kind_changed()
            self._show_upsample()
        self._update_buttons()

    def _on_upsample(self) -> None:
        self._state.set_upsample(self._spatial, bool(self.upsample_box.value))

    def _show_upsample(self) -> None:
        if alive(self):
            self.upsample_box.value = self._state.upsampling(self._spatial) == 2

    def _missing(self) -> str:
        """Say what is to be done before training can start; empty when nothing is."""
        if self.image.layer is None:
            return "there is no image to train on; open one or a sample (File > Open Sample)."
        if self._state.noise is None:
            return "the noise is not known; calibrate it first (Noise calibration)."
        if self._state.psf is None:
            return "there is no PSF; load or simulate one first (PSF)."
        if self._begins_with_model and self._state.model is None:
            return (
                "there is no model to begin with; train or load one first, or choose another "
                "beginning (Begin with)."
            )
        return self.image.missing
