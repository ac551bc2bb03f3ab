"""The terms of the training objectives, equations 4 to 9, one function each.

Means over pixels stand for the norms of the equations, so that a loss does not depend on the
size of a patch. All images are in normalised units, ``(counts - offset) / scale``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Literal

from torch import Tensor

from ..physics.forward import at_least_single

Norm = Literal["squared", "absolute"]


def fidelity(
    prediction: Tensor,
    target: Tensor,
    norm: Norm = "squared",
    left_out: Tensor | None = None,
) -> Tensor:
    r"""Mean distance of a prediction to a noisy target: equation 5, and the first of equation 6.

    The prediction is :math:`f_{\theta'}(\hat y)` of the first stage, or that of the second,
    blurred by the PSF and binned to the raw grid,
    :math:`(f_\theta(\hat y) * PSF)_\downarrow`; the target is :math:`\tilde y`. ``"squared"`` is
    the norm that re-corruption theory rests on: its minimum is the mean of the target.
    ``"absolute"`` is the published program's default, whose minimum is the median and thus biased
    where the noise is skewed. Pixels that are left out (True there) do not count.
    """
    difference = at_least_single(prediction) - target
    distance = difference.square() if norm == "squared" else difference.abs()
    if left_out is None:
        return distance.mean()
    return distance.masked_fill(left_out, 0.0).sum() / (~left_out).sum().clamp(min=1)


def gap_amending_loss(
    prediction: Tensor,
    target: Tensor,
    gap: Tensor,
    norm: Norm = "squared",
    left_out: Tensor | None = None,
) -> Tensor:
    r"""Second terms of equations 8 and 9.

    :math:`\lVert p - S_{even}(z) - (S_{odd}(f_{\theta'}(z)) - S_{even}(f_{\theta'}(z))) \rVert`
    with :math:`p` either :math:`f_{\theta'}(S_{odd}(z))` or
    :math:`(f_\theta(S_{odd}(z)) * PSF)_\downarrow`: neighbouring planes show different parts of
    the sample, and what they differ by is not to be explained away as noise.

    Parameters
    ----------
    prediction, target : Tensor
        As in the first terms, (N, 1, Z, Y, X).
    gap : Tensor
        Difference of the denoised planes that input and target stand for, same shape, without
        gradient.
    norm, left_out
        See `fidelity`.
    """
    return fidelity(prediction - gap, target, norm, left_out)


def hessian_penalty(image: Tensor, steps: Sequence[float] | None = None) -> Tensor:
    r"""Last term of equations 6 and 9, the squared Frobenius norm of the Hessian.

    :math:`R = \sum_i \langle f_{ii}^2 \rangle + 2 \sum_{i<j} \langle f_{ij}^2 \rangle` over the
    spatial axes, differences in units of the lateral output pixel: ``f_xx = f(x+1) - 2 f(x) +
    f(x-1)``, ``f_xy`` the difference of differences over one 2 x 2 block. Along an axis whose
    voxels are ``a`` times as long each difference is divided by ``a``, so that a structure is
    penalised alike whichever way it lies. Two planes have no second difference along Z, and
    count for nothing there. The published 2D program takes half of this sum and
    the 3D one all of it, without regard to the steps; the former's weight of 0.02 is 0.01 here.

    Parameters
    ----------
    image : Tensor
        Deconvolved image, shape (N, 1, [Z,] Y, X).
    steps : sequence of float, optional
        Voxel size of the output grid in any unit, one number per spatial axis; None takes
        all axes alike.
    """
    image = at_least_single(image)
    axes = range(2, image.ndim)
    lengths = [1.0] * len(axes) if steps is None else [step / steps[-1] for step in steps]
    penalty = image.new_zeros(())
    for one, other in combinations_with_replacement(axes, 2):
        curvature = image.diff(dim=one).diff(dim=other) / (lengths[one - 2] * lengths[other - 2])
        if curvature.numel() == 0:
            continue
        penalty = penalty + (1 if one == other else 2) * curvature.square().mean()
    return penalty


def combined_loss(
    denoising: Tensor,
    deconvolution: Tensor,
    hessian: Tensor,
    *,
    denoising_weight: float = 0.5,
    hessian_weight: float = 0.02,
) -> Tensor:
    r"""Equations 4 and 7: :math:`L = \mu L_{den} + (1 - \mu) (L_{dec} + \lambda R)`.

    Parameters
    ----------
    denoising, deconvolution, hessian : Tensor
        The three terms, scalars.
    denoising_weight : float
        :math:`\mu`.
    hessian_weight : float
        :math:`\lambda`, in the convention of `hessian_penalty`.
    """
    deconvolving = deconvolution + hessian_weight * hessian
    return denoising_weight * denoising + (1 - denoising_weight) * deconvolving
