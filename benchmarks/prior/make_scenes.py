"""Draw the scenes that the prior is trained on, one file each; goes on where it was."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
from scenes import make_scene


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--number", type=int, default=1600)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--step", type=int, default=1)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for seed in range(options.first, options.number, options.step):
        path = options.folder / f"{seed:05d}.npz"
        if path.exists():
            continue
        scene = make_scene(np.random.default_rng([7, seed]))
        part = path.with_suffix(".part.npz")
        np.savez(
            part,
            truth=scene.truth.astype(np.float32),
            blurred=scene.blurred.astype(np.float32),
            psf=scene.psf.array,
            fine=scene.psf.steps[-1],
        )
        os.replace(part, path)


if __name__ == "__main__":
    main()
