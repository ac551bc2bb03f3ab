"""What re-corruption must know of the camera, measured in the recordings where it is not given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..io.excerpts import Excerpt
from ..io.image import Image
from ..noise.camera_maps import CameraMaps
from ..noise.noise_model import NoiseModel
from ..noise.pixel_mask import as_recorded, looked_at, one_frame
from ..psf.psf import PSF
from ..utils.phases import doing
from .begin import evened
from .data import usable_recordings


@dataclass(frozen=True, eq=False)
class KnownCamera:
    """A camera of which training knows enough.

    Attributes
    ----------
    noise
        With its gain, and the noise that neighbouring pixels share.
    maps
        Of the lines that differ, where the recordings show such; or those that were given.
    recordings
        Brought to the typical camera of maps that were found.
    notes
        What was measured, one sentence each.
    """

    noise: NoiseModel
    maps: CameraMaps | None
    recordings: Sequence[Image]
    notes: tuple[str, ...]


def completed(
    noise: NoiseModel,
    maps: CameraMaps | None,
    recordings: Sequence[Image],
    psf: PSF,
    upsampling: int,
) -> KnownCamera:
    """Measure in the first recording what of its camera is not known.

    Parameters
    ----------
    noise, maps
        What is known.
    recordings
        (T, [Z,] Y, X) each.
    psf
        On the output grid.
    upsampling
        Output pixels side by side in a raw pixel.
    """
    axes = recordings[0].axes
    cutoff = psf.otf_cutoff * psf.steps[-1] * upsampling
    notes: list[str] = []
    if noise.gain is None:
        doing("measuring the gain of the camera")
        noise = noise.with_gain_from(one_frame(recordings[0].data, 0), axes=axes)
        notes.extend(noise.warnings)
    if maps is None and _same_pixels(recordings):
        maps = CameraMaps.from_lines(recordings[0].data, noise, cutoff)
        if maps is not None:
            notes.append(maps.typical.warnings[-1])
            # What stands for masked pixels is in recorded counts, and found anew in evened ones.
            recordings, _ = usable_recordings(evened(recordings, maps), psf, upsampling)
    if noise.correlation is None:
        doing("looking whether pixels share noise")
        noise = noise.with_correlation_from(looked_at(recordings[0].data), cutoff=cutoff, axes=axes)
        if noise.correlation is not None:
            notes.append(
                "The noise of neighbouring pixels is correlated, as resampling or filters leave "
                "it: training imitates this correlated noise."
            )
    return KnownCamera(noise, maps, recordings, tuple(notes))


def _same_pixels(recordings: Sequence[Image]) -> bool:
    """Whether each pixel (Y, X) is the same one of the camera in all recordings."""
    data = [as_recorded(one.data) for one in recordings]
    moved = any(isinstance(one, Excerpt) and not one.has_whole_planes for one in data)
    return not moved and len({one.shape[-2:] for one in data}) == 1
