"""Maps and excess noise of a camera from the shell: measured, given, kept and used."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_zsdeconvnet.model.model import Model
from napari_zsdeconvnet.noise.camera_maps import CameraMaps
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.simulation.sample import camera, simulate

SHAPE = (80, 96)
CHIP = (110, 120)
START = (20, 10)


def chip() -> CameraMaps:
    rng = np.random.default_rng(0)
    offset = 100 + rng.normal(0, 4, CHIP[1]) + rng.normal(0, 2, CHIP)
    gain = 1.25 * np.exp(rng.normal(0, 0.1, CHIP))
    return CameraMaps(offset, gain, 4 * np.exp(rng.normal(0, 0.7, CHIP)))


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("camera")
    maps, rng = chip(), np.random.default_rng(1)
    tifffile.imwrite(folder / "offset.tif", maps.offset)
    tifffile.imwrite(folder / "gain.tif", maps.gain)
    np.save(folder / "variance.npy", maps.read_variance)
    part = maps.part(START, SHAPE)
    light = simulate(shape=SHAPE, photons=60, seed=1).noise_free / 1.25
    counts = part.offset + part.gain * rng.poisson(light)
    counts += rng.normal(0, np.sqrt(part.read_variance))
    tifffile.imwrite(folder / "cells.tif", np.round(counts).astype(np.uint16))
    dark = maps.offset + rng.normal(0, np.sqrt(maps.read_variance), (60, *CHIP))
    tifffile.imwrite(folder / "dark.tif", np.round(dark).astype(np.uint16))
    return folder


def maps_options(folder: Path) -> tuple[str | Path, ...]:
    return (
        *("--offset-map", folder / "offset.tif", "--gain-map", folder / "gain.tif"),
        *("--variance-map", folder / "variance.npy", "--map-start", "20,10"),
    )


def training(folder: Path, *options: str | Path) -> tuple[str | Path, ...]:
    return (
        *("train", folder / "cells.tif", "--pixel-size", "0.0626", "--na", "1.3"),
        *("--wavelength", "0.525", "--steps", "1", "--seed", "0", "--device", "cpu", *options),
    )


def test_a_dark_stack_becomes_maps(files, run, tmp_path):
    answer = run("calibrate", files / "dark.tif", "--dark", "--write-maps", tmp_path, "--json")
    assert answer.code == 0, answer.err
    written = answer.json["maps"]
    offset, variance = (tifffile.imread(written[name]) for name in ("offset", "variance"))
    assert np.std(offset - chip().offset) < 0.4
    assert np.corrcoef(np.log(variance).ravel(), np.log(chip().read_variance).ravel())[0, 1] > 0.9
    refused = run("calibrate", files / "cells.tif", "--write-maps", tmp_path)
    assert refused.code == 2
    assert "--dark" in refused.err


def test_training_and_prediction_use_the_part_that_was_read_out(files, run, tmp_path):
    model, result = tmp_path / "m.safetensors", tmp_path / "r.tif"
    answer = run(*training(files, *maps_options(files), "-o", model))
    assert answer.code == 0, answer.err
    part = chip().part(START, SHAPE)
    kept = Model.load(model).maps
    assert kept is not None
    np.testing.assert_array_equal(kept.gain, part.gain)
    np.testing.assert_array_equal(kept.read_variance, part.read_variance)
    assert (
        run("predict", model, files / "cells.tif", "-o", result, "--pixel-size", "0.0626").code == 0
    )
    same = tmp_path / "same.tif"
    again = run(
        *("predict", model, files / "cells.tif", "-o", same, "--pixel-size", "0.0626"),
        *maps_options(files),
    )
    assert again.code == 0, again.err
    np.testing.assert_array_equal(tifffile.imread(result), tifffile.imread(same))
    record = json.loads((tmp_path / "same.json").read_text())
    assert record["prediction"]["camera"]["offset"]["shape"] == list(SHAPE)
    judged = [
        run(
            *("verdict", files / "cells.tif", "-m", model, "--pixel-size", "0.0626"),
            *("--repeats", "0", "--device", "cpu", "--json", *maps),
        )
        for maps in ((), maps_options(files), ("--offset-map", files / "offset.tif"))
    ]
    assert judged[0].json["measures"] == judged[1].json["measures"]
    assert judged[2].code == 2
    assert "maps are (110, 120)" in judged[2].err
    repeated = run("repeat", tmp_path / "same.json", "-o", tmp_path / "again", "--json")
    assert repeated.code == 0, repeated.err
    assert repeated.json["same_to_the_bit"] == {"model": True, "deconvolved": True}


def test_what_maps_do_not_say_is_measured_on_the_evened_image(files, run, tmp_path):
    model = tmp_path / "m.safetensors"
    options = ("--offset-map", files / "offset.tif", "--map-start", "20,10", "-o", model)
    answer = run(*training(files, *options))
    assert answer.code == 0, answer.err
    noise = Model.load(model).noise
    assert noise.offset == pytest.approx(100, abs=1)
    assert noise.gain == pytest.approx(1.25, rel=0.3)
    assert "one image" in noise.source
    assert "maps of offset" in noise.source


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--offset-map", "offset.tif"), "maps are (110, 120)"),
        (("--offset-map", "offset.tif", "--map-start", "40,10"), "does not lie in maps"),
        (
            ("--offset-map", "offset.tif", "--map-start", "20,10", "--offset", "100"),
            "one of the two",
        ),
        (("--map-start", "20,10"), "does nothing without a map"),
        (("--offset-map", "none.tif"), "none.tif"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_to_do(files, run, options, words):
    full = [files / text if text.endswith(".tif") else text for text in options]
    answer = run(*training(files, *full))
    assert answer.code == 2
    assert words in answer.err


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [("--map-start", "20", "write them as Y,X"), ("--excess-noise", "0.5", "below one")],
)
def test_what_cannot_be_is_refused_at_once(files, run, capsys, option, value, words):
    with pytest.raises(SystemExit) as end:
        run(*training(files, option, value))
    assert end.value.code == 2
    assert words in capsys.readouterr().err


def test_run_takes_maps(files, run, tmp_path):
    answer = run(
        *("run", files / "cells.tif", "-o", tmp_path / "r.tif", "--pixel-size", "0.0626"),
        *(
            "--na",
            "1.3",
            "--wavelength",
            "0.525",
            "--steps",
            "1",
            "--no-verdict",
            "--device",
            "cpu",
        ),
        *maps_options(files),
    )
    assert answer.code == 0, answer.err
    assert "Maps of 80 x 96 pixels" in answer.out + answer.err


def test_the_excess_noise_is_counted_once(run, tmp_path):
    emccd = NoiseModel(200.0, 5.0, 30.0, excess_noise=2.0)
    rng = np.random.default_rng(0)
    light = simulate(shape=(128, 128), photons=40, seed=2).noise_free
    series = np.stack([camera(light, emccd, rng) for _ in range(16)])
    tifffile.imwrite(tmp_path / "series.tif", series, metadata={"axes": "TYX"})
    plain, told = (
        run("calibrate", tmp_path / "series.tif", "--series", "--offset", "200", "--json", *more)
        for more in ((), ("--excess-noise", "2", "-o", tmp_path / "noise.json"))
    )
    slope, gain = plain.json["noise"]["gain"], told.json["noise"]["gain"]
    assert slope == pytest.approx(10, rel=0.05)
    assert gain == pytest.approx(slope / 2)
    kept = NoiseModel.from_dict(json.loads((tmp_path / "noise.json").read_text()))
    assert kept.slope == pytest.approx(slope)
    assert replace(kept, gain=5.0).slope == 10
