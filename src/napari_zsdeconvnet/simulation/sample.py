"""Phantoms with a known truth, a microscope that blurs them and a camera that counts photons.

A phantom is drawn on the grid that deconvolution works towards, and is larger than the field of
view by a margin, so that what lies just outside the image blurs into it as it does in a
microscope. `simulate` and `simulate_volume` do all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from ..noise.noise_model import NoiseModel
from ..psf.microscope import Modality
from ..psf.psf import PSF
from ..utils.errors import InputError
from .drawing import FloatImage, Path
from .phantoms import PHANTOMS, Structure, two_lines
from .phantoms_3d import PHANTOMS_3D

UPSAMPLING = 2
"""Fine pixels per raw pixel along Y and X, where resolution is doubled."""

BRIGHT_PERCENTILE = 99.9
"""The percentile of the noise-free image that `photons` speaks of."""

ROUNDING_VARIANCE = 1 / 12
"""Of a number that is rounded to a whole one, in counts squared."""

CONFOCAL_LASER, CONFOCAL_PINHOLE = 0.488, 1.0
"""Excitation in micrometres and pinhole in Airy units of a simulated confocal."""

SHEET_THICKNESS = 1.0
"""FWHM in micrometres of a simulated light sheet."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A simulated recording together with everything that is known about it.

    Attributes
    ----------
    raw, second_exposure
        Two recordings of the same structure with independent noise, axes YX or ZYX, uint16
        counts.
    noise_free
        Expected photons per raw voxel, without the offset, float32.
    truth
        The structure before blur on the output grid, whose Y and X may be doubled, in photons
        per raw voxel like `noise_free`: the two have the same mean wherever the structure is
        spread evenly.
    psf
        Point spread function on the grid of the truth.
    voxel_size
        Raw pixel or voxel in micrometres, one number per axis.
    noise
        The camera.
    kind
        Name of the phantom.
    paths, separations
        As in `phantoms.Structure`, in pixels of `truth`; parts may lie outside the image.
    """

    raw: NDArray[np.uint16]
    second_exposure: NDArray[np.uint16]
    noise_free: FloatImage
    truth: FloatImage
    psf: PSF
    voxel_size: tuple[float, ...]
    noise: NoiseModel
    kind: str
    paths: tuple[Path, ...] = ()
    separations: tuple[float, ...] = ()

    @property
    def axes(self) -> str:
        """Axes of every image of the sample."""
        return "ZYX"[-self.raw.ndim :]

    @property
    def upsampling(self) -> int:
        """Pixels of the truth per raw pixel along Y and X."""
        return int(self.truth.shape[-1] // self.raw.shape[-1])

    @property
    def pixel_size(self) -> float:
        """Raw pixel along Y and X in micrometres."""
        return self.voxel_size[-1]

    @property
    def truth_voxel_size(self) -> tuple[float, ...]:
        """Voxel of the truth in micrometres, one number per axis."""
        return _output_voxel(self.voxel_size, self.upsampling)


def simulate(
    kind: str = "filaments",
    *,
    shape: tuple[int, int] = (512, 512),
    photons: float = 50.0,
    noise: NoiseModel | None = None,
    na: float = 1.3,
    wavelength: float = 0.525,
    pixel_size: float = 0.0626,
    separation: float | Sequence[float] | None = None,
    seed: int = 0,
) -> Sample:
    """Simulate two exposures of a phantom with a known truth.

    Parameters
    ----------
    kind
        One of `PHANTOMS`: "filaments", "vesicles", "rings", "mesh", "cell" or "two_lines".
    shape
        Rows and columns of the recording, in raw pixels.
    photons
        The 99.9th percentile of the expected photons per raw pixel.
    noise
        The camera; by default offset 100, gain 1 count per electron, read variance 4.
    na, wavelength
        Numerical aperture, and emission wavelength in micrometres.
    pixel_size
        Raw pixel in micrometres.
    separation
        For "two_lines" alone: distance or distances of the two lines in micrometres, where
        0 is one single line; the distances are used in turn.
    seed
        Structure and both exposures depend on it, each by a random stream of its own: with
        another number of photons or another camera the structure stays the same.

    Raises
    ------
    InputError
        An unknown kind, a size or a number of photons that is not positive, or a camera
        whose gain is not known.

    Examples
    --------
    >>> import napari_zsdeconvnet as zs
    >>> sample = zs.simulate("filaments", shape=(64, 64), photons=50)
    >>> sample.raw.shape, sample.truth.shape
    ((64, 64), (128, 128))
    """
    check_kind(kind, PHANTOMS)
    if separation is not None and kind != "two_lines":
        raise InputError(
            "phantom-wrong",
            f"The phantom {kind!r} has no separation; leave it out or choose 'two_lines'.",
        )
    if len(shape) != 2 or min(shape) < 1:
        raise InputError(
            "shape-wrong", f"The shape {shape} is not a number of rows and columns; try (512, 512)."
        )
    check_positive(photons=photons, pixel_size=pixel_size)
    fine_pixel = pixel_size / UPSAMPLING
    phantom: Callable[..., Structure] = PHANTOMS[kind]
    if kind == "two_lines":
        phantom = partial(two_lines, separation=separation)
    return _record(
        kind,
        lambda canvas, rng: phantom(canvas, fine_pixel, rng),
        PSF.simulate(na=na, wavelength=wavelength, pixel_size=fine_pixel),
        shape=shape,
        voxel_size=(pixel_size, pixel_size),
        upsampling=UPSAMPLING,
        photons=photons,
        noise=noise,
        seed=seed,
    )


def simulate_volume(
    kind: str = "filaments",
    *,
    shape: tuple[int, int, int] = (32, 192, 192),
    photons: float = 50.0,
    noise: NoiseModel | None = None,
    na: float = 1.1,
    wavelength: float = 0.525,
    refractive_index: float = 1.33,
    voxel_size: tuple[float, float, float] = (0.2, 0.09, 0.09),
    modality: Modality = "widefield",
    psf: PSF | None = None,
    upsample: bool = False,
    seed: int = 0,
) -> Sample:
    """Simulate two exposures of a volume with a known truth.

    Parameters
    ----------
    kind
        One of `PHANTOMS_3D`: "filaments", "vesicles", "shell" or "cell".
    shape
        Planes, rows and columns of the recording.
    photons, noise, seed
        As for `simulate`.
    na, wavelength, refractive_index
        Numerical aperture, emission wavelength in micrometres and index of the medium.
    voxel_size
        Of the recording, (z, y, x) in micrometres, of which y and x are the same.
    modality
        "widefield"; "confocal" with a laser of 488 nm and a pinhole of 1 Airy unit; or
        "light-sheet" with a sheet of 1 µm FWHM.
    psf
        Any other 3D PSF, on the grid of the truth, in place of the microscope above.
    upsample
        Whether the truth has twice the pixels of the recording along Y and X.

    Raises
    ------
    InputError
        As for `simulate`, and if voxels are not square or the PSF is 2D or on another grid.
    """
    check_volume(kind, shape, voxel_size, photons)
    upsampling = UPSAMPLING if upsample else 1
    fine = _output_voxel(voxel_size, upsampling)
    if psf is None:
        psf = PSF.simulate(
            na=na,
            wavelength=wavelength,
            pixel_size=fine[-1],
            modality=modality,
            refractive_index=refractive_index,
            axial_step=fine[0],
            **_light(modality),
        )
    if psf.array.ndim != 3 or not (psf.voxel_size is None or np.allclose(psf.voxel_size, fine)):
        raise InputError(
            "psf-other-grid",
            f"The PSF has the axes {psf.axes} and the steps {psf.voxel_size}; bring it to the "
            f"grid of the truth with psf.resampled({fine}).",
        )
    phantom: Callable[..., Structure] = PHANTOMS_3D[kind]
    return _record(
        kind,
        lambda canvas, rng: phantom(canvas, fine, rng),
        psf,
        shape=shape,
        voxel_size=voxel_size,
        upsampling=upsampling,
        photons=photons,
        noise=noise,
        seed=seed,
    )


def _light(modality: Modality) -> dict[str, Any]:
    """How a microscope of this kind lights the sample, as `PSF.simulate` asks for it."""
    if modality == "confocal":
        return {"excitation_wavelength": CONFOCAL_LASER, "pinhole": CONFOCAL_PINHOLE}
    return {"sheet_thickness": SHEET_THICKNESS} if modality == "light-sheet" else {}


def _record(
    kind: str,
    phantom: Callable[[Any, np.random.Generator], Structure],
    psf: PSF,
    *,
    shape: tuple[int, ...],
    voxel_size: tuple[float, ...],
    upsampling: int,
    photons: float,
    noise: NoiseModel | None,
    seed: int,
) -> Sample:
    """Draw a phantom on the grid of the PSF, with a margin, and record it twice."""
    noise = noise or NoiseModel(offset=100.0, gain=1.0, read_variance=4.0)
    structure_rng, first_rng, second_rng = np.random.default_rng(seed).spawn(3)
    margin = np.array(psf.array.shape) // 2
    size = (*shape[:-2], *(upsampling * n for n in shape[-2:]))
    canvas = tuple((np.array(size) + 2 * margin).tolist())
    structure = phantom(canvas, structure_rng)

    blurred = blur(structure.density, psf)
    if upsampling == 2:
        blurred = bin_2x2(blurred)
    scale = photons / max(float(np.percentile(blurred, BRIGHT_PERCENTILE)), 1e-12)
    noise_free = (blurred * scale).astype(np.float32)
    inside = tuple(slice(m, n - m) for m, n in zip(margin, canvas, strict=True))
    return Sample(
        raw=camera(noise_free, noise, first_rng),
        second_exposure=camera(noise_free, noise, second_rng),
        noise_free=noise_free,
        truth=(structure.density[inside] * scale).astype(np.float32),
        psf=psf,
        voxel_size=voxel_size,
        noise=noise,
        kind=kind,
        paths=tuple(path - margin for path in structure.paths),
        separations=structure.separations,
    )


def _output_voxel(voxel_size: tuple[float, ...], upsampling: int) -> tuple[float, ...]:
    return (*voxel_size[:-2], *(size / upsampling for size in voxel_size[-2:]))


def check_volume(
    kind: str, shape: tuple[int, ...], voxel_size: tuple[float, ...], photons: float
) -> None:
    """Refuse what no volume can be simulated from."""
    check_kind(kind, PHANTOMS_3D)
    if len(shape) != 3 or min(shape) < 1:
        raise InputError(
            "shape-wrong",
            f"The shape {shape} is not a number of planes, rows and columns; try (32, 192, 192).",
        )
    if len(voxel_size) != 3 or voxel_size[1] != voxel_size[2]:
        raise InputError(
            "voxel-size-wrong",
            f"The voxel size is {voxel_size}; give (z, y, x) in micrometres with equal y and x.",
        )
    check_positive(photons=photons, voxel_size=min(voxel_size))


def check_kind(kind: str, phantoms: dict[str, Any]) -> None:
    """Refuse a kind that there is no phantom of."""
    if kind not in phantoms:
        raise InputError(
            "phantom-wrong", f"There is no phantom {kind!r}; choose one of {', '.join(phantoms)}."
        )


def check_positive(**values: float) -> None:
    """Refuse numbers that are not above 0."""
    for name, value in values.items():
        if not (np.isfinite(value) and value > 0):
            raise InputError(
                "not-positive",
                f"The value of {name.replace('_', ' ')} is {value}; it must be positive.",
            )


# The microscope and the camera


def blur(density: FloatImage, psf: PSF) -> FloatImage:
    """Convolve a density with the PSF, without the margin of half the PSF on every side.

    Both are on the same grid; what comes out is float32 and not negative.
    """
    image = signal.fftconvolve(density, psf.array, mode="valid")
    return np.asarray(np.maximum(image, 0), dtype=np.float32)


def bin_2x2(image: FloatImage) -> FloatImage:
    """Average 2x2 pixels into one, (..., Y, X): a flat image keeps its value and its type."""
    *planes, rows, columns = image.shape
    return np.asarray(image.reshape(*planes, rows // 2, 2, columns // 2, 2).mean(axis=(-3, -1)))


def camera(
    electrons: NDArray[np.floating], noise: NoiseModel, rng: np.random.Generator
) -> NDArray[np.uint16]:
    """Record an expected number of electrons: shot noise, gain, read noise, offset, rounding.

    The uint16 counts, clipped to 0 and 65535, have the mean ``offset + gain * electrons`` and the
    variance ``gain**2 * electrons + read_variance``. The variance of 1/12 that rounding adds counts
    toward the read variance, as it does in every measurement of it; there is no less.

    Raises
    ------
    InputError
        The gain is not known, or an expectation is negative or not finite.
    """
    if noise.gain is None:
        raise InputError(
            "gain-unknown", "The noise model has no gain; give one in counts per electron."
        )
    if not np.all(np.isfinite(electrons)) or np.any(electrons < 0):
        raise InputError("electrons-wrong", "Expected electrons must be finite and not negative.")
    counts = noise.offset + noise.gain * _multiplied(rng.poisson(electrons), noise, rng)
    before_rounding = max(noise.read_variance - ROUNDING_VARIANCE, 0.0)
    counts += rng.normal(scale=np.sqrt(before_rounding), size=counts.shape)
    return np.asarray(np.clip(np.rint(counts), 0, 65535), dtype=np.uint16)


def _multiplied(electrons: NDArray[np.int64], noise: NoiseModel, rng: np.random.Generator) -> Any:
    """Multiply electrons with the camera's excess noise, to as many on average."""
    spread = noise.excess_noise - 1
    # A gamma distribution, exponential for one electron and an excess of 2 (Basden et al., 2003).
    return electrons if spread == 0 else rng.gamma(electrons / spread, spread)
