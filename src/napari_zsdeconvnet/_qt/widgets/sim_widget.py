"""The dock widget *SIM*: find the fringes of raw frames, reconstruct, train, deconvolve."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import CheckBox
from napari.layers import Image as ImageLayer
from qtpy.QtWidgets import QFileDialog, QGridLayout, QPushButton, QWidget

from ...inference.predict import TileProgress
from ...utils.errors import InputError
from ..forms.action_panel import CANCELLED
from ..forms.forms import Form, advance, collapsible, heading, note, number, tip
from ..forms.sim_camera import CameraForm
from ..forms.sim_frames import RawFrames, SIMChooser
from ..forms.sim_pattern import Microscope, report_words, show_spectrum
from ..layers.layers import add_or_update, bring_forward
from ..layers.results import result_metadata, result_names
from ..workers.connections import alive, follow
from ..workers.notifications import show_error, show_info, show_warning
from ..workers.workers import Job, Turns
from .sim_worker import (
    Reconstructed,
    first_image,
    predicted,
    reconstructed,
    reconstruction,
    reconstruction_of,
)
from .training_panel import TrainingPanel

if TYPE_CHECKING:
    import napari.viewer
    from numpy.typing import NDArray

    from ...inference.predict import Result
    from ...model.model import Model
    from ...psf.psf import PSF
    from ...sim.patterns import Patterns
    from ...sim.reconstruction import Reconstruction
    from ...training.trainer import TrainingRun

PATTERN_FILES = "Patterns (*.json);;All files (*)"


class SIMWidget(TrainingPanel):
    """Takes raw 2D-SIM from its frames to a deconvolved image."""

    title = "SIM"

    _grid = 2
    _raw_sim = True

    def __init__(self, viewer: napari.viewer.Viewer, *, parent: QWidget | None = None) -> None:
        super().__init__(viewer, parent=parent)
        self.patterns: Patterns | None = None
        self._patterns_of: ImageLayer | None = None
        self._work: Job[Any, Any] | None = None
        self._build()
        self._lay_out()
        self.raw.changed.connect(self._on_state_changed)
        self.camera.changed.connect(self._on_state_changed)
        follow(self, self._state.model_changed, self._on_state_changed)
        follow(self, self._state.psf_changed, self._on_state_changed)
        self._on_kind_changed()
        self._show_patterns()

    # ------------------------------------------------------------------ construction

    def _build(self) -> None:
        self.raw = SIMChooser(self._viewer, owner=self)
        self.microscope = Microscope(self._state.optics)
        self.camera = CameraForm(self._viewer)
        scope = self.microscope
        self.form.add(self.raw.layer_box)
        self.form.add_note(self.raw.note)
        for box in (
            self.raw.order_box,
            self.raw.pixel_box,
            scope.na,
            scope.emission,
            self.camera.source,
        ):
            self.form.add(box)
        self.known = Form(
            scope.period,
            scope.angles,
            scope.excitation,
            scope.excitation_na,
            self.raw.orientations_box,
            self.raw.phases_box,
        )
        self.wiener = number(
            "Wiener constant",
            0.1,
            unit="",
            minimum=0.001,
            maximum=10,
            step=0.02,
            decimals=3,
            tooltip="Weighs noise against sharpness: larger is smoother.",
        )
        self.notch = number(
            "Notch",
            0.9,
            unit="",
            maximum=1,
            step=0.1,
            tooltip="By how much the middle of the shifted orders is damped, 0 to 1: against a "
            "honeycomb from light out of focus.",
        )
        self.apodisation = number(
            "Apodisation",
            1.0,
            unit="",
            maximum=4,
            step=0.1,
            tooltip="How steeply the spectrum falls towards its edge: less is sharper and rings "
            "more.",
        )
        self.own_psf = CheckBox(
            text="with the PSF of the PSF window",
            tooltip="Take the microscope's PSF from there, on the raw grid or on one twice as "
            "fine, in place of an ideal objective's.",
        )
        self.reconstruction = Form(self.wiener, self.notch, self.apodisation, self.own_psf)

        self.estimate_button = QPushButton("Estimate")
        self.reconstruct_button = QPushButton("Reconstruct")
        self.load_button = QPushButton("Load…")
        self.keep_button = QPushButton("Save…")
        self.load_button.setToolTip("Load patterns that were saved, in place of estimating them.")
        self.keep_button.setToolTip("Save the patterns, for other recordings of the same series.")
        self.deconvolve_button = QPushButton("Deconvolve")
        self.estimate_button.clicked.connect(lambda: self.estimate())
        self.reconstruct_button.clicked.connect(lambda: self.reconstruct())
        self.load_button.clicked.connect(self._on_load_patterns)
        self.keep_button.clicked.connect(self._on_save_patterns)
        self.deconvolve_button.clicked.connect(lambda: self.deconvolve())
        self.report = note(rich=True)

    def _lay_out(self) -> None:
        pattern_buttons = QGridLayout()
        for column, button in enumerate(
            (self.estimate_button, self.reconstruct_button, self.load_button, self.keep_button)
        ):
            pattern_buttons.addWidget(button, 0, column)
        layout = self.body
        layout.addWidget(self.form)
        layout.addWidget(self.camera)
        self.known_panel = collapsible("What is known", self.known)
        layout.addWidget(self.known_panel)
        layout.addWidget(collapsible("Reconstruction", self.reconstruction))
        layout.addLayout(pattern_buttons)
        layout.addWidget(self.report)
        layout.addWidget(heading("Training"))
        self.training = Form(self.preset_box)
        layout.addWidget(self.training)
        layout.addWidget(self.preset_label)
        layout.addWidget(self.settings_panel)
        layout.addWidget(self.broken)
        layout.addLayout(self.buttons)
        layout.addWidget(self.deconvolve_button)
        layout.addWidget(self.progress_bar)
        layout.addWidget(self.status_label)
        layout.addWidget(self.curves, stretch=1)
        layout.addStretch(0)

    def reset_choices(self, _: Any = None) -> None:
        """Offer the layers that the viewer holds now; napari calls it when they change."""
        if alive(self):
            self.raw.reset_choices()

    # ------------------------------------------------------------------ patterns and image

    @property
    def busy(self) -> bool:
        """Whether anything is under way, a training or other work."""
        return self.running or (self._work is not None and self._work.running)

    def estimate(self) -> None:
        """Find the patterns of the chosen frames and reconstruct them."""
        self._reconstruct(None)

    def reconstruct(self) -> None:
        """Reconstruct the chosen frames with the patterns at hand."""
        if self.patterns is None:
            show_error("there are no patterns; press Estimate, or load some.")
        else:
            self._reconstruct(self.patterns)

    def _reconstruct(self, patterns: Patterns | None) -> None:
        why = self._busy_words() or self._missing_input()
        why = why or (self._unfit(patterns) if patterns is not None else "")
        layer, frames = self.raw.layer, self.raw.frames
        if why or layer is None or frames is None:
            show_error(why)
            return
        if patterns is None:  # what is estimated anew may fail
            self.patterns, self._patterns_of = None, None
            self._show_patterns()
        try:
            told = {
                "pixel_size": self.raw.pixel_size,
                "order": self.raw.order_box.value,
                "orientations": int(self.raw.orientations_box.value),
                "phases": int(self.raw.phases_box.value),
                "psf": self._psf,
                **self.microscope.settings(),
            }
            work = reconstructed(
                partial(frames.of, layer),
                told,
                self.camera.maker(),
                self._cutoff,
                patterns,
                self._operator_settings(),
            )
        except InputError as error:
            show_error(error)
            return
        self._start(
            work,
            "Finding the patterns…" if patterns is None else "Reconstructing…",
            lambda found: self._on_reconstructed(found, layer, frames),
        )

    def _on_reconstructed(
        self, found: Reconstructed, layer: ImageLayer, frames: RawFrames
    ) -> Turns[None]:
        self.patterns, self._patterns_of = found.patterns, layer
        show_spectrum(self._viewer, layer, found.spectrum, found.patterns)
        yield
        name = f"{layer.name} Wiener"
        made_by = {"made by": found.patterns.report()}
        self._show_image(name, found.image, layer, frames, made_by)
        yield
        self._show_patterns()
        self._say(f"Done: '{name}' and the spectrum beside it.")

    def _show_image(
        self,
        name: str,
        pixels: NDArray[np.float32],
        layer: ImageLayer,
        frames: RawFrames,
        metadata: dict[str, Any],
    ) -> None:
        result = add_or_update(
            self._viewer,
            name,
            frames.placed(pixels),
            like=layer,
            axes=frames.axes,
            upsampling=2,
            every=frames.every if frames.images > 1 else 1,
            metadata=metadata,
        )
        bring_forward(self._viewer, result, like=layer)

    def load_patterns(self, path: str | Path) -> None:
        """Take patterns from a file that *Save* has written."""
        from ...sim.patterns import Patterns

        try:
            patterns = Patterns.load(path)
        except InputError as error:
            show_error(error)
            return
        self.patterns, self._patterns_of = patterns, None
        self._show_patterns()
        self._update_buttons()

    def save_patterns(self, path: str | Path) -> None:
        """Write the patterns to a file."""
        if self.patterns is None:
            show_error("there are no patterns; press Estimate first.")
            return
        try:
            self.patterns.save(path)
        except InputError as error:
            show_error(error)
            return
        show_info(f"Patterns saved to {Path(path).name}.")

    # ------------------------------------------------------------------ deconvolution

    def deconvolve(self) -> None:
        """Reconstruct the chosen frames and apply the model to them."""
        model, layer, frames = self._state.model, self.raw.layer, self.raw.frames
        why = self._busy_words() or self._missing_model()
        if why or model is None or layer is None or frames is None:
            show_error(why)
            return
        try:
            work = predicted(
                model,
                self._operator() if self._fits_layer else None,
                partial(frames.image, layer, self.raw.pixel_size),
                self.camera.maker(),
                self._cutoff,
                self.device.device,
                result_names(layer),
            )
        except InputError as error:
            show_error(error)
            return
        self._start(
            work, "Reconstructing…", lambda made: self._on_predicted(made, layer, frames, model)
        )

    def _on_predicted(
        self,
        made: tuple[Result, dict[str, Any]],
        layer: ImageLayer,
        frames: RawFrames,
        model: Model,
    ) -> Turns[None]:
        result, record = made
        metadata = result_metadata(model, record)
        for what, name in result_names(layer).items():
            if getattr(result, what) is not None:
                self._show_image(name, getattr(result, what), layer, frames, metadata)
                yield
        self._say(f"Done: '{layer.name} denoised' and '{layer.name} deconvolved'.")

    # ------------------------------------------------------------------ work in a thread

    def _start(
        self, work: Generator[Any, None, Any], words: str, on_result: Callable[[Any], Turns[None]]
    ) -> None:
        self._work = Job(
            work,
            owner=self,
            on_values=self._on_work_values,
            on_result=on_result,
            on_failure=self._on_work_failure,
            on_end=self._on_end,
            title="structured illumination",
            uses_torch=True,
        )
        self._work.start()
        self.progress_bar.setFormat("")
        self.progress_bar.setRange(0, 0)
        self._say(words)
        self._update_buttons()

    def stop(self) -> None:
        """Stop what is under way; of a training the model is kept."""
        if self._work is not None and self._work.running:
            self._work.stop()
            self.stop_button.setEnabled(False)
            self._say(CANCELLED)
        else:
            super().stop()

    def _on_work_values(self, values: list[TileProgress]) -> None:
        for value in values:
            if value.message:
                show_warning(value.message)
        latest = values[-1]
        advance(
            self.progress_bar, latest.done, latest.total, f"part {latest.done} of {latest.total}"
        )

    def _on_work_failure(self, error: Exception) -> None:
        show_error(error)
        self._say(f"⚠ {error}")

    # ------------------------------------------------------------------ training

    @property
    def _kind(self) -> str:
        return "SIM"

    @property
    def _layer(self) -> ImageLayer | None:
        return self.raw.layer

    def _choose(self, layer: ImageLayer) -> None:
        self.raw.layer = layer

    def _new_run(self, **settings: Any) -> Callable[[], TrainingRun]:
        layer, frames = self.raw.layer, self.raw.frames
        if layer is None or frames is None:
            raise InputError(self.raw.missing)
        self._trained = [(layer, frames.reading)]
        make_camera, cutoff, resumed = self.camera.maker(), self._cutoff, settings.get("resume")
        pixel_size = self.raw.pixel_size
        make_operator = partial(reconstruction_of, resumed) if resumed else self._operator()

        def make() -> TrainingRun:
            from ...training.trainer import train

            raw = frames.image(layer, pixel_size)
            camera = make_camera(first_image(raw.data), cutoff)
            return train(raw, noise=camera, reconstruction=make_operator(), **settings)

        return make

    def _missing(self) -> str:
        return self._missing_input() or (
            self._unfit(self.patterns)
            if self.patterns is not None
            else "the patterns are not known; press Estimate first, or load them."
        )

    def _missing_input(self) -> str:
        return self.raw.missing or self.camera.missing

    def _missing_model(self) -> str:
        if self._missing_input():
            return self._missing_input()
        if self._state.model is None:
            return "there is no model; train one, or load it in the Deconvolve window."
        if self._state.model.reconstruction is None:
            return "the model was not trained on raw SIM; train one here."
        return ""

    def _unfit(self, patterns: Patterns) -> str:
        field = self.raw.field
        if field is not None and patterns.shape != field:
            return (
                f"the patterns are of {patterns.shape[0]} x {patterns.shape[1]} pixels and the "
                f"frames of {field[0]} x {field[1]}; press Estimate."
            )
        frames = self.raw.frames
        if frames is not None and frames.per_image != len(patterns) * patterns.phases:
            return (
                f"the patterns are of {len(patterns) * patterns.phases} frames and an image has "
                f"{frames.per_image}; press Estimate."
            )
        return ""

    @property
    def _fits_layer(self) -> bool:
        """Whether the patterns are of the chosen frames, and not just what was at hand."""
        loaded_or_own = self._patterns_of in (None, self.raw.layer)
        return self.patterns is not None and loaded_or_own and not self._unfit(self.patterns)

    # ------------------------------------------------------------------ what is chosen

    @property
    def _psf(self) -> PSF | None:
        return self._state.psf if self.own_psf.value else None

    @property
    def _cutoff(self) -> float:
        """Frequency from which on nothing passes, cycles per raw pixel."""
        return self.microscope.cutoff * (self.raw.pixel_size or 0.0)

    def _operator_settings(self) -> dict[str, Any]:
        return {
            "wiener": float(self.wiener.value),
            "notch": float(self.notch.value),
            "apodisation": float(self.apodisation.value),
            "psf": self._psf,
        }

    def _operator(self) -> Callable[[], Reconstruction]:
        """Return what makes the operator in a worker, as it is chosen now."""
        patterns = self.patterns
        assert patterns is not None
        return partial(reconstruction, patterns, self._operator_settings())

    # ------------------------------------------------------------------ what the window shows

    def _on_load_patterns(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Load patterns", "", PATTERN_FILES)
        if path:
            self.load_patterns(path)

    def _on_save_patterns(self) -> None:
        name = f"{self.raw.layer.name if self.raw.layer is not None else 'sim'} patterns.json"
        path, _ = QFileDialog.getSaveFileName(self, "Save the patterns", name, PATTERN_FILES)
        if path:
            self.save_patterns(path)

    def _show_patterns(self) -> None:
        text = ""
        if self.patterns is not None:
            text = report_words(self.patterns)
        self.report.setText(text)
        self.report.setVisible(bool(text))
        self._update_buttons()

    def _busy_words(self) -> str:
        return "work is under way; stop it first." if self.busy else ""

    def _update_stop(self) -> None:
        super()._update_stop()
        if self._work is not None and self._work.running:
            self.stop_button.setText("Cancel")
            self.stop_button.setToolTip("End it at once; nothing is added.")

    def _update_buttons(self) -> None:
        super()._update_buttons()
        busy, input_missing = self.busy, self._missing_input()
        model_missing = self._missing_model()
        self.estimate_button.setEnabled(not busy and not input_missing)
        self.estimate_button.setToolTip(
            tip(input_missing or "Find the fringes of the frames, and reconstruct the image.")
        )
        self.reconstruct_button.setEnabled(not busy and not self._missing())
        self.reconstruct_button.setToolTip(
            tip(self._missing() or "Reconstruct the image again, with the patterns at hand.")
        )
        self.load_button.setEnabled(not busy)
        self.keep_button.setEnabled(not busy and self.patterns is not None)
        self.deconvolve_button.setEnabled(not busy and not model_missing)
        self.deconvolve_button.setToolTip(
            tip(model_missing or "Reconstruct the frames, and denoise and deconvolve the image.")
        )
        self.train_button.setEnabled(self.train_button.isEnabled() and not busy)
        self.resume_button.setEnabled(self.resume_button.isEnabled() and not busy)
        if busy and not self.running:
            self.stop_button.setEnabled(True)
        self.own_psf.enabled = self._state.psf is not None
        for form in (self.camera, self.known, self.reconstruction, self.training):
            form.setEnabled(not busy)
        self.form.setEnabled(not busy)
        self.settings.setEnabled(not busy)
