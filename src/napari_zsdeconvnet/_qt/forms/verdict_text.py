"""A verdict as rich text: the headline, and the measures with what failed first."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from .shades import ON_DARK, Shades

if TYPE_CHECKING:
    from ...quality.checks import Measure
    from ...quality.verdict import Verdict

_COLOURS = {True: "good", False: "bad", None: "quiet"}
"""Names of colours in `Shades`."""
_SYMBOLS = {True: "✔", False: "✘", None: "–"}
_OUTCOMES = {True: "passed", False: "failed", None: "not judged"}


def headline_html(verdict: Verdict, shades: Shades = ON_DARK) -> str:
    """Say in one coloured line whether the result has passed."""
    nothing = all(measure.passed is None for measure in verdict.measures)
    outcome = None if nothing else verdict.passed
    return _coloured(f"{_SYMBOLS[outcome]} {verdict.headline()}", outcome, shades)


def failed_html(verdict: Verdict, shades: Shades = ON_DARK) -> str:
    """Give what failed: outcome, number, limits and sentence."""
    return "".join(_measure_html(measure, shades) for measure in verdict.failed)


def others_html(verdict: Verdict, shades: Shades = ON_DARK) -> str:
    """Give what passed in the same way, then what was not judged, then the notes."""
    judged = [measure for measure in verdict.measures if measure.passed]
    unjudged = [measure for measure in verdict.measures if measure.passed is None]
    notes = [f"<p><b>Note:</b> {escape(note)}</p>" for note in verdict.notes]
    measures = [_measure_html(measure, shades) for measure in (*judged, *unjudged)]
    return "".join([*measures, *notes])


def _measure_html(measure: Measure, shades: Shades) -> str:
    words = f"{_SYMBOLS[measure.passed]} {measure.name}: {_OUTCOMES[measure.passed]}"
    outcome = _coloured(words, measure.passed, shades)
    number = "" if measure.value is None else escape(f", {_number(measure.value, measure)}")
    return f"<p><b>{outcome}</b>{number}<br>{escape(measure.sentence)}</p>"


def _number(value: float, measure: Measure) -> str:
    """Say a number beside what it may be."""
    low, high = measure.limit
    shown = f"{_short(value)} {measure.unit}".rstrip()
    if low is not None and high is not None:
        return f"{shown} ({_short(low)} to {_short(high)} passes)"
    if low is not None:
        return f"{shown} (at least {_short(low)} passes)"
    if high is not None:
        return f"{shown} (at most {_short(high)} passes)"
    return shown


def _short(value: float) -> str:
    """Say three digits, zeros at the end included."""
    return f"{value:#.3g}".rstrip(".")


def _coloured(text: str, outcome: bool | None, shades: Shades) -> str:
    return f'<span style="color:{getattr(shades, _COLOURS[outcome])}">{escape(text)}</span>'
