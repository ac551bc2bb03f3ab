"""The network of ``fast`` for volumes: it is told the noise and the PSF, as that for images is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..noise.noise_model import NoiseModel
from ..physics.forward import enlarge
from ..psf.psf import PSF
from ..utils.phases import go_on
from .base import of_each_pixel
from .informed import STATED, WIDEST
from .volume import SharpeningNetwork, along_axes, coarse


class _Block(nn.Module):
    """A convolution in each plane and one across three planes, around which the volume passes.

    Planes lie in the batch (N * Z, C, Y, X), in channels-last order: several times as fast as
    convolutions in 3D. The first and the last plane are their own neighbours.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.within = nn.Conv2d(channels, channels, 3, padding=1)
        self.across = nn.Conv2d(3 * channels, channels, 1)
        # A stack of blocks begins near the identity, however deep.
        with torch.no_grad():
            self.across.weight.mul_(0.3)

    def forward(self, planes: Tensor, depth: int) -> Tensor:
        """Give features on the same grid."""
        go_on()
        inner = F.leaky_relu(self.within(planes), 0.1, inplace=True)
        from_above, own, from_below = self.across.weight.chunk(3, dim=1)
        result = F.conv2d(inner, own, self.across.bias).add_(planes)
        stack = result.view(-1, depth, *result.shape[1:])
        # One after the other: three planes side by side would take three times the memory.
        above = F.conv2d(inner, from_above).view(stack.shape)
        stack[:, 1:] += above[:, :-1]
        stack[:, :1] += above[:, :1]
        del above
        below = F.conv2d(inner, from_below).view(stack.shape)
        stack[:, :-1] += below[:, 1:]
        stack[:, -1:] += below[:, -1:]
        return result


class _PlanarUNet(nn.Module):
    """A U-Net of residual blocks on a lateral grid half as fine; planes stay as they are.

    Parameters
    ----------
    inputs, outputs : int
        Channels on the half grid; the output begins at zero.
    channels : tuple of int
        One number for each level.
    """

    def __init__(self, inputs: int, outputs: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.entry = nn.Conv2d(inputs, channels[0], 3, padding=1)
        self.before = nn.ModuleList(_Block(width) for width in channels[:-1])
        self.down = nn.ModuleList(
            nn.Conv2d(here, below, 2, stride=2) for here, below in itertools.pairwise(channels)
        )
        self.middle = nn.ModuleList(_Block(channels[-1]) for _ in range(2))
        self.reduce = nn.ModuleList(
            nn.Conv2d(below, here, 1) for here, below in itertools.pairwise(channels)
        )
        self.after = nn.ModuleList(_Block(width) for width in channels[:-1])
        self.last = nn.Conv2d(channels[0], outputs, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(cast(Tensor, self.last.bias))

    def forward(self, planes: Tensor, depth: int) -> Tensor:
        """Give the output (N * Z, C, Y / 2, X / 2) of planes on that grid."""
        features = self.entry(planes)
        skips = []
        for block, down in zip(self.before, self.down, strict=True):
            features = block(features, depth)
            skips.append(features)
            features = down(features)
        for block in self.middle:
            features = block(features, depth)
        for block, reduce in zip(reversed(self.after), reversed(self.reduce), strict=True):
            features = F.interpolate(reduce(features), scale_factor=2.0).add_(skips.pop())
            features = block(features, depth)
        result: Tensor = self.last(features)
        return result


class InformedVolumeNetwork(SharpeningNetwork):
    r"""`SharpeningNetwork` with U-Nets that are given the physics, as those of `InformedNetwork`.

    The denoised volume is :math:`m + c_1` with m the volume averaged by the PSF and :math:`c_1`
    learned; the deconvolved one is :math:`s + a c_2` with s the sharpened volume, a the light
    nearby and :math:`c_2` learned, less its coarsest structure. Both U-Nets are told the noise
    of every voxel and the width of the PSF, so that weights learned under one microscope and
    camera serve under another.

    Results state a resolution: they are the structure as seen by a microscope whose PSF, a
    Gaussian, is half as wide (`stated_width`).

    Parameters
    ----------
    psf : PSF
        3D, on the output grid.
    upsampling : int
        1 or 2.
    channels : tuple of int
        Channels of both U-Nets, one number for each level.
    """

    multiple = 8
    u_net_reach = 40

    def __init__(
        self, psf: PSF, upsampling: int = 1, channels: tuple[int, ...] = (32, 48, 64)
    ) -> None:
        widths = [width / step for width, step in zip(psf.fwhm, psf.steps, strict=True)]
        # Along an axis where a PSF is too broad for its array, nothing is known.
        self.stated_width = tuple(
            STATED * width if math.isfinite(width) else 0.0 for width in widths
        )
        scales = (1, upsampling, upsampling)
        self.widths = tuple(
            min(width, 2 * WIDEST * scale) / scale if math.isfinite(width) else 2 * WIDEST
            for width, scale in zip(widths, scales, strict=True)
        )
        """FWHM of the PSF along each axis, in raw voxels."""
        self.shot: Tensor | float = 1e-2
        self.read: Tensor | float = 1e-4
        super().__init__(psf, upsampling, channels)

    def build_denoiser(self, channels: tuple[int, ...]) -> None:
        """Make the first stage, which begins as an average over the PSF."""
        self.denoiser = _PlanarUNet(4 * 5 + 2, 4, channels)

    def build_corrector(self, channels: tuple[int, ...]) -> None:
        """Make the second stage, which begins at zero."""
        fine = (2 * self.upsampling) ** 2
        self.corrector = _PlanarUNet(4 * 4 + fine + 2, fine, channels)

    def expect_noise(
        self, noise: NoiseModel, scale: float, spectrum: NDArray[np.floating] | None = None
    ) -> None:
        """Take over the camera's noise, in normalised units."""
        super().expect_noise(noise, scale, spectrum)
        self.shot = (noise.slope or 1.0) / scale
        self.read = noise.read_variance / scale**2

    def denoise(self, image: Tensor, excess: Tensor | float = 1.0) -> Tensor:
        """Apply the first stage."""
        own = of_each_pixel(excess, image)
        smooth = self._smooth(image)
        # Averaged a second time, as where the noise is high the first average still has some.
        smoother = self._smooth(smooth)

        def correction(image: Tensor, smooth: Tensor, smoother: Tensor, *own: Tensor) -> Tensor:
            sigma = self._sigma(smooth, own[0] if own else excess)
            seen = (image, smooth, smoother, sigma, (image - smooth) / sigma)
            return self._applied(self.denoiser, *seen)

        return smooth + self._in_bands(correction, image, smooth, smoother, *own)

    def correct(
        self,
        image: Tensor,
        denoised: Tensor,
        sharpened: Tensor,
        reblurred: Tensor,
        excess: Tensor | float = 1.0,
    ) -> Tensor:
        """Apply the second stage; parameters as for `SharpeningNetwork.correct`."""
        own = of_each_pixel(excess, image)
        denoised = denoised.detach()
        light = self._smooth(denoised).clamp(min=0.0)
        missed = self._smooth(image - reblurred)

        def correction(denoised: Tensor, *others: Tensor) -> Tensor:
            light, reblurred, missed, sharpened, *own = others
            sigma = self._sigma(light, own[0] if own else excess)
            seen = (denoised, denoised - reblurred, missed, sigma, sharpened.clamp(min=0.0).sqrt())
            near = 0.5 * (sharpened + enlarge(light, self.upsampling, "linear"))
            return near * self._applied(self.corrector, *seen)

        seen_from = (denoised, light, reblurred, missed, sharpened, *own)
        found = self._in_bands(correction, *seen_from)
        return F.leaky_relu(sharpened + found - coarse(found), 0.01)

    def shown(self, sharpened: Tensor) -> Tensor:
        """Give the sharpened volume at the resolution that results state."""
        assert self.stated_width is not None
        return smoothed(sharpened, self.stated_width)

    def _smooth(self, volume: Tensor) -> Tensor:
        return smoothed(volume, self.widths)

    def _sigma(self, smooth: Tensor, excess: Tensor | float) -> Tensor:
        """Give the standard deviation of the noise under this light."""
        return (excess * (self.shot * smooth.clamp(min=0.0) + self.read) + 1e-9).sqrt()

    def _applied(self, network: nn.Module, *volumes: Tensor) -> Tensor:
        """Apply a U-Net to volumes on the raw or the output grid; its output is on the last one's.

        Pixels of a plane that are one on the half grid lie in channels, planes in the batch.
        """
        raw, last = volumes[0], volumes[-1]
        channels = [
            F.pixel_unshuffle(_planes(one), 2 * one.shape[-1] // raw.shape[-1]) for one in volumes
        ]
        told = [min(width, WIDEST) / 4 for width in (self.widths[0], self.widths[-1])]
        channels += [torch.full_like(channels[0][:, :1], width) for width in told]
        seen = torch.cat(channels, dim=1)
        del channels, volumes
        if seen.device.type != "mps":
            # Several times as fast as planes apart; what is put together has them apart.
            seen = seen.contiguous(memory_format=torch.channels_last)
        depth = raw.shape[2]
        found = F.pixel_shuffle(network(seen, depth), 2 * last.shape[-1] // raw.shape[-1]).float()
        return found.reshape(-1, depth, *found.shape[1:]).transpose(1, 2)


def _planes(volume: Tensor) -> Tensor:
    """Put planes into the batch: (N * Z, C, Y, X)."""
    return volume.transpose(1, 2).flatten(0, 1)


def smoothed(volume: Tensor, widths: Sequence[float]) -> Tensor:
    """Average a volume by a Gaussian of these FWHM in voxels, at the faces by what there is."""
    return along_axes(volume, _averaging_matrix, widths)


@lru_cache(maxsize=32)
def _averaging_matrix(length: int, width: float) -> Tensor:
    """Weights with which each of so many voxels in a row enters each averaged one."""
    place = np.arange(length)
    sigma = max(width, 0.3) / math.sqrt(8 * math.log(2))
    weights = np.exp(-0.5 * ((place[:, None] - place) / sigma) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    # What inference makes for itself could take no part in a training later on.
    with torch.inference_mode(False):
        return torch.from_numpy(weights.astype(np.float32))
