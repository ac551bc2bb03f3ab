"""Many recordings, here or on a cluster: looked at, put into groups that are alike, and done.

One recording of each group trains a model, the others use it. Who trains depends on the list
alone, so the results are the same whatever number of workers there is and whoever ends first.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, chdir, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from .. import __version__
from ..utils.cores import wanted_threads
from ..utils.devices import fixed_threads
from ..utils.errors import InputError
from .distributed.running import run_tasks
from .grouping import Groups, Traits

if TYPE_CHECKING:
    from distributed import Client

DONE, STOPPED, FAILED = "done", "stopped", "failed"

_alone = threading.Lock()
"""A process does one recording at a time, so that each has a GPU and its random numbers alone."""


@dataclass(frozen=True)
class Row:
    """What came of a recording: a line of the table.

    Attributes
    ----------
    recording
        Its name, with its scene.
    state
        "done", "stopped" where a training was ended early, or "failed".
    mode
        Which kind of recording it is.
    model
        File of the model that made the result.
    trained_on
        Name of the recording that this model was trained on.
    why
        Why a model was trained on it, where there was one before.
    failed_measures
        Of the verdict: what needs a look. None where there is no verdict.
    files
        Results and record, by what they are.
    seconds
        It took.
    error
        Why it failed.
    warnings
        Sentences; not in the table.
    details
        Whatever else; not in the table.
    """

    recording: str
    state: str = DONE
    mode: str = ""
    model: str = ""
    trained_on: str = ""
    why: str = ""
    failed_measures: tuple[str, ...] | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    warnings: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def trained(self) -> bool:
        """Whether a model was trained on the recording itself."""
        return self.trained_on == self.recording

    @property
    def failed(self) -> bool:
        """Whether there is no result."""
        return self.state == FAILED

    @property
    def needs_a_look(self) -> bool:
        """Whether a measure of its verdict failed."""
        return bool(self.failed_measures)


class Work(Protocol):
    """What is done with a recording; it is sent to the processes of a cluster."""

    def name(self, recording: Any) -> str:
        """Name a recording, differently from all others."""
        ...

    def look(self, recording: Any) -> Traits | None:
        """Calibrate a recording; None of one that shares no model."""
        ...

    def do(self, recording: Any, model: str | None) -> Row:
        """Take a recording to its result, by a model of that file if it fits."""
        ...

    def worded(self, error: Exception) -> str:
        """Say what went wrong."""
        ...


@dataclass(frozen=True)
class Looked:
    """A recording has been looked at."""

    index: int


@dataclass(frozen=True)
class Ended:
    """A recording is through."""

    index: int
    row: Row


Event = Looked | Ended


@dataclass(eq=False)
class _Group:
    model: str | None = None
    of: str = ""
    """Name of the recording that the model was trained on."""
    trains: int | None = None
    waiting: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class _Task:
    work: Work
    index: int
    recording: Any
    looks: bool
    model: str | None
    folder: str
    """Where relative names begin."""
    threads: int | None
    version: str = __version__
    """Of this package, where the task comes from."""


class Screen(Iterator[Event]):
    """Takes many recordings from start to finish; iterate over it.

    Parameters
    ----------
    recordings : sequence
        Whatever `work` knows.
    work : Work
        What is done with each; for a cluster it must be possible to pickle it.
    client : distributed.Client, optional
        Of a cluster, whose workers share the file system; by default this process does all.
    shared : bool
        Whether recordings that are alike share a model.
    earlier : mapping of str to Row, optional
        Recordings that are done already, by their names.

    Notes
    -----
    On a cluster each recording is computed by one thread of a CPU, or as many as the environment
    variable ``ZSDECONVNET_THREADS`` says here, since the last bits of a training depend on it.
    """

    def __init__(
        self,
        recordings: Sequence[Any],
        work: Work,
        *,
        client: Client | None = None,
        shared: bool = True,
        earlier: Mapping[str, Row] | None = None,
    ) -> None:
        self._recordings = recordings
        self._work = work
        self._client = client
        self._shared = shared
        self._earlier = earlier or {}
        self._threads = None if client is None else wanted_threads() or 1
        self._groups = Groups()
        self._known: list[_Group] = []
        self._trainers: dict[int, _Group] = {}
        self._why: dict[int, str] = {}
        self._ready: deque[tuple[int, str | None]] = deque()
        self._using: dict[int, str] = {}
        self._next = iter(range(len(recordings)))
        self._looked: dict[int, Traits | Row | None] = {}
        self._placed = 0
        self._events = self._all_events()

    def __next__(self) -> Event:
        """Go on to the next event."""
        return next(self._events)

    def close(self) -> None:
        """Begin no more, and give up what is under way."""
        self._events.close()

    # ------------------------------------------------------------------ tasks

    def _all_events(self) -> Generator[Event, None, None]:
        tasks = run_tasks(self._client, None, _done, _Coming(self._tasks))
        for task, result in tasks:
            if task.looks:
                yield Looked(task.index)
                self._looked[task.index] = self._row(task.index, result)
                yield from self._place()
            else:
                yield from self._end(task.index, result)

    def _tasks(self) -> _Task | None:
        """Give the next task that can be done now, if there is one: results before looks."""
        if self._ready:
            index, model = self._ready.popleft()
            return self._task(index, False, model)
        for index in self._next:
            row = self._earlier.get(self._name(index))
            if not self._shared:
                if row is None:
                    return self._task(index, False, None)
            elif row is None or row.trained:
                return self._task(index, True, None)
            else:
                self._looked[index] = None
        return None

    def _task(self, index: int, looks: bool, model: str | None) -> _Task:
        recording = self._recordings[index]
        return _Task(self._work, index, recording, looks, model, os.getcwd(), self._threads)

    def _name(self, index: int) -> str:
        return self._work.name(self._recordings[index])

    def _row(self, index: int, result: Any) -> Any:
        """Make a line of the table of what ended a task from outside."""
        if isinstance(result, BaseException):
            return Row(self._name(index), FAILED, error=_ended_words(result))
        return result

    # ------------------------------------------------------------------ who trains

    def _place(self) -> Iterator[Event]:
        """Put recordings into groups, in the order of the list, as far as they are looked at."""
        while self._placed in self._looked:
            index, found = self._placed, self._looked.pop(self._placed)
            self._placed += 1
            earlier = self._earlier.get(self._name(index))
            if isinstance(found, Row):
                if earlier is None:
                    yield from self._end(index, found)
            elif found is not None:
                self._join(index, found, earlier)
            elif earlier is None:
                self._ready.append((index, None))

    def _join(self, index: int, traits: Traits, earlier: Row | None) -> None:
        number, why = self._groups.place(traits)
        if number == len(self._known):
            self._known.append(_Group())
            self._why[index] = why
        group = self._known[number]
        if earlier is not None:
            if group.model is None and group.trains is None:
                self._serve(group, earlier)
        elif group.model is not None:
            self._use(index, group)
        elif group.trains is None:
            self._train(index, group)
        else:
            group.waiting.append(index)

    def _train(self, index: int, group: _Group) -> None:
        group.trains = index
        self._trainers[index] = group
        self._ready.appendleft((index, None))  # others wait for it

    def _use(self, index: int, group: _Group) -> None:
        self._using[index] = group.of
        self._ready.append((index, group.model))

    def _serve(self, group: _Group, row: Row) -> None:
        group.model, group.of = row.model, row.recording
        for index in group.waiting:
            self._use(index, group)
        group.waiting.clear()

    def _end(self, index: int, result: Any) -> Iterator[Event]:
        row: Row = self._row(index, result)
        used, why = self._using.pop(index, ""), self._why.pop(index, "")
        group = self._trainers.pop(index, None)
        if row.state != FAILED:
            row = replace(row, trained_on=row.trained_on or used)
            row = replace(row, why=why if row.trained else "")
        if group is not None and row.state == DONE:
            self._serve(group, row)
        elif group is not None:
            group.trains = None
            if group.waiting:
                self._train(group.waiting.pop(0), group)
        yield Ended(index, row)


class _Coming(Iterator[_Task]):
    """Tasks as they can be done; after there was none there may be some again."""

    def __init__(self, following: Callable[[], _Task | None]) -> None:
        self._following = following

    def __next__(self) -> _Task:
        task = self._following()
        if task is None:
            raise StopIteration
        return task


def _done(_: None, task: _Task) -> Traits | Row | None:
    """Do a task, in whichever process; what fails becomes a line of the table.

    Raises
    ------
    InputError
        On a worker of another version, so that another worker may do it.
    """
    if task.version != __version__:
        raise InputError(
            "worker-version",
            f"A worker has napari-zsdeconvnet {__version__}, and the task is of {task.version}; "
            "install the same version on both.",
        )
    with _alone:
        began = time.perf_counter()
        try:
            with _there(task.folder), _computing(task.threads):
                if task.looks:
                    return task.work.look(task.recording)
                row = task.work.do(task.recording, task.model)
        except Exception as error:  # of whatever kind: the others are not to suffer from it
            name = task.work.name(task.recording)
            row = Row(name, FAILED, error=task.work.worded(error))
        return replace(row, seconds=time.perf_counter() - began)


def _there(folder: str) -> AbstractContextManager[None]:
    """Work in a folder, so that relative names mean the same in all processes."""
    if os.getcwd() == folder:
        return nullcontext()
    if not os.path.isdir(folder):
        raise InputError(
            "folder-not-shared",
            f"The folder {folder} is not there on a worker; all of them must share the file "
            "system.",
        )
    return chdir(folder)


def _computing(threads: int | None) -> AbstractContextManager[None]:
    return nullcontext() if threads is None else fixed_threads(threads)


def _ended_words(error: BaseException) -> str:
    """Say why the cluster could not do a task."""
    if type(error).__name__ == "KilledWorker":
        return "The process that worked on it ended each time; perhaps it had too little memory."
    return str(error) or type(error).__name__
