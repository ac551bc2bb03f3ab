"""Maps and excess noise of a camera in real windows, with the real engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_zsdeconvnet import presets
from napari_zsdeconvnet._qt._deconvolve_widget import DeconvolveWidget
from napari_zsdeconvnet._qt._looking import recipe_maker, task_of
from napari_zsdeconvnet._qt._noise_values import GAIN
from napari_zsdeconvnet._qt._noise_widget import NoiseWidget
from napari_zsdeconvnet._qt._readings import read_as
from napari_zsdeconvnet._qt._state import ViewerState
from napari_zsdeconvnet._qt._train_widget import TrainWidget
from napari_zsdeconvnet.camera_maps import CameraMaps
from napari_zsdeconvnet.noise import NoiseModel
from napari_zsdeconvnet.psf import PSF
from napari_zsdeconvnet.simulation import simulate

PIXEL = 0.0626
LONG = 120_000  # milliseconds
SHAPE, CHIP, START = (64, 72), (100, 110), (20, 10)


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch):
    small = replace(presets.PRESETS["fast"], patch=48, batch=1, steps=1)
    monkeypatch.setitem(presets.PRESETS, "fast", small)


def chip() -> CameraMaps:
    rng = np.random.default_rng(0)
    offset = 100 + rng.normal(0, 3, CHIP)
    return CameraMaps(offset, 1.25 * np.exp(rng.normal(0, 0.1, CHIP)), np.full(CHIP, 4.0))


@pytest.fixture
def calibrated(viewer, tmp_path):
    """A viewer with an image of a region of a chip, and a Noise widget with its maps."""
    maps, part = chip(), chip().part(START, SHAPE)
    light = simulate("filaments", shape=SHAPE, pixel_size=PIXEL).noise_free
    rng = np.random.default_rng(1)
    counts = part.offset + part.gain * rng.poisson(light) + rng.normal(0, 2, SHAPE)
    viewer.add_image(
        np.round(counts).astype(np.uint16), name="raw", scale=(PIXEL, PIXEL), units=("um", "um")
    )
    state = ViewerState.of(viewer)
    state.noise = NoiseModel(offset=100, gain=1.25, read_variance=4.0)
    state.psf = PSF.simulate(na=1.3, wavelength=0.525, pixel_size=PIXEL / 2, size=33)
    widget = NoiseWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Noise calibration")
    for name in ("offset", "gain"):
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, getattr(maps, name))
        widget.maps.files[name].value = path
    widget.maps.row_box.value, widget.maps.column_box.value = START
    return widget


def test_training_and_deconvolving_use_the_maps_of_the_region(qtbot, viewer, calibrated):
    assert "maps of offset, gain from row 20 and column 10 on" in calibrated.summary.text()
    train = TrainWidget(viewer)
    viewer.window.add_dock_widget(train, name="Train")
    assert "maps of offset, gain" in train.known.noise_label.text()
    train.start()
    qtbot.waitUntil(lambda: not train.running, timeout=LONG)
    model = ViewerState.of(viewer).model
    part = chip().part(START, SHAPE)
    np.testing.assert_allclose(model.maps.offset, part.offset, rtol=1e-6)
    np.testing.assert_allclose(model.maps.read_variance, 4.0)

    state = ViewerState.of(viewer)
    crop = viewer.add_image(
        viewer.layers["raw"].data[:, 8:], name="crop", scale=(PIXEL, PIXEL), units=("um", "um")
    )
    calibrated.maps.column_box.value = START[1] + 8
    deconvolve = DeconvolveWidget(viewer)
    viewer.window.add_dock_widget(deconvolve, name="Deconvolve")
    deconvolve.image.layer_box.value = crop
    deconvolve.start()
    qtbot.waitUntil(lambda: not deconvolve.running, timeout=LONG)
    result = next(layer for layer in viewer.layers if "crop" in layer.name and layer is not crop)
    assert np.isfinite(result.data).all()
    assert state.maps.start == (START[0], START[1] + 8)


def test_one_click_makes_its_recipe_with_them(viewer, calibrated):
    layer = viewer.layers["raw"]
    task = task_of(viewer, layer, read_as(layer), sim=False)
    values = {"na": 1.3, "wavelength": 0.525, "pixel_size": PIXEL}
    recipe = recipe_maker(task, values, ViewerState.of(viewer))()
    camera = recipe._given_noise
    assert isinstance(camera, CameraMaps)
    np.testing.assert_array_equal(camera.gain, chip().part(START, SHAPE).gain)


def test_no_file_is_no_map(viewer, calibrated):
    for box in calibrated.maps.files.values():
        box.value = None
    assert ViewerState.of(viewer).maps is None
    assert "maps" not in calibrated.summary.text()


def test_the_excess_noise_keeps_what_was_measured_and_what_was_typed(viewer):
    widget = NoiseWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Noise calibration")
    state = ViewerState.of(viewer)
    state.noise = NoiseModel(200, 10.0, 30.0, gain_error=1.0, source="photon transfer in a series")
    widget.values.excess_box.value = 2.0
    assert state.noise.gain == pytest.approx(5.0)
    assert state.noise.gain_error == pytest.approx(0.5)
    assert state.noise.slope == pytest.approx(10.0)
    widget.values.boxes[GAIN].value = 6.0
    widget.values.excess_box.value = 1.5
    assert (state.noise.gain, state.noise.excess_noise) == (6.0, 1.5)
    state.noise = NoiseModel(100, 1.0, 4.0)
    assert widget.values.excess_box.value == 1.0
