"""Raw SIM frames laid out for training: reconstructions, and what they were made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ..inference.raw_frames import usable_sets
from ..io.image import Image, PixelRule
from ..model.provenance import Source
from ..noise.camera_maps import Camera, check_fits
from ..noise.noise_model import NoiseModel
from ..noise.pixel_mask import as_recorded
from ..sim.reconstruction import Reconstruction
from ..utils.errors import InputError
from ..utils.phases import doing
from .sim_pairs import RawSIM

RECONSTRUCTED = NoiseModel(0.0, None, 0.0, source="of a reconstruction, whose offset is gone")
"""What stands for the camera once frames are reconstructed."""


@dataclass(frozen=True, eq=False)
class LaidOut:
    """Raw recordings and their reconstructions."""

    images: list[Image]
    """(T, 2Y, 2X)."""
    raw: RawSIM
    sources: list[Source]
    warnings: list[str]


def lay_out_raw(
    raw: ArrayLike | Image | Sequence[ArrayLike | Image],
    reconstruction: Reconstruction,
    noise: Camera | None,
    device: torch.device,
) -> LaidOut:
    """Fill what must not be used of raw recordings, and reconstruct them; as `train` takes them.

    Raises
    ------
    InputError
        If there is no camera, or the frames do not fit the patterns or the camera.
    """
    if noise is None:
        raise InputError(
            "camera-unknown", "noise is missing: give that of the camera, which raw frames need."
        )
    patterns = reconstruction.patterns
    listed = isinstance(raw, list | tuple) and (isinstance(raw[0], Image) or np.ndim(raw[0]) >= 3)
    entries: Sequence[Any] = raw if listed else [raw]  # type: ignore[assignment]
    warnings = list(patterns.warnings)
    recordings, sources = [], []
    for index, entry in enumerate(entries, 1):
        frames, usable, said = usable_sets(entry, patterns, refuse_saturated=True)
        check_fits(noise, frames.shape)
        recordings.append(usable)
        warnings += said
        sources.append(_source(entry, as_recorded(usable), f"raw {index}", patterns.pixel_size))
    if isinstance(noise, NoiseModel) and noise.gain is None:
        noise = noise.with_gain_from(recordings[0][0], axes="TYX")
        warnings += noise.warnings
    doing("reconstructing the frames")
    source = RawSIM(recordings, noise, reconstruction.to(device))
    pixel = patterns.pixel_size / 2
    images = [
        Image(_reconstructed(source, index, device), "TYX", (pixel, pixel), f"raw {index + 1}")
        for index in range(len(recordings))
    ]
    return LaidOut(images, source, sources, warnings)


def _source(entry: ArrayLike | Image, frames: NDArray[Any], name: str, pixel_size: float) -> Source:
    origin, rule = None, PixelRule()
    if isinstance(entry, Image):
        name, origin, rule = entry.name or name, entry.origin, entry.pixel_rule
    size = (pixel_size,) * 2
    return Source.of(Image(frames, "TCYX", size, name, origin=origin, pixel_rule=rule))


def _reconstructed(source: RawSIM, index: int, device: torch.device) -> NDArray[np.float32]:
    frames = range(len(source.recordings[index]))
    images = [source.reconstructed(index, frame, device).cpu().numpy() for frame in frames]
    return np.stack(images)
