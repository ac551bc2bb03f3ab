"""Images into OME-Zarr 0.5: arrays in shards that are written one by one, pyramids, metadata."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..utils.errors import InputError, Remedy
from ..utils.files import folder_written_whole, refuse_address
from ..utils.phases import go_on
from .axes import ORDER
from .image import Display, Image
from .lazy import LazyArray, Sliced, whole_index
from .zarr_stores import ZarrPixels, holds_zarr, local_path, outermost_zarr, require_zarr

if TYPE_CHECKING:
    import zarr
    from numpy.typing import ArrayLike, NDArray

_WIDEST_CHUNK = 1024  # pixels along Y and X; a plane of 2048 x 2048 is read in four pieces
_SMALLEST_LEVEL = 512  # pixels along Y and X, at which a pyramid ends
_PLANES_IN_SHARD = 16
_PARTS = (_PLANES_IN_SHARD, _WIDEST_CHUNK, _WIDEST_CHUNK)  # of a shard along Z, Y, X
_ISOTROPIC = 1.5  # axial step over pixel size, up to which a level halves the planes too
_LOOKED_AT = 64  # planes of the coarsest level that tell what is shown black and white
_SHOWN = (0.5, 99.8)  # percentiles of the coarsest level that are black and white
_COLOURS = {1: ("FFFFFF",), 2: ("00FF00", "FF00FF")}
_MORE_COLOURS = ("00FFFF", "FF00FF", "FFFF00", "0000FF", "00FF00", "FF0000")


def check_zarr_output(
    output: str | os.PathLike[str], source: str | os.PathLike[str] | None, *, force: bool
) -> None:
    """Refuse an output that exists, unless it may be replaced, or that lies in the input.

    Parameters
    ----------
    output
        Folder to write.
    source
        File of the input; None where there is none.
    force
        Whether an output that exists is replaced.

    Raises
    ------
    InputError
        With what to do.
    """
    refuse_address(output)
    target = Path(output).resolve()
    if not target.name.lower().endswith(".zarr"):
        raise InputError(
            "output-zipped",
            f"{output} would be a zip file, and OME-Zarr is written as a folder; end its name in "
            ".ome.zarr.",
        )
    origin = None if source is None else local_path(source)
    if origin is not None and (target in (origin, *origin.parents) or _lies_in(target, origin)):
        raise InputError(
            "output-is-input",
            f"{output} is the input or lies in it, or the other way round; write to another name.",
        )
    _check_replaced(target)
    if target.exists() and not force:
        raise InputError(
            "output-exists",
            f"{output} exists",
            Remedy("replace"),
            "write to another name",
        )


def check_apart(output: str | os.PathLike[str], sources: Iterable[str | os.PathLike[str]]) -> None:
    """Refuse a file or folder to write that is an input, or lies in one or in its plate.

    Raises
    ------
    InputError
        With what to do.
    """
    refuse_address(output)
    target = Path(output).resolve()
    for source in sources:
        origin = local_path(source)
        if origin is None:
            continue
        if target == origin:
            raise InputError("output-is-input", f"{output} is an input too; write to another name.")
        if _lies_in(target, origin):
            raise InputError(
                "output-is-input", f"{output} lies in the input {source}; write to another folder."
            )


def _lies_in(target: Path, origin: Path) -> bool:
    """Tell whether an output lies in a folder that is read, or in the plate of a field."""
    return origin in target.parents or outermost_zarr(origin) in target.parents


def _check_replaced(target: Path) -> None:
    """Refuse to replace anything but Zarr and an empty folder, whoever asks for it."""
    if target.exists() and not target.is_dir():
        raise InputError("not-a-folder", f"{target} is a file; write to another name.")
    if target.is_dir() and not holds_zarr(target) and any(target.iterdir()):
        raise InputError(
            "folder-not-zarr",
            f"{target} is a folder that holds no Zarr and is not replaced; write to another name.",
        )


def write_ome_zarr(
    path: str | os.PathLike[str], image: Image, dtype: np.dtype[Any] | None = None
) -> None:
    """Write an image as OME-Zarr 0.5, all channels in one pyramid.

    What is read lazily is read shard by shard. The folder appears under its name only when it is
    complete.

    Parameters
    ----------
    path
        Folder to write, .ome.zarr; one that exists is replaced.
    image
        With axes, sizes, position, interval, and names and colours of the channels. The contrast
        is that of its pixels.
    dtype
        Stored type; by default that of the pixels.

    Raises
    ------
    InputError
        If zarr is not installed, or the folder holds something else or cannot be written.
    """
    axes = "".join(letter for letter in ORDER if letter in f"C{image.axes}")
    pixels = LazyArray(image.data, image.axes, axes)
    lengths = dict(zip(axes, pixels.shape, strict=True))
    shape = tuple(lengths.get(letter, 1) for letter in ORDER)
    layout = Layout.of(shape, _PARTS)
    require_zarr(path)
    _check_replaced(Path(path))
    with folder_written_whole(path) as folder:
        new = NewOmeZarr(folder, axes)
        new.create("0", shape, layout, np.dtype(dtype or pixels.dtype).name)
        first = axes.index("C") + 1
        array = _array(new.group, "0")
        outer = list(product(range(shape[0]), range(shape[1])))
        for place in outer:
            begin = place[-first:]
            for box in _boxes(array.shape[first:], array.shards[first:]):
                go_on()
                array[(*begin, *box)] = pixels[(*begin, *box)]
        factors = new.begin_levels(image.voxel_size)
        for level, (frame, channel) in product(range(1, len(factors)), outer):
            for part in new.parts_of_level(level):
                go_on()
                new.fill_part(level, frame, part, channel)
        new.describe(replace(image, name=Path(path).name), factors)


@dataclass(frozen=True)
class Layout:
    """How an array lies in files: chunks are read, shards, a file each, are written at once.

    Attributes
    ----------
    chunks, shards
        Elements along T, C, Z, Y, X.
    """

    chunks: tuple[int, ...]
    shards: tuple[int, ...]

    @classmethod
    def of(cls, shape: Sequence[int], parts: Sequence[int]) -> Layout:
        """Lay an array out for writers that each fill one box of a grid.

        Parameters
        ----------
        shape
            Of the array, (T, C, Z, Y, X).
        parts
            Size of the boxes along Z, Y, X.
        """
        (y, high), (x, wide) = map(_cut, shape[-2:], parts[-2:])
        return cls((1, 1, 1, y, x), (1, 1, min(parts[0], shape[2]), high, wide))


def _cut(length: int, part: int) -> tuple[int, int]:
    """Divide a part of an axis into chunks alike; a part at least as long as all has all of it."""
    if part >= length:
        chunk = math.ceil(length / math.ceil(length / _WIDEST_CHUNK))
        return chunk, chunk * math.ceil(length / chunk)
    divisor = next(
        number for number in range(math.ceil(part / _WIDEST_CHUNK), part + 1) if part % number == 0
    )
    return part // divisor, part


class NewOmeZarr:
    """An OME-Zarr that is being written.

    Several processes may fill parts of it at a time, each shard by one of them.

    Parameters
    ----------
    folder
        Where it lies or will lie.
    axes
        Letters out of "TCZYX", C among them. Shapes are given along all five, 1 for the others.
    """

    def __init__(self, folder: str | os.PathLike[str], axes: str) -> None:
        require_zarr(folder)
        self.folder = Path(folder)
        self.axes = axes

    @property
    def group(self) -> zarr.Group:
        """The group, to be filled."""
        import zarr

        return zarr.open_group(self.folder, mode="a", zarr_format=3)

    def create(
        self,
        key: str,
        shape: Sequence[int],
        layout: Layout,
        dtype: str = "float32",
    ) -> None:
        """Make an array of zeros unless it is there."""
        from zarr.codecs import BloscCodec

        group = self.group
        if key not in group:
            group.create_array(
                key,
                shape=self._kept(shape),
                dtype=dtype,
                chunks=self._kept(layout.chunks),
                shards=self._kept(layout.shards),
                compressors=BloscCodec(
                    # Of results most bits are noise: zstd takes four times as long for 5 % less.
                    cname="lz4" if np.dtype(dtype).kind == "f" else "zstd",
                    clevel=1,  # a higher one takes twice the time for 2 % of the bytes
                    shuffle="shuffle",
                ),
                dimension_names=list(self.axes.lower()),
            )

    def _kept(self, along_all: Sequence[Any]) -> tuple[Any, ...]:
        """Take what is given along all five axes for those that there are."""
        pairs = zip(ORDER, along_all, strict=True)
        return tuple(entry for letter, entry in pairs if letter in self.axes)

    def room(self, key: str, frames: str) -> ZarrRoom:
        """Give an array as frames, axes "TYX" or "TZYX", to be filled."""
        return ZarrRoom(self.folder, key, self.axes, frames)

    def pixels(self, key: str, axes: str) -> NDArray[Any]:
        """Give an array to be read, with these of its axes."""
        lazily: Any = LazyArray(ZarrPixels(self.folder, key), self.axes, axes)
        return lazily  # type: ignore[no-any-return]

    def begin_levels(self, voxel_size: Sequence[float] | None) -> list[tuple[int, int, int]]:
        """Make the coarser levels; gives by how much each is coarser than 0 along Z, Y, X."""
        finest = _array(self.group, "0")
        lengths = dict(zip(self.axes, finest.shape, strict=True))
        shape = tuple(lengths.get(letter, 1) for letter in ORDER)
        factors = [(1, 1, 1)]
        step = voxel_size if voxel_size is not None and len(voxel_size) == 3 else None
        while max(shape[-2:]) > _SMALLEST_LEVEL:
            z, y, x = factors[-1]
            flat = step is None or step[0] * z > _ISOTROPIC * step[1] * y
            halved = (1 if flat or shape[2] < 2 else 2, 2, 2)
            shape = (
                *shape[:2],
                *(math.ceil(n / f) for n, f in zip(shape[2:], halved, strict=True)),
            )
            factors.append((z * halved[0], y * 2, x * 2))
            layout = Layout.of(shape, _PARTS)
            self.create(str(len(factors) - 1), shape, layout, np.dtype(finest.dtype).name)
        return factors

    def parts_of_level(self, level: int) -> list[tuple[slice, ...]]:
        """List the shards of a frame of a coarser level, along its axes after C."""
        coarse = _array(self.group, str(level))
        first = self.axes.index("C") + 1
        return list(_boxes(coarse.shape[first:], coarse.shards[first:]))

    def fill_part(self, level: int, frame: int, part: Sequence[slice], channel: int = 0) -> None:
        """Average the level before it into a shard of a frame of a channel of a level.

        It can be done again. Edges that are not whole are averaged over what there is.
        """
        group = self.group
        fine, coarse = (_array(group, str(number)) for number in (level - 1, level))
        first = self.axes.index("C") + 1
        begin = self._kept((frame, channel, None, None, None))[:first]
        factors = [
            1 if a == b else 2
            for a, b in zip(fine.shape[first:], coarse.shape[first:], strict=True)
        ]
        cut = tuple(
            slice(one.start * f, one.stop * f) for one, f in zip(part, factors, strict=True)
        )
        pixels = np.asarray(fine[(*begin, *cut)])
        for axis, factor in enumerate(factors):
            if factor == 2:
                pixels = _pairs(pixels, axis)
        if coarse.dtype.kind != "f":
            pixels = np.rint(pixels).astype(coarse.dtype)
        coarse[(*begin, *part)] = pixels

    def describe(self, image: Image, factors: Sequence[tuple[int, int, int]], **more: Any) -> None:
        """Write the metadata of a finished pyramid.

        Parameters
        ----------
        image
            With voxel size, position, interval, names and colours of the channels of level 0.
        factors
            As `begin_levels` gives them.
        **more
            Attributes beside those of OME.
        """
        length = {"unit": "micrometer"} if image.voxel_size is not None else {}
        time = {"unit": "second"} if image.frame_interval else {}
        space = ({"name": name, "type": "space", **length} for name in "zyx")
        axes = [{"name": "t", "type": "time", **time}, {"name": "c", "type": "channel"}, *space]
        size = (1.0,) * 3 if image.voxel_size is None else image.voxel_size
        steps = size if len(size) == 3 else (1.0, *size)
        datasets = []
        for level, factor in enumerate(factors):
            scale = [step * f for step, f in zip(steps, factor, strict=True)]
            moved = [
                start + step * (f - 1) / 2
                for start, step, f in zip(image.position, steps, factor, strict=True)
            ]
            scales = self._kept((image.frame_interval or 1.0, 1.0, *scale))
            along: list[Any] = [{"type": "scale", "scale": list(scales)}]
            shifts = self._kept((0.0, 0.0, *moved))
            if any(shifts):
                along.append({"type": "translation", "translation": list(shifts)})
            datasets.append({"path": str(level), "coordinateTransformations": along})
        group = self.group
        coarse = _array(group, str(len(factors) - 1))
        named = {"name": image.name, "axes": list(self._kept(axes)), "datasets": datasets}
        count = coarse.shape[self.axes.index("C")]
        seen = (_some_planes(coarse, self.axes, number) for number in range(count))
        channels = [_channel(image, number, one, count) for number, one in enumerate(seen)]
        ome: Any = {"version": "0.5", "multiscales": [named], "omero": {"channels": channels}}
        group.attrs.update({"ome": ome, **more})


def _array(group: Any, key: str) -> Any:
    return group[key]


def _some_planes(array: Any, axes: str, channel: int) -> NDArray[Any]:
    """Read planes of a channel, evenly spread over time and depth, (planes, Y, X)."""
    lengths = dict(zip(axes, array.shape, strict=True))
    outer = [lengths.get(letter, 1) for letter in "TZ"]
    chosen = np.unique(np.linspace(0, outer[0] * outer[1] - 1, _LOOKED_AT).astype(int))
    planes = []
    for one in chosen:
        place = dict(zip("TZ", np.unravel_index(one, outer), strict=True)) | {"C": channel}
        index = tuple(int(place[letter]) for letter in axes if letter in place)
        planes.append(np.asarray(array[index]))
    return np.stack(planes)


def _channel(image: Image, number: int, pixels: NDArray[Any], count: int) -> dict[str, Any]:
    """Describe a channel of so many, with a contrast that suits the pixels of a coarse level."""
    display = image.display[number] if number < len(image.display) else Display()
    name = image.channel_names[number] if number < len(image.channel_names) else ""
    colours = _COLOURS.get(count, _MORE_COLOURS)
    chosen = image.origin.channel if count == 1 and image.origin is not None else None
    low, high = (float(value) for value in np.percentile(pixels, _SHOWN))
    least, most = float(pixels.min()), float(pixels.max())
    if high <= low:
        low, high = least, max(most, least + 1)
    return {
        "label": name or f"Channel {number if chosen is None else chosen}",
        "color": display.colour or colours[number % len(colours)],
        "active": True,
        "window": {"min": least, "max": max(most, high), "start": low, "end": high},
    }


def _boxes(shape: Sequence[int], size: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    ranges = (range(0, length, part) for length, part in zip(shape, size, strict=True))
    for place in product(*ranges):
        yield tuple(
            slice(start, min(start + part, length))
            for start, part, length in zip(place, size, shape, strict=True)
        )


def _pairs(pixels: NDArray[Any], axis: int) -> NDArray[Any]:
    """Average neighbours along an axis; one that is left over stays."""
    first = pixels[(slice(None),) * axis + (slice(0, None, 2),)].astype(np.float32)
    second = pixels[(slice(None),) * axis + (slice(1, None, 2),)]
    paired = (slice(None),) * axis + (slice(0, second.shape[axis]),)
    first[paired] = (first[paired] + second) / 2
    return first


class ZarrRoom(Sliced):
    """An array with one channel, written and read as frames, axes "TYX" or "TZYX"."""

    def __init__(self, folder: str | os.PathLike[str], key: str, axes: str, frames: str) -> None:
        import zarr

        self._array = _array(zarr.open_group(folder, mode="r+"), key)
        self._axes, self._frames = axes, frames
        lengths = dict(zip(axes, self._array.shape, strict=True))
        self.shape = tuple(int(lengths.get(letter, 1)) for letter in frames)
        self.dtype = np.dtype(np.float32)

    @property
    def rows_together(self) -> int:
        """How many rows lie in the same files."""
        return int((self._array.shards or self._array.chunks)[-2])

    def _place(self, index: Any) -> tuple[int | slice, ...]:
        """Give the place in the array; a frame of the only one has no index there."""
        wanted = dict(zip(self._frames, whole_index(index, self.shape), strict=True))
        return tuple(wanted.get(letter, 0) for letter in self._axes)

    def __getitem__(self, index: Any) -> NDArray[np.float32]:
        return np.asarray(self._array[self._place(index)])

    def __setitem__(self, index: Any, values: ArrayLike) -> None:
        self._array[self._place(index)] = values
