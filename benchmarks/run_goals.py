"""Measure what the package has to reach, and say what is met and what is missed.

    python benchmarks/run_goals.py --environments FOLDER --reference-3d FOLDER \
        --nucleus FOLDER                                                      # hours on one core
    python benchmarks/run_goals.py --only images --size 128 --environments FOLDER
    python benchmarks/run_goals.py --only training --runs 100
    python benchmarks/run_goals.py --report-only          # the page from what is there

Other programs run as in `peers.py`, whose results these are too. Every result is kept, in
`results/peers/` and `results/goals/`, so that an interrupted run goes on where it was; the page is
written from what is there. What was tried stands in the page itself, below the table.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import peers
import tifffile
import torch
import wrong_cameras
from cases import REFERENCE, Case, load_sample, write_result
from methods import Unavailable
from peer_methods import METHODS, PEERS
from report import machine, set_section, table
from run_sim import PHANTOMS as SIM_PHANTOMS
from runner import DOCS, RESULTS
from yardstick import Yardstick

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.model.presets import presets_for
from napari_zsdeconvnet.simulation.sample import Sample, simulate

FOLDER = RESULTS / "goals"
PAGE = DOCS / "goals.md"
TITLE = "What the package has to reach"
BLOCK_MATCHING = tuple(peer.method for peer in PEERS if peer.denoises)
SIM_PHOTONS = (10.0, 30.0, 100.0, 1000.0)
SIM_SEED = 20261
SMALLEST_LOSS = 0.1
"""Decibels below its beginning from which on a training counts as worse."""


class Line(NamedTuple):
    """A line of the table; ``met`` is None where too little is measured to say."""

    work: str
    goal: str
    measured: str | None
    met: bool | None


class Margin(NamedTuple):
    """How far a result of ours is above the best of others, dB and SSIM."""

    place: str
    psnr: float
    ssim: float
    cpu_seconds: float


# Images and volumes: the margins over other programs


def compute_images(options: argparse.Namespace) -> None:
    """Run ours and block matching on the images of `peers.py`."""
    _run_peers(options, "--size", f"{options.size}")


def compute_volumes(options: argparse.Namespace) -> None:
    """Run ours, deconwolf and block matching on volumes; on the reference where it is given."""
    reference = ["--reference", str(options.reference_3d)] if options.reference_3d else []
    _run_peers(options, "--volumes", *reference)


def _run_peers(options: argparse.Namespace, *arguments: str) -> None:
    axes = "ZYX" if "--volumes" in arguments else "YX"
    others = [peer.method for peer in PEERS if axes in peer.axes and peer.method in RIVALS]
    if options.threads:
        arguments += ("--threads", f"{options.threads}")
    if options.environments:
        arguments += ("--environments", str(options.environments))
    peers.main((*arguments, "--only", *others))
    again = ("--again",) if options.again else ()
    peers.main((*arguments, *again, "--only", "fast"))


RIVALS = (*BLOCK_MATCHING, "deconwolf")
"""What the goals compare with, as far as it is there."""


def margins(axes: str, trained: bool, size: int | None) -> list[Margin]:
    """Compare ours with the best of the rivals, image by image."""
    results = [
        result
        for path in sorted((RESULTS / "peers" / ("2d" if axes == "YX" else "3d")).glob("*.json"))
        if "unavailable" not in (result := json.loads(path.read_text()))
        and (size is None or size == result["case"]["size"])
    ]
    found = []
    for place in dict.fromkeys(map(peers.place_of, results)):
        here = [result for result in results if peers.place_of(result) == place]
        rivals = [result for result in here if result["case"]["method"] in RIVALS]
        ours = [
            result
            for result in here
            if result["case"]["method"] == "fast" and bool(result["case"]["steps"]) == trained
        ]
        if rivals and ours:
            best = max(rivals, key=lambda result: float(result["psnr"]))
            found.append(
                Margin(
                    f"{place[0]} {place[1]:g}",
                    ours[-1]["psnr"] - best["psnr"],
                    ours[-1]["ssim"] - best["ssim"],
                    ours[-1]["cpu_seconds"],
                )
            )
    return found


def _margin_line(
    work: str, goal: str, found: list[Margin], least: float, seconds: float, *, ssim: bool = False
) -> Line:
    """Judge the smallest margin, and the longest time where it is limited."""
    if not found:
        return Line(work, goal, None, None)
    words = "; ".join(f"{one.place}: {one.psnr:+.1f} dB, {one.ssim:+.3f}" for one in found)
    worst = min(found, key=lambda one: one.psnr)
    longest = max(one.cpu_seconds for one in found)
    met = worst.psnr >= least and longest <= seconds
    met &= not ssim or min(one.ssim for one in found) > 0
    short = "" if worst.psnr >= least else f" ({least - worst.psnr:.1f} dB short)"
    late = "" if longest <= seconds else f" ({longest / seconds:.1f} times too long)"
    return Line(
        work,
        goal,
        f"{words}. Least {worst.psnr:+.1f} dB{short}; at most {longest:.0f} CPU s{late}",
        met,
    )


def image_lines(options: argparse.Namespace) -> Iterator[Line]:
    """Judge images before and after training."""
    goal = "0.5 dB above block matching + RL at its best by the truth, everywhere"
    found = margins("YX", False, options.size)
    yield _margin_line("images, 0 steps, 5 to 200 photons", goal, found, 0.5, float("inf"))
    goal = "1.5 dB above it, SSIM above; 60 CPU s"
    found = margins("YX", True, options.size)
    yield _margin_line("images, end", goal, found, 1.5, 60, ssim=True)


def volume_lines(options: argparse.Namespace) -> Iterator[Line]:
    """Judge volumes before and after training."""
    goal = "1 dB above the best of deconwolf and BM4D + RL; 30 CPU s"
    yield _margin_line("volumes, 0 steps", goal, margins("ZYX", False, None), 1.0, 30)
    goal = "3 dB above it; 120 CPU s"
    yield _margin_line("volumes, end", goal, margins("ZYX", True, None), 3.0, 120)


# A thick nucleus, simulated by others


NUCLEUS_VOXEL = (0.3, 0.13, 0.13)
DECONWOLF = 30.6
"""PSNR of deconwolf 0.4.7 on the nucleus at its best of 20, 50 and 100 steps, as the README beside
that file gives it: the program could not be installed here."""
NUCLEUS_METHODS = (("RL best", None), ("BM4D + RL", None), ("fast", 0), ("fast", 120))


def compute_nucleus(options: argparse.Namespace) -> None:
    """Deconvolve the nucleus by ours and by others, in processes and environments of their own."""
    folder = options.nucleus
    if folder is None:
        return
    if options.environments:
        os.environ[peers.FOLDER] = str(options.environments.resolve())
    raw, truth = (tifffile.imread(folder / f"nucleus{end}.tif") for end in ("", "_truth"))
    psf = zs.PSF.simulate(
        na=1.4,
        wavelength=0.461,
        refractive_index=1.515,
        pixel_size=NUCLEUS_VOXEL[-1],
        axial_step=NUCLEUS_VOXEL[0],
        planes=2 * len(raw) - 1,
        size=2 * raw.shape[-1] - 1,
    )
    noise = zs.NoiseModel.from_image(zs.Image(raw, "ZYX", NUCLEUS_VOXEL, "nucleus"), 100.0)
    # Of its images without noise nothing is known, and nothing is asked of denoised ones.
    sample = Sample(raw, raw, truth, truth.astype(np.float32), psf, NUCLEUS_VOXEL, noise, "nucleus")
    yardstick = Yardstick(sample)
    for method, steps in NUCLEUS_METHODS:
        path = FOLDER / "nucleus" / f"{method.replace(' ', '_')}-{steps or 0}.json"
        if path.is_file() and not (options.again and method == "fast"):
            continue
        print(path.stem, flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            output = METHODS[method](sample, steps, 1, "cpu")
        except Unavailable as error:
            print(error)
            continue
        score = yardstick.deconvolved(output.deconvolved)
        found = {"method": method, "steps": steps, "psnr": score.psnr, "ssim": score.ssim}
        write_result(path, {**found, "cpu_seconds": output.cpu_seconds})


def nucleus_lines(options: argparse.Namespace) -> Iterator[Line]:
    """Compare with the best of the others on that nucleus, deconwolf by its figure."""
    results = [json.loads(path.read_text()) for path in sorted((FOLDER / "nucleus").glob("*.json"))]
    others = {one["method"]: one["psnr"] for one in results if one["method"] != "fast"}
    best = max([DECONWOLF, *others.values()])
    said = ", ".join(f"{name} {value:.1f} dB" for name, value in others.items())
    for steps, words, least, seconds in ((0, "0 steps", 1.0, 30), (120, "end", 3.0, 120)):
        goal = f"{least:g} dB above the best of deconwolf and BM4D + RL; {seconds} CPU s"
        ours = next((o for o in results if (o["method"], o["steps"]) == ("fast", steps)), None)
        if ours is None:
            yield Line(f"nucleus, {words}", goal, None, None)
            continue
        margin = ours["psnr"] - best
        measured = (
            f"{ours['psnr']:.1f} dB, {margin:+.1f} dB; deconwolf {DECONWOLF} dB, {said}; "
            f"{ours['cpu_seconds']:.0f} CPU s"
        )
        met = margin >= least and ours["cpu_seconds"] <= seconds
        yield Line(f"nucleus, {words}", goal, measured, met)


# Raw SIM


def compute_sim(options: argparse.Namespace) -> None:
    """Run pretrained weights as they are, where the package has them, and Wiener with RL."""
    preset = presets_for("SIM")["fast"]
    if preset.start != "prior":
        print("There are no pretrained weights for SIM.")
        return
    for phantom in SIM_PHANTOMS:
        for photons in SIM_PHOTONS:
            for method, steps in (("Wiener + RL best", None), ("fast", 0)):
                case = Case(phantom, photons, method, steps, size=256, seed=SIM_SEED)
                path = FOLDER / "sim" / f"{case.name}.json"
                if options.again or not path.is_file():
                    script = [sys.executable, str(Path(__file__).parent / "sim_cases.py"), "images"]
                    print(path.stem, flush=True)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    command = [*script, json.dumps(asdict(case)), str(path)]
                    subprocess.run(command, check=True)


def sim_lines(options: argparse.Namespace) -> Iterator[Line]:
    """Judge raw SIM without training."""
    goal = "above Wiener + RL at its best by the truth; 5 s for 256x256"
    work = "raw SIM, 0 steps, 10 to 1000 photons"
    if presets_for("SIM")["fast"].start != "prior":
        yield Line(work, goal, "none: there are no pretrained weights for SIM", False)
        return
    found = {
        (case["phantom"], case["photons"], case["method"]): result
        for path in (FOLDER / "sim").glob("*.json")
        if (case := (result := json.loads(path.read_text()))["case"])
    }
    compared = [
        Margin(
            f"{phantom} {photons:g}",
            ours["psnr"] - found[phantom, photons, "Wiener + RL best"]["psnr"],
            ours["ssim"] - found[phantom, photons, "Wiener + RL best"]["ssim"],
            ours["cpu_seconds"],
        )
        for (phantom, photons, method), ours in sorted(found.items())
        if method == "fast" and (phantom, photons, "Wiener + RL best") in found
    ]
    yield _margin_line(work, goal, compared, 0.0, 5.0)


# Prediction


def compute_prediction(options: argparse.Namespace) -> None:
    """Time predictions by pretrained weights, the second of two, so that all is loaded."""
    path = FOLDER / "prediction.json"
    if path.is_file() and not options.again:
        return
    if options.threads:
        torch.set_num_threads(options.threads)
    found: dict[str, Any] = {"threads": torch.get_num_threads(), "machine": machine()}
    sample = simulate("filaments", shape=(512, 512), photons=30, seed=1)
    run = zs.train(
        *(sample.raw, sample.psf, sample.noise),
        voxel_size=sample.voxel_size,
        seed=0,
        device="cpu",
        preview_every=0,
    )
    run.latest.predict(sample.raw[:128, :128], device="cpu")
    for size in (512, 2048):
        image = np.tile(sample.raw, (size // 512, size // 512))
        wall, cpu = time.perf_counter(), time.process_time()
        run.latest.predict(image, device="cpu")
        spent = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
        found[f"{size}"] = spent
    write_result(path, found)


def prediction_lines(options: argparse.Namespace) -> Iterator[Line]:
    """Judge the time of predictions: by the clock, which counts on an idle machine alone."""
    goals = {"512": ("512x512, loaded", 2.0), "2048": ("2048x2048", 5.0)}
    path = FOLDER / "prediction.json"
    found = json.loads(path.read_text()) if path.is_file() else None
    for size, (words, seconds) in goals.items():
        work, goal = f"prediction of {words}", f"{seconds:g} s on two idle cores"
        if found is None:
            yield Line(work, goal, None, None)
            continue
        spent = found[size]
        # Two cores need at least half of what one needs.
        least = spent["cpu_seconds"] / 2
        yield Line(
            work,
            goal,
            f"{spent['cpu_seconds']:.1f} CPU s, so {least:.1f} s at least; "
            f"{spent['seconds']:.1f} s by the clock with {found['threads']} threads",
            False if least > seconds else spent["seconds"] <= seconds or None,
        )


# Training never ends below its beginning


def compute_training(options: argparse.Namespace) -> None:
    """Train under cameras that are right and wrong, with other seeds than `wrong_cameras.py`."""
    for path, kind, camera, seed in _trainings(options.runs):
        if not path.is_file() or options.again:
            print(path.stem, flush=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            settings = argparse.Namespace(steps=options.steps, seed=seed)
            write_result(path, wrong_cameras.measure(kind, camera, settings))


def _trainings(runs: int) -> list[tuple[Path, str, str, int]]:
    """List so many runs, all cameras and phantoms before the next seed."""
    listed = []
    seed = 1
    while len(listed) < runs:
        seed += 1
        listed += [
            (FOLDER / "training" / f"{kind}-{camera}-{seed}.json", kind, camera, seed)
            for camera in wrong_cameras.CAMERAS
            for kind in wrong_cameras.KINDS
        ]
    return listed[:runs]


def training_lines(options: argparse.Namespace) -> Iterator[Line]:
    """Judge all runs that there are, also those of earlier versions in `wrong_cameras/`."""
    goal = f"0 of 100 runs by more than {SMALLEST_LOSS} dB, cameras wrong on purpose among them"
    results = [
        json.loads(path.read_text())
        for folder in (wrong_cameras.FOLDER, FOLDER / "training")
        for path in sorted(folder.glob("*.json"))
    ]
    changes = [
        min(result["kept"][stage] - result["beginning"][stage] for stage in result["kept"])
        for result in results
    ]
    measured = None
    worse = sum(change < -SMALLEST_LOSS for change in changes)
    if changes:
        measured = f"{worse} of {len(changes)} runs; at worst {min(changes):+.2f} dB"
    met = False if worse else len(changes) >= 100 or None
    yield Line("training never ends below its beginning", goal, measured, met)


# Nothing invented


def compute_invented(options: argparse.Namespace) -> None:
    """Run the tests of blank images, noise and random textures for all pretrained weights."""
    path = FOLDER / "invented.json"
    if path.is_file() and not options.again:
        return
    tests = Path(__file__).parent.parent / "tests" / "networks"
    command = [sys.executable, "-m", "pytest", "-q", str(tests), "-k", "NothingIsInvented"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed)", done.stdout)}
    write_result(path, {"passed": counts.get("passed", 0), "failed": counts.get("failed", 0)})


def invented_lines(options: argparse.Namespace) -> Iterator[Line]:
    """Judge these tests."""
    path = FOLDER / "invented.json"
    work, goal = "blank, noise, random textures", "nothing invented, for all weights"
    if not path.is_file():
        yield Line(work, goal, None, None)
        return
    found = json.loads(path.read_text())
    words = f"{found['passed']} tests passed, {found['failed']} failed"
    yield Line(work, goal, words, found["passed"] > 0 and found["failed"] == 0)


# GPU


def compute_gpu(options: argparse.Namespace) -> None:
    """Time a training on the references, where there is a GPU."""
    if not torch.cuda.is_available():
        print("There is no GPU.")
        return
    for name, folder, planes in (("2d", options.reference, None), ("3d", options.reference_3d, 40)):
        path = FOLDER / f"gpu-{name}.json"
        if folder is None or (path.is_file() and not options.again):
            continue
        sample = load_sample(Case(REFERENCE, 50, "", planes=planes), folder)
        given = (sample.raw, sample.psf, sample.noise)
        known = {"axes": sample.axes, "voxel_size": sample.voxel_size, "device": "cuda"}
        for _ in range(2):  # The first one loads what the second one is timed with.
            started = time.perf_counter()
            run = zs.train(*given, seed=1, preview_every=0, **known)
            begun = time.perf_counter()
            for _ in run:
                pass
            trained = time.perf_counter()
            run.model.predict(sample.raw, axes=sample.axes, device="cuda")
        found = {"seconds": time.perf_counter() - started, "step": (trained - begun) / run.step}
        write_result(path, {**found, "gpu": torch.cuda.get_device_name()})


def gpu_lines(options: argparse.Namespace) -> Iterator[Line]:
    """Judge a GPU where one was there."""
    goals = (
        ("GPU: a step of `fast`", "2d", "step", 0.003, "3 ms"),
        ("GPU: `reference2d` at its end", "2d", "seconds", 3.0, "3 s, loaded"),
        ("GPU: `reference3d` at its end", "3d", "seconds", 10.0, "10 s, loaded"),
    )
    for work, name, key, seconds, goal in goals:
        path = FOLDER / f"gpu-{name}.json"
        if not path.is_file():
            yield Line(work, goal, None, None)
            continue
        found = json.loads(path.read_text())
        spent = f"{1000 * found[key]:.1f} ms" if key == "step" else f"{found[key]:.1f} s"
        yield Line(work, goal, f"{spent} on {found['gpu']}", found[key] <= seconds)


ROWS: dict[
    str,
    tuple[Callable[[argparse.Namespace], None], Callable[[argparse.Namespace], Iterator[Line]]],
] = {
    "prediction": (compute_prediction, prediction_lines),
    "invented": (compute_invented, invented_lines),
    "images": (compute_images, image_lines),
    "volumes": (compute_volumes, volume_lines),
    "nucleus": (compute_nucleus, nucleus_lines),
    "sim": (compute_sim, sim_lines),
    "training": (compute_training, training_lines),
    "gpu": (compute_gpu, gpu_lines),
}
"""What computes a part, and what judges it; those of few seconds first."""


def page(options: argparse.Namespace) -> str:
    """Make the table."""
    marks = {True: "met", False: "missed", None: "open"}
    rows = [
        (line.work, line.goal, line.measured or "", marks[line.met])
        for _, lines in ROWS.values()
        for line in lines(options)
    ]
    text = table(("work", "to reach", "measured", ""), rows)
    return f"Images have {options.size}x{options.size} pixels. On {machine()}.\n\n{text}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--environments", type=Path, help="of the other programs: see peers.py")
    parser.add_argument("--reference", type=Path, help="folder of the reference image")
    parser.add_argument("--reference-3d", type=Path, help="folder of the reference volume")
    parser.add_argument("--nucleus", type=Path, help="folder of nucleus.tif and nucleus_truth.tif")
    parser.add_argument("--size", type=int, default=256, help="raw pixels along a side of images")
    parser.add_argument("--steps", type=int, help="of these trainings; by default the preset's")
    parser.add_argument("--runs", type=int, default=100, help="trainings under any camera")
    parser.add_argument("--threads", type=int, help="threads of every computation")
    parser.add_argument("--again", action="store_true", help="compute anew what is ours")
    parser.add_argument("--report-only", action="store_true", help="compute nothing")
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in () if options.report_only else options.only:
        print(name, flush=True)
        ROWS[name][0](options)
    set_section(PAGE, "goals", page(options), title=TITLE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
