"""What a widget may leave behind: connections, widgets, work and layers."""

from __future__ import annotations

from time import monotonic, sleep

from napari.layers import Image
from napari.qt.threading import WorkerBase
from psygnal import SignalInstance
from qtpy.compat import isalive
from qtpy.QtCore import QCoreApplication, QEvent
from qtpy.QtWidgets import QApplication, QWidget

from napari_zsdeconvnet._qt.layers.layers import METADATA_KEY
from napari_zsdeconvnet._qt.layers.split_view import KEY
from napari_zsdeconvnet._qt.layers.state import ViewerState
from napari_zsdeconvnet._qt.workers import workers

PACKAGE = "napari_zsdeconvnet"


def connections(viewer):
    """Name what of ours viewer, layers and shared state would call, and what it belongs to."""
    groups = [viewer.events, viewer.dims.events, viewer.layers.events]
    groups += [layer.events for layer in viewer.layers]
    for group in groups:
        for name, emitter in group.emitters.items():
            for callback in emitter.callbacks:
                owner = callback[0]() if isinstance(callback, tuple) else callback
                if is_ours(owner):
                    yield f"{type(group.source).__name__}.{name}", owner
    for name in dir(ViewerState):
        if name.endswith("_changed"):
            signal = getattr(ViewerState.of(viewer), name)
            assert isinstance(signal, SignalInstance)
            methods = [slot.dereference() for slot in signal._slots]
            yield from ((name, one.__self__) for one in methods if hasattr(one, "__self__"))


def is_ours(thing):
    """Whether something belongs to the package."""
    module = getattr(thing, "__module__", "") or type(thing).__module__
    return str(module).startswith(PACKAGE) or type(thing).__module__.startswith(PACKAGE)


def belongs_to_the_dead(thing):
    """Whether it is a widget that Qt has no more, or something that such a widget holds."""
    owner = thing if isinstance(thing, QWidget) else getattr(thing, "_owner", None)
    return isinstance(owner, QWidget) and not isalive(owner)


def dead_connections(viewer):
    """Name the signals that would call what is gone."""
    return [
        f"{name} -> {type(to).__name__}"
        for name, to in connections(viewer)
        if belongs_to_the_dead(to)
    ]


def settle(patience=2.0):
    """Let Qt delete what is to be deleted, and work that was ended say so."""
    end = monotonic() + patience
    while True:
        QApplication.processEvents()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        QApplication.processEvents()
        if not workers._under_way or monotonic() > end:
            return
        sleep(0.01)


def widgets():
    """Return the widgets of the package that Qt has."""
    return [one for one in QApplication.allWidgets() if is_ours(one)]


def left_behind():
    """Say what is left of a test once its viewer is gone."""
    settle()
    for widget in widgets():
        if widget.parent() is None and not getattr(widget, "_docked", False):
            widget.deleteLater()  # a test's own, that was never in a dock
    settle()
    found = [f"widget {type(one).__name__}" for one in widgets() if one.parent() is None]
    found += [f"work: {job.title}" for job in workers._under_way]
    found += [f"thread: {worker}" for worker in WorkerBase._worker_set]
    return found


def temporary_layers(viewer):
    """Name layers that only make sense while a widget is open."""
    return [
        layer.name
        for layer in viewer.layers
        if isinstance(layer, Image)
        and (layer.metadata.get(METADATA_KEY) == KEY or (layer.visible and layer.opacity == 0))
    ]
