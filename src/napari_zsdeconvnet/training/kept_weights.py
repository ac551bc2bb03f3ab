"""The weights that a run shows and keeps: averaged over its last steps, and near the pretrained."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from ..model.model_file import below
from ..model.presets import Preset
from ..networks.base import TwoStageNetwork

_AVERAGE, _FIRST = "average.", "first."


class KeptWeights:
    r"""What is kept of the weights that are trained.

    .. math:: \theta = (1 - s) \bar\theta + s\,\theta_0

    with the running average :math:`\bar\theta` over the last steps, in which the noise of single
    batches is less, and the pretrained weights :math:`\theta_0`, of which a part s stays: weights
    on the way from pretrained to fine-tuned ones keep more of what the former know (Wortsman et
    al., Robust fine-tuning of zero-shot models, CVPR 2022).

    Parameters
    ----------
    network : TwoStageNetwork
        Trained in place, with the weights that it begins with.
    preset : Preset
        Its ``weight_average`` and, where training begins with pretrained weights,
        ``pretrained_share``.
    """

    def __init__(self, network: TwoStageNetwork, preset: Preset) -> None:
        self._trained = network
        self._preset = preset
        self._average = copy.deepcopy(network) if preset.weight_average else network
        self._share = preset.pretrained_share if preset.start == "prior" else 0.0
        first = network.parameters() if self._share else ()
        self._first = [weight.detach().clone() for weight in first]
        self._kept = copy.deepcopy(network) if self._share else self._average

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Take in the weights of a step, counted from 0."""
        decay = self._preset.weight_average
        if self._preset.start == "scratch":
            # A young average forgets faster, or the first steps would weigh on it for long.
            decay = min(decay, (1 + step) / (10 + step))
        if self._average is not self._trained:
            for average, weight in zip(
                self._average.parameters(), self._trained.parameters(), strict=True
            ):
                average.lerp_(weight, 1 - decay)

    @property
    def network(self) -> TwoStageNetwork:
        """The network with the weights that are kept; the same one every time."""
        if self._share:
            with torch.no_grad():
                for kept, average, first in zip(
                    self._kept.parameters(), self._average.parameters(), self._first, strict=True
                ):
                    kept.copy_(torch.lerp(average, first, self._share))
        return self._kept

    def to_tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint has to hold beside the trained weights."""
        tensors: dict[str, Tensor] = {}
        if self._average is not self._trained:
            tensors |= {_AVERAGE + k: v for k, v in self._average.state_dict().items()}
        if self._share:
            tensors |= {f"{_FIRST}{index}": weight for index, weight in enumerate(self._first)}
        return tensors

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `to_tensors` gave; the network has the model's own weights still."""
        if self._average is not self._trained:
            # Files of before pixels were held out have the average as the model's own weights.
            self._average.load_state_dict(below(_AVERAGE, tensors) or self._trained.state_dict())
        if self._share:
            kept = below(_FIRST, tensors)
            for index, first in enumerate(self._first):
                first.copy_(kept[str(index)])
