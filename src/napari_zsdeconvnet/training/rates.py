"""How fast each part of a network learns: parts that have seen a small recording often rest."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import torch

from ..model.presets import Preset
from ..networks.base import TwoStageNetwork


class Rates:
    """Groups of weights for an optimiser, and their learning rates.

    Parameters
    ----------
    network : TwoStageNetwork
        Whose weights are trained.
    preset : Preset
        Its `denoising_passes`, `deconvolution_passes` and `coarse_passes`.
    """

    def __init__(self, network: TwoStageNetwork, preset: Preset) -> None:
        self._preset = preset
        denoiser, finest = (set(map(id, ws)) for ws in (network.stages[0], network.finest))
        # In the order of the network, as saved optimisers count the weights in it.
        runs = groupby(network.parameters(), lambda w: (id(w) in denoiser, id(w) in finest))
        self.groups: list[dict[str, Any]] = []
        self._kinds: list[tuple[bool, bool]] = []
        for kind, weights in runs:
            self._kinds.append(kind)
            self.groups.append({"params": list(weights)})

    def set_for(
        self, optimiser: torch.optim.Optimizer, step: int, rate: float, pixels: int
    ) -> None:
        """Set the rates of a step, and ask for no gradient where nothing learns.

        Parameters
        ----------
        optimiser : Optimizer
            Made of `groups`.
        step : int
            Counted from 1.
        rate : float
            Of weights that learn at full rate.
        pixels : int
            Of all recordings.
        """
        preset = self._preset
        first, second, level = (
            preset.part_of_rate_at(step, passes, pixels)
            for passes in (
                preset.denoising_passes,
                preset.deconvolution_passes,
                preset.coarse_passes,
            )
        )
        parts = [
            min(first if denoises else second, 1.0 if is_finest else level)
            for denoises, is_finest in self._kinds
        ]
        # A step in which nothing learns changes nothing, and is taken all the same.
        some_learn = any(parts)
        for group, part in zip(optimiser.param_groups, parts, strict=True):
            group["lr"] = part * rate
            for weight in group["params"]:
                weight.requires_grad_(part > 0 or not some_learn)
