"""The linear reconstruction: orders taken apart, shifted to where they belong, and weighed."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, overload

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError
from ..forward import continued
from ..psf import PSF
from .frames import layout
from .orders import unmixing
from .otf import OTF, ideal
from .patterns import Patterns

MARGIN = 24
"""Raw pixels by which frames are continued, and over which they fade out."""

PSF_RADIUS = 24
"""Output pixels of the PSF to each side of its centre."""


class Reconstruction(nn.Module):
    r"""The Wiener reconstruction of two-beam SIM with patterns that are known, on a doubled grid.

    .. math:: \hat S(k) = \frac{A(k) \sum_{o, m} c_m H^*(k + m p_o)\, a_m(k + m p_o)\,
              S_{o,m}(k + m p_o)}{\sum_{o, m} c_m^2 |H(k + m p_o)|^2 a_m(k + m p_o) + w^2}

    with the orders :math:`m` of orientation :math:`o`, their strength :math:`c_0 = 1`,
    :math:`c_{\pm 1} = depth / 2`, the notch :math:`a` (1 for order 0), the apodisation
    :math:`A` and the Wiener constant :math:`w` (Gustafsson 2000; Lal et al. 2016).

    It is linear and real: nothing is clipped, normalised or estimated on the way, so that
    noise of zero mean stays so. A flat field keeps its counts.

    Parameters
    ----------
    patterns : Patterns
        Orientations that were not found are left out.
    psf : PSF or path, optional
        Of the microscope, as for `sim.estimate`; by default an ideal one with the attenuation
        that the patterns tell.
    wiener : float
        w, as a part of what the transfer functions are at frequency 0.
    notch : float
        0 to 1: by how much the middle of the side orders is damped, where out-of-focus light
        leaves a honeycomb.
    notch_width : float
        Standard deviation of the notch, as a part of the cutoff.
    apodisation : float
        Power of the ideal transfer function that the result is given; 1 rings the least, less
        is sharper.

    Raises
    ------
    InputError
        If a setting is out of range, the PSF lies on another grid, or no orientation was found.
    """

    def __init__(
        self,
        patterns: Patterns,
        *,
        psf: PSF | str | os.PathLike[str] | None = None,
        wiener: float = 0.1,
        notch: float = 0.9,
        notch_width: float = 0.12,
        apodisation: float = 1.0,
    ) -> None:
        super().__init__()
        if not patterns.found:
            raise InputError(
                "No orientation of the patterns was found: give their period and angles to "
                "estimate, or other frames."
            )
        limits = {"wiener": (1e-4, 10.0), "notch": (0.0, 1.0), "notch_width": (0.01, 1.0)}
        given = {"wiener": wiener, "notch": notch, "notch_width": notch_width}
        for name, (least, most) in (limits | {"apodisation": (0.0, 4.0)}).items():
            value = (given | {"apodisation": apodisation})[name]
            if not (math.isfinite(value) and least <= value <= most):
                raise InputError(f"{name} is {value}: give {least:g} to {most:g}.")
        self.patterns = patterns
        self.wiener, self.notch, self.notch_width = wiener, notch, notch_width
        self.apodisation = apodisation
        self.otf = OTF(
            patterns.na, patterns.wavelength, patterns.pixel_size, psf, patterns.attenuation
        )
        self.register_buffer("_here", torch.zeros(()), persistent=False)
        self._operators: dict[tuple[tuple[int, int], torch.device], _Operator] = {}

    _here: Tensor

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_operators": {}}

    @overload
    def __call__(self, raw: Tensor) -> Tensor: ...
    @overload
    def __call__(self, raw: NDArray[Any]) -> NDArray[np.float32]: ...
    def __call__(self, raw: Tensor | NDArray[Any]) -> Tensor | NDArray[np.float32]:
        """Reconstruct frames (..., N, Y, X) without their offset; gives (..., 2Y, 2X)."""
        if isinstance(raw, Tensor):
            image: Tensor = super().__call__(raw)
            return image
        given = torch.from_numpy(np.ascontiguousarray(raw, dtype=np.float32))
        with torch.no_grad():
            made: Tensor = super().__call__(given.to(self._here.device))
        return made.cpu().numpy()

    def forward(self, raw: Tensor) -> Tensor:
        """Reconstruct a tensor; see `__call__`.

        Raises
        ------
        InputError
            If it has another number of frames than the patterns.
        """
        frames = self._by_orientation(raw)
        operator = self._operator((int(raw.shape[-2]), int(raw.shape[-1])), raw.device)
        image = operator.apply(frames.reshape(-1, *frames.shape[-4:]))
        return image.reshape(*raw.shape[:-3], *image.shape[-2:])

    def widefield(self, raw: NDArray[Any]) -> NDArray[np.float32]:
        """Average the frames on the doubled grid, what a microscope without patterns sees.

        Parameters
        ----------
        raw : ndarray
            (..., N, Y, X), without the offset.
        """
        frames = torch.from_numpy(np.ascontiguousarray(raw, dtype=np.float32))
        mean = self._by_orientation(frames).mean(dim=(-4, -3))
        operator = self._operator((int(raw.shape[-2]), int(raw.shape[-1])), mean.device)
        image = operator.enlarge(mean.reshape(-1, *mean.shape[-2:]))
        return image.reshape(*mean.shape[:-2], *image.shape[-2:]).numpy()

    def psf(self) -> PSF:
        """PSF of the reconstruction on the doubled grid: what becomes of a point.

        Where patterns are what they are said to be, the frames of a point go through the
        operator to :math:`A D / (D + w^2)`, D being the sum in the denominator. What is
        negative of it, of no consequence with an apodisation of 1, is cut off.
        """
        size = 2 * PSF_RADIUS + 1
        operator = _Operator(self, (4 * PSF_RADIUS,) * 2, torch.device("cpu"), margin=0)
        point = torch.fft.fftshift(torch.fft.irfft2(operator.transfer, s=operator.fine))
        middle = [n // 2 for n in point.shape]
        cut = point[
            middle[0] - PSF_RADIUS : middle[0] + PSF_RADIUS + 1,
            middle[1] - PSF_RADIUS : middle[1] + PSF_RADIUS + 1,
        ].clamp(min=0)
        assert cut.shape == (size, size)
        return PSF.from_array(cut.double().numpy(), (self.patterns.pixel_size / 2,) * 2)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers, strings and lists, ready for JSON."""
        return {
            "patterns": self.patterns.to_dict(),
            "otf": self.otf.to_dict(),
            "wiener": self.wiener,
            "notch": self.notch,
            "notch_width": self.notch_width,
            "apodisation": self.apodisation,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild a reconstruction from what `to_dict` returned.

        Raises
        ------
        InputError
            If an entry is missing or damaged.
        """
        settings = ("wiener", "notch", "notch_width", "apodisation")
        try:
            made = cls(
                Patterns.from_dict(values["patterns"]), **{name: values[name] for name in settings}
            )
            made.otf = OTF.from_dict(values["otf"])
        except (KeyError, TypeError) as error:
            raise InputError(
                f"The reconstruction is incomplete or damaged ({error}): estimate it again."
            ) from error
        return made

    def _by_orientation(self, raw: Tensor) -> Tensor:
        """Lay frames out as (..., orientation, phase, Y, X), those found, equally bright."""
        patterns = self.patterns
        count = len(patterns) * patterns.phases
        if raw.ndim < 3 or raw.shape[-3] != count:
            raise InputError(
                f"The frames have the shape {tuple(raw.shape)} and the patterns are of {count} "
                "frames: give (..., frames, Y, X)."
            )
        order = layout(len(patterns), patterns.phases, patterns.order)
        found = [index for index, pattern in enumerate(patterns) if pattern.found]
        chosen = torch.as_tensor(order[found].ravel(), device=raw.device)
        factors = torch.tensor(
            [patterns.brightness[index] for index in found],
            dtype=torch.float32,
            device=raw.device,
        )
        frames = raw.float().index_select(-3, chosen)
        frames = frames.reshape(*raw.shape[:-3], len(found), patterns.phases, *raw.shape[-2:])
        return frames * factors[..., None, None]

    def _operator(self, shape: tuple[int, int], device: torch.device) -> _Operator:
        key = (shape, device)
        if key not in self._operators:
            # One size is in use at a time, and its factors are as large as many images.
            self._operators = {key: _Operator(self, shape, device)}
        return self._operators[key]


@dataclass(frozen=True)
class _Frequencies:
    """Two axes of frequencies, cycles per micrometre."""

    ky: NDArray[np.float64]
    kx: NDArray[np.float64]

    @property
    def radius(self) -> NDArray[np.float64]:
        return np.asarray(np.hypot(self.ky[:, None], self.kx))

    def shifted(self, frequency: tuple[float, float], order: int) -> _Frequencies:
        return _Frequencies(self.ky + order * frequency[0], self.kx + order * frequency[1])


class _Operator:
    """The factors of a reconstruction for frames of one size."""

    def __init__(
        self,
        made_of: Reconstruction,
        shape: tuple[int, int],
        device: torch.device,
        margin: int | None = None,
    ) -> None:
        patterns, pixel = made_of.patterns, made_of.patterns.pixel_size
        self.shape = shape
        self.margin = MARGIN if margin is None else margin
        self.coarse = tuple(_even_fast(n + 2 * self.margin) for n in shape)
        self.fine = tuple(2 * n for n in self.coarse)
        behind = [full - n - self.margin for full, n in zip(self.coarse, shape, strict=True)]
        self.widths = [(self.margin, rest) for rest in behind]
        fades = [_fade(n, *width) for n, width in zip(shape, self.widths, strict=True)]

        def to_device(array: NDArray[Any], kind: torch.dtype) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device, kind)

        self.window = to_device(np.outer(*fades), torch.float32)
        raw = _Frequencies(*(np.fft.fftfreq(n, pixel) for n in self.coarse))
        out = _Frequencies(
            np.fft.fftfreq(self.fine[0], pixel / 2), np.fft.rfftfreq(self.fine[1], pixel / 2)
        )
        # Fine pixels lie a quarter of a raw pixel to both sides of a raw pixel's centre.
        quarter = np.exp(-0.5j * np.pi * pixel * (raw.ky[:, None] + raw.kx))
        transfer = np.conj(made_of.otf.at(raw.ky, raw.kx))
        notch = self._notch(made_of, raw)
        self.plain = to_device(quarter, torch.complex64)
        self.weights = to_device(
            np.stack([transfer * quarter, transfer * notch * quarter]), torch.complex64
        )
        self.unmixing = to_device(
            np.stack([unmixing(pattern.phases)[:2] for pattern in patterns.found]),
            torch.complex64,
        )
        # The middle of the image, where phases are quoted, is that of its area.
        positions = [
            (np.arange(n) * 0.5 - 0.25 - (self.margin + (size - 1) / 2)) * pixel
            for n, size in zip(self.fine, shape, strict=True)
        ]
        ramps, total = [], np.zeros((len(out.ky), len(out.kx)))
        for pattern in patterns.found:
            ky, kx = pattern.frequency
            strength = pattern.depth / 2
            ramp = np.outer(
                np.exp(-2j * np.pi * ky * positions[0]), np.exp(-2j * np.pi * kx * positions[1])
            )
            ramps.append(strength * ramp)
            total += np.abs(made_of.otf.at(out.ky, out.kx)) ** 2
            for order in (-1, 1):
                there = out.shifted(pattern.frequency, order)
                power = np.abs(made_of.otf.at(there.ky, there.kx)) ** 2
                total += strength**2 * power * self._notch(made_of, there)
        self.ramps = to_device(np.stack(ramps), torch.complex64)
        least = made_of.wiener**2 * total[0, 0]
        reach = made_of.otf.cutoff + max(math.hypot(*p.frequency) for p in patterns.found)
        apodisation = ideal(out.radius / reach) ** made_of.apodisation * (out.radius < reach)
        # So that a flat field keeps its counts.
        kept = (total[0, 0] + least) / total[0, 0]
        self.filter = to_device(kept * apodisation / (total + least), torch.float32)
        self.transfer = self.filter * to_device(total, torch.float32)

    @staticmethod
    def _notch(made_of: Reconstruction, at: _Frequencies) -> NDArray[np.float64]:
        width = made_of.notch_width * made_of.otf.cutoff
        return np.asarray(1 - made_of.notch * np.exp(-0.5 * (at.radius / width) ** 2))

    def apply(self, frames: Tensor) -> Tensor:
        """Reconstruct (N, orientation, phase, Y, X); gives (N, 2Y, 2X)."""
        spectra = self._spectra(frames.flatten(1, 2)).unflatten(1, frames.shape[1:3])
        orders = torch.einsum("omp,nopyx->nomyx", self.unmixing, spectra)
        middle = self._doubled(orders[:, :, 0].sum(1) * self.weights[0])
        sides = self._doubled(orders[:, :, 1] * self.weights[1])
        # Order -1 is the complex conjugate of order +1, as the frames are real.
        image = middle.real + 2 * (sides * self.ramps).real.sum(1)
        filtered = torch.fft.irfft2(torch.fft.rfft2(image) * self.filter, s=self.fine)
        return self._inside(filtered)

    def enlarge(self, images: Tensor) -> Tensor:
        """Bring images (N, Y, X) to the doubled grid as they are."""
        return self._inside(self._doubled(self._spectra(images) * self.plain).real)

    def _spectra(self, images: Tensor) -> Tensor:
        """Transform images (N, [frames,] Y, X), continued and faded out."""
        flat = images.reshape(-1, 1, *images.shape[-2:])
        wide = continued(flat, self.widths) * self.window
        return torch.fft.fft2(wide).reshape(*images.shape[:-2], *wide.shape[-2:])

    def _doubled(self, spectra: Tensor) -> Tensor:
        """Transform back on a grid twice as fine; the counts of a pixel stay what they are."""
        shifted = torch.fft.fftshift(spectra, dim=(-2, -1))
        before = [(fine - coarse) // 2 for fine, coarse in zip(self.fine, self.coarse, strict=True)]
        (top, left) = before
        padded = F.pad(shifted, (left, left, top, top))
        return torch.fft.ifft2(torch.fft.ifftshift(padded, dim=(-2, -1))) * 4

    def _inside(self, images: Tensor) -> Tensor:
        (top, left), (rows, columns) = (2 * self.margin,) * 2, (2 * n for n in self.shape)
        return images[..., top : top + rows, left : left + columns]


def _even_fast(length: int) -> int:
    """Give the next even length that transforms quickly."""
    return 2 * int(next_fast_len(-(-length // 2), real=False))


def _fade(length: int, before: int, behind: int) -> NDArray[np.float64]:
    """Give 1 over a stretch, and half a cosine down to 0 on either side of it."""
    rise = np.sin(0.5 * np.pi * (np.arange(before) + 0.5) / max(before, 1)) ** 2
    fall = np.sin(0.5 * np.pi * (np.arange(behind) + 0.5) / max(behind, 1)) ** 2
    return np.concatenate([rise, np.ones(length), fall[::-1]])
