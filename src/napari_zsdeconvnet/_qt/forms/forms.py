"""Pieces that the forms of several widgets are made of."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, FloatSpinBox
from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QBoxLayout,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLayout,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

if TYPE_CHECKING:
    from .choosers import ImageChooser


def number(
    label: str,
    value: float,
    *,
    unit: str,
    tooltip: str,
    minimum: float = 0.0,
    maximum: float = 1e6,
    step: float = 1.0,
    decimals: int = 2,
    absent: str = "",
) -> FloatSpinBox:
    """Return a box for a number that says its unit, in which all numbers are given.

    ``absent`` is shown in place of the smallest value, when that stands for "not known".
    """
    box = FloatSpinBox(label=label, min=minimum, max=maximum, step=step, tooltip=tooltip)
    spin = box.native
    spin.setDecimals(decimals)
    box.value = value  # not before: it would be rounded to the digits of the step
    spin.setSuffix(f" {unit}" if unit else "")
    _name_absent(spin, absent)
    # A number is taken when it is complete, not after each digit.
    spin.setKeyboardTracking(False)
    return box


def _name_absent(spin: QAbstractSpinBox, words: str) -> None:
    """Show words in place of the smallest value of a box, and let typing replace them."""
    spin.setSpecialValueText(words)
    _Replaced(spin)


class _Replaced(QObject):
    """Selects the words for an absent value before they are typed over.

    Qt lets the user edit these words like a number, and refuses each digit that is put between
    them. A box has the focus in place of its line, but the line gets the clicks.
    """

    _LEADING = (QEvent.Type.KeyPress, QEvent.Type.InputMethod)
    _LATER = (QEvent.Type.FocusIn, QEvent.Type.MouseButtonRelease)

    def __init__(self, spin: QAbstractSpinBox) -> None:
        super().__init__(spin)
        self._spin = spin
        self._afterwards = QTimer(self)
        self._afterwards.setSingleShot(True)
        self._afterwards.timeout.connect(self._select)
        self._line = spin.lineEdit()
        for watched in (spin, self._line):
            if watched is not None:
                watched.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Select before a key is handled, and once a click has put the cursor."""
        kind = None if event is None else event.type()
        if kind in self._LEADING:
            self._select()
        elif kind in self._LATER:
            self._afterwards.start()
        return False

    def _select(self) -> None:
        words = self._spin.specialValueText()
        if words and self._line is not None and self._line.text() == words:
            self._line.selectAll()


def plain(text: str = "") -> QLabel:
    """Return a label that shows text as it is: names and notes from files may hold HTML."""
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    return label


def tip(text: str) -> str:
    """Return a tooltip that shows text as it is."""
    return f"<qt>{html.escape(text)}</qt>" if "<" in text or "&" in text else text


def note(text: str = "", *, rich: bool = False) -> QLabel:
    """Return a label for sentences: it wraps, and its text can be copied.

    What a rich one shows of files must be escaped.
    """
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    if rich:
        label.setTextFormat(Qt.TextFormat.RichText)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setAlignment(Qt.AlignmentFlag.AlignTop)
    return label


def button(text: str, clicked: Callable[[], Any], tooltip: str = "") -> QPushButton:
    """Return a button and connect it."""
    made = QPushButton(text)
    made.setToolTip(tooltip)
    made.clicked.connect(lambda: clicked())  # without Qt's own argument
    return made


def fill(layout: QBoxLayout, *parts: QWidget | QLayout) -> None:
    """Append widgets and layouts to a layout."""
    for part in parts:
        if isinstance(part, QLayout):
            layout.addLayout(part)
        else:
            layout.addWidget(part)


def in_row(*parts: QWidget) -> QHBoxLayout:
    """Return a layout that holds widgets side by side."""
    layout = QHBoxLayout()
    fill(layout, *parts)
    return layout


def stack(holder: QWidget, *parts: QWidget | QLayout) -> None:
    """Lay widgets and layouts out one above the other, without a margin."""
    layout = QVBoxLayout(holder)
    layout.setContentsMargins(0, 0, 0, 0)
    fill(layout, *parts)


def say(label: QLabel, text: str) -> None:
    """Show a text in a label, which is hidden where the text is empty."""
    label.setText(text)
    label.setVisible(bool(text))


def offer(one: QPushButton, missing: str, purpose: str, *, free: bool = True) -> None:
    """Enable a button where nothing is missing; its tooltip says what is, or what it does."""
    one.setEnabled(free and not missing)
    one.setToolTip(tip(missing or purpose))


def open_file(
    owner: QWidget, title: str, files: str, use: Callable[[str], Any], at: str = ""
) -> None:
    """Ask for a file that is there, and use it."""
    path, _ = QFileDialog.getOpenFileName(owner, title, at, files)
    if path:
        use(path)


def save_file(owner: QWidget, title: str, name: str, files: str, use: Callable[[str], Any]) -> None:
    """Ask for a file to write, and use it."""
    path, _ = QFileDialog.getSaveFileName(owner, title, name, files)
    if path:
        use(path)


def heading(text: str) -> QLabel:
    """Return a label that begins a part of a form."""
    label = plain(text)
    font = label.font()
    font.setBold(True)
    label.setFont(font)
    label.setContentsMargins(0, 6, 0, 0)
    return label


def advance(bar: QProgressBar, done: int, total: int, text: str) -> None:
    """Show how far work has come.

    A progress bar paints itself at once, and with it the whole window; held back, it is
    painted together with what else has changed.
    """
    bar.setUpdatesEnabled(False)
    bar.setRange(0, total)
    bar.setValue(done)
    bar.setFormat(text)
    bar.setUpdatesEnabled(True)


class Form(QWidget):
    """Boxes under each other, their labels in one column.

    magicgui's own container measures labels in another font than napari shows them in, and
    they end up out of line.
    """

    def __init__(self, *boxes: Any) -> None:
        super().__init__()
        self._labels: dict[Any, QLabel] = {}
        self._rows = QFormLayout(self)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
        self._rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for box in boxes:
            self.add(box)

    def add(self, box: Any) -> None:
        """Append a row: a box with its label, which hides with the box."""
        if isinstance(box, CheckBox):  # it says itself what it is
            self._rows.addRow(box.native)
            return
        if isinstance(box.native, QComboBox):
            # Else the longest name that it offers would set the width of the window.
            box.native.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
            box.native.setMinimumContentsLength(8)
        label = plain(box.label)
        label.setToolTip(box.tooltip)
        self._rows.addRow(label, box.native)
        self._labels[box.native] = label
        box.native.installEventFilter(self)

    def add_note(self, label: QLabel) -> None:
        """Append a label that takes a row for itself."""
        self._rows.addRow(label)

    def add_image(self, chooser: ImageChooser) -> None:
        """Append the choice of an image, how it is read, and its note."""
        for box in chooser.boxes:
            self.add(box)
            # Qt hides what moves into another window.
            box.visible = chooser.applies(box)
            if box.native in self._labels:
                self._labels[box.native].setVisible(chooser.applies(box))
        said = bool(chooser.note.text())
        self.add_note(chooser.note)
        chooser.note.setVisible(said)

    def eventFilter(self, box: QObject | None, event: QEvent | None) -> bool:
        """Let a label come and go with its box."""
        if event is not None and event.type() in (
            QEvent.Type.ShowToParent,
            QEvent.Type.HideToParent,
        ):
            label = self._labels.get(box)
            if label is not None:
                label.setVisible(event.type() == QEvent.Type.ShowToParent)
        return False


def collapsible(title: str, content: QWidget, tooltip: str) -> QCollapsible:
    """Return a part of a form that opens and closes at once; the tooltip says what is in it."""
    part = QCollapsible(title, expandedIcon="▼", collapsedIcon="▶")
    part.setDuration(0)
    part.toggleButton().setToolTip(tooltip)
    part.addWidget(content)
    layout = part.layout()
    if layout is not None:
        layout.setContentsMargins(0, 0, 0, 0)
    return part
