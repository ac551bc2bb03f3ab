"""From the words of a microscope to its PSF: which numbers each kind needs, and how far to go."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..io.grid import nanometres
from ..utils.errors import InputError, Remedy
from ..utils.phases import go_on
from . import diffraction
from .checks import (
    VoxelSize,
    checked_na,
    checked_pinhole,
    checked_refractive_index,
    checked_sheet,
    checked_wavelength,
    odd,
    plane_words,
    sampling_words,
    voxel_sizes,
)

Modality = Literal["widefield", "confocal", "light-sheet"]

_REACH = 3.0  # axial widths of the widefield PSF to either side of the focus, without a stack
_SHEET_REACH = 1.2  # thicknesses of the sheet, a Gaussian, that hold 99.5 % of its light
_WHOLE_SHEET = 1.5  # 99.96 %
_HELD = 0.998  # of the light in focus, before the rest is cut to what holds `_KEPT`
_KEPT: dict[Modality, float] = {"widefield": 0.992, "confocal": 0.99, "light-sheet": 0.992}
# of the light of a volume; with what was out of its reach 1 % is cut off at most
_DEEPEST = 128  # planes of a stack that a PSF is computed for; tiles are no deeper than twice that
_MOST_VOXELS = 2**25  # of a PSF; what is wider is cut, which is said
_BELONGS_TO: dict[str, Modality] = {
    "excitation_wavelength": "confocal",
    "excitation_na": "confocal",
    "pinhole": "confocal",
    "sheet_thickness": "light-sheet",
}


@dataclass(frozen=True)
class Microscope:
    """What a PSF is simulated from; lengths in micrometres.

    Attributes
    ----------
    na, wavelength, modality, refractive_index
        As for `PSF.simulate`.
    excitation_wavelength, excitation_na, pinhole, sheet_thickness
        As there; None where not given.

    Examples
    --------
    >>> import napari_zsdeconvnet as zs
    >>> microscope = zs.Microscope(na=1.4, wavelength=0.525, modality="widefield")
    >>> zs.PSF.of(microscope, (0.05, 0.05)).array.ndim
    2
    """

    na: float
    wavelength: float
    modality: Modality = "widefield"
    refractive_index: float | None = None
    excitation_wavelength: float | None = None
    excitation_na: float | None = None
    pinhole: float | None = None
    sheet_thickness: float | None = None


@dataclass(frozen=True)
class CheckedMicroscope(Microscope):
    """A microscope whose numbers are checked and complete; see `checked_microscope`."""

    refractive_index: float = 1.0
    excitation_wavelength: float = 0.0
    excitation_na: float = 0.0
    pinhole: float = 0.0
    sheet_thickness: float = 0.0

    @property
    def reach(self) -> float:
        """How far from the focus there is light to speak of, micrometres."""
        if self.modality == "light-sheet":
            return _SHEET_REACH * self.sheet_thickness
        return _REACH * diffraction.axial_width(self.na, self.wavelength, self.refractive_index)

    @property
    def finest(self) -> tuple[float, float]:
        """Aperture and wavelength that set the finest lateral detail."""
        if self.modality == "confocal":
            return self.excitation_na, self.excitation_wavelength
        return self.na, self.wavelength

    def size(self, depth: float, pixel: float) -> int:
        """Odd number of pixels across that holds the light down to `depth`.

        Widefield light fills a cone; a sheet lights little of it, and a confocal, where the
        cone of the excitation has spread its light as far, next to nothing.
        """
        least = diffraction.energy_size(self.na, self.wavelength, pixel)
        if self.modality == "confocal":
            return least
        if self.modality == "light-sheet":
            depth = min(depth, self.sheet_thickness)
        return diffraction.cone_size(self.na, self.refractive_index, depth, pixel, least)

    def seen_shape(
        self, voxel_size: tuple[float, float, float], stack: tuple[int, int, int]
    ) -> tuple[int, int, int]:
        """Shape that holds all light which starts in a stack and ends in it.

        Two voxels of `n` in a row are `n` - 1 apart at most. Within that, light goes as far
        sideways as its cone at the farthest plane.
        """
        step, *pixel = voxel_size
        planes = 2 * stack[0] - 1
        if self.modality == "light-sheet":
            planes = diffraction.planes_within(_WHOLE_SHEET * self.sheet_thickness, step, planes)
        depth = step * (planes // 2)
        across = []
        for size, length in zip(pixel, stack[1:], strict=True):
            most = 2 * length - 1
            edge = diffraction.energy_size(self.na, self.wavelength, size, _HELD, most)
            across.append(
                diffraction.cone_size(self.na, self.refractive_index, depth, size, edge, most)
            )
        return planes, across[0], across[1]

    def volume(
        self, voxel_size: tuple[float, float, float], shape: tuple[int, int, int]
    ) -> NDArray[np.float64]:
        """Compute the PSF through focus."""
        common = (self.na, self.wavelength, self.refractive_index, voxel_size, shape)
        if self.modality == "confocal":
            return diffraction.confocal(
                *common,
                excitation_na=self.excitation_na,
                excitation_wavelength=self.excitation_wavelength,
                pinhole=self.pinhole,
            )
        if self.modality == "light-sheet":
            return diffraction.light_sheet(*common, thickness=self.sheet_thickness)
        return diffraction.widefield(*common)

    def plane(self, pixel: tuple[float, float], shape: tuple[int, int]) -> NDArray[np.float64]:
        """Compute the PSF in focus."""
        if self.modality == "widefield":
            return diffraction.airy(self.na, self.wavelength, pixel, shape)
        return np.asarray(self.volume((1.0, *pixel), (1, *shape))[0])

    def describe(self) -> str:
        """Say what was simulated."""
        words = (
            f"simulated {self.modality}, NA {self.na:g}, {nanometres((self.wavelength,))} emission"
        )
        if self.modality == "light-sheet":
            words += f", sheet of {self.sheet_thickness:g} µm (FWHM)"
        if self.modality == "confocal":
            aperture = "" if self.excitation_na == self.na else f" at NA {self.excitation_na:g}"
            words += f", {nanometres((self.excitation_wavelength,))} excitation{aperture}"
            words += f", pinhole of {self.pinhole:g} AU" if self.pinhole else ", point pinhole"
        return words


@dataclass(frozen=True)
class Simulated:
    """A computed PSF and what to say of it.

    Attributes
    ----------
    array
        (Y, X) or (Z, Y, X), odd, sum 1.
    voxel_size
        Micrometres for each axis.
    source
        What was simulated, in words.
    warnings
        One sentence each.
    """

    array: NDArray[np.float64]
    voxel_size: tuple[float, ...]
    source: str
    warnings: tuple[str, ...]


def simulated(
    microscope: CheckedMicroscope,
    pixel_size: VoxelSize,
    *,
    axial_step: float | None,
    planes: int | None,
    size: int | None,
    stack: tuple[int, int, int] | None = None,
) -> Simulated:
    """Compute the PSF on a grid, in its plane of focus or through focus.

    Parameters
    ----------
    microscope
        From `checked_microscope`.
    pixel_size, axial_step, planes, size, stack
        As in `PSF.simulate`.

    Raises
    ------
    InputError
        If a number is out of its range, or the step is missing where planes are asked for.
    """
    y, x = voxel_sizes(pixel_size, 2, "The pixel size")
    warnings = sampling_words(*microscope.finest, max(y, x))
    if axial_step is None:
        _refuse_without_step(microscope, planes)
        across = microscope.size(0.0, min(y, x)) if size is None else odd(size, "The size")
        plane = microscope.plane((y, x), (across, across))
        return Simulated(plane, (y, x), microscope.describe(), warnings)

    (step,) = voxel_sizes([axial_step], 1, "The axial step")
    if stack is not None and planes is None and size is None:
        return _for_stack(microscope, (step, y, x), stack, warnings)
    if planes is None:
        count = diffraction.planes_within(microscope.reach, step)
    else:
        count = odd(planes, "The number of planes")
    depth = step * (count // 2)
    across = microscope.size(depth, min(y, x)) if size is None else odd(size, "The size")
    volume = microscope.volume((step, y, x), (count, across, across))
    source = f"{microscope.describe()}, refractive index {microscope.refractive_index:g}"
    return Simulated(volume, (step, y, x), source, warnings + plane_words(volume, step))


def _for_stack(
    microscope: CheckedMicroscope,
    voxel_size: tuple[float, float, float],
    stack: tuple[int, int, int],
    warnings: tuple[str, ...],
) -> Simulated:
    """Compute as much of the PSF as a stack can see, and say what light that leaves out."""
    if microscope.modality != "light-sheet" and stack[0] > _DEEPEST:
        warnings += (
            f"The PSF is as deep as {_DEEPEST} planes can see, and the stack has {stack[0]}: haze "
            "from farther away stays in the result.",
        )
        stack = (_DEEPEST, *stack[1:])
    wanted = microscope.seen_shape(voxel_size, stack)
    narrower = min(1.0, (_MOST_VOXELS / math.prod(wanted)) ** 0.5)
    rows, columns = (max(int(narrower * n - 1) // 2 * 2 + 1, 3) for n in wanted[1:])
    shape = (wanted[0], rows, columns) if narrower < 1 else wanted
    volume = microscope.volume(voxel_size, shape)
    source = (
        f"{microscope.describe()}, refractive index {microscope.refractive_index:g}, "
        f"as deep as {stack[0]} planes can see"
    )
    said = ""
    if microscope.modality == "widefield":
        beyond = 100 * (1 - _share_held(microscope, voxel_size, volume))
        said = f"{beyond:.2g} % of the light in these planes goes farther sideways"
    if shape != wanted:
        warnings += (
            f"The PSF of such a stack is {wanted[1]} x {wanted[2]} pixels wide, more than is "
            f"computed: it was cut to {shape[1]} x {shape[2]}. {said or 'Haze goes farther'}.",
        )
    elif said:
        source += f"; {said} than the stack is wide"
    held = smallest_holding(volume, _KEPT[microscope.modality])
    if held.shape != volume.shape:
        cut = 100 * (1 - held.sum() / volume.sum())
        source += f"; {cut:.2g} % of it, where it is faint, left out"
    held = held / held.sum()
    return Simulated(held, voxel_size, source, warnings + plane_words(held, voxel_size[0]))


def _share_held(
    microscope: CheckedMicroscope,
    voxel_size: tuple[float, float, float],
    volume: NDArray[np.float64],
) -> float:
    """Share of the light of all planes that is within the array: each holds the same in all."""
    focus = volume[len(volume) // 2]
    radius = min(n * step / 2 for n, step in zip(focus.shape, voxel_size[1:], strict=True))
    whole = focus.sum() / diffraction.airy_share(microscope.na, microscope.wavelength, radius)
    return float(min(volume.sum() / (whole * len(volume)), 1.0))


def smallest_holding(volume: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Give the smallest part about the middle of a PSF that holds a share of its light.

    Parameters
    ----------
    volume
        (Z, Y, X), odd, not negative.
    share
        Between 0 and 1.

    Returns
    -------
    numpy.ndarray
        A view, odd; as much wider than high as the volume is.
    """
    light = volume
    for axis in range(3):
        go_on()
        # What is within a reach, for each reach from 0 on.
        light = np.moveaxis(light, axis, 0)
        middle = len(light) // 2
        folded = light[middle:].copy()
        folded[1:] += light[:middle][::-1]
        light = np.moveaxis(np.cumsum(folded, axis=0), 0, axis)
    deepest, *across = (n - 1 for n in light.shape)
    widest = max(across)
    rows, columns = (
        np.rint(np.arange(widest + 1) * n / max(widest, 1)).astype(int) for n in across
    )
    enough = light[:, rows, columns] >= share * light[-1, -1, -1]
    depths = np.arange(deepest + 1)[:, None]
    size = (2.0 * depths + 1) * (2.0 * rows + 1) * (2.0 * columns + 1)
    # Widths are measured over some planes and pixels.
    allowed = enough & (depths >= min(2, deepest)) & (np.minimum(rows, columns) >= min(2, *across))
    depth, width = np.unravel_index(np.argmin(np.where(allowed, size, np.inf)), size.shape)
    reach = (int(depth), int(rows[width]), int(columns[width]))
    return volume[
        tuple(slice(n // 2 - r, n // 2 + r + 1) for n, r in zip(volume.shape, reach, strict=True))
    ]


def checked_microscope(microscope: Microscope) -> CheckedMicroscope:
    """Check the numbers of a microscope and see that none is missing or out of place.

    Raises
    ------
    InputError
        If a number is out of its range, missing, or belongs to another modality.
    """
    modality: str = microscope.modality
    excitation_na = microscope.excitation_na
    excitation_wavelength = microscope.excitation_wavelength
    na = checked_na(microscope.na)
    wavelength = checked_wavelength(microscope.wavelength)
    index = checked_refractive_index(na, microscope.refractive_index)
    for name, owner in _BELONGS_TO.items():
        value = getattr(microscope, name)
        if value is not None and modality != owner:
            raise InputError(
                "other-modality",
                f"The {name.replace('_', ' ')} is {value} but the microscope is {modality}",
                Remedy("modality", owner, "to which it belongs"),
                f"leave the {name.replace('_', ' ')} out",
                quantity=name,
                modality=modality,
            )
    if modality == "widefield":
        return CheckedMicroscope(na, wavelength, "widefield", index)
    if modality == "light-sheet":
        if microscope.sheet_thickness is None:
            raise InputError(
                "sheet-thickness-unknown",
                "The sheet thickness is not known, the full width at half maximum along z that a "
                "light-sheet PSF needs",
                Remedy("sheet-thickness"),
            )
        thickness = checked_sheet(microscope.sheet_thickness)
        return CheckedMicroscope(na, wavelength, "light-sheet", index, sheet_thickness=thickness)
    if modality == "confocal":
        if excitation_wavelength is None:
            raise InputError(
                "excitation-wavelength-unknown",
                "The excitation wavelength, that of the laser, is not known, which a confocal PSF "
                "needs",
                Remedy("excitation-wavelength"),
            )
        laser = checked_wavelength(excitation_wavelength, "The excitation wavelength")
        if laser > wavelength:
            raise InputError(
                "wavelengths-swapped",
                f"The excitation wavelength is {nanometres((laser,))}, longer than the "
                f"{nanometres((wavelength,))} of the emission; check that they are not swapped.",
                excitation=laser,
                emission=wavelength,
            )
        aperture = (
            na if excitation_na is None else checked_na(excitation_na, "The NA of the excitation")
        )
        checked_refractive_index(aperture, index, "The NA of the excitation")
        pinhole = checked_pinhole(microscope.pinhole)
        return CheckedMicroscope(na, wavelength, "confocal", index, laser, aperture, pinhole)
    raise InputError(
        "modality-unknown",
        f"The modality is {modality!r}; it is widefield, confocal or light-sheet.",
        modality=modality,
    )


def _refuse_without_step(microscope: CheckedMicroscope, planes: int | None) -> None:
    if planes is not None:
        raise InputError(
            "axial-step-unknown",
            f"A PSF of {planes} planes is asked for and the distance between them is not known",
            Remedy("axial-step"),
        )
    if microscope.modality == "light-sheet":
        raise InputError(
            "axial-step-unknown",
            "The axial step is not known, and a light sheet shapes the PSF only along z",
            Remedy("axial-step"),
            Remedy("modality", "widefield", "for a 2D PSF"),
        )
