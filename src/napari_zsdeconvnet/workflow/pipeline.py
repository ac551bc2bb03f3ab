"""One recording from start to finish: PSF, noise, training, result, verdict, step after step.

`Pipeline` is iterated, and each step says what was assumed. What differs between kinds of
recordings stands in their modes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from ..inference.predict import Result, TileProgress, check_memory, in_pyramids
from ..io.grid import nanometres
from ..io.image import Image
from ..model.facts import ModelFacts
from ..model.model import Model
from ..model.presets import Preset
from ..modes.base import Mode
from ..modes.steps import Began, Calibrated, Done, PSFMade, Recommended, Reconstructed
from ..modes.words import psf_words, sentence
from ..quality.verdict import Verdict
from ..training.autosave import Autosave, continued_by
from ..training.trainer import NonFiniteLossError, Progress, TrainingRun
from ..utils.errors import InputError
from .record import Output, RunRecord, iter_recorded_by
from .result_files import RESULTS

__all__ = [
    "Began",
    "Calibrated",
    "Done",
    "Judged",
    "ModelReady",
    "PSFMade",
    "Pipeline",
    "Predicted",
    "Progress",
    "Recommended",
    "Reconstructed",
    "RunResult",
    "Step",
    "TrainingBegan",
    "Working",
]


@dataclass(frozen=True, eq=False)
class TrainingBegan:
    """Training begins; its `Progress` follows."""

    run: TrainingRun
    continued: int = 0
    """After which step it goes on, if it is one that broke off; see `Pipeline.give_up`."""


@dataclass(frozen=True, eq=False)
class ModelReady:
    """There is a model: trained, or at hand before."""

    model: Model
    said: str
    trained: bool


@dataclass(frozen=True)
class Working:
    """How far the result or the verdict has come."""

    stage: str
    tiles: TileProgress


@dataclass(frozen=True, eq=False)
class Predicted:
    """The result is there, with the record of how it came to be."""

    model: Model
    result: Result
    record: RunRecord


@dataclass(frozen=True, eq=False)
class Judged:
    """The verdict is there."""

    verdict: Verdict


Step = (
    Began
    | Done
    | PSFMade
    | Calibrated
    | Recommended
    | Reconstructed
    | TrainingBegan
    | Progress
    | ModelReady
    | Working
    | Predicted
    | Judged
)
Steps: TypeAlias = Generator[Step, None, None]


@dataclass(frozen=True, eq=False)
class RunResult:
    """What comes of a recording.

    Attributes
    ----------
    denoised, deconvolved, background : Image
        Counts above the offset, with their axes and voxel size; a background only where one that
        is out of focus was asked for.
    report : Verdict or None
        How far the result can be believed; None where that was not asked, or was stopped.
    record : RunRecord
        All that is needed to repeat it, with the report.
    model : Model
        What made it.
    """

    denoised: Image
    deconvolved: Image
    background: Image | None
    report: Verdict | None
    record: RunRecord
    model: Model


class Pipeline(Iterator[Step]):
    """Takes a recording from start to finish; iterate over it.

    Parameters
    ----------
    mode : Mode
        The recording with what is known of it.
    model : Model or sequence of Model, optional
        The first that fits is used as it is; where none does, one is trained.
    finished : bool
        Whether a model whose training was stopped does not count as fitting.
    unlike : callable, optional
        ``unlike(mode, model)`` says, once the noise is calibrated, why a model that fits is not to
        be used; empty where it is. By default every model that fits is.
    judged : bool
        Whether the verdict is the last step.
    device : str
        See `devices.resolve_device`.
    names : mapping, optional
        What the record calls the results, by `RESULTS`.
    checkpoint : callable, optional
        Names the file in which a training is saved while it goes on; it goes when the result is
        there.
    pyramids : bool
        Whether results that lie in files, as memory is short, are given in several resolutions.
    broken_off : sequence of Path
        Checkpoints of trainings that broke off; one that began just as this does is gone on with.
    preset : str or Preset
        For the training.
    settings
        For the training too, as `train` takes them.

    Raises
    ------
    InputError
        While iterated, where a step cannot be done; the steps before it hold.
    """

    def __init__(
        self,
        mode: Mode,
        *,
        model: Model | Sequence[Model] | None = None,
        finished: bool = False,
        unlike: Callable[[Mode, Model], str] | None = None,
        judged: bool = True,
        device: str = "auto",
        names: Mapping[str, str] | None = None,
        checkpoint: Callable[[], Path | None] | None = None,
        pyramids: bool = False,
        broken_off: Sequence[Path] = (),
        preset: str | Preset = "fast",
        **settings: Any,
    ) -> None:
        self._checkpoint = checkpoint
        self._broken_off = broken_off
        self._pyramids = pyramids
        self._saving: Autosave | None = None
        self._names = names or {what: what for what in RESULTS}
        self.mode = mode
        """The recording, and what its kind asks for."""
        self._given = () if model is None else (model,) if isinstance(model, Model) else model
        self._finished = finished
        self._unlike = unlike
        self._judged = judged
        self.device = device
        """What computes."""
        self._settings = {**settings, "preset": _preset(mode, preset)}
        self._run: TrainingRun | None = None
        self._stopped = False
        self._cut_short = self._given_up = self._trained_here = False
        self._predicted: Predicted | None = None
        self._verdict: Verdict | None = None
        self._steps = self._all_steps()

    def __next__(self) -> Step:
        """Go on to the next step."""
        return next(self._steps)

    @property
    def result(self) -> RunResult | None:
        """What there is so far; None before the prediction."""
        if self._predicted is None:
            return None
        made, placed = self._predicted, self.mode.placed
        background = made.result.background
        return RunResult(
            denoised=placed(made.result.denoised),
            deconvolved=placed(made.result.deconvolved),
            background=None if background is None else placed(background),
            report=self._verdict,
            record=replace(made.record, verdict=self._verdict),
            model=made.model,
        )

    def finish(self) -> RunResult:
        """Do all steps that are left, and return the result.

        Raises
        ------
        InputError
            If a step cannot be done, or the run was stopped before there was a result.
        """
        for _ in self:
            pass
        if self.result is None:
            raise InputError(
                "run-stopped", "The run was stopped before there was a result: start it again."
            )
        return self.result

    def close(self) -> None:
        """End at once; a training under way is saved first, where it is saved at all."""
        self._steps.close()

    def stop(self) -> None:
        """End what is under way and keep what there is; may be called from another thread.

        A training ends after its step, and its model of that moment makes the result, which is
        not judged then. Anything else ends there.
        """
        self._stopped = True
        if self._run is not None:
            self._run.stop()

    def give_up(self) -> None:
        """Let the training under way leave nothing behind, for one that begins anew."""
        self._given_up = True

    @property
    def ends_early(self) -> bool:
        """Whether a training may end before its last step, by itself."""
        return self._settings.get("steps") is None and self._settings["preset"].patience > 0

    @property
    def trained(self) -> bool:
        """Whether the model that made the result was trained on this recording."""
        return self._trained_here

    @property
    def cut_short(self) -> bool:
        """Whether the training was stopped before it had done all its steps."""
        return self._cut_short

    def _all_steps(self) -> Steps:
        yield from self._unless_stopped(self.mode.prepare())
        if self._stopped:
            return
        model, misfits, calibrated = None, [], False
        for given in self._given:
            misfit = self.mode.misfit(given)
            if self._finished and not misfit:
                misfit = _stopped_words(given)
            if self._unlike is not None and not misfit:
                if not calibrated:
                    calibrated = True
                    yield from self._unless_stopped(self.mode.calibrate())
                    if self._stopped:
                        return
                misfit = self._unlike(self.mode, given)
            misfits.append(misfit)
            if not misfits[-1]:
                model = given
                break
        if model is None:
            if not calibrated:
                yield from self._unless_stopped(self.mode.calibrate())
            if self._stopped:
                return
            yield Began("model")
            # Of several the first is the likeliest, and so its reason the most telling.
            model = yield from self._trained(misfits[0] if misfits else "")
            if model is None:
                return
            self._trained_here = True
        else:
            yield Began("model")
            words = (f"Reusing {_origin(model)}:", _facts(model), _stopped_words(model))
            yield ModelReady(model, " ".join(filter(None, words)), False)
        yield Began("result")
        tiles = iter_recorded_by(
            self.mode.predict(model, self.device),
            self.mode.image,
            self.device,
            **self.mode.predicted_with(model),
        )
        made = yield from self._working("result", tiles)
        if made is None:
            self._forget()
            return
        result, prediction = made
        prediction = replace(prediction, outputs=self._outputs(result))
        record = RunRecord.of(model, prediction=prediction)
        shown = in_pyramids(result, self.mode.placed) if self._pyramids else result
        self._predicted = Predicted(model, shown, record)
        yield self._predicted
        self._forget()
        if self._judged and not (self._cut_short or self._stopped):
            yield Began("verdict")
            found = yield from self._working("verdict", self.mode.judge(model, result, self.device))
            if found is not None:
                self._verdict = found
                yield Judged(found)

    def _outputs(self, result: Result) -> dict[str, Output]:
        """Describe the results with the axes that they are written with."""
        outputs = {}
        for what, name in self._names.items():
            pixels = getattr(result, what)
            if pixels is not None:
                image = self.mode.placed(pixels)
                outputs[what] = Output.of(name, image.data, image.axes)
        return outputs

    def _unless_stopped(self, steps: Steps) -> Steps:
        for step in steps:
            yield step
            if self._stopped:
                steps.close()
                return

    def _trained(self, why: str) -> Generator[Step, None, Model | None]:
        """Train; None where it was stopped before it had learned anything."""
        run, again = self._begun()
        if again is not None and ModelFacts.read(again).complete:
            model = Model.load(again)
            self._saving = Autosave(run, again)
            yield ModelReady(model, f"Trained for {model.steps_trained} steps before.", True)
            return model
        self._run = run
        yield TrainingBegan(run, run.step if again else 0)
        ended = ""
        if again:
            why = f"{why} Went on with a training that broke off after step {run.step}.".strip()
        try:
            with self._saved(run, again):
                if not self._stopped:
                    yield from run
        except NonFiniteLossError as error:
            if run.step == 0:
                raise
            ended = str(error)
        self._run = None
        if run.step == 0 and run.steps:
            return None
        # From here on a second stop is one of the result.
        self._cut_short, self._stopped = self._stopped, False
        model = run.model
        how = "Stopped after" if self._cut_short else "Trained for"
        done = f"{how} {run.step} steps on this recording."
        if run.steps == 0:
            done = "The weights as they are, without training on this recording."
        words = (done, run.ending, model.kept, ended, why)
        yield ModelReady(model, " ".join(filter(None, words)), True)
        return model

    def _begun(self) -> tuple[TrainingRun, Path | None]:
        """Begin to train, or go on with what broke off: the run, and the checkpoint it is from.

        Where that training was done the run is not begun.
        """
        run = self.mode.train(device=self.device, **self._settings)
        check_memory(run.latest.network, run.device, self.mode.frames)
        again = None
        if self._broken_off and run.step == 0:
            again = continued_by(run.latest, self._broken_off)
        if again is None or ModelFacts.read(again).complete:
            return run, again
        return self.mode.train(device=self.device, **{**self._settings, "resume": again}), again

    @contextmanager
    def _saved(self, run: TrainingRun, again: Path | None) -> Iterator[None]:
        """Save a training while it goes on, if anybody says where."""
        path = again or (self._checkpoint() if self._checkpoint is not None else None)
        if path is None:
            yield
            return
        self._saving = Autosave(run, path, at_end=True)
        with self._saving:
            try:
                yield
            finally:
                if self._given_up:
                    self._forget()

    def _forget(self) -> None:
        """Remove the checkpoint once it is of no use any more."""
        if self._saving is not None:
            self._saving.remove()

    def _working(self, stage: str, tiles: Generator[TileProgress, None, Any]) -> Any:
        """Pass progress on; None where it was stopped."""
        while not self._stopped:
            try:
                state = next(tiles)
            except StopIteration as end:
                return end.value
            yield Working(stage, state)
        tiles.close()
        return None


def _preset(mode: Mode, preset: str | Preset) -> Preset:
    return mode.preset_named(preset) if isinstance(preset, str) else preset


def _stopped_words(model: Model) -> str:
    return f"The training of the model at hand was {model.stopped}." if model.stopped else ""


def _origin(model: Model) -> str:
    steps = model.steps_trained
    return f"the model trained for {steps} steps" if steps else "the pretrained weights"


def _facts(model: Model) -> str:
    pixel = "" if model.voxel_size is None else f"pixels of {nanometres(model.voxel_size[-1:])}, "
    return f"{pixel}{psf_words(model.psf)} {sentence(model.noise.describe())}"
