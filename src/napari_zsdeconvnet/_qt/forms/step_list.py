"""The steps of one click: what was done, what was assumed, and the way to change it.

A step that is done shows the beginning of what it has to say. A link unfolds the rest.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

from psygnal import Signal
from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from .forms import note
from .shades import is_new_theme, shades_on

WAITING, ACTIVE, DONE, DOUBTFUL = "waiting", "active", "done", "doubtful"
FAILED, ENDED = "failed", "ended"

_SIGNS = {
    WAITING: ("○", "quiet"),
    ACTIVE: ("▶", "link"),
    DONE: ("✓", "good"),
    DOUBTFUL: ("⚠", "caution"),
    FAILED: ("✗", "bad"),
    ENDED: ("■", "caution"),
}
"""The sign of a state, and the name of its colour in `Shades`."""


_DETAILS = "details:"
"""What a link to the rest of a step stands for, before the key of the step."""

_ENDS = ("; ", ". ")
"""Where the beginning of a text ends."""


def beginning(text: str) -> str:
    """Return the first sentence or clause of a text."""
    end = min((place for mark in _ENDS if (place := text.find(mark)) > 0), default=len(text))
    return text[:end].rstrip(".") + "." if end < len(text) else text


class StepList(QWidget):
    """Lists steps, each with a sentence and links to what it assumed."""

    clicked = Signal(str)
    """Emitted with what a link stands for."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.labels: dict[str, QLabel] = {}
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(0)
        self._titles: dict[str, str] = {}
        self._links: dict[str, Sequence[tuple[str, str]]] = {}
        self._at_once: dict[str, tuple[str, str]] = {}
        self._unfolded: set[str] = set()
        self.states: dict[str, str] = {}
        self.said: dict[str, str] = {}

    def begin(self, steps: Sequence[tuple[str, str, Sequence[tuple[str, str]]]]) -> None:
        """Show steps that wait, in place of what was there.

        Each has a key, a title, and links: words, and what they stand for.
        """
        for label in self.labels.values():
            self._layout.removeWidget(label)
            label.hide()  # Qt deletes it later, and would show it until then
            label.deleteLater()
        self.labels, self.states, self.said, self._at_once = {}, {}, {}, {}
        self._unfolded.clear()
        for key, title, links in steps:
            label = note(rich=True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
            label.setOpenExternalLinks(False)
            label.linkActivated.connect(self._on_link)
            self._layout.addWidget(label)
            self.labels[key] = label
            self._titles[key], self._links[key] = title, links
            self.states[key], self.said[key] = WAITING, ""
            self._show(key)

    def say(self, key: str, state: str, words: str | None = None) -> None:
        """Show how a step stands, and what it has to say; a step that is not listed is ignored."""
        if key in self.labels:
            self.states[key] = state
            self.said[key] = self.said[key] if words is None else words
            self._show(key)

    def offer(self, key: str, words: str, target: str) -> None:
        """Add a link to those of a step, until the steps begin anew."""
        if key in self.labels:
            self._links[key] = (*self._links[key], (words, target))
            self._show(key)

    def offer_meanwhile(self, key: str, words: str, target: str) -> None:
        """Show a link for as long as a step is under way."""
        if key in self.labels:
            self._at_once[key] = (words, target)
            self._show(key)

    def end(self, state: str, words: str) -> None:
        """Mark the step under way as ended before its time, else the first that waits."""
        for wanted in (ACTIVE, WAITING):
            for key, now in self.states.items():
                if now == wanted:
                    self.say(key, state, words)
                    return

    def changeEvent(self, event: QEvent | None) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if is_new_theme(event):
            for key in self.labels:
                self._show(key)

    def unfold(self, key: str, *, whole: bool = True) -> None:
        """Show all that a step has to say, or its beginning."""
        if key in self.labels:
            (self._unfolded.add if whole else self._unfolded.discard)(key)
            self._show(key)

    def _on_link(self, target: str) -> None:
        key = target.removeprefix(_DETAILS)
        if target.startswith(_DETAILS):
            self.unfold(key, whole=key not in self._unfolded)
        else:
            self.clicked.emit(target)

    def _show(self, key: str) -> None:
        shades = shades_on(self)
        sign, name = _SIGNS[self.states[key]]
        colour = getattr(shades, name)
        whole = self.said[key].split("\n")
        # What is wrong or doubtful is shown in full; what is done can wait.
        brief = [beginning(part) for part in whole] if self.states[key] == DONE else whole
        folded = brief != whole
        shown = whole if key in self._unfolded else brief
        first, *cautions = map(html.escape, shown)
        lines = [f"<span style='color:{colour}'>{sign}</span> <b>{self._titles[key]}</b> {first}"]
        lines += [f"<small style='color:{shades.caution}'>{words}</small>" for words in cautions]
        links = () if self.states[key] == WAITING else self._links[key]
        if self.states[key] == ACTIVE:
            links = [self._at_once[key]] if key in self._at_once else ()
        if folded:
            words = "Less" if key in self._unfolded else "Details"
            links = ((words, f"{_DETAILS}{key}"), *links)
        lines[-1] += "".join(
            f" <a href='{to}' style='color:{shades.link}'>{text}</a>" for text, to in links
        )
        self.labels[key].setText("<br>".join(lines))
