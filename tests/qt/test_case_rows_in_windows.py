"""Every row of the README of the cases, dropped into napari (the nucleus has a file of its own)."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from case_rows import (
    BEADS,
    CAMERA,
    GAIN,
    MISSING,
    OFFSET,
    PSFS,
    SATURATED,
    SERIES,
    SIM,
    SIZES,
    UNKNOWN,
)

from napari_zsdeconvnet._qt.layers.layer_axes import VOLUME
from napari_zsdeconvnet._qt.layers.state import ViewerState
from napari_zsdeconvnet._qt.widgets.deconvolve_widget import DeconvolveWidget
from napari_zsdeconvnet._qt.widgets.noise_widget import NoiseWidget
from napari_zsdeconvnet._qt.widgets.psf_widget import PSFWidget
from napari_zsdeconvnet._qt.widgets.sim_widget import SIMWidget
from napari_zsdeconvnet.noise.noise_model import NoiseModel

LONG = 60_000  # milliseconds; shared machines can be slow


def dropped(qtbot, viewer, widget, path):
    """The layer of a file, once its tags have been read."""
    (layer,) = viewer.open(str(path), plugin="napari")
    widget.image.layer = layer
    qtbot.waitUntil(lambda: not widget.image.looking, timeout=LONG)
    return layer


def test_cameras(qtbot, viewer, cases, notifications):
    ViewerState.of(viewer).noise = NoiseModel(offset=OFFSET, gain=None, read_variance=2.0)
    widget = NoiseWidget(viewer)
    viewer.window.add_dock_widget(widget)

    def measured(button):
        button.click()
        qtbot.waitUntil(lambda: not widget.busy, timeout=LONG)
        return ViewerState.of(viewer).noise

    for rows, button in (
        (CAMERA, widget.sources.buttons["image"]),
        (SERIES, widget.sources.buttons["series"]),
    ):
        for name, (error, words) in rows.items():
            dropped(qtbot, viewer, widget, cases / name)
            noise = measured(button)
            assert noise.gain == pytest.approx(GAIN, rel=error), name
            assert re.search(words, widget.summary.text()), name
    for name, (gain, words) in SATURATED.items():
        dropped(qtbot, viewer, widget, cases / name)
        before = measured(widget.sources.buttons["image"])
        assert re.search(words, notifications[-1][1])
        assert 'tick "allow saturated pixels"' in notifications[-1][1]
        widget.image.saturated_box.value = True
        noise = measured(widget.sources.buttons["image"])
        assert noise is not before
        assert noise.gain == pytest.approx(gain, rel=0.1), name
        assert "1261 saturated pixels" in widget.summary.text()


def test_sizes_times_and_planes(qtbot, viewer, cases):
    widget = DeconvolveWidget(viewer)
    viewer.window.add_dock_widget(widget)
    for name, (axes, size, interval) in SIZES.items():
        layer = dropped(qtbot, viewer, widget, cases / name)
        assert widget.image.reading.axes == axes
        assert widget.image.reading.voxel_size == pytest.approx(size)
        if interval is not None:
            assert layer.scale[0] == pytest.approx(interval)
            assert str(layer.units[0]) == "second"

    layer = dropped(qtbot, viewer, widget, cases / UNKNOWN)
    widget.image.kind_box.value = VOLUME
    layer.scale = (1, 0.1, 0.1)
    widget.image.step_box.value = 300
    assert widget.image.reading.voxel_size == pytest.approx((0.3, 0.1, 0.1))

    name, words = MISSING
    dropped(qtbot, viewer, widget, cases / name)
    assert widget.image.reading is None
    assert words in widget.image.note.text()


def test_psfs(qtbot, viewer, cases):
    widget = PSFWidget(viewer)
    viewer.window.add_dock_widget(widget)
    name, sigmas = BEADS
    dropped(qtbot, viewer, widget, cases / name)
    widget.beads_page.layer.value = viewer.layers[Path(name).stem]

    def make(page):
        widget.tabs.setCurrentIndex(widget.pages.index(page))
        widget.make_button.click()
        qtbot.waitUntil(lambda: not widget.busy, timeout=LONG)
        return ViewerState.of(viewer).psf

    psf = make(widget.beads_page)
    assert "fit to 4 beads" in psf.source
    assert psf.voxel_size[0] == pytest.approx(0.125)
    assert psf.fwhm == pytest.approx(2.355 * np.array(sigmas), rel=0.1)
    assert "No bead stands alone" in widget.description.text()
    for name, words in PSFS.items():
        widget.file_page.path.value = cases / name
        assert make(widget.file_page).source == name
        assert words in widget.description.text()


def test_sim_frames_as_channels_of_planes(qtbot, viewer, cases):
    name, expected = SIM
    ViewerState.of(viewer).noise = NoiseModel(offset=OFFSET, gain=GAIN, read_variance=2.0)
    widget = SIMWidget(viewer)
    viewer.window.add_dock_widget(widget)
    widget.microscope.na.value, widget.microscope.emission.value = 1.41, 525
    (layer,) = viewer.open(str(cases / name), plugin="napari")
    qtbot.waitUntil(lambda: widget.raw.pixel_size is not None, timeout=LONG)
    assert layer.axis_labels == ("z", "c", "y", "x")
    assert (widget.raw.frames.images, widget.raw.frames.axes) == (3, "TCYX")
    widget.estimate_button.click()
    qtbot.waitUntil(lambda: not widget.busy, timeout=LONG)
    angles = sorted(pattern.angle for pattern in widget.patterns)
    assert angles == pytest.approx(expected, abs=1)
    image = viewer.layers[f"{Path(name).stem} Wiener"]
    assert image.data.shape == (3, 320, 320)
    np.testing.assert_allclose(image.scale, (0.2, 0.0313, 0.0313))
