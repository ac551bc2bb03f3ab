"""Workers, schedulers and disks that fail: nothing is lost, nothing is done twice."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import pytest

from napari_zsdeconvnet.io.image_files import read_image
from napari_zsdeconvnet.io.ome_zarr_writing import ZarrRoom
from napari_zsdeconvnet.utils.errors import InputError
from napari_zsdeconvnet.workflow.distributed import iter_predict_to_zarr, predict_to_zarr, running
from napari_zsdeconvnet.workflow.distributed.prediction import unfinished
from tests.workflow.small_models import Losing, model_of, recording, written

ROOT = Path(__file__).parents[2]

Start = Callable[..., Any]


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Start]:
    """Start programs of dask as their own processes, which end with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(program: str, *arguments: str, path: Path = ROOT) -> subprocess.Popen[bytes]:
        places = os.pathsep.join([str(path), str(ROOT), os.environ.get("PYTHONPATH", "")])
        log = (tmp_path / f"{len(started)}.log").open("wb")
        one = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{program}", *arguments],
            env={**os.environ, "PYTHONPATH": places},
            stdout=log,
            stderr=log,
        )
        started.append(one)
        return one

    yield start
    for one in started:
        one.kill()
        one.wait()


@pytest.fixture
def scheduler(process: Start, tmp_path: Path) -> tuple[Any, str]:
    """A scheduler in a process of its own, and its address."""
    place = tmp_path / "scheduler.json"
    options = ("--port", "0", "--host", "127.0.0.1", "--no-dashboard", "--scheduler-file")
    running = process("scheduler", *options, str(place))
    for _ in range(300):
        if place.is_file() and place.stat().st_size:
            return running, str(json.loads(place.read_text())["address"])
        time.sleep(0.1)
    raise TimeoutError("the scheduler did not start")


WORKER = ("--nthreads", "1", "--no-dashboard", "--no-nanny")


def test_a_scheduler_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(running, "_ANSWERS", 1)
    image = recording(tmp_path, "YX")
    for address in ("tcp://127.0.0.1:9", "node1"):
        with pytest.raises(InputError, match=f"No scheduler answers at {address}"):
            predict_to_zarr(model_of(Losing()), image, tmp_path / "out.ome.zarr", scheduler=address)
    assert not unfinished(tmp_path / "out.ome.zarr").exists()


@pytest.mark.slow
def test_the_tiles_of_a_worker_that_dies_are_computed_by_another(tmp_path: Path):
    model = model_of(Losing())
    image = recording(tmp_path, "TYX")
    out = tmp_path / "out.ome.zarr"
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        client.run(importable, str(ROOT))
        steps = iter_predict_to_zarr(
            model, image, {"deconvolved": out}, device="cpu", tile=40, client=client
        )
        next(steps)
        victim = next(iter(client.run(os.getpid).values()))
        os.kill(victim, signal.SIGKILL)
        list(steps)
    expected = model.predict(image, device="cpu", tile=40)
    np.testing.assert_array_equal(written(out), expected.deconvolved)


def importable(folder: str) -> None:
    """Let a worker import the tests."""
    sys.path.insert(0, folder)


@pytest.mark.slow
def test_a_run_whose_scheduler_is_lost_can_be_gone_on_with(
    tmp_path: Path, process: Start, scheduler: tuple[Any, str]
):
    server, address = scheduler
    process("worker", address, *WORKER)
    model, image = model_of(Losing()), recording(tmp_path, "TYX")
    out = tmp_path / "out.ome.zarr"
    steps = iter_predict_to_zarr(
        model, image, {"deconvolved": out}, device="cpu", tile=40, scheduler=address
    )
    done = next(steps).done
    server.kill()
    with pytest.raises(InputError, match=r"scheduler was lost.*are kept: go on") as caught:
        list(steps)
    assert caught.value.code == "scheduler-lost"
    assert not out.exists()
    states = list(
        iter_predict_to_zarr(model, image, {"deconvolved": out}, device="cpu", resume=True)
    )
    assert states[0].done >= done > 0
    expected = model.predict(image, device="cpu", tile=40)
    np.testing.assert_array_equal(written(out), expected.deconvolved)


@pytest.mark.slow
def test_a_worker_of_another_version_is_refused(
    tmp_path: Path, process: Start, scheduler: tuple[Any, str]
):
    other = tmp_path / "other"
    described = other / "napari_zsdeconvnet-0.0.1.dist-info/METADATA"
    described.parent.mkdir(parents=True)
    described.write_text("Metadata-Version: 2.1\nName: napari-zsdeconvnet\nVersion: 0.0.1\n")
    process("worker", scheduler[1], *WORKER, path=other)
    model, image = model_of(Losing()), recording(tmp_path, "YX")
    out = tmp_path / "out.ome.zarr"
    with distributed.Client(scheduler[1], set_as_default=False) as client:
        client.wait_for_workers(1, timeout=60)
        for how in ({"scheduler": scheduler[1]}, {"client": client}):
            with pytest.raises(InputError, match=r"has napari-zsdeconvnet 0\.0\.1, and here"):
                predict_to_zarr(model, image, out, device="cpu", **how)
    assert not out.exists()
    assert not unfinished(out).exists()


@pytest.mark.parametrize("on_cluster", [False, True])
def test_a_full_disk_ends_the_run_and_keeps_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_cluster: bool
):
    model, image = model_of(Losing()), recording(tmp_path, "TYX")
    out = tmp_path / "out.ome.zarr"
    wholly = ZarrRoom.__setitem__
    left = [5]

    def written_until_full(room: ZarrRoom, index: Any, values: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        wholly(room, index, values)

    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        how = {"device": "cpu", "tile": 40, "client": client if on_cluster else None}
        monkeypatch.setattr(ZarrRoom, "__setitem__", written_until_full)
        with pytest.raises(InputError, match=r"The disk is full .* are kept: go on") as caught:
            predict_to_zarr(model, image, out, **how)
        assert caught.value.code == "disk-full"
        assert not out.exists()
        monkeypatch.undo()
        predict_to_zarr(model, image, out, **how, resume=True)
    expected = model.predict(image, device="cpu", tile=40)
    np.testing.assert_array_equal(written(out), expected.deconvolved)


def test_a_chunk_that_is_damaged_from_the_start_costs_its_own_tiles_alone(tmp_path: Path):
    model, image = model_of(Losing()), recording(tmp_path, "TYX")
    chunk = tmp_path / "in.ome.zarr/0/c/1/2/2"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:9])
    out = tmp_path / "out.ome.zarr"
    image = read_image(tmp_path / "in.ome.zarr")
    how: dict[str, Any] = {"device": "cpu", "tile": 40}
    with pytest.raises(InputError, match=r"chunk 0/c/1/2/2 cannot") as caught:
        predict_to_zarr(model, image, out, **how)
    failed = len(caught.value.fields["tiles"])
    chunk.write_bytes(whole)
    before = model.network.computed
    predict_to_zarr(model, image, out, **how, resume=True)
    assert model.network.computed - before == failed > 0


@pytest.mark.slow
def test_workers_that_a_queue_of_jobs_starts_do_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from dask_jobqueue.local import LocalCluster

    places = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", places)
    monkeypatch.chdir(tmp_path)
    model, image = model_of(Losing()), recording(tmp_path, "TYX")
    out = tmp_path / "out.ome.zarr"
    with (
        LocalCluster(
            cores=1, processes=1, memory="2GB", scheduler_options={"dashboard": False}
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        cluster.scale(jobs=2)
        client.wait_for_workers(2, timeout=60)
        predict_to_zarr(model, image, out, device="cpu", tile=40, client=client)
    expected = model.predict(image, device="cpu", tile=40)
    np.testing.assert_array_equal(written(out), expected.deconvolved)
