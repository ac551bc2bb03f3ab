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

from ..io.image import Image, PixelRule, as_frames, check_pixels, spatial_axes
from ..utils.errors import InputError, Remedy
from ..utils.json_values import built, entries
from .dark_frames import frame_means, sound_pixels, variance_over_time
from .dark_region import BackgroundFit, fit_background
from .image_transfer import chosen_planes, transfer_of_images
from .measured_correlation import SERIES_FROM, shared_noise
from .outliers import NYQUIST_WIDTH, width_from_cutoff
from .photon_transfer import PhotonTransfer
from .processed_images import processed_words
from .series_transfer import looked_at, transfer_of_series
from .usable_pixels import checked, usable_pixels, with_mask

__all__ = ["BackgroundFit", "NoiseModel", "fit_background"]

FORMAT = 1
"""Layout of a file; raised when a reader of today would misread a file of tomorrow."""

SINGLE_IMAGE_ERROR = 0.25
"""Relative error of a gain from one image, as seen against cameras' own calibrations."""

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
        object.__setattr__(self, "offset", _number(self.offset, "offset", "counts"))
        object.__setattr__(
            self, "read_variance", _number(self.read_variance, "read variance", "counts squared")
        )
        if self.gain is not None:
            object.__setattr__(self, "gain", _number(self.gain, "gain", "counts per electron"))
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
        excess = _number(self.excess_noise, "excess noise", "the range from 1 on")
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
            object.__setattr__(self, field, _number(error, words, "the units of its value"))
            if error < 0:
                raise InputError(
                    "camera-value-wrong",
                    f"The {words} is {error:g}; a standard error is zero or more.",
                )
        if self.correlation is not None:
            shared = tuple(
                _number(v, "correlation", "the range -0.5 to 0.5") for v in self.correlation
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
        frames = _laid_out(image, axes)
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
        width = NYQUIST_WIDTH if cutoff is None else width_from_cutoff(cutoff)
        frames, warnings = checked(
            _laid_out(image, axes), _rule(image), width=width, name=_name(image)
        )
        warnings += tuple(processed_words(frames, name=_name(image)))
        if offset is not None:
            offset = _number(offset, "offset", "counts")
        transfer = transfer_of_images(frames, offset, cutoff)
        seen = len(chosen_planes(frames.shape))
        source = "one image" if seen == 1 else f"{seen} single images"
        if frames.ndim == 4:
            source = f"{seen} planes of {'one volume' if len(frames) == 1 else 'volumes'}"
        darkest = ", the offset from its darkest part" if offset is None else ""
        return cls._from_transfer(
            transfer,
            source=f"photon transfer in {source} (to about 25 %){darkest}",
            warnings=warnings,
            systematic=SINGLE_IMAGE_ERROR,
        )

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
        laid_out, name = _laid_out(frames, axes, name="frames"), _name(frames, "frames")
        among = looked_at(laid_out.shape)
        series, warnings = checked(laid_out, _rule(frames), name=name, among=among)
        if len(among) < len(series):
            warnings += (
                f"{len(among)} of the {len(series)} frames were looked at, in runs of neighbours "
                "evenly spread; more would add no precision.",
            )
        warnings += tuple(processed_words(series, name=_name(frames, "frames")))
        if offset is not None:
            offset = _number(offset, "offset", "counts")
        transfer = transfer_of_series(series, offset, among=among)
        darkest = ", the offset from the darkest pixels" if offset is None else ""
        kind = "volumes" if series.ndim == 4 else "frames"
        left = transfer.frames < len(series)
        count = f"{transfer.frames} of {len(series)}" if left else f"{len(series)}"
        return cls._from_transfer(
            transfer,
            source=f"photon transfer in a series of {count} {kind}{darkest}",
            warnings=warnings,
            systematic=0.0,
        )

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
        frames = _laid_out(frames, axes, name="dark frames")
        count = math.prod(frames.shape[:-2])
        if count < 2:
            raise InputError(
                "dark-frames-too-few",
                "A dark calibration was given 1 frame; it needs at least 2, or mark all of the one "
                "frame as a background region.",
            )
        warnings = list(check_pixels(frames, name="dark frames"))
        means, levels = frame_means(frames)
        variances = variance_over_time(frames, means, levels)
        sound = sound_pixels(means, variances, count)
        if not sound.all():
            hot = 1 - sound.mean()
            warnings.append(
                f"{hot:.2%} of the pixels are hot or unusually noisy and were left out of the "
                "averages; their noise in an image is underestimated."
            )
        pixels = int(sound.sum())
        read_variance = float(variances[sound].mean())
        drift = float(levels.std())
        if drift > 5 * math.sqrt(read_variance / means.size) and drift > 0.1:
            warnings.append(
                f"The level of the dark frames drifts by {drift:.2g} counts (one standard "
                "deviation); let the camera reach its temperature and keep light out."
            )
        return cls(
            offset=float(means[sound].mean()),
            gain=None,
            read_variance=read_variance,
            offset_error=float(
                math.hypot(means[sound].std() / math.sqrt(pixels), drift / math.sqrt(count))
            ),
            read_variance_error=float(variances[sound].std() / math.sqrt(pixels)),
            source=f"a dark stack of {count} frames",
            warnings=tuple(warnings),
        )

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
        frames = _laid_out(image, axes)
        mask = usable_pixels(frames, _rule(image), width=width_from_cutoff(cutoff))
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

    @classmethod
    def _from_transfer(
        cls,
        transfer: PhotonTransfer,
        *,
        source: str,
        warnings: tuple[str, ...],
        systematic: float,
    ) -> Self:
        return cls(
            offset=transfer.offset,
            gain=transfer.gain,
            read_variance=transfer.read_variance,
            offset_error=transfer.offset_error,
            gain_error=math.hypot(transfer.gain_error, systematic * transfer.gain),
            read_variance_error=transfer.read_variance_error,
            source=source,
            warnings=(*warnings, *transfer.warnings),
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


def _number(value: Any, what: str, unit: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(
            "camera-value-wrong", f"The {what} is {value!r:.60}; give a number in {unit}."
        ) from None
    if not math.isfinite(number):
        raise InputError(
            "camera-value-wrong", f"The {what} is {number}; give a finite number in {unit}."
        )
    return number


def _with_error(value: float, error: float | None, unit: str) -> str:
    if error is None or error == 0:
        return f"{value:.4g} {unit}"
    digits = max(1 - math.floor(math.log10(error)), 0)
    return f"{value:.{digits}f} ± {error:.{digits}f} {unit}"


def _laid_out(image: ArrayLike | Image, axes: str | None, *, name: str = "image") -> NDArray[Any]:
    """Return frames (T, Y, X), or volumes (T, Z, Y, X) where there are planes."""
    return as_frames(image, axes, name=name, spatial=spatial_axes(image, axes))


def _rule(image: ArrayLike | Image) -> PixelRule | None:
    return image.pixel_rule if isinstance(image, Image) else None


def _name(image: ArrayLike | Image, otherwise: str = "image") -> str:
    return (image.name if isinstance(image, Image) else "") or otherwise
