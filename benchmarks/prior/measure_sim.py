"""Measure what weights for raw SIM are worth, before and after so many steps of training.

    python benchmarks/prior/measure_sim.py WEIGHTS --steps 0 100 --phantom filaments 10 100
    python benchmarks/prior/measure_sim.py WEIGHTS --rivals

Decibels are those of the benchmarks. WEIGHTS is a file, ``package`` for those that are brought
along, or ``scratch``. ``--rivals`` adds the Wiener image, deconvolved as the truth likes it best.
"""

from __future__ import annotations

import argparse
import ast
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import sim_methods

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.model.presets import SIM_PRESETS, from_scratch
from napari_zsdeconvnet.networks import pretrained
from napari_zsdeconvnet.simulation.raw_sim import simulate_sim


def main() -> None:
    """Print a line for each light and number of steps."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights")
    parser.add_argument("--phantom", default="filaments")
    parser.add_argument("--photons", type=float, nargs="+", default=[10, 30, 100, 1000])
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--steps", type=int, nargs="+", default=[0])
    parser.add_argument("--rivals", action="store_true")
    parser.add_argument("--set", nargs="*", default=[], help="settings of the preset, name=value")
    options = parser.parse_args()
    preset = SIM_PRESETS["fast"]
    if options.weights == "scratch":
        preset = from_scratch(preset)
    elif options.weights != "package":
        weights = str(Path(options.weights).resolve())
        pretrained.PRETRAINED["informed-sim"] = pretrained.Pretrained(weights, 1)
    settings = dict(one.split("=", 1) for one in options.set)
    preset = replace(preset, **{name: ast.literal_eval(text) for name, text in settings.items()})
    for photons in options.photons:
        sample = simulate_sim(
            options.phantom,
            shape=(options.size, options.size),
            photons=photons,
            seed=options.seed,
        )
        recording = sim_methods.Recording.of(sample)
        yardstick = recording.yardstick

        def say(name: str, images, seconds: float, yardstick=yardstick, photons=photons) -> None:
            found = yardstick.denoised(images.denoised), yardstick.deconvolved(images.deconvolved)
            words = ", ".join(f"{one.psnr:.2f} / {one.ssim:.3f}" for one in found)
            print(f"{photons:g} photons, {name}: {words}, {seconds:.0f} CPU s", flush=True)

        if options.rivals:
            best = sim_methods.richardson_lucy_best(recording, None, options.seed)
            say(best.note, best, best.cpu_seconds)
        for steps in options.steps:
            run = zs.train(
                sample.raw,
                reconstruction=recording.reconstruction,
                noise=sample.noise,
                preset=preset,
                steps=steps,
                seed=0,
                device="cpu",
                preview_every=0,
            )
            begun = time.process_time()
            for _ in run:
                pass
            result = run.latest.predict(sample.raw, camera=sample.noise)
            say(f"{steps} steps", result, time.process_time() - begun)


if __name__ == "__main__":
    main()
