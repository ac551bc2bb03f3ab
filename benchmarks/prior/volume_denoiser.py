"""A denoiser for volumes that is told the noise and the width of the PSF, as that of images is.

A design to be measured; the package has none of it yet. `InformedVolumeNetwork` puts it in the
place of the first stage of ``fast``, which sees the volume alone.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_zsdeconvnet.networks.volume import SharpeningNetwork
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.psf.psf import PSF

WIDEST = 8.0
"""Voxels across the PSF, beyond which the network is not told how wide it is."""


class _Block(nn.Module):
    """A convolution in each plane and one across three planes, around which the volume passes.

    Planes lie in the batch (N * Z, C, Y, X), in channels-last order: several times as fast as
    convolutions in 3D.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.within = nn.Conv2d(channels, channels, 3, padding=1)
        self.across = nn.Conv2d(3 * channels, channels, 1)
        with torch.no_grad():
            self.across.weight.mul_(0.3)

    def forward(self, planes: Tensor, depth: int) -> Tensor:
        inner = F.leaky_relu(self.within(planes), 0.1, inplace=True)
        stack = inner.unflatten(0, (-1, depth))
        above = torch.cat([stack[:, :1], stack[:, :-1]], dim=1).flatten(0, 1)
        below = torch.cat([stack[:, 1:], stack[:, -1:]], dim=1).flatten(0, 1)
        result: Tensor = self.across(torch.cat([above, inner, below], dim=1))
        return result.add_(planes)


class InformedVolumeDenoiser(nn.Module):
    """A U-Net of residual blocks on a lateral grid half as fine; planes stay as they are.

    It adds a correction to the volume averaged by the PSF, and is given the standard deviation
    of the noise of every voxel.

    Parameters
    ----------
    channels : tuple of int
        One number for each level.
    """

    multiple = 8

    def __init__(self, channels: tuple[int, ...] = (32, 48, 64)) -> None:
        super().__init__()
        self.entry = nn.Conv2d(4 * 5 + 2, channels[0], 3, padding=1)
        self.before = nn.ModuleList(_Block(width) for width in channels[:-1])
        self.down = nn.ModuleList(
            nn.Conv2d(here, below, 2, stride=2) for here, below in itertools.pairwise(channels)
        )
        self.middle = nn.ModuleList(_Block(channels[-1]) for _ in range(2))
        self.reduce = nn.ModuleList(
            nn.Conv2d(below, here, 1) for here, below in itertools.pairwise(channels)
        )
        self.after = nn.ModuleList(_Block(width) for width in channels[:-1])
        self.last = nn.Conv2d(channels[0], 4, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.widths: tuple[float, ...] = (2.0, 3.0, 3.0)
        """Of the PSF along each axis, voxels."""
        self.shot: Tensor | float = 1e-2
        self.read: Tensor | float = 1e-4
        """Noise variance is ``shot * light + read``, normalised."""

    def forward(self, volume: Tensor, excess: Tensor | float = 1.0) -> Tensor:
        """Give the denoised volume (N, 1, Z, Y, X); ``excess`` as for `InformedNetwork`."""
        depth = volume.shape[2]
        smooth = _smooth(volume, self.widths)
        smoother = _smooth(smooth, self.widths)
        light = self.shot * smooth.clamp(min=0.0) + self.read
        sigma = (excess * light + 1e-9).sqrt()
        raw = (volume, smooth, smoother, sigma, (volume - smooth) / sigma)
        planes = torch.cat([F.pixel_unshuffle(_planes(channel), 2) for channel in raw], dim=1)
        told = [min(width, WIDEST) / 4 for width in (self.widths[0], self.widths[-1])]
        planes = torch.cat([planes, *(torch.full_like(planes[:, :1], w) for w in told)], dim=1)
        features = self.entry(planes.contiguous(memory_format=torch.channels_last))
        skips = []
        for block, down in zip(self.before, self.down, strict=True):
            features = block(features, depth)
            skips.append(features)
            features = down(features)
        for block in self.middle:
            features = block(features, depth)
        for block, reduce, skip in zip(
            reversed(self.after), reversed(self.reduce), reversed(skips), strict=True
        ):
            features = block(skip + F.interpolate(reduce(features), scale_factor=2.0), depth)
        correction = F.pixel_shuffle(self.last(features), 2)
        return smooth + correction.unflatten(0, (-1, depth)).transpose(1, 2)


class InformedVolumeNetwork(SharpeningNetwork):
    """A `SharpeningNetwork` whose first stage is an `InformedVolumeDenoiser`."""

    multiple = InformedVolumeDenoiser.multiple

    def build_denoiser(self, psf: PSF, channels: tuple[int, ...]) -> None:
        """Make the first stage, which begins as an average over the PSF."""
        self.denoiser = InformedVolumeDenoiser()
        scales = (1, self.upsampling, self.upsampling)
        self.denoiser.widths = tuple(
            min(width / (step * scale) if math.isfinite(width) else math.inf, 2 * WIDEST)
            for width, step, scale in zip(psf.fwhm, psf.steps, scales, strict=True)
        )

    def expect_noise(self, noise: NoiseModel, scale: float) -> None:
        """Take over the camera's noise, in normalised units."""
        super().expect_noise(noise, scale)
        assert isinstance(self.denoiser, InformedVolumeDenoiser)
        self.denoiser.shot = (noise.slope or 1.0) / scale
        self.denoiser.read = noise.read_variance / scale**2

    def denoise(self, image: Tensor, excess: Tensor | float = 1.0) -> Tensor:
        """Apply the first stage."""
        denoised: Tensor = self.denoiser(image, excess)
        return denoised.float()


def _planes(volume: Tensor) -> Tensor:
    """Put planes into the batch: (N * Z, C, Y, X)."""
    return volume.transpose(1, 2).flatten(0, 1)


def _smooth(volume: Tensor, widths: tuple[float, ...]) -> Tensor:
    """Average by a Gaussian of these FWHM, which at the faces sees what there is."""
    for axis, width in enumerate(widths, 2):
        place = torch.arange(volume.shape[axis], dtype=volume.dtype, device=volume.device)
        sigma = max(width, 0.3) / math.sqrt(8 * math.log(2))
        weights = torch.exp(-0.5 * ((place[:, None] - place) / sigma) ** 2)
        weights = weights / weights.sum(dim=1, keepdim=True)
        volume = torch.tensordot(volume, weights, dims=([axis], [1])).movedim(-1, axis)
    return volume
