"""Raw SIM recordings on the command line: their frames, the microscope and the camera."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from ..console import Console
from ..errors import InputError
from ..image_files import read_image
from ..images import Image, Origin, check_kind
from ..lazy import Sliced, whole_index
from ..noise import NoiseModel
from ..psf import PSF
from ..sim.patterns import Patterns
from .calibrate import measured_noise, read_noise, with_typed
from .files import given, one_of
from .words import show_noise

if TYPE_CHECKING:
    from ..camera_maps import CameraMaps


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
    """The frames of a recording, image by image: (images, frames, Y, X), read where cut."""

    def __init__(self, frames: Frames, per_image: int) -> None:
        self._frames = frames
        self.shape = (len(frames) // per_image, per_image, *frames.shape[1:])
        self.dtype = frames.dtype

    def __getitem__(self, index: Any) -> NDArray[Any]:
        image, frames, *within = whole_index(index, self.shape)
        if isinstance(image, slice):
            numbers = range(*image.indices(len(self)))
            parts = [self[(number, frames, *within)] for number in numbers]
            return np.stack(parts) if parts else np.empty((0, *self.shape[1:]), self.dtype)
        first = image * self.shape[1]
        own = self._frames[first : first + self.shape[1]]
        return np.asarray(own[(frames, *within)])


@dataclass(frozen=True)
class Recording:
    """A raw SIM recording in a file.

    Attributes
    ----------
    frames
        (N, Y, X) in the order of the file.
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
    """

    frames: Frames
    per_image: int
    pixel_size: float
    frame_interval: float | None
    name: str
    origin: Origin | None = None

    @property
    def sets(self) -> Sets:
        """The frames of each image together, (images, frames, Y, X)."""
        return Sets(self.frames, self.per_image)

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
        )

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
    """Open a raw recording, whatever its file calls the axis of its frames.

    Parameters
    ----------
    path
        The file.
    arguments
        With `pixel_size` and `channel`, each None where the file decides.
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
    image = _one_channel(read_image(path), arguments.channel, per_image)
    check_kind(image.data, image.name)
    frames = Frames(image.data)
    _check_number(len(frames), per_image, image.name)
    pixel_size = arguments.pixel_size
    if pixel_size is None and image.voxel_size is not None:
        pixel_size = image.voxel_size[-1]
    pixel_size = pixel_size or usual_pixel_size
    if pixel_size is None:
        raise InputError(
            f"{image.name} has no pixel size, without which no pattern can be found; give it with "
            "--pixel-size, in micrometres."
        )
    return Recording(
        frames, per_image, float(pixel_size), image.frame_interval, image.name, image.origin
    )


def _one_channel(image: Image, channel: int | None, per_image: int) -> Image:
    """Take a channel, unless it is the frames that the file calls channels."""
    if channel is not None:
        return one_of(image, "C", channel)
    count = image.data.shape[image.axes.index("C")] if "C" in image.axes else 1
    if count > 1 and count % per_image:
        raise InputError(
            f"{image.name} has {count} channels, which are not the {per_image} frames of an image; "
            "choose one with --channel, from 0, or set --orientations and --phases."
        )
    return image


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
    from ..camera_maps import CameraMaps

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
    from ..sim.estimation import estimate

    return estimate(
        Image(recording.mean(), "TYX", name=recording.name),
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
