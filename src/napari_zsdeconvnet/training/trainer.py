"""Training on the noisy images themselves: `train` gives a run that is iterated step by step."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal

import torch
from numpy.typing import ArrayLike

from ..io.image import Image
from ..model.presets import MOST_STEPS, Preset, find_preset
from ..model.provenance import Source
from ..networks.registry import usual_upsampling
from ..noise.camera_maps import CameraMaps
from ..noise.noise_model import NoiseModel
from ..noise.processed_images import processed_words
from ..psf.psf import PSF
from ..sim.reconstruction import Reconstruction
from ..utils.devices import resolve_device
from ..utils.errors import InputError
from ..utils.phases import doing
from .begin import begin, evened, resumed, whole
from .camera import completed
from .data import check_kind, lay_out, on_output_grid, representative, usable_recordings
from .initial_weights import Start, beginning
from .progress import NonFiniteLossError, Preview, Progress
from .raw_frames import RECONSTRUCTED, LaidOut, lay_out_raw
from .registry import NEEDS_CAMERA
from .run import TrainingRun

__all__ = ["NonFiniteLossError", "Preview", "Progress", "TrainingRun", "train"]


def train(
    images: ArrayLike | Image | Sequence[ArrayLike | Image],
    psf: PSF | ArrayLike | None = None,
    noise: NoiseModel | CameraMaps | None = None,
    *,
    axes: str | None = None,
    voxel_size: tuple[float, ...] | None = None,
    upsample: bool | None = None,
    preset: str | Preset = "fast",
    steps: int | None = None,
    start: Start | None = None,
    seed: int | None = None,
    device: str | torch.device = "auto",
    preview_every: int | None = None,
    resume: str | os.PathLike[str] | None = None,
    out_of_focus: bool = False,
    reconstruction: Reconstruction | None = None,
) -> TrainingRun:
    r"""Prepare a training run; iterate over it to train.

    Parameters
    ----------
    images : array_like, Image, or a sequence of them
        One or more noisy recordings in counts, ([T,] [Z,] Y, X); frames of a series are further
        images. What is read by slicing it, such as a memory map, is never in memory as a whole.
    psf : PSF or array_like
        3D for volumes. With its own voxel size and that of the images known it is resampled to the
        output grid; otherwise it is taken to be on that grid.
    noise : NoiseModel or CameraMaps
        The camera. Where its gain is None, the gain is measured in the first image. Presets that
        learn from every second plane do without. With maps every image is brought to the typical
        camera first (`CameraMaps.evened`), and re-corrupted with each pixel's own read variance.
    axes : str, optional
        Letters for the axes of arrays. Three axes without letters are frames in time: say
        ``"ZYX"`` for a stack and ``"TZYX"`` for a series of them.
    voxel_size : tuple of float, optional
        Raw voxel ([Z,] Y, X) in micrometres; an `Image` brings its own.
    upsample : bool, optional
        Whether the output grid is twice as fine along Y and X; by default for images alone.
    preset : str or Preset
        ``"fast"`` or ``"paper"``.
    steps : int, optional
        Optimiser steps; by default as many as are of use, at most the preset's own number. 0 takes
        pretrained weights, or those of another model, as they are.
    start : str, path or Model, optional
        The initial weights: ``"prior"``, those that the package brings along; ``"scratch"``, random
        ones; or those of another model or its file. By default the preset's choice.
    seed : int, optional
        Of the weights and of every random draw; by default drawn, and kept in the model. The same
        seed gives the same bits on the same CPU and thread count: see `devices.thread_count`.
    device : str
        See `devices.resolve_device`.
    preview_every : int, optional
        Steps between previews; 0 makes none. By default there are 25 in a run, or fewer where they
        would take more than a tenth of its time.
    resume : path, optional
        A file written by `TrainingRun.save`: go on from there, with its PSF, noise model,
        preset, seed and number of steps; ``steps``, where given, is the new total.
    out_of_focus : bool
        Whether a smooth out-of-focus background (`out_of_focus.out_of_focus_background`) is left
        out of the deconvolved image; for images and the preset ``"fast"``.
    reconstruction : sim.Reconstruction, optional
        Of raw 2D-SIM; the images are raw frames then, ([T,] N, Y, X), which are re-corrupted with
        the camera's own noise. The network learns to predict one reconstruction from the other
        (equations 10 and 11): :math:`\lVert f(\hat Y) - \tilde Y \rVert^2` and :math:`\lVert
        H_{SIM} f(\hat Y) - \tilde Y \rVert^2 + \lambda R(f(\hat Y))`. The PSF is that of the
        operator; axes, sizes, grid and start are not chosen.

    Returns
    -------
    TrainingRun
        An iterator of `Progress`.

    Raises
    ------
    InputError
        If anything that was given cannot be used; nothing is trained then.

    Examples
    --------
    >>> import napari_zsdeconvnet as zs
    >>> sample = zs.simulate("filaments", shape=(64, 64))
    >>> run = zs.train(sample.raw, sample.psf, sample.noise, steps=2, device="cpu")
    >>> [progress.step for progress in run]
    [1, 2]
    >>> run.model.predict(sample.raw, device="cpu").deconvolved.shape
    (128, 128)
    """
    processor = resolve_device(device)
    steps = None if steps is None else whole(steps, "steps")
    if steps is not None and steps > MOST_STEPS:
        raise InputError("steps-too-many", f"steps is {steps}: give {MOST_STEPS} at most.")
    if reconstruction is not None:
        raw = lay_out_raw(images, reconstruction, noise, processor)
        if resume is not None:
            return resumed(raw.images, resume, steps, processor, preview_every, raw.raw)
        return _begin_on_frames(
            *(raw, reconstruction.psf(), preset, start),
            steps=steps,
            seed=seed,
            device=processor,
            preview_every=preview_every,
        )
    doing("reading what is trained on")
    wholes = lay_out(images, axes, voxel_size)
    spatial: Literal["YX", "ZYX"] = "ZYX" if "Z" in wholes[0].axes else "YX"
    if resume is not None:
        return resumed(wholes, resume, steps, processor, preview_every)
    recordings, taken = representative(wholes, isinstance(noise, CameraMaps))
    maps, sources = None, None
    if isinstance(noise, CameraMaps):
        maps, noise, sources = noise, noise.typical, [Source.of(one) for one in recordings]
        recordings = evened(recordings, maps)
    chosen = preset if isinstance(preset, Preset) else find_preset(preset, spatial)
    if noise is None and chosen.objective not in NEEDS_CAMERA:
        noise = NoiseModel(0.0, None, 0.0, source="not needed: pairs are of planes")
    if psf is None or noise is None:
        missing = "psf" if psf is None else "noise"
        raise InputError(
            "training-argument-missing",
            f"{missing} is missing: give it, or resume from a file that has it.",
        )
    _check_preset(chosen, spatial)
    upsampling = usual_upsampling(len(spatial)) if upsample is None else 1 + bool(upsample)
    chosen, first = beginning(chosen, start, upsampling, spatial)
    grid_psf, notes = on_output_grid(psf, wholes, upsampling)
    notes = [*taken, *notes]
    recordings, warnings = usable_recordings(recordings, grid_psf, upsampling)
    for recording in recordings:
        warnings += processed_words(recording.data, name=recording.name)
    warnings.extend(check_kind(recordings))
    if chosen.objective in NEEDS_CAMERA:
        camera = completed(noise, maps, recordings, grid_psf, upsampling)
        if camera.maps is not maps:
            sources = [Source.of(one) for one in recordings]
        noise, maps, recordings = camera.noise, camera.maps, list(camera.recordings)
        notes += camera.notes
    return begin(
        recordings,
        grid_psf,
        noise,
        chosen,
        upsampling=upsampling,
        steps=steps,
        seed=seed,
        device=processor,
        preview_every=preview_every,
        warnings=(*warnings, *notes),
        sources=sources,
        first=first,
        maps=maps,
        out_of_focus=out_of_focus,
    )


def _begin_on_frames(
    raw: LaidOut, psf: PSF, preset: str | Preset, start: Start | None, **settings: Any
) -> TrainingRun:
    """Begin to train on what raw SIM frames were reconstructed to."""
    chosen = preset if isinstance(preset, Preset) else find_preset(preset, "SIM")
    if chosen.objective != "reconstructed":
        raise InputError(
            "preset-not-for-sim", 'preset is not made for raw SIM: choose "fast" or "paper".'
        )
    chosen, first = beginning(chosen, start, 1, "YX")
    return begin(
        raw.images,
        psf,
        RECONSTRUCTED,
        chosen,
        first=first,
        upsampling=1,
        warnings=tuple(dict.fromkeys([*raw.warnings, *check_kind(raw.images)])),
        raw=raw.raw,
        sources=raw.sources,
        **settings,
    )


def _check_preset(preset: Preset, spatial: str) -> None:
    """Refuse settings that are made for the other kind of image."""
    if (preset.planes is not None) != (spatial == "ZYX"):
        fits, given = ("images", "volumes") if preset.planes is None else ("volumes", "images")
        raise InputError(
            "preset-other-images",
            f"preset is made for {fits} and these are {given}: choose another, or set its planes.",
        )
