"""The arithmetic of a PSF's pixels: background, centre, grid, widths and spectrum.

Functions take and return plain arrays, (Y, X) or (Z, Y, X), and planes, (Y, X). `steps` are the
distances between samples along each axis, in any unit; lengths are in pixels without them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, interpolate, ndimage

from .diffraction import sphere_spectrum

FloatArray = NDArray[np.float64]

MTF_FLOOR = 0.005  # an OTF below 0.5 % of its value at 0 transfers nothing that can be seen
_HIGHEST_FLOOR = 0.05
_LOST_BY_CROP = 5e-3  # share of the energy that may be cut off to make an array symmetric
_FAINTEST_WEIGHT = 0.02
_FEWEST_OUTSKIRTS = 80  # pixels; fewer do not show whether they hold noise
_LEAST_REACH = 4  # pixels to either side of the middle
_HIGHEST_GAIN = 2.5  # in dividing by a bead's spectrum
_NEGLIGIBLE_SHIFT = 5e-3  # pixels; less than what the centre is known to


@dataclass(frozen=True)
class Cleaned:
    """A PSF without its background.

    Attributes
    ----------
    array
        Not negative except by noise; zero where a recorded PSF cannot be told from noise.
    level
        What was subtracted, counts.
    noise
        Standard deviation of the recording's background, counts; 0 for a computed PSF.
    """

    array: FloatArray
    level: float
    noise: float


def without_background(
    array: FloatArray, background: float | None, *, recorded: bool | None = None
) -> Cleaned:
    """Subtract what the camera adds, and keep noise from passing for light.

    In a recording the outskirts are many and each holds noise; clipped at zero they would
    add up to more than the bead itself. What cannot be told from noise is therefore set to
    zero: kept is the region around the peak where the array, smoothed by one pixel, exceeds
    its background by three standard deviations, widened by three pixels. Within it, pixels
    give way to the smoothed array as far as they lie below the noise.

    A computed PSF is left as it is: its faint tails are the haze that deconvolution is to
    remove. It is told from a recording by its outskirts: those of a recording spread evenly
    to both sides of their mean and change from pixel to pixel.

    Parameters
    ----------
    array
        Finite.
    background
        Counts to subtract; None finds the level in a frame along the lateral borders.
    recorded
        Whether the array holds a camera's noise; None judges by the outskirts.
    """
    outskirts = _outskirts(array.shape)
    level, spread = _clipped_mean(array[outskirts])
    if recorded is None:
        recorded = _is_recorded(array, level, spread)
    if background is None:
        background = level if recorded or _is_pedestal(array[outskirts], level) else 0.0
    array = array - background
    if not recorded:
        return Cleaned(array, background, 0.0)

    smooth = ndimage.gaussian_filter(array, 1.0)
    _, smooth_spread = _clipped_mean(smooth[outskirts])
    seen = ndimage.binary_dilation(smooth > 3 * smooth_spread, iterations=1)
    labels, _ = ndimage.label(seen)
    peak = labels[np.unravel_index(np.argmax(smooth), smooth.shape)]
    kept = ndimage.binary_dilation(labels == peak, iterations=2) if peak else seen
    # A soft edge, since a hard one through noise would ring when the array is shifted.
    weight = ndimage.gaussian_filter(kept.astype(float), 1.0)
    # Faint tails are taken smoothed, as far as they lie below the noise of a pixel: once
    # negative values are clipped, that noise would add light to them.
    trust = smooth**2 / (smooth**2 + spread**2)
    array = smooth + trust * (array - smooth)
    return Cleaned(np.where(weight > _FAINTEST_WEIGHT, array * weight, 0.0), background, spread)


def centred(array: FloatArray) -> tuple[FloatArray, tuple[float, ...]]:
    """Move the core's centre to the middle pixel of an array of odd size.

    Margins of nothing but zeros, which a cleaned recording has, are cut away alike on both
    sides. Whole pixels are moved by cropping, or by padding with zeros where cropping would lose
    more than 0.5 % of the light; the rest by a Fourier shift, which keeps the shape of any
    band-limited PSF, lopsided ones included. Nothing is mirrored or made symmetric.

    Returns
    -------
    array, shift
        The centred array, negative noise clipped; and where the centre was along each axis, in
        pixels from the middle of the input (at index (n - 1) / 2).
    """
    centre = core_centre(array)
    shift = tuple(float(c - (n - 1) / 2) for c, n in zip(centre, array.shape, strict=True))
    whole = np.rint(centre).astype(int)
    for axis, middle in enumerate(whole):
        array = _symmetric_about(array, int(middle), axis)
        array = _without_empty_margins(array, axis)
    rest = centre - whole
    if np.abs(rest).max() > _NEGLIGIBLE_SHIFT:
        array = fourier_shift(array, -rest)
    # Only now: clipped before, noise would be shifted as if it were light.
    return np.maximum(array, 0.0), shift


def core_centre(array: FloatArray) -> FloatArray:
    """Sub-pixel index of the core's centre: the centroid of what rises above half of the maximum.

    The tails have no say, so that noise, haze and a neighbour do not pull at the centre. The
    core is smoothed by a fifth of its width first.
    """
    smooth = ndimage.gaussian_filter(array, 0.7)  # one hot pixel is no peak
    weight = _above_half(smooth)
    # Noise on a finely sampled core would pull its centre to the brightest pixel; the spread
    # of the core itself, a fifth of its width, smooths that away.
    smooth = ndimage.gaussian_filter(array, _centroid(weight)[1])
    box = ndimage.find_objects((_above_half(smooth) > 0).astype(np.int8))[0]
    lows = [max(part.start - 2, 0) for part in box]
    highs = [min(part.stop + 2, n) for part, n in zip(box, array.shape, strict=True)]
    part = smooth[tuple(slice(a, b) for a, b in zip(lows, highs, strict=True))]

    # Four samples a pixel: a core two pixels wide has too few above half of its maximum.
    fineness = 4 if part.size < 20_000 else 1
    axes = [np.linspace(0, n - 1, fineness * (n - 1) + 1) for n in part.shape]
    grid = np.meshgrid(*axes, indexing="ij")
    fine = ndimage.map_coordinates(part, grid, order=3, mode="nearest")
    return np.array(lows) + _centroid(_above_half(fine))[0] / fineness


def fourier_shift(array: FloatArray, shift: NDArray[Any]) -> FloatArray:
    """Move an array by a few pixels; what leaves on one side does not come back.

    The array falls to about zero at its borders.
    """
    shape = [fft.next_fast_len(n + 16, real=True) for n in array.shape]
    spectrum = fft.rfftn(array, shape)
    for axis, (length, distance) in enumerate(zip(shape, shift, strict=True)):
        last = axis == array.ndim - 1
        frequency = np.fft.rfftfreq(length) if last else np.fft.fftfreq(length)
        # Nyquist's own coefficient is real, and a real shift must leave it so.
        ramp = np.where(
            np.abs(frequency) < 0.5,
            np.exp(-2j * np.pi * frequency * distance),
            np.cos(np.pi * distance),
        )
        spectrum = spectrum * _along(ramp, axis, array.ndim)
    moved = fft.irfftn(spectrum, shape)
    return np.asarray(moved[tuple(slice(n) for n in array.shape)])


def resampled(
    array: FloatArray, steps: tuple[float, ...], new_steps: tuple[float, ...]
) -> FloatArray:
    r"""Put a centred PSF on another grid, as if the camera had had those pixels.

    A camera's pixel of width p multiplies the spectrum by :math:`\mathrm{sinc}(k p)`.
    Laterally the old pixel's factor is therefore replaced by the new one's; along z, where
    nothing integrates, the light is sampled at the new planes. Between samples the array is
    interpolated by its cosine series, the Fourier series of the array and its mirror image, so
    that nothing rings at a border that is not dark. The result is odd, centred, no wider than the
    input, and has the sum 1.
    """
    for axis, (old, new) in enumerate(zip(steps, new_steps, strict=True)):
        length = array.shape[axis]
        reach = int((length // 2) * old / new + 1e-6)
        integrates = axis >= array.ndim - 2
        matrix = _series_at(length, np.arange(-reach, reach + 1) * new / old, new / old, integrates)
        array = np.moveaxis(np.tensordot(matrix, array, axes=(1, axis)), 0, axis)
    array = np.maximum(array, 0.0)
    return np.asarray(array / array.sum())


def without_ball(array: FloatArray, steps: tuple[float, ...], diameter: float) -> FloatArray:
    """Take the size of the bead, whose diameter is in the unit of `steps`, out of its image.

    The image of a bead is the PSF convolved with a ball; its spectrum is divided by that of
    the ball (`diffraction.sphere_spectrum`), but nowhere raised more than 2.5 times. In 2D the ball
    is seen in projection.
    """
    shape = [fft.next_fast_len(n + 16, real=True) for n in array.shape]
    squared = np.zeros([1] * array.ndim)
    for axis, (length, step) in enumerate(zip(shape, steps, strict=True)):
        last = axis == array.ndim - 1
        frequency = np.fft.rfftfreq(length, step) if last else np.fft.fftfreq(length, step)
        squared = squared + _along(frequency**2, axis, array.ndim)
    ball = np.maximum(sphere_spectrum(np.sqrt(squared), diameter), 1 / _HIGHEST_GAIN)
    sharp = fft.irfftn(fft.rfftn(array, shape) / ball, shape)
    return np.asarray(np.maximum(sharp[tuple(slice(n) for n in array.shape)], 0.0))


def widths(array: FloatArray, steps: tuple[float, ...]) -> tuple[float, ...]:
    """Full width at half of the maximum along each axis through the middle pixel.

    NaN where the array ends above half of the maximum.
    """
    middle = tuple(n // 2 for n in array.shape)
    found = []
    for axis, step in enumerate(steps):
        line = array[tuple(slice(None) if a == axis else m for a, m in enumerate(middle))]
        found.append(step * _line_width(np.asarray(line, dtype=float)))
    return tuple(found)


def cutoff(plane: FloatArray, steps: tuple[float, float]) -> float:
    """Frequency where the OTF falls below 0.5 % of its value at zero, at most Nyquist's.

    The OTF's magnitude is averaged over all directions. Where noise or a cropped tail holds
    it higher, twice the level near the end of the spectrum takes the place of the 0.5 %.
    """
    frequency, transfer = radial_mtf(plane, steps)
    nyquist = 0.5 / max(steps)
    inside = frequency <= nyquist
    noise = float(np.median(transfer[frequency > 0.9 * nyquist]))
    floor = float(np.clip(2 * noise, MTF_FLOOR, _HIGHEST_FLOOR))
    below = np.flatnonzero(transfer[inside] < floor)
    if not len(below):
        return nyquist
    first = int(below[0])
    if first == 0:
        return 0.0
    high, low = transfer[first - 1], transfer[first]
    part = (high - floor) / (high - low)
    return float(frequency[first - 1] + part * (frequency[first] - frequency[first - 1]))


def radial_mtf(plane: FloatArray, steps: tuple[float, float]) -> tuple[FloatArray, FloatArray]:
    """Magnitude of the OTF, 1 at 0, against frequency, averaged over all directions.

    Frequencies, which come first, go from 0 to the corner of the spectrum.
    """
    shape = [fft.next_fast_len(max(4 * n, 256), real=True) for n in plane.shape]
    magnitude = np.abs(fft.rfft2(plane, shape))
    radius = np.hypot(
        np.fft.fftfreq(shape[0], steps[0])[:, None], np.fft.rfftfreq(shape[1], steps[1])
    )
    bin_width = 1 / min(n * step for n, step in zip(shape, steps, strict=True))
    bins = np.rint(radius / bin_width).astype(int).ravel()
    count = np.bincount(bins)
    filled = count > 0
    frequency = np.bincount(bins, radius.ravel())[filled] / count[filled]
    transfer = np.bincount(bins, magnitude.ravel())[filled] / count[filled]
    return frequency, transfer / transfer[0]


def energy_radius(plane: FloatArray, steps: tuple[float, float], fraction: float) -> float:
    """Radius of the circle about the middle that holds a fraction of the light."""
    y, x = ((np.arange(n) - n // 2) * s for n, s in zip(plane.shape, steps, strict=True))
    radius = np.hypot(y[:, None], x).ravel()
    order = np.argsort(radius, kind="stable")
    energy = np.cumsum(plane.ravel()[order])
    index = int(np.searchsorted(energy, fraction * energy[-1] * (1 - 1e-9)))
    return float(radius[order][min(index, len(order) - 1)])


def border_share(array: FloatArray) -> float:
    """Brightest value along the lateral borders over the maximum: near 0 where a PSF fits in."""
    edges = (array[..., 0, :], array[..., -1, :], array[..., 0], array[..., -1])
    return float(max(edge.max() for edge in edges) / array.max())


def normalised(array: NDArray[Any]) -> NDArray[np.float32]:
    """Bring the sum to 1, in float32."""
    total = array.sum(dtype=float)
    return np.asarray(array / total, dtype=np.float32)


# Background


def _outskirts(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Mark a frame along the lateral borders, a sixteenth of the array wide."""
    frame = np.ones(shape, dtype=bool)
    rows, columns = (_frame_width(n) for n in shape[-2:])
    frame[..., rows : shape[-2] - rows, columns : shape[-1] - columns] = False
    return frame


def _frame_width(length: int) -> int:
    return max(length // 16, 2)


def _clipped_mean(values: FloatArray) -> tuple[float, float]:
    """Mean and standard deviation without what lies more than three deviations off."""
    centre = float(np.median(values))
    spread = float(1.4826 * np.median(np.abs(values - centre)))
    for _ in range(5):
        kept = values[np.abs(values - centre) <= 3 * spread]
        if not len(kept):
            break
        centre, spread = float(kept.mean()), float(kept.std())
    return centre, spread


def _is_recorded(array: FloatArray, level: float, spread: float) -> bool:
    """Tell a recording from a computed PSF by the noise of its outskirts."""
    outskirts = array[_outskirts(array.shape)]
    if len(outskirts) < _FEWEST_OUTSKIRTS or spread <= 1e-6 * float(np.ptp(array)):
        return False
    rows = _frame_width(array.shape[-2])
    strips = np.concatenate([array[..., :rows, :], array[..., -rows:, :]], axis=-2)
    # The mean is zero along a straight line, the variance six times that of a pixel.
    curvature = strips[..., :-2] - 2 * strips[..., 1:-1] + strips[..., 2:]
    noise = 1.4826 * float(np.median(np.abs(curvature))) / np.sqrt(6)
    low = float(np.percentile(outskirts, 1))
    return noise > 0.3 * spread and level - low > 1.8 * spread


def _is_pedestal(outskirts: FloatArray, level: float) -> bool:
    low, high = np.percentile(outskirts, [1, 99])
    return bool(level > 0 and high - low < 0.2 * level)


# Centre


def _above_half(array: FloatArray) -> FloatArray:
    """Keep what rises above half of the maximum and is connected to it, less that half."""
    peak = np.unravel_index(int(np.argmax(array)), array.shape)
    weight = np.maximum(array - array[peak] / 2, 0)
    labels, _ = ndimage.label(weight)
    return np.where(labels == labels[peak], weight, 0.0)


def _centroid(weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean position and standard deviation of a weight along each axis."""
    means, spreads = [], []
    for axis, length in enumerate(weight.shape):
        share = weight.sum(axis=tuple(a for a in range(weight.ndim) if a != axis)) / weight.sum()
        positions = np.arange(length)
        means.append(float(share @ positions))
        spreads.append(float(np.sqrt(share @ (positions - means[-1]) ** 2)))
    return np.array(means), np.array(spreads)


def _symmetric_about(array: FloatArray, middle: int, axis: int) -> FloatArray:
    """Crop or pad one axis so that index `middle` becomes the middle of an odd length."""
    length = array.shape[axis]
    before, after = middle, length - 1 - middle
    near, far = min(before, after), max(before, after)
    window = slice(middle - near, middle + near + 1)
    cropped = array[(slice(None),) * axis + (window,)]
    if cropped.sum() >= (1 - _LOST_BY_CROP) * array.sum():
        return cropped
    padding = [(0, 0)] * array.ndim
    padding[axis] = (far - before, far - after)
    return np.pad(array, padding)


def _without_empty_margins(array: FloatArray, axis: int) -> FloatArray:
    half = array.shape[axis] // 2
    others = tuple(a for a in range(array.ndim) if a != axis)
    lit = np.flatnonzero(array.any(axis=others))
    reach = int(np.abs(lit - half).max()) + 1  # one more, for the shift by a part of a pixel
    reach = min(max(reach, _LEAST_REACH), half)
    return array[(slice(None),) * axis + (slice(half - reach, half + reach + 1),)]


# Grid


def _series_at(
    length: int, positions: NDArray[Any], pixel_ratio: float, integrates: bool
) -> FloatArray:
    """Matrix that evaluates the cosine series of `length` samples at `positions`.

    A cosine series continues the samples by their mirror image. Zeros would be a step at the
    border, which rings far into the array: each plane of a widefield PSF holds the same light,
    the outermost included.
    """
    k = np.arange(length)
    factor = np.ones(length)
    if integrates:
        factor = np.sinc(k * pixel_ratio / (2 * length)) / np.sinc(k / (2 * length))
    analysis = fft.dct(np.eye(length), norm="ortho", axis=0)
    phase = np.outer(positions + length // 2 + 0.5, k) * (np.pi / length)
    synthesis = np.cos(phase) * factor * np.where(k, np.sqrt(2 / length), np.sqrt(1 / length))
    return np.asarray(synthesis @ analysis)


# Widths


def _line_width(line: FloatArray) -> float:
    if len(line) < 2:
        return float("nan")
    middle = len(line) // 2
    spline = interpolate.CubicSpline(np.arange(len(line)), line)
    half = line[middle] / 2
    sides = []
    for outwards in (-1, 1):
        distance = np.arange(0, middle + 1e-9, 1 / 32)
        values = spline(middle + outwards * distance)
        below = np.flatnonzero(values < half)
        if not len(below):
            return float("nan")
        first = below[0]
        part = (values[first - 1] - half) / (values[first - 1] - values[first])
        sides.append(distance[first - 1] + part / 32)
    return float(sum(sides))


def _along(vector: NDArray[Any], axis: int, ndim: int) -> NDArray[Any]:
    shape = [1] * ndim
    shape[axis] = len(vector)
    return vector.reshape(shape)
