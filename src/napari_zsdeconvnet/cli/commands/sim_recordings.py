"""Raw SIM recordings on the command line: their frames, the microscope and the camera."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from ...io.image import Image, Origin, PixelRule, check_kind
from ...io.image_files import read_image
from ...io.lazy import LazyArray, Sliced, whole_index
from ...noise.noise_model import NoiseModel
from ...psf.psf import PSF
from ...sim.frame_axes import frame_axes
from ...sim.patterns import Patterns
from ...utils.errors import InputError
from ..console import Console
from .files import given, one_of, pixel_rule
from .noise import measured_noise, read_noise, with_typed
from .summaries import show_noise

if TYPE_CHECKING:
    from ...noise.camera_maps import CameraMaps

_PHASES = 3


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

    def mean(self) -> NDArray[np.float32]:
        """Average over time, reading one image at a time."""
        sets = self.sets
        total = np.zeros(sets.shape[1:])
        for frames in sets:
            total += frames
        return (total / len(sets)).astype(np.float32)


def open_recording(
    path: str,
    arguments: argparse.Namespace,
    per_image: int,
    *,
    usual_pixel_size: float | None = None,
) -> Recording:
    """Open a raw recording, whichever axis of its file holds the frames.

    The one axis, or the pair of axes, whose length fits is that of the frames; time and planes
    beside it stay what they are. Where images follow each other along one axis, they are taken
    frame by frame; planes only where it is said how they follow.

    Parameters
    ----------
    path
        The file.
    arguments
        With `pixel_size` and `channel`, each None where the file decides, and perhaps
        `orientations`, `phases` and `sets`.
    per_image
        Frames that make one image.
    usual_pixel_size
        Micrometres, where neither the command line nor the file says.

    Raises
    ------
    InputError
        If the file cannot be read, its frames make no whole number of images, it has several
        channels and none is chosen, or no pixel size.
    """
    image = read_image(path)
    if arguments.channel is not None:
        image = one_of(image, "C", arguments.channel)
    check_kind(image.data, image.name)
    phases = getattr(arguments, "phases", None) or _PHASES
    found = frame_axes(
        image.data.shape[:-2],
        per_image // phases,
        phases,
        letters=image.axes[:-2],
        name=image.name,
    )
    if found is None:
        axes, lengths, frames = _in_a_row(image, per_image, getattr(arguments, "sets", None))
    else:
        axes = "".join(image.axes[axis] for axis in found.images if image.data.shape[axis] > 1)
        lengths = tuple(image.data.shape[image.axes.index(letter)] for letter in axes)
        _refuse_channels(image, axes, per_image)
        order = "".join(image.axes[axis] for axis in found.order)
        frames = Frames(LazyArray(image.data, image.axes, f"{order}YX"))
    pixel_size = arguments.pixel_size or image.steps[-1] or usual_pixel_size
    if pixel_size is None:
        raise InputError(
            f"{image.name} has no pixel size, without which no pattern can be found; give it with "
            "--pixel-size, in micrometres."
        )
    interval = image.frame_interval
    if interval is not None and found is None and axes == "T":
        interval *= per_image  # the file's is that from frame to frame
    return Recording(
        frames,
        per_image,
        float(pixel_size),
        interval,
        image.name,
        image.origin,
        axes,
        lengths,
        image.steps[0] if "Z" in axes else None,
        found is None and getattr(arguments, "sets", None) == "interleaved",
        pixel_rule(arguments),
    )


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
            f"{image.name} has {len(frames)} planes, {len(frames) // per_image} times the "
            f"{per_image} frames of an image; say how they follow each other: --sets consecutive "
            "where the frames of a plane stand together, --sets interleaved where all planes of a "
            "frame do."
        )
    if len(several) > 1:
        raise InputError(
            f"{image.name} has axes {image.axes} of shape {image.data.shape}, none of which has "
            f"the {per_image} frames of an image; set --orientations and --phases, or save the "
            "frames as channels."
        )
    return "Z" if several == ["Z"] else "T", (len(frames) // per_image,), frames


def _refuse_channels(image: Image, axes: str, per_image: int) -> None:
    """Refuse channels beside the frames, unless they are frames that follow each other."""
    count = image.data.shape[image.axes.index("C")] if "C" in image.axes else 1
    if "C" in axes and count > 1 and (len(axes) > 1 or count % per_image):
        raise InputError(
            f"{image.name} has {count} channels, which are not the {per_image} frames of an image; "
            "choose one with --channel, from 0, or set --orientations and --phases."
        )


def _check_number(frames: int, per_image: int, name: str) -> None:
    if frames and frames % per_image == 0:
        return
    if frames == 1:
        raise InputError(
            f"{name} has one frame and raw SIM has {per_image} for each image; if it is "
            "reconstructed already, deconvolve it with zsdeconvnet train and predict."
        )
    if frames % 15 == 0 and per_image == 9:
        raise InputError(
            f"{name} has {frames} frames, which are 3 orientations x 5 phases if it is raw 3D-SIM; "
            "reconstruct that elsewhere and train on the stack, or set --orientations and "
            "--phases."
        )
    raise InputError(
        f"{name} has {frames} frames, which make no whole number of images of {per_image}; set "
        "--orientations and --phases, or give a complete recording."
    )


def offset_of(
    recording: Recording,
    arguments: argparse.Namespace,
    console: Console,
    cutoff: float | None = None,
) -> float | NDArray[np.float32]:
    """Take the offset that is given, as a number or a map, or measure it.

    Parameters
    ----------
    recording, arguments, console
        What is given, and where it is said what had to be measured.
    cutoff
        Highest frequency the optics pass, in cycles per micrometre; None where not known.
    """
    if arguments.offset is not None:
        return _number_or_map(arguments.offset, recording)
    if arguments.noise:
        return read_noise(arguments.noise).offset
    noise = measured(recording, arguments, cutoff)
    console.say(
        f"Offset: {noise.offset:.5g} counts, measured on {recording.name}; give --offset if it is "
        "known."
    )
    return noise.offset


def measured(
    recording: Recording, arguments: argparse.Namespace, cutoff: float | None
) -> NoiseModel:
    """Measure the noise on the frames of the first image, which differ in more than noise."""
    frames = Image(recording.frames[: recording.per_image], "TYX", name=recording.name)
    if arguments.background is not None:
        return measured_noise(frames, background=arguments.background)
    per_pixel = None if cutoff is None else cutoff * recording.pixel_size
    return NoiseModel.from_image(frames, cutoff=per_pixel)


def camera_of(
    recording: Recording,
    arguments: argparse.Namespace,
    console: Console,
    cutoff: float | None = None,
) -> NoiseModel | CameraMaps:
    """Take the camera that is given, as numbers or maps, and measure the rest.

    Parameters
    ----------
    recording, arguments, console, cutoff
        As for `offset_of`.

    Returns
    -------
    NoiseModel or CameraMaps
        Maps, if one of offset, gain and read variance is given as a map.
    """
    names = ("offset", "gain", "read_variance")
    typed = {
        name: _number_or_map(value, recording) for name, value in given(arguments, *names).items()
    }
    maps = {name: value for name, value in typed.items() if isinstance(value, np.ndarray)}
    numbers = {name: value for name, value in typed.items() if isinstance(value, float)}
    if len(typed) == len(names):
        typical: dict[str, Any] = {name: float(np.median(value)) for name, value in typed.items()}
        noise = NoiseModel(**typical)
    elif arguments.noise:
        noise = with_typed(read_noise(arguments.noise), numbers)
    else:
        noise = with_typed(measured(recording, arguments, cutoff), numbers)
    console.say("Noise:")
    show_noise(noise, console)
    if not maps:
        return noise
    console.say(f"  maps: {', '.join(name.replace('_', ' ') for name in maps)}")
    from ...noise.camera_maps import CameraMaps

    shape = recording.frames.shape[1:]
    offset, gain, read_variance = (typed.get(name, getattr(noise, name)) for name in names)
    return CameraMaps.of(offset, gain, read_variance, shape=shape, excess_noise=noise.excess_noise)


def _number_or_map(value: float | str, recording: Recording) -> float | NDArray[np.float32]:
    """Read a map of the camera's pixels, if it is the name of a file."""
    if isinstance(value, float):
        return value
    image = read_image(value)
    pixels = np.asarray(image.data, dtype=np.float32).squeeze()
    if pixels.shape != recording.frames.shape[1:]:
        raise InputError(
            f"{value} has the shape {pixels.shape} and the frames of {recording.name} "
            f"{recording.frames.shape[1:]}; give a map of the same pixels of the camera."
        )
    return pixels


def typed_cutoff(arguments: argparse.Namespace) -> float:
    """Highest frequency that the objective passes, cycles per micrometre.

    Raises
    ------
    InputError
        If aperture or wavelength is not given.
    """
    for name in ("na", "wavelength"):
        if getattr(arguments, name) is None:
            raise InputError(
                f"--{name} is not given, without which no pattern can be found; add it, or name "
                "patterns that were saved with --patterns."
            )
    return float(2 * arguments.na / arguments.wavelength)


def patterns_of(
    recording: Recording,
    offset: float | NDArray[np.float32],
    psf: PSF | str | None,
    arguments: argparse.Namespace,
) -> Patterns:
    """Estimate the patterns on the average over time."""
    from ...sim.estimation import estimate

    return estimate(
        Image(recording.mean(), "TYX", name=recording.name, pixel_rule=recording.pixel_rule),
        pixel_size=recording.pixel_size,
        na=arguments.na,
        wavelength=arguments.wavelength,
        offset=offset,
        psf=psf,
        **given(
            arguments,
            *("orientations", "phases", "order", "period", "angles"),
            *("excitation_na", "excitation_wavelength"),
        ),
    )
