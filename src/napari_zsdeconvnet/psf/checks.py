"""What a PSF must be, what its numbers must be, and how either is said in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..io.grid import nanometres
from ..io.units import checked_length, in_both_units
from ..utils.errors import InputError, Remedy
from . import diffraction, grid

VoxelSize = float | Sequence[float]

_FINEST_VOXEL = 1e-3  # micrometres; the grid of a PSF may be finer than any camera's
_WAVELENGTHS = (0.2, 2.0)  # micrometres
NEGATIVE_SHARE = 1e-3  # of the maximum: rounding and ringing of a computed PSF
_NEGATIVE_SHARE_RECORDED = 0.05  # beside six standard deviations of the noise
_CUT_OFF = 0.05  # of the maximum, left standing at the border
_FEWEST_PIXELS_ACROSS = 1.8
_FEWEST_PLANES_ACROSS = 1.75  # what an ideal widefield PSF has at its axial Nyquist step
_UNEQUAL = 1.2  # ratio of the widths along Y and X that is worth a word
_FLAT = 0.005  # below the maximum; so much of the top of a PSF is
_FLAT_SHARE = 0.03  # of the pixels above half of the maximum; a smooth top has less than 1 %
_NOISY = 0.04  # of the maximum; such noise changes widths by a tenth
_SECOND_PEAK = 0.4  # of the maximum; sidelobes across the field are fainter
_LIGHT_WIDTHS = (0.08, 6.0)  # micrometres across the field, without super-resolution
_THICKEST_SHEET = 100.0  # micrometres
_WIDEST_PINHOLE = 10.0  # Airy units; a wider one holds nothing back


# Checks


def checked_pixels(array: ArrayLike) -> NDArray[np.float64]:
    """Give the pixels as float64 without leading axes of length one, or say what is wrong."""
    given = np.asarray(array)
    if given.dtype.kind == "c":
        raise InputError(
            "psf-kind",
            f"The PSF is complex ({given.dtype}); give the intensity, or a radial OTF as an MRC "
            "file.",
        )
    if given.dtype.kind not in "uifb":
        raise InputError("psf-kind", f"The PSF holds {given.dtype} values; give numbers.")
    shape = given.shape
    while len(shape) > 2 and shape[0] == 1:
        shape = shape[1:]
    if len(shape) not in (2, 3) or min(shape, default=0) < 1:
        raise InputError(
            "psf-axes-count",
            f"The PSF has {given.ndim} axes of shape {given.shape}; give one image (Y, X) or one "
            "stack (Z, Y, X).",
        )
    if min(shape[-2:]) < 3:
        raise InputError(
            "psf-too-small",
            f"The PSF has the shape {given.shape}; it needs three pixels or more along Y and X.",
        )
    pixels = given.reshape(shape).astype(float)
    bad = int(np.count_nonzero(~np.isfinite(pixels)))
    if bad:
        raise InputError(
            "psf-not-finite",
            f"The PSF has {bad} NaN or infinite pixel(s); replace them or crop them away.",
        )
    if pixels.min() == pixels.max():
        raise InputError(
            "psf-constant",
            f"The PSF is constant, every pixel being {pixels.min():g}; check that the right file "
            "was chosen.",
        )
    return pixels


def in_order(array: ArrayLike, axes: str | None) -> ArrayLike:
    """Give an array with its axes in the order (Z,) Y, X."""
    if axes is None:
        return array
    pixels = np.asarray(array)
    pixels = pixels.squeeze() if pixels.ndim > len(axes) else pixels
    letters = axes.upper()
    if sorted(letters) not in (["X", "Y"], ["X", "Y", "Z"]) or len(letters) != pixels.ndim:
        raise InputError(
            "psf-axes-wrong",
            f"The axes are {axes} for a PSF of shape {pixels.shape}; give each of its axes one of "
            "the letters Z, Y, X, as in YXZ.",
            axes=axes,
        )
    wanted = [letter for letter in "ZYX" if letter in letters]
    return pixels.transpose([letters.index(letter) for letter in wanted])


def check_light(cleaned: grid.Cleaned) -> None:
    """Refuse what no image of a point can be."""
    array = cleaned.array
    total, low, high = float(array.sum()), float(array.min()), float(array.max())
    after = f" after subtracting {cleaned.level:.4g} counts" if cleaned.level else ""
    if cleaned.noise and (high < 6 * cleaned.noise or total <= 0):
        raise InputError(
            "psf-too-noisy",
            f"The PSF's brightest pixel, {high:.4g} counts above the background, does not "
            f"stand out from noise of {cleaned.noise:.4g}; average several beads.",
        )
    if high <= 0 or total <= 0:
        raise InputError(
            "psf-without-light",
            f"The PSF has the sum {total:.4g}{after}; it must be positive, so check the background "
            "and that the values are intensities.",
        )
    allowed = NEGATIVE_SHARE * high
    if cleaned.noise:
        allowed = _NEGATIVE_SHARE_RECORDED * high + 6 * cleaned.noise
    if low < -allowed:
        raise InputError(
            "psf-negative",
            f"The PSF has negative values down to {low:.4g}, {-100 * low / high:.2g} % of its "
            f"peak{after}; an intensity is not negative, so give the PSF before filtering or check "
            "its background.",
        )


def voxel_sizes(value: VoxelSize, ndim: int, name: str = "The voxel size") -> tuple[float, ...]:
    """Give one positive length for each axis, in micrometres."""
    try:
        given = np.atleast_1d(np.asarray(value, dtype=float))
    except (TypeError, ValueError) as error:
        raise InputError(
            "psf-voxel-size-wrong", f"{name} is {value!r}; give numbers in micrometres."
        ) from error
    if given.ndim != 1 or len(given) not in (1, ndim):
        lengths = ", ".join("zyx"[-ndim:])
        raise InputError(
            "psf-voxel-size-wrong",
            f"{name} has {given.size} values for a {ndim}D PSF",
            f"give one for all axes or {ndim}, {lengths}, in micrometres",
            *([Remedy("psf-plane")] if (len(given), ndim) == (2, 3) else []),
        )
    for step in given:
        if not (np.isfinite(step) and step > 0):
            raise InputError("psf-voxel-size-wrong", f"{name} is {step:g} µm; it must be positive.")
        checked_length(float(step), name, _FINEST_VOXEL)
    return tuple(float(step) for step in (np.repeat(given, ndim) if len(given) == 1 else given))


def checked_na(value: float, name: str = "The NA") -> float:
    """Give the numerical aperture."""
    na = finite(value, name)
    if not 0 < na < 1.8:
        raise InputError(
            "na-out-of-range",
            f"{name} is {na:g}; a numerical aperture lies between 0 and 1.7.",
            na=na,
        )
    return na


def checked_wavelength(value: float, name: str = "The wavelength") -> float:
    """Give the wavelength, unless it looks like nanometres or is none of light."""
    wavelength = finite(value, name)
    low, high = _WAVELENGTHS
    if low <= wavelength <= high:
        return wavelength
    remedy = (
        f"did you mean {in_both_units(wavelength / 1000)}?"
        if low <= wavelength / 1000 <= high
        else f"light seen by a camera has {in_both_units(low)} to {in_both_units(high)}."
    )
    raise InputError(
        "wavelength-out-of-range",
        f"{name} is {in_both_units(wavelength)}; {remedy}",
        wavelength=wavelength,
        limits=(low, high),
    )


def checked_pinhole(value: float | None) -> float:
    """Give the diameter in Airy units, 0 for an ideal point."""
    pinhole = 0.0 if value is None else finite(value, "The pinhole")
    if not 0 <= pinhole <= _WIDEST_PINHOLE:
        raise InputError(
            "pinhole-out-of-range",
            f"The pinhole is {pinhole:g}, its diameter in Airy units; give 0 to "
            f"{_WIDEST_PINHOLE:g}, usually 1.",
            pinhole=pinhole,
        )
    return pinhole


def checked_sheet(value: float) -> float:
    """Give the sheet's thickness, unless it looks like nanometres."""
    thickness = finite(value, "The sheet thickness")
    if thickness <= 0:
        raise InputError(
            "length-out-of-range",
            f"The sheet thickness is {thickness:g} µm, the sheet's full width at half maximum; "
            f"give a value between 0 and {_THICKEST_SHEET:g} µm.",
            length=thickness,
            limits=(0.0, _THICKEST_SHEET),
        )
    return checked_length(thickness, "The sheet thickness", _FINEST_VOXEL, _THICKEST_SHEET)


def checked_refractive_index(na: float, value: float | None, name: str = "The NA") -> float:
    """Give the index stated or usual for this NA, which must exceed it."""
    index = (
        diffraction.usual_refractive_index(na)
        if value is None
        else finite(value, "The refractive index")
    )
    if not 1.0 <= index <= 2.5:
        raise InputError(
            "refractive-index-out-of-range",
            f"The refractive index is {index:g}; it lies between 1.0 (air) and about 1.6, oil "
            "having 1.515.",
            refractive_index=index,
        )
    if na >= index:
        raise InputError(
            "na-above-index",
            f"{name} is {na:g}, which must be below the refractive index {index:g} of the medium; "
            "check both (water 1.33, glycerol 1.47, oil 1.515).",
            na=na,
            refractive_index=index,
        )
    return index


def finite(value: Any, name: str) -> float:
    """Give the number, or say that it is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError("no-number", f"{name} is {value!r}; it must be a number.", value=value)
    return number


def odd(value: int, name: str) -> int:
    """Give an odd number from 3."""
    number = finite(value, name)
    if number != int(number) or number < 3 or number % 2 == 0:
        raise InputError(
            "no-odd-number",
            f"{name} is {value}; it must be an odd number from 3, such as "
            f"{max(int(number), 2) | 1}, so that there is a middle pixel.",
            value=value,
        )
    return int(number)


# Words


def background_words(cleaned: grid.Cleaned) -> list[str]:
    """Say what was subtracted."""
    if cleaned.noise:
        return [
            f"A background of {cleaned.level:.4g} counts (noise {cleaned.noise:.3g}) was "
            "subtracted, and what cannot be told from it was set to zero."
        ]
    if cleaned.level:
        return [f"A background of {cleaned.level:.4g} counts was subtracted."]
    return []


def centre_words(old: tuple[int, ...], new: tuple[int, ...], shift: tuple[float, ...]) -> list[str]:
    """Say that the size was even or the peak off the middle."""
    words = []
    shape_old, shape_new = ("x".join(str(n) for n in shape) for shape in (old, new))
    if any(n % 2 == 0 for n in old):
        words.append(
            f"A PSF of even size, {shape_old}, has no middle pixel; it was brought to {shape_new} "
            "about its peak."
        )
    if max(abs(s) for s in shift) > 0.75:
        off = ", ".join(f"{s:+.2f}" for s in shift)
        letters = ", ".join("zyx"[-len(shift) :])
        words.append(
            f"The peak lay off the middle by ({off}) pixels ({letters}); it was moved there "
            f"({shape_old} to {shape_new})."
        )
    return words


def shape_words(array: NDArray[np.float64]) -> list[str]:
    """Say that the PSF is cut off or too small on its grid."""
    words = []
    share = grid.border_share(array)
    if share > _CUT_OFF:
        words.append(
            f"The PSF is still at {100 * share:.2g} % of its peak at the border, so its tails are "
            "cut off; give a larger crop."
        )
    across = min(grid.widths(array, (1.0,) * array.ndim)[-2:])
    if across < _FEWEST_PIXELS_ACROSS:
        words.append(
            f"The PSF is only {across:.2g} pixels wide (FWHM), too few to hold its shape; check "
            "that it is a PSF and not a hot pixel, or record it on a finer grid."
        )
    return words


def width_words(array: NDArray[np.float64], steps: Sequence[float] | None) -> list[str]:
    """Say that the PSF is wider along Y than along X, or the other way round, and what may be."""
    width = grid.widths(array, tuple(steps or (1.0,) * array.ndim))
    y, x = width[-2:]
    if not (y > _UNEQUAL * x or x > _UNEQUAL * y):
        return []
    lengths = f"{y:.3g} pixels" if steps is None else f"{1000 * y:.0f} nm"
    others = f"{x:.3g}" if steps is None else f"{1000 * x:.0f}"
    words = f"The PSF is {lengths} wide along Y and {others} along X (FWHM), which differ"
    if array.ndim == 2:
        return [f"{words}; look at it, as that of a microscope is about as wide along both."]
    z = width[0]
    # The two that are alike are lateral.
    long = "YXZ" if abs(z - y) < abs(z - x) else "YZX"
    if min(abs(z / y - 1), abs(z / x - 1)) > _UNEQUAL - 1:
        return [f"{words}; look at it, as that of a microscope is about as wide along both."]
    lateral = "first two" if long == "YXZ" else "first and last"
    return [
        f"{words}, and {z:.3g} along Z: its axes seem to be in another order, the {lateral} being "
        f"the lateral ones; if so, give its axes as {long}."
    ]


def top_words(array: NDArray[np.float64]) -> list[str]:
    """Say that the top of a PSF is flat, as that of a saturated bead."""
    peak = float(array.max())
    flat = int(np.count_nonzero(array >= (1 - _FLAT) * peak))
    above = int(np.count_nonzero(array >= peak / 2))
    # As many pixels as share a corner may be alike, where the centre lies between them.
    if flat <= 2**array.ndim or flat < _FLAT_SHARE * above:
        return []
    return [
        f"The top of the PSF is flat: {flat} pixels are within {100 * _FLAT:g} % of its maximum, "
        "as in a saturated bead. It is wider than the true PSF, so record it with less light."
    ]


def noise_words(cleaned: grid.Cleaned) -> list[str]:
    """Say that noise is a good part of a recorded PSF."""
    share = cleaned.noise / max(float(cleaned.array.max()), 1e-30)
    if share <= _NOISY:
        return []
    return [
        f"The noise of the PSF is {100 * share:.2g} % of its peak, so that its shape and width are "
        "uncertain; average more beads, or brighter ones."
    ]


def unlikely_words(array: NDArray[np.float64], steps: Sequence[float] | None) -> list[str]:
    """Say what the PSF of a microscope is not: two points, half a point, or of such a width."""
    words = []
    across = grid.widths(array, (1.0,) * array.ndim)
    reach = [math.ceil(1.5 * width) if math.isfinite(width) else 1 for width in across[-2:]]
    away = np.array(array.max(axis=0) if array.ndim == 3 else array)
    peak = np.unravel_index(int(away.argmax()), away.shape)
    highest = float(away.max())
    near = [slice(max(int(p) - r, 0), int(p) + r + 1) for p, r in zip(peak, reach, strict=True)]
    away[tuple(near)] = 0
    if away.max() > _SECOND_PEAK * highest:
        words.append(
            f"The PSF has a second peak of {100 * away.max() / highest:.0f} % of the first, as of "
            "two beads; give a crop of one."
        )
    if steps is None:
        return words
    *deep, y, x = grid.widths(array, tuple(steps))
    narrow, wide = min(y, x), max(y, x)
    if narrow < _LIGHT_WIDTHS[0] or wide > _LIGHT_WIDTHS[1]:
        words.append(
            f"The PSF is {1000 * narrow:.0f} nm wide (FWHM), unlike that of a light microscope "
            "without super-resolution; check its voxel size."
        )
    if deep and deep[0] < 0.7 * narrow:
        words.append(
            f"The PSF is {1000 * deep[0]:.0f} nm deep along Z and {1000 * narrow:.0f} nm wide "
            "across it (FWHM), so that it is deeper sideways; check the order of its axes and its "
            "voxel size."
        )
    return words


def cut_words(array: NDArray[np.float64]) -> list[str]:
    """Say that the brightest plane of a PSF is its first or last, so that a half is missing."""
    if array.ndim == 2 or len(array) < 3:
        return []
    plane = int(np.unravel_index(int(array.argmax()), array.shape)[0])
    if 0 < plane < len(array) - 1:
        return []
    end = "first" if plane == 0 else "last"
    return [
        f"The brightest plane of the PSF is its {end}, so that its other half is missing; give one "
        "with planes to both sides."
    ]


def plane_words(array: NDArray[Any], step: float) -> tuple[str, ...]:
    """Say that the planes of a 3D PSF lie too far apart for its depth."""
    width = grid.widths(np.asarray(array, dtype=float), (step, 1.0, 1.0))[0]
    if not width < _FEWEST_PLANES_ACROSS * step:
        return ()
    return (
        f"The step of {nanometres((step,))} between planes is too coarse for this PSF, "
        f"{1000 * width:.0f} nm deep (FWHM): detail along z needs "
        f"{1000 * width / _FEWEST_PLANES_ACROSS:.0f} nm or less.",
    )


def sampling_words(na: float, wavelength: float, pixel: float) -> tuple[str, ...]:
    """Say that the pixel is too coarse for the objective."""
    nyquist = wavelength / (4 * na)
    if pixel <= nyquist:
        return ()
    return (
        f"The pixel of {nanometres((pixel,))} is coarser than {1000 * nyquist:.3g} nm, a quarter "
        "of wavelength / NA, so that this grid cannot hold the objective's finest detail.",
    )


def times(steps: Sequence[float]) -> str:
    """Join lengths as "0.1 x 0.05"; one alone where Y and X are alone and equal."""
    if len(steps) == 2 and steps[0] == steps[1]:
        return f"{steps[0]:g}"
    return " x ".join(f"{step:g}" for step in steps)
