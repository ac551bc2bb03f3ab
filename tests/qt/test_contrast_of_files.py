"""The contrast of results that lie in a file is found without reading all of it."""

from __future__ import annotations

import numpy as np
import pytest

from napari_zsdeconvnet._qt.layers.contrast import contrast_of
from napari_zsdeconvnet.io.lazy import Sliced
from napari_zsdeconvnet.utils.files import in_file


class Counted(Sliced):
    """An array that counts what is read of it."""

    def __init__(self, pixels: np.ndarray) -> None:
        self._pixels = pixels
        self.shape, self.dtype = pixels.shape, pixels.dtype
        self.read = 0

    def __getitem__(self, index):
        part = np.asarray(self._pixels[index])
        self.read += part.size
        return part


@pytest.mark.parametrize("shape", [(64, 30, 40), (4, 16, 30, 40), (30, 40)])
def test_some_planes_tell_of_all(shape):
    pixels = np.random.default_rng(0).gamma(2, 50, shape).astype(np.float32)
    counted = Counted(pixels)
    (low, high), (least, most) = contrast_of(counted)
    (all_low, all_high), _ = contrast_of(pixels)
    assert high == pytest.approx(all_high, rel=0.1)
    assert low == pytest.approx(all_low, rel=0.5)
    assert least <= low < high <= most
    assert counted.read <= 8 * 30 * 40


def test_what_is_mapped_counts_as_a_file():
    pixels = in_file((40, 20, 30))
    pixels[:] = 5.0
    pixels[39] = 9.0  # the last plane is among those
    (_, high), (least, most) = contrast_of(np.asarray(pixels))
    assert (least, most) == (5.0, 9.0)
    assert high > 5.0
