"""What a training step asks of a network: a draw of pairs, and the terms of the loss on it.

An objective is made for one run. It draws, applies the network, and gives the terms with their
total; what is done with the gradient is the business of `training`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..inference.out_of_focus import Backgrounds
from ..model.presets import Preset
from ..networks.base import TwoStageNetwork
from ..networks.volume import SharpeningNetwork
from ..noise.camera_check import NoiseCheck, check_recordings
from ..noise.noise_model import NoiseModel
from ..physics.forward import Blur, bin_down, remaining_blur
from ..physics.open_field import quick_part
from ..psf.psf import PSF
from ..utils.phases import go_on
from .held_out import HeldOutPixels, Lattice, Stages, with_coarse_light
from .losses import (
    combined_loss,
    deconvolution_loss,
    denoising_loss,
    gap_amending_loss,
    hessian_penalty,
)
from .pairs import InterleavedPatches, Pair, RecorruptedPatches
from .sim_pairs import RawSIM, ReconstructedPatches
from .validation import Validation

HELD_OUT = 4
"""Batches of pairs that tell when a training has nothing more to gain."""

JUDGED = 2**18
"""Pixels of the windows whose held-out pixels are looked at; that takes as long as five steps."""

LOOK_EVERY = 60
"""Steps between two looks at the held-out pixels of images."""

FIRST_LOOKS = (0, 20, 40)
"""Steps of further looks, as some trainings do well at first alone."""


@dataclass(frozen=True)
class Setting:
    """Everything that an objective is made from."""

    recordings: Sequence[NDArray[Any]]
    """In counts, (T, [Z,] Y, X)."""
    noise: NoiseModel
    scale: float
    """Counts above the offset that are 1."""
    psf: PSF
    """On the output grid."""
    preset: Preset
    steps: int
    """Of the whole run."""
    seed: int
    device: torch.device
    precision: torch.dtype | None
    """Half-width type that the device computes networks in, or None."""
    raw: RawSIM | None = None
    """What the recordings were reconstructed from, for 2D-SIM."""
    read_variance: NDArray[np.float32] | None = None
    """Each pixel's own, (Y, X); None where all are alike."""
    out_of_focus: bool = False
    """Whether images have a background that is out of focus."""
    lattice: Lattice | None = None
    """Pixels that take no part in the training."""

    @property
    def patch(self) -> tuple[int, ...]:
        """Size of a patch, margin included."""
        lateral = (self.preset.patch, self.preset.patch)
        return lateral if self.preset.planes is None else (self.preset.planes, *lateral)

    def margin(self, patch: Sequence[int]) -> tuple[int, ...]:
        """Rim of a patch that takes no part in the loss; of a thin patch a quarter at most."""
        lateral = (self.preset.margin, self.preset.margin)
        wanted = lateral if self.preset.planes is None else (self.preset.axial_margin, *lateral)
        return tuple(min(rim, length // 4) for rim, length in zip(wanted, patch, strict=True))

    def patches(self, network: TwoStageNetwork) -> dict[str, Any]:
        """Options of `pairs.Patches`."""
        return {
            "patch": self.patch,
            "batch": self.preset.batch,
            "device": self.device,
            "seed": self.seed,
            "multiples": network.multiples,
            "psf": self.psf.array,
        }

    def reduced(self) -> AbstractContextManager[Any]:
        """Compute networks in the device's half-width type, where it has one."""
        if self.precision is None:
            return nullcontext()
        return torch.autocast(self.device.type, self.precision)

    def noise_check(self, upsampling: int) -> NoiseCheck:
        """Compare the noise of the recordings with the camera, beyond the optical cutoff."""
        cutoff = self.psf.otf_cutoff * self.psf.steps[-1] * upsampling
        return check_recordings(self.recordings, self.noise, cutoff, self.read_variance)

    def weigh(self, denoising: Tensor, deconvolution: Tensor, hessian: Tensor) -> dict[str, Tensor]:
        """Give the terms by name, with their total (equations 4 and 7)."""
        total = combined_loss(
            denoising,
            deconvolution,
            hessian,
            denoising_weight=self.preset.denoising_weight,
            hessian_weight=self.preset.hessian_weight,
        )
        return {
            "total": total,
            "denoising": denoising,
            "deconvolution": deconvolution,
            "hessian": hessian,
        }


class RecorruptedObjective:
    """Equations 4 to 6: one half of a re-corrupted pair in, the other to be predicted."""

    def __init__(self, setting: Setting, network: TwoStageNetwork) -> None:
        self.setting = setting
        self.network = network
        self._backgrounds: Backgrounds | None = None
        if setting.out_of_focus:
            known = (setting.psf, setting.noise, network.upsampling)
            self._backgrounds = Backgrounds(setting.recordings, *known)
        self.pairs = self._source(setting.seed)
        self._kept: list[Pair] = []
        self.blur = Blur(remaining_blur(setting.psf.array, network.stated_width))
        self.blur.to(setting.device)
        self.margin = setting.margin(self.pairs.patch)

    def _source(self, seed: int) -> RecorruptedPatches | ReconstructedPatches:
        setting = self.setting
        return RecorruptedPatches(
            setting.recordings,
            setting.noise,
            setting.scale,
            setting.preset,
            setting.read_variance,
            backgrounds=self._backgrounds,
            lattice=setting.lattice,
            **setting.patches(self.network) | {"seed": seed},
        )

    def losses(self, step: int) -> dict[str, Tensor]:
        """Draw a batch and give the terms of the loss on it; ``step`` counts from 1."""
        norm = self.setting.preset.norm
        pair = self.pairs.draw()
        denoised, reblurred, target, deconvolved = self._compared(self.network, pair)
        left_out = _left_out(pair, self.margin)
        return self.setting.weigh(
            denoising_loss(denoised, target, norm, left_out),
            deconvolution_loss(reblurred, target, norm, left_out),
            hessian_penalty(deconvolved, self.setting.psf.steps),
        )

    def _compared(
        self, network: TwoStageNetwork, pair: Pair
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Denoised, re-blurred and target, and the deconvolved image, all inside the margin."""
        known = {} if pair.background is None else {"background": pair.background}
        with self.setting.reduced():
            denoised, deconvolved = network(pair.input, pair.excess, **known)
        inner, fine = _inside(self.margin), _on_fine_grid(self.margin, network.upsampling)
        reblurred = bin_down(self.blur(deconvolved, fine), network.upsampling)
        if pair.background is not None:
            reblurred = reblurred + pair.background
        return (
            denoised[inner],
            reblurred[inner],
            pair.target[inner],
            deconvolved[_inside(fine)],
        )

    @torch.no_grad()
    def held_out(self, network: TwoStageNetwork) -> float:
        """Give a network's loss on pairs that are drawn once and never trained on.

        Without the regularisation, of which less is not better.
        """
        if not self._kept:
            source = self._source(seed=self.setting.seed + 1)
            self._kept = [source.draw() for _ in range(HELD_OUT)]
        share, norm = self.setting.preset.denoising_weight, self.setting.preset.norm
        losses = []
        for pair in self._kept:
            go_on()
            denoised, reblurred, target, _ = self._compared(network.eval(), pair)
            left_out = _left_out(pair, self.margin)
            losses.append(
                share * denoising_loss(denoised, target, norm, left_out)
                + (1 - share) * deconvolution_loss(reblurred, target, norm, left_out)
            )
        return float(torch.stack(losses).mean())

    @cached_property
    def validation(self) -> Validation | None:
        """What judges the weights; None where no pixels are held out."""
        setting, upsampling = self.setting, self.network.upsampling
        if setting.lattice is None:
            return None
        return Validation(
            self._held_out_pixels,
            self._stages,
            lambda: setting.noise_check(upsampling),
            setting.noise,
            setting.scale,
            lambda step: step % LOOK_EVERY == 0 or step in FIRST_LOOKS,
        )

    def _stages(self, network: TwoStageNetwork) -> Stages:
        def stages(image: Tensor, background: Tensor | None) -> Tensor:
            known = {} if background is None else {"background": background}
            with self.setting.reduced():
                denoised, deconvolved = network(image, **known)
            reblurred = self._reblurred(deconvolved)
            if background is not None:
                reblurred = reblurred + background
            return with_coarse_light(image, torch.cat([denoised.float(), reblurred]))

        return stages

    def _held_out_pixels(self) -> HeldOutPixels:
        setting = self.setting
        assert setting.lattice is not None
        windows = self._source(setting.seed + 2).windows(JUDGED, self.network.multiples)
        return HeldOutPixels(windows, setting.lattice, setting.device)

    def _reblurred(self, deconvolved: Tensor) -> Tensor:
        return bin_down(self.blur(deconvolved), self.network.upsampling)

    def random_state(self) -> dict[str, Tensor]:
        """State of all random draws, for a checkpoint."""
        return self.pairs.random_state()

    def set_random_state(self, state: dict[str, Tensor]) -> None:
        """Go on exactly where `random_state` was taken."""
        self.pairs.set_random_state(state)


class ReconstructedObjective(RecorruptedObjective):
    """Equations 10 and 11: those of images, between the reconstructions of re-corrupted frames.

    The PSF is that of the reconstruction, on whose grid everything takes place.
    """

    def _source(self, seed: int) -> ReconstructedPatches:
        setting = self.setting
        assert setting.raw is not None
        return ReconstructedPatches(
            setting.recordings,
            setting.noise,
            setting.scale,
            setting.preset,
            setting.raw,
            **setting.patches(self.network) | {"seed": seed},
        )


class InterleavedObjective:
    """Equations 7 to 9: every second plane in, those between to be predicted.

    Neighbours in either set lie two steps apart, so the PSF of the loss is resampled to
    twice the axial step. The gap-amending terms use the network's current weights on all
    planes of the patch, without gradient.
    """

    validation: Validation | None = None

    def __init__(self, setting: Setting, network: TwoStageNetwork) -> None:
        self.setting = setting
        self.network = network
        options = setting.patches(network)
        _, *lateral = network.multiples
        self.pairs = InterleavedPatches(
            setting.recordings,
            setting.noise,
            setting.scale,
            **options | {"multiples": (2, *lateral)},
        )
        self.psf = twice_the_step(setting.psf)
        self.blur = Blur(self.psf.array).to(setting.device)
        planes, *field = self.pairs.patch
        self.margin = setting.margin((planes // 2, *field))

    def losses(self, step: int) -> dict[str, Tensor]:
        """Draw a batch and give the terms of the loss on it; ``step`` counts from 1."""
        preset, factor = self.setting.preset, self.network.upsampling
        pair = self.pairs.draw()
        with self.setting.reduced():
            denoised, deconvolved = self.network(pair.input)
        inner, fine = _inside(self.margin), _on_fine_grid(self.margin, factor)
        denoised, target = denoised.float()[inner], pair.target[inner]
        reblurred = bin_down(self.blur(deconvolved, fine), factor)[inner]
        left_out = _left_out(pair, self.margin)
        denoising = denoising_loss(denoised, target, preset.norm, left_out)
        deconvolution = deconvolution_loss(reblurred, target, preset.norm, left_out)
        if preset.gap_weight:
            gap = self._gap(pair.stack, pair.odd_first)[inner]
            denoising = denoising + preset.gap_weight * gap_amending_loss(
                denoised, target, gap, preset.norm, left_out
            )
            deconvolution = deconvolution + preset.gap_weight * gap_amending_loss(
                reblurred, target, gap, preset.norm, left_out
            )
        return self.setting.weigh(
            denoising,
            deconvolution,
            hessian_penalty(deconvolved[_inside(fine)], self.psf.steps),
        )

    @torch.no_grad()
    def _gap(self, stack: Tensor, odd_first: Tensor) -> Tensor:
        """Denoised planes of the input less those of the target."""
        with self.setting.reduced():
            denoised = self.network.denoise(stack).float()
        difference = denoised[:, :, 0::2] - denoised[:, :, 1::2]
        sign = torch.where(odd_first, 1.0, -1.0).to(stack.device)
        return difference * sign[:, None, None, None, None]

    def random_state(self) -> dict[str, Tensor]:
        """State of all random draws, for a checkpoint."""
        return self.pairs.random_state()

    def set_random_state(self, state: dict[str, Tensor]) -> None:
        """Go on exactly where `random_state` was taken."""
        self.pairs.set_random_state(state)


class DenoisedPlanesObjective(InterleavedObjective):
    """Equations 8 and 13 alone: nothing but the denoiser is trained, on every second plane.

    For stacks whose noise is not known, as of reconstructed SIM slices: the deconvolution
    that follows has nothing to learn.
    """

    def losses(self, step: int) -> dict[str, Tensor]:
        """Draw a batch and give the terms of the loss on it; ``step`` counts from 1."""
        preset = self.setting.preset
        pair = self.pairs.draw()
        with self.setting.reduced():
            denoised = self.network.denoise(pair.input).float()
        inner = _inside(self.margin)
        denoised, target = denoised[inner], pair.target[inner]
        left_out = _left_out(pair, self.margin)
        loss = denoising_loss(denoised, target, preset.norm, left_out)
        if preset.gap_weight:
            gap = self._gap(pair.stack, pair.odd_first)[inner]
            loss = loss + preset.gap_weight * gap_amending_loss(
                denoised, target, gap, preset.norm, left_out
            )
        return {"total": loss, "denoising": loss}


@dataclass(frozen=True)
class _Block:
    """A large re-corrupted part of a recording, sharpened; all (1, 1, Z, Y, X)."""

    pair: Pair
    denoised: Tensor
    sharpened: Tensor
    reblurred: Tensor


class SequentialObjective:
    r"""Equations 4 to 6 in volumes: the denoiser first, then the corrector.

    A volume's PSF is larger than any patch that trains quickly, so the loss of the second
    stage cannot be had from a patch alone. With the denoiser trained and at rest, large
    blocks are re-corrupted, denoised and sharpened now and then, and patches are cut out of
    them. The blur being linear, only the correction :math:`\delta` of a patch has to be
    blurred:

    .. math:: \lVert (H s) + H \delta - \tilde y \rVert^2 + \lambda R(s + \delta)
              + \rho \lVert \delta \rVert^2 ,

    with `s` the sharpened block. The last term holds to Richardson-Lucy what the image says
    nothing about, such as the missing cone of a widefield microscope.
    """

    BLOCK = (48, 160, 160)
    """Raw voxels of a block; fewer where a PSF is large, see `quick_part`."""
    DRAWS = 30
    """Steps for which a block serves."""
    JUDGED = (16, 96, 96)
    """Size of the window whose held-out voxels are looked at, before the first step and after the
    last; either takes as long as a few steps."""

    network: SharpeningNetwork

    def __init__(self, setting: Setting, network: SharpeningNetwork) -> None:
        self.setting = setting
        self.network = network
        options = setting.patches(network)
        recordings = (
            *(setting.recordings, setting.noise, setting.scale, setting.preset),
            setting.read_variance,
        )
        options["lattice"] = setting.lattice
        self.pairs = RecorruptedPatches(*recordings, **options)
        block = self.block_for(setting.psf, network.upsampling)
        self.blocks = RecorruptedPatches(
            *recordings, **options | {"patch": block, "batch": 1, "seed": setting.seed + 1}
        )
        self._source = partial(RecorruptedPatches, *recordings, **options | {"batch": 1})
        self.margin = setting.margin(self.pairs.patch)
        self._block: _Block | None = None
        self._drawn = 0
        self._block_state = self.blocks.random_state()

    @classmethod
    def block_for(cls, psf: PSF, upsampling: int) -> tuple[int, ...]:
        """Give the raw voxels of a block for a PSF on the output grid."""
        return quick_part(cls.BLOCK, psf.array.shape, upsampling)

    @cached_property
    def validation(self) -> Validation | None:
        """What judges the weights; None where no voxels are held out."""
        setting, upsampling = self.setting, self.network.upsampling
        if setting.lattice is None:
            return None
        return Validation(
            self._held_out_voxels,
            self._stages,
            lambda: setting.noise_check(upsampling),
            setting.noise,
            setting.scale,
            lambda step: step in (0, setting.steps),
            classical=True,
        )

    def _stages(self, network: TwoStageNetwork) -> Stages:
        assert isinstance(network, SharpeningNetwork)
        return lambda image, _: network.reblurred_stages(image)

    def _held_out_voxels(self) -> HeldOutPixels:
        setting = self.setting
        assert setting.lattice is not None
        windows = self._source(seed=setting.seed + 2).windows(
            math.prod(self.JUDGED), self.network.multiples, self.JUDGED
        )
        return HeldOutPixels(windows, setting.lattice, setting.device)

    def losses(self, step: int) -> dict[str, Tensor]:
        """Draw a batch and give the terms of the loss on it; ``step`` counts from 1."""
        if step <= self.setting.preset.denoising_steps(self.setting.steps):
            return self._denoising()
        return self._deconvolution()

    def _denoising(self) -> dict[str, Tensor]:
        pair = self.pairs.draw()
        with self.setting.reduced():
            denoised = self.network.denoise(pair.input, pair.excess)
        inner = _inside(self.margin)
        left_out = _left_out(pair, self.margin)
        norm = self.setting.preset.norm
        loss = denoising_loss(denoised[inner], pair.target[inner], norm, left_out)
        return {"total": loss, "denoising": loss}

    def _deconvolution(self) -> dict[str, Tensor]:
        preset, factor = self.setting.preset, self.network.upsampling
        if self._block is None or self._drawn == self.DRAWS:
            self._block_state = self.blocks.random_state()
            self._block, self._drawn = self._sharpened_block(), 0
        self._drawn += 1
        image, target, denoised, sharpened, reblurred, *marked = self._cut(self._block)
        with self.setting.reduced():
            deconvolved = self.network.correct(image, denoised, sharpened, reblurred)
        correction = deconvolved - sharpened
        # Beyond the patch the correction is not known; zero is its mean.
        radius = self.network.blur.radius
        around = F.pad(correction, [width for r in reversed(radius) for width in (r, r)])
        blurred = self.network.blur(around, radius)[_inside(radius)]
        prediction = reblurred + bin_down(blurred, factor)
        inner, fine = _inside(self.margin), _on_fine_grid(self.margin, factor)
        compared = (target[inner], preset.norm, marked[0][inner] if marked else None)
        denoising = denoising_loss(denoised[inner], *compared)
        deconvolution = deconvolution_loss(prediction[inner], *compared)
        hessian = hessian_penalty(deconvolved[_inside(fine)], self.setting.psf.steps)
        anchor = correction.square().mean()
        total = deconvolution + preset.hessian_weight * hessian + preset.anchor_weight * anchor
        return {
            "total": total,
            "denoising": denoising,
            "deconvolution": deconvolution,
            "hessian": hessian,
        }

    @torch.no_grad()
    def _sharpened_block(self) -> _Block:
        pair = self.blocks.draw()
        with self.setting.reduced():
            denoised = self.network.denoise(pair.input, pair.excess).float()
        return _Block(pair, denoised, *self.network.sharpen(pair.input, denoised))

    def _cut(self, block: _Block) -> list[Tensor]:
        """Cut a batch of patches at the same places out of everything that a block holds."""
        wholes = [
            block.pair.input,
            block.pair.target,
            block.denoised,
            block.sharpened,
            block.reblurred,
            *([] if block.pair.left_out is None else [block.pair.left_out]),
        ]
        sizes = [
            min(length, full)
            for length, full in zip(self.pairs.patch, block.denoised.shape[2:], strict=True)
        ]
        batches: list[list[Tensor]] = [[] for _ in wholes]
        for _ in range(self.pairs.batch):
            start = [
                int(torch.randint(full - size + 1, (), generator=self.pairs.choices))
                for size, full in zip(sizes, block.denoised.shape[2:], strict=True)
            ]
            for batch, whole in zip(batches, wholes, strict=True):
                factor = whole.shape[-1] // block.denoised.shape[-1]
                factors = (1, factor, factor)
                place: list[Any] = [
                    slice(scale * first, scale * (first + size))
                    for scale, first, size in zip(factors, start, sizes, strict=True)
                ]
                batch.append(whole[(0, 0, *place)])
        return [torch.stack(batch)[:, None] for batch in batches]

    def random_state(self) -> dict[str, Tensor]:
        """State of all random draws, for a checkpoint.

        A block is not kept but made again from the state that it was drawn with: the denoiser
        that it depends on is at rest by then.
        """
        state = self._block_state if self._block is not None else self.blocks.random_state()
        drawn = torch.tensor(self._drawn if self._block is not None else -1)
        return {
            **self.pairs.random_state(),
            "block.choices": state["choices"],
            "block.noise": state["noise"],
            "block.drawn": drawn,
        }

    def set_random_state(self, state: dict[str, Tensor]) -> None:
        """Go on exactly where `random_state` was taken."""
        self.pairs.set_random_state(state)
        self._block_state = {
            "choices": state["block.choices"],
            "noise": state["block.noise"],
        }
        self.blocks.set_random_state(self._block_state)
        self._block, self._drawn = None, 0
        if int(state["block.drawn"]) >= 0:
            self._block = self._sharpened_block()
            self._drawn = int(state["block.drawn"])


def twice_the_step(psf: PSF) -> PSF:
    """Resample a PSF (Z, Y, X) to twice its axial step, its lateral steps as they are.

    Where no voxel size is known, every second plane is taken, the central one among them.
    """
    if psf.voxel_size is not None:
        axial, *lateral = psf.voxel_size
        return psf.resampled((2 * axial, *lateral))
    planes = psf.array[psf.array.shape[0] // 2 % 2 :: 2]
    if len(planes) % 2 == 0:
        planes = planes[:-1]
    return replace(psf, array=np.ascontiguousarray(planes / planes.sum()))


def _inside(margin: Sequence[int]) -> tuple[Any, ...]:
    return (..., *(slice(rim, -rim) if rim else slice(None) for rim in margin))


def _left_out(pair: Pair, margin: Sequence[int]) -> Tensor | None:
    """Give which pixels of a pair's target are not compared, of those inside the margin."""
    return None if pair.left_out is None else pair.left_out[_inside(margin)]


def _on_fine_grid(margin: Sequence[int], factor: int) -> tuple[int, ...]:
    *axial, row, column = margin
    return (*axial, factor * row, factor * column)
