"""Cameras that record what a test expects of light."""

from __future__ import annotations

import numpy as np

from napari_zsdeconvnet.noise.noise_model import NoiseModel

CAMERAS = (
    NoiseModel(100.0, 1.0, 4.0, source="test"),
    NoiseModel(98.0, 2.3, 21.0, source="test"),
    NoiseModel(400.0, 0.45, 0.6, source="test"),
)


def recorded(light: np.ndarray, noise: NoiseModel, seed: int = 0) -> np.ndarray:
    """Record expected photons with a camera."""
    rng = np.random.default_rng(seed)
    electrons = rng.poisson(light) + rng.normal(
        scale=noise.read_variance**0.5 / noise.gain, size=light.shape
    )
    return noise.offset + noise.gain * electrons
