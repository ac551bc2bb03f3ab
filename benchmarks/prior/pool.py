"""Scenes by number, drawn when they are first asked for and kept in a folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scenes import Scene, make_scene

from napari_zsdeconvnet.psf.psf import PSF

TRAINED_ON, HELD_OUT = 7, 9
"""Random streams: no scene is of both."""


class Pool:
    """The scenes of one random stream.

    Parameters
    ----------
    folder : Path
        About 0.4 MB each. Scenes of another version of the drawing belong into another folder.
    stream : int
        `TRAINED_ON` or `HELD_OUT`.
    """

    def __init__(self, folder: Path, stream: int = TRAINED_ON) -> None:
        self.folder, self.stream = folder, stream
        folder.mkdir(parents=True, exist_ok=True)

    def __getitem__(self, number: int) -> Scene:
        path = self.folder / f"{self.stream}-{number:06d}.npz"
        file = kept(path, lambda: self._draw(number))
        fine = float(file["fine"])
        psf = PSF.from_array(file["psf"].astype(float), (fine, fine))
        return Scene(file["truth"].astype(np.float32), file["blurred"], psf)

    def _draw(self, number: int) -> dict[str, Any]:
        scene = make_scene(np.random.default_rng([self.stream, number]))
        return {
            "truth": np.clip(scene.truth, 0, 6e4).astype(np.float16),
            "blurred": scene.blurred,
            "psf": scene.psf.array.astype(np.float32),
            "fine": scene.psf.steps[-1],
        }


def kept(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, np.ndarray]:
    """Read arrays from a file, and make them and the file where there is none."""
    if not path.exists():
        part = path.with_name(f"{path.stem}.{os.getpid()}.npz")
        np.savez(part, **make())
        os.replace(part, path)
    # Read back even if it was just made: rounded to half precision every time or never.
    with np.load(path) as file:
        return dict(file)
