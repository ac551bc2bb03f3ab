"""A training in progress: step after step, with previews, to be stopped, saved and restored."""

from __future__ import annotations

import copy
import math
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..io.image import Image
from ..model.best_weights import BestWeights, Trust
from ..model.model import Model, save_with_training
from ..model.model_file import below
from ..model.presets import Preset
from ..model.provenance import installed_versions, with_step
from ..networks.base import TwoStageNetwork
from ..utils.devices import (
    describe_device,
    is_out_of_memory,
    move_network,
    thread_count,
    threads,
)
from ..utils.errors import InputError
from ..utils.phases import doing, loaded
from .early_stopping import Plateau
from .kept_weights import KeptWeights
from .objectives import LOOK_EVERY, RecorruptedObjective, Setting
from .progress import NonFiniteLossError, Previews, Progress
from .rates import Rates
from .registry import OBJECTIVES
from .sim_pairs import RawSIM
from .validation import Validation

CHECK_EVERY = 20
"""Steps between two looks at the held-out pairs; one takes as long as a step or two."""

PREVIEWS = 25
"""Previews in a run, unless the caller asks for another interval."""

PREVIEW_SHARE = 0.1
"""Part of the time of a run that these may take; of a deep stack one takes as long as 30 steps."""

HISTORY_LENGTH = 1000
"""Entries that a run's loss history has at most; longer runs record every so many steps."""


class TrainingRun(Iterator[Progress]):
    """A training in progress; made by `train`.

    Each ``next`` does one optimiser step. `stop` may be called from another thread and ends
    the iteration after the current step; `resume` lets it go on. `model` and `save` work at
    any time, from any thread.
    """

    def __init__(
        self,
        recordings: Sequence[Image],
        model: Model,
        preset: Preset,
        steps: int,
        device: torch.device,
        preview_every: int | None,
        raw: RawSIM | None = None,
    ) -> None:
        self.step = 0
        self.steps = steps
        self.ending = ""
        """Why the run ended by itself, if it did."""
        self.device = device
        self.warnings = model.warnings
        self._start = model
        self._preset = preset
        self._network = move_network(model.network, device)
        self._kept = KeptWeights(self._network, preset)
        loaded("torch._dynamo")  # which the first optimiser does, for seconds
        self._rates = Rates(self._network, preset)
        self._optimiser = torch.optim.Adam(
            self._rates.groups, lr=preset.learning_rate, betas=preset.betas
        )
        self._objective = OBJECTIVES[preset.objective](
            Setting.of(model, recordings, preset, steps, device, raw),
            self._network,
        )
        self._random_state = self._objective.random_state()
        self._history: list[Mapping[str, float]] = list(model.history)
        self._stretches = model.stretches
        self._paused = True
        self._reduced = any(stretch.reduced for stretch in model.stretches)
        self._versions = installed_versions()
        self._latest: Mapping[str, float] | None = None
        self._every = max(steps // PREVIEWS, 1) if preview_every is None else preview_every
        self._previews_may_take = PREVIEW_SHARE if preview_every is None else None
        self._previews = Previews(recordings, model, self._objective.setting)
        self._stopped = False
        self._plateau = Plateau(preset.patience, preset.least_gain) if preset.patience else None
        self._best: BestWeights | None = None
        self._judged = -1
        self._asked: tuple[int, BestWeights] | None = None
        self._elapsed = 0.0
        self._lock = threading.RLock()

    # ------------------------------------------------------------------ stepping

    def __next__(self) -> Progress:
        """Do one step.

        Raises
        ------
        NonFiniteLossError
            If the loss is NaN or infinite; the weights are those before the step.
        InputError
            If memory runs out with the smallest batch.
        """
        if self._stopped or self.step >= self.steps:
            raise StopIteration
        with threads(thread_count(self.device)):
            return self._advance()

    def _advance(self) -> Progress:
        """Do one step, and a preview where it is due."""
        begun = self._begun = time.perf_counter()
        rate = self._preset.learning_rate_at(self.step + 1, self.steps)
        if self.step == 0:
            doing(f"first step on {describe_device(self.device)}")
            self._look()
        losses, message = self._step_within_memory(rate)
        worse = self._look()
        if self._nothing_gained():
            self.ending = (
                f"Ended by itself after {self.step} steps: no further improvement in "
                f"{self._preset.patience} steps."
            )
        elif worse and self._plateau is not None:
            blind = self._best is not None and self._best.trust is Trust.NOTHING
            self.ending = f"Ended by itself after {self.step} steps: " + (
                "what more of them bring cannot be judged."
                if blind
                else "more steps make the result worse, as the held-out pixels show."
            )
        last = self.finished
        network = self._kept.network
        if last:
            self._stopped = self._stopped or bool(self.ending)
            model = self.model
            network = model.network
            message = " ".join(filter(None, (message, self.ending, model.kept)))
        due = self._preview_due(last)
        preview = self._previews.of(network, self.device) if due else None
        self._elapsed += time.perf_counter() - begun
        return Progress(
            step=self.step,
            steps=self.steps,
            losses=losses,
            learning_rate=rate,
            seconds_elapsed=self._elapsed,
            seconds_left=self._elapsed / self.step * (self.steps - self.step),
            device=describe_device(self.device),
            message=message,
            preview=preview,
            finished=self.finished,
        )

    @property
    def finished(self) -> bool:
        """Whether the run has done all its steps or ended by itself."""
        return bool(self.ending) or self.step >= self.steps

    def _preview_due(self, last: bool) -> bool:
        """Tell whether a preview is due, and cheap enough."""
        # What pretrained weights give is worth a look before they are trained on.
        at_once = self.step == 1 and self._preset.start != "scratch"
        if not self._every or last or at_once:
            return bool(self._every)
        share = self._previews_may_take
        quick = share is None or self._previews.seconds <= share * self._elapsed
        return quick and self.step % self._every == 0

    def stop(self) -> None:
        """End the iteration after the step under way; what was learned is kept."""
        self._stopped = True

    def resume(self) -> None:
        """Let a stopped run go on where it was; one that ended by itself does all its steps."""
        self._stopped = False
        self._paused = True
        if self.ending:
            self.go_on()

    def go_on(self) -> None:
        """Do all steps, whether they gain anything or not."""
        self._plateau, self.ending = None, ""

    def _nothing_gained(self) -> bool:
        """Tell, every few steps, whether the held-out pairs have stopped gaining."""
        plateau, objective = self._plateau, self._objective
        if plateau is None or self.step % CHECK_EVERY:
            return False
        if not isinstance(objective, RecorruptedObjective):
            return False
        return plateau.reached(self.step, objective.held_out(self._kept.network))

    def _look(self) -> bool:
        """Judge the weights by the held-out pixels, when that is due.

        True if they have become worse than the best, beyond doubt.
        """
        validation = self._objective.validation
        if validation is None or not validation.due(self.step):
            return False
        network = copy.deepcopy(self._kept.network)
        seen = None
        if self._best is None:
            best = validation.begin(network)
        else:
            seen = validation.judge(network, self.step)
            best = self._best.after(seen)
        with self._lock:
            self._best, self._judged = best, self.step
        hopeless = seen is not None and self.step > LOOK_EVERY and best.hopeless(seen)
        return hopeless or best.trust is Trust.NOTHING

    def _step_within_memory(self, rate: float) -> tuple[dict[str, float], str]:
        """Do a step, with a smaller batch where memory runs out, in full width where half fails."""
        message = ""
        while True:
            try:
                return self._optimise(rate), message
            except NonFiniteLossError:
                if not self._widened():
                    raise
                message = "Half-width arithmetic gave no number: going on in full width."
                continue
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                taken = self._take_less()
                if not taken:
                    raise InputError(
                        "memory-exhausted",
                        f"Memory ran out on {describe_device(self.device)} with a batch of 1: "
                        "close other programs or choose another device.",
                    ) from error
            self._optimiser.zero_grad(set_to_none=True)
            message = f"Memory ran out: going on with {taken}."

    def _widened(self) -> bool:
        """Give up half-width arithmetic, if that is what computes.

        Some CPUs' libraries err in it: the gradient of the published volume network was NaN
        with one thread and a batch of one.
        """
        setting = self._objective.setting
        if setting.precision is None:
            return False
        self._objective.setting = replace(setting, precision=None)
        self._stopped = False
        return True

    def _take_less(self) -> str:
        """Halve the batch, or the patch of a batch of one; says what is left, or nothing."""
        self._reduced = True
        pairs = self._objective.pairs
        if pairs.batch > 1:
            pairs.batch //= 2
            return f"a batch of {pairs.batch}"
        width = pairs.patch[-1] // 2 // self._network.multiple * self._network.multiple
        if width < 4 * self._preset.margin:
            return ""
        pairs.patch = (*pairs.patch[:-2], width, width)
        return f"patches of {width} x {width} pixels"

    def _optimise(self, rate: float) -> dict[str, float]:
        """One step of Adam on equation 4."""
        self._network.train()
        self._rates.set_for(self._optimiser, self.step + 1, rate, self._objective.setting.pixels)
        terms = self._objective.losses(self.step + 1)
        terms["total"].backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(
            self._network.parameters(), self._preset.gradient_limit or math.inf
        )
        values = dict(zip(terms, torch.stack([*terms.values()]).detach().tolist(), strict=True))
        if not all(np.isfinite([*values.values(), float(norm)])):
            self._optimiser.zero_grad(set_to_none=True)
            self._stopped = True
            raise NonFiniteLossError(
                f"The loss is not finite at step {self.step + 1} "
                f"({', '.join(f'{name} {value:.3g}' for name, value in values.items())}, "
                f"gradient {float(norm):.3g}): "
                "training ended and the last good weights are kept; check the image, the PSF "
                "and the noise model."
            )
        # Together under the lock, so that a copy taken by another thread is of one moment.
        with self._lock:
            self._optimiser.step()
            self._kept.follow(self.step)
            self._random_state = self._objective.random_state()
            self.step += 1
            self._latest = {"step": self.step, "learning_rate": rate, **values}
            every = max(self.steps // HISTORY_LENGTH, 1)
            if self.step % every == 0 or self.step == self.steps:
                self._history.append(self._latest)
            self._note_step()
        self._optimiser.zero_grad(set_to_none=True)
        return values

    def _note_step(self) -> None:
        """Keep under which conditions the step was done."""
        pairs = self._objective.pairs
        self._stretches = with_step(
            self._stretches,
            self.step,
            time.perf_counter() - self._begun,
            anew=self._paused,
            planned=self.steps,
            batch=pairs.batch,
            patch=tuple(pairs.patch),
            reduced=self._reduced,
            device=describe_device(self.device),
            threads=torch.get_num_threads(),
            versions=self._versions,
        )
        self._paused = False

    # ------------------------------------------------------------------ what comes out

    @property
    def model(self) -> Model:
        """The model as it stands, a copy that further steps do not touch.

        Where pixels are held out, its weights are the best so far by these.
        """
        with self._lock:
            best, model = self._best, self.latest
        validation = self._objective.validation
        if best is None or validation is None:
            return model
        network = move_network(model.network, self.device)
        if model.steps_trained != self._judged:
            best = self._judged_now(best, validation, network, model.steps_trained)
        network.load_state_dict(best.best.weights)
        return replace(model, network=network.cpu().eval(), chosen=best.choice)

    def _judged_now(
        self, best: BestWeights, validation: Validation, network: TwoStageNetwork, step: int
    ) -> BestWeights:
        """Judge weights between two looks, once, and without a say in the further training.

        Otherwise a run that was asked for its model would differ from one that was not.
        """
        if self._asked is None or self._asked[0] != step:
            self._asked = step, best.after(validation.judge(network, step))
        return self._asked[1]

    @property
    def latest(self) -> Model:
        """The same with the weights of the last step, whatever held-out pixels say of them."""
        with self._lock:
            network = copy.deepcopy(self._kept.network)
            history = list(self._history)
            # A long run records every so many steps; the model says its last step exactly.
            if self._latest is not None and self._latest not in history[-1:]:
                history.append(self._latest)
            stretches = self._stretches
        return replace(
            self._start,
            network=network.cpu().eval(),
            history=tuple(history),
            stretches=stretches,
            ending=self.ending,
            chosen=None,
        )

    def save(self, path: str | os.PathLike[str], *, judged: bool = True) -> None:
        """Write the model and the state of the training, for `train(..., resume=path)`.

        Unless the weights are judged by held-out pixels first, which can take as long as many
        steps, the file's model has those of the last step. Raises InputError if the file cannot be
        written.
        """
        with self._lock:
            model = self.model if judged else self.latest
            tensors = {f"network.{k}": v for k, v in self._network.state_dict().items()}
            for index, state in self._optimiser.state_dict()["state"].items():
                tensors |= {f"adam.{index}.{name}": value for name, value in state.items()}
            tensors |= {f"random.{name}": value for name, value in self._random_state.items()}
            tensors |= self._kept.to_tensors()
            if self._best is not None:
                tensors |= self._best.to_tensors()
            tensors = {name: value.detach().clone() for name, value in tensors.items()}
            state = {
                "step": self.step,
                "steps": self.steps,
                "batch": self._objective.pairs.batch,
                "patch": list(self._objective.pairs.patch),
                "elapsed": self._elapsed,
                "all_steps": self._plateau is None or bool(self.ending),
                "device": self.device.type,
            }
        save_with_training(model, path, tensors, state)

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Take over weights, optimiser, schedule and random state from a saved run."""
        self.step = state["step"]
        self._elapsed = state["elapsed"]
        if state.get("all_steps", True):
            self.go_on()
        self._objective.pairs.batch = state["batch"]
        self._objective.pairs.patch = tuple(state.get("patch", self._objective.pairs.patch))
        self._kept.restore(tensors)
        self._best = BestWeights.from_tensors(tensors)
        self._network.load_state_dict(below("network.", tensors))
        adam = self._optimiser.state_dict()
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in below("adam.", tensors).items():
            index, key = name.split(".")
            moments.setdefault(int(index), {})[key] = value
        adam["state"] = moments
        self._optimiser.load_state_dict(adam)
        random_state = below("random.", tensors)
        if state["device"] != self.device.type:
            # The states of two kinds of device do not compare: the noise starts anew there.
            random_state |= {
                name: value for name, value in self._random_state.items() if "noise" in name
            }
        self._objective.set_random_state(random_state)
        self._random_state = self._objective.random_state()

    def focus(self, plane: int | None) -> None:
        """Choose the plane of a volume that previews show, from any thread; None: the brightest."""
        self._previews.plane = plane

    def centre_on(self, row: int, column: int) -> None:
        """Choose the raw pixel in the middle of what previews show, from any thread."""
        self._previews.centre = row, column
