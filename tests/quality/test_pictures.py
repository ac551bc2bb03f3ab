from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_zsdeconvnet.quality.pictures import (
    grey_picture,
    orthogonal_cuts,
    round_length,
    side_by_side,
)
from napari_zsdeconvnet.utils.errors import InputError

DARK, BRIGHT = (0, 0, 0), (255, 255, 255)


def corner(size: int, side: str) -> np.ndarray:
    """An image that is bright in one of its upper quarters."""
    image = np.zeros((size, size))
    half = size // 2
    image[:half, :half] = side == "left"
    image[:half, half:] = side == "right"
    return image


def test_panels_on_different_grids_cover_the_same_field(tmp_path: Path):
    path = tmp_path / "picture.png"
    side_by_side([corner(20, "left"), corner(40, "right")], ["a", "b"], path, panel_width=100)
    picture = Image.open(path)
    assert picture.width == 206
    first, second = 50, 130  # below the caption, in the upper left quarter of each panel
    assert picture.getpixel((25, first)) == BRIGHT
    assert picture.getpixel((75, first)) == DARK
    assert picture.getpixel((106 + 25, first)) == DARK
    assert picture.getpixel((106 + 75, first)) == BRIGHT
    assert picture.getpixel((25, second - 20)) == DARK
    assert [entry.name for entry in tmp_path.iterdir()] == ["picture.png"]


def test_zoom_magnifies_the_region_it_frames(tmp_path: Path):
    image = np.zeros((50, 50))
    image[10:20, 30:40] = 1
    path = tmp_path / "picture.png"
    side_by_side([image], ["a"], path, panel_width=100, zoom=(0.2, 0.6, 0.2))
    picture = np.asarray(Image.open(path))
    below = picture[-100:]
    assert (below == 255).all()


def test_contrast_is_the_panels_own(tmp_path: Path):
    rng = np.random.default_rng(0)
    image = rng.random((50, 50))
    path = tmp_path / "picture.png"
    side_by_side([image, 1000 + 50 * image], ["a", "b"], path, panel_width=50)
    picture = np.asarray(Image.open(path))[30:]
    np.testing.assert_allclose(picture[:, :50].astype(int), picture[:, 56:].astype(int), atol=1)


def test_scale_bar_has_its_length(tmp_path: Path):
    path = tmp_path / "picture.png"
    image = np.zeros((100, 100))
    side_by_side([image], ["a"], path, panel_width=200, pixel_sizes=0.1)  # 10 µm wide: bar 2 µm
    bar = np.asarray(Image.open(path))[-14, :, 0]
    assert np.count_nonzero(bar > 200) == pytest.approx(40, abs=1)


@pytest.mark.parametrize(
    ("longest", "expected"), [(1, 1), (4.99, 2), (5, 5), (0.3, 0.2), (16, 10), (80, 50)]
)
def test_round_length(longest: float, expected: float):
    assert round_length(longest) == pytest.approx(expected)


def test_mismatches_are_refused(tmp_path: Path):
    image = np.eye(8)
    with pytest.raises(InputError, match="2 panels come with 1 labels"):
        side_by_side([image, image], ["a"], tmp_path / "p.png")
    with pytest.raises(InputError, match="1 pixel sizes"):
        side_by_side([image, image], ["a", "b"], tmp_path / "p.png", pixel_sizes=[1])
    with pytest.raises(InputError, match=r"\(2, 8, 8\)"):
        side_by_side([np.zeros((2, 8, 8))], ["a"], tmp_path / "p.png")
    with pytest.raises(InputError, match="zoom"):
        side_by_side([image], ["a"], tmp_path / "p.png", zoom=(2, 0, 1))


class TestOrthogonalCuts:
    """A volume of 4 x 10 x 20 voxels of 0.5 x 0.1 x 0.1 µm: 2 µm deep, 1 µm high, 2 µm wide."""

    VOXEL = (0.5, 0.1, 0.1)

    def volume(self) -> np.ndarray:
        volume = np.zeros((4, 10, 20))
        volume[2, :, :10] = 1
        volume[:, 3, 10:] = 1
        return volume

    def test_a_micrometre_is_as_long_along_z(self, tmp_path: Path):
        path = tmp_path / "cuts.png"
        orthogonal_cuts(
            [self.volume()], ["a"], path, voxel_sizes=self.VOXEL, at=(0.6, 0.1), panel_width=200
        )
        picture = Image.open(path)
        assert picture.size == (200, 30 + 100 + 6 + 200)
        # XY at plane 2: the left half is bright, and row 3 on the right.
        assert picture.getpixel((50, 30 + 70)) == BRIGHT
        assert picture.getpixel((150, 30 + 36)) == BRIGHT
        assert picture.getpixel((150, 30 + 60)) == DARK
        # XZ at row 1: plane 2 of 4 on the left, 50 pixels high.
        below = 30 + 100 + 6
        assert picture.getpixel((50, below + 102)) == BRIGHT
        assert picture.getpixel((50, below + 98)) == DARK
        assert picture.getpixel((50, below + 148)) == BRIGHT
        assert picture.getpixel((150, below + 110)) == DARK

    def test_grids_may_differ(self, tmp_path: Path):
        fine = self.volume().repeat(2, 1).repeat(2, 2)
        path = tmp_path / "cuts.png"
        orthogonal_cuts(
            [self.volume(), fine],
            ["a", "b"],
            path,
            voxel_sizes=[self.VOXEL, (0.5, 0.05, 0.05)],
            at=(0.6, 0.3),
            panel_width=200,
        )
        picture = np.asarray(Image.open(path)).astype(int)
        np.testing.assert_array_equal(picture[30:, :200], picture[30:, 206:])

    def test_each_cut_is_marked_in_the_other(self, tmp_path: Path):
        path = tmp_path / "cuts.png"
        orthogonal_cuts(
            [self.volume()], ["a"], path, voxel_sizes=self.VOXEL, at=(0.6, 0.1), panel_width=200
        )
        picture = Image.open(path)
        for row in (30 + 10, 30 + 100 + 6 + 120):
            assert picture.getpixel((3, row)) == (255, 200, 60)
            assert picture.getpixel((196, row)) == (255, 200, 60)

    def test_mismatches_are_refused(self, tmp_path: Path):
        path = tmp_path / "cuts.png"
        with pytest.raises(InputError, match="once for all"):
            orthogonal_cuts([self.volume()], ["a"], path, voxel_sizes=(0.1, 0.1))
        with pytest.raises(InputError, match=r"a volume \(Z, Y, X\)"):
            orthogonal_cuts([np.eye(8)], ["a"], path, voxel_sizes=self.VOXEL)
        with pytest.raises(InputError, match="0 to 1"):
            orthogonal_cuts([self.volume()], ["a"], path, voxel_sizes=self.VOXEL, at=(1, 0))


def test_grey_picture_has_a_pixel_for_each_value(tmp_path: Path):
    path = tmp_path / "mask.png"
    grey_picture([[0, 1, 0.2], [1, 1, 2]], path)
    np.testing.assert_array_equal(Image.open(path), [[0, 255, 51], [255, 255, 255]])
