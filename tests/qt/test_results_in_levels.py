"""Results that are too large for memory: layers of several resolutions, read from OME-Zarr."""

from __future__ import annotations

import gc
import tempfile
from dataclasses import replace

import numpy as np
import pytest
from placed import borders

from napari_zsdeconvnet._qt.layers.split_view import Swipe
from napari_zsdeconvnet._qt.layers.state import ViewerState
from napari_zsdeconvnet._qt.widgets.deconvolve_widget import DeconvolveWidget
from napari_zsdeconvnet._qt.widgets.one_click_widget import OneClickWidget
from napari_zsdeconvnet._qt.widgets.saving import save_result
from napari_zsdeconvnet.inference import predict
from napari_zsdeconvnet.io.image_files import read_image
from napari_zsdeconvnet.model import presets
from napari_zsdeconvnet.simulation.sample import simulate

PIXEL = 0.0626
LONG = 300_000  # milliseconds; shared machines can be slow
OPTICS = {"na": 1.3, "wavelength": 525}
"""As typed: nanometres."""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def raw(viewer):
    frame = simulate("filaments", shape=(272, 280), pixel_size=PIXEL).raw
    series = np.stack([frame, np.roll(frame, 5, axis=0)])
    units = ("pixel", "um", "um")
    return viewer.add_image(series, name="cell", scale=(1, PIXEL, PIXEL), units=units)


def test_they_are_as_those_in_memory(qtbot, viewer, raw, temporary, tmp_path, monkeypatch):
    small = replace(presets.PRESETS["fast"], patch=48, batch=1, steps=2)
    monkeypatch.setitem(presets.PRESETS, "fast", small)
    widget = OneClickWidget(viewer)
    viewer.window.add_dock_widget(widget)
    widget.start(raw)
    qtbot.waitUntil(lambda: widget.asking, timeout=LONG)
    for box, value in OPTICS.items():
        widget.form.boxes[box].value = value
    widget.start_button.click()
    qtbot.waitUntil(lambda: not widget.running, timeout=LONG)
    expected = viewer.layers["cell deconvolved"]
    assert not expected.multiscale
    limits, places, whole = expected.contrast_limits, borders(expected), expected.data

    monkeypatch.setattr(predict, "MOST_HELD", 0.0)
    widget.start(raw)
    qtbot.waitUntil(lambda: not widget.running, timeout=LONG)
    result = viewer.layers["cell deconvolved"]
    assert [layer.name for layer in viewer.layers].count("cell deconvolved") == 1
    assert result.multiscale
    assert [level.shape for level in result.data] == [(2, 544, 560), (2, 272, 280)]
    np.testing.assert_array_equal(result.data[0][...], whole)
    np.testing.assert_allclose(
        result.data[1][...], whole.reshape(2, 272, 2, 280, 2).mean((2, 4)), 1e-4, 1e-3
    )
    np.testing.assert_allclose(borders(result), places)
    np.testing.assert_allclose(result.contrast_limits, limits, rtol=0.1)
    assert result.visible
    assert ViewerState.of(viewer).judged(raw) is not None
    assert len(list(temporary.glob("*/*.ome.zarr"))) == 2

    swipe = Swipe(viewer, raw, result)
    swipe.place = 0.25
    swipe.end()
    swipe = Swipe(viewer, result, raw)
    swipe.place = 0.25
    assert swipe.cut.data.shape == (2, 544, 140)
    np.testing.assert_array_equal(swipe.cut.data[1], whole[1, :, :140])
    swipe.end()

    saved = tmp_path / "saved.ome.zarr"
    save_result(widget, result, str(saved.with_suffix("").with_suffix("")))
    qtbot.waitUntil((saved / "zarr.json").exists, timeout=LONG)
    image = read_image(saved)
    np.testing.assert_array_equal(image.data[...].reshape(whole.shape), whole)
    assert image.voxel_size == pytest.approx((PIXEL / 2, PIXEL / 2))

    viewer.layers.clear()
    del result, swipe
    gc.collect()
    assert not list(temporary.glob("*/*.ome.zarr"))


def test_those_of_a_model_that_is_applied(qtbot, viewer, raw, temporary, monkeypatch):
    monkeypatch.setattr(predict, "MOST_HELD", 0.0)
    sample = simulate("filaments", shape=(96, 96), pixel_size=PIXEL)
    import napari_zsdeconvnet as zs

    widget = DeconvolveWidget(viewer)
    viewer.window.add_dock_widget(widget)
    run = zs.train(sample.raw, sample.psf, sample.noise, voxel_size=PIXEL, steps=0, device="cpu")
    ViewerState.of(viewer).model = run.model
    widget.image.layer = raw
    widget.start_button.click()
    qtbot.waitUntil(lambda: "cell deconvolved" in viewer.layers, timeout=LONG)
    qtbot.waitUntil(lambda: not widget.running, timeout=LONG)
    assert viewer.layers["cell deconvolved"].multiscale
    assert not viewer.layers["cell denoised"].multiscale, "small ones have one resolution"
