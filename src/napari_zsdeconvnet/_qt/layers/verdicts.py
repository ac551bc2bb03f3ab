"""A verdict on the result of a layer: kept with the result, and its maps as layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.utils.colormaps import Colormap
from napari.viewer import Viewer

from .layers import made_before
from .records import keep_verdict
from .results import Frame, result_names, show_frame
from .state import Judged, ViewerState

if TYPE_CHECKING:
    from ...model.model import Model
    from ...quality.verdict import Verdict
    from ..workers.workers import Turns

Z_MAP, SPREAD = "z-map", "spread"

Z_LIMIT = 4.0
"""Standard deviations of the noise at which the colours of the z-map end."""

_Z_COLOURS = Colormap(
    [(0.25, 0.65, 1.0, 1.0), (0.1, 0.1, 0.1, 1.0), (1.0, 0.6, 0.1, 1.0)],
    name="zsdeconvnet z",
    display_name="blue, grey, orange",
)


def show_verdict(
    viewer: Viewer, frame: Frame, model: Model, verdict: Verdict, *, maps: bool
) -> Turns[Judged]:
    """Keep a verdict with the model's result on a layer, and share it with all widgets.

    With ``maps`` the z-map and the spread are added as hidden layers, each in a turn of its own.
    """
    state, layer = ViewerState.of(viewer), frame.layer
    for name in result_names(layer).values():
        result = made_before(viewer, name, layer)
        made = None if result is None else state.made.get(result)
        if result is not None and made is not None and made.model is model:
            result.metadata = {**result.metadata, "verdict": verdict.to_dict()}
            keep_verdict(result, verdict)
    if maps:
        yield from _show_maps(viewer, frame, model, verdict)
    judged = Judged(model, verdict, frame.index)
    state.set_judged(layer, judged)
    return judged


def _show_maps(viewer: Viewer, frame: Frame, model: Model, verdict: Verdict) -> Turns[None]:
    z_map, spread = verdict.maps.get("z_map"), verdict.maps.get("spread")
    if z_map is not None:
        layer = show_frame(viewer, frame, Z_MAP, z_map, visible=False)
        layer.colormap = _Z_COLOURS
        most = max(Z_LIMIT, float(np.abs(z_map).max()))
        layer.contrast_limits_range = (-most, most)
        layer.contrast_limits = (-Z_LIMIT, Z_LIMIT)
        yield
    if spread is not None:
        finer = model.upsampling
        layer = show_frame(viewer, frame, SPREAD, spread, upsampling=finer, visible=False)
        layer.colormap = "inferno"
        layer.contrast_limits = (0.0, layer.contrast_limits[1])
        yield
