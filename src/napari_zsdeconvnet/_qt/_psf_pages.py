"""Where a PSF can come from: one page each, with what there is to ask.

A page turns its settings into a function that makes the PSF; the function runs in a worker.
Lengths are nanometres on the pages and micrometres everywhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from magicgui.types import FileDialogMode
from magicgui.widgets import CheckBox, ComboBox, FileEdit
from napari.layers import Image as ImageLayer

from ..errors import InputError
from ..psf import PSF
from ._choosers import image_layers
from ._forms import Form, number
from ._layers import layer_image

if TYPE_CHECKING:
    import napari.viewer

    from ._state import Optics

Maker = Callable[[], PSF]
Grid = tuple[float, float]

NANOMETRES = 1000.0
"""In a micrometre."""

PSF_FILES = "*.tif *.tiff *.mrc *.npy *.otf"


class Page(Protocol):
    """One way to a PSF."""

    title: str
    action: str
    tooltip: str
    form: Form

    def maker(self, grid: Grid | None) -> Maker:
        """Return what makes the PSF; `grid` is the output's pixel (y, x) in micrometres."""

    def reset_choices(self) -> None:
        """Offer the layers that the viewer holds now."""


class SimulatePage:
    """The PSF of an ideal widefield microscope."""

    title = "Simulate"
    action = "Simulate the PSF"
    tooltip = "Compute the PSF of an ideal widefield microscope from its optics."

    def __init__(self, optics: Optics) -> None:
        self._optics = optics
        self.na = number(
            "NA",
            optics.na,
            unit="",
            minimum=0.05,
            maximum=1.7,
            step=0.05,
            tooltip="Numerical aperture of the objective, as engraved on it; no unit.",
        )
        self.wavelength = number(
            "Emission",
            optics.wavelength * NANOMETRES,
            unit="nm",
            minimum=200,
            maximum=2000,
            step=5,
            decimals=0,
            tooltip="Wavelength of the light that the camera sees, in nanometres: of the "
            "emission, not of the excitation.",
        )
        self.refractive_index = number(
            "Refractive index",
            optics.refractive_index,
            unit="",
            minimum=1.0,
            maximum=2.0,
            step=0.01,
            decimals=3,
            tooltip="Of the immersion medium: air 1, water 1.33, oil 1.515; above the NA. It "
            "shapes the PSF only along z.",
        )
        self.form = Form(self.na, self.wavelength, self.refractive_index)

    def maker(self, grid: Grid | None) -> Maker:
        """Return what computes the PSF on the output grid."""
        if grid is None:
            raise InputError(
                "The raw pixel size is not known, and the PSF is computed on half of it; "
                "type it in nanometres."
            )
        optics = self._optics
        optics.na = float(self.na.value)
        optics.wavelength = float(self.wavelength.value) / NANOMETRES
        optics.refractive_index = float(self.refractive_index.value)
        na, wavelength, index = optics.na, optics.wavelength, optics.refractive_index
        return lambda: PSF.simulate(na, wavelength, grid, refractive_index=index)

    def reset_choices(self) -> None:
        """Offer the layers that the viewer holds now: none are asked for here."""


class FilePage:
    """A PSF that was measured or computed elsewhere."""

    title = "File"
    action = "Load the PSF"
    tooltip = "Read the PSF from a TIFF, MRC or .npy file; an MRC may hold a radial OTF."

    def __init__(self) -> None:
        self.path = FileEdit(
            label="File",
            mode=FileDialogMode.EXISTING_FILE,
            filter=f"PSF files ({PSF_FILES});;All files (*)",
            nullable=True,
            tooltip="TIFF, MRC (also a radially averaged OTF) or .npy.",
        )
        self.voxel_size = _pixel("Its pixel", "as the file says")
        self.in_focus = _plane_box()
        self.form = Form(self.path, self.voxel_size, self.in_focus)

    def maker(self, grid: Grid | None = None) -> Maker:
        """Return what reads the file."""
        path = self.path.value
        if not isinstance(path, Path) or str(path) in ("", "."):
            raise InputError("No file is chosen; choose a TIFF, MRC or .npy file with a PSF.")
        voxel_size, in_focus = _micrometres(self.voxel_size), bool(self.in_focus.value)

        def read() -> PSF:
            plane: Literal["focus"] | None = "focus" if in_focus else None
            if voxel_size is None:
                return PSF.read(path, plane=plane)
            # The box says the lateral pixel, which must not be taken for the step along z.
            return PSF.read(path, voxel_size=(voxel_size, voxel_size), plane=plane)

        return read

    def reset_choices(self) -> None:
        """Offer the layers that the viewer holds now: none are asked for here."""


class LayerPage:
    """A PSF that is open in the viewer already."""

    title = "Layer"
    action = "Take the PSF"
    tooltip = "Take a layer of the viewer, which shows the image of a single point, for the PSF."

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self.layer = ComboBox(
            label="Layer",
            tooltip="An image of a single point; its scale says its pixel size.",
            choices=lambda _: [one for one in viewer.layers if isinstance(one, ImageLayer)],
        )
        self.in_focus = _plane_box()
        self.form = Form(self.layer, self.in_focus)
        self._prefer_a_psf()

    def maker(self, grid: Grid | None) -> Maker:
        """Return what turns the layer into a PSF."""
        layer, in_focus = self.layer.value, bool(self.in_focus.value)
        if layer is None:
            raise InputError("There is no layer to take; open an image of a single point.")

        def take() -> PSF:
            image = layer_image(layer, unlabelled="ZT")
            psf = PSF.from_array(image.data, image.voxel_size, source=f"layer {layer.name!r}")
            return psf.plane() if in_focus else psf

        return take

    def reset_choices(self) -> None:
        """Offer the layers that the viewer holds now."""
        before = self.layer.choices
        self.layer.reset_choices()
        if self.layer.choices != before:
            self._prefer_a_psf()

    def _prefer_a_psf(self) -> None:
        named = [one for one in self.layer.choices if one is not None and "psf" in one.name.lower()]
        if named and self.layer.value not in named:
            self.layer.value = named[-1]


class BeadsPage:
    """A PSF from fluorescent beads much smaller than it."""

    title = "Beads"
    action = "Average the beads"
    tooltip = "Find the beads in an image, align them below the pixel and average them."

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self.layer = ComboBox(
            label="Bead image",
            tooltip="Beads on a dark background, recorded with the same optics.",
            choices=lambda _: image_layers(viewer),
        )
        self.voxel_size = _pixel("Its pixel", "as the layer says")
        self.diameter = number(
            "Diameter",
            0,
            unit="nm",
            maximum=5000,
            step=10,
            decimals=0,
            absent="not corrected for",
            tooltip="Of the beads, in nanometres; given, their own width is taken out.",
        )
        self.form = Form(self.layer, self.voxel_size, self.diameter)

    def maker(self, grid: Grid | None) -> Maker:
        """Return what averages the beads."""
        layer = self.layer.value
        if layer is None:
            raise InputError("There is no bead image; open one.")
        diameter, pixel = _micrometres(self.diameter), _micrometres(self.voxel_size)

        def average() -> PSF:
            image = layer_image(layer, unlabelled="ZT")
            voxel_size = image.voxel_size if pixel is None else (pixel, pixel)
            return PSF.from_beads(image, voxel_size, diameter=diameter)

        return average

    def reset_choices(self) -> None:
        """Offer the layers that the viewer holds now."""
        self.layer.reset_choices()


def _plane_box() -> CheckBox:
    return CheckBox(
        text="take the plane in focus of a volume",
        value=False,
        tooltip="Training on 2D images needs a 2D PSF. The plane in focus leaves out the haze of "
        "other depths, so it is taken only when you say so.",
    )


def _pixel(label: str, absent: str) -> Any:
    return number(
        label,
        0,
        unit="nm",
        maximum=10_000,
        step=1,
        decimals=2,
        absent=absent,
        tooltip="Lateral pixel size of the PSF's own grid, in nanometres.",
    )


def _micrometres(box: Any) -> float | None:
    """Return the length in the box; its smallest value stands for not given."""
    return float(box.value) / NANOMETRES if box.value > 0 else None
