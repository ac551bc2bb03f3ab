from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from refusals import refused

from napari_zsdeconvnet.cli.argument_values import angles, number_or_file
from napari_zsdeconvnet.cli.commands.repeat import _opened
from napari_zsdeconvnet.cli.commands.sim_recordings import open_recording
from napari_zsdeconvnet.cli.main import main
from napari_zsdeconvnet.io.image_files import read_image
from napari_zsdeconvnet.io.image_writing import write_image
from napari_zsdeconvnet.model.provenance import Source
from napari_zsdeconvnet.sim.patterns import Patterns
from napari_zsdeconvnet.sim.recording import Frames
from napari_zsdeconvnet.simulation.raw_sim import simulate_sim
from napari_zsdeconvnet.utils.errors import InputError
from napari_zsdeconvnet.workflow.record import RunRecord

PIXEL = 0.0626
OPTICS = ["--na", "1.41", "--wavelength", "0.525"]
SHAPE = (128, 128)


@pytest.fixture(scope="module")
def sample():
    return simulate_sim("mesh", shape=SHAPE, photons=300, seed=3)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, sample) -> Path:
    """A folder with raw frames as different programs would store them, and exact patterns."""
    folder = tmp_path_factory.mktemp("sim")
    sized = {"voxel_size": (PIXEL, PIXEL)}
    write_image(folder / "raw.tif", sample.raw, axes="TYX", **sized)
    write_image(folder / "planes.tif", sample.raw, axes="ZYX", voxel_size=(0.1, PIXEL, PIXEL))
    write_image(folder / "channels.tif", sample.raw, axes="CYX", **sized)
    write_image(folder / "unsized.tif", sample.raw, axes="TYX")
    series = np.concatenate([sample.raw, sample.second_exposure])
    write_image(folder / "series.tif", series, axes="TYX", frame_interval=0.5, **sized)
    two = series.reshape(2, 9, *SHAPE)
    write_image(folder / "series_of_planes.tif", two, axes="TZYX", voxel_size=(0.1, PIXEL, PIXEL))
    colours = np.stack([sample.raw, sample.second_exposure], axis=1)
    write_image(folder / "colours.tif", colours, axes="TCYX", **sized)
    write_image(folder / "one.tif", sample.raw[0], axes="YX", **sized)
    write_image(folder / "fifteen.tif", np.tile(sample.raw, (2, 1, 1))[:15], axes="TYX", **sized)
    write_image(folder / "ten.tif", np.tile(sample.raw, (2, 1, 1))[:10], axes="TYX", **sized)
    write_image(folder / "offset.tif", np.full(SHAPE, 100.0, np.float32), axes="YX")
    write_image(folder / "small_offset.tif", np.full((9, 9), 100.0, np.float32), axes="YX")
    sample.patterns.save(folder / "patterns.json")
    return folder


def asked(**values) -> argparse.Namespace:
    return argparse.Namespace(**{"pixel_size": None, "channel": None, **values})


class TestValues:
    def test_a_number_or_the_name_of_a_file(self):
        assert number_or_file("100") == 100.0
        assert number_or_file("offset.tif") == "offset.tif"
        for text in ("nan", "inf"):
            with pytest.raises(argparse.ArgumentTypeError):
                number_or_file(text)

    def test_angles_may_be_below_zero(self):
        assert angles("-10,50,110") == (-10.0, 50.0, 110.0)


class TestRecordings:
    @pytest.mark.parametrize("name", ["raw", "planes", "channels"])
    def test_frames_are_found_whatever_the_file_calls_them(self, files: Path, sample, name: str):
        recording = open_recording(str(files / f"{name}.tif"), asked(), 9)
        assert recording.sets.shape == (1, 9, *SHAPE)
        assert recording.pixel_size == pytest.approx(PIXEL, rel=1e-4)
        np.testing.assert_array_equal(recording.sets[0], sample.raw)

    @pytest.mark.parametrize("name", ["series", "series_of_planes"])
    def test_a_series_is_one_image_after_another(self, files: Path, sample, name: str):
        recording = open_recording(str(files / f"{name}.tif"), asked(), 9)
        assert recording.sets.shape == (2, 9, *SHAPE)
        np.testing.assert_array_equal(recording.sets[1], sample.second_exposure)
        np.testing.assert_array_equal(
            recording.sets[:, 3:5, :7, 2],
            np.stack([sample.raw, sample.second_exposure])[:, 3:5, :7, 2],
        )
        mean = (sample.raw.astype(float) + sample.second_exposure) / 2
        np.testing.assert_allclose(recording.mean(), mean)

    def test_a_channel_is_chosen(self, files: Path, sample):
        path = str(files / "colours.tif")
        recording = open_recording(path, asked(channel=1), 9)
        np.testing.assert_array_equal(recording.sets[0], sample.second_exposure)
        with pytest.raises(InputError, match=r"2 channels.*choose one"):
            open_recording(path, asked(), 9)

    def test_planes_beside_the_frames_stay_planes(self, run, files: Path, sample, tmp_path: Path):
        size = {"voxel_size": (0.2, PIXEL, PIXEL)}
        both = np.stack([sample.raw, sample.second_exposure])
        for axes, data in (("ZCYX", both), ("CZYX", both.swapaxes(0, 1))):
            write_image(tmp_path / "raw.tif", data, axes=axes, **size)
            recording = open_recording(str(tmp_path / "raw.tif"), asked(), 9)
            assert (recording.axes, recording.lengths, recording.axial_step) == ("Z", (2,), 0.2)
            np.testing.assert_array_equal(recording.sets[:], both)
            np.testing.assert_array_equal(recording.image.data[1, 3], both[1, 3])
        patterns = ["--patterns", files / "patterns.json", "--offset", "100"]
        raw, out = tmp_path / "raw.tif", tmp_path / "out.tif"
        answer = run("sim", "reconstruct", raw, *patterns, "-o", out)
        assert answer.code == 0, answer.err
        result = read_image(out)
        assert (result.axes, result.data.shape) == ("ZYX", (2, 256, 256))
        assert result.voxel_size == pytest.approx((0.2, PIXEL / 2, PIXEL / 2))

    def test_planes_in_a_row_are_taken_as_the_user_says(self, files: Path, sample, tmp_path: Path):
        path, size = tmp_path / "raw.tif", {"voxel_size": (0.2, PIXEL, PIXEL)}
        both = np.stack([sample.raw, sample.second_exposure])
        write_image(path, both.reshape(18, *SHAPE), axes="ZYX", **size)
        with refused("frame-sets-unknown"):
            open_recording(str(path), asked(), 9)
        recording = open_recording(str(path), asked(sets="consecutive"), 9)
        np.testing.assert_array_equal(recording.sets[:], both)
        write_image(path, both.swapaxes(0, 1).reshape(18, *SHAPE), axes="ZYX", **size)
        recording = open_recording(str(path), asked(sets="interleaved"), 9)
        assert recording.axes == "Z"
        np.testing.assert_array_equal(recording.sets[:], both)
        np.testing.assert_array_equal(recording.mean(), both.mean(axis=0, dtype=np.float32))
        # A record does not say how they follow; its fingerprint tells.
        again = _opened(str(path), Source.of(recording.image))
        np.testing.assert_array_equal(again.sets[:], both)
        source = replace(Source.of(recording.image), sha256="0" * 64)
        with pytest.raises(InputError, match="is not the raw"):
            _opened(str(path), source)

    def test_nothing_is_read_before_it_is_cut(self):
        class Pages:
            shape, dtype, ndim, read = (4, 9, 6, 5), np.dtype(np.uint16), 4, []

            def __getitem__(self, index):
                self.read.append(index[:2])
                return np.zeros((6, 5), np.uint16)

        pages = Pages()
        frames = Frames(pages)
        assert frames.shape == (36, 6, 5)
        frames[9:11]
        assert pages.read == [(1, 0), (1, 1)]

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("one", "one frame .* reconstructed already"),
            ("fifteen", "15 frames, which are 3 orientations x 5 phases"),
            ("ten", "10 frames, which make no whole number of images of 9"),
            ("unsized", "no pixel size"),
        ],
    )
    def test_what_is_no_raw_recording_is_explained(self, files: Path, name: str, words: str):
        with pytest.raises(InputError, match=words):
            open_recording(str(files / f"{name}.tif"), asked(), 9)


class TestEstimate:
    def test_patterns_are_reported_saved_and_right(self, run, files: Path, sample, tmp_path: Path):
        saved = tmp_path / "patterns.json"
        answer = run("sim", "estimate", files / "raw.tif", *OPTICS, "--save", saved)
        assert answer.code == 0, answer.err
        assert "3 of 3 orientations found" in answer.out
        assert "Offset: " in answer.out
        assert str(saved) in answer.out
        for found, truth in zip(Patterns.load(saved), sample.patterns, strict=True):
            assert found.period == pytest.approx(truth.period, rel=0.005)
            assert found.angle == pytest.approx(truth.angle, abs=0.5)
            assert found.depth == pytest.approx(truth.depth, abs=0.15)

    def test_json_has_all_of_it(self, run, files: Path):
        answer = run(
            *("sim", "estimate", files / "raw.tif", files / "planes.tif", *OPTICS),
            *("--offset", files / "offset.tif", "--json"),
        )
        assert answer.code == 0, answer.err
        first, second = answer.json["recordings"]
        assert first["file"] is None
        assert len(first["patterns"]["orientations"]) == 3
        assert first["patterns"]["orientations"] == second["patterns"]["orientations"]
        assert Patterns.from_dict(first["patterns"]).order == "orientation"

    def test_several_recordings_are_saved_in_a_folder(self, run, files: Path, tmp_path: Path):
        raws = (files / "raw.tif", files / "planes.tif")
        answer = run("sim", "estimate", *raws, *OPTICS, "--offset", 100, "--save", tmp_path / "all")
        assert answer.code == 0, answer.err
        assert {path.name for path in (tmp_path / "all").iterdir()} == {
            "raw_patterns.json",
            "planes_patterns.json",
        }

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["raw.tif"], "--na is not given"),
            (["raw.tif", *OPTICS, "--offset", "small_offset.tif"], "shape (9, 9)"),
            (["raw.tif", *OPTICS, "--save", "."], "both|folder"),
            (["fifteen.tif", *OPTICS], "raw 3D-SIM"),
            (["raw.tif", *OPTICS, "--offset", "nowhere.tif"], "does not exist"),
        ],
    )
    def test_what_cannot_be_is_said_in_one_sentence(
        self, run, files: Path, monkeypatch, arguments: list[str], words: str
    ):
        monkeypatch.chdir(files)
        answer = run("sim", "estimate", *arguments)
        if words == "both|folder":
            assert answer.code == 0
            (files / "raw_patterns.json").unlink()
            return
        assert answer.code == 2
        assert words in answer.err
        assert answer.err.count("\n") == 1

    def test_info_tells_saved_patterns_from_a_noise_model(self, run, files: Path):
        answer = run("info", files / "patterns.json")
        assert answer.code == 0
        assert "3 of 3 orientations found" in answer.out


class TestReconstruct:
    def test_the_result_is_on_half_the_pixel_and_sharper(
        self, run, files: Path, sample, tmp_path: Path
    ):
        output = tmp_path / "out.tif"
        answer = run(
            *("sim", "reconstruct", files / "raw.tif", *OPTICS, "--offset", 100),
            *("-o", output, "--widefield"),
        )
        assert answer.code == 0, answer.err
        image, widefield = read_image(output), read_image(tmp_path / "out_widefield.tif")
        assert image.axes == widefield.axes == "YX"
        assert image.data.shape == widefield.data.shape == (256, 256)
        assert image.voxel_size == pytest.approx((PIXEL / 2, PIXEL / 2), rel=1e-4)
        assert image.data.mean() == pytest.approx(sample.noise_free.mean(), rel=0.03)

        from napari_zsdeconvnet.quality.reference_metrics import score, truth_at_resolution

        truth = truth_at_resolution(sample.truth, 0.1, PIXEL / 2)
        ours, plain = (score(one.data, truth, border=24).psnr for one in (image, widefield))
        assert ours > plain + 3

    def test_saved_patterns_serve_a_whole_series(self, run, files: Path, tmp_path: Path):
        answer = run(
            *("sim", "reconstruct", files / "series.tif", "--patterns", files / "patterns.json"),
            *("--offset", 100, "-o", tmp_path, "--json"),
        )
        assert answer.code == 0, answer.err
        (entry,) = answer.json["recordings"]
        image = read_image(entry["reconstructed"])
        assert Path(entry["reconstructed"]).name == "series_sim.tif"
        assert image.axes == "TYX"
        assert image.data.shape == (2, 256, 256)
        assert image.frame_interval == 4.5  # nine frames of half a second
        single = tmp_path / "single.tif"
        run(
            *("sim", "reconstruct", files / "raw.tif", "--patterns", files / "patterns.json"),
            *("--offset", 100, "-o", single),
        )
        np.testing.assert_allclose(read_image(single).data, image.data[0], atol=1e-2)

    def test_a_file_without_pixel_size_takes_that_of_the_patterns(
        self, run, files: Path, tmp_path: Path
    ):
        arguments = ("--patterns", files / "patterns.json", "--offset", 100, "-o", tmp_path)
        assert run("sim", "reconstruct", files / "unsized.tif", *arguments).code == 0

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--patterns", "patterns.json", "--na", "1.4"], "--na does not go with --patterns"),
            (["--patterns", "patterns.json", "--pixel-size", "0.1"], "pixels of 100 nm"),
            (["--patterns", "offset.tif"], "not a file of SIM patterns in JSON"),
            ([], "--na is not given"),
        ],
    )
    def test_what_contradicts_the_patterns_is_refused(
        self, run, files: Path, monkeypatch, tmp_path: Path, arguments: list[str], words: str
    ):
        monkeypatch.chdir(files)
        answer = run("sim", "reconstruct", "raw.tif", "-o", tmp_path / "out.tif", *arguments)
        assert answer.code == 2
        assert words in answer.err
        assert not (tmp_path / "out.tif").exists()

    def test_an_input_is_never_overwritten(self, run, files: Path):
        answer = run("sim", "reconstruct", files / "raw.tif", *OPTICS, "-o", files / "raw.tif")
        assert answer.code == 2
        assert "is an input too" in answer.err


CAMERA = ["--offset", "100", "--gain", "1", "--read-variance", "4"]
QUICK = ["--steps", "2", "--seed", "1", "--device", "cpu"]


@pytest.fixture(scope="module")
def model(files: Path) -> Path:
    """A model of two steps."""
    path = files / "model.safetensors"
    arguments = ["--patterns", files / "patterns.json", *CAMERA, *QUICK, "-o", path]
    assert main([str(part) for part in ("train", files / "raw.tif", *arguments)]) == 0
    return path


class TestTrainAndPredict:
    def test_the_model_knows_its_reconstruction(self, model: Path, sample):
        from napari_zsdeconvnet.model.model import Model

        kept = Model.load(model)
        assert kept.reconstruction is not None
        assert kept.voxel_size == pytest.approx((PIXEL / 2, PIXEL / 2))
        assert Patterns.from_dict(kept.reconstruction["patterns"]).orientations == (
            sample.patterns.orientations
        )

    def test_predict_reconstructs_and_deconvolves_every_image(
        self, run, files: Path, model: Path, tmp_path: Path
    ):
        answer = run(
            *("predict", model, files / "series.tif", "--offset", 100),
            *("-o", tmp_path, "--denoised", "--json"),
        )
        assert answer.code == 0, answer.err
        (entry,) = answer.json["recordings"]
        deconvolved, denoised = (read_image(entry[name]) for name in ("deconvolved", "denoised"))
        assert deconvolved.axes == denoised.axes == "TYX"
        assert deconvolved.data.shape == denoised.data.shape == (2, 256, 256)
        assert deconvolved.voxel_size == pytest.approx((PIXEL / 2, PIXEL / 2), rel=1e-4)

    def test_training_goes_on_from_a_saved_model(
        self, run, files: Path, model: Path, tmp_path: Path
    ):
        longer = tmp_path / "longer.safetensors"
        arguments = ("--resume", model, "--steps", 3, *CAMERA, "--device", "cpu", "-o", longer)
        answer = run("sim", "train", files / "raw.tif", *arguments, "--json")
        assert answer.code == 0, answer.err
        assert answer.json["step"] == 3
        arguments = (*arguments, "--force")
        refused = run("sim", "train", files / "raw.tif", *arguments, "--wiener", 0.2)
        assert refused.code == 2
        assert "--wiener does not go with --resume" in refused.err

    def test_a_camera_may_be_given_as_maps(self, run, files: Path, tmp_path: Path):
        maps = ("--offset", files / "offset.tif", "--gain", 1, "--read-variance", 4)
        answer = run(
            *("sim", "train", files / "raw.tif", "--patterns", files / "patterns.json"),
            *(*maps, *QUICK, "-o", tmp_path / "model.safetensors"),
        )
        assert answer.code == 0, answer.err
        assert "maps: offset" in answer.out

    def test_a_model_of_images_does_not_predict_raw_frames(self, run, files: Path, tmp_path: Path):
        plain = tmp_path / "plain.safetensors"
        run(
            *("train", files / "one.tif", "--na", 1.41, "--wavelength", 0.525),
            *(*CAMERA, *QUICK, "-o", plain),
        )
        answer = run("sim", "predict", plain, files / "raw.tif", "-o", tmp_path / "out.tif")
        assert answer.code == 2
        assert "was not trained on raw SIM" in answer.err

    def test_frames_are_recognised_and_said_to_be(self, run, files: Path, tmp_path: Path):
        answer = run(
            *("train", files / "raw.tif", *OPTICS, *CAMERA, *QUICK),
            *("-o", tmp_path / "model.safetensors"),
        )
        assert answer.code == 0, answer.err
        assert "Taken for raw SIM frames: The 9 frames of raw.tif are striped" in answer.out
        assert "3 of 3 orientations" in answer.out

    @pytest.mark.parametrize(
        ("command", "words"),
        [
            (("train", "one.tif", *OPTICS, "--wiener", 0.2), "--wiener is for raw SIM frames"),
            (("predict", "MODEL", "one.tif", "-o", "out.tif", "--offset", 100), "--offset is for"),
        ],
    )
    def test_what_is_for_raw_frames_is_not_for_images(
        self, run, files: Path, model: Path, tmp_path: Path, command, words
    ):
        named = {"MODEL": model, "one.tif": files / "one.tif", "out.tif": tmp_path / "out.tif"}
        answer = run(*(named.get(word, word) for word in command))
        assert answer.code == 2
        assert words in answer.err

    def test_several_recordings_are_not_one_model(self, run, files: Path, tmp_path: Path):
        answer = run(
            *("sim", "train", str(files / "series*.tif"), "--patterns", files / "patterns.json"),
            *(*CAMERA, *QUICK, "-o", tmp_path / "model.safetensors"),
        )
        assert answer.code == 2
        assert "one model for each" in answer.err


class TestVerdict:
    def test_raw_frames_are_judged_as_the_record_of_the_result_says(
        self, run, files: Path, model: Path, tmp_path: Path
    ):
        predicted = ("predict", model, files / "raw.tif", "--offset", 100)
        assert run(*predicted, "-o", tmp_path / "out.tif").code == 0
        record = tmp_path / "out.json"
        answer = run(
            *("verdict", files / "raw.tif", "--model", model, "--record", record),
            *("--maps", tmp_path / "maps", "--repeats", 2, "--device", "cpu", "--json"),
        )
        assert answer.code == 0, answer.err
        assert all(measure["passed"] is not None for measure in answer.json["measures"])
        for name in ("z_map", "spread", "mean"):
            shown = read_image(answer.json["maps"][name])
            assert shown.data.shape == (256, 256)
            assert shown.voxel_size == pytest.approx((PIXEL / 2, PIXEL / 2), rel=1e-4)
        kept = RunRecord.read(record)
        assert kept.verdict is not None
        assert len(kept.verdict.measures) == 11
        other = run("verdict", files / "series.tif", "--model", model, "--record", record)
        assert other.code == 2
        assert "is not the raw.tif of the record" in other.err

    def test_of_a_reconstruction_it_is_said_what_cannot_be_judged(
        self, run, files: Path, model: Path, tmp_path: Path
    ):
        made = tmp_path / "sim.tif"
        patterns = ("--patterns", files / "patterns.json", "--offset", 100)
        assert run("sim", "reconstruct", files / "raw.tif", *patterns, "-o", made).code == 0
        answer = run("verdict", made, "--model", model, "--device", "cpu")
        assert answer.code == 0, answer.err
        assert "not judged  re-blur: Not judged: the noise of a reconstruction" in answer.out


def test_the_demo_of_raw_sim_is_written_and_scored(run, tmp_path: Path):
    folder = tmp_path / "demo"
    answer = run(
        *("demo", "--sim", "--size", "96", "--steps", "2", "--device", "cpu"),
        *("-o", folder, "--json"),
    )
    assert answer.code == 0, answer.err
    rows = answer.json["rows"]
    assert [row["method"].split(",")[0] for row in rows] == [
        "widefield",
        "Wiener SIM",
        "Wiener SIM + Richardson-Lucy",
        "ours",
    ]
    wide, wiener, lucy, ours = rows
    assert wiener["psnr"] > wide["psnr"]
    assert lucy["seconds"] > wiener["seconds"] > 0
    assert ours["denoised_psnr"] is None
    assert {path.name for path in folder.iterdir()} == {
        *("raw.tif", "second_exposure.tif", "noise_free.tif", "truth.tif", "psf.tif"),
        *("noise.json", "patterns.json", "model.safetensors", "scores.json", "comparison.png"),
        *("widefield.tif", "wiener.tif", "richardson_lucy.tif", "denoised.tif", "deconvolved.tif"),
    }
