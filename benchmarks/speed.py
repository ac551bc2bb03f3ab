"""Measure time and memory of training and inference, each in a process of its own.

python benchmarks/speed.py                         # all of it; some minutes on two cores
python benchmarks/speed.py --only "fast step" "fast 1024" --threads 2
python benchmarks/speed.py --volumes               # the same for stacks
"""

from __future__ import annotations

import argparse
import json
import math
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

from napari_zsdeconvnet.simulation.sample import Sample, simulate, simulate_volume

HERE = Path(__file__).parent
WARM_UP = 2
STEPS = {"fast": 30, "paper": 5}
IMAGES = {
    "fast step": ("step", "fast", (512, 512)),
    "paper step": ("step", "paper", (512, 512)),
    "fast 512": ("predict", "fast", (512, 512)),
    "fast 1024": ("predict", "fast", (1024, 1024)),
    "fast 2048": ("predict", "fast", (2048, 2048)),
    "fast 8192": ("predict", "fast", (8192, 8192)),
    "paper 1024": ("predict", "paper", (1024, 1024)),
}
VOLUMES = {
    "fast volume step": ("step", "fast", (40, 256, 256)),
    "paper volume step": ("step", "paper", (40, 256, 256)),
    "fast volume": ("predict", "fast", (40, 256, 256)),
    "fast large volume": ("predict", "fast", (100, 1024, 1024)),
}
TASKS = IMAGES | VOLUMES
EXPLANATION = """\
## Speed and memory of {kind}

A *step* is one step of training on one {recording}. Prediction is timed from the raw data in
memory to both results. *Memory* is the peak above what the process held before, less the results.

`python benchmarks/speed.py` on {machine}, {threads} threads.
"""


def main() -> int:
    options = _options()
    if options.task:
        print(json.dumps(_measure(options.task, options)))
        return 0
    rows, failed = [], 0
    for name in options.only or (VOLUMES if options.volumes else IMAGES):
        print(f"{name}: ", end="", flush=True)
        found = _in_own_process(name, options)
        if found is None:
            failed += 1
            continue
        print(", ".join(f"{key} {value:.4g}" for key, value in found.items()))
        cells = (found["seconds"], found["cpu_seconds"], found["memory_mib"])
        told = _describe(name, found.get("tiles"))
        rows.append([told, *(f"{cell:.3g}" for cell in cells[:2]), f"{cells[2]:.0f}"])
    if rows:
        kind = "volumes" if options.volumes else "images"
        header = ["task", "time, s", "CPU time, s", "memory, MiB"]
        threads = options.threads or os.cpu_count()
        recording = "stack of 40x256x256 voxels" if options.volumes else "image of 512x512 pixels"
        text = EXPLANATION.format(
            machine=machine(), threads=threads, kind=kind, recording=recording
        )
        name = f"speed of {kind}"
        set_section(options.page, name, f"{text}\n{table(header, rows)}", title="Benchmarks")
        print(f"Wrote {options.page}.")
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=list(TASKS), help="by default all of a kind")
    parser.add_argument("--volumes", action="store_true", help="measure stacks, not images")
    parser.add_argument("--tiles", type=int, help="stop a prediction after so many tiles")
    parser.add_argument("--steps", type=int, help="steps to time, instead of the task's own")
    parser.add_argument("--threads", type=int, help="threads of every computation")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--page", type=Path, default=HERE.parent / "docs" / "benchmarks.md")
    parser.add_argument("--task", choices=list(TASKS), help=argparse.SUPPRESS)
    return parser.parse_args()


def _in_own_process(name: str, options: argparse.Namespace) -> dict[str, float] | None:
    command = [sys.executable, __file__, "--task", name, "--device", options.device]
    environment = dict(os.environ)
    if options.steps:
        command += ["--steps", str(options.steps)]
    if options.tiles:
        command += ["--tiles", str(options.tiles)]
    if options.threads:
        environment |= {"OMP_NUM_THREADS": str(options.threads)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"failed\n{done.stderr}")
        return None
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _describe(name: str, tiles: float | None) -> str:
    kind, preset, shape = TASKS[name]
    if kind == "step":
        return f"`{preset}`, one step"
    part = f", its first {tiles:.0f} tiles" if tiles else ""
    return f"`{preset}`, predict {'x'.join(map(str, shape))}{part}"


def _measure(name: str, options: argparse.Namespace) -> dict[str, float]:
    kind, preset, shape = TASKS[name]
    if kind == "step":
        return _measure_step(preset, shape, options.steps or STEPS[preset], options.device)
    return _measure_prediction(preset, shape, options.device, options.tiles)


def _sample(shape: tuple[int, ...]) -> Sample:
    """Simulate a recording of this size, or a part of it that is repeated to that."""
    least = (512, 512) if len(shape) == 2 else (40, 256, 256)
    part = tuple(map(min, shape, least))
    if len(shape) == 2:
        return simulate(shape=part, seed=1)
    return simulate_volume("filaments", shape=part, seed=1)


def _measure_step(preset: str, shape: tuple[int, ...], steps: int, device: str) -> dict[str, float]:
    """Time each step; the first ones, in which buffers are made, do not count."""
    sample = _sample(shape)
    times = []
    with PeakMemory() as memory:
        # Of a run of usual length, so that a volume's first steps are those of its denoiser.
        run = _training(sample, preset, 20 * (steps + WARM_UP), device)
        for _ in range(steps + WARM_UP):
            wall, cpu = time.perf_counter(), time.process_time()
            next(run)
            times.append((time.perf_counter() - wall, time.process_time() - cpu))
    seconds, cpu_seconds = np.median(times[WARM_UP:], axis=0)
    return _figures(seconds, cpu_seconds, memory.bytes)


def _measure_prediction(
    preset: str, shape: tuple[int, ...], device: str, tiles: int | None
) -> dict[str, float]:
    """Predict with a network that is hardly trained, which takes as long as a good one."""
    import napari_zsdeconvnet as zs

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        # Trained in a process of its own, so that this one's peak is that of the prediction.
        code = (
            "import json, sys, speed\n"
            "sample = speed._sample(tuple(json.loads(sys.argv[4])))\n"
            "run = speed._training(sample, sys.argv[1], 1, sys.argv[2])\n"
            "next(run)\n"
            "run.model.save(sys.argv[3])\n"
        )
        arguments = [preset, device, str(path), json.dumps(shape)]
        subprocess.run([sys.executable, "-c", code, *arguments], check=True, cwd=HERE)
        model = zs.Model.load(path)
    part = _sample(shape).raw
    repeats = [-(-length // have) for length, have in zip(shape, part.shape, strict=True)]
    image = np.ascontiguousarray(np.tile(part, repeats)[tuple(map(slice, shape))])
    with PeakMemory() as memory:
        wall, cpu = time.perf_counter(), time.process_time()
        prediction = model.iter_predict(image, axes="ZYX"[-image.ndim :], device=device)
        done = None
        try:
            while tiles is None or done is None or done.done < tiles:
                done = next(prediction)
        except StopIteration:
            tiles = None
        seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    outputs = sum(4 * math.prod(shape) for shape in model.output_shapes(shape))
    if tiles:
        # Of the results only what was written is in memory.
        outputs = outputs * done.done // done.total
    found = _figures(seconds, cpu_seconds, memory.bytes - outputs)
    return found | ({"tiles": float(tiles)} if tiles else {})


def _training(sample: Sample, preset: str, steps: int, device: str) -> Any:
    import napari_zsdeconvnet as zs

    return zs.train(
        sample.raw,
        sample.psf,
        sample.noise,
        axes=sample.axes,
        voxel_size=sample.voxel_size,
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
