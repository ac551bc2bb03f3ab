"""A run once more, from its record: the same bits of the model and of the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.inference.predict import Result
from napari_zsdeconvnet.io.image import Image
from napari_zsdeconvnet.model.model import Model
from napari_zsdeconvnet.model.presets import PRESETS, SIM_PRESETS, VOLUME_PRESETS
from napari_zsdeconvnet.physics.stripe_filter import Damping
from napari_zsdeconvnet.sim.reconstruction import Reconstruction
from napari_zsdeconvnet.simulation.raw_sim import simulate_sim
from napari_zsdeconvnet.simulation.sample import simulate
from napari_zsdeconvnet.training import run as run_module
from napari_zsdeconvnet.training.trainer import TrainingRun
from napari_zsdeconvnet.training.volume_objectives import SequentialObjective
from napari_zsdeconvnet.utils.errors import InputError
from napari_zsdeconvnet.workflow.record import (
    Prediction,
    RunRecord,
    differences,
    iter_recorded,
    iter_training,
    settings_of,
    threads,
)

PIXEL = (0.0626, 0.0626)
NOISE = zs.NoiseModel(100, 1.0, 4.0)
# A rate that depends on how many steps are planned, so that other steps are other weights.
QUICK = replace(PRESETS["fast"], patch=48, batch=2, schedule="one-cycle")
QUICK_VOLUME = replace(VOLUME_PRESETS["fast"], patch=32, planes=8, batch=1, denoising_share=0.5)
QUICK_SIM = replace(SIM_PRESETS["fast"], patch=48, batch=2)

Start = Callable[..., TrainingRun]


def image(seed: int = 1) -> Image:
    return Image(simulate(shape=(64, 72), photons=50, seed=seed).raw, "YX", PIXEL, "cells.tif")


def start_image(images: object = None, **options: object) -> TrainingRun:
    psf = simulate(shape=(64, 72), photons=50, seed=1).psf.cropped(31)
    chosen: dict = {"preset": QUICK, "steps": 6, "seed": 3, "device": "cpu", "preview_every": 0}
    return zs.train(images or image(), psf, NOISE, **chosen | options)


def volume() -> Image:
    generator = np.random.default_rng(0)
    signal = np.full((12, 48, 52), 4.0)
    signal[4:7, 20:24, 20:24] += 60
    pixels = (generator.poisson(signal) + 100).astype(np.uint16)
    return Image(pixels, "ZYX", (0.2, 0.1, 0.1), "stack.tif")


def start_volume(**options: object) -> TrainingRun:
    psf = zs.PSF.simulate(
        na=1.1, wavelength=0.525, refractive_index=1.33, pixel_size=0.1, axial_step=0.2,
        planes=9, size=11,
    )  # fmt: skip
    chosen: dict = {"steps": 6, "seed": 3, "device": "cpu", "preview_every": 0}
    return zs.train(volume(), psf, NOISE, preset=QUICK_VOLUME, **chosen | options)


def frames() -> Image:
    return Image(simulate_sim("filaments", shape=(48, 48), photons=30, seed=4).raw[None], "TCYX")


def start_sim(**options: object) -> TrainingRun:
    sample = simulate_sim("filaments", shape=(48, 48), photons=30, seed=4)
    chosen: dict = {"steps": 6, "seed": 3, "device": "cpu", "preview_every": 0}
    return zs.train(
        frames(), reconstruction=Reconstruction(sample.patterns), noise=sample.noise,
        preset=QUICK_SIM,
        **chosen | options,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SequentialObjective, "BLOCK", (12, 40, 40))
    monkeypatch.setattr(SequentialObjective, "DRAWS", 2)


@pytest.fixture
def two_threads() -> Iterator[None]:
    with threads(2):
        yield


def trained(run: TrainingRun) -> Model:
    for _ in run:
        pass
    return run.model


def end_of(steps: Iterator[object]) -> object:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def through_json(record: RunRecord, folder: Path) -> RunRecord:
    record.write(folder / "record.json")
    return RunRecord.read(folder / "record.json")


def repeated(model: Model, images: list[Image], folder: Path) -> Model:
    again = end_of(iter_training(through_json(RunRecord.of(model), folder), images))
    assert isinstance(again, Model)
    return again


def assert_same_bits(one: Model, other: Model) -> None:
    weights = one.network.state_dict()
    assert weights.keys() == other.network.state_dict().keys()
    for name, weight in other.network.state_dict().items():
        assert torch.equal(weight, weights[name]), name
    assert one.scale == other.scale
    np.testing.assert_array_equal(one.psf.array, other.psf.array)


class TestTraining:
    @pytest.mark.parametrize(
        ("start", "made"),
        [(start_image, image), (start_volume, volume), (start_sim, frames)],
        ids=["image", "volume", "raw SIM"],
    )
    def test_gives_the_same_model_to_the_bit(self, start: Start, made, tmp_path: Path):
        model = trained(start())
        assert_same_bits(model, repeated(model, [made()], tmp_path))

    @pytest.mark.parametrize(
        ("start", "made"),
        [(start_image, image), (start_volume, volume), (start_sim, frames)],
        ids=["image", "volume", "raw SIM"],
    )
    def test_also_when_it_was_stopped_saved_and_resumed_to_other_steps(
        self, start: Start, made, tmp_path: Path
    ):
        run = start()
        for progress in run:
            if progress.step == 3:
                run.stop()
        run.save(tmp_path / "m.safetensors")
        model = trained(start(resume=tmp_path / "m.safetensors", steps=5))
        assert [(part.last, part.planned) for part in model.stretches] == [(3, 6), (5, 5)]
        record = RunRecord.of(model)
        assert record.obstacles == ()
        assert_same_bits(model, repeated(model, [made()], tmp_path))
        assert record.weights_sha256 != RunRecord.of(trained(start(steps=5))).weights_sha256

    def test_also_when_it_was_stopped_early(self, tmp_path: Path):
        run = start_image()
        for progress in run:
            if progress.step == 3:
                run.stop()
        again = repeated(run.model, [image()], tmp_path)
        assert again.steps_trained == 3
        assert_same_bits(run.model, again)

    def test_also_when_it_ended_by_itself_and_went_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        # So little patience, and a gain so large, that it ends at the second check.
        monkeypatch.setattr(run_module, "CHECK_EVERY", 2)
        preset = replace(QUICK, patience=1, least_gain=0.99)
        run = start_image(preset=preset, steps=None)
        for _ in run:
            pass
        assert run.ending
        ended = run.model
        assert RunRecord.of(ended).ending == run.ending
        assert_same_bits(ended, repeated(ended, [image()], tmp_path))
        run.resume()
        next(run)
        assert_same_bits(run.model, repeated(run.model, [image()], tmp_path))
        assert len(run.model.stretches) == 2

    def test_also_on_several_images_and_with_previews(self, tmp_path: Path):
        images = [image(1), image(2)]
        model = trained(start_image(images, preview_every=2))
        assert len(model.sources) == 2
        assert_same_bits(model, repeated(model, images, tmp_path))

    def test_computes_with_the_threads_of_the_run(self, two_threads: None, tmp_path: Path):
        model = trained(start_image(steps=3))
        assert model.stretches[0].threads == 2
        record = through_json(RunRecord.of(model), tmp_path)
        with threads(1):
            steps = iter_training(record, [image()])
            next(steps)
            assert torch.get_num_threads() == 2
            again = end_of(steps)
            assert torch.get_num_threads() == 1
        assert isinstance(again, Model)
        assert_same_bits(model, again)

    def test_other_pixels_are_refused_with_both_fingerprints(self):
        model = trained(start_image(steps=1))
        other = image(2)
        with pytest.raises(InputError) as caught:
            next(iter_training(RunRecord.of(model), [other]))
        words = str(caught.value)
        assert model.sources[0].sha256[:12] in words
        assert "cells.tif" in words
        with pytest.raises(InputError, match="1 recordings and 2 are given"):
            next(iter_training(RunRecord.of(model), [image(), other]))

    def test_a_record_without_images_is_refused(self):
        model = replace(trained(start_image(steps=1)), sources=())
        with pytest.raises(InputError, match="did not keep"):
            next(iter_training(RunRecord.of(model), [image()]))

    def test_versions_that_differ_are_said(self):
        model = trained(start_image(steps=1))
        assert differences(RunRecord.of(model)) == ()
        (part,) = model.stretches
        older = replace(part, versions={**part.versions, "torch": "2.4.0"})
        (sentence,) = differences(RunRecord.of(replace(model, stretches=(older,))))
        assert sentence == f"torch is {torch.__version__} here and was 2.4.0 in the run."

    def test_settings_of_another_version_are_refused(self):
        record = RunRecord.of(trained(start_image(steps=1)))
        changed = replace(record, settings={**record.settings, "colour": "red"})
        with pytest.raises(InputError, match="install napari-zsdeconvnet"):
            next(iter_training(changed, [image()]))


class TestPrediction:
    @pytest.mark.parametrize(
        "settings",
        [{}, {"tile": 64}, {"repeats": 2, "damping": Damping("Y")}],
        ids=["plain", "in tiles", "averaged and damped"],
    )
    def test_gives_the_same_result_to_the_bit(self, settings: dict, tmp_path: Path):
        model = trained(start_image(steps=2))
        model.save(tmp_path / "m.safetensors")
        result, made = end_of(iter_recorded(model, image(), device="cpu", **settings))
        assert isinstance(made, Prediction)
        assert made.tile is not None
        assert made.source.sha256 == model.data_hash
        again, _ = end_of(
            iter_recorded(Model.load(tmp_path / "m.safetensors"), image(), **settings_of(made))
        )
        assert isinstance(result, Result)
        np.testing.assert_array_equal(result.deconvolved, again.deconvolved)
        np.testing.assert_array_equal(result.denoised, again.denoised)
