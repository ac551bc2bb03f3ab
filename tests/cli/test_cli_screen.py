"""`zsdeconvnet run` of many images: plates, shared models, clusters, tables, going on."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_zsdeconvnet.cli.main import main
from napari_zsdeconvnet.io.image_files import read_image
from napari_zsdeconvnet.io.image_writing import write_image
from napari_zsdeconvnet.model import presets
from napari_zsdeconvnet.simulation.sample import simulate
from napari_zsdeconvnet.workflow.record import RunRecord

zarr = pytest.importorskip("zarr")
distributed = pytest.importorskip("distributed")

PIXEL = 0.0626
OPTICS = ("--na", "1.3", "--wavelength", "0.525", "--seed", "1", "--device", "cpu")
QUICK = (*OPTICS, "--no-verdict")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setenv("ZSDECONVNET_THREADS", "1")
    if "slow" in request.keywords:
        return  # its processes have the usual preset
    small = replace(presets.PRESETS["fast"], patch=48, batch=1, steps=3)
    monkeypatch.setitem(presets.PRESETS, "fast", small)


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wells A/1 and A/2 of other types of numbers, B/1 ten times as bright, C/1 not acquired."""
    plate = tmp_path_factory.mktemp("screen") / "plate.ome.zarr"
    group = zarr.open_group(plate, mode="w")
    wells = {"A/1": ("u2", 50), "A/2": ("f4", 50), "B/1": ("u2", 500), "C/1": ("", 0)}
    described: dict[str, Any] = {"wells": [{"path": well} for well in wells]}
    group.attrs["ome"] = {"version": "0.5", "plate": described}
    space = {"type": "space", "unit": "micrometer"}
    scale = [{"type": "scale", "scale": [PIXEL, PIXEL]}]
    pyramid = {
        "axes": [{"name": name, **space} for name in "yx"],
        "datasets": [{"path": "0", "coordinateTransformations": scale}],
    }
    for seed, (well, (dtype, photons)) in enumerate(wells.items()):
        if not dtype:
            continue
        fields: dict[str, Any] = {"images": [{"path": str(number)} for number in range(2)]}
        group.create_group(well).attrs["ome"] = {"version": "0.5", "well": fields}
        for number in range(2):
            sample = simulate(
                "filaments",
                shape=(96, 96),
                pixel_size=PIXEL,
                photons=photons,
                seed=2 * seed + number,
            )
            field = group.create_group(f"{well}/{number}")
            field.create_array("0", data=sample.raw.round().clip(0).astype(dtype))
            field.attrs["ome"] = {"version": "0.5", "multiscales": [pyramid]}
    return plate


@pytest.fixture
def scheduler() -> Iterator[str]:
    """A cluster of two workers in this process."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None,
        protocol="tcp://",
    ) as cluster:  # fmt: skip
        yield cluster.scheduler_address


def pixels(folder: Path) -> dict[str, np.ndarray]:
    return {
        path.name: np.asarray(read_image(path).data)
        for path in folder.glob("*_deconvolved.ome.tif")
    }


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "screen.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_plate_is_the_same_on_a_cluster_and_one_model_serves_fields_that_are_alike(
    plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], scheduler: str
):
    here, there = tmp_path / "here", tmp_path / "there"
    assert main(["run", str(plate), "-o", str(here), *QUICK]) == 2, "a well is missing"
    printed = capsys.readouterr()
    assert "6 of 7 images done. Models trained: 2." in printed.out
    assert "Reusing the model trained for 3 steps" in printed.out
    line = ["run", str(plate), "-o", str(there), "--scheduler", scheduler, "--json", *QUICK]
    assert main(line) == 2
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert result["failed"] == [f"{plate} (C_1_0)"]
    assert [Path(one["record"]).name for one in result["images"]] == [
        f"plate_{well}_{field}_deconvolved.ome.json" for well in ("A_1", "A_2", "B_1")
        for field in (0, 1)
    ]  # fmt: skip
    last = printed.err.strip().splitlines()[-2:]
    assert "plate.ome.zarr/C/1/0 does not exist" in last[0]
    assert "1 of 7 images could not be done" in last[1]
    one, other = pixels(here), pixels(there)
    assert one.keys() == other.keys()
    assert len(one) == 6
    for name, image in one.items():
        np.testing.assert_array_equal(image, other[name])
    for folder in (here, there):
        rows = table(folder)
        assert [row["trained_on"][-6:-1] for row in rows] == ["A_1_0"] * 4 + ["B_1_0"] * 2 + [""]
        assert "light is" in rows[4]["why"]
        assert [row["state"] for row in rows] == ["done"] * 6 + ["failed"]
        weights = {RunRecord.read(row["record"]).weights_sha256 for row in rows[:4]}
        assert len(weights) == 1
    assert not [name for name in os.listdir(there) if name.startswith(".")]


def test_what_is_done_is_left_out_and_other_options_are_refused(
    plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    line = ["run", str(plate), "-o", str(out), *QUICK]
    assert main(line) == 2
    whole = pixels(out)
    kept = out / "plate_A_1_0_deconvolved.ome.tif"
    written = kept.stat().st_mtime_ns
    for name in ("plate_A_1_1_deconvolved.ome.json", "plate_B_1_0_deconvolved.ome.tif"):
        (out / name).unlink()
    assert main(line) == 2
    assert "exists: add --force" in capsys.readouterr().err
    assert main([*line, "--skip-done"]) == 2
    printed = capsys.readouterr()
    assert "4 of 7 recordings are done already." in printed.out
    assert "[7/7]" in printed.out
    assert kept.stat().st_mtime_ns == written
    for name, image in pixels(out).items():
        np.testing.assert_array_equal(image, whole[name])
    assert main([*line, "--skip-done", "--steps", "1"]) == 2
    assert "exists: add --force" in capsys.readouterr().err
    assert kept.stat().st_mtime_ns == written


def test_each_has_a_model_of_its_own_where_that_is_asked_for(plate: Path, tmp_path: Path):
    assert main(["run", f"{plate}/A/1", "-o", str(tmp_path), "--train-each", *QUICK]) == 0
    rows = table(tmp_path)
    assert [row["trained_on"] for row in rows] == [row["recording"] for row in rows]


def test_images_with_channels_share_no_model_and_are_gone_on_with(
    tmp_path: Path, scheduler: str, capsys: pytest.CaptureFixture[str]
):
    raw = [
        simulate("filaments", shape=(96, 96), pixel_size=PIXEL, seed=seed).raw for seed in (0, 1)
    ]
    for name in ("a.tif", "b.tif"):
        write_image(tmp_path / name, np.stack(raw), axes="CYX", voxel_size=(PIXEL, PIXEL))
    out = tmp_path / "out"
    line = ["run", str(tmp_path / "*.tif"), "-o", str(out), "--scheduler", scheduler, *QUICK]
    line[line.index("--wavelength") : line.index("--wavelength") + 2] = ["--wavelengths", "0.5,0.6"]
    assert main(line) == 0
    assert [row["trained_on"][-5:] for row in table(out)] == ["a.tif", "b.tif"]
    (out / "b_deconvolved.tif").unlink()
    assert main([*line, "--skip-done"]) == 0
    assert "1 of 2 recordings are done already." in capsys.readouterr().out
    assert (out / "b_deconvolved.tif").exists()
    assert (out / "b_model_channel_1.safetensors").exists()


def test_what_needs_a_look_is_in_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    sample = simulate("filaments", shape=(96, 96), pixel_size=PIXEL)
    for name in ("a.tif", "b.tif"):
        write_image(tmp_path / name, sample.raw, axes="YX", voxel_size=(PIXEL, PIXEL))
    wrong = ("--offset", "60", "--gain", "1", "--read-variance", "4")
    line = ["run", str(tmp_path / "*.tif"), "-o", str(tmp_path / "out"), *OPTICS, *wrong]
    assert main(line) == 0
    (first, second) = table(tmp_path / "out")
    assert first["verdict"] == second["verdict"] == "needs a look"
    assert f"Needs a look: {tmp_path / 'a.tif'} ({first['failed_measures']})" in (
        capsys.readouterr().out
    )


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_ended_by_ctrl_c_it_is_gone_on_with_by_any_number_of_workers(plate: Path, tmp_path: Path):
    options = ["run", str(plate), *QUICK, "--train-each", "--steps", "8"]
    out, whole = tmp_path / "out", tmp_path / "whole"
    command = [sys.executable, "-m", "napari_zsdeconvnet.cli.main", *options, "--workers", "2"]
    with subprocess.Popen(
        [*command, "-o", str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for said in process.stdout:
            if said.startswith("[2/7]"):
                os.killpg(process.pid, signal.SIGINT)
        assert process.stderr is not None
        end = process.stderr.read()
    assert process.returncode == 130
    assert "Traceback" not in end
    assert "of 7 images are done, and --skip-done goes on with the others" in end
    assert not [name for name in os.listdir(out) if name.startswith(".")]
    assert 1 <= len(pixels(out)) < 6
    assert main([*options, "-o", str(out), "--skip-done"]) == 2
    assert main([*options, "-o", str(whole)]) == 2
    one, other = pixels(out), pixels(whole)
    assert len(one) == 6
    for name, image in one.items():
        np.testing.assert_array_equal(image, other[name])
