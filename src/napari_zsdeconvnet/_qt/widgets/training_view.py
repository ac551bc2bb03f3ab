"""A training as it is seen: its curves, its previews, and how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer
from napari.viewer import Viewer
from qtpy.QtWidgets import QWidget

from ..forms.action_panel import ActionPanel
from ..layers.layer_axes import Reading, pixels_of
from ..layers.layers import shown_place
from ..layers.previews import PreviewLayers
from ..plots.curves import LossCurves
from ..workers.connections import alive, follow, follow_clicks
from ..workers.durations import time_left
from ..workers.workers import Turns

if TYPE_CHECKING:
    from ...training.trainer import Preview, Progress, TrainingRun


class TrainingView(ActionPanel):
    """Shows a training in curves and previews; a subclass says when it begins and ends."""

    def __init__(self, viewer: Viewer, *, action: str, parent: QWidget | None = None) -> None:
        super().__init__(viewer, action=action, parent=parent)
        self._run: TrainingRun | None = None
        self._last: Progress | None = None
        self._preview: Preview | None = None
        self._trained: Sequence[tuple[ImageLayer, Reading]] = ()
        self._previews = PreviewLayers(self._viewer)
        self.curves = LossCurves(self._viewer)
        follow(self, self._viewer.dims.events.current_step, self._on_plane_moved)
        follow_clicks(self, self._viewer, self._on_click)

    def _take(self, progress: Progress) -> None:
        """Take in a step; the newest of several is shown."""
        self._last = progress
        self._preview = progress.preview or self._preview
        self.curves.append(progress.step, progress.losses)

    def _show_preview(self) -> Turns[None]:
        preview, self._preview = self._preview, None
        if preview is not None:
            yield from self._previews.show(preview)

    def _show_progress(self, progress: Progress, *, ends_early: bool) -> str:
        """Show the curves and how far it is, and return in words how long it goes on."""
        self.curves.redraw()
        done, planned = progress.step, progress.steps
        self._show_done(done, planned, f"step {done} of {planned}")
        return time_left(progress, ends_early=ends_early)

    def _on_plane_moved(self, _: Any = None) -> None:
        """Let the next preview show the planes of a volume that the user looks at."""
        if not alive(self) or self._run is None or not self.running or not self._trained:
            return
        layer, reading = self._trained[0]
        if reading.spatial == "ZYX" and self._viewer.dims.ndisplay == 2:
            self._run.focus(shown_place(layer, self._viewer, reading)[-1])

    def _on_click(self, position: tuple[float, ...]) -> None:
        """Let the next previews show what lies around the place of a click."""
        if not alive(self) or self._run is None or not self.running or not self._trained:
            return
        layer, reading = self._trained[0]
        if self._viewer.dims.ndisplay != 2:
            return
        row, column = (round(reading.grid * at) for at in layer.world_to_data(position)[-2:])
        height, width = (reading.grid * length for length in pixels_of(layer).shape[-2:])
        if 0 <= row < height and 0 <= column < width:
            self._run.centre_on(row, column)
