"""What a result explains of its volume's image, with light from beyond the faces."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional as F

from ..psf.psf import PSF
from ..utils.phases import go_on
from .forward import bin_down, continued, enlarge, remaining_blur
from .open_field import OpenField, binned, margins

WIDER = 4
"""Output pixels side by side in those on which light from beyond is estimated: it is smooth."""

STEPS = 40
"""Accelerated steps of Richardson-Lucy for it; as many plain ones leave regions near structure that
goes on beyond a face 5 % off, these 2 %."""

DARKEST = 0.001
"""Share of the pixels that may be darker than what is added to both sides of these steps, so that
noise below zero is compared as it is and single dead pixels do not slow them."""

REGION = (8, 32, 32)
"""Raw voxels of a region whose light is compared."""

FAINT = 0.3
"""Light of a region, over the mean of all, at which what it lacks is no longer relative to it."""

CHANCE = 4.0
"""Standard errors that a region may be off by chance; there are many of them."""


@torch.inference_mode()
def volume_reblurred(
    recorded: ArrayLike,
    deconvolved: ArrayLike,
    psf: PSF,
    upsampling: int,
    stated_width: tuple[float, ...] | None = None,
) -> NDArray[np.float32]:
    r"""Give what would be recorded of a result and of what lies beyond the faces of its stack.

    :math:`H (f + o)`, with `f` the result and `o` a structure outside of the stack alone: it
    begins as the mirror image of `f`, and steps of Richardson-Lucy on wide pixels fit it to
    what `f` leaves unexplained.

    Parameters
    ----------
    recorded
        Counts above the offset, (Z, Y, X).
    deconvolved
        On the output grid, likewise.
    psf
        3D, on that grid.
    upsampling
        1 or 2.
    stated_width
        As for `data_consistency.residual`.

    Returns
    -------
    numpy.ndarray
        (Z, Y, X) float32, on the grid of the recording.
    """
    sharp, image = (
        torch.from_numpy(np.array(values, dtype=np.float32))[None, None]
        for values in (deconvolved, recorded)
    )
    whole = OpenField(psf.array, sharp.shape[2:], upsampling, stated_width=stated_width)
    seen = whole.blurred_result(sharp)
    del whole  # transfer functions of a large volume are large
    raw_pixels = WIDER // upsampling
    coarse_image, coarse_seen, coarse_sharp = (
        _binned(values, factor)
        for values, factor in ((image, raw_pixels), (seen, raw_pixels), (sharp, WIDER))
    )
    *axial, rows, columns = margins(psf.array.shape)
    field = OpenField(
        binned(remaining_blur(psf.array, stated_width), WIDER),
        coarse_sharp.shape[2:],
        margin=(*axial, -(-rows // WIDER), -(-columns // WIDER)),
    )
    outside = continued(coarse_sharp.clamp(min=0.0), field.margins) + 1e-6
    field.inside(outside).zero_()
    # At first as bright as it explains best what is missing: a mirror image need not be true.
    light = field.expected(outside)
    missing = float((light * (coarse_image - coarse_seen)).sum() / light.square().sum())
    outside *= max(missing, 1e-3)
    # Noise below zero counts, too: else a dim stack would seem to hold more light than it does.
    darkest = float(np.quantile(coarse_image.numpy(), DARKEST))
    small = max(0.01 * float(coarse_image.mean()), -darkest, 1e-8)
    leading, tiny = outside, 1e-5 * float(coarse_image.mean().clamp(min=0.0)) + 1e-12
    for step in range(STEPS):
        go_on()
        ratio = (coarse_image + small).clamp(min=0.0)
        ratio /= (coarse_seen + field.expected(leading)).clamp(min=0.0) + small
        moved = leading * field.factor(ratio).clamp(0.01, 20.0)
        change = (moved / (outside + tiny)).clamp(0.2, 5.0)
        outside, leading = moved, moved * change ** (step / (step + 3))
    beyond = enlarge(field.expected(outside), raw_pixels, "linear")
    rows, columns = image.shape[-2:]
    return np.asarray((seen + beyond[..., :rows, :columns])[0, 0].numpy())


def uneven_light(recorded: ArrayLike, reblurred: ArrayLike, variance: ArrayLike) -> float:
    """Largest share of its light that a region lacks or has too much, beyond what chance does.

    Parameters
    ----------
    recorded, reblurred
        Counts above the offset, (Z, Y, X).
    variance
        Of the noise of the former, counts squared.

    Returns
    -------
    float
        0 where all regions agree within the noise.
    """
    light, found, noise = (_regions(values) for values in (recorded, reblurred, variance))
    excess = np.abs(found - light) - CHANCE * np.sqrt(noise)
    level = np.maximum(light, FAINT * light.mean())
    return float(np.max(np.where(level > 0, excess / level, 0.0).clip(min=0.0)))


def _regions(values: ArrayLike) -> NDArray[np.float64]:
    """Sum a volume (Z, Y, X) region by region; what is left at the ends is in none."""
    volume = np.asarray(values, dtype=float)
    sizes = [min(size, length) for size, length in zip(REGION, volume.shape, strict=True)]
    counts = [length // size for length, size in zip(volume.shape, sizes, strict=True)]
    whole = tuple(slice(count * size) for count, size in zip(counts, sizes, strict=True))
    pairs = [n for pair in zip(counts, sizes, strict=True) for n in pair]
    return np.asarray(volume[whole].reshape(pairs).sum(axis=(1, 3, 5)))


def _binned(volume: Tensor, factor: int) -> Tensor:
    rows, columns = (-n % factor for n in volume.shape[-2:])
    return bin_down(F.pad(volume, (0, columns, 0, rows, 0, 0), mode="replicate"), factor)
