"""Compare the memory that is said to be needed with the peak that is.

``python benchmarks/memory_needs.py`` trains, predicts and judges images and volumes of three sizes
each, every one in a process of its own, and prints a line for each: estimate, peak, their ratio.
``--limit 2048`` does it in a control group of so many MiB (Linux, as root), where a process that
takes more is killed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from memory import PeakMemory

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.inference import predict
from napari_zsdeconvnet.io.image import Image
from napari_zsdeconvnet.model.model import Model, psf_width
from napari_zsdeconvnet.model.presets import Preset
from napari_zsdeconvnet.noise.outliers import memory_to_search
from napari_zsdeconvnet.quality.verdict import judge, memory_to_judge
from napari_zsdeconvnet.training.begin import memory_to_train
from napari_zsdeconvnet.utils.memory import in_bytes
from napari_zsdeconvnet.utils.tiling import largest_window

CPU = torch.device("cpu")
WORK = ("train", "predict", "judge")
SHAPES = {
    "image": ((512, 512), (1024, 1024), (2048, 2048)),
    "volume": ((12, 192, 192), (24, 384, 384), (48, 896, 896)),
}
GROUPS = Path("/sys/fs/cgroup/memory")


@dataclass(frozen=True)
class Need:
    """What a piece of work was said to need, and what it took, in bytes."""

    work: str
    shape: tuple[int, ...]
    estimate: int
    peak: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all, or one in this process."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--limit", type=int, help="MiB that each may take")
    parser.add_argument("--only", nargs="+", choices=tuple(WORK))
    parser.add_argument("--kind", nargs="+", choices=tuple(SHAPES), default=list(SHAPES))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        work, shape = json.loads(options.one)
        print(json.dumps(asdict(measured(work, tuple(shape)))))
        return 0
    for kind in options.kind:
        for shape in SHAPES[kind]:
            for work in options.only or WORK:
                print(in_its_own_process(work, shape, options.limit), flush=True)
    return 0


def in_its_own_process(work: str, shape: tuple[int, ...], limit: int | None) -> str:
    """Measure in a new process, in a control group if there is a limit; a line of a table."""
    call = [sys.executable, __file__, "--one", json.dumps([work, shape])]
    group = None if limit is None else Path(tempfile.mkdtemp(prefix="needs", dir=GROUPS))
    if group is not None:
        (group / "memory.limit_in_bytes").write_text(str(limit * 2**20))

    def enter() -> None:
        if group is not None:
            (group / "cgroup.procs").write_text(str(os.getpid()))

    done = subprocess.run(call, capture_output=True, text=True, preexec_fn=enter)
    if group is not None:
        group.rmdir()
    name = f"{work} {' x '.join(map(str, shape))}"
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["killed"])[-1]
        return f"{name}: {last}"
    need = Need(**json.loads(done.stdout.splitlines()[-1]))
    ratio = need.estimate / need.peak
    return f"{name}: {in_bytes(need.estimate)} said, {in_bytes(need.peak)} taken, {ratio:.2f}"


def measured(work: str, shape: tuple[int, ...]) -> Need:
    """Do the work and watch its peak."""
    if work == "train":
        return trained(*recorded(shape))
    image, psf, noise = recorded(shape)
    part = replace(image, data=image.data[..., :128, :128], name="part")
    run = zs.train(part, psf, noise, steps=1, device="cpu", preview_every=0)
    for _ in run:
        pass
    return (predicted if work == "predict" else judged)(image, run.model)


def recorded(shape: tuple[int, ...]) -> tuple[Image, zs.PSF, zs.NoiseModel]:
    """Make a recording of noise, with its PSF and camera."""
    pixels = np.random.default_rng(0).poisson(20, shape).astype(np.uint16) + np.uint16(100)
    if len(shape) == 2:
        size: tuple[float, ...] = (0.0626, 0.0626)
        psf = zs.PSF.simulate(1.4, 0.525, 0.0313)
    else:
        size = (0.2, 0.1, 0.1)
        psf = zs.PSF.simulate(1.1, 0.525, 0.1, axial_step=0.2, stack=shape)
    axes = "YX" if len(shape) == 2 else "ZYX"
    return Image(pixels, axes, size, "recording"), psf, zs.NoiseModel(100, 1.0, 4.0)


def trained(image: Image, psf: zs.PSF, noise: zs.NoiseModel) -> Need:
    """Do all that comes before a training, and its first step."""
    shape = tuple(image.data.shape)
    with PeakMemory() as memory:
        run = zs.train(image, psf, noise, steps=1, device="cpu", preview_every=0)
        for _ in run:
            pass
    model, upsampling = run.model, run.model.upsampling
    steps = memory_to_train(model.network, model.psf, Preset(**model.settings))
    search = memory_to_search(shape, psf_width(model.psf, upsampling))
    return Need("train", shape, max(steps, search), memory.bytes)


def predicted(image: Image, model: Model) -> Need:
    """Deconvolve one tile, which takes as much as all of them."""
    network, shape = model.network, tuple(image.data.shape)
    tile = predict._usual_tile(network, CPU, shape)
    window = largest_window(
        shape, tile, network.reach, network.multiples, network.border or network.reach
    )
    fine = predict.output_shape(network, shape)
    estimate = network.memory_of(window, CPU)
    if not predict._on_disk(network, (1, *shape)):
        estimate += 4 * (math.prod(shape) + math.prod(fine))
    with PeakMemory() as memory:
        next(model.iter_predict(image, device="cpu"))
    return Need("predict", shape, estimate, memory.bytes)


def judged(image: Image, model: Model) -> Need:
    """Judge a result that is there."""
    shape = tuple(image.data.shape)
    denoised = np.full(shape, 20.0, np.float32)
    fine = np.full(predict.output_shape(model.network, shape), 20.0, np.float32)
    result: Any = predict.Result(denoised, fine)
    estimate = memory_to_judge(model, shape)
    with PeakMemory() as memory:
        judge(model, image, result=result, repeats=0, device="cpu")
    return Need("judge", shape, estimate, memory.bytes)


if __name__ == "__main__":
    sys.exit(main())
