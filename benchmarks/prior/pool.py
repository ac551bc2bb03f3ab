"""Scenes by number, drawn when they are first asked for and kept in a folder."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from scenes import Scene, make_scene

from napari_zsdeconvnet.psf import PSF

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
        if not path.exists():
            self._draw(number, path)
        # Read back even if it was just drawn: rounded to half precision every time or never.
        with np.load(path) as file:
            fine = float(file["fine"])
            psf = PSF.from_array(file["psf"].astype(float), (fine, fine))
            return Scene(file["truth"].astype(np.float32), file["blurred"], psf)

    def _draw(self, number: int, path: Path) -> None:
        scene = make_scene(np.random.default_rng([self.stream, number]))
        part = path.with_name(f"{path.stem}.{os.getpid()}.npz")
        np.savez(
            part,
            truth=np.clip(scene.truth, 0, 6e4).astype(np.float16),
            blurred=scene.blurred,
            psf=scene.psf.array.astype(np.float32),
            fine=scene.psf.steps[-1],
        )
        os.replace(part, path)
