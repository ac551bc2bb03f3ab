"""Images out of files: TIFF (plain, ImageJ or OME), OME-Zarr, MRC, ND2, CZI, LIF and .npy."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..utils.errors import InputError
from ..utils.memory import check_room, in_bytes
from .acquisition import Recorded
from .axes import ORDER, Note, about, assumed_axes, check_kind
from .image import Image, Origin
from .lazy import LazyArray
from .microscope_files import MICROSCOPE_SUFFIXES, read_scene, scene_names
from .mrc import MRC_SUFFIXES, read_mrc
from .scenes import scene_number
from .tiff_pages import TiffPages
from .tiff_sets import check_whole, first_series, read_companion
from .tiff_sizes import check_expansion, check_series, lost_metadata
from .tiff_tags import (
    is_coloured,
    read_channel_names,
    read_interval,
    read_letters,
    read_meaning,
    read_steps,
    recorded_in,
    voxel_size_of,
)
from .zarr_stores import is_zarr

if TYPE_CHECKING:
    import tifffile
    from numpy.typing import NDArray

_TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".tf8", ".lsm", ".stk")
_MAPPED_FROM = 2**24  # bytes; what is smaller is read at once, and its file may then go


def read_image(
    path: str | os.PathLike[str], *, level: int = 0, scene: int | str | None = None
) -> Image:
    """Read an image file with what it says of axes, sizes, channels and optics.

    TIFF (plain, ImageJ or OME), OME-Zarr, MRC, DeltaVision, ND2, CZI, LIF and .npy are known.
    From 16 MiB of pixels on nothing but what is cut out of the data is read: files stored
    uncompressed are mapped, others are decoded page by page, and OME-Zarr chunk by chunk.

    Parameters
    ----------
    path
        The file. OME-Zarr, for which the extra ``zarr`` is installed, may be a folder, a zip file
        (.ozx, .zarr.zip) or an address that fsspec knows, such as ``s3://bucket/cells.ome.zarr``.
        ND2, CZI and LIF need the extra ``formats``.
    level
        Of the pyramid of an OME-Zarr; 0 is the finest.
    scene
        Of an ND2 (position), CZI (scene), LIF (image) or OME-Zarr of bioformats2raw, by its
        number, counted from 0, or its name, see `scenes_of`; None takes the first, and a note
        says how many there are.

    Returns
    -------
    Image
        Axes in the order "TCZYX"; voxel size in micrometres or None; `notes` says what had
        to be guessed.

    Raises
    ------
    InputError
        If the file is missing, empty, truncated, of another kind, an RGB picture, lacks planes
        or files of the set that it belongs to, or has no such scene.

    Examples
    --------
    >>> import napari_zsdeconvnet as zs
    >>> import numpy as np
    >>> zs.write_image("cells.tif", np.ones((64, 64), np.float32), axes="YX", voxel_size=(0.1, 0.1))
    >>> image = zs.read_image("cells.tif")
    >>> image.axes, [round(size, 3) for size in image.voxel_size]
    ('YX', [0.1, 0.1])
    """
    if is_zarr(path):
        from .ome_zarr import read_ome_zarr

        return read_ome_zarr(path, level, scene)
    if level:
        raise InputError("level-unknown", f"{path} is no OME-Zarr, which alone has levels; name 0.")
    path = Path(path)
    if path.is_dir():
        raise InputError("file-is-folder", f"{path} is a folder; name a TIFF file in it.")
    if not path.exists():
        raise InputError("file-missing", f"{path} does not exist; check the name and the folder.")
    suffix = path.suffix.lower()
    if suffix not in (*_TIFF_SUFFIXES, *MRC_SUFFIXES, *MICROSCOPE_SUFFIXES, ".npy"):
        raise InputError(
            "file-kind",
            f"{path} is of a kind that cannot be read here ({suffix or 'no suffix'}); "
            "save it as TIFF, for instance from Fiji.",
        )
    try:
        if path.stat().st_size == 0:
            raise InputError("file-empty", f"{path} is empty (0 bytes); copy or export it again.")
        if suffix in MICROSCOPE_SUFFIXES:
            image, number = read_scene(path, scene, _MAPPED_FROM)
            return replace(image, origin=Origin(str(path.resolve()), scene=number))
        scene_number(scene, (path.name,), path)
        read = _read_npy if suffix == ".npy" else _read_tiff
        image = (_read_mrc if suffix in MRC_SUFFIXES else read)(path)
    except OSError as error:
        raise InputError(
            "file-unreadable",
            f"{path} cannot be read ({error.strerror or error}); check its permissions.",
        ) from error
    return replace(image, origin=Origin(str(path.resolve())))


def scenes_of(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """List the names of the images in a file, of which `read_image` takes one.

    Parameters
    ----------
    path
        ND2 (positions), CZI (scenes), LIF (images, and tiles of mosaics) or OME-Zarr of
        bioformats2raw (numbers). Of any other file the only one is named after it.

    Returns
    -------
    tuple of str
        In the order of the file.

    Raises
    ------
    InputError
        If such a file is missing or cannot be read.

    Examples
    --------
    >>> import napari_zsdeconvnet as zs
    >>> import numpy as np
    >>> zs.write_image("cells.tif", np.ones((64, 64), np.float32), axes="YX")
    >>> zs.scenes_of("cells.tif")
    ('cells.tif',)
    """
    if is_zarr(path):
        from .ome_zarr import images_in

        return images_in(path)
    path = Path(path)
    if path.suffix.lower() not in MICROSCOPE_SUFFIXES:
        return (path.name,)
    if not path.exists():
        raise InputError("file-missing", f"{path} does not exist; check the name and the folder.")
    return scene_names(path)


def read_recorded(path: str | os.PathLike[str]) -> Recorded:
    """Read what a TIFF or OME-Zarr says of optics, channels and pixels, and none of its pixels.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    Recorded
        Empty where the file is neither, cannot be read or says nothing.

    Raises
    ------
    InputError
        If planes are missing, which other readers fill with zeros, or it is an RGB picture.
    """
    if is_zarr(path):
        return _recorded_in_zarr(path)
    path = Path(path)
    if path.suffix.lower() not in _TIFF_SUFFIXES or not path.is_file():
        return Recorded()
    with _complaints():
        try:
            with _opened(path) as (tiff, _):
                series, _ = first_series(tiff)
                check_whole(tiff, series, path)
                steps, _ = read_steps(tiff)
                letters, guessed, _ = read_letters(
                    series.axes,
                    series.shape,
                    path.name,
                    coloured=is_coloured(series.keyframe),
                )
                names = read_channel_names(tiff, "".join(letters))
                interval, _ = read_interval(tiff)
                found = recorded_in(tiff)
        except InputError:
            raise
        except Exception:  # `read_image` says what is wrong with it
            return Recorded()
    deep = "Z" in letters or bool(guessed)
    return replace(
        found,
        channel_names=names or found.channel_names,
        steps=steps if deep else (None, *steps[1:]),
        axes="" if guessed else "".join(letters),
        frame_interval=interval,
    )


def _recorded_in_zarr(path: str | os.PathLike[str]) -> Recorded:
    from .ome_zarr import read_ome_zarr

    try:
        image = read_ome_zarr(path)
    except InputError:  # of a plate, say
        return Recorded()
    reordered = any(about(note) == "axes-reordered" for note in image.notes)
    axes = "" if reordered else image.axes
    return Recorded(image.optics, image.channel_names, image.steps, axes, image.frame_interval)


def _read_npy(path: Path) -> Image:
    try:
        mapped = path.stat().st_size >= _MAPPED_FROM
        _check_npy_size(path)
        pixels = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (InputError, OSError):
        raise
    except Exception as error:  # its header is a Python expression, which fails in every way
        raise InputError(
            "npy-damaged",
            f"{path} is not a complete .npy array ({_first_line(error)}); save it again.",
        ) from error
    check_kind(pixels, path.name)
    axes = assumed_axes(pixels, path.name, "ZYX" if pixels.ndim > 3 else "YX")
    guesses = {"TYX": "its first axis is taken as time", "TZYX": "they are taken as T, Z, Y, X"}
    notes: tuple[str, ...] = ()
    if axes in guesses:
        code = "pages-as-time" if axes == "TYX" else ""
        notes = (Note(f"{path.name} names no axes; {guesses[axes]}.", code),)
    return Image(pixels, axes, None, path.name, notes=notes, guessed=axes[:-2])


def _check_npy_size(path: Path) -> None:
    """Refuse a header that declares more than its file holds; numpy allocates what it declares."""
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0
        if version > (1, 0):
            read = np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        declared, there = math.prod(shape) * dtype.itemsize, path.stat().st_size - file.tell()
    if declared > there or min(shape, default=0) < 0:
        raise ValueError(f"it declares {in_bytes(declared)} and holds {in_bytes(there)}")


def _read_mrc(path: Path) -> Image:
    file = read_mrc(path, mapped_from=_MAPPED_FROM)
    check_kind(file.data, path.name)
    lengths = [file.sections[letter] for letter in file.order]
    pixels = file.data.reshape(*lengths, *file.data.shape[-2:])
    pixels = pixels.transpose(*(file.order.index(letter) for letter in "TCZ"), 3, 4)
    kept = [letter for letter in "TCZ" if file.sections[letter] > 1]
    pixels = pixels.reshape(*(file.sections[letter] for letter in kept), *pixels.shape[-2:])
    step, y, x = file.voxel_size or (None, None, None)
    steps = (step if step and step > 0 else None, y, x)
    axes = "".join(kept) + "YX"
    voxel_size, missing = voxel_size_of(steps, axes)
    notes = (*file.notes, *(Note(f"{path.name}: {note}", about(note)) for note in missing))
    return Image(pixels, axes, voxel_size, path.name, notes=notes, steps=steps)


def _read_tiff(path: Path) -> Image:
    import tifffile

    with _complaints() as complaints:
        try:
            with _opened(path) as (tiff, lost):
                if not tiff.series:
                    raise InputError(
                        "tiff-without-image", f"{path} holds no image; export it again."
                    )
                series, others = first_series(tiff)
                notes = [*lost, *check_whole(tiff, series, path)]
                if series.dtype.kind == "c":
                    check_kind(series, path.name)
                pixels = _pixels(tiff, series, path)
                steps, size_notes = read_steps(tiff)
                axes, guessed, axis_notes = read_letters(
                    series.axes,
                    pixels.shape,
                    path.name,
                    unnamed="Z" if steps[0] else "T",
                    coloured=is_coloured(series.keyframe),
                )
                notes += axis_notes
                order = "".join(letter for letter in ORDER if letter in axes)
                voxel_size, missing = voxel_size_of(steps, order)
                interval, interval_notes = read_interval(tiff)
                names = read_channel_names(tiff, order)
                optics = recorded_in(tiff).channels
                said = [*size_notes, *missing, *interval_notes, *read_meaning(series.keyframe)]
                notes += [Note(f"{path.name}: {note}", about(note)) for note in said]
                if others:
                    notes.append(f"{path.name} holds {others + 1} images; the first is read.")
        except tifffile.TiffFileError as error:
            raise InputError(
                "tiff-damaged",
                f"{path} is not a TIFF file that can be read ({_first_line(error)}); export it "
                "again as TIFF.",
            ) from error
        except (InputError, OSError):
            raise
        except Exception as error:  # a damaged file has its parser fail in every way
            raise _broken(path, error) from error
    if complaints:
        raise _broken(path, complaints[0])
    data = _in_order(pixels, axes, order)
    return Image(
        data,
        order,
        voxel_size,
        path.name,
        names,
        interval,
        tuple(notes),
        optics,
        steps=steps,
        guessed=guessed,
    )


@contextmanager
def _opened(path: Path) -> Iterator[tuple[tifffile.TiffFile, list[str]]]:
    """Open a TIFF; without its OME metadata, and with words on that, where they are damaged."""
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        begins = tiff.pages.first.description
        companion, note = read_companion(begins, path)
        # What is cut off at its end is no OME to tifffile.
        problem = lost_metadata(begins if "<OME" in begins[:1000] else tiff.ome_metadata)
        if not problem and companion is None:
            yield tiff, [note] if note else []
            return
    if companion is not None:
        with tifffile.TiffFile(path, omexml=companion) as tiff:
            yield tiff, []
        return
    with tifffile.TiffFile(path, is_ome=False) as tiff:
        yield (
            tiff,
            [
                f"{path.name}: its OME metadata are lost, since {problem}; the pixels are read "
                "without what they said of axes, sizes, times and channels."
            ],
        )


def _in_order(pixels: Any, axes: list[str], order: str) -> NDArray[Any]:
    """Put the axes in order and leave out those without a letter, which have length one."""
    if isinstance(pixels, np.ndarray):
        kept = [letter for letter in axes if letter]
        shape = [length for length, letter in zip(pixels.shape, axes, strict=True) if letter]
        return pixels.reshape(shape).transpose([kept.index(letter) for letter in order])
    letters = "".join(letter or chr(ord("a") + number) for number, letter in enumerate(axes))
    return cast("NDArray[Any]", LazyArray(pixels, letters, order))


def _pixels(tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries, path: Path) -> Any:
    check_series(series)
    if series.nbytes >= _MAPPED_FROM:
        if series.dataoffset is not None:
            kind = tiff.byteorder + series.dtype.char
            return np.memmap(path, kind, "r", series.dataoffset, series.shape)
        if TiffPages.fits(series):
            pages = TiffPages(series, path.name, lambda error: _broken(path, error))
            pages[(0,) * (len(pages.shape) - 2)]  # says now if it cannot be decoded at all
            return pages
    check_room(series.nbytes, path.name)
    for page in series.pages:
        if page is not None:
            check_expansion(page)
    return series.asarray()


def _broken(path: Path, error: object) -> InputError:
    reason = _first_line(error) or type(error).__name__
    if "imagecodecs" in reason:  # tifffile raises a ValueError as for all else
        return InputError(
            "tiff-compression",
            f"{path} is compressed in a way that needs one more package; save it uncompressed "
            "or run: pip install imagecodecs.",
            path=path,
        )
    return InputError(
        "tiff-damaged",
        f"{path} is truncated or damaged ({reason}); copy or export it again.",
        path=path,
    )


def _first_line(error: object) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """Collect the errors that tifffile logs and reads past, such as a page that is missing."""
    collected: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            collected.append(record.getMessage())

    logger = logging.getLogger("tifffile")
    handler = Collector(logging.ERROR)
    logger.addHandler(handler)
    passes_on, logger.propagate = logger.propagate, False
    try:
        with np.errstate(all="ignore"):  # of dates and sizes in damaged tags
            yield collected
    finally:
        logger.removeHandler(handler)
        logger.propagate = passes_on
