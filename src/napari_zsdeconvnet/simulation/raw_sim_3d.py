"""Structured illumination in three dimensions: stacks as engines reconstruct them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from ..noise.noise_model import NoiseModel
from ..psf.psf import PSF
from ..utils.errors import InputError
from .drawing import FloatImage
from .phantoms import Structure
from .phantoms_3d import PHANTOMS_3D
from .raw_sim import ANGLES, check_shares
from .sample import (
    BRIGHT_PERCENTILE,
    UPSAMPLING,
    Sample,
    blur,
    camera,
    check_positive,
    check_volume,
)

PHASES = 5
"""Frames of each orientation and plane in 3D."""

DENSITIES: dict[str, dict[str, float]] = {
    "filaments": {"density": 0.03},
    "vesicles": {"density": 0.4},
}
"""Objects per cubic micrometre: in the small field of a SIM stack a widefield phantom's own
densities would leave next to nothing."""

VoxelSize = tuple[float, float, float]


@dataclass(frozen=True)
class ThreeBeams:
    r"""Light of three beams that cross in the sample, one of them along the optical axis.

    .. math:: I(r, z) = 1 + d \left( \tfrac{4}{3} \cos\theta \cos 2\pi k_z z
              + \tfrac{2}{3} \cos 2\theta \right), \quad
              \theta = \pi k \cdot (r - c)

    the intensity of three equal beams, with :math:`|k|` one over `period`, :math:`z` counted
    from the plane in focus and :math:`c` the centre of the image.

    Attributes
    ----------
    period
        Of the finer stripes, in micrometres; the coarser ones, which change along z, have
        twice as much.
    angles
        Direction in which the light of each orientation varies, in degrees.
    depth
        0 to 1.
    axial_frequency
        Of the change along z, in cycles per micrometre.
    """

    period: float
    angles: tuple[float, ...]
    depth: float
    axial_frequency: float

    @classmethod
    def crossing(
        cls,
        period: float,
        angles: Sequence[float],
        depth: float,
        *,
        excitation_wavelength: float,
        refractive_index: float,
    ) -> ThreeBeams:
        """Find the change along z from the angle at which the beams must cross.

        Raises
        ------
        InputError
            If no beams of that wavelength make stripes so fine.
        """
        sine = excitation_wavelength / (2 * period * refractive_index)
        if sine >= 1:
            raise InputError(
                "sim-period-impossible",
                f"The period is {1000 * period:g} nm, finer than light of "
                f"{1000 * excitation_wavelength:g} nm makes it in a medium of index "
                f"{refractive_index:g}; give at least "
                f"{excitation_wavelength / (2 * refractive_index):.3f} µm.",
            )
        axial = refractive_index / excitation_wavelength * (1 - math.sqrt(1 - sine**2))
        return cls(period, tuple(angles), depth, axial)

    def turns(self, shape: tuple[int, ...], pixel_size: float) -> list[NDArray[np.float64]]:
        r"""Give :math:`\theta` for each orientation, (Y, X) radians."""
        y, x = ((np.arange(n) - (n - 1) / 2) * pixel_size for n in shape)
        return [
            np.pi / self.period * (math.sin(angle) * y[:, None] + math.cos(angle) * x)
            for angle in np.deg2rad(self.angles)
        ]


def simulate_sim_volume(
    kind: str = "filaments",
    *,
    shape: tuple[int, int, int] = (24, 192, 192),
    photons: float = 20.0,
    voxel_size: VoxelSize = (0.125, 0.04, 0.04),
    na: float = 1.4,
    wavelength: float = 0.525,
    refractive_index: float = 1.515,
    excitation_wavelength: float = 0.488,
    period: float = 0.2,
    angles: Sequence[float] = ANGLES,
    depth: float = 0.8,
    wiener: float = 0.1,
    noise: NoiseModel | None = None,
    seed: int = 0,
) -> Sample:
    r"""Simulate a stack as an engine for 3D-SIM hands it over, twice, with a known truth.

    The structure is blurred by the SIM PSF, the widefield one narrowed by half. The noise is
    what a Wiener reconstruction of 15 noisy frames leaves: white noise of the camera, filtered by

    .. math:: A \frac{\sqrt D}{D + w^2}, \qquad D(k) = \sum_m d_m^2 |H_m(k + k_m)|^2

    over all orders :math:`m` of all orientations, with an apodisation :math:`A` that falls in a
    straight line to the edge of the band (Gustafsson et al., Biophysical Journal 94, 2008, 4957,
    equation 8). It has mean zero, is strongest where only one order reaches, and so it goes below
    zero and is correlated from voxel to voxel, which tells such a stack from one that a camera
    recorded.

    Parameters
    ----------
    kind, shape, na, wavelength, refractive_index, noise, seed
        As for `simulate_volume`.
    photons
        The 99.9th percentile of the photons that a raw pixel, twice as large as a voxel of the
        stack along Y and X, expects in each raw frame.
    voxel_size
        Of the stack, (z, y, x) in micrometres, of which y and x are the same.
    excitation_wavelength
        Micrometres.
    period, angles, depth
        As in `ThreeBeams`.
    wiener
        The Wiener constant :math:`w` of the reconstruction.

    Returns
    -------
    Sample
        `raw` and `second_exposure` are float32 counts above the offset, negative here and
        there; `truth` is on their grid, `psf` is the SIM PSF, and `noise` says how the variance
        of the stack goes with its brightness, with an offset of 0.

    Raises
    ------
    InputError
        As for `simulate_volume`, and if the period is too fine for the wavelength.
    """
    check_volume(kind, shape, voxel_size, photons)
    check_positive(period=period, excitation_wavelength=excitation_wavelength, wiener=wiener)
    check_shares(depth=depth)
    noise = noise or NoiseModel(offset=100.0, gain=1.0, read_variance=4.0)
    structure_rng, first_rng, second_rng = np.random.default_rng(seed).spawn(3)
    widefield = PSF.simulate(
        na=na,
        wavelength=wavelength,
        pixel_size=voxel_size[-1],
        refractive_index=refractive_index,
        axial_step=voxel_size[0],
    )
    beams = ThreeBeams.crossing(
        period,
        angles,
        depth,
        excitation_wavelength=excitation_wavelength,
        refractive_index=refractive_index,
    )
    psf = sim_psf(
        na=na, wavelength=wavelength, voxel_size=voxel_size, refractive_index=refractive_index
    )
    reach = tuple(np.maximum(widefield.array.shape, psf.array.shape).tolist())
    structure, inside = _drawn(kind, shape, voxel_size, reach, structure_rng)
    light = _within(blur(structure.density, widefield), shape)
    scale = photons / max(float(np.percentile(light, BRIGHT_PERCENTILE)), 1e-12)
    noise_free = scale * _within(blur(structure.density, psf), shape)
    cutoffs = (
        2 * (refractive_index - math.sqrt(refractive_index**2 - na**2)) / wavelength,
        2 * na / wavelength + 1 / period,
    )
    reconstruct = _noise_filter(shape, widefield, beams, cutoffs, wiener)
    # What a frame holds in a pixel is spread over four voxels, and five phases are solved for
    # the orders; the filter sums over orientations.
    share = math.sqrt(UPSAMPLING**2 / PHASES)
    gain = noise.gain or 0.0  # the camera refuses to have none

    def recorded(rng: np.random.Generator) -> NDArray[np.float32]:
        white = camera(scale * light, noise, rng) - (noise.offset + gain * scale * light)
        coloured = fft.irfftn(fft.rfftn(share * white) * reconstruct, s=shape)
        return np.asarray(gain * noise_free + coloured, dtype=np.float32)

    power = float(np.sum((share * fft.irfftn(reconstruct, s=shape)) ** 2))
    return Sample(
        raw=recorded(first_rng),  # type: ignore[arg-type]  # no camera records a reconstruction
        second_exposure=recorded(second_rng),  # type: ignore[arg-type]
        noise_free=noise_free.astype(np.float32),
        truth=(structure.density[inside] * scale).astype(np.float32),
        psf=psf,
        voxel_size=voxel_size,
        noise=NoiseModel(
            offset=0.0,
            gain=gain * power,
            read_variance=noise.read_variance * power,
            source="the simulated reconstruction",
        ),
        kind=kind,
    )


def sim_psf(
    *, na: float, wavelength: float, voxel_size: VoxelSize, refractive_index: float | None = None
) -> PSF:
    """Narrow the widefield PSF of a microscope by half along every axis, as 3D-SIM does.

    Parameters
    ----------
    na, wavelength, refractive_index
        As for `PSF.simulate`.
    voxel_size
        Of the reconstructed stack, (z, y, x) in micrometres.
    """
    wide = PSF.simulate(
        na=na,
        wavelength=wavelength,
        pixel_size=(2 * voxel_size[1], 2 * voxel_size[2]),
        refractive_index=refractive_index,
        axial_step=2 * voxel_size[0],
    )
    return replace(wide, voxel_size=voxel_size, source=f"{wide.source}, narrowed by half")


def _drawn(
    kind: str,
    size: tuple[int, int, int],
    voxel_size: VoxelSize,
    reach: tuple[int, ...],
    rng: np.random.Generator,
) -> tuple[Structure, tuple[slice, ...]]:
    """Draw a phantom with a margin of half the PSF, and say where the field of view lies."""
    margin = np.array(reach) // 2
    canvas: tuple[int, int, int] = tuple((np.array(size) + 2 * margin).tolist())
    inside = tuple(slice(m, m + n) for m, n in zip(margin.tolist(), size, strict=True))
    phantom: Callable[..., Structure] = PHANTOMS_3D[kind]
    return phantom(canvas, voxel_size, rng, **DENSITIES.get(kind, {})), inside


def _within(image: FloatImage, shape: tuple[int, ...]) -> FloatImage:
    """Cut out the middle."""
    starts = [(have - want) // 2 for have, want in zip(image.shape, shape, strict=True)]
    return image[tuple(slice(s, s + n) for s, n in zip(starts, shape, strict=True))]


def _axially_waved(psf: PSF, beams: ThreeBeams) -> NDArray[np.float64]:
    """Multiply the PSF by the axial change of the coarser stripes."""
    planes = psf.array.shape[0]
    z = (np.arange(planes) - planes // 2) * psf.steps[0]
    return np.asarray(psf.array * np.cos(2 * np.pi * beams.axial_frequency * z)[:, None, None])


def _transfer(kernel: NDArray[np.floating], shape: tuple[int, ...]) -> NDArray[np.complexfloating]:
    """Transform a kernel about its middle voxel; what is larger than the shape wraps around."""
    placed = np.zeros(shape)
    places = [(np.arange(n) - n // 2) % size for n, size in zip(kernel.shape, shape, strict=True)]
    np.add.at(placed, np.ix_(*places), kernel)
    return np.asarray(fft.rfftn(placed))


def _noise_filter(
    shape: tuple[int, int, int],
    widefield: PSF,
    beams: ThreeBeams,
    cutoffs: tuple[float, float],
    wiener: float,
) -> NDArray[np.float64]:
    """Give what the reconstruction does to white noise, on the half spectrum of the stack."""
    waved = _axially_waved(widefield, beams)
    power = np.zeros(())
    for turn in beams.turns(widefield.array.shape[1:], widefield.steps[-1]):
        power = power + np.abs(_transfer(widefield.array, shape)) ** 2
        for kernel, order, strength in ((waved, 1, 4 / 3), (widefield.array, 2, 2 / 3)):
            # |C + iS|^2 + |C - iS|^2 of cosine and sine: the spectra shifted to either side.
            for wave in (np.cos, np.sin):
                shifted = np.abs(_transfer(kernel * wave(order * turn), shape)) ** 2
                power = power + 2 * (beams.depth * strength / 2) ** 2 * shifted
    kept = _apodisation(shape, widefield.steps, cutoffs)
    return np.asarray(kept * np.sqrt(power) / (power + wiener**2))


def _apodisation(
    shape: tuple[int, int, int], steps: tuple[float, ...], cutoffs: tuple[float, float]
) -> NDArray[np.float64]:
    """Fall from 1 to 0 at the axial and the lateral cutoff, cycles per micrometre."""
    axial, lateral = cutoffs
    z, y = (fft.fftfreq(n, d) for n, d in zip(shape[:2], steps[:2], strict=True))
    x = fft.rfftfreq(shape[2], steps[2])
    radius = np.hypot(z[:, None, None] / axial, np.hypot(y[:, None], x) / lateral)
    return np.asarray(np.maximum(1 - radius, 0))
