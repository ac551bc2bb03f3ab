"""What trains, whatever it trains on: settings, buttons, progress, curves, previews, the model."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.viewer import Viewer
from qtpy.QtWidgets import QWidget

from ...model.presets import presets_for
from ...modes.registry import preview_interval
from ..forms.action_panel import CANCELLED
from ..forms.broken_training import BrokenTraining
from ..forms.choosers import MODEL_FILES, LayerChooser, image_layers
from ..forms.device_chooser import DeviceChooser
from ..forms.forms import Form, button, collapsible, fill, note, offer, open_file, save_file
from ..forms.training_boxes import training_boxes
from ..plots.curves import TERMS
from ..workers.checkpoints import is_checkpoint, new_checkpoint
from ..workers.connections import alive
from ..workers.durations import in_words
from ..workers.notifications import errors_shown, show_error, show_info, show_warning
from ..workers.preferences import suggested_path
from ..workers.window_text import worded
from ..workers.workers import Job, Turns, in_background
from .training_view import TrainingView
from .training_worker import Finished, Started, Training, TrainingValue, gone_on_with, trained

if TYPE_CHECKING:
    from ...inference.predict import TileProgress
    from ...model.model import Model
    from ...training.trainer import Progress, TrainingRun

BUSY = "work is under way; stop it first."
FIRST = "Training the denoiser; "


class TrainingPanel(TrainingView):
    """The part of a dock widget that trains; what it trains on is for those made from it.

    The model goes into the viewer's shared state when the training ends, however it ends.
    """

    def __init__(self, viewer: Viewer, *, parent: QWidget | None = None) -> None:
        super().__init__(viewer, action="Train", parent=parent)
        self._work: Job[Any, Any] | None = None
        self._stepped = False  # whether the training under way has done a step
        self._checkpoint: Path | None = None
        self.image = self._make_chooser()
        self._build_training_settings()
        self._build_actions()
        self.preset_box.changed.connect(self._on_preset_changed)
        self.broken = BrokenTraining(self, raw_sim=self.image.kind == "SIM")
        self.broken.continued.connect(self._on_continue)
        self.broken.anew.connect(self._on_anew)

    # ------------------------------------------------------------------ what differs

    image: LayerChooser
    """The choice of what is trained on."""

    def _make_chooser(self) -> LayerChooser:
        raise NotImplementedError

    def _missing(self) -> str:
        """Say what is to be done before training can start; empty when nothing is."""
        raise NotImplementedError

    def _new_run(self, **settings: Any) -> Callable[[], TrainingRun]:
        """Collect the choices now; what is returned makes the run in the worker."""
        raise NotImplementedError

    # ------------------------------------------------------------------ construction

    def _build_training_settings(self) -> None:
        self.preset_box, self.steps_box, self.seed_box, self.interval_box = training_boxes()
        self.device = DeviceChooser(self)
        self.form = Form()
        self.settings = Form(self.steps_box, self.device.box, self.interval_box, self.seed_box)
        self.preset_label = note()
        self.settings_panel = collapsible(
            "Settings",
            self.settings,
            "Steps, patches, rates and device of the training. If in doubt, leave it closed.",
        )

    def _build_actions(self) -> None:
        self.train_button, self.stop_button = self.start_button, self.cancel_button
        self.resume_button = button("Resume…", self._on_resume)
        self.save_button = button(
            "Save…", self._on_save, "Save the model, with what is needed to train it further."
        )
        fill(self.buttons, self.resume_button, self.save_button)

    # ------------------------------------------------------------------ actions

    @property
    def busy(self) -> bool:
        """Whether anything is under way, a training or other work."""
        return self.running or (self._work is not None and self._work.running)

    def start(self) -> None:
        """Train a new model with what is chosen."""
        if not self._refuse():
            self._begin_new(**self._new_settings())

    def _new_settings(self) -> dict[str, Any]:
        return {
            "preset": self.preset_box.value,
            "steps": self._chosen_steps(),
            "seed": int(self.seed_box.value),
        }

    def _chosen_steps(self) -> int | None:
        """Give a number of the user's own, or None where it is the preset's."""
        steps = int(self.steps_box.value)
        return None if steps == presets_for(self.image.kind)[self.preset_box.value].steps else steps

    @property
    def _ends_early(self) -> bool:
        """Whether a training may end before its last step, as one does that gains nothing."""
        return self._chosen_steps() is None

    def stop(self) -> None:
        """Stop after the step under way and keep the model; before the first step, cancel."""
        if not self.busy:
            return
        if self.running and self._run is not None and self._stepped:
            self._run.stop()
            self._say("Stopping after the step under way…")
        else:
            for job in (self._job, self._work):
                if job is not None:
                    job.stop()
            self._say(CANCELLED)
        self.stop_button.setEnabled(False)

    def cancel(self) -> None:
        """End what is under way, as the widget's own button does."""
        self.stop()

    def resume(self, path: str | Path | None = None) -> None:
        """Go on with the run that was stopped, or with one from a file that *Save* has written."""
        if self._refuse(resuming=True):
            return
        if path is not None:
            # The file brings the PSF, the noise, the preset, the seed and the number of steps.
            self._begin_new(resume=Path(path))
        elif self._run is None:
            show_error("there is no stopped training to resume; choose a saved model.")
        else:
            run = self._run
            run.resume()
            self._begin(trained(lambda: run, self._checkpoint), continued=True)

    def save_model(self, path: str | Path) -> None:
        """Write the model, and the state of its training where there is one, to a file."""
        saved = self._run or self._state.model
        if saved is None:
            show_error("there is no model to save yet; press Train first.")
            return
        name = Path(path).name
        in_background(
            self,
            "saving a model",
            lambda: saved.save(path),
            lambda _: show_info(f"Model saved to {name}."),
        )

    # ------------------------------------------------------------------ the run

    @errors_shown
    def _begin_new(self, **settings: Any) -> None:
        settings["device"] = self.device.device
        settings["preview_every"] = int(self.interval_box.value)
        path: Path | None = settings.get("resume")
        self._checkpoint = new_checkpoint()
        if path is not None and is_checkpoint(path):
            self._checkpoint = path
        make = self._new_run(**settings)
        if path is None:
            self._begin(trained(make, self._checkpoint))
        else:
            steps = int(self.steps_box.value)
            longer = self._new_run(**settings, steps=steps)
            self._begin(gone_on_with(path, make, longer, steps, self._checkpoint))

    def _begin(self, work: Training, *, continued: bool = False) -> None:
        self._stepped = False
        if not continued:
            self._run = self._last = self._preview = None
            self.curves.clear()
            self._previews.begin(self._trained)
        # Which of several layers the previews will be of is not known yet.
        alone = self.interval_box.value and not continued and len(self._trained) == 1
        self._job = self._started(
            work,
            "ZS-DeconvNet training",
            on_values=self._on_values,
            on_result=self._on_result,
            before=self._previews.prepare(*self._trained[0]) if alone else None,
        )
        if continued:
            self._say("Preparing…")
        else:
            self._begin_waiting("Preparing…")
        self._update_buttons()

    def _start_work(
        self,
        work: Generator[TileProgress, None, Any],
        words: str,
        title: str,
        on_result: Callable[[Any], Turns[None]],
    ) -> None:
        """Start other work than a training, with the same bar and button."""
        failed = super()._on_failure
        self._work = self._started(
            work, title, on_values=self._show_tiles, on_result=on_result, on_failure=failed
        )
        self._begin_waiting(words)
        self._update_buttons()

    def _on_values(self, values: list[TrainingValue | Progress]) -> Turns[None]:
        for value in values:
            if isinstance(value, Started | Finished):
                self._on_begun(value)
                continue
            self._take(value)
            self._stepped = True
            if value.message and value.finished:
                show_info(value.message)
            elif value.message:
                show_warning(value.message)
        yield from self._show_preview()
        if self._last is not None:
            left = self._show_progress(self._last, ends_early=self._ends_early)
            if self.stop_button.isEnabled():
                first = "" if "deconvolution" in self._last.losses else FIRST
                self._say(f"{first}{left}")
            self._update_stop()

    def _on_begun(self, started: TrainingValue) -> None:
        if self.broken.path == self._checkpoint:
            self.broken.put_away()
        if isinstance(started, Finished):
            self._say(_finished_words(started))
            return
        if started.run is not self._run:
            for warning in started.run.warnings:
                show_warning(warning)
            for entry in started.history:
                self.curves.append(
                    int(entry["step"]), {term: entry[term] for term in TERMS if term in entry}
                )
        self._run = started.run
        self._on_plane_moved()
        self._update_buttons()

    def _on_result(self, model: Model) -> None:
        self._state.model = model
        if self._last is not None:
            how = "Done" if self._last.finished else "Stopped"
            why = " as it gained nothing more" if self._run is not None and self._run.ending else ""
            self._say(
                f"{how} after {self._last.step} steps and "
                f"{in_words(self._last.seconds_elapsed)} on {self._last.device}{why}. "
                "The model is ready for Deconvolve."
            )

    def _on_failure(self, error: Exception) -> None:
        show_error(str(error) if self._is_about_the_loss(error) else error)
        self._say(f"⚠ Stopped: {worded(error)}")
        if self._run is not None and self._last is not None:
            # What was learned up to the failure is worth keeping.
            self._state.model = self._run.model

    def _is_about_the_loss(self, error: Exception) -> bool:
        if self._run is None:
            return False  # torch itself may be what could not be loaded
        from ...training.trainer import NonFiniteLossError

        return isinstance(error, NonFiniteLossError)

    def _on_end(self) -> None:
        self._previews.hide_empty()
        super()._on_end()

    # ------------------------------------------------------------------ what the window shows

    def _on_state_changed(self, _: Any = None) -> None:
        if alive(self):
            self._update_buttons()

    def _on_kind_changed(self) -> None:
        """Offer what suits what is trained on."""
        self.interval_box.value = preview_interval(self.image.kind)
        self._on_preset_changed()

    def _on_preset_changed(self) -> None:
        preset = presets_for(self.image.kind)[self.preset_box.value]
        self.preset_label.setText(preset.description)
        self.steps_box.value = preset.steps

    def _on_resume(self) -> None:
        if self._can_continue:
            self.resume()
            return
        left = str(self.broken.path or "")
        open_file(self, "Resume from a model", MODEL_FILES, self.resume, left)

    def _on_continue(self) -> None:
        """Go on with the training that broke off, on the layer of its name if there is one."""
        if self.broken.found is None or self.busy:
            return
        name, layers = self.broken.found.name, image_layers(self._viewer)
        same = [layer for layer in layers if layer.name == name]
        if same and self.image.layer not in same:
            self.image.layer = same[0]
        self.resume(self.broken.found.path)

    def _on_anew(self) -> None:
        if not self._refuse():
            self.broken.put_away(delete=True)
            self.start()

    def _on_save(self) -> None:
        layer = self.image.layer
        name = f"{layer.name if layer is not None else 'model'}.safetensors"
        save_file(self, "Save the model", suggested_path(name), MODEL_FILES, self.save_model)

    @property
    def _can_continue(self) -> bool:
        last = self._last
        return self._run is not None and last is not None and last.step < last.steps

    def _refuse(self, *, resuming: bool = False) -> bool:
        """Say why training cannot start now, if it cannot."""
        if self.busy:
            why = "a training is under way; stop it first." if self.running else BUSY
        elif resuming and self.image.layer is not None:
            why = ""
        else:
            why = self._missing()
        if why:
            show_error(why)
        return bool(why)

    def _update_buttons(self) -> None:
        free, missing = not self.busy, self._missing()
        offer(self.train_button, missing, "Train a new model on the chosen image.", free=free)
        self.stop_button.setEnabled(not free)
        self._update_stop()
        self.resume_button.setEnabled(free and self.image.layer is not None)
        self.resume_button.setText("Resume" if self._can_continue else "Resume…")
        self.resume_button.setToolTip(
            "Go on with the stopped training."
            if self._can_continue
            else "Go on with a training that was saved to a file."
        )
        self.save_button.setEnabled(self._run is not None or self._state.model is not None)
        for form in (self.form, self.settings, self.broken):
            form.setEnabled(free)

    def _update_stop(self) -> None:
        """Offer to cancel as long as there is nothing to keep."""
        training = self.running and self._stepped
        self.stop_button.setText("Stop" if training or not self.busy else "Cancel")
        self.stop_button.setToolTip(
            "End it at once; nothing has been learned yet."
            if self.running and not training
            else "Stop after the step under way; the model is kept."
            if not self.busy or training
            else "End it at once; nothing is added."
        )


def _finished_words(found: Finished) -> str:
    done = f"That training ended after {found.steps} steps; its model is ready for Deconvolve."
    more = f" To train it further, set Steps (in Settings) above {found.steps} and resume it again."
    return done + more if found.kept else done
