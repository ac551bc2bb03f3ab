"""A result as a file, without the way through napari's menu, which offers other writers first."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from napari.layers import Image as ImageLayer
from qtpy.QtWidgets import QWidget

from ..forms.forms import save_file
from ..layers.writer import OME_FILES, save_layer
from ..workers.notifications import show_error, show_info
from ..workers.workers import in_background


def ask_where_to_save(owner: QWidget, result: ImageLayer | None) -> None:
    """Ask for a file, and write the layer of a result; None says that it was removed."""
    if result is None:
        show_error("The deconvolved layer is not there any more; deconvolve again.")
        return
    # What memory does not hold lies in a temporary OME-Zarr, and stays one.
    files = OME_FILES[::-1] if result.multiscale else OME_FILES
    name = f"{result.name}{_ending(result)}"
    save_file(owner, "Save the result", name, ";;".join(files), partial(save_result, owner, result))


def save_result(owner: QWidget, result: ImageLayer, path: str) -> None:
    """Write a layer as OME-TIFF or OME-Zarr, with its axes and pixel size.

    A name without an ending gets one, unless there is such a file. No folder is replaced.
    """
    known = path.lower().endswith((".tif", ".tiff", ".zarr"))
    whole = path if known else f"{path}{_ending(result)}"
    if Path(whole).is_dir() or (whole != path and Path(whole).exists()):
        show_error(f"{whole} is there already; type another name.")
        return
    in_background(
        owner,
        "saving a result",
        partial(save_layer, result, whole),
        lambda _: show_info(f"Result saved to {whole}."),
    )


def _ending(result: ImageLayer) -> str:
    """Return what the name of a result ends in, unless another one is chosen."""
    return ".ome.zarr" if result.multiscale else ".ome.tif"
