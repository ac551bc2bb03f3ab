"""Where training pairs come from: re-corruption of patches, equations 2 and 3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .noise import NoiseModel
from .presets import Preset
from .tiling import window

CELL = 16
"""Patches are drawn around cells of this many pixels a side, weighted by their signal."""

SIGNAL_SHARE = 0.7
"""Part of the patches that follow the signal; the rest fall anywhere, background included."""

MEAN_RADIUS = 2
"""Half-width of the 5 x 5 averaging filter H of equation 3."""


@dataclass(frozen=True)
class Pair:
    """Input and target of one step, normalised, shape (N, 1, Y, X)."""

    input: Tensor
    target: Tensor


def recorrupt(
    image: Tensor, variance: Tensor, magnitude: Tensor, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    r"""Split one noisy image into two with independent noise (equation 2).

    :math:`\hat y = y + \alpha z` and :math:`\tilde y = y - z / \alpha` with
    :math:`z \sim N(0, \sigma^2)`. Where :math:`\sigma^2` is the variance of the noise in
    ``y``, the noises of both results are uncorrelated (Pang et al., CVPR 2021).

    Parameters
    ----------
    image, variance : Tensor
        The noisy image and :math:`\sigma^2` for each of its pixels.
    magnitude : Tensor
        :math:`\alpha`, broadcast against the image.
    generator : torch.Generator, optional
        Source of the random numbers, on the image's device.
    """
    noise = torch.randn(image.shape, generator=generator, device=image.device) * variance.sqrt()
    return image + magnitude * noise, image - noise / magnitude


def noise_variance(smoothed: Tensor, shot: Tensor | float, read: Tensor | float) -> Tensor:
    r"""Equation 3: :math:`\sigma^2 = \beta_1 H(y - b) + \beta_2`, never negative.

    Parameters
    ----------
    smoothed : Tensor
        :math:`H(y - b)`, see `local_mean`.
    shot, read : Tensor or float
        :math:`\beta_1` (the gain times a number near 1) and :math:`\beta_2` (the read variance
        times a number near 1), in the image's units.
    """
    return (shot * smoothed + read).clamp(min=0)


def local_mean(image: Tensor) -> Tensor:
    """H of equation 3, the 5 x 5 mean; the result is 2 pixels narrower on each side."""
    return F.avg_pool2d(image, 2 * MEAN_RADIUS + 1, stride=1)


class RecorruptedPatches:
    """An endless source of re-corrupted pairs, cut from the images as they are asked for.

    Parameters
    ----------
    images : sequence of Tensor
        Frames (T, Y, X) in counts, of any real type, on the training device.
    noise : NoiseModel
        The camera; its gain must be known.
    scale : float
        Counts above the offset that become 1.
    preset : Preset
        Batch, patch and the ranges of the re-corruption.
    device : torch.device
        Where pairs are made.
    seed : int
        Two sources with the same seed give the same pairs.
    multiple : int
        What a patch must be divisible by.
    """

    def __init__(
        self,
        images: Sequence[Tensor],
        noise: NoiseModel,
        scale: float,
        preset: Preset,
        device: torch.device,
        seed: int,
        multiple: int = 1,
    ) -> None:
        assert noise.gain is not None
        self.images = images
        self.scale = scale
        self.offset = noise.offset
        self.shot = noise.gain / scale
        self.read = noise.read_variance / scale**2
        self.preset = preset
        self.batch = preset.batch
        smallest = min(min(image.shape[1:]) for image in images)
        self.patch = min(preset.patch, smallest) // multiple * multiple
        self.device = device
        self.choices = torch.Generator().manual_seed(seed)
        self.noise = torch.Generator(device).manual_seed(seed)
        self._weigh_cells()

    def _weigh_cells(self) -> None:
        """Give every cell of every frame its probability of a patch around it.

        The cells of all images stand in one row. Kept is the running sum of their
        probabilities, so that a draw is a search in it, however long the series.
        """
        self._grids = [
            (len(image), image.shape[1] // CELL, image.shape[2] // CELL) for image in self.images
        ]
        self._ends = np.cumsum([np.prod(grid) for grid in self._grids])
        signal = np.concatenate(
            [
                F.avg_pool2d(frame.float()[None, None] - self.offset, CELL)
                .clamp(min=0)
                .flatten()
                .cpu()
                .numpy()
                for image in self.images
                for frame in image
            ]
        )
        total = signal.sum(dtype=np.float64)
        share = SIGNAL_SHARE if total > 0 else 0.0
        following = np.cumsum(signal, dtype=np.float64) / (total or 1.0)
        anywhere = np.arange(1, len(signal) + 1) / len(signal)
        self._chances = share * following + (1 - share) * anywhere

    def draw(self) -> Pair:
        """Make the next batch of pairs."""
        cut = torch.stack([self._cut(*self._place()) for _ in range(self.batch)])
        cut = (cut[:, None].to(self.device) - self.offset) / self.scale
        rim = MEAN_RADIUS
        image = cut[..., rim:-rim, rim:-rim]
        variance = noise_variance(
            local_mean(cut),
            self.shot * self._between(self.preset.shot_noise),
            self.read * self._between(self.preset.read_noise),
        )
        magnitude = self._between(self.preset.magnitude)
        return Pair(*recorrupt(image, variance, magnitude, self.noise))

    def _place(self) -> tuple[int, int, int, int]:
        """Draw a cell: the image, the frame and the cell's first row and column."""
        drawn = float(torch.rand((), dtype=torch.float64, generator=self.choices))
        cell = int(np.searchsorted(self._chances, drawn, side="right"))
        cell = min(cell, len(self._chances) - 1)  # rounding may leave the sum just below 1
        index = int(np.searchsorted(self._ends, cell, side="right"))
        grid = self._grids[index]
        time, row, column = np.unravel_index(cell - self._ends[index] + np.prod(grid), grid)
        return index, int(time), CELL * int(row), CELL * int(column)

    def _cut(self, index: int, time: int, row: int, column: int) -> Tensor:
        """Cut a patch around a cell, with the rim H needs, turned and flipped at random.

        Right angles only: any other would average pixels and correlate their noise.
        """
        frame = self.images[index][time]
        jitter = torch.randint(CELL, (2,), generator=self.choices).tolist()
        corner = [
            min(max(start + shift - self.patch // 2, 0), length - self.patch)
            for start, shift, length in zip((row, column), jitter, frame.shape, strict=True)
        ]
        width = self.patch + 2 * MEAN_RADIUS
        cut = window(frame, corner[0] - MEAN_RADIUS, corner[1] - MEAN_RADIUS, width, width)
        turns, flip = divmod(int(torch.randint(8, (), generator=self.choices)), 2)
        cut = cut.rot90(turns)
        return cut.flip(0) if flip else cut

    def _between(self, limits: tuple[float, float]) -> Tensor:
        """Draw a number for each patch."""
        drawn = torch.rand(self.batch, generator=self.choices)
        numbers = limits[0] + (limits[1] - limits[0]) * drawn
        return numbers[:, None, None, None].to(self.device)

    def random_state(self) -> dict[str, Tensor]:
        """State of both generators, for a checkpoint."""
        return {"choices": self.choices.get_state(), "noise": self.noise.get_state()}

    def set_random_state(self, state: dict[str, Tensor]) -> None:
        """Go on exactly where `random_state` was taken."""
        self.choices.set_state(state["choices"].cpu())
        self.noise.set_state(state["noise"].cpu())
