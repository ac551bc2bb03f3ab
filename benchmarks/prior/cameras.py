"""Cameras of all kinds, what they record of a scene, and what a calibration says of them.

All in photoelectrons. What a network is told is the camera as calibrated: with errors as large
as those of a calibration from one image, so that a wrong gain costs little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Recording:
    """One image, in units of ``scale`` photoelectrons."""

    image: Array
    expected: Array
    """Without noise; with the part of the offset that the calibration missed."""
    light: float
    """What 1 of the scene is in these units."""
    background: float
    """The part of the offset that the calibration missed."""
    shot: float
    read: float
    """As told: the noise variance is ``shot * light + read``."""
    noise: float
    """True noise variance, averaged over the image."""
    excess: float


def log_uniform(rng: np.random.Generator, least: float, most: float) -> float:
    return float(np.exp(rng.uniform(np.log(least), np.log(most))))


def record(clean: Array, rng: np.random.Generator, *, perfect: bool = False) -> Recording:
    """Record a scene, whose brightest is about 1, under a light and by a camera of its own.

    A perfect camera has shot noise and read noise alone, and is known without error.
    """
    photons, read = log_uniform(rng, 1.5, 1500), log_uniform(rng, 0.5, 40)
    kinds, shares = list(CAMERAS), [share for _, share in CAMERAS.values()]
    kind = "plain" if perfect else rng.choice(kinds, p=shares)
    electrons, shot, read = CAMERAS[kind][0](clean * photons, read, rng)
    variance = shot * clean * photons + read
    told_shot, told_read, offset = (shot, read, 0.0) if perfect else calibrated(shot, read, rng)
    electrons = electrons + offset
    excess = 1.0
    if rng.random() < 0.5:
        # Re-corrupted as the training does it (equation 2), by the noise that it is told of.
        magnitude = rng.uniform(1, 2)
        mean = ndimage.uniform_filter(electrons, (3, 5, 5)[-clean.ndim :])
        added = magnitude**2 * np.clip(told_shot * mean + told_read, 0, None)
        electrons = electrons + np.sqrt(added) * rng.standard_normal(clean.shape)
        excess = 1 + magnitude**2
        variance = variance + added
    scale = photons * np.exp(0.3 * rng.normal())
    return Recording(
        electrons / scale,
        (clean * photons + offset) / scale,
        photons / scale,
        offset / scale,
        told_shot / scale,
        told_read / scale**2,
        float(variance.mean()) / scale**2,
        excess,
    )


def calibrated(shot: float, read: float, rng: np.random.Generator) -> tuple[float, float, float]:
    """Give what a calibration finds of either, and what it leaves of the offset.

    Errors are rarer than in use: with many of them, and many odd cameras, weights became 0.4 dB
    worse on dim filaments. Which of them did it has not been measured.
    """
    offset = 0.0
    if rng.random() < 0.4:
        shot *= np.exp(0.25 * rng.normal())
        read *= np.exp(0.35 * rng.normal())
    elif rng.random() < 0.06:
        shot *= rng.choice([0.5, 2.0])
    if rng.random() < 0.2:
        offset = 0.1 * rng.normal() * np.sqrt(read)
    return shot, read, offset


# Each camera takes expected electrons and a read variance, and gives what it records, and the
# shot noise for each electron and the read variance that a perfect calibration finds.


def plain(light, read, rng):
    return rng.poisson(light) + np.sqrt(read) * rng.standard_normal(light.shape), 1.0, read


def multiplying(light, read, rng):
    """EMCCD: the multiplication doubles the variance; what is read out after it hardly counts."""
    read = read / 20
    electrons = rng.gamma(rng.poisson(light))
    return electrons + np.sqrt(read) * rng.standard_normal(light.shape), 2.0, read


def by_pixel(light, read, rng):
    """sCMOS: each pixel has its gain, its read noise and what is left of its offset."""
    shape = light.shape[-2:]  # the same ones in every plane
    gain = 1 + rng.uniform(0, 0.05) * rng.standard_normal(shape)
    reads = np.exp(rng.uniform(0.2, 0.8) * rng.standard_normal(shape))
    reads *= np.where(rng.random(shape) < rng.uniform(0, 0.01), 15, 1)
    reads *= read / reads.mean()
    columns = rng.uniform(0, 0.25) * np.sqrt(read) * rng.standard_normal((1, shape[1]))
    electrons = rng.poisson(light) + np.sqrt(reads) * rng.standard_normal(light.shape) + columns
    return gain * electrons, 1.0, read + columns.var()


def correlated(light, read, rng):
    """Neighbours share noise: charge that spreads, or an image that was moved or rotated."""
    share = rng.uniform(0.03, 0.25)
    kernel = np.array([share, 1.0, share])
    kernel /= kernel.sum()
    axis = rng.choice([None, -2, -1])
    noise = plain(light, read, rng)[0] - light
    left = 1.0
    for each in (-2, -1) if axis is None else (axis,):
        noise = ndimage.convolve1d(noise, kernel, axis=each, mode="wrap")
        left *= float((kernel**2).sum())
    return light + noise, left, read * left


def rounded(light, read, rng):
    """8 bit: counts are a few electrons wide."""
    step = np.sqrt(read + light.mean()) * rng.uniform(0.5, 2.0)
    electrons = plain(light, read, rng)[0]
    return step * np.rint(electrons / step + 0.5) - 0.5 * step, 1.0, read + step**2 / 12


def clipped(light, read, rng):
    """Clip at zero counts, as where the offset is low."""
    electrons, shot, read = plain(light, read, rng)
    return np.clip(electrons, -rng.uniform(0, 1.5) * np.sqrt(read), None), shot, read


def mended(light, read, rng):
    """Hot and dead pixels, rows or columns, filled in from those around them."""
    electrons, shot, read = plain(light, read, rng)
    bad = rng.random(light.shape[-2:]) < log_uniform(rng, 1e-3, 0.02)
    if rng.random() < 0.3:
        bad[:, rng.integers(light.shape[-1])] = True
    if rng.random() < 0.5:
        filled = ndimage.median_filter(electrons, size=(1, 3, 3)[-light.ndim :])
    else:
        width = (0, 0.8, 0.8)[-light.ndim :]
        weight = ndimage.gaussian_filter((~bad).astype(float), 0.8)
        filled = ndimage.gaussian_filter(np.where(bad, 0, electrons), width)
        filled = filled / np.maximum(weight, 1e-6)
    return np.where(bad, filled, electrons), shot, read


CAMERAS = {
    "plain": (plain, 0.58),
    "multiplying": (multiplying, 0.10),
    "by pixel": (by_pixel, 0.12),
    "correlated": (correlated, 0.03),
    "rounded": (rounded, 0.07),
    "clipped": (clipped, 0.04),
    "mended": (mended, 0.06),
}
"""The kinds and their shares."""
