"""The training objective, equations 4 to 6, one function each.

Means over pixels stand for the norms of the equations, so that a loss does not depend on the
size of a patch. All images are in normalised units, ``(counts - offset) / scale``.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

Norm = Literal["squared", "absolute"]


def fidelity(prediction: Tensor, target: Tensor, norm: Norm = "squared") -> Tensor:
    r"""Mean distance of a prediction to a noisy target.

    ``"squared"`` is :math:`\langle (p - t)^2 \rangle`, the norm that re-corruption theory
    rests on: its minimum is the mean of the target. ``"absolute"`` is
    :math:`\langle |p - t| \rangle`, the published program's default, whose minimum is the
    median and thus biased where the noise is skewed.
    """
    difference = prediction.float() - target
    return difference.square().mean() if norm == "squared" else difference.abs().mean()


def denoising_loss(denoised: Tensor, target: Tensor, norm: Norm = "squared") -> Tensor:
    r"""Equation 5: :math:`L_{den} = \lVert f_{\theta'}(\hat y) - \tilde y \rVert^2`.

    Parameters
    ----------
    denoised : Tensor
        First-stage output for the re-corrupted input, raw grid, shape (N, 1, Y, X).
    target : Tensor
        The other half of the re-corrupted pair, same shape.
    norm : {"squared", "absolute"}
        See `fidelity`.
    """
    return fidelity(denoised, target, norm)


def deconvolution_loss(reblurred: Tensor, target: Tensor, norm: Norm = "squared") -> Tensor:
    r"""First term of equation 6.

    :math:`\lVert (f_\theta(\hat y) * PSF)_\downarrow - \tilde y \rVert^2`

    Parameters
    ----------
    reblurred : Tensor
        Second-stage output, blurred by the PSF and binned to the raw grid, (N, 1, Y, X).
    target : Tensor
        The other half of the re-corrupted pair, same shape.
    norm : {"squared", "absolute"}
        See `fidelity`.
    """
    return fidelity(reblurred, target, norm)


def hessian_penalty(image: Tensor) -> Tensor:
    r"""Second term of equation 6, the squared Frobenius norm of the Hessian.

    :math:`R = \langle f_{xx}^2 + f_{yy}^2 + 2 f_{xy}^2 \rangle`, differences in output pixels:
    ``f_xx = f(x+1) - 2 f(x) + f(x-1)``, ``f_xy`` the difference of differences over one
    2 x 2 block. The published 2D program takes half of this sum; its weight of 0.02 is 0.01
    here.

    Parameters
    ----------
    image : Tensor
        Deconvolved image, shape (N, 1, Y, X).
    """
    image = image.float()
    along_y = image.diff(dim=-2)
    along_x = image.diff(dim=-1)
    return (
        along_y.diff(dim=-2).square().mean()
        + along_x.diff(dim=-1).square().mean()
        + 2 * along_y.diff(dim=-1).square().mean()
    )


def combined_loss(
    denoising: Tensor,
    deconvolution: Tensor,
    hessian: Tensor,
    *,
    denoising_weight: float = 0.5,
    hessian_weight: float = 0.02,
) -> Tensor:
    r"""Equation 4: :math:`L = \mu L_{den} + (1 - \mu) (L_{dec} + \lambda R)`.

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
