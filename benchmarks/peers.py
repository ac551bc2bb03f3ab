"""Compare with what a user could take instead, on the same images in one run.

    python benchmarks/peers.py --environments FOLDER --install        # once, and what is missing
    python benchmarks/peers.py --environments FOLDER --threads 1
    python benchmarks/peers.py --environments FOLDER --threads 1 --volumes
    python benchmarks/peers.py --report-only                          # the page from what is there

Every peer runs in a virtual environment of its own in FOLDER, by a script in `benchmarks/peers/`.
All other options are those of `run_2d.py`, or with --volumes of `run_3d.py`: what has been computed
is kept, in `results/peers/`, and what could not be run is tried again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cases import Case
from peer_methods import FOLDER, MISSING, PEERS, install
from report import draw, label, machine, set_section, table
from runner import DOCS, RESULTS, Benchmark, run

TITLE = "Other programs on the same images"
PANEL = 150
"""Width of a small picture in pixels."""

METHODS = ("raw", "RL best", *(peer.method for peer in PEERS), "fast")
IMAGES = (("mix", 5.0), ("mix", 30.0), ("mix", 200.0), ("cells", 30.0), ("rings", 30.0))
IMAGES += (("spots", 30.0),)
VOLUMES = (("filaments", 50.0), ("cell", 50.0))

PROGRAMS = """\
## Programs

{table}

*Not run* says why a program has no figures.
"""

EXPLANATION = """\
## {heading}

Recordings of {extent}. Computed on {machine}.

{table}

PSNR in dB / SSIM of the deconvolved image against the truth, and in brackets the CPU seconds of all
threads, training included. Denoised images, numbers of iterations and times by the clock are in
`benchmarks/results/peers`.

{pictures}"""


def report(
    heading: str,
) -> Callable[[list[dict[str, Any]], argparse.Namespace], None]:
    """Return what writes the part of the page for images or for volumes."""

    def write(results: list[dict[str, Any]], options: argparse.Namespace) -> None:
        done = [result for result in results if "unavailable" not in result]
        pictures = "".join(
            _picture(place, done, options) for place in dict.fromkeys(map(place_of, done))
        )
        text = EXPLANATION.format(
            heading=heading,
            machine=machine(),
            extent=_extent(done),
            table=_matrix(done),
            pictures=pictures,
        )
        set_section(
            options.page, "programs", PROGRAMS.format(table=_programs(options)), title=TITLE
        )
        set_section(options.page, heading.lower(), text, title=TITLE)
        print(f"Wrote {len(done)} cases to {options.page}.")

    return write


def _extent(results: list[dict[str, Any]]) -> str:
    """Say the sizes of the recordings."""
    cases = [result["case"] for result in results]
    sizes = dict.fromkeys((case.get("planes"), case["size"]) for case in cases)
    return " and ".join(
        f"{planes}x{side}x{side} voxels" if planes else f"{side}x{side} pixels"
        for planes, side in sizes
    )


def place_of(result: dict[str, Any]) -> tuple[str, float]:
    """Name the image of a result."""
    return result["case"]["phantom"], result["case"]["photons"]


def _matrix(results: list[dict[str, Any]]) -> str:
    """Put methods below each other and images side by side; the best of a column is bold."""
    places = list(dict.fromkeys(map(place_of, results)))
    best = {place: max(r["psnr"] for r in results if place_of(r) == place) for place in places}
    found = {(label(result), place_of(result)): result for result in results}
    rows = []
    for method in sorted(dict.fromkeys(map(label, results)), key=_order):
        cells = [method]
        for place in places:
            result = found.get((method, place))
            if result is None:
                cells.append("")
                continue
            mark = "**" if result["psnr"] == best[place] else ""
            cells.append(
                f"{mark}{result['psnr']:.1f} / {result['ssim']:.3f}{mark} "
                f"({result['cpu_seconds']:.0f} s)"
            )
        rows.append(cells)
    return table(["method", *(f"{name}, {photons:g}" for name, photons in places)], rows)


def _order(method: str) -> tuple[int, int]:
    name, _, steps = method.partition(", ")
    return METHODS.index(name), int(steps.split()[0]) if steps else 0


def _picture(
    place: tuple[str, float], results: list[dict[str, Any]], options: argparse.Namespace
) -> str:
    """Draw the middle of an image by all methods, and return its line of the page."""
    phantom, photons = place
    size = "_3d" if results[0]["case"]["planes"] else ""
    path = options.page.parent / "images" / f"peers_{phantom}_{photons:g}{size}.png"
    here = [result for result in results if place_of(result) == place]
    if not draw(path, here, options.results, photons, panel_width=PANEL, per_row=5):
        return "" if not path.is_file() else f"![{phantom}, {photons:g}](images/{path.name})\n\n"
    return f"![{phantom}, {photons:g} photons, by each method](images/{path.name})\n\n"


def _programs(options: argparse.Namespace) -> str:
    """List the peers: versions are those of the results, of images and of volumes."""
    versions: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for path in sorted((RESULTS / "peers").rglob("*.json")):
        result = json.loads(path.read_text())
        method = Case(**result["case"]).method
        versions |= {method: result["version"]} if "version" in result else {}
        reasons |= {method: result["unavailable"]} if "unavailable" in result else {}
    rows = [
        (
            f"[{peer.name}]({peer.link})",
            versions.get(peer.method, ""),
            peer.licence,
            peer.about,
            "" if peer.method in versions else reasons.get(peer.method, "not asked for"),
        )
        for peer in PEERS
    ]
    rows += [(name, "", "", "", reason) for name, reason in MISSING.items()]
    return table(["program", "version", "licence", "what it does", "not run"], rows)


def benchmark(volumes: bool) -> Benchmark:
    """Describe what is compared."""
    places = VOLUMES if volumes else IMAGES
    axes = "ZYX" if volumes else "YX"
    others = {peer.method: peer.axes for peer in PEERS}
    return Benchmark(
        title=TITLE,
        explanation="",
        phantoms=tuple(dict.fromkeys(name for name, _ in places)),
        photons=tuple(dict.fromkeys(photons for _, photons in places)),
        methods=tuple(name for name in METHODS if axes in others.get(name, axes)),
        paper_steps=(),
        size=192 if volumes else 256,
        planes=32 if volumes else None,
        reference_size=256 if volumes else 512,
        reference_planes=40 if volumes else None,
        results=RESULTS / "peers" / ("3d" if volumes else "2d"),
        page=DOCS / "peers.md",
        places=places,
        fast_steps=(0, None),
        report=report("Volumes" if volumes else "Images"),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line, or a caller, asks for."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--environments", type=Path)
    parser.add_argument("--install", action="store_true")
    parser.add_argument("--volumes", action="store_true")
    own, rest = parser.parse_known_args(arguments)
    if own.environments:
        os.environ[FOLDER] = str(own.environments.resolve())
    if own.install:
        if own.environments is None:
            raise SystemExit("Name the folder of the environments with --environments.")
        for peer in PEERS:
            failure = install(peer, own.environments)
            print(f"{peer.name}: {failure or 'installed'}", flush=True)
        return 0
    sys.argv[1:] = rest
    return run(benchmark(own.volumes), __doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
