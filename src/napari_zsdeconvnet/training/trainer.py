"""Training on the noisy images themselves: `train` gives a run that is iterated step by step."""

from __future__ import annotations

import copy
import math
import operator
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..inference.out_of_focus import few_frames
from ..inference.predict import exhaust, infer
from ..io.image import Image
from ..model.best_weights import BestWeights, Trust
from ..model.model import Model, below, installed_versions, load_with_training, save_with_training
from ..model.presets import MOST_STEPS, Preset, find_preset
from ..model.provenance import Source, fingerprint, with_step
from ..networks.base import TwoStageNetwork
from ..networks.registry import build_network, usual_upsampling
from ..noise.camera_maps import CameraMaps
from ..noise.noise_model import NoiseModel
from ..noise.pixel_mask import as_recorded, one_frame
from ..noise.processed_images import processed_words
from ..psf.psf import PSF
from ..utils.devices import (
    describe_device,
    is_out_of_memory,
    move_network,
    reduced_precision,
    resolve_device,
    thread_count,
    threads,
)
from ..utils.errors import InputError
from ..utils.memory import check_room
from ..utils.phases import doing
from .data import (
    check_kind,
    intensity_scale,
    lay_out,
    on_output_grid,
    planes_around,
    preview_region,
    usable_recordings,
)
from .early_stopping import Plateau
from .held_out import Lattice
from .initial_weights import First, Start, beginning, load_first
from .objectives import FIRST_LOOKS, LOOK_EVERY, RecorruptedObjective, SequentialObjective, Setting
from .registry import NEEDS_CAMERA, OBJECTIVES
from .sim_pairs import RawSIM
from .validation import Validation

CHECK_EVERY = 20
"""Steps between two looks at the held-out pairs; one takes as long as a step or two."""

PREVIEWS = 25
"""Previews in a run, unless the caller asks for another interval."""

PREVIEW_SHARE = 0.1
"""Part of the time of a run that these may take; of a deep stack one takes as long as 30 steps."""

HISTORY_LENGTH = 1000
"""Entries that a run's loss history has at most; longer runs record every so many steps."""


class NonFiniteLossError(RuntimeError):
    """The loss became NaN or infinite; the run keeps the last good weights."""


@dataclass(frozen=True)
class Preview:
    """A region as the model of the moment renders it, float32 counts above the offset."""

    raw: NDArray[np.float32]
    """([Z,] Y, X); of a volume a few planes."""
    denoised: NDArray[np.float32]
    deconvolved: NDArray[np.float32]
    """On the output grid."""
    origin: tuple[int, ...]
    """Raw pixel ([Z,] Y, X) of the region's first corner."""
    image: int
    """Which of the training images."""
    frame: int
    """Which of its frames."""


@dataclass(frozen=True)
class Progress:
    """State of a run after a step."""

    step: int
    steps: int
    losses: Mapping[str, float]
    """``total``, ``denoising``, ``deconvolution`` and ``hessian``, in normalised units squared;
    a run that trains the denoiser first has no others until that is done."""
    learning_rate: float
    seconds_elapsed: float
    seconds_left: float
    device: str
    """What computes, in words."""
    message: str = ""
    """What the user must be told, such as that the batch was made smaller."""
    preview: Preview | None = None
    finished: bool = False
    """Whether the run has done all its steps."""


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
) -> TrainingRun:
    """Prepare a training run; iterate over it to train.

    Parameters
    ----------
    images : array_like, Image, or a sequence of them
        One or more noisy recordings in counts: images (Y, X) or (T, Y, X), or volumes
        (Z, Y, X) or (T, Z, Y, X); frames of a series are further images. A list of arrays is
        a list of recordings. What is read by slicing it, such as a memory map or a dask
        array, is never in memory as a whole.
    psf : PSF or array_like
        The PSF, 3D for volumes. With its own voxel size and that of the images known it is
        resampled to the output grid; otherwise it is taken to be on that grid.
    noise : NoiseModel or CameraMaps
        The camera. Where its gain is None, the gain is measured from the first image. Presets
        that learn from every second plane do without; they take offset 0 where none is given.
        With maps every image is brought to the typical camera first (`CameraMaps.evened`), and
        re-corrupted with each pixel's own read variance.
    axes : str, optional
        Letters for the axes of arrays. Three axes without letters are frames in time: say
        ``"ZYX"`` for a stack and ``"TZYX"`` for a series of them.
    voxel_size : tuple of float, optional
        Raw voxel ([Z,] Y, X) in micrometres; an `Image` brings its own.
    upsample : bool, optional
        Whether the output grid is twice as fine across the field; by default it is for
        images and not for volumes. Planes stay as they are.
    preset : str or Preset
        ``"fast"`` or ``"paper"``.
    steps : int, optional
        Optimiser steps; by default as many as are of use, at most the preset's own number.
    start : str, path or Model, optional
        What the weights begin with: ``"prior"``, those that the package brings along, learned
        on simulated images of many kinds; ``"scratch"``, random ones; or those of another
        model or its file, as of the frame, channel or sample before. By default the preset's
        choice.
    seed : int, optional
        Seed of the weights and of every random draw; by default drawn, and kept in the model.
        The same seed gives the same bits on the same CPU and thread count, which is measured
        unless it is fixed: see `devices.thread_count`.
    device : str
        See `devices.resolve_device`.
    preview_every : int, optional
        Steps between previews; 0 makes none. By default there are 25 in a run, or fewer where they
        would take more than a tenth of its time.
    resume : path, optional
        A file written by `TrainingRun.save`: go on from there, with its PSF, noise model,
        preset, seed and number of steps; ``steps``, where given, is the new total.
    out_of_focus : bool
        Whether a smooth background, the light of a thick sample from above and below the focal
        plane, is estimated and left out of the deconvolved image; for images and the preset
        ``"fast"``. See `out_of_focus.out_of_focus_background`.

    Returns
    -------
    TrainingRun
        An iterator of `Progress`.

    Raises
    ------
    InputError
        If anything that was given cannot be used; nothing is trained then.
    """
    processor = resolve_device(device)
    steps = None if steps is None else _whole(steps, "steps", least=1)
    if steps is not None and steps > MOST_STEPS:
        raise InputError(f"steps is {steps}: give {MOST_STEPS} at most.")
    doing("reading what is trained on")
    recordings = lay_out(images, axes, voxel_size)
    spatial: Literal["YX", "ZYX"] = "ZYX" if "Z" in recordings[0].axes else "YX"
    if resume is not None:
        return resumed(recordings, resume, steps, processor, preview_every)
    maps, sources = None, None
    if isinstance(noise, CameraMaps):
        maps, noise, sources = noise, noise.typical, [Source.of(one) for one in recordings]
        recordings = _evened(recordings, maps)
    chosen = preset if isinstance(preset, Preset) else find_preset(preset, spatial)
    if noise is None and chosen.objective not in NEEDS_CAMERA:
        noise = NoiseModel(0.0, None, 0.0, source="not needed: pairs are of planes")
    if psf is None or noise is None:
        missing = "psf" if psf is None else "noise"
        raise InputError(f"{missing} is missing: give it, or resume from a file that has it.")
    _check_preset(chosen, spatial)
    upsampling = usual_upsampling(len(spatial)) if upsample is None else 1 + bool(upsample)
    chosen, first = beginning(chosen, start, upsampling, spatial)
    grid_psf, notes = on_output_grid(psf, recordings, upsampling)
    recordings, warnings = usable_recordings(recordings, grid_psf, upsampling)
    for recording in recordings:
        warnings += processed_words(recording.data, name=recording.name)
    warnings.extend(check_kind(recordings))
    if noise.gain is None and chosen.objective in NEEDS_CAMERA:
        doing("measuring the gain of the camera")
        noise = noise.with_gain_from(one_frame(recordings[0].data, 0), axes=f"T{spatial}")
        notes.extend(noise.warnings)
    if maps is None and chosen.objective in NEEDS_CAMERA and _of_one_size(recordings):
        cutoff = grid_psf.otf_cutoff * grid_psf.steps[-1] * upsampling
        maps = CameraMaps.from_lines(recordings[0].data, noise, cutoff)
        if maps is not None:
            notes.append(maps.typical.warnings[-1])
            sources = [Source.of(one) for one in recordings]
            # What stands for masked pixels is in recorded counts, and found anew in evened ones.
            recordings, _ = usable_recordings(_evened(recordings, maps), grid_psf, upsampling)
    if noise.correlation is None and chosen.objective in NEEDS_CAMERA:
        doing("looking whether pixels share noise")
        cutoff = grid_psf.otf_cutoff * grid_psf.steps[-1] * upsampling
        data, letters = recordings[0].data, f"T{spatial}"
        noise = noise.with_correlation_from(data, cutoff=cutoff, axes=letters)
        if noise.correlation is not None:
            notes.append(
                "Neighbouring pixels share noise, as resampling or filters leave it: noise that is "
                "shared alike is drawn for training."
            )
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


def _of_one_size(recordings: Sequence[Image]) -> bool:
    return len({one.data.shape[-2:] for one in recordings}) == 1


def _evened(recordings: Sequence[Image], maps: CameraMaps) -> list[Image]:
    """Bring recordings to the typical camera of maps."""
    return [replace(one, data=maps.evened(as_recorded(one.data), one.name)) for one in recordings]


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
    recordings : sequence of Image
        (T, [Z,] Y, X); of raw SIM the reconstructions.
    psf : PSF
        On the output grid.
    noise, preset, upsampling, steps, seed, device, preview_every
        As for `train`, all of them decided.
    warnings : tuple of str
        What was noticed so far.
    raw : RawSIM, optional
        What the recordings were reconstructed from.
    sources : sequence of Source, optional
        What is trained on, where that is not the recordings.
    first : First, optional
        The model to begin with.
    maps : CameraMaps, optional
        Of the camera, whose recordings are evened already.
    out_of_focus : bool
        Whether images have a background that is out of focus.
    """
    seed = int.from_bytes(os.urandom(4), "little") if seed is None else _whole(seed, "seed")
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
    network.expect_noise(noise, scale)
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
        reconstruction=None if raw is None else raw.reconstruction.to_dict(),
        camera=maps if raw is None else raw.camera,
        sources=tuple(sources or map(Source.of, recordings)),
        beginning=None if first is None else first.described,
        out_of_focus=out_of_focus,
    )
    run = TrainingRun(recordings, model, preset, steps or preset.steps, device, preview_every, raw)
    if steps is not None:
        run.go_on()
    return run


def _check_memory(network: TwoStageNetwork, psf: PSF, preset: Preset, device: torch.device) -> None:
    """Refuse beforehand a training that memory does not hold."""
    if device.type != "cpu":
        return
    pixels = preset.batch * preset.patch**2 * (preset.planes or 1)
    needed = 2**27 + network.training_bytes_per_pixel * pixels
    if preset.objective == "sequential":
        block = SequentialObjective.block_for(psf, network.upsampling)
        needed = max(needed, network.memory_of(block, device))
    other = ", or choose the preset 'fast'" if preset.name.endswith("paper") else ""
    check_room(
        needed,
        f"Training with the preset {preset.name!r}",
        f"close other programs, use a machine with more memory{other}.",
    )


def _check_out_of_focus(network: TwoStageNetwork, preset: Preset) -> None:
    """Refuse a background that is out of focus where there is none or nothing can take it."""
    if network.takes_background:
        return
    if network.axial_field is not None:
        raise InputError(
            "An out-of-focus background is for images of one plane; in a volume the PSF itself "
            "brings such light back to where it came from: leave it out."
        )
    raise InputError(
        f"The preset {preset.name!r} cannot take an out-of-focus background: choose 'fast'."
    )


def _check_preset(preset: Preset, spatial: str) -> None:
    """Refuse settings that are made for the other kind of image."""
    if (preset.planes is not None) != (spatial == "ZYX"):
        fits, given = ("images", "volumes") if preset.planes is None else ("volumes", "images")
        raise InputError(
            f"preset is made for {fits} and these are {given}: choose another, or set its planes."
        )


class TrainingRun(Iterator[Progress]):
    """A training in progress; made by `train`.

    Each ``next`` does one optimiser step. `stop` may be called from another thread and ends
    the iteration after the current step; `resume` lets it go on. `model` and `save` work at
    any time, from any thread.
    """

    def __init__(
        self,
        recordings: Sequence[Image],
        model: Model,
        preset: Preset,
        steps: int,
        device: torch.device,
        preview_every: int | None,
        raw: RawSIM | None = None,
    ) -> None:
        self.step = 0
        self.steps = steps
        self.ending = ""
        """Why the run ended by itself, if it did."""
        self.device = device
        self.warnings = model.warnings
        self._recordings = recordings
        self._start = model
        self._preset = preset
        self._network = move_network(model.network, device)
        self._average = copy.deepcopy(self._network) if preset.weight_average else None
        self._optimiser = torch.optim.Adam(
            self._network.parameters(), lr=preset.learning_rate, betas=preset.betas
        )
        self._objective = OBJECTIVES[preset.objective](
            Setting(
                recordings=[
                    few_frames(recording.data) if model.out_of_focus else recording.data
                    for recording in recordings
                ],
                noise=model.noise,
                scale=model.scale,
                psf=model.psf,
                preset=preset,
                steps=steps,
                seed=model.seed,
                device=device,
                precision=reduced_precision(device),
                raw=raw,
                read_variance=None if model.maps is None else model.maps.own_read_variance,
                out_of_focus=model.out_of_focus,
                lattice=_lattice(model, preset, steps),
            ),
            self._network,
        )
        self._random_state = self._objective.random_state()
        self._history: list[Mapping[str, float]] = list(model.history)
        self._stretches = model.stretches
        self._paused = True
        self._reduced = any(stretch.reduced for stretch in model.stretches)
        self._versions = installed_versions()
        self._latest: Mapping[str, float] | None = None
        self._every = max(steps // PREVIEWS, 1) if preview_every is None else preview_every
        self._previews_may_take = PREVIEW_SHARE if preview_every is None else None
        self._previewing = 0.0
        self._region = preview_region(recordings, model.noise.offset)
        self._plane: int | None = None
        self._haze: NDArray[np.float32] | None = None
        self._stopped = False
        self._plateau = Plateau(preset.patience, preset.least_gain) if preset.patience else None
        self._best: BestWeights | None = None
        self._judged = -1
        self._asked: tuple[int, BestWeights] | None = None
        self._elapsed = 0.0
        self._lock = threading.RLock()

    # ------------------------------------------------------------------ stepping

    def __next__(self) -> Progress:
        """Do one step.

        Raises
        ------
        NonFiniteLossError
            If the loss is NaN or infinite; the weights are those before the step.
        InputError
            If memory runs out with the smallest batch.
        """
        if self._stopped or self.step >= self.steps:
            raise StopIteration
        with threads(thread_count(self.device)):
            return self._advance()

    def _advance(self) -> Progress:
        """Do one step, and a preview where it is due."""
        begun = self._begun = time.perf_counter()
        rate = self._preset.learning_rate_at(self.step + 1, self.steps)
        if self.step == 0:
            doing(f"first step on {describe_device(self.device)}")
            self._look()
        losses, message = self._step_within_memory(rate)
        worse = self._look()
        if self._nothing_gained():
            self.ending = (
                f"Ended by itself after {self.step} steps: held-out pairs have gained nothing in "
                f"the last {self._preset.patience}."
            )
        elif worse and self._plateau is not None:
            self.ending = f"Ended by itself after {self.step} steps: " + (
                "what more of them bring cannot be judged."
                if self._best is not None and self._best.trust is Trust.NOTHING
                else "held-out pixels say that more make the result worse."
            )
        last = self.finished
        network = self._average or self._network
        if last:
            self._stopped = self._stopped or bool(self.ending)
            model = self.model
            network = model.network
            message = " ".join(filter(None, (message, self.ending, model.kept)))
        preview = self._preview(network) if self._preview_due(last) else None
        self._elapsed += time.perf_counter() - begun
        return Progress(
            step=self.step,
            steps=self.steps,
            losses=losses,
            learning_rate=rate,
            seconds_elapsed=self._elapsed,
            seconds_left=self._elapsed / self.step * (self.steps - self.step),
            device=describe_device(self.device),
            message=message,
            preview=preview,
            finished=self.finished,
        )

    @property
    def finished(self) -> bool:
        """Whether the run has done all its steps or ended by itself."""
        return bool(self.ending) or self.step >= self.steps

    def _preview_due(self, last: bool) -> bool:
        """Tell whether a preview is due, and not too dear."""
        if not self._every or last:
            return bool(self._every)
        share = self._previews_may_take
        quick = share is None or self._previewing <= share * self._elapsed
        return quick and self.step % self._every == 0

    def stop(self) -> None:
        """End the iteration after the step under way; what was learned is kept."""
        self._stopped = True

    def resume(self) -> None:
        """Let a stopped run go on where it was; one that ended by itself does all its steps."""
        self._stopped = False
        self._paused = True
        if self.ending:
            self.go_on()

    def go_on(self) -> None:
        """Do all steps, whether they gain anything or not."""
        self._plateau, self.ending = None, ""

    def _nothing_gained(self) -> bool:
        """Tell, every few steps, whether the held-out pairs have stopped gaining."""
        objective = self._objective
        due = self._plateau is not None and self.step % CHECK_EVERY == 0
        if not due or not isinstance(objective, RecorruptedObjective):
            return False
        assert self._plateau is not None
        held_out = objective.held_out(self._average or self._network)
        return self._plateau.reached(self.step, held_out)

    def _look(self) -> bool:
        """Judge the weights by the held-out pixels, when that is due.

        Returns
        -------
        bool
            Whether they have become worse than the best, beyond doubt.
        """
        validation = self._objective.validation
        if validation is None or not validation.due(self.step):
            return False
        network = copy.deepcopy(self._average or self._network)
        seen = None
        if self._best is None:
            best = validation.begin(network)
        else:
            seen = validation.judge(network, self.step)
            best = self._best.after(seen)
        with self._lock:
            self._best, self._judged = best, self.step
        hopeless = seen is not None and self.step > LOOK_EVERY and best.hopeless(seen)
        return hopeless or best.trust is Trust.NOTHING

    def _step_within_memory(self, rate: float) -> tuple[dict[str, float], str]:
        """Do a step, with a smaller batch where memory runs out, in full width where half fails."""
        message = ""
        while True:
            try:
                return self._optimise(rate), message
            except NonFiniteLossError:
                if not self._widened():
                    raise
                message = "Half-width arithmetic gave no number: going on in full width."
                continue
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                taken = self._take_less()
                if not taken:
                    raise InputError(
                        f"Memory ran out on {describe_device(self.device)} with a batch of 1: "
                        "close other programs or choose another device."
                    ) from error
            self._optimiser.zero_grad(set_to_none=True)
            message = f"Memory ran out: going on with {taken}."

    def _widened(self) -> bool:
        """Give up half-width arithmetic, if that is what computes.

        Some CPUs' libraries err in it: the gradient of the published volume network was NaN
        with one thread and a batch of one.
        """
        setting = self._objective.setting
        if setting.precision is None:
            return False
        self._objective.setting = replace(setting, precision=None)
        self._stopped = False
        return True

    def _take_less(self) -> str:
        """Halve the batch, or the patch of a batch of one; says what is left, or nothing."""
        self._reduced = True
        pairs = self._objective.pairs
        if pairs.batch > 1:
            pairs.batch //= 2
            return f"a batch of {pairs.batch}"
        width = pairs.patch[-1] // 2 // self._network.multiple * self._network.multiple
        if width < 4 * self._preset.margin:
            return ""
        pairs.patch = (*pairs.patch[:-2], width, width)
        return f"patches of {width} x {width} pixels"

    def _optimise(self, rate: float) -> dict[str, float]:
        """One step of Adam on equation 4."""
        self._network.train()
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        terms = self._objective.losses(self.step + 1)
        terms["total"].backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(
            self._network.parameters(), self._preset.gradient_limit or math.inf
        )
        values = dict(zip(terms, torch.stack([*terms.values()]).detach().tolist(), strict=True))
        if not all(np.isfinite([*values.values(), float(norm)])):
            self._optimiser.zero_grad(set_to_none=True)
            self._stopped = True
            raise NonFiniteLossError(
                f"The loss is not finite at step {self.step + 1} "
                f"({', '.join(f'{name} {value:.3g}' for name, value in values.items())}, "
                f"gradient {float(norm):.3g}): "
                "training ended and the last good weights are kept; check the image, the PSF "
                "and the noise model."
            )
        # Together under the lock, so that a copy taken by another thread is of one moment.
        with self._lock:
            self._optimiser.step()
            self._update_average()
            self._random_state = self._objective.random_state()
            self.step += 1
            self._latest = {"step": self.step, "learning_rate": rate, **values}
            every = max(self.steps // HISTORY_LENGTH, 1)
            if self.step % every == 0 or self.step == self.steps:
                self._history.append(self._latest)
            self._note_step()
        self._optimiser.zero_grad(set_to_none=True)
        return values

    def _note_step(self) -> None:
        """Keep under which conditions the step was done."""
        pairs = self._objective.pairs
        self._stretches = with_step(
            self._stretches,
            self.step,
            time.perf_counter() - self._begun,
            anew=self._paused,
            planned=self.steps,
            batch=pairs.batch,
            patch=tuple(pairs.patch),
            reduced=self._reduced,
            device=describe_device(self.device),
            threads=torch.get_num_threads(),
            versions=self._versions,
        )
        self._paused = False

    def _update_average(self) -> None:
        if self._average is None:
            return
        decay = self._preset.weight_average
        if self._preset.start == "scratch":
            # A young average forgets faster, or the first steps would weigh on it for long.
            decay = min(decay, (1 + self.step) / (10 + self.step))
        for average, weight in zip(
            self._average.parameters(), self._network.parameters(), strict=True
        ):
            average.data.lerp_(weight.data, 1 - decay)

    # ------------------------------------------------------------------ what comes out

    @property
    def model(self) -> Model:
        """The model as it stands, a copy that further steps do not touch.

        Where pixels are held out, its weights are the best so far by these.
        """
        with self._lock:
            best, model = self._best, self.latest
        validation = self._objective.validation
        if best is None or validation is None:
            return model
        network = move_network(model.network, self.device)
        if model.steps_trained != self._judged:
            best = self._judged_now(best, validation, network, model.steps_trained)
        network.load_state_dict(best.best.weights)
        return replace(model, network=network.cpu().eval(), chosen=best.choice)

    def _judged_now(
        self, best: BestWeights, validation: Validation, network: TwoStageNetwork, step: int
    ) -> BestWeights:
        """Judge weights between two looks, once, and without a say in the further training.

        Otherwise a run that was asked for its model would differ from one that was not.
        """
        if self._asked is None or self._asked[0] != step:
            self._asked = step, best.after(validation.judge(network, step))
        return self._asked[1]

    @property
    def latest(self) -> Model:
        """The same with the weights of the last step, whatever held-out pixels say of them."""
        with self._lock:
            network = copy.deepcopy(self._average or self._network)
            history = list(self._history)
            # A long run records every so many steps; the model says its last step exactly.
            if self._latest is not None and self._latest not in history[-1:]:
                history.append(self._latest)
            stretches = self._stretches
        return replace(
            self._start,
            network=network.cpu().eval(),
            history=tuple(history),
            stretches=stretches,
            ending=self.ending,
            chosen=None,
        )

    def save(self, path: str | os.PathLike[str], *, judged: bool = True) -> None:
        """Write the model and the state of the training, for `train(..., resume=path)`.

        Parameters
        ----------
        path : path
            The file.
        judged : bool
            Whether the weights are judged by held-out pixels first, which can take as long as many
            steps; otherwise the file's model has those of the last step.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        with self._lock:
            model = self.model if judged else self.latest
            tensors = {f"network.{k}": v for k, v in self._network.state_dict().items()}
            for index, state in self._optimiser.state_dict()["state"].items():
                tensors |= {f"adam.{index}.{name}": value for name, value in state.items()}
            tensors |= {f"random.{name}": value for name, value in self._random_state.items()}
            if self._average is not None:
                tensors |= {f"average.{k}": v for k, v in self._average.state_dict().items()}
            if self._best is not None:
                tensors |= self._best.to_tensors()
            tensors = {name: value.detach().clone() for name, value in tensors.items()}
            state = {
                "step": self.step,
                "steps": self.steps,
                "batch": self._objective.pairs.batch,
                "patch": list(self._objective.pairs.patch),
                "elapsed": self._elapsed,
                "all_steps": self._plateau is None or bool(self.ending),
                "device": self.device.type,
            }
        save_with_training(model, path, tensors, state)

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Take over weights, optimiser, schedule and random state from a saved run."""
        self.step = state["step"]
        self._elapsed = state["elapsed"]
        if state.get("all_steps", True):
            self.go_on()
        self._objective.pairs.batch = state["batch"]
        self._objective.pairs.patch = tuple(state.get("patch", self._objective.pairs.patch))
        if self._average is not None:
            # Files of before pixels were held out have the average as the model's own weights.
            average = below("average.", tensors) or self._network.state_dict()
            self._average.load_state_dict(average)
        self._best = BestWeights.from_tensors(tensors)
        self._network.load_state_dict(below("network.", tensors))
        adam = self._optimiser.state_dict()
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in below("adam.", tensors).items():
            index, key = name.split(".")
            moments.setdefault(int(index), {})[key] = value
        adam["state"] = moments
        self._optimiser.load_state_dict(adam)
        random_state = below("random.", tensors)
        if state["device"] != self.device.type:
            # The states of two kinds of device do not compare: the noise starts anew there.
            random_state |= {
                name: value for name, value in self._random_state.items() if "noise" in name
            }
        self._objective.set_random_state(random_state)
        self._random_state = self._objective.random_state()

    def focus(self, plane: int | None) -> None:
        """Choose the plane of a volume that previews show; None goes back to the brightest.

        May be called from another thread; images have no planes and take no notice.
        """
        self._plane = plane

    def _preview(self, network: TwoStageNetwork) -> Preview:
        """Render the region with the model of the moment."""
        begun = time.perf_counter()
        image, frame, region = self._region
        data = self._recordings[image].data
        if self._plane is not None and len(region) == 3:
            plane = min(max(self._plane, 0), data.shape[1] - 1)
            region = (planes_around(plane, data.shape[1]), *region[1:])
        where: tuple[Any, ...] = (frame, *region)
        raw = np.asarray(data[where])
        own, haze = self._objective.setting.read_variance, self._background(image, frame)
        result = exhaust(
            infer(
                *(network, raw[None], self._start.noise, self._start.scale, self.device),
                read_variance=None if own is None else own[region[-2:]],
                background=None if haze is None else lambda _: haze[region],
            )
        )
        self._previewing += time.perf_counter() - begun
        return Preview(
            raw=raw.astype(np.float32) - np.float32(self._start.noise.offset),
            denoised=result.denoised[0],
            deconvolved=result.deconvolved[0],
            origin=tuple(part.start for part in region),
            image=image,
            frame=frame,
        )

    def _background(self, image: int, frame: int) -> NDArray[np.float32] | None:
        """Give the background of the whole frame that previews show a part of, if it has one."""
        if self._haze is None and self._start.out_of_focus:
            self._haze = self._start.background(self._recordings[image].data[frame])
        return self._haze


def _lattice(model: Model, preset: Preset, steps: int) -> Lattice | None:
    """Choose the pixels that judge the training, where the preset wants some.

    Fewer steps than there are to the first look are not judged. A model that goes on from another
    keeps the pixels that were held out from that one, which have not taught it anything.
    """
    judged = preset.objective in ("recorrupted", "sequential")
    if not (preset.guarded and judged) or steps < FIRST_LOOKS[1]:
        return None
    seed = model.seed
    if model.beginning is not None and model.beginning.lattice_seed is not None:
        seed = model.beginning.lattice_seed
    return Lattice.fitting(model.noise.correlation, seed, len(model.axes))


def _whole(number: int, name: str, least: int = 0) -> int:
    """Take any kind of whole number, also NumPy's, that is not out of range."""
    try:
        whole = operator.index(number)
    except TypeError:
        raise InputError(f"{name} is {number!r}: give a whole number.") from None
    if not least <= whole < 2**63:
        raise InputError(f"{name} is {number}: give a whole number of at least {least}.")
    return whole


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
        raise InputError(f"{path} holds a finished model without its training: train a new one.")
    if model.maps is not None:
        recordings = _evened(recordings, model.maps)
    if fingerprint(recordings) != model.data_hash:
        raise InputError(
            f"{path} was trained on other images: resume with the same images, in the same order."
        )
    total = steps or int(state["steps"])
    if total <= state["step"]:
        raise InputError(
            f"{path} has done {state['step']} of {total} steps already: give more steps to go on."
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
