"""What can be asked for on the command line: the options of every command.

Nothing heavy is loaded here, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
from typing import TypeAlias

from . import __version__
from . import argument_values as values


def parser() -> argparse.ArgumentParser:
    """Make the parser of the whole command; what it gives has `command`, "module.function"."""
    root = argparse.ArgumentParser(
        prog="zsdeconvnet",
        description="Denoise and deconvolve fluorescence images with a network that learns "
        "from the noisy image alone. Lengths are in micrometres, intensities in camera counts.",
        epilog="Each command explains itself: zsdeconvnet train --help",
    )
    root.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = root.add_subparsers(required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_calibrate(commands)
    _add_psf(commands)
    _add_train(commands)
    _add_predict(commands)
    _add_info(commands)
    return root


_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _add(commands: _Commands, name: str, does: str, text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(command=does)
    parser.add_argument(
        "--json", action="store_true", help="print the result as JSON; all else goes to stderr"
    )
    parser.add_argument("--debug", action="store_true", help="show where an error came from")
    return parser


def _add_demo(commands: _Commands) -> None:
    parser = _add(
        commands,
        "demo",
        "demo.run.run_demo",
        "Simulate an image or a volume and take it all the way, with a score table.",
    )
    parser.add_argument(
        "--3d", dest="volume", action="store_true", help="a widefield volume in place of an image"
    )
    parser.add_argument(
        *("-o", "--output"),
        metavar="FOLDER",
        help="for all that is written (zsdeconvnet-demo or zsdeconvnet-demo-3d)",
    )
    parser.add_argument(
        "--size", type=values.whole, metavar="PIXELS", help="of the image (512, or 192 in 3D)"
    )
    parser.add_argument("--planes", type=values.whole, metavar="N", help="of the volume (32)")
    parser.add_argument(
        "--photons",
        type=values.positive,
        default=50.0,
        metavar="N",
        help="photons in a bright pixel (%(default)g)",
    )
    _add_training(parser)


def _add_calibrate(commands: _Commands) -> None:
    parser = _add(
        commands,
        "calibrate",
        "commands.calibrate.calibrate",
        "Measure the camera's offset, gain and read variance from an image, a background "
        "region, a time series or a dark stack.",
    )
    parser.add_argument("image", metavar="IMAGE", help="TIFF or .npy")
    way = parser.add_mutually_exclusive_group()
    _add_background(way)
    way.add_argument(
        "--dark", action="store_true", help="IMAGE is a stack recorded without any light"
    )
    way.add_argument(
        "--series", action="store_true", help="IMAGE is a time series of a scene at rest"
    )
    _add_axes(parser)
    parser.add_argument(
        "--offset", type=values.number, metavar="COUNTS", help="offset, if it is known"
    )
    parser.add_argument("--gain", type=values.positive, metavar="G", help="gain, if it is known")
    parser.add_argument(
        "--na",
        type=values.positive,
        help="numerical aperture: with the wavelength it says which frequencies hold noise alone",
    )
    parser.add_argument(
        "--wavelength", type=values.positive, metavar="UM", help="emission wavelength, as in 0.525"
    )
    parser.add_argument("-o", "--output", metavar="JSON", help="file for train --noise")


def _add_psf(commands: _Commands) -> None:
    text = "Make the point spread function: simulated, read from a file or measured on beads."
    group = commands.add_parser("psf", help=text, description=text)
    ways = group.add_subparsers(required=True, metavar="WAY")

    simulate = _add(
        ways,
        "simulate",
        "commands.psf.simulate",
        "Simulate the PSF of a widefield, confocal or light-sheet microscope.",
    )
    simulate.add_argument("--na", type=values.positive, required=True, help="numerical aperture")
    simulate.add_argument(
        "--wavelength",
        type=values.positive,
        required=True,
        metavar="UM",
        help="emission, as in 0.525",
    )
    simulate.add_argument(
        "--pixel-size",
        type=values.positive,
        required=True,
        metavar="UM",
        help="of the PSF: half of the camera's for a doubled grid, the camera's for a volume",
    )
    simulate.add_argument(
        "--axial-step", type=values.positive, metavar="UM", help="between planes, for a 3D PSF"
    )
    simulate.add_argument(
        "--planes", type=values.whole, metavar="N", help="odd number, for a 3D PSF"
    )
    _add_microscope(simulate)

    read = _add(
        ways, "read", "commands.psf.read", "Read a PSF (TIFF, MRC or .npy), check and centre it."
    )
    read.add_argument("file", metavar="FILE")
    _add_voxel_size(read, "--voxel-size", "of the file, as in 0.3,0.1,0.1 (Z,Y,X)")
    plane = read.add_mutually_exclusive_group()
    plane.add_argument("--plane", type=values.count, metavar="N", help="plane of a 3D PSF, from 0")
    plane.add_argument("--focus", action="store_true", help="plane in focus of a 3D PSF")

    beads = _add(
        ways, "beads", "commands.psf.beads", "Measure the PSF on an image or a stack of beads."
    )
    beads.add_argument("file", metavar="IMAGE")
    _add_voxel_size(beads, "--voxel-size", "of the image, as in 0.3,0.1,0.1 (Z,Y,X)")
    beads.add_argument("--axes", metavar="LETTERS", help='as in "ZYX"')
    beads.add_argument(
        "--diameter",
        type=values.positive,
        metavar="UM",
        help="of the beads, to take their width out",
    )

    for parser in (simulate, read, beads):
        _add_voxel_size(parser, "--resample", "of the PSF to be written")
        parser.add_argument("-o", "--output", metavar="TIF", help="file to write the PSF to")


def _add_train(commands: _Commands) -> None:
    parser = _add(
        commands,
        "train",
        "commands.train.train",
        "Train a model on one or more noisy images or volumes and save it.",
    )
    _add_images(parser)
    parser.add_argument(
        *("-o", "--output"),
        default="model.safetensors",
        metavar="MODEL",
        help="file to write (%(default)s)",
    )
    _add_axes(parser)
    psf = parser.add_argument_group("point spread function: a file, or the objective")
    psf.add_argument("--psf", metavar="FILE", help="TIFF, MRC or .npy")
    _add_voxel_size(psf, "--psf-voxel-size", "of the PSF file, if it does not say")
    psf.add_argument(
        "--psf-plane", type=values.count, metavar="N", help="plane of a 3D PSF, from 0"
    )
    psf.add_argument("--psf-focus", action="store_true", help="plane in focus of a 3D PSF")
    psf.add_argument("--na", type=values.positive, help="numerical aperture of the objective")
    psf.add_argument(
        "--wavelength", type=values.positive, metavar="UM", help="of emission, as in 0.525"
    )
    _add_microscope(psf)
    noise = parser.add_argument_group("noise: what is not given is measured on the first image")
    noise.add_argument("--noise", metavar="JSON", help="file written by calibrate -o")
    noise.add_argument(
        "--offset", type=values.number, metavar="COUNTS", help="counts without light"
    )
    noise.add_argument("--gain", type=values.positive, metavar="G", help="counts per electron")
    noise.add_argument(
        "--read-variance", type=values.not_negative, metavar="V", help="counts squared"
    )
    _add_background(noise)
    parser.add_argument(
        "--upsample",
        action=argparse.BooleanOptionalAction,
        help="give the output twice the pixels along Y and X; by default of images, not of volumes",
    )
    _add_training(parser)
    parser.add_argument(
        "--resume", metavar="MODEL", help="go on with a training that was stopped and saved"
    )


def _add_predict(commands: _Commands) -> None:
    parser = _add(
        commands,
        "predict",
        "commands.predict.predict",
        "Deconvolve images or volumes with a trained model.",
    )
    parser.add_argument("model", metavar="MODEL", help="file written by train")
    _add_images(parser)
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help="a .tif for one image, otherwise a folder; names end in _deconvolved.tif",
    )
    _add_axes(parser)
    parser.add_argument(
        "--denoised", action="store_true", help="also write the denoised image, _denoised.tif"
    )
    parser.add_argument(
        "--tile",
        type=values.tile,
        metavar="PIXELS",
        help="width of a tile, or Z,Y,X of one, as in 40,128,128; by default what memory allows",
    )
    parser.add_argument(
        "--repeats",
        type=values.count,
        default=0,
        metavar="N",
        help="average over N re-corruptions of the input: smoother and slower",
    )
    _add_damping(parser)
    _add_device(parser)


def _add_info(commands: _Commands) -> None:
    parser = _add(
        commands, "info", "commands.info.info", "Say what is in a model, image, PSF or noise file."
    )
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--psf", action="store_true", help="the file holds a PSF")


def _add_images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help='files, or patterns such as "cells/*.tif"'
    )


def _add_axes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--axes",
        metavar="LETTERS",
        help="if the file has them wrong: TYX for frames, ZYX for a volume, TZYX for a series",
    )
    parser.add_argument(
        "--pixel-size",
        type=values.positive,
        metavar="UM",
        help="along Y and X, if the file has it wrong or not at all",
    )
    parser.add_argument(
        "--axial-step", type=values.positive, metavar="UM", help="the same along Z, of a volume"
    )
    _add_voxel_size(parser, "--voxel-size", "in place of those two, as in 0.3,0.1,0.1 (Z,Y,X)")
    parser.add_argument("--channel", type=values.count, metavar="N", help="channel to take, from 0")
    parser.add_argument(
        "--plane", type=values.count, metavar="N", help="plane (Z) to take, from 0, as an image"
    )


def _add_background(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--background",
        type=values.region,
        metavar="Y0:Y1,X0:X1",
        help="region without any structure, in pixels (of all planes)",
    )


def _add_microscope(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--refractive-index",
        type=values.positive,
        metavar="N",
        help="of the medium; by default what suits the numerical aperture",
    )
    parser.add_argument(
        "--modality",
        choices=("widefield", "confocal", "light-sheet"),
        help="kind of microscope; by default widefield",
    )
    parser.add_argument(
        "--excitation-wavelength", type=values.positive, metavar="UM", help="of a confocal's laser"
    )
    parser.add_argument(
        "--excitation-na",
        type=values.positive,
        metavar="NA",
        help="aperture that a confocal's laser fills; by default all of it",
    )
    parser.add_argument(
        "--pinhole",
        type=values.positive,
        metavar="AU",
        help="diameter of a confocal's, in Airy units; by default a point",
    )
    parser.add_argument(
        "--sheet-thickness",
        type=values.positive,
        metavar="UM",
        help="full width at half maximum of a light sheet",
    )


def _add_damping(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("stripes, taken out of every plane first")
    group.add_argument(
        "--damp",
        choices=("Y", "X"),
        help="damp stripes that alternate from row to row (Y) or from column to column (X)",
    )
    group.add_argument(
        "--damp-width",
        type=values.positive,
        metavar="F",
        help="half width of the line in Fourier space, cycles per pixel (0.004)",
    )
    group.add_argument(
        "--damp-keep",
        type=values.positive,
        metavar="F",
        help="frequency below which nothing is touched, cycles per pixel (0.02)",
    )
    group.add_argument(
        "--damp-mask", metavar="PNG", help="picture to write of what is damped in Fourier space"
    )


def _add_voxel_size(parser: argparse._ActionsContainer, name: str, what: str) -> None:
    parser.add_argument(name, type=values.lengths, metavar="UM", help=f"voxel size {what}")


def _add_training(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training")
    group.add_argument(
        "--preset", default="fast", help='"fast" (default), or "paper" for the published network'
    )
    group.add_argument(
        "--steps", type=values.whole, metavar="N", help="by default the preset's own"
    )
    group.add_argument(
        "--seed", type=values.count, metavar="N", help="the same seed, the same model"
    )
    _add_device(group)


def _add_device(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1 or mps")
