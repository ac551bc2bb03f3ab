r"""Frames and orders: how the frames of one orientation are mixed, and how they are taken apart.

Frame p is :math:`D_p = S_0 + e^{i\varphi_p} S_+ + e^{-i\varphi_p} S_-`, with the orders
:math:`S_0(q) = H(q) S(q)` and :math:`S_\pm(q) = \tfrac{m}{2} H(q) S(q \mp k)` of the sample's
spectrum (Gustafsson 2000).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.signal.windows import tukey

FloatArray = NDArray[np.float64]
ComplexArray = NDArray[np.complexfloating]

TAPERED = 0.25  # share of the height and width over which the window rises and falls
BORDER = 4  # pixels over which the taper of the borders does


def unmixing(phases: Sequence[float] | FloatArray) -> NDArray[np.complex128]:
    """Give the matrix that takes frames to orders, the pseudo-inverse of the mixing matrix.

    Parameters
    ----------
    phases
        Of each frame, radians.

    Returns
    -------
    numpy.ndarray
        (3, phases): rows for the orders 0, +1 and -1.
    """
    turned = np.exp(1j * np.asarray(phases, dtype=float))
    return np.linalg.pinv(np.stack([np.ones_like(turned), turned, turned.conj()], axis=1))


def even_phases(count: int) -> FloatArray:
    """Give phases in even steps over one period, starting at 0."""
    return np.asarray(2 * np.pi * np.arange(count) / count)


class Grid:
    """Pixels and frequencies of a raw frame.

    Positions count from the centre of the frame, which is where phases are quoted. An FFT has
    the first pixel as its origin; that turns all spectra alike and drops out of every product
    of one spectrum with the conjugate of another.

    Parameters
    ----------
    shape
        Rows and columns.
    pixel_size
        Micrometres.
    """

    def __init__(self, shape: tuple[int, int], pixel_size: float) -> None:
        self.shape = shape
        self.pixel_size = pixel_size
        self.y, self.x = ((np.arange(n) - (n - 1) / 2) * pixel_size for n in shape)
        self.ky, self.kx = (fft.fftfreq(n, pixel_size) for n in shape)
        self.window = _taper(shape, TAPERED * shape[0] / 2, TAPERED * shape[1] / 2)
        self.borders = _taper(shape, BORDER, BORDER)

    @property
    def radius(self) -> FloatArray:
        """Length of each frequency, cycles per micrometre."""
        return np.asarray(np.hypot(self.ky[:, None], self.kx))

    @property
    def step(self) -> tuple[float, float]:
        """Distance between frequencies along Y and X, cycles per micrometre."""
        return tuple(1 / (n * self.pixel_size) for n in self.shape)  # type: ignore[return-value]

    def ramp(self, frequency: tuple[float, float]) -> NDArray[np.complex64]:
        """Give a plane wave of this frequency (ky, kx), 1 at the centre."""
        rows = np.exp(2j * np.pi * frequency[0] * self.y)
        columns = np.exp(2j * np.pi * frequency[1] * self.x)
        return np.outer(rows, columns).astype(np.complex64)


def _taper(shape: tuple[int, int], rows: float, columns: float) -> NDArray[np.float32]:
    """Give a window that rises over some rows and columns at each side."""
    sides = [
        tukey(n + 2, min(2 * rise / n, 1))[1:-1]
        for n, rise in zip(shape, (rows, columns), strict=True)
    ]
    return np.asarray(np.outer(*sides), dtype=np.float32)


def noise_power(spectra: ComplexArray, radius: FloatArray, cutoff: float) -> FloatArray:
    """Measure the mean power of noise beyond the cutoff, where the optics pass nothing.

    Parameters
    ----------
    spectra
        (frames, Y, X).
    radius
        Length of each frequency, (Y, X).
    cutoff
        In the same units.

    Returns
    -------
    numpy.ndarray
        One power for each frame; zero where the pixels are too coarse to see beyond the cutoff.
    """
    beyond = radius > 1.05 * cutoff
    if np.count_nonzero(beyond) < 50:
        return np.zeros(len(spectra))
    return np.asarray((np.abs(spectra[:, beyond]) ** 2).mean(axis=1, dtype=float))
