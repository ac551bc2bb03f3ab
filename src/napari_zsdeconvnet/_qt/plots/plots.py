"""Plots in the colours of napari's theme: the histogram of a background, the profile of a PSF."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from napari.utils.theme import get_theme
from napari.viewer import Viewer
from numpy.typing import ArrayLike
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor

from ..workers.connections import alive, follow

if TYPE_CHECKING:
    from ...noise.dark_region import BackgroundFit

MEASURED = "#3d9be9"
FITTED = "#e8871e"
OTHER = "#2fa56f"


def legend_text(colours: Mapping[str, str]) -> str:
    """Name curves in their colours, for a label: inside the plot they would lie over them."""
    return " &nbsp; ".join(
        f'<span style="color:{colour}">━ {name}</span>' for name, colour in colours.items()
    )


class ThemedPlot(pg.PlotWidget):  # type: ignore[misc]
    """A small plot to look at: no menu, no zoom, the theme's colours."""

    def __init__(self, viewer: Viewer, *, bottom: str, left: str) -> None:
        super().__init__(enableMenu=False)
        # pyqtgraph makes this menu even where it is turned off, and without a parent it
        # would outlive the window.
        menu = self.getPlotItem().ctrlMenu
        menu.setParent(self, menu.windowFlags())
        self.getPlotItem().setContentsMargins(0, 0, 0, 5)  # or the lower label is cut off
        self.hideButtons()
        self.setMouseEnabled(x=False, y=False)
        self.setLabel("bottom", bottom)
        self.setLabel("left", left)
        self.getAxis("left").enableAutoSIPrefix(False)
        self.getAxis("bottom").enableAutoSIPrefix(False)
        self.legend = self.addLegend(offset=(-2, 2), labelTextSize="8pt")
        self._viewer = viewer
        follow(self, viewer.events.theme, self._follow_theme)
        self._follow_theme()

    def sizeHint(self) -> QSize:
        """Return the size that suits a dock widget."""
        return QSize(300, 150)

    def minimumSizeHint(self) -> QSize:
        """Return the size below which the axes hide the curves."""
        return QSize(200, 150)

    def _follow_theme(self, event: Any = None) -> None:
        if not alive(self):
            return
        theme = get_theme(self._viewer.theme)
        text = QColor(theme.text.as_hex())
        behind = QColor(theme.background.as_hex())
        self.setBackground(behind)
        self.legend.setBrush(behind)  # or what lies below would strike its words out
        for side in ("left", "bottom"):
            self.getAxis(side).setPen(text)
            self.getAxis(side).setTextPen(text)
        self.legend.setLabelTextColor(text)
        for _, label in self.legend.items:  # those that are there already stay as they are
            label.setText(label.text, color=text)


class BackgroundHistogram(ThemedPlot):
    """The histogram of a background region and the Gaussian of its mean and variance."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer, bottom="counts", left="pixels")
        self._measured = self.plot(
            stepMode="center",
            fillLevel=0,
            brush=QColor(61, 155, 233, 90),
            pen=pg.mkPen(MEASURED),
            name="measured",
        )
        self._fitted = self.plot(pen=pg.mkPen(FITTED, width=2), name="Gaussian")

    @property
    def shown(self) -> bool:
        """Whether there is a histogram to see."""
        return self._fitted.xData is not None and len(self._fitted.xData) > 0

    def show_fit(self, fit: BackgroundFit) -> None:
        """Draw the histogram and its fit."""
        self.show()
        self.enableAutoRange()
        self._measured.setData(fit.edges, fit.counts)
        self._fitted.setData((fit.edges[:-1] + fit.edges[1:]) / 2, fit.fitted)

    def clear_fit(self) -> None:
        """Take the axes away until there is something in them."""
        self.hide()
        self._measured.setData([0, 0], [0])
        self._fitted.setData([], [])
        self.setRange(xRange=(0, 1), yRange=(0, 1.1), padding=0)  # room for the label at 1


class PSFProfile(ThemedPlot):
    """Profiles through the peak of a PSF, with the height at which its width is read."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer, bottom="distance", left="of the peak")
        self._colours = {"Z": OTHER, "Y": FITTED, "X": MEASURED}
        self._half = pg.InfiniteLine(
            0.5, angle=0, pen=pg.mkPen("#8a8a8a", style=Qt.PenStyle.DashLine)
        )

    def show_profiles(
        self, profiles: dict[str, tuple[ArrayLike, ArrayLike]], *, reach: float, unit: str
    ) -> None:
        """Draw one curve per axis, each given by distances and values relative to the peak.

        ``reach`` is the distance shown on either side, in `unit`.
        """
        self.clear_profiles()
        self.show()
        self.addItem(self._half)
        self.setLabel("bottom", f"distance ({unit})")
        self.setXRange(-reach, reach, padding=0)
        for axis, (distance, value) in profiles.items():
            self.plot(
                np.asarray(distance),
                np.asarray(value),
                pen=pg.mkPen(self._colours[axis], width=2),
                symbol="o",
                symbolSize=4,
                symbolBrush=self._colours[axis],
                symbolPen=None,
                name=f"along {axis}",
            )
        self._follow_theme()

    def clear_profiles(self) -> None:
        """Take the axes away until there is something in them."""
        self.hide()
        self.clear()
        self.legend.clear()
