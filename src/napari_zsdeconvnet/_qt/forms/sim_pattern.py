"""Boxes for the optics and for known patterns, and the display of the patterns found."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import FloatSpinBox, LineEdit
from napari import layers
from napari.viewer import Viewer
from numpy.typing import NDArray

from ...sim.spectrum import peak_places
from ...utils.errors import InputError
from ..layers.layers import beside, kept_layer, show_kept
from ..workers.window_text import NANOMETRES
from .forms import number
from .optics_boxes import optics_box

if TYPE_CHECKING:
    from ...sim.patterns import Patterns
    from ..layers.state import Optics

FOUND, NOT_FOUND = "#39d353", "#ff9a3c"
_RING = 0.045  # of the spectrum's smaller side


class Microscope:
    """The boxes for the optics, which are remembered, and for what is known of the fringes."""

    def __init__(self, optics: Optics) -> None:
        self._optics = optics
        self.na = optics_box("na", optics.na)
        self.emission = optics_box("wavelength", optics.wavelength)
        self.excitation = number(
            "Excitation",
            0,
            unit="nm",
            maximum=2000,
            step=5,
            decimals=0,
            absent="not known",
            tooltip="Wavelength of the light that makes the fringes, in nanometres; it bounds the "
            "period that is searched.",
        )
        self.excitation_na = number(
            "Excitation NA",
            0,
            unit="",
            maximum=1.7,
            step=0.05,
            absent="as the NA",
            tooltip="Aperture at which the beams that interfere come in, such as that of TIRF; it "
            "bounds the period that is searched.",
        )
        self.period = LineEdit(
            label="Period (nm)",
            tooltip="Period of the fringes in nanometres, where it is known: one number, or one "
            "for each orientation, with commas. Searched within 5 %.",
        )
        self.angles = LineEdit(
            label="Angles (°)",
            tooltip="Direction in which the light varies, for each orientation, in degrees, with "
            "commas: 0 along X, 90 down the rows. Searched within 4 degrees; together with a "
            "period they are taken as given where the fringes are below the noise.",
        )
        for box in (self.period, self.angles):
            box.native.setPlaceholderText("not known")

    def settings(self) -> dict[str, Any]:
        """Return what `sim.estimate` is told, and remember it for the other widgets.

        Raises InputError if period or angles are no numbers.
        """
        optics = self._optics
        optics.na, optics.wavelength = float(self.na.value), self.emission.value / NANOMETRES
        period, angles = _numbers(self.period), _numbers(self.angles)
        if period is not None:
            period = [length / NANOMETRES for length in period]
        return {
            "na": optics.na,
            "wavelength": optics.wavelength,
            "period": period[0] if period is not None and len(period) == 1 else period,
            "angles": angles,
            "excitation_wavelength": _micrometres(self.excitation),
            "excitation_na": float(self.excitation_na.value) or None,
        }

    @property
    def cutoff(self) -> float:
        """Frequency from which on nothing passes, cycles per micrometre."""
        return 2 * float(self.na.value) * NANOMETRES / float(self.emission.value)


def _micrometres(box: FloatSpinBox) -> float | None:
    return float(box.value) / NANOMETRES or None


def _numbers(box: LineEdit) -> list[float] | None:
    text = str(box.value).replace(",", " ").replace(";", " ")
    try:
        return [float(word) for word in text.split()] or None
    except ValueError:
        raise InputError(
            "no-number",
            f"{box.label} reads {box.value!r}; type numbers with commas between them, or nothing.",
        ) from None


def report_words(patterns: Patterns) -> str:
    """Return the report as rich text for a narrow window, each orientation's name in bold."""
    reasons = tuple(pattern.reason for pattern in patterns if pattern.reason)
    notes = [note for note in patterns.warnings if not reasons or not note.endswith(reasons)]
    lines = [*patterns.findings(), *(("Note", note) for note in notes)]
    return "<br>".join(
        f"<b>{head}:</b> {html.escape(text)}" if head else html.escape(text.strip())
        for head, text in lines
    )


def show_spectrum(
    viewer: Viewer,
    layer: layers.Image,
    spectrum: NDArray[np.float32],
    patterns: Patterns,
) -> None:
    """Show where the orders agree, beside the frames, the found frequencies ringed."""
    place = beside(layer, spectrum.shape, tuple(abs(float(step)) for step in layer.scale[-2:]))
    key, name = (str(layer.unique_id), "spectrum"), f"{layer.name} spectrum"
    new = kept_layer(viewer, key) is None
    shown = show_kept(viewer, key, spectrum, place, name=name, colormap="magma")
    if new:
        viewer.reset_view()
    peak = min(max(pattern.peak_snr for pattern in patterns), float(spectrum.max()))
    shown.contrast_limits = (0, max(peak, 1.0))
    _show_rings(viewer, layer, patterns, place)


def _show_rings(
    viewer: Viewer, layer: layers.Image, patterns: Patterns, place: dict[str, Any]
) -> None:
    key = (str(layer.unique_id), "patterns")
    found = np.repeat([pattern.found for pattern in patterns], 2)
    numbers = np.repeat(np.arange(1, len(patterns) + 1), 2)
    points = peak_places(patterns).reshape(-1, 2)
    found_here = {
        "features": {
            "label": [f"{n}{'' if sure else '?'}" for n, sure in zip(numbers, found, strict=True)]
        },
        "border_color": [FOUND if sure else NOT_FOUND for sure in found],
        "size": max(_RING * min(patterns.shape), 6.0),
    }
    show_kept(
        viewer,
        key,
        points,
        found_here | place,
        layers.Points,
        name=f"{layer.name} patterns",
        symbol="disc",
        face_color="transparent",
        border_width=0.12,
        text={"string": "{label}", "color": "white", "size": 9, "anchor": "upper_left"},
    )
