"""Images out of ND2, CZI and LIF, with the extra `formats`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..utils.errors import InputError
from .axes import ORDER, Note, about, check_kind
from .image import Image
from .lazy import LazyArray
from .scenes import SceneFile, ScenePages, scene_number
from .tiff_tags import possible_steps, voxel_size_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LONGEST = 120  # letters of what a library says of an error


def _nd2(path: Path) -> SceneFile:
    from .nd2_file import ND2

    return ND2(path)


def _czi(path: Path) -> SceneFile:
    from .czi_file import CZI

    return CZI(path)


def _lif(path: Path) -> SceneFile:
    from .lif_file import LIF

    return LIF(path)


_READERS: dict[str, tuple[Callable[[Path], SceneFile], str]] = {
    ".nd2": (_nd2, "nd2"),
    ".czi": (_czi, "pylibCZIrw"),
    ".lif": (_lif, "liffile"),
}
MICROSCOPE_SUFFIXES = tuple(_READERS)
"""Endings of the names of files that are read here."""


def scene_names(path: Path) -> tuple[str, ...]:
    """List the names of the scenes of a file; InputError if it cannot be read."""
    file = _open(path)
    try:
        with _worded(path):
            return file.names
    finally:
        file.close()


def read_scene(path: Path, scene: int | str | None, mapped_from: int) -> tuple[Image, int | None]:
    """Read one scene of a file, and give its number if there are several.

    Parameters
    ----------
    path
        The file.
    scene
        By number, counted from 0, or by name; None for the first.
    mapped_from
        Bytes from which on pixels are read where they are cut.

    Raises
    ------
    InputError
        If the file is damaged or has no such scene, or the scene is no image.
    """
    pages, names = _pages_of(path, scene)
    described = pages.scene
    check_kind(pages, path.name)
    order = "".join(letter for letter in ORDER if letter in described.axes)
    data: Any = LazyArray(pages, described.axes, order)
    if pages.nbytes < mapped_from:
        data = np.asarray(data)
        pages.close()
    found = described.recorded
    sizes = dict(zip("ZYX", found.steps, strict=True))
    if "Z" not in order:
        sizes["Z"] = None
    steps, impossible = possible_steps(sizes)
    voxel_size, missing = voxel_size_of(steps, order)
    said = [*described.notes, *impossible, *missing]
    notes: list[str] = [Note(f"{path.name}: {note}", about(note)) for note in said]
    several = len(names) > 1
    if several and scene is None:
        notes.append(f"{path.name} holds {len(names)} scenes; the first ({names[0]}) is read.")
    channels = data.shape[order.index("C")] if "C" in order else 1
    image = Image(
        cast("NDArray[Any]", data),
        order,
        voxel_size,
        path.name,
        found.channel_names if len(found.channel_names) == channels else (),
        found.frame_interval if "T" in order else None,
        tuple(notes),
        found.channels,
        steps=steps,
        display=described.display if len(described.display) == channels else (),
    )
    return image, pages.number if several else None


def _pages_of(path: Path, scene: int | str | None) -> tuple[ScenePages, tuple[str, ...]]:
    """Open a file for as long as the pixels of one of its scenes are used."""
    file = _open(path)
    try:
        with _worded(path):
            names = file.names
            number = scene_number(scene, names, path)
            pages = ScenePages(
                file, number, file.scene(number), lambda error: _broken(path, error), _again
            )
    except BaseException:
        file.close()
        raise
    return pages, names


def _again(path: str, number: int) -> ScenePages:
    """Open once more what was pickled."""
    return _pages_of(Path(path), number)[0]


def _open(path: Path) -> SceneFile:
    reader, package = _READERS[path.suffix.lower()]
    try:
        with _worded(path):
            return reader(path)
    except ImportError as error:
        lacking = (error.name or package).split(".")[0]
        own = lacking.lower() == package.lower()
        wanted = '"napari-zsdeconvnet[formats]"' if own else lacking
        if own and package == "pylibCZIrw":
            wanted += " (for Python 3.11 to 3.13)"
        raise InputError(
            "extra-missing",
            f"{path} is {path.suffix[1:].upper()}, and {lacking} is not installed; run: "
            f"pip install {wanted}.",
        ) from error


@contextmanager
def _worded(path: Path) -> Iterator[None]:
    """Word what a library raises of a damaged file, of which there is every kind."""
    try:
        yield
    except (InputError, ImportError, FileNotFoundError, PermissionError, MemoryError):
        raise
    except Exception as error:
        raise _broken(path, error) from error


def _broken(path: Path, error: Exception) -> InputError:
    reason = str(error).strip().split("\n")[0][:_LONGEST].rstrip(".") or type(error).__name__
    return InputError(
        "scene-damaged",
        f"{path} is truncated, damaged or of a kind that its library does not know ({reason}); "
        "copy it again, or export it as OME-TIFF.",
        path=path,
    )
