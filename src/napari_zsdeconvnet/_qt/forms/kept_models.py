"""Models in files: read in a worker, and saved by themselves where the preferences say so."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QWidget

from ..workers import preferences
from ..workers.workers import in_background

if TYPE_CHECKING:
    from ...model.model import Model


def read_model(path: str | Path) -> Model:
    """Read a model, with torch loaded no sooner than that: for a worker."""
    from ...model.model import Model

    return Model.load(path)


def keep_by_itself(
    owner: QWidget, model: Model, name: str, on_kept: Callable[[Path], None] | None = None
) -> None:
    """Save a model, named after a layer, where the preferences say that models go, if they do."""
    folder = preferences.models_folder()
    if folder is not None:
        keep_in(folder, owner, model, name, on_kept)


def keep_in(
    folder: Path,
    owner: QWidget,
    model: Model,
    name: str,
    on_kept: Callable[[Path], None] | None = None,
) -> None:
    """Save a model in a folder, in a worker, under a name that is still free."""
    in_background(owner, "saving a model", partial(_keep, model, folder, name), on_kept)


def _keep(model: Model, folder: Path, name: str) -> Path:
    from ...model.store import keep

    return keep(model, folder, name)
