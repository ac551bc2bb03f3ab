"""Colours of text that can be read on napari's dark and on its light theme."""

from __future__ import annotations

from dataclasses import dataclass

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QWidget


@dataclass(frozen=True)
class Shades:
    """Text colours for one kind of background; a sign or a word always says the same."""

    good: str
    caution: str
    bad: str
    link: str
    quiet: str


# Told apart by most kinds of colour vision. Each has a contrast of at least 4.5 (WCAG 2.2, AA).
ON_DARK = Shades(good="#39d353", caution="#ff9a3c", bad="#ff7070", link="#5cacff", quiet="#a0a0a0")
ON_LIGHT = Shades(good="#1a6e2e", caution="#8f4300", bad="#b3261e", link="#0b57d0", quiet="#5f5f5f")

_CHANGES = (QEvent.Type.PaletteChange, QEvent.Type.StyleChange)


def shades_on(widget: QWidget) -> Shades:
    """Give the colours for the theme that a widget is shown in.

    napari sets its themes by a style sheet, which the palette follows once the widget is in the
    window.
    """
    widget.ensurePolished()
    return ON_DARK if widget.palette().text().color().lightness() > 127 else ON_LIGHT


def is_new_theme(event: QEvent | None) -> bool:
    """Tell whether colours may have to be chosen again."""
    return event is not None and event.type() in _CHANGES
