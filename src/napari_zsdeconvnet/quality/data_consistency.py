"""What a result leaves unexplained: blur it again, and compare with the recording.

Where a result is right, image less re-blurred result is the camera's noise and nothing else:
white, and of the calibrated variance. Three things can go wrong, and each shows elsewhere.
Beyond the optical cutoff no result can follow the image, so the residual there is the noise
itself and tests the calibration. Within it, too much says that PSF and image do not fit or that
training is not done; too little, that the network follows the noise. And beyond it neighbours
agree only where the noise was not white when it was recorded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import fft, ndimage

from ..noise.noise_model import NoiseModel
from ..noise.recorruption import mean_reach
from ..physics.beyond_faces import volume_reblurred
from ..physics.forward import Blur, bin_down, remaining_blur
from ..psf.psf import PSF
from ..utils.phases import go_on
from .spectra import FloatArray

OUTER = 1.15
"""Times the cutoff, from where on a residual is noise for certain."""

FEWEST_MODES = 300
"""Modes beyond the cutoff that are needed to speak of the noise there."""

LEAST_POWER = 0.1
"""Of what white noise would have, for a mode of shared noise to say anything."""

HAZE = 0.25
"""Times the cutoff, below which the residual of a volume does not count: there light from above
and below the stack shows, which no result within it can explain."""

LAGS = ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0))
"""Neighbours within a plane, (rows, columns) away, whose agreement is measured."""


@dataclass(frozen=True)
class Power:
    """Mean square of a z-map, of which 1 is expected, over part of its spectrum."""

    value: float
    modes: int
    """How many real numbers it is the mean of."""

    @property
    def error(self) -> float:
        """Standard error of the mean square of so many Gaussian numbers of variance 1."""
        return math.sqrt(2 / max(self.modes, 1))


@dataclass(frozen=True, eq=False)
class Residual:
    """The residual of a result.

    Attributes
    ----------
    z
        Image less re-blurred result in standard deviations of the noise, float32 ([Z,] Y, X).
    whole
        Reduced chi-square: the mean square of z, less a border.
    carried
        That part of it that the optics can carry, up to the cutoff.
    noise
        The part beyond the cutoff; None where the pixels are too coarse to have one.
    contrast
        Power of the re-blurred result over that of the noise, up to the cutoff.
    correlation
        Largest in size of the correlations with neighbours in any direction, beyond the cutoff
        or, where there is no such part, of the whole residual; None where that is no noise of a
        camera.
    correlation_error
        Standard error of one such correlation of white noise.
    """

    z: NDArray[np.float32]
    whole: Power
    carried: Power
    noise: Power | None
    contrast: float
    correlation: float | None
    correlation_error: float


def residual(
    image: ArrayLike,
    deconvolved: ArrayLike,
    psf: PSF,
    noise: NoiseModel,
    upsampling: int,
    stated_width: tuple[float, ...] | None = None,
    read_variance: NDArray[np.float32] | None = None,
    background: ArrayLike | None = None,
    left_out: NDArray[np.bool_] | None = None,
) -> Residual:
    r"""Blur a result again and compare it with its image.

    :math:`z = (y - b - (f * h)_\downarrow) / \sigma`, with
    :math:`\sigma^2 = g (f * h)_\downarrow + \sigma_r^2`.

    Parameters
    ----------
    image
        Counts, ([Z,] Y, X).
    deconvolved
        On the output grid, counts above the offset.
    psf
        On that grid.
    noise
        The camera; its gain must be known.
    upsampling
        1 or 2.
    stated_width
        Where the result shows the structure through a Gaussian, its FWHM in output pixels along
        each axis: h is then what blur is left to do.
    read_variance
        Each pixel's own, (Y, X).
    background
        Light that is out of focus and no part of the result, counts above the offset; it counts
        to what is expected.
    left_out
        True for pixels that must not be used, of the image's shape; z is 0 there.
    """
    recorded = np.asarray(image, dtype=np.float32) - np.float32(noise.offset)
    expected = explained(recorded, deconvolved, psf, upsampling, stated_width)
    if background is not None:
        expected = expected + np.asarray(background, dtype=np.float32)
    # Not from the image: where a pixel's own noise enters its variance, or a mean around it takes
    # the edge off structure, chi-square comes out up to a tenth too low.
    variance = _at_least_rounding(noise.variance(expected + noise.offset, read_variance))
    z = (recorded - expected) / np.sqrt(variance)
    part = inside(z.shape, psf, upsampling)
    inner = z[part]
    if left_out is not None:
        z[left_out] = 0
        # White noise of which some pixels are left out has so much less power at all frequencies.
        inner = z[part] / math.sqrt(max(float(np.mean(~left_out[part])), 1e-6))
    structure = (expected / np.sqrt(variance))[part]
    spectrum, signal = (fft.fft2(values, norm="ortho") for values in (inner, structure))
    # Shared noise has its own spectrum; only what departs from it says anything, and where it has
    # next to no power nothing does.
    expected_power = shared_power(inner.shape, noise.correlation)
    telling = np.broadcast_to(expected_power > LEAST_POWER, inner.shape)
    spectrum /= np.sqrt(np.maximum(expected_power, LEAST_POWER))
    power = np.abs(spectrum) ** 2
    carried = telling & ~beyond_cutoff(inner.shape, psf, upsampling, 1.0)
    carried[..., 0, 0] = False
    if inner.ndim == 3:
        carried &= beyond_cutoff(inner.shape, psf, upsampling, HAZE)
    beyond = telling & beyond_cutoff(inner.shape, psf, upsampling)
    enough = int(beyond.sum()) >= FEWEST_MODES
    floor = power[beyond].mean() if enough else 1.0
    free = beyond if enough else telling
    return Residual(
        z=z.astype(np.float32),
        whole=Power(float(np.mean(np.square(inner))), inner.size),
        carried=_power(power, carried),
        noise=_power(power, beyond) if enough else None,
        contrast=float(np.mean(np.abs(signal[carried]) ** 2) / floor),
        correlation=neighbour_correlation(spectrum, free),
        correlation_error=1 / math.sqrt(int(free.sum())),
    )


def local_variance(
    image: ArrayLike, noise: NoiseModel, read_variance: ArrayLike | None = None
) -> FloatArray:
    """Variance of the noise in each pixel of an image, from the mean around it (equation 3).

    Pixels may each have a read variance of their own, (Y, X).
    """
    values = np.asarray(image, dtype=float)
    size = tuple(2 * reach + 1 for reach in mean_reach(values.ndim))
    return _at_least_rounding(noise.variance(ndimage.uniform_filter(values, size), read_variance))


def _at_least_rounding(variance: FloatArray) -> FloatArray:
    """Keep what rounding to whole counts leaves where a camera without read noise sees no light."""
    return np.maximum(variance, 1 / 12)


def explained(
    recorded: ArrayLike,
    deconvolved: ArrayLike,
    psf: PSF,
    upsampling: int,
    stated_width: tuple[float, ...] | None = None,
) -> NDArray[np.float32]:
    """Give what a result explains of a recording (counts above the offset), on its grid.

    Of a volume light from beyond its faces is part of that: see `volume_reblurred`.
    """
    if psf.array.ndim == 3:
        return volume_reblurred(recorded, deconvolved, psf, upsampling, stated_width)
    return reblurred(deconvolved, psf, upsampling, stated_width)


def reblurred(
    deconvolved: ArrayLike,
    psf: PSF,
    upsampling: int,
    stated_width: tuple[float, ...] | None = None,
) -> NDArray[np.float32]:
    """Blur an image's result with the PSF and bin it to the raw grid, float32 (Y, X)."""
    blur = Blur(remaining_blur(psf.array, stated_width))
    with torch.inference_mode():
        sharp = torch.from_numpy(np.array(deconvolved, dtype=np.float32))[None, None]
        return np.asarray(bin_down(blur(sharp), upsampling)[0, 0].numpy())


def inside(shape: tuple[int, ...], psf: PSF, upsampling: int) -> tuple[slice, ...]:
    """Leave out a border as wide as the PSF, whose light comes from beyond the image.

    Two widths of the PSF along each axis, and at most a sixth of it, along Z a third.
    """
    factors = (1, upsampling, upsampling)[-len(shape) :]
    parts = []
    most = (3, 6, 6)[-len(shape) :]
    for length, width, step, factor, share in zip(
        shape, psf.fwhm, psf.steps, factors, most, strict=True
    ):
        reach = 0 if math.isnan(width) else math.ceil(2 * width / (step * factor))
        border = min(reach, length // share)
        parts.append(slice(border, length - border))
    return tuple(parts)


def beyond_cutoff(
    shape: tuple[int, ...], psf: PSF, upsampling: int, factor: float = OUTER
) -> NDArray[np.bool_]:
    """Mark in a raw image's spectrum, plane by plane, what is beyond the cutoff times a factor."""
    pixel = psf.steps[-1] * upsampling
    radius = np.hypot(fft.fftfreq(shape[-2], pixel)[:, None], fft.fftfreq(shape[-1], pixel))
    return np.asarray(np.broadcast_to(radius > factor * psf.otf_cutoff, shape))


def shared_power(
    shape: tuple[int, ...], correlation: tuple[float, ...] | None
) -> NDArray[np.float64]:
    """Power of noise of variance 1 that neighbours in a plane share, over its spectrum (Y, X)."""
    power = np.ones((1, 1))
    for axis, value in enumerate((correlation or (0.0, 0.0))[-2:], -2):
        along = 1 + 2 * value * np.cos(2 * np.pi * fft.fftfreq(shape[axis]))
        power = power * along.reshape((-1, 1) if axis == -2 else (1, -1))
    return power


def _power(power: FloatArray, part: NDArray[np.bool_]) -> Power:
    return Power(float(power[part].mean()), int(part.sum()))


def neighbour_correlation(spectrum: NDArray[np.inexact], part: NDArray[np.bool_]) -> float:
    r"""Correlate with neighbours, from part of a spectrum; the largest in size.

    :math:`\sum |Z|^2 \cos(k r) / \sum |Z|^2`, less the same of a white noise; between
    neighbouring planes the sum of one spectrum times the other's conjugate.
    """
    power = np.where(part, np.abs(spectrum) ** 2, 0.0)
    total = float(power.sum())
    rows = 2 * np.pi * fft.fftfreq(part.shape[-2])[:, None]
    columns = 2 * np.pi * fft.fftfreq(part.shape[-1])
    found = []
    for down, right in LAGS:
        go_on()
        wave = np.cos(down * rows + right * columns)
        white = float((part * wave).sum()) / int(part.sum())
        found.append(float((power * wave).sum()) / total - white)
    if part.ndim == 3 and len(part) > 1:
        cross = (spectrum[1:] * np.conj(spectrum[:-1])).real[part[1:]].sum()
        found.append(float(cross) / total * len(part) / (len(part) - 1))
    return max(found, key=abs)
