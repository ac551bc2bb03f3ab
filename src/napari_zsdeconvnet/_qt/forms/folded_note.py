"""A sentence with the rest of what there is to say behind a link."""

from __future__ import annotations

from html import escape

from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from .forms import note
from .shades import is_new_theme, shades_on


class FoldedNote(QWidget):
    """Shows a title and a few words; *Details* adds the rest, which may have several lines."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.label: QLabel = note(rich=True)
        self.label.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.label.linkActivated.connect(self._on_link)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.label)
        self._title = self._brief = self._whole = ""
        self._unfolded = False

    def say(self, title: str, brief: str, whole: str = "") -> None:
        """Show plain text: a title in bold, a few words, and the rest where it is asked for."""
        self._title, self._brief, self._whole = title, brief, whole
        self._show()

    def text(self) -> str:
        """Return all that there is to say, folded or not."""
        return "\n".join(filter(None, (f"{self._title} {self._brief}".strip(), self._whole)))

    def unfold(self, *, whole: bool = True) -> None:
        """Show all, or the few words alone."""
        self._unfolded = whole
        self._show()

    def changeEvent(self, event: QEvent | None) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if is_new_theme(event):
            self._show()

    def _on_link(self, _: str) -> None:
        self.unfold(whole=not self._unfolded)

    def _show(self) -> None:
        title = f"<b>{escape(self._title)}</b> " if self._title else ""
        text = f"{title}{escape(self._brief)}"
        if self._whole:
            words = "Less" if self._unfolded else "Details"
            colour = shades_on(self).link
            text += f" <a href='details' style='color:{colour}'>{words}</a>"
            if self._unfolded:
                text += "".join(f"<br>{escape(line)}" for line in self._whole.splitlines())
        self.label.setText(text)
