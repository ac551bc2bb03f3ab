"""What a training step on volumes asks of a network: every second plane, or blocks in sequence."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..networks.base import TwoStageNetwork
from ..networks.volume import SharpeningNetwork
from ..physics.forward import Blur, bin_down
from ..physics.open_field import quick_part
from ..psf.psf import PSF
from .held_out import Stages
from .losses import fidelity, gap_amending_loss, hessian_penalty
from .objectives import Objective, Setting, inside, left_out_of, on_fine_grid
from .pairs import InterleavedPatches, Pair, RecorruptedPatches


class InterleavedObjective(Objective):
    """Equations 7 to 9: every second plane in, those between to be predicted.

    Neighbours in either set lie two steps apart, so the PSF of the loss is resampled to
    twice the axial step. The gap-amending terms use the network's current weights on all
    planes of the patch, without gradient.
    """

    pairs: InterleavedPatches

    def __init__(self, setting: Setting, network: TwoStageNetwork) -> None:
        super().__init__(setting, network)
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
        inner, fine = inside(self.margin), on_fine_grid(self.margin, factor)
        denoised, target = denoised.float()[inner], pair.target[inner]
        reblurred = bin_down(self.blur(deconvolved, fine), factor)[inner]
        left_out = left_out_of(pair, self.margin)
        denoising = fidelity(denoised, target, preset.norm, left_out)
        deconvolution = fidelity(reblurred, target, preset.norm, left_out)
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
            hessian_penalty(deconvolved[inside(fine)], self.psf.steps),
        )

    @torch.no_grad()
    def _gap(self, stack: Tensor, odd_first: Tensor) -> Tensor:
        """Denoised planes of the input less those of the target."""
        with self.setting.reduced():
            denoised = self.network.denoise(stack).float()
        difference = denoised[:, :, 0::2] - denoised[:, :, 1::2]
        sign = torch.where(odd_first, 1.0, -1.0).to(stack.device)
        return difference * sign[:, None, None, None, None]


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
        inner = inside(self.margin)
        denoised, target = denoised[inner], pair.target[inner]
        left_out = left_out_of(pair, self.margin)
        loss = fidelity(denoised, target, preset.norm, left_out)
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


class SequentialObjective(Objective):
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
    JUDGED_PIXELS = math.prod(JUDGED)
    CLASSICAL = True

    network: SharpeningNetwork
    pairs: RecorruptedPatches

    def __init__(self, setting: Setting, network: SharpeningNetwork) -> None:
        super().__init__(setting, network)
        self.pairs = self._patches()
        block = self.block_for(setting.psf, network.upsampling)
        self.blocks = self._patches(patch=block, batch=1, seed=setting.seed + 1)
        self.margin = setting.margin(self.pairs.patch)
        self._block: _Block | None = None
        self._drawn = 0
        self._block_state = self.blocks.random_state()

    def _patches(self, **other: Any) -> RecorruptedPatches:
        """Make a source of pairs with other options than those of the run."""
        setting = self.setting
        return RecorruptedPatches(
            setting.recordings,
            setting.noise,
            setting.scale,
            setting.preset,
            setting.read_variance,
            lattice=setting.lattice,
            **setting.patches(self.network) | other,
        )

    @classmethod
    def block_for(cls, psf: PSF, upsampling: int) -> tuple[int, ...]:
        """Give the raw voxels of a block for a PSF on the output grid."""
        return quick_part(cls.BLOCK, psf.array.shape, upsampling)

    def _source(self, seed: int) -> RecorruptedPatches:
        return self._patches(batch=1, seed=seed)

    def _stages(self, network: TwoStageNetwork) -> Stages:
        assert isinstance(network, SharpeningNetwork)
        return lambda image, _: network.reblurred_stages(image)

    def _is_judged(self, step: int) -> bool:
        return step in (0, self.setting.steps)

    def losses(self, step: int) -> dict[str, Tensor]:
        """Draw a batch and give the terms of the loss on it; ``step`` counts from 1."""
        if step <= self.setting.preset.denoising_steps(self.setting.steps):
            loss = self._denoising(self.network, self.pairs.draw())
            return {"total": loss, "denoising": loss}
        return self._deconvolution()

    def _deconvolution(self) -> dict[str, Tensor]:
        preset, factor = self.setting.preset, self.network.upsampling
        if self._block is None or self._drawn == self.DRAWS:
            self._block_state = self.blocks.random_state()
            self._block, self._drawn = self._sharpened_block(), 0
        self._drawn += 1
        target, image, denoised, sharpened, reblurred, excess, *marked = self._cut(self._block)
        with self.setting.reduced():
            deconvolved = self.network.correct(image, denoised, sharpened, reblurred, excess)
        correction = deconvolved - self.network.shown(sharpened)
        # Beyond the patch the correction is not known; zero is its mean.
        radius = self.network.blur.radius
        around = F.pad(correction, [width for r in reversed(radius) for width in (r, r)])
        blurred = self.network.blur(around, radius)[inside(radius)]
        prediction = reblurred + bin_down(blurred, factor)
        inner, fine = inside(self.margin), on_fine_grid(self.margin, factor)
        compared = (target[inner], preset.norm, marked[0][inner] if marked else None)
        denoising = fidelity(denoised[inner], *compared)
        deconvolution = fidelity(prediction[inner], *compared)
        hessian = hessian_penalty(deconvolved[inside(fine)], self.setting.psf.steps)
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
        return _Block(pair, denoised, *self.network.sharpen(pair.input, denoised)[:2])

    def _cut(self, block: _Block) -> list[Tensor]:
        """Cut a batch of patches at the same places out of everything that a block holds."""
        wholes = [
            block.pair.target,
            block.pair.input,
            block.denoised,
            block.sharpened,
            block.reblurred,
            torch.as_tensor(block.pair.excess).expand_as(block.denoised),
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
