"""What can be asked for on the command line: the options of every command.

Nothing heavy is loaded here, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse

from .. import __version__
from . import argument_values as values
from .options import (
    Commands,
    add_axes,
    add_background,
    add_camera_maps,
    add_command,
    add_damping,
    add_device,
    add_excess_noise,
    add_images,
    add_microscope,
    add_mode,
    add_out_of_focus,
    add_psf_axes,
    add_sets,
    add_training,
    add_voxel_size,
)
from .sim_arguments import add_raw_sim, add_sim, add_sim_offset


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
    add_sim(commands)
    _add_info(commands)
    _add_repeat(commands)
    _add_devices(commands)
    return root


def _add_demo(commands: Commands) -> None:
    parser = add_command(
        commands,
        "demo",
        "demo.run.run_demo",
        "Simulate an image, a volume or raw SIM and take it all the way, with a score table.",
    )
    parser.set_defaults(scene="image")
    scene = parser.add_mutually_exclusive_group()
    scene.add_argument(
        "--3d", dest="scene", action="store_const", const="volume", help="a widefield volume"
    )
    scene.add_argument(
        "--sim",
        dest="scene",
        action="store_const",
        const="sim",
        help="raw structured illumination",
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
    add_training(parser)


def _add_run(commands: Commands) -> None:
    parser = add_command(
        commands,
        "run",
        "commands.run.run",
        "Take one recording from start to finish: calibrate, train, deconvolve and judge.",
    )
    parser.add_argument("image", metavar="IMAGE", help="TIFF, MRC or .npy")
    parser.add_argument(
        "-o", "--output", default=".", metavar="OUT", help="a .tif, or a folder (this one)"
    )
    add_mode(parser)
    add_sets(parser)
    parser.add_argument("--model", metavar="MODEL", help="used as it is if it fits the recording")
    parser.add_argument(
        "--resume", metavar="CHECKPOINT", help="go on with a training that broke off or was stopped"
    )
    parser.add_argument("--no-verdict", action="store_true", help="leave the verdict out")
    add_axes(parser)
    optics = parser.add_argument_group("optics: by default what the file says")
    optics.add_argument("--psf", metavar="FILE", help="TIFF, MRC or .npy, in place of the rest")
    add_voxel_size(optics, "--psf-voxel-size", "of the PSF file, if it does not say")
    add_psf_axes(optics, "--psf-axes")
    optics.add_argument("--na", type=values.positive, help="numerical aperture of the objective")
    optics.add_argument(
        "--wavelength", type=values.wavelength, metavar="UM", help="of emission, as in 0.525"
    )
    add_microscope(optics)
    parser.add_argument(
        "--offset", type=values.number, metavar="COUNTS", help="counts without light, if known"
    )
    add_excess_noise(parser)
    add_camera_maps(parser)
    add_out_of_focus(parser)
    add_training(parser)


def _add_calibrate(commands: Commands) -> None:
    parser = add_command(
        commands,
        "calibrate",
        "commands.calibrate.calibrate",
        "Measure the camera's offset, gain and read variance from an image, a background "
        "region, a time series or a dark stack.",
    )
    parser.add_argument("image", metavar="IMAGE", help="TIFF, MRC or .npy")
    way = parser.add_mutually_exclusive_group()
    add_background(way)
    way.add_argument(
        "--dark", action="store_true", help="IMAGE is a stack recorded without any light"
    )
    way.add_argument(
        "--series", action="store_true", help="IMAGE is a time series of a scene at rest"
    )
    add_axes(parser)
    parser.add_argument(
        "--offset", type=values.number, metavar="COUNTS", help="offset, if it is known"
    )
    parser.add_argument("--gain", type=values.positive, metavar="G", help="gain, if it is known")
    add_excess_noise(parser)
    add_camera_maps(parser)
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


def _add_psf(commands: Commands) -> None:
    text = "Make the point spread function: simulated, read from a file or measured on beads."
    group = commands.add_parser("psf", help=text, description=text)
    ways = group.add_subparsers(required=True, metavar="WAY")

    simulate = add_command(
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
    add_microscope(simulate)

    read = add_command(
        ways, "read", "commands.psf.read", "Read a PSF (TIFF, MRC or .npy), check and centre it."
    )
    read.add_argument("file", metavar="FILE")
    add_voxel_size(read, "--voxel-size", "of the file, as in 0.3,0.1,0.1 (Z,Y,X)")
    add_psf_axes(read, "--axes")
    plane = read.add_mutually_exclusive_group()
    plane.add_argument("--plane", type=values.count, metavar="N", help="plane of a 3D PSF, from 0")
    plane.add_argument("--focus", action="store_true", help="plane in focus of a 3D PSF")

    beads = add_command(
        ways, "beads", "commands.psf.beads", "Measure the PSF on an image or a stack of beads."
    )
    beads.add_argument("file", metavar="IMAGE")
    add_voxel_size(beads, "--voxel-size", "of the image, as in 0.3,0.1,0.1 (Z,Y,X)")
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
        add_voxel_size(parser, "--resample", "of the PSF to be written")
        parser.add_argument("-o", "--output", metavar="TIF", help="file to write the PSF to")


def _add_train(commands: Commands) -> None:
    parser = add_command(
        commands,
        "train",
        "commands.train.train",
        "Train a model on noisy images, volumes or raw SIM frames and save it.",
    )
    add_images(parser)
    parser.add_argument(
        *("-o", "--output"),
        default="model.safetensors",
        metavar="MODEL",
        help="file to write (%(default)s)",
    )
    add_mode(parser)
    add_axes(parser)
    psf = parser.add_argument_group("point spread function: a file, or the objective")
    psf.add_argument("--psf", metavar="FILE", help="TIFF, MRC or .npy")
    add_voxel_size(psf, "--psf-voxel-size", "of the PSF file, if it does not say")
    add_psf_axes(psf, "--psf-axes")
    psf.add_argument(
        "--psf-plane", type=values.count, metavar="N", help="plane of a 3D PSF, from 0"
    )
    psf.add_argument("--psf-focus", action="store_true", help="plane in focus of a 3D PSF")
    psf.add_argument("--na", type=values.positive, help="numerical aperture of the objective")
    psf.add_argument(
        "--wavelength", type=values.wavelength, metavar="UM", help="of emission, as in 0.525"
    )
    add_microscope(psf)
    noise = parser.add_argument_group("noise: what is not given is measured on the first image")
    noise.add_argument("--noise", metavar="JSON", help="file written by calibrate -o")
    for name, unit, what in (
        ("offset", "COUNTS", "counts without light"),
        ("gain", "G", "counts per electron"),
        ("read-variance", "V", "counts squared"),
    ):
        noise.add_argument(
            f"--{name}", type=values.number_or_file, metavar=unit, help=f"{what}, or a map of them"
        )
    add_background(noise)
    add_excess_noise(noise)
    add_camera_maps(noise)
    parser.add_argument(
        "--upsample",
        action=argparse.BooleanOptionalAction,
        help="give the output twice the pixels along Y and X; by default of images, not of volumes",
    )
    add_out_of_focus(parser)
    add_raw_sim(parser)
    add_training(parser)
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


def _add_predict(commands: Commands) -> None:
    parser = add_command(
        commands,
        "predict",
        "commands.predict.predict",
        "Deconvolve images, volumes or raw SIM frames with a trained model.",
    )
    parser.add_argument("model", metavar="MODEL", help="file written by train")
    add_images(parser)
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help="a .tif for one image, otherwise a folder; names end in _deconvolved.tif",
    )
    add_mode(parser)
    add_axes(parser)
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
    add_damping(parser)
    camera = parser.add_argument_group("camera: by default that of the model")
    add_camera_maps(camera)
    add_sim_offset(camera)
    add_sets(parser)
    add_device(parser)


def _add_info(commands: Commands) -> None:
    parser = add_command(
        commands, "info", "commands.info.info", "Say what is in a model, image, PSF or noise file."
    )
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--psf", action="store_true", help="the file holds a PSF")
    parser.add_argument(
        "--level", type=values.count, metavar="N", help="of an OME-Zarr pyramid, 0 is the finest"
    )
    parser.add_argument(
        "--methods",
        action="store_true",
        help="of a model or a run record: the methods paragraph for a paper, with references",
    )


def _add_repeat(commands: Commands) -> None:
    parser = add_command(
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


def _add_devices(commands: Commands) -> None:
    add_command(
        commands,
        "devices",
        "commands.devices.devices",
        "List the GPUs and the processor that --device can name.",
    )


def _add_verdict(commands: Commands) -> None:
    parser = add_command(
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
    add_axes(parser)
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
        "--strict", action="store_true", help="end with exit code 3 where a measure failed"
    )
    parser.add_argument(
        "--record",
        metavar="JSON",
        help="run record of the result, to which the verdict is added; made if there is none",
    )
    add_camera_maps(parser.add_argument_group("camera: by default that of the record or model"))
    add_device(parser)
