"""Opens a page of the plugin, where the user has it open or in a dock of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary, WeakMethod

from napari.viewer import Viewer

from ..layers.state import unwrapped
from ..workers.notifications import show_error
from ..workers.preferences import PLUGIN

Show = Callable[[str], Any]
"""Shows the page of this name and returns it."""

TITLE = "ZS-DeconvNet"
"""The plugin, as the manifest names it."""

ALL_PAGES = "All steps"
"""The dock of all pages, as the manifest names it."""

_pages: WeakKeyDictionary[Viewer, WeakMethod[Show]] = WeakKeyDictionary()
"""The dock of all pages, for each viewer that has it open."""


def offer_pages(viewer: Viewer, show: Show) -> None:
    """Let `open_widget` show pages with this bound method, as long as its widget lives."""
    _pages[unwrapped(viewer)] = WeakMethod(show)


def withdraw_pages(viewer: Viewer, show: Show) -> None:
    """End what `offer_pages` began; another dock of all pages stays."""
    if _pages.get(unwrapped(viewer)) == WeakMethod(show):
        del _pages[unwrapped(viewer)]


def open_widget(viewer: Viewer, name: str) -> Any:
    """Show a page in the dock of all pages, or in one of its own where that is not open.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose window it is.
    name : str
        As the manifest names it.

    Returns
    -------
    QWidget or None
        The page; None if napari does not know it, which the user is told.
    """
    show = _pages.get(unwrapped(viewer), lambda: None)()
    if show is not None and not has_dock(viewer, name):
        return show(name)
    return open_dock(viewer, name)


def has_dock(viewer: Viewer, name: str) -> bool:
    """Tell whether a page is open in a dock of its own."""
    return _docked(viewer, name) is not None


def _docked(viewer: Viewer, name: str) -> Any:
    """Return the content of a dock that is open, or None.

    napari names what its menu opens after the plugin's title, and what a program opens after the
    package.
    """
    docks = getattr(unwrapped(viewer).window, "dock_widgets", {})
    found = (docks.get(f"{name} ({plugin})") for plugin in (TITLE, PLUGIN))
    return next((one for one in found if one is not None), None)


def open_dock(viewer: Viewer, name: str) -> Any:
    """Open a dock of the plugin in front of the others, or say why it cannot be."""
    widget = _docked(viewer, name)
    if widget is not None:
        dock = widget.parentWidget()
    else:
        window = unwrapped(viewer).window
        try:
            dock, widget = window.add_plugin_dock_widget(PLUGIN, name, tabify=True)
        except (ValueError, KeyError) as error:  # napari's words for a manifest it lacks
            show_error(error)
            return None
    dock.show()
    dock.raise_()
    return widget
