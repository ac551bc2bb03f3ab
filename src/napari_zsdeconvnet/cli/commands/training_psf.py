"""The PSF that a training is given: a file, or the words of an objective."""

from __future__ import annotations

import argparse
from dataclasses import replace

from ...io.acquisition import Optics
from ...io.image import Image
from ...psf.psf import PSF
from ...utils.errors import InputError
from ..console import Console
from .files import given
from .psf import MICROSCOPE, plane_of
from .summaries import joined


def psf_for_training(arguments: argparse.Namespace, image: Image, console: Console) -> PSF:
    """Read or simulate the PSF for images like this one.

    Parameters
    ----------
    arguments
        The command line of `train`.
    image
        One of the images, axes ([T,] [Z,] Y, X).
    console
        Where it is said what had to be assumed.

    Raises
    ------
    InputError
        If there is no PSF, or two, or it does not go with the image.
    """
    volume = "Z" in image.axes
    grid = _output_grid(arguments, image.voxel_size, volume)
    if arguments.psf:
        return _from_file(arguments, image, grid, console)
    if arguments.na is None and arguments.wavelength is None:
        raise InputError(
            "psf-unknown",
            "No point spread function is given; name a file with --psf, or the objective with "
            "--na and --wavelength.",
        )
    if arguments.na is None or arguments.wavelength is None:
        missing = "--na" if arguments.na is None else "--wavelength"
        raise InputError(
            "option-missing",
            f"The objective is given without {missing}; add it, or name a --psf file.",
        )
    if grid is None:
        size, remedy = ("voxel size", "--voxel-size Z,Y,X") if volume else _PIXEL_SIZE
        raise InputError(
            "voxel-size-unknown",
            f"The image has no {size}, without which the PSF cannot be computed; give it "
            f"with {remedy}, in micrometres.",
        )
    return PSF.simulate(
        na=arguments.na,
        wavelength=arguments.wavelength,
        pixel_size=grid[-1],
        axial_step=grid[0] if volume else None,
        stack=_on_output_grid(arguments, image) if volume else None,
        **given(arguments, *MICROSCOPE),
    )


def with_recorded(
    arguments: argparse.Namespace, image: Image, console: Console
) -> argparse.Namespace:
    """Take from the image's file what it says of the optics and the command line does not.

    Parameters
    ----------
    arguments
        The command line of `train`; where it names a PSF, nothing is taken.
    image
        One of the images.
    console
        Where it is said what was taken.

    Returns
    -------
    argparse.Namespace
        The command line as if it had been typed.
    """
    if arguments.psf:
        return arguments
    known = image.optics[0] if len(image.optics) == 1 else Optics()
    volume = "Z" in image.axes
    taken = {
        name: getattr(known, name)
        for name in ("na", "wavelength", "refractive_index")
        if getattr(arguments, name) is None
        and getattr(known, name) is not None
        and (volume or name != "refractive_index")
    }
    if taken:
        words = ", ".join(f"{_WORDS[name]} {value:g}" for name, value in taken.items())
        console.say(f"Taken from {image.name}: {words}.")
    if known.modality in _OPTIONS and arguments.modality is None:
        console.warn(
            f"{image.name} says that it is of a {known.modality} microscope, and the PSF is "
            f"simulated for widefield, which is wider; {_OPTIONS[known.modality]}."
        )
    return argparse.Namespace(**{**vars(arguments), **taken})


_WORDS = {
    "na": "NA",
    "wavelength": "emission in µm",
    "refractive_index": "refractive index",
}
_OPTIONS = {
    "confocal": "give --modality confocal with --excitation-wavelength and --pinhole, or a --psf",
    "light-sheet": "give --modality light-sheet with --sheet-thickness, or a --psf",
}
_PIXEL_SIZE = ("pixel size", "--pixel-size")


def _output_grid(
    arguments: argparse.Namespace, voxel_size: tuple[float, ...] | None, volume: bool
) -> tuple[float, ...] | None:
    """Voxel size of the output: laterally half of the image's where it is up-sampled."""
    if voxel_size is None:
        return None
    finer = _finer(arguments, volume)
    *axial, height, width = voxel_size
    return (*axial, height / (1 + finer), width / (1 + finer))


def _on_output_grid(arguments: argparse.Namespace, image: Image) -> tuple[int, ...]:
    """Shape of a stack on the grid of the output."""
    times = 1 + _finer(arguments, volume=True)
    planes, rows, columns = image.data.shape[-3:]
    return planes, times * rows, times * columns


def _finer(arguments: argparse.Namespace, volume: bool) -> bool:
    return not volume if arguments.upsample is None else bool(arguments.upsample)


def _from_file(
    arguments: argparse.Namespace,
    image: Image,
    grid: tuple[float, ...] | None,
    console: Console,
) -> PSF:
    if arguments.na is not None or arguments.wavelength is not None:
        raise InputError(
            "options-exclude-each-other",
            "The PSF is given both as a file and by the objective; leave out --psf, or --na "
            "and --wavelength.",
        )
    from ...training.data import check_dimensions

    plane = plane_of(arguments.psf_focus, arguments.psf_plane)
    psf = PSF.read(arguments.psf, arguments.psf_voxel_size, plane=plane, axes=arguments.psf_axes)
    volume = "Z" in image.axes
    check_dimensions(psf, 3 if volume else 2)
    if psf.voxel_size is None and grid is not None:
        console.warn(
            f"{arguments.psf} has no voxel size; it is taken to be on the output grid, "
            f"{joined(grid)} µm; if it is not, say --psf-voxel-size."
        )
        return replace(psf, voxel_size=grid)
    if grid is None:
        size, remedy = ("voxel size", "--voxel-size") if volume else _PIXEL_SIZE
        console.warn(
            f"The image has no {size}; {arguments.psf} is taken to be on the output grid; if it "
            f"is not, say {remedy}."
        )
    return psf
