"""How images, noise models, PSFs and patterns are said in words, and in JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ...io.image import Image
from ...noise.noise_model import NoiseModel
from ...psf.psf import PSF
from ...sim.patterns import Patterns
from ..console import Console


def joined(numbers: Sequence[float]) -> str:
    """Say numbers along axes, as in "0.3 x 0.1 x 0.1"."""
    return " x ".join(f"{number:.4g}" for number in numbers)


def stated_voxel_size(image: Image) -> str:
    """Say the voxel size of an image, or "none"."""
    return "none" if image.voxel_size is None else f"{joined(image.voxel_size)} µm"


def show_noise(noise: NoiseModel, console: Console) -> None:
    """Print a noise model as three lines, its origin and its warnings."""
    for what, value, error, unit in (
        ("offset", noise.offset, noise.offset_error, "counts"),
        ("gain", noise.gain, noise.gain_error, "counts per electron"),
        ("read variance", noise.read_variance, noise.read_variance_error, "counts squared"),
    ):
        number = "not measured" if value is None else f"{value:.4g}"
        spread = "" if error is None or value is None else f" +/- {error:.2g}"
        console.say(f"  {what:<14} {number}{spread}" + (f" {unit}" if value is not None else ""))
    console.say(f"  from: {noise.source}")
    for warning in noise.warnings:
        console.warn(warning)


def show_psf(psf: PSF, console: Console) -> None:
    """Print where a PSF comes from, its grid, widths and cutoff, and its warnings."""
    unit = psf.unit.replace("um", "µm")
    steps = "voxel size not known" if psf.voxel_size is None else f"{joined(psf.voxel_size)} µm"
    console.say(f"PSF: {psf.source}")
    console.say(f"  grid    {joined(psf.array.shape)} ({psf.axes}), {steps}")
    console.say(f"  FWHM    {joined(psf.fwhm)} {unit}")
    console.say(f"  cutoff  {psf.otf_cutoff:.4g} cycles per {unit.rstrip('s')}")
    for warning in psf.warnings:
        console.warn(warning)


def psf_facts(psf: PSF) -> dict[str, Any]:
    """Collect what `show_psf` prints, for JSON."""
    return {
        "kind": "psf",
        "source": psf.source,
        "axes": psf.axes,
        "shape": list(psf.array.shape),
        "voxel_size_um": psf.voxel_size,
        "unit": psf.unit,
        "fwhm": list(psf.fwhm),
        "cutoff_per_unit": psf.otf_cutoff,
    }


def show_patterns(patterns: Patterns, name: str, console: Console) -> None:
    """Print the report of patterns, with what speaks against them as warnings."""
    console.say(f"Patterns of {name}:")
    plain = tuple(replace(pattern, reason="") for pattern in patterns)
    for line in replace(patterns, orientations=plain, warnings=()).report().splitlines():
        console.say(f"  {line}")
    for warning in patterns.warnings:
        console.warn(warning)
