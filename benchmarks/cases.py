"""One case of the 2D benchmark: a phantom, a number of photons and a method, scored.

Run as a script it computes one case in a process of its own, so that its peak memory is its
own: ``python cases.py '<case as JSON>' RESULT.json``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from memory import PeakMemory
from methods import METHODS, Output

from napari_zsdeconvnet.noise import NoiseModel
from napari_zsdeconvnet.psf import PSF
from napari_zsdeconvnet.quality import (
    enlarge,
    filament_fwhm,
    fit_intensity,
    flux_ratio,
    fourier_ring_correlation,
    score,
    smallest_resolved,
    truth_at_resolution,
    two_line_separability,
)
from napari_zsdeconvnet.simulation import Sample, simulate

REFERENCE = "reference"
TRUTH_FWHM = 0.1
BORDER = 32
CROP = 200


@dataclass(frozen=True)
class Case:
    """What is computed.

    Attributes
    ----------
    phantom
        One of `simulation.PHANTOMS`, or "reference" for the images in a given folder.
    photons
        The 99.9th percentile of photons per raw pixel.
    method
        One of `methods.METHODS`.
    steps
        Steps of training; None for what is not trained.
    size
        Rows and columns of the raw image.
    seed
        Of the phantom, its noise and the training.
    device
        On which to train and predict.
    preset
        All settings of the preset, so that a changed preset makes a new case.
    """

    phantom: str
    photons: float
    method: str
    steps: int | None = None
    size: int = 512
    seed: int = 1
    device: str = "auto"
    preset: dict[str, Any] | None = None

    @property
    def label(self) -> str:
        """The method with its steps, as the tables name it."""
        if self.steps is None:
            return self.method
        return f"{self.method}, {self.steps} step{'' if self.steps == 1 else 's'}"

    @property
    def name(self) -> str:
        """A file name, the same for every version of a preset: a newer result replaces it."""
        steps = "" if self.steps is None else f"-{self.steps}"
        place = "" if self.device == "auto" else f"-{self.device.replace(':', '')}"
        return (
            f"{self.phantom}-{self.photons:g}-{self.method.replace(' ', '_')}{steps}"
            f"-{self.size}px-{self.seed}{place}"
        )


def load_sample(case: Case, reference: Path | None) -> Sample:
    """Simulate the phantom, or read the reference images."""
    if case.phantom != REFERENCE:
        return simulate(
            case.phantom, shape=(case.size, case.size), photons=case.photons, seed=case.seed
        )
    if reference is None:
        raise SystemExit("The case 'reference' needs the folder of the reference images.")
    images = {
        name: tifffile.imread(reference / f"{name}.tif")
        for name in ("raw", "raw_second_exposure", "noise_free", "truth", "psf")
    }
    pixel_size = 0.0626
    return Sample(
        raw=images["raw"],
        second_exposure=images["raw_second_exposure"],
        noise_free=images["noise_free"],
        truth=images["truth"],
        psf=PSF.from_array(images["psf"], voxel_size=(pixel_size / 2,) * 2),
        voxel_size=(pixel_size, pixel_size),
        noise=NoiseModel(offset=100.0, gain=1.0, read_variance=4.0),
        kind=REFERENCE,
    )


def measure(output: Output, sample: Sample) -> dict[str, Any]:
    """Score the results of both exposures; lengths in nanometres."""
    fine_pixel = sample.pixel_size / 2
    border = min(BORDER, sample.truth.shape[0] // 8)
    target = truth_at_resolution(sample.truth, TRUTH_FWHM, fine_pixel)
    denoised = score(output.denoised, sample.noise_free, border=border // 2)
    first = score(output.deconvolved, target, border=border)
    second = score(output.deconvolved_again, target, border=border)
    rings = fourier_ring_correlation(output.deconvolved, output.deconvolved_again, fine_pixel)
    result = {
        "denoised_psnr": denoised.psnr,
        "denoised_ssim": denoised.ssim,
        "psnr": first.psnr,
        "ssim": first.ssim,
        "psnr_second_exposure": second.psnr,
        "ssim_second_exposure": second.ssim,
        "flux_ratio": flux_ratio(output.deconvolved, sample.raw, sample.noise.offset),
        "frc_nm": 1000 * rings.resolution,
        "seconds": output.seconds,
        "cpu_seconds": output.cpu_seconds,
        "predict_seconds": output.predict_seconds,
        "note": output.note,
    }
    single = [p for p, d in zip(sample.paths, sample.separations, strict=True) if d == 0]
    if single:
        result["filament_nm"] = 1000 * filament_fwhm(output.deconvolved, single, fine_pixel)
    dips = two_line_separability(output.deconvolved, sample.paths, sample.separations, fine_pixel)
    if dips:
        result["two_lines_nm"] = 1000 * smallest_resolved(dips)
        result["dips"] = {f"{1000 * distance:.0f}": dip for distance, dip in dips.items()}
    return result


def pictures(output: Output, sample: Sample) -> dict[str, np.ndarray]:
    """Cut the middle out of every image on the fine grid, scaled to the truth."""
    target = truth_at_resolution(sample.truth, TRUTH_FWHM, sample.pixel_size / 2)
    corner = [max((n - CROP) // 2, 0) for n in target.shape]
    inside = tuple(slice(c, c + CROP) for c in corner)
    crops = {
        "raw": enlarge(sample.raw - float(sample.noise.offset)),
        "deconvolved": fit_intensity(output.deconvolved, target),
        "truth": target,
    }
    return {name: image[inside].astype(np.float32) for name, image in crops.items()}


def run_case(case: Case, reference: Path | None) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Compute and score one case in this process."""
    sample = load_sample(case, reference)
    with PeakMemory() as memory:
        output = METHODS[case.method](sample, case.steps, case.seed, case.device)
    scores = measure(output, sample)
    scores["peak_memory_mib"] = memory.bytes / 2**20
    return {"case": asdict(case), **scores}, pictures(output, sample)


def write_result(path: Path, result: dict[str, Any]) -> None:
    """Write whole or not at all, so that an interrupted run leaves no half result."""
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(result, indent=1) + "\n")
    os.replace(temporary, path)


def main() -> None:
    case = Case(**json.loads(sys.argv[1]))
    path = Path(sys.argv[2])
    reference = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    started = time.perf_counter()
    result, crops = run_case(case, reference)
    result["total_seconds"] = time.perf_counter() - started
    np.savez_compressed(path.with_suffix(".npz"), **crops)
    write_result(path, result)


if __name__ == "__main__":
    main()
