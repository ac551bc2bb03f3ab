from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_zsdeconvnet.cli.arguments import parser
from napari_zsdeconvnet.cli.commands import info as command_info
from napari_zsdeconvnet.cli.commands import scenes
from napari_zsdeconvnet.cli.main import main
from napari_zsdeconvnet.cli.parsers import commands_of
from napari_zsdeconvnet.io.image import Image
from napari_zsdeconvnet.io.image_files import read_image
from napari_zsdeconvnet.io.image_writing import write_image
from napari_zsdeconvnet.model.model import Model
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.simulation.sample import camera, simulate
from napari_zsdeconvnet.training import trainer
from napari_zsdeconvnet.utils.errors import InputError

ROOT = Path(__file__).parents[2]
DOCS = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
PIXEL = 0.0626
OPTICS = ["--na", "1.3", "--wavelength", "0.525"]
CAMERA = ["--offset", "100", "--gain", "1", "--read-variance", "4"]
QUICK = ["--steps", "3", "--seed", "1", "--device", "cpu"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a raw image, a series, a PSF and a model of three steps."""
    folder = tmp_path_factory.mktemp("files")
    sample = simulate("filaments", shape=(80, 96), photons=200, seed=3)
    write_image(folder / "raw.tif", sample.raw, axes="YX", voxel_size=(PIXEL, PIXEL))
    write_image(folder / "unsized.tif", sample.raw, axes="YX")
    series = np.stack([sample.raw, sample.second_exposure])
    write_image(
        folder / "series.ome.tif",
        series,
        axes="TYX",
        voxel_size=(PIXEL, PIXEL),
        frame_interval=0.5,
    )
    sample.psf.write(folder / "psf.tif")
    code = main(
        [
            *("train", str(folder / "raw.tif"), "-o", str(folder / "model.safetensors")),
            *(*OPTICS, *CAMERA, *QUICK),
        ]
    )
    assert code == 0
    return folder


class TestHelp:
    def test_help_needs_no_heavy_package(self):
        program = (
            "import sys; from napari_zsdeconvnet.cli.main import main\n"
            "try: main(['--help'])\n"
            "except SystemExit: pass\n"
            "print([m for m in ('torch', 'scipy', 'napari', 'tifffile') if m in sys.modules])"
        )
        out = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        ).stdout
        assert out.endswith("[]\n")
        for command in ("demo", "calibrate", "psf", "train", "predict", "info"):
            assert command in out

    def test_measuring_needs_no_torch(self, files: Path):
        program = (
            "import sys; from napari_zsdeconvnet.cli.main import main\n"
            f"assert main(['info', {str(files / 'raw.tif')!r}]) == 0\n"
            f"assert main(['calibrate', {str(files / 'raw.tif')!r}]) == 0\n"
            "assert 'torch' not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    @pytest.mark.parametrize(
        "arguments",
        [
            ["train"],
            ["predict", "model", "image"],
            ["train", "a.tif", "--steps", "-1"],
            ["train", "a.tif", "--na", "wide"],
            ["train", "a.tif", "--wavelength", "-1"],
            ["train", "a.tif", "--offset", "nan"],
            ["calibrate", "a.tif", "--background", "10-20"],
            ["calibrate", "a.tif", "--background", "0:9,0:9", "--dark"],
            ["psf", "simulate", "--na", "1.3"],
        ],
    )
    def test_arguments_that_make_no_sense_end_with_code_2(self, arguments: list[str]):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 2

    def test_a_bare_command_shows_examples(self, run):
        answer = run()
        assert (answer.code, answer.err) == (0, "")
        assert answer.out.count("  zsdeconvnet ") == 3
        assert answer.out.index("    run ") < answer.out.index("    demo ")
        assert "simulate" in run("psf").out

    @pytest.mark.parametrize(
        ("arguments", "hint"),
        [
            (["trian", "a.tif"], "did you mean train"),
            (["train", "a.tif", "--wavelenght", "0.5"], "did you mean --wavelength"),
            (["info", "a.tif", "b.tif"], "b.tif is one argument too many"),
            (["psf", "simulat"], "did you mean simulate"),
        ],
    )
    def test_what_does_not_exist_is_named_in_one_sentence(
        self, arguments: list[str], hint: str, capsys
    ):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        said = capsys.readouterr().err
        assert end.value.code == 2
        assert hint in said
        assert said.count("\n") == 1

    def test_every_command_has_examples_that_can_be_typed(self):
        for command in commands_of(parser()):
            if command.get_default("command") is None:
                continue
            lines = (command.epilog or "").replace(">", "#").splitlines()[1:]
            assert lines, command.prog
            for line in lines:
                assert line.startswith(f"  {command.prog}")
                parser().parse_args(shlex.split(line, comments=True)[1:])

    def test_quiet_says_nothing_and_verbose_says_versions(self, run, files: Path):
        quiet = run("info", files / "raw.tif", "--quiet")
        assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
        told = run("info", files / "raw.tif", "-v").out
        assert "torch" in told
        assert told.splitlines()[-1].startswith("Ended after")

    @pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
    def test_a_shell_completes_commands_and_options(self, run, shell: str):
        script = run("completion", shell).out
        assert "calibrate" in script
        assert "excitation" in script

    def test_every_line_in_the_docs_can_be_typed(self):
        texts = (page.read_text(encoding="utf-8").replace("\\\n", " ") for page in DOCS)
        lines = [
            shlex.split(re.split(r"[|>]", line)[0])[1:]
            for text in texts
            for line in text.splitlines()
            if line.startswith("zsdeconvnet ")
        ]
        assert len(lines) > 30
        for arguments in lines:
            parser().parse_args(arguments)


class TestErrors:
    def test_input_error_is_one_sentence(self, run):
        answer = run("info", "nothing.tif")
        assert (answer.code, answer.out) == (2, "")
        assert answer.err.startswith("zsdeconvnet: nothing.tif does not exist")
        assert answer.err.count("\n") == 1

    def test_other_failures_keep_the_traceback_for_debug(self, run, monkeypatch, files: Path):
        def broken(*_: object) -> None:
            raise ZeroDivisionError("the unforeseen")

        monkeypatch.setattr(command_info, "info", broken)
        answer = run("info", files / "raw.tif")
        assert answer.code == 1
        assert answer.err == "zsdeconvnet: the unforeseen (add --debug to see where)\n"
        assert "Traceback" in run("info", files / "raw.tif", "--debug").err

    def test_ctrl_c(self, run, monkeypatch, files: Path):
        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(command_info, "info", interrupted)
        answer = run("info", files / "raw.tif")
        assert (answer.code, answer.err) == (
            130,
            "zsdeconvnet: Stopped by Ctrl-C; nothing was kept.\n",
        )

    def test_broken_files_of_every_kind(self, run, tmp_path: Path):
        (tmp_path / "a.tif").write_text("no picture")
        (tmp_path / "a.safetensors").write_text("no model")
        (tmp_path / "a.json").write_text("{}")
        for name in ("a.tif", "a.safetensors", "a.json"):
            answer = run("info", tmp_path / name)
            assert answer.code == 2
            assert name in answer.err


class TestExpand:
    def test_patterns_names_and_repetitions(self, tmp_path: Path, monkeypatch):
        for name in ("b.tif", "a.tif", "odd[1].tif", "c.txt"):
            (tmp_path / name).touch()
        monkeypatch.chdir(tmp_path)
        assert scenes.expand(["*.tif"]) == ["a.tif", "b.tif", "odd[1].tif"]
        assert scenes.expand(["b.tif", "?.tif"]) == ["b.tif", "a.tif"]
        assert scenes.expand(["odd[1].tif"]) == ["odd[1].tif"]
        with pytest.raises(InputError, match=r"No file matches \*\.png"):
            scenes.expand(["*.png"])


class TestCalibrate:
    def test_one_image_within_its_own_error(self, run, files: Path):
        answer = run("calibrate", files / "raw.tif", "--json", *OPTICS, "--offset", "100")
        noise = answer.json["noise"]
        assert noise["offset"] == 100
        assert abs(noise["gain"] - 1) < 3 * noise["gain_error"]
        assert "counts per electron" in answer.err

    def test_written_and_used_for_training(self, run, files: Path, tmp_path: Path):
        path = tmp_path / "noise.json"
        answer = run("calibrate", files / "raw.tif", "-o", path, "--offset", "100")
        assert answer.code == 0
        assert "counts squared" in answer.out
        noise = NoiseModel.from_dict(json.loads(path.read_text()))
        assert noise.offset == 100
        model = tmp_path / "model.safetensors"
        answer = run("train", files / "raw.tif", *OPTICS, *QUICK, "--noise", path, "-o", model)
        assert answer.code == 0
        assert Model.load(model).noise == noise

    def test_background_dark_and_series(self, run, tmp_path: Path):
        rng = np.random.default_rng(0)
        light = np.zeros((64, 64))
        light[32:] = np.linspace(0, 400, 64)
        recorder = NoiseModel(offset=100, gain=1, read_variance=9)
        for name, electrons in (("series", light), ("dark", np.zeros_like(light))):
            frames = camera(np.tile(electrons, (20, 1, 1)), recorder, rng)
            write_image(tmp_path / f"{name}.tif", frames, axes="TYX")

        noise = run("calibrate", tmp_path / "dark.tif", "--dark", "--json").json["noise"]
        assert noise["gain"] is None
        assert noise["read_variance"] == pytest.approx(9, rel=0.05)
        for way in (["--series", "--offset", "100"], ["--background", "0:30,0:64"]):
            noise = run("calibrate", tmp_path / "series.tif", *way, "--json").json["noise"]
            assert noise["offset"] == pytest.approx(100, abs=0.2)
            assert noise["read_variance"] == pytest.approx(9, rel=0.1)
        noise = run("calibrate", tmp_path / "series.tif", "--series", "--json").json["noise"]
        assert noise["gain"] == pytest.approx(1, rel=0.1)

    def test_a_noise_file_is_refused_for_what_is_wrong_with_it(
        self, run, files: Path, tmp_path: Path
    ):
        path = tmp_path / "noise.json"
        for content, words in (
            ('{"offset": 100, "gain": -1, "read_variance": 4}', f"{path}: The gain is -1"),
            (
                '{"offset": 100}',
                f"{path}: The noise model cannot be read (gain, read_variance are missing)",
            ),
            ("no JSON", f"{path} is not a noise model"),
        ):
            path.write_text(content)
            answer = run("train", files / "raw.tif", *OPTICS, *QUICK, "--noise", path)
            assert answer.code == 2
            assert words in answer.err

    def test_typed_numbers_prevail(self, run, files: Path):
        answer = run(
            *("calibrate", files / "raw.tif", "--offset", "99", "--gain", "1.5", "--json"),
        )
        noise = answer.json["noise"]
        assert (noise["offset"], noise["gain"], noise["gain_error"]) == (99, 1.5, None)
        assert "gain typed by hand" in noise["source"]

    @pytest.mark.parametrize("region", ["0:81,0:10", "10:10,0:10", "0:10,-5:10", "20:10,0:10"])
    def test_region_must_lie_in_the_image(self, run, files: Path, region: str):
        answer = run("calibrate", files / "raw.tif", f"--background={region}")
        assert answer.code == 2
        assert "80 rows and 96 columns" in answer.err

    def test_channel_and_axes(self, run, files: Path, tmp_path: Path):
        raw = read_image(files / "raw.tif").data
        stack = np.stack([raw, raw + 50])
        write_image(tmp_path / "two.tif", stack, axes="CYX", voxel_size=(PIXEL, PIXEL))
        answer = run("calibrate", tmp_path / "two.tif")
        assert answer.code == 2
        assert "2 channels" in answer.err
        first = run("calibrate", tmp_path / "two.tif", "--channel", "0", "--json").json
        second = run("calibrate", tmp_path / "two.tif", "--channel", "1", "--json").json
        shift = second["noise"]["offset"] - first["noise"]["offset"]
        assert shift == pytest.approx(50, abs=1e-6)
        assert run("calibrate", tmp_path / "two.tif", "--channel", "2").code == 2
        assert run("calibrate", tmp_path / "two.tif", "--axes", "TYX").code == 0

        steps = {"voxel_size": (0.2, PIXEL, PIXEL)}
        write_image(tmp_path / "planes.tif", stack, axes="ZYX", **steps)
        whole = run("calibrate", tmp_path / "planes.tif", "--json").json
        assert "one volume" in whole["noise"]["source"]
        plane = run("calibrate", tmp_path / "planes.tif", "--plane", "1", "--json").json
        assert plane["noise"]["offset"] == second["noise"]["offset"]
        assert run("calibrate", tmp_path / "planes.tif", "--plane", "2").code == 2


class TestPSF:
    def test_simulated_written_and_read_back(self, run, tmp_path: Path):
        path = tmp_path / "psf.tif"
        made = run("psf", "simulate", *OPTICS, "--pixel-size", "0.0313", "-o", path, "--json")
        assert made.json["fwhm"] == pytest.approx([0.208, 0.208], abs=0.003)
        assert made.json["cutoff_per_unit"] == pytest.approx(2 * 1.3 / 0.525, rel=0.04)
        read = run("psf", "read", path, "--json")
        assert read.json["voxel_size_um"] == pytest.approx([0.0313, 0.0313])
        assert read.json["fwhm"] == pytest.approx(made.json["fwhm"], rel=0.01)
        words = run("psf", "read", path, "--resample", "0.05")
        assert "0.05 x 0.05 µm" in words.out
        assert "FWHM" in run("info", path, "--psf").out

    def test_plane_of_a_volume(self, run, tmp_path: Path):
        path = tmp_path / "psf3d.tif"
        volume = ["--axial-step", "0.2", "--planes", "5", "--pixel-size", "0.06"]
        assert run("psf", "simulate", *OPTICS, *volume, "-o", path).code == 0
        assert len(run("psf", "read", path, "--json").json["shape"]) == 3
        for choice in (["--focus"], ["--plane", "2"]):
            assert len(run("psf", "read", path, *choice, "--json").json["shape"]) == 2
        assert run("psf", "read", path, "--plane", "7").code == 2

    def test_beads(self, run, tmp_path: Path):
        rng = np.random.default_rng(0)
        y, x = np.mgrid[:160, :160]
        beads = np.full((160, 160), 100.0)
        for centre_y in (30, 80, 130):
            for centre_x in (31, 79, 128):
                distance = (y - centre_y) ** 2 + (x - centre_x) ** 2
                beads += 2000 * np.exp(-distance / (2 * 2.0**2))
        write_image(tmp_path / "beads.tif", rng.poisson(beads).astype(np.uint16), axes="YX")
        answer = run("psf", "beads", tmp_path / "beads.tif", "--voxel-size", "0.05", "--json")
        assert answer.json["fwhm"] == pytest.approx([0.235, 0.235], rel=0.06)


class TestTrain:
    def test_the_model_holds_what_was_said(self, files: Path):
        model = Model.load(files / "model.safetensors")
        assert model.preset == "fast"
        assert model.seed == 1
        assert model.steps_trained == 3
        assert model.voxel_size == pytest.approx((PIXEL, PIXEL))
        assert model.psf.voxel_size == pytest.approx((PIXEL / 2, PIXEL / 2))
        assert (model.noise.offset, model.noise.gain, model.noise.read_variance) == (100, 1, 4)

    def test_json_goes_to_stdout_and_words_to_stderr(self, run, files: Path, tmp_path: Path):
        model = tmp_path / "m.safetensors"
        answer = run(
            *("train", files / "*.tif", "--pixel-size", PIXEL, "--axes", "YX"),
            *(*OPTICS, *CAMERA, *QUICK, "--json", "-o", model),
        )
        assert answer.code == 2  # the pattern also finds the series, whose axes are TYX
        assert answer.out == ""
        answer = run(
            *("train", files / "raw.tif", files / "unsized.tif", "--pixel-size", PIXEL),
            *(*OPTICS, *CAMERA, *QUICK, "--json", "-o", model),
        )
        assert answer.code == 0
        values = answer.json
        assert (values["step"], values["steps"], values["stopped"]) == (3, 3, False)
        assert set(values["losses"]) == {"total", "denoising", "deconvolution", "hessian"}
        assert "PSF" in answer.err
        assert model.exists()

    def test_noise_is_measured_and_what_is_typed_prevails(self, run, files: Path, tmp_path: Path):
        model = tmp_path / "m.safetensors"
        answer = run(*("train", files / "raw.tif", *OPTICS, *QUICK, "--gain", "1.25", "-o", model))
        assert answer.code == 0
        noise = Model.load(model).noise
        assert noise.gain == 1.25
        assert noise.gain_error is None
        assert noise.offset == pytest.approx(100, abs=3)
        assert noise.offset_error is not None
        assert "gain typed by hand" in answer.out

    def test_psf_without_voxel_size_is_taken_on_the_output_grid_and_it_is_said(
        self, run, files: Path, tmp_path: Path
    ):
        psf = PSF.read(files / "psf.tif")
        tifffile.imwrite(tmp_path / "bare.tif", psf.array)
        model = tmp_path / "m.safetensors"
        common = [*CAMERA, *QUICK, "-o", model]
        answer = run("train", files / "raw.tif", "--psf", tmp_path / "bare.tif", *common)
        assert answer.code == 0
        assert "taken to be on the output grid" in answer.err
        assert Model.load(model).psf.voxel_size == pytest.approx((PIXEL / 2, PIXEL / 2))
        unsized = ("train", files / "unsized.tif", "--psf", files / "psf.tif", "--force")
        answer = run(*unsized, *common)
        assert answer.code == 0
        assert "has no pixel size" in answer.err

    def test_psf_with_voxel_size_is_resampled(self, run, files: Path, tmp_path: Path):
        path, model = tmp_path / "fine.tif", tmp_path / "m.safetensors"
        PSF.simulate(na=1.3, wavelength=0.525, pixel_size=0.02).write(path)
        answer = run("train", files / "raw.tif", "--psf", path, *CAMERA, *QUICK, "-o", model)
        assert answer.code == 0
        resampled = Model.load(model).psf
        assert resampled.voxel_size == pytest.approx((PIXEL / 2, PIXEL / 2))
        assert resampled.fwhm == pytest.approx((0.208, 0.208), rel=0.03)

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["unsized.tif", *OPTICS], "--pixel-size"),
            (["raw.tif"], "--psf"),
            (["raw.tif", "--na", "1.3"], "--wavelength"),
            (["raw.tif", "--psf", "psf.tif", *OPTICS], "both"),
            (["raw.tif", "--psf", "nothing.tif"], "nothing.tif does not exist"),
            (["raw.tif", "unsized.tif", *OPTICS], "different pixel sizes"),
            (["raw.tif", *OPTICS, "-o", "raw.tif"], "raw.tif is an input too"),
            (["raw.tif", *OPTICS, "-o", "nowhere/model.safetensors"], "does not exist"),
            (["raw.tif", *OPTICS, "--preset", "best"], "'best' does not exist"),
            (["raw.tif", *OPTICS, "--device", "cuda:99"], "cuda:99"),
            (["raw.tif", *OPTICS, "--noise", "raw.tif"], "not a noise model"),
            (["raw.tif", *OPTICS, "--resume", "model.safetensors"], "--na does not go with"),
            (["*.png", *OPTICS], "No file matches"),
        ],
    )
    def test_refusals_come_before_training(
        self, run, files: Path, tmp_path: Path, monkeypatch, arguments: list[str], words: str
    ):
        monkeypatch.chdir(files)
        before = {path.name: path.read_bytes() for path in files.iterdir()}
        output = [] if "-o" in arguments else ["-o", str(tmp_path / "m.safetensors")]
        needed = [] if {"--noise", "--resume"} & set(arguments) else CAMERA
        answer = run("train", *arguments, *needed, "--steps", "3", *output)
        assert answer.code == 2
        assert words in answer.err.splitlines()[-1]
        assert {path.name: path.read_bytes() for path in files.iterdir()} == before
        assert list(tmp_path.iterdir()) == []

    def test_three_dimensional_psf_needs_a_choice(self, run, files: Path, tmp_path: Path):
        path = tmp_path / "psf3d.tif"
        PSF.simulate(
            na=1.3, wavelength=0.525, pixel_size=PIXEL / 2, axial_step=0.2, planes=3
        ).write(path)
        common = [*CAMERA, *QUICK, "-o", tmp_path / "m.safetensors"]
        answer = run("train", files / "raw.tif", "--psf", path, *common)
        assert answer.code == 2
        assert "--psf-focus" in answer.err
        assert run("train", files / "raw.tif", "--psf", path, "--psf-focus", *common).code == 0

    @pytest.mark.usefixtures("usual_signals")
    def test_ctrl_c_keeps_a_model_that_resumes(self, run, files: Path, tmp_path: Path, monkeypatch):
        usual = signal.getsignal(signal.SIGINT)
        step = trainer.TrainingRun.__next__

        def pressing_ctrl_c(self: trainer.TrainingRun) -> trainer.Progress:
            progress = step(self)
            if progress.step == 2:
                signal.raise_signal(signal.SIGINT)
            return progress

        monkeypatch.setattr(trainer.TrainingRun, "__next__", pressing_ctrl_c)
        model = tmp_path / "m.safetensors"
        common = ["--device", "cpu", "--json", "-o", model]
        answer = run(
            *("train", files / "raw.tif", *OPTICS, *CAMERA, "--steps", "4", "--seed", "1", *common)
        )
        assert answer.code == 130
        assert "step 2" in answer.err.splitlines()[-1]
        assert (answer.json["step"], answer.json["stopped"]) == (2, True)
        assert signal.getsignal(signal.SIGINT) is usual
        monkeypatch.undo()

        resumed = run("train", files / "raw.tif", "--resume", model, *common)
        assert resumed.code == 0
        whole = tmp_path / "whole.safetensors"
        run(
            *("train", files / "raw.tif", *OPTICS, *CAMERA, "--steps", "4", "--seed", "1"),
            *("--device", "cpu", "-o", whole),
        )
        assert resumed.json["step"] == 4
        assert Model.load(model).history == Model.load(whole).history

    def test_a_complete_training_says_how_to_go_on(self, run, files: Path, tmp_path: Path):
        arguments = ["train", files / "raw.tif", "--resume", files / "model.safetensors"]
        arguments += ["--device", "cpu", "-o", tmp_path / "m.safetensors"]
        answer = run(*arguments)
        assert answer.code == 2
        assert "give more steps" in answer.err
        assert run(*arguments, "--steps", "4").code == 0

    def test_a_folder_that_fails_during_training_loses_nothing(
        self, run, files: Path, tmp_path: Path, monkeypatch
    ):
        refuge = tmp_path / "refuge"
        refuge.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(refuge))
        save = trainer.TrainingRun.save

        def failing_at_first(self: trainer.TrainingRun, path: str | Path) -> None:
            if refuge not in Path(path).parents:
                raise InputError("disk-full", "The disk is full.")
            save(self, path)

        monkeypatch.setattr(trainer.TrainingRun, "save", failing_at_first)
        model = tmp_path / "m.safetensors"
        answer = run("train", files / "raw.tif", *OPTICS, *CAMERA, *QUICK, "-o", model)
        assert answer.code == 2
        (rescued,) = refuge.glob("*/m.safetensors")  # in a folder of its own, however many fail
        assert f"saved as {rescued}" in answer.err
        assert Model.load(rescued).steps_trained == 3

    def test_non_finite_loss_keeps_the_last_good_weights(
        self, run, files: Path, tmp_path: Path, monkeypatch
    ):
        def failing(self: trainer.TrainingRun) -> trainer.Progress:
            raise trainer.NonFiniteLossError("The loss is not finite at step 1.")

        monkeypatch.setattr(trainer.TrainingRun, "__next__", failing)
        model = tmp_path / "m.safetensors"
        answer = run("train", files / "raw.tif", *OPTICS, *CAMERA, *QUICK, "-o", model)
        assert answer.code == 1
        assert "not finite" in answer.err
        assert Model.load(model).steps_trained == 0


class TestPredict:
    def test_one_image_into_a_file(self, run, files: Path, tmp_path: Path):
        output = tmp_path / "result.tif"
        answer = run(
            *("predict", files / "model.safetensors", files / "raw.tif"),
            *("-o", output, "--denoised", "--device", "cpu"),
        )
        assert answer.code == 0
        deconvolved, denoised = read_image(output), read_image(tmp_path / "result_denoised.tif")
        assert (deconvolved.axes, deconvolved.data.shape) == ("YX", (160, 192))
        assert deconvolved.voxel_size == pytest.approx((PIXEL / 2, PIXEL / 2), rel=1e-4)
        assert (denoised.axes, denoised.data.shape) == ("YX", (80, 96))
        assert denoised.voxel_size == pytest.approx((PIXEL, PIXEL), rel=1e-4)
        direct = Model.load(files / "model.safetensors").predict(read_image(files / "raw.tif"))
        np.testing.assert_allclose(deconvolved.data, direct.deconvolved, rtol=1e-5, atol=1e-4)

    def test_many_images_into_a_folder_with_axes_kept(self, run, files: Path, tmp_path: Path):
        folder = tmp_path / "new" / "results"
        answer = run(
            *("predict", files / "model.safetensors", files / "raw.tif"),
            *(files / "series*.tif", "-o", folder, "--json", "--device", "cpu"),
        )
        assert answer.code == 0
        written = [Path(image["deconvolved"]).name for image in answer.json["images"]]
        assert written == ["raw_deconvolved.tif", "series_deconvolved.ome.tif"]
        records = ["raw_deconvolved.json", "series_deconvolved.ome.json"]
        assert sorted(os.listdir(folder)) == sorted(written + records)
        series = read_image(folder / "series_deconvolved.ome.tif")
        assert (series.axes, series.data.shape) == ("TYX", (2, 160, 192))
        assert series.voxel_size == pytest.approx((PIXEL / 2, PIXEL / 2))
        assert series.frame_interval == 0.5

    def test_inputs_are_never_overwritten(self, run, files: Path, tmp_path: Path):
        before = (files / "raw.tif").read_bytes()
        answer = run(
            "predict", files / "model.safetensors", files / "raw.tif", "-o", files / "raw.tif"
        )
        assert answer.code == 2
        assert "is an input too" in answer.err
        assert (files / "raw.tif").read_bytes() == before

    def test_denoised_never_overwrites_an_input(self, run, files: Path, tmp_path: Path):
        source = tmp_path / "x_denoised.tif"
        source.write_bytes((files / "raw.tif").read_bytes())
        before = source.read_bytes()
        answer = run(
            *("predict", files / "model.safetensors", source, "--denoised"),
            *("-o", tmp_path / "x_deconvolved.tif", "--device", "cpu"),
        )
        assert answer.code == 2
        assert source.read_bytes() == before

    @pytest.mark.parametrize(
        ("images", "output", "words"),
        [
            (["raw.tif", "unsized.tif"], "one.tif", "name a folder"),
            (["raw.tif"], "model.safetensors", "cannot be made"),
            (["raw.tif", "./raw.tif"], "out", "would both be written"),
            (["psf.tif"], "out", "train a model for this pixel size"),
        ],
    )
    def test_refusals(
        self, run, files: Path, monkeypatch, images: list[str], output: str, words: str
    ):
        monkeypatch.chdir(files)
        answer = run("predict", "model.safetensors", *images, "-o", output, "--device", "cpu")
        assert answer.code == 2
        assert words in answer.err

    def test_a_foreign_model_is_refused(self, run, files: Path, tmp_path: Path):
        answer = run("predict", files / "raw.tif", files / "raw.tif", "-o", tmp_path / "o.tif")
        assert answer.code == 2
        assert "not a model file" in answer.err

    def test_ctrl_c_says_how_many_were_written(self, run, files: Path, tmp_path: Path, monkeypatch):
        iter_predict = Model.iter_predict

        def interrupted(self: Model, image: Image, **options: object):
            steps = iter_predict(self, image, **options)
            if image.name == "unsized.tif":
                yield next(steps)
                raise KeyboardInterrupt
            return (yield from steps)

        monkeypatch.setattr(Model, "iter_predict", interrupted)
        answer = run(
            *("predict", files / "model.safetensors", files / "raw.tif", files / "unsized.tif"),
            *("-o", tmp_path / "o", "--denoised", "--device", "cpu"),
        )
        assert answer.code == 130
        assert "1 of 2 images were written" in answer.err
        written = {path.name for path in (tmp_path / "o").iterdir()}
        assert written == {"raw_deconvolved.tif", "raw_deconvolved.json", "raw_denoised.tif"}


class TestInfo:
    def test_image(self, run, files: Path):
        values = run("info", files / "series.ome.tif", "--json").json
        assert values["kind"] == "image"
        assert (values["axes"], values["shape"]) == ("TYX", [2, 80, 96])
        assert values["voxel_size_um"] == pytest.approx([PIXEL, PIXEL])
        assert "0.0626 x 0.0626 µm" in run("info", files / "raw.tif").out

    def test_model(self, run, files: Path):
        values = run("info", files / "model.safetensors", "--json").json
        assert (values["kind"], values["preset"], values["steps"]) == ("model", "fast", 3)
        assert values["noise"]["offset"] == 100
        assert "fast model" in run("info", files / "model.safetensors").out


class TestDemo:
    def test_everything_is_written_and_scored(self, run, tmp_path: Path):
        folder = tmp_path / "demo"
        answer = run(
            *("demo", "--size", "96", "--steps", "2", "--device", "cpu", "-o", folder, "--json")
        )
        assert answer.code == 0
        rows = answer.json["rows"]
        assert [row["method"].split(",")[0] for row in rows] == [
            "raw",
            "Richardson-Lucy",
            "ours",
        ]
        assert rows[1]["psnr"] > rows[0]["psnr"]
        assert all(np.isfinite(row["ssim"]) for row in rows)
        assert {path.name for path in folder.iterdir()} == {
            *("raw.tif", "second_exposure.tif", "noise_free.tif", "truth.tif", "psf.tif"),
            *("noise.json", "model.safetensors", "scores.json", "comparison.png"),
            *("richardson_lucy.tif", "denoised.tif", "deconvolved.tif"),
        }
        assert read_image(folder / "deconvolved.tif").voxel_size == pytest.approx((0.0313,) * 2)
        assert "PSNR" in answer.err

    def test_without_steps_it_shows_the_pretrained_weights(self, run, tmp_path: Path):
        answer = run("demo", "--size", "96", "--steps", "0", "--device", "cpu", "-o", tmp_path)
        assert answer.code == 0
        assert "0 steps" in answer.out
        assert (tmp_path / "comparison.png").exists()


class TestDevices:
    def test_what_auto_stands_for_is_named_first(self, run):
        answer = run("devices", "--json")
        assert answer.code == 0
        assert answer.json["auto"] == next(iter(answer.json["devices"]))
        assert "cpu" in answer.json["devices"]
        assert "taken by auto" in run("devices").out
