"""The camera's noise: how its counts follow from light, and five ways to find out.

``counts = offset + gain * electrons + reading``, with electrons Poisson distributed and the
reading error of zero mean, so that ``variance = gain * (mean - offset) + read_variance``. A
camera that multiplies electrons (EMCCD) does so with noise of its own, by which the first term
grows (`NoiseModel.excess_noise`). In order of trust the three numbers come from a dark stack, a
series of frames, one image, or a data sheet; an empty region gives offset and read variance, and
never the gain.

Images are camera counts, ([T,] [Z,] Y, X). Letters for their axes are given where three axes are
not (T, Y, X), or four not (T, Z, Y, X). All ways raise InputError if pixels are NaN, infinite,
constant or saturated, or show too little signal (`usable_pixels.usable_pixels`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..io.image import Image
from ..utils.errors import InputError, Remedy
from ..utils.json_values import built, entries
from .calibrations import (
    laid_out,
    measured_in_images,
    measured_in_series,
    number,
    rule_of,
    sampled,
)
from .dark_frames import dark_moments
from .dark_region import BackgroundFit, fit_background
from .measured_correlation import SERIES_FROM, shared_noise
from .outliers import width_from_cutoff
from .usable_pixels import usable_pixels, with_mask

__all__ = ["BackgroundFit", "NoiseModel", "fit_background"]

FORMAT = 1
"""Layout of a file; raised when a reader of today would misread a file of tomorrow."""

_NO_GAIN = "The gain was not measured"
_GAIN_FROM = ", the gain from "


@dataclass(frozen=True)
class NoiseModel:
    """Offset, gain and read variance of a camera, with their errors and where they come from.

    Attributes
    ----------
    offset
        Counts a pixel reads without light.
    gain
        Counts per photoelectron; None when it was not measured.
    read_variance
        Variance of a pixel without light, counts squared, rounding to whole counts included:
        the variance that recorded pixels have, and a noise model must explain.
    offset_error, gain_error, read_variance_error
        Standard errors; None when not known.
    source
        Where the numbers come from, in words.
    warnings
        What speaks against them, one sentence each.
    correlation
        How neighbouring pixels share noise along ([z,] y, x), from -0.5 to 0.5, as resampling
        and filters leave it; None where that is not known or they do not.
    excess_noise
        Square of the excess noise factor: by how much multiplying electrons raises the variance
        of shot noise. 1 of a camera that does not, 2 of an EMCCD at high multiplication. See
        `with_excess_noise` where the gain is measured.

    Raises
    ------
    InputError
        If a number is NaN or infinite, the gain is not positive, a variance or an error is
        negative, or the excess noise is below 1.

    Examples
    --------
    >>> import napari_zsdeconvnet as zs
    >>> noise = zs.NoiseModel(offset=100, gain=2.0, read_variance=9.0, source="the data sheet")
    >>> float(noise.variance(150))
    109.0
    """

    offset: float
    gain: float | None
    read_variance: float
    offset_error: float | None = None
    gain_error: float | None = None
    read_variance_error: float | None = None
    source: str = "typed by hand"
    warnings: tuple[str, ...] = ()
    correlation: tuple[float, ...] | None = None
    excess_noise: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "offset", number(self.offset, "offset", "counts"))
        object.__setattr__(
            self, "read_variance", number(self.read_variance, "read variance", "counts squared")
        )
        if self.gain is not None:
            object.__setattr__(self, "gain", number(self.gain, "gain", "counts per electron"))
            if self.gain <= 0:
                raise InputError(
                    "gain-wrong",
                    f"The gain is {self.gain:g} counts per electron; it must be above zero, or "
                    "left out where it is not known.",
                )
        if self.read_variance < 0:
            raise InputError(
                "camera-value-wrong",
                f"The read variance is {self.read_variance:g} counts squared; it cannot be "
                "negative (it is the square of the read noise in counts).",
            )
        excess = number(self.excess_noise, "excess noise", "the range from 1 on")
        object.__setattr__(self, "excess_noise", excess)
        if excess < 1:
            raise InputError(
                "camera-value-wrong",
                f"The excess noise is {excess:g}; give the square of the excess noise factor, 1 of "
                "a camera that does not multiply electrons and 2 of an EMCCD that does.",
            )
        for field in ("offset_error", "gain_error", "read_variance_error"):
            error = getattr(self, field)
            if error is None:
                continue
            words = field.replace("_", " ")
            object.__setattr__(self, field, number(error, words, "the units of its value"))
            if error < 0:
                raise InputError(
                    "camera-value-wrong",
                    f"The {words} is {error:g}; a standard error is zero or more.",
                )
        if self.correlation is not None:
            shared = tuple(
                number(v, "correlation", "the range -0.5 to 0.5") for v in self.correlation
            )
            if len(shared) not in (2, 3) or any(abs(value) > 0.5 for value in shared):
                raise InputError(
                    "correlation-wrong",
                    f"The correlation is {shared}; give one number from -0.5 to 0.5 for each of "
                    "([z,] y, x), or leave it out.",
                )
            object.__setattr__(self, "correlation", shared)
        object.__setattr__(self, "source", str(self.source))
        object.__setattr__(self, "warnings", tuple(str(warning) for warning in self.warnings))

    # Calibrations --------------------------------------------------------------------------

    @classmethod
    def measured(
        cls, image: Image, offset: float | None = None, *, cutoff: float | None = None
    ) -> Self:
        """Measure the noise in the most trustworthy way that a recording allows.

        That is the differences of frames, from 10 frames on; else, and where the frames have too
        little in common, the noise beyond the optical cutoff. Parameters and errors are those of
        `from_image`.
        """
        if "T" in image.axes and image.data.shape[0] >= SERIES_FROM:
            try:
                return cls.from_series(image, offset=offset)
            except InputError:
                pass  # nothing but change between the frames: take them as single images
        return cls.from_image(image, offset, cutoff=cutoff)

    @classmethod
    def from_background(
        cls,
        image: ArrayLike | Image,
        mask: ArrayLike,
        *,
        gain: float | None = None,
        cutoff: float | None = None,
        axes: str | None = None,
    ) -> Self:
        """Measure offset and read variance in an empty region of an image.

        An empty region cannot tell the gain. Where it is not given it is measured in the rest
        of the image as by `from_image`, with this offset, and holds to about 25 %; where that
        is impossible too it stays None and a warning says why.

        Parameters
        ----------
        image, cutoff, axes
            As for `from_image`.
        mask
            True in the empty region, of any shape; axes ``(Y, X)`` for all frames and planes
            alike, ``(Z, Y, X)`` for all volumes, or those of the image.
        gain
            Counts per electron, when known; measuring it is then left out, which is quick.

        Raises
        ------
        InputError
            If the mask does not fit or is empty, or the pixels are of no use.
        """
        frames = laid_out(image, axes)
        fit = fit_background(frames, mask, gain=gain)
        region = cls(
            offset=fit.offset,
            gain=gain,
            read_variance=fit.read_variance,
            offset_error=fit.offset_error,
            read_variance_error=fit.read_variance_error,
            source=f"a background region of {fit.pixels} pixels",
            warnings=fit.warnings,
        )
        if gain is not None:
            return replace(region, source=f"{region.source}, the gain typed by hand")
        try:
            return region.with_gain_from(image, cutoff=cutoff, axes=axes)
        except InputError as error:
            return replace(region, warnings=(*fit.warnings, f"{_NO_GAIN}: {error.fact}"))

    @classmethod
    def from_image(
        cls,
        image: ArrayLike | Image,
        offset: float | None = None,
        *,
        cutoff: float | None = None,
        axes: str | None = None,
    ) -> Self:
        """Measure gain and read variance in one image, from noise beyond the optical cutoff.

        Fine structure beyond the cutoff (coarse pixels) makes the gain too high, interpolated
        pixels make it too low, so 25 % are added to its standard error. Frames and planes are
        images of one camera; only along Z is it noticed that neighbours share noise.

        Parameters
        ----------
        image, axes
            Camera counts, and letters for their axes.
        offset
            Counts without light. None takes the darkest part of the image for it.
        cutoff
            Cycles per pixel beyond which the optics pass nothing, ``2 NA / wavelength * pixel
            size`` in micrometres; None assumes 0.5, an image sampled at Nyquist's rate.

        Raises
        ------
        InputError
            If the image shows too little signal, is too small, or its pixels are of no use.
        """
        return cls(**measured_in_images(image, offset, cutoff, axes))

    @classmethod
    def from_series(
        cls, frames: ArrayLike | Image, *, offset: float | None = None, axes: str | None = None
    ) -> Self:
        """Measure gain and read variance from the differences of consecutive frames.

        Two exposures of one field are enough; twenty frames give the gain within a few per
        cent. Frames that repeat another one, flash, hold no light or show something else are left
        out, which is said; what moves, flickers or is saturated is masked, and bleaching is taken
        out. Of frames that alternate, as those of two colours, like ones are compared. Offset and
        read variance cannot be told apart by shot noise: a higher offset with more read noise
        lies on the same line. So where the offset is not given, the darkest pixels stand for it,
        and the read variance is that of the darkest pixels.

        Parameters
        ----------
        frames
            Camera counts, axes ``(T, Y, X)``, of one field, or ``(T, Z, Y, X)`` of one volume.
        offset, axes
            As for `from_image`.

        Raises
        ------
        InputError
            If there are fewer than two frames or too little signal, or the pixels are of no use.
        """
        return cls(**measured_in_series(frames, offset, axes))

    @classmethod
    def from_dark(cls, frames: ArrayLike | Image, *, axes: str | None = None) -> Self:
        """Measure offset and read variance from frames taken with the shutter closed.

        Mean and variance are taken pixel by pixel over time and then averaged, so a fixed
        pattern does not count as noise. Hot pixels are left out of both averages. There is no
        light, hence no gain (`with_gain_from` adds it).

        Two frames, ``(T, Y, X)``, are needed; twenty or more are good. Planes of a stack count as
        frames. They are read twice, one by one. Raises InputError if there is one frame, or pixels
        are NaN, infinite or all equal.
        """
        return cls(**dark_moments(frames, axes))

    def with_gain_from(
        self, image: ArrayLike | Image, *, cutoff: float | None = None, axes: str | None = None
    ) -> Self:
        """Return this noise model with the gain measured in an image, as `from_image` does."""
        single = type(self).from_image(image, self.offset, cutoff=cutoff, axes=axes)
        kept = tuple(text for text in self.warnings if not text.startswith(_NO_GAIN))
        new = tuple(text for text in single.warnings if text not in kept)
        assert single.gain is not None
        assert single.gain_error is not None
        return replace(
            self,
            gain=single.gain / self.excess_noise,
            gain_error=single.gain_error / self.excess_noise,
            source=f"{self.source.split(_GAIN_FROM)[0]}{_GAIN_FROM}{single.source}",
            warnings=kept + new,
        )

    def with_correlation_from(
        self, image: ArrayLike | Image, *, cutoff: float, axes: str | None = None
    ) -> Self:
        """Return this noise model with what neighbouring pixels share, if they do, measured.

        Parameters
        ----------
        image, axes
            As for `from_image`.
        cutoff
            Cycles per pixel beyond which the optics pass nothing.
        """
        frames, _ = sampled(image, axes)
        mask = usable_pixels(frames, rule_of(image), width=width_from_cutoff(cutoff))
        shared = shared_noise(with_mask(frames, mask), cutoff)
        return replace(self, correlation=shared) if shared else self

    def with_excess_noise(self, excess_noise: float) -> Self:
        """Return this noise model for a camera that multiplies electrons, its noise kept.

        What photon transfer measures is the slope of variance over mean, the gain times the
        excess noise (the square of the excess noise factor, 1 or more; 2 of an EMCCD at high
        multiplication). It stays, and the gain becomes the slope over the excess noise. A gain that
        is known from elsewhere is to be given with `NoiseModel` itself.
        """
        share = self.excess_noise / replace(self, excess_noise=excess_noise).excess_noise
        return replace(
            self,
            gain=None if self.gain is None else self.gain * share,
            gain_error=None if self.gain_error is None else self.gain_error * share,
            excess_noise=excess_noise,
        )

    # Use -----------------------------------------------------------------------------------

    @property
    def slope(self) -> float | None:
        """Variance over counts of light, the gain times the excess noise; None as the gain is."""
        return None if self.gain is None else self.gain * self.excess_noise

    def variance(
        self, mean: ArrayLike, read_variance: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """Return ``read_variance + slope * max(mean - offset, 0)``, in counts squared.

        The mean is in counts; the read variance, of pixels that differ, is broadcast against it.
        Raises InputError if the gain is not known.
        """
        if self.slope is None:
            raise InputError(
                "gain-unknown",
                "The gain is not known, so neither is the noise of bright pixels",
                Remedy("measure-gain"),
                "type it in",
            )
        signal = np.maximum(np.asarray(mean, dtype=np.float64) - self.offset, 0.0)
        read = self.read_variance if read_variance is None else np.asarray(read_variance)
        return np.asarray(read + self.slope * signal)

    def brief(self) -> str:
        """Return offset, gain and read noise in a few words, with the digits that are certain."""
        offset = f"offset {_certain(self.offset, self.offset_error)} counts"
        if self.gain is None:
            read_noise = f"{math.sqrt(self.read_variance):.2g} counts"
            return f"{offset}, gain not measured, read noise {read_noise}"
        gain = f"gain {_certain(self.gain, self.gain_error)} counts per electron"
        read_noise = f"{math.sqrt(self.read_variance) / self.gain:.2g} electrons"
        return f"{offset}, {gain}, read noise {read_noise}"

    def describe(self) -> str:
        """Return one sentence with all numbers, units, errors and the source."""
        offset = _with_error(self.offset, self.offset_error, "counts")
        variance = _with_error(self.read_variance, self.read_variance_error, "counts squared")
        if self.gain is None:
            gain = "gain not measured"
        else:
            gain = f"gain {_with_error(self.gain, self.gain_error, 'counts per electron')}"
            if self.excess_noise > 1:
                gain += f" and an excess noise of {self.excess_noise:.3g}"
            read_noise = math.sqrt(self.read_variance) / self.gain
            variance += f" (read noise {read_noise:.2g} electrons)"
        shared = ""
        if self.correlation is not None and any(self.correlation):
            along = zip("zyx"[-len(self.correlation) :], self.correlation, strict=True)
            shared = ", noise shared by neighbours: " + ", ".join(f"{n} {v:.2f}" for n, v in along)
        return f"offset {offset}, {gain}, read variance {variance}{shared}; from: {self.source}."

    def __str__(self) -> str:
        return self.describe()

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, strings and lists, ready for JSON."""
        return entries(self)

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """Rebuild a noise model from what `to_dict` returned, or from a file of it.

        Raises
        ------
        InputError
            If an entry is missing, unknown or not what it should be, or it is of a newer version.
        """
        form = values.get("format", FORMAT) if isinstance(values, Mapping) else None
        if isinstance(form, int) and form > FORMAT:
            raise InputError(
                "format-too-new",
                f"The noise model has format {form!r:.60} and this version reads up to {FORMAT}: "
                "update napari-zsdeconvnet.",
            )
        try:
            if form is not None:
                values = {name: value for name, value in values.items() if name != "format"}
            return built(cls, values)
        except InputError:
            raise
        except ValueError as error:
            raise InputError(
                "noise-model-damaged",
                f"The noise model cannot be read ({error}); calibrate and save it again, or update "
                "the package.",
            ) from error


def _certain(value: float, error: float | None) -> str:
    """Write a number with as many digits as its error lets it have, and a large error beside."""
    if error is None or error == 0:
        return f"{value:.4g}"
    digits = max(-math.floor(math.log10(error)), 0)
    doubt = f" ± {error:.{digits}f}" if error > 0.05 * abs(value) else ""
    return f"{value:.{digits}f}{doubt}"


def _with_error(value: float, error: float | None, unit: str) -> str:
    if error is None or error == 0:
        return f"{value:.4g} {unit}"
    digits = max(1 - math.floor(math.log10(error)), 0)
    return f"{value:.{digits}f} ± {error:.{digits}f} {unit}"
