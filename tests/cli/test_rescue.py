"""What was learned is kept where the disk is full when the model is to be written."""

from __future__ import annotations

import re
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from napari_zsdeconvnet.io.image_writing import write_image
from napari_zsdeconvnet.model import model_file
from napari_zsdeconvnet.model.model import Model
from napari_zsdeconvnet.simulation.sample import simulate
from napari_zsdeconvnet.training.autosave import checkpoint_of
from napari_zsdeconvnet.utils.errors import InputError

OPTICS = ["--na", "1.3", "--wavelength", "0.525", "--offset", "100", "--device", "cpu"]
TRAINING = [*OPTICS, "--seed", "1", "--steps", "2"]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    raw = simulate("filaments", shape=(64, 64), photons=200, seed=3).raw
    write_image(tmp_path / "raw.tif", raw, axes="YX", voxel_size=(0.0626, 0.0626))
    return tmp_path / "raw.tif"


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Give a folder in which no model can be written, nor, if wanted, any checkpoint."""
    usual = model_file.written_whole
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))

    def folder(*, checkpoints: bool) -> Path:
        place = tmp_path / "full"

        @contextmanager
        def written(path):
            fits = checkpoints and Path(path).suffix == ".checkpoint"
            if Path(path).parent == place and not fits:
                raise InputError("disk-full", f"The disk is full while writing {path}.")
            with usual(path) as temporary:
                yield temporary

        monkeypatch.setattr(model_file, "written_whole", written)
        place.mkdir()
        return place

    return folder


def command(name: str, image: Path, folder: Path) -> list[str | Path]:
    if name == "train":
        return ["train", image, *TRAINING, "-o", folder / "model.safetensors"]
    if name == "run":
        return ["run", image, *TRAINING, "--no-verdict", "-o", folder]
    return ["repeat", image.with_name("before.safetensors"), image, "-o", folder]


@pytest.mark.parametrize("name", ["train", "run", "repeat"])
def test_a_model_goes_to_the_folder_for_temporary_files(run, image: Path, full, name: str):
    if name == "repeat":
        run("train", image, *TRAINING, "-o", image.with_name("before.safetensors"))
    answer = run(*command(name, image, full(checkpoints=False)))
    assert answer.code == 2
    found = re.search(r"The disk is full .* So the model was saved as (.+)\.$", answer.err, re.M)
    assert found is not None, answer.err
    assert Model.load(found[1]).steps_trained == 2
    assert Path(found[1]).is_relative_to(tempfile.gettempdir())


@pytest.mark.parametrize("name", ["run", "repeat"])
def test_a_training_that_was_saved_stays_where_it_is(run, image: Path, full, name: str):
    if name == "repeat":
        run("train", image, *TRAINING, "-o", image.with_name("before.safetensors"))
    folder = full(checkpoints=True)
    answer = run(*command(name, image, folder))
    assert answer.code == 2
    model = "raw_model.safetensors" if name == "run" else "model.safetensors"
    checkpoint = checkpoint_of(folder / model)
    then = f"--resume {checkpoint}" if name == "run" else "the same command"
    assert f"What was learned is in {checkpoint}, and {then} goes on from there." in answer.err
    assert Model.load(checkpoint).steps_trained == 2
    assert not any(Path(tempfile.gettempdir()).iterdir())


def test_a_model_that_fits_nowhere_is_said(run, image: Path, full, monkeypatch):
    folder = full(checkpoints=False)
    monkeypatch.setattr(tempfile, "tempdir", str(image.with_name("nowhere")))
    answer = run(*command("train", image, folder))
    assert answer.code == 2
    assert "The disk is full" in answer.err
    assert "Nor could the model be saved in the folder for temporary files." in answer.err


def test_no_model_is_rescued_that_was_a_file_before(run, image: Path, full):
    before = image.with_name("before.safetensors")
    run("train", image, *TRAINING, "-o", before)
    folder = full(checkpoints=False)
    options = ["--model", before, *OPTICS, "--no-verdict"]
    answer = run("run", image, *options, "-o", folder)
    assert answer.code == 2
    assert answer.err.rstrip().endswith("raw_model.safetensors.")
    assert not any(Path(tempfile.gettempdir()).iterdir())
