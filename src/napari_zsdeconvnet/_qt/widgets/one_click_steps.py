"""What one click shows of each step, while the worker goes from one to the next."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from ..forms.action_panel import CANCELLED, ActionPanel
from ..forms.forms import advance
from ..forms.kept_models import keep_by_itself
from ..forms.step_list import ACTIVE, DONE, DOUBTFUL, ENDED, FAILED, StepList
from ..layers.layers import METADATA_KEY, shown_place
from ..layers.previews import DECONVOLVED, DENOISED, PreviewLayers
from ..layers.state import Judged
from ..plots.curves import LossCurves
from ..workers.connections import alive
from ..workers.durations import in_words, time_left
from ..workers.notifications import show_error, show_warning
from ..workers.workers import Job, Turns

if TYPE_CHECKING:
    from ...model.model import Model
    from ...modes.steps import Calibrated, PSFMade, Recommended, Reconstructed
    from ...quality.verdict import Verdict
    from ...training.trainer import Progress, TrainingRun
    from ...workflow import pipeline
    from .one_click_worker import Task


class OneClickSteps(ActionPanel):
    """Shows the steps of a pipeline as they come; `OneClickWidget` begins and ends it."""

    steps: StepList
    curves: LossCurves
    _task: Task | None
    _pipeline: pipeline.Pipeline | None
    _job: Job[Any, Any] | None
    _begins_again: bool
    _run: TrainingRun | None
    _last: Progress | None
    _previews: PreviewLayers

    @property
    def running(self) -> bool:
        """Whether anything is under way."""
        raise NotImplementedError

    def _update_buttons(self) -> None:
        raise NotImplementedError

    @property
    def _training(self) -> bool:
        """Whether a training is under way that has done a step."""
        return self.steps.states.get("model") == ACTIVE and self._last is not None

    def _on_steps(self, values: list[Any]) -> Turns[None]:
        shown = None
        for value in values:
            if isinstance(value, self._steps_of().Progress):
                self._last = value
                self.curves.append(value.step, value.losses)
                shown = value.preview or shown
                if value.message and not value.finished:  # the step says why it ended
                    show_warning(value.message)
            else:
                yield from self._on_step(value) or ()
        if shown is not None and self.steps.states.get("model") == ACTIVE:
            yield from self._previews.show(shown)
        if self._training and self._last is not None:
            self._show_progress(self._last)
        self._update_buttons()

    def _steps_of(self) -> Any:
        """Return the module of the steps, which the worker has loaded by now."""
        from ...workflow import pipeline

        return pipeline

    def _on_step(self, step: Any) -> Turns[None] | None:
        kinds = self._steps_of()
        handlers: dict[type, Callable[[Any], Turns[None] | None]] = {
            kinds.Pipeline: self._on_pipeline,
            kinds.Began: lambda step: self.steps.say(step.stage, ACTIVE),
            kinds.Done: lambda step: self.steps.say(step.stage, DONE, step.said),
            kinds.PSFMade: self._on_psf,
            kinds.Calibrated: self._on_noise,
            kinds.Recommended: self._on_advice,
            kinds.Reconstructed: self._on_reconstructed,
            kinds.TrainingBegan: self._on_training,
            kinds.ModelReady: self._on_model,
            kinds.Working: self._on_working,
            kinds.Predicted: self._on_predicted,
            kinds.Judged: self._on_judged,
        }
        return handlers[type(step)](step)

    def _on_pipeline(self, started: pipeline.Pipeline) -> None:
        self._pipeline = started

    def _on_psf(self, step: PSFMade) -> None:
        if step.psf is not self._state.psf:
            self._state.assumed.add(step.psf)
            self._state.psf = step.psf
        self.steps.say("psf", DONE, _with_cautions(step.said, step.psf.warnings))

    def _on_noise(self, step: Calibrated) -> None:
        if step.noise is not self._state.noise:
            self._state.assumed.add(step.noise)
            self._state.noise = step.noise
        self.steps.say("noise", DONE, _with_cautions(step.said, step.noise.warnings))

    def _on_advice(self, step: Recommended) -> None:
        words = f"{step.said} Tick 'out-of-focus background' and press Deconvolve again to try it."
        self.steps.say("image", DONE, _with_cautions(self.steps.said["image"], (words,)))

    def _on_reconstructed(self, step: Reconstructed) -> None:
        self.steps.say("patterns", DONE, _with_cautions(step.said, step.patterns.warnings))
        if self._task is not None:
            self._task.show_plain(self._viewer, step)

    def _on_training(self, step: pipeline.TrainingBegan) -> None:
        self.curves.clear()
        self.curves.show()
        self._run = step.run
        self._on_plane_moved()
        if self._task is not None:
            self._previews.begin([(self._task.layer, self._task.reading)], self._task.grid)
        warnings = dict.fromkeys(step.run.warnings)
        told = [text for text in warnings if not any(text in said for said in self._said())]
        before = self._state.model
        why = f" The model at hand was {before.stopped}." if before and before.stopped else ""
        doing = "Training…"
        if step.continued:
            doing = (
                f"A training of this recording stopped after step {step.continued}; it goes on "
                "from there."
            )
            self.steps.offer_meanwhile("model", "Start anew", "from-the-first-step")
        self.steps.say("model", ACTIVE, _with_cautions(f"{doing}{why}", tuple(told)))

    def _on_plane_moved(self, _: Any = None) -> None:
        """Let the next preview show the planes that the user looks at."""
        if not alive(self) or self._run is None or self._task is None or not self.running:
            return
        if self._task.spatial == "ZYX" and self._viewer.dims.ndisplay == 2:
            place = shown_place(self._task.layer, self._viewer, self._task.reading)
            self._run.focus(place[-1])

    def _said(self) -> list[str]:
        return list(self.steps.said.values())

    def _on_model(self, step: pipeline.ModelReady) -> None:
        self._state.model = step.model
        words = step.said
        if step.trained and self._last is not None:
            words += f" {in_words(self._last.seconds_elapsed)} on {self._last.device}."
            words += self._task.more if self._task is not None else ""
        cautions = self.steps.said["model"].partition("\n")[2]
        self.steps.say("model", DONE, f"{words}\n{cautions}".strip())
        if step.model.stopped:
            self.steps.offer("model", "Use it as it is", "as-it-is")
        if step.trained:
            self._keep(step.model)

    def _on_working(self, step: pipeline.Working) -> None:
        tiles = step.tiles
        advance(self.progress_bar, tiles.done, tiles.total, f"part {tiles.done} of {tiles.total}")
        self._say("Making the result…" if step.stage == "result" else f"{tiles.message}…")

    def _on_predicted(self, step: pipeline.Predicted) -> Turns[None]:
        task = self._task
        if task is None:
            return
        self._previews.make_into(task.layer, step.result)
        names = yield from task.show_result(self._viewer, step)
        self.steps.say("result", DONE, names)
        self.show_at_top(self.steps.labels["result"])
        yield from self._remove_previews()

    def _on_judged(self, step: pipeline.Judged) -> None:
        """Take the verdict of a mode whose result no other window judges."""
        if self._task is None or self._state.model is None:
            return
        self._task.keep_verdict(self._viewer, step.verdict)
        judged = Judged(self._state.model, step.verdict, self._task.frame)
        self._state.set_judged(self._task.layer, judged)
        self.steps.say("verdict", *verdict_words(step.verdict))

    def _show_progress(self, progress: Progress) -> None:
        self.curves.redraw()
        advance(
            self.progress_bar,
            progress.step,
            progress.steps,
            f"step {progress.step} of {progress.steps}",
        )
        early = self._pipeline is None or self._pipeline.ends_early
        self._say(time_left(progress, ends_early=early))

    def _remove_previews(self) -> Turns[None]:
        for layer in list(self._viewer.layers):
            if layer.name in (DENOISED, DECONVOLVED) and METADATA_KEY in layer.metadata:
                self._viewer.layers.remove(layer)
                yield

    def _keep(self, model: Model) -> None:
        """Save a model where the preferences say that models go."""
        if self._task is None:
            return
        keep_by_itself(
            self,
            model,
            self._task.layer.name,
            lambda path: self.steps.say(
                "model", DONE, f"{self.steps.said['model']} Saved as {path}."
            ),
        )

    # ------------------------------------------------------------------ how it begins and ends

    def _begin_steps(self, steps: Any) -> None:
        self.steps.begin(steps)
        self.curves.hide()

    def _cancelled_words(self) -> str:
        trained = self.steps.states.get("model") == DONE
        return "Cancelled; the model stays." if trained else CANCELLED

    def _on_judging(self, share: float, what: str) -> None:
        advance(self.progress_bar, round(1000 * share), 1000, f"{100 * share:.0f} %")
        self._say(f"{what}…")

    def _on_verdict(self, found: Judged) -> None:
        self.steps.say("verdict", *verdict_words(found.verdict))
        self._say("Done.")

    def _end(self, words: str) -> None:
        self.progress_bar.setRange(0, 1)
        self.steps.end(ENDED, words)
        self._say(words)

    def _again(self) -> str:
        """Say what pressing the button once more does: a stopped model is not taken again."""
        model = self._state.model
        return "Train anew" if model is not None and model.stopped else "Deconvolve again"

    def _on_failure(self, error: Exception) -> None:
        show_error(error)
        self.steps.end(FAILED, str(error))
        self.progress_bar.setRange(0, 1)
        self._say("That did not work; the step marked ✗ says why and where to mend it.")

    def _start_training_anew(self) -> None:
        """End a training that went on from one that broke off, and train from the first step."""
        if self._job is None or not self._job.running or self._pipeline is None:
            return
        self._begins_again = True
        self._pipeline.give_up()
        self._job.stop()
        self._say("Starting anew…")


def worked(
    make: Callable[[], Any], model: Model | None, settings: dict[str, Any]
) -> Generator[Any, None, None]:
    """Hand the pipeline over first, so that it can be stopped, then all of its steps."""
    from ...workflow.pipeline import Pipeline

    steps = Pipeline(make(), model=model, **settings)
    yield steps
    yield from steps


def _with_cautions(words: str, warnings: tuple[str, ...]) -> str:
    return "\n".join([words, *(f"⚠ {warning}" for warning in warnings)])


def verdict_words(verdict: Verdict) -> tuple[str, str]:
    """Return the state of the step and its words; why something failed is said by Quality."""
    if verdict.passed:
        return DONE, verdict.summary()
    return DOUBTFUL, verdict.headline()
