"""How good a result is: against a known truth, against a second exposure, along known lines.

Conventions of the scores: the border is left out first; then the image is fitted to the
reference by one straight line ``a * image + b`` (least squares), because methods differ in
the scale and level they return; the data range of PSNR and SSIM is the maximum less the
minimum of the reference within the border.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, ndimage

from .errors import InputError

FloatArray = NDArray[np.float64]

FWHM_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))
"""Full width at half maximum of a Gaussian of standard deviation 1."""

RAYLEIGH_DIP = 0.265
"""Dip between two points at Rayleigh's distance: the centre is at 73.5 % of the peaks."""


@dataclass(frozen=True)
class Scores:
    """Agreement with a reference: PSNR in decibels, and mean SSIM."""

    psnr: float
    ssim: float


@dataclass(frozen=True, eq=False)
class RingCorrelation:
    """Fourier ring correlation of two images.

    Attributes
    ----------
    frequency
        Centre of each ring, cycles per micrometre.
    correlation
        Of the two spectra within each ring, from -1 to 1.
    resolution
        Period in micrometres at which the correlation first falls below 1/7; two pixels
        where it never does, and infinity where it is never above.
    """

    frequency: FloatArray
    correlation: FloatArray
    resolution: float


# Against a reference


def fit_intensity(image: ArrayLike, reference: ArrayLike) -> FloatArray:
    """Return ``a * image + b`` that comes closest to the reference, by least squares.

    Parameters
    ----------
    image, reference
        Arrays of the same shape.

    Returns
    -------
    numpy.ndarray
        float64; flat where the image is flat.
    """
    values, target = _same_shape(image, reference)
    values = values - values.mean()
    power = np.vdot(values, values)
    slope = np.vdot(values, target - target.mean()) / power if power > 0 else 0.0
    return np.asarray(slope * values + target.mean())


def score(image: ArrayLike, reference: ArrayLike, *, border: int = 0) -> Scores:
    """Score an image against a reference after one linear fit of its intensities.

    Parameters
    ----------
    image, reference
        (Y, X) on the same grid.
    border
        Pixels left out on every side.

    Returns
    -------
    Scores

    Raises
    ------
    InputError
        The shapes differ, the border leaves less than 11x11 pixels, or the reference is flat.
    """
    values, target = _same_shape(image, reference)
    if values.ndim != 2 or min(values.shape) - 2 * border < 11:
        raise InputError(
            f"Of shape {values.shape} the border of {border} leaves less than 11x11 pixels; "
            "use a smaller border."
        )
    inside = (slice(border, values.shape[0] - border), slice(border, values.shape[1] - border))
    target = target[inside]
    fitted = fit_intensity(values[inside], target)
    data_range = float(np.ptp(target))
    if data_range == 0:
        raise InputError("The reference is flat; nothing can be scored against it.")
    return Scores(psnr(fitted, target, data_range), ssim(fitted, target, data_range))


def psnr(image: ArrayLike, reference: ArrayLike, data_range: float) -> float:
    """Peak signal-to-noise ratio in decibels: 10 log10(range^2 / mean squared error)."""
    values, target = _same_shape(image, reference)
    error = float(np.mean((values - target) ** 2))
    return float("inf") if error == 0 else float(10 * np.log10(data_range**2 / error))


def ssim(image: ArrayLike, reference: ArrayLike, data_range: float) -> float:
    """Mean structural similarity (Wang and others 2004) with a Gaussian window of sigma 1.5.

    The window is 11 pixels wide, covariances are those of the population, the constants
    0.01 and 0.03, and the 5 outermost pixels do not count.

    Parameters
    ----------
    image, reference
        (Y, X), at least 11x11.
    data_range
        Span of the intensities that the constants refer to.

    Returns
    -------
    float
    """
    x, y = _same_shape(image, reference)

    def smooth(values: FloatArray) -> FloatArray:
        return np.asarray(ndimage.gaussian_filter(values, 1.5, radius=5))

    mean_x, mean_y = smooth(x), smooth(y)
    variance_x = smooth(x * x) - mean_x**2
    variance_y = smooth(y * y) - mean_y**2
    covariance = smooth(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    similarity = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    )
    return float(similarity[5:-5, 5:-5].mean())


def truth_at_resolution(truth: ArrayLike, fwhm: float, pixel_size: float) -> FloatArray:
    """Blur a truth to a resolution at which a result can fairly be compared with it.

    Parameters
    ----------
    truth
        (Y, X).
    fwhm
        Full width at half maximum of the Gaussian, in micrometres.
    pixel_size
        Of the truth, in micrometres.

    Returns
    -------
    numpy.ndarray
        float64, of the same shape and sum.
    """
    sigma = fwhm / FWHM_PER_SIGMA / pixel_size
    return np.asarray(ndimage.gaussian_filter(np.asarray(truth, dtype=float), sigma, truncate=6))


def enlarge(image: ArrayLike) -> FloatArray:
    """Bring an image to the doubled grid by cubic convolution, with the area of each pixel kept.

    The kernel is the piecewise cubic of Keys (1981) with a = -0.75; pixels at the edge are
    repeated. This is what "bicubic" means in the scores of raw images.

    Parameters
    ----------
    image
        (Y, X).

    Returns
    -------
    numpy.ndarray
        (2Y, 2X) float64.
    """
    # A fine pixel lies a quarter of a raw pixel beside the centre of its own raw pixel; the
    # raw pixels around it are this far away.
    near, far = np.array([0.25, 0.75]), np.array([1.25, 1.75])
    a = -0.75
    inner = (a + 2) * near**3 - (a + 3) * near**2 + 1
    outer = a * far**3 - 5 * a * far**2 + 8 * a * far - 4 * a
    right = np.array([0, outer[0], inner[0], inner[1], outer[1]])
    enlarged = np.asarray(image, dtype=float)
    for axis in (0, 1):
        halves = [
            ndimage.correlate1d(enlarged, weights, axis=axis, mode="nearest")
            for weights in (right[::-1], right)
        ]
        shape = list(enlarged.shape)
        shape[axis] *= 2
        enlarged = np.stack(halves, axis=axis + 1).reshape(shape)
    return enlarged


def flux_ratio(output: ArrayLike, image: ArrayLike, offset: float) -> float:
    """Light in the output over the light in the image, on the same area; 1 is exact.

    Parameters
    ----------
    output
        Counts above the offset, on the grid of the image or a finer one.
    image
        Raw counts.
    offset
        Counts without light.

    Returns
    -------
    float
    """
    light = np.asarray(image, dtype=float).mean() - offset
    return float(np.asarray(output, dtype=float).mean() / light)


# Against a second exposure


def fourier_ring_correlation(
    first: ArrayLike, second: ArrayLike, pixel_size: float
) -> RingCorrelation:
    """Correlate the spectra of two images of the same structure, ring by ring.

    Saxton and Baumeister 1982; the resolution is read at 1/7 (Nieuwenhuizen and others 2013),
    after a running mean over three rings. Both images are faded to their mean by a Hann
    window. What two results share because one method made both, such as its own smoothing or
    prior, counts as agreement: after a nonlinear method the figure is an optimistic bound.

    Parameters
    ----------
    first, second
        (Y, X), two independent exposures or results from them.
    pixel_size
        In micrometres.

    Returns
    -------
    RingCorrelation

    Raises
    ------
    InputError
        The shapes differ, or are not 2D.
    """
    a, b = _same_shape(first, second)
    if a.ndim != 2:
        raise InputError(f"The images have {a.ndim} axes; compare single frames with axes YX.")
    window = np.outer(np.hanning(a.shape[0] + 2)[1:-1], np.hanning(a.shape[1] + 2)[1:-1])
    spectrum_a = fft.fft2((a - a.mean()) * window)
    spectrum_b = fft.fft2((b - b.mean()) * window)
    frequency = np.hypot(
        fft.fftfreq(a.shape[0], pixel_size)[:, None], fft.fftfreq(a.shape[1], pixel_size)
    )
    width = 1 / (min(a.shape) * pixel_size)
    ring = np.rint(frequency / width).astype(int).ravel()
    rings = min(a.shape) // 2

    def per_ring(values: FloatArray) -> FloatArray:
        return np.bincount(ring, weights=values.ravel())[1 : rings + 1].astype(float)

    cross = per_ring((spectrum_a * np.conj(spectrum_b)).real)
    power = per_ring(np.abs(spectrum_a) ** 2) * per_ring(np.abs(spectrum_b) ** 2)
    correlation = cross / np.sqrt(np.maximum(power, np.finfo(float).tiny))
    centres = np.arange(1, rings + 1) * width
    smooth = ndimage.uniform_filter1d(correlation, 3, mode="nearest")
    return RingCorrelation(centres, correlation, _period_at(centres, smooth, 1 / 7))


def _period_at(frequency: FloatArray, correlation: FloatArray, threshold: float) -> float:
    """Period at which the correlation first falls below the threshold, between two rings."""
    below = np.flatnonzero(correlation < threshold)
    if not below.size:
        return float(1 / frequency[-1])
    index = int(below[0])
    if index == 0:
        return float("inf")
    above, under = correlation[index - 1], correlation[index]
    share = (above - threshold) / (above - under)
    return float(1 / (frequency[index - 1] + share * (frequency[index] - frequency[index - 1])))


# Along known lines


def profiles_across(
    image: ArrayLike, path: ArrayLike, *, reach: float, step: float = 0.25
) -> tuple[FloatArray, FloatArray]:
    """Sample an image along the normals of a line.

    Parameters
    ----------
    image
        (Y, X).
    path
        (points, 2), y before x, in pixels; evenly spaced and closer than a pixel.
    reach
        Length of the normals to either side, in pixels.
    step
        Distance of samples along a normal, in pixels.

    Returns
    -------
    offsets : numpy.ndarray
        (samples,), distance from the line in pixels.
    profiles : numpy.ndarray
        (normals, samples), one normal about every pixel; those that leave the image are
        left out.
    """
    picture = np.asarray(image, dtype=float)
    points = np.asarray(path, dtype=float)
    samples = round(reach / step)
    offsets = np.arange(-samples, samples + 1, dtype=float) * step
    if len(points) < 2:
        return offsets, np.empty((0, offsets.size))
    tangent = np.gradient(points, axis=0)
    spacing = max(float(np.median(np.linalg.norm(tangent, axis=1))), 1e-3)
    every = slice(None, None, max(round(1 / spacing), 1))
    points, tangent = points[every], tangent[every]
    normal = np.stack([tangent[:, 1], -tangent[:, 0]], axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)

    places = points[:, None] + offsets[:, None] * normal[:, None]
    limit = np.array(picture.shape) - 1
    inside = np.all((places >= 0) & (places <= limit), axis=(1, 2))
    profiles = ndimage.map_coordinates(picture, np.moveaxis(places[inside], -1, 0), order=3)
    return offsets, np.asarray(profiles)


def profile_fwhm(offsets: FloatArray, profile: FloatArray) -> float:
    """Full width at half maximum of the peak at the centre of a profile.

    The peak is the highest sample in the middle third; half maximum lies midway between it
    and the profile's 10th percentile.

    Parameters
    ----------
    offsets, profile
        (samples,) of the same length.

    Returns
    -------
    float
        In the unit of the offsets; NaN where the profile does not fall to half on both sides.
    """
    third = len(profile) // 3
    peak = third + int(np.argmax(profile[third : len(profile) - third]))
    base = float(np.percentile(profile, 10))
    half = (profile[peak] + base) / 2
    step = offsets[1] - offsets[0]
    width = 0.0
    for side in (profile[peak:], profile[peak::-1]):
        below = np.flatnonzero(side < half)
        if not below.size:
            return float("nan")
        index = int(below[0])
        width += index - 1 + (side[index - 1] - half) / (side[index - 1] - side[index])
    return float(width * step)


def filament_fwhm(
    image: ArrayLike,
    paths: Sequence[ArrayLike],
    pixel_size: float,
    *,
    reach: float = 0.4,
    minimum_length: float = 0.5,
) -> float:
    """Typical width of filaments whose course is known.

    The profiles along one filament are summed up by their median, which passes over what
    crosses it; the widths of all filaments by theirs.

    Parameters
    ----------
    image
        (Y, X).
    paths
        Each (points, 2), y before x, in pixels of the image.
    pixel_size
        In micrometres.
    reach
        Length of the profiles to either side, in micrometres.
    minimum_length
        Filaments of which less lies inside the image are left out, in micrometres.

    Returns
    -------
    float
        Full width at half maximum in micrometres; NaN where nothing could be measured.
    """
    widths = []
    for path in paths:
        offsets, profiles = profiles_across(image, path, reach=reach / pixel_size)
        if len(profiles) * pixel_size >= minimum_length:
            widths.append(profile_fwhm(offsets, np.median(profiles, axis=0)) * pixel_size)
    measured = [width for width in widths if np.isfinite(width)]
    return float(np.median(measured)) if measured else float("nan")


def two_line_dip(image: ArrayLike, path: ArrayLike, separation: float, pixel_size: float) -> float:
    """Depth of the valley between two parallel lines: 1 is empty, 0 or less is unresolved.

    Parameters
    ----------
    image
        (Y, X).
    path
        (points, 2), midway between the lines, y before x, in pixels.
    separation
        Distance of the lines in micrometres.
    pixel_size
        In micrometres.

    Returns
    -------
    float
        1 less the valley over the lower of both peaks, above the background; NaN where the
        pair lies outside the image. Peaks are sought within a quarter of the separation of
        their place, and the value midway is the valley.
    """
    distance = separation / pixel_size
    offsets, profiles = profiles_across(image, path, reach=distance / 2 + 0.4 / pixel_size)
    if not len(profiles):
        return float("nan")
    profile = profiles.mean(axis=0)
    profile = profile - np.percentile(profile, 10)
    peaks = [
        profile[np.abs(offsets - side * distance / 2) <= distance / 4].max() for side in (-1, 1)
    ]
    valley = profile[np.abs(offsets) <= 0.5].mean()
    return float(1 - valley / max(min(peaks), np.finfo(float).tiny))


def two_line_separability(
    image: ArrayLike, paths: Sequence[ArrayLike], separations: Sequence[float], pixel_size: float
) -> dict[float, float]:
    """Median dip of all pairs of lines of each separation.

    Parameters
    ----------
    image
        (Y, X).
    paths, separations
        Of the pairs, as in `simulation.Sample`; those of separation 0 are left out.
    pixel_size
        Of the image, in micrometres.

    Returns
    -------
    dict
        Separation in micrometres, in rising order, to dip.
    """
    dips: dict[float, list[float]] = {distance: [] for distance in sorted({*separations} - {0.0})}
    for path, distance in zip(paths, separations, strict=True):
        if distance:
            dips[distance].append(two_line_dip(image, path, distance, pixel_size))
    return {
        distance: float(np.nanmedian(values)) if np.isfinite(values).any() else float("nan")
        for distance, values in dips.items()
    }


def smallest_resolved(dips: dict[float, float], dip: float = RAYLEIGH_DIP) -> float:
    """Smallest separation that is resolved together with all wider ones.

    Parameters
    ----------
    dips
        From `two_line_separability`; what is NaN was not measured and is passed over.
    dip
        From which depth on two lines count as resolved; by default Rayleigh's.

    Returns
    -------
    float
        In micrometres; infinity where not even the widest is resolved.
    """
    smallest = float("inf")
    for distance in sorted(dips, reverse=True):
        if dips[distance] < dip:
            break
        if dips[distance] >= dip:
            smallest = distance
    return smallest


def _same_shape(image: ArrayLike, reference: ArrayLike) -> tuple[FloatArray, FloatArray]:
    values = np.asarray(image, dtype=float)
    target = np.asarray(reference, dtype=float)
    if values.shape != target.shape:
        raise InputError(
            f"The image is {values.shape} and the reference {target.shape}; bring both to one grid."
        )
    return values, target
