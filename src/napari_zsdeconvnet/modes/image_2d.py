"""The mode of images of one plane, and of series of them."""

from __future__ import annotations

from ..io.image import Image, as_frames
from ..noise.camera_maps import CameraMaps, typical_of
from ..noise.usable_pixels import filled_frame
from .base import NOTHING, Known
from .camera_images import CameraImages, is_volume
from .steps import Preparing, Recommended


class Image2D(CameraImages):
    """An image, or a time series of one plane."""

    name = "image"
    title = "image"
    spatial = "YX"
    kind = "YX"

    @classmethod
    def recognised(cls, recording: Image, known: Known = NOTHING) -> str:
        """Recognise every recording of one plane."""
        return "" if is_volume(recording) else "It has one plane."

    def calibrate(self) -> Preparing:
        """Measure the noise where it is not known, and look for light that is out of focus."""
        yield from super().calibrate()
        microscope = self.known.microscope
        widefield = microscope is None or microscope.modality == "widefield"
        if widefield and not self.known.out_of_focus:
            advice = self._advice()
            if advice:
                yield Recommended(advice)

    def _advice(self) -> str:
        from ..inference.out_of_focus import out_of_focus_advice

        frames, noise = as_frames(self.image), self.camera
        if isinstance(noise, CameraMaps):
            frames, noise = noise.evened(frames), typical_of(noise)
        width = self.psf.fwhm[-1] / (self.psf.steps[-1] * self.upsampling)
        frame = filled_frame(frames, self.known.frame, self.image.pixel_rule, width=width)
        return out_of_focus_advice(frame, self.psf, noise, self.upsampling) or ""
