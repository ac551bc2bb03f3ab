"""How close a result comes to a known truth, and whether it keeps the light.

Conventions of the scores: the border is left out first; then the image is fitted to the
reference by one straight line ``a * image + b`` (least squares), because methods differ in
the scale and level they return; the data range of PSNR and SSIM is the maximum less the
minimum of the reference within the border. Images (Y, X) and volumes (Z, Y, X) are treated
alike; a length or a border is one number for all axes, or one for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from ..utils.errors import InputError

FloatArray = NDArray[np.float64]
Lengths = float | Sequence[float]

FWHM_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))
"""Full width at half maximum of a Gaussian of standard deviation 1."""


@dataclass(frozen=True)
class Scores:
    """Agreement with a reference: PSNR in decibels, and mean SSIM."""

    psnr: float
    ssim: float


def fit_intensity(image: ArrayLike, reference: ArrayLike) -> FloatArray:
    """Return ``a * image + b`` that comes closest to the reference, by least squares."""
    values, target = same_shape(image, reference)
    values = values - values.mean()
    power = np.vdot(values, values)
    slope = np.vdot(values, target - target.mean()) / power if power > 0 else 0.0
    return np.asarray(slope * values + target.mean())


def score(image: ArrayLike, reference: ArrayLike, *, border: int | Sequence[int] = 0) -> Scores:
    """Score an image or a volume against a reference after one linear fit of its intensities.

    Parameters
    ----------
    image, reference
        (Y, X) or (Z, Y, X) on the same grid.
    border
        Pixels left out on every side: one number, or one for each axis.

    Raises
    ------
    InputError
        The shapes differ, the images are neither 2D nor 3D, the border leaves less than 11
        pixels along an axis, or the reference is flat.
    """
    values, target = same_shape(image, reference)
    if values.ndim not in (2, 3):
        raise InputError(
            "image-axes-count",
            f"The image has {values.ndim} axes; score one frame (YX) or one stack (ZYX).",
        )
    widths = per_axis(border, values.ndim, "The border")
    if min(n - 2 * width for n, width in zip(values.shape, widths, strict=True)) < 11:
        raise InputError(
            "border-too-wide",
            f"Of shape {values.shape} the border of {border} leaves less than 11 pixels along "
            "an axis; use a smaller border.",
        )
    inside = tuple(
        slice(int(width), n - int(width)) for n, width in zip(values.shape, widths, strict=True)
    )
    target = target[inside]
    fitted = fit_intensity(values[inside], target)
    data_range = float(np.ptp(target))
    if data_range == 0:
        raise InputError(
            "reference-flat", "The reference is flat; nothing can be scored against it."
        )
    return Scores(psnr(fitted, target, data_range), ssim(fitted, target, data_range))


def psnr(image: ArrayLike, reference: ArrayLike, data_range: float) -> float:
    """Peak signal-to-noise ratio in decibels: 10 log10(range^2 / mean squared error)."""
    values, target = same_shape(image, reference)
    error = float(np.mean((values - target) ** 2))
    return float("inf") if error == 0 else float(10 * np.log10(data_range**2 / error))


def ssim(image: ArrayLike, reference: ArrayLike, data_range: float) -> float:
    """Mean structural similarity (Wang and others 2004) with a Gaussian window of sigma 1.5.

    Covariances are those of the population; the 5 outermost pixels do not count.

    Parameters
    ----------
    image, reference
        Of any number of axes, each at least 11 long.
    data_range
        Span of the intensities that the constants refer to.
    """
    from skimage.metrics import structural_similarity

    settings: dict[str, Any] = {"gaussian_weights": True, "use_sample_covariance": False}
    values, target = same_shape(image, reference)
    similarity: Any = structural_similarity  # which has no types
    return float(similarity(values, target, data_range=data_range, **settings))


def truth_at_resolution(truth: ArrayLike, fwhm: Lengths, voxel_size: Lengths) -> FloatArray:
    """Blur a truth (Y, X) or (Z, Y, X) to a resolution at which a result can be compared with it.

    The FWHM of the Gaussian and the voxel size are micrometres, one number or one for each axis;
    the sum stays the same.
    """
    values = np.asarray(truth, dtype=float)
    sigma = [
        width / FWHM_PER_SIGMA / step
        for width, step in zip(
            per_axis(fwhm, values.ndim, "The width"),
            per_axis(voxel_size, values.ndim, "The voxel size"),
            strict=True,
        )
    ]
    return np.asarray(ndimage.gaussian_filter(values, sigma, truncate=6))


def enlarge(image: ArrayLike) -> FloatArray:
    """Bring an image (..., Y, X) to the doubled grid by cubic convolution, each pixel's area kept.

    The kernel is the piecewise cubic of Keys (1981) with a = -0.75; pixels at the edge are
    repeated. This is what "bicubic" means in the scores of raw images.
    """
    # A fine pixel lies a quarter of a raw pixel beside the centre of its own raw pixel; the
    # raw pixels around it are this far away.
    near, far = np.array([0.25, 0.75]), np.array([1.25, 1.75])
    a = -0.75
    inner = (a + 2) * near**3 - (a + 3) * near**2 + 1
    outer = a * far**3 - 5 * a * far**2 + 8 * a * far - 4 * a
    right = np.array([0, outer[0], inner[0], inner[1], outer[1]])
    enlarged = np.asarray(image, dtype=float)
    for axis in (enlarged.ndim - 2, enlarged.ndim - 1):
        halves = [
            ndimage.correlate1d(enlarged, weights, axis=axis, mode="nearest")
            for weights in (right[::-1], right)
        ]
        shape = list(enlarged.shape)
        shape[axis] *= 2
        enlarged = np.stack(halves, axis=axis + 1).reshape(shape)
    return enlarged


@dataclass(frozen=True)
class Flux:
    """Light of a result beside that of its recording.

    Attributes
    ----------
    ratio
        Of a result over that of the image; of a volume the result is blurred again before.
    error
        Standard error of the image's light, over that light.
    uneven
        Largest share of its light that a coarse region lacks or has too much, beyond noise.
    """

    ratio: float
    error: float
    uneven: float = 0.0


def flux_ratio(output: ArrayLike, image: ArrayLike, offset: float) -> float:
    """Light in the output, counts above the offset, over that in the image on the same area.

    The grid may be that of the image or a finer one; 1 is exact.
    """
    light = np.asarray(image, dtype=float).mean() - offset
    return float(np.asarray(output, dtype=float).mean() / light)


def same_shape(image: ArrayLike, reference: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Give both as float64; InputError if their shapes differ."""
    values = np.asarray(image, dtype=float)
    target = np.asarray(reference, dtype=float)
    if values.shape != target.shape:
        raise InputError(
            "reference-shape",
            f"The image is {values.shape} and the reference {target.shape}; bring both to one "
            "grid.",
        )
    return values, target


def per_axis(value: Lengths, axes: int, name: str) -> tuple[float, ...]:
    """Give every axis its number."""
    numbers = tuple(float(number) for number in np.ravel(np.asarray(value, dtype=float)))
    if len(numbers) == 1:
        return numbers * axes
    if len(numbers) != axes:
        raise InputError(
            "values-count",
            f"{name} holds {len(numbers)} numbers for {axes} axes; give one, or one for each axis.",
        )
    return numbers
