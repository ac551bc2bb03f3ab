"""What a training needs to know of the images before it begins.

Recordings are `Image` values with the axes (T, Y, X) and one pixel size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch.nn import functional as F

from .errors import InputError
from .images import Image, as_frames
from .model import lateral_size, nanometres, same_pixel_size
from .noise import NoiseModel
from .pairs import CELL, local_mean
from .psf import PSF

SMALLEST_PATCH = 48
"""Raw pixels; a smaller image has too little context to learn from."""

PREVIEW_WIDTH = 256
"""Raw pixels of the fixed region that previews show."""


def lay_out(
    images: ArrayLike | Image | Sequence[ArrayLike | Image],
    axes: str | None,
    voxel_size: tuple[float, ...] | None,
) -> list[Image]:
    """Lay all that was given out as recordings (T, Y, X) with one pixel size."""
    listed = isinstance(images, list | tuple) and all(
        isinstance(entry, Image) or np.ndim(entry) >= 2 for entry in images
    )
    entries: list[Any] = list(images) if listed else [images]  # type: ignore[arg-type]
    if not entries:
        raise InputError("images is empty: give at least one image.")
    recordings = []
    for number, entry in enumerate(entries, 1):
        name = f"image {number}" if len(entries) > 1 else "image"
        size = voxel_size
        if isinstance(entry, Image):
            name = entry.name or name
            size = entry.voxel_size if voxel_size is None else voxel_size
        frames = as_frames(entry, axes, name=name)
        if min(frames.shape[1:]) < SMALLEST_PATCH:
            raise InputError(
                f"{name} is {frames.shape[1]} x {frames.shape[2]} pixels, fewer than the smallest "
                f"patch of {SMALLEST_PATCH}: train on a larger image of the same kind."
            )
        lateral = None if size is None else lateral_size(size)
        recordings.append(Image(frames, "TYX", lateral, name))
    first = recordings[0]
    for recording in recordings[1:]:
        if not same_pixel_size(recording.voxel_size, first.voxel_size):
            raise InputError(
                f"{recording.name} has {_pixels(recording)} and {first.name} {_pixels(first)}: "
                "train one model for each pixel size, or give voxel_size if the files are wrong."
            )
    return recordings


def _pixels(recording: Image) -> str:
    size = recording.voxel_size
    return "no pixel size" if size is None else f"pixels of {nanometres(size)}"


def on_output_grid(psf: PSF | ArrayLike, recordings: Sequence[Image]) -> tuple[PSF, list[str]]:
    """Bring the PSF to half the raw pixel, and say where that had to be assumed."""
    psf = psf if isinstance(psf, PSF) else PSF.from_array(np.asarray(psf))
    if psf.array.ndim != 2:
        raise InputError(
            f"psf has {psf.array.ndim} axes and the images are 2D: choose a plane of it with "
            "psf.plane()."
        )
    notes = list(psf.warnings)
    pixel = recordings[0].voxel_size
    if pixel is not None and psf.voxel_size is not None:
        psf = psf.resampled(tuple(size / 2 for size in pixel))
        notes = list(psf.warnings)
    else:
        missing = "the images" if pixel is None else "the PSF"
        notes.append(
            f"The pixel size of {missing} is not known, so the PSF is taken to be sampled at half "
            "the raw pixel."
        )
    smallest = np.min([recording.data.shape[1:] for recording in recordings], axis=0)
    if np.any(np.array(psf.array.shape) > 2 * smallest):
        raise InputError(
            f"psf is {psf.array.shape} output pixels and the smallest image only "
            f"{tuple(int(size) for size in 2 * smallest)}: crop the PSF or train on a larger image."
        )
    return psf, notes


def intensity_scale(recordings: Sequence[Image], noise: NoiseModel) -> float:
    """Choose the counts that become 1: a bright part of the smoothed signal.

    One number for all images and frames, so that intensities can be compared; never less
    than the read noise, so that a blank image is not blown up.
    """
    bright = []
    for recording in recordings:
        for frame in recording.data[:: max(len(recording.data) // 16, 1)]:
            smoothed = local_mean(torch.from_numpy(frame.astype(np.float32))[None, None])
            bright.append(np.quantile(smoothed.numpy(), 0.999) - noise.offset)
    return float(max(*bright, noise.read_variance**0.5, 1e-6 * max(abs(noise.offset), 1.0), 1e-12))


def preview_region(recordings: Sequence[Image], offset: float) -> tuple[int, int, slice, slice]:
    """Choose where previews look: the window of the first frame with the strongest signal."""
    frame = torch.from_numpy(recordings[0].data[0].astype(np.float32))[None, None]
    height, width = (min(PREVIEW_WIDTH, length) for length in frame.shape[2:])
    power = local_mean(frame - offset).clamp(min=0).square()
    # Summed cell by cell first: a window is compared at every cell, and they overlap a lot.
    cells = F.avg_pool2d(power, CELL, ceil_mode=True)
    windows = F.avg_pool2d(cells, (height // CELL, width // CELL), stride=1)[0, 0]
    row, column = divmod(int(windows.argmax()), windows.shape[1])
    top = min(CELL * row, frame.shape[2] - height)
    left = min(CELL * column, frame.shape[3] - width)
    return 0, 0, slice(top, top + height), slice(left, left + width)


def fingerprint(recordings: Sequence[Image]) -> str:
    """Fingerprint of the training images."""
    digest = hashlib.sha256()
    for recording in recordings:
        digest.update(f"{recording.data.shape} {recording.data.dtype.name}".encode())
        for frame in recording.data:
            digest.update(np.ascontiguousarray(frame).data)
    return digest.hexdigest()
