"""Measure prediction on Dask: size, workers, memory, and what opening a large recording takes.

python benchmarks/scale.py                     # all of it; about 40 minutes on two idle cores
python benchmarks/scale.py --only workers      # one part of it
python benchmarks/scale.py --report-only       # write the page from what is there

The large recordings are OME-Zarr whose chunk files are links to one, so that they take no room on
the disk; they are read and decoded like any other. Results are written for real: 20 GB need 30 GB.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from report import machine, set_section, table
from torch.nn import functional as F

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.model.model import Model
from napari_zsdeconvnet.model.presets import PRESETS
from napari_zsdeconvnet.networks.base import TwoStageNetwork
from napari_zsdeconvnet.workflow.distributed import iter_predict_to_zarr, prediction, running

HERE = Path(__file__).parent
RESULTS = HERE / "results/scale.json"
PAGE = HERE.parent / "docs/ome_zarr.md"
SIZES = (1, 5, 20)  # GB
WIDTH, CHUNK, DEPTH = 2048, 512, 8
PIXEL, STEP = 0.0626, 0.2  # um
MOST_LINKS = 60_000  # that file systems allow to one file
NOISE = zs.NoiseModel(offset=100.0, gain=2.0, read_variance=9.0)


class Smoothing(TwoStageNetwork):
    """As little computing as there can be: what is left is reading, writing and scheduling."""

    upsampling = 1
    multiple = 4
    receptive_field = 8
    axial_field = 2
    keeps_light = True
    bytes_per_pixel = 40

    def forward(
        self, image: torch.Tensor, excess: object = 1.0, **_: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the mean of neighbours for both results."""
        smooth = F.avg_pool3d(image, 3, 1, 1)
        return smooth, smooth


def main() -> int:
    """Measure, keep and report."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--only", nargs="+", choices=PARTS, default=tuple(PARTS))
    options.add_argument("--sizes", nargs="+", type=float, default=SIZES, help="GB")
    options.add_argument("--planes", type=int, default=8, help="of 2048 x 2048 for the workers")
    options.add_argument("--large", type=float, default=100, help="GB that are opened")
    options.add_argument("--folder", type=Path, help="for the recordings and results")
    options.add_argument("--report-only", action="store_true")
    chosen = options.parse_args()
    found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    if not chosen.report_only:
        with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
            for part in chosen.only:
                found |= {part: PARTS[part](Path(folder), chosen), "machine": machine()}
                RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    set_section(PAGE, "scale", _report(found), title="## Measured")
    return 0


# ------------------------------------------------------------------ recordings and models


def _recording(folder: Path, gigabytes: float, axes: str, dtype: str) -> zs.Image:
    """Make a recording out of links to one chunk of blobs with noise."""
    rng = np.random.default_rng(0)
    kind = np.dtype(dtype)
    depth = DEPTH if axes[0] == "Z" else 1
    planes = max(round(gigabytes * 1e9 / (WIDTH**2 * kind.itemsize) / depth), 1) * depth
    group = zarr.open_group(folder, mode="w", zarr_format=3)
    array = group.create_array(
        "0", shape=(planes, WIDTH, WIDTH), chunks=(depth, CHUNK, CHUNK), dtype=kind
    )
    sample = zs.simulate("filaments", shape=(CHUNK, CHUNK), photons=50, seed=1)
    light = np.broadcast_to(sample.noise_free, (depth, CHUNK, CHUNK)).clip(0)
    counts = NOISE.offset + 2 * rng.poisson(light) + rng.normal(0, 3, light.shape)
    array[:depth, :CHUNK, :CHUNK] = counts.round().clip(0).astype(kind)
    source, links = folder / "0/c/0/0/0", 1
    ranges = (range(-(-n // c)) for n, c in zip(array.shape, array.chunks, strict=True))
    for place in itertools.islice(itertools.product(*ranges), 1, None):
        path = folder / "0/c" / "/".join(map(str, place))
        path.parent.mkdir(parents=True, exist_ok=True)
        links += 1
        if links > MOST_LINKS:
            shutil.copy(source, path)
            source, links = path, 1
        else:
            os.link(source, path)
    space = {"type": "space", "unit": "micrometer"}
    named = [
        {"name": letter.lower(), **({"type": "time"} if letter == "T" else space)}
        for letter in axes
    ]
    scale = [{"T": 1.0, "Z": STEP}.get(letter, PIXEL) for letter in axes]
    level = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
    pyramid: Any = {"axes": named, "datasets": [level]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [pyramid]}
    return zs.read_image(folder)


def _smoothing() -> Model:
    spot = np.zeros((5, 5, 5))
    spot[2, 2, 2] = 1
    return Model(
        network=Smoothing(),
        preset="fast",
        settings=asdict(PRESETS["fast"]),
        psf=zs.PSF.from_array(spot, (STEP, PIXEL, PIXEL)),
        noise=NOISE,
        scale=50.0,
        axes="ZYX",
        voxel_size=(STEP, PIXEL, PIXEL),
        seed=0,
        data_hash="",
    )


# ------------------------------------------------------------------ what is measured


@contextmanager
def _cluster(count: int, *, pinned: bool = False) -> Iterator[Any]:
    """Give a cluster, each of its workers on a core of its own if they are pinned."""
    import distributed

    untyped: Any = distributed
    with (
        untyped.LocalCluster(
            n_workers=count, threads_per_worker=1, memory_limit=0, dashboard_address=None
        ) as cluster,
        untyped.Client(cluster, set_as_default=False) as client,
    ):
        if pinned:
            for core, name in enumerate(client.scheduler_info(n_workers=-1)["workers"]):
                client.run(os.sched_setaffinity, 0, {core}, workers=[name])
        client.run(_watch)
        yield client


def _watch() -> None:
    """Count in a worker what the network, the search for bad pixels and files take.

    Tiles are read while others are computed, and that is counted whole: files take no longer.
    """
    from napari_zsdeconvnet.inference import tile_computer
    from napari_zsdeconvnet.io import ome_zarr_writing, zarr_stores
    from napari_zsdeconvnet.noise import plane_search
    from napari_zsdeconvnet.workflow.distributed import tasks

    spent: dict[str, float] = {}
    vars(tile_computer)["seconds_spent"] = spent
    places: list[tuple[Any, str, str]] = [
        (tile_computer, "_run", "_run"),
        (plane_search, "isolated_outliers", "isolated_outliers"),
        (zarr_stores.ZarrPixels, "__getitem__", "files"),
        (ome_zarr_writing.ZarrRoom, "__getitem__", "files"),
        (ome_zarr_writing.ZarrRoom, "__setitem__", "files"),
        (ome_zarr_writing.NewOmeZarr, "fill_part", "files"),
        (tasks.Work, "_mark", "files"),
    ]
    for owner, name, kept in places:
        setattr(owner, name, _timed(getattr(owner, name), kept, spent))


def _begin() -> None:
    """Count anew in a worker."""
    from napari_zsdeconvnet.inference import tile_computer

    spent = vars(tile_computer)["seconds_spent"]
    spent.clear()
    spent["begun"] = time.process_time()


def _timed(do: Callable[..., Any], name: str, spent: dict[str, float]) -> Callable[..., Any]:
    @functools.wraps(do)
    def timed(*given: Any, **named: Any) -> Any:
        begun = time.perf_counter()
        try:
            return do(*given, **named)
        finally:
            spent[name] = spent.get(name, 0.0) + time.perf_counter() - begun

    return timed


def _told() -> dict[str, float]:
    """Tell, in a worker, what it spent on what, seconds, and its largest memory, bytes."""
    from napari_zsdeconvnet.inference import tile_computer

    spent = vars(tile_computer)["seconds_spent"]
    return {**spent, "peak": _peak(), "cpu": time.process_time() - spent["begun"]}


def _peak() -> int:
    """Largest memory of this process so far, bytes; `getrusage` adds that of its parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


@contextmanager
def _phases() -> Iterator[dict[str, float]]:
    """Measure the phases of a prediction in this process, seconds."""
    names = ("prepared", "_compute", "_complete", "_described")
    usual = {name: getattr(prediction, name) for name in names}
    now = prediction.Prediction.now
    spent: dict[str, float] = {}

    def followed(name: str, do: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*given: Any) -> Iterator[Any]:
            begun = time.perf_counter()
            yield from do(*given)
            spent[name] = time.perf_counter() - begun

        return timed

    prediction.prepared = _timed(usual["prepared"], "search", spent)
    prediction._compute = followed("tiles", usual["_compute"])
    prediction._complete = followed("pyramid", usual["_complete"])
    prediction._described = _timed(usual["_described"], "record", spent)
    prediction.Prediction.now = _timed(now, "record", spent)
    try:
        yield spent
    finally:
        for name, do in usual.items():
            setattr(prediction, name, do)
        prediction.Prediction.now = now


def _predicted(model: Model, image: zs.Image, out: Path, client: Any) -> dict[str, Any]:
    """Predict, and tell what it took."""
    client.run(_begin)
    begun = time.perf_counter()
    with _phases() as phases:
        outputs = {"deconvolved": out}
        steps = iter_predict_to_zarr(model, image, outputs, device="cpu", client=client, force=True)
        tiles = 0
        for state in steps:
            tiles = state.total
    seconds = time.perf_counter() - begun
    told = client.run(_told)
    shutil.rmtree(out)
    return {
        "seconds": seconds,
        "phases": phases,
        "tiles": tiles,
        "voxels": int(np.prod(image.data.shape)),
        "workers": list(told.values()),
    }


# ------------------------------------------------------------------ the parts


def _sizes(folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Train on and predict recordings of several sizes, two workers."""
    rows = []
    for gigabytes in options.sizes:
        image = _recording(folder / "in.ome.zarr", gigabytes, "ZYX", "float32")
        scope = zs.Microscope(
            1.1, 0.525, refractive_index=1.33, modality="light-sheet", sheet_thickness=2.0
        )
        begun = time.perf_counter()
        psf = zs.PSF.of(scope, image.voxel_size, image.data.shape)
        noise = zs.NoiseModel.measured(image)
        zs.train(image, psf, noise, upsample=False, steps=0, device="cpu", preview_every=0)
        trained = time.perf_counter() - begun
        with _cluster(2) as client:
            Path("/proc/self/clear_refs").write_text("5")  # begins the peak anew
            row = _predicted(_smoothing(), image, folder / "out.ome.zarr", client)
        rows.append({"gigabytes": gigabytes, "begun": trained, "driver": _peak(), **row})
        print(rows[-1], flush=True)
        shutil.rmtree(folder / "in.ome.zarr")
    return rows


def _workers_row(folder: Path, image: zs.Image, model: Model, count: int) -> dict[str, Any]:
    with _cluster(count, pinned=True) as client:
        # What is loaded once is no part of the work.
        warm = folder / "warm.ome.zarr"
        small = zs.Image(np.asarray(image.data[:1, :256, :256]), "TYX", image.voxel_size)
        list(iter_predict_to_zarr(model, small, {"deconvolved": warm}, client=client))
        shutil.rmtree(warm)
        return _predicted(model, image, folder / "out.ome.zarr", client)


def _workers(folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Put the default network to frames with one worker and with two, a core each, in turn."""
    gigabytes = options.planes * WIDTH**2 * 2 / 1e9
    image = _recording(folder / "frames.ome.zarr", gigabytes, "TYX", "uint16")
    sample = zs.simulate("filaments", shape=(128, 128))
    run = zs.train(sample.raw, sample.psf, NOISE, steps=0, device="cpu")
    image = zs.Image(image.data, image.axes, sample.voxel_size, origin=image.origin)
    rows = []
    for count in (1, 2, 2, 1):
        rows.append({"count": count, **_workers_row(folder, image, run.model, count)})
        print(rows[-1], flush=True)
    shutil.rmtree(folder / "frames.ome.zarr")
    return rows


def _opening(folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Open a large recording, and wait for the first preview of a training with the defaults."""
    rows = []
    for axes in ("TYX", "ZYX"):
        place = folder / "large.ome.zarr"
        _recording(place, options.large, axes, "uint16")
        begun = time.perf_counter()
        image = zs.read_image(place)
        plane = np.asarray(image.data[len(image.data) // 2])
        opened = time.perf_counter() - begun
        assert plane.shape == (WIDTH, WIDTH)
        sheet = {"refractive_index": 1.33, "modality": "light-sheet", "sheet_thickness": 2.0}
        scope = zs.Microscope(1.1, 0.525, **sheet) if axes == "ZYX" else zs.Microscope(1.3, 0.525)
        up = 2 if axes == "TYX" else 1
        grid = (*image.voxel_size[:-2], *(size / up for size in image.voxel_size[-2:]))
        stack = (image.data.shape,) if axes == "ZYX" else ()
        psf = zs.PSF.of(scope, grid, *stack)
        made = time.perf_counter() - begun
        noise = zs.NoiseModel.measured(image)
        measured = time.perf_counter() - begun
        run = zs.train(image, psf, noise, upsample=up == 2, device="cpu", preview_every=1)
        preview = next(run).preview
        assert preview is not None
        seconds = time.perf_counter() - begun
        rows.append(
            {"axes": axes, "opened": opened, "psf": made, "noise": measured, "preview": seconds}
        )
        print(rows[-1], flush=True)
        shutil.rmtree(place)
    return rows


def _scheduling(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Do tasks that do nothing."""
    count = 4000
    with _cluster(2) as client:
        list(running.run_tasks(client, None, _nothing, list(range(100))))
        begun = time.perf_counter()
        list(running.run_tasks(client, None, _nothing, list(range(count))))
        seconds = (time.perf_counter() - begun) / count
    return {"seconds": seconds}


def _nothing(_: Any, item: int) -> int:
    return item


# ------------------------------------------------------------------ the page


def _report(found: dict[str, Any]) -> str:
    parts = [f"`python benchmarks/scale.py` on {found['machine']}.\n"]
    if "sizes" in found:
        parts.append(_of_sizes(found["sizes"]))
    if "workers" in found:
        parts.append(_of_workers(found["workers"]))
    if "workers" in found and "scheduling" in found:
        parts.append(_on_paper(found["workers"], found["scheduling"]["seconds"]))
    if "opening" in found:
        parts.append(_of_opening(found["opening"]))
    return "\n\n".join(parts)


def _of_sizes(rows: list[dict[str, Any]]) -> str:
    lines = []
    for row in rows:
        giga = row["voxels"] / 1e9
        phases = row["phases"]
        peak = max(worker["peak"] for worker in row["workers"]) / 2**30
        cells = [phases[name] / giga for name in ("search", "tiles", "pyramid", "record")]
        lines.append(
            [
                f"{row['gigabytes']:g} GB",
                f"{row['begun']:.0f} s",
                *(f"{cell:.1f}" for cell in cells),
                f"{row['seconds'] / giga:.1f}",
                f"{peak:.2f} GiB",
            ]
        )
    *_, before, last = (row["seconds"] / row["voxels"] for row in [rows[0], *rows])
    head = (
        *("recording", "PSF, noise, training begun", "search", "tiles", "pyramid", "record"),
        *("all", "peak of a worker"),
    )
    return (
        "**Size.** Light-sheet volumes of float32 with two workers, and a network that does next "
        "to nothing, so that what is measured is reading, searching, writing and scheduling; "
        "seconds per 10^9 voxels from *search* on. From the size before the last to the last the "
        f"cost of a voxel changes by {100 * abs(last / before - 1):.0f} %.\n\n{table(head, lines)}"
    )


def _of_workers(rows: list[dict[str, Any]]) -> str:
    lines = []
    for row in rows:
        spent = sum(worker["_run"] for worker in row["workers"])
        search = sum(worker["isolated_outliers"] for worker in row["workers"])
        files = sum(worker["files"] for worker in row["workers"])
        whole = row["seconds"] * row["count"]
        idle = whole - sum(worker["cpu"] for worker in row["workers"])
        cells = (row["phases"][name] for name in ("search", "tiles", "pyramid", "record"))
        lines.append(
            [
                str(row["count"]),
                f"{row['seconds']:.1f} s",
                *(f"{cell:.1f} s" for cell in cells),
                f"{100 * spent / whole:.0f} %",
                f"{100 * search / whole:.0f} %",
                f"{100 * files / whole:.0f} %",
                f"{100 * idle / whole:.0f} %",
                f"{100 * (files + idle) / (whole - files - idle):.0f} %",
            ]
        )
    one, two = (np.mean([row["seconds"] for row in rows if row["count"] == n]) for n in (1, 2))
    head = (
        *("workers", "all", "search", "tiles", "pyramid", "record"),
        *("of it the network", "the search", "files", "waiting", "files and waiting over the rest"),
    )
    frames = rows[0]["voxels"] // WIDTH**2
    return (
        f"**Workers.** {frames} frames of {WIDTH} x {WIDTH} pixels through the default network, "
        f"each worker with a core of its own: two are {one / two:.2f} times as fast as one. "
        "*Files* are read, written and averaged to coarser levels, in part while the network "
        "computes; who waits for tasks uses no core. The rest gives light back.\n\n"
        f"{table(head, lines)}"
    )


def _on_paper(rows: list[dict[str, Any]], scheduling: float) -> str:
    """Say how far more workers would go, from the times of tasks and of scheduling."""
    ones = [row for row in rows if row["count"] == 1]
    row = ones[0]
    phases = {name: np.mean([one["phases"][name] for one in ones]) for name in row["phases"]}
    work = sum(phases.values()) / row["voxels"]  # seconds of a worker for a pixel
    tile = phases["tiles"] / row["tiles"]
    pixels_of_task = 4 * row["voxels"] / row["tiles"]
    lines = []
    for gigabytes in (20, 1000, 20_000):
        pixels = gigabytes * 1e9 / 2
        cells = []
        for count in (16, 256, 4096):
            tasks = 2 * pixels / pixels_of_task
            # The scheduler hands tasks out one by one; at the end workers wait for the last tiles.
            computing = work * pixels / count + 4 * tile
            seconds = max(computing, tasks * scheduling) + 10
            cells.append(f"{100 * work * pixels / count / seconds:.0f} %")
        lines.append([f"{gigabytes:,} GB of uint16".replace(",", " "), *cells])
    head = ("recording", "16 workers", "256 workers", "4096 workers")
    return (
        f"**On paper**, from these times and {1000 * scheduling:.1f} ms of scheduling for a task: "
        "the share of the workers' time that is spent on tasks. Small recordings are limited by "
        f"the last tiles ({tile:.1f} s each, four a task) and by 10 s of beginning and end, large "
        "ones by how fast the scheduler hands out tasks. Disks are taken to be fast enough.\n\n"
        f"{table(head, lines)}"
    )


def _of_opening(rows: list[dict[str, Any]]) -> str:
    kinds = {"TYX": "a series of images", "ZYX": "a light-sheet volume"}
    lines = [
        [
            kinds[row["axes"]],
            *(f"{row[name]:.1f} s" for name in ("opened", "psf", "noise", "preview")),
        ]
        for row in rows
    ]
    head = ("100 GB", "opened, a plane shown", "PSF", "noise measured", "first preview")
    return (
        "**Opening** 100 GB of uint16 with one thread, seconds since the beginning; nothing was "
        f"given but the optics.\n\n{table(head, lines)}"
    )


PARTS = {"sizes": _sizes, "workers": _workers, "opening": _opening, "scheduling": _scheduling}


if __name__ == "__main__":
    raise SystemExit(main())
