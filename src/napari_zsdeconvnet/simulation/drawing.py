"""Drawing on a grid without jagged edges: lines, balls and blobs that phantoms are made of."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

FloatImage = NDArray[np.float32]
Path = NDArray[np.float64]

PATH_STEP = 0.25
"""Distance of neighbouring points of a drawn line, in pixels."""

FINEST = 0.025
"""Distance in micrometres of the points that a shell's voxels are averaged over."""


def draw_lines(
    shape: tuple[int, ...], paths: Sequence[Path], brightness: NDArray[np.floating]
) -> FloatImage:
    """Draw lines of no width by sharing each point among its neighbouring pixels.

    Paths are (points, 2 or 3), in the order of the axes, in pixels, one point every `PATH_STEP`
    lateral pixels; pixel centres are whole numbers, and what lies outside is left out. The sum of
    the float32 image is the length inside times the brightness per lateral pixel of each path.
    """
    if not len(paths):
        return np.zeros(shape, np.float32)
    points = np.concatenate(paths)
    weights = np.repeat(brightness * PATH_STEP, [len(path) for path in paths])
    corner = np.floor(points).astype(int)
    share = points - corner
    image = np.zeros(np.prod(shape))
    for step in product((0, 1), repeat=len(shape)):
        place = corner + step
        weight = weights * np.abs(1 - np.array(step) - share).prod(axis=1)
        inside = np.all((place >= 0) & (place < shape), axis=1)
        index = np.ravel_multi_index(tuple(place[inside].T), shape)
        image += np.bincount(index, weights=weight[inside], minlength=image.size)
    return image.reshape(shape).astype(np.float32)


def draw_spheres(
    shape: tuple[int, int],
    centres: NDArray[np.floating],
    radii: NDArray[np.floating],
    brightness: NDArray[np.floating],
) -> FloatImage:
    """Draw projections of filled spheres, (Y, X) float32, averaged over 4x4 points of each pixel.

    Centres (spheres, 2), y before x, and radii are in pixels; the projection at a centre is the
    brightness times the diameter.
    """
    rows, columns = shape
    image = np.zeros(shape, np.float64)
    fine = (np.arange(4) - 1.5) / 4
    for centre, radius, value in zip(centres, radii, brightness, strict=True):
        low = np.maximum(np.floor(centre - radius).astype(int), 0)
        high = np.minimum(np.ceil(centre + radius).astype(int) + 1, (rows, columns))
        if np.any(high <= low):
            continue
        y, x = (
            (np.arange(a, b)[:, None] + fine).ravel() - c
            for a, b, c in zip(low, high, centre, strict=True)
        )
        chord = 2 * np.sqrt(np.clip(radius**2 - y[:, None] ** 2 - x**2, 0, None))
        box = chord.reshape(high[0] - low[0], 4, high[1] - low[1], 4).mean(axis=(1, 3))
        image[low[0] : high[0], low[1] : high[1]] += value * box
    return image.astype(np.float32)


def draw_shells(
    shape: tuple[int, int, int],
    voxel_size: tuple[float, ...],
    centres: NDArray[np.floating],
    radii: NDArray[np.floating],
    walls: NDArray[np.floating],
    brightness: NDArray[np.floating],
) -> FloatImage:
    """Draw ellipsoids in a volume, hollow or filled, each voxel averaged over its extent.

    Parameters
    ----------
    shape, voxel_size
        (Z, Y, X), and (z, y, x) in micrometres.
    centres, radii
        (ellipsoids, 3), in voxels; half axes in micrometres.
    walls
        Thickness inward from the surface in micrometres; where it reaches the centre the ellipsoid
        is filled.
    brightness
        Of each voxel that lies in the wall as a whole; where ellipsoids overlap they add up.
    """
    image = np.zeros(shape, np.float32)
    sizes = np.array(voxel_size)
    parts = [max(2, round(size / FINEST)) for size in voxel_size]
    for centre, half_axes, wall, value in zip(centres, radii, walls, brightness, strict=True):
        reach = half_axes / sizes + 0.5
        low = np.maximum(np.ceil(centre - reach).astype(int), 0)
        high = np.minimum(np.floor(centre + reach).astype(int) + 1, shape)
        if np.any(high <= low):
            continue
        axes = [
            (((np.arange(n * part) + 0.5) / part - 0.5) + start - c) * size
            for n, part, start, c, size in zip(
                high - low, parts, low, centre, voxel_size, strict=True
            )
        ]
        filled = _ellipsoid(axes, half_axes)
        if np.all(half_axes > wall):
            filled &= ~_ellipsoid(axes, half_axes - wall)
        blocks = [number for n, part in zip(high - low, parts, strict=True) for number in (n, part)]
        box = filled.reshape(blocks).mean(axis=(1, 3, 5), dtype=np.float32)
        image[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] += value * box
    return image


def _ellipsoid(
    axes: Sequence[NDArray[np.floating]], radii: NDArray[np.floating]
) -> NDArray[np.bool_]:
    z, y, x = (np.square(axis / radius) for axis, radius in zip(axes, radii, strict=True))
    return np.asarray(z[:, None, None] + y[:, None] <= 1 - x)


def smooth_curve(
    *,
    middle: NDArray[np.floating],
    length: float,
    stiffness: float,
    radius: float,
    rng: np.random.Generator,
    slope: float = 0.0,
) -> Path:
    """Make a curve that bends smoothly, (points, 2 or 3), one point every `PATH_STEP`.

    Parameters
    ----------
    middle
        (2,) or (3,), in the order of the axes: makes the curve one of a plane or a volume.
    length, stiffness, radius
        In pixels: of the curve, over which its bend varies, and typical of its bend.
    rng
        Source of the course.
    slope
        In a volume: its typical angle to the plane, in radians.
    """
    points = max(int(length / PATH_STEP), 2)
    correlation = stiffness / PATH_STEP
    bend = _smooth_noise(points, correlation, rng)
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(bend) * PATH_STEP / radius
    course: list[NDArray[np.floating]] = [np.sin(heading), np.cos(heading)]
    if len(middle) == 3:
        rise = (
            slope * (rng.standard_normal() + _smooth_noise(points, correlation, rng)) / np.sqrt(2)
        )
        course = [np.sin(rise), *(part * np.cos(rise) for part in course)]
    place = PATH_STEP * np.cumsum(np.stack(course, axis=1), axis=0)
    return np.asarray(middle + place - place[points // 2])


def _smooth_noise(points: int, correlation: float, rng: np.random.Generator) -> Path:
    """Make a random function of variance 1 that varies over `correlation` points."""
    # Gaussian smoothing over `correlation` points shrinks white noise by this known factor.
    unit = np.sqrt(2 * np.sqrt(np.pi) * correlation)
    return np.asarray(unit * ndimage.gaussian_filter1d(rng.standard_normal(points), correlation))


def bent_edge(
    start: NDArray[np.floating], end: NDArray[np.floating], *, rng: np.random.Generator
) -> Path:
    """Join two corners by a slightly bent line."""
    length = float(np.linalg.norm(end - start))
    along = np.linspace(0, 1, max(int(length / PATH_STEP), 1), endpoint=False)[:, None]
    normal = np.array([end[1] - start[1], start[0] - end[0]])
    return np.asarray(
        start + along * (end - start) + rng.uniform(-0.15, 0.15) * np.sin(np.pi * along) * normal
    )


def blob(
    shape: tuple[int, ...],
    middle: NDArray[np.floating],
    radii: NDArray[np.floating],
    rng: np.random.Generator,
) -> FloatImage:
    """Fill a lobed ellipse or ellipsoid with 1, falling to 0 over a rim of a tenth of its radius.

    Middle and radii are in pixels, one value per axis; the lobes, which `rng` draws, run around z.
    """
    axes = [(np.arange(n) - m) / r for n, m, r in zip(shape, middle, radii, strict=True)]
    y, x = axes[-2][:, None], axes[-1]
    angle = np.arctan2(y, x)
    lobes = sum(
        rng.normal(scale=0.05) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 4)
    )
    distance = np.hypot(y, x)
    if len(axes) == 3:
        distance = np.hypot(axes[0][:, None, None], distance)
    return np.asarray(np.clip((1 - distance / (1 + lobes)) / 0.1 + 0.5, 0, 1), dtype=np.float32)
