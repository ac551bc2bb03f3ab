from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_zsdeconvnet._qt.layers.layers import METADATA_KEY
from napari_zsdeconvnet._qt.layers.state import ViewerState
from napari_zsdeconvnet._qt.widgets.psf_widget import LAYER_NAME, PSFWidget
from napari_zsdeconvnet.io.image_writing import write_image
from napari_zsdeconvnet.psf.psf import PSF

PIXEL = 0.065  # micrometres, of the raw image


@pytest.fixture(scope="module")
def airy():
    return PSF.simulate(1.3, 0.525, PIXEL / 2, size=41)


@pytest.fixture
def open_widget(viewer):
    def dock(**options):
        options = {"name": "raw", "scale": (PIXEL, PIXEL), "units": ("um", "um"), **options}
        viewer.add_image(np.zeros((64, 80), dtype=np.uint16), **options)
        widget = PSFWidget(viewer)
        viewer.window.add_dock_widget(widget, name="PSF")
        return widget

    return dock


def make(qtbot, widget, page):
    widget.tabs.setCurrentIndex(widget.pages.index(page))
    QTest.mouseClick(widget.make_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not widget.busy, timeout=20_000)


def psf_layers(viewer):
    return [one for one in viewer.layers if one.metadata.get(METADATA_KEY) == ("psf", LAYER_NAME)]


def test_a_simulated_psf_lies_on_half_the_pixel_of_the_layer(open_widget, viewer, qtbot):
    widget = open_widget()
    assert widget.pixel_box.value == pytest.approx(65)
    assert "32.5 nm" in widget.grid_note.text()
    widget.simulate_page.na.value = 1.3
    widget.simulate_page.wavelength.value = 600
    make(qtbot, widget, widget.simulate_page)
    state = ViewerState.of(viewer)
    assert state.psf.voxel_size == pytest.approx((PIXEL / 2, PIXEL / 2))
    # The width of an Airy disc is 0.51 wavelengths over the NA; the pixel widens it a little.
    assert state.psf.fwhm[0] == pytest.approx(0.514 * 0.6 / 1.3, rel=0.03)
    text = widget.description.text()
    assert f"FWHM: {state.psf.fwhm[0] * 1000:.0f} nm (y)" in text
    assert "pixels of 32.5 nm" in text
    assert f"Finest period: {1000 / state.psf.otf_cutoff:.0f} nm" in text
    assert state.optics.na == 1.3
    assert state.optics.wavelength == pytest.approx(0.6)
    behind = widget.profile.legend.brush().color()  # the line at half of the peak runs below it
    assert behind.alpha() == 255
    assert behind == widget.profile.backgroundBrush().color()


def test_the_psf_is_shown_beside_the_image_in_one_layer(open_widget, viewer, qtbot):
    widget = open_widget()
    make(qtbot, widget, widget.simulate_page)
    (layer,) = psf_layers(viewer)
    np.testing.assert_allclose(layer.scale, PIXEL / 2)
    assert [str(unit) for unit in layer.units] == ["micrometer"] * 2
    assert layer.extent.world[0, 1] >= viewer.layers["raw"].extent.world[1, 1]
    widget.simulate_page.na.value = 0.8
    make(qtbot, widget, widget.simulate_page)
    assert psf_layers(viewer) == [layer]
    np.testing.assert_array_equal(layer.data, ViewerState.of(viewer).psf.array)
    assert layer.contrast_limits[1] == pytest.approx(layer.data.max())
    assert layer not in widget.image.layer_box.choices, "the PSF is no image to train on"


@pytest.mark.parametrize(
    ("scale", "units", "expected"),
    [
        ((0.065, 0.065), None, 0.0325),
        ((65, 65), ("nm", "nm"), 32.5),
        (None, None, 0.5),
    ],
)
def test_the_psf_layer_has_the_units_of_the_image(
    open_widget, viewer, qtbot, notifications, scale, units, expected
):
    widget = open_widget(scale=scale, units=units)
    widget.pixel_box.value = 65
    make(qtbot, widget, widget.simulate_page)
    (layer,) = psf_layers(viewer)
    assert layer.units == viewer.layers["raw"].units
    np.testing.assert_allclose(layer.scale, expected)
    assert not notifications, "napari warns of units that differ between layers"


def test_the_profile_falls_from_one_and_crosses_half_at_the_width(open_widget, viewer, qtbot):
    widget = open_widget()
    make(qtbot, widget, widget.simulate_page)
    curves = widget.profile.getPlotItem().listDataItems()
    assert [curve.name() for curve in curves] == ["along Y", "along X"]
    distance, value = curves[1].getOriginalDataset()
    assert value.max() == pytest.approx(1)
    above = distance[value >= 0.5]
    width = ViewerState.of(viewer).psf.fwhm[1]
    assert np.ptp(above) == pytest.approx(width, abs=PIXEL)


def test_without_a_pixel_size_the_widget_asks_for_it(open_widget, viewer, qtbot, notifications):
    widget = open_widget(scale=None, units=None)
    assert "not known" in widget.grid_note.text()
    make(qtbot, widget, widget.simulate_page)
    assert any("raw pixel size is not known" in message for _, message in notifications)
    widget.pixel_box.value = 100
    assert "50 nm" in widget.grid_note.text()
    make(qtbot, widget, widget.simulate_page)
    assert ViewerState.of(viewer).psf.voxel_size == pytest.approx((0.05, 0.05))


def test_a_pixel_that_the_layer_contradicts_is_said(open_widget):
    widget = open_widget()
    widget.pixel_box.value = 130
    assert "Take care: the layer's scale says 65 nm" in widget.grid_note.text()


def test_oblong_pixels_are_kept(open_widget, viewer, qtbot):
    widget = open_widget(scale=(0.07, PIXEL))
    make(qtbot, widget, widget.simulate_page)
    assert ViewerState.of(viewer).psf.voxel_size == pytest.approx((0.035, PIXEL / 2))


def test_bad_optics_are_said(open_widget, viewer, qtbot, notifications):
    widget = open_widget()
    widget.simulate_page.na.value = 1.6
    make(qtbot, widget, widget.simulate_page)
    assert any("refractive" in message for _, message in notifications)
    assert widget.make_button.isEnabled()
    assert ViewerState.of(viewer).psf is None


@pytest.mark.parametrize("says", ["the file", "the box"])
def test_a_file_on_another_grid_is_resampled(open_widget, viewer, qtbot, tmp_path, says):
    coarse = PSF.simulate(1.3, 0.525, PIXEL, size=31)
    path = tmp_path / "psf.tif"
    voxel_size = (PIXEL, PIXEL) if says == "the file" else None
    write_image(path, coarse.array, axes="YX", voxel_size=voxel_size)
    widget = open_widget()
    widget.file_page.path.value = path
    if says == "the box":
        widget.file_page.voxel_size.value = 65
    make(qtbot, widget, widget.file_page)
    psf = ViewerState.of(viewer).psf
    assert psf.voxel_size == pytest.approx((PIXEL / 2, PIXEL / 2))
    assert psf.fwhm[0] == pytest.approx(PSF.simulate(1.3, 0.525, PIXEL / 2).fwhm[0], rel=0.05)


def test_a_file_without_a_pixel_size_is_taken_for_the_output_grid_with_a_warning(
    open_widget, viewer, qtbot, tmp_path, airy
):
    np.save(tmp_path / "psf.npy", airy.array)
    widget = open_widget()
    widget.file_page.path.value = tmp_path / "psf.npy"
    make(qtbot, widget, widget.file_page)
    assert ViewerState.of(viewer).psf.voxel_size is None
    assert "Take care: psf.npy does not say its pixel size" in widget.description.text()


def test_of_a_volume_a_plane_is_taken_only_on_demand(open_widget, viewer, qtbot, tmp_path):
    volume = PSF.simulate(1.1, 0.525, PIXEL / 2, axial_step=0.2, planes=5, size=31)
    volume.write(tmp_path / "volume.tif")
    widget = open_widget()
    widget.file_page.path.value = tmp_path / "volume.tif"
    make(qtbot, widget, widget.file_page)
    assert ViewerState.of(viewer).psf.axes == "ZYX"
    assert "needs one plane of it" in widget.description.text()
    widget.file_page.in_focus.value = True
    make(qtbot, widget, widget.file_page)
    assert ViewerState.of(viewer).psf.axes == "YX"
    assert "Take care" not in widget.description.text()


@pytest.mark.parametrize("name", ["", "missing.tif"])
def test_a_file_that_is_not_there_is_said(open_widget, qtbot, tmp_path, notifications, name):
    widget = open_widget()
    if name:
        widget.file_page.path.value = tmp_path / name
    make(qtbot, widget, widget.file_page)
    assert any(("missing.tif" if name else "No file") in text for _, text in notifications)


def test_a_layer_can_be_the_psf(open_widget, viewer, qtbot, airy):
    widget = open_widget()
    viewer.add_image(airy.array, name="my PSF", scale=airy.voxel_size, units=("um", "um"))
    assert widget.layer_page.layer.value.name == "my PSF"
    make(qtbot, widget, widget.layer_page)
    psf = ViewerState.of(viewer).psf
    np.testing.assert_allclose(psf.array, airy.array, atol=1e-4)
    assert "my PSF" in widget.description.text()


def test_beads_are_averaged_and_put_on_the_output_grid(open_widget, viewer, qtbot):
    bead = PSF.simulate(1.3, 0.525, PIXEL, size=31).array
    image = np.zeros((200, 200))
    for y in range(30, 180, 35):
        for x in range(30, 180, 35):
            image[y - 15 : y + 16, x - 15 : x + 16] += 20_000 * bead
    counts = 100 + np.random.default_rng(0).poisson(image) + np.zeros(image.shape)
    widget = open_widget()
    viewer.add_image(counts.astype(np.uint16), name="beads", scale=(PIXEL,) * 2)
    widget.beads_page.layer.value = viewer.layers["beads"]
    make(qtbot, widget, widget.beads_page)
    psf = ViewerState.of(viewer).psf
    assert psf.voxel_size == pytest.approx((PIXEL / 2, PIXEL / 2))
    assert psf.fwhm[0] == pytest.approx(PSF.simulate(1.3, 0.525, PIXEL / 2).fwhm[0], rel=0.1)
    assert "beads" in psf.source


def test_a_psf_from_elsewhere_is_shown_and_a_wrong_grid_said(open_widget, viewer):
    widget = open_widget()
    ViewerState.of(viewer).psf = PSF.simulate(1.3, 0.525, PIXEL, size=21)
    assert "The grid of this PSF is 65 nm and the output's 32.5 nm" in widget.description.text()
    ViewerState.of(viewer).psf = None
    assert widget.description.text() == "No PSF yet."
    assert not widget.save_button.isEnabled()


def test_the_psf_is_saved(open_widget, viewer, qtbot, tmp_path, notifications):
    widget = open_widget()
    make(qtbot, widget, widget.simulate_page)
    widget.save(str(tmp_path / "kept.tif"))
    qtbot.waitUntil(lambda: any("kept.tif" in message for _, message in notifications))
    kept = PSF.read(tmp_path / "kept.tif")
    np.testing.assert_allclose(kept.array, ViewerState.of(viewer).psf.array, atol=1e-6)
    assert kept.voxel_size == pytest.approx((PIXEL / 2, PIXEL / 2))


def test_a_psf_with_its_axes_in_another_order(qtbot, viewer, open_widget, tmp_path):
    right = PSF.simulate(1.2, 0.525, PIXEL, axial_step=0.1, planes=31, size=21)
    write_image(tmp_path / "psf.tif", right.array.transpose(1, 2, 0), axes="ZYX")
    widget = open_widget()
    widget.file_page.path.value = tmp_path / "psf.tif"
    make(qtbot, widget, widget.file_page)
    assert "give its axes as YXZ" in widget.description.text()
    assert "YXZ" in widget.file_page.axes.choices
    widget.file_page.axes.value = "YXZ"
    make(qtbot, widget, widget.file_page)
    assert "give its axes" not in widget.description.text()
    np.testing.assert_allclose(ViewerState.of(viewer).psf.array, right.array, atol=1e-6)


def test_beads_that_are_cut_by_the_border_ask_for_a_smaller_crop(
    qtbot, viewer, open_widget, notifications
):
    y, x = np.mgrid[:90, :90]
    scene = sum(2e3 * np.exp(-((y - 9) ** 2 + (x - column) ** 2) / 18) for column in (30, 62))
    counts = np.random.default_rng(1).poisson(scene + 105).astype(np.uint16)
    widget = open_widget()
    viewer.add_image(counts, name="beads", scale=(PIXEL, PIXEL), units=("um", "um"))
    widget.beads_page.layer.value = viewer.layers["beads"]
    make(qtbot, widget, widget.beads_page)
    assert any("smaller size of the crops" in said for _, said in notifications)
    widget.beads_page.size.value = 17
    make(qtbot, widget, widget.beads_page)
    assert "2 beads" in ViewerState.of(viewer).psf.source
