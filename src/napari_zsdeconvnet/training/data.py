"""What a training needs to know of the images before it begins.

Recordings are `Image` values with the axes (T, Y, X) or (T, Z, Y, X) and one voxel size. Their
pixels may lie in a file; nothing here holds more than a frame or some planes of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch.nn import functional as F

from ..io.excerpts import excerpt
from ..io.grid import nanometres, same_pixel_size, voxel_of
from ..io.image import Image, PixelRule, as_frames, planes_by_step, spatial_axes
from ..io.lazy import is_lazy
from ..io.stack_checks import (
    channels_taken_for_planes,
    frames_taken_for_planes,
    planes_taken_for_frames,
    types_differ,
)
from ..model.model import psf_width
from ..noise.noise_model import NoiseModel
from ..noise.recorruption import local_mean
from ..noise.usable_pixels import checked
from ..psf.psf import PSF
from ..sim.recognition import raw_sim_taken_for_frames
from ..utils.errors import InputError, Remedy
from .patches import CELL

SMALLEST_PATCH = 48
"""Raw pixels; a smaller image has too little context to learn from."""

FEWEST_PLANES = 8
"""A thinner stack shows too little along Z to learn from."""

PART_OF_IMAGE = (2048, 2048)
"""Size of the parts of a large recording that are trained on; a camera's plane is one."""

PART_OF_VOLUME = (48, 320, 320)
"""The same of a volume: several times what a patch and its PSF take."""

PARTS_PIXELS = 2**24
"""Pixels of all parts together, many times those that a training draws."""

PREVIEW_WIDTH = 256
"""Raw pixels of the fixed region that previews show."""

PREVIEW_FIELD = 128
"""The same in a volume."""

PREVIEW_PLANES = 16
"""Planes of it: context for those in the middle."""


def lay_out(
    images: ArrayLike | Image | Sequence[ArrayLike | Image],
    axes: str | None,
    voxel_size: tuple[float, ...] | None,
) -> list[Image]:
    """Lay all that was given out as recordings of one kind, with one voxel size.

    They are volumes (T, Z, Y, X) where the axes name planes, or where nobody names the pages and
    a step between planes is given; else frames (T, Y, X).
    """
    listed = isinstance(images, list | tuple) and all(
        isinstance(entry, Image) or is_lazy(entry) or np.ndim(entry) >= 2 for entry in images
    )
    entries: list[Any] = list(images) if listed else [images]  # type: ignore[arg-type]
    if not entries:
        raise InputError("image-missing", "images is empty: give at least one image.")
    letters = [axes or planes_by_step(entry, voxel_size) for entry in entries]
    kinds = {spatial_axes(entry, own) for entry, own in zip(entries, letters, strict=True)}
    if len(kinds) > 1:
        raise InputError(
            "volumes-and-images",
            "Some of the images are volumes and some are not: train one model for each kind, or "
            "name the axes.",
        )
    spatial = kinds.pop()
    recordings = []
    for number, (entry, own) in enumerate(zip(entries, letters, strict=True), 1):
        name = f"image {number}" if len(entries) > 1 else "image"
        size = voxel_size
        if isinstance(entry, Image):
            name = entry.name or name
            size = entry.voxel_size if voxel_size is None else voxel_size
        frames = as_frames(entry, own, name=name, spatial=spatial)
        _check_size(frames.shape, name)
        voxel = None if size is None else voxel_of(size, spatial)
        origin = entry.origin if isinstance(entry, Image) else None
        rule = entry.pixel_rule if isinstance(entry, Image) else PixelRule()
        recordings.append(Image(frames, f"T{spatial}", voxel, name, origin=origin, pixel_rule=rule))
    first = recordings[0]
    for recording in recordings[1:]:
        if not same_pixel_size(recording.voxel_size, first.voxel_size):
            raise InputError(
                "pixel-sizes-differ",
                f"{recording.name} has {_pixels(recording)} and {first.name} {_pixels(first)}",
                "train one model for each pixel size",
                Remedy("voxel-size", ", ".join(spatial.lower()), "if the files are wrong"),
            )
    return recordings


def _check_size(shape: Sequence[int], name: str) -> None:
    if min(shape[-2:]) < SMALLEST_PATCH:
        raise InputError(
            "image-too-small",
            f"{name} is {shape[-2]} x {shape[-1]} pixels, fewer than the smallest patch of "
            f"{SMALLEST_PATCH}: train on a larger image of the same kind.",
        )
    if len(shape) == 4 and shape[1] < FEWEST_PLANES:
        raise InputError(
            "planes-too-few",
            f"{name} has {shape[1]} planes, and a volume needs at least {FEWEST_PLANES}",
            Remedy("series", when="to process its planes as single images with a 2D PSF"),
            "record more planes",
            planes=shape[1],
        )


def representative(
    recordings: Sequence[Image], whole_planes: bool
) -> tuple[list[Image], list[str]]:
    """Take parts of large recordings, (T, [Z,] Y, X), for all of them, and say what these are.

    Patches are drawn from the parts. ``whole_planes`` keeps each pixel of a plane where the camera
    has it, as its maps need.
    """
    taken, said = [], list[str]()
    for one in recordings:
        box = PART_OF_VOLUME if "Z" in one.axes else PART_OF_IMAGE
        if whole_planes:
            box = (*box[:-2], *one.data.shape[-2:])
        part, sentence = excerpt(one, box, PARTS_PIXELS, brightest=True)
        taken.append(part)
        said += [sentence] if sentence else []
    return taken, said


def usable_recordings(
    recordings: Sequence[Image], psf: PSF, upsampling: int
) -> tuple[list[Image], list[str]]:
    """Fill what must not be used of recordings, (T, [Z,] Y, X), and say what that is.

    The width of the PSF, on the output grid, tells outliers from structure. Recordings of which
    everything can be used stay as they were.
    """
    filled, warnings = [], list[str]()
    for one in recordings:
        data, said = checked(
            one.data,
            one.pixel_rule,
            width=psf_width(psf, upsampling),
            name=one.name,
            spatial="ZYX" if "Z" in one.axes else "YX",
        )
        filled.append(one if data is one.data else replace(one, data=data))
        warnings.extend(said)
    return filled, warnings


def check_kind(recordings: Sequence[Image]) -> list[str]:
    """Say where planes seem frames or channels, frames planes, either raw SIM, or types differ."""
    volumes = "Z" in recordings[0].axes
    checks = (
        (frames_taken_for_planes, channels_taken_for_planes, raw_sim_taken_for_frames)
        if volumes
        else (planes_taken_for_frames, raw_sim_taken_for_frames)
    )
    found = [check(recording) for recording in recordings for check in checks]
    first = recordings[0]
    found += [
        types_differ(one.name, one.data.dtype, first.name, first.data.dtype)
        for one in recordings[1:]
    ]
    return [sentence for sentence in found if sentence]


def _pixels(recording: Image) -> str:
    size = recording.voxel_size
    return "no pixel size" if size is None else f"pixels of {nanometres(size)}"


def on_output_grid(
    psf: PSF | ArrayLike, recordings: Sequence[Image], upsampling: int
) -> tuple[PSF, list[str]]:
    """Bring the PSF to the output grid, and say where that had to be assumed.

    The output grid is ``upsampling`` times finer than the raw one across the field and has
    the same planes.
    """
    psf = psf if isinstance(psf, PSF) else PSF.from_array(np.asarray(psf))
    shapes = [recording.data.shape[1:] for recording in recordings]
    check_dimensions(psf, len(shapes[0]))
    notes = list(psf.warnings)
    voxel = recordings[0].voxel_size
    if voxel is not None and psf.voxel_size is not None:
        *axial, height, width = voxel
        psf = psf.resampled((*axial, height / upsampling, width / upsampling))
        notes = list(psf.warnings)
    else:
        missing = "the images" if voxel is None else "the PSF"
        grid = "half the raw pixel" if upsampling == 2 else "the raw pixel"
        along = "" if psf.array.ndim == 2 else " and at the step between planes"
        notes.append(
            f"The pixel size of {missing} is not known, so the PSF is taken to be sampled at "
            f"{grid}{along}."
        )
    # Of each axis the shortest, as one PSF must do for all recordings.
    *planes, rows, columns = (int(length) for length in np.min(shapes, axis=0))
    field = (upsampling * rows, upsampling * columns)
    psf = psf.limited(planes[0], field) if planes else psf.within_field(field)
    notes = [*notes, *(note for note in psf.warnings if note not in notes)]
    if planes:
        notes += _missing_haze(psf, planes[0])
    return psf, notes


SHALLOW = 0.3
"""Light of a PSF's last planes over that of the one in focus, from where on more planes matter."""


def _missing_haze(psf: PSF, planes: int) -> list[str]:
    """Say that a PSF ends where it is still bright, although the stack is deeper."""
    light = psf.array.sum(axis=(1, 2), dtype=float)
    ends = float((light[0] + light[-1]) / (2 * light[len(light) // 2]))
    if len(light) >= 2 * planes - 1 or ends < SHALLOW:
        return []
    return [
        f"The PSF ends after {len(light)} planes, where it is still {100 * ends:.0f} % as bright "
        f"as in focus, and the stack can see {2 * planes - 1}: haze from farther away stays in the "
        "result; give a PSF that is as deep, or simulate one for this stack."
    ]


def check_dimensions(psf: PSF, dimensions: int) -> None:
    """Refuse a PSF of a plane for volumes, and one through focus for images."""
    if psf.array.ndim == dimensions:
        return
    if dimensions == 2:
        raise InputError(
            "psf-not-2d",
            f"The PSF has {psf.array.ndim} axes and the images are 2D",
            Remedy("psf-plane"),
            Remedy("volume", when="if they are volumes"),
        )
    raise InputError(
        "psf-not-3d",
        "The PSF is 2D and the image is a volume",
        "simulate it with an axial step",
        "measure a stack of beads",
        Remedy("series", when="to process each plane as a single image"),
    )


def intensity_scale(recordings: Sequence[Image], noise: NoiseModel) -> float:
    """Choose the counts that become 1: a bright part of the smoothed signal.

    One number for all images, frames and volumes, so that intensities can be compared; never
    less than the read noise, so that a blank image is not blown up.
    """
    bright = []
    for recording in recordings:
        levels = []
        for frame in range(0, len(recording.data), max(len(recording.data) // 16, 1)):
            smoothed = [
                local_mean(torch.from_numpy(part)[None, None]).numpy().ravel()
                for part in _slabs(recording.data, frame)
            ]
            # Of a volume a part is enough, but not the same columns in every row.
            values = np.concatenate([part[:: 1 + len(part) // 2**21] for part in smoothed])
            levels.append(np.quantile(values, 0.999) - noise.offset)
        bright.append(max(levels))
    return float(max(*bright, noise.read_variance**0.5, 1e-6 * max(abs(noise.offset), 1.0), 1e-12))


def _slabs(data: NDArray[Any], frame: int, depth: int = 32) -> Iterator[NDArray[np.float32]]:
    """Read a frame whole, and a volume so many planes at a time."""
    if data.ndim == 3:
        yield np.array(data[frame], dtype=np.float32)
        return
    planes = data.shape[1]
    for first in range(0, planes, depth):
        # The last one reaches back, as three planes are the least that can be averaged.
        start = max(min(first, planes - 3), 0)
        yield np.array(data[frame, start : first + depth], dtype=np.float32)


def preview_region(
    recordings: Sequence[Image], offset: float
) -> tuple[int, int, tuple[slice, ...]]:
    """Choose where previews look: the window of the first frame with the strongest signal.

    Returns
    -------
    tuple
        Recording, frame, and the window along each spatial axis.
    """
    data = recordings[0].data
    width = PREVIEW_WIDTH if data.ndim == 3 else PREVIEW_FIELD
    powers = []
    for part in _slabs(data, 0):
        power = local_mean(torch.from_numpy(part)[None, None] - offset).clamp(min=0).square()
        powers.append(power if data.ndim == 3 else power.sum(dim=2))
    power = torch.stack(powers).sum(dim=0)
    # Summed cell by cell first: a window is compared at every cell, and they overlap a lot.
    cells = F.avg_pool2d(power, CELL, ceil_mode=True)
    shape = [min(width, length) for length in data.shape[-2:]]
    count = [min(length // CELL, have) for length, have in zip(shape, cells.shape[2:], strict=True)]
    windows = F.avg_pool2d(cells, tuple(count), stride=1)[0, 0]
    place = divmod(int(windows.argmax()), windows.shape[1])
    lateral = []
    for cell, length, full in zip(place, shape, data.shape[-2:], strict=True):
        start = min(CELL * cell, full - length)
        lateral.append(slice(start, start + length))
    if data.ndim == 3:
        return 0, 0, tuple(lateral)
    field: tuple[Any, ...] = (0, slice(None), *lateral)
    brightness = np.asarray(data[field], dtype=np.float32).mean(axis=(1, 2))
    return 0, 0, (planes_around(int(brightness.argmax()), data.shape[1]), *lateral)


def planes_around(plane: int, planes: int) -> slice:
    """Planes that a preview of one plane is computed from."""
    depth = min(PREVIEW_PLANES, planes)
    start = min(max(plane - depth // 2, 0), planes - depth)
    return slice(start, start + depth)
