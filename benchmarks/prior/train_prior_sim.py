"""Train the starting weights for raw SIM, on simulation alone.

python benchmarks/prior/train_prior_sim.py SCENES STATE --start prior_2d.safetensors

SCENES is a folder for drawn scenes, STATE one for all that it takes to go on: run the same
command again and it does, to the bit. STATE/sim_1.safetensors holds the averaged weights in half
precision, STATE/sim_1.csv the history. Weights for images may be given to begin with.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from cameras import calibrated, log_uniform
from long_training import options_of, train
from pool import HELD_OUT
from safetensors.torch import load_file, save_file
from scipy import ndimage
from sim_scenes import SIZE, SIMPool, SIMScene
from torch import Tensor
from train_prior import MARGIN, gaussian, held_out_scores, in_decibels

from napari_zsdeconvnet.networks.informed_sim import InformedSIMNetwork
from napari_zsdeconvnet.physics.forward import BlurAndBin
from napari_zsdeconvnet.psf.psf import PSF

NAME = "sim_1"
CROP = 112
CROPS = 2
OPEN = 36
"""Scenes that a step chooses from; every fourth step one of them gives way to the next."""
SCENES = 1500
"""After which the first comes again."""
HELD_OUT_SCENES = 24


def draw(scene: SIMScene, count: int, rng: np.random.Generator, *, perfect: bool = False):
    """Expose the frames, each time under a light of its own, reconstruct them and cut crops.

    Gives the structure, the reconstruction without noise, the reconstruction, and numbers of
    each: shot, read and excess as told of the frames, and the noise variance as it is.
    """
    fines, cleans, images, numbers = [], [], [], []
    for _ in range(count):
        photons, read = log_uniform(rng, 2, 3000), log_uniform(rng, 0.5, 40)
        expected = scene.frames * photons
        electrons = rng.poisson(expected) + np.sqrt(read) * rng.standard_normal(expected.shape)
        shot, told, offset = (1.0, read, 0.0) if perfect else calibrated(1.0, read, rng)
        electrons, variance, excess = electrons + offset, expected.mean() + read, 1.0
        if rng.random() < 0.4:
            # Re-corrupted as the training does it (equation 2).
            magnitude = rng.uniform(1, 2)
            mean = ndimage.uniform_filter(electrons, (1, 5, 5))
            added = magnitude**2 * np.clip(shot * mean + told, 0, None)
            electrons = electrons + np.sqrt(added) * rng.standard_normal(expected.shape)
            excess, variance = 1 + magnitude**2, variance + added.mean()
        scale = photons * np.exp(0.3 * rng.normal())
        image = scene.reconstruction((electrons / scale).astype(np.float32))
        light, background = photons / scale, offset / scale
        top, left = 8 * rng.integers(0, (2 * SIZE - CROP) // 8 + 1, size=2)
        cut = (slice(top, top + CROP), slice(left, left + CROP))
        images.append(image[cut])
        cleans.append(scene.clean[cut] * light + background)
        fines.append(np.clip(scene.truth[cut] * light + background, 0, None))
        noise = scene.spectrum.mean() * variance / scale**2
        numbers.append((shot / scale, told / scale**2, excess, noise))
    stacks = (np.stack(stack)[:, None] for stack in (fines, cleans, images))
    return *stacks, torch.tensor(numbers).float().T.reshape(4, count, 1, 1, 1)


def turned(rng: np.random.Generator, *arrays: np.ndarray) -> list[np.ndarray]:
    """Mirror and turn all of them by the same right angles."""
    quarters, mirror = rng.integers(4), rng.random() < 0.5
    arrays = tuple(np.rot90(array, quarters, (-2, -1)) for array in arrays)
    if mirror:
        arrays = tuple(array.swapaxes(-1, -2) for array in arrays)
    return [np.ascontiguousarray(array) for array in arrays]


def errors(
    network: InformedSIMNetwork, scene: SIMScene, count: int, rng, *, perfect: bool = False
) -> tuple[Tensor, Tensor]:
    """Mean squared errors of both results of each crop, over what was to be taken away."""
    *stacks, numbers = draw(scene, count, rng, perfect=perfect)
    shot, read, excess, noise = numbers
    *stacks, kernel = turned(rng, *stacks, scene.psf.array)
    fine, clean, image = (torch.from_numpy(stack).float() for stack in stacks)
    network.see_through(PSF.from_array(kernel, scene.psf.steps))
    power = float(scene.spectrum.mean())
    network.shot, network.read = shot * power, read * power
    network.averaged, network.removed = network.shares(scene.spectrum)
    denoised, deconvolved = network(image, excess)
    with torch.no_grad():
        wanted = BlurAndBin(gaussian(network.stated_width), 1)(fine)
        hidden = (wanted - clean).square().mean(dim=(1, 2, 3), keepdim=True) + 0.3 * noise
    inner = (..., slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    return (
        ((denoised - clean).square() / noise)[inner].mean(dim=(1, 2, 3)),
        ((deconvolved - wanted).square() / hidden)[inner].mean(dim=(1, 2, 3)),
    )


def losses(pool: SIMPool, network, step: int, rng) -> tuple[Tensor, Tensor]:
    scene = pool[(step // 4 + int(rng.integers(OPEN))) % SCENES]
    return in_decibels(*errors(network, scene, CROPS, rng))


def held_out(network: InformedSIMNetwork, pool: SIMPool) -> dict[str, float]:
    scenes = [pool[number] for number in range(HELD_OUT_SCENES)]
    return held_out_scores(network, scenes, errors, 5)


def from_images(file: Path, network: InformedSIMNetwork) -> dict[str, Tensor]:
    """Give weights for images, whose output grid is twice as fine, the shapes of these."""
    weights = {name: weight.float() for name, weight in load_file(file).items()}
    entry, own = weights["denoiser.entry.weight"], network.state_dict()
    if entry.shape == own["denoiser.entry.weight"].shape:
        return weights
    # The share of the noise that averaging leaves is new, and the width comes last.
    wide = torch.zeros_like(own["denoiser.entry.weight"])
    wide[:, :20], wide[:, -1] = entry[:, :20], entry[:, -1]
    entry = weights["corrector.entry.weight"]
    fine = entry[:, -17:-1].reshape(-1, 2, 2, 2, 2, 3, 3).sum(dim=(2, 4)).flatten(1, 2)
    weights["denoiser.entry.weight"] = wide
    weights["corrector.entry.weight"] = torch.cat([entry[:, :-17], fine, entry[:, -1:]], dim=1)
    for name in ("corrected.weight", "corrected.bias"):
        last = weights[name]
        blocks = last.reshape(2, 2, 2, 2, *last.shape[1:])
        weights[name] = blocks.mean(dim=(1, 3)).flatten(0, 1)
    return weights


def main() -> None:
    options = options_of(__doc__, rate=3e-4, draws=3, seed=8)
    pool, others = SIMPool(options.scenes), SIMPool(options.scenes, HELD_OUT)
    torch.manual_seed(options.seed)
    network = InformedSIMNetwork(pool[0].psf).to(memory_format=torch.channels_last)
    if options.start:
        options.state.mkdir(parents=True, exist_ok=True)
        start = options.state / "start.safetensors"
        save_file(
            {
                name: weight.contiguous()
                for name, weight in from_images(options.start, network).items()
            },
            start,
        )
        options.start = start
    train(
        NAME,
        network,
        lambda network, step, rng: losses(pool, network, step, rng),
        lambda network: held_out(network, others),
        options,
    )


if __name__ == "__main__":
    main()
