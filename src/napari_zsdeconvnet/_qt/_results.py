"""What a model makes of a layer, as layers over it; and the way back from there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._layers import add_or_update, made_before
from ._state import Made, ViewerState

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image as ImageLayer

    from ..inference import Result

DENOISED, DECONVOLVED = "denoised", "deconvolved"


def result_name(layer: ImageLayer, what: str) -> str:
    """Name the layer that shows what was made of another."""
    return f"{layer.name} {what}"


def show_result(
    viewer: napari.viewer.Viewer, layer: ImageLayer, made: Made, result: Result
) -> list[ImageLayer]:
    """Show the denoised and the deconvolved image over the layer that they were made from.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where to show them.
    layer : napari.layers.Image
        The raw layer.
    made : Made
        The model, and how it has read the layer.
    result : Result
        What it made.

    Returns
    -------
    list of napari.layers.Image
        Denoised and deconvolved.
    """
    shown = [
        add_or_update(
            viewer,
            result_name(layer, what),
            pixels,
            like=layer,
            axes=made.reading.axes,
            upsampling=upsampling,
            metadata={"model": made.model.describe()},
        )
        for what, pixels, upsampling in (
            (DENOISED, result.denoised, 1),
            (DECONVOLVED, result.deconvolved, made.model.upsampling),
        )
    ]
    for one in shown:
        ViewerState.of(viewer).made[one] = made
    return shown


def shown_result(
    viewer: napari.viewer.Viewer, layer: ImageLayer, made: Made
) -> list[ImageLayer] | None:
    """Return the layers of `show_result` if they are there, by this model and reading."""
    state = ViewerState.of(viewer)
    found = [
        made_before(viewer, result_name(layer, what), layer) for what in (DENOISED, DECONVOLVED)
    ]
    for one in found:
        before = None if one is None else state.made.get(one)
        if before is None or (before.model, before.reading) != (made.model, made.reading):
            return None
    return [one for one in found if one is not None]
