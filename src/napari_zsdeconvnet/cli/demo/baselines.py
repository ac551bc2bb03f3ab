"""What classical methods make of the simulated recordings, beside which ours is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...noise.noise_model import NoiseModel
from ...physics.classical_deconvolution import richardson_lucy
from ...psf.psf import PSF
from ...quality.reference_metrics import enlarge
from .scores import Judge, Output, Row, closest_iteration

if TYPE_CHECKING:
    from ...modes.base import Mode


@dataclass(frozen=True, eq=False)
class Panel:
    """A picture to be shown: the image, its caption and its voxel size."""

    image: NDArray[Any]
    caption: str
    voxel_size: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Baseline:
    """What a classical method has made.

    Attributes
    ----------
    output
        Its image.
    caption
        In the picture.
    file
        Name of its file, without an ending; empty for none.
    raw
        What the picture shows in its place.
    """

    output: Output
    caption: str
    file: str = ""
    raw: NDArray[Any] | None = None


def of_images(judge: Judge, psf: PSF, mode: Mode) -> dict[str, Baseline]:
    """Enlarge the raw image, and deconvolve it by Richardson-Lucy.

    The iteration is the one that comes closest to the truth, which no user could know.
    """
    sample, noise = judge.sample, judge.noise
    signal, again = (
        image.astype(np.float32) - np.float32(noise.offset)
        for image in (sample.raw, sample.second_exposure)
    )
    raw, name = Output(signal, signal), "raw"
    if sample.upsampling > 1:
        raw, name = Output(enlarge(signal), signal, enlarge(again)), "raw, 2x bicubic"
    lucy = _richardson_lucy(judge, psf, noise, (sample.raw, sample.second_exposure), reblurred=True)
    return {name: Baseline(raw, "Raw", raw=sample.raw), **lucy}


def of_frames(judge: Judge, psf: PSF, mode: Mode) -> dict[str, Baseline]:
    """Average the raw frames, reconstruct them, and deconvolve that by Richardson-Lucy."""
    sample, operator = judge.sample, mode.reconstruction  # type: ignore[attr-defined]
    exposures = [
        image - np.float32(judge.noise.offset) for image in (sample.raw, sample.second_exposure)
    ]
    wide, wiener = (
        [make(exposure) for exposure in exposures] for make in (operator.widefield, operator)
    )
    # What lies below zero in a Wiener image is noise, and is cut off by Richardson-Lucy.
    nothing = NoiseModel(offset=0.0, gain=1.0, read_variance=0.0)
    lucy = _richardson_lucy(judge, psf, nothing, (wiener[0], wiener[1]), upsampling=1)
    plain = Output(wiener[0], None, wiener[1], judge.reconstructing)
    return {
        "widefield": Baseline(Output(wide[0], None, wide[1]), "Widefield", "widefield"),
        "Wiener SIM": Baseline(plain, "Wiener SIM", "wiener"),
        **{f"Wiener SIM + {name}": one for name, one in lucy.items()},
    }


def _richardson_lucy(
    judge: Judge,
    psf: PSF,
    noise: NoiseModel,
    exposures: tuple[NDArray[Any], NDArray[Any]],
    *,
    reblurred: bool = False,
    upsampling: int | None = None,
) -> dict[str, Baseline]:
    best, seconds = closest_iteration(
        exposures[0], psf, noise, judge.closeness, upsampling=upsampling
    )
    again = None
    if judge.scene.axes == "YX":
        again = richardson_lucy(
            exposures[1], psf, noise, iterations=best.number, upsampling=upsampling
        )
    output = Output(
        best.estimate, best.reblurred if reblurred else None, again, judge.reconstructing + seconds
    )
    name = f"Richardson-Lucy, {best.number} iterations"
    return {name: Baseline(output, "Richardson-Lucy", "richardson_lucy")}


def panels_of(
    judge: Judge, baselines: Sequence[Baseline], ours: Output, rows: Sequence[Row]
) -> list[Panel]:
    """Choose what the picture shows, with the scores in the captions."""
    sample = judge.sample
    coarse, fine = sample.voxel_size, sample.truth_voxel_size
    panels = []
    for one, row in zip(baselines, rows, strict=False):
        shown, size = (one.output.fine, fine) if one.raw is None else (one.raw, coarse)
        denoised = f"{row.denoised_psnr:.1f} dB" if one.raw is not None else _caption(row)
        panels.append(Panel(shown, f"{one.caption}\n{denoised}", size))
    if judge.scene.has_raw_grid:
        caption = f"Denoised\n{rows[-1].denoised_psnr:.1f} dB"
        panels.insert(1, Panel(np.asarray(ours.coarse), caption, coarse))
    panels.append(Panel(ours.fine, f"Deconvolved\n{_caption(rows[-1])}", fine))
    nanometres = sorted({round(1000 * width) for width in judge.scene.truth_fwhm})
    resolution = " and ".join(str(width) for width in nanometres)
    return [*panels, Panel(judge.truth, f"Truth\nat {resolution} nm", fine)]


def _caption(row: Row) -> str:
    return f"{row.psnr:.1f} dB, {row.ssim:.3f}"
