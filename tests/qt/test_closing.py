"""What becomes of a widget, and of its work, when its dock is closed or hidden."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from leaks import connections, settle, widgets
from menu import PLUGIN, WIDGETS
from napari._qt.widgets.qt_progress_bar import QtLabeledProgressBar
from qtpy.compat import isalive

from napari_zsdeconvnet._qt.layers.state import ViewerState
from napari_zsdeconvnet._qt.widgets.noise_widget import ROI_NAME
from napari_zsdeconvnet._qt.workers.activity import activity
from napari_zsdeconvnet.model import presets
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.psf.psf import PSF

LONG = 300_000  # milliseconds


@pytest.fixture
def opened(plugin, viewer, qtbot):
    """Opens a widget as the menu does."""

    def open_widget(name):
        dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, name)
        qtbot.waitUntil(widget.isVisible)
        return dock, widget

    return open_widget


@pytest.fixture
def train(opened, viewer, raw, sample, monkeypatch):
    """*Train* with an endless training begun, and its dock."""
    endless = replace(presets.PRESETS["fast"], patch=48, batch=1, steps=5000)
    monkeypatch.setitem(presets.PRESETS, "fast", endless)
    state = ViewerState.of(viewer)
    state.noise = NoiseModel(offset=100, gain=1.0, read_variance=4.0)
    state.psf = PSF.simulate(na=1.3, wavelength=0.525, pixel_size=sample.pixel_size / 2, size=33)
    dock, widget = opened("Train")
    widget.interval_box.value = 0
    yield dock, widget
    if isalive(widget):
        widget.stop()


def begin(qtbot, widget, steps=0):
    widget.start()
    qtbot.waitUntil(lambda: widget._last is not None and widget._last.step > steps, timeout=LONG)


def close(dock):
    dock.title.close_button.click()


def bars(viewer):
    return viewer.window._qt_window._activity_dialog.findChildren(QtLabeledProgressBar)


def test_training_goes_on_where_its_dock_was_closed(qtbot, viewer, train, opened, notifications):
    dock, widget = train
    begin(qtbot, widget)
    close(dock)
    qtbot.waitUntil(lambda: bool(bars(viewer)), timeout=LONG)
    assert any("Train goes on" in words and "'activity'" in words for _, words in notifications)
    step = widget._last.step
    qtbot.waitUntil(lambda: widget._last.step > step + 5, timeout=LONG)
    qtbot.waitUntil(lambda: activity.words.startswith("Train: step "), timeout=LONG)
    assert activity.share > 0
    # Who opens it again sees it as it was, and can end it there.
    _, again = opened("Train")
    assert again is widget
    assert again.curves.isVisible()
    assert len(again.curves.terms["total"][0]) >= step
    assert again.stop_button.isEnabled()
    qtbot.waitUntil(lambda: not bars(viewer), timeout=LONG)
    again.stop_button.click()
    qtbot.waitUntil(lambda: not again.running, timeout=LONG)
    assert ViewerState.of(viewer).model is not None


def test_training_that_ends_unseen_delivers_its_model_and_says_so(
    qtbot, viewer, train, notifications
):
    dock, widget = train
    widget.steps_box.value = 12
    widget.start()
    close(dock)
    qtbot.waitUntil(lambda: not isalive(widget), timeout=LONG)
    assert ViewerState.of(viewer).model.steps_trained == 12
    assert any("Train: Done after 12 steps" in words for _, words in notifications)
    assert not bars(viewer)


def test_activity_dock_ends_work_whose_dock_was_closed(qtbot, viewer, train):
    dock, widget = train
    begin(qtbot, widget)
    close(dock)
    qtbot.waitUntil(lambda: bool(bars(viewer)), timeout=LONG)
    bars(viewer)[0].cancel_button.click()
    qtbot.waitUntil(lambda: not isalive(widget), timeout=LONG)
    # As by the widget's own button, what was learned stays.
    assert ViewerState.of(viewer).model.steps_trained > 0
    qtbot.waitUntil(lambda: not bars(viewer), timeout=LONG)


def test_hidden_dock_shows_its_work_in_the_activity_dock(qtbot, viewer, train):
    dock, widget = train
    begin(qtbot, widget)
    assert not bars(viewer)
    dock.title.hide_button.click()
    qtbot.waitUntil(lambda: bool(bars(viewer)), timeout=LONG)
    dock.show()
    qtbot.waitUntil(lambda: not bars(viewer), timeout=LONG)
    assert widget.running


def test_dock_behind_another_one_counts_as_open(qtbot, viewer, train, opened):
    dock, widget = train
    front, _ = opened("PSF")
    viewer.window._qt_window.tabifyDockWidget(dock, front)
    front.raise_()
    begin(qtbot, widget, steps=2)
    qtbot.wait(700)
    assert not bars(viewer)


@pytest.mark.parametrize("name", WIDGETS)
def test_closed_widget_leaves_nothing_behind(qtbot, viewer, opened, raw, sample, name):
    ViewerState.of(viewer).noise = NoiseModel(offset=100, gain=1.0, read_variance=4.0)
    assert not list(connections(viewer))
    for _ in range(2):
        dock, widget = opened(name)
        # In use: layers come, are renamed and go, and the sliders move.
        viewer.add_image(np.stack([sample.raw] * 3), name="another")
        viewer.layers["another"].name = "renamed"
        viewer.dims.set_current_step(0, 1)
        viewer.layers.remove("renamed")
        assert list(connections(viewer))
        close(dock)
        qtbot.waitUntil(lambda w=widget: not isalive(w), timeout=LONG)
        settle()
        assert [f"{signal} -> {to!r}" for signal, to in connections(viewer)] == []
        assert widgets() == []


def test_closed_noise_widget_does_not_answer_the_one_that_follows(qtbot, viewer, opened, raw):
    told = []
    ViewerState.of(viewer).noise_changed.connect(told.append)
    dock, first = opened("Noise calibration")
    roi = first.draw()
    roi.add(np.array([[2, 2], [2, 20], [20, 20], [20, 2]]))
    qtbot.waitUntil(lambda: not first.busy, timeout=LONG)
    close(dock)
    _, again = opened("Noise calibration")
    qtbot.waitUntil(lambda: not again.busy, timeout=LONG)
    assert again is not first
    before = len(told)
    viewer.layers[ROI_NAME].data = [np.array([[3, 3], [3, 24], [24, 24], [24, 3]])]
    qtbot.waitUntil(lambda: not again.busy, timeout=LONG)
    qtbot.wait(300)
    assert len(told) == before + 1
