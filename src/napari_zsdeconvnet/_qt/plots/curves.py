"""The error of a training and, where asked for, the terms that it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, floor, isnan, log10, nan
from typing import Any

import pyqtgraph as pg
from napari.viewer import Viewer
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QWidget

from ..forms.forms import note, stack
from ..forms.shades import shades_on
from .plots import ThemedPlot, legend_text

# Colours that stay apart for most kinds of colour vision, on dark and on light.
COLOURS = {
    "total": "#8a8a8a",
    "denoising": "#3d9be9",
    "deconvolution": "#e8871e",
    "hessian": "#2fa56f",
}
TERMS = tuple(COLOURS)
ERROR = "total"
"""The term that is always drawn; called "error" in the window."""


MEMORY = 0.93
"""What part of the running mean is kept at each step: it looks back some 15 steps, fewer at
the start, where the loss falls fast."""


class LossCurves(QWidget):
    """The error against the step, on a logarithmic axis; a link adds the terms that it sums up.

    Each term scatters from step to step by more than it falls, so the running mean of its
    logarithm is drawn over its faint values. Hidden while there is nothing to draw.
    """

    def __init__(self, viewer: Viewer, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._steps: list[int] = []
        self._losses: dict[str, list[float]] = {}
        self._means: dict[str, list[float]] = {}
        self._curves: dict[str, tuple[Any, Any]] = {}
        self._whole = False

        self.legend = note(rich=True)
        self.legend.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.legend.linkActivated.connect(self._on_link)
        self.legend.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.plot = ThemedPlot(viewer, bottom="step", left="error")
        self.plot.legend.hide()
        self.plot.setLogMode(y=True)
        self.plot.setDownsampling(auto=True, mode="mean")
        self.setToolTip(
            "What training makes smaller, on a logarithmic axis. Noise keeps it from reaching "
            "zero: once it levels off, judge by the preview."
        )
        stack(self, self.legend, self.plot)
        self.hide()

    @property
    def terms(self) -> dict[str, tuple[list[int], list[float]]]:
        """The steps and the values drawn, for each term."""
        return {name: (list(self._steps), list(values)) for name, values in self._losses.items()}

    def _on_link(self, _: str) -> None:
        self.show_terms(not self._whole)

    def show_terms(self, whole: bool) -> None:
        """Draw every term of the error, or the error alone."""
        self._whole = whole
        for faint, clear in self._curves.values():
            self.plot.removeItem(faint)
            self.plot.removeItem(clear)
        self._curves.clear()
        self._name_curves()
        self.redraw()

    @property
    def _drawn(self) -> dict[str, list[float]]:
        """What is drawn of the terms."""
        if self._whole or ERROR not in self._losses:
            return self._losses
        return {ERROR: self._losses[ERROR]}

    def append(self, step: int, losses: Mapping[str, float]) -> None:
        """Add the terms of one step; `redraw` shows them."""
        for name in losses:
            # A term that is missing at the first steps starts with a gap.
            self._losses.setdefault(name, [nan] * len(self._steps))
            self._means.setdefault(name, [nan] * len(self._steps))
        self._steps.append(step)
        for name, values in self._losses.items():
            value = losses.get(name, nan)
            values.append(value if value > 0 else nan)
            self._means[name].append(_running_mean(self._means[name], values[-1]))

    def redraw(self) -> None:
        """Draw all that was added."""
        for name, values in self._drawn.items():
            if name not in self._curves:
                self._curves[name] = self._new_curves(name)
                self._name_curves()
            faint, clear = self._curves[name]
            faint.setData(self._steps, values)
            clear.setData(self._steps, self._means[name])
        drawn = [value for values in self._drawn.values() for value in values if value > 0]
        if drawn:
            self.plot.getAxis("left").setTicks(_ticks(min(drawn), max(drawn)))
        self.setVisible(bool(drawn))

    def clear(self) -> None:
        """Begin with empty axes."""
        self.plot.clear()
        self._steps.clear()
        self._losses.clear()
        self._means.clear()
        self._curves.clear()
        self._name_curves()
        self.hide()

    def _new_curves(self, name: str) -> tuple[Any, Any]:
        faint, clear = QColor(_colour(name)), QColor(_colour(name))
        faint.setAlpha(60)
        curves = (
            self.plot.plot(pen=pg.mkPen(faint, width=1), connect="finite"),
            self.plot.plot(pen=pg.mkPen(clear, width=2), connect="finite"),
        )
        curves[1].setZValue(1)
        return curves

    def _name_curves(self) -> None:
        names = {"error" if name == ERROR else name: _colour(name) for name in self._curves}
        text = legend_text(names)
        if len(self._losses) > 1:
            colour = shades_on(self).link
            word = "error alone" if self._whole else "terms"
            text += f" &nbsp; <a href='terms' style='color:{colour}'>{word}</a>"
        self.legend.setText(text)


def _colour(name: str) -> str:
    return COLOURS.get(name, "#b06fc4")


def _running_mean(means: list[float], value: float) -> float:
    """Return the mean that follows, of the logarithm; a gap in the values leaves it as it is."""
    before = means[-1] if means else nan
    if isnan(before) or isnan(value):
        return value if isnan(before) else before
    kept = min(MEMORY, 1 - 4 / (len(means) + 4))
    return float(before**kept * value ** (1 - kept))


def _ticks(low: float, high: float) -> list[list[tuple[float, str]]]:
    """Return the ticks of a logarithmic axis, labelled as densely as they can be read."""
    if high < 4 * low:
        return [_even_ticks(low, high), []]
    decades = range(floor(log10(low)), ceil(log10(high)) + 1)
    labelled = (1,) if high > 15 * low else (1, 2, 5)
    ticks = [
        (exponent + log10(digit), f"{digit * 10.0**exponent:g}" if digit in labelled else "")
        for exponent in decades
        for digit in range(1, 10)
    ]
    return [[tick for tick in ticks if tick[1]], [tick for tick in ticks if not tick[1]]]


def _even_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return some three ticks at round numbers, where hardly a power of ten lies between."""
    wanted = max(high - low, 1e-3 * low) / 3
    power = 10.0 ** floor(log10(wanted))
    step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= wanted)
    multiples = range(max(floor(low / step), 1), ceil(high / step) + 1)
    return [(log10(number * step), f"{number * step:.6g}") for number in multiples]
