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
from functools import reduce
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from ..inference.light_correction import REACH, SIGMA
from ..physics.forward import continued
from ..utils.phases import go_on

SPACING = 3
"""Pixels from one held-out pixel to the next, along every axis."""

MARGIN = 8
"""Pixels at the rim of a window that give context alone."""

DEEP_MARGIN = 2
"""Planes at the faces of one, likewise."""

CELL = 16
"""Pixels along each side of the cells that errors are summed over; cells are taken as independent,
whatever their pixels share."""

DEEP_CELL = 4
"""Planes of one."""

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
        Pixels from one held-out pixel to the next, along every axis.
    phase
        Row and column of the first, of a volume its plane before them.
    reach
        Pixels around each that share noise with it, and take no part in the training either.
    """

    spacing: int
    phase: tuple[int, ...]
    reach: int = 0

    @classmethod
    def fitting(cls, correlation: tuple[float, ...] | None, seed: int, dimensions: int = 2) -> Self:
        """Choose a lattice for images (2 dimensions) or volumes (3).

        Neighbouring pixels share noise as `NoiseModel.correlation` says; the seed of the training
        decides where the lattice begins.
        """
        reach = 1 if correlation is not None and any(correlation) else 0
        spacing = SPACING + (4 if dimensions == 2 else 2) * reach
        return cls(spacing, tuple(seed // spacing**n % spacing for n in range(dimensions)), reach)

    def centres(self, start: Sequence[int], shape: Sequence[int]) -> Tensor:
        """Tell which pixels of a window ([Z,] Y, X) that begins at ``start`` are held out."""
        return self._marked(start, shape, 0)

    def left_out(self, start: Sequence[int], shape: Sequence[int]) -> Tensor:
        """Tell which pixels of a window take no part in the training."""
        return self._marked(start, shape, self.reach)

    def _marked(self, start: Sequence[int], shape: Sequence[int], reach: int) -> Tensor:
        along_each = (
            (torch.arange(first, first + length) - phase + reach) % self.spacing <= 2 * reach
            for first, length, phase in zip(start, shape, self.phase, strict=True)
        )
        return reduce(lambda marked, along: marked[..., None] & along, along_each)


def filled(image: Tensor, masked: Tensor, reach: int = 0) -> Tensor:
    """Put the mean of what surrounds them in the place of masked pixels, (N, 1, [Z,] Y, X).

    Of each pixel of the lattice those within reach are masked ([Z,] Y, X) with it.
    """
    radius = reach + 1
    convolve = F.conv2d if masked.ndim == 2 else F.conv3d
    square = image.new_ones(1, 1, *(2 * radius + 1,) * masked.ndim)
    seen = (~masked).to(image)[None, None]
    total, count = (convolve(part, square, padding=radius) for part in (image * seen, seen))
    return torch.where(masked, total / count.clamp(min=1), image)


@dataclass(frozen=True)
class Window:
    """A part of a recording whose held-out pixels judge a network.

    Attributes
    ----------
    image
        Normalised, ([Z,] Y, X).
    unusable
        Which of its pixels must not be used.
    start
        The pixel of its frame that it begins at.
    background
        Light in it that is out of focus, where that is known.
    """

    image: Tensor
    unusable: Tensor
    start: Sequence[int]
    background: Tensor | None = None


Stages = Callable[[Tensor, Tensor | None], Tensor]
"""Gives both stages of an image and its background (1, 1, [Z,] Y, X): the denoised and the
re-blurred deconvolved one, (2, 1, [Z,] Y, X)."""


class HeldOutPixels:
    """Windows without the held-out pixels of a lattice, and what was recorded there."""

    def __init__(self, windows: Sequence[Window], lattice: Lattice, device: torch.device) -> None:
        self._windows = []
        for window in windows:
            go_on()
            recorded = window.image[None, None].to(device)
            place = (window.start, window.image.shape)
            left_out = lattice.left_out(*place).to(device)
            judged = _inside((lattice.centres(*place) & ~window.unusable).to(device))
            haze = window.background
            haze = None if haze is None else haze[None, None].to(device)
            hidden = filled(recorded, left_out, lattice.reach)
            self._windows.append((recorded, hidden, judged, haze))

    @torch.no_grad()
    def errors(self, stages: Stages) -> Tensor:
        """Sum the squared errors of both stages at the held-out pixels, shape (2, cells)."""
        cells = []
        for recorded, image, judged, background in self._windows:
            go_on()
            blind, seeing = (
                _inside(stages(seen, background)).float() for seen in (image, recorded)
            )
            wrong = (blind - _inside(recorded)).square() + OWN * (seeing - blind).square()
            cells.append(_by_cells(wrong * judged))
        return torch.cat(cells, dim=1)

    @torch.no_grad()
    def expected(self, stages: Stages, shot: float, read: float) -> float:
        """Tell how much noise the camera says that these pixels have: the sum of its variances.

        The stages tell how bright they are; gain and read variance are in normalised units.
        """
        total = 0.0
        for _, image, judged, background in self._windows:
            go_on()
            light = _inside(stages(image, background)[:1].float()).clamp(min=0.0)
            total += float(((shot * light + read) * judged).double().sum())
        return total


def with_coarse_light(image: Tensor, stages: Tensor) -> Tensor:
    """Give stages of an image (N, 1, Y, X) its coarsest structure, as results have it."""
    return stages + _coarse(image - stages)


def _by_cells(errors: Tensor) -> Tensor:
    """Sum errors (2, 1, [Z,] Y, X) over cells, (2, cells)."""
    if errors.ndim == 4:
        sums = F.avg_pool2d(errors.double(), CELL, ceil_mode=True, divisor_override=1)
    else:
        size = (DEEP_CELL, CELL, CELL)
        sums = F.avg_pool3d(errors.double(), size, ceil_mode=True, divisor_override=1)
    return sums.flatten(1).cpu()


def _inside(image: Tensor) -> Tensor:
    """Cut the rim off images (2, 1, Y, X) or volumes (2, 1, Z, Y, X), and off masks of either."""
    inner = image[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
    deep = image.ndim in (3, 5)
    return inner[..., DEEP_MARGIN:-DEEP_MARGIN, :, :] if deep else inner


def _coarse(images: Tensor) -> Tensor:
    """Blur as `coarse_light` does, one axis after the other."""
    places = torch.arange(-REACH, REACH + 1, device=images.device)
    weights = torch.exp(-0.5 * (places / SIGMA) ** 2)
    weights = (weights / weights.sum())[None, None]
    around = continued(images, [(REACH, REACH)] * 2)
    return F.conv2d(F.conv2d(around, weights[..., None, :]), weights[..., :, None])
