"""One click: the command behind the menu item, the command palette and the key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image as ImageLayer
from napari.viewer import Viewer

from ..forms.navigation import ALL_PAGES, has_dock, open_dock, open_widget
from ..workers.notifications import show_error

if TYPE_CHECKING:
    from .one_click_widget import OneClickWidget

NAME = "Deconvolve…"

KEY = "Control-Alt-D"
"""Bound once a widget of the plugin that offers it is open: napari 0.9 takes no keys from a
manifest."""

SHOWN_KEY = KEY.replace("Control", "Ctrl").replace("-", "+")


def deconvolve_layer(viewer: Viewer) -> None:
    """Deconvolve the selected layer: open *Deconvolve…* and start."""
    layer = viewer.layers.selection.active
    if not isinstance(layer, ImageLayer):
        show_error("Select an image layer first, then deconvolve it.")
        return
    start_one_click(viewer, layer)


def start_one_click(viewer: Viewer, layer: ImageLayer) -> OneClickWidget | None:
    """Open *Deconvolve…* and start on a layer, in the dock of all pages unless it has its own."""
    if not has_dock(viewer, NAME):
        open_dock(viewer, ALL_PAGES)
    widget: OneClickWidget | None = open_widget(viewer, NAME)
    if widget is not None:
        widget.start(layer)
    return widget


def bind_key(viewer: Viewer) -> None:
    """Let the key start it in this viewer."""
    viewer.bind_key(KEY, deconvolve_layer, overwrite=True)
