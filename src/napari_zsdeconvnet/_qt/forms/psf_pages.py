"""Where a PSF can come from: one page each, with what there is to ask.

A page turns its settings into a function that makes the PSF; the function runs in a worker.
Lengths are nanometres on the pages and micrometres everywhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from magicgui.types import FileDialogMode
from magicgui.widgets import CheckBox, ComboBox, FileEdit
from napari.layers import Image as ImageLayer
from napari.viewer import Viewer

from ...psf.psf import PSF
from ...utils.errors import InputError
from ..layers.layer_axes import VOLUME, Reading, read_as, usual_reading
from ..layers.layers import layer_image
from ..workers.window_text import NANOMETRES
from .choosers import image_layers, psf_layers
from .forms import Form, number
from .optics_boxes import QUANTITIES, modality_box, optics_box

if TYPE_CHECKING:
    from ..layers.state import Optics

Maker = Callable[[], PSF]
Grid = tuple[float, ...]
"""Of the output, (y, x) or for a volume (z, y, x), in micrometres."""

PSF_FILES = "*.tif *.tiff *.mrc *.npy *.otf"


class Page:
    """One way to a PSF."""

    title: str
    action: str
    tooltip: str
    form: Form

    def maker(self, grid: Grid | None) -> Maker:
        """Return what makes the PSF; `grid` is the output's, where it is known."""
        raise NotImplementedError

    def reset_choices(self) -> None:
        """Offer the layers that the viewer holds now, where some are asked for."""


_ASKED = {
    "na": None,
    "wavelength": None,
    "excitation_wavelength": "confocal",
    "pinhole": "confocal",
    "sheet_thickness": "light-sheet",
    "refractive_index": None,
}
"""The optics of a PSF in the order of their boxes, each with the microscope that it is asked of."""


class SimulatePage(Page):
    """The PSF of an ideal microscope."""

    title = "Simulate"
    action = "Simulate the PSF"
    tooltip = "Compute the PSF of an ideal microscope from its optics."

    def __init__(self, optics: Optics) -> None:
        self._optics = optics
        self.modality = modality_box()
        self.boxes = {name: optics_box(name, getattr(optics, name)) for name in _ASKED}
        self.na, self.wavelength = self.boxes["na"], self.boxes["wavelength"]
        self.planes = number(
            "Planes",
            0,
            unit="",
            maximum=999,
            decimals=0,
            absent="as needed",
            tooltip="Planes of the PSF, an odd number; as needed takes as many as the stack can "
            "see.",
        )
        self.form = Form(self.modality, *self.boxes.values(), self.planes)
        self._deep = False
        self._stack: tuple[int, ...] | None = None
        self.modality.changed.connect(self._ask_what_applies)
        self._ask_what_applies()

    def ask_for(self, spatial: str, stack: tuple[int, ...] | None = None) -> None:
        """Ask what a PSF for images ("YX") or volumes ("ZYX") needs.

        The PSF of a volume is as deep and wide as ``stack`` (Z, Y, X) can see, in voxels of the
        output.
        """
        self._deep = spatial == "ZYX"
        self._stack = stack
        self._ask_what_applies()

    def _ask_what_applies(self) -> None:
        for name, box in self.boxes.items():
            box.visible = _ASKED[name] in (None, self.modality.value)
        self.planes.visible = self._deep

    def maker(self, grid: Grid | None) -> Maker:
        """Return what computes the PSF on the output grid."""
        if grid is None:
            raise InputError(
                "pixel-size-unknown",
                "The raw pixel size or the step between planes is not known, and the PSF is "
                "computed on their grid; type them in."
                if self._deep
                else "The raw pixel size is not known, and the PSF is computed on half of it; "
                "type it in nanometres.",
            )
        settings: dict[str, Any] = {"pixel_size": grid[-2:], "modality": self.modality.value}
        for name, box in self.boxes.items():
            value = float(box.value) / QUANTITIES[name].shown
            setattr(self._optics, name, value)
            if _ASKED[name] in (None, self.modality.value):
                settings[name] = value
        if settings.get("pinhole") == 0:
            settings["pinhole"] = None  # a point
        if len(grid) == 3:
            settings["axial_step"] = grid[0]
            settings["planes"] = int(self.planes.value) or None
            settings["stack"] = self._stack
        return lambda: PSF.simulate(**settings)


class FilePage(Page):
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
        self.voxel_size = _pixel("PSF pixel size", "as the file says")
        self.step = _step("as the file says")
        self.axes = _axes_box()
        self.in_focus = _plane_box()
        self.form = Form(self.path, self.voxel_size, self.step, self.axes, self.in_focus)

    def maker(self, grid: Grid | None = None) -> Maker:
        """Return what reads the file."""
        path = self.path.value
        if not isinstance(path, Path) or str(path) in ("", "."):
            raise InputError(
                "psf-file-not-chosen",
                "No file is chosen; choose a TIFF, MRC or .npy file with a PSF.",
            )
        pixel, step = _micrometres(self.voxel_size), _micrometres(self.step)
        in_focus, axes = bool(self.in_focus.value), self.axes.value
        if step is not None and pixel is None:
            raise InputError(
                "psf-pixel-size-untyped",
                "The PSF's plane step is typed and its pixel is not; type both, or neither where "
                "the file says them.",
            )

        def read() -> PSF:
            plane: Literal["focus"] | None = "focus" if in_focus else None
            if pixel is None:
                return PSF.read(path, plane=plane, axes=axes)
            # The lateral pixel must not be taken for the step along z.
            lateral = (pixel, pixel)
            size = lateral if step is None else (step, *lateral)
            return PSF.read(path, size, plane=plane, axes=axes)

        return read


class LayerPage(Page):
    """A PSF that is open in the viewer already."""

    title = "Layer"
    action = "Take the PSF"
    tooltip = "Take a layer of the viewer, which shows the image of a single point, for the PSF."

    def __init__(self, viewer: Viewer) -> None:
        self.layer = ComboBox(
            label="Layer",
            tooltip="An image of a single point; its scale says its pixel size.",
            choices=lambda _: psf_layers(viewer),
        )
        self.axes = _axes_box()
        self.in_focus = _plane_box()
        self.form = Form(self.layer, self.axes, self.in_focus)
        self._prefer_a_psf()

    def maker(self, grid: Grid | None) -> Maker:
        """Return what turns the layer into a PSF."""
        layer, in_focus = self.layer.value, bool(self.in_focus.value)
        axes = self.axes.value
        if layer is None:
            raise InputError(
                "layer-missing", "There is no layer to take; open an image of a single point."
            )

        def take() -> PSF:
            image = layer_image(layer, _deep_reading(layer))
            psf = PSF.from_array(
                np.asarray(image.data),
                image.voxel_size,
                source=f"layer {layer.name!r}",
                axes=axes,
            )
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


class BeadsPage(Page):
    """A PSF from fluorescent beads much smaller than it."""

    title = "Beads"
    action = "Average the beads"
    tooltip = "Find the beads in an image, align them below the pixel and average them."

    def __init__(self, viewer: Viewer) -> None:
        self.layer = ComboBox(
            label="Bead image",
            tooltip="Beads on a dark background, recorded with the same optics.",
            choices=lambda _: image_layers(viewer),
        )
        self.voxel_size = _pixel("PSF pixel size", "as the layer says")
        self.step = _step("as the layer says")
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
        self.size = number(
            "Crop size",
            0,
            unit="pixels",
            maximum=999,
            decimals=0,
            absent="as needed",
            tooltip="Pixels across the crop of each bead, an odd number; smaller ones fit between "
            "beads that are near one another. As needed takes eight widths of a bead.",
        )
        self.form = Form(self.layer, self.voxel_size, self.step, self.diameter, self.size)

    def maker(self, grid: Grid | None) -> Maker:
        """Return what averages the beads."""
        layer = self.layer.value
        if layer is None:
            raise InputError("layer-missing", "There is no bead image; open one.")
        diameter, pixel = _micrometres(self.diameter), _micrometres(self.voxel_size)
        step, size = _micrometres(self.step), int(self.size.value) or None
        reading = _deep_reading(layer)

        def average() -> PSF:
            image = layer_image(layer, reading)
            voxel_size = image.voxel_size
            if pixel is not None:
                voxel_size = (pixel, pixel)
                if reading.spatial == "ZYX":
                    if step is None:
                        raise InputError(
                            "axial-step-untyped",
                            "The beads are a volume and its plane step is not typed; type it in "
                            "nanometres, too.",
                        )
                    voxel_size = (step, *voxel_size)
            return PSF.from_beads(image, voxel_size, diameter=diameter, size=size)

        return average

    def reset_choices(self) -> None:
        """Offer the layers that the viewer holds now."""
        self.layer.reset_choices()


def _axes_box() -> ComboBox:
    return ComboBox(
        label="PSF axes",
        choices=[
            ("as it says", None),
            *(("Y, X, Z", "YXZ"), ("Y, Z, X", "YZX"), ("X, Y, Z", "XYZ"), ("Z, X, Y", "ZXY")),
        ],
        tooltip="The order of its axes where it is not Z, Y, X. A PSF is about as wide along Y as "
        "along X.",
    )


def _plane_box() -> CheckBox:
    return CheckBox(
        text="take the plane in focus of a volume",
        value=False,
        tooltip="Training on 2D images needs a 2D PSF. The plane in focus leaves out the haze of "
        "other depths, so it is taken only when you say so.",
    )


def _deep_reading(layer: ImageLayer) -> Reading:
    """Read three axes that tell nothing as a volume: a PSF is no time series."""
    return read_as(layer, usual_reading(layer, otherwise=VOLUME))


def _step(absent: str) -> Any:
    return number(
        "Its plane step",
        0,
        unit="nm",
        maximum=100_000,
        step=10,
        decimals=2,
        absent=absent,
        tooltip="Step between the planes of the PSF's own volume, in nanometres.",
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
