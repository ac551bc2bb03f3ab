r"""The illumination of a raw SIM recording: what was estimated, what is saved and reused.

Frame p of an orientation is lit by

.. math:: 1 + m \cos\bigl(2\pi k \cdot (r - c) + \varphi_p\bigr)

with the frequency :math:`k`, the depth :math:`m` and the centre :math:`c` of the image, that
is, half its height and half its width. There the phases are known best: an error of the
frequency turns them at the corners and not in the middle. The centre is that of the area, not
of a pixel, so that it is the same on the raw grid and on the doubled one.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from ..utils.errors import InputError
from ..utils.files import written_whole
from ..utils.json_values import built, entries, fitting, known_of, read_from, refuse_infinite

Order = Literal["orientation", "phase"]

SHALLOW = 0.2
"""Depth below which the extra resolution is mostly noise."""

_FORMAT = "napari-zsdeconvnet SIM patterns"
_VERSION = 1


@dataclass(frozen=True)
class Pattern:
    """The fringes of one orientation.

    Attributes
    ----------
    period
        Micrometres.
    angle
        Degrees from 0 to 180 in which the light varies, across the fringes: 0 along X, 90
        along Y, that is, down the rows.
    phases
        Of each frame, radians, at the centre of the image.
    depth
        Modulation depth, 0 to 1.
    confidence
        0 to 1: how sure it is that the frequency is that of the fringes. Less where noise may
        have such a peak, another peak explains the order nearly as well, the depth is small, or
        angle and period do not fit the other orientations.
    peak_snr
        Height of the correlation peak over the noise around it.
    found
        False where the fringes could not be told from noise; the other values are then the
        best guess, and a reconstruction leaves the orientation out.
    reason
        What was not found and what to do, one sentence; empty where all is well.
    """

    period: float
    angle: float
    phases: tuple[float, ...]
    depth: float
    confidence: float = 1.0
    peak_snr: float = math.inf
    found: bool = True
    reason: str = ""

    @property
    def frequency(self) -> tuple[float, float]:
        """The frequency (ky, kx) in cycles per micrometre."""
        angle = math.radians(self.angle)
        return math.sin(angle) / self.period, math.cos(angle) / self.period

    @property
    def steps(self) -> tuple[float, ...]:
        """Degrees from each phase to the next, and from the last to the first, -180 to 180."""
        following = (*self.phases[1:], self.phases[0])
        return tuple(
            math.degrees(math.remainder(after - before, 2 * math.pi))
            for before, after in zip(self.phases, following, strict=True)
        )


@dataclass(frozen=True)
class Patterns(Sequence[Pattern]):
    """The patterns of a recording, with what it takes to reconstruct it.

    Attributes
    ----------
    orientations
        One pattern each.
    pixel_size
        Of the raw frames, micrometres.
    na
        Numerical aperture that collects the light.
    wavelength
        Of the emitted light, micrometres.
    shape
        Rows and columns of a raw frame.
    order
        "orientation" where the phases of one orientation follow each other, "phase" where the
        orientations of one phase do.
    brightness
        Factor for each frame, ``[orientation][phase]``, that makes the frames equally bright.
    warnings
        What the user should know, one sentence each.
    attenuation
        By which the microscope's OTF falls short of an ideal one's towards the cutoff, as the
        orders told; 1 where a PSF was given. See `OTF`.
    """

    orientations: tuple[Pattern, ...]
    pixel_size: float
    na: float
    wavelength: float
    shape: tuple[int, int]
    order: Order = "orientation"
    brightness: tuple[tuple[float, ...], ...] = ()
    warnings: tuple[str, ...] = ()
    attenuation: float = 1.0

    def __post_init__(self) -> None:
        counts = {len(pattern.phases) for pattern in self.orientations}
        if len(counts) != 1 or min(counts) < 3:
            raise InputError(
                "patterns-inconsistent",
                f"The orientations have {sorted(counts)} phases; give each of them the same "
                "number, three or more.",
            )
        if self.order not in ("orientation", "phase"):
            raise InputError(
                "frame-order-unknown", f'order is {self.order!r}; give "orientation" or "phase".'
            )
        if not self.brightness:
            even = tuple((1.0,) * self.phases for _ in self.orientations)
            object.__setattr__(self, "brightness", even)
        if [len(row) for row in self.brightness] != [self.phases] * len(self.orientations):
            raise InputError(
                "patterns-inconsistent",
                f"brightness has {[len(row) for row in self.brightness]} factors; give one for "
                f"each of {self.phases} phases of {len(self.orientations)} orientations.",
            )

    def __len__(self) -> int:
        return len(self.orientations)

    @overload
    def __getitem__(self, index: int) -> Pattern: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Pattern, ...]: ...
    def __getitem__(self, index: int | slice) -> Pattern | tuple[Pattern, ...]:
        return self.orientations[index]

    def __iter__(self) -> Iterator[Pattern]:
        return iter(self.orientations)

    @property
    def phases(self) -> int:
        """Number of phases of each orientation."""
        return len(self.orientations[0].phases)

    @property
    def found(self) -> tuple[Pattern, ...]:
        """The orientations that a reconstruction uses."""
        return tuple(pattern for pattern in self.orientations if pattern.found)

    def report(self) -> str:
        """Return what was found as plain text, a line for each orientation."""
        lines = [f"{head}: {text}" if head else text for head, text in self.findings()]
        return "\n".join([*lines, *(f"Note: {warning}" for warning in self.warnings)])

    def findings(self) -> list[tuple[str, str]]:
        """Return the lines of the report before its notes: what each is of, and what it says."""
        lines = [
            (
                "",
                f"{len(self.found)} of {len(self)} orientations found, {self.phases} phases each, "
                f"{self.order} by {self.order} ({self.shape[0]} x {self.shape[1]} pixels of "
                f"{1000 * self.pixel_size:.4g} nm, NA {self.na:g}, emission "
                f"{1000 * self.wavelength:.4g} nm)",
            )
        ]
        for number, pattern in enumerate(self.orientations, 1):
            steps = ", ".join(f"{abs(step):.1f}" for step in pattern.steps)
            text = (
                f"period {1000 * pattern.period:.2f} nm, angle {pattern.angle:.2f} degrees, depth "
                f"{pattern.depth:.2f}, phase steps {steps} degrees, peak {pattern.peak_snr:.3g} "
                f"times the noise, confidence {100 * pattern.confidence:.0f} %"
            )
            found = "" if pattern.found else "; NOT FOUND"
            lines.append((f"Orientation {number}", text + found))
            if pattern.reason:
                lines.append(("", f"  {pattern.reason}"))
        return lines

    def __str__(self) -> str:
        return self.report()

    def illumination(
        self, shape: tuple[int, int] | None = None, factor: int = 2
    ) -> NDArray[np.float32]:
        """Draw the patterns, (frames, factor * Y, factor * X), mean 1, in the recording's order.

        Parameters
        ----------
        shape
            Rows and columns of a raw frame; None takes that of the recording.
        factor
            Pixels drawn per raw pixel along Y and X.
        """
        rows, columns = shape or self.shape
        step = self.pixel_size / factor
        y = (np.arange(rows * factor) - (rows * factor - 1) / 2) * step
        x = (np.arange(columns * factor) - (columns * factor - 1) / 2) * step
        drawn = []
        for pattern in self.orientations:
            ky, kx = pattern.frequency
            across = 2 * np.pi * (ky * y[:, None] + kx * x)
            drawn += [1 + pattern.depth * np.cos(across + phase) for phase in pattern.phases]
        frames = np.array(drawn, dtype=np.float32)
        return frames if self.order == "orientation" else self._by_phase(frames)

    def _by_phase(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        split = frames.reshape(len(self), self.phases, *frames.shape[1:])
        return split.swapaxes(0, 1).reshape(frames.shape)

    def cropped(self, top: int, left: int, shape: tuple[int, int]) -> Patterns:
        """Return the patterns of a part of the frames, the phases quoted at its own centre."""
        dy, dx = (
            (start + size / 2 - whole / 2) * self.pixel_size
            for start, size, whole in zip((top, left), shape, self.shape, strict=True)
        )
        moved = tuple(
            replace(
                pattern,
                phases=tuple(
                    math.remainder(
                        phase
                        + 2 * math.pi * (pattern.frequency[0] * dy + pattern.frequency[1] * dx),
                        2 * math.pi,
                    )
                    for phase in pattern.phases
                ),
            )
            for pattern in self.orientations
        )
        return replace(self, orientations=moved, shape=shape)

    # The file

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, strings and lists, ready for JSON."""
        values = entries(self)
        for pattern in values["orientations"]:
            if math.isinf(pattern["peak_snr"]):
                pattern["peak_snr"] = None  # JSON knows no infinity
        return {"format": _FORMAT, "version": _VERSION, **values}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Patterns:
        """Rebuild patterns from what `to_dict` returned.

        Raises
        ------
        InputError
            If it is something else, of a newer version, or an entry is missing.
        """
        if not isinstance(values, Mapping) or values.get("format") != _FORMAT:
            raise InputError(
                "no-sim-patterns", "This holds no SIM patterns; give those that were saved as such."
            )
        version = values.get("version", 0)
        if not isinstance(version, int) or version > _VERSION:
            raise InputError(
                "format-too-new",
                f"The patterns are of version {version!r:.60} and this package reads up to "
                f"{_VERSION}; update the package.",
            )
        try:
            made = built(cls, known_of(cls, values), orientations=_orientations(values))
            refuse_infinite(entries(made, "orientations"))
            if min(made.pixel_size, made.na, made.wavelength) <= 0:
                raise ValueError("a length or the aperture is not above zero")
            return made
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                "patterns-damaged",
                f"The patterns are incomplete or damaged ({error}); estimate and save them again.",
            ) from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the patterns as JSON, whole or not at all.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        with written_whole(path) as temporary:
            temporary.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Patterns:
        """Read patterns that `save` wrote.

        Raises
        ------
        InputError
            If the file cannot be read or holds something else.
        """
        return read_from(path, cls.from_dict, "a file of SIM patterns")


def check_reconstruction(values: Mapping[str, Any]) -> None:
    """Check what `sim.Reconstruction.to_dict` gave, without making one.

    Raises
    ------
    InputError
        If patterns or a number are missing or damaged.
    """
    try:
        Patterns.from_dict(values["patterns"])
        for name in ("wiener", "notch", "notch_width", "apodisation"):
            fitting(values[name], float, name)
    except (KeyError, TypeError) as error:
        raise InputError(
            "reconstruction-damaged",
            f"The reconstruction is incomplete ({error}); estimate it again.",
        ) from None


def _orientations(values: Mapping[str, Any]) -> tuple[Pattern, ...]:
    """Read the patterns, of which a peak without noise has no height that JSON knows."""
    made = []
    for entry in values["orientations"]:
        if entry["peak_snr"] is None:
            entry = {**entry, "peak_snr": math.inf}
        pattern = built(Pattern, entry)
        refuse_infinite(entries(pattern, "peak_snr"))
        if pattern.period <= 0:
            raise ValueError(f"a period is {pattern.period:g}")
        made.append(pattern)
    return tuple(made)
