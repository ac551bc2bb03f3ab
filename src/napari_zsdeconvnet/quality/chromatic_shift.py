r"""Shift of the channels of a recording against each other, where they share structure.

With :math:`a` the reference and :math:`b` another channel, both without noise finer than a pixel
and without light coarser than some pixels, the shift is where the normalised cross-correlation

.. math:: r(s) = \frac{\sum_x a(x) b(x + s)}{\sqrt{\sum_x a(x)^2 \sum_x b(x)^2}}

is highest; a paraboloid through the peak and its neighbours gives parts of a pixel. Far from the
peak :math:`r` shows how much images that share nothing correlate by chance. The halves of the
image, cut in either direction, give the error. Nothing is moved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from ..io.image import Image
from ..io.selection import channel_count, one_of
from .spectra import faded

FloatArray = NDArray[np.float64]

_FINEST, _COARSEST = 1.0, 6.0  # standard deviations of what is left out, pixels
_FINEST_Z, _COARSEST_Z = 0.5, 3.0  # planes
_FEWEST_PLANES = 8  # with fewer a volume is averaged along Z
_FURTHEST = 1.5  # micrometres
_PIXELS = (8, 24)  # of the search, whatever the pixel size
_PLANES = 6
_SIGNIFICANT = 7.0  # standard deviations of correlations by chance
_LARGEST_ERROR = 0.5  # pixels
_SMALLEST_ERROR = 0.01  # pixels, of the paraboloid
_SMALLEST_ERROR_Z = 0.05  # planes, of what enters and leaves at the first and the last one
_FADE = 0.1  # of a side
_MOST = {2: (2048, 2048), 3: (32, 512, 512)}
_FRAMES = 4
_SMALLEST = 48  # pixels


@dataclass(frozen=True)
class ChannelShift:
    """Where a channel lies against the reference.

    Attributes
    ----------
    channel, reference
        Counted from 0.
    names
        Of the channel and of the reference.
    axes
        Letters of the axes along which it was measured, "YX" or "ZYX".
    pixels, errors
        Shift along these axes and its standard error, in pixels; empty where the two share too
        little structure. A positive shift is one to higher indices.
    voxel_size
        Micrometres along these axes; None where not known.
    """

    channel: int
    reference: int
    names: tuple[str, str]
    axes: str
    pixels: tuple[float, ...] = ()
    errors: tuple[float, ...] = ()
    voxel_size: tuple[float, ...] | None = None

    @property
    def micrometres(self) -> tuple[float, ...] | None:
        """The shift in micrometres; None where it was not measured or no pixel size is known."""
        if not self.pixels or self.voxel_size is None:
            return None
        return tuple(s * step for s, step in zip(self.pixels, self.voxel_size, strict=True))

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        channel, reference = self.names
        if not self.pixels:
            return f"{channel} and {reference} share too little structure to measure their shift."
        said = []
        for place, letter in enumerate(self.axes):
            shift, error = self.pixels[place], self.errors[place]
            words = f"{letter} {shift:+.2f} ± {error:.2f} {'planes' if letter == 'Z' else 'px'}"
            if self.voxel_size is not None:
                step = self.voxel_size[place]
                words += f" ({shift * step:+.3f} ± {error * step:.3f} µm)"
            said.append(words)
        return f"{channel} lies beside {reference} by {', '.join(said)}. Nothing was moved."

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "channel": self.channel,
            "reference": self.reference,
            "axes": self.axes,
            "pixels": list(self.pixels) or None,
            "errors": list(self.errors) or None,
            "micrometres": None if self.micrometres is None else list(self.micrometres),
        }


def channel_shifts(image: Image, reference: int = 0) -> tuple[ChannelShift, ...]:
    """Measure the shift of each channel against one of them.

    Parameters
    ----------
    image
        With an axis C. Of a large one the middle is read, of a series some frames.
    reference
        Channel that the others are compared with, counted from 0.

    Returns
    -------
    tuple of ChannelShift
        For each other channel, in their order.
    """
    names = [*image.channel_names, *[""] * channel_count(image)]
    first = _middle(one_of(image, "C", reference))
    found = []
    for number in range(channel_count(image)):
        if number == reference:
            continue
        pixels, errors = shift_between(first, _middle(one_of(image, "C", number)), image.steps)
        axes = "ZYX"[-first.ndim :]
        sizes = image.steps[-first.ndim :]
        found.append(
            ChannelShift(
                number,
                reference,
                (_title(names, number), _title(names, reference)),
                axes,
                pixels,
                errors,
                None if None in sizes else tuple(float(size or 0) for size in sizes),
            )
        )
    return tuple(found)


def _title(names: Sequence[str], number: int) -> str:
    return f"Channel {number}" + (f" ({names[number]})" if names[number] else "")


def _middle(image: Image) -> FloatArray:
    """Read the middle of one channel, (Y, X) or (Z, Y, X), as the mean of some frames."""
    shape = dict(zip(image.axes, image.data.shape, strict=True))
    deep = shape.get("Z", 1) >= _FEWEST_PLANES
    letters = "ZYX" if "Z" in image.axes else "YX"
    most = _MOST[3] if deep else (shape.get("Z", 1), *_MOST[2])
    cuts = []
    for letter, largest in zip("ZYX", most if len(most) == 3 else (1, *most), strict=True):
        length = shape.get(letter, 1)
        start = max((length - largest) // 2, 0)
        cuts.append(slice(start, start + largest))
    box = tuple(cuts["ZYX".index(letter)] for letter in letters)
    frames = shape.get("T", 1)
    chosen = sorted({round(at) for at in np.linspace(0, frames - 1, min(frames, _FRAMES))})
    read = [
        np.asarray(image.data[(frame, *box) if "T" in image.axes else box], dtype=float)
        for frame in chosen
    ]
    mean: FloatArray = np.mean(read, axis=0)
    there = np.isfinite(mean)
    if not there.all():  # pixels that were not recorded
        mean[~there] = np.median(mean[there]) if there.any() else 0.0
    return mean if deep or mean.ndim == 2 else np.asarray(mean.mean(axis=0))


def shift_between(
    first: FloatArray,
    second: FloatArray,
    steps: Sequence[float | None] = (None, None, None),
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Measure where the structure of one image lies in another.

    Parameters
    ----------
    first, second
        (Y, X) or (Z, Y, X), of the same shape.
    steps
        Micrometres along Z, Y, X, which bound the search.

    Returns
    -------
    pixels, errors : tuple of float
        Along the axes of the images; empty where it cannot be measured.
    """
    if min(first.shape[-2:]) < _SMALLEST:
        return (), ()
    one, other = _structure(first), _structure(second)
    reach = _reach(one.shape, steps[-one.ndim :])
    whole = _peak(one, other, reach)
    if whole is None:
        return (), ()
    halves = []
    for axis in (-2, -1):
        middle = one.shape[axis] // 2
        parts = []
        for part in (slice(None, middle), slice(middle, None)):
            cut = (Ellipsis, part) if axis == -1 else (Ellipsis, part, slice(None))
            found = _peak(one[cut], other[cut], reach, least=0.0)
            if found is None:
                return (), ()
            parts.append(found)
        halves.append(parts[0] - parts[1])
    # The mean of two halves is off by half of their difference; there are two such pairs.
    errors = np.sqrt(np.mean(np.square(halves), axis=0) / 4)
    errors[-2:] = np.sqrt(np.mean(np.square(errors[-2:])))  # pixels are alike along Y and X
    least = (_SMALLEST_ERROR_Z, _SMALLEST_ERROR, _SMALLEST_ERROR)
    errors = np.hypot(errors, least[-one.ndim :])
    if errors[-2:].max() > _LARGEST_ERROR or errors.max() > 2 * _LARGEST_ERROR:
        return (), ()
    return tuple(map(float, whole)), tuple(map(float, errors))


def _structure(pixels: FloatArray) -> FloatArray:
    """Return an image without fine noise and coarse light; the noise of all pixels is alike."""
    even = np.sqrt(pixels - pixels.min() + 1)  # of photons: a spot that is bright is one of many
    lateral = (0.0,) * (pixels.ndim - 2)
    median = ndimage.median_filter(even, size=(1,) * len(lateral) + (3, 3))
    apart = even - median
    spread = 1.4826 * float(np.median(np.abs(apart)))
    even = np.where(np.abs(apart) > 5 * spread, median, even)  # hot pixels are in all channels
    fine, coarse = (
        (axial,) * len(lateral) + (width, width)
        for axial, width in ((_FINEST_Z, _FINEST), (_COARSEST_Z, _COARSEST))
    )
    return np.asarray(
        ndimage.gaussian_filter(even, fine) - ndimage.gaussian_filter(even, coarse), dtype=float
    )


def _reach(shape: tuple[int, ...], steps: Sequence[float | None]) -> tuple[int, ...]:
    """Return how far to search along each axis, in pixels."""
    low, high = _PIXELS
    found = []
    for length, step in zip(shape[-2:], steps[-2:], strict=True):
        wanted = low if step is None else math.ceil(_FURTHEST / step)
        found.append(min(max(wanted, low), high, length // 8))
    return (*(min(_PLANES, length // 4) for length in shape[:-2]), *found)


def _peak(
    one: FloatArray, other: FloatArray, reach: tuple[int, ...], *, least: float = _SIGNIFICANT
) -> FloatArray | None:
    """Find the shift at which two images correlate best; None where that is no more than chance.

    Nor is it one at the border of the search, or where they rather shun each other.
    """
    window = np.broadcast_to(faded(one.shape[-2:], _FADE), one.shape)
    one, other = ((each - each.mean()) * window for each in (one, other))
    size = math.sqrt(float(np.sum(one**2) * np.sum(other**2)))
    if size == 0:
        return None
    correlation = _correlated(one, other, reach) / size
    middle = tuple(length // 2 for length in correlation.shape)
    pairs = list(zip(middle, reach, strict=True))
    near = tuple(slice(m - far, m + far + 1) for m, far in pairs)
    # Less of the images overlaps the further they are shifted, which draws the peak to zero.
    overlap = _correlated(window, window, reach)[near] / float(np.sum(window**2))
    searched = correlation[near] / overlap
    place = tuple(map(int, np.unravel_index(int(np.argmax(searched)), searched.shape)))
    height = float(searched[place])
    beyond = np.zeros(correlation.shape, dtype=bool)
    beyond[near[:-2]] = True  # of a volume the same planes, further to the sides
    sides = tuple(slice(m - 2 * far, m + 2 * far + 1) for m, far in pairs[-2:])
    beyond[(*near[:-2], *sides)] = False
    chance = float(np.std(correlation[beyond]))
    at_border = any(at in (0, 2 * far) for at, far in zip(place, reach, strict=True))
    if at_border or height <= least * chance or height < -float(searched.min()):
        return None
    return np.subtract(place, reach) + _vertex(searched, place)


def _correlated(one: FloatArray, other: FloatArray, reach: tuple[int, ...]) -> FloatArray:
    """Return the sums of products at all shifts, that of zero in the middle."""
    padded = tuple(
        fft.next_fast_len(length + 2 * far) for length, far in zip(one.shape, reach, strict=True)
    )
    axes = tuple(range(one.ndim))
    spectrum = np.conj(fft.rfftn(one, padded, axes=axes)) * fft.rfftn(other, padded, axes=axes)
    return np.asarray(fft.fftshift(fft.irfftn(spectrum, padded, axes=axes)))


def _vertex(values: FloatArray, place: tuple[int, ...]) -> FloatArray:
    """Return where a paraboloid through a peak and its neighbours is highest, from that peak.

    Its axes may lie aslant, as those of the correlation of lines do.
    """
    around = values[tuple(slice(at - 1, at + 2) for at in place)]
    middle = (1,) * around.ndim
    slopes = [np.gradient(around, axis=axis) for axis in range(around.ndim)]
    slope = np.array([one[middle] for one in slopes])
    bend = np.empty((around.ndim,) * 2)
    for axis in range(around.ndim):
        for other in range(around.ndim):
            bend[axis, other] = np.gradient(slopes[axis], axis=other)[middle]
        ends = [(*middle[:axis], end, *middle[axis + 1 :]) for end in (0, 2)]
        bend[axis, axis] = around[ends[0]] - 2 * around[middle] + around[ends[1]]
    if np.linalg.eigvalsh(bend)[-1] >= 0:
        return np.zeros(around.ndim)
    return np.clip(np.linalg.solve(-bend, slope), -1, 1)
