"""Connections to what outlives a widget: they end with the widget."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakMethod

from qtpy.compat import isalive
from qtpy.QtWidgets import QWidget


def alive(widget: QWidget) -> bool:
    """Tell whether Qt still has the widget; signals from elsewhere may come after its end."""
    return bool(isalive(widget))  # type: ignore[no-untyped-call]


def follow(owner: QWidget, signal: Any, slot: Callable[..., Any]) -> None:
    """Connect a signal of the viewer, of a layer or of the shared state until a widget ends.

    Those of napari and of psygnal know nothing of Qt: they would go on calling a widget that was
    closed. The slot is a bound method, held weakly.
    """
    signal.connect(slot)
    end_with(owner, signal, slot)


def end_with(owner: QWidget, signal: Any, slot: Callable[..., Any]) -> None:
    """Disconnect a signal, whoever has connected it, when a widget ends."""
    # Qt holds the closure as long as the widget, which the method itself would keep for ever.
    owner.destroyed.connect(partial(_unfollow, signal, WeakMethod(slot)))


def _unfollow(signal: Any, slot: WeakMethod[Callable[..., Any]], *_: Any) -> None:
    method = slot()
    if method is not None:
        signal.disconnect(method)
