"""Run records on the command line: beside each result, and read from wherever they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ...utils.errors import InputError
from ...utils.files import check_writable
from ...utils.json_values import read_json
from ...workflow.record import KIND, Prediction, RunRecord
from ...workflow.result_files import record_beside

if TYPE_CHECKING:
    from ...model.model import Model


def check_record(path: Path, *, written: bool = True) -> None:
    """Find out before a long computation whether a record can be written after it.

    Raises
    ------
    InputError
        If it cannot, or the file exists and is something else than a record.
    """
    if written:
        check_writable(path)
    if path.exists() and not is_record(path):
        raise InputError(
            "output-exists",
            f"{path} exists and is no run record, which is what goes there; choose another name "
            "with -o, or move that file.",
        )


def is_record(path: Path) -> bool:
    """Tell whether a file is a run record, of any version."""
    try:
        values = read_json(path)
    except (OSError, ValueError):
        return False
    return isinstance(values, dict) and values.get("kind") == KIND


def write_record(model: Model, prediction: Prediction, names: Mapping[str, Path]) -> str:
    """Write the record of a result beside its files; gives its name."""
    path = record_beside(names["deconvolved"])
    RunRecord.of(model, prediction=prediction).write(path)
    return str(path)
