"""One case of a benchmark: a phantom, a number of photons and a method, scored.

Run as a script it computes one case in a process of its own, so that its peak memory is its
own: ``python cases.py '<case as JSON>' RESULT.json``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from held_out import HELD_OUT
from memory import PeakMemory
from methods import Output, Unavailable
from peer_methods import METHODS
from two_lines import smallest_resolved, two_line_separability
from yardstick import Yardstick

from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.quality.line_widths import filament_fwhm
from napari_zsdeconvnet.quality.reference_metrics import enlarge, fit_intensity, flux_ratio
from napari_zsdeconvnet.quality.ring_correlation import fourier_ring_correlation
from napari_zsdeconvnet.simulation.sample import Sample, camera, simulate, simulate_volume

REFERENCE = "reference"
REFERENCE_CAMERA = NoiseModel(offset=100.0, gain=1.0, read_variance=4.0)
CROP = 200


@dataclass(frozen=True)
class Case:
    """What is computed.

    Attributes
    ----------
    phantom
        One of `phantoms.PHANTOMS`, with planes one of `phantoms_3d.PHANTOMS_3D`, or
        "reference" for the images in a given folder.
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
    planes
        Of the raw volume; None for an image.
    """

    phantom: str
    photons: float
    method: str
    steps: int | None = None
    size: int = 512
    seed: int = 1
    device: str = "auto"
    preset: dict[str, Any] | None = None
    planes: int | None = None

    @property
    def axes(self) -> str:
        """Axes of the raw recording."""
        return "YX" if self.planes is None else "ZYX"

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
        depth = "" if self.planes is None else f"{self.planes}x"
        place = "" if self.device == "auto" else f"-{self.device.replace(':', '')}"
        return (
            f"{self.phantom}-{self.photons:g}-{self.method.replace(' ', '_')}{steps}"
            f"-{depth}{self.size}px-{self.seed}{place}"
        )


def load_sample(case: Case, reference: Path | None) -> Sample:
    """Simulate the phantom, or read the reference images."""
    if case.phantom == REFERENCE:
        if reference is None:
            raise SystemExit("The case 'reference' needs the folder of the reference images.")
        return _reference_image(reference) if case.planes is None else _reference_volume(reference)
    light: dict[str, Any] = {"photons": case.photons, "seed": case.seed}
    if case.planes is None:
        light |= HELD_OUT.get(case.phantom, {})
        return simulate(case.phantom, shape=(case.size, case.size), **light)
    return simulate_volume(case.phantom, shape=(case.planes, case.size, case.size), **light)


def _reference_image(folder: Path) -> Sample:
    """Read an image of 512x512 pixels and its truth on the doubled grid."""
    pixel_size = 0.0626
    return Sample(
        **_read(folder, "raw", "second_exposure", "noise_free", "truth"),
        psf=PSF.read(folder / "psf.tif", (pixel_size / 2,) * 2),
        voxel_size=(pixel_size, pixel_size),
        noise=REFERENCE_CAMERA,
        kind=REFERENCE,
    )


def _reference_volume(folder: Path) -> Sample:
    """Read a stack of 40x256x256 voxels; record it once more, as there is one exposure only."""
    images = _read(folder, "raw", "noise_free", "truth")
    voxel_size = (0.1852, 0.0926, 0.0926)
    # Its PSF has equal steps along all axes, half of the stack's along z; plane 13 is in focus.
    psf = tifffile.imread(folder / "psf.tif")[1::2]
    rng = np.random.default_rng(0)
    return Sample(
        **images,
        second_exposure=camera(images["noise_free"], REFERENCE_CAMERA, rng),
        psf=PSF.from_array(psf, voxel_size),
        voxel_size=voxel_size,
        noise=REFERENCE_CAMERA,
        kind=REFERENCE,
    )


def _read(folder: Path, *names: str) -> dict[str, np.ndarray]:
    files = {"second_exposure": "raw_second_exposure"}
    return {name: tifffile.imread(folder / f"{files.get(name, name)}.tif") for name in names}


def measure(output: Output, sample: Sample) -> dict[str, Any]:
    """Score the results of both exposures; lengths in nanometres."""
    yardstick, voxel_size = Yardstick(sample), sample.truth_voxel_size
    denoised = yardstick.denoised(output.denoised)
    first = yardstick.deconvolved(output.deconvolved)
    again = output.deconvolved_again
    second = None if again is None else yardstick.deconvolved(again)
    result = {
        "denoised_psnr": denoised.psnr,
        "denoised_ssim": denoised.ssim,
        "psnr": first.psnr,
        "ssim": first.ssim,
        "psnr_second_exposure": second and second.psnr,
        "ssim_second_exposure": second and second.ssim,
        "flux_ratio": flux_ratio(output.deconvolved, sample.raw, sample.noise.offset),
        "pixel_size": voxel_size[-1],
        "seconds": output.seconds,
        "cpu_seconds": output.cpu_seconds,
        "predict_seconds": output.predict_seconds,
        "note": output.note,
    }
    if output.version:
        result["version"] = output.version
    return result | (_widths(output, sample) if sample.axes == "ZYX" else _details(output, sample))


def _widths(output: Output, sample: Sample) -> dict[str, Any]:
    """Measure filaments in a volume, sideways and along z."""
    if not sample.paths:
        return {}
    grid = (sample.paths, sample.truth_voxel_size)
    return {
        "filament_nm": 1000 * filament_fwhm(output.deconvolved, *grid),
        "filament_axial_nm": 1000 * filament_fwhm(output.deconvolved, *grid, axial=True),
    }


def _details(output: Output, sample: Sample) -> dict[str, Any]:
    """Measure rings, filaments and pairs of lines in an image."""
    fine_pixel = sample.truth_voxel_size[-1]
    result: dict[str, Any] = {}
    if output.deconvolved_again is not None:
        pair = (output.deconvolved, output.deconvolved_again)
        result["frc_nm"] = 1000 * fourier_ring_correlation(*pair, fine_pixel).resolution
    single = [p for p, d in zip(sample.paths, sample.separations, strict=True) if d == 0]
    if single:
        result["filament_nm"] = 1000 * filament_fwhm(output.deconvolved, single, fine_pixel)
    dips = two_line_separability(output.deconvolved, sample.paths, sample.separations, fine_pixel)
    if dips:
        result["two_lines_nm"] = 1000 * smallest_resolved(dips)
        result["dips"] = {f"{1000 * distance:.0f}": dip for distance, dip in dips.items()}
    return result


def pictures(
    output: Output, sample: Sample, yardstick: Yardstick | None = None
) -> dict[str, np.ndarray]:
    """Cut the middle out of every image on the output grid, scaled to the truth."""
    target = (yardstick or Yardstick(sample)).target
    raw = sample.raw - float(sample.noise.offset)
    images = {
        "raw": raw if sample.upsampling == 1 else enlarge(raw),
        "deconvolved": fit_intensity(output.deconvolved, target),
        "truth": target,
    }
    show = _middle if sample.axes == "YX" else partial(_middle_of_volume, sample=sample)
    return {name: show(image).astype(np.float32) for name, image in images.items()}


def _middle(image: np.ndarray) -> np.ndarray:
    corner = [max((n - CROP) // 2, 0) for n in image.shape]
    return image[tuple(slice(c, c + CROP) for c in corner)]


def _middle_of_volume(volume: np.ndarray, sample: Sample) -> np.ndarray:
    """Show the middle plane, and below it a cut along z through its middle row."""
    plane = _middle(volume[len(volume) // 2])
    cut = volume[:, volume.shape[1] // 2]
    step, _, pixel = sample.truth_voxel_size
    rows = (np.arange(round(len(cut) * step / pixel)) * pixel / step).astype(int)
    left = max((cut.shape[1] - CROP) // 2, 0)
    line = np.full((2, plane.shape[1]), plane.max())
    return np.concatenate([plane, line, cut[rows, left : left + CROP]])


def run_case(case: Case, reference: Path | None) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Compute and score one case in this process."""
    sample = load_sample(case, reference)
    with PeakMemory() as memory:
        try:
            output = METHODS[case.method](sample, case.steps, case.seed, case.device)
        except Unavailable as error:
            return {"case": asdict(case), "unavailable": str(error)}, {}
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
    if crops:
        np.savez_compressed(path.with_suffix(".npz"), **crops)
    write_result(path, result)


if __name__ == "__main__":
    main()
