"""`zsdeconvnet calibrate`: measure the noise of a camera."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from ...io.image import Image
from ...io.image_writing import write_image
from ...noise.dark_frames import dark_pixels
from ...noise.noise_model import FORMAT, NoiseModel
from ...utils.errors import InputError
from ...utils.files import check_writable, make_folder
from ..console import Console
from .camera import rough_maps
from .files import given, load, write_json
from .noise import measured_noise, optical_cutoff, with_typed
from .summaries import show_noise


def calibrate(arguments: argparse.Namespace, console: Console) -> None:
    """Measure the noise model and print it with its errors."""
    if arguments.output:
        check_writable(arguments.output)
    if arguments.write_maps:
        if not arguments.dark:
            raise InputError(
                "option-needs-another", "--write-maps needs a stack without light; add --dark."
            )
        make_folder(arguments.write_maps)
    image = load(arguments.image, arguments, console)
    known = given(arguments, "offset_map", "gain_map", "variance_map", "map_start")
    if known:
        image, arguments = _evened(image, arguments)
    if arguments.dark:
        noise = NoiseModel.from_dark(image)
    elif arguments.series:
        noise = NoiseModel.from_series(image, offset=arguments.offset)
    else:
        noise = measured_noise(
            image,
            background=arguments.background,
            offset=arguments.offset,
            gain=arguments.gain,
            cutoff=optical_cutoff(arguments, image.voxel_size),
        )
    if arguments.excess_noise is not None:
        noise = noise.with_excess_noise(arguments.excess_noise)
    noise = with_typed(noise, given(arguments, "offset", "gain"))
    show_noise(noise, console)
    maps = _write_maps(image, arguments.write_maps, console) if arguments.write_maps else {}
    if arguments.output:
        write_json(arguments.output, {"format": FORMAT, **noise.to_dict()})
        console.say(f"Written to {arguments.output}.")
    console.result({"noise": noise.to_dict(), "file": arguments.output, "maps": maps})


def _evened(image: Image, arguments: argparse.Namespace) -> tuple[Image, argparse.Namespace]:
    """Bring an image to the typical camera of its maps, whose offset is known then."""
    maps = rough_maps(arguments, image)
    known = vars(arguments) | {"offset": maps.typical.offset}
    return replace(image, data=maps.evened(image.data, image.name)), argparse.Namespace(**known)


def _write_maps(image: Image, folder: str, console: Console) -> dict[str, str]:
    """Write offset and variance of each pixel of a dark stack; gives their files."""
    written = {}
    for name, pixels in zip(("offset", "variance"), dark_pixels(image), strict=True):
        path = Path(folder) / f"{name}_map.tif"
        check_writable(path)
        write_image(path, pixels, axes="YX")
        written[name] = str(path)
        console.say(f"Written to {path}.")
    return written
