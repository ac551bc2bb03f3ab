"""Which axes of a recording hold the raw frames of an image; all others hold images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from numpy.typing import NDArray

from ..utils.errors import InputError


@dataclass(frozen=True)
class FrameAxes:
    """Indices of the axes before Y and X.

    Attributes
    ----------
    frames
        Of the raw frames: one axis, or one of the orientations and one of the phases.
    images
        Of what each has such frames: time points, planes.
    """

    frames: tuple[int, ...]
    images: tuple[int, ...]

    @property
    def order(self) -> tuple[int, ...]:
        """The axes with the frames last."""
        return (*self.images, *self.frames)

    def sets(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Lay pixels out with one axis of frames before Y and X: (..., N, Y, X)."""
        moved = pixels.transpose(*self.order, -2, -1)
        count = len(self.images)
        return moved.reshape(*moved.shape[:count], -1, *moved.shape[-2:])


def frame_axes(
    lengths: Sequence[int], orientations: int, phases: int, *, letters: str = "", name: str = "raw"
) -> FrameAxes | None:
    """Find the one axis, or the pair of axes, whose length fits the number of frames.

    Parameters
    ----------
    lengths
        Of the axes before Y and X.
    orientations, phases
        How many there should be.
    letters
        Of these axes where they are known, out of "TCZ".
    name
        What messages call the recording.

    Returns
    -------
    FrameAxes or None
        None where nothing fits.

    Raises
    ------
    InputError
        If several fit and nothing tells which is meant.
    """
    several = [axis for axis, length in enumerate(lengths) if length > 1]
    fits: list[tuple[int, ...]] = [
        (axis,) for axis in several if lengths[axis] == orientations * phases
    ]
    if not fits:
        fits = [
            pair
            for pair in combinations(several, 2)
            if sorted(lengths[axis] for axis in pair) == sorted((orientations, phases))
        ]
    if not fits and math.prod(lengths) == orientations * phases:
        fits = [tuple(several)]
    if not fits:
        return None
    if len(fits) > 1 and letters:
        told = [fit for fit in fits if any(letters[axis] == "C" for axis in fit)]
        if len(told) != 1:
            raise InputError(
                "frame-axes-ambiguous",
                f"{name} has axes {letters} of {' x '.join(map(str, lengths))} before Y and X, of "
                f"which several may be the {orientations} x {phases} raw frames; save the frames "
                "of an image as its channels, and time or planes as what they are.",
            )
        fits = told
    frames = fits[-1]  # without names the frames stand next to Y and X
    return FrameAxes(frames, tuple(axis for axis in range(len(lengths)) if axis not in frames))
