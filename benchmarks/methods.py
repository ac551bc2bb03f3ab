"""The methods that the benchmark compares; each makes two images of both exposures."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from yardstick import Yardstick

from napari_zsdeconvnet.physics.classical_deconvolution import (
    MAX_ITERATIONS,
    Iteration,
    iterate_richardson_lucy,
)
from napari_zsdeconvnet.quality.reference_metrics import enlarge
from napari_zsdeconvnet.simulation.sample import Sample

PATIENCE = 10
"""Iterations without a better score after which the best one counts as found."""


@dataclass(frozen=True, eq=False)
class Output:
    """What a method made of a sample.

    Attributes
    ----------
    denoised, deconvolved
        Of the first exposure, counts above the offset.
    deconvolved_again
        Of the second exposure, where it was deconvolved too. What is trained is trained on the
        first one only.
    seconds, cpu_seconds
        Of the first exposure, training included: by the clock, and of all threads together.
    predict_seconds
        Without the training; None for what is not trained.
    note
        What the table should say beside the figures.
    version
        Of the program, where it is not ours.
    """

    denoised: NDArray[np.floating]
    deconvolved: NDArray[np.floating]
    deconvolved_again: NDArray[np.floating] | None
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    predict_seconds: float | None = None
    note: str = ""
    version: str = ""


class Unavailable(Exception):
    """A method cannot be run here; the message says why."""


class Stopwatch:
    """Time by the clock and of the processor, with pauses."""

    def __init__(self) -> None:
        self.seconds = self.cpu_seconds = 0.0

    def __enter__(self) -> Stopwatch:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._wall
        self.cpu_seconds += time.process_time() - self._cpu


def raw(sample: Sample, steps: int | None, seed: int, device: str) -> Output:
    """Take the raw image as it is; where the grid is doubled, enlarge it by interpolation."""
    watch = Stopwatch()
    first, second = (
        image - float(sample.noise.offset) for image in (sample.raw, sample.second_exposure)
    )
    if sample.upsampling == 1:
        return Output(first, first, second)
    with watch:
        enlarged = enlarge(first)
    return Output(first, enlarged, enlarge(second), watch.seconds, watch.cpu_seconds)


def richardson_lucy_best(
    sample: Sample,
    steps: int | None,
    seed: int,
    device: str,
    yardstick: Yardstick | None = None,
) -> Output:
    """Stop at the iteration that comes closest to the truth, which no user could know."""
    yardstick = yardstick or Yardstick(sample)

    def worth(step: Iteration) -> float:
        return yardstick.closeness(step.estimate)

    best, watch = best_iteration(sample, sample.raw, worth)
    again, _ = best_iteration(sample, sample.second_exposure, worth)
    return _classical(best, again, watch)


def richardson_lucy_plain(sample: Sample, steps: int | None, seed: int, device: str) -> Output:
    """Stop likewise the plain algorithm, which takes all noise for that of photons."""
    noise = replace(sample.noise, read_variance=0.0)
    return richardson_lucy_best(replace(sample, noise=noise), steps, seed, device)


def richardson_lucy_rule(sample: Sample, steps: int | None, seed: int, device: str) -> Output:
    """Stop as soon as the residual is no larger than the noise."""

    def worth(step: Iteration) -> float:
        return float(step.explains_image)

    best, watch = best_iteration(sample, sample.raw, worth, enough=1.0)
    again, _ = best_iteration(sample, sample.second_exposure, worth, enough=1.0)
    return _classical(best, again, watch)


def best_iteration(
    sample: Sample,
    image: NDArray[np.integer],
    worth: Callable[[Iteration], float],
    enough: float = float("inf"),
) -> tuple[Iteration, Stopwatch]:
    """Keep the iteration of the greatest worth; what the judging takes is not timed."""
    watch = Stopwatch()
    steps = iterate_richardson_lucy(image, sample.psf, sample.noise, upsampling=sample.upsampling)
    best, greatest = None, -float("inf")
    seconds = cpu_seconds = 0.0
    while True:
        with watch:
            step = next(steps)
        value = worth(step)
        if best is None or value > greatest:
            best, greatest = step, value
            seconds, cpu_seconds = watch.seconds, watch.cpu_seconds
        patient = enough == float("inf") and step.number - best.number >= PATIENCE
        if greatest >= enough or patient or step.number == MAX_ITERATIONS:
            break
    if greatest < enough < float("inf"):
        best, seconds, cpu_seconds = step, watch.seconds, watch.cpu_seconds
    watch.seconds, watch.cpu_seconds = seconds, cpu_seconds
    return best, watch


def _classical(best: Iteration, again: Iteration, watch: Stopwatch) -> Output:
    return Output(
        best.reblurred,
        best.estimate,
        again.estimate,
        watch.seconds,
        watch.cpu_seconds,
        note=f"{best.number} iterations",
    )


def trained(preset: str) -> Callable[[Sample, int | None, int, str], Output]:
    def method(sample: Sample, steps: int | None, seed: int, device: str) -> Output:
        import napari_zsdeconvnet as zs
        from napari_zsdeconvnet.model.presets import presets_for
        from napari_zsdeconvnet.utils.devices import describe_device

        # A training that was asked for no number of steps ends by itself, as users have it.
        if steps == presets_for(sample.axes)[preset].steps:
            steps = None
        watch, predicting = Stopwatch(), Stopwatch()
        with watch:
            run = zs.train(
                sample.raw,
                sample.psf,
                sample.noise,
                axes=sample.axes,
                voxel_size=sample.voxel_size,
                preset=preset,
                steps=steps,
                seed=seed,
                device=device,
                preview_every=0,
            )
            for _ in run:
                pass
            model = run.model
            with predicting:
                result = model.predict(sample.raw, axes=sample.axes, device=device)
        again = model.predict(sample.second_exposure, axes=sample.axes, device=device)
        return Output(
            result.denoised,
            result.deconvolved,
            again.deconvolved,
            watch.seconds,
            watch.cpu_seconds,
            predicting.seconds,
            note=f"{run.step} steps, {describe_device(run.device)}",
        )

    method.__doc__ = f"Train the preset {preset} on the first exposure alone; predict both."
    return method


METHODS: dict[str, Callable[[Sample, int | None, int, str], Output]] = {
    "raw": raw,
    "RL best": richardson_lucy_best,
    "RL plain best": richardson_lucy_plain,
    "RL rule": richardson_lucy_rule,
    "fast": trained("fast"),
    "paper": trained("paper"),
}
"""Names to methods; "RL" is Richardson-Lucy."""

TRAINED = ("fast", "paper")
