"""The shapes that say where an image is empty: drawn for it, or chosen among what is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from magicgui.widgets import ComboBox
from napari.layers import Image as ImageLayer
from napari.layers import Shapes
from napari.viewer import Viewer
from psygnal import Signal
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

from ..layers.layers import placement
from ..layers.shapes import ENCLOSING
from ..layers.state import unwrapped
from ..workers.connections import alive, follow

ROI_NAME = "Background ROI"


class BackgroundBox:
    """A choice among the shapes layers of a viewer, and which shapes of it count.

    In the layer that was made for it all shapes count; in any other those that are selected there,
    and all of them while none is. Such a layer is used only once it is chosen.
    """

    moved = Signal()
    """Emitted while shapes are moved, when others are selected, and when another layer is."""

    drawn = Signal()
    """Emitted when a shape is complete: the mouse was let go."""

    def __init__(self, viewer: Viewer, *, owner: QWidget) -> None:
        self._viewer = unwrapped(viewer)
        self._owner = owner
        self._followed: Shapes | None = None
        self.layer_box = ComboBox(
            label="Background in",
            nullable=True,
            choices=lambda _: [one for one in self._viewer.layers if isinstance(one, Shapes)],
            tooltip=f"The shapes that cover empty background: those of '{ROI_NAME}', which 'Draw "
            "background box' makes, or the shapes that are selected in another layer. Rectangles, "
            "ellipses and polygons count with what they enclose; lines and paths do not.",
        )
        self.layer_box.changed.connect(self._on_chosen)
        self.reset_choices()

    @property
    def layer(self) -> Shapes | None:
        """The chosen layer, while the viewer has it."""
        chosen = self.layer_box.value
        return chosen if chosen in self._viewer.layers else None

    @property
    def chosen(self) -> list[int]:
        """Which of its shapes count."""
        layer = self.layer
        if layer is None:
            return []
        selected = sorted(layer.selected_data) if layer.name != ROI_NAME else []
        inside = [index for index, kind in enumerate(layer.shape_type) if kind in ENCLOSING]
        return [index for index in inside if index in selected] or inside

    @property
    def words(self) -> str:
        """Say what is measured; nothing of the layer that was made for it."""
        layer, chosen = self.layer, self.chosen
        if layer is None or layer.name == ROI_NAME or not chosen:
            return ""
        kinds = [layer.shape_type[index] for index in chosen]
        what = f"{kinds[0]} {chosen[0]}" if len(chosen) == 1 else f"{len(chosen)} shapes"
        return f"In {what} of '{layer.name}': "

    def reset_choices(self) -> None:
        """Offer the layers that the viewer holds now; one made for it is chosen by itself."""
        before = self.layer
        self.layer_box.reset_choices()
        if before is None:
            own = next((one for one in self.layer_box.choices if is_own(one)), None)
            if own is not None:
                self.layer_box.value = own
        self.layer_box.visible = bool([one for one in self.layer_box.choices if one is not None])

    def draw_on(self, image: ImageLayer) -> Shapes:
        """Make or choose a layer for the background, with the mouse set to draw a box."""
        layer = self.layer or self._new(image)
        self._viewer.dims.ndisplay = 2
        self._viewer.layers.selection.active = layer
        layer.mode = "add_rectangle"
        return layer

    def _new(self, image: ImageLayer) -> Shapes:
        layer = Shapes(
            ndim=2,
            name=ROI_NAME,
            face_color="transparent",
            edge_color="yellow",
            edge_width=max(1.0, min(image.data.shape[-2:]) / 250),
            **placement(image, 2),
        )
        self._viewer.add_layer(layer)
        self.reset_choices()
        self.layer_box.value = layer
        return layer

    def _on_chosen(self) -> None:
        layer = self.layer
        if layer is self._followed:
            return
        if self._followed is not None:
            for signal, slot in self._signals(self._followed):
                signal.disconnect(slot)
        self._followed = layer
        if layer is not None:
            for signal, slot in self._signals(layer):
                follow(self._owner, signal, slot)
        self.moved.emit()

    def _signals(self, layer: Shapes) -> list[tuple[Any, Callable[..., Any]]]:
        return [
            (layer.events.data, self._on_drawn),
            # While a shape is dragged the layer only emits the event of its repainting.
            (layer.events.set_data, self._on_moved),
            (layer.selected_data.events.items_changed, self._on_moved),
        ]

    def _on_drawn(self, event: Any) -> None:
        if not alive(self._owner):
            return
        # Names as napari's ActionType has them; those that end in -ing precede the change.
        action = str(getattr(event, "action", ""))
        if action not in ("adding", "changing", "removing"):
            self.drawn.emit()
        if action == "added":
            # The next drag is to move the box, not to draw another. napari is still within
            # its mouse handler here.
            QTimer.singleShot(0, self._let_move)
        self.moved.emit()

    def _on_moved(self, *_: Any) -> None:
        if alive(self._owner):
            self.moved.emit()

    def _let_move(self) -> None:
        layer = self.layer if alive(self._owner) else None
        if layer is not None and layer.mode == "add_rectangle":
            layer.mode = "select"


def is_own(layer: Any) -> bool:
    """Tell whether a layer was made to draw background in."""
    return isinstance(layer, Shapes) and layer.name == ROI_NAME
