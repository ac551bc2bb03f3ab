"""A model put to a recording beyond memory: OME-Zarr in, OME-Zarr out, by one process or many."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ...inference.predict import TileProgress, check_memory, exhaust, output_shape, spelled_tile
from ...inference.tile_computer import TileComputer, TileSource
from ...io.image import Image, finer
from ...io.lazy import LazyArray
from ...io.ome_zarr_writing import Layout, check_zarr_output
from ...model.model import Model
from ...model.predicting import prepared
from ...model.provenance import installed_versions, now, weights_fingerprint
from ...networks.base import TwoStageNetwork
from ...noise.camera_maps import NAMES, CameraMaps
from ...physics.stripe_filter import Damping
from ...utils.devices import describe_device, fixed_threads, thread_count
from ...utils.each import Each
from ...utils.errors import InputError, Remedy
from ...utils.files import locked_folder, make_folder, refusal, replace_folder, written_whole
from ...utils.phases import go_on
from ...utils.tiling import fitting_tile, smallest_tile, tiles
from ..record import IN_ZARR, Output, Prediction, RunRecord
from .running import (
    batches,
    cluster,
    device_for,
    each_by,
    run_tasks,
    threads_for,
    where_computed,
)
from .tasks import FINAL, UNCORRECTED, Work

if TYPE_CHECKING:
    from distributed import Client

_JOB = "job.json"
_MEMORY = 3 * 2**29  # bytes for the window of a tile; a worker takes as much again at most
_NAMED = 5


def predict_to_zarr(
    model: Model, image: Image, output: str | os.PathLike[str], **settings: Any
) -> Prediction:
    """Deconvolve an image of any size into an OME-Zarr, here or on a cluster.

    Parameters
    ----------
    model
        As trained or loaded.
    image
        Axes ([T,] [Z,] Y, X). For a cluster its pixels are read from an OME-Zarr.
    output
        Folder to write, .ome.zarr; it gets its name once it is complete.
    **settings
        As for `iter_predict_to_zarr`: ``workers``, ``scheduler`` or ``client``, ``tile``,
        ``resume``, ``force``, ...

    Returns
    -------
    Prediction
        What was done, as the record in the output has it.

    Raises
    ------
    InputError
        As from `iter_predict_to_zarr`.

    Examples
    --------
    >>> import napari_zsdeconvnet as zs
    >>> sample = zs.simulate("filaments", shape=(64, 64))
    >>> run = zs.train(sample.raw, sample.psf, sample.noise, steps=0, device="cpu")
    >>> image = zs.Image(sample.raw, "YX", sample.voxel_size, name="cells")
    >>> _ = zs.predict_to_zarr(run.model, image, "cells.ome.zarr", device="cpu")
    >>> zs.read_image("cells.ome.zarr").data.shape
    (1, 128, 128)
    """
    return exhaust(iter_predict_to_zarr(model, image, {"deconvolved": Path(output)}, **settings))


def iter_predict_to_zarr(
    model: Model,
    image: Image,
    outputs: Mapping[str, Path],
    *,
    device: str = "auto",
    tile: int | tuple[int, ...] | None = None,
    damping: Damping | None = None,
    camera: CameraMaps | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    client: Client | None = None,
    resume: bool = False,
    force: bool = False,
) -> Generator[TileProgress, None, Prediction]:
    """Deconvolve an image into OME-Zarr, tile by tile, in this process or on a cluster.

    Tiles are written to a folder beside the output, which takes its name once everything is
    complete. A run that ended before goes on there. The result does not depend on who computes.

    Parameters
    ----------
    model, image
        The image has one channel, axes ([T,] [Z,] Y, X), and, for a cluster, pixels that each
        worker can read, as those of OME-Zarr.
    outputs
        The folders to write by what they hold: "deconvolved" and perhaps "denoised" and
        "background".
    device, tile, damping, camera
        As for `Model.iter_predict`.
    workers, scheduler, client
        As for `cluster`; a cluster needs a file system that all workers share.
    resume
        Whether to go on with a run that ended before it was complete.
    force
        Whether an output that exists is replaced, and a run that is not complete begun anew.

    Yields
    ------
    TileProgress
        After every tile.

    Returns
    -------
    Prediction
        For the record, which is in each output already.

    Raises
    ------
    InputError
        If an output exists or lies in the input, or tiles could not be computed: those that could
        are kept for ``resume``.
    """
    began, begun = now(), time.perf_counter()
    image = _without_channel(image)
    main = Path(outputs["deconvolved"])
    for output in outputs.values():
        check_zarr_output(output, image.origin.path if image.origin else None, force=force)
    folder = unfinished(main)
    _check_unfinished(folder, resume, force)
    job = _job(model, image, outputs, damping, camera)
    before = _size_before(folder, job) if resume else None
    with cluster(workers, scheduler, client) as computing:
        chosen = device_for(computing, device)
        each = each_by(computing)
        search = None if computing is None else each
        seen = prepared(model, image, camera=camera, each=search)
        for sentence in seen.warnings:
            yield TileProgress(0, 1, sentence)
        source = TileSource(seen.frames, damping, seen.read_variance, seen.background)
        computer = TileComputer(model.network, source, model.noise, model.scale, chosen)
        shape = tuple(int(length) for length in seen.frames.shape)
        network = model.network
        where_computed(computing, check_memory, network, chosen, shape, results=False)
        size = before or spelled_tile(tile, len(shape) - 1)
        if size is None:
            size = where_computed(computing, _fitting, network, chosen, shape)
        size = tuple(map(max, size, smallest_tile(network.reach, network.multiples)))
        cover = tuple(tiles(shape[1:], size, network.reach, network.multiples, network.border))
        names = tuple(outputs)
        threads = threads_for(computing) or thread_count(chosen)
        with _kept(folder, {**job, "tile": list(size)}) as keep:
            axes = "".join(letter for letter in "TCZYX" if letter in f"C{image.axes}")
            work = Work(computer, cover, seen.mask, folder, names, threads, axes)
            factors = _make_arrays(work, image, model, size)
            yield from _compute(work, computing, size)
            yield from _complete(work, computing, factors, size)
            with fixed_threads(threads):
                prediction = Prediction.now(
                    image,
                    "cpu",
                    each=each,
                    started=began,
                    seconds=time.perf_counter() - begun,
                    tile=size,
                    damping=damping,
                    camera=camera,
                    warnings=seen.warnings,
                )
            computed = where_computed(computing, _in_words, chosen, threads)
            prediction = replace(prediction, device=computed)
            prediction = _described(work, image, model, outputs, factors, prediction, each)
            for name, output in outputs.items():
                replace_folder(folder / name, output.resolve())
            keep.clear()
    return prediction


def _without_channel(image: Image) -> Image:
    """Leave out an axis of one channel; of several, one has to be chosen first."""
    axes = image.axes.replace("C", "")
    if axes == image.axes or image.data.shape[image.axes.index("C")] > 1:
        return image
    lazily: Any = LazyArray(image.data, image.axes, axes)
    return replace(image, data=lazily, axes=axes)


def unfinished(output: Path) -> Path:
    """Name the folder where an output is written before it is complete."""
    output = output.resolve()
    return output.with_name(f".{output.name}.unfinished")


def _check_unfinished(folder: Path, resume: bool, force: bool) -> None:
    if resume and not (folder / _JOB).is_file():
        raise InputError(
            "nothing-to-resume",
            f"There is no unfinished run to go on with ({folder}); begin one.",
        )
    if not folder.exists() or resume:
        return
    if not force and _has_tiles(folder):
        raise InputError(
            "output-unfinished",
            f"A run for this output ended before it was complete ({folder})",
            Remedy("resume"),
            Remedy("begin-anew"),
        )
    with locked_folder(folder):
        shutil.rmtree(folder, ignore_errors=True)


def _job(
    model: Model,
    image: Image,
    outputs: Mapping[str, Path],
    damping: Damping | None,
    camera: CameraMaps | None,
) -> dict[str, Any]:
    """Describe a run, so that another one can tell whether it may go on with it.

    All that the pixels depend on, as tiles of two runs that differ would lie in one result.
    """
    maps = None
    if camera is not None:
        maps = weights_fingerprint({name: torch.tensor(getattr(camera, name)) for name in NAMES})
    return {
        "model": weights_fingerprint(model.network.state_dict()),
        "noise": model.noise.to_dict(),
        "scale": model.scale,
        "image": None if image.origin is None else asdict(image.origin),
        "shape": [int(length) for length in image.data.shape],
        "bad pixels": image.pixel_rule.to_dict(),
        "camera": maps,
        "outputs": sorted(outputs),
        "damping": None if damping is None else repr(damping),
        "versions": installed_versions(),
    }


def _size_before(unfinished: Path, job: Mapping[str, Any]) -> tuple[int, ...]:
    """Take the window of a tile from the run that is gone on with."""
    before = json.loads((unfinished / _JOB).read_text(encoding="utf-8"))
    other = [name for name, value in job.items() if before.get(name) != value]
    if other:
        raise InputError(
            "resume-other-run",
            f"The unfinished run has another {' and '.join(other)} than this one",
            "give the same",
            Remedy("begin-anew"),
        )
    return tuple(before["tile"])


def _in_words(device: torch.device, threads: int) -> str:
    """Say what computes."""
    with fixed_threads(threads):
        return describe_device(device)


def _fitting(
    network: TwoStageNetwork, device: torch.device, shape: tuple[int, ...]
) -> tuple[int, ...]:
    """Choose the window of a tile by the memory of the device."""
    return fitting_tile(
        device,
        network.memory_per_pixel(device),
        shape[1:],
        network.reach,
        network.multiples,
        network.border or network.reach,
        most=_MEMORY,
    )


@contextmanager
def _kept(folder: Path, job: Mapping[str, Any]) -> Iterator[list[Path]]:
    """Make the folder of an unfinished run; it stays after a failure if any tile is done.

    The list that is given is cleared once the run is complete.
    """
    make_folder(folder / "tiles")
    keep = [folder]
    with locked_folder(folder):
        try:
            with written_whole(folder / _JOB) as temporary:
                temporary.write_text(json.dumps(job, indent=2), encoding="utf-8")
            yield keep
        except (OSError, InputError) as error:
            refused = refusal(error, folder) if isinstance(error, OSError) else error
            if _has_tiles(folder) and not refused.remedies:
                refused = refused.with_remedy("The tiles that are done are kept", Remedy("resume"))
            raise refused from error
        finally:
            if not (keep and _has_tiles(folder)):
                shutil.rmtree(folder, ignore_errors=True)


def _has_tiles(unfinished: Path) -> bool:
    return any((unfinished / "tiles").glob("*.npz"))


def _make_arrays(
    work: Work, image: Image, model: Model, size: tuple[int, ...]
) -> dict[str, list[tuple[int, int, int]]]:
    """Make the arrays of all results, whose shards are the tiles; gives the levels of each."""
    first = work.cover[0].shape  # inner tiles have the size of the first
    factors = {}
    for name in work.outputs:
        upsampling = model.upsampling if name == "deconvolved" else 1
        shape = output_shape(work.computer.network, work.shape) if upsampling > 1 else work.shape
        full = (shape[0], 1, *((1,) if "Z" not in work.letters else ()), *shape[1:])
        parts = (1, *first)[-3:]
        parts = (parts[0], upsampling * parts[1], upsampling * parts[2])
        room = work.result(name)
        keys = [FINAL, UNCORRECTED] if work.corrected and name != "background" else [FINAL]
        for key in keys:
            room.create(key, full, Layout.of(full, parts))
        factors[name] = room.begin_levels(finer(image, upsampling).voxel_size)
    return factors


def _compute(
    work: Work, client: Client | None, size: tuple[int, ...]
) -> Generator[TileProgress, None, None]:
    """Compute all tiles that are not there, and say at the end which could not be."""
    missing = work.missing()
    total, failed = work.tile_count, list[tuple[int, str]]()
    done = total - len(missing)
    message = f"{done} of {total} tiles are there from before." if done else ""
    if message:
        yield TileProgress(done, total, message, size)
    if client is None:
        for one in work.tiles(missing):
            go_on()
            if isinstance(one, tuple):
                failed.append(one)
                continue
            done += 1
            yield TileProgress(done, total, "", size)
    else:
        for batch, result in run_tasks(client, work, _tiles, batches(missing, client)):
            go_on()
            if isinstance(result, OSError | InputError):
                raise result  # such as a full disk, which all others would meet, too
            if isinstance(result, BaseException):
                failed += [(number, str(result) or type(result).__name__) for number in batch]
                continue
            failed += [one for one in result if isinstance(one, tuple)]
            done += len([one for one in result if isinstance(one, int)])
            yield TileProgress(done, total, "", size)
    if failed:
        reasons = list(dict.fromkeys(reason for _, reason in failed))
        raise InputError(
            "tiles-failed",
            f"{len(failed)} of {total} tiles could not be computed: "
            + " ".join(reasons[:_NAMED])
            + " The others are kept",
            Remedy("resume"),
            tiles=tuple(number for number, _ in failed),
        )


def _complete(
    work: Work,
    client: Client | None,
    factors: Mapping[str, list[tuple[int, int, int]]],
    size: tuple[int, ...],
) -> Generator[TileProgress, None, None]:
    """Finish frames and make the coarser levels."""
    total = work.tile_count
    frames = range(work.frames)
    for _, result in run_tasks(client, work, _finish, list(frames) if work.corrected else []):
        _raise_if_failed(result)
        yield TileProgress(total, total, "", size)
    most = max(len(levels) for levels in factors.values())
    for level in range(1, most):
        parts = [
            (name, level, frame, part)
            for name, levels in factors.items()
            if level < len(levels)
            for frame in frames
            for part in work.result(name).parts_of_level(level)
        ]
        for _, result in run_tasks(client, work, _part, parts):
            _raise_if_failed(result)
            yield TileProgress(total, total, "", size)


def _raise_if_failed(result: Any) -> None:
    if isinstance(result, BaseException):
        raise result


def _tiles(work: Work, numbers: list[int]) -> list[int | tuple[int, str]]:
    return list(work.tiles(numbers))


def _finish(work: Work, frame: int) -> None:
    work.finish_frame(frame)


def _part(work: Work, place: tuple[str, int, int, tuple[slice, ...]]) -> None:
    work.fill_part(*place)


def _described(
    work: Work,
    image: Image,
    model: Model,
    outputs: Mapping[str, Path],
    factors: Mapping[str, list[tuple[int, int, int]]],
    prediction: Prediction,
    each: Each,
) -> Prediction:
    """Write metadata and record into the finished results."""
    axes = work.axes.replace("C", "")
    found = {}
    for name, output in outputs.items():
        room = work.result(name)
        if UNCORRECTED in room.group:
            del room.group[UNCORRECTED]
        grid = finer(image, model.upsampling if name == "deconvolved" else 1)
        room.describe(replace(grid, name=output.name), factors[name])
        found[name] = Output.of(output.name, room.pixels(FINAL, axes), axes, each)
    prediction = replace(prediction, outputs=found)
    for name in outputs:
        RunRecord.of(model, prediction=prediction).write(work.folder / name / IN_ZARR)
    return prediction
