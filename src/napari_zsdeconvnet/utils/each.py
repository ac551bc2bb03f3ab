"""The same work for every part of a recording, by this process or by many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

Each = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]
"""Does the same for all things of a list and gives what comes of it, in order, as `map` does."""
