"""A training begun with all that has been checked and laid out, or gone on with from a file."""

from __future__ import annotations

import operator
import os
from collections.abc import Sequence
from dataclasses import asdict, replace

import torch

from ..io.image import Image
from ..model.model import Model, load_with_training
from ..model.presets import Preset
from ..model.provenance import Source, fingerprint
from ..model.told_noise import tell_noise
from ..networks.base import TwoStageNetwork
from ..networks.registry import build_network
from ..noise.camera_maps import CameraMaps
from ..noise.noise_model import NoiseModel
from ..noise.pixel_mask import as_recorded
from ..psf.psf import PSF
from ..utils.errors import InputError
from ..utils.memory import check_room
from ..utils.phases import doing
from .data import intensity_scale, representative, usable_recordings
from .initial_weights import First, load_first
from .run import TrainingRun
from .sim_pairs import RawSIM
from .volume_objectives import SequentialObjective


def begin(
    recordings: Sequence[Image],
    psf: PSF,
    noise: NoiseModel,
    preset: Preset,
    *,
    upsampling: int,
    steps: int | None,
    seed: int | None,
    device: torch.device,
    preview_every: int | None,
    warnings: tuple[str, ...] = (),
    raw: RawSIM | None = None,
    sources: Sequence[Source] | None = None,
    first: First | None = None,
    maps: CameraMaps | None = None,
    out_of_focus: bool = False,
) -> TrainingRun:
    """Make a run of what has been checked and laid out.

    Parameters
    ----------
    recordings, psf
        (T, [Z,] Y, X), evened already where there are maps; of raw SIM the reconstructions. The PSF
        is on the output grid.
    noise, preset, upsampling, steps, seed, device, preview_every, out_of_focus
        As for `train`, all of them decided.
    warnings
        What was noticed so far.
    raw
        What the recordings were reconstructed from.
    sources
        What is trained on, where that is not the recordings.
    first
        The model to begin with.
    maps
        Of the camera.
    """
    if steps == 0 and preset.start == "scratch":
        raise InputError(
            "steps-without-weights",
            "steps is 0 and there are no pretrained weights for this preset, grid and kind of "
            "recording: give at least 1.",
        )
    seed = int.from_bytes(os.urandom(4), "little") if seed is None else whole(seed, "seed")
    # The caller's own random numbers, on whichever device, are none of our business.
    doing("setting up the network")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = build_network(preset.network, psf, upsampling)
    if out_of_focus:
        _check_out_of_focus(network, preset)
    _check_memory(network, psf, preset, device)
    load_first(network, preset, first)
    scale = intensity_scale(recordings, noise)
    reconstruction = None if raw is None else raw.reconstruction.to_dict()
    camera = maps if raw is None else raw.camera
    tell_noise(network, noise, scale, camera, reconstruction)
    model = Model(
        network=network,
        preset=preset.name,
        settings=asdict(preset),
        psf=psf,
        noise=noise,
        scale=scale,
        axes="ZYX" if "Z" in recordings[0].axes else "YX",
        voxel_size=recordings[0].voxel_size,
        seed=seed,
        data_hash=fingerprint(recordings),
        warnings=warnings,
        reconstruction=reconstruction,
        camera=camera,
        sources=tuple(sources or map(Source.of, recordings)),
        beginning=None if first is None else first.described,
        out_of_focus=out_of_focus,
    )
    total = preset.steps if steps is None else steps
    run = TrainingRun(recordings, model, preset, total, device, preview_every, raw)
    if steps is not None:
        run.go_on()
    return run


def memory_to_train(network: TwoStageNetwork, psf: PSF, preset: Preset) -> int:
    """Bytes that steps of a training take on a CPU, beside what is trained on; measured."""
    pixels = preset.batch * preset.patch**2 * (preset.planes or 1)
    needed = 2**27 + network.training_bytes_per_pixel * pixels
    if preset.objective == "sequential":
        block = SequentialObjective.block_for(psf, network.upsampling)
        needed = max(needed, network.memory_of(block, torch.device("cpu")))
    return needed


def _check_memory(network: TwoStageNetwork, psf: PSF, preset: Preset, device: torch.device) -> None:
    """Refuse beforehand a training that memory does not hold."""
    if device.type != "cpu":
        return
    other = ", or choose the preset 'fast'" if preset.name.endswith("paper") else ""
    check_room(
        memory_to_train(network, psf, preset),
        f"Training with the preset {preset.name!r}",
        f"close other programs, use a machine with more memory{other}.",
    )


def _check_out_of_focus(network: TwoStageNetwork, preset: Preset) -> None:
    """Refuse a background that is out of focus where there is none or nothing can take it."""
    if network.takes_background:
        return
    if network.axial_field is not None:
        raise InputError(
            "background-unsupported",
            "An out-of-focus background is for images of one plane; in a volume the PSF itself "
            "brings such light back to where it came from: leave it out.",
        )
    raise InputError(
        "background-unsupported",
        f"The preset {preset.name!r} cannot take an out-of-focus background: choose 'fast'.",
    )


def resumed(
    recordings: Sequence[Image],
    path: str | os.PathLike[str],
    steps: int | None,
    device: torch.device,
    preview_every: int | None,
    raw: RawSIM | None = None,
) -> TrainingRun:
    """Make the run that `TrainingRun.save` wrote to a file; parameters as for `begin`."""
    model, tensors, state = load_with_training(path)
    if not tensors:
        raise InputError(
            "training-finished",
            f"{path} holds a finished model without its training: train a new one.",
        )
    recordings, _ = representative(recordings, model.maps is not None)
    if model.maps is not None:
        recordings = evened(recordings, model.maps)
    if fingerprint(recordings) != model.data_hash:
        raise InputError(
            "training-of-other-images",
            f"{path} was trained on other images: resume with the same images, in the same order.",
        )
    total = int(state["steps"]) if steps is None else steps
    if total <= state["step"]:
        raise InputError(
            "training-complete",
            f"{path} has done {state['step']} of {total} steps already: give more steps to go on.",
        )
    if raw is None:
        recordings, _ = usable_recordings(recordings, model.psf, model.upsampling)
    run = TrainingRun(
        recordings,
        model,
        Preset(**model.settings),
        total,
        device,
        preview_every,
        raw,
    )
    run.restore(tensors, state)
    return run


def evened(recordings: Sequence[Image], maps: CameraMaps) -> list[Image]:
    """Bring recordings to the typical camera of maps."""
    return [replace(one, data=maps.evened(as_recorded(one.data), one.name)) for one in recordings]


def whole(number: int, name: str, least: int = 0) -> int:
    """Take any kind of whole number, also NumPy's, that is not out of range."""
    try:
        whole = operator.index(number)
    except TypeError:
        raise InputError("no-whole-number", f"{name} is {number!r}: give a whole number.") from None
    if not least <= whole < 2**63:
        raise InputError(
            "no-whole-number", f"{name} is {number}: give a whole number of at least {least}."
        )
    return whole
