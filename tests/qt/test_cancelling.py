"""Work that is cancelled while it prepares ends at once, and says so."""

from __future__ import annotations

import time

import pytest

from napari_zsdeconvnet._qt.forms.step_list import ENDED
from napari_zsdeconvnet._qt.layers.state import ViewerState
from napari_zsdeconvnet._qt.widgets.noise_widget import NoiseWidget
from napari_zsdeconvnet._qt.widgets.one_click_widget import OneClickWidget
from napari_zsdeconvnet._qt.widgets.psf_widget import PSFWidget
from napari_zsdeconvnet._qt.widgets.train_widget import TrainWidget
from napari_zsdeconvnet._qt.workers.durations import time_left
from napari_zsdeconvnet.noise import usable_pixels
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.training import data, trainer
from napari_zsdeconvnet.training.trainer import Progress
from napari_zsdeconvnet.utils.phases import rounds

LONG = 300_000  # milliseconds
AT_ONCE = 3_000


@pytest.fixture
def endless(monkeypatch):
    """Let the search for bad pixels, with which all preparing begins, take a minute and more."""

    def slow(*args, **kwargs):
        for _ in rounds(range(600), "looking at 44 planes"):
            time.sleep(0.1)

    monkeypatch.setattr(usable_pixels, "usable_pixels", slow)
    monkeypatch.setattr(data, "usable_recordings", slow)
    monkeypatch.setattr(trainer, "usable_recordings", slow)


@pytest.fixture
def train(viewer, raw, sample, endless):
    state = ViewerState.of(viewer)
    state.noise = NoiseModel(offset=100, gain=1.0, read_variance=4.0)
    state.psf = PSF.simulate(na=1.3, wavelength=0.525, pixel_size=sample.pixel_size / 2, size=33)
    widget = TrainWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Train")
    return widget


def test_training_says_what_it_prepares_and_is_cancelled_at_once(qtbot, viewer, train):
    train.start()
    assert train.status_label.text() == "Preparing…"
    assert train.stop_button.text() == "Cancel"
    wanted = "Preparing: looking at 44 planes, about "
    qtbot.waitUntil(lambda: train.status_label.text().startswith(wanted), timeout=LONG)
    assert train.stop_button.isEnabled()
    train.stop_button.click()
    assert train.status_label.text() == "Cancelled; nothing changed."
    qtbot.waitUntil(lambda: not train.running, timeout=AT_ONCE)
    assert train.status_label.text() == "Cancelled; nothing changed."
    assert ViewerState.of(viewer).model is None
    assert train.train_button.isEnabled()
    assert train.progress_bar.maximum() == 1
    # What the previews were to be shown in is not left to be seen.
    assert [layer.name for layer in viewer.layers if layer.visible] == ["raw"]
    assert viewer.layers.selection.active.name == "raw"


def test_one_click_is_cancelled_at_once_while_it_prepares(qtbot, viewer, raw, endless):
    widget = OneClickWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Deconvolve…")
    widget.start(raw)
    qtbot.waitUntil(lambda: widget.asking, timeout=LONG)
    widget.form.boxes["na"].value = 1.3
    widget.form.boxes["wavelength"].value = 525
    widget.accept()
    wanted = "Preparing: looking at 44 planes, about "
    qtbot.waitUntil(lambda: widget.status_label.text().startswith(wanted), timeout=LONG)
    assert widget.cancel_button.text() == "Cancel"
    widget.cancel_button.click()
    assert widget.status_label.text() == "Cancelled; nothing changed."
    qtbot.waitUntil(lambda: not widget.running, timeout=AT_ONCE)
    assert widget.status_label.text() == "Cancelled; nothing changed."
    assert list(widget.steps.states.values()).count(ENDED) == 1
    assert viewer.layers.selection.active is raw
    assert widget.start_button.isEnabled()


def test_psf_that_takes_long_can_be_cancelled(qtbot, viewer, raw, monkeypatch):
    def slow(*args, **kwargs):
        for _ in rounds(range(600), "simulating"):
            time.sleep(0.1)

    widget = PSFWidget(viewer)
    viewer.window.add_dock_widget(widget, name="PSF")
    monkeypatch.setattr(widget.page, "maker", lambda grid: slow)
    widget.make_button.click()
    assert widget.make_button.text() == "Cancel"
    qtbot.wait(200)
    widget.make_button.click()
    assert widget.description.text().startswith("Cancelled; nothing changed.")
    qtbot.waitUntil(lambda: not widget.busy, timeout=AT_ONCE)
    assert widget.make_button.text() == widget.page.action
    assert widget.make_button.isEnabled()
    assert ViewerState.of(viewer).psf is None


def test_noise_calibration_says_what_it_does_and_is_cancelled_at_once(
    qtbot, viewer, raw, monkeypatch, notifications
):
    def slow(*args, **kwargs):
        for _ in rounds(range(600), "looking at 44 planes"):
            time.sleep(0.1)

    monkeypatch.setattr(NoiseModel, "from_image", slow)
    widget = NoiseWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Noise calibration")
    assert not widget.sources.cancel_button.isEnabled()
    widget.sources.buttons["image"].click()
    wanted = "Measuring: looking at 44 planes, about "
    qtbot.waitUntil(lambda: widget.sources.status.text().startswith(wanted), timeout=LONG)
    assert not widget.sources.buttons["dark"].isEnabled()
    widget.sources.cancel_button.click()
    assert widget.sources.status.text() == "Cancelled; nothing changed."
    qtbot.waitUntil(lambda: not widget.busy, timeout=AT_ONCE)
    assert widget.sources.status.text() == "Cancelled; nothing changed."
    assert widget.sources.buttons["image"].isEnabled()
    assert not widget.sources.cancel_button.isEnabled()
    assert ViewerState.of(viewer).noise is None
    assert notifications == []


@pytest.mark.parametrize(
    ("early", "words"),
    [
        (True, "At most 1 min 20 s left on cpu; it ends by itself once it gains nothing"),
        (False, "About 1 min 20 s left on cpu"),
    ],
)
def test_time_left_knows_that_a_training_may_end_early(early, words):
    progress = Progress(3, 40, {"total": 1.0}, 1e-4, 6.0, 80.0, "cpu")
    assert time_left(progress, ends_early=early) == words
