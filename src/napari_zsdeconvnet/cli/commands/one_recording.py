"""One recording from start to finish: the files that it is written to, and its result in them."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...utils.files import replaced_together
from ..console import Console, Interrupted
from .files import beside, check_output
from .interruption import no_signal
from .outputs import BACKGROUND, DECONVOLVED, DENOISED
from .records import check_record, record_beside
from .rescue import rescued
from .run_channels import run_channels, with_channels
from .running import followed, mode_of, pipeline_of, write_result
from .scenes import title_of


def run_files(output: Path) -> dict[str, Path]:
    """Name the files that are written for a recording whose deconvolved image is `output`."""
    return {
        DECONVOLVED: output,
        DENOISED: beside(output, DECONVOLVED, DENOISED),
        BACKGROUND: beside(output, DECONVOLVED, BACKGROUND),
        "model": beside(output, DECONVOLVED, "model").with_suffix("").with_suffix(".safetensors"),
    }


def check_files(
    image: str, files: dict[str, Path], arguments: argparse.Namespace, *, written: bool = True
) -> None:
    """See to it that the files of a recording may be written and, where it is tried, can be."""
    for path in files.values():
        check_output(path, [image], arguments, written=written)
    check_record(record_beside(files[DECONVOLVED]), written=written)


def run_one(
    path: str,
    files: dict[str, Path],
    arguments: argparse.Namespace,
    console: Console,
    model: str | None = None,
) -> dict[str, Any]:
    """Calibrate, train, deconvolve and judge; gives what JSON says of it.

    Parameters
    ----------
    path
        The recording.
    files
        As `run_files` names them.
    arguments, console
        Of the command.
    model
        File of a model that is used if it fits, such as that of a recording that is alike.
    """
    several = with_channels(path, arguments)
    if several is not None:
        return run_channels(path, several, files, arguments, console)
    output = files[DECONVOLVED]
    mode = mode_of(path, arguments, console)

    from ...training.autosave import checkpoint_of

    pipeline = pipeline_of(mode, files, arguments, console, model)
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
    for what in results:
        console.say(f"{title_of(path)} -> {files[what]}")
    return {
        "image": path,
        "mode": mode.name,
        **{name: str(file) for name, file in files.items()},
        "record": str(record_beside(output)),
        "trained": pipeline.trained,
        "stopped": pipeline.cut_short,
        "verdict": None if verdict is None else verdict.to_dict(),
        "failed_measures": [] if verdict is None else [one.name for one in verdict.failed],
    }
