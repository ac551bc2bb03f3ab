"""Which frames of a series make pairs whose difference is noise, and why others do not.

Two exposures of one scene differ by their noise. A repeated frame differs by nothing, a flash or
a jump of the stage by structure, and frames with the shutter closed hold no light. Each is found
in the means of large blocks, whose own noise is small: what is chosen by them says nothing of
the noise of pixels, so that the choice leaves the variance as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..utils.errors import InputError

RUN = 8
"""Neighbouring frames of a long series that are looked at together."""

_BLOCKS = 64  # along each side of a frame at most, for the means that are compared
_BLOCK = 8  # pixels of a block at least
_LONGEST_LAG = 4  # frames; illumination that alternates has such a period
_BETTER = 0.5  # times the difference of neighbours, for frames further apart to be paired
_ALIKE = 25.0  # times the median of the squared difference: a pair is of two scenes beyond
_UNLIT = 0.02  # of the median contrast, squared
_NAMED = 5  # frames; more are counted

# Why one frame and why several were left out.
_REPEATED = "repeats another one to the last bit", "repeat another one to the last bit"
_DARK = "holds next to no light", "hold next to no light"
_UNLIKE = (
    "is unlike those around it, as in a flash or after a jump",
    "are unlike those around them, as in a flash or after a jump",
)


@dataclass(frozen=True)
class FramePairs:
    """Frames of a series, paired.

    Attributes
    ----------
    pairs
        Indices of two frames each.
    said
        What was left out and why, one sentence each.
    """

    pairs: tuple[tuple[int, int], ...]
    said: tuple[str, ...] = ()

    @property
    def frames(self) -> tuple[int, ...]:
        """The frames that are in a pair."""
        return tuple(sorted({frame for pair in self.pairs for frame in pair}))

    def apart(self, times: int) -> tuple[tuple[int, int], ...]:
        """Return pairs of frames so many times as far apart, through pairs of neighbours."""
        following = dict(self.pairs)
        found = []
        for first in following:
            last: int | None = first
            for _ in range(times):
                last = None if last is None else following.get(last)
            if last is not None:
                found.append((first, last))
        return tuple(found)


def spread_runs(count: int, most: int) -> tuple[int, ...]:
    """Choose frames of a long series, in runs of neighbours that are evenly spread.

    Parameters
    ----------
    count
        Frames of the series.
    most
        How many are looked at, a few of each run less; all, where there are no more.
    """
    if count <= most:
        return tuple(range(count))
    runs = max(most // RUN, 1)
    starts = np.linspace(0, count - RUN, runs).round().astype(int)
    return tuple(sorted({int(start) + step for start in starts for step in range(RUN)}))


def pair_frames(
    fields: Sequence[Any], name: str = "frames", among: Sequence[int] | None = None
) -> FramePairs:
    """Pair each frame with the next one like it.

    Parameters
    ----------
    fields
        Camera counts (T, Y, X), one array for each field or plane that is followed in time. Every
        frame is read once.
    name
        What messages call the series.
    among
        Indices of the frames that are looked at, rising; None takes all.

    Raises
    ------
    InputError
        If no two frames are left that differ by noise.
    """
    looked_at = range(len(fields[0])) if among is None else among
    count = len(looked_at)
    means, prints = zip(*(_seen(fields, index) for index in looked_at), strict=True)
    coarse = dict(zip(looked_at, means, strict=True))
    left_out: dict[tuple[str, str], list[int]] = {}

    first: dict[bytes, int] = {}
    left_out[_REPEATED] = [
        index
        for index, print_ in zip(looked_at, prints, strict=True)
        if first.setdefault(print_, index) != index
    ]
    distinct = np.array(sorted(first.values()))
    contrast = np.array([coarse[index].var() for index in distinct])
    lit = contrast >= _UNLIT * np.median(contrast)
    left_out[_DARK] = distinct[~lit].tolist()

    kept, lag = distinct[lit], 1
    pairs: list[tuple[int, int]] = []
    for _ in range(2):  # a second time, to pair those on either side of what was left out
        pairs, lag = _alike(kept, coarse)
        paired = {index for pair in pairs for index in pair}
        unlike = [int(index) for index in kept if index not in paired]
        left_out[_UNLIKE] = [*left_out.get(_UNLIKE, []), *unlike]
        kept = np.array(sorted(paired), dtype=int)
    said = _in_words(left_out, count, name)
    if not pairs:
        raise InputError(
            "exposures-missing",
            f"{' '.join(said)} No two frames are left that differ by noise alone; photon transfer "
            "needs two exposures of the same field (for one image use the single-image "
            "calibration).",
        )
    if lag > 1:
        said.append(
            f"The {count} {name} alternate: those {lag} apart are alike, and these were compared."
        )
    return FramePairs(tuple(pairs), tuple(said))


def _seen(fields: Sequence[Any], index: int) -> tuple[NDArray[np.float64], bytes]:
    """Give the means of blocks of a frame, and a fingerprint of its pixels."""
    means, digest = [], hashlib.blake2b()
    for field in fields:
        frame = np.ascontiguousarray(field[index])
        digest.update(frame.data)
        side = max(_BLOCK, -(-max(frame.shape) // _BLOCKS))
        rows, columns = frame.shape[0] // side, frame.shape[1] // side
        blocks = frame[: rows * side, : columns * side].reshape(rows, side, columns, side)
        means.append(blocks.mean(axis=(1, 3), dtype=np.float64).ravel())
    return np.concatenate(means), digest.digest()


def _alike(
    kept: NDArray[np.intp], coarse: Mapping[int, NDArray[np.float64]]
) -> tuple[list[tuple[int, int]], int]:
    """Pair frames that show the same, so many apart that they do; also gives how many."""
    differences = {
        lag: np.array(
            [
                np.mean((coarse[int(last)] - coarse[int(first)]) ** 2)
                for first, last in zip(kept[:-lag], kept[lag:], strict=True)
            ]
        )
        for lag in range(1, min(_LONGEST_LAG, len(kept) - 1) + 1)
    }
    if not differences:
        return [], 1
    typical = {lag: float(np.median(values)) for lag, values in differences.items()}
    lag = 1
    if min(typical.values()) < _BETTER * typical[1]:
        lag = next(
            lag for lag, value in typical.items() if _BETTER * value <= min(typical.values())
        )
    alike = differences[lag] <= _ALIKE * typical[lag]
    starts = np.flatnonzero(alike)
    return [(int(kept[start]), int(kept[start + lag])) for start in starts], lag


def _in_words(left_out: dict[tuple[str, str], list[int]], count: int, name: str) -> list[str]:
    """Say how many frames were left out, which, and why."""
    reasons = []
    for why, indices in left_out.items():
        if indices:
            named = ", ".join(str(index) for index in sorted(indices)[:_NAMED])
            more = f" and {len(indices) - _NAMED} more" if len(indices) > _NAMED else ""
            word = "index" if len(indices) == 1 else "indices"
            reasons.append(f"{len(indices)} {why[len(indices) > 1]} ({word} {named}{more})")
    if not reasons:
        return []
    total = sum(map(len, left_out.values()))
    were = "was" if total == 1 else "were"
    return [f"{total} of {count} {name} {were} left out: {'; '.join(reasons)}."]
