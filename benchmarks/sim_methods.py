"""The methods that the benchmark of raw 2D-SIM compares, from nine frames to an image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from methods import Output, Stopwatch, best_iteration
from numpy.typing import NDArray
from yardstick import Yardstick

from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.physics.classical_deconvolution import Iteration
from napari_zsdeconvnet.quality.reference_metrics import enlarge
from napari_zsdeconvnet.sim.estimation import estimate
from napari_zsdeconvnet.sim.patterns import Patterns
from napari_zsdeconvnet.sim.reconstruction import Reconstruction
from napari_zsdeconvnet.simulation.raw_sim import SIMSample
from napari_zsdeconvnet.simulation.sample import Sample

TRUTH_FWHM = (0.06, 0.06)
"""Resolution of the truth in micrometres: about half of the width of the SIM PSF, as 100 nm are
of the widefield one, and not below two pixels of the doubled grid."""

WIENER_CONSTANTS = (0.03, 0.1, 0.3, 1.0)
"""Out of which the truth chooses where a method is the best of its kind."""


@dataclass(frozen=True, eq=False)
class Recording:
    """Raw frames, and the patterns as they are found on the first exposure."""

    sample: SIMSample
    patterns: Patterns
    watch: Stopwatch

    @classmethod
    def of(cls, sample: SIMSample) -> Recording:
        """Estimate the patterns; their nominal period and angles are known, as of a microscope."""
        watch = Stopwatch()
        known = sample.patterns
        with watch:
            patterns = estimate(
                sample.raw,
                pixel_size=sample.pixel_size,
                na=sample.na,
                wavelength=sample.wavelength,
                offset=sample.noise,
                period=[pattern.period for pattern in known],
                angles=[pattern.angle for pattern in known],
            )
        return cls(sample, patterns, watch)

    def reconstructed(self, reconstruction: Reconstruction) -> Sample:
        """Return what an operator makes of both exposures, as a sample of its own.

        Its noise is that of the frames, multiplied by what the operator makes of white noise.
        """
        sample = self.sample
        offset, gain = float(sample.noise.offset), float(sample.noise.gain or 0)
        white = np.random.default_rng(0).standard_normal(sample.raw.shape, dtype=np.float32)
        power = float(reconstruction(white).var())
        fine = sample.pixel_size / 2
        return Sample(
            raw=reconstruction(sample.raw - offset),  # type: ignore[arg-type]  # float32
            second_exposure=reconstruction(sample.second_exposure - offset),  # type: ignore[arg-type]
            noise_free=reconstruction(gain * sample.noise_free),
            truth=sample.truth,
            psf=reconstruction.psf(),
            voxel_size=(fine, fine),
            noise=NoiseModel(0.0, gain * power, sample.noise.read_variance * power),
            kind=sample.kind,
            paths=sample.paths,
        )

    @cached_property
    def reconstruction(self) -> Reconstruction:
        """The operator with default settings."""
        return Reconstruction(self.patterns)

    @cached_property
    def plain(self) -> Sample:
        """What that makes of both exposures."""
        return self.reconstructed(self.reconstruction)

    @property
    def yardstick(self) -> Yardstick:
        """What every result is measured by."""
        return Yardstick(self.plain, TRUTH_FWHM)


Method = Callable[[Recording, int | None, int], Output]


def widefield(recording: Recording, steps: int | None, seed: int) -> Output:
    """Average the frames and enlarge the mean by interpolation."""
    offset = float(recording.sample.noise.offset)
    watch = Stopwatch()

    def mean(frames: NDArray[np.integer]) -> NDArray[np.floating]:
        return enlarge(frames.mean(axis=0) - offset)

    with watch:
        image = mean(recording.sample.raw)
    again = mean(recording.sample.second_exposure)
    return Output(image, image, again, watch.seconds, watch.cpu_seconds)


def wiener(recording: Recording, steps: int | None, seed: int) -> Output:
    """Reconstruct with the default settings."""
    return _wiener(recording, None)


def wiener_best(recording: Recording, steps: int | None, seed: int) -> Output:
    """Take the Wiener constant that comes closest to the truth, which no user could know."""
    tried = [_wiener(recording, constant) for constant in WIENER_CONSTANTS]
    return _closest(recording, tried)


def _wiener(recording: Recording, constant: float | None) -> Output:
    watch = Stopwatch()
    offset = float(recording.sample.noise.offset)
    with watch:
        reconstruction = _operator(recording, constant)
        image = reconstruction(recording.sample.raw - offset)
    again = reconstruction(recording.sample.second_exposure - offset)
    return Output(
        image,
        image,
        again,
        recording.watch.seconds + watch.seconds,
        recording.watch.cpu_seconds + watch.cpu_seconds,
        note="" if constant is None else f"constant {constant:g}",
    )


def richardson_lucy(recording: Recording, steps: int | None, seed: int) -> Output:
    """Deconvolve the Wiener image of default settings; the iteration is that of the best score."""
    return _richardson_lucy(recording, (recording.reconstruction.wiener,))


def richardson_lucy_best(recording: Recording, steps: int | None, seed: int) -> Output:
    """Deconvolve Wiener images; constant and iteration are those closest to the truth."""
    return _richardson_lucy(recording, WIENER_CONSTANTS)


def _richardson_lucy(recording: Recording, constants: Sequence[float]) -> Output:
    yardstick = recording.yardstick

    def worth(step: Iteration) -> float:
        return yardstick.closeness(step.estimate)

    tried = []
    for constant in constants:
        sample = recording.reconstructed(_operator(recording, constant))
        plain = _wiener(recording, constant)
        best, watch = best_iteration(sample, sample.raw, worth)
        again, _ = best_iteration(sample, sample.second_exposure, worth)
        tried.append(
            replace(
                plain,
                denoised=best.reblurred,
                deconvolved=best.estimate,
                deconvolved_again=again.estimate,
                seconds=plain.seconds + watch.seconds,
                cpu_seconds=plain.cpu_seconds + watch.cpu_seconds,
                note=f"{plain.note}, {best.number} iterations",
            )
        )
    return _closest(recording, tried)


def _operator(recording: Recording, constant: float | None) -> Reconstruction:
    settings = {} if constant is None else {"wiener": constant}
    return Reconstruction(recording.patterns, **settings)


def _closest(recording: Recording, tried: Sequence[Output]) -> Output:
    return max(tried, key=lambda output: recording.yardstick.closeness(output.deconvolved))


def fast(recording: Recording, steps: int | None, seed: int) -> Output:
    """Train on the first exposure alone, and predict both."""
    import napari_zsdeconvnet as zs

    sample = recording.sample
    watch, predicting = Stopwatch(), Stopwatch()
    with watch:
        run = zs.train(
            sample.raw,
            reconstruction=_operator(recording, None),
            noise=sample.noise,
            steps=steps,
            seed=seed,
            preview_every=0,
        )
        last = None
        for progress in run:
            last = progress
        with predicting:
            result = run.model.predict(sample.raw, camera=sample.noise)
    again = run.model.predict(sample.second_exposure, camera=sample.noise)
    return Output(
        result.denoised,
        result.deconvolved,
        again.deconvolved,
        recording.watch.seconds + watch.seconds,
        recording.watch.cpu_seconds + watch.cpu_seconds,
        predicting.seconds,
        note=last.device if last else "",
    )


METHODS: dict[str, Method] = {
    "widefield": widefield,
    "Wiener": wiener,
    "Wiener best": wiener_best,
    "Wiener + RL": richardson_lucy,
    "Wiener + RL best": richardson_lucy_best,
    "fast": fast,
}
