"""The window under real clicks and keys, which a value that is set does not stand for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from napari.layers import Layer
from napari.layers._layer_actions import _duplicate_layer
from real_events import AVAILABLE, MISSING, User

from napari_zsdeconvnet._qt.forms.choosers import image_layers
from napari_zsdeconvnet._qt.forms.step_list import DONE
from napari_zsdeconvnet._qt.layers.layers import add_or_update
from napari_zsdeconvnet._qt.layers.state import ViewerState
from napari_zsdeconvnet._qt.widgets.deconvolve_widget import DeconvolveWidget
from napari_zsdeconvnet._qt.widgets.one_click_widget import OneClickWidget
from napari_zsdeconvnet._qt.widgets.psf_widget import PSFWidget
from napari_zsdeconvnet.model import presets
from napari_zsdeconvnet.modes.image_2d import Image2D
from napari_zsdeconvnet.simulation.sample_data import filaments

pytestmark = pytest.mark.skipif(not AVAILABLE, reason=MISSING)

LONG = 300_000  # milliseconds; shared machines can be slow


@pytest.fixture
def user(qtbot):
    return User(qtbot)


@pytest.fixture
def one_click(qtbot, viewer, sample, user):
    """One click with its form open, for a layer of which nothing is known."""
    widget = OneClickWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Deconvolve…")
    viewer.add_image(sample.raw, name="cell")
    user.use(viewer.window._qt_window)
    user.click(widget.start_button)
    qtbot.waitUntil(lambda: widget.asking, timeout=LONG)
    yield widget
    widget.cancel()


@pytest.fixture
def form(one_click):
    return one_click.form


def test_form_is_completed_by_typing_alone(one_click, user):
    """The focus is in the first empty box as the form opens, and Tab leads through the rest."""
    user.type("62.6")
    user.press("Tab", "Tab")
    user.type("1.4")
    assert one_click.form.boxes["na"].value == 1.4
    user.press("Tab")
    user.type("525")
    assert one_click.form.missing == ""
    # Neither Tab nor Enter is needed before the button can be clicked.
    assert one_click.start_button.isEnabled()
    assert one_click.form.values()["pixel_size"] == pytest.approx(0.0626)


def test_box_that_is_not_known_takes_typing_after_one_click(form, user):
    for name, typed in (("na", "1.4"), ("wavelength", "525"), ("pixel_size", "65.5")):
        user.click(form.boxes[name].native.lineEdit())
        user.type(typed)
        assert form.boxes[name].value == float(typed)
    assert form.missing == ""
    # What is known is edited where it is clicked, and not replaced.
    user.click(form.boxes["wavelength"].native.lineEdit())
    user.press("Home", "Delete")
    user.type("6")
    assert form.boxes["wavelength"].value == 625


@pytest.fixture
def stopped(qtbot, viewer, one_click, user, monkeypatch):
    """One click, its training stopped by a click before there was a preview."""
    endless = replace(presets.PRESETS["fast"], patch=48, batch=1, steps=5000)
    monkeypatch.setitem(presets.PRESETS, "fast", endless)
    monkeypatch.setattr(Image2D, "preview_every", 5000)
    viewer.layers["cell"].blending = "additive"
    for typed in ("62.6\t\t", "1.3\t", "525"):
        user.type(typed)
    user.click(one_click.start_button)
    qtbot.waitUntil(lambda: one_click.cancel_button.text() == "Stop here", timeout=LONG)
    user.click(one_click.cancel_button)
    qtbot.waitUntil(one_click.start_button.isEnabled, timeout=LONG)
    return one_click


def is_seen(viewer, name):
    """Whether a result is visible, opaque and above its source."""
    result, order = viewer.layers[name], list(viewer.layers)
    above = order.index(result) > order.index(viewer.layers["cell"])
    return result.visible and result.opacity == 1 and above


def test_result_of_a_training_stopped_before_its_first_preview_is_seen(
    qtbot, viewer, stopped, user
):
    assert 0 < ViewerState.of(viewer).model.steps_trained < 5000
    result = viewer.layers["cell deconvolved"]
    assert is_seen(viewer, "cell deconvolved")
    assert result.blending == "additive"
    # Made again, it is seen again, whatever became of its layer.
    result.visible, result.opacity, result.blending = False, 0.0, "translucent"
    viewer.layers.move(viewer.layers.index(result), 0)
    widget = DeconvolveWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Apply model", tabify=True).raise_()
    qtbot.wait(200)
    user.click(widget.start_button)
    qtbot.waitUntil(lambda: widget.status_label.text().startswith("Done"), timeout=LONG)
    assert viewer.layers["cell deconvolved"] is result
    assert is_seen(viewer, "cell deconvolved")
    assert is_seen(viewer, "cell denoised")
    assert viewer.layers.index(result) > viewer.layers.index("cell denoised")
    assert result.blending == "translucent"  # the user's own


def test_model_of_a_stopped_training_is_not_taken_again_unasked(qtbot, viewer, stopped, user):
    state = ViewerState.of(viewer)
    model = state.model
    assert f"topped after {model.steps_trained} " in stopped.steps.said["model"]
    # The button trains anew, and says why.
    assert stopped.start_button.text() == "Train anew"
    user.click(stopped.start_button)
    qtbot.waitUntil(lambda: stopped.cancel_button.text() == "Stop here", timeout=LONG)
    assert f"{model.stopped}." in stopped.steps.said["model"]
    user.click(stopped.cancel_button)
    qtbot.waitUntil(stopped.start_button.isEnabled, timeout=LONG)
    assert state.model is not model
    # Only who asks for it gets the model as it is.
    before = state.model
    links = stopped.steps.labels["model"].text()
    assert links.index("Train anew") < links.index("Use it as it is")
    stopped.steps.labels["model"].linkActivated.emit("as-it-is")
    assert not stopped.start_button.isEnabled()
    qtbot.waitUntil(stopped.start_button.isEnabled, timeout=LONG)
    assert state.model is before
    assert stopped.steps.states["result"] == DONE
    assert f"at hand was {before.stopped}." in stopped.steps.said["model"]


def test_layers_of_the_plugin_are_offered_neither_as_recordings_nor_as_psfs(
    qtbot, viewer, raw, sample, user
):
    widget = PSFWidget(viewer)
    viewer.window.add_dock_widget(widget, name="PSF")
    user.use(viewer.window._qt_window)
    user.click(widget.make_button)
    qtbot.waitUntil(lambda: ViewerState.of(viewer).psf is not None, timeout=LONG)
    add_or_update(viewer, "raw z-map", sample.raw, like=raw)
    viewer.layers.selection = set(viewer.layers) - {raw}
    _duplicate_layer(viewer.layers)
    assert len(viewer.layers) == 5
    widget.reset_choices()
    assert image_layers(viewer) == [raw]
    assert list(widget.image.layer_box.choices) == [raw]
    assert list(widget.beads_page.layer.choices) == [raw]
    assert list(widget.layer_page.layer.choices) == [raw]
    # The PSF of a sample is a recording of none, but a PSF.
    theirs = viewer.add_layer(Layer.create(*filaments()[1]))
    widget.reset_choices()
    assert list(widget.layer_page.layer.choices) == [raw, theirs]
    assert list(widget.image.layer_box.choices) == [raw]
