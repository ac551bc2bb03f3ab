"""Estimate the illumination patterns of a raw SIM recording."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft
from scipy.stats import chi2

from ..errors import InputError
from ..images import Image
from ..noise import NoiseModel
from ..psf import PSF
from ..psf_checks import checked_na, checked_wavelength, finite, sampling_words, voxel_sizes
from . import frames as layouts
from .orders import ComplexArray, FloatArray, Grid, even_phases, noise_power, unmixing
from .otf import OTF
from .patterns import SHALLOW, Order, Pattern, Patterns
from .peaks import SURE, Peak, Search, correlation_map, highest, refined, relative_to_noise
from .regression import Overlap, agreement, depth_and_turn, uneven_steps

Steps = Literal["even", "measured", "auto"]

_COARSEST = 0.35  # lowest frequency searched, in units of the OTF's cutoff
_STOKES = 0.8  # excitation wavelength over emission wavelength, at least
_NEAR = 0.05  # relative difference to a period that is given
_MEASURABLE = math.radians(7)  # error of a step above which it says nothing
_SIGNIFICANT = 0.99  # with which phase steps must be uneven to be taken so
_OTHER_ORDER = 1.5  # times higher peaks, from which on the other order of frames is right
_ATTENUATIONS = (1.0, 0.7, 0.5, 0.35, 0.25, 0.18, 0.12)
_USUAL_DEPTH = 0.7


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

    For each orientation the cross-correlation of the orders 0 and +1 is searched for a peak
    within what the optics allow; its frequency is refined between the steps of the grid, and
    phases and depth follow from regressing one order on the other.

    Parameters
    ----------
    raw
        Counts, (orientations * phases, Y, X), or (T, orientations * phases, Y, X), which is
        averaged over time.
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
        Of the phases: "even", "measured", or "auto", which takes uneven steps only where they
        stand out from the error of measuring them.

    Returns
    -------
    Patterns
        With a sentence in `Pattern.reason` for every orientation that was not found.

    Raises
    ------
    InputError
        If frames or numbers cannot be what they are said to be, or no pattern is found in any
        orientation.
    """
    pixel_size = voxel_sizes(pixel_size, 1, "pixel_size")[0]
    na, wavelength = checked_na(na), checked_wavelength(wavelength)
    if steps not in ("even", "measured", "auto"):
        raise InputError(f'steps is {steps!r}; give "even", "measured" or "auto".')
    if order not in (None, "orientation", "phase"):
        raise InputError(f'order is {order!r}; give "orientation", "phase", or None to try both.')
    pixels = layouts.as_raw(raw, orientations, phases)
    name = (raw.name if isinstance(raw, Image) else "") or "raw"
    warnings = [
        *layouts.check_counts(pixels, name=name),
        *sampling_words(na, wavelength, pixel_size),
    ]
    mean = pixels.reshape(-1, *pixels.shape[-3:]).mean(axis=0, dtype=np.float64)
    mean -= layouts.offset_counts(offset, pixels.shape[-2:])

    bounds = _bounds(na, wavelength, excitation_na, excitation_wavelength)
    searches = _searches(orientations, period, angles, bounds)
    seen = _Seen(Grid(pixels.shape[-2:], pixel_size), OTF(na, wavelength, pixel_size, otf or psf))
    chosen, recording, searched = _in_order(mean, orientations, phases, order, seen, searches, name)
    warnings += recording.warnings
    warnings.append(layouts.drift(recording.frames, pixel_size)[1])

    fits = [
        _fitted(prepared, peak, seen)
        for prepared, peak in zip(recording.orientations, searched, strict=True)
    ]
    if not seen.otf.is_known:
        seen = replace(seen, otf=_attenuated(fits, seen))
        fits = [_fitted(fit.prepared, fit.peak, seen, fit.frequency) for fit in fits]
    deviations = _deviations(fits, seen, steps)
    patterns = tuple(
        _pattern(_turned(fit, off, seen)) for fit, off in zip(fits, deviations, strict=True)
    )
    patterns = tuple(
        _with_hint(pattern, number, patterns) for number, pattern in enumerate(patterns)
    )
    if not any(pattern.found for pattern in patterns):
        raise InputError(_nothing_found(patterns, name, chosen, order))
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


# What is searched


@dataclass(frozen=True)
class _Seen:
    """The grid of the frames and the microscope."""

    grid: Grid
    otf: OTF

    @property
    def independent(self) -> float:
        """Share of the frequencies that are independent after the taper."""
        power = self.grid.window.astype(float) ** 2
        return float(power.sum() ** 2 / (power**2).sum() / power.size)


def _bounds(
    na: float,
    wavelength: float,
    excitation_na: float | None,
    excitation_wavelength: float | None,
) -> tuple[float, float]:
    aperture = na if excitation_na is None else checked_na(excitation_na, "excitation_na")
    light = _STOKES * wavelength
    if excitation_wavelength is not None:
        light = checked_wavelength(excitation_wavelength, "excitation_wavelength")
        if light >= wavelength:
            raise InputError(
                f"excitation_wavelength is {light:g} um and that of emission {wavelength:g}; "
                "excitation has the shorter one, so check which is which."
            )
    return _COARSEST * 2 * na / wavelength, 2 * aperture / light


def _searches(
    orientations: int,
    period: float | Sequence[float] | None,
    angles: Sequence[float] | None,
    bounds: tuple[float, float],
) -> list[Search]:
    least, most = bounds
    periods = [None] * orientations if period is None else _each(period, orientations, "period")
    directions = [None] * orientations if angles is None else _each(angles, orientations, "angles")
    searches = []
    for length, angle in zip(periods, directions, strict=True):
        if length is None:
            searches.append(Search(least, most, angle))
            continue
        if length <= 0 or 1 / length > 1.02 * most:
            raise InputError(
                f"A period of {1000 * length:g} nm is impossible for this objective, whose light "
                f"interferes at {1000 / most:.0f} nm or more; check the period, in micrometres, "
                "and the apertures and wavelengths."
            )
        if 1 / length < 0.25 * least:
            raise InputError(
                f"A period of {length:g} um is far beyond the {1 / least:.2g} um up to which SIM "
                "gains resolution; check that it is in micrometres."
            )
        near = (1 / length * (1 - _NEAR), 1 / length * (1 + _NEAR))
        searches.append(Search(*near, angle, period=length))
    return searches


def _each(value: float | Sequence[float], count: int, name: str) -> list[float]:
    values = [finite(entry, name) for entry in np.atleast_1d(np.asarray(value)).tolist()]
    if len(values) == 1 and name == "period":
        values *= count
    if len(values) != count:
        raise InputError(
            f"{name} has {len(values)} values for {count} orientations; give one for each."
        )
    return values


# Frames, prepared once


@dataclass(frozen=True, eq=False)
class _Prepared:
    """Tapered frames of one orientation, their spectra, and the noise in one order."""

    frames: NDArray[np.float32]
    spectra: ComplexArray
    noise: float


@dataclass(frozen=True, eq=False)
class _Recording:
    frames: NDArray[np.float32]
    factors: FloatArray
    warnings: tuple[str, ...]
    orientations: tuple[_Prepared, ...]


def _prepared(
    mean: FloatArray, orientations: int, phases: int, order: Order, seen: _Seen, name: str
) -> _Recording:
    frames = layouts.by_orientation(mean, orientations, phases, order)
    factors, warnings = layouts.equalising(frames, order, name=name)
    level = frames.mean()
    prepared = []
    for group, row in zip(frames, factors.astype(np.float32), strict=True):
        tapered = (group * row[:, None, None] - level) * seen.grid.window
        spectra = fft.fft2(tapered, workers=-1)
        noise = noise_power(spectra, seen.grid.radius, seen.otf.cutoff).mean() / phases
        prepared.append(_Prepared(tapered, spectra, float(noise)))
    return _Recording(frames, factors, warnings, tuple(prepared))


def _in_order(
    mean: FloatArray,
    orientations: int,
    phases: int,
    order: Order | None,
    seen: _Seen,
    searches: list[Search],
    name: str,
) -> tuple[Order, _Recording, list[Peak]]:
    """Take the frames in the order stated, or in that whose peaks stand out more."""
    found: dict[Order, tuple[_Recording, list[Peak]]] = {}
    both: tuple[Order, ...] = ("orientation", "phase")
    for candidate in both:
        recording = _prepared(mean, orientations, phases, candidate, seen, name)
        least = min(search.least for search in searches)
        most = max(search.most for search in searches)
        peaks = []
        for prepared, search in zip(recording.orientations, searches, strict=True):
            heights = correlation_map(prepared.spectra, even_phases(phases), seen.grid, seen.otf)
            # Of a narrow search the noise is seen in a wider one.
            relative = relative_to_noise(heights, seen.grid, 0.8 * least, 1.1 * most)
            peaks.append(highest(relative, search, seen.grid))
        found[candidate] = recording, peaks
        if orientations == 1:
            break
    height = {name_: sum(peak.snr for peak in peaks) for name_, (_, peaks) in found.items()}
    best = max(height, key=lambda candidate: height[candidate])
    if order is None:
        return best, *found[best]
    if order != best and height[best] > _OTHER_ORDER * height.get(order, 0.0):
        raise InputError(
            f'No clear pattern is found in {name} with order="{order}", but with order="{best}" '
            f"the peaks are {height[best] / height[order]:.1f} times as high; give that."
        )
    return order, *found[order]


# One orientation


@dataclass(frozen=True, eq=False)
class _Fit:
    prepared: _Prepared
    peak: Peak
    frequency: tuple[float, float]
    phases: FloatArray
    depth: float
    depth_error: float


def _fitted(
    prepared: _Prepared, peak: Peak, seen: _Seen, start: tuple[float, float] | None = None
) -> _Fit:
    """Refine the frequency with even steps of the phases, and find their turn and the depth."""
    phases = even_phases(len(prepared.frames))
    zeroth, first = _orders(prepared, phases)
    frequency, depth = start or peak.frequency, _USUAL_DEPTH
    if start is None and (peak.chance <= SURE or not peak.given):
        frequency = refined(prepared.spectra, phases, frequency, seen.grid, seen.otf)
    overlap = Overlap(frequency, depth, seen.grid, seen.otf)
    depth, error, turn = depth_and_turn(zeroth, first, prepared.noise, overlap, seen.independent)
    return _Fit(prepared, peak, frequency, phases + turn, depth, error)


def _orders(prepared: _Prepared, phases: FloatArray) -> tuple[ComplexArray, ComplexArray]:
    separate = unmixing(phases).astype(np.complex64)
    zeroth, first = np.tensordot(separate[:2], prepared.frames, 1)
    return zeroth.real, first


def _attenuated(fits: list[_Fit], seen: _Seen) -> OTF:
    """Find the attenuation of the OTF with which the orders agree best.

    The first order shows at high frequencies what the zeroth shows at low ones, and so how
    much less of it passes there.
    """
    total = np.zeros(len(_ATTENUATIONS))
    for fit in fits:
        if fit.peak.chance > SURE:
            continue
        zeroth, first = _orders(fit.prepared, fit.phases)
        values = [
            agreement(
                zeroth,
                first,
                fit.prepared.noise,
                Overlap(fit.frequency, _USUAL_DEPTH, seen.grid, _with(seen.otf, attenuation)),
            )
            for attenuation in _ATTENUATIONS
        ]
        if all(value is not None for value in values):
            total += np.array(values)
    # What an ideal microscope explains nearly as well is not worth departing from it.
    best = int(total.argmax())
    if total[best] < 1.005 * total[0]:
        return seen.otf
    return _with(seen.otf, _ATTENUATIONS[best])


def _with(otf: OTF, attenuation: float) -> OTF:
    return OTF(otf.na, otf.wavelength, otf.pixel_size, attenuation=attenuation)


def _deviations(fits: list[_Fit], seen: _Seen, steps: Steps) -> list[FloatArray]:
    """Measure uneven steps where they are asked for or stand out, otherwise take even ones.

    All orientations are judged together, since one mechanism moves the fringes of all.
    """
    even = [np.zeros(len(fit.phases)) for fit in fits]
    if steps == "even":
        return even
    measured = [
        uneven_steps(
            fit.prepared.frames, fit.prepared.noise, fit.frequency, fit.depth, seen.grid, seen.otf
        )
        if fit.peak.chance <= SURE
        else (none, math.inf)
        for fit, none in zip(fits, even, strict=True)
    ]
    if steps == "measured":
        return [off for off, _ in measured]
    usable = [(off, error) for off, error in measured if 0 < error < _MEASURABLE]
    freedom = sum(len(off) - 1 for off, _ in usable)
    excess = sum(
        float((off**2).sum()) / error**2 * (len(off) - 1) / len(off) for off, error in usable
    )
    if not usable or excess < float(chi2.ppf(_SIGNIFICANT, freedom)):
        return even
    # What is left of a deviation that is partly error (James and Stein 1961).
    spread = max(float(np.mean([(off**2).mean() - error**2 for off, error in usable])), 0.0)
    return [
        off * (spread / (spread + error**2) if error < math.inf else 0.0) for off, error in measured
    ]


def _turned(fit: _Fit, deviations: FloatArray, seen: _Seen) -> _Fit:
    """Take uneven steps over, and find turn and depth anew."""
    if not deviations.any():
        return fit
    phases = fit.phases + deviations
    overlap = Overlap(fit.frequency, fit.depth, seen.grid, seen.otf)
    depth, error, turn = depth_and_turn(
        *_orders(fit.prepared, phases), fit.prepared.noise, overlap, seen.independent
    )
    return replace(fit, phases=phases + turn, depth=depth, depth_error=error)


# What is said of it


def _pattern(fit: _Fit) -> Pattern:
    ky, kx = fit.frequency
    phases = fit.phases
    angle = math.degrees(math.atan2(ky, kx))
    if not 0 <= angle < 180:
        # The same fringes, counted from the other side.
        angle, phases = angle % 180, -phases
    peak = fit.peak
    given = peak.given
    seen = peak.chance <= SURE
    found = seen or given
    depth = min(fit.depth, 1.0)
    reason = ""
    if not seen and given:
        reason = (
            f"No peak stands out from the noise ({peak.snr:.1f} times its rms); the period and "
            "angle given were taken as they are, and the phases are uncertain."
        )
    elif not seen:
        reason = (
            f"No pattern is found: the highest peak is {peak.snr:.1f} times the rms of the noise, "
            f"which noise alone has with a chance of {peak.chance:.0%}; average more frames, or "
            "give period and angles."
        )
    elif depth < SHALLOW:
        reason = (
            f"The depth is {depth:.2f}, below {SHALLOW:g}, so that the order is weak and its "
            "detail mostly noise; check the polarisation, the focus and light out of focus."
        )
    confidence = (1 - peak.chance) * min(1.0, depth / SHALLOW)
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
) -> str:
    heights = ", ".join(f"{pattern.peak_snr:.1f}" for pattern in patterns)
    tried = "in both orders of frames" if asked is None else f'with order="{chosen}"'
    return (
        f"No pattern is found in any orientation of {name} {tried} (highest peaks {heights} times "
        "the noise): check that these are raw frames in focus, the pixel size, wavelength and NA, "
        "or give period and angles."
    )
