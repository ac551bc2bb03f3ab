"""Raw SIM recordings on the command line: their frames, the microscope and the camera."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...io.image import Image
from ...io.image_files import read_image
from ...noise.noise_model import NoiseModel
from ...psf.psf import PSF
from ...sim.patterns import Patterns
from ...sim.recording import Recording, lay_out_frames
from ...utils.errors import InputError
from ..console import Console
from .camera import MAPS, map_of
from .files import given, opened
from .noise import measured_noise, read_noise, with_typed
from .scenes import part_of
from .summaries import show_noise

if TYPE_CHECKING:
    from ...model.model import Model
    from ...noise.camera_maps import CameraMaps

_PHASES = 3


def open_recording(
    path: str,
    arguments: argparse.Namespace,
    per_image: int,
    *,
    usual_pixel_size: float | None = None,
) -> Recording:
    """Open a raw recording as the command line describes it; see `lay_out_frames`.

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
    """
    phases = getattr(arguments, "phases", None) or _PHASES
    image = opened(path, arguments)
    return lay_out_frames(
        image,
        per_image // phases,
        phases,
        sets=getattr(arguments, "sets", None),
        pixel_size=usual_pixel_size,
    )


def holds_raw_frames(path: str, model: Model, arguments: argparse.Namespace) -> bool:
    """Tell whether a file is raw SIM frames for a model: as asked for, or by its pixels."""
    from ...inference.raw_frames import are_raw_frames

    mode = getattr(arguments, "mode", None)
    if mode is not None:
        return bool(mode == "sim")
    if model.reconstruction is None:
        return False
    image = read_image(path, **part_of(path, arguments))
    size = image.voxel_size
    pixel_size = arguments.pixel_size or (None if size is None else size[-1])
    return are_raw_frames(model.reconstruction, tuple(image.data.shape), pixel_size)


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
    options = {name: map_of(arguments, option, name) for option, name in MAPS.items()}
    known = {**given(arguments, *names), **{k: path for k, path in options.items() if path}}
    typed = {name: _number_or_map(value, recording) for name, value in known.items()}
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
            "camera-maps-shape",
            f"{value} has the shape {pixels.shape} and the frames of {recording.name} "
            f"{recording.frames.shape[1:]}; give a map of the same pixels of the camera.",
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
                "option-missing",
                f"--{name} is not given, without which no pattern can be found; add it, or name "
                "patterns that were saved with --patterns.",
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
