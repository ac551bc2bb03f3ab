"""What one click shows of each step, while the worker goes from one to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...modes.words import sentence
from ..forms.action_panel import CANCELLED
from ..forms.kept_models import keep_by_itself
from ..forms.step_list import ACTIVE, DONE, DOUBTFUL, ENDED, FAILED, WAITING, StepList
from ..layers.layers import METADATA_KEY
from ..layers.previews import DECONVOLVED, DENOISED
from ..workers.durations import in_words
from ..workers.notifications import show_error, show_warning
from ..workers.window_text import worded
from ..workers.workers import Turns
from .quality_worker import Counted
from .training_view import TrainingView

if TYPE_CHECKING:
    from ...model.model import Model
    from ...modes.steps import Calibrated, PSFMade, Recommended, Reconstructed
    from ...quality.verdict import Verdict
    from ...workflow import pipeline
    from ..forms.swipe_button import SwipeButton
    from .task import Task

PREDICTIONS = 7
"""Of a verdict, each of which takes about the same time: spread, PSF and blank."""


class OneClickSteps(TrainingView):
    """Shows the steps of a pipeline as they come; `OneClickWidget` begins and ends it."""

    steps: StepList
    swipe_button: SwipeButton
    _task: Task | None
    _pipeline: pipeline.Pipeline | None
    _begins_again: bool
    _counted = Counted(1)

    @property
    def _training(self) -> bool:
        """Whether a training is under way that has done a step."""
        return self.steps.states.get("model") == ACTIVE and self._last is not None

    def _on_steps(self, values: list[Any]) -> Turns[None]:
        for value in values:
            if isinstance(value, self._steps_of().Progress):
                self._take(value)
                if value.message and not value.finished:  # the step says why it ended
                    show_warning(value.message)
            else:
                yield from self._on_step(value) or ()
        if self.steps.states.get("model") == ACTIVE:
            yield from self._show_preview()
        if self._training and self._last is not None:
            early = self._pipeline is None or self._pipeline.ends_early
            self._say(self._show_progress(self._last, ends_early=early))
        self._update_buttons()

    def _steps_of(self) -> Any:
        """Return the module of the steps, which the worker has loaded by now."""
        from ...workflow import pipeline

        return pipeline

    def _on_step(self, step: Any) -> Turns[None] | None:
        kinds = self._steps_of()
        handlers: dict[type, Callable[[Any], Turns[None] | None]] = {
            kinds.Pipeline: self._on_pipeline,
            kinds.Began: self._on_began,
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

    def _on_began(self, step: pipeline.Began) -> None:
        words = "Asking whether it can be believed…" if step.stage == "verdict" else None
        self._counted = Counted(PREDICTIONS)
        self.steps.say(step.stage, ACTIVE, words)

    def _on_psf(self, step: PSFMade) -> None:
        if step.psf is not self._state.psf:
            self._state.assumed.add(step.psf)
            self._state.psf = step.psf
        self.steps.say("psf", DONE, _with_cautions(step.said, step.psf.warnings))

    def _on_noise(self, step: Calibrated) -> None:
        if step.noise is not self._state.noise:
            self._state.assumed.add(step.noise)
            self._state.noise = step.noise
        words = f"{sentence(step.noise.brief())}. {step.said}"
        self.steps.say("noise", DONE, _with_cautions(words, step.noise.warnings))

    def _on_advice(self, step: Recommended) -> None:
        words = f"{step.said} Tick 'out-of-focus background' and press Deconvolve again to try it."
        self.steps.say("image", DONE, _with_cautions(self.steps.said["image"], (words,)))

    def _on_reconstructed(self, step: Reconstructed) -> None:
        self.steps.say("patterns", DONE, _with_cautions(step.said, step.patterns.warnings))
        if self._task is not None:
            self._task.show_plain(step)

    def _on_training(self, step: pipeline.TrainingBegan) -> None:
        self.curves.clear()
        self.curves.show()
        self._run, self._preview = step.run, None
        if self._task is not None:
            self._trained = [(self._task.layer, self._task.reading)]
            self._previews.begin(self._trained)
        self._on_plane_moved()
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

    def _said(self) -> list[str]:
        return list(self.steps.said.values())

    def _on_model(self, step: pipeline.ModelReady) -> None:
        self._state.model = step.model
        words = step.said
        if step.trained and self._last is not None:
            words += f" {in_words(self._last.seconds_elapsed)} on {self._last.device}."
            words += self._task.more if self._task is not None else ""
        if not step.trained:
            self._say_what_the_model_knows()
        cautions = self.steps.said["model"].partition("\n")[2]
        self.steps.say("model", DONE, f"{words}\n{cautions}".strip())
        if step.model.stopped:
            self.steps.offer("model", "Use it as it is", "as-it-is")
        if step.trained:
            self._keep(step.model)

    def _say_what_the_model_knows(self) -> None:
        """Leave no step that a model at hand has made needless looking as if it were to come."""
        for step in ("noise", "patterns"):
            if self.steps.states.get(step) == WAITING:
                self.steps.say(step, DONE, "As the model at hand knows it.")

    def _on_working(self, step: pipeline.Working) -> None:
        if step.stage == "result":
            self._show_parts(step.tiles)
            self._say("Making the result…")
        else:
            self._counted.add(step.tiles)
            self._show_share(self._counted.share)
            self._say(f"{step.tiles.message}…")

    def _on_predicted(self, step: pipeline.Predicted) -> Turns[None]:
        task = self._task
        if task is None:
            return
        self._previews.make_into(task.layer, step.result)
        names = yield from task.show_result(step)
        self.steps.say("result", DONE, names)
        self.show_at_top(self.steps.labels["result"])
        yield from self._remove_previews()

    def _on_judged(self, step: pipeline.Judged) -> Turns[None]:
        if self._task is None or self._state.model is None:
            return
        yield from self._task.show_verdict(self._state.model, step.verdict, maps=True)
        self.steps.say("verdict", *verdict_words(step.verdict))
        self._task.select_result()
        if self.swipe_button.swipe is not None:
            self.swipe_button.swipe.take_hold()
        self.show_at_top(self.steps.labels["result"])

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
        for step, words in (("result", "the result stays"), ("model", "the model stays")):
            if self.steps.states.get(step) == DONE:
                return f"Cancelled; {words}."
        return CANCELLED

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
        self.steps.end(FAILED, worded(error))
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


def _with_cautions(words: str, warnings: tuple[str, ...]) -> str:
    return "\n".join([words, *(f"⚠ {warning}" for warning in warnings)])


def verdict_words(verdict: Verdict) -> tuple[str, str]:
    """Return the state of the step and its words; why something failed is said by Quality."""
    if verdict.passed:
        return DONE, verdict.summary()
    return DOUBTFUL, verdict.headline()
