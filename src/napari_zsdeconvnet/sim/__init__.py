"""Structured illumination: patterns estimated from raw frames, and the linear reconstruction.

The names below are loaded on first use, like those of the package.

Examples
--------
>>> import napari_zsdeconvnet as zs
>>> sample = zs.sim.simulate_sim("filaments", shape=(64, 64), photons=200)
>>> image = zs.sim.Reconstruction(sample.patterns)(sample.raw - 100.0)
>>> image.shape
(128, 128)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..simulation.raw_sim import SIMSample, simulate_sim
    from ..simulation.raw_sim_3d import sim_psf, simulate_sim_volume
    from .estimation import estimate
    from .patterns import Pattern, Patterns
    from .reconstruction import Reconstruction

_MODULE_OF = {
    "estimate": ".estimation",
    "Pattern": ".patterns",
    "Patterns": ".patterns",
    "Reconstruction": ".reconstruction",
    "simulate_sim": "..simulation.raw_sim",
    "SIMSample": "..simulation.raw_sim",
    "sim_psf": "..simulation.raw_sim_3d",
    "simulate_sim_volume": "..simulation.raw_sim_3d",
}

__all__ = [
    "Pattern",
    "Patterns",
    "Reconstruction",
    "SIMSample",
    "estimate",
    "sim_psf",
    "simulate_sim",
    "simulate_sim_volume",
]


def __getattr__(name: str) -> Any:
    if name in ("simulate_sim_stack", "SIMStack"):
        raise AttributeError(
            f"{name} is gone: raw 3D-SIM frames are reconstructed elsewhere, and "
            "the simulation of what comes out stays."
        )
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name], __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULE_OF])
