"""Measure what weights for volumes are worth, before and after so many steps of training.

    python benchmarks/prior/measure_volumes.py WEIGHTS --steps 0 40 120 --reference FOLDER
    python benchmarks/prior/measure_volumes.py WEIGHTS --steps 0 --phantom filaments 10

FOLDER is that of `run_3d.py --reference`. Decibels are those of the benchmarks. WEIGHTS is a file,
``package`` for those that are brought along, or ``scratch``.
"""

from __future__ import annotations

import argparse
import ast
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from cases import Case, load_sample
from yardstick import Yardstick

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.model.presets import VOLUME_PRESETS, from_scratch
from napari_zsdeconvnet.networks import pretrained

REFERENCE_CAMERA = zs.NoiseModel(100.0, 1.0, 4.0)


def main() -> None:
    """Print a line for each number of steps."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights")
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--phantom", nargs=2, metavar=("NAME", "PHOTONS"))
    parser.add_argument("--steps", type=int, nargs="+", default=[0, 40, 120])
    parser.add_argument("--set", nargs="*", default=[], help="settings of the preset, name=value")
    options = parser.parse_args()
    case = Case("reference", 50, "", planes=40, size=256)
    if options.phantom:
        name, photons = options.phantom
        case = replace(case, phantom=name, photons=float(photons), seed=3)
    sample = load_sample(case, options.reference)
    camera = REFERENCE_CAMERA if options.reference else sample.noise
    yardstick = Yardstick(sample)

    preset = VOLUME_PRESETS["fast"]
    if options.weights == "scratch":
        preset = from_scratch(preset)
    elif options.weights != "package":
        weights = str(Path(options.weights).resolve())
        pretrained.PRETRAINED["informed-volume"] = pretrained.Pretrained(weights, 1)
    settings = dict(one.split("=", 1) for one in options.set)
    preset = replace(preset, **{name: ast.literal_eval(text) for name, text in settings.items()})
    for steps in options.steps:
        run = zs.train(
            *(sample.raw, sample.psf, camera),
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
