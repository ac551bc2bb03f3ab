"""Giving results the coarsest structure of the image itself, which no network can know better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..physics.forward import bin_down, continued, enlarge
from ..utils.tiling import Tile

SIGMA = 16.0
"""Raw pixels; coarser structure than this is taken from the image itself."""

REACH = 40
"""Raw pixels at which that Gaussian is cut."""

WIDEST_PIXEL = 8
"""Raw pixels side by side in a coarse one, at most."""

ROWS = 512
"""Rows that are corrected at a time, whole coarse pixels of them."""


class CoarseLight:
    r"""What an image holds of light, coarsely, and what results have lost of it.

    :math:`f \leftarrow f + (G * (y - f)_\downarrow)_\uparrow` with a Gaussian G of standard
    deviation `SIGMA`. Over such distances the image itself is nearly free of noise (a Gaussian
    of 16 pixels leaves 1.8 % of it) and of blur; networks trained on noisier inputs than they
    are shown are off by a few per cent there. Arrows stand for pixels several times as wide,
    which a Gaussian so wide does not mind.

    A frame is taken down tile by tile and corrected as a whole, so that tiles need no context
    for it.

    Parameters
    ----------
    shape : sequence of int
        Raw pixels (Y, X) of a frame.
    multiples : sequence of int
        Raw pixels along Y and X at whose multiples tiles begin.
    """

    def __init__(self, shape: Sequence[int], multiples: Sequence[int]) -> None:
        self.shape = tuple(shape)
        self.step = coarse_step(multiples)
        coarse = [math.ceil(length / self.step) for length in shape]
        self._denoised, self._deconvolved = torch.zeros(1, 1, *coarse), torch.zeros(1, 1, *coarse)

    def take(self, place: Tile, denoised: Tensor, deconvolved: Tensor) -> None:
        """Note what `lacking_light` measured in a tile."""
        there: tuple[Any, ...] = (
            ...,
            *(
                slice(start // self.step, start // self.step + length)
                for start, length in zip(place.start, denoised.shape[2:], strict=True)
            ),
        )
        self._denoised[there], self._deconvolved[there] = denoised, deconvolved

    @torch.inference_mode()
    def give_back(
        self,
        source: NDArray[np.float32],
        target: NDArray[np.float32],
        index: int,
        scale: float,
        which: int,
    ) -> None:
        """Correct a frame of the denoised (0) or the deconvolved result (1) into ``target``.

        That may be ``source`` itself. Counts are `scale` times those of tiles.
        """
        missing = (self._denoised, self._deconvolved)[which]
        step = self.step * target.shape[-1] // self.shape[-1]
        # A coarse pixel more on every side: between two of them values run straight.
        added = continued(scale * self._blurred(missing), [(1, 1)] * 2)
        height, width = target.shape[1:]
        # Where rows are written together, fewer would be read again to be written with others.
        together = max(getattr(target, "rows_together", ROWS), ROWS)
        for first in range(0, height, together):
            last = min(first + together, height)
            rows = added[..., first // step : math.ceil(last / step) + 2, :]
            part = enlarge(rows, step, "linear")[0, 0, step : step + last - first]
            there = (index, slice(first, last))
            target[there] = source[there] + part[:, step : step + width].numpy()

    def _blurred(self, image: Tensor) -> Tensor:
        """Blur with G, one axis after the other."""
        weights = coarse_weights(self.step)
        reach = weights.shape[-1] // 2
        image = continued(image, [(reach, reach)] * 2)
        return blurred(image, weights)


def coarse_weights(step: int) -> Tensor:
    """Weights of G along one axis, (1, 1, W), for coarse pixels of ``step`` raw ones."""
    reach = REACH // step
    places = torch.arange(-reach, reach + 1)
    weights = torch.exp(-0.5 * (step * places / SIGMA) ** 2)
    return (weights / weights.sum())[None, None]


def blurred(image: Tensor, weights: Tensor) -> Tensor:
    """Blur an image (N, 1, Y, X) along one axis after the other, which cuts its rim off."""
    return F.conv2d(F.conv2d(image, weights[..., None, :]), weights[..., :, None])


def coarse_step(multiples: Sequence[int]) -> int:
    """Return the raw pixels side by side in a coarse one, for tiles that begin at multiples."""
    return math.gcd(WIDEST_PIXEL, *multiples)


@torch.inference_mode()
def lacking_light(
    step: int, place: Tile, image: Tensor, denoised: Tensor, deconvolved: Tensor
) -> tuple[Tensor, Tensor]:
    """Measure coarsely what both results of a tile's window lack of the light of the image.

    Windows are (1, 1, Y, X) above the offset; coarse pixels are ``step`` raw ones wide.
    """
    light = _coarse(step, place, image, 1)
    factor = deconvolved.shape[-1] // image.shape[-1]
    return (
        light - _coarse(step, place, denoised, 1),
        light - _coarse(step, place, deconvolved, factor),
    )


def _coarse(step: int, place: Tile, window: Tensor, factor: int) -> Tensor:
    """Average what is inside of a window; at the frame's end up to a whole pixel."""
    inside: list[Any] = [...]
    for start, begin, length in zip(place.start, place.window_start, place.shape, strict=True):
        first = start - begin
        last = first + step * math.ceil(length / step)
        inside.append(slice(factor * first, factor * last))
    return bin_down(window[tuple(inside)], factor * step).cpu()
