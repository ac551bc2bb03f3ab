"""The microscope's optical transfer function on any grid of frequencies, shifted or not."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..psf.files import MRC_SUFFIXES, read_psf_file
from ..psf.psf import PSF
from ..utils.errors import InputError, Remedy

FloatArray = NDArray[np.float64]

_SAME_PIXEL = 0.02  # relative difference up to which two pixel sizes are the same


class OTF:
    """What a camera's pixel sees of each spatial frequency, 1 at frequency 0.

    The area over which a raw pixel gathers light is part of it.

    Parameters
    ----------
    na
        Numerical aperture that collects the light.
    wavelength
        Of the emitted light, micrometres.
    pixel_size
        Of the raw frames, micrometres.
    psf
        The microscope's PSF on the raw grid or on one twice as fine, in place of an ideal
        microscope; or the path of a file with a PSF or with a radially averaged OTF (a complex
        MRC), as `PSF.read` takes them.
    attenuation
        Factor by which the OTF falls short of an ideal one's towards the cutoff, as that of a
        real microscope does; 1 leaves it ideal. A PSF or OTF of one's own is left alone.

    Raises
    ------
    InputError
        If the PSF is 3D or lies on another grid, or the file cannot be read.
    """

    def __init__(
        self,
        na: float,
        wavelength: float,
        pixel_size: float,
        psf: PSF | str | os.PathLike[str] | None = None,
        attenuation: float = 1.0,
    ) -> None:
        self.na = na
        self.wavelength = wavelength
        self.pixel_size = pixel_size
        self.attenuation = attenuation
        self._kernel: tuple[FloatArray, float] | None = None
        self._radial: tuple[FloatArray, FloatArray] | None = None
        if psf is not None and not isinstance(psf, PSF):
            path = Path(psf)
            if path.suffix.lower() in MRC_SUFFIXES and path.is_file():
                self._radial = _radial_profile(path)
            if self._radial is None:
                psf = PSF.read(path)
        self.psf = psf if isinstance(psf, PSF) else None
        if self.psf is not None:
            self._kernel = self.psf.array.astype(float), checked_step(self.psf, pixel_size)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers and lists, ready for JSON."""
        return {
            "na": self.na,
            "wavelength": self.wavelength,
            "pixel_size": self.pixel_size,
            "attenuation": self.attenuation,
            "kernel": self._kernel and [self._kernel[0].tolist(), self._kernel[1]],
            "radial": self._radial and [axis.tolist() for axis in self._radial],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> OTF:
        """Rebuild an OTF from what `to_dict` returned."""
        made = cls(
            values["na"],
            values["wavelength"],
            values["pixel_size"],
            attenuation=values["attenuation"],
        )
        if values["kernel"]:
            made._kernel = np.asarray(values["kernel"][0], float), float(values["kernel"][1])
        if values["radial"]:
            frequency, value = (np.asarray(axis, float) for axis in values["radial"])
            made._radial = frequency, value
        return made

    @property
    def is_known(self) -> bool:
        """Whether it is that of this microscope and not of an ideal one."""
        return self._kernel is not None or self._radial is not None

    @property
    def cutoff(self) -> float:
        """Frequency from which on nothing passes, cycles per micrometre."""
        return 2 * self.na / self.wavelength

    def at(
        self, ky: NDArray[np.floating], kx: NDArray[np.floating]
    ) -> NDArray[np.complexfloating] | FloatArray:
        r"""Evaluate the OTF where two axes of frequencies cross.

        The ideal one is that of a circular pupil in incoherent light, J. Goodman,
        Introduction to Fourier Optics, section 6.3,

        .. math:: H(\nu) = \tfrac{2}{\pi}\bigl(\arccos\nu - \nu\sqrt{1 - \nu^2}\bigr),
            \quad \nu = k / k_\mathrm{cutoff}

        times :math:`a^\nu`, `a` being the attenuation.

        Parameters
        ----------
        ky, kx
            Frequencies along Y and along X, cycles per micrometre, of any spacing.

        Returns
        -------
        numpy.ndarray
            (len(ky), len(kx)), real where the OTF is symmetric, and zero beyond the cutoff.
        """
        radius = np.hypot(ky[:, None], kx)
        within = radius < self.cutoff
        if self._radial is not None:
            return np.asarray(np.interp(radius, *self._radial, right=0.0) * within)
        if self._kernel is None:
            share = radius[within] / self.cutoff
            ideal_one = np.zeros(radius.shape)
            ideal_one[within] = ideal(share) * self.attenuation**share
            area = _seen_by_pixel(ky, self.pixel_size), _seen_by_pixel(kx, self.pixel_size)
            return np.asarray(ideal_one * np.outer(*area))
        kernel, step = self._kernel
        values = (
            _fourier(ky, kernel.shape[0], step) @ kernel @ _fourier(kx, kernel.shape[1], step).T
        )
        if step < 0.75 * self.pixel_size:
            # A PSF on the doubled grid becomes the raw pixel's by binning 2x2.
            values *= np.outer(np.cos(np.pi * ky * step), np.cos(np.pi * kx * step))
        return np.asarray(values * within)


def ideal(frequency: NDArray[np.floating]) -> FloatArray:
    """Give the ideal OTF against the frequency in units of the cutoff."""
    nu = np.clip(frequency, 0, 1)
    return np.asarray(2 / np.pi * (np.arccos(nu) - nu * np.sqrt(1 - nu**2)))


def checked_step(psf: PSF, pixel_size: float) -> float:
    """Give the pixel of a PSF in micrometres, which must be the raw one or half of it."""
    if psf.array.ndim != 2:
        raise InputError(
            "psf-not-2d",
            f"The PSF is a volume of shape {psf.array.shape}",
            Remedy("psf-plane"),
        )
    if psf.voxel_size is None:
        return pixel_size / 2
    fine = psf.voxel_size[0]
    square = math.isclose(*psf.voxel_size, rel_tol=_SAME_PIXEL)
    for step in (pixel_size, pixel_size / 2):
        if square and math.isclose(fine, step, rel_tol=_SAME_PIXEL):
            return step
    have = " x ".join(f"{1000 * size:.4g}" for size in psf.voxel_size)
    raise InputError(
        "psf-pixel-size",
        f"The PSF has pixels of {have} nm and the raw frames of {1000 * pixel_size:.4g} nm; "
        f"resample it to half of them, {500 * pixel_size:.4g} nm.",
    )


def _radial_profile(path: Path) -> tuple[FloatArray, FloatArray] | None:
    """Read frequencies and values of a radial OTF in focus; None where the file has a PSF."""
    file = read_psf_file(path)
    if file.otf is None:
        return None
    in_focus = np.asarray(np.abs(file.otf.sum(axis=1)), dtype=float)
    frequency = file.otf_steps[0] * np.arange(len(in_focus), dtype=float)
    return frequency, in_focus / in_focus[0]


def _seen_by_pixel(frequency: NDArray[np.floating], pixel_size: float) -> FloatArray:
    return np.asarray(np.sinc(frequency * pixel_size))


def _fourier(frequency: NDArray[np.floating], length: int, step: float) -> NDArray[np.complex128]:
    positions = (np.arange(length) - length // 2) * step
    return np.exp(-2j * np.pi * np.outer(frequency, positions))
