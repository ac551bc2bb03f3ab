"""One recording from start to finish: PSF, noise, training, result, verdict, step after step.

`Pipeline` is iterated, and each step says what was assumed. What differs between ordinary
recordings and raw structured illumination stands in a recipe: `Images` or `RawFrames`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from ..inference.out_of_focus import out_of_focus_advice
from ..inference.predict import Result, TileProgress, check_memory
from ..io.image import Image, Origin, PixelRule, as_frames, spatial_axes
from ..model.model import Model, ModelFacts, nanometres, same_pixel_size
from ..modes.sim_training import reconstruct, train_sim
from ..modes.sim_verdict import iter_judge_sim
from ..networks.registry import usual_upsampling
from ..noise.camera_maps import Camera, CameraMaps, typical_of
from ..noise.noise_model import NoiseModel
from ..noise.usable_pixels import filled_frame
from ..psf.psf import PSF
from ..quality.verdict import Verdict, iter_judge
from ..sim.estimation import estimate
from ..sim.patterns import Patterns
from ..sim.reconstruction import Reconstruction
from ..training.autosave import Autosave, continued_by
from ..training.trainer import NonFiniteLossError, Progress, TrainingRun, train
from ..utils.errors import InputError
from ..utils.phases import doing
from .record import Prediction, RunRecord, iter_recorded, iter_recorded_sim

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..io.acquisition import Modality
    from ..sim.patterns import Order

Stage = Literal["psf", "noise", "patterns", "model", "result", "verdict"]

RESULTS = ("deconvolved", "denoised", "background")
"""What a result may hold; a background only where one that is out of focus was asked for."""

SAME_WIDTH = 0.05
"""Relative difference of two PSFs' widths from which a model is for another microscope."""


@dataclass(frozen=True)
class Microscope:
    """What a PSF is simulated from; lengths in micrometres.

    Attributes
    ----------
    na, wavelength, modality, refractive_index, excitation_wavelength, pinhole, sheet_thickness
        As for `PSF.simulate`.
    """

    na: float
    wavelength: float
    modality: Modality = "widefield"
    refractive_index: float | None = None
    excitation_wavelength: float | None = None
    pinhole: float | None = None
    sheet_thickness: float | None = None

    def psf(self, grid: tuple[float, ...], stack: tuple[int, ...] | None = None) -> PSF:
        """Simulate the PSF on a grid, (y, x) or (z, y, x), for a stack of that many voxels."""
        return PSF.simulate(
            self.na,
            self.wavelength,
            (grid[-2], grid[-1]),
            axial_step=grid[0] if len(grid) == 3 else None,
            stack=stack if len(grid) == 3 else None,
            modality=self.modality,
            refractive_index=self.refractive_index,
            excitation_wavelength=self.excitation_wavelength,
            pinhole=self.pinhole,
            sheet_thickness=self.sheet_thickness,
        )


# Steps


@dataclass(frozen=True)
class Began:
    """A stage has begun."""

    stage: Stage


@dataclass(frozen=True, eq=False)
class PSFMade:
    """The PSF is there."""

    psf: PSF
    said: str


@dataclass(frozen=True, eq=False)
class Calibrated:
    """The camera is known."""

    noise: NoiseModel
    said: str


@dataclass(frozen=True)
class Recommended:
    """A setting would suit this recording and is not on."""

    said: str


@dataclass(frozen=True, eq=False)
class Reconstructed:
    """The patterns of raw frames are known, and the plain image made of them."""

    patterns: Patterns
    image: NDArray[np.float32]
    """([T,] 2Y, 2X)."""
    said: str


@dataclass(frozen=True, eq=False)
class TrainingBegan:
    """Training begins; its `Progress` follows."""

    run: TrainingRun


@dataclass(frozen=True, eq=False)
class ModelReady:
    """There is a model: trained, or at hand before."""

    model: Model
    said: str
    trained: bool


@dataclass(frozen=True)
class Working:
    """How far the result or the verdict has come."""

    stage: Stage
    tiles: TileProgress


@dataclass(frozen=True, eq=False)
class Predicted:
    """The result is there, with the record of how it came to be."""

    model: Model
    result: Result
    record: RunRecord


@dataclass(frozen=True, eq=False)
class Judged:
    """The verdict is there."""

    verdict: Verdict


Step = (
    Began
    | PSFMade
    | Calibrated
    | Recommended
    | Reconstructed
    | TrainingBegan
    | Progress
    | ModelReady
    | Working
    | Predicted
    | Judged
)
Steps = Generator[Step, None, None]
Predicting = Generator[TileProgress, None, tuple[Result, Prediction]]


class Recipe(Protocol):
    """What a kind of recording needs at each stage."""

    @property
    def frames(self) -> tuple[int, ...]:
        """Shape of what the network sees, (T, [Z,] Y, X)."""
        ...

    def prepare(self) -> Steps:
        """Find out what decides whether a model fits."""
        ...

    def misfit(self, model: Model) -> str:
        """Say why a model is not for this recording, empty where it is."""
        ...

    def calibrate(self) -> Steps:
        """Find out what training needs beside."""
        ...

    def train(self, **settings: Any) -> TrainingRun:
        """Begin to train."""
        ...

    def predict(self, model: Model, device: str) -> Predicting:
        """Apply a model."""
        ...

    def judge(
        self, model: Model, result: Result, device: str
    ) -> Generator[TileProgress, None, Verdict]:
        """Judge what came out."""
        ...


class Pipeline(Iterator[Step]):
    """Takes a recording from start to finish; iterate over it.

    Parameters
    ----------
    recipe : Recipe
        The recording with what is known of it.
    model : Model or sequence of Model, optional
        The first that fits is used as it is; where none does, one is trained.
    finished : bool
        Whether a model whose training was stopped does not count as fitting.
    judged : bool
        Whether the verdict is the last step.
    device : str
        See `devices.resolve_device`.
    names : mapping, optional
        What the record calls the results, by `RESULTS`.
    checkpoint : callable, optional
        Names the file in which a training is saved while it goes on; it goes when the result is
        there.
    broken_off : sequence of Path
        Checkpoints of trainings that broke off; one that began just as this does is gone on with.
    settings
        For the training, as `train` takes them.

    Raises
    ------
    InputError
        While iterated, where a step cannot be done; the steps before it hold.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        model: Model | Sequence[Model] | None = None,
        finished: bool = False,
        judged: bool = True,
        device: str = "auto",
        names: Mapping[str, str] | None = None,
        checkpoint: Callable[[], Path | None] | None = None,
        broken_off: Sequence[Path] = (),
        **settings: Any,
    ) -> None:
        self._checkpoint = checkpoint
        self._broken_off = broken_off
        self._saving: Autosave | None = None
        self._names = names or {what: what for what in RESULTS}
        self._recipe = recipe
        self._given = () if model is None else (model,) if isinstance(model, Model) else model
        self._finished = finished
        self._judged = judged
        self._device = device
        self._settings = settings
        self._run: TrainingRun | None = None
        self._stopped = False
        self._cut_short = False
        self._steps = self._all_steps()

    def __next__(self) -> Step:
        """Go on to the next step."""
        return next(self._steps)

    def stop(self) -> None:
        """End what is under way and keep what there is; may be called from another thread.

        A training ends after its step, and its model of that moment makes the result, which is
        not judged then. Anything else ends there.
        """
        self._stopped = True
        if self._run is not None:
            self._run.stop()

    @property
    def cut_short(self) -> bool:
        """Whether the training was stopped before it had done all its steps."""
        return self._cut_short

    def _all_steps(self) -> Steps:
        yield from self._unless_stopped(self._recipe.prepare())
        if self._stopped:
            return
        model, misfits = None, []
        for given in self._given:
            misfit = self._recipe.misfit(given)
            if self._finished and not misfit:
                misfit = _stopped_words(given)
            misfits.append(misfit)
            if not misfits[-1]:
                model = given
                break
        if model is None:
            yield from self._unless_stopped(self._recipe.calibrate())
            if self._stopped:
                return
            yield Began("model")
            # Of several the first is the likeliest, and so its reason the most telling.
            model = yield from self._trained(misfits[0] if misfits else "")
            if model is None:
                return
        else:
            yield Began("model")
            words = ("At hand, for such recordings:", _facts(model), _stopped_words(model))
            yield ModelReady(model, " ".join(filter(None, words)), False)
        yield Began("result")
        made = yield from self._working("result", self._recipe.predict(model, self._device))
        if made is None:
            self._forget()
            return
        result, prediction = made
        prediction = prediction.with_outputs(result, self._names)
        yield Predicted(model, result, RunRecord.of(model, prediction=prediction))
        self._forget()
        if self._judged and not (self._cut_short or self._stopped):
            yield Began("verdict")
            found = yield from self._working(
                "verdict", self._recipe.judge(model, result, self._device)
            )
            if found is not None:
                yield Judged(found)

    def _unless_stopped(self, steps: Steps) -> Steps:
        for step in steps:
            yield step
            if self._stopped:
                steps.close()
                return

    def _trained(self, why: str) -> Generator[Step, None, Model | None]:
        """Train; None where it was stopped before it had learned anything."""
        run, again = self._begun()
        if again is not None and ModelFacts.read(again).complete:
            model = Model.load(again)
            self._saving = Autosave(run, again)
            yield ModelReady(model, f"Trained for {model.steps_trained} steps before.", True)
            return model
        self._run = run
        yield TrainingBegan(run)
        ended = ""
        if again:
            why = f"{why} Went on with a training that broke off after step {run.step}.".strip()
        try:
            with self._saved(run, again):
                if not self._stopped:
                    yield from run
        except NonFiniteLossError as error:
            if run.step == 0:
                raise
            ended = str(error)
        self._run = None
        if run.step == 0:
            return None
        # From here on a second stop is one of the result.
        self._cut_short, self._stopped = self._stopped, False
        model = run.model
        how = "Stopped after" if self._cut_short else "Trained for"
        words = (f"{how} {run.step} steps on this recording.", run.ending, model.kept, ended, why)
        yield ModelReady(model, " ".join(filter(None, words)), True)
        return model

    def _begun(self) -> tuple[TrainingRun, Path | None]:
        """Begin to train, or go on with what broke off: the run, and the checkpoint it is from.

        Where that training was done the run is not begun.
        """
        run = self._recipe.train(device=self._device, **self._settings)
        check_memory(run.latest.network, run.device, self._recipe.frames)
        again = None
        if self._broken_off and run.step == 0:
            again = continued_by(run.latest, self._broken_off)
        if again is None or ModelFacts.read(again).complete:
            return run, again
        return self._recipe.train(device=self._device, **{**self._settings, "resume": again}), again

    @contextmanager
    def _saved(self, run: TrainingRun, again: Path | None) -> Iterator[None]:
        """Save a training while it goes on, if anybody says where."""
        path = again or (self._checkpoint() if self._checkpoint is not None else None)
        if path is None:
            yield
            return
        self._saving = Autosave(run, path, at_end=True)
        with self._saving:
            yield

    def _forget(self) -> None:
        """Remove the checkpoint once it is of no use any more."""
        if self._saving is not None:
            self._saving.remove()

    def _working(self, stage: Stage, tiles: Generator[TileProgress, None, Any]) -> Any:
        """Pass progress on; None where it was stopped."""
        while not self._stopped:
            try:
                state = next(tiles)
            except StopIteration as end:
                return end.value
            yield Working(stage, state)
        tiles.close()
        return None


class Images:
    """An image, a volume, or a series of either.

    Parameters
    ----------
    image : Image
        Raw counts, with its voxel size.
    microscope : Microscope, optional
        For the PSF; not needed where one is given.
    psf : PSF, optional
        Goes before the microscope.
    noise : NoiseModel or CameraMaps, optional
        The camera; by default it is measured.
    offset : float, optional
        Counts without light, where only they are known.
    excess_noise : float
        Of the camera that is measured, as of `NoiseModel`.
    upsample : bool, optional
        As for `train`.
    frame : int
        Of a series, the one to be judged.
    out_of_focus : bool
        As for `train`; where it is not asked for and would suit the image, that is said.
    """

    def __init__(
        self,
        image: Image,
        microscope: Microscope | None = None,
        *,
        psf: PSF | None = None,
        noise: NoiseModel | CameraMaps | None = None,
        offset: float | None = None,
        excess_noise: float = 1.0,
        upsample: bool | None = None,
        frame: int = 0,
        out_of_focus: bool = False,
    ) -> None:
        self.image = image
        self.microscope = microscope
        self._given_psf = psf
        self._given_noise = noise
        self._offset = offset
        self._excess_noise = excess_noise
        self._spatial = spatial_axes(image)
        usual = usual_upsampling(len(self._spatial))
        self._upsampling = usual if upsample is None else 1 + bool(upsample)
        self._frame = frame
        self._out_of_focus = out_of_focus

    @property
    def frames(self) -> tuple[int, ...]:
        """Shape of what the network sees, (T, [Z,] Y, X)."""
        shape = tuple(self.image.data.shape)
        return shape if len(shape) > len(self._spatial) else (1, *shape)

    def prepare(self) -> Steps:
        """Make the PSF on the grid of the output."""
        yield Began("psf")
        doing("simulating the PSF")
        size, psf = self.image.voxel_size, self._given_psf
        if psf is None:
            if self.microscope is None:
                raise InputError(
                    "Neither a PSF nor the microscope is known: give the numerical aperture and "
                    "the wavelength of the emission."
                )
            if size is None:
                raise InputError(
                    f"{self.image.name or 'The image'} has no pixel size, on half of which the PSF "
                    "is computed: give it in micrometres."
                )
            grid = (*size[:-2], *(step / self._upsampling for step in size[-2:]))
            *planes, rows, columns = self.image.data.shape[-len(size) :]
            field = (self._upsampling * rows, self._upsampling * columns)
            if planes:
                psf = self.microscope.psf(grid, (*planes, *field))
            else:
                # What lies further apart than the image is wide never meets in it.
                psf = self.microscope.psf(grid).cropped(min(field) - (min(field) + 1) % 2)
        self._psf = psf
        yield PSFMade(psf, _psf_words(psf))

    def misfit(self, model: Model) -> str:
        """Say why a model is not for this recording, empty where it is."""
        if model.reconstruction is not None:
            return "The model at hand is for raw SIM."
        if model.axes != self._spatial or model.upsampling != self._upsampling:
            return "The model at hand is for another kind of image or output."
        if not same_pixel_size(model.voxel_size, self.image.voxel_size):
            return "The model at hand is for another pixel size."
        if not _same_width(model.psf, self._psf):
            return "The model at hand is for another PSF."
        if model.out_of_focus != self._out_of_focus:
            with_or_without = "with" if model.out_of_focus else "without"
            return f"The model at hand was trained {with_or_without} an out-of-focus background."
        if self._given_noise is not None and not _same_camera(model, self._given_noise):
            return "The model at hand was trained with another calibration of the noise."
        return ""

    def calibrate(self) -> Steps:
        """Measure the noise where it is not known."""
        yield Began("noise")
        noise = self._given_noise
        if noise is None:
            cutoff = None
            if self.image.voxel_size is not None and self._psf.voxel_size is not None:
                cutoff = min(self._psf.otf_cutoff * max(self.image.voxel_size[-2:]), 0.5)
            doing("measuring the noise of the camera")
            noise = NoiseModel.measured(self.image, self._offset, cutoff=cutoff)
            noise = noise.with_excess_noise(self._excess_noise)
        self._noise: Camera = noise
        yield Calibrated(typical_of(noise), _sentence(noise.describe()))
        widefield = self.microscope is None or self.microscope.modality == "widefield"
        if not self._out_of_focus and self._spatial == "YX" and widefield:
            frames = as_frames(self.image)
            if isinstance(noise, CameraMaps):
                frames, noise = noise.evened(frames), typical_of(noise)
            width = self._psf.fwhm[-1] / (self._psf.steps[-1] * self._upsampling)
            frame = filled_frame(frames, self._frame, self.image.pixel_rule, width=width)
            advice = out_of_focus_advice(frame, self._psf, noise, self._upsampling)
            if advice:
                yield Recommended(advice)

    def train(self, **settings: Any) -> TrainingRun:
        """Begin to train."""
        return train(
            self.image,
            self._psf,
            self._noise,
            upsample=self._upsampling == 2,
            out_of_focus=self._out_of_focus,
            **settings,
        )

    def predict(self, model: Model, device: str) -> Predicting:
        """Apply a model."""
        return iter_recorded(model, self.image, device=device)

    def judge(
        self, model: Model, result: Result, device: str
    ) -> Generator[TileProgress, None, Verdict]:
        """Judge what came out."""
        return iter_judge(model, self.image, frame=self._frame, result=result, device=device)


class RawFrames:
    """Raw 2D-SIM.

    Parameters
    ----------
    frames : array
        Counts, (N, Y, X), or (T, N, Y, X) for a series.
    microscope : Microscope
        Aperture and wavelength of the emission; the rest is not used.
    pixel_size : float
        Of the frames, micrometres.
    noise : NoiseModel, optional
        The camera; by default it is measured.
    offset : float, optional
        Counts without light, where only they are known.
    excess_noise : float
        Of the camera that is measured, as of `NoiseModel`.
    order : str, optional
        As for `sim.estimate`.
    frame : int
        Of a series, the image to be judged.
    name : str
        What messages call the recording.
    origin : Origin, optional
        Its file.
    pixel_rule : PixelRule, optional
        What is said of bad and saturated pixels.
    """

    def __init__(
        self,
        frames: NDArray[Any],
        microscope: Microscope,
        pixel_size: float,
        *,
        noise: NoiseModel | None = None,
        offset: float | None = None,
        excess_noise: float = 1.0,
        order: Order | None = None,
        frame: int = 0,
        name: str = "raw",
        origin: Origin | None = None,
        pixel_rule: PixelRule | None = None,
    ) -> None:
        self._frames = frames
        self._raw = Image(
            *(frames, "TCYX"[-frames.ndim :], (pixel_size,) * 2, name),
            origin=origin,
            pixel_rule=pixel_rule or PixelRule(),
        )
        self._microscope = microscope
        self._pixel_size = pixel_size
        self._given_noise = noise
        self._offset = offset
        self._excess_noise = excess_noise
        self._order = order
        self._frame = frame
        self._name = name

    @property
    def frames(self) -> tuple[int, ...]:
        """Shape of the reconstructions, (T, 2Y, 2X)."""
        *others, height, width = self._frames.shape
        return (others[0] if len(others) > 1 else 1, 2 * height, 2 * width)

    def prepare(self) -> Steps:
        """Measure the noise, which estimating needs, find the patterns and reconstruct."""
        yield Began("noise")
        noise = self._given_noise
        if noise is None:
            first = self._frames.reshape(-1, *self._frames.shape[-3:])[0]
            scope = self._microscope
            cutoff = min(2 * scope.na / scope.wavelength * self._pixel_size, 0.5)
            noise = NoiseModel.from_image(
                Image(first, "TYX", name=self._name, pixel_rule=self._raw.pixel_rule),
                self._offset,
                cutoff=cutoff,
            ).with_excess_noise(self._excess_noise)
        self._noise = noise
        yield Calibrated(noise, _sentence(noise.describe()))

        yield Began("patterns")
        doing("looking for the fringes")
        self._patterns = estimate(
            self._raw,
            pixel_size=self._pixel_size,
            na=self._microscope.na,
            wavelength=self._microscope.wavelength,
            offset=noise.offset,
            order=self._order,
        )
        self._reconstruction = Reconstruction(self._patterns)
        image = reconstruct(self._raw, self._reconstruction, noise)
        yield Reconstructed(self._patterns, image, _pattern_words(self._patterns))

    def misfit(self, model: Model) -> str:
        """Say why a model is not for this recording, empty where it is."""
        if model.reconstruction is None:
            return "The model at hand is for images, not for raw SIM."
        trained = Reconstruction.from_dict(model.reconstruction).patterns
        here = self._patterns
        same = [
            math.isclose(getattr(trained, name), getattr(here, name), rel_tol=SAME_WIDTH)
            for name in ("pixel_size", "na", "wavelength")
        ]
        periods = [(a.period, b.period) for a, b in zip(trained, here, strict=False)]
        same += [math.isclose(a, b, rel_tol=SAME_WIDTH) for a, b in periods]
        if len(trained) == len(here) and all(same):
            return ""
        return "The model at hand is for SIM with other patterns."

    def calibrate(self) -> Steps:
        """All that is needed is known already."""
        yield from ()

    def train(self, **settings: Any) -> TrainingRun:
        """Begin to train."""
        return train_sim(self._raw, self._reconstruction, self._noise, **settings)

    def predict(self, model: Model, device: str) -> Predicting:
        """Reconstruct with the recording's own patterns and apply a model."""
        own = self._reconstruction.to_dict()
        other = None if own == model.reconstruction else own
        return iter_recorded_sim(model, self._raw, self._noise, reconstruction=other, device=device)

    def judge(
        self, model: Model, result: Result, device: str
    ) -> Generator[TileProgress, None, Verdict]:
        """Judge what came out, by the raw frames themselves."""
        made_with = self._reconstruction.to_dict()
        return iter_judge_sim(
            model,
            self._raw,
            self._noise,
            reconstruction=made_with,
            frame=self._frame,
            result=result,
            device=device,
        )


# Words and comparisons


def _same_width(one: PSF, other: PSF) -> bool:
    if one.array.ndim != other.array.ndim or one.unit != other.unit:
        return False
    return all(
        math.isclose(a, b, rel_tol=SAME_WIDTH) or (math.isnan(a) and math.isnan(b))
        for a, b in zip(one.fwhm, other.fwhm, strict=True)
    )


def _same_camera(model: Model, camera: Camera) -> bool:
    """Compare what both know; a gain that is measured while training is of neither."""
    one, other = model.noise, typical_of(camera)
    maps = camera if isinstance(camera, CameraMaps) else None
    if (maps is None) != (model.maps is None):
        return False
    if maps is not None and model.maps is not None:
        there = model.maps.to_arrays()
        if not all(np.array_equal(there[n], pixels) for n, pixels in maps.to_arrays().items()):
            return False
    names = (
        "excess_noise",
        "offset",
        "read_variance",
        *(["gain"] if one.gain and other.gain else []),
    )
    return all(
        math.isclose(getattr(one, name), getattr(other, name), rel_tol=1e-6) for name in names
    )


def _stopped_words(model: Model) -> str:
    return f"The training of the model at hand was {model.stopped}." if model.stopped else ""


def _facts(model: Model) -> str:
    pixel = "" if model.voxel_size is None else f"pixels of {nanometres(model.voxel_size[-1:])}, "
    return f"{pixel}{_psf_words(model.psf)} {_sentence(model.noise.describe())}"


def _psf_words(psf: PSF) -> str:
    widths = [1000 * width if psf.voxel_size else width for width in reversed(psf.fwhm)]
    unit = "nm" if psf.voxel_size else "output pixels"
    lateral = f"{widths[0]:.0f}" if unit == "nm" else f"{widths[0]:.3g}"
    axial = f", {widths[2]:.0f} along z" if len(widths) == 3 and not math.isnan(widths[2]) else ""
    return f"{lateral} {unit} wide{axial}: {psf.source}."


def _pattern_words(patterns: Patterns) -> str:
    periods = ", ".join(f"{1000 * pattern.period:.0f}" for pattern in patterns.found)
    depths = ", ".join(f"{pattern.depth:.2f}" for pattern in patterns.found)
    return (
        f"{len(patterns.found)} of {len(patterns)} orientations found, {patterns.order} by "
        f"{patterns.order}: periods {periods} nm, depths {depths}."
    )


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]
