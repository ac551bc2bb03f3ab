"""Every control of every page says what it does."""

from __future__ import annotations

import numpy as np
import pytest
from menu import PLUGIN, WIDGETS
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QListView,
    QScrollBar,
    QTabBar,
    QWidget,
)

CONTROLS = (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QListView,
)
COMPOUND = (QAbstractSpinBox, QComboBox, QAbstractSlider, QTabBar)
"""What is made of other controls, which need no words of their own."""


def is_a_part(one: QWidget, page: QWidget) -> bool:
    """Tell whether a control is a part of another, or of a plot."""
    above = one.parentWidget()
    while above is not None and above is not page:
        if isinstance(above, COMPOUND) or type(above).__module__.startswith("pyqtgraph"):
            return True
        above = above.parentWidget()
    return False


def explained(one: QWidget, page: QWidget) -> bool:
    """Tell whether the mouse over a control shows a tooltip: its own, or that around it."""
    above = one
    while above is not None and above is not page:
        if above.toolTip():
            return True
        above = above.parentWidget()
    return False


def named(one: QWidget) -> str:
    text = getattr(one, "text", lambda: "")()
    return f"{type(one).__name__} {text!r} in {type(one.parentWidget()).__name__}"


@pytest.mark.parametrize("name", WIDGETS)
def test_every_control_has_a_tooltip(plugin, viewer, name):
    viewer.add_image(np.full((9, 24, 24), 100, np.uint16), name="frames")
    _, page = viewer.window.add_plugin_dock_widget(PLUGIN, name)
    bare = [
        named(one)
        for one in page.findChildren(QWidget)
        if isinstance(one, CONTROLS)
        and not isinstance(one, QScrollBar)
        and not is_a_part(one, page)
        and not explained(one, page)
    ]
    assert bare == []


def test_every_button_of_the_dock_has_a_tooltip(plugin, viewer):
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "All steps")
    bare = [
        one.text()
        for one in dock.findChildren(QAbstractButton)
        if not one.toolTip() and one.parentWidget() is dock
    ]
    assert bare == []
