"""`zsdeconvnet predict`: results go to their files tile by tile."""

from __future__ import annotations

import argparse
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..console import Console, Interrupted
from ..damping import Damping
from ..errors import InputError
from ..files import check_writable
from ..image_files import written_image
from ..images import Image
from ..pictures import grey_picture
from .files import beside, expand, given, load, output_names, refuse_overwriting

if TYPE_CHECKING:
    from ..inference import Result, TileProgress
    from ..model import Model

DECONVOLVED = "deconvolved"
"""Ending of the names of results."""


def predict(arguments: argparse.Namespace, console: Console) -> None:
    """Deconvolve images and write the results."""
    paths = expand(arguments.images)
    outputs = output_names(arguments.output, paths, DECONVOLVED)
    also = [beside(output, DECONVOLVED, "denoised") for output in outputs if arguments.denoised]
    also += [Path(arguments.damp_mask)] if arguments.damp_mask else []
    for output in (*outputs, *also):
        refuse_overwriting(output, [*paths, arguments.model])
        check_writable(output)
    damping = _damping(arguments)

    from ..model import Model

    model = Model.load(arguments.model)
    done: list[dict[str, Any]] = []
    try:
        for path, output in zip(paths, outputs, strict=True):
            image = load(path, arguments, console)
            if damping is not None and arguments.damp_mask and not done:
                grey_picture(damping.mask(image.data.shape[-2:]), arguments.damp_mask)
                console.say(f"What is kept (white) and damped (black): {arguments.damp_mask}")
            started = time.perf_counter()
            with _room(model, image, output, arguments.denoised) as (into, written):
                tiles = model.iter_predict(
                    image,
                    device=arguments.device,
                    tile=arguments.tile,
                    repeats=arguments.repeats,
                    damping=damping,
                    into=into,
                )
                _follow(tiles, image.name, console)
            done.append({**written, "input": path, "seconds": time.perf_counter() - started})
            console.say(f"{path} -> {output}")
    except KeyboardInterrupt:
        raise Interrupted(f"{len(done)} of {len(paths)} images were written.") from None
    console.result({"model": arguments.model, "images": done})


def _damping(arguments: argparse.Namespace) -> Damping | None:
    """Take the damping from the command line, if it is asked for."""
    values = given(arguments, "damp_width", "damp_keep", "damp_mask")
    if arguments.damp is None:
        if values:
            option = next(iter(values)).replace("_", "-")
            raise InputError(f"--{option} does nothing without --damp; add --damp Y or --damp X.")
        return None
    names = {"damp_width": "half_width", "damp_keep": "keep"}
    numbers = {names[name]: value for name, value in values.items() if name in names}
    return Damping(arguments.damp, **numbers)


def _follow(tiles: Generator[TileProgress, None, Result], what: str, console: Console) -> None:
    """Compute all tiles, with a bar."""
    with console.bar(0, what, "tile") as bar:
        for progress in tiles:
            bar.total = progress.total
            bar.update(progress.done - bar.n)
            if progress.message:
                bar.clear()
                console.warn(progress.message)


@contextmanager
def _room(
    model: Model, image: Image, output: Path, denoised: bool
) -> Iterator[tuple[Result, dict[str, str]]]:
    """Give files to be filled, complete after the block or, if it fails, gone; and their names.

    The denoised image, where nobody asks for it, goes nowhere.
    """
    from ..inference import Result

    coarse, fine = model.output_shapes(image.data.shape)
    size = image.voxel_size
    finer = None
    if size is not None:
        finer = (*size[:-2], *(step / model.upsampling for step in size[-2:]))
    interval = image.frame_interval
    written = {"deconvolved": str(output)}
    with ExitStack() as files:
        deconvolved = files.enter_context(
            written_image(output, fine, axes=image.axes, voxel_size=finer, frame_interval=interval)
        )
        first: Any = _Nowhere(coarse)
        if denoised:
            other = beside(output, DECONVOLVED, "denoised")
            written["denoised"] = str(other)
            first = files.enter_context(
                written_image(
                    other, coarse, axes=image.axes, voxel_size=size, frame_interval=interval
                )
            )
        yield Result(first, deconvolved), written  # type: ignore[arg-type]


class _Nowhere:
    """Room for pixels that nobody asked for."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def __setitem__(self, index: object, values: object) -> None:
        pass
