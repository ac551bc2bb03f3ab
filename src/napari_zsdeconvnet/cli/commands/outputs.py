"""The files that a prediction writes, named beforehand."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ...workflow.result_files import DECONVOLVED, DENOISED, beside, record_beside
from .files import check_output, output_names
from .records import check_record


def result_files(arguments: argparse.Namespace, paths: Sequence[str]) -> list[dict[str, Path]]:
    """Name the files that are written for each input, and see to it that they can be.

    Parameters
    ----------
    arguments
        With `output`, `denoised` and `model`.
    paths
        The inputs.

    Returns
    -------
    list of dict
        By what they are, "deconvolved" and, if asked for, "denoised".
    """
    files = []
    for output in output_names(arguments.output, paths, DECONVOLVED):
        names = {DECONVOLVED: output}
        if arguments.denoised:
            names[DENOISED] = beside(output, DECONVOLVED, DENOISED)
        for name in names.values():
            check_output(name, [*paths, arguments.model], arguments)
        check_record(record_beside(output))
        files.append(names)
    return files
