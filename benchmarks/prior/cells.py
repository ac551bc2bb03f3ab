"""Structures that look like cells: nuclei, cytoplasm with organelles, tissue, bacteria.

Each takes the shape of the fine grid, its pixel in micrometres and a random stream. Nothing is
drawn as the phantoms of the benchmarks draw it: cells are parts of random fields, not of a
Voronoi tessellation, and no vesicle is a thin ring.
"""

from __future__ import annotations

import numpy as np
from scipy import signal, special

from napari_zsdeconvnet.simulation.drawing import draw_lines, draw_spheres, smooth_curve


def log_uniform(rng: np.random.Generator, least: float, most: float) -> float:
    return float(np.exp(rng.uniform(np.log(least), np.log(most))))


def blurred(image, sigma):
    """Blur with a Gaussian, borders joined; as fast for a wide one as for a narrow one."""
    rows, columns = np.fft.fftfreq(image.shape[0]), np.fft.rfftfreq(image.shape[1])
    transfer = np.exp(-2 * (np.pi * sigma * np.hypot(rows[:, None], columns)) ** 2)
    return np.fft.irfft2(np.fft.rfft2(image) * transfer, s=image.shape)


def field(shape, scale, rng):
    """Gaussian random field of this correlation length in pixels, mean 0, variance 1."""
    smooth = blurred(rng.standard_normal(shape), scale)
    smooth -= smooth.mean()
    return smooth / smooth.std()


def lines_of(values, width):
    """Draw the lines along which a function is zero, of this width in pixels."""
    slope = np.hypot(*np.gradient(values)) + 1e-6
    return np.exp(-((values / slope / width) ** 2))


def area(shape, pixel):
    """Give the area in square micrometres."""
    return np.prod(shape) * pixel**2


class Body:
    """A lobed ellipse, turned at random, and the part of the image in which it lies."""

    def __init__(self, shape, middle, radii, rng, rim=0.06):
        reach = 1.3 * max(radii)
        low = np.clip(np.floor(middle - reach).astype(int), 0, shape)
        high = np.clip(np.ceil(middle + reach).astype(int) + 1, 0, shape)
        self.window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        y, x = (np.arange(a, b) - m for a, b, m in zip(low, high, middle, strict=True))
        turn = rng.uniform(0, np.pi)
        along = (np.sin(turn) * y[:, None] + np.cos(turn) * x) / radii[0]
        across = (np.cos(turn) * y[:, None] - np.sin(turn) * x) / radii[1]
        angle = np.arctan2(across, along)
        lobes = sum(
            rng.normal(scale=0.06 / (k - 1)) * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
            for k in (2, 3, 4, 5)
        )
        distance = np.hypot(along, across) / (1 + lobes)
        self.inside = np.clip((1 - distance) / rim + 0.5, 0, 1)
        self.thickness = np.sqrt(np.clip(1 - distance**2, 0, None))


def nuclei(shape, pixel, rng):
    """Nuclei with chromatin, nucleoli and bright or dark places, apart or crowded."""
    image = np.zeros(shape)
    radius = log_uniform(rng, 2, 5) / pixel
    coarse, fine = log_uniform(rng, 0.3, 1.0) / pixel, log_uniform(rng, 0.08, 0.3) / pixel
    texture = field(shape, coarse, rng) + rng.uniform(0, 1) * field(shape, fine, rng)
    chromatin = np.exp(rng.uniform(0.1, 0.7) * texture)
    number = rng.poisson(rng.uniform(0.1, 1.2) * np.prod(shape) / radius**2 / np.pi)
    flat, nucleoli, places = rng.uniform(0, 1), rng.integers(0, 5), rng.integers(0, 12)
    for _ in range(min(max(number, 1), 80)):
        middle = rng.uniform(0, shape)
        body = Body(shape, middle, radius * rng.uniform(0.6, 1.2, size=2), rng)
        light = body.inside * body.thickness**flat
        for count, size, change in ((nucleoli, (0.1, 0.3), -1.0), (places, (0.03, 0.12), 2.0)):
            for _ in range(count):
                place = middle + rng.normal(scale=0.35 * radius, size=2)
                part = Body(shape, place, radius * rng.uniform(*size, size=2), rng, rim=0.3)
                spot = np.zeros(shape, np.float32)
                spot[part.window] = part.inside
                light = light * (1 + change * rng.uniform(0.3, 0.95) * spot[body.window])
        image[body.window] += light * rng.uniform(0.3, 1)
    return image * chromatin


def tubes(shape, paths, radius, brightness, hollow=0.0):
    """Draw tubes around lines: the projection of a filled or, by a share, hollow cylinder."""
    reach = int(np.ceil(radius)) + 1
    square = np.add.outer(np.arange(-reach, reach + 1) ** 2, np.arange(-reach, reach + 1) ** 2)
    ball = np.sqrt(np.clip(radius**2 - square, 0, None))
    if hollow:
        ball -= hollow * np.sqrt(np.clip((0.75 * radius) ** 2 - square, 0, None))
    lines = draw_lines(shape, paths, brightness)
    return np.clip(signal.fftconvolve(lines, ball / ball.sum(), "same"), 0, None)


def mitochondria(shape, pixel, rng):
    """Bent tubes of a third of a micrometre, short or joined to networks."""
    density, length = log_uniform(rng, 0.03, 0.4), log_uniform(rng, 1, 10)
    number = min(max(int(density * area(shape, pixel)), 1), 300)
    paths = []
    for _ in range(number):
        start = rng.uniform(0, shape)
        if paths and rng.random() < 0.5:  # a branch of another one
            other = paths[rng.integers(len(paths))]
            start = other[rng.integers(len(other))]
        path = smooth_curve(
            middle=start,
            length=length * rng.uniform(0.4, 1.3) / pixel,
            stiffness=0.7 / pixel,
            radius=log_uniform(rng, 0.7, 4) / pixel,
            rng=rng,
        )
        paths.append(path)
    image = tubes(
        shape,
        paths,
        rng.uniform(0.12, 0.35) / pixel,
        rng.uniform(0.4, 1.2, size=number),
        hollow=rng.uniform(0.5, 0.95) if rng.random() < 0.4 else 0.0,
    )
    return image * np.exp(rng.uniform(0, 0.6) * field(shape, 0.15 / pixel, rng))


def reticulum(shape, pixel, rng):
    """Tubules and sheets that fill the plane, denser in some parts."""
    scale, width = log_uniform(rng, 0.3, 1.0) / pixel, rng.uniform(0.03, 0.1) / pixel
    image = sum(
        lines_of(field(shape, scale, rng) - rng.uniform(-0.5, 0.5), max(width, 0.7))
        for _ in range(rng.integers(1, 4))
    )
    sheets = special.expit(12 * (field(shape, 2 * scale, rng) - rng.uniform(0.3, 1.5)))
    dense = np.exp(rng.uniform(0, 0.8) * field(shape, 3 * scale, rng))
    return (image + rng.uniform(0, 0.6) * sheets) * dense


def vesicles(shape, pixel, rng):
    """Draw crowds of filled organelles whose brightness differs many times."""
    number = min(max(int(log_uniform(rng, 0.1, 3) * area(shape, pixel)), 3), 1500)
    small = log_uniform(rng, 0.05, 0.3)
    radii = small * np.exp(rng.uniform(0, 0.6) * rng.standard_normal(number)) / pixel
    bright = np.exp(rng.uniform(0.2, 1.0) * rng.standard_normal(number)) / radii
    image = draw_spheres(shape, rng.uniform(0, shape, size=(number, 2)), radii, bright)
    return image * special.expit(4 * field(shape, 2.0 / pixel, rng))


def aster(shape, pixel, rng):
    """Microtubules that run out from the middle of a cell."""
    middle = rng.uniform(0.2, 0.8, size=2) * shape
    paths = []
    for _ in range(rng.integers(20, 120)):
        path = smooth_curve(
            middle=middle,
            length=rng.uniform(5, 40) / pixel,
            stiffness=4 / pixel,
            radius=log_uniform(rng, 5, 30) / pixel,
            rng=rng,
        )
        half = path[len(path) // 2 :]
        paths.append(half + rng.normal(scale=0.5 / pixel, size=2))
    return draw_lines(shape, paths, rng.uniform(0.4, 1.0, size=len(paths)))


ORGANELLES = (mitochondria, reticulum, vesicles, aster)


def cells(shape, pixel, rng):
    """Cytoplasm with organelles around a nucleus, and nothing or a neighbour beside it."""
    size = log_uniform(rng, 5, 14) / pixel
    body, nucleus = np.zeros(shape), np.zeros(shape)
    for _ in range(rng.integers(1, 5)):
        middle = rng.uniform(0.1, 0.9, size=2) * shape
        whole = Body(shape, middle, size * rng.uniform(0.6, 1.3, size=2), rng, rim=0.15)
        core = Body(
            shape,
            middle + rng.normal(scale=0.1 * size, size=2),
            size * rng.uniform(0.25, 0.4, 2),
            rng,
        )
        np.maximum(body[whole.window], whole.inside * whole.thickness**0.3, out=body[whole.window])
        np.maximum(nucleus[core.window], core.inside, out=nucleus[core.window])
    body *= 1 - 0.9 * nucleus
    plasm = np.exp(rng.uniform(0, 0.4) * field(shape, log_uniform(rng, 0.1, 1) / pixel, rng))
    image = rng.uniform(0, 0.5) * body * plasm
    for index in rng.permutation(len(ORGANELLES))[: rng.integers(1, 3)]:
        part = ORGANELLES[index](shape, pixel, rng)
        top = np.percentile(blurred(part, 0.1 / pixel), 99.5)
        image += body * part / max(top, 1e-9) * rng.uniform(0.4, 1.5)
    if rng.random() < 0.4:
        chromatin = np.exp(rng.uniform(0.1, 0.6) * field(shape, 0.4 / pixel, rng))
        image += nucleus * chromatin * rng.uniform(0.2, 1)
    return image


def packed(shape, size, rng, kinds=6):
    """Divide the plane into cells: where which of some random fields is the largest.

    Gives the labels, how far ahead the largest field is, and the largest field.
    """
    fields = np.stack([field(shape, size, rng) for _ in range(kinds)])
    order = np.sort(fields, axis=0)
    return fields.argmax(axis=0), order[-1] - order[-2], order[-1]


def tissue(shape, pixel, rng):
    """Cells side by side with membranes, nuclei and a stain of their own."""
    label, ahead, height = packed(shape, log_uniform(rng, 0.8, 3.0) / pixel, rng)
    parts = rng.random(3) < (0.7, 0.5, 0.5)
    image = np.full(shape, rng.uniform(0, 0.1))
    if parts[0]:
        border = lines_of(ahead, max(rng.uniform(0.05, 0.2) / pixel, 0.8))
        image += border * np.exp(0.4 * field(shape, 0.5 / pixel, rng))
    if parts[1]:
        core = special.expit(rng.uniform(8, 25) * (height - rng.uniform(1.5, 2.0)))
        image += core * np.exp(0.4 * field(shape, 0.3 / pixel, rng)) * rng.uniform(0.3, 1)
    if parts[2] or not parts.any():
        grains = np.exp(
            rng.uniform(0.1, 0.9) * field(shape, log_uniform(rng, 0.08, 0.5) / pixel, rng)
        )
        image += rng.exponential(0.5, size=6)[label] * grains * special.expit(6 * ahead - 1)
    return image


def bacteria(shape, pixel, rng):
    """Rods, alone or in a colony that lies in one direction; filled, outlined or with spots."""
    radius = rng.uniform(0.3, 0.5) / pixel
    length = rng.uniform(0.8, 4) / pixel
    number = int(rng.uniform(0.05, 1.0) * np.prod(shape) / (2 * radius * (length + radius)))
    heading = rng.uniform(0, 2 * np.pi) + rng.uniform(0.2, 3) * field(shape, 4.0 / pixel, rng)
    paths, spots = [], np.zeros(shape)
    for _ in range(min(max(number, 1), 200)):
        middle = rng.uniform(0, np.array(shape) - 1)
        angle = heading[tuple(middle.astype(int))]
        along = np.arange(-0.5, 0.5, 0.25 / length)[:, None] * length * rng.uniform(0.6, 1.2)
        bend = rng.normal(scale=0.3) / length * along**2
        paths.append(
            middle
            + along * np.array([np.sin(angle), np.cos(angle)])
            + bend * np.array([np.cos(angle), -np.sin(angle)])
        )
        for _ in range(rng.poisson(1.5)):
            spot = np.rint(paths[-1][rng.integers(len(paths[-1]))]).astype(int)
            if np.all(spot >= 0) and np.all(spot < shape):
                spots[tuple(spot)] += rng.exponential()
    hollow = rng.uniform(0.6, 1.0) if rng.random() < 0.4 else 0.0
    image = tubes(shape, paths, radius, rng.uniform(0.4, 1, size=len(paths)), hollow)
    image /= image.max() + 1e-9
    if rng.random() < 0.4:
        image += rng.uniform(0.5, 2) * blurred(spots, 1.0) / (blurred(spots, 1.0).max() + 1e-9)
    return image


def membranes(shape, pixel, rng):
    """Outlines of cells with ruffles and short hairs, and a dim stain inside."""
    values = field(shape, log_uniform(rng, 1.5, 4) / pixel, rng)
    values += rng.uniform(0, 0.3) * field(shape, log_uniform(rng, 0.2, 0.6) / pixel, rng)
    values -= rng.uniform(-0.5, 0.8)
    edge = lines_of(values, max(rng.uniform(0.03, 0.1) / pixel, 0.7))
    inside = special.expit(30 * values)
    places = np.argwhere(edge > 0.5)
    image = edge * np.exp(0.4 * field(shape, 0.4 / pixel, rng)) + rng.uniform(0, 0.3) * inside
    if len(places) and rng.random() < 0.6:
        hairs = [
            smooth_curve(
                middle=places[rng.integers(len(places))].astype(float),
                length=rng.uniform(0.5, 4) / pixel,
                stiffness=1 / pixel,
                radius=3 / pixel,
                rng=rng,
            )
            for _ in range(rng.integers(10, 150))
        ]
        image += rng.uniform(0.2, 1) * draw_lines(shape, hairs, np.ones(len(hairs)))
    return image


CELL_KINDS = {
    "nuclei": nuclei,
    "cells": cells,
    "tissue": tissue,
    "bacteria": bacteria,
    "membranes": membranes,
    "mitochondria": mitochondria,
    "reticulum": reticulum,
    "vesicles": vesicles,
}


# What lies above, below and around all of them.


def other_planes(light, pixel, rng):
    """Give the light of the same kind of structure in other planes, out of focus."""
    haze = np.zeros_like(light)
    for _ in range(rng.integers(1, 4)):
        plane = np.rot90(light, rng.integers(1, 4))
        plane = np.roll(plane, rng.integers(0, light.shape[0], size=2), axis=(0, 1))
        haze += blurred(plane, log_uniform(rng, 0.25, 3.0) / pixel) * rng.uniform(0.2, 1)
    return np.clip(haze, 0, None)


def autofluorescence(shape, pixel, rng):
    """Draw a dim uneven stain with granules, as of the medium or of lipofuscin."""
    stain = np.exp(0.5 * field(shape, log_uniform(rng, 0.5, 4) / pixel, rng))
    grains = np.zeros(shape)
    number = rng.poisson(log_uniform(rng, 0.02, 0.5) * area(shape, pixel))
    rows, columns = (rng.integers(0, n, size=number) for n in shape)
    np.add.at(grains, (rows, columns), rng.exponential(size=number))
    grains = blurred(grains, log_uniform(rng, 0.1, 0.5) / pixel)
    top = grains.max()
    return stain / stain.max() + (np.clip(grains / top, 0, None) if top > 0 else 0)


def slope(shape, rng):
    """Illumination or background that falls from one side or the middle, largest value 1."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    middle, tilt = rng.uniform(-0.8, 0.8, size=2), rng.normal(scale=0.4, size=2)
    fall = (
        tilt[0] * y
        + tilt[1] * x
        - rng.uniform(0, 1) * ((y - middle[0]) ** 2 + (x - middle[1]) ** 2)
    )
    return np.exp(fall - fall.max())
