"""What is known of the optics behind a layer, each number with where it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from ...modes.registry import mode_named
from ..workers.remembered_optics import last_typed, remembered

if TYPE_CHECKING:
    from ...io.acquisition import Optics, Recorded
    from ..workers.preferences import MicroscopePreset

LASTING = (
    *("na", "wavelength", "modality", "refractive_index"),
    *("excitation_wavelength", "pinhole", "sheet_thickness"),
)
"""What stays the same from one recording of a channel to the next."""

TYPED = "typed"


@dataclass(frozen=True)
class Fact:
    """One number or word."""

    value: Any
    """Lengths in micrometres."""
    origin: str
    """Where it comes from, as a user would say it."""
    sure: bool = True
    """False for what is only a suggestion, to be looked at before it is used."""


class Facts(dict[str, Fact]):
    """What is known, by the names of `Optics` and ``pixel_size``, ``axial_step``.

    The first to say something is believed.
    """

    def add(self, values: Mapping[str, Any], origin: str, *, sure: bool = True) -> None:
        """Take what is not known yet."""
        for name, value in values.items():
            if value is not None:
                self.setdefault(name, Fact(value, origin, sure))

    def missing(self, names: Iterable[str]) -> list[str]:
        """Return those of the names that are not surely known."""
        return [name for name in names if name not in self or not self[name].sure]

    def values_of(self, names: Iterable[str]) -> dict[str, Any]:
        """Return the bare values of those that are known."""
        return {name: self[name].value for name in names if name in self}


def gather(
    pixel: float | None,
    step: float | None,
    recorded: Recorded,
    optics: Optics,
    channel: str,
    presets: tuple[MicroscopePreset, ...],
    answers: Mapping[str, Any],
) -> Facts:
    """Put together what layer, file, memory and preferences say, in the order of trust.

    Pixel and plane step are those of the layer's scale in micrometres, the optics those that the
    file gives its channel, and the answers what the user has typed for it before. A single
    microscope of the preferences is taken to be the one.
    """
    facts = Facts()
    facts.add(answers, TYPED)
    facts.add({"pixel_size": pixel, "axial_step": step}, "from the layer")
    facts.add({"pixel_size": recorded.steps[-1], "axial_step": recorded.steps[0]}, "from the file")
    said = {field.name: getattr(optics, field.name) for field in fields(optics)}
    facts.add(said, "from the file")
    facts.add(remembered(channel), f"remembered for channel {channel!r}")
    if len(presets) == 1:
        facts.add(preset_values(presets[0]), f"microscope {presets[0].name!r}")
    facts.add({"modality": "widefield"}, "assumed")
    facts.add(last_typed(), "as before", sure=False)
    facts.add({"pinhole": 1.0}, "usual", sure=False)
    return facts


def preset_values(preset: MicroscopePreset) -> dict[str, Any]:
    """Return what a microscope of the preferences says of the optics."""
    names = ("na", "refractive_index", "pixel_size")
    return {name: getattr(preset, name) for name in names}


def needed(
    spatial: str, modality: str, *, sim: bool, psf: bool, mode: str | None = None
) -> tuple[str, ...]:
    """Return which numbers a recording needs.

    A PSF makes its own numbers needless. A mode that the user has chosen goes before what the axes
    and ``sim`` say.
    """
    return mode_named(mode or mode_of(spatial, sim=sim)).needs(modality, psf=psf)


def mode_of(spatial: str, *, sim: bool) -> str:
    """Return the mode of raw SIM frames, of images or of volumes."""
    return "sim" if sim else {"YX": "image", "ZYX": "volume"}[spatial]
