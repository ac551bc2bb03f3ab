"""Running a network over frames and volumes of any size, tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from .damping import Damping
from .devices import is_out_of_memory, move_network, thread_count, threads
from .errors import InputError
from .forward import bin_down, enlarge
from .networks import TwoStageNetwork
from .noise import NoiseModel
from .pairs import local_mean, mean_reach, noise_variance, recorrupt
from .tiling import Tile, fitting_tile, smaller_tile, smallest_tile, tiles, window

FLUX_SIGMA = 16.0
"""Raw pixels; coarser structure than this is taken from the image itself."""

FLUX_REACH = 40
"""Raw pixels at which that Gaussian is cut."""


MOST_LOST = 0.8
"""Part of the light that a deconvolved volume holds at least, unless it is blank."""


@dataclass(frozen=True)
class Result:
    """What a model makes of an image: signal in camera counts above the offset, float32.

    A flat image keeps its counts, so the mean of ``deconvolved`` over an area is that of
    ``image - offset``.
    """

    denoised: NDArray[np.float32]
    """On the grid of the image, shape ([T,] [Z,] Y, X)."""
    deconvolved: NDArray[np.float32]
    """On the output grid, Y and X ``upsampling`` times as long, planes as they are."""


@dataclass(frozen=True)
class TileProgress:
    """How far an inference has come."""

    done: int
    total: int
    message: str = ""
    """What the user must be told, such as that tiles were made smaller."""
    tile: tuple[int, ...] = ()
    """Size of the tiles in raw pixels, overlap included."""


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
    tile: int | tuple[int, ...] | None = None,
    averaging: Averaging | None = None,
    damping: Damping | None = None,
    into: Result | None = None,
) -> Generator[TileProgress, None, Result]:
    """Denoise and deconvolve frames (T, [Z,] Y, X) given in counts.

    Tiles overlap by the network's receptive field, so that the result does not depend on
    them. Where memory runs out, smaller tiles are tried and said. Only the window of a tile
    is read at a time.

    Yields
    ------
    TileProgress
        After every tile.

    Returns
    -------
    Result
        ``into``, or arrays in memory, with the axes of the frames.

    Raises
    ------
    InputError
        If memory runs out even with the smallest tiles.
    """
    move_network(network, device).eval()
    shape = tuple(frames.shape[1:])
    overlap, multiples = _overlap(network), network.multiples
    size = _tile_size(tile, len(shape)) or fitting_tile(
        device,
        network.bytes_per_pixel,
        shape,
        overlap,
        multiples,
        network.border or overlap,
    )
    size = tuple(map(max, size, smallest_tile(overlap, multiples)))
    result = into or empty_result(network, tuple(frames.shape))
    message = ""
    while True:
        try:
            yield from _infer_tiles(
                network, frames, noise, scale, device, size, averaging, damping, result, message
            )
            return result
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            smaller = smaller_tile(size, overlap, multiples)
            if smaller is None:
                raise InputError(
                    f"Memory ran out with the smallest tiles ({_in_words(size)}): close other "
                    "programs or choose another device."
                ) from error
        size = smaller
        message = f"Memory ran out: trying again with tiles of {_in_words(size)}."


def empty_result(network: TwoStageNetwork, shape: tuple[int, ...]) -> Result:
    """Make room in memory for the result of frames of this shape, (T, [Z,] Y, X)."""
    return Result(np.empty(shape, np.float32), np.empty(output_shape(network, shape), np.float32))


def output_shape(network: TwoStageNetwork, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of the deconvolved image of an image of any axes that end in Y, X."""
    *others, height, width = shape
    return (*others, network.upsampling * height, network.upsampling * width)


def _tile_size(tile: int | tuple[int, ...] | None, dimensions: int) -> tuple[int, ...] | None:
    """Spell out a tile's size: one number is its width, and a volume's tile has all planes."""
    if tile is None:
        return None
    given = (tile,) if isinstance(tile, int) else tuple(tile)
    if len(given) == 1:
        given = (*((10**6,) if dimensions == 3 else ()), *given, *given)
    if len(given) != dimensions:
        raise InputError(
            f"tile is {tile}: give one number, or one for each of the {dimensions} axes."
        )
    return given


def _in_words(size: tuple[int, ...]) -> str:
    *depth, height, width = size
    if not depth:
        return f"{max(height, width)} pixels"
    return f"{depth[0]} x {height} x {width} voxels"


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
    size: tuple[int, ...],
    averaging: Averaging | None,
    damping: Damping | None,
    result: Result,
    message: str,
) -> Generator[TileProgress, None, None]:
    length, *shape = frames.shape
    factor = network.upsampling
    cover = list(tiles(shape, size, _overlap(network), network.multiples, network.border))
    generator = torch.Generator(device).manual_seed(averaging.seed if averaging else 0)
    rims = mean_reach(len(shape))
    number = thread_count(device)
    for index in range(length):
        source: NDArray[Any] = frames
        place_in_time = index
        if damping is not None:
            source, place_in_time = damping.apply(frames[index])[None], 0
        light = found = 0.0
        for done, place in enumerate(cover, index * len(cover) + 1):
            cut = window(
                source,
                place_in_time,
                [start - rim for start, rim in zip(place.window_start, rims, strict=True)],
                [width + 2 * rim for width, rim in zip(place.window_shape, rims, strict=True)],
            )
            image = (cut.to(device)[None, None] - noise.offset) / scale
            with threads(number):
                fine, sharp = _run(network, image, noise, scale, averaging, generator)
            light += _paste(result.denoised, index, fine * scale, place, 1)
            found += _paste(result.deconvolved, index, sharp * scale, place, factor)
            if network.axial_field is not None and done == (index + 1) * len(cover):
                _balance_light(result.deconvolved, index, light, found / factor**2)
            yield TileProgress(done, length * len(cover), message, size)
            message = ""


def _balance_light(
    deconvolved: NDArray[np.float32], index: int, light: float, found: float
) -> None:
    """Give a deconvolved volume the light of the denoised one, which is that of the recording.

    Light that crosses the borders of a stack leaves the two a few per cent apart. Where they
    are further apart there is next to none, and what there is is left alone.
    """
    share = light / found if found > 0 else 0.0
    if MOST_LOST < share < 1 / MOST_LOST:
        for plane in range(deconvolved.shape[1]):
            deconvolved[index, plane] = deconvolved[index, plane] * np.float32(share)


def _overlap(network: TwoStageNetwork) -> tuple[int, ...]:
    """Raw pixels around a result pixel that have a say in it, along each axis."""
    flux = FLUX_REACH if network.axial_field is None else 0
    return tuple(reach + flux for reach in network.reach)


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
    without_rim: tuple[Any, ...] = (
        ...,
        *(slice(rim, -rim) for rim in mean_reach(image.ndim - 2)),
    )
    inner = image[without_rim]
    if averaging is None or averaging.repeats == 0:
        fine, sharp = network(inner)
    else:
        assert noise.gain is not None
        variance = noise_variance(
            local_mean(image), noise.gain / scale, noise.read_variance / scale**2
        )
        magnitude = torch.as_tensor(averaging.magnitude, device=image.device)
        fine, sharp = torch.zeros(()), torch.zeros(())
        for _ in range(averaging.repeats):
            noisier = recorrupt(inner, variance, magnitude, generator)[0]
            once, sharper = network(noisier, 1 + averaging.magnitude**2)
            fine = fine.to(once) + once / averaging.repeats
            sharp = sharp.to(sharper) + sharper / averaging.repeats
    if network.axial_field is None:
        # Out-of-focus light makes the coarse structure of a volume's image other than that of
        # the sample: there the networks themselves keep the light.
        fine, sharp = give_back_flux(inner, fine, sharp)
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
    return denoised, deconvolved + enlarge(missing, factor, "linear")


def _coarse(image: Tensor) -> Tensor:
    """Blur with the Gaussian of `give_back_flux`, one axis after the other."""
    places = torch.arange(-FLUX_REACH, FLUX_REACH + 1, device=image.device)
    weights = torch.exp(-0.5 * (places / FLUX_SIGMA) ** 2)
    weights = (weights / weights.sum())[None, None]
    image = F.pad(image, (FLUX_REACH,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(image, weights[..., None, :]), weights[..., :, None])


def _paste(
    target: NDArray[np.float32], index: int, values: Tensor, place: Tile, factor: int
) -> float:
    """Copy the inner part of a window's result to where it belongs; gives its sum."""
    factors = (1, factor, factor)[-len(place.shape) :]
    there: list[Any] = [index]
    here = []
    for scale, start, length, begin in zip(
        factors, place.start, place.shape, place.window_start, strict=True
    ):
        there.append(slice(scale * start, scale * (start + length)))
        here.append(slice(scale * (start - begin), scale * (start - begin + length)))
    inner = values[tuple(here)].cpu().numpy()
    target[tuple(there)] = inner
    return float(inner.sum(dtype=np.float64))
