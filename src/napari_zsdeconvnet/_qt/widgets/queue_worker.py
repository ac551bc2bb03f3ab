"""What the queue has done in a worker, and what it knows of each of its layers."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...utils.errors import InputError
from ..forms.choosers import doubt_about
from ..forms.optics_metadata import needed
from ..layers.layer_axes import channels, read_as
from ..workers.window_text import worded
from .layer_inspection import Inspected, Look, look_at

if TYPE_CHECKING:
    from ...model.model import Model
    from ...workflow.batch import Batch
    from .task import Task


@dataclass
class Waiting(Inspected):
    """A layer in the queue."""

    values: dict[str, Any] | None = None
    """The numbers of its optics once all of them are known, lengths in micrometres."""
    sim: bool = False
    """Whether it is raw SIM."""
    task: Task | None = None
    """What is to be done with it, once that is known."""
    problem: str = ""
    """Why it cannot be done; empty where nothing is wrong."""
    done: bool = False
    """Whether there is a result."""
    said: str = field(default="", compare=False)
    """What is under way, for the list."""

    def read(self) -> None:
        """Read the layer as the user or its file says now, if it can be read."""
        said, before = self.state.said(self.layer), self.reading
        try:
            self.reading = read_as(self.layer, said.kind, axial_step=said.axial_step)
            count = channels(self.layer, self.reading.axes)
            if count > 1:
                raise InputError(
                    "layer-channels",
                    f"Layer {self.layer.name!r} has {count} channels; press 'All channels…' in "
                    "Deconvolve…, which makes a layer of each.",
                )
        except InputError as error:
            self.reading = None
            self.problem = self.problem or worded(error)
        else:
            if before is not None and before.axes != self.reading.axes:
                self.doubt = ""

    def decide(self) -> None:
        """Take what is known as it is, if that is all that is needed."""
        if self.problem or self.look is None:
            return
        self.sim = bool(self.seems_sim)
        facts = self.facts()
        modality = facts.get("modality")
        asked = needed(
            self.spatial,
            str(modality.value) if modality else "widefield",
            sim=self.sim,
            psf=self.psf is not None,
        )
        if not self.ambiguous and not facts.missing(asked):
            self.values = facts.values_of(asked)

    def answer(self, values: dict[str, Any], *, sim: bool) -> None:
        """Take what the user has typed for it and its like."""
        super().answer(values, sim=sim)
        self.values, self.sim = dict(values), sim

    def likeness(self) -> tuple[Any, ...]:
        """Return what layers have in common for which one form serves."""
        sure = sorted((name, fact.value) for name, fact in self.facts().items() if fact.sure)
        kind = "" if self.reading is None else self.reading.axes
        return self.channel, kind, self.look and self.look.sim, str(sure)


@dataclass(frozen=True)
class Found:
    """What a worker has found of the layer at a place in the queue."""

    index: int
    look: Look | None
    doubt: str = ""
    problem: str = ""


def looked_at(queue: Sequence[Waiting]) -> Generator[Found, None, None]:
    """Look at one layer after the other."""
    for index, waiting in enumerate(queue):
        if waiting.problem or waiting.reading is None:
            continue
        try:
            look, doubt = look_at(waiting.layer), ""
            if len(waiting.reading.axes) > 2:
                doubt = doubt_about(waiting.layer, waiting.reading)
        except Exception as error:  # the others are not to suffer from it
            yield Found(index, None, problem=worded(error))
        else:
            yield Found(index, look, doubt)


def batch_of(
    makers: Sequence[tuple[str, Callable[[], Any], dict[str, str]]],
    models: Sequence[Model],
    settings: dict[str, Any],
) -> Batch:
    """Make the batch, in a worker.

    Each layer has its name, what makes its mode, and the names of its results.
    """
    from ...workflow.batch import Batch, Entry

    return Batch([Entry(*maker) for maker in makers], models=models, **settings)
