"""A camera whose pixels differ: maps of offset, gain and read variance, as of an sCMOS."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..io.image import Image
from ..io.image_files import read_image
from ..io.lazy import Sliced, is_lazy, whole_index
from ..utils.errors import InputError, Remedy
from .dark_frames import dark_pixels
from .fixed_lines import fixed_lines
from .noise_model import NoiseModel
from .saturation import piled_up

MapLike: TypeAlias = "float | ArrayLike | str | os.PathLike[str]"
"""A number for all pixels, an array (Y, X), or the file of one (.tif, .mrc, .npy)."""

_PLANES = 16  # in which saturation is looked for

NAMES = ("offset", "gain", "read_variance")


@dataclass(frozen=True, eq=False)
class CameraMaps:
    """Offset, gain and read variance of every pixel.

    Attributes
    ----------
    offset
        Counts without light, shape (Y, X).
    gain
        Counts per photoelectron, shape (Y, X).
    read_variance
        Variance without light, counts squared, shape (Y, X).
    typical
        The camera that recordings are brought to: one noise model for all pixels, its excess
        noise included. None takes the medians.
    of_image
        Whether they were measured in an image itself, and hold for no other.

    Raises
    ------
    InputError
        If the maps differ in shape, hold NaN, or if a gain is not positive or a variance is
        negative.

    Examples
    --------
    >>> import napari_zsdeconvnet as zs
    >>> import numpy as np
    >>> maps = zs.CameraMaps.of(offset=np.full((64, 64), 100.0), gain=2.0, read_variance=4.0)
    >>> maps.shape, maps.typical.gain
    ((64, 64), 2.0)
    """

    offset: NDArray[np.float32]
    gain: NDArray[np.float32]
    read_variance: NDArray[np.float32]
    typical: NoiseModel = field(default=None)  # type: ignore[assignment]
    of_image: bool = False

    def __post_init__(self) -> None:
        for name in NAMES:
            values = np.asarray(getattr(self, name), np.float32)
            called = f"The map of the {name.replace('_', ' ')}"
            if values.ndim != 2:
                raise InputError(
                    "camera-maps-shape",
                    f"{called} has the shape {values.shape}: give (Y, X).",
                )
            if not np.isfinite(values).all():
                raise InputError(
                    "camera-maps-values",
                    f"{called} holds NaN or infinity: calibrate those pixels.",
                )
            object.__setattr__(self, name, values)
        shapes = {self.offset.shape, self.gain.shape, self.read_variance.shape}
        if len(shapes) > 1:
            raise InputError(
                "camera-maps-size",
                f"The maps have the shapes {sorted(shapes)}: give maps of one camera.",
            )
        if float(self.gain.min()) <= 0:
            raise InputError(
                "camera-maps-values",
                f"The map of the gain has {self.gain.min():g} in it: gains are positive.",
            )
        if float(self.read_variance.min()) < 0:
            raise InputError(
                "camera-maps-values",
                f"The map of the read variance has {self.read_variance.min():g} in it: give "
                "variances, which are never negative.",
            )
        if self.typical is None:
            medians = {name: float(np.median(getattr(self, name))) for name in NAMES}
            object.__setattr__(self, "typical", NoiseModel(**medians, source="the medians of maps"))
        elif self.typical.gain is None:
            raise InputError(
                "gain-unknown", "The camera has no typical gain: measure it or type it."
            )

    # Where they come from ------------------------------------------------------------------

    @classmethod
    def of(
        cls,
        offset: MapLike,
        gain: MapLike,
        read_variance: MapLike,
        *,
        shape: Sequence[int] | None = None,
        excess_noise: float = 1.0,
    ) -> Self:
        """Put maps together of numbers, arrays and files.

        Parameters
        ----------
        offset, gain, read_variance
            Each a number for all pixels, an array (Y, X), or the file of one.
        shape
            Of the maps, (Y, X); needed where all three are numbers.
        excess_noise
            As of `NoiseModel`.

        Raises
        ------
        InputError
            If a file cannot be read, or the maps cannot be of one camera.
        """
        maps = {
            name: _pixels(value, name)
            for name, value in zip(NAMES, (offset, gain, read_variance), strict=True)
        }
        shapes = [values.shape for values in maps.values() if values.ndim]
        if not shapes and shape is None:
            raise InputError(
                "camera-maps-shape", "Three numbers are no maps: give the shape, or a noise model."
            )
        full = {
            name: np.broadcast_to(values, tuple(shape or shapes[0])) if values.ndim == 0 else values
            for name, values in maps.items()
        }
        made = cls(full["offset"], full["gain"], full["read_variance"])
        return replace(made, typical=replace(made.typical, excess_noise=excess_noise))

    @classmethod
    def read(
        cls,
        offset: str | os.PathLike[str],
        gain: str | os.PathLike[str],
        read_variance: str | os.PathLike[str],
    ) -> Self:
        """Read the three maps from image files.

        Raises
        ------
        InputError
            If a file cannot be read, or the maps cannot be of one camera.
        """
        return cls.of(offset, gain, read_variance)

    @classmethod
    def from_dark(
        cls,
        frames: ArrayLike | Image,
        gain: MapLike,
        *,
        excess_noise: float = 1.0,
        axes: str | None = None,
    ) -> Self:
        """Measure offset and read variance of every pixel with the shutter closed.

        So few frames as are usual tell the offset of a pixel to a part of its noise, and its
        variance roughly: both are drawn towards what rows and columns, and all pixels, have in
        common, as far as the frames leave it open (`dark_frames.dark_pixels`).

        Parameters
        ----------
        frames
            Camera counts, as for `NoiseModel.from_dark`; a hundred frames are good.
        gain
            Counts per photoelectron: a number, an array (Y, X), or the file of one.
        excess_noise
            As of `NoiseModel`.
        axes
            As for `NoiseModel.from_dark`.

        Raises
        ------
        InputError
            As `NoiseModel.from_dark` does.
        """
        typical = NoiseModel.from_dark(frames, axes=axes)
        offset, variance = dark_pixels(frames, axes=axes)
        gains = np.broadcast_to(_pixels(gain, "gain"), offset.shape)
        typical = replace(typical, gain=float(np.median(gains)), excess_noise=excess_noise)
        return cls(offset, gains, variance, typical)

    @classmethod
    def from_lines(cls, frames: Any, noise: NoiseModel, cutoff: float) -> Self | None:
        """Measure in an image what columns and rows keep as their own offset.

        Frames are (T, [Z,] Y, X) counts of a camera whose gain is known; the optics pass nothing
        beyond the cutoff, cycles per pixel. None where there is nothing for certain, as of most
        cameras.
        """
        lines = fixed_lines(frames, cutoff)
        if lines is None or noise.gain is None:
            return None
        gain, variance = (
            np.full(lines.offset.shape, value, np.float32)
            for value in (noise.gain, noise.read_variance)
        )
        typical = replace(noise, warnings=(*noise.warnings, lines.describe()))
        offset = (noise.offset + lines.offset).astype(np.float32)
        return cls(offset, gain, variance, typical, of_image=True)

    # Use -----------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return self.offset.shape

    def part(self, start: Sequence[int], shape: Sequence[int]) -> Self:
        """Cut out the part of the chip that was read out, from this row and column on.

        What stands before the last two axes of the shape does not count. Raises InputError if the
        part does not lie on the chip.
        """
        size = tuple(int(length) for length in shape)[-2:]
        if len(start) != 2 or any(
            first < 0 or first + length > full
            for first, length, full in zip(start, size, self.shape, strict=True)
        ):
            raise InputError(
                "camera-maps-part",
                f"A part of {size} pixels from row and column {tuple(start)} on does not lie in "
                f"maps of {self.shape}: give the first row and column of the region that was read "
                "out, as the camera's software names them.",
            )
        place = tuple(slice(first, first + n) for first, n in zip(start, size, strict=True))
        return self.cut(place)

    def cut(self, place: tuple[slice, ...]) -> Self:
        """Cut out rows and columns, given as slices along (..., Y, X)."""
        place = place[-2:]
        maps = (self.offset[place], self.gain[place], self.read_variance[place])
        return type(self)(*maps, self.typical, self.of_image)

    def of_evened(self) -> Self:
        """Return the maps of an evened recording, whose pixels differ in read variance alone."""
        offset, gain = (
            np.full(self.shape, value, np.float32)
            for value in (self.typical.offset, self.typical.gain)
        )
        return type(self)(offset, gain, self.evened_read_variance, self.typical)

    @property
    def evened_read_variance(self) -> NDArray[np.float32]:
        """Read variance of the pixels of an evened recording, counts squared, (Y, X)."""
        return self.read_variance * self._share**2

    @property
    def own_read_variance(self) -> NDArray[np.float32] | None:
        """The same, or None where that of all pixels is the typical one."""
        evened = self.evened_read_variance
        alike = np.allclose(evened, self.typical.read_variance, rtol=1e-6, atol=0)
        return None if alike else evened

    @property
    def _share(self) -> NDArray[np.float32]:
        return np.float32(self.typical.gain) / self.gain

    def evened(self, frames: Any, name: str = "the frames") -> Any:
        r"""Bring a recording (..., Y, X) to the typical camera: its offset and gain in every pixel.

        :math:`(c - b) \, \bar g / g + \bar b` in float32, of the same shape. What is read lazily
        stays so. Saturated pixels, at one value in the recording, are at one again, the highest.
        Raises InputError if the maps have another shape than the frames.
        """
        check_fits(self, frames.shape, name)
        top = _end_of_range(frames)
        if is_lazy(frames):
            return Evened(frames, self, None if top is None else (top, self._highest(top)))
        evened = self._even(np.asarray(frames))
        if top is not None:
            evened[np.asarray(frames) >= top] = self._highest(top)
        return evened

    def _even(self, counts: NDArray[Any]) -> NDArray[np.float32]:
        return signal_of(counts, self).values + np.float32(self.typical.offset)

    def _highest(self, top: float) -> np.float32:
        """Give what no pixel below the end of the range comes to."""
        bound = (top - float(self.offset.min())) * float(self._share.max())
        return np.float32(bound + self.typical.offset)

    def describe(self) -> str:
        """Return one sentence with the typical numbers."""
        rows, columns = self.shape
        return f"maps of {rows} x {columns} pixels, typically {self.typical.describe()}"

    def to_arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return the three maps by their names."""
        return {name: getattr(self, name) for name in NAMES}

    @classmethod
    def from_arrays(
        cls,
        maps: Mapping[str, NDArray[Any]],
        typical: Mapping[str, Any] | None,
        of_image: bool = False,
    ) -> Self:
        """Rebuild maps of what `to_arrays` and the typical camera's `to_dict` returned."""
        noise: Any = NoiseModel.from_dict(typical) if typical else None
        return cls(maps["offset"], maps["gain"], maps["read_variance"], noise, of_image)


Camera: TypeAlias = "NoiseModel | CameraMaps"
"""A camera whose pixels are all alike, or one whose pixels differ."""


class Evened(Sliced):
    """A recording that is evened where it is read."""

    def __init__(
        self, source: Any, maps: CameraMaps, saturated: tuple[float, np.float32] | None = None
    ) -> None:
        self.source, self._maps, self._saturated = source, maps, saturated
        self.shape = tuple(source.shape)
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, index: Any) -> NDArray[np.float32]:
        *outer, row, column = whole_index(index, self.shape)
        place = (_kept(row), _kept(column))
        counts = np.asarray(self.source[(*outer, *place)])
        evened = self._maps.cut(place)._even(counts)
        if self._saturated is not None:
            top, highest = self._saturated
            evened[counts >= top] = highest
        # A row or column that was asked for by its number is gone, as in numpy.
        return evened[(..., *(0 if isinstance(n, int) else slice(None) for n in (row, column)))]


def _end_of_range(frames: Any) -> float | None:
    """Return the value that saturated pixels have, by a few planes; None where there are none."""
    leading = frames.shape[:-2]
    count = math.prod(leading)
    tops = []
    for index in np.unique(np.linspace(0, count - 1, min(count, _PLANES)).round().astype(int)):
        plane = np.asarray(frames[tuple(int(i) for i in np.unravel_index(index, leading))])
        values = plane[np.isfinite(plane)]
        if values.size and piled_up(values):
            tops.append(float(values.max()))
    return max(tops, default=None)


def _kept(place: int | slice) -> slice:
    return place if isinstance(place, slice) else slice(place, place + 1)


def _pixels(value: MapLike, name: str) -> NDArray[np.float32]:
    """Read a map, or a number for all pixels as an array without axes."""
    if isinstance(value, str | os.PathLike):
        pixels = np.asarray(read_image(value).data, np.float32).squeeze()
        if pixels.ndim != 2:
            raise InputError(
                "camera-maps-shape",
                f"{value} has the shape {pixels.shape}: give a map of the {name} of each pixel, "
                "(Y, X).",
            )
        return pixels
    try:
        return np.asarray(value, np.float32)
    except (TypeError, ValueError):
        raise InputError(
            "camera-value-wrong", f"The {name} is {value!r}: give a number, a map or a file."
        ) from None


def typical_of(camera: Camera) -> NoiseModel:
    """One noise model for all pixels of a camera."""
    return camera.typical if isinstance(camera, CameraMaps) else camera


@dataclass(frozen=True, eq=False)
class Signal:
    """What a camera recorded, with its offset and its pixels' own gains taken out.

    Attributes
    ----------
    values
        Counts above the offset at the camera's typical gain, (..., Y, X), float32.
    slope
        Variance over counts of light, of all pixels alike; None where it is not known.
    read_variance
        Counts squared, one number or (Y, X).
    """

    values: NDArray[np.float32]
    slope: float | None
    read_variance: float | NDArray[np.float32]


def signal_of(frames: ArrayLike, camera: Camera) -> Signal:
    r"""Take a camera out of its frames (..., Y, X) as far as that can be done.

    With maps, :math:`y = (c - b) \, \bar g / g` with the typical gain :math:`\bar g`, so that a
    pixel's sensitivity no longer shows, and its read variance is scaled likewise. Raises InputError
    if the maps have another shape than the frames.
    """
    counts = np.asarray(frames, np.float32)
    if isinstance(camera, NoiseModel):
        return Signal(counts - np.float32(camera.offset), camera.slope, float(camera.read_variance))
    check_fits(camera, counts.shape)
    values = (counts - camera.offset) * camera._share
    return Signal(values, camera.typical.slope, camera.evened_read_variance)


def check_fits(
    camera: Camera, shape: Sequence[int] | tuple[Any, ...], name: str = "the frames"
) -> None:
    """Refuse maps of another size than the frames."""
    if isinstance(camera, CameraMaps) and tuple(shape[-2:]) != camera.shape:
        raise InputError(
            "camera-maps-size",
            f"The camera's maps are {camera.shape} and {name} {tuple(shape[-2:])} pixels",
            Remedy("camera-part"),
        )
