"""Judges the weights of a training by held-out pixels, alike for images and volumes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..model.best_weights import BestWeights, Seen, Trust
from ..networks.base import TwoStageNetwork
from ..noise.camera_check import NoiseCheck
from ..noise.noise_model import NoiseModel
from .held_out import HeldOutPixels, Stages

Apply = Callable[[TwoStageNetwork], Stages]
"""Gives what a network makes of an image, as `HeldOutPixels` asks for it."""


@dataclass(eq=False)
class Validation:
    """Held-out pixels of a training, and when and how they decide.

    Attributes
    ----------
    choose
        Cuts the windows, when they are first needed.
    apply
        Gives both stages of a network.
    check
        Compares the noise of the recordings with the camera.
    noise, scale
        The camera, its gain known, and the counts that are 1.
    due
        Tells after which steps weights are judged.
    classical
        Whether the network gives a classical result before the first step. Training is far from
        that, under wrong cameras, too, so that the last weights are kept unless held-out pixels
        speak against them.
    """

    choose: Callable[[], HeldOutPixels]
    apply: Apply
    check: Callable[[], NoiseCheck]
    noise: NoiseModel
    scale: float
    due: Callable[[int], bool]
    classical: bool = False

    @cached_property
    def _pixels(self) -> HeldOutPixels:
        return self.choose()

    @torch.no_grad()
    def judge(self, network: TwoStageNetwork, step: int) -> Seen:
        """Judge the weights of a network after a step."""
        errors: Tensor = self._pixels.errors(self.apply(network.eval()))
        return Seen(step, errors, network.state_dict())

    @torch.no_grad()
    def begin(self, network: TwoStageNetwork) -> BestWeights:
        """Begin with the weights before the first step."""
        seen = self.judge(network, 0)
        if self.classical:
            return BestWeights(seen.errors, seen, Trust.CAMERA)
        assert self.noise.slope is not None
        shot, read = self.noise.slope / self.scale, self.noise.read_variance / self.scale**2
        expected = self._pixels.expected(self.apply(network.eval()), shot, read)
        return BestWeights.beginning(seen, expected, self.check())
