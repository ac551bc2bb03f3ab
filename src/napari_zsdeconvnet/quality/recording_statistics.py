"""What a recording can say of a result: its noise, light and structure, whatever was recorded.

`Evidence` is what a verdict asks for. Of images and volumes the pixels are as the camera recorded
them; of raw structured illumination, whose images are computed, see `raw_frame_statistics`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..model.model import Model
from ..noise.camera_maps import CameraMaps
from ..noise.noise_model import NoiseModel
from ..noise.pixel_mask import Kind
from ..physics.beyond_faces import uneven_light
from .data_consistency import Residual, explained, inside, local_variance, residual
from .reference_metrics import Flux, flux_ratio
from .spectra import FloatArray, Sharpening, sharpening
from .stability import Followed, noise_followed, recorruptions

BLANK_SHAPES = {2: (128, 128), 3: (16, 64, 64)}
"""Of the background that a model is shown, by the number of axes."""

Place = tuple[slice, ...]


class Evidence(Protocol):
    """What is known of an image besides its result.

    Attributes
    ----------
    image
        What the model takes, counts, ([Z,] Y, X).
    signal
        The same, counts above the offset and a background that is out of focus.
    camera
        Whose noise it is.
    brightness
        Mean counts above the offset of what the camera recorded.
    unknown
        Why the noise is not known, as a clause; empty where it is, and only then what follows
        can be asked.
    maps
        Of the camera, by which the model is told how noisy each pixel of the image is; None
        where all are alike.
    kinds
        Why pixels of the image are not used (`pixel_mask.Kind`), 0 where they are; the image is
        filled there. None where all are.
    """

    image: NDArray[np.float32]
    signal: NDArray[np.float32]
    camera: NoiseModel
    brightness: float
    unknown: str
    maps: CameraMaps | None
    kinds: NDArray[np.uint8] | None

    def residual(self, sharp: NDArray[np.float32]) -> Residual:
        """Say what a result leaves unexplained."""
        ...

    def sharpening(self, sharp: NDArray[np.float32]) -> Sharpening:
        """Compare the spectrum of a result with that of the image."""
        ...

    def flux(self, sharp: NDArray[np.float32]) -> Flux:
        """Compare the light of a result with that recorded."""
        ...

    def pairs(self, place: Place, count: int) -> Iterator[tuple[ArrayLike, ArrayLike]]:
        """Draw pairs of re-corruptions of a part of the image, of opposite noise."""
        ...

    def followed(self, place: Place) -> Followed:
        """Return what says how much of the noise of such pairs a denoised image follows."""
        ...

    def background(self, level: float) -> tuple[ArrayLike, float]:
        """Record background alone, of so much light; gives an image and its noise."""
        ...


class RecordedImage:
    """An image or a volume, ([Z,] Y, X), as the camera recorded it, filled where it is not used.

    Parameters
    ----------
    model
        That is to be judged, with the camera's noise.
    image, maps, kinds
        As in `Evidence`; evened where there are maps.
    """

    def __init__(
        self,
        model: Model,
        image: NDArray[np.float32],
        maps: CameraMaps | None = None,
        kinds: NDArray[np.uint8] | None = None,
    ) -> None:
        self.kinds = kinds
        self._model = model
        self._read: NDArray[np.float32] | None = None
        self.maps = None
        if maps is not None:
            self.maps, self._read = maps.of_evened(), maps.own_read_variance
        self.image = image
        self.camera = model.noise
        self._haze = model.background(image)
        self.signal = image - np.float32(model.noise.offset)
        self.brightness = float(self.signal.mean())
        if self._haze is not None:
            self.signal = self.signal - self._haze
        self.unknown = ""
        if model.reconstruction is not None:
            self.unknown = (
                "the noise of a reconstruction can only be told from its raw frames; judge those."
            )
        elif model.noise.gain is None:
            self.unknown = (
                "the noise of this image is not known, since the model has no camera gain."
            )

    def residual(self, sharp: NDArray[np.float32]) -> Residual:
        """Blur a result again and compare it with the image."""
        model = self._model
        return residual(
            self.image,
            sharp,
            model.psf,
            self.camera,
            model.upsampling,
            model.network.stated_width,
            self._read,
            self._haze,
            None if self.kinds is None else self.kinds > 0,
        )

    def sharpening(self, sharp: NDArray[np.float32]) -> Sharpening:
        """Compare the spectrum of a result with that of the image."""
        model, variance = self._model, local_variance(self.image, self.camera, self._read)
        return sharpening(self.signal, sharp, variance, model.psf, model.upsampling)

    def flux(self, sharp: NDArray[np.float32]) -> Flux:
        """Compare light with that of the image; of a volume, once the result is blurred again.

        A microscope spreads light beyond the faces of a stack, and that belongs to the result.
        A background that is out of focus counts to the result of an image.
        """
        variance = local_variance(self.image, self.camera, self._read)
        error = float(np.sqrt(variance.mean() / self.image.size)) / max(self.brightness, 1e-12)
        image, signal, brightness = self.image, self.signal, self.brightness
        if self.kinds is not None:  # results hold no light where nothing was recorded
            nothing = self.kinds == Kind.UNRECORDED
            image = np.where(nothing, np.float32(self.camera.offset), image)
            signal = np.where(nothing, np.float32(0), signal)
            brightness = float(signal.mean())
        if self.image.ndim == 2:
            if self._haze is not None:
                sharp = sharp + self._haze.mean()
            return Flux(flux_ratio(sharp, image, self.camera.offset), error)
        model = self._model
        width = model.network.stated_width
        found = explained(signal, sharp, model.psf, model.upsampling, width)
        part = inside(found.shape, model.psf, model.upsampling)
        uneven = uneven_light(signal[part], found[part], variance[part])
        ratio = float(found.mean(dtype=float)) / max(brightness, 1e-12)
        return Flux(ratio, error, uneven)

    def pairs(self, place: Place, count: int) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Draw pairs of re-corruptions of a part of the image."""
        read = self._read_at(place)
        used = None if self.kinds is None else self.kinds[place] == 0
        return recorruptions(self.image[place], self.camera, count, read_variance=read, noisy=used)

    def followed(self, place: Place) -> Followed:
        """Return what compares changes in standard deviations of the noise, beyond the cutoff."""
        read = self._read_at(place)
        deviation = np.sqrt(local_variance(self.image[place], self.camera, read))
        model = self._model

        def share(drawn: FloatArray, response: FloatArray) -> tuple[float, bool]:
            changes = drawn / deviation, response / deviation
            return noise_followed(*changes, model.psf, model.upsampling)

        return share

    def _read_at(self, place: Place) -> NDArray[np.float32] | None:
        return None if self._read is None else self._read[place[-2:]]

    def background(self, level: float) -> tuple[FloatArray, float]:
        """Record background alone, as large as a model needs to see it."""
        offset = self.camera.offset
        noise = float(np.sqrt(self.camera.variance(offset + level)))
        drawn = np.random.default_rng(0).normal(scale=noise, size=BLANK_SHAPES[self.image.ndim])
        return offset + level + drawn, noise
