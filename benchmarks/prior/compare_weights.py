"""Score weights for images against those of the package: no step of training, new phantoms.

python benchmarks/prior/compare_weights.py WEIGHTS [--take FILE]

Structures, optics and cameras are none that either was trained on. Every phantom is also scored
with a gain told that is half and double the true one. With --take, WEIGHTS are written to FILE
in single precision, as the package brings them along.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).parent.parent))

from yardstick import Yardstick

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.inference.predict import Result
from napari_zsdeconvnet.networks import pretrained
from napari_zsdeconvnet.networks.informed import STATED
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.simulation.sample import Sample, camera, simulate

PHANTOMS = ("filaments", "vesicles", "rings", "mesh", "cell")
PHOTONS = (5, 30, 200)
GAINS = {"right": 1.0, "half": 0.5, "double": 2.0}
"""The gain that is told, as a multiple of the true one."""
CAMERA = NoiseModel(98.0, 2.3, 21.0, source="simulated")
MEASURES = ("denoised dB", "SSIM", "deconvolved dB", "SSIM")
LEVELS = (0, 2, 50, 1000)
"""Photons of blank images."""
MOST_LEFT = 0.25
LEAST_GAIN, MOST_LOSS = 0.05, 0.1
"""Decibels, deconvolved with the right gain: on average, and of any phantom."""


def apply(weights: Path, sample: Sample, noise: NoiseModel) -> Result:
    """Apply weights as they are."""
    pretrained.PRETRAINED["informed"] = pretrained.Pretrained(str(weights.resolve()), 2)
    run = zs.train(
        sample.raw,
        sample.psf,
        noise,
        voxel_size=sample.voxel_size,
        seed=0,
        device="cpu",
        preview_every=0,
    )
    return run.model.predict(sample.raw, device="cpu")


def scores(weights: Path, sample: Sample, factor: float) -> np.ndarray:
    """PSNR and SSIM, denoised and deconvolved."""
    result = apply(weights, sample, replace(CAMERA, gain=factor * CAMERA.gain))
    yardstick = Yardstick(sample, tuple(STATED * width for width in sample.psf.fwhm))
    denoised = yardstick.denoised(result.denoised)
    deconvolved = yardstick.deconvolved(result.deconvolved)
    return np.array([denoised.psnr, denoised.ssim, deconvolved.psnr, deconvolved.ssim])


def left_of_blank(weights: Path, size: int) -> float:
    """Give what is left of the noise of blank images, at worst, as a part of it."""
    worst = 0.0
    for level in LEVELS:
        blank = simulate("vesicles", shape=(size, size), noise=CAMERA, seed=1)
        rng = np.random.default_rng(level)
        raw = camera(np.full((size, size), float(level)), CAMERA, rng)
        result = apply(weights, replace(blank, raw=raw), CAMERA)
        noise = np.sqrt(CAMERA.variance(CAMERA.offset + CAMERA.gain * level))
        worst = max(
            worst, *(x[16:-16, 16:-16].std() / noise for x in (result.denoised, result.deconvolved))
        )
    return worst


def samples(size: int, seed: int) -> Iterator[tuple[str, Sample]]:
    for photons in PHOTONS:
        for kind in PHANTOMS:
            light = {"shape": (size, size), "photons": photons, "noise": CAMERA, "seed": seed}
            yield f"{kind}, {photons} photons", simulate(kind, na=1.2, wavelength=0.58, **light)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--gains", nargs="+", choices=GAINS, default=list(GAINS))
    parser.add_argument("--take", type=Path)
    options = parser.parse_args()
    package = Path(pretrained.__file__).parent / "weights" / pretrained.PRETRAINED["informed"].file
    against = options.against or package
    print(f"{'phantom':24}{'gain told':10}" + "".join(f"{name:>20}" for name in MEASURES))
    changes: dict[str, list[np.ndarray]] = {name: [] for name in options.gains}
    for name, sample in samples(options.size, options.seed):
        for told in options.gains:
            new, old = (scores(path, sample, GAINS[told]) for path in (options.weights, against))
            changes[told].append(new - old)
            cells = "".join(f"{b:11.3f} {a - b:+8.3f}" for a, b in zip(new, old, strict=True))
            print(f"{name:24}{told:10}{cells}", flush=True)
    for told, rows in changes.items():
        mean = "".join(f"{value:+20.3f}" for value in np.mean(rows, axis=0))
        print(f"{'all, on average':24}{told:10}{mean}")
    gains = np.array(changes[options.gains[0]])[:, 2]
    left, before = (left_of_blank(path, options.size) for path in (options.weights, against))
    better = gains.mean() >= LEAST_GAIN and gains.min() >= -MOST_LOSS and left < MOST_LEFT
    print(
        f"{'BETTER' if better else 'NOT BETTER'}: deconvolved {gains.mean():+.3f} dB on average "
        f"(least {LEAST_GAIN:+}), {gains.min():+.3f} dB at the worst (least {-MOST_LOSS:+}); "
        f"of the noise of blank images {left:.3f} is left, before {before:.3f} (most {MOST_LEFT})"
    )
    if options.take:
        weights = {name: w.float() for name, w in load_file(options.weights).items()}
        save_file(weights, options.take)


if __name__ == "__main__":
    main()
