from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_zsdeconvnet.errors import InputError
from napari_zsdeconvnet.pictures import round_length, side_by_side

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
    side_by_side([image], ["a"], path, panel_width=200, pixel_sizes=0.1)  # 10 um wide: bar 2 um
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
