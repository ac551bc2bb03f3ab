"""A clock that stands still while other programs have the processor."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

_WAITED = Path("/proc/thread-self/schedstat")


def own_time():
    """Return seconds, less those in which this thread could have run and no processor was free.

    What the thread waits for otherwise, such as another thread of the same program, counts. Where
    the system does not tell (not on Linux), all counts.
    """
    waited = 0
    with suppress(OSError):
        waited = int(_WAITED.read_text().split()[1])
    return time.perf_counter() - waited / 1e9
