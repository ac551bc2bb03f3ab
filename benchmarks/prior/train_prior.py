"""Train the starting weights for images that the package brings along, on simulation alone.

python benchmarks/prior/train_prior.py SCENES STATE --start prior_2d.safetensors

SCENES is a folder for drawn scenes, STATE one for all that it takes to go on: run the same
command again and it does, to the bit. STATE/images_2.safetensors holds the averaged weights in
half precision, STATE/images_2.csv the history.
"""

from __future__ import annotations

import argparse
import signal
import time
from pathlib import Path

import numpy as np
import torch
from cameras import record
from long_training import LongTraining, add_row
from pool import HELD_OUT, Pool
from safetensors.torch import load_file
from scenes import Scene
from torch import Tensor

from napari_zsdeconvnet.forward import BlurAndBin
from napari_zsdeconvnet.informed_network import InformedNetwork
from napari_zsdeconvnet.psf import PSF

NAME = "images_2"
CROP = 96
MARGIN = 8
CROPS = 2
FIRST_SCENES = 600
"""Scenes that the first step chooses from; each later one adds one of its own."""
HELD_OUT_SCENES = 32


def draw(scene: Scene, count: int, rng: np.random.Generator, *, perfect: bool = False):
    """Cut crops and record each with a light and a camera of its own.

    Gives the structure, the image without noise, the recording, what is told of its noise (shot,
    read, excess) and the noise variance as it is.
    """
    fines, cleans, images, numbers = [], [], [], []
    for _ in range(count):
        row, column = rng.integers(0, scene.blurred.shape[0] - CROP + 1, size=2)
        clean = scene.blurred[row : row + CROP, column : column + CROP]
        fine = scene.truth[2 * row : 2 * (row + CROP), 2 * column : 2 * (column + CROP)]
        seen = record(np.clip(clean, 0, None), rng, perfect=perfect)
        images.append(seen.image)
        cleans.append(seen.expected)
        # No structure is negative, whatever the offset.
        fines.append(np.clip(fine * seen.light + seen.background, 0, None))
        numbers.append((seen.shot, seen.read, seen.excess, seen.noise))
    stacks = (torch.from_numpy(np.stack(s)[:, None]).float() for s in (fines, cleans, images))
    return *stacks, *torch.tensor(numbers).float().T.reshape(4, count, 1, 1, 1)


def turned(scene: Scene, rng: np.random.Generator) -> Scene:
    """Mirror and turn a scene and its PSF by right angles."""
    quarters, mirror = rng.integers(4), rng.random() < 0.5

    def turn(array: np.ndarray) -> np.ndarray:
        array = np.rot90(array, quarters)
        return np.ascontiguousarray(array.T if mirror else array)

    psf = PSF.from_array(turn(scene.psf.array), scene.psf.steps)
    return Scene(turn(scene.truth), turn(scene.blurred), psf)


def gaussian(widths: tuple[float, ...]) -> np.ndarray:
    """Sample a Gaussian of these FWHM in pixels, odd along each axis, sum 1."""
    kernel = np.ones(())
    for width in widths:
        sigma = max(width, 1e-3) / np.sqrt(8 * np.log(2))
        radius = max(int(np.ceil(3.5 * sigma)), 1)
        line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
        kernel = np.multiply.outer(kernel, line / line.sum())
    return kernel.astype(np.float32)


def errors(
    network: InformedNetwork, scene: Scene, count: int, rng, *, perfect: bool = False
) -> tuple[Tensor, Tensor]:
    """Mean squared errors of both results of each crop, over what was to be taken away."""
    fine, clean, image, shot, read, excess, noise = draw(scene, count, rng, perfect=perfect)
    network.see_through(scene.psf)
    network.shot, network.read = shot, read
    denoised, deconvolved = network(image, excess)
    with torch.no_grad():
        wanted = BlurAndBin(gaussian(network.stated_width), 1)(fine)
        seen = torch.nn.functional.interpolate(clean, scale_factor=2.0, mode="bilinear")
        hidden = (wanted - seen).square().mean(dim=(1, 2, 3), keepdim=True) + 0.3 * noise
    inner = (..., slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    outer = (..., slice(2 * MARGIN, -2 * MARGIN), slice(2 * MARGIN, -2 * MARGIN))
    return (
        ((denoised - clean).square() / noise)[inner].mean(dim=(1, 2, 3)),
        ((deconvolved - wanted).square() / hidden)[outer].mean(dim=(1, 2, 3)),
    )


def losses(pool: Pool, training: LongTraining, network, rng) -> tuple[Tensor, Tensor]:
    scene = turned(pool[int(rng.integers(FIRST_SCENES + training.done))], rng)
    denoising, deconvolution = errors(network, scene, CROPS, rng)
    # The logarithm lets a decibel weigh the same under every light.
    return denoising.add(0.003).log().mean(), deconvolution.add(0.01).log().mean()


@torch.no_grad()
def held_out(network: InformedNetwork, pool: Pool) -> dict[str, float]:
    """Decibels by which errors are below what was to be taken away, by camera and result."""
    scores: dict[str, float] = {}
    for camera in ("perfect", "any"):
        found = []
        for number in range(HELD_OUT_SCENES):
            rng = np.random.default_rng([HELD_OUT, number, 1])
            both = errors(network, pool[number], 1, rng, perfect=camera == "perfect")
            found.append([-10 * error.add(1e-3).log10().item() for error in both])
        for result, value in zip(("denoised", "deconvolved"), np.mean(found, axis=0), strict=True):
            scores[f"{result}_{camera}_camera_dB"] = float(value)
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("state", type=Path)
    parser.add_argument("--start", type=Path, required=True, help="weights to begin with")
    parser.add_argument("--steps", type=int, default=10**9, help="at which step to end")
    parser.add_argument("--draws", type=int, default=3, help="scenes a step, two crops of each")
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--slower-after", type=int, default=4000)
    parser.add_argument("--keep-every", type=int, default=25)
    parser.add_argument("--score-every", type=int, default=250)
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args()
    options.state.mkdir(parents=True, exist_ok=True)
    pool, others = Pool(options.scenes), Pool(options.scenes, HELD_OUT)
    network = InformedNetwork(pool[0].psf)
    network.load_state_dict(load_file(options.start))
    network.to(memory_format=torch.channels_last)
    first = held_out(network, others)
    print("at first", {name: round(value, 2) for name, value in first.items()}, flush=True)
    training = LongTraining(
        network,
        lambda network, rng: losses(pool, training, network, rng),
        draws=options.draws,
        rate=options.rate,
        slower_after=options.slower_after,
        seed=options.seed,
    )
    full = options.state / f"{NAME}.pt"
    if full.exists():
        training.load(full)
    running, began = None, (time.perf_counter(), time.process_time())
    ending: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: ending.append(number))
    while training.done < options.steps and not ending:
        values = training.step()
        running = values if running is None else 0.99 * running + 0.01 * values
        if training.done % options.keep_every == 0 or training.done == options.steps or ending:
            training.save(full)
            wall, cpu = time.perf_counter() - began[0], time.process_time() - began[1]
            print(f"{training.done} {wall:.0f} s, CPU {cpu:.0f} s {running.round(4)}", flush=True)
        if training.done % options.score_every == 0:
            row = {
                "step": training.done,
                "denoising_loss": running[0],
                "deconvolution_loss": running[1],
                **{
                    f"gain_{name}": value - first[name]
                    for name, value in held_out(training.average, others).items()
                },
            }
            add_row(options.state / f"{NAME}.csv", row)
            print({name: round(float(value), 3) for name, value in row.items()}, flush=True)
            training.save_weights(options.state / f"{NAME}.safetensors")


if __name__ == "__main__":
    main()
