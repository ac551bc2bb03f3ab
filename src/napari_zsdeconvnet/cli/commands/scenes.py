"""Scenes of microscope files on the command line: one by its name or number, or all of them."""

from __future__ import annotations

import argparse
import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...io.image_files import scenes_of
from ...io.ome_zarr import is_plate
from ...io.scenes import scene_number
from ...io.zarr_stores import is_zarr
from ...utils.errors import InputError
from ...workflow.result_files import endings_of

ALL = "all"


class SceneFile(str):
    """The name of a file with several scenes, and the one of them that is meant.

    Attributes
    ----------
    scene
        Its number, counted from 0; the name of a field of a plate.
    ending
        What tells it from the others in the names of results.
    """

    scene: int | str
    ending: str

    def __new__(cls, path: str, scene: int | str, ending: str) -> SceneFile:
        """Keep the scene beside the name."""
        file = super().__new__(cls, path)
        file.scene, file.ending = scene, ending
        return file

    def __getnewargs__(self) -> tuple[str, int | str, str]:  # type: ignore[override]
        """Give what it is made of, so that it can be sent to another process."""
        return str(self), self.scene, self.ending


def expand(patterns: Sequence[str]) -> list[str]:
    """List the files that names and patterns stand for, since not every shell does.

    Parameters
    ----------
    patterns
        File names, or patterns with ``*``, ``?`` and ``[...]`` (``**`` for any folder).

    Returns
    -------
    list of str
        Each file once, in the order given.

    Raises
    ------
    InputError
        If nothing matches a pattern.
    """
    files: list[str] = []
    for pattern in patterns:
        if Path(pattern).exists() or not glob.has_magic(pattern):
            files.append(pattern)
            continue
        matches = sorted(glob.glob(pattern, recursive=True))
        if not matches:
            raise InputError(
                "file-missing", f"No file matches {pattern}; check the folder and the pattern."
            )
        files.extend(matches)
    return list(dict.fromkeys(files))


def inputs(arguments: argparse.Namespace) -> list[str]:
    """List the files that are named, with those scenes that are asked for.

    Parameters
    ----------
    arguments
        With `images` and `scene`, which is None, a number, a name, or "all".

    Raises
    ------
    InputError
        If a file has no such scene, or the only one cannot be read; of several it is taken as it
        is, and fails where it is read.
    """
    files = expand(arguments.images)
    wanted = getattr(arguments, "scene", None)
    return [one for path in files for one in _scenes(path, wanted, alone=len(files) == 1)]


def _scenes(path: str, wanted: str | None, *, alone: bool) -> Sequence[str]:
    try:
        plate = is_zarr(path) and is_plate(path)
        if wanted is None:
            if not plate:
                return [path]
            wanted = ALL  # a plate is no image, so all of its fields are meant
        names = scenes_of(path)
    except InputError:
        if alone:
            raise
        return [path]
    if len(names) == 1:
        if wanted != ALL:
            scene_number(wanted, names, path)
        return [path]
    numbers = range(len(names)) if wanted == ALL else [scene_number(wanted, names, path)]
    endings = endings_of(names, "scene")
    return [SceneFile(path, names[n] if plate else n, endings[n]) for n in numbers]


def part_of(path: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Say which level and scene of a file is meant, as `read_image` takes it."""
    scene = path.scene if isinstance(path, SceneFile) else getattr(arguments, "scene", None)
    if scene == ALL:
        if len(scenes_of(path)) > 1:
            raise InputError(
                "option-for-several-images",
                f"--scene all is for run, train and predict; name one scene of {path}.",
            )
        scene = None
    return {"level": getattr(arguments, "level", None) or 0, "scene": scene}


def stem_of(path: str, stem: str) -> str:
    """Give the beginning of the names of results: that of the file, and which scene it is."""
    return f"{stem}_{path.ending}" if isinstance(path, SceneFile) else stem


def title_of(path: str) -> str:
    """Name a file, and its scene, in a sentence."""
    return f"{path} ({path.ending})" if isinstance(path, SceneFile) else path
