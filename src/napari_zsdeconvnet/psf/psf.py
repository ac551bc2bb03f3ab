"""The point spread function: what the microscope makes of a point, on a stated grid."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..io.grid import nanometres
from ..io.image import Image
from ..io.image_writing import write_image
from ..utils.errors import InputError, Remedy
from ..utils.files import written_whole
from . import grid as psf_grid
from . import making
from .checks import (
    VoxelSize,
    background_words,
    centre_words,
    check_light,
    checked_pixels,
    cut_words,
    finite,
    in_order,
    noise_words,
    odd,
    plane_words,
    shape_words,
    times,
    top_words,
    unlikely_words,
    voxel_sizes,
    width_words,
)
from .microscope import Microscope, Modality, checked_microscope, simulated

_AXES = {2: "YX", 3: "ZYX"}


@dataclass(frozen=True, eq=False)
class PSF:
    """A point spread function: sum 1, odd in every axis, its centre in the middle pixel.

    Make one with `read`, `simulate`, `from_beads` or `from_array`, which see to all of
    that; the constructor only checks it.

    Attributes
    ----------
    array
        (Y, X) or (Z, Y, X), float32, read-only, not negative.
    voxel_size
        Micrometres for each axis of `array`; None where not known.
    source
        Where it came from, in words.
    shift
        Where the centre was before it was moved, in pixels from the middle of the original
        array, one value per axis; empty for a PSF that was never moved.
    background
        Counts that were subtracted.
    warnings
        What the user should know, one sentence each.

    Examples
    --------
    >>> import napari_zsdeconvnet as zs
    >>> psf = zs.PSF.simulate(na=1.4, wavelength=0.525, pixel_size=0.05)
    >>> psf.array.shape, psf.voxel_size, round(psf.fwhm[0], 2)
    ((77, 77), (0.05, 0.05), 0.2)
    """

    array: NDArray[np.float32]
    voxel_size: tuple[float, ...] | None = None
    source: str = "array"
    shift: tuple[float, ...] = ()
    background: float = 0.0
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        array = np.array(self.array, dtype=np.float32, order="C")
        sound = (
            array.ndim in _AXES
            and all(n % 2 for n in array.shape)
            and bool(np.isfinite(array).all())
            and float(array.min()) >= 0
            and abs(float(array.sum(dtype=float)) - 1) < 1e-3
        )
        if not sound:
            raise InputError(
                "psf-unfinished",
                f"The array of shape {array.shape} is no finished PSF (2D or 3D, odd, not "
                "negative, sum 1)",
                Remedy("finish-psf"),
            )
        array.setflags(write=False)
        object.__setattr__(self, "array", array)
        if self.voxel_size is not None:
            object.__setattr__(self, "voxel_size", voxel_sizes(self.voxel_size, array.ndim))

    # Making one

    @classmethod
    def from_array(
        cls,
        array: ArrayLike,
        voxel_size: VoxelSize | None = None,
        *,
        background: float | Literal["auto"] = "auto",
        source: str = "array",
        axes: str | None = None,
    ) -> PSF:
        """Take any image of a point: subtract its background, centre it, normalise it.

        An array of even size has no middle pixel: it is brought to odd size about its peak,
        with a warning. The centre is that of the core, the part above half of the maximum;
        it is moved to the middle pixel by whole pixels and a Fourier shift, so a lopsided
        PSF keeps its shape and orientation.

        Parameters
        ----------
        array
            (Y, X) or (Z, Y, X), any real type. Axes of length one in front are dropped.
        voxel_size
            Micrometres: one value for all axes, or one for each, (Z,) Y, X.
        background
            Counts to subtract. "auto" measures it in a frame along the borders, and leaves a
            computed PSF, whose faint tails are real, as it is. 0 changes nothing.
        source
            What it is, in words.
        axes
            Letters of the axes of `array` where their order is another, such as "YXZ".

        Raises
        ------
        InputError
            If the array is not 2D or 3D, complex, not finite, constant, negative beyond
            noise, or holds no light.
        """
        pixels = checked_pixels(in_order(array, axes))
        steps = None if voxel_size is None else voxel_sizes(voxel_size, pixels.ndim)
        level = None if background == "auto" else finite(background, "The background")
        if level == 0.0:
            cleaned = psf_grid.Cleaned(pixels, 0.0, 0.0)
        else:
            cleaned = psf_grid.without_background(pixels, level)
        return cls.finished(cleaned, steps, source)

    @classmethod
    def finished(
        cls, cleaned: psf_grid.Cleaned, steps: tuple[float, ...] | None, source: str
    ) -> PSF:
        """Centre and normalise a PSF without background, and say what is odd about it."""
        check_light(cleaned)
        flat = top_words(cleaned.array)
        moved, shift = psf_grid.centred(cleaned.array)
        warnings = [
            *background_words(cleaned),
            *centre_words(cleaned.array.shape, moved.shape, shift),
            *shape_words(moved),
            *width_words(moved, steps),
            *unlikely_words(moved, steps),
            *cut_words(cleaned.array),
            *noise_words(cleaned),
            *flat,
        ]
        if moved.ndim == 3 and steps is not None:
            warnings += plane_words(moved, steps[0])
        return cls(
            psf_grid.normalised(moved), steps, source, shift, float(cleaned.level), tuple(warnings)
        )

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        voxel_size: VoxelSize | None = None,
        *,
        plane: int | Literal["focus"] | None = None,
        background: float | Literal["auto"] = "auto",
        axes: str | None = None,
    ) -> PSF:
        """Read a PSF from TIFF, .npy or MRC, or compute it from a radial OTF in an MRC.

        The pixel size is taken from ImageJ or OME tags, or from the MRC header (Angstrom; in
        a DeltaVision file micrometres), unless it is given. A complex MRC is taken for a
        radially averaged OTF as SIM engines write it: kz along x in the order of an FFT, kr
        along y from zero, one section per order, of which the first is used; for a 2D OTF kr
        along x and one row; the header's cell lengths are the distances between samples in
        cycles per micrometre. A voxel size of two values gives its plane in focus (the sum
        over kz), one of three the volume.

        Parameters
        ----------
        path
            The file.
        voxel_size
            Micrometres: one value for all axes, or one for each, (Z,) Y, X.
        plane
            Take one plane of a volume: "focus", or its index in the centred volume.
        background, axes
            As in `from_array`.

        Raises
        ------
        InputError
            If the file cannot be read, or holds no PSF; see `from_array`.
        """
        return making.read(cls, Path(path), voxel_size, plane, background, axes)

    @classmethod
    def simulate(
        cls,
        na: float,
        wavelength: float,
        pixel_size: VoxelSize,
        *,
        modality: Modality = "widefield",
        refractive_index: float | None = None,
        axial_step: float | None = None,
        planes: int | None = None,
        size: int | None = None,
        stack: Sequence[int] | None = None,
        excitation_wavelength: float | None = None,
        excitation_na: float | None = None,
        pinhole: float | None = None,
        sheet_thickness: float | None = None,
    ) -> PSF:
        """Compute the PSF of a microscope by scalar diffraction theory.

        Widefield: in 2D the Airy pattern, in 3D the Debye integral through focus. Confocal:
        the product of those of excitation and emission, the latter averaged over the pinhole.
        Light-sheet: widefield times a Gaussian sheet along z. `diffraction` has the equations.
        Pixels hold the light of their area, as a camera's do; planes are not integrated.

        Parameters
        ----------
        na, wavelength
            Numerical aperture that collects the light, and its wavelength in vacuum, micrometres.
        pixel_size
            Of the PSF's own grid in the sample, micrometres; (y, x) where they differ. For
            training with doubled resolution that is half of the raw pixel.
        modality
            "widefield", "confocal" (also in 2D) or "light-sheet" (in 3D).
        refractive_index
            Of the medium, above `na`; None takes air (1.0), water (1.33) or oil (1.515) by
            the NA. It shapes the PSF only along z.
        axial_step
            Micrometres between planes; None makes a 2D PSF.
        planes
            Odd number of planes. None, without `stack`, reaches three axial widths of the
            widefield PSF to either side, or 1.2 thicknesses of the sheet, in 65 planes at most.
        size
            Odd number of pixels across. None, without `stack`, holds 98 % of the light of the
            plane in focus and, but for a confocal, the cone of light, in 129 pixels at most.
        stack
            Shape (Z, Y, X) of the volume to be deconvolved, on the grid of the PSF. The PSF is
            then as deep as that volume can see, 2 Z - 1 planes, and as wide as its cone of light
            is there, 2 Y - 1 and 2 X - 1 pixels at most: light that goes farther never meets
            the stack again. It is cut to the smallest box that holds 99 % of its light, and
            `source` says what is left out. Thick samples in a widefield microscope need it: most of
            their light lies there. `planes` or `size`, if given, go before.
        excitation_wavelength, excitation_na
            Of the laser of a confocal; an aperture of None means `na`.
        pinhole
            Its diameter in Airy units, of 1.22 wavelength / NA each. None means a point, which
            makes the PSF the plain product of excitation and emission; 1 is usual.
        sheet_thickness
            Full width at half maximum of a light sheet along z, micrometres.

        Raises
        ------
        InputError
            If a number is out of its range, looks like nanometres, is missing for the modality,
            or belongs to another one.
        """
        microscope = checked_microscope(
            Microscope(
                na,
                wavelength,
                modality,
                refractive_index,
                excitation_wavelength,
                excitation_na,
                pinhole,
                sheet_thickness,
            )
        )
        seen = None if stack is None else _checked_stack(stack)
        result = simulated(
            microscope, pixel_size, axial_step=axial_step, planes=planes, size=size, stack=seen
        )
        return cls(
            psf_grid.normalised(result.array),
            result.voxel_size,
            result.source,
            warnings=result.warnings,
        )

    @classmethod
    def of(
        cls,
        microscope: Microscope,
        grid: tuple[float, ...],
        stack: tuple[int, ...] | None = None,
    ) -> PSF:
        """Simulate the PSF of a microscope on a grid, (y, x) or (z, y, x) micrometres.

        Parameters and errors are those of `simulate`.
        """
        through: dict[str, Any] = {"axial_step": grid[0], "stack": stack} if len(grid) == 3 else {}
        return cls.simulate(pixel_size=(grid[-2], grid[-1]), **vars(microscope), **through)

    @classmethod
    def from_beads(
        cls,
        image: ArrayLike | Image,
        voxel_size: VoxelSize | None = None,
        *,
        diameter: float | None = None,
        size: int | None = None,
    ) -> PSF:
        """Average the beads in an image: found, cropped, aligned below the pixel, cleaned.

        Left out are beads near the border, saturated, too close to another, and those whose
        brightness or width is far from the median; `source` says how many. Where none is left,
        beads near one another or the border are fitted together, each where it is whole.

        Parameters
        ----------
        image
            Beads on a dark background in camera counts, (Y, X) or (Z, Y, X).
        voxel_size
            Micrometres: one value for all axes, or one for each; None takes that of an
            `Image`.
        diameter
            Of the beads, micrometres. Given, their own width is taken out by dividing by the
            spectrum of a ball, by no more than a factor of 2.5.
        size
            Odd size of the crops in pixels; None takes eight widths.

        Returns
        -------
        PSF
            On the grid of the image: usually the raw one, to be resampled to the output's.

        Raises
        ------
        InputError
            If no usable bead is found; the message counts the reasons.
        """
        return making.average_of_beads(cls, image, voxel_size, diameter, size)

    # Changing the grid

    def resampled(self, voxel_size: VoxelSize) -> PSF:
        """Put the PSF on another grid, as if recorded with those pixels.

        Interpolated by a cosine series; laterally the area of the old pixel is replaced by
        that of the new one, along z the planes are sampled, since a stage stops at each. So
        twice the axial step is every second plane. The sum stays 1, the centre in the middle;
        the field shrinks to whole new pixels.

        Parameters
        ----------
        voxel_size
            Micrometres: one value for all axes, or one for each.

        Raises
        ------
        InputError
            If the PSF's own voxel size is not known, the number of axes differs, or less than
            three new pixels fit in.
        """
        if self.voxel_size is None:
            raise InputError(
                "psf-voxel-size-unknown",
                "The PSF has no voxel size, so it cannot be put on another grid",
                Remedy("psf-voxel-size", ", ".join(self.axes.lower())),
            )
        steps = voxel_sizes(voxel_size, self.array.ndim)
        if np.allclose(steps, self.voxel_size, rtol=1e-4):
            return self
        array = psf_grid.resampled(self.array.astype(float), self.voxel_size, steps)
        if min(array.shape) < 3:
            extent = " x ".join(
                f"{1000 * n * s:.0f}"
                for n, s in zip(self.array.shape, self.voxel_size, strict=True)
            )
            raise InputError(
                "psf-too-small",
                f"The PSF covers {extent} nm, less than three voxels of {nanometres(steps)}; check "
                "the voxel size or give a larger PSF.",
            )
        warnings = list(self.warnings)
        nyquist = 0.5 / max(self.voxel_size[-2:])
        finer = min(steps[-2:]) < 0.99 * min(self.voxel_size[-2:])
        if finer and self.otf_cutoff > 0.98 * nyquist:
            warnings.append(
                f"The PSF was recorded on pixels of {nanometres(self.voxel_size[-1:])}, too coarse "
                "for its detail, which a finer grid cannot bring back; record or simulate it finer."
            )
        if self.array.ndim == 3 and steps[0] > self.voxel_size[0]:
            warnings += plane_words(array, steps[0])
        return replace(
            self, array=psf_grid.normalised(array), voxel_size=steps, warnings=tuple(warnings)
        )

    def limited(self, planes: int, field: Sequence[int] | None = None) -> PSF:
        """Keep of a 3D PSF what a stack of so many planes, and rows and columns, can see of it.

        Light of one voxel of `n` in a row reaches another over at most `n` - 1 steps, so that
        no more than 2 `n` - 1 are ever used. The rest keeps its shape and is brought to the sum
        1 again; a warning says what was left out. Without a field it stays as wide as it is. Raises
        InputError if the planes are no whole number from 1.
        """
        count = finite(planes, "The number of planes")
        if count != int(count) or count < 1:
            raise InputError(
                "no-whole-number",
                f"The number of planes is {planes}; give that of the stack, from 1.",
            )
        if self.array.ndim == 2:
            return self
        seen = 2 * int(count) - 1
        have = len(self.array)
        psf = self._within(
            (seen, *self.array.shape[1:]),
            f"The PSF has {have} planes, of which a stack of {int(count)} can see {seen}; "
            f"the other {have - seen}",
        )
        return psf if field is None else psf._cut_across([2 * length - 1 for length in field])

    def within_field(self, field: Sequence[int]) -> PSF:
        """Keep of a 2D PSF what is no wider than an image of so many rows and columns.

        A warning says what was left out.
        """
        return self._cut_across([length - (length + 1) % 2 for length in field])

    def _cut_across(self, field: Sequence[int]) -> PSF:
        """Crop Y and X to what an image can see, odd numbers of pixels."""
        have = self.array.shape[-2:]
        seen = tuple(min(n, most) for n, most in zip(have, field, strict=True))
        return self._within(
            (*self.array.shape[:-2], *seen),
            f"The PSF is {times(have)} pixels wide, of which an image of this size can see "
            f"{times(seen)}; the rest",
        )

    def _within(self, most: tuple[int, ...], what: str) -> PSF:
        """Crop to an odd shape; `what` begins the sentence that says so."""
        reach = [min(n, m) // 2 for n, m in zip(self.array.shape, most, strict=True)]
        if tuple(2 * r + 1 for r in reach) == self.array.shape:
            return self
        window = tuple(
            slice(n // 2 - r, n // 2 + r + 1) for n, r in zip(self.array.shape, reach, strict=True)
        )
        array = self.array[window].astype(float)
        lost = 1 - array.sum() / self.array.sum(dtype=float)
        verb = "was" if what.endswith("rest") else "were"
        words = f"{what}, with {100 * lost:.2g} % of its light, {verb} left out."
        return replace(self, array=psf_grid.normalised(array), warnings=(*self.warnings, words))

    def plane(self, index: int | None = None) -> PSF:
        """Take one plane of a 3D PSF as a 2D PSF, by default that in focus; of a 2D PSF, itself.

        Raises InputError if there is no such plane, or no light in it.
        """
        if self.array.ndim == 2:
            return self
        planes = len(self.array)
        chosen = planes // 2 if index is None else index
        if not 0 <= chosen < planes:
            raise InputError(
                "psf-plane-missing",
                f"Plane {chosen} does not exist in a PSF of {planes} planes; give an index from 0 "
                f"to {planes - 1}, or nothing for the one in focus.",
                plane=chosen,
                planes=planes,
            )
        plane = self.array[chosen].astype(float)
        if plane.sum() <= 0:
            raise InputError(
                "psf-plane-dark",
                f"Plane {chosen} of the PSF holds no light; take one nearer to the focus, "
                f"{planes // 2}.",
                plane=chosen,
            )
        return replace(
            self,
            array=psf_grid.normalised(plane),
            voxel_size=None if self.voxel_size is None else self.voxel_size[1:],
            source=f"{self.source}, plane {chosen} of {planes}",
            shift=self.shift[1:],
        )

    def cropped(self, size: int) -> PSF:
        """Keep the middle `size` pixels (odd) along Y and X at most, and make the sum 1 again."""
        half = odd(size, "The size") // 2
        window = tuple(
            slice(max(n // 2 - half, 0), n // 2 + half + 1) for n in self.array.shape[-2:]
        )
        return replace(
            self, array=psf_grid.normalised(self.array[..., window[0], window[1]].astype(float))
        )

    # What it is

    @property
    def axes(self) -> str:
        """Letters of the array's axes, "YX" or "ZYX"."""
        return _AXES[self.array.ndim]

    @property
    def steps(self) -> tuple[float, ...]:
        """Voxel size in micrometres, or 1 for each axis (pixels) where it is not known."""
        return self.voxel_size or (1.0,) * self.array.ndim

    @property
    def unit(self) -> str:
        """Unit of all lengths here: "um", or "pixels" where the voxel size is not known."""
        return "pixels" if self.voxel_size is None else "um"

    @property
    def fwhm(self) -> tuple[float, ...]:
        """Full width at half of the maximum along each axis, in `unit`; nan if cut off."""
        return psf_grid.widths(self.array.astype(float), self.steps)

    @property
    def otf_cutoff(self) -> float:
        """Lateral frequency where the OTF of the plane in focus falls below 0.5 %.

        In cycles per `unit`, averaged over all directions, at most the grid's Nyquist
        frequency. For an ideal objective 2 to 3 % below 2 NA / wavelength.
        """
        plane = self.plane()
        return psf_grid.cutoff(plane.array.astype(float), (plane.steps[0], plane.steps[1]))

    def energy_radius(self, fraction: float = 0.9) -> float:
        """Radius, in `unit`, of the circle with a fraction of the light, all planes summed."""
        plane = self.array.sum(axis=0, dtype=float) if self.array.ndim == 3 else self.array
        return psf_grid.energy_radius(
            np.asarray(plane, dtype=float), (self.steps[-2], self.steps[-1]), fraction
        )

    def profile(self, axis: int = -1) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Line along an axis through the centre, for a plot.

        Distance from the centre in `unit`; and the intensity, 1 at the centre.
        """
        middle: list[Any] = [n // 2 for n in self.array.shape]
        middle[axis] = slice(None)
        values = self.array[tuple(middle)].astype(np.float64)
        positions = (np.arange(len(values)) - len(values) // 2) * self.steps[axis]
        return positions.astype(np.float64), values / values[len(values) // 2]

    def describe(self) -> str:
        """Say grid, width, finest detail and origin in words."""
        grid = "x".join(str(n) for n in self.array.shape)
        step = " (voxel size not known)"
        if self.voxel_size:
            step = f" of {nanometres(self.voxel_size)}"
        unit, form = ("pixels", "{:.3g}") if self.voxel_size is None else ("nm", "{:.0f}")
        scale = 1 if self.voxel_size is None else 1000
        width = " x ".join(
            "cut off" if math.isnan(w) else form.format(scale * w) for w in self.fwhm
        )
        letters = ", ".join(self.axes.lower())
        return (
            f"{self.array.ndim}D PSF, {grid} pixels{step}; FWHM {width} {unit} ({letters}); "
            f"finest period {form.format(scale / self.otf_cutoff)} {unit}; {self.source}."
        )

    # Keeping it

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a float32 TIFF (.tif or .tiff) with its voxel size, or .npy without one.

        Raises InputError if the name ends in something else or the file cannot be written.
        """
        if Path(path).suffix.lower() != ".npy":
            write_image(path, self.array, axes=self.axes, voxel_size=self.voxel_size)
            return
        with written_whole(path) as temporary, temporary.open("wb") as file:
            np.save(file, self.array)

    def to_metadata(self) -> dict[str, Any]:
        """Everything but the array, fit for JSON and `from_metadata`."""
        return {
            "voxel_size": None if self.voxel_size is None else list(self.voxel_size),
            "source": self.source,
            "shift": list(self.shift),
            "background": self.background,
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_metadata(cls, array: ArrayLike, metadata: dict[str, Any]) -> PSF:
        """Put together again, to the bit, what `array` and `to_metadata` hold.

        Raises InputError if the array is no finished PSF.
        """
        voxel_size = metadata["voxel_size"]
        return cls(
            np.asarray(array, dtype=np.float32),
            None if voxel_size is None else tuple(voxel_size),
            str(metadata["source"]),
            tuple(metadata["shift"]),
            float(metadata["background"]),
            tuple(metadata["warnings"]),
        )


def _checked_stack(stack: Sequence[int]) -> tuple[int, int, int]:
    shape = tuple(int(finite(length, "The stack")) for length in stack)
    if len(shape) != 3 or min(shape) < 2:
        raise InputError(
            "stack-shape-wrong",
            f"The stack is {tuple(stack)}; give the numbers of planes, rows and columns, two or "
            "more each.",
        )
    return shape[0], shape[1], shape[2]
