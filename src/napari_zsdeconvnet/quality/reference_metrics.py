"""How good a result is: against a known truth, against a second exposure, along known lines.

Conventions of the scores: the border is left out first; then the image is fitted to the
reference by one straight line ``a * image + b`` (least squares), because methods differ in
the scale and level they return; the data range of PSNR and SSIM is the maximum less the
minimum of the reference within the border. Images (Y, X) and volumes (Z, Y, X) are treated
alike; a length or a border is one number for all axes, or one for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, ndimage

from ..utils.errors import InputError
from .spectra import faded, per_ring, rings

FloatArray = NDArray[np.float64]
Lengths = float | Sequence[float]

FWHM_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))
"""Full width at half maximum of a Gaussian of standard deviation 1."""

STEEPEST = 20.0
"""Slope in degrees up to which a line counts as horizontal: its axial width appears at most
6 % wider there, even where the blur is as wide sideways as along z."""

FADE = 0.25
"""Of a side, faded at either end of it before images are correlated. To fade all of it (Hann) would
judge the middle alone, by half as many independent modes; to fade half as much would let the coarse
structure of bright images leak into rings beyond the cutoff, where it passes for agreement."""

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
        Period in micrometres at which the correlation first falls below the threshold; two
        pixels where it never does, and infinity where it is never above.
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


def score(image: ArrayLike, reference: ArrayLike, *, border: int | Sequence[int] = 0) -> Scores:
    """Score an image or a volume against a reference after one linear fit of its intensities.

    Parameters
    ----------
    image, reference
        (Y, X) or (Z, Y, X) on the same grid.
    border
        Pixels left out on every side: one number, or one for each axis.

    Returns
    -------
    Scores

    Raises
    ------
    InputError
        The shapes differ, the images are neither 2D nor 3D, the border leaves less than 11
        pixels along an axis, or the reference is flat.
    """
    values, target = _same_shape(image, reference)
    if values.ndim not in (2, 3):
        raise InputError(
            f"The image has {values.ndim} axes; score one frame (YX) or one stack (ZYX)."
        )
    widths = _per_axis(border, values.ndim, "border")
    if min(n - 2 * width for n, width in zip(values.shape, widths, strict=True)) < 11:
        raise InputError(
            f"Of shape {values.shape} the border of {border} leaves less than 11 pixels along "
            "an axis; use a smaller border."
        )
    inside = tuple(
        slice(int(width), n - int(width)) for n, width in zip(values.shape, widths, strict=True)
    )
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

    The window is 11 pixels wide along every axis, covariances are those of the population,
    the constants 0.01 and 0.03, and the 5 outermost pixels do not count.

    Parameters
    ----------
    image, reference
        Of any number of axes, each at least 11 long.
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
    return float(similarity[(slice(5, -5),) * similarity.ndim].mean())


def truth_at_resolution(truth: ArrayLike, fwhm: Lengths, voxel_size: Lengths) -> FloatArray:
    """Blur a truth to a resolution at which a result can fairly be compared with it.

    Parameters
    ----------
    truth
        (Y, X) or (Z, Y, X).
    fwhm
        Full width at half maximum of the Gaussian, in micrometres: one number, or one for
        each axis.
    voxel_size
        Of the truth, in micrometres, likewise.

    Returns
    -------
    numpy.ndarray
        float64, of the same shape and sum.

    Raises
    ------
    InputError
        A length is given for another number of axes.
    """
    values = np.asarray(truth, dtype=float)
    sigma = [
        width / FWHM_PER_SIGMA / step
        for width, step in zip(
            _per_axis(fwhm, values.ndim, "fwhm"),
            _per_axis(voxel_size, values.ndim, "voxel_size"),
            strict=True,
        )
    ]
    return np.asarray(ndimage.gaussian_filter(values, sigma, truncate=6))


def enlarge(image: ArrayLike) -> FloatArray:
    """Bring an image to the doubled grid by cubic convolution, with the area of each pixel kept.

    The kernel is the piecewise cubic of Keys (1981) with a = -0.75; pixels at the edge are
    repeated. This is what "bicubic" means in the scores of raw images.

    Parameters
    ----------
    image
        (..., Y, X).

    Returns
    -------
    numpy.ndarray
        (..., 2Y, 2X) float64.
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
    first: ArrayLike, second: ArrayLike, pixel_size: float, *, threshold: float = 1 / 7
) -> RingCorrelation:
    """Correlate the spectra of two images of the same structure, ring by ring.

    Saxton and Baumeister 1982; the resolution is read at 1/7 (Nieuwenhuizen and others 2013),
    after a running mean over three rings. Both images are faded to their mean over a quarter of
    each side at either end. The planes of volumes are correlated together, each in its own plane.
    What two results share because one method made both, such as its own smoothing or prior, counts
    as agreement: after a nonlinear method the figure is an optimistic bound.

    Parameters
    ----------
    first, second
        (Y, X) or (Z, Y, X), two independent exposures or results from them.
    pixel_size
        Along Y and X, in micrometres.
    threshold
        Correlation at which the resolution is read.

    Returns
    -------
    RingCorrelation

    Raises
    ------
    InputError
        The shapes differ, or are neither 2D nor 3D.
    """
    a, b = _same_shape(first, second)
    if a.ndim not in (2, 3):
        raise InputError(
            f"The images have {a.ndim} axes; compare single frames (YX) or stacks (ZYX)."
        )
    window = faded(a.shape[-2:], FADE)
    spectrum_a = fft.fft2((a - a.mean(axis=(-2, -1), keepdims=True)) * window)
    spectrum_b = fft.fft2((b - b.mean(axis=(-2, -1), keepdims=True)) * window)
    centres, ring = rings(a.shape[-2:], pixel_size)
    cross = per_ring((spectrum_a * np.conj(spectrum_b)).real, ring)
    power = per_ring(np.abs(spectrum_a) ** 2, ring) * per_ring(np.abs(spectrum_b) ** 2, ring)
    correlation = cross / np.sqrt(np.maximum(power, np.finfo(float).tiny))
    smooth = ndimage.uniform_filter1d(correlation, 3, mode="nearest")
    return RingCorrelation(centres, correlation, _period_at(centres, smooth, threshold))


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
    image: ArrayLike,
    path: ArrayLike,
    *,
    reach: float,
    voxel_size: Lengths = 1.0,
    axial: bool = False,
    step: float = 0.25,
) -> tuple[FloatArray, FloatArray]:
    """Sample an image across a line: sideways in its plane, or in a volume along z.

    Sideways is square to the line's course within the plane, so it sees the lateral width
    alone. Along z the axial width is seen where the line is nearly horizontal: points where it
    rises by more than `STEEPEST` degrees are left out there, and those where it has no lateral
    direction sideways.

    Parameters
    ----------
    image
        (Y, X) or (Z, Y, X).
    path
        (points, 2 or 3), in the order of the axes, in pixels; evenly spaced and closer than a
        pixel.
    reach
        How far the profiles go to either side, in the unit of `voxel_size`.
    voxel_size
        One number, or one for each axis, of which Y and X are the same; 1 makes all lengths
        pixels.
    axial
        Sample along z.
    step
        Distance of samples along a profile, in pixels.

    Returns
    -------
    offsets : numpy.ndarray
        (samples,), distance from the line in the unit of `voxel_size`.
    profiles : numpy.ndarray
        (points, samples), one about every lateral pixel; those that leave the image are left
        out.

    Raises
    ------
    InputError
        `axial` with an image that has no z, or a voxel size for another number of axes.
    """
    picture = np.asarray(image, dtype=float)
    if axial and picture.ndim != 3:
        raise InputError(f"The image has {picture.ndim} axes; an axial profile needs ZYX.")
    points = np.asarray(path, dtype=float)
    sizes = np.asarray(_per_axis(voxel_size, picture.ndim, "voxel_size"), dtype=float)
    pixel = float(sizes[0] if axial else sizes[-1])
    samples = round(reach / pixel / step)
    offsets = np.arange(-samples, samples + 1, dtype=float) * step
    if len(points) < 2:
        return offsets * pixel, np.empty((0, offsets.size))
    tangent = np.gradient(points, axis=0) * sizes
    length = np.linalg.norm(tangent, axis=1)
    spacing = max(float(np.median(length)), 1e-3 * pixel)
    every = slice(None, None, max(round(float(sizes[-1]) / spacing), 1))
    points, tangent, length = points[every], tangent[every], length[every]
    lateral = np.hypot(tangent[:, -2], tangent[:, -1])
    level = np.cos(np.deg2rad(STEEPEST)) if axial else 1e-3
    usable = lateral > level * length
    points, tangent, lateral = points[usable], tangent[usable], lateral[usable]

    direction = np.zeros_like(points)
    if axial:
        direction[:, 0] = 1
    else:
        direction[:, -2:] = np.stack([tangent[:, -1], -tangent[:, -2]], axis=1) / lateral[:, None]
    places = points[:, None] + offsets[:, None] * direction[:, None]
    limit = np.array(picture.shape) - 1
    inside = np.all((places >= 0) & (places <= limit), axis=(1, 2))
    profiles = ndimage.map_coordinates(picture, np.moveaxis(places[inside], -1, 0), order=3)
    return offsets * pixel, np.asarray(profiles)


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
    voxel_size: Lengths,
    *,
    axial: bool = False,
    reach: float | None = None,
    minimum_length: float = 0.5,
) -> float:
    """Typical width of filaments whose course is known.

    The profiles along one filament are summed up by their median, which passes over what
    crosses it; the widths of all filaments by theirs.

    Parameters
    ----------
    image
        (Y, X) or (Z, Y, X).
    paths
        Each (points, 2 or 3), in the order of the axes, in pixels of the image.
    voxel_size
        In micrometres: one number, or one for each axis, of which Y and X are the same.
    axial
        Measure along z and not sideways; see `profiles_across`.
    reach
        Length of the profiles to either side, in micrometres; by default 0.4, along z 1.2.
    minimum_length
        Filaments of which less can be measured are left out, in micrometres.

    Returns
    -------
    float
        Full width at half maximum in micrometres; NaN where nothing could be measured.
    """
    if reach is None:
        reach = 1.2 if axial else 0.4
    pixel = float(np.ravel(voxel_size)[-1])
    widths = []
    for path in paths:
        offsets, profiles = profiles_across(
            image, path, reach=reach, voxel_size=voxel_size, axial=axial
        )
        if len(profiles) * pixel >= minimum_length:
            widths.append(profile_fwhm(offsets, np.median(profiles, axis=0)))
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
    offsets, profiles = profiles_across(
        image, path, reach=separation / 2 + 0.4, voxel_size=pixel_size
    )
    if not len(profiles):
        return float("nan")
    profile = profiles.mean(axis=0)
    profile = profile - np.percentile(profile, 10)
    peaks = [
        profile[np.abs(offsets - side * separation / 2) <= separation / 4].max() for side in (-1, 1)
    ]
    valley = profile[np.abs(offsets) <= pixel_size / 2].mean()
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
        Of the pairs, as in `sample.Sample`; those of separation 0 are left out.
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


def _per_axis(value: Lengths, axes: int, name: str) -> tuple[float, ...]:
    """Give every axis its number."""
    numbers = tuple(float(number) for number in np.ravel(np.asarray(value, dtype=float)))
    if len(numbers) == 1:
        return numbers * axes
    if len(numbers) != axes:
        raise InputError(
            f"{name} holds {len(numbers)} numbers for {axes} axes; give one, or one for each axis."
        )
    return numbers
