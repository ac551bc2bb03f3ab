"""The same with structured illumination: simulate, estimate, reconstruct, train, score."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...io.image import Image
from ...io.image_files import write_image
from ...noise.noise_model import NoiseModel
from ...physics.classical_deconvolution import richardson_lucy
from ...quality.pictures import side_by_side
from ...quality.reference_metrics import (
    filament_fwhm,
    fit_intensity,
    fourier_ring_correlation,
    psnr,
    score,
    truth_at_resolution,
)
from ...sim.estimation import estimate
from ...sim.reconstruction import Reconstruction
from ...simulation.raw_sim import SIMSample, simulate_sim
from ...utils.files import make_folder
from ..commands.files import write_json
from ..commands.summaries import show_noise, show_patterns, show_psf
from ..commands.train import follow
from ..console import Console, Interrupted
from .scores import Row, closest_iteration, show

_FOLDER = "zsdeconvnet-demo-sim"
_TRUTH_FWHM = 0.08  # micrometres
_BORDER = 24  # output pixels left out at each side
_ZOOM = (0.4, 0.4, 0.2)
_COLUMNS = ("PSNR", "SSIM", "filament", "resolution", "time")
_NOTES = (
    "PSNR and SSIM against the truth at 80 nm; resolution by Fourier ring correlation of two "
    "exposures, for all but\nwidefield and Wiener SIM an optimistic bound."
)


def run_sim_demo(arguments: argparse.Namespace, console: Console) -> None:
    """Take simulated raw SIM the whole way, and compare with the truth.

    Parameters
    ----------
    arguments
        The command line: output, size, photons, preset, steps, seed, device.
    console
        Where words, progress and the table go.

    Raises
    ------
    InputError
        If the folder cannot be written, or an argument cannot be used.
    Interrupted
        After Ctrl-C; what was written so far stays.
    """
    folder = make_folder(arguments.output or _FOLDER)
    size = arguments.size or 256
    sample = simulate_sim(
        "filaments", shape=(size, size), photons=arguments.photons, seed=arguments.seed or 0
    )
    console.say(f"Simulated filaments: 9 frames of {size} x {size}, {arguments.photons:g} photons.")
    raw = (sample.pixel_size,) * 2
    fine = (sample.pixel_size / 2,) * 2
    for name in ("raw", "second_exposure", "noise_free"):
        write_image(folder / f"{name}.tif", getattr(sample, name), axes="TYX", voxel_size=raw)
    write_image(folder / "truth.tif", sample.truth, axes="YX", voxel_size=fine)

    console.say("Noise, measured on the raw frames:")
    noise = NoiseModel.from_image(
        Image(sample.raw, "TYX", name="the raw frames"),
        cutoff=2 * sample.na / sample.wavelength * sample.pixel_size,
    )
    show_noise(noise, console)
    write_json(folder / "noise.json", noise.to_dict())
    started = time.perf_counter()
    patterns = estimate(
        sample.raw,
        pixel_size=sample.pixel_size,
        na=sample.na,
        wavelength=sample.wavelength,
        offset=noise.offset,
    )
    show_patterns(patterns, "the raw frames", console)
    patterns.save(folder / "patterns.json")
    operator = Reconstruction(patterns)
    psf = operator.psf()
    show_psf(psf, console)
    psf.write(folder / "psf.tif")
    exposures = [image - np.float32(noise.offset) for image in (sample.raw, sample.second_exposure)]
    wiener, wiener_again = (operator(exposure) for exposure in exposures)
    reconstructing = time.perf_counter() - started
    widefield, widefield_again = (operator.widefield(exposure) for exposure in exposures)

    ours, ours_again, model, device, seconds = _trained(
        sample, operator, noise, arguments, folder, console
    )
    console.say("Deconvolving by Richardson-Lucy up to its best iteration by the truth.")
    judge = _Judge(sample)
    # What lies below zero in a Wiener image is noise, and is cut off by Richardson-Lucy.
    nothing = NoiseModel(offset=0.0, gain=1.0, read_variance=0.0)
    best, deconvolving = closest_iteration(wiener, psf, nothing, judge.closeness, upsampling=1)
    lucy_again = richardson_lucy(wiener_again, psf, nothing, iterations=best.number, upsampling=1)
    lucy = f"Wiener SIM + Richardson-Lucy, {best.number} iterations"
    rows = [
        judge.row("widefield", widefield, widefield_again, None),
        judge.row("Wiener SIM", wiener, wiener_again, reconstructing),
        judge.row(lucy, best.estimate, lucy_again, reconstructing + deconvolving),
        judge.row(f"ours, {model.preset}, {model.steps_trained} steps", ours, ours_again, seconds),
    ]
    images = {
        "widefield": widefield,
        "wiener": wiener,
        "richardson_lucy": best.estimate,
        "deconvolved": ours,
    }
    for name, image in images.items():
        write_image(folder / f"{name}.tif", image, axes="YX", voxel_size=fine)
    captions = ("Widefield", "Wiener SIM", "Wiener + Richardson-Lucy", "ZS-DeconvNet-SIM")
    side_by_side(
        [*images.values(), judge.truth],
        [
            *(
                f"{caption}\n{row.psnr:.1f} dB, {row.ssim:.3f}"
                for caption, row in zip(captions, rows, strict=True)
            ),
            "Truth\nat 80 nm",
        ],
        folder / "comparison.png",
        pixel_sizes=fine[0],
        zoom=_ZOOM,
        panel_width=384,
    )
    scores = {"device": device, "rows": [asdict(row) for row in rows]}
    write_json(folder / "scores.json", scores)

    console.say("")
    show(rows, _COLUMNS, console)
    console.say(f"{_NOTES} Computed on {device}.")
    console.say(f"Images, patterns, model and comparison.png are in {folder}.")
    console.result(
        {
            "folder": str(folder),
            "noise": noise.to_dict(),
            "patterns": patterns.to_dict(),
            **scores,
        }
    )


class _Judge:
    """Compares images on the fine grid with the truth of a sample."""

    def __init__(self, sample: SIMSample) -> None:
        self._paths = sample.paths
        self._pixel = sample.pixel_size / 2
        self.truth = truth_at_resolution(sample.truth, _TRUTH_FWHM, self._pixel)
        self._border = min(_BORDER, self.truth.shape[0] // 8)

    def closeness(self, image: ArrayLike) -> float:
        """PSNR alone, for a search through many results."""
        inside = (slice(self._border, -self._border),) * 2
        truth = self.truth[inside]
        return psnr(fit_intensity(np.asarray(image)[inside], truth), truth, float(np.ptp(truth)))

    def row(
        self,
        method: str,
        image: NDArray[np.floating],
        again: NDArray[np.floating],
        seconds: float | None,
    ) -> Row:
        """Score what a method made of two exposures."""
        scores = score(image, self.truth, border=self._border)
        rings = fourier_ring_correlation(image, again, self._pixel)
        return Row(
            method=method,
            psnr=scores.psnr,
            ssim=scores.ssim,
            denoised_psnr=None,
            filament_nm=1000 * filament_fwhm(image, self._paths, (self._pixel,) * 2),
            axial_nm=None,
            resolution_nm=1000 * rings.resolution,
            light=None,
            seconds=seconds,
        )


def _trained(
    sample: SIMSample,
    operator: Reconstruction,
    noise: NoiseModel,
    arguments: argparse.Namespace,
    folder: Path,
    console: Console,
) -> tuple[NDArray[np.float32], NDArray[np.float32], Any, str, float]:
    """Train on the raw frames alone, then predict both exposures."""
    from ...modes.sim_training import predict_sim, train_sim

    started = time.perf_counter()
    run = train_sim(
        sample.raw,
        operator,
        noise,
        preset=arguments.preset,
        steps=arguments.steps,
        seed=arguments.seed or 0,
        device=arguments.device,
        preview_every=0,
    )
    last = follow(run, console)
    run.save(folder / "model.safetensors")
    if not last.finished:
        raise Interrupted(f"the model of step {last.step} is in {folder}.")
    ours = predict_sim(run.model, sample.raw, noise, device=arguments.device).deconvolved
    seconds = time.perf_counter() - started
    again = predict_sim(
        run.model, sample.second_exposure, noise, device=arguments.device
    ).deconvolved
    return ours, again, run.model, last.device, seconds
