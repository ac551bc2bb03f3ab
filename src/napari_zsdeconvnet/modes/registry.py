"""The modes there are: four of our own, and those that other packages add.

A package adds a mode by an entry point of the group ``napari_zsdeconvnet.modes``, which names the
class; a program adds one with `register`.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from ..io.image import Image
from ..utils.errors import InputError
from .base import NOTHING, Known, Mode

GROUP = "napari_zsdeconvnet.modes"

_OWN = (
    "sim_2d.RawSIM2D",
    "sim_3d.SIMStack",
    "volume_3d.Volume3D",
    "image_2d.Image2D",
)
"""In the order in which they are asked: those that recognise fewer recordings come first."""

_registered: list[type[Mode]] = []


def register(mode: type[Mode]) -> type[Mode]:
    """Add a mode, which is asked before all others; one of the same name is replaced.

    Parameters
    ----------
    mode : type
        A class derived from `Mode`.

    Returns
    -------
    type
        The same, so that this can decorate a class.

    Examples
    --------
    >>> import napari_zsdeconvnet as zs
    >>> @zs.register
    ... class Lightning(zs.Mode):
    ...     name = "lightning"
    >>> Lightning.needs("widefield", psf=True)
    ('pixel_size',)
    """
    _registered[:] = [mode, *(one for one in _registered if one.name != mode.name)]
    return mode


def modes() -> tuple[type[Mode], ...]:
    """Return all modes in the order in which they are asked whether a recording is theirs."""
    found = {mode.name: mode for mode in (*_registered, *_installed(), *_own())}
    return tuple(found.values())


def offered() -> tuple[type[Mode], ...]:
    """Return the modes that a window offers by name; it asks what tells the others apart."""
    own = _own()
    return tuple(mode for mode in modes() if mode.by_request or mode not in own)


def mode_named(name: str) -> type[Mode]:
    """Return the mode of a name; InputError if there is none."""
    for mode in modes():
        if mode.name == name:
            return mode
    raise _unknown(name)


def preview_interval(kind: str) -> int:
    """Return the steps between previews where the presets are of that kind."""
    return next(mode.preview_every for mode in _own() if mode.kind == kind)


def _unknown(name: str) -> InputError:
    names = ", ".join(sorted({mode.name for mode in modes()}))
    return InputError("mode-unknown", f"There is no mode {name!r}: choose one of {names}.")


def find_mode(
    recording: Image, name: str | type[Mode] | None = None, known: Known = NOTHING
) -> tuple[type[Mode], str]:
    """Choose the mode of a recording.

    Parameters
    ----------
    recording : Image
        Raw counts with their axes.
    name : str or type, optional
        Of a mode or of a family; of a family the first that fits. By default the first mode that
        recognises the recording.
    known : Known
        What is known of it.

    Returns
    -------
    type
        The class of the mode.
    str
        Why it was chosen; empty where it was asked for.

    Raises
    ------
    InputError
        If there is no mode of that name.
    """
    if isinstance(name, type):
        return name, ""
    if name is None:
        for mode in modes():
            why = mode.recognised(recording, known)
            if why:
                return mode, why
        raise InputError(
            "mode-not-found", f"No mode is for {recording.name or 'this recording'}: name one."
        )
    named = [mode for mode in modes() if name in (mode.name, mode.family)]
    if not named:
        raise _unknown(name)
    return next((mode for mode in named if mode.fits(recording, known)), named[0]), ""


@cache
def _own() -> tuple[type[Mode], ...]:
    places = (place.split(".") for place in _OWN)
    return tuple(getattr(import_module(f".{module}", __package__), name) for module, name in places)


@cache
def _installed() -> tuple[type[Mode], ...]:
    return tuple(entry.load() for entry in entry_points(group=GROUP))
