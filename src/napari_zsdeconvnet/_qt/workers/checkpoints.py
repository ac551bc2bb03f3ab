"""Where trainings in windows are saved while they go on, and what a crash has left there."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...utils.errors import InputError
from .remembered_optics import memory_file

_ENDING = ".checkpoint.safetensors"
_RENEWED = 60.0  # seconds; a file younger than that is of a training that goes on


def folder() -> Path | None:
    """Return the folder, beside napari's settings; None where napari keeps nothing either."""
    path = memory_file()
    return None if path is None else path.with_name("napari-zsdeconvnet-trainings")


def new_checkpoint() -> Path | None:
    """Name the file of a training that begins; no other has it."""
    place = folder()
    return None if place is None else place / f"{secrets.token_hex(4)}{_ENDING}"


def is_checkpoint(path: str | Path) -> bool:
    """Tell whether a file is one of these."""
    return Path(path).parent == folder() and Path(path).name.endswith(_ENDING)


def all_broken_off() -> list[Path]:
    """Return the trainings that a crash has ended, the latest first."""
    place = folder()
    try:
        found = [] if place is None else list(place.glob(f"*{_ENDING}"))
        times = {path: path.stat().st_mtime for path in found}
    except OSError:
        return []
    left = [path for path in times if time.time() - times[path] > _RENEWED]
    return sorted(left, key=lambda path: times[path], reverse=True)


@dataclass(frozen=True)
class Broken:
    """A training that a crash has ended."""

    path: Path
    name: str
    """What it was trained on."""
    step: int
    planned: int
    complete: bool
    """Whether it had nothing left to do."""


def latest_broken(left: Sequence[Path], *, raw_sim: bool) -> Broken | None:
    """Read of trainings that broke off, in a worker, and return the first of a kind.

    The kind is that of raw SIM frames, or that of images and volumes.
    """
    from ...model.facts import ModelFacts

    for path in left:
        try:
            facts = ModelFacts.read(path)
        except InputError:
            continue
        if facts.raw_sim == raw_sim and facts.steps_trained:
            name = facts.sources[0].name if facts.sources else "an image"
            return Broken(path, name, facts.steps_trained, facts.planned, facts.complete)
    return None
