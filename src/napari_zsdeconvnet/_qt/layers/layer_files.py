"""What the files of layers say of axes, sizes and times, written into layers that say nothing.

napari's own reader gives the pixels alone: every scale is one and no axis has a name. So a worker
reads the tags of the file, and the layer gets them as if its reader had told. What the user or
another reader has written is left alone.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from napari.layers import Image as ImageLayer
from napari.viewer import Viewer
from qtpy.QtWidgets import QWidget

from ...io.acquisition import Recorded
from ...utils.errors import InputError
from ..workers.window_text import worded
from ..workers.workers import Job, in_background
from .layer_metadata import recorded_of
from .layers import METADATA_KEY, same_plane
from .state import ViewerState, unwrapped


class LayerFiles:
    """Reads the file of every layer of a viewer once, whichever widget asks first."""

    def __init__(self, viewer: Viewer, *, owner: QWidget) -> None:
        self._viewer = unwrapped(viewer)
        self._state = ViewerState.of(viewer)
        self._owner = owner
        self._jobs: list[Job[Any, Recorded]] = []
        self.look()

    @property
    def looking(self) -> bool:
        """Whether a file is still being read."""
        return any(job.running for job in self._jobs)

    def look(self) -> None:
        """Read the files of layers that nobody has looked at."""
        for layer in self._viewer.layers:
            if isinstance(layer, ImageLayer) and layer not in self._state.files:
                self._state.files[layer] = Recorded()
                if layer.source.path and METADATA_KEY not in layer.metadata:
                    self._read(layer)

    def _read(self, layer: ImageLayer) -> None:
        job = in_background(
            self._owner,
            "reading what a file says",
            partial(recorded_of, layer),
            partial(self.take, layer),
            on_failure=partial(self._on_failure, layer),
            aside=True,
        )
        self._jobs = [*(one for one in self._jobs if one.running), job]

    def take(self, layer: ImageLayer, said: Recorded) -> None:
        """Write what the file of a layer says into it, if it says nothing itself."""
        if said.axes and not said.axes.endswith("YX"):
            self._state.unfit[layer] = (
                f"{layer.name} has its channels behind Y and X, where no window looks for them; "
                "save it as an ImageJ hyperstack or OME-TIFF."
            )
            self._state.said_changed.emit(layer)
        elif layer in self._viewer.layers and says_nothing(layer):
            self._state.files[layer] = said
            with same_plane(self._viewer, layer):
                write_into(layer, said)
            self._viewer.reset_view()
            self._state.said_changed.emit(layer)

    def _on_failure(self, layer: ImageLayer, error: Exception) -> None:
        if isinstance(error, InputError):  # anything else is said when the pixels are used
            self._state.unfit[layer] = worded(error)
            self._state.said_changed.emit(layer)


def says_nothing(layer: ImageLayer) -> bool:
    """Tell whether a layer has neither scale nor units nor names of axes."""
    return (
        all(scale == 1 for scale in layer.scale)
        and all(str(unit) == "pixel" for unit in layer.units)
        and all(str(label).startswith("-") for label in layer.axis_labels)
    )


def write_into(layer: ImageLayer, said: Recorded) -> None:
    """Give a layer that says nothing itself the axes, sizes and frame interval of its file."""
    axes = said.axes if len(said.axes) == layer.ndim else ""
    if axes:
        layer.axis_labels = tuple(axes.lower())
    step, y, x = said.steps
    sizes: dict[int, tuple[float, str]] = {}
    if y and x:
        sizes = {layer.ndim - 2: (y, "micrometer"), layer.ndim - 1: (x, "micrometer")}
        if step and "Z" in axes:
            sizes[axes.index("Z")] = (step, "micrometer")
    if said.frame_interval and "T" in axes:
        sizes[axes.index("T")] = (said.frame_interval, "second")
    if sizes:
        layer.scale = tuple(sizes.get(axis, (1.0, ""))[0] for axis in range(layer.ndim))
        layer.units = tuple(sizes.get(axis, (0, "pixel"))[1] for axis in range(layer.ndim))
