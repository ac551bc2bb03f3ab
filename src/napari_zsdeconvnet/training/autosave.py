"""Saving a training again and again while it goes on, so that a crash costs half a minute."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from ..model.facts import ModelFacts
from ..model.model import Model
from ..utils.errors import InputError

if TYPE_CHECKING:
    from .trainer import TrainingRun

EVERY = 20.0
"""Seconds from one save to the next; with the time that a save takes it stays below 30."""

ENDING = ".checkpoint"
"""Of the name of a checkpoint, behind that of the model."""

_SHARE = 0.01  # of the time, that saves take at most, within those 30 s
_LONGEST = 28.0


def checkpoint_of(output: str | os.PathLike[str]) -> Path:
    """Name the checkpoint of a training whose model goes to `output`; it lies beside it."""
    path = Path(output)
    return path.with_name(f"{path.name}{ENDING}")


class Autosave:
    """Saves a run in a thread of its own, from the first step on, while its block lasts.

    The file is what `TrainingRun.save` writes, for `train(..., resume=path)`. It stays until
    `remove`, which is for when the model itself is safe.

    Parameters
    ----------
    run : TrainingRun
        The training.
    path : path
        The checkpoint; its folder is made where need be.
    every : float, optional
        Seconds from one save to the next, by default `EVERY`.
    at_end : bool
        Whether the last step is saved when the block ends.
    """

    def __init__(
        self,
        run: TrainingRun,
        path: str | os.PathLike[str],
        every: float | None = None,
        *,
        at_end: bool = False,
    ) -> None:
        self.path = Path(path)
        self.problem = ""
        """Why the last save failed; training goes on all the same."""
        self.step = 0
        """The step that the checkpoint is of; 0 where there is none yet."""
        self._run = run
        self._every = EVERY if every is None else every
        self._at_end = at_end
        self._wake = threading.Event()
        self._done = False
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin, unless it has begun."""
        if self._thread is None:
            self._done = False
            self._thread = threading.Thread(target=self._keep, name="autosave", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End, after a save that is under way."""
        self._done = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self._thread = None

    def now(self) -> None:
        """Save at once, from any thread; does not wait for it."""
        self._wake.set()

    def remove(self) -> None:
        """Remove the checkpoint, which is of no use any more."""
        self._at_end = False
        self.stop()
        with suppress(OSError):
            self.path.unlink()

    def _keep(self) -> None:
        pause = self._every
        while True:
            self._wake.wait(pause)
            self._wake.clear()
            if self._done:
                if self._at_end:
                    self._save(judged=self._run.finished)
                return
            begun = time.perf_counter()
            # The weights of a finished run are being judged, which must not be done twice.
            if not self._run.finished:
                self._save(judged=False)
            took = time.perf_counter() - begun
            pause = max(self._every, min(took / _SHARE, _LONGEST - took))

    def _save(self, *, judged: bool) -> None:
        step = self._run.step
        if step in (0, self.step):
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._run.save(self.path, judged=judged)
        except (InputError, OSError, MemoryError) as error:
            self.problem = str(error) or "memory ran out"
        else:
            self.step, self.problem = step, ""


def steps_in(checkpoint: Path) -> int:
    """Tell how many steps are behind a checkpoint; 0 where there is none that can be read."""
    try:
        return ModelFacts.read(checkpoint).steps_trained if checkpoint.is_file() else 0
    except InputError:
        return 0


def is_complete(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file is the checkpoint of a training that had nothing left to do.

    It is one of a process that ended while the model was put to use, or just before it was
    written.
    """
    checkpoint = Path(path)
    if not (ENDING in checkpoint.suffixes and checkpoint.is_file()):
        return False
    try:
        return ModelFacts.read(checkpoint).complete
    except InputError:
        return False


def continued_by(start: Model, checkpoints: Sequence[Path]) -> Path | None:
    """Find the checkpoint of a training that began as a model does: same images, same settings.

    Files may be damaged or gone. The first counts that only differs in its seed and in the steps
    that are done.
    """
    sources = [source.sha256 for source in start.sources]
    for path in checkpoints:
        try:
            facts = ModelFacts.read(path)
            if [source.sha256 for source in facts.sources] != sources or not facts.steps_trained:
                continue
            model = Model.load(path)
        except InputError:
            continue
        same = ("data_hash", "settings", "upsampling", "scale", "reconstruction", "out_of_focus")
        if (
            all(getattr(model, name) == getattr(start, name) for name in same)
            and np.array_equal(model.psf.array, start.psf.array)
            and model.noise.to_dict() == start.noise.to_dict()
            and (model.maps is None) == (start.maps is None)
            and model.beginning == start.beginning
        ):
            return path
    return None


def set_aside(checkpoint: Path) -> Path:
    """Give a checkpoint another name, where the next training does not write; returns it."""
    name = checkpoint.name.removesuffix(ENDING)
    aside = checkpoint.with_name(f"{name}.earlier{ENDING}")
    os.replace(checkpoint, aside)
    return aside
