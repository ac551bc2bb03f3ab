"""Running a network over frames of any size, tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from .devices import is_out_of_memory, move_network
from .errors import InputError
from .forward import bin_down
from .networks import TwoStageNetwork
from .noise import NoiseModel
from .pairs import MEAN_RADIUS, local_mean, noise_variance, recorrupt
from .tiling import Tile, as_tensor, fitting_tile, tiles, window

FLUX_SIGMA = 16.0
"""Raw pixels; coarser structure than this is taken from the image itself."""

FLUX_REACH = 40
"""Raw pixels at which that Gaussian is cut."""


@dataclass(frozen=True)
class Result:
    """What a model makes of an image: signal in camera counts above the offset, float32.

    A flat image keeps its counts, so the mean of ``deconvolved`` over an area is that of
    ``image - offset``.
    """

    denoised: NDArray[np.float32]
    """On the grid of the image, shape ([T,] Y, X)."""
    deconvolved: NDArray[np.float32]
    """On a grid twice as fine, shape ([T,] 2Y, 2X)."""


@dataclass(frozen=True)
class TileProgress:
    """How far an inference has come."""

    done: int
    total: int
    message: str = ""
    """What the user must be told, such as that tiles were made smaller."""


@dataclass(frozen=True)
class Averaging:
    """Averaging over re-corruptions of the input."""

    repeats: int
    """How many; 0 takes the image as it is."""
    magnitude: float = 1.0
    """alpha of equation 2."""
    seed: int = 0


def infer(
    network: TwoStageNetwork,
    frames: NDArray[np.generic],
    noise: NoiseModel,
    scale: float,
    device: torch.device,
    *,
    tile: int | None = None,
    averaging: Averaging | None = None,
) -> Generator[TileProgress, None, Result]:
    """Denoise and deconvolve frames (T, Y, X) given in counts.

    Tiles overlap by the network's receptive field, so that the result does not depend on
    them. Where memory runs out, smaller tiles are tried and said.

    Yields
    ------
    TileProgress
        After every tile.

    Returns
    -------
    Result
        Both with the axes (T, Y, X).

    Raises
    ------
    InputError
        If memory runs out even with the smallest tiles.
    """
    move_network(network, device).eval()
    least = 2 * _overlap(network) + 4 * network.multiple
    size = max(tile or fitting_tile(device, network.bytes_per_pixel), least)
    message = ""
    while True:
        try:
            return (
                yield from _infer_tiles(
                    network, frames, noise, scale, device, size, averaging, message
                )
            )
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if size <= least:
                raise InputError(
                    f"Memory ran out with the smallest tiles ({least} pixels): close other "
                    "programs or choose another device."
                ) from error
        size = max(size // 2, least)
        message = f"Memory ran out: trying again with tiles of {size} pixels."


def exhaust(
    inference: Generator[TileProgress, None, Result],
    progress: Callable[[TileProgress], None] | None = None,
) -> Result:
    """Run an inference to its end and give its result."""
    while True:
        try:
            state = next(inference)
        except StopIteration as end:
            result: Result = end.value
            return result
        if progress is not None:
            progress(state)


def _infer_tiles(
    network: TwoStageNetwork,
    frames: NDArray[np.generic],
    noise: NoiseModel,
    scale: float,
    device: torch.device,
    size: int,
    averaging: Averaging | None,
    message: str,
) -> Generator[TileProgress, None, Result]:
    length, height, width = frames.shape
    factor = network.upsampling
    denoised = np.empty((length, height, width), np.float32)
    deconvolved = np.empty((length, factor * height, factor * width), np.float32)
    cover = list(tiles((height, width), size, _overlap(network), network.multiple))
    generator = torch.Generator(device).manual_seed(averaging.seed if averaging else 0)
    for index in range(length):
        frame = as_tensor(frames[index])
        for done, place in enumerate(cover, index * len(cover) + 1):
            rim = MEAN_RADIUS
            cut = window(
                frame,
                place.window_top - rim,
                place.window_left - rim,
                place.window_height + 2 * rim,
                place.window_width + 2 * rim,
            )
            image = (cut.to(device)[None, None] - noise.offset) / scale
            fine, sharp = _run(network, image, noise, scale, averaging, generator)
            _paste(denoised[index], fine * scale, place, 1)
            _paste(deconvolved[index], sharp * scale, place, factor)
            yield TileProgress(done, length * len(cover), message)
            message = ""
    return Result(denoised, deconvolved)


def _overlap(network: TwoStageNetwork) -> int:
    """Raw pixels around a result pixel that have a say in it."""
    return network.receptive_field + FLUX_REACH


@torch.inference_mode()
def _run(
    network: TwoStageNetwork,
    image: Tensor,
    noise: NoiseModel,
    scale: float,
    averaging: Averaging | None,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Apply the network to a normalised window that still has the rim H needs."""
    rim = MEAN_RADIUS
    inner = image[..., rim:-rim, rim:-rim]
    if averaging is None or averaging.repeats == 0:
        fine, sharp = give_back_flux(inner, *network(inner))
        return fine[0, 0], sharp[0, 0]
    assert noise.gain is not None
    variance = noise_variance(local_mean(image), noise.gain / scale, noise.read_variance / scale**2)
    magnitude = torch.as_tensor(averaging.magnitude, device=image.device)
    denoised = torch.zeros(())
    deconvolved = torch.zeros(())
    for _ in range(averaging.repeats):
        fine, sharp = network(recorrupt(inner, variance, magnitude, generator)[0])
        denoised = denoised.to(fine) + fine / averaging.repeats
        deconvolved = deconvolved.to(sharp) + sharp / averaging.repeats
    fine, sharp = give_back_flux(inner, denoised, deconvolved)
    return fine[0, 0], sharp[0, 0]


def give_back_flux(image: Tensor, denoised: Tensor, deconvolved: Tensor) -> tuple[Tensor, Tensor]:
    r"""Set the coarsest structure of both outputs to that of the image.

    :math:`f \leftarrow f + (G * (y - f_\downarrow))_\uparrow` with a Gaussian G of standard
    deviation `FLUX_SIGMA`. Over such distances the image itself is nearly free of noise
    (a Gaussian of 16 pixels leaves 1.8 % of it) and of blur, so no network can know better;
    networks trained on noisier inputs than they are shown are off by a few per cent there.

    Parameters
    ----------
    image, denoised, deconvolved : Tensor
        Normalised images above the offset, (N, 1, Y, X), the last on its finer grid.
    """
    factor = deconvolved.shape[-1] // image.shape[-1]
    denoised = denoised + _coarse(image - denoised)
    missing = _coarse(image - bin_down(deconvolved, factor))
    return denoised, deconvolved + F.interpolate(missing, scale_factor=factor, mode="bilinear")


def _coarse(image: Tensor) -> Tensor:
    """Blur with the Gaussian of `give_back_flux`, one axis after the other."""
    places = torch.arange(-FLUX_REACH, FLUX_REACH + 1, device=image.device)
    weights = torch.exp(-0.5 * (places / FLUX_SIGMA) ** 2)
    weights = (weights / weights.sum())[None, None]
    image = F.pad(image, (FLUX_REACH,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(image, weights[..., None, :]), weights[..., :, None])


def _paste(target: NDArray[np.float32], values: Tensor, place: Tile, factor: int) -> None:
    """Copy the inner part of a window's result to where it belongs."""
    top = factor * (place.top - place.window_top)
    left = factor * (place.left - place.window_left)
    height, width = factor * place.height, factor * place.width
    target[
        factor * place.top : factor * place.top + height,
        factor * place.left : factor * place.left + width,
    ] = values[top : top + height, left : left + width].cpu().numpy()
