"""Re-corruption: two images with independent noise from one, equations 2 and 3."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

MEAN_RADIUS = 2
"""Half-width of the 5 x 5 averaging filter H of equation 3."""

MEAN_DEPTH = 1
"""Its half-width along Z: in a volume H averages 3 x 5 x 5 voxels."""


def recorrupt(
    image: Tensor,
    variance: Tensor,
    magnitude: Tensor,
    generator: torch.Generator | None = None,
    correlation: tuple[float, ...] | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Split one noisy image into two with independent noise (equation 2).

    :math:`\hat y = y + \alpha z` and :math:`\tilde y = y - z / \alpha` with
    :math:`z \sim N(0, \sigma^2)`. Where :math:`\sigma^2` is the variance of the noise in
    ``y``, the noises of both results are uncorrelated (Pang et al., CVPR 2021).

    Parameters
    ----------
    image, variance : Tensor
        The noisy image and :math:`\sigma^2` for each of its pixels.
    magnitude : Tensor
        :math:`\alpha`, broadcast against the image.
    generator : torch.Generator, optional
        Source of the random numbers, on the image's device.
    correlation : tuple of float, optional
        How neighbours share the noise in ``y``, along ([z,] y, x): only where they share z alike
        are the noises of both results uncorrelated.
    """
    drawn = torch.randn(image.shape, generator=generator, device=image.device)
    noise = shared(drawn, correlation) * variance.sqrt()
    return image + magnitude * noise, image - noise / magnitude


def shared(noise: Tensor, correlation: tuple[float, ...] | None) -> Tensor:
    r"""Let neighbours share white noise (..., [Z,] Y, X), its variance kept.

    Each value becomes :math:`\cos\theta\, z_i + \sin\theta\, z_{i-1}` along an axis with
    :math:`\sin 2\theta = 2 \rho`, so that neighbours correlate by :math:`\rho`, -0.5 to 0.5, and no
    others do.
    """
    for axis, value in enumerate(correlation or (), -len(correlation or ())):
        angle = math.asin(2 * value) / 2
        if angle:
            noise = math.cos(angle) * noise + math.sin(angle) * noise.roll(1, axis)
    return noise


def noise_variance(smoothed: Tensor, shot: Tensor | float, read: Tensor | float) -> Tensor:
    r"""Equation 3: :math:`\sigma^2 = \beta_1 H(y - b) + \beta_2`, never negative.

    :math:`H(y - b)` is smoothed (`local_mean`); :math:`\beta_1` and :math:`\beta_2` are the slope
    of variance over mean and the read variance, each times a number near 1, in the image's units.
    """
    return (shot * smoothed + read).clamp(min=0)


def unevenness(smoothed: Tensor, shot: float, own: Tensor, typical: float) -> Tensor:
    """Variance of the noise of pixels that differ over that of a typical one in the same light.

    Slope and read variance of the typical camera, and each pixel's own read variance, are in the
    image's units.
    """
    light = shot * smoothed.clamp(min=0)
    return (light + own) / (light + typical).clamp(min=1e-9)


def local_mean(image: Tensor) -> Tensor:
    """H of equation 3, the mean over 5 x 5 pixels, in a volume 3 x 5 x 5.

    The result is narrower by `mean_reach` on each side.
    """
    if image.ndim == 4:
        return F.avg_pool2d(image, 2 * MEAN_RADIUS + 1, stride=1)
    # Along one axis after the other: torch takes several times as long to pool in 3D.
    for axis, reach in enumerate(mean_reach(3), 2):
        count = 2 * reach + 1
        width = image.shape[axis] - 2 * reach
        total = image.narrow(axis, 0, width).clone()
        for first in range(1, count):
            total += image.narrow(axis, first, width)
        image = total / count
    return image


def mean_reach(dimensions: int) -> tuple[int, ...]:
    """Half-width of `local_mean` along each spatial axis."""
    return (MEAN_DEPTH, MEAN_RADIUS, MEAN_RADIUS)[-dimensions:]
