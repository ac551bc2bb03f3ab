"""Options that several commands share."""

from __future__ import annotations

import argparse
from typing import TypeAlias

from . import argument_values as values
from .parsers import Parser

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


def add_command(
    commands: Commands, name: str, does: str, text: str, *examples: str
) -> argparse.ArgumentParser:
    """Add a command, "module.function", with command lines that show its use."""
    parser = commands.add_parser(name, help=text, text=text, examples=examples)
    parser.set_defaults(command=does)
    return parser


def add_force(parser: argparse._ActionsContainer) -> None:
    """Add the leave to replace results."""
    parser.add_argument(
        "--force", action="store_true", help="replace results that exist; by default refused"
    )


def add_mode(parser: argparse._ActionsContainer) -> None:
    """Add --mode, and --sim, which chooses one of them."""
    parser.add_argument(
        "--mode",
        metavar="NAME",
        help="image, volume, sim (raw 2D-SIM frames or a reconstructed SIM stack) or one that "
        "another package adds; by default recognised",
    )
    parser.add_argument(
        "--sim", dest="mode", action="store_const", const="sim", help=argparse.SUPPRESS
    )


def add_sets(parser: argparse._ActionsContainer) -> None:
    """Add how raw SIM frames of several planes follow each other."""
    parser.add_argument(
        "--sets",
        choices=("consecutive", "interleaved"),
        help="how raw SIM frames of several planes follow each other along one axis: all frames of "
        "a plane together, or all planes of a frame",
    )


def add_images(parser: argparse._ActionsContainer) -> None:
    """Add the images, as files or patterns."""
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help='files, or patterns such as "cells/*.tif"'
    )


def add_axes(parser: argparse._ActionsContainer) -> None:
    """Add axes, sizes, channel and plane of an image, and the rule for its pixels."""
    parser.add_argument(
        "--axes",
        metavar="LETTERS",
        help="if the file has them wrong: TYX for frames, ZYX for a volume, TZYX for a series",
    )
    parser.add_argument(
        "--pixel-size",
        type=values.length,
        metavar="UM",
        help="along Y and X, if the file has it wrong or not at all",
    )
    parser.add_argument(
        "--axial-step", type=values.length, metavar="UM", help="the same along Z, of a volume"
    )
    add_voxel_size(parser, "--voxel-size", "in place of those two, as in 0.3,0.1,0.1 (Z,Y,X)")
    parser.add_argument("--channel", type=values.count, metavar="N", help="channel to take, from 0")
    add_level_and_scene(parser)
    parser.add_argument(
        "--plane", type=values.count, metavar="N", help="plane (Z) to take, from 0, as an image"
    )
    add_pixel_rule(parser)


def add_level_and_scene(parser: argparse._ActionsContainer) -> None:
    """Add what is chosen of a file that holds an image several times, or several images."""
    parser.add_argument(
        "--level", type=values.count, metavar="N", help="of an OME-Zarr pyramid, 0 is the finest"
    )
    parser.add_argument(
        "--scene",
        metavar="NAME",
        help="scene or position of an ND2, CZI or LIF, by name or number from 0; run, train and "
        'predict take "all"',
    )


def add_pixel_rule(parser: argparse._ActionsContainer) -> None:
    """Add which pixels are not used."""
    parser.add_argument(
        "--bad-pixels",
        metavar="FILE",
        help="map of the camera's bad pixels, other than 0 there: TIFF, MRC or .npy",
    )
    parser.add_argument(
        "--allow-saturated",
        action="store_true",
        help="go on where more than 2 %% of the lit area are saturated, without these pixels",
    )
    parser.add_argument(
        "--keep-outliers",
        action="store_true",
        help="take single pixels that light cannot explain for light",
    )


def add_excess_noise(parser: argparse._ActionsContainer) -> None:
    """Add the excess noise of an EMCCD."""
    parser.add_argument(
        "--excess-noise",
        type=values.from_one_on,
        metavar="F2",
        help="square of the excess noise factor: 2 of an EMCCD that multiplies electrons",
    )


def add_camera_maps(parser: argparse._ActionsContainer) -> None:
    """Add the maps of a camera whose pixels differ."""
    for name, what in (
        ("offset", "counts without light"),
        ("gain", "counts per electron"),
        ("variance", "variance without light, counts squared"),
    ):
        parser.add_argument(
            f"--{name}-map", metavar="FILE", help=f"{what} of each pixel (TIFF, MRC or .npy)"
        )
    parser.add_argument(
        "--map-start",
        type=values.place,
        metavar="Y,X",
        help="first row and column of the maps that was read out, if they are of the whole camera",
    )


def add_out_of_focus(parser: argparse._ActionsContainer) -> None:
    """Add the switch for the out-of-focus background."""
    parser.add_argument(
        "--out-of-focus",
        action="store_true",
        help="a widefield image of one plane of a thick sample: light from above and below the "
        "focal plane becomes a smooth background, which goes to a file of its own",
    )


def add_background(parser: argparse._ActionsContainer) -> None:
    """Add a region without structure."""
    parser.add_argument(
        "--background",
        type=values.region,
        metavar="Y0:Y1,X0:X1",
        help="region without any structure, in pixels (of all planes)",
    )


def add_microscope(parser: argparse._ActionsContainer) -> None:
    """Add the optics that a PSF is simulated from."""
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
        "--excitation-wavelength",
        type=values.wavelength,
        metavar="UM",
        help="of a confocal's laser",
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
        type=values.thickness,
        metavar="UM",
        help="full width at half maximum of a light sheet",
    )


def add_damping(parser: argparse.ArgumentParser) -> None:
    """Add the stripe filter."""
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


def add_cluster(parser: argparse.ArgumentParser) -> None:
    """Add who computes an OME-Zarr, and what becomes of one that is there."""
    group = parser.add_argument_group("output that is an OME-Zarr (.ome.zarr)")
    add_computing(group)
    group.add_argument(
        "--resume", action="store_true", help="go on with a run that ended before it was complete"
    )


def add_computing(group: argparse._ActionsContainer) -> None:
    """Add the processes that compute."""
    who = group.add_mutually_exclusive_group()
    who.add_argument("--workers", type=values.whole, metavar="N", help="processes of this machine")
    who.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="of a Dask cluster, as in tcp://node1:8786; all its workers share the file system",
    )


def add_voxel_size(parser: argparse._ActionsContainer, name: str, what: str) -> None:
    """Add a voxel size, micrometres."""
    parser.add_argument(name, type=values.lengths, metavar="UM", help=f"voxel size {what}")


def add_psf_axes(parser: argparse._ActionsContainer, name: str) -> None:
    """Add the order of the axes of a PSF file."""
    parser.add_argument(
        name, metavar="LETTERS", help='of the PSF file, if their order is another, as in "YXZ"'
    )


def add_training(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add steps, seed, device and preset of a training."""
    group = parser.add_argument_group("training")
    group.add_argument(
        "--steps",
        type=values.count,
        metavar="N",
        help="by default as many as are of use, and at most the preset's own; 0 takes pretrained "
        "weights as they are, within seconds",
    )
    group.add_argument(
        "--preset", default="fast", help='"fast" (default), or "paper" for the published network'
    )
    group.add_argument(
        "--seed", type=values.count, metavar="N", help="the same seed, the same model"
    )
    add_device(group)
    return group


def add_device(parser: argparse._ActionsContainer) -> None:
    """Add the processor that computes."""
    parser.add_argument(
        "--device",
        default="auto",
        help="auto (default), cpu, cuda, cuda:1 or mps; see zsdeconvnet devices",
    )
