"""What the benchmarks in 2D and 3D share: choosing cases, computing them, writing the page."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from cases import REFERENCE, Case
from methods import TRAINED
from peer_methods import METHODS
from report import comparison_table, draw, machine, set_section

from napari_zsdeconvnet.model.presets import Preset, presets_for

HERE = Path(__file__).parent
RESULTS = HERE / "results"
DOCS = HERE.parent / "docs"
PAGE = DOCS / "benchmarks.md"
TITLE = "Benchmarks"
DETAILS = HERE / "RESULTS.md"
"""Tables that the site leaves out, as nobody chooses a program or a setting by them."""

RARE = ((REFERENCE, 50.0), ("filaments", 50.0))
"""Where `paper` runs unless it is asked for everywhere."""


@dataclass(frozen=True)
class Benchmark:
    """What one benchmark compares, and where it is written down.

    Attributes
    ----------
    title
        Of the page.
    explanation
        What stands above the table; it may name {size}, {planes} and {machine}.
    phantoms, photons, methods
        All of these combine, unless the command line names others.
    paper_steps
        Lengths of the runs of `paper`.
    size, reference_size
        Raw pixels along each side, of the phantoms and of the reference images.
    results, page
        A folder of results of this benchmark alone, and the page to write.
    planes, reference_planes
        Of a volume; None for images.
    places
        The phantoms and photons that are combined; none for all.
    fast_steps
        Lengths of the runs of `fast`; None for the preset's own.
    report
        Writes the page from the results; None for one table of phantoms.
    section
        Name of the part of the page that is written, and of its picture.
    unshown
        Methods that the table leaves out.
    """

    title: str
    explanation: str
    phantoms: tuple[str, ...]
    photons: tuple[float, ...]
    methods: tuple[str, ...]
    paper_steps: tuple[int, ...]
    size: int
    reference_size: int
    results: Path
    page: Path
    planes: int | None = None
    reference_planes: int | None = None
    places: tuple[tuple[str, float], ...] = ()
    fast_steps: tuple[int | None, ...] = (None,)
    report: Callable[[list[dict[str, Any]], argparse.Namespace], None] | None = None
    section: str = "phantoms"
    unshown: tuple[str, ...] = ()


def run(benchmark: Benchmark, description: str) -> int:
    """Compute what is missing and write the page; returns 1 if a case failed."""
    options = _options(benchmark, description)
    options.results.mkdir(parents=True, exist_ok=True)
    cases = _cases(benchmark, options)
    failed = []
    for index, case in enumerate(cases):
        if options.report_only or (not options.again and _known(case, options.results)):
            continue
        place = f"[{index + 1}/{len(cases)}] {case.phantom}, {case.photons:g}"
        print(f"{place}, {case.label}: ", end="", flush=True)
        started = time.perf_counter()
        if _compute(case, options):
            print(f"{_summary(case, options.results)} ({time.perf_counter() - started:.0f} s)")
        else:
            failed.append(case)
            print(f"failed; see {case.name}.log")
    results = _valid_results(benchmark, options)
    if results and benchmark.report:
        benchmark.report(results, options)
    elif results:
        _report(benchmark, results, options)
    return 1 if failed else 0


def _options(benchmark: Benchmark, description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    phantoms, methods = list(benchmark.phantoms), list(benchmark.methods)
    parser.add_argument("--phantom", nargs="+", choices=phantoms, default=phantoms)
    parser.add_argument("--photons", nargs="+", type=float, default=list(benchmark.photons))
    parser.add_argument("--only", nargs="+", choices=list(METHODS), default=methods)
    parser.add_argument(
        "--steps", type=int, help="steps of fast; by default the preset's own, 0 for none"
    )
    lengths = " ".join(str(steps) for steps in benchmark.paper_steps)
    parser.add_argument(
        "--paper-steps",
        nargs="+",
        type=int,
        default=list(benchmark.paper_steps),
        help=f"lengths of the runs of paper (default: {lengths})",
    )
    parser.add_argument(
        "--paper-everywhere",
        action="store_true",
        help="run paper on every phantom and not on filaments of 50 photons alone",
    )
    parser.add_argument("--reference", type=Path, help="folder of reference images to score too")
    parser.add_argument("--size", type=int, default=benchmark.size, help="raw pixels along a side")
    if benchmark.planes is not None:
        parser.add_argument("--planes", type=int, default=benchmark.planes, help="raw planes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, help="threads of every computation")
    parser.add_argument("--picture-photons", type=float, default=20.0)
    parser.add_argument("--results", type=Path, default=benchmark.results)
    parser.add_argument("--page", type=Path, default=benchmark.page)
    parser.add_argument("--again", action="store_true", help="compute known cases anew")
    parser.add_argument("--report-only", action="store_true", help="compute nothing")
    return parser.parse_args()


def _cases(benchmark: Benchmark, options: argparse.Namespace) -> list[Case]:
    """List every case in the order of the table."""
    places = [
        (phantom, photons)
        for phantom in options.phantom
        for photons in options.photons
        if not benchmark.places or (phantom, photons) in benchmark.places
    ]
    if options.reference:
        places.insert(0, (REFERENCE, 50.0))
    cases = []
    for phantom, photons in places:
        for method in options.only:
            if (
                method == "paper"
                and not options.paper_everywhere
                and (phantom, photons) not in RARE
            ):
                continue
            common: dict[str, Any] = {
                **_extent(benchmark, options, phantom),
                "seed": options.seed,
            }
            if method not in TRAINED:
                cases.append(Case(phantom, photons, method, **common))
                continue
            settings = _settings(method, Case(phantom, photons, method, **common).axes)
            asked = benchmark.fast_steps if options.steps is None else (options.steps,)
            own = [settings["steps"] if steps is None else steps for steps in asked]
            lengths = options.paper_steps if method == "paper" else own
            common |= {"device": options.device, "preset": settings}
            cases += [Case(phantom, photons, method, steps, **common) for steps in lengths]
    return cases


def _extent(benchmark: Benchmark, options: argparse.Namespace, phantom: str) -> dict[str, Any]:
    """Size and planes of the recordings of a phantom, as a case names them."""
    if phantom == REFERENCE:
        return {"size": benchmark.reference_size, "planes": benchmark.reference_planes}
    planes = None if benchmark.planes is None else options.planes
    return {"size": options.size, "planes": planes}


def _settings(preset: str, axes: str) -> dict[str, Any]:
    """Return all of a preset that bears on a result, as it looks when read from a file."""
    settings: dict[str, Any] = json.loads(json.dumps(asdict(presets_for(axes)[preset])))
    del settings["description"]
    return settings


def _case(result: dict[str, Any]) -> Case:
    """Return the case of a result; settings that it is older than have their default."""
    case = Case(**result["case"])
    return case if case.preset is None else replace(case, preset=with_defaults(case.preset))


def with_defaults(preset: dict[str, Any]) -> dict[str, Any]:
    """Return a preset of a result with the defaults of the settings that it is older than."""
    defaults = {
        setting.name: setting.default
        for setting in fields(Preset)
        if setting.default is not MISSING
    }
    settings: dict[str, Any] = json.loads(json.dumps(defaults)) | preset
    return settings


def _known(case: Case, folder: Path) -> dict[str, Any] | None:
    """Return the result of exactly this case, if there is one."""
    path = folder / f"{case.name}.json"
    if not path.is_file():
        return None
    result = json.loads(path.read_text())
    valid = _case(result) == case and "unavailable" not in result
    return {**result, "name": case.name} if valid else None


def _summary(case: Case, folder: Path) -> str:
    """Say in a few words what a case came to."""
    result = json.loads((folder / f"{case.name}.json").read_text())
    if "unavailable" in result:
        return f"not run: {result['unavailable']}"
    return f"{result['denoised_psnr']:.1f} / {result['psnr']:.1f} dB, {result['ssim']:.3f}"


def _valid_results(benchmark: Benchmark, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Read every result of this size; those of presets that have changed since are marked."""
    results = []
    for path in options.results.glob("*.json"):
        result = json.loads(path.read_text())
        if "case" not in result:
            continue  # of another script
        case = _case(result)
        outdated = case.method in TRAINED and case.preset != _settings(case.method, case.axes)
        extent = {"size": case.size, "planes": case.planes}
        # A page with tables of its own shows what is of today alone.
        shown = not (outdated and benchmark.report)
        if shown and extent == _extent(benchmark, options, case.phantom):
            results.append({**result, "name": path.stem, "outdated": outdated})

    places, methods = [REFERENCE, *benchmark.phantoms], list(METHODS)

    def order(result: dict[str, Any]) -> tuple[float, ...]:
        case = Case(**result["case"])
        return (
            places.index(case.phantom),
            case.photons,
            methods.index(case.method),
            case.steps or 0,
        )

    return sorted(results, key=order)


def _compute(case: Case, options: argparse.Namespace) -> bool:
    """Compute a case in a process of its own; on failure leave what it said in a log."""
    path = options.results / f"{case.name}.json"
    command = [sys.executable, str(HERE / "cases.py"), json.dumps(asdict(case)), str(path)]
    if case.phantom == REFERENCE:
        command.append(str(options.reference.resolve()))
    environment = dict(os.environ)
    if options.threads:
        environment |= {"OMP_NUM_THREADS": str(options.threads)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    log = path.with_suffix(".log")
    log.unlink(missing_ok=True)
    if done.returncode:
        log.write_text(done.stdout + done.stderr)
    return done.returncode == 0


def _report(
    benchmark: Benchmark, results: list[dict[str, Any]], options: argparse.Namespace
) -> None:
    planes = None if benchmark.planes is None else options.planes
    text = benchmark.explanation.format(machine=machine(), size=options.size, planes=planes)
    text += f"\n{comparison_table(results, benchmark.unshown)}\n"
    picture = picture_of(options.page, f"benchmarks_{benchmark.section}.png")
    draw(picture, results, options.results, options.picture_photons)
    text += shown(picture, options.page)
    set_section(options.page, benchmark.section, text, title=benchmark.title)
    print(f"Wrote {len(results)} cases to {options.page}.")


def picture_of(page: Path, name: str) -> Path:
    """Return where a picture of a page goes: those of this repository are in ``docs/images``."""
    folder = DOCS if page in (PAGE, DETAILS) else page.parent
    return folder / "images" / name


def shown(picture: Path, page: Path) -> str:
    """Return the line that shows a picture of the phantoms, if it is there."""
    if not picture.is_file():
        return ""
    link = Path(os.path.relpath(picture, page.parent)).as_posix()
    return f"\n![The middle of each phantom by each method]({link})\n"
