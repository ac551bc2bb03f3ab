"""Measure how well the calibrations find a simulated camera; prints the tables of the docs.

python benchmarks/calibration.py          # about four minutes of one core
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from napari_zsdeconvnet.noise.noise_model import NoiseModel, fit_background
from napari_zsdeconvnet.simulation.sample import camera, simulate
from napari_zsdeconvnet.utils.errors import InputError

KINDS = ("filaments", "vesicles", "rings", "mesh", "cell")
PHOTONS = (20, 50, 200, 1000)
GAINS = (0.43, 1.0, 2.3)
READ_NOISE = 2.0  # electrons


def true_camera(gain: float) -> NoiseModel:
    return NoiseModel(offset=100.0, gain=gain, read_variance=(READ_NOISE * gain) ** 2)


def gain_errors(
    kind: str, photons: float, frames: int, measure: Callable[[np.ndarray], NoiseModel]
) -> np.ndarray:
    """Relative errors of the gain, one a camera and seed; NaN where it was refused."""
    errors = []
    for seed in range(2):
        electrons = simulate(kind, photons=photons, seed=seed).noise_free
        for gain in GAINS:
            rng = np.random.default_rng([seed, round(100 * gain), frames])
            recorded = np.stack([camera(electrons, true_camera(gain), rng) for _ in range(frames)])
            try:
                errors.append(measure(recorded).gain / gain - 1)
            except InputError:
                errors.append(np.nan)
    return np.array(errors)


def gain_table(title: str, frames: int, measure: Callable[[np.ndarray], NoiseModel]) -> None:
    print(f"\n{title}: mean and largest error of the gain, per cent\n")
    print("| phantom | " + " | ".join(f"{photons} electrons" for photons in PHOTONS) + " |")
    print("|---" * (len(PHOTONS) + 1) + "|")
    for kind in KINDS:
        cells = []
        for photons in PHOTONS:
            errors = 100 * gain_errors(kind, photons, frames, measure)
            refused = int(np.isnan(errors).sum())
            words = f"{np.nanmean(errors):+.1f}, {np.nanmax(np.abs(errors)):.1f}"
            cells.append(words + (f" ({refused} refused)" if refused else ""))
        print(f"| {kind} | " + " | ".join(cells) + " |", flush=True)


def background_table() -> None:
    print("\nBackground regions of 64 x 64 pixels, 500 each\n")
    print("| read variance | offset: worst error | read variance: mean error | scatter |")
    print("|---|---|---|---|")
    for read_variance in (0.5, 2.0, 4.0, 9.0):
        truth = NoiseModel(offset=100.3, gain=1.0, read_variance=read_variance)
        offsets, variances = [], []
        for seed in range(500):
            image = camera(np.zeros((64, 64)), truth, np.random.default_rng(seed))
            fit = fit_background(image, np.ones(image.shape, dtype=bool))
            offsets.append(fit.offset - truth.offset)
            variances.append(100 * (fit.read_variance / read_variance - 1))
        print(
            f"| {read_variance:g} | {np.abs(offsets).max():.2f} counts "
            f"| {np.mean(variances):+.2f} % | {np.std(variances):.1f} % |"
        )


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    background_table()
    gain_table("One image of 512 x 512", 1, lambda y: NoiseModel.from_image(y, offset=100))
    gain_table("A pair", 2, lambda y: NoiseModel.from_series(y, offset=100))
    gain_table("Twenty frames", 20, lambda y: NoiseModel.from_series(y, offset=100))


if __name__ == "__main__":
    main()
