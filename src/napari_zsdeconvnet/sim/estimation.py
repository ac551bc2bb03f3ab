"""Estimate the illumination patterns of a raw SIM recording."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..io.grid import nanometres
from ..io.image import Image
from ..io.units import in_both_units
from ..noise.noise_model import NoiseModel
from ..noise.outliers import width_from_cutoff
from ..psf.checks import checked_na, checked_wavelength, finite, sampling_words, voxel_sizes
from ..psf.psf import PSF
from ..utils.errors import InputError, Remedy
from ..utils.phases import go_on
from . import frames as layouts
from .agreement import coinciding, in_agreement, refuse_coinciding, without_false_ones
from .fits import Fit, Prepared, Seen, Steps, attenuated, deviations, fitted, together
from .orders import FloatArray, Grid, even_phases
from .otf import OTF
from .patterns import SHALLOW, Order, Pattern, Patterns
from .peaks import SURE, Peak, Search, correlation_map, highest, relative_to_noise

_COARSEST = 0.35  # lowest frequency searched, in units of the OTF's cutoff
_STOKES = 0.8  # excitation wavelength over emission wavelength, at least
_NEAR = 0.05  # relative difference to a period that is given
_BEYOND = 1.02  # times what the optics allow; apertures and wavelengths are known that well
_CLEAR = 0.5  # of what a peak explains, by which others must explain less to be no rivals
_STILL = 0.1  # of an even step, within which fringes do not move
_NO_DEPTH = 0.01  # of fringes; so little comes of frames that are all alike
_UNEVEN = 0.35  # of an even step, by which others make it doubtful that frames belong together
_OTHER_ORDER = 1.5  # times higher peaks, from which on the other order of frames is right


def estimate(
    raw: ArrayLike | Image,
    *,
    pixel_size: float,
    na: float,
    wavelength: float,
    offset: float | ArrayLike | NoiseModel = 0.0,
    orientations: int = 3,
    phases: int = 3,
    order: Order | None = None,
    psf: PSF | str | os.PathLike[str] | None = None,
    otf: str | os.PathLike[str] | None = None,
    period: float | Sequence[float] | None = None,
    angles: Sequence[float] | None = None,
    excitation_na: float | None = None,
    excitation_wavelength: float | None = None,
    steps: Steps = "auto",
) -> Patterns:
    """Estimate the patterns of two-beam structured illumination from its raw frames.

    For each orientation the cross-correlation of the orders 0 and +1 is searched for peaks
    within what the optics allow. Between the steps of the grid, that frequency is found at which
    one order explains the other best, with phases and depth. The order 0 is that of all
    orientations together, where they differ in it by no more than noise.

    Parameters
    ----------
    raw
        Counts, (orientations * phases, Y, X), or with axes of time and planes, over which is
        averaged. The frames may lie along any one axis, or along one of orientations and one of
        phases.
    pixel_size
        Of the raw frames, micrometres.
    na, wavelength
        Numerical aperture that collects the light, and its wavelength, micrometres.
    offset
        Counts without light: a number, a map (Y, X), or what has an `offset`, as a noise
        model.
    orientations, phases
        How many.
    order
        "orientation" where the phases of an orientation follow each other, "phase" where the
        orientations of a phase do; None tries both.
    psf, otf
        PSF of the microscope on the raw grid or on one twice as fine, or a file with one; or
        a file with a radially averaged OTF. None takes an ideal microscope and finds out from
        the orders how far this one falls short of it.
    period
        Micrometres, one or one for each orientation, where known: searched within 5 %.
    angles
        Degrees for each orientation, where known, counted as in `Pattern`: searched within 4.
        With a period they are taken as given where the pattern is below the noise.
    excitation_na, excitation_wavelength
        Of the light that makes the fringes, in vacuum and micrometres; they bound the period.
        None takes `na`, and any wavelength from 0.8 of that of emission.
    steps
        Of the phases: "even", "measured", or "auto", which takes uneven steps where they stand
        out from the error of measuring them, or where the microscope is not the ideal one in
        other respects and they are measured well.

    Returns
    -------
    Patterns
        With a sentence in `Pattern.reason` for every orientation that was not found.

    Raises
    ------
    InputError
        If frames or numbers cannot be what they are said to be, no pattern is found in any
        orientation, or orientations have the same angle.
    """
    pixel_size = voxel_sizes(pixel_size, 1, "The pixel size")[0]
    na, wavelength = checked_na(na), checked_wavelength(wavelength)
    if steps not in ("even", "measured", "auto"):
        raise InputError(
            "sim-steps-unknown", f"The phase steps are {steps!r}; give even, measured or auto."
        )
    if order not in (None, "orientation", "phase"):
        raise InputError(
            "frame-order-unknown",
            f"The order of frames is {order!r}; give orientation or phase, or leave it out to try "
            "both.",
        )
    pixels = layouts.as_raw(raw, orientations, phases)
    name = (raw.name if isinstance(raw, Image) else "") or "raw"
    rule = raw.pixel_rule if isinstance(raw, Image) else None
    width = width_from_cutoff(2 * na / wavelength * pixel_size)
    usable, said = layouts.usable_frames(pixels, rule, width=width, name=name)
    pixels = np.asarray(usable)
    warnings = [
        *said,
        *sampling_words(na, wavelength, pixel_size),
    ]
    mean = pixels.reshape(-1, *pixels.shape[-3:]).mean(axis=0, dtype=np.float64)
    mean -= layouts.offset_counts(offset, pixels.shape[-2:])

    bounds = _bounds(na, wavelength, excitation_na, excitation_wavelength)
    searches = _searches(orientations, period, angles, bounds)
    seen = Seen(Grid(pixels.shape[-2:], pixel_size), OTF(na, wavelength, pixel_size, otf or psf))
    chosen, (recording, groups, peaks) = _in_order(
        mean, orientations, phases, order, seen, searches, name
    )
    warnings += recording.warnings
    warnings.append(layouts.drift(recording.frames, pixel_size)[1])

    fits, seen = _fits(groups, peaks, seen, steps)
    patterns = _sound_patterns(fits, seen, name, chosen, order)
    warnings += [
        f"Orientation {number}: {pattern.reason}"
        for number, pattern in enumerate(patterns, 1)
        if pattern.reason
    ]
    return Patterns(
        orientations=patterns,
        pixel_size=pixel_size,
        na=na,
        wavelength=wavelength,
        shape=(int(pixels.shape[-2]), int(pixels.shape[-1])),
        order=chosen,
        brightness=tuple(tuple(row) for row in recording.factors.tolist()),
        warnings=tuple(warning for warning in warnings if warning),
        attenuation=seen.otf.attenuation,
    )


def _fits(
    groups: Sequence[Prepared], peaks: Sequence[list[Peak]], seen: Seen, steps: Steps
) -> tuple[list[Fit], Seen]:
    """Fit the fringes of each orientation, and find out how far the OTF falls short."""
    fits = [fitted(group, several, seen) for group, several in zip(groups, peaks, strict=True)]
    if not seen.otf.is_known:
        seen = replace(seen, otf=attenuated(fits, seen))
        fits = [fit.again(seen) for fit in fits]
    fits = [
        fit.again(seen, moved=fit.moved + off) if off.any() else fit
        for fit, off in zip(fits, deviations(fits, seen, steps), strict=True)
    ]
    return fits, seen


def _sound_patterns(
    fits: Sequence[Fit], seen: Seen, name: str, chosen: Order, order: Order | None
) -> tuple[Pattern, ...]:
    """Judge the patterns that were fitted; InputError where there is none, or two are one."""
    patterns = without_false_ones(tuple(map(_pattern, together(fits, seen))))
    refuse_coinciding(patterns, name, chosen, order)
    patterns = in_agreement(patterns)
    patterns = tuple(
        _with_hint(pattern, number, patterns) for number, pattern in enumerate(patterns)
    )
    if not any(pattern.found for pattern in patterns):
        raise _nothing_found(patterns, name, chosen, order)
    return patterns


# What is searched


def _bounds(
    na: float,
    wavelength: float,
    excitation_na: float | None,
    excitation_wavelength: float | None,
) -> tuple[float, float]:
    aperture = (
        na if excitation_na is None else checked_na(excitation_na, "The NA of the excitation")
    )
    light = _STOKES * wavelength
    if excitation_wavelength is not None:
        light = checked_wavelength(excitation_wavelength, "The excitation wavelength")
        if light >= wavelength:
            raise InputError(
                "wavelengths-swapped",
                f"The excitation wavelength is {nanometres((light,))} and that of emission "
                f"{nanometres((wavelength,))}; excitation has the shorter one, so check which is "
                "which.",
                excitation=light,
                emission=wavelength,
            )
    return _COARSEST * 2 * na / wavelength, 2 * aperture / light


def _searches(
    orientations: int,
    period: float | Sequence[float] | None,
    angles: Sequence[float] | None,
    bounds: tuple[float, float],
) -> list[Search]:
    least, most = bounds
    periods = [None] * orientations if period is None else _each(period, orientations, "The period")
    directions = (
        [None] * orientations if angles is None else _each(angles, orientations, "The angle")
    )
    searches = []
    for length, angle in zip(periods, directions, strict=True):
        if length is None:
            searches.append(Search(least, _BEYOND * most, angle))
            continue
        if length <= 0 or 1 / length > _BEYOND * most:
            raise InputError(
                "sim-period-impossible",
                f"A period of {1000 * length:g} nm is impossible for this objective, whose light "
                f"interferes at {1000 / most:.0f} nm or more; check the period, and the apertures "
                "and wavelengths.",
                period=length,
            )
        if 1 / length < 0.25 * least:
            raise InputError(
                "sim-period-impossible",
                f"A period of {in_both_units(length)} is far beyond the {1000 / least:.0f} nm up "
                "to which SIM gains resolution; check its unit.",
                period=length,
            )
        near = (1 / length * (1 - _NEAR), 1 / length * (1 + _NEAR))
        searches.append(Search(*near, angle, period=length))
    return searches


def _each(value: float | Sequence[float], count: int, name: str) -> list[float]:
    values = [finite(entry, name) for entry in np.atleast_1d(np.asarray(value)).tolist()]
    if len(values) == 1 and name == "The period":
        values *= count
    if len(values) != count:
        raise InputError(
            "sim-values-count",
            f"{name} has {len(values)} values for {count} orientations; give one for each.",
        )
    return values


# Frames, prepared once


@dataclass(frozen=True, eq=False)
class _Recording:
    """Frames in an order, (orientations, phases, Y, X), and the factors that make them even."""

    frames: NDArray[np.float32]
    factors: FloatArray
    warnings: tuple[str, ...] = ()

    def prepared(self, seen: Seen) -> list[Prepared]:
        level = self.frames.mean()
        rows = self.factors.astype(np.float32)[..., None, None]
        return [
            Prepared.of(group * row - level, seen)
            for group, row in zip(self.frames, rows, strict=True)
        ]


_Candidate = tuple[_Recording, list[Prepared], list[list[Peak]]]


def _in_order(
    mean: FloatArray,
    orientations: int,
    phases: int,
    order: Order | None,
    seen: Seen,
    searches: list[Search],
    name: str,
) -> tuple[Order, _Candidate]:
    """Take the frames in the order stated, or in that whose peaks stand out more."""
    found: dict[Order, _Candidate] = {}
    both: tuple[Order, ...] = ("orientation", "phase")
    least = min(search.least for search in searches)
    most = max(search.most for search in searches)
    for candidate in both:
        frames = layouts.by_orientation(mean, orientations, phases, candidate)
        recording = _Recording(frames, *layouts.equalising(frames, candidate, name=name))
        groups = recording.prepared(seen)
        peaks = []
        for prepared, search in zip(groups, searches, strict=True):
            go_on()
            heights = correlation_map(prepared.tapered, even_phases(phases), seen.grid, seen.otf)
            # Of a narrow search the noise is seen in a wider one.
            relative = relative_to_noise(heights, seen.grid, 0.8 * least, 1.1 * most)
            peaks.append(highest(relative, search, seen.grid))
        found[candidate] = recording, groups, peaks
        if orientations == 1:
            break
    height = {
        candidate: sum(several[0].snr for several in peaks)
        for candidate, (_, _, peaks) in found.items()
    }
    best = max(height, key=lambda candidate: height[candidate])
    if order is None:
        # The same fringes three times are high as well, where the order is the wrong one.
        sure = [
            candidate
            for candidate, (_, _, peaks) in found.items()
            if all(several[0].chance <= SURE for several in peaks)
            and not coinciding([_angle(several[0].frequency) for several in peaks])
        ]
        best = best if best in sure or not sure else sure[0]
        return best, found[best]
    if order != best and height[best] > _OTHER_ORDER * height.get(order, 0.0):
        raise InputError(
            "frame-order-wrong",
            f"No clear pattern is found in {name} taken {order} by {order}, but {best} by {best} "
            f"the peaks are {height[best] / height[order]:.1f} times as high",
            Remedy("frame-order", best),
        )
    return order, found[order]


def _angle(frequency: tuple[float, float]) -> float:
    return math.degrees(math.atan2(*frequency)) % 180


# What is said of it


def _pattern(fit: Fit) -> Pattern:
    ky, kx = fit.fringes.frequency
    phases = fit.phases
    angle = math.degrees(math.atan2(ky, kx))
    if not 0 <= angle < 180:
        # The same fringes, counted from the other side.
        angle, phases = angle % 180, -phases
    peak = fit.peak
    given = peak.given
    seen = fit.seen
    found = seen or given
    depth = min(fit.fringes.depth, 1.0)
    moves = _moves(phases)
    still = float(moves.max()) < _STILL or depth < _NO_DEPTH
    reason = ""
    if not seen and given:
        reason = (
            f"No peak stands out from the noise ({peak.snr:.1f} times its rms); the period and "
            "angle given were taken as they are, and the phases are uncertain."
        )
    elif not seen:
        reason = (
            f"No pattern is found: the highest peak is {peak.snr:.1f} times the rms of the noise, "
            f"which noise alone has with a chance of {100 * peak.chance:.0f} %; average more "
            "frames, or give period and angles."
        )
    elif still:
        found = given
        reason = (
            "No pattern is found: the fringes stand still from frame to frame, so that the frames "
            "are no phases of one orientation; check which axis of the file holds the frames."
        )
    elif depth < SHALLOW:
        reason = (
            f"The depth is {depth:.2f}, below {SHALLOW:g}, so that the order is weak and its "
            "detail mostly noise; check the polarisation, the focus and light out of focus."
        )
    unrivalled = min(1.0, (1 - fit.rival) / _CLEAR)
    steady = 0.0 if still else min(1.0, _UNEVEN / max(float(np.abs(moves - 1).max()), 1e-9))
    confidence = (1 - peak.chance) * min(1.0, depth / SHALLOW) * unrivalled * steady
    turned = tuple(math.remainder(float(phase), 2 * math.pi) for phase in phases)
    return Pattern(
        period=1 / math.hypot(ky, kx),
        angle=angle,
        phases=turned,
        depth=depth,
        confidence=max(0.0, min(confidence, 1.0)),
        peak_snr=peak.snr,
        found=found,
        reason=reason,
    )


def _moves(phases: FloatArray) -> FloatArray:
    """Give the steps from phase to phase, in even ones."""
    steps = np.diff(np.append(phases, phases[0]))
    off = np.abs(np.remainder(steps + np.pi, 2 * np.pi) - np.pi)
    return np.asarray(off * len(phases) / (2 * np.pi))


def _with_hint(pattern: Pattern, number: int, patterns: tuple[Pattern, ...]) -> Pattern:
    """Say of an orientation that was not found where the others let it be expected."""
    others = [other for other in patterns if other.found]
    if pattern.found or len(others) != 2 or len(patterns) != 3:
        return pattern
    doubled = [2 * math.radians(other.angle) for other in others]
    between = abs((others[0].angle - others[1].angle + 90) % 180 - 90)
    if not 50 < between < 70:
        return pattern
    opposite = math.atan2(-sum(map(math.sin, doubled)), -sum(map(math.cos, doubled)))
    angle = math.degrees(opposite / 2) % 180
    period = sum(other.period for other in others) / 2
    hint = (
        f" The other two let it be expected near {angle:.0f} degrees with a period of "
        f"{1000 * period:.0f} nm."
    )
    return replace(pattern, reason=pattern.reason + hint)


def _nothing_found(
    patterns: tuple[Pattern, ...], name: str, chosen: Order, asked: Order | None
) -> InputError:
    heights = ", ".join(f"{pattern.peak_snr:.1f}" for pattern in patterns)
    tried = "in both orders of frames" if asked is None else f"{chosen} by {chosen}"
    return InputError(
        "sim-pattern-not-found",
        f"No pattern is found in any orientation of {name} {tried} (highest peaks {heights} times "
        "the noise): check that these are raw frames in focus, the pixel size, wavelength and NA, "
        "or give period and angles.",
    )
