"""Which pixels of a recording can be used: `usable_pixels` looks once, and everything goes by it.

Calibration, scale, losses, held-out pairs and the verdict leave masked pixels out. Networks see
what surrounds them in their place, and so the results hold there what the model expects.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..io.excerpts import Excerpt, is_large
from ..io.image import PixelRule, check_pixels
from ..utils.each import Each, in_threads
from ..utils.errors import InputError, Remedy, UnreadableError
from ..utils.memory import check_room
from ..utils.phases import go_on, rounds
from .interpolated_pixels import stand_in
from .outliers import WIDEST, isolated_outliers, memory_to_search
from .pixel_mask import Filled, Kind, PixelMask, Runs
from .plane_search import Place, PlaneSearch, in_words
from .saturation import FEWEST, clipped_share, lit_from, piled_up

MOST_SATURATED = 0.02
"""Part of the lit area that may be saturated and is masked; more is refused, unless allowed."""

_PLACES = 5  # that are named
_MEANT = 64  # planes whose mean is looked at
_FEWEST_MEANT = 8
_COMPARED = 8  # planes that tell whether and how far a recording is saturated
_SHARE = 5e-4  # of all pixels, below which they are counted
_REMEMBERED = 8  # searches, whose recordings are calibrated, trained on, deconvolved and judged
_HASHED = 2**28  # bytes of a recording at most, to find its search again

_FOUND: dict[tuple[Any, ...], PixelMask | None] = {}


def usable_pixels(
    recording: Any,
    rule: PixelRule | None = None,
    *,
    width: float | None = None,
    name: str = "image",
    among: Sequence[int] | None = None,
    each: Each | None = None,
) -> PixelMask | None:
    """Find the pixels of a recording that must not be used.

    Parameters
    ----------
    recording
        Counts, axes ``(T, Y, X)`` or ``(T, Z, Y, X)``, in memory or not; raw SIM frames stand
        where planes do. It is read plane by plane; one that is `Filled` has its mask already.
    rule
        What the user says of bad and saturated pixels.
    width
        Full width at half maximum of the PSF in pixels; None where it is not known.
    name
        What messages call the recording.
    among
        Indices along T of the frames that are looked at; None takes all.
    each
        Looks at the planes, as `map` does, such as a cluster; by default threads of this process.

    Returns
    -------
    PixelMask or None
        None where every pixel can be used and there is nothing to say.

    Raises
    ------
    InputError
        If too many pixels are saturated or missing, or a map of bad pixels does not fit.
    """
    if isinstance(recording, Filled):
        return recording.mask
    rule = rule or PixelRule()
    how = (
        None if width is None else min(width, WIDEST),
        name,
        None if among is None else tuple(among),
    )
    key = (_digest(recording), repr(rule.to_dict()), *how)
    # What was not refused is the same where nothing is to be refused.
    usual = (key[0], repr(replace(rule, saturation="refuse").to_dict()), *how)
    found = _FOUND
    for known in (key, usual):
        if known in found:
            return found[known]
    mask = _Search(recording, rule, width, name, among).mask(each)
    if key[0]:
        _remember(key, mask)
    return mask


def _digest(recording: Any) -> bytes:
    """Tell the pixels of one recording from those of another; nothing for large ones and files."""
    if isinstance(recording, Excerpt) and recording.held is not None:
        recording = recording.held
    if type(recording) is not np.ndarray or recording.nbytes > _HASHED:
        return b""
    digest = hashlib.sha256(f"{recording.shape} {recording.dtype.str}".encode())
    digest.update(np.ascontiguousarray(recording).data)
    return digest.digest()


def _remember(key: tuple[Any, ...], mask: PixelMask | None) -> None:
    """Keep the last few searches; readers in other threads have a dict that does not change."""
    global _FOUND
    _FOUND = dict([*_FOUND.items(), (key, mask)][-_REMEMBERED:])


def with_mask(recording: Any, mask: PixelMask | None) -> Any:
    """Give a recording filled as its mask says, or as it is where there is none."""
    return Filled(recording, mask) if mask is not None and mask.planes else recording


def filled_frame(
    recording: Any, frame: int, rule: PixelRule, *, width: float | None = None
) -> NDArray[Any]:
    """Give one frame, filled where its pixels must not be used, however many are saturated.

    Parameters
    ----------
    recording
        As for `usable_pixels`.
    frame
        Index along T.
    rule, width
        As for `usable_pixels`.
    """
    one: NDArray[Any] = np.asarray(recording[frame])[np.newaxis]
    bad = rule.bad_pixels
    if bad is not None and bad.ndim == len(recording.shape):
        bad = bad[frame][np.newaxis]
    mask = usable_pixels(one, replace(rule, bad_pixels=bad, saturation="mask"), width=width)
    return np.asarray(with_mask(one, mask)[0])


def checked(
    recording: Any,
    rule: PixelRule | None = None,
    *,
    width: float | None = None,
    name: str = "image",
    spatial: Literal["YX", "ZYX"] | None = None,
    among: Sequence[int] | None = None,
) -> tuple[Any, tuple[str, ...]]:
    """Find what must not be used of a recording, and check the rest.

    Parameters
    ----------
    recording, rule, width, name, among
        As for `usable_pixels`.
    spatial
        As for `image.check_pixels`.

    Returns
    -------
    recording
        As given where every pixel can be used, else `Filled`, with its mask.
    warnings
        One sentence each.

    Raises
    ------
    InputError
        As `usable_pixels` and `image.check_pixels` do.
    """
    mask = usable_pixels(recording, rule, width=width, name=name, among=among)
    filled = with_mask(recording, mask)
    said = () if mask is None else mask.sentences
    seen: Any = filled
    if among is not None and is_large(recording):
        starts = [(frame, *(0,) * (filled.ndim - 1)) for frame in among]
        seen = Excerpt(filled, starts, filled.shape[1:])
    return filled, (*check_pixels(seen, name=name, spatial=spatial), *said)


class _Search:
    """The search in one recording."""

    def __init__(
        self,
        recording: Any,
        rule: PixelRule,
        width: float | None,
        name: str,
        among: Sequence[int] | None = None,
    ) -> None:
        self.rule = rule
        self.width = width
        self.name = name
        self.shape = tuple(int(length) for length in recording.shape)
        frames = range(self.shape[0]) if among is None else among
        self.looked_at = [(t, *rest) for t in frames for rest in np.ndindex(self.shape[1:-2])]
        given = _given_map(rule.bad_pixels, self.shape, name)
        self.look = PlaneSearch(recording, rule, width, name, given)
        self.found: dict[Place, Runs] = {}
        self.tops: dict[Place, tuple[float, int]] = {}
        self.dark = 0.0

    def mask(self, each: Each | None) -> PixelMask | None:
        """Look at everything, and say what was found."""
        needed = memory_to_search(self.shape, self.width)
        if self.rule.outliers:
            check_room(
                needed,
                f"Looking for bad pixels in {self.name}",
                "cut it into smaller files, or use a machine with more memory.",
            )
        fixed = self._hot_in_all() if self.rule.outliers else None
        self.look = replace(self.look, fixed=fixed)
        planes = "1 plane" if len(self.looked_at) == 1 else f"{len(self.looked_at)} planes"
        seen = rounds(
            (each or in_threads(needed))(self.look, self.looked_at),
            f"looking for hot and dead pixels in {planes}",
            total=len(self.looked_at),
        )
        for place, plane in zip(self.looked_at, seen, strict=True):
            runs = plane.runs
            if plane.top is not None:
                self.tops[place], self.dark = plane.top, plane.dark
            elif runs is not None:  # as dark as the plane before it
                none = np.full_like(runs.first, self.dark)
                runs = replace(runs, first=none, last=none)
            if runs is not None:
                self.found[place] = runs
        if not self.tops:
            self._refuse_nothing_usable()
            return None
        sentences = [*self._saturation(), *self._clipping()]
        mask = PixelMask(self.shape, self.found)
        sentences = [*_said(mask, fixed, self.name), *sentences]
        return (
            PixelMask(self.shape, self.found, tuple(sentences)) if self.found or sentences else None
        )

    def _refuse_nothing_usable(self) -> None:
        """Say why nothing is left, unless every plane is constant, which others say."""
        plane, _ = self.look.read(self.looked_at[0])
        if not np.isfinite(plane).all() or self.look.given is not None:
            raise InputError(
                "no-usable-pixel",
                f"{self.name} has no pixel that can be used: all are NaN or infinite, filled with "
                "one value, or bad by the map given; check that the right file was chosen.",
            )

    def _hot_in_all(self) -> NDArray[np.bool_] | None:
        """Find outliers in the means of two halves of the planes, which have less noise.

        What hit the camera in one frame is in one of the halves only.
        """
        places = self.looked_at
        if len(places) < _FEWEST_MEANT:
            return None
        chosen = np.unique(np.linspace(0, len(places) - 1, min(len(places), _MEANT)).astype(int))
        marked = []
        for half in (chosen[0::2], chosen[1::2]):
            total = np.zeros(self.shape[-2:])
            left_out = np.zeros(self.shape[-2:], dtype=bool)
            for number in half:
                go_on()
                try:
                    plane, kinds = self.look.read(places[number])
                except UnreadableError:
                    continue
                if (kinds > 0).all():
                    continue
                total += stand_in(plane, kinds) if kinds.any() else plane
                left_out |= kinds > 0
            marked.append(isolated_outliers(total / len(half), self.width, left_out))
        both: NDArray[np.bool_] = marked[0] & marked[1]
        return both if both.any() else None

    # Saturation ------------------------------------------------------------------------------

    def _saturation(self) -> Iterator[str]:
        """Mask saturated pixels, and say so, or refuse the recording."""
        top = max(highest for highest, _ in self.tops.values())
        counts = {place: n for place, (highest, n) in self.tops.items() if highest == top}
        total = sum(counts.values())
        if total < FEWEST:
            return
        brightest = sorted(counts, key=lambda place: -counts[place])[:_COMPARED]
        pixels = np.concatenate([self._usable(place) for place in brightest])
        if not piled_up(pixels):
            return
        share = total / max(self._lit(lit_from(pixels)), total)
        if share > MOST_SATURATED and self.rule.saturation == "refuse":
            raise InputError(
                "image-saturated",
                f"{self.name} is saturated, {total} pixels, {100 * share:.2g} % of its lit area, "
                f"being at {top:g}, where the camera's range ends",
                "record it again with less light",
                Remedy("allow-saturated", when="to go on with these pixels left out"),
                pixels=total,
                share=share,
            )
        first = brightest[0]
        for place in counts:
            plane, kinds = self.look.plane(place), self._kinds(place)
            kinds[(plane == top) & (kinds == 0)] = Kind.SATURATED
            self.found[place] = Runs.of(kinds, stand_in(plane, kinds, self.dark))
        where = np.argwhere(self._kinds(first) == Kind.SATURATED)
        yield (
            f"{self.name} has {total} saturated pixels at {top:g}, {100 * share:.2g} % of its lit "
            f"area, {_places(where, first, self.shape, total)}: they are masked in calibration "
            "and training, and results hold what the model expects there, which is too little."
        )

    def _lit(self, limit: float) -> float:
        """Estimate how many pixels hold light, from some planes."""
        places = list(self.tops)
        some = np.unique(np.linspace(0, len(places) - 1, min(len(places), _COMPARED)).astype(int))
        counts = [np.count_nonzero(self._usable(places[n]) > limit) for n in some]
        return float(np.mean(counts)) * len(places)

    def _clipping(self) -> Iterator[str]:
        share = clipped_share(self._usable(next(iter(self.tops))))
        if share:
            yield (
                f"{100 * share:.0f} % of the pixels of {self.name} have its lowest value: an "
                "offset was subtracted and what came out below zero was cut off, so offset, read "
                "variance and gain come out wrong in the dark; use the camera's original image."
            )

    def _kinds(self, place: Place) -> NDArray[np.uint8]:
        return PixelMask(self.shape, self.found).kinds(place)

    def _usable(self, place: Place) -> NDArray[Any]:
        return np.extract(self._kinds(place) == 0, self.look.plane(place))


def _given_map(
    bad: NDArray[Any] | None, shape: tuple[int, ...], name: str
) -> NDArray[np.bool_] | None:
    """Check a map of bad pixels against the recording."""
    if bad is None:
        return None
    marked = np.asarray(bad)
    if marked.dtype.kind == "f":
        marked = np.nan_to_num(marked)
    if marked.dtype.kind not in "buif":
        raise InputError(
            "bad-pixels-kind",
            f"The map of bad pixels holds {marked.dtype} values; give true and false.",
        )
    if marked.ndim < 2 or marked.shape != shape[-marked.ndim :]:
        raise InputError(
            "bad-pixels-shape",
            f"The map of bad pixels has the shape {marked.shape} and {name} {shape}: give one for "
            "each pixel (Y, X) of the camera as this recording uses it, or one for every plane.",
        )
    return np.asarray(marked != 0)


# Words ---------------------------------------------------------------------------------------


def _said(mask: PixelMask, fixed: NDArray[np.bool_] | None, name: str) -> Iterator[str]:
    """Say of each kind how many pixels there are, and where the first of them lie."""
    found: dict[int, list[tuple[Place, int]]] = {}
    for place, runs in mask.planes.items():
        for kind in np.unique(runs.kind):
            pixels = int(runs.length[runs.kind == kind].sum())
            if kind == Kind.UNRECORDED and pixels == np.prod(mask.shape[-2:]):
                continue  # empty planes are said elsewhere
            found.setdefault(int(kind), []).append((place, pixels))
    for kind, entries in found.items():
        total, (first, _) = sum(pixels for _, pixels in entries), entries[0]
        if kind == Kind.OUTLIER:
            in_all = fixed is not None and int(fixed.sum())
            always = f", {in_all} of them hot or dead in every plane" if in_all else ""
            where = _places(np.argwhere(mask.kinds(first) == kind), first, mask.shape, total)
            yield (
                f"{name} has {_number(total)} that neither light nor noise explains (hot or dead "
                f"pixels, cosmic rays), {where}{always}: masked, and filled from what "
                "surrounds them."
            )
        elif kind == Kind.UNRECORDED:
            share = total / np.prod(mask.shape)
            some = f"{100 * share:.1f} %" if share >= _SHARE else _number(total)
            yield (
                f"{some} of {name} is NaN or filled with one value up to the border, as "
                "deskewing, rotating and registering leave it, and is masked; such images carry "
                "interpolated noise, so calibrate on the camera's original pixels where there are "
                "any."
            )
        elif kind == Kind.GIVEN:
            verb = "is" if total == 1 else "are"
            yield f"{_number(total)} of {name} {verb} bad by the map given, and masked."


def _number(pixels: int) -> str:
    return f"{pixels} pixel" + "s" * (pixels != 1)


def _places(where: NDArray[Any], plane: Place, shape: tuple[int, ...], total: int) -> str:
    """Name the first few places, (y, x), with the frame and plane before them where there are."""
    letters = ("t", "z")[-len(plane) :] if len(plane) > 1 else ("t",)
    several = [n for n, length in enumerate(shape[:-2]) if length > 1]
    names = ", ".join([*(letters[n] for n in several), "y", "x"])
    before = [plane[n] for n in several]
    places = ", ".join(in_words([*before, *place]) for place in where[:_PLACES])
    more = total - min(len(where), _PLACES)
    return f"at ({names}) = {places}" + (f" and {more} more" if more > 0 else "")
