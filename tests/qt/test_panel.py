"""What the dock widgets have in common: how they scroll."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLabel, QPushButton

from napari_zsdeconvnet._qt.forms.panel import Panel


@pytest.fixture
def panel(viewer, qtbot):
    """A panel too high for its window: a button above, a label with a link far below."""
    panel = Panel(viewer)
    panel.button, panel.far = QPushButton("Go"), QPushButton("Below")
    panel.body.addWidget(panel.button)
    for number in range(60):
        panel.body.addWidget(QLabel(f"line {number}"))
    panel.body.addWidget(panel.far)
    panel.resize(350, 300)
    panel.show()
    qtbot.waitExposed(panel)
    panel.activateWindow()
    panel.button.setFocus()
    qtbot.waitUntil(panel.button.hasFocus)
    yield panel
    panel.deleteLater()


def test_panel_stays_where_it_is_when_its_button_is_disabled(panel):
    assert panel.area.verticalScrollBar().maximum() > 300
    panel.button.setEnabled(False)
    assert panel.far.hasFocus()
    assert panel.area.verticalScrollBar().value() == 0


def test_panel_scrolls_to_what_the_tab_key_leads_to(panel):
    QTest.keyClick(panel.button, Qt.Key.Key_Tab)
    assert panel.far.hasFocus()
    assert panel.area.verticalScrollBar().value() > 300


def test_part_is_shown_at_the_top(panel):
    panel.show_at_top(panel.body.itemAt(20).widget())
    assert panel.area.verticalScrollBar().value() == panel.body.itemAt(20).widget().y()
