"""Recordings that one model may serve: alike in noise, in light and in the sizes of structure.

Optics and pixels are compared by the modes. What is asked here is whether a network that has
learned from one recording has seen what another shows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..noise.camera_maps import typical_of
from ..noise.noise_model import NoiseModel

if TYPE_CHECKING:
    from ..model.model import Model
    from ..modes.base import Mode

GAIN = 1.35
"""Times by which measured gains may differ: photon transfer in one image errs by a quarter."""
READ_VARIANCE = 1.6
LIGHT = 4.0
"""Times by which the light of the brightest half per cent of pixels may differ."""
BAND = 0.7
"""Powers of ten by which the share of a band of the spectrum may differ."""
BANDS = 6
WIDEST = 512  # pixels of a frame that are looked at, along each axis
MOST_MODELS = 8


@dataclass(frozen=True, eq=False)
class Likeness:
    """What is compared of a recording.

    Attributes
    ----------
    noise
        As calibrated, or measured in the recording itself.
    light
        Counts above the offset that 0.5 % of the pixels of the middle plane exceed.
    spectrum
        Logarithms to base 10 of the shares of bands of spatial frequency, from coarse to fine up
        to the Nyquist frequency, in the power that is not noise; bands without any are NaN.
    """

    noise: NoiseModel
    light: float
    spectrum: NDArray[np.float64]

    @classmethod
    def of(cls, mode: Mode) -> Likeness | None:
        """Look at the recording of a mode that is calibrated; None where pixels are no counts."""
        camera = getattr(mode, "camera", None)
        if camera is None or mode.takes_channels:
            return None
        noise = typical_of(camera)
        # NaN is where nothing was recorded, as deskewing leaves it: there is no light there.
        plane = np.nan_to_num(_middle(mode.image.data).astype(np.float64) - noise.offset)
        light = float(np.percentile(plane, 99.5))
        return cls(noise, light, _spectrum(plane, noise))

    def differs(self, other: Likeness) -> str:
        """Say in what another recording is not alike; empty where it is."""
        noise = self.differs_in_noise(other.noise)
        if noise:
            return noise
        if not _within(max(self.light, 1e-6), max(other.light, 1e-6), LIGHT):
            ratio = self.light / max(other.light, 1e-6)
            return f"its light is {ratio:.2g} times that of the recording trained on"
        apart = np.abs(self.spectrum - other.spectrum)
        if np.nanmax(apart, initial=0.0) > BAND:
            return "its structure has other sizes than that of the recording trained on"
        return ""

    def differs_in_noise(self, noise: NoiseModel) -> str:
        """Say in which number the noise differs from another; empty where it does not."""
        own = self.noise
        if own.gain and noise.gain and not _within(own.gain, noise.gain, GAIN):
            return (
                f"its gain is {own.gain:.2g} counts per electron, that of the model's camera "
                f"{noise.gain:.2g}"
            )
        if not _within(own.read_variance + 1, noise.read_variance + 1, READ_VARIANCE):
            return (
                f"its read variance is {own.read_variance:.2g} counts squared, that of the model's "
                f"camera {noise.read_variance:.2g}"
            )
        spread = math.sqrt(max(own.read_variance, noise.read_variance, 1.0))
        if abs(own.offset - noise.offset) > 2 * spread:
            return (
                f"its offset is {own.offset:.4g} counts, that of the model's camera "
                f"{noise.offset:.4g}"
            )
        return ""


class SharedModels:
    """Models of some recordings, for others that are alike; the newest are kept.

    Parameters
    ----------
    models : iterable of Model
        At hand already, of recordings that nothing is known of: their noise is compared alone.
    most : int
        How many are kept, so that memory stays the same however many recordings there are.
    """

    def __init__(self, models: Iterable[Model] = (), most: int = MOST_MODELS) -> None:
        self._known: list[tuple[Model, Likeness | None]] = [(model, None) for model in models]
        self._most = most

    @property
    def models(self) -> tuple[Model, ...]:
        """Those at hand, the one trained last first."""
        return tuple(model for model, _ in self._known)

    def add(self, model: Model, mode: Mode) -> None:
        """Keep a model that was trained on the recording of a mode."""
        self._known.insert(0, (model, Likeness.of(mode)))
        del self._known[self._most :]

    def unlike(self, mode: Mode, model: Model) -> str:
        """Say why a model that fits a recording's optics is not used for it; empty where it is."""
        own = Likeness.of(mode)
        if own is None:
            return ""
        known = next((likeness for one, likeness in self._known if one is model), None)
        why = own.differs_in_noise(model.noise) if known is None else own.differs(known)
        return f"The model at hand is not used: {why}." if why else ""


def _within(one: float, other: float, times: float) -> bool:
    return max(one, other) <= times * min(one, other)


def _middle(data: Any) -> NDArray[Any]:
    """Cut the middle out of the middle plane of the middle frame."""
    while data.ndim > 2:
        data = data[data.shape[0] // 2]
    starts = (max((length - WIDEST) // 2, 0) for length in data.shape)
    return np.asarray(data[tuple(slice(start, start + WIDEST) for start in starts)])


def _spectrum(plane: NDArray[np.float64], noise: NoiseModel) -> NDArray[np.float64]:
    window = np.multiply.outer(*(np.hanning(n + 2)[1:-1] for n in plane.shape))
    power = np.abs(np.fft.rfft2(window * (plane - plane.mean()))) ** 2
    rows, columns = np.fft.fftfreq(plane.shape[0]), np.fft.rfftfreq(plane.shape[1])
    frequency = np.hypot(rows[:, None], columns[None])
    # Where the gain is not known yet, read noise alone is taken off.
    variance = noise.read_variance + (noise.slope or 0.0) * float(plane.clip(0).mean())
    power -= variance * float((window**2).sum())
    edges = np.geomspace(2 / min(plane.shape), 0.5, BANDS + 1)
    band = np.digitize(frequency, edges)
    sums = np.array([power[band == number].sum() for number in range(1, BANDS + 1)])
    shares = sums / max(float(sums.sum()), 1e-30)
    # What is below a thousandth is as much noise as structure.
    return np.where(shares > 1e-3, np.log10(shares.clip(1e-3)), np.nan)
