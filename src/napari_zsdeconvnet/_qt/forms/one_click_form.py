"""The one small form: what is needed and not known, and what is known beside it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox
from psygnal import Signal
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QGridLayout, QWidget

from ...io.units import checked_length
from ...psf.checks import checked_refractive_index
from ...utils.errors import InputError
from ..workers.window_text import worded
from .forms import heading, note, plain, stack
from .optics_boxes import QUANTITIES, modality_box, optics_box
from .optics_metadata import TYPED, Facts, needed, preset_values
from .shades import is_new_theme, shades_on

if TYPE_CHECKING:
    from ..workers.preferences import MicroscopePreset

UNKNOWN = "not known"


class AskForm(QWidget):
    """Asks for the optics of one recording, each number with its unit and its origin.

    What is not known is empty and marked; a suggestion is marked too until the form is accepted.
    """

    changed = Signal()
    """Emitted when anything was typed or chosen."""
    accepted = Signal()
    """Emitted when Enter is pressed in a form that lacks nothing."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._facts = Facts()
        self._spatial = "YX"
        self._psf = False
        self._mode: str | None = None
        self._presets: Sequence[MicroscopePreset] = ()
        self._origins: dict[str, str] = {}
        self._unsure: set[str] = set()
        self.title = heading("")
        self.sim_box = CheckBox(
            text="raw SIM frames (3 orientations x 3 phases)",
            tooltip="The frames are those of structured illumination and make one image; otherwise "
            "they are read as said above.",
        )
        self.preset_box = ComboBox(
            label="Preset",
            choices=lambda _: [preset.name for preset in self._presets],
            nullable=True,
            tooltip="A microscope of the preferences (Preferences > ZS-DeconvNet).",
        )
        self.modality = modality_box()
        self.boxes: dict[str, Any] = {
            name: optics_box(name, absent="a point" if name == "pinhole" else UNKNOWN)
            for name in QUANTITIES
        }
        self.boxes["modality"] = self.modality
        self._rows = {"preset": self.preset_box, **self.boxes}
        self._labels = {name: plain(box.label) for name, box in self._rows.items()}
        self._notes = {name: plain() for name in self._rows}
        self.hint = note()
        self._lay_out()
        self.sim_box.changed.connect(self._on_choice)
        self.modality.changed.connect(self._on_choice)
        self.preset_box.changed.connect(self._on_preset)
        for name, box in self.boxes.items():
            box.changed.connect(partial(self._on_typed, name))
            if name != "modality":
                # With the last digit the form is complete, and its button can be clicked.
                box.native.setKeyboardTracking(True)
                box.native.lineEdit().returnPressed.connect(self._on_return)

    def _lay_out(self) -> None:
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(1, 1)
        order = ("preset", "pixel_size", "axial_step", "modality", "na", "wavelength")
        for row, name in enumerate([*order, *(name for name in self._rows if name not in order)]):
            box = self._rows[name]
            self._labels[name].setToolTip(box.tooltip)
            grid.addWidget(self._labels[name], row, 0)
            grid.addWidget(box.native, row, 1)
            grid.addWidget(self._notes[name], row, 2)
        stack(self, self.title, self.hint, self.sim_box.native, grid)

    # ------------------------------------------------------------------ what is asked

    def ask(
        self,
        facts: Facts,
        *,
        spatial: str,
        psf: bool,
        sim: bool | None,
        presets: Sequence[MicroscopePreset] = (),
        title: str = "",
        mode: str | None = None,
    ) -> None:
        """Fill the form with what is known.

        The PSF is one that the user has chosen; ``sim`` tells whether the frames seem to be raw
        SIM, None where they cannot be. A ``mode`` that was chosen goes before it.
        """
        self._mode = mode
        sim = sim if mode is None else None
        self._facts, self._spatial, self._psf = facts, spatial, psf
        self._presets = presets
        self.title.setText(title)
        self.sim_box.visible = sim is not None
        with self.sim_box.changed.blocked():
            self.sim_box.value = bool(sim)
        with self.preset_box.changed.blocked():
            self.preset_box.reset_choices()
        self._origins, self._unsure = {}, set()
        for name, box in self.boxes.items():
            fact = facts.get(name)
            with box.changed.blocked():
                if name == "modality":
                    box.value = fact.value if fact else "widefield"
                else:
                    box.value = fact.value * QUANTITIES[name].shown if fact else 0
            self._origins[name] = fact.origin if fact else ""
            if fact is not None and not fact.sure:
                self._unsure.add(name)
        self._show()

    def take_focus(self) -> None:
        """Let the user begin to type in the first box that is empty."""
        names = (name for name in self.asked if self._is_empty(name))
        name = next(names, None)
        if name is not None:
            self.boxes[name].native.setFocus()

    def read_as(self, spatial: str, *, psf: bool) -> None:
        """Ask what images ("YX") or volumes ("ZYX") need, with or without a PSF for them."""
        self._spatial, self._psf = spatial, psf
        self._show()

    @property
    def asked(self) -> tuple[str, ...]:
        """Names of what applies."""
        return needed(
            self._spatial,
            str(self.modality.value),
            sim=bool(self.sim_box.value),
            psf=self._psf,
            mode=self._mode,
        )

    @property
    def missing(self) -> str:
        """What is still to be typed; empty if nothing."""
        names = [QUANTITIES[name].label for name in self.asked if self._is_empty(name)]
        if names:
            return f"type in: {', '.join(names)}."
        return next(iter(self._absurd().values()), "")

    def _absurd(self) -> dict[str, str]:
        """Say of each number that no microscope has what is wrong with it."""
        values = self.values()
        found: dict[str, str] = {}
        for name in ("pixel_size", "axial_step"):
            if name in values:
                try:
                    checked_length(values[name], QUANTITIES[name].label)
                except InputError as error:
                    found[name] = worded(error)
        if {"na", "refractive_index"} <= values.keys():
            try:
                checked_refractive_index(values["na"], values["refractive_index"])
            except InputError as error:
                found["refractive_index"] = worded(error)
        return found

    def values(self) -> dict[str, Any]:
        """Return what applies and is there, lengths in micrometres."""
        found: dict[str, Any] = {}
        for name in self.asked:
            if name == "modality":
                found[name] = str(self.modality.value)
            elif not self._is_empty(name):
                found[name] = float(self.boxes[name].value) / QUANTITIES[name].shown
            elif name == "pinhole":
                found[name] = 0.0
        return found

    def words(self) -> str:
        """Say what applies, each with where it comes from, such as "NA 1.4, typed"."""
        told = []
        for name in self.asked:
            value = str(self.modality.value) if name == "modality" else _shown(self.boxes[name])
            label = "" if name == "modality" else f"{QUANTITIES[name].label} "
            told.append(f"{label}{value}, {self._origins.get(name) or TYPED}")
        return f"{'; '.join(told)}."

    # ------------------------------------------------------------------ what is shown

    def _is_empty(self, name: str) -> bool:
        return name not in ("modality", "pinhole") and self.boxes[name].value <= 0

    def _on_choice(self) -> None:
        self._show()
        self.changed.emit()

    def _on_typed(self, name: str, _: Any = None) -> None:
        self._origins[name] = TYPED
        self._unsure.discard(name)
        self._show()
        self.changed.emit()

    def _on_return(self) -> None:
        if not self.missing:
            self.accepted.emit()

    def _on_preset(self, chosen: str | None) -> None:
        preset = next((one for one in self._presets if one.name == chosen), None)
        if preset is None:
            return
        for name, value in preset_values(preset).items():
            if value is not None:
                self.boxes[name].value = value * QUANTITIES[name].shown

    def changeEvent(self, event: QEvent | None) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if is_new_theme(event) and self.isVisible():
            self._show()

    def _show(self) -> None:
        asked, shades, absurd = self.asked, shades_on(self), self._absurd()
        for name, box in self._rows.items():
            applies = name in asked or (name == "preset" and len(self._presets) > 1)
            for widget in (self._labels[name], box.native, self._notes[name]):
                widget.setVisible(applies)
            if name == "preset":
                continue
            empty = self._is_empty(name)
            marked = empty or name in self._unsure or name in absurd
            self._labels[name].setStyleSheet(f"color: {shades.caution};" if marked else "")
            noted = shades.caution if marked else shades.quiet
            self._notes[name].setStyleSheet(f"color: {noted};")
            said = _wanted(name) if empty else "● check" if name in absurd else self._origin(name)
            self._notes[name].setText(said)
        # Of one line, each: what lies below may not move under the mouse.
        self.hint.setText(
            "Type the values that are marked ●."
            if any(map(self._is_empty, asked))
            else next(iter(absurd.values()), "Correct what is wrong, then go on.")
        )

    def _origin(self, name: str) -> str:
        origin = self._origins.get(name, "")
        return f"● {origin}" if name in self._unsure else origin


def _wanted(name: str) -> str:
    """Say that a number is to be typed, and in which unit."""
    unit = "" if name == "modality" else QUANTITIES[name].unit
    return f"● in {unit}" if unit else "● required"


def _shown(box: Any) -> str:
    """Return what a box says, without zeros that say nothing."""
    text = str(box.native.text())
    number, space, unit = text.partition(" ")
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    return f"{number}{space}{unit}".strip()
