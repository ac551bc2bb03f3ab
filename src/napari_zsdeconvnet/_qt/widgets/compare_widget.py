"""The dock widget *Compare*: classical results of the same image, and two layers side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox
from napari.layers import Image as ImageLayer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSlider, QWidget

from ..forms.forms import Form, fill, heading, note
from ..forms.model_check import mismatch
from ..forms.swipe_button import Pair, SwipeButton
from ..forms.work_panel import WorkPanel
from ..layers.layers import METADATA_KEY, made_before
from ..layers.results import DECONVOLVED, Frame, result_name, show_frame
from ..layers.split_view import KEY, Swipe
from ..workers.connections import alive, follow
from ..workers.workers import Job, Turns
from .compare_worker import Classical, classical
from .psf_widget import LAYER_NAME as PSF_LAYER

if TYPE_CHECKING:
    import napari.viewer

    from ...noise.noise_model import NoiseModel
    from ...physics.classical_deconvolution import Iteration
    from ...psf.psf import PSF

RICHARDSON_LUCY, WIENER = "Richardson-Lucy", "Wiener"
STEPS = 1000  # of the slider


class CompareWidget(WorkPanel):
    """Makes what a result is compared with, and shows two layers with a divider between them."""

    title = "Compare"

    def __init__(self, viewer: napari.viewer.Viewer, *, parent: QWidget | None = None) -> None:
        super().__init__(
            viewer,
            action="Add Richardson-Lucy and Wiener",
            image="The raw image, in camera counts; of a series, the time point that is shown.",
            purpose="Deconvolve with the same PSF, on the same grid, in two ways that learn "
            "nothing.",
            parent=parent,
        )
        self.known_label = note()
        self._build_swipe()
        self._lay_out()

        for changed in (
            self._state.model_changed,
            self._state.psf_changed,
            self._state.noise_changed,
            self._state.upsample_changed,
            self.image.changed,
        ):
            follow(self, changed, self._refresh)
        self._refresh()

    # ------------------------------------------------------------------ construction

    @property
    def swipe(self) -> Swipe | None:
        """What is shown with a divider; None where nothing is."""
        return self.swipe_button.swipe

    def _build_swipe(self) -> None:
        self.left_box, self.right_box = (
            ComboBox(
                label=side.capitalize(),
                tooltip=f"Shown to the {side} of the divider.",
                choices=lambda _: self._comparable(),
            )
            for side in ("left", "right")
        )
        for box in (self.left_box, self.right_box):
            box.changed.connect(self._update_buttons)
        self.sides = Form(self.left_box, self.right_box)
        self.swipe_button = SwipeButton(
            self._viewer, "Swipe", self._sides, lambda: self.slider.value() / STEPS
        )
        self.swipe_button.changed.connect(self._update_buttons)
        self.swipe_button.moved.connect(self._on_moved)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, STEPS)
        self.slider.setValue(STEPS // 2)
        self.slider.setToolTip("Moves the divider; on the canvas it can be dragged, too.")
        self.slider.valueChanged.connect(self._on_slider)

    def _lay_out(self) -> None:
        fill(
            self.body,
            *(heading("Classical results"), self.form, self.known_label, self.action_rows),
            *(heading("Two layers side by side"), self.sides, self.swipe_button, self.slider),
        )
        self.body.addStretch(1)

    # ------------------------------------------------------------------ classical results

    def _begin(self) -> Job[Iteration, Classical]:
        layer, reading, known = self.image.layer, self.image.reading, self._known()
        assert layer is not None
        assert reading is not None
        assert known is not None
        frame = Frame.shown(self._viewer, layer, reading)
        return self._started(
            classical(frame.image, known.psf, known.noise, known.upsampling),
            "classical deconvolution",
            on_values=self._on_values,
            on_result=lambda result: self._on_result(result, frame, known),
            uses_torch=False,
        )

    def _on_values(self, values: list[Iteration]) -> None:
        latest = values[-1]
        self._report(
            f"Richardson-Lucy, iteration {latest.number}: the residual has "
            f"{latest.chi_square:.2f} times the variance of the noise…"
        )

    def _on_result(self, result: Classical, frame: Frame, known: Known) -> Turns[None]:
        names = []
        for what, pixels in (
            (WIENER, result.wiener),
            (RICHARDSON_LUCY, result.richardson_lucy),
        ):
            layer = show_frame(
                *(self._viewer, frame, what, pixels),
                upsampling=known.upsampling,
                offset=known.noise.offset,
            )
            names.append(f"'{layer.name}'")
            yield
        self._choose_sides(layer, frame.layer)  # of both the last one, Richardson-Lucy
        end = (
            "where its residual is as small as the noise"
            if result.explained
            else "though it does not explain the image: check the PSF and the noise"
        )
        self._say(
            f"Added {' and '.join(names)}. Richardson-Lucy ended after {result.iterations} "
            f"iterations, {end}."
        )

    # ------------------------------------------------------------------ swipe

    def _comparable(self) -> list[ImageLayer]:
        return [
            layer
            for layer in self._viewer.layers
            if isinstance(layer, ImageLayer)
            and not layer.rgb
            and layer.metadata.get(METADATA_KEY) not in (KEY, ("psf", PSF_LAYER))
        ]

    def _choose_sides(self, classical: ImageLayer, raw: ImageLayer) -> None:
        """Choose what has just been made, and what the network has made of the same image."""
        if self.swipe is not None:
            return
        deconvolved = made_before(self._viewer, result_name(raw, DECONVOLVED), raw)
        for box, layer in ((self.left_box, classical), (self.right_box, deconvolved or raw)):
            box.reset_choices()
            box.value = layer

    def _choose_result(self) -> None:
        """Choose the image and its result where no two layers are chosen yet."""
        raw = self.image.layer
        if raw is None or self.left_box.value is not self.right_box.value:
            return
        deconvolved = made_before(self._viewer, result_name(raw, DECONVOLVED), raw)
        if deconvolved is not None:
            self.left_box.value, self.right_box.value = raw, deconvolved

    def _sides(self) -> Pair | str:
        """Return the two layers to show, or say what is wrong with them."""
        left, right = self.left_box.value, self.right_box.value
        if left is None or right is None or left is right:
            return "Choose two different layers."
        return left, right

    def _on_slider(self, value: int) -> None:
        if self.swipe is not None:
            self.swipe.place = value / STEPS

    def _on_moved(self, place: float) -> None:
        if alive(self):
            self.slider.setValue(round(STEPS * place))

    # ------------------------------------------------------------------ what the window shows

    def _known(self) -> Known | None:
        """Return the model's PSF and noise where it suits the image, else the viewer's."""
        model, layer, reading = self._state.model, self.image.layer, self.image.reading
        if layer is None or reading is None:
            return None
        if model is not None and not mismatch(model, layer, reading):
            return Known(model.psf, model.noise, model.upsampling, "of the model")
        psf, noise = self._state.psf, self._state.noise
        if psf is None or noise is None:
            return None
        return Known(psf, noise, self._state.upsampling(reading.spatial), "set in this viewer")

    def _missing(self) -> str:
        if self.image.layer is None:
            return "there is no image; open one first."
        if self.image.missing:
            return self.image.missing
        known = self._known()
        if known is None:
            return (
                "PSF and noise are not known; get them (PSF, Noise calibration), or load a model "
                "(Apply model)."
            )
        if known.noise.gain is None:
            return "the camera's gain is not known; measure it (Noise calibration)."
        return ""

    def _refresh(self, _: Any = None) -> None:
        if not alive(self):
            return
        self.left_box.reset_choices()
        self.right_box.reset_choices()
        self._choose_result()
        known = self._known()
        self.known_label.setText(
            f"Uses the PSF and the noise {known.whose}."
            if known is not None
            else "PSF and noise are not known yet."
        )
        self._update_buttons()

    def _update_buttons(self) -> None:
        super()._update_buttons()
        swiping = self.swipe is not None
        self.swipe_button.setText("End swipe" if swiping else "Swipe")
        self.swipe_button.refresh()
        self.slider.setEnabled(swiping)
        self.sides.setEnabled(not swiping)


@dataclass(frozen=True)
class Known:
    """What both methods need beside the image, and whose it is in words."""

    psf: PSF
    noise: NoiseModel
    upsampling: int
    whose: str
