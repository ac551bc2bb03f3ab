"""What a result is compared with: the truth at a stated resolution, and how near to the border."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_zsdeconvnet.quality.reference_metrics import (
    Scores,
    fit_intensity,
    psnr,
    score,
    truth_at_resolution,
)
from napari_zsdeconvnet.simulation.sample import Sample

TRUTH_FWHM: dict[str, tuple[float, ...]] = {"YX": (0.1, 0.1), "ZYX": (0.35, 0.15, 0.15)}
"""Resolution of the truth in micrometres, for images and for volumes."""

BORDER: dict[str, tuple[int, ...]] = {"YX": (32, 32), "ZYX": (3, 12, 12)}
"""Output pixels left out at each side; less where the sample is small."""


@dataclass(frozen=True, eq=False)
class Yardstick:
    """Measures how close results come to what is known of a sample.

    Attributes
    ----------
    sample
        What is known.
    resolution
        FWHM of the truth in micrometres along each axis; None takes `TRUTH_FWHM`.
    """

    sample: Sample
    resolution: tuple[float, ...] | None = None

    @cached_property
    def target(self) -> NDArray[np.float64]:
        """The truth, at the resolution that results are asked for."""
        sample = self.sample
        resolution = self.resolution or TRUTH_FWHM[sample.axes]
        return truth_at_resolution(sample.truth, resolution, sample.truth_voxel_size)

    @property
    def border(self) -> tuple[int, ...]:
        """Output pixels left out at each side, one number per axis."""
        shape, widest = self.sample.truth.shape, BORDER[self.sample.axes]
        return tuple(min(most, n // 8) for most, n in zip(widest, shape, strict=True))

    def deconvolved(self, image: ArrayLike) -> Scores:
        """Score an image on the output grid against the truth."""
        return score(image, self.target, border=self.border)

    def denoised(self, image: ArrayLike) -> Scores:
        """Score an image on the raw grid against the noise-free one."""
        factor = self.sample.upsampling
        border = (*self.border[:-2], *(width // factor for width in self.border[-2:]))
        return score(image, self.sample.noise_free, border=border)

    def closeness(self, image: ArrayLike) -> float:
        """Score by PSNR alone, where the many iterations of a method are compared."""
        inside = tuple(
            slice(width, n - width) for width, n in zip(self.border, self.target.shape, strict=True)
        )
        target = self.target[inside]
        return psnr(fit_intensity(np.asarray(image)[inside], target), target, np.ptp(target))
