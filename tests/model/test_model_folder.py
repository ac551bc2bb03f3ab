"""A folder of models: listed without reading weights, kept, renamed, deleted."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.io.image import Image
from napari_zsdeconvnet.model import serialization
from napari_zsdeconvnet.model.model import Model
from napari_zsdeconvnet.model.presets import PRESETS
from napari_zsdeconvnet.model.store import default_folder, delete, keep, kept_models, rename
from napari_zsdeconvnet.utils.errors import InputError

PIXEL = (0.0626, 0.0626)


@pytest.fixture(scope="module")
def model() -> Model:
    pixels = np.random.default_rng(0).poisson(50, (64, 64)).astype(np.uint16)
    run = zs.train(
        Image(pixels, "YX", PIXEL, "cells.tif"),
        zs.PSF.simulate(na=1.3, wavelength=0.525, pixel_size=PIXEL[0] / 2, size=33),
        zs.NoiseModel(0, 1.0, 1.0),
        preset=replace(PRESETS["fast"], patch=48, batch=1),
        steps=2,
        seed=1,
        device="cpu",
        preview_every=0,
    )
    for _ in run:
        pass
    return run.model


class TestList:
    def test_says_what_each_model_is(self, model: Model, tmp_path: Path):
        path = keep(model, tmp_path, "my cells: GFP/1")
        (kept,) = kept_models(tmp_path)
        assert kept.path == path
        assert kept.name.startswith("my_cells_GFP_1_")
        assert kept.facts is not None
        assert (kept.facts.preset, kept.facts.steps_trained) == ("fast", 2)
        assert kept.trained_on == "cells.tif"
        assert kept.pixel_size == "62.6 nm"
        assert "simulated widefield, NA 1.3" in kept.psf
        assert kept.psf.startswith(f"{1000 * model.psf.fwhm[-1]:.3g} nm wide")
        assert kept.date.isoformat(timespec="seconds").startswith(
            kept.date.astimezone().strftime("%Y-%m-%dT%H:%M")
        )

    def test_reads_no_weights(self, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        keep(model, tmp_path, "cells")

        def refuse(*_: object) -> None:
            raise AssertionError("a network was built")

        monkeypatch.setattr(serialization, "build_network", refuse)
        assert kept_models(tmp_path)[0].facts is not None

    def test_the_latest_comes_first_whatever_the_file_says_of_its_age(
        self, model: Model, tmp_path: Path
    ):
        (stretch,) = model.stretches
        for name, year in (("b", 2024), ("a", 2026), ("c", 2025)):
            dated = replace(stretch, started=f"{year}-06-01T12:00:00+00:00")
            replace(model, stretches=(dated,)).save(tmp_path / f"{name}.safetensors")
        assert [kept.name for kept in kept_models(tmp_path)] == ["a", "c", "b"]

    def test_what_cannot_be_read_is_listed_with_the_reason(self, model: Model, tmp_path: Path):
        (tmp_path / "broken.safetensors").write_bytes(b"nothing")
        (tmp_path / "notes.txt").write_text("not a model")
        (tmp_path / ".12.half.safetensors").write_bytes(b"being written")
        (kept,) = kept_models(tmp_path)
        assert (kept.name, kept.facts) == ("broken", None)
        assert "not a model file" in kept.problem
        assert (kept.trained_on, kept.pixel_size, kept.psf) == ("", "", "")

    def test_a_model_of_before_records_is_listed_by_the_date_of_its_file(
        self, model: Model, tmp_path: Path
    ):
        replace(model, stretches=(), sources=()).save(tmp_path / "old.safetensors")
        (kept,) = kept_models(tmp_path)
        assert kept.trained_on == ""
        assert abs(kept.date.timestamp() - kept.path.stat().st_mtime) < 1

    def test_a_folder_that_is_not_there_is_empty(self, tmp_path: Path):
        assert kept_models(tmp_path / "none") == []


class TestKeep:
    def test_makes_the_folder_and_overwrites_nothing(self, model: Model, tmp_path: Path):
        folder = tmp_path / "a" / "b"
        paths = [keep(model, folder, "cells") for _ in range(3)]
        assert len(set(paths)) == len(kept_models(folder)) == 3

    def test_a_folder_that_cannot_be_made_is_said(self, model: Model, tmp_path: Path):
        (tmp_path / "file").write_text("")
        with pytest.raises(InputError, match="cannot be made"):
            keep(model, tmp_path / "file" / "models", "cells")

    def test_a_name_of_signs_alone_still_names_a_file(self, model: Model, tmp_path: Path):
        assert keep(model, tmp_path, "...").name.startswith("model_")


class TestRename:
    def test_gives_another_name_in_the_same_folder(self, model: Model, tmp_path: Path):
        path = keep(model, tmp_path, "cells")
        for name in ("My cells", "My cells.safetensors"):
            path = rename(path, name)
            assert path == tmp_path / "My cells.safetensors"
        assert [kept.path for kept in kept_models(tmp_path)] == [path]

    @pytest.mark.parametrize("name", ["", "  ", ".hidden", "a/b", "a\\b", 'a"b', ".safetensors"])
    def test_what_is_no_name_is_refused(self, name: str, model: Model, tmp_path: Path):
        path = keep(model, tmp_path, "cells")
        with pytest.raises(InputError, match="no name"):
            rename(path, name)
        assert path.exists()

    def test_a_name_that_is_taken_is_refused(self, model: Model, tmp_path: Path):
        one, other = keep(model, tmp_path, "one"), keep(model, tmp_path, "other")
        with pytest.raises(InputError, match="already"):
            rename(one, other.stem)
        assert one.exists()

    def test_a_file_that_is_gone_is_said(self, tmp_path: Path):
        with pytest.raises(InputError, match="cannot be renamed"):
            rename(tmp_path / "gone.safetensors", "there")


class TestDelete:
    def test_deletes_the_file(self, model: Model, tmp_path: Path):
        delete(keep(model, tmp_path, "cells"))
        assert kept_models(tmp_path) == []

    def test_but_no_other_file(self, tmp_path: Path):
        (tmp_path / "image.tif").write_bytes(b"precious")
        with pytest.raises(InputError, match="no model"):
            delete(tmp_path / "image.tif")
        assert (tmp_path / "image.tif").exists()
        with pytest.raises(InputError, match="cannot be deleted"):
            delete(tmp_path / "gone.safetensors")


def test_the_default_folder_is_under_the_users_data(monkeypatch: pytest.MonkeyPatch):
    if sys.platform == "win32":
        expected = Path(os.environ["LOCALAPPDATA"])
    elif sys.platform == "darwin":
        expected = Path.home() / "Library" / "Application Support"
    else:
        monkeypatch.setenv("XDG_DATA_HOME", "/data")
        assert default_folder() == Path("/data/napari-zsdeconvnet/models")
        expected = Path.home() / ".local" / "share"
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert default_folder() == expected / "napari-zsdeconvnet" / "models"


def test_a_folder_of_before_on_macos_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    former = tmp_path / "Library" / "Application Support" / "napari-zsdeconvnet" / "models"
    assert default_folder() != former
    former.mkdir(parents=True)
    assert default_folder() == former
