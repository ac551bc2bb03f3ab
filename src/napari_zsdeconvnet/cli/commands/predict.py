"""`zsdeconvnet predict`: results go to their files tile by tile."""

from __future__ import annotations

import argparse
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...io.image import Image
from ...io.image_writing import written_image
from ...physics.stripe_filter import Damping
from ...quality.pictures import grey_picture
from ...utils.errors import InputError
from ...utils.files import replaced_together
from ...workflow.record import Prediction, iter_recorded
from ..console import Console, Interrupted
from .camera import maps_for
from .files import beside, check_output, expand, given, load
from .outputs import BACKGROUND, DECONVOLVED, DENOISED, result_files
from .records import write_record
from .sim import predict as predict_on_frames
from .sim_recordings import holds_raw_frames

if TYPE_CHECKING:
    from ...inference.predict import Result, TileProgress
    from ...model.model import Model


def predict(arguments: argparse.Namespace, console: Console) -> None:
    """Deconvolve images and write the results, each with its record."""
    paths = expand(arguments.images)
    files = result_files(arguments, paths)
    for output in [Path(arguments.damp_mask)] if arguments.damp_mask else []:
        check_output(output, [*paths, arguments.model], arguments)
    damping = _damping(arguments)

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
    try:
        for path, names in zip(paths, files, strict=True):
            image = load(path, arguments, console)
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
            console.say(f"{path} -> {names[DECONVOLVED]}")
    except KeyboardInterrupt:
        raise Interrupted(f"{len(done)} of {len(paths)} images were written.") from None
    console.result({"model": arguments.model, "images": done})


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
        prediction = _follow(tiles, image.name, console)
    return prediction.with_outputs(into, {what: name.name for what, name in names.items()})


def _damping(arguments: argparse.Namespace) -> Damping | None:
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


def _follow(
    tiles: Generator[TileProgress, None, tuple[Result, Prediction]], what: str, console: Console
) -> Prediction:
    """Compute all tiles, with a bar."""
    with console.bar(0, what, "tile") as bar:
        while True:
            try:
                progress = next(tiles)
            except StopIteration as end:
                prediction: Prediction = end.value[1]
                return prediction
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
    from ...inference.predict import Result

    coarse, fine = model.output_shapes(image.data.shape)
    size = image.voxel_size
    finer = None
    if size is not None:
        finer = (*size[:-2], *(step / model.upsampling for step in size[-2:]))
    rooms: dict[str, Any] = {DENOISED: _Nowhere(coarse), BACKGROUND: None}
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


class _Nowhere:
    """Room for pixels that nobody asked for."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def __getitem__(self, index: object) -> float:
        return 0.0

    def __setitem__(self, index: object, values: object) -> None:
        pass
