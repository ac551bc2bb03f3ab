"""The same work for every part of a recording, by threads of this process or by many processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from .cores import computing_threads
from .memory import available_memory

Each = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]
"""Does the same for all things of a list and gives what comes of it, in order, as `map` does."""


def in_threads(memory: int) -> Each:
    """Do the same for several things at a time.

    Parameters
    ----------
    memory
        Bytes that each takes: all together take half of what is free at most.
    """

    def each(do: Callable[[Any], Any], things: Sequence[Any]) -> Iterator[Any]:
        fitting = available_memory() // 2 // max(memory, 1)
        number = min(computing_threads(), len(things), fitting)
        if number < 2:
            yield from map(do, things)
            return
        waiting: deque[Future[Any]] = deque()
        with ThreadPoolExecutor(number, "each") as threads:
            try:
                for thing in things:
                    waiting.append(threads.submit(do, thing))
                    if len(waiting) > number:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for one in waiting:
                    one.cancel()

    return each
