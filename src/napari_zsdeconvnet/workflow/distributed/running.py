"""Doing tasks: here, by processes of this machine, or by those of any Dask cluster."""

from __future__ import annotations

import functools
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ...utils.cores import cores
from ...utils.devices import resolve_device
from ...utils.each import Each
from ...utils.errors import InputError
from ...utils.phases import doing

if TYPE_CHECKING:
    import torch
    from distributed import Client

_ANSWERS = 20  # seconds in which a scheduler has to answer
_RETRIES = 2
_WAITING = 3  # tasks for each worker that are with the scheduler at a time
_COUNTED = 5.0  # seconds after which workers are counted again: a queue may give more of them
_ASKED = 0.1  # seconds after which it is asked again what has ended
_TOGETHER = 16  # planes in a task at most
_BATCH = 4  # tiles in a task at most; within one the next is read while one is computed
_LOST = {"distributed.deploy.lost-worker-timeout": "1 day"}
"""A process that ended is begun again; dask gives up one that is absent 15 s after it ended, also
when it ended once more and is about to begin, until there is no worker left."""
_UNINTERRUPTED = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
"""For a worker: a terminal sends Ctrl-C to it as well, which its parent ends anyway."""


Task = Callable[[Any], Any]


@contextmanager
def cluster(
    workers: int | None = None, scheduler: str | None = None, client: Client | None = None
) -> Iterator[Client | None]:
    """Give the cluster that is asked for, or None for this process alone.

    Parameters
    ----------
    workers
        Processes of this machine.
    scheduler
        Address of a scheduler that runs.
    client
        Of any cluster; it is used as it is.

    Raises
    ------
    InputError
        If distributed is not installed, or the scheduler does not answer.
    """
    if client is not None:
        _check_versions(client)
        yield client
        return
    if workers is None and scheduler is None:
        yield None
        return
    try:
        import dask
        import distributed
    except ImportError as error:
        raise InputError(
            "extra-missing",
            "Workers need dask and distributed, which are not installed; run: "
            'pip install "napari-zsdeconvnet[cluster]".',
        ) from error
    untyped: Any = distributed
    if scheduler is not None:
        try:
            if not scheduler.startswith("inproc"):
                # A client that refuses an address itself hangs for 40 s where it is given up.
                untyped.comm.get_address_host_port(scheduler)
            there = untyped.Client(scheduler, timeout=_ANSWERS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise InputError(
                "scheduler-missing",
                f"No scheduler answers at {scheduler} ({error}); check the address, or start one "
                "with: dask scheduler.",
            ) from error
        with _unlogged(), there:
            _check_versions(there)
            yield there
        return
    with (
        dask.config.set(_LOST),
        untyped.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",  # a usual port would be warned of where it is taken
            scheduler_kwargs={"dashboard": False},
            memory_limit=0,
            silence_logs=logging.CRITICAL + 1,  # what is lost or fails is said by its tiles
            preload=[_UNINTERRUPTED],
        ) as local,
        untyped.Client(local, set_as_default=False) as here,
    ):
        yield here


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep tracebacks of a client away whose scheduler is lost, as one sentence says it."""
    logger = logging.getLogger("distributed.client")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _check_versions(client: Client) -> None:
    """Refuse workers that have another version of this package."""
    from ...model.provenance import installed_versions

    doing("waiting for a worker")
    untyped: Any = client
    untyped.wait_for_workers(1)  # a queue may give them much later
    mine = installed_versions().get("napari-zsdeconvnet")
    try:
        found = client.run(_own_version)
    except Exception as error:  # what a worker without the package raises
        raise InputError(
            "worker-without-package",
            f"A worker cannot import napari-zsdeconvnet ({error}); install version {mine} there.",
        ) from error
    for worker, version in found.items():
        if version != mine:
            raise InputError(
                "worker-version",
                f"The worker {worker} has napari-zsdeconvnet {version}, and here it is {mine}; "
                "install the same version on both.",
            )


def _own_version() -> str | None:
    from napari_zsdeconvnet.model.provenance import installed_versions

    return installed_versions().get("napari-zsdeconvnet")


def threads_for(client: Client | None) -> int | None:
    """Return the threads of a task on a cluster; None for what is fastest in this process."""
    if client is None:
        return None
    listed = client.scheduler_info(n_workers=-1)["workers"]
    tasks: dict[str, int] = {}
    for worker in listed.values():
        tasks[worker["host"]] = tasks.get(worker["host"], 0) + max(worker["nthreads"], 1)
    counted: dict[str, int] = client.run(cores)
    shares = [
        have // tasks[listed[name]["host"]] for name, have in counted.items() if name in listed
    ]
    return max(min(shares, default=1), 1)


def device_for(client: Client | None, name: str) -> torch.device:
    """Return the device of a name where tasks are computed, which need not be this machine.

    Raises
    ------
    InputError
        If there is no such device, or not the same kind on all workers.
    """
    if client is None:
        return resolve_device(name)
    found: dict[str, torch.device] = client.run(resolve_device, name)
    kinds = sorted({device.type for device in found.values()})
    if len(kinds) > 1:
        raise InputError(
            "workers-differ",
            f"Some workers compute on {kinds[0]} and others on {kinds[1]}: start workers of one "
            "kind, or choose the device cpu.",
        )
    return next(iter(found.values()))


def where_computed(client: Client | None, do: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """Call a function where tasks are computed: on a worker, or here without a cluster."""
    if client is None:
        return do(*given, **named)
    return client.submit(functools.partial(do, *given, **named), pure=False).result()


def each_by(client: Client | None) -> Each:
    """Give what does the same for all things of a list, as `map` does, by the workers."""

    def each(do: Task, things: Sequence[Any]) -> Iterator[Any]:
        if client is None:
            yield from map(do, things)
            return
        parts = list(enumerate(_parts(things, client, _TOGETHER)))
        early: dict[int, list[Any]] = {}
        due = 0
        for (number, _), result in run_tasks(client, do, _all_of, parts):
            if isinstance(result, BaseException):
                raise result
            early[number] = result
            while due in early:
                yield from early.pop(due)
                due += 1

    return each


def _all_of(do: Task, part: tuple[int, Sequence[Any]]) -> list[Any]:
    return [do(thing) for thing in part[1]]


def run_tasks(
    client: Client | None,
    work: Any,
    do: Callable[[Any, Any], Any],
    items: Iterable[Any],
) -> Iterator[tuple[Any, Any]]:
    """Do ``do(work, item)`` for all items, in any order; gives each with its result.

    On a cluster a task that was lost with its worker is done again, at last without any other. The
    result of one that fails for good is its exception. An iterator of items that has come to its
    end is asked again after each result, and so may give what that has made possible.

    Raises
    ------
    InputError
        If the scheduler is lost, or the workers cannot open what they are to work on.
    """
    coming = iter(items)
    if client is None:
        for item in coming:
            yield item, do(work, item)
        return
    import distributed

    untyped: Any = distributed
    # What was sent to a worker alone would be lost with it, so nothing is sent for nothing.
    there = None
    if work is not None:
        there = _sent(client, work)
    item_of: dict[Any, Any] = {}
    futures = untyped.as_completed(loop=client.loop)
    room, counted = _WAITING, -math.inf

    def count() -> None:
        nonlocal room, counted
        if time.monotonic() - counted > _COUNTED:
            counted = time.monotonic()
            with suppress(OSError):  # of a scheduler that is lost, which the tasks tell
                workers = len(client.scheduler_info(n_workers=-1)["workers"])
                room = _WAITING * max(workers, 1)
                if not workers:
                    doing("waiting for a worker")

    def submit(item: Any) -> None:
        future = client.submit(do, there, item, retries=_RETRIES, pure=False)
        item_of[future.key] = item
        futures.add(future)

    def fill() -> None:
        count()
        while len(item_of) < room:
            for item in coming:
                submit(item)
                break
            else:
                return

    suspects: list[Any] = []
    alone = False
    fill()
    while item_of:
        while not futures.is_empty():
            ended = futures.next_batch(block=False)
            if not ended:
                count()
                with futures.thread_condition:
                    futures.thread_condition.wait(_ASKED)
            for future, result in zip(ended, _results(client, ended), strict=True):
                item = item_of.pop(future.key)
                future.release()
                if isinstance(result, untyped.KilledWorker) and not alone:
                    suspects.append(item)
                    fill()
                    continue
                alone = False
                fill()
                yield item, result
                fill()
        if suspects:
            # Whoever waits at a worker that another task ends is blamed as well.
            alone = True
            submit(suspects.pop(0))


def _sent(client: Client, work: Any) -> Any:
    """Send to all workers what all tasks need; each of them opens its files."""
    untyped: Any = client
    try:
        return untyped.scatter(work, broadcast=True, hash=False)
    except (OSError, CancelledError) as error:
        raise _lost() from error
    except Exception as error:  # the words of whatever failed on a worker
        raise InputError(
            "worker-cannot-open",
            f"A worker cannot open what it is to work on ({error}); the recording has to lie where "
            "all workers can read it, in files that they share.",
        ) from error


def _lost() -> InputError:
    return InputError(
        "scheduler-lost",
        "The connection to the scheduler was lost; start it and its workers again.",
    )


def _results(client: Client, ended: Sequence[Any]) -> list[Any]:
    """Fetch the results of tasks that have ended, at once where none of them failed."""
    untyped: Any = client
    if all(future.status == "finished" for future in ended):
        with suppress(Exception):  # of a worker that was lost meanwhile: then one by one
            return list(untyped.gather(ended))
    return [_result(future) for future in ended]


def _result(future: Any) -> Any:
    try:
        error = future.exception()
        return future.result() if error is None else error
    except CancelledError as error:
        raise _lost() from error


def batches(numbers: Sequence[int], client: Client | None) -> list[list[int]]:
    """Divide tiles into tasks, such that all workers have some."""
    return _parts(numbers, client, _BATCH)


def _parts(things: Sequence[Any], client: Client | None, most: int) -> list[list[Any]]:
    workers = 1 if client is None else len(client.scheduler_info(n_workers=-1)["workers"])
    size = max(min(most, len(things) // max(4 * workers, 1)), 1)
    return [list(things[first : first + size]) for first in range(0, len(things), size)]
