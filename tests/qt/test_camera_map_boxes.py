"""Maps and excess noise of a camera in real windows, with the real engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt

from napari_zsdeconvnet._qt.forms.noise_values import GAIN
from napari_zsdeconvnet._qt.layers.layer_axes import read_as
from napari_zsdeconvnet._qt.layers.layers import METADATA_KEY, RULE_KEY, layer_image, rule_of
from napari_zsdeconvnet._qt.layers.state import ViewerState
from napari_zsdeconvnet._qt.widgets.deconvolve_widget import DeconvolveWidget
from napari_zsdeconvnet._qt.widgets.layer_inspection import mode_maker
from napari_zsdeconvnet._qt.widgets.noise_widget import NoiseWidget
from napari_zsdeconvnet._qt.widgets.task import task_of
from napari_zsdeconvnet._qt.widgets.train_widget import TrainWidget
from napari_zsdeconvnet.io.image import PixelRule
from napari_zsdeconvnet.model import presets
from napari_zsdeconvnet.noise.camera_maps import CameraMaps
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.noise.usable_pixels import usable_pixels
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.simulation.sample import simulate

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
    viewer.window.add_dock_widget(deconvolve, name="Apply model")
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
    recipe = mode_maker(task, values, ViewerState.of(viewer))()
    camera = recipe.known.camera
    assert isinstance(camera, CameraMaps)
    np.testing.assert_array_equal(camera.gain, chip().part(START, SHAPE).gain)


def bad_pixels(tmp_path) -> tuple[np.ndarray, str]:
    bad = np.zeros(CHIP, np.uint8)
    bad[START[0] + 30, START[1] + 40] = bad[0, 0] = 1
    path = tmp_path / "bad.tif"
    tifffile.imwrite(path, bad)
    return bad, path


def test_bad_pixels_of_the_camera_go_to_every_layer_that_they_fit(viewer, calibrated, tmp_path):
    calibrated.maps.bad_box.value = bad_pixels(tmp_path)[1]
    raw = viewer.layers["raw"]
    image = layer_image(raw, read_as(raw))
    assert [tuple(place) for place in np.argwhere(image.pixel_rule.bad_pixels)] == [(30, 40)]
    assert "2 bad pixels of 100 x 110: 1 layer." in calibrated.maps.bad_note.text()
    assert (
        "1 pixel of image is bad" in usable_pixels(image.data[None], image.pixel_rule).sentences[0]
    )
    rng = np.random.default_rng(0)
    whole = viewer.add_image(rng.poisson(50, CHIP).astype(np.uint16), name="chip")
    assert np.count_nonzero(rule_of(whole).bad_pixels) == 2
    result = viewer.add_image(whole.data, name="result", metadata={METADATA_KEY: "made"})
    assert rule_of(result).bad_pixels is None
    calibrated.maps.row_box.value = 90
    assert rule_of(raw).bad_pixels is None
    calibrated.maps.bad_box.value = None
    assert rule_of(whole).bad_pixels is None
    assert not calibrated.maps.bad_note.text()


def test_a_rule_that_came_from_elsewhere_stays(viewer, calibrated):
    raw = viewer.layers["raw"]
    own = PixelRule(bad_pixels=np.eye(*SHAPE, dtype=bool), saturation="mask")
    raw.metadata[RULE_KEY] = own
    calibrated.maps.row_box.value = 3
    assert rule_of(raw) is own


def test_a_map_of_bad_pixels_that_cannot_be_one_is_said(viewer, calibrated, tmp_path):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.zeros((5, *CHIP), np.uint8))
    calibrated.maps.bad_box.value = path
    assert "give a map of the camera's pixels" in calibrated.maps.bad_note.text()
    assert rule_of(viewer.layers["raw"]).bad_pixels is None


def test_a_dark_stack_tells_of_each_pixel_once_the_gain_is_known(qtbot, viewer):
    maps, rng = chip(), np.random.default_rng(2)
    dark = np.round(maps.offset + rng.normal(0, 2, (40, *CHIP))).astype(np.uint16)
    viewer.add_image(dark, name="dark", axis_labels=("t", "y", "x"))
    widget = NoiseWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Noise calibration")
    state = ViewerState.of(viewer)
    qtbot.mouseClick(widget.sources.buttons["dark"], Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not widget.busy, timeout=LONG)
    assert widget.maps.dark_box.visible
    assert state.maps is None
    assert "once the gain is known" in widget.summary.text()
    widget.values.boxes[GAIN].value = 1.25
    assert state.maps.names == ("offset", "read_variance")
    assert np.std(state.maps.offset - maps.offset) < 0.5
    widget.maps.row_box.value, widget.maps.column_box.value = START
    camera = state.maps.camera(state.noise, SHAPE)
    assert camera.shape == SHAPE
    assert camera.typical.gain == 1.25
    widget.maps.dark_box.value = False
    assert state.maps is None


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
