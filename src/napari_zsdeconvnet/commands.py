"""What each command does: read files, call the package, write files, say what happened."""

from __future__ import annotations

import argparse
import glob
import json
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .console import Console, Interrupted
from .errors import InputError
from .files import check_writable, written_whole
from .image_files import read_image, write_image
from .images import Image, as_frames, check_pixels
from .noise import NoiseModel
from .psf import PSF

if TYPE_CHECKING:
    from .inference import Result
    from .model import Model
    from .training import Progress, TrainingRun

_MODEL_SUFFIX = ".safetensors"
_SERIES_FROM = 10  # frames; fewer say less about the noise than one image does


# -- calibrate


def calibrate(arguments: argparse.Namespace, console: Console) -> None:
    """Measure the noise model and print it with its errors."""
    if arguments.output:
        check_writable(arguments.output)
    image = load(arguments.image, arguments, console)
    frames = as_frames(image)
    if arguments.dark:
        noise = NoiseModel.from_dark(frames)
    elif arguments.series:
        noise = NoiseModel.from_series(frames, offset=arguments.offset)
    else:
        noise = measured_noise(
            frames,
            background=arguments.background,
            offset=arguments.offset,
            gain=arguments.gain,
            cutoff=_cutoff(arguments, image.voxel_size),
            name=image.name,
        )
    noise = _with_typed(noise, _given(arguments, "offset", "gain"))
    show_noise(noise, console)
    if arguments.output:
        write_json(arguments.output, noise.to_dict())
        console.say(f"Written to {arguments.output}.")
    console.result({"noise": noise.to_dict(), "file": arguments.output})


def measured_noise(
    frames: np.ndarray,
    *,
    background: tuple[slice, slice] | None = None,
    offset: float | None = None,
    gain: float | None = None,
    cutoff: float | None = None,
    name: str = "image",
) -> NoiseModel:
    """Measure the noise in the most trustworthy way that the image and what is known allow.

    Parameters
    ----------
    frames
        (T, Y, X) in counts.
    background
        Rows and columns without structure.
    offset
        Counts without light, if known.
    gain
        Counts per electron, if known.
    cutoff
        Highest frequency the optics pass, in cycles per pixel; None where not known.
    name
        What messages call the image.

    Returns
    -------
    NoiseModel
        From the background if there is one; else from the differences of frames, from 10
        frames on; else from the noise beyond the optical cutoff.

    Raises
    ------
    InputError
        If the region does not lie in the image, or the image is unfit for calibration.
    """
    if background is not None:
        mask = _mask(background, frames.shape, name)
        return NoiseModel.from_background(frames, mask, gain=gain)
    if len(frames) >= _SERIES_FROM:
        try:
            return NoiseModel.from_series(frames, offset=offset)
        except InputError:
            pass  # nothing but change between the frames: take them as single images
    return NoiseModel.from_image(frames, offset=offset, cutoff=cutoff)


def _mask(region: tuple[slice, slice], shape: tuple[int, ...], name: str) -> np.ndarray:
    """Turn rows and columns into a mask (Y, X), if they lie within the image."""
    rows, columns = shape[-2:]
    mask = np.zeros((rows, columns), dtype=bool)
    for bounds, length in zip(region, (rows, columns), strict=True):
        if not 0 <= bounds.start < bounds.stop <= length:
            words = ",".join(f"{axis.start}:{axis.stop}" for axis in region)
            raise InputError(
                f"The background {words} is empty or not within {name}, which has {rows} rows "
                f"and {columns} columns; give Y0:Y1,X0:X1 in pixels."
            )
    mask[region] = True
    return mask


def _cutoff(arguments: argparse.Namespace, voxel_size: tuple[float, ...] | None) -> float | None:
    """Highest frequency that the objective passes, in cycles per pixel."""
    if arguments.na is None or arguments.wavelength is None or voxel_size is None:
        return None
    return float(2 * arguments.na / arguments.wavelength * max(voxel_size[-2:]))


def show_noise(noise: NoiseModel, console: Console) -> None:
    """Print a noise model as three lines, its origin and its warnings."""
    for what, value, error, unit in (
        ("offset", noise.offset, noise.offset_error, "counts"),
        ("gain", noise.gain, noise.gain_error, "counts per electron"),
        ("read variance", noise.read_variance, noise.read_variance_error, "counts squared"),
    ):
        number = "not measured" if value is None else f"{value:.4g}"
        spread = "" if error is None or value is None else f" +/- {error:.2g}"
        console.say(f"  {what:<14} {number}{spread}" + (f" {unit}" if value is not None else ""))
    console.say(f"  from: {noise.source}")
    for warning in noise.warnings:
        console.warn(warning)


# -- psf


def psf_simulate(arguments: argparse.Namespace, console: Console) -> None:
    """Simulate a PSF."""
    psf = PSF.simulate(
        na=arguments.na,
        wavelength=arguments.wavelength,
        pixel_size=arguments.pixel_size,
        **_given(arguments, "refractive_index", "axial_step", "planes"),
    )
    _finish_psf(psf, arguments, console)


def psf_read(arguments: argparse.Namespace, console: Console) -> None:
    """Read a PSF from a file."""
    plane = _plane(arguments.focus, arguments.plane)
    psf = PSF.read(arguments.file, arguments.voxel_size, plane=plane)
    _finish_psf(psf, arguments, console)


def psf_beads(arguments: argparse.Namespace, console: Console) -> None:
    """Measure a PSF on beads."""
    image = read_image(arguments.file)
    planes = image.data.ndim == 3 and "C" not in image.axes
    if arguments.axes or planes:
        # A stack whose pages are not explained is one of planes here, not of frames.
        image = replace(image, axes=(arguments.axes or "ZYX").upper(), voxel_size=None)
    else:
        for note in image.notes:
            console.warn(note)
    psf = PSF.from_beads(image, arguments.voxel_size, diameter=arguments.diameter)
    _finish_psf(psf, arguments, console)


def _finish_psf(psf: PSF, arguments: argparse.Namespace, console: Console) -> None:
    if arguments.output:
        check_writable(arguments.output)
    if arguments.resample is not None:
        psf = psf.resampled(arguments.resample)
    show_psf(psf, console)
    if arguments.output:
        psf.write(arguments.output)
        console.say(f"Written to {arguments.output}.")
    console.result({**psf_facts(psf), "file": arguments.output})


def _plane(focus: bool, index: int | None) -> int | Literal["focus"] | None:
    return "focus" if focus else index


def show_psf(psf: PSF, console: Console) -> None:
    """Print where a PSF comes from, its grid, widths and cutoff, and its warnings."""
    unit = psf.unit
    steps = "voxel size not known" if psf.voxel_size is None else f"{_joined(psf.voxel_size)} um"
    console.say(f"PSF: {psf.source}")
    console.say(f"  grid    {_joined(psf.array.shape)} ({psf.axes}), {steps}")
    console.say(f"  FWHM    {_joined(psf.fwhm)} {unit}")
    console.say(f"  cutoff  {psf.otf_cutoff:.4g} cycles per {unit.rstrip('s')}")
    for warning in psf.warnings:
        console.warn(warning)


def psf_facts(psf: PSF) -> dict[str, Any]:
    """Collect what `show_psf` prints, for JSON."""
    return {
        "kind": "psf",
        "source": psf.source,
        "axes": psf.axes,
        "shape": list(psf.array.shape),
        "voxel_size_um": psf.voxel_size,
        "unit": psf.unit,
        "fwhm": list(psf.fwhm),
        "cutoff_per_unit": psf.otf_cutoff,
    }


def _joined(numbers: Sequence[float]) -> str:
    return " x ".join(f"{number:.4g}" for number in numbers)


# -- train


def train(arguments: argparse.Namespace, console: Console) -> None:
    """Train a model on images and save it, also after Ctrl-C."""
    paths = expand(arguments.images)
    _refuse_overwriting(arguments.output, paths)
    check_writable(arguments.output)
    images = [load(path, arguments, console) for path in paths]
    voxel_size = _common_voxel_size(images)

    from .training import NonFiniteLossError
    from .training import train as start

    if arguments.resume:
        _refuse_beside_resume(arguments)
        console.say(f"Going on with {arguments.resume}.")
        psf = noise = None
    else:
        psf = _psf_for_training(arguments, voxel_size, console)
        show_psf(psf, console)
        noise = _noise_for_training(arguments, images)
        console.say("Noise:")
        show_noise(noise, console)
    run = start(
        images,
        psf,
        noise,
        preset=arguments.preset,
        steps=arguments.steps,
        seed=arguments.seed,
        device=arguments.device,
        preview_every=0,
        resume=arguments.resume,
    )
    try:
        last = follow(run, console)
    except NonFiniteLossError as error:
        _save(run, arguments.output)
        raise RuntimeError(f"{error} They are in {arguments.output}.") from error
    _save(run, arguments.output)
    stopped = last.step < last.steps
    done = f"Stopped after {last.step} of {last.steps}" if stopped else f"Trained {last.step}"
    console.say(
        f"{done} steps in {last.seconds_elapsed:.0f} s on {last.device}; the model is in "
        f"{arguments.output}."
    )
    console.result(
        {
            "model": arguments.output,
            "step": last.step,
            "steps": last.steps,
            "stopped": stopped,
            "seconds": last.seconds_elapsed,
            "device": last.device,
            "losses": last.losses,
            "noise": run.model.noise.to_dict(),
            "psf": psf_facts(run.model.psf),
        }
    )
    if stopped:
        raise Interrupted(
            f"the model of step {last.step} is in {arguments.output}, and --resume "
            f"{arguments.output} goes on from there."
        )


def _save(run: TrainingRun, output: str) -> None:
    """Save a training; if its folder fails by now, in the folder for temporary files."""
    try:
        run.save(output)
    except InputError as error:
        refuge = Path(tempfile.gettempdir()) / Path(output).name
        run.save(refuge)
        raise InputError(f"{error} So the model was saved as {refuge}.") from error


def _refuse_beside_resume(arguments: argparse.Namespace) -> None:
    """Refuse what a resumed training takes from its file."""
    fixed = (
        *("psf", "psf_voxel_size", "psf_plane", "psf_focus", "na", "wavelength"),
        *("refractive_index", "noise", "offset", "gain", "read_variance", "background", "seed"),
    )
    for name in fixed:
        if getattr(arguments, name) not in (None, False):
            option = f"--{name.replace('_', '-')}"
            raise InputError(
                f"{option} does not go with --resume, which takes PSF, noise and seed from "
                f"{arguments.resume}; leave it out, or train anew."
            )


def follow(run: TrainingRun, console: Console) -> Progress:
    """Run a training to its end, or to the end of the step in which Ctrl-C was pressed.

    Parameters
    ----------
    run
        The `TrainingRun`.
    console
        Where progress and warnings go.

    Returns
    -------
    Progress
        The last one.

    Raises
    ------
    Interrupted
        If Ctrl-C came before there was anything to keep.
    """
    for warning in run.warnings:
        console.warn(warning)
    last = None
    bar = console.bar(0, "Training")
    with _first_ctrl_c_calls(run.stop), bar:
        for last in run:
            bar.total = last.steps
            bar.set_postfix_str(_losses(last.losses), refresh=False)
            bar.update(last.step - bar.n)
            if last.message:
                bar.clear()
                console.warn(last.message)
    if last is None or last.step == 0:
        raise Interrupted("nothing had been learned yet, so nothing was saved.")
    return last


def _losses(losses: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in losses.items() if name != "total")


@contextmanager
def _first_ctrl_c_calls(stop: Callable[[], None]) -> Iterator[None]:
    """Let the first Ctrl-C finish the step at hand; a second one breaks off at once."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    usual = signal.getsignal(signal.SIGINT)

    def on_ctrl_c(*_: object) -> None:
        signal.signal(signal.SIGINT, usual)
        stop()

    signal.signal(signal.SIGINT, on_ctrl_c)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


def _psf_for_training(
    arguments: argparse.Namespace, voxel_size: tuple[float, ...] | None, console: Console
) -> PSF:
    """Read or simulate the PSF."""
    output_grid = None if voxel_size is None else tuple(step / 2 for step in voxel_size)
    if arguments.psf:
        return _psf_from_file(arguments, output_grid, console)
    if arguments.na is None and arguments.wavelength is None:
        raise InputError(
            "No point spread function is given; name a file with --psf, or the objective with "
            "--na and --wavelength."
        )
    if arguments.na is None or arguments.wavelength is None:
        missing = "--na" if arguments.na is None else "--wavelength"
        raise InputError(f"The objective is given without {missing}; add it, or name a --psf file.")
    if output_grid is None:
        raise InputError(
            "The image has no pixel size, without which the PSF cannot be computed; give it "
            "with --pixel-size, in micrometres."
        )
    return PSF.simulate(
        na=arguments.na,
        wavelength=arguments.wavelength,
        pixel_size=output_grid[-1],
        **_given(arguments, "refractive_index"),
    )


def _psf_from_file(
    arguments: argparse.Namespace, output_grid: tuple[float, ...] | None, console: Console
) -> PSF:
    if arguments.na is not None or arguments.wavelength is not None:
        raise InputError(
            "The PSF is given both as a file and by the objective; leave out --psf, or --na "
            "and --wavelength."
        )
    plane = _plane(arguments.psf_focus, arguments.psf_plane)
    psf = PSF.read(arguments.psf, arguments.psf_voxel_size, plane=plane)
    if psf.array.ndim == 3:
        raise InputError(
            f"{arguments.psf} is a 3D PSF of {psf.array.shape[0]} planes and the images are 2D; "
            "take one plane with --psf-focus or --psf-plane N."
        )
    if psf.voxel_size is None and output_grid is not None:
        console.warn(
            f"{arguments.psf} has no voxel size; it is taken to be on the output grid, "
            f"{_joined(output_grid)} um; if it is not, say --psf-voxel-size."
        )
        psf = replace(psf, voxel_size=output_grid)
    elif output_grid is None:
        console.warn(
            f"The image has no pixel size; {arguments.psf} is taken to be on the output grid, "
            "at half the image's pixel; if it is not, say --pixel-size."
        )
    return psf


def _noise_for_training(arguments: argparse.Namespace, images: Sequence[Image]) -> NoiseModel:
    """Take what is given and measure the rest on the first image."""
    typed = _given(arguments, "offset", "gain", "read_variance")
    if arguments.noise:
        noise = read_noise(arguments.noise)
    elif len(typed) == 3:
        return NoiseModel(**typed)
    else:
        image = images[0]
        noise = measured_noise(
            as_frames(image),
            background=arguments.background,
            offset=arguments.offset,
            gain=arguments.gain,
            cutoff=_cutoff(arguments, image.voxel_size),
            name=image.name,
        )
    return _with_typed(noise, typed)


def _with_typed(noise: NoiseModel, typed: dict[str, float]) -> NoiseModel:
    """Let numbers that were typed in prevail over measured ones."""
    changed: dict[str, Any] = {
        name: value for name, value in typed.items() if getattr(noise, name) != value
    }
    if not changed:
        return noise
    forgotten: dict[str, Any] = {f"{name}_error": None for name in changed}
    names = ", ".join(name.replace("_", " ") for name in changed)
    source = f"{noise.source}; {names} typed by hand"
    return replace(noise, **changed, **forgotten, source=source)


def read_noise(path: str) -> NoiseModel:
    """Read a noise model that `calibrate -o` has written."""
    try:
        return NoiseModel.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the name.") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{path} is not a noise model; write one with: zsdeconvnet calibrate IMAGE -o {path}"
        ) from error


def _common_voxel_size(images: Sequence[Image]) -> tuple[float, ...] | None:
    """Return the voxel size that all images share."""
    first = images[0]
    for image in images[1:]:
        same = (first.voxel_size is None) == (image.voxel_size is None) and np.allclose(
            first.voxel_size or 0, image.voxel_size or 0, rtol=1e-3
        )
        if not same:
            raise InputError(
                f"{first.name} and {image.name} have different pixel sizes, "
                f"{_stated(first)} and {_stated(image)}; train one model for each, or give "
                "--pixel-size if a file has it wrong."
            )
    return first.voxel_size


def _stated(image: Image) -> str:
    return "none" if image.voxel_size is None else f"{_joined(image.voxel_size)} um"


# -- predict


def predict(arguments: argparse.Namespace, console: Console) -> None:
    """Deconvolve images and write the results."""
    paths = expand(arguments.images)
    outputs = _output_names(arguments.output, paths)
    also = [_beside(output, "denoised") for output in outputs if arguments.denoised]
    for output in (*outputs, *also):
        _refuse_overwriting(output, [*paths, arguments.model])
        check_writable(output)
    model = _load_model(arguments.model)
    done: list[dict[str, Any]] = []
    try:
        for path, output in zip(paths, outputs, strict=True):
            image = load(path, arguments, console)
            started = time.perf_counter()
            result = _predict_one(model, image, arguments, console)
            done.append(_write_result(result, image, output, arguments.denoised))
            done[-1] |= {"input": path, "seconds": time.perf_counter() - started}
            console.say(f"{path} -> {output}")
    except KeyboardInterrupt:
        raise Interrupted(f"{len(done)} of {len(paths)} images were written.") from None
    console.result({"model": arguments.model, "images": done})


def _predict_one(
    model: Model, image: Image, arguments: argparse.Namespace, console: Console
) -> Result:
    tiles = model.iter_predict(
        image,
        device=arguments.device,
        tile=arguments.tile,
        repeats=arguments.repeats,
    )
    with console.bar(0, image.name, "tile") as bar:
        while True:
            try:
                progress = next(tiles)
            except StopIteration as end:
                result: Result = end.value
                return result
            bar.total = progress.total
            bar.update(progress.done - bar.n)
            if progress.message:
                bar.clear()
                console.warn(progress.message)


def _write_result(result: Result, image: Image, output: Path, denoised: bool) -> dict[str, Any]:
    """Write one result beside its siblings; return the names of the files."""
    axes, size = image.axes, image.voxel_size
    half = None if size is None else tuple(step / 2 for step in size)
    interval = image.frame_interval
    write_image(output, result.deconvolved, axes=axes, voxel_size=half, frame_interval=interval)
    written = {"deconvolved": str(output)}
    if denoised:
        beside = _beside(output, "denoised")
        write_image(beside, result.denoised, axes=axes, voxel_size=size, frame_interval=interval)
        written["denoised"] = str(beside)
    return written


def _output_names(output: str, paths: Sequence[str]) -> list[Path]:
    """Name the deconvolved file of each image: `output` itself, or files in that folder."""
    target = Path(output)
    if target.suffix.lower() in (".tif", ".tiff"):
        if len(paths) > 1:
            raise InputError(
                f"{output} is one file and there are {len(paths)} images; name a folder with -o."
            )
        return [target]
    make_folder(output)
    names: dict[Path, str] = {}
    for path in paths:
        stem, suffix = _stem_and_suffix(Path(path))
        name = target / f"{stem}_deconvolved{suffix}"
        if name in names:
            raise InputError(
                f"{names[name]} and {path} would both be written to {name}; predict them into "
                "different folders."
            )
        names[name] = path
    return list(names)


def _stem_and_suffix(path: Path) -> tuple[str, str]:
    """Split a name so that OME files stay OME files."""
    for suffix in (".ome.tif", ".ome.tiff"):
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)], ".ome.tif"
    return path.stem, ".tif"


def _beside(output: Path, what: str) -> Path:
    stem, suffix = _stem_and_suffix(output)
    return output.with_name(f"{stem.removesuffix('_deconvolved')}_{what}{suffix}")


# -- info


def info(arguments: argparse.Namespace, console: Console) -> None:
    """Say what is in a file."""
    path = Path(arguments.file)
    if not path.exists():
        raise InputError(f"{path} does not exist; check the name and the folder.")
    suffix = path.suffix.lower()
    if arguments.psf or suffix in (".mrc", ".otf"):
        psf = PSF.read(arguments.file)
        show_psf(psf, console)
        console.result(psf_facts(psf))
    elif suffix == ".json":
        noise = read_noise(arguments.file)
        console.say("Noise:")
        show_noise(noise, console)
        console.result({"kind": "noise", **noise.to_dict()})
    elif suffix == _MODEL_SUFFIX:
        model = _load_model(arguments.file)
        console.say(model.describe())
        console.result(_model_facts(model))
    else:
        _show_image(read_image(path), console)


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


def _show_image(image: Image, console: Console) -> None:
    data = image.data
    shape = " x ".join(str(length) for length in data.shape)
    low, high, mean = float(data.min()), float(data.max()), float(data.mean(dtype=np.float64))
    console.say(f"Image: {image.name}")
    console.say(f"  axes        {image.axes}, {shape}, {data.dtype}")
    console.say(f"  voxel size  {_stated(image)}")
    console.say(f"  counts      {low:g} to {high:g}, mean {mean:.4g}")
    for note in image.notes:
        console.warn(note)
    try:
        for warning in check_pixels(data, name=image.name):
            console.warn(warning)
    except InputError as error:
        console.warn(str(error))
    console.result(
        {
            "kind": "image",
            "axes": image.axes,
            "shape": list(data.shape),
            "dtype": str(data.dtype),
            "voxel_size_um": image.voxel_size,
            "frame_interval_s": image.frame_interval,
            "channels": list(image.channel_names),
            "minimum": low,
            "maximum": high,
            "mean": mean,
        }
    )


# -- shared


def expand(patterns: Sequence[str]) -> list[str]:
    """List the files that names and patterns stand for, since not every shell does.

    Parameters
    ----------
    patterns
        File names, or patterns with ``*``, ``?`` and ``[...]`` (``**`` for any folder).

    Returns
    -------
    list of str
        Each file once, in the order given.

    Raises
    ------
    InputError
        If nothing matches a pattern.
    """
    files: list[str] = []
    for pattern in patterns:
        if Path(pattern).exists() or not glob.has_magic(pattern):
            files.append(pattern)
            continue
        matches = sorted(glob.glob(pattern, recursive=True))
        if not matches:
            raise InputError(f"No file matches {pattern}; check the folder and the pattern.")
        files.extend(matches)
    return list(dict.fromkeys(files))


def load(path: str, arguments: argparse.Namespace, console: Console) -> Image:
    """Read an image, with the axes, pixel size, channel and plane the command line says.

    Parameters
    ----------
    path
        The file.
    arguments
        With `axes`, `pixel_size`, `channel` and `plane`, each None where the file decides.
    console
        Where notes of the reader go.

    Returns
    -------
    Image
        Frames (T, Y, X) or one image (Y, X), with the size of its pixels (Y, X).

    Raises
    ------
    InputError
        If the file cannot be read, or has several channels or planes and none is chosen.
    """
    image = read_image(path)
    size = None if image.voxel_size is None else image.voxel_size[-2:]
    if arguments.pixel_size is not None:
        size = (arguments.pixel_size, arguments.pixel_size)
    image = replace(image, axes=(arguments.axes or image.axes).upper(), voxel_size=None)
    if arguments.axes is None:
        for note in image.notes:
            console.warn(note)
    image = _one_of(_one_of(image, "C", arguments.channel), "Z", arguments.plane)
    frames = as_frames(image)
    if "T" in image.axes:
        return replace(image, data=frames, axes="TYX", voxel_size=size)
    return replace(image, data=frames[0], axes="YX", voxel_size=size)


def _one_of(image: Image, letter: str, index: int | None) -> Image:
    """Take one channel (C) or plane (Z), counted from 0, or the only one."""
    count = image.data.shape[image.axes.index(letter)] if letter in image.axes else 1
    if index is None:
        if count > 1:
            return image
        index = 0
    if index >= count:
        what = "channel" if letter == "C" else "plane"
        raise InputError(
            f"{image.name} has {count} {what}{'s' if count > 1 else ''}, counted from 0, so there "
            f"is none of number {index}; choose another --{what}."
        )
    if letter not in image.axes:
        return image
    return replace(
        image,
        data=image.data.take(index, image.axes.index(letter)),
        axes=image.axes.replace(letter, ""),
        channel_names=image.channel_names[index : index + 1] if letter == "C" else (),
    )


def make_folder(path: str) -> Path:
    """Make a folder unless it exists; InputError if it cannot be made."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The folder {path} cannot be made ({error.strerror}); choose another one."
        ) from error
    return folder


def write_json(path: str | Path, values: dict[str, Any]) -> None:
    """Write a JSON file whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2, default=float) + "\n", encoding="utf-8")


def _load_model(path: str) -> Model:
    from .model import Model

    return Model.load(path)


def _refuse_overwriting(output: str | Path, inputs: Sequence[str]) -> None:
    for path in inputs:
        if Path(output).resolve() == Path(path).resolve():
            raise InputError(f"{output} is an input too; write to another name with -o.")


def _given(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Collect the options that were given, so that the package's own defaults hold."""
    values = {name: getattr(arguments, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}
