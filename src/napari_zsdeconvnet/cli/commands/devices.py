"""`zsdeconvnet devices`: the processors that can compute."""

from __future__ import annotations

import argparse

from ..console import Console


def devices(arguments: argparse.Namespace, console: Console) -> None:
    """List the names that --device takes, the one that auto stands for first."""
    import torch

    from ...utils.devices import available_devices, describe_device, resolve_device

    _, *names = available_devices()
    described = {name: describe_device(resolve_device(name)) for name in names}
    for name, what in described.items():
        console.say(f"{name:<8} {what}{', taken by auto' if name == names[0] else ''}")
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
    console.say(f"torch {torch.__version__}, built with {build}.")
    console.result({"auto": names[0], "devices": described, "torch": torch.__version__})
