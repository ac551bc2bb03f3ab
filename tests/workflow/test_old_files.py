"""Files of earlier versions load: models, records, noise models and patterns.

The weights in ``tests/data`` are all alike in a tensor, so that the files are small.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.model.facts import ModelFacts
from napari_zsdeconvnet.model.model import Model
from napari_zsdeconvnet.noise.camera_maps import CameraMaps
from napari_zsdeconvnet.physics.stripe_filter import Damping
from napari_zsdeconvnet.sim.patterns import Patterns
from napari_zsdeconvnet.sim.reconstruction import Reconstruction
from napari_zsdeconvnet.workflow.record import RunRecord, methods_paragraph

FOLDER = Path(__file__).parents[1] / "data"
MODELS = ["image_2026-11-25", "image_2026-11-29", "volume_2026-11-29", "sim_2026-11-29"]


def file_of(name: str, tmp_path: Path) -> Path:
    path = tmp_path / f"{name}.safetensors"
    path.write_bytes(gzip.decompress((FOLDER / f"{path.name}.gz").read_bytes()))
    return path


def record_of(name: str) -> RunRecord:
    return RunRecord.read(FOLDER / f"{name}.json")


@pytest.mark.parametrize("name", MODELS)
def test_the_model_is_that_of_its_record(name: str, tmp_path: Path):
    record = record_of(name)
    model = Model.load(file_of(name, tmp_path))
    again = RunRecord.of(model)
    assert again.weights_sha256 == record.weights_sha256
    assert again.steps == record.steps == 2
    assert (again.seed, again.scale, again.axes) == (7, record.scale, record.axes)
    assert again.sources == record.sources
    assert again.stretches == record.stretches
    assert again.noise == record.noise
    assert again.losses == pytest.approx(record.losses)
    np.testing.assert_array_equal(again.psf.array, record.psf.array)
    assert methods_paragraph(record)


@pytest.mark.parametrize("name", MODELS)
def test_its_facts_are_read_without_the_weights(name: str, tmp_path: Path):
    path = file_of(name, tmp_path)
    facts, model = ModelFacts.read(path), Model.load(path)
    assert (facts.preset, facts.axes, facts.voxel_size) == ("fast", model.axes, model.voxel_size)
    assert (facts.steps_trained, facts.planned, facts.complete) == (2, 2, True)
    assert (facts.sources, facts.upsampling) == (model.sources, model.upsampling)
    assert facts.raw_sim == name.startswith("sim")


@pytest.mark.parametrize("name", MODELS)
def test_it_still_predicts(name: str, tmp_path: Path):
    model = Model.load(file_of(name, tmp_path))
    shape = (8, 48, 48) if model.axes == "ZYX" else (48, 48)
    image = np.random.default_rng(0).poisson(60, shape).astype(np.float32) + 100
    result = model.predict(image, device="cpu")
    assert np.isfinite(result.deconvolved).all()


@pytest.mark.parametrize("name", MODELS)
def test_a_record_is_written_as_it_was_read(name: str, tmp_path: Path):
    record = record_of(name)
    record.write(tmp_path / "again.json")
    again = RunRecord.read(tmp_path / "again.json")
    assert again.to_dict() == record.to_dict()
    if not name.endswith("11-25"):  # records of that day had other entries
        written = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
        # What came later has the values of before there was a choice.
        written["settings"] |= {
            "pretrained_share": 0.0,
            "denoising_passes": 0,
            "deconvolution_passes": 0,
            "coarse_passes": 0,
        }
        predicted = (written.get("prediction") or {}).get("source")
        for source in filter(None, (*written["sources"], predicted)):
            source["parts"] = []
            if source["origin"] is not None:
                source["origin"] |= {"level": None, "scene": None}
        assert json.loads((tmp_path / "again.json").read_text("utf-8")) == written


def test_maps_of_a_camera_under_their_former_name():
    values = json.loads((FOLDER / "sim_2026-11-29.json").read_text("utf-8"))
    maps = {name: values["camera"][name] for name in ("offset", "gain", "read_variance")}
    camera = RunRecord.from_dict({**values, "camera": None, "camera_maps": maps}).camera
    assert isinstance(camera, CameraMaps)
    assert camera.typical.offset == 100.5


def test_an_image_keeps_its_mask_and_its_result():
    record = record_of("image_2026-11-29")
    assert record.prediction is not None
    assert record.verdict is not None
    assert record.sources[0].pixel_rule["bad_pixels"]["runs"] == [[366, 369]]
    assert record.sources[0].origin is not None
    assert record.prediction.damping == Damping("Y")
    assert set(record.prediction.outputs) == {"deconvolved"}
    assert record.verdict.summary()


def test_raw_frames_keep_their_patterns_and_the_maps_of_their_camera(tmp_path: Path):
    record = record_of("sim_2026-11-29")
    model = Model.load(file_of("sim_2026-11-29", tmp_path))
    for made in (record, model):
        assert isinstance(made.camera, CameraMaps)
        assert made.camera.offset[0, 0] == np.float32(100.5)
        assert made.reconstruction is not None
        operator = Reconstruction.from_dict(made.reconstruction)
        assert operator.patterns == Patterns.load(FOLDER / "patterns_2026-11-29.json")


def test_a_noise_model():
    noise = zs.NoiseModel.from_dict(json.loads((FOLDER / "noise_2026-11-29.json").read_text()))
    assert (noise.offset, noise.gain, noise.read_variance) == (100, 1.25, 4)
    assert (noise.correlation, noise.excess_noise) == ((0.1, 0.2), 1.41)


def test_a_noise_model_of_a_newer_version_asks_for_an_update():
    values = json.loads((FOLDER / "noise_2026-11-29.json").read_text())
    assert zs.NoiseModel.from_dict({"format": 1, **values}).gain == 1.25
    with pytest.raises(zs.InputError) as caught:
        zs.NoiseModel.from_dict({"format": 2, **values, "new": 3})
    assert caught.value.code == "format-too-new"
