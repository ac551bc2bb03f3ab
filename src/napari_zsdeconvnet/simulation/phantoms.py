"""What is imaged in two dimensions: phantoms drawn on the fine grid, light in arbitrary units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import Voronoi

from ..utils.errors import InputError
from .drawing import (
    PATH_STEP,
    FloatImage,
    Path,
    bent_edge,
    blob,
    draw_lines,
    draw_spheres,
    smooth_curve,
)


@dataclass(frozen=True, eq=False)
class Structure:
    """What a phantom is made of.

    Attributes
    ----------
    density
        Emission of each pixel of the fine grid, axes YX or ZYX, in arbitrary units.
    paths
        Lines whose course is known, each (points, 2 or 3) in fine pixels, in the order of the
        axes.
    separations
        For each path 0 where it is itself drawn, or else the distance in micrometres
        of the two parallel lines that run to its left and right.
    """

    density: FloatImage
    paths: tuple[Path, ...] = ()
    separations: tuple[float, ...] = ()


# Each takes the shape of the fine grid, its pixel in micrometres and a random
# stream. Lengths below are micrometres; a line has brightness 1 per fine pixel of length.


def filaments(
    shape: tuple[int, int], pixel_size: float, rng: np.random.Generator, *, per_area: float = 0.04
) -> Structure:
    """Draw long smooth curves of differing brightness, `per_area` of them per square micrometre."""
    reach = 6.0 / pixel_size
    size = np.array(shape) + 2 * reach
    number = rng.poisson(per_area * size.prod() * pixel_size**2)
    paths = [
        smooth_curve(
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
    """Draw filled spheres of 80 to 260 nm diameter, seen in projection, `per_area` per µm²."""
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
    """Draw a network of tubules: the edges of a Voronoi tessellation with cells of `cell` µm."""
    spacing = cell / pixel_size
    # Seeds beyond the canvas, so that every edge that crosses it ends in finite corners.
    rows, columns = (np.arange(-2, n / spacing + 2) * spacing for n in shape)
    seeds = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
    voronoi = Voronoi(seeds + rng.uniform(-0.45, 0.45, size=seeds.shape) * spacing)
    edges = [edge for edge in voronoi.ridge_vertices if -1 not in edge]
    # A tubule is missing here and there, which leaves gaps of several sizes.
    edges = [edge for edge in edges if rng.random() < 0.85]
    paths = [bent_edge(*voronoi.vertices[edge], rng=rng) for edge in edges]
    return Structure(draw_lines(shape, paths, rng.uniform(0.5, 1.0, size=len(paths))))


def cell(shape: tuple[int, int], pixel_size: float, rng: np.random.Generator) -> Structure:
    """Draw one cell: nuclear and cytoplasmic haze, filaments and vesicles; nothing around it."""
    outline_rng, texture_rng, filament_rng, vesicle_rng = rng.spawn(4)
    middle = np.array(shape) / 2
    body = blob(shape, middle, 0.42 * np.array(shape), outline_rng)
    nucleus_middle = middle + outline_rng.uniform(-0.08, 0.08, size=2) * shape
    nucleus = blob(shape, nucleus_middle, 0.15 * np.array(shape), outline_rng)

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

    Separations, in micrometres, are used in turn; 0 is one single line. By default they are 0, and
    0.08 to 0.32 in steps of 0.03. The paths run midway between the two lines of a pair.
    """
    if separation is None:
        separation = (0.0, *np.arange(0.08, 0.33, 0.03).round(3).tolist())
    distances = np.atleast_1d(np.asarray(separation, dtype=float))
    if np.any(distances < 0) or not np.all(np.isfinite(distances)):
        raise InputError(
            "phantom-wrong", f"separation is {separation}; it must be 0 or more micrometres."
        )

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
