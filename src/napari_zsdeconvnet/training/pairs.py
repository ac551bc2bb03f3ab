"""Training pairs: re-corrupted patches (equations 2 and 3), or every second plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..inference.out_of_focus import Backgrounds
from ..model.presets import Preset
from ..noise.noise_model import NoiseModel
from ..noise.recorruption import local_mean, mean_reach, noise_variance, recorrupt, unevenness
from .patches import Patches


@dataclass(frozen=True)
class Pair:
    """Input and target of one step, normalised, shape (N, 1, [Z,] Y, X)."""

    input: Tensor
    target: Tensor
    excess: Tensor | float = 1.0
    """Variance of the input's noise over that of a recording."""
    left_out: Tensor | None = None
    """Pixels of the target that are not to be compared with, True there; None for none."""
    background: Tensor | None = None
    """Light in both that is out of focus, where it is known."""


@dataclass(frozen=True)
class Interleaved(Pair):
    """Every second plane as input, those between as target, and the patch they are from."""

    stack: Tensor = field(kw_only=True)
    """All planes, shape (N, 1, 2Z, Y, X); plane 0 belongs to the input where `odd_first`."""
    odd_first: Tensor = field(kw_only=True)
    """For each patch whether its input is planes 0, 2, ... (True) or 1, 3, ...; shape (N,)."""


def drawn_between(
    limits: tuple[float, float], generator: torch.Generator, count: int = 1
) -> Tensor:
    """Draw numbers evenly from a range, shape (count,)."""
    return limits[0] + (limits[1] - limits[0]) * torch.rand(count, generator=generator)


class RecorruptedPatches(Patches):
    """Pairs by re-corruption, of images or volumes; the camera's gain must be known.

    The noise is that of all light, a background's included. The preset has the ranges of alpha,
    beta1 and beta2. The read variance may be each pixel's own, counts squared, (Y, X). Backgrounds
    of the recordings are given with the pairs. All else is as for `Patches`.
    """

    def __init__(
        self,
        recordings: Sequence[NDArray[Any]],
        noise: NoiseModel,
        scale: float,
        preset: Preset,
        read_variance: NDArray[np.float32] | None = None,
        backgrounds: Backgrounds | None = None,
        **options: Any,
    ) -> None:
        super().__init__(recordings, noise, scale, **options)
        assert noise.slope is not None
        self.shot = noise.slope / scale
        self.backgrounds = backgrounds
        self.read = noise.read_variance / scale**2
        self.maps = () if read_variance is None else (read_variance,)
        self.preset = preset
        self.rim = mean_reach(len(self.patch))
        self.correlation = noise.correlation
        if noise.correlation is not None and noise.correlation[-2] != noise.correlation[-1]:
            # A quarter turn would lay the noise that rows share across columns.
            self.symmetries = [(turns, flip) for turns, flip in self.symmetries if turns % 2 == 0]

    def draw(self) -> Pair:
        """Make the next batch of pairs."""
        layers = self._cut_with_maps(self.batch)
        cut = self._normalised(layers)
        inner: tuple[Any, ...] = (..., *(slice(rim, -rim) for rim in self.rim))
        image, smooth = cut[inner], local_mean(cut)
        behind = 1 + len(self.maps)
        own = layers[:, 1:behind][inner] / self.scale**2 if self.maps else self.read
        background = None
        if self.backgrounds is not None:
            background = self._normalised(layers[:, behind:][inner])
        shot = self._between(self.preset.shot_noise)
        read = self._between(self.preset.read_noise)
        variance = noise_variance(smooth, self.shot * shot, own * read)
        magnitude = self._between(self.preset.magnitude)
        pair = recorrupt(image, variance, magnitude, self.noise, self.correlation)
        excess = 1 + shot * magnitude**2
        if isinstance(own, Tensor):
            excess = excess * unevenness(smooth, self.shot, own, self.read)
        marked = self._left_out(layers)
        left_out = None if marked is None else marked[inner]
        return Pair(*pair, excess=excess, left_out=left_out, background=background)

    def _between(self, limits: tuple[float, float]) -> Tensor:
        """Draw a number for each patch."""
        drawn = drawn_between(limits, self.choices, self.batch)
        return drawn.reshape(-1, 1, 1, *(1 for _ in self.patch[1:])).to(self.device)


class InterleavedPatches(Patches):
    """Pairs of every second plane and those between, equations 8 and 9.

    Half of the time, at random, the even planes are the input. The noise of two planes is
    independent whatever the camera, so that none of it need be known.
    """

    def draw(self) -> Interleaved:
        """Make the next batch of pairs; patches have an even number of planes."""
        layers = self._cut_with_maps(self.batch)
        stack, marked = self._normalised(layers), self._left_out(layers)
        odd_first = torch.rand(self.batch, generator=self.choices) < 0.5
        odd, even = stack[:, :, 0::2], stack[:, :, 1::2]
        swap = odd_first.to(stack.device)[:, None, None, None, None]
        return Interleaved(
            torch.where(swap, odd, even),
            torch.where(swap, even, odd),
            left_out=None
            if marked is None
            else torch.where(swap, marked[:, :, 1::2], marked[:, :, 0::2]),
            stack=stack,
            odd_first=odd_first,
        )
