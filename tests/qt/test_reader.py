"""OME-Zarr opened in napari: by the plugin's own reader, and by that of others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from menu import PLUGIN
from npe2 import PluginManager

from napari_zsdeconvnet._qt.layers.layer_axes import layer_voxel_size, read_as
from napari_zsdeconvnet._qt.layers.layer_metadata import recorded_of
from napari_zsdeconvnet._qt.layers.layers import layer_image, origin_of
from napari_zsdeconvnet._qt.widgets.main_widget import MainWidget
from napari_zsdeconvnet.io.image import Display, Image
from napari_zsdeconvnet.io.ome_zarr_writing import write_ome_zarr
from napari_zsdeconvnet.utils.errors import InputError

OTHERS = Path(__file__).parents[1] / "data"
LONG = 300_000  # milliseconds; shared machines can be slow


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A time series of two channels of a volume, as this package writes it."""
    pixels = np.random.default_rng(1).random((2, 2, 3, 40, 600)).astype(np.float32)
    image = Image(
        pixels,
        "TCZYX",
        voxel_size=(0.3, 0.1, 0.1),
        channel_names=("DAPI", "RFP"),
        frame_interval=0.5,
        display=(Display("0000FF"), Display("FF8000")),
        position=(0.0, -0.05, -0.05),
    )
    write_ome_zarr(tmp_path / "cells.ome.zarr", image)
    return tmp_path / "cells.ome.zarr"


def placed(layer):
    """Return what a layer says of its axes, without translation."""
    units = tuple(str(unit) for unit in layer.units)
    return tuple(layer.axis_labels), units, tuple(np.round(layer.scale, 9))


PLACE = (
    ("t", "z", "y", "x"),
    ("second", "micrometer", "micrometer", "micrometer"),
    (0.5, 0.3, 0.1, 0.1),
)


def windows(path: Path):
    """Return the contrast of each channel as the file says it."""
    ome = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]
    found = [one["window"] for one in ome["omero"]["channels"]]
    return [(one["start"], one["end"]) for one in found]


def test_our_own_reader(plugin, viewer, path):
    dapi, rfp = viewer.open(str(path), plugin=PLUGIN)
    assert (dapi.name, rfp.name) == ("cells DAPI", "cells RFP")
    for layer, window in zip((dapi, rfp), windows(path), strict=True):
        assert placed(layer) == PLACE
        assert layer.multiscale
        assert [level.shape[-2:] for level in layer.data] == [(40, 600), (20, 300)]
        np.testing.assert_allclose(layer.translate, (0, 0, -0.05, -0.05))
        np.testing.assert_allclose(layer.contrast_limits, window)
        assert layer.blending == "additive"
        assert not isinstance(layer.data[0], np.ndarray), "pixels are read where they are shown"
    assert dapi.colormap.name == "blue"
    np.testing.assert_allclose(rfp.colormap.map(1.0).ravel()[:3], (1, 128 / 255, 0), atol=1e-3)
    assert recorded_of(rfp).channel_names == ("RFP",)
    origin = origin_of(rfp, read_as(rfp))
    assert (origin.path, origin.channel) == (str(path.resolve()), 1)
    assert layer_voxel_size(rfp) == pytest.approx((0.3, 0.1, 0.1))
    assert layer_image(rfp).data.shape == (2, 3, 40, 600)


def test_a_page_takes_it_as_it_is(plugin, viewer, qtbot, path):
    widget = MainWidget(viewer)
    viewer.window.add_dock_widget(widget, name="All steps")
    layer, _ = viewer.open(str(path), plugin=PLUGIN)
    viewer.layers.selection.active = layer
    assert read_as(layer).axes == "TZYX"
    assert placed(layer) == PLACE


def test_a_layer_is_saved_and_opened_again(plugin, viewer, tmp_path):
    pixels = np.random.default_rng(0).random((3, 40, 50)).astype(np.float32)
    place = {"axis_labels": "zyx", "scale": (0.3, 0.1, 0.1), "units": ("um",) * 3}
    layer = viewer.add_image(pixels, **place)
    (path,) = layer.save(str(tmp_path / "saved.ome.zarr"))
    (again,) = viewer.open(path, plugin=PLUGIN)
    np.testing.assert_array_equal(layer_image(again).data, pixels)
    assert layer_voxel_size(again) == pytest.approx((0.3, 0.1, 0.1))


@pytest.mark.parametrize("name", ["ome-zarr-py-0.4.zarr.zip", "ome-writers-0.5.ozx"])
def test_zip_files_of_other_programs(plugin, viewer, name):
    gfp, rfp = viewer.open(str(OTHERS / name), plugin=PLUGIN)
    assert (gfp.name.split()[-1], rfp.name.split()[-1]) == ("GFP", "RFP")
    assert layer_voxel_size(gfp) == pytest.approx((0.3, 0.1, 0.1))
    assert placed(gfp)[0] == (("z", "y", "x") if "0.4" in name else ("t", "z", "y", "x"))


def told(path: Path, **ome) -> None:
    """Change what a file says of itself."""
    said = json.loads((path / "zarr.json").read_text())
    said["attributes"]["ome"].update(ome)
    (path / "zarr.json").write_text(json.dumps(said))


def test_what_cannot_be_opened_says_why(plugin, viewer, tmp_path, path):
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(InputError, match="holds no Zarr that can be read"):
        viewer.open(str(tmp_path / "empty.zarr"), plugin=PLUGIN)
    told(path, version="0.6")
    with pytest.raises(InputError, match=r"is OME-Zarr 0\.6.*update napari-zsdeconvnet"):
        viewer.open(str(path), plugin=PLUGIN)
    assert not viewer.layers


def test_chunks_that_are_missing_or_damaged(plugin, viewer, path, notifications):
    chunk = path / "0/c/0/0/0/0/0"
    pixels = chunk.read_bytes()
    chunk.unlink()
    viewer.open(str(path), plugin=PLUGIN)
    (said,) = [words for kind, words in notifications if kind == "warning"]
    assert "1 of 4 chunk files are missing (0/c/0/0/0/0/0)" in said
    viewer.layers.clear()
    chunk.write_bytes(pixels[:20])
    dapi, _ = viewer.open(str(path), plugin=PLUGIN)
    assert not dapi.data[0][0].any()
    assert "the chunk 0/c/0/0/0/0/0 cannot be read" in notifications[-1][1]
    assert "It is shown black." in notifications[-1][1]
    with pytest.raises(InputError, match=r"the chunk 0/c/0/0/0/0/0 cannot be read"):
        np.asarray(layer_image(dapi).data[0])


def test_axes_in_another_order_and_no_scale(plugin, viewer, tmp_path, notifications):
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="w")
    group.create_array("0", data=np.zeros((20, 30, 2), np.uint16))
    axes = [{"name": "y"}, {"name": "x"}, {"name": "c", "type": "channel"}]
    levels = [{"path": "0", "coordinateTransformations": []}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": levels}]}
    one, other = viewer.open(str(tmp_path / "a.ome.zarr"), plugin=PLUGIN)
    assert one.data.shape == other.data.shape == (20, 30)
    assert [str(unit) for unit in one.units] == ["pixel", "pixel"]
    assert layer_voxel_size(one) is None
    said = " ".join(words for _, words in notifications)
    assert "an order that OME-Zarr does not allow" in said
    assert "gives no scale, hence no pixel size" in said


def test_napari_offers_it_for_these_names_alone(plugin):
    def offered(name: str) -> bool:
        readers = PluginManager.instance().iter_compatible_readers([name])
        return PLUGIN in {one.plugin_name for one in readers}

    for name in ("a.ome.zarr", "a.zarr", "a.zarr.zip", "a.ozx"):
        assert offered(name)
    assert not offered("a.tif")


def test_the_reader_of_others_shows_the_same(plugin, viewer, path):
    pytest.importorskip("napari_ome_zarr", reason="napari-ome-zarr is not installed")
    from npe2 import PluginManifest

    manager = PluginManager.instance()
    if "napari-ome-zarr" not in manager:
        manager.register(PluginManifest.from_distribution("napari-ome-zarr"))
    layers = viewer.open(str(path), plugin="napari-ome-zarr")
    assert [layer.name for layer in layers] == ["cells.ome.zarr: DAPI", "cells.ome.zarr: RFP"]
    for layer, window in zip(layers, windows(path), strict=True):
        assert placed(layer) == PLACE
        assert layer.multiscale
        np.testing.assert_allclose(layer.contrast_limits, window)
    assert layers[0].colormap.name == "blue"


def test_naparis_own_reader_is_told_what_the_file_says(viewer, qtbot, path):
    """Which gives the pixels alone."""
    widget = MainWidget(viewer)
    viewer.window.add_dock_widget(widget, name="All steps")
    (layer,) = viewer.open(str(path), plugin="napari")
    qtbot.waitUntil(lambda: placed(layer)[0][0] == "t", timeout=LONG)
    assert placed(layer)[0] == ("t", "c", "z", "y", "x")
    assert placed(layer)[2] == (0.5, 1.0, 0.3, 0.1, 0.1)
    assert recorded_of(layer).channel_names == ("DAPI", "RFP")
