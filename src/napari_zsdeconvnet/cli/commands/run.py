"""`zsdeconvnet run`: a recording from start to finish, as one click does it in napari."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...io.image import Image
from ...io.image_writing import write_image
from ...utils.errors import InputError
from ...utils.files import replaced_together
from ..console import Console, Interrupted, printable, worded
from .camera import camera_for
from .files import beside, check_output, expand, given, load, opened, output_names
from .interruption import came, first_signal_calls, no_signal
from .outputs import BACKGROUND, DECONVOLVED, DENOISED
from .psf import MICROSCOPE, plane_of
from .records import check_record, record_beside
from .rescue import rescued
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


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Take one recording after another from raw counts to its result.

    The first Ctrl-C ends a training, and its result is still made; those after it are not begun.

    Raises
    ------
    InputError
        If it is so of the one recording, or of some of several: the others are done.
    """
    paths = expand(arguments.images)
    if len(paths) > 1 and arguments.resume:
        raise InputError(
            "option-for-one-image", "--resume goes on with one training; name its image alone."
        )
    outputs = output_names(arguments.output, paths, DECONVOLVED)
    files = [_files(path, output, arguments) for path, output in zip(paths, outputs, strict=True)]
    if len(paths) == 1:
        console.result(_one(paths[0], files[0], arguments, console))
        return
    done: list[dict[str, Any]] = []
    failed: list[str] = []
    for path, names in zip(paths, files, strict=True):
        try:
            done.append(_one(path, names, arguments, console))
        except InputError as error:
            failed.append(path)
            console.warn(f"{path}: {worded(error)}")
        except Interrupted as error:
            raise Interrupted(f"{len(done)} of {len(paths)} images are done; {error}") from None
        if came and path != paths[-1]:
            raise Interrupted(f"{len(done)} of {len(paths)} images are done.")
    console.result({"images": done, "failed": failed})
    if failed:
        raise InputError(
            "images-failed",
            f"{len(failed)} of {len(paths)} images could not be done, for the reasons above: "
            f"{', '.join(failed)}.",
        )


def _files(image: str, output: Path, arguments: argparse.Namespace) -> dict[str, Path]:
    """Name the files that are written for an image, and see to it that they can be."""
    files = {
        DECONVOLVED: output,
        DENOISED: beside(output, DECONVOLVED, DENOISED),
        BACKGROUND: beside(output, DECONVOLVED, BACKGROUND),
        "model": beside(output, DECONVOLVED, "model").with_suffix("").with_suffix(".safetensors"),
    }
    for path in files.values():
        check_output(path, [image], arguments)
    check_record(record_beside(output))
    return files


def _one(
    path: str, files: dict[str, Path], arguments: argparse.Namespace, console: Console
) -> dict[str, Any]:
    """Calibrate, train, deconvolve and judge; gives what JSON says of it."""
    output = files[DECONVOLVED]
    mode = _mode(path, arguments, console)

    from ...model.model import Model
    from ...training.autosave import checkpoint_of, is_complete
    from ...workflow.pipeline import Pipeline

    model = Model.load(arguments.model) if arguments.model else None
    resume = None if model else arguments.resume or offered(files["model"], console)
    if resume and arguments.steps is None and is_complete(resume):
        model, resume = Model.load(resume), None
    pipeline = Pipeline(
        mode,
        model=model,
        judged=not arguments.no_verdict,
        device=arguments.device,
        preset=arguments.preset,
        names={what: files[what].name for what in (DECONVOLVED, DENOISED, BACKGROUND)},
        preview_every=0,
        resume=resume,
        **given(arguments, "steps", "seed", "start"),
    )
    with console.bar(0, Path(path).name) as bar:
        made = _followed(pipeline, files["model"], bar, console)
    if made is None:
        raise Interrupted("nothing had been learned yet, so nothing was saved.")
    predicted, verdict = made
    if predicted.result.background is None:
        del files[BACKGROUND]
    results = [what for what in files if what != "model"]
    checkpoint = checkpoint_of(files["model"])
    rescue = rescued(
        predicted.model.save, files["model"], checkpoint, then=f"--resume {checkpoint}"
    )
    with no_signal(), nullcontext() if arguments.model else rescue, replaced_together():
        predicted.model.save(files["model"])
        for what in results:
            _write(files[what], mode.placed(getattr(predicted.result, what)))
        replace(predicted.record, verdict=verdict).write(record_beside(output))
    if not arguments.model:
        checkpoint.unlink(missing_ok=True)
    for what in results:
        console.say(f"{path} -> {files[what]}")
    return {
        "image": path,
        "mode": mode.name,
        **{name: str(file) for name, file in files.items()},
        "record": record_beside(output),
        "verdict": None if verdict is None else verdict.to_dict(),
    }


def _write(path: Path, image: Image) -> None:
    """Write a result with its axes, sizes, time and channel."""
    write_image(
        path,
        image.data,
        axes=image.axes,
        voxel_size=image.voxel_size,
        channel_names=image.channel_names,
        frame_interval=image.frame_interval,
    )


def _mode(path: str, arguments: argparse.Namespace, console: Console) -> Mode:
    """Open the recording in the mode that is asked for, or else recognised."""
    from ...modes.registry import find_mode

    known = _known(arguments)
    image = opened(path, arguments)
    kind, why = find_mode(image, arguments.mode, known)
    if not kind.takes_channels:
        image = load(path, arguments, console)
        kind, why = find_mode(image, arguments.mode, known)  # its planes may be known only now
    typed, arguments = arguments, with_recorded(arguments, image, console)
    if why and kind.name not in ("image", "volume"):
        console.say(f"Taken for {kind.title}: {why} Add --mode if that is wrong.")
    known = _known(arguments)
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


def _known(arguments: argparse.Namespace) -> Known:
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


def _followed(
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
