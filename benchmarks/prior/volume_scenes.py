"""Volumes that a denoiser is trained on: general structures and cells, through many microscopes.

As for images, shells and the cell of the benchmarks' phantoms are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from cells import log_uniform
from pool import TRAINED_ON, kept
from scipy import special

from napari_zsdeconvnet.networks.informed_volume import InformedVolumeNetwork
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.simulation.drawing import blob, draw_lines, smooth_curve

SIZE = (24, 96, 96)
MARGIN = (8, 24, 24)
"""Voxels beyond it on each side, that blur into it."""
WAVELENGTH = 0.525
WIDTH = 0.2
"""Structures are drawn in units in which the PSF is so wide, about micrometres."""


@dataclass(frozen=True, eq=False)
class VolumeScene:
    """What a camera would expect, (Z, Y, X), and the width of the PSF along each axis, voxels."""

    clean: np.ndarray
    widths: tuple[float, float, float]


class VolumePool:
    """Scenes by number, about 0.9 MB each, as `pool.Pool` keeps those for images."""

    def __init__(self, folder: Path, stream: int = TRAINED_ON) -> None:
        self.folder, self.stream = folder, stream
        folder.mkdir(parents=True, exist_ok=True)

    def __getitem__(self, number: int) -> VolumeScene:
        path = self.folder / f"volume-{self.stream}-{number:06d}.npz"
        rng = np.random.default_rng([self.stream, 3, number])
        file = kept(path, lambda: vars(make_volume(rng)))
        depth, height, width = map(float, file["widths"])
        return VolumeScene(file["clean"], (depth, height, width))


def some_network() -> InformedVolumeNetwork:
    """Build a network, which is told of another microscope for each volume."""
    psf = PSF.simulate(na=1.2, wavelength=WAVELENGTH, pixel_size=0.1, axial_step=0.3, size=31)
    return InformedVolumeNetwork(psf).to(memory_format=torch.channels_last)


def make_volume(rng: np.random.Generator) -> VolumeScene:
    """Draw a volume and its microscope; the brightest of it is about 1 once blurred."""
    _, clean, psf = draw_volume(rng)
    widths = [min(w / s, 16.0) for w, s in zip(psf.fwhm, psf.steps, strict=True)]
    return VolumeScene(clean, (widths[0], widths[1], widths[2]))


def draw_volume(
    rng: np.random.Generator, stated: float | None = None
) -> tuple[np.ndarray, np.ndarray, PSF]:
    """Draw a structure, what a camera would expect of it, both (Z, Y, X), and a microscope.

    The structure is shown through a Gaussian of ``stated`` times the widths of the PSF.
    """
    psf, voxel = draw_microscope(rng)
    shape = tuple(n + 2 * m for n, m in zip(SIZE, MARGIN, strict=True))
    light = np.zeros(shape)
    kinds = rng.choice(list(KINDS), size=rng.choice([1, 1, 2]), replace=False)
    for kind in kinds:
        part = np.clip(KINDS[kind](shape, voxel, rng), 0, None)
        top = np.percentile(smooth(part, (0.5, 1, 1)), 99.9)
        light += part / max(top, 1e-9) * 10 ** rng.uniform(-0.8, 0)
    if rng.random() < 0.3:
        light *= special.expit(6 * (field(shape, voxel, 2.0, rng) + rng.uniform(-0.5, 1)))
    if rng.random() < 0.5:
        light += 10 ** rng.uniform(-2.5, -0.5) * light.max() * 0.3
    clean = np.clip(convolved(light, psf.array), 0, None)
    if stated is not None:
        widths = [stated * w / s for w, s in zip(psf.fwhm, psf.steps, strict=True)]
        light = smooth(light, [w / np.sqrt(8 * np.log(2)) for w in np.nan_to_num(widths)])
    inner = tuple(slice(m, m + n) for n, m in zip(SIZE, MARGIN, strict=True))
    brightest = max(np.percentile(clean[inner], 99.9), 1e-9)
    truth, clean = ((part[inner] / brightest).astype(np.float32) for part in (light, clean))
    return truth, clean, psf


def draw_microscope(rng: np.random.Generator) -> tuple[PSF, tuple[float, float, float]]:
    """Choose optics and steps: 1.9 to 5 pixels and 1 to 5 planes across the PSF.

    Also gives the voxel in the units of the structures.
    """
    index = rng.choice([1.0, 1.33, 1.406, 1.515])
    na = rng.uniform(0.4, 0.94) * index
    lateral = 0.51 * WAVELENGTH / na
    axial = 0.88 * WAVELENGTH / (index - np.sqrt(index**2 - na**2))
    modality = rng.choice(["widefield", "confocal", "light-sheet"], p=[0.5, 0.3, 0.2])
    more = {}
    if modality == "confocal":
        more = {"excitation_wavelength": 0.488, "pinhole": rng.uniform(0.7, 2.0)}
    elif modality == "light-sheet":
        more = {"sheet_thickness": axial * rng.uniform(0.5, 2)}
    pixel, step = lateral / log_uniform(rng, 1.9, 5), axial / log_uniform(rng, 1.0, 5)
    psf = PSF.simulate(
        na=na,
        wavelength=WAVELENGTH,
        pixel_size=pixel,
        modality=modality,
        refractive_index=index,
        axial_step=step,
        planes=31,
        size=2 * min(MARGIN[-1] + int(8 * lateral / pixel), 60) + 1,
        **more,
    )
    unit = WIDTH / lateral / log_uniform(rng, 0.25, 1)
    return psf, (step * unit, pixel * unit, pixel * unit)


def convolved(light, kernel):
    """Convolve, borders joined."""
    kernel = kernel[
        tuple(
            slice(max((k - n) // 2, 0), max((k - n) // 2, 0) + min(k, n))
            for k, n in zip(kernel.shape, light.shape, strict=True)
        )
    ]
    padded = np.zeros(light.shape)
    padded[tuple(map(slice, kernel.shape))] = kernel / kernel.sum()
    padded = np.roll(padded, [-(k // 2) for k in kernel.shape], axis=(0, 1, 2))
    return np.fft.irfftn(np.fft.rfftn(light) * np.fft.rfftn(padded), s=light.shape)


def smooth(volume, sigmas):
    """Blur with a Gaussian, borders joined."""
    spectrum = np.fft.rfftn(volume)
    for axis, (n, sigma) in enumerate(zip(volume.shape, sigmas, strict=True)):
        f = np.fft.rfftfreq(n) if axis == 2 else np.fft.fftfreq(n)
        line = np.exp(-2 * (np.pi * sigma * f) ** 2)
        spectrum *= line.reshape([-1 if a == axis else 1 for a in range(3)])
    return np.fft.irfftn(spectrum, s=volume.shape)


# Kinds of structure; each takes the shape, the voxel (z, y, x) and a random stream.


def field(shape, voxel, scale, rng):
    """Gaussian random field of this correlation length along every axis, variance 1."""
    values = smooth(rng.standard_normal(shape), [scale / step for step in voxel])
    values -= values.mean()
    return values / (values.std() + 1e-9)


def surfaces_of(values, voxel, width):
    """Draw the surfaces on which a function is zero, about so wide."""
    slope = np.sqrt(sum(np.square(part) for part in np.gradient(values, *voxel))) + 1e-6
    width = np.maximum(width, 0.7 * voxel[-1])
    return np.exp(-((values / slope / width) ** 2))


def curves(shape, voxel, rng):
    pixel, depth = voxel[-1], voxel[0] / voxel[-1]
    paths = []
    for _ in range(int(log_uniform(rng, 3, 150))):
        path = smooth_curve(
            middle=rng.uniform(0, (shape[0] * depth, *shape[1:])),
            length=log_uniform(rng, 1, 15) / pixel,
            stiffness=log_uniform(rng, 0.7, 4) / pixel,
            radius=log_uniform(rng, 1, 15) / pixel,
            slope=rng.uniform(0, 0.6),
            rng=rng,
        )
        path[:, 0] /= depth
        paths.append(path)
    lines = draw_lines(shape, paths, rng.uniform(0.3, 1.2, size=len(paths))).astype(float)
    if rng.random() < 0.5:
        lines = smooth(lines, [rng.uniform(0.05, 0.25) / step for step in voxel])
    return lines


def granules(shape, voxel, rng):
    image = np.zeros(shape)
    for _ in range(rng.integers(1, 4)):
        number = int(log_uniform(rng, 5, 800))
        part = np.zeros(shape)
        np.add.at(
            part,
            tuple(rng.integers(0, n, size=number) for n in shape),
            np.exp(rng.uniform(0.2, 1) * rng.standard_normal(number)),
        )
        size = log_uniform(rng, 0.03, 0.4)
        image += smooth(part, [size / step for step in voxel]) * size**2
    return image


def level_sets(shape, voxel, rng):
    values = field(shape, voxel, log_uniform(rng, 0.1, 1.2), rng)
    return special.expit(rng.uniform(2, 30) * (values - rng.uniform(0, 1.8)))


def sheets(shape, voxel, rng):
    values = field(shape, voxel, log_uniform(rng, 0.4, 2.5), rng)
    image = surfaces_of(values - rng.uniform(-0.5, 0.5), voxel, rng.uniform(0.05, 0.2))
    return image * np.exp(0.4 * field(shape, voxel, 0.4, rng))


def network(shape, voxel, rng):
    """Draw tubules: where two surfaces cross."""
    scale, width = log_uniform(rng, 0.3, 1.0), rng.uniform(0.08, 0.2)
    return np.prod(
        [surfaces_of(field(shape, voxel, scale, rng), voxel, width) for _ in range(2)], axis=0
    )


def texture(shape, voxel, rng):
    return np.exp(rng.uniform(0.2, 1.0) * field(shape, voxel, log_uniform(rng, 0.08, 0.8), rng))


def nuclei(shape, voxel, rng):
    image, size = np.zeros(shape), np.array(voxel)
    radius = log_uniform(rng, 1.5, 4)
    extent = shape * size
    number = rng.poisson(rng.uniform(0.1, 0.6) * extent.prod() / (4 * radius**3))
    chromatin = field(shape, voxel, log_uniform(rng, 0.1, 0.6), rng)
    for _ in range(min(max(number, 1), 12)):
        middle = rng.uniform(0, shape)
        radii = radius * rng.uniform(0.6, 1.2, size=3) * (0.7, 1, 1) / size
        body = blob(shape, middle, radii, rng).astype(float)
        for _ in range(rng.integers(0, 4)):
            place = middle + rng.normal(scale=0.35, size=3) * radii
            body *= 1 - 0.9 * blob(shape, place, radii * rng.uniform(0.12, 0.3), rng)
        image += body * rng.uniform(0.3, 1)
    return image * np.exp(rng.uniform(0.1, 0.7) * chromatin)


def tissue(shape, voxel, rng):
    """Cells side by side: where which of some random fields is the largest."""
    scale = log_uniform(rng, 0.8, 2.5)
    fields = np.stack([field(shape, voxel, scale, rng) for _ in range(4)])
    order = np.sort(fields, axis=0)
    borders = surfaces_of(order[-1] - order[-2], voxel, rng.uniform(0.05, 0.2))
    cores = special.expit(15 * (order[-1] - rng.uniform(1.3, 1.8)))
    stain = rng.exponential(0.4, size=4)[fields.argmax(axis=0)]
    grains = np.exp(0.5 * field(shape, voxel, log_uniform(rng, 0.1, 0.5), rng))
    shares = rng.uniform(0, 1, size=3) * (rng.random(3) < 0.6)
    return shares[0] * borders + (shares[1] * cores + (shares[2] + 0.02) * stain) * grains


def flat(shape, voxel, rng):
    return np.ones(shape)


KINDS = {
    "curves": curves,
    "granules": granules,
    "level sets": level_sets,
    "sheets": sheets,
    "network": network,
    "texture": texture,
    "nuclei": nuclei,
    "tissue": tissue,
    "flat": flat,
}
