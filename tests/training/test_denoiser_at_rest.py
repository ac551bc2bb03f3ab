"""A denoiser that has drawn the pixels of a small recording often enough learns no more."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.model.presets import PRESETS, SIM_PRESETS, VOLUME_PRESETS
from napari_zsdeconvnet.networks.registry import NETWORKS, build_network
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.simulation.sample import simulate

NOISE = NoiseModel(100.0, 1.0, 4.0, source="test")
PRESET = replace(
    PRESETS["fast"], patch=48, batch=1, guarded=False, weight_average=0.0, denoising_passes=2
)
SHAPE = (48, 72)


def stages_after(steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the weights of the denoiser and all others; a step draws two thirds of the pixels."""
    sample = simulate(shape=SHAPE, photons=50, seed=1)
    run = zs.train(
        *(sample.raw, sample.psf.cropped(31), NOISE),
        voxel_size=sample.voxel_size,
        preset=PRESET,
        steps=steps,
        seed=1,
        device="cpu",
        preview_every=0,
    )
    for _ in run:
        pass
    denoiser, others = run.model.network.stages
    return tuple(torch.cat([w.detach().flatten() for w in ws]) for ws in (denoiser, others))


def test_it_rests_once_each_pixel_was_drawn_twice():
    second, third, fifth = (stages_after(steps) for steps in (2, 3, 5))
    assert not torch.equal(second[0], third[0]), "the third step begins at 1.33 draws"
    assert torch.equal(third[0], fifth[0]), "the fourth begins at 2"
    assert not torch.equal(third[1], fifth[1]), "the second stage goes on learning"


def test_the_rate_falls_evenly_and_a_large_recording_hardly_notices():
    small, large = 48 * 72, 4096**2
    rates = [PRESET.denoiser_rate_at(step, small) for step in (1, 2, 3, 4, 5)]
    assert rates == pytest.approx([1, 2 / 3, 1 / 3, 0, 0])
    fast = PRESETS["fast"]
    assert fast.denoiser_rate_at(fast.steps, large) > 0.99
    for other in (VOLUME_PRESETS["fast"], SIM_PRESETS["fast"]):
        assert other.denoiser_rate_at(10**6, small) == 1


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_tells_its_stages_apart(name: str):
    deep = name in ("published-volume", "sharpening", "informed-volume")
    sizes = (0.2, 0.1, 0.1) if deep else (0.05, 0.05)
    shape = (9, 15, 15) if deep else (15, 15)
    axes = torch.meshgrid(*(torch.linspace(-2, 2, n) for n in shape), indexing="ij")
    psf = PSF.from_array(torch.exp(-sum(axis**2 for axis in axes)).numpy(), sizes)
    network = build_network(name, psf, 1)
    denoiser, others = network.stages
    assert denoiser
    assert others
    together = [*denoiser, *others]
    assert all(a is b for a, b in zip(together, network.parameters(), strict=True)), (
        "saved optimisers count the weights in this order"
    )
