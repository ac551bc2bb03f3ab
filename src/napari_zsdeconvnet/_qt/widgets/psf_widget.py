"""The dock widget *PSF*: simulate it, load it, take a layer or average beads; see it."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QTabWidget, QVBoxLayout, QWidget

from ...utils.errors import InputError
from ..forms.action_panel import CANCELLED
from ..forms.choosers import ImageChooser
from ..forms.forms import Form, button, fill, in_row, note, save_file
from ..forms.optics_boxes import optics_box
from ..forms.panel import Panel
from ..forms.psf_pages import BeadsPage, FilePage, Grid, LayerPage, Maker, Page, SimulatePage
from ..layers.layer_axes import layer_voxel_size
from ..layers.layers import beside, show_kept
from ..plots.plots import PSFProfile
from ..plots.psf_picture import PSFPicture
from ..workers.connections import alive, follow
from ..workers.notifications import show_error, show_info
from ..workers.window_text import NANOMETRES, worded
from ..workers.workers import Job, in_background

if TYPE_CHECKING:
    import napari.viewer

    from ...psf.psf import PSF

LAYER_NAME = "PSF"


class PSFWidget(Panel):
    """Finds the PSF of the microscope that took an image of the viewer.

    It is put on the grid of the output (of images half the raw pixel), shown as a layer, as a
    profile and as two views where it goes through focus, and goes to the viewer's shared state,
    where the training finds it.
    """

    title = "PSF"

    def __init__(self, viewer: napari.viewer.Viewer, *, parent: QWidget | None = None) -> None:
        super().__init__(viewer, parent)
        self._job: Job[Any, PSF] | None = None
        self._failure = ""  # why the last one could not be made

        self._build()
        self.image.changed.connect(self._on_image_changed)
        follow(self, self._state.upsample_changed, self._on_pixel_changed)
        self.pixel_box.changed.connect(self._on_pixel_changed)
        self.tabs.currentChanged.connect(self._on_page_changed)
        follow(self, self._state.psf_changed, self._show)
        self._on_image_changed()
        self._on_page_changed()
        self._show(self._state.psf)

    def _build(self) -> None:
        self.image = ImageChooser(
            self._viewer,
            "The raw image or volume that the PSF is for; its scale says the raw pixel.",
            owner=self,
        )
        self.pixel_box = optics_box("pixel_size", absent="not known")
        self.form = Form()
        self.form.add_image(self.image)
        self.form.add(self.pixel_box)
        self.grid_note = note()

        self.simulate_page = SimulatePage(self._state.optics)
        self.file_page = FilePage()
        self.layer_page = LayerPage(self._viewer)
        self.beads_page = BeadsPage(self._viewer)
        self.pages: tuple[Page, ...] = (
            self.simulate_page,
            self.file_page,
            self.layer_page,
            self.beads_page,
        )
        self.tabs = QTabWidget()
        for page in self.pages:
            holder = QWidget()
            layout = QVBoxLayout(holder)
            layout.setContentsMargins(4, 4, 4, 4)
            layout.addWidget(page.form)
            layout.addStretch(1)
            self.tabs.setTabToolTip(self.tabs.addTab(holder, page.title), page.tooltip)

        self.make_button = button("", lambda: self.cancel() if self.busy else self.make())
        self.picture = PSFPicture()
        self.profile = PSFProfile(self._viewer)
        self.profile.setToolTip(
            "Lines through the centre of the PSF; the dashed line is where its width is read."
        )
        self.description = note()
        self.save_button = button(
            "Save the PSF…", self._on_save, "Write the PSF on its grid as TIFF or .npy."
        )
        fill(
            self.body,
            *(self.form, self.grid_note, self.tabs),
            in_row(self.make_button, self.save_button),
            *(self.picture, self.profile, self.description),
        )
        self.body.addStretch(1)

    def reset_choices(self, _: Any = None) -> None:
        """Offer the layers that the viewer holds now; napari calls it when they change."""
        if not alive(self):
            return
        self.image.reset_choices()
        for page in self.pages:
            page.reset_choices()

    # ------------------------------------------------------------------ making it

    @property
    def busy(self) -> bool:
        """Whether a PSF is being made."""
        return self._job is not None and self._job.running

    @property
    def page(self) -> Page:
        """The page in front."""
        return self.pages[self.tabs.currentIndex()]

    def make(self) -> None:
        """Make the PSF as the page in front says."""
        grid = self._grid()
        self.simulate_page.ask_for(self.image.spatial, self._stack())
        try:
            maker = self.page.maker(grid)
        except InputError as error:
            self._on_failure(error)
            return
        self._failure = ""
        self._job = in_background(
            self,
            "making a PSF",
            partial(_on_grid, maker, grid),
            self._on_made,
            on_failure=self._on_failure,
            on_end=self._on_page_changed,
        )
        self._on_page_changed()

    def cancel(self) -> None:
        """Give up the PSF that is being made."""
        if self._job is not None and self.busy:
            self._job.stop()
            self._failure = CANCELLED
            self._say_of(self._state.psf)
            self.make_button.setEnabled(False)

    def _on_failure(self, error: Exception) -> None:
        """Say that what is shown is not what was asked for."""
        show_error(error)
        before = "" if self._state.psf is None else "\nThe PSF below is the one of before:"
        self._failure = f"⚠ {worded(error)}{before}"
        self._say_of(self._state.psf)

    def _on_made(self, psf: PSF) -> None:
        self._state.psf = psf
        self._show_layer(psf)

    @property
    def _upsampling(self) -> int:
        return self._state.upsampling(self.image.spatial)

    def _grid(self) -> Grid | None:
        """Return the output's ([z,] y, x) in micrometres, or None where it is not known."""
        if self.pixel_box.value <= 0:
            return None
        pixel = float(self.pixel_box.value) / NANOMETRES
        known, times = self._layer_pixel(), self._upsampling
        lateral = (pixel / times, pixel / times)
        if known is not None and math.isclose(known[1], pixel, abs_tol=0.01 / NANOMETRES):
            lateral = (known[0] / times, known[1] / times)
        if self.image.spatial == "YX":
            return lateral
        step = self.image.axial_step
        return None if step is None else (step, *lateral)

    def _stack(self) -> tuple[int, ...] | None:
        """Return the shape of the volume on the output's grid, or None where it is none."""
        layer = self.image.layer
        if layer is None or self.image.spatial != "ZYX":
            return None
        planes, rows, columns = layer.data.shape[-3:]
        return planes, self._upsampling * rows, self._upsampling * columns

    def _layer_pixel(self) -> tuple[float, float] | None:
        """Return what the layer says of the raw pixel (y, x), also where its step is not known."""
        layer = self.image.layer
        try:
            voxel_size = None if layer is None else layer_voxel_size(layer, "YX")
        except InputError:  # said in full by the widgets that use the pixels
            return None
        return None if voxel_size is None else (voxel_size[-2], voxel_size[-1])

    # ------------------------------------------------------------------ what the window shows

    def _on_image_changed(self) -> None:
        if not alive(self):
            return
        self.simulate_page.ask_for(self.image.spatial, self._stack())
        pixel = self._layer_pixel()
        if pixel is not None:
            self.pixel_box.value = pixel[1] * NANOMETRES
        elif self._state.optics.pixel_size is not None:
            self.pixel_box.value = self._state.optics.pixel_size * NANOMETRES
        self._on_pixel_changed()

    def _on_pixel_changed(self) -> None:
        if not alive(self):
            return
        if self.pixel_box.value > 0:
            self._state.optics.pixel_size = float(self.pixel_box.value) / NANOMETRES
        self.grid_note.setText(self._grid_words())
        self._say_of(self._state.psf)

    def _grid_words(self) -> str:
        grid = self._grid()
        if grid is None and self.pixel_box.value > 0:
            return "The step between planes is not known: type it in (Plane step)."
        if grid is None:
            return "The raw pixel is not known: type it in, or give the layer a scale."
        share = "half the raw pixel" if self._upsampling == 2 else "the raw pixel"
        if len(grid) == 3:
            share += " and the step between planes"
        lines = [f"Output grid: {_nm(grid)}, {share}."]
        known, pixel = self._layer_pixel(), grid[-1] * self._upsampling
        if known is None and self.image.layer is not None:
            lines.append("The layer itself says no pixel size.")
        elif known is not None and not math.isclose(known[1], pixel, rel_tol=0.01):
            lines.append(f"Take care: the layer's scale says {_nm(known)} for the raw pixel.")
        return " ".join(lines)

    def _on_page_changed(self) -> None:
        self.make_button.setEnabled(True)
        self.make_button.setText("Cancel" if self.busy else self.page.action)
        self.make_button.setToolTip(
            "Give up the PSF that is being made." if self.busy else self.page.tooltip
        )

    def _show(self, psf: PSF | None) -> None:
        """Draw the PSF of the state, which may also come from elsewhere."""
        if not alive(self):
            return
        self.save_button.setEnabled(psf is not None)
        self.picture.show_psf(psf)
        self._say_of(psf)
        if psf is None:
            self.profile.clear_profiles()
            return
        self.profile.show_profiles(
            {letter: psf.profile(axis) for axis, letter in enumerate(psf.axes)},
            reach=_reach(psf),
            unit="µm" if psf.voxel_size else "pixels",
        )

    def _say_of(self, psf: PSF | None) -> None:
        lines = [*_facts(psf), *self._cautions(psf)] if psf else ["No PSF yet."]
        self.description.setText("\n".join([*filter(None, [self._failure]), *lines]))

    def _cautions(self, psf: PSF) -> list[str]:
        grid = self._grid()
        lines = list(psf.warnings)
        wanted = len(self.image.spatial)
        if psf.array.ndim > wanted:
            lines.append(
                "This PSF is a volume: training on 2D images needs one plane of it; tick 'take "
                "the plane in focus of a volume'."
            )
        if psf.array.ndim < wanted:
            lines.append(
                "This PSF is a single plane: training on volumes needs one through focus; simulate "
                "it for the volume or measure a stack of beads."
            )
        if psf.voxel_size is not None and grid is not None:
            axes = min(len(psf.voxel_size), len(grid))
            if not np.allclose(psf.voxel_size[-axes:], grid[-axes:], rtol=0.01):
                lines.append(
                    f"The grid of this PSF is {_nm(psf.voxel_size[-axes:])} and the output's "
                    f"{_nm(grid[-axes:])}: make it again for this image."
                )
        return [f"Take care: {line}" for line in lines]

    def _show_layer(self, psf: PSF) -> None:
        """Show the PSF beside the image, in the same layer each time."""
        layer = show_kept(
            self._viewer,
            ("psf", LAYER_NAME),
            psf.array,
            self._beside(psf),
            name=LAYER_NAME,
            gamma=0.5,  # brings out the faint rings and the haze
            axis_labels=tuple(psf.axes.lower()),
        )
        layer.contrast_limits_range = layer.contrast_limits = (0.0, float(psf.array.max()))

    def _beside(self, psf: PSF) -> dict[str, Any]:
        """Return scale, translation and units that put the PSF to the right of the image.

        The units are those of the image: where they differ between layers, napari uses none.
        """
        layer, grid, ndim = self.image.layer, self._grid(), psf.array.ndim
        if layer is None:
            units = "pixel" if psf.voxel_size is None else "micrometer"
            return {"scale": psf.steps, "translate": (0.0,) * ndim, "units": (units,) * ndim}
        unit = abs(float(layer.scale[-1]))
        if psf.voxel_size is None:
            # Along z as the layer's own planes, where it has any.
            step = abs(float(layer.scale[-3])) if layer.ndim > 2 else unit
            scale = (step, unit / self._upsampling, unit / self._upsampling)[-ndim:]
        elif grid is None:
            scale = psf.voxel_size
        else:
            raw_pixel = (self._layer_pixel() or (0.0, self._upsampling * grid[-1]))[1]
            scale = tuple(step * unit / raw_pixel for step in psf.voxel_size)
        return beside(layer, psf.array.shape, scale)

    # ------------------------------------------------------------------ keeping it

    def _on_save(self) -> None:
        files = "PSF files (*.tif *.tiff *.npy)"
        save_file(self, "Save the PSF", "psf.tif", files, self.save)

    def save(self, path: str) -> None:
        """Write the PSF to a file."""
        if self._state.psf is None:
            show_error("There is no PSF to save yet; make one first.")
            return
        write = partial(self._state.psf.write, path)
        in_background(self, "saving a PSF", write, lambda _: show_info(f"PSF saved to {path}."))


def _on_grid(maker: Maker, grid: Grid | None) -> PSF:
    """Make the PSF and put it on the output's grid, where both pixel sizes are known."""
    psf = maker()
    if grid is None or psf.voxel_size is None:
        return psf
    # Where one has planes and the other has none, across the field alone.
    axes = min(len(grid), len(psf.voxel_size))
    return psf.resampled((*psf.voxel_size[:-axes], *grid[-axes:]))


def _reach(psf: PSF) -> float:
    """Return how far the profile is shown: to the second dark ring, where it gets there."""
    extent = max(n * step for n, step in zip(psf.array.shape, psf.steps, strict=True)) / 2
    widths = [width for width in psf.fwhm if not math.isnan(width)]
    return float(min(extent, 4 * max(widths)) if widths else extent)


def _facts(psf: PSF) -> list[str]:
    shape = " x ".join(str(length) for length in psf.array.shape)
    if psf.voxel_size is None:
        grid = "pixels of unknown size, taken for the output's"
        width = ", ".join(f"{w:.2f} ({a.lower()})" for w, a in zip(psf.fwhm, psf.axes, strict=True))
        width += " pixels"
    else:
        grid = f"pixels of {_nm(psf.voxel_size)}"
        width = ", ".join(
            "cut off" if math.isnan(w) else f"{w * NANOMETRES:.0f} nm ({a.lower()})"
            for w, a in zip(psf.fwhm, psf.axes, strict=True)
        )
    period = 1 / psf.otf_cutoff
    finest = f"{period * NANOMETRES:.0f} nm" if psf.voxel_size else f"{period:.3g} pixels"
    return [
        f"From: {psf.source}",
        f"Grid: {shape} {grid}",
        f"FWHM: {width}",
        f"Finest period: {finest}",
    ]


def _nm(lengths: tuple[float, ...]) -> str:
    """Say lengths given in micrometres, once where they are all the same."""
    different = lengths if max(lengths) > 1.001 * min(lengths) else lengths[-1:]
    return " x ".join(f"{length * NANOMETRES:.4g}" for length in different) + " nm"
