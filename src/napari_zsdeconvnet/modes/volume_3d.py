"""The mode of volumes, and of series of them."""

from __future__ import annotations

from ..io.image import Image
from .base import NOTHING, Known
from .camera_images import CameraImages, is_volume


class Volume3D(CameraImages):
    """A stack of planes, or a time series of stacks."""

    name = "volume"
    title = "volume"
    spatial = "ZYX"
    kind = "ZYX"
    preview_every = 50  # one takes as long as a dozen steps and more

    @classmethod
    def recognised(cls, recording: Image, known: Known = NOTHING) -> str:
        """Recognise every recording with planes."""
        return "It has several planes." if is_volume(recording) else ""
