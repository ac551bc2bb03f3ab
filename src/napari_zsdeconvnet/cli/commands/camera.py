"""The camera as the command line gives it: numbers, maps of its pixels, and what is measured."""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from ...io.image import Image
from ...noise.camera_maps import Camera, CameraMaps
from ...noise.noise_model import NoiseModel
from ...noise.partial_maps import MapParts
from ...utils.errors import InputError
from .noise import measured_noise, optical_cutoff, read_noise, with_typed

MAPS = {"offset_map": "offset", "gain_map": "gain", "variance_map": "read_variance"}
_NUMBERS = ("offset", "gain", "read_variance")


def camera_for(arguments: argparse.Namespace, image: Image) -> Camera:
    """Take what is given of the camera, and measure the rest on an image.

    Parameters
    ----------
    arguments
        With the options of the camera that the command has.
    image
        The first of those that are trained on.

    Returns
    -------
    NoiseModel or CameraMaps
        Maps where one is given, of the size of the image.

    Raises
    ------
    InputError
        If a number and a map of the same are given, or maps do not fit the image.
    """
    numbers = {name: getattr(arguments, name, None) for name in _NUMBERS}
    typed = {name: float(value) for name, value in numbers.items() if isinstance(value, float)}
    parts = _parts(arguments)
    maps = parts.arrays(image.data.shape, image.name)
    for name in typed.keys() & maps.keys():
        option = name.replace("_", "-")
        raise InputError(
            "options-exclude-each-other",
            f"--{option} and a map of it are given; give one of the two.",
        )
    medians = {name: float(np.median(pixels)) for name, pixels in maps.items()}
    offset = typed.get("offset")
    if maps and len(typed) + len(maps) < len(_NUMBERS):
        rough = rough_maps(arguments, image)
        image = replace(image, data=rough.evened(image.data, image.name))
        offset = rough.typical.offset
    noise = _noise(arguments, image, offset, typed, medians)
    return parts.camera(noise, image.data.shape, image.name) if maps else noise


def rough_maps(arguments: argparse.Namespace, image: Image) -> CameraMaps:
    """Give maps by which an image can be evened before its noise is measured.

    Their gain is relative and their read variance 0 where neither is given.
    """
    maps = _parts(arguments).arrays(image.data.shape, image.name)
    offset = maps.get("offset", arguments.offset)
    if offset is None:
        offset = measured_noise(image).offset
    variance = maps.get("read_variance", 0.0)
    return CameraMaps.of(offset, maps.get("gain", 1.0), variance, shape=image.data.shape[-2:])


def maps_for(arguments: argparse.Namespace, noise: NoiseModel, image: Image) -> CameraMaps | None:
    """Take the maps that are given, and what they lack from a noise model; None without maps."""
    parts = _parts(arguments)
    return parts.camera(noise, image.data.shape, image.name) if parts.names else None


def _noise(
    arguments: argparse.Namespace,
    image: Image,
    offset: float | None,
    typed: dict[str, float],
    medians: dict[str, float],
) -> NoiseModel:
    """Take the numbers that are typed or the medians of maps, and measure those that are not."""
    excess = getattr(arguments, "excess_noise", None)
    path = getattr(arguments, "noise", None)
    known = {**typed, **medians}
    if path is None and len(known) == len(_NUMBERS):
        offset, gain, read_variance = (known[name] for name in _NUMBERS)
        return NoiseModel(offset, gain, read_variance, excess_noise=excess or 1.0)
    if path:
        noise = read_noise(path)
    else:
        noise = measured_noise(
            image,
            background=getattr(arguments, "background", None),
            offset=offset,
            gain=known.get("gain"),
            cutoff=optical_cutoff(arguments, image.voxel_size),
        )
    if excess is not None:
        noise = noise.with_excess_noise(excess)
    return with_typed(with_typed(noise, typed), medians, "of maps")


def map_of(arguments: argparse.Namespace, option: str, name: str) -> str | None:
    """Return the file of a map: of its own option, or given in place of the number."""
    given = getattr(arguments, option, None)
    value = getattr(arguments, name, None)
    return value if given is None and isinstance(value, str) else given


def _parts(arguments: argparse.Namespace) -> MapParts:
    """Take the names of the maps, and the part of the camera that was read out."""
    files = {name: map_of(arguments, option, name) for option, name in MAPS.items()}
    parts = MapParts(**files, start=arguments.map_start)
    if parts.start is not None and not parts.names:
        raise InputError(
            "option-needs-another", "--map-start does nothing without a map; add --offset-map FILE."
        )
    return parts
