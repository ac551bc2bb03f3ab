"""`zsdeconvnet sim`: patterns found, raw frames reconstructed, a model trained and used."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...io.image_writing import PixelsInFile, written_image
from ...model.provenance import now
from ...noise.camera_maps import CameraMaps, signal_of
from ...noise.noise_model import NoiseModel
from ...psf.microscope import Microscope
from ...psf.psf import PSF
from ...sim.patterns import Patterns
from ...sim.recording import Recording
from ...utils.errors import InputError
from ...utils.files import replaced_together
from ...workflow.record import Output, Prediction
from ...workflow.result_files import beside
from ..console import Console, Interrupted
from .files import check_output, given, output_names
from .outputs import result_files
from .records import write_record
from .scenes import inputs
from .sim_recordings import (
    camera_of,
    offset_of,
    open_recording,
    patterns_of,
    typed_cutoff,
)
from .summaries import show_patterns
from .training import done_before, finish, offered, refuse_beside_resume

if TYPE_CHECKING:
    from ...model.model import Model
    from ...modes.base import Known
    from ...sim.reconstruction import Reconstruction

RECONSTRUCTED, PATTERNS = "sim", "patterns"
"""Endings of the names of results."""

_MICROSCOPE = (
    *("na", "wavelength", "excitation_na", "excitation_wavelength", "order", "period", "angles"),
    *("orientations", "phases"),
)
_FIXED_BY_RESUME = (
    *("patterns", *_MICROSCOPE, "psf", "psf_voxel_size", "wiener", "notch", "apodisation"),
    "seed",
)

CAMERA = (
    *("noise", "gain", "read_variance", "background"),
    *("offset_map", "gain_map", "variance_map", "map_start"),
)
"""Options of the camera beside its offset."""

_RECONSTRUCTED_BY = (
    *("patterns", "period", "angles", "excitation_na", "excitation_wavelength", "psf"),
    *("wiener", "notch", "apodisation"),
)
"""Options that a mode does not know: the reconstruction is then made here."""

_OF_FRAMES = (
    *("patterns", "orientations", "phases", "sets", "order", "period", "angles"),
    *("wiener", "notch", "apodisation"),
)

_Offset: TypeAlias = "float | NDArray[np.float32]"
_Made: TypeAlias = "Callable[[NDArray[np.float32]], Sequence[NDArray[np.float32]]]"


def estimate(arguments: argparse.Namespace, console: Console) -> None:
    """Find the patterns of each recording, print and keep them."""
    paths = inputs(arguments)
    outputs: list[Path | None] = [None] * len(paths)
    if arguments.save:
        outputs = [*output_names(arguments.save, paths, PATTERNS, ".json")]
    _check_outputs([output for output in outputs if output], paths, arguments)
    psf = _psf(arguments)
    cutoff = typed_cutoff(arguments)
    done: list[dict[str, Any]] = []
    for path, output in zip(paths, outputs, strict=True):
        recording = open_recording(path, arguments, _frames_per_image(arguments))
        offset = offset_of(recording, arguments, console, cutoff)
        patterns = patterns_of(recording, offset, psf, arguments)
        show_patterns(patterns, recording.name, console)
        if output is not None:
            patterns.save(output)
            console.say(f"Written to {output}.")
        done.append({"input": path, "file": output, "patterns": patterns.to_dict()})
    console.result({"recordings": done})


def reconstruct(arguments: argparse.Namespace, console: Console) -> None:
    """Reconstruct each recording image by image, into its file."""
    paths = inputs(arguments)
    outputs = output_names(arguments.output, paths, RECONSTRUCTED)
    files = [{"reconstructed": output} for output in outputs]
    if arguments.widefield:
        for names in files:
            names["widefield"] = beside(names["reconstructed"], RECONSTRUCTED, "widefield")
    _check_outputs([name for names in files for name in names.values()], paths, arguments)
    psf = _psf(arguments)

    from ...utils.devices import resolve_device

    device = resolve_device(arguments.device)

    def one(path: str, names: Mapping[str, Path]) -> Patterns:
        recording, patterns, offset = _opened(path, psf, arguments, console)
        operator = _operator(patterns, psf, arguments).to(device)

        def made(frames: NDArray[np.float32]) -> Sequence[NDArray[np.float32]]:
            signal = np.asarray(frames - offset, np.float32)
            image = operator(signal)
            return (image, operator.widefield(signal)) if arguments.widefield else (image,)

        _write(recording, names, made, console)
        return patterns

    console.result({"recordings": _each(paths, files, one, console)})


def train(arguments: argparse.Namespace, console: Console) -> None:
    """Train a model on one recording and save it, also after Ctrl-C."""
    paths = inputs(arguments)
    if len(paths) > 1:
        raise InputError(
            "sim-recordings-several",
            f"{arguments.images[0]} stands for {len(paths)} recordings; train one model for each, "
            "or join them to one time series.",
        )
    _check_outputs([Path(arguments.output)], paths, arguments)

    from ...model.model import Model
    from ...training.trainer import train as start

    if arguments.resume:
        refuse_beside_resume(arguments, _FIXED_BY_RESUME)
    resume = arguments.resume or offered(arguments.output, console)
    if done_before(resume, arguments, console):
        return
    if resume:
        console.say(f"Going on with {resume}.")
        operator = _operator_in(Model.load(resume), resume)
        recording = _opened_for(operator.patterns, paths[0], arguments)
    else:
        psf = _psf(arguments)
        recording, patterns, _ = _opened(paths[0], psf, arguments, console)
        operator = _operator(patterns, psf, arguments)
    camera = camera_of(recording, arguments, console, _cutoff(operator.patterns))
    run = start(
        recording.image,
        noise=camera,
        reconstruction=operator,
        preset=arguments.preset,
        steps=arguments.steps,
        seed=arguments.seed,
        device=arguments.device,
        preview_every=0,
        resume=resume,
    )
    finish(run, arguments.output, console)


def refuse_for_frames(arguments: argparse.Namespace) -> None:
    """Raise InputError where an option is given that other recordings do not have."""
    for name in given(arguments, *_OF_FRAMES):
        raise InputError(
            "option-only-for-sim",
            f"--{name} is for raw SIM frames; leave it out, or add --mode sim if these are such.",
        )


def known_of_frames(
    path: str, arguments: argparse.Namespace, known: Known, console: Console
) -> dict[str, Any]:
    """Collect what is given of raw frames, in the names of `Known`.

    Parameters
    ----------
    path, arguments, console
        The recording, what was typed of it, and where findings are shown.
    known
        What else is known.
    """
    made: dict[str, Any] = {}
    if given(arguments, *_RECONSTRUCTED_BY):
        recorded = argparse.Namespace(**vars(arguments))
        if known.microscope is not None and not arguments.patterns:
            recorded.na, recorded.wavelength = known.microscope.na, known.microscope.wavelength
        psf = _psf(recorded)
        recording, patterns, _ = _opened(path, psf, recorded, console)
        made["reconstruction"] = _operator(patterns, psf, recorded)
        made["microscope"] = known.microscope or Microscope(patterns.na, patterns.wavelength)
    else:
        recording = open_recording(path, arguments, _frames_per_image(arguments))
    if given(arguments, *CAMERA) or isinstance(arguments.offset, str):
        scope = made.get("microscope", known.microscope)
        cutoff = None if scope is None else 2 * scope.na / scope.wavelength
        made["camera"] = camera_of(recording, arguments, console, cutoff)
    return made


def predict(arguments: argparse.Namespace, console: Console) -> None:
    """Reconstruct recordings as that of a model was, and put the model to the results."""
    paths = inputs(arguments)
    files = result_files(arguments, paths)

    from ...model.model import Model

    model = Model.load(arguments.model)
    operator = _operator_in(model, arguments.model)

    def one(path: str, names: Mapping[str, Path]) -> Patterns:
        recording = _opened_for(operator.patterns, path, arguments)
        offset = offset_of(recording, arguments, console, _cutoff(operator.patterns))
        settings = given(arguments, "device", "tile")
        with replaced_together():
            prediction = predict_frames(
                model, operator, recording, _camera(offset), names, console, **settings
            )
            write_record(model, prediction, names)
        return operator.patterns

    console.result({"model": arguments.model, "recordings": _each(paths, files, one, console)})


def predict_frames(
    model: Model,
    operator: Reconstruction,
    recording: Recording,
    camera: NoiseModel | CameraMaps,
    names: Mapping[str, Path],
    console: Console,
    *,
    device: str = "auto",
    tile: int | tuple[int, ...] | None = None,
) -> Prediction:
    """Reconstruct a recording as a model's own was, and put the model to it, into files.

    Parameters
    ----------
    model, operator, recording, console
        What is put to what, the model's own operator, and where progress is shown.
    camera
        What is taken out of the frames.
    names
        The files, as `result_files` gives them.
    device, tile
        As for `Model.predict`.

    Returns
    -------
    Prediction
        For the record.
    """
    from ...utils.devices import resolve_device, steady_threads

    started, begun, used = now(), time.perf_counter(), set()

    def made(frames: NDArray[np.float32]) -> Sequence[NDArray[np.float32]]:
        image = operator(signal_of(frames, camera).values)
        result = model.predict(
            image, axes="YX", device=device, tile=tile, progress=lambda tiles: used.add(tiles.tile)
        )
        return [np.asarray(getattr(result, what)) for what in names]

    with steady_threads(resolve_device(device)):
        files, axes = _write(recording, names, made, console)
        return Prediction.now(
            recording.image,
            device,
            outputs={what: Output.of(names[what].name, file, axes) for what, file in files.items()},
            started=started,
            seconds=time.perf_counter() - begun,
            tile=min(used),
            camera=camera,
        )


def _camera(offset: _Offset) -> NoiseModel | CameraMaps:
    """Give a camera of which no more than the offset is known, nor needed."""
    if isinstance(offset, float):
        return NoiseModel(offset, None, 0.0, source="its offset alone")
    return CameraMaps(offset, np.ones_like(offset), np.zeros_like(offset))


def _check_outputs(
    outputs: Sequence[Path], inputs: Sequence[str], arguments: argparse.Namespace
) -> None:
    for output in outputs:
        check_output(output, inputs, arguments)


def _frames_per_image(arguments: argparse.Namespace) -> int:
    return (arguments.orientations or 3) * (arguments.phases or 3)


def _cutoff(patterns: Patterns) -> float:
    return 2 * patterns.na / patterns.wavelength


def _psf(arguments: argparse.Namespace) -> PSF | str | None:
    """Give the microscope's PSF, or the file of it; None stands for an ideal microscope."""
    if arguments.psf and arguments.psf_voxel_size is not None:
        return PSF.read(arguments.psf, arguments.psf_voxel_size)
    return arguments.psf or None


# Recordings and their patterns


def _opened(
    path: str, psf: PSF | str | None, arguments: argparse.Namespace, console: Console
) -> tuple[Recording, Patterns, _Offset]:
    """Open a recording, with its offset and with the patterns that were saved, or its own."""
    if arguments.patterns:
        patterns = _saved_patterns(arguments)
        recording = _opened_for(patterns, path, arguments)
        return recording, patterns, offset_of(recording, arguments, console, _cutoff(patterns))
    cutoff = typed_cutoff(arguments)
    recording = open_recording(path, arguments, _frames_per_image(arguments))
    offset = offset_of(recording, arguments, console, cutoff)
    patterns = patterns_of(recording, offset, psf, arguments)
    show_patterns(patterns, recording.name, console)
    return recording, patterns, offset


def _opened_for(patterns: Patterns, path: str, arguments: argparse.Namespace) -> Recording:
    """Open a recording that known patterns are to go with."""
    frames = len(patterns) * patterns.phases
    recording = open_recording(path, arguments, frames, usual_pixel_size=patterns.pixel_size)
    if recording.frames.shape[1:] != patterns.shape:
        raise InputError(
            "patterns-other-frames",
            f"{recording.name} has frames of {recording.frames.shape[1:]} pixels and the patterns "
            f"are of {patterns.shape}; estimate them on this recording.",
        )
    if not np.isclose(recording.pixel_size, patterns.pixel_size, rtol=0.02):
        raise InputError(
            "patterns-other-frames",
            f"{recording.name} has pixels of {1000 * recording.pixel_size:.4g} nm and the patterns "
            f"are of {1000 * patterns.pixel_size:.4g} nm; estimate them on this recording, or "
            "correct --pixel-size.",
        )
    return recording


def _saved_patterns(arguments: argparse.Namespace) -> Patterns:
    """Read the patterns, and refuse what they say already."""
    for name in _MICROSCOPE:
        if getattr(arguments, name) is not None:
            raise InputError(
                "options-exclude-each-other",
                f"--{name.replace('_', '-')} does not go with --patterns, which takes it from "
                f"{arguments.patterns}; leave one of them out.",
            )
    return Patterns.load(arguments.patterns)


# The operator, and what it makes


def _operator(
    patterns: Patterns, psf: PSF | str | None, arguments: argparse.Namespace
) -> Reconstruction:
    from ...sim.reconstruction import Reconstruction

    return Reconstruction(patterns, psf=psf, **given(arguments, "wiener", "notch", "apodisation"))


def _operator_in(model: Model, path: str) -> Reconstruction:
    from ...sim.reconstruction import Reconstruction

    if model.reconstruction is None:
        raise InputError(
            "model-not-sim",
            f"{path} was not trained on raw SIM; use it with zsdeconvnet predict, on images like "
            "those it was trained on.",
        )
    return Reconstruction.from_dict(model.reconstruction)


def _each(
    paths: Sequence[str],
    files: Sequence[Mapping[str, Path]],
    one: Callable[[str, Mapping[str, Path]], Patterns],
    console: Console,
) -> list[dict[str, Any]]:
    """Do one recording after another, and collect what JSON says of them."""
    done: list[dict[str, Any]] = []
    try:
        for path, names in zip(paths, files, strict=True):
            patterns = one(path, names)
            done.append({"input": path, **names, "patterns": patterns.to_dict()})
            console.say(f"{path} -> {next(iter(names.values()))}")
    except KeyboardInterrupt:
        raise Interrupted(f"{len(done)} of {len(paths)} recordings were written.") from None
    return done


def _write(
    recording: Recording, names: Mapping[str, Path], made: _Made, console: Console
) -> tuple[dict[str, PixelsInFile], str]:
    """Fill the files of a recording image by image, complete afterwards or, if it fails, gone.

    Gives their pixels, and the axes of these.
    """
    sets, axes = recording.sets, recording.result_axes
    options: dict[str, Any] = {
        "shape": recording.result_shape,
        "axes": axes,
        "voxel_size": recording.result_voxel_size,
        "frame_interval": recording.frame_interval,
    }
    several = recording.result_shape[:-2]
    with ExitStack() as stack, console.bar(len(sets), recording.name, "image") as bar:
        files = {
            what: stack.enter_context(written_image(name, **options))
            for what, name in names.items()
        }
        for index, frames in enumerate(sets):
            images = made(frames.astype(np.float32))
            for file, image in zip(files.values(), images, strict=True):
                file[(*np.unravel_index(index, several), ...) if several else ...] = image
            bar.update()
    return files, axes
