"""Notice images that are no camera counts any more: normalised, standardised, filtered.

Training and calibration need the noise as the camera made it, in counts. A scale that divided it
can be undone by who knows it; nothing here guesses one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..io.lazy import is_lazy
from ..utils.errors import InputError, UnreadableError

_PLANES = 8  # that are looked at
_PIXELS = 2**20  # of each, at most
_STANDARD = 0.03  # from a mean of zero and a deviation of one
_BY_PERCENTILES = 1.5  # at most at the 99th percentile; that is one where it was divided by
_LEAST_NOISE = 0.2  # counts; rounding alone makes 0.29
_FULL_RANGES = (100, 255, 1023, 4095, 16383, 65535)  # that contrast is stretched to
_FILTERED = 0.5  # of the highest value; noise about a subtracted offset reaches less below zero
_BELOW = 0.1  # of the offset, or eight times the read noise, by which an image may lie below it


def processed_words(data: ArrayLike, *, name: str = "image") -> list[str]:
    """Refuse what was normalised or filtered elsewhere, and say where counts are negative.

    Parameters
    ----------
    data
        Pixels, (..., Y, X), finite. Some planes are read.
    name
        What messages call the image.

    Returns
    -------
    list of str
        Warnings, a sentence each.

    Raises
    ------
    InputError
        If all values lie below one, or nearly all do and noise is less than rounding makes; if
        they have a mean of zero and a deviation of one; or if they are negative by more than
        noise about an offset that was subtracted.
    """
    seen = _some_of(data)
    low, high = float(seen.min()), float(seen.max())
    if low == high:
        return []
    real = seen.dtype.kind == "f"
    if real and high <= 1:
        raise InputError(
            "image-processed",
            f"{name} has values from {low:.3g} to {high:.3g}, so that it was normalised elsewhere "
            "and is in no camera counts; give the recording as the camera wrote it, or multiply "
            "by what it was divided by (65535 for 16 bit).",
        )
    fine = real and bool((seen != np.rint(seen)).any())
    if fine and _normalised_by_percentiles(seen):
        raise InputError(
            "image-processed",
            f"{name} has values of about 0 to 1, from {low:.3g} to {high:.3g}, and less noise than "
            "rounding makes in a camera, so that it was normalised elsewhere, as by percentiles; "
            "give the recording as the camera wrote it, or undo what was done to it.",
        )
    if low == 0 and high in _FULL_RANGES and (fine or _is_stretched(seen)):
        return [
            f"{name} has values from exactly 0 to exactly {high:g}, as after its contrast was "
            "stretched elsewhere: offset and gain are then those of this image alone, so give the "
            "recording as the camera wrote it where you can."
        ]
    if low >= 0:
        return []
    mean, spread = float(seen.mean(dtype=float)), float(seen.std(dtype=float))
    if real and abs(mean) < _STANDARD and abs(spread - 1) < _STANDARD:
        raise InputError(
            "image-processed",
            f"{name} has the mean {mean:.2g} and the standard deviation {spread:.3g}, so that it "
            "was standardised elsewhere and is in no camera counts; give the recording as the "
            "camera wrote it.",
        )
    if -low > _FILTERED * high:
        raise InputError(
            "image-processed",
            f"{name} has values from {low:.4g} to {high:.4g}, far below zero, so that it was "
            "filtered or shifted elsewhere; give the recording as the camera wrote it, or add "
            "what was subtracted.",
        )
    return [
        f"{name} has values down to {low:.4g}: something was subtracted from it, such as the "
        "offset. Noise is measured as it is now; filtered images have lost it, so give the "
        "recording as the camera wrote it where you can."
    ]


def _normalised_by_percentiles(seen: NDArray[Any]) -> bool:
    """Tell whether nearly all values lie below about one, with less noise than cameras have."""
    if np.percentile(seen, 99) > _BY_PERCENTILES or seen.min() < -1:
        return False
    noise = 1.4826 * float(np.median(np.abs(np.diff(seen)))) / 2**0.5
    return noise < _LEAST_NOISE


def _is_stretched(seen: NDArray[Any]) -> bool:
    """Tell whether whole numbers leave out most values, and one pixel or two are the highest."""
    values, counts = np.unique(seen, return_counts=True)
    steps = np.diff(values)
    return bool(len(values) > 16 and counts[-1] <= 2 and np.median(steps) > 1 and steps[0] > 1)


def refuse_below_offset(
    data: ArrayLike, offset: float, read_variance: float, *, name: str = "image"
) -> None:
    """Refuse an image whose typical pixel lies far below what the camera gives without light.

    Then the offset was subtracted, or it is another camera's. Some planes of the pixels,
    (..., Y, X), are read.
    """
    typical = float(np.median(_some_of(data)))
    if typical < offset - max(8 * read_variance**0.5, _BELOW * abs(offset)):
        raise InputError(
            "image-processed",
            f"{name} has a median of {typical:.4g} counts and the model's camera gives "
            f"{offset:.4g} without light, so that the offset was subtracted from the image, or it "
            "was normalised, or another camera recorded it; give it as the camera wrote it, or "
            "train on it.",
        )


def _some_of(data: ArrayLike) -> NDArray[Any]:
    """Read some planes, and of large ones some rows; what is not finite is left out."""
    pixels: Any = data if is_lazy(data) else np.asarray(data)
    leading = pixels.shape[:-2]
    count = int(np.prod(leading, dtype=int))
    planes = []
    for number in np.unique(np.linspace(0, count - 1, min(count, _PLANES)).astype(int)):
        place = tuple(int(index) for index in np.unravel_index(number, leading)) if leading else ()
        try:
            plane = np.asarray(pixels[place] if place else pixels[...])
        except UnreadableError:  # others tell as much
            continue
        planes.append(plane[:: 1 + plane.size // _PIXELS].ravel())
    if not planes:
        return np.zeros(1, np.dtype(pixels.dtype))
    seen = np.concatenate(planes)
    finite = seen[np.isfinite(seen)] if seen.dtype.kind == "f" else seen
    return finite if finite.size else np.zeros(1, seen.dtype)
