"""Noise that neighbouring pixels share: measured, drawn alike, and not taken for structure."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.model.presets import PRESETS
from napari_zsdeconvnet.noise.measured_correlation import shared_noise
from napari_zsdeconvnet.noise.recorruption import recorrupt, shared
from napari_zsdeconvnet.quality.data_consistency import residual
from napari_zsdeconvnet.quality.reference_metrics import psnr
from napari_zsdeconvnet.quality.stability import recorruptions
from napari_zsdeconvnet.simulation.sample import simulate
from napari_zsdeconvnet.training.pairs import RecorruptedPatches
from napari_zsdeconvnet.utils.errors import InputError

CAMERA = zs.NoiseModel(offset=100.0, gain=1.0, read_variance=4.0)


def lag(one: np.ndarray, other: np.ndarray, axis: int, step: int) -> float:
    """Correlate two fields of variance 1, shifted against one another."""
    return float(np.mean(one * np.roll(other, step, axis)))


def by_rows(image: np.ndarray, share: float = 0.5) -> np.ndarray:
    """Resample an image between its rows."""
    return (1 - share) * image[:-1].astype(float) + share * image[1:]


def cutoff_of(sample) -> float:
    return sample.psf.otf_cutoff * sample.psf.steps[-1] * sample.upsampling


class TestDrawing:
    def test_neighbours_share_it_and_no_others(self):
        white = torch.randn(800, 800, generator=torch.Generator().manual_seed(1))
        noise = shared(white, (0.45, -0.2)).numpy()
        error = 5 / noise.shape[0]
        assert noise.var() == pytest.approx(1, abs=error)
        assert lag(noise, noise, 0, 1) == pytest.approx(0.45, abs=error)
        assert lag(noise, noise, 1, 1) == pytest.approx(-0.2, abs=error)
        assert lag(noise, noise, 0, 2) == pytest.approx(0, abs=error)
        assert lag(noise, noise, 1, 2) == pytest.approx(0, abs=error)

    def test_white_noise_stays_as_it_is(self):
        white = torch.randn(20, 30)
        assert shared(white, None) is white
        assert shared(white, (0.0, 0.0)) is white

    @pytest.mark.parametrize("told", [True, False])
    def test_only_noise_shared_alike_makes_independent_pairs(self, told: bool):
        generator = torch.Generator().manual_seed(2)
        rho = (0.5, 0.0)
        noise = shared(torch.randn(800, 800, generator=generator), rho)
        one = torch.ones(())
        pair = recorrupt(noise, one, one, generator, rho if told else None)
        first, second = (part.numpy() / np.sqrt(2) for part in pair)
        error = 5 / noise.shape[0]
        assert lag(first, second, 0, 0) == pytest.approx(0, abs=error)
        # What neighbours share is what a network would learn to foretell.
        assert lag(first, second, 0, 1) == pytest.approx(0 if told else 0.25, abs=error)

    def test_repeats_of_a_verdict_share_it_too(self):
        noise = replace(CAMERA, correlation=(0.4, 0.0))
        ((one, other),) = recorruptions(np.full((300, 300), 200.0), noise, 1)
        drawn = (one - other) / 2
        assert lag(drawn, drawn, 0, 1) / drawn.var() == pytest.approx(0.4, abs=0.02)

    def test_patches_are_not_laid_across(self):
        frames = np.full((1, 64, 64), 150.0)
        options = {"patch": (32, 32), "batch": 1, "seed": 0, "device": torch.device("cpu")}
        turns = {}
        for rho in ((0.4, 0.0), (0.4, 0.4)):
            noise = replace(CAMERA, correlation=rho)
            patches = RecorruptedPatches(
                [frames], noise, 100.0, PRESETS["fast"], multiples=(8, 8), **options
            )
            turns[rho] = {turn for turn, _ in patches.symmetries}
        assert turns == {(0.4, 0.0): {0, 2}, (0.4, 0.4): {0, 1, 2, 3}}


class TestMeasuring:
    @pytest.mark.parametrize("share", [0.3, 0.5])
    def test_of_one_image(self, share: float):
        sample = simulate("filaments", shape=(257, 256), photons=50, seed=3)
        found = shared_noise(by_rows(sample.raw, share)[None], cutoff_of(sample))
        expected = share * (1 - share) / (share**2 + (1 - share) ** 2)
        assert found[0] == pytest.approx(expected, abs=0.06)
        assert found[1] == pytest.approx(0, abs=0.06)

    def test_of_a_series(self):
        sample = simulate("vesicles", shape=(128, 129), photons=50, seed=3)
        rng = np.random.default_rng(0)
        frames = rng.poisson(np.clip(sample.noise_free, 0, None), (12, 128, 129)) + 100.0
        smoothed = (frames[..., :-1] + frames[..., 1:]) / 2
        # Too coarse to show noise beyond the cutoff, but the differences show it.
        found = shared_noise(smoothed, 0.65)
        assert found == pytest.approx((0, 0.5), abs=0.03)

    @pytest.mark.parametrize("kind", ["filaments", "vesicles", "rings", "mesh", "cell"])
    @pytest.mark.parametrize("photons", [5, 50, 2000])
    def test_a_camera_shares_none(self, kind, photons):
        sample = simulate(kind, shape=(256, 256), photons=photons, seed=4)
        assert shared_noise(sample.raw[None], cutoff_of(sample)) == ()

    @pytest.mark.parametrize("kind", ["filaments", "mesh", "cell"])
    def test_a_psf_too_wide_does_not_make_noise_of_structure(self, kind):
        sample = simulate(kind, shape=(256, 256), photons=300, seed=4)
        assert shared_noise(sample.raw[None], cutoff_of(sample) / 1.8) == ()

    def test_coarse_pixels_say_nothing(self):
        sample = simulate("mesh", shape=(128, 128), photons=50, seed=3)
        assert shared_noise(by_rows(sample.raw)[None], 0.62) == ()


class TestNoiseModel:
    def test_goes_through_a_file(self):
        noise = replace(CAMERA, correlation=(0.4, 0.1))
        assert zs.NoiseModel.from_dict(json.loads(json.dumps(noise.to_dict()))) == noise
        assert "shared by neighbours: y 0.40, x 0.10" in noise.describe()
        assert "shared" not in CAMERA.describe()

    @pytest.mark.parametrize("wrong", [(0.6, 0.0), (0.1,), (float("nan"), 0.0)])
    def test_what_cannot_be(self, wrong):
        with pytest.raises(InputError, match="correlation"):
            replace(CAMERA, correlation=wrong)


def test_a_residual_is_measured_against_it():
    """Shared noise is what was expected: neither too much of it nor neighbours that agree."""
    sample = simulate("cell", shape=(257, 256), photons=100, seed=5)
    image = by_rows(sample.raw)
    # Two fine rows are as far apart as two raw ones.
    truth = (sample.truth[:-2] + sample.truth[2:]) / 2
    plain = replace(sample.noise, gain=0.5 * sample.noise.gain, read_variance=2.0)
    told = replace(plain, correlation=(0.5, 0.0))
    left = {
        name: residual(image, truth, sample.psf, noise, 2)
        for name, noise in (("plain", plain), ("told", told))
    }
    assert left["told"].carried.value == pytest.approx(1, abs=0.1)
    assert left["plain"].carried.value > 1.3
    assert abs(left["told"].correlation) < 0.05
    assert abs(left["plain"].correlation) > 0.15


class TestTraining:
    def test_the_model_keeps_what_was_measured(self):
        sample = simulate("filaments", shape=(129, 128), photons=50, seed=3)
        options = {"voxel_size": sample.voxel_size, "device": "cpu", "preview_every": 0}
        run = zs.train(by_rows(sample.raw), sample.psf, CAMERA, seed=1, **options)
        assert run.model.noise.correlation == pytest.approx((0.5, 0), abs=0.06)
        assert any("noise of neighbouring pixels is correlated" in one for one in run.warnings)
        plain = zs.train(sample.raw, sample.psf, CAMERA, seed=1, **options)
        assert plain.model.noise == CAMERA

    @pytest.mark.slow
    def test_it_is_no_longer_taken_for_structure(self):
        sample = simulate("cell", shape=(129, 128), photons=8, seed=6)
        image = by_rows(sample.raw)
        truth = by_rows(sample.noise_free)
        camera = replace(CAMERA, gain=0.5, read_variance=2.0)
        # Held-out pixels would keep the beginning where the camera is not as told: not here.
        preset = replace(PRESETS["fast"], patch=64, batch=2, guarded=False)
        found = {}
        for name, noise in (("told", camera), ("not", replace(camera, correlation=(0.0, 0.0)))):
            run = zs.train(
                image,
                sample.psf,
                noise,
                voxel_size=sample.voxel_size,
                preset=preset,
                steps=100,
                seed=1,
                device="cpu",
                preview_every=0,
            )
            for _ in run:
                pass
            denoised = run.model.predict(image, device="cpu").denoised
            found[name] = psnr(denoised, truth, float(np.ptp(truth)))
        assert found["told"] > found["not"] + 1.0
