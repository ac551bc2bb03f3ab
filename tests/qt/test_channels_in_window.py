"""A file with channels: one press makes a layer of each and deconvolves them all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt

from napari_zsdeconvnet._qt.layers.layer_axes import read_as
from napari_zsdeconvnet._qt.layers.layer_metadata import recorded_of
from napari_zsdeconvnet._qt.layers.layers import origin_of
from napari_zsdeconvnet._qt.widgets.main_widget import MainWidget
from napari_zsdeconvnet.model import presets
from napari_zsdeconvnet.simulation.sample import simulate
from napari_zsdeconvnet.workflow.record import RunRecord

PIXEL = 0.0626
LONG = 300_000  # milliseconds; shared machines can be slow


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch):
    small = replace(presets.PRESETS["fast"], patch=48, batch=1, steps=3)
    monkeypatch.setitem(presets.PRESETS, "fast", small)


@pytest.fixture
def path(tmp_path):
    """An OME-TIFF of two channels that says its pixels and wavelengths, but no NA."""
    path = tmp_path / "cells.ome.tif"
    pixels = [
        simulate(kind, shape=(96, 96), pixel_size=PIXEL).raw for kind in ("filaments", "vesicles")
    ]
    tifffile.imwrite(
        path,
        np.stack(pixels),
        metadata={
            "axes": "CYX",
            "PhysicalSizeX": PIXEL,
            "PhysicalSizeY": PIXEL,
            "Channel": {"Name": ["DAPI", "Cy5"], "EmissionWavelength": [461, 670]},
        },
    )
    return path


def test_each_channel_gets_a_layer_a_wavelength_and_a_result(qtbot, viewer, path, notifications):
    (stack,) = viewer.open(path)
    widget = MainWidget(viewer)
    viewer.window.add_dock_widget(widget, name="All steps")
    page = widget.page
    button = page.channels_button
    qtbot.waitUntil(button.isVisible, timeout=LONG)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: widget.page.title == "Queue", timeout=LONG)
    queue = widget.page
    assert any("Channel 1 (Cy5) and Channel 0 (DAPI) share" in words for _, words in notifications)
    names = ["cells.ome DAPI", "cells.ome Cy5"]
    assert [layer.name for layer in queue.chosen] == names
    assert stack in queue.layers, "what was split is still there, and not ticked"
    assert not stack.visible
    for number, wavelength in enumerate((0.461, 0.67)):
        layer = viewer.layers[names[number]]
        assert np.shares_memory(layer.data, stack.data)
        assert np.allclose(layer.scale, PIXEL)
        assert recorded_of(layer).optics().wavelength == wavelength
        origin = origin_of(layer, read_as(layer))
        assert (origin.path, origin.axes, origin.channel) == (str(path), "CYX", number)
    assert [viewer.layers[name].colormap.name for name in names] == ["green", "magenta"]

    for _ in names:  # the NA of each, as the form asks
        qtbot.waitUntil(lambda: queue.asking or not queue.running, timeout=LONG)
        if queue.asking:
            queue.form.boxes["na"].value = 1.3
            queue.form.boxes["refractive_index"].value = 1.515
            queue.accept()
    qtbot.waitUntil(lambda: not queue.running, timeout=LONG)
    assert queue.failures == {}
    weights = set()
    for name, colour in zip(names, ("green", "magenta"), strict=True):
        result = viewer.layers[f"{name} deconvolved"]
        assert result.colormap.name == colour
        assert result.visible
        assert not viewer.layers[name].visible, "the light of both would be added"
        record = RunRecord.from_dict(result.metadata["zsdeconvnet"])
        assert record.sources[0].origin.channel == names.index(name)
        weights.add(record.weights_sha256)
    assert len(weights) == 2, "each channel has a model of its own"


def test_a_layer_without_channels_is_not_offered_to_be_split(viewer, path):
    viewer.add_image(np.zeros((40, 40), np.uint16))
    widget = MainWidget(viewer)
    viewer.window.add_dock_widget(widget, name="All steps")
    assert not widget.page.channels_button.isVisible()
