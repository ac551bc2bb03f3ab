"""A volume in a larger room: blur without assuming anything of what lies beyond its faces."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from scipy.ndimage import convolve1d
from torch import Tensor

from ..utils.phases import go_on
from .forward import REGULARISATION, bin_down, enlarge
from .fourier import cut, from_spectrum, to_spectrum

MARGIN = (8, 32, 32)
"""Planes, rows and columns that structure goes on beyond a volume, at most: light from farther
away is smooth in the volume, and explained as well by structure this near."""

LARGE_ROOM = 6_000_000
"""Voxels of the room of a part of a volume, on one core deconvolved in about 15 s."""

DIMMEST = 0.02
"""Part of a voxel's light that reaches the volume, below which the voxel is left as it is."""


class OpenField:
    """A structure larger than the volume recorded of it, and what the microscope makes of it.

    Parameters
    ----------
    psf : ndarray
        (Z, Y, X), odd, sum 1, on the grid of the structure.
    size : sequence of int
        Voxels of the recorded part on that grid.
    upsampling : int
        Voxels of the structure side by side in a raw pixel.
    sieve : sequence of float
        FWHM in voxels of the Gaussian through which the structure is shown.
    margin : sequence of int
        Voxels of the structure beyond each face.
    device : torch.device, optional
        Where it is computed.
    stated_width : sequence of float, optional
        FWHM in voxels of the Gaussian through which results show the structure.
    """

    def __init__(
        self,
        psf: NDArray[np.floating],
        size: Sequence[int],
        upsampling: int = 1,
        sieve: Sequence[float] = (0.0, 0.0, 0.0),
        margin: Sequence[int] | None = None,
        device: torch.device | None = None,
        stated_width: Sequence[float] | None = None,
    ) -> None:
        margin = margins(psf.shape) if margin is None else tuple(margin)
        self.shape = room_of(size, margin, psf.shape)
        self.margins = tuple(
            (m, full - m - n) for full, m, n in zip(self.shape, margin, size, strict=True)
        )
        self.margin, self.size = margin, tuple(size)
        self.upsampling = upsampling
        self.sieve = _gaussians(self.shape, sieve, device)
        self.stated = _gaussians(self.shape, stated_width, device) if stated_width else []
        self.optics = self._optics(psf, device)
        go_on()
        self.transfer = _through(self.optics.clone(), self.sieve)
        seen = torch.ones((1, 1, *self.size), device=device)
        seen = self._spectrum(seen).mul_(self.transfer.conj())
        go_on()
        seen = self._whole(seen)
        self.unseen = (DIMMEST - seen).clamp_(min=0.0)
        self.visibility = seen.clamp_(min=DIMMEST)
        """Part of the light of each voxel that reaches the volume."""

    def _optics(self, psf: NDArray[np.floating], device: torch.device | None) -> Tensor:
        reach = [
            min(n // 2, (full - 1) // 2) for n, full in zip(psf.shape, self.shape, strict=True)
        ]
        window = tuple(
            slice(n // 2 - r, n // 2 + r + 1) for n, r in zip(psf.shape, reach, strict=True)
        )
        padded = torch.zeros(self.shape, device=device)
        kernel = torch.from_numpy(np.array(psf[window], np.float32))
        padded[tuple(map(slice, kernel.shape))] = kernel.to(padded)
        go_on()
        spectrum: Tensor = torch.fft.rfftn(padded.roll([-r for r in reach], (0, 1, 2)))
        return spectrum

    def expected(self, structure: Tensor) -> Tensor:
        """Give what is recorded of a structure (N, 1, Z, Y, X) that fills the room."""
        spectrum = to_spectrum(structure, self.shape, (0, 0, 0)).mul_(self.transfer)
        return bin_down(self._inside(spectrum), self.upsampling)

    def blurred(self, volume: Tensor) -> Tensor:
        """Give what is recorded of the volume itself, as `shown`, with nothing around it."""
        return bin_down(self._inside(self._spectrum(volume).mul_(self.optics)), self.upsampling)

    def blurred_result(self, volume: Tensor) -> Tensor:
        """Do the same with a result, of which the stated resolution has done part of the blur.

        See `forward.remaining_blur` for the equation.
        """
        if not self.stated:
            return self.blurred(volume)
        spectrum = _through(self._spectrum(volume).mul_(self.optics), self.stated)
        depth, rows, columns = (along.square() for along in self.stated)
        spectrum /= (depth * rows * columns).add_(REGULARISATION)
        return bin_down(self._inside(spectrum.mul_(1 + REGULARISATION)), self.upsampling)

    def shown(self, structure: Tensor) -> Tensor:
        """Give the recorded part of a structure, through the Gaussian."""
        spectrum = to_spectrum(structure, self.shape, (0, 0, 0))
        return self._inside(_through(spectrum, self.sieve))

    def stated_part(self, structure: Tensor) -> Tensor:
        """Give the recorded part of a structure at the resolution that results state."""
        spectrum = to_spectrum(structure, self.shape, (0, 0, 0))
        return self._inside(_through(spectrum, (*self.sieve, *self.stated)))

    def factor(self, ratio: Tensor) -> Tensor:
        """Give what a step of Richardson-Lucy multiplies by: H^T of a ratio on the raw grid.

        Over the part of each voxel's light that reaches the volume, so that what is far outside
        moves as fast as what is in the middle; what is hardly seen stays as it is.
        """
        spectrum = self._spectrum(enlarge(ratio, self.upsampling))
        spread = self._whole(spectrum.mul_(self.transfer.conj()))
        return spread.add_(self.unseen).div_(self.visibility)

    def inside(self, structure: Tensor) -> Tensor:
        """Give the recorded part of a structure, as a view."""
        return cut(structure, self._start, self.size)

    @property
    def _start(self) -> tuple[int, ...]:
        return tuple(before for before, _ in self.margins)

    def _spectrum(self, volume: Tensor) -> Tensor:
        """Transform the room with nothing but a volume of the recorded part in it."""
        return to_spectrum(volume, self.shape, self._start)

    def _inside(self, spectrum: Tensor) -> Tensor:
        return from_spectrum(spectrum, self.shape, self._start, self.size)

    def _whole(self, spectrum: Tensor) -> Tensor:
        return from_spectrum(spectrum, self.shape, (0, 0, 0), self.shape)


def room_of(size: Sequence[int], margin: Sequence[int], psf: Sequence[int]) -> tuple[int, ...]:
    """Give the shape of a room in which no light comes round its end into the volume.

    Parameters
    ----------
    size, margin, psf : sequence of int
        Voxels of the volume, of the structure beyond each face of it, and of the PSF.
    """
    return tuple(
        next_fast_len(n + max(2 * m, m + min(p // 2, n + m)), real=True)
        for n, m, p in zip(size, margin, psf, strict=True)
    )


def quick_part(size: Sequence[int], psf: Sequence[int], upsampling: int = 1) -> tuple[int, ...]:
    """Give a smaller part of a volume where a PSF is so large that a usual one takes long.

    Of a deep widefield PSF nearly all of the room lies around the part, so that a part of half the
    voxels is not half the work: it shrinks, by at most a half along each axis, until its room holds
    `LARGE_ROOM` voxels.

    Parameters
    ----------
    size : sequence of int
        Raw voxels of the usual part, (Z, Y, X).
    psf : sequence of int
        Voxels of the PSF on the output grid.
    upsampling : int
        Output pixels side by side in a raw pixel.
    """
    raw = (psf[0], *(-(-n // upsampling) for n in psf[1:]))
    margin = margins(raw)
    for eighths in range(8, 3, -1):
        part = tuple(max(n * eighths // 8, 1) for n in size)
        if math.prod(room_of(part, margin, raw)) <= LARGE_ROOM:
            break
    return part


def margins(shape: Sequence[int]) -> tuple[int, ...]:
    """Give how far structure goes on beyond the faces, for a PSF of this shape."""
    return tuple(min(n // 2, most) for n, most in zip(shape, MARGIN, strict=True))


def binned(psf: NDArray[np.floating], factor: int) -> NDArray[np.float32]:
    """Give a PSF (Z, Y, X) on a grid of pixels ``factor`` times as wide, sum 1.

    As the microscope sees a structure of such wide pixels with a camera of the same.
    """
    if factor == 1:
        return np.asarray(psf, np.float32)
    pixel = np.convolve(np.ones(factor), np.ones(factor))
    for axis in (1, 2):
        reach = math.ceil((psf.shape[axis] // 2 + factor - 1) / factor) * factor
        around = [(0, 0)] * 3
        around[axis] = (reach - psf.shape[axis] // 2,) * 2
        blurred = convolve1d(np.pad(psf, around), pixel, axis=axis, mode="constant")
        psf = blurred[(slice(None),) * axis + (slice(None, None, factor),)]
    return np.asarray(psf / psf.sum(), np.float32)


def _through(spectrum: Tensor, gaussians: Sequence[Tensor]) -> Tensor:
    """Multiply a spectrum by the transfer functions of `_gaussians`, in place."""
    for along in gaussians:
        spectrum *= along
    return spectrum


def _gaussians(
    shape: Sequence[int], widths: Sequence[float], device: torch.device | None
) -> list[Tensor]:
    """Transfer function of a Gaussian along each axis, for a spectrum laid out as rfftn's.

    Of its samples: cut off at the highest frequency, the transfer function of one narrower than
    a voxel would be that of a kernel with negative lobes, and a structure seen through it could be
    darker than nothing.
    """
    factors = []
    for axis, (length, width) in enumerate(zip(shape, widths, strict=True)):
        place = np.minimum(np.arange(length), length - np.arange(length))
        sigma = max(width, 0.1) / math.sqrt(8 * math.log(2))
        samples = np.exp(-0.5 * (place / sigma) ** 2)
        transform = np.fft.rfft if axis == 2 else np.fft.fft
        along = transform(samples / samples.sum()).real.astype(np.float32)
        factors.append(
            torch.from_numpy(along.reshape([-1 if n == axis else 1 for n in range(3)])).to(device)
        )
    return factors
