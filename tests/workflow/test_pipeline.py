"""From a recording to its result and verdict: what is done, what is said, and where it ends."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from napari_zsdeconvnet.io.image import Image
from napari_zsdeconvnet.model import presets
from napari_zsdeconvnet.model.model import Model
from napari_zsdeconvnet.model.provenance import weights_fingerprint
from napari_zsdeconvnet.modes.base import Known
from napari_zsdeconvnet.modes.image_2d import Image2D
from napari_zsdeconvnet.modes.sim_2d import RawSIM2D
from napari_zsdeconvnet.modes.volume_3d import Volume3D
from napari_zsdeconvnet.modes.words import psf_words
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.psf.microscope import Microscope
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.simulation.raw_sim import simulate_sim
from napari_zsdeconvnet.simulation.sample import simulate, simulate_volume
from napari_zsdeconvnet.training.trainer import NonFiniteLossError, Progress, TrainingRun
from napari_zsdeconvnet.utils.errors import InputError
from napari_zsdeconvnet.workflow.pipeline import (
    Began,
    Calibrated,
    Judged,
    ModelReady,
    Pipeline,
    Predicted,
    PSFMade,
    Reconstructed,
    TrainingBegan,
    Working,
)

PIXEL = 0.0626
MICROSCOPE = Microscope(1.3, 0.525)


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch):
    for chosen, smaller in (
        (presets.PRESETS, {"patch": 48, "batch": 1, "steps": 4}),
        (presets.SIM_PRESETS, {"patch": 48, "batch": 1, "steps": 3}),
        (presets.VOLUME_PRESETS, {"patch": 32, "planes": 8, "batch": 1, "steps": 4}),
    ):
        monkeypatch.setitem(chosen, "fast", replace(chosen["fast"], **smaller))


@pytest.fixture(scope="module")
def image():
    sample = simulate("filaments", shape=(96, 96), pixel_size=PIXEL)
    return Image(sample.raw, "YX", (PIXEL, PIXEL), "filaments")


@pytest.fixture(scope="module")
def trained(image):
    """Steps of a whole run, with the small preset."""
    small = replace(presets.PRESETS["fast"], patch=48, batch=1, steps=4)
    return list(Pipeline(Image2D(image, Known(MICROSCOPE)), device="cpu", preset=small, seed=0))


def kinds(steps):
    """The types of steps in their order, each once where it repeats."""
    names = [type(step).__name__ for step in steps if not isinstance(step, Began)]
    return [name for name, before in zip(names, ["", *names], strict=False) if name != before]


def of(kind, steps):
    return [step for step in steps if isinstance(step, kind)]


def test_an_image_goes_from_its_psf_to_its_verdict(image, trained):
    assert kinds(trained) == [
        "PSFMade",
        "Calibrated",
        "TrainingBegan",
        "Progress",
        "ModelReady",
        "Working",
        "Predicted",
        "Working",
        "Judged",
    ]
    stages = [step.stage for step in of(Began, trained)]
    assert stages == ["psf", "noise", "model", "result", "verdict"]
    (predicted,) = of(Predicted, trained)
    assert predicted.result.denoised.shape == (96, 96)
    assert predicted.result.deconvolved.shape == (192, 192)
    (judged,) = of(Judged, trained)
    assert judged.verdict["noise level"].passed is not None


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_pixels_that_are_not_finite_give_no_advice(image):
    pixels = image.data.astype(np.float32)
    pixels[np.random.default_rng(0).random(pixels.shape) < 0.001] = np.inf
    said = []
    for step in Pipeline(Image2D(replace(image, data=pixels), Known(MICROSCOPE)), device="cpu"):
        if isinstance(step, TrainingBegan):
            break
        said.append(getattr(step, "said", ""))
    assert "nan" not in " ".join(said)


def test_each_step_says_what_it_assumed(trained):
    (psf,) = of(PSFMade, trained)
    assert "NA 1.3" in psf.said
    assert "525 nm emission" in psf.said
    (noise,) = of(Calibrated, trained)
    assert noise.said.startswith("Offset 9") or noise.said.startswith("Offset 10")
    assert "darkest part" in noise.said
    (ready,) = of(ModelReady, trained)
    assert ready.trained
    assert "4 steps" in ready.said


def test_a_model_that_fits_is_used_as_it_is(image, trained):
    (ready,) = of(ModelReady, trained)
    steps = list(Pipeline(Image2D(image, Known(MICROSCOPE)), model=ready.model, device="cpu"))
    assert kinds(steps) == ["PSFMade", "ModelReady", "Working", "Predicted", "Working", "Judged"]
    (again,) = of(ModelReady, steps)
    assert again.model is ready.model
    assert not again.trained
    assert "NA 1.3" in again.said


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"microscope": Microscope(1.0, 0.525)}, "PSF"),
        ({"voxel_size": (0.08, 0.08)}, "pixel size"),
        ({"upsample": False}, "output"),
        ({"camera": NoiseModel(80, 1.0, 4.0)}, "calibration"),
    ],
)
def test_a_model_for_other_conditions_is_not(image, trained, changed, why):
    (ready,) = of(ModelReady, trained)
    size = changed.pop("voxel_size", image.voxel_size)
    known = Known(**{"microscope": MICROSCOPE, **changed})
    mode = Image2D(replace(image, voxel_size=size), known)
    steps = list(Pipeline(mode, model=ready.model, device="cpu", judged=False))
    (other,) = of(ModelReady, steps)
    assert other.trained
    assert why in other.said
    assert other.model is not ready.model


def test_what_is_known_is_not_measured(image):
    psf = PSF.simulate(1.3, 0.525, PIXEL / 2, size=33)
    noise = NoiseModel(offset=100, gain=1.0, read_variance=4.0)
    steps = list(Pipeline(Image2D(image, Known(psf=psf, camera=noise)), device="cpu", judged=False))
    assert of(PSFMade, steps)[0].psf is psf
    assert of(Calibrated, steps)[0].noise is noise
    assert of(ModelReady, steps)[0].model.noise == noise
    assert not of(Judged, steps)


def test_stopping_the_training_makes_the_result_of_what_was_learned(image):
    pipeline = Pipeline(Image2D(image, Known(MICROSCOPE)), device="cpu", steps=500)
    steps = []
    for step in pipeline:
        steps.append(step)
        if isinstance(step, Progress) and step.step == 2:
            pipeline.stop()
    (ready,) = of(ModelReady, steps)
    assert ready.model.steps_trained == 2
    assert ready.said.startswith("Stopped after 2 steps")
    assert of(Predicted, steps)
    assert not of(Judged, steps)


@pytest.mark.parametrize(
    ("at", "last"),
    [(PSFMade, PSFMade), (TrainingBegan, TrainingBegan), (Working, Working)],
)
def test_stopping_elsewhere_ends_there(image, at, last):
    pipeline = Pipeline(Image2D(image, Known(MICROSCOPE)), device="cpu")
    steps = []
    for step in pipeline:
        steps.append(step)
        if isinstance(step, at):
            pipeline.stop()
    assert isinstance(steps[-1], last)
    assert len(of(ModelReady, steps)) == (at is Working)


def test_a_verdict_that_is_stopped_leaves_the_result(image, trained):
    (ready,) = of(ModelReady, trained)
    pipeline = Pipeline(Image2D(image, Known(MICROSCOPE)), model=ready.model, device="cpu")
    steps = []
    for step in pipeline:
        steps.append(step)
        if isinstance(step, Working) and step.stage == "verdict":
            pipeline.stop()
    assert of(Predicted, steps)
    assert not of(Judged, steps)


def test_a_loss_that_is_not_finite_keeps_the_last_good_weights(image, monkeypatch):
    step = TrainingRun.__next__

    def fails(run):
        if run.step == 2:
            raise NonFiniteLossError("The loss is not finite at step 3: check the image.")
        return step(run)

    monkeypatch.setattr(TrainingRun, "__next__", fails)
    steps = list(Pipeline(Image2D(image, Known(MICROSCOPE)), device="cpu", judged=False))
    assert "not finite" in of(ModelReady, steps)[0].said
    assert of(Predicted, steps)


def test_a_volume_goes_the_same_way():
    sample = simulate_volume("filaments", shape=(10, 48, 48), photons=100)
    volume = Image(sample.raw, "ZYX", sample.voxel_size, "volume")
    camera = NoiseModel(offset=100, gain=1.0, read_variance=4.0)
    known = Known(Microscope(1.1, 0.525, refractive_index=1.33), camera=camera)
    mode = Volume3D(volume, known)
    steps = list(Pipeline(mode, device="cpu", judged=False))
    (predicted,) = of(Predicted, steps)
    assert predicted.result.deconvolved.shape == (10, 48, 48)
    assert "along z" in of(PSFMade, steps)[0].said


def test_raw_frames_are_reconstructed_first():
    sample = simulate_sim("filaments", shape=(96, 96), photons=300)
    raw = Image(sample.raw, "CYX", (sample.pixel_size,) * 2)
    mode = RawSIM2D(raw, Known(MICROSCOPE))
    steps = list(Pipeline(mode, device="cpu"))
    assert kinds(steps)[:3] == ["Calibrated", "Reconstructed", "TrainingBegan"]
    (made,) = of(Reconstructed, steps)
    assert made.image.shape == (192, 192)
    assert "3 of 3 orientations" in made.said
    (predicted,) = of(Predicted, steps)
    assert predicted.result.deconvolved.shape == (192, 192)
    (judged,) = of(Judged, steps)
    assert all(measure.passed is not None for measure in judged.verdict.measures)
    assert judged.verdict.maps["z_map"].shape == (192, 192)

    (ready,) = of(ModelReady, steps)
    again = list(Pipeline(mode, model=ready.model, device="cpu", judged=False))
    assert not of(ModelReady, again)[0].trained
    other = Image2D(Image(sample.raw[0], "YX", (0.1, 0.1)), Known(MICROSCOPE))
    assert "raw SIM" in other.misfit(ready.model)


def test_a_time_series_is_measured_by_its_differences_and_judged_in_the_frame_asked_for():
    sample = simulate("vesicles", shape=(64, 64), pixel_size=PIXEL)
    rng = np.random.default_rng(0)
    series = rng.poisson(np.clip(sample.raw - 100.0, 0, None), (12, 64, 64)) + 100
    image = Image(series.astype(np.uint16), "TYX", (PIXEL, PIXEL), "series")
    steps = list(Pipeline(Image2D(image, Known(MICROSCOPE, frame=11)), device="cpu"))
    assert "series of 12 frames" in of(Calibrated, steps)[0].said
    assert of(Predicted, steps)[0].result.deconvolved.shape == (12, 128, 128)


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        (lambda image: Image2D(image), "numerical aperture"),
        (lambda image: Image2D(replace(image, voxel_size=None), Known(MICROSCOPE)), "pixel size"),
        (
            lambda image: Image2D(
                replace(image, data=np.where(np.eye(96), np.nan, image.data)), Known(MICROSCOPE)
            ),
            "NaN",
        ),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(image, mode, words):
    with pytest.raises(InputError, match=words):
        list(Pipeline(mode(image), device="cpu"))


class TestTrainingsThatBrokeOff:
    def broken_off(self, image, path, seed=3):
        """Begin to train and end there, as a program does that is closed."""
        pipeline = Pipeline(
            Image2D(image, Known(MICROSCOPE)),
            device="cpu",
            seed=seed,
            judged=False,
            checkpoint=lambda: path,
        )
        for step in pipeline:
            if isinstance(step, Progress) and step.step == 2:
                pipeline.close()
                break
        return path

    def test_are_gone_on_with_to_the_same_bits(self, image, tmp_path):
        path = self.broken_off(image, tmp_path / "one.checkpoint.safetensors")
        assert Model.load(path).steps_trained == 2
        mode = Image2D(image, Known(MICROSCOPE))
        steps = list(Pipeline(mode, device="cpu", judged=False, broken_off=[path]))
        assert of(Progress, steps)[0].step == 3
        (ready,) = of(ModelReady, steps)
        assert "Went on with a training that broke off after step 2." in ready.said
        whole = list(
            Pipeline(Image2D(image, Known(MICROSCOPE)), device="cpu", judged=False, seed=3)
        )
        fingerprints = [
            weights_fingerprint(of(ModelReady, made)[0].model.network.state_dict())
            for made in (steps, whole)
        ]
        assert fingerprints[0] == fingerprints[1]
        assert not path.exists()

    def test_of_other_images_or_settings_are_left_alone(self, image, tmp_path):
        path = self.broken_off(image, tmp_path / "one.checkpoint.safetensors")
        darker = replace(image, data=image.data - image.data.min() // 2)
        for mode in (
            Image2D(darker, Known(MICROSCOPE)),
            Image2D(image, Known(replace(MICROSCOPE, na=1.2))),
            Image2D(image, Known(MICROSCOPE, offset=90.0)),
        ):
            pipeline = Pipeline(mode, device="cpu", judged=False, broken_off=[path])
            first = next(step for step in pipeline if isinstance(step, Progress))
            assert first.step == 1
            pipeline.stop()
        assert path.exists()

    def test_that_were_done_are_not_trained_again(self, image, tmp_path, monkeypatch):
        path = tmp_path / "one.checkpoint.safetensors"

        def failing(*_):
            raise InputError("file-not-written", "the disk is gone")
            yield

        with monkeypatch.context() as patched:
            patched.setattr(Image2D, "predict", failing)
            pipeline = Pipeline(
                Image2D(image, Known(MICROSCOPE)), device="cpu", seed=3, checkpoint=lambda: path
            )
            with pytest.raises(InputError, match="the disk is gone"):
                list(pipeline)
        mode = Image2D(image, Known(MICROSCOPE))
        steps = list(Pipeline(mode, device="cpu", judged=False, broken_off=[path]))
        assert not of(Progress, steps)
        assert of(Predicted, steps)
        assert of(ModelReady, steps)[0].said == "Trained for 4 steps before."
        assert not path.exists()


def test_what_memory_does_not_hold_is_refused_before_the_training(image, monkeypatch):
    pipeline = Pipeline(Image2D(image, Known(MICROSCOPE)), device="cpu")
    for name in ("utils.memory", "inference.predict"):
        monkeypatch.setattr(f"napari_zsdeconvnet.{name}.available_memory", lambda: 2**20)
    monkeypatch.setattr("napari_zsdeconvnet.training.begin.check_room", lambda *_: None)
    with pytest.raises(InputError, match=r"Deconvolving this image needs .* 1 MiB are free"):
        list(pipeline)
    assert pipeline._run is None or pipeline._run.step == 0


def test_widths_of_a_psf_name_their_units():
    psf = PSF.simulate(1.1, 0.525, 0.1, refractive_index=1.33, axial_step=0.2, planes=9, size=17)
    assert re.match(r"\d{3} nm wide, \d+ nm along z: simulated", psf_words(psf))
    without = replace(psf, voxel_size=None)
    assert re.match(r"[\d.]+ output pixels wide, [\d.]+ planes along z: ", psf_words(without))
