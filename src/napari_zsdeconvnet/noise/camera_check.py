r"""Compares the noise of a recording with its camera model, where the optics pass no structure.

Beyond the optical cutoff a recording holds noise alone. There, in the Fourier domain, the noise of
a camera whose pixels are independent has the same power at every frequency, and locally its
variance is :math:`\sigma^2 = g (y - b) + \sigma_r^2`. With `h` the recording filtered to these
frequencies, a share :math:`\kappa` of all,

.. math:: \rho = \sum h^2 / \Big(\kappa \sum \sigma^2\Big)

is 1 for the right camera, whatever the structure, and is measured to a few per cent. Dark and
bright pixels are compared apart, as an error of the offset or of the read variance shows in the
dark and one of the gain in bright structure. A filter, compression or resampling changes the
shape of the spectrum, not its height alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, maximum_filter, uniform_filter

from .noise_model import NoiseModel
from .pixel_mask import mask_of

FloatArray = NDArray[np.float64]

BEYOND = 1.05
"""Times the cutoff from where on there is no structure."""

LEAST_SHARE = 0.08
"""Part of all frequencies that must lie beyond the cutoff for the noise to be compared."""

AGREES = (0.9, 1.1)
"""Noise over that of the camera within which the camera is right enough to train under."""

MUCH = 20.0
"""The same, above which dark pixels should have no noise at all: they lie below the offset."""

FAR = (0.5, 2.2)
"""The same, beyond which noise was taken away or raised, or the camera is another one."""

FLAT = 1.2
"""Power just beyond the cutoff over that in the corners of the spectrum, or the inverse, beyond
which pixels do not have independent noise."""

BELOW = (0.65, 0.95)
"""Parts of the cutoff between which the optics pass little: structure adds to the noise there."""

LACKING = 0.97
"""Power there over that beyond the cutoff below which noise was raised by sharpening."""

BLOCK = 8
"""Pixels along the side of a block of JPEG and most video formats."""

STEPS = 1.12
"""Squared steps at the borders of blocks over those elsewhere that show compression."""

LINES = 5.0
"""Power on an axis of the spectrum over that beside it from where rows or columns share noise."""

ROUNDED = 2.0
"""Times the variance of rounding to whole counts below which no other noise is left."""

RIM = 6
"""Pixels at the borders that are not compared."""

LIGHT = 2.0
"""Standard deviation in pixels of the Gaussian that estimates how bright each pixel is."""

PLANES = 8
"""Planes that are looked at."""

WINDOW = 512
"""Pixels along each side of the part of a plane that is."""

AROUND = (13, 7)
"""Pixels along the sides of the squares between which the light around a pixel is averaged."""

GROUPS = 3
"""Groups of pixels from dark to bright, alike in the variance that they should have in all."""


class NoiseState(StrEnum):
    """What the noise of a recording says of its camera model."""

    AGREES = "agrees"
    """The camera explains it, in dark and in bright pixels."""
    DIFFERS = "differs"
    """There is more or less of it, but pixels have independent noise."""
    PROCESSED = "processed"
    """Pixels do not have independent noise, or hardly any: filtered, compressed, resampled."""
    UNKNOWN = "unknown"
    """Pixels are too wide for the optics to tell."""


@dataclass(frozen=True)
class Plane:
    """A plane to be compared, in counts above the offset.

    Attributes
    ----------
    signal
        (Y, X).
    read_variance
        Of all pixels or of each, counts squared.
    unusable
        True where a pixel must not be used; None for nowhere.
    """

    signal: NDArray[np.floating]
    read_variance: float | NDArray[np.floating]
    unusable: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class NoiseCheck:
    """Noise of a recording, compared with that of its camera.

    Attributes
    ----------
    state
        What follows.
    ratios
        Variance of the noise over that of the camera, from dark to bright pixels.
    reason
        Why the noise is not independent, in words; empty where it is.
    ratio
        Of all pixels.
    """

    state: NoiseState
    ratios: tuple[float, ...] = ()
    reason: str = ""
    ratio: float = 1.0

    def describe(self) -> str:
        """Say what was found; nothing where the camera is right or cannot be checked."""
        if self.state is NoiseState.PROCESSED:
            return f"Training cannot be trusted here: {self.reason}."
        if self.state is NoiseState.DIFFERS:
            dark, *_, bright = self.ratios
            return (
                f"The noise is {dark:.2g} times what the camera model says in dark pixels and "
                f"{bright:.2g} times in bright ones: check offset, gain and read variance."
            )
        return ""


UNKNOWN = NoiseCheck(NoiseState.UNKNOWN)
"""Nothing is known of the noise."""


@dataclass
class _Sums:
    """What is added up over planes."""

    seen: FloatArray  # bands x groups
    said: FloatArray
    pixels: FloatArray  # groups
    axes: list[tuple[float, float]]
    steps: list[FloatArray]  # normalised squared steps, (2, BLOCK)


def check_noise(
    planes: Iterable[Plane],
    slope: float,
    cutoff: float,
    correlation: Sequence[float] | None = None,
    *,
    whole_counts: bool = False,
) -> NoiseCheck:
    """Compare the noise of a recording with its camera model.

    Parameters
    ----------
    planes : iterable of Plane
        Planes of the recording.
    slope : float
        Variance per count of light: gain times excess noise.
    cutoff : float
        Lateral frequency that the optics do not pass, cycles per pixel.
    correlation : sequence of float, optional
        How neighbours share noise along (..., y, x), as the camera model has it.
    whole_counts : bool
        Whether pixels were rounded to whole counts.
    """
    sums: _Sums | None = None
    bands: _Bands | None = None
    shape: tuple[int, ...] = ()
    for plane in planes:
        if plane.signal.shape != shape:
            shape = plane.signal.shape
            bands = _Bands.of(shape, cutoff, correlation)
        if bands is None:
            return UNKNOWN
        found = _compared(plane, slope, bands)
        if found is not None:
            sums = found if sums is None else _added(sums, found)
    if sums is None or bands is None:
        return UNKNOWN
    ratios = sums.seen[0] / np.maximum(sums.said[0], 1e-30)
    told = tuple(float(value) for value in ratios)
    overall = float(sums.seen[0].sum() / sums.said[0].sum())
    reason = _dependence(sums, bands, ratios, whole_counts)
    if reason:
        return NoiseCheck(NoiseState.PROCESSED, told, reason, overall)
    # Each variance is known to sqrt(2 / n), of n independent numbers.
    chance = 2 * np.sqrt(2 / np.maximum(bands.shares[0] * sums.pixels, 1))
    low, high = AGREES
    agrees = bool(np.all((ratios > low * (1 - chance)) & (ratios < high * (1 + chance))))
    return NoiseCheck(NoiseState.AGREES if agrees else NoiseState.DIFFERS, told, ratio=overall)


def check_recordings(
    recordings: Sequence[Any],
    noise: NoiseModel,
    cutoff: float,
    read_variance: NDArray[np.floating] | None = None,
) -> NoiseCheck:
    """Compare the noise of some planes of recordings with their camera model.

    Parameters
    ----------
    recordings : sequence of array_like
        Counts, (T, [Z,] Y, X), in memory or not.
    noise : NoiseModel
        The camera; its gain must be known.
    cutoff : float
        Lateral frequency that the optics do not pass, cycles per pixel.
    read_variance : ndarray, optional
        Each pixel's own, (Y, X).
    """
    assert noise.slope is not None
    whole = all(np.dtype(one.dtype).kind in "ui" for one in recordings)
    planes = _some_planes(recordings, noise, read_variance)
    return check_noise(planes, noise.slope, cutoff, noise.correlation, whole_counts=whole)


def _some_planes(
    recordings: Sequence[Any], noise: NoiseModel, read_variance: NDArray[np.floating] | None
) -> Iterator[Plane]:
    """Read planes that lie evenly spread, and the middle of large ones."""
    each = max(PLANES // len(recordings), 1)
    for recording in recordings[:: 1 + len(recordings) // PLANES]:
        leading = recording.shape[:-2]
        count = math.prod(leading)
        middle = tuple(
            slice((length - size) // 2, (length - size) // 2 + size)
            for length in recording.shape[-2:]
            for size in [min(length, WINDOW)]
        )
        mask = mask_of(recording)
        for number in np.unique(np.linspace(0, count - 1, min(count, each)).round().astype(int)):
            place = (*(int(index) for index in np.unravel_index(number, leading)), *middle)
            yield Plane(
                np.asarray(recording[place], np.float64) - noise.offset,
                noise.read_variance if read_variance is None else read_variance[middle],
                None if mask is None else np.asarray(mask[place]),
            )


@dataclass(frozen=True)
class _Bands:
    """Frequencies beyond the cutoff (all, those next to it, those farthest) and some below it."""

    masks: NDArray[np.bool_]  # (4, 2Y, X + 1), of the mirrored plane
    powers: tuple[float, ...]  # kappa of each
    shares: tuple[float, ...]  # of all frequencies
    cutoff: float

    @classmethod
    def of(
        cls, shape: tuple[int, ...], cutoff: float, correlation: Sequence[float] | None
    ) -> _Bands | None:
        height, width = shape
        y = np.fft.fftfreq(2 * height)[:, None]
        x = np.fft.rfftfreq(2 * width)[None]
        radius = np.hypot(y, x)
        first = BEYOND * cutoff
        middle = max(0.5, first + 0.08)
        below = [low * cutoff for low in BELOW]
        masks = np.stack(
            [
                radius >= first,
                (radius >= first) & (radius < middle),
                radius >= middle,
                (radius >= below[0]) & (radius < below[1]),
            ]
        )
        rho_y, rho_x = tuple(correlation or (0.0, 0.0))[-2:]
        power = (1 + 2 * rho_y * np.cos(2 * np.pi * y)) * (1 + 2 * rho_x * np.cos(2 * np.pi * x))
        twice = np.full(masks.shape[-1], 2.0)  # what is left out of a real transform is its mirror
        twice[0] = twice[-1] = 1.0
        count = 4 * height * width
        shares = tuple(float((mask * twice).sum() / count) for mask in masks)
        powers = tuple(float((mask * twice * power).sum() / count) for mask in masks)
        if min(shares[0] / LEAST_SHARE, shares[2] * 4 / LEAST_SHARE) < 1:
            return None
        return cls(masks, powers, shares, cutoff)


def _compared(plane: Plane, slope: float, bands: _Bands) -> _Sums | None:
    signal = np.asarray(plane.signal, np.float64)
    height, width = signal.shape
    # The recording itself is the estimate of its light that has no bias, negative values too.
    own = slope * signal + plane.read_variance
    said = slope * np.maximum(gaussian_filter(signal, LIGHT), 0.0) + plane.read_variance
    used = np.zeros(signal.shape, bool)
    used[RIM:-RIM, RIM:-RIM] = True
    if plane.unusable is not None and plane.unusable.any():
        used &= ~maximum_filter(plane.unusable, 2 * RIM + 1)
    if used.sum() < 32**2 or not (variances := said[used]).any():
        return None
    # By the light around a pixel, as its own noise must not choose its group.
    order = np.argsort(_around(signal)[used])
    running = np.cumsum(variances[order])
    ends = np.searchsorted(running, running[-1] * np.arange(1, GROUPS) / GROUPS)
    groups = np.split(order, ends)
    room = (2 * height, 2 * width)
    spectrum, own_spectrum = (np.fft.rfft2(_mirrored(image)) for image in (signal, own))
    seen, expected = [], []
    for mask, power, share in zip(bands.masks, bands.powers, bands.shares, strict=True):
        filtered = np.fft.irfft2(spectrum * mask, s=room)[:height, :width][used]
        # What is seen in a pixel is the noise of its surroundings, by the square of the filter.
        weights = np.fft.rfft2(np.fft.irfft2(mask, s=room) ** 2)
        there = np.fft.irfft2(own_spectrum * weights, s=room)[:height, :width][used]
        seen.append([float((filtered[group] ** 2).sum()) for group in groups])
        expected.append([power / share * float(there[group].sum()) for group in groups])
    least = 1e-3 * np.array(bands.powers)[:, None] * [variances[group].sum() for group in groups]
    return _Sums(
        np.array(seen),
        np.maximum(expected, least),
        np.array([float(len(group)) for group in groups]),
        _axes(signal, bands.cutoff),
        [_steps(signal, said, used)],
    )


def _around(signal: FloatArray) -> FloatArray:
    """Average a square around each pixel, a smaller one in its middle left out."""
    outer, inner = AROUND
    whole, middle = (uniform_filter(signal, width) * width**2 for width in (outer, inner))
    light: FloatArray = (whole - middle) / (outer**2 - inner**2)
    return light


def _mirrored(image: FloatArray) -> FloatArray:
    return np.pad(image, [(0, length) for length in image.shape], mode="symmetric")


def _added(one: _Sums, other: _Sums) -> _Sums:
    return _Sums(
        one.seen + other.seen,
        one.said + other.said,
        one.pixels + other.pixels,
        one.axes + other.axes,
        one.steps + other.steps,
    )


def _axes(signal: FloatArray, cutoff: float) -> list[tuple[float, float]]:
    """Give power on the axes of the spectrum over that beside them, beyond the cutoff."""
    taper = np.outer(*(np.hanning(length + 2)[1:-1] for length in signal.shape))
    power = np.abs(np.fft.fft2(taper * (signal - signal.mean()))) ** 2
    y, x = (np.abs(np.fft.fftfreq(length)) for length in signal.shape)
    found = []
    for along, across, turned in ((y, x, power), (x, y, power.T)):
        beyond = along > BEYOND * cutoff
        step = 1 / len(across)
        on, beside = across < 1.5 * step, (across > 3.5 * step) & (across < 0.12)
        if not beyond.any() or not beside.any():
            return [(0.0, 0.0)]
        values = [float(turned[np.ix_(beyond, part)].mean()) for part in (on, beside)]
        found.append(values[0] / max(values[1], 1e-30))
    return [(found[0], found[1])]


def _steps(signal: FloatArray, said: FloatArray, used: NDArray[np.bool_]) -> FloatArray:
    """Give mean squared steps, over their variance, by their place modulo `BLOCK`, (2, BLOCK)."""
    found = []
    for values, variance, seen in ((signal, said, used), (signal.T, said.T, used.T)):
        both = seen[:, 1:] & seen[:, :-1]
        steps = np.diff(values, axis=1) ** 2 / np.maximum(variance[:, 1:] + variance[:, :-1], 1e-30)
        typical = np.median(steps[both])
        # Steps of structure are few and large.
        steps = np.minimum(steps, 20 * typical) * both
        found.append(
            [
                steps[:, place::BLOCK].sum() / max(both[:, place::BLOCK].sum(), 1)
                for place in range(BLOCK)
            ]
        )
    return np.array(found)


def _dependence(sums: _Sums, bands: _Bands, ratios: FloatArray, whole_counts: bool) -> str:
    """Say why pixels do not have independent noise, if they do not."""
    steps = np.mean(sums.steps, axis=0)
    highest = steps.max(axis=1) / np.maximum(np.median(steps, axis=1), 1e-30)
    # Of eight means of so many squares the highest is off by chance, too.
    chance = 4 * math.sqrt(3 * BLOCK / max(float(sums.pixels.sum()), 1))
    if highest.max() > STEPS + chance:
        return (
            f"blocks of {BLOCK} x {BLOCK} pixels show that the recording was compressed, as by JPEG"
        )
    if max(np.mean(sums.axes, axis=0)) > LINES:
        return "whole rows or columns share noise"
    variance = sums.seen[0].sum() / bands.powers[0] / sums.pixels.sum()
    if whole_counts and variance < ROUNDED / 12:
        return "beyond the optical cutoff hardly more noise is left than rounding makes"
    farthest = float(ratios[np.argmax(np.abs(np.log(ratios)))])
    if farthest > MUCH:
        return "there is light below the offset of the camera model, so that the offset is too high"
    if not FAR[0] < farthest < FAR[1]:
        kind = "smoothed" if farthest < 1 else "sharpened"
        return (
            f"beyond the optical cutoff there is {farthest:.2g} times the noise that the camera "
            f"model says, so that the recording was {kind}, or offset, gain or read variance are "
            "wrong"
        )
    # In each group and, as it is known better, in all of them.
    pixels = np.r_[sums.pixels, sums.pixels.sum()]
    seen, said = (np.c_[part, part.sum(axis=1)] for part in (sums.seen, sums.said))
    levels = np.log(seen / said)
    of_all, inner, outer, near = (share * pixels for share in bands.shares)
    if np.any(np.abs(levels[1] - levels[2]) > math.log(FLAT) + _chance(inner, outer)):
        return (
            "the noise is not the same at all frequencies beyond the optical cutoff, so that "
            "pixels share noise, as filters, compression and resampling leave it"
        )
    # Structure can only add to the noise there.
    if np.any(levels[3] - levels[0] < math.log(LACKING) - _chance(near, of_all)):
        return "noise is lower below the optical cutoff than beyond it, as sharpening leaves it"
    return ""


def _chance(one: FloatArray, other: FloatArray) -> FloatArray:
    """Give two standard errors of the log of a ratio of variances, each of so many numbers."""
    return 2 * np.sqrt(2 / np.maximum(one, 1) + 2 / np.maximum(other, 1))
