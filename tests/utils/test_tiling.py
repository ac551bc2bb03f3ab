from __future__ import annotations

import numpy as np
import pytest
import torch
from watched import Watched

from napari_zsdeconvnet.utils import tiling
from napari_zsdeconvnet.utils.tiling import (
    fitting_tile,
    free_memory,
    smaller_tile,
    smallest_tile,
    tiles,
    window,
)


class TestWindow:
    @pytest.mark.parametrize("shape", [(9, 12), (3, 2), (40, 1), (1, 1), (5, 9, 12)])
    def test_is_cut_from_a_frame_that_goes_on_by_reflection(self, shape):
        frame = np.random.default_rng(0).integers(0, 65535, shape).astype(np.uint16)
        rim = 30
        padded = np.pad(frame.astype(np.float32), rim, mode="reflect")
        generator = np.random.default_rng(1)
        for _ in range(60):
            start = generator.integers(-rim, np.array(shape) + 8)
            size = generator.integers(1, 20, len(shape))
            if max(start + size - shape) > rim:
                continue
            cut = window(frame[None], 0, start.tolist(), size.tolist())
            assert cut.dtype == torch.float32
            inside = tuple(slice(a + rim, a + rim + n) for a, n in zip(start, size, strict=True))
            np.testing.assert_array_equal(cut, padded[inside])

    def test_may_lie_wholly_outside(self):
        frames = np.tile(np.arange(10.0), (1, 4, 1))
        assert window(frames, 0, (0, -5), (1, 4)).tolist() == [[5, 4, 3, 2]]
        assert window(frames, 0, (0, 10), (1, 3)).tolist() == [[8, 7, 6]]

    @pytest.mark.parametrize("dtype", ["f8", ">u2", ">f4", "i8", "u4", "f2", "i1", "u1", "i2"])
    def test_takes_every_real_type(self, dtype: str):
        frames = np.arange(24).reshape(2, 3, 4).astype(dtype)
        cut = window(frames, 1, (-1, 0), (3, 4))
        np.testing.assert_array_equal(cut, frames[1][[1, 0, 1]].astype(np.float32))

    def test_takes_flipped_and_strided_views(self):
        frames = np.arange(48, dtype=np.float32).reshape(1, 6, 8)[:, ::-1, ::2]
        np.testing.assert_array_equal(window(frames, 0, (0, 0), (6, 4)), frames[0])

    def test_reads_nothing_else(self):
        volumes = Watched(np.zeros((3, 20, 30, 40), np.uint16), most=5 * 6 * 7)
        window(volumes, 2, (4, -2, 33), (5, 8, 9))


class TestTiles:
    @pytest.mark.parametrize("shape", [(100, 130), (64, 64), (5, 300), (1, 1), (20, 67, 40)])
    @pytest.mark.parametrize(
        ("size", "overlap", "multiple"), [(64, 10, 4), (48, 16, 16), (9, 3, 1)]
    )
    def test_cover_every_pixel_once_with_enough_context(self, shape, size, overlap, multiple):
        count = np.zeros(shape, int)
        same = (len(shape),)
        for tile in tiles(
            shape, np.full(same, size), np.full(same, overlap), np.full(same, multiple)
        ):
            count[tuple(map(slice, tile.start, np.add(tile.start, tile.shape)))] += 1
            for start, length, begin, extent, full in zip(
                tile.start, tile.shape, tile.window_start, tile.window_shape, shape, strict=True
            ):
                assert start - begin >= overlap
                assert begin + extent - (start + length) >= overlap
                assert begin % multiple == 0
                assert extent % multiple == 0
                assert extent <= size or size < 2 * overlap + 3 * multiple
                assert start + length <= full
        assert (count == 1).all()

    def test_windows_reach_beyond_the_frame_no_further_than_its_border(self):
        for tile in tiles((40, 200), (30, 90), (9, 33), (1, 4), (3, 10)):
            for axis, (full, overlap, multiple, border) in enumerate(
                ((40, 9, 1, 3), (200, 33, 4, 12))
            ):
                start, length = tile.start[axis], tile.shape[axis]
                begin = tile.window_start[axis]
                end = begin + tile.window_shape[axis]
                assert begin >= -border
                assert end <= full + border
                assert start - begin >= min(overlap, start + border)
                assert end - (start + length) >= min(overlap, full + border - start - length)
                assert begin % multiple == 0
                assert (end - begin) % multiple == 0

    def test_what_fits_in_one_window_needs_no_overlap(self):
        (tile,) = tiles((20, 100), (32, 124), (50, 200), (1, 4), (6, 12))
        assert tile.window_start == (-6, -12)
        assert tile.window_shape == (32, 124)

    def test_a_tile_too_small_for_its_overlap_still_moves_on(self):
        assert len(list(tiles((8, 8), (2, 2), (16, 16), (4, 4), (0, 0)))) == 4


class TestMemory:
    def fitting(self, shape=(9000, 9000), overlap=(20, 20), border=(20, 20)) -> tuple[int, ...]:
        multiple = (1, 4, 4)[-len(shape) :]
        return fitting_tile(torch.device("cpu"), 5000, shape, overlap, multiple, border)

    def test_the_tile_follows_the_free_memory(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(tiling, "free_memory", lambda device: 10**9)
        height, width = self.fitting()
        assert height == width
        assert width**2 * 5000 <= tiling.MEMORY_SHARE * 10**9
        assert (width + 1) ** 2 * 5000 > tiling.MEMORY_SHARE * 10**9
        monkeypatch.setattr(tiling, "free_memory", lambda device: 10**13)
        assert self.fitting()[0] ** 2 * 5000 <= tiling.WORKING_MEMORY

    def test_the_tile_of_a_volume_is_as_deep_as_the_volume_where_that_fits(self, monkeypatch):
        monkeypatch.setattr(tiling, "free_memory", lambda device: 4 * 10**9)
        depth, height, width = self.fitting((10, 900, 900), (8, 20, 20), (2, 8, 8))
        assert depth == 14
        assert height == width > 2 * 20 + 16
        assert depth * height * width * 5000 <= tiling.MEMORY_SHARE * 4 * 10**9
        depth, *_ = self.fitting((3000, 900, 900), (8, 20, 20), (2, 8, 8))
        assert 2 * 8 < depth < 100

    def test_where_it_runs_out_the_field_is_halved_first(self):
        overlap, multiple = (8, 20, 20), (1, 4, 4)
        sizes = [(100, 300, 300)]
        while smaller := smaller_tile(sizes[-1], overlap, multiple):
            sizes.append(smaller)
        assert sizes[1] == (100, 150, 150)
        assert sizes[-1] == smallest_tile(overlap, multiple) == (20, 56, 56)

    def test_the_host_has_some(self):
        assert free_memory(torch.device("cpu")) > 10**6
