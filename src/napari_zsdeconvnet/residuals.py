"""What a result leaves unexplained: blur it again, and compare with the recording.

Where a result is right, image less re-blurred result is the camera's noise and nothing else:
white, and of the calibrated variance. Three things can go wrong, and each shows elsewhere.
Beyond the optical cutoff no result can follow the image, so the residual there is the noise
itself and tests the calibration. Within it, too much says that PSF and image do not fit or that
training is not done; too little, that the network follows the noise. And neighbouring pixels of
the residual agree only where structure is left in it or where the noise was not white.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from .forward import Blur, bin_down
from .noise import NoiseModel
from .psf import PSF
from .spectra import FloatArray

OUTER = 1.15
"""Times the cutoff, from where on a residual is noise for certain."""

FEWEST_MODES = 300
"""Modes beyond the cutoff that are needed to speak of the noise there."""

LAGS = 2
"""Neighbours along each axis whose agreement is measured."""


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
    correlation
        Largest in size of the correlations with neighbours, along any axis.
    correlation_error
        Standard error of one such correlation of white noise.
    """

    z: NDArray[np.float32]
    whole: Power
    carried: Power
    noise: Power | None
    correlation: float
    correlation_error: float


def residual(
    image: ArrayLike, deconvolved: ArrayLike, psf: PSF, noise: NoiseModel, upsampling: int
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
    """
    expected = reblurred(deconvolved, psf, upsampling)
    signal = np.asarray(image, dtype=np.float32) - np.float32(noise.offset)
    # A camera without read noise has no variance where there is no light; rounding leaves some.
    variance = np.maximum(noise.variance(expected + noise.offset), 1 / 12)
    z = (signal - expected) / np.sqrt(variance)
    inner = z[inside(z.shape, psf, upsampling)]
    carried, beyond = _bands(inner, psf, upsampling)
    return Residual(
        z=z.astype(np.float32),
        whole=Power(float(np.mean(np.square(inner))), inner.size),
        carried=carried,
        noise=beyond,
        correlation=_correlation(inner),
        correlation_error=1 / math.sqrt(inner.size),
    )


def reblurred(deconvolved: ArrayLike, psf: PSF, upsampling: int) -> NDArray[np.float32]:
    """Blur a result with the PSF and bin it to the raw grid, float32 ([Z,] Y, X)."""
    blur = Blur(psf.array)
    with torch.inference_mode():
        sharp = torch.from_numpy(np.array(deconvolved, dtype=np.float32))[None, None]
        return np.asarray(bin_down(blur(sharp), upsampling)[0, 0].numpy())


def inside(shape: tuple[int, ...], psf: PSF, upsampling: int) -> tuple[slice, ...]:
    """Leave out a border as wide as the PSF, whose light comes from beyond the image.

    Two widths of the PSF along each axis, and at most a sixth of it.
    """
    factors = (1, upsampling, upsampling)[-len(shape) :]
    parts = []
    for length, width, step, factor in zip(shape, psf.fwhm, psf.steps, factors, strict=True):
        reach = 0 if math.isnan(width) else math.ceil(2 * width / (step * factor))
        border = min(reach, length // 6)
        parts.append(slice(border, length - border))
    return tuple(parts)


def beyond_cutoff(
    shape: tuple[int, ...], psf: PSF, upsampling: int, factor: float = OUTER
) -> NDArray[np.bool_]:
    """Mark in a raw image's spectrum, plane by plane, what is beyond the cutoff times a factor."""
    pixel = psf.steps[-1] * upsampling
    radius = np.hypot(fft.fftfreq(shape[-2], pixel)[:, None], fft.fftfreq(shape[-1], pixel))
    return np.asarray(np.broadcast_to(radius > factor * psf.otf_cutoff, shape))


def _bands(z: FloatArray, psf: PSF, upsampling: int) -> tuple[Power, Power | None]:
    """Split the mean square of z in a part up to the cutoff and one beyond."""
    power = np.abs(fft.fft2(z, norm="ortho")) ** 2
    within = ~beyond_cutoff(z.shape, psf, upsampling, 1.0)
    within[..., 0, 0] = False
    beyond = beyond_cutoff(z.shape, psf, upsampling)
    carried = Power(float(power[within].mean()), int(within.sum()))
    if beyond.sum() < FEWEST_MODES:
        return carried, None
    return carried, Power(float(power[beyond].mean()), int(beyond.sum()))


def _correlation(z: FloatArray) -> float:
    """Correlate with the next and the next but one pixel along each axis; the largest in size."""
    centred = z - z.mean()
    power = float(np.mean(centred**2))
    found = [0.0]
    for axis in range(z.ndim):
        moved = np.moveaxis(centred, axis, 0)
        found += [
            float(np.mean(moved[lag:] * moved[:-lag])) / power
            for lag in range(1, LAGS + 1)
            if len(moved) > 4 * lag
        ]
    return max(found, key=abs)
