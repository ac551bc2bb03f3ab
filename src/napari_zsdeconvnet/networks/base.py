"""Two-stage networks for images: a denoiser, then a deconvolver on a finer grid.

Every network maps a normalised image (N, 1, [Z,] Y, X) to the pair (denoised on the same grid,
deconvolved on one ``upsampling`` times finer in Y and X). Those for volumes stand in
`volume`.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..noise.noise_model import NoiseModel
from ..physics.forward import enlarge
from ..psf.psf import PSF
from .unrolled import UnrolledSteps


class TwoStageNetwork(nn.Module):
    """What training and inference ask of a network."""

    multiple: int
    """What Y and X must be divisible by."""
    receptive_field: int
    """Raw pixels across the field that an input pixel can reach an output, and so the overlap
    that makes tiled inference equal to untiled."""
    axial_field: int | None = None
    """The same along Z, for networks of volumes alone."""
    border: tuple[int, ...] | None = None
    """Raw pixels along each axis by which a frame is continued at its edges, where that is less
    than `reach`."""
    upsampling: int = 2
    """Output pixels side by side in a raw pixel; planes stay as they are."""
    bytes_per_pixel: int
    """Working memory of inference for one raw pixel, measured, for choosing tiles."""
    bytes_per_pixel_in_bands: int | None = None
    """The same on CPUs, for networks that are computed there in `bands`."""
    training_bytes_per_pixel: int = 2500
    """Memory of a training step for one pixel of a batch of patches, measured on the host."""
    keeps_light = False
    """Whether results of volumes, blurred again, hold the light of the recording as they are."""
    stated_width: tuple[float, ...] | None = None
    """Width (FWHM, output pixels) of the Gaussian through which the deconvolved image shows the
    structure, for networks that state a resolution."""
    takes_spectrum: bool = False
    """Whether `expect_noise` wants the spectrum of the noise of reconstructed images."""
    takes_background: bool = False
    """Whether `forward` knows a third argument, ``background``, of the image's shape and in its
    units: light that the denoised image has and the deconvolved one has not."""

    @property
    def stages(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """The weights of the denoiser and all others, in the order of `parameters`.

        The modules of a denoiser are those whose names begin so in every network.
        """
        denoiser: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, weight in self.named_parameters():
            (denoiser if name.startswith("denois") else others).append(weight)
        return denoiser, others

    @property
    def finest(self) -> list[nn.Parameter]:
        """The weights of the finest level of both stages; all of them where there are no levels."""
        return list(self.parameters())

    @property
    def multiples(self) -> tuple[int, ...]:
        """What each spatial axis must be divisible by."""
        lateral = (self.multiple, self.multiple)
        return lateral if self.axial_field is None else (1, *lateral)

    @property
    def reach(self) -> tuple[int, ...]:
        """Receptive field along each spatial axis."""
        lateral = (self.receptive_field, self.receptive_field)
        return lateral if self.axial_field is None else (self.axial_field, *lateral)

    def memory_per_pixel(self, device: torch.device) -> int:
        """Give the working memory of inference for one raw pixel, in bytes."""
        banded = self.bytes_per_pixel_in_bands if device.type == "cpu" else None
        return banded or self.bytes_per_pixel

    def memory_of(self, window: tuple[int, ...], device: torch.device) -> int:
        """Give the working memory of inference for a window ([Z,] Y, X), in bytes."""
        return math.prod(window) * self.memory_per_pixel(device)

    def forward(self, image: Tensor, excess: Tensor | float = 1.0) -> tuple[Tensor, Tensor]:
        """Give the denoised and the deconvolved image.

        Parameters
        ----------
        image : Tensor
            Normalised, (N, 1, [Z,] Y, X).
        excess : Tensor or float
            Variance of the image's noise over that of a recording by the typical camera,
            broadcast against the image: 1 of a recording, more of a re-corrupted one or of a
            noisier pixel. Most networks do not ask.
        """
        raise NotImplementedError

    def denoise(self, image: Tensor, excess: Tensor | float = 1.0) -> Tensor:
        """Give the denoised image alone."""
        return self.forward(image, excess)[0]

    def expect_noise(
        self, noise: NoiseModel, scale: float, spectrum: NDArray[np.floating] | None = None
    ) -> None:
        """Tell the network of the noise, where it wants to know.

        Parameters
        ----------
        noise : NoiseModel
            Of the camera.
        scale : float
            Counts that are 1 to the network.
        spectrum : ndarray, optional
            Of images that were reconstructed from the camera's: what white noise of variance 1
            becomes, as `sim.Reconstruction.noise_spectrum` gives it.
        """


def of_each_pixel(excess: Tensor | float, image: Tensor) -> tuple[Tensor, ...]:
    """Give what has to be cut or continued along with an image: the excess, where pixels differ."""
    alike = not isinstance(excess, Tensor) or excess.shape[-2:] != image.shape[-2:]
    return () if alike else (excess,)  # type: ignore[return-value]


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _convolutions(inputs: int, *outputs: int) -> nn.Sequential:
    """3 x 3 convolutions, each followed by a ReLU."""
    layers: list[nn.Module] = []
    for channels in outputs:
        layers += [_convolution(inputs, channels), nn.ReLU(inplace=True)]
        inputs = channels
    return nn.Sequential(*layers)


def softened_relu(image: Tensor, sharpness: float) -> Tensor:
    """Soft-plus: positive like a ReLU, but its gradient never vanishes.

    A plain ReLU on a one-channel output is dead from the start in about one seed of seven.
    """
    return F.softplus(image, beta=sharpness)


class _PublishedUNet(nn.Module):
    """The U-Net of the publication: three convolutions a level, 32 to 256 channels."""

    channels = (32, 64, 128, 256)

    def __init__(self) -> None:
        super().__init__()
        inputs = 1
        self.encoder = nn.ModuleList()
        for channels in self.channels:
            self.encoder.append(_convolutions(inputs, channels, channels, channels))
            inputs = channels
        self.middle = _convolutions(inputs, 2 * inputs, inputs)
        self.decoder = nn.ModuleList()
        for channels in reversed(self.channels):
            self.decoder.append(
                _convolutions(inputs + channels, channels, channels // 2, channels // 2)
            )
            inputs = channels // 2
        self.outputs = inputs

    def forward(self, image: Tensor) -> Tensor:
        """Give features on the grid of the image."""
        skips = []
        for level in self.encoder:
            image = level(image)
            skips.append(image)
            image = F.max_pool2d(image, 2)
        image = self.middle(image)
        for level, skip in zip(self.decoder, reversed(skips), strict=True):
            image = level(torch.cat([F.interpolate(image, scale_factor=2.0), skip], dim=1))
        return image


class PublishedNetwork(TwoStageNetwork):
    """The two-stage U-Net as published, 13 109 010 parameters.

    Two U-Nets in series, the second doubling the grid and ending in two convolutions of 128
    channels (Qiao et al., Nature Communications 15, 4180, 2024). The one departure: both
    outputs end in `softened_relu` where the publication has a ReLU, which can die.
    """

    multiple = 16
    receptive_field = 288
    bytes_per_pixel = 6000
    training_bytes_per_pixel = 15_000

    def __init__(self, upsampling: int = 2) -> None:
        super().__init__()
        self.upsampling = upsampling
        self.denoiser = _PublishedUNet()
        self.denoised = _convolution(self.denoiser.outputs, 1)
        self.deconvolver = _PublishedUNet()
        self.head = _convolutions(self.deconvolver.outputs, 128, 128)
        self.deconvolved = _convolution(128, 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                # The framework of the publication begins so; torch's own beginning leaves a
                # network of this depth all but deaf to its input.
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(cast(Tensor, layer.bias))

    def forward(self, image: Tensor, excess: Tensor | float = 1.0) -> tuple[Tensor, Tensor]:
        """Give the denoised and the deconvolved image."""
        denoised = softened_relu(self.denoised(self.denoiser(image)), 10.0)
        features = enlarge(self.deconvolver(denoised), self.upsampling)
        return denoised, softened_relu(self.deconvolved(self.head(features)), 10.0)


class _ResidualUNet(nn.Module):
    """A small U-Net; features are added, not concatenated, to keep memory traffic low."""

    def __init__(self, inputs: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.entry = _convolutions(inputs, channels[0], channels[0])
        self.down = nn.ModuleList(
            _convolutions(here, below, below) for here, below in pairwise(channels)
        )
        self.reduce = nn.ModuleList(nn.Conv2d(below, here, 1) for here, below in pairwise(channels))
        self.up = nn.ModuleList(_convolutions(here, here, here) for here in channels[:-1])

    def forward(self, image: Tensor) -> Tensor:
        """Give features on the grid of the image."""
        image = self.entry(image)
        skips = []
        for level in self.down:
            skips.append(image)
            image = level(F.avg_pool2d(image, 2))
        for level, reduce, skip in zip(
            reversed(self.up), reversed(self.reduce), reversed(skips), strict=True
        ):
            image = level(skip + F.interpolate(reduce(image), scale_factor=2.0))
        return image


class UnrolledNetwork(TwoStageNetwork):
    """A denoiser, a few steps of Richardson-Lucy and a corrector: ``fast`` from scratch.

    The first stage adds a learned correction to the 5 x 5 mean of its input. The denoised
    image is sharpened by accelerated Richardson-Lucy steps, which know the PSF and have
    nothing to learn; on an image whose noise is gone they may go further than on a raw one.
    The second stage sees the denoised image, the features of the first and the sharpened
    image, and adds what the physics missed. Both corrections start at zero, so that
    training begins at a sensible image.

    Parameters
    ----------
    psf : PSF
        2D, on the output grid.
    upsampling : int
        1 or 2.
    channels : tuple of int
        Channels of each U-Net, one number for each level.
    """

    multiple = 4
    bytes_per_pixel = 2500
    takes_background = True

    damping = 0.1
    """Normalised intensity below which the ratio of an update fades, as read noise would."""

    def __init__(
        self, psf: PSF, upsampling: int = 2, channels: tuple[int, ...] = (16, 32, 64)
    ) -> None:
        super().__init__()
        self.upsampling = upsampling
        width = channels[0]
        self.denoiser = _ResidualUNet(1, channels)
        self.denoised = _convolution(width, 1)
        self.deconvolver = _ResidualUNet(1 + width + upsampling**2, channels)
        self.expand = _convolution(width, upsampling**2 * width // 2)
        self.deconvolved = _convolution(width // 2 + 1, 1)
        for correction in (self.denoised, self.deconvolved):
            nn.init.zeros_(correction.weight)
            nn.init.zeros_(cast(Tensor, correction.bias))
        core = psf_core(psf)
        self.sharpen = UnrolledSteps(core, upsampling)
        # Each step reaches two radii of the core on the output grid. The far half of that
        # carries less than float32 resolves and would only make tiles overlap more.
        self.receptive_field = 56 + self.sharpen.iterations * (max(core.shape) // 2) // upsampling

    def forward(
        self, image: Tensor, excess: Tensor | float = 1.0, background: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Give the denoised and the deconvolved image."""
        features = self.denoiser(image)
        smooth = F.avg_pool2d(F.pad(image, (2,) * 4, mode="reflect"), 5, stride=1)
        denoised = smooth + self.denoised(features)
        focused = denoised if background is None else denoised - background
        sharpened = self.sharpen(focused.detach(), self.damping)
        coarse = F.pixel_unshuffle(sharpened, self.upsampling)
        seen = torch.cat([focused, features, coarse], dim=1)
        fine = F.relu(F.pixel_shuffle(self.expand(self.deconvolver(seen)), self.upsampling))
        correction = self.deconvolved(torch.cat([fine, sharpened.to(fine.dtype)], dim=1))
        return denoised, softened_relu(sharpened + correction.float(), 20.0)


def psf_core(psf: PSF) -> NDArray[np.float32]:
    """Cut the PSF to its core, 1.8 times its width to each side, and normalise that."""
    widths = [
        width / step for width, step in zip(psf.fwhm, psf.steps, strict=True) if width == width
    ]
    radius = min(max(math.ceil(1.8 * max(widths, default=4.0)), 3), 24)
    centre = tuple(size // 2 for size in psf.array.shape)
    core = psf.array[
        tuple(slice(max(middle - radius, 0), middle + radius + 1) for middle in centre)
    ]
    return np.asarray(core / core.sum(), dtype=np.float32)
