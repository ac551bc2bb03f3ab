"""`zsdeconvnet run` of a recording with channels."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_zsdeconvnet.cli.main import main
from napari_zsdeconvnet.io.image_files import read_image
from napari_zsdeconvnet.io.image_writing import write_image
from napari_zsdeconvnet.model.model import Model
from napari_zsdeconvnet.simulation.sample import simulate
from napari_zsdeconvnet.workflow.record import RunRecord

PIXEL = 0.0626
QUICK = ("--steps", "0", "--no-verdict", "--device", "cpu", "--na", "1.3", "--seed", "1")
CAMERA = ("--offset", "100", "--gain", "1", "--read-variance", "4")


@pytest.fixture
def cell(tmp_path):
    pixels = [
        simulate(kind, shape=(64, 72), pixel_size=PIXEL, wavelength=wavelength).raw
        for kind, wavelength in (("filaments", 0.461), ("vesicles", 0.605))
    ]
    path = tmp_path / "cell.ome.tif"
    write_image(
        path,
        np.stack(pixels),
        axes="CYX",
        voxel_size=(PIXEL, PIXEL),
        channel_names=("DAPI", "m/Cherry"),
    )
    return path


def run(cell, folder, *more):
    return main(["run", str(cell), "-o", str(folder), *QUICK, *more])


def test_results_hold_all_channels_and_each_has_its_model_and_record(cell, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(cell, out, "--wavelengths", "0.461,0.605", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert [one["pixels"] for one in said["shifts"]] == [None]
    fine = read_image(out / "cell_deconvolved.ome.tif")
    assert (fine.axes, fine.data.shape) == ("CYX", (2, 128, 144))
    assert fine.channel_names == ("DAPI", "m/Cherry")
    assert fine.voxel_size == pytest.approx((PIXEL / 2, PIXEL / 2))
    assert read_image(out / "cell_denoised.ome.tif").axes == "CYX"
    names = {"deconvolved.ome.tif", "denoised.ome.tif"}
    names |= {f"model_{one}.safetensors" for one in ("DAPI", "m_Cherry")}
    names |= {f"deconvolved.ome_{one}.json" for one in ("DAPI", "m_Cherry")}
    assert {path.name for path in out.iterdir()} == {f"cell_{name}" for name in names}
    for channel, emission in zip(said["channels"], ("461 nm", "605 nm"), strict=True):
        record = RunRecord.read(channel["record"])
        assert record.prediction.source.origin.channel == channel["channel"]
        assert emission in Model.load(channel["model"]).psf.source


def test_a_record_of_one_channel_is_repeated(cell, tmp_path, capsys):
    assert run(cell, tmp_path, "--wavelengths", "0.461,0.605") == 0
    record = str(tmp_path / "cell_deconvolved.ome_DAPI.json")
    assert main(["repeat", record, "-o", str(tmp_path / "again")]) == 0
    assert "the same" in capsys.readouterr().out


def test_a_channel_may_stay_as_it_is(cell, tmp_path):
    assert run(cell, tmp_path, "--wavelengths", "0.461,0.605", "--channels", "1") == 0
    denoised = read_image(tmp_path / "cell_denoised.ome.tif").data
    np.testing.assert_array_equal(denoised[0], read_image(cell).data[0])
    assert not (tmp_path / "cell_model_DAPI.safetensors").exists()
    assert (tmp_path / "cell_model_m_Cherry.safetensors").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--wavelength", "0.5"), "--wavelengths, one for each"),
        (("--wavelengths", "0.5"), "has 1 lengths, and cell.ome.tif has 2 channels"),
        (("--wavelengths", "0.5,0.6", "--wavelength", "0.5"), "both given"),
        (("--wavelengths", "0.5,0.6", "--channels", "4"), "has 2 channels, counted from 0"),
        (("--wavelengths", "0.5,0.6", "--out-of-focus"), "--out-of-focus is for one channel"),
    ],
)
def test_options_that_do_not_suit_channels_are_refused(cell, tmp_path, capsys, options, words):
    before = set(tmp_path.iterdir())
    assert run(cell, tmp_path, *options) == 2
    assert words in capsys.readouterr().err
    assert set(tmp_path.iterdir()) == before


def test_one_of_them_may_still_be_chosen(cell, tmp_path):
    assert run(cell, tmp_path, "--channel", "1", "--wavelength", "0.605") == 0
    assert read_image(tmp_path / "cell_deconvolved.ome.tif").axes == "YX"


def test_a_channel_that_cannot_be_done_is_named(cell, tmp_path, capsys):
    pixels = np.asarray(read_image(cell).data).copy()
    pixels[1] = 100
    write_image(cell, pixels, axes="CYX", voxel_size=(PIXEL, PIXEL), channel_names=("a", "b"))
    assert run(cell, tmp_path / "out", "--wavelengths", "0.461,0.605", *CAMERA) == 2
    said = capsys.readouterr().err
    assert "channel 1 (b): cell.ome.tif is constant, every pixel being 100" in said
    assert "To leave this channel as it is, add --channels 0." in said
    assert not list((tmp_path / "out").iterdir())
