"""Zarr groups in folders, zip files and at addresses, and arrays of them that are read lazily."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..utils.errors import InputError, UnreadableError
from .lazy import Sliced, whole_index

if TYPE_CHECKING:
    import zarr
    from numpy.typing import NDArray

ZARR_SUFFIXES = (".zarr", ".zarr.zip", ".ozx")
"""Endings of the names of folders and zip files that hold OME-Zarr."""

_MARKS = ("zarr.json", ".zgroup", ".zattrs", ".zarray")
_KEPT = 2**29  # bytes of decoded chunks
_COUNTED = 10_000  # chunks that are looked for on opening, at most
_NAMED = 3


def is_address(path: str | os.PathLike[str]) -> bool:
    """Tell whether a name is an address, such as ``s3://bucket/cells.ome.zarr``."""
    return "://" in str(path)


def local_path(path: str | os.PathLike[str]) -> Path | None:
    """Return where a name lies on this machine, ``file://`` included; None for other addresses."""
    kind, mark, place = str(path).partition("://")
    if mark and kind not in ("file", "local"):
        return None
    return Path(place if mark else path).resolve()


def outermost_zarr(path: Path) -> Path:
    """Return the outermost Zarr that a place lies in, such as a plate, or the place itself."""
    return next((one for one in reversed(path.parents) if holds_zarr(one)), path)


def is_zarr(path: str | os.PathLike[str]) -> bool:
    """Tell by its name, or by what a folder holds, whether Zarr is meant."""
    return is_address(path) or names_zarr(path) or holds_zarr(path)


def holds_zarr(path: str | os.PathLike[str]) -> bool:
    """Tell whether a folder is Zarr, by what it holds."""
    return any((Path(path) / mark).is_file() for mark in _MARKS)


def names_zarr(path: str | os.PathLike[str]) -> bool:
    """Tell whether a name is that of Zarr."""
    return str(path).rstrip("/\\").lower().endswith(ZARR_SUFFIXES)


def name_of(path: str | os.PathLike[str]) -> str:
    """Return the last part of a path or an address, of what lies in a Zarr from this on."""
    parts = str(path).split("?")[0].replace("\\", "/").rstrip("/").split("/")
    first = next((n for n, part in enumerate(parts) if names_zarr(part)), len(parts) - 1)
    return "/".join(parts[first:])


def require_zarr(path: str | os.PathLike[str]) -> None:
    """Refuse Zarr where the packages for it are not installed, and say how they are."""
    try:
        import zarr

        major = int(zarr.__version__.split(".")[0])
    except ImportError:
        major = 0
    if major < 3:
        raise InputError(
            "extra-missing",
            f"{path} is OME-Zarr, and zarr 3 is not installed; run: "
            'pip install "napari-zsdeconvnet[zarr]".',
        )


def open_group(path: str | os.PathLike[str]) -> zarr.Group:
    """Open the group in a folder, a zip file or at an address that fsspec knows, to be read.

    Raises
    ------
    InputError
        If there is none, it cannot be read, or a package for it is missing.
    """
    require_zarr(path)
    import zarr

    local = None if is_address(path) else Path(path)
    if local is not None and not local.exists():
        raise InputError("file-missing", f"{path} does not exist; check the name and the folder.")
    try:
        if local is None:
            return zarr.open_group(str(path), mode="r")
        if local.is_file():
            store = zarr.storage.ZipStore(local, mode="r")
            return zarr.open_group(store, mode="r", path=_root_in_zip(local))
        return zarr.open_group(local, mode="r")
    except zipfile.BadZipFile as error:
        raise InputError(
            "zarr-damaged", f"{path} is not a complete zip file; copy or export it again."
        ) from error
    except ImportError as error:  # fsspec names the package for this kind of address
        raise InputError("extra-missing", f"{path} cannot be reached: {_line(error)}.") from error
    except Exception as error:  # of stores, networks and damaged JSON there is every kind
        raise _no_group(path, error) from error


def _root_in_zip(path: Path) -> str:
    """Find the group in a zip file: at its root, or in the only folder there."""
    with zipfile.ZipFile(path) as file:
        names = file.namelist()
    tops = {name.split("/")[0] for name in names}
    return tops.pop() if len(tops) == 1 and not tops & set(_MARKS) else ""


def _no_group(path: str | os.PathLike[str], error: Exception) -> InputError:
    folder = Path(path)
    if not is_address(path) and any((folder / mark).is_file() for mark in ("zarr.json", ".zarray")):
        return InputError(
            "zarr-no-group",
            f"{path} is no OME-Zarr image that can be read ({_line(error)}); name the folder of "
            "the whole image, and a level of it with its number.",
        )
    zipped = is_address(path) and str(path).split("?")[0].lower().endswith((".ozx", ".zip"))
    return InputError(
        "zarr-no-group",
        f"{path} holds no Zarr that can be read ({_line(error)}); "
        + (
            "a zip file has to lie on this machine: copy it here."
            if zipped
            else "check the name, or export it again."
        ),
    )


def _line(error: object) -> str:
    return str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__


class ZarrPixels(Sliced):
    """An array of a Zarr group, read where it is cut, with the chunk named that cannot be.

    Chunks that were decoded last are kept, since planes are read one by one of chunks that hold
    several. What is pickled is where the array is; a worker opens it again.

    Parameters
    ----------
    path
        Of the group, as `open_group` takes it.
    key
        Of the array in the group.
    array
        The array, where it is open already.
    """

    def __init__(self, path: str | os.PathLike[str], key: str, array: Any = None) -> None:
        self._path, self._key = str(path), key
        if array is None:
            array = open_group(path)[key]
        self._array = array
        self.shape = tuple(int(length) for length in self._array.shape)
        self.dtype = np.dtype(self._array.dtype)
        self._last: tuple[tuple[slice, ...], NDArray[Any]] | None = None

    @property
    def chunks(self) -> tuple[int, ...]:
        """Elements along each axis that are decoded together."""
        return tuple(int(length) for length in self._array.chunks)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._path, self._key)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        entries = whole_index(index, self.shape)
        box = tuple(_span(entry, length) for entry, length in zip(entries, self.shape, strict=True))
        within = tuple(
            entry - part.start
            if isinstance(entry, int)
            else slice(None, None, entry.indices(length)[2])
            for entry, part, length in zip(entries, box, self.shape, strict=True)
        )
        if any(isinstance(entry, slice) and (entry.step or 1) < 0 for entry in entries):
            return np.asarray(self[...])[entries]
        return self._box(box)[within]

    def _box(self, box: tuple[slice, ...]) -> NDArray[Any]:
        """Read a box, out of the chunks that were read last if it lies there."""
        last = self._last
        if last is not None and all(
            kept.start <= part.start and part.stop <= kept.stop
            for kept, part in zip(last[0], box, strict=True)
        ):
            inside = (
                slice(part.start - kept.start, part.stop - kept.start)
                for kept, part in zip(last[0], box, strict=True)
            )
            return last[1][tuple(inside)].copy()
        whole = tuple(
            slice(part.start - part.start % chunk, min(-(-part.stop // chunk) * chunk, length))
            for part, chunk, length in zip(box, self.chunks, self.shape, strict=True)
        )
        size = math.prod(part.stop - part.start for part in whole) * self.dtype.itemsize
        if whole == box or size > _KEPT:
            return self._read(box)
        self._last = None  # before its successor is read
        self._last = (whole, self._read(whole))
        return self._box(box)

    def _read(self, box: tuple[slice, ...]) -> NDArray[Any]:
        try:
            return np.asarray(self._array[box])
        except MemoryError:
            raise
        except Exception as error:  # codecs and stores fail in every way
            bad = list(self._unreadable(box))
            which = f"the chunk{'s' if len(bad) > 1 else ''} {', '.join(bad)}" if bad else "a part"
            raise UnreadableError(
                "chunk-damaged",
                f"{self._path}: {which} cannot be read ({_line(error)}); copy or export it again.",
                path=self._path,
                chunks=tuple(bad),
            ) from error

    def _unreadable(self, box: tuple[slice, ...]) -> Iterator[str]:
        """Name the files in a box that cannot be read, the first few."""
        found = 0
        for place, name in self._files(box):
            try:
                np.asarray(self._array[place])
            except Exception:
                found += 1
                yield name
                if found == _NAMED:
                    return

    def _files(self, box: tuple[slice, ...]) -> Iterator[tuple[tuple[slice, ...], str]]:
        """List what is stored together in a box, with its key in the group."""
        steps = self._array.shards or self.chunks
        ranges = (
            range(part.start // step, -(-part.stop // step))
            for part, step in zip(box, steps, strict=True)
        )
        for place in product(*ranges):
            spans = tuple(
                slice(number * step, min((number + 1) * step, length))
                for number, step, length in zip(place, steps, self.shape, strict=True)
            )
            yield spans, f"{self._key}/{self._array.metadata.encode_chunk_key(place)}"

    def missing_chunks(self) -> tuple[int, int, tuple[str, ...]]:
        """Count the chunk files and those that are not there, and name the first of these.

        Zero of zero where that would take long: at an address, or of very many.
        """
        steps = self._array.shards or self.chunks
        count = math.prod(
            -(-length // step) for length, step in zip(self.shape, steps, strict=True)
        )
        place = Path(self._path)
        if is_address(self._path) or count > _COUNTED:
            return 0, 0, ()
        names = [name for _, name in self._files(tuple(slice(0, n) for n in self.shape))]
        if place.is_file():
            root = _root_in_zip(place)
            with zipfile.ZipFile(place) as file:
                there = set(file.namelist())
            gone = [name for name in names if f"{root}/{name}".lstrip("/") not in there]
        else:
            gone = [name for name in names if not (place / name).exists()]
        return count, len(gone), tuple(gone[:_NAMED])


def _span(entry: int | slice, length: int) -> slice:
    """Give the least span of an axis that an entry takes from."""
    if isinstance(entry, int):
        return slice(entry, entry + 1)
    taken = range(*entry.indices(length))
    if not len(taken):
        return slice(0, 0)
    return slice(min(taken[0], taken[-1]), max(taken[0], taken[-1]) + 1)


def text_beside(path: str | os.PathLike[str], key: str) -> str:
    """Read a text in a local folder of Zarr; empty where there is none."""
    with suppress(OSError, UnicodeDecodeError):
        if not is_address(path):
            return (Path(path) / key).read_text(encoding="utf-8")
    return ""
