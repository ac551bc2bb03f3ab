"""Train the starting weights for images that the package brings along, on simulation alone.

python benchmarks/prior/train_prior.py SCENES STATE --start prior_2d.safetensors

SCENES is a folder for drawn scenes, STATE one for all that it takes to go on: run the same
command again and it does, to the bit. STATE/images_2.safetensors holds the averaged weights in
half precision, STATE/images_2.csv the history.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from cameras import record
from long_training import options_of, train
from pool import HELD_OUT, Pool
from scenes import Scene
from torch import Tensor

from napari_zsdeconvnet.networks.informed import InformedNetwork
from napari_zsdeconvnet.physics.forward import BlurAndBin
from napari_zsdeconvnet.psf.psf import PSF

NAME = "images_2"
CROP = 96
MARGIN = 8
CROPS = 2
FIRST_SCENES = 400
"""Scenes that the first step chooses from."""
NEW_SCENE_EVERY = 3
"""Steps after which there is one more: drawing one takes as long as a fourth of a step."""
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


def losses(pool: Pool, network, step: int, rng) -> tuple[Tensor, Tensor]:
    number = FIRST_SCENES + step // NEW_SCENE_EVERY
    scene = turned(pool[int(rng.integers(number))], rng)
    return in_decibels(*errors(network, scene, CROPS, rng))


def in_decibels(denoising: Tensor, deconvolution: Tensor) -> tuple[Tensor, Tensor]:
    """Take logarithms, which let a decibel weigh the same under every light."""
    return denoising.add(0.003).log().mean(), deconvolution.add(0.01).log().mean()


def held_out(network: InformedNetwork, pool: Pool) -> dict[str, float]:
    scenes = [pool[number] for number in range(HELD_OUT_SCENES)]
    return held_out_scores(network, scenes, errors, 1)


@torch.no_grad()
def held_out_scores(network: Any, scenes, errors, stream: int) -> dict[str, float]:
    """Decibels by which errors are below what was to be taken away, by camera and result.

    ``errors(network, scene, 1, rng, perfect=...)`` gives those of both results.
    """
    scores: dict[str, float] = {}
    for camera in ("perfect", "any"):
        found = []
        for number, scene in enumerate(scenes):
            rng = np.random.default_rng([HELD_OUT, number, stream])
            both = errors(network, scene, 1, rng, perfect=camera == "perfect")
            found.append([-10 * error.add(1e-3).log10().item() for error in both])
        for result, value in zip(("denoised", "deconvolved"), np.mean(found, axis=0), strict=True):
            scores[f"{result}_{camera}_camera_dB"] = float(value)
    return scores


def main() -> None:
    options = options_of(__doc__, rate=2e-4, draws=3, seed=5)
    pool, others = Pool(options.scenes), Pool(options.scenes, HELD_OUT)
    torch.manual_seed(options.seed)
    network = InformedNetwork(pool[0].psf).to(memory_format=torch.channels_last)
    train(
        NAME,
        network,
        lambda network, step, rng: losses(pool, network, step, rng),
        lambda network: held_out(network, others),
        options,
    )


if __name__ == "__main__":
    main()
