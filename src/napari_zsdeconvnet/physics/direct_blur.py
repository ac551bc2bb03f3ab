"""The microscope and its way back as plain convolutions, for graphs that leave this program."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

import numpy as np
import torch
from scipy import signal
from torch import Tensor, nn
from torch.nn import functional as F


class DirectBlurAndBin(nn.Module):
    r"""`BlurAndBin` without Fourier transforms and without a choice by size or device.

    Parameters
    ----------
    psf : ndarray
        2D, odd in both axes, sum 1, centre in its middle pixel.
    factor : int
        Output pixels side by side in a raw pixel.
    """

    gathering: Tensor
    spreading: Tensor

    def __init__(self, psf: np.ndarray, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.radius = tuple(size // 2 for size in psf.shape)
        self.raw_radius = tuple(math.ceil(radius / factor) for radius in self.radius)
        kernel = psf.astype(np.float64)
        pixel = np.full((factor, factor), factor**-2.0)
        gathering = signal.convolve(kernel[::-1, ::-1], pixel, "full")
        spreading = np.zeros((factor**2, *(2 * radius + 1 for radius in self.raw_radius)))
        for inside, (row, column) in enumerate(product(range(factor), repeat=2)):
            rows, columns = (
                (start + np.arange(size) - radius) // factor + reach
                for start, size, radius, reach in zip(
                    (row, column), psf.shape, self.radius, self.raw_radius, strict=True
                )
            )
            np.add.at(spreading[inside], np.ix_(rows, columns), kernel)
        self.register_buffer("gathering", torch.from_numpy(gathering).float()[None, None])
        self.register_buffer("spreading", torch.from_numpy(spreading).float()[:, None])

    def forward(self, image: Tensor) -> Tensor:
        """Blur an image (N, 1, Y, X), wider than the PSF, and bin it to the raw grid."""
        return F.conv2d(mirrored(image, self.radius), self.gathering, stride=self.factor)

    def adjoint(self, image: Tensor) -> Tensor:
        """Give `BlurAndBin.adjoint` of an image (N, 1, Y, X) on the raw grid."""
        spread = F.conv2d(mirrored(image, self.raw_radius), self.spreading)
        return F.pixel_shuffle(spread, self.factor)

    def bands(self, image: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Give `forward` as a single band."""
        yield slice(None), self(image)

    def adjoint_bands(self, image: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Give `adjoint` as a single band."""
        yield slice(None), self.adjoint(image)


def mirrored(image: Tensor, widths: tuple[int, ...]) -> Tensor:
    """Continue an image (N, C, Y, X) by reflection; it is wider than these rims (Y, X)."""
    rows, columns = widths
    return F.pad(image, (columns, columns, rows, rows), mode="reflect")
