"""Train the first stage of the network for volumes, on simulation alone.

python benchmarks/prior/train_prior_volumes.py SCENES STATE

Folders, and going on after an end, as for `train_prior.py`. The second stage, which sees what is
sharpened between them, follows with `train_prior_corrector.py`.
"""

from __future__ import annotations

import numpy as np
import torch
from cameras import record
from long_training import options_of, train
from pool import HELD_OUT
from torch import Tensor
from volume_scenes import VolumePool, VolumeScene, some_network

from napari_zsdeconvnet.networks.informed_volume import InformedVolumeNetwork

NAME = "volumes_1"
CROP = (16, 64, 64)
MARGIN = (1, 6, 6)
FIRST_SCENES, NEW_SCENE_EVERY, HELD_OUT_SCENES = 400, 3, 16


def error(
    network: InformedVolumeNetwork, scene: VolumeScene, rng, *, perfect: bool = False
) -> Tensor:
    """Mean squared error of a crop under a light and by a camera of its own, over the noise."""
    corner = [rng.integers(0, n - c + 1) for n, c in zip(scene.clean.shape, CROP, strict=True)]
    clean = scene.clean[tuple(slice(a, a + c) for a, c in zip(corner, CROP, strict=True))]
    turns = rng.integers(4), rng.random() < 0.5, rng.random() < 0.5
    clean = np.rot90(clean, turns[0], axes=(1, 2))
    clean = clean[:: -1 if turns[1] else 1, :: -1 if turns[2] else 1]
    seen = record(np.ascontiguousarray(clean), rng, perfect=perfect)
    network.widths, network.shot, network.read = scene.widths, seen.shot, seen.read
    denoised = network.denoise(torch.from_numpy(seen.image).float()[None, None], seen.excess)[0, 0]
    wrong = (denoised - torch.from_numpy(seen.expected).float()).square() / seen.noise
    return wrong[tuple(slice(m, -m) for m in MARGIN)].mean()


def losses(pool: VolumePool, network, step: int, rng) -> tuple[Tensor, ...]:
    scene = pool[int(rng.integers(FIRST_SCENES + step // NEW_SCENE_EVERY))]
    return (error(network, scene, rng).add(0.002).log(),)


@torch.no_grad()
def held_out(network: InformedVolumeNetwork, pool: VolumePool) -> dict[str, float]:
    """Decibels by which errors are below the noise."""
    scores = {}
    for camera in ("perfect", "any"):
        found = [
            error(
                network,
                pool[number],
                np.random.default_rng([HELD_OUT, number, 1]),
                perfect=camera == "perfect",
            )
            for number in range(HELD_OUT_SCENES)
        ]
        scores[f"denoised_{camera}_camera_dB"] = float(
            np.mean([-10 * e.add(1e-4).log10().item() for e in found])
        )
    return scores


def main() -> None:
    options = options_of(__doc__, rate=1.2e-3, draws=2, seed=6)
    pool, others = VolumePool(options.scenes), VolumePool(options.scenes, HELD_OUT)
    torch.manual_seed(options.seed)
    network = some_network()
    train(
        NAME,
        network,
        lambda network, step, rng: losses(pool, network, step, rng),
        lambda network: held_out(network, others),
        options,
    )


if __name__ == "__main__":
    main()
