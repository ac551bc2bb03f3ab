"""Ctrl-C and the signals that end a process: what was learned is saved first."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

_AGAIN = 1.0  # seconds; a signal so soon after the first says the same once more
_ENDING = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


came: list[str] = []
"""What has interrupted the command so far, in words."""


def _note(number: int) -> None:
    came.append("Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name)


def _handled() -> list[signal.Signals]:
    """Signals that would end this process or interrupt it; `nohup` has it take no notice."""
    if threading.current_thread() is not threading.main_thread():
        return []  # only the main thread may handle signals
    return [number for number in _ENDING if signal.getsignal(number) not in (signal.SIG_IGN, None)]


@contextmanager
def first_signal_calls(stop: Callable[[], None]) -> Iterator[None]:
    """Let the first Ctrl-C, SIGTERM or SIGHUP finish the step at hand.

    Others within a second say the same again; a later one breaks off at once.
    """
    first: list[float] = []

    def on_signal(number: int, frame: object) -> None:
        _note(number)
        if not first:
            first.append(time.monotonic())
            stop()
        elif time.monotonic() - first[0] > _AGAIN:
            raise KeyboardInterrupt

    with _handling(_handled(), on_signal):
        yield


@contextmanager
def no_signal() -> Iterator[None]:
    """Let nothing interrupt a block that saves what there is; signals are forgotten."""
    with _handling(_handled(), lambda *_: None):
        yield


@contextmanager
def ending_signals_interrupt() -> Iterator[None]:
    """Let SIGTERM and SIGHUP clean up as Ctrl-C does."""
    came.clear()
    ending = [number for number in _handled() if signal.getsignal(number) is signal.SIG_DFL]

    def on_signal(number: int, frame: object) -> None:
        _note(number)
        raise KeyboardInterrupt

    with _handling(ending, on_signal):
        yield


@contextmanager
def _handling(
    numbers: Iterable[int], handler: Callable[[int, FrameType | None], None]
) -> Iterator[None]:
    """Handle these signals within a block, and as before after it."""
    usual = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, before in usual.items():
            signal.signal(number, before)
