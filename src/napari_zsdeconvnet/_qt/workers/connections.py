"""Connections to what outlives a widget: they end with the widget."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

from qtpy.compat import isalive
from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    from napari.viewer import Viewer


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


def follow_clicks(owner: QWidget, viewer: Viewer, slot: Callable[[tuple[float, ...]], Any]) -> None:
    """Call a bound method with the place in the world of each click on the canvas.

    A press that moves before it is let go is a drag, and none. It ends with the owner, as in
    `follow`.
    """
    held = WeakMethod(slot)

    def on_press(_: Viewer, event: Any) -> Iterator[None]:
        place, moved = event.position, False
        plain = event.button == 1 and not event.modifiers
        yield
        while event.type == "mouse_move":
            moved = True
            yield
        method = held()
        if plain and not moved and method is not None:
            method(place)

    viewer.mouse_drag_callbacks.append(on_press)
    owner.destroyed.connect(partial(_forget, viewer.mouse_drag_callbacks, on_press))


def _forget(callbacks: list[Any], one: Any, *_: Any) -> None:
    if one in callbacks:
        callbacks.remove(one)


def _unfollow(signal: Any, slot: WeakMethod[Callable[..., Any]], *_: Any) -> None:
    method = slot()
    if method is not None:
        signal.disconnect(method)
