r"""Held-out pixels: how near a network comes to what was imaged, whatever the camera.

A pixel `i` is taken out of the image `y`, the mean of its neighbours put in its place, and what a
network makes of that, :math:`f_i(\tilde y)`, is compared with what was recorded there:

.. math:: E (f_i(\tilde y) - y_i)^2 = E (f_i(\tilde y) - x_i)^2 + \operatorname{var}(n_i)

for any noise `n` with mean zero that no other pixel shares, as that prediction knows nothing of it
(Batson and Royer, ICML 2019). The last term is the same for all weights, so that differences of
the left side are differences of the error, without any word on the camera. Pairs by re-corruption
cannot tell as much: where the gain is wrong the noise of both is shared.

Results are made of the whole image. What the pixel itself adds to its result, noise and truth, is
:math:`d_i = f_i(y) - f_i(\tilde y)`, of which the truth alone would need the camera. With
:math:`w` the part of a pixel that stays in its result and `v` the error without it, the whole
error is :math:`v - 2 w v + w^2 (v + \operatorname{var} n)`, the last term being :math:`E d^2`.
Half of it is counted: about what is left of the last two where `w` is twice the best.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from .coarse_light import REACH, SIGMA
from .forward import continued
from .phases import go_on

SPACING = 3
"""Pixels from one held-out pixel to the next, along both axes."""

MARGIN = 8
"""Pixels at the rim of a window that give context alone."""

CELL = 16
"""Pixels along each side of the cells that errors are summed over; cells are taken as independent,
whatever their pixels share."""

OWN = 0.5
"""How much of what a pixel adds to its own result counts as an error."""


@dataclass(frozen=True)
class Lattice:
    """Pixels that nothing is compared with in training, so that they can judge what it learned.

    What a network has been asked to predict tells nothing of it: after some hundred steps on a
    small image it knows part of the noise by heart.

    Attributes
    ----------
    spacing
        Pixels from one held-out pixel to the next, along both axes.
    phase
        Row and column of the first.
    reach
        Pixels around each that share noise with it, and take no part in the training either.
    """

    spacing: int
    phase: tuple[int, int]
    reach: int = 0

    @classmethod
    def fitting(cls, correlation: tuple[float, ...] | None, seed: int) -> Self:
        """Choose a lattice.

        Parameters
        ----------
        correlation : tuple of float, optional
            How neighbouring pixels share noise, see `NoiseModel.correlation`.
        seed : int
            Of the training: it decides where the lattice begins.
        """
        reach = 1 if correlation is not None and any(correlation) else 0
        spacing = SPACING + 4 * reach
        return cls(spacing, (seed % spacing, seed // spacing % spacing), reach)

    def centres(self, start: Sequence[int], shape: Sequence[int]) -> Tensor:
        """Tell which pixels of a window (Y, X) that begins at ``start`` are held out."""
        return self._marked(start, shape, 0)

    def left_out(self, start: Sequence[int], shape: Sequence[int]) -> Tensor:
        """Tell which pixels of a window take no part in the training."""
        return self._marked(start, shape, self.reach)

    def _marked(self, start: Sequence[int], shape: Sequence[int], reach: int) -> Tensor:
        rows, columns = (
            (torch.arange(first, first + length) - phase + reach) % self.spacing <= 2 * reach
            for first, length, phase in zip(start, shape, self.phase, strict=True)
        )
        return rows[:, None] & columns


def filled(image: Tensor, masked: Tensor, reach: int = 0) -> Tensor:
    """Put the mean of what surrounds them in the place of masked pixels.

    Parameters
    ----------
    image : Tensor
        (N, 1, Y, X).
    masked : Tensor
        (Y, X), True where a pixel must not be seen.
    reach : int
        Pixels around each of the lattice that are masked with it.
    """
    radius = reach + 1
    square = image.new_ones(1, 1, 2 * radius + 1, 2 * radius + 1)
    seen = (~masked).to(image)[None, None]
    total, count = (F.conv2d(part, square, padding=radius) for part in (image * seen, seen))
    return torch.where(masked, total / count.clamp(min=1), image)


class HeldOutPixels:
    """Windows whose held-out pixels were taken out, and what was recorded there.

    Parameters
    ----------
    windows : sequence of (Tensor, Tensor, sequence of int)
        Normalised windows (Y, X), which of their pixels must not be used, and the pixel of its
        frame that each begins at.
    lattice : Lattice
        The pixels.
    device : torch.device
        Where networks are.
    """

    def __init__(
        self,
        windows: Sequence[tuple[Tensor, Tensor, Sequence[int]]],
        lattice: Lattice,
        device: torch.device,
    ) -> None:
        self._windows = []
        for window, unusable, start in windows:
            go_on()
            recorded = window[None, None].to(device)
            left_out = lattice.left_out(start, window.shape).to(device)
            judged = _inside((lattice.centres(start, window.shape) & ~unusable).to(device))
            self._windows.append((recorded, filled(recorded, left_out, lattice.reach), judged))

    @torch.no_grad()
    def errors(self, network: Any, reblur: Callable[[Tensor], Tensor]) -> Tensor:
        """Sum the squared errors of both stages at the held-out pixels, shape (2, cells).

        Parameters
        ----------
        network : TwoStageNetwork
            The network.
        reblur : callable
            What the microscope makes of a deconvolved image, on the raw grid.
        """
        cells = []
        for recorded, image, judged in self._windows:
            go_on()
            blind, seeing = (_stages(network, seen, reblur) for seen in (image, recorded))
            wrong = (blind - _inside(recorded)).square() + OWN * (seeing - blind).square()
            cells.append(_by_cells(wrong * judged))
        return torch.cat(cells, dim=1)

    @torch.no_grad()
    def expected(self, network: Any, shot: float, read: float) -> float:
        """Tell how much noise the camera says that these pixels have: the sum of its variances.

        Parameters
        ----------
        network : TwoStageNetwork
            What tells how bright they are.
        shot, read : float
            Gain and read variance in normalised units.
        """
        total = 0.0
        for _, image, judged in self._windows:
            go_on()
            light = _inside(network(image)[0].float()).clamp(min=0.0)
            total += float(((shot * light + read) * judged).double().sum())
        return total


def _stages(network: Any, image: Tensor, reblur: Callable[[Tensor], Tensor]) -> Tensor:
    """Give the denoised and the re-blurred deconvolved image, (2, 1, Y, X) inside the margin.

    As in results, the coarsest structure is that of the image.
    """
    denoised, deconvolved = network(image)
    stages = torch.cat([denoised.float(), reblur(deconvolved)])
    return _inside(stages + _coarse(image - stages))


def _by_cells(errors: Tensor) -> Tensor:
    """Sum errors (2, 1, Y, X) over cells, (2, cells)."""
    sums = F.avg_pool2d(errors.double(), CELL, ceil_mode=True, divisor_override=1)
    return sums.flatten(1).cpu()


def _inside(image: Tensor) -> Tensor:
    return image[..., MARGIN:-MARGIN, MARGIN:-MARGIN]


def _coarse(images: Tensor) -> Tensor:
    """Blur as `coarse_light` does, one axis after the other."""
    places = torch.arange(-REACH, REACH + 1, device=images.device)
    weights = torch.exp(-0.5 * (places / SIGMA) ** 2)
    weights = (weights / weights.sum())[None, None]
    around = continued(images, [(REACH, REACH)] * 2)
    return F.conv2d(F.conv2d(around, weights[..., None, :]), weights[..., :, None])
