"""The mode of raw 2D-SIM: frames under patterns, which make one image of twice the pixels."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..io.image import Image
from ..noise.camera_maps import Camera, typical_of
from ..noise.noise_model import NoiseModel
from ..psf.microscope import Microscope
from ..sim.frame_axes import frame_axes
from ..sim.patterns import Patterns
from ..sim.recognition import striped
from ..sim.recording import Recording, lay_out_frames
from ..utils.errors import InputError
from ..utils.phases import doing
from .base import NOTHING, Known, Mode
from .steps import Began, Calibrated, Preparing, Reconstructed
from .words import pattern_words, same_numbers, sentence

if TYPE_CHECKING:
    from ..inference.predict import Result, TileProgress
    from ..model.model import Model
    from ..quality.verdict import Verdict
    from ..sim.reconstruction import Reconstruction
    from ..training.trainer import TrainingRun


class RawSIM2D(Mode):
    """Raw frames of 2D-SIM, or a series or stack of such."""

    name = "sim"
    title = "raw SIM frames"
    family = "sim"
    takes_channels = True
    kind = "SIM"
    stages = ("noise", "patterns", "model", "result", "verdict")

    recording: Recording
    reconstruction: Reconstruction
    """Once `prepare` is through."""
    camera: Camera

    @classmethod
    def recognised(cls, recording: Image, known: Known = NOTHING) -> str:
        """Look for fringes in frames of as many as make an image."""
        found = _frame_axes(recording, known)
        if found is None or known.orientations * known.phases != 9:
            return ""
        shape = recording.data.shape
        first = tuple(0 if axis in found.images else slice(None) for axis in range(len(shape) - 2))
        frames = np.asarray(recording.data[first]).reshape(-1, *shape[-2:])
        seen = striped(Image(frames, "TYX", name=recording.name))
        return "" if seen is None else f"{seen[0]}."

    @classmethod
    def fits(cls, recording: Image, known: Known = NOTHING) -> bool:
        """Whether the axes of a recording hold whole images of raw frames."""
        if _frame_axes(recording, known) is not None:
            return True
        count = math.prod(recording.data.shape[:-2])
        return "Z" not in recording.axes and count % (known.orientations * known.phases) == 0

    @classmethod
    def needs(cls, modality: str = "widefield", *, psf: bool = False) -> tuple[str, ...]:
        """Name the numbers that must be known."""
        return "pixel_size", "na", "wavelength"

    @classmethod
    def lay_out(cls, recording: Image, known: Known) -> Image:
        """Lay a recording out as ([T,] N, Y, X), the frames of each image as its channels."""
        return _recording(recording, known).frame_sets

    def __init__(self, recording: Image, known: Known = NOTHING) -> None:
        self.recording = _recording(recording, known)
        super().__init__(recording, known)

    @property
    def frames(self) -> tuple[int, ...]:
        """Shape of the reconstructions, (T, 2Y, 2X)."""
        *others, height, width = self.image.data.shape
        return (others[0] if len(others) > 1 else 1, 2 * height, 2 * width)

    # ------------------------------------------------------------------ noise and patterns

    def prepare(self) -> Preparing:
        """Measure the noise, which estimating needs, find the patterns and reconstruct."""
        from ..inference.raw_frames import reconstruct
        from ..sim.reconstruction import Reconstruction

        yield Began("noise")
        microscope = self._microscope
        self.camera = self.known.camera or self._measured(microscope)
        yield Calibrated(typical_of(self.camera), sentence(self.camera.describe()))

        yield Began("patterns")
        self.reconstruction = self.known.reconstruction or Reconstruction(
            self._estimated(microscope)
        )
        patterns = self.reconstruction.patterns
        image = reconstruct(self.image, self.reconstruction, self.camera)
        yield Reconstructed(patterns, image, pattern_words(patterns))

    @property
    def _microscope(self) -> Microscope:
        if self.known.microscope is None:
            raise InputError(
                "microscope-unknown",
                "The microscope is not known, without which no pattern can be found: give the "
                "numerical aperture and the wavelength of the emission.",
            )
        return self.known.microscope

    def _measured(self, microscope: Microscope) -> NoiseModel:
        frames, pixel = self.image, self.recording.pixel_size
        first = np.asarray(frames.data).reshape(-1, *frames.data.shape[-3:])[0]
        return NoiseModel.from_image(
            Image(first, "TYX", name=frames.name, pixel_rule=frames.pixel_rule),
            self.known.offset,
            cutoff=min(2 * microscope.na / microscope.wavelength * pixel, 0.5),
        ).with_excess_noise(self.known.excess_noise)

    def _estimated(self, microscope: Microscope) -> Patterns:
        from ..sim.estimation import estimate

        doing("looking for the fringes")
        return estimate(
            self.image,
            pixel_size=self.recording.pixel_size,
            na=microscope.na,
            wavelength=microscope.wavelength,
            offset=self.camera.offset,
            orientations=self.known.orientations,
            phases=self.known.phases,
            order=self.known.order,
        )

    @property
    def optics(self) -> tuple[float, ...]:
        """Pixel size, aperture, wavelength and the periods of the patterns."""
        return _numbers(self.reconstruction.patterns)

    def misfit(self, model: Model) -> str:
        """Say why a model is not for this recording; empty where it is."""
        if model.reconstruction is None:
            return "The model at hand is for images, not for raw SIM."
        trained = Patterns.from_dict(model.reconstruction["patterns"])
        here = self.reconstruction.patterns
        if same_numbers(_numbers(trained), _numbers(here)):
            return ""
        return "The model at hand is for SIM with other patterns."

    # ------------------------------------------------------------------ model and result

    def train(self, **settings: Any) -> TrainingRun:
        """Begin to train; settings as for `train`."""
        from ..training.trainer import train

        return train(self.image, noise=self.camera, reconstruction=self.reconstruction, **settings)

    def predicted_with(self, model: Model) -> dict[str, Any]:
        """Return the camera, and the recording's own patterns where the model has others."""
        own = self.reconstruction.to_dict()
        other = None if own == model.reconstruction else own
        return {"camera": self.camera, "reconstruction": other}

    def judge(
        self, model: Model, result: Result, device: str = "auto"
    ) -> Generator[TileProgress, None, Verdict]:
        """Compare a result with the raw frames, whose noise is reconstructed for that."""
        from ..quality.verdict import iter_judge

        return iter_judge(
            model,
            self.image,
            camera=self.camera,
            reconstruction=self.reconstruction.to_dict(),
            frame=self.known.frame,
            result=result,
            device=device,
        )

    def placed(self, pixels: Any) -> Image:
        """Give a result its axes, out of time and planes, and its voxel size."""
        return self.recording.placed(pixels)


def _numbers(patterns: Patterns) -> tuple[float, ...]:
    optics = (patterns.pixel_size, patterns.na, patterns.wavelength)
    return (*optics, *(pattern.period for pattern in patterns))


def _frame_axes(recording: Image, known: Known) -> Any:
    """Find the axes of the frames; None where none fit or nothing tells which is meant."""
    *leading, _, _ = recording.data.shape
    try:
        return frame_axes(leading, known.orientations, known.phases, letters=recording.axes[:-2])
    except InputError:
        return None


def _recording(recording: Image, known: Known) -> Recording:
    return lay_out_frames(recording, known.orientations, known.phases, sets=known.sets)
