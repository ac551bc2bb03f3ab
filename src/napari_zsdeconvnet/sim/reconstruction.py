"""The linear reconstruction: orders taken apart, shifted to where they belong, and weighed."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any, Self, overload

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from torch import Tensor, nn

from ..physics.forward import continued
from ..psf.psf import PSF
from ..utils.errors import InputError
from ..utils.phases import go_on
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
        notch: float = 0.97,
        notch_width: float = 0.03,
        apodisation: float = 1.2,
    ) -> None:
        super().__init__()
        if not patterns.found:
            raise InputError(
                "sim-pattern-not-found",
                "No orientation of the patterns was found: give their period and angles to "
                "estimate, or other frames.",
            )
        limits = {"wiener": (1e-4, 10.0), "notch": (0.0, 1.0), "notch_width": (0.01, 1.0)}
        given = {"wiener": wiener, "notch": notch, "notch_width": notch_width}
        for name, (least, most) in (limits | {"apodisation": (0.0, 4.0)}).items():
            value = (given | {"apodisation": apodisation})[name]
            if not (math.isfinite(value) and least <= value <= most):
                raise InputError(
                    "reconstruction-setting-wrong",
                    f"The value of {name.replace('_', ' ')} is {value}: give {least:g} to "
                    f"{most:g}.",
                )
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
        negative of it, 0.3 % of the peak by default, is cut off.
        """
        size = 2 * PSF_RADIUS + 1
        operator = _Operator(self, (4 * PSF_RADIUS,) * 2, torch.device("cpu"), margin=0)
        point = torch.fft.fftshift(torch.fft.ifft2(operator.transfer).real)
        middle = [n // 2 for n in point.shape]
        cut = point[
            middle[0] - PSF_RADIUS : middle[0] + PSF_RADIUS + 1,
            middle[1] - PSF_RADIUS : middle[1] + PSF_RADIUS + 1,
        ].clamp(min=0)
        assert cut.shape == (size, size)
        return PSF.from_array(cut.double().numpy(), (self.patterns.pixel_size / 2,) * 2)

    def noise_spectrum(self) -> NDArray[np.float32]:
        """Give what becomes of white noise of variance 1 in every pixel of every frame.

        Returns
        -------
        ndarray
            Power spectral density of the reconstruction, frequency 0 first, on the grid of
            frequencies of a small square image. Its mean is the variance of a pixel.
        """
        operator = _Operator(self, (2 * PSF_RADIUS,) * 2, torch.device("cpu"), margin=0)
        power: NDArray[np.float32] = operator.noise_power().numpy()
        return power

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
                "reconstruction-damaged",
                f"The reconstruction is incomplete or damaged ({error}): estimate it again.",
            ) from error
        return made

    def notched(self, ky: NDArray[np.floating], kx: NDArray[np.floating]) -> NDArray[np.floating]:
        """Give what the notch leaves of a side order where two axes of its frequencies cross."""
        width = self.notch_width * self.otf.cutoff
        return 1 - self.notch * np.exp(-0.5 * (ky[:, None] ** 2 + kx**2) / width**2)

    def _by_orientation(self, raw: Tensor) -> Tensor:
        """Lay frames out as (..., orientation, phase, Y, X), those found, equally bright."""
        patterns = self.patterns
        count = len(patterns) * patterns.phases
        if raw.ndim < 3 or raw.shape[-3] != count:
            raise InputError(
                "patterns-other-frames",
                f"The frames have the shape {tuple(raw.shape)} and the patterns are of {count} "
                "frames: give (..., frames, Y, X).",
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


class _Operator:
    """The factors of a reconstruction for frames of one size.

    Orders are taken apart pixel by pixel. Turned back by their fringes, which leaves nothing
    that alternates, the side orders are continued beyond the image by reflection as the middle
    one is; fringes that were reflected themselves would be of another pattern. In frequency a
    side order moves by whole steps of the grid, the rest of its shift having been left out of
    the turn.
    """

    def __init__(
        self,
        made_of: Reconstruction,
        shape: tuple[int, int],
        device: torch.device,
        margin: int = MARGIN,
    ) -> None:
        patterns, pixel = made_of.patterns, made_of.patterns.pixel_size
        found = patterns.found
        self.shape = shape
        self.margin = margin
        self.coarse = tuple(_even_fast(n + 2 * margin) for n in shape)
        self.fine = tuple(2 * n for n in self.coarse)
        behind = [full - n - margin for full, n in zip(self.coarse, shape, strict=True)]
        self.widths = [(margin, rest) for rest in behind]
        self.brightness = torch.tensor(
            [patterns.brightness[index] for index, pattern in enumerate(patterns) if pattern.found],
            device=device,
        )
        fades = [_fade(n, *width) for n, width in zip(shape, self.widths, strict=True)]

        def to_device(array: NDArray[Any], kind: torch.dtype) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device, kind)

        self.window = to_device(np.outer(*fades), torch.float32)
        separate = np.stack([unmixing(pattern.phases)[:2] for pattern in found])
        self.to_middle = to_device(separate[:, 0].real, torch.float32)
        self.to_sides = to_device(separate[:, 1], torch.complex64)

        # Everything is laid out with frequency 0 in the middle.
        raw = [np.fft.fftshift(np.fft.fftfreq(n, pixel)) for n in self.coarse]
        out = [np.fft.fftshift(np.fft.fftfreq(n, pixel / 2)) for n in self.fine]
        steps = [1 / (n * pixel) for n in self.coarse]
        otf = made_of.otf
        total = len(found) * np.abs(otf.at(out[0], out[1])) ** 2
        self.middle = to_device(np.conj(otf.at(raw[0], raw[1])), torch.complex64)
        sides, self.shifts, turns, moves = [], [], [], []
        for pattern in found:
            go_on()
            frequency, strength = pattern.frequency, pattern.depth / 2
            whole = [round(k / step) for k, step in zip(frequency, steps, strict=True)]
            left = [k - n * step for k, n, step in zip(frequency, whole, steps, strict=True)]
            at = [axis + rest for axis, rest in zip(raw, left, strict=True)]
            damped = made_of.notched(at[0], at[1])
            sides.append(2 * strength * np.conj(otf.at(at[0], at[1])) * damped)
            for sign in (-1, 1):
                there = [axis + sign * k for axis, k in zip(out, frequency, strict=True)]
                power = np.abs(otf.at(there[0], there[1])) ** 2
                total += strength**2 * power * made_of.notched(there[0], there[1])
            self.shifts.append((whole[0], whole[1]))
            # Phases are quoted at the middle of the area; the grid counts from its first pixel.
            middle = tuple((n - 1) / 2 for n in shape)
            turns.append(_waves(frequency, middle, shape, pixel).conj())
            steady = whole[0] * steps[0], whole[1] * steps[1]
            moves.append(_waves(steady, (0, 0), self.coarse, pixel))
        self.sides = to_device(np.stack(sides), torch.complex64)
        self.turns = to_device(np.stack(turns), torch.complex64)
        self.moves = to_device(np.stack(moves), torch.complex64)

        least = made_of.wiener**2 * len(found)
        radius = np.hypot(out[0][:, None], out[1]).astype(np.float32)
        reach = otf.cutoff + max(math.hypot(*pattern.frequency) for pattern in found)
        apodisation = ideal(radius / reach) ** made_of.apodisation * (radius < reach)
        # Divided by what a flat field is given, so that it keeps its counts.
        flat = len(found) / (total[self.coarse] + least)
        filtering = apodisation / (total + least) / flat
        self.transfer = to_device(np.fft.ifftshift(filtering * total), torch.float32)
        # Fine pixels lie a quarter of a raw pixel to both sides of a raw pixel's centre, and
        # four of them share what the sums of an inverse transform give to one.
        quarter = np.exp(-0.5j * np.pi * pixel * (out[0][:, None] + out[1]))
        self.plain = to_device(4 * quarter, torch.complex64)
        self.filter = to_device(4 * quarter * filtering, torch.complex64)

    def apply(self, frames: Tensor) -> Tensor:
        """Reconstruct (N, orientation, phase, Y, X); gives (N, 2Y, 2X)."""
        middle = torch.einsum("op,nopyx->nyx", self.to_middle, frames)
        sides = torch.einsum("op,nopyx->noyx", self.to_sides, frames.to(torch.complex64))
        sides = self._continued(sides * self.turns) * self.moves
        spectra = torch.fft.fftshift(torch.fft.fft2(sides), dim=(-2, -1)) * self.sides
        image = self._placed(self._spectrum(middle) * self.middle)
        for number, shift in enumerate(self.shifts):
            go_on()
            self._add(image, spectra[:, number], shift)
        return self._inside(image * self.filter)

    def enlarge(self, images: Tensor) -> Tensor:
        """Bring images (N, Y, X) to the doubled grid as they are."""
        return self._inside(self._placed(self._spectrum(images)) * self.plain)

    def noise_power(self) -> Tensor:
        """Give the power spectral density of what white noise of variance 1 becomes, (2Y, 2X)."""
        middle = (self.to_middle * self.brightness).square().sum()
        # Of a side order the real part alone is kept. Its noise has no preferred phase, so that
        # each half of the spectrum gets a quarter of the power.
        sides = 0.25 * (self.to_sides * self.brightness).abs().square().sum(dim=1)
        power = self._placed(middle * self.middle.abs().square()[None])
        shifted = torch.zeros_like(power)
        for number, shift in enumerate(self.shifts):
            self._add(shifted, sides[number] * self.sides[number : number + 1].abs() ** 2, shift)
        mirrored = torch.roll(shifted.flip((-2, -1)), (1, 1), (-2, -1))
        # Four fine pixels share what the transforms give to a raw one.
        density = 0.25 * (power + shifted + mirrored) * self.filter.abs().square()
        spectrum: Tensor = torch.fft.ifftshift(density[0])
        return spectrum

    def _spectrum(self, images: Tensor) -> Tensor:
        spectrum: Tensor = torch.fft.fft2(self._continued(images))
        centred: Tensor = torch.fft.fftshift(spectrum, dim=(-2, -1))
        return centred

    def _continued(self, images: Tensor) -> Tensor:
        """Continue (..., Y, X) beyond the edges, and let the continuation fade out."""
        if images.is_complex():
            parts = self._continued(torch.view_as_real(images).movedim(-1, 0))
            return torch.complex(parts[0], parts[1])
        wide = continued(images.reshape(-1, 1, *images.shape[-2:]), self.widths) * self.window
        return wide.reshape(*images.shape[:-2], *wide.shape[-2:])

    def _placed(self, spectra: Tensor) -> Tensor:
        """Put spectra (N, ...) of the raw grid into empty ones of the doubled grid."""
        wide = spectra.new_zeros((len(spectra), *self.fine))
        self._add(wide, spectra, (0, 0))
        return wide

    def _add(self, wide: Tensor, spectra: Tensor, shift: tuple[int, int]) -> None:
        """Add a spectrum that belongs `shift` steps of the grid below where it is."""
        into, taken = [slice(None)], [slice(None)]
        for coarse, fine, steps in zip(self.coarse, self.fine, shift, strict=True):
            first = (fine - coarse) // 2 - steps
            into.append(slice(max(first, 0), min(first + coarse, fine)))
            taken.append(slice(max(-first, 0), min(coarse, fine - first)))
        wide[tuple(into)] += spectra[tuple(taken)]

    def _inside(self, spectra: Tensor) -> Tensor:
        """Transform back, and cut the continuation off."""
        images: Tensor = torch.fft.ifft2(torch.fft.ifftshift(spectra, dim=(-2, -1))).real
        (top, left), (rows, columns) = (2 * self.margin,) * 2, (2 * n for n in self.shape)
        return images[..., top : top + rows, left : left + columns]


def _waves(
    frequency: tuple[float, float], origin: tuple[float, ...], shape: tuple[int, ...], pixel: float
) -> NDArray[np.complex128]:
    """Draw a plane wave over an image, 1 at the origin (pixels)."""
    rows, columns = (
        np.exp(2j * np.pi * k * pixel * (np.arange(n) - start))
        for k, n, start in zip(frequency, shape, origin, strict=True)
    )
    return np.asarray(rows[:, None] * columns)


def _even_fast(length: int) -> int:
    """Give the next even length that transforms quickly."""
    return 2 * int(next_fast_len(-(-length // 2), real=False))


def _fade(length: int, before: int, behind: int) -> NDArray[np.float64]:
    """Give 1 over a stretch and the nearer half of its margins, falling to 0 at the ends."""
    rise, fall = (
        np.sin(0.5 * np.pi * np.clip(2 * (np.arange(width) + 0.5) / max(width, 1), 0, 1)) ** 2
        for width in (before, behind)
    )
    return np.concatenate([rise, np.ones(length), fall[::-1]])
