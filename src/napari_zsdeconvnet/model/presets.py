"""The named sets of training settings: `paper`, as published, and `fast`, the default.

Images and volumes have a set of each name: the network, the pairs, the objective and the patch
that make up a mode stand side by side in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from ..utils.errors import InputError
from ..utils.json_values import built

MOST_STEPS = 10**8
"""Steps of a run at most; more would take years."""

_LARGEST = {
    "steps": MOST_STEPS,
    "batch": 2**12,
    "patch": 2**13,
    "margin": 2**12,
    "planes": 2**10,
    "axial_margin": 2**9,
    "patience": 10**8,
    "denoising_passes": 10**8,
    "deconvolution_passes": 10**8,
    "coarse_passes": 10**8,
}
"""What no run comes near; beyond it a file is damaged."""

WARM_UP = 20
"""Steps over which a steady learning rate rises, until Adam knows its gradients."""

SLOWER_AFTER = 200
"""Steps after which a steady learning rate has fallen by the square root of 2."""


@dataclass(frozen=True)
class Preset:
    """Everything about a training run that is not the image, the PSF or the noise."""

    name: str
    """What the user chooses it by."""
    description: str
    """One sentence for the user: what it is for and how long it takes."""
    network: str
    """Key into `registry.NETWORKS`."""
    steps: int
    """Optimiser steps of a whole run."""
    batch: int
    """Patches in a step."""
    patch: int
    """Width of a patch in raw pixels, margin included."""
    margin: int
    """Raw pixels of the rim of a patch that gives context but takes no part in the loss."""
    learning_rate: float
    """Adam's peak learning rate."""
    schedule: Literal["one-cycle", "halving", "late-halving", "steady"]
    """``steady`` rises for `WARM_UP` steps and falls slowly, for runs that may end at any step;
    ``one-cycle`` rises for a tenth of the run and falls as a cosine; ``halving`` halves
    at every fifth of the run, ``late-halving`` at its half and at three quarters."""
    objective: Literal[
        "recorrupted", "interleaved", "sequential", "reconstructed", "denoised-planes"
    ] = "recorrupted"
    """Key into `registry.OBJECTIVES`: where pairs come from and what is asked of the network."""
    start: Literal["prior", "scratch", "model"] = "scratch"
    """What the weights begin with: those that the package brings along, random ones, or those of
    another model."""
    planes: int | None = None
    """Planes of a patch, margin included; None for images."""
    axial_margin: int = 0
    """Planes of the rim."""
    magnitude: tuple[float, float] = (1.0, 2.0)
    """Range of alpha in equation 2, the size of the added noise."""
    shot_noise: tuple[float, float] = (0.5, 1.5)
    """Range of beta1 in equation 3, as a multiple of the gain."""
    read_noise: tuple[float, float] = (0.8, 1.2)
    """Range of beta2 in equation 3, as a multiple of the read variance."""
    norm: Literal["squared", "absolute"] = "squared"
    """Norm of both fidelity terms."""
    denoising_weight: float = 0.5
    """mu of equations 4 and 7; 1 trains the denoiser alone and leaves the second stage as it is."""
    hessian_weight: float = 0.02
    """lambda of equations 6 and 9, in the convention of `losses.hessian_penalty`."""
    gap_weight: float = 1.0
    """gamma of equations 8 and 9, where planes are interleaved."""
    anchor_weight: float = 0.3
    """How strongly a correction is held to what Richardson-Lucy found, where it is asked."""
    denoising_share: float = 0.75
    """Part of a sequential run that trains the denoiser; the rest trains the corrector."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Decay of Adam's running means of the gradient and of its square."""
    gradient_limit: float | None = 1.0
    """Norm to which gradients are clipped, so that one odd batch cannot throw the weights off."""
    patience: int = 0
    """Steps without a gain on held-out pairs after which a run of re-corrupted pairs ends by
    itself; 0 never does."""
    least_gain: float = 1e-3
    """What counts as a gain, as a part of the held-out loss, most of which is noise."""
    guarded: bool = False
    """Whether some pixels are held out from training, which choose the weights that are kept."""
    weight_average: float = 0.0
    """Decay per step of the running average of the weights that is kept as the model; 0 keeps
    the last weights."""
    pretrained_share: float = 0.0
    """Part of the pretrained weights in those that are kept, where training begins with them."""
    denoising_passes: int = 0
    """Times that each pixel may be drawn until the denoiser rests, whose rate falls to zero on the
    way: drawn more often, it learns the noise of a small recording by heart. 0: it never rests."""
    deconvolution_passes: int = 0
    """The same for the second stage."""
    coarse_passes: int = 0
    """The same for all levels of the U-Nets but the finest. They hold most of the weights and see
    much of a small recording at once."""

    @property
    def denoiser_alone(self) -> bool:
        """Whether nothing is asked of the second stage."""
        return self.denoising_weight == 1.0

    def denoising_steps(self, steps: int) -> int:
        """Give the steps out of ``steps`` after which a sequential run turns to the corrector."""
        return max(round(self.denoising_share * steps), 1)

    def part_of_rate_at(self, step: int, passes: int, pixels: int) -> float:
        """Give the part of the learning rate that weights have at a step (1 to ``steps``).

        It falls evenly from 1 to 0 until each of all ``pixels`` was drawn ``passes`` times; with 0
        passes it stays 1.
        """
        if not passes:
            return 1.0
        drawn = (step - 1) * self.batch * self.patch**2 * (self.planes or 1)
        return max(1.0 - drawn / (passes * pixels), 0.0)

    def learning_rate_at(self, step: int, steps: int) -> float:
        """Learning rate of a step (1 to ``steps``)."""
        if self.objective == "sequential":
            # Each half has a cycle of its own.
            first = self.denoising_steps(steps)
            step, steps = (step, first) if step <= first else (step - first, steps - first)
        if self.schedule == "steady":
            slower = math.sqrt(1 + max(step - WARM_UP, 0) / SLOWER_AFTER)
            return self.learning_rate * min(step / WARM_UP, 1.0) / slower
        done = (step - 1) / steps
        if self.schedule == "halving":
            return self.learning_rate * 0.5 ** math.floor(5 * done)
        if self.schedule == "late-halving":
            return self.learning_rate * 0.5 ** ((done >= 0.5) + (done >= 0.75))
        warm_up = 0.1
        if done < warm_up:
            return self.learning_rate * (0.1 + 0.9 * done / warm_up)
        falling = (done - warm_up) / (1 - warm_up)
        return self.learning_rate * max(0.5 + 0.5 * math.cos(math.pi * falling), 0.003)


FROM_SCRATCH = Preset(
    name="fast",
    description="For daily work: knows the PSF, one to two minutes on a laptop.",
    network="unrolled",
    steps=700,
    batch=4,
    patch=96,
    margin=8,
    learning_rate=3e-3,
    schedule="one-cycle",
)
"""``fast`` with random weights to begin with."""

PRESETS = {
    preset.name: preset
    for preset in (
        replace(
            FROM_SCRATCH,
            description="For daily work: begins with what simulated images have taught, and ends "
            "by itself after one to three minutes on a laptop.",
            network="informed",
            start="prior",
            # Twice as much has made a run diverge.
            learning_rate=8e-4,
            schedule="steady",
            patience=60,
            guarded=True,
            weight_average=0.98,
            denoising_passes=600,
            deconvolution_passes=150,
            coarse_passes=150,
            # More would blur again what is shown at a stated resolution.
            hessian_weight=0.005,
        ),
        Preset(
            name="paper",
            description=(
                "The published network and settings, for comparison: minutes on a fast GPU, "
                "days on a laptop."
            ),
            network="published",
            steps=50_000,
            batch=4,
            patch=160,
            margin=16,
            learning_rate=5e-5,
            schedule="halving",
            # The published weight of 0.02 multiplies half of our penalty.
            hessian_weight=0.01,
            betas=(0.9, 0.999),
            gradient_limit=None,
        ),
    )
}


VOLUMES_FROM_SCRATCH = Preset(
    name="fast",
    description="For daily work: knows the PSF, two to four minutes on a laptop.",
    network="sharpening",
    objective="sequential",
    steps=600,
    batch=2,
    patch=64,
    planes=16,
    margin=8,
    axial_margin=2,
    learning_rate=3e-3,
    schedule="one-cycle",
    # More would blur again what was sharpened to a stated resolution.
    hessian_weight=0.002,
    guarded=True,
)
"""``fast`` for volumes with random weights to begin with."""

VOLUME_PRESETS = {
    preset.name: preset
    for preset in (
        replace(
            VOLUMES_FROM_SCRATCH,
            description="For daily work: begins with what simulated volumes have taught; about a "
            "minute on a laptop.",
            network="informed-volume",
            start="prior",
            steps=120,
            learning_rate=8e-4,
            weight_average=0.9,
            # All of what training changes makes bright stacks worse than they begin, see
            # docs/method.md.
            pretrained_share=0.35,
            # What re-blurring cannot see, the corrector has learned on simulation with the truth:
            # trained on a recording, it loses some of that.
            denoising_share=1.0,
        ),
        Preset(
            name="paper",
            description=(
                "The published network and settings, for comparison: minutes on a fast GPU, "
                "days on a laptop."
            ),
            network="published-volume",
            objective="interleaved",
            steps=10_000,
            batch=3,
            patch=64,
            planes=26,
            margin=8,
            axial_margin=2,
            learning_rate=1e-4,
            schedule="late-halving",
            norm="absolute",
            hessian_weight=0.1,
            betas=(0.9, 0.999),
            gradient_limit=None,
        ),
    )
}

VOLUME_PRESETS |= {
    preset.name: preset
    for preset in (
        replace(
            VOLUMES_FROM_SCRATCH,
            name="sim",
            description="For reconstructed SIM stacks: learns from every second plane alone.",
            objective="denoised-planes",
            planes=24,
            guarded=False,
        ),
        replace(
            VOLUME_PRESETS["paper"],
            name="sim-paper",
            description="For reconstructed SIM stacks, as published: minutes on a fast GPU.",
            norm="squared",
            planes=14,
            hessian_weight=0.0,
        ),
    )
}


SIM_FROM_SCRATCH = replace(
    FROM_SCRATCH,
    description="For daily work: knows the SIM PSF, one to three minutes on a laptop.",
    objective="reconstructed",
    steps=400,
    # The grid is as fine as the PSF's but the image is not: 0.02 blurs what SIM resolved.
    hessian_weight=0.005,
)
"""``fast`` for raw SIM with random weights to begin with."""

SIM_PRESETS = {
    preset.name: preset
    for preset in (
        replace(
            SIM_FROM_SCRATCH,
            description="For daily work: begins with what simulated recordings have taught; about "
            "a minute on a laptop.",
            network="informed-sim",
            start="prior",
            steps=150,
            learning_rate=8e-4,
            weight_average=0.9,
            pretrained_share=0.35,
            # As for volumes: trained on a recording, the second stage loses what it has learned
            # with the truth.
            denoising_weight=1.0,
        ),
        replace(
            PRESETS["paper"],
            objective="reconstructed",
            # As the published program makes its SIM data.
            magnitude=(2.0, 5.0),
            shot_noise=(1.5, 3.0),
        ),
    )
}


def from_scratch(preset: Preset) -> Preset:
    """Give the same with random weights to begin with, and with what those need."""
    if preset.start == "scratch":
        return preset
    fresh, begun = FROM_SCRATCH, PRESETS["fast"]
    if preset.planes is not None:
        fresh, begun = VOLUMES_FROM_SCRATCH, VOLUME_PRESETS["fast"]
    elif preset.objective == "reconstructed":
        fresh, begun = SIM_FROM_SCRATCH, SIM_PRESETS["fast"]
    steps = fresh.steps if preset.steps == begun.steps else preset.steps
    settings = {name: getattr(fresh, name) for name in _OF_THE_START}
    if preset.denoiser_alone:
        settings["denoising_weight"] = fresh.denoising_weight
    return replace(preset, steps=steps, **settings)


_OF_THE_START = (
    "description",
    "network",
    "start",
    "learning_rate",
    "schedule",
    "denoising_share",
    "patience",
    "guarded",
    "weight_average",
    "pretrained_share",
    "denoising_passes",
    "deconvolution_passes",
    "coarse_passes",
    "hessian_weight",
)
"""Settings that what a run begins with decides; all others are kept."""


def read_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Read the settings of a preset from JSON, which a newer version may have added to.

    Raises
    ------
    ValueError
        If one is not what it should be, or so large that no run had it.
    """
    if not isinstance(values, Mapping):
        raise ValueError("settings are no JSON object")
    known = {field.name for field in fields(Preset)}
    ours = {name: value for name, value in values.items() if name in known}
    settings = asdict(built(Preset, ours))
    for name, most in _LARGEST.items():
        if settings[name] is not None and not 0 <= settings[name] <= most:
            raise ValueError(f"{name} is {settings[name]} and can be {most} at most")
    # JSON knows no tuples.
    others = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
        if name not in known
    }
    return {**settings, **others}


def presets_for(kind: str) -> dict[str, Preset]:
    """Presets by name for images ("YX"), volumes ("ZYX") or raw 2D-SIM ("SIM")."""
    return {"ZYX": VOLUME_PRESETS, "SIM": SIM_PRESETS}.get(kind, PRESETS)


def find_preset(name: str, kind: str = "YX") -> Preset:
    """Look a preset up by its name.

    Parameters
    ----------
    name : str
        "fast" or "paper".
    kind : str
        "YX", "ZYX" or "SIM".

    Raises
    ------
    InputError
        If there is none of that name.
    """
    presets = presets_for(kind)
    if name not in presets:
        raise InputError(
            "preset-unknown", f"Preset {name!r} does not exist: choose one of {', '.join(presets)}."
        )
    return presets[name]
