"""OME-Zarr as it is written: all channels in one pyramid, valid, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.io.image import Display, finer
from napari_zsdeconvnet.io.ome_zarr import read_pyramid
from napari_zsdeconvnet.io.ome_zarr_writing import check_zarr_output, write_ome_zarr
from napari_zsdeconvnet.utils.files import folder_written_whole, replaced_together, written_whole

RNG = np.random.default_rng(3)


def volumes(dtype: str = "uint16") -> zs.Image:
    """Two time points of two channels of a flat volume, wider than the smallest level."""
    pixels = RNG.integers(0, 900, (2, 2, 3, 40, 1100)).astype(dtype)
    return zs.Image(
        pixels,
        "TCZYX",
        voxel_size=(0.3, 0.1, 0.1),
        name="cell.tif",
        channel_names=("DAPI", "RFP"),
        frame_interval=0.5,
        display=(Display("0000FF"), Display()),
        position=(0.6, -0.05, 0.0),
    )


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_all_that_is_known_comes_back_from_one_pyramid(tmp_path: Path, dtype: str) -> None:
    image = volumes(dtype)
    write_ome_zarr(tmp_path / "a.ome.zarr", image)
    levels = read_pyramid(tmp_path / "a.ome.zarr")
    assert [one.data.shape[-2:] for one in levels] == [(40, 1100), (20, 550), (10, 275)]
    back = levels[0]
    np.testing.assert_array_equal(back.data, image.data)
    assert back.data.dtype == dtype
    for what in ("axes", "channel_names", "frame_interval", "notes"):
        assert getattr(back, what) == getattr(image, what)
    assert back.voxel_size == pytest.approx(image.voxel_size)
    assert back.position == pytest.approx(image.position)
    assert [one.colour for one in back.display] == ["0000FF", "FF00FF"]
    for number, shown in enumerate(back.display):
        assert shown.window is not None
        low, high = shown.window
        assert 0 < low < high < 900, number
    means = np.asarray(levels[1].data)
    blocks = image.data.reshape(2, 2, 3, 20, 2, 550, 2).mean((4, 6))
    np.testing.assert_allclose(means, blocks, atol=0.8 if dtype == "uint16" else 1e-3)
    # Half of a fine pixel lies before the middle of the first coarse one.
    assert levels[1].position == pytest.approx((0.6, -0.05 + 0.05, 0.05))


def test_what_is_written_is_what_the_standard_asks(tmp_path: Path) -> None:
    yaozarrs = pytest.importorskip("yaozarrs")
    write_ome_zarr(tmp_path / "a.ome.zarr", volumes())
    yaozarrs.validate_zarr_store(str(tmp_path / "a.ome.zarr"))


def test_one_call_writes_by_the_ending_of_the_name(tmp_path: Path) -> None:
    pixels = RNG.random((30, 40)).astype(np.float32)
    zs.write_image(tmp_path / "a.ome.zarr", pixels, axes="YX", voxel_size=(0.1, 0.1))
    back = zs.read_image(tmp_path / "a.ome.zarr")
    assert (back.axes, back.voxel_size) == ("CYX", pytest.approx((0.1, 0.1)))
    np.testing.assert_array_equal(back.data[0], pixels)
    with pytest.raises(zs.InputError, match=r"does not end in \.tif or \.tiff or \.zarr"):
        zs.write_image(tmp_path / "a.png", pixels, axes="YX")
    with (
        pytest.raises(zs.InputError, match=r"does not end in \.tif or \.tiff;"),
        zs.written_image(tmp_path / "b.ome.zarr", (4, 4), axes="YX"),
    ):
        pass


def test_a_result_on_a_finer_grid_lies_over_its_image() -> None:
    image = zs.Image(np.zeros((8, 8)), "YX", voxel_size=(0.2, 0.2), position=(0, 1.0, 2.0))
    assert finer(image, 2).position == pytest.approx((0, 0.95, 1.95))
    assert finer(image, 2).voxel_size == pytest.approx((0.1, 0.1))


def test_a_failure_leaves_neither_half_a_folder_nor_takes_the_old_one(tmp_path: Path) -> None:
    old = tmp_path / "a.ome.zarr"
    write_ome_zarr(old, volumes())

    class Broken(np.ndarray):
        def __getitem__(self, index: object) -> object:
            raise zs.InputError("chunk-damaged", "A chunk cannot be read.")

    with pytest.raises(zs.InputError, match="A chunk cannot be read"):
        write_ome_zarr(old, zs.Image(np.zeros((4, 4)).view(Broken), "YX"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.ome.zarr"]
    assert read_pyramid(old)[0].channel_names == ("DAPI", "RFP")
    with pytest.raises(zs.InputError, match="does not exist"):
        write_ome_zarr(tmp_path / "nowhere" / "a.ome.zarr", volumes())


def test_a_folder_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "a.ome.zarr"
    folder.mkdir()
    write_ome_zarr(folder, volumes())  # an empty one may be
    other = tmp_path / "b.ome.zarr"
    other.mkdir()
    (other / "thesis.txt").write_text("all of it")
    for refused in (
        lambda: write_ome_zarr(other, volumes()),
        lambda: check_zarr_output(other, None, force=True),
    ):
        with pytest.raises(zs.InputError, match="holds no Zarr and is not replaced"):
            refused()
    assert (other / "thesis.txt").read_text() == "all of it"


def test_a_folder_takes_its_place_with_the_files_of_its_set(tmp_path: Path) -> None:
    target, record = tmp_path / "a.ome.zarr", tmp_path / "a.json"

    def write(text: str, fails: bool) -> None:
        with replaced_together():
            with folder_written_whole(target) as folder:
                (folder / "pixels").write_text(text)
            with written_whole(record) as file:
                file.write_text(text)
            assert not target.exists() or (target / "pixels").read_text() == "one"
            if fails:
                raise KeyboardInterrupt

    write("one", fails=False)
    with pytest.raises(KeyboardInterrupt):
        write("two", fails=True)
    assert (target / "pixels").read_text() == record.read_text() == "one"
    write("two", fails=False)
    assert (target / "pixels").read_text() == record.read_text() == "two"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.ome.zarr"]
