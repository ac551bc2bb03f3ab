"""Train the second stage of the network for volumes, on simulation alone.

    python benchmarks/prior/train_prior_corrector.py SCENES STATE --start volumes_1.safetensors

Folders, and going on after an end, as for `train_prior.py`. The first stage of the weights at
``--start`` denoises every volume once, and Richardson-Lucy sharpens it; both are kept in SCENES,
2.5 MB a volume, each made when it is first needed; ``make_scenes.py --sharpened`` makes them ahead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from cameras import record
from long_training import options_of, train
from pool import HELD_OUT, TRAINED_ON, kept
from safetensors.torch import load_file
from torch import Tensor
from volume_scenes import draw_volume, some_network

from napari_zsdeconvnet.networks.informed import STATED
from napari_zsdeconvnet.networks.informed_volume import InformedVolumeNetwork
from napari_zsdeconvnet.noise.noise_model import NoiseModel

NAME = "volumes_2"
CROP = (16, 64, 64)
MARGIN = (2, 8, 8)
FIRST_SCENES, NEW_SCENE_EVERY, HELD_OUT_SCENES = 60, 8, 16


@dataclass(frozen=True, eq=False)
class Sample:
    """A recording of a volume, all arrays (Z, Y, X), and what the network is told of it."""

    image: np.ndarray
    expected: np.ndarray
    """The recording without noise."""
    wanted: np.ndarray
    """The structure at the stated resolution."""
    denoised: np.ndarray
    sharpened: np.ndarray
    reblurred: np.ndarray
    widths: np.ndarray
    stated_width: np.ndarray
    numbers: np.ndarray
    """shot, read, excess, and the noise variance as it is."""

    def cut(self, rng: np.random.Generator) -> Sample:
        """Cut a patch out of all arrays, mirrored and turned."""
        corner = [rng.integers(0, n - c + 1) for n, c in zip(self.image.shape, CROP, strict=True)]
        place = tuple(slice(a, a + c) for a, c in zip(corner, CROP, strict=True))
        quarters, steps = rng.integers(4), [rng.choice([1, -1]) for _ in range(3)]

        def turned(volume: np.ndarray) -> np.ndarray:
            volume = np.rot90(volume[place], quarters, axes=(1, 2))
            return np.ascontiguousarray(volume[tuple(slice(None, None, step) for step in steps)])

        arrays = {name: turned(one) for name, one in vars(self).items() if one.ndim == 3}
        return replace(self, **arrays)


class Samples:
    """Samples by number, those of one random stream."""

    def __init__(self, folder: Path, weights: dict[str, Tensor], stream: int = TRAINED_ON) -> None:
        self.folder, self.weights, self.stream = folder, weights, stream
        folder.mkdir(parents=True, exist_ok=True)

    def __getitem__(self, number: int) -> Sample:
        path = self.folder / f"sharpened-{self.stream}-{number:06d}.npz"
        made = kept(path, lambda: self._make(np.random.default_rng([self.stream, 4, number])))
        return Sample(**{name: values.astype(np.float32) for name, values in made.items()})

    @torch.inference_mode()
    def _make(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        truth, clean, psf = draw_volume(rng, STATED)
        seen = record(clean, rng)
        network = InformedVolumeNetwork(psf).to(memory_format=torch.channels_last)
        network.load_state_dict(self.weights)
        # In these units 1 is 1 / shot electrons.
        network.expect_noise(NoiseModel(0.0, 1.0, seen.read / seen.shot**2), 1 / seen.shot)
        image = torch.from_numpy(seen.image).float()[None, None]
        denoised = network.denoise_whole(image, seen.excess)
        sharpened, reblurred, _ = network.sharpen(image, denoised)
        volumes = {
            "image": seen.image,
            "expected": seen.expected,
            # No structure is negative, whatever the offset.
            "wanted": np.clip(truth * seen.light + seen.background, 0, None),
            "denoised": denoised[0, 0].numpy(),
            "sharpened": sharpened[0, 0].numpy(),
            "reblurred": reblurred[0, 0].numpy(),
        }
        return {
            **{name: values.astype(np.float16) for name, values in volumes.items()},
            "widths": np.array(network.widths),
            "stated_width": np.array(network.stated_width),
            "numbers": np.array([seen.shot, seen.read, seen.excess, seen.noise]),
        }


def error(network: InformedVolumeNetwork, sample: Sample) -> Tensor:
    """Mean squared error of the deconvolved volume, over what was to be taken away."""
    parts = (sample.image, sample.denoised, sample.sharpened, sample.reblurred)
    volumes = [torch.from_numpy(one)[None, None] for one in parts]
    network.widths, network.stated_width = tuple(sample.widths), tuple(sample.stated_width)
    shot, read, excess, noise = map(float, sample.numbers)
    network.shot, network.read = shot, read
    deconvolved = network.correct(*volumes, excess)[0, 0]
    inner = tuple(slice(m, -m) for m in MARGIN)
    hidden = float(np.square(sample.wanted - sample.expected)[inner].mean()) + 0.3 * noise
    wrong = (deconvolved - torch.from_numpy(sample.wanted)).square() / hidden
    return wrong[inner].mean()


def losses(samples: Samples, network, step: int, rng) -> tuple[Tensor, ...]:
    sample = samples[int(rng.integers(FIRST_SCENES + step // NEW_SCENE_EVERY))]
    return (error(network, sample.cut(rng)).add(0.01).log(),)


@torch.no_grad()
def held_out(network: InformedVolumeNetwork, samples: Samples) -> dict[str, float]:
    """Decibels by which errors are below what was to be taken away."""
    found = [error(network, samples[number]) for number in range(HELD_OUT_SCENES)]
    return {"deconvolved_dB": float(np.mean([-10 * e.add(1e-3).log10().item() for e in found]))}


def main() -> None:
    options = options_of(__doc__, rate=1.2e-3, draws=2, seed=8)
    weights = {name: weight.float() for name, weight in load_file(options.start).items()}
    samples = Samples(options.scenes, weights)
    torch.manual_seed(options.seed)
    train(
        NAME,
        some_network(),
        lambda network, step, rng: losses(samples, network, step, rng),
        lambda network: held_out(network, Samples(options.scenes, weights, HELD_OUT)),
        options,
    )


if __name__ == "__main__":
    main()
