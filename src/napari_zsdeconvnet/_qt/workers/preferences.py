"""What the user has set for this plugin in napari's preferences.

napari before 0.9 has no preferences for plugins; the defaults hold there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...model.store import default_folder
from ...noise.noise_model import NoiseModel

PLUGIN = "napari-zsdeconvnet"

SLOTS = ("microscope_1", "microscope_2", "microscope_3")
"""The microscopes that the manifest has room for."""

_NANOMETRES = 1000.0


@dataclass(frozen=True)
class MicroscopePreset:
    """One microscope of the preferences, its camera as in `NoiseModel`.

    None stands where a number was left at 0; the pixel is given in micrometres.
    """

    name: str
    na: float | None = None
    refractive_index: float | None = None
    pixel_size: float | None = None
    offset: float | None = None
    gain: float | None = None
    read_variance: float | None = None

    @property
    def noise(self) -> NoiseModel | None:
        """The camera, where all of it is known; the gain may be missing."""
        if self.offset is None or self.read_variance is None:
            return None
        source = f"the preferences, {self.name}"
        return NoiseModel(self.offset, self.gain, self.read_variance, source=source)


def microscopes() -> tuple[MicroscopePreset, ...]:
    """Return the microscopes that have a name."""
    settings = _settings()
    found = []
    for slot in SLOTS:
        values = getattr(settings, slot, None)
        if values is None or not str(values.name).strip():
            continue
        numbers = {
            name: float(getattr(values, name)) or None
            for name in ("na", "refractive_index", "pixel_size", "offset", "gain", "read_variance")
        }
        if numbers["pixel_size"] is not None:
            numbers["pixel_size"] /= _NANOMETRES
        found.append(MicroscopePreset(str(values.name).strip(), **numbers))
    return tuple(found)


def device() -> str:
    """Return what is to compute, as `train` and `predict` take it."""
    return str(_computing("device", "auto"))


def threads() -> int | None:
    """Return how many threads may compute; None leaves one core to the window."""
    return int(_computing("threads", 0)) or None


def models_folder() -> Path | None:
    """Return where models go by themselves; None where they do not."""
    text = str(_computing("models", "")).strip()
    return Path(text).expanduser() if text else None


def models_home() -> Path:
    """Return the folder whose models are listed: that of the preferences, or the usual one."""
    return models_folder() or default_folder()


def suggested_path(name: str) -> str:
    """Return where a dialog that saves a model begins."""
    folder = models_folder()
    return name if folder is None else str(folder / name)


def _computing(name: str, otherwise: Any) -> Any:
    return getattr(getattr(_settings(), "computing", None), name, otherwise)


def _settings() -> Any:
    try:
        from napari.settings import get_plugin_settings
    except ImportError:
        return None
    try:
        return get_plugin_settings(PLUGIN)
    except KeyError:  # napari does not know the plugin, as when it was switched off
        return None
