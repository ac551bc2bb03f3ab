"""What pattern estimation and reconstruction have to reach, measured on a seed or a recording."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from artefacts import residual_peak
from numpy.typing import NDArray
from scipy import optimize

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.inference.raw_frames import reconstruct
from napari_zsdeconvnet.noise.camera_maps import CameraMaps
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.quality.reference_metrics import fit_intensity, psnr
from napari_zsdeconvnet.quality.ring_correlation import fourier_ring_correlation
from napari_zsdeconvnet.sim.estimation import estimate
from napari_zsdeconvnet.sim.otf import ideal
from napari_zsdeconvnet.sim.patterns import Pattern, Patterns
from napari_zsdeconvnet.sim.reconstruction import Reconstruction
from napari_zsdeconvnet.simulation.raw_sim import SIMSample, simulate_sim
from napari_zsdeconvnet.simulation.sample import camera
from napari_zsdeconvnet.training.sim_pairs import RawSIM, recorrupted_reconstructions
from napari_zsdeconvnet.utils.errors import InputError

KINDS = ("filaments", "vesicles")
PHOTONS = (30.0, 100.0, 1000.0)
BORDER = 32
"""Output pixels left out at each side."""
DRAWS = 200
PAIRS = 4
"""Of exposures, whose ring correlations are taken together; those of one scatter."""
SHALLOW = 0.1
"""Depth of the recording that is to be warned of."""

Found = dict[str, Any]


def on_a_seed(seed: int, size: int, draws: int = DRAWS) -> Found:
    """Measure everything that simulation can tell on the structures of one seed.

    The angles of the patterns are drawn too, so that no seed has those of another.
    """
    first = float(np.random.default_rng(seed).uniform(0, 60))
    settings: dict[str, Any] = {
        "shape": (size, size),
        "angles": (first, first + 60, first + 120),
        "seed": seed,
    }
    patterns = []
    for kind in KINDS:
        for photons in PHOTONS:
            sample = simulate_sim(kind, photons=photons, **settings)
            found = _estimated(sample, np.random.default_rng(seed))
            patterns.append({"kind": kind, "photons": photons} | found)
    dim = simulate_sim("filaments", photons=30.0, **settings)
    shallow = simulate_sim("filaments", photons=100.0, depth=SHALLOW, **settings)
    return {
        "patterns": patterns,
        "linearity": _linearity(dim, seed),
        "noise_free_db": {
            kind: _noise_free(simulate_sim(kind, photons=100.0, **settings)) for kind in KINDS
        },
        "recorrupted": _recorrupted(dim, seed, draws),
        "shallow": _warned(shallow),
    }


def _estimated(sample: SIMSample, rng: np.random.Generator) -> Found:
    """Compare estimated patterns with the true ones, and what is reconstructed with them."""
    found = _estimate(sample)
    step = 1 / (sample.raw.shape[-1] * sample.pixel_size)
    result: Found = {"found": len(found.found), "frequency_px": [], "phase": [], "depth": []}
    for pattern, truth in zip(found, sample.patterns, strict=True):
        frequency, phases = _same_side(pattern, truth.frequency)
        distance = np.hypot(*np.subtract(frequency, truth.frequency))
        errors = np.degrees(_wrapped(phases - np.array(truth.phases)))
        result["frequency_px"].append(float(distance / step))
        result["phase"].append(float(np.abs(errors).max()))
        result["depth"].append(abs(pattern.depth - truth.depth))

    result |= _resolutions(Reconstruction(found), sample, rng)
    image, exact = (
        Reconstruction(patterns)(sample.noise_free) for patterns in (found, sample.patterns)
    )
    for name, expected in {"estimate": exact, "truth": _expected(sample)}.items():
        result[f"peak_to_{name}"] = residual_peak(image, expected, sample.patterns)
    return result


def _resolutions(
    reconstruction: Reconstruction, sample: SIMSample, rng: np.random.Generator
) -> Found:
    """Give the resolutions by Fourier ring correlation, of all pairs together and of each."""
    offset, pixel = float(sample.noise.offset), sample.pixel_size / 2
    exposures = [sample.raw, sample.second_exposure]
    exposures += [camera(sample.noise_free, sample.noise, rng) for _ in range(2 * PAIRS - 2)]
    edge = 2 * sample.na / sample.wavelength
    result: Found = {}
    for name, operator, end in (
        ("widefield", reconstruction.widefield, edge),
        ("sim", reconstruction, edge + 1 / sample.patterns[0].period),
    ):
        images = np.stack([operator(frames - offset) for frames in exposures])
        first, second = images[::2], images[1::2]
        rings = fourier_ring_correlation(first, second, pixel)
        single = [
            fourier_ring_correlation(*pair, pixel) for pair in zip(first, second, strict=True)
        ]
        # Beyond its band an image has nothing but what its borders leave there, twice the same.
        result[f"{name}_frc_nm"] = 1000 * max(rings.resolution, 1 / end)
        result[f"{name}_frc_nm_of_pairs"] = [1000 * max(one.resolution, 1 / end) for one in single]
    return result


def _estimate(sample: SIMSample) -> Patterns:
    return estimate(
        sample.raw,
        pixel_size=sample.pixel_size,
        na=sample.na,
        wavelength=sample.wavelength,
        offset=sample.noise,
    )


def _same_side(
    pattern: Pattern, frequency: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Count frequency and phases of a pattern from the side on which another one lies."""
    own, phases = np.array(pattern.frequency), np.array(pattern.phases)
    return (own, phases) if np.dot(own, frequency) > 0 else (-own, -phases)


def _wrapped(radians: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.angle(np.exp(1j * radians)))


def _linearity(sample: SIMSample, seed: int) -> float:
    """Give the largest difference of R(a + b) and R(a) + R(b), over the largest value."""
    reconstruction = Reconstruction(sample.patterns)
    rng = np.random.default_rng(seed)
    first = (sample.raw - float(sample.noise.offset)).astype(np.float32)
    second = rng.normal(scale=first.std(), size=first.shape).astype(np.float32)
    together = reconstruction(first + second)
    apart = reconstruction(first) + reconstruction(second)
    return float(np.abs(together - apart).max() / np.abs(together).max())


def _noise_free(sample: SIMSample) -> float:
    """Compare frames without noise, reconstructed, with what the truth is within the band."""
    inside = (slice(BORDER, -BORDER),) * 2
    expected = _expected(sample)[inside]
    image = Reconstruction(sample.patterns)(sample.noise_free)[inside]
    return psnr(fit_intensity(image, expected), expected, float(np.ptp(expected)))


def _expected(sample: SIMSample) -> NDArray[np.float64]:
    """Give the truth as far as a reconstruction with the true patterns passes it.

    The transfer function is written down here once more, from the patterns and the ideal
    microscope, so that a mistake in the operator does not pass as the truth.
    """
    operator = Reconstruction(sample.patterns)
    cutoff, pixel = 2 * sample.na / sample.wavelength, sample.pixel_size / 2
    ky, kx = (np.fft.fftfreq(n, pixel) for n in sample.truth.shape)

    def power(frequency: tuple[float, float]) -> NDArray[np.float64]:
        y, x = ky[:, None] + frequency[0], kx + frequency[1]
        camera = np.sinc(y * sample.pixel_size) * np.sinc(x * sample.pixel_size)
        return np.asarray((ideal(np.hypot(y, x) / cutoff) * camera) ** 2)

    def notch(frequency: tuple[float, float]) -> NDArray[np.float64]:
        y, x = ky[:, None] + frequency[0], kx + frequency[1]
        width = operator.notch_width * cutoff
        return np.asarray(1 - operator.notch * np.exp(-0.5 * (y**2 + x**2) / width**2))

    total = len(sample.patterns) * power((0.0, 0.0))
    for pattern in sample.patterns:
        for sign in (-1, 1):
            there = (sign * pattern.frequency[0], sign * pattern.frequency[1])
            total += (pattern.depth / 2) ** 2 * power(there) * notch(there)
    reach = cutoff + max(1 / pattern.period for pattern in sample.patterns)
    radius = np.hypot(ky[:, None], kx)
    apodisation = ideal(radius / reach) ** operator.apodisation * (radius < reach)
    transfer = apodisation * total / (total + len(sample.patterns) * operator.wiener**2)
    return np.asarray(np.fft.ifft2(np.fft.fft2(sample.truth) * transfer).real)


def _recorrupted(sample: SIMSample, seed: int, draws: int) -> Found:
    """Compare the mean of many re-corrupted reconstructions with that of the frames."""
    operator = Reconstruction(sample.patterns)
    raw = RawSIM([sample.raw[None]], sample.noise, operator)
    generator = torch.Generator().manual_seed(seed)
    cpu = torch.device("cpu")
    plain = torch.from_numpy(reconstruct(sample.raw, operator, sample.noise))
    total, squares = torch.zeros(2, *plain.shape), torch.zeros(2, *plain.shape)
    for _ in range(draws):
        drawn = recorrupted_reconstructions(raw, 0, 0, cpu, magnitude=1.0, generator=generator)
        off = torch.stack(drawn) - plain
        total += off
        squares += off**2
    mean = total / draws
    error = ((squares / draws - mean**2) / (draws - 1)).sqrt()
    standard = (mean / error)[:, BORDER:-BORDER, BORDER:-BORDER]
    return {
        "within_3": float((standard.abs() < 3).float().mean()),
        "rms": float(standard.square().mean().sqrt()),
        "bias": float(mean.mean() / plain.mean()),
    }


def _warned(sample: SIMSample) -> Found:
    """Say whether a shallow pattern is spoken of before training starts."""
    try:
        patterns = _estimate(sample)
    except InputError as refusal:
        return {"said": True, "words": str(refusal)}
    run = zs.train(
        sample.raw, reconstruction=Reconstruction(patterns), noise=sample.noise, seed=0, steps=1
    )
    words = [warning for warning in run.warnings if "rientation" in warning]
    weak = [p for p in patterns if not p.found or p.depth < 0.2]
    return {"said": len(words) == len(weak) == len(patterns), "words": " ".join(words)}


# Recordings


def on_recordings(folder: Path) -> Found:
    """Measure the three recordings in a folder."""
    maps = CameraMaps(
        *(
            tifffile.imread(folder / f"hela_mitochondria_{name}_map.tif")
            for name in ("offset", "gain", "variance")
        )
    )
    return {
        "hela": _against_supplied(folder, "hela_mitochondria", 0.66, maps.offset),
        "cristae": _against_supplied(folder, "cristae", 0.569, 100.0),
        "microtubules": _microtubules(folder),
    }


def _against_supplied(
    folder: Path, name: str, wavelength: float, offset: float | NDArray[np.float32]
) -> Found:
    """Compare estimated patterns with those that came with a recording."""
    raw = tifffile.imread(folder / f"{name}_raw.tif")
    supplied = tifffile.imread(folder / f"{name}_patterns.tif").astype(float)
    by_orientation = supplied.reshape(3, 3, *supplied.shape[1:])
    settings: dict[str, Any] = {"pixel_size": 0.065, "na": 1.3, "wavelength": wavelength}
    result: Found = {}
    for steps in ("auto", "measured"):
        patterns = estimate(raw, **settings, offset=offset, steps=steps)
        result[steps] = [
            _difference(pattern, frames)
            for pattern, frames in zip(patterns, by_orientation, strict=True)
        ]
    return result


def _difference(pattern: Pattern, supplied: NDArray[np.float64]) -> Found:
    """Compare a pattern with the drawn fringes of one orientation, on pixels half as wide."""
    frequency, phases = _fringes(supplied, 0.065 / 2, pattern.frequency)
    own, own_phases = _same_side(pattern, frequency)
    # Steps, not phases: a common turn of all three is of no consequence for them.
    apart = _wrapped(own_phases - phases)
    steps = np.degrees(_wrapped(np.diff([*apart, apart[0]])))
    return {
        "found": pattern.found,
        "period_nm": 1000 / float(np.hypot(*own)),
        "supplied_nm": 1000 / float(np.hypot(*frequency)),
        "steps": float(np.abs(steps).max()),
    }


def _fringes(
    frames: NDArray[np.float64], pixel: float, near: tuple[float, float]
) -> tuple[tuple[float, float], NDArray[np.float64]]:
    """Find frequency and phases, at the middle, of fringes without noise."""
    frames = frames - frames.mean(axis=(-2, -1), keepdims=True)
    window = np.outer(*(np.hanning(n + 2)[1:-1] for n in frames.shape[-2:]))
    axes = [(np.arange(n) - (n - 1) / 2) * pixel for n in frames.shape[-2:]]

    def spectrum(frequency: NDArray[np.float64]) -> NDArray[np.complex128]:
        rows, columns = (
            np.exp(-2j * np.pi * k * positions)
            for k, positions in zip(frequency, axes, strict=True)
        )
        return np.asarray((frames * window) @ columns @ rows)

    best = optimize.minimize(
        lambda frequency: -float((np.abs(spectrum(frequency)) ** 2).sum()),
        near,
        method="Nelder-Mead",
        options={"initial_simplex": np.array(near) + 0.03 * np.array([[0, 0], [1, 0], [0, 1]])},
    )
    return (float(best.x[0]), float(best.x[1])), np.angle(spectrum(best.x))


def _microtubules(folder: Path) -> Found:
    """Look for the orientation that is below the noise, without and with what is known of it."""
    raw = tifffile.imread(folder / "microtubules_raw.tif")
    noise = NoiseModel.from_image(raw)
    settings: dict[str, Any] = {
        "pixel_size": 0.0626,
        "na": 1.41,
        "wavelength": 0.525,
        "offset": noise,
    }
    blind = estimate(raw, **settings)
    known = estimate(raw, **settings, period=0.18, angles=(85.0, 145.0, 25.0))
    image = Reconstruction(known)(raw - noise.offset)
    return {
        "found": [pattern.found for pattern in blind],
        "reasons": [pattern.reason for pattern in blind],
        "found_with_priors": [pattern.found for pattern in known],
        "periods_nm": [1000 * pattern.period for pattern in known],
        "angles": [pattern.angle for pattern in known],
        "wiener_finite": bool(np.isfinite(image).all()),
    }
