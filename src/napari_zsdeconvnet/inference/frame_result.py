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
from .light_correction import CoarseLight

if TYPE_CHECKING:
    from .predict import Result

MOST_LOST = 0.8
"""Part of the light that a deconvolved volume holds at least, unless it is blank."""


class FrameResult:
    """A frame of a result, filled tile by tile and given its light at the end."""

    def __init__(self, network: TwoStageNetwork, result: Result, index: int, scale: float) -> None:
        self.result = result
        self.index = index
        self.scale = scale
        self.upsampling = network.upsampling
        # Out-of-focus light makes the coarse structure of a volume's image other than that of
        # the sample: there the networks themselves keep the light.
        image = network.axial_field is None
        shape = result.denoised.shape[1:]
        self._coarse = CoarseLight(shape, network.multiples) if image else None
        self._balanced = not (image or network.keeps_light)
        self._light = self._found = 0.0

    def see(
        self, place: Tile, image: Tensor, fine: Tensor, sharp: Tensor, haze: Tensor | None
    ) -> None:
        """Note how much light a tile holds and how much its results have."""
        if self._coarse is None:
            return
        if haze is not None:
            image, fine = image - haze, fine - haze
        self._coarse.take(place, image, fine, sharp)

    def put(self, place: Tile, fine: Tensor, sharp: Tensor, haze: Tensor | None) -> None:
        """Put a tile's results where they belong."""
        denoised, deconvolved = self.result.denoised, self.result.deconvolved
        if haze is not None and self.result.background is not None:
            _paste(self.result.background, self.index, haze, self.scale, place, 1)
        self._light += _paste(denoised, self.index, fine, self.scale, place, 1)
        self._found += _paste(deconvolved, self.index, sharp, self.scale, place, self.upsampling)

    def finish(self) -> None:
        """Give back the light that is missing, once all tiles are in their places."""
        denoised, deconvolved = self.result.denoised, self.result.deconvolved
        if self._coarse is not None:
            self._coarse.give_back(denoised, deconvolved, self.index, self.scale)
        elif self._balanced:
            found = self._found / self.upsampling**2
            _balance_light(deconvolved, self.index, self._light, found)


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


def _paste(
    target: NDArray[np.float32],
    index: int,
    values: Tensor,
    scale: float,
    place: Tile,
    factor: int,
) -> float:
    """Put the inner part of a window's result (1, 1, ...) where it belongs, and give its sum."""
    factors = (1, factor, factor)[-len(place.shape) :]
    there: list[Any] = [index]
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
