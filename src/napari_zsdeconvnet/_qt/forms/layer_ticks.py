"""A list of layers, each with a tick and a few words beside its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from napari.layers import Image as ImageLayer
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QListWidget, QListWidgetItem

from .forms import tip

_LAYER = Qt.ItemDataRole.UserRole
_ON, _OFF = Qt.CheckState.Checked, Qt.CheckState.Unchecked


class LayerTicks(QListWidget):
    """Lists layers, of which the user ticks some."""

    def __init__(self, tooltip: str) -> None:
        super().__init__()
        self.setToolTip(tooltip)
        self.setMinimumHeight(120)
        self.setWordWrap(True)
        self._locked = False

    @property
    def locked(self) -> bool:
        """Whether the ticks cannot be changed; what is shown stays legible, unlike in grey."""
        return self._locked

    @locked.setter
    def locked(self, locked: bool) -> None:
        if locked == self._locked:
            return
        self._locked = locked
        with QSignalBlocker(self):  # whose ticks stay as they are
            for item in self._items:
                item.setFlags(self._flags)

    @property
    def _flags(self) -> Qt.ItemFlag:
        free = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable
        return Qt.ItemFlag.ItemIsEnabled if self._locked else free

    @property
    def layers(self) -> list[ImageLayer]:
        """All layers that are offered."""
        return [item.data(_LAYER) for item in self._items]

    @property
    def chosen(self) -> list[ImageLayer]:
        """The layers that are ticked."""
        return [item.data(_LAYER) for item in self._items if item.checkState() == _ON]

    def choose(self, layers: Sequence[Any]) -> None:
        """Tick these layers and no others."""
        for item in self._items:
            ticked = any(item.data(_LAYER) is layer for layer in layers)
            item.setCheckState(_ON if ticked else _OFF)

    def offer(self, layers: Sequence[ImageLayer]) -> bool:
        """List these layers, new ones ticked; says whether they are others than before."""
        before = self.layers
        if [id(one) for one in layers] == [id(one) for one in before]:
            return False
        unticked = [one for one in before if not any(one is ticked for ticked in self.chosen)]
        self.clear()
        for layer in layers:
            item = QListWidgetItem(layer.name)
            item.setData(_LAYER, layer)
            item.setFlags(self._flags)
            item.setCheckState(_OFF if any(layer is one for one in unticked) else _ON)
            self.addItem(item)
        return True

    def show_states(self, state: Callable[[ImageLayer], tuple[str, str]]) -> None:
        """Show for each layer the text that is returned of it, with a tooltip."""
        for item in self._items:
            text, tooltip = state(item.data(_LAYER))
            if item.text() != text:
                item.setText(text)
                item.setToolTip(tip(tooltip))

    @property
    def _items(self) -> list[QListWidgetItem]:
        found = [self.item(row) for row in range(self.count())]
        return [item for item in found if item is not None]
