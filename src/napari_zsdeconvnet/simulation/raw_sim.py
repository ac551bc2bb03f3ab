"""A microscope with structured illumination: raw frames of a phantom whose truth is known.

The phantom, its blur and its camera are those of `napari_zsdeconvnet.simulation.sample`; here a
pattern of light is laid over the structure before each frame is blurred.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..noise.noise_model import NoiseModel
from ..psf.psf import PSF
from ..sim.frames import layout
from ..sim.patterns import Order, Pattern, Patterns
from ..utils.errors import InputError
from .drawing import FloatImage, Path
from .phantoms import PHANTOMS
from .sample import BRIGHT_PERCENTILE, UPSAMPLING, bin_2x2, blur, camera, check_kind, check_positive

ANGLES = (18.0, 78.0, 138.0)
"""Degrees of the three orientations, 60 apart and along no axis of the camera."""

PHASES = 3
"""Frames of each orientation in 2D."""

HAZE_FWHM = 1.0
"""Micrometres over which structures out of focus are spread."""


@dataclass(frozen=True, eq=False)
class SIMSample:
    """Simulated raw frames together with everything that is known about them.

    Attributes
    ----------
    raw, second_exposure
        Two recordings of the same structure with independent noise, (9, Y, X) uint16 counts.
    noise_free
        Expected photons per raw pixel, without the offset, (9, Y, X) float32.
    truth
        The structure in focus on the grid of half the raw pixel, (2Y, 2X), in photons per raw
        pixel: blurred and binned it is the mean of `noise_free`, but for light out of focus.
    psf
        Widefield point spread function on the grid of the truth.
    patterns
        The illumination exactly as it was: no estimate.
    pixel_size
        Raw pixel in micrometres.
    noise
        The camera.
    na, wavelength
        Numerical aperture, and emission wavelength in micrometres.
    kind
        Name of the phantom.
    paths
        As in `phantoms.Structure`, in pixels of `truth`; parts may lie outside the image.
    """

    raw: NDArray[np.uint16]
    second_exposure: NDArray[np.uint16]
    noise_free: FloatImage
    truth: FloatImage
    psf: PSF
    patterns: Patterns
    pixel_size: float
    noise: NoiseModel
    na: float
    wavelength: float
    kind: str
    paths: tuple[Path, ...] = ()
    upsampling: int = 2

    @property
    def voxel_size(self) -> tuple[float, float]:
        """Raw pixel in micrometres, for Y and X."""
        return self.pixel_size, self.pixel_size

    @property
    def truth_voxel_size(self) -> tuple[float, float]:
        """Pixel of the truth in micrometres, for Y and X."""
        return self.pixel_size / 2, self.pixel_size / 2


def simulate_sim(
    kind: str = "filaments",
    *,
    shape: tuple[int, int] = (256, 256),
    photons: float = 100.0,
    pixel_size: float = 0.0626,
    na: float = 1.41,
    wavelength: float = 0.525,
    period: float = 0.2,
    angles: Sequence[float] = ANGLES,
    depth: float = 0.8,
    phase_errors: float = 0.0,
    bleaching: float = 0.0,
    out_of_focus: float = 0.0,
    noise: NoiseModel | None = None,
    order: Order = "orientation",
    seed: int = 0,
) -> SIMSample:
    r"""Simulate two exposures of the nine raw frames of 2D-SIM, with a known truth.

    A frame is the structure times the pattern of its orientation :math:`o` and phase
    :math:`p`, blurred by the widefield PSF on the fine grid, binned and recorded,

    .. math:: I_{o,p}(r) = 1 + d \cos(2\pi k_o \cdot (r - c) + \varphi_{o,p})

    where the phases are in radians and :math:`c` is the centre of the image, at
    ((Y-1)/2, (X-1)/2) raw pixels and (Y-1/2, X-1/2) fine ones from the middle of the first
    (Gustafsson, J. Microscopy 198, 2000, 82).

    Parameters
    ----------
    kind, shape, pixel_size, na, wavelength, noise
        As for `simulate`.
    photons
        The 99.9th percentile of the expected photons per raw pixel over all raw frames.
    period
        Of the pattern in micrometres.
    angles
        Direction in which the pattern of each orientation varies, in degrees.
    depth
        Of the modulation, 0 to 1.
    phase_errors
        Standard deviation in degrees of each frame's phase about even steps.
    bleaching
        Fraction of the light that is lost between the first and the last frame.
    out_of_focus
        Fraction of the light that comes from other structures, out of focus, 0 to below 1;
        no pattern is left in it.
    order
        "orientation": frames 0, 1, 2 are the phases of the first orientation; "phase": frames
        0, 3, 6 are.
    seed
        Structure, phases and both exposures depend on it, each by a random stream of its own.

    Raises
    ------
    InputError
        As for `simulate`, and if the order is unknown.
    """
    check_kind(kind, PHANTOMS)
    if len(shape) != 2 or min(shape) < 1:
        raise InputError(
            "shape-wrong", f"The shape {shape} is not a number of rows and columns; try (256, 256)."
        )
    check_positive(photons=photons, pixel_size=pixel_size, period=period)
    check_shares(depth=depth, bleaching=bleaching, out_of_focus=out_of_focus)
    noise = noise or NoiseModel(offset=100.0, gain=1.0, read_variance=4.0)
    structure_rng, first_rng, second_rng, phase_rng, haze_rng = np.random.default_rng(seed).spawn(5)

    psf = PSF.simulate(na=na, wavelength=wavelength, pixel_size=pixel_size / UPSAMPLING)
    margin = psf.array.shape[0] // 2
    height, width = (UPSAMPLING * n for n in shape)
    canvas = (height + 2 * margin, width + 2 * margin)
    structure = PHANTOMS[kind](canvas, psf.steps[-1], structure_rng)
    left = faded(len(angles) * PHASES, bleaching)
    patterns = Patterns(
        orientations=tuple(
            Pattern(period, angle % 180, tuple(phases), depth)
            for angle, phases in zip(
                angles, drawn_phases(len(angles), PHASES, phase_errors, phase_rng), strict=True
            )
        ),
        pixel_size=pixel_size,
        na=na,
        wavelength=wavelength,
        shape=(shape[0], shape[1]),
        order=order,
        brightness=tuple(map(tuple, (1 / left[layout(len(angles), PHASES, order)]).tolist())),
    )

    lights = patterns.illumination((canvas[0] // 2, canvas[1] // 2), UPSAMPLING)
    in_focus = np.stack([bin_2x2(blur(structure.density * light, psf)) for light in lights])
    share = (1 - out_of_focus) / max(float(in_focus.mean()), 1e-12)
    frames = share * in_focus
    if out_of_focus:
        haze = PHANTOMS[kind](canvas, psf.steps[-1], haze_rng).density
        frames += out_of_focus * _spread(haze, psf.steps[-1], margin)
    frames *= left[:, None, None]
    scale = photons / max(float(np.percentile(frames, BRIGHT_PERCENTILE)), 1e-12)
    noise_free = (frames * scale).astype(np.float32)
    inside = structure.density[margin : margin + height, margin : margin + width]
    return SIMSample(
        raw=camera(noise_free, noise, first_rng),
        second_exposure=camera(noise_free, noise, second_rng),
        noise_free=noise_free,
        truth=(inside * share * scale).astype(np.float32),
        psf=psf,
        patterns=patterns,
        pixel_size=pixel_size,
        noise=noise,
        na=na,
        wavelength=wavelength,
        kind=kind,
        paths=tuple(path - margin for path in structure.paths),
    )


def drawn_phases(
    orientations: int, phases: int, errors: float, rng: np.random.Generator
) -> list[list[float]]:
    """Draw a first phase for each orientation, go on in even steps and add errors.

    Errors have a standard deviation in degrees; the phases are radians from -pi to pi.
    """
    first = rng.uniform(-np.pi, np.pi, size=(orientations, 1))
    steps = 2 * np.pi * np.arange(phases) / phases
    drawn = first + steps + np.deg2rad(errors) * rng.standard_normal((orientations, phases))
    turned: list[list[float]] = (np.mod(drawn + np.pi, 2 * np.pi) - np.pi).tolist()
    return turned


def faded(frames: int, bleaching: float) -> NDArray[np.float64]:
    """Give each frame's share of the light as the dye bleaches, in time, 1 on average."""
    left = (1 - bleaching) ** (np.arange(frames) / max(frames - 1, 1))
    return np.asarray(left / left.mean())


def check_shares(**values: float) -> None:
    """See that each lies between 0 and 1; of bleaching and haze 1 would leave nothing."""
    for name, value in values.items():
        most = 1.0 if name == "depth" else 0.99
        if not 0 <= value <= most:
            raise InputError(
                "share-out-of-range",
                f"The value of {name.replace('_', ' ')} is {value}; it must lie between 0 and "
                f"{most:g}.",
            )


def _spread(density: FloatImage, fine_pixel: float, margin: int) -> FloatImage:
    """Blur far out of focus, bin to raw pixels and bring to mean 1."""
    sigma = HAZE_FWHM / np.sqrt(8 * np.log(2)) / fine_pixel
    haze = ndimage.gaussian_filter(density, sigma)[margin:-margin, margin:-margin]
    binned = bin_2x2(haze)
    return np.asarray(binned / max(float(binned.mean()), 1e-12))
