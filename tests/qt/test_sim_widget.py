"""Raw SIM from its frames to a deconvolved image, in a real window with the real engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile
from napari.layers import Image
from scipy.ndimage import gaussian_filter

from napari_zsdeconvnet._qt.forms import sim_camera as cameras
from napari_zsdeconvnet._qt.layers.layers import RULE_KEY, layer_image
from napari_zsdeconvnet._qt.layers.previews import DECONVOLVED, DENOISED
from napari_zsdeconvnet._qt.layers.raw_frames import raw_frames
from napari_zsdeconvnet._qt.layers.state import ViewerState
from napari_zsdeconvnet._qt.widgets.deconvolve_widget import DeconvolveWidget
from napari_zsdeconvnet._qt.widgets.sim_widget import SIMWidget
from napari_zsdeconvnet._qt.widgets.train_widget import TrainWidget
from napari_zsdeconvnet.io.image import PixelRule
from napari_zsdeconvnet.model import presets
from napari_zsdeconvnet.simulation.raw_sim import simulate_sim
from napari_zsdeconvnet.utils.errors import InputError

SIDE = 96
LONG = 120_000  # milliseconds; shared machines can be slow


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch):
    small = replace(presets.SIM_PRESETS["fast"], patch=48, batch=1, steps=5)
    monkeypatch.setitem(presets.SIM_PRESETS, "fast", small)


@pytest.fixture(scope="module")
def sample():
    return simulate_sim("filaments", shape=(SIDE, SIDE), photons=100)


def add_raw(viewer, sample, raw=None, name="raw"):
    pixel = sample.pixel_size
    raw = sample.raw if raw is None else raw
    leading = (1,) * (raw.ndim - 2)
    return viewer.add_image(
        raw,
        name=name,
        scale=(*leading, pixel, pixel),
        translate=(*(0,) * len(leading), 5, 7),
        units=(*("pixel",) * len(leading), "um", "um"),
    )


@pytest.fixture
def sim(viewer, sample):
    """A SIM widget on a viewer that shows raw frames, the camera being known."""
    add_raw(viewer, sample)
    ViewerState.of(viewer).noise = sample.noise
    return opened(viewer, sample)


def opened(viewer, sample):
    widget = SIMWidget(viewer)
    viewer.window.add_dock_widget(widget, name="SIM")
    widget.microscope.na.value = sample.na
    widget.microscope.emission.value = 1000 * sample.wavelength
    widget.interval_box.value = 2
    return widget


def wait(qtbot, widget):
    assert widget.busy
    qtbot.waitUntil(lambda: not widget.busy, timeout=LONG)
    qtbot.wait(20)  # the second preview layer has a turn of its own


def estimate(qtbot, widget):
    widget.estimate_button.click()
    wait(qtbot, widget)


def lateral_box(layer):
    """The corners in Y and X of what the layer covers, pixel borders included."""
    last = np.array(layer.data.shape) - 0.5
    ends = layer.data_to_world((-0.5,) * layer.ndim), layer.data_to_world(last)
    return np.array(ends)[:, -2:]


def test_estimate_shows_image_spectrum_peaks_and_report(qtbot, viewer, sim, sample):
    assert sim.raw.pixel_size == pytest.approx(sample.pixel_size)
    assert not sim.train_button.isEnabled()
    estimate(qtbot, sim)
    for found, true in zip(sim.patterns, sample.patterns, strict=True):
        assert found.period == pytest.approx(true.period, rel=0.01)
    assert "3 of 3 orientations found" in sim.report.text()
    assert sim.train_button.isEnabled()

    raw, image = viewer.layers["raw"], viewer.layers["raw Wiener"]
    assert image.data.shape == (2 * SIDE, 2 * SIDE)
    np.testing.assert_allclose(lateral_box(image), lateral_box(raw))
    blurred = gaussian_filter(sample.truth, 1.5)
    assert np.corrcoef(image.data.ravel(), blurred.ravel())[0, 1] > 0.9

    spectrum, rings = viewer.layers["raw spectrum"], viewer.layers["raw patterns"]
    assert lateral_box(spectrum)[0, 1] > lateral_box(raw)[1, 1], "beside the frames"
    assert len(rings.data) == 6
    np.testing.assert_allclose(rings.scale, spectrum.scale)
    np.testing.assert_allclose(rings.translate, spectrum.translate)
    bright = spectrum.data > 3  # times the noise
    peaks = np.argwhere(bright)
    for place in rings.data:
        assert np.hypot(*(peaks - place).T).min() < 1, "a ring lies on a peak"
    assert sim.raw.layer_box.choices == (raw,), "results are not offered as raw frames"

    names = [layer.name for layer in viewer.layers]
    estimate(qtbot, sim)
    assert [layer.name for layer in viewer.layers] == names, "updated in place"


def test_train_and_deconvolve(qtbot, viewer, sim, sample):
    estimate(qtbot, sim)
    sim.train_button.click()
    wait(qtbot, sim)
    steps, _ = sim.curves.terms["total"]
    assert steps == [1, 2, 3, 4, 5]
    model = ViewerState.of(viewer).model
    assert model.reconstruction is not None
    assert model.voxel_size == pytest.approx((sample.pixel_size / 2,) * 2)
    raw = viewer.layers["raw"]
    for name in (DENOISED, DECONVOLVED):
        assert viewer.layers[name].data.shape == (2 * SIDE, 2 * SIDE)
        np.testing.assert_allclose(lateral_box(viewer.layers[name]), lateral_box(raw))

    sim.deconvolve_button.click()
    wait(qtbot, sim)
    for name in ("raw denoised", "raw deconvolved"):
        assert viewer.layers[name].data.shape == (2 * SIDE, 2 * SIDE)
        np.testing.assert_allclose(lateral_box(viewer.layers[name]), lateral_box(raw))
    assert viewer.layers["raw denoised"].data.mean() == pytest.approx(
        viewer.layers["raw Wiener"].data.mean(), rel=0.1
    )

    other = DeconvolveWidget(viewer)
    viewer.window.add_dock_widget(other, name="Apply model")
    assert "in the SIM window" in other.mismatch_label.text()


def test_stop_and_resume(qtbot, viewer, sim):
    estimate(qtbot, sim)
    sim.steps_box.value = 5000
    sim.train_button.click()
    qtbot.waitUntil(lambda: sim._last is not None and sim._last.step >= 2, timeout=LONG)
    assert not sim.estimate_button.isEnabled()
    sim.stop_button.click()
    wait(qtbot, sim)
    stopped = sim._last.step
    sim.resume_button.click()
    qtbot.waitUntil(lambda: sim._last.step > stopped, timeout=LONG)
    sim.stop()
    wait(qtbot, sim)


def test_a_series_in_one_row_of_frames(qtbot, viewer, sample):
    add_raw(viewer, sample, np.concatenate([sample.raw, sample.second_exposure]))
    widget = opened(viewer, sample)
    assert "2 images of 9 frames" in widget.raw.note.text()
    estimate(qtbot, widget)
    image = viewer.layers["raw Wiener"]
    assert image.data.shape == (2, 2 * SIDE, 2 * SIDE)
    # Each image stands for the nine frames that it was made from.
    assert [image.data_to_world((t, 0, 0))[0] for t in (0, 1)] == [4, 13]


def test_patterns_are_saved_and_loaded(qtbot, viewer, sim, sample, tmp_path, notifications):
    estimate(qtbot, sim)
    sim.save_patterns(tmp_path / "patterns.json")
    found, sim.patterns = sim.patterns, None
    sim.load_patterns(tmp_path / "patterns.json")
    assert sim.patterns == found
    viewer.layers.remove("raw Wiener")
    sim.reconstruct_button.click()
    wait(qtbot, sim)
    assert viewer.layers["raw Wiener"].data.shape == (2 * SIDE, 2 * SIDE)

    add_raw(viewer, sample, sample.raw[:, :80], name="cropped")
    sim.raw.layer = viewer.layers["cropped"]
    assert "press Estimate" in sim.train_button.toolTip()
    assert not sim.reconstruct_button.isEnabled()


def test_maps_of_the_camera_are_read(qtbot, viewer, sim, sample, tmp_path):
    sim.camera.source.value = cameras.MAPS
    assert "three maps" in sim.estimate_button.toolTip()
    values = {"offset": 100.0, "gain": 1.0, "read_variance": 4.0}
    for name, value in values.items():
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, np.full((SIDE, SIDE), value, np.float32))
        sim.camera.files[name].value = path
    estimate(qtbot, sim)
    light = sample.raw.mean() - 100
    assert viewer.layers["raw Wiener"].data.mean() == pytest.approx(light, rel=0.05)


def test_a_camera_can_be_typed_or_measured(qtbot, viewer, sim, sample):
    state = ViewerState.of(viewer)
    assert sim.camera.source.value == cameras.CALIBRATED
    assert "offset" in sim.camera.known.text()
    state.noise = None
    assert "calibrate" in sim.estimate_button.toolTip()
    sim.camera.source.value = cameras.TYPED
    sim.camera.values.boxes["offset"].value = 100
    sim.camera.values.boxes["read_variance"].value = 4
    noise = sim.camera.maker()(sample.raw, 0.3)
    assert (noise.offset, noise.gain, noise.read_variance) == (100, None, 4)
    sim.camera.source.value = cameras.MEASURED
    measured = sim.camera.maker()(sample.raw, 0.336)
    assert measured.offset == pytest.approx(100, abs=3)
    assert measured.gain == pytest.approx(1, rel=0.3)


def test_a_known_pattern_is_passed_on(qtbot, viewer, sim, notifications):
    sim.microscope.period.value = "200"
    sim.microscope.angles.value = "18, 78; 138"
    assert sim.microscope.settings()["period"] == pytest.approx(0.2)
    assert sim.microscope.settings()["angles"] == [18, 78, 138]
    sim.microscope.angles.value = "none"
    sim.estimate()
    assert any("type numbers" in message for _, message in notifications)
    sim.microscope.angles.value = ""
    sim.microscope.period.value = "50"
    estimate(qtbot, sim)
    assert any("impossible for this objective" in message for _, message in notifications)
    sim.microscope.period.value = ""
    sim.raw.order_box.value = "phase"
    estimate(qtbot, sim)
    assert any("choose orientation by orientation" in message for _, message in notifications)
    assert sim.patterns is None


def test_frames_without_fringes_are_refused_in_words(qtbot, viewer, sim, sample, notifications):
    still = np.random.default_rng(0).poisson(200.0, (9, SIDE, SIDE)).astype(np.uint16)
    add_raw(viewer, sample, still, name="still")
    sim.raw.layer = viewer.layers["still"]
    estimate(qtbot, sim)
    assert any("No pattern is found" in message for _, message in notifications)
    assert "No pattern is found" in sim.status_label.text()


def test_one_reconstructed_image_is_recognised(viewer, sim, sample):
    add_raw(viewer, sample, sample.truth, name="reconstructed")
    sim.raw.layer = viewer.layers["reconstructed"]
    assert "Use Train for one that is reconstructed" in sim.raw.note.text()
    assert not sim.estimate_button.isEnabled()


@pytest.mark.parametrize("make", [TrainWidget, DeconvolveWidget])
def test_raw_frames_are_recognised_by_the_other_widgets(qtbot, viewer, sample, make):
    add_raw(viewer, sample)
    widget = make(viewer)
    viewer.window.add_dock_widget(widget, name="other")
    qtbot.waitUntil(lambda: "raw 2D-SIM" in widget.image.note.text(), timeout=LONG)
    assert "or open SIM" in widget.image.note.text()


@pytest.mark.parametrize(
    ("shape", "images", "axes", "every"),
    [
        ((9, 64, 64), 1, "CYX", 1),
        ((3, 3, 64, 64), 1, "CCYX", 1),
        ((4, 9, 64, 64), 4, "TCYX", 1),
        ((2, 3, 3, 64, 64), 2, "TCCYX", 1),
        ((9, 4, 64, 64), 4, "CTYX", 1),
        ((3, 3, 4, 64, 64), 4, "CCTYX", 1),
        ((27, 64, 64), 3, "TYX", 9),
        ((2, 4, 9, 64, 64), 8, "TTCYX", 1),
        ((2, 9, 4, 64, 64), 8, "TCTYX", 1),
    ],
)
def test_how_frames_make_images(shape, images, axes, every):
    layer = Image(np.zeros(shape), rgb=False)
    frames = raw_frames(layer, 3, 3)
    assert (frames.images, frames.axes, frames.every) == (images, axes, every)
    stack = frames.of(layer)
    assert stack.shape == ((9, 64, 64) if images == 1 else (images, 9, 64, 64))
    number = np.arange(np.prod(shape[:-2])).reshape(*shape[:-2], 1, 1)
    layer = Image(number * np.ones(shape[-2:]), rgb=False)
    if axes == "CTYX":
        np.testing.assert_array_equal(frames.of(layer)[1, :, 0, 0], np.arange(1, 36, 4))


def test_what_is_known_of_bad_pixels_goes_with_the_frames():
    layer = Image(np.zeros((9, 64, 64)), rgb=False)
    rule = PixelRule(saturation="mask")
    layer.metadata[RULE_KEY] = rule
    image = layer_image(layer, raw_frames(layer, 3, 3, 0.06))
    assert (image.pixel_rule, image.axes) == (rule, "CYX")
    assert image.voxel_size == (0.06, 0.06)


def test_time_points_of_planes_of_frames(qtbot, viewer, sample):
    raw = np.broadcast_to(sample.raw, (2, 3, *sample.raw.shape)).swapaxes(1, 2)
    layer = add_raw(viewer, sample, np.ascontiguousarray(raw))
    layer.axis_labels = ("t", "c", "z", "y", "x")
    layer.scale = (1, 1, 0.2, *layer.scale[-2:])
    ViewerState.of(viewer).noise = sample.noise
    widget = opened(viewer, sample)
    assert "6 images of 9 frames" in widget.raw.note.text()
    estimate(qtbot, widget)
    image = viewer.layers["raw Wiener"]
    assert image.data.shape == (2, 3, 2 * SIDE, 2 * SIDE)
    assert image.axis_labels == ("t", "z", "y", "x")
    np.testing.assert_allclose(image.scale[:2], (1, 0.2))
    np.testing.assert_allclose(lateral_box(image), lateral_box(layer))


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((64, 64), "one image"),
        ((10, 64, 64), "no whole number of images"),
        ((15, 64, 64), "raw 3D-SIM"),
        ((5, 15, 64, 64), "raw 3D-SIM"),
    ],
)
def test_frames_that_make_no_image(shape, said):
    layer = Image(np.zeros(shape), rgb=False)
    with pytest.raises(InputError, match=said):
        raw_frames(layer, 3, 3)
