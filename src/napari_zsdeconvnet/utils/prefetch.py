"""Reading what comes next and writing what is done while something else computes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

Item = TypeVar("Item")
Value = TypeVar("Value")


def read_ahead(
    read: Callable[[Item], Value], items: Iterable[Item]
) -> Generator[Value, None, None]:
    """Give ``read(item)`` for each item, the next one being read while one is in use.

    It reads in a thread of its own, one item after the other and never more than one ahead.
    An error while reading is raised where its value would have been given.
    """
    with ThreadPoolExecutor(1, "read ahead") as thread:
        coming: Future[Value] | None = None
        for item in items:
            following = thread.submit(read, item)
            if coming is not None:
                yield coming.result()
            coming = following
        if coming is not None:
            yield coming.result()


class WriteBehind:
    """A thread that does what it is given, one thing after the other, while the caller goes on.

    One thing may be under way and none is waiting, so that no more than that is in memory. Its
    error is raised by the next call, or at the end of the ``with`` block.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "write behind")
        self._last: Future[Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __call__(self, write: Callable[..., Any], *arguments: Any) -> None:
        """Do ``write(*arguments)`` once what went before is done."""
        self._wait()
        self._last = self._thread.submit(write, *arguments)

    def _wait(self) -> None:
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._wait()
        finally:
            self._thread.shutdown()
