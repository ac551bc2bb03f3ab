"""What a microscope makes of a point: scalar diffraction theory, without any fitting.

Every array here is seen by a camera, that is, integrated over the area of a pixel: the
intensity is sampled at the 3x3 nodes of Gauss and Legendre in each pixel and averaged with
their weights, which is exact for polynomials up to the fifth order. Planes along z are not
integrated; a stage stops at each.

Everywhere `na` is the numerical aperture, `wavelength` that in vacuum, `refractive_index` that of
the medium, above `na`; lengths are micrometres; `voxel_size` is (z, y, x) and `shape` odd in every
axis. Images are float64 of that shape, with sum 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import interpolate, special

from ..utils.phases import go_on

FloatArray = NDArray[np.float64]

ENERGY_HELD = 0.98  # share of a 2D Airy pattern within the array's half width
LARGEST_SIZE = 129  # pixels; beyond, the tails cost more time than they are worth
_SMALLEST_SIZE = 9
_FEWEST_PLANES, MOST_PLANES = 5, 65
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(3)


def usual_refractive_index(na: float) -> float:
    """Immersion that an objective is made for: 1.0 below NA 1, 1.33 up to 1.3, else 1.515."""
    if na < 1.0:
        return 1.0
    return 1.33 if na <= 1.3 else 1.515


def airy(
    na: float, wavelength: float, pixel_size: tuple[float, float], shape: tuple[int, int]
) -> FloatArray:
    r"""In-focus image (Y, X) of a point through a circular pupil, integrated over each pixel.

    .. math:: h(r) = \left(\frac{2 J_1(v)}{v}\right)^2, \quad v = 2\pi\,\mathrm{NA}\,r/\lambda

    Born and Wolf, Principles of Optics, section 8.5.2.
    """

    def intensity(radius: FloatArray) -> FloatArray:
        v = np.maximum(2 * np.pi * na * radius / wavelength, 1e-9)
        return np.asarray((2 * special.j1(v) / v) ** 2)

    image = _over_pixels(intensity, pixel_size, shape)
    return np.asarray(image / image.sum())


def widefield(
    na: float,
    wavelength: float,
    refractive_index: float,
    voxel_size: tuple[float, float, float],
    shape: tuple[int, int, int],
) -> FloatArray:
    r"""Image (Z, Y, X) of a point through focus, in the scalar Debye approximation.

    .. math:: h(r, z) = \left|\int_0^{\mathrm{NA}} J_0(k \rho r)\,
        e^{i k z \sqrt{n^2 - \rho^2}}\, \rho\, d\rho \right|^2, \quad k = 2\pi/\lambda

    The integral of Born and Wolf, section 8.8.1, with the defocus phase kept exact instead
    of its parabola, since the angles of an immersion objective are large. The pupil is
    uniform; polarisation, aberration and the sine condition's weight are left out.
    """
    point = _through_focus(na, wavelength, refractive_index, voxel_size, shape)
    return _volume(point, voxel_size, shape)


def confocal(
    na: float,
    wavelength: float,
    refractive_index: float,
    voxel_size: tuple[float, float, float],
    shape: tuple[int, int, int],
    *,
    excitation_na: float,
    excitation_wavelength: float,
    pinhole: float = 0.0,
) -> FloatArray:
    r"""Image (Z, Y, X) of a point in a confocal microscope, which scans a focus through a pinhole.

    .. math:: h(r, z) = h_\mathrm{ex}(r, z)\,
        \bigl(h_\mathrm{em}(\cdot, z) * d\bigr)(r)

    with the widefield PSF of either wavelength and the disc :math:`d` of the pinhole seen in
    the sample. T. Wilson and C. Sheppard, Theory and Practice of Scanning Optical Microscopy,
    chapter 3. The diameter of the pinhole is in Airy units, 1.22 `wavelength` / `na` each; with 0
    it is the product of excitation and emission, the sharpest there is. One plane is the focus.
    """
    radius = pinhole * 0.61 * wavelength / na
    excitation = _through_focus(
        excitation_na, excitation_wavelength, refractive_index, voxel_size, shape
    )
    emission = _through_focus(na, wavelength, refractive_index, voxel_size, shape, margin=radius)
    detection = _through_pinhole(emission, radius, pinhole) if pinhole else emission

    def both(distance: FloatArray) -> FloatArray:
        return np.asarray(excitation(distance) * detection(distance))

    return _volume(both, voxel_size, shape)


def light_sheet(
    na: float,
    wavelength: float,
    refractive_index: float,
    voxel_size: tuple[float, float, float],
    shape: tuple[int, int, int],
    *,
    thickness: float,
) -> FloatArray:
    r"""Image (Z, Y, X) of a point that is lit by a sheet of light at the focus.

    .. math:: h(r, z) = h_\mathrm{em}(r, z)\, 2^{-(2 z / t)^2}

    The sheet is a Gaussian along z of the FWHM `thickness`, the same over the whole field.
    """
    volume = widefield(na, wavelength, refractive_index, voxel_size, shape)
    depths = voxel_size[0] * (np.arange(shape[0]) - shape[0] // 2)
    lit = volume * np.exp2(-((2 * depths / thickness) ** 2))[:, None, None]
    return np.asarray(lit / lit.sum())


def energy_size(
    na: float,
    wavelength: float,
    pixel_size: float,
    held: float = ENERGY_HELD,
    most: int = LARGEST_SIZE,
) -> int:
    r"""Odd size whose half width holds a share of the Airy pattern, from 9 to `most` pixels.

    The energy beyond a radius is :math:`J_0^2(v) + J_1^2(v) \approx 2/(\pi v)`.
    """
    v = 2 / (math.pi * (1 - held))
    radius = v * wavelength / (2 * math.pi * na)
    return _odd(radius, pixel_size, _SMALLEST_SIZE, most)


def axial_width(na: float, wavelength: float, refractive_index: float) -> float:
    r"""Axial FWHM of a widefield point, :math:`0.88\,\lambda/(n - \sqrt{n^2-\mathrm{NA}^2})`."""
    return 0.88 * wavelength / (refractive_index - math.sqrt(refractive_index**2 - na**2))


def planes_within(reach: float, step: float, most: int = MOST_PLANES) -> int:
    """Odd number of planes, from 5 to `most`, that reaches `reach` to either side of the focus."""
    return min(_odd(reach, step, _FEWEST_PLANES, most), most)


def cone_size(
    na: float,
    refractive_index: float,
    depth: float,
    pixel_size: float,
    least: int,
    most: int = LARGEST_SIZE,
) -> int:
    """Odd lateral size, `least` to `most`, that holds the cone of light at a depth."""
    slope = na / math.sqrt(refractive_index**2 - na**2)
    return min(max(least, _odd(depth * slope, pixel_size, _SMALLEST_SIZE, most)), most)


def airy_share(na: float, wavelength: float, radius: float) -> float:
    """Share of the Airy pattern within a radius, :math:`1 - J_0^2(v) - J_1^2(v)`."""
    v = 2 * math.pi * na * radius / wavelength
    return float(1 - special.j0(v) ** 2 - special.j1(v) ** 2)


def from_radial_otf(
    otf: NDArray[np.complexfloating],
    steps: tuple[float, float],
    voxel_size: tuple[float, ...],
    shape: tuple[int, ...],
) -> FloatArray:
    r"""PSF of a radially averaged OTF, the form in which SIM engines keep theirs.

    .. math:: h(r, z) = \sum_{k_z} e^{2\pi i k_z z} \int H(k_r, k_z)\,
        J_0(2\pi k_r r)\, k_r\, dk_r

    For two axes z is 0, so that the sum over kz gives the plane in focus; the row kz = 0
    alone would give the projection along z, which for widefield has next to no contrast.

    Parameters
    ----------
    otf
        (kr, kz) complex; kr from zero upwards, kz in the order of an FFT (zero first), one
        column for a 2D OTF.
    steps
        Distance between samples along kr and kz, cycles per micrometre.
    voxel_size, shape
        Of the PSF, ((z,) y, x).

    Returns
    -------
    numpy.ndarray
        Not normalised; noise in the OTF may leave small negative values.
    """
    radial_step, axial_step = steps
    planes = shape[0] if len(shape) == 3 else 1
    depths = (np.arange(planes) - planes // 2) * (voxel_size[0] if len(shape) == 3 else 0.0)
    kz = np.fft.fftfreq(otf.shape[1], 1 / (otf.shape[1] * axial_step))
    by_depth = otf @ np.exp(2j * np.pi * np.outer(kz, depths))

    # kr is refined before the integral: Simpson's rule on the OTF's own samples would repeat
    # the PSF at 1 / step, as any sampled spectrum does.
    kr = radial_step * np.arange(otf.shape[0])
    fine = np.linspace(0, kr[-1], 8 * (len(kr) - 1) + 1)
    dense = interpolate.CubicSpline(kr, by_depth, axis=0)(fine)
    pixel = (voxel_size[-2], voxel_size[-1])
    farthest = math.hypot(*((n + 1) / 2 * p for n, p in zip(shape[-2:], pixel, strict=True)))
    radii = np.linspace(0, farthest, 8 + math.ceil(8 * kr[-1] * farthest))
    trapezium = np.full(len(fine), fine[1])
    trapezium[[0, -1]] /= 2
    kernel = special.j0(2 * np.pi * np.outer(radii, fine)) * (fine * trapezium)
    profiles = (kernel @ dense).real
    planes_of_psf = [
        # The OTF of a recorded bead holds the camera's pixel already.
        interpolate.CubicSpline(radii, profile)(_radius(pixel, (shape[-2], shape[-1])))
        for profile in profiles.T
    ]
    return np.asarray(planes_of_psf[0] if len(shape) == 2 else np.stack(planes_of_psf))


def sphere_spectrum(frequency: FloatArray, diameter: float) -> FloatArray:
    r"""Fourier transform of a uniform ball at spatial frequencies of any shape, 1 at frequency 0.

    .. math:: 3\,(\sin q - q \cos q) / q^3, \quad q = \pi k d
    """
    q = np.maximum(np.pi * frequency * diameter, 1e-3)
    return np.asarray(3 * (np.sin(q) - q * np.cos(q)) / q**3)


def _through_focus(
    na: float,
    wavelength: float,
    refractive_index: float,
    voxel_size: tuple[float, float, float],
    shape: tuple[int, int, int],
    margin: float = 0.0,
) -> interpolate.CubicSpline:
    """Debye's integral against the radius: a function of (...) to (..., planes from the focus).

    It reaches `margin` micrometres beyond the corner of the array.
    """
    step, *pixel = voxel_size
    planes, rows, columns = shape
    k = 2 * np.pi / wavelength
    depths = step * np.arange(planes // 2 + 1)
    farthest = math.hypot(pixel[0] * (rows + 1) / 2, pixel[1] * (columns + 1) / 2) + margin

    defocus = k * depths[-1] * (refractive_index - math.sqrt(refractive_index**2 - na**2))
    nodes, weights = np.polynomial.legendre.leggauss(32 + int(k * na * farthest + defocus))
    rho = na * (nodes + 1) / 2
    phase = np.exp(1j * k * np.outer(np.sqrt(refractive_index**2 - rho**2), depths))

    # An intensity has twice the band of its field: 8 radii a wavelength / NA oversample it.
    radii = np.linspace(0, farthest, 8 + math.ceil(8 * 2 * na * farthest / wavelength))
    field = (special.j0(k * np.outer(radii, rho)) * (weights * rho)) @ phase
    return interpolate.CubicSpline(radii, np.abs(field) ** 2)


def _through_pinhole(
    emission: interpolate.CubicSpline, radius: float, airy_units: float
) -> interpolate.CubicSpline:
    """Average over the disc of the pinhole about each point."""
    radii = emission.x[emission.x <= emission.x[-1] - radius + 1e-9]
    nodes, weights = np.polynomial.legendre.leggauss(8 + math.ceil(4 * airy_units))
    angles = 16 + math.ceil(16 * airy_units)
    cosines = np.cos(np.pi * (np.arange(angles) + 0.5) / angles)
    mean = np.zeros((len(radii), emission.c.shape[-1]))
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        ring = radius * math.sqrt(node)  # rings of equal area have equal weight
        squared = radii[:, None] ** 2 + ring**2 - 2 * ring * radii[:, None] * cosines
        mean += weight * emission(np.sqrt(np.maximum(squared, 0))).mean(axis=1)
    return interpolate.CubicSpline(radii, mean)


def _volume(
    intensity: Callable[[FloatArray], FloatArray],
    voxel_size: tuple[float, float, float],
    shape: tuple[int, int, int],
) -> FloatArray:
    """Fill both sides of the focus from the planes at and above it; sum 1."""
    image = _over_pixels(intensity, (voxel_size[1], voxel_size[2]), (shape[1], shape[2]))
    half = np.moveaxis(image, -1, 0)
    volume = np.maximum(np.concatenate([half[:0:-1], half]), 0)
    return np.asarray(volume / volume.sum())


def _over_pixels(
    intensity: Callable[[FloatArray], FloatArray],
    pixel_size: tuple[float, float],
    shape: tuple[int, int],
) -> FloatArray:
    """Average a radially symmetric intensity over each pixel; one quadrant is computed.

    The intensity may add axes to those of the radius: (Y, X, ...).
    """
    rows, columns = (size // 2 + 1 for size in shape)
    quadrant = np.zeros(())
    for offset_y, weight_y in zip(_NODES / 2, _WEIGHTS / 2, strict=True):
        for offset_x, weight_x in zip(_NODES / 2, _WEIGHTS / 2, strict=True):
            go_on()
            y = (np.arange(rows) + offset_y) * pixel_size[0]
            x = (np.arange(columns) + offset_x) * pixel_size[1]
            quadrant = quadrant + weight_y * weight_x * intensity(np.hypot(y[:, None], x))
    half = np.concatenate([quadrant[:0:-1], quadrant])
    return np.concatenate([half[:, :0:-1], half], axis=1)


def _radius(pixel_size: tuple[float, float], shape: tuple[int, int]) -> FloatArray:
    y, x = ((np.arange(n) - n // 2) * step for n, step in zip(shape, pixel_size, strict=True))
    return np.asarray(np.hypot(y[:, None], x))


def _odd(radius: float, step: float, least: int, most: int) -> int:
    return min(max(2 * math.ceil(radius / step) + 1, least), most)
