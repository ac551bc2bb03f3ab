"""A verdict as it is read: headline, what failed, spectrum, and all the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.viewer import Viewer
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QWidget

from ..forms.forms import collapsible, note, say, stack
from ..forms.shades import is_new_theme, shades_on
from ..forms.verdict_text import failed_html, headline_html, others_html
from ..plots.spectrum_plot import SpectrumPlot

if TYPE_CHECKING:
    from ...quality.verdict import Verdict
    from ..layers.state import Judged


class VerdictReport(QWidget):
    """Shows one verdict, and nothing while there is none."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._verdict: Verdict | None = None
        self.headline = note(rich=True)
        font = self.headline.font()
        font.setBold(True)
        font.setPointSizeF(1.2 * font.pointSizeF())
        self.headline.setFont(font)
        self.subject = note()
        self.failed, self.others = note(rich=True), note(rich=True)
        self.plot = SpectrumPlot(viewer)
        self.rest = collapsible(
            "What passed, and what was not judged",
            self.others,
            "The other measures of the result, each with its value.",
        )
        stack(self, self.headline, self.subject, self.failed, self.plot, self.rest)
        self.clear()

    def show_verdict(self, judged: Judged, subject: str) -> None:
        """Show what was found, and on what."""
        self._verdict = verdict = judged.verdict
        say(self.subject, subject)
        self._write()
        unit = "output pixel" if judged.model.psf.voxel_size is None else "µm"
        self.plot.show_spectrum(verdict.spectrum, unit)
        self.show()

    def _write(self) -> None:
        """Write the verdict in the colours of the theme."""
        if self._verdict is not None:
            shades = shades_on(self)
            say(self.headline, headline_html(self._verdict, shades))
            say(self.failed, failed_html(self._verdict, shades))
            self.others.setText(others_html(self._verdict, shades))

    def changeEvent(self, event: QEvent | None) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if is_new_theme(event):
            self._write()

    def clear(self) -> None:
        """Show nothing."""
        self.hide()
