"""Classical results in one click, and two layers on either side of a divider."""

from __future__ import annotations

import numpy as np
import pytest
from placed import borders
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from turns import at_once

from napari_zsdeconvnet._qt.layers.layer_axes import read_as
from napari_zsdeconvnet._qt.layers.layers import METADATA_KEY
from napari_zsdeconvnet._qt.layers.results import show_result
from napari_zsdeconvnet._qt.layers.split_view import Swipe
from napari_zsdeconvnet._qt.layers.state import Made, ViewerState
from napari_zsdeconvnet._qt.widgets.compare_widget import CompareWidget
from napari_zsdeconvnet._qt.widgets.psf_widget import LAYER_NAME
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.physics.classical_deconvolution import richardson_lucy, wiener
from napari_zsdeconvnet.psf.psf import PSF

LONG = 120_000  # milliseconds; shared machines can be slow
PIXEL = 0.0626


@pytest.fixture
def widget(viewer, raw):
    widget = CompareWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Compare")
    return widget


def run_to_end(qtbot, widget):
    widget.start_button.click()
    assert widget.running
    assert not widget.form.isEnabled()
    qtbot.waitUntil(lambda: not widget.running, timeout=LONG)


class TestClassicalResults:
    def test_both_lie_on_the_image_as_they_are_computed(
        self, qtbot, viewer, widget, raw, sample, model
    ):
        assert not widget.start_button.isEnabled()
        assert "not known" in widget.start_button.toolTip()
        ViewerState.of(viewer).model = model
        run_to_end(qtbot, widget)
        for method, name in ((richardson_lucy, "Richardson-Lucy"), (wiener, "Wiener")):
            layer = viewer.layers[f"raw {name}"]
            np.testing.assert_allclose(
                layer.data, method(sample.raw, model.psf, model.noise), rtol=1e-3, atol=1e-2
            )
            np.testing.assert_allclose(borders(layer), borders(raw))
            assert layer.units == raw.units
        assert "iterations, where its residual is as small as the noise" in (
            widget.status_label.text()
        )
        assert widget.start_button.isEnabled()

    def test_richardson_lucy_and_the_networks_result_are_chosen_for_the_swipe(
        self, qtbot, viewer, widget, raw, sample, model
    ):
        state = ViewerState.of(viewer)
        state.model = model
        made = Made(model, read_as(raw))
        _, deconvolved = at_once(show_result(viewer, raw, made, model.predict(sample.raw)))
        other = viewer.add_image(sample.raw, name="something else")
        run_to_end(qtbot, widget)
        assert widget.left_box.value is viewer.layers["raw Richardson-Lucy"]
        assert widget.right_box.value is deconvolved
        widget.left_box.value = other
        widget.swipe_button.click()
        run_to_end(qtbot, widget)
        assert widget.left_box.value is other, "what is shown is not changed under the user's eyes"

    def test_image_and_result_are_chosen_beforehand_and_the_psf_is_not_offered(
        self, viewer, raw, sample, model
    ):
        made = Made(model, read_as(raw))
        psf = viewer.add_image(model.psf.array, metadata={METADATA_KEY: ("psf", LAYER_NAME)})
        _, deconvolved = at_once(show_result(viewer, raw, made, model.predict(sample.raw)))
        widget = CompareWidget(viewer)
        viewer.window.add_dock_widget(widget, name="Compare again")
        assert widget.left_box.value is raw
        assert widget.right_box.value is deconvolved
        assert psf not in widget.left_box.choices
        assert widget.swipe_button.isEnabled()

    def test_where_there_is_no_result_the_raw_image_is_chosen_beside(
        self, qtbot, viewer, widget, raw, model
    ):
        ViewerState.of(viewer).model = model
        viewer.add_image(raw.data, name="something else")
        run_to_end(qtbot, widget)
        assert widget.left_box.value is viewer.layers["raw Richardson-Lucy"]
        assert widget.right_box.value is raw

    def test_without_a_model_psf_and_noise_of_the_viewer_serve(self, qtbot, viewer, widget, sample):
        state = ViewerState.of(viewer)
        state.psf = PSF.simulate(na=1.3, wavelength=0.525, pixel_size=PIXEL / 2, size=33)
        state.noise = NoiseModel(offset=100, gain=None, read_variance=4.0)
        assert "gain is not known" in widget.start_button.toolTip()
        state.noise = sample.noise
        state.set_upsample("YX", False)
        run_to_end(qtbot, widget)
        assert viewer.layers["raw Wiener"].data.shape == sample.raw.shape

    def test_of_a_series_the_shown_time_point_is_taken(self, qtbot, viewer, widget, sample):
        state = ViewerState.of(viewer)
        state.noise = sample.noise
        state.psf = PSF.simulate(na=1.3, wavelength=0.525, pixel_size=PIXEL / 2, size=33)
        series = viewer.add_image(
            np.stack([sample.second_exposure, sample.raw]),
            name="series",
            scale=(2, PIXEL, PIXEL),
            units=("s", "um", "um"),
            axis_labels=("t", "y", "x"),
        )
        viewer.dims.set_current_step(0, 1)
        widget.image.layer = series
        run_to_end(qtbot, widget)
        layer = viewer.layers["series Wiener"]
        assert layer.data.shape == (1, 128, 144)
        assert layer.translate[0] == 2
        expected = wiener(sample.raw, state.psf, sample.noise)
        np.testing.assert_allclose(layer.data[0], expected, rtol=1e-3, atol=1e-2)

    def test_cancel_adds_nothing(self, qtbot, viewer, widget, raw, sample):
        state = ViewerState.of(viewer)
        # No structure explains the image with this PSF: it would take all 200 iterations.
        state.psf = PSF.simulate(na=0.4, wavelength=0.525, pixel_size=PIXEL / 2, size=65)
        state.noise = sample.noise
        big = viewer.add_image(np.tile(raw.data, (4, 4)), name="big", scale=raw.scale)
        widget.image.layer = big
        widget.start_button.click()
        qtbot.waitUntil(lambda: "iteration" in widget.status_label.text(), timeout=LONG)
        widget.cancel_button.click()
        qtbot.waitUntil(lambda: not widget.running, timeout=LONG)
        assert list(viewer.layers) == [raw, big]
        assert widget.status_label.text() == "Cancelled; nothing changed."


@pytest.fixture
def sides(viewer):
    """A red layer on a fine grid and a green one on a coarse grid, which cover the same field."""
    left = viewer.add_image(
        np.ones((80, 120)),
        name="left",
        colormap="red",
        contrast_limits=(0, 1),
        scale=(0.5, 0.5),
        translate=(-0.25, -0.25),
    )
    right = viewer.add_image(
        np.ones((40, 60)), name="right", colormap="green", contrast_limits=(0, 1)
    )
    other = viewer.add_image(np.zeros((40, 60)), name="other")
    viewer.reset_view()
    return left, right, other


def seen(viewer):
    """Which part of the picture's width is red, and which is green."""
    QApplication.processEvents()
    picture = viewer.screenshot(canvas_only=True, flash=False)
    row = picture[picture.shape[0] // 3].astype(int)  # clear of the outline
    red = (row[:, 0] > 200) & (row[:, 1] < 50)
    green = (row[:, 1] > 100) & (row[:, 0] < 50)
    return red, green


class TestSwipe:
    @pytest.mark.parametrize("place", [0.25, 0.75])
    def test_the_divider_stands_where_it_is_put(self, viewer, sides, place):
        left, right, _ = sides
        swipe = Swipe(viewer, left, right)
        swipe.place = place
        red, green = seen(viewer)
        assert red.sum() / (red.sum() + green.sum()) == pytest.approx(place, abs=0.03)
        assert np.flatnonzero(red).max() < np.flatnonzero(green).min()

    def test_its_end_restores_what_was_shown(self, viewer, sides):
        left, right, other = sides
        left.visible = False
        viewer.layers.selection.active = right
        before = [(layer, layer.visible) for layer in viewer.layers]
        swipe = Swipe(viewer, left, right)
        assert [layer.visible for layer in (left, right, other)] == [False, True, False]
        ended = []
        swipe.ended.connect(lambda: ended.append(True))
        swipe.end()
        swipe.end()
        assert ended == [True]
        assert [(layer, layer.visible) for layer in viewer.layers] == before
        assert viewer.layers.selection.active is right
        assert left.data.shape == (80, 120)

    def test_what_is_hidden_meanwhile_stays_hidden(self, viewer, sides):
        left, right, other = sides
        swipe = Swipe(viewer, left, right)
        other.visible = False
        swipe.end()
        assert [layer.visible for layer in (left, right, other)] == [True, True, False]
        other.visible = True
        swipe = Swipe(viewer, left, right)
        assert not other.visible
        swipe.end()
        assert other.visible

    def test_beside_a_layer_that_covers_a_part_the_left_one_is_shown(self, viewer, sides):
        left, right, _ = sides
        part = viewer.add_image(
            np.ones((20, 20)), name="part", colormap="green", contrast_limits=(0, 1)
        )
        swipe = Swipe(viewer, left, part, place=0.1)
        assert left.visible
        assert not right.visible
        red, green = seen(viewer)
        assert green.any()
        assert np.flatnonzero(red).max() > np.flatnonzero(green).max(), "nothing but black beside"
        swipe.end()

    @pytest.mark.parametrize("name", ["left", "right", "◧ left"])
    def test_it_ends_when_a_layer_of_it_is_removed(self, viewer, sides, name):
        swipe = Swipe(viewer, sides[0], sides[1])
        viewer.layers.remove(name)
        assert not swipe.running
        assert "◧ left" not in viewer.layers
        assert sides[2].visible

    def test_contrast_is_that_of_the_left_layer_both_ways(self, viewer, sides):
        left, right, _ = sides
        swipe = Swipe(viewer, left, right)
        swipe.cut.contrast_limits = (0.0, 0.5)
        assert left.contrast_limits == [0.0, 0.5]
        left.colormap = "blue"
        assert swipe.cut.colormap.name == "blue"
        swipe.end()
        left.gamma = 0.5
        assert swipe.cut.gamma == 1

    def test_it_goes_through_a_series_and_its_edges(self, viewer):
        pixels = np.arange(3 * 8 * 10, dtype=float).reshape(3, 8, 10)
        left, right = viewer.add_image(pixels), viewer.add_image(-pixels)
        swipe = Swipe(viewer, left, right)
        viewer.dims.set_current_step(0, 2)
        np.testing.assert_array_equal(swipe.cut.data, pixels[..., :5])
        swipe.place = -1
        assert swipe.place == 0
        assert swipe.cut.data.shape == (3, 8, 1)
        swipe.place = 2
        assert swipe.cut.data.shape == (3, 8, 10)
        assert np.shares_memory(swipe.cut.data, left.data), "pixels are shown, not copied"

    def test_the_mouse_drags_the_divider_and_elsewhere_the_picture(self, qtbot, viewer, sides):
        left, right, _ = sides
        swipe = Swipe(viewer, left, right)
        canvas = viewer.window._qt_viewer.canvas.native
        QApplication.processEvents()
        camera = getattr(viewer, "scene", viewer).camera
        centre = tuple(camera.center)
        height = canvas.height() // 2

        def drag(start, stop):
            # Qt delivers a move without buttons as hovering, and those with one as a drag.
            for place in (start - 1, start):
                QTest.mouseMove(canvas, QPoint(place, height))
                qtbot.wait(20)
            QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=QPoint(start, height))
            for place in np.linspace(start, stop, 5).astype(int):
                QTest.mouseMove(canvas, QPoint(int(place), height))
                qtbot.wait(20)
            QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=QPoint(stop, height))
            qtbot.wait(20)

        def divider_on_screen():
            _, green = seen(viewer)
            return round(np.flatnonzero(green).min() * canvas.width() / green.size)

        # A crowded machine paints later.
        qtbot.waitUntil(lambda: seen(viewer)[1].any())
        divider = divider_on_screen()
        shift = canvas.width() // 10
        drag(divider, divider + shift)
        qtbot.waitUntil(lambda: abs(divider_on_screen() - divider - shift) <= 6)
        assert tuple(camera.center) == centre
        place = swipe.place
        drag(divider - 2 * shift, divider - shift)
        assert swipe.place == place
        assert tuple(camera.center) != centre


class TestSwipeInTheWidget:
    def test_a_button_starts_and_ends_it_and_the_slider_moves_it(self, viewer, widget, raw):
        assert not widget.swipe_button.isEnabled()
        assert "two different" in widget.swipe_button.toolTip()
        other = viewer.add_image(raw.data, name="other")
        widget.left_box.value, widget.right_box.value = raw, other
        widget.swipe_button.click()
        assert widget.slider.value() == widget.slider.maximum() // 2
        assert widget.swipe.place == 0.5
        assert widget.swipe.running
        assert widget.swipe_button.text() == "End swipe"
        assert not widget.sides.isEnabled()
        widget.slider.setValue(250)
        assert widget.swipe.place == 0.25
        widget.swipe.place = 0.75
        assert widget.slider.value() == 750
        assert widget.swipe.cut not in widget.left_box.choices
        assert widget.image.layer is raw
        assert widget.image.layer_box.choices == (raw, other)
        widget.swipe_button.click()
        assert widget.swipe is None
        assert list(viewer.layers) == [raw, other]
        assert widget.swipe_button.text() == "Swipe"

    def test_a_layer_that_is_removed_ends_it_in_the_widget_too(self, viewer, widget, raw):
        other = viewer.add_image(raw.data, name="other")
        widget.left_box.value, widget.right_box.value = raw, other
        widget.swipe_button.click()
        viewer.layers.remove(other)
        assert widget.swipe is None
        assert not widget.swipe_button.isChecked()
        assert raw.visible

    def test_closing_the_widget_ends_it(self, qtbot, viewer, raw):
        widget = CompareWidget(viewer)
        dock = viewer.window.add_dock_widget(widget, name="Compare")
        other = viewer.add_image(raw.data, name="other")
        widget.left_box.value, widget.right_box.value = raw, other
        widget.swipe_button.click()
        viewer.window.remove_dock_widget(dock)
        widget.close()
        widget.deleteLater()
        qtbot.waitUntil(lambda: list(viewer.layers) == [raw, other])
        assert raw.visible
