"""Richardson-Lucy as it is at its best: an open field, momentum, and a stated resolution."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..psf.psf import PSF
from ..utils.phases import go_on
from .forward import bin_down
from .open_field import OpenField, binned, margins


class Sharpened(NamedTuple):
    """A deconvolved volume and what the microscope would make of it."""

    estimate: Tensor
    """On the output grid."""
    reblurred: Tensor
    """On the raw grid, light from beyond the faces included."""
    beyond: Tensor
    """The part of it that results, which end at the faces, do not explain."""


class Sharpening(nn.Module):
    r"""Deconvolution of a denoised volume (N, 1, Z, Y, X), with nothing to learn.

    Steps of Richardson-Lucy, :math:`x \leftarrow x \; H^T \frac{d + s}{H x + s} / H^T 1`, with
    five things that make them fit for volumes:

    *An open field.* The structure goes on beyond the image, and a widefield stack is full of
    its haze. The estimate is larger than the image, and :math:`H^T 1` is what part of a
    voxel's light the image sees (after Bertero and Boccacci, Astronomy & Astrophysics 437,
    369, 2005). Continuing the image by reflection instead leaves an error that no number
    of steps takes away and that each of them amplifies.

    *A flat start.* Haze is coarse along z, where Richardson-Lucy is slowest. An estimate that
    begins with the image begins with its haze, and takes long to lose it.

    *From coarse to fine.* Where the PSF is wide, the first steps are done on pixels several
    times as wide, where they cost next to nothing: they bring the haze back to where it is from.

    *A stated resolution.* :math:`x = G c` with a Gaussian G narrower than the PSF, and the
    steps find `c` (the method of sieves: Snyder and Miller, IEEE Transactions on Nuclear
    Science 32, 3864, 1985). Neither noise nor structure becomes finer than G, so that more
    steps do no harm.

    *Momentum*, which makes some 30 steps do the work of hundreds (after Biggs and Andrews,
    Applied Optics 36, 1766, 1997).

    On each grid the steps end once they change what the microscope would record by less than a
    given part of the noise. They see the denoised volume alone. A few plain ones on the noisy
    volume follow, for details that denoising has lost; so few of them do not bring the noise
    back.

    Parameters
    ----------
    psf : PSF
        3D, lateral steps of the output grid, planes as far apart as those of the stack.
    upsampling : int
        Output pixels side by side in a raw pixel, 1 or 2.
    stated_width : tuple of float, optional
        Of results that are made of this one: see `OpenField`.
    """

    iterations, coarse_iterations = 36, 90
    """Steps at most on the output grid, and on each of those with wider pixels."""
    settled, settled_haze = 0.0025, 0.0015
    """Change of what would be recorded, in standard deviations of the noise, at which the steps
    on a grid end, for compact PSFs and for wide ones: haze moves little at each step, and far
    in all."""
    carried = 20
    """Steps whose momentum those on a finer grid begin with."""
    finishing = 5
    """Steps on the noisy volume."""
    lateral_sieve, axial_sieve = 0.35, 0.35
    """Width of G as a part of that of the PSF; less could not be told from noise."""
    coarse_pixels = 2.5
    """Pixels of a coarse grid in the radius of the circle that holds half of the PSF's light, at
    least."""
    haze = 2.5
    """That radius over the FWHM of a PSF across, from where on it is wide: most of its light is out
    of focus. It is 5 where a stack of 10 planes sees a widefield PSF of NA 1.4, and 1.5 at most
    of confocals, light sheets and PSFs that end near the focus."""

    near = 0.6
    """How far the structure goes on beyond a stack, in radii of a compact PSF."""

    def __init__(
        self, psf: PSF, upsampling: int = 1, stated_width: tuple[float, ...] | None = None
    ) -> None:
        super().__init__()
        self.upsampling = upsampling
        self.stated_width = stated_width
        self.register_buffer("kernel", torch.tensor(psf.array.copy()), persistent=False)
        shares = (self.axial_sieve, self.lateral_sieve, self.lateral_sieve)
        widths = [
            share * width / step
            for share, width, step in zip(shares, psf.fwhm, psf.steps, strict=True)
        ]
        # A PSF too broad for its array has no width; such an axis goes without a sieve.
        self.sieve = tuple(width if math.isfinite(width) else 0.0 for width in widths)
        """FWHM of G along each axis, in voxels of the output grid."""
        radius = psf.energy_radius(0.5) / psf.steps[-1]
        wide = not radius < self.haze * psf.fwhm[-1] / psf.steps[-1]
        # Only haze has much to say of what lies farther beyond the faces.
        self.margin = tuple(
            n if wide else math.ceil(self.near * n) for n in margins(psf.array.shape)
        )
        self.grids = tuple(
            factor for factor in (4, 2) if wide and radius >= factor * self.coarse_pixels
        )
        """Output pixels side by side in those of the coarse grids, coarsest first."""
        self.least_change = self.settled_haze if self.grids else self.settled
        self._fields: dict[tuple[tuple[int, ...], torch.device], dict[int, OpenField]] = {}

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
        image = image.float()
        denoised = denoised.detach().float().clamp(min=0.0)
        noise = _relative(image - denoised, denoised + damping)
        estimate = self._coarse_to_fine(denoised, damping, noise)
        field = self.field(tuple(denoised.shape[2:]))
        for _ in range(self.finishing):
            go_on()
            ratio = _ratio(image, field.expected(estimate), noisy_damping)
            estimate = field.factor(ratio).clamp_(0.01, 20.0).mul_(estimate)
        reblurred = field.expected(estimate)
        beyond = reblurred - field.blurred_result(field.stated_part(estimate))
        return Sharpened(field.shown(estimate), reblurred, beyond)

    def _coarse_to_fine(self, denoised: Tensor, damping: float, noise: float) -> Tensor:
        """Explain a denoised volume on one grid after the other, from a flat start on."""
        size = tuple(denoised.shape[2:])
        coarser: OpenField | None = None
        estimate = denoised
        for factor in (*self.grids, 1):
            field, seen = self.field(size, factor), self._on_grid(denoised, factor)
            if coarser is None:
                flat = seen.mean(dim=(1, 2, 3, 4), keepdim=True) + 1e-6
                estimate = flat.expand(-1, -1, *field.shape).clone()
            else:
                estimate = _refined(estimate, coarser, field)
            steps = (
                0 if coarser is None else self.carried,
                self.iterations if factor == 1 else self.coarse_iterations,
            )
            estimate = self._steps(field, estimate, seen, damping, noise, steps)
            coarser = field
        return estimate

    def _steps(
        self,
        field: OpenField,
        estimate: Tensor,
        image: Tensor,
        damping: float,
        noise: float,
        steps: tuple[int, int],
    ) -> Tensor:
        """Do accelerated steps on one grid until they change next to nothing.

        `steps` are those whose momentum there is, and how many are done at most.
        """
        done, most = steps
        leading, last = estimate, None
        small = 1e-5 * float(image.mean()) + 1e-12
        for step in range(done + 1, done + most + 1):
            go_on()
            expected = field.expected(leading)
            if last is not None and _relative(expected - last, image + damping) < (
                self.least_change * noise
            ):
                break
            last = expected
            sharper = field.factor(_ratio(image, expected, damping)).clamp_(0.01, 20.0)
            sharper.mul_(leading)
            change = sharper.div(estimate.add_(small)).clamp_(0.2, 5.0)
            leading = change.pow_((step - 1) / (step + 2)).mul_(sharper)
            estimate = sharper
        return estimate

    def field(self, size: tuple[int, ...], factor: int = 1) -> OpenField:
        """Give the room of a raw volume (Z, Y, X), on the output grid or one with wider pixels."""
        key = (size, self.kernel.device)
        if key not in self._fields:
            # One size is in use at a time; the transfer functions of a large one are large.
            self._fields = {key: {}}
        fields = self._fields[key]
        if factor not in fields:
            go_on()
            planes, *across = size
            upsampling = max(self.upsampling // factor, 1)
            pixels = max(factor // self.upsampling, 1)
            fields[factor] = OpenField(
                binned(self.kernel.cpu().numpy(), factor),
                (planes, *(upsampling * -(-n // pixels) for n in across)),
                upsampling,
                (self.sieve[0], *(width / factor for width in self.sieve[1:])),
                (self.margin[0], *(-(-width // factor) for width in self.margin[1:])),
                self.kernel.device,
                self.stated_width if factor == 1 else None,
            )
        return fields[factor]

    def forget_fields(self) -> None:
        """Give the memory of all transfer functions back, until they are needed again."""
        self._fields = {}

    def _on_grid(self, image: Tensor, factor: int) -> Tensor:
        """Bin a raw volume to where the microscope's image of such wide pixels is compared."""
        pixels = max(factor // self.upsampling, 1)
        rows, columns = (-n % pixels for n in image.shape[-2:])
        return bin_down(F.pad(image, (0, columns, 0, rows, 0, 0), mode="replicate"), pixels)


def _ratio(image: Tensor, expected: Tensor, damping: float) -> Tensor:
    # Rounding, and a PSF with negative pixels, could make what is expected darker than nothing.
    return (image + damping).clamp_(min=0.0).div_(expected.clamp(min=0.0).add_(damping))


def _relative(difference: Tensor, light: Tensor) -> float:
    """Root mean square of a difference, over the square root of the light it is seen in."""
    return float(difference.square().div_(light).mean().sqrt())


def _refined(estimate: Tensor, coarse: OpenField, fine: OpenField) -> Tensor:
    """Bring a structure from one room to that of the next finer grid."""
    factors = (1, 2, 2)
    scale = tuple(map(float, factors))
    estimate = F.interpolate(estimate, scale_factor=scale, mode="trilinear")
    refined = estimate.new_full((*estimate.shape[:2], *fine.shape), 1e-6)
    there, here = [slice(None)] * 2, [slice(None)] * 2
    for axis, factor in enumerate(factors):
        start = factor * coarse.margin[axis] - fine.margin[axis]
        length = min(fine.shape[axis], estimate.shape[2 + axis] - start)
        there.append(slice(length))
        here.append(slice(start, start + length))
    refined[tuple(there)] = estimate[tuple(here)]
    return refined
