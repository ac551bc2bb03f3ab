"""The command `zsdeconvnet`: what can be asked for on a command line.

This module only knows the arguments, so that `--help` answers at once; `commands` and `demo`
do the work and are loaded when there is some.
"""

from __future__ import annotations

import argparse
import math
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import TypeAlias

from . import __version__
from .console import Console, Interrupted
from .errors import InputError

_OK, _FAILED, _BAD_INPUT, _INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv
        Arguments without the command's own name; None takes those of the process.

    Returns
    -------
    int
        0 when all went well, 2 for input that cannot be used, 130 after Ctrl-C, and 1 for
        any other failure.

    Raises
    ------
    SystemExit
        For arguments that cannot be understood (code 2), and after `--help` (code 0).
    """
    arguments = _parser().parse_args(argv)
    try:
        module, function = arguments.command.split(".")
        command = getattr(import_module(f".{module}", __package__), function)
        command(arguments, Console(json=arguments.json))
    except InputError as error:
        return _end(_BAD_INPUT, str(error), arguments.debug)
    except KeyboardInterrupt as interruption:
        kept = str(interruption) if isinstance(interruption, Interrupted) else "nothing was kept."
        return _end(_INTERRUPTED, f"Stopped by Ctrl-C; {kept}", False)
    except MemoryError:
        return _end(_FAILED, "Memory ran out; try a smaller --tile or image.", arguments.debug)
    except Exception as error:
        words = str(error).strip().split("\n")[0] or type(error).__name__
        return _end(_FAILED, f"{words} (add --debug to see where)", arguments.debug)
    return _OK


def _end(code: int, sentence: str, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(f"zsdeconvnet: {sentence}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zsdeconvnet",
        description="Denoise and deconvolve fluorescence images with a network that learns "
        "from the noisy image alone. Lengths are in micrometres, intensities in camera counts.",
        epilog="Each command explains itself: zsdeconvnet train --help",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_calibrate(commands)
    _add_psf(commands)
    _add_train(commands)
    _add_predict(commands)
    _add_info(commands)
    return parser


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
        "demo.run_demo",
        "Simulate an image and take it all the way, with a score table.",
    )
    parser.add_argument(
        *("-o", "--output"),
        default="zsdeconvnet-demo",
        metavar="FOLDER",
        help="for all that is written (%(default)s)",
    )
    parser.add_argument(
        "--size", type=_whole, default=512, metavar="PIXELS", help="of the image (%(default)s)"
    )
    parser.add_argument(
        "--photons",
        type=_positive,
        default=50.0,
        metavar="N",
        help="photons in a bright pixel (%(default)g)",
    )
    _add_training(parser)


def _add_calibrate(commands: _Commands) -> None:
    parser = _add(
        commands,
        "calibrate",
        "commands.calibrate",
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
    parser.add_argument("--offset", type=_number, metavar="COUNTS", help="offset, if it is known")
    parser.add_argument("--gain", type=_positive, metavar="G", help="gain, if it is known")
    parser.add_argument(
        "--na",
        type=_positive,
        help="numerical aperture: with the wavelength it says which frequencies hold noise alone",
    )
    parser.add_argument(
        "--wavelength", type=_positive, metavar="UM", help="emission wavelength, as in 0.525"
    )
    parser.add_argument("-o", "--output", metavar="JSON", help="file for train --noise")


def _add_psf(commands: _Commands) -> None:
    text = "Make the point spread function: simulated, read from a file or measured on beads."
    group = commands.add_parser("psf", help=text, description=text)
    ways = group.add_subparsers(required=True, metavar="WAY")

    simulate = _add(ways, "simulate", "commands.psf_simulate", "Simulate a widefield PSF.")
    simulate.add_argument("--na", type=_positive, required=True, help="numerical aperture")
    simulate.add_argument(
        "--wavelength", type=_positive, required=True, metavar="UM", help="emission, as in 0.525"
    )
    simulate.add_argument(
        "--pixel-size",
        type=_positive,
        required=True,
        metavar="UM",
        help="of the PSF: half of the camera's for the doubled grid",
    )
    _add_refractive_index(simulate)
    simulate.add_argument("--axial-step", type=_positive, metavar="UM", help="for a 3D PSF")
    simulate.add_argument("--planes", type=_whole, metavar="N", help="for a 3D PSF")

    read = _add(
        ways, "read", "commands.psf_read", "Read a PSF (TIFF, MRC or .npy), check and centre it."
    )
    read.add_argument("file", metavar="FILE")
    _add_voxel_size(read, "--voxel-size", "of the file, as in 0.3,0.1,0.1 (Z,Y,X)")
    plane = read.add_mutually_exclusive_group()
    plane.add_argument("--plane", type=_count, metavar="N", help="plane of a 3D PSF, from 0")
    plane.add_argument("--focus", action="store_true", help="plane in focus of a 3D PSF")

    beads = _add(ways, "beads", "commands.psf_beads", "Measure the PSF on an image of beads.")
    beads.add_argument("file", metavar="IMAGE")
    _add_voxel_size(beads, "--voxel-size", "of the image, as in 0.3,0.1,0.1 (Z,Y,X)")
    beads.add_argument("--axes", metavar="LETTERS", help='as in "ZYX"')
    beads.add_argument(
        "--diameter", type=_positive, metavar="UM", help="of the beads, to take their width out"
    )

    for parser in (simulate, read, beads):
        _add_voxel_size(parser, "--resample", "of the PSF to be written")
        parser.add_argument("-o", "--output", metavar="TIF", help="file to write the PSF to")


def _add_train(commands: _Commands) -> None:
    parser = _add(
        commands,
        "train",
        "commands.train",
        "Train a model on one or more noisy images and save it.",
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
    psf.add_argument("--psf-plane", type=_count, metavar="N", help="plane of a 3D PSF, from 0")
    psf.add_argument("--psf-focus", action="store_true", help="plane in focus of a 3D PSF")
    psf.add_argument("--na", type=_positive, help="numerical aperture of the objective")
    psf.add_argument("--wavelength", type=_positive, metavar="UM", help="of emission, as in 0.525")
    _add_refractive_index(psf)
    noise = parser.add_argument_group("noise: what is not given is measured on the first image")
    noise.add_argument("--noise", metavar="JSON", help="file written by calibrate -o")
    noise.add_argument("--offset", type=_number, metavar="COUNTS", help="counts without light")
    noise.add_argument("--gain", type=_positive, metavar="G", help="counts per electron")
    noise.add_argument("--read-variance", type=_not_negative, metavar="V", help="counts squared")
    _add_background(noise)
    _add_training(parser)
    parser.add_argument(
        "--resume", metavar="MODEL", help="go on with a training that was stopped and saved"
    )


def _add_predict(commands: _Commands) -> None:
    parser = _add(
        commands, "predict", "commands.predict", "Deconvolve images with a trained model."
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
        type=_whole,
        metavar="PIXELS",
        help="side of a tile; by default what memory allows",
    )
    parser.add_argument(
        "--repeats",
        type=_count,
        default=0,
        metavar="N",
        help="average over N re-corruptions of the input: smoother and slower",
    )
    _add_device(parser)


def _add_info(commands: _Commands) -> None:
    parser = _add(
        commands, "info", "commands.info", "Say what is in a model, image, PSF or noise file."
    )
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--psf", action="store_true", help="the file holds a PSF")


def _add_images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help='files, or patterns such as "cells/*.tif"'
    )


def _add_axes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--axes", metavar="LETTERS", help='if the file has them wrong, as in "TYX"')
    parser.add_argument(
        "--pixel-size", type=_positive, metavar="UM", help="if the file has it wrong or not at all"
    )
    parser.add_argument("--channel", type=_count, metavar="N", help="channel to take, from 0")
    parser.add_argument("--plane", type=_count, metavar="N", help="plane (Z) to take, from 0")


def _add_background(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--background",
        type=_region,
        metavar="Y0:Y1,X0:X1",
        help="region without any structure, in pixels",
    )


def _add_refractive_index(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--refractive-index",
        type=_positive,
        metavar="N",
        help="of the medium; by default what suits the numerical aperture",
    )


def _add_voxel_size(parser: argparse._ActionsContainer, name: str, what: str) -> None:
    parser.add_argument(name, type=_steps, metavar="UM", help=f"voxel size {what}")


def _add_training(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training")
    group.add_argument(
        "--preset", default="fast", help='"fast" (default), or "paper" for the published network'
    )
    group.add_argument("--steps", type=_whole, metavar="N", help="by default the preset's own")
    group.add_argument("--seed", type=_count, metavar="N", help="the same seed, the same model")
    _add_device(group)


def _add_device(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1 or mps")


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return value


def _positive(text: str) -> float:
    value = _number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not above zero")
    return value


def _not_negative(text: str) -> float:
    value = _number(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below zero")
    return value


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def _steps(text: str) -> float | tuple[float, ...]:
    """Read one length for all axes, or one for each with commas between."""
    steps = tuple(_positive(part) for part in text.split(","))
    return steps if len(steps) > 1 else steps[0]


def _region(text: str) -> tuple[slice, slice]:
    """Read "Y0:Y1,X0:X1", first pixel included and last excluded."""
    try:
        rows, columns = (
            slice(*(int(bound) for bound in axis.split(":", 1))) for axis in text.split(",")
        )
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a region; write it as Y0:Y1,X0:X1, for instance 0:64,10:80"
        ) from None
    return rows, columns


if __name__ == "__main__":
    sys.exit(main())
