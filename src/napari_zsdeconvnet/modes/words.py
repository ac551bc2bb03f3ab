"""Sentences on a PSF, a camera and patterns, and comparisons of them, that modes share."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
    return same_numbers(one.fwhm, other.fwhm)


def same_numbers(one: Sequence[float], other: Sequence[float]) -> bool:
    """Tell whether lengths of the optics are as many and the same, within `SAME_WIDTH`."""
    return len(one) == len(other) and all(
        math.isclose(a, b, rel_tol=SAME_WIDTH) or (math.isnan(a) and math.isnan(b))
        for a, b in zip(one, other, strict=True)
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
    *axial, _, across = psf.fwhm
    if psf.voxel_size:
        said = f"{1000 * across:.0f} nm wide"
        said += "".join(f", {1000 * z:.0f} nm along z" for z in axial if not math.isnan(z))
    else:
        said = f"{across:.3g} output pixels wide"
        said += "".join(f", {z:.3g} planes along z" for z in axial if not math.isnan(z))
    return f"{said}: {psf.source}."


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
