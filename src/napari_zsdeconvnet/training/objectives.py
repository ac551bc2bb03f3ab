"""What a training step asks of a network: a draw of pairs, and the terms of the loss on it.

An objective is made for one run. It draws, applies the network, and gives the terms with their
total; `run.TrainingRun` takes the step. Those of volumes are in `volume_objectives`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..inference.out_of_focus import Backgrounds, few_frames
from ..io.image import Image
from ..model.model import Model
from ..model.presets import Preset
from ..networks.base import TwoStageNetwork
from ..noise.camera_check import NoiseCheck, check_recordings
from ..noise.noise_model import NoiseModel
from ..physics.forward import Blur, bin_down, remaining_blur
from ..psf.psf import PSF
from ..utils.devices import reduced_precision
from ..utils.phases import go_on
from .held_out import HeldOutPixels, Lattice, Stages, with_coarse_light
from .losses import combined_loss, fidelity, hessian_penalty
from .pairs import Pair, RecorruptedPatches
from .patches import Patches
from .sim_pairs import RawSIM, ReconstructedPatches
from .validation import Validation

HELD_OUT = 4
"""Batches of pairs that tell when a training has nothing more to gain."""

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

    @classmethod
    def of(
        cls,
        model: Model,
        recordings: Sequence[Image],
        preset: Preset,
        steps: int,
        device: torch.device,
        raw: RawSIM | None = None,
    ) -> Self:
        """Take what is needed from the model that is to be trained, and its recordings."""
        data = [recording.data for recording in recordings]
        maps = model.maps
        return cls(
            recordings=[few_frames(one) for one in data] if model.out_of_focus else data,
            noise=model.noise,
            scale=model.scale,
            psf=model.psf,
            preset=preset,
            steps=steps,
            seed=model.seed,
            device=device,
            precision=reduced_precision(device),
            read_variance=None if maps is None else maps.own_read_variance,
            out_of_focus=model.out_of_focus,
            lattice=_lattice(model, preset, steps),
            raw=raw,
        )

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

    @property
    def pixels(self) -> int:
        """Pixels of all recordings."""
        return sum(math.prod(data.shape) for data in self.recordings)

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


def _lattice(model: Model, preset: Preset, steps: int) -> Lattice | None:
    """Choose the pixels that judge the training, where the preset wants some.

    Fewer steps than there are to the first look are not judged. A model that goes on from another
    keeps the pixels that were held out from that one, which have not taught it anything.
    """
    judged = preset.objective in ("recorrupted", "sequential")
    if not (preset.guarded and judged) or steps < FIRST_LOOKS[1]:
        return None
    seed = model.seed
    if model.beginning is not None and model.beginning.lattice_seed is not None:
        seed = model.beginning.lattice_seed
    return Lattice.fitting(model.noise.correlation, seed, len(model.axes))


class Objective:
    """A draw of pairs, and the terms of the loss on it, for one run."""

    JUDGED: Sequence[int] = (256, 256)
    """Size of the windows whose held-out pixels are looked at."""
    JUDGED_PIXELS = 2**18
    """In all windows; that takes as long as five steps."""
    CLASSICAL = False
    """Whether the network gives a classical result before the first step."""

    pairs: Patches
    """The source of pairs; its batch may be lowered where memory runs out."""
    margin: tuple[int, ...]
    """Rim of a patch that takes no part in the loss."""

    def __init__(self, setting: Setting, network: Any) -> None:
        self.setting = setting
        self.network: TwoStageNetwork = network

    def losses(self, step: int) -> dict[str, Tensor]:
        """Draw a batch and give the terms of the loss on it; ``step`` counts from 1."""
        raise NotImplementedError

    def _denoising(self, network: TwoStageNetwork, pair: Pair) -> Tensor:
        """Give the first term of the loss alone."""
        with self.setting.reduced():
            denoised = network.denoise(pair.input, pair.excess)
        inner = inside(self.margin)
        left_out = left_out_of(pair, self.margin)
        return fidelity(denoised[inner], pair.target[inner], self.setting.preset.norm, left_out)

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
            self._is_judged,
            classical=self.CLASSICAL,
        )

    def _held_out_pixels(self) -> HeldOutPixels:
        setting = self.setting
        assert setting.lattice is not None
        source = self._source(setting.seed + 2)
        windows = source.windows(self.JUDGED_PIXELS, self.network.multiples, self.JUDGED)
        return HeldOutPixels(windows, setting.lattice, setting.device)

    def _source(self, seed: int) -> Patches:
        """Make another source of the same pairs."""
        raise NotImplementedError

    def _stages(self, network: Any) -> Stages:
        """Give both stages of a network as `HeldOutPixels` asks for them."""
        raise NotImplementedError

    def _is_judged(self, step: int) -> bool:
        """Tell whether the weights are judged after a step."""
        return step % LOOK_EVERY == 0 or step in FIRST_LOOKS

    def random_state(self) -> dict[str, Tensor]:
        """State of all random draws, for a checkpoint."""
        return self.pairs.random_state()

    def set_random_state(self, state: dict[str, Tensor]) -> None:
        """Go on exactly where `random_state` was taken."""
        self.pairs.set_random_state(state)


class RecorruptedObjective(Objective):
    """Equations 4 to 6: one half of a re-corrupted pair in, the other to be predicted."""

    pairs: RecorruptedPatches | ReconstructedPatches

    def __init__(self, setting: Setting, network: TwoStageNetwork) -> None:
        super().__init__(setting, network)
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
        if self.setting.preset.denoiser_alone:
            loss = self._denoising(self.network, pair)
            return {"total": loss, "denoising": loss}
        denoised, reblurred, target, deconvolved = self._compared(self.network, pair)
        left_out = left_out_of(pair, self.margin)
        return self.setting.weigh(
            fidelity(denoised, target, norm, left_out),
            fidelity(reblurred, target, norm, left_out),
            hessian_penalty(deconvolved, self.setting.psf.steps),
        )

    def _compared(
        self, network: TwoStageNetwork, pair: Pair
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Denoised, re-blurred and target, and the deconvolved image, all inside the margin."""
        known = {} if pair.background is None else {"background": pair.background}
        with self.setting.reduced():
            denoised, deconvolved = network(pair.input, pair.excess, **known)
        inner, fine = inside(self.margin), on_fine_grid(self.margin, network.upsampling)
        reblurred = bin_down(self.blur(deconvolved, fine), network.upsampling)
        if pair.background is not None:
            reblurred = reblurred + pair.background
        return (
            denoised[inner],
            reblurred[inner],
            pair.target[inner],
            deconvolved[inside(fine)],
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
            if self.setting.preset.denoiser_alone:
                losses.append(self._denoising(network.eval(), pair))
                continue
            denoised, reblurred, target, _ = self._compared(network.eval(), pair)
            left_out = left_out_of(pair, self.margin)
            losses.append(
                share * fidelity(denoised, target, norm, left_out)
                + (1 - share) * fidelity(reblurred, target, norm, left_out)
            )
        return float(torch.stack(losses).mean())

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

    def _reblurred(self, deconvolved: Tensor) -> Tensor:
        return bin_down(self.blur(deconvolved), self.network.upsampling)


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


def inside(margin: Sequence[int]) -> tuple[Any, ...]:
    """Give the part of a patch without its rim."""
    return (..., *(slice(rim, -rim) if rim else slice(None) for rim in margin))


def left_out_of(pair: Pair, margin: Sequence[int]) -> Tensor | None:
    """Give which pixels of a pair's target are not compared, of those inside the margin."""
    return None if pair.left_out is None else pair.left_out[inside(margin)]


def on_fine_grid(margin: Sequence[int], factor: int) -> tuple[int, ...]:
    """Give a rim on the output grid."""
    *axial, row, column = margin
    return (*axial, factor * row, factor * column)
