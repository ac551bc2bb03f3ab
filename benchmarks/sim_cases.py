"""One case of the benchmark of structured illumination, in a process of its own.

``python sim_cases.py PART '<case as JSON>' RESULT.json``, where the part is images, volumes,
checks, recordings or speed.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import methods
import numpy as np
import sim_methods
import torch
from artefacts import pattern_power
from cases import Case, pictures, write_result
from memory import PeakMemory
from sim_checks import on_a_seed, on_recordings
from yardstick import Yardstick

from napari_zsdeconvnet.quality.line_widths import filament_fwhm
from napari_zsdeconvnet.quality.reference_metrics import flux_ratio
from napari_zsdeconvnet.quality.ring_correlation import fourier_ring_correlation
from napari_zsdeconvnet.sim.estimation import estimate
from napari_zsdeconvnet.sim.reconstruction import Reconstruction
from napari_zsdeconvnet.simulation.raw_sim import simulate_sim
from napari_zsdeconvnet.simulation.raw_sim_3d import simulate_sim_volume

VOLUME_FWHM = (0.15, 0.06, 0.06)
"""Resolution of the truth of volumes in micrometres: rather more than half of the SIM PSF's."""

VOLUME_METHODS = {
    "input": methods.raw,
    "RL best": methods.richardson_lucy_best,
    "sim": methods.trained("sim"),
}

Images = dict[str, np.ndarray]


def reconstruction_settings() -> dict[str, Any]:
    """Return the defaults of the operator, so that a change of them makes a new case."""
    parameters = inspect.signature(Reconstruction).parameters.values()
    return {p.name: p.default for p in parameters if isinstance(p.default, float)}


def image_case(case: Case) -> tuple[dict[str, Any], Images]:
    """Compute and score a method on simulated raw frames."""
    sample = simulate_sim(
        case.phantom, shape=(case.size, case.size), photons=case.photons, seed=case.seed
    )
    with PeakMemory() as memory:
        recording = sim_methods.Recording.of(sample)
        output = sim_methods.METHODS[case.method](recording, case.steps, case.seed)
    yardstick, pixel = recording.yardstick, sample.pixel_size / 2
    scores = _scores(output, yardstick) | _denoised(case, output, yardstick)
    scores["flux_ratio"] = flux_ratio(output.deconvolved, sample.raw, sample.noise.offset)
    if case.method != "widefield":  # whose spectrum ends about where the patterns are
        power = pattern_power(output.deconvolved, sample.truth, sample.patterns)
        scores["pattern_power"] = 100 * power
    rings = fourier_ring_correlation(output.deconvolved, output.deconvolved_again, pixel)
    scores["frc_nm"] = 1000 * rings.resolution
    if sample.paths:
        scores["filament_nm"] = 1000 * filament_fwhm(output.deconvolved, sample.paths, pixel)
    scores["peak_memory_mib"] = memory.bytes / 2**20
    drawn = pictures(output, recording.plain, yardstick)
    if case.method == "widefield":
        drawn["raw"] = drawn["deconvolved"]
    return scores, drawn


def volume_case(case: Case) -> tuple[dict[str, Any], Images]:
    """Compute and score a method on a simulated reconstructed stack."""
    assert case.planes is not None
    shape = (case.planes, case.size, case.size)
    sample = simulate_sim_volume(case.phantom, shape=shape, photons=case.photons, seed=case.seed)
    yardstick = Yardstick(sample, VOLUME_FWHM)
    with PeakMemory() as memory:
        if case.method == "RL best":
            output = methods.richardson_lucy_best(sample, None, case.seed, "cpu", yardstick)
        else:
            output = VOLUME_METHODS[case.method](sample, case.steps, case.seed, "cpu")
    scores = _scores(output, yardstick) | _denoised(case, output, yardstick)
    scores["flux_ratio"] = flux_ratio(output.deconvolved, sample.raw, 0.0)
    scores["peak_memory_mib"] = memory.bytes / 2**20
    return scores, pictures(output, sample, yardstick)


def _scores(output: methods.Output, yardstick: Yardstick) -> dict[str, Any]:
    first = yardstick.deconvolved(output.deconvolved)
    second = yardstick.deconvolved(output.deconvolved_again)
    return {
        "psnr": first.psnr,
        "ssim": first.ssim,
        "psnr_second_exposure": second.psnr,
        "ssim_second_exposure": second.ssim,
        "truth_fwhm": yardstick.resolution,
        "pixel_size": yardstick.sample.truth_voxel_size[-1],
        "seconds": output.seconds,
        "cpu_seconds": output.cpu_seconds,
        "predict_seconds": output.predict_seconds,
        "note": output.note,
    }


def _denoised(case: Case, output: methods.Output, yardstick: Yardstick) -> dict[str, Any]:
    """Score what shows the image at its own resolution: not the widefield one."""
    if case.method == "widefield":
        return {"denoised_psnr": None, "denoised_ssim": None}
    scores = yardstick.denoised(output.denoised)
    return {"denoised_psnr": scores.psnr, "denoised_ssim": scores.ssim}


def speed(size: int, threads: int, repeats: int = 5) -> dict[str, Any]:
    """Time what happens before training: the fastest of several runs."""
    torch.set_num_threads(threads)
    sample = simulate_sim(shape=(size, size), photons=100.0, seed=1)
    signal = sample.raw - float(sample.noise.offset)

    def found() -> Any:
        return estimate(
            sample.raw,
            pixel_size=sample.pixel_size,
            na=sample.na,
            wavelength=sample.wavelength,
            offset=sample.noise,
        )

    patterns = found()
    known = Reconstruction(patterns)
    known(signal)
    timed: dict[str, Callable[[], Any]] = {
        "estimate": found,
        "first_reconstruction": lambda: Reconstruction(patterns)(signal),
        "further_reconstruction": lambda: known(signal),
    }
    return {name: min(_seconds(work) for _ in range(repeats)) for name, work in timed.items()}


def _seconds(work: Callable[[], Any]) -> tuple[float, float]:
    """Time by the clock, and of the processor with all threads."""
    with methods.Stopwatch() as watch:
        work()
    return watch.seconds, watch.cpu_seconds


def main() -> None:
    part, case, path = sys.argv[1], json.loads(sys.argv[2]), Path(sys.argv[3])
    crops: Images = {}
    if part == "checks":
        result = on_a_seed(case["seed"], case["size"], case["draws"])
    elif part == "recordings":
        result = on_recordings(Path(sys.argv[4]))
    elif part == "speed":
        result = speed(case["size"], case["threads"])
    else:
        compute = image_case if part == "images" else volume_case
        result, crops = compute(Case(**case))
        case = asdict(Case(**case))
    if crops:
        np.savez_compressed(path.with_suffix(".npz"), **crops)
    write_result(path, {"case": case, **result})


if __name__ == "__main__":
    main()
