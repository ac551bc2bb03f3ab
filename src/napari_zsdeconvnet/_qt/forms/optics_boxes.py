"""The boxes that ask for the optics, with their units, for every form that does."""

from __future__ import annotations

from dataclasses import dataclass

from magicgui.widgets import CheckBox, ComboBox, FloatSpinBox

from ...modes.registry import offered
from ..workers.window_text import NANOMETRES
from .forms import number


@dataclass(frozen=True)
class Quantity:
    """How a number of the optics is asked for; as for `number`, all as it is shown."""

    label: str
    unit: str
    tooltip: str
    shown: float = 1.0
    """What it is multiplied by to be shown."""
    minimum: float = 0.0
    maximum: float = 1e6
    step: float = 1.0
    decimals: int = 2
    absent: str = ""


QUANTITIES = {
    "pixel_size": Quantity(
        "Raw pixel",
        "nm",
        "Pixel size of the raw image in the sample, in nanometres: the camera's pixel over the "
        "magnification.",
        shown=NANOMETRES,
        maximum=10_000,
    ),
    "axial_step": Quantity(
        "Plane step",
        "nm",
        "Distance between the planes of the volume, in nanometres.",
        shown=NANOMETRES,
        maximum=100_000,
        step=10,
    ),
    "na": Quantity(
        "NA",
        "",
        "Numerical aperture of the objective, as engraved on it; no unit.",
        minimum=0.05,
        maximum=1.7,
        step=0.05,
    ),
    "wavelength": Quantity(
        "Emission",
        "nm",
        "Wavelength of the light that the camera sees, in nanometres: of the emission, not of the "
        "excitation.",
        shown=NANOMETRES,
        minimum=200,
        maximum=2000,
        step=5,
        decimals=0,
    ),
    "refractive_index": Quantity(
        "Refractive index",
        "",
        "Of the immersion medium: air 1, water 1.33, oil 1.515; above the NA. It shapes the PSF "
        "only along z.",
        minimum=1.0,
        maximum=2.0,
        step=0.01,
        decimals=3,
    ),
    "excitation_wavelength": Quantity(
        "Excitation",
        "nm",
        "Wavelength of the laser that is scanned, in nanometres.",
        shown=NANOMETRES,
        minimum=200,
        maximum=2000,
        step=5,
        decimals=0,
    ),
    "pinhole": Quantity(
        "Pinhole",
        "AU",
        "Diameter of the pinhole in Airy units (1.22 wavelength / NA each); 1 is usual. A point "
        "makes the PSF the product of excitation and emission.",
        maximum=20,
        step=0.1,
        absent="a point",
    ),
    "sheet_thickness": Quantity(
        "Sheet",
        "µm",
        "Thickness of the light sheet along z in micrometres: full width at half of its maximum.",
        minimum=0.05,
        maximum=100,
        step=0.1,
    ),
}


def optics_box(name: str, value: float | None = None, *, absent: str = "") -> FloatSpinBox:
    """Return the box for one of `QUANTITIES`; lengths are given in micrometres.

    With ``absent`` the value may be unknown, for which these words are shown.
    """
    asked = QUANTITIES[name]
    return number(
        asked.label,
        0.0 if value is None else value * asked.shown,
        unit=asked.unit,
        tooltip=asked.tooltip,
        minimum=0.0 if absent else asked.minimum,
        maximum=asked.maximum,
        step=asked.step,
        decimals=asked.decimals,
        absent=absent or asked.absent,
    )


def modality_box() -> ComboBox:
    """Return the choice of the kind of microscope."""
    return ComboBox(
        label="Microscope",
        choices=["widefield", "confocal", "light-sheet"],
        tooltip="How it lights and looks: all of the sample (widefield), a point that is scanned "
        "(confocal) or one plane from the side (light-sheet, volumes only).",
    )


def out_of_focus_box() -> CheckBox:
    """Return the switch for the background of thick samples."""
    return CheckBox(
        text="out-of-focus background",
        tooltip="For widefield images of one plane of a thick sample: the smooth light from above "
        "and below the focal plane becomes a layer of its own, and the deconvolved image is of "
        "what is in focus. Both together hold the light of the recording. Of a thin sample it "
        "may take even structure for background. Volumes do without: their PSF knows that light.",
    )


def mode_box() -> ComboBox:
    """Make the box that offers the modes which no recording tells by itself."""
    return ComboBox(
        label="Mode",
        tooltip="What kind of recording it is, where that cannot be seen: as recognised is an "
        "image, a volume or raw SIM frames.",
        choices=[("as recognised", None), *((mode.title, mode.name) for mode in offered())],
    )
