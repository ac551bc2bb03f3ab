"""What can be asked for on the command line: the options of every command.

Nothing heavy is loaded here, so that `--help` answers at once.
"""

from __future__ import annotations

from .. import __version__
from . import argument_values as values
from .options import (
    Commands,
    add_axes,
    add_background,
    add_camera_maps,
    add_cluster,
    add_command,
    add_damping,
    add_device,
    add_excess_noise,
    add_force,
    add_images,
    add_level_and_scene,
    add_microscope,
    add_mode,
    add_psf_axes,
    add_sets,
    add_training,
    add_voxel_size,
)
from .parsers import Parser, add_general, commands_of
from .sim_arguments import add_sim, add_sim_offset
from .training_arguments import add_run, add_train

EXAMPLES = (
    "zsdeconvnet run cell.tif --na 1.4 --wavelength 0.525 -o results/",
    "zsdeconvnet predict model.safetensors cell_*.tif -o results/",
    "zsdeconvnet demo --steps 0",
)
_ABOUT = """Each command explains itself: zsdeconvnet run --help
The method: https://doi.org/10.1038/s41467-024-48575-9"""


def parser() -> Parser:
    """Make the parser of the whole command; what it gives has `command`, "module.function".

    Where no command is named, `command` is missing and `shown` is the parser whose help is due.
    """
    root = Parser(
        prog="zsdeconvnet",
        text="Denoise and deconvolve fluorescence images with a network that learns from the noisy "
        "image alone. Lengths are in micrometres, intensities in camera counts.",
        epilog="\n".join(["examples:", *(f"  {line}" for line in EXAMPLES), "", _ABOUT]),
    )
    commands = root.add_subparsers(title="commands", metavar="COMMAND")
    root.set_defaults(shown=root)
    add_run(commands)
    add_train(commands)
    _add_predict(commands)
    _add_verdict(commands)
    _add_repeat(commands)
    _add_calibrate(commands)
    _add_psf(commands)
    add_sim(commands)
    _add_export(commands)
    _add_info(commands)
    _add_devices(commands)
    _add_completion(commands)
    _add_demo(commands)
    for command in commands_of(root):
        add_general(command)
    root.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return root


def _add_demo(commands: Commands) -> None:
    parser = add_command(
        commands,
        "demo",
        "demo.run.run_demo",
        "Simulate an image, a volume or raw SIM and take it all the way, with a score table.",
        "zsdeconvnet demo",
        "zsdeconvnet demo --steps 0",
        "zsdeconvnet demo --3d --photons 30",
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


def _add_calibrate(commands: Commands) -> None:
    parser = add_command(
        commands,
        "calibrate",
        "commands.calibrate.calibrate",
        "Measure the camera's offset, gain and read variance from an image, a background "
        "region, a time series or a dark stack.",
        "zsdeconvnet calibrate cell.tif --na 1.4 --wavelength 0.525",
        "zsdeconvnet calibrate cell.tif --background 0:64,400:500",
        "zsdeconvnet calibrate dark.tif --dark -o noise.json",
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
    group = commands.add_parser("psf", help=text, text=text)
    group.set_defaults(shown=group)
    ways = group.add_subparsers(metavar="WAY")

    simulate = add_command(
        ways,
        "simulate",
        "commands.psf.simulate",
        "Simulate the PSF of a widefield, confocal or light-sheet microscope.",
        "zsdeconvnet psf simulate --na 1.4 --wavelength 0.525 --pixel-size 0.0325 -o psf.tif",
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
        ways,
        "read",
        "commands.psf.read",
        "Read a PSF (TIFF, MRC or .npy), check and centre it.",
        "zsdeconvnet psf read measured.tif --voxel-size 0.1,0.065,0.065 --focus -o psf.tif",
    )
    read.add_argument("file", metavar="FILE")
    add_voxel_size(read, "--voxel-size", "of the file, as in 0.3,0.1,0.1 (Z,Y,X)")
    add_psf_axes(read, "--axes")
    plane = read.add_mutually_exclusive_group()
    plane.add_argument("--plane", type=values.count, metavar="N", help="plane of a 3D PSF, from 0")
    plane.add_argument("--focus", action="store_true", help="plane in focus of a 3D PSF")

    beads = add_command(
        ways,
        "beads",
        "commands.psf.beads",
        "Measure the PSF on an image or a stack of beads.",
        "zsdeconvnet psf beads beads.tif --voxel-size 0.065 --diameter 0.1 -o psf.tif",
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


def _add_predict(commands: Commands) -> None:
    parser = add_command(
        commands,
        "predict",
        "commands.predict.predict",
        "Deconvolve images, volumes or raw SIM frames with a trained model.",
        "zsdeconvnet predict model.safetensors cell.tif -o cell_deconvolved.tif",
        'zsdeconvnet predict model.safetensors "cells/*.tif" -o results/ --denoised',
    )
    parser.add_argument("model", metavar="MODEL", help="file written by train")
    add_images(parser)
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help="a .tif or .ome.zarr for one image, otherwise a folder; names end in _deconvolved.tif",
    )
    add_force(parser)
    add_mode(parser)
    add_axes(parser)
    add_cluster(parser)
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


def _add_export(commands: Commands) -> None:
    parser = add_command(
        commands,
        "export",
        "commands.export.export",
        "Write a model of images as ONNX, torch.export, TorchScript or a package of bioimage.io.",
        "zsdeconvnet export model.safetensors -o model.onnx",
        'zsdeconvnet export model.safetensors -o cells.zip --author "Ada Lovelace"',
    )
    parser.add_argument("model", metavar="MODEL", help="file written by train")
    parser.add_argument(
        *("-o", "--output"),
        required=True,
        metavar="OUT",
        help=".onnx, .pt2 (torch.export), .pt (TorchScript) or .zip (bioimage.io)",
    )
    add_force(parser)
    package = parser.add_argument_group("package of bioimage.io (.zip)")
    package.add_argument("--name", metavar="TITLE", help="by default the name of the file")
    package.add_argument(
        "--author", dest="authors", action="append", metavar="NAME", help="once for each author"
    )
    package.add_argument(
        "--licence", metavar="SPDX", help="as in CC-BY-4.0, which is taken by default"
    )


def _add_info(commands: Commands) -> None:
    parser = add_command(
        commands,
        "info",
        "commands.info.info",
        "Say what is in a model, image, PSF or noise file.",
        "zsdeconvnet info cell.tif",
        "zsdeconvnet info cell_deconvolved.json --methods",
    )
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--psf", action="store_true", help="the file holds a PSF")
    add_level_and_scene(parser)
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
        "zsdeconvnet repeat cell_deconvolved.json -o again/",
        "zsdeconvnet repeat model.safetensors moved/cell.tif -o again/",
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
        "zsdeconvnet devices",
    )


def _add_completion(commands: Commands) -> None:
    parser = add_command(
        commands,
        "completion",
        "commands.completion.completion",
        "Print the script by which a shell completes commands, options and files.",
        "zsdeconvnet completion bash > ~/.local/share/bash-completion/completions/zsdeconvnet",
        "zsdeconvnet completion zsh > ~/.zfunc/_zsdeconvnet",
    )
    parser.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "tcsh"))


def _add_verdict(commands: Commands) -> None:
    parser = add_command(
        commands,
        "verdict",
        "commands.verdict.verdict",
        "Say how far the result of a model on an image can be believed, measure by measure.",
        "zsdeconvnet verdict cell.tif -m model.safetensors",
        "zsdeconvnet verdict cell.tif -m model.safetensors --strict --json",
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
