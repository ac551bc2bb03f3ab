"""Results that are too large for memory, in several resolutions for whoever shows them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from .image import Image
from .lazy import LazyArray, Sliced
from .ome_zarr import read_pyramid
from .ome_zarr_writing import write_ome_zarr

_NAME = "result.ome.zarr"


class Pyramid(Sliced):
    """An image in several resolutions; where it is cut, it is the finest of them.

    Attributes
    ----------
    levels
        The finest first, each read where it is cut.
    """

    def __init__(self, levels: Sequence[Sliced]) -> None:
        self.levels = list(levels)
        self.shape = self.levels[0].shape
        self.dtype = self.levels[0].dtype

    def __getitem__(self, index: Any) -> NDArray[Any]:
        return self.levels[0][index]


class _Level(LazyArray):
    """A level, which keeps the folder that it lies in."""

    def __init__(self, image: Image, axes: str, folder: Any) -> None:
        super().__init__(image.data, image.axes, axes)
        self._folder = folder


def in_pyramid(image: Image) -> Pyramid:
    """Write an image to a temporary OME-Zarr, shard by shard, and give its levels.

    The folder is removed once no level is in use any more.

    Parameters
    ----------
    image
        Axes ([T,] [Z,] Y, X), with its voxel size, which tells whether levels have fewer planes.

    Raises
    ------
    InputError
        If the disk is full.
    """
    folder = tempfile.TemporaryDirectory(prefix="zsdeconvnet-", ignore_cleanup_errors=True)
    path = Path(folder.name) / _NAME
    write_ome_zarr(path, image)
    return Pyramid([_Level(level, image.axes, folder) for level in read_pyramid(path)])
