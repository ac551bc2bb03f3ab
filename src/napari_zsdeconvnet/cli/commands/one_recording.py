"""One recording from start to finish: the files that it is written to, and its result in them."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from ...workflow.result_files import RESULTS, failed_measures, write_run
from ..console import Console, Interrupted
from .files import check_output
from .interruption import no_signal
from .records import check_record
from .rescue import rescued
from .run_channels import run_channels, with_channels
from .running import followed, mode_of, pipeline_of
from .scenes import title_of


def check_files(
    image: str, files: dict[str, Path], arguments: argparse.Namespace, *, written: bool = True
) -> None:
    """See to it that the files of a recording may be written and, where it is tried, can be."""
    for what, path in files.items():
        if what == "record":
            check_record(path, written=written)
        else:
            check_output(path, [image], arguments, written=written)


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
    mode = mode_of(path, arguments, console)

    from ...training.autosave import checkpoint_of

    pipeline = pipeline_of(mode, files, arguments, console, model)
    with console.bar(0, Path(path).name) as bar:
        followed(pipeline, files["model"], bar, console)
    result = pipeline.result
    if result is None:
        raise Interrupted("nothing had been learned yet, so nothing was saved.")
    checkpoint = checkpoint_of(files["model"])
    rescue = rescued(result.model.save, files["model"], checkpoint, then=f"--resume {checkpoint}")
    with no_signal(), nullcontext() if arguments.model else rescue:
        written = write_run(result, files)
    if not arguments.model:
        checkpoint.unlink(missing_ok=True)
    for what in RESULTS:
        if what in written:
            console.say(f"{title_of(path)} -> {written[what]}")
    return {
        "image": path,
        "mode": mode.name,
        **{name: str(file) for name, file in written.items()},
        "trained": pipeline.trained,
        "stopped": pipeline.cut_short,
        "verdict": None if result.report is None else result.report.to_dict(),
        "failed_measures": failed_measures(result),
    }
