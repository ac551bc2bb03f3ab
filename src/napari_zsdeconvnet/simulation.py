"""Phantoms with a known truth, a microscope that blurs them and a camera that counts photons.

A phantom is drawn on the fine grid that deconvolution works towards, with half the pixel of
the camera, and is wider than the field of view by a margin, so that what lies just outside
the image blurs into it as it does in a microscope. `simulate` does all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal
from scipy.spatial import Voronoi

from .errors import InputError
from .noise import NoiseModel
from .psf import PSF

FloatImage = NDArray[np.float32]
Path = NDArray[np.float64]

UPSAMPLING = 2
"""Fine pixels per raw pixel, along each axis."""

BRIGHT_PERCENTILE = 99.9
"""The percentile of the noise-free image that `photons` speaks of."""

ROUNDING_VARIANCE = 1 / 12
"""Of a number that is rounded to a whole one, in counts squared."""

PATH_STEP = 0.25
"""Distance of neighbouring points of a drawn line, in fine pixels."""


@dataclass(frozen=True, eq=False)
class Structure:
    """What a phantom is made of.

    Attributes
    ----------
    density
        Emission of each pixel of the fine grid, axes YX, in arbitrary units.
    paths
        Lines whose course is known, each (points, 2) in fine pixels, y before x.
    separations
        For each path 0 where it is itself drawn, or else the distance in micrometres
        of the two parallel lines that run to its left and right.
    """

    density: FloatImage
    paths: tuple[Path, ...] = ()
    separations: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Sample:
    """A simulated recording together with everything that is known about it.

    Attributes
    ----------
    raw, second_exposure
        Two recordings of the same structure with independent noise, axes YX, uint16 counts.
    noise_free
        Expected photons per raw pixel, without the offset, float32.
    truth
        The structure before blur on the fine grid (2Y, 2X), in photons per raw pixel like
        `noise_free`: the two have the same mean wherever the structure is spread evenly.
    psf
        Point spread function on the fine grid.
    pixel_size
        Raw pixel in micrometres; a pixel of `truth` is half of it.
    noise
        The camera.
    kind
        Name of the phantom.
    paths, separations
        As in `Structure`, in pixels of `truth`; parts may lie outside the image.
    """

    raw: NDArray[np.uint16]
    second_exposure: NDArray[np.uint16]
    noise_free: FloatImage
    truth: FloatImage
    psf: PSF
    pixel_size: float
    noise: NoiseModel
    kind: str
    paths: tuple[Path, ...] = ()
    separations: tuple[float, ...] = ()


def simulate(
    kind: str = "filaments",
    *,
    shape: tuple[int, int] = (512, 512),
    photons: float = 50.0,
    noise: NoiseModel | None = None,
    na: float = 1.3,
    wavelength: float = 0.525,
    pixel_size: float = 0.0626,
    separation: float | Sequence[float] | None = None,
    seed: int = 0,
) -> Sample:
    """Simulate two exposures of a phantom with a known truth.

    Parameters
    ----------
    kind
        One of `PHANTOMS`: "filaments", "vesicles", "rings", "mesh", "cell" or "two_lines".
    shape
        Rows and columns of the recording, in raw pixels.
    photons
        The 99.9th percentile of the expected photons per raw pixel.
    noise
        The camera; by default offset 100, gain 1 count per electron, read variance 4.
    na, wavelength
        Numerical aperture, and emission wavelength in micrometres.
    pixel_size
        Raw pixel in micrometres.
    separation
        For "two_lines" alone: distance or distances of the two lines in micrometres, where
        0 is one single line; the distances are used in turn.
    seed
        Structure and both exposures depend on it, each by a random stream of its own: with
        another number of photons or another camera the structure stays the same.

    Returns
    -------
    Sample

    Raises
    ------
    InputError
        An unknown kind, a size or a number of photons that is not positive, or a camera
        whose gain is not known.
    """
    if kind not in PHANTOMS:
        raise InputError(f"There is no phantom {kind!r}; choose one of {', '.join(PHANTOMS)}.")
    if separation is not None and kind != "two_lines":
        raise InputError(
            f"The phantom {kind!r} has no separation; leave it out or choose 'two_lines'."
        )
    if len(shape) != 2 or min(shape) < 1:
        raise InputError(f"The shape {shape} is not a number of rows and columns; try (512, 512).")
    for name, value in (("photons", photons), ("pixel_size", pixel_size)):
        if not (np.isfinite(value) and value > 0):
            raise InputError(f"{name} is {value}; it must be a positive number.")

    noise = noise or NoiseModel(offset=100.0, gain=1.0, read_variance=4.0)
    fine_pixel = pixel_size / UPSAMPLING
    psf = PSF.simulate(na=na, wavelength=wavelength, pixel_size=fine_pixel)
    structure_rng, first_rng, second_rng = np.random.default_rng(seed).spawn(3)

    margin = np.array(psf.array.shape) // 2
    rows, columns = (UPSAMPLING * np.array(shape) + 2 * margin).tolist()
    canvas = (rows, columns)
    if kind == "two_lines":
        structure = two_lines(canvas, fine_pixel, structure_rng, separation=separation)
    else:
        structure = PHANTOMS[kind](canvas, fine_pixel, structure_rng)

    blurred = bin_2x2(blur(structure.density, psf))
    scale = photons / max(float(np.percentile(blurred, BRIGHT_PERCENTILE)), 1e-12)
    noise_free = (blurred * scale).astype(np.float32)
    inside = tuple(slice(m, n - m) for m, n in zip(margin, canvas, strict=True))
    return Sample(
        raw=camera(noise_free, noise, first_rng),
        second_exposure=camera(noise_free, noise, second_rng),
        noise_free=noise_free,
        truth=(structure.density[inside] * scale).astype(np.float32),
        psf=psf,
        pixel_size=pixel_size,
        noise=noise,
        kind=kind,
        paths=tuple(path - margin for path in structure.paths),
        separations=structure.separations,
    )


# The microscope and the camera


def blur(density: FloatImage, psf: PSF) -> FloatImage:
    """Convolve with the PSF and keep the part that needed nothing from beyond the edge.

    Parameters
    ----------
    density
        (Y, X) on the grid of the PSF, with a margin of half the PSF on every side.
    psf
        2D PSF of odd shape (A, B).

    Returns
    -------
    numpy.ndarray
        (Y - A + 1, X - B + 1), float32, not negative.
    """
    image = signal.fftconvolve(density, psf.array, mode="valid")
    return np.asarray(np.maximum(image, 0), dtype=np.float32)


def bin_2x2(image: FloatImage) -> FloatImage:
    """Average 2x2 pixels into one: a flat image keeps its value.

    Parameters
    ----------
    image
        (2Y, 2X).

    Returns
    -------
    numpy.ndarray
        (Y, X), of the input's dtype.
    """
    rows, columns = image.shape
    return np.asarray(image.reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3)))


def camera(
    electrons: NDArray[np.floating], noise: NoiseModel, rng: np.random.Generator
) -> NDArray[np.uint16]:
    """Record an expected number of electrons: shot noise, gain, read noise, offset, rounding.

    The result has the mean ``offset + gain * electrons`` and the variance
    ``gain**2 * electrons + read_variance``. The variance of 1/12 that rounding adds counts
    toward the read variance, as it does in every measurement of it; there is no less.

    Parameters
    ----------
    electrons
        Expected electrons per pixel, any shape, not negative.
    noise
        Offset in counts, gain in counts per electron, read variance in counts squared.
    rng
        Source of the noise.

    Returns
    -------
    numpy.ndarray
        uint16 counts of the same shape, clipped to 0 and 65535.

    Raises
    ------
    InputError
        The gain is not known, or an expectation is negative or not finite.
    """
    if noise.gain is None:
        raise InputError("The noise model has no gain; give one in counts per electron.")
    if not np.all(np.isfinite(electrons)) or np.any(electrons < 0):
        raise InputError("Expected electrons must be finite and not negative.")
    counts = noise.offset + noise.gain * rng.poisson(electrons)
    before_rounding = max(noise.read_variance - ROUNDING_VARIANCE, 0.0)
    counts += rng.normal(scale=np.sqrt(before_rounding), size=counts.shape)
    return np.asarray(np.clip(np.rint(counts), 0, 65535), dtype=np.uint16)


# The phantoms: each takes the shape of the fine grid, its pixel in micrometres and a random
# stream. Lengths below are micrometres; a line has brightness 1 per fine pixel of length.


def filaments(
    shape: tuple[int, int], pixel_size: float, rng: np.random.Generator, *, per_area: float = 0.04
) -> Structure:
    """Draw long smooth curves of differing brightness, `per_area` of them per square micrometre."""
    reach = 6.0 / pixel_size
    size = np.array(shape) + 2 * reach
    number = rng.poisson(per_area * size.prod() * pixel_size**2)
    paths = [
        _smooth_curve(
            middle=rng.uniform(0, size) - reach,
            length=rng.uniform(6.0, 30.0) / pixel_size,
            stiffness=3.0 / pixel_size,
            radius=10.0 / pixel_size,
            rng=rng,
        )
        for _ in range(number)
    ]
    density = draw_lines(shape, paths, rng.uniform(0.4, 1.2, size=number))
    return Structure(density, tuple(paths), (0.0,) * number)


def vesicles(
    shape: tuple[int, int], pixel_size: float, rng: np.random.Generator, *, per_area: float = 0.7
) -> Structure:
    """Draw filled spheres of 80 to 260 nm diameter, seen in projection, `per_area` per um2."""
    number = rng.poisson(per_area * np.prod(shape) * pixel_size**2)
    centres = rng.uniform(0, shape, size=(number, 2))
    radii = rng.uniform(0.04, 0.13, size=number) / pixel_size
    return Structure(draw_spheres(shape, centres, radii, rng.uniform(0.4, 1.2, size=number)))


def rings(
    shape: tuple[int, int], pixel_size: float, rng: np.random.Generator, *, per_area: float = 0.35
) -> Structure:
    """Draw thin ellipses of 200 to 800 nm diameter: vesicles with a stained membrane."""
    number = rng.poisson(per_area * np.prod(shape) * pixel_size**2)
    paths = []
    for _ in range(number):
        radius = rng.uniform(0.1, 0.4) / pixel_size
        angles = np.linspace(0, 2 * np.pi, int(2 * np.pi * radius / PATH_STEP), endpoint=False)
        axes = radius * rng.uniform(0.85, 1.15, size=2)
        turn = rng.uniform(0, np.pi)
        along, across = axes[0] * np.cos(angles), axes[1] * np.sin(angles)
        ring = np.stack(
            [
                along * np.sin(turn) + across * np.cos(turn),
                along * np.cos(turn) - across * np.sin(turn),
            ],
            axis=1,
        )
        paths.append(rng.uniform(0, shape) + ring)
    return Structure(draw_lines(shape, paths, rng.uniform(0.4, 1.2, size=number)))


def mesh(
    shape: tuple[int, int], pixel_size: float, rng: np.random.Generator, *, cell: float = 1.1
) -> Structure:
    """Draw a network of tubules: the edges of a Voronoi tessellation with cells of `cell` um."""
    spacing = cell / pixel_size
    # Seeds beyond the canvas, so that every edge that crosses it ends in finite corners.
    rows, columns = (np.arange(-2, n / spacing + 2) * spacing for n in shape)
    seeds = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
    voronoi = Voronoi(seeds + rng.uniform(-0.45, 0.45, size=seeds.shape) * spacing)
    edges = [edge for edge in voronoi.ridge_vertices if -1 not in edge]
    # A tubule is missing here and there, which leaves gaps of several sizes.
    edges = [edge for edge in edges if rng.random() < 0.85]
    paths = [_bent_edge(*voronoi.vertices[edge], rng=rng) for edge in edges]
    return Structure(draw_lines(shape, paths, rng.uniform(0.5, 1.0, size=len(paths))))


def cell(shape: tuple[int, int], pixel_size: float, rng: np.random.Generator) -> Structure:
    """Draw one cell: nuclear and cytoplasmic haze, filaments and vesicles; nothing around it."""
    outline_rng, texture_rng, filament_rng, vesicle_rng = rng.spawn(4)
    middle = np.array(shape) / 2
    body = _blob(shape, middle, 0.42 * np.array(shape), outline_rng)
    nucleus_middle = middle + outline_rng.uniform(-0.08, 0.08, size=2) * shape
    nucleus = _blob(shape, nucleus_middle, 0.15 * np.array(shape), outline_rng)

    texture = ndimage.gaussian_filter(
        texture_rng.standard_normal(shape, dtype=np.float32), 0.4 / pixel_size, mode="wrap"
    )
    texture = np.clip(1 + 0.3 * texture / texture.std(), 0, None)
    # Once blurred, a filament of brightness 1 peaks near 0.14 and a vesicle of brightness 1
    # near 1: these weights make them about equally bright, and the haze fainter than both.
    haze = body * 0.01 + nucleus * texture * 0.06
    fibres = filaments(shape, pixel_size, filament_rng, per_area=0.06).density
    spheres = vesicles(shape, pixel_size, vesicle_rng, per_area=0.25).density
    density = haze + fibres * body * (1 - 0.7 * nucleus) + 0.15 * spheres * body * (1 - nucleus)
    return Structure(density.astype(np.float32))


def two_lines(
    shape: tuple[int, int],
    pixel_size: float,
    rng: np.random.Generator,
    *,
    separation: float | Sequence[float] | None = None,
) -> Structure:
    """Draw a target for resolution: pairs of parallel lines, turned at random.

    Parameters
    ----------
    shape, pixel_size, rng
        As for every phantom.
    separation
        Distances of the two lines in micrometres, used in turn; 0 is one single line. By
        default 0, and 0.08 to 0.32 in steps of 0.03.

    Returns
    -------
    Structure
        Its paths run midway between the two lines of a pair.
    """
    if separation is None:
        separation = (0.0, *np.arange(0.08, 0.33, 0.03).round(3).tolist())
    distances = np.atleast_1d(np.asarray(separation, dtype=float))
    if np.any(distances < 0) or not np.all(np.isfinite(distances)):
        raise InputError(f"separation is {separation}; it must be 0 or more micrometres.")

    length, spacing = 2.0 / pixel_size, 3.2 / pixel_size
    middles = np.stack(
        np.meshgrid(*(np.arange(spacing / 2, n, spacing) for n in shape), indexing="ij"), axis=-1
    ).reshape(-1, 2)
    middles = rng.permutation(middles) + rng.uniform(-0.15, 0.15, size=middles.shape) * spacing

    paths, lines, found = [], [], []
    along = np.arange(-length / 2, length / 2, PATH_STEP)
    for index, middle in enumerate(middles):
        distance = float(distances[index % len(distances)])
        angle = rng.uniform(0, np.pi)
        direction = np.array([np.sin(angle), np.cos(angle)])
        normal = np.array([direction[1], -direction[0]])
        path = middle + along[:, None] * direction
        paths.append(path)
        found.append(distance)
        sides = (-0.5, 0.5) if distance else (0.0,)
        lines += [path + side * distance / pixel_size * normal for side in sides]
    return Structure(draw_lines(shape, lines, np.ones(len(lines))), tuple(paths), tuple(found))


PHANTOMS: dict[str, Callable[[tuple[int, int], float, np.random.Generator], Structure]] = {
    "filaments": filaments,
    "vesicles": vesicles,
    "rings": rings,
    "mesh": mesh,
    "cell": cell,
    "two_lines": two_lines,
}


# Drawing


def draw_lines(
    shape: tuple[int, int], paths: Sequence[Path], brightness: NDArray[np.floating]
) -> FloatImage:
    """Draw lines of no width by sharing each point among its four neighbouring pixels.

    Parameters
    ----------
    shape
        Rows and columns.
    paths
        Each (points, 2), y before x, in pixels, one point every `PATH_STEP`; pixel centres
        are whole numbers. What lies outside is left out.
    brightness
        Of each path, per pixel of its length.

    Returns
    -------
    numpy.ndarray
        (Y, X) float32; its sum is the length inside times the brightness.
    """
    if not len(paths):
        return np.zeros(shape, np.float32)
    points = np.concatenate(paths)
    weights = np.repeat(brightness * PATH_STEP, [len(path) for path in paths])
    corner = np.floor(points).astype(int)
    share = points - corner
    rows, columns = shape
    image = np.zeros(rows * columns)
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        y, x = corner[:, 0] + down, corner[:, 1] + right
        weight = weights * np.abs(1 - down - share[:, 0]) * np.abs(1 - right - share[:, 1])
        inside = (y >= 0) & (y < rows) & (x >= 0) & (x < columns)
        index = y[inside] * columns + x[inside]
        image += np.bincount(index, weights=weight[inside], minlength=image.size)
    return image.reshape(shape).astype(np.float32)


def draw_spheres(
    shape: tuple[int, int],
    centres: NDArray[np.floating],
    radii: NDArray[np.floating],
    brightness: NDArray[np.floating],
) -> FloatImage:
    """Draw projections of filled spheres, averaged over 4x4 points of each pixel.

    Parameters
    ----------
    shape
        Rows and columns.
    centres
        (spheres, 2), y before x, in pixels.
    radii
        (spheres,), in pixels.
    brightness
        (spheres,); the projection at the centre is brightness times diameter.

    Returns
    -------
    numpy.ndarray
        (Y, X) float32.
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


def _smooth_curve(
    *,
    middle: NDArray[np.floating],
    length: float,
    stiffness: float,
    radius: float,
    rng: np.random.Generator,
) -> Path:
    """Make a curve whose bend varies over `stiffness` and has the typical `radius` (pixels)."""
    points = max(int(length / PATH_STEP), 2)
    correlation = stiffness / PATH_STEP
    # Gaussian smoothing over `correlation` points shrinks white noise by this known factor.
    unit = np.sqrt(2 * np.sqrt(np.pi) * correlation)
    bend = unit * ndimage.gaussian_filter1d(rng.standard_normal(points), correlation)
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(bend) * PATH_STEP / radius
    steps = PATH_STEP * np.stack([np.sin(heading), np.cos(heading)], axis=1)
    course = np.cumsum(steps, axis=0)
    return np.asarray(middle + course - course[points // 2])


def _bent_edge(
    start: NDArray[np.floating], end: NDArray[np.floating], *, rng: np.random.Generator
) -> Path:
    """Join two corners by a slightly bent line."""
    length = float(np.linalg.norm(end - start))
    along = np.linspace(0, 1, max(int(length / PATH_STEP), 1), endpoint=False)[:, None]
    normal = np.array([end[1] - start[1], start[0] - end[0]])
    return np.asarray(
        start + along * (end - start) + rng.uniform(-0.15, 0.15) * np.sin(np.pi * along) * normal
    )


def _blob(
    shape: tuple[int, int],
    middle: NDArray[np.floating],
    radii: NDArray[np.floating],
    rng: np.random.Generator,
) -> FloatImage:
    """Fill a lobed ellipse with 1, falling to 0 over a soft rim of a tenth of its radius."""
    y, x = ((np.arange(n) - m) / r for n, m, r in zip(shape, middle, radii, strict=True))
    angle = np.arctan2(y[:, None], x)
    lobes = sum(
        rng.normal(scale=0.05) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 4)
    )
    distance = np.hypot(y[:, None], x) / (1 + lobes)
    return np.asarray(np.clip((1 - distance) / 0.1 + 0.5, 0, 1), dtype=np.float32)
