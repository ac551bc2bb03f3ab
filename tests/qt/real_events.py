"""Mouse and keyboard as the window system sends them, with xdotool on an X display."""

from __future__ import annotations

import os
import shutil
import subprocess

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
        place = widget.mapToGlobal(widget.rect().center())
        self._send("mousemove", str(place.x()), str(place.y()), "click", "1")

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
