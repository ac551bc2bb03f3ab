"""The folder of models: what is in it, and keeping, renaming and deleting them."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_data_path

from ..utils.errors import InputError
from ..utils.files import make_folder

if TYPE_CHECKING:  # a window that renames and deletes need not wait for torch
    from .facts import ModelFacts
    from .model import Model

SUFFIX = ".safetensors"
_FOLDER = "napari-zsdeconvnet"


def default_folder() -> Path:
    """Return the folder for models under the user's own data; it may not exist yet."""
    folder = Path(_FOLDER) / "models"
    if sys.platform == "darwin":
        # Where models were kept before XDG_DATA_HOME had a say on macOS.
        former = Path.home() / "Library" / "Application Support" / folder
        if former.is_dir():
            return former
    return user_data_path() / folder


@dataclass(frozen=True, eq=False)
class Kept:
    """A model in a folder.

    Attributes
    ----------
    path
        The file.
    date
        When it was trained, in local time; of models that do not say, when the file was written.
    facts
        What the file says of itself; None where it cannot be read.
    problem
        Why not.
    """

    path: Path
    date: datetime
    facts: ModelFacts | None = None
    problem: str = ""

    @property
    def name(self) -> str:
        """The file's name, without its ending."""
        return self.path.stem

    @property
    def trained_on(self) -> str:
        """Names of the training images."""
        sources = () if self.facts is None else self.facts.sources
        names = [source.name for source in sources]
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

    @property
    def pixel_size(self) -> str:
        """Raw pixel in words, or voxel; empty where it is not known."""
        size = None if self.facts is None else self.facts.voxel_size
        if size is None:
            return ""
        from ..io.grid import nanometres

        return nanometres(size[1:] if len(size) == 2 else size)

    @property
    def psf(self) -> str:
        """Width of the PSF and where it comes from, in words."""
        if self.facts is None:
            return ""
        psf = self.facts.psf
        width = psf.fwhm[-1] * (1000 if psf.voxel_size else 1)
        unit = "nm" if psf.voxel_size else "output pixels"
        return f"{width:.3g} {unit} wide, {psf.source}"


def kept_models(folder: str | os.PathLike[str]) -> list[Kept]:
    """List the models in a folder, which need not exist, the latest first; no weights are read.

    Files that are no models are left out unless their names say that they are.
    """
    try:
        paths = [path for path in Path(folder).iterdir() if path.suffix.lower() == SUFFIX]
    except OSError:
        return []
    found = [_kept(path) for path in paths if path.is_file() and not path.name.startswith(".")]
    return sorted(found, key=lambda kept: (kept.date, kept.name), reverse=True)


def _kept(path: Path) -> Kept:
    from .facts import ModelFacts

    written = datetime.fromtimestamp(path.stat().st_mtime, UTC).astimezone()
    try:
        facts = ModelFacts.read(path)
    except InputError as error:
        return Kept(path, written, problem=str(error))
    if facts.stretches:
        written = datetime.fromisoformat(facts.stretches[-1].started).astimezone()
    return Kept(path, written, facts)


def keep(model: Model, folder: str | os.PathLike[str], name: str) -> Path:
    """Save a model in a folder, which is made if need be, under a name that is still free.

    The file is called what the model is of, with date and time behind it; what a file's name may
    not hold is replaced. Raises InputError if the folder cannot be made or the file not written.
    """
    folder = make_folder(folder)
    plain = re.sub(r"[^\w.-]+", "_", name).strip("._") or "model"
    stem = f"{plain}_{datetime.now().strftime('%Y%m%d-%H%M%S')}"
    path, number = folder / f"{stem}{SUFFIX}", 2
    while path.exists():
        path, number = folder / f"{stem}_{number}{SUFFIX}", number + 1
    model.save(path)
    return path


def rename(path: str | os.PathLike[str], name: str) -> Path:
    """Give a model's file another name in its folder, with or without its ending.

    Raises InputError if the name is empty, taken or no file name, or the file cannot be renamed.
    """
    path, wanted = Path(path), name.strip().removesuffix(SUFFIX).strip()
    if not wanted or wanted.startswith(".") or re.search(r'[/\\:*?"<>|\x00-\x1f]', wanted):
        raise InputError(
            "model-name-wrong",
            f"{name!r} is no name for a file; use letters, digits, spaces, - and _.",
        )
    target = path.with_name(f"{wanted}{SUFFIX}")
    if target == path:
        return path
    # On some systems names that differ in capitals alone are the same file.
    if target.exists() and not target.samefile(path):
        raise InputError(
            "model-name-taken", f"There is a model named {wanted} already; choose another name."
        )
    try:
        return path.rename(target)
    except OSError as error:
        raise InputError(
            "model-not-movable", f"{path.name} cannot be renamed ({error.strerror})."
        ) from error


def delete(path: str | os.PathLike[str]) -> None:
    """Delete a model's file.

    Raises
    ------
    InputError
        If it is no model file, or cannot be deleted.
    """
    path = Path(path)
    if path.suffix.lower() != SUFFIX:
        raise InputError("no-model-file", f"{path.name} is no model file; it was left where it is.")
    try:
        path.unlink()
    except OSError as error:
        raise InputError(
            "model-not-movable", f"{path.name} cannot be deleted ({error.strerror})."
        ) from error
