"""The dock widget *Queue*: several layers one after the other, each as by one click.

A screen, or the channels of an image: what is not known is asked once for all layers that lack the
same, a failure is listed and stops nothing, and the models of one serve the others they fit.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox
from qtpy.QtWidgets import QWidget

from ...utils.errors import InputError
from ..forms.action_panel import ActionPanel
from ..forms.choosers import NO_IMAGE, image_layers
from ..forms.forms import button, fill, heading, in_row, note, offer
from ..forms.kept_models import keep_by_itself
from ..forms.layer_ticks import LayerTicks
from ..forms.one_click_form import AskForm
from ..layers.layer_axes import what_is_there
from ..layers.layer_files import LayerFiles
from ..layers.results import result_names
from ..workers import preferences
from ..workers.activity import activity
from ..workers.checkpoints import all_broken_off, new_checkpoint
from ..workers.connections import alive
from ..workers.durations import time_left
from ..workers.notifications import show_error
from ..workers.window_text import worded
from ..workers.workers import Turns, driven
from .layer_inspection import mode_maker, write_scale
from .queue_worker import Found, Waiting, batch_of, looked_at
from .task import task_of

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image as ImageLayer

    from ...workflow import batch

_SIGNS = {"active": "▶", "done": "✓", "doubtful": "⚠", "failed": "✗", "ended": "■"}
_NAMED = 4  # layers that a form names; more are counted


class QueueWidget(ActionPanel):
    """Deconvolves the chosen layers one after the other, each by the steps of one click."""

    title = "Queue"
    always_in_activity = True

    def __init__(self, viewer: napari.viewer.Viewer, *, parent: QWidget | None = None) -> None:
        super().__init__(viewer, action="Deconvolve all", parent=parent)
        self._batch: batch.Batch | None = None
        self._part: tuple[str, float] = ("", 0.0)  # what is done with a layer, and how far
        self._queue: list[Waiting] = []
        self._running: list[Waiting] = []
        self._asked: list[Waiting] = []
        self._cancelled = False
        self._files = LayerFiles(viewer, owner=self)
        self._training = False  # whether the last event is a step of a training
        self._build()
        self.reset_choices()
        self._update_buttons()

    def _build(self) -> None:
        self.layer_list = LayerTicks(
            "The layers to deconvolve, in this order; tick those you want."
        )
        self.empty_note = note()
        self.empty_note.setText(NO_IMAGE)
        self.layer_list.itemChanged.connect(self._update_buttons)
        self.all_button = button(
            "All", lambda: self.choose(self.layers), "Tick every layer of the list."
        )
        self.none_button = button("None", lambda: self.choose([]), "Tick no layer.")
        self.selected_button = button(
            "As selected",
            lambda: self.choose(list(self._viewer.layers.selection)),
            "Those that are selected in the layer list.",
        )
        self.judge_box = CheckBox(
            text="judge each result",
            value=True,
            tooltip="Ask of each result whether it can be believed; takes about as long as seven "
            "more results.",
        )
        self.form = AskForm()
        self.form.hide()
        self.form.changed.connect(self._update_buttons)
        self.form.accepted.connect(self.accept)
        self.start_button.setDefault(True)
        self.cancel_button.setToolTip(
            "End what is under way, keep what there is, and begin no more."
        )
        self.choices = (self.all_button, self.none_button, self.selected_button)
        fill(
            self.body,
            *(heading("Layers"), self.empty_note, self.layer_list, in_row(*self.choices)),
            *(self.judge_box.native, self.form, self.action_rows),
        )
        self.body.setStretchFactor(self.layer_list, 1)

    # ------------------------------------------------------------------ what is chosen

    @property
    def layers(self) -> list[ImageLayer]:
        """All layers that are offered."""
        return self.layer_list.layers

    @property
    def chosen(self) -> list[ImageLayer]:
        """The layers that are ticked."""
        return self.layer_list.chosen

    def choose(self, layers: list[Any]) -> None:
        """Tick these layers and no others."""
        self.layer_list.choose(layers)

    def reset_choices(self, _: Any = None) -> None:
        """Offer the layers that the viewer holds now; napari calls it when they change."""
        if not alive(self):
            return
        self._files.look()
        changed = self.layer_list.offer(image_layers(self._viewer))
        self._show_states()
        if changed:
            self._update_buttons()

    # ------------------------------------------------------------------ actions

    @property
    def asking(self) -> bool:
        """Whether the form is open, and waits to be accepted."""
        return bool(self._asked)

    asks = asking

    def doing(self) -> tuple[float, str]:
        """Return how much of the queue is done, from 0 to 1, and what is under way."""
        if not self._running:
            return 0.0, str(self.status_label.text())
        through = sum(one.done or bool(one.problem) for one in self._running)
        words, share = self._part
        count = len(self._running)
        return (through + share) / count, f"{min(through + 1, count)} of {count}, {words}"

    @property
    def failures(self) -> dict[str, str]:
        """Why layers of the last queue failed, by their names."""
        return {one.layer.name: one.problem for one in self._queue if one.problem}

    def start(self) -> None:
        """Deconvolve all layers that are ticked."""
        chosen = self.chosen
        if self.running or not chosen:
            show_error(
                "a queue is under way; cancel it first." if chosen else "tick a layer first."
            )
            return
        self._cancelled = False
        self._asked = []
        self._queue = [Waiting(layer, self._state) for layer in chosen]
        for waiting in self._queue:
            waiting.read()
        self._job = self._started(
            looked_at(self._queue),
            "looking at the layers of a queue",
            on_values=self._on_found,
            on_end=self._on_looked,
            uses_torch=False,
        )
        self._begin_waiting("Looking at the layers…")
        self._show_states()
        self._update_buttons()

    def accept(self) -> None:
        """Take what the form says, and ask for what is still lacking or go on."""
        if not self._asked or self.form.missing:
            show_error(self.form.missing or "nothing is asked.")
            return
        values, sim = self.form.values(), bool(self.form.sim_box.value)
        for waiting in self._asked:
            waiting.answer(values, sim=sim)
        self._ask_or_go()

    def cancel(self) -> None:
        """End what is under way, keep what there is, and begin no more."""
        self._cancelled = True
        if self.asking:
            self._asked = []
            self.form.hide()
            self._finish()
        elif self._batch is not None and self._training:
            self._batch.stop()
            self._say("Stopping after the step under way…")
        elif self._job is not None and self.running:
            self._job.stop()
            self._say("Cancelled; what is done stays.")
        self._update_buttons()

    def _on_start(self) -> None:
        if self.asking:
            self.accept()
        else:
            self.start()

    # ------------------------------------------------------------------ what is known

    def _on_found(self, found: list[Found]) -> None:
        for one in found:
            waiting = self._queue[one.index]
            waiting.look, waiting.doubt, waiting.problem = one.look, one.doubt, one.problem
            if one.look is not None and waiting.layer.source.path:
                self._files.take(waiting.layer, one.look.recorded)
                waiting.read()

    def _on_looked(self) -> None:
        self.progress_bar.setRange(0, 1)
        if self._cancelled:
            self._finish()
            return
        for waiting in self._queue:
            waiting.decide()
        self._ask_or_go()

    def _ask_or_go(self) -> None:
        """Ask once for all layers that lack the same, and go on when nothing is lacking."""
        lacking = [one for one in self._queue if one.values is None and not one.problem]
        self._asked = []
        if not lacking:
            self.form.hide()
            self._go()
            return
        first = lacking[0]
        wanted = first.likeness()
        self._asked = [one for one in lacking if one.likeness() == wanted]
        self.form.ask(first.facts(), title=self._title(self._asked), **first.asked_as)
        self.form.show()
        self._say(
            f"{self._read_words(first)} If that is wrong, cancel and correct 'Read as' on the "
            "page Deconvolve…"
        )
        self._update_buttons()
        self.form.take_focus()  # not before: what is disabled takes none

    def _title(self, asked: list[Waiting]) -> str:
        names = [one.layer.name for one in asked]
        listed = ", ".join(names[:_NAMED])
        if len(names) > _NAMED:
            listed += f" and {len(names) - _NAMED} more"
        channel = asked[0].channel
        return f"Channel {channel!r}: {listed}" if channel else listed

    def _read_words(self, waiting: Waiting) -> str:
        if waiting.reading is None:
            return ""
        words = what_is_there(waiting.layer, waiting.reading)
        return f"{waiting.layer.name} is read as {waiting.reading.kind}: {words}"

    # ------------------------------------------------------------------ the work

    def _go(self) -> None:
        """Begin with everything known."""
        makers = []
        self._running = []
        for waiting in self._queue:
            if waiting.problem or waiting.values is None:
                continue
            try:
                makers.append(self._maker(waiting))
            except InputError as error:
                waiting.problem = worded(error)
            else:
                self._running.append(waiting)
        if not makers:
            self._finish()
            return
        settings = {
            "device": preferences.device(),
            "pyramids": True,
            "judged": bool(self.judge_box.value),
            "preview_every": 0,
            "finished": True,
            "checkpoint": new_checkpoint,
            "broken_off": all_broken_off(),
        }
        models = [] if self._state.model is None else [self._state.model]
        self._job = self._started(
            driven(partial(batch_of, makers, models, settings)),
            "ZS-DeconvNet queue",
            on_values=self._on_events,
            on_end=self._finish,
        )
        self._show_done(0, len(makers), f"0 of {len(makers)} layers")
        self._say("Preparing…")
        self._show_states()
        self._update_buttons()
        activity.look_at(self)

    def _maker(self, waiting: Waiting) -> tuple[str, Any, dict[str, str]]:
        assert waiting.values is not None
        layer = waiting.layer
        write_scale(self._viewer, layer, waiting.reading, waiting.values, self._state)
        if not waiting.sim:
            waiting.read()
        pixel_size = waiting.values.get("pixel_size")
        waiting.task = task_of(
            self._viewer, layer, waiting.reading, sim=waiting.sim, pixel_size=pixel_size
        )
        make = mode_maker(waiting.task, waiting.values, self._state)
        return layer.name, make, result_names(layer)

    def _on_events(self, events: list[Any]) -> Turns[None]:
        from ...workflow import batch

        for event in events:
            if isinstance(event, batch.Batch):
                self._batch = event
                if self._cancelled:
                    event.stop()
            elif isinstance(event, batch.Began):
                self._show_part(self._running[event.index], 0, 1, "looking")
            elif isinstance(event, batch.Stepped):
                yield from self._on_step(self._running[event.index], event.step)
            else:
                self._on_ended(self._running[event.index], event)
        self._show_states()

    def _on_step(self, waiting: Waiting, step: Any) -> Turns[None]:
        from ...training.trainer import Progress
        from ...workflow import pipeline

        task = waiting.task
        assert task is not None  # made before the work began
        self._training = isinstance(step, Progress)
        if isinstance(step, Progress):
            self._show_part(waiting, step.step, step.steps, "training")
            if not self._cancelled:
                self._say(f"{waiting.layer.name}: {time_left(step)}.")
        elif isinstance(step, pipeline.Working):
            doing = "making the result" if step.stage == "result" else "judging"
            self._show_part(waiting, step.tiles.done, step.tiles.total, doing)
        elif isinstance(step, pipeline.Reconstructed):
            task.show_plain(step)
            yield
        elif isinstance(step, pipeline.ModelReady):
            self._state.model = step.model
            if step.trained:
                keep_by_itself(self, step.model, waiting.layer.name)
        elif isinstance(step, pipeline.Predicted):
            yield from task.show_result(step)
        elif isinstance(step, pipeline.Judged):
            waiting.said = step.verdict.headline()
            if self._state.model is not None:
                yield from task.show_verdict(self._state.model, step.verdict, maps=False)

    def _show_part(self, waiting: Waiting, done: int, total: int, doing: str) -> None:
        waiting.said = f"{doing}, {100 * done // max(total, 1)} %"
        # Training takes longest: the bar of the activity dock follows it alone.
        share = done / max(total, 1) if doing == "training" else self._part[1]
        self._part = f"{waiting.layer.name}, {doing}", share

    def _on_ended(self, waiting: Waiting, event: batch.Ended) -> None:
        waiting.done = event.done
        if event.error is not None:
            waiting.problem = worded(event.error)
        if waiting.said.endswith("%"):
            waiting.said = ""
        through = sum(one.done or bool(one.problem) for one in self._running)
        count = len(self._running)
        self._show_done(through, count, f"{through} of {count} layers")
        self._part = "", 0.0

    def _finish(self) -> None:
        """Say how it ended, with what failed and why."""
        self._batch = None
        done = sum(one.done for one in self._queue)
        how = "Cancelled: " if self._cancelled else ""
        lines = [f"{how}{done} of {len(self._queue)} layers done."]
        failures = self.failures
        if failures:
            lines.append(f"{len(failures)} failed:")
            lines += [f"✗ {name}: {why}" for name, why in failures.items()]
        self._say("\n".join(lines))
        self.progress_bar.setRange(0, 1)
        self._show_states()
        self._update_buttons()

    # ------------------------------------------------------------------ what the window shows

    def _show_states(self) -> None:
        """Show how each layer of the queue stands, beside its name."""
        queued = {id(one.layer): one for one in self._queue}
        self.layer_list.show_states(lambda layer: self._stated(layer, queued.get(id(layer))))

    def _stated(self, layer: ImageLayer, waiting: Waiting | None) -> tuple[str, str]:
        """Return the text of a layer and its tooltip."""
        if waiting is None:
            return layer.name, ""
        judged = self._state.judged(layer)
        if waiting.problem:
            sign, words = _SIGNS["failed"], "failed"
        elif waiting.done:
            doubtful = judged is not None and bool(waiting.said) and not judged.verdict.passed
            sign, words = _SIGNS["doubtful" if doubtful else "done"], waiting.said or "done"
        elif waiting.said:
            sign, words = _SIGNS["active"], waiting.said
        else:
            return layer.name, ""
        return f"{sign} {layer.name}: {words}", waiting.problem

    def _update_buttons(self, _: Any = None) -> None:
        running = self.running
        free = not running and not self.asking
        self.layer_list.locked = not free
        self.empty_note.setVisible(not self.layers)
        for widget in (*self.choices, self.judge_box.native):
            widget.setEnabled(free)
        missing = self.form.missing if self.asking else "" if self.chosen else "tick a layer first."
        self.start_button.setText("Go on" if self.asking else "Deconvolve all")
        purpose = "Calibrate, train where no model fits, deconvolve and judge, layer by layer."
        offer(self.start_button, missing, purpose, free=not running)
        self.cancel_button.setEnabled(running or self.asking)
