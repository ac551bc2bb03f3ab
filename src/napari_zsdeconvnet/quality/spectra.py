"""Power along frequency, ring by ring: what a result holds of each fineness of structure.

Frequencies are lateral, in cycles per unit of the pixel size; a volume is a set of planes,
whose rings are summed. Light spreads between planes, but no plane holds lateral detail that the
optics do not pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, ndimage

from ..psf.psf import PSF
from ..utils.errors import InputError
from ..utils.phases import go_on

FloatArray = NDArray[np.float64]

_BLOCK = 8
"""Pixels along each side of the blocks in which a volume is seen coarsely."""

CERTAIN = 3.0
"""Standard errors above the noise at which a ring counts as holding signal."""

GAUSSIAN_WIDTH = 0.4413
"""FWHM of a Gaussian times the frequency at which its transfer is a half: 2 ln 2 / pi."""


@dataclass(frozen=True, eq=False)
class Sharpening:
    """How a result compares with its image, ring by ring on the grid of the image.

    Attributes
    ----------
    frequency
        Centre of each ring, cycles per unit of the pixel size.
    gain
        Contrast of the result over that of the structure in the image: 1 is unchanged, and the
        inverse of the optical transfer is perfect. NaN where the image shows no signal.
    transfer
        Of the optics, with the pixels' own: the PSF's spectrum, averaged over each ring.
    image, result
        Power in each ring, counts squared a pixel, the noise of the image included.
    noise
        The image's noise in each ring, on the same scale.
    cutoff
        Frequency beyond which the optics pass nothing.
    beyond
        Part of the result's power, its mean aside, that lies beyond the cutoff.
    along_z
        Of a volume, contrast of its coarse structure along z over that of the image: haze that
        goes back to where it is from raises it. NaN of images, and where the image shows none.
    """

    frequency: FloatArray
    gain: FloatArray
    transfer: FloatArray
    image: FloatArray
    result: FloatArray
    noise: FloatArray
    cutoff: float
    beyond: float
    along_z: float = float("nan")

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Rings, from the coarsest on, in which the image shows signal without a break."""
        shown = np.isfinite(self.gain) & (self.frequency <= self.cutoff)
        return np.asarray(np.logical_and.accumulate(shown))

    @property
    def raised(self) -> float:
        """Times by which the contrast of the finer half of what the image shows is raised.

        Each ring weighs as much as its signal; 0 where the image shows none.
        """
        rings = np.flatnonzero(self.seen)
        if not rings.size:
            return 0.0
        fine = rings[self.frequency[rings] > self.frequency[rings[-1]] / 2]
        signal = self.frequency[fine] * (self.image - self.noise)[fine]
        return float(np.average(self.gain[fine], weights=signal))

    @property
    def width_before(self) -> float:
        """Width (FWHM) of the Gaussian that leaves half contrast where the optics do."""
        return self._width(self.transfer)

    @property
    def width_after(self) -> float:
        """The same of optics and result together, no finer than the image shows signal for."""
        return self._width(self.gain * self.transfer)

    def _width(self, transfer: FloatArray) -> float:
        if not self.seen.any():
            return float("inf")
        frequency, values = self.frequency[self.seen], transfer[self.seen]
        values = ndimage.uniform_filter1d(values, 3, mode="nearest")
        below = np.flatnonzero(values < 0.5)
        if not below.size:
            return float(GAUSSIAN_WIDTH / frequency[-1])
        index = int(below[0])
        if index == 0:
            return float(GAUSSIAN_WIDTH / frequency[0])
        above, under = values[index - 1], values[index]
        share = (above - 0.5) / (above - under)
        place = frequency[index - 1] + share * (frequency[index] - frequency[index - 1])
        return float(GAUSSIAN_WIDTH / place)


def sharpening(
    image: ArrayLike,
    result: ArrayLike,
    variance: ArrayLike,
    psf: PSF,
    upsampling: int,
    drawn: ArrayLike | None = None,
) -> Sharpening:
    r"""Compare the spectrum of a result with that of its image.

    The gain of a ring is :math:`\sum R Y^* / (\sum |Y|^2 - N)`, with the spectra Y of the image
    and R of the result (both faded by a Hann window) and the noise power N: the part of the
    result that follows the image, over the signal in the image.

    Parameters
    ----------
    image
        Counts above the offset, ([Z,] Y, X).
    result
        Deconvolved, on a grid `upsampling` times finer along Y and X.
    variance
        Of the noise in each pixel of the image, counts squared.
    psf
        On the grid of the result.
    upsampling
        1 or 2.
    drawn
        Noise alone, (N, Y, X) counts, where it is not white; the variance is not used then.
    """
    recorded, fine = _planes(image), _planes(result)
    coarse = _binned(fine, upsampling)
    pixel = psf.steps[-1] * upsampling
    frequency, ring = rings(recorded.shape[-2:], pixel)
    window = faded(recorded.shape[-2:], 0.5)
    share = float(np.mean(window**2))

    y, r = _spectrum(recorded, window), _spectrum(coarse, window)
    modes = per_ring(np.ones(y.shape), ring)
    power = per_ring(np.abs(y) ** 2, ring)
    noise = np.full(len(modes), np.mean(np.asarray(variance, dtype=float)) * share)
    if drawn is not None:
        alone = np.abs(_spectrum(_planes(drawn), window)) ** 2
        noise = per_ring(alone.mean(axis=0), ring) / modes
    # The window ties neighbouring modes together, and half of them mirror the other half.
    free = modes / 2 * share**2 / float(np.mean(window**4))
    clear = power > modes * noise * (1 + CERTAIN / np.sqrt(np.maximum(free, 1)))
    gain = np.full(len(frequency), np.nan)
    cross = per_ring((r * np.conj(y)).real, ring)
    gain[clear] = cross[clear] / (power - modes * noise)[clear]

    cutoff = psf.otf_cutoff
    fine_frequency = _radius(fine.shape[-2:], psf.steps[-1])
    fine_power = (np.abs(_spectrum(fine, faded(fine.shape[-2:], 0.5))) ** 2).sum(axis=0)
    # What the window spreads the mean over is no structure.
    structure = fine_frequency > 1.5 / (min(fine.shape[-2:]) * psf.steps[-1])
    whole = float(fine_power[structure].sum())
    beyond = float(fine_power[fine_frequency > cutoff].sum())
    return Sharpening(
        frequency=frequency,
        gain=gain,
        transfer=_optical_transfer(psf, upsampling, frequency),
        image=power / modes,
        result=per_ring(np.abs(r) ** 2, ring) / modes,
        noise=noise,
        cutoff=cutoff,
        beyond=beyond / whole if whole > 0 else 0.0,
        along_z=_along_z(recorded, coarse, np.asarray(variance)) if np.ndim(image) == 3 else np.nan,
    )


def _along_z(image: FloatArray, result: FloatArray, variance: NDArray[Any]) -> float:
    """Give the contrast along z of a result over that of its image, both seen coarsely."""
    side = min(_BLOCK, *image.shape[-2:])
    rows, columns = (length // side * side for length in image.shape[-2:])
    blocks, sharp = (_binned(planes[:, :rows, :columns], side) for planes in (image, result))
    noise = float(np.mean(variance)) / side**2
    shown = float(blocks.var(axis=0).mean()) - noise
    if shown <= noise or blocks.mean() <= 0 or sharp.mean() <= 0:
        return float("nan")
    before, after = (
        shown**0.5 / blocks.mean(),
        float(sharp.var(axis=0).mean()) ** 0.5 / sharp.mean(),
    )
    return float(after / before)


def rings(shape: tuple[int, ...], pixel: float) -> tuple[FloatArray, NDArray[np.intp]]:
    """Give the centres of the rings of a plane's spectrum, and the ring of each of its modes.

    Rings are one over the shorter side apart, the first just above zero, the last at Nyquist's; 0
    is the mean, and what is beyond the last ring is in none.
    """
    width = 1 / (min(shape) * pixel)
    ring: NDArray[np.intp] = np.rint(_radius(shape, pixel) / width).astype(np.intp)
    return np.asarray(np.arange(1, min(shape) // 2 + 1) * width), ring


def per_ring(values: FloatArray, ring: NDArray[np.intp]) -> FloatArray:
    """Sum values (..., Y, X) over the modes of each ring and over all planes."""
    go_on()
    summed = values.reshape(-1, *ring.shape).sum(axis=0)
    count = min(ring.shape) // 2
    counted = np.bincount(ring.ravel(), weights=summed.ravel(), minlength=count + 1)
    return np.asarray(counted[1 : count + 1], dtype=float)


def faded(shape: tuple[int, ...], share: float) -> FloatArray:
    """Return a window (Y, X) that falls to zero along a raised cosine at each edge of a plane.

    A share of each side is faded at either end of it: 0.5 is a Hann window.
    """
    return np.outer(*(_fading(length, share) for length in shape))


def _fading(length: int, share: float) -> FloatArray:
    edge = max(int(length * share), 1)
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(edge) + 0.5) / edge)
    window = np.ones(length)
    window[:edge], window[-edge:] = ramp, ramp[::-1]
    return window


def _planes(image: ArrayLike) -> FloatArray:
    values = np.asarray(image, dtype=float)
    if values.ndim not in (2, 3):
        raise InputError(
            "image-axes-count",
            f"The image has {values.ndim} axes; give one frame (YX) or stack (ZYX).",
        )
    return values.reshape(-1, *values.shape[-2:])


def _binned(planes: FloatArray, factor: int) -> FloatArray:
    count, rows, columns = planes.shape
    blocks = planes.reshape(count, rows // factor, factor, columns // factor, factor)
    return np.asarray(blocks.mean(axis=(2, 4)))


def _spectrum(planes: FloatArray, window: FloatArray) -> NDArray[np.complex128]:
    """Fade planes to their mean and transform them; a white noise keeps its variance a mode."""
    go_on()
    centred = planes - planes.mean(axis=(-2, -1), keepdims=True)
    return np.asarray(fft.fft2(centred * window) / np.sqrt(window.size))


def _radius(shape: tuple[int, ...], pixel: float) -> FloatArray:
    return np.asarray(np.hypot(fft.fftfreq(shape[0], pixel)[:, None], fft.fftfreq(shape[1], pixel)))


def _optical_transfer(psf: PSF, upsampling: int, frequency: FloatArray) -> FloatArray:
    """Average the OTF of the plane in focus over rings, the binning to raw pixels included."""
    plane = psf.plane().array.astype(float)
    size = 4 * max(plane.shape)
    padded = np.zeros((size, size))
    padded[: plane.shape[0], : plane.shape[1]] = plane
    otf = np.abs(fft.fft2(padded))
    radius = _radius(otf.shape, psf.steps[-1])
    order = np.rint(radius * size * psf.steps[-1]).astype(int).ravel()
    mean = np.bincount(order, weights=otf.ravel()) / np.bincount(order)
    centres = np.arange(len(mean)) / (size * psf.steps[-1])
    box = np.sinc(frequency * psf.steps[-1] * upsampling)
    return np.asarray(np.interp(frequency, centres, mean) * box)
