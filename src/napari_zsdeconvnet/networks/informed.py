"""The network of ``fast`` for images: it knows the noise, the PSF and the resolution it states."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import signal
from torch import Tensor, nn
from torch.nn import functional as F

from ..noise.noise_model import NoiseModel
from ..physics.forward import BlurAndBin, enlarge
from ..physics.row_blocks import by_bands
from ..psf.psf import PSF
from .base import TwoStageNetwork, of_each_pixel, psf_core
from .unrolled import UnrolledSteps

STATED = 0.5
"""Width of the finest detail of a result, as a part of that of the PSF."""

WIDEST = 8.0
"""Width of a PSF in raw pixels, beyond which the network is not told how wide it is."""


class _Block(nn.Module):
    """Two 3 x 3 convolutions around which the image also passes unchanged."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        # A stack of blocks begins near the identity, however deep.
        with torch.no_grad():
            self.second.weight.mul_(0.3)

    def forward(self, image: Tensor) -> Tensor:
        """Give features on the same grid."""
        inner = F.leaky_relu(self.first(image), 0.1, inplace=True)
        result: Tensor = self.second(inner)
        return result.add_(image)


class _HalfGridUNet(nn.Module):
    """A U-Net of residual blocks whose finest level has pixels twice as wide as the image.

    Images are sampled finer than the PSF needs, so that four pixels in channels lose nothing
    and cost a quarter.
    """

    def __init__(self, inputs: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.entry = nn.Conv2d(inputs, channels[0], 3, padding=1)
        self.before = nn.ModuleList(_Block(width) for width in channels[:-1])
        self.down = nn.ModuleList(
            nn.Conv2d(here, below, 2, stride=2) for here, below in itertools.pairwise(channels)
        )
        self.middle = nn.Sequential(_Block(channels[-1]), _Block(channels[-1]))
        self.reduce = nn.ModuleList(
            nn.Conv2d(below, here, 1) for here, below in itertools.pairwise(channels)
        )
        self.after = nn.ModuleList(_Block(width) for width in channels[:-1])

    def forward(self, seen: Callable[..., Tensor], *images: Tensor) -> Tensor:
        """Give features on a grid half as fine.

        Parameters
        ----------
        seen : callable
            What gives the channels to be seen, on the grid of the features, of ``images``;
            pixel by pixel, as it is applied to `bands` of them.
        *images : Tensor
            (N, C, Y, X), the first of them on the raw grid.
        """

        def entry(*parts: Tensor) -> Tensor:
            channels = seen(*parts)
            if channels.device.type != "mps":
                # Several times as fast as planes apart; what is put together has them apart.
                channels = channels.contiguous(memory_format=torch.channels_last)
            result: Tensor = self.entry(channels)
            return result

        image = by_bands(entry, *images, reach=2, multiple=2)
        skips = []
        for block, down in zip(self.before, self.down, strict=True):
            image = by_bands(block, image, reach=2, in_place=True)
            skips.append(image)
            image = by_bands(down, image, multiple=2)
        for block in self.middle:
            image = by_bands(block, image, reach=2, in_place=True)
        for block, reduce, skip in zip(
            reversed(self.after), reversed(self.reduce), reversed(skips), strict=True
        ):
            rise = partial(_rise, block, reduce)
            image = by_bands(rise, skip, image, reach=2, multiple=2, in_place=True)
        return image


def _rise(block: nn.Module, reduce: nn.Module, skip: Tensor, below: Tensor) -> Tensor:
    """Add what was found on the grid below, and refine."""
    result: Tensor = block(skip + F.interpolate(reduce(below), scale_factor=2.0))
    return result


class InformedNetwork(TwoStageNetwork):
    r"""A denoiser, a few steps of Richardson-Lucy and a corrector that know the physics.

    What does not have to be learned is given: the noise of every pixel, the image seen through
    the PSF, the structure that Richardson-Lucy finds in the denoised image, and what of the
    recording that leaves unexplained, so that weights learned under one camera serve under
    another.

    The denoised image is :math:`m + c_1` with m the image averaged by the PSF and :math:`c_1`
    learned; the deconvolved one is :math:`s + a c_2` with s the sharpened image, a the light
    nearby and :math:`c_2` learned. Where there is no light there is nothing to be added to.

    Results state a resolution: they are the structure as seen by a microscope whose PSF, a
    Gaussian, is half as wide (`stated_width`). Detail that fine is within reach of the
    data; anything finer would be guessed.

    Parameters
    ----------
    psf : PSF
        2D, on the output grid.
    upsampling : int
        1 or 2.
    channels : tuple of int
        Channels of both U-Nets, one number for each level.
    """

    multiple = 8
    takes_background = True
    border = (24, 24)
    bytes_per_pixel = 900
    bytes_per_pixel_in_bands = 170
    told = 5
    """Images that the first stage sees, see `_told`."""

    def __init__(
        self, psf: PSF, upsampling: int = 2, channels: tuple[int, ...] = (32, 48, 64)
    ) -> None:
        super().__init__()
        self.upsampling = upsampling
        width = channels[0]
        coarse = 2 * upsampling  # fine pixels side by side in one of the U-Nets' own
        self.denoiser = _HalfGridUNet(4 * self.told + 1, channels)
        self.denoised = nn.Conv2d(width, 4, 3, padding=1)
        self.corrector = _HalfGridUNet(width + 4 * 4 + coarse**2 + 1, channels)
        self.corrected = nn.Conv2d(width, coarse**2, 3, padding=1)
        for last in (self.denoised, self.corrected):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(cast(Tensor, last.bias))
        self.see_through(psf)
        self.shot, self.read = 1e-2, 1e-4

    @property
    def finest(self) -> list[nn.Parameter]:
        """The weights on the grid of the features, without those of any coarser level."""
        finest: list[nn.Module] = [self.denoised, self.corrected]
        for unet in (self.denoiser, self.corrector):
            finest += [unet.entry, unet.before[0], unet.reduce[0], unet.after[0]]
        return [weight for module in finest for weight in module.parameters()]

    def see_through(self, psf: PSF) -> None:
        """Put another PSF in the place of the first, on the output grid."""
        widths = [width / step for width, step in zip(psf.fwhm, psf.steps, strict=True)]
        self.stated_width = tuple(
            STATED * width if math.isfinite(width) else 0.0 for width in widths
        )
        core = psf_core(psf)
        self.sharpen = UnrolledSteps(core, self.upsampling)
        self.smooth = BlurAndBin(binned(core, self.upsampling), 1)
        known = [width / self.upsampling for width in widths if math.isfinite(width)]
        self.psf_width = min(sum(known) / len(known), WIDEST) if known else WIDEST
        # Layers upon layers reach farther, but what comes from beyond is less than a
        # hundred-thousandth in all: measured, and tested.
        self.receptive_field = 48 + 2 * math.ceil(max(core.shape) / 2 / self.upsampling)

    def expect_noise(
        self, noise: NoiseModel, scale: float, spectrum: NDArray[np.floating] | None = None
    ) -> None:
        """Take over the camera's noise, in normalised units."""
        self.shot = (noise.slope or 1.0) / scale
        self.read = noise.read_variance / scale**2

    def forward(
        self, image: Tensor, excess: Tensor | float = 1.0, background: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Give the denoised and the deconvolved image.

        Parameters
        ----------
        image : Tensor
            Normalised, (N, 1, Y, X).
        excess : Tensor or float
            Variance of the image's noise over that of a recording: 1 of a recording,
            1 + alpha squared of a re-corrupted one; of each image or of each pixel.
        background : Tensor, optional
            Of the image's shape. It is in the denoised image and its noise is everywhere; what
            follows is of the structure alone.
        """
        image = image.float()
        own = of_each_pixel(excess, image)
        denoised, features = self._denoise(image, excess)
        clean = denoised.detach()
        with torch.no_grad():
            brightness = light = self.smooth(clean).clamp(min=0.0)
            if background is not None:
                image, clean = image - background, clean - background
                light = self.smooth(clean).clamp(min=0.0)
            sharpened = self.sharpen(clean, self.read / self.shot + 0.01)
            expected = self.sharpen.microscope(sharpened)
            missed = self.smooth(image - expected)

        def seen(
            clean: Tensor, brightness: Tensor, expected: Tensor, missed: Tensor, *finer: Tensor
        ) -> Tensor:
            sharpened, features, *own = finer
            sigma = self._sigma(brightness, own[0] if own else excess)
            raw = (clean, clean - expected, missed, sigma)
            channels = [F.pixel_unshuffle(channel, 2) for channel in raw]
            channels.append(F.pixel_unshuffle(sharpened.sqrt(), 2 * self.upsampling))
            return torch.cat([features, *channels, self._width_like(channels[0])], dim=1)

        seen_from = (clean, brightness, expected, missed, sharpened, features, *own)
        features = self.corrector(seen, *seen_from)
        deconvolved = by_bands(self._corrected, light, sharpened, features, reach=2, multiple=2)
        return denoised, deconvolved

    def _corrected(self, light: Tensor, sharpened: Tensor, features: Tensor) -> Tensor:
        """Add the correction that features stand for."""
        correction = F.pixel_shuffle(self.corrected(features), 2 * self.upsampling).float()
        near = 0.5 * (sharpened + enlarge(light, self.upsampling, "linear"))
        return F.leaky_relu(sharpened + near * correction, 0.01)

    def denoise(self, image: Tensor, excess: Tensor | float = 1.0) -> Tensor:
        """Give the denoised image alone."""
        return self._denoise(image.float(), excess)[0]

    def _denoise(self, image: Tensor, excess: Tensor | float) -> tuple[Tensor, Tensor]:
        smooth = self.smooth(image)
        # Averaged a second time, as where the noise is high the first average still has some.
        smoother = self.smooth(smooth)

        own = of_each_pixel(excess, image)

        def seen(image: Tensor, smooth: Tensor, smoother: Tensor, *own: Tensor) -> Tensor:
            told = self._told(image, smooth, smoother, own[0] if own else excess)
            channels = [F.pixel_unshuffle(channel, 2) for channel in told]
            return torch.cat([*channels, self._width_like(channels[0])], dim=1)

        def denoised(smooth: Tensor, features: Tensor) -> Tensor:
            return smooth + F.pixel_shuffle(self.denoised(features), 2).float()

        features = self.denoiser(seen, image, smooth, smoother, *own)
        return by_bands(denoised, smooth, features, reach=2, multiple=2), features

    def _told(
        self, image: Tensor, smooth: Tensor, smoother: Tensor, excess: Tensor | float
    ) -> tuple[Tensor, ...]:
        """Give what the first stage sees of an image and its averages."""
        sigma = self._sigma(smooth, excess)
        return image, smooth, smoother, sigma, (image - smooth) / sigma

    def _sigma(self, smooth: Tensor, excess: Tensor | float) -> Tensor:
        """Give the standard deviation of the noise under this light."""
        return (excess * (self.shot * smooth.clamp(min=0.0) + self.read) + 1e-9).sqrt()

    def _width_like(self, seen: Tensor) -> Tensor:
        return torch.full_like(seen[:, :1], self.psf_width / 4)


def binned(psf: NDArray[np.floating], factor: int) -> NDArray[np.float32]:
    """Give the PSF of raw pixels: a bright raw pixel blurred on the fine grid and binned again."""
    reach = [math.ceil(length / 2 / factor) for length in psf.shape]
    pixel = np.zeros([2 * r + 1 for r in reach])
    pixel[tuple(reach)] = 1.0
    fine = signal.fftconvolve(np.kron(pixel, np.ones((factor, factor))), psf, "same")
    rows, columns = pixel.shape
    coarse = fine.reshape(rows, factor, columns, factor).sum(axis=(1, 3))
    return np.asarray(coarse / coarse.sum(), np.float32)
