"""OME-Zarr that is wrong: what the shell says of it, before anything is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_zsdeconvnet.simulation.sample import simulate

PIXEL = 0.0626
QUICK = ("--na", "1.3", "--wavelength", "0.525", "--steps", "0", "--device", "cpu")
CAMERA = ("--offset", "100", "--gain", "1", "--read-variance", "4")
SPACE = {"type": "space", "unit": "micrometer"}
AXES = [{"name": "y", **SPACE}, {"name": "x", **SPACE}]


def write(group: Any, pixels: np.ndarray, axes: Any = AXES, scale: Any = None, **ome: Any) -> None:
    """Write an image of one level; a scale of () is none."""
    group.create_array("0", data=pixels, chunks=(*pixels.shape[:-2], 48, 48))
    steps = (1.0,) * (len(axes) - 2) + (PIXEL,) * 2 if scale is None else scale
    along = [{"type": "scale", "scale": list(steps)}] if steps else []
    level = {"path": "0", "coordinateTransformations": along}
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [{"axes": axes, "datasets": [level]}],
        **ome,
    }


@pytest.fixture(scope="module")
def raw() -> np.ndarray:
    return simulate("filaments", shape=(96, 96), pixel_size=PIXEL, photons=200, seed=3).raw


@pytest.fixture
def cells(tmp_path: Path) -> Any:
    return zarr.open_group(tmp_path / "cells.ome.zarr", mode="w")


def test_without_a_scale_the_pixel_size_is_asked_for(run, tmp_path, cells, raw):
    write(cells, raw, scale=())
    out = tmp_path / "out"
    answer = run("run", tmp_path / "cells.ome.zarr", "-o", out, "--no-verdict", *QUICK, *CAMERA)
    assert answer.code == 2
    assert "gives no scale, hence no pixel size, for level 0" in answer.err
    assert "--pixel-size" in answer.err


def test_a_scale_along_channels_is_none_of_the_pixels(run, tmp_path, cells, raw):
    """The one scale of an image holds for all of its channels."""
    axes = [{"name": "c", "type": "channel"}, *AXES]
    write(cells, np.stack([raw, raw]), axes, (3.0, PIXEL, PIXEL))
    said = run("info", tmp_path / "cells.ome.zarr", "--json").json
    assert said["voxel_size_um"] == [PIXEL, PIXEL]


def test_fields_of_another_scale_have_another_model(run, tmp_path, raw):
    plate = plate_of(tmp_path, [raw, raw], scales=[(PIXEL, PIXEL), (0.1, 0.1)])
    answer = run("train", plate, "-o", tmp_path / "m.safetensors", *QUICK, *CAMERA)
    assert answer.code == 2
    assert "different pixel sizes, 0.0626 x 0.0626 µm and 0.1 x 0.1 µm" in answer.err


def test_axes_in_another_order_are_taken_by_their_names(run, tmp_path, cells, raw):
    axes = [*AXES, {"name": "c", "type": "channel"}]
    write(cells, np.stack([raw, raw], axis=-1), axes, (PIXEL, PIXEL, 1.0))
    answer = run("info", tmp_path / "cells.ome.zarr", "--json")
    assert answer.json["axes"] == "CYX"
    assert "its axes are y, x, c, an order that OME-Zarr does not allow" in answer.err


def test_missing_chunks_are_said_and_damaged_ones_end_it(run, tmp_path, cells, raw):
    write(cells, raw)
    (tmp_path / "cells.ome.zarr/0/c/1/1").unlink()
    command = ("run", tmp_path / "cells.ome.zarr", "--no-verdict", *QUICK, *CAMERA)
    answer = run(*command, "-o", tmp_path / "one")
    assert "1 of 4 chunk files are missing (0/c/1/1)" in answer.err
    chunk = tmp_path / "cells.ome.zarr/0/c/0/1"
    chunk.write_bytes(chunk.read_bytes()[:20])
    answer = run(*command, "-o", tmp_path / "two")
    assert answer.code == 2
    assert "the chunk 0/c/0/1 cannot be read" in answer.err
    assert not list((tmp_path / "two").glob("*"))


@pytest.mark.parametrize(
    ("version", "words"), [("0.6", "update napari-zsdeconvnet"), ("0.3", "export it as 0.5")]
)
def test_other_versions_are_named(run, tmp_path, cells, raw, version, words):
    write(cells, raw, version=version)
    answer = run("info", tmp_path / "cells.ome.zarr")
    assert answer.code == 2
    assert f"is OME-Zarr {version}, and 0.4 and 0.5 can be read here; {words}" in answer.err


def test_labels_are_no_counts(run, tmp_path, cells, raw):
    write(cells, raw, **{"image-label": {"version": "0.5"}})
    answer = run("info", tmp_path / "cells.ome.zarr")
    assert answer.code == 2
    assert "holds labels of a segmentation" in answer.err


def plate_of(folder: Path, fields: list[np.ndarray], scales: Any = None) -> Path:
    """Write a plate of one well."""
    plate = zarr.open_group(folder / "plate.ome.zarr", mode="w")
    plate.attrs["ome"] = {"version": "0.5", "plate": {"wells": [{"path": "A/1"}]}}
    well = plate.require_group("A/1")
    images = [{"path": str(number)} for number in range(len(fields))]
    well.attrs["ome"] = {"version": "0.5", "well": {"images": images}}
    for number, pixels in enumerate(fields):
        write(well.create_group(str(number)), pixels, scale=scales and scales[number])
    return folder / "plate.ome.zarr"


def test_fields_of_two_types_are_said(run, tmp_path, raw):
    """A program that writes 8 bits has scaled the counts, and with them the gain."""
    plate = plate_of(tmp_path, [raw, (raw // 2 + 50).astype(np.uint8)])
    model = tmp_path / "model.safetensors"
    words = "A/1/1 holds uint8 and plate.ome.zarr/A/1/0"
    answer = run("train", plate, "-o", model, *QUICK, *CAMERA)
    assert answer.code == 0
    assert words in answer.err
    answer = run("predict", model, plate, "-o", tmp_path / "out", "--device", "cpu")
    assert words in answer.err
