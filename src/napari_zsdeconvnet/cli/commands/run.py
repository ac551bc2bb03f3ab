"""`zsdeconvnet run`: recordings from start to finish, as *Deconvolve…* does it in napari."""

from __future__ import annotations

import argparse

from ...utils.errors import InputError
from ...workflow.result_files import DECONVOLVED, run_files
from ..console import Console
from .files import output_names
from .one_recording import check_files, run_one
from .scenes import inputs
from .screen import run_screen


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Take recordings from raw counts to their results, one after the other or on a cluster.

    A model serves the recordings that are alike, unless each is to have its own. The first Ctrl-C
    ends a training, and its result is still made; those after it are not begun.

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
    files = [run_files(output) for output in outputs]
    many = len(paths) > 1 or arguments.skip_done or arguments.workers or arguments.scheduler
    if many:
        run_screen(paths, files, arguments, console)
        return
    check_files(paths[0], files[0], arguments)
    console.result(run_one(paths[0], files[0], arguments, console))
