"""`zsdeconvnet psf`: the point spread function, simulated, read or measured on beads."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any, Literal

from ...io.image_files import read_image
from ...io.tiff_tags import voxel_size_of
from ...psf.psf import PSF
from ...utils.files import check_writable
from ..console import Console
from .files import given
from .summaries import psf_facts, show_psf

MICROSCOPE = (
    *("refractive_index", "modality", "excitation_wavelength", "excitation_na"),
    *("pinhole", "sheet_thickness"),
)
"""Options that say more of a microscope than its aperture and wavelength."""


def simulate(arguments: argparse.Namespace, console: Console) -> None:
    """Simulate a PSF."""
    psf = PSF.simulate(
        na=arguments.na,
        wavelength=arguments.wavelength,
        pixel_size=arguments.pixel_size,
        **given(arguments, *MICROSCOPE, "axial_step", "planes", "stack"),
    )
    _finish(psf, arguments, console)


def read(arguments: argparse.Namespace, console: Console) -> None:
    """Read a PSF from a file."""
    plane = plane_of(arguments.focus, arguments.plane)
    psf = PSF.read(arguments.file, arguments.voxel_size, plane=plane, axes=arguments.axes)
    _finish(psf, arguments, console)


def beads(arguments: argparse.Namespace, console: Console) -> None:
    """Measure a PSF on beads."""
    image = read_image(arguments.file)
    if arguments.axes or image.axes == "TYX":
        # A stack whose pages are not explained is one of planes here, not of frames.
        axes = (arguments.axes or "ZYX").upper()
        size, _ = voxel_size_of(image.steps, axes)
        image = replace(image, axes=axes, voxel_size=size)
    else:
        for note in image.notes:
            console.warn(note)
    psf = PSF.from_beads(
        image, arguments.voxel_size, diameter=arguments.diameter, size=arguments.size
    )
    _finish(psf, arguments, console)


def _finish(psf: PSF, arguments: argparse.Namespace, console: Console) -> None:
    if arguments.output:
        check_writable(arguments.output)
    if arguments.resample is not None:
        psf = psf.resampled(arguments.resample)
    show_psf(psf, console)
    if arguments.output:
        psf.write(arguments.output)
        console.say(f"Written to {arguments.output}.")
    facts: dict[str, Any] = {**psf_facts(psf), "file": arguments.output}
    console.result(facts)


def plane_of(focus: bool, index: int | None) -> int | Literal["focus"] | None:
    """Join the two options that choose a plane, of which at most one is given."""
    return "focus" if focus else index
