"""The options of `run` and `train`, which take the same of a recording."""

from __future__ import annotations

import argparse

from . import argument_values as values
from .options import (
    Commands,
    add_axes,
    add_background,
    add_camera_maps,
    add_command,
    add_computing,
    add_excess_noise,
    add_force,
    add_images,
    add_microscope,
    add_mode,
    add_out_of_focus,
    add_psf_axes,
    add_training,
    add_voxel_size,
)
from .sim_arguments import add_raw_sim


def add_run(commands: Commands) -> None:
    """Add `run`."""
    parser = add_command(
        commands,
        "run",
        "commands.run.run",
        "Take recordings from start to finish: calibrate, train, deconvolve and judge.",
        "zsdeconvnet run cell.tif --na 1.4 --wavelength 0.525 -o results/",
        'zsdeconvnet run "cells/*.tif" --na 1.4 --wavelength 0.525 -o results/',
        "zsdeconvnet run plate.ome.zarr --na 0.75 --wavelength 0.525 --workers 4 -o results/",
        "zsdeconvnet run raw.tif --mode sim --na 1.41 --wavelength 0.525 -o results/",
        "zsdeconvnet run cells.ome.tif --na 1.4 --wavelengths 0.461,0.525 -o results/",
        "zsdeconvnet run cell.tif --steps 0 --no-verdict -o quick/",
        "zsdeconvnet run plate.ome.zarr --format ome-zarr -o results/",
    )
    add_images(parser)
    output = parser.add_argument_group("output")
    output.add_argument(
        *("-o", "--output"),
        default=".",
        metavar="OUT",
        help="a folder, by default this one; or a .tif or .ome.zarr for one image",
    )
    output.add_argument(
        "--format",
        choices=("tiff", "ome-zarr"),
        help="of the results in a folder (tiff)",
    )
    add_force(output)
    output.add_argument(
        "--skip-done",
        action="store_true",
        help="of many images, leave out those that are done with the same options, as after a "
        "run that was ended; the others replace what there is of them",
    )
    output.add_argument("--no-verdict", action="store_true", help="leave the verdict out")
    output.add_argument(
        "--train-each",
        action="store_true",
        help="train on every image; otherwise a model serves all images that are alike in "
        "optics, noise, light and structure",
    )
    add_computing(parser.add_argument_group("many images on a cluster, one in each process"))
    _add_optics(parser)
    _add_channels(parser)
    training = add_training(parser)
    training.add_argument("--model", metavar="MODEL", help="used as it is if it fits the recording")
    _add_start(training)
    training.add_argument(
        "--resume", metavar="CHECKPOINT", help="go on with a training that broke off or was stopped"
    )
    _add_rest(parser)


def _add_channels(parser: argparse.ArgumentParser) -> None:
    """Add what is said of a recording with several channels, which all are deconvolved."""
    channels = parser.add_argument_group("several channels, in place of --channel and --wavelength")
    channels.add_argument(
        "--channels",
        type=values.counts,
        metavar="N,N",
        help="those that are deconvolved, from 0, as in 0,2 (all); the others stay as they are",
    )
    channels.add_argument(
        "--wavelengths",
        type=values.wavelengths,
        metavar="UM,UM",
        help="of the emission of each channel, as in 0.461,0.525, by default what the file says",
    )


def add_train(commands: Commands) -> None:
    """Add `train`."""
    parser = add_command(
        commands,
        "train",
        "commands.train.train",
        "Train a model on noisy images, volumes or raw SIM frames and save it.",
        "zsdeconvnet train cell.tif --na 1.4 --wavelength 0.525 -o model.safetensors",
        'zsdeconvnet train "cells/*.tif" --psf psf.tif --noise noise.json',
        "zsdeconvnet train cell.tif --resume model.safetensors -o model.safetensors",
    )
    add_images(parser)
    output = parser.add_argument_group("output")
    output.add_argument(
        *("-o", "--output"),
        default="model.safetensors",
        metavar="MODEL",
        help="file to write (%(default)s)",
    )
    add_force(output)
    _add_optics(parser)
    training = add_training(parser)
    _add_start(training)
    training.add_argument(
        "--resume", metavar="MODEL", help="go on with a training that was stopped and saved"
    )
    _add_rest(parser)


def _add_start(training: argparse._ActionsContainer) -> None:
    training.add_argument(
        "--start",
        metavar="prior|scratch|MODEL",
        help='pretrained weights (default of "fast"), random ones, or those of a model, as of the '
        "frame, channel or sample before",
    )


def _add_optics(parser: argparse.ArgumentParser) -> None:
    """Add the optics: the objective, or a PSF."""
    optics = parser.add_argument_group("optics: by default what the file says")
    optics.add_argument("--na", type=values.positive, help="numerical aperture of the objective")
    optics.add_argument(
        "--wavelength", type=values.wavelength, metavar="UM", help="of emission, as in 0.525"
    )
    add_microscope(optics)
    optics.add_argument("--psf", metavar="FILE", help="TIFF, MRC or .npy, in place of the rest")
    add_voxel_size(optics, "--psf-voxel-size", "of the PSF file, if it does not say")
    add_psf_axes(optics, "--psf-axes")
    plane = optics.add_mutually_exclusive_group()
    plane.add_argument(
        "--psf-plane", type=values.count, metavar="N", help="plane of a 3D PSF, from 0"
    )
    plane.add_argument("--psf-focus", action="store_true", help="plane in focus of a 3D PSF")


def _add_rest(parser: argparse.ArgumentParser) -> None:
    """Add what is seldom needed: the recording, the camera and raw SIM."""
    recording = parser.add_argument_group("recording: by default what the file says")
    add_mode(recording)
    add_axes(recording)
    recording.add_argument(
        "--upsample",
        action=argparse.BooleanOptionalAction,
        help="give the output twice the pixels along Y and X; by default of images, not of volumes",
    )
    add_out_of_focus(recording)
    camera = parser.add_argument_group("camera: what is not given is measured on the first image")
    camera.add_argument("--noise", metavar="JSON", help="file written by calibrate -o")
    for name, unit, what in (
        ("offset", "COUNTS", "counts without light"),
        ("gain", "G", "counts per electron"),
        ("read-variance", "V", "counts squared"),
    ):
        camera.add_argument(
            f"--{name}", type=values.number_or_file, metavar=unit, help=f"{what}, or a map of them"
        )
    add_background(camera)
    add_excess_noise(camera)
    add_camera_maps(camera)
    add_raw_sim(parser)
