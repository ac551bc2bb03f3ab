"""Richardson-Lucy as it is at its best: an open field, momentum, and a stated resolution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor, nn

from .forward import bin_down, continued, enlarge
from .psf import PSF

_AXES = (-3, -2, -1)


class Sharpened(NamedTuple):
    """A deconvolved volume and what the microscope would make of it."""

    estimate: Tensor
    """On the output grid."""
    reblurred: Tensor
    """On the raw grid."""


class Sharpening(nn.Module):
    r"""Deconvolution of a denoised volume (N, 1, Z, Y, X), with nothing to learn.

    Steps of Richardson-Lucy, :math:`x \leftarrow x \; H^T \frac{d + s}{H x + s}`, with three
    things that make them fit for volumes:

    *An open field.* The structure goes on beyond the image, and a widefield stack is full of
    its haze. The estimate is larger than the image, and beyond the image, where nothing was
    recorded, it is compared with itself (after Bertero and Boccacci, Astronomy & Astrophysics
    437, 369, 2005). Continuing the image by reflection instead leaves an error that no number
    of steps takes away and that each of them amplifies.

    *A stated resolution.* :math:`x = G c` with a Gaussian G narrower than the PSF, and the
    steps find `c` (the method of sieves: Snyder and Miller, IEEE Transactions on Nuclear
    Science 32, 3864, 1985). Neither noise nor structure becomes finer than G, so that more
    steps do no harm.

    *Momentum*, which makes some 40 steps do the work of hundreds (after Biggs and Andrews,
    Applied Optics 36, 1766, 1997).

    The first steps see the denoised volume alone. A few plain ones on the noisy volume follow,
    for details that denoising has lost; so few of them do not bring the noise back.

    Parameters
    ----------
    psf : PSF
        3D, lateral steps of the output grid, planes as far apart as those of the stack.
    upsampling : int
        Output pixels side by side in a raw pixel, 1 or 2.
    """

    iterations = 36
    """Steps on the denoised volume."""
    finishing = 5
    """Steps on the noisy volume."""
    lateral_sieve, axial_sieve = 0.35, 0.35
    """Width of G as a part of that of the PSF; less could not be told from noise."""
    reach = 0.6
    """How far the estimate goes beyond the image, in radii of the PSF."""

    def __init__(self, psf: PSF, upsampling: int = 1) -> None:
        super().__init__()
        self.upsampling = upsampling
        self.register_buffer("kernel", torch.tensor(psf.array.copy()), persistent=False)
        self.margin = tuple(math.ceil(self.reach * (size // 2)) for size in psf.array.shape)
        shares = (self.axial_sieve, self.lateral_sieve, self.lateral_sieve)
        widths = [
            share * width / step
            for share, width, step in zip(shares, psf.fwhm, psf.steps, strict=True)
        ]
        # A PSF too broad for its array has no width; such an axis goes without a sieve.
        self.sieve = tuple(width if math.isfinite(width) else 0.0 for width in widths)
        """FWHM of G along each axis, in voxels of the output grid."""
        self._fields: dict[tuple[tuple[int, ...], torch.device], _Field] = {}

    kernel: Tensor

    def __getstate__(self) -> dict[str, object]:
        # A copy makes transfer functions of its own, as it may be taken from another thread.
        return {**self.__dict__, "_fields": {}}

    @torch.no_grad()
    def forward(
        self, image: Tensor, denoised: Tensor, damping: float, noisy_damping: float
    ) -> Sharpened:
        """Deconvolve onto the output grid, in float32.

        Parameters
        ----------
        image, denoised : Tensor
            The noisy volume and what is left of it without noise, (N, 1, Z, Y, X).
        damping, noisy_damping : float
            s of the steps on either, in the units of the volumes.
        """
        denoised = denoised.detach().float().clamp(min=0.0)
        start = enlarge(denoised, self.upsampling, "linear")
        field = self._field(tuple(start.shape[2:]))
        estimate = leading = continued(start, field.margins)
        for step in range(1, self.iterations + 1):
            sharper = self._step(field, leading, denoised, damping)
            change = sharper.div(estimate.add_(1e-5)).clamp_(0.2, 5.0)
            leading = sharper * change.pow_((step - 1) / (step + 2))
            estimate = sharper
        for _ in range(self.finishing):
            estimate = self._step(field, estimate, image.float(), noisy_damping)
        return Sharpened(
            field.inside(field.convolve(estimate, field.sieve)), self._expected(field, estimate)
        )

    def _step(self, field: _Field, estimate: Tensor, image: Tensor, damping: float) -> Tensor:
        ratio = (image + damping).clamp_(min=0.0) / (self._expected(field, estimate) + damping)
        whole = torch.ones_like(estimate)
        field.inside(whole).copy_(enlarge(ratio, self.upsampling))
        return field.convolve(whole, field.transfer.conj()).clamp_(0.01, 20.0).mul_(estimate)

    def _expected(self, field: _Field, estimate: Tensor) -> Tensor:
        return bin_down(field.inside(field.convolve(estimate, field.transfer)), self.upsampling)

    def _field(self, size: tuple[int, ...]) -> _Field:
        key = (size, self.kernel.device)
        if key not in self._fields:
            # One size is in use at a time; the transfer functions of a large one are large.
            self._fields = {key: self._make_field(size)}
        return self._fields[key]

    def _make_field(self, size: tuple[int, ...]) -> _Field:
        shape = tuple(
            next_fast_len(max(length + 2 * margin, kernel))
            for length, margin, kernel in zip(size, self.margin, self.kernel.shape, strict=True)
        )
        margins = [
            (margin, full - margin - length)
            for full, margin, length in zip(shape, self.margin, size, strict=True)
        ]
        padded = self.kernel.new_zeros(shape)
        padded[tuple(map(slice, self.kernel.shape))] = self.kernel
        centre = [-(length // 2) for length in self.kernel.shape]
        sieve = self._sieve_transfer(shape).to(self.kernel.device)
        transfer = torch.fft.rfftn(padded.roll(centre, (0, 1, 2))) * sieve
        return _Field(shape, margins, transfer, sieve)

    def _sieve_transfer(self, shape: tuple[int, ...]) -> Tensor:
        """Transfer function of G on a field of this shape, laid out as that of rfftn."""
        transfer = np.ones(1)
        for axis, (length, width) in enumerate(zip(shape, self.sieve, strict=True)):
            frequency = np.fft.rfftfreq(length) if axis == 2 else np.fft.fftfreq(length)
            sigma = width / math.sqrt(8 * math.log(2))
            along = np.exp(-2 * (math.pi * sigma * frequency) ** 2)
            transfer = transfer * along.reshape([-1 if n == axis else 1 for n in range(3)])
        return torch.from_numpy(transfer.astype(np.float32))


@dataclass(frozen=True, eq=False)
class _Field:
    """An estimate's room, with the image in it and a margin on every side."""

    shape: tuple[int, ...]
    margins: list[tuple[int, int]]
    """Before and behind the image, along each axis."""
    transfer: Tensor
    """Of the PSF and the sieve."""
    sieve: Tensor

    def convolve(self, volume: Tensor, transfer: Tensor) -> Tensor:
        spectrum = torch.fft.rfftn(volume, dim=_AXES).mul_(transfer)
        convolved: Tensor = torch.fft.irfftn(spectrum, s=self.shape, dim=_AXES)
        return convolved

    def inside(self, volume: Tensor) -> Tensor:
        """Give the part of a volume in which the image lies, as a view."""
        for axis, (before, behind) in enumerate(self.margins, 2):
            volume = volume.narrow(axis, before, volume.shape[axis] - before - behind)
        return volume
