"""Beginning with the model of the frame, channel or sample before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.cli.main import main
from napari_zsdeconvnet.io.image import Image
from napari_zsdeconvnet.io.image_writing import write_image
from napari_zsdeconvnet.model.model import Model
from napari_zsdeconvnet.model.presets import PRESETS
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.quality.reference_metrics import score, truth_at_resolution
from napari_zsdeconvnet.simulation.sample import Sample, simulate, simulate_volume
from napari_zsdeconvnet.training.trainer import TrainingRun
from napari_zsdeconvnet.utils.errors import InputError
from napari_zsdeconvnet.workflow.record import RunRecord, iter_training, methods_paragraph

QUICK = replace(PRESETS["fast"], patch=48, batch=1)


def sample(seed: int, **options: object) -> Sample:
    return simulate("mesh", **{"shape": (72, 72), "photons": 30, "seed": seed} | options)


def image(source: Sample, name: str = "after.tif") -> Image:
    return Image(source.raw, "YX", source.voxel_size, name)


def train(source: Sample, steps: int = 4, **options: object) -> TrainingRun:
    chosen: dict = {"preset": QUICK, "seed": 3, "device": "cpu", "preview_every": 0}
    return zs.train(image(source), source.psf, source.noise, steps=steps, **chosen | options)


def trained(run: Iterator[object]) -> Model:
    for _ in run:
        pass
    assert isinstance(run, TrainingRun)
    return run.model


def weights(model: Model) -> dict[str, torch.Tensor]:
    return model.network.state_dict()


def alike(one: Model, other: Model) -> bool:
    return all(torch.equal(weights(other)[name], values) for name, values in weights(one).items())


@pytest.fixture(scope="module")
def before() -> Model:
    return trained(train(sample(1)))


@pytest.fixture
def file(before: Model, tmp_path: Path) -> Path:
    path = tmp_path / "before.safetensors"
    before.save(path)
    return path


class TestBeginning:
    def test_the_weights_are_those_of_the_model(self, before: Model, file: Path):
        for start in (before, file, str(file)):
            assert alike(train(sample(2), start=start).model, before)

    def test_camera_psf_and_intensities_are_those_of_the_new_image(self, before: Model):
        other = sample(2, photons=90, na=1.1, noise=NoiseModel(300.0, 2.0, 9.0))
        run = train(other, start=before)
        assert run.model.noise.gain == 2.0
        assert run.model.psf.fwhm == pytest.approx(other.psf.fwhm, rel=0.02)
        assert run.model.scale > 2 * before.scale
        assert run.model.network.shot == pytest.approx(2.0 / run.model.scale)

    def test_the_model_is_left_as_it_was(self, before: Model):
        kept = {name: values.clone() for name, values in weights(before).items()}
        after = trained(train(sample(2), start=before))
        assert not alike(after, before)
        assert all(torch.equal(weights(before)[name], values) for name, values in kept.items())

    def test_a_network_of_the_other_kind_brings_its_own_way_of_training(self):
        scratch = train(sample(1), start="scratch").model
        run = train(sample(2), start=scratch)
        assert run.model.settings["network"] == "unrolled"
        assert run.model.settings["start"] == "model"
        assert run.model.settings["patch"] == QUICK.patch

    @pytest.mark.slow
    def test_what_one_image_taught_serves_the_next(self):
        # After a training on one mesh the next one begins where the prior would take hundreds
        # of steps to.
        one, other = (sample(seed, shape=(160, 160)) for seed in (11, 12))
        model = trained(train(one, steps=150))

        def quality(run: TrainingRun) -> float:
            found = run.model.predict(other.raw, device="cpu").deconvolved
            truth = truth_at_resolution(other.truth, 0.1, other.truth_voxel_size)
            return score(found, truth, border=16).psnr

        assert quality(train(other, start=model)) > quality(train(other)) + 0.05


class TestBadInput:
    def test_a_file_that_is_not_there(self):
        with pytest.raises(InputError, match=r"start is 'gone.safetensors': choose 'prior'"):
            train(sample(2), start="gone.safetensors")

    def test_a_model_of_another_preset(self, before: Model):
        paper = train(sample(2), preset=replace(PRESETS["paper"], patch=48, batch=1)).model
        with pytest.raises(InputError, match=r"holds a network 'published'.*preset 'paper'"):
            train(sample(2), start=paper)

    def test_a_model_of_volumes(self, before: Model):
        stack = simulate_volume(shape=(8, 64, 64), modality="confocal", seed=2)
        with pytest.raises(InputError, match="is for images and these are volumes"):
            zs.train(
                *(stack.raw, stack.psf, stack.noise),
                axes="ZYX",
                voxel_size=stack.voxel_size,
                start=before,
                device="cpu",
            )

    def test_a_model_on_another_grid(self, before: Model):
        with pytest.raises(InputError, match=r"2 times as fine .* 1 is wanted"):
            train(sample(2), start=before, upsample=False)

    def test_a_preset_that_began_with_a_model(self, before: Model):
        with pytest.raises(InputError, match="give that model as start"):
            train(sample(2), preset=replace(QUICK, start="model"))


class TestRecord:
    def test_is_kept_in_model_and_record(self, file: Path, tmp_path: Path):
        model = trained(train(sample(2), start=file))
        model.save(tmp_path / "after.safetensors")
        record = RunRecord.read(tmp_path / "after.safetensors")
        record.write(tmp_path / "after.json")
        for read in (record, RunRecord.read(tmp_path / "after.json")):
            assert read.beginning is not None
            assert read.beginning.name == "before.safetensors"
            assert read.beginning.path == str(file)
        assert "Began with the weights of before.safetensors" in record.describe()
        paragraph = methods_paragraph(record)
        assert "weights of an earlier model (before.safetensors)" in paragraph
        assert "any other training data" not in paragraph

    def test_is_repeated_to_the_bit_with_that_model_and_no_other(self, before: Model):
        model = trained(train(sample(2), start=before))
        record = RunRecord.of(model)

        def again(first: Model | None) -> Model:
            steps = iter_training(record, [image(sample(2))], first)
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    found: Model = end.value
                    return found

        assert alike(again(before), model)
        with pytest.raises(InputError, match=r"weights of a model of after\.tif"):
            again(None)
        with pytest.raises(InputError, match="fingerprint"):
            again(model)

    def test_on_the_command_line(
        self, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ):
        source = sample(2)
        write_image(tmp_path / "a.tif", source.raw, axes="YX", voxel_size=source.voxel_size)
        model, options = (
            str(tmp_path / "after.safetensors"),
            ["--na", "1.3", "--wavelength", "0.525"],
        )
        command = ["train", str(tmp_path / "a.tif"), "-o", model, *options, "--gain", "1"]
        command += ["--offset", "100", "--read-variance", "4", "--steps", "2", "--seed", "1"]
        assert main([*command, "--start", str(file), "--device", "cpu"]) == 0
        capsys.readouterr()
        moved = file.rename(tmp_path / "moved.safetensors")
        repeated = ["repeat", model, "-o", str(tmp_path / "again"), "--json"]
        assert main(repeated) == 2
        assert "name its file by now with --start" in capsys.readouterr().err
        assert main([*repeated, "--start", str(moved)]) == 0
        assert json.loads(capsys.readouterr().out)["same_to_the_bit"]["model"]

    def test_is_not_asked_for_where_a_training_goes_on(
        self, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ):
        write_image(tmp_path / "a.tif", sample(1).raw, axes="YX")
        command = ["train", str(tmp_path / "a.tif"), "-o", str(tmp_path / "m.safetensors")]
        assert main([*command, "--resume", str(file), "--start", "scratch"]) == 2
        assert "--start does not go with --resume" in capsys.readouterr().err
