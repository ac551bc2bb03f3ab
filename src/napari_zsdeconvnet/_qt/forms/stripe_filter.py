"""The choice of *Deconvolve* to damp stripes, with a picture of what is damped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, FloatSpinBox
from napari.viewer import Viewer
from qtpy.QtWidgets import QWidget

from ...physics.stripe_filter import Damping
from ...utils.errors import InputError
from ..layers.layer_axes import pixels_of
from ..layers.layers import beside, kept_layer, show_kept
from ..workers.notifications import show_error
from .forms import Form, button, number, stack

if TYPE_CHECKING:
    from .choosers import ImageChooser

MASK_NAME = "Damping mask"
_KEY = ("damping", MASK_NAME)
_LARGEST = 0.25


class DampingForm(QWidget):
    """Whether stripes are damped before the deconvolution, and along which line."""

    def __init__(self, viewer: Viewer, image: ImageChooser) -> None:
        super().__init__()
        self._viewer = viewer
        self._image = image
        usual = Damping()
        self.wanted = CheckBox(
            text="Damp stripes",
            tooltip="Take out stripes that run all across the field, left by the camera or a "
            "galvo mirror: the line that they make in Fourier space is damped, plane by plane. "
            "The counts stay.",
        )
        self.axis = ComboBox(
            label="Stripe direction",
            choices=[("horizontal", "Y"), ("vertical", "X")],
            value=usual.axis,
            tooltip="Horizontal stripes differ from row to row and make a vertical line in Fourier "
            "space; vertical ones differ from column to column.",
        )
        self.half_width = _frequency(
            "Half width",
            usual.half_width,
            "Half the width of the damped line, in cycles per pixel: stripes that stay alike over "
            "more pixels than one over this are damped; wavy ones need a wider line.",
        )
        self.keep = _frequency(
            "Keep below",
            usual.keep,
            "Frequency along the line below which nothing is touched, in cycles per pixel: the "
            "shape of the sample, and stripes broader than half of one over this, remain.",
        )
        self.mask_button = button(
            "Show mask",
            self.show_mask,
            "Add the weights of all frequencies as a layer beside the image, the frequency zero in "
            "its middle: dark is damped.",
        )
        self.settings = Form(self.axis, self.half_width, self.keep)
        stack(self, self.wanted.native, self.settings, self.mask_button)
        self.wanted.changed.connect(self._on_wanted)
        for box in (self.axis, self.half_width, self.keep):
            box.changed.connect(self._on_changed)
        self._on_wanted()

    @property
    def chosen(self) -> Damping | None:
        """The damping that is wanted, or None."""
        if not self.wanted.value:
            return None
        return Damping(self.axis.value, float(self.half_width.value), float(self.keep.value))

    def show_mask(self) -> None:
        """Show the weights of all frequencies, in the same layer each time."""
        layer = self._image.layer
        if layer is None:
            show_error("there is no image to damp stripes in; open one first.")
            return
        try:
            damping = self.chosen
            if damping is None:
                return
            rows, columns = pixels_of(layer).shape[-2:]
            mask = damping.mask((rows, columns))
        except InputError as error:
            show_error(error)
            return
        scale = tuple(abs(float(step)) for step in layer.scale[-2:])
        place = beside(layer, mask.shape, scale)
        new = not self._shown
        like: dict[str, Any] = {"contrast_limits": (0, 1), "axis_labels": ("y", "x")}
        show_kept(self._viewer, _KEY, mask, place, name=MASK_NAME, **like)
        if new:
            self._viewer.layers.selection.active = layer
            self._viewer.reset_view()

    @property
    def _shown(self) -> bool:
        return kept_layer(self._viewer, _KEY) is not None

    def _on_wanted(self) -> None:
        self.settings.setVisible(bool(self.wanted.value))
        self.mask_button.setVisible(bool(self.wanted.value))

    def _on_changed(self) -> None:
        if self._shown and self.wanted.value:
            self.show_mask()


def _frequency(label: str, value: float, tooltip: str) -> FloatSpinBox:
    return number(
        label,
        value,
        unit="cycles/pixel",
        minimum=0.0005,
        maximum=_LARGEST,
        step=0.001,
        decimals=4,
        tooltip=tooltip,
    )
