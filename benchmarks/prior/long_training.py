"""A training that may go on for days, end at any step and go on from there to the bit.

All that happens in a step follows from the weights and the number of the step, which also seeds
its random streams: what is kept is enough to go on as if nothing had happened.
"""

from __future__ import annotations

import copy
import csv
import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

WARM_UP = 200


class LongTraining:
    """Adam at a rate that falls slowly, and the average of the last eighth of all weights.

    Parameters
    ----------
    network : nn.Module
        With the weights to begin with.
    losses : callable
        ``losses(network, rng)`` gives the terms of the loss of one draw.
    draws : int
        Draws in a step, whose gradients are added.
    rate : float
        Highest learning rate.
    slower_after : int
        Steps after which the rate has fallen by the square root of 2.
    seed : int
        Of all steps.
    """

    def __init__(
        self,
        network: nn.Module,
        losses: Callable[[nn.Module, np.random.Generator], tuple[Tensor, ...]],
        *,
        draws: int,
        rate: float,
        slower_after: int,
        seed: int,
    ) -> None:
        self.network, self.losses, self.draws = network, losses, draws
        self.rate, self.slower_after, self.seed = rate, slower_after, seed
        self.average = copy.deepcopy(network)
        self.optimiser = torch.optim.Adam(network.parameters(), betas=(0.9, 0.99))
        self.done = 0

    def step(self) -> np.ndarray:
        """Take one step and give the terms of its loss."""
        self.done += 1
        rng = np.random.default_rng([self.seed, self.done])
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate()
        values: np.ndarray = np.zeros(1)
        for _ in range(self.draws):
            terms = self.losses(self.network, rng)
            torch.stack(terms).sum().div(self.draws).backward()
            values = values + np.array([term.item() for term in terms]) / self.draws
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        if not torch.isfinite(norm):
            raise SystemExit(f"Step {self.done}: the gradient is not finite.")
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        # The share of the newest weights falls with the steps: the average grows with the run.
        newest = max(8 / (self.done + 800), 2e-4)
        with torch.no_grad():
            for mean, weight in zip(
                self.average.parameters(), self.network.parameters(), strict=True
            ):
                mean.lerp_(weight, newest)
        return values

    def _rate(self) -> float:
        slower = math.sqrt(1 + max(self.done - WARM_UP, 0) / self.slower_after)
        return self.rate * min(self.done / WARM_UP, 1.0) / slower

    def save(self, path: Path) -> None:
        """Keep all that it takes to go on."""
        state = {
            "step": self.done,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        _whole(path, lambda part: torch.save(state, part))

    def load(self, path: Path) -> None:
        """Go on where `save` was called; settings are those of the command."""
        state = torch.load(path, weights_only=True)
        self.done = state["step"]
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])

    def save_weights(self, path: Path) -> None:
        """Keep the averaged weights alone, in half precision."""
        weights = {name: w.half().contiguous() for name, w in self.average.state_dict().items()}
        _whole(path, lambda part: save_file(weights, part, {"step": str(self.done)}))


def add_row(path: Path, row: dict[str, float]) -> None:
    """Add a row to a history, without those of steps at and after it: they are of no longer."""
    rows = []
    if path.exists():
        with path.open(newline="") as file:
            rows = [old for old in csv.DictReader(file) if int(old["step"]) < row["step"]]
    text = {name: f"{value:.4g}" if name != "step" else str(value) for name, value in row.items()}

    def write(part: Path) -> None:
        with part.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            writer.writeheader()
            writer.writerows([*rows, text])

    _whole(path, write)


def _whole(path: Path, write: Callable[[Path], object]) -> None:
    part = path.with_suffix(path.suffix + ".part")
    write(part)
    os.replace(part, path)
