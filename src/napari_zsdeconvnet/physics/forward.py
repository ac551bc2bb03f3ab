"""The microscope as the loss sees it: blur on the output grid, then bin to the raw grid."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import signal
from scipy.fft import next_fast_len
from torch import Tensor, nn
from torch.nn import functional as F

from .row_blocks import bands

# Below this many taps a direct convolution is the faster one on CPUs and GPUs alike. A fixed
# rule rather than a stopwatch, so that the same seed gives the same bits.
DIRECT_TAPS = 49

# Raw pixels side by side that `BlurAndBin` computes as the channels of one convolution, and how
# many multiplications an output pixel may cost until the FFT is the faster way. Measured.
BLOCK = 4
BLOCK_COST = 400

# Bytes of an image whose blocks are computed together; measured as well.
STRIP = 2**21


class Blur(nn.Module):
    r"""Convolution with a PSF, true to its orientation and without zero borders.

    :math:`(f * h)(r) = \sum_s f(r - s) h(s)`. The kernel is flipped for torch's correlation
    (direct) or transformed as it is (FFT), so an asymmetric PSF is not mirrored. Beyond the
    edge the image is continued by reflection.

    Parameters
    ----------
    psf : ndarray
        The PSF, odd in every axis, sum 1, centre in its middle pixel.
    direct : bool, optional
        Force the direct sum or the FFT; by default the faster one for this size of PSF.
    """

    kernel: Tensor

    def __init__(self, psf: np.ndarray, *, direct: bool | None = None) -> None:
        super().__init__()
        self.direct = psf.size <= DIRECT_TAPS if direct is None else direct
        self.radius = tuple(size // 2 for size in psf.shape)
        # The PSF itself goes into a model's file, so its kernels need not.
        kernel = torch.tensor(psf.copy(), dtype=torch.float32)
        self.register_buffer("kernel", kernel, persistent=False)
        self._transfer: dict[tuple[tuple[int, ...], torch.device, torch.dtype], Tensor] = {}

    def __getstate__(self) -> dict[str, Any]:
        # A copy makes transfer functions of its own, and may be taken while this one, in
        # another thread, is just making one.
        return {**self.__dict__, "_transfer": {}}

    def forward(self, image: Tensor, reach: tuple[int, ...] | None = None) -> Tensor:
        """Blur the last axes of ``image`` (N, 1, ...).

        Parameters
        ----------
        image : Tensor
            Float images, shape (N, 1, [Z,] Y, X). The blur is computed in float32, and in
            float64 where the image is.
        reach : tuple of int, optional
            Width of a border whose result the caller discards: there the image serves as its
            own context, so only what the PSF reaches beyond it is continued by reflection.
        """
        reach = reach or (0,) * len(self.radius)
        padding = [max(radius - skip, 0) for radius, skip in zip(self.radius, reach, strict=True)]
        size = image.shape[2:]
        image = continued(at_least_single(image), [(pad, pad) for pad in padding])
        blurred = self._directly(image) if self.direct else self._by_fft(image)
        return _cut(blurred, padding, size)

    def _directly(self, image: Tensor) -> Tensor:
        axes = tuple(range(self.kernel.ndim))
        weight = self.kernel.to(image.dtype).flip(axes)[None, None]
        convolve = F.conv2d if self.kernel.ndim == 2 else F.conv3d
        return convolve(image, weight, padding=self.radius)

    def _by_fft(self, image: Tensor) -> Tensor:
        axes = tuple(range(-self.kernel.ndim, 0))
        shape = tuple(
            next_fast_len(max(length, 2 * radius + 1), real=True)
            for length, radius in zip(image.shape[2:], self.radius, strict=True)
        )
        transfer = self._transfer_function(shape, image.dtype)
        spectrum = torch.fft.rfftn(image, s=shape, dim=axes)
        blurred: Tensor = torch.fft.irfftn(spectrum * transfer, s=shape, dim=axes)
        return blurred

    def _transfer_function(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        key = (shape, self.kernel.device, dtype)
        if key not in self._transfer:
            axes = tuple(range(self.kernel.ndim))
            padded = self.kernel.new_zeros(shape, dtype=dtype)
            padded[tuple(slice(length) for length in self.kernel.shape)] = self.kernel
            centred = padded.roll([-radius for radius in self.radius], axes)
            self._transfer[key] = torch.fft.rfftn(centred)
        return self._transfer[key]


class BlurAndBin(nn.Module):
    r"""The microscope :math:`H` and its way back :math:`H^T`, each in one pass.

    `forward` is ``bin_down(Blur(psf)(image), factor)``. Every raw pixel is a weighted sum of the
    output pixels around it, and `BLOCK` x `BLOCK` raw pixels are the channels of a convolution
    that steps from block to block. That is a product of matrices, the arithmetic that CPUs do
    best, and pixels that binning would merge are never computed: with the PSF of a usual
    microscope two to four times as fast as the FFT, and as exact. Wider PSFs, and GPUs, take
    the FFT.

    Parameters
    ----------
    psf : ndarray
        2D, odd in both axes, sum 1, centre in its middle pixel.
    factor : int
        Output pixels side by side in a raw pixel.
    blocks : bool, optional
        Force the blocks or the FFT; by default the faster one for this size of PSF.
    """

    gathering: Tensor
    spreading: Tensor

    def __init__(self, psf: np.ndarray, factor: int, *, blocks: bool | None = None) -> None:
        super().__init__()
        self.factor = factor
        self.radius = tuple(size // 2 for size in psf.shape)
        self.raw_radius = tuple(math.ceil(radius / factor) for radius in self.radius)
        self.blur = Blur(psf, direct=False)
        self.blur_back = Blur(psf[::-1, ::-1], direct=False)
        cost = math.prod(BLOCK + 2 * radius / factor for radius in self.radius)
        self.blocks = cost <= BLOCK_COST if blocks is None else blocks
        if self.blocks:
            self.register_buffer("gathering", self._gathering(psf), persistent=False)
            self.register_buffer("spreading", self._spreading(psf), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Blur an image (N, 1, Y, X) and bin it to the raw grid.

        The image is continued by reflection, and a multiple of ``factor`` long.
        """
        return torch.cat([rows for _, rows in self.bands(image)], dim=-2)

    def adjoint(self, image: Tensor) -> Tensor:
        r"""Give :math:`f^2 H^T` of an image (N, 1, Y, X) on the raw grid, ``f`` the factor.

        So scaled, a flat image stays flat. The image is continued by reflection, where the
        strict transpose would lose light.
        """
        return torch.cat([rows for _, rows in self.adjoint_bands(image)], dim=-2)

    def bands(self, image: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Give `forward` band by band: which rows of the raw grid, and what is in them."""
        if self._in_blocks(image):
            yield from _by_blocks(image, self.radius, self.gathering, self.factor * BLOCK, BLOCK)
        else:
            yield slice(None), bin_down(self.blur(image), self.factor)

    def adjoint_bands(self, image: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Give `adjoint` band by band: which rows of the output grid, and what is in them."""
        if self._in_blocks(image):
            fine = self.factor * BLOCK
            yield from _by_blocks(image, self.raw_radius, self.spreading, BLOCK, fine)
        else:
            yield slice(None), self._back_by_fft(image)

    def _back_by_fft(self, image: Tensor) -> Tensor:
        around = continued(at_least_single(image), [(rim, rim) for rim in self.raw_radius])
        rims = tuple(self.factor * rim for rim in self.raw_radius)
        blurred = self.blur_back(enlarge(around, self.factor), rims)
        return _cut(blurred, rims, [self.factor * length for length in image.shape[2:]])

    def _in_blocks(self, image: Tensor) -> bool:
        return self.blocks and image.device.type == "cpu"

    def _gathering(self, psf: np.ndarray) -> Tensor:
        """Weights of the output pixels around a block in each of its raw pixels."""
        return _weights(
            self._point(psf),
            [
                np.arange(self.factor * BLOCK + 2 * radius)
                - self.factor * np.arange(BLOCK)[:, None]
                for radius in self.radius
            ],
        )

    def _spreading(self, psf: np.ndarray) -> Tensor:
        """Weights of the raw pixels around a block in each of its output pixels."""
        return _weights(
            self.factor**2 * self._point(psf),
            [
                np.arange(self.factor * BLOCK)[:, None]
                + radius
                - self.factor * (np.arange(BLOCK + 2 * reach) - reach)
                for radius, reach in zip(self.radius, self.raw_radius, strict=True)
            ],
        )

    def _point(self, psf: np.ndarray) -> np.ndarray:
        """Weights of the output pixels around it in one raw pixel."""
        pixel = np.full((self.factor, self.factor), self.factor**-2.0)
        # A convolution looks backwards: what is at s comes to be at r from r - s.
        return np.asarray(signal.convolve(psf[::-1, ::-1].astype(np.float64), pixel, "full"))


def _weights(point: np.ndarray, places: Sequence[np.ndarray]) -> Tensor:
    """Make a convolution's weights (rows x columns of a block, 1, Y, X) of those of one pixel.

    ``places`` tells, for rows and for columns, where in ``point`` each of a block's inputs
    (second axis) stands for each of its outputs (first axis); outside of it the weight is 0.
    """
    rows, columns = (
        np.clip(place + 1, 0, size + 1) for place, size in zip(places, point.shape, strict=True)
    )
    weights = np.pad(point, 1)[rows[:, None, :, None], columns[None, :, None, :]]
    stacked = torch.from_numpy(weights.reshape(-1, 1, *weights.shape[2:]))
    return stacked.float().contiguous(memory_format=torch.channels_last)


def _by_blocks(
    image: Tensor, reach: tuple[int, ...], weights: Tensor, taken: int, given: int
) -> Iterator[tuple[slice, Tensor]]:
    """Make blocks of ``given`` x ``given`` pixels, each of the block of ``taken`` and its rim."""
    image = at_least_single(image)
    *_, height, width = image.shape
    rims = (reach[1], reach[1] + -width % taken)
    for first, last in bands(image, multiple=taken, size=STRIP):
        start, stop = max(first - reach[0], 0), min(last + reach[0], height)
        above, below = start - (first - reach[0]), last + reach[0] - stop
        around = continued(
            image[..., start:stop, :], [(above, below + (first - last) % taken), rims]
        )
        # Half-width numbers are for networks: here they would cost more than they save.
        with torch.autocast(image.device.type, enabled=False):
            blocks = F.conv2d(around, weights.to(image.dtype), stride=taken)
        rows = slice(first * given // taken, last * given // taken)
        size = (rows.stop - rows.start, width * given // taken)
        yield rows, _cut(F.pixel_shuffle(blocks, given), (0, 0), size)


def _cut(image: Tensor, start: Sequence[int], size: Sequence[int]) -> Tensor:
    """Take a part out of an image (N, 1, ...)."""
    for axis, (first, length) in enumerate(zip(start, size, strict=True), 2):
        image = image.narrow(axis, first, length)
    return image


REGULARISATION = 0.003
"""epsilon of `remaining_blur`."""


def remaining_blur(
    psf: NDArray[np.floating], width: tuple[float, ...] | None
) -> NDArray[np.float32]:
    r"""Give the blur that is left to do on a structure shown at a stated resolution.

    With :math:`f = G c`, the PSF `h` and its spectrum, the kernel `k` of which
    :math:`k * G \approx h`: :math:`\hat k = \hat h \hat G / (\hat G^2 + \epsilon)`.
    :math:`\epsilon` matters beyond the cutoff of the optics alone, where a measured PSF has noise
    and a division would raise it.

    Parameters
    ----------
    psf : ndarray
        ([Z,] Y, X), odd, sum 1.
    width : tuple of float, or None
        FWHM of the Gaussian G along each axis, in pixels; None for a structure that is
        shown as it is.

    Returns
    -------
    ndarray
        Of the PSF's shape, sum 1; it may be negative here and there.
    """
    if width is None:
        return np.asarray(psf, np.float32)
    gauss = np.ones(())
    for length, fwhm in zip(psf.shape, width, strict=True):
        sigma = fwhm / math.sqrt(8 * math.log(2))
        gauss = np.multiply.outer(gauss, np.exp(-2 * (np.pi * sigma * np.fft.fftfreq(length)) ** 2))
    transfer = np.fft.fftn(np.fft.ifftshift(psf)) * gauss / (gauss**2 + REGULARISATION)
    kernel = np.fft.fftshift(np.fft.ifftn(transfer).real)
    return np.asarray(kernel / kernel.sum(), np.float32)


def at_least_single(image: Tensor) -> Tensor:
    """Take half-width numbers to float32; double-width ones stay as they are."""
    return image if image.dtype == torch.float64 else image.float()


def bin_down(image: Tensor, factor: int) -> Tensor:
    """Average ``factor`` x ``factor`` pixels, so that a flat image keeps its counts.

    Of a volume (N, 1, Z, Y, X) only the lateral axes are binned.
    """
    if factor == 1:
        return image
    if image.ndim == 4:
        return F.avg_pool2d(image, factor)
    return F.avg_pool3d(image, (1, factor, factor))


def enlarge(image: Tensor, factor: int, mode: str = "nearest") -> Tensor:
    """Bring an image or, laterally, a volume (N, C, [Z,] Y, X) to a grid ``factor`` times finer.

    ``mode`` is "nearest" or "linear".
    """
    if factor == 1:
        return image
    if image.ndim == 4:
        kind = "bilinear" if mode == "linear" else mode
        return F.interpolate(image, scale_factor=float(factor), mode=kind)
    kind = "trilinear" if mode == "linear" else mode
    return F.interpolate(image, scale_factor=(1.0, float(factor), float(factor)), mode=kind)


def continued(image: Tensor, widths: Sequence[tuple[int, int]]) -> Tensor:
    """Continue an image (N, C, [Z,] Y, X) beyond its edges by reflection.

    Parameters
    ----------
    image : Tensor
        Of a floating type.
    widths : sequence of (int, int)
        Pixels before and behind, for each spatial axis. Reflection cannot exceed the image;
        farther out its edge is repeated.
    """
    mirrored = [
        (min(before, length - 1), min(behind, length - 1))
        for (before, behind), length in zip(widths, image.shape[2:], strict=True)
    ]
    image = F.pad(image, _last_first(mirrored), mode="reflect")
    rest = [
        (before - done, behind - finished)
        for (before, behind), (done, finished) in zip(widths, mirrored, strict=True)
    ]
    return F.pad(image, _last_first(rest), mode="replicate") if np.any(rest) else image


def _last_first(widths: Sequence[tuple[int, int]]) -> list[int]:
    """Spell widths, first axis first, the way torch's pad wants them."""
    return [width for pair in reversed(widths) for width in pair]
