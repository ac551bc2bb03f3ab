"""The whole way on a simulated image whose truth is known: `zsdeconvnet demo`."""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .classical import iterate_richardson_lucy
from .commands import follow, make_folder, measured_noise, show_noise, show_psf, write_json
from .console import Console, Interrupted
from .image_files import write_image
from .noise import NoiseModel
from .pictures import side_by_side
from .psf import PSF
from .quality import (
    enlarge,
    filament_fwhm,
    fourier_ring_correlation,
    score,
    truth_at_resolution,
)
from .simulation import Sample, simulate

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NA, _WAVELENGTH = 1.3, 0.525
_TRUTH_FWHM = 0.1  # micrometres; at this resolution results are compared with the truth
_MOST_ITERATIONS = 60
_PATIENCE = 8  # iterations without a better score after which Richardson-Lucy ends
_ZOOM = (0.4, 0.4, 0.2)


@dataclass(frozen=True)
class Row:
    """Scores of one method on the doubled grid.

    Attributes
    ----------
    method
        What made the image.
    psnr, ssim
        Against the truth at 100 nm, after one linear fit of the intensities.
    denoised_psnr
        Of the image on the raw grid against the noise-free one.
    filament_nm
        Median full width at half maximum across the filaments, whose true width is zero.
    resolution_nm
        Where the Fourier rings of two exposures cease to agree.
    seconds
        What the method took, training included; None where there was nothing to do.
    """

    method: str
    psnr: float
    ssim: float
    denoised_psnr: float
    filament_nm: float
    resolution_nm: float
    seconds: float | None


@dataclass(frozen=True, eq=False)
class _Output:
    """What a method makes of both exposures."""

    fine: NDArray[np.floating]
    coarse: NDArray[np.floating]
    fine_again: NDArray[np.floating]
    seconds: float | None = None


def run_demo(arguments: argparse.Namespace, console: Console) -> None:
    """Simulate, calibrate, train, predict, score, and write every image on the way.

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
    folder = make_folder(arguments.output)
    seed = arguments.seed or 0
    console.say(
        f"Simulating filaments: {arguments.size} x {arguments.size} pixels, "
        f"{arguments.photons:g} photons."
    )
    sample = simulate(
        "filaments",
        shape=(arguments.size, arguments.size),
        photons=arguments.photons,
        na=_NA,
        wavelength=_WAVELENGTH,
        seed=seed,
    )
    fine_pixel = sample.pixel_size / 2
    _write(folder / "raw.tif", sample.raw, sample.pixel_size)
    _write(folder / "second_exposure.tif", sample.second_exposure, sample.pixel_size)
    _write(folder / "noise_free.tif", sample.noise_free, sample.pixel_size)
    _write(folder / "truth.tif", sample.truth, fine_pixel)

    console.say("Noise, measured on the image:")
    noise = measured_noise(
        sample.raw[None], cutoff=2 * _NA / _WAVELENGTH * sample.pixel_size, name="the raw image"
    )
    show_noise(noise, console)
    write_json(folder / "noise.json", noise.to_dict())

    psf = PSF.simulate(na=_NA, wavelength=_WAVELENGTH, pixel_size=fine_pixel)
    show_psf(psf, console)
    psf.write(folder / "psf.tif")

    ours, model, device = _ours(sample, psf, noise, arguments, folder, console)
    console.say("Deconvolving by Richardson-Lucy up to its best iteration by the truth.")
    classical, iterations = _richardson_lucy(sample, psf, noise)
    outputs = {
        "raw, 2x bicubic": _raw(sample, noise),
        f"Richardson-Lucy, {iterations} iterations": classical,
        f"ours, {model.preset}, {model.steps_trained} steps": ours,
    }
    rows = [_row(method, output, sample) for method, output in outputs.items()]

    _write(folder / "richardson_lucy.tif", classical.fine, fine_pixel)
    _write(folder / "denoised.tif", ours.coarse, sample.pixel_size)
    _write(folder / "deconvolved.tif", ours.fine, fine_pixel)
    _draw(folder / "comparison.png", sample, outputs, rows)
    scores = {"device": device, "rows": [asdict(row) for row in rows]}
    write_json(folder / "scores.json", scores)

    console.say("")
    _show(rows, console)
    console.say(
        "PSNR and SSIM against the truth at 100 nm; denoised against the noise-free image; "
        "resolution by Fourier ring\ncorrelation of two exposures, for all but the raw image "
        f"an optimistic bound. Computed on {device}."
    )
    console.say(f"Images, model and comparison.png are in {folder}.")
    console.result({"folder": str(folder), "noise": noise.to_dict(), **scores})


def _ours(
    sample: Sample,
    psf: PSF,
    noise: NoiseModel,
    arguments: argparse.Namespace,
    folder: Path,
    console: Console,
) -> tuple[_Output, Any, str]:
    """Train on the raw image alone, then predict both exposures."""
    from .training import train

    started = time.perf_counter()
    run = train(
        sample.raw,
        psf,
        noise,
        voxel_size=(sample.pixel_size, sample.pixel_size),
        preset=arguments.preset,
        steps=arguments.steps,
        seed=arguments.seed or 0,
        device=arguments.device,
    )
    last = follow(run, console)
    run.save(folder / "model.safetensors")
    if last.step < last.steps:
        raise Interrupted(f"the model of step {last.step} is in {folder}.")
    result = run.model.predict(sample.raw, device=arguments.device)
    seconds = time.perf_counter() - started
    again = run.model.predict(sample.second_exposure, device=arguments.device)
    output = _Output(result.deconvolved, result.denoised, again.deconvolved, seconds)
    return output, run.model, last.device


def _raw(sample: Sample, noise: NoiseModel) -> _Output:
    signal, again = (
        image.astype(np.float32) - np.float32(noise.offset)
        for image in (sample.raw, sample.second_exposure)
    )
    return _Output(enlarge(signal), signal, enlarge(again))


def _richardson_lucy(sample: Sample, psf: PSF, noise: NoiseModel) -> tuple[_Output, int]:
    """Take the iteration that comes closest to the truth, which no user could know."""
    truth = _soft_truth(sample)
    best = None
    best_psnr = -math.inf
    seconds = 0.0
    started = time.perf_counter()
    for state in iterate_richardson_lucy(sample.raw, psf, noise):
        elapsed = time.perf_counter() - started
        psnr = score(state.estimate, truth, border=_border(sample)).psnr
        if psnr > best_psnr:
            best, best_psnr = state, psnr
            seconds = elapsed
        started = time.perf_counter() - elapsed  # the scoring does not count
        if best is None or state.number >= min(best.number + _PATIENCE, _MOST_ITERATIONS):
            break
    assert best is not None
    again = next(
        state
        for state in iterate_richardson_lucy(sample.second_exposure, psf, noise)
        if state.number == best.number
    )
    return _Output(best.estimate, best.reblurred, again.estimate, seconds), best.number


def _row(method: str, output: _Output, sample: Sample) -> Row:
    border = _border(sample)
    against_truth = score(output.fine, _soft_truth(sample), border=border)
    denoised = score(output.coarse, sample.noise_free, border=border // 2)
    pixel = sample.pixel_size / 2
    rings = fourier_ring_correlation(output.fine, output.fine_again, pixel)
    return Row(
        method=method,
        psnr=against_truth.psnr,
        ssim=against_truth.ssim,
        denoised_psnr=denoised.psnr,
        filament_nm=1000 * filament_fwhm(output.fine, sample.paths, pixel),
        resolution_nm=1000 * rings.resolution,
        seconds=output.seconds,
    )


def _soft_truth(sample: Sample) -> NDArray[np.float64]:
    return truth_at_resolution(sample.truth, _TRUTH_FWHM, sample.pixel_size / 2)


def _border(sample: Sample) -> int:
    """Leave out 32 output pixels on every side, and fewer of a very small image."""
    return min(32, len(sample.truth) // 8)


def _show(rows: list[Row], console: Console) -> None:
    console.table(
        ("", "PSNR", "SSIM", "denoised", "filament", "resolution", "time"),
        [
            (
                row.method,
                f"{row.psnr:.1f} dB",
                f"{row.ssim:.3f}",
                f"{row.denoised_psnr:.1f} dB",
                f"{row.filament_nm:.0f} nm",
                f"{row.resolution_nm:.0f} nm",
                "" if row.seconds is None else f"{row.seconds:.1f} s",
            )
            for row in rows
        ],
    )


def _draw(path: Path, sample: Sample, outputs: dict[str, _Output], rows: list[Row]) -> None:
    ours = list(outputs.values())[-1]
    raw, classical, deconvolved = rows
    fine = sample.pixel_size / 2
    panels: list[tuple[Any, str, float]] = [
        (sample.raw, f"Raw\n{raw.denoised_psnr:.1f} dB", sample.pixel_size),
        (ours.coarse, f"Denoised\n{deconvolved.denoised_psnr:.1f} dB", sample.pixel_size),
        (
            outputs[classical.method].fine,
            f"Richardson-Lucy\n{classical.psnr:.1f} dB, {classical.ssim:.3f}",
            fine,
        ),
        (ours.fine, f"Deconvolved\n{deconvolved.psnr:.1f} dB, {deconvolved.ssim:.3f}", fine),
        (_soft_truth(sample), "Truth\nat 100 nm", fine),
    ]
    images, labels, pixel_sizes = zip(*panels, strict=True)
    side_by_side(images, labels, path, pixel_sizes=pixel_sizes, zoom=_ZOOM, panel_width=384)


def _write(path: Path, image: NDArray[Any], pixel_size: float) -> None:
    write_image(path, image, axes="YX", voxel_size=(pixel_size, pixel_size))
