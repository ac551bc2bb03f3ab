"""The files of a result: how they are called, and written all together or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..io.image import Image
from ..io.image_writing import write_image
from ..io.ome_zarr_writing import write_ome_zarr
from ..io.zarr_stores import names_zarr
from ..utils.errors import InputError
from ..utils.files import replaced_together

if TYPE_CHECKING:
    from .channels import ChannelResults
    from .pipeline import RunResult

RESULTS = ("deconvolved", "denoised", "background")
"""What a result may hold; a background only where one that is out of focus was asked for."""
DECONVOLVED, DENOISED, BACKGROUND = RESULTS
"""Endings of the names of results."""

_OME_SUFFIXES = {
    ".ome.tif": ".ome.tif",
    ".ome.tiff": ".ome.tif",
    **dict.fromkeys((".ome.zarr", ".ome.zarr.zip", ".zarr", ".zarr.zip", ".ozx"), ".ome.tif"),
}


def stem_and_suffix(path: Path) -> tuple[str, str]:
    """Split a name so that OME files stay OME files."""
    for suffix, own in _OME_SUFFIXES.items():
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)], own
    return path.stem, ".tif"


def outputs_in(folder: Path, recordings: Sequence[tuple[str, str, str]], ending: str) -> list[Path]:
    """Name the file that is written for each recording into a folder.

    Parameters
    ----------
    folder
        Of the results.
    recordings
        Name, and stem and suffix of the result, of each.
    ending
        What follows the stem, after an underscore.

    Raises
    ------
    InputError
        If two recordings would go to the same file.
    """
    names: dict[Path, str] = {}
    for name, stem, suffix in recordings:
        path = folder / f"{stem}_{ending}{suffix}"
        if path in names:
            raise InputError(
                "output-written-twice",
                f"{names[path]} and {name} would both be written to {path}; name different "
                "folders for them.",
            )
        names[path] = name
    return list(names)


def beside(output: Path, ending: str, what: str) -> Path:
    """Name another result of the input whose result with that ending is `output`."""
    stem, suffix = stem_and_suffix(output)
    suffix = ".ome.zarr" if names_zarr(output) else suffix
    return output.with_name(f"{stem.removesuffix(f'_{ending}')}_{what}{suffix}")


def record_beside(output: Path) -> Path:
    """Name the record of a result: its own name, ending in .json."""
    return output.with_suffix(".json")


def run_files(output: Path) -> dict[str, Path]:
    """Name the files that are written for a recording whose deconvolved image is `output`."""
    return {
        DECONVOLVED: output,
        DENOISED: beside(output, DECONVOLVED, DENOISED),
        BACKGROUND: beside(output, DECONVOLVED, BACKGROUND),
        "model": beside(output, DECONVOLVED, "model").with_suffix("").with_suffix(".safetensors"),
        "record": record_beside(output),
    }


def channel_files(files: Mapping[str, Path], names: Sequence[str]) -> list[dict[str, Path]]:
    """Name model and record of each channel, whose names may be empty, beside those of `files`."""
    return [
        {
            what: files[what].with_name(f"{files[what].stem}_{ending}{files[what].suffix}")
            for what in ("model", "record")
        }
        for ending in endings_of(names, "channel")
    ]


def endings_of(names: Sequence[str], word: str) -> list[str]:
    """Make parts of file names of the names of scenes or channels, each of its own."""
    safe = [
        "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in name).strip(
            "_."
        )
        for name in names
    ]
    times = Counter(safe)
    return [
        name if name and times[name] == 1 else f"{name or word}_{number}"
        for number, name in enumerate(safe)
    ]


def write_result(path: Path, image: Image) -> None:
    """Write a result with its axes, sizes, time and channels, as TIFF or OME-Zarr by its name."""
    if names_zarr(path):
        write_ome_zarr(path, image)
        return
    write_image(
        path,
        image.data,
        axes=image.axes,
        voxel_size=image.voxel_size,
        channel_names=image.channel_names,
        frame_interval=image.frame_interval,
    )


def write_run(result: RunResult, files: Mapping[str, Path]) -> dict[str, Path]:
    """Write what comes of a recording, all of it or nothing, the record last.

    Parameters
    ----------
    result
        What there is.
    files
        As `run_files` names them.

    Returns
    -------
    dict of str to Path
        The files that were written; a background only where there is one.

    Raises
    ------
    InputError
        If a file cannot be written.
    """
    images = {what: getattr(result, what) for what in RESULTS}
    with replaced_together():
        result.model.save(files["model"])
        for what, image in images.items():
            if image is not None:
                write_result(files[what], image)
        result.record.write(files["record"])
    return {what: file for what, file in files.items() if images.get(what, file) is not None}


def write_channels(
    made: ChannelResults, files: Mapping[str, Path], own: Sequence[Mapping[str, Path]]
) -> dict[str, Path]:
    """Write what comes of a recording with channels, all of it or nothing.

    Parameters
    ----------
    made
        Results of all channels.
    files
        As `run_files` names them.
    own
        Model and record of each channel, as `channel_files` names them.

    Returns
    -------
    dict of str to Path
        The files that hold all channels.

    Raises
    ------
    InputError
        If a file cannot be written.
    """
    images = {DECONVOLVED: made.deconvolved, DENOISED: made.denoised}
    with replaced_together():
        for what, image in images.items():
            write_result(files[what], image)
        for result, there in zip(made.channels, own, strict=True):
            if result is not None:
                result.model.save(there["model"])
                result.record.write(there["record"])
    return {what: files[what] for what in images}


def failed_measures(result: RunResult) -> list[str]:
    """Name the measures of a verdict that failed, for which a result needs a look."""
    return [] if result.report is None else [one.name for one in result.report.failed]
