"""Kill commands at random moments, and see what is left.

``python benchmarks/kills.py --kills 25`` kills `train`, `run`, `predict`, `repeat` 25 times each.
Whatever has a final name must be whole afterwards, a record must belong to what lies beside it,
no more than half a minute of training may be lost, and trainings that are resumed from what was
kept must come to the same bits as one that nobody disturbed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from napari_zsdeconvnet.autosave import EVERY, checkpoint_of
from napari_zsdeconvnet.image_files import read_image, write_image
from napari_zsdeconvnet.model import Model, ModelFacts
from napari_zsdeconvnet.provenance import Source, weights_fingerprint
from napari_zsdeconvnet.record import RunRecord
from napari_zsdeconvnet.simulation import simulate

COMMAND = "import sys; from napari_zsdeconvnet import autosave, cli; autosave.EVERY = {every}; "
COMMAND += "sys.exit(cli.main())"
OPTICS = ["--na", "1.4", "--wavelength", "0.525", "--pixel-size", "0.0626", "--offset", "100"]
MOST_LOST = 30.0
"""Seconds of training that a kill may cost."""

START = 25.0
"""Seconds until a training begins, on a busy machine."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill, look, and say what was found; 1 where something was broken."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=25, help="of each command")
    parser.add_argument("--resumed", type=int, default=3, help="trainings to resume to their end")
    parser.add_argument("--steps", type=int, default=150, help="of each training")
    parser.add_argument("--every", type=float, default=EVERY, help="seconds between checkpoints")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=["train", "run", "predict", "repeat"])
    options = parser.parse_args(arguments)
    os.environ |= {"ZSDECONVNET_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(Path(folder), options)
        for name in options.only:
            trial.of(name)
    print(json.dumps({"kills": trial.kills, "resumed": trial.resumed, "faults": trial.faults}))
    return 1 if trial.faults else 0


class Trial:
    """Commands on one small image, each killed at random moments."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder = folder
        self.options = options
        self.random = random.Random(options.seed)
        self.kills = self.resumed = 0
        self.faults: list[str] = []
        self.image = folder / "cell.tif"
        raw = simulate(shape=(128, 128), photons=50, seed=1).raw
        write_image(self.image, raw, axes="YX", voxel_size=(0.0626, 0.0626))
        steps = ["--steps", str(options.steps), "--seed", "1", "--device", "cpu"]
        self.training = ["train", str(self.image), *OPTICS, *steps]
        self.model = folder / "whole.safetensors"
        self.seconds = {"train": self.time([*self.training, "-o", str(self.model)])}
        self.weights = weights_of(self.model)
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
        done = started(command, self.options.every)
        _, said = done.communicate()
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{said}")
        return time.monotonic() - begun

    def of(self, name: str) -> None:
        """Kill one of the commands again and again, and look what is left each time."""
        lasts = self.seconds.get(name) or self.time(self.commands[name](self.made(f"{name}_timed")))
        for number in range(self.options.kills):
            out = self.made(f"{name}{number}")
            if number % 2:  # every other time there is an older set to be replaced
                self.predict_whole(out)
            command = self.commands[name](out)
            process = started(command, self.options.every)
            begun = time.monotonic()
            # Half of the moments are those of writing, at the end.
            first = 0.0 if self.random.random() < 0.5 else 0.85
            time.sleep(self.random.uniform(first * lasts, 1.02 * lasts))
            process.send_signal(signal.SIGKILL)
            killed = time.time()
            process.communicate()
            self.kills += 1
            self.look(name, out)
            self.look_back(name, out, killed, killed - (time.monotonic() - begun))
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

    def look_back(self, name: str, out: Path, killed: float, begun: float) -> None:
        """Check how much of a training is lost, and now and then resume it to its end."""
        if name != "train" or (out / "model.safetensors").exists():
            return
        checkpoint = checkpoint_of(out / "model.safetensors")
        if not checkpoint.exists():
            if killed - begun > self.options.every + START:
                self.faults.append(f"train: nothing was kept after {killed - begun:.0f} s")
            return
        lost = killed - checkpoint.stat().st_mtime
        if lost > MOST_LOST:
            self.faults.append(f"train: {lost:.0f} s are lost")
        if self.resumed < self.options.resumed:
            self.resumed += 1
            steps = ModelFacts.read(checkpoint).steps_trained
            output = str(out / "resumed.safetensors")
            common = ["--device", "cpu", "--steps", str(self.options.steps), "-o", output]
            self.time(["train", str(self.image), "--resume", str(checkpoint), *common])
            if weights_of(Path(output)) != self.weights:
                self.faults.append(f"train: resumed at step {steps}, it comes to other bits")


def started(command: list[str], every: float) -> subprocess.Popen[str]:
    """Start the command, with checkpoints at another interval than the usual one."""
    call = [sys.executable, "-c", COMMAND.format(every=every), *command]
    return subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def weights_of(path: Path) -> str:
    """Fingerprint of what a model has learned, to the bit."""
    return weights_fingerprint(Model.load(path).network.state_dict())


if __name__ == "__main__":
    sys.exit(main())
