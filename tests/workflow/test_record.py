"""The record of a run: everything is in it, comes back from JSON, and makes a paragraph."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from refusals import refused
from safetensors import safe_open

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.io.image import Image, Origin
from napari_zsdeconvnet.model.model import Model
from napari_zsdeconvnet.model.presets import PRESETS, SIM_PRESETS, Preset
from napari_zsdeconvnet.model.provenance import Source, installed_versions, with_step
from napari_zsdeconvnet.noise.camera_maps import CameraMaps
from napari_zsdeconvnet.physics.stripe_filter import Damping
from napari_zsdeconvnet.quality.checks import Measure
from napari_zsdeconvnet.quality.verdict import Verdict
from napari_zsdeconvnet.sim.reconstruction import Reconstruction
from napari_zsdeconvnet.simulation.raw_sim import simulate_sim
from napari_zsdeconvnet.simulation.sample import simulate
from napari_zsdeconvnet.training.trainer import TrainingRun
from napari_zsdeconvnet.utils.errors import InputError
from napari_zsdeconvnet.workflow.record import Output, Prediction, RunRecord, methods_paragraph
from napari_zsdeconvnet.workflow.record.serialization import packed

PIXEL = (0.0626, 0.0626)
NOISE = zs.NoiseModel(100, 1.25, 4.0, gain_error=0.05, source="a dark stack of 20 frames")


def quick(preset: Preset) -> Preset:
    return replace(preset, patch=48, batch=2)


def start(path: Path, **options: object) -> TrainingRun:
    sample = simulate(shape=(64, 72), photons=50, seed=1)
    image = Image(sample.raw, "YX", PIXEL, "cells.tif", origin=Origin(str(path), channel=1))
    chosen: dict = {"preset": quick(PRESETS["fast"]), "steps": 4, "seed": 7, "device": "cpu"}
    return zs.train(image, sample.psf.cropped(31), NOISE, preview_every=0, **{**chosen, **options})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    run = start(tmp_path_factory.getbasetemp() / "cells.tif")
    for _ in run:
        pass
    return run.model


@pytest.fixture(scope="module")
def sim_model() -> Model:
    sample = simulate_sim("filaments", shape=(48, 48), photons=30, seed=4)
    maps = CameraMaps(
        *(np.full((48, 48), value, np.float32) for value in (100.5, 1.25, 4.5)),
    )
    run = zs.train(
        sample.raw, reconstruction=Reconstruction(sample.patterns), noise=maps,
        preset=quick(SIM_PRESETS["fast"]),
        steps=2, seed=7, device="cpu", preview_every=0,
    )  # fmt: skip
    for _ in run:
        pass
    return run.model


@pytest.fixture
def prediction(model: Model) -> Prediction:
    return Prediction(
        source=model.sources[0],
        outputs={"deconvolved": Output("cells_deconvolved.tif", "0" * 64)},
        device="CPU, 1 thread",
        threads=1,
        versions=installed_versions(),
        started="2026-11-25T12:00:00+00:00",
        seconds=1.5,
        tile=(64, 72),
        repeats=4,
        damping=Damping("Y"),
    )


VERDICT = Verdict(
    (
        Measure("noise level", 1.01, "", (0.9, 1.1), True, "The noise is as calibrated."),
        Measure("re-blur", 2.0, "", (None, 1.3), False, "Structure is left over."),
        Measure("spread", None, "", (None, None), None, "Not asked for."),
    )
)


class TestWhatAModelKeeps:
    def test_its_images_by_name_and_by_pixels(self, model: Model):
        (source,) = model.sources
        assert (source.name, source.axes, source.shape) == ("cells.tif", "TYX", (1, 64, 72))
        assert (source.voxel_size, source.dtype) == (PIXEL, "uint16")
        assert source.origin is not None
        assert source.origin.channel == 1
        assert source.sha256 == model.data_hash

    def test_each_of_several_images_by_its_own_pixels(self):
        pixels = np.random.default_rng(0).poisson(50, (2, 64, 64)).astype(np.uint16)
        one, other = (Source.of(Image(part[None], "TYX")) for part in pixels)
        assert one.sha256 != other.sha256
        assert Source.of(Image(pixels[:1].astype(np.uint32), "TYX")).sha256 != one.sha256
        assert Source.of(Image(pixels[:1].reshape(1, 32, 128), "TYX")).sha256 != one.sha256

    def test_what_was_trained_when_and_on_what(self, model: Model):
        (stretch,) = model.stretches
        assert (stretch.first, stretch.last, stretch.planned) == (1, 4, 4)
        assert (stretch.batch, stretch.patch) == (2, (48, 48))
        assert stretch.threads == torch.get_num_threads()
        assert stretch.device.startswith("CPU")
        assert stretch.seconds > 0
        assert stretch.started.endswith("+00:00")
        assert stretch.versions == installed_versions()

    def test_stops_and_other_numbers_of_steps(self, tmp_path: Path):
        run = start(tmp_path / "cells.tif")
        next(run)
        run.stop()
        assert list(run) == []
        run.resume()
        next(run)
        run.save(tmp_path / "m.safetensors")
        again = start(tmp_path / "cells.tif", resume=tmp_path / "m.safetensors", steps=3)
        for _ in again:
            pass
        parts = [(part.first, part.last, part.planned) for part in again.model.stretches]
        assert parts == [(1, 1, 4), (2, 2, 4), (3, 3, 3)]
        saved = tmp_path / "n.safetensors"
        again.model.save(saved)
        assert Model.load(saved).stretches == again.model.stretches

    def test_a_smaller_batch_begins_a_stretch(self):
        common = {"planned": 9, "patch": (48, 48), "device": "CPU", "threads": 1, "versions": {}}
        whole, half = ({**common, "batch": 4 - 2 * less, "reduced": less} for less in (False, True))
        parts = with_step((), 1, 0.5, anew=True, **whole)
        parts = with_step(parts, 2, 0.5, anew=False, **whole)
        parts = with_step(parts, 3, 0.5, anew=False, **half)
        assert [(part.first, part.last, part.batch) for part in parts] == [(1, 2, 4), (3, 3, 2)]
        assert parts[0].seconds == 1.0

    def test_in_its_file_too(self, model: Model, sim_model: Model, tmp_path: Path):
        for kept in (model, sim_model):
            kept.save(tmp_path / "m.safetensors")
            loaded = Model.load(tmp_path / "m.safetensors")
            assert loaded.sources == kept.sources
            assert loaded.stretches == kept.stretches
        assert isinstance(loaded.camera, CameraMaps)
        assert isinstance(sim_model.camera, CameraMaps)
        np.testing.assert_array_equal(loaded.camera.gain, sim_model.camera.gain)
        assert sim_model.sources[0].axes == "TCYX"

    def test_a_model_of_before_loads_and_says_what_it_lacks(self, model: Model, tmp_path: Path):
        path = tmp_path / "old.safetensors"
        model.save(path)
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["zsdeconvnet"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        for name in ("sources", "stretches", "camera"):
            del header[name]
        from safetensors.torch import save_file

        save_file(tensors, path, {"zsdeconvnet": json.dumps(header)})
        record = RunRecord.of(Model.load(path))
        assert record.sources == ()
        assert any("did not keep" in sentence for sentence in record.obstacles)
        assert "trained for 4 steps" in methods_paragraph(record)


class TestFile:
    @pytest.mark.parametrize("which", ["model", "sim_model"])
    def test_everything_comes_back(self, which, request, prediction, tmp_path: Path):
        model = request.getfixturevalue(which)
        record = RunRecord.of(model, prediction=prediction, verdict=VERDICT)
        record.write(tmp_path / "r.json")
        back = RunRecord.read(tmp_path / "r.json")
        assert json.dumps(back.to_dict()) == json.dumps(record.to_dict())
        np.testing.assert_array_equal(back.psf.array, model.psf.array)
        assert Preset(**back.settings) == Preset(**model.settings)
        assert back.prediction == prediction
        assert back.verdict is not None
        assert back.verdict.measures == VERDICT.measures
        assert back.noise == model.noise
        if isinstance(model.camera, CameraMaps):
            assert isinstance(back.camera, CameraMaps)
            np.testing.assert_array_equal(back.camera.offset, model.camera.offset)

    def test_that_of_a_model_is_read_from_the_model(self, model: Model, tmp_path: Path):
        model.save(tmp_path / "m.safetensors")
        record = RunRecord.read(tmp_path / "m.safetensors")
        assert json.dumps(record.to_dict()) == json.dumps(RunRecord.of(model).to_dict())

    def test_is_plain_json_with_the_numbers_that_matter(self, model: Model, tmp_path: Path):
        RunRecord.of(model).write(tmp_path / "r.json")
        written = json.loads((tmp_path / "r.json").read_text("utf-8"))
        assert written["sources"][0]["sha256"] == model.data_hash
        assert written["noise"]["gain_error"] == 0.05
        assert written["seed"] == 7
        assert written["stretches"][0]["threads"] == torch.get_num_threads()
        assert {"torch", "numpy", "python", "platform"} <= set(written["versions"])
        assert written["obstacles"] == []

    def test_weights_have_a_fingerprint_of_their_own(self, model: Model, tmp_path: Path):
        run = start(tmp_path / "cells.tif")
        for _ in run:
            pass
        same = RunRecord.of(run.model).weights_sha256
        assert same == RunRecord.of(model).weights_sha256
        changed = run.model
        bias = changed.network.denoised.bias.data
        bias[0] = torch.nextafter(bias[0], torch.tensor(9.0))
        assert RunRecord.of(changed).weights_sha256 != same

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"kind": "a noise model"}, "no run record"),
            ({"format": 99}, "update"),
            ({"psf": ...}, "psf"),
            ({"sources": 3}, "damaged"),
            ({"steps": 10**15 * 10**15}, "steps is 1000000000"),
            ({"losses": {"total": "small"}}, "losses.total is 'small'"),
            ({"settings": {"batch": 10**15}}, "damaged"),
            ({"planned": 10**15}, "more than any run has"),
        ],
    )
    def test_what_cannot_be_read_is_refused(self, change, words, model: Model, tmp_path: Path):
        path = tmp_path / "r.json"
        RunRecord.of(model).write(path)
        values = {**json.loads(path.read_text("utf-8")), **change}
        path.write_text(json.dumps({k: v for k, v in values.items() if v is not ...}))
        with pytest.raises(InputError, match=words) as caught:
            RunRecord.read(path)
        assert "r.json" in str(caught.value)

    def test_a_psf_with_a_changed_number_is_noticed(self, model: Model, tmp_path: Path):
        values = RunRecord.of(model).to_dict()
        changed = np.array(model.psf.array)
        changed[0, 0] = np.nextafter(changed[0, 0], 1)
        values["psf"]["array"] = {**packed(changed), "sha256": values["psf"]["array"]["sha256"]}
        with pytest.raises(InputError, match="another checksum"):
            RunRecord.from_dict(values)
        values["psf"]["array"].pop("sha256")  # as in records of before there were any
        np.testing.assert_array_equal(RunRecord.from_dict(values).psf.array, changed)

    def test_a_missing_file_and_one_that_is_no_json(self, tmp_path: Path):
        with pytest.raises(InputError, match=r"none\.json"):
            RunRecord.read(tmp_path / "none.json")
        (tmp_path / "r.json").write_text("{")
        with refused("file-kind"):
            RunRecord.read(tmp_path / "r.json")


class TestObstacles:
    def test_a_cpu_run_has_none(self, model: Model):
        assert RunRecord.of(model).obstacles == ()

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"device": "GPU 0, Some Card"}, "GPU 0"),
            ({"reduced": True}, "Memory ran out"),
        ],
    )
    def test_conditions_that_do_not_come_again(self, change, words, model: Model):
        stretch = replace(model.stretches[0], **change)
        (sentence,) = RunRecord.of(replace(model, stretches=(stretch,))).obstacles
        assert words in sentence

    def test_versions_that_changed_on_the_way(self, model: Model):
        (first,) = model.stretches
        second = replace(first, first=5, last=9, versions={**first.versions, "torch": "1.0"})
        (sentence,) = RunRecord.of(replace(model, stretches=(first, second))).obstacles
        assert "versions" in sentence


class TestMethods:
    def test_every_number_is_that_of_the_run(self, model: Model, prediction: Prediction):
        record = RunRecord.of(model, prediction=prediction, verdict=VERDICT)
        paragraph, references = methods_paragraph(record).split("\n\n")
        assert "\n" not in paragraph
        for words in (
            f"napari-zsdeconvnet {zs.__version__}",
            "one image of 64 x 72 pixels of 62.6 nm (cells.tif)",
            "an offset of 100 counts",
            "a gain of 1.25 ± 0.05 counts per photoelectron",
            "a read variance of 4 counts squared",
            "a dark stack of 20 frames",
            f"{1000 * model.psf.fwhm[0]:.4g} nm",
            "alpha of 1 to 2, beta1 of 0.5 to 1.5 times the gain",
            f"{record.parameters} parameters",
            "5 accelerated Richardson-Lucy iterations",
            "4 steps of 2 patches of 48 x 48 pixels",
            f"at most {PRESETS['fast'].learning_rate:g}, with seed 7, beginning with weights",
            "CPU, 1 thread" if torch.get_num_threads() == 1 else "threads",
            "pixels of 31.3 nm",
            "average over 4 re-corruptions",
            "Stripes along X were damped",
            "2 measures",
            "failed: re-blur",
            f"PyTorch {torch.__version__}",
        ):
            assert words in paragraph, words
        for author in ("Qiao, C.", "Richardson, W. H.", "Lucy, L. B.", "napari-zsdeconvnet"):
            assert author in references
        assert "Gustafsson" not in references

    def test_only_what_was_used_is_cited(self, model: Model):
        record = replace(RunRecord.of(model), richardson_lucy=0)
        text = methods_paragraph(record)
        assert "Richardson" not in text
        assert "Qiao" in text
        assert "measures" not in text
        assert "re-corruptions of the input" not in text

    def test_of_raw_frames(self, sim_model: Model):
        text = methods_paragraph(RunRecord.of(sim_model))
        for words in (
            "3 orientations x 3 phases",
            "Wiener filter (Gustafsson, 2000)",
            "one set of raw frames of 48 x 48 pixels",
            "maps of its offset, gain and read variance, with medians of 100.5 counts, 1.25",
            "re-corrupting every raw frame",
            "Gustafsson, M. G. L.",
            "first stage was trained, and the second was left as it was",
            "those that training began with (35%) and those that it came to (65%)",
        ):
            assert words in text, words

    def test_a_run_that_was_stopped_says_so(self, model: Model):
        record = replace(RunRecord.of(model), planned=700)
        assert "4 of 700 planned steps" in methods_paragraph(record)

    def test_a_run_that_ended_by_itself_says_why(self, model: Model):
        record = replace(RunRecord.of(model), planned=700, ending="Ended by itself.")
        assert "held out from training had gained nothing more" in methods_paragraph(record)

    def test_other_training_data_are_said_where_there_were_any(self, model: Model):
        record = RunRecord.of(model)
        settings = dict(record.settings)
        for start, said in (("prior", False), ("scratch", True)):
            text = methods_paragraph(replace(record, settings={**settings, "start": start}))
            assert ("or any other training data" in text) is said
            assert ("learned on simulated images" in text) is not said
