"""A few steps of Richardson-Lucy inside a network: nothing to learn, fast, and in little memory."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ..physics.forward import BlurAndBin, enlarge


class UnrolledSteps(nn.Module):
    r"""Richardson-Lucy on the output grid, with momentum and an exponent.

    :math:`x \leftarrow y \, (H^T \frac{d + s}{(H y)_\downarrow + s})^p` and
    :math:`y = x \, (x / x_{previous})^a`, ``a`` growing from step to step (after Biggs and
    Andrews, Applied Optics 36, 1766, 1997); with ``s`` a damping.

    Parameters
    ----------
    psf : ndarray
        2D, on the output grid, odd, sum 1.
    upsampling : int
        Output pixels side by side in a raw pixel.
    iterations : int
        Steps; with the exponent they do the work of about three times as many.
    exponent : float
        p, which makes one step do the work of several; above 2 they overshoot.
    """

    def __init__(
        self, psf: np.ndarray, upsampling: int, iterations: int = 5, exponent: float = 2.0
    ) -> None:
        super().__init__()
        self.upsampling = upsampling
        self.iterations = iterations
        self.exponent = exponent
        self.microscope = BlurAndBin(psf, upsampling)

    @torch.no_grad()
    def forward(self, image: Tensor, damping: float) -> Tensor:
        """Sharpen an image without noise.

        Parameters
        ----------
        image : Tensor
            (N, 1, Y, X) on the raw grid, above the offset.
        damping : float
            s, in units of the image: about that intensity below which nothing is sharpened.
        """
        image = image.float().clamp(min=0.0)
        # Copies, as steps are taken in place and on the grid of the image nothing is enlarged.
        estimate = enlarge(image, self.upsampling, "linear").clone()
        leading = estimate.clone()
        ratio = torch.empty_like(image)
        for step in range(1, self.iterations + 1):
            for rows, expected in self.microscope.bands(leading):
                part = image[..., rows, :] + damping
                torch.div(part, expected.add_(damping), out=ratio[..., rows, :])
            for rows, update in self.microscope.adjoint_bands(ratio):
                before, ahead = estimate[..., rows, :], leading[..., rows, :]
                sharper = update.clamp_(min=0.01).pow_(self.exponent).mul_(ahead)
                if step < self.iterations:
                    change = sharper.div(before.add_(1e-5)).clamp_(0.2, 5.0)
                    torch.mul(sharper, change.pow_((step - 1) / (step + 2)), out=ahead)
                before.copy_(sharper)
        return estimate
