"""Train the starting weights that the package brings along, on simulation alone.

python benchmarks/prior/make_scenes.py SCENES
python benchmarks/prior/train_prior.py SCENES prior_2d.safetensors
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from napari_zsdeconvnet.forward import BlurAndBin
from napari_zsdeconvnet.informed_network import InformedNetwork
from napari_zsdeconvnet.psf import PSF

CROP = 96
MARGIN = 8


def load(path: Path) -> tuple[Tensor, Tensor, PSF]:
    with np.load(path) as file:
        fine = float(file["fine"])
        psf = PSF.from_array(file["psf"].astype(float), (fine, fine))
        return torch.from_numpy(file["truth"]), torch.from_numpy(file["blurred"]), psf


def draw(truth: Tensor, blurred: Tensor, count: int, rng: np.random.Generator):
    """Cut crops and record each with a light and a camera of its own."""
    fines, cleans, images, shots, reads, excesses = [], [], [], [], [], []
    for _ in range(count):
        row, column = rng.integers(0, blurred.shape[0] - CROP + 1, size=2)
        clean = blurred[row : row + CROP, column : column + CROP]
        fine = truth[2 * row : 2 * (row + CROP), 2 * column : 2 * (column + CROP)]
        photons = math.exp(rng.uniform(math.log(1.5), math.log(1500)))
        read = math.exp(rng.uniform(math.log(0.5), math.log(40)))
        electrons = torch.poisson(clean.clamp(min=0) * photons)
        electrons = electrons + math.sqrt(read) * torch.randn(clean.shape)
        excess = 1.0
        if rng.random() < 0.5:
            magnitude = rng.uniform(1, 2)
            variance = clean * photons + read
            electrons = electrons + magnitude * variance.sqrt() * torch.randn(clean.shape)
            excess = 1 + magnitude**2
        scale = photons * math.exp(rng.normal() * 0.3)
        images.append(electrons / scale)
        cleans.append(clean * photons / scale)
        fines.append(fine * photons / scale)
        shots.append(1 / scale)
        reads.append(read / scale**2)
        excesses.append(excess)
    column = [
        torch.tensor(values).float().reshape(-1, 1, 1, 1) for values in (shots, reads, excesses)
    ]
    return *(torch.stack(stack)[:, None] for stack in (fines, cleans, images)), *column


def gaussian(widths: tuple[float, ...]) -> np.ndarray:
    """Sample a Gaussian of these FWHM in pixels, odd along each axis, sum 1."""
    kernel = np.ones(())
    for width in widths:
        sigma = max(width, 1e-3) / math.sqrt(8 * math.log(2))
        radius = max(math.ceil(3.5 * sigma), 1)
        line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
        kernel = np.multiply.outer(kernel, line / line.sum())
    return kernel.astype(np.float32)


def losses(network: InformedNetwork, scene, count: int, rng) -> tuple[Tensor, Tensor]:
    truth, blurred, psf = scene
    fine, clean, image, shot, read, excess = draw(truth, blurred, count, rng)
    network.see_through(psf)
    network.shot, network.read = shot, read
    denoised, deconvolved = network(image, excess)
    with torch.no_grad():
        wanted = BlurAndBin(gaussian(network.stated_width), 1)(fine)
        noise = (excess * (shot * clean + read)).mean(dim=(1, 2, 3), keepdim=True)
        seen = torch.nn.functional.interpolate(clean, scale_factor=2.0, mode="bilinear")
        hidden = (wanted - seen).square().mean(dim=(1, 2, 3), keepdim=True) + 0.3 * noise
    inner = (..., slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    outer = (..., slice(2 * MARGIN, -2 * MARGIN), slice(2 * MARGIN, -2 * MARGIN))
    # The logarithm lets a decibel weigh the same under every light.
    return (
        ((denoised - clean).square() / noise)[inner].mean(dim=(1, 2, 3)).add(0.003).log().mean(),
        ((deconvolved - wanted).square() / hidden)[outer]
        .mean(dim=(1, 2, 3))
        .add(0.01)
        .log()
        .mean(),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--steps", type=int, default=6500)
    parser.add_argument("--scenes-a-step", type=int, default=3)
    parser.add_argument("--crops", type=int, default=2)
    parser.add_argument("--rate", type=float, default=1.2e-3)
    parser.add_argument("--start", type=Path)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--channels", type=int, nargs="+", default=[32, 48, 64])
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    paths = sorted(options.scenes.glob("?????.npz"))
    pool = {}
    _, _, psf = load(paths[0])
    network = InformedNetwork(psf, 2, tuple(options.channels))
    if options.start:
        network.load_state_dict(load_file(options.start))
    network.to(memory_format=torch.channels_last)
    print(sum(p.numel() for p in network.parameters()), "parameters", flush=True)
    average = copy.deepcopy(network)
    optimiser = torch.optim.Adam(network.parameters(), betas=(0.9, 0.99))
    started, running = time.perf_counter(), np.zeros(2)
    for step in range(1, options.steps + 1):
        done = step / options.steps
        warm = min(step / 200, 1.0)
        rate = options.rate * warm * max(0.5 + 0.5 * math.cos(math.pi * done), 0.005)
        for group in optimiser.param_groups:
            group["lr"] = rate
        if step % 200 == 0:
            paths = sorted(options.scenes.glob("?????.npz"))
        values = np.zeros(2)
        for _ in range(options.scenes_a_step):
            path = paths[rng.integers(len(paths))]
            if path not in pool:
                pool[path] = load(path)
            denoising, deconvolution = losses(network, pool[path], options.crops, rng)
            (denoising + deconvolution).div(options.scenes_a_step).backward()
            values += [denoising.item(), deconvolution.item()]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        decay = min(0.998, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, weight in zip(average.parameters(), network.parameters(), strict=True):
                mean.lerp_(weight, 1 - decay)
        running = 0.99 * running + 0.01 * values / options.scenes_a_step if step > 1 else values
        if step % 50 == 0:
            seconds = time.perf_counter() - started
            print(f"{step} {seconds:.0f} s  {running.round(4)}  pool {len(paths)}", flush=True)
        if step % 250 == 0 or step == options.steps:
            save_file({k: v.contiguous() for k, v in average.state_dict().items()}, options.output)


if __name__ == "__main__":
    main()
