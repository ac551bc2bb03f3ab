"""`zsdeconvnet run`: one command from a recording to its result, its model and its verdict."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_zsdeconvnet.cli.main import main
from napari_zsdeconvnet.io.image_files import read_image
from napari_zsdeconvnet.io.image_writing import write_image
from napari_zsdeconvnet.model import presets
from napari_zsdeconvnet.simulation.raw_sim import simulate_sim
from napari_zsdeconvnet.simulation.sample import simulate
from napari_zsdeconvnet.workflow.record import RunRecord

PIXEL = 0.0626
OPTICS = ("--na", "1.3", "--wavelength", "0.525")


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch):
    for chosen in (presets.PRESETS, presets.SIM_PRESETS):
        small = replace(chosen["fast"], patch=48, batch=1, steps=3)
        monkeypatch.setitem(chosen, "fast", small)


@pytest.fixture
def cell(tmp_path):
    sample = simulate("filaments", shape=(96, 96), pixel_size=PIXEL)
    path = tmp_path / "cell.tif"
    write_image(path, sample.raw, axes="YX", voxel_size=(PIXEL, PIXEL))
    return path


def test_an_image_becomes_its_result_its_model_and_its_verdict(cell, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["run", str(cell), "-o", str(out), "--json", "--device", "cpu", *OPTICS]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert "NA 1.3" in printed.err
    assert "Offset" in printed.err
    assert {measure["name"] for measure in result["verdict"]["measures"]} >= {"re-blur", "flux"}
    fine = read_image(out / "cell_deconvolved.tif")
    assert fine.data.shape == (192, 192)
    assert fine.voxel_size == pytest.approx((PIXEL / 2, PIXEL / 2))
    record = RunRecord.read(result["record"])
    assert record.prediction.outputs["deconvolved"].file == "cell_deconvolved.tif"
    assert record.prediction.source.name == "cell.tif"
    assert read_image(out / "cell_denoised.tif").voxel_size == pytest.approx((PIXEL, PIXEL))

    again = ["run", str(cell), "-o", str(out), "--model", str(out / "cell_model.safetensors")]
    again.append("--force")
    assert main([*again, "--no-verdict", "--device", "cpu", *OPTICS]) == 0
    assert "Reusing the model" in capsys.readouterr().out


def test_raw_sim_is_reconstructed_on_the_way(tmp_path, capsys):
    sample = simulate_sim("filaments", shape=(96, 96), photons=300)
    write_image(tmp_path / "sim.tif", sample.raw, axes="TYX", voxel_size=(sample.pixel_size,) * 2)
    command = ["run", str(tmp_path / "sim.tif"), "--sim", "-o", str(tmp_path), "--no-verdict"]
    assert main([*command, "--device", "cpu", *OPTICS]) == 0
    assert "3 of 3 orientations" in capsys.readouterr().out
    fine = read_image(tmp_path / "sim_deconvolved.tif")
    assert fine.data.shape == (192, 192)
    assert fine.voxel_size == pytest.approx((sample.pixel_size / 2,) * 2)


def test_planes_of_raw_sim_become_a_volume_that_can_be_repeated(tmp_path, capsys):
    samples = [simulate_sim("filaments", shape=(96, 96), photons=300, seed=seed) for seed in (0, 1)]
    pixel = samples[0].pixel_size
    planes = np.stack([sample.raw for sample in samples])
    raw = tmp_path / "planes.tif"
    write_image(raw, planes, axes="ZCYX", voxel_size=(0.2, pixel, pixel))
    command = ["run", str(raw), "-o", str(tmp_path), "--no-verdict", "--device", "cpu", *OPTICS]
    assert main(command) == 0
    assert "Taken for raw SIM frames" in capsys.readouterr().out
    fine = read_image(tmp_path / "planes_deconvolved.tif")
    assert (fine.axes, fine.data.shape) == ("ZYX", (2, 192, 192))
    assert fine.voxel_size == pytest.approx((0.2, pixel / 2, pixel / 2))
    record = tmp_path / "planes_deconvolved.json"
    assert main(["repeat", str(record), str(raw), "-o", str(tmp_path / "again"), "--json"]) == 0
    repeated = json.loads(capsys.readouterr().out)["same_to_the_bit"]
    assert repeated == {"model": True, "deconvolved": True, "denoised": True}


def test_without_optics_nothing_is_written(cell, tmp_path, capsys):
    assert main(["run", str(cell), "-o", str(tmp_path / "out")]) == 2
    assert "numerical aperture" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_several_images_are_done_one_after_the_other_and_failures_named_at_the_end(
    cell, tmp_path, capsys
):
    (tmp_path / "broken.tif").write_text("no image")
    out = tmp_path / "out"
    quick = ("--no-verdict", "--steps", "0", "--device", "cpu", *OPTICS)
    code = main(["run", str(tmp_path / "*.tif"), "-o", str(out), "--json", *quick])
    printed = capsys.readouterr()
    assert code == 2
    result = json.loads(printed.out)
    assert [one["image"] for one in result["images"]] == [str(cell)]
    assert result["failed"] == [str(tmp_path / "broken.tif")]
    assert "1 of 2 images could not be done" in printed.err
    assert (out / "cell_deconvolved.tif").exists()
    assert not (out / "broken_deconvolved.tif").exists()


def test_results_are_replaced_only_where_it_is_asked_for(cell, tmp_path, capsys):
    command = ["run", str(cell), "-o", str(tmp_path / "out"), "--no-verdict", "--steps", "0"]
    command += ["--device", "cpu", *OPTICS]
    assert main(command) == 0
    written = (tmp_path / "out" / "cell_deconvolved.tif").stat().st_mtime_ns
    assert main(command) == 2
    assert "cell_deconvolved.tif exists: add --force" in capsys.readouterr().err
    assert (tmp_path / "out" / "cell_deconvolved.tif").stat().st_mtime_ns == written
    assert main([*command, "--force"]) == 0


def test_camera_grid_and_start_are_taken_as_train_takes_them(cell, tmp_path):
    out = tmp_path / "out"
    typed = ["--offset", "100", "--gain", "1.5", "--read-variance", "4", "--no-upsample"]
    rest = ["--start", "scratch", "--steps", "2", "--no-verdict", "--device", "cpu", *OPTICS]
    assert main(["run", str(cell), "-o", str(out), *typed, *rest]) == 0
    record = RunRecord.read(out / "cell_deconvolved.json")
    assert (record.noise.gain, record.upsampling) == (1.5, 1)
    assert record.settings["start"] == "scratch"


def test_raw_sim_takes_patterns_that_were_saved(tmp_path, capsys):
    sample = simulate_sim("filaments", shape=(96, 96), photons=300)
    raw = tmp_path / "raw.tif"
    write_image(raw, sample.raw, axes="TYX", voxel_size=(sample.patterns.pixel_size,) * 2)
    sample.patterns.save(tmp_path / "patterns.json")
    command = ["run", str(raw), "-o", str(tmp_path / "out"), "--no-verdict", "--device", "cpu"]
    command += ["--mode", "sim", "--steps", "0", "--wiener", "0.2"]
    assert main([*command, "--patterns", str(tmp_path / "patterns.json")]) == 0
    record = RunRecord.read(tmp_path / "out" / "raw_deconvolved.json")
    assert record.reconstruction["wiener"] == 0.2
    periods = [one["period"] for one in record.reconstruction["patterns"]["orientations"]]
    assert periods == pytest.approx([one.period for one in sample.patterns])


def test_options_of_raw_sim_are_refused_for_an_image(cell, tmp_path, capsys):
    assert main(["run", str(cell), "-o", str(tmp_path), "--wiener", "0.2", *OPTICS]) == 2
    assert "--wiener is for raw SIM frames" in capsys.readouterr().err
