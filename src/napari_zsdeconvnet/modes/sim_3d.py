"""The mode of SIM stacks that were reconstructed elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..io.image import Image
from ..noise.noise_model import NoiseModel
from ..psf.psf import PSF
from .base import NOTHING, Known
from .camera_images import CameraImages, is_volume

if TYPE_CHECKING:
    from ..model.presets import Preset

_PRESETS = {"fast": "sim", "paper": "sim-paper"}


class SIMStack(CameraImages):
    """A reconstructed stack, whose noise is not that of a camera any more.

    Training learns from every second plane alone, and asks for no noise model.
    """

    name = "sim-stack"
    title = "reconstructed SIM stack"
    family = "sim"
    by_request = True
    preview_every = 50  # one takes as long as a dozen steps and more
    has_camera = False
    spatial = "ZYX"
    kind = "ZYX"

    @classmethod
    def recognised(cls, recording: Image, known: Known = NOTHING) -> str:
        """Recognise none: a reconstructed stack looks like any volume."""
        return ""

    @classmethod
    def fits(cls, recording: Image, known: Known = NOTHING) -> bool:
        """Whether a recording has planes."""
        return is_volume(recording)

    @classmethod
    def preset_named(cls, name: str) -> Preset:
        """Look up the preset that is made for such stacks."""
        return super().preset_named(_PRESETS.get(name, name))

    def _simulated(self) -> PSF:
        """Narrow the PSF of the microscope by half along every axis, as 3D-SIM does."""
        microscope, grid = self._optics()
        wide = PSF.of(microscope, tuple(2 * step for step in grid))
        return replace(wide, voxel_size=grid, source=f"{wide.source}, narrowed by half")

    def _measured(self) -> NoiseModel:
        """Take the offset, 0 unless it is known; there is no camera to be measured."""
        return NoiseModel(
            self.known.offset or 0.0, None, 0.0, source="not needed: pairs are of planes"
        )
