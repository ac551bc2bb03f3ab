"""Scenes of microscope files on the command line: one, all, and the same ones again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_zsdeconvnet.cli.main import main
from napari_zsdeconvnet.io.image_files import read_image
from napari_zsdeconvnet.simulation.sample import simulate
from tests.io.microscope_files import write_nd2

pytest.importorskip("nd2")

CAMERA = ["--offset", "100", "--gain", "1", "--read-variance", "4"]
QUICK = ["--steps", "0", "--device", "cpu"]  # the optics are in the file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recording of two positions, and a model of both."""
    folder = tmp_path_factory.mktemp("scenes")
    sample = simulate("filaments", shape=(80, 96), photons=200, seed=3)
    scenes = np.stack([sample.raw, sample.second_exposure])
    write_nd2(folder / "cells.nd2", scenes[:, None, None, None].round().astype(np.uint16))
    cells, model = str(folder / "cells.nd2"), str(folder / "model.safetensors")
    assert main(["train", cells, "--scene", "all", "-o", model, *QUICK, *CAMERA]) == 0
    return folder


def test_info_lists_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(folder / "cells.nd2"), "--scene", "A2", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["scenes"] == ["A1", "A2"]
    assert main(["info", str(folder / "cells.nd2"), "--scene", "all"]) == 2
    assert main(["info", str(folder / "cells.nd2"), "--scene", "A3"]) == 2
    assert "has 2 scenes (0: A1, 1: A2)" in capsys.readouterr().err


def test_a_model_learns_from_all(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["repeat", str(folder / "model.safetensors"), "-o", str(folder / "again")]) == 0
    assert "same to the bit" in capsys.readouterr().out


def test_predict_writes_one_result_for_each(folder: Path, tmp_path: Path) -> None:
    cells, model = str(folder / "cells.nd2"), str(folder / "model.safetensors")
    assert main(["predict", model, cells, "--scene", "all", "-o", str(tmp_path)]) == 0
    assert main(["predict", model, cells, "--scene", "1", "-o", str(tmp_path / "b.tif")]) == 0
    written = sorted(path.name for path in tmp_path.glob("*_deconvolved.tif"))
    assert written == ["cells_A1_deconvolved.tif", "cells_A2_deconvolved.tif"]
    first, second = (read_image(tmp_path / name).data for name in written)
    assert not np.array_equal(first, second)
    assert np.array_equal(read_image(tmp_path / "b.tif").data, second)
    record = json.loads((tmp_path / "cells_A2_deconvolved.json").read_text("utf-8"))
    assert record["prediction"]["source"]["origin"]["scene"] == 1


def test_run_does_one_after_the_other(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = tmp_path / "moved.nd2"
    shutil.copy(folder / "cells.nd2", moved)
    options = ["--scene", "all", "--no-verdict", *QUICK, *CAMERA]
    assert main(["run", str(moved), "-o", str(tmp_path / "out"), *options]) == 0
    assert "moved.nd2 (A2) -> " in capsys.readouterr().out
    assert (tmp_path / "out" / "moved_A1_model.safetensors").exists()
    record = str(tmp_path / "out" / "moved_A2_deconvolved.json")
    assert main(["repeat", record, "-o", str(tmp_path / "again")]) == 0
    assert "deconvolved image is the same to the bit" in capsys.readouterr().out


def test_one_output_for_several_scenes(folder: Path, tmp_path: Path) -> None:
    cells, model = str(folder / "cells.nd2"), str(folder / "model.safetensors")
    for output in ("out.tif", "out.ome.zarr"):
        line = ["predict", model, cells, "--scene", "all", "-o", str(tmp_path / output)]
        assert main(line) == 2
        assert not (tmp_path / output).exists()
