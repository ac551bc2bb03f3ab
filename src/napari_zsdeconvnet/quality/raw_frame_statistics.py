"""What raw frames of structured illumination can say of a result of their reconstruction.

The noise of a reconstruction is not white, and its pixels do not tell it. It is measured: the raw
frames are re-corrupted with the noise of their camera and reconstructed, as pairs for training are.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft, ndimage

from ..model.model import Model
from ..noise.camera_maps import CameraMaps, signal_of
from ..noise.noise_model import NoiseModel
from ..sim.reconstruction import Reconstruction
from ..training.sim_pairs import RawSIM, recorrupted_reconstructions
from .data_consistency import (
    FEWEST_MODES,
    LEAST_POWER,
    OUTER,
    Power,
    Residual,
    beyond_cutoff,
    inside,
    local_variance,
    neighbour_correlation,
    reblurred,
)
from .recording_statistics import Place
from .reference_metrics import Flux
from .spectra import FloatArray, Sharpening, faded, sharpening
from .stability import Followed

DRAWS, KEPT_PIXELS = 8, 2**20
"""Re-corruptions from which the strength of the noise of a reconstruction is measured, and pixels
of them that are kept, of two at least, for its spectrum."""

SMOOTHING, SMOOTHED_MODES = 2.0, 1.5
"""Output pixels over which its variance is averaged, and modes over which its spectrum is."""

BLANK_SHAPE = (64, 64)
"""Raw pixels of the background that a model is shown."""


class RecordedSIM:
    """Raw 2D-SIM as the camera recorded it, and its reconstruction.

    Parameters
    ----------
    model
        That is to be judged.
    frames
        Counts, (N, Y, X).
    camera
        Of the frames.
    reconstruction
        What makes an image of them.
    """

    def __init__(
        self,
        model: Model,
        frames: NDArray[np.generic],
        camera: NoiseModel | CameraMaps,
        reconstruction: Reconstruction,
    ) -> None:
        self._model = model
        self._raw = RawSIM([np.asarray(frames)[None]], camera, reconstruction)
        self._recorded = signal_of(frames, camera)
        self.camera = camera.typical if isinstance(camera, CameraMaps) else camera
        self.brightness = float(self._recorded.values.mean())
        self.image = self.signal = reconstruction(self._recorded.values)
        self.unknown = ""
        # A reconstruction has no pixels of a camera.
        self.maps: CameraMaps | None = None
        self.kinds: NDArray[np.uint8] | None = None
        if self.camera.gain is None:
            self.unknown = "the noise of these frames is not known, since the camera has no gain."
            return
        squares = np.zeros(self.image.shape)
        kept: list[NDArray[np.float32]] = []
        for pair in self.pairs((slice(None),) * 2, DRAWS):
            noise = np.subtract(*pair) / 2
            squares += noise**2
            if len(kept) < max(KEPT_PIXELS // noise.size, 2):
                kept.append(noise.astype(np.float32))
        self._drawn = np.stack(kept)
        variance = ndimage.gaussian_filter(squares / DRAWS, SMOOTHING)
        self._deviation: FloatArray = np.sqrt(np.maximum(variance, 1e-12))

    # ------------------------------------------------------------------ the frames

    def _frames_noise(self) -> tuple[Power | None, float | None, float]:
        """Compare what the frames hold beyond the optical cutoff with the camera's noise.

        Gives its power, how much neighbours agree, and the standard error of that; None where the
        pixels are too coarse.
        """
        patterns, signal = self._raw.reconstruction.patterns, self._recorded
        assert signal.slope is not None
        frames = signal.values.astype(float)
        variance = np.stack(
            [_variance(frame, signal.slope, signal.read_variance) for frame in frames]
        )
        # The window keeps the edges of bright structure from passing for noise.
        window = faded(frames.shape[-2:], 0.5)
        share = float(np.mean(window**2))
        spectra = fft.fft2((frames - frames.mean(axis=(-2, -1), keepdims=True)) * window)
        power = (np.abs(spectra) ** 2).mean(axis=0) / window.size
        power /= float(np.mean(variance * window**2))
        y, x = (fft.fftfreq(length, patterns.pixel_size) for length in window.shape)
        cutoff = 2 * patterns.na / patterns.wavelength
        beyond = np.hypot(y[:, None], x) > OUTER * cutoff
        free = len(frames) * int(beyond.sum()) * share**2 / float(np.mean(window**4))
        if free < FEWEST_MODES:
            return None, None, 1.0
        return (
            Power(float(power[beyond].mean()), int(free)),
            neighbour_correlation(np.sqrt(power), beyond),
            1 / float(np.sqrt(free)),
        )

    # ------------------------------------------------------------------ the reconstruction

    def residual(self, sharp: NDArray[np.float32]) -> Residual:
        r"""Blur a result again and compare it with the reconstruction.

        :math:`z = (R(y) - f * h_{SIM}) / \sigma`, its spectrum in units of that of the noise,
        both as re-corruptions show them.
        """
        model = self._model
        expected = reblurred(sharp, model.psf, model.upsampling, model.network.stated_width)
        z = (self.image - expected) / self._deviation
        part = inside(z.shape, model.psf, model.upsampling)
        power = self._noise_power(part)
        telling = power > LEAST_POWER
        carried = telling & ~beyond_cutoff(power.shape, model.psf, model.upsampling, 1.0)
        carried[0, 0] = False
        left, structure = (
            np.abs(fft.fft2(values[part], norm="ortho")) ** 2 / np.maximum(power, LEAST_POWER)
            for values in (z, expected / self._deviation)
        )
        noise, correlation, error = self._frames_noise()
        floor = 1.0 if noise is None else noise.value
        return Residual(
            z=z.astype(np.float32),
            whole=Power(float(np.mean(np.square(z[part]))), int(carried.sum())),
            carried=Power(float(left[carried].mean()), int(carried.sum())),
            noise=noise,
            contrast=float(structure[carried].mean() / floor),
            correlation=correlation,
            correlation_error=error,
        )

    def _noise_power(self, part: Place) -> FloatArray:
        """Spectrum of the noise in standard deviations, of a part; 1 on average."""
        drawn = (self._drawn / self._deviation)[(slice(None), *part)]
        power = np.mean(np.abs(fft.fft2(drawn, norm="ortho")) ** 2, axis=0)
        return np.asarray(ndimage.gaussian_filter(power, SMOOTHED_MODES, mode="wrap"))

    def sharpening(self, sharp: NDArray[np.float32]) -> Sharpening:
        """Compare the spectrum of a result with that of the reconstruction."""
        model = self._model
        return sharpening(
            self.image, sharp, self._deviation**2, model.psf, model.upsampling, self._drawn
        )

    def flux(self, sharp: NDArray[np.float32]) -> Flux:
        """Compare the light of a result with that of the frames."""
        signal = self._recorded
        assert signal.slope is not None
        light = self._raw.reconstruction.widefield(signal.values)
        variance = max(signal.slope * self.brightness, 0.0) + float(np.mean(signal.read_variance))
        error = float(np.sqrt(variance / signal.values.size)) / max(self.brightness, 1e-12)
        return Flux(float(sharp.mean(dtype=float) / light.mean(dtype=float)), error)

    # ------------------------------------------------------------------ other noise

    def pairs(self, place: Place, count: int) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Re-corrupt the raw frames and reconstruct both halves."""
        device, generator = torch.device("cpu"), torch.Generator().manual_seed(0)
        for _ in range(count):
            pair = recorrupted_reconstructions(
                self._raw, 0, 0, device, magnitude=1.0, generator=generator
            )
            first, second = (half.numpy().astype(float)[place] for half in pair)
            yield first, second

    def followed(self, place: Place) -> Followed:
        """Return what compares changes in standard deviations of the noise, mode by mode."""
        model = self._model
        part = inside(self.image.shape, model.psf, model.upsampling)
        power = self._noise_power(part)
        carried = power > LEAST_POWER

        def share(drawn: FloatArray, response: FloatArray) -> tuple[float, bool]:
            z, d = (fft.fft2((values / self._deviation)[part]) for values in (drawn, response))
            weight = np.where(carried, 1 / np.maximum(power, LEAST_POWER), 0.0)
            followed = ((d * np.conj(z)).real * weight).sum() / (np.abs(z) ** 2 * weight).sum()
            return float(followed), False

        return share

    def background(self, level: float) -> tuple[FloatArray, float]:
        """Record and reconstruct background alone, without fringes as light out of focus is."""
        assert self.camera.slope is not None
        count = len(self._recorded.values)
        noise = np.sqrt(self.camera.slope * level + self.camera.read_variance)
        drawn = np.random.default_rng(0).normal(scale=noise, size=(count, *BLANK_SHAPE))
        image = self._raw.reconstruction((level + drawn).astype(np.float32)).astype(float)
        return image, float(image.std())


def _variance(
    frame: FloatArray, slope: float, read_variance: float | NDArray[np.float32]
) -> FloatArray:
    """Variance of the noise in each pixel, from the mean around it (equation 3)."""
    variance = local_variance(frame, NoiseModel(0.0, slope, 0.0))
    return np.asarray(np.maximum(variance + read_variance, 1 / 12))
