"""PSFs out of files and out of images of beads."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from ..io.image import Image
from ..utils.errors import InputError, Remedy
from . import beads, files
from . import grid as psf_grid
from .checks import NEGATIVE_SHARE, VoxelSize, checked_pixels, odd, voxel_sizes

if TYPE_CHECKING:
    from .psf import PSF


def read(
    cls: type[PSF],
    path: Path,
    voxel_size: VoxelSize | None,
    plane: int | Literal["focus"] | None,
    background: float | Literal["auto"],
    axes: str | None,
) -> PSF:
    """Read a PSF; the parameters are those of `PSF.read`."""
    file = files.read_psf_file(path)
    notes = file.notes
    if file.otf is not None:
        grid = None if voxel_size is None else _otf_grid(voxel_size, file.otf.shape[1])
        pixels, steps = files.psf_of_otf(file, grid)
        negative = -float(pixels.min()) / float(pixels.max())
        if negative > NEGATIVE_SHARE:
            notes += (
                f"The PSF of this OTF has values down to {-100 * negative:.2g} % of its peak, "
                "from noise in the OTF; they are set to zero.",
            )
        psf = cls.from_array(
            np.maximum(pixels, 0), steps, background=0.0, source=f"OTF in {path.name}"
        )
    else:
        pixels = np.asarray(file.array)
        lateral = None
        if voxel_size is None:
            given = file.voxel_size
        elif pixels.ndim == 3 and plane is not None and np.size(voxel_size) == 2:
            given, lateral = None, voxel_sizes(voxel_size, 2)
        else:
            given = voxel_sizes(voxel_size, pixels.ndim)
        try:
            psf = cls.from_array(pixels, given, background=background, source=path.name, axes=axes)
        except InputError as error:
            raise error.within(path) from error
        if lateral is not None:
            psf = replace(psf.plane(_index(plane)), voxel_size=lateral)
    if plane is not None and psf.array.ndim == 3:
        psf = psf.plane(_index(plane))
    if psf.voxel_size is None:
        notes += (
            f"{path.name} does not say its pixel size; it is taken to lie on the output "
            "grid, half of the raw pixel, unless you give its pixel size."
            if psf.array.ndim == 2
            else f"{path.name} does not say its voxel size; it is taken to lie on the "
            "output grid, at the stack's own axial step, unless you give its "
            "voxel size.",
        )
    return replace(psf, warnings=(*notes, *psf.warnings))


def average_of_beads(
    cls: type[PSF],
    image: ArrayLike | Image,
    voxel_size: VoxelSize | None,
    diameter: float | None,
    size: int | None,
) -> PSF:
    """Average the beads in an image; the parameters are those of `PSF.from_beads`."""
    if isinstance(image, Image):
        if "T" in image.axes or "C" in image.axes:
            raise InputError(
                "beads-axes",
                f"{image.name or 'The image'} has the axes {', '.join(image.axes)}; give the "
                "beads of a single channel and time point.",
            )
        voxel_size = image.voxel_size if voxel_size is None else voxel_size
        image = image.data
    pixels = np.asarray(image)
    values = checked_pixels(pixels)
    if voxel_size is None:
        raise InputError(
            "voxel-size-unknown",
            "The voxel size of the bead image is not known",
            Remedy("voxel-size", ", ".join("zyx"[-values.ndim :])),
        )
    steps = voxel_sizes(voxel_size, values.ndim)
    average = beads.average_beads(
        pixels.reshape(values.shape), size=None if size is None else odd(size, "The size")
    )
    count = len(average.used)
    how = "fit to" if average.fitted else "mean of"
    source = f"{how} {count} beads (left out: {beads.in_words(average.rejected)})"
    cleaned = psf_grid.without_background(average.array, None, recorded=True)
    psf = cls.finished(cleaned, steps, source)
    warnings = list(psf.warnings)
    if average.fitted:
        warnings.append(
            f"No bead stands alone: {count} near one another or the border were fitted "
            "together, each where it is whole; look at the PSF before it is used."
        )
    if count < 5:
        warnings.append(
            f"The PSF is the {how} only {count} bead(s); ten or more average out their noise "
            "and differences."
        )
    if diameter is None:
        return replace(psf, warnings=tuple(warnings))

    (diameter,) = voxel_sizes([diameter], 1, "The diameter")
    width = min(step for step in psf.fwhm if not math.isnan(step))
    if diameter > width:
        warnings.append(
            f"The beads of {1000 * diameter:g} nm are wider than their image of "
            f"{1000 * width:.0f} nm; check the diameter."
        )
    sharp = psf_grid.without_ball(psf.array.astype(float), steps, diameter)
    return replace(
        psf,
        array=psf_grid.normalised(sharp),
        source=f"{source}, corrected for a diameter of {1000 * diameter:g} nm",
        warnings=tuple(warnings),
    )


def _otf_grid(voxel_size: VoxelSize, axial_samples: int) -> tuple[float, ...]:
    """Two values ask for the plane in focus; one value for what the OTF has."""
    count = np.size(voxel_size)
    if count == 1:
        count = 2 if axial_samples == 1 else 3
    return voxel_sizes(voxel_size, min(max(count, 2), 3))


def _index(plane: int | Literal["focus"] | None) -> int | None:
    if plane is None or plane == "focus":
        return None
    if isinstance(plane, int):
        return plane
    raise InputError(
        "psf-plane-missing", f"The plane is {plane!r}; give focus or the index of a plane."
    )
