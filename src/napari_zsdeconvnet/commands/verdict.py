"""`zsdeconvnet verdict`: how far a result can be believed."""

from __future__ import annotations

import argparse
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..console import Console
from ..errors import InputError
from ..files import check_writable, make_folder
from ..image_files import write_image
from ..images import Image
from ..record import RunRecord, check_same
from .files import load
from .records import check_record

if TYPE_CHECKING:
    from ..inference import TileProgress
    from ..model import Model
    from ..verdict import Verdict

_GRIDS = {"z_map": "raw", "spread": "output", "mean": "output"}
_OUTCOMES = {True: "passed", False: "FAILED", None: "not judged"}


def verdict(arguments: argparse.Namespace, console: Console) -> None:
    """Judge what a model makes of an image, in numbers and words."""
    if arguments.maps:
        make_folder(arguments.maps)
    if arguments.record:
        check_record(Path(arguments.record))

    from ..model import Model
    from ..verdict import iter_judge

    model = Model.load(arguments.model)
    image = load(arguments.image, arguments, console)
    record = _record(arguments.record, model, image) if arguments.record else None
    second = load(arguments.second, arguments, console) if arguments.second else None
    steps = iter_judge(
        model,
        image,
        frame=arguments.frame,
        second=second,
        repeats=arguments.repeats,
        device=arguments.device,
    )
    found = _follow(steps, image.name, console)
    for measure in found.measures:
        console.say(f"{_OUTCOMES[measure.passed]:<10}  {measure.name}: {measure.sentence}")
    for note in found.notes:
        console.say(f"{'':<10}  {note}")
    written = _write_maps(found, image, model, arguments.maps) if arguments.maps else {}
    console.say("")
    console.say(found.headline())
    if record is not None:
        replace(record, verdict=found).write(arguments.record)
        console.say(f"The verdict is in {arguments.record}.")
    console.result(
        {
            "image": arguments.image,
            "model": arguments.model,
            **found.to_dict(),
            "summary": found.summary(),
            "maps": written,
            "record": arguments.record,
        }
    )


def _record(path: str, model: Model, image: Image) -> RunRecord:
    """Read the record that the verdict goes into, if it is one of this model and image."""
    own = RunRecord.of(model)
    if not Path(path).exists():
        return own
    record = RunRecord.read(path)
    if record.weights_sha256 != own.weights_sha256:
        raise InputError(f"{path} is the record of another model; name that of this result.")
    if record.prediction is not None:
        check_same(record.prediction.source, image)
    return record


def _follow(steps: Generator[TileProgress, None, Verdict], what: str, console: Console) -> Verdict:
    """Judge to the end, with a word on what is under way."""
    with console.bar(0, what, "tile") as bar:
        while True:
            try:
                state = next(steps)
            except StopIteration as end:
                found: Verdict = end.value
                return found
            bar.set_description(state.message)
            bar.update()


def _write_maps(found: Verdict, image: Image, model: Model, folder: str) -> dict[str, str]:
    """Write z-map, spread and mean as TIFF; gives their names."""
    written = {}
    for name, pixels in found.maps.items():
        size = image.voxel_size
        if size is not None and _GRIDS[name] == "output":
            size = (*size[:-2], *(step / model.upsampling for step in size[-2:]))
        path = Path(folder) / f"{Path(image.name).stem}_{name}.tif"
        check_writable(path)
        write_image(path, pixels, axes=model.axes, voxel_size=size)
        written[name] = str(path)
    return written
