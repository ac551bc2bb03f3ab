"""A training that may go on for days, end at any step and go on from there to the bit.

All that happens in a step follows from the weights and the number of the step, which also seeds
its random streams: what is kept is enough to go on as if nothing had happened.
"""

from __future__ import annotations

import argparse
import copy
import csv
import math
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

WARM_UP = 100

Losses = Callable[[Any, int, np.random.Generator], tuple[Tensor, ...]]


class LongTraining:
    """Adam at a rate that falls slowly, and the average of the weights of about the last quarter.

    Parameters
    ----------
    network : nn.Module
        With the weights to begin with.
    losses : callable
        ``losses(network, step, rng)`` gives the terms of the loss of one draw.
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
        losses: Losses,
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
            terms = self.losses(self.network, self.done, rng)
            torch.stack(terms).sum().div(self.draws).backward()
            values = values + np.array([term.item() for term in terms]) / self.draws
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        if not torch.isfinite(norm):
            raise SystemExit(f"Step {self.done}: the gradient is not finite.")
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        # The share of the newest weights falls with the steps: the average grows with the run.
        newest = max(4 / (self.done + 400), 2e-4)
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


def options_of(description: str, *, rate: float, draws: int, seed: int) -> argparse.Namespace:
    """Read the command line of a training, with these defaults."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenes", type=Path)
    parser.add_argument("state", type=Path)
    parser.add_argument("--start", type=Path, help="weights to begin with")
    parser.add_argument("--steps", type=int, default=10**9, help="at which step to end")
    parser.add_argument("--draws", type=int, default=draws, help="scenes in a step")
    parser.add_argument("--rate", type=float, default=rate)
    parser.add_argument("--slower-after", type=int, default=4000)
    parser.add_argument("--keep-every", type=int, default=25)
    parser.add_argument("--score-every", type=int, default=250)
    parser.add_argument("--seed", type=int, default=seed)
    return parser.parse_args()


def train(
    name: str,
    network: nn.Module,
    losses: Losses,
    held_out: Callable[[Any], dict[str, float]],
    options: argparse.Namespace,
) -> None:
    """Train until asked to end; keep the state, the averaged weights and the history.

    The history has the gains of the averaged weights over those at first, as ``held_out`` finds
    them.
    """
    options.state.mkdir(parents=True, exist_ok=True)
    if options.start:
        network.load_state_dict({name: w.float() for name, w in load_file(options.start).items()})
    first = held_out(network)
    print("at first", {key: round(value, 2) for key, value in first.items()}, flush=True)
    training = LongTraining(
        network,
        losses,
        draws=options.draws,
        rate=options.rate,
        slower_after=options.slower_after,
        seed=options.seed,
    )
    full = options.state / f"{name}.pt"
    if full.exists():
        training.load(full)
    ending: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: ending.append(number))
    running, began = None, (time.perf_counter(), time.process_time())
    while training.done < options.steps and not ending:
        values = training.step()
        running = values if running is None else 0.99 * running + 0.01 * values
        if training.done % options.keep_every == 0 or training.done == options.steps or ending:
            training.save(full)
            wall, cpu = time.perf_counter() - began[0], time.process_time() - began[1]
            print(f"{training.done} {wall:.0f} s, CPU {cpu:.0f} s {running.round(4)}", flush=True)
        if training.done % options.score_every == 0:
            now = held_out(training.average)
            row = {
                "step": training.done,
                "loss": float(running.sum()),
                **{f"gain_{key}": value - first[key] for key, value in now.items()},
            }
            add_row(options.state / f"{name}.csv", row)
            print({key: round(value, 3) for key, value in row.items()}, flush=True)
            training.save_weights(options.state / f"{name}.safetensors")


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
