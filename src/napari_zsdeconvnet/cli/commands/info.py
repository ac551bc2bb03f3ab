"""`zsdeconvnet info`: what is in a file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...io.image import Image, as_frames, spatial_axes
from ...io.image_files import read_image, scenes_of
from ...io.lazy import volumes_in_slabs
from ...io.selection import one_of
from ...io.zarr_stores import is_address, is_zarr
from ...noise.processed_images import processed_words
from ...noise.usable_pixels import checked
from ...psf.psf import PSF
from ...sim.patterns import Patterns
from ...utils.errors import InputError
from ...workflow.record import RunRecord, methods_paragraph
from ..console import Console, worded
from .noise import read_noise
from .records import is_record
from .scenes import part_of
from .summaries import psf_facts, show_noise, show_patterns, show_psf, stated_voxel_size

if TYPE_CHECKING:
    from ...model.model import Model

_MODEL_SUFFIXES = (".safetensors", ".checkpoint", ".zip")


def info(arguments: argparse.Namespace, console: Console) -> None:
    """Say what is in a file."""
    path = Path(arguments.file)
    if not (path.exists() or is_address(arguments.file)):
        raise InputError("file-missing", f"{path} does not exist; check the name and the folder.")
    suffix = path.suffix.lower()
    if arguments.methods:
        text = methods_paragraph(RunRecord.read(path))
        console.say(text)
        console.result({"methods": text})
    elif arguments.psf or suffix in (".mrc", ".otf"):
        psf = PSF.read(arguments.file)
        show_psf(psf, console)
        console.result(psf_facts(psf))
    elif suffix == ".json" and is_record(path):
        record = RunRecord.read(path)
        console.say(record.describe())
        console.result(record.to_dict())
    elif suffix == ".json" and (patterns := _patterns(path)) is not None:
        show_patterns(patterns, path.name, console)
        console.result({"kind": "patterns", **patterns.to_dict()})
    elif suffix == ".json":
        noise = read_noise(arguments.file)
        console.say("Noise:")
        show_noise(noise, console)
        console.result({"kind": "noise", **noise.to_dict()})
    elif suffix in _MODEL_SUFFIXES and not is_zarr(path):
        from ...model.model import Model

        model = Model.load(arguments.file)
        console.say(model.describe())
        console.result(_model_facts(model))
    else:
        image = read_image(arguments.file, **part_of(arguments.file, arguments))
        _show_image(image, scenes_of(arguments.file), console)


def _patterns(path: Path) -> Patterns | None:
    """Read SIM patterns, if that is what the file holds."""
    try:
        return Patterns.load(path)
    except InputError:
        return None


def _model_facts(model: Model) -> dict[str, Any]:
    return {
        "kind": "model",
        "preset": model.preset,
        "axes": model.axes,
        "voxel_size_um": model.voxel_size,
        "upsampling": model.upsampling,
        "seed": model.seed,
        "steps": model.steps_trained,
        "psf": psf_facts(model.psf),
        "noise": model.noise.to_dict(),
        "data_hash": model.data_hash,
        "versions": model.versions,
    }


def _show_image(image: Image, scenes: Sequence[str], console: Console) -> None:
    data = image.data
    shape = " x ".join(str(length) for length in data.shape)
    low, high, mean = _range_and_mean(data)
    console.say(f"Image: {image.name}")
    console.say(f"  axes        {image.axes}, {shape}, {data.dtype}")
    console.say(f"  voxel size  {stated_voxel_size(image)}")
    if image.frame_interval is not None:
        console.say(f"  frames      every {image.frame_interval:.6g} s")
    if len(scenes) > 1:
        listed = ", ".join(f"{number}: {name}" for number, name in enumerate(scenes))
        console.say(f"  scenes      {listed}")
    if image.channel_names:
        console.say(f"  channels    {', '.join(image.channel_names)}")
    console.say(f"  counts      {low:g} to {high:g}, mean {mean:.4g}")
    for note in image.notes:
        console.warn(note)
    try:
        for warning in _checked(image):
            console.warn(warning)
        for warning in processed_words(data, name=image.name):
            console.warn(warning)
    except InputError as error:
        console.warn(worded(error))
    console.result(
        {
            "kind": "image",
            "axes": image.axes,
            "shape": list(data.shape),
            "dtype": str(data.dtype),
            "voxel_size_um": image.voxel_size,
            "frame_interval_s": image.frame_interval,
            "channels": list(image.channel_names),
            "scenes": list(scenes),
            "minimum": low,
            "maximum": high,
            "mean": mean,
        }
    )


def _checked(image: Image) -> tuple[str, ...]:
    """Say what speaks against the pixels of an image; each channel is looked at alone."""
    data, said = image.data, dict[str, None]()
    channels = data.shape[image.axes.index("C")] if "C" in image.axes else 1
    for number in range(channels):
        one = one_of(image, "C", number)
        spatial = spatial_axes(one)
        frames = as_frames(one, spatial=spatial)
        said |= dict.fromkeys(checked(frames, name=image.name, spatial=spatial)[1])
    return tuple(said)


def _range_and_mean(data: NDArray[Any]) -> tuple[float, float, float]:
    """Read an image once, part by part: its lowest, highest and mean value."""
    low, high, total = np.inf, -np.inf, 0.0
    for _, slab in volumes_in_slabs(data):
        low, high = min(low, float(slab.min())), max(high, float(slab.max()))
        total += float(slab.sum(dtype=np.float64))
    return low, high, total / data.size
