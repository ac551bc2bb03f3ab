"""The record of a run: all that is needed to repeat it, and to describe it in a paper."""

from __future__ import annotations

from .methods import methods_paragraph
from .prediction import Output, Prediction
from .run_record import RunRecord

__all__ = ["Output", "Prediction", "RunRecord", "methods_paragraph"]
