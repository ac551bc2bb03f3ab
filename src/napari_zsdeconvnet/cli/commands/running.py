"""The run of one recording or channel in the shell: how it is opened, followed and saved."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...utils.errors import InputError
from ...workflow.result_files import BACKGROUND, DECONVOLVED, DENOISED
from ..console import Console, Interrupted, printable
from .camera import camera_for
from .files import given, load, opened
from .interruption import first_signal_calls
from .psf import MICROSCOPE, plane_of
from .sim import CAMERA, known_of_frames, refuse_for_frames
from .training import offered
from .training_psf import with_recorded

if TYPE_CHECKING:
    from tqdm import tqdm

    from ...modes.base import Known, Mode
    from ...psf.psf import PSF
    from ...quality.verdict import Verdict
    from ...training.autosave import Autosave
    from ...workflow.pipeline import Pipeline, Predicted


def pipeline_of(
    mode: Mode,
    files: Mapping[str, Path],
    arguments: argparse.Namespace,
    console: Console,
    fitting: str | None = None,
) -> Pipeline:
    """Make the run of a recording, by the model or from the checkpoint that is to be used.

    Without either, the model of a file is used if it fits the recording.
    """
    from ...model.model import Model
    from ...training.autosave import is_complete
    from ...workflow.pipeline import Pipeline

    model = Model.load(arguments.model) if arguments.model else None
    resume = None if model else arguments.resume or offered(files["model"], console)
    if resume and arguments.steps is None and is_complete(resume):
        model, resume = Model.load(resume), None
    shared = fitting is not None and model is None and resume is None
    return Pipeline(
        mode,
        model=Model.load(fitting) if fitting is not None and shared else model,
        finished=shared,
        judged=not arguments.no_verdict,
        device=arguments.device,
        preset=arguments.preset,
        names={what: files[what].name for what in (DECONVOLVED, DENOISED, BACKGROUND)},
        preview_every=0,
        resume=resume,
        **given(arguments, "steps", "seed", "start"),
    )


def mode_of(path: str, arguments: argparse.Namespace, console: Console) -> Mode:
    """Open the recording in the mode that is asked for, or else recognised."""
    from ...modes.registry import find_mode

    known = known_of(arguments)
    image = opened(path, arguments)
    kind, why = find_mode(image, arguments.mode, known)
    if not kind.takes_channels:
        image = load(path, arguments, console)
        kind, why = find_mode(image, arguments.mode, known)  # its planes may be known only now
    typed, arguments = arguments, with_recorded(arguments, image, console)
    if why and kind.name not in ("image", "volume"):
        console.say(f"Taken for {kind.title}: {why} Add --mode if that is wrong.")
    known = known_of(arguments)
    if kind.takes_channels:
        return kind(image, replace(known, **known_of_frames(path, typed, known, console)))
    refuse_for_frames(arguments)
    camera = camera_for(arguments, image) if _camera_typed(arguments) else None
    return kind(image, replace(known, psf=_psf(arguments), camera=camera))


def _camera_typed(arguments: argparse.Namespace) -> bool:
    """Whether more of the camera is given than its offset, which the mode takes as it is."""
    return bool(given(arguments, *CAMERA)) or isinstance(arguments.offset, str)


def _psf(arguments: argparse.Namespace) -> PSF | None:
    from ...psf.psf import PSF

    if not arguments.psf:
        return None
    plane = plane_of(arguments.psf_focus, arguments.psf_plane)
    return PSF.read(arguments.psf, arguments.psf_voxel_size, plane=plane, axes=arguments.psf_axes)


def known_of(arguments: argparse.Namespace) -> Known:
    """Collect what the command line says without a file."""
    from ...modes.base import Known
    from ...psf.microscope import Microscope

    scope = None
    if arguments.na is not None and arguments.wavelength is not None:
        scope = Microscope(arguments.na, arguments.wavelength, **given(arguments, *MICROSCOPE))
    return Known(
        scope,
        offset=arguments.offset if isinstance(arguments.offset, float) else None,
        excess_noise=arguments.excess_noise or 1.0,
        upsample=arguments.upsample,
        out_of_focus=arguments.out_of_focus,
        sets=arguments.sets,
        **given(arguments, "orientations", "phases", "order"),
    )


def followed(
    pipeline: Pipeline, model: Path, bar: tqdm[Any], console: Console
) -> tuple[Predicted, Verdict | None] | None:
    """Run to the end and save the training meanwhile; None where there is no result.

    Whatever breaks it off after the training, an error or a signal, the checkpoint stays.
    """
    saving: list[Autosave] = []
    try:
        with first_signal_calls(pipeline.stop):
            predicted, verdict = _follow(pipeline, model, bar, console, saving)
    except (KeyboardInterrupt, InputError, MemoryError) as error:
        for autosave in saving:
            autosave.stop()
        if not (saving and saving[0].step):
            raise
        kept = (
            f"he training of step {saving[0].step} is in {saving[0].path}, and --resume "
            f"{saving[0].path} goes on from there."
        )
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(f"t{kept}") from None
        if isinstance(error, MemoryError):
            words = str(error) or "Memory ran out."
            raise InputError("memory-exhausted", f"{words} T{kept}") from error
        error.add_note(f"T{kept}")
        raise
    finally:
        for autosave in saving:
            autosave.stop()
    return None if predicted is None else (predicted, verdict)


def _follow(
    pipeline: Pipeline, model: Path, bar: tqdm[Any], console: Console, saving: list[Autosave]
) -> tuple[Predicted | None, Verdict | None]:
    """Run to the end, saying what each step assumed."""
    from ...training.autosave import Autosave, checkpoint_of
    from ...training.trainer import Progress
    from ...workflow.pipeline import (
        Began,
        Judged,
        ModelReady,
        Predicted,
        Recommended,
        TrainingBegan,
        Working,
    )

    predicted, verdict = None, None
    for step in pipeline:
        if isinstance(step, Progress):
            bar.total = step.steps
            bar.update(step.step - bar.n)
            continue
        if isinstance(step, Working):
            bar.set_description(printable(step.tiles.message or step.stage))
            bar.total = step.tiles.total
            bar.update(step.tiles.done - bar.n)
            continue
        bar.clear()
        if isinstance(step, TrainingBegan):
            saving.append(Autosave(step.run, checkpoint_of(model), at_end=True))
            saving[0].start()
            for warning in step.run.warnings:
                console.warn(warning)
        elif isinstance(step, ModelReady):
            for autosave in saving:
                autosave.now()
            console.say(step.said)
        elif isinstance(step, Predicted):
            predicted = step
        elif isinstance(step, Judged):
            verdict = step.verdict
            console.say(step.verdict.summary())
        elif isinstance(step, Recommended):
            console.say(f"{step.said} Add --out-of-focus to try it.")
        elif not isinstance(step, Began):
            console.say(step.said)
    return predicted, verdict
