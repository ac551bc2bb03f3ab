"""What an image is, and how it is laid out for training: as frames or as volumes.

Axes are letters: T (frames), C (channels), Z (planes), Y, X. Lengths are micrometres.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from ..utils.errors import InputError, Remedy
from .acquisition import Optics
from .axes import assumed_axes, check_axes, check_kind, rgb_error
from .lazy import LazyArray, Sliced, is_lazy, volumes_in_slabs

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


_LARGEST_MAP = 2**32  # pixels


@dataclass(frozen=True)
class Origin:
    """The file that an image was read from, and what of it was taken.

    Attributes
    ----------
    path
        The file.
    axes
        Letters of its axes where the file had them wrong and they were said; None otherwise.
    channel, plane
        Which one of several, counted from 0; None where there was nothing to choose.
    level
        Of a pyramid, counted from the finest; None for that.
    scene
        Which one of several, counted from 0; None where there was nothing to choose.
    """

    path: str
    axes: str | None = None
    channel: int | None = None
    plane: int | None = None
    level: int | None = None
    scene: int | None = None


@dataclass(frozen=True)
class Display:
    """How a file says that a channel is shown.

    Attributes
    ----------
    colour
        RRGGBB; empty where it is not said.
    window
        Counts shown as black and as the full colour; None where not said.
    """

    colour: str = ""
    window: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class PixelRule:
    """What the user says of pixels that must not be used.

    Attributes
    ----------
    bad_pixels
        True (or a number other than 0) where a pixel of the camera is bad: (Y, X) for all planes
        and frames, or the last axes of the image, as many as the map has.
    saturation
        "refuse" where more than 2 % of the lit area are saturated, or "mask" as many as there are.
    outliers
        Whether isolated outliers are looked for.
    """

    bad_pixels: NDArray[Any] | None = None
    saturation: Literal["refuse", "mask"] = "refuse"
    outliers: bool = True

    def __post_init__(self) -> None:
        if self.saturation not in ("refuse", "mask"):
            raise InputError(
                "pixel-rule-wrong", f'saturation is {self.saturation!r}: give "refuse" or "mask".'
            )

    def to_dict(self) -> dict[str, Any]:
        """Return what differs from the default, ready for JSON; of a map the runs of bad pixels."""
        said: dict[str, Any] = {}
        if self.bad_pixels is not None:
            marked = np.asarray(self.bad_pixels) != 0
            edges = np.flatnonzero(np.diff(np.r_[False, marked.ravel(), False]))
            said["bad_pixels"] = {
                "shape": list(marked.shape),
                "runs": edges.reshape(-1, 2).tolist(),
            }
        if self.saturation != "refuse":
            said["saturation"] = self.saturation
        if not self.outliers:
            said["outliers"] = False
        return said

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PixelRule:
        """Rebuild what `to_dict` returned; ValueError if it is damaged."""
        rest = {name: value for name, value in values.items() if name != "bad_pixels"}
        bad = values.get("bad_pixels")
        if bad is None:
            return cls(**rest)
        size = math.prod(bad["shape"])
        if not 0 < size < _LARGEST_MAP:
            raise ValueError(f"a map of bad pixels has the shape {bad['shape']}")
        marked = np.zeros(size, dtype=bool)
        for start, end in bad["runs"]:
            marked[start:end] = True
        return cls(marked.reshape(bad["shape"]), **rest)


@dataclass(frozen=True, eq=False)
class Image:
    """An image with what its file says about it.

    Attributes
    ----------
    data
        The pixels in camera counts, one axis for each letter of `axes`: an array in memory, a
        memory map, or any array that is read where it is cut (`lazy.is_lazy`).
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
    optics
        What the file says of the optics of each channel, or of all of them in one entry; empty
        where it says nothing.
    origin
        The file; None where the pixels came from elsewhere.
    steps
        Micrometres along Z, Y, X as far as the file says them, each None where it does not: also
        where `voxel_size` is None for want of one of them.
    guessed
        The letters in `axes` that the file does not name.
    pixel_rule
        What is said of bad and saturated pixels.
    display
        How each channel is shown, where the file says it.
    position
        Centre of the first pixel along Z, Y, X, micrometres; zeros where the file does not say it.

    Examples
    --------
    >>> import napari_zsdeconvnet as zs
    >>> import numpy as np
    >>> image = zs.Image(np.zeros((5, 64, 64)), "TYX", voxel_size=(0.065, 0.065), name="cells")
    >>> image.data.shape, image.axes
    ((5, 64, 64), 'TYX')
    """

    data: NDArray[Any]
    axes: str
    voxel_size: tuple[float, ...] | None = None
    name: str = ""
    channel_names: tuple[str, ...] = ()
    frame_interval: float | None = None
    notes: tuple[str, ...] = ()
    optics: tuple[Optics, ...] = ()
    origin: Origin | None = None
    steps: tuple[float | None, float | None, float | None] = (None, None, None)
    guessed: str = ""
    pixel_rule: PixelRule = PixelRule()
    display: tuple[Display, ...] = ()
    position: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        check_axes(self.axes, self.data.ndim, self.name or "image")
        spatial = sum(letter in "ZYX" for letter in self.axes)
        if self.voxel_size is not None and len(self.voxel_size) != spatial:
            raise InputError(
                "voxel-size-wrong",
                f"{self.name or 'image'} has {spatial} spatial axes and "
                f"{len(self.voxel_size)} voxel sizes; give one for each, in micrometres.",
            )


def finer(image: Image, upsampling: float) -> Image:
    """Give the image the grid of a result with so many pixels in place of one."""
    size, (z, y, x) = image.voxel_size, image.position
    if size is None:
        return image
    *depth, high, wide = size
    shift = (1 - 1 / upsampling) / 2
    return replace(
        image,
        voxel_size=(*depth, high / upsampling, wide / upsampling),
        position=(z, y - shift * high, x - shift * wide),
    )


def made_of(image: Image, pixels: Any) -> Image:
    """Give what was made of an image, on its grid or a finer one, its axes and voxel size."""
    upsampling = pixels.shape[-1] / image.data.shape[-1]
    return replace(
        finer(image, upsampling), data=pixels, axes=image.axes[-pixels.ndim :], origin=None
    )


def spatial_axes(data: ArrayLike | Image, axes: str | None = None) -> Literal["YX", "ZYX"]:
    """Tell images from volumes: "ZYX" where Z is among the axes and longer than one plane.

    An `Image` brings its own axes. Without letters three axes are frames (T, Y, X) and four are
    volumes (T, Z, Y, X).
    """
    if isinstance(data, Image):
        axes, data = axes or data.axes, data.data
    shape = np.shape(data)
    letters = "TZYX"[-len(shape) :] if len(shape) > 3 else "TYX"[-len(shape) :]
    letters = (axes or letters).upper()
    deep = len(letters) == len(shape) and "Z" in letters and shape[letters.index("Z")] > 1
    return "ZYX" if deep else "YX"


def planes_by_step(data: ArrayLike | Image, voxel_size: Any) -> str | None:
    """Return the axes of a stack whose pages nobody names and whose step between planes is given.

    Three lengths of a voxel have such a step. None where the letters need no change.
    """
    if voxel_size is None or np.size(voxel_size) != len("ZYX"):
        return None
    if isinstance(data, Image):
        unknown = data.guessed == "T" and "Z" not in data.axes
        return data.axes.replace("T", "Z") if unknown else None
    return "ZYX" if np.ndim(data) == len("ZYX") else None


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
        (Z, Y, X) or (T, Z, Y, X) for volumes; so it does for an `Image` whose file names none.
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
        if axes is None and spatial == "ZYX" and data.guessed == "T" and "Z" not in data.axes:
            axes = data.axes.replace("T", "Z")
        axes = axes or data.axes
        name = data.name or name
        data = data.data
    pixels: Any = data if is_lazy(data) else np.asarray(data)
    check_kind(pixels, name)
    if axes is None:
        axes = assumed_axes(pixels, name, spatial)
    axes = axes.upper()
    if "S" in axes:
        raise rgb_error(name)
    check_axes(axes, pixels.ndim, name)
    lengths = dict(zip(axes, pixels.shape, strict=True))
    if lengths.get("C", 1) > 1:
        raise InputError(
            "channels-several",
            f"{name} has {lengths['C']} channels, and one at a time can be processed; choose one "
            "channel.",
        )
    if spatial == "YX" and lengths.get("Z", 1) > 1:
        raise InputError(
            "planes-unwanted",
            f"{name} has {lengths['Z']} planes where single images are wanted",
            Remedy("volume", when="to process it as a volume"),
            "choose one plane",
            Remedy("series", when="if they are frames in time"),
            planes=lengths["Z"],
        )
    if spatial == "ZYX" and "Z" not in axes:
        raise InputError(
            "planes-missing",
            f"{name} has the axes {', '.join(axes)}, hence no planes, where a volume is wanted",
            Remedy("volume", when="if its frames are planes"),
            "process it as images",
            axes=axes,
        )
    order = f"T{spatial}"
    if isinstance(pixels, Sliced) and axes == order and pixels.dtype.isnative:
        return cast("NDArray[Any]", pixels)
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

    Bad pixels and saturation are found by `usable_pixels.usable_pixels`.

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
        If pixels are NaN or infinite, or all equal.
    """
    pixels: Any = data if is_lazy(data) else np.asarray(data)
    check_kind(pixels, name)
    read = _read_once(pixels)
    _refuse_non_finite(read, name)
    low, high = read.lows.min(), read.highs.max()
    if low == high:
        raise InputError(
            "image-constant",
            f"{name} is constant, every pixel being {low:g}; check that the right file or "
            "channel was chosen.",
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
    return tuple(warnings)


def check_finite(data: ArrayLike, *, name: str = "image") -> None:
    """Refuse pixels that are NaN or infinite, saying how many and where the first is.

    Whole numbers pass unread, and what is read lazily is read as by `check_pixels`.
    """
    pixels: Any = data if is_lazy(data) else np.asarray(data)
    if pixels.dtype.kind == "f":
        _refuse_non_finite(_read_once(pixels), name)


@dataclass(frozen=True, eq=False)
class _Read:
    """What one reading of all pixels tells, plane by plane."""

    lows: NDArray[Any]
    highs: NDArray[Any]
    non_finite: int
    first_non_finite: tuple[int, ...] | None


def _read_once(pixels: Any) -> _Read:
    lows, highs = [], []
    non_finite, first = 0, None
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
            lows.append(finite.min())
            highs.append(finite.max())
    return _Read(np.array(lows), np.array(highs), non_finite, first)


def _refuse_non_finite(read: _Read, name: str) -> None:
    if read.first_non_finite is not None:
        where = ", ".join(str(position) for position in read.first_non_finite)
        raise InputError(
            "image-not-finite",
            f"{name} has {read.non_finite} NaN or infinite pixel(s), the first at ({where}); "
            "replace them or crop them away.",
        )


def _transposed(pixels: NDArray[Any], axes: str, order: str) -> NDArray[Any]:
    return pixels.transpose([axes.index(letter) for letter in order if letter in axes])
