"""Whether a model suits a layer, said before it is applied."""

from __future__ import annotations

from functools import partial
from math import isclose
from typing import TYPE_CHECKING

from napari.layers import Image as ImageLayer
from qtpy.QtWidgets import QLabel

from ...io.units import PIXEL_SIZE_TOLERANCE
from ..layers.layer_axes import Reading
from .forms import say

if TYPE_CHECKING:
    from ...model.model import Model
    from .choosers import ImageChooser


def show_mismatch(label: QLabel, model: Model | None, image: ImageChooser) -> None:
    """Say in a label how the model and the chosen image do not suit each other; else hide it."""
    text = ""
    if model is not None and image.layer is not None and image.reading is not None:
        text = mismatch(model, image.layer, image.reading)
    say(label, text and f"⚠ {text}")


def mismatch(model: Model, layer: ImageLayer, reading: Reading) -> str:
    """Say how the layer differs from what the model was trained on; empty where it does not."""
    if model.axes != reading.spatial:
        made, given = ("volumes", "images") if model.axes == "ZYX" else ("images", "volumes")
        return (
            f"The model is for {made} and the layer is read as a {reading.kind}: load a model for "
            f"{given}, or correct 'Read as'."
        )
    trained, size = model.voxel_size, reading.voxel_size
    if trained is None or (size is not None and _same_size(size, trained)):
        return ""
    if model.reconstruction is not None:
        return (
            f"The model is for reconstructions of raw SIM with pixels of {_nm(trained)}: raw "
            "frames are deconvolved in the SIM window."
        )
    element = "voxel" if model.axes == "ZYX" else "pixel"
    if size is None:
        return (
            f"The layer has no {element} size; the model was trained on {_nm(trained)}. Make sure "
            "it is the same."
        )
    return (
        f"The layer has {element}s of {_nm(size)} and the model was trained on {_nm(trained)}: "
        f"train a model for this {element} size."
    )


def _same_size(size: tuple[float, ...], trained: tuple[float, ...]) -> bool:
    return all(map(partial(isclose, rel_tol=PIXEL_SIZE_TOLERANCE), size, trained))


def _nm(voxel_size: tuple[float, ...]) -> str:
    """Say a size in nanometres, z, y and x, or one number for square pixels."""
    shown = voxel_size[-1:] if len(voxel_size) == 2 else voxel_size
    return " x ".join(f"{1000 * size:.4g}" for size in shown) + " nm"
