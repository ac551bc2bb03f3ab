"""What stands in the window after a failure is never taken for what was asked for."""

from __future__ import annotations

import pytest

from napari_zsdeconvnet._qt.layers.state import Judged, ViewerState
from napari_zsdeconvnet._qt.widgets import quality_worker
from napari_zsdeconvnet._qt.widgets.noise_widget import NoiseWidget
from napari_zsdeconvnet._qt.widgets.psf_widget import PSFWidget
from napari_zsdeconvnet._qt.widgets.quality_widget import QualityWidget
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.quality.verdict import Verdict
from napari_zsdeconvnet.utils.errors import InputError, Remedy

LONG = 300_000  # milliseconds


def fail(*args, **kwargs):
    raise InputError("voxel-size-wrong", "The size is wrong", Remedy("voxel-size"))


@pytest.fixture
def dock(viewer):
    def add(kind):
        widget = kind(viewer)
        viewer.window.add_dock_widget(widget, name=kind.title)
        return widget

    return add


def test_psf_that_could_not_be_made_is_said_beside_the_one_of_before(
    qtbot, viewer, dock, raw, model, monkeypatch
):
    ViewerState.of(viewer).psf = model.psf
    widget = dock(PSFWidget)
    monkeypatch.setattr(widget.page, "maker", lambda grid: fail)
    widget.make_button.click()
    qtbot.waitUntil(lambda: not widget.busy, timeout=LONG)
    first, second, *_ = widget.description.text().splitlines()
    assert first == "⚠ The size is wrong: type the voxel size."
    assert second == "The PSF below is the one of before:"
    monkeypatch.setattr(widget.page, "maker", lambda grid: lambda: model.psf)
    widget.make_button.click()
    qtbot.waitUntil(lambda: not widget.busy, timeout=LONG)
    assert widget.description.text().startswith("From: ")


def test_calibration_that_failed_is_said_beside_the_numbers_of_before(
    qtbot, viewer, dock, raw, monkeypatch
):
    ViewerState.of(viewer).noise = NoiseModel(offset=100, gain=1.0, read_variance=4.0)
    widget = dock(NoiseWidget)
    monkeypatch.setattr(NoiseModel, "from_image", fail)
    widget.sources.buttons["image"].click()
    qtbot.waitUntil(lambda: not widget.busy, timeout=LONG)
    first = widget.summary.text().splitlines()[0]
    assert first == "⚠ The size is wrong: type the voxel size. The numbers are those of before."
    found = NoiseModel(offset=100, gain=1.2, read_variance=4.0)
    monkeypatch.setattr(NoiseModel, "from_image", lambda *_, **__: found)
    widget.sources.buttons["image"].click()
    qtbot.waitUntil(lambda: not widget.busy, timeout=LONG)
    assert "voxel" not in widget.summary.text()


def test_verdict_of_before_is_not_shown_for_one_that_failed(
    qtbot, viewer, dock, raw, model, monkeypatch
):
    state = ViewerState.of(viewer)
    state.model = model
    widget = dock(QualityWidget)
    before = Judged(model, Verdict(measures=(), spectrum=None, maps={}, notes=()))
    monkeypatch.setattr(widget.report, "show_verdict", lambda *_: widget.report.show())
    state.set_judged(raw, before)
    qtbot.waitUntil(widget.report.isVisible, timeout=LONG)

    def failing(*args):
        yield from ()
        fail()

    monkeypatch.setattr(quality_worker._Judging, "work", failing)
    widget.start_button.click()
    assert not widget.report.isVisible()
    qtbot.waitUntil(lambda: not widget.running, timeout=LONG)
    assert not widget.report.isVisible()
    assert widget.status_label.text() == "⚠ The size is wrong: type the voxel size."
