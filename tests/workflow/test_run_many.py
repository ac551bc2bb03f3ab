"""`zs.run_many`: what it writes, and that any client gives the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import distributed
import numpy as np
import pytest

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.model import presets
from tests.refusals import refused

PIXEL = 0.0626


@pytest.fixture
def fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two images that are alike, one with two channels, and one that is none."""
    small = replace(presets.PRESETS["fast"], patch=48, batch=1, steps=2)
    monkeypatch.setitem(presets.PRESETS, "fast", small)
    monkeypatch.setenv("ZSDECONVNET_THREADS", "1")
    raw = [
        zs.simulate("filaments", shape=(96, 96), pixel_size=PIXEL, seed=seed).raw for seed in (0, 1)
    ]
    for name, pixels, axes in (("a", raw[0], "YX"), ("b", raw[1], "YX"), ("c", raw, "CYX")):
        zs.write_image(
            tmp_path / f"{name}.tif", np.asarray(pixels), axes=axes, voxel_size=(PIXEL, PIXEL)
        )
    (tmp_path / "d.tif").write_text("no image")
    monkeypatch.chdir(tmp_path)
    return tmp_path


NAMES = ["a.tif", "b.tif", "c.tif", "d.tif"]
SETTINGS = {
    "microscope": zs.Microscope(1.3, 0.525),
    "seed": 1,
    "judged": False,
    "device": "cpu",
}


def test_any_client_gives_the_same(fields: Path):
    told: list[str] = []
    rows = zs.run_many(NAMES, "here", ended=lambda row: told.append(row.recording), **SETTINGS)
    assert [row.state for row in rows] == ["done", "done", "done", "failed"]
    assert [row.trained_on for row in rows] == ["a.tif", "a.tif", "c.tif", ""]
    assert sorted(told) == NAMES
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        again = zs.run_many(NAMES, "there", client=client, **SETTINGS)
    for one, other in zip(rows, again, strict=True):
        assert (one.recording, one.trained_on, one.error) == (
            other.recording,
            other.trained_on,
            other.error,
        )
        if one.files:
            pixels = [zs.read_image(row.files["deconvolved"]).data for row in (one, other)]
            np.testing.assert_array_equal(*pixels)
    files = {path.name.removeprefix("c_") for path in Path("here").glob("c_*")}
    assert files == {"deconvolved.tif", "denoised.tif"} | {
        f"{kind}_channel_{number}.{suffix}"
        for number in (0, 1)
        for kind, suffix in (("model", "safetensors"), ("deconvolved", "json"))
    }
    record = zs.RunRecord.read("here/a_deconvolved.json")
    assert record.prediction is not None
    assert record.prediction.outputs["deconvolved"].file == "a_deconvolved.tif"


def test_results_are_replaced_or_left_out_where_that_is_asked_for(fields: Path):
    zs.run_many(["a.tif", "b.tif"], "out", **SETTINGS)
    with refused("output-exists"):
        zs.run_many(["a.tif"], "out", **SETTINGS)
    Path("out/a_deconvolved.json").unlink()
    (row,) = zs.run_many(["a.tif", "b.tif"], "out", skip_done=True, **SETTINGS)
    assert (row.recording, row.trained_on) == ("a.tif", "a.tif")
    with refused("output-exists"):
        zs.run_many(["a.tif"], "out", skip_done=True, **{**SETTINGS, "seed": 2})
    (row,) = zs.run_many(["a.tif"], "out", force=True, shared=False, **SETTINGS)
    assert row.state == "done"


def test_a_plate_is_its_fields(fields: Path):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group("plate.ome.zarr", mode="w")
    group.attrs["ome"] = {"version": "0.5", "plate": {"wells": [{"path": "A/1"}]}}
    rows = zs.run_many("plate.ome.zarr", "out", **SETTINGS)
    assert [(row.recording, row.failed) for row in rows] == [("plate.ome.zarr/A/1/0", True)]
    assert "does not exist" in rows[0].error
    with refused("output-is-input"):
        zs.run_many("plate.ome.zarr", "plate.ome.zarr/results", **SETTINGS)
    with refused("output-address"):
        zs.run_many("plate.ome.zarr", "s3://bucket/results", **SETTINGS)
    assert not {Path("plate.ome.zarr/results"), Path("s3:")} & {*Path().rglob("*")}
