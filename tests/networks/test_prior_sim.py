"""The pretrained weights for raw SIM: what they must do untrained, and what they must not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.inference.predict import Result
from napari_zsdeconvnet.model.presets import SIM_PRESETS
from napari_zsdeconvnet.networks import pretrained
from napari_zsdeconvnet.networks.registry import build_network
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.physics.classical_deconvolution import iterate_richardson_lucy
from napari_zsdeconvnet.quality.reference_metrics import score, truth_at_resolution
from napari_zsdeconvnet.sim.reconstruction import Reconstruction
from napari_zsdeconvnet.simulation.raw_sim import SIMSample, simulate_sim

FILE = Path(pretrained.__file__).parent / "weights" / pretrained.PRETRAINED["informed-sim"].file
CAMERA = NoiseModel(100.0, 1.6, 5.0, source="test")
RESOLUTION = (0.06, 0.06)


@pytest.fixture(scope="module")
def patterns() -> Reconstruction:
    return Reconstruction(simulate_sim(shape=(96, 96), seed=1).patterns)


def untrained(frames: np.ndarray, reconstruction: Reconstruction, camera: NoiseModel) -> Result:
    """Apply the pretrained weights as they are."""
    options = {"reconstruction": reconstruction, "noise": camera, "seed": 0, "device": "cpu"}
    model = zs.train(frames, steps=0, **options).model
    assert model.steps_trained == 0
    return model.predict(frames, camera=camera, device="cpu")


class TestFile:
    def test_is_small_enough_to_bring_along(self):
        assert FILE.stat().st_size <= 3_000_000

    def test_holds_the_weights_of_the_default_and_nothing_else(self, patterns: Reconstruction):
        network = build_network(SIM_PRESETS["fast"].network, patterns.psf(), 1)
        weights = safetensors.torch.load_file(FILE)
        assert weights.keys() == network.state_dict().keys()
        assert all(torch.isfinite(weight).all() for weight in weights.values())


class TestNothingIsInvented:
    @pytest.mark.parametrize("level", [0.0, 2.0, 50.0, 1000.0])
    def test_blank_frames_stay_blank(self, level: float, patterns: Reconstruction):
        rng = np.random.default_rng(4)
        light = rng.poisson(level, (9, 96, 96)) * CAMERA.gain
        frames = 100 + light + np.sqrt(5.0) * rng.standard_normal(light.shape)
        result = untrained(frames, patterns, CAMERA)
        variance = CAMERA.variance(CAMERA.offset + CAMERA.gain * level)
        noise = float(np.sqrt(variance * patterns.noise_spectrum().mean()))
        for picture in (result.denoised, result.deconvolved):
            inner = picture[16:-16, 16:-16]
            assert inner.std() < 0.35 * noise
            assert np.abs(inner - inner.mean()).max() < 1.6 * noise
            assert abs(inner.mean() - CAMERA.gain * level) < 0.05 * noise + 0.01 * level


@pytest.fixture(scope="module", params=[("rings", 30), ("mesh", 300)], ids=lambda one: one[0])
def sample(request: pytest.FixtureRequest) -> SIMSample:
    kind, photons = request.param
    return simulate_sim(kind, shape=(96, 96), photons=photons, noise=CAMERA, seed=21)


class TestWhatItIsWorth:
    def test_light_is_kept_and_no_deconvolution_of_the_wiener_image_is_closer(
        self, sample: SIMSample
    ):
        reconstruction = Reconstruction(sample.patterns)
        result = untrained(sample.raw, reconstruction, sample.noise)
        light = sample.raw.mean() - sample.noise.offset
        assert result.denoised.mean() == pytest.approx(light, rel=0.02)
        assert result.deconvolved.mean() == pytest.approx(light, rel=0.02)

        truth = truth_at_resolution(sample.truth, RESOLUTION, sample.truth_voxel_size)
        plain = reconstruction(sample.raw - sample.noise.offset)
        power = float(reconstruction.noise_spectrum().mean())
        noise = NoiseModel(0.0, CAMERA.gain * power, CAMERA.read_variance * power, source="test")
        steps = iterate_richardson_lucy(plain, reconstruction.psf(), noise, upsampling=1)
        best = max(
            score(step.estimate, truth, border=16).psnr
            for step, _ in zip(steps, range(40), strict=False)
        )
        assert score(result.deconvolved, truth, border=16).psnr > best
