"""What trains, whatever it trains on: settings, buttons, progress, curves, previews, the model."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, SpinBox
from qtpy.QtWidgets import QFileDialog, QGridLayout, QProgressBar, QPushButton, QWidget
from superqt import QCollapsible

from ...model.presets import presets_for
from ...modes.registry import preview_interval
from ...utils.errors import InputError
from ..forms.action_panel import CANCELLED
from ..forms.choosers import MODEL_FILES
from ..forms.device_chooser import DeviceChooser
from ..forms.forms import Form, advance, note, tip
from ..forms.panel import Panel
from ..layers.layer_axes import Reading
from ..layers.previews import PreviewLayers
from ..plots.curves import TERMS, LossCurves
from ..workers.checkpoints import broken_off, is_checkpoint, new_checkpoint
from ..workers.connections import alive
from ..workers.durations import in_words, time_left
from ..workers.notifications import show_error, show_info, show_warning
from ..workers.preferences import suggested_path
from ..workers.workers import Job, Turns, once

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image as ImageLayer

    from ...model.model import Model
    from ...training.trainer import Progress, TrainingRun


@dataclass(frozen=True)
class Started:
    """The first value of a training job: the run that can be stopped and saved."""

    run: TrainingRun
    history: tuple[Mapping[str, float], ...]


class TrainingPanel(Panel):
    """The part of a dock widget that trains; what it trains on is for those made from it.

    The model goes into the viewer's shared state when the training ends, however it ends.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer whose layers are trained on.
    parent : QWidget, optional
        The widget that holds this one.
    """

    def __init__(self, viewer: napari.viewer.Viewer, *, parent: QWidget | None = None) -> None:
        super().__init__(viewer, parent)
        self._job: Job[Started | Progress, Model] | None = None
        self._run: TrainingRun | None = None
        self._previews = PreviewLayers(self._viewer)
        self._last: Progress | None = None
        self._stepped = False  # whether the training under way has done a step
        self._trained: list[tuple[ImageLayer, Reading]] = []
        self._checkpoint: Path | None = None
        self._build_training_settings()
        self._build_actions()
        self.curves = LossCurves(self._viewer)
        self.preset_box.changed.connect(self._on_preset_changed)
        if broken_off() is not None:
            self._say("A training broke off; Resume… offers the file to go on from.")

    # ------------------------------------------------------------------ what differs

    _grid = 1
    """Pixels of what is trained on per pixel of the layer, along Y and X."""

    @property
    def _kind(self) -> str:
        """What is trained on, in the words of `presets_for`."""
        raise NotImplementedError

    @property
    def _layer(self) -> ImageLayer | None:
        """The chosen layer."""
        raise NotImplementedError

    def _missing(self) -> str:
        """Say what is to be done before training can start; empty when nothing is."""
        raise NotImplementedError

    def _new_run(self, **settings: Any) -> Callable[[], TrainingRun]:
        """Collect the choices now; what is returned makes the run in the worker."""
        raise NotImplementedError

    def _on_plane_moved(self, _: Any = None) -> None:
        """Let the next preview show what the user looks at; an image is shown whole."""

    # ------------------------------------------------------------------ construction

    def _build_training_settings(self) -> None:
        self.preset_box = ComboBox(
            label="Preset",
            tooltip="Which network and settings to train.",
            choices=list(presets_for("YX")),
        )
        self.steps_box = SpinBox(
            label="Steps",
            tooltip="How many training steps at most; each uses a few small parts of the image. "
            "Left at what the preset says, a training ends by itself as soon as it gains nothing "
            "more; any other number of steps is done in full.",
            min=1,
            max=1_000_000,
        )
        self.seed_box = SpinBox(
            label="Seed",
            tooltip="Start of the random numbers: the same seed on the same processor gives "
            "the same model.",
            max=2**31 - 1,
        )
        self.interval_box = SpinBox(
            label="Preview every",
            tooltip="Training steps between two previews; 0 shows none. That of a volume takes "
            "as long as a dozen steps and more.",
            max=100_000,
        )
        self.device = DeviceChooser(self)
        self.form = Form()
        self.settings = Form(self.steps_box, self.device.box, self.interval_box, self.seed_box)
        self.preset_label = note()
        self.settings_panel = collapsible("Settings", self.settings)

    def _build_actions(self) -> None:
        self.train_button = QPushButton("Train")
        self.stop_button = QPushButton("Stop")
        self.resume_button = QPushButton("Resume…")
        self.save_button = QPushButton("Save…")
        self.train_button.clicked.connect(lambda: self.start())
        self.stop_button.clicked.connect(lambda: self.stop())
        self.resume_button.clicked.connect(self._on_resume)
        self.save_button.clicked.connect(self._on_save)
        self.save_button.setToolTip("Save the model, with what is needed to train it further.")
        self.buttons = QGridLayout()
        for column, button in enumerate(
            (self.train_button, self.stop_button, self.resume_button, self.save_button)
        ):
            self.buttons.addWidget(button, 0, column)

        self.progress_bar = QProgressBar()
        self.progress_bar.setTextVisible(True)
        self.progress_bar.setFormat("")
        self.progress_bar.setRange(0, 1)
        self.progress_bar.setValue(0)
        self.status_label = note()

    # ------------------------------------------------------------------ actions

    @property
    def running(self) -> bool:
        """Whether a training is under way."""
        return self._job is not None and self._job.running

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
        return None if steps == presets_for(self._kind)[self.preset_box.value].steps else steps

    @property
    def _ends_early(self) -> bool:
        """Whether a training may end before its last step, as one does that gains nothing."""
        return self._chosen_steps() is None

    def stop(self) -> None:
        """Stop after the step under way and keep the model; before the first step, cancel."""
        if self._job is None or not self.running:
            return
        if self._run is not None and self._stepped:
            self._run.stop()
            self._say("Stopping after the step under way…")
        else:
            self._job.stop()
            self._say(CANCELLED)
        self.stop_button.setEnabled(False)

    def stop_work(self) -> None:
        """End what is under way, as the widget's own button does."""
        self.stop()

    def resume(self, path: str | Path | None = None) -> None:
        """Go on with the run that was stopped, or with one from a file.

        Parameters
        ----------
        path : path, optional
            File written by *Save*; without it the stopped run of this widget goes on.
        """
        if self._refuse(resuming=True):
            return
        if path is not None:
            # The file brings the PSF, the noise, the preset, the seed and the number of steps.
            self._begin_new(resume=path)
        elif self._run is None:
            show_error("there is no stopped training to resume; choose a saved model.")
        else:
            run = self._run
            run.resume()
            self._begin(lambda: run, continued=True)

    def save_model(self, path: str | Path) -> None:
        """Write the model, and the state of its training where there is one, to a file."""
        saved = self._run or self._state.model
        if saved is None:
            show_error("there is no model to save yet; press Train first.")
            return
        Job(
            once(saved.save, path),
            owner=self,
            on_result=lambda _: show_info(f"Model saved to {Path(path).name}."),
            on_failure=show_error,
            title="saving a model",
        ).start()

    # ------------------------------------------------------------------ the run

    def _begin_new(self, **settings: Any) -> None:
        settings["device"] = self.device.device
        settings["preview_every"] = int(self.interval_box.value)
        resumed = settings.get("resume")
        self._checkpoint = new_checkpoint()
        if resumed is not None and is_checkpoint(resumed):
            self._checkpoint = Path(resumed)
        try:
            make = self._new_run(**settings)
        except InputError as error:
            show_error(error)
            return
        self._begin(make)

    def _begin(self, make: Callable[[], TrainingRun], *, continued: bool = False) -> None:
        self._stepped = False
        if not continued:
            self._run = self._last = None
            self.curves.clear()
            self._previews.begin(self._trained, self._grid)
        # Which of several layers the previews will be of is not known yet.
        alone = self.interval_box.value and not continued and len(self._trained) == 1
        self._job = Job(
            _trained(make, self._checkpoint),
            owner=self,
            on_values=self._on_values,
            on_result=self._on_result,
            on_failure=self._on_failure,
            on_end=self._on_end,
            before=self._previews.prepare(*self._trained[0]) if alone else None,
            title="ZS-DeconvNet training",
            uses_torch=True,
        )
        self._job.start()
        if not continued:
            self.progress_bar.setRange(0, 0)
        self._say("Preparing…")
        self._update_buttons()

    def _on_values(self, values: list[Started | Progress]) -> Turns[None]:
        shown = None
        for value in values:
            if isinstance(value, Started):
                self._on_started(value)
                continue
            self._last, self._stepped = value, True
            self.curves.append(value.step, value.losses)
            shown = value.preview or shown
            if value.message and value.finished:
                show_info(value.message)
            elif value.message:
                show_warning(value.message)
        if shown is not None:
            yield from self._previews.show(shown)
        if self._last is not None:
            self._show_progress(self._last)
            self._update_stop()

    def _on_started(self, started: Started) -> None:
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

    def _show_progress(self, progress: Progress) -> None:
        self.curves.redraw()
        advance(
            self.progress_bar,
            progress.step,
            progress.steps,
            f"step {progress.step} of {progress.steps}",
        )
        if self.stop_button.isEnabled():
            doing = "" if "deconvolution" in progress.losses else "Learning to denoise first; "
            self._say(f"{doing}{time_left(progress, ends_early=self._ends_early)}")

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
        self._say(f"⚠ Stopped: {error}")
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
        if self.progress_bar.maximum() == 0:
            self.progress_bar.setRange(0, 1)
        self._update_buttons()

    # ------------------------------------------------------------------ what the window shows

    def _on_state_changed(self, _: Any = None) -> None:
        if alive(self):
            self._update_buttons()

    def _on_kind_changed(self) -> None:
        """Offer what suits what is trained on."""
        self.interval_box.value = preview_interval(self._kind)
        self._on_preset_changed()

    def _on_preset_changed(self) -> None:
        preset = presets_for(self._kind)[self.preset_box.value]
        self.preset_label.setText(preset.description)
        self.steps_box.value = preset.steps

    def _on_resume(self) -> None:
        if self._can_continue:
            self.resume()
            return
        left = str(broken_off() or "")
        path, _ = QFileDialog.getOpenFileName(self, "Resume from a model", left, MODEL_FILES)
        if path:
            self.resume(path)

    def _on_save(self) -> None:
        layer = self._layer
        name = f"{layer.name if layer is not None else 'model'}.safetensors"
        path, _ = QFileDialog.getSaveFileName(
            self, "Save the model", suggested_path(name), MODEL_FILES
        )
        if path:
            self.save_model(path)

    @property
    def _can_continue(self) -> bool:
        last = self._last
        return self._run is not None and last is not None and last.step < last.steps

    def _refuse(self, *, resuming: bool = False) -> bool:
        """Say why training cannot start now, if it cannot."""
        if self.running:
            why = "a training is under way; stop it first."
        elif resuming and self._layer is not None:
            why = ""
        else:
            why = self._missing()
        if why:
            show_error(why)
        return bool(why)

    def _update_buttons(self) -> None:
        running, missing = self.running, self._missing()
        self.train_button.setEnabled(not running and not missing)
        self.train_button.setToolTip(tip(missing or "Train a new model on the chosen image."))
        self.stop_button.setEnabled(running)
        self._update_stop()
        self.resume_button.setEnabled(not running and self._layer is not None)
        self.resume_button.setText("Resume" if self._can_continue else "Resume…")
        self.resume_button.setToolTip(
            "Go on with the stopped training."
            if self._can_continue
            else "Go on with a training that was saved to a file."
        )
        self.save_button.setEnabled(self._run is not None or self._state.model is not None)
        self.form.setEnabled(not running)
        self.settings.setEnabled(not running)

    def _update_stop(self) -> None:
        """Offer to cancel as long as there is nothing to keep."""
        cancels = self.running and not self._stepped
        self.stop_button.setText("Cancel" if cancels else "Stop")
        self.stop_button.setToolTip(
            "End it at once; nothing has been learned yet."
            if cancels
            else "Stop after the step under way; the model is kept."
        )

    def _say(self, text: str) -> None:
        self.status_label.setText(text)


def collapsible(title: str, content: QWidget) -> QCollapsible:
    """Return a part of a form that opens and closes at once."""
    part = QCollapsible(title, expandedIcon="▼", collapsedIcon="▶")
    part.setDuration(0)
    part.addWidget(content)
    return part


def _trained(
    make: Callable[[], TrainingRun], checkpoint: Path | None
) -> Generator[Started | Progress, None, Model]:
    """Hand the run over first, then all of its progress, then its model; saved meanwhile."""
    from ...training.autosave import Autosave

    run = make()
    yield Started(run, run.model.history)
    if checkpoint is None:
        yield from run
        return run.model
    with Autosave(run, checkpoint) as saving:
        yield from run
    saving.remove()
    return run.model
