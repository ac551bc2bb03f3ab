"""Phantoms that nothing was tuned on: other structures, optics and camera than elsewhere here.

They are for the comparison with other programs and for the goals. Do not choose a setting or
weights by them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.simulation.drawing import blob, draw_spheres
from napari_zsdeconvnet.simulation.phantoms import (
    PHANTOMS,
    Structure,
    filaments,
    mesh,
    vesicles,
)

Shape = tuple[int, int]

# Lengths are micrometres, as in `phantoms`.


def mix(shape: Shape, pixel_size: float, rng: np.random.Generator) -> Structure:
    """Draw lines and points in uneven haze."""
    lines = filaments(shape, pixel_size, rng, per_area=0.06).density
    points = vesicles(shape, pixel_size, rng, per_area=0.5).density
    haze = _texture(shape, 1.5 / pixel_size, 0.4, rng)
    return Structure(lines + 0.15 * points + np.float32(0.004) * haze)


def cells(shape: Shape, pixel_size: float, rng: np.random.Generator) -> Structure:
    """Draw cells beside each other: nuclei with nucleoli, and a fine network around them."""
    fibres = mesh(shape, pixel_size, rng, cell=0.8).density
    density = np.zeros(shape, np.float32)
    spacing = 9.0 / pixel_size
    for row in np.arange(spacing / 2, shape[0] + spacing / 2, spacing):
        for column in np.arange(spacing / 2, shape[1] + spacing / 2, spacing):
            middle = np.array([row, column]) + rng.uniform(-0.15, 0.15, 2) * spacing
            body = blob(shape, middle, np.full(2, 0.42 * spacing), rng)
            nucleus = blob(shape, middle, np.full(2, 0.2 * spacing), rng)
            nucleoli = blob(shape, middle, np.full(2, 0.06 * spacing), rng)
            light = rng.uniform(0.5, 1.0)
            density += light * body * (0.3 * fibres * (1 - nucleus) + 0.01)
            density += light * nucleus * (0.05 + 0.05 * nucleoli)
    return Structure(density * _texture(shape, 0.3 / pixel_size, 0.2, rng))


def spots(shape: Shape, pixel_size: float, rng: np.random.Generator) -> Structure:
    """Draw points far smaller than the PSF, some beside each other, of very different light."""
    number = rng.poisson(0.5 * np.prod(shape) * pixel_size**2)
    centres = rng.uniform(0, shape, size=(number, 2))
    pairs = centres + rng.normal(scale=0.3 / pixel_size, size=centres.shape)
    places = np.concatenate([centres, pairs[::3]])
    light = rng.lognormal(sigma=0.7, size=len(places))
    return Structure(draw_spheres(shape, places, np.full(len(places), 0.04 / pixel_size), light))


def _texture(
    shape: Shape, width: float, contrast: float, rng: np.random.Generator
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Draw smooth light of mean 1."""
    texture = rng.standard_normal(shape, dtype=np.float32)
    texture = ndimage.gaussian_filter(texture, width, mode="wrap")
    return np.clip(1 + np.float32(contrast / texture.std()) * texture, 0, None)


MICROSCOPE: dict[str, Any] = {
    "na": 1.25,
    "wavelength": 0.5,
    "pixel_size": 0.07,
    "noise": NoiseModel(105.0, 0.8, 1.6),
}
HELD_OUT = dict.fromkeys(("mix", "cells", "spots"), MICROSCOPE)
"""Optics and camera of these phantoms, as `simulate` takes them."""

PHANTOMS |= {"mix": mix, "cells": cells, "spots": spots}
