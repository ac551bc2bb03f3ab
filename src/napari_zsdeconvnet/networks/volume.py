"""The fast two-stage network for volumes (N, 1, Z, Y, X); its pooling is lateral only."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..noise.noise_model import NoiseModel
from ..noise.recorruption import local_mean, mean_reach
from ..physics.accelerated_richardson_lucy import Sharpened, Sharpening
from ..physics.forward import Blur, continued, enlarge, remaining_blur
from ..physics.open_field import margins, room_of
from ..physics.row_blocks import by_bands
from ..psf.psf import PSF
from ..utils.memory import available_memory, give_back
from ..utils.phases import go_on
from .base import TwoStageNetwork, of_each_pixel
from .published_volume import convolution


class _Block(nn.Sequential):
    """A convolution within planes and one across them: planes differ more than pixels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            convolution(inputs, outputs, (1, 3, 3)),
            nn.LeakyReLU(0.1, inplace=True),
            convolution(outputs, outputs),
            nn.LeakyReLU(0.1, inplace=True),
        )

    def forward(self, volume: Tensor) -> Tensor:
        """Apply them; of a large volume each takes a second, so it can be ended between them."""
        for layer in self:
            go_on()
            volume = layer(volume)
        return volume


class _LateralUNet(nn.Module):
    """A small U-Net that pools within planes only; features are added, not concatenated."""

    def __init__(self, inputs: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.entry = _Block(inputs, channels[0])
        self.down = nn.ModuleList(_Block(here, below) for here, below in pairwise(channels))
        self.reduce = nn.ModuleList(nn.Conv3d(below, here, 1) for here, below in pairwise(channels))
        self.up = nn.ModuleList(_Block(here, here) for here in channels[:-1])

    def forward(self, volume: Tensor) -> Tensor:
        """Give features on the grid of the volume."""
        volume = self.entry(volume)
        skips = []
        for level in self.down:
            skips.append(volume)
            volume = level(_pooled(volume))
        for level, reduce in zip(reversed(self.up), reversed(self.reduce), strict=True):
            # Nothing else holds the skipped features by now, which are the largest.
            volume = level(enlarge(reduce(volume), 2) + skips.pop())
        return volume


def _pooled(volume: Tensor) -> Tensor:
    """Average two by two pixels of each plane; several times faster than pooling in 3D."""
    batch, depth = volume.shape[0], volume.shape[2]
    planes = F.avg_pool2d(volume.transpose(1, 2).flatten(0, 1), 2)
    return planes.reshape(batch, depth, *planes.shape[1:]).transpose(1, 2)


SMALL_PART = 0.3
"""Part of the free memory up to which a window leaves the C library what it has freed: to give that
back to the system and to ask for it again takes 7 % of the time of a prediction."""

ROOM_BYTES = 44
"""Working memory of a step of Richardson-Lucy, for a voxel of the room it works in."""

U_NET_BYTES = 220
"""Working memory of a U-Net for a voxel, its rim included."""

U_NET_VOXELS = 5_000_000
"""Voxels that a U-Net is applied to at once in any case. Larger volumes are computed in bands where
it would take more memory than the steps of Richardson-Lucy do."""


class SharpeningNetwork(TwoStageNetwork):
    """A denoiser, Richardson-Lucy on the denoised stack, and a corrector: ``fast`` in 3D.

    The first stage adds a learned correction to the local mean of its input. The denoised
    stack is then deconvolved with the whole PSF, whose tails are the haze of a widefield
    microscope: see `Sharpening`. The second stage sees the denoised and the sharpened stack
    and what the latter does not explain of the noisy one, and adds a correction that is free
    of the coarsest structure and thus of light. It begins at zero.

    Parameters
    ----------
    psf : PSF
        3D, lateral steps of the output grid, planes as far apart as those of the stack.
    upsampling : int
        1 or 2.
    channels : tuple of int
        Channels of each U-Net, one number for each level.
    """

    multiple = 4
    border = (0, 0, 0)
    bytes_per_pixel = 360
    keeps_light = True

    rim = (4, 16, 16)
    """Planes, rows and columns by which a stack is continued before a U-Net sees it. What a
    wider one would change near the borders is a thousandth of the structure: measured."""
    near = (9, 24, 24)
    """Planes, rows and columns over which corrections are blurred in training: they have no
    coarse structure, which alone is seen from farther away."""
    u_net_reach = 28
    """Rows that a U-Net sees on either side of a voxel."""
    seen = (24, 32)
    """Planes and raw pixels of a PSF's radius that tiles overlap for, at most."""
    balancing = 2
    """Steps that bring the light of a result to that of the recording."""
    bytes_per_voxel = 80
    """Working memory of the steps of Richardson-Lucy, for one voxel of the room they work in, of
    small tiles, whose arrays have fixed costs; see `memory_of`."""
    least_damping = 0.003
    """s of the steps on the denoised stack, in normalised units, where the noise is not more."""

    def __init__(
        self, psf: PSF, upsampling: int = 1, channels: tuple[int, ...] = (8, 16, 32)
    ) -> None:
        super().__init__()
        self.upsampling = upsampling
        self.build_denoiser(channels)
        self.build_corrector(channels)
        self.sharpening = Sharpening(psf, upsampling, self.stated_width)
        left_to_do = remaining_blur(psf.array, self.stated_width)
        self.blur = Blur(_core(left_to_do, self._near(upsampling)), direct=False)
        self.damping, self.noisy_damping = self.least_damping, 0.1
        # A step reaches two radii of the PSF, but what comes from beyond the first two is less
        # than a ten-thousandth in all: measured, and tested. Haze goes farther; what a tile does
        # not see of its source is explained by light around it.
        axial, *lateral = (size // 2 for size in psf.array.shape)
        axial, across = min(axial, self.seen[0]), min(max(lateral) / upsampling, self.seen[1])
        self.receptive_field, self.axial_field = 48 + math.ceil(2 * across), 14 + 2 * axial
        self.bytes_per_pixel = max(self.bytes_per_pixel, self._bytes_of_field(psf, upsampling))

    def build_denoiser(self, channels: tuple[int, ...]) -> None:
        """Make the first stage, which begins as a local mean."""
        self.denoiser: nn.Module = _LateralUNet(1, channels)
        self.denoised = convolution(channels[0], 1)
        nn.init.zeros_(self.denoised.weight)
        nn.init.zeros_(cast(Tensor, self.denoised.bias))

    def build_corrector(self, channels: tuple[int, ...]) -> None:
        """Make the second stage, which begins at zero."""
        width = channels[0]
        self.corrector: nn.Module = _LateralUNet(2 + self.upsampling**2, channels)
        self.expand = nn.Conv3d(width, self.upsampling**2 * width // 2, 1)
        # A constant has no say: the coarsest structure is taken out of a correction.
        self.correction = convolution(width // 2 + 1, 1, bias=False)
        nn.init.zeros_(self.correction.weight)

    def memory_of(self, window: tuple[int, ...], device: torch.device) -> int:
        """Give the working memory for a window (Z, Y, X): of its room or of the U-Nets."""
        rimmed = tuple(n + 2 * r for n, r in zip(window, self.rim, strict=True))
        voxels = min(self._rows_at_once(rimmed), rimmed[1]) * rimmed[0] * rimmed[2]
        kept = 2**27 + 16 * math.prod(window) * self.upsampling**2
        # Measured for windows of 0.4 to 5 million voxels, the transfer functions forgotten.
        return kept + max(ROOM_BYTES * self._room(rimmed), U_NET_BYTES * voxels)

    def _room(self, rimmed: tuple[int, ...]) -> int:
        """Give the voxels of the room for a window that is given with its rim."""
        planes, *across = (max(n - 2 * r, 1) for n, r in zip(rimmed, self.rim, strict=True))
        fine = (planes, *(self.upsampling * length for length in across))
        return math.prod(room_of(fine, self.sharpening.margin, tuple(self.sharpening.kernel.shape)))

    def _rows_at_once(self, rimmed: tuple[int, ...]) -> int:
        """Choose how many rows a U-Net sees at once, by the size of the volume alone.

        Not by the memory there is: bands may differ from the whole by rounding.
        """
        most = max(ROOM_BYTES * self._room(rimmed) // U_NET_BYTES, U_NET_VOXELS)
        return max(most // (rimmed[0] * rimmed[2]), 3 * self.u_net_reach)

    def _near(self, upsampling: int) -> tuple[int, ...]:
        return (self.near[0], *(upsampling * length for length in self.near[1:]))

    def _bytes_of_field(self, psf: PSF, upsampling: int) -> int:
        """Working memory of the steps of Richardson-Lucy for a raw pixel of a usual stack."""
        size = (len(psf.array) // 2 + 1, 256 * upsampling, 256 * upsampling)
        room = math.prod(room_of(size, margins(psf.array.shape), psf.array.shape))
        return self.bytes_per_voxel * room // (size[0] * 256**2)

    def forward(self, image: Tensor, excess: Tensor | float = 1.0) -> tuple[Tensor, Tensor]:
        """Give the denoised and the deconvolved volume."""
        return self._stages(image, excess)[:2]

    def reblurred_stages(self, image: Tensor) -> Tensor:
        """Give the denoised volume and the deconvolved one as it would be recorded, (2, 1, ...)."""
        denoised, deconvolved, beyond = self._stages(image)
        return torch.cat([denoised, self.reblur(deconvolved) + beyond])

    def _stages(self, image: Tensor, excess: Tensor | float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
        """Give both stages, and what is recorded of structure beyond the faces."""
        own = tuple(each.expand_as(image) for each in of_each_pixel(excess, image))
        denoised = self.denoise_whole(image, excess)
        sharpened, reblurred, beyond = self.sharpen(image, denoised)
        self._make_room(image)
        corrected = self._with_rim(
            lambda *parts: self.correct(*parts[:4], *(parts[4:] or (excess,))),
            *(image, denoised, sharpened, reblurred, *own),
        )
        return denoised, self.give_back_light(corrected, denoised, beyond), beyond

    def denoise_whole(self, image: Tensor, excess: Tensor | float = 1.0) -> Tensor:
        """Apply the first stage to a volume that ends at its faces, and keep its light."""
        self._make_room(image)
        own = tuple(each.expand_as(image) for each in of_each_pixel(excess, image))
        denoised = self._with_rim(
            lambda part, *each: self.denoise(part, *(each or (excess,))), image, *own
        )
        # Over long distances the image itself is free of noise: no network can know better.
        return denoised + coarse(image - denoised)

    def _make_room(self, image: Tensor) -> None:
        """Let the U-Nets have the memory of the transfer functions, which are soon made again."""
        if not torch.is_inference_mode_enabled():
            return
        self.sharpening.forget_fields()
        needed = self.memory_of(tuple(image.shape[-3:]), image.device)
        if needed > SMALL_PART * available_memory():
            give_back()

    def _with_rim(self, stage: Callable[..., Tensor], *volumes: Tensor) -> Tensor:
        """Apply a stage to volumes continued by a rim, and take the rim off its result."""
        width = volumes[0].shape[-1]

        def rim(volume: Tensor) -> list[tuple[int, int]]:
            factor = volume.shape[-1] // width
            return [(self.rim[0],) * 2, *((factor * n,) * 2 for n in self.rim[1:])]

        result = stage(*(continued(volume, rim(volume)) for volume in volumes))
        factor = result.shape[-1] // (width + 2 * self.rim[-1])
        depth, height, side = self.rim[0], factor * self.rim[1], factor * self.rim[2]
        return result[..., depth:-depth, height:-height, side:-side]

    def expect_noise(
        self, noise: NoiseModel, scale: float, spectrum: NDArray[np.floating] | None = None
    ) -> None:
        """Choose the damping of both kinds of steps, so that a dark stack stays dark.

        On the noisy stack it is the read variance over the slope of the noise, which makes the
        sum of shot noise and read noise nearly Poisson; on the denoised one a twentieth of the
        read noise, about what is left of it.
        """
        self.damping = max(self.least_damping, 0.05 * noise.read_variance**0.5 / scale)
        self.noisy_damping = max(noise.read_variance / ((noise.slope or 1.0) * scale), 1e-3)

    def denoise(self, image: Tensor, excess: Tensor | float = 1.0) -> Tensor:
        """Apply the first stage."""
        depth, height, width = mean_reach(3)
        around = F.pad(image, (width, width, height, height, depth, depth), mode="replicate")
        correction = self._in_bands(lambda part: self.denoised(self.denoiser(part)), image)
        return local_mean(around) + correction.float()

    def sharpen(self, image: Tensor, denoised: Tensor) -> Sharpened:
        """Deconvolve a volume (N, 1, Z, Y, X) onto the output grid.

        Parameters
        ----------
        image, denoised : Tensor
            The noisy volume and the output of the first stage.
        """
        sharpened: Sharpened = self.sharpening(image, denoised, self.damping, self.noisy_damping)
        return sharpened

    def reblur(self, sharp: Tensor) -> Tensor:
        """Give what would be recorded of a result alone, with nothing beyond its faces."""
        *axial, rows, columns = sharp.shape[2:]
        size = (*axial, rows // self.upsampling, columns // self.upsampling)
        return self.sharpening.field(size).blurred_result(sharp)

    def give_back_light(self, sharp: Tensor, denoised: Tensor, beyond: Tensor) -> Tensor:
        r"""Let a result, blurred again, hold the light of the recording, coarsely everywhere.

        Steps of Richardson-Lucy on the coarsest structure `G` alone, which keep the light
        as every such step does: :math:`x \leftarrow x \, H^T G (G d / G H x) / H^T 1`. It is
        missing where corrections were cut off at zero. Light that the microscope spread beyond
        the faces of the stack belongs to the result, so that it holds more than the stack.

        Parameters
        ----------
        sharp, denoised : Tensor
            Output of the second and of the first stage.
        beyond : Tensor
            What is recorded of structure beyond the faces, on the grid of the latter.
        """
        sharp = sharp.clamp(min=0.0)
        field = self.sharpening.field(tuple(denoised.shape[2:]))
        light = coarse(denoised).clamp(min=0.0) + 1e-4
        for _ in range(self.balancing):
            go_on()
            seen = self.reblur(sharp) + beyond
            ratio = light / (coarse(seen).clamp(min=0.0) + 1e-4)
            sharp = sharp * field.inside(field.factor(coarse(ratio))).clamp(0.5, 2.0)
        return sharp

    def correct(
        self,
        image: Tensor,
        denoised: Tensor,
        sharpened: Tensor,
        reblurred: Tensor,
        excess: Tensor | float = 1.0,
    ) -> Tensor:
        """Apply the second stage: the deconvolved volume on the output grid.

        Parameters
        ----------
        image, denoised : Tensor
            The noisy volume and the output of the first stage, (N, 1, Z, Y, X).
        sharpened, reblurred : Tensor
            Output of `sharpen`.
        excess : Tensor or float
            As for `forward`; this corrector does not ask.
        """
        seen = torch.cat(
            [denoised.detach(), image - reblurred, _unshuffled(sharpened, self.upsampling)], dim=1
        )
        correction = self._in_bands(self._corrected, seen, sharpened).float()
        # Any end that is never negative would lift the background, and with it the light.
        return F.leaky_relu(sharpened + correction - coarse(correction), 0.01)

    def shown(self, sharpened: Tensor) -> Tensor:
        """Give the sharpened volume at the resolution that results state: as it is."""
        return sharpened

    def _corrected(self, seen: Tensor, sharpened: Tensor) -> Tensor:
        features = _shuffled(self.expand(self.corrector(seen)), self.upsampling)
        both = torch.cat([features, sharpened.to(features.dtype)], dim=1)
        correction: Tensor = self.correction(both)
        return correction

    def _in_bands(self, network: Callable[..., Tensor], volume: Tensor, *others: Tensor) -> Tensor:
        """Apply a U-Net to a volume with its rim, where that is large band by band."""
        rows = self._rows_at_once(tuple(volume.shape[-3:]))
        if rows >= volume.shape[-2]:
            return network(volume, *others)
        reach = self.u_net_reach
        inner = rows - 2 * reach
        return by_bands(network, volume, *others, reach=reach, multiple=self.multiple, rows=inner)


def _core(psf: NDArray[np.float32], reach: tuple[int, ...]) -> NDArray[np.float32]:
    """Cut a PSF to a reach about its middle; its values stay as they are."""
    window = tuple(
        slice(max(n // 2 - r, 0), n // 2 + r + 1) for n, r in zip(psf.shape, reach, strict=True)
    )
    return np.ascontiguousarray(psf[window])


_COARSE = (3, 8, 8)
"""Standard deviation, in voxels, of the coarsest structure, that corrections leave alone."""


def coarse(volume: Tensor) -> Tensor:
    """Blur with a Gaussian of `_COARSE`, one axis after the other; the light stays the same."""
    return along_axes(volume, _gaussian_matrix, _COARSE)


def along_axes(
    volume: Tensor, matrix: Callable[[int, float], Tensor], widths: Sequence[float]
) -> Tensor:
    """Multiply a volume (N, 1, Z, Y, X) along each axis by ``matrix(length, width)``.

    Many times faster than a convolution with one channel.
    """
    for axis, width in enumerate(widths, 2):
        go_on()
        weights = matrix(volume.shape[axis], width).to(volume)
        volume = torch.tensordot(volume, weights, dims=([axis], [1])).movedim(-1, axis)
    return volume


@lru_cache(maxsize=16)
def _gaussian_matrix(length: int, sigma: float) -> Tensor:
    """Weights with which each of so many voxels in a row enters each blurred one."""
    reach = int(2 * sigma)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    rows = np.arange(length)[:, None]
    # Mirrored at its faces, edge voxels twice, a volume keeps its light to the last voxel.
    columns = (rows + np.arange(-reach, reach + 1)) % (2 * length)
    columns = np.minimum(columns, 2 * length - 1 - columns)
    matrix = np.zeros((length, length))
    np.add.at(matrix, (rows, columns), weights / weights.sum())
    # What inference makes for itself could take no part in a training later on.
    with torch.inference_mode(False):
        return torch.from_numpy(matrix.astype(np.float32))


def _unshuffled(volume: Tensor, factor: int) -> Tensor:
    """Turn ``factor`` x ``factor`` pixels of each plane into channels."""
    if factor == 1:
        return volume
    batch, channels, depth, height, width = volume.shape
    planes = volume.transpose(1, 2).reshape(batch * depth, channels, height, width)
    planes = F.pixel_unshuffle(planes, factor)
    return planes.reshape(batch, depth, *planes.shape[1:]).transpose(1, 2)


def _shuffled(features: Tensor, factor: int) -> Tensor:
    """Turn channels into ``factor`` x ``factor`` pixels of each plane."""
    if factor == 1:
        return features
    batch, channels, depth, height, width = features.shape
    planes = features.transpose(1, 2).reshape(batch * depth, channels, height, width)
    planes = F.pixel_shuffle(planes, factor)
    return planes.reshape(batch, depth, *planes.shape[1:]).transpose(1, 2)
