"""What a layer is taken for is said, can be corrected, and holds in all widgets."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QLabel, QWidget

from napari_zsdeconvnet._qt.forms.choosers import ImageChooser
from napari_zsdeconvnet._qt.forms.forms import Form
from napari_zsdeconvnet._qt.layers.layers import layer_image
from napari_zsdeconvnet.simulation.sample import simulate, simulate_volume

LONG = 60_000


@pytest.fixture
def chooser(viewer, qtbot):
    """A chooser that lies in a form, as in the widgets."""
    owners = []

    def make():
        owner = QWidget()
        qtbot.addWidget(owner)
        chooser = ImageChooser(viewer, "for a test", owner=owner)
        form = Form()
        form.add_image(chooser)
        viewer.window.add_dock_widget(form, name=f"form {len(owners)}")
        owners.append((owner, form))
        qtbot.waitUntil(form.isVisible)
        chooser.form = form
        return chooser

    return make


def rows(chooser):
    return {
        label.text()
        for label in chooser.form.findChildren(QLabel)
        if label.isVisible() and label is not chooser.note
    }


def stack(**options):
    return {"data": np.random.default_rng(0).poisson(9, (9, 48, 48)), "name": "stack", **options}


def test_an_image_is_not_asked_what_it_is(chooser, viewer):
    viewer.add_image(np.ones((8, 8)))
    one = chooser()
    assert rows(one) == {"Image"}
    assert one.note.text() == "8 x 8 pixels."


def test_the_volume_of_a_scaled_layer_is_recognised_and_said(chooser, viewer):
    viewer.add_image(**stack(scale=(0.3, 0.1, 0.1), units=("um",) * 3))
    one = chooser()
    assert one.kind_box.value == "volume"
    assert one.reading.voxel_size == pytest.approx((0.3, 0.1, 0.1))
    assert one.step_box.value == pytest.approx(300)
    assert rows(one) == {"Image", "Read as", "Plane step"}
    assert "9 planes of 48 x 48 pixels of 100 nm, 300 nm from plane to plane" in one.note.text()


def test_a_correction_holds_in_every_widget(chooser, viewer):
    layer = viewer.add_image(**stack())
    one, other = chooser(), chooser()
    assert one.kind_box.value == other.kind_box.value == "time series"
    heard = []
    other.changed.connect(lambda: heard.append(other.reading.axes))
    one.kind_box.value = "volume"
    assert other.kind_box.value == "volume"
    assert other.reading.axes == "ZYX"
    assert heard == ["ZYX"]
    assert one.readings([layer])[0][1] == one.reading
    third = chooser()
    assert third.kind_box.value == "volume"


def test_a_missing_step_is_asked_for_and_written_into_the_layer(chooser, viewer):
    layer = viewer.add_image(
        **stack(scale=(1, 0.1, 0.1), units=("um",) * 3, axis_labels=("z", "y", "x"))
    )
    one, other = chooser(), chooser()
    assert "step between planes is not known" in one.missing
    assert "step between planes is not known" in one.note.text()
    assert one.step_box.native.text() == "not known"
    one.step_box.value = 250
    assert one.missing == ""
    assert other.reading.voxel_size == pytest.approx((0.25, 0.1, 0.1))
    np.testing.assert_allclose(layer.scale, (0.25, 0.1, 0.1))


def test_a_scale_set_later_is_noticed(chooser, viewer):
    layer = viewer.add_image(**stack())
    one = chooser()
    layer.scale = (0.3, 0.1, 0.1)
    assert one.kind_box.value == "volume"
    layer.axis_labels = ("t", "y", "x")
    assert one.kind_box.value == "time series"


def test_channels_can_be_said_of_an_axis_that_tells_nothing(chooser, viewer):
    viewer.add_image(**stack())
    one = chooser()
    one.kind_box.value = "image"
    assert rows(one) == {"Image", "Read as", "Channel"}
    one.channel_box.value = 4
    assert one.reading.channel == 4


def test_exposures_taken_for_planes_are_doubted(chooser, viewer, qtbot):
    sample = simulate("filaments", shape=(96, 96))
    frames = np.stack([sample.raw, sample.second_exposure] * 6)
    viewer.add_image(frames, name="exposures", axis_labels=("z", "y", "x"))
    one, other = chooser(), chooser()
    for each in (one, other):
        qtbot.waitUntil(lambda each=each: "repeated exposures" in each.note.text(), timeout=LONG)
        assert "read them as a time series" in each.note.text()
    one.kind_box.value = "time series"
    assert "repeated exposures" not in other.note.text()


def test_planes_taken_for_frames_are_doubted(chooser, viewer, qtbot):
    sample = simulate_volume("cell", shape=(12, 96, 96), photons=400)
    viewer.add_image(sample.raw, name="planes")
    one = chooser()
    qtbot.waitUntil(lambda: "read them as a volume" in one.note.text(), timeout=LONG)


def test_channels_taken_for_planes_are_doubted(chooser, viewer, qtbot):
    channels = [simulate("filaments", shape=(96, 96), seed=seed).raw for seed in (1, 2)]
    viewer.add_image(np.stack(channels), name="two", axis_labels=("z", "y", "x"))
    one = chooser()
    qtbot.waitUntil(lambda: "unrelated things" in one.note.text(), timeout=LONG)


def test_saturated_pixels_are_allowed_for_a_layer_in_all_widgets(chooser, viewer):
    layer = viewer.add_image(np.ones((20, 30)), name="bright")
    one, other = chooser(), chooser()
    one.layer = other.layer = layer
    assert one.applies(one.saturated_box)
    assert layer_image(layer).pixel_rule.saturation == "refuse"
    one.saturated_box.value = True
    assert layer_image(layer).pixel_rule.saturation == "mask"
    assert other.saturated_box.value
    one.saturated_box.value = False
    assert layer_image(layer).pixel_rule.saturation == "refuse"
