"""Which weights of a training are kept: the best that it has passed, by its held-out pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Self

from ..noise.camera_check import UNKNOWN, NoiseCheck, NoiseState

if TYPE_CHECKING:
    from torch import Tensor

TOO_NOISY = 1.2
"""Times by which a camera's noise exceeds what held-out pixels scatter, at which it is wrong."""

PLAUSIBLE = (0.85, 1.1)
"""Times that a camera's noise may be what held-out pixels scatter for its word to be taken, where
nothing can be seen of the noise alone.

Right cameras lie at 0.8 to 1.0, as the error of the prediction is part of the scatter; half the
gain at 0.6 to 0.75, twice the gain from 1.2.
"""

SHARED = 1.6
"""Times that held-out pixels scatter more than the noise beyond the optical cutoff lets them, at
which pixels share noise, if the camera does not explain it either."""

SIGNIFICANT = 1.0
"""Standard errors by which weights may be worse than the beginning where training is trusted."""

CERTAIN = 2.0
"""Standard errors by which weights must be better than the beginning, in both stages, where the
camera is wrong."""

SHARED_WORDS = "pixels share noise that the camera model does not explain"
"""Why held-out pixels cannot judge."""

HOPELESS = 2.0
"""Standard errors by which they must be worse than the best for a training to end."""


@dataclass(frozen=True)
class Gain:
    """How much better weights are than others at the held-out pixels, of both stages.

    Attributes
    ----------
    shares
        Part of the squared error that is gone, denoised and deconvolved; most of that error is
        the noise of the recording, which none can take away.
    errors
        Their standard errors.
    """

    shares: tuple[float, float]
    errors: tuple[float, float]

    @classmethod
    def over(cls, before: Tensor, after: Tensor) -> Self:
        """Compare the errors (2, cells) of two networks at the same pixels."""
        gained = before - after
        total = before.sum(dim=1)
        scatter = gained.std(dim=1) * math.sqrt(gained.shape[1])
        return cls(_two(gained.sum(dim=1) / total), _two(scatter / total))

    @property
    def total(self) -> float:
        """Of both stages together, as both are trained."""
        return sum(self.shares)

    def exceeds(self, errors: float) -> bool:
        """Tell whether both stages are better by more than so many standard errors."""
        return all(s > errors * e for s, e in zip(self.shares, self.errors, strict=True))


def _two(values: Tensor) -> tuple[float, float]:
    first, second = values.tolist()
    return first, second


@dataclass(frozen=True)
class Choice:
    """Which weights of a training were kept.

    Attributes
    ----------
    step
        After which they were; 0 is the beginning.
    gain
        Over the beginning, at the held-out pixels.
    too_noisy
        Whether they scatter less than the camera's noise alone would, so that what training under
        that camera brings cannot be judged.
    reason
        Why training cannot be judged, if it cannot; of the camera, where its noise differs.
    """

    step: int
    gain: Gain
    too_noisy: bool = False
    reason: str = ""

    def describe(self, beginning: str) -> str:
        """Say in a sentence what was kept; ``beginning`` names the first weights."""
        if self.too_noisy:
            return (
                "The held-out pixels scatter less than the camera's noise alone would: gain or "
                f"read variance are too high. {beginning.capitalize()} are kept."
            )
        if self.step == 0:
            kept = f"No step improved the held-out pixels: {beginning} are kept."
            if self.reason:
                kept = f"{beginning.capitalize()} are kept."
        else:
            kept = (
                f"The weights after step {self.step}, the best for the held-out pixels, are kept."
            )
        return f"{self.reason} {kept}".strip()


@dataclass(frozen=True, eq=False)
class Seen:
    """Weights at a look, with their errors."""

    step: int
    errors: Tensor
    weights: Mapping[str, Tensor]


class Trust(IntEnum):
    """What decides which weights are kept."""

    NOTHING = 0
    """The beginning stays: neither camera nor held-out pixels can tell what training brings."""
    PIXELS = 1
    """Weights must be better than the beginning beyond doubt, as the camera is wrong."""
    CAMERA = 2
    """The last weights are kept, unless held-out pixels speak against them."""


@dataclass(frozen=True, eq=False)
class BestWeights:
    """The best of the weights that a training has passed, by their held-out pixels.

    Attributes
    ----------
    first
        Errors of the beginning.
    best
        The best so far.
    trust
        What decides.
    too_noisy, reason
        As in `Choice`.
    """

    first: Tensor
    best: Seen
    trust: Trust = Trust.PIXELS
    too_noisy: bool = False
    reason: str = ""

    @classmethod
    def beginning(cls, seen: Seen, expected: float, check: NoiseCheck = UNKNOWN) -> Self:
        """Begin with the weights before the first step.

        `expected` is the noise of the held-out pixels by the camera (`HeldOutPixels.expected`), and
        `check` what is known of the noise from beyond the optical cutoff.
        """
        ratio = expected / max(float(seen.errors[0].sum()), 1e-30)
        reason = check.describe()
        if check.state is NoiseState.PROCESSED:
            return cls(seen.errors, seen, Trust.NOTHING, reason=reason)
        if ratio > TOO_NOISY:
            return cls(seen.errors, seen, Trust.NOTHING, too_noisy=True)
        if check.state is NoiseState.DIFFERS:
            if ratio * check.ratio * SHARED < 1:
                reason = NoiseCheck(NoiseState.PROCESSED, reason=SHARED_WORDS).describe()
                return cls(seen.errors, seen, Trust.NOTHING, reason=reason)
            return cls(seen.errors, seen, Trust.PIXELS, reason=reason)
        known = check.state is NoiseState.AGREES
        believed = known or PLAUSIBLE[0] < ratio < PLAUSIBLE[1]
        return cls(seen.errors, seen, Trust.CAMERA if believed else Trust.PIXELS)

    def after(self, seen: Seen) -> Self:
        """Give what is best after another look.

        Under a camera that is wrong, weights must be better than the beginning beyond doubt,
        denoised and deconvolved, and better than the best so far. Under one that is right they
        are preferred unless they are worse than the beginning beyond chance, or than the best
        beyond doubt.
        """
        over_first, over_best = (
            Gain.over(errors, seen.errors) for errors in (self.first, self.best.errors)
        )
        better = False
        if self.trust is Trust.CAMERA:
            better = over_first.exceeds(-SIGNIFICANT) and over_best.exceeds(-HOPELESS)
        elif self.trust is Trust.PIXELS:
            better = over_first.exceeds(CERTAIN) and (over_best.total > 0 or self.best.step == 0)
        return replace(self, best=seen) if better else self

    def hopeless(self, seen: Seen) -> bool:
        """Tell whether weights have become worse than the best, beyond doubt."""
        worse = Gain.over(seen.errors, self.best.errors)
        stages = zip(worse.shares, worse.errors, strict=True)
        return any(share > HOPELESS * error for share, error in stages)

    @property
    def choice(self) -> Choice:
        """Say which weights are the best."""
        gain = Gain.over(self.first, self.best.errors)
        return Choice(self.best.step, gain, self.too_noisy, self.reason)

    def to_tensors(self) -> dict[str, Tensor]:
        """Give all of it as tensors, for a file."""
        import torch  # records know of choices, and need no torch

        return {
            "held_out.first": self.first,
            "held_out.best": self.best.errors,
            "held_out.step": torch.tensor(self.best.step),
            "held_out.too_noisy": torch.tensor(self.too_noisy),
            "held_out.trust": torch.tensor(int(self.trust)),
            "held_out.reason": torch.tensor(list(self.reason.encode()), dtype=torch.uint8),
            **{f"best.{name}": value for name, value in self.best.weights.items()},
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self | None:
        """Rebuild it from what `to_tensors` gave, if that is among these."""
        if "held_out.first" not in tensors:
            return None
        weights = {
            name.removeprefix("best."): value
            for name, value in tensors.items()
            if name.startswith("best.")
        }
        best = Seen(int(tensors["held_out.step"]), tensors["held_out.best"], weights)
        too_noisy = bool(tensors["held_out.too_noisy"])
        # Files of before the noise was checked say whether the camera was plausible.
        believed = bool(tensors.get("held_out.plausible", False))
        before = Trust.NOTHING if too_noisy else Trust.CAMERA if believed else Trust.PIXELS
        trust = Trust(int(tensors.get("held_out.trust", before)))
        reason = bytes(tensors.get("held_out.reason", ())).decode()
        return cls(tensors["held_out.first"], best, trust, too_noisy, reason)
