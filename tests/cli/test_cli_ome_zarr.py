from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_zsdeconvnet.cli.main import main
from napari_zsdeconvnet.io.image_files import read_image
from napari_zsdeconvnet.io.image_writing import write_image
from napari_zsdeconvnet.simulation.sample import simulate

PIXEL = 0.0626
CAMERA = ["--offset", "100", "--gain", "1", "--read-variance", "4"]
OPTICS = ["--na", "1.3", "--wavelength", "0.525", "--steps", "0", "--device", "cpu"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two channels of an image as OME-Zarr, and a model of the first."""
    folder = tmp_path_factory.mktemp("zarr")
    sample = simulate("filaments", shape=(80, 96), photons=200, seed=3)
    pixels = np.stack([sample.raw, sample.second_exposure])
    group = zarr.open_group(folder / "cells.ome.zarr", mode="w")
    group.create_array("0", data=pixels, chunks=(1, 64, 64))
    unit: Any = {"type": "space", "unit": "micrometer"}
    steps = [{"type": "scale", "scale": [1, PIXEL, PIXEL]}]
    described = {
        "axes": [{"name": "c", "type": "channel"}, {"name": "y", **unit}, {"name": "x", **unit}],
        "datasets": [{"path": "0", "coordinateTransformations": steps}],
    }
    channels = [{"label": "Actin", "color": "00FF00"}, {"label": "DNA", "color": "0000FF"}]
    ome = {"version": "0.5", "multiscales": [described], "omero": {"channels": channels}}
    group.attrs["ome"] = ome
    cells, model = str(folder / "cells.ome.zarr"), str(folder / "model.safetensors")
    assert main(["train", cells, "--channel", "0", "-o", model, *OPTICS, *CAMERA]) == 0
    return folder


def test_info_says_what_it_holds(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["info", str(folder / "cells.ome.zarr"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["axes"] == "CYX"
    assert said["channels"] == ["Actin", "DNA"]
    assert said["voxel_size_um"] == [PIXEL, PIXEL]
    assert main(["info", (folder / "cells.ome.zarr").as_uri(), "--level", "1"]) == 2
    assert "cells.ome.zarr has 1 level, counted from 0" in capsys.readouterr().err


def test_one_channel_is_chosen(folder: Path, capsys: pytest.CaptureFixture[str]):
    cells, model = str(folder / "cells.ome.zarr"), str(folder / "model.safetensors")
    assert main(["predict", model, cells, "-o", str(folder / "out.tif")]) == 2
    assert "cells.ome.zarr has 2 channels" in capsys.readouterr().err
    assert not (folder / "out.tif").exists()


def test_predict_and_run_take_it(folder: Path):
    cells, model = str(folder / "cells.ome.zarr"), str(folder / "model.safetensors")
    predicted, ran = folder / "predicted.tif", folder / "run.tif"
    on = [cells, "--channel", "1"]
    assert main(["predict", model, *on, "-o", str(predicted), "--device", "cpu"]) == 0
    assert main(["run", *on, "--model", model, "--no-verdict", "-o", str(ran), *OPTICS]) == 0
    one, other = read_image(predicted), read_image(ran)
    assert one.data.shape == other.data.shape == (160, 192)
    assert one.voxel_size == pytest.approx((PIXEL / 2, PIXEL / 2))
    np.testing.assert_array_equal(one.data, other.data)
    record = json.loads(predicted.with_suffix(".json").read_text())
    assert record["prediction"]["source"]["origin"]["channel"] == 1


def test_predict_writes_it(folder: Path, capsys: pytest.CaptureFixture[str]):
    model, out = str(folder / "model.safetensors"), folder / "out.ome.zarr"
    command = [
        "predict",
        model,
        str(folder / "cells.ome.zarr"),
        "--channel",
        "1",
        "--device",
        "cpu",
    ]
    assert main([*command, "--denoised", "-o", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["images"][0]
    assert said["denoised"] == str(folder / "out_denoised.ome.zarr")
    assert main([*command, "-o", str(folder / "tiles.tif")]) == 0
    result = read_image(out)
    np.testing.assert_array_equal(result.data[0], read_image(folder / "tiles.tif").data)
    assert result.channel_names == ("DNA",)
    assert read_image(said["denoised"]).data.shape == (1, 80, 96)
    assert main(["info", "--methods", said["record"]]) == 0
    capsys.readouterr()
    assert main(["repeat", said["record"], "-o", str(folder / "again"), "--json"]) == 0
    same = json.loads(capsys.readouterr().out)["same_to_the_bit"]
    assert same == {"model": True, "deconvolved": True, "denoised": True}
    capsys.readouterr()
    for options, problem in (
        ([], "out.ome.zarr exists: replace it with --force, or write to another name"),
        (["--force", "--resume"], "There is no unfinished run to go on with"),
        (["--repeats", "2"], "--repeats cannot be had with an OME-Zarr output"),
    ):
        assert main([*command, "-o", str(out), *options]) == 2
        assert problem in capsys.readouterr().err
    assert main([*command, "-o", str(folder / "new.tif"), "--workers", "2"]) == 2
    assert "--workers is for an output that is an OME-Zarr" in capsys.readouterr().err
    inside = str(folder / "cells.ome.zarr" / "out.ome.zarr")
    assert main([*command, "-o", inside]) == 2
    assert "is the input or lies in it" in capsys.readouterr().err


def test_run_writes_it_for_one_channel_and_repeats_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    out = folder / "ran.ome.zarr"
    quick = [str(folder / "cells.ome.zarr"), "--no-verdict", *OPTICS, *CAMERA]
    on = ["run", "--channel", "0", *quick, "-o", str(out)]
    assert main(on) == 0
    fine, denoised = read_image(out), read_image(folder / "ran_denoised.ome.zarr")
    assert (fine.axes, fine.channel_names, fine.display[0].colour) == ("CYX", ("Actin",), "00FF00")
    assert fine.position == pytest.approx((0, -PIXEL / 4, -PIXEL / 4))
    assert denoised.data.shape == (1, 80, 96)
    capsys.readouterr()
    record = str(folder / "ran.ome.json")
    assert main(["repeat", record, "-o", str(folder / "ran_again"), "--json"]) == 0
    assert all(json.loads(capsys.readouterr().out)["same_to_the_bit"].values())
    assert main(on) == 2
    assert "ran.ome.zarr exists" in capsys.readouterr().err
    assert main([*on, "--force"]) == 0


def test_run_writes_all_channels_into_one_pyramid(folder: Path):
    both = ["run", str(folder / "cells.ome.zarr"), "--no-verdict", *OPTICS[:2], *OPTICS[4:]]
    both += [*CAMERA, "--wavelengths", "0.525,0.605", "-o", str(folder / "both")]
    assert main([*both, "--format", "ome-zarr"]) == 0
    fine = read_image(folder / "both" / "cells_deconvolved.ome.zarr")
    assert (fine.axes, fine.data.shape) == ("CYX", (2, 160, 192))
    assert fine.channel_names == ("Actin", "DNA")
    assert [one.colour for one in fine.display] == ["00FF00", "0000FF"]
    assert not list((folder / "both").glob("*.tif"))


def test_outputs_that_cannot_be_written(folder: Path, capsys: pytest.CaptureFixture[str]):
    cells, model = str(folder / "cells.ome.zarr"), str(folder / "model.safetensors")
    on = [cells, "--channel", "0", "-o"]
    for command, problem in (
        (["predict", model, *on, str(folder / "out.ozx")], "would be a zip file"),
        (["run", *on, str(folder / "out.zarr.zip"), *OPTICS], "would be a zip file"),
        (["run", *on, str(folder / "cells.ome.zarr" / "a.ome.zarr"), *OPTICS], "lies in it"),
        (["sim", "reconstruct", cells, "-o", str(folder / "a.ome.zarr")], "run and predict alone"),
    ):
        before = set(folder.iterdir())
        assert main(command) == 2
        assert problem in capsys.readouterr().err
        assert set(folder.iterdir()) == before


def test_fields_that_were_not_acquired_leave_the_others(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    model, plate = str(folder / "model.safetensors"), tmp_path / "plate.ome.zarr"
    group = zarr.open_group(plate, mode="w", zarr_format=3)
    group.attrs["ome"] = {"version": "0.5", "plate": {"wells": [{"path": "A/1"}, {"path": "B/1"}]}}
    fields = {"version": "0.5", "well": {"images": [{"path": str(n)} for n in range(2)]}}
    group.create_group("B/1").attrs["ome"] = fields
    write_image(plate / "B/1/1.zarr", np.asarray(read_image(folder / "cells.ome.zarr").data[0]),
                axes="YX", voxel_size=(0.0626, 0.0626))  # fmt: skip
    (plate / "B/1/1.zarr").rename(plate / "B/1/1")
    on = ["predict", model, str(plate), "--channel", "0", "-o"]
    assert main([*on, str(plate / "results")]) == 2
    assert "lies in the input" in capsys.readouterr().err
    assert not (plate / "results").exists()
    (tmp_path / "broken.zarr").mkdir()
    (tmp_path / "broken.zarr/.zgroup").write_text("{")
    on.insert(2, str(tmp_path / "broken.zarr"))
    assert main([*on, str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "plate.ome.zarr/A/1/0 does not exist" in said
    assert "3 of 4 images could not be read" in said
    assert [path.name for path in (tmp_path / "out").glob("*.tif")] == [
        "plate_B_1_1_deconvolved.ome.tif"
    ]
