"""Benchmark thick nuclei in 3D: how much of their haze goes back to where it is from.

    python benchmarks/run_nuclei.py                         # about 10 minutes on one core
    python benchmarks/run_nuclei.py --planes 24 --photons 200 --microscope widefield
    python benchmarks/run_nuclei.py --report-only

Each result is kept in results/nuclei/, so that an interrupted run goes on where it was; the table
is a part of benchmarks/RESULTS.md. The row "deconwolf" needs its command `dw` on the path.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from report import set_section, table
from scipy.ndimage import gaussian_filter

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.physics.open_field import OpenField
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.quality.reference_metrics import fit_intensity, psnr, truth_at_resolution
from napari_zsdeconvnet.simulation.sample import camera

HERE = Path(__file__).parent
VOXEL = (0.3, 0.13, 0.13)
WIDTH = 80
STEPS = 30
OBJECTIVE = {"na": 1.4, "wavelength": 0.461, "refractive_index": 1.515}
MICROSCOPES = {
    "widefield": {},
    "confocal": {"modality": "confocal", "excitation_wavelength": 0.405, "pinhole": 2.0},
    "light-sheet": {"modality": "light-sheet", "sheet_thickness": 2.0},
}
CAMERA = zs.NoiseModel(100.0, 2.0, 16.0)
CLASSICAL_STEPS = 50
BORDER = (slice(1, -1), slice(8, -8), slice(8, -8))


class Case(NamedTuple):
    """A nucleus and how it is recorded."""

    microscope: str
    planes: int
    kind: str
    photons: float


CASES = (
    Case("widefield", 24, "filled", 200),
    Case("widefield", 10, "filled", 200),
    Case("confocal", 24, "filled", 200),
    Case("light-sheet", 24, "filled", 200),
    Case("widefield", 24, "spots", 200),
    Case("widefield", 24, "filled", 20),
    Case("widefield", 24, "filled", 5000),
    Case("widefield", 60, "filled", 200),
    Case("confocal", 24, "spots", 200),
    Case("light-sheet", 24, "spots", 200),
    Case("widefield", 24, "spots", 20),
    Case("widefield", 24, "spots", 5000),
    Case("widefield", 10, "spots", 200),
    Case("confocal", 24, "filled", 20),
    Case("light-sheet", 24, "filled", 5000),
    Case("widefield", 60, "spots", 20),
    Case("confocal", 60, "filled", 5000),
)
"""The first say most."""


def nucleus(planes: int, kind: str) -> tuple[NDArray[np.float64], slice]:
    """Draw a nucleus in the middle of a stack, and say which planes hold it."""
    rng = np.random.default_rng(planes)
    shape = (planes, WIDTH, WIDTH)
    z, y, x = np.mgrid[tuple(map(slice, shape))]
    depth, (middle, row, column) = max(planes / 5, 2.0), (n // 2 for n in shape)
    body = ((z - middle) / depth) ** 2 + ((y - row) / 30) ** 2 + ((x - column) / 25) ** 2 < 1
    filled = kind == "filled"
    texture = gaussian_filter(rng.normal(size=shape), (1.5, 4, 4) if filled else (0.8, 1.5, 1.5))
    texture /= texture.std()
    light = np.clip(1 + 0.8 * texture, 0.1, None) if filled else np.clip(texture - 2, 0, None)
    reach = int(depth)
    return body * light, slice(middle - reach, middle + reach + 1)


def classical(image: NDArray[np.uint16], psf: PSF) -> NDArray[np.float32]:
    """Do accelerated steps of Richardson-Lucy in an open field, from a flat start.

    The acceleration is that of Biggs and Andrews (Applied Optics 36, 1766, 1997).
    """
    field = OpenField(psf.array, image.shape)
    shift = CAMERA.read_variance / (CAMERA.gain or 1.0)
    seen = torch.from_numpy(image.astype(np.float32) - np.float32(CAMERA.offset))[None, None]
    seen = (seen + shift).clamp(min=0.0)
    estimate = torch.full((1, 1, *field.shape), float(seen.mean()) - shift)
    leading, small = estimate, 1e-5 * float(seen.mean())
    for step in range(CLASSICAL_STEPS):
        moved = leading * field.factor(seen / (field.expected(leading) + shift)).clamp(min=0.01)
        change = (moved / (estimate + small)).clamp(0.2, 5.0)
        estimate, leading = moved, moved * change ** (step / (step + 3))
    return np.asarray(field.inside(estimate)[0, 0].numpy())


def deconwolf(image: NDArray[np.uint16], psf: PSF) -> NDArray[np.float32] | None:
    """Run `dw` on a stack; None where it is not installed."""
    if shutil.which("dw") is None:
        return None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        light = np.clip(image.astype(int) - int(CAMERA.offset), 0, 65535).astype(np.uint16)
        tifffile.imwrite(folder / "stack.tif", light)
        tifffile.imwrite(folder / "psf.tif", psf.array)
        subprocess.run(
            [
                *("dw", "--iter", str(CLASSICAL_STEPS), "--overwrite", "--out", "result.tif"),
                *("stack.tif", "psf.tif"),
            ],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        return np.asarray(tifffile.imread(folder / "result.tif"), np.float32)


def ours(image: NDArray[np.uint16], psf: PSF, steps: int | None) -> NDArray[np.float32]:
    """Train on the stack and deconvolve it."""
    run = zs.train(
        image, psf, CAMERA, axes="ZYX", voxel_size=VOXEL, steps=steps, seed=0, preview_every=0
    )
    for _ in run:
        pass
    return run.model.predict(image, axes="ZYX").deconvolved


def axial_width(volume: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """FWHM along z, nanometres, of the Gaussian that makes the truth most like a result."""
    widths = np.arange(0.15, 2.0, 0.05)

    def misfit(width: float) -> float:
        blurred = truth_at_resolution(truth, (width, 0.15, 0.15), VOXEL)
        return float(np.square(fit_intensity(volume, blurred) - blurred).mean() / blurred.var())

    return 1000 * float(min(widths, key=misfit))


def recorded(case: Case) -> tuple[NDArray[np.float64], slice, PSF, NDArray[np.uint16]]:
    """Simulate a case: its truth in counts, the planes of the nucleus, PSF and raw stack."""
    truth, inside = nucleus(case.planes, case.kind)
    psf = PSF.simulate(
        pixel_size=VOXEL[-1],
        axial_step=VOXEL[0],
        stack=truth.shape,
        **OBJECTIVE,
        **MICROSCOPES[case.microscope],
    )
    structure = torch.from_numpy(truth.astype(np.float32))[None, None]
    seen = OpenField(psf.array, truth.shape).blurred(structure)[0, 0].numpy().clip(0)
    # Counts: two for each photon of the 99.9th percentile.
    scale = 2 * case.photons / np.percentile(seen, 99.9)
    return truth * scale, inside, psf, camera(seen * scale, CAMERA, np.random.default_rng(1))


def scored(case: Case, method: str, steps: int | None) -> dict[str, Any] | None:
    """Compute and score a case by one method; None where that is not installed."""
    truth, inside, psf, raw = recorded(case)
    methods: dict[str, Callable[[], NDArray[Any] | None]] = {
        "raw": lambda: raw - CAMERA.offset,
        "RL": lambda: classical(raw, psf),
        "fast": lambda: ours(raw, psf, steps),
        "deconwolf": lambda: deconwolf(raw, psf),
    }
    began = time.process_time()
    result = methods[method]()
    seconds = time.process_time() - began
    if result is None:
        return None
    target = truth_at_resolution(truth, (0.35, 0.15, 0.15), VOXEL)[BORDER]
    fitted = fit_intensity(np.asarray(result)[BORDER], target)
    return {
        **case._asdict(),
        "method": method,
        "steps": {"RL": CLASSICAL_STEPS, "deconwolf": CLASSICAL_STEPS, "fast": steps}.get(method),
        "psnr": round(float(psnr(fitted, target, np.ptp(target))), 2),
        "haze_percent": round(100 * float(1 - result[inside].sum() / result.sum()), 2),
        "axial_nm": round(axial_width(np.asarray(result)[BORDER], truth[BORDER])),
        "cpu_seconds": round(seconds, 1),
    }


def report(folder: Path, page: Path) -> None:
    """Write the table from what is there."""
    order = ["raw", "RL", "deconwolf", "fast"]
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    cells = {
        (Case(*(entry[name] for name in Case._fields)), entry["method"]): (
            f"{entry['psnr']:.1f}, {entry['haze_percent']:.1f} %, {entry['axial_nm']} nm"
        )
        for entry in found
    }
    methods = [method for method in order if method in {entry["method"] for entry in found}]
    rows = [
        [
            *(case.microscope, f"{case.planes}", case.kind, f"{case.photons:g}"),
            *(cells.get((case, method), "") for method in methods),
        ]
        for case in sorted({case for case, _ in cells})
    ]
    header = ["microscope", "planes", "nucleus", "photons", *methods]
    set_section(page, "nuclei", EXPLANATION + table(header, rows), title="Benchmarks")


EXPLANATION = f"""\
## Thick nuclei

Simulated nuclei, filled or of spots, in a widefield, a confocal (pinhole of 2 Airy units) and a
light-sheet microscope (sheet of 2 µm): NA {OBJECTIVE["na"]}, emission 461 nm, voxels of 300 x 130
x 130 nm, {WIDTH} x {WIDTH} pixels. *Haze* is the light outside the planes of the nucleus. *Axial*
is the width along z of the Gaussian that makes the truth most like the result. Cells have PSNR
against the truth at 150 nm and 350 nm along z, haze and axial. *RL* is accelerated
Richardson-Lucy, {CLASSICAL_STEPS} steps; *fast* is trained for {STEPS} steps from random weights.

"""


def main() -> int:
    """Compute the cases asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--planes", type=int, nargs="+")
    parser.add_argument("--photons", type=float, nargs="+")
    parser.add_argument("--microscope", nargs="+", choices=MICROSCOPES)
    parser.add_argument("--only", nargs="+", default=["raw", "RL", "fast", "deconwolf"])
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of fast, by default {STEPS}")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "nuclei")
    parser.add_argument("--page", type=Path, default=HERE / "RESULTS.md")
    parser.add_argument("--report-only", action="store_true")
    given = parser.parse_args()
    given.results.mkdir(parents=True, exist_ok=True)
    asked = [
        case
        for case in CASES
        if (not given.planes or case.planes in given.planes)
        and (not given.photons or case.photons in given.photons)
        and (not given.microscope or case.microscope in given.microscope)
    ]
    for case in [] if given.report_only else asked:
        for method in given.only:
            name = "-".join(str(part) for part in (*case, method)).replace(".0-", "-")
            path = given.results / f"{name}.json"
            if path.is_file():
                continue
            result = scored(case, method, given.steps)
            if result is not None:
                path.write_text(json.dumps(result, indent=1) + "\n")
                print(json.dumps(result), flush=True)
    report(given.results, given.page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
