r"""Light from above and below the focal plane, in an image of one plane of a thick sample.

No 2D PSF explains such haze: deconvolution sharpens it or leaves it where it is. So it becomes a
part of the model of an image,

.. math:: y = H x + b + o, \qquad b = W c, \quad x, c \ge 0,

with H the PSF in focus, o the camera's offset and W a Gaussian many times as wide as the PSF. A
plane out of focus by j depths of field shows a point as a disc of radius :math:`j \lambda / NA`,
two widths of the PSF in focus for every one of them.

A smooth in-focus structure explains haze as well, so the image alone cannot say how much of it
there is. The estimate begins with most of the smooth light as background and takes back what
contradicts the image: where it would leave less than nothing for the structure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import fft
from torch import Tensor

from ..networks.base import psf_core
from ..networks.informed import binned
from ..noise.noise_model import NoiseModel
from ..noise.pixel_mask import Filled, PixelMask, Runs, mask_of
from ..physics.forward import enlarge
from ..psf.psf import PSF
from ..utils.phases import go_on
from ..utils.tiling import window

RECOMMENDED = 0.5
"""Share of an image's light, as `haze_share` gives it, from which this model is recommended."""

WIDTHS = 6.0
"""Standard deviation of the Gaussian W, in widths (FWHM) of the PSF."""

FIRST_SHARE = 0.7
"""Part of the smooth light that is background at the beginning."""

STEPS = 40
"""Of the estimate; with momentum more change nothing."""

SAMPLED = 1.1
"""Pixels in a width of the PSF that the estimate needs at least."""

MOST_FRAMES = 16
"""Frames of a series that a training takes, as each needs an estimate of its own."""


def out_of_focus_background(
    frame: ArrayLike, psf: PSF, noise: NoiseModel, upsampling: int
) -> NDArray[np.float32]:
    r"""Estimate the smooth out-of-focus background of an image.

    Richardson-Lucy for structure and background together (Richardson 1972; Lucy 1974), with
    momentum (Biggs and Andrews, Applied Optics 36, 1766, 1997). What moves the structure must
    exceed the noise (after White, 1994): otherwise it would follow the noise, whose minima would
    leave no room for a background.

    Parameters
    ----------
    frame : array_like
        Counts, (Y, X).
    psf : PSF
        2D, on the output grid.
    noise : NoiseModel
        The camera.
    upsampling : int
        Output pixels side by side in a raw pixel.

    Returns
    -------
    ndarray
        Counts above the offset, never negative, (Y, X), float32.
    """
    gain = noise.gain or 1.0
    width = _width(psf, upsampling)
    factor = max(int(width / SAMPLED), 1)
    electrons = (np.asarray(frame, np.float32) - np.float32(noise.offset)) / np.float32(gain)
    coarse = _binned_down(electrons, factor)
    kernel = binned(psf_core(psf), upsampling * factor)
    # The constant keeps the ratio of an update finite, and is what read noise amounts to.
    constant = noise.read_variance / gain**2 + 0.5
    smooth = _smooth_part(coarse, kernel, WIDTHS * width / factor, constant, factor)
    fine = enlarge(torch.from_numpy(smooth)[None, None], factor, "linear")[0, 0].numpy()
    height, length = electrons.shape
    return np.ascontiguousarray(fine[:height, :length] * np.float32(gain))


def _smooth_part(
    image: NDArray[np.float32],
    kernel: NDArray[np.float32],
    sigma: float,
    constant: float,
    factor: int,
) -> NDArray[np.float32]:
    """Fit structure and background to a binned image in electrons; gives the latter."""
    rim = math.ceil(2 * sigma)
    sides = [fft.next_fast_len(max(n + 2 * rim, *kernel.shape), real=True) for n in image.shape]
    widths = [(rim, side - length - rim) for side, length in zip(sides, image.shape, strict=True)]
    seen = np.maximum(np.pad(image, widths, mode="reflect") + np.float32(constant), 1e-3)
    sharp, wide = _transfer(kernel, sides), _gaussian(sigma, sides)

    def blurred(values: NDArray[Any], transfer: NDArray[Any]) -> NDArray[np.float32]:
        return np.asarray(fft.irfft2(fft.rfft2(values) * transfer, sides), np.float32)

    # Standard deviation of an update of the structure, times the root of the expected light.
    spread = float(np.sqrt((kernel**2).sum())) / factor
    structure = blurred(seen, np.abs(sharp) ** 2) - constant
    background = blurred(seen, wide) - constant
    parts = np.maximum(np.stack([(1 - FIRST_SHARE) * structure, FIRST_SHARE * background]), 1e-3)
    leading = parts
    for step in range(STEPS):
        go_on()
        first, second = fft.rfft2(leading)
        expected = fft.irfft2(first * sharp + second * wide, sides)
        expected = np.maximum(expected, 0).astype(np.float32) + np.float32(constant)
        missed = fft.rfft2(seen / expected - 1)
        update = fft.irfft2(np.stack([missed * np.conj(sharp), missed * wide]), sides)
        chance = spread / np.sqrt(expected)
        update[0] -= np.clip(update[0], -chance, chance)
        moved = (leading * np.maximum(1 + update, 0.01)).astype(np.float32)
        change = np.clip(moved / (parts + 1e-6), 0.5, 2.0)
        parts, leading = moved, moved * change ** np.float32(step / (step + 3))
    inner = tuple(slice(rim, rim + length) for length in image.shape)
    return np.maximum(blurred(parts[1], wide)[inner], 0)


def haze_share(background: ArrayLike, frame: ArrayLike, offset: float) -> float:
    """Give the share of an image's light that is in the relief of its background, 0 to 1.

    An even background is not counted: it may as well be the medium's, or an offset that is
    wrong by a few counts, and takes nothing of the contrast. The frame is in counts.
    """
    values = np.asarray(background, dtype=float)
    light = float(np.asarray(frame, dtype=float).mean()) - offset
    relief = float(values.mean() - np.percentile(values, 1))
    return min(relief / light, 1.0) if light > 0 else 0.0


def out_of_focus_advice(frame: ArrayLike, psf: PSF, noise: NoiseModel, upsampling: int) -> str:
    """Say whether an image looks as if this model suits it, in a sentence; empty where not.

    Parameters
    ----------
    frame, psf, noise, upsampling
        As for `out_of_focus_background`.
    """
    found = out_of_focus_background(frame, psf, noise, upsampling)
    share = haze_share(found, frame, noise.offset)
    if share < RECOMMENDED:
        return ""
    return (
        f"About {100 * share:.0f} % of the light is so smooth that it may come from above and "
        "below the focal plane; an out-of-focus background, which is off, would take it out."
    )


def few_frames(series: Any) -> Any:
    """Take frames of a long series (T, Y, X) that lie evenly spread, at most `MOST_FRAMES`."""
    every = math.ceil(len(series) / MOST_FRAMES)
    if every == 1:
        return series
    frames = np.stack([np.asarray(series[index]) for index in range(0, len(series), every)])
    mask = mask_of(series)
    planes = {} if mask is None else mask.planes
    kept: dict[tuple[int, ...], Runs] = {
        (place[0] // every,): runs for place, runs in planes.items() if place[0] % every == 0
    }
    return Filled(frames, PixelMask(frames.shape, kept)) if kept else frames


class Backgrounds:
    """The backgrounds of training images (T, Y, X), each estimated when it is first asked for.

    They are cut like the images themselves, and are counts above zero like those: the offset is
    part of them. Parameters are those of `out_of_focus_background`.
    """

    def __init__(
        self,
        recordings: Sequence[NDArray[Any]],
        psf: PSF,
        noise: NoiseModel,
        upsampling: int,
    ) -> None:
        self._recordings = recordings
        self._known = (psf, noise, upsampling)
        self._offset = np.float32(noise.offset)
        self._found: dict[tuple[int, int], NDArray[np.float32]] = {}

    def frame(self, index: int, frame: int) -> NDArray[np.float32]:
        """Give the background of a frame of a recording, (Y, X) counts with the offset."""
        place = (index, frame)
        if place not in self._found:
            image = np.asarray(self._recordings[index][frame])
            self._found[place] = out_of_focus_background(image, *self._known) + self._offset
        return self._found[place]

    def window(self, index: int, frame: int, start: Sequence[int], shape: Sequence[int]) -> Tensor:
        """Cut a part out of it, continued by reflection, as `tiling.window` does."""
        return window(self.frame(index, frame)[None], 0, start, shape)


def _width(psf: PSF, upsampling: int) -> float:
    """Give the width of a PSF in raw pixels."""
    known = [
        width / step / upsampling
        for width, step in zip(psf.fwhm, psf.steps, strict=True)
        if math.isfinite(width)
    ]
    return sum(known) / len(known) if known else SAMPLED


def _binned_down(image: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Average factor x factor pixels; what is left over at the ends is filled up by its edge."""
    filled = np.pad(image, [(0, -length % factor) for length in image.shape], mode="edge")
    rows, columns = filled.shape
    blocks = filled.reshape(rows // factor, factor, columns // factor, factor)
    return np.asarray(blocks.mean(axis=(1, 3)), np.float32)


def _transfer(kernel: NDArray[np.float32], sides: Sequence[int]) -> NDArray[np.complex64]:
    """Give the OTF of a centred kernel on a larger field."""
    field = np.zeros(sides, np.float32)
    field[tuple(slice(length) for length in kernel.shape)] = kernel
    centred = np.roll(field, [-(length // 2) for length in kernel.shape], axis=(0, 1))
    return np.asarray(fft.rfft2(centred), np.complex64)


def _gaussian(sigma: float, sides: Sequence[int]) -> NDArray[np.float32]:
    rows, columns = fft.fftfreq(sides[0])[:, None], fft.rfftfreq(sides[1])
    return np.asarray(np.exp(-2 * (np.pi * sigma) ** 2 * (rows**2 + columns**2)), np.float32)
