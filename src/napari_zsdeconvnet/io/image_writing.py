"""Images into files: ImageJ hyperstacks and OME-TIFF, whole or filled part by part."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..utils.errors import InputError
from ..utils.files import reserve, written_whole
from .axes import ORDER, check_kind
from .image import Image
from .lazy import LazyArray, Sliced, is_lazy
from .ome_zarr_writing import write_ome_zarr
from .tiff_tags import (
    IMAGEJ_ORDER,
    options_for,
)
from .units import SMALLEST_PIXEL, checked_length
from .zarr_stores import names_zarr

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_BIGTIFF_FROM = 2**32 - 2**25  # bytes of pixels; classic TIFF ends at 4 GiB


def write_image(
    path: str | os.PathLike[str],
    data: ArrayLike,
    *,
    axes: str,
    voxel_size: Sequence[float] | None = None,
    channel_names: Sequence[str] = (),
    frame_interval: float | None = None,
) -> None:
    """Write a TIFF or OME-Zarr that ImageJ and napari open with the right axes and pixel size.

    A name that ends in .ome.tif gives OME-TIFF, any other .tif an ImageJ hyperstack, and .zarr
    OME-Zarr 0.5, a folder. More than 4 GiB become a BigTIFF, which ImageJ knows only with OME
    metadata, so that is what it carries. The file appears under its name only when it is complete.

    Parameters
    ----------
    path
        File to write, .tif or .tiff, or folder, .ome.zarr, which needs the extra ``zarr``.
    data
        Pixels; 8-bit and 16-bit unsigned integers and float32 are kept, everything else
        becomes float32. What is read lazily is read plane by plane.
    axes
        A letter out of "TCZYX" for each axis of `data`.
    voxel_size
        Micrometres along (Z,) Y, X; None writes no pixel size.
    channel_names
        Names of the channels, as many as the C axis is long; one where there is no such axis.
    frame_interval
        Seconds between frames.

    Raises
    ------
    InputError
        If axes or voxel size do not fit the data, the name is none of these, or the file
        cannot be written.

    Examples
    --------
    >>> import napari_zsdeconvnet as zs
    >>> import numpy as np
    >>> volume = np.zeros((4, 64, 64), np.float32)
    >>> zs.write_image("volume.ome.tif", volume, axes="ZYX", voxel_size=(0.3, 0.1, 0.1))
    """
    import tifffile

    pixels: Any = data if is_lazy(data) else np.asarray(data)
    stored = _stored_type(pixels)
    path, image = _to_be_written(path, pixels, axes, voxel_size, channel_names, frame_interval)
    if names_zarr(path):
        write_ome_zarr(path, image, stored)
        return
    options = _options(path, image, stored)
    order = ORDER if options["ome"] else IMAGEJ_ORDER
    ordered = LazyArray(pixels, image.axes, "".join(a for a in order if a in image.axes))
    planes = (ordered[index].astype(stored) for index in np.ndindex(ordered.shape[:-2]))
    with written_whole(path) as temporary:
        tifffile.imwrite(temporary, planes, shape=ordered.shape, dtype=stored, **options)


@contextmanager
def written_image(
    path: str | os.PathLike[str],
    shape: Sequence[int],
    *,
    axes: str,
    voxel_size: Sequence[float] | None = None,
    frame_interval: float | None = None,
    channel_names: Sequence[str] = (),
) -> Iterator[PixelsInFile]:
    """Give float32 pixels to fill that lie in a file, for results larger than memory.

    The file is what `write_image` writes. It gets its name once the block has succeeded, and
    a failure leaves nothing behind.

    Parameters
    ----------
    path
        File to write, .tif or .tiff.
    shape
        Lengths of the axes.
    axes
        Their letters, out of "TZYX" in that order.
    voxel_size, frame_interval, channel_names
        As for `write_image`.

    Yields
    ------
    PixelsInFile
        Zeros, to be filled part by part (``pixels[t, z0:z1] = ...``). After the block it can
        still be read.

    Raises
    ------
    InputError
        If axes or voxel size do not fit the shape, the name is no TIFF name, the disk is
        full, or the file cannot be written.

    Examples
    --------
    >>> import napari_zsdeconvnet as zs
    >>> with zs.written_image("large.tif", (3, 64, 64), axes="TYX") as pixels:
    ...     pixels[1] = 5
    >>> float(zs.read_image("large.tif").data.max())
    5.0
    """
    import tifffile

    if axes not in ("YX", "TYX", "ZYX", "TZYX"):
        raise InputError(
            "axes-wrong", f"The axes to be filled are {axes}; give YX, TYX, ZYX or TZYX."
        )
    single = np.broadcast_to(np.float32(0), tuple(shape))
    named = (axes, voxel_size, channel_names, frame_interval)
    path, image = _to_be_written(path, single, *named, suffixes=(".tif", ".tiff"))
    with written_whole(path) as temporary:
        place = tifffile.imwrite(
            temporary,
            shape=single.shape,
            dtype=np.dtype("<f4"),
            returnoffset=True,
            **_options(path, image, np.dtype(np.float32)),
        )
        if place is None:  # cannot be, as nothing is compressed
            raise RuntimeError(f"{path} was not laid out in one piece")
        reserve(temporary)
        pixels = PixelsInFile(temporary, place[0], single.shape)
        try:
            yield pixels
        finally:
            pixels.let_go()
    # In a set it takes its place later.
    pixels.map_again(temporary if temporary.exists() else path)


class PixelsInFile(Sliced):
    """Pixels of a file that is being written, and of the finished file once it is.

    Parts of it are views of a memory map; it can let go of that map, since Windows renames
    no file that is mapped.
    """

    def __init__(self, path: Path, offset: int, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.dtype = np.dtype(np.float32)
        self._offset = offset
        self._map: NDArray[np.float32] | None = self._mapped(path, "r+")

    def __getitem__(self, index: Any) -> NDArray[np.float32]:
        part: NDArray[np.float32] = np.asarray(self._pixels()[index])
        return part

    def __setitem__(self, index: Any, value: ArrayLike) -> None:
        self._pixels()[index] = value

    def let_go(self) -> None:
        """Write what is still in memory, and unmap the file."""
        pixels = self._pixels()
        if isinstance(pixels, np.memmap):
            pixels.flush()
        self._map = None

    def map_again(self, path: Path) -> None:
        """Map the finished file, to be read."""
        self._map = self._mapped(path, "r")

    def _mapped(self, path: Path, mode: Literal["r", "r+"]) -> NDArray[np.float32]:
        return np.memmap(path, "<f4", mode, self._offset, self.shape)

    def _pixels(self) -> NDArray[np.float32]:
        if self._map is None:
            raise ValueError("the file of these pixels was never completed")
        return self._map


def _to_be_written(
    path: str | os.PathLike[str],
    pixels: Any,
    axes: str,
    voxel_size: Sequence[float] | None,
    channel_names: Sequence[str],
    frame_interval: float | None,
    suffixes: Sequence[str] = (".tif", ".tiff", ".zarr"),
) -> tuple[Path, Image]:
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise InputError(
            "output-not-tiff",
            f"{path} does not end in {' or '.join(suffixes)}; other files are not written.",
        )
    # Results may be on a grid half as fine as that of a camera.
    size: tuple[float, ...] | None = None
    if voxel_size is not None:
        smallest = SMALLEST_PIXEL / 2
        size = tuple(checked_length(float(step), "The voxel size", smallest) for step in voxel_size)
    return path, Image(pixels, axes.upper(), size, path.name, tuple(channel_names), frame_interval)


def _options(path: Path, image: Image, stored: np.dtype[Any]) -> dict[str, Any]:
    big = image.data.size * stored.itemsize >= _BIGTIFF_FROM
    ome = big or path.name.lower().endswith((".ome.tif", ".ome.tiff"))
    return {**options_for(image, ome=ome), "bigtiff": big}


def _stored_type(pixels: Any) -> np.dtype[Any]:
    """Keep what every TIFF reader knows; the rest becomes float32."""
    kept: np.dtype[Any] = np.dtype(pixels.dtype).newbyteorder("=")
    if kept.kind == "b":
        return np.dtype(np.uint8)
    if kept in (np.uint8, np.uint16, np.float32):
        return kept
    check_kind(pixels, "the image to write")
    return np.dtype(np.float32)
