"""What was measured of a result, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from numpy.typing import NDArray

from ..utils.json_values import built, entries
from .checks import Measure
from .spectra import Sharpening


@dataclass(frozen=True, eq=False)
class Verdict:
    """What was measured, and what came of it.

    Attributes
    ----------
    measures
        In the order in which they are to be read.
    notes
        Further findings, one sentence each, that nothing is judged by.
    maps
        ``z_map`` on the grid of the image, float32; ``spread`` and ``mean`` on the output grid,
        counts, of a volume NaN beyond the part that was measured. Not kept in JSON.
    spectrum
        For a plot, or None; not kept in JSON either.
    """

    measures: tuple[Measure, ...]
    notes: tuple[str, ...] = ()
    maps: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    spectrum: Sharpening | None = None

    def __getitem__(self, name: str) -> Measure:
        """Give the measure of a name; KeyError if there is none."""
        for measure in self.measures:
            if measure.name == name:
                return measure
        raise KeyError(name)

    @property
    def passed(self) -> bool:
        """Whether no measure failed, and at least one was judged."""
        outcomes = [measure.passed for measure in self.measures]
        return False not in outcomes and True in outcomes

    @property
    def failed(self) -> tuple[Measure, ...]:
        """Those that did not pass."""
        return tuple(measure for measure in self.measures if measure.passed is False)

    def headline(self) -> str:
        """Say in one sentence how many measures passed, and which failed."""
        judged = [measure for measure in self.measures if measure.passed is not None]
        if not judged:
            return "Nothing could be judged."
        if self.failed:
            names = ", ".join(measure.name for measure in self.failed)
            return f"{len(self.failed)} of {len(judged)} measures failed: {names}."
        if len(judged) == 1:
            return f"The one measure that applies passed: {judged[0].name}."
        return f"All {len(judged)} measures passed."

    def summary(self) -> str:
        """Say whether the result can be believed, and if not, why and what to do."""
        reasons = [measure.sentence for measure in self.failed]
        if self.passed:
            reasons = [m.sentence for m in self.measures if m.name == "sharpening" and m.passed]
        return " ".join([self.headline(), *reasons])

    def to_dict(self) -> dict[str, Any]:
        """Return everything but maps and spectrum, ready for JSON."""
        return {
            "passed": self.passed,
            **entries(self, "maps", "spectrum"),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild what `to_dict` returned."""
        known = {name: values[name] for name in ("measures", "notes") if name in values}
        return built(cls, known, maps={}, spectrum=None)
