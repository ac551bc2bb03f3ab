"""Kill commands at random moments, and see what is left.

``python benchmarks/kills.py --kills 25`` kills `train`, `run`, `predict`, `repeat` 25 times each.
Whatever has a final name must be whole afterwards, a record must belong to what lies beside it,
no more than half a minute of training may be lost, and trainings that are resumed from what was
kept must come to the same bits as one that nobody disturbed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from napari_zsdeconvnet.cli.main import main as main_of_package
from napari_zsdeconvnet.io.image_files import read_image
from napari_zsdeconvnet.io.image_writing import write_image
from napari_zsdeconvnet.model.facts import ModelFacts
from napari_zsdeconvnet.model.model import Model
from napari_zsdeconvnet.model.provenance import Source, weights_fingerprint
from napari_zsdeconvnet.simulation.sample import simulate
from napari_zsdeconvnet.training import autosave
from napari_zsdeconvnet.training.autosave import EVERY, Autosave, checkpoint_of, is_complete
from napari_zsdeconvnet.workflow.record import RunRecord

OPTICS = ["--na", "1.4", "--wavelength", "0.525", "--pixel-size", "0.0626", "--offset", "100"]
RESUMED = [*OPTICS, "--device", "cpu", "--no-verdict", "--force", "--resume"]
MOST_LOST = 30.0
"""Seconds of training that a kill may cost."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill, look, and say what was found; 1 where something was broken."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=25, help="of each command")
    parser.add_argument(
        "--resumed", type=int, default=3, help="trainings of each command to resume to their end"
    )
    parser.add_argument("--steps", type=int, default=150, help="of each training")
    parser.add_argument("--size", type=int, default=128, help="of the image, pixels")
    parser.add_argument("--every", type=float, default=EVERY, help="seconds between checkpoints")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=["train", "run", "predict", "repeat"])
    options = parser.parse_args(arguments)
    os.environ["ZSDECONVNET_THREADS"] = "1"
    importlib.import_module("napari_zsdeconvnet.workflow.pipeline")  # for all children
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(Path(folder), options)
        for name in options.only:
            trial.of(name)
            print(name, trial.kills, trial.faults, trial.lost, file=sys.stderr, flush=True)
    found = {"kills": trial.kills, "resumed": trial.resumed, "faults": trial.faults}
    print(json.dumps(found | {"most_lost": max(trial.lost, default=0.0)}))
    return 1 if trial.faults else 0


class Trial:
    """Commands on one small image, each killed at random moments."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder = folder
        self.options = options
        self.random = random.Random(options.seed)
        self.kills = 0
        self.resumed = dict.fromkeys(("train", "run", "predict", "repeat"), 0)
        self.lost: list[float] = []
        self.begun = folder / "begun"
        self.faults: list[str] = []
        self.image = folder / "cell.tif"
        raw = simulate(shape=(options.size,) * 2, photons=50, seed=1).raw
        write_image(self.image, raw, axes="YX", voxel_size=(0.0626, 0.0626))
        steps = ["--steps", str(options.steps), "--seed", "1", "--device", "cpu"]
        self.training = ["train", str(self.image), *OPTICS, *steps]
        self.model = folder / "whole.safetensors"
        self.seconds = {"train": self.time([*self.training, "-o", str(self.model)])}
        self.weights = dict.fromkeys(("train", "repeat"), weights_of(self.model))
        self.result = folder / "whole.tif"
        self.predicting = ["predict", str(self.model), str(self.image), "--device", "cpu"]
        self.seconds["predict"] = self.time([*self.predicting, "-o", str(self.result)])
        self.commands = {
            "train": lambda out: [*self.training, "-o", str(out / "model.safetensors")],
            "run": lambda out: ["run", str(self.image), *OPTICS, *steps, "-o", str(out)],
            "predict": lambda out: [*self.predicting, "--denoised", "-o", str(out)],
            "repeat": lambda out: ["repeat", str(self.result.with_suffix(".json")), "-o", str(out)],
        }

    def time(self, command: list[str]) -> float:
        """Run a command to its end; how long that took."""
        begun = time.monotonic()
        child = self.started(command)
        if child.code():
            raise SystemExit(f"{' '.join(command)} failed:\n{child.said.read_text()}")
        return time.monotonic() - begun

    def started(self, command: list[str]) -> Child:
        """Start a command."""
        self.begun.unlink(missing_ok=True)
        return Child(command, self.options.every, self.begun, self.folder / "said")

    def of(self, name: str) -> None:
        """Kill one of the commands again and again, and look what is left each time."""
        if name not in self.seconds:
            timed = self.made(f"{name}_timed")
            self.seconds[name] = self.time(self.commands[name](timed))
            if name == "run":
                self.weights[name] = weights_of(timed / "cell_model.safetensors")
        lasts = self.seconds[name]
        for number in range(self.options.kills):
            out = self.made(f"{name}{number}")
            if number % 2:  # every other time there is an older set to be replaced
                self.predict_whole(out)
            command = self.commands[name](out)
            if name != "repeat":
                command.append("--force")  # as there may be the older set
            child = self.started(command)
            # Half of the moments are those of writing, at the end.
            first = 0.0 if self.random.random() < 0.5 else 0.85
            time.sleep(self.random.uniform(first * lasts, 1.02 * lasts))
            killed = child.kill()
            self.kills += 1
            self.look(name, out)
            self.look_back(name, out, killed)
            shutil.rmtree(out)

    def predict_whole(self, out: Path) -> None:
        """Put an older result where the command is going to write."""
        for path in (self.result, self.result.with_suffix(".json")):
            shutil.copy(path, out / path.name.replace("whole", "cell_deconvolved"))

    def made(self, name: str) -> Path:
        """Make a folder for results."""
        out = self.folder / name
        out.mkdir()
        return out

    def look(self, name: str, out: Path) -> None:
        """Check that whatever has a final name is whole, and that records belong to it."""
        for path in sorted(out.iterdir()):
            if path.name.startswith("."):
                continue
            try:
                if path.suffix in (".safetensors", ".checkpoint"):
                    Model.load(path)
                elif path.suffix == ".json":
                    self.compare(name, RunRecord.read(path), out)
                elif not np.isfinite(np.asarray(read_image(path).data)).all():
                    raise ValueError("holds NaN")
            except Exception as error:
                self.faults.append(f"{name}: {path.name}: {error}")

    def compare(self, name: str, record: RunRecord, out: Path) -> None:
        """Check that the results of a record are those that lie beside it."""
        assert record.prediction is not None
        for output in record.prediction.outputs.values():
            path = out / output.file
            if not path.exists() and name != "run":
                path = out / path.name.replace("whole", "cell_deconvolved")
            if path.exists() and Source.of(read_image(path)).sha256 != output.sha256:
                self.faults.append(f"{name}: {path.name} is not the one of its record")

    def look_back(self, name: str, out: Path, killed: float) -> None:
        """Check how much of a training is lost, and now and then resume it to its end."""
        models = {"train": "model", "repeat": "model", "run": "cell_model"}
        if name not in models or not self.begun.exists():
            return
        model = out / f"{models[name]}.safetensors"
        checkpoint = checkpoint_of(model)
        if model.exists() and not checkpoint.exists():
            return
        saved = checkpoint if checkpoint.exists() else self.begun
        trained_for = min(killed - saved.stat().st_mtime, killed - self.begun.stat().st_mtime)
        complete = is_complete(checkpoint)
        if not complete:
            self.lost.append(round(trained_for, 1))
        if trained_for > MOST_LOST and not complete:
            self.faults.append(f"{name}: {trained_for:.0f} s are lost")
        if checkpoint.exists() and self.resumed[name] < self.options.resumed:
            self.resumed[name] += 1
            self.go_on(name, out, checkpoint, model)

    def go_on(self, name: str, out: Path, checkpoint: Path, model: Path) -> None:
        """Resume what was killed, and compare the bits."""
        steps = ModelFacts.read(checkpoint).steps_trained
        if name == "repeat":
            self.time(self.commands[name](out))
        elif name == "run":
            self.time([*self.commands[name](out)[:2], *RESUMED, str(checkpoint), "-o", str(out)])
        else:
            common = ["--device", "cpu", "--force", "-o", str(model)]
            self.time(["train", str(self.image), "--resume", str(checkpoint), *common])
        if weights_of(model) != self.weights[name]:
            self.faults.append(f"{name}: resumed at step {steps}, it comes to other bits")


class Child:
    """A command in a process that is forked from this one, so that nothing is loaded anew.

    Parameters
    ----------
    command
        What stands behind `zsdeconvnet`.
    every
        Seconds between checkpoints.
    begun
        A file that is made when a training begins.
    said
        Where its words go.
    """

    def __init__(self, command: list[str], every: float, begun: Path, said: Path) -> None:
        self.said = said
        self.pid = os.fork()
        if self.pid == 0:
            with said.open("w") as words:
                os.dup2(words.fileno(), 1)
                os.dup2(words.fileno(), 2)
                os._exit(self.run(command, every, begun))

    def run(self, command: list[str], every: float, begun: Path) -> int:
        """Do the command's work, in the child."""
        start = Autosave.start

        def marked(saving: Autosave) -> None:
            begun.touch()
            start(saving)

        autosave.EVERY = every
        Autosave.start = marked  # type: ignore[method-assign]
        try:
            return main_of_package(command)
        except BaseException:
            traceback.print_exc()
            return 70

    def kill(self) -> float:
        """Kill it as nothing can hinder; returns when."""
        os.kill(self.pid, signal.SIGKILL)
        when = time.time()
        os.waitpid(self.pid, 0)
        return when

    def code(self) -> int:
        """Wait for its end."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def weights_of(path: Path) -> str:
    """Fingerprint of what a model has learned, to the bit."""
    return weights_fingerprint(Model.load(path).network.state_dict())


if __name__ == "__main__":
    sys.exit(main())
