"""The result of a frame, put together tile by tile, and its light."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..networks.base import TwoStageNetwork
from ..utils.errors import InputError
from ..utils.tiling import Tile
from .light_correction import CoarseLight, coarse_step, lacking_light
from .tile_computer import ComputedTile

if TYPE_CHECKING:
    from .predict import Result

MOST_LOST = 0.8
"""Part of the light that a deconvolved volume holds at least, unless it is blank."""


class Nowhere:
    """Room for pixels that nobody asked for."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def __getitem__(self, index: object) -> float:
        return 0.0

    def __setitem__(self, index: object, values: object) -> None:
        pass


class FrameResult:
    """A frame of a result, filled tile by tile and given its light at the end."""

    def __init__(self, network: TwoStageNetwork, result: Result, index: int, scale: float) -> None:
        self.result = result
        self.index = index
        self.scale = scale
        self.network = network
        # Out-of-focus light makes the coarse structure of a volume's image other than that of
        # the sample: there the networks themselves keep the light.
        image = network.axial_field is None
        shape = result.denoised.shape[1:]
        self._coarse = CoarseLight(shape, network.multiples) if image else None
        self._balanced = not (image or network.keeps_light)
        self._light = self._found = 0.0

    def see(self, tile: ComputedTile) -> None:
        """Note how much light a tile holds and how much its results have."""
        if self._coarse is not None:
            self._coarse.take(tile.place, *coarse_light(self.network, tile))

    def put(self, tile: ComputedTile) -> None:
        """Put a tile's results where they belong."""
        self.count(put_tile(self.result, self.network.upsampling, tile, self.scale))

    def count(self, light: tuple[float, float]) -> None:
        """Add up the light of a tile's results that were put where they belong."""
        self._light += light[0]
        self._found += light[1]

    def take(self, place: Tile, lacking: tuple[Tensor, Tensor] | None) -> None:
        """Note what `coarse_light` found of a tile that was computed elsewhere."""
        if self._coarse is not None and lacking is not None:
            self._coarse.take(place, *lacking)

    @property
    def is_final(self) -> bool:
        """Tell whether results are final as tiles give them."""
        return self._coarse is None and not self._balanced

    def finish(self, into: Result | None = None) -> None:
        """Give back the light that is missing, once all tiles are in their places.

        It is done in place, or ``into`` other arrays, which can be repeated.
        """
        here, there = self.result, into or self.result
        if self._coarse is not None:
            for source, target, coarse in (
                (here.denoised, there.denoised, 0),
                (here.deconvolved, there.deconvolved, 1),
            ):
                self._coarse.give_back(source, target, self.index, self.scale, coarse)
        elif self._balanced:
            found = self._found / self.network.upsampling**2
            _balance_light(here.deconvolved, there.deconvolved, self.index, self._light, found)
            if into is not None:
                for plane in range(here.denoised.shape[1]):
                    there.denoised[self.index, plane] = here.denoised[self.index, plane]


def coarse_light(network: TwoStageNetwork, tile: ComputedTile) -> tuple[Tensor, Tensor]:
    """Measure how much light a tile's window holds and how much less its results have."""
    image, fine = tile.image, tile.fine
    if tile.haze is not None:
        image, fine = image - tile.haze, fine - tile.haze
    return lacking_light(coarse_step(network.multiples), tile.place, image, fine, tile.sharp)


def put_tile(
    result: Result, upsampling: int, tile: ComputedTile, scale: float
) -> tuple[float, float]:
    """Put a tile's results where they belong, and give the light of both."""
    if tile.haze is not None and result.background is not None:
        _paste(result.background, tile, tile.haze, scale, 1)
    return (
        _paste(result.denoised, tile, tile.fine, scale, 1),
        _paste(result.deconvolved, tile, tile.sharp, scale, upsampling),
    )


def _balance_light(
    source: NDArray[np.float32],
    target: NDArray[np.float32],
    index: int,
    light: float,
    found: float,
) -> None:
    """Give a deconvolved volume the light of the denoised one, which is that of the recording.

    Light that crosses the borders of a stack leaves the two a few per cent apart. Where they
    are further apart there is next to none, and what there is is left alone.
    """
    share = light / found if found > 0 else 0.0
    if not MOST_LOST < share < 1 / MOST_LOST:
        share = 1.0
    if share != 1 or target is not source:
        for plane in range(source.shape[1]):
            target[index, plane] = source[index, plane] * np.float32(share)


def _paste(
    target: NDArray[np.float32], tile: ComputedTile, values: Tensor, scale: float, factor: int
) -> float:
    """Put the inner part of a window's result (1, 1, ...) where it belongs, and give its sum."""
    place = tile.place
    factors = (1, factor, factor)[-len(place.shape) :]
    there: list[Any] = [tile.frame]
    here: list[Any] = [0, 0]
    for step, start, length, begin in zip(
        factors, place.start, place.shape, place.window_start, strict=True
    ):
        there.append(slice(step * start, step * (start + length)))
        here.append(slice(step * (start - begin), step * (start - begin + length)))
    with np.errstate(over="ignore", invalid="ignore"):  # said below, in words
        inner = values[tuple(here)].cpu().numpy() * np.float32(scale)
        light = float(inner.sum(dtype=np.float64))
    if not math.isfinite(light):
        raise InputError(
            "result-not-finite",
            "The model gives NaN or infinity for this image: its weights are damaged, or the image "
            "has counts far beyond those it was trained on; train a model on this image.",
        )
    target[tuple(there)] = inner
    return light
