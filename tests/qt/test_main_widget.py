"""The dock of all pages, with real clicks, and what becomes of its pages when it is closed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cut_off import cut_off
from leaks import settle, widgets
from menu import PLUGIN, WIDGETS
from qtpy.compat import isalive
from qtpy.QtWidgets import QLabel, QPushButton
from real_events import AVAILABLE, MISSING, User, menu_item

from napari_zsdeconvnet._qt.forms.navigation import ALL_PAGES, TITLE, open_widget
from napari_zsdeconvnet._qt.layers.state import ViewerState
from napari_zsdeconvnet._qt.widgets.main_widget import PAGES
from napari_zsdeconvnet._qt.widgets.one_click import deconvolve_layer
from napari_zsdeconvnet._qt.workers.activity import activity
from napari_zsdeconvnet.model import presets
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.psf.psf import PSF

LONG = 300_000  # milliseconds
NARROW, LOW = 420, 620
"""What a laptop's window of 1366x768 leaves for a dock, in pixels."""


@pytest.fixture
def opened(plugin, viewer, qtbot):
    """Opens the dock of all pages as the menu does."""

    def open_dock():
        dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, ALL_PAGES)
        qtbot.waitUntil(widget.isVisible)
        return dock, widget

    return open_dock


@pytest.fixture
def endless(viewer, sample, monkeypatch):
    """All that a training needs, which then does not end by itself."""
    preset = replace(presets.PRESETS["fast"], patch=48, batch=1, steps=5000)
    monkeypatch.setitem(presets.PRESETS, "fast", preset)
    state = ViewerState.of(viewer)
    state.noise = NoiseModel(offset=100, gain=1.0, read_variance=4.0)
    state.psf = PSF.simulate(na=1.3, wavelength=0.525, pixel_size=sample.pixel_size / 2, size=33)


def button_of(widget, name):
    return widget.findChild(QPushButton, name)


def begin(qtbot, page):
    page.interval_box.value = 0
    page.start()
    qtbot.waitUntil(lambda: page._last is not None and page._last.step > 0, timeout=LONG)


@pytest.mark.skipif(not AVAILABLE, reason=MISSING)
def test_a_click_shows_each_page_within_a_small_window(qtbot, viewer, raw, opened):
    _, widget = opened()
    user = User(qtbot)
    user.use(viewer.window._qt_window)
    assert set(PAGES) == set(WIDGETS)
    assert type(widget.page).__name__ == "OneClickWidget", "a new user begins here"
    shown = {}
    for name in [*PAGES][1:] + [*PAGES][:1]:
        user.click(button_of(widget, name))
        qtbot.waitUntil(lambda name=name: type(widget.page).__name__ == WIDGETS[name])
        shown[name] = widget.page
        assert [one.objectName() for one in widget._buttons.buttons() if one.isChecked()] == [name]
        assert widget.minimumSizeHint().width() <= NARROW
        assert widget.minimumSizeHint().height() <= LOW
        assert cut_off(widget) == []
    assert {name: widget.show_page(name) for name in PAGES} == shown, "pages stay as they are"


def test_every_page_offers_layers_that_come_later(viewer, opened):
    _, widget = opened()
    pages = [widget.show_page(name) for name in ("Deconvolve…", "Train", "PSF")]
    layer = viewer.add_image(np.ones((64, 64), np.uint16), name="later")
    assert [page.image.layer for page in pages] == [layer] * 3


def test_a_page_fills_the_dock_however_many_were_opened_before(qtbot, viewer, opened):
    """napari puts a stretch below what does not ask for height, a larger one with every dock."""
    for _ in range(3):
        dock, widget = opened()
        qtbot.waitUntil(lambda widget=widget: widget.height() > 0)
        settle()
        below = widget.height() - widget._stack.geometry().bottom()
        assert below <= 2
        viewer.window.remove_dock_widget(dock)


def test_links_between_pages_stay_in_the_dock(viewer, raw, opened):
    _, widget = opened()
    widget.show_page("Train").known.noise_button.click()
    assert type(widget.page).__name__ == "NoiseWidget"
    assert len(viewer.window.dock_widgets) == 1


def test_without_the_dock_a_link_opens_a_dock_of_its_own(plugin, viewer, opened):
    dock, widget = opened()
    dock.title.close_button.click()
    settle()
    assert not isalive(widget)
    assert type(open_widget(viewer, "PSF")).__name__ == "PSFWidget"
    assert [*viewer.window.dock_widgets] == [f"PSF ({PLUGIN})"]


def test_a_page_that_has_a_dock_of_its_own_is_shown_there(viewer, opened):
    _, own = viewer.window.add_plugin_dock_widget(PLUGIN, "PSF")
    _, widget = opened()
    assert open_widget(viewer, "PSF") is own
    assert type(widget.page).__name__ == "OneClickWidget"


def test_docks_that_the_menu_has_opened_are_not_opened_twice(plugin, qtbot, viewer):
    bar = viewer.window._qt_window.menuBar()
    for name in (ALL_PAGES, "PSF"):
        menu_item(bar, "Plugins", TITLE, f"{name} ({TITLE})").trigger()
        qtbot.waitUntil(lambda name=name: f"{name} ({TITLE})" in viewer.window.dock_widgets)
    docks = dict(viewer.window.dock_widgets)
    viewer.layers.selection.active = viewer.add_image(np.zeros((64, 64), np.uint16), name="empty")
    deconvolve_layer(viewer)
    assert open_widget(viewer, "PSF") is docks[f"PSF ({TITLE})"]
    assert dict(viewer.window.dock_widgets) == docks
    page = docks[f"{ALL_PAGES} ({TITLE})"].page
    qtbot.waitUntil(lambda: page.asking or bool(page.status_label.text()), timeout=LONG)
    page.cancel()
    qtbot.waitUntil(lambda: not page.running, timeout=LONG)


def test_the_layer_command_starts_in_the_dock(plugin, qtbot, viewer):
    layer = viewer.add_image(np.zeros((64, 64), np.uint16), name="nothing recorded")
    viewer.layers.selection.active = layer
    deconvolve_layer(viewer)
    assert [*viewer.window.dock_widgets] == [f"{ALL_PAGES} ({PLUGIN})"]
    page = viewer.window.dock_widgets[f"{ALL_PAGES} ({PLUGIN})"].page
    qtbot.waitUntil(lambda: page.asking or bool(page.status_label.text()), timeout=LONG)
    page.cancel()
    qtbot.waitUntil(lambda: not page.running, timeout=LONG)


def test_closing_the_dock_leaves_nothing_but_work(qtbot, viewer, raw, opened, endless):
    dock, widget = opened()
    page = widget.show_page("Train")
    widget.show_page("Noise calibration")
    begin(qtbot, page)
    assert not activity.words, "work behind another page of an open dock is not out of sight"
    dock.title.close_button.click()
    qtbot.waitUntil(lambda: not isalive(widget), timeout=LONG)
    qtbot.waitUntil(lambda: activity.words.startswith("Train: step "), timeout=LONG)
    assert [one for one in widgets() if type(one).__name__ == "NoiseWidget"] == []
    step = page._last.step
    qtbot.waitUntil(lambda: page._last.step > step + 2, timeout=LONG)

    _, again = opened()
    assert again.show_page("Train") is page
    qtbot.waitUntil(lambda: not activity.words, timeout=LONG)
    page.stop_button.click()
    qtbot.waitUntil(lambda: not page.running, timeout=LONG)
    assert ViewerState.of(viewer).model is not None


def test_a_hidden_dock_shows_the_work_of_its_page_in_the_activity_dock(
    qtbot, viewer, raw, opened, endless
):
    dock, widget = opened()
    page = widget.show_page("Train")
    begin(qtbot, page)
    dock.title.hide_button.click()
    qtbot.waitUntil(lambda: activity.words.startswith("Train: step "), timeout=LONG)
    dock.show()
    qtbot.waitUntil(lambda: not activity.words, timeout=LONG)
    page.stop()
    qtbot.waitUntil(lambda: not page.running, timeout=LONG)


def test_without_an_image_each_page_says_what_to_do(viewer, opened):
    _, widget = opened()
    for name in set(PAGES) - {"Models"}:
        page = widget.show_page(name)
        words = [label.text() for label in page.findChildren(QLabel) if label.isVisible()]
        assert any("File > Open Sample" in text for text in words), name
        cancel = [one for one in page.findChildren(QPushButton) if one.text() == "Cancel"]
        assert not any(one.isEnabled() for one in cancel), name
