"""Two-stage networks: a denoiser, then a deconvolver on a grid twice as fine.

Every network here maps a normalised image (N, 1, Y, X) to the pair (denoised (N, 1, Y, X),
deconvolved (N, 1, 2Y, 2X)). ``multiple`` is what Y and X must be divisible by;
``receptive_field`` is how far, in raw pixels, an input pixel can reach an output, and so the
overlap that makes tiled inference equal to untiled.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .errors import InputError


class TwoStageNetwork(nn.Module):
    """What training and inference ask of a network."""

    multiple: int
    receptive_field: int
    upsampling: int = 2
    bytes_per_pixel: int
    """Working memory of inference for one raw pixel, measured, for choosing tiles."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Give the denoised and the deconvolved image."""
        raise NotImplementedError


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

    def __init__(self) -> None:
        super().__init__()
        self.denoiser = _PublishedUNet()
        self.denoised = _convolution(self.denoiser.outputs, 1)
        self.deconvolver = _PublishedUNet()
        self.head = _convolutions(self.deconvolver.outputs, 128, 128)
        self.deconvolved = _convolution(128, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Give the denoised and the deconvolved image."""
        denoised = softened_relu(self.denoised(self.denoiser(image)), 10.0)
        features = F.interpolate(self.deconvolver(denoised), scale_factor=2.0)
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


class ResidualNetwork(TwoStageNetwork):
    """Two small residual U-Nets, the network of the preset ``fast``.

    The first stage corrects the 5 x 5 mean of its input; the second sees the denoised image
    and the features of the first, and corrects the up-sampled denoised image through a
    sub-pixel head. Both corrections start at zero, so that training begins at a sensible
    image.
    """

    multiple = 4
    receptive_field = 56
    bytes_per_pixel = 2500

    def __init__(self, channels: tuple[int, ...] = (16, 32, 64), sharpness: float = 20.0) -> None:
        super().__init__()
        width = channels[0]
        self.sharpness = sharpness
        self.denoiser = _ResidualUNet(1, channels)
        self.denoised = _convolution(width, 1)
        self.deconvolver = _ResidualUNet(1 + width, channels)
        self.expand = _convolution(width, 2 * width)
        self.deconvolved = _convolution(width // 2, 1)
        for correction in (self.denoised, self.deconvolved):
            nn.init.zeros_(correction.weight)
            nn.init.zeros_(cast(Tensor, correction.bias))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Give the denoised and the deconvolved image."""
        features = self.denoiser(image)
        smooth = F.avg_pool2d(F.pad(image, (2,) * 4, mode="reflect"), 5, stride=1)
        denoised = smooth + self.denoised(features)
        features = self.deconvolver(torch.cat([denoised, features], dim=1))
        fine = F.relu(F.pixel_shuffle(self.expand(features), 2))
        enlarged = F.interpolate(denoised, scale_factor=2.0, mode="bilinear")
        return denoised, softened_relu((enlarged + self.deconvolved(fine)).float(), self.sharpness)


NETWORKS: dict[str, type[TwoStageNetwork]] = {
    "published": PublishedNetwork,
    "residual": ResidualNetwork,
}


def build_network(name: str) -> TwoStageNetwork:
    """Build a network by its name, with fresh weights.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if name not in NETWORKS:
        raise InputError(f"Network {name!r} is unknown: a newer version of zsdeconvnet has it.")
    return NETWORKS[name]()
