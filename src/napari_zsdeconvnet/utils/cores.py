"""How many threads may compute, for what needs no torch as well."""

from __future__ import annotations

import os
from contextvars import ContextVar

from .errors import InputError

THREADS_VARIABLE = "ZSDECONVNET_THREADS"
"""Environment variable with the number of threads to compute with, instead of a measured one."""

fixed: ContextVar[int | None] = ContextVar("fixed threads", default=None)
"""What `devices.fixed_threads` has decided."""

most: ContextVar[int | None] = ContextVar("most threads", default=None)
"""What leaves a core to a window."""


def cores() -> int:
    """Count the cores that this process may use, which may be fewer than its machine has."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed is not None else os.cpu_count() or 1


def computing_threads() -> int:
    """Give the number of threads that may compute; results must not depend on it."""
    return fixed.get() or wanted_threads() or most.get() or cores()


def wanted_threads() -> int | None:
    """Return the number that ``ZSDECONVNET_THREADS`` says, None where it says none.

    Raises
    ------
    InputError
        If it is not a whole number of at least 1.
    """
    wanted = os.environ.get(THREADS_VARIABLE, "").strip()
    if not wanted:
        return None
    if not wanted.isdecimal() or int(wanted) < 1:
        raise InputError(
            "threads-wrong",
            f"{THREADS_VARIABLE} is {wanted!r}: set it to a whole number of at least 1, or not "
            "at all.",
        )
    return int(wanted)
