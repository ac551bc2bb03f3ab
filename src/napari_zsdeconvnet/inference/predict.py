"""Running a network over frames and volumes of any size, tile by tile."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from ..io.image import Image
from ..io.lazy import is_lazy
from ..io.pyramids import in_pyramid
from ..networks.base import TwoStageNetwork
from ..noise.noise_model import NoiseModel
from ..physics.stripe_filter import Damping
from ..utils.devices import is_out_of_memory, move_network
from ..utils.errors import InputError
from ..utils.files import disk_is_free, in_file
from ..utils.memory import available_memory, check_room
from ..utils.phases import doing, go_on
from ..utils.prefetch import WriteBehind
from ..utils.tiling import fitting_tile, largest_window, smaller_tile, smallest_tile, tiles
from .frame_result import FrameResult
from .tile_computer import Averaging, Background, TileComputer, TileSource

T = TypeVar("T")

NEARLY_ALL = 0.85
"""Part of the free memory that a tile may take where it is of little use otherwise."""

MOST_HELD = 0.15
"""Part of the free memory that results take at most; larger ones go to the disk."""


@dataclass(frozen=True)
class Result:
    """What a model makes of an image: signal in camera counts above the offset, float32.

    A flat image keeps its counts, so the mean of ``deconvolved`` over an area is that of
    ``image - offset``, and where there is a background that of ``image - offset - background``.

    Examples
    --------
    >>> import napari_zsdeconvnet as zs
    >>> import numpy as np
    >>> result = zs.Result(np.zeros((64, 64), np.float32), np.zeros((128, 128), np.float32))
    >>> result.background is None
    True
    """

    denoised: NDArray[np.float32]
    """On the grid of the image, shape ([T,] [Z,] Y, X); a background is part of it."""
    deconvolved: NDArray[np.float32]
    """On the output grid, Y and X ``upsampling`` times as long, planes as they are."""
    background: NDArray[np.float32] | None = None
    """Light that is out of focus, on the grid of the image; None where none was estimated."""
    warnings: tuple[str, ...] = ()
    """What of the image was not used, one sentence each; the results hold there what the model
    expects, and no light where nothing was recorded."""


@dataclass(frozen=True)
class TileProgress:
    """How far an inference has come."""

    done: int
    total: int
    message: str = ""
    """What the user must be told, such as that tiles were made smaller."""
    tile: tuple[int, ...] = ()
    """Size of the tiles in raw pixels, overlap included."""


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
    background: Background | None = None,
    into: Result | None = None,
    read_variance: NDArray[np.float32] | None = None,
) -> Generator[TileProgress, None, Result]:
    """Denoise and deconvolve frames (T, [Z,] Y, X) given in counts.

    Tiles overlap by the network's receptive field, so that the result does not depend on
    them. Where memory runs out, smaller tiles are tried and said. Only the window of a tile
    is read at a time, but for a background, which is estimated from each frame as a whole.
    Pixels may each have a read variance of their own, (Y, X).

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
    overlap, multiples = network.reach, network.multiples
    check_memory(network, device, tuple(frames.shape), results=into is None)
    result = into or empty_result(network, tuple(frames.shape), background is not None)
    size = spelled_tile(tile, frames.ndim - 1) or _usual_tile(network, device, frames.shape[1:])
    size = tuple(map(max, size, smallest_tile(overlap, multiples)))
    message = ""
    source = TileSource(frames, damping, read_variance, background)
    computer = TileComputer(network, source, noise, scale, device, averaging)
    while True:
        try:
            yield from _infer_tiles(computer, size, result, message)
            return result
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            smaller = smaller_tile(size, overlap, multiples)
            if smaller is None:
                raise InputError(
                    "memory-exhausted",
                    f"Memory ran out with the smallest tiles ({_in_words(size)}): close other "
                    "programs or choose another device.",
                ) from error
        size = smaller
        message = f"Memory ran out: trying again with tiles of {_in_words(size)}."


def _usual_tile(
    network: TwoStageNetwork, device: torch.device, shape: tuple[int, ...]
) -> tuple[int, ...]:
    """Choose the size of tiles, and where memory is short such that they are of use.

    A window of which most is overlap takes many times as long as all others: so it may take
    nearly all of the memory until it is three times as wide as its overlap.
    """
    reach, border = network.reach, network.border or network.reach
    per_pixel = network.memory_per_pixel(device)
    size = fitting_tile(device, per_pixel, shape, reach, network.multiples, border)
    if device.type != "cpu":
        return size
    least = smallest_tile(reach, network.multiples)[-1]
    room = NEARLY_ALL * available_memory()
    for width in range(max(size[-1], 3 * reach[-1]), least, -4 * network.multiple):
        wider = (*size[:-2], width, width)
        window = largest_window(shape, wider, reach, network.multiples, border)
        if network.memory_of(window, device) <= room:
            return wider
    return (*size[:-2], least, least)


def check_memory(
    network: TwoStageNetwork, device: torch.device, shape: tuple[int, ...], *, results: bool = True
) -> None:
    """Refuse beforehand what memory does not hold even with the smallest tiles.

    Parameters
    ----------
    network, device
        What computes, and where.
    shape
        Of the frames, (T, [Z,] Y, X).
    results
        Whether the results have to be held, too.

    Raises
    ------
    InputError
        With what is needed, what is free, and what to do.
    """
    least = smallest_tile(network.reach, network.multiples)
    border = network.border or network.reach
    window = largest_window(shape[1:], least, network.reach, network.multiples, border)
    held = 0
    if results and not _on_disk(network, shape):
        held = _bytes_of_results(network, shape)
    needed = network.memory_of(window, device) if device.type == "cpu" else 0
    if held > needed:
        check_room(
            needed + held,
            "This image with its results",
            "train on a part of it and apply the model in the command line (predict) with an "
            "OME-Zarr as the output, which is written tile by tile, or cut the image into smaller "
            "ones.",
        )
    elif needed:
        check_room(
            needed + held,
            "Deconvolving this image",
            "close other programs, use a machine with more memory"
            + (", or give a smaller PSF." if len(window) == 3 else "."),
        )


def _bytes_of_results(network: TwoStageNetwork, shape: tuple[int, ...]) -> int:
    return 4 * (math.prod(shape) + math.prod(output_shape(network, shape)))


def _on_disk(network: TwoStageNetwork, shape: tuple[int, ...]) -> bool:
    """Tell whether results are better kept in a file: they would take much of the memory."""
    return _bytes_of_results(network, shape) > MOST_HELD * available_memory() and disk_is_free(
        2 * _bytes_of_results(network, shape)
    )


def empty_result(
    network: TwoStageNetwork, shape: tuple[int, ...], background: bool = False
) -> Result:
    """Make room for the result of frames of this shape, (T, [Z,] Y, X).

    It is in memory, or where that is short in files without a name, which go with the result.
    """
    make = in_file if _on_disk(network, shape) else _in_memory
    return Result(
        make(shape), make(output_shape(network, shape)), make(shape) if background else None
    )


def in_pyramids(result: Result, placed: Callable[[Any], Image]) -> Result:
    """Give what lies in files of a result as OME-Zarr in several resolutions, to be shown.

    Parameters
    ----------
    result
        As from `infer`.
    placed
        Gives pixels their axes and voxel size, as `Mode.placed`.

    Returns
    -------
    Result
        With a `Pyramid` for all that lies in files, unless `placed` gives it another shape.
    """
    levels: dict[str, Any] = {}
    for name in ("denoised", "deconvolved", "background"):
        pixels = getattr(result, name)
        if pixels is None or not is_lazy(pixels):
            continue
        image = placed(pixels)
        if image.data.shape == pixels.shape:
            doing(f"writing the {name} image in several resolutions")
            levels[name] = in_pyramid(image)
    return replace(result, **levels)


def _in_memory(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.empty(shape, np.float32)


def output_shape(network: TwoStageNetwork, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of the deconvolved image of an image of any axes that end in Y, X."""
    *others, height, width = shape
    return (*others, network.upsampling * height, network.upsampling * width)


def spelled_tile(tile: int | tuple[int, ...] | None, dimensions: int) -> tuple[int, ...] | None:
    """Spell out a tile's size: one number is its width, and a volume's tile has all planes."""
    if tile is None:
        return None
    given = (tile,) if isinstance(tile, int) else tuple(tile)
    if len(given) == 1:
        given = (*((10**6,) if dimensions == 3 else ()), *given, *given)
    if len(given) != dimensions:
        raise InputError(
            "tile-wrong",
            f"The tile is {tile}: give one number, or one for each of the {dimensions} axes.",
        )
    return given


def _in_words(size: tuple[int, ...]) -> str:
    *depth, height, width = size
    if not depth:
        return f"{max(height, width)} pixels"
    return f"{depth[0]} x {height} x {width} voxels"


def exhaust(
    steps: Generator[TileProgress, None, T],
    progress: Callable[[TileProgress], None] | None = None,
) -> T:
    """Run an inference, or whatever is made of some, to its end and give its result."""
    while True:
        try:
            state = next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        if progress is not None:
            progress(state)


def _infer_tiles(
    computer: TileComputer,
    size: tuple[int, ...],
    result: Result,
    message: str,
) -> Generator[TileProgress, None, None]:
    network = computer.network
    length, *shape = computer.source.frames.shape
    cover = list(tiles(shape, size, network.reach, network.multiples, network.border))
    computed = computer(product(range(length), cover))
    with closing(computed), WriteBehind() as behind:
        for index in range(length):
            room = FrameResult(network, result, index, computer.scale)
            for done in range(index * len(cover) + 1, (index + 1) * len(cover) + 1):
                go_on()
                tile = next(computed)
                room.see(tile)
                behind(room.put, tile)
                if done == (index + 1) * len(cover):
                    behind(room.finish)
                yield TileProgress(done, length * len(cover), message, size)
                message = ""
