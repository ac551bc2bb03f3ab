from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
from watched import Watched

from napari_zsdeconvnet.io import lazy
from napari_zsdeconvnet.io.image import Image, as_frames, check_finite, check_pixels, spatial_axes
from napari_zsdeconvnet.io.lazy import LazyArray, is_lazy, volumes_in_slabs
from napari_zsdeconvnet.utils.errors import InputError


def series(dtype: str = ">u2") -> np.ndarray:
    """Six time points of a small volume, axes (T, Z, Y, X)."""
    return np.random.default_rng(5).poisson(100, (6, 4, 16, 20)).astype(dtype)


@pytest.fixture
def watched() -> Watched:
    pixels = series()
    return Watched(pixels, most=pixels[0].size)


class TestWhatIsLazy:
    def test_maps_and_foreign_arrays_are_and_arrays_in_memory_are_not(self, tmp_path: Path):
        np.save(tmp_path / "a.npy", series())
        mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
        assert is_lazy(mapped)
        assert is_lazy(mapped.transpose(1, 0, 2, 3)[1:])
        assert is_lazy(dask.array.zeros((3, 4)))
        assert is_lazy(LazyArray(np.zeros((3, 4)), "YX", "TYX"))
        assert not is_lazy(series())
        assert not is_lazy([[1, 2], [3, 4]])


class TestLazyArray:
    @pytest.mark.parametrize(
        ("axes", "order"),
        [("TZYX", "TZYX"), ("XZTY", "TZYX"), ("ZYX", "TZYX"), ("CTYX", "TYX"), ("YX", "TZYX")],
    )
    @pytest.mark.parametrize(
        "index",
        [
            0,
            -1,
            ...,
            np.s_[:, 0],
            np.s_[..., 3:9],
            np.s_[0, ..., 4, ::2],
            np.s_[0:1, ..., -3:, 5],
            np.s_[5:, :, 2],
            (slice(None), np.int64(0)),
        ],
    )
    def test_cuts_are_those_of_numpy(self, axes: str, order: str, index: Any):
        lengths = {"T": 3, "C": 1, "Z": 5, "Y": 12, "X": 14}
        shape = [lengths[letter] for letter in axes]
        source = np.arange(np.prod(shape), dtype=">u2").reshape(shape)
        kept = "".join(letter for letter in axes if letter in order)
        expected = source.reshape([lengths[letter] for letter in kept])
        expected = expected.transpose([kept.index(a) for a in order if a in kept])
        expected = expected[tuple(slice(None) if a in kept else None for a in order)]

        view = LazyArray(source, axes, order)
        assert view.shape == expected.shape
        assert len(view) == len(expected)
        cut = view[index]
        assert cut.dtype.isnative
        assert type(cut) is np.ndarray
        np.testing.assert_array_equal(cut, expected[index])

    def test_it_ends(self):
        view = LazyArray(series(), "TZYX", "TZYX")
        with pytest.raises(IndexError):
            view[6]
        with pytest.raises(IndexError):
            view[0, 0, 0, 0, 0]
        assert [frame.shape for frame in view] == [(4, 16, 20)] * 6


class TestRecordingsAreNotReadWhole:
    def test_layout_and_checks(self, watched: Watched):
        volumes = as_frames(watched, "TZYX", spatial="ZYX")
        assert volumes.shape == (6, 4, 16, 20)
        assert watched.read == 0
        assert check_pixels(volumes) == ()
        assert watched.read == series().size
        np.testing.assert_array_equal(volumes[2, 1], series()[2, 1])
        assert volumes[2].dtype.isnative

    def test_an_image_of_it(self, watched: Watched):
        image = Image(watched, "TZYX", (0.2, 0.1, 0.1))
        assert spatial_axes(image) == "ZYX"
        assert as_frames(image, spatial="ZYX").shape == (6, 4, 16, 20)
        assert watched.read == 0

    def test_one_volume_gets_a_time_axis(self):
        stack = Watched(series()[0], most=series()[0].size)
        volumes = as_frames(stack, spatial="ZYX")
        assert volumes.shape == (1, 4, 16, 20)
        np.testing.assert_array_equal(volumes[0, 2:4], series()[0, 2:4])

    def test_axes_in_any_order(self, watched: Watched):
        volumes = as_frames(watched, "ZTYX", spatial="ZYX")
        assert volumes.shape == (4, 6, 16, 20)
        np.testing.assert_array_equal(volumes[3, 1], series()[1, 3])

    def test_long_volumes_are_read_in_slabs(self, monkeypatch: pytest.MonkeyPatch):
        stack = Watched(series(), most=2 * 16 * 20)
        monkeypatch.setattr(lazy, "_SLAB", 2 * 16 * 20 * 2)
        check_pixels(as_frames(stack, "TZYX", spatial="ZYX"))
        assert stack.read == series().size

    def test_frames_are_read_one_by_one(self):
        frames = Watched(series()[:, 0], most=16 * 20)
        check_pixels(as_frames(frames))
        check_finite(as_frames(frames))
        assert frames.read == frames._pixels.size

    def test_dask(self):
        volumes = as_frames(dask.array.from_array(series(), chunks=(1, 2, 16, 20)), spatial="ZYX")
        assert isinstance(volumes[0], np.ndarray)
        np.testing.assert_array_equal(volumes[1, 1:3, 2:], series()[1, 1:3, 2:])

    def test_big_endian_map_stays_on_disk(self, tmp_path: Path):
        np.save(tmp_path / "a.npy", series())
        mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
        volumes = as_frames(mapped, spatial="ZYX")
        assert is_lazy(volumes)
        assert volumes.dtype.isnative
        np.testing.assert_array_equal(volumes[5], series()[5])

    def test_native_map_stays_a_map(self, tmp_path: Path):
        np.save(tmp_path / "a.npy", series("<u2"))
        mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
        for volumes in (
            as_frames(mapped, spatial="ZYX"),
            as_frames(mapped[0], "ZYX", spatial="ZYX"),
        ):
            assert np.shares_memory(volumes, mapped)


class TestLocations:
    @pytest.mark.parametrize("place", [(0, 0, 0, 0), (5, 3, 15, 19), (2, 1, 7, 0)])
    def test_the_first_bad_pixel_is_located(self, place: tuple[int, ...]):
        pixels = series("float32")
        pixels[place] = np.nan
        with pytest.raises(InputError, match=f"1 NaN.*{str(place)[1:-1]}"):
            check_finite(as_frames(pixels, spatial="ZYX"))
        with pytest.raises(InputError, match=f"1 NaN.*{str(place)[1:-1]}"):
            check_pixels(pixels)

    def test_slabs_cover_everything_once(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(lazy, "_SLAB", 3 * 16 * 20 * 2)
        pixels = series()
        seen = np.zeros(pixels.shape[:2], int)
        for index, slab in volumes_in_slabs(pixels):
            seen[index[0], index[1] : index[1] + len(slab)] += 1
            np.testing.assert_array_equal(slab, pixels[index[0], index[1] : index[1] + len(slab)])
        assert (seen == 1).all()
