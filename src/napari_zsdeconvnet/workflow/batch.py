"""Several recordings one after the other, each by the steps of `pipeline`.

A screen, the channels of an image, the positions of a plate: a failure of one is kept for the end
and stops nothing, and a model that was trained for one serves the others that it fits.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from ..model.model import Model
from ..modes.base import Mode
from .likeness import SharedModels
from .pipeline import ModelReady, Pipeline, Predicted, Step, Steps


@dataclass(frozen=True, eq=False)
class Entry:
    """One recording of a batch.

    Attributes
    ----------
    name
        What messages call it.
    mode
        Called when its turn comes: nothing is read before.
    result_names
        What the record calls its results, by "deconvolved" and "denoised".
    """

    name: str
    mode: Callable[[], Mode]
    result_names: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Began:
    """A recording's turn has come."""

    index: int


@dataclass(frozen=True, eq=False)
class Stepped:
    """A step of a recording."""

    index: int
    step: Step


@dataclass(frozen=True, eq=False)
class Ended:
    """A recording is through."""

    index: int
    done: bool
    """Whether there is a result."""
    error: Exception | None = None
    """Why it failed, if it did."""


Event = Began | Stepped | Ended


class Batch(Iterator[Event]):
    """Takes recordings from start to finish one after the other; iterate over it.

    Parameters
    ----------
    entries : sequence of Entry
        The recordings.
    models : sequence of Model
        At hand already: the first one that fits a recording, and whose recording was alike, is
        used as it is (`SharedModels`).
    settings
        As for `Pipeline`.
    """

    def __init__(
        self, entries: Sequence[Entry], *, models: Sequence[Model] = (), **settings: Any
    ) -> None:
        self.entries = tuple(entries)
        self._shared = SharedModels(models)
        self._settings = settings
        self._pipeline: Pipeline | None = None
        self._stopped = False
        self._events = self._all_events()

    @property
    def models(self) -> list[Model]:
        """Models at hand, the one trained last first."""
        return list(self._shared.models)

    def __next__(self) -> Event:
        """Go on to the next event."""
        return next(self._events)

    def close(self) -> None:
        """End at once; see `Pipeline.close`."""
        self._events.close()

    def stop(self) -> None:
        """End what is under way, keep what there is, and begin no more; from any thread.

        Of a recording whose training is under way, the model of the moment makes the result.
        """
        self._stopped = True
        if self._pipeline is not None:
            self._pipeline.stop()

    @property
    def stopped(self) -> bool:
        """Whether it was told to stop."""
        return self._stopped

    def _all_events(self) -> Generator[Event, None, None]:
        for index, entry in enumerate(self.entries):
            if self._stopped:
                return
            yield Began(index)
            done, error = False, None
            try:
                with closing(self._steps(entry)) as steps:
                    for step in steps:
                        yield Stepped(index, step)
                        done = done or isinstance(step, Predicted)
            except Exception as failure:  # of whatever kind: the others are not to suffer from it
                error = failure
            self._pipeline = None
            yield Ended(index, done, error)

    def _steps(self, entry: Entry) -> Steps:
        mode = entry.mode()
        pipeline = self._pipeline = Pipeline(
            mode,
            model=self._shared.models,
            unlike=self._shared.unlike,
            names=entry.result_names,
            **self._settings,
        )
        if self._stopped:
            pipeline.stop()
        with closing(pipeline):
            for step in pipeline:
                if isinstance(step, ModelReady) and step.trained:
                    self._shared.add(step.model, mode)
                yield step
