"""What a worker does for a training window: train, or go on with a training from a file."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..workers.checkpoints import is_checkpoint

if TYPE_CHECKING:
    from ...model.model import Model
    from ...training.trainer import Progress, TrainingRun


@dataclass(frozen=True)
class Started:
    """The first value of a training: the run that can be stopped and saved."""

    run: TrainingRun
    history: tuple[Mapping[str, float], ...]


@dataclass(frozen=True)
class Finished:
    """There is nothing left to do of the training that was to be gone on with."""

    steps: int
    kept: bool
    """Whether its file is still there."""


TrainingValue = Started | Finished
Training = Generator["TrainingValue | Progress", None, "Model"]


def trained(make: Callable[[], TrainingRun], checkpoint: Path | None) -> Training:
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


def gone_on_with(
    path: Path,
    make: Callable[[], TrainingRun],
    make_longer: Callable[[], TrainingRun],
    steps: int,
    checkpoint: Path | None,
) -> Training:
    """Go on with a training from a file; one that was finished gives its model, or does more.

    ``make`` makes the run with the steps that were planned, ``make_longer`` with as many as are
    wanted now. A checkpoint that is finished gives its model in any case.
    """
    from ...model.facts import ModelFacts
    from ...model.model import Model

    facts = ModelFacts.read(path)
    done, left_behind = facts.steps_trained, is_checkpoint(path)
    if facts.complete and (left_behind or steps <= done):
        model = Model.load(path)
        if left_behind:
            path.unlink(missing_ok=True)
        yield Finished(done, kept=not left_behind)
        return model
    longer = facts.complete and not facts.ending
    return (yield from trained(make_longer if longer else make, checkpoint))
