"""`zsdeconvnet train`: a model trained on images, volumes or raw SIM frames."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from ...io.image import Image
from ...io.image_files import read_image
from ...noise.camera_maps import typical_of
from ...utils.errors import InputError
from ..console import Console
from .camera import camera_for
from .files import as_told, check_output, load
from .scenes import inputs, part_of
from .sim import refuse_for_frames
from .sim import train as train_on_frames
from .summaries import show_noise, show_psf, stated_voxel_size
from .training import done_before, finish, offered, refuse_beside_resume
from .training_psf import psf_for_training, with_recorded

_FIXED_BY_RESUME = (
    *("psf", "psf_voxel_size", "psf_axes", "psf_plane", "psf_focus", "na", "wavelength"),
    *("refractive_index", "modality", "excitation_wavelength", "excitation_na", "pinhole"),
    *("sheet_thickness", "noise", "offset", "gain", "read_variance", "background", "seed"),
    *("upsample", "start", "offset_map", "gain_map", "variance_map", "map_start", "excess_noise"),
    "out_of_focus",
)


def train(arguments: argparse.Namespace, console: Console) -> None:
    """Train a model on images and save it, also after Ctrl-C."""
    paths = inputs(arguments)
    check_output(arguments.output, paths, arguments)
    told = arguments.resume or arguments.patterns
    first = None if told else read_image(paths[0], **part_of(paths[0], arguments))
    if _raw_frames_meant(first, arguments, console):
        train_on_frames(arguments, console)
        return
    refuse_for_frames(arguments)
    images = [load(paths[0], arguments, console, first)]
    images += [load(path, arguments, console) for path in paths[1:]]
    _check_common_voxel_size(images)

    from ...training.trainer import train as start

    if arguments.resume:
        refuse_beside_resume(arguments, _FIXED_BY_RESUME)
    resume = arguments.resume or offered(arguments.output, console)
    if done_before(resume, arguments, console):
        return
    if resume:
        console.say(f"Going on with {resume}.")
        psf = noise = None
    else:
        arguments = with_recorded(arguments, images[0], console)
        psf = psf_for_training(arguments, images[0], console)
        show_psf(psf, console)
        noise = camera_for(arguments, images[0])
        console.say("Noise:")
        show_noise(typical_of(noise), console)
    run = start(
        images,
        psf,
        noise,
        upsample=arguments.upsample,
        preset=arguments.preset,
        steps=arguments.steps,
        start=arguments.start,
        seed=arguments.seed,
        device=arguments.device,
        preview_every=0,
        resume=resume,
        out_of_focus=arguments.out_of_focus,
    )
    finish(run, arguments.output, console)


def _raw_frames_meant(image: Image | None, arguments: argparse.Namespace, console: Console) -> bool:
    """Tell whether the recording is taken for raw SIM frames, as it is asked for or recognised."""
    from ...model.model import Model
    from ...modes.registry import find_mode

    if arguments.resume:
        return Model.load(arguments.resume).reconstruction is not None
    if image is None:  # there are patterns
        return True
    mode, why = find_mode(as_told(image, arguments), arguments.mode)
    if mode.takes_channels and why:
        console.say(f"Taken for {mode.title}: {why} Add --mode image if that is wrong.")
    return mode.takes_channels


def _check_common_voxel_size(images: Sequence[Image]) -> None:
    """Refuse images of different voxel sizes; those of different kinds are refused later."""
    first = images[0]
    for image in images[1:]:
        if (first.voxel_size is None) == (image.voxel_size is None):
            one, other = first.voxel_size or (0.0,), image.voxel_size or (0.0,)
            if len(one) != len(other) or np.allclose(one, other, rtol=1e-3):
                continue
        raise InputError(
            "pixel-sizes-differ",
            f"{first.name} and {image.name} have different pixel sizes, "
            f"{stated_voxel_size(first)} and {stated_voxel_size(image)}; train one model for each, "
            "or give --pixel-size or --voxel-size if a file has it wrong.",
        )
