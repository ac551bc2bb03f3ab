"""The dock widget *Deconvolve…*: one layer from its raw counts to a deconvolved image.

It shows what `pipeline` does, asks in one form what nothing says, and leads to the widget in which
each assumption can be changed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer
from qtpy.QtWidgets import QWidget

from ...modes.registry import mode_named
from ...utils.errors import InputError
from ..forms.action_panel import CANCELLED
from ..forms.choosers import ImageChooser
from ..forms.forms import Form, button, fill, offer
from ..forms.navigation import open_widget
from ..forms.one_click_form import AskForm
from ..forms.optics_boxes import mode_box, out_of_focus_box
from ..forms.step_list import ACTIVE, DONE, DOUBTFUL, ENDED, FAILED, StepList
from ..forms.swipe_button import Pair, SwipeButton
from ..layers.channels import has_channels, said_of_channels, split_channels
from ..layers.layers import made_before
from ..layers.results import DECONVOLVED, result_name, result_names
from ..workers import preferences
from ..workers.checkpoints import all_broken_off, new_checkpoint
from ..workers.connections import alive, follow
from ..workers.notifications import show_error, show_info
from ..workers.workers import driven, in_background
from .layer_inspection import Inspected, mode_maker, users_psf, write_scale
from .one_click import NAME as NAME
from .one_click import bind_key
from .one_click_metadata import Knowledge
from .one_click_steps import OneClickSteps
from .saving import ask_where_to_save
from .task import STEPS, Task, task_of

if TYPE_CHECKING:
    import napari.viewer

    from ...io.acquisition import Recorded
    from ...model.model import Model
    from ...workflow import pipeline


class OneClickWidget(OneClickSteps):
    """Takes a layer from raw counts to a deconvolved image with its verdict, in one go."""

    title = NAME

    def __init__(self, viewer: napari.viewer.Viewer, *, parent: QWidget | None = None) -> None:
        super().__init__(viewer, action="Deconvolve", parent=parent)
        self._pipeline: pipeline.Pipeline | None = None
        self._asking = False
        self._asked_of: tuple[ImageLayer | None, str] = (None, "")
        self._anew = self._as_it_is = self._begins_again = False
        self._task: Task | None = None
        self._build()
        self.image.changed.connect(self._on_image)
        # Another layer that is read alike changes nothing else.
        self.image.layer_box.changed.connect(self._on_image)
        self.form.changed.connect(self._update_buttons)
        self.form.accepted.connect(self.accept)
        self.steps.clicked.connect(self._on_link)
        follow(self, self._state.noise_changed, self._on_assumption)
        follow(self, self._state.psf_changed, self._on_assumption)
        bind_key(self._viewer)
        self._on_image()

    def _build(self) -> None:
        self.image = ImageChooser(
            self._viewer,
            "The raw image, volume, series or raw SIM frames to deconvolve, in camera counts.",
            owner=self,
        )
        self.known = Knowledge(self._viewer, self.image, owner=self)
        # The form asks for the plane step, too, beside the rest.
        self.image.boxes = tuple(box for box in self.image.boxes if box is not self.image.step_box)
        self.chosen = Form()
        self.chosen.add_image(self.image)
        self.out_of_focus_box = out_of_focus_box()
        self.chosen.add(self.out_of_focus_box)
        self.mode_box = mode_box()
        self.chosen.add(self.mode_box)
        self.channels_button = button(
            "All channels…",
            self.deconvolve_channels,
            "Make a layer of each channel and deconvolve them one after the other in Queue, each "
            "with its own wavelength, noise and model.",
        )
        self.channels_button.hide()
        self.form = AskForm()
        self.form.hide()
        self.start_button.setDefault(True)
        self.swipe_button = SwipeButton(self._viewer, "Before | after", self._before_and_after)
        self.swipe_button.hide()
        self.steps = StepList()
        self.curves.hide()
        fill(self.body, self.chosen, self.channels_button, self.form, self.action_rows)
        fill(self.body, self.swipe_button, self.steps, self.curves)
        self.body.setStretchFactor(self.curves, 1)
        self.body.addStretch(0)

    def reset_choices(self, _: Any = None) -> None:
        """Offer the layers that the viewer holds now; napari calls it when they change."""
        if alive(self):
            self.image.reset_choices()

    # ------------------------------------------------------------------ actions

    @property
    def running(self) -> bool:
        """Whether anything is under way, looking at the layer included."""
        return self.known.looking or super().running

    @property
    def asking(self) -> bool:
        """Whether the form is open, and waits to be accepted."""
        return self._asking

    asks = asking

    @property
    def at_work(self) -> bool:
        """Whether work is under way that the user has asked for."""
        return self.running

    def start(
        self, layer: ImageLayer | None = None, *, anew: bool = False, as_it_is: bool = False
    ) -> None:
        """Deconvolve a layer: the given one, or the one that is chosen.

        With ``anew`` a model is trained also where one at hand would fit; ``as_it_is`` takes one
        that fits also where its training was stopped.
        """
        why = "one is under way; cancel it first." if self.running else self._choose(layer)
        if why:
            show_error(why)
            return
        self._anew, self._as_it_is = anew, as_it_is
        self._asking = False
        self._begin_steps(STEPS)
        self.steps.say("image", ACTIVE, "Looking at it…")
        self._begin_waiting("Looking at the layer…")
        self.known.look(self._decide, self._on_failure)
        self._update_buttons()

    def deconvolve_channels(self) -> None:
        """Split the chosen layer into its channels, and deconvolve all of them in *Queue*."""
        layer, reading = self.image.layer, self.image.reading
        if layer is None or reading is None or self.running:
            return

        def split(found: tuple[Recorded, str]) -> None:
            said, shifts = found
            if shifts:
                show_info(shifts)
            made = split_channels(self._viewer, layer, reading, said)
            queue = open_widget(self._viewer, "Queue")
            if queue is not None:
                queue.reset_choices()
                queue.choose(made)
                queue.start()

        in_background(
            self,
            "reading what a file says of its channels",
            partial(said_of_channels, layer, reading),
            split,
            on_failure=self._on_failure,
        )

    def accept(self) -> None:
        """Take what the form says and go on."""
        layer, reading = self.image.layer, self.image.reading
        why = self.form.missing
        if why or layer is None or reading is None:
            show_error(why)
            return
        values, sim = self.form.values(), bool(self.form.sim_box.value)
        known = self.known.now
        assert known is not None
        known.answer(values, sim=sim)
        self._asking = False
        self.form.hide()
        self._go(values, sim=sim)

    def cancel(self) -> None:
        """End what is under way and keep what there is.

        A training ends and its model of the moment makes the result; anything else ends there.
        """
        if self._asking and not self.running:
            self._asking = False
            self.form.hide()
            self._end(CANCELLED)
        elif self._job is not None and self._job.running:
            if self._pipeline is not None and self._training:
                self._pipeline.stop()
                self._say("Stopping after the step under way; the result follows…")
            else:
                self._job.stop()
                self._end(self._cancelled_words())
        elif self.known.looking:
            self.known.stop()
            self._end(CANCELLED)
        self._update_buttons()

    def _on_start(self) -> None:
        if self._asking:
            self.accept()
        else:
            self.start()

    def _choose(self, layer: ImageLayer | None) -> str:
        """Choose a layer; says why it cannot be."""
        if layer is not None and layer not in self.image.layer_box.choices:
            return (
                f"Layer {layer.name!r} is itself a result; select the raw image that it was made "
                "from."
            )
        if layer is not None:
            self.image.layer = layer
        if self.image.layer is None:
            return "there is no image; open one or a sample (File > Open Sample)."
        return self.image.problem

    def _result(self) -> ImageLayer | None:
        """Return the deconvolved layer of the last run, None where there is none."""
        layer = self._task.layer if self._task else None
        if layer is None:
            return None
        return made_before(self._viewer, result_name(layer, DECONVOLVED), layer)

    # ------------------------------------------------------------------ what is asked

    def _decide(self) -> None:
        """Ask where something is not known, else go on."""
        self.progress_bar.setRange(0, 1)
        why = self._choose(None)
        if why:
            self._end(why)
            show_error(why)
            self._update_buttons()
            return
        known = self._ask()
        facts = known.facts()
        if known.ambiguous or facts.missing(self.form.asked):
            self._open_form()
        else:
            self._go(facts.values_of(self.form.asked), sim=bool(known.seems_sim))

    def _ask(self) -> Inspected:
        """Fill the form with what is known, and return it."""
        known = self.known.now
        assert known is not None
        self._asked_of = (known.layer, known.channel)
        title = f"Channel {known.channel!r}" if known.channel else "The microscope"
        self.form.ask(known.facts(), title=title, mode=self.mode_box.value, **known.asked_as)
        return known

    def _ask_what_applies(self) -> None:
        """Let the open form ask what the image needs as it is read now, and with the PSF of now."""
        psf = users_psf(self._state, self.image.spatial)
        self.form.read_as(self.image.spatial, psf=psf is not None)

    def _open_form(self) -> None:
        self._asking = True
        self.form.show()
        self.steps.say("image", ACTIVE, "Waiting for the form above.")
        self._say("Complete the form, then press Go on.")
        self._update_buttons()
        self.form.take_focus()  # not before: what is disabled takes none

    # ------------------------------------------------------------------ the work

    def _go(self, values: dict[str, Any], *, sim: bool) -> None:
        """Begin with everything known."""
        layer = self.image.layer
        assert layer is not None
        try:
            write_scale(self._viewer, layer, self.image.reading, values, self._state)
            task = task_of(
                *(self._viewer, layer, self.image.reading),
                sim=sim,
                pixel_size=values.get("pixel_size"),
                mode=self.mode_box.value,
            )
        except InputError as error:
            self._on_failure(error)
            return
        self._task = task
        self._begin_steps(task.shown_steps)
        self.steps.say("image", DONE, task.words)
        self.steps.say("optics", DONE, self.form.words())
        background = bool(self.out_of_focus_box.value)
        make = mode_maker(task, values, self._state, out_of_focus=background)
        settings = {
            "device": preferences.device(),
            "preview_every": mode_named(task.mode).preview_every,
            "names": result_names(layer),
            "finished": not self._as_it_is,
            "checkpoint": new_checkpoint,
            "pyramids": True,
            "broken_off": [] if self._anew else all_broken_off(),
        }
        model = None if self._anew else self._state.model
        self._last = self._run = None
        self._job = self._started(
            driven(partial(_pipeline, make, model, settings)),
            "ZS-DeconvNet deconvolution",
            on_values=self._on_steps,
            before=self._previews.prepare(layer, task.reading) if model is None else None,
        )
        self._begin_waiting("Preparing…")
        self._update_buttons()

    def _on_end(self) -> None:
        """Go on to the verdict, or say how it ended."""
        if self._begins_again:
            self._begins_again = False
            self.start(self._task.layer if self._task else None, anew=True)
            return
        self._previews.hide_empty()
        self._end_waiting()
        states = self.steps.states
        if FAILED in states.values() or ENDED in states.values():
            pass  # said already
        elif states.get("verdict") in (DONE, DOUBTFUL):
            self._show_done(1, 1)
            self.curves.hide()  # what it came to matters now; Train… has the steps
            self._say("Done.")
        elif states.get("result") == DONE and self._pipeline and self._pipeline.cut_short:
            self._end("Not judged, as the training was stopped.")
        else:
            self._end(self._cancelled_words())
        self._pipeline = None
        self._update_buttons()

    # ------------------------------------------------------------------ what the window shows

    def _on_image(self) -> None:
        if not alive(self):
            return
        layer, channel = self._asked_of
        self.out_of_focus_box.enabled = self.image.spatial == "YX"
        if self._asking and self.image.layer is not layer:
            self.cancel()
        elif self._asking and self.known.now is not None and self.known.now.channel != channel:
            self._ask()
        elif self._asking:
            self._ask_what_applies()
        self._update_buttons()

    def _on_link(self, target: str) -> None:
        if target == "form":
            if not self.running and self.known.complete and not self._choose(None):
                self._ask()
                self._open_form()
            return
        if target == "save":
            ask_where_to_save(self, self._result())
            return
        if target == "from-the-first-step":
            self._start_training_anew()
            return
        if target in ("anew", "as-it-is"):
            layer = self._task.layer if self._task else None
            self.start(layer, anew=target == "anew", as_it_is=target == "as-it-is")
            return
        widget = open_widget(self._viewer, target)
        chooser = getattr(widget, "raw" if target == "SIM" else "image", None)
        if chooser is not None and self._task is not None:
            chooser.layer = self._task.layer

    def _before_and_after(self) -> Pair | str:
        """Return the recording and what there is of its result, or say that there is none."""
        layer = self._task.layer if self._task else None
        if layer is None or layer not in self._viewer.layers:
            return "There is no result yet."
        shown = self._previews.deconvolved or self._result()
        return "There is no result yet." if shown is None else (layer, shown)

    def _on_assumption(self, value: Any) -> None:
        """Offer to go on with what the user has changed elsewhere."""
        if not alive(self) or self.running:
            return
        if self._asking:
            self._ask_what_applies()
            self._update_buttons()
        if value is None or value in self._state.assumed:
            return
        if self.steps.states.get("result") == DONE or FAILED in self.steps.states.values():
            self._say("Noise or PSF was changed: press Deconvolve again to use it.")
        self._update_buttons()

    def _update_buttons(self) -> None:
        if not alive(self):
            return
        running = self.running
        mine = self._task is not None and self._task.layer is self.image.layer
        again = mine and self.steps.states.get("result") == DONE
        self.start_button.setText(
            "Go on" if self._asking else self._again() if again else "Deconvolve"
        )
        missing = self.form.missing if self._asking else self._choose(None)
        purpose = "Calibrate, train, deconvolve and judge, all in one go."
        offer(self.start_button, missing, purpose, free=not running)
        training = running and self._training
        self.cancel_button.setText("Stop here" if training else "Cancel")
        self.cancel_button.setToolTip(
            "Stop training; the model of the moment makes the result."
            if training
            else "End what is under way and keep what there is."
        )
        self.cancel_button.setEnabled(running or self._asking)
        self.swipe_button.refresh()
        self.swipe_button.setVisible(self.swipe_button.isEnabled())
        self.chosen.setEnabled(not running)
        self.channels_button.setEnabled(not running)
        self.channels_button.setVisible(has_channels(self.image.layer, self.image.reading))
        self.form.setEnabled(not running)


def _pipeline(make: Any, model: Model | None, settings: dict[str, Any]) -> pipeline.Pipeline:
    from ...workflow.pipeline import Pipeline

    return Pipeline(make(), model=model, **settings)
