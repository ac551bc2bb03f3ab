"""`zsdeconvnet repeat`: the run of a record, once more."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...io.image import Image, Origin
from ...io.image_files import read_image
from ...io.zarr_stores import is_address
from ...model.provenance import Source
from ...sim.recording import Recording
from ...utils.errors import InputError
from ...utils.files import make_folder, replaced_together
from ...workflow.result_files import record_beside
from ..console import Console, Interrupted
from .files import check_output, load
from .interruption import first_signal_calls
from .predict import predict_into_files
from .records import check_record, write_record
from .rescue import rescued
from .scenes import expand
from .sim import predict_frames
from .sim_recordings import open_recording
from .training import show_step

if TYPE_CHECKING:
    from ...model.model import Model
    from ...workflow.record import Prediction, RunRecord

MODEL = "model.safetensors"


def repeat(arguments: argparse.Namespace, console: Console) -> None:
    """Train and predict as a record says, and compare what comes out to the bit."""
    from ...workflow.record import RunRecord, differences

    record = RunRecord.read(arguments.record)
    folder = make_folder(arguments.output)
    recordings = _found(record, arguments)
    first = _first(record, arguments)
    names = _names(record.prediction, folder)
    for output in (folder / MODEL, *names.values()):
        check_output(output, [arguments.record, *(path for path, _ in recordings)], arguments)
    if names:
        check_record(record_beside(names["deconvolved"]))
    doubts = (*record.obstacles, *differences(record))
    for sentence in doubts:
        console.warn(sentence)

    opened = [recording for _, recording in recordings]
    checkpoint = _checkpoint(record, folder, console)
    model = _train(record, opened[: len(record.sources)], first, checkpoint, console)
    with rescued(model.save, folder / MODEL, checkpoint, then="the same command"):
        model.save(folder / MODEL)
    same = {"model": RunRecord.of(model).weights_sha256 == record.weights_sha256}
    if record.prediction is not None:
        with replaced_together():
            made = _predict(model, record.prediction, opened[-1], names, console)
            write_record(model, made, names)
        same |= {
            what: made.outputs[what].sha256 == output.sha256
            for what, output in record.prediction.outputs.items()
        }
    checkpoint.unlink(missing_ok=True)
    for what, alike in same.items():
        result = f"The {what}" if what == "model" else f"The {what} image"
        written = names.get(what, folder / MODEL)
        if alike:
            console.say(f"{result} is the same to the bit: {written}")
        else:
            why = "" if doubts else "; nothing in the record says why"
            console.warn(f"{result} is not the same to the bit{why}: {written}")
    console.result(
        {
            "model": folder / MODEL,
            "same_to_the_bit": same,
            "outputs": names,
            "obstacles": record.obstacles,
            "differences": differences(record),
        }
    )


def _names(prediction: Prediction | None, folder: Path) -> dict[str, Path]:
    """Name the files of the results as they were; a layer's name becomes that of a file."""
    if prediction is None:
        return {}
    names = {}
    for what, output in prediction.outputs.items():
        name = Path(output.file).name
        is_file = name.lower().endswith((".tif", ".tiff"))
        names[what] = folder / (name if is_file else f"{name}.tif")
    return names


def _first(record: RunRecord, arguments: argparse.Namespace) -> Model | None:
    """Open the model that the run began with: the one given, else where it was."""
    from ...model.model import Model
    from ...workflow.record import check_first

    began, path = record.beginning, arguments.start
    if path is None and began is not None:
        if began.path is None or not Path(began.path).is_file():
            raise InputError(
                "record-model-missing",
                f"The run began with the weights of {began.name}, which is not where it was: "
                "name its file by now with --start.",
            )
        path = began.path
    model = None if path is None else Model.load(path)
    check_first(record, model)
    return model


def _checkpoint(record: RunRecord, folder: Path, console: Console) -> Path:
    """Name the checkpoint, and say whether there is one of the same run to go on from."""
    from ...model.model import Model
    from ...training.autosave import checkpoint_of, set_aside, steps_in
    from ...workflow.record import is_of_repeat

    checkpoint = checkpoint_of(folder / MODEL)
    steps = steps_in(checkpoint)
    if steps and is_of_repeat(record, Model.load(checkpoint)):
        console.say(f"Going on with {checkpoint}, at step {steps}.")
    elif steps:
        console.warn(
            f"A training of another run broke off after step {steps} and is kept as "
            f"{set_aside(checkpoint)}."
        )
    return checkpoint


def _train(
    record: RunRecord,
    recordings: Sequence[Image | Recording],
    first: Model | None,
    checkpoint: Path,
    console: Console,
) -> Model:
    """Train again; the first Ctrl-C ends it after the step under way, and it can go on."""
    from ...training.trainer import NonFiniteLossError
    from ...workflow.record import iter_training

    images = [entry.image if isinstance(entry, Recording) else entry for entry in recordings]
    steps = iter_training(record, images, first, checkpoint)
    stopped: list[bool] = []
    with first_signal_calls(lambda: stopped.append(True)), console.bar(0, "Training") as bar:
        while not stopped:
            try:
                show_step(next(steps), bar, console)
            except StopIteration as end:
                model: Model = end.value
                return model
            except NonFiniteLossError as error:
                raise InputError(
                    "training-diverged", f"The run of the record comes to no model. {error}"
                ) from error
        steps.close()
    raise Interrupted(
        f"the training so far is in {checkpoint}, and the same command goes on from there."
    )


def _predict(
    model: Model,
    before: Prediction,
    recording: Image | Recording,
    names: Mapping[str, Path],
    console: Console,
) -> Prediction:
    from ...sim.reconstruction import Reconstruction
    from ...workflow.record import as_ruled, settings_of, threads

    settings = settings_of(before)
    with threads(before.threads):
        if isinstance(recording, Image):
            image = as_ruled(before.source, recording)
            return predict_into_files(model, image, names, console, **settings)
        assert model.reconstruction is not None
        assert before.camera is not None
        rule = as_ruled(before.source, recording.image).pixel_rule
        recording = replace(recording, pixel_rule=rule)
        operator = Reconstruction.from_dict(before.reconstruction or model.reconstruction)
        settings = {name: settings[name] for name in ("device", "tile")}
        made = predict_frames(model, operator, recording, before.camera, names, console, **settings)
        return replace(made, reconstruction=before.reconstruction)


# ------------------------------------------------------------------ the images of a record


def _found(record: RunRecord, arguments: argparse.Namespace) -> list[tuple[str, Image | Recording]]:
    """Open the training images and, last, the image of the result, with their files."""
    needed = list(record.sources)
    if record.prediction is not None:
        needed.append(record.prediction.source)
    given = expand(arguments.images)
    if len(given) > len({source.sha256 for source in needed}):
        raise InputError(
            "record-image-count",
            f"{len(given)} images are given and the record has "
            f"{len({source.sha256 for source in needed})}; name each of them once.",
        )
    found: dict[str, tuple[str, Image | Recording]] = {}
    files: dict[str, str] = {}
    for source in needed:
        if source.sha256 in found:
            continue
        path = files.get(source.name) or _file_of(source, given, arguments.record)
        if source.origin is not None and source.origin.scene is not None:
            files[source.name] = path  # its other scenes are in the same file
        found[source.sha256] = (path, _opened(path, source))
    return [found[source.sha256] for source in needed]


def _file_of(source: Source, given: list[str], record: str) -> str:
    """Choose the file of that name among those given, else the next one, else where it was."""
    if given:
        named = [path for path in given if Path(path).name == source.name]
        path = (named or given)[0]
        given.remove(path)
        return path
    if source.origin is not None and is_address(source.origin.path):
        return source.origin.path
    was = None if source.origin is None else Path(source.origin.path)
    places = [] if was is None else [was, Path(record).parent / was.name]
    for place in places:
        if place.exists():
            return str(place)
    where = "was no file" if was is None else f"is not at {was} and not beside the record"
    raise InputError(
        "record-image-missing",
        f"{source.name} {where}; name it, or its file by now, after the record.",
    )


def _opened(path: str, source: Source) -> Image | Recording:
    """Open a file as it was opened for the run; refused if it has other pixels."""
    from ...workflow.record import check_same

    origin = source.origin or Origin(path)
    if source.axes == "TCYX":
        return _raw_frames(path, source, origin)
    first: Image | InputError | None = None
    for image in _readings(path, source, origin):
        if isinstance(image, Image) and source.is_of(image):
            return image
        first = first or image
    if isinstance(first, InputError):
        raise first
    assert first is not None  # there is one way to read a file at least
    check_same(source, first)
    return first


def _raw_frames(path: str, source: Source, origin: Origin) -> Recording:
    """Open raw SIM; where planes follow each other along one axis, the pixels tell how."""
    from ...workflow.record import check_same

    first: Recording | InputError | None = None
    for sets in (None, "consecutive", "interleaved"):
        options = argparse.Namespace(
            pixel_size=source.voxel_size and source.voxel_size[-1],
            channel=origin.channel,
            level=origin.level,
            scene=origin.scene,
            sets=sets,
        )
        try:
            recording = open_recording(path, options, source.shape[1])
        except InputError as error:
            first = first or error
            continue
        if source.is_of(recording.image):
            return recording
        first = recording if first is None or isinstance(first, InputError) else first
    if isinstance(first, InputError):
        raise first
    assert first is not None  # each way ends in one or the other
    check_same(source, first.image)
    return first


def _readings(path: str, source: Source, origin: Origin) -> Iterator[Image | InputError]:
    """Read a file in every way that may have been that of the run, the likeliest first.

    A layer does not say which of a file's channels it is, nor in which order the file has its
    axes; the pixels do.
    """
    whole = read_image(path, level=origin.level or 0, scene=origin.scene)
    count = whole.data.shape[whole.axes.index("C")] if "C" in whole.axes else 1
    channels = [origin.channel, *(index for index in range(count) if index != origin.channel)]
    for axes in dict.fromkeys((origin.axes, None)):
        for channel in channels:
            options = argparse.Namespace(
                axes=axes,
                channel=channel,
                plane=origin.plane,
                level=origin.level,
                scene=origin.scene,
                voxel_size=source.voxel_size,
                pixel_size=None,
                axial_step=None,
            )
            try:
                image = load(path, options, Console(json=True))
            except InputError as error:
                yield error
            else:
                yield replace(image, voxel_size=source.voxel_size)
