"""How raw frames are reconstructed: Wiener constant, notch, apodisation and PSF."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox

from .forms import Form, number

if TYPE_CHECKING:
    from ...psf.psf import PSF
    from ..layers.state import ViewerState


class ReconstructionForm(Form):
    """Asks for what `Reconstruction` takes beside the patterns."""

    def __init__(self, state: ViewerState) -> None:
        self._state = state
        self.wiener = number(
            "Wiener constant",
            0.1,
            unit="",
            minimum=0.001,
            maximum=10,
            step=0.02,
            decimals=3,
            tooltip="Weighs noise against sharpness: larger is smoother.",
        )
        self.notch = number(
            "Notch",
            0.9,
            unit="",
            maximum=1,
            step=0.1,
            tooltip="By how much the middle of the shifted orders is damped, 0 to 1: against a "
            "honeycomb from light out of focus.",
        )
        self.apodisation = number(
            "Apodisation",
            1.0,
            unit="",
            maximum=4,
            step=0.1,
            tooltip="How steeply the spectrum falls towards its edge: less is sharper and rings "
            "more.",
        )
        self.own_psf = CheckBox(
            text="with the PSF of the PSF window",
            tooltip="Take the microscope's PSF from there, on the raw grid or on one twice as "
            "fine, in place of an ideal objective's.",
        )
        super().__init__(self.wiener, self.notch, self.apodisation, self.own_psf)

    @property
    def psf(self) -> PSF | None:
        """The PSF of the viewer where it is wanted, else None for an ideal objective's."""
        return self._state.psf if self.own_psf.value else None

    def settings(self) -> dict[str, Any]:
        """Return what was chosen, as `Reconstruction` takes it."""
        return {
            "wiener": float(self.wiener.value),
            "notch": float(self.notch.value),
            "apodisation": float(self.apodisation.value),
            "psf": self.psf,
        }
