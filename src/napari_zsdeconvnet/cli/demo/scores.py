"""How well each method did, against the truth."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...noise.noise_model import NoiseModel
from ...physics.classical_deconvolution import Iteration, iterate_richardson_lucy
from ...psf.psf import PSF
from ...quality.data_consistency import explained
from ...quality.line_widths import filament_fwhm
from ...quality.reference_metrics import fit_intensity, flux_ratio, psnr, score, truth_at_resolution
from ...quality.ring_correlation import fourier_ring_correlation
from ..console import Console

if TYPE_CHECKING:
    from .scenes import Scene, Simulated

_MOST_ITERATIONS = 200
_PATIENCE = 8  # iterations without a better score after which Richardson-Lucy ends


@dataclass(frozen=True, eq=False)
class Output:
    """What a method makes of an exposure, and of a second one where that is looked at."""

    fine: NDArray[np.floating]
    coarse: NDArray[np.floating] | None = None
    """Denoised, where that is looked at."""
    fine_again: NDArray[np.floating] | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Row:
    """Scores of one method on the output grid.

    Attributes
    ----------
    method
        What made the image.
    psnr, ssim
        Against the truth at the scene's resolution, after one linear fit of the intensities.
    denoised_psnr
        Of the image on the raw grid against the noise-free one; None where there is none.
    filament_nm, axial_nm
        Median full width at half maximum across the filaments, sideways and, in a volume,
        along z.
    resolution_nm
        Of an image: where the Fourier rings of two exposures cease to agree.
    light
        Sum of the result over that of the raw image, in a volume once the result is blurred
        again; None where it is not looked at.
    seconds
        What the method took, training included; None where there was nothing to do.
    """

    method: str
    psnr: float
    ssim: float
    denoised_psnr: float | None
    filament_nm: float
    axial_nm: float | None
    resolution_nm: float | None
    light: float | None
    seconds: float | None


COLUMNS = {
    "PSNR": lambda row: f"{row.psnr:.1f} dB",
    "SSIM": lambda row: f"{row.ssim:.3f}",
    "denoised": lambda row: f"{row.denoised_psnr:.1f} dB",
    "filament": lambda row: f"{row.filament_nm:.0f} nm",
    "along z": lambda row: f"{row.axial_nm:.0f} nm",
    "resolution": lambda row: f"{row.resolution_nm:.0f} nm",
    "light": lambda row: f"{row.light:.3f}",
    "time": lambda row: "" if row.seconds is None else f"{row.seconds:.1f} s",
}
"""What a table can show of a row."""


@dataclass(frozen=True, eq=False)
class Judge:
    """Compares results with the truth of a sample."""

    scene: Scene
    sample: Simulated
    noise: NoiseModel
    """As it was measured: above its offset lies what all methods take for light."""
    reconstructing: float = 0.0
    """Seconds that finding the patterns and reconstructing raw frames took."""

    @cached_property
    def truth(self) -> NDArray[np.float64]:
        """The truth at the resolution that is asked for."""
        sample = self.sample
        return truth_at_resolution(sample.truth, self.scene.truth_fwhm, sample.truth_voxel_size)

    @property
    def border(self) -> tuple[int, ...]:
        """Output pixels that are left out at each side."""
        shape = self.sample.truth.shape
        return tuple(min(most, n // 8) for most, n in zip(self.scene.border, shape, strict=True))

    def closeness(self, image: ArrayLike) -> float:
        """PSNR alone, for a search through many results."""
        pairs = zip(self.border, self.truth.shape, strict=True)
        inside = tuple(slice(width, length - width) for width, length in pairs)
        truth = self.truth[inside]
        return psnr(fit_intensity(np.asarray(image)[inside], truth), truth, float(np.ptp(truth)))

    def row(self, method: str, output: Output) -> Row:
        """Score what a method made."""
        sample, factor = self.sample, self.sample.upsampling
        against_truth = score(output.fine, self.truth, border=self.border)
        coarse_border = (*self.border[:-2], *(width // factor for width in self.border[-2:]))
        grid = (sample.paths, sample.truth_voxel_size)
        axial = resolution = None
        if self.scene.axes == "ZYX":
            axial = 1000 * filament_fwhm(output.fine, *grid, axial=True)
        if output.fine_again is not None:
            pixel = sample.truth_voxel_size[-1]
            rings = fourier_ring_correlation(output.fine, output.fine_again, pixel)
            resolution = 1000 * rings.resolution
        denoised = light = None
        if self.scene.has_raw_grid:
            light = self._light(output.fine)
        if self.scene.has_raw_grid and output.coarse is not None:
            denoised = score(output.coarse, sample.noise_free, border=coarse_border).psnr
        return Row(
            method=method,
            psnr=against_truth.psnr,
            ssim=against_truth.ssim,
            denoised_psnr=denoised,
            filament_nm=1000 * filament_fwhm(output.fine, *grid),
            axial_nm=axial,
            resolution_nm=resolution,
            light=light,
            seconds=output.seconds,
        )

    def _light(self, fine: NDArray[np.floating]) -> float:
        sample, offset = self.sample, self.noise.offset
        if (
            self.scene.axes == "ZYX"
        ):  # part of a volume's own light went beyond the faces of its stack
            fine = explained(sample.raw - offset, fine, sample.psf, sample.upsampling)
        return flux_ratio(fine, sample.raw, offset)


def closest_iteration(
    image: NDArray[Any],
    psf: PSF,
    noise: NoiseModel,
    closeness: Callable[[ArrayLike], float],
    *,
    upsampling: int | None = None,
) -> tuple[Iteration, float]:
    """Run Richardson-Lucy until it gets no closer to the truth.

    Parameters
    ----------
    image, psf, noise, upsampling
        As for `iterate_richardson_lucy`.
    closeness
        To the truth, of an estimate.

    Returns
    -------
    Iteration
        The closest.
    float
        Seconds up to there, without the scoring.
    """
    best = None
    closest = -math.inf
    seconds = 0.0
    started = time.perf_counter()
    for state in iterate_richardson_lucy(image, psf, noise, upsampling=upsampling):
        elapsed = time.perf_counter() - started
        found = closeness(state.estimate)
        if found > closest:
            best, closest, seconds = state, found, elapsed
        started = time.perf_counter() - elapsed
        if best is None or state.number >= min(best.number + _PATIENCE, _MOST_ITERATIONS):
            break
    assert best is not None
    return best, seconds


def show(rows: Sequence[Row], columns: Sequence[str], console: Console) -> None:
    """Print the table."""
    cells = [(row.method, *(COLUMNS[column](row) for column in columns)) for row in rows]
    console.table(("", *columns), cells)
