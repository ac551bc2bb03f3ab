"""How far there is to go: the network of `fast`, taught by the truth of other phantoms of a kind.

    python benchmarks/upper_mark.py rings 30 2.3
    python benchmarks/upper_mark.py filaments 20 1.0

No user has such truths. The network begins with the weights that the package brings along, sees
eight phantoms of the kind through the same optics and camera, ever anew with other noise, and is
scored on the phantom of `run_targets.py`, which is not among them.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from prior.train_prior import CROP, MARGIN, gaussian
from run_targets import phantom
from yardstick import Yardstick

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.networks.informed import InformedNetwork
from napari_zsdeconvnet.physics.forward import BlurAndBin

OTHERS = range(101, 109)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind")
    parser.add_argument("photons", type=float)
    parser.add_argument("gain", type=float)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--phantom-seed", type=int, default=1)
    options = parser.parse_args()
    rng = np.random.default_rng(1)
    torch.manual_seed(1)
    sample = phantom(options.kind, options.photons, options.gain)(options)
    model = zs.train(
        sample.raw, sample.psf, sample.noise, voxel_size=sample.voxel_size, preview_every=0, seed=1
    ).model
    network = cast(InformedNetwork, model.network).train()
    network.to(memory_format=torch.channels_last)
    noise, yardstick = sample.noise, Yardstick(sample)
    stated = BlurAndBin(gaussian(network.stated_width), 1)
    pool = []
    for seed in OTHERS:
        other = phantom(options.kind, options.photons, options.gain, another=seed)(options)
        with torch.no_grad():
            truth = torch.from_numpy(np.float32(other.truth))[None, None]
            pool.append((stated(truth)[0, 0] / model.scale, other.noise_free))
    optimiser = torch.optim.Adam(network.parameters(), betas=(0.9, 0.99))
    inner = (..., slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    outer = (..., slice(2 * MARGIN, -2 * MARGIN), slice(2 * MARGIN, -2 * MARGIN))
    for step in range(1, options.steps + 1):
        for group in optimiser.param_groups:
            group["lr"] = 4e-4 * (0.5 + 0.5 * np.cos(np.pi * step / options.steps)) + 2e-6
        images, cleans, truths = [], [], []
        for _ in range(4):
            truth, clean = pool[rng.integers(len(pool))]
            row, column = rng.integers(0, clean.shape[0] - CROP + 1, size=2)
            part = clean[row : row + CROP, column : column + CROP]
            electrons = rng.poisson(np.clip(part, 0, None) / options.gain)
            read = rng.normal(scale=noise.read_variance**0.5, size=part.shape)
            images.append(torch.from_numpy(np.float32(electrons * options.gain + read)))
            cleans.append(torch.from_numpy(np.float32(part)))
            truths.append(truth[2 * row : 2 * (row + CROP), 2 * column : 2 * (column + CROP)])
        image, clean, truth = (torch.stack(stack)[:, None] for stack in (images, cleans, truths))
        denoised, deconvolved = network(image / model.scale)
        loss = (denoised - clean / model.scale)[inner].square().mean().log()
        loss = loss + (deconvolved - truth)[outer].square().mean().log()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if step % 200 == 0 or step == options.steps:
            taught = replace(model, network=network)
            result = taught.predict(sample.raw, device="cpu")
            network.train()
            found = yardstick.deconvolved(result.deconvolved)
            print(f"{step} steps: {found.psnr:.2f} / {found.ssim:.4f}", flush=True)


if __name__ == "__main__":
    main()
