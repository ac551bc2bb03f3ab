"""How soon, how well and how surely: the goals of the default, measured.

    python benchmarks/run_targets.py --reference FOLDER --reference-3d FOLDER
    python benchmarks/run_targets.py --only prior-filaments-5

A training is halted every so often, its model applied and scored against the truth; seconds
are those of training alone, of the clock and of all threads together. Every case is kept in
`results/targets/`, those of a GPU (`--device cuda`) in a folder of its own, and not computed again
without --again; the page is written from what is there.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cases import Case, load_sample, write_result
from methods import richardson_lucy_best
from report import set_section, table
from runner import PAGE, RESULTS, TITLE
from yardstick import Yardstick

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.model.presets import presets_for
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.quality.reference_metrics import flux_ratio
from napari_zsdeconvnet.simulation.sample import Sample, simulate
from napari_zsdeconvnet.training.trainer import TrainingRun

FOLDER = RESULTS / "targets"
MARKS = (0, 5, 10, 20, 40, 80, 120, 160, 240, 320, 400, 500, 600, 700)
SEEDS = range(1, 11)


@dataclass(frozen=True)
class Target:
    """A recording, and how it is trained on."""

    name: str
    sample: Callable[[argparse.Namespace], Sample]
    start: str | None = None
    steps: int | None = None
    seed: int = 1
    marks: tuple[int, ...] = MARKS
    before: Callable[[argparse.Namespace], Sample] | None = None
    """What a model is trained on first, to begin with."""


def reference(options: argparse.Namespace) -> Sample:
    """Give the reference image, whose truth is known."""
    return load_sample(Case("reference", 50, ""), options.reference)


def reference_3d(options: argparse.Namespace) -> Sample:
    """Give the reference volume."""
    return load_sample(Case("reference", 50, "", planes=40, size=256), options.reference_3d)


def phantom(
    kind: str, photons: float, gain: float = 1.0, another: int = 0
) -> Callable[..., Sample]:
    """Give a phantom of 512x512 pixels; ``another`` is a different one of its kind."""
    camera = NoiseModel(100.0, gain, 4.0 * gain**2)
    return lambda options: simulate(
        kind, shape=(512, 512), photons=photons, noise=camera, seed=options.phantom_seed + another
    )


def targets() -> Iterator[Target]:
    """List everything that is measured."""
    yield Target("prior-reference", reference)
    for photons in (5, 20):
        yield Target(f"prior-filaments-{photons}", phantom("filaments", photons))
    for kind in ("rings", "mesh", "vesicles", "cell"):
        yield Target(f"prior-{kind}-30", phantom(kind, 30, 2.3))
    yield Target("volume-reference", reference_3d, marks=(50, 100, 150, 200, 300, 450, 600))
    yield Target("scratch-reference", reference, "scratch", marks=(40, 80, 120, 160, 240, 700))
    yield Target("scratch-rings-30", phantom("rings", 30, 2.3), "scratch", marks=(80, 160, 700))
    yield Target(
        "warm-mesh-30", phantom("mesh", 30, 2.3), before=phantom("mesh", 30, 2.3, another=1)
    )
    for seed in SEEDS:
        yield Target(f"seed-{seed}", phantom("rings", 30, 2.3), seed=seed, marks=())


def measure(target: Target, options: argparse.Namespace) -> dict[str, Any]:
    """Train, and score the model along the way."""
    sample = target.sample(options)
    yardstick = Yardstick(sample)
    classical = richardson_lucy_best(sample, None, 0, "cpu")
    start: Any = target.start
    if target.before is not None:
        earlier = begin(target, target.before(options), options)
        for _ in earlier:
            pass
        start = earlier.model
    began, began_cpu = time.perf_counter(), time.process_time()
    run = begin(target, sample, options, start)
    wall, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    points = []

    def score() -> None:
        model = run.model
        started, started_cpu = time.perf_counter(), time.process_time()
        result = model.predict(sample.raw, axes=sample.axes, device=options.device)
        predicted = time.perf_counter() - started
        found, denoised = (
            yardstick.deconvolved(result.deconvolved),
            yardstick.denoised(result.denoised),
        )
        points.append(
            {
                "step": run.step,
                "seconds": wall,
                "cpu_seconds": cpu,
                "predict_seconds": predicted,
                "predict_cpu_seconds": time.process_time() - started_cpu,
                "denoised_psnr": denoised.psnr,
                "denoised_ssim": denoised.ssim,
                "psnr": found.psnr,
                "ssim": found.ssim,
                "flux_ratio": flux_ratio(result.deconvolved, sample.raw, sample.noise.offset),
            }
        )

    if 0 in target.marks:
        score()
    while True:
        began, began_cpu = time.perf_counter(), time.process_time()
        progress = next(run, None)
        wall += time.perf_counter() - began
        cpu += time.process_time() - began_cpu
        if progress is None:
            break
        if progress.step in target.marks or progress.finished:
            score()
    return {
        "target": {name: getattr(target, name) for name in ("name", "start", "steps", "seed")},
        "threads": torch.get_num_threads(),
        "richardson_lucy": {
            "psnr": yardstick.deconvolved(classical.deconvolved).psnr,
            "ssim": yardstick.deconvolved(classical.deconvolved).ssim,
            "seconds": classical.seconds,
            "note": classical.note,
        },
        "ending": run.ending,
        "points": points,
    }


def begin(
    target: Target, sample: Sample, options: argparse.Namespace, start: Any = None
) -> TrainingRun:
    """Prepare a training on a recording."""
    return zs.train(
        sample.raw,
        sample.psf,
        sample.noise,
        axes=sample.axes,
        voxel_size=sample.voxel_size,
        start=start,
        steps=target.steps,
        seed=target.seed,
        device=options.device,
        preview_every=0,
    )


def passed(result: dict[str, Any]) -> dict[str, Any] | None:
    """Find the first point above Richardson-Lucy in both scores."""
    best = result["richardson_lucy"]
    for point in result["points"]:
        if point["psnr"] > best["psnr"] and point["ssim"] > best["ssim"]:
            return point
    return None


def _scores(point: dict[str, Any]) -> str:
    return f"{point['psnr']:.1f} / {point['ssim']:.3f}"


def page(results: dict[str, dict[str, Any]], clock: str = "cpu_seconds") -> str:
    """Make the table of what is there, with the seconds of this clock, and say how seeds differ."""
    header = (
        "case",
        "RL best",
        "0 steps",
        "passed after",
        "at the end",
        "steps",
        "CPU time, s" if clock == "cpu_seconds" else "time, s",
    )
    rows = []
    for name, result in results.items():
        if name.startswith("seed-"):
            continue
        first, last, best = passed(result), result["points"][-1], result["richardson_lucy"]
        if name == "volume-reference" and last["step"] > presets_for("ZYX")["fast"].steps:
            name += ", earlier version"
        rows.append(
            (
                name,
                _scores(best),
                _scores(result["points"][0]) if result["points"][0]["step"] == 0 else "",
                f"{first['step']} steps, {first[clock]:.0f} s" if first else "not",
                _scores(last),
                f"{last['step']}",
                f"{last[clock]:.0f}",
            )
        )
    lines = [table(header, rows)]
    seeds = [result["points"][-1] for name, result in results.items() if name.startswith("seed-")]
    if seeds:
        values = np.array([[point["psnr"], point["ssim"], point["step"]] for point in seeds])
        low, high = values.min(axis=0), values.max(axis=0)
        lines += [
            "",
            f"{len(seeds)} seeds on rings (30 photons, gain 2.3): PSNR {low[0]:.2f} to "
            f"{high[0]:.2f}, SSIM {low[1]:.3f} to {high[1]:.3f}, {low[2]:.0f} to {high[2]:.0f} "
            "steps.",
        ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--reference-3d", type=Path)
    parser.add_argument("--only", nargs="+", default=[""], metavar="NAME", help="beginnings")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--report-only", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--phantom-seed", type=int, default=1)
    options = parser.parse_args()
    folder = FOLDER if options.device == "cpu" else FOLDER / options.device
    folder.mkdir(parents=True, exist_ok=True)
    for target in targets():
        path = folder / f"{target.name}.json"
        wanted = target.name.startswith(tuple(options.only)) and not options.report_only
        missing = (target.sample is reference and options.reference is None) or (
            target.sample is reference_3d and options.reference_3d is None
        )
        if wanted and not missing and (options.again or not path.exists()):
            print(target.name, flush=True)
            write_result(path, measure(target, options))
    set_section(PAGE, "targets", page(kept(FOLDER)), title=TITLE)
    set_section(PAGE, "cuda", page(kept(FOLDER / "cuda"), "seconds"), title=TITLE)
    return 0


def kept(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the results that a folder has, in the order of the targets."""
    return {
        target.name: json.loads(path.read_text())
        for target in targets()
        if (path := folder / f"{target.name}.json").exists()
    }


if __name__ == "__main__":
    sys.exit(main())
