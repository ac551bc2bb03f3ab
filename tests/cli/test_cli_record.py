"""Records from the shell: written beside results, judged, described and repeated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_zsdeconvnet.cli.main import main
from napari_zsdeconvnet.io.image_files import read_image
from napari_zsdeconvnet.io.image_writing import write_image
from napari_zsdeconvnet.simulation.raw_sim import simulate_sim
from napari_zsdeconvnet.simulation.sample import simulate
from napari_zsdeconvnet.workflow.record import RunRecord

PIXEL = (0.0626, 0.0626)
OPTICS = ["--na", "1.3", "--wavelength", "0.525"]
CAMERA = ["--offset", "100", "--gain", "1", "--read-variance", "4"]
QUICK = ["--steps", "3", "--seed", "1", "--device", "cpu"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an image, a model of it and a result with its record."""
    folder = tmp_path_factory.mktemp("record")
    sample = simulate("filaments", shape=(80, 96), photons=200, seed=3)
    write_image(folder / "raw.tif", sample.raw, axes="YX", voxel_size=PIXEL)
    write_image(folder / "other.tif", sample.second_exposure, axes="YX", voxel_size=PIXEL)
    model = str(folder / "model.safetensors")
    raw = str(folder / "raw.tif")
    assert main(["train", raw, "-o", model, *OPTICS, *CAMERA, *QUICK]) == 0
    result = str(folder / "result.tif")
    assert main(["predict", model, raw, "-o", result, "--denoised", "--device", "cpu"]) == 0
    return folder


class TestBesideAResult:
    def test_every_result_has_one(self, run, files: Path, tmp_path: Path):
        answer = run(
            *("predict", files / "model.safetensors", files / "raw.tif", files / "other.tif"),
            *("-o", tmp_path, "--repeats", "2", "--device", "cpu", "--json"),
        )
        names = [Path(entry["record"]).name for entry in answer.json["images"]]
        assert names == ["raw_deconvolved.json", "other_deconvolved.json"]
        record = RunRecord.read(tmp_path / "other_deconvolved.json")
        assert record.prediction is not None
        assert record.prediction.source.name == "other.tif"
        assert record.sources[0].name == "raw.tif"
        assert record.prediction.repeats == 2
        assert list(record.prediction.outputs) == ["deconvolved"]

    def test_it_knows_files_and_settings(self, files: Path):
        record = RunRecord.read(files / "result.json")
        made = record.prediction
        assert made is not None
        assert made.outputs["deconvolved"].file == "result.tif"
        assert made.outputs["denoised"].file == "result_denoised.tif"
        assert record.sources[0].origin is not None
        assert record.sources[0].origin.path == str((files / "raw.tif").resolve())
        assert made.source.sha256 == record.sources[0].sha256
        assert record.noise.source == "typed by hand"
        assert record.seed == 1

    def test_another_file_of_that_name_is_left_alone(self, run, files: Path, tmp_path: Path):
        (tmp_path / "out.json").write_text('{"offset": 100}')
        answer = run(
            *("predict", files / "model.safetensors", files / "raw.tif", "-o", tmp_path / "out.tif")
        )
        assert answer.code == 2
        assert "out.json" in answer.err
        assert not (tmp_path / "out.tif").exists()
        assert (tmp_path / "out.json").read_text() == '{"offset": 100}'

    def test_an_earlier_record_is_replaced(self, run, files: Path, tmp_path: Path):
        for name in ("raw.tif", "other.tif"):
            answer = run(
                *("predict", files / "model.safetensors", files / name, "-o", tmp_path / "out.tif"),
                *("--device", "cpu", "--force"),
            )
            assert answer.code == 0
        record = RunRecord.read(tmp_path / "out.json")
        assert record.prediction is not None
        assert record.prediction.source.name == "other.tif"


class TestRepeat:
    def test_gives_the_same_files_to_the_bit(self, run, files: Path, tmp_path: Path):
        answer = run("repeat", files / "result.json", "-o", tmp_path, "--json")
        assert answer.code == 0, answer.err
        assert answer.json["same_to_the_bit"] == {
            "model": True,
            "deconvolved": True,
            "denoised": True,
        }
        assert answer.json["differences"] == answer.json["obstacles"] == []
        for name in ("result.tif", "result_denoised.tif"):
            again, first = read_image(tmp_path / name), read_image(files / name)
            np.testing.assert_array_equal(again.data, first.data)
            assert again.voxel_size == first.voxel_size
        one = RunRecord.read(tmp_path / "model.safetensors")
        assert one.weights_sha256 == RunRecord.read(files / "model.safetensors").weights_sha256
        assert RunRecord.read(tmp_path / "result.json").prediction is not None

    def test_of_a_model_trains_alone(self, run, files: Path, tmp_path: Path):
        answer = run("repeat", files / "model.safetensors", "-o", tmp_path)
        assert answer.code == 0, answer.err
        assert "The model is the same to the bit" in answer.out
        assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]

    def test_images_that_moved_are_named_or_lie_beside(self, run, files: Path, tmp_path: Path):
        moved = tmp_path / "moved"
        moved.mkdir()
        values = json.loads((files / "result.json").read_text("utf-8"))
        for source in (*values["sources"], values["prediction"]["source"]):
            source["origin"]["path"] = "/nowhere/raw.tif"
        (moved / "r.json").write_text(json.dumps(values))
        answer = run("repeat", moved / "r.json", "-o", tmp_path / "out")
        assert answer.code == 2
        assert "raw.tif is not at" in answer.err
        named = run("repeat", moved / "r.json", files / "raw.tif", "-o", tmp_path / "a", "--json")
        (moved / "raw.tif").write_bytes((files / "raw.tif").read_bytes())
        beside = run("repeat", moved / "r.json", "-o", tmp_path / "b", "--json")
        for answer in (named, beside):
            assert all(answer.json["same_to_the_bit"].values())

    def test_other_pixels_are_refused_naming_both(self, run, files: Path, tmp_path: Path):
        answer = run("repeat", files / "result.json", files / "other.tif", "-o", tmp_path)
        assert answer.code == 2
        record = RunRecord.read(files / "result.json")
        for words in ("other.tif", "raw.tif", record.sources[0].sha256[:12]):
            assert words in answer.err
        assert list(tmp_path.iterdir()) == []

    def test_other_versions_are_said(self, run, files: Path, tmp_path: Path):
        values = json.loads((files / "result.json").read_text("utf-8"))
        values["stretches"][0]["versions"]["torch"] = "2.4.0"
        values["weights_sha256"] = "0" * 64
        (tmp_path / "r.json").write_text(json.dumps(values))
        answer = run("repeat", tmp_path / "r.json", "-o", tmp_path / "out", "--json")
        assert answer.code == 0
        assert "was 2.4.0 in the run" in answer.err
        assert "The model is not the same to the bit" in answer.err
        assert answer.json["same_to_the_bit"]["model"] is False

    def test_what_it_would_overwrite_is_refused(self, run, files: Path):
        answer = run("repeat", files / "model.safetensors", "-o", files)
        assert answer.code == 2
        assert "model.safetensors is an input too" in answer.err

    def test_a_channel_and_a_plane_are_found_again(self, run, files: Path, tmp_path: Path):
        sample = simulate("filaments", shape=(72, 72), photons=200, seed=5)
        planes = np.stack([sample.raw, sample.second_exposure])
        path, model = tmp_path / "stack.tif", tmp_path / "model.safetensors"
        pixels = np.stack([planes, planes[:, ::-1]], axis=1)
        write_image(path, pixels, axes="ZCYX", voxel_size=(0.3, *PIXEL))
        chosen = ["--channel", "1", "--plane", "1"]
        assert run("train", path, "-o", model, *OPTICS, *CAMERA, *QUICK, *chosen).code == 0
        # As a layer would have it, which does not say which channel of the file it is.
        record = RunRecord.read(model).to_dict()
        record["sources"][0]["origin"] |= {"channel": None}
        (tmp_path / "r.json").write_text(json.dumps(record))
        answer = run("repeat", tmp_path / "r.json", "-o", tmp_path / "out", "--json")
        assert answer.code == 0, answer.err
        assert answer.json["same_to_the_bit"] == {"model": True}

    def test_raw_sim_frames(self, run, tmp_path: Path):
        sample = simulate_sim("mesh", shape=(64, 64), photons=300, seed=3)
        write_image(tmp_path / "raw.tif", sample.raw, axes="TYX", voxel_size=PIXEL)
        write_image(tmp_path / "gain.tif", np.full((64, 64), 1.1, np.float32), axes="YX")
        sample.patterns.save(tmp_path / "patterns.json")
        camera = ["--offset", "100", "--gain", tmp_path / "gain.tif", "--read-variance", "4"]
        model, result = tmp_path / "model.safetensors", tmp_path / "result.tif"
        answer = run(
            *("sim", "train", tmp_path / "raw.tif", "--patterns", tmp_path / "patterns.json"),
            *("-o", model, *camera, *QUICK),
        )
        assert answer.code == 0, answer.err
        answer = run(
            *("sim", "predict", model, tmp_path / "raw.tif", "-o", result, "--offset", "100"),
            *("--denoised", "--device", "cpu"),
        )
        assert answer.code == 0, answer.err
        answer = run("repeat", tmp_path / "result.json", "-o", tmp_path / "out", "--json")
        assert answer.code == 0, answer.err
        assert answer.json["same_to_the_bit"] == {
            "model": True,
            "deconvolved": True,
            "denoised": True,
        }
        again = read_image(tmp_path / "out" / "result.tif").data
        np.testing.assert_array_equal(again, read_image(result).data)


class TestVerdict:
    def test_goes_into_the_record_of_the_result(self, run, files: Path, tmp_path: Path):
        record = tmp_path / "result.json"
        record.write_bytes((files / "result.json").read_bytes())
        common = ["-m", files / "model.safetensors", "--repeats", "0", "--device", "cpu"]
        answer = run("verdict", files / "raw.tif", *common, "--record", record)
        assert answer.code == 0, answer.err
        kept = RunRecord.read(record)
        assert kept.verdict is not None
        assert kept.prediction is not None
        assert kept.verdict.headline() in answer.out
        answer = run("verdict", files / "other.tif", *common, "--record", record)
        assert answer.code == 2
        assert "other.tif is not the raw.tif" in answer.err

    def test_makes_a_record_where_there_is_none(self, run, files: Path, tmp_path: Path):
        answer = run(
            *("verdict", files / "raw.tif", "-m", files / "model.safetensors", "--repeats", "0"),
            *("--device", "cpu", "--record", tmp_path / "new.json"),
        )
        assert answer.code == 0, answer.err
        assert RunRecord.read(tmp_path / "new.json").verdict is not None

    def test_strict_ends_with_code_3_where_a_measure_failed(self, run, files: Path, tmp_path: Path):
        image = read_image(files / "raw.tif")
        four_times = 100 + 4.0 * (image.data - 100.0)  # sixteen times the variance
        write_image(tmp_path / "loud.tif", four_times, axes="YX", voxel_size=image.voxel_size)
        common = ["-m", files / "model.safetensors", "--repeats", "0", "--device", "cpu"]
        for strict, code in (([], 0), (["--strict"], 3)):
            answer = run("verdict", tmp_path / "loud.tif", *common, *strict)
            assert answer.code == code
            assert "FAILED" in answer.out


class TestInfo:
    def test_says_what_a_record_holds(self, run, files: Path):
        answer = run("info", files / "result.json")
        for words in ("seed 1", "raw.tif", "result.tif", "3 of 3 steps", "to the bit"):
            assert words in answer.out
        assert run("info", files / "result.json", "--json").json["seed"] == 1

    @pytest.mark.parametrize("name", ["model.safetensors", "result.json"])
    def test_writes_the_methods(self, run, files: Path, name: str):
        text = run("info", files / name, "--methods").out
        assert "3 steps" in text
        assert "Qiao, C. et al." in text

    @pytest.mark.parametrize("name", ["raw.tif", "noise.json"])
    def test_writes_none_of_other_files(self, run, files: Path, name: str):
        (files / "noise.json").write_text('{"offset": 100, "gain": 1, "read_variance": 4}')
        answer = run("info", files / name, "--methods")
        assert answer.code == 2
        assert "run record" in answer.err
