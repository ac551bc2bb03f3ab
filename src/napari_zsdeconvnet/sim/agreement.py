"""Whether the orientations of a recording belong together: apart in angle, alike in period."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from ..utils.errors import InputError, Remedy
from .patterns import SHALLOW, Order, Pattern

_COINCIDE = 0.25  # of the angle between orientations that are evenly spread
_APART = 0.6  # of that angle, from which on two orientations do not lessen each other's confidence
_WEAK = 0.5  # of the depth of another orientation; the same fringes, seen twice, are as deep
_ALIKE = 0.1  # relative difference between periods that apertures and mirrors explain


def coinciding(angles: Sequence[float], share: float = _COINCIDE) -> list[tuple[int, int]]:
    """List the pairs of orientations whose angles, in degrees, are nearly the same.

    They coincide below this share of the angle between orientations that are evenly spread.
    """
    least = share * 180 / max(len(angles), 1)
    return [
        (one, other)
        for (one, angle), (other, beside) in combinations(enumerate(angles), 2)
        if abs((angle - beside + 90) % 180 - 90) < least
    ]


def without_false_ones(patterns: tuple[Pattern, ...]) -> tuple[Pattern, ...]:
    """Take orientations as not found that are weak and have the angle of one that is not.

    A sample that has no detail across the fringes of an orientation, as of parallel filaments,
    shows none of them, and the highest peak there is of the sample's own structure.
    """
    found = [index for index, pattern in enumerate(patterns) if pattern.found]
    checked = list(patterns)
    for pair in coinciding([patterns[index].angle for index in found]):
        indices = (found[place] for place in pair)
        weak, clear = sorted(indices, key=lambda index: patterns[index].depth)
        depth = patterns[weak].depth
        if depth < min(SHALLOW, _WEAK * patterns[clear].depth):
            reason = (
                f"No pattern is found: the highest peak has about the angle of orientation "
                f"{clear + 1} and a depth of {depth:.2f} only, as of the sample's own structure; "
                "record more of the sample, with detail in all directions, or give period and "
                "angles."
            )
            checked[weak] = replace(patterns[weak], found=False, confidence=0.0, reason=reason)
    return tuple(checked)


def refuse_coinciding(
    patterns: Sequence[Pattern], name: str, chosen: Order, asked: Order | None
) -> None:
    """Refuse patterns of which two that were found have the same angle.

    Raises
    ------
    InputError
        With the angles, and what else to try.
    """
    found = [pattern.angle for pattern in patterns if pattern.found]
    if not coinciding(found):
        return
    angles = ", ".join(f"{angle:.1f}" for angle in found)
    other = "phase" if chosen == "orientation" else "orientation"
    tried = " in either order of the frames" if asked is None else ""
    raise InputError(
        "sim-angles-coincide",
        f"Orientations of {name} have the same angle ({angles} degrees, taken {chosen} by "
        f"{chosen}), so that these frames cannot be {len(patterns)} orientations of "
        f"{len(patterns[0].phases)} phases{tried}",
        *([] if asked is None else [Remedy("frame-order", other)]),
        "check which axis of the file holds the frames, and the numbers of orientations and phases",
    )


def in_agreement(patterns: tuple[Pattern, ...]) -> tuple[Pattern, ...]:
    """Lessen the confidence of what does not fit the other orientations.

    One mechanism makes all of them, so that they lie apart and have about the same period. A
    peak of the sample's own structure may be as high, but seldom agrees with the others.
    """
    found = [pattern for pattern in patterns if pattern.found]
    if len(found) < 2:
        return patterns
    usual = float(np.median([pattern.period for pattern in found]))
    even = 180 / len(patterns)

    def agreement(pattern: Pattern) -> float:
        off = abs(pattern.period / usual - 1)
        nearest = min(
            abs((pattern.angle - other.angle + 90) % 180 - 90)
            for other in found
            if other is not pattern
        )
        return min(1.0, _ALIKE / max(off, 1e-9)) * min(1.0, nearest / (_APART * even))

    return tuple(
        replace(pattern, confidence=pattern.confidence * agreement(pattern))
        if pattern.found
        else pattern
        for pattern in patterns
    )
