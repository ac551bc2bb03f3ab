"""What the SIM window has done in a worker: estimate, reconstruct, deconvolve."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...inference.predict import TileProgress
from ...utils.errors import InputError
from ..layers.records import recorded

if TYPE_CHECKING:
    from ...inference.predict import Result
    from ...io.image import Image
    from ...model.model import Model
    from ...sim.patterns import Patterns
    from ...sim.reconstruction import Reconstruction
    from ..forms.sim_camera import CameraMaker


@dataclass(frozen=True)
class Reconstructed:
    """What *Estimate* and *Reconstruct* find in a worker."""

    patterns: Patterns
    image: NDArray[np.float32]
    """([T,] 2Y, 2X)."""
    spectrum: NDArray[np.float32]


def first_image(raw: NDArray[Any]) -> NDArray[Any]:
    """Return the frames of the first image."""
    first: NDArray[Any] = raw.reshape(-1, *raw.shape[-3:])[0]
    return first


def reconstruction(patterns: Patterns, settings: dict[str, Any]) -> Reconstruction:
    """Make the operator."""
    from ...sim.reconstruction import Reconstruction

    return Reconstruction(patterns, **settings)


def reconstruction_of(path: str | Path) -> Reconstruction:
    """Take the operator that a saved model was trained with."""
    from ...model.model import Model
    from ...sim.reconstruction import Reconstruction

    made = Model.load(path).reconstruction
    if made is None:
        raise InputError(
            "model-not-sim", f"{Path(path).name} was not trained on raw SIM; resume it in Train."
        )
    return Reconstruction.from_dict(made)


def reconstructed(
    read: Callable[[], NDArray[Any]],
    told: dict[str, Any],
    make_camera: CameraMaker,
    cutoff: float,
    patterns: Patterns | None,
    settings: dict[str, Any],
) -> Generator[TileProgress, None, Reconstructed]:
    """Estimate where patterns are not given, then reconstruct one image after the other."""
    from ...inference.raw_frames import reconstruct
    from ...sim.estimation import estimate
    from ...sim.spectrum import fringe_spectrum

    raw = read()
    camera = make_camera(first_image(raw), cutoff)
    if patterns is None:
        patterns = estimate(raw, offset=camera.offset, **told)
    operator = reconstruction(patterns, settings)
    sets = raw.reshape(-1, *raw.shape[-3:])
    images = []
    for index, frames in enumerate(sets):
        images.append(reconstruct(frames, operator, camera))
        yield TileProgress(index + 1, len(sets), "")
    image = np.stack(images) if raw.ndim == 4 else images[0]
    return Reconstructed(patterns, image, fringe_spectrum(raw, patterns))


def predicted(
    model: Model,
    make_operator: Callable[[], Reconstruction] | None,
    read: Callable[[], Image],
    make_camera: CameraMaker,
    cutoff: float,
    device: str,
    names: dict[str, str],
) -> Generator[TileProgress, None, tuple[Result, dict[str, Any]]]:
    """Apply a model to frames; their own patterns go before those that it was trained with."""
    from ...workflow.record import iter_recorded

    raw = read()
    camera = make_camera(first_image(raw.data), cutoff)
    own = None if make_operator is None else make_operator().to_dict()
    tiles = iter_recorded(model, raw, camera=camera, reconstruction=own, device=device)
    return (yield from recorded(tiles, model, names))
