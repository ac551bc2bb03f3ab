"""`zsdeconvnet predict`: results go to their files tile by tile."""

from __future__ import annotations

import argparse
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ...io.image import Image
from ...io.image_writing import written_image
from ...io.zarr_stores import names_zarr
from ...physics.stripe_filter import Damping
from ...quality.pictures import grey_picture
from ...utils.errors import InputError
from ...utils.files import replaced_together
from ...workflow.record import IN_ZARR, Prediction, iter_recorded
from ...workflow.result_files import BACKGROUND, DECONVOLVED, DENOISED, beside
from ..console import Console, Interrupted, worded
from .camera import maps_for
from .files import check_output, given, load
from .outputs import result_files
from .records import write_record
from .scenes import inputs, title_of
from .sim import predict as predict_on_frames
from .sim_recordings import holds_raw_frames

if TYPE_CHECKING:
    from ...inference.predict import Result, TileProgress
    from ...model.model import Model

T = TypeVar("T")


def predict(arguments: argparse.Namespace, console: Console) -> None:
    """Deconvolve images and write the results, each with its record."""
    paths = inputs(arguments)
    if names_zarr(arguments.output):
        predict_to_zarr(arguments, paths, console)
        return
    for name in ("workers", "scheduler", "resume"):
        if getattr(arguments, name, None):
            raise InputError(
                "option-needs-another",
                f"--{name} is for an output that is an OME-Zarr; leave it out, or name one with "
                "-o, as in out.ome.zarr.",
            )
    files = result_files(arguments, paths)
    for output in [Path(arguments.damp_mask)] if arguments.damp_mask else []:
        check_output(output, [*paths, arguments.model], arguments)
    damping = damping_of(arguments)

    from ...model.model import Model

    model = Model.load(arguments.model)
    if holds_raw_frames(paths[0], model, arguments):
        predict_on_frames(arguments, console)
        return
    for name in given(arguments, "noise", "background", "sets"):
        raise InputError("option-only-for-sim", f"--{name} is for raw SIM frames; leave it out.")
    if isinstance(arguments.offset, float):
        raise InputError(
            "option-only-for-sim",
            "--offset is for raw SIM frames; the model has that of other images.",
        )
    if model.out_of_focus:
        for names in files:
            names[BACKGROUND] = beside(names[DECONVOLVED], DECONVOLVED, BACKGROUND)
            check_output(names[BACKGROUND], [*paths, arguments.model], arguments)
    done: list[dict[str, Any]] = []
    failed: list[str] = []
    try:
        for path, names in zip(paths, files, strict=True):
            try:
                image = load(path, arguments, console)
            except InputError as error:
                if len(paths) == 1:
                    raise
                failed.append(title_of(path))
                console.warn(f"{title_of(path)}: {worded(error)}")
                continue
            if damping is not None and arguments.damp_mask and not done:
                grey_picture(damping.mask(image.data.shape[-2:]), arguments.damp_mask)
                console.say(f"What is kept (white) and damped (black): {arguments.damp_mask}")
            settings = given(arguments, "device", "tile", "repeats")
            settings |= {"damping": damping, "camera": maps_for(arguments, model.noise, image)}
            with replaced_together():
                prediction = predict_into_files(model, image, names, console, **settings)
                record = write_record(model, prediction, names)
            written = {what: str(name) for what, name in names.items()}
            done.append({**written, "record": record, "input": path, "seconds": prediction.seconds})
            console.say(f"{title_of(path)} -> {names[DECONVOLVED]}")
    except KeyboardInterrupt:
        raise Interrupted(f"{len(done)} of {len(paths)} images were written.") from None
    console.result({"model": arguments.model, "images": done, "failed": failed})
    if failed:
        raise InputError(
            "images-failed",
            f"{len(failed)} of {len(paths)} images could not be read, for the reasons above: "
            f"{', '.join(failed)}; the others are written.",
        )


def predict_to_zarr(arguments: argparse.Namespace, paths: Sequence[str], console: Console) -> None:
    """Deconvolve one image into an OME-Zarr, with its record in it, here or on a cluster."""
    output = Path(arguments.output)
    if len(paths) > 1:
        raise InputError(
            "output-is-one-file",
            f"{output} is one image and there are {len(paths)}; name a folder instead.",
        )
    for name in ("repeats", "damp_mask"):
        if getattr(arguments, name):
            raise InputError(
                "option-not-for-zarr",
                f"--{name.replace('_', '-')} cannot be had with an OME-Zarr output; leave it out, "
                "or write a .tif.",
            )
    from ...model.model import Model
    from ...workflow.distributed import iter_predict_to_zarr

    model = Model.load(arguments.model)
    if holds_raw_frames(paths[0], model, arguments):
        raise InputError("sim-not-to-zarr", "Results of raw SIM frames go to TIFF; name a .tif.")
    outputs = {DECONVOLVED: output}
    if arguments.denoised:
        outputs[DENOISED] = beside(output, DECONVOLVED, DENOISED)
    if model.out_of_focus:
        outputs[BACKGROUND] = beside(output, DECONVOLVED, BACKGROUND)
    for place in outputs.values():
        check_output(place, paths, arguments)
    image = load(paths[0], arguments, console)
    tiles = iter_predict_to_zarr(
        model,
        image,
        outputs,
        damping=damping_of(arguments),
        camera=maps_for(arguments, model.noise, image),
        **given(arguments, "device", "tile", "workers", "scheduler", "resume", "force"),
    )
    with closing(tiles):
        try:
            prediction = follow(tiles, image.name, console)
        except KeyboardInterrupt:
            raise Interrupted(f"--resume goes on with {output}.") from None
    console.say(f"{paths[0]} -> {output}")
    written = {what: str(name) for what, name in outputs.items()}
    record = str(output / IN_ZARR)
    done = {**written, "record": record, "input": paths[0], "seconds": prediction.seconds}
    console.result({"model": arguments.model, "images": [done]})


def predict_into_files(
    model: Model, image: Image, names: Mapping[str, Path], console: Console, **settings: Any
) -> Prediction:
    """Fill the files of a result tile by tile, complete afterwards or, if it fails, gone.

    Parameters
    ----------
    model, image, console
        What is put to what, and where progress is shown.
    names
        The files, as `result_files` gives them.
    **settings
        As for `record.iter_recorded`.

    Returns
    -------
    Prediction
        For the record.
    """
    with _room(model, image, names) as into:
        tiles = iter_recorded(model, image, into=into, **settings)
        _, prediction = follow(tiles, image.name, console)
    return prediction.with_outputs(into, {what: name.name for what, name in names.items()})


def damping_of(arguments: argparse.Namespace) -> Damping | None:
    """Take the damping from the command line, if it is asked for."""
    values = given(arguments, "damp_width", "damp_keep", "damp_mask")
    if arguments.damp is None:
        if values:
            option = next(iter(values)).replace("_", "-")
            raise InputError(
                "option-needs-another",
                f"--{option} does nothing without --damp; add --damp Y or --damp X.",
            )
        return None
    names = {"damp_width": "half_width", "damp_keep": "keep"}
    numbers = {names[name]: value for name, value in values.items() if name in names}
    return Damping(arguments.damp, **numbers)


def follow(tiles: Generator[TileProgress, None, T], what: str, console: Console) -> T:
    """Compute all tiles, with a bar."""
    with console.bar(0, what, "tile") as bar:
        while True:
            try:
                progress = next(tiles)
            except StopIteration as end:
                value: T = end.value
                return value
            bar.total = progress.total
            bar.update(progress.done - bar.n)
            if progress.message:
                bar.clear()
                console.warn(progress.message)


@contextmanager
def _room(model: Model, image: Image, names: Mapping[str, Path]) -> Iterator[Result]:
    """Give files to be filled, complete after the block or, if it fails, gone.

    The denoised image, where nobody asks for it, goes nowhere.
    """
    from ...inference.frame_result import Nowhere
    from ...inference.predict import Result

    coarse, fine = model.output_shapes(image.data.shape)
    size = image.voxel_size
    finer = None
    if size is not None:
        finer = (*size[:-2], *(step / model.upsampling for step in size[-2:]))
    rooms: dict[str, Any] = {DENOISED: Nowhere(coarse), BACKGROUND: None}
    grids = dict.fromkeys(rooms, (coarse, size)) | {DECONVOLVED: (fine, finer)}
    with ExitStack() as files:
        for what, name in names.items():
            shape, voxel_size = grids[what]
            rooms[what] = files.enter_context(
                written_image(
                    name,
                    shape,
                    axes=image.axes,
                    voxel_size=voxel_size,
                    frame_interval=image.frame_interval,
                    channel_names=image.channel_names,
                )
            )
        yield Result(rooms[DENOISED], rooms[DECONVOLVED], rooms[BACKGROUND])
