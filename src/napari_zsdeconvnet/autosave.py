"""Saving a training again and again while it goes on, so that a crash costs half a minute."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from .errors import InputError
from .model import ModelFacts

if TYPE_CHECKING:
    from .training import TrainingRun

EVERY = 20.0
"""Seconds from one save to the next; with the time that a save takes it stays below 30."""

_SHARE = 0.01  # of the time, that saves take at most, within those 30 s
_LONGEST = 28.0


def checkpoint_of(output: str | os.PathLike[str]) -> Path:
    """Name the checkpoint of a training whose model goes to `output`; it lies beside it."""
    path = Path(output)
    return path.with_name(f"{path.name}.checkpoint")


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
    """

    def __init__(
        self, run: TrainingRun, path: str | os.PathLike[str], every: float | None = None
    ) -> None:
        self.path = Path(path)
        self.problem = ""
        """Why the last save failed; training goes on all the same."""
        self.step = 0
        """The step that the checkpoint is of; 0 where there is none yet."""
        self._run = run
        self._every = EVERY if every is None else every
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
        self.stop()
        with suppress(OSError):
            self.path.unlink()

    def _keep(self) -> None:
        pause = self._every
        while True:
            self._wake.wait(pause)
            self._wake.clear()
            if self._done:
                return
            begun = time.perf_counter()
            self._save()
            took = time.perf_counter() - begun
            pause = max(self._every, min(took / _SHARE, _LONGEST - took))

    def _save(self) -> None:
        step = self._run.step
        if step in (0, self.step):
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._run.save(self.path)
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


def set_aside(checkpoint: Path) -> Path:
    """Give a checkpoint another name, where the next training does not write; returns it."""
    name = checkpoint.name.removesuffix(".checkpoint")
    aside = checkpoint.with_name(f"{name}.earlier.checkpoint")
    os.replace(checkpoint, aside)
    return aside
