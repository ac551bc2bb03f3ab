"""Benchmark structured illumination: images, reconstructed stacks, and what has to be reached.

    python benchmarks/run_sim.py --recordings FOLDER  # everything; an hour or two on two cores
    python benchmarks/run_sim.py --parts checks recordings speed --recordings FOLDER
    python benchmarks/run_sim.py --parts images --photons 30 --only Wiener fast
    python benchmarks/run_sim.py --report-only        # tables and picture from what is there

Goes on where it was interrupted, as `run_2d.py` does. --recordings names a folder with the three
recordings that the last checks are made on; they are no part of the package.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cases import Case
from report import comparison_table, draw, machine, set_section
from runner import (
    DETAILS,
    HERE,
    PAGE,
    RESULTS,
    TITLE,
    picture_of,
    shown,
    with_defaults,
)
from sim_cases import VOLUME_METHODS, reconstruction_settings
from sim_methods import METHODS
from sim_report import checks_table, speed_table

from napari_zsdeconvnet.model.presets import presets_for

PARTS = ("checks", "recordings", "speed", "images", "volumes")
PHANTOMS = ("filaments", "vesicles")
FIRST_SEED = 7401
"""Of the checks; take fresh ones where a setting was chosen by these."""
UNSHOWN = ("Wiener best", "Wiener + RL")
"""Methods that the page leaves out."""
TRAINED = {"fast": "SIM", "sim": "ZYX"}
"""Methods that are trained, and whose presets theirs are."""

CHECKS = """\
## Raw SIM: patterns and reconstruction

Raw frames of {size}x{size} pixels of 62.6 nm, NA 1.41, emission 525 nm, period 200 nm, modulation
depth 0.8; filaments and vesicles of {seeds} seeds that no setting was chosen by. The patterns are
estimated blindly. *Worst* is over all orientations of all recordings, and has to be within the
target. The last lines are of real recordings.

{table}

A *step* is 1 / (pixels x pixel size) of the frames' spectrum. *Resolution* is the 1/7 crossing of
the Fourier ring correlation between two exposures; the edges of the bands are {edges} nm, a ratio
of {ratio}. *Residual peaks* are the differences at the pattern frequencies between the
reconstructions by estimated and by true patterns.
"""

SPEED = """\
## Raw SIM: time before training

{size}x{size} raw pixels, nine frames, {threads} threads, the fastest of five.

{table}
"""

IMAGES = """\
## Raw SIM: images

{size}x{size} raw pixels of 62.6 nm, NA 1.41, emission 525 nm, period 200 nm, offset 100 counts,
gain 1, read variance 4. PSNR / SSIM are against the truth at 60 nm. *Widefield* is the mean of
the frames. *Wiener + RL best* is Richardson-Lucy on the reconstruction, with the best iteration
and Wiener constant.
"""

VOLUMES = """\
## Reconstructed 3D-SIM stacks

{planes}x{size}x{size} voxels of 125 x 40 x 40 nm, simulated: the truth blurred by a widefield PSF
(NA 1.4) of half the width, with the correlated noise of a Wiener reconstruction. PSNR / SSIM are
against the truth at 60 nm laterally and 150 nm along z. *sim* is trained on the stack itself.
No real stack is among them.
"""


@dataclass(frozen=True)
class Job:
    """A case of a part, as it is given to a process of its own."""

    part: str
    name: str
    case: dict[str, Any]


def main() -> int:
    """Compute what is missing and write the page; returns 1 if a case failed."""
    options = _options()
    options.results.mkdir(parents=True, exist_ok=True)
    failed = 0
    jobs = list(_jobs(options))
    for index, job in enumerate(jobs):
        if options.report_only or (not options.again and _known(job, options.results)):
            continue
        print(f"[{index + 1}/{len(jobs)}] {job.name}: ", end="", flush=True)
        started = time.perf_counter()
        done = _compute(job, options)
        failed += not done
        said = _summary(job, options.results) if done else f"failed; see {job.name}.log"
        print(f"{said} ({time.perf_counter() - started:.0f} s)", flush=True)
    _report(options)
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    methods = [*METHODS, *VOLUME_METHODS]
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--phantom", nargs="+", choices=PHANTOMS, default=list(PHANTOMS))
    parser.add_argument("--photons", nargs="+", type=float, help="default: 30 10 100 1000")
    parser.add_argument("--only", nargs="+", choices=methods, default=methods)
    parser.add_argument("--steps", type=int, help="of training; by default the preset's own")
    parser.add_argument("--size", type=int, default=256, help="raw pixels along a side")
    parser.add_argument("--volume", type=int, nargs=2, default=(24, 192), help="planes, pixels")
    parser.add_argument("--speed-size", type=int, default=512, help="raw pixels along a side")
    parser.add_argument("--seed", type=int, default=20261, help="of the images and volumes")
    parser.add_argument("--check-seeds", type=int, default=10, help="how many")
    parser.add_argument("--draws", type=int, default=200, help="re-corruptions of the checks")
    parser.add_argument("--recordings", type=Path, help="folder of the recordings")
    parser.add_argument("--threads", type=int, help="threads of every computation but speed")
    parser.add_argument("--picture-photons", type=float, default=30.0)
    parser.add_argument("--results", type=Path, default=RESULTS / "sim")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--again", action="store_true", help="compute known cases anew")
    parser.add_argument("--report-only", action="store_true", help="compute nothing")
    return parser.parse_args()


def _jobs(options: argparse.Namespace) -> Iterator[Job]:
    """List every case, those of few seconds first and what is trained last."""
    settings = reconstruction_settings()
    if "checks" in options.parts:
        for seed in range(FIRST_SEED, FIRST_SEED + options.check_seeds):
            case = {"seed": seed, "size": options.size, "draws": options.draws, **settings}
            yield Job("checks", f"checks-{options.size}px-{seed}", case)
    if "recordings" in options.parts and options.recordings:
        yield Job("recordings", "recordings", settings)
    if "speed" in options.parts:
        case = {"size": options.speed_size, "threads": 2, **settings}
        yield Job("speed", f"speed-{options.speed_size}px", case)
    for trained in (False, True):
        for photons in options.photons or (30.0, 10.0, 100.0, 1000.0):
            for phantom in options.phantom:
                yield from _images(options, phantom, photons, trained)
                if photons in (options.photons or (30.0, 10.0)):
                    yield from _volumes(options, phantom, photons, trained)


def _images(
    options: argparse.Namespace, phantom: str, photons: float, trained: bool
) -> Iterator[Job]:
    for method in METHODS if "images" in options.parts else ():
        if method in options.only and (method in TRAINED) == trained:
            common: dict[str, Any] = {"size": options.size, "seed": options.seed}
            own = {"reconstruction": reconstruction_settings(), **_preset(method)}
            steps = _steps(method, options)
            case = Case(phantom, photons, method, steps, preset=own, **common)
            yield Job("images", case.name, asdict(case))


def _volumes(
    options: argparse.Namespace, phantom: str, photons: float, trained: bool
) -> Iterator[Job]:
    planes, size = options.volume
    for method in VOLUME_METHODS if "volumes" in options.parts else ():
        if method in options.only and (method in TRAINED) == trained:
            common: dict[str, Any] = {"size": size, "planes": planes, "seed": options.seed}
            own = _preset(method) or None
            case = Case(phantom, photons, method, _steps(method, options), preset=own, **common)
            yield Job("volumes", case.name, asdict(case))


def _preset(method: str) -> dict[str, Any]:
    """Return all of a method's preset that bears on a result, as it is read from a file."""
    if method not in TRAINED:
        return {}
    settings: dict[str, Any] = json.loads(json.dumps(asdict(_found(method))))
    del settings["description"]
    return settings


def _found(method: str) -> Any:
    return presets_for(TRAINED[method])[method]


def _steps(method: str, options: argparse.Namespace) -> int | None:
    if method not in TRAINED:
        return None
    return _found(method).steps if options.steps is None else options.steps


def _known(job: Job, folder: Path) -> dict[str, Any] | None:
    """Return the result of exactly this case, if there is one."""
    path = folder / f"{job.name}.json"
    if not path.is_file():
        return None
    result: dict[str, Any] = json.loads(path.read_text())
    case = dict(result["case"])
    if "network" in (case.get("preset") or {}):
        case["preset"] = with_defaults(case["preset"])
    return {**result, "name": job.name} if case == job.case else None


def _compute(job: Job, options: argparse.Namespace) -> bool:
    """Compute a case in a process of its own; on failure leave what it said in a log."""
    path = options.results / f"{job.name}.json"
    command = [sys.executable, str(HERE / "sim_cases.py"), job.part, json.dumps(job.case)]
    command.append(str(path))
    if job.part == "recordings":
        command.append(str(options.recordings.resolve()))
    environment = dict(os.environ)
    threads = 2 if job.part == "speed" else options.threads
    if threads:
        environment |= {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    log = path.with_suffix(".log")
    log.unlink(missing_ok=True)
    if done.returncode:
        log.write_text(done.stdout + done.stderr)
    return done.returncode == 0


def _summary(job: Job, folder: Path) -> str:
    result = _known(job, folder)
    if result is None or "psnr" not in result:
        return "done"
    return f"{result['psnr']:.1f} dB, {result['ssim']:.3f}"


def _report(options: argparse.Namespace) -> None:
    """Write what is there of every part, whatever was asked to be computed."""
    everything = argparse.Namespace(**vars(options))
    everything.parts, everything.photons = PARTS, None
    everything.only, everything.phantom = [*METHODS, *VOLUME_METHODS], list(PHANTOMS)
    everything.recordings = everything.recordings or Path()
    results: dict[str, list[dict[str, Any]]] = {part: [] for part in PARTS}
    for job in _jobs(everything):
        known = _known(job, options.results)
        if known:
            results[job.part].append(known)
    sections = {}
    if results["checks"]:
        cutoff, fringes = 2 * 1.41 / 0.525, 1 / 0.2
        sections["sim checks"] = CHECKS.format(
            size=options.size,
            seeds=len(results["checks"]),
            table=checks_table(results["checks"], results["recordings"]),
            edges=f"{1000 / cutoff:.0f} and {1000 / (cutoff + fringes):.0f}",
            ratio=f"{1 + fringes / cutoff:.2f}",
        )
    if results["speed"]:
        sections["sim speed"] = SPEED.format(
            size=options.speed_size, threads=2, table=speed_table(results["speed"][0])
        )
    if results["images"]:
        sections["sim images"] = _tables(
            IMAGES.format(size=options.size), results["images"], options
        )
    if results["volumes"]:
        planes, size = options.volume
        text = VOLUMES.format(planes=planes, size=size)
        sections["sim volumes"] = _tables(text, results["volumes"], options)
    for name, text in sections.items():
        text += f"\n`python benchmarks/run_sim.py` on {machine()}.\n"
        set_section(_page(name, options), name, text, title=TITLE)
    print(f"Wrote {sum(map(len, results.values()))} cases to {options.page}.")


def _tables(text: str, results: list[dict[str, Any]], options: argparse.Namespace) -> str:
    methods = [*METHODS, *VOLUME_METHODS]

    def order(result: dict[str, Any]) -> tuple[float, ...]:
        case = result["case"]
        return PHANTOMS.index(case["phantom"]), case["photons"], methods.index(case["method"])

    results = sorted(results, key=order)
    text += f"\n{comparison_table(results, UNSHOWN)}\n"
    kind = "images" if results[0]["case"]["planes"] is None else "volumes"
    page = _page(f"sim {kind}", options)
    picture = picture_of(page, f"benchmarks_sim_{kind}.png")
    draw(picture, results, options.results, options.picture_photons)
    return text + shown(picture, page)


def _page(name: str, options: argparse.Namespace) -> Path:
    """Return where a section goes: the site shows the images alone."""
    page: Path = options.page
    return DETAILS if page == PAGE and name != "sim images" else page


if __name__ == "__main__":
    sys.exit(main())
