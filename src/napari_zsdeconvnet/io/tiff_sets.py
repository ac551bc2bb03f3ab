"""Whether a TIFF holds all planes that it says, or a set of files lies together as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..utils.errors import InputError
from .ome_xml import companion_of, files_of_set
from .tiff_sizes import lost_metadata

if TYPE_CHECKING:
    import tifffile

_LARGEST_COMPANION = 2**28  # bytes


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
            "tiff-incomplete",
            f"{path} is incomplete: {len(missing)} of the {len(series.pages)} planes that it says "
            f"are missing, the first is number {missing[0]} from 0{where}; {remedy}, or save the "
            "planes that are there as a new stack, for instance from Fiji.",
        )
    said = int((tiff.imagej_metadata or {}).get("images", 0) or 0) if tiff.is_imagej else 0
    if series.kind != "imagej" and said > len(tiff.pages):
        raise InputError(
            "tiff-incomplete",
            f"{path} is truncated or incomplete: {said - len(tiff.pages)} of its {said} planes, as "
            "it says them, are missing; copy or export it again, or save those there are as a "
            "new stack, for instance from Fiji.",
        )
    if tiff.is_ome:
        return _ome_notes(tiff, series, path)
    if tiff.is_imagej and series.kind != "imagej":
        return [
            f"{path.name}: the planes that ImageJ's description counts are not the "
            f"{len(tiff.pages)} pages that are there; they are taken one by one."
        ]
    return []


def first_series(tiff: tifffile.TiffFile) -> tuple[tifffile.TiffPageSeries, int]:
    """Return the series to be read, and how many other images there are.

    Pages that were written one by one each count as a series of their own; alike in shape and
    type they are the pages of one. So are all pages where ImageJ's counts do not fit them.
    """
    several = list(tiff.series)
    first = several[0]
    if first.kind == "imagej" and _miscounted(first):
        return _in_a_row(list(tiff.pages), first), 0
    alike = all(
        one.kind == "shaped" and (one.shape, one.dtype) == (first.shape, first.dtype)
        for one in several
    )
    if len(several) < 2 or not alike or len(first.shape) != 2:
        return first, len(several) - 1
    return _in_a_row([page for one in several for page in one.pages], first), 0


def read_companion(begins: str, path: Path) -> tuple[str | None, str]:
    """Read the metadata of a set from the file that a part of it names.

    Parameters
    ----------
    begins
        Description of the part's first page.
    path
        Of the part.

    Returns
    -------
    xml, note
        None where the part names no such file, or it is of no use; the note says why.
    """
    companion = companion_of(begins) if "<BinaryOnly" in begins else ""
    if not companion:
        return None, ""
    beside = path.with_name(Path(companion).name)
    try:
        if beside.stat().st_size > _LARGEST_COMPANION:
            raise ValueError("it is too large for metadata")
        xml = beside.read_text(encoding="utf-8-sig").strip()
        if problem := lost_metadata(xml):
            raise ValueError(problem)
        if path.name not in (Path(name).name for name in files_of_set(xml)):
            raise ValueError(f"it does not name {path.name}")
    except (OSError, ValueError) as error:
        why = "is not beside it" if isinstance(error, OSError) else f"cannot be used, as {error}"
        return None, (
            f"{path.name} is a part of a set that {beside.name} describes, which {why}; this part "
            "alone is read, without what is said there. Put that file beside it for all of the set."
        )
    return xml, ""


def _ome_notes(tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries, path: Path) -> list[str]:
    """Say where the pages are not those that OME metadata describe."""
    if companion_of(tiff.ome_metadata):
        return []  # said where it was looked for
    if series.kind != "ome":
        return [
            f"{path.name}: its OME metadata describe other pixels than it holds; its pages are "
            "taken one by one."
        ]
    own = sum(page is not None and page.parent is tiff for page in series.pages)
    if len(tiff.series) > 1 or not own or len(tiff.pages) <= own:
        return []
    return [
        f"{path.name}: its OME metadata count {own} of its {len(tiff.pages)} pages; the others are "
        "not read."
    ]


def _miscounted(series: tifffile.TiffPageSeries) -> bool:
    """Tell whether the axes hold more or fewer planes than there are pages."""
    pages = len(series.pages)
    return pages > 1 and series.size != pages * series.keyframe.size


def _in_a_row(pages: list[Any], like: tifffile.TiffPageSeries) -> tifffile.TiffPageSeries:
    """Make a series of pages of which nothing is known but that they are alike."""
    import tifffile

    key = like.keyframe
    shape, axes = (len(pages), *key.shape), f"I{key.axes}"
    return tifffile.TiffPageSeries(pages, shape, key.dtype, axes, kind="generic")


def _absent_partners(tiff: tifffile.TiffFile, path: Path) -> list[str]:
    """Name the files of an OME set that are not there."""
    names = files_of_set(tiff.ome_metadata)
    return sorted(
        {Path(name).name for name in names if name and not path.with_name(Path(name).name).exists()}
    )
