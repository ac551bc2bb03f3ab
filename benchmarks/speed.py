"""Measure time and memory of training and inference, each in a process of its own.

python benchmarks/speed.py                         # all of it; some minutes on two cores
python benchmarks/speed.py --only "fast step" "fast 1024" --threads 2
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from memory import PeakMemory
from report import machine, set_section, table

from napari_zsdeconvnet.simulation import simulate

HERE = Path(__file__).parent
WARM_UP = 2
TASKS = {
    "fast step": ("step", "fast", 30),
    "paper step": ("step", "paper", 5),
    "fast 512": ("predict", "fast", 512),
    "fast 1024": ("predict", "fast", 1024),
    "fast 2048": ("predict", "fast", 2048),
    "fast 8192": ("predict", "fast", 8192),
    "paper 1024": ("predict", "paper", 1024),
}
EXPLANATION = """\
## Speed and memory

A *step* is one step of training on one image of 512x512 pixels, the median of several after a
warm-up. Prediction is timed once from the raw image in memory to both results; *memory* is the
peak of the process above what it held before, less the two result arrays. CPU time is that of all
threads together.

Computed on {machine}, {threads} threads.
"""


def main() -> int:
    options = _options()
    if options.task:
        print(json.dumps(_measure(options.task, options)))
        return 0
    rows, failed = [], 0
    for name in options.only:
        print(f"{name}: ", end="", flush=True)
        found = _in_own_process(name, options)
        if found is None:
            failed += 1
            continue
        print(", ".join(f"{key} {value:.4g}" for key, value in found.items()))
        cells = (found["seconds"], found["cpu_seconds"], found["memory_mib"])
        rows.append([_describe(name), *(f"{cell:.3g}" for cell in cells[:2]), f"{cells[2]:.0f}"])
    if rows and options.page:
        header = ["task", "time, s", "CPU time, s", "memory, MiB"]
        threads = options.threads or os.cpu_count()
        text = EXPLANATION.format(machine=machine(), threads=threads) + "\n" + table(header, rows)
        set_section(options.page, "speed", text, title="Benchmarks in 2D")
        print(f"Wrote {options.page}.")
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--steps", type=int, help="steps to time, instead of the task's own")
    parser.add_argument("--threads", type=int, help="threads of every computation")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--page", type=Path, default=HERE.parent / "docs" / "benchmarks_2d.md")
    parser.add_argument("--task", choices=list(TASKS), help=argparse.SUPPRESS)
    return parser.parse_args()


def _in_own_process(name: str, options: argparse.Namespace) -> dict[str, float] | None:
    command = [sys.executable, __file__, "--task", name, "--device", options.device]
    environment = dict(os.environ)
    if options.steps:
        command += ["--steps", str(options.steps)]
    if options.threads:
        environment |= {"OMP_NUM_THREADS": str(options.threads)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"failed\n{done.stderr}")
        return None
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _describe(name: str) -> str:
    kind, preset, size = TASKS[name]
    return f"`{preset}`, one step" if kind == "step" else f"`{preset}`, predict {size}x{size}"


def _measure(name: str, options: argparse.Namespace) -> dict[str, float]:
    kind, preset, number = TASKS[name]
    if kind == "step":
        return _measure_step(preset, options.steps or number, options.device)
    return _measure_prediction(preset, number, options.device)


def _measure_step(preset: str, steps: int, device: str) -> dict[str, float]:
    """Time each step; the first ones, in which buffers are made, do not count."""
    sample = simulate(seed=1)
    times = []
    with PeakMemory() as memory:
        run = _training(sample, preset, steps + WARM_UP, device)
        for _ in range(steps + WARM_UP):
            wall, cpu = time.perf_counter(), time.process_time()
            next(run)
            times.append((time.perf_counter() - wall, time.process_time() - cpu))
    seconds, cpu_seconds = np.median(times[WARM_UP:], axis=0)
    return _figures(seconds, cpu_seconds, memory.bytes)


def _measure_prediction(preset: str, size: int, device: str) -> dict[str, float]:
    """Predict with a network that is hardly trained, which takes as long as a good one."""
    import napari_zsdeconvnet as zs

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        # Trained in a process of its own, so that this one's peak is that of the prediction.
        code = (
            "import sys, speed\n"
            "from napari_zsdeconvnet.simulation import simulate\n"
            "run = speed._training(simulate(seed=1), sys.argv[1], 1, sys.argv[2])\n"
            "next(run)\n"
            "run.model.save(sys.argv[3])\n"
        )
        subprocess.run(
            [sys.executable, "-c", code, preset, device, str(path)], check=True, cwd=HERE
        )
        model = zs.Model.load(path)
    tile = simulate(shape=(512, 512), seed=1).raw
    repeats = -(-size // 512)
    image = np.ascontiguousarray(np.tile(tile, (repeats, repeats))[:size, :size])
    with PeakMemory() as memory:
        wall, cpu = time.perf_counter(), time.process_time()
        result: Any = model.predict(image, device=device)
        seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    outputs = result.denoised.nbytes + result.deconvolved.nbytes
    return _figures(seconds, cpu_seconds, memory.bytes - outputs)


def _training(sample: Any, preset: str, steps: int, device: str) -> Any:
    import napari_zsdeconvnet as zs

    return zs.train(
        sample.raw,
        sample.psf,
        sample.noise,
        voxel_size=(sample.pixel_size, sample.pixel_size),
        preset=preset,
        steps=steps,
        seed=1,
        device=device,
        preview_every=0,
    )


def _figures(seconds: float, cpu_seconds: float, memory: float) -> dict[str, float]:
    return {
        "seconds": float(seconds),
        "cpu_seconds": float(cpu_seconds),
        "memory_mib": max(memory, 0) / 2**20,
    }


if __name__ == "__main__":
    sys.exit(main())
