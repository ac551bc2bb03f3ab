from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_zsdeconvnet import tiling
from napari_zsdeconvnet.tiling import as_tensor, fitting_tile, free_memory, tiles, window


class TestWindow:
    @pytest.mark.parametrize("shape", [(9, 12), (3, 2), (40, 1), (1, 1)])
    def test_is_cut_from_a_frame_that_goes_on_by_reflection(self, shape):
        frame = np.random.default_rng(0).integers(0, 65535, shape).astype(np.uint16)
        rim = 30
        padded = np.pad(frame.astype(np.float32), rim, mode="reflect")
        generator = np.random.default_rng(1)
        for _ in range(60):
            top, left = generator.integers(-rim, shape[0] + 8), generator.integers(-rim, shape[1])
            height, width = generator.integers(1, 20, 2)
            if max(top + height - shape[0], left + width - shape[1]) > rim:
                continue
            cut = window(torch.from_numpy(frame), int(top), int(left), int(height), int(width))
            assert cut.dtype == torch.float32
            expected = padded[top + rim : top + rim + height, left + rim : left + rim + width]
            np.testing.assert_array_equal(cut, expected)

    def test_may_lie_wholly_outside(self):
        frame = torch.arange(10.0).expand(4, 10)
        assert window(frame, 0, -5, 1, 4).tolist() == [[5, 4, 3, 2]]
        assert window(frame, 0, 10, 1, 3).tolist() == [[8, 7, 6]]


class TestAsTensor:
    def test_shares_the_memory_of_a_file_mapped_read_only(self, tmp_path: Path):
        np.save(tmp_path / "frames.npy", np.arange(24, dtype=np.uint16).reshape(2, 3, 4))
        mapped = np.load(tmp_path / "frames.npy", mmap_mode="r")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tensor = as_tensor(mapped)
        assert tensor.data_ptr() == mapped.ctypes.data
        assert tensor.dtype == torch.uint16

    @pytest.mark.parametrize("dtype", ["f8", ">u2", ">f4", "i8", "u4", "f2", "i1", "u1", "i2"])
    def test_takes_every_real_type(self, dtype: str):
        array = np.arange(12).reshape(3, 4).astype(dtype)
        np.testing.assert_array_equal(as_tensor(array).float(), array.astype(np.float32))

    def test_takes_flipped_and_strided_views(self):
        array = np.arange(48, dtype=np.float32).reshape(6, 8)[::-1, ::2]
        np.testing.assert_array_equal(as_tensor(array), array)


class TestTiles:
    @pytest.mark.parametrize("shape", [(100, 130), (64, 64), (5, 300), (1, 1), (129, 67)])
    @pytest.mark.parametrize(
        ("size", "overlap", "multiple"), [(64, 10, 4), (48, 16, 16), (9, 3, 1)]
    )
    def test_cover_every_pixel_once_with_enough_context(self, shape, size, overlap, multiple):
        count = np.zeros(shape, int)
        for tile in tiles(shape, size, overlap, multiple):
            count[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width] += 1
            for start, length, begin, extent in (
                (tile.top, tile.height, tile.window_top, tile.window_height),
                (tile.left, tile.width, tile.window_left, tile.window_width),
            ):
                assert start - begin >= overlap
                assert begin + extent - (start + length) >= overlap
                assert begin % multiple == 0
                assert extent % multiple == 0
                assert extent <= size or size < 2 * overlap + 3 * multiple
        assert (count == 1).all()

    def test_a_tile_too_small_for_its_overlap_still_moves_on(self):
        assert len(list(tiles((8, 8), 2, 16, 4))) == 4


class TestMemory:
    def test_the_tile_follows_the_free_memory(self, monkeypatch: pytest.MonkeyPatch):
        cpu = torch.device("cpu")
        monkeypatch.setattr(tiling, "free_memory", lambda device: 10**9)
        width = fitting_tile(cpu, 5000)
        assert width**2 * 5000 <= tiling.MEMORY_SHARE * 10**9
        assert (width + 1) ** 2 * 5000 > tiling.MEMORY_SHARE * 10**9
        monkeypatch.setattr(tiling, "free_memory", lambda device: 10**13)
        assert fitting_tile(cpu, 5000) == tiling.LARGEST_TILE

    def test_the_host_has_some(self):
        assert free_memory(torch.device("cpu")) > 10**6
