"""The dock widget *Noise calibration*: offset, gain and read variance of the camera."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import ComboBox
from napari.layers import Shapes
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from ..errors import InputError
from ..images import Image
from ..noise import BackgroundFit, NoiseModel, dark_pixels, fit_background
from ._camera_maps import MapsForm
from ._choosers import ImageChooser, alive
from ._forms import Form, Panel, heading, note
from ._layers import layer_image, placement, shapes_mask, shown_place
from ._noise_values import GAIN, OFFSET, READ_VARIANCE, NoiseValues
from ._notify import show_error
from ._plots import BackgroundHistogram
from ._readings import Reading, read_as
from ._state import ViewerState, unwrapped
from ._workers import Job, once

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image as ImageLayer
    from numpy.typing import NDArray

ROI_NAME = "Background ROI"
PAUSE = 40  # milliseconds from a movement of the mouse to the measurement that follows it

HINT = "Draw a box where the image is empty; offset and read variance follow as you move it."

ALL_PLANES, NEAR_PLANES = "all planes", "planes around this one"
REACH = 2
"""Planes on either side of the one shown that are near."""


@dataclass(frozen=True)
class Region:
    """Where to measure: planes of a layer and the pixels of them that the shapes cover."""

    layer: ImageLayer
    reading: Reading
    place: tuple[int, ...]
    """Where the sliders stand, for each axis before Y, X."""
    planes: slice
    """Of a volume."""
    mask: NDArray[np.bool_]
    part: tuple[slice, slice]

    @property
    def words(self) -> str:
        """Say which planes are measured; nothing where there is only one."""
        if self.reading.spatial == "YX":
            return ""
        if self.planes == slice(None):
            return "In all planes: "
        return f"In planes {self.planes.start} to {self.planes.stop - 1}: "


class NoiseWidget(Panel):
    """Calibrates the noise of the camera that took an image of the viewer.

    The result goes to the viewer's shared state, where the training finds it.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer whose layers are measured.
    parent : QWidget, optional
        The widget that holds this one.
    """

    def __init__(self, viewer: napari.viewer.Viewer, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = unwrapped(viewer)
        self._state = ViewerState.of(viewer)
        self._roi: Shapes | None = None
        self._fit_job: Job[Any, BackgroundFit] | None = None
        self._calibration: Job[Any, NoiseModel] | None = None
        self._shared: NoiseModel | None = None
        self._of_gain: tuple[str, ...] = ()  # what speaks against the gain, shown until it changes
        self._waiting = False  # the shapes have moved since the running measurement began
        self._announce = False  # the mouse was let go, so a problem deserves a notification

        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE)
        self._timer.timeout.connect(self._measure)

        self._build()
        self._lay_out()

        self.image.changed.connect(self._on_read)
        self.planes_box.changed.connect(self._on_moved)
        self.values.typed.connect(self._on_typed)
        self._viewer.dims.events.current_step.connect(self._on_moved)
        self._state.noise_changed.connect(self._on_noise_changed)
        if self._state.noise is not None:
            self.values.take(self._state.noise, (OFFSET, GAIN, READ_VARIANCE))
        self._adopt_roi()
        self._on_read()
        self._summarise()

    def _build(self) -> None:
        self.image = ImageChooser(
            self._viewer,
            "The raw image, time series, volume or dark stack to measure, in camera counts.",
            owner=self,
        )
        self.form = Form()
        self.form.add_image(self.image)

        self.draw_button = QPushButton("Draw background box")
        self.draw_button.setToolTip(
            f"Draw in the layer '{ROI_NAME}' (made if there is none). Rectangles, ellipses and "
            "polygons count; several are taken together."
        )
        self.draw_button.clicked.connect(lambda: self.draw())
        self.planes_box = ComboBox(
            label="Box holds for",
            choices=[ALL_PLANES, NEAR_PLANES],
            tooltip="In which planes of the volume the box is measured. Choose the planes around "
            f"the one shown ({REACH} on either side) where others have something in the box.",
        )
        self.planes_form = Form(self.planes_box)
        self.histogram = BackgroundHistogram(self._viewer)
        self.histogram.setToolTip(
            "How often each value occurs in the box, and the Gaussian that plain camera noise "
            "of that mean and variance would give."
        )
        self.verdict = note(HINT)

        self.image_button = QPushButton("This image")
        self.image_button.setToolTip(
            "Measure the gain in the frame shown, or in planes all through the volume shown, from "
            "the noise beyond the optical cutoff (to about 25 %). Offset and read variance are "
            "measured as well where not known."
        )
        self.series_button = QPushButton("Time series")
        self.series_button.setToolTip(
            "Measure the gain from the differences of consecutive frames, or volumes, of the "
            "chosen layer (to a few per cent from twenty frames)."
        )
        self.dark_button = QPushButton("Dark stack")
        self.dark_button.setToolTip(
            "Take the chosen layer for frames, or planes, recorded without light, and measure "
            "offset and read variance in it."
        )
        self.image_button.clicked.connect(lambda: self.calibrate_from_image())
        self.series_button.clicked.connect(lambda: self.calibrate_from_series())
        self.dark_button.clicked.connect(lambda: self.calibrate_from_dark())

        self.values = NoiseValues()
        self.maps = MapsForm(self._viewer)
        self.maps.changed.connect(self._on_maps)
        self.summary = note()

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        for button in (self.image_button, self.series_button, self.dark_button):
            buttons.addWidget(button)
        for widget in (
            self.form,
            heading("Empty background"),
            self.draw_button,
            self.planes_form,
            self.histogram,
            self.verdict,
            heading("Or measure in"),
        ):
            self.body.addWidget(widget)
        self.body.addLayout(buttons)
        self.body.addWidget(heading("The camera"))
        self.body.addWidget(self.values)
        self.body.addWidget(heading("Pixels that differ (sCMOS), where maps are known"))
        self.body.addWidget(self.maps)
        self.body.addWidget(self.summary)
        self.body.addStretch(1)

    def reset_choices(self, _: Any = None) -> None:
        """Offer the layers that the viewer holds now; napari calls it when they change."""
        if not alive(self):
            return
        self.image.reset_choices()
        self._adopt_roi()

    # ------------------------------------------------------------------ the background box

    @property
    def roi(self) -> Shapes | None:
        """The layer that the background is drawn in, while the viewer has it."""
        return self._roi if self._roi in self._viewer.layers else None

    def draw(self) -> Shapes | None:
        """Make or choose the layer for the background, with the mouse set to draw a box."""
        layer = self.image.layer
        if layer is None:
            show_error(self._no_image())
            return None
        try:
            roi = self.roi or self._new_roi(layer)
        except InputError as error:
            show_error(error)
            return None
        self._viewer.dims.ndisplay = 2
        self._viewer.layers.selection.active = roi
        roi.mode = "add_rectangle"
        return roi

    def _new_roi(self, layer: ImageLayer) -> Shapes:
        roi = Shapes(
            ndim=2,
            name=ROI_NAME,
            face_color="transparent",
            edge_color="yellow",
            edge_width=max(1.0, min(layer.data.shape[-2:]) / 250),
            **placement(layer, 2),
        )
        self._viewer.add_layer(roi)
        self._adopt_roi()
        return roi

    def _adopt_roi(self) -> None:
        """Listen to the background layer, which an earlier widget may have made."""
        if self.roi is not None:
            return
        self._roi = next(
            (
                one
                for one in self._viewer.layers
                if isinstance(one, Shapes) and one.name == ROI_NAME
            ),
            None,
        )
        if self._roi is not None:
            self._roi.events.data.connect(self._on_drawn)
            # While a shape is dragged the layer tells of nothing but its repainting.
            self._roi.events.set_data.connect(self._on_moved)
            self._on_moved()

    def _on_drawn(self, event: Any) -> None:
        if not alive(self):
            return
        # Names as napari's ActionType has them; those that end in -ing precede the change.
        if str(getattr(event, "action", "")) not in ("adding", "changing", "removing"):
            self._announce = True
        if str(getattr(event, "action", "")) == "added":
            # The next drag is to move the box, not to draw another. napari is still within
            # its mouse handler here.
            QTimer.singleShot(0, self._let_move)
        self._on_moved()

    def _let_move(self) -> None:
        if alive(self) and self.roi is not None and self.roi.mode == "add_rectangle":
            self.roi.mode = "select"

    def _on_moved(self, _: Any = None) -> None:
        if alive(self) and not self._timer.isActive():
            self._timer.start()

    def _measure(self) -> None:
        """Measure the background in a thread; the latest place wins."""
        roi, layer = self.roi, self.image.layer
        if roi is None or layer is None or len(roi.data) == 0:
            self.histogram.clear_fit()
            self.verdict.setText(HINT)
            return
        if self._fit_job is not None and self._fit_job.running:
            self._waiting = True
            return
        # The flag belongs to the measurement that follows the event, not to one before it.
        announce, self._waiting, self._announce = self._announce, False, False
        try:
            region = self._region(roi, layer)
        except InputError as error:
            self._on_unfit(error, announce=announce)
            return
        self._fit_job = Job(
            once(_fit, region, self.values[GAIN].value),
            owner=self,
            on_result=partial(self._on_fit, region),
            on_failure=partial(self._on_unfit, announce=announce),
            on_end=self._on_fit_end,
            title="measuring the background",
        )
        self._fit_job.start()

    def _region(self, roi: Shapes, layer: ImageLayer) -> Region:
        reading = self.image.reading or read_as(layer)
        mask, part = shapes_mask(roi, layer)
        place = shown_place(layer, self._viewer, reading)
        planes = slice(None)
        if reading.spatial == "ZYX" and self.planes_box.value == NEAR_PLANES:
            planes = slice(max(place[-1] - REACH, 0), place[-1] + REACH + 1)
        return Region(layer, reading, place, planes, mask, part)

    def _on_fit(self, region: Region, fit: BackgroundFit) -> None:
        self.histogram.show_fit(fit)
        # Each of several reasons to take care may be the one that matters.
        said = (
            fit.verdict if len(fit.warnings) < 2 else "Take care:\n• " + "\n• ".join(fit.warnings)
        )
        self.verdict.setText(region.words + said)
        background = NoiseModel(
            offset=fit.offset,
            gain=None,
            read_variance=fit.read_variance,
            offset_error=fit.offset_error,
            read_variance_error=fit.read_variance_error,
            source=f"background of {fit.pixels} pixels",
            warnings=fit.warnings,
        )
        self.values.take(background, (OFFSET, READ_VARIANCE))
        self._share(said=fit.warnings)

    def _on_unfit(self, error: Exception, *, announce: bool) -> None:
        self.histogram.clear_fit()
        self.verdict.setText(str(error))
        if announce or not isinstance(error, InputError):
            show_error(error)

    def _on_fit_end(self) -> None:
        if self._waiting:
            self._measure()

    # ------------------------------------------------------------------ the other ways

    def calibrate_from_image(self) -> None:
        """Measure the gain in the frame or volume shown, and what else is not known."""
        chosen = self._chosen()
        if chosen is None:
            return
        layer, reading = chosen
        try:
            place = shown_place(layer, self._viewer, reading)
        except InputError as error:
            show_error(error)
            return
        offset, cutoff = self._measured_apart(OFFSET), self._cutoff(reading)

        def measure() -> NoiseModel:
            shown = _shown(layer_image(layer, reading), place)
            return NoiseModel.from_image(shown, offset, cutoff=cutoff)

        self._calibrate(measure, self._wanted())

    def calibrate_from_series(self) -> None:
        """Measure the gain in the frames of the layer, and what else is not known."""
        chosen = self._chosen()
        if chosen is None:
            return
        layer, reading = chosen
        offset = self._measured_apart(OFFSET)
        self._calibrate(
            lambda: NoiseModel.from_series(layer_image(layer, reading), offset=offset),
            self._wanted(),
        )

    def calibrate_from_dark(self) -> None:
        """Measure offset and read variance in the layer, taken for frames without light."""
        chosen = self._chosen()
        if chosen is None:
            return
        layer, reading = chosen
        each: list[NDArray[np.float32]] = []

        def measure() -> NoiseModel:
            frames = layer_image(layer, reading)
            each.extend(dark_pixels(frames))
            return NoiseModel.from_dark(frames)

        self._calibrate(measure, (OFFSET, READ_VARIANCE), lambda: self.maps.measured(*each))

    def _chosen(self) -> tuple[ImageLayer, Reading] | None:
        """Return the chosen layer and how it is read, or say why there is none."""
        layer = self.image.layer
        if layer is None:
            show_error(self._no_image())
            return None
        try:
            return layer, self.image.reading or read_as(layer)
        except InputError as error:
            show_error(error)
            return None

    def _on_read(self) -> None:
        """Ask and offer what suits the chosen layer, and measure it."""
        if not alive(self):
            return
        deep = self.image.spatial == "ZYX"
        self.planes_form.setVisible(deep)
        self.image_button.setText("This volume" if deep else "This image")
        self._set_busy(self._calibration is not None and self._calibration.running)
        self._on_moved()

    @property
    def busy(self) -> bool:
        """Whether a calibration or a measurement of the background is under way."""
        jobs = (self._fit_job, self._calibration)
        return self._timer.isActive() or any(job is not None and job.running for job in jobs)

    def _calibrate(
        self,
        measure: Callable[[], NoiseModel],
        names: tuple[str, ...],
        then: Callable[[], None] = lambda: None,
    ) -> None:
        def take(noise: NoiseModel) -> None:
            # What photon transfer measures is the gain times the excess noise.
            self.values.take(noise.with_excess_noise(self.values.excess_noise), names)
            self._of_gain = noise.warnings
            self._share()
            then()

        self._set_busy(True)
        self._calibration = Job(
            once(measure),
            owner=self,
            on_result=take,
            on_failure=self._on_failure,
            on_end=lambda: self._set_busy(False),
            title="calibrating the noise",
        )
        self._calibration.start()
        self.summary.setText("Measuring…")

    def _on_failure(self, error: Exception) -> None:
        show_error(error)
        self._summarise()

    def _set_busy(self, busy: bool) -> None:
        for button in (self.image_button, self.dark_button):
            button.setEnabled(not busy)
        series = self.image.reading is not None and "T" in self.image.reading.axes
        self.series_button.setEnabled(series and not busy)

    def _measured_apart(self, name: str) -> float | None:
        """Return a number that does not itself stem from photon transfer, if there is one."""
        value = self.values[name]
        return None if "photon transfer" in value.origin else value.value

    def _wanted(self) -> tuple[str, ...]:
        """Say what photon transfer is to give: the gain, and what nothing better has given."""
        missing = [n for n in (OFFSET, READ_VARIANCE) if self._measured_apart(n) is None]
        return (*missing, GAIN)

    def _cutoff(self, reading: Reading) -> float | None:
        """Return the optical cutoff in cycles per raw pixel, where PSF and pixel tell it."""
        psf = self._state.psf
        if psf is None or psf.voxel_size is None or reading.voxel_size is None:
            return None
        return psf.otf_cutoff * max(reading.voxel_size[-2:])

    # ------------------------------------------------------------------ the result

    def _on_maps(self) -> None:
        """Put the maps where training and prediction find them, with the numbers they lack."""
        self._state.maps = self.maps.parts(gain=self.values[GAIN].value is not None)
        self._summarise()

    def _on_typed(self) -> None:
        self._of_gain = ()
        self._share()

    def _share(self, said: tuple[str, ...] = ()) -> None:
        """Put the numbers where the other widgets find them.

        ``said`` are warnings that stand beside the histogram already.
        """
        noise = self.values.model((*said, *self._of_gain))
        if noise is not None:
            self._shared = noise
            self._state.noise = noise
        if self.maps.waits:
            self._on_maps()
        self._summarise()

    def _on_noise_changed(self, noise: NoiseModel | None) -> None:
        """Show a noise model that came from elsewhere, such as a loaded model's."""
        if alive(self) and noise is not None and noise is not self._shared:
            self.values.take(noise, (OFFSET, GAIN, READ_VARIANCE))
            self._of_gain = noise.warnings
            self._summarise()

    def _summarise(self) -> None:
        lines = []
        gain, variance = self.values[GAIN].value, self.values[READ_VARIANCE].value
        if gain is not None and variance is not None:
            lines.append(f"Read noise {variance**0.5 / gain:.2g} electrons.")
        if not self.values.complete:
            lines.append("Training needs offset and read variance: draw, measure or type them.")
        elif gain is None:
            lines.append("Ready. The gain will be measured in the image that is trained on.")
        if self.maps.waits and gain is None:
            lines.append("What the dark stack tells of each pixel is used once the gain is known.")
        if self._state.maps is not None:
            lines.append(f"With {self._state.maps.describe()}; what they do not say stands above.")
        self.summary.setText("\n".join([*lines, *self._of_gain]))

    def _no_image(self) -> str:
        return "There is no image to measure; open one or a sample (File > Open Sample)."


def _fit(region: Region, gain: float | None) -> BackgroundFit:
    shown = _shown(layer_image(region.layer, region.reading), region.place)
    pixels = shown.data[region.planes] if shown.data.ndim == 3 else shown.data
    mask = np.zeros(pixels.shape[-2:], dtype=bool)
    mask[region.part] = region.mask
    return fit_background(
        pixels,
        mask,
        gain=gain,
        planes=shown.data.ndim == 3,
        name=f"layer {region.layer.name!r}",
    )


def _shown(image: Image, place: tuple[int, ...]) -> Image:
    """Return the one image or volume that the sliders stand at."""
    if "T" not in image.axes:
        return image
    return replace(image, data=image.data[place[image.axes.index("T")]], axes=image.axes[1:])
