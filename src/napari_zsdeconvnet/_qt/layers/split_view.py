"""Two layers in one place, one to the left and one to the right of a divider.

napari clips no images in 2D (its clipping planes act on volumes in 3D alone), so the left side is
a layer of its own that shows as many columns of the left layer as lie before the divider: a view
of the same pixels, not a copy.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Layer
from napari.viewer import Viewer
from psygnal import Signal

from ...io.lazy import FirstColumns, Sliced
from .layer_axes import pixels_of
from .layers import METADATA_KEY
from .shown_pixels import ShownPixels
from .state import unwrapped

LINKED = ("contrast_limits", "gamma", "colormap")
"""What is changed on one of the left layer and its cut is changed on the other."""

REACH = 12
"""Pixels of the screen within which the mouse takes hold of the divider."""

KEY = ("swipe", "left")


class Swipe:
    """Shows nothing but two layers, with a divider between them, until `end`.

    The divider is the right edge of an outline on the canvas, and can be dragged there. Its place
    is a part of the left layer's width, by default where the middle of the right layer is. When a
    layer that it needs is removed it ends by itself.
    """

    moved = Signal(float)
    ended = Signal()

    def __init__(
        self,
        viewer: Viewer,
        left: ImageLayer,
        right: ImageLayer,
        place: float | None = None,
    ) -> None:
        self._viewer = unwrapped(viewer)
        self._left, self._right = left, right
        self._pixels = pixels_of(left)
        self._place = self._middle_of_right() if place is None else place
        self._visible: WeakKeyDictionary[Layer, bool] = WeakKeyDictionary(
            {layer: layer.visible for layer in self._viewer.layers}
        )
        self._active = self._viewer.layers.selection.active
        self.cut = self._make_cut()
        self.running = True

        self._viewer.add_layer(self.cut)
        for layer in self._visible:
            layer.visible = layer is right or (layer is left and self._lies_under_a_part())
            layer.events.visible.connect(self._on_visible)
        self._viewer.layers.link_layers([left, self.cut], LINKED)
        self.cut.mouse_move_callbacks.append(self._on_hover)
        self.cut.mouse_drag_callbacks.append(self._on_drag)
        self._viewer.layers.selection.active = self.cut
        self._viewer.layers.events.removed.connect(self._on_removed)
        self._viewer.layers.events.inserted.connect(self._on_inserted)

    def take_hold(self) -> None:
        """Let the divider be dragged after another layer was selected, which is so at the end."""
        self._active = self._viewer.layers.selection.active
        self._viewer.layers.selection.active = self.cut

    @property
    def place(self) -> float:
        """Where the divider stands, from 0 at the left edge to 1 at the right one."""
        return self._place

    @place.setter
    def place(self, place: float) -> None:
        place = min(max(place, 0.0), 1.0)
        if not self.running or place == self._place:
            return
        self._place = place
        if self._columns != self.cut.data.shape[-1]:
            self.cut.data = self._left_side()
        self.moved.emit(place)

    def end(self) -> None:
        """Take the divider away and show again what was shown before."""
        if not self.running:
            return
        self.running = False
        layers = self._viewer.layers
        layers.events.removed.disconnect(self._on_removed)
        layers.events.inserted.disconnect(self._on_inserted)
        if self.cut in layers:
            layers.remove(self.cut)
        for layer, visible in list(self._visible.items()):
            layer.events.visible.disconnect(self._on_visible)
            if layer in layers:
                layer.visible = visible
        if self._active is not None and self._active in layers:
            layers.selection.active = self._active
        self.ended.emit()

    # ------------------------------------------------------------------ the left side

    @property
    def _columns(self) -> int:
        # One at least: napari shows no layer without pixels.
        return max(1, round(self._place * int(self._pixels.shape[-1])))

    def _left_side(self) -> Any:
        """Give the columns before the divider, unread where they lie in a file."""
        if isinstance(self._pixels, Sliced):
            return ShownPixels(FirstColumns(self._pixels, self._columns))
        return self._pixels[..., : self._columns]

    def _middle_of_right(self) -> float:
        """Give where a layer lies that may cover a part of the other."""
        middle = np.zeros(self._left.ndim)
        middle[-2:] = self._right.extent.world[:, -2:].mean(axis=0)
        return min(max(self._place_at(tuple(middle)), 0.0), 1.0)

    def _lies_under_a_part(self) -> bool:
        """Tell whether the right layer hides a part of the left one, and lets the rest be seen.

        A preview does: beside it the left layer is shown in place of nothing.
        """
        layers, step = self._viewer.layers, np.abs(self._left.scale[-2:])
        low, high = self._right.extent.world[:, -2:]
        lowest, highest = self._left.extent.world[:, -2:]
        covers = bool(np.all(low <= lowest + step) and np.all(high >= highest - step))
        above = layers.index(self._right) > layers.index(self._left)
        return above and not covers and self._right.blending != "additive"

    def _make_cut(self) -> ImageLayer:
        _, settings, _ = self._left.as_layer_data_tuple()
        settings.update(
            name=f"◧ {self._left.name}",
            metadata={METADATA_KEY: KEY},
            multiscale=False,
            visible=True,
            blending="opaque",
            opacity=1.0,
        )
        cut: ImageLayer = Layer.create(self._left_side(), settings, "image")
        outline = cut.bounding_box
        outline.points = False
        outline.line_color = "#e8871e"
        outline.line_thickness = 2
        outline.visible = True
        return cut

    # ------------------------------------------------------------------ the mouse

    def _place_at(self, position: tuple[float, ...]) -> float:
        column = self._left.world_to_data(position)[-1]
        return float((column + 0.5) / self._pixels.shape[-1])

    def _near(self, position: tuple[float, ...]) -> bool:
        divider = np.array(self._left.world_to_data(position))
        divider[-1] = self._columns - 0.5
        apart = np.subtract(self._left.data_to_world(divider), position)
        # Where napari keeps its camera since version 0.9, and where it did before.
        camera = getattr(self._viewer, "scene", self._viewer).camera
        return bool(np.linalg.norm(apart) * camera.zoom < REACH)

    def _on_hover(self, _: Layer, event: Any) -> None:
        near = self._near(event.position)
        # Near the divider a drag moves it, and elsewhere the picture as ever.
        self.cut.mouse_pan = not near
        self.cut.cursor = "pointing" if near else "standard"

    def _on_drag(self, _: Layer, event: Any) -> Generator[None, None, None]:
        if self.cut.mouse_pan:
            return
        yield
        while event.type == "mouse_move":
            self.place = self._place_at(event.position)
            yield

    def _on_inserted(self, event: Any) -> None:
        # It is shown at the end, if it was to be: nothing may cover the two.
        self._visible[event.value] = event.value.visible
        event.value.visible = False
        event.value.events.visible.connect(self._on_visible)

    def _on_visible(self, event: Any) -> None:
        # What is shown or hidden meanwhile stays so at the end.
        self._visible[event.source] = event.source.visible

    def _on_removed(self, event: Any) -> None:
        if event.value in (self._left, self._right, self.cut):
            self.end()
