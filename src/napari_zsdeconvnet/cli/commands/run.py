"""`zsdeconvnet run`: a recording from start to finish, as *Deconvolve…* does it in napari."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...utils.errors import InputError
from ...utils.files import replaced_together
from ..console import Console, Interrupted, worded
from .files import beside, check_output, output_names
from .interruption import came, no_signal
from .outputs import BACKGROUND, DECONVOLVED, DENOISED
from .records import check_record, record_beside
from .rescue import rescued
from .run_channels import run_channels, with_channels
from .running import followed, mode_of, pipeline_of, write_result
from .scenes import inputs, title_of

if TYPE_CHECKING:
    from ...workflow.likeness import SharedModels


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Take one recording after another from raw counts to its result.

    A model serves the recordings after it that are alike, unless each is to have its own.
    The first Ctrl-C ends a training, and its result is still made; those after it are not begun.

    Raises
    ------
    InputError
        If it is so of the one recording, or of some of several: the others are done.
    """
    paths = inputs(arguments)
    if len(paths) > 1 and arguments.resume:
        raise InputError(
            "option-for-one-image", "--resume goes on with one training; name its image alone."
        )
    suffix = ".ome.zarr" if arguments.format == "ome-zarr" else None
    outputs = output_names(arguments.output, paths, DECONVOLVED, suffix, zarr=True)
    files = [_files(path, output, arguments) for path, output in zip(paths, outputs, strict=True)]
    if len(paths) == 1:
        console.result(_one(paths[0], files[0], arguments, console))
        return
    from ...workflow.likeness import SharedModels

    done: list[dict[str, Any]] = []
    failed: list[str] = []
    shared = None if arguments.train_each else SharedModels()
    for number, (path, names) in enumerate(zip(paths, files, strict=True), 1):
        try:
            done.append(_one(path, names, arguments, console, shared))
        except InputError as error:
            failed.append(title_of(path))
            console.warn(f"{title_of(path)}: {worded(error)}")
        except Interrupted as error:
            raise Interrupted(f"{len(done)} of {len(paths)} images are done; {error}") from None
        if came and number < len(paths):
            raise Interrupted(f"{len(done)} of {len(paths)} images are done.")
    console.say(_summary(done, failed))
    console.result({"images": done, "failed": failed})
    if failed:
        raise InputError(
            "images-failed",
            f"{len(failed)} of {len(paths)} images could not be done, for the reasons above: "
            f"{', '.join(failed)}.",
        )


def _summary(done: Sequence[Mapping[str, Any]], failed: Sequence[str]) -> str:
    """Say in a few lines what came of all, and which need a look."""
    lines = [f"{len(done)} of {len(done) + len(failed)} images done."]
    for one in done:
        if one.get("failed_measures"):
            lines.append(f"Needs a look: {one['image']} ({', '.join(one['failed_measures'])}).")
    return "\n".join(lines)


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
    path: str,
    files: dict[str, Path],
    arguments: argparse.Namespace,
    console: Console,
    shared: SharedModels | None = None,
) -> dict[str, Any]:
    """Calibrate, train, deconvolve and judge; gives what JSON says of it."""
    several = with_channels(path, arguments)
    if several is not None:
        return run_channels(path, several, files, arguments, console)
    output = files[DECONVOLVED]
    mode = mode_of(path, arguments, console)

    from ...training.autosave import checkpoint_of

    pipeline = pipeline_of(mode, files, arguments, console, shared)
    with console.bar(0, Path(path).name) as bar:
        made = followed(pipeline, files["model"], bar, console)
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
            write_result(files[what], mode.placed(getattr(predicted.result, what)))
        replace(predicted.record, verdict=verdict).write(record_beside(output))
    if not arguments.model:
        checkpoint.unlink(missing_ok=True)
    if shared is not None and predicted.model not in shared.models:
        shared.add(predicted.model, mode)
    for what in results:
        console.say(f"{title_of(path)} -> {files[what]}")
    return {
        "image": path,
        "mode": mode.name,
        **{name: str(file) for name, file in files.items()},
        "record": record_beside(output),
        "verdict": None if verdict is None else verdict.to_dict(),
        "failed_measures": [] if verdict is None else [one.name for one in verdict.failed],
    }
