"""Training and inference on raw 2D-SIM: everything that is not as for images."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ..inference.predict import Result, TileProgress, exhaust
from ..io.image import Image, PixelRule
from ..model.model import Model
from ..model.presets import Preset, find_preset
from ..model.provenance import Source
from ..noise.camera_maps import CameraMaps, check_fits, signal_of
from ..noise.noise_model import NoiseModel
from ..noise.outliers import width_from_cutoff
from ..noise.pixel_mask import as_recorded, mask_of
from ..sim.frames import as_raw, usable_frames
from ..sim.patterns import Patterns
from ..sim.reconstruction import Reconstruction
from ..training.data import check_kind
from ..training.sim_pairs import RawSIM
from ..training.trainer import TrainingRun, begin, resumed
from ..utils.devices import resolve_device
from ..utils.errors import InputError
from ..utils.phases import doing

RECONSTRUCTED = NoiseModel(0.0, None, 0.0, source="of a reconstruction, whose offset is gone")
"""What stands for the camera once frames are reconstructed."""


def train_sim(
    raw: ArrayLike | Image | Sequence[ArrayLike | Image],
    reconstruction: Reconstruction,
    noise: NoiseModel | CameraMaps,
    *,
    preset: str | Preset = "fast",
    steps: int | None = None,
    seed: int | None = None,
    device: str | torch.device = "auto",
    preview_every: int | None = None,
    resume: str | os.PathLike[str] | None = None,
) -> TrainingRun:
    r"""Prepare a training run on raw 2D-SIM (equations 10 and 11); iterate over it to train.

    Every raw frame is re-corrupted with the camera's own noise, both halves go through one
    linear operator, and the network learns to predict one reconstruction from the other:
    :math:`\lVert f(\hat Y) - \tilde Y \rVert^2` and, with the PSF of the reconstruction,
    :math:`\lVert H_{SIM} f(\hat Y) - \tilde Y \rVert^2 + \lambda R(f(\hat Y))`.

    Parameters
    ----------
    raw : array_like, Image, or a sequence of them
        Raw frames in counts, (N, Y, X) or (T, N, Y, X) with N frames for every image.
    reconstruction : sim.Reconstruction
        Estimated once, and then left as it is.
    noise : NoiseModel or CameraMaps
        The camera. A NoiseModel whose gain is None has it measured from the first frames.
    preset : str or Preset
        ``"fast"`` or ``"paper"``.
    steps, seed, device, preview_every, resume
        As for `train`.

    Returns
    -------
    TrainingRun
        Its previews show the plain reconstruction as ``raw``.

    Raises
    ------
    InputError
        If anything that was given cannot be used; nothing is trained then.
    """
    processor = resolve_device(device)
    patterns = reconstruction.patterns
    listed = isinstance(raw, list | tuple) and (isinstance(raw[0], Image) or np.ndim(raw[0]) >= 3)
    entries: Sequence[Any] = raw if listed else [raw]  # type: ignore[assignment]
    warnings = list(patterns.warnings)
    recordings, sources = [], []
    for index, entry in enumerate(entries, 1):
        frames = as_raw(entry, len(patterns), patterns.phases)
        check_fits(noise, frames.shape)
        usable, said = usable_frames(frames, _rule(entry), width=_width(patterns))
        recordings.append(usable)
        warnings += said
        sources.append(_source(entry, as_recorded(usable), f"raw {index}", patterns.pixel_size))
    if isinstance(noise, NoiseModel) and noise.gain is None:
        noise = noise.with_gain_from(recordings[0][0], axes="TYX")
        warnings += noise.warnings
    doing("reconstructing the frames")
    source = RawSIM(recordings, noise, reconstruction.to(processor))
    pixel = patterns.pixel_size / 2
    images = [
        Image(_reconstructed(source, index, processor), "TYX", (pixel, pixel), f"raw {index + 1}")
        for index in range(len(recordings))
    ]
    if resume is not None:
        return resumed(images, resume, steps, processor, preview_every, source)
    chosen = preset if isinstance(preset, Preset) else find_preset(preset, "SIM")
    if chosen.objective != "reconstructed":
        raise InputError('preset is not made for raw SIM: choose "fast" or "paper".')
    return begin(
        images,
        reconstruction.psf(),
        RECONSTRUCTED,
        chosen,
        upsampling=1,
        steps=steps,
        seed=seed,
        device=processor,
        preview_every=preview_every,
        warnings=tuple(dict.fromkeys([*warnings, *check_kind(images)])),
        raw=source,
        sources=sources,
    )


def _source(entry: ArrayLike | Image, frames: NDArray[Any], name: str, pixel_size: float) -> Source:
    origin = None
    if isinstance(entry, Image):
        name, origin = entry.name or name, entry.origin
    size = (pixel_size,) * 2
    return Source.of(
        Image(frames, "TCYX", size, name, origin=origin, pixel_rule=_rule(entry) or PixelRule())
    )


def _rule(raw: ArrayLike | Image) -> PixelRule | None:
    return raw.pixel_rule if isinstance(raw, Image) else None


def _width(patterns: Patterns) -> float | None:
    """Width of the PSF of the raw frames in their pixels."""
    return width_from_cutoff(2 * patterns.na / patterns.wavelength * patterns.pixel_size)


def _reconstructed(source: RawSIM, index: int, device: torch.device) -> NDArray[np.float32]:
    frames = range(len(source.recordings[index]))
    images = [source.reconstructed(index, frame, device).cpu().numpy() for frame in frames]
    return np.stack(images)


def reconstruct(
    raw: ArrayLike | Image,
    reconstruction: Reconstruction,
    camera: NoiseModel | CameraMaps,
) -> NDArray[np.float32]:
    """Reconstruct raw frames in counts: the plain Wiener image.

    Parameters
    ----------
    raw : array_like or Image
        ([T,] N, Y, X); pixels that must not be used are filled from what surrounds them.
    reconstruction : sim.Reconstruction
        The linear operator.
    camera : NoiseModel or CameraMaps
        Its offset is taken away, and with maps each pixel's gain evened out.

    Returns
    -------
    ndarray
        ([T,] 2Y, 2X), counts above the offset, float32.
    """
    patterns = reconstruction.patterns
    frames = as_raw(raw, len(patterns), patterns.phases)
    rule = replace(_rule(raw) or PixelRule(), saturation="mask")
    usable, _ = usable_frames(frames, rule, width=_width(patterns))
    # One image at a time: a series of them on the doubled grid is all that has to fit.
    images = [reconstruction(signal_of(image, camera).values) for image in usable]
    return np.stack(images).reshape(*frames.shape[:-3], *images[0].shape)


def predict_sim(
    model: Model,
    raw: ArrayLike | Image,
    camera: NoiseModel | CameraMaps,
    *,
    device: str | torch.device = "auto",
    tile: int | tuple[int, ...] | None = None,
    progress: Callable[[TileProgress], None] | None = None,
) -> Result:
    """Reconstruct raw frames as the model's own were, then denoise and deconvolve the image.

    Parameters
    ----------
    model : Model
        Trained by `train_sim`.
    raw : array_like or Image
        ([T,] N, Y, X) in counts, of the model's pixel size and patterns.
    camera : NoiseModel or CameraMaps
        The camera.
    device, tile, progress
        As for `Model.predict`.

    Returns
    -------
    Result
        Both on the grid of the reconstruction, twice that of the frames.

    Raises
    ------
    InputError
        If the model was not trained on raw SIM, or the frames do not fit it.
    """
    return exhaust(iter_predict_sim(model, raw, camera, device=device, tile=tile), progress)


def iter_predict_sim(
    model: Model,
    raw: ArrayLike | Image,
    camera: NoiseModel | CameraMaps,
    *,
    device: str | torch.device = "auto",
    tile: int | tuple[int, ...] | None = None,
) -> Generator[TileProgress, None, Result]:
    """Do as `predict_sim`, yielding after every tile and returning the result."""
    if model.reconstruction is None:
        raise InputError(
            "The model was not trained on raw SIM: reconstruct the frames, or train with them."
        )
    reconstruction = Reconstruction.from_dict(model.reconstruction)
    patterns = reconstruction.patterns
    frames = as_raw(raw, len(patterns), patterns.phases)
    rule = replace(_rule(raw) or PixelRule(), saturation="mask")
    usable, _ = usable_frames(frames, rule, width=_width(patterns))
    mask = mask_of(usable)
    said = () if mask is None else mask.sentences
    for sentence in said:
        yield TileProgress(0, 1, sentence)
    image = reconstruct(np.asarray(usable).reshape(frames.shape), reconstruction, camera)
    result = yield from model.iter_predict(
        image, axes="TYX"[-image.ndim :], device=device, tile=tile
    )
    return replace(result, warnings=said)
