"""Words that a window has no room for."""

from __future__ import annotations

from qtpy.QtWidgets import QAbstractSpinBox, QLabel, QPushButton, QWidget


def cut_off(widget):
    """Give the texts of visible labels, buttons and number boxes that do not fit into them."""
    return [text for one in widget.findChildren(QWidget) if (text := _cut(one))]


def _cut(one):
    if not one.isVisible():
        return ""
    if isinstance(one, QLabel) and one.wordWrap() and one.heightForWidth(one.width()) >= 0:
        return one.text() if one.heightForWidth(one.width()) > one.height() + 1 else ""
    if isinstance(one, QAbstractSpinBox):
        line = one.lineEdit()
        return line.text() if _needs(line, line.text()) > line.width() else ""
    if isinstance(one, QLabel | QPushButton):
        lines = one.text().splitlines() if "<" not in one.text() else []
        needed = max((_needs(one, line.replace("&", "")) for line in lines), default=0)
        return one.text() if needed > one.width() else ""
    return ""


def _needs(one, text):
    return one.fontMetrics().horizontalAdvance(text)
