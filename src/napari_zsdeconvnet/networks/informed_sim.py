"""The network of ``fast`` for raw SIM: it is told the noise that a reconstruction leaves."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..noise.noise_model import NoiseModel
from ..psf.psf import PSF
from .informed import InformedNetwork


class InformedSIMNetwork(InformedNetwork):
    """`InformedNetwork` for reconstructions, on their own grid.

    Their noise is coloured: the reconstruction has multiplied each of its frequencies by a known
    factor. What of the noise is left once the image is averaged by the PSF, and what that takes
    away, follow from the spectrum, and the first stage is given both.

    Parameters
    ----------
    psf : PSF
        Of the reconstruction, on its grid.
    upsampling : int
        1: the reconstruction is on a finer grid already.
    channels : tuple of int
        As for `InformedNetwork`.
    """

    told = 6
    takes_spectrum = True

    def __init__(
        self, psf: PSF, upsampling: int = 1, channels: tuple[int, ...] = (32, 48, 64)
    ) -> None:
        self.averaged: Tensor | float = 0.5
        self.removed: Tensor | float = 0.8
        super().__init__(psf, upsampling, channels)

    def expect_noise(
        self, noise: NoiseModel, scale: float, spectrum: NDArray[np.floating] | None = None
    ) -> None:
        """Take over the noise of the camera as it is after the reconstruction."""
        super().expect_noise(noise, scale)
        if spectrum is not None:
            self.shot, self.read = (float(spectrum.mean()) * x for x in (self.shot, self.read))
            self.averaged, self.removed = self.shares(spectrum)

    def shares(self, spectrum: NDArray[np.floating]) -> tuple[float, float]:
        """Give what an average by the PSF leaves of the noise, and what it takes away.

        Both as parts of the standard deviation; see `expect_noise` for the spectrum.
        """
        side = len(spectrum)
        point = torch.zeros(1, 1, side, side)
        point[0, 0, side // 2, side // 2] = 1
        with torch.no_grad():
            kernel = self.smooth(point)[0, 0].numpy()
        passed = np.fft.fft2(np.fft.ifftshift(kernel)).real
        power = spectrum / spectrum.sum()
        return (
            math.sqrt(float((power * passed**2).sum())),
            math.sqrt(float((power * (1 - passed) ** 2).sum())),
        )

    def _told(
        self, image: Tensor, smooth: Tensor, smoother: Tensor, excess: Tensor | float
    ) -> tuple[Tensor, ...]:
        # The light whose noise this is was seen by a microscope without patterns.
        sigma = self._sigma(smoother, excess)
        rest = self.removed * sigma
        return image, smooth, smoother, rest, (image - smooth) / rest, self.averaged * sigma
