"""The pretrained weights as they are: no step of training, in every front end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.cli.main import main
from napari_zsdeconvnet.io.image import Image
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.simulation.raw_sim import simulate_sim
from napari_zsdeconvnet.simulation.sample import simulate
from napari_zsdeconvnet.workflow.record.methods import methods_paragraph
from napari_zsdeconvnet.workflow.record.repeat import iter_training
from napari_zsdeconvnet.workflow.record.run_record import RunRecord

PIXEL = 0.0626
NOISE = NoiseModel(100.0, 1.0, 4.0, source="test")
SCOPE = zs.Microscope(1.3, 0.525)


@pytest.fixture(scope="module")
def cells() -> Image:
    return Image(simulate(shape=(96, 96), photons=50, seed=1).raw, "YX", (PIXEL, PIXEL), "cells")


def bits(model: zs.Model) -> list[torch.Tensor]:
    return list(model.network.state_dict().values())


def test_python_and_shell_give_the_same_model_and_say_that_nothing_was_trained(
    cells: Image, tmp_path: Path, capsys
):
    run = zs.run(cells, microscope=SCOPE, camera=NOISE, steps=0, judged=False)
    said = [step.said for step in run if hasattr(step, "said")]
    assert any("without training" in words for words in said)
    result = run.result
    assert result.model.steps_trained == 0
    tifffile.imwrite(tmp_path / "cells.tif", cells.data)
    options = ["--na", "1.3", "--wavelength", "0.525", "--pixel-size", str(PIXEL)]
    options += ["--offset", "100", "--gain", "1", "--read-variance", "4", "--steps", "0"]
    made = str(tmp_path / "m.safetensors")
    assert main(["train", str(tmp_path / "cells.tif"), *options, "-o", made, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["step"] == 0
    model = zs.Model.load(made)
    assert all(torch.equal(*pair) for pair in zip(bits(model), bits(result.model), strict=True))
    found = model.predict(cells).deconvolved
    np.testing.assert_array_equal(found, np.asarray(result.deconvolved.data))


def test_raw_sim_frames_need_no_training_either(tmp_path: Path, capsys):
    sample = simulate_sim(shape=(96, 96), photons=100, seed=2)
    frames = Image(sample.raw, "CYX", (sample.pixel_size,) * 2, "frames")
    run = zs.run(
        frames,
        microscope=zs.Microscope(sample.na, sample.wavelength),
        camera=sample.noise,
        mode="sim",
        steps=0,
        judged=False,
    )
    said = [step.said for step in run if hasattr(step, "said")]
    assert any("without training" in words for words in said)
    model = run.result.model
    assert model.steps_trained == 0
    model.save(tmp_path / "m.safetensors")
    again = zs.Model.load(tmp_path / "m.safetensors")
    found = again.predict(sample.raw, camera=sample.noise).deconvolved
    np.testing.assert_array_equal(found, np.asarray(run.result.deconvolved.data))


def test_the_record_says_so_and_can_be_repeated(cells: Image):
    psf = zs.PSF.simulate(na=1.3, wavelength=0.525, pixel_size=PIXEL / 2, size=31)
    model = zs.train(cells, psf, NOISE, steps=0, seed=3, device="cpu").model
    record = RunRecord.of(model)
    assert record.obstacles == ()
    steps = iter_training(record, [cells])
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert all(torch.equal(*pair) for pair in zip(bits(model), bits(end.value.value), strict=True))
    text = methods_paragraph(record)
    assert "without training on these data" in text
    assert "0 steps" not in text
