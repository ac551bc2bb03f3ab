"""What the prior is trained on: scenes of many kinds, seen through many microscopes.

Two families: drawings, general on purpose (curves, points, discs, level lines and level sets of
random fields, textures, edges, haze, and nothing at all), and `cells`. Rings and meshes as the
phantoms of the benchmarks have them are left out, so that those stay structures that the prior
never saw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from cells import CELL_KINDS, autofluorescence, field, other_planes, slope
from cells import log_uniform as _log
from scipy import ndimage, signal, special

from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.simulation.drawing import blob, draw_lines, draw_spheres, smooth_curve

SIZE = 320
"""Fine pixels across a scene."""

MARGIN = 64
"""Fine pixels beyond it on each side, that blur into it."""

WAVELENGTH = 0.525
EMITTER = 0.2
"""Width of every PSF in micrometres: structures are drawn in micrometres, pixels vary."""

CELLS = 0.45
"""Share of scenes that look like cells."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A scene on the fine grid, (SIZE, SIZE): what is there, and what the camera would expect."""

    truth: np.ndarray
    blurred: np.ndarray
    """On the raw grid."""
    psf: PSF
    """On the fine grid."""


def make_scene(rng: np.random.Generator) -> Scene:
    """Draw a scene and its microscope; the brightest of it is about 1 once blurred."""
    psf = draw_psf(rng)
    pixel = psf.steps[-1]
    full = SIZE + 2 * MARGIN
    shape = (full, full)
    light = draw_cells(shape, pixel, rng) if rng.random() < CELLS else drawing(shape, pixel, rng)
    if rng.random() < 0.5:
        light += 10 ** rng.uniform(-2.5, -0.5) * (slope(shape, rng) if rng.random() < 0.5 else 1)
    blurred = signal.fftconvolve(light, psf.array, "same")
    inside = slice(MARGIN, MARGIN + SIZE)
    truth, blurred = light[inside, inside], blurred[inside, inside]
    blurred = blurred.reshape(SIZE // 2, 2, SIZE // 2, 2).mean(axis=(1, 3))
    top = max(np.percentile(blurred, 99.9), 1e-3)
    return Scene((truth / top).astype(np.float32), (blurred / top).astype(np.float32), psf)


def drawing(shape, pixel, rng):
    """Draw one to three of the general kinds over one another."""
    kinds = rng.choice(list(KINDS), size=rng.choice([1, 1, 1, 2, 2, 3]), replace=False)
    light = sum(
        alike(KINDS[kind](shape, pixel, rng), pixel) * 10 ** rng.uniform(-0.8, 0) for kind in kinds
    )
    if rng.random() < 0.3:
        light *= window_of_cell(shape, rng)
    if rng.random() < 0.4:
        light += haze(shape, pixel, rng) * rng.uniform(0.02, 0.4)
    return light


def draw_cells(shape, pixel, rng):
    """Draw one or two kinds of cells, their other planes, and what glows around them."""
    # Through an objective of low aperture cells are smaller, measured in widths of the PSF.
    size = pixel * _log(rng, 1, 4)
    kinds = rng.choice(list(CELL_KINDS), size=rng.choice([1, 1, 2]), replace=False)
    light = sum(
        alike(CELL_KINDS[kind](shape, size, rng), pixel) * 10 ** rng.uniform(-0.8, 0)
        for kind in kinds
    )
    if rng.random() < 0.5:
        planes = other_planes(light, size, rng)
        light += planes / max(planes.max(), 1e-9) * _log(rng, 0.05, 1.0)
    if rng.random() < 0.3:
        light += autofluorescence(shape, size, rng) * _log(rng, 0.02, 0.3)
    return light * slope(shape, rng) if rng.random() < 0.4 else light


def alike(part, pixel):
    """Make the brightest of a structure 1 once it is blurred."""
    part = np.clip(part, 0, None)
    top = np.percentile(ndimage.gaussian_filter(part, EMITTER / pixel / 2.355), 99.9)
    return part / top if top > 0 else np.zeros_like(part)


def draw_psf(rng: np.random.Generator) -> PSF:
    """Choose a microscope: 1.9 to 7 raw pixels across the PSF, ideal, confocal or aberrated."""
    width = 2 * np.exp(rng.uniform(np.log(1.9), np.log(7.0)))
    na = rng.uniform(0.6, 1.45)
    # An Airy pattern is 0.51 wavelengths / NA wide.
    wavelength = EMITTER * na / 0.51
    fine = EMITTER / width
    kind = rng.random()
    psf = PSF.simulate(na=na, wavelength=wavelength, pixel_size=fine)
    array = psf.array.astype(float)
    if kind < 0.15:
        sigma = width / 2.355
        axis = np.arange(array.shape[0]) - array.shape[0] // 2
        line = np.exp(-0.5 * (axis / sigma) ** 2)
        array = np.outer(line, line)
    elif kind < 0.3:
        array = np.clip(array, 0, None) ** rng.uniform(1.0, 2.0)
    elif kind < 0.55:
        array = aberrated(array.shape, na / wavelength * fine, rng)
    return PSF.from_array(array / array.sum(), (fine, fine))


def aberrated(shape: tuple[int, ...], cutoff: float, rng: np.random.Generator) -> np.ndarray:
    """Compute a PSF with some defocus, astigmatism, coma and spherical aberration.

    ``cutoff`` is NA / wavelength in cycles per fine pixel.
    """
    size = 256
    f = np.fft.fftfreq(size)
    y, x = np.meshgrid(f / cutoff, f / cutoff, indexing="ij")
    rho2, inside = x**2 + y**2, x**2 + y**2 <= 1
    waves = (
        rng.normal() * 0.10 * (2 * rho2 - 1)
        + rng.normal() * 0.07 * (x**2 - y**2)
        + rng.normal() * 0.07 * 2 * x * y
        + rng.normal() * 0.04 * (3 * rho2 - 2) * x
        + rng.normal() * 0.04 * (3 * rho2 - 2) * y
        + rng.normal() * 0.05 * (6 * rho2**2 - 6 * rho2 + 1)
    )
    field = np.fft.fftshift(np.fft.ifft2(inside * np.exp(2j * np.pi * waves)))
    power = np.abs(field) ** 2
    side = min(shape[0], size - 1) // 2
    return power[size // 2 - side : size // 2 + side + 1, size // 2 - side : size // 2 + side + 1]


# Kinds of structure; each takes the shape of the fine grid and the pixel in micrometres.


def curves(shape, pixel, rng):
    area = np.prod(shape) * pixel**2
    number = max(int(_log(rng, 0.02, 0.6) * area), 1)
    stiffness, radius = _log(rng, 0.5, 5), _log(rng, 1, 20)
    paths = [
        smooth_curve(
            middle=rng.uniform(0, shape),
            length=rng.uniform(1.0, 20.0) / pixel,
            stiffness=stiffness / pixel,
            radius=radius / pixel,
            rng=rng,
        )
        for _ in range(min(number, 400))
    ]
    lines = draw_lines(shape, paths, rng.uniform(0.2, 1.2, size=len(paths)))
    if rng.random() < 0.4:
        lines = ndimage.gaussian_filter(lines, rng.uniform(0.01, 0.12) / pixel)
    return lines


def discs(shape, pixel, rng):
    area = np.prod(shape) * pixel**2
    number = max(int(_log(rng, 0.05, 6) * area), 1)
    small = _log(rng, 0.02, 0.15)
    radii = rng.uniform(small, small * rng.uniform(1.0, 4.0), size=number) / pixel
    return draw_spheres(
        shape, rng.uniform(0, shape, size=(number, 2)), radii, rng.uniform(0.2, 1.2, size=number)
    )


def points(shape, pixel, rng):
    area = np.prod(shape) * pixel**2
    image = np.zeros(shape)
    number = max(int(_log(rng, 0.05, 20) * area), 1)
    rows, columns = (rng.integers(0, n, size=number) for n in shape)
    np.add.at(image, (rows, columns), rng.exponential(size=number))
    return image


def level_lines(shape, pixel, rng):
    values = field(shape, _log(rng, 0.15, 1.5) / pixel, rng)
    slope = np.hypot(*np.gradient(values)) + 1e-6
    levels = rng.uniform(-1, 1, size=rng.integers(1, 3))
    width = rng.uniform(0.7, 2.0)
    return sum(np.exp(-(((values - level) / slope / width) ** 2)) for level in levels)


def level_sets(shape, pixel, rng):
    values = field(shape, _log(rng, 0.06, 1.0) / pixel, rng)
    sharp = rng.uniform(2, 30)
    return special.expit(sharp * (values - rng.uniform(0, 1.8)))


def texture(shape, pixel, rng):
    f = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None])
    f[0, 0] = 1
    spectrum = np.fft.rfft2(rng.standard_normal(shape)) * f ** -rng.uniform(0.3, 1.8)
    spectrum[0, 0] = 0
    values = np.fft.irfft2(spectrum, s=shape)
    values /= values.std()
    return np.exp(rng.uniform(0.3, 1.2) * values)


def edges(shape, pixel, rng):
    image = np.zeros(shape)
    for _ in range(rng.integers(1, 12)):
        middle = rng.uniform(0, shape)
        size = np.full(2, _log(rng, 0.2, 4.0) / pixel) * rng.uniform(0.6, 1.4, size=2)
        image += rng.uniform(0.1, 1) * (blob(shape, middle, size, rng) > 0.5)
    if rng.random() < 0.5:
        image *= np.exp(0.4 * field(shape, _log(rng, 0.05, 0.5) / pixel, rng))
    return image


def straight_lines(shape, pixel, rng):
    paths = []
    number = max(int(_log(rng, 0.05, 0.8) * np.prod(shape) * pixel**2), 2)
    for _ in range(min(number, 300)):
        middle, angle = rng.uniform(0, shape), rng.uniform(0, np.pi)
        direction = np.array([np.sin(angle), np.cos(angle)])
        along = np.arange(-1, 1, 0.5 * pixel)[:, None] * rng.uniform(0.2, 2) / pixel
        gap = rng.uniform(0.05, 0.5) / pixel
        normal = np.array([direction[1], -direction[0]])
        for side in range(rng.integers(1, 4)):
            paths.append(middle + along * direction + side * gap * normal)
    return draw_lines(shape, paths, rng.uniform(0.3, 1, size=len(paths)))


def flat(shape, pixel, rng):
    return np.full(shape, 1.0)


def haze(shape, pixel, rng):
    values = field(shape, rng.uniform(0.5, 2.5) / pixel, rng)
    return np.exp(0.7 * values) / np.exp(0.7 * values).max()


def window_of_cell(shape, rng):
    middle = rng.uniform(0.2, 0.8, size=2) * shape
    return blob(shape, middle, rng.uniform(0.25, 0.6, size=2) * shape, rng)


KINDS = {
    "curves": curves,
    "discs": discs,
    "points": points,
    "level lines": level_lines,
    "level sets": level_sets,
    "texture": texture,
    "edges": edges,
    "straight lines": straight_lines,
    "flat": flat,
    "haze": haze,
}
