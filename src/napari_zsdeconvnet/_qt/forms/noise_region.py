"""Which pixels of which planes a background box covers, and what is measured there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image as ImageLayer
from napari.viewer import Viewer
from numpy.typing import NDArray

from ...io.image import Image
from ...noise.dark_region import BackgroundFit, fit_background
from ..layers.layer_axes import Reading
from ..layers.layers import layer_image, shown_place
from ..layers.shapes import shapes_mask

if TYPE_CHECKING:
    from ...psf.psf import PSF
    from .noise_box import BackgroundBox

ALL_PLANES, NEAR_PLANES = "all planes", "planes around this one"
REACH = 2
"""Planes on either side of the one shown that are near."""


@dataclass(frozen=True)
class Region:
    """Where to measure: planes of a layer and the pixels of them that the shapes cover."""

    layer: ImageLayer
    reading: Reading
    place: tuple[int, ...]
    """Where the sliders stand, for each axis before Y, X."""
    planes: slice
    """Of a volume."""
    mask: NDArray[np.bool_]
    part: tuple[slice, slice]
    shapes: str
    """Which shapes, in words."""

    @property
    def words(self) -> str:
        """Say which shapes and planes are measured; nothing where there is no choice."""
        if self.reading.spatial == "YX":
            return self.shapes
        if self.planes == slice(None):
            return f"{self.shapes}In all planes: "
        return f"{self.shapes}In planes {self.planes.start} to {self.planes.stop - 1}: "


def region_of(
    viewer: Viewer,
    layer: ImageLayer,
    reading: Reading,
    box: BackgroundBox,
    *,
    near: bool = False,
) -> Region:
    """Collect what the worker needs: the shapes that count and where the sliders stand.

    With ``near`` only the planes around the one shown are measured. Raises InputError if the shapes
    enclose none of the pixels.
    """
    assert box.layer is not None
    mask, part = shapes_mask(box.layer, layer, box.chosen)
    place = shown_place(layer, viewer, reading)
    planes = slice(None)
    if reading.spatial == "ZYX" and near:
        planes = slice(max(place[-1] - REACH, 0), place[-1] + REACH + 1)
    return Region(layer, reading, place, planes, mask, part, box.words)


def fit(region: Region, gain: float | None) -> BackgroundFit:
    """Measure a region, in a worker."""
    shown = at_place(layer_image(region.layer, region.reading), region.place)
    pixels = shown.data[region.planes] if shown.data.ndim == 3 else shown.data
    mask = np.zeros(pixels.shape[-2:], dtype=bool)
    mask[region.part] = region.mask
    return fit_background(
        pixels,
        mask,
        gain=gain,
        planes=shown.data.ndim == 3,
        name=f"layer {region.layer.name!r}",
    )


def at_place(image: Image, place: tuple[int, ...]) -> Image:
    """Return the one image or volume that the sliders stand at."""
    if "T" not in image.axes:
        return image
    return replace(image, data=image.data[place[image.axes.index("T")]], axes=image.axes[1:])


def cutoff_of(psf: PSF | None, reading: Reading) -> float | None:
    """Return the optical cutoff in cycles per raw pixel, where PSF and pixel tell it."""
    if psf is None or psf.voxel_size is None or reading.voxel_size is None:
        return None
    return psf.otf_cutoff * max(reading.voxel_size[-2:])
