"""Simulate, take the recording through its mode, score, and write every image on the way."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...io.image import Image
from ...io.image_writing import write_image
from ...noise.noise_model import NoiseModel
from ...utils.files import make_folder
from ..commands.files import write_json
from ..commands.noise import measured_noise
from ..commands.summaries import show_noise, show_patterns, show_psf
from ..commands.training import follow
from ..console import Console, Interrupted
from .baselines import panels_of
from .scenes import SCENES, Scene, Simulated
from .scores import Judge, Output, show

if TYPE_CHECKING:
    from ...model.model import Model
    from ...workflow.pipeline import Pipeline


def run_demo(arguments: argparse.Namespace, console: Console) -> None:
    """Take a simulated recording the whole way, and compare with the truth.

    Parameters
    ----------
    arguments
        The command line: scene, output, size, planes, photons, preset, steps, seed, device.
    console
        Where words, progress and the table go.

    Raises
    ------
    InputError
        If the folder cannot be written, or an argument cannot be used.
    Interrupted
        After Ctrl-C; what was written so far stays.
    """
    scene = SCENES[arguments.scene]
    folder = make_folder(arguments.output or scene.folder)
    sample = scene.sample(arguments, scene)
    console.say(f"Simulated filaments: {scene.words(sample)}, {arguments.photons:g} photons.")
    for name in ("raw", "second_exposure", "noise_free"):
        _write(folder, name, getattr(sample, name), scene.raw_axes, sample.voxel_size)
    _write(folder, "truth", sample.truth, scene.axes, sample.truth_voxel_size)
    console.say(f"Noise, measured on {scene.raw_name}:")
    noise = _measured(scene, sample)
    show_noise(noise, console)
    write_json(folder / "noise.json", noise.to_dict())

    pipeline = _pipeline(scene, sample, noise, arguments)
    preparing = _prepared(pipeline, scene, folder, console)
    ours, model, device = _trained(pipeline, scene, sample, folder, console)
    console.say("Deconvolving by Richardson-Lucy up to its best iteration by the truth.")
    judge = Judge(scene, sample, noise, preparing)
    baselines = scene.baselines(judge, model.psf, pipeline.mode)
    outputs = {name: one.output for name, one in baselines.items()}
    outputs[f"ours, {model.preset}, {model.steps_trained} steps"] = ours
    rows = [judge.row(method, output) for method, output in outputs.items()]

    for one in baselines.values():
        if one.file:
            _write(folder, one.file, one.output.fine, scene.axes, sample.truth_voxel_size)
    size = sample.voxel_size if scene.has_raw_grid else sample.truth_voxel_size
    _write(folder, "denoised", ours.coarse, scene.axes, size)
    _write(folder, "deconvolved", ours.fine, scene.axes, sample.truth_voxel_size)
    panels = panels_of(judge, list(baselines.values()), ours, rows)
    scene.draw(panels, judge.truth, folder / "comparison.png")
    scores = {"device": device, "rows": [asdict(row) for row in rows]}
    write_json(folder / "scores.json", scores)

    console.say("")
    show(rows, scene.columns, console)
    console.say(f"{scene.notes} Computed on {device}.")
    console.say(f"Images, model and comparison.png are in {folder}.")
    console.result({"folder": str(folder), "noise": noise.to_dict(), **scores})


def _measured(scene: Scene, sample: Simulated) -> NoiseModel:
    image = Image(sample.raw, scene.raw_axes, name=scene.raw_name)
    cutoff = 2 * scene.na / scene.wavelength * sample.pixel_size
    if scene.mode == "sim":  # frames differ in more than noise, and are no series
        return NoiseModel.from_image(image, cutoff=cutoff)
    return measured_noise(image, cutoff=cutoff)


def _pipeline(
    scene: Scene, sample: Simulated, noise: NoiseModel, arguments: argparse.Namespace
) -> Pipeline:
    """Prepare to take the raw image through its mode, with what is known of the microscope."""
    from ...modes.base import Known
    from ...modes.registry import mode_named
    from ...psf.microscope import Microscope
    from ...workflow.pipeline import Pipeline

    kind = mode_named(scene.mode)
    psf = None if scene.mode == "sim" else scene.psf(sample)
    known = Known(Microscope(scene.na, scene.wavelength), psf=psf, camera=noise)
    raw = Image(sample.raw, scene.raw_axes, sample.voxel_size, scene.raw_name)
    return Pipeline(
        kind(raw, known),
        judged=False,
        device=arguments.device,
        preset=arguments.preset,
        steps=arguments.steps,
        seed=arguments.seed or 0,
        preview_every=0,
    )


def _prepared(pipeline: Pipeline, scene: Scene, folder: Path, console: Console) -> float:
    """Make PSF or patterns and keep them; gives the seconds that reconstructing took."""
    from ...workflow.pipeline import Began, PSFMade, Reconstructed

    begun, seconds = time.perf_counter(), 0.0
    for step in pipeline:
        if isinstance(step, PSFMade):
            show_psf(step.psf, console)
            step.psf.write(folder / "psf.tif")
        elif isinstance(step, Reconstructed):
            seconds = time.perf_counter() - begun
            show_patterns(step.patterns, scene.raw_name, console)
            step.patterns.save(folder / "patterns.json")
        elif isinstance(step, Began):
            begun = time.perf_counter()
            if step.stage == "model":
                break
    return seconds


def _trained(
    pipeline: Pipeline, scene: Scene, sample: Simulated, folder: Path, console: Console
) -> tuple[Output, Model, str]:
    """Train on the raw image alone, then predict; where it is scored, both exposures."""
    from ...utils.devices import describe_device
    from ...workflow.pipeline import TrainingBegan

    started, device = time.perf_counter(), ""
    for step in pipeline:
        if isinstance(step, TrainingBegan):
            last = follow(step.run, console) if step.run.steps else None
            step.run.save(folder / "model.safetensors")
            device = describe_device(step.run.device)
            if last and not last.finished:
                raise Interrupted(f"the model of step {last.step} is in {folder}.")
    made = pipeline.finish()
    seconds, model, again = time.perf_counter() - started, made.model, None
    if model.reconstruction is not None:
        show_psf(model.psf, console)
        model.psf.write(folder / "psf.tif")
    if scene.axes == "YX":
        second = Image(sample.second_exposure, scene.raw_axes, sample.voxel_size, scene.raw_name)
        known = pipeline.mode.predicted_with(model)
        again = model.predict(second, device=pipeline.device, **known).deconvolved
    output = Output(made.deconvolved.data, made.denoised.data, again, seconds)
    return output, model, device


def _write(folder: Path, name: str, image: Any, axes: str, size: tuple[float, ...]) -> None:
    write_image(folder / f"{name}.tif", image, axes=axes, voxel_size=size)
