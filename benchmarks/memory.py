"""How much memory a piece of work takes at its peak."""

from __future__ import annotations

import resource
import sys
import threading

import psutil


class PeakMemory:
    """Measure the peak of this process above what it holds at the start of a ``with`` block.

    The system's own record is exact where the block sets a new one; below an earlier peak, the
    memory held is looked at every few milliseconds instead.

    Attributes
    ----------
    bytes
        Peak above the start, once the block has ended.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._process = psutil.Process()
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._start = self._seen = self._process.memory_info().rss
        self._record = _record()
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._watcher.join()
        record = _record()
        peak = record if record > self._record else self._seen
        self.bytes = max(peak - self._start, 0)

    def _watch(self) -> None:
        while not self._done.wait(0.005):
            self._seen = max(self._seen, self._process.memory_info().rss)


def _record() -> int:
    """Bytes that this process has held at most since it began."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
