"""What images and volumes have in common: pixels that are counts of a camera, and a PSF."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..io.grid import same_pixel_size
from ..io.image import Image, as_frames, made_of, spatial_axes
from ..noise.camera_maps import Camera, typical_of
from ..noise.noise_model import NoiseModel
from ..psf.microscope import Microscope
from ..psf.psf import PSF
from ..utils.errors import InputError, Remedy
from ..utils.phases import doing
from .base import NOTHING, Known, Mode
from .steps import Began, Calibrated, Preparing, PSFMade
from .words import psf_words, same_camera, same_width, sentence

if TYPE_CHECKING:
    from ..inference.predict import Result, TileProgress
    from ..model.model import Model
    from ..quality.verdict import Verdict
    from ..training.trainer import TrainingRun


class CameraImages(Mode):
    """Counts of a camera, convolved by the PSF of a microscope."""

    psf: PSF
    """On the output grid, once `prepare` is through."""
    camera: Camera
    """Once `calibrate` is through."""

    def __init__(self, recording: Image, known: Known = NOTHING) -> None:
        super().__init__(recording, known)
        from ..networks.registry import usual_upsampling

        usual = usual_upsampling(len(self.spatial))
        self.upsampling = usual if known.upsample is None else 1 + bool(known.upsample)

    @classmethod
    def lay_out(cls, recording: Image, known: Known) -> Image:
        """Lay a recording out as ([T,] [Z,] Y, X), without reading it."""
        order = ("T" if "T" in recording.axes else "") + cls.spatial
        if recording.axes == order:
            return recording
        frames = as_frames(recording, spatial=cls.spatial)
        size = recording.voxel_size
        return replace(
            recording,
            data=frames if "T" in order else frames[0],
            axes=order,
            voxel_size=None if size is None else size[-len(cls.spatial) :],
        )

    @property
    def frames(self) -> tuple[int, ...]:
        """Shape of what the network sees, (T, [Z,] Y, X)."""
        shape = tuple(self.image.data.shape)
        return shape if len(shape) > len(self.spatial) else (1, *shape)

    # ------------------------------------------------------------------ PSF and noise

    def prepare(self) -> Preparing:
        """Make the PSF on the grid of the output."""
        yield Began("psf")
        doing("simulating the PSF")
        self.psf = self.known.psf or self._simulated()
        yield PSFMade(self.psf, psf_words(self.psf))

    def _simulated(self) -> PSF:
        microscope, grid = self._optics()
        *planes, rows, columns = self.image.data.shape[-len(grid) :]
        field = (self.upsampling * rows, self.upsampling * columns)
        if planes:
            return PSF.of(microscope, grid, (*planes, *field))
        # What lies further apart than the image is wide never meets in it.
        return PSF.of(microscope, grid).cropped(min(field) - (min(field) + 1) % 2)

    def _optics(self) -> tuple[Microscope, tuple[float, ...]]:
        """Return the microscope and the voxel size of the output; InputError if unknown."""
        size, microscope = self.image.voxel_size, self.known.microscope
        if microscope is None:
            raise InputError(
                "psf-unknown",
                "Neither a PSF nor the microscope is known: give the numerical aperture and "
                "the wavelength of the emission.",
            )
        if size is None:
            raise InputError(
                "pixel-size-unknown",
                f"{self.image.name or 'The image'} has no pixel size, on half of which the PSF "
                "is computed",
                Remedy("pixel-size"),
            )
        return microscope, (*size[:-2], *(step / self.upsampling for step in size[-2:]))

    @property
    def optics(self) -> tuple[float, ...]:
        """Widths of the PSF, and the pixels of the output in one of the recording."""
        return (*self.psf.fwhm, float(self.upsampling))

    def misfit(self, model: Model) -> str:
        """Say why a model is not for this recording; empty where it is."""
        if model.reconstruction is not None:
            return "The model at hand is for raw SIM."
        if model.axes != self.spatial or model.upsampling != self.upsampling:
            return "The model at hand is for another kind of image or output."
        if not same_pixel_size(model.voxel_size, self.image.voxel_size):
            return "The model at hand is for another pixel size."
        if not same_width(model.psf, self.psf):
            return "The model at hand is for another PSF."
        if model.out_of_focus != self.known.out_of_focus:
            with_or_without = "with" if model.out_of_focus else "without"
            return f"The model at hand was trained {with_or_without} an out-of-focus background."
        if self.known.camera is not None and not same_camera(model, self.known.camera):
            return "The model at hand was trained with another calibration of the noise."
        return ""

    def calibrate(self) -> Preparing:
        """Measure the noise where it is not known."""
        yield Began("noise")
        self.camera = self.known.camera or self._measured()
        yield Calibrated(typical_of(self.camera), sentence(self.camera.describe()))

    def _measured(self) -> NoiseModel:
        cutoff = None
        if self.image.voxel_size is not None and self.psf.voxel_size is not None:
            cutoff = min(self.psf.otf_cutoff * max(self.image.voxel_size[-2:]), 0.5)
        doing("measuring the noise of the camera")
        noise = NoiseModel.measured(self.image, self.known.offset, cutoff=cutoff)
        return noise.with_excess_noise(self.known.excess_noise)

    # ------------------------------------------------------------------ model and result

    def train(self, **settings: Any) -> TrainingRun:
        """Begin to train; settings as for `train`."""
        from ..training.trainer import train

        return train(
            self.image,
            self.psf,
            self.camera,
            upsample=self.upsampling == 2,
            out_of_focus=self.known.out_of_focus,
            **settings,
        )

    def judge(
        self, model: Model, result: Result, device: str = "auto"
    ) -> Generator[TileProgress, None, Verdict]:
        """Compare a result, blurred again, with the recording, and try other noise and PSFs."""
        from ..quality.verdict import iter_judge

        return iter_judge(model, self.image, frame=self.known.frame, result=result, device=device)

    def placed(self, pixels: Any) -> Image:
        """Give a result, on whichever grid, its axes and voxel size."""
        return made_of(self.image, pixels)


def is_volume(recording: Image) -> bool:
    """Tell volumes from images."""
    return spatial_axes(recording) == "ZYX"
