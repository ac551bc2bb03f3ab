"""Measure what weights for volumes are worth, before and after so many steps of training.

    python benchmarks/prior/measure_volumes.py WEIGHTS REFERENCE --steps 0 40 120

REFERENCE is a folder as for `run_3d.py --reference`. Decibels are those of the benchmarks. Without
WEIGHTS (``-``) the package's own ``fast`` is measured.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

from safetensors.torch import load_file
from volume_denoiser import InformedVolumeNetwork

sys.path.insert(0, str(Path(__file__).parent.parent))

from cases import Case, load_sample
from yardstick import Yardstick

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.model.presets import VOLUME_PRESETS
from napari_zsdeconvnet.networks.registry import NETWORKS

CAMERA = zs.NoiseModel(100.0, 1.0, 4.0)


def main() -> None:
    """Print a line for each number of steps."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights")
    parser.add_argument("reference", type=Path)
    parser.add_argument("--steps", type=int, nargs="+", default=[0, 40, 120])
    parser.add_argument("--rate", type=float, default=8e-4)
    options = parser.parse_args()
    case = Case("reference", 50, "", planes=40, size=256)
    sample = load_sample(case, options.reference)
    yardstick = Yardstick(sample)

    preset = VOLUME_PRESETS["fast"]
    if options.weights != "-":
        weights = {
            f"denoiser.{name}": weight.float()
            for name, weight in load_file(options.weights).items()
        }

        def informed(psf: zs.PSF, upsampling: int) -> InformedVolumeNetwork:
            network = InformedVolumeNetwork(psf, upsampling)
            network.load_state_dict({**network.state_dict(), **weights})
            return network

        NETWORKS["informed-volume"] = informed
        preset = replace(
            preset, network="informed-volume", learning_rate=options.rate, schedule="steady"
        )
    for steps in options.steps:
        run = zs.train(
            *(sample.raw, sample.psf, CAMERA),
            axes="ZYX",
            voxel_size=sample.voxel_size,
            preset=preset,
            steps=max(steps, 1),
            seed=0,
            device="cpu",
            preview_every=0,
        )
        begun = time.process_time()
        for _ in run if steps else ():
            pass
        trained = time.process_time()
        result = run.latest.predict(sample.raw, axes="ZYX")
        predicted = time.process_time()
        found = yardstick.denoised(result.denoised), yardstick.deconvolved(result.deconvolved)
        words = ", ".join(f"{one.psnr:.2f} / {one.ssim:.3f}" for one in found)
        print(
            f"{steps} steps: {trained - begun:.0f} + {predicted - trained:.0f} CPU s, "
            f"denoised, deconvolved {words}",
            flush=True,
        )


if __name__ == "__main__":
    main()
