"""The commands of raw structured illumination, `zsdeconvnet sim`, and their options."""

from __future__ import annotations

import argparse

from . import argument_values as values
from .options import (
    Commands,
    add_background,
    add_command,
    add_device,
    add_force,
    add_pixel_rule,
    add_sets,
    add_voxel_size,
)


def add_sim(commands: Commands) -> None:
    """Add `sim` with its own commands."""
    text = "Structured illumination (2D-SIM): find the patterns of raw frames, and reconstruct."
    group = commands.add_parser("sim", help=text, text=text)
    group.set_defaults(shown=group)
    ways = group.add_subparsers(metavar="WAY")
    _add_estimate(ways)
    _add_reconstruct(ways)


def _add_estimate(ways: Commands) -> None:
    parser = add_command(
        ways,
        "estimate",
        "commands.sim.estimate",
        "Find the illumination patterns of raw frames and say how sure they are.",
        "zsdeconvnet sim estimate raw.tif --na 1.41 --wavelength 0.525 --save patterns.json",
    )
    _add_raw(parser)
    _add_patterns(parser)
    add_sim_offset(parser.add_argument_group("camera"))
    parser.add_argument(
        "--save",
        metavar="JSON",
        help="file for the patterns, for --patterns; of several recordings a folder",
    )


def _add_reconstruct(ways: Commands) -> None:
    parser = add_command(
        ways,
        "reconstruct",
        "commands.sim.reconstruct",
        "Reconstruct raw frames by a Wiener filter, on a grid of half their pixel.",
        "zsdeconvnet sim reconstruct raw.tif --patterns patterns.json -o reconstructed.tif",
    )
    _add_raw(parser)
    parser.add_argument(
        *("-o", "--output"),
        required=True,
        metavar="OUT",
        help="a .tif for one recording, otherwise a folder; names end in _sim.tif",
    )
    add_force(parser)
    parser.add_argument(
        "--widefield", action="store_true", help="also write the mean of the frames, _widefield.tif"
    )
    _add_saved_patterns(parser)
    add_sim_offset(parser.add_argument_group("camera"))
    _add_reconstruction(parser)
    add_device(parser)


def add_raw_sim(parser: argparse.ArgumentParser) -> None:
    """Add what is known of raw frames, and how they are reconstructed, for a training."""
    group = parser.add_argument_group("raw SIM frames, with the optics above")
    group.add_argument(
        "--patterns", metavar="JSON", help="written by sim estimate --save; nothing is estimated"
    )
    _add_numbers_of_frames(group)
    add_sets(group)
    _add_known_patterns(group)
    _add_reconstruction(parser)


def _add_raw(parser: argparse.ArgumentParser) -> None:
    _add_raw_files(parser)
    _add_numbers_of_frames(parser)


def _add_raw_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "images", nargs="+", metavar="RAW", help='raw recordings, or patterns such as "*.tif"'
    )
    _add_pixels(parser)


def _add_pixels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pixel-size",
        type=values.length,
        metavar="UM",
        help="of the raw frames, if the file has it wrong or not at all",
    )
    parser.add_argument("--channel", type=values.count, metavar="N", help="channel to take, from 0")
    add_sets(parser)
    add_pixel_rule(parser)


def _add_numbers_of_frames(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--orientations", type=values.whole, metavar="N", help="of the pattern, in an image (3)"
    )
    parser.add_argument(
        "--phases", type=values.whole, metavar="N", help="frames of each orientation (3)"
    )


def _add_patterns(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("microscope")
    group.add_argument("--na", type=values.positive, help="numerical aperture of the detection")
    group.add_argument(
        "--wavelength", type=values.wavelength, metavar="UM", help="of emission, as in 0.525"
    )
    group.add_argument(
        "--excitation-wavelength",
        type=values.wavelength,
        metavar="UM",
        help="of the laser: bounds the period of the pattern",
    )
    group.add_argument(
        "--excitation-na",
        type=values.positive,
        metavar="NA",
        help="aperture that the laser may fill: bounds the period of the pattern",
    )
    group.add_argument("--psf", metavar="FILE", help="measured PSF or OTF (TIFF, MRC or .npy)")
    add_voxel_size(group, "--psf-voxel-size", "of the PSF file, if it does not say")
    _add_known_patterns(group)


def _add_known_patterns(group: argparse._ActionsContainer) -> None:
    """Add what is known of the patterns."""
    group.add_argument(
        "--order",
        choices=("orientation", "phase"),
        help="whether the phases of one orientation follow each other, or the orientations of one "
        "phase; by default recognised",
    )
    group.add_argument(
        "--period",
        type=values.lengths,
        metavar="UM",
        help="of the pattern where it is known, one or one for each orientation",
    )
    group.add_argument(
        "--angles",
        type=values.angles,
        metavar="DEGREES",
        help="of the orientations where they are known, as in 145,25,85",
    )


def _add_saved_patterns(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--patterns", metavar="JSON", help="written by sim estimate --save; nothing is estimated"
    )
    _add_patterns(parser)


def add_sim_offset(camera: argparse._ActionsContainer) -> None:
    """Add the counts of raw SIM frames without light."""
    camera.add_argument("--noise", metavar="JSON", help="file written by calibrate -o")
    camera.add_argument(
        "--offset",
        type=values.number_or_file,
        metavar="COUNTS",
        help="counts without light, or a map of them (TIFF)",
    )
    add_background(camera)


def _add_reconstruction(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("reconstruction")
    group.add_argument(
        "--wiener",
        type=values.positive,
        metavar="W",
        help="Wiener constant: larger is smoother, smaller sharper and noisier",
    )
    group.add_argument(
        "--notch",
        type=values.not_negative,
        metavar="A",
        help="how much of the middle of each order is left out, 0 to 1",
    )
    group.add_argument(
        "--apodisation",
        type=values.not_negative,
        metavar="P",
        help="how the edge of the spectrum is rounded off: 0 not at all, 1 in a straight line",
    )
