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
    _add_run(commands)
    _add_calibrate(commands)
    _add_psf(commands)
    _add_train(commands)
    _add_predict(commands)
    _add_verdict(commands)
    _add_sim(commands)
    _add_info(commands)
    _add_repeat(commands)
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
        "Simulate an image, a volume or raw SIM and take it all the way, with a score table.",
    )
    scene = parser.add_mutually_exclusive_group()
    scene.add_argument(
        "--3d", dest="volume", action="store_true", help="a widefield volume in place of an image"
    )
    scene.add_argument(
        "--sim",
        dest="command",
        action="store_const",
        const="demo.sim.run_sim_demo",
        help="raw structured illumination in place of an image",
    )
    parser.add_argument(
        *("-o", "--output"),
        metavar="FOLDER",
        help="for all that is written (zsdeconvnet-demo, with -3d or -sim behind it)",
    )
    parser.add_argument(
        "--size",
        type=values.whole,
        metavar="PIXELS",
        help="of the image (512, 192 in 3D, 256 of SIM)",
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


def _add_run(commands: _Commands) -> None:
    parser = _add(
        commands,
        "run",
        "commands.run.run",
        "Take one recording from start to finish: calibrate, train, deconvolve and judge.",
    )
    parser.add_argument("image", metavar="IMAGE", help="TIFF, MRC or .npy")
    parser.add_argument(
        "-o", "--output", default=".", metavar="OUT", help="a .tif, or a folder (this one)"
    )
    parser.add_argument(
        "--sim", action="store_true", help="the frames are raw 2D-SIM, 3 orientations x 3 phases"
    )
    _add_sets(parser)
    parser.add_argument("--model", metavar="MODEL", help="used as it is if it fits the recording")
    parser.add_argument(
        "--resume", metavar="CHECKPOINT", help="go on with a training that broke off or was stopped"
    )
    parser.add_argument("--no-verdict", action="store_true", help="leave the verdict out")
    _add_axes(parser)
    optics = parser.add_argument_group("optics: by default what the file says")
    optics.add_argument("--psf", metavar="FILE", help="TIFF, MRC or .npy, in place of the rest")
    _add_voxel_size(optics, "--psf-voxel-size", "of the PSF file, if it does not say")
    _add_psf_axes(optics, "--psf-axes")
    optics.add_argument("--na", type=values.positive, help="numerical aperture of the objective")
    optics.add_argument(
        "--wavelength", type=values.wavelength, metavar="UM", help="of emission, as in 0.525"
    )
    _add_microscope(optics)
    parser.add_argument(
        "--offset", type=values.number, metavar="COUNTS", help="counts without light, if known"
    )
    _add_excess_noise(parser)
    _add_camera_maps(parser)
    _add_out_of_focus(parser)
    _add_training(parser)


def _add_calibrate(commands: _Commands) -> None:
    parser = _add(
        commands,
        "calibrate",
        "commands.calibrate.calibrate",
        "Measure the camera's offset, gain and read variance from an image, a background "
        "region, a time series or a dark stack.",
    )
    parser.add_argument("image", metavar="IMAGE", help="TIFF, MRC or .npy")
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
    _add_excess_noise(parser)
    _add_camera_maps(parser)
    parser.add_argument(
        "--write-maps",
        metavar="FOLDER",
        help="of --dark: write offset and variance of each pixel, offset_map.tif and "
        "variance_map.tif",
    )
    parser.add_argument(
        "--na",
        type=values.positive,
        help="numerical aperture: with the wavelength it says which frequencies hold noise alone",
    )
    parser.add_argument(
        "--wavelength",
        type=values.wavelength,
        metavar="UM",
        help="emission wavelength, as in 0.525",
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
        type=values.wavelength,
        required=True,
        metavar="UM",
        help="emission, as in 0.525",
    )
    simulate.add_argument(
        "--pixel-size",
        type=values.length,
        required=True,
        metavar="UM",
        help="of the PSF: half of the camera's for a doubled grid, the camera's for a volume",
    )
    simulate.add_argument(
        "--axial-step", type=values.length, metavar="UM", help="between planes, for a 3D PSF"
    )
    simulate.add_argument(
        "--planes", type=values.whole, metavar="N", help="odd number, for a 3D PSF"
    )
    simulate.add_argument(
        "--stack",
        type=values.tile,
        metavar="Z,Y,X",
        help="voxels of the volume that a 3D PSF is for: it is made as deep and wide as that sees",
    )
    _add_microscope(simulate)

    read = _add(
        ways, "read", "commands.psf.read", "Read a PSF (TIFF, MRC or .npy), check and centre it."
    )
    read.add_argument("file", metavar="FILE")
    _add_voxel_size(read, "--voxel-size", "of the file, as in 0.3,0.1,0.1 (Z,Y,X)")
    _add_psf_axes(read, "--axes")
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
        "--size",
        type=values.whole,
        metavar="PIXELS",
        help="odd width of the crops; by default eight widths of a bead",
    )
    beads.add_argument(
        "--diameter",
        type=values.length,
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
    _add_psf_axes(psf, "--psf-axes")
    psf.add_argument(
        "--psf-plane", type=values.count, metavar="N", help="plane of a 3D PSF, from 0"
    )
    psf.add_argument("--psf-focus", action="store_true", help="plane in focus of a 3D PSF")
    psf.add_argument("--na", type=values.positive, help="numerical aperture of the objective")
    psf.add_argument(
        "--wavelength", type=values.wavelength, metavar="UM", help="of emission, as in 0.525"
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
    _add_excess_noise(noise)
    _add_camera_maps(noise)
    parser.add_argument(
        "--upsample",
        action=argparse.BooleanOptionalAction,
        help="give the output twice the pixels along Y and X; by default of images, not of volumes",
    )
    _add_out_of_focus(parser)
    _add_training(parser)
    parser.add_argument(
        "--start",
        metavar="prior|scratch|MODEL",
        help="what the weights begin with: those that simulated images have taught (default of "
        '"fast" for images), random ones, or those of a model, as of the frame, channel or '
        "sample before",
    )
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
    _add_camera_maps(parser.add_argument_group("camera: by default that of the model"))
    _add_device(parser)


def _add_sim(commands: _Commands) -> None:
    text = "Structured illumination (2D-SIM): find the patterns, reconstruct, train on raw frames."
    group = commands.add_parser("sim", help=text, description=text)
    ways = group.add_subparsers(required=True, metavar="WAY")

    estimate = _add(
        ways,
        "estimate",
        "commands.sim.estimate",
        "Find the illumination patterns of raw frames and say how sure they are.",
    )
    _add_raw(estimate)
    _add_patterns(estimate)
    _add_sim_offset(estimate.add_argument_group("camera"))
    estimate.add_argument(
        "--save",
        metavar="JSON",
        help="file for the patterns, for --patterns; of several recordings a folder",
    )

    reconstruct = _add(
        ways,
        "reconstruct",
        "commands.sim.reconstruct",
        "Reconstruct raw frames by a Wiener filter, on a grid of half their pixel.",
    )
    _add_raw(reconstruct)
    reconstruct.add_argument(
        *("-o", "--output"),
        required=True,
        metavar="OUT",
        help="a .tif for one recording, otherwise a folder; names end in _sim.tif",
    )
    reconstruct.add_argument(
        "--widefield", action="store_true", help="also write the mean of the frames, _widefield.tif"
    )
    _add_saved_patterns(reconstruct)
    _add_sim_offset(reconstruct.add_argument_group("camera"))
    _add_reconstruction(reconstruct)
    _add_device(reconstruct)

    train = _add(
        ways,
        "train",
        "commands.sim.train",
        "Train a model on a raw recording: two noisy reconstructions of it teach each other.",
    )
    train.add_argument("images", nargs=1, metavar="RAW", help="one recording or a time series")
    _add_pixels(train)
    _add_numbers_of_frames(train)
    train.add_argument(
        *("-o", "--output"),
        default="model.safetensors",
        metavar="MODEL",
        help="file to write (%(default)s)",
    )
    _add_saved_patterns(train)
    camera = train.add_argument_group("camera: what is not given is measured on the first image")
    _add_sim_offset(camera)
    camera.add_argument(
        "--gain",
        type=values.number_or_file,
        metavar="G",
        help="counts per electron, or a map of it (TIFF)",
    )
    camera.add_argument(
        "--read-variance",
        type=values.number_or_file,
        metavar="V",
        help="counts squared, or a map of it (TIFF)",
    )
    _add_reconstruction(train)
    _add_training(train)
    train.add_argument(
        "--resume", metavar="MODEL", help="go on with a training that was stopped and saved"
    )

    predict = _add(
        ways,
        "predict",
        "commands.sim.predict",
        "Deconvolve raw recordings with a model that was trained on raw frames.",
    )
    predict.add_argument("model", metavar="MODEL", help="file written by sim train")
    _add_raw_files(predict)
    predict.add_argument(
        *("-o", "--output"),
        required=True,
        metavar="OUT",
        help="a .tif for one recording, otherwise a folder; names end in _deconvolved.tif",
    )
    predict.add_argument(
        "--denoised", action="store_true", help="also write the denoised image, _denoised.tif"
    )
    predict.add_argument("--tile", type=values.tile, metavar="PIXELS", help="width of a tile")
    _add_sim_offset(predict.add_argument_group("camera"))
    _add_device(predict)


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
    _add_sets(parser)
    _add_pixel_rule(parser)


def _add_sets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sets",
        choices=("consecutive", "interleaved"),
        help="how raw SIM frames of several planes follow each other along one axis: all frames of "
        "a plane together, or all planes of a frame",
    )


def _add_numbers_of_frames(parser: argparse.ArgumentParser) -> None:
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
    _add_voxel_size(group, "--psf-voxel-size", "of the PSF file, if it does not say")
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


def _add_sim_offset(camera: argparse._ActionsContainer) -> None:
    camera.add_argument("--noise", metavar="JSON", help="file written by calibrate -o")
    camera.add_argument(
        "--offset",
        type=values.number_or_file,
        metavar="COUNTS",
        help="counts without light, or a map of them (TIFF)",
    )
    _add_background(camera)


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


def _add_info(commands: _Commands) -> None:
    parser = _add(
        commands, "info", "commands.info.info", "Say what is in a model, image, PSF or noise file."
    )
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--psf", action="store_true", help="the file holds a PSF")
    parser.add_argument(
        "--methods",
        action="store_true",
        help="of a model or a run record: the methods paragraph for a paper, with references",
    )


def _add_repeat(commands: _Commands) -> None:
    parser = _add(
        commands,
        "repeat",
        "commands.repeat.repeat",
        "Train and predict once more as a run record says, and compare the results to the bit.",
    )
    parser.add_argument(
        "record", metavar="RECORD", help="JSON written beside a result, or a model file"
    )
    parser.add_argument(
        "images",
        nargs="*",
        metavar="IMAGE",
        help="its images, if they are no longer where they were",
    )
    parser.add_argument(
        "--start",
        metavar="MODEL",
        help="the model that it began with, if that is no longer where it was",
    )
    parser.add_argument(
        *("-o", "--output"), required=True, metavar="FOLDER", help="for the model and the results"
    )


def _add_verdict(commands: _Commands) -> None:
    parser = _add(
        commands,
        "verdict",
        "commands.verdict.verdict",
        "Say how far the result of a model on an image can be believed, measure by measure.",
    )
    parser.add_argument(
        "image", metavar="IMAGE", help="the noisy recording, not a result; of SIM the raw frames"
    )
    parser.add_argument(
        *("-m", "--model"), required=True, metavar="MODEL", help="file written by train"
    )
    _add_axes(parser)
    parser.add_argument(
        "--frame", type=values.count, default=0, metavar="N", help="of a series, from 0"
    )
    parser.add_argument(
        "--second", metavar="IMAGE", help="another exposure of the same scene, for the resolution"
    )
    parser.add_argument(
        "--repeats",
        type=values.count,
        default=4,
        metavar="N",
        help="re-corruptions for the spread, an even number (%(default)d)",
    )
    parser.add_argument(
        "--maps", metavar="FOLDER", help="write z-map, spread and mean of the repeats as TIFF"
    )
    parser.add_argument(
        "--record",
        metavar="JSON",
        help="run record of the result, to which the verdict is added; made if there is none",
    )
    _add_camera_maps(parser.add_argument_group("camera: by default that of the record or model"))
    _add_device(parser)


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
        type=values.length,
        metavar="UM",
        help="along Y and X, if the file has it wrong or not at all",
    )
    parser.add_argument(
        "--axial-step", type=values.length, metavar="UM", help="the same along Z, of a volume"
    )
    _add_voxel_size(parser, "--voxel-size", "in place of those two, as in 0.3,0.1,0.1 (Z,Y,X)")
    parser.add_argument("--channel", type=values.count, metavar="N", help="channel to take, from 0")
    parser.add_argument(
        "--plane", type=values.count, metavar="N", help="plane (Z) to take, from 0, as an image"
    )
    _add_pixel_rule(parser)


def _add_pixel_rule(parser: argparse._ActionsContainer) -> None:
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


def _add_excess_noise(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--excess-noise",
        type=values.from_one_on,
        metavar="F2",
        help="square of the excess noise factor: 2 of an EMCCD that multiplies electrons",
    )


def _add_camera_maps(parser: argparse._ActionsContainer) -> None:
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


def _add_out_of_focus(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--out-of-focus",
        action="store_true",
        help="a widefield image of one plane of a thick sample: light from above and below the "
        "focal plane becomes a smooth background, which goes to a file of its own",
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


def _add_psf_axes(parser: argparse._ActionsContainer, name: str) -> None:
    parser.add_argument(
        name, metavar="LETTERS", help='of the PSF file, if their order is another, as in "YXZ"'
    )


def _add_training(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training")
    group.add_argument(
        "--preset", default="fast", help='"fast" (default), or "paper" for the published network'
    )
    group.add_argument(
        "--steps",
        type=values.whole,
        metavar="N",
        help="by default as many as are of use, and at most the preset's own",
    )
    group.add_argument(
        "--seed", type=values.count, metavar="N", help="the same seed, the same model"
    )
    _add_device(group)


def _add_device(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1 or mps")
