"""ND2, CZI and LIF: pixels, metadata and scenes, and what is wrong with a file."""

from __future__ import annotations

import gc
import pickle
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.io import image_files, pages
from napari_zsdeconvnet.io.acquisition import Optics
from napari_zsdeconvnet.io.lazy import LazyArray
from tests.io.microscope_files import write_czi, write_lif, write_nd2
from tests.refusals import refused

pytest.importorskip("nd2")
pytest.importorskip("liffile")

needs_czi = pytest.mark.skipif(not find_spec("pylibCZIrw"), reason="no CZI for this Python")


def pixels(*shape: int) -> NDArray[np.uint16]:
    return np.random.default_rng(0).integers(90, 4000, shape).astype(np.uint16)


def written(folder: Path, suffix: str, data: NDArray[np.uint16]) -> Path:
    """Write (scene, T, Z, C, Y, X) in a format."""
    path = folder / f"cells{suffix}"
    if suffix == ".nd2":
        write_nd2(path, data)
    elif suffix == ".czi":
        write_czi(path, data)
    else:
        write_lif(path, {f"A{n + 1}": scene for n, scene in enumerate(data)})
    return path


@pytest.mark.parametrize("suffix", [".nd2", pytest.param(".czi", marks=needs_czi), ".lif"])
class TestEachFormat:
    def test_pixels_axes_and_sizes(self, tmp_path: Path, suffix: str) -> None:
        data = pixels(1, 2, 3, 2, 20, 30)
        image = zs.read_image(written(tmp_path, suffix, data))
        assert image.axes == "TCZYX"
        assert np.array_equal(image.data, data[0].transpose(0, 2, 1, 3, 4))
        assert image.data.dtype == np.uint16
        assert image.voxel_size == pytest.approx((0.4, 0.1, 0.1))
        assert image.notes == ()
        assert image.origin is not None
        assert image.origin.scene is None

    def test_single_image(self, tmp_path: Path, suffix: str) -> None:
        data = pixels(1, 1, 1, 1, 20, 30)
        image = zs.read_image(written(tmp_path, suffix, data))
        assert image.axes == "YX"
        assert image.voxel_size == pytest.approx((0.1, 0.1))
        assert np.array_equal(image.data, data[0, 0, 0, 0])

    def test_scenes(self, tmp_path: Path, suffix: str) -> None:
        data = pixels(3, 1, 1, 2, 20, 30)
        path = written(tmp_path, suffix, data)
        names = zs.scenes_of(path)
        assert len(names) == 3
        first = zs.read_image(path)
        assert np.array_equal(first.data, data[0, 0, 0])
        assert "holds 3 scenes; the first" in first.notes[0]
        for scene in (2, "2", names[2]):
            last = zs.read_image(path, scene=scene)
            assert np.array_equal(last.data, data[2, 0, 0])
            assert not last.notes
            assert last.origin is not None
            assert last.origin.scene == 2
        with refused("scene-missing"):
            zs.read_image(path, scene=3)
        with refused("scene-missing"):
            zs.read_image(path, scene="A9")

    def test_what_is_large_is_read_where_it_is_cut(
        self, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(image_files, "_MAPPED_FROM", 0)
        monkeypatch.setattr(pages.Pages, "kept", 0)
        data = pixels(2, 2, 3, 2, 20, 30)
        image = zs.read_image(written(tmp_path, suffix, data), scene=1)
        assert isinstance(image.data, LazyArray)
        assert np.array_equal(image.data[1, 0, 2, 3:9, 5:28:2], data[1, 1, 2, 0, 3:9, 5:28:2])
        assert np.array_equal(image.data[1, 0, 2, 3:9, 5:28], data[1, 1, 2, 0, 3:9, 5:28])
        assert np.array_equal(image.data[1, 1, 2, 4], data[1, 1, 2, 1, 4])
        again = pickle.loads(pickle.dumps(image.data))
        assert np.array_equal(again, data[1].transpose(0, 2, 1, 3, 4))

    def test_files_are_closed(self, tmp_path: Path, suffix: str) -> None:
        path = written(tmp_path, suffix, pixels(1, 1, 1, 1, 20, 30))
        zs.read_image(path)
        gc.collect()
        path.unlink()  # refused by Windows where it is open

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("kept", [0, 1, 60, 500, -4000, -100])
    def test_truncated(self, tmp_path: Path, suffix: str, kept: int) -> None:
        path = written(tmp_path, suffix, pixels(1, 2, 1, 1, 64, 64))
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(zs.InputError) as refusal:
            zs.read_image(path)
        assert refusal.value.code in ("file-empty", "scene-damaged", "scene-incomplete")
        assert path.name in str(refusal.value)
        gc.collect()

    def test_other_content(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"cells{suffix}"
        path.write_bytes(b"not a recording " * 100)
        with refused("scene-damaged"):
            zs.read_image(path)

    def test_without_the_extra(
        self, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = written(tmp_path, suffix, pixels(1, 1, 1, 1, 20, 30))
        for name in ("nd2", "liffile", "pylibCZIrw"):
            monkeypatch.setitem(sys.modules, name, None)
        with refused("extra-missing"):
            zs.read_image(path)


def test_nd2_optics_names_and_times(tmp_path: Path) -> None:
    write_nd2(tmp_path / "a.nd2", pixels(2, 3, 1, 2, 20, 30))
    image = zs.read_image(tmp_path / "a.nd2", scene="A2")
    assert image.channel_names == ("channel A", "channel B")
    assert image.optics[0].na == 1.4
    assert image.optics[0].wavelength == 0.525
    assert image.optics[0].refractive_index == 1.515
    assert [one.colour for one in image.display] == ["FF0000", "00FF00"]
    assert image.frame_interval == 2.0


def test_nd2_without_a_frame(tmp_path: Path) -> None:
    write_nd2(tmp_path / "a.nd2", pixels(1, 3, 1, 1, 20, 30), missing=1)
    with refused("scene-incomplete"):
        zs.read_image(tmp_path / "a.nd2")


def test_colours_are_refused(tmp_path: Path) -> None:
    write_nd2(tmp_path / "a.nd2", pixels(1, 1, 1, 3, 20, 30), rgb=True)
    write_lif(tmp_path / "a.lif", {"a": pixels(1, 1, 3, 20, 30)}, samples=3)
    for name in ("a.nd2", "a.lif"):
        with refused("rgb-picture"):
            zs.read_image(tmp_path / name)


@needs_czi
def test_colours_in_a_czi_are_refused(tmp_path: Path) -> None:
    write_czi(tmp_path / "a.czi", pixels(1, 1, 1, 1, 20, 30, 3))
    with refused("rgb-picture"):
        zs.read_image(tmp_path / "a.czi")


@needs_czi
def test_czi_names_and_tiles(tmp_path: Path) -> None:
    data = pixels(1, 1, 2, 2, 40, 60)
    write_czi(tmp_path / "a.czi", data, overlap=5)
    image = zs.read_image(tmp_path / "a.czi")
    assert image.channel_names == ("channel A", "channel B")
    assert np.array_equal(image.data, data[0, 0].transpose(1, 0, 2, 3))
    assert "put together of 2 tiles" in image.notes[0]


@needs_czi
def test_czi_without_a_plane(tmp_path: Path) -> None:
    write_czi(tmp_path / "a.czi", pixels(1, 2, 3, 1, 20, 30), leave_out=4)
    with refused("scene-incomplete"):
        zs.read_image(tmp_path / "a.czi")


def test_lif_optics_names_and_times(tmp_path: Path) -> None:
    write_lif(tmp_path / "a.lif", {"one": pixels(3, 1, 2, 20, 30)})
    image = zs.read_image(tmp_path / "a.lif")
    assert image.channel_names == ("dye 0", "dye 1")
    assert image.optics == (
        Optics(1.4, 0.51, 1.518, None, "widefield"),
        Optics(1.4, 0.61, 1.518, None, "widefield"),
    )
    assert [one.colour for one in image.display] == ["00FF00", "FF0000"]
    assert image.frame_interval == 2.0


def test_lif_tiles_are_scenes(tmp_path: Path) -> None:
    data = pixels(3, 1, 2, 20, 30)
    write_lif(tmp_path / "a.lif", {"scan": data}, dimensions="MZCYX")
    assert zs.scenes_of(tmp_path / "a.lif") == ("scan/0", "scan/1", "scan/2")
    image = zs.read_image(tmp_path / "a.lif", scene=1)
    assert np.array_equal(image.data, data[1, 0])


def test_axes_that_no_image_has(tmp_path: Path) -> None:
    write_lif(tmp_path / "a.lif", {"scan": pixels(3, 1, 2, 20, 30)}, dimensions="λZCYX")
    with refused("scene-axes"):
        zs.read_image(tmp_path / "a.lif")


def test_files_without_scenes(tmp_path: Path) -> None:
    zs.write_image(tmp_path / "a.tif", pixels(20, 30), axes="YX")
    assert zs.scenes_of(tmp_path / "a.tif") == ("a.tif",)
    assert zs.read_image(tmp_path / "a.tif", scene=0).axes == "YX"
    with refused("scene-missing"):
        zs.read_image(tmp_path / "a.tif", scene=1)
