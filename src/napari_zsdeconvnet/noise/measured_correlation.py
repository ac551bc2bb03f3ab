"""The correlation of the noise of neighbouring pixels, measured on images, volumes and series."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import least_squares

from ..utils.phases import go_on
from .image_transfer import axial_correlation_of_volumes, chosen_planes
from .photon_transfer import WINDOW, FloatArray

SERIES_FROM = 10  # frames; fewer say less about the noise than one image does
_SHARED = 0.2  # from where on it is no chance, even where a few bright spots make the noise
_EDGE = 0.43  # cycles per pixel, from where on well sampled images hold noise alone
_LAST_EDGE = 0.495  # beyond which too little is left
_SURELY_BEYOND = 1.05  # times the cutoff, from where on a spectrum is noise for certain


def shared_noise(frames: Any, cutoff: float) -> tuple[float, ...]:
    r"""Measure how neighbouring pixels share noise, as resampling and filters leave it.

    Of a series from the differences of consecutive frames, of single images from the edge of
    their spectrum, where nothing but noise is: that of which neighbours share :math:`\rho_y` and
    :math:`\rho_x` has there a power of
    :math:`(1 + 2 \rho_y \cos 2 \pi k_y) (1 + 2 \rho_x \cos 2 \pi k_x)`.

    Parameters
    ----------
    frames
        Camera counts, axes ``(T, Y, X)`` or ``(T, Z, Y, X)``.
    cutoff
        Cycles per pixel beyond which the optics pass nothing.

    Returns
    -------
    tuple of float
        Correlations of neighbours along ([z,] y, x); empty where there are none, or where too
        little is seen beyond the cutoff to tell.
    """
    series = len(frames) >= SERIES_FROM and frames.ndim == 3
    edge = _EDGE if series else max(_SURELY_BEYOND * cutoff, _EDGE)
    lateral = _correlation_at_the_edge(frames, edge, series) if edge < _LAST_EDGE else (0.0, 0.0)
    axial = axial_correlation_of_volumes(frames) if frames.ndim == 4 else 0.0
    found = (*((axial,) if frames.ndim == 4 else ()), *lateral)
    # Resampling and smoothing give neighbours noise of the same sign.
    found = tuple(float(np.clip(value, 0.0, 0.5)) for value in found)
    return found if max(found) >= _SHARED else ()


def _correlation_at_the_edge(frames: Any, edge: float, series: bool) -> tuple[float, float]:
    """Fit the power of the noise, of frames or of their differences, at the edge of the spectrum.

    Compared are the middles of the two sides of the spectrum and its corner, so that a PSF that
    is too wide, and with it a cutoff that is too low, does not make noise of structure.
    """
    height, width = (min(length, WINDOW) for length in frames.shape[-2:])
    y, x = np.abs(np.fft.fftfreq(height))[:, None], np.abs(np.fft.fftfreq(width))[None, :]
    places = [(x > edge) & (y < 0.12), (y > edge) & (x < 0.12), (y > 0.38) & (x > 0.38)]
    # What is cut off at the border would reach beyond the cutoff.
    taper = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    power = np.zeros((height, width))
    for place in chosen_planes((len(frames) - 1, *frames.shape[1:]) if series else frames.shape):
        go_on()
        window = np.asarray(frames[place], dtype=np.float64)[:height, :width]
        if series:
            window = np.asarray(frames[place[0] + 1])[:height, :width] - window
        power += np.abs(np.fft.fft2(taper * (window - window.mean()))) ** 2
    if not all(place.any() and power[place].any() for place in places):
        return 0.0, 0.0
    found = np.log([power[place].mean() for place in places])
    along_y, along_x = (np.broadcast_to(2 * np.cos(2 * np.pi * k), power.shape) for k in (y, x))
    waves = np.array(
        [[1, *(w[place].mean() for w in (along_y, along_x, along_y * along_x))] for place in places]
    )

    def misfit(values: FloatArray) -> FloatArray:
        level, shared_y, shared_x = values
        expected = waves @ (1, shared_y, shared_x, shared_y * shared_x)
        return np.asarray(level + np.log(np.maximum(expected, 1e-4)) - found)

    bounds = ([-np.inf, 0.0, 0.0], [np.inf, 0.5, 0.5])
    fitted = least_squares(misfit, (found[2], 0.1, 0.1), bounds=bounds)
    return float(fitted.x[1]), float(fitted.x[2])
