"""Volumes through all four widgets, with the real engine and tiny stacks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_zsdeconvnet._qt.forms.noise_values import GAIN, OFFSET, READ_VARIANCE
from napari_zsdeconvnet._qt.forms.stripe_filter import MASK_NAME
from napari_zsdeconvnet._qt.layers.previews import DECONVOLVED, DENOISED
from napari_zsdeconvnet._qt.layers.state import ViewerState
from napari_zsdeconvnet._qt.widgets.deconvolve_widget import DeconvolveWidget
from napari_zsdeconvnet._qt.widgets.noise_widget import NEAR_PLANES, NoiseWidget
from napari_zsdeconvnet._qt.widgets.psf_widget import LAYER_NAME, PSFWidget
from napari_zsdeconvnet._qt.widgets.train_widget import TrainWidget
from napari_zsdeconvnet.model import presets
from napari_zsdeconvnet.modes.registry import preview_interval
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.physics.stripe_filter import Damping
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.simulation.sample import simulate_volume

VOXEL = (0.2, 0.09, 0.09)
LONG = 120_000  # milliseconds; shared machines can be slow


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch):
    small = replace(presets.VOLUME_PRESETS["fast"], patch=32, planes=8, batch=1, steps=4)
    monkeypatch.setitem(presets.VOLUME_PRESETS, "fast", small)
    fresh = replace(presets.VOLUMES_FROM_SCRATCH, steps=4)
    monkeypatch.setattr(presets, "VOLUMES_FROM_SCRATCH", fresh)


@pytest.fixture(scope="module")
def sample():
    return simulate_volume("vesicles", shape=(20, 64, 72), photons=200, voxel_size=VOXEL)


@pytest.fixture(scope="module")
def psf():
    return PSF.simulate(
        1.1, 0.525, VOXEL[-1], refractive_index=1.33, axial_step=VOXEL[0], planes=9, size=17
    )


@pytest.fixture(scope="module")
def model(sample, psf):
    from napari_zsdeconvnet.training.trainer import train

    small = replace(presets.VOLUME_PRESETS["fast"], patch=32, planes=8, batch=1, steps=2)
    run = train(
        sample.raw,
        psf,
        NoiseModel(offset=100, gain=1.0, read_variance=4.0),
        axes="ZYX",
        voxel_size=VOXEL,
        preset=small,
        upsample=True,
        seed=0,
        device="cpu",
        preview_every=0,
    )
    for _ in run:
        pass
    return run.model


@pytest.fixture
def raw(viewer, sample):
    return viewer.add_image(
        sample.raw, name="raw", scale=VOXEL, translate=(3, 5, 7), units=("um",) * 3
    )


def dock(viewer, widget_type):
    widget = widget_type(viewer)
    viewer.window.add_dock_widget(widget, name=widget_type.__name__)
    return widget


def world_box(layer):
    """The corners of what the layer covers, voxel borders included; of a series without time."""
    last = np.array(layer.data.shape) - 0.5
    corners = layer.data_to_world((-0.5,) * layer.ndim), layer.data_to_world(last)
    return np.array([corner[-3:] for corner in corners])


# -- noise


def box(top, left, bottom, right):
    corners = [(top, left), (top, right), (bottom, right), (bottom, left)]
    return np.array(corners, dtype=float)


def dark_stack(planes=24, *, offset=100.0, read_variance=9.0, size=64):
    rng = np.random.default_rng(0)
    return rng.normal(offset, read_variance**0.5, (planes, size, size))


def settle(qtbot, widget):
    qtbot.waitUntil(lambda: not widget.busy, timeout=LONG)


def test_a_box_holds_for_all_planes_or_for_those_around_the_one_shown(viewer, qtbot):
    stack = dark_stack()
    stack[14:] += 50  # something in the box
    viewer.add_image(np.round(stack).astype(np.uint16), axis_labels=("z", "y", "x"))
    widget = dock(viewer, NoiseWidget)
    assert widget.planes_box.native.isVisibleTo(widget)
    assert widget.sources.buttons["image"].text() == "This volume"
    assert not widget.sources.buttons["series"].isEnabled()
    viewer.dims.set_current_step(0, 6)
    widget.draw().add(box(4, 4, 60, 60))
    settle(qtbot, widget)
    assert widget.verdict.text().startswith("In all planes: ")
    assert widget.values[OFFSET].value > 110
    widget.planes_box.value = NEAR_PLANES
    settle(qtbot, widget)
    assert widget.verdict.text().startswith("In planes 4 to 8: Good")
    assert widget.values[OFFSET].value == pytest.approx(100, abs=0.2)
    assert widget.values[READ_VARIANCE].value == pytest.approx(9, rel=0.05)
    viewer.dims.set_current_step(0, 20)
    settle(qtbot, widget)
    assert widget.values[OFFSET].value == pytest.approx(150, abs=0.2)


def test_noise_shared_by_planes_and_pixels_is_said_in_full(viewer, qtbot):
    stack = dark_stack(read_variance=100.0)
    deskewed = (stack + np.roll(stack, 1, axis=0) + np.roll(stack, 1, axis=2)) / 3
    viewer.add_image(np.round(deskewed).astype(np.uint16), axis_labels=("z", "y", "x"))
    widget = dock(viewer, NoiseWidget)
    widget.draw().add(box(4, 4, 60, 60))
    settle(qtbot, widget)
    said = widget.verdict.text()
    assert "Neighbouring pixels share noise" in said
    assert "Neighbouring planes share noise" in said


def test_the_gain_is_measured_in_a_volume(viewer, qtbot, raw):
    widget = dock(viewer, NoiseWidget)
    widget.values.boxes[OFFSET].value = 100
    QTest.mouseClick(widget.sources.buttons["image"], Qt.MouseButton.LeftButton)
    settle(qtbot, widget)
    noise = ViewerState.of(viewer).noise
    assert noise.gain == pytest.approx(1, rel=0.4)
    assert "planes of one volume" in widget.values[GAIN].origin


def test_what_speaks_against_a_gain_stays_to_be_read(viewer, qtbot):
    rng = np.random.default_rng(0)
    y, x = np.indices((96, 96))
    light = 200 * np.exp(-0.5 * (np.hypot(y - 66, x - 66) / 12) ** 2)
    stack = rng.poisson(np.broadcast_to(light, (20, 96, 96))) + dark_stack(20, size=96)
    interpolated = (stack + np.roll(stack, 1, axis=2)) / 2
    viewer.add_image(np.round(interpolated).astype(np.uint16), scale=VOXEL)
    widget = dock(viewer, NoiseWidget)
    widget.draw().add(box(2, 2, 20, 20))
    settle(qtbot, widget)
    QTest.mouseClick(widget.sources.buttons["image"], Qt.MouseButton.LeftButton)
    settle(qtbot, widget)
    assert "share noise" in widget.summary.text()


def test_the_volume_shown_is_the_one_measured_of_a_series(viewer, qtbot):
    series = np.stack([dark_stack(9, offset=offset) for offset in (100, 200)])
    viewer.add_image(np.round(series).astype(np.uint16))
    widget = dock(viewer, NoiseWidget)
    viewer.dims.set_current_step(0, 0)
    widget.draw().add(box(4, 4, 60, 60))
    settle(qtbot, widget)
    assert widget.values[OFFSET].value == pytest.approx(100, abs=0.2)
    viewer.dims.set_current_step(0, 1)
    settle(qtbot, widget)
    assert widget.values[OFFSET].value == pytest.approx(200, abs=0.2)


# -- the PSF


def make(qtbot, widget, page):
    widget.tabs.setCurrentIndex(widget.pages.index(page))
    QTest.mouseClick(widget.make_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not widget.busy, timeout=LONG)


@pytest.mark.parametrize("modality", ["widefield", "confocal", "light-sheet"])
def test_a_psf_through_focus_is_simulated_and_shown_from_two_sides(viewer, qtbot, raw, modality):
    widget = dock(viewer, PSFWidget)
    page = widget.simulate_page
    page.modality.value = modality
    page.na.value = 1.1
    page.boxes["refractive_index"].value = 1.33
    page.planes.value = 15
    assert page.boxes["excitation_wavelength"].native.isVisibleTo(page.form) == (
        modality == "confocal"
    )
    assert page.boxes["sheet_thickness"].native.isVisibleTo(page.form) == (
        modality == "light-sheet"
    )
    make(qtbot, widget, page)
    psf = ViewerState.of(viewer).psf
    assert psf.voxel_size == pytest.approx(VOXEL)
    assert len(psf.array) == 15
    assert modality in psf.source
    assert widget.picture.isVisible()
    for caption, axes in zip(widget.picture.captions, ("xy", "xz"), strict=True):
        assert caption.startswith(axes.upper())
        for axis in axes:
            assert f"{axis} {1000 * psf.fwhm['zyx'.index(axis)]:.0f} nm" in caption
    assert "Take care: This PSF" not in widget.description.text()


def test_the_psf_stands_beside_the_volume_in_its_middle_plane(viewer, qtbot, raw):
    widget = dock(viewer, PSFWidget)
    make(qtbot, widget, widget.simulate_page)
    layer = viewer.layers[LAYER_NAME]
    np.testing.assert_allclose(layer.scale, VOXEL)
    np.testing.assert_allclose(world_box(layer)[:, 0].mean(), world_box(raw)[:, 0].mean())
    assert layer.extent.world[0, 2] >= raw.extent.world[1, 2]


def test_the_grid_follows_the_wish_for_twice_the_pixels(viewer, qtbot, raw):
    widget = dock(viewer, PSFWidget)
    assert "200 x 90 x 90 nm" in widget.grid_note.text()
    make(qtbot, widget, widget.simulate_page)
    ViewerState.of(viewer).set_upsample("ZYX", True)
    assert "200 x 45 x 45 nm" in widget.grid_note.text()
    assert "make it again" in widget.description.text()
    make(qtbot, widget, widget.simulate_page)
    assert ViewerState.of(viewer).psf.voxel_size == pytest.approx((0.2, 0.045, 0.045))
    assert "make it again" not in widget.description.text()


def test_without_the_step_no_psf_through_focus_is_simulated(viewer, qtbot, sample, notifications):
    viewer.add_image(sample.raw, scale=(1, 0.09, 0.09), axis_labels=("z", "y", "x"))
    widget = dock(viewer, PSFWidget)
    assert "type it in (Plane step)" in widget.grid_note.text()
    make(qtbot, widget, widget.simulate_page)
    assert any("step between planes" in message for _, message in notifications)
    widget.image.step_box.value = 200
    make(qtbot, widget, widget.simulate_page)
    assert ViewerState.of(viewer).psf.voxel_size == pytest.approx(VOXEL)


def test_a_file_brings_its_own_steps_or_has_them_typed(viewer, qtbot, raw, psf, tmp_path):
    fine = PSF.simulate(1.1, 0.525, 0.1, refractive_index=1.33, axial_step=0.1, planes=17, size=17)
    np.save(tmp_path / "psf.npy", fine.array)
    widget = dock(viewer, PSFWidget)
    page = widget.file_page
    page.path.value = tmp_path / "psf.npy"
    page.voxel_size.value = 100
    page.step.value = 100
    make(qtbot, widget, page)
    read = ViewerState.of(viewer).psf
    assert read.voxel_size == pytest.approx(VOXEL)
    assert read.fwhm[0] == pytest.approx(fine.fwhm[0], rel=0.1)


def test_a_plane_for_a_volume_is_pointed_out(viewer, raw):
    widget = dock(viewer, PSFWidget)
    ViewerState.of(viewer).psf = PSF.simulate(1.1, 0.525, 0.09, size=17)
    assert "This PSF is a single plane" in widget.description.text()
    assert not widget.picture.isVisible()


def test_beads_of_a_volume_are_averaged(viewer, qtbot, raw):
    bead = PSF.simulate(1.1, 0.525, 0.09, refractive_index=1.33, axial_step=0.2, planes=15, size=17)
    image = np.zeros((31, 150, 150))
    for y in range(25, 140, 50):
        for x in range(25, 140, 50):
            image[8:23, y - 8 : y + 9, x - 8 : x + 9] += 200_000 * bead.array
    counts = 100 + np.random.default_rng(0).poisson(image)
    beads = viewer.add_image(counts.astype(np.uint16), name="beads", scale=VOXEL)
    widget = dock(viewer, PSFWidget)
    widget.image.layer = raw
    widget.beads_page.layer.value = beads
    make(qtbot, widget, widget.beads_page)
    psf = ViewerState.of(viewer).psf
    assert psf.axes == "ZYX"
    assert psf.fwhm == pytest.approx(bead.fwhm, rel=0.15)


# -- training


@pytest.fixture
def train(viewer, raw, psf):
    state = ViewerState.of(viewer)
    state.noise = NoiseModel(offset=100, gain=1.0, read_variance=4.0)
    state.psf = psf
    widget = dock(viewer, TrainWidget)
    widget.interval_box.value = 1
    return widget


def run_to_end(qtbot, widget, *arguments):
    widget.start(*arguments)
    assert widget.running
    qtbot.waitUntil(lambda: not widget.running, timeout=LONG)
    qtbot.wait(20)  # the second preview layer has a turn of its own


def test_a_volume_is_offered_its_own_presets(viewer, train):
    assert train.steps_box.value == 4
    assert train.preset_label.text() == presets.VOLUME_PRESETS["fast"].description
    assert train.upsample_box.value is False
    train.image.kind_box.value = "time series"
    assert train.interval_box.value == preview_interval("YX") < preview_interval("ZYX")
    assert train.preset_label.text() == presets.PRESETS["fast"].description
    assert train.upsample_box.value is True


@pytest.mark.parametrize("upsample", [False, True])
def test_a_volume_is_trained_on_and_previewed_in_its_place(qtbot, viewer, train, raw, upsample):
    train.upsample_box.value = upsample
    run_to_end(qtbot, train)
    model = ViewerState.of(viewer).model
    assert (model.axes, model.steps_trained) == ("ZYX", 4)
    assert model.voxel_size == pytest.approx(VOXEL)
    assert model.upsampling == 1 + upsample
    terms = train.curves.terms
    assert np.isfinite(terms["denoising"][1][0])
    # Pretrained weights are for the grid of the stack, and their corrector is left as it is.
    assert ("deconvolution" in terms) == upsample
    whole = world_box(raw)
    for name, factor in ((DENOISED, 1), (DECONVOLVED, 1 + upsample)):
        layer = viewer.layers[name]
        np.testing.assert_allclose(layer.scale, (VOXEL[0], VOXEL[1] / factor, VOXEL[2] / factor))
        np.testing.assert_allclose(world_box(layer)[:, 1:], whole[:, 1:])
        assert whole[0, 0] <= world_box(layer)[0, 0] < world_box(layer)[1, 0] <= whole[1, 0]
        first = (world_box(layer)[0, 0] - whole[0, 0]) / VOXEL[0]
        assert first == pytest.approx(round(first)), "planes lie on planes"


def test_previews_follow_the_plane_that_is_shown(qtbot, viewer, train, raw):
    train.steps_box.value = 5000
    viewer.dims.set_current_step(0, 0)
    train.start()
    qtbot.waitUntil(lambda: train.progress_bar.value() > 0, timeout=LONG)
    qtbot.waitUntil(lambda: viewer.layers[DECONVOLVED].opacity == 1, timeout=LONG)

    def planes():
        low, high = world_box(viewer.layers[DENOISED])[:, 0] - world_box(raw)[0, 0]
        return round(low / VOXEL[0]), round(high / VOXEL[0]) - 1

    assert planes()[0] == 0
    viewer.dims.set_current_step(0, 19)
    qtbot.waitUntil(lambda: planes()[1] == 19, timeout=LONG)
    assert train.running
    train.stop()
    qtbot.waitUntil(lambda: not train.running, timeout=LONG)


def test_training_waits_for_the_step_between_planes(viewer, train, sample):
    viewer.add_image(sample.raw, name="bare", scale=(1, 0.09, 0.09), axis_labels=("z", "y", "x"))
    train.image.layer = viewer.layers["bare"]
    assert not train.train_button.isEnabled()
    assert "step between planes" in train.train_button.toolTip()
    train.image.step_box.value = 200
    assert train.train_button.isEnabled()


def test_too_few_planes_are_refused_with_the_way_out(qtbot, viewer, train, sample, notifications):
    viewer.add_image(sample.raw[:7], name="thin", scale=VOXEL, units=("um",) * 3)
    train.image.layer = viewer.layers["thin"]
    run_to_end(qtbot, train)
    severity, message = notifications[-1]
    assert severity == "error"
    assert "7 planes" in message
    assert "as a time series" in message


def test_a_lazy_series_of_volumes_is_trained_on(qtbot, viewer, train, sample):
    dask = pytest.importorskip("dask.array")
    series = np.stack([sample.raw, sample.second_exposure])
    lazy = dask.from_array(series, chunks=(1, 4, 64, 72))
    layer = viewer.add_image(lazy, name="series", scale=(1, *VOXEL), units=("s", *["um"] * 3))
    train.image.layer = layer
    assert train.image.kind_box.value == "time series of volumes"
    run_to_end(qtbot, train)
    assert ViewerState.of(viewer).model.axes == "ZYX"
    assert viewer.layers[DENOISED].ndim == 3


# -- deconvolution


@pytest.fixture
def deconvolve(viewer, raw, model):
    ViewerState.of(viewer).model = model
    return dock(viewer, DeconvolveWidget)


def test_a_volume_is_overlaid_by_its_results(qtbot, viewer, deconvolve, raw, model):
    run_to_end(qtbot, deconvolve)
    assert model.upsampling == 2
    for what, factor in (("denoised", 1), ("deconvolved", 2)):
        layer = viewer.layers[f"raw {what}"]
        assert layer.data.shape == (20, 64 * factor, 72 * factor)
        np.testing.assert_allclose(world_box(layer), world_box(raw))
        assert layer.units == raw.units
    viewer.dims.ndisplay = 3
    picture = viewer.screenshot(canvas_only=True, flash=False)
    assert picture[..., :3].std() > 5


def test_a_series_of_volumes_keeps_its_time(qtbot, viewer, deconvolve, sample):
    series = viewer.add_image(
        np.stack([sample.raw, sample.second_exposure]),
        name="series",
        scale=(4, *VOXEL),
        units=("s", "um", "um", "um"),
    )
    deconvolve.tile_box.value = 64
    run_to_end(qtbot, deconvolve, series)
    assert deconvolve.progress_bar.maximum() >= 2
    layer = viewer.layers["series deconvolved"]
    assert layer.data.shape == (2, 20, 128, 144)
    assert layer.scale[0] == 4
    np.testing.assert_allclose(world_box(layer), world_box(series))


def test_a_model_of_volumes_on_images_is_pointed_out(viewer, deconvolve):
    assert not deconvolve.mismatch_label.isVisible()
    deconvolve.image.kind_box.value = "time series"
    assert "The model is for volumes" in deconvolve.mismatch_label.text()


def test_another_step_is_pointed_out(viewer, deconvolve, raw):
    raw.scale = (0.3, *VOXEL[1:])
    assert "300 x 90 x 90 nm" in deconvolve.mismatch_label.text()
    assert "200 x 90 x 90 nm" in deconvolve.mismatch_label.text()


def test_stripes_are_damped_on_demand_and_the_mask_is_shown(qtbot, viewer, deconvolve, raw, model):
    damping = deconvolve.damping
    assert damping.chosen is None
    assert not damping.mask_button.isVisible()
    damping.wanted.value = True
    damping.axis.value = "X"
    damping.half_width.value = 0.01
    assert damping.chosen == Damping("X", 0.01, 0.02)
    QTest.mouseClick(damping.mask_button, Qt.MouseButton.LeftButton)
    mask = viewer.layers[MASK_NAME]
    np.testing.assert_array_equal(mask.data, Damping("X", 0.01, 0.02).mask((64, 72)))
    assert mask not in deconvolve.image.layer_box.choices
    assert mask.extent.world[0, 1] >= raw.extent.world[1, 2]
    damping.half_width.value = 0.02
    np.testing.assert_array_equal(mask.data, Damping("X", 0.02, 0.02).mask((64, 72)))
    run_to_end(qtbot, deconvolve)
    expected = model.predict(raw.data, axes="ZYX", device="cpu", damping=damping.chosen)
    np.testing.assert_allclose(viewer.layers["raw denoised"].data, expected.denoised, atol=1e-2)
