from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_zsdeconvnet.networks.informed_sim import InformedSIMNetwork
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.sim.reconstruction import Reconstruction
from napari_zsdeconvnet.simulation.raw_sim import simulate_sim

NOISE = NoiseModel(100.0, 2.0, 9.0, source="test")


@pytest.fixture(scope="module")
def reconstruction() -> Reconstruction:
    return Reconstruction(simulate_sim(shape=(64, 64), seed=1).patterns)


@pytest.fixture(scope="module")
def network(reconstruction: Reconstruction) -> InformedSIMNetwork:
    return InformedSIMNetwork(reconstruction.psf())


def test_of_white_noise_an_average_leaves_the_squared_weights(network: InformedSIMNetwork):
    averaged, removed = network.shares(np.ones((96, 96)))
    point = torch.zeros(1, 1, 97, 97)
    point[0, 0, 48, 48] = 1
    weights = network.smooth(point)
    assert averaged == pytest.approx(float(weights.square().sum().sqrt()), rel=1e-3)
    assert removed == pytest.approx(float((point - weights).square().sum().sqrt()), rel=1e-3)


def test_noise_is_told_as_the_reconstruction_leaves_it(
    network: InformedSIMNetwork, reconstruction: Reconstruction
):
    network.expect_noise(NOISE, 50.0, reconstruction.noise_spectrum())
    level = 40.0
    rng = np.random.default_rng(3)
    deviation = np.sqrt(2.0 * level + 9.0)
    frames = level + deviation * rng.standard_normal((20, 9, 64, 64)).astype(np.float32)
    image = torch.from_numpy(reconstruction(frames)[:, None, 16:-16, 16:-16]) / 50.0
    smooth = network.smooth(image)
    smoother = network.smooth(smooth)
    told = network._told(image, smooth, smoother, 1.0)
    inner = (..., slice(16, -16), slice(16, -16))
    assert float(told[4][inner].std()) == pytest.approx(1.0, rel=0.04)
    assert float(told[3][inner].mean()) == pytest.approx(
        float((image - smooth)[inner].std()), rel=0.04
    )
    assert float(told[5][inner].mean()) == pytest.approx(float(smooth[inner].std()), rel=0.06)
