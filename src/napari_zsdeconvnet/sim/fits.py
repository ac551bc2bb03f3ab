"""The fringes of each orientation, fitted to its frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.stats import chi2

from ..utils.phases import go_on
from .orders import ComplexArray, FloatArray, Grid, even_phases, noise_power, unmixing
from .otf import OTF
from .overlap import Fringes, Overlap
from .peaks import SURE, Peak
from .steps import uneven_steps

Steps = Literal["even", "measured", "auto"]

_MEASURABLE = math.radians(7)  # error of a step above which it says nothing
_EXPECTED = math.radians(4.5)  # error of a step up to which uneven ones are taken as measured
_SIGNIFICANT = 0.9999  # with which phase steps must be uneven; their errors are estimates, too
_ATTENUATIONS = (1.0, 0.7, 0.5, 0.35, 0.25, 0.18, 0.12)
_USUAL_DEPTH = 0.7
_COMPARED = (0.2, 0.8)  # of the cutoff, between which orders 0 are compared
_REACH = 3  # steps of the grid about a peak, so that those left out between two are looked at
_AGAIN = 1  # steps of the grid, where the frequency is known already


@dataclass(frozen=True)
class Seen:
    """The grid of the frames and the microscope."""

    grid: Grid
    otf: OTF


@dataclass(frozen=True, eq=False)
class Prepared:
    """Frames of one orientation, and what is made of them.

    Attributes
    ----------
    frames
        Equally bright and without their common mean, (phases, Y, X).
    spectra
        Of the frames as they are; a taper would bend the fit of the frequency.
    tapered
        Spectra of the frames with their borders tapered, whose steps look like structure and,
        beyond the cutoff, like noise.
    noise
        Its power in each order.
    """

    frames: NDArray[np.float32]
    spectra: ComplexArray
    tapered: ComplexArray
    noise: float

    @classmethod
    def of(cls, frames: NDArray[np.float32], seen: Seen) -> Prepared:
        """Transform frames, and measure their noise beyond the cutoff."""
        tapered = fft.fft2(frames * seen.grid.borders, workers=-1)
        power = noise_power(tapered, seen.grid.radius, seen.otf.cutoff).mean() / len(frames)
        noise = float(power / (seen.grid.borders**2).mean())
        return cls(frames, fft.fft2(frames, workers=-1), tapered, noise)

    def orders(self, phases: FloatArray) -> tuple[ComplexArray, ComplexArray]:
        """Take the orders 0 and +1 apart; their spectra, (Y, X)."""
        separate = unmixing(phases)[:2].astype(np.complex64)
        zeroth, first = np.tensordot(separate, self.spectra, 1)
        return zeroth, first


@dataclass(frozen=True, eq=False)
class Fit:
    """The fringes of one orientation, and the peak where they were found.

    Attributes
    ----------
    prepared
        Its frames.
    peak
        Of the correlation of the orders.
    moved
        Radians by which each frame is ahead of the first one, about.
    fringes
        What the orders tell with the frames moved so.
    rival
        How much of the order is explained about another peak elsewhere, over what is here.
    """

    prepared: Prepared
    peak: Peak
    moved: FloatArray
    fringes: Fringes
    rival: float = 0.0

    @property
    def seen(self) -> bool:
        """Whether the peak stands out from the noise."""
        return self.peak.chance <= SURE

    @property
    def phases(self) -> FloatArray:
        """Radians of each frame, at the centre of the image."""
        return self.moved + self.fringes.turn

    def again(
        self,
        seen: Seen,
        moved: FloatArray | None = None,
        common: tuple[ComplexArray, float] | None = None,
    ) -> Fit:
        """Fit once more from where the fringes are.

        With other optics or steps, or with an order 0 in common with other orientations, that
        has less noise: its spectrum and the power of its noise.
        """
        moved = self.moved if moved is None else moved
        zeroth, first = self.prepared.orders(moved)
        noise = self.prepared.noise
        zeroth, less = common or (zeroth, noise)
        overlap = Overlap(self.fringes.frequency, self.fringes.depth, seen.grid, seen.otf)
        reach = _AGAIN if self.seen or not self.peak.given else 0
        agreement = self.fringes.agreement
        unexplained = 0.0
        if seen.otf.attenuation < 1 and agreement is not None:
            # One number makes an OTF about right; an ideal one or that of a file is taken as exact.
            unexplained = max(1 - agreement**2, 0.0)
        fringes = overlap.fringes(zeroth, first, (less, noise), reach, unexplained)
        return replace(self, moved=moved, fringes=fringes)


def fitted(prepared: Prepared, peaks: Sequence[Peak], seen: Seen) -> Fit:
    """Take of several peaks that about which the orders agree best, the steps being even."""
    moved = even_phases(len(prepared.frames))
    orders = prepared.orders(moved)
    fits = []
    for peak in peaks:
        go_on()
        overlap = Overlap(peak.frequency, _USUAL_DEPTH, seen.grid, seen.otf)
        reach = _REACH if peak.chance <= SURE or not peak.given else 0
        fringes = overlap.fringes(*orders, (prepared.noise,) * 2, reach)
        fits.append(Fit(prepared, peak, moved, fringes))
    best = max(fits, key=lambda fit: fit.fringes.explained)
    rivals = [fit.fringes.explained for fit in fits if _elsewhere(fit, best, seen.grid)]
    rival = max(rivals, default=0.0) / max(best.fringes.explained, 1e-30)
    return replace(best, rival=rival).again(seen)


def _elsewhere(one: Fit, other: Fit, grid: Grid) -> bool:
    """Tell whether two fits are of different fringes, and not of one peak between its steps."""
    here, there = np.array(one.fringes.frequency), np.array(other.fringes.frequency)
    apart = min(np.hypot(*(here - there)), np.hypot(*(here + there)))
    return bool(apart > 2 * _REACH * max(grid.step))


def attenuated(fits: Sequence[Fit], seen: Seen) -> OTF:
    """Find the attenuation of the OTF with which the orders agree best.

    The first order shows at high frequencies what the zeroth shows at low ones, and so how
    much less of it passes there.
    """
    total = np.zeros(len(_ATTENUATIONS))
    for fit in fits:
        if not fit.seen:
            continue
        orders = fit.prepared.orders(fit.moved)
        values = []
        for attenuation in _ATTENUATIONS:
            go_on()
            otf = _with(seen.otf, attenuation)
            overlap = Overlap(fit.fringes.frequency, _USUAL_DEPTH, seen.grid, otf)
            values.append(overlap.fringes(*orders, (fit.prepared.noise,) * 2, 0).agreement)
        if all(value is not None for value in values):
            total += np.array(values)
    # What an ideal microscope explains nearly as well is not worth departing from it.
    best = int(total.argmax())
    if total[best] < 1.005 * total[0]:
        return seen.otf
    return _with(seen.otf, _ATTENUATIONS[best])


def _with(otf: OTF, attenuation: float) -> OTF:
    return OTF(otf.na, otf.wavelength, otf.pixel_size, attenuation=attenuation)


def together(fits: Sequence[Fit], seen: Seen) -> list[Fit]:
    """Fit once more with the mean order 0 of all orientations, if it is the same in all.

    The sample is, so that the mean has less noise. But what moves, or has more light in one
    orientation than in another, would turn the phases: if the orders differ by more than
    noise, each orientation keeps its own.
    """
    noise = float(np.mean([fit.prepared.noise for fit in fits]))
    least, most = (share * seen.otf.cutoff for share in _COMPARED)
    band = (seen.grid.radius > least) & (seen.grid.radius < most)
    zeroths = np.stack([fit.prepared.orders(fit.moved)[0] for fit in fits])
    mean = zeroths.mean(axis=0)
    others = len(fits) - 1
    # Half of the frequencies repeat the other half.
    freedom = others * np.count_nonzero(band)
    power = float((np.abs((zeroths - mean)[:, band]) ** 2).sum(dtype=float))
    if not freedom or power > noise * float(chi2.ppf(_SIGNIFICANT, freedom)):
        return list(fits)
    return [fit.again(seen, common=(mean, noise / len(fits))) for fit in fits]


def deviations(fits: Sequence[Fit], seen: Seen, steps: Steps) -> list[FloatArray]:
    """Measure uneven steps where they are asked for or to be expected, otherwise take even ones.

    They are to be expected where they stand out from their errors, and in a microscope that is
    not the ideal one in other respects either: there an error of measuring them is no worse
    than that of taking them for exact. All orientations are judged together, since one
    mechanism moves the fringes of all.
    """
    even = [np.zeros(len(fit.moved)) for fit in fits]
    if steps == "even":
        return even
    measured = [
        _uneven(fit, seen) if fit.seen else (none, math.inf)
        for fit, none in zip(fits, even, strict=True)
    ]
    if steps == "measured":
        return [off for off, _ in measured]
    if seen.otf.attenuation < 1:
        return [
            off if error < _EXPECTED else none
            for (off, error), none in zip(measured, even, strict=True)
        ]
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


def _uneven(fit: Fit, seen: Seen) -> tuple[FloatArray, float]:
    window = seen.grid.window
    return uneven_steps(
        fit.prepared.frames * window,
        fit.prepared.noise * float((window**2).mean()),
        fit.fringes.frequency,
        fit.fringes.depth,
        seen.grid,
        seen.otf,
    )
