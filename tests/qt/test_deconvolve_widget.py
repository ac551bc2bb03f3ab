"""Load a model, apply it to layers, and be told what does not fit."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from placed import borders

from napari_zsdeconvnet._qt.layers.layers import layer_image
from napari_zsdeconvnet._qt.layers.state import ViewerState
from napari_zsdeconvnet._qt.widgets.deconvolve_widget import DeconvolveWidget
from napari_zsdeconvnet.io.image_files import read_image
from napari_zsdeconvnet.io.image_writing import write_image
from napari_zsdeconvnet.model.presets import PRESETS
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.training.trainer import train
from napari_zsdeconvnet.workflow.record import RunRecord

PIXEL = 0.0626
LONG = 120_000  # milliseconds; shared machines can be slow


@pytest.fixture
def widget(viewer, raw):
    widget = DeconvolveWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Apply model")
    return widget


def run_to_end(qtbot, widget, layer=None):
    widget.start(layer)
    assert widget.running
    qtbot.waitUntil(lambda: not widget.running, timeout=LONG)


def test_results_lie_exactly_on_the_source(qtbot, viewer, widget, raw, model):
    ViewerState.of(viewer).model = model
    run_to_end(qtbot, widget)
    expected = model.predict(raw.data, device="cpu")
    for what, pixels in (("denoised", expected.denoised), ("deconvolved", expected.deconvolved)):
        layer = viewer.layers[f"raw {what}"]
        np.testing.assert_allclose(layer.data, pixels, atol=1e-3)
        np.testing.assert_allclose(borders(layer), borders(raw))
        assert layer.units == raw.units
        assert layer.colormap.name == raw.colormap.name
        low, high = layer.contrast_limits
        assert np.clip((layer.data - low) / (high - low), 0, 1).std() > 0.05
    np.testing.assert_allclose(viewer.layers["raw deconvolved"].scale, (PIXEL / 2, PIXEL / 2))


def test_results_are_updated_in_place(qtbot, viewer, widget, model):
    ViewerState.of(viewer).model = model
    run_to_end(qtbot, widget)
    run_to_end(qtbot, widget)
    assert [layer.name for layer in viewer.layers] == ["raw", "raw denoised", "raw deconvolved"]


def test_a_time_series_keeps_its_frames(qtbot, viewer, widget, sample, model):
    ViewerState.of(viewer).model = model
    series = viewer.add_image(
        np.stack([sample.raw] * 3),
        name="series",
        scale=(2, PIXEL, PIXEL),
        units=("s", "um", "um"),
        axis_labels=("t", "y", "x"),
    )
    run_to_end(qtbot, widget, series)
    layer = viewer.layers["series deconvolved"]
    assert layer.data.shape == (3, 128, 144)
    np.testing.assert_allclose(layer.scale, (2, PIXEL / 2, PIXEL / 2))
    np.testing.assert_allclose(borders(layer), borders(series))


def test_averaging_changes_the_result(qtbot, viewer, widget, model):
    ViewerState.of(viewer).model = model
    run_to_end(qtbot, widget)
    once = viewer.layers["raw denoised"].data.copy()
    widget.repeats_box.value = 2
    run_to_end(qtbot, widget)
    assert np.abs(viewer.layers["raw denoised"].data - once).max() > 1e-3


def test_a_saved_model_is_loaded_and_described(qtbot, viewer, widget, model, tmp_path):
    path = tmp_path / "model.safetensors"
    model.save(path)
    assert not widget.deconvolve_button.isEnabled()
    assert "train one or load" in widget.deconvolve_button.toolTip()
    widget.load_model(path)
    qtbot.waitUntil(lambda: ViewerState.of(viewer).model is not None, timeout=LONG)
    assert widget.deconvolve_button.isEnabled()
    for word in ("fast", "62.6", "FWHM", "offset"):
        assert word in widget.model_label.text()


def test_a_file_that_is_no_model_is_refused_in_one_sentence(
    qtbot, viewer, widget, model, tmp_path, notifications
):
    path = tmp_path / "model.safetensors"
    model.save(path)
    whole = path.read_bytes()
    for contents in (whole[: len(whole) // 2], b"not a model"):
        notifications.clear()
        path.write_bytes(contents)
        widget.load_model(path)
        qtbot.waitUntil(lambda: bool(notifications), timeout=LONG)
        severity, message = notifications[-1]
        assert severity == "error"
        assert path.name in message
    assert ViewerState.of(viewer).model is None


def test_another_pixel_size_is_said_before_and_refused_after(
    qtbot, viewer, widget, raw, model, notifications
):
    ViewerState.of(viewer).model = model
    assert not widget.mismatch_label.isVisible()
    other = viewer.add_image(raw.data, name="other", scale=(0.1, 0.1), units=("um", "um"))
    widget.image.layer = other
    assert "100 nm" in widget.mismatch_label.text()
    assert "62.6 nm" in widget.mismatch_label.text()
    run_to_end(qtbot, widget)
    assert "62.6" in notifications[-1][1]
    assert "other denoised" not in viewer.layers


def test_a_layer_without_pixel_size_is_pointed_out(viewer, widget, raw, model):
    ViewerState.of(viewer).model = model
    widget.image.layer = viewer.add_image(raw.data, name="bare")
    assert "no pixel size" in widget.mismatch_label.text()


def test_cancel_adds_nothing(qtbot, viewer, widget, sample, model):
    ViewerState.of(viewer).model = model
    long = viewer.add_image(
        np.stack([sample.raw] * 400),
        name="long",
        scale=(1, PIXEL, PIXEL),
        units=("s", "um", "um"),
        axis_labels=("t", "y", "x"),
    )
    widget.start(long)
    qtbot.waitUntil(lambda: widget.progress_bar.value() > 0, timeout=LONG)
    widget.cancel_button.click()
    qtbot.waitUntil(lambda: not widget.running, timeout=LONG)
    assert widget.progress_bar.value() < 400
    assert "long denoised" not in viewer.layers
    assert widget.status_label.text() == "Cancelled; nothing changed."
    assert widget.deconvolve_button.isEnabled()


def test_a_result_keeps_its_record_and_it_is_saved(
    qtbot, viewer, widget, raw, model, tmp_path, notifications
):
    ViewerState.of(viewer).model = model
    assert not widget.record_button.isEnabled()
    widget.repeats_box.value = 2
    run_to_end(qtbot, widget)
    assert widget.record_button.isEnabled()
    path = tmp_path / "raw deconvolved.json"
    widget.save_record(path)
    qtbot.waitUntil(path.exists, timeout=LONG)
    qtbot.waitUntil(lambda: any("Record saved" in said for _, said in notifications), timeout=LONG)
    record = RunRecord.read(path)
    assert record.prediction is not None
    assert record.prediction.source.name == "raw"
    assert record.prediction.repeats == 2
    names = {what: output.file for what, output in record.prediction.outputs.items()}
    assert names == {"denoised": "raw denoised", "deconvolved": "raw deconvolved"}
    kept = viewer.layers["raw deconvolved"].metadata["zsdeconvnet"]
    assert json.loads(json.dumps(kept)) == json.loads(path.read_text("utf-8"))


def test_a_layer_from_a_file_is_found_again_and_repeated(
    qtbot, viewer, widget, sample, tmp_path, run
):
    file = tmp_path / "cell.tif"
    write_image(file, sample.raw, axes="YX", voxel_size=(PIXEL, PIXEL))
    (layer,) = viewer.open(str(file), plugin="napari")
    layer.scale, layer.units = (PIXEL, PIXEL), ("um", "um")
    image = layer_image(layer)
    assert image.origin is not None
    training = train(
        image,
        PSF.simulate(na=1.3, wavelength=0.525, pixel_size=PIXEL / 2, size=33),
        NoiseModel(offset=100, gain=1.0, read_variance=4.0),
        preset=replace(PRESETS["fast"], patch=48, batch=1),
        steps=2,
        device="cpu",
        preview_every=1,
    )
    for _ in training:
        pass
    ViewerState.of(viewer).model = training.model
    widget.device.box.value = "cpu"
    run_to_end(qtbot, widget, layer)
    widget.save_record(tmp_path / "r.json")
    qtbot.waitUntil((tmp_path / "r.json").exists, timeout=LONG)
    answer = run("repeat", tmp_path / "r.json", "-o", tmp_path / "again", "--json")
    assert answer.code == 0, answer.err
    assert answer.json["same_to_the_bit"] == {
        "model": True,
        "denoised": True,
        "deconvolved": True,
    }
    again = read_image(tmp_path / "again" / "cell deconvolved.tif").data
    np.testing.assert_array_equal(again, viewer.layers["cell deconvolved"].data)


def test_numbers_that_are_not_given_are_named_and_details_of_the_model_are_behind_a_link(viewer):
    widget = DeconvolveWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Apply model")
    assert widget.repeats_box.native.text() == "off"
    assert widget.tile_box.native.text() == "automatic"
    label = widget.model_label
    label.say("Model:", "fast <b>model</b>.", "seed 1\ndata 0")
    assert "seed" not in label.label.text()
    assert "&lt;b&gt;" in label.label.text(), "text from files is no HTML"
    label.label.linkActivated.emit("details")
    assert "seed 1<br>data 0" in label.label.text()
    label.label.linkActivated.emit("details")
    assert "seed" not in label.label.text()
