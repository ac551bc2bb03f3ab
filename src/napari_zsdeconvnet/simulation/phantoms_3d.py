"""What is imaged in three dimensions: the phantoms of `phantoms`, with a depth of their own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from .drawing import blob, draw_lines, draw_shells, smooth_curve
from .phantoms import Structure

VoxelSize = tuple[float, float, float]

# Each takes the shape of the grid, its voxel (z, y, x) in micrometres and a random stream. The
# densities count objects per cubic micrometre.


def filaments(
    shape: tuple[int, int, int],
    voxel_size: VoxelSize,
    rng: np.random.Generator,
    *,
    density: float = 0.008,
) -> Structure:
    """Draw long smooth curves that rise and fall gently, of differing brightness."""
    pixel = voxel_size[-1]
    depth = voxel_size[0] / pixel
    # Middles lie up to a curve's half length outside, but no deeper than a curve rises.
    reach = np.array([1.0, 6.0, 6.0]) / pixel
    size = np.array([shape[0] * depth, *shape[1:]]) + 2 * reach
    number = rng.poisson(density * size.prod() * pixel**3)
    paths = [
        smooth_curve(
            middle=rng.uniform(0, size) - reach,
            length=rng.uniform(6.0, 24.0) / pixel,
            stiffness=3.0 / pixel,
            radius=10.0 / pixel,
            slope=np.deg2rad(10.0),
            rng=rng,
        )
        for _ in range(number)
    ]
    for path in paths:
        path[:, 0] /= depth
    brightness = rng.uniform(0.4, 1.2, size=number)
    return Structure(draw_lines(shape, paths, brightness), tuple(paths), (0.0,) * number)


def vesicles(
    shape: tuple[int, int, int],
    voxel_size: VoxelSize,
    rng: np.random.Generator,
    *,
    density: float = 0.06,
) -> Structure:
    """Draw balls of 0.2 to 0.7 µm diameter, every other one hollow; light goes by their area."""
    number = rng.poisson(density * np.prod(shape) * np.prod(voxel_size))
    radii = rng.uniform(0.1, 0.35, size=number)
    walls = np.where(rng.random(number) < 0.5, 0.08, radii)
    volume = radii**3 - np.maximum(radii - walls, 0) ** 3
    brightness = rng.uniform(0.4, 1.2, size=number) * 0.1 * radii**2 / volume
    centres = rng.uniform(0, shape, size=(number, 3)) - 0.5
    half_axes = np.repeat(radii[:, None], 3, axis=1)
    return Structure(draw_shells(shape, voxel_size, centres, half_axes, walls, brightness))


def shell(
    shape: tuple[int, int, int],
    voxel_size: VoxelSize,
    rng: np.random.Generator,
    *,
    density: float = 0.004,
) -> Structure:
    """Draw hollow ellipsoids of 2 to 5 µm with a thin wall, one in the middle, none in another."""
    extent = np.array(shape) * voxel_size
    tries = 1 + rng.poisson(10 * density * extent.prod())
    centres = rng.uniform(0, extent, size=(tries, 3))
    centres[0] = extent * rng.uniform(0.48, 0.52, size=3)
    lateral = rng.uniform(1.0, 2.5, size=(tries, 1))
    # Flattened along z, as cells on glass are, so that top and bottom fit in a shallow stack.
    radii = lateral * np.concatenate(
        [rng.uniform(0.6, 0.9, size=(tries, 1)), rng.uniform(0.8, 1.2, size=(tries, 2))], axis=1
    )
    most = max(1, round(density * float(extent.prod())))
    kept: list[int] = []
    for index in range(tries):
        gaps = np.linalg.norm(centres[kept] - centres[index], axis=1)
        apart = radii[kept].max(axis=1, initial=0) + radii[index].max()
        if len(kept) < most and np.all(gaps > apart):
            kept.append(index)
    brightness = rng.uniform(0.6, 1.0, size=len(kept))
    walls = np.full(len(kept), 0.12)
    places = centres[kept] / voxel_size - 0.5
    return Structure(draw_shells(shape, voxel_size, places, radii[kept], walls, brightness))


def cell(shape: tuple[int, int, int], voxel_size: VoxelSize, rng: np.random.Generator) -> Structure:
    """Draw one filled cell with an uneven inside, a dark nucleus, granules and nothing around."""
    outline_rng, texture_rng, vesicle_rng = rng.spawn(3)
    size = np.array(shape, dtype=float)
    body = blob(shape, size / 2, size * (0.24, 0.36, 0.36), outline_rng)
    aside = outline_rng.uniform(-0.05, 0.05, size=3) * size
    nucleus = blob(shape, size / 2 + aside, size * (0.13, 0.14, 0.14), outline_rng)

    texture = ndimage.gaussian_filter(
        texture_rng.standard_normal(shape, dtype=np.float32),
        0.3 / np.array(voxel_size),
        mode="wrap",
    )
    texture = np.clip(1 + 0.5 * texture / texture.std(), 0, None)
    granules = vesicles(shape, voxel_size, vesicle_rng, density=0.15).density
    plasma = body * (1 - 0.9 * nucleus)
    return Structure((plasma * (0.05 * texture + granules)).astype(np.float32))


PHANTOMS_3D: dict[
    str, Callable[[tuple[int, int, int], VoxelSize, np.random.Generator], Structure]
] = {"filaments": filaments, "vesicles": vesicles, "shell": shell, "cell": cell}
