"""Structured illumination in three dimensions: raw frames, and stacks as engines rebuild them."""

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
from .raw_sim import ANGLES, check_shares, drawn_phases, faded
from .sample import (
    BRIGHT_PERCENTILE,
    UPSAMPLING,
    Sample,
    bin_2x2,
    blur,
    camera,
    check_kind,
    check_positive,
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
              \theta = \pi k \cdot (r - c) + \varphi

    the intensity of three equal beams, with :math:`|k|` one over `period`, :math:`z` counted
    from the plane in focus and :math:`c` the centre of the image.

    Attributes
    ----------
    period
        Of the finer stripes, in micrometres; the coarser ones, which change along z, have
        twice as much.
    angles
        Direction in which the light of each orientation varies, in degrees.
    phases
        Of the coarser stripes, radians at the centre of the image, for each orientation.
    depth
        0 to 1.
    axial_frequency
        Of the change along z, in cycles per micrometre.
    """

    period: float
    angles: tuple[float, ...]
    phases: tuple[tuple[float, ...], ...]
    depth: float
    axial_frequency: float

    @classmethod
    def crossing(
        cls,
        period: float,
        angles: Sequence[float],
        phases: Sequence[Sequence[float]],
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
                f"period is {period:g} um, finer than light of {excitation_wavelength:g} um makes "
                f"it in a medium of index {refractive_index:g}; give at least "
                f"{excitation_wavelength / (2 * refractive_index):.3f}."
            )
        axial = refractive_index / excitation_wavelength * (1 - math.sqrt(1 - sine**2))
        rows = tuple(tuple(row) for row in phases)
        return cls(period, tuple(angles), rows, depth, axial)

    def turns(self, shape: tuple[int, ...], pixel_size: float) -> list[NDArray[np.float64]]:
        r"""Give :math:`\theta` without its phase for each orientation, (Y, X) radians."""
        y, x = ((np.arange(n) - (n - 1) / 2) * pixel_size for n in shape)
        return [
            np.pi / self.period * (math.sin(angle) * y[:, None] + math.cos(angle) * x)
            for angle in np.deg2rad(self.angles)
        ]


@dataclass(frozen=True, eq=False)
class SIMStack:
    """Simulated raw frames of 3D-SIM together with everything that is known about them.

    Attributes
    ----------
    raw, second_exposure
        Two recordings of the same structure with independent noise, (15, Z, Y, X) uint16
        counts: the phases of the first orientation, then those of the next.
    noise_free
        Expected photons per raw voxel, without the offset, (15, Z, Y, X) float32.
    truth
        The structure, (Z, 2Y, 2X), in photons per raw voxel.
    psf
        Widefield point spread function on the grid of the truth.
    beams
        The illumination exactly as it was.
    voxel_size
        Raw voxel (z, y, x) in micrometres.
    noise
        The camera.
    na, wavelength
        Numerical aperture, and emission wavelength in micrometres.
    kind
        Name of the phantom.
    """

    raw: NDArray[np.uint16]
    second_exposure: NDArray[np.uint16]
    noise_free: FloatImage
    truth: FloatImage
    psf: PSF
    beams: ThreeBeams
    voxel_size: VoxelSize
    noise: NoiseModel
    na: float
    wavelength: float
    kind: str


def simulate_sim_stack(
    kind: str = "filaments",
    *,
    shape: tuple[int, int, int] = (16, 96, 96),
    photons: float = 100.0,
    voxel_size: VoxelSize = (0.125, 0.08, 0.08),
    na: float = 1.4,
    wavelength: float = 0.525,
    refractive_index: float = 1.515,
    excitation_wavelength: float = 0.488,
    period: float = 0.2,
    angles: Sequence[float] = ANGLES,
    depth: float = 0.8,
    phase_errors: float = 0.0,
    bleaching: float = 0.0,
    noise: NoiseModel | None = None,
    seed: int = 0,
) -> SIMStack:
    r"""Simulate two exposures of raw 3D-SIM: three beams, five phases in each orientation.

    The pattern stays with the objective while the stage steps along z. Its axial change
    therefore multiplies the PSF :math:`h` and not the structure :math:`s`: the first order of
    a frame is

    .. math:: \bigl(s \cos\theta\bigr) * \bigl(h \cos 2\pi k_z z\bigr)

    Light out of focus is that of the structure's own planes, and is not added.

    Parameters
    ----------
    kind
        One of `PHANTOMS_3D`: "filaments", "vesicles", "shell" or "cell".
    shape
        Planes, rows and columns of the recording.
    photons
        The 99.9th percentile of the expected photons per raw voxel over all raw frames.
    voxel_size
        Of the recording, (z, y, x) in micrometres, of which y and x are the same.
    na, wavelength, refractive_index
        Numerical aperture, emission wavelength in micrometres and index of the medium.
    excitation_wavelength
        Micrometres.
    period, angles, depth
        As in `ThreeBeams`.
    phase_errors, bleaching
        As for `simulate_sim`; the stage runs through all planes with one frame before the
        next, and it is from frame to frame that the dye bleaches.
    noise
        The camera; by default offset 100, gain 1 count per electron, read variance 4.
    seed
        Structure, phases and both exposures depend on it, each by a random stream of its own.

    Returns
    -------
    SIMStack

    Raises
    ------
    InputError
        An unknown kind, a number out of its range, voxels that are not square, a period too
        fine for the wavelength, or a camera whose gain is not known.

    References
    ----------
    Gustafsson et al., Biophysical Journal 94 (2008) 4957, equations 1 to 5.
    """
    _check_volume(kind, shape, voxel_size, photons)
    check_positive(period=period, excitation_wavelength=excitation_wavelength)
    check_shares(depth=depth, bleaching=bleaching)
    noise = noise or NoiseModel(offset=100.0, gain=1.0, read_variance=4.0)
    structure_rng, first_rng, second_rng, phase_rng = np.random.default_rng(seed).spawn(4)
    fine = (voxel_size[0], voxel_size[1] / UPSAMPLING, voxel_size[2] / UPSAMPLING)
    psf = PSF.simulate(
        na=na,
        wavelength=wavelength,
        pixel_size=fine[-1],
        refractive_index=refractive_index,
        axial_step=fine[0],
    )
    beams = ThreeBeams.crossing(
        period,
        [angle % 180 for angle in angles],
        drawn_phases(len(angles), PHASES, phase_errors, phase_rng),
        depth,
        excitation_wavelength=excitation_wavelength,
        refractive_index=refractive_index,
    )
    size = (shape[0], UPSAMPLING * shape[1], UPSAMPLING * shape[2])
    structure, inside = _drawn(kind, size, fine, psf.array.shape, structure_rng)

    light = _three_beam_light(structure.density, psf, beams)
    frames = np.stack([bin_2x2(np.maximum(frame, 0)) for frame in light])
    frames *= faded(len(frames), bleaching)[:, None, None, None]
    scale = photons / max(float(np.percentile(frames, BRIGHT_PERCENTILE)), 1e-12)
    noise_free = (frames * scale).astype(np.float32)
    return SIMStack(
        raw=camera(noise_free, noise, first_rng),
        second_exposure=camera(noise_free, noise, second_rng),
        noise_free=noise_free,
        truth=(structure.density[inside] * scale).astype(np.float32),
        psf=psf,
        beams=beams,
        voxel_size=voxel_size,
        noise=noise,
        na=na,
        wavelength=wavelength,
        kind=kind,
    )


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

    over all orders :math:`m` of all orientations, with an apodisation :math:`A` that falls in
    a straight line to the edge of the band. It has mean zero, is strongest where only one order
    reaches, and so it goes below zero and is correlated from voxel to voxel, which is what
    tells such a stack from one that a camera recorded.

    Parameters
    ----------
    kind
        One of `PHANTOMS_3D`: "filaments", "vesicles", "shell" or "cell".
    shape
        Planes, rows and columns of the stack.
    photons
        The 99.9th percentile of the photons that a raw pixel, twice as large as a voxel of the
        stack along Y and X, expects in each raw frame.
    voxel_size
        Of the stack, (z, y, x) in micrometres, of which y and x are the same.
    na, wavelength, refractive_index, excitation_wavelength, period, angles, depth
        As for `simulate_sim_stack`.
    wiener
        The Wiener constant :math:`w` of the reconstruction.
    noise
        The camera; by default offset 100, gain 1 count per electron, read variance 4.
    seed
        As for `simulate_sim_stack`.

    Returns
    -------
    napari_zsdeconvnet.simulation.sample.Sample
        `raw` and `second_exposure` are float32 counts above the offset, negative here and
        there; `truth` is on their grid, `psf` is the SIM PSF, and `noise` says how the variance
        of the stack goes with its brightness, with an offset of 0.

    Raises
    ------
    InputError
        As for `simulate_sim_stack`.

    References
    ----------
    Gustafsson et al., Biophysical Journal 94 (2008) 4957, equation 8.
    """
    _check_volume(kind, shape, voxel_size, photons)
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
        [()] * len(angles),
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
        Numerical aperture, emission wavelength in micrometres, and index of the medium.
    voxel_size
        Of the reconstructed stack, (z, y, x) in micrometres.

    Returns
    -------
    PSF
        3D, on the grid of the stack.

    Raises
    ------
    InputError
        As of `PSF.simulate`.
    """
    wide = PSF.simulate(
        na=na,
        wavelength=wavelength,
        pixel_size=(2 * voxel_size[1], 2 * voxel_size[2]),
        refractive_index=refractive_index,
        axial_step=2 * voxel_size[0],
    )
    return replace(wide, voxel_size=voxel_size, source=f"{wide.source}, narrowed by half")


def _check_volume(
    kind: str, shape: tuple[int, ...], voxel_size: tuple[float, ...], photons: float
) -> None:
    check_kind(kind, PHANTOMS_3D)
    if len(shape) != 3 or min(shape) < 1:
        raise InputError(
            f"The shape {shape} is not a number of planes, rows and columns; try (16, 96, 96)."
        )
    if len(voxel_size) != 3 or voxel_size[1] != voxel_size[2]:
        raise InputError(
            f"voxel_size is {voxel_size}; give (z, y, x) in micrometres with equal y and x."
        )
    check_positive(photons=photons, voxel_size=min(voxel_size))


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


def _three_beam_light(
    density: FloatImage, psf: PSF, beams: ThreeBeams
) -> list[NDArray[np.float64]]:
    """Blur what each frame lights up, and keep the part that needed nothing from beyond."""
    canvas = density.shape
    flat = _transfer(psf.array, canvas)
    waved = _transfer(_axially_waved(psf, beams), canvas)
    margin = tuple(n // 2 for n in psf.array.shape)
    inside = tuple(slice(m, n - m) for m, n in zip(margin, canvas, strict=True))

    def seen(
        pattern: NDArray[np.floating] | float, transfer: NDArray[np.complexfloating]
    ) -> NDArray[np.float64]:
        # Circular: what wraps around stays within the margin.
        return np.asarray(fft.irfftn(fft.rfftn(density * pattern) * transfer, s=canvas)[inside])

    widefield = seen(1.0, flat)
    frames = []
    turns = beams.turns((canvas[1], canvas[2]), psf.steps[-1])
    for turn, phases in zip(turns, beams.phases, strict=True):
        coarse = [seen(wave(turn), waved) for wave in (np.cos, np.sin)]
        fine = [seen(wave(2 * turn), flat) for wave in (np.cos, np.sin)]
        for phase in phases:
            first = coarse[0] * math.cos(phase) - coarse[1] * math.sin(phase)
            second = fine[0] * math.cos(2 * phase) - fine[1] * math.sin(2 * phase)
            frames.append(widefield + beams.depth * (4 / 3 * first + 2 / 3 * second))
    return frames


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
