"""The part of an image that is judged: what memory holds, and the brightest region of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..inference.predict import Result
from ..model.model import Model
from ..noise.camera_maps import CameraMaps
from ..physics.open_field import margins, quick_part, room_of
from ..utils.memory import available_memory, check_room

REGION = {2: (256, 256), 3: (32, 128, 128)}
"""Part of an image on which the effect of the PSF is measured, by the number of axes; of a volume,
which would take minutes as a whole, that of other noise too. Of a volume with a large PSF the part
is smaller: see `quick_part`."""

JUDGING_SHARE = 0.6
"""Part of the free memory that judging may take; of an image that needs more a part is judged."""

BYTES_TO_JUDGE = {2: 340, 3: 100}
"""Memory for a raw pixel, by the number of axes, measured."""


def part_within_memory(model: Model, raw: NDArray[np.float32]) -> tuple[slice, ...] | None:
    """Choose the part of an image that can be judged in the memory there is; None for all.

    Raises
    ------
    InputError
        If not even the part that is always judged can be.
    """
    free, width = JUDGING_SHARE * available_memory(), max(raw.shape[-2:])
    if memory_to_judge(model, raw.shape) <= free:
        return None
    least = min(region_of(model)[-1], width)
    size = raw.shape
    while width > least and memory_to_judge(model, size) > free:
        width = max(width * 7 // 8, least)
        size = (*raw.shape[:-2], *(min(width, length) for length in raw.shape[-2:]))
    check_room(
        memory_to_judge(model, size),
        "Judging the result",
        "close other programs, use a machine with more memory, or go without a verdict.",
    )
    return brightest(raw, size)


def memory_to_judge(model: Model, shape: tuple[int, ...]) -> int:
    """Give the memory that judging an image ([Z,] Y, X) takes, in bytes; as measured."""
    if len(shape) == 2:
        return 2**27 + BYTES_TO_JUDGE[2] * math.prod(shape)
    fine = (*shape[:-2], *(model.upsampling * length for length in shape[-2:]))
    psf = model.psf.array.shape
    room = math.prod(room_of(fine, margins(psf), psf))
    part = tuple(min(pair) for pair in zip(shape, region_of(model), strict=True))
    repeats = model.network.memory_of(part, torch.device("cpu"))
    # Measured for 0.4 to 3.5 million voxels.
    return 5 * 2**25 + repeats + max(24 * room, BYTES_TO_JUDGE[3] * math.prod(fine))


def cut(values: NDArray[Any] | None, place: tuple[slice, ...]) -> Any:
    """Cut a part out of an image, if there is one."""
    return None if values is None else values[place]


def cut_result(
    model: Model, result: Result | None, frame: int, place: tuple[slice, ...]
) -> Result | None:
    """Cut the same part out of a result, if there is one."""
    if result is None:
        return None
    fine = on_output_grid(place, model.upsampling)
    several = result.denoised.ndim > len(place)
    denoised, sharp = (
        picture[frame] if several else picture for picture in (result.denoised, result.deconvolved)
    )
    return Result(denoised[place], sharp[fine])


def spread_out(
    maps: Mapping[str, NDArray[Any]],
    place: tuple[slice, ...],
    shape: tuple[int, ...],
    upsampling: int,
) -> dict[str, NDArray[Any]]:
    """Put maps of a part where it lies, with NaN around them; of large ones nothing but z."""
    large = {}
    for name, pixels in maps.items():
        where, size = place, shape
        if name != "z_map":
            where = on_output_grid(place, upsampling)
            size = (*shape[:-2], *(upsampling * length for length in shape[-2:]))
        if 4 * math.prod(size) > JUDGING_SHARE * available_memory():
            continue
        large[name] = np.full(size, np.nan, np.float32)
        large[name][where] = pixels
    return large


def region_of(model: Model) -> tuple[int, ...]:
    """Give the largest part on which other PSFs are tried."""
    most = REGION[len(model.axes)]
    if len(most) == 2:
        return most
    return quick_part(most, model.psf.array.shape, model.upsampling)


def brightest(raw: NDArray[np.float32], most: tuple[int, ...]) -> tuple[slice, ...]:
    """Choose the part of an image with most light, at most so large."""
    place = []
    for axis, (length, largest) in enumerate(zip(raw.shape, most, strict=True)):
        others = tuple(other for other in range(raw.ndim) if other != axis)
        light = np.cumsum(np.r_[0.0, raw.mean(axis=others, dtype=float)])
        size = min(length, largest)
        start = int(np.argmax(light[size:] - light[: len(light) - size]))
        place.append(slice(start, start + size))
    return tuple(place)


def on_output_grid(place: tuple[slice, ...], upsampling: int) -> tuple[slice, ...]:
    """Give the place of a part in the result."""
    lateral = [
        slice(*(None if end is None else upsampling * end for end in (axis.start, axis.stop)))
        for axis in place[-2:]
    ]
    return (*place[:-2], *lateral)


def measured_part(model: Model, shape: tuple[int, ...], repeats: int) -> list[str]:
    """Say which part of a large volume other noise and other PSFs were tried on."""
    most = region_of(model)
    if len(shape) == 2 or all(length <= size for length, size in zip(shape, most, strict=True)):
        return []
    what = "Spread, resolution and PSF sensitivity are" if repeats else "PSF sensitivity is"
    size = " x ".join(str(min(pair)) for pair in zip(shape, most, strict=True))
    return [f"{what} of the brightest part of the stack, {size} voxels."]


def maps_at(camera: CameraMaps | None, place: tuple[slice, ...]) -> CameraMaps | None:
    """Cut the same part out of maps, if there are some."""
    return None if camera is None else camera.cut(place)
