"""MRC files and the DeltaVision files that descend from them: pixels, spacing and axes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..utils.errors import InputError

MRC_SUFFIXES = (".mrc", ".dv")
_DELTAVISION_MARK = -16224  # in a DeltaVision header, at byte 96
_MODE, _EXTENDED, _STAMP = 12, 92, 212  # bytes of kind of pixels, extra length, byte order
_BIG_ENDIAN = 0x11  # in the stamp
_LARGEST_MODE = 101
_TIMES, _SEQUENCE, _CHANNELS = 180, 182, 196  # bytes of numbers in a DeltaVision header
_ORDERS = ("CTZ", "TZC", "TCZ")  # of its sections, the last letter running fastest
_ANGSTROM = 1e-4  # micrometres
_SMALLEST_VOXEL = 1e-3  # micrometres; no light microscope samples finer


@dataclass(frozen=True, eq=False)
class MRCFile:
    """What an MRC file holds.

    Attributes
    ----------
    data
        (sections, Y, X), or (Y, X) where there is only one; mapped where that was asked for.
    spacing
        The cell lengths of the header, (z, y, x), in whatever unit the program meant.
    voxel_size
        (z, y, x) in micrometres, of which z may be 0; None where the file does not say.
    sections
        Number of time points, channels and planes (T, C, Z), of a DeltaVision file.
    order
        In which the sections follow each other, out of "TCZ".
    notes
        What had to be assumed, one sentence each.
    """

    data: NDArray[Any]
    spacing: tuple[float, ...]
    voxel_size: tuple[float, ...] | None
    sections: dict[str, int]
    order: str
    notes: tuple[str, ...]


def read_mrc(path: Path, *, mapped_from: int | None = None) -> MRCFile:
    """Read an MRC or DeltaVision file.

    Parameters
    ----------
    path
        The file.
    mapped_from
        Bytes of pixels from which on they are mapped and not read; None reads them all.

    Raises
    ------
    InputError
        If the file is truncated or damaged.
    """
    import mrcfile

    damaged = f"{path} is not a complete MRC file; copy or export it again"
    try:
        _check_header(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # files of other programs lack a few marks
            with mrcfile.mmap(path, permissive=True) as mrc:
                if mrc.data is None:
                    raise InputError("mrc-damaged", f"{damaged}.")
                data = _pixels(mrc, path, mapped_from)
                cell = mrc.header.cella
                spacing = (float(cell.z), float(cell.y), float(cell.x))
                intervals = (int(mrc.header.mz), int(mrc.header.my), int(mrc.header.mx))
                stored = [int(mrc.header[name]) for name in ("mapc", "mapr", "maps")]
    except InputError:
        raise
    except Exception as error:  # a damaged file has its parser fail in every way
        words = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise InputError("mrc-damaged", f"{damaged} ({words}).") from error
    with path.open("rb") as file:
        header = file.read(1024)
    byte_order = _deltavision_byte_order(header)
    voxel_size, notes = _voxel_size(spacing, intervals, byte_order is not None, path)
    if sorted(stored) == [1, 2, 3] and stored != [1, 2, 3]:
        letters = "".join("XYZ"[axis - 1] for axis in reversed(stored))
        notes += (
            f"{path.name} says that its axes are stored as {letters}, and they are taken as ZYX; "
            f"give its axes as {letters} if the header is right.",
        )
    sections, order = _sections(header, byte_order, 1 if data.ndim == 2 else len(data))
    return MRCFile(data, spacing, voxel_size, sections, order, notes)


def _check_header(path: Path) -> None:
    """Refuse a header that declares more than its file holds, before anything is allocated."""
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(1024)
    if len(header) < 1024:
        raise ValueError("it is shorter than a header")
    big = header[_STAMP] == _BIG_ENDIAN
    if int.from_bytes(header[_MODE : _MODE + 4], "big" if big else "little") > _LARGEST_MODE:
        big = not big  # the stamp is wrong
    extended = header[_EXTENDED : _EXTENDED + 4]
    if int.from_bytes(extended, "big" if big else "little") > size - 1024:
        raise ValueError("its extended header is longer than the file")


def _pixels(mrc: Any, path: Path, mapped_from: int | None) -> NDArray[Any]:
    if mapped_from is None or mrc.data.nbytes < mapped_from:
        return np.array(mrc.data)
    offset = 1024 + int(mrc.header.nsymbt)
    return np.memmap(path, mrc.data.dtype, "r", offset, mrc.data.shape)


def _voxel_size(
    spacing: tuple[float, ...], intervals: tuple[int, ...], deltavision: bool, path: Path
) -> tuple[tuple[float, ...] | None, tuple[str, ...]]:
    """Voxel size in micrometres: MRC has a cell in Angstrom, DeltaVision a pixel in µm."""
    if deltavision:
        voxel = spacing
    else:
        voxel = tuple(s / n if n else 0.0 for s, n in zip(spacing, intervals, strict=True))
    if any(not np.isfinite(step) or step <= 0 for step in voxel[1:]):
        return None, ()
    if deltavision:
        return voxel, ()
    if min(voxel[1:]) * _ANGSTROM >= _SMALLEST_VOXEL:
        return tuple(step * _ANGSTROM for step in voxel), ()
    if voxel[1:] == (1.0, 1.0):
        return None, ()
    return voxel, (
        f"{path.name} gives a pixel of {voxel[2]:g} Angstrom, which no light microscope has; "
        "it is taken as micrometres.",
    )


def _sections(header: bytes, byte_order: str | None, sections: int) -> tuple[dict[str, int], str]:
    """Tell time points, channels and planes apart, where a DeltaVision header does."""
    if byte_order is not None:
        times, sequence, channels = (
            int(np.frombuffer(header, f"{byte_order}i2", 1, place)[0])
            for place in (_TIMES, _SEQUENCE, _CHANNELS)
        )
        times, channels = max(times, 1), max(channels, 1)
        if 0 <= sequence < len(_ORDERS) and sections % (times * channels) == 0:
            planes = sections // (times * channels)
            return {"T": times, "C": channels, "Z": planes}, _ORDERS[sequence]
    return {"T": 1, "C": 1, "Z": sections}, "TCZ"


def _deltavision_byte_order(header: bytes) -> str | None:
    return next(
        (
            order
            for order in "<>"
            if np.frombuffer(header, f"{order}i2", 1, 96)[0] == _DELTAVISION_MARK
        ),
        None,
    )
