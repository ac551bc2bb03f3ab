"""The generalised Anscombe transform and its exact unbiased inverse.

Peers that take Gaussian noise of one variance are given the transformed image. The inverse is that
of Makitalo and Foi (IEEE Trans. Image Process. 22, 91, 2013), computed here by numbers: a table of
the expected transform of a Poisson variable with Gaussian noise, read backwards.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from exchange import Recording
from scipy import stats

NODES = 33
"""Of the Gauss-Hermite quadrature over the read noise."""

MOST_EXACT = 200.0
"""Electrons; above, the expected transform is that of the expectation less 1/4 of an electron."""


def denoised(recording: Recording, method: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Denoise by a method for Gaussian noise of variance 1.

    Parameters
    ----------
    recording
        In counts.
    method
        Takes and returns the stabilised image.

    Returns
    -------
    ndarray
        Counts, with the offset.
    """
    electrons = (recording.counts - recording.offset) / recording.gain
    read_noise = np.sqrt(recording.read_variance) / recording.gain
    stabilised = _transformed(electrons, read_noise)
    return recording.offset + recording.gain * _inverted(method(stabilised), read_noise)


def _transformed(electrons: np.ndarray, read_noise: float) -> np.ndarray:
    """f(x) = 2 sqrt(x + 3/8 + read noise^2)."""
    return np.asarray(2 * np.sqrt(np.maximum(electrons + 0.375 + read_noise**2, 0)), np.float32)


def _inverted(stabilised: np.ndarray, read_noise: float) -> np.ndarray:
    """Give the expectation whose expected transform is this."""
    expectations = np.concatenate([np.linspace(0, 5, 101), np.geomspace(5.05, MOST_EXACT, 300)])
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    weights = weights / weights.sum()
    electrons = np.arange(int(MOST_EXACT + 10 * np.sqrt(MOST_EXACT)))
    of_electrons = _transformed(electrons[:, None] + read_noise * nodes, read_noise) @ weights
    chances = stats.poisson.pmf(electrons, expectations[:, None])
    expected = chances @ of_electrons
    bright = np.geomspace(MOST_EXACT, 1e6, 2000)[1:]
    beyond = 2 * np.sqrt(bright + 0.125 + read_noise**2)
    return np.interp(
        stabilised, np.concatenate([expected, beyond]), np.concatenate([expectations, bright])
    )
