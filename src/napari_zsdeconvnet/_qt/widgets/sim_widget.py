"""The dock widget *SIM*: find the fringes of raw frames, reconstruct, train, deconvolve."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer
from qtpy.QtWidgets import QWidget

from ...utils.errors import InputError
from ..forms.forms import (
    Form,
    button,
    collapsible,
    fill,
    heading,
    in_row,
    note,
    offer,
    open_file,
    save_file,
    say,
    stack,
)
from ..forms.sim_camera import CameraForm
from ..forms.sim_frames import SIMChooser
from ..forms.sim_pattern import Microscope, report_words, show_spectrum
from ..forms.sim_reconstruction import ReconstructionForm
from ..layers.layers import layer_image
from ..layers.raw_frames import RawFrames
from ..layers.results import RECONSTRUCTED, result_names, show_image, show_result
from ..layers.state import Made
from ..workers.connections import alive, follow
from ..workers.notifications import errors_shown, show_error, show_info
from ..workers.workers import Turns
from .sim_worker import (
    Reconstructed,
    first_image,
    predicted,
    reconstructed,
    reconstruction,
    reconstruction_of,
)
from .training_panel import BUSY, TrainingPanel

if TYPE_CHECKING:
    import napari.viewer

    from ...inference.predict import Result
    from ...sim.patterns import Patterns
    from ...sim.reconstruction import Reconstruction
    from ...training.trainer import TrainingRun

PATTERN_FILES = "Patterns (*.json);;All files (*)"
TITLE = "structured illumination"


class SIMWidget(TrainingPanel):
    """Takes raw 2D-SIM from its frames to a deconvolved image."""

    title = "SIM"
    image: SIMChooser

    def __init__(self, viewer: napari.viewer.Viewer, *, parent: QWidget | None = None) -> None:
        super().__init__(viewer, parent=parent)
        self.patterns: Patterns | None = None
        self._patterns_of: ImageLayer | None = None
        self._build()
        self._lay_out()
        self.raw.changed.connect(self._on_state_changed)
        self.camera.changed.connect(self._on_state_changed)
        follow(self, self._state.model_changed, self._on_state_changed)
        follow(self, self._state.psf_changed, self._on_state_changed)
        self._on_kind_changed()
        self._show_patterns()

    # ------------------------------------------------------------------ construction

    def _make_chooser(self) -> SIMChooser:
        self.raw = self.image = SIMChooser(self._viewer, owner=self)
        return self.raw

    def _build(self) -> None:
        self.microscope = scope = Microscope(self._state.optics)
        self.camera = CameraForm(self._viewer)
        self.form.add(self.raw.layer_box)
        self.form.add_note(self.raw.note)
        for box in (
            *(self.raw.order_box, self.raw.pixel_box, scope.na, scope.emission),
            self.camera.source,
        ):
            self.form.add(box)
        self.known = Form(
            *(scope.period, scope.angles, scope.excitation, scope.excitation_na),
            *(self.raw.orientations_box, self.raw.phases_box),
        )
        self.reconstruction = ReconstructionForm(self._state)
        self.estimate_button = button("Estimate", self.estimate)
        self.reconstruct_button = button("Reconstruct", self.reconstruct)
        self.load_button = button(
            "Load…",
            partial(open_file, self, "Load patterns", PATTERN_FILES, self.load_patterns),
            "Load patterns that were saved, in place of estimating them.",
        )
        self.keep_button = button(
            "Save…",
            self._on_save_patterns,
            "Save the patterns, for other recordings of the same series.",
        )
        self.deconvolve_button = button("Deconvolve", self.deconvolve)
        self.report = note(rich=True)

    def _lay_out(self) -> None:
        # Both in one part, and no heading over the training: the page fits a small laptop.
        rare = QWidget()
        stack(rare, self.known, heading("Reconstruction"), self.reconstruction)
        self.known_panel = collapsible(
            "Known pattern values, reconstruction",
            rare,
            "Period, angles and phases of the fringes, where you know them, and how the frames "
            "become one image. If in doubt, leave it closed: the patterns are measured.",
        )
        self.preset_box.label = "Training"
        self.training = Form(self.preset_box)
        self.action_rows.insertWidget(1, self.deconvolve_button)
        fill(
            self.body,
            *(self.form, self.camera, self.known_panel),
            in_row(
                *(self.estimate_button, self.reconstruct_button),
                *(self.load_button, self.keep_button),
            ),
            *(self.report, self.training, self.preset_label),
            *(self.settings_panel, self.broken, self.action_rows, self.curves),
        )
        self.body.setStretchFactor(self.curves, 1)
        self.body.addStretch(0)

    def reset_choices(self, _: Any = None) -> None:
        """Offer the layers that the viewer holds now; napari calls it when they change."""
        if alive(self):
            self.raw.reset_choices()

    # ------------------------------------------------------------------ patterns and image

    def estimate(self) -> None:
        """Find the patterns of the chosen frames and reconstruct them."""
        self._reconstruct(None)

    def reconstruct(self) -> None:
        """Reconstruct the chosen frames with the patterns at hand."""
        if self.patterns is None:
            show_error("there are no patterns; press Estimate, or load some.")
        else:
            self._reconstruct(self.patterns)

    @errors_shown
    def _reconstruct(self, patterns: Patterns | None) -> None:
        why = (BUSY if self.busy else "") or self._missing_input()
        why = why or (self._unfit(patterns) if patterns is not None else "")
        layer, frames = self.raw.layer, self.raw.reading
        if why or layer is None or frames is None:
            raise InputError("sim-not-ready", why)
        if patterns is None:  # what is estimated anew may fail
            self._take_patterns(None)
        told = {
            "pixel_size": self.raw.pixel_size,
            "order": self.raw.order_box.value,
            "orientations": int(self.raw.orientations_box.value),
            "phases": int(self.raw.phases_box.value),
            "psf": self.reconstruction.psf,
            **self.microscope.settings(),
        }
        camera, settings = self.camera.maker(), self.reconstruction.settings()
        read = partial(frames.of, layer)
        work = reconstructed(read, told, camera, self._cutoff, patterns, settings)
        words = "Finding the patterns…" if patterns is None else "Reconstructing…"
        self._start_work(
            work, words, TITLE, lambda found: self._on_reconstructed(found, layer, frames)
        )

    def _on_reconstructed(
        self, found: Reconstructed, layer: ImageLayer, frames: RawFrames
    ) -> Turns[None]:
        show_spectrum(self._viewer, layer, found.spectrum, found.patterns)
        yield
        made_by = {"made by": found.patterns.report()}
        image = show_image(
            *(self._viewer, layer, frames, RECONSTRUCTED, frames.placed(found.image)),
            metadata=made_by,
        )
        yield
        self._take_patterns(found.patterns, layer)
        self._say(f"Done: '{image.name}' and the spectrum beside it.")

    @errors_shown
    def load_patterns(self, path: str | Path) -> None:
        """Take patterns from a file that *Save* has written."""
        from ...sim.patterns import Patterns

        self._take_patterns(Patterns.load(path))

    @errors_shown
    def save_patterns(self, path: str | Path) -> None:
        """Write the patterns to a file."""
        if self.patterns is None:
            raise InputError("patterns-missing", "there are no patterns; press Estimate first.")
        self.patterns.save(path)
        show_info(f"Patterns saved to {Path(path).name}.")

    def _take_patterns(self, patterns: Patterns | None, layer: ImageLayer | None = None) -> None:
        """Keep patterns, and the layer in which they were found."""
        self.patterns, self._patterns_of = patterns, layer
        self._show_patterns()

    # ------------------------------------------------------------------ deconvolution

    @errors_shown
    def deconvolve(self) -> None:
        """Reconstruct the chosen frames and apply the model to them."""
        model, layer, frames = self._state.model, self.raw.layer, self.raw.reading
        why = (BUSY if self.busy else "") or self._missing_model()
        if why or model is None or layer is None or frames is None:
            raise InputError("sim-not-ready", why)
        work = predicted(
            model,
            self._operator() if self._fits_layer else None,
            partial(layer_image, layer, frames),
            self.camera.maker(),
            self._cutoff,
            self.device.device,
            result_names(layer),
        )
        self._start_work(
            work,
            "Reconstructing…",
            TITLE,
            lambda made: self._on_predicted(made, layer, Made(model, frames)),
        )

    def _on_predicted(
        self, made: tuple[Result, dict[str, Any]], layer: ImageLayer, made_by: Made
    ) -> Turns[None]:
        yield from show_result(self._viewer, layer, made_by, *made)
        self._say(f"Done: '{layer.name} denoised' and '{layer.name} deconvolved'.")

    # ------------------------------------------------------------------ training

    def _new_run(self, **settings: Any) -> Callable[[], TrainingRun]:
        layer, frames = self.raw.layer, self.raw.reading
        if layer is None or frames is None:
            raise InputError("raw-frames-missing", self.raw.missing)
        self._trained = [(layer, frames)]
        make_camera, cutoff, resumed = self.camera.maker(), self._cutoff, settings.get("resume")
        make_operator = partial(reconstruction_of, resumed) if resumed else self._operator()

        def make() -> TrainingRun:
            from ...training.trainer import train

            raw = layer_image(layer, frames)
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
        field, frames = self.raw.field, self.raw.frames
        if field is not None and patterns.shape != field:
            return (
                f"the patterns are of {patterns.shape[0]} x {patterns.shape[1]} pixels and the "
                f"frames of {field[0]} x {field[1]}; press Estimate."
            )
        of_patterns = len(patterns) * patterns.phases
        if frames is not None and frames.per_image != of_patterns:
            return (
                f"the patterns are of {of_patterns} frames and an image has {frames.per_image}; "
                "press Estimate."
            )
        return ""

    @property
    def _fits_layer(self) -> bool:
        """Whether the patterns are of the chosen frames, and not just what was at hand."""
        loaded_or_own = self._patterns_of in (None, self.raw.layer)
        return self.patterns is not None and loaded_or_own and not self._unfit(self.patterns)

    @property
    def _cutoff(self) -> float:
        """Frequency from which on nothing passes, cycles per raw pixel."""
        return self.microscope.cutoff * (self.raw.pixel_size or 0.0)

    def _operator(self) -> Callable[[], Reconstruction]:
        """Return what makes the operator in a worker, as it is chosen now."""
        assert self.patterns is not None
        return partial(reconstruction, self.patterns, self.reconstruction.settings())

    # ------------------------------------------------------------------ what the window shows

    def _on_save_patterns(self) -> None:
        name = f"{self.raw.layer.name if self.raw.layer is not None else 'sim'} patterns.json"
        save_file(self, "Save the patterns", name, PATTERN_FILES, self.save_patterns)

    def _show_patterns(self) -> None:
        say(self.report, "" if self.patterns is None else report_words(self.patterns))
        self._update_buttons()

    def _update_buttons(self) -> None:
        super()._update_buttons()
        free = not self.busy
        for one, missing, does in (
            (
                self.estimate_button,
                self._missing_input(),
                "Find the fringes of the frames, and reconstruct the image.",
            ),
            (
                self.reconstruct_button,
                self._missing(),
                "Reconstruct the image again, with the patterns at hand.",
            ),
            (
                self.deconvolve_button,
                self._missing_model(),
                "Reconstruct the frames, and denoise and deconvolve the image.",
            ),
        ):
            offer(one, missing, does, free=free)
        self.load_button.setEnabled(free)
        self.keep_button.setEnabled(free and self.patterns is not None)
        self.reconstruction.own_psf.enabled = self._state.psf is not None
        for form in (self.camera, self.known, self.reconstruction, self.training):
            form.setEnabled(free)
