from __future__ import annotations

import numpy as np
import pytest
from cut_off import cut_off
from own_time import own_time
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLabel

from napari_zsdeconvnet._qt.forms.noise_values import GAIN, OFFSET, READ_VARIANCE, TYPED
from napari_zsdeconvnet._qt.layers.state import ViewerState
from napari_zsdeconvnet._qt.widgets.noise_widget import ROI_NAME, NoiseWidget
from napari_zsdeconvnet.noise.noise_model import NoiseModel

PLUGIN = "napari-zsdeconvnet"


def camera(light, *, gain=2.0, offset=100.0, read_variance=9.0, seed=0):
    rng = np.random.default_rng(seed)
    counts = offset + gain * rng.poisson(light) + rng.normal(0, read_variance**0.5, light.shape)
    return np.round(counts).astype(np.uint16)


def scene(shape=(256, 256)):
    """A smooth spot of light in the lower right, darkness in the upper left."""
    y, x = np.indices(shape)
    distance = np.hypot(y - 0.7 * shape[0], x - 0.7 * shape[1])
    return 200 * np.exp(-0.5 * (distance / (0.1 * shape[0])) ** 2)


def box(top, left, bottom, right):
    return np.array([(top, left), (top, right), (bottom, right), (bottom, left)], dtype=float)


def cells(shape=(256, 256)):
    """Flat and bright in the upper half, with nothing to be seen in it; dark below."""
    light = np.zeros(shape)
    light[: shape[0] // 2] = 60.0
    return light


@pytest.fixture
def open_widget(viewer, qtbot):
    def dock(*layers, **options):
        for layer in layers:
            viewer.add_image(layer, **options)
        widget = NoiseWidget(viewer)
        viewer.window.add_dock_widget(widget, name="Noise calibration")
        return widget

    return dock


def settle(qtbot, widget):
    qtbot.waitUntil(lambda: not widget.busy, timeout=20_000)


def test_a_box_on_the_background_gives_offset_and_read_variance(open_widget, viewer, qtbot):
    widget = open_widget(camera(scene()), scale=(0.1, 0.1), translate=(3, 4))
    roi = widget.draw()
    assert roi.name == ROI_NAME
    assert roi.mode == "add_rectangle"
    assert viewer.layers.selection.active is roi
    roi.add(box(4, 4, 70, 70))
    settle(qtbot, widget)
    noise = ViewerState.of(viewer).noise
    assert noise.offset == pytest.approx(100, abs=0.3)
    assert noise.read_variance == pytest.approx(9, rel=0.15)
    assert noise.gain is None
    assert 0 < noise.offset_error < 0.2
    assert "background" in noise.source
    assert widget.histogram.shown
    assert widget.verdict.text().startswith("Good")
    qtbot.waitUntil(lambda: roi.mode == "select")  # so that the next drag moves the box


def test_the_values_follow_the_box_while_the_mouse_drags_it(open_widget, viewer, qtbot):
    widget = open_widget(camera(scene((512, 512))))
    viewer.reset_view()
    roi = widget.draw()
    qtbot.wait(50)
    drag = Mouse(viewer)
    drag.press(20, 20)
    seen = []
    for size in range(40, 140, 20):
        drag.move(20 + size, 20 + size)
        settle(qtbot, widget)
        seen.append(widget.values[OFFSET].value)
    assert len(roi.data) == 1, "the shape is there while it is drawn"
    assert None not in seen
    assert len(set(seen)) == len(seen), "each movement brings a value of its own"
    drag.release()
    qtbot.waitUntil(lambda: roi.mode == "select")

    drag.press(80, 80)
    for step in range(1, 6):
        drag.move(80 + 40 * step, 80 + 40 * step)
        settle(qtbot, widget)
    # The mouse is still down, and the box has reached the light.
    assert widget.values[OFFSET].value is None
    assert widget.verdict.text().startswith("Not empty")
    drag.release()
    assert len(roi.data) == 1


def test_the_window_answers_while_a_large_box_is_measured(open_widget, viewer, qtbot):
    widget = open_widget(camera(np.zeros((2048, 2048)), gain=1))
    roi = widget.draw()
    roi.add(box(5, 5, 2040, 2040))
    settle(qtbot, widget)
    roi.data = [box(10, 10, 2040, 2030)]
    waits = []
    while widget.busy:
        before = own_time()
        QApplication.processEvents()
        waits.append(own_time() - before)
    assert widget.values[OFFSET].value == pytest.approx(100, abs=0.05)
    # The measurement takes many turns of the event loop, however fast the machine is.
    assert len(waits) > 5
    assert max(waits) < 0.4


@pytest.mark.parametrize(
    ("light", "place", "reason"),
    [
        (scene(), box(150, 150, 220, 220), "structure"),
        (cells(), box(10, 10, 100, 240), "is darker than the background region"),
        (np.stack([cells()] * 5), box(10, 10, 100, 240), "is darker than the background region"),
    ],
    ids=["spot", "flat", "series"],
)
def test_a_box_on_something_bright_is_not_taken(open_widget, viewer, qtbot, light, place, reason):
    widget = open_widget(camera(light))
    widget.draw().add(place)
    settle(qtbot, widget)
    assert widget.verdict.text().startswith("Not empty")
    assert reason in widget.verdict.text()
    assert widget.summary.text().startswith("Not ready (the box is not on empty background)")
    assert ViewerState.of(viewer).noise is None
    # Where it is moved to the dark, it is taken, and back again not.
    dark = box(200, 10, 250, 100) if light.ndim == 3 or reason != "structure" else box(4, 4, 70, 70)
    widget.roi.data = [dark]
    settle(qtbot, widget)
    assert widget.summary.text().startswith("Ready")
    assert ViewerState.of(viewer).noise.offset == pytest.approx(100, abs=0.5)
    widget.roi.data = [place]
    settle(qtbot, widget)
    assert ViewerState.of(viewer).noise is None
    # A number that was typed stays.
    widget.values.boxes[OFFSET].value = 98
    assert widget.values[OFFSET].value == 98


def test_shapes_that_are_selected_in_any_layer_can_be_the_box(open_widget, viewer, qtbot):
    widget = open_widget(camera(scene()), scale=(0.1, 0.1))
    assert not widget.box.layer_box.visible
    own = viewer.add_shapes(
        [box(150, 150, 220, 220), box(4, 4, 60, 60), box(0, 0, 9, 200)],
        shape_type=["rectangle", "ellipse", "path"],
        scale=(0.1, 0.1),
        name="Regions",
    )
    qtbot.waitUntil(lambda: widget.box.layer_box.visible)
    # A layer that was drawn for something else is not measured unasked.
    settle(qtbot, widget)
    assert widget.roi is None
    own.selected_data = {1}
    widget.box.layer_box.value = own
    settle(qtbot, widget)
    assert widget.verdict.text().startswith("In ellipse 1 of 'Regions': Good")
    assert ViewerState.of(viewer).noise.offset == pytest.approx(100, abs=0.5)
    own.selected_data = {0}
    settle(qtbot, widget)
    assert widget.verdict.text().startswith("In rectangle 0 of 'Regions': Not empty")
    assert ViewerState.of(viewer).noise is None
    own.selected_data = {2}  # which encloses nothing: those that do are taken
    settle(qtbot, widget)
    assert widget.verdict.text().startswith("In 2 shapes of 'Regions': ")


def test_a_box_outside_is_said_and_gives_nothing(open_widget, viewer, qtbot, notifications):
    widget = open_widget(camera(scene()))
    roi = widget.draw()
    roi.add(box(4, 4, 70, 70))
    settle(qtbot, widget)
    assert "Ready" in widget.summary.text()
    roi.data = [box(400, 400, 450, 450)]
    settle(qtbot, widget)
    assert "cover no pixel" in widget.verdict.text()
    assert any("cover no pixel" in message for _, message in notifications)
    assert not widget.histogram.shown
    # What the box gave where it was before is not shown as if it were that of now.
    assert ViewerState.of(viewer).noise is None
    assert widget.values[OFFSET].value is None
    assert widget.summary.text().startswith("Not ready (the box cannot be measured)")
    roi.data = []
    settle(qtbot, widget)
    assert "Draw a box" in widget.verdict.text()


@pytest.mark.parametrize("kind", ["ellipse", "polygon"])
def test_other_shapes_do_as_well(open_widget, viewer, qtbot, kind):
    widget = open_widget(camera(scene()))
    widget.draw().add(box(4, 4, 80, 80), shape_type=kind)
    settle(qtbot, widget)
    assert ViewerState.of(viewer).noise.offset == pytest.approx(100, abs=0.3)


def test_bad_pixels_under_the_box_are_said(open_widget, viewer, qtbot, notifications):
    image = camera(scene()).astype(np.float32)
    image[20, 20] = np.nan
    widget = open_widget(image)
    widget.draw().add(box(4, 4, 70, 70))
    settle(qtbot, widget)
    assert any("NaN" in message for _, message in notifications)
    assert ViewerState.of(viewer).noise is None


def test_the_frame_shown_is_the_one_measured(open_widget, viewer, qtbot):
    dark = np.zeros((64, 64))
    series = np.stack([camera(dark, offset=offset) for offset in (100, 200)])
    widget = open_widget(series)
    viewer.dims.set_current_step(0, 0)
    widget.draw().add(box(2, 2, 60, 60))
    settle(qtbot, widget)
    assert widget.values[OFFSET].value == pytest.approx(100, abs=0.5)
    viewer.dims.set_current_step(0, 1)
    settle(qtbot, widget)
    assert widget.values[OFFSET].value == pytest.approx(200, abs=0.5)


def test_one_channel_is_measured(open_widget, viewer, qtbot):
    dark = np.zeros((64, 64))
    channels = np.stack([camera(dark, offset=offset) for offset in (100, 200)])
    widget = open_widget(channels, axis_labels=("c", "y", "x"))
    qtbot.waitUntil(widget.image.channel_box.native.isVisible)
    widget.image.channel_box.value = 1
    widget.draw().add(box(2, 2, 60, 60))
    settle(qtbot, widget)
    assert widget.values[OFFSET].value == pytest.approx(200, abs=0.5)


def test_the_channel_is_asked_for_only_where_there_are_several(open_widget, viewer, qtbot):
    widget = open_widget(np.zeros((32, 32)))

    def shown():
        labels = [label.text() for label in widget.form.findChildren(QLabel) if label.isVisible()]
        return "Channel" in labels, widget.image.channel_box.native.isVisible()

    qtbot.waitUntil(widget.form.isVisible)
    assert shown() == (False, False)
    viewer.add_image(np.zeros((2, 32, 32)), axis_labels=("c", "y", "x"), name="two")
    widget.image.layer = viewer.layers["two"]
    assert shown() == (True, True)
    widget.image.layer = viewer.layers[0]
    assert shown() == (False, False)


def test_rgb_is_refused_with_a_hint(open_widget, viewer, qtbot, notifications):
    widget = open_widget(np.zeros((64, 64, 3), dtype=np.uint8), rgb=True, name="photo")
    QTest.mouseClick(widget.sources.buttons["image"], Qt.MouseButton.LeftButton)
    settle(qtbot, widget)
    assert any("Split RGB" in message for _, message in notifications)


def test_the_gain_from_this_image_keeps_the_background(open_widget, viewer, qtbot):
    widget = open_widget(camera(scene()))
    widget.draw().add(box(4, 4, 70, 70))
    settle(qtbot, widget)
    offset = widget.values[OFFSET]
    QTest.mouseClick(widget.sources.buttons["image"], Qt.MouseButton.LeftButton)
    assert not widget.sources.buttons["image"].isEnabled()
    settle(qtbot, widget)
    assert widget.sources.buttons["image"].isEnabled()
    noise = ViewerState.of(viewer).noise
    assert noise.gain == pytest.approx(2, rel=0.25)
    assert noise.gain_error > 0
    assert widget.values[OFFSET] == offset
    assert "photon transfer" in widget.values[GAIN].origin
    assert widget.values.error_labels[GAIN].text().startswith("±")
    assert "background" in noise.source
    assert "photon transfer" in noise.source


def test_a_time_series_gives_all_three(open_widget, viewer, qtbot):
    light = scene((128, 128))
    widget = open_widget(np.stack([camera(light, seed=seed) for seed in range(12)]))
    QTest.mouseClick(widget.sources.buttons["series"], Qt.MouseButton.LeftButton)
    settle(qtbot, widget)
    noise = ViewerState.of(viewer).noise
    assert noise.gain == pytest.approx(2, rel=0.1)
    assert noise.offset == pytest.approx(100, abs=3)


def test_a_dark_stack_gives_offset_and_read_variance_and_keeps_the_gain(open_widget, viewer, qtbot):
    dark = np.zeros((64, 64))
    widget = open_widget(np.stack([camera(dark, seed=seed) for seed in range(10)]))
    widget.values.boxes[GAIN].value = 1.5
    assert ViewerState.of(viewer).noise is None, "a gain alone is no noise model"
    QTest.mouseClick(widget.sources.buttons["dark"], Qt.MouseButton.LeftButton)
    settle(qtbot, widget)
    noise = ViewerState.of(viewer).noise
    assert noise.offset == pytest.approx(100, abs=0.2)
    assert noise.read_variance == pytest.approx(9, rel=0.05)
    assert noise.gain == 1.5
    assert widget.values[GAIN].origin == TYPED


def test_a_calibration_that_fails_says_why_and_lets_try_again(
    open_widget, viewer, qtbot, notifications
):
    widget = open_widget(camera(scene()))
    QTest.mouseClick(widget.sources.buttons["dark"], Qt.MouseButton.LeftButton)
    settle(qtbot, widget)
    assert any("dark" in message for _, message in notifications)
    assert widget.sources.buttons["dark"].isEnabled()
    assert ViewerState.of(viewer).noise is None


def test_numbers_can_be_typed(open_widget, viewer, qtbot):
    widget = open_widget(camera(scene()))
    widget.draw().add(box(4, 4, 70, 70))
    settle(qtbot, widget)
    typed = widget.values.boxes[READ_VARIANCE].native
    typed.setFocus()
    typed.lineEdit().selectAll()
    QTest.keyClicks(typed.lineEdit(), "12.5")
    QTest.keyClick(typed.lineEdit(), Qt.Key.Key_Return)
    noise = ViewerState.of(viewer).noise
    assert noise.read_variance == 12.5
    assert noise.read_variance_error is None
    assert "read variance: typed by hand" in noise.source
    assert "offset: background" in noise.source


def test_the_same_number_typed_again_is_typed_by_hand(open_widget, viewer, qtbot):
    widget = open_widget(camera(scene()))
    for name, text in ((OFFSET, "0"), (READ_VARIANCE, "0")):
        editor = widget.values.boxes[name].native.lineEdit()
        editor.setFocus()
        editor.selectAll()
        QTest.keyClicks(editor, text)
        QTest.keyClick(editor, Qt.Key.Key_Return)
    noise = ViewerState.of(viewer).noise
    assert (noise.offset, noise.read_variance, noise.source) == (0, 0, TYPED)


def test_without_an_image_the_widget_says_what_to_do(open_widget, qtbot, notifications):
    widget = open_widget()
    QTest.mouseClick(widget.draw_button, Qt.MouseButton.LeftButton)
    assert any("no image" in message for _, message in notifications)


def test_a_noise_model_from_elsewhere_is_shown(open_widget, viewer):
    widget = open_widget(camera(scene()))
    ViewerState.of(viewer).noise = NoiseModel(offset=95, gain=0.4, read_variance=3, source="here")
    assert widget.values.boxes[GAIN].value == pytest.approx(0.4)
    assert widget.values[OFFSET].origin == "here"


def test_where_the_numbers_come_from_is_read_in_full(open_widget, viewer, qtbot):
    widget = open_widget(camera(scene()))
    source = "photon transfer in 32 planes of one volume (to about 25 %), the offset elsewhere"
    ViewerState.of(viewer).noise = NoiseModel(offset=95, gain=0.4, read_variance=3, source=source)
    label = widget.values.origin_labels[READ_VARIANCE]
    assert label.text() == f"Origin of all: {source}", "said once, where all have the same"
    assert not widget.values.origin_labels[GAIN].isVisible()
    qtbot.waitUntil(lambda: label.height() > 1.5 * widget.values.error_labels[GAIN].height())
    assert cut_off(widget) == []


def test_a_second_widget_takes_over_the_box_and_the_values(open_widget, viewer, qtbot):
    widget = open_widget(camera(scene()))
    roi = widget.draw()
    roi.add(box(4, 4, 70, 70))
    settle(qtbot, widget)
    viewer.window.remove_dock_widget(widget)
    qtbot.wait(50)
    again = open_widget()
    assert again.roi is roi
    settle(qtbot, again)
    assert again.values[OFFSET].value == pytest.approx(100, abs=0.3)
    roi.data = [box(10, 10, 60, 60)]  # the closed one must not stumble over it
    settle(qtbot, again)


def test_a_removed_box_layer_is_made_anew(open_widget, viewer, qtbot):
    widget = open_widget(camera(scene()))
    first = widget.draw()
    viewer.layers.remove(first)
    assert widget.roi is None
    second = widget.draw()
    assert second is not first
    assert second in viewer.layers


class Mouse:
    """The left button over the canvas, at pixels of a layer without scale."""

    def __init__(self, viewer):
        self._canvas = viewer.window._qt_viewer.canvas
        self._at = None

    def _point(self, y, x):
        mapped = self._canvas.view.scene.transform.map([x, y, 0, 1])
        return QPointF(float(mapped[0]), float(mapped[1]))

    def _send(self, kind, button, buttons):
        native = self._canvas.native
        where = QPointF(native.mapToGlobal(self._at.toPoint()))
        none = Qt.KeyboardModifier.NoModifier
        event = QMouseEvent(kind, self._at, where, button, buttons, none)
        QApplication.sendEvent(native, event)
        QApplication.processEvents()

    def press(self, y, x):
        left, no = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        self._at = self._point(y, x)
        self._send(QEvent.Type.MouseMove, no, no)
        self._send(QEvent.Type.MouseButtonPress, left, left)

    def move(self, y, x):
        self._at = self._point(y, x)
        self._send(QEvent.Type.MouseMove, Qt.MouseButton.NoButton, Qt.MouseButton.LeftButton)
        QTest.qWait(20)

    def release(self):
        self._send(
            QEvent.Type.MouseButtonRelease, Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        )
