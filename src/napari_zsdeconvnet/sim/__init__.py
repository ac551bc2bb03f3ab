"""Structured illumination: patterns estimated from raw frames, and the linear reconstruction.

The names below are loaded on first use, like those of the package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .estimation import estimate
    from .patterns import Pattern, Patterns
    from .reconstruction import Reconstruction
    from .simulation import SIMSample, simulate_sim
    from .simulation_3d import SIMStack, sim_psf, simulate_sim_stack, simulate_sim_volume

_HOMES = {
    "estimate": "estimation",
    "Pattern": "patterns",
    "Patterns": "patterns",
    "Reconstruction": "reconstruction",
    "simulate_sim": "simulation",
    "SIMSample": "simulation",
    "SIMStack": "simulation_3d",
    "sim_psf": "simulation_3d",
    "simulate_sim_stack": "simulation_3d",
    "simulate_sim_volume": "simulation_3d",
}

__all__ = [
    "Pattern",
    "Patterns",
    "Reconstruction",
    "SIMSample",
    "SIMStack",
    "estimate",
    "sim_psf",
    "simulate_sim",
    "simulate_sim_stack",
    "simulate_sim_volume",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
