"""Sentences on a PSF, a camera and patterns, and comparisons of them, that modes share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..noise.camera_maps import Camera, CameraMaps, typical_of

if TYPE_CHECKING:
    from ..model.model import Model
    from ..psf.psf import PSF
    from ..sim.patterns import Patterns

SAME_WIDTH = 0.05
"""Relative difference of two PSFs' widths from which a model is for another microscope."""


def same_width(one: PSF, other: PSF) -> bool:
    """Tell whether two PSFs are as wide, within `SAME_WIDTH`."""
    if one.array.ndim != other.array.ndim or one.unit != other.unit:
        return False
    return all(
        math.isclose(a, b, rel_tol=SAME_WIDTH) or (math.isnan(a) and math.isnan(b))
        for a, b in zip(one.fwhm, other.fwhm, strict=True)
    )


def same_camera(model: Model, camera: Camera) -> bool:
    """Compare what both know; a gain that is measured while training is of neither."""
    one, other = model.noise, typical_of(camera)
    maps = camera if isinstance(camera, CameraMaps) else None
    if (maps is None) != (model.maps is None):
        return False
    if maps is not None and model.maps is not None:
        there = model.maps.to_arrays()
        if not all(np.array_equal(there[n], pixels) for n, pixels in maps.to_arrays().items()):
            return False
    names = (
        "excess_noise",
        "offset",
        "read_variance",
        *(["gain"] if one.gain and other.gain else []),
    )
    return all(
        math.isclose(getattr(one, name), getattr(other, name), rel_tol=1e-6) for name in names
    )


def psf_words(psf: PSF) -> str:
    """Say how wide a PSF is and where it comes from."""
    widths = [1000 * width if psf.voxel_size else width for width in reversed(psf.fwhm)]
    unit = "nm" if psf.voxel_size else "output pixels"
    lateral = f"{widths[0]:.0f}" if unit == "nm" else f"{widths[0]:.3g}"
    axial = f", {widths[2]:.0f} along z" if len(widths) == 3 and not math.isnan(widths[2]) else ""
    return f"{lateral} {unit} wide{axial}: {psf.source}."


def pattern_words(patterns: Patterns) -> str:
    """Say which patterns were found."""
    periods = ", ".join(f"{1000 * pattern.period:.0f}" for pattern in patterns.found)
    depths = ", ".join(f"{pattern.depth:.2f}" for pattern in patterns.found)
    return (
        f"{len(patterns.found)} of {len(patterns)} orientations found, {patterns.order} by "
        f"{patterns.order}: periods {periods} nm, depths {depths}."
    )


def sentence(words: str) -> str:
    """Begin with a capital letter."""
    return words[:1].upper() + words[1:]
