"""The terms of the loss, drawn as they fall."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from typing import TYPE_CHECKING, Any

import pyqtgraph as pg
from napari.utils.theme import get_theme
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QVBoxLayout, QWidget

if TYPE_CHECKING:
    import napari.viewer

# Colours that stay apart for most kinds of colour vision, on dark and on light.
COLOURS = {
    "total": "#8a8a8a",
    "denoising": "#3d9be9",
    "deconvolution": "#e8871e",
    "hessian": "#2fa56f",
}
DASHES = {"hessian": Qt.PenStyle.DashLine}


class LossCurves(QWidget):
    """One curve for each term of the loss against the step, on a logarithmic axis.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The colours follow its theme.
    parent : QWidget, optional
        The widget that holds this one.
    """

    def __init__(self, viewer: napari.viewer.Viewer, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._steps: list[int] = []
        self._losses: dict[str, list[float]] = {}
        self._curves: dict[str, Any] = {}

        self._plot = _BoundedPlot(enableMenu=False)
        # pyqtgraph makes this menu even where it is turned off, and without a parent it
        # would outlive the window.
        self._plot.getPlotItem().ctrlMenu.setParent(self._plot)
        self._plot.hideButtons()
        self._plot.setLogMode(y=True)
        self._plot.setMouseEnabled(x=False, y=False)
        self._plot.setDownsampling(auto=True, mode="mean")
        self._plot.setLabel("bottom", "step")
        self._plot.setLabel("left", "loss")
        self._legend = self._plot.addLegend(offset=(-4, 4), labelTextSize="8pt")
        self.setToolTip(
            "Each term of the loss, on a logarithmic axis. Noise keeps the terms from reaching "
            "zero: once they level off, judge by the preview."
        )

        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._plot)

        self._viewer = viewer
        viewer.events.theme.connect(self._follow_theme)
        self._follow_theme()

    @property
    def terms(self) -> dict[str, tuple[list[int], list[float]]]:
        """The steps and the values drawn, for each term."""
        return {name: (list(self._steps), list(values)) for name, values in self._losses.items()}

    def append(self, step: int, losses: Mapping[str, float]) -> None:
        """Add the terms of one step; `redraw` shows them."""
        for name in losses:
            # A term that was not there from the beginning starts with a gap.
            self._losses.setdefault(name, [nan] * len(self._steps))
        self._steps.append(step)
        for name, values in self._losses.items():
            value = losses.get(name, nan)
            values.append(value if value > 0 else nan)

    def redraw(self) -> None:
        """Draw all that was added."""
        for name, values in self._losses.items():
            if name not in self._curves:
                self._curves[name] = self._plot.plot(name=name, connect="finite")
                self._colour_curve(name)
            self._curves[name].setData(self._steps, values)

    def clear(self) -> None:
        """Begin with empty axes."""
        self._plot.clear()
        self._legend.clear()
        self._steps.clear()
        self._losses.clear()
        self._curves.clear()

    def _colour_curve(self, name: str) -> None:
        colour = COLOURS.get(name, "#b06fc4")
        style = DASHES.get(name, Qt.PenStyle.SolidLine)
        self._curves[name].setPen(pg.mkPen(colour, width=1.5, style=style))

    def _follow_theme(self, event: Any = None) -> None:
        theme = get_theme(self._viewer.theme)
        text = QColor(theme.text.as_hex())
        self._plot.setBackground(QColor(theme.background.as_hex()))
        for side in ("left", "bottom"):
            axis = self._plot.getAxis(side)
            axis.setPen(text)
            axis.setTextPen(text)
        self._legend.setLabelTextColor(text)


class _BoundedPlot(pg.PlotWidget):  # type: ignore[misc]
    """A plot that does not ask for more room than a dock widget has."""

    def sizeHint(self) -> QSize:
        """Return the size that suits a dock widget."""
        return QSize(320, 180)

    def minimumSizeHint(self) -> QSize:
        """Return the size below which the axes hide the curves."""
        return QSize(200, 140)
