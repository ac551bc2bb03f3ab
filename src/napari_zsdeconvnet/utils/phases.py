"""What a long computation is busy with, and where it can be ended.

Code that computes says what it does and asks at every round whether to go on; it does not know who
listens. Whoever runs it in a thread listens with `heard_by`; where nobody does, nothing happens.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from time import monotonic
from types import ModuleType
from typing import TypeVar

Thing = TypeVar("Thing")

INTERVAL = 0.25  # seconds between two reports
SURE = 0.5  # seconds after which the rest can be told
LOOK = 0.05  # seconds between two questions while a module is loaded


class Cancelled(BaseException):
    """Ends a computation that nobody wants any more.

    No `Exception`: what tries something else where a computation fails must not catch it.
    """


class _Listener(threading.local):
    """Of this thread, if any."""

    cancelled: Callable[[], bool] | None = None
    say: Callable[[str], None] | None = None


_listener = _Listener()


@contextmanager
def heard_by(cancelled: Callable[[], bool], say: Callable[[str], None]) -> Iterator[None]:
    """Listen to what this thread computes in the block.

    Where `cancelled` says so the next round raises `Cancelled`; `say` gets what is under way, in
    words, in this thread.
    """
    before = _listener.cancelled, _listener.say
    _listener.cancelled, _listener.say = cancelled, say
    try:
        yield
    finally:
        _listener.cancelled, _listener.say = before


def go_on() -> None:
    """Raise `Cancelled` if nobody wants this any more."""
    if _listener.cancelled is not None and _listener.cancelled():
        raise Cancelled


def doing(words: str) -> None:
    """Say what is under way from now on, such as "measuring the noise"."""
    go_on()
    if _listener.say is not None:
        _listener.say(words)


def loaded(name: str) -> ModuleType:
    """Return a module by its full name, and ask while it is loaded whether to go on.

    Large ones take seconds, in which Python cannot be interrupted. Where nobody wants it any more
    it is loaded on in a thread of its own, and there for whoever asks next.
    """
    if _listener.cancelled is None:
        return importlib.import_module(name)
    outcome: list[ModuleType | BaseException] = []

    def load() -> None:
        try:
            outcome.append(importlib.import_module(name))
        except BaseException as error:
            outcome.append(error)

    loading = threading.Thread(target=load, name=f"loading {name}", daemon=True)
    loading.start()
    while loading.is_alive():
        go_on()
        loading.join(LOOK)
    (found,) = outcome
    if isinstance(found, BaseException):
        raise found
    return found


def rounds(
    things: Iterable[Thing], words: str = "", *, total: int | None = None
) -> Iterator[Thing]:
    """Go through things, and ask before each whether to go on.

    Parameters
    ----------
    things : iterable
        One for each round.
    words : str
        What is done, such as "reading 44 planes"; what is done already is left to say it if empty.
    total : int, optional
        How many rounds there are, where the things do not know: with it the time that is left is
        said, too.
    """
    total = len(things) if total is None and isinstance(things, Sized) else total
    if words:
        doing(words)
    began = last = monotonic()
    for done, thing in enumerate(things):
        go_on()
        now = monotonic()
        if words and done and now - last >= INTERVAL and now - began >= SURE:
            last = now
            _tell_rest(words, done, total, now - began)
        yield thing


def _tell_rest(words: str, done: int, total: int | None, spent: float) -> None:
    if _listener.say is not None and total is not None and total > done:
        left = spent / done * (total - done)
        _listener.say(f"{words}, about {max(round(left), 1)} s")
