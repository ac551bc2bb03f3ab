"""Simulate, calibrate, train, predict, score, and write every image on the way."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...io.image import Image
from ...io.image_files import write_image
from ...noise.noise_model import NoiseModel
from ...physics.classical_deconvolution import richardson_lucy
from ...psf.psf import PSF
from ...quality.reference_metrics import enlarge
from ...simulation.sample import Sample
from ...utils.files import make_folder
from ..commands.files import write_json
from ..commands.noise import measured_noise
from ..commands.summaries import show_noise, show_psf
from ..commands.train import follow
from ..console import Console, Interrupted
from .scenes import IMAGE, VOLUME, Panel
from .scores import Judge, Output, Row, closest_iteration, show


def run_demo(arguments: argparse.Namespace, console: Console) -> None:
    """Take a simulated image or volume the whole way, and compare with the truth.

    Parameters
    ----------
    arguments
        The command line: volume, output, size, planes, photons, preset, steps, seed, device.
    console
        Where words, progress and the table go.

    Raises
    ------
    InputError
        If the folder cannot be written, or an argument cannot be used.
    Interrupted
        After Ctrl-C; what was written so far stays.
    """
    scene = VOLUME if arguments.volume else IMAGE
    folder = make_folder(arguments.output or scene.folder)
    sample = scene.sample(arguments, scene)
    shape = " x ".join(str(length) for length in sample.raw.shape)
    unit = "voxels" if arguments.volume else "pixels"
    console.say(f"Simulated filaments: {shape} {unit}, {arguments.photons:g} photons.")
    _write(sample, folder / "raw.tif", sample.raw)
    _write(sample, folder / "second_exposure.tif", sample.second_exposure)
    _write(sample, folder / "noise_free.tif", sample.noise_free)
    _write(sample, folder / "truth.tif", sample.truth)

    console.say("Noise, measured on the image:")
    noise = measured_noise(
        Image(sample.raw, sample.axes, name="the raw image"),
        cutoff=2 * scene.na / scene.wavelength * sample.pixel_size,
    )
    show_noise(noise, console)
    judge = Judge(scene, sample, noise)
    write_json(folder / "noise.json", noise.to_dict())

    psf = scene.psf(sample)
    show_psf(psf, console)
    psf.write(folder / "psf.tif")

    ours, model, device = _ours(sample, psf, noise, arguments, folder, console)
    console.say("Deconvolving by Richardson-Lucy up to its best iteration by the truth.")
    classical, iterations = _richardson_lucy(judge, psf, noise)
    outputs = {
        "raw" if sample.upsampling == 1 else "raw, 2x bicubic": _raw(sample, noise),
        f"Richardson-Lucy, {iterations} iterations": classical,
        f"ours, {model.preset}, {model.steps_trained} steps": ours,
    }
    rows = [judge.row(method, output) for method, output in outputs.items()]

    _write(sample, folder / "richardson_lucy.tif", classical.fine)
    _write(sample, folder / "denoised.tif", ours.coarse)
    _write(sample, folder / "deconvolved.tif", ours.fine)
    scene.draw(_panels(judge, classical, ours, rows), judge.truth, folder / "comparison.png")
    scores = {"device": device, "rows": [asdict(row) for row in rows]}
    write_json(folder / "scores.json", scores)

    console.say("")
    show(rows, scene.columns, console)
    console.say(f"{scene.notes} Computed on {device}.")
    console.say(f"Images, model and comparison.png are in {folder}.")
    console.result({"folder": str(folder), "noise": noise.to_dict(), **scores})


def _ours(
    sample: Sample,
    psf: PSF,
    noise: NoiseModel,
    arguments: argparse.Namespace,
    folder: Path,
    console: Console,
) -> tuple[Output, Any, str]:
    """Train on the raw image alone, then predict; of images both exposures."""
    from ...training.trainer import train

    started = time.perf_counter()
    raw, again = (
        Image(exposure, sample.axes, sample.voxel_size, "the raw image")
        for exposure in (sample.raw, sample.second_exposure)
    )
    run = train(
        raw,
        psf,
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
    result = run.model.predict(raw, device=arguments.device)
    seconds = time.perf_counter() - started
    second = None
    if "Z" not in sample.axes:
        second = run.model.predict(again, device=arguments.device).deconvolved
    return Output(result.deconvolved, result.denoised, second, seconds), run.model, last.device


def _raw(sample: Sample, noise: NoiseModel) -> Output:
    signal, again = (
        image.astype(np.float32) - np.float32(noise.offset)
        for image in (sample.raw, sample.second_exposure)
    )
    if sample.upsampling == 1:
        return Output(signal, signal)
    return Output(enlarge(signal), signal, enlarge(again))


def _richardson_lucy(judge: Judge, psf: PSF, noise: NoiseModel) -> tuple[Output, int]:
    """Take the iteration that comes closest to the truth, which no user could know."""
    sample = judge.sample
    best, seconds = closest_iteration(sample.raw, psf, noise, judge.closeness)
    second = None
    if "Z" not in sample.axes:
        second = richardson_lucy(sample.second_exposure, psf, noise, iterations=best.number)
    return Output(best.estimate, best.reblurred, second, seconds), best.number


def _panels(judge: Judge, classical: Output, ours: Output, rows: list[Row]) -> list[Panel]:
    """Choose what the picture shows, with the scores in the captions."""
    sample, (raw, lucy, deconvolved) = judge.sample, rows
    coarse, fine = sample.voxel_size, sample.truth_voxel_size
    nanometres = sorted({round(1000 * width) for width in judge.scene.truth_fwhm})
    resolution = " and ".join(str(width) for width in nanometres)
    return [
        Panel(sample.raw, f"Raw\n{raw.denoised_psnr:.1f} dB", coarse),
        Panel(ours.coarse, f"Denoised\n{deconvolved.denoised_psnr:.1f} dB", coarse),
        Panel(classical.fine, f"Richardson-Lucy\n{_caption(lucy)}", fine),
        Panel(ours.fine, f"Deconvolved\n{_caption(deconvolved)}", fine),
        Panel(judge.truth, f"Truth\nat {resolution} nm", fine),
    ]


def _caption(row: Row) -> str:
    return f"{row.psnr:.1f} dB, {row.ssim:.3f}"


def _write(sample: Sample, path: Path, image: NDArray[Any]) -> None:
    """Write an image on the raw grid of a sample, or on that of its truth."""
    raw = image.shape == sample.raw.shape
    size = sample.voxel_size if raw else sample.truth_voxel_size
    write_image(path, image, axes=sample.axes, voxel_size=size)
