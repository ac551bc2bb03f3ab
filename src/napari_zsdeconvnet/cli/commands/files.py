"""Files that go in and come out: names, patterns, and what the command line says of an image."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...io.axes import about
from ...io.image import Image, PixelRule, as_frames, planes_by_step, spatial_axes
from ...io.image_files import read_image
from ...io.lazy import LazyArray
from ...io.ome_zarr_writing import check_apart, check_zarr_output
from ...io.selection import one_of
from ...io.zarr_stores import names_zarr
from ...utils.errors import InputError
from ...utils.files import check_writable, make_folder, written_whole
from ...workflow.result_files import outputs_in, stem_and_suffix
from ..console import Console
from .scenes import part_of, stem_of

_TIFF = (".tif", ".tiff")


def load(
    path: str, arguments: argparse.Namespace, console: Console, image: Image | None = None
) -> Image:
    """Open an image, with the axes, voxel size, channel and plane the command line says.

    Parameters
    ----------
    path
        The file.
    arguments
        With `axes`, `voxel_size`, `pixel_size`, `axial_step`, `channel` and `plane`, each None
        where the file decides.
    console
        Where notes of the reader go.
    image
        What `read_image` gave, where the file is read already.

    Returns
    -------
    Image
        Axes YX, TYX, ZYX or TZYX, with a voxel size for the spatial ones. A large file is not
        read yet, but where its data are cut.

    Raises
    ------
    InputError
        If the file cannot be read, has several channels and none is chosen, or if its voxel
        size is known only in part.
    """
    if image is None:
        image = read_image(path, **part_of(path, arguments))
    for note in _still_of_use(image, arguments):
        console.warn(note)
    axes = (arguments.axes or _axes_by_step(image, arguments) or image.axes).upper()
    origin = image.origin
    if origin is not None and axes != image.axes:
        origin = replace(origin, axes=axes)
    image = replace(image, axes=axes, voxel_size=None, origin=origin)
    image = one_of(one_of(image, "C", arguments.channel), "Z", arguments.plane)
    spatial = spatial_axes(image)
    frames = as_frames(image, spatial=spatial)
    order = ("T" if "T" in image.axes else "") + spatial
    data: Any = frames
    if "T" not in order:
        # What is not in memory must not be read for the sake of an axis of length one.
        mapped = isinstance(frames, np.ndarray)
        data = frames[0] if mapped else LazyArray(image.data, image.axes, order)
    size = _voxel_size(image.steps, spatial, image.name, arguments)
    rule = pixel_rule(arguments)
    return replace(image, data=data, axes=order, voxel_size=size, pixel_rule=rule)


def opened(path: str, arguments: argparse.Namespace) -> Image:
    """Open a file with all its axes, and with the pixel size that the command line says.

    Parameters
    ----------
    path
        The file.
    arguments
        With `channel` and `pixel_size`, each None where the file decides, and perhaps `axes` and
        what `pixel_rule` takes.
    """
    return as_told(read_image(path, **part_of(path, arguments)), arguments)


def as_told(image: Image, arguments: argparse.Namespace) -> Image:
    """Give an image the axes, channel, pixel size and rule on pixels that the command line says."""
    axes = getattr(arguments, "axes", None)
    if axes is not None:
        image = replace(image, axes=axes.upper(), voxel_size=None)
    if arguments.channel is not None:
        image = one_of(image, "C", arguments.channel)
    if arguments.pixel_size is not None:
        steps = (image.steps[0], arguments.pixel_size, arguments.pixel_size)
        image = replace(image, steps=steps, voxel_size=None)
    return replace(image, pixel_rule=pixel_rule(arguments))


def pixel_rule(arguments: argparse.Namespace) -> PixelRule:
    """Take from the command line what is said of bad and saturated pixels."""
    path = getattr(arguments, "bad_pixels", None)
    return PixelRule(
        None if path is None else np.squeeze(np.asarray(read_image(path).data)),
        "mask" if getattr(arguments, "allow_saturated", False) else "refuse",
        not getattr(arguments, "keep_outliers", False),
    )


def _axes_by_step(image: Image, arguments: argparse.Namespace) -> str | None:
    """Make planes of pages that the file does not explain where a step between them is typed.

    Raises
    ------
    InputError
        If the file has no planes, but frames in time.
    """
    if arguments.axial_step is not None:
        step, typed = "--axial-step", (1.0,) * 3
    else:
        step, typed = "--voxel-size has a step between planes", arguments.voxel_size
        if np.size(typed) != len("ZYX"):
            return None
    times = image.data.shape[image.axes.index("T")] if "T" in image.axes else 1
    if times > 1 and "Z" not in image.axes and not image.guessed:
        raise InputError(
            "option-needs-planes",
            f"{step} is given and {image.name} has {times} frames in time and no planes; leave "
            "the step out, or say --axes ZYX if its frames are planes.",
        )
    return planes_by_step(image, typed)


def _still_of_use(image: Image, arguments: argparse.Namespace) -> list[str]:
    """List what the reader says and the command line does not answer, nor asks for itself."""
    if arguments.axes is not None:
        return []
    answered = ["step-missing"]
    if _axes_by_step(image, arguments) is not None:
        answered.append("pages-as-time")
    return [note for note in image.notes if about(note) not in answered]


def _voxel_size(
    from_file: Sequence[float | None],
    spatial: str,
    name: str,
    arguments: argparse.Namespace,
) -> tuple[float, ...] | None:
    """Put a voxel size together from the file and the command line, which prevails."""
    volume = spatial == "ZYX"
    if arguments.axial_step is not None and not volume:
        raise InputError(
            "option-needs-planes",
            f"--axial-step is given and {name} has no planes; leave it out, or say --axes ZYX if "
            "its frames are planes.",
        )
    if arguments.voxel_size is not None:
        return _typed_voxel_size(arguments, volume)
    step, *lateral = from_file
    if arguments.pixel_size is not None:
        lateral = [arguments.pixel_size] * 2
    if arguments.axial_step is not None:
        step = arguments.axial_step
    if volume and step is None and None not in lateral:
        raise InputError(
            "axial-step-unknown",
            f"{name} has no axial step, the distance between its planes; give it with "
            "--axial-step, in micrometres.",
        )
    if volume and step is not None and None in lateral:
        raise InputError(
            "pixel-size-unknown",
            f"{name} has no pixel size beside its axial step; give it with --pixel-size, in "
            "micrometres.",
        )
    if None in lateral:
        return None
    size = [step, *lateral] if volume else lateral
    return tuple(float(length) for length in size if length is not None)


def _typed_voxel_size(arguments: argparse.Namespace, volume: bool) -> tuple[float, ...]:
    """Check what was typed as --voxel-size against the axes and the other options."""
    for name in ("pixel_size", "axial_step"):
        if getattr(arguments, name) is not None:
            raise InputError(
                "options-exclude-each-other",
                f"--voxel-size and --{name.replace('_', '-')} are both given; leave one out.",
            )
    typed = np.ravel(arguments.voxel_size).tolist()
    if not volume and len(typed) == 1:
        typed *= 2
    wanted = 3 if volume else 2
    if len(typed) == wanted or (not volume and len(typed) == 3):
        return tuple(typed[-wanted:])
    form = "Z,Y,X, as in 0.3,0.1,0.1" if volume else "Y,X, as in 0.1,0.1"
    raise InputError(
        "option-length-count",
        f"--voxel-size has {len(typed)} length{'s' if len(typed) > 1 else ''}; give {form}, in "
        "micrometres.",
    )


def check_output(
    output: str | Path,
    inputs: Sequence[str],
    arguments: argparse.Namespace,
    *,
    written: bool = True,
) -> None:
    """Find out before a long computation whether a file may be written, and can be.

    Parameters
    ----------
    output
        The file to be written.
    inputs
        The files to be read.
    arguments
        With `force` of a command that replaces nothing unasked; where it goes on with a training
        or takes a model as it is (`resume`, `model`), that file may be written again.
    written
        Whether it is tried if the folder can be written.

    Raises
    ------
    InputError
        If the file is one of the inputs, exists, or cannot be written.
    """
    if names_zarr(output):
        for path in inputs:
            check_zarr_output(output, path, force=getattr(arguments, "force", True))
        return
    check_apart(output, inputs)
    again = [getattr(arguments, name, None) for name in ("resume", "model")]
    if (
        not getattr(arguments, "force", True)
        and Path(output).exists()
        and not any(path and _same(output, path) for path in again)
    ):
        raise InputError(
            "output-exists",
            f"{output} exists: add --force to replace it, or write to another name with -o.",
        )
    if written:
        check_writable(output)


def _same(one: str | Path, other: str | Path) -> bool:
    return Path(one).resolve() == Path(other).resolve()


def output_names(
    output: str,
    paths: Sequence[str],
    ending: str,
    suffix: str | None = None,
    *,
    zarr: bool = False,
) -> list[Path]:
    """Name the file that is written for each input.

    Parameters
    ----------
    output
        A file for one input, or a folder, made if need be.
    paths
        The inputs.
    ending
        What follows an input's own name in a folder, after an underscore.
    suffix
        Of the files; by default .tif, and .ome.tif where the input has it.
    zarr
        Whether the output may be OME-Zarr.

    Returns
    -------
    list of Path
        One for each input.

    Raises
    ------
    InputError
        If one file is named for several inputs, or two inputs would go to the same one.
    """
    target = Path(output)
    if names_zarr(target) and not zarr:
        raise InputError(
            "output-kind",
            f"{output} is OME-Zarr, which run and predict alone write; name a .tif or a folder.",
        )
    if names_zarr(target) or target.suffix.lower() in ((suffix,) if suffix else _TIFF):
        if len(paths) > 1:
            raise InputError(
                "output-is-one-file",
                f"{output} is one file and there are {len(paths)} images; name a folder instead.",
            )
        return [target]
    check_apart(output, paths)
    make_folder(output)
    listed = []
    for path in paths:
        stem, own = stem_and_suffix(Path(path))
        listed.append((path, stem_of(path, stem), suffix or own))
    return outputs_in(target, listed, ending)


def write_json(path: str | Path, values: dict[str, Any]) -> None:
    """Write a JSON file whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2, default=float) + "\n", encoding="utf-8")


def given(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Collect the options that were given, so that the package's own defaults hold."""
    values = {name: getattr(arguments, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}
