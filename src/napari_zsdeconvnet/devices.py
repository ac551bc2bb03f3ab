"""Which processor computes, named in words and never changed in silence."""

from __future__ import annotations

import re
from typing import TypeVar

import torch

from .errors import InputError

Network = TypeVar("Network", bound=torch.nn.Module)


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
            f"Device {str(name)!r} does not exist on this machine, which offers "
            f"{', '.join(choices)}: choose one of these."
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
        volumes = any(weight.ndim == 5 for weight in network.parameters())
        layout = torch.channels_last_3d if volumes else torch.channels_last
        network.to(memory_format=layout)  # type: ignore[call-overload]
    return network


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory ran out, on a GPU or on the host."""
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in words for sign in _OUT_OF_MEMORY)


# What the CPU's allocator (Linux, Windows), Metal and CUDA's libraries say.
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "alloc_failed")
