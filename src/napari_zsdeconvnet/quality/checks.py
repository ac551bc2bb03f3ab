"""The measures of a verdict: each a number, a limit, and a sentence in plain words.

A limit has two parts: what a sound run may be off by, since no network is perfect (the constants
below, seen on simulated images of every kind), and three standard errors of the number itself,
so that small images raise no false alarms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ..noise.noise_model import NoiseModel
from .data_consistency import Residual
from .reference_metrics import Flux
from .spectra import Sharpening
from .stability import Blank

SIGMAS = 3.0
"""Standard errors by which a number may miss its limit by chance."""

NOISE_TOLERANCE = 0.1
"""By which the noise may differ from its calibration; less is not felt in a result."""

CORRELATION_TOLERANCE = {True: 0.05, False: 0.1}
"""Correlation of neighbouring pixels that is not felt in a result, in the noise beyond the
cutoff (True) and in the whole residual (False)."""

LEFT_OVER, FOLLOWED = 1.3, 0.7
"""Residual within the band of the optics, over that beyond: what training may leave in an image,
and what a network may take out of the noise as it adapts to it."""

UNEXPLAINED = 0.1
"""Part of an image's contrast that training may leave unexplained besides: in bright images the
noise is so little that no network comes within it."""

SHARPER = 1.25
"""Times narrower that a result must be than its image to be called sharper."""

HAZE = 1.5
"""Times that the contrast of coarse structure along z must be raised for haze to have gone back: a
PSF of half the true width raises it 1.3-fold in a confocal stack, and the right one 2-fold."""

EXTRAPOLATED = 0.2
"""Part of a result's contrast beyond what the optics carry."""

UNCERTAIN = 0.3
"""Spread over the contrast of the result."""

NOISE_KEPT = {True: 0.1, False: 0.7}
"""Part of the noise that the denoised image may follow beyond the optical cutoff (True), where
there is nothing else to follow, and of all frequencies (False)."""

SENSITIVE = 0.2
"""Change for a PSF 10 % wider or narrower, over the contrast of the result."""

BLANK = 0.6
"""Structure in a blank result, in standard deviations of the noise shown, which count as many
times more as the model raises the contrast of structure."""

FAINT = 0.03
"""Part of a result's contrast that structure in a blank result may have besides: grain so faint is
not seen beside what is there."""

FLUX = 0.02
"""Part of the light that may be lost or gained, as a whole; and in a region of a volume, beyond
what its noise makes of it. Regions of simulated nuclei were off by 1.1 % at most with the PSF that
recorded them, also where structure goes on beyond a face, and by 3 to 5 % with one that knows
nothing of spherical aberration of 0.04 wavelengths or of the apodisation of a bright recording:
then the PSF does not quite fit, and no result can."""

FLUX_OF_VOLUMES = 0.04
"""The same of a volume as a whole: what comes from beyond its faces is estimated. Of a confocal
stack of 16 planes, a quarter of whose light is from there, its own truth holds 97.9 %."""

CLEAR = 10.0
"""Standard errors that the light of an image must exceed for its flux to be judged."""


@dataclass(frozen=True)
class Measure:
    """One measure of how far a result can be believed.

    Attributes
    ----------
    name
        What is measured, in a word or two.
    value
        The number; None where it could not be had.
    unit
        Of the number; empty for a ratio.
    limit
        Lowest and highest number that passes; None where there is no such bound.
    passed
        None where nothing was judged.
    sentence
        What was found, what it means and, if it fails, what to do.
    """

    name: str
    value: float | None
    unit: str
    limit: tuple[float | None, float | None]
    passed: bool | None
    sentence: str


def not_judged(name: str, why: str) -> Measure:
    """Make a measure that says why it has nothing to say."""
    return Measure(name, None, "", (None, None), None, f"Not judged: {why}")


def _judged(
    name: str,
    value: float,
    limit: tuple[float | None, float | None],
    *,
    good: str,
    low: str = "",
    high: str = "",
    unit: str = "",
) -> Measure:
    """Compare a number with its limits and choose the sentence that goes with it."""
    least, most = limit
    if least is not None and not value >= least:
        return Measure(name, value, unit, limit, False, low)
    if most is not None and not value <= most:
        return Measure(name, value, unit, limit, False, high)
    return Measure(name, value, unit, limit, True, good)


# The residual

_COARSE = "the pixels of these frames are too coarse to hold noise beyond the optical cutoff alone."


def noise_level(residual: Residual, noise: NoiseModel, brightness: float) -> Measure:
    """Judge the calibration: what no structure can explain must be the calibrated noise."""
    if residual.correlation is None:
        return not_judged("noise level", _COARSE)
    power = residual.noise or residual.whole
    own = NOISE_TOLERANCE if residual.noise else LEFT_OVER - 1
    below = NOISE_TOLERANCE if residual.noise else 1 - FOLLOWED
    margin = SIGMAS * power.error + 2 * calibration_error(noise, brightness)
    limit = (1 - min(below + margin, 0.9), 1 + own + margin)
    where = "beyond the optical cutoff" if residual.noise else "in the residual"
    found = f"The noise {where} has {power.value:.2f} times the calibrated variance"
    return _judged(
        "noise level",
        power.value,
        limit,
        good=f"{found}: gain, offset and read variance fit this image.",
        low=f"{found}: there is less noise than the calibration says, so the gain or the read "
        "variance is too high, or the image was averaged, binned or smoothed; calibrate the "
        "camera again, on unprocessed frames.",
        high=f"{found}: there is more noise than the calibration says, so the gain or the read "
        "variance is too low; calibrate the camera again.",
    )


def calibration_error(noise: NoiseModel, brightness: float) -> float:
    """Give the standard error of the variance of a pixel, over that variance."""
    assert noise.slope is not None
    signal = max(brightness, 0.0)
    variance = noise.slope * signal + noise.read_variance
    slope_error = (noise.gain_error or 0.0) * noise.excess_noise
    error = math.hypot(slope_error * signal, noise.read_variance_error or 0.0)
    return error / variance if variance > 0 else 0.0


def noise_correlation(residual: Residual) -> Measure:
    """Judge whether the noise of neighbouring pixels is independent."""
    value = residual.correlation
    if value is None:
        return not_judged("residual correlation", _COARSE)
    alone = residual.noise is not None
    most = CORRELATION_TOLERANCE[alone] + SIGMAS * residual.correlation_error
    what = "the noise beyond the optical cutoff" if alone else "the residual"
    found = f"Neighbouring pixels of {what} agree by {100 * value:.0f} %"
    remedy = (
        "the image was interpolated, deskewed, drift-corrected, smoothed or compressed, which ties "
        "the noise of neighbours together, and training takes such noise for structure; use the "
        "frames as the camera recorded them"
    )
    other = "." if alone else "; or structure is left unexplained, if re-blur fails too."
    return _judged(
        "residual correlation",
        value,
        (-most, most),
        good=f"{found}: what the result leaves unexplained looks like camera noise.",
        low=f"{found}: {remedy}{other}",
        high=f"{found}: {remedy}{other}",
    )


def reblur(residual: Residual, noise: NoiseModel, brightness: float) -> Measure:
    """Judge whether the result, blurred again, is the image within its noise."""
    carried, base = residual.carried, residual.noise
    value = carried.value / (base.value if base else 1.0)
    error = math.hypot(carried.error, base.error if base else 0.0)
    margin = SIGMAS * error + (0.0 if base else 2 * calibration_error(noise, brightness))
    most = LEFT_OVER + margin + UNEXPLAINED**2 * residual.contrast
    limit = (max(FOLLOWED - margin, 0.0), most)
    found = (
        f"Blurred again, the result differs from the image by {value:.2f} times the noise "
        f"variance within the band of the optics (reduced chi-square overall "
        f"{residual.whole.value:.2f})"
    )
    unexplained = math.sqrt(max(value - 1, 0.0) / max(residual.contrast, 1e-12))
    explained = "it explains the image within its noise"
    if value > LEFT_OVER + margin:
        explained = (
            f"it leaves {100 * unexplained:.0f} % of the image's contrast unexplained, more than "
            "the noise of so bright an image but little; training longer may bring it in"
        )
    return _judged(
        "re-blur",
        value,
        limit,
        good=f"{found}: {explained}.",
        low=f"{found}: it follows the noise, as after too long a training on too little data or "
        "with a calibrated noise that is far too low; do not trust fine grain, and train on more "
        "images, with fewer steps, or with the right noise.",
        high=f"{found}: {100 * unexplained:.0f} % of the image's contrast is not explained; the "
        "PSF is too wide or of another shape, or training is not done. Look where the z-map shows "
        "structure, check the PSF's pixel size, NA and wavelength, and train longer.",
    )


# Sharpness


def _times_higher(ratio: float) -> str:
    """Say how a contrast has changed; less than a twentieth is no change that can be told."""
    if abs(ratio - 1) < 0.05:
        return "is unchanged"
    return f"is {ratio:.1f} times as high"


def sharper(spectrum: Sharpening, scale: float, unit: str) -> Measure:
    """Judge whether the result was deconvolved at all; lengths times `scale` have the unit."""
    before, after = scale * spectrum.width_before, scale * spectrum.width_after
    value = before / after if after > 0 and math.isfinite(after) else 0.0
    found = (
        f"the contrast of the finest structure that the image shows "
        f"{_times_higher(spectrum.raised)}, and blur goes from {before:.0f} to {after:.0f} {unit} "
        "(full width at half maximum)"
    )
    good = f"Sharpened to {after:.0f} {unit}: {found}."
    if spectrum.along_z >= HAZE:  # planes that lose their haze lose contrast across as well
        haze = f"the contrast of coarse structure along z {_times_higher(spectrum.along_z)}"
        across = f"; across, {found}" if value >= SHARPER else ""
        good = f"Haze went back to where it is from: {haze}{across}."
        value = max(value, spectrum.along_z)
    return _judged(
        "sharpening",
        value,
        (SHARPER, None),
        good=good,
        low=f"Denoised only: {found}. The PSF is too narrow or not on the output grid, the image "
        "is too dim to be sharpened, or training is not done; check the PSF's pixel size and "
        "width, and train longer.",
    )


def extrapolation(spectrum: Sharpening) -> Measure:
    """Judge how much of a result lies beyond what the optics carry."""
    share = 100 * spectrum.beyond
    found = f"{share:.2g} % of the result's contrast is finer than the optics can carry"
    return _judged(
        "extrapolation",
        spectrum.beyond,
        (None, EXTRAPOLATED),
        good=f"{found}: that much is extrapolated by the network, and no measurement supports it.",
        high=f"{found}: it is extrapolated and no measurement supports it, as with a PSF that is "
        "too wide, or noise that is amplified; check the PSF, and calibrate the noise again.",
    )


def resolution(
    before: float, after: float, cutoff: float, unit: str, *, independent: bool
) -> Measure:
    """Judge the resolution by Fourier ring correlation.

    The periods of image and result and the finest that the optics pass, `cutoff`, are in `unit`;
    `independent` tells two exposures from two re-corruptions of the one recording.
    """
    source = "two exposures" if independent else "two re-corruptions of the one recording"
    shown = max(after, cutoff)
    bound = " (the finest the optics can support)" if after < cutoff else ""
    found = (
        f"By Fourier ring correlation of {source}, the resolution goes from {_period(before)} to "
        f"{_period(shown)} {unit}{bound}"
    )
    caution = (
        ""
        if independent
        else "; one network made both results and they share its errors, so this is the best case"
    )
    return _judged(
        "resolution",
        shown,
        (None, max(before, 1.1 * cutoff)),
        unit=unit,
        good=f"{found}{caution}.",
        high=f"{found}: the result repeats itself no better than the image; train longer, or "
        "record with more light.",
    )


def _period(value: float) -> str:
    return f"{value:.0f}" if math.isfinite(value) else "nothing measurable"


# Stability


def spread(value: float) -> Measure:
    """Judge how far the noise of one recording moves the result.

    Parameters
    ----------
    value
        Root mean square of the spread over the standard deviation of the result.
    """
    found = f"Another recording of the same scene would change the result by {100 * value:.0f} %"
    return _judged(
        "spread",
        value,
        (None, UNCERTAIN),
        good=f"{found} of its contrast; where the spread layer is bright, it would change most.",
        high=f"{found} of its contrast: do not trust single structures that are bright in the "
        "spread layer too; record with more light or more frames, average over repeats, or train "
        "longer.",
    )


def noise_followed(value: float, beyond: bool) -> Measure:
    """Judge whether the network learned to keep noise, of that beyond the cutoff or of all."""
    where = " that is finer than the optics carry" if beyond else ""
    found = (
        f"{100 * max(value, 0.0):.0f} % of the noise{where} is still there in the denoised image"
    )
    return _judged(
        "noise followed",
        value,
        (None, NOISE_KEPT[beyond]),
        good=f"{found}: the network tells it from structure.",
        high=f"{found}: the network is over-fitted and takes noise for structure. Train on more "
        "images or with fewer steps, and check that the calibrated noise is not far too low.",
    )


def sensitivity(value: float) -> Measure:
    """Judge how much hangs on the width of the PSF.

    Parameters
    ----------
    value
        Root mean square change for a PSF 10 % wider or narrower, over the standard deviation
        of the result.
    """
    found = f"A PSF 10 % wider or narrower changes the result by {100 * value:.0f} %"
    return _judged(
        "PSF sensitivity",
        value,
        (None, SENSITIVE),
        good=f"{found} of its contrast: the PSF need not be known better.",
        high=f"{found} of its contrast: measure the PSF on beads rather than rely on theory, and "
        "do not compare widths or brightnesses closely.",
    )


def blank(found: Blank, raised: float, contrast: float) -> Measure:
    """Judge what the model makes of background alone.

    Structure in the result, of this contrast, is raised so many times (`Sharpening.raised`).
    """
    height, raised = found.structure / found.noise, max(raised, 1.0)
    words = (
        f"Shown background alone, the model makes structure of {height:.2g} times its noise "
        f"({found.structure:.2g} counts"
    )
    if contrast > 0:
        words += f", {100 * found.structure / contrast:.2g} % of the result's contrast"
    words += ")"
    if raised > 1:
        words += f", where the contrast of true structure {_times_higher(raised)}"
    return _judged(
        "blank",
        height / raised,
        (None, BLANK + FAINT * contrast / found.noise / raised),
        good=f"{words}: it invents nothing of note out of noise.",
        high=f"{words}: it invents structure; distrust faint grain, train longer or on more "
        "images, and check the calibrated noise.",
    )


def flux(found: Flux, dimensions: int) -> Measure:
    """Judge whether the light was kept, of an image or a volume."""
    if not 0 <= found.error * CLEAR < 1:
        return not_judged("flux", "the image holds too little light above its offset to compare.")
    margin = (FLUX if dimensions == 2 else FLUX_OF_VOLUMES) + SIGMAS * found.error
    what = "The result" if dimensions == 2 else "Blurred again, the result"
    words = f"{what} holds {100 * found.ratio:.1f} % of the image's light"
    wrong = (
        f"{words}: brightnesses must not be compared; check the camera's offset and the PSF's "
        "background, and crop less tightly."
    )
    measure = _judged(
        "flux",
        found.ratio,
        (1 - margin, 1 + margin),
        good=f"{words}: brightnesses can be compared.",
        low=wrong,
        high=wrong,
    )
    if measure.passed and found.uneven > FLUX:
        uneven = (
            f"{words}, but in one region {100 * found.uneven:.0f} % more or less than is recorded: "
            "brightnesses there are no surer than that. The PSF does not quite fit the haze; check "
            "its numbers, refractive index and depth, or measure it."
        )
        return replace(measure, passed=False, sentence=uneven)
    return measure
