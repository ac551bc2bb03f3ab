from __future__ import annotations

import copy
import errno
import json
import os
import struct
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from refusals import refused
from safetensors import safe_open

from napari_zsdeconvnet.inference.predict import TileProgress
from napari_zsdeconvnet.io.image import Image
from napari_zsdeconvnet.model.model import Model
from napari_zsdeconvnet.model.model_file import FORMAT
from napari_zsdeconvnet.model.presets import PRESETS
from napari_zsdeconvnet.networks.registry import build_network
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.utils.errors import InputError

IMAGE = np.random.default_rng(0).poisson(20, (40, 50)).astype(np.uint16) + np.uint16(100)


@pytest.fixture(scope="module")
def model() -> Model:
    spot = np.exp(-(np.hypot(*np.mgrid[-4:5, -4:5]) ** 2) / 4)
    psf = PSF.from_array(spot, voxel_size=0.0313, background=0.0)
    torch.manual_seed(0)
    network = build_network(PRESETS["fast"].network, psf)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    noise = NoiseModel(100, 1.0, 4.0, gain_error=0.02, source="a test", warnings=("careful.",))
    network.expect_noise(noise, 31.5)
    return Model(
        network=network.eval(),
        preset="fast",
        settings=asdict(PRESETS["fast"]),
        psf=psf,
        noise=noise,
        scale=31.5,
        axes="YX",
        voxel_size=(0.0626, 0.0626),
        seed=7,
        data_hash="0123456789abcdef" * 4,
        history=({"step": 1, "learning_rate": 1e-3, "total": 0.1 + 0.2},),
        warnings=("The image is 8-bit.",),
    )


@pytest.fixture
def saved(model: Model, tmp_path: Path) -> Path:
    path = tmp_path / "cells.safetensors"
    model.save(path)
    return path


def rewritten(path: Path, *, tensors: dict | None = None, **header: object) -> Path:
    """Change the file's tensors (None takes one out) or entries of its header."""
    with safe_open(path, framework="pt") as file:
        described = json.loads(file.metadata()["zsdeconvnet"])
        contents = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    contents |= tensors or {}
    contents = {name: v.contiguous() for name, v in contents.items() if v is not None}
    described |= header
    described = {name: value for name, value in described.items() if value is not ...}
    safetensors.torch.save_file(contents, path, {"zsdeconvnet": json.dumps(described)})
    return path


def refusal(path: Path) -> str:
    """Load, and give the one sentence that says why not."""
    with pytest.raises(InputError) as caught:
        Model.load(path)
    message = str(caught.value)
    assert path.name in message
    assert "\n" not in message
    assert message.endswith(".")
    assert "Error" not in message.split("(")[0]
    return message


class TestFile:
    def test_everything_comes_back_to_the_bit(self, model: Model, saved: Path):
        loaded = Model.load(saved)
        for name in (
            *("preset", "settings", "noise", "scale", "axes", "voxel_size", "seed"),
            *("data_hash", "history", "warnings", "versions", "upsampling", "steps_trained"),
        ):
            assert getattr(loaded, name) == getattr(model, name), name
        np.testing.assert_array_equal(loaded.psf.array, model.psf.array)
        assert loaded.psf.to_metadata() == model.psf.to_metadata()
        weights = model.network.state_dict()
        assert loaded.network.state_dict().keys() == weights.keys()
        for name, weight in loaded.network.state_dict().items():
            assert torch.equal(weight, weights[name]), name
        one, other = model.predict(IMAGE), loaded.predict(IMAGE)
        np.testing.assert_array_equal(one.deconvolved, other.deconvolved)
        assert loaded.describe() == model.describe()

    def test_a_model_without_pixel_size_stays_so(self, model: Model, tmp_path: Path):
        replace(model, voxel_size=None).save(tmp_path / "m")
        assert Model.load(tmp_path / "m").voxel_size is None

    def test_is_safetensors_with_a_json_header_and_nothing_else(self, saved: Path):
        content = saved.read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + length])
        described = json.loads(header.pop("__metadata__")["zsdeconvnet"])
        assert described["format"] == FORMAT
        assert max(entry["data_offsets"][1] for entry in header.values()) + 8 + length == len(
            content
        )

    def test_a_pickle_is_refused_and_not_executed(self, tmp_path: Path):
        class Trap:
            def __reduce__(self) -> tuple:
                return (os.mkdir, (str(tmp_path / "sprung"),))

        torch.save(Trap(), tmp_path / "model.pt")
        refusal(tmp_path / "model.pt")
        assert not (tmp_path / "sprung").exists()

    @pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
    def test_a_flipped_bit_anywhere_is_refused(self, saved: Path, part: float):
        content = bytearray(saved.read_bytes())
        content[int(part * len(content))] ^= 1 << 6
        saved.write_bytes(content)
        message = refusal(saved)
        assert "damaged" in message or "truncated" in message or "fit together" in message

    def test_three_flipped_bits_in_the_weights_are_noticed(self, saved: Path):
        content = bytearray(saved.read_bytes())
        for place in (-3, -1003, -2003):  # the highest bits of numbers
            content[place // 4 * 4 - 1] ^= 1 << 6
        saved.write_bytes(content)
        assert "another checksum" in refusal(saved)

    def test_a_file_of_before_checksums_is_read(self, saved: Path, model: Model):
        loaded = Model.load(rewritten(saved))  # which writes none
        assert loaded.scale == model.scale

    @pytest.mark.parametrize("name", ["steps", "batch", "patch"])
    def test_absurd_settings_are_refused(self, saved: Path, model: Model, name: str):
        path = rewritten(saved, settings={**model.settings, name: 10**15})
        assert f"{name} is 1000000000000000" in refusal(path)

    @pytest.mark.parametrize("kept", [0, 4, 100, 3000, -1])
    def test_a_truncated_file_is_refused(self, saved: Path, kept: int):
        saved.write_bytes(saved.read_bytes()[:kept])
        assert "is not a model file or is truncated" in refusal(saved)

    def test_a_text_file_is_refused(self, tmp_path: Path):
        (tmp_path / "notes.txt").write_text("The model is in the other folder.\n" * 20)
        assert "is not a model file" in refusal(tmp_path / "notes.txt")

    def test_weights_of_another_program_are_refused(self, tmp_path: Path):
        path = tmp_path / "bert.safetensors"
        safetensors.torch.save_file({"weight": torch.zeros(3)}, path, {"format": "pt"})
        assert "another program" in refusal(path)
        safetensors.torch.save_file({"weight": torch.zeros(3)}, path)
        assert "another program" in refusal(path)

    def test_a_missing_file_and_a_folder_are_refused(self, tmp_path: Path):
        assert "does not exist" in refusal(tmp_path / "none.safetensors")
        refusal(tmp_path)

    def test_a_newer_format_asks_for_an_update(self, saved: Path):
        message = refusal(rewritten(saved, format=FORMAT + 1))
        assert f"format {FORMAT + 1}" in message
        assert "update" in message
        assert "train anew" not in message

    @pytest.mark.parametrize(
        ("header", "words"),
        [
            ({"upsampling": 1}, "does not fit together"),
            ({"upsampling": 3}, "3x up-sampling"),
            ({"axes": "ZYX"}, "its PSF has 2 axes"),
            ({"axes": "TYX"}, "axes TYX"),
            ({"settings": {"network": "transformer"}}, "'transformer' is unknown"),
            ({"scale": 0.0}, "scale is 0.0"),
            ({"scale": float("nan")}, "scale is nan"),
            ({"scale": ...}, "'scale' is missing"),
            ({"noise": {"offset": 1}}, "gain, read_variance are missing"),
            ({"noise": {"offset": 1, "gain": -1, "read_variance": 0}}, "gain is -1"),
            ({"format": "one"}, "does not fit together"),
            ({"psf": None}, "does not fit together"),
            ({"settings": None}, "does not fit together"),
            ({"history": 3}, "does not fit together"),
        ],
    )
    def test_a_header_that_does_not_fit_is_refused(self, saved: Path, header: dict, words: str):
        assert words in refusal(rewritten(saved, **header))

    def test_a_header_that_is_no_header_is_refused(self, tmp_path: Path):
        for header in ("[]", "not JSON", "3", "null"):
            safetensors.torch.save_file(
                {"weight": torch.zeros(3)}, tmp_path / "m", {"zsdeconvnet": header}
            )
            assert "does not fit together" in refusal(tmp_path / "m")

    def test_tensors_that_do_not_fit_are_refused(self, model: Model, saved: Path):
        name, weight = next(iter(model.network.state_dict().items()))
        name = f"network.{name}"
        whole = saved.read_bytes()
        for tensors, words in (
            ({name: None}, "Missing key"),
            ({name: weight[:1].clone()}, "size mismatch"),
            ({name: torch.full(weight.shape, torch.nan)}, "weights are not finite"),
            ({"network.surplus": torch.zeros(2)}, "Unexpected key"),
            ({"psf": None}, "'psf' is missing"),
            ({"psf": torch.full((3, 3), torch.nan)}, "PSF"),
        ):
            saved.write_bytes(whole)
            assert words in refusal(rewritten(saved, tensors=tensors))


class TestSaving:
    def test_a_failing_write_leaves_the_old_file_and_nothing_else(
        self, model: Model, saved: Path, monkeypatch: pytest.MonkeyPatch
    ):
        before = saved.read_bytes()

        def fill_up(path: Path, content: bytes) -> None:
            with path.open("wb") as file:
                file.write(content[:1000])
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Path, "write_bytes", fill_up)
        with pytest.raises(InputError, match=r"disk is full.*cells\.safetensors"):
            model.save(saved)
        monkeypatch.undo()
        assert saved.read_bytes() == before
        assert os.listdir(saved.parent) == [saved.name]

    @pytest.mark.skipif(os.name == "nt", reason="POSIX limits the size of files")
    def test_a_full_disk_is_said(self, model: Model, tmp_path: Path):
        import resource

        usual = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, usual[1]))
        try:
            with pytest.raises(InputError, match="disk is full"):
                model.save(tmp_path / "m")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, usual)
        assert os.listdir(tmp_path) == []

    def test_a_folder_that_cannot_be_written_is_said(
        self, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        with pytest.raises(InputError, match=r"nowhere does not exist; create it"):
            model.save(tmp_path / "nowhere" / "m")

        def forbid(path: Path, content: bytes) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(Path, "write_bytes", forbid)
        with pytest.raises(InputError, match="no permission"):
            model.save(tmp_path / "m")

    def test_overwriting_replaces_the_old_file(self, model: Model, saved: Path):
        replace(model, seed=8).save(saved)
        assert Model.load(saved).seed == 8


class TestPredict:
    def test_gives_counts_on_both_grids(self, model: Model):
        result = model.predict(IMAGE)
        assert result.denoised.shape == IMAGE.shape
        assert result.deconvolved.shape == (80, 100)
        assert result.denoised.dtype == result.deconvolved.dtype == np.float32

    def test_keeps_the_time_axis(self, model: Model):
        series = np.stack([IMAGE, IMAGE[::-1]])
        result = model.predict(series)
        assert result.deconvolved.shape == (2, 80, 100)
        np.testing.assert_array_equal(result.denoised[0], model.predict(IMAGE).denoised)
        assert model.predict(series[:1]).denoised.shape == (1, 40, 50)

    def test_takes_images_and_lists(self, model: Model):
        expected = model.predict(IMAGE).denoised
        for image in (IMAGE.tolist(), Image(IMAGE, "YX"), Image(IMAGE[None], "TYX")):
            np.testing.assert_array_equal(np.squeeze(model.predict(image).denoised), expected)

    def test_iter_predict_yields_progress_and_returns_the_result(self, model: Model):
        tiles = model.iter_predict(IMAGE)
        states = []
        while True:
            try:
                states.append(next(tiles))
            except StopIteration as end:
                result = end.value
                break
        assert [(state.done, state.total) for state in states] == [(1, 1)]
        np.testing.assert_array_equal(result.denoised, model.predict(IMAGE).denoised)

    def test_progress_is_told(self, model: Model):
        states: list[TileProgress] = []
        model.predict(IMAGE, progress=states.append)
        assert states[-1].done == states[-1].total

    def test_averages_over_re_corruptions(self, model: Model):
        once, again = (model.predict(IMAGE, repeats=2, seed=3).denoised for _ in range(2))
        np.testing.assert_array_equal(once, again)
        assert not np.array_equal(once, model.predict(IMAGE).denoised)

    def test_a_flat_image_is_accepted(self, model: Model):
        result = model.predict(np.full((30, 30), 100, np.uint16))
        assert np.isfinite(result.deconvolved).all()

    def test_what_no_memory_holds_is_refused_beforehand(self, model: Model, monkeypatch):
        monkeypatch.setattr("napari_zsdeconvnet.utils.memory.available_memory", lambda: 2**20)
        with pytest.raises(InputError, match=r"needs .* of memory and 1 MiB are free"):
            model.predict(IMAGE)

    def test_a_result_that_is_not_finite_is_refused(self, model: Model):
        broken = replace(model, network=copy.deepcopy(model.network))
        with torch.no_grad():
            next(broken.network.parameters()).fill_(3e38)
        with pytest.raises(InputError, match="NaN or infinity for this image"):
            broken.predict(IMAGE)

    @pytest.mark.parametrize("size", [0.0626, (0.0626, 0.0626), (0.3, 0.062, 0.064), None])
    def test_the_right_pixel_size_is_accepted(self, model: Model, size):
        model.predict(IMAGE, voxel_size=size)

    def test_another_pixel_size_is_refused(self, model: Model):
        words = r"pixels of 108 x 108 nm and the model was trained on 62\.6 x 62\.6 nm"
        with pytest.raises(InputError, match=words):
            model.predict(IMAGE, voxel_size=(0.108, 0.108))
        image = Image(IMAGE, "YX", (0.108, 0.108), "slide.tif")
        with pytest.raises(InputError, match=f"slide.tif has {words}"):
            model.predict(image)
        # What is given goes before what the file says, as in training.
        model.predict(image, voxel_size=(0.0626, 0.0626))
        with pytest.raises(InputError, match="108"):
            model.predict(Image(IMAGE, "YX", None, "slide.tif"), voxel_size=(0.108, 0.108))

    @pytest.mark.parametrize("size", ["small", (0.1, -0.1), (np.nan, 0.1), ()])
    def test_an_impossible_pixel_size_is_refused(self, model: Model, size):
        with refused("voxel-size-wrong"):
            model.predict(IMAGE, voxel_size=size)

    def test_a_model_without_pixel_size_takes_any(self, model: Model):
        replace(model, voxel_size=None).predict(IMAGE, voxel_size=(0.108, 0.108))

    @pytest.mark.parametrize(
        ("image", "options", "words"),
        [
            (np.where(IMAGE > 125, np.nan, IMAGE), {}, r"\d+ NaN or infinite pixel"),
            (np.zeros((40, 50, 3), np.uint8), {}, "RGB"),
            (IMAGE.astype(complex), {}, "complex"),
            (IMAGE[0], {}, "1 axes"),
            (np.zeros((2, 2, 40, 50)), {}, "4 axes"),
            (np.zeros((4, 40, 50)), {"axes": "ZYX"}, "4 planes"),
            (np.zeros((2, 40, 50)), {"axes": "CYX"}, "2 channels"),
            (IMAGE, {"axes": "TYX"}, "2 axes"),
            (np.zeros((0, 50)), {}, "no pixels"),
            (IMAGE, {"device": "cuda:77"}, "'cuda:77' does not exist"),
        ],
    )
    def test_unfit_images_are_refused(self, model: Model, image, options, words):
        with pytest.raises(InputError, match=words):
            model.predict(image, **options)


def test_describe_says_what_the_model_is_for(model: Model):
    words = model.describe()
    for part in ("fast model", "for images", "2x finer", "62.6 x 62.6 nm", "1 steps", "seed 7"):
        assert part in words
    assert "pixel size not recorded" in replace(model, voxel_size=None).describe()
