"""Images in and out: files with their axes and pixel size, and arrays fit for training.

Axes are letters: T (frames), C (channels), Z (planes), Y, X. Lengths are micrometres.
"""

from __future__ import annotations

import logging
import math
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from .errors import InputError
from .files import written_whole
from .lazy import LazyArray, is_lazy, volumes_in_slabs

if TYPE_CHECKING:
    import tifffile
    from numpy.typing import ArrayLike, NDArray

_ORDER = "TCZYX"
_IMAGEJ_ORDER = "TZCYX"
_TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".tf8", ".lsm", ".stk")
_MAPPED_FROM = 256 * 2**20  # bytes; smaller files are faster to read than to map
_BIGTIFF_FROM = 2**32 - 2**25  # bytes of pixels; classic TIFF ends at 4 GiB
_SATURATION_BITS = (8, 10, 12, 14, 16)
_SATURATED_FRACTION = 1e-3
_LARGEST_PIXEL = 10.0  # micrometres; printing resolutions such as 72 dpi lie far above
_MICROMETRES = {
    "um": 1.0,
    "µm": 1.0,
    "μm": 1.0,
    "\\u00b5m": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "nanometre": 1e-3,
    "mm": 1e3,
    "millimeter": 1e3,
    "millimetre": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "meter": 1e6,
    "metre": 1e6,
    "inch": 25400.0,
    "in": 25400.0,
}
_RESOLUTION_UNITS = {2: "inch", 3: "cm"}  # values of the TIFF tag ResolutionUnit


@dataclass(frozen=True, eq=False)
class Image:
    """An image with what its file says about it.

    Attributes
    ----------
    data
        The pixels in camera counts, one axis for each letter of `axes`.
    axes
        Letters out of "TCZYX", in that order.
    voxel_size
        Micrometres along the spatial axes in `axes`, (Z,) Y, X; None where not known.
    name
        The file's name, or whatever a message should call the image.
    channel_names
        Names of the channels, where the file has them.
    frame_interval
        Seconds between frames; None where not known.
    notes
        What had to be guessed or was left out on reading; one sentence each.
    """

    data: NDArray[Any]
    axes: str
    voxel_size: tuple[float, ...] | None = None
    name: str = ""
    channel_names: tuple[str, ...] = ()
    frame_interval: float | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_axes(self.axes, self.data.ndim, self.name or "image")
        spatial = sum(letter in "ZYX" for letter in self.axes)
        if self.voxel_size is not None and len(self.voxel_size) != spatial:
            raise InputError(
                f"{self.name or 'image'} has {spatial} spatial axes and "
                f"{len(self.voxel_size)} voxel sizes; give one for each, in micrometres."
            )


def read_image(path: str | os.PathLike[str]) -> Image:
    """Read a TIFF (plain, ImageJ or OME) or .npy file with its axes and pixel size.

    Files above 256 MiB are mapped instead of read where they are stored uncompressed.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    Image
        Axes in the order "TCZYX"; voxel size in micrometres or None; `notes` says what had
        to be guessed.

    Raises
    ------
    InputError
        If the file is missing, empty, truncated, of another kind, or an RGB picture.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a TIFF file in it.")
    if not path.exists():
        raise InputError(f"{path} does not exist; check the name and the folder.")
    suffix = path.suffix.lower()
    if suffix not in (*_TIFF_SUFFIXES, ".npy"):
        raise InputError(
            f"{path} is of a kind that cannot be read here ({suffix or 'no suffix'}); "
            "save it as TIFF, for instance from Fiji."
        )
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty (0 bytes); copy or export it again.")
        return _read_npy(path) if suffix == ".npy" else _read_tiff(path)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror or error}); check its permissions."
        ) from error


def write_image(
    path: str | os.PathLike[str],
    data: ArrayLike,
    *,
    axes: str,
    voxel_size: Sequence[float] | None = None,
    channel_names: Sequence[str] = (),
    frame_interval: float | None = None,
) -> None:
    """Write a TIFF that ImageJ and napari open with the right axes and pixel size.

    A name that ends in .ome.tif gives OME-TIFF, any other .tif an ImageJ hyperstack. More
    than 4 GiB become a BigTIFF, which ImageJ knows only with OME metadata, so that is what
    it carries. The file appears under its name only when it is complete.

    Parameters
    ----------
    path
        File to write, .tif or .tiff.
    data
        Pixels; 8-bit and 16-bit unsigned integers and float32 are kept, everything else
        becomes float32.
    axes
        A letter out of "TCZYX" for each axis of `data`.
    voxel_size
        Micrometres along (Z,) Y, X; None writes no pixel size.
    channel_names
        Names of the channels, as many as the C axis is long.
    frame_interval
        Seconds between frames.

    Raises
    ------
    InputError
        If axes or voxel size do not fit the data, the name is no TIFF name, or the file
        cannot be written.
    """
    import tifffile

    path = Path(path)
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise InputError(f"{path} does not end in .tif or .tiff; only TIFF files are written.")
    image = Image(
        _storable(np.asarray(data)),
        axes.upper(),
        None if voxel_size is None else tuple(float(step) for step in voxel_size),
        path.name,
        tuple(channel_names),
        frame_interval,
    )
    big = image.data.nbytes >= _BIGTIFF_FROM
    ome = big or path.name.lower().endswith((".ome.tif", ".ome.tiff"))
    pixels = _transposed(image.data, image.axes, _ORDER if ome else _IMAGEJ_ORDER)
    metadata = _ome_metadata(image) if ome else _imagej_metadata(image)
    tags: dict[str, Any] = {"photometric": "minisblack"}
    if image.voxel_size is not None:
        # ImageJ counts pixels per its own unit; OME readers look at the XML and fall back on
        # pixels per centimetre.
        per_unit = 1e4 if ome else 1.0
        step_y, step_x = image.voxel_size[-2:]
        tags["resolution"] = (per_unit / step_x, per_unit / step_y)
        tags["resolutionunit"] = "CENTIMETER" if ome else "NONE"
    with written_whole(path) as temporary:
        tifffile.imwrite(
            temporary,
            pixels,
            ome=ome,
            imagej=not ome,
            bigtiff=big,
            metadata=metadata,
            **tags,
        )


def spatial_axes(data: ArrayLike | Image, axes: str | None = None) -> Literal["YX", "ZYX"]:
    """Tell images from volumes: "ZYX" where Z is among the axes and longer than one plane.

    Parameters
    ----------
    data
        An array, or an `Image`, which brings its own axes.
    axes
        Letters for the axes of `data`; None takes three axes for frames (T, Y, X) and four
        for volumes (T, Z, Y, X).
    """
    if isinstance(data, Image):
        axes, data = axes or data.axes, data.data
    shape = np.shape(data)
    letters = "TZYX"[-len(shape) :] if len(shape) > 3 else "TYX"[-len(shape) :]
    letters = (axes or letters).upper()
    deep = len(letters) == len(shape) and "Z" in letters and shape[letters.index("Z")] > 1
    return "ZYX" if deep else "YX"


def as_frames(
    data: ArrayLike | Image,
    axes: str | None = None,
    *,
    name: str = "image",
    spatial: Literal["YX", "ZYX"] = "YX",
) -> NDArray[Any]:
    """Lay a recording out as frames (T, Y, X) or volumes (T, Z, Y, X), or say why it cannot be.

    Parameters
    ----------
    data
        An array, or an `Image`, which brings its own axes and name. Of a memory map, a dask
        array or anything else that is read by slicing it nothing is read here.
    axes
        Letters for the axes of `data`. None takes (Y, X) or (T, Y, X) for frames, and
        (Z, Y, X) or (T, Z, Y, X) for volumes.
    name
        What messages call the image.
    spatial
        "YX" for frames, "ZYX" for volumes.

    Returns
    -------
    ndarray
        The same pixels and type (in the machine's byte order) as (T, Y, X) or (T, Z, Y, X),
        T being 1 where there is no time. What was read lazily stays so: a native memory map
        is a memory map still, and anything else comes as `LazyArray`, which gives numpy
        arrays where it is cut.

    Raises
    ------
    InputError
        If the image is RGB, complex, boolean or empty, has several channels, planes where
        frames are asked for (or none where volumes are), or an unfit number of axes.
    """
    if isinstance(data, Image):
        axes = axes or data.axes
        name = data.name or name
        data = data.data
    pixels: Any = data if is_lazy(data) else np.asarray(data)
    _check_type(pixels, name)
    if axes is None:
        axes = _assumed_axes(pixels, name, spatial)
    axes = axes.upper()
    if "S" in axes:
        raise _rgb_error(name)
    _check_axes(axes, pixels.ndim, name)
    lengths = dict(zip(axes, pixels.shape, strict=True))
    if lengths.get("C", 1) > 1:
        raise InputError(
            f"{name} has {lengths['C']} channels, and one at a time can be processed; choose one "
            "channel."
        )
    if spatial == "YX" and lengths.get("Z", 1) > 1:
        raise InputError(
            f"{name} has {lengths['Z']} planes (Z) where single images are wanted; process it as "
            'a volume, with axes "ZYX", choose one plane, or say axes "TYX" if they are frames in '
            "time."
        )
    if spatial == "ZYX" and "Z" not in axes:
        raise InputError(
            f'{name} has axes "{axes}", hence no planes (Z), where a volume is wanted; say axes '
            '"ZYX" if its frames are planes, or process it as images, with axes "YX" or "TYX".'
        )
    order = f"T{spatial}"
    if is_lazy(pixels) and not (isinstance(pixels, np.ndarray) and pixels.dtype.isnative):
        return cast("NDArray[Any]", LazyArray(pixels, axes, order))
    pixels = _transposed(pixels, axes, "CZTYX" if spatial == "YX" else "CTZYX")
    # A memory map stays one: of axes of length one alone, no reshaping makes a copy.
    frames = pixels.reshape(lengths.get("T", 1), *pixels.shape[1 - len(order) :])
    return cast("NDArray[Any]", frames.astype(frames.dtype.newbyteorder("="), copy=False))


def check_pixels(
    data: ArrayLike, *, name: str = "image", spatial: Literal["YX", "ZYX"] | None = None
) -> tuple[str, ...]:
    """Refuse pixels that no model can learn from, and warn of those that make it hard.

    Saturated means: the values are whole numbers, and the largest is the top of an 8, 10,
    12, 14 or 16 bit range; from 0.1 % of the pixels there on, the image is refused.

    Parameters
    ----------
    data
        Pixels in camera counts, any shape. They are read once, frame by frame and volumes
        slab by slab, so that what is read lazily is never in memory as a whole.
    name
        What messages call the image.
    spatial
        "ZYX" where the last three axes are a volume, whose empty planes are no error of the
        recording; "YX" for frames; None takes four axes or more for volumes.

    Returns
    -------
    tuple of str
        Warnings, one sentence each; empty for a sound image.

    Raises
    ------
    InputError
        If pixels are NaN or infinite, all equal, or saturated.
    """
    pixels: Any = data if is_lazy(data) else np.asarray(data)
    _check_type(pixels, name)
    read = _read_once(pixels)
    _refuse_non_finite(read, name)
    low, high = read.lows.min(), read.highs.max()
    if low == high:
        raise InputError(
            f"{name} is constant, every pixel being {low:g}; check that the right file or "
            "channel was chosen."
        )
    warnings = []
    empty = np.flatnonzero(read.lows == read.highs)
    if len(empty) and (spatial or ("ZYX" if pixels.ndim > 3 else "YX")) == "ZYX":
        warnings.append(
            f"{name}: {len(empty)} of {len(read.lows)} planes are empty, every pixel of a plane "
            "being equal; crop the stack to the planes that were recorded."
        )
    elif len(empty):
        warnings.append(
            f"{name} has {len(empty)} blank frame(s) of {len(read.lows)}, the first at index "
            f"{empty[0]}; leave them out."
        )
    if pixels.dtype.itemsize == 1:
        warnings.append(
            f"{name} is an 8-bit image, whose rounding hides the camera's noise; use the "
            "original 12-bit or 16-bit recording if there is one."
        )
    warnings.extend(_saturation_warnings(read, math.prod(pixels.shape), name))
    return tuple(warnings)


def check_finite(data: ArrayLike, *, name: str = "image") -> None:
    """Refuse pixels that are NaN or infinite, saying how many and where the first is.

    Parameters
    ----------
    data
        Pixels, any shape of two axes or more; whole numbers pass unread, and what is read
        lazily is read as by `check_pixels`.
    name
        What the message calls the image.

    Raises
    ------
    InputError
        If any pixel is NaN or infinite.
    """
    pixels: Any = data if is_lazy(data) else np.asarray(data)
    if pixels.dtype.kind == "f":
        _refuse_non_finite(_read_once(pixels), name)


@dataclass(frozen=True, eq=False)
class _Read:
    """What one reading of all pixels tells, plane by plane."""

    lows: NDArray[Any]
    highs: NDArray[Any]
    at_high: NDArray[np.int64]  # pixels that equal the plane's highest
    whole: bool  # all values are whole numbers
    non_finite: int
    first_non_finite: tuple[int, ...] | None


def _read_once(pixels: Any) -> _Read:
    lows, highs, at_high = [], [], []
    whole, non_finite, first = True, 0, None
    real = pixels.dtype.kind == "f"
    for index, slab in volumes_in_slabs(pixels):
        for depth, plane in enumerate(slab):
            finite = plane
            if real:
                good = np.isfinite(plane)
                if not good.all():
                    non_finite += int(np.count_nonzero(~good))
                    if first is None:
                        inside = np.unravel_index(int(np.argmin(good)), plane.shape)
                        outer = (*index[:-1], index[-1] + depth) if index else ()
                        first = (*outer, *(int(place) for place in inside))
                    finite = plane[good] if good.any() else np.zeros(1, plane.dtype)
                whole = whole and bool((finite == np.rint(finite)).all())
            lows.append(finite.min())
            highs.append(finite.max())
            at_high.append(int(np.count_nonzero(finite == highs[-1])))
    return _Read(np.array(lows), np.array(highs), np.array(at_high), whole, non_finite, first)


def _refuse_non_finite(read: _Read, name: str) -> None:
    if read.first_non_finite is not None:
        where = ", ".join(str(position) for position in read.first_non_finite)
        raise InputError(
            f"{name} has {read.non_finite} NaN or infinite pixel(s), the first at ({where}); "
            "replace them or crop them away."
        )


def _check_type(pixels: Any, name: str) -> None:
    if pixels.dtype.kind == "c":
        raise InputError(
            f"{name} is complex ({pixels.dtype}); give camera counts, not a Fourier transform."
        )
    if pixels.dtype.kind not in "uif":
        raise InputError(
            f"{name} holds {pixels.dtype} values; give camera counts, whole numbers or floats."
        )
    if math.prod(pixels.shape) == 0:
        raise InputError(f"{name} has no pixels (shape {pixels.shape}); choose another image.")
    if pixels.ndim < 2:
        raise InputError(f"{name} has {pixels.ndim} axes; an image has at least two, Y and X.")


def _check_axes(axes: str, ndim: int, name: str) -> None:
    unknown = sorted(set(axes) - set(_ORDER))
    if unknown or len(set(axes)) != len(axes) or not {"Y", "X"} <= set(axes):
        raise InputError(
            f'{name} has axes "{axes}"; use each of the letters T, C, Z, Y, X at most once, '
            'with Y and X present, as in "TYX".'
        )
    if len(axes) != ndim:
        raise InputError(
            f'{name} has {ndim} axes, but "{axes}" names {len(axes)}; name one letter for each.'
        )


def _assumed_axes(pixels: Any, name: str, spatial: str = "YX") -> str:
    if pixels.ndim == 3 and pixels.shape[-1] in (3, 4) and min(pixels.shape[:2]) > 4:
        raise _rgb_error(name)
    axes = f"T{spatial}"
    if not len(spatial) <= pixels.ndim <= len(axes):
        kinds = {
            "YX": "an image (Y, X) or frames (T, Y, X)",
            "ZYX": "a volume (Z, Y, X) or (T, Z, Y, X)",
        }
        raise InputError(
            f"{name} has {pixels.ndim} axes of shape {tuple(pixels.shape)}; give {kinds[spatial]}, "
            "or name the axes."
        )
    return axes[-pixels.ndim :]


def _rgb_error(name: str) -> InputError:
    return InputError(
        f"{name} is an RGB picture, not camera counts; convert to one channel: in Fiji, "
        "Image > Color > Split Channels."
    )


def _saturation_warnings(read: _Read, size: int, name: str) -> list[str]:
    high = float(read.highs.max())
    if not read.whole or high not in [2**bits - 1 for bits in _SATURATION_BITS]:
        return []
    count = int(read.at_high[read.highs == high].sum())
    fraction = count / size
    if fraction >= _SATURATED_FRACTION:
        raise InputError(
            f"{name} is saturated: {100 * fraction:.2g} % of its pixels are at {high:g}, the "
            "top of the camera's range; record it again with less light or crop the bright part."
        )
    return [
        f"{name} has {count} pixel(s) at {high:g}, the top of a camera's range; they may be "
        "saturated, and what lies around them is then wrong."
    ]


def _storable(pixels: NDArray[Any]) -> NDArray[Any]:
    """Keep what every TIFF reader knows; turn the rest into float32."""
    if pixels.dtype.kind == "b":
        return pixels.astype(np.uint8)
    if pixels.dtype in (np.uint8, np.uint16, np.float32):
        return pixels
    _check_type(pixels, "the image to write")
    return pixels.astype(np.float32)


def _transposed(pixels: NDArray[Any], axes: str, order: str) -> NDArray[Any]:
    return pixels.transpose([axes.index(letter) for letter in order if letter in axes])


def _imagej_metadata(image: Image) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "axes": "".join(letter for letter in _IMAGEJ_ORDER if letter in image.axes)
    }
    if image.voxel_size is not None:
        metadata["unit"] = "um"
        if "Z" in image.axes:
            metadata["spacing"] = image.voxel_size[0]
    if image.channel_names and "C" in image.axes:
        planes = [image.data.shape[image.axes.index(a)] for a in "TZ" if a in image.axes]
        metadata["Labels"] = list(image.channel_names) * math.prod(planes)
    if image.frame_interval is not None and "T" in image.axes:
        metadata["finterval"] = image.frame_interval
        metadata["tunit"] = "s"
    return metadata


def _ome_metadata(image: Image) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "axes": "".join(letter for letter in _ORDER if letter in image.axes)
    }
    if image.voxel_size is not None:
        spatial = [letter for letter in image.axes if letter in "ZYX"]
        for letter, step in zip(spatial, image.voxel_size, strict=True):
            metadata[f"PhysicalSize{letter}"] = step
            metadata[f"PhysicalSize{letter}Unit"] = "µm"
    if image.channel_names and "C" in image.axes:
        metadata["Channel"] = {"Name": list(image.channel_names)}
    if image.frame_interval is not None and "T" in image.axes:
        metadata["TimeIncrement"] = image.frame_interval
        metadata["TimeIncrementUnit"] = "s"
    return metadata


def _read_npy(path: Path) -> Image:
    try:
        mapped = path.stat().st_size >= _MAPPED_FROM
        pixels = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InputError(
            f"{path} is not a complete .npy array ({_first_line(error)}); save it again with "
            "numpy.save."
        ) from error
    _check_type(pixels, path.name)
    axes = _assumed_axes(pixels, path.name)
    notes = (f"{path.name} names no axes; its first axis is taken as time.",) if "T" in axes else ()
    return Image(pixels, axes, None, path.name, notes=notes)


def _read_tiff(path: Path) -> Image:
    import tifffile

    with _complaints() as complaints:
        try:
            with tifffile.TiffFile(path) as tiff:
                if not tiff.series:
                    raise InputError(f"{path} holds no image; export it again.")
                series = tiff.series[0]
                pixels = _pixels(tiff, series, path)
                axes, notes = _letters(series.axes, pixels.shape, path.name)
                voxel_size, size_notes = _voxel_size(tiff, axes)
                names, interval = _names_and_interval(tiff, axes)
                notes += [f"{path.name}: {note}" for note in size_notes]
                if len(tiff.series) > 1:
                    notes.append(f"{path.name} holds {len(tiff.series)} images; the first is read.")
        except tifffile.TiffFileError as error:
            raise InputError(
                f"{path} is not a TIFF file that can be read ({_first_line(error)}); export it "
                "again as TIFF."
            ) from error
        except (ValueError, IndexError, KeyError, EOFError, zlib.error) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(_broken(path, error)) from error
    if complaints:
        raise InputError(_broken(path, complaints[0]))
    letters = "".join(axes)
    order = "".join(letter for letter in _ORDER if letter in letters)
    kept = tuple(index for index, letter in enumerate(axes) if letter)
    pixels = pixels.reshape([pixels.shape[index] for index in kept])
    return Image(
        _transposed(pixels, letters, _ORDER),
        order,
        voxel_size,
        path.name,
        names,
        interval,
        tuple(notes),
    )


def _pixels(tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries, path: Path) -> NDArray[Any]:
    size = path.stat().st_size
    for page in series.pages:
        if page is None:
            continue
        ends = (a + b for a, b in zip(page.dataoffsets, page.databytecounts, strict=True))
        if max(ends, default=0) > size:
            raise InputError(_broken(path, "the file is shorter than its header says"))
    if series.dataoffset is not None and series.nbytes >= _MAPPED_FROM:
        return np.memmap(
            path, tiff.byteorder + series.dtype.char, "r", series.dataoffset, series.shape
        )
    pixels: NDArray[Any] = series.asarray()
    return pixels


def _broken(path: Path, error: object) -> str:
    reason = _first_line(error)
    if "imagecodecs" in reason:
        return (
            f"{path} is compressed in a way that needs one more package; save it uncompressed "
            "or run: pip install imagecodecs."
        )
    return f"{path} is truncated or damaged ({reason}); copy or export it again."


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
        yield collected
    finally:
        logger.removeHandler(handler)
        logger.propagate = passes_on


def _letters(axes: str, shape: tuple[int, ...], name: str) -> tuple[list[str], list[str]]:
    """Translate the letters of tifffile into ours; "" marks an axis of length one to drop."""
    letters: list[str] = []
    notes: list[str] = []
    for letter, length in zip(axes, shape, strict=True):
        if letter == "S" and length > 1:
            raise _rgb_error(name)
        if letter in _ORDER:
            letters.append(letter)
        elif length == 1:
            letters.append("")
        elif "T" in axes or "T" in letters:
            raise InputError(
                f'{name} has axes "{axes}" of shape {shape}, of which "{letter}" is not known; '
                "save it as an ImageJ hyperstack or OME-TIFF with T, C, Z, Y, X."
            )
        else:
            letters.append("T")
            notes.append(
                f"{name} does not say what its {length} pages are; they are taken as time."
            )
    return letters, notes


def _voxel_size(
    tiff: tifffile.TiffFile, axes: list[str]
) -> tuple[tuple[float, ...] | None, list[str]]:
    """Find the voxel size in micrometres, or say why what the file has is not used."""
    if tiff.is_ome:
        sizes = _ome_sizes(tiff)
    elif tiff.is_imagej:
        metadata = tiff.imagej_metadata or {}
        sizes = _tag_sizes(tiff, str(metadata.get("unit", "")), metadata.get("spacing"))
    else:
        metadata = (tiff.shaped_metadata or ({},))[0]
        sizes = _tag_sizes(tiff, str(metadata.get("unit", "")), metadata.get("spacing"))
    lateral = [sizes.get("Y"), sizes.get("X")]
    if any(step is None for step in lateral):
        return None, []
    stated = f"the pixel size in the file, {lateral[1]:g} um,"
    if lateral == [1.0, 1.0]:
        return None, [f"{stated} is what is written when none is known; it is not used."]
    if any(not 0 < step <= _LARGEST_PIXEL for step in lateral if step is not None):
        return None, [f"{stated} cannot be that of a microscope; it is not used."]
    steps = [sizes.get(letter) for letter in axes if letter and letter in "ZYX"]
    known = [step for step in steps if step is not None and step > 0]
    if len(known) < len(steps):
        return None, [f"{stated} comes without the step between planes; it is not used."]
    if not math.isclose(known[-2], known[-1], rel_tol=1e-3):
        return tuple(known), [f"pixels are not square, {known[-2]:g} x {known[-1]:g} um (Y, X)."]
    return tuple(known), []


def _tag_sizes(tiff: tifffile.TiffFile, unit: str, spacing: Any) -> dict[str, float | None]:
    """Voxel size from the resolution tags, in the unit that the metadata or a tag names."""
    tags = tiff.pages.first.tags
    if not unit:
        tag = tags.get("ResolutionUnit")
        unit = _RESOLUTION_UNITS.get(int(tag.value) if tag else 1, "")
    scale = _micrometres(unit)
    sizes: dict[str, float | None] = {}
    for letter in "YX":
        tag = tags.get(f"{letter}Resolution")
        if tag and scale and tag.value[0] and tag.value[1]:
            # A ratio of two integers: 9090909 / 10**6 pixels per micrometre means 0.11 um.
            sizes[letter] = float(f"{scale * tag.value[1] / tag.value[0]:.6g}")
    if spacing and scale:
        sizes["Z"] = scale * abs(float(spacing))
    return sizes


def _ome_sizes(tiff: tifffile.TiffFile) -> dict[str, float | None]:
    attributes = _ome_pixels(tiff)
    sizes: dict[str, float | None] = {}
    for letter in "ZYX":
        scale = _micrometres(str(attributes.get(f"PhysicalSize{letter}Unit", "um")))
        if scale and f"PhysicalSize{letter}" in attributes:
            sizes[letter] = scale * float(attributes[f"PhysicalSize{letter}"])
    return sizes


def _ome_pixels(tiff: tifffile.TiffFile) -> dict[str, Any]:
    import tifffile

    image = tifffile.xml2dict(tiff.ome_metadata or "<OME/>").get("OME", {}).get("Image", {})
    first = image[0] if isinstance(image, list | tuple) else image
    pixels = first.get("Pixels", {}) if isinstance(first, dict) else {}
    return dict(pixels)


def _micrometres(unit: str) -> float | None:
    word = unit.strip().strip("'\"")
    return _MICROMETRES.get(word.lower())


def _names_and_interval(
    tiff: tifffile.TiffFile, axes: list[str]
) -> tuple[tuple[str, ...], float | None]:
    names: list[Any] = []
    interval: Any = None
    if tiff.is_ome:
        attributes = _ome_pixels(tiff)
        channels = attributes.get("Channel", [])
        channels = channels if isinstance(channels, list | tuple) else [channels]
        names = [channel.get("Name", "") for channel in channels]
        if attributes.get("TimeIncrementUnit", "s") == "s":
            interval = attributes.get("TimeIncrement")
    elif tiff.is_imagej:
        metadata = tiff.imagej_metadata or {}
        names = list(metadata.get("Labels", []))[: int(metadata.get("channels", 0))]
        if metadata.get("tunit", "s") in ("s", "sec"):
            interval = metadata.get("finterval")
    channel_names = tuple(str(name) for name in names) if "C" in axes and all(names) else ()
    return channel_names, float(interval) if interval else None
