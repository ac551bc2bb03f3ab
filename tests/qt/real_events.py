"""Mouse and keyboard as the window system sends them, with xdotool on an X display."""

from __future__ import annotations

import os
import shutil
import subprocess

from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QApplication, QScrollArea

MISSING = "xdotool and an X display are needed to send real events"
"""Why a test is skipped."""

AVAILABLE = shutil.which("xdotool") is not None and bool(os.environ.get("DISPLAY"))

_SETTLED = 150  # milliseconds in which the window takes in what was sent


class User:
    """Clicks on widgets and types, and lets the window answer."""

    def __init__(self, qtbot):
        self._qtbot = qtbot

    def use(self, window):
        """Give the keyboard to a window, as a window manager does."""
        self._send("windowfocus", str(int(window.winId())))

    def click(self, widget):
        """Scroll to a widget and click once in its middle."""
        holder = widget.parentWidget()
        while holder is not None:
            if isinstance(holder, QScrollArea):
                holder.ensureWidgetVisible(widget)
            holder = holder.parentWidget()
        self._click_at(widget.mapToGlobal(widget.rect().center()))

    def _click_at(self, place):
        self._send("mousemove", str(place.x()), str(place.y()), "click", "1")

    def choose(self, menu_bar, *path):
        """Click through a menu, from the bar on, by the words that it shows."""
        holder, actions = menu_bar, menu_bar.actions()
        for words in path:
            action = next(one for one in actions if one.text().replace("&", "") == words)
            self._click_at(holder.mapToGlobal(holder.actionGeometry(action).center()))
            holder = action.menu()
            actions = [] if holder is None else holder.actions()

    def drag(self, widget, start, end):
        """Press the mouse at one place of a widget, in its pixels, and let go at another."""
        first, last = (widget.mapToGlobal(QPoint(*place)) for place in (start, end))
        middle = (first + last) / 2
        self._send("mousemove", str(first.x()), str(first.y()), "mousedown", "1")
        for place in (middle, last):
            self._send("mousemove", str(place.x()), str(place.y()))
        self._send("mouseup", "1")

    def type(self, text):
        """Type into what has the focus."""
        self._send("type", "--delay", "20", text)

    def press(self, *keys):
        """Press keys by their names, such as "Tab"."""
        self._send("key", *keys)

    def _send(self, *words):
        sent = subprocess.Popen(["xdotool", *words])
        self._qtbot.waitUntil(lambda: sent.poll() is not None, timeout=10_000)
        QApplication.processEvents()
        self._qtbot.wait(_SETTLED)
