"""The search for pixels that must not be used in one plane, for which no other plane is needed."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..io.image import PixelRule
from ..utils.errors import InputError, UnreadableError
from .fill_regions import never_recorded, touching_border
from .interpolated_pixels import stand_in
from .outliers import isolated_outliers
from .pixel_mask import Kind, Runs
from .saturation import FEWEST

MOST_MISSING = 0.01
"""Part of a plane that may be NaN in the midst of it."""

_reading = threading.RLock()
"""Readers of files are used by one thread at a time."""

_AROUND = np.ones((3, 3), dtype=np.uint8)

Place = tuple[int, ...]
"""Indices of a plane along the axes before Y."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What was found in one plane.

    Attributes
    ----------
    runs
        What must not be used; None where all can be.
    top
        The highest value of what can be used, and how many pixels have it; None where there is
        none.
    dark
        Counts that 1 % of what can be used lie below.
    """

    runs: Runs | None
    top: tuple[float, int] | None = None
    dark: float = 0.0


@dataclass(frozen=True, eq=False)
class PlaneSearch:
    """The search in one plane of a recording, which needs no other plane.

    Attributes
    ----------
    recording, rule, width, name
        As for `usable_pixels`.
    given
        Pixels that are bad by a map.
    fixed
        Pixels that are outliers in all planes.
    """

    recording: Any
    rule: PixelRule
    width: float | None
    name: str
    given: NDArray[np.bool_] | None
    fixed: NDArray[np.bool_] | None = None

    def __call__(self, place: Place) -> Seen:
        """Look at one plane; there is nothing to be seen in one that cannot be read."""
        try:
            plane, kinds = self.read(place)
        except UnreadableError:  # it is an error where its pixels are needed
            return Seen(None)
        usable = kinds == 0
        if usable.any():
            if self.fixed is not None:
                kinds[self.fixed & usable] = Kind.OUTLIER
            if self.rule.outliers:
                known = kinds.copy()
                known[_clustered_top(plane, kinds == 0)] = Kind.SATURATED
                standing = stand_in(plane, known) if known.any() else plane
                kinds[isolated_outliers(standing, self.width, known > 0)] = Kind.OUTLIER
        runs = Runs.of(kinds, stand_in(plane, kinds)) if kinds.any() else None
        left = plane[kinds == 0]
        if not left.size:
            return Seen(runs)
        top = left.max()
        dark = float(np.quantile(left[:: max(left.size // 10_000, 1)], 0.01))
        return Seen(runs, (float(top), int(np.count_nonzero(left == top))), dark)

    def plane(self, place: Place) -> NDArray[Any]:
        """Read a plane as filters take it."""
        with _reading:
            plane: NDArray[Any] = np.asarray(self.recording[place])
        # Filters know neither half nor extended precision.
        odd = plane.dtype.kind == "f" and plane.dtype.itemsize not in (4, 8)
        return plane.astype(np.float32) if odd else plane

    def read(self, place: Place) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Read a plane, and mark what is known before looking for outliers."""
        plane = self.plane(place)
        kinds = np.zeros(plane.shape, np.uint8)
        missing = never_recorded(plane)
        if missing.any():
            border = missing if missing.all() else touching_border(missing)
            kinds[missing] = Kind.OUTLIER
            kinds[border] = Kind.UNRECORDED
            inside = int(np.count_nonzero(missing & ~border))
            if inside > MOST_MISSING * plane.size:
                raise InputError(
                    "image-not-finite",
                    f"{self.name} has {inside} NaN or infinite pixels in the midst of a plane, the "
                    f"first at {in_words(np.argwhere(missing & ~border)[0])}: single ones and "
                    "borders are left out, but these are too many; replace them or crop them away.",
                )
        if self.given is not None:
            kinds[self.given[place[-(self.given.ndim - 2) :] if self.given.ndim > 2 else ()]] = (
                Kind.GIVEN
            )
        return plane, kinds


def _clustered_top(plane: NDArray[Any], usable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the pixels at the highest value if most have neighbours there, as where saturated."""
    at_top = usable & (plane == plane.max(where=usable, initial=plane.min()))
    if np.count_nonzero(at_top) < FEWEST:
        return np.zeros_like(at_top)
    neighbours = ndimage.convolve(at_top.astype(np.uint8), _AROUND, mode="constant")
    together = np.count_nonzero(at_top & (neighbours > 1))
    return at_top if 2 * together > np.count_nonzero(at_top) else np.zeros_like(at_top)


def in_words(place: Any) -> str:
    """Write indices as a tuple of plain numbers."""
    return f"({', '.join(str(int(number)) for number in place)})"
