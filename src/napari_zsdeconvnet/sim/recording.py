"""Recordings of raw frames: which axes of a file hold them, and the images that they make."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..io.axes import check_kind
from ..io.image import Image, Origin, PixelRule
from ..io.lazy import LazyArray, Sliced, whole_index
from ..utils.errors import InputError, Remedy
from .frame_axes import frame_axes


class Frames(Sliced):
    """All frames of a recording in a row, read where they are cut.

    Parameters
    ----------
    source
        (..., Y, X), numpy or lazy.
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        self._leading = tuple(source.shape[:-2])
        self.shape = (int(np.prod(self._leading, dtype=int)), *source.shape[-2:])
        self.dtype = np.dtype(source.dtype)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        frames, *within = whole_index(index, self.shape)
        if isinstance(frames, slice):
            numbers = range(*frames.indices(len(self)))
            if not numbers:
                return np.empty((0, *self.shape[1:]), self.dtype)[(slice(None), *within)]
            return np.stack([self[(number, *within)] for number in numbers])
        place = np.unravel_index(frames, self._leading) if self._leading else ()
        return np.asarray(self._source[(*(int(i) for i in place), *within)])


class Sets(Sliced):
    """The frames of a recording, image by image: (images, frames, Y, X), read where cut.

    Parameters
    ----------
    frames
        In the order of the file.
    per_image
        How many make an image.
    interleaved
        Whether they come one for each image, instead of all of an image together.
    """

    def __init__(self, frames: Frames, per_image: int, *, interleaved: bool = False) -> None:
        self._frames = frames
        self._interleaved = interleaved
        self.shape = (len(frames) // per_image, per_image, *frames.shape[1:])
        self.dtype = frames.dtype

    def __getitem__(self, index: Any) -> NDArray[Any]:
        image, frames, *within = whole_index(index, self.shape)
        if isinstance(image, slice):
            numbers = range(*image.indices(len(self)))
            parts = [self[(number, frames, *within)] for number in numbers]
            return np.stack(parts) if parts else np.empty((0, *self.shape[1:]), self.dtype)
        count, per_image = self.shape[:2]
        together = slice(image * per_image, (image + 1) * per_image)
        own = self._frames[slice(image, None, count) if self._interleaved else together]
        return np.asarray(own[(frames, *within)])


@dataclass(frozen=True)
class Recording:
    """A raw SIM recording in a file.

    Attributes
    ----------
    frames
        (N, Y, X), image by image.
    per_image
        Frames that make one image: orientations times phases.
    pixel_size
        Micrometres.
    frame_interval
        Seconds between images, if known.
    name
        Of the file.
    origin
        The file itself, and which channel of it.
    axes
        Letters of what there are images of, out of "TZ"; empty for a single one.
    lengths
        How many of each.
    axial_step
        Micrometres between planes, if there are any and it is known.
    interleaved
        As for `Sets`.
    pixel_rule
        What is said of bad and saturated pixels.
    """

    frames: Frames
    per_image: int
    pixel_size: float
    frame_interval: float | None
    name: str
    origin: Origin | None = None
    axes: str = ""
    lengths: tuple[int, ...] = ()
    axial_step: float | None = None
    interleaved: bool = False
    pixel_rule: PixelRule = field(default_factory=PixelRule)

    @property
    def sets(self) -> Sets:
        """The frames of each image together, (images, frames, Y, X)."""
        return Sets(self.frames, self.per_image, interleaved=self.interleaved)

    @property
    def image(self) -> Image:
        """All of it as one image, axes TCYX, with the frames of each image as channels."""
        size = (self.pixel_size,) * 2
        return Image(
            cast("Any", self.sets),
            "TCYX",
            size,
            self.name,
            frame_interval=self.frame_interval,
            origin=self.origin,
            pixel_rule=self.pixel_rule,
        )

    @property
    def result_axes(self) -> str:
        """Letters of the axes of what is made of all images."""
        return f"{self.axes if len(self.sets) > 1 else ''}YX"

    @property
    def result_shape(self) -> tuple[int, ...]:
        """Its shape, on the grid of half the pixel."""
        height, width = self.frames.shape[1:]
        return (*(self.lengths if len(self.sets) > 1 else ()), 2 * height, 2 * width)

    @property
    def result_voxel_size(self) -> tuple[float, ...] | None:
        """Its voxel size in micrometres, None where planes lie at unknown steps."""
        pixel = (self.pixel_size / 2,) * 2
        if "Z" not in self.result_axes:
            return pixel
        return None if self.axial_step is None else (self.axial_step, *pixel)

    @property
    def frame_sets(self) -> Image:
        """The frames in memory, axes CYX, or TCYX where they make several images."""
        sets = np.asarray(self.sets)
        frames = sets[0] if len(sets) == 1 else sets
        return replace(self.image, data=frames, axes="TCYX"[-frames.ndim :])

    def placed(self, images: NDArray[Any]) -> Image:
        """Give what was made of the images, ([N,] 2Y, 2X), the axes and sizes that it has."""
        return Image(
            images.reshape(self.result_shape),
            self.result_axes,
            self.result_voxel_size,
            self.name,
            frame_interval=self.frame_interval,
        )

    def mean(self) -> NDArray[np.float32]:
        """Average over time, reading one image at a time."""
        sets = self.sets
        total = np.zeros(sets.shape[1:])
        for frames in sets:
            total += frames
        return (total / len(sets)).astype(np.float32)


def lay_out_frames(
    image: Image,
    orientations: int = 3,
    phases: int = 3,
    *,
    sets: str | None = None,
    pixel_size: float | None = None,
) -> Recording:
    """Lay out a recording, whichever of its axes holds the raw frames.

    The one axis, or the pair of axes, whose length fits is that of the frames; time and planes
    beside it stay what they are. Where images follow each other along one axis, they are taken
    frame by frame; planes only where it is said how they follow.

    Parameters
    ----------
    image : Image
        Counts, with whatever axes.
    orientations, phases : int
        Their product is the number of frames of an image.
    sets : str, optional
        ``"consecutive"`` where the frames of a plane stand together, ``"interleaved"`` where all
        planes of a frame do.
    pixel_size : float, optional
        Micrometres, where the image does not say.

    Raises
    ------
    InputError
        If the frames make no whole number of images, there are several channels, or no pixel size
        is known.
    """
    check_kind(image.data, image.name)
    per_image = orientations * phases
    found = frame_axes(
        image.data.shape[:-2], orientations, phases, letters=image.axes[:-2], name=image.name
    )
    if found is None:
        axes, lengths, frames = _in_a_row(image, per_image, sets)
    else:
        axes = "".join(image.axes[axis] for axis in found.images if image.data.shape[axis] > 1)
        lengths = tuple(image.data.shape[image.axes.index(letter)] for letter in axes)
        _refuse_channels(image, axes, per_image)
        order = "".join(image.axes[axis] for axis in found.order)
        frames = Frames(LazyArray(image.data, image.axes, f"{order}YX"))
    size = image.voxel_size[-1] if image.voxel_size else image.steps[-1] or pixel_size
    if size is None:
        raise InputError(
            "pixel-size-unknown",
            f"{image.name} has no pixel size, without which no pattern can be found",
            Remedy("pixel-size"),
        )
    interval = image.frame_interval
    if interval is not None and found is None and axes == "T":
        interval *= per_image  # the file's is that from frame to frame
    return Recording(
        frames,
        per_image,
        float(size),
        interval,
        image.name,
        image.origin,
        axes,
        lengths,
        (image.steps[0] or _axial(image)) if "Z" in axes else None,
        found is None and sets == "interleaved",
        image.pixel_rule,
    )


def _axial(image: Image) -> float | None:
    return image.voxel_size[0] if image.voxel_size and "Z" in image.axes else None


def _in_a_row(
    image: Image, per_image: int, sets: str | None
) -> tuple[str, tuple[int, ...], Frames]:
    """Take images that follow each other along one axis, or along several in the file's order."""
    several = [
        letter for letter in image.axes[:-2] if image.data.shape[image.axes.index(letter)] > 1
    ]
    _refuse_channels(image, "".join(several), per_image)
    frames = Frames(image.data)
    _check_number(len(frames), per_image, image.name)
    if several == ["Z"] and sets is None:
        raise InputError(
            "frame-sets-unknown",
            f"{image.name} has {len(frames)} planes, {len(frames) // per_image} times the "
            f"{per_image} frames of an image",
            Remedy("frame-sets"),
        )
    if len(several) > 1:
        raise InputError(
            "frame-counts-wrong",
            f"{image.name} has axes {image.axes} of shape {image.data.shape}, none of which has "
            f"the {per_image} frames of an image",
            Remedy("frame-counts"),
            "save the frames as channels",
        )
    return "Z" if several == ["Z"] else "T", (len(frames) // per_image,), frames


def _refuse_channels(image: Image, axes: str, per_image: int) -> None:
    """Refuse channels beside the frames, unless they are frames that follow each other."""
    count = image.data.shape[image.axes.index("C")] if "C" in image.axes else 1
    if "C" in axes and count > 1 and (len(axes) > 1 or count % per_image):
        raise InputError(
            "frame-counts-wrong",
            f"{image.name} has {count} channels, which are not the {per_image} frames of an image",
            "choose one of them",
            Remedy("frame-counts"),
        )


def _check_number(frames: int, per_image: int, name: str) -> None:
    if frames and frames % per_image == 0:
        return
    if frames == 1:
        raise InputError(
            "frames-missing",
            f"{name} has one frame and raw SIM has {per_image} for each image; if it is "
            "reconstructed already, deconvolve it as an image.",
        )
    if frames % 15 == 0 and per_image == 9:
        raise InputError(
            "frame-counts-wrong",
            f"{name} has {frames} frames, which are 3 orientations x 5 phases if it is raw 3D-SIM",
            "reconstruct that elsewhere and train on the stack",
            Remedy("frame-counts"),
        )
    raise InputError(
        "frame-counts-wrong",
        f"{name} has {frames} frames, which make no whole number of images of {per_image}",
        Remedy("frame-counts"),
        "give a complete recording",
    )
