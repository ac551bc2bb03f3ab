"""`zsdeconvnet verdict`: how far a result can be believed."""

from __future__ import annotations

import argparse
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ...io.image import Image
from ...io.image_writing import write_image
from ...noise.camera_maps import Camera, CameraMaps, typical_of
from ...utils.errors import InputError
from ...utils.files import check_writable, make_folder
from ...workflow.record import RunRecord, check_same
from ..console import Console, NotPassed, printable
from .camera import maps_for
from .files import load
from .records import check_record
from .sim_recordings import holds_raw_frames, open_recording

if TYPE_CHECKING:
    from ...inference.predict import TileProgress
    from ...model.model import Model
    from ...quality.verdict import Verdict

_GRIDS = {"z_map": "raw", "spread": "output", "mean": "output"}
_Begun: TypeAlias = "tuple[Generator[TileProgress, None, Verdict], Image, RunRecord | None]"
_OUTCOMES = {True: "passed", False: "FAILED", None: "not judged"}


def verdict(arguments: argparse.Namespace, console: Console) -> None:
    """Judge what a model makes of an image, in numbers and words.

    Raises
    ------
    NotPassed
        With --strict, where a measure failed.
    """
    if arguments.maps:
        make_folder(arguments.maps)
    if arguments.record:
        check_record(Path(arguments.record))

    from ...model.model import Model

    model = Model.load(arguments.model)
    sim = holds_raw_frames(arguments.image, model, arguments)
    steps, image, record = (_begin_sim if sim else _begin)(model, arguments, console)
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
    if arguments.strict and not found.passed:
        raise NotPassed


def _begin(model: Model, arguments: argparse.Namespace, console: Console) -> _Begun:
    """Begin with an image, a volume or a series, or with what was reconstructed elsewhere."""
    from ...quality.verdict import iter_judge

    image = load(arguments.image, arguments, console)
    record = _record(arguments.record, model, image) if arguments.record else None
    second = load(arguments.second, arguments, console) if arguments.second else None
    options = {name: getattr(arguments, name) for name in ("frame", "repeats", "device")}
    made = None if record is None else record.prediction
    camera = maps_for(arguments, model.noise, image)
    if camera is None and made is not None and isinstance(made.camera, CameraMaps):
        camera = made.camera
    return iter_judge(model, image, second=second, camera=camera, **options), image, record


def _begin_sim(model: Model, arguments: argparse.Namespace, console: Console) -> _Begun:
    """Begin with raw SIM frames, their camera and patterns as recorded, else the model's own."""
    from ...quality.verdict import iter_judge
    from ...sim.reconstruction import Reconstruction

    def opened(path: str) -> Image:
        assert model.reconstruction is not None
        patterns = Reconstruction.from_dict(model.reconstruction).patterns
        frames = len(patterns) * patterns.phases
        usual = patterns.pixel_size
        return open_recording(path, arguments, frames, usual_pixel_size=usual).image

    image = opened(arguments.image)
    record = _record(arguments.record, model, image) if arguments.record else None
    made = None if record is None else record.prediction
    camera: Camera | None = maps_for(arguments, typical_of(model.camera or model.noise), image)
    if camera is None and made is not None:
        camera = made.camera
    steps = iter_judge(
        model,
        image,
        camera=camera,
        reconstruction=None if made is None else made.reconstruction,
        second=opened(arguments.second) if arguments.second else None,
        **{name: getattr(arguments, name) for name in ("frame", "repeats", "device")},
    )
    return steps, replace(image, voxel_size=model.voxel_size), record


def _record(path: str, model: Model, image: Image) -> RunRecord:
    """Read the record that the verdict goes into, if it is one of this model and image."""
    own = RunRecord.of(model)
    if not Path(path).exists():
        return own
    record = RunRecord.read(path)
    if record.weights_sha256 != own.weights_sha256:
        raise InputError(
            "record-of-other-model",
            f"{path} is the record of another model; name that of this result.",
        )
    if record.prediction is not None:
        source = record.prediction.source
        if source.axes == "CYX" and image.axes == "TCYX":  # one image of raw frames
            image = replace(image, data=image.data[0], axes="CYX")
        check_same(source, image)
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
            bar.set_description(printable(state.message))
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
