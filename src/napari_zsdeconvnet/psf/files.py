"""Reading a PSF's pixels, or a radial OTF, from a file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ..io import mrc
from ..io.axes import about
from ..io.grid import nanometres
from ..io.image_files import read_image
from ..io.mrc import read_mrc
from ..utils.errors import InputError
from . import diffraction

IMAGE_SUFFIXES = (".tif", ".tiff", ".npy")
MRC_SUFFIXES = (*mrc.MRC_SUFFIXES, ".otf")
_MOST_ORDERS = 5  # of a SIM OTF, one section each; more sections make it a 3D OTF
_FEWEST_SAMPLES = 8  # along kr
_LARGEST_SIZE = 129


@dataclass(frozen=True)
class PSFFile:
    """What a file holds: an image of a point, or the OTF that stands for one.

    Attributes
    ----------
    array
        (Y, X) or (Z, Y, X), as it is in the file; None where `otf` is given.
    voxel_size
        Micrometres for each axis of `array`, None where the file does not say.
    otf
        Radially averaged OTF, (kr, kz) complex, 1 at zero.
    otf_steps
        Distance of its samples along kr and kz, cycles per micrometre.
    notes
        What had to be assumed, one sentence each.
    """

    array: NDArray[np.generic] | None
    voxel_size: tuple[float, ...] | None = None
    otf: NDArray[np.complex128] | None = None
    otf_steps: tuple[float, float] = (0.0, 0.0)
    notes: tuple[str, ...] = ()


def read_psf_file(path: str | os.PathLike[str]) -> PSFFile:
    """Read TIFF, .npy or MRC; complex MRC is taken for a radially averaged OTF."""
    path = Path(path)
    suffix = path.suffix.lower()
    if path.exists() and suffix not in (*IMAGE_SUFFIXES, *MRC_SUFFIXES):
        raise InputError(
            "file-kind",
            f"{path} is of a kind that holds no PSF here ({suffix or 'no suffix'}); "
            "give a TIFF, MRC or .npy file.",
        )
    if suffix in MRC_SUFFIXES and path.is_file():
        return _read_mrc(path)

    image = read_image(path)
    array = np.asarray(image.data).squeeze()
    if array.ndim not in (2, 3) or ("C" in image.axes and array.ndim == 3):
        raise InputError(
            "psf-file-axes",
            f"{path} has the axes {image.axes} of shape {image.data.shape}; a PSF is one image "
            "(Y, X) or one stack (Z, Y, X), so save a single channel and time point.",
            axes=image.axes,
        )
    notes = [note for note in image.notes if about(note) != "pages-as-time"]
    voxel_size = image.voxel_size and image.voxel_size[-array.ndim :]
    if "T" in image.axes and array.ndim == 3:
        notes.append(f"The {len(array)} pages of {path.name} are taken as planes along z.")
        # None where the file has no step between them.
        voxel_size = None if None in image.steps else cast("tuple[float, ...]", image.steps)
    return PSFFile(array, voxel_size, notes=tuple(notes))


def psf_of_otf(
    file: PSFFile, voxel_size: tuple[float, ...] | None
) -> tuple[NDArray[np.float64], tuple[float, ...]]:
    """Turn a radial OTF into a PSF, odd and not normalised, and give its voxel size in micrometres.

    (y, x) asks for the plane in focus, (z, y, x) for a volume; None takes the grid whose Nyquist
    frequencies are the OTF's ends. Raises InputError if a volume is asked of a 2D OTF.
    """
    assert file.otf is not None
    samples, axial = file.otf.shape
    radial_step, axial_step = file.otf_steps
    pixel = 1 / (2 * radial_step * (samples - 1))
    if voxel_size is None:
        voxel_size = (pixel, pixel) if axial == 1 else (1 / (axial * axial_step), pixel, pixel)
    if len(voxel_size) == 3 and axial == 1:
        raise InputError(
            "otf-without-axial-part",
            "The OTF is that of a plane and has no axial part; give a voxel size of two "
            "values, (y, x).",
        )
    # A sampled spectrum repeats its PSF: beyond half of the period stands the next one.
    lateral = 1 / (2 * radial_step)
    shape = [_odd_within(lateral, step) for step in voxel_size[-2:]]
    if len(voxel_size) == 3:
        shape.insert(0, _odd_within(1 / (2 * axial_step), voxel_size[0]))
    psf = diffraction.from_radial_otf(file.otf, file.otf_steps, voxel_size, tuple(shape))
    return psf, voxel_size


def _read_mrc(path: Path) -> PSFFile:
    file = read_mrc(path)
    data, voxel_size, notes = file.data, file.voxel_size, file.notes
    if np.iscomplexobj(data):
        return _radial_otf(data, file.spacing, path)
    data = data[0] if data.ndim == 3 and len(data) == 1 else data
    if data.ndim not in (2, 3):
        raise InputError(
            "psf-axes-count",
            f"{path} has {data.ndim} axes of shape {data.shape}; a PSF is one image (Y, X) or "
            "one stack (Z, Y, X).",
        )
    voxel_size = voxel_size and voxel_size[-data.ndim :]
    if voxel_size and not (np.isfinite(voxel_size[0]) and voxel_size[0] > 0):
        notes += (
            f"{path.name} gives a pixel of {nanometres(voxel_size[-1:])} without the step between "
            "planes; it is not used.",
        )
        voxel_size = None
    return PSFFile(data, voxel_size, notes=notes)


def _radial_otf(data: NDArray[np.generic], spacing: tuple[float, ...], path: Path) -> PSFFile:
    """Interpret a complex MRC as SIM engines write it: x is kz, y is kr, z the order.

    A 2D OTF has kr along x and one row. The header's cell lengths are the distances between
    samples in cycles per micrometre, not multiplied by their number.
    """
    sections = data[None] if data.ndim == 2 else data
    if sections.ndim != 3 or len(sections) > _MOST_ORDERS:
        raise InputError(
            "otf-damaged",
            f"{path} holds complex values of shape {data.shape}, which is no radially averaged "
            "OTF (kr, kz); average it over the angles or give the PSF itself.",
        )
    notes = []
    if len(sections) > 1:
        notes.append(
            f"{path.name} holds the OTFs of {len(sections)} orders; the first, that of "
            "widefield, is taken."
        )
    otf = sections[0].astype(complex)
    if otf.shape[0] == 1:
        otf, steps = otf.T, (spacing[2], 1.0)
    else:
        steps = (spacing[1], spacing[2])
    if otf.shape[0] < _FEWEST_SAMPLES or not np.isfinite(otf).all() or otf[0, 0] == 0:
        raise InputError(
            "otf-damaged",
            f"{path} holds {otf.shape[0]} radial samples that make no OTF (too few, not finite, "
            "or zero at the origin); export it again.",
        )
    if not all(np.isfinite(step) and step > 0 for step in steps):
        raise InputError(
            "otf-damaged",
            f"{path} does not say the distance between its samples (dkr {steps[0]:g}, dkz "
            f"{steps[1]:g} in the header); write them there in cycles per micrometre.",
        )
    return PSFFile(None, None, otf / otf[0, 0], steps, tuple(notes))


def _odd_within(radius: float, step: float) -> int:
    return min(2 * int(radius / step) + 1, _LARGEST_SIZE)
