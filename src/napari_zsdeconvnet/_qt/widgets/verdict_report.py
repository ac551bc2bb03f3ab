"""A verdict as it is read: headline, what failed, spectrum, and all the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.viewer import Viewer
from qtpy.QtWidgets import QWidget

from ..forms.forms import note, say, stack
from ..forms.verdict_text import failed_html, headline_html, others_html
from ..plots.spectrum_plot import SpectrumPlot

if TYPE_CHECKING:
    from ..layers.state import Judged


class VerdictReport(QWidget):
    """Shows one verdict, and nothing while there is none."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.headline = note(rich=True)
        font = self.headline.font()
        font.setBold(True)
        font.setPointSizeF(1.2 * font.pointSizeF())
        self.headline.setFont(font)
        self.subject = note()
        self.failed, self.others = note(rich=True), note(rich=True)
        self.plot = SpectrumPlot(viewer)
        stack(self, self.headline, self.subject, self.failed, self.plot, self.others)
        self.clear()

    def show_verdict(self, judged: Judged, subject: str) -> None:
        """Show what was found, and on what."""
        verdict = judged.verdict
        say(self.headline, headline_html(verdict))
        say(self.subject, subject)
        say(self.failed, failed_html(verdict))
        unit = "output pixel" if judged.model.psf.voxel_size is None else "µm"
        self.plot.show_spectrum(verdict.spectrum, unit)
        say(self.others, others_html(verdict))
        self.show()

    def clear(self) -> None:
        """Show nothing."""
        self.hide()
