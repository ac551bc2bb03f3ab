"""What the queue has done in a worker, and what it knows of each of its layers."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...utils.errors import InputError
from ..forms.choosers import doubt_about
from ..forms.optics_metadata import Facts, needed
from ..layers.layer_axes import Reading, channels, read_as
from ..workers.window_text import in_window_words
from .layer_inspection import (
    Look,
    answer,
    channel_said,
    facts_of,
    is_ambiguous,
    is_sim,
    look_at,
    users_psf,
)

if TYPE_CHECKING:
    from napari.layers import Image as ImageLayer

    from ...model.model import Model
    from ...workflow.batch import Batch, Event
    from ..layers.state import ViewerState
    from .one_click_worker import Task


@dataclass
class Waiting:
    """A layer in the queue."""

    layer: ImageLayer
    """The raw layer."""
    reading: Reading | None = None
    """How it is read; None where it cannot be."""
    look: Look | None = None
    """What a worker has found of it."""
    doubt: str = ""
    """What speaks against the reading, if anything does."""
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

    @classmethod
    def of(cls, layer: ImageLayer, state: ViewerState) -> Waiting:
        """Read a layer as the user has said that it is read."""
        said = state.said(layer)
        try:
            reading = read_as(layer, said.kind, axial_step=said.axial_step)
            count = channels(layer, reading.axes)
            if count > 1:
                raise InputError(
                    f"Layer {layer.name!r} has {count} channels; split it into layers first "
                    "(right-click the layer, Split Stack)."
                )
        except InputError as error:
            return cls(layer, problem=in_window_words(str(error)))
        return cls(layer, reading)

    def read_again(self, state: ViewerState) -> None:
        """Read the layer as it is by now, where its file has told what the axes are."""
        new = Waiting.of(self.layer, state)
        if new.problem or self.reading is None or new.reading is None:
            self.reading, self.problem = new.reading, self.problem or new.problem
        elif new.reading.axes != self.reading.axes:
            self.reading, self.doubt = new.reading, ""
        else:
            self.reading = new.reading

    def decide(self, state: ViewerState) -> None:
        """Take what is known as it is, if that is all that is needed."""
        if self.problem or self.look is None:
            return
        self.sim = bool(is_sim(self.layer, self.look, state))
        facts = self.facts(state)
        asked = self._asked(facts, state)
        ambiguous = is_ambiguous(self.layer, self.look, state, self.doubt)
        if not ambiguous and not facts.missing(asked):
            self.values = facts.values_of(asked)

    def answer(self, values: dict[str, Any], *, sim: bool, state: ViewerState) -> None:
        """Take what the user has typed for it and its like."""
        answer(self.layer, self.channel, values, state, sim=sim)
        self.values, self.sim = dict(values), sim

    def facts(self, state: ViewerState) -> Facts:
        """Put together what is known of its optics."""
        assert self.look is not None
        return facts_of(self.layer, self.look, self.reading, state)

    @property
    def spatial(self) -> str:
        """Axes of a single image or volume."""
        return "YX" if self.reading is None else self.reading.spatial

    @property
    def channel(self) -> str:
        """Name of its channel, empty where it has none."""
        return "" if self.look is None else channel_said(self.layer, self.look, self.reading)

    def likeness(self, state: ViewerState) -> tuple[Any, ...]:
        """Return what layers have in common for which one form serves."""
        facts = self.facts(state)
        known = tuple(sorted((name, fact.value) for name, fact in facts.items() if fact.sure))
        kind = "" if self.reading is None else self.reading.axes
        return self.channel, kind, self.look and self.look.sim, str(known)

    def _asked(self, facts: Facts, state: ViewerState) -> tuple[str, ...]:
        modality = facts.get("modality")
        return needed(
            self.spatial,
            str(modality.value) if modality else "widefield",
            sim=self.sim,
            psf=users_psf(state, self.spatial) is not None,
        )


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
            yield Found(index, None, problem=str(error) or type(error).__name__)
        else:
            yield Found(index, look, doubt)


def worked(
    makers: Sequence[tuple[str, Callable[[], Any], dict[str, str]]],
    models: Sequence[Model],
    settings: dict[str, Any],
) -> Generator[Batch | Event, None, None]:
    """Hand the batch over first, so that it can be stopped, then all of its events.

    Parameters
    ----------
    makers : sequence
        For each layer its name, what makes its recipe, and the names of its results.
    settings : dict
        As for `Batch`.
    """
    from ...workflow.batch import Batch, Entry

    batch = Batch([Entry(*maker) for maker in makers], models=models, **settings)
    yield batch
    yield from batch
