"""Before and after with a divider while training goes on, and a click where previews look."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_zsdeconvnet._qt.widgets.one_click_widget import OneClickWidget
from napari_zsdeconvnet.model import presets
from napari_zsdeconvnet.simulation.sample import simulate
from napari_zsdeconvnet.training import data

PIXEL = 0.0626
LONG = 300_000  # milliseconds; shared machines can be slow
METADATA = {"Channel": {"Name": "GFP", "EmissionWavelength": 525, "LensNA": 1.3}}


@pytest.fixture(autouse=True)
def _without_end(monkeypatch):
    endless = {"patch": 48, "batch": 1, "steps": 10_000, "patience": 0}
    monkeypatch.setitem(presets.PRESETS, "fast", replace(presets.PRESETS["fast"], **endless))


@pytest.fixture
def one_click(viewer):
    widget = OneClickWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Deconvolve…")
    yield widget
    widget.cancel()


def add(viewer, width):
    raw = simulate("filaments", shape=(width, width), pixel_size=PIXEL).raw
    place = {"scale": (PIXEL, PIXEL), "units": ("um", "um")}
    return viewer.add_image(raw, name="cell", metadata=METADATA, **place)


def click(viewer, position):
    """Click on the canvas where a place in the world is shown."""
    canvas = viewer.window._qt_viewer.canvas.native
    camera = getattr(viewer, "scene", viewer).camera
    away = (np.array(position[-2:]) - camera.center[-2:]) * camera.zoom
    middle = np.array([canvas.height(), canvas.width()]) / 2
    row, column = np.rint(middle + away).astype(int)
    QTest.mouseMove(canvas, QPoint(int(column), int(row)))
    QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=QPoint(int(column), int(row)))


def test_before_and_after_are_compared_from_the_first_preview_to_the_result(
    qtbot, viewer, one_click
):
    """The divider stays through the training, and shows the result when it is there."""
    layer = add(viewer, 96)
    one_click.start(layer)
    button = one_click.swipe_button
    assert not button.isVisible(), "there is nothing to compare yet"
    qtbot.waitUntil(button.isVisible, timeout=LONG)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    preview = viewer.layers["Preview deconvolved"]
    shown = [one for one in viewer.layers if one.visible]
    assert shown == [preview, button.swipe.cut]
    qtbot.waitUntil(lambda: one_click.cancel_button.text() == "Stop here", timeout=LONG)
    one_click.cancel_button.click()
    qtbot.waitUntil(lambda: not one_click.running, timeout=LONG)
    assert button.isChecked()
    shown = [one.name for one in viewer.layers if one.visible]
    assert shown == ["cell deconvolved", "◧ cell"]
    button.click()
    assert layer.visible
    assert not viewer.layers["cell denoised"].visible, "it is hidden, as its step says"
    assert "◧ cell" not in viewer.layers


def test_a_click_on_the_canvas_chooses_where_the_previews_look(
    qtbot, viewer, one_click, monkeypatch
):
    monkeypatch.setattr(data, "PREVIEW_WIDTH", 32)
    layer = add(viewer, 160)
    one_click.start(layer)
    qtbot.waitUntil(one_click.swipe_button.isVisible, timeout=LONG)
    preview = viewer.layers["Preview deconvolved"]

    def middle():
        return layer.world_to_data(preview.extent.world.mean(axis=0))

    for row, column in ((20, 130), (140, 24)):
        click(viewer, layer.data_to_world((row, column)))
        qtbot.waitUntil(
            lambda wanted=(row, column): np.allclose(middle(), wanted, atol=2), timeout=LONG
        )
    one_click.cancel()
    qtbot.waitUntil(lambda: not one_click.running, timeout=LONG)
