"""Whether a TIFF holds all planes that it says, or a set of files lies together as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import InputError

if TYPE_CHECKING:
    import tifffile


def check_whole(tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries, path: Path) -> list[str]:
    """Refuse what lacks planes, which readers fill with zeros; return what else to say of the set.

    Parameters
    ----------
    tiff, series
        The open file, and the series that is read.
    path
        The file.

    Returns
    -------
    list of str
        Notes, a sentence each.

    Raises
    ------
    InputError
        If planes or partner files are missing; the message names them.
    """
    missing = [index for index, page in enumerate(series.pages) if page is None]
    if missing:
        files = _absent_partners(tiff, path)
        where = f"; they are in {', '.join(files)}, not to be found beside it" if files else ""
        remedy = "put the files side by side" if files else "copy or export it again"
        raise InputError(
            f"{path} is incomplete: {len(missing)} of the {len(series.pages)} planes that it says "
            f"are missing, the first is number {missing[0]} from 0{where}; {remedy}, or save the "
            "planes that are there as a new stack, for instance from Fiji."
        )
    said = int((tiff.imagej_metadata or {}).get("images", 0) or 0) if tiff.is_imagej else 0
    if series.kind != "imagej" and said > len(tiff.pages):
        raise InputError(
            f"{path} is truncated or incomplete: {said - len(tiff.pages)} of its {said} planes, as "
            "it says them, are missing; copy or export it again, or save those there are as a "
            "new stack, for instance from Fiji."
        )
    companion = _companion(tiff)
    if companion:
        beside = path.with_name(Path(companion).name)
        return [
            f"{path.name} is a part of a set that {beside.name} describes"
            + ("" if beside.exists() else ", which is not beside it")
            + "; this part alone is read, without what is said there."
        ]
    return []


def first_series(tiff: tifffile.TiffFile) -> tuple[tifffile.TiffPageSeries, int]:
    """Return the series to be read, and how many other images there are.

    Pages that were written one by one each count as a series of their own; alike in shape and
    type they are the pages of one.
    """
    import tifffile

    several = list(tiff.series)
    first = several[0]
    alike = all(
        one.kind == "shaped" and (one.shape, one.dtype) == (first.shape, first.dtype)
        for one in several
    )
    if len(several) < 2 or not alike or len(first.shape) != 2:
        return first, len(several) - 1
    pages = [page for one in several for page in one.pages]
    shape, axes = (len(pages), *first.shape), f"I{first.axes}"
    return tifffile.TiffPageSeries(pages, shape, first.dtype, axes, kind="generic"), 0


def _absent_partners(tiff: tifffile.TiffFile, path: Path) -> list[str]:
    """Name the files of an OME set that are not there."""
    names = [str(node.get("FileName", "")) for node in _nodes(_ome(tiff), "UUID")]
    return sorted(
        {Path(name).name for name in names if name and not path.with_name(Path(name).name).exists()}
    )


def _companion(tiff: tifffile.TiffFile) -> str:
    """Return the name of the file that holds the metadata, empty where it is this one."""
    return next(
        (str(node.get("MetadataFile", "")) for node in _nodes(_ome(tiff), "BinaryOnly")), ""
    )


def _ome(tiff: tifffile.TiffFile) -> Any:
    import tifffile

    return tifffile.xml2dict(tiff.ome_metadata) if tiff.is_ome and tiff.ome_metadata else {}


def _nodes(tree: Any, name: str) -> list[dict[str, Any]]:
    """List all elements of that name."""
    if isinstance(tree, list | tuple):
        return [node for part in tree for node in _nodes(part, name)]
    if not isinstance(tree, dict):
        return []
    found: list[dict[str, Any]] = []
    for key, value in tree.items():
        if key == name:
            several = value if isinstance(value, list | tuple) else [value]
            found += [node for node in several if isinstance(node, dict)]
        found += _nodes(value, name)
    return found
