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
    assert main([*again, "--no-verdict", "--device", "cpu", *OPTICS]) == 0
    assert "At hand" in capsys.readouterr().out


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
