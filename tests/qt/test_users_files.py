"""The recordings that stand for what users bring, dropped into napari."""

from __future__ import annotations

import numpy as np
import pytest

from napari_zsdeconvnet._qt._deconvolve_widget import DeconvolveWidget
from napari_zsdeconvnet._qt._psf_widget import PSFWidget
from napari_zsdeconvnet._qt._readings import VOLUME
from napari_zsdeconvnet._qt._sim_widget import SIMWidget
from napari_zsdeconvnet._qt._state import ViewerState
from napari_zsdeconvnet.noise import NoiseModel

LONG = 60_000  # milliseconds; shared machines can be slow


def dropped(qtbot, viewer, widget, path):
    """The layer of a file, once its tags have been read."""
    (layer,) = viewer.open(str(path), plugin="napari")
    widget.image.layer = layer
    qtbot.waitUntil(lambda: not widget.image.looking, timeout=LONG)
    return layer


def test_sizes_times_and_planes(qtbot, viewer, cases):
    widget = DeconvolveWidget(viewer)
    viewer.window.add_dock_widget(widget)
    for name in ("units_z_in_micron", "decimal_comma"):
        dropped(qtbot, viewer, widget, cases / f"{name}.tif")
        assert widget.image.reading.axes == "ZYX"
        assert widget.image.reading.voxel_size == pytest.approx((0.3, 0.1, 0.1))
    layer = dropped(qtbot, viewer, widget, cases / "time_in_ms.tif")
    assert widget.image.reading.kind == "time series"
    assert layer.scale[0] == pytest.approx(0.05)
    assert str(layer.units[0]) == "second"

    layer = dropped(qtbot, viewer, widget, cases / "pages_of_nothing_known.tif")
    widget.image.kind_box.value = VOLUME
    layer.scale = (1, 0.1, 0.1)
    widget.image.step_box.value = 0.3
    assert widget.image.reading.voxel_size == pytest.approx((0.3, 0.1, 0.1))

    dropped(qtbot, viewer, widget, cases / "planes_missing.ome.tif")
    assert widget.image.reading is None
    assert "5 of the 14 planes" in widget.image.note.text()


def test_psfs(qtbot, viewer, cases):
    widget = PSFWidget(viewer)
    viewer.window.add_dock_widget(widget)
    dropped(qtbot, viewer, widget, cases / "beads.tif")
    widget.beads_page.layer.value = viewer.layers["beads"]

    def make(page):
        widget.tabs.setCurrentIndex(widget.pages.index(page))
        widget.make_button.click()
        qtbot.waitUntil(lambda: not widget.busy, timeout=LONG)
        return ViewerState.of(viewer).psf

    psf = make(widget.beads_page)
    assert "fit to 4 beads" in psf.source
    assert psf.voxel_size[0] == pytest.approx(0.125)
    assert "No bead stands alone" in widget.description.text()
    widget.file_page.path.value = cases / "psf_18_mib_deflate.tif"
    assert make(widget.file_page).source == "psf_18_mib_deflate.tif"
    widget.file_page.path.value = cases / "psf_yxz.tif"
    make(widget.file_page)
    assert "give its axes as YXZ" in widget.description.text()


def test_sim_frames_as_channels_of_planes(qtbot, viewer, cases):
    ViewerState.of(viewer).noise = NoiseModel(offset=100, gain=0.5, read_variance=2.0)
    widget = SIMWidget(viewer)
    viewer.window.add_dock_widget(widget)
    widget.microscope.na.value, widget.microscope.emission.value = 1.41, 525
    (layer,) = viewer.open(str(cases / "sim_zcyx.tif"), plugin="napari")
    qtbot.waitUntil(lambda: widget.raw.pixel_size is not None, timeout=LONG)
    assert layer.axis_labels == ("z", "c", "y", "x")
    assert (widget.raw.frames.images, widget.raw.frames.axes) == (3, "TCYX")
    widget.estimate_button.click()
    qtbot.waitUntil(lambda: not widget.busy, timeout=LONG)
    angles = sorted(pattern.angle for pattern in widget.patterns)
    assert angles == pytest.approx([18, 78, 138], abs=1)
    image = viewer.layers["sim_zcyx Wiener"]
    assert image.data.shape == (3, 320, 320)
    np.testing.assert_allclose(image.scale, (0.2, 0.0313, 0.0313))
