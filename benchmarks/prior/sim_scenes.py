"""Scenes under structured illumination: the frames that a camera would expect, and the patterns.

The structures are those of `scenes`. Patterns are told with the errors of an estimate.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pool import TRAINED_ON, kept
from scenes import CELLS, draw_cells, drawing

from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.sim.patterns import Pattern, Patterns
from napari_zsdeconvnet.sim.reconstruction import Reconstruction
from napari_zsdeconvnet.simulation.raw_sim import PHASES, drawn_phases
from napari_zsdeconvnet.simulation.sample import bin_2x2

SIZE = 96
"""Raw pixels across a frame."""

MARGIN = 64
"""Fine pixels beyond it on each side, that blur into it."""


@dataclass(frozen=True, eq=False)
class SIMScene:
    """A structure, and its frames without noise."""

    truth: np.ndarray
    """(2 SIZE, 2 SIZE), on the grid of reconstructions."""
    frames: np.ndarray
    """(9, SIZE, SIZE); the brightest of them is about 1."""
    reconstruction: Reconstruction
    """By the patterns as they are told."""
    psf: PSF
    spectrum: np.ndarray
    clean: np.ndarray
    """What it makes of the frames, (2 SIZE, 2 SIZE)."""


class SIMPool:
    """Scenes of a random stream by number, drawn when first asked for; the last few stay open.

    Parameters
    ----------
    folder : Path
        About 0.25 MB each.
    stream : int
        `TRAINED_ON` or `HELD_OUT` of `pool`.
    """

    OPEN = 40

    def __init__(self, folder: Path, stream: int = TRAINED_ON) -> None:
        self.folder, self.stream = folder, stream
        folder.mkdir(parents=True, exist_ok=True)
        self._open: dict[int, SIMScene] = {}

    def __getitem__(self, number: int) -> SIMScene:
        if number not in self._open:
            while len(self._open) >= self.OPEN:
                del self._open[next(iter(self._open))]
            path = self.folder / f"sim-{self.stream}-{number:06d}.npz"
            self._open[number] = _read(kept(path, lambda: self._draw(number)))
        return self._open[number]

    def _draw(self, number: int) -> dict[str, Any]:
        return draw_scene(np.random.default_rng([self.stream, number, 4]))


def _read(file: dict[str, np.ndarray]) -> SIMScene:
    patterns = Patterns.from_dict(json.loads(str(file["patterns"])))
    reconstruction = Reconstruction(patterns, wiener=float(file["wiener"]))
    frames = file["frames"].astype(np.float32)
    return SIMScene(
        file["truth"].astype(np.float32),
        frames,
        reconstruction,
        reconstruction.psf(),
        reconstruction.noise_spectrum(),
        reconstruction(frames),
    )


def draw_scene(rng: np.random.Generator) -> dict[str, Any]:
    """Draw a structure and a microscope, and expose it under nine patterns."""
    patterns = draw_patterns(rng)
    pixel = patterns.pixel_size / 2
    canvas = (2 * SIZE + 2 * MARGIN,) * 2
    # SIM is for details that are finer than the microscope's PSF.
    drawn = pixel * float(np.exp(rng.uniform(0, np.log(2.5))))
    structure = draw_cells if rng.random() < CELLS else drawing
    light = structure(canvas, drawn, rng)
    if rng.random() < 0.3:
        light = light + 10 ** rng.uniform(-2.5, -0.8)
    transfer = _transfer(patterns, canvas)

    def seen(density: np.ndarray) -> np.ndarray:
        blurred = np.fft.irfft2(np.fft.rfft2(density) * transfer, s=canvas)
        return bin_2x2(blurred[MARGIN:-MARGIN, MARGIN:-MARGIN])

    lights = patterns.illumination((canvas[0] // 2, canvas[1] // 2), 2)
    frames = np.stack([seen(light * lit) for lit in lights])
    if rng.random() < 0.4:
        frames += _haze(frames.mean(axis=0), rng)
    top = max(float(np.percentile(frames, 99.9)), 1e-3)
    inside = light[MARGIN:-MARGIN, MARGIN:-MARGIN]
    wiener = 0.1 if rng.random() < 0.7 else float(np.exp(rng.uniform(np.log(0.03), np.log(0.3))))
    return {
        "truth": np.clip(inside / top, 0, 6e4).astype(np.float16),
        "frames": np.clip(frames / top, 0, None).astype(np.float16),
        "patterns": json.dumps(as_told(patterns, rng).to_dict()),
        "wiener": wiener,
    }


def draw_patterns(rng: np.random.Generator) -> Patterns:
    """Choose a microscope and its fringes."""
    na, wavelength = rng.uniform(1.0, 1.5), rng.uniform(0.48, 0.7)
    finest = wavelength / (2 * na)
    pixel = 0.5 * finest * rng.uniform(0.55, 0.95)
    period = finest * float(np.exp(rng.uniform(np.log(1.03), np.log(2.0))))
    first, depth = rng.uniform(0, 180), rng.uniform(0.35, 1.0)
    phases = drawn_phases(3, PHASES, 0.0, rng)
    return Patterns(
        orientations=tuple(
            Pattern(period, (first + turn + rng.normal()) % 180, tuple(three), depth)
            for turn, three in zip((0, 60, 120), phases, strict=True)
        ),
        pixel_size=pixel,
        na=na,
        wavelength=wavelength,
        shape=(SIZE, SIZE),
        attenuation=1.0 if rng.random() < 0.4 else rng.uniform(0.4, 1.0),
    )


def as_told(patterns: Patterns, rng: np.random.Generator) -> Patterns:
    """Give the patterns as an estimate finds them."""
    if rng.random() < 0.4:
        return patterns
    extent = SIZE * patterns.pixel_size
    attenuation = min(patterns.attenuation * float(np.exp(0.1 * rng.normal())), 1.0)
    erring = [
        replace(
            one,
            # A fiftieth of a step of the spectrum.
            period=one.period * (1 + 0.02 * rng.normal() * one.period / extent),
            phases=tuple(np.add(one.phases, np.deg2rad(1.5) * rng.normal(size=PHASES)).tolist()),
            depth=float(np.clip(one.depth * (1 + 0.06 * rng.normal()), 0.25, 1.0)),
        )
        for one in patterns
    ]
    return replace(patterns, orientations=tuple(erring), attenuation=attenuation)


def _transfer(patterns: Patterns, canvas: Sequence[int]) -> np.ndarray:
    """Give the OTF on the fine grid; pixels of the camera come by binning."""
    pixel = patterns.pixel_size / 2
    psf = PSF.simulate(na=patterns.na, wavelength=patterns.wavelength, pixel_size=pixel)
    kernel = np.zeros(canvas)
    rows, columns = psf.array.shape
    kernel[:rows, :columns] = psf.array
    kernel = np.roll(kernel, (-(rows // 2), -(columns // 2)), (0, 1))
    ky, kx = np.fft.fftfreq(canvas[0], pixel), np.fft.rfftfreq(canvas[1], pixel)
    share = np.hypot(ky[:, None], kx) * patterns.wavelength / (2 * patterns.na)
    return np.fft.rfft2(kernel) * patterns.attenuation ** np.minimum(share, 1.0)


def _haze(mean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give light from other planes, which bears no pattern."""
    size = mean.shape[0]
    f = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size))
    width = rng.uniform(4, 20)
    random = np.roll(mean[::-1, ::-1], tuple(rng.integers(size, size=2)), (0, 1))
    spread = np.fft.irfft2(np.fft.rfft2(random) * np.exp(-2 * (width * f) ** 2), s=mean.shape)
    return np.clip(spread, 0, None) * float(np.exp(rng.uniform(np.log(0.05), np.log(1.0))))
