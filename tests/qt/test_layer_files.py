"""Files dropped into napari, whose reader keeps nothing but the pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_zsdeconvnet._qt.widgets.deconvolve_widget import DeconvolveWidget
from napari_zsdeconvnet._qt.widgets.one_click_widget import OneClickWidget
from napari_zsdeconvnet._qt.widgets.psf_widget import PSFWidget
from napari_zsdeconvnet.io.image_writing import write_image

LONG = 20_000  # milliseconds; shared machines can be slow
STACK = np.arange(10 * 64 * 70, dtype=np.uint16).reshape(10, 64, 70)


def opened(qtbot, viewer, path: Path, kind=DeconvolveWidget):
    """A widget, and the layer of a file that was opened while it was there."""
    widget = kind(viewer)
    viewer.window.add_dock_widget(widget)
    (layer,) = viewer.open(str(path), plugin="napari")
    widget.image.layer = layer
    qtbot.waitUntil(lambda: not widget.image.looking, timeout=LONG)
    return widget, layer


def test_a_volume_gets_its_axes_and_steps(qtbot, viewer, tmp_path):
    path = tmp_path / "cell.tif"
    write_image(path, STACK, axes="ZYX", voxel_size=(0.3, 0.12, 0.1))
    widget, layer = opened(qtbot, viewer, path)
    qtbot.waitUntil(lambda: layer.axis_labels == ("z", "y", "x"), timeout=LONG)
    np.testing.assert_allclose(layer.scale, (0.3, 0.12, 0.1))
    assert {str(unit) for unit in layer.units} == {"micrometer"}
    assert widget.image.reading.axes == "ZYX"
    assert widget.image.reading.voxel_size == pytest.approx((0.3, 0.12, 0.1))
    # What the user writes then stays, whichever widget looks next.
    layer.scale = (0.5, 0.1, 0.1)
    viewer.window.add_dock_widget(other := PSFWidget(viewer))
    qtbot.waitUntil(lambda: not other.image.looking, timeout=LONG)
    assert other.image.reading.voxel_size == (0.5, 0.1, 0.1)


def test_frames_get_their_interval(qtbot, viewer, tmp_path):
    path = tmp_path / "cell.tif"
    write_image(path, STACK, axes="TYX", voxel_size=(0.1, 0.1), frame_interval=0.05)
    widget, layer = opened(qtbot, viewer, path)
    qtbot.waitUntil(lambda: layer.scale[0] == 0.05, timeout=LONG)
    assert [str(unit) for unit in layer.units] == ["second", "micrometer", "micrometer"]
    assert widget.image.reading.kind == "time series"


def test_channels_behind_y_and_x_are_refused(qtbot, viewer, tmp_path):
    path = tmp_path / "cell.tif"
    how = {"photometric": "minisblack", "planarconfig": "contig", "metadata": None}
    tifffile.imwrite(path, np.stack([STACK[0], STACK[1]], -1), **how)
    widget, layer = opened(qtbot, viewer, path)
    qtbot.waitUntil(lambda: "behind Y and X" in widget.image.note.text(), timeout=LONG)
    assert widget.image.reading is None
    assert layer.axis_labels == ("-3", "-2", "-1")


def test_a_size_that_cannot_be_read_is_asked_for(qtbot, viewer, tmp_path):
    path = tmp_path / "cell.tif"
    tifffile.imwrite(
        path,
        STACK,
        imagej=True,
        resolution=(10, 10),
        metadata={"axes": "ZYX", "unit": "um", "spacing": "three"},
    )
    widget, layer = opened(qtbot, viewer, path)
    qtbot.waitUntil(lambda: layer.axis_labels == ("z", "y", "x"), timeout=LONG)
    assert "step between planes is not known" in widget.image.note.text()
    widget.image.step_box.value = 300
    assert widget.image.reading.voxel_size == pytest.approx((0.3, 0.1, 0.1))


def test_planes_that_are_missing_are_said_and_refused(qtbot, viewer, tmp_path, notifications):
    whole, path = tmp_path / "whole.ome.tif", tmp_path / "part.ome.tif"
    tifffile.imwrite(whole, STACK, ome=True, metadata={"axes": "ZYX"})
    with tifffile.TiffFile(whole) as tiff:
        xml = tiff.ome_metadata
    with tifffile.TiffWriter(path) as writer:
        for index, page in enumerate(STACK[:6]):
            said = xml.encode() if index == 0 else None
            writer.write(page, description=said, metadata=None, contiguous=False)
    widget, layer = opened(qtbot, viewer, path, OneClickWidget)
    qtbot.waitUntil(lambda: "4 of the 10 planes" in widget.image.note.text(), timeout=LONG)
    assert widget.image.reading is None
    widget.start(layer)
    qtbot.waitUntil(lambda: not widget.running, timeout=LONG)
    assert not widget.asking
    assert any("4 of the 10 planes" in said for _, said in notifications)


def test_one_click_says_where_the_sizes_come_from(qtbot, viewer, tmp_path):
    path = tmp_path / "cell.tif"
    write_image(path, STACK, axes="ZYX", voxel_size=(0.3, 0.1, 0.1))
    widget, layer = opened(qtbot, viewer, path, OneClickWidget)
    widget.start(layer)
    qtbot.waitUntil(lambda: widget.asking, timeout=LONG)
    assert widget.form.values()["axial_step"] == pytest.approx(0.3)
    assert widget.form.values()["pixel_size"] == pytest.approx(0.1)
    assert "axial_step" in widget.form.asked
    facts = widget.known.now.facts()
    assert facts["pixel_size"].origin == facts["axial_step"].origin == "from the file"
    widget.cancel()


def test_a_scale_in_nanometres_is_recognised(qtbot, viewer):
    layer = viewer.add_image(STACK, scale=(300, 65, 65), axis_labels=("z", "y", "x"))
    widget = DeconvolveWidget(viewer)
    viewer.window.add_dock_widget(widget)
    widget.image.layer = layer
    assert "did you mean 0.3 µm (300 nm)?" in widget.image.note.text()
    assert widget.image.reading is None
    layer.scale = (0.3, 0.065, 0.065)
    assert widget.image.reading.voxel_size == pytest.approx((0.3, 0.065, 0.065))
    widget.image.step_box.value = 250_000
    assert "did you mean 0.25 µm (250 nm)?" in widget.image.note.text()
    np.testing.assert_allclose(layer.scale, (0.3, 0.065, 0.065))
    widget.image.step_box.value = 250
    assert widget.image.reading.voxel_size[0] == 0.25


def test_micrometres_typed_for_nanometres_are_recognised_by_the_form(qtbot, viewer):
    layer = viewer.add_image(STACK[0], name="cell")
    widget = OneClickWidget(viewer)
    viewer.window.add_dock_widget(widget)
    widget.start(layer)
    qtbot.waitUntil(lambda: widget.asking, timeout=LONG)
    widget.form.boxes["na"].value = 1.2
    widget.form.boxes["wavelength"].value = 525
    widget.form.boxes["pixel_size"].value = 0.07
    assert "did you mean 0.07 µm (70 nm)?" in widget.form.missing
    assert not widget.start_button.isEnabled()
    widget.form.boxes["pixel_size"].value = 70
    assert widget.form.missing == ""
    widget.cancel()


def test_a_normalised_image_is_refused_by_one_click(qtbot, viewer, notifications):
    counts = np.random.default_rng(0).poisson(200, (96, 96)).astype(np.float32)
    layer = viewer.add_image(
        counts / counts.max(), name="cell", scale=(0.1, 0.1), units=("um", "um")
    )
    widget = OneClickWidget(viewer)
    viewer.window.add_dock_widget(widget)
    widget.start(layer)
    qtbot.waitUntil(lambda: widget.asking, timeout=LONG)
    widget.form.boxes["na"].value = 1.2
    widget.form.boxes["wavelength"].value = 525
    widget.start_button.click()
    qtbot.waitUntil(lambda: not widget.running, timeout=LONG)
    assert any("normalised elsewhere" in said for _, said in notifications)
