from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.model.presets import PRESETS
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.simulation.sample import simulate

NOISE = NoiseModel(100.0, 1.0, 4.0, source="test")
LAST = replace(PRESETS["fast"], patch=48, batch=1, guarded=False, weight_average=0.0)


def weights_after(steps: int, start: str | None = None, **settings) -> torch.Tensor:
    sample = simulate(shape=(64, 64), photons=50, seed=1)
    run = zs.train(
        *(sample.raw, sample.psf.cropped(31), NOISE),
        voxel_size=sample.voxel_size,
        preset=replace(LAST, **settings),
        steps=steps,
        start=start,
        seed=1,
        device="cpu",
        preview_every=0,
    )
    for _ in run:
        pass
    return torch.cat([weight.flatten() for weight in run.model.network.parameters()])


def test_a_share_of_the_pretrained_weights_stays():
    first, last = weights_after(0), weights_after(4)
    assert not torch.equal(first, last)
    kept = weights_after(4, pretrained_share=0.25)
    torch.testing.assert_close(kept, 0.75 * last + 0.25 * first, rtol=1e-6, atol=1e-8)


def test_an_average_is_drawn_back_as_a_whole():
    first, average = weights_after(0), weights_after(4, weight_average=0.8)
    kept = weights_after(4, weight_average=0.8, pretrained_share=0.5)
    torch.testing.assert_close(kept, 0.5 * average + 0.5 * first, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_of_random_weights_nothing_stays(share: float):
    kept = weights_after(2, start="scratch", pretrained_share=share)
    torch.testing.assert_close(kept, weights_after(2, start="scratch"), rtol=0, atol=0)
