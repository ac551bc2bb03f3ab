"""Signals, kills and broken streams: what was learned is kept, and the work is done."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from napari_zsdeconvnet.io.image_writing import write_image
from napari_zsdeconvnet.model.model import Model
from napari_zsdeconvnet.model.provenance import weights_fingerprint
from napari_zsdeconvnet.simulation.sample import simulate
from napari_zsdeconvnet.training import autosave, trainer
from napari_zsdeconvnet.training.autosave import Autosave, checkpoint_of

ROOT = Path(__file__).parents[2]
POSIX = pytest.mark.skipif(os.name == "nt", reason="POSIX only")
COMMAND = [sys.executable, "-m", "napari_zsdeconvnet.cli.main"]
OPTIONS = ["--na", "1.3", "--wavelength", "0.525", "--offset", "100", "--gain", "1"]
OPTIONS += ["--read-variance", "4", "--seed", "1", "--device", "cpu"]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "raw.tif"
    raw = simulate("filaments", shape=(80, 80), photons=200, seed=3).raw
    write_image(path, raw, axes="YX", voxel_size=(0.0626, 0.0626))
    return path


def signalled_at(step: int, *numbers: int):
    """Have these signals come at a step of any training."""
    usual = trainer.TrainingRun.__next__

    def following(self: trainer.TrainingRun) -> trainer.Progress:
        progress = usual(self)
        if progress.step == step:
            for number in numbers:
                signal.raise_signal(number)
        return progress

    return following


@pytest.mark.usefixtures("usual_signals")
class TestSignals:
    @POSIX
    @pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
    def test_the_first_one_saves_as_ctrl_c_does(
        self, run, image: Path, tmp_path: Path, monkeypatch, name: str
    ):
        number = getattr(signal, name)
        monkeypatch.setattr(trainer.TrainingRun, "__next__", signalled_at(2, number))
        model = tmp_path / "m.safetensors"
        answer = run("train", image, *OPTIONS, "--steps", "9", "-o", model)
        assert answer.code == 130
        assert f"Stopped by {name}; the model of step 2 is in {model}" in answer.err
        assert Model.load(model).steps_trained == 2
        assert signal.getsignal(number) is signal.SIG_DFL

    @POSIX
    def test_with_nohup_the_terminal_may_close(self, run, image: Path, tmp_path: Path, monkeypatch):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        monkeypatch.setattr(trainer.TrainingRun, "__next__", signalled_at(2, signal.SIGHUP))
        model = tmp_path / "m.safetensors"
        assert run("train", image, *OPTIONS, "--steps", "3", "-o", model).code == 0
        assert Model.load(model).steps_trained == 3

    def test_a_second_ctrl_c_at_once_does_not_discard_what_the_first_saves(
        self, run, image: Path, tmp_path: Path, monkeypatch
    ):
        twice = signalled_at(2, signal.SIGINT, signal.SIGINT)
        monkeypatch.setattr(trainer.TrainingRun, "__next__", twice)
        save = trainer.TrainingRun.save

        def saving(self: trainer.TrainingRun, path: str, *, judged: bool = True) -> None:
            signal.raise_signal(signal.SIGINT)  # a third, while the model is written
            save(self, path, judged=judged)

        monkeypatch.setattr(trainer.TrainingRun, "save", saving)
        model = tmp_path / "m.safetensors"
        answer = run("train", image, *OPTIONS, "--steps", "30", "-o", model)
        assert answer.code == 130
        assert Model.load(model).steps_trained == 2
        assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


@pytest.mark.usefixtures("usual_signals")
class TestCheckpoints:
    def broken_off(self, run, image: Path, model: Path, monkeypatch) -> Path:
        """Train until the machine fails, which here is an error that nobody expects."""
        step = trainer.TrainingRun.__next__

        def failing(self: trainer.TrainingRun) -> trainer.Progress:
            if self.step == 3:
                deadline = time.monotonic() + 20
                while not checkpoint_of(model).exists() and time.monotonic() < deadline:
                    time.sleep(0.02)
                raise SystemError("the machine fails")
            return step(self)

        with monkeypatch.context() as patched:
            patched.setattr(trainer.TrainingRun, "__next__", failing)
            patched.setattr(autosave, "EVERY", 0.05)
            assert run("train", image, *OPTIONS, "--steps", "6", "-o", model).code == 1
        return checkpoint_of(model)

    def test_what_broke_off_is_offered_and_comes_to_the_same_bits(
        self, run, image: Path, tmp_path: Path, monkeypatch
    ):
        model, whole = tmp_path / "m.safetensors", tmp_path / "whole.safetensors"
        checkpoint = self.broken_off(run, image, model, monkeypatch)
        assert not model.exists()
        assert 1 <= Model.load(checkpoint).steps_trained <= 3
        assert run("info", checkpoint).code == 0

        answer = run("train", image, *OPTIONS, "--steps", "6", "-o", whole)
        assert "broke off" not in answer.err  # it is another output
        answer = run("train", image, *OPTIONS, "--steps", "2", "-o", model)
        aside = tmp_path / "m.safetensors.earlier.checkpoint"
        assert f"is kept as {aside}: to go on from there, give --resume {aside}" in answer.err
        assert Model.load(model).steps_trained == 2

        resumed = ("--resume", aside, "--device", "cpu", "--force", "-o", model)
        assert run("train", image, *resumed).code == 0
        weights = [Model.load(path).network.state_dict() for path in (model, whole)]
        assert weights_fingerprint(weights[0]) == weights_fingerprint(weights[1])
        assert not checkpoint.exists()

    def test_what_was_done_but_not_written_is_written(
        self, run, image: Path, tmp_path: Path, monkeypatch
    ):
        model, again = tmp_path / "m.safetensors", tmp_path / "again.safetensors"
        run("train", image, *OPTIONS, "--steps", "3", "-o", model)
        checkpoint = checkpoint_of(model)
        model.rename(checkpoint)
        answer = run("train", image, "--resume", checkpoint, "--device", "cpu", "-o", again)
        assert answer.code == 0
        assert f"was done after 3 steps; the model is in {again}" in answer.out
        assert Model.load(again).steps_trained == 3
        # More steps are still done where they are asked for.
        more = ["--steps", "4", "--device", "cpu", "--force", "-o", again]
        assert run("train", image, "--resume", checkpoint, *more).code == 0
        assert Model.load(again).steps_trained == 4

    def test_run_goes_on_with_resume(self, run, image: Path, tmp_path: Path, monkeypatch):
        first, whole = tmp_path / "first", tmp_path / "whole"
        usual = [*OPTIONS[:6], "--device", "cpu", "--no-verdict"]

        def ends(*_: object, **__: object) -> None:
            raise MemoryError

        checkpoint = first / "raw_model.safetensors.checkpoint"
        with monkeypatch.context() as patched:
            patched.setattr("napari_zsdeconvnet.workflow.pipeline.iter_recorded_by", ends)
            answer = run("run", image, *usual, "--seed", "1", "--steps", "4", "-o", first)
        assert answer.code == 4
        assert f"Memory ran out. The training of step 4 is in {checkpoint}" in answer.err
        assert [path.name for path in first.iterdir()] == [checkpoint.name]
        # Of one that was done the result is made; with more steps it is trained on.
        assert run("run", image, *usual, "--resume", checkpoint, "-o", whole).code == 0
        assert Model.load(whole / "raw_model.safetensors").steps_trained == 4
        more = ["--steps", "6", "--resume", checkpoint, "-o", first]
        assert run("run", image, *usual, *more).code == 0
        assert Model.load(first / "raw_model.safetensors").steps_trained == 6
        assert not checkpoint.exists()

    @pytest.mark.usefixtures("usual_signals")
    def test_a_repeat_goes_on_by_itself(self, run, image: Path, tmp_path: Path, monkeypatch):
        model, again = tmp_path / "m.safetensors", tmp_path / "again"
        run("train", image, *OPTIONS, "--steps", "6", "-o", model)
        with monkeypatch.context() as patched:
            patched.setattr(trainer.TrainingRun, "__next__", signalled_at(3, signal.SIGINT))
            answer = run("repeat", model, image, "-o", again)
        checkpoint = checkpoint_of(again / "model.safetensors")
        assert answer.code == 130
        assert f"the training so far is in {checkpoint}" in answer.err
        assert Model.load(checkpoint).steps_trained == 3

        answer = run("repeat", model, image, "-o", again)
        assert f"Going on with {checkpoint}, at step 3." in answer.out
        assert "The model is the same to the bit" in answer.out
        assert not checkpoint.exists()

    def test_a_repeat_leaves_the_checkpoint_of_another_run_alone(
        self, run, image: Path, tmp_path: Path, monkeypatch
    ):
        model, again = tmp_path / "m.safetensors", tmp_path / "again"
        run("train", image, *OPTIONS, "--steps", "2", "-o", model)
        other = checkpoint_of(again / "model.safetensors")
        again.mkdir()
        run("train", image, *OPTIONS, "--seed", "2", "--steps", "2", "-o", other)
        answer = run("repeat", model, image, "-o", again)
        assert "A training of another run broke off after step 2" in answer.err
        assert "The model is the same to the bit" in answer.out
        assert (again / "model.safetensors.earlier.checkpoint").exists()

    def test_in_a_terminal_it_asks(self, run, image: Path, tmp_path: Path, monkeypatch):
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        model = tmp_path / "m.safetensors"
        checkpoint = self.broken_off(run, image, model, monkeypatch)
        monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        answer = run("train", image, *OPTIONS, "--steps", "6", "-o", model)
        assert "Go on with it? [Y/n]" in answer.err
        assert f"Going on with {checkpoint}" in answer.out
        assert Model.load(model).stretches[0].last < 6
        assert Model.load(model).steps_trained == 6

    def test_a_full_disk_is_said_and_training_goes_on(self, tmp_path: Path):
        class Run:
            step = 1
            finished = False

            def save(self, path: Path, *, judged: bool) -> None:
                raise OSError("No space left on device")

        with Autosave(Run(), tmp_path / "c", every=0.01) as saving:
            deadline = time.monotonic() + 10
            while not saving.problem and time.monotonic() < deadline:
                time.sleep(0.01)
        assert saving.problem == "No space left on device"
        assert saving.step == 0


@POSIX
class TestStreams:
    def shell(self, line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", f"set -o pipefail; {line}"],
            capture_output=True,
            text=True,
            env={**os.environ, "Z": " ".join(COMMAND)},
        )

    def test_a_reader_that_has_gone_ends_nothing(self, image: Path):
        done = self.shell(f"$Z info {image} | true")
        assert (done.returncode, done.stderr) == (0, "")

    def test_closed_streams_end_nothing(self, image: Path, tmp_path: Path):
        noise = tmp_path / "noise.json"
        done = self.shell(f"$Z calibrate {image} --offset 100 -o {noise} <&- >&- 2>&-")
        assert done.returncode == 0
        assert json.loads(noise.read_text())["offset"] == 100

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device /dev/full")
    def test_words_that_find_no_room_are_a_failure(self, image: Path):
        done = self.shell(f"$Z info --json {image} > /dev/full")
        assert done.returncode == 2
        assert "What was to be said could not be: No space left" in done.stderr


@POSIX
@pytest.mark.slow
def test_a_process_that_is_forked_after_computing_says_so_and_computes(tmp_path: Path):
    script = tmp_path / "forked.py"
    script.write_text(
        "import os, torch\n"
        "from napari_zsdeconvnet.utils.devices import threads\n"
        "torch.set_num_threads(2)\n"
        "def compute():\n"
        "    with threads(2):\n"
        "        x = torch.rand(8, 8, 256, 256)\n"
        "        return torch.nn.functional.conv2d(x, torch.rand(8, 8, 3, 3)).sum()\n"
        "compute()\n"
        "if os.fork() == 0:\n"
        "    compute()\n"
        "    os._exit(7)\n"
        "print(os.waitstatus_to_exitcode(os.wait()[1]))\n"
    )
    env = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=120, env=env
    )
    assert done.stdout == "7\n"
    assert "Start processes with the method 'spawn'" in done.stderr


@POSIX
@pytest.mark.slow
def test_kills_at_random_moments_leave_nothing_half_written():
    script = ROOT / "benchmarks" / "kills.py"
    options = ["--kills", "1", "--resumed", "1", "--steps", "40", "--every", "1", "--seed", "5"]
    done = subprocess.run(
        [sys.executable, str(script), *options], capture_output=True, text=True, timeout=590
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["kills"] == 4
