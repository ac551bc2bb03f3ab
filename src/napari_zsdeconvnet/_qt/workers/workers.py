"""Work in a thread, which updates the window ten times a second at most.

A `Job` runs a generator in a napari worker. Its values arrive on the main thread in batches,
so that nothing is lost and the window is never flooded; a failure arrives as a value too. What
keeps the window for long, such as adding layers, is done in turns, between which it answers.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar
from weakref import ref

from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, QTimer
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QWidget

from ...utils.cores import cores, most
from ...utils.errors import InputError
from ...utils.phases import Cancelled, doing, heard_by, loaded
from .notifications import show_error
from .preferences import threads

if TYPE_CHECKING:
    Worker = Any  # napari's GeneratorWorker, whose signals are made at run time

Value = TypeVar("Value")
Result = TypeVar("Result")
Turns = Generator[None, None, Result]
"""What is done on the main thread in parts: the window answers wherever it yields."""

INTERVAL = 0.1  # seconds between two batches of values
COMPUTES = "napari_zsdeconvnet.workflow.pipeline"
"""The module that loads what computes."""


@dataclass(frozen=True)
class Failure:
    """What a job returns in place of a result when its generator raised."""

    error: Exception


class Stopped:
    """What a job returns when it was told to stop before the generator had ended."""


class Job(Generic[Value, Result]):
    """A generator at work in a thread.

    The handlers are called on the main thread, where layers and widgets may be touched, and
    never again once the owner or its viewer is gone. One that is a generator goes on in a later
    turn of the event loop wherever it yields; the next is called when it has ended.

    Parameters
    ----------
    source : generator
        Its body runs in the thread and nowhere else, imports included.
    owner : QWidget
        The widget that shows the work. The job stops when it is destroyed.
    on_values : callable, optional
        Gets a list of all that was yielded since the last call, oldest first.
    on_result : callable, optional
        Gets what the generator returned. Not called after `stop` or a failure.
    on_failure : callable, optional
        Gets the exception that the generator raised.
    on_end : callable, optional
        Called last, however the work ended.
    on_phase : callable, optional
        Gets what is under way between two values, in words, as `phases` has it. By default the
        owner's `show_phase`, if it has one and this is not aside.
    before : generator, optional
        What is done on the main thread, turn by turn, before the work begins.
    title : str
        What napari calls the work when it asks whether to close the window on it.
    uses_torch : bool
        Import torch in the thread and let it use as many cores as the preferences say, by
        default all but one, which the window keeps.
    aside : bool
        Whether the widget does this for itself: it may end with the widget, and nobody is told
        of it.
    """

    def __init__(
        self,
        source: Generator[Value, Any, Result],
        *,
        owner: QWidget,
        on_values: Callable[[list[Value]], Turns[None] | None] | None = None,
        on_result: Callable[[Result], Turns[None] | None] | None = None,
        on_failure: Callable[[Exception], None] | None = None,
        on_end: Callable[[], None] | None = None,
        on_phase: Callable[[str], None] | None = None,
        before: Turns[None] | None = None,
        title: str = "ZS-DeconvNet",
        uses_torch: bool = False,
        aside: bool = False,
    ) -> None:
        self.title, self.aside = title, aside
        self._owner = ref(owner)
        self._before = before
        self._on_values = on_values
        self._on_result = on_result
        self._on_failure = on_failure
        self._on_end = on_end
        self._on_phase = on_phase or (None if aside else getattr(owner, "show_phase", None))
        self._telling = _Telling()
        self._telling.told.connect(self._receive_phase)
        self._stop = threading.Event()
        self._shown = threading.Event()
        self._shown.set()
        self._owner_gone = False
        self._waiting: deque[Turns[None]] = deque()
        # A timer comes after painting and what the user does; `QTimer.singleShot` of 0 would not.
        self._next_turn = QTimer()
        self._next_turn.setSingleShot(True)
        self._next_turn.timeout.connect(self._go_on)

        computing = threads() or spare_cores()
        relay = _Titled(
            *(_relay, source, self._told_to_stop, self._telling.told.emit),
            *(self._shown, computing, uses_torch),
        )
        relay.title = title
        # Connected before it starts: a quick worker ends before a late listener comes.
        self._worker: Worker = create_worker(relay, _start_thread=False)
        self._worker.yielded.connect(self._receive_values)
        self._worker.returned.connect(self._receive_outcome)
        self._worker.finished.connect(self._receive_end)
        owner.destroyed.connect(self._forget_owner)

    @property
    def running(self) -> bool:
        """Whether the work has begun and not yet ended."""
        return self in _under_way

    def is_of(self, owner: QWidget) -> bool:
        """Whether it is that widget's."""
        return self._owner() is owner

    def start(self) -> Self:
        """Begin the work."""
        _under_way.add(self)
        self._take(self._begin())
        return self

    def stop(self) -> None:
        """Ask the work to end: at its next value or, within one, at its next round."""
        self._stop.set()

    def _told_to_stop(self) -> bool:
        return self._stop.is_set() or self._worker.abort_requested

    @property
    def _receives(self) -> bool:
        # napari asks its workers to quit when the viewer closes; what is still under way
        # must not reach widgets and layers that are being taken down.
        return not (self._owner_gone or self._worker.abort_requested)

    def _begin(self) -> Turns[None]:
        for _ in self._before or ():
            yield
            if self._owner_gone:
                _under_way.discard(self)
                return
        self._worker.start()

    def _receive_values(self, values: list[Value]) -> None:
        self._take(self._hand_on_values(values))

    def _receive_phase(self, words: str) -> None:
        if self._receives and not self._stop.is_set() and self._on_phase is not None:
            self._on_phase(words)

    def _receive_outcome(self, outcome: Result | Failure | Stopped) -> None:
        self._take(self._hand_on_outcome(outcome))

    def _receive_end(self) -> None:
        self._take(self._hand_on_end())

    def _hand_on_values(self, values: list[Value]) -> Turns[None]:
        try:
            if not self._stop.is_set():  # else it is said already that nothing comes of it
                yield from self._told(self._on_values, values)
            yield  # for the painting that the handler has asked for
        finally:
            self._shown.set()

    def _hand_on_outcome(self, outcome: Result | Failure | Stopped) -> Turns[None]:
        if isinstance(outcome, Failure):
            yield from self._told(self._on_failure, outcome.error)
        elif not isinstance(outcome, Stopped):
            yield from self._told(self._on_result, outcome)

    def _hand_on_end(self) -> Turns[None]:
        _under_way.discard(self)
        if self._receives and self._on_end is not None:
            self._on_end()
        yield from ()

    def _told(self, handler: Callable[..., Turns[None] | None] | None, what: Any) -> Turns[None]:
        """Call a handler and go through its turns, as long as its owner is there."""
        if not self._receives or handler is None:
            return
        for _ in handler(what) or ():
            yield
            if not self._receives:
                return

    def _take(self, turns: Turns[None]) -> None:
        """Begin at once, or after all that is waiting."""
        self._waiting.append(turns)
        if len(self._waiting) == 1:
            self._go_on()

    def _go_on(self) -> None:
        while self._waiting:
            try:
                next(self._waiting[0])
            except StopIteration:
                self._waiting.popleft()
            except BaseException:
                self._waiting.popleft()
                self._next_turn.start(0)
                raise
            else:
                self._next_turn.start(0)
                return

    def _forget_owner(self) -> None:
        self._owner_gone = True
        self._stop.set()
        self._on_values = self._on_result = self._on_failure = None
        self._on_end = self._on_phase = None


# Qt holds bound methods weakly: without this a job that nobody kept would fall silent.
_under_way: set[Job[Any, Any]] = set()


def jobs_of(owner: QWidget) -> list[Job[Any, Any]]:
    """Return what is under way for a widget, but for what it does for itself."""
    return [job for job in _under_way if job.is_of(owner) and not job.aside]


def once(
    function: Callable[..., Result], *args: Any, **kwargs: Any
) -> Generator[Any, None, Result]:
    """Turn one call into a generator for `Job`: it yields nothing and returns the result."""
    return function(*args, **kwargs)
    yield  # makes this a generator: the call happens in the thread


def driven(make: Callable[[], Iterator[Value]]) -> Generator[Any, None, None]:
    """Make an iterator in the thread and hand it over first, then all that it yields.

    With it the window can stop the work in its own way.
    """
    work = make()
    yield work
    yield from work


def in_background(
    owner: QWidget,
    title: str,
    call: Callable[[], Result],
    then: Callable[[Result], Turns[None] | None] | None = None,
    **settings: Any,
) -> Job[Any, Result]:
    """Start one call in a thread; what it returns goes to `then`, and a failure is shown.

    Further settings as for `Job`.
    """
    settings.setdefault("on_failure", show_error)
    return Job(once(call), owner=owner, title=title, on_result=then, **settings).start()


def spare_cores() -> int:
    """Return how many threads may compute while the window keeps one core for itself."""
    return max(1, cores() - 1)


class _Telling(QObject):
    """Carries words from the thread that computes to the one that shows."""

    told = QtSignal(str)


class _Titled(partial[Any]):
    """A call that napari prints by its title when it lists the work under way."""

    title = ""

    def __str__(self) -> str:
        return self.title


def _relay(
    source: Generator[Value, Any, Result],
    told_to_stop: Callable[[], bool],
    tell: Callable[[str], None],
    shown: threading.Event,
    computing: int,
    uses_torch: bool,
) -> Generator[list[Value], None, Result | Failure | Stopped]:
    """Run the source in this thread and hand its values on in batches.

    A batch leaves when the interval has passed and the window has shown the one before, so
    that a slow window is never sent more than it can draw.
    """
    waiting: list[Value] = []
    outcome: Result | Failure | Stopped = Stopped()
    sent = 0.0
    most.set(computing)  # in this thread
    try:
        if uses_torch:
            with heard_by(told_to_stop, tell):
                doing("loading the library that computes")
                _compute_on(computing)
        while not told_to_stop():
            with heard_by(told_to_stop, tell):
                waiting.append(next(source))
            if shown.is_set() and monotonic() - sent >= INTERVAL:
                shown.clear()
                sent = monotonic()
                yield waiting
                waiting = []
    except StopIteration as end:
        outcome = end.value
    except Cancelled:
        pass
    except Exception as error:
        outcome = Failure(error)
    finally:
        source.close()
    if waiting:
        yield waiting
    return outcome


def _compute_on(cores: int) -> None:
    try:
        torch: Any = loaded("torch")
    except OSError as error:
        if "1114" not in str(error):
            raise
        # Known of torch 2.9 and later on Windows, where Qt has been loaded before it.
        raise InputError(
            "torch-not-loadable",
            "torch cannot be loaded after Qt here (WinError 1114); start napari with: "
            'python -c "import torch; from napari.__main__ import main; main()"',
        ) from error
    loaded(COMPUTES)
    # The setting belongs to the thread that makes it.
    torch.set_num_threads(cores)
