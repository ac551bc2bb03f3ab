"""Put many recordings through the scheduling of a screen, and see what that costs.

Nothing is calibrated or deconvolved: a task sleeps for a while and answers with what a recording of
its kind would. What is left is what the driver needs for each recording: time and memory.

    python benchmarks/screens.py
    python benchmarks/screens.py --recordings 1000 10000 --workers 2 --kinds 20 --seconds 0.01
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.workflow.distributed.running import cluster
from napari_zsdeconvnet.workflow.grouping import Traits
from napari_zsdeconvnet.workflow.likeness import Likeness
from napari_zsdeconvnet.workflow.screen import Ended, Row, Screen
from napari_zsdeconvnet.workflow.screen_table import ScreenTable

CAMERA = NoiseModel(100, 1.0, 4.0)
HEADER = f"{'recordings':>10}  {'kinds':>5}  {'seconds':>7}  {'ms each':>7}  {'MiB more':>8}"


@dataclass(frozen=True)
class Sleeping:
    """Recordings are numbers; so many of them in turn are of kinds that are not alike."""

    kinds: int
    seconds: float
    folder: str

    def name(self, recording: int) -> str:
        """Name it as a field of a plate is."""
        return f"plate.ome.zarr ({recording:06d})"

    def look(self, recording: int) -> Traits:
        """Sleep, and say of which kind it is."""
        time.sleep(self.seconds)
        width = 1.2 ** (recording % self.kinds)
        likeness = Likeness(CAMERA, 100.0, np.zeros(6))
        return Traits("image", ("YX", False), (0.1, 0.1), (width, width), likeness)

    def do(self, recording: int, model: str | None) -> Row:
        """Sleep, and say what a run would."""
        time.sleep(self.seconds)
        name = self.name(recording)
        stem = f"{self.folder}/plate_{recording:06d}"
        kinds = ("deconvolved", "denoised", "record", "model")
        files = {kind: f"{stem}_{kind}.ome.tif" for kind in kinds}
        trained = name if model is None else ""
        return Row(name, "done", "image", model or files["model"], trained, "", (), files)

    def worded(self, error: Exception) -> str:
        """Give its own words."""
        return str(error)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kinds", type=int, default=20, help="that share no model")
    parser.add_argument("--seconds", type=float, default=0.0, help="of a task")
    options = parser.parse_args(arguments)
    print(HEADER, flush=True)
    for count in options.recordings:
        kinds = min(options.kinds, count)
        # Each in a process of its own, so that its peak is its own; workers import this module.
        line = (count, kinds, options.workers, options.seconds)
        program = f"import screens; screens.measure(*{line})"
        path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONPATH": path}
        subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    return 0


def measure(count: int, kinds: int, workers: int, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder, cluster(workers) as client:
        work = Sleeping(kinds, seconds, folder)
        table = ScreenTable(Path(folder), {})
        run(Screen(range(20), work, client=client), table)
        before = psutil.Process().memory_info().rss
        began = time.perf_counter()
        run(Screen(range(count), work, client=client), table)
        table.write([work.name(number) for number in range(count)])
        took = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peak *= 1 if sys.platform == "darwin" else 1024
    more = max(peak - before, 0) / 2**20
    each = 1000 * took / count
    print(f"{count:10d}  {kinds:5d}  {took:7.1f}  {each:7.2f}  {more:8.1f}", flush=True)


def run(screen: Screen, table: ScreenTable) -> None:
    rows: dict[str, Row] = {}
    for event in screen:
        if isinstance(event, Ended):
            rows[event.row.recording] = event.row
            table.add(event.row)


if __name__ == "__main__":
    sys.exit(main())
