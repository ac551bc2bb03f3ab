"""The typed steps by which a mode says what it has found out about a recording."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..noise.noise_model import NoiseModel
    from ..psf.psf import PSF
    from ..sim.patterns import Patterns


@dataclass(frozen=True)
class Began:
    """A stage has begun."""

    stage: str


@dataclass(frozen=True, eq=False)
class PSFMade:
    """The PSF is there."""

    psf: PSF
    said: str


@dataclass(frozen=True, eq=False)
class Calibrated:
    """The camera is known."""

    noise: NoiseModel
    said: str


@dataclass(frozen=True)
class Done:
    """A stage of a mode's own is done."""

    stage: str
    said: str


@dataclass(frozen=True)
class Recommended:
    """A setting would suit this recording and is not on."""

    said: str


@dataclass(frozen=True, eq=False)
class Reconstructed:
    """The patterns of raw frames are known, and the plain image made of them."""

    patterns: Patterns
    image: NDArray[np.float32]
    """([T,] 2Y, 2X)."""
    said: str


Preparing: TypeAlias = (
    "Generator[Began | Done | PSFMade | Calibrated | Recommended | Reconstructed, None, None]"
)
"""What the methods of a mode that prepare a recording yield."""
