"""A verdict as it is read: headline, what failed, spectrum, and all the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from ..forms.forms import note
from ..forms.verdict_text import failed_html, headline_html, others_html
from ..plots.spectrum_plot import SpectrumPlot

if TYPE_CHECKING:
    import napari.viewer

    from ..layers.state import Judged


class VerdictReport(QWidget):
    """Shows one verdict, and nothing while there is none."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.headline = note(rich=True)
        font = self.headline.font()
        font.setBold(True)
        font.setPointSizeF(1.2 * font.pointSizeF())
        self.headline.setFont(font)
        self.subject = note()
        self.failed, self.others = note(rich=True), note(rich=True)
        self.plot = SpectrumPlot(viewer)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (self.headline, self.subject, self.failed, self.plot, self.others):
            layout.addWidget(part)
        self.clear()

    def show_verdict(self, judged: Judged, subject: str) -> None:
        """Show what was found.

        Parameters
        ----------
        judged : Judged
            The verdict and the model.
        subject : str
            What it is on.
        """
        verdict = judged.verdict
        _fill(self.headline, headline_html(verdict))
        _fill(self.subject, subject)
        _fill(self.failed, failed_html(verdict))
        unit = "output pixel" if judged.model.psf.voxel_size is None else "µm"
        self.plot.show_spectrum(verdict.spectrum, unit)
        _fill(self.others, others_html(verdict))
        self.show()

    def clear(self) -> None:
        """Show nothing."""
        self.hide()


def _fill(label: QLabel, text: str) -> None:
    label.setText(text)
    label.setVisible(bool(text))
