"""What a result rests on: the same model on other noise, with another PSF, and on nothing.

Re-corruptions (equation 2 with alpha 1) come in pairs of opposite noise, ``y + z`` and ``y - z``
with z of the variance of the noise in y. The noises of the two are independent, and half of the
difference of two results is what the noise of one recording does to a result.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import fft, ndimage

from ..inference.predict import TileProgress
from ..model.model import Model
from ..model.told_noise import tell_noise
from ..networks.registry import build_network
from ..noise.camera_maps import CameraMaps
from ..noise.noise_model import NoiseModel
from ..noise.pixel_mask import PixelMask
from ..noise.recorruption import shared
from ..psf.psf import PSF
from .data_consistency import FEWEST_MODES, beyond_cutoff, inside, local_variance
from .spectra import FloatArray

SMOOTHING = 2.0
"""Output pixels over which the variance of a few repeats is averaged."""

Followed = Callable[[FloatArray, FloatArray], tuple[float, bool]]
"""Gives what `noise_followed` does."""


@dataclass(frozen=True, eq=False)
class Spread:
    """What noise does to a result.

    Attributes
    ----------
    mean
        Of the results of all re-corruptions, ([Z,] Y, X) on the output grid.
    deviation
        Standard deviation of a result for the noise of one recording, likewise.
    first, second
        Results of the first pair of re-corruptions, whose noises are independent.
    followed
        Part of the noise that the denoised image follows, beyond the optical cutoff, where
        there is nothing else to follow; of all frequencies where the pixels are too coarse.
    beyond
        Whether it is of those beyond the cutoff.
    """

    mean: FloatArray
    deviation: FloatArray
    first: NDArray[np.float32]
    second: NDArray[np.float32]
    followed: float
    beyond: bool


@dataclass(frozen=True)
class Blank:
    """What a model makes of background alone.

    Attributes
    ----------
    level
        Light of the background, counts above the offset.
    noise
        Standard deviation of the background shown, counts.
    structure
        How far the 99.9th percentile of the result lies above its mean, counts.
    """

    level: float
    noise: float
    structure: float


def recorruptions(
    image: ArrayLike,
    noise: NoiseModel,
    pairs: int,
    seed: int = 0,
    read_variance: ArrayLike | None = None,
    noisy: ArrayLike | None = None,
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Give pairs of re-corruptions of an image with opposite noise (equations 2 and 3).

    The image is ([Z,] Y, X) counts, the camera's gain is known, and the read variance may be each
    pixel's own, (Y, X). Where the image is not `noisy`, something stands for the pixels.
    """
    values = np.asarray(image, dtype=float)
    deviation = np.sqrt(local_variance(values, noise, read_variance))
    if noisy is not None:
        deviation *= np.asarray(noisy, dtype=float)
    rng = np.random.default_rng(seed)
    for _ in range(pairs):
        drawn = shared(torch.from_numpy(rng.normal(size=values.shape)), noise.correlation).numpy()
        drawn *= deviation
        yield values + drawn, values - drawn


def iter_spread(
    model: Model,
    pairs: Iterable[tuple[ArrayLike, ArrayLike]],
    followed: Followed,
    device: str,
    camera: CameraMaps | None = None,
    mask: PixelMask | None = None,
) -> Generator[TileProgress, None, Spread]:
    """Send pairs of re-corruptions through a model; yields per tile, returns `Spread`.

    Parameters
    ----------
    model
        What they go through.
    pairs
        One or more, of opposite noise.
    followed
        Gets what the two of a pair and their denoised results differ by, and says what
        `noise_followed` does.
    device
        See `devices.resolve_device`.
    camera
        Maps of the camera that recorded them.
    mask
        What must not be used of each, (1, [Z,] Y, X); None searches each anew.
    """
    total: FloatArray | None = None
    shares = []
    for pair in pairs:
        results = []
        for noisy in pair:
            steps = model.iter_predict(
                noisy, axes=model.axes, device=device, camera=camera, mask=mask
            )
            results.append((yield from steps))
        one, other = (result.deconvolved for result in results)
        if total is None:
            first, second = one, other
            total = np.zeros(one.shape)
            squares = np.zeros(one.shape)
        total += np.add(one, other, dtype=float)
        squares += np.subtract(one, other, dtype=float) ** 2
        denoised = [result.denoised for result in results]
        shares.append(followed(np.subtract(*pair), np.subtract(*denoised, dtype=float)))
    assert total is not None
    lateral = (0.0,) * (total.ndim - 2) + (SMOOTHING, SMOOTHING)
    variance = ndimage.gaussian_filter(squares / (4 * len(shares)), lateral)
    return Spread(
        total / (2 * len(shares)),
        np.sqrt(variance),
        first,
        second,
        followed=float(np.mean([share for share, _ in shares])),
        beyond=shares[0][1],
    )


def noise_followed(
    drawn: FloatArray, response: FloatArray, psf: PSF, upsampling: int
) -> tuple[float, bool]:
    r"""Measure which part of a change of its input an output follows.

    :math:`\sum Z^* D / \sum |Z|^2` over the spectrum beyond the optical cutoff: 0 for a denoiser
    that sees through noise, 1 for one that gives its input back. Over all frequencies it is an
    estimate of the network's degrees of freedom a pixel, as in Stein's unbiased risk.

    Parameters
    ----------
    drawn, response
        Changes of input and output, both in standard deviations of the noise, ([Z,] Y, X).
    psf
        On the output grid.
    upsampling
        1 or 2.

    Returns
    -------
    share : float
    beyond : bool
        Whether there was enough beyond the cutoff; otherwise all frequencies count.
    """
    inner = inside(drawn.shape, psf, upsampling)
    z, d = (fft.fft2(values[inner]) for values in (drawn, response))
    taken = beyond_cutoff(z.shape, psf, upsampling)
    enough = int(taken.sum()) >= FEWEST_MODES
    if not enough:
        taken = np.ones(z.shape, dtype=bool)
    share = (d * np.conj(z)).real[taken].sum() / (np.abs(z) ** 2)[taken].sum()
    return float(share), enough


def scaled(psf: PSF, factor: float) -> PSF:
    """Make a PSF wider (above 1) or narrower, on the same grid."""
    wider = replace(psf, voxel_size=tuple(factor * step for step in psf.steps))
    return replace(wider.resampled(psf.steps), voxel_size=psf.voxel_size)


def with_psf(model: Model, psf: PSF) -> Model | None:
    """Give the same network with another PSF in it; None where the network has none.

    The published networks keep no PSF of their own: theirs is in the weights.
    """
    name = str(model.settings["network"])
    if name.startswith("published"):
        return None
    network = build_network(name, psf, model.upsampling)
    tell_noise(network, model.noise, model.scale, model.camera, model.reconstruction)
    network.load_state_dict(model.network.state_dict())
    return replace(model, network=network.eval(), psf=psf)


def background_level(denoised: ArrayLike) -> float:
    """Light of the darkest twentieth of an image, counts above the offset, at least zero."""
    return max(float(np.percentile(np.asarray(denoised), 5)), 0.0)


def iter_blank(
    model: Model, background: ArrayLike, level: float, noise: float, device: str
) -> Generator[TileProgress, None, Blank]:
    """Show a model an image of background; yields per tile, returns `Blank`.

    The background has that light above the offset and that standard deviation, counts, and nothing
    else.
    """
    nothing = PixelMask((1, *np.shape(background)), {})
    result = yield from model.iter_predict(background, axes=model.axes, device=device, mask=nothing)
    shown = result.deconvolved.astype(float)
    structure = float(np.percentile(shown, 99.9) - shown.mean())
    return Blank(level, noise, structure)
