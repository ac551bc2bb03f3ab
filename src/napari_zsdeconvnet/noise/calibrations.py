"""The numbers of a camera, measured in images or in a series, as `NoiseModel` takes them."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import ArrayLike, NDArray

from ..io.excerpts import excerpt, window_of_all_frames
from ..io.image import Image, PixelRule, as_frames, spatial_axes
from ..utils.errors import InputError
from .frame_pairs import spread_runs
from .image_transfer import chosen_planes, transfer_of_images
from .outliers import NYQUIST_WIDTH, width_from_cutoff
from .photon_transfer import PhotonTransfer
from .processed_images import processed_words
from .series_transfer import FEWEST_LOOKED_AT, looked_at, transfer_of_series
from .usable_pixels import checked

SAMPLED_PARTS, SAMPLED_PLANES, SAMPLED_WIDTH = 8, 4, 512
"""How many parts of a large recording are looked at, and their size; more add no precision."""

SINGLE_IMAGE_ERROR = 0.25
"""Relative error of a gain from one image, as seen against cameras' own calibrations."""


def measured_in_images(
    image: ArrayLike | Image, offset: float | None, cutoff: float | None, axes: str | None
) -> dict[str, Any]:
    """Measure by `NoiseModel.from_image`."""
    width = NYQUIST_WIDTH if cutoff is None else width_from_cutoff(cutoff)
    recorded, said = sampled(image, axes)
    frames, warnings = checked(recorded, rule_of(image), width=width, name=name_of(image))
    warnings += said
    warnings += tuple(processed_words(frames, name=name_of(image)))
    if offset is not None:
        offset = number(offset, "offset", "counts")
    transfer = transfer_of_images(frames, offset, cutoff)
    seen = len(chosen_planes(frames.shape))
    source = "one image" if seen == 1 else f"{seen} single images"
    if frames.ndim == 4:
        source = f"{seen} planes of {'one volume' if len(frames) == 1 else 'volumes'}"
    darkest = ", the offset from its darkest part" if offset is None else ""
    return _numbers_of(
        transfer,
        source=f"photon transfer in {source} (to about 25 %){darkest}",
        warnings=warnings,
        systematic=SINGLE_IMAGE_ERROR,
    )


def measured_in_series(
    frames: ArrayLike | Image, offset: float | None, axes: str | None
) -> dict[str, Any]:
    """Measure by `NoiseModel.from_series`."""
    name = name_of(frames, "frames")
    recorded, said = sampled(frames, axes, name="frames", series=True)
    among = looked_at(recorded.shape)
    if said:
        among = spread_runs(len(recorded), FEWEST_LOOKED_AT)
    series, warnings = checked(recorded, rule_of(frames), name=name, among=among)
    warnings += said
    if len(among) < len(series):
        warnings += (
            f"{len(among)} of the {len(series)} frames were looked at, in runs of neighbours "
            "evenly spread; more would add no precision.",
        )
    warnings += tuple(processed_words(series, name=name_of(frames, "frames")))
    if offset is not None:
        offset = number(offset, "offset", "counts")
    transfer = transfer_of_series(series, offset, among=among)
    darkest = ", the offset from the darkest pixels" if offset is None else ""
    kind = "volumes" if series.ndim == 4 else "frames"
    left = transfer.frames < len(series)
    count = f"{transfer.frames} of {len(series)}" if left else f"{len(series)}"
    return _numbers_of(
        transfer,
        source=f"photon transfer in a series of {count} {kind}{darkest}",
        warnings=warnings,
        systematic=0.0,
    )


def _numbers_of(
    transfer: PhotonTransfer, *, source: str, warnings: tuple[str, ...], systematic: float
) -> dict[str, Any]:
    return {
        "offset": transfer.offset,
        "gain": transfer.gain,
        "read_variance": transfer.read_variance,
        "offset_error": transfer.offset_error,
        "gain_error": math.hypot(transfer.gain_error, systematic * transfer.gain),
        "read_variance_error": transfer.read_variance_error,
        "source": source,
        "warnings": (*warnings, *transfer.warnings),
    }


def number(value: Any, what: str, unit: str) -> float:
    """Give a finite number, or say what it is."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(
            "camera-value-wrong", f"The {what} is {value!r:.60}; give a number in {unit}."
        ) from None
    if not math.isfinite(number):
        raise InputError(
            "camera-value-wrong", f"The {what} is {number}; give a finite number in {unit}."
        )
    return number


def laid_out(image: ArrayLike | Image, axes: str | None, *, name: str = "image") -> NDArray[Any]:
    """Return frames (T, Y, X), or volumes (T, Z, Y, X) where there are planes."""
    return as_frames(image, axes, name=name, spatial=spatial_axes(image, axes))


def sampled(
    image: ArrayLike | Image, axes: str | None, *, name: str = "image", series: bool = False
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return frames as `laid_out` does, of a large recording some parts, and what they are.

    Of a series that is one part, in all frames.
    """
    frames = laid_out(image, axes, name=name)
    rule = rule_of(image) or PixelRule()
    spatial = "YX" if frames.ndim == 3 else "ZYX"
    box = (SAMPLED_PLANES, SAMPLED_WIDTH, SAMPLED_WIDTH)[-len(spatial) :]
    named = Image(frames, f"T{spatial}", name=name_of(image, name), pixel_rule=rule)
    if series:
        taken, said = window_of_all_frames(named, box)
    else:
        taken, said = excerpt(named, box, SAMPLED_PARTS * math.prod(box))
    return taken.data, (said,) if said else ()


def rule_of(image: ArrayLike | Image) -> PixelRule | None:
    """Give what is said of bad and saturated pixels."""
    return image.pixel_rule if isinstance(image, Image) else None


def name_of(image: ArrayLike | Image, otherwise: str = "image") -> str:
    """Give what messages call an image."""
    return (image.name if isinstance(image, Image) else "") or otherwise
