"""Mouse and keyboard as the window system sends them, with xdotool on an X display."""

from __future__ import annotations

import os
import shutil
import subprocess

from qtpy.QtCore import QEvent, QObject, QPoint
from qtpy.QtWidgets import QApplication, QScrollArea

MISSING = "xdotool and an X display are needed to send real events"
"""Why a test is skipped."""

AVAILABLE = shutil.which("xdotool") is not None and bool(os.environ.get("DISPLAY"))

_ARRIVES = 10_000  # milliseconds; shared machines can be slow
_SETTLED = 20  # milliseconds in which the window takes in what has arrived


class _Arrivals(QObject):
    """Counts what the window system sends to the application."""

    def __init__(self, kind):
        super().__init__()
        self._kind = kind
        self.count = 0

    def eventFilter(self, _, event):
        self.count += event.spontaneous() and event.type() == self._kind
        return False


def menu_item(holder, *path):
    """Find an action of a menu bar or a menu by the words that it shows, and those of its menus."""
    for words in path:
        action = next(one for one in holder.actions() if one.text().replace("&", "") == words)
        holder = action.menu()
    return action


class User:
    """Clicks on widgets and types, and lets the window answer."""

    def __init__(self, qtbot):
        self._qtbot = qtbot

    def use(self, window):
        """Give the keyboard to a window, as a window manager does."""
        self._send("windowfocus", str(int(window.winId())))
        self._qtbot.waitUntil(window.isActiveWindow, timeout=_ARRIVES)

    def click(self, widget):
        """Scroll to a widget and click once in its middle."""
        holder = widget.parentWidget()
        while holder is not None:
            if isinstance(holder, QScrollArea):
                holder.ensureWidgetVisible(widget)
            holder = holder.parentWidget()
        self._click_at(self._resting_place(widget))

    def _resting_place(self, widget):
        """Give the middle of a widget once the layout moves it no more."""
        place, last = widget.mapToGlobal(widget.rect().center()), None
        while place != last:
            self._qtbot.wait(2 * _SETTLED)
            place, last = widget.mapToGlobal(widget.rect().center()), place
        return place

    def _click_at(self, place):
        words = ("mousemove", str(place.x()), str(place.y()), "click", "1")
        self._send(*words, until=QEvent.Type.MouseButtonRelease)

    def choose(self, menu_bar, *path):
        """Click through a menu, from the bar on, by the words that it shows."""
        holder = menu_bar
        for words in path:
            action = menu_item(holder, words)
            self._click_at(holder.mapToGlobal(holder.actionGeometry(action).center()))
            holder = action.menu()

    def drag(self, widget, start, end):
        """Press the mouse at one place of a widget, in its pixels, and let go at another."""
        first, last = (widget.mapToGlobal(QPoint(*place)) for place in (start, end))
        middle = (first + last) / 2
        words = ("mousemove", str(first.x()), str(first.y()), "mousedown", "1")
        self._send(*words, until=QEvent.Type.MouseButtonPress)
        for place in (middle, last):
            words = ("mousemove", str(place.x()), str(place.y()))
            self._send(*words, until=QEvent.Type.MouseMove)
        self._send("mouseup", "1", until=QEvent.Type.MouseButtonRelease)

    def type(self, text):
        """Type into what has the focus."""
        self._send("type", "--delay", "5", text, until=QEvent.Type.KeyRelease, times=len(text))

    def press(self, *keys):
        """Press keys by their names, such as "Tab"."""
        self._send("key", *keys, until=QEvent.Type.KeyRelease, times=len(keys))

    def _send(self, *words, until=None, times=1):
        """Send events, and wait until as many as expected of a kind have come."""
        arrivals = _Arrivals(until)
        QApplication.instance().installEventFilter(arrivals)
        sent = subprocess.Popen(["xdotool", *words])
        self._qtbot.waitUntil(lambda: sent.poll() is not None, timeout=_ARRIVES)
        if until is not None:
            self._qtbot.waitUntil(lambda: arrivals.count >= times, timeout=_ARRIVES)
        QApplication.instance().removeEventFilter(arrivals)
        self._qtbot.wait(_SETTLED)
