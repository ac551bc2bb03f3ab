"""Benchmark 2D denoising and deconvolution on phantoms with a known truth.

    python benchmarks/run_2d.py                       # everything; hours on two cores
    python benchmarks/run_2d.py --phantom filaments --photons 50 --only raw "RL best" fast
    python benchmarks/run_2d.py --report-only         # tables and picture from what is there

Every case is computed in a process of its own and kept in a file, so an interrupted run goes
on where it was. A case is computed again when its settings or those of its preset have
changed, or with --again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cases import REFERENCE, Case
from methods import METHODS, TRAINED
from report import draw, full_table, machine, set_section, summary_table

from napari_zsdeconvnet.phantoms import PHANTOMS
from napari_zsdeconvnet.presets import PRESETS

HERE = Path(__file__).parent
EXPLANATION = """\
## Phantoms

Every figure below is measured on simulated images of {size}x{size} pixels whose truth is known,
recorded with an offset of 100 counts, a gain of 1 count per electron and a read variance of 4
counts squared; NA 1.3, emission 525 nm, pixels of 62.6 nm. *Photons* is the 99.9th percentile of
the expected photons per pixel. Each phantom is recorded twice with independent noise: methods
see, and networks are trained on, the first exposure alone.

- *Denoised* is compared with the noise-free image, and *PSNR* and *SSIM* compare the deconvolved
  image with the truth at 100 nm FWHM, both after one linear fit of the intensities, with 32
  output pixels left out at each border and the span of the reference as data range. Raw is
  enlarged by bicubic interpolation; "denoised" by Richardson-Lucy is its estimate blurred again.
- *Second exposure*: the same model applied to noise that it has not seen.
- *Filament* is the median full width at half maximum of lines whose true width is zero. *Two
  lines* is the smallest separation, of 80 to 320 nm in steps of 30, from which on the dip between
  two parallel lines is at least Rayleigh's 26.5 %.
- *FRC* is where the Fourier rings of the results of both exposures correlate by less than 1/7;
  63 nm, two output pixels, means nowhere. A method's own prior counts as agreement, so for all
  but raw the figure is an optimistic bound and no resolution.
- *RL best* is Richardson-Lucy stopped where it is closest to the truth, which no user could
  know; *RL rule* stops by the discrepancy principle. Both are told of the read noise.
- *Memory* is the peak above what the process held before the method began.

Computed on {machine}.
"""


def main() -> int:
    options = _options()
    options.results.mkdir(parents=True, exist_ok=True)
    cases = _cases(options)
    failed = []
    for index, case in enumerate(cases):
        if options.report_only or (not options.again and _known(case, options.results)):
            continue
        place = f"[{index + 1}/{len(cases)}] {case.phantom}, {case.photons:g}"
        print(f"{place}, {case.label}: ", end="", flush=True)
        started = time.perf_counter()
        if _compute(case, options):
            result = _known(case, options.results)
            print(
                f"{result['denoised_psnr']:.1f} / {result['psnr']:.1f} dB, {result['ssim']:.3f} "
                f"({time.perf_counter() - started:.0f} s)"
            )
        else:
            failed.append(case)
            print(f"failed; see {case.name}.log")
    results = _valid_results(options)
    if results:
        _report(results, options)
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--phantom", nargs="+", choices=list(PHANTOMS), default=list(PHANTOMS))
    parser.add_argument("--photons", nargs="+", type=float, default=[5.0, 20.0, 50.0, 200.0])
    parser.add_argument("--only", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--steps", type=int, help="steps of fast; by default the preset's own")
    parser.add_argument(
        "--paper-steps",
        nargs="+",
        type=int,
        default=[100, 1000],
        help="lengths of the runs of paper (default: 100 1000)",
    )
    parser.add_argument(
        "--paper-everywhere",
        action="store_true",
        help="run paper on every phantom and not on filaments of 50 photons alone",
    )
    parser.add_argument("--reference", type=Path, help="folder of reference images to score too")
    parser.add_argument("--size", type=int, default=512, help="raw pixels along each side")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, help="threads of every computation")
    parser.add_argument("--picture-photons", type=float, default=20.0)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--page", type=Path, default=HERE.parent / "docs" / "benchmarks_2d.md")
    parser.add_argument("--again", action="store_true", help="compute known cases anew")
    parser.add_argument("--report-only", action="store_true", help="compute nothing")
    return parser.parse_args()


def _cases(options: argparse.Namespace) -> list[Case]:
    """List every case in the order of the table."""
    places = [(phantom, photons) for phantom in options.phantom for photons in options.photons]
    if options.reference:
        places.insert(0, (REFERENCE, 50.0))
    cases = []
    for phantom, photons in places:
        for method in options.only:
            rare = method == "paper" and not options.paper_everywhere
            if rare and (phantom, photons) not in ((REFERENCE, 50.0), ("filaments", 50.0)):
                continue
            size = 512 if phantom == REFERENCE else options.size
            common = {"size": size, "seed": options.seed}
            if method not in TRAINED:
                cases.append(Case(phantom, photons, method, **common))
                continue
            own = options.steps or PRESETS[method].steps
            lengths = options.paper_steps if method == "paper" else [own]
            cases += [
                Case(
                    phantom,
                    photons,
                    method,
                    steps,
                    device=options.device,
                    preset=_settings(method),
                    **common,
                )
                for steps in lengths
            ]
    return cases


def _settings(preset: str) -> dict[str, Any]:
    """Return all of a preset that bears on a result, as it looks when read from a file."""
    settings: dict[str, Any] = json.loads(json.dumps(asdict(PRESETS[preset])))
    del settings["description"]
    return settings


def _known(case: Case, folder: Path) -> dict[str, Any] | None:
    """Return the result of exactly this case, if there is one."""
    path = folder / f"{case.name}.json"
    if not path.is_file():
        return None
    result = json.loads(path.read_text())
    return {**result, "name": case.name} if result["case"] == asdict(case) else None


def _valid_results(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Read every result of this size whose preset is still the same, from this run or earlier."""
    results = []
    for path in options.results.glob("*.json"):
        result = json.loads(path.read_text())
        case = Case(**result["case"])
        trained = case.method in TRAINED
        outdated = trained and case.preset != _settings(case.method)
        if not outdated and (case.phantom == REFERENCE or case.size == options.size):
            results.append({**result, "name": path.stem})

    places, methods = [REFERENCE, *PHANTOMS], list(METHODS)

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


def _report(results: list[dict[str, Any]], options: argparse.Namespace) -> None:
    text = EXPLANATION.format(machine=machine(), size=options.size)
    text += f"\n### Averages over the phantoms\n\n{summary_table(results)}\n"
    picture = options.page.parent / "images" / "benchmarks_2d.png"
    if draw(picture, results, options.results, options.picture_photons):
        text += (
            f"\n![The middle of each phantom by each method](images/{picture.name})\n\n"
            f"The middle of each phantom at {options.picture_photons:g} photons.\n"
        )
    text += f"\n### Every case\n\n{full_table(results)}\n"
    set_section(options.page, "phantoms", text, title="Benchmarks in 2D")
    print(f"Wrote {len(results)} cases to {options.page}.")


if __name__ == "__main__":
    sys.exit(main())
