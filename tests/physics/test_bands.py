"""Band by band: nothing of it may show in the result."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_zsdeconvnet.physics import row_blocks
from napari_zsdeconvnet.physics.row_blocks import by_bands


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.inference_mode():
        yield


def image(channels: int = 3, height: int = 40, width: int = 16) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, channels, height, width, generator=generator)


def narrow(monkeypatch: pytest.MonkeyPatch, *images: Tensor, rows: int) -> None:
    """Make bands of so many rows."""
    total = sum(4 * one.numel() for one in images)
    monkeypatch.setattr(row_blocks, "BAND", total * rows // images[0].shape[-2])


class Watched(nn.Module):
    """A stage that takes down how many rows it is given."""

    def __init__(self, stage: nn.Module) -> None:
        super().__init__()
        self.stage = stage
        self.rows: list[int] = []

    def forward(self, *images: Tensor) -> Tensor:
        self.rows.append(images[0].shape[-2])
        result: Tensor = self.stage(*images)
        return result


@pytest.mark.parametrize("rows", [1, 3, 8, 39])
@pytest.mark.parametrize("in_place", [False, True])
def test_convolutions_see_beyond_their_band(monkeypatch, rows: int, in_place: bool):
    torch.manual_seed(1)
    block = Watched(nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)))
    whole = image()
    expected = block(whole)
    narrow(monkeypatch, whole, rows=rows)
    result = by_bands(block, whole, reach=2, in_place=in_place)
    torch.testing.assert_close(result, expected, atol=1e-6, rtol=0)
    assert (result is whole) == in_place
    assert max(block.rows[1:]) <= max(rows, 2) + 4


def test_a_reach_too_short_would_show(monkeypatch):
    torch.manual_seed(1)
    stage, whole = nn.Conv2d(3, 3, 3, padding=1), image()
    narrow(monkeypatch, whole, rows=8)
    assert not torch.allclose(by_bands(stage, whole, reach=0), stage(whole), atol=1e-3)


@pytest.mark.parametrize("height", [40, 44, 8])
def test_images_on_other_grids_are_cut_at_the_same_places(monkeypatch, height: int):
    coarse, fine = image(2, height // 2), image(1, 2 * height, 32)
    whole = image(2, height)

    def stage(seen: Tensor, low: Tensor, high: Tensor) -> Tensor:
        together = seen + F.interpolate(low, scale_factor=(2.0, 1.0)) + F.avg_pool2d(high, 2)
        return F.interpolate(together, scale_factor=2.0)

    expected = stage(whole, coarse, fine)
    narrow(monkeypatch, whole, coarse, fine, rows=6)
    result = by_bands(stage, whole, coarse, fine, multiple=2)
    torch.testing.assert_close(result, expected, atol=0, rtol=0)


def test_bands_begin_where_pooling_does(monkeypatch):
    whole = image(height=36)
    narrow(monkeypatch, whole, rows=5)
    result = by_bands(lambda seen: F.max_pool2d(seen, 4), whole, multiple=4)
    torch.testing.assert_close(result, F.max_pool2d(whole, 4), atol=0, rtol=0)


def test_numbers_stay_laid_out_as_the_stage_gives_them(monkeypatch):
    whole = image().contiguous(memory_format=torch.channels_last)
    narrow(monkeypatch, whole, rows=8)
    assert by_bands(torch.relu, whole).is_contiguous(memory_format=torch.channels_last)


def test_a_band_has_the_size_that_was_asked_for(monkeypatch):
    whole = image()
    narrow(monkeypatch, whole, rows=7)
    assert list(row_blocks.bands(whole)) == [
        (0, 7),
        (7, 14),
        (14, 21),
        (21, 28),
        (28, 35),
        (35, 40),
    ]
    assert list(row_blocks.bands(whole, multiple=4)) == [(row, row + 8) for row in range(0, 40, 8)]
    assert list(row_blocks.bands(whole, least=20)) == [(0, 20), (20, 40)]
    assert list(row_blocks.bands(whole, size=10**6)) == [(0, 40)]


def test_with_gradients_there_is_one_band_alone(monkeypatch):
    narrow(monkeypatch, image(), rows=4)
    with torch.inference_mode(False):
        whole = image().requires_grad_()
        stage = Watched(nn.Conv2d(3, 3, 3, padding=1))
        by_bands(stage, whole, reach=1, in_place=True).sum().backward()
    assert stage.rows == [40]
    assert whole.grad is not None
