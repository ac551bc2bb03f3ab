"""What a file says of time, sizes and channel is in the files that its results are saved to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from npe2 import PluginManager

from napari_zsdeconvnet._qt.layers.writer import write_layer
from napari_zsdeconvnet._qt.widgets.one_click_widget import OneClickWidget
from napari_zsdeconvnet._qt.widgets.queue_widget import QueueWidget
from napari_zsdeconvnet.io.image_files import read_image
from napari_zsdeconvnet.io.image_writing import write_image
from napari_zsdeconvnet.model import presets
from napari_zsdeconvnet.simulation.sample import simulate

PIXEL = 0.0626
LONG = 300_000  # milliseconds; shared machines can be slow
OPTICS = {"na": 1.3, "wavelength": 525}
"""As typed: nanometres."""


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch):
    small = replace(presets.PRESETS["fast"], patch=48, batch=1, steps=2)
    monkeypatch.setitem(presets.PRESETS, "fast", small)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(OneClickWidget, "cell.tif"), (QueueWidget, "cell.ome.tif")],
    ids=["one click, ImageJ", "queue, OME"],
)
def test_results_of_a_series(qtbot, viewer, tmp_path, kind, name):
    frame = simulate("filaments", shape=(64, 72), pixel_size=PIXEL).raw
    series = np.stack([frame, np.roll(frame, 1, axis=0)])
    said = {"voxel_size": (PIXEL, PIXEL), "frame_interval": 0.05, "channel_names": ("GFP",)}
    write_image(tmp_path / name, series, axes="TYX", **said)
    widget = kind(viewer)
    viewer.window.add_dock_widget(widget)
    (layer,) = viewer.open(str(tmp_path / name), plugin="napari")
    if kind is OneClickWidget:
        widget.start(layer)
    else:
        widget.judge_box.value = False
        widget.start_button.click()
    qtbot.waitUntil(lambda: widget.asking, timeout=LONG)
    for box, value in OPTICS.items():
        widget.form.boxes[box].value = value
    widget.start_button.click()
    qtbot.waitUntil(lambda: not widget.running, timeout=LONG)

    for what, pixel in (("denoised", PIXEL), ("deconvolved", PIXEL / 2)):
        result = viewer.layers[f"{layer.name} {what}"]
        (path,) = result.save(str(tmp_path / f"{what}.ome.tif"))
        image = read_image(path)
        assert (image.axes, image.frame_interval) == ("TYX", pytest.approx(0.05))
        assert image.channel_names == ("GFP",)
        assert image.voxel_size == pytest.approx((pixel, pixel), rel=1e-4)
        np.testing.assert_array_equal(image.data, result.data)


def test_a_queue_reads_planes_as_the_file_says(qtbot, viewer, tmp_path):
    widget = QueueWidget(viewer)
    viewer.window.add_dock_widget(widget)
    stack = np.random.default_rng(0).poisson(30, (10, 64, 64)).astype(np.uint16)
    write_image(tmp_path / "stack.tif", stack, axes="ZYX", voxel_size=(0.3, PIXEL, PIXEL))
    viewer.open(str(tmp_path / "stack.tif"), plugin="napari")
    widget.start_button.click()
    qtbot.waitUntil(lambda: widget.asking, timeout=LONG)
    assert "stack is read as volume: 10 planes" in widget.status_label.text()
    assert "300 nm from plane to plane" in widget.status_label.text()
    widget.cancel()


def test_the_writer_takes_ome_names_alone(viewer, tmp_path):
    manager = PluginManager.instance()
    for name, command in (
        ("a.ome.tif", "napari-zsdeconvnet.write_layer"),
        ("a.OME.TIFF", "napari-zsdeconvnet.write_layer"),
        ("a.tif", "napari.write_image"),
    ):
        writer, _ = manager.get_writer(str(tmp_path / name), ["image"])
        assert writer.command == command
    stack = viewer.add_image(
        np.arange(24, dtype=np.uint16).reshape(2, 3, 4),
        scale=(300, 100, 100),
        units=("nm",) * 3,
        axis_labels=("z", "y", "x"),
    )
    data, attributes, _ = stack.as_layer_data_tuple()
    write_layer(str(tmp_path / "a.ome.tif"), data, attributes)
    image = read_image(tmp_path / "a.ome.tif")
    assert (image.axes, image.voxel_size) == ("ZYX", pytest.approx((0.3, 0.1, 0.1)))
    assert (image.channel_names, image.frame_interval) == ((), None)
