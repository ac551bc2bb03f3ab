"""What a network makes of a recording tile by tile, each computed from its window alone."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..networks.base import TwoStageNetwork
from ..noise.noise_model import NoiseModel
from ..noise.recorruption import local_mean, mean_reach, noise_variance, recorrupt, unevenness
from ..physics.stripe_filter import Damping
from ..utils.devices import thread_count, threads
from ..utils.prefetch import read_ahead
from ..utils.tiling import Tile, window, window_of_map

Background = Callable[[NDArray[Any]], NDArray[np.float32]]
"""Gives the out-of-focus background of a frame (Y, X), both in counts, the former above the
offset."""


@dataclass(frozen=True)
class Averaging:
    """Averaging over re-corruptions of the input."""

    repeats: int
    """How many; 0 takes the image as it is."""
    magnitude: float = 1.0
    """alpha of equation 2."""
    seed: int = 0


class ComputedTile(NamedTuple):
    """The window of a tile and what the network makes of it, (1, 1, [Z,] Y, X), normalised."""

    frame: int
    """Its index."""
    place: Tile
    image: Tensor
    """Above the offset."""
    fine: Tensor
    """Denoised, on the grid of the image."""
    sharp: Tensor
    """Deconvolved, on the output grid."""
    haze: Tensor | None
    """The background, where there is one."""


@dataclass
class TileComputer:
    """Computes tiles in any order, on any machine: each depends on its window alone.

    Averaging draws from one generator, tile by tile, and so needs all of them in order.

    Attributes
    ----------
    network, source, noise, scale, device, averaging
        As for `infer`; the network is where it computes.
    """

    network: TwoStageNetwork
    source: TileSource
    noise: NoiseModel
    scale: float
    device: torch.device
    averaging: Averaging | None = None

    def __call__(self, places: Iterable[tuple[int, Tile]]) -> Generator[ComputedTile, None, None]:
        """Give the tiles one by one, the next being read while one is computed."""
        listed = list(places)
        seed = self.averaging.seed if self.averaging else 0
        generator = torch.Generator(self.device).manual_seed(seed)
        number, maps = thread_count(self.device), len(self.source.maps)
        with closing(read_ahead(self.source, listed)) as windows:
            for (index, place), read in zip(listed, windows, strict=True):
                layers = read.to(self.device)[None]
                inner = _without_rim(layers.ndim - 2)
                image = (layers[:, :1] - self.noise.offset) / self.scale
                haze = None
                if self.source.background is not None:
                    haze = layers[:, -1:][inner] / self.scale
                with threads(number):
                    fine, sharp = _run(
                        self.network,
                        image,
                        layers[:, 1 : 1 + maps],
                        self.noise,
                        self.scale,
                        self.averaging,
                        generator,
                        haze,
                    )
                yield ComputedTile(index, place, image[inner], fine, sharp, haze)


class TileSource:
    """What tiles are computed from, cut out of a series one after the other.

    Windows are (1, [Z,] Y, X), or with each pixel's read variance behind the image and the
    background last, counts above the offset, up to (3, [Z,] Y, X).
    """

    def __init__(
        self,
        frames: NDArray[np.generic],
        damping: Damping | None,
        read_variance: NDArray[np.float32] | None,
        background: Background | None,
    ) -> None:
        self.frames = frames
        self.damping = damping
        self.maps = () if read_variance is None else (read_variance,)
        self.background = background
        self._whole: tuple[int, NDArray[Any], NDArray[np.float32] | None] | None = None

    def __call__(self, wanted: tuple[int, Tile]) -> Tensor:
        """Cut a tile's window out of a frame, with the rim that H needs."""
        index, place = wanted
        rims = mean_reach(len(place.shape))
        start = [first - rim for first, rim in zip(place.window_start, rims, strict=True)]
        shape = [width + 2 * rim for width, rim in zip(place.window_shape, rims, strict=True)]
        frames, haze = self.frames, None
        if self.damping is not None or self.background is not None:
            frames, haze = self._whole_frame(index)
            index = 0
        layers = [window(frames, index, start, shape)]
        layers += [window_of_map(pixels, start, shape) for pixels in self.maps]
        if haze is not None:
            layers.append(window(haze[None], 0, start, shape))
        return torch.stack(layers)

    def _whole_frame(self, index: int) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
        """Give a frame (1, [Z,] Y, X), damped if need be, and its background."""
        if self._whole is None or self._whole[0] != index:
            frame = np.asarray(self.frames[index])
            if self.damping is not None:
                frame = self.damping.apply(frame)
            haze = None if self.background is None else self.background(frame)
            self._whole = index, frame[None], haze
        return self._whole[1:]


@torch.inference_mode()
def _run(
    network: TwoStageNetwork,
    image: Tensor,
    maps: Tensor,
    noise: NoiseModel,
    scale: float,
    averaging: Averaging | None,
    generator: torch.Generator,
    haze: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Apply the network to a normalised window that still has the rim H needs.

    ``maps`` holds each pixel's read variance in counts squared, or no channel; ``haze`` is a
    background without that rim.
    """
    without_rim = _without_rim(image.ndim - 2)
    inner = image[without_rim]
    known = {} if haze is None else {"background": haze}
    read: Tensor | float = noise.read_variance / scale**2
    excess: Tensor | float = 1.0
    if maps.shape[1] and noise.slope is not None:
        own, typical = maps[without_rim] / scale**2, noise.read_variance / scale**2
        excess = unevenness(local_mean(image), noise.slope / scale, own, typical)
        read = own
    if averaging is None or averaging.repeats == 0:
        fine, sharp = network(inner, excess, **known)
    else:
        assert noise.slope is not None
        variance = noise_variance(local_mean(image), noise.slope / scale, read)
        magnitude = torch.as_tensor(averaging.magnitude, device=image.device)
        fine, sharp = torch.zeros(()), torch.zeros(())
        for _ in range(averaging.repeats):
            noisier = recorrupt(inner, variance, magnitude, generator, noise.correlation)[0]
            once, sharper = network(noisier, excess * (1 + averaging.magnitude**2), **known)
            fine = fine.to(once) + once / averaging.repeats
            sharp = sharp.to(sharper) + sharper / averaging.repeats
    return fine, sharp


def _without_rim(dimensions: int) -> tuple[Any, ...]:
    return (..., *(slice(rim, -rim) for rim in mean_reach(dimensions)))
