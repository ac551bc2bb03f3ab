"""Train, watch, stop, resume and save in a real window, with the real engine."""

from __future__ import annotations

import os
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from napari.qt.threading import WorkerBase
from turns import at_once

from napari_zsdeconvnet._qt.layers.layer_axes import read_as
from napari_zsdeconvnet._qt.layers.previews import DECONVOLVED, DENOISED, PreviewLayers
from napari_zsdeconvnet._qt.layers.state import ViewerState
from napari_zsdeconvnet._qt.widgets.train_widget import TrainWidget
from napari_zsdeconvnet._qt.workers import checkpoints
from napari_zsdeconvnet.model import presets
from napari_zsdeconvnet.model.facts import ModelFacts
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.simulation.sample import simulate
from napari_zsdeconvnet.training import autosave, trainer
from napari_zsdeconvnet.utils.errors import InputError
from napari_zsdeconvnet.workflow.record import RunRecord

PIXEL = 0.0626
LONG = 120_000  # milliseconds; shared machines can be slow
TERMS = {"total", "denoising", "deconvolution", "hessian"}


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch):
    small = replace(presets.PRESETS["fast"], patch=48, batch=1, steps=6)
    monkeypatch.setitem(presets.PRESETS, "fast", small)


@pytest.fixture(scope="module")
def sample():
    return simulate("filaments", shape=(64, 72), pixel_size=PIXEL)


@pytest.fixture
def train(viewer, sample):
    """A Train widget that knows noise and PSF, on a viewer that shows a raw image."""
    viewer.add_image(
        sample.raw, name="raw", scale=(PIXEL, PIXEL), translate=(5, 7), units=("um", "um")
    )
    state = ViewerState.of(viewer)
    state.noise = NoiseModel(offset=100, gain=1.0, read_variance=4.0)
    state.psf = PSF.simulate(na=1.3, wavelength=0.525, pixel_size=PIXEL / 2, size=33)
    widget = TrainWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Train")
    widget.interval_box.value = 2
    return widget


def run_to_end(qtbot, widget):
    widget.start()
    assert widget.running
    qtbot.waitUntil(lambda: not widget.running, timeout=LONG)


def world_box(layer):
    """The corners of what the layer covers, pixel borders included."""
    last = np.array(layer.data.shape) - 0.5
    return np.array([layer.data_to_world((-0.5,) * layer.ndim), layer.data_to_world(last)])


def test_training_draws_curves_and_previews_and_keeps_the_model(qtbot, viewer, train):
    run_to_end(qtbot, train)
    terms = train.curves.terms
    assert set(terms) == TERMS
    for steps, values in terms.values():
        assert steps == [1, 2, 3, 4, 5, 6]
        assert all(value > 0 for value in values)
    model = ViewerState.of(viewer).model
    assert model.steps_trained == 6
    assert model.voxel_size == (PIXEL, PIXEL)
    assert train.progress_bar.value() == train.progress_bar.maximum() == 6
    assert "CPU" in train.status_label.text()
    assert not train.stop_button.isEnabled()
    assert train.train_button.isEnabled()
    assert train.save_button.isEnabled()


def test_previews_lie_exactly_on_the_source_and_can_be_seen(qtbot, viewer, train):
    run_to_end(qtbot, train)
    raw = viewer.layers["raw"]
    for name, upsampling in ((DENOISED, 1), (DECONVOLVED, 2)):
        layer = viewer.layers[name]
        assert layer.data.shape == tuple(upsampling * n for n in raw.data.shape)
        np.testing.assert_allclose(world_box(layer), world_box(raw))
        assert layer.units == raw.units
        low, high = layer.contrast_limits
        visible = np.clip((layer.data - low) / (high - low), 0, 1)
        assert visible.std() > 0.05
        assert visible.max() > 0.5  # white is that of the noisier source, or the layer's own


def test_layers_of_a_run_that_fails_at_once_are_hidden_and_serve_the_next(
    qtbot, viewer, train, monkeypatch, notifications
):
    def refuse(*_, **__):
        raise InputError("images-unfit", "The images are not to be trained on.")

    monkeypatch.setattr(trainer, "train", refuse)
    train.start()
    qtbot.waitUntil(lambda: not train.running, timeout=LONG)
    assert notifications
    layers = list(viewer.layers)
    assert [layer.visible for layer in layers] == [True, False, False]
    monkeypatch.undo()
    run_to_end(qtbot, train)
    assert list(viewer.layers) == layers
    assert [layer.visible for layer in layers] == [True, True, True]


def test_a_run_that_ends_by_itself_says_so_and_may_go_on(
    qtbot, viewer, train, monkeypatch, notifications
):
    ends = replace(presets.PRESETS["fast"], steps=45, patience=20, least_gain=0.9)
    monkeypatch.setitem(presets.PRESETS, "fast", ends)
    train.steps_box.value = 45
    run_to_end(qtbot, train)
    assert "Done after 40 steps" in train.status_label.text()
    assert "gained nothing more" in train.status_label.text()
    said = [severity for severity, words in notifications if "Ended by itself" in words]
    assert said == ["info"]  # nothing is wrong
    assert train.resume_button.text() == "Resume"
    train.resume_button.click()
    qtbot.waitUntil(lambda: train._last.step == 45 and not train.running, timeout=LONG)
    assert ViewerState.of(viewer).model.steps_trained == 45


def test_stop_keeps_the_model_and_resume_goes_on_with_the_same_run(qtbot, viewer, train):
    train.steps_box.value = 5000
    train.start()
    qtbot.waitUntil(lambda: train._last is not None and train._last.step >= 2, timeout=LONG)
    assert train.stop_button.isEnabled()
    assert not train.train_button.isEnabled()
    train.stop_button.click()
    qtbot.waitUntil(lambda: not train.running, timeout=LONG)
    stopped = train._last.step
    assert ViewerState.of(viewer).model.steps_trained <= stopped < 5000
    assert "Stopped" in train.status_label.text()

    assert train.resume_button.text() == "Resume"
    train.resume_button.click()
    qtbot.waitUntil(lambda: train._last.step > stopped, timeout=LONG)
    train.stop()
    qtbot.waitUntil(lambda: not train.running, timeout=LONG)
    steps, _ = train.curves.terms["total"]
    assert steps == list(range(1, train._last.step + 1))


@pytest.fixture
def broken_off(qtbot, viewer, train, tmp_path, monkeypatch):
    """What a crash has left of a training, and a Train widget that is opened later on."""
    monkeypatch.setattr(checkpoints, "folder", lambda: tmp_path / "trainings")
    monkeypatch.setattr(autosave, "EVERY", 0.05)
    train.steps_box.value = 5000
    train.start()
    qtbot.waitUntil(lambda: any(tmp_path.glob("trainings/*.checkpoint.safetensors")), timeout=LONG)
    (path,) = tmp_path.glob("trainings/*.checkpoint.safetensors")
    kept = path.read_bytes()
    train.stop()
    qtbot.waitUntil(lambda: not train.running, timeout=LONG)
    assert not path.exists()  # the model is in the window

    path.write_bytes(kept)  # as if napari had been killed, a while ago
    assert checkpoints.all_broken_off() == []  # it could be another window's
    os.utime(path, (1e9, 1e9))
    assert checkpoints.all_broken_off() == [path]
    return path


def opened_again(qtbot, viewer):
    """A Train widget, once it has looked for what broke off."""
    widget = TrainWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Train again")
    qtbot.waitUntil(lambda: widget.broken.isVisible(), timeout=LONG)
    return widget


def test_a_training_that_broke_off_is_offered_and_goes_on(qtbot, viewer, broken_off):
    step = ModelFacts.read(broken_off).steps_trained
    viewer.add_image(np.zeros((64, 64)), name="another")
    widget = opened_again(qtbot, viewer)
    assert widget.broken.label.text() == f"A training of raw stopped after step {step} of 5000."
    assert widget.image.layer.name == "another"
    widget.broken.continue_button.click()
    assert widget.image.layer.name == "raw"
    assert not widget.broken.isEnabled()
    qtbot.waitUntil(lambda: widget._last is not None and widget._last.step > step, timeout=LONG)
    assert not widget.broken.isVisible()
    assert widget.curves.terms["total"][0][0] == 1
    widget.stop()
    qtbot.waitUntil(lambda: not widget.running, timeout=LONG)


def test_a_training_that_broke_off_is_given_up_for_one_that_begins_anew(qtbot, viewer, broken_off):
    widget = opened_again(qtbot, viewer)
    noise, ViewerState.of(viewer).noise = ViewerState.of(viewer).noise, None
    widget.broken.anew_button.click()
    assert broken_off.exists()  # nothing has begun, as the noise is not known
    assert widget.broken.isVisible()
    ViewerState.of(viewer).noise = noise
    widget.steps_box.value = 3
    widget.broken.anew_button.click()
    assert not widget.broken.isVisible()
    assert not broken_off.exists()
    qtbot.waitUntil(lambda: not widget.running, timeout=LONG)
    assert widget.curves.terms["total"][0] == [1, 2, 3]


def test_other_images_than_those_of_a_training_that_broke_off_are_refused(
    qtbot, viewer, broken_off, notifications
):
    viewer.layers["raw"].name = "renamed"
    viewer.add_image(np.full((64, 72), 7, np.uint16), name="raw")
    widget = opened_again(qtbot, viewer)
    widget.broken.continue_button.click()
    qtbot.waitUntil(lambda: not widget.running, timeout=LONG)
    assert "was trained on other images" in notifications[-1][1]
    assert widget.broken.isVisible()
    assert widget.broken.isEnabled()
    assert broken_off.exists()


def test_resume_begins_in_the_folder_of_what_broke_off(qtbot, viewer, broken_off, monkeypatch):
    offered = []

    def chosen(parent, title, place, filters):
        offered.append(place)
        return "", filters

    monkeypatch.setattr("qtpy.QtWidgets.QFileDialog.getOpenFileName", chosen)
    opened_again(qtbot, viewer).resume_button.click()
    assert offered == [str(broken_off)]


def test_a_training_that_was_finished_gives_its_model_or_does_more_steps(
    qtbot, viewer, train, tmp_path, notifications
):
    run_to_end(qtbot, train)
    path = tmp_path / "model.safetensors"
    train.save_model(path)
    qtbot.waitUntil(lambda: any(path.name in message for _, message in notifications), timeout=LONG)
    state = ViewerState.of(viewer)
    state.model = None
    train.steps_box.value = 6
    train.resume(path)
    qtbot.waitUntil(lambda: not train.running, timeout=LONG)
    assert state.model.steps_trained == 6
    assert train.status_label.text() == (
        "That training ended after 6 steps; its model is ready for Deconvolve. To train it "
        "further, set Steps (in Settings) above 6 and resume it again."
    )
    assert not [words for severity, words in notifications if severity == "error"]
    train.steps_box.value = 8
    train.resume(path)
    qtbot.waitUntil(lambda: not train.running, timeout=LONG)
    assert train.curves.terms["total"][0] == list(range(1, 9))
    assert state.model.steps_trained == 8


def test_a_saved_training_goes_on_in_another_window(qtbot, viewer, train, tmp_path, notifications):
    train.steps_box.value = 12
    train.start()
    qtbot.waitUntil(lambda: train._last is not None and train._last.step >= 3, timeout=LONG)
    train.stop()
    qtbot.waitUntil(lambda: not train.running, timeout=LONG)
    stopped = train._last.step
    path = tmp_path / "model.safetensors"
    train.save_model(path)
    qtbot.waitUntil(lambda: any(path.name in message for _, message in notifications), timeout=LONG)

    state = ViewerState.of(viewer)
    state.noise = state.psf = None  # the file brings its own
    other = TrainWidget(viewer)
    viewer.window.add_dock_widget(other, name="Train again")
    other.resume(path)
    qtbot.waitUntil(lambda: not other.running, timeout=LONG)
    assert other._last.step == other._last.steps == 12
    steps, _ = other.curves.terms["total"]
    assert steps == list(range(1, 13))
    assert stopped < 12


def test_what_is_missing_is_said(qtbot, viewer, train, notifications):
    assert not train.known.noise_button.isVisible()
    ViewerState.of(viewer).noise = None
    assert train.known.noise_button.isVisible()
    assert not train.train_button.isEnabled()
    assert "calibrate" in train.train_button.toolTip()
    train.start()
    assert not train.running
    assert "calibrate" in notifications[-1][1]


def test_a_loss_that_is_not_finite_is_told_and_the_model_kept(
    qtbot, viewer, train, notifications, monkeypatch
):
    from napari_zsdeconvnet.training import trainer

    good_step = trainer.TrainingRun.__next__

    def bad_step(run):
        if run.step == 3:
            raise trainer.NonFiniteLossError("The loss is not finite at step 4: check the image.")
        return good_step(run)

    monkeypatch.setattr(trainer.TrainingRun, "__next__", bad_step)
    run_to_end(qtbot, train)
    assert any(message.startswith("The loss is not finite") for _, message in notifications)
    assert ViewerState.of(viewer).model.steps_trained == 3
    assert "not finite" in train.status_label.text()


def test_an_image_that_cannot_be_used_is_refused_in_one_sentence(
    qtbot, viewer, train, notifications, sample
):
    holes = sample.raw.astype(np.float32)
    holes[20:40, 20:40] = np.nan
    viewer.add_image(holes, name="holes")
    train.image.layer = viewer.layers["holes"]
    run_to_end(qtbot, train)
    severity, message = notifications[-1]
    assert severity == "error"
    assert "holes" in message
    assert ViewerState.of(viewer).model is None


def test_an_rgb_layer_is_refused_with_a_hint(qtbot, viewer, train, notifications):
    viewer.add_image(np.zeros((64, 64, 3), np.uint8), rgb=True, name="picture")
    train.image.layer = viewer.layers["picture"]
    train.start()
    assert not train.running
    assert "Split RGB" in notifications[-1][1]


def test_one_channel_of_a_time_series_is_trained_on(qtbot, viewer, train, sample):
    series = np.stack([np.stack([sample.raw, sample.second_exposure])] * 2, axis=1)
    viewer.add_image(series, name="series", axis_labels=("t", "c", "y", "x"))
    train.image.layer = viewer.layers["series"]
    assert train.image.channel_box.visible
    train.image.channel_box.value = 1
    run_to_end(qtbot, train)
    assert ViewerState.of(viewer).model.steps_trained == 6
    assert viewer.layers[DENOISED].ndim == 2


def test_several_images_are_trained_on_together(qtbot, viewer, train, sample):
    viewer.add_image(
        sample.second_exposure, name="second", scale=(PIXEL, PIXEL), units=("um", "um")
    )
    first, second = viewer.layers["raw"], viewer.layers["second"]
    assert train.image.layer is first
    assert list(train.more_box.choices) == [second]
    run_to_end(qtbot, train)
    alone = ViewerState.of(viewer).model.data_hash
    train.more_box.value = [second]
    run_to_end(qtbot, train)
    assert ViewerState.of(viewer).model.data_hash != alone


def test_layers_come_and_go_in_the_choice(viewer, train):
    added = viewer.add_image(np.zeros((64, 64)), name="later")
    assert added in train.image.layer_box.choices
    viewer.layers.remove(added)
    assert added not in train.image.layer_box.choices


def test_closing_the_viewer_ends_the_training(qtbot, viewer, train):
    train.steps_box.value = 5000
    train.start()
    qtbot.waitUntil(lambda: train._last is not None, timeout=LONG)
    run = train._run
    viewer.close()
    # Raises if a thread is left after this time; an exception in a slot fails the test.
    WorkerBase.await_workers(20_000)
    done = run.step
    qtbot.wait(300)
    assert run.step == done < 5000


# -- the preview layers by themselves


@pytest.fixture
def previews(viewer):
    source = viewer.add_image(np.zeros((32, 32)), name="source")
    layers = PreviewLayers(viewer)
    layers.begin([(source, read_as(source))])

    def show(scale, origin=(0, 0)):
        ramp = np.linspace(0, scale, 16 * 16, dtype=np.float32).reshape(16, 16)
        fine = ramp.repeat(2, axis=0).repeat(2, axis=1)
        preview = SimpleNamespace(denoised=ramp, deconvolved=fine, origin=origin, image=0, frame=0)
        at_once(layers.show(preview))
        return viewer.layers[DENOISED]

    return show


def test_a_part_of_the_image_is_shown_where_it_was_cut(viewer, previews):
    layer = previews(1.0, origin=(8, 4))
    np.testing.assert_allclose(world_box(layer), [[7.5, 3.5], [23.5, 19.5]])
    np.testing.assert_allclose(world_box(viewer.layers[DECONVOLVED]), [[7.5, 3.5], [23.5, 19.5]])


def test_an_empty_preview_does_not_fix_the_contrast(previews):
    previews(0.0)
    layer = previews(50.0)
    assert layer.contrast_limits[1] == pytest.approx(50, rel=0.02)


def test_contrast_stays_while_it_is_near_and_moves_when_it_is_not(previews):
    layer = previews(50.0)
    before = tuple(layer.contrast_limits)
    previews(52.0)
    assert tuple(layer.contrast_limits) == before
    previews(100.0)
    assert layer.contrast_limits[1] == pytest.approx(100, rel=0.02)


def test_contrast_that_the_user_has_set_is_left_alone(previews):
    layer = previews(50.0)
    layer.contrast_limits = (10, 20)
    previews(100.0)
    assert tuple(layer.contrast_limits) == (10, 20)


def test_a_training_begins_with_the_model_at_hand(qtbot, viewer, train):
    train.begin_box.value = "model"
    assert not train.train_button.isEnabled()
    assert "no model to begin with" in train.train_button.toolTip()
    train.begin_box.value = None
    run_to_end(qtbot, train)
    first = ViewerState.of(viewer).model

    train.begin_box.value = "model"
    assert train.train_button.isEnabled()
    run_to_end(qtbot, train)
    second = ViewerState.of(viewer).model
    assert first.beginning is None
    assert second.beginning.name == "a model of raw"
    assert second.beginning.weights_sha256 == RunRecord.of(first).weights_sha256


def test_trains_with_a_background_where_it_is_asked_for(qtbot, viewer, train):
    assert train.out_of_focus_box.enabled
    train.out_of_focus_box.value = True
    run_to_end(qtbot, train)
    assert ViewerState.of(viewer).model.out_of_focus
