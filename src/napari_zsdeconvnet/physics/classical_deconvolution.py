"""Classical deconvolution on the output grid: what the networks are compared with.

Both methods know the same forward model as the networks: the structure, on a grid whose lateral
pixel may be half the camera's, is blurred by the PSF and averaged over the pixels of the camera.
An image (Y, X) and a stack (Z, Y, X) go the same way; planes are neither added nor averaged.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, optimize

from ..noise.noise_model import NoiseModel
from ..psf.psf import PSF
from ..utils.errors import InputError

FloatImage = NDArray[np.float32]

WORKERS = 2
"""Threads of one Fourier transform: more gain little for images of this size."""

MAX_ITERATIONS = 200
"""Where Richardson-Lucy ends if its own rule has not ended it before."""


@dataclass(frozen=True, eq=False)
class Iteration:
    """One step of Richardson-Lucy.

    Attributes
    ----------
    number
        Counted from 1.
    estimate
        The structure on the output grid, counts above the offset, float32.
    reblurred
        The image that this structure would give on the raw grid, counts above the offset.
    chi_square
        Mean squared residual in units of the noise variance; NaN where the gain is unknown.
    """

    number: int
    estimate: FloatImage
    reblurred: FloatImage
    chi_square: float

    @property
    def explains_image(self) -> bool:
        """Whether the residual is no larger than noise: the discrepancy principle.

        Two standard errors of the chi-square are granted, as the noise of this very image may
        be above its average; without them it might never come so far.
        """
        return self.chi_square <= 1 + 2 * math.sqrt(2 / self.reblurred.size)


def iterate_richardson_lucy(
    image: ArrayLike, psf: PSF, noise: NoiseModel, *, upsampling: int | None = None
) -> Iterator[Iteration]:
    r"""Deconvolve by Richardson-Lucy, one iteration per item, for as long as asked.

    With :math:`A` the blur and binning, :math:`y` the image above its offset in counts and
    :math:`s = \sigma_r^2 / g` the read variance over the gain,

    .. math:: x \leftarrow x \; A^T \frac{y + s}{A x + s} \Big/ A^T 1 .

    A Gaussian of variance :math:`\sigma_r^2` is close to a Poisson variable less its mean, so
    the shift by :math:`s` makes the sum of both noises nearly Poisson (Snyder and others,
    J. Opt. Soc. Am. A 12, 1995); it also leaves far fewer negative values to be cut. Without
    read noise it is the plain algorithm (Richardson 1972, Lucy 1974). After each iteration the
    estimate is scaled to the light in the image, which a structure that cannot be negative
    would exceed in a noisy background. Beyond its edge the image is continued by reflection.

    Parameters
    ----------
    image
        (Y, X) or (Z, Y, X) in counts.
    psf
        Of as many axes as the image, on the output grid.
    noise
        Offset, gain and read variance of the camera.
    upsampling
        Output pixels per raw pixel along Y and X; by default 2 for an image, 1 for a stack.

    Yields
    ------
    Iteration

    Raises
    ------
    InputError
        The image is neither 2D nor 3D or not finite, the PSF has another number of axes, or
        the read variance is known and the gain is not.
    """
    signal, projector = _prepare(image, psf, noise, upsampling)
    shift = 0.0
    if noise.read_variance > 0:
        shift = noise.read_variance / _known_slope(noise)
    padded = projector.pad(signal)
    measured = np.maximum(padded + np.float32(shift), 0)
    tiny = np.float32(1e-6 * max(float(measured.mean()), 1e-6))
    light = np.float32(max(float(padded.mean()), float(tiny)))

    estimate = np.full(projector.output_shape, light, np.float32)
    reblurred = projector.project(estimate)
    ratio = np.empty_like(measured)
    number = 0
    while True:
        number += 1
        np.add(reblurred, np.float32(shift), out=ratio)
        np.divide(measured, np.maximum(ratio, tiny, out=ratio), out=ratio)
        factor = projector.back_project(ratio)
        estimate *= np.maximum(factor, 0, out=factor)
        estimate *= light / max(estimate.mean(), tiny)
        reblurred = projector.project(estimate)
        seen = projector.crop(reblurred)
        yield Iteration(
            number=number,
            estimate=projector.crop_output(estimate).copy(),
            reblurred=seen.copy(),
            chi_square=_chi_square(signal, seen, noise),
        )


def until_explained(steps: Iterable[Iteration]) -> Iterator[Iteration]:
    """Pass on iterations up to the first that explains the image within its noise.

    The discrepancy principle, which needs no truth: what is iterated further takes noise for
    structure. The gain must be known. It ends after `MAX_ITERATIONS` at the latest.
    """
    for step in steps:
        yield step
        if step.explains_image or step.number >= MAX_ITERATIONS:
            return


def richardson_lucy(
    image: ArrayLike,
    psf: PSF,
    noise: NoiseModel,
    *,
    iterations: int | None = None,
    upsampling: int | None = None,
) -> FloatImage:
    """Deconvolve by Richardson-Lucy: float32 counts above the offset on the output grid.

    Image, PSF, noise and up-sampling are those of `iterate_richardson_lucy`, and so are the errors.
    By default the discrepancy principle decides how many iterations there are (`until_explained`);
    the gain must be known for that.
    """
    if iterations is not None and iterations < 1:
        raise InputError("iterations-wrong", f"iterations is {iterations}; ask for at least 1.")
    if iterations is None:
        _known_slope(noise)
    steps = iterate_richardson_lucy(image, psf, noise, upsampling=upsampling)
    wanted = until_explained(steps) if iterations is None else islice(steps, iterations)
    return deque(wanted, maxlen=1)[0].estimate


def wiener(
    image: ArrayLike,
    psf: PSF,
    noise: NoiseModel,
    *,
    regularisation: float | None = None,
    upsampling: int | None = None,
) -> FloatImage:
    """Deconvolve linearly, in one step: float32 counts above the offset on the output grid.

    The most probable structure if it and the noise were white and Gaussian with the variance
    ratio :math:`k`: :math:`x = A^T (A A^T + k)^{-1} y`. As :math:`A A^T` is a convolution on
    the raw grid, its inverse is a division of spectra. The mean is set aside before and put
    back after, so that the counts are kept. The result may be negative.

    Image, PSF, noise and up-sampling are those of `iterate_richardson_lucy`, and so are the errors.
    By default the discrepancy principle decides on :math:`k`, the regularisation: the residual is
    then as large as the noise; the gain must be known for that.
    """
    if regularisation is not None and not regularisation > 0:
        raise InputError(
            "regularisation-wrong", f"regularisation is {regularisation}; it must be above 0."
        )
    signal, projector = _prepare(image, psf, noise, upsampling)
    mean = signal.mean()
    padded = projector.pad(signal - mean)
    point = np.zeros(projector.raw_shape, np.float32)
    point.flat[0] = 1
    response = fft.rfftn(projector.project(projector.back_project(point)), workers=WORKERS).real

    spectrum = fft.rfftn(padded, workers=WORKERS)
    if regularisation is None:
        noise_variance = max(float(mean) * _known_slope(noise), 0.0) + noise.read_variance
        regularisation = _discrepancy(spectrum, response, noise_variance, padded.size)
    spectrum /= response + np.float32(regularisation)
    filtered = fft.irfftn(spectrum, s=point.shape, workers=WORKERS)
    structure = projector.crop_output(projector.back_project(filtered))
    return np.asarray(structure - structure.mean() + mean, dtype=np.float32)


class _Projector:
    """The forward model and its transpose, on a grid that is wider than the image.

    The image is widened by reflection, by at least the reach of the PSF, so that the Fourier
    transform's periodic border lies outside of what is returned.
    """

    def __init__(self, psf: NDArray[np.floating], shape: tuple[int, ...], upsampling: int) -> None:
        self.factors = (1,) * (len(shape) - 2) + (upsampling, upsampling)
        reach = [-(-(n // 2) // factor) for n, factor in zip(psf.shape, self.factors, strict=True)]
        self.raw_shape = tuple(
            fft.next_fast_len(n + 2 * r, real=True) for n, r in zip(shape, reach, strict=True)
        )
        self.output_shape = self._fine(self.raw_shape)
        self._before = tuple((wide - n) // 2 for wide, n in zip(self.raw_shape, shape, strict=True))
        self._shape = shape
        kernel = np.zeros(self.output_shape, np.float32)
        kernel[tuple(slice(n) for n in psf.shape)] = psf
        kernel = np.roll(kernel, [-(n // 2) for n in psf.shape], axis=range(psf.ndim))
        self._transfer = fft.rfftn(kernel, workers=WORKERS)

    def project(self, structure: FloatImage) -> FloatImage:
        """Blur and average: A x."""
        blurred = self._filter(structure, self._transfer)
        factor = self.factors[-1]
        if factor == 1:
            return blurred
        *planes, rows, columns = self.raw_shape
        return np.asarray(
            blurred.reshape(*planes, rows, factor, columns, factor).mean(axis=(-3, -1))
        )

    def back_project(self, image: FloatImage) -> FloatImage:
        """Spread and blur backwards: A^T y over A^T 1, so that 1 goes to 1."""
        factor = self.factors[-1]
        if factor > 1:
            image = np.repeat(np.repeat(image, factor, axis=-2), factor, axis=-1)
        return self._filter(image, np.conj(self._transfer))

    def pad(self, image: FloatImage) -> FloatImage:
        width = [
            (before, wide - n - before)
            for before, wide, n in zip(self._before, self.raw_shape, self._shape, strict=True)
        ]
        return np.pad(image, width, mode="symmetric")

    def crop(self, image: FloatImage) -> FloatImage:
        return _window(image, self._before, self._shape)

    def crop_output(self, image: FloatImage) -> FloatImage:
        return _window(image, self._fine(self._before), self._fine(self._shape))

    def _fine(self, numbers: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(n * factor for n, factor in zip(numbers, self.factors, strict=True))

    def _filter(self, image: FloatImage, transfer: NDArray[np.complexfloating]) -> FloatImage:
        spectrum = fft.rfftn(image, workers=WORKERS)
        spectrum *= transfer
        return np.asarray(fft.irfftn(spectrum, s=image.shape, workers=WORKERS, overwrite_x=True))


def _window(image: FloatImage, start: tuple[int, ...], shape: tuple[int, ...]) -> FloatImage:
    return image[tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))]


def _prepare(
    image: ArrayLike, psf: PSF, noise: NoiseModel, upsampling: int | None
) -> tuple[FloatImage, _Projector]:
    """Check what was given; return the counts above the offset and the forward model."""
    counts = np.asarray(image)
    if counts.ndim not in (2, 3):
        raise InputError(
            "image-axes-count",
            f"The image has {counts.ndim} axes; give one frame (YX) or one stack (ZYX).",
        )
    if psf.array.ndim != counts.ndim:
        raise InputError(
            "psf-other-axes",
            f"The image has {counts.ndim} axes and the PSF {psf.array.ndim}; a frame needs one "
            "plane of the PSF, and a stack the whole of it.",
        )
    if not np.all(np.isfinite(counts)):
        raise InputError(
            "image-not-finite", "The image has values that are not finite; replace them first."
        )
    if upsampling is None:
        upsampling = 2 if counts.ndim == 2 else 1
    if upsampling < 1:
        raise InputError("upsampling-wrong", f"upsampling is {upsampling}; use 1 or 2.")
    signal = counts.astype(np.float32) - np.float32(noise.offset)
    return signal, _Projector(psf.array, counts.shape, upsampling)


def _known_slope(noise: NoiseModel) -> float:
    if noise.slope is None:
        raise InputError(
            "gain-unknown", "The noise model has no gain; give one in counts per electron."
        )
    return noise.slope


def _discrepancy(
    spectrum: NDArray[np.complexfloating],
    response: NDArray[np.floating],
    noise_variance: float,
    pixels: int,
) -> float:
    """Regularisation at which the residual k / (A A^T + k) y has the variance of the noise."""
    power = np.abs(spectrum) ** 2 / pixels**2
    # A real transform holds one half of the spectrum; the rest of it has the same power.
    power[..., 1:] *= 2

    def excess(log_k: float) -> float:
        k = np.exp(log_k)
        residual = power * (k / (response + k)) ** 2
        return float(residual.sum()) - noise_variance

    low, high = np.log(1e-6), np.log(1e3)
    if excess(high) <= 0:
        return float(np.exp(high))
    if excess(low) >= 0:
        return float(np.exp(low))
    return float(np.exp(optimize.brentq(excess, low, high, xtol=1e-3)))


def _chi_square(signal: FloatImage, expected: FloatImage, noise: NoiseModel) -> float:
    if noise.slope is None:
        return float("nan")
    variance = noise.slope * np.maximum(expected, 0) + max(noise.read_variance, 1e-6)
    return float(((signal - expected) ** 2 / variance).mean())
