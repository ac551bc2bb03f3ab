"""Which processor computes, named in words and never changed in silence."""

from __future__ import annotations

import os
import re
import statistics
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch.nn import functional as F

from .cores import fixed, wanted_threads
from .errors import InputError

Network = TypeVar("Network", bound=torch.nn.Module)

REMEMBERED = 120.0
"""Seconds for which a measured number of threads serves."""


def available_devices() -> list[str]:
    """Names that `resolve_device` accepts on this machine, best first, ``"auto"`` leading."""
    names = ["auto"]
    names += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("mps")
    return [*names, "cpu"]


def resolve_device(name: str | torch.device = "auto") -> torch.device:
    """Turn a device's name into the device.

    Parameters
    ----------
    name : str or torch.device
        ``"auto"`` takes the first CUDA GPU, else Apple's MPS, else the CPU; or ``"cpu"``,
        ``"cuda"``, ``"cuda:1"``, ``"mps"``.

    Raises
    ------
    InputError
        If this machine has no such device: a run never moves elsewhere unasked.
    """
    choices = available_devices()
    wanted = choices[1] if str(name) == "auto" else str(name)
    if wanted == "cuda":
        wanted = "cuda:0"
    if wanted not in choices or not re.fullmatch(r"cpu|mps|cuda:\d+", wanted):
        raise InputError(
            "device-unknown",
            f"Device {str(name)!r} does not exist on this machine, which offers "
            f"{', '.join(choices)}: choose one of these.",
        )
    return torch.device(wanted)


def describe_device(device: torch.device) -> str:
    """Say in words what computes, for example ``"CPU, 2 threads"``."""
    if device.type == "cuda":
        return f"GPU {device.index or 0}, {torch.cuda.get_device_name(device)}"
    if device.type == "mps":
        return "GPU, Apple Metal"
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"


def thread_count(device: torch.device) -> int:
    """Tell with how many threads of the CPU a network is computed fastest at the moment.

    On an idle machine two threads are nearly twice as fast as one; on a crowded one they may be
    ten times slower, as each waits for the other whenever it has to wait for a core. So it is
    measured, in less than 0.2 s every few minutes. Never are there more than torch is set to.
    `fixed_threads` or the environment variable ``ZSDECONVNET_THREADS`` decide instead where
    they are set, and GPUs take what torch is set to.

    Raises
    ------
    InputError
        If the environment variable is not a whole number of at least 1.
    """
    if device.type != "cpu":
        return torch.get_num_threads()
    return fixed.get() or wanted_threads() or _measured_threads()


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Compute with so many threads in this block; torch goes back to its own number after it.

    In a process that was forked after the first block like this it is one thread, and said.
    """
    number = _after_fork(number)
    usual = torch.get_num_threads()
    if number != usual:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        if number != usual:
            torch.set_num_threads(usual)


@contextmanager
def fixed_threads(number: int) -> Iterator[None]:
    """Train and predict with exactly so many threads in this block, whatever is faster.

    The order of sums, and so the last bits of a result, depend on the number of threads.
    """
    before = fixed.set(number)
    try:
        with threads(number):
            yield
    finally:
        fixed.reset(before)


@contextmanager
def steady_threads(device: torch.device) -> Iterator[None]:
    """Take the number of threads that is fastest now for all that is computed in this block."""
    with fixed_threads(thread_count(device)):
        yield


def _after_fork(number: int) -> int:
    """Note that threads are about to be made; give one where those of the parent are lost."""
    state = _threads_made
    if state["here"] != os.getpid():
        if state["here"] is not None and not state["said"]:
            state["said"] = True
            warnings.warn(
                "This process was forked from one that had computed, and torch's threads do not "
                "survive that: it computes with one thread. Start processes with the method "
                "'spawn' for more.",
                RuntimeWarning,
                stacklevel=4,
            )
        if state["here"] is not None:
            return 1
        state["here"] = os.getpid()
    return number


_threads_made: dict[str, Any] = {"here": None, "said": False}


def _in_child() -> None:
    """Compute with one thread after a fork, since waiting for those of the parent never ends."""
    if _threads_made["here"] is not None:
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


_measured: dict[int, tuple[float, int]] = {}


def _measured_threads() -> int:
    """Give the fastest number up to that which torch is set to, from memory where it is fresh."""
    most = torch.get_num_threads()
    if most == 1:
        return 1
    when, found = _measured.get(most, (-REMEMBERED, 1))
    if time.monotonic() - when > REMEMBERED:
        found = _fastest(_seconds_by_threads(most))
        _measured[most] = time.monotonic(), found
    return found


def _fastest(seconds: dict[int, float]) -> int:
    """Choose the number of threads by the time each takes; more must be worth their while."""
    best = min(seconds)
    for number in sorted(seconds):
        if seconds[number] < 0.85 * seconds[best]:
            best = number
    return best


def _seconds_by_threads(most: int, budget: float = 0.08) -> dict[int, float]:
    """Time a convolution with one thread, two, four and so on, and with ``most``."""
    numbers = sorted({most} | {2**power for power in range(most.bit_length()) if 2**power < most})
    image = torch.full((1, 32, 96, 96), 0.1).contiguous(memory_format=torch.channels_last)
    weight = torch.full((32, 32, 3, 3), 0.1).contiguous(memory_format=torch.channels_last)
    seconds: dict[int, list[float]] = {number: [] for number in numbers}
    begun = time.perf_counter()
    with torch.inference_mode():
        # The first round, in which threads are made, does not count.
        for turn in range(6):
            for number in numbers:
                with threads(number):
                    start = time.perf_counter()
                    F.conv2d(image, weight)
                    if turn:
                        seconds[number].append(time.perf_counter() - start)
            if turn >= 2 and time.perf_counter() - begun > budget:
                break
    return {number: statistics.median(times) for number, times in seconds.items()}


def reduced_precision(device: torch.device) -> torch.dtype | None:
    """Give the half-width type whose arithmetic this device has in hardware, or None.

    bfloat16 keeps the range of float32, so that no loss scaling is needed.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None
    if device.type == "cpu" and _has_onednn():
        return torch.bfloat16 if _has_bfloat16_units() else None
    return None


def _has_onednn() -> bool:
    """Tell whether torch was built with the library that computes in bfloat16 on CPUs."""
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def _has_bfloat16_units() -> bool:
    """Tell whether the CPU multiplies bfloat16 itself; emulation is slower than float32.

    torch has no public question for it, and the private ones are not in every release that
    we run on: where one is missing the answer is no.
    """
    questions = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, question, bool)()) for question in questions)


def move_network(network: Network, device: torch.device) -> Network:
    """Move a network to a device, its weights in the layout in which they are fastest.

    With channels last a training step of either network takes a quarter less on CPUs, and the
    layout of the weights decides, since with a single channel the input has no say. Apple's
    GPUs have nothing of it, and their convolutions have erred on that layout.
    """
    network.to(device)
    if device.type != "mps":
        for weight in network.parameters():
            if weight.ndim > 3:
                layout = torch.channels_last_3d if weight.ndim == 5 else torch.channels_last
                weight.data = weight.data.contiguous(memory_format=layout)
    return network


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory ran out, on a GPU or on the host."""
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in words for sign in _OUT_OF_MEMORY)


# What the CPU's allocator (Linux, Windows), Metal and CUDA's libraries say.
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "alloc_failed")
