"""The three numbers of the camera's noise, each with its standard error and its origin."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from magicgui.widgets import FloatSpinBox
from psygnal import Signal
from qtpy.QtWidgets import QGridLayout, QWidget

from ...noise.noise_model import NoiseModel
from .forms import note, number, plain

OFFSET, GAIN, READ_VARIANCE = "offset", "gain", "read_variance"
TYPED = "typed by hand"
LARGEST = 1e6  # counts; beyond any camera


@dataclass(frozen=True)
class Value:
    """One number as it is shown."""

    value: float | None = None
    """None while it is not known."""
    error: float | None = None
    """Its standard error, where there is one."""
    origin: str = ""
    """Where it comes from, in words."""


class NoiseValues(QWidget):
    """Offset, gain and read variance to read and to type over."""

    typed = Signal()
    """Emitted when the user has typed a number."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.boxes = _boxes()
        self.excess_box = number(
            "Excess noise",
            1,
            unit="",
            minimum=1.0,
            maximum=10.0,
            step=0.1,
            tooltip="Square of the excess noise factor: 2 of an EMCCD that multiplies electrons, 1 "
            "of every other camera. Of a gain that was measured it takes its part away; a gain "
            "that was typed stays.",
        )
        self._excess_noise = 1.0
        self._values = {name: Value() for name in self.boxes}
        self.error_labels = {name: plain() for name in self.boxes}
        self.origin_labels = {name: note() for name in self.boxes}
        self._edited = dict.fromkeys(self.boxes, False)
        self._lay_out()
        for name, box in self.boxes.items():
            box.changed.connect(partial(self._on_typed, name))
            # A number typed anew is typed by hand also when it is the same number.
            box.native.lineEdit().textEdited.connect(partial(self._on_edited, name))
            box.native.editingFinished.connect(partial(self._on_finished, name))
        self.excess_box.changed.connect(self._on_excess_noise)
        self._show()

    def _lay_out(self) -> None:
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setVerticalSpacing(2)
        layout.setColumnStretch(1, 1)
        for row, (name, box) in enumerate(self.boxes.items()):
            label, error = plain(box.label), self.error_labels[name]
            origin = self.origin_labels[name]
            label.setToolTip(box.tooltip)
            error.setToolTip("Standard error.")
            error.setMinimumWidth(56)
            origin.setContentsMargins(0, 0, 0, 4)
            layout.addWidget(label, 2 * row, 0)
            layout.addWidget(box.native, 2 * row, 1)
            layout.addWidget(error, 2 * row, 2)
            layout.addWidget(origin, 2 * row + 1, 0, 1, 3)
        layout.addWidget(plain(self.excess_box.label), 2 * len(self.boxes), 0)
        layout.addWidget(self.excess_box.native, 2 * len(self.boxes), 1)

    @property
    def excess_noise(self) -> float:
        """Square of the excess noise factor, 1 of a camera that multiplies nothing."""
        return self._excess_noise

    def _on_excess_noise(self, excess_noise: float) -> None:
        """Keep the noise that was measured, and a gain that was typed."""
        gain = self._values[GAIN]
        if gain.value is not None and gain.origin != TYPED:
            share = self._excess_noise / excess_noise
            error = None if gain.error is None else gain.error * share
            self._values[GAIN] = Value(gain.value * share, error, gain.origin)
        self._excess_noise = excess_noise
        self._show()
        self.typed.emit()

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    @property
    def complete(self) -> bool:
        """Whether enough is known for a noise model; the gain may be missing."""
        return self[OFFSET].value is not None and self[READ_VARIANCE].value is not None

    def take(self, noise: NoiseModel, names: Iterable[str], origin: str | None = None) -> None:
        """Take some of the numbers that a noise model has, with their errors and origin."""
        for name in names:
            value = getattr(noise, name)
            if name == GAIN and value is not None:
                self._excess_noise = noise.excess_noise
            if value is not None:
                error = getattr(noise, f"{name}_error")
                self._values[name] = Value(value, error, origin or noise.source)
        self._show()

    def drop(self, names: Iterable[str]) -> None:
        """Forget some of the numbers."""
        for name in names:
            self._values[name] = Value()
        self._show()

    def model(self, warnings: tuple[str, ...] = ()) -> NoiseModel | None:
        """Return the noise model of these numbers, or None while some are not known."""
        if not self.complete:
            return None
        numbers: dict[str, Any] = {name: value.value for name, value in self._values.items()}
        errors: dict[str, Any] = {
            f"{name}_error": value.error for name, value in self._values.items()
        }
        return NoiseModel(
            **numbers,
            **errors,
            source=self._source(),
            warnings=warnings,
            excess_noise=self._excess_noise,
        )

    def _source(self) -> str:
        names: dict[str, list[str]] = {}
        for name, value in self._values.items():
            if value.value is not None:
                names.setdefault(value.origin, []).append(name.replace("_", " "))
        if len(names) == 1:
            return next(iter(names))
        return ", ".join(f"{' and '.join(few)}: {origin}" for origin, few in names.items())

    def _on_edited(self, name: str, _: str) -> None:
        self._edited[name] = True

    def _on_finished(self, name: str) -> None:
        if self._edited[name]:
            self._on_typed(name, self.boxes[name].value)

    def _on_typed(self, name: str, value: float) -> None:
        self._edited[name] = False
        unknown = value <= self.boxes[name].min  # for which it stands
        self._values[name] = Value() if unknown else Value(value, None, TYPED)
        self._show()
        self.typed.emit()

    def _show(self) -> None:
        with self.excess_box.changed.blocked():
            self.excess_box.value = self._excess_noise
        for name, box in self.boxes.items():
            known = self._values[name]
            # What the user is typing must not be replaced.
            if not self._edited[name]:
                with box.changed.blocked():
                    shown = box.min if known.value is None else known.value
                    box.value = min(max(shown, box.min), box.max)
            error = "" if known.error is None else f"± {known.error:.2g}"
            self.error_labels[name].setText(error)
        self._show_origins()

    def _show_origins(self) -> None:
        """Say where each number comes from, and once if all come from the same."""
        unknown = dict.fromkeys(self.boxes, "not known yet") | {GAIN: "measured when training"}
        origins = {name: value.origin or unknown[name] for name, value in self._values.items()}
        last = list(origins)[-1]
        alike = len(set(origins.values())) == 1
        for name, origin in origins.items():
            label = self.origin_labels[name]
            label.setText(f"Origin of all: {origin}" if alike else f"Origin: {origin}")
            label.setVisible(not alike or name == last)

    def measured_apart(self, name: str) -> float | None:
        """Return a number that does not itself stem from photon transfer, if there is one."""
        value = self[name]
        return None if "photon transfer" in value.origin else value.value

    def wanted(self) -> tuple[str, ...]:
        """Say what photon transfer is to give: the gain, and what nothing better has given."""
        missing = [n for n in (OFFSET, READ_VARIANCE) if self.measured_apart(n) is None]
        return (*missing, GAIN)


def _boxes() -> dict[str, FloatSpinBox]:
    return {
        OFFSET: number(
            "Offset",
            0,
            unit="counts",
            minimum=-LARGEST,
            maximum=LARGEST,
            absent="not known",
            tooltip="What a pixel reads without light, in camera counts.",
        ),
        GAIN: number(
            "Gain",
            0,
            unit="counts/e⁻",
            maximum=LARGEST,
            step=0.1,
            decimals=3,
            absent="not measured",
            tooltip="Camera counts per photoelectron. A background box cannot tell it; while "
            "it is not measured, training measures it in its image.",
        ),
        READ_VARIANCE: number(
            "Read variance",
            0,
            unit="counts²",
            minimum=-1,
            maximum=LARGEST**2,
            absent="not known",
            tooltip="Variance of a pixel without light, in counts squared (beta2): the square "
            "of the read noise in counts.",
        ),
    }


def readiness(values: NoiseValues, unfit: str) -> list[str]:
    """Say whether these numbers are enough to train, and what is to be done where they are not.

    ``unfit`` says why the background box gives none; empty if it does.
    """
    lines = []
    gain, variance = values[GAIN].value, values[READ_VARIANCE].value
    if gain is not None and variance is not None:
        lines.append(f"Read noise {variance**0.5 / gain:.2g} electrons.")
    if not values.complete:
        why = f" ({unfit})" if unfit else ""
        lines.append(
            f"Not ready{why}: training needs offset and read variance. Draw the box where the "
            "image is empty, measure them in another way or type them."
        )
    elif gain is None:
        lines.append("Ready. The gain will be measured in the image that is trained on.")
    else:
        lines.append("Ready.")
    return lines
