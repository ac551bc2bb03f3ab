"""The record of a run: all that is needed to repeat it, and to describe it in a paper."""

from __future__ import annotations

from .methods import methods_paragraph
from .prediction import Output, Prediction, iter_recorded, iter_recorded_by
from .repeat import (
    as_ruled,
    check_first,
    check_same,
    differences,
    is_of_repeat,
    iter_training,
    settings_of,
    threads,
)
from .run_record import IN_ZARR, KIND, RunRecord
from .serialization import packed_verdict

__all__ = [
    "IN_ZARR",
    "KIND",
    "Output",
    "Prediction",
    "RunRecord",
    "as_ruled",
    "check_first",
    "check_same",
    "differences",
    "is_of_repeat",
    "iter_recorded",
    "iter_recorded_by",
    "iter_training",
    "methods_paragraph",
    "packed_verdict",
    "settings_of",
    "threads",
]
