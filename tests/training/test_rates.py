"""Parts of a network that have drawn the pixels of a small recording often learn no more."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.model.presets import PRESETS, SIM_PRESETS, VOLUME_PRESETS, from_scratch
from napari_zsdeconvnet.networks.registry import NETWORKS, build_network
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.simulation.sample import simulate
from napari_zsdeconvnet.training.rates import Rates
from napari_zsdeconvnet.workflow.record import RunRecord
from napari_zsdeconvnet.workflow.record.methods import methods_paragraph

NOISE = NoiseModel(100.0, 1.0, 4.0, source="test")
QUICK = replace(
    PRESETS["fast"],
    patch=48,
    batch=1,
    guarded=False,
    weight_average=0.0,
    denoising_passes=0,
    deconvolution_passes=0,
    coarse_passes=0,
)
SHAPE = (48, 72)
"""Of which a step draws two thirds of the pixels."""


def trained(steps: int, **settings) -> zs.Model:
    sample = simulate(shape=SHAPE, photons=50, seed=1)
    run = zs.train(
        *(sample.raw, sample.psf.cropped(31), NOISE),
        voxel_size=sample.voxel_size,
        preset=replace(QUICK, **settings),
        steps=steps,
        seed=1,
        device="cpu",
        preview_every=0,
    )
    for _ in run:
        pass
    return run.model


def changed(one: zs.Model, other: zs.Model) -> set[str]:
    """Name the modules whose weights differ, as ``denoiser.before``."""
    before = dict(one.network.named_parameters())
    return {
        ".".join(name.split(".")[:2])
        for name, weight in other.network.named_parameters()
        if not torch.equal(before[name], weight)
    }


FINEST = {
    *(f"{stage}.{part}" for stage in ("denoiser", "corrector") for part in ("entry", "after")),
    *(f"{stage}.{part}" for stage in ("denoiser", "corrector") for part in ("before", "reduce")),
    *(f"{last}.{kind}" for last in ("denoised", "corrected") for kind in ("weight", "bias")),
}


def test_the_denoiser_rests_once_each_pixel_was_drawn_twice():
    second, third, fifth = (trained(steps, denoising_passes=2) for steps in (2, 3, 5))
    assert any(name.startswith("denois") for name in changed(second, third)), "at 1.33 draws"
    rest = changed(third, fifth)
    assert rest, "the second stage goes on learning"
    assert not any(name.startswith("denois") for name in rest), "the fourth step begins at 2"


def test_the_second_stage_rests_and_the_denoiser_goes_on():
    second, third, fifth = (trained(steps, deconvolution_passes=2) for steps in (2, 3, 5))
    assert any(name.startswith("correct") for name in changed(second, third)), "at 1.33 draws"
    rest = changed(third, fifth)
    assert rest, "the denoiser goes on learning"
    assert not any(name.startswith("correct") for name in rest), "the fourth step begins at 2"


def test_steps_in_which_nothing_learns_change_nothing():
    third, fifth = (trained(n, denoising_passes=1, deconvolution_passes=1) for n in (3, 5))
    assert changed(third, fifth) == set()


def test_coarse_levels_rest_and_the_finest_goes_on():
    first, second, fourth = (trained(steps, coarse_passes=1) for steps in (1, 2, 4))
    assert {"denoiser.middle", "corrector.down"} <= changed(first, second), "at 0.67 draws"
    assert changed(second, fourth) == FINEST


def test_rates_fall_evenly_and_a_large_recording_hardly_notices():
    rates = [QUICK.part_of_rate_at(step, 2, 48 * 72) for step in (1, 2, 3, 4, 5)]
    assert rates == pytest.approx([1, 2 / 3, 1 / 3, 0, 0])
    assert QUICK.part_of_rate_at(10**6, 0, 1) == 1
    fast = PRESETS["fast"]
    for passes in (fast.denoising_passes, fast.deconvolution_passes, fast.coarse_passes):
        assert fast.part_of_rate_at(fast.steps, passes, 4096**2) > 0.98


def test_other_presets_let_nothing_rest():
    others = (VOLUME_PRESETS["fast"], SIM_PRESETS["fast"], from_scratch(PRESETS["fast"]))
    passes = {(one.denoising_passes, one.deconvolution_passes, one.coarse_passes) for one in others}
    assert passes == {(0, 0, 0)}


def test_the_methods_paragraph_says_so():
    words = methods_paragraph(RunRecord.of(trained(1, denoising_passes=600, coarse_passes=150)))
    assert "rate of the first stage falls to zero" in words
    assert "rate of the coarser levels falls to zero" in words
    assert "falls to zero" not in methods_paragraph(RunRecord.of(trained(1)))


@pytest.mark.parametrize("name", NETWORKS)
def test_saved_optimisers_count_the_weights_of_every_network_in_its_order(name: str):
    deep = name in ("published-volume", "sharpening", "informed-volume")
    sizes = (0.2, 0.1, 0.1) if deep else (0.05, 0.05)
    shape = (9, 15, 15) if deep else (15, 15)
    axes = torch.meshgrid(*(torch.linspace(-2, 2, n) for n in shape), indexing="ij")
    psf = PSF.from_array(torch.exp(-sum(axis**2 for axis in axes)).numpy(), sizes)
    network = build_network(name, psf, 1)
    assert all(network.stages)
    grouped = [weight for group in Rates(network, QUICK).groups for weight in group["params"]]
    assert all(a is b for a, b in zip(grouped, network.parameters(), strict=True))
