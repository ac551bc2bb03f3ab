"""The dock widget *Noise calibration*: offset, gain and read variance of the camera."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import ComboBox
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

from ...noise.dark_frames import dark_pixels
from ...noise.noise_model import BackgroundFit, NoiseModel
from ...utils.errors import InputError
from ..forms.action_panel import CANCELLED
from ..forms.camera_maps import MapsForm
from ..forms.choosers import ImageChooser
from ..forms.forms import Form, button, collapsible, fill, heading, note
from ..forms.noise_box import ROI_NAME, BackgroundBox
from ..forms.noise_region import (
    ALL_PLANES,
    NEAR_PLANES,
    REACH,
    Region,
    at_place,
    cutoff_of,
    fit,
    region_of,
)
from ..forms.noise_sources import IMAGE, SERIES, NoiseSources
from ..forms.noise_values import GAIN, OFFSET, READ_VARIANCE, NoiseValues, readiness
from ..forms.panel import Panel
from ..layers.layer_axes import Reading, read_as
from ..layers.layers import layer_image, shown_place
from ..plots.plots import BackgroundHistogram
from ..workers.connections import alive, follow
from ..workers.notifications import errors_shown, show_error
from ..workers.window_text import worded
from ..workers.workers import Job, in_background

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image as ImageLayer
    from napari.layers import Shapes
    from numpy.typing import NDArray

PAUSE = 40  # milliseconds from a movement of the mouse to the measurement that follows it

OF_BOX = "background box"
"""How the origin of numbers begins that a box gave."""

HINT = "Draw a box where the image is empty; offset and read variance follow as you move it."


class NoiseWidget(Panel):
    """Calibrates the noise of the camera that took an image of the viewer.

    The result goes to the viewer's shared state, where the training finds it.
    """

    title = "Noise calibration"

    def __init__(self, viewer: napari.viewer.Viewer, *, parent: QWidget | None = None) -> None:
        super().__init__(viewer, parent)
        self._fit_job: Job[Any, BackgroundFit] | None = None
        self._calibration: Job[Any, NoiseModel] | None = None
        self._shared: NoiseModel | None = None
        self._of_gain: tuple[str, ...] = ()  # what speaks against the gain, shown until it changes
        self._failure = ""  # why the last calibration gave nothing
        self._unfit = ""  # why the box of now gives nothing
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
        follow(self, self._viewer.dims.events.current_step, self._on_moved)
        follow(self, self._state.noise_changed, self._on_noise_changed)
        if self._state.noise is not None:
            self.values.take(self._state.noise, (OFFSET, GAIN, READ_VARIANCE))
        self.box.moved.connect(self._on_moved)
        self.box.drawn.connect(self._on_drawn)
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

        self.draw_button = button(
            "Draw background box",
            self.draw,
            f"Draw in the layer '{ROI_NAME}' (made if there is none). Rectangles, ellipses and "
            "polygons count; several are taken together.",
        )
        self.planes_box = ComboBox(
            label="Box holds for",
            choices=[ALL_PLANES, NEAR_PLANES],
            tooltip="In which planes of the volume the box is measured. Choose the planes around "
            f"the one shown ({REACH} on either side) where others have something in the box.",
        )
        self.box = BackgroundBox(self._viewer, owner=self)
        self.box_form = Form(self.box.layer_box, self.planes_box)
        self.box.layer_box.visible = True  # so that its label learns of it when it is hidden
        self.planes_box.visible = True
        self.box.reset_choices()
        self.histogram = BackgroundHistogram(self._viewer)
        self.histogram.setToolTip(
            "How often each value occurs in the box, and the Gaussian that plain camera noise "
            "of that mean and variance would give."
        )
        self.verdict = note(HINT)

        self.sources = NoiseSources()
        self.sources.asked.connect(self._on_asked)
        self.sources.cancelled.connect(self.cancel)

        self.values = NoiseValues()
        self.maps = MapsForm(self._viewer)
        self.maps.changed.connect(self._on_maps)
        self.summary = note()

    def _lay_out(self) -> None:
        fill(
            self.body,
            self.form,
            *(heading("Empty background"), self.draw_button, self.box_form),
            *(self.histogram, self.verdict),
            *(heading("Or measure in"), self.sources, heading("The camera"), self.values),
            collapsible(
                "Pixels that differ (sCMOS): maps",
                self.maps,
                "Offset, gain and variance of each pixel, from files or dark frames. If in doubt, "
                "leave it closed.",
            ),
            self.summary,
        )
        self.body.addStretch(1)

    def reset_choices(self, _: Any = None) -> None:
        """Offer the layers that the viewer holds now; napari calls it when they change."""
        if alive(self):
            self.image.reset_choices()
            self.box.reset_choices()

    # ------------------------------------------------------------------ the background box

    @property
    def roi(self) -> Shapes | None:
        """The layer whose shapes are measured, while the viewer has it."""
        return self.box.layer

    @errors_shown
    def draw(self) -> Shapes:
        """Make or choose the layer for the background, with the mouse set to draw a box."""
        return self.box.draw_on(self._chosen()[0])

    def _on_drawn(self) -> None:
        self._announce = True

    def _on_moved(self, _: Any = None) -> None:
        if alive(self) and not self._timer.isActive():
            self._timer.start()

    def _measure(self) -> None:
        """Measure the background in a thread; the latest place wins."""
        roi, layer = self.roi, self.image.layer
        if roi is None or layer is None or len(roi.data) == 0:
            # What was measured stays: a box that is taken away was not wrong.
            self._unfit = ""
            self.histogram.clear_fit()
            self.verdict.setText(HINT)
            self._summarise()
            return
        if self._fit_job is not None and self._fit_job.running:
            self._waiting = True
            return
        # The flag belongs to the measurement that follows the event, not to one before it.
        announce, self._waiting, self._announce = self._announce, False, False
        try:
            near = self.planes_box.value == NEAR_PLANES
            reading = self.image.reading or read_as(layer)
            region = region_of(self._viewer, layer, reading, self.box, near=near)
        except InputError as error:
            self._on_unfit(error, announce=announce)
            return
        self._fit_job = in_background(
            self,
            "measuring the background",
            partial(fit, region, self.values[GAIN].value),
            partial(self._on_fit, region),
            on_failure=partial(self._on_unfit, announce=announce),
            on_end=self._on_fit_end,
        )

    def _on_fit(self, region: Region, found: BackgroundFit) -> None:
        self.histogram.show_fit(found)
        # Each of several reasons to take care may be the one that matters.
        how = "Take care" if found.empty else "Not empty"
        reasons = "\n• ".join(("", *found.warnings))
        said = found.verdict if len(found.warnings) < 2 else f"{how}:{reasons}"
        self.verdict.setText(region.words + said)
        if not found.empty:
            self._take_back("the box is not on empty background")
            return
        self._unfit = ""
        background = NoiseModel(
            offset=found.offset,
            gain=None,
            read_variance=found.read_variance,
            offset_error=found.offset_error,
            read_variance_error=found.read_variance_error,
            source=f"{OF_BOX} of {found.pixels} pixels",
            warnings=found.warnings,
        )
        self.values.take(background, (OFFSET, READ_VARIANCE))
        self._share(said=found.warnings)

    def _on_unfit(self, error: Exception, *, announce: bool) -> None:
        self.histogram.clear_fit()
        self.verdict.setText(worded(error))
        self._take_back("the box cannot be measured")
        if announce or not isinstance(error, InputError):
            show_error(error)

    def _take_back(self, why: str) -> None:
        """Take the numbers away that a box gave before: they are not those of the box of now."""
        self._unfit = why
        before = [name for name in (OFFSET, READ_VARIANCE) if OF_BOX in self.values[name].origin]
        self.values.drop(before)
        if before and self._state.noise is not None and self._state.noise is self._shared:
            self._shared = self._state.noise = None
        self._summarise()

    def _on_fit_end(self) -> None:
        if self._waiting:
            self._measure()

    # ------------------------------------------------------------------ the other ways

    def _on_asked(self, source: str) -> None:
        measures = {IMAGE: self.calibrate_from_image, SERIES: self.calibrate_from_series}
        measures.get(source, self.calibrate_from_dark)()

    @errors_shown
    def calibrate_from_image(self) -> None:
        """Measure the gain in the frame or volume shown, and what else is not known."""
        layer, reading = self._chosen()
        place = shown_place(layer, self._viewer, reading)
        offset, cutoff = self.values.measured_apart(OFFSET), cutoff_of(self._state.psf, reading)

        def measure() -> NoiseModel:
            shown = at_place(layer_image(layer, reading), place)
            return NoiseModel.from_image(shown, offset, cutoff=cutoff)

        self._calibrate(measure, self.values.wanted())

    @errors_shown
    def calibrate_from_series(self) -> None:
        """Measure the gain in the frames of the layer, and what else is not known."""
        layer, reading = self._chosen()
        offset = self.values.measured_apart(OFFSET)
        self._calibrate(
            lambda: NoiseModel.from_series(layer_image(layer, reading), offset=offset),
            self.values.wanted(),
        )

    @errors_shown
    def calibrate_from_dark(self) -> None:
        """Measure offset and read variance in the layer, taken for frames without light."""
        layer, reading = self._chosen()
        each: list[NDArray[np.float32]] = []

        def measure() -> NoiseModel:
            frames = layer_image(layer, reading)
            each.extend(dark_pixels(frames))
            return NoiseModel.from_dark(frames)

        self._calibrate(measure, (OFFSET, READ_VARIANCE), lambda: self.maps.measured(*each))

    def _chosen(self) -> tuple[ImageLayer, Reading]:
        """Return the chosen layer and how it is read; InputError if there is none."""
        layer = self.image.layer
        if layer is None:
            raise InputError(
                "layer-missing",
                "there is no image to measure; open one or a sample (File > Open Sample).",
            )
        return layer, self.image.reading or read_as(layer)

    def _on_read(self) -> None:
        """Ask and offer what suits the chosen layer, and measure it."""
        if not alive(self):
            return
        self.planes_box.visible = self.image.spatial == "ZYX"
        self._offer_sources()
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
            self.sources.say("")
            # What photon transfer measures is the gain times the excess noise.
            self.values.take(noise.with_excess_noise(self.values.excess_noise), names)
            self._of_gain = noise.warnings
            self._share()
            then()

        self._failure = ""
        self._calibration = in_background(
            self,
            "calibrating the noise",
            measure,
            take,
            on_failure=self._on_failure,
            on_end=self._offer_sources,
            on_phase=self._on_phase,
        )
        self.sources.say("Measuring…")
        self._offer_sources()

    def _on_failure(self, error: Exception) -> None:
        show_error(error)
        before = " The numbers are those of before." if self.values.complete else ""
        self._failure = f"⚠ {worded(error)}{before}"
        self.sources.say("")
        self._summarise()

    def cancel(self) -> None:
        """Give up the calibration under way."""
        if self._calibration is not None and self._calibration.running:
            self._calibration.stop()
            self.sources.say(CANCELLED)
            self.sources.cancel_button.setEnabled(False)

    def stop_work(self) -> None:
        """End what is under way, as the widget's own button does."""
        super().stop_work()
        self.cancel()

    def how_it_ended(self) -> str:
        """Say how the calibration has ended, for who did not see it."""
        return self.sources.status.text() or self.summary.text()

    def _on_phase(self, words: str) -> None:
        self.sources.say(f"Measuring: {words}…")

    def _offer_sources(self) -> None:
        reading = self.image.reading
        self.sources.offer(
            volume=self.image.spatial == "ZYX",
            series=reading is not None and "T" in reading.axes,
            busy=self._calibration is not None and self._calibration.running,
        )

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
        failed = [self._failure] if self._failure else []
        lines = readiness(self.values, self._unfit)
        if self.maps.waits and self.values[GAIN].value is None:
            lines.append("What the dark stack tells of each pixel is used once the gain is known.")
        if self._state.maps is not None:
            lines.append(f"With {self._state.maps.describe()}; what they do not say stands above.")
        self.summary.setText("\n".join([*failed, *lines, *self._of_gain]))
