"""Judge the result on a layer: in a worker, with its maps where they belong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from placed import borders
from qtpy.QtWidgets import QWidget
from turns import at_once

import napari_zsdeconvnet as zs
from napari_zsdeconvnet._qt.layers.layer_axes import read_as
from napari_zsdeconvnet._qt.layers.results import show_result, shown_result
from napari_zsdeconvnet._qt.layers.state import Made, ViewerState
from napari_zsdeconvnet._qt.widgets import quality_worker
from napari_zsdeconvnet._qt.widgets.quality_worker import Asked, start_judging
from napari_zsdeconvnet.quality.verdict import judge
from napari_zsdeconvnet.sim import Reconstruction, simulate_sim

LONG = 120_000  # milliseconds; shared machines can be slow
PIXEL = 0.0626


@pytest.fixture
def owner(qtbot):
    widget = QWidget()
    qtbot.addWidget(widget)
    return widget


def judged(qtbot, viewer, layer, model, owner, **asked):
    """Judge to the end; gives what was told on the way."""
    told, failures = [], []
    job = start_judging(
        viewer,
        layer,
        model,
        owner=owner,
        asked=Asked(device="cpu", **asked),
        on_progress=lambda share, what: told.append((share, what)),
        on_failure=failures.append,
    )
    qtbot.waitUntil(lambda: not job.running, timeout=LONG)
    assert not failures
    return told


def test_without_a_result_one_is_predicted_and_judged_alike(qtbot, viewer, raw, model, owner):
    heard = []
    ViewerState.of(viewer).verdict_changed.connect(heard.append)
    told = judged(qtbot, viewer, raw, model, owner, repeats=2)
    found = ViewerState.of(viewer).judged(raw)
    expected = judge(model, raw.data, device="cpu", repeats=2)
    assert found.model is model
    assert found.frame is None
    assert found.verdict.to_dict() == expected.to_dict()
    assert heard == [raw]
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert all(what for _, what in told)


def test_maps_lie_on_the_source_and_hide_until_asked_for(qtbot, viewer, raw, model, owner):
    judged(qtbot, viewer, raw, model, owner, repeats=2)
    z_map, spread = viewer.layers["raw z-map"], viewer.layers["raw spread"]
    for layer in (z_map, spread):
        assert layer.units == raw.units
        assert not layer.visible
        np.testing.assert_allclose(borders(layer), borders(raw))
    assert spread.data.shape == (128, 144)
    low, high = z_map.contrast_limits
    assert low == -high
    middle = z_map.colormap.map(np.array([0.0, 0.5, 1.0]))
    assert np.ptp(middle[1, :3]) < 0.05, "what is as expected has no hue"
    assert np.ptp(middle[0, :3]) > 0.5
    assert np.ptp(middle[2, :3]) > 0.5
    # Once shown, they stay so.
    z_map.visible = True
    judged(qtbot, viewer, raw, model, owner, repeats=2)
    assert [one.name for one in viewer.layers] == ["raw", "raw z-map", "raw spread"]
    assert z_map.visible


def test_the_result_that_is_shown_is_judged_and_keeps_its_verdict(qtbot, viewer, raw, model, owner):
    made = Made(model, read_as(raw))
    layers = at_once(show_result(viewer, raw, made, model.predict(raw.data, device="cpu")))
    layers[1].data = 0.5 * layers[1].data  # half of the light is lost
    judged(qtbot, viewer, raw, model, owner, repeats=0, layers=False)
    found = ViewerState.of(viewer).judged(raw).verdict
    assert found["flux"].passed is False
    for layer in layers:
        assert layer.metadata["verdict"] == found.to_dict()
    assert "raw z-map" not in viewer.layers


def test_a_result_of_another_model_or_reading_is_not_taken(viewer, raw, model, sample):
    made = Made(model, read_as(raw))
    assert shown_result(viewer, raw, made) is None
    at_once(show_result(viewer, raw, made, model.predict(raw.data, device="cpu")))
    assert shown_result(viewer, raw, made) is not None
    other = viewer.add_image(sample.raw, name="other")
    assert shown_result(viewer, other, made) is None
    assert shown_result(viewer, raw, Made(model, read_as(other))) is None


def test_of_a_series_the_shown_time_point_is_judged(qtbot, viewer, sample, model, owner):
    series = viewer.add_image(
        np.stack([sample.second_exposure, sample.raw, sample.raw]),
        name="series",
        scale=(2, PIXEL, PIXEL),
        units=("s", "um", "um"),
        axis_labels=("t", "y", "x"),
    )
    viewer.dims.set_current_step(0, 1)
    judged(qtbot, viewer, series, model, owner, repeats=0)
    found = ViewerState.of(viewer).judged(series)
    assert found.frame == 1
    z_map = viewer.layers["series z-map"]
    np.testing.assert_array_equal(z_map.data[0], found.verdict.maps["z_map"])
    assert z_map.data.shape == (1, 64, 72)
    assert z_map.translate[0] == 2, "it lies at the time point that it belongs to"


def test_a_second_exposure_serves_the_resolution(qtbot, viewer, raw, sample, model, owner):
    second = viewer.add_image(
        sample.second_exposure, name="second", scale=(PIXEL, PIXEL), units=("um", "um")
    )
    judged(qtbot, viewer, raw, model, owner, repeats=0, second=second)
    assert "two exposures" in ViewerState.of(viewer).judged(raw).verdict["resolution"].sentence


def test_cancelling_adds_nothing(qtbot, viewer, raw, model, owner):
    told = []
    job = start_judging(
        viewer,
        raw,
        model,
        owner=owner,
        asked=Asked(repeats=100, device="cpu"),
        on_progress=lambda share, what: told.append(share),
    )
    qtbot.waitUntil(lambda: bool(told), timeout=LONG)
    job.stop()
    qtbot.waitUntil(lambda: not job.running, timeout=LONG)
    assert told[-1] < 1
    assert ViewerState.of(viewer).judged(raw) is None
    assert list(viewer.layers) == [raw]


def test_progress_of_several_predictions_adds_up():
    from napari_zsdeconvnet.inference.predict import TileProgress

    counted = quality_worker.Counted(2)
    shares = []
    for done, total in ((1, 2), (2, 2), (1, 4), (4, 4), (1, 1)):
        counted.add(TileProgress(done, total))
        shares.append(counted.share)
    assert shares == [0.25, 0.5, 0.625, 1, 1]


@pytest.fixture(scope="module")
def sim_sample():
    return simulate_sim("filaments", shape=(64, 64), photons=200, seed=2)


@pytest.fixture(scope="module")
def sim_model(sim_sample):
    reconstruction = Reconstruction(sim_sample.patterns)
    run = zs.train(
        sim_sample.raw,
        reconstruction=reconstruction,
        noise=sim_sample.noise,
        steps=1,
        preview_every=0,
        device="cpu",
    )
    list(run)
    return run.model


class TestRawSIM:
    def test_is_judged_by_its_frames_with_maps_over_them(
        self, qtbot, viewer, sim_sample, sim_model, owner
    ):
        size = sim_sample.pixel_size
        raw = viewer.add_image(sim_sample.raw, name="sim", scale=(1, size, size))
        judged(qtbot, viewer, raw, sim_model, owner, repeats=2)
        found = ViewerState.of(viewer).judged(raw)
        expected = judge(sim_model, sim_sample.raw, device="cpu", repeats=2)
        assert found.verdict.to_dict() == expected.to_dict()
        assert all(measure.passed is not None for measure in found.verdict.measures)
        for name in ("sim z-map", "sim spread"):
            assert viewer.layers[name].data.shape == (128, 128)
            np.testing.assert_allclose(borders(viewer.layers[name]), borders(raw))

    def test_of_a_series_the_image_that_is_shown_is(
        self, qtbot, viewer, sim_sample, sim_model, owner
    ):
        series = np.concatenate([sim_sample.raw, sim_sample.raw + 3])
        model = replace(sim_model, sources=())
        raw = viewer.add_image(series, name="sim")
        viewer.dims.set_current_step(0, 12)
        judged(qtbot, viewer, raw, model, owner, repeats=0)
        found = ViewerState.of(viewer).judged(raw)
        assert found.frame == 1
        expected = judge(model, sim_sample.raw + 3, device="cpu", repeats=0)
        assert found.verdict.to_dict() == expected.to_dict()
        z_map = viewer.layers["sim z-map"]
        assert z_map.data.shape == (1, 128, 128)
        assert z_map.data_to_world((0, 0, 0))[0] == pytest.approx(9 + 4, abs=4)

    def test_frames_whose_patterns_are_not_known_are_refused(
        self, qtbot, viewer, sim_sample, sim_model, owner
    ):
        other = viewer.add_image(sim_sample.second_exposure, name="other")
        failures = []
        job = start_judging(viewer, other, sim_model, owner=owner, on_failure=failures.append)
        qtbot.waitUntil(lambda: not job.running, timeout=LONG)
        assert "deconvolve this one first" in str(failures[0])
