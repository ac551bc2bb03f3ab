"""The spectrum of a result beside that of its image, ring by ring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from napari.viewer import Viewer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QWidget

from ..forms.forms import note, stack
from .plots import FITTED, MEASURED, OTHER, ThemedPlot, legend_text

if TYPE_CHECKING:
    from ...quality.spectra import FloatArray, Sharpening

NEUTRAL = "#8a8a8a"
_AXIS = 48  # pixels
_DASHED, _DOTTED = Qt.PenStyle.DashLine, Qt.PenStyle.DotLine


class SpectrumPlot(QWidget):
    """Power of image and result above the noise floor, and by how much contrast was raised.

    Hidden while there is nothing to draw.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.power = _plot(viewer, "power (counts²)")
        self.power.setLogMode(y=True)
        self.power.setToolTip(
            "Power of image and result at each fineness of structure, fine to the right. Where the "
            "image meets the noise floor it shows noise only; what the result holds beyond the "
            "optical cutoff is extrapolated."
        )
        self.gain = _plot(viewer, "contrast (times)")
        self.gain.setToolTip(
            "Contrast of the result over that of the structure in the image, where the image shows "
            "any. 1 is denoised only; undoing the blur of the optics entirely is the dashed curve."
        )
        of_power = {"image": MEASURED, "result": FITTED, "noise floor": NEUTRAL}
        of_gain = {"result": FITTED, "blur undone": OTHER}
        stack(self, _legend(of_power), self.power, _legend(of_gain), self.gain)
        self.hide()

    def show_spectrum(self, spectrum: Sharpening | None, unit: str) -> None:
        """Draw a spectrum with frequencies in cycles per unit of length, or nothing."""
        self.power.clear()
        self.gain.clear()
        if spectrum is not None:
            self._draw_power(spectrum)
            self._draw_gain(spectrum)
            for plot in (self.power, self.gain):
                plot.setLabel("bottom", f"cycles per {unit}")
                plot.setXRange(0, float(spectrum.frequency[-1]), padding=0)
        self.setVisible(spectrum is not None)

    def _draw_power(self, spectrum: Sharpening) -> None:
        for values, colour in ((spectrum.image, MEASURED), (spectrum.result, FITTED)):
            _curve(self.power, spectrum.frequency, np.where(values > 0, values, np.nan), colour)
        floor = np.where(spectrum.noise > 0, spectrum.noise, np.nan)
        _curve(self.power, spectrum.frequency, floor, NEUTRAL, _DASHED)
        _mark_cutoff(self.power, spectrum.cutoff, "optical cutoff")

    def _draw_gain(self, spectrum: Sharpening) -> None:
        seen = spectrum.seen
        carried = spectrum.frequency < spectrum.cutoff
        with np.errstate(divide="ignore"):
            perfect = np.where(carried, 1 / spectrum.transfer, np.nan)
        _curve(self.gain, spectrum.frequency, perfect, OTHER, _DASHED)
        _curve(self.gain, spectrum.frequency, np.where(seen, spectrum.gain, np.nan), FITTED)
        _curve(self.gain, spectrum.frequency[[0, -1]], np.ones(2), NEUTRAL, _DOTTED)
        _mark_cutoff(self.gain, spectrum.cutoff)
        # At the cutoff blur undone would be without bounds.
        highest = max(2.0, *(1.3 * spectrum.gain[seen])) if seen.any() else 2.0
        self.gain.setYRange(0, float(highest), padding=0)


def _plot(viewer: Viewer, left: str) -> ThemedPlot:
    plot = ThemedPlot(viewer, bottom="cycles per µm", left=left)
    plot.legend.hide()
    plot.getAxis("left").setWidth(_AXIS)  # the same, so that frequencies stand under each other
    return plot


def _legend(names: dict[str, str]) -> QLabel:
    label = note(legend_text(names), rich=True)
    label.setAlignment(Qt.AlignmentFlag.AlignCenter)
    return label


def _curve(
    plot: ThemedPlot,
    frequency: FloatArray,
    values: FloatArray,
    colour: str,
    style: Any = Qt.PenStyle.SolidLine,
) -> None:
    plot.plot(frequency, values, pen=pg.mkPen(colour, width=2, style=style), connect="finite")


def _mark_cutoff(plot: ThemedPlot, cutoff: float, label: str = "") -> None:
    line = pg.InfiniteLine(
        cutoff,
        pen=pg.mkPen(NEUTRAL, style=_DASHED),
        label=label or None,
        labelOpts={"position": 0.9, "color": NEUTRAL, "anchors": [(0, 0.5), (1, 0.5)]},
    )
    plot.addItem(line)
