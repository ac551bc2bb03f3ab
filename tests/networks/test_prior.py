"""The weights that the package brings along: what they must do, and what they must not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from cameras import CAMERAS, recorded
from scipy import ndimage

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.inference.predict import Result
from napari_zsdeconvnet.model.presets import FROM_SCRATCH, PRESETS
from napari_zsdeconvnet.networks import pretrained
from napari_zsdeconvnet.networks.registry import build_network
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.quality.reference_metrics import score, truth_at_resolution
from napari_zsdeconvnet.simulation.sample import Sample, simulate
from napari_zsdeconvnet.utils.errors import InputError

FILE = Path(pretrained.__file__).parent / "weights" / pretrained.PRETRAINED["informed"].file
PIXEL = 0.0626


@pytest.fixture(scope="module")
def psf() -> PSF:
    return PSF.simulate(na=1.3, wavelength=0.525, pixel_size=PIXEL / 2)


def untrained(image: np.ndarray, psf: PSF, noise: NoiseModel) -> Result:
    """Apply the prior as it is."""
    run = zs.train(
        image, psf, noise, voxel_size=(PIXEL, PIXEL), seed=0, device="cpu", preview_every=0
    )
    return run.model.predict(image, device="cpu")


class TestFile:
    def test_is_small_enough_to_bring_along(self):
        assert FILE.stat().st_size <= 5_000_000

    def test_holds_the_weights_of_the_default_and_nothing_else(self, psf: PSF):
        network = build_network(PRESETS["fast"].network, psf)
        weights = safetensors.torch.load_file(FILE)
        assert weights.keys() == network.state_dict().keys()
        assert all(torch.isfinite(weight).all() for weight in weights.values())


class TestNothingIsInvented:
    @pytest.mark.parametrize("camera", CAMERAS, ids=lambda camera: f"gain {camera.gain}")
    @pytest.mark.parametrize("level", [0.0, 2.0, 50.0, 1000.0])
    def test_a_blank_image_stays_blank(self, camera: NoiseModel, level: float, psf: PSF):
        image = recorded(np.full((128, 128), level), camera)
        result = untrained(image, psf, camera)
        noise = float(np.sqrt(camera.variance(camera.offset + camera.gain * level)))
        for picture in (result.denoised, result.deconvolved):
            inner = picture[16:-16, 16:-16]
            assert inner.std() < 0.25 * noise
            assert np.abs(inner - inner.mean()).max() < 1.5 * noise
            assert abs(inner.mean() - camera.gain * level) < 0.02 * noise + 0.01 * level

    def test_a_random_texture_is_no_better_known_than_it_is_recorded(self, psf: PSF):
        camera = CAMERAS[0]
        rng = np.random.default_rng(3)
        texture = ndimage.gaussian_filter(rng.standard_normal((256, 256)), 1.5)
        truth = 60 * np.clip(1 + 0.5 * texture / texture.std(), 0, None)
        light = ndimage.gaussian_filter(truth, psf.fwhm[-1] / psf.steps[-1] / 2.355)
        light = light.reshape(128, 2, 128, 2).mean(axis=(1, 3))
        result = untrained(recorded(light, camera), psf, camera)
        assert (
            score(result.denoised, light, border=8).psnr
            > score(recorded(light, camera), light, border=8).psnr + 3
        )
        # Structure of its own would be contrast that the truth does not have.
        at_hand = truth_at_resolution(truth, (0.1, 0.1), psf.steps)
        assert result.deconvolved[16:-16, 16:-16].std() < at_hand[16:-16, 16:-16].std()


class TestWhatItIsWorth:
    @pytest.fixture(params=["rings", "mesh"])
    def sample(self, request: pytest.FixtureRequest) -> Sample:
        return simulate(request.param, shape=(192, 192), photons=30, noise=CAMERAS[1], seed=21)

    def test_untrained_it_is_far_above_the_raw_image(self, sample: Sample):
        result = untrained(sample.raw, sample.psf, sample.noise)
        raw = sample.raw - float(sample.noise.offset)
        before = score(raw, sample.noise_free, border=8)
        after = score(result.denoised, sample.noise_free, border=8)
        assert after.psnr > before.psnr + 5

    def test_light_is_kept(self, sample: Sample):
        result = untrained(sample.raw, sample.psf, sample.noise)
        light = sample.raw.mean() - sample.noise.offset
        assert result.denoised.mean() == pytest.approx(light, rel=0.02)
        assert result.deconvolved.mean() == pytest.approx(light, rel=0.02)


OPTIONS = {"voxel_size": (PIXEL, PIXEL), "seed": 1, "device": "cpu", "preview_every": 0}


class TestStart:
    @pytest.fixture
    def image(self) -> np.ndarray:
        return recorded(np.full((96, 96), 20.0), CAMERAS[0])

    def begin(self, image: np.ndarray, psf: PSF, **options: object) -> dict[str, torch.Tensor]:
        run = zs.train(image, psf, CAMERAS[0], **OPTIONS | options)
        return run.model.network.state_dict()

    def test_the_default_begins_with_the_prior(self, image: np.ndarray, psf: PSF):
        weights = safetensors.torch.load_file(FILE)
        found = self.begin(image, psf)
        assert all(torch.equal(found[name], weight) for name, weight in weights.items())

    def test_from_scratch_nothing_of_it_is_used(self, image: np.ndarray, psf: PSF):
        run = zs.train(image, psf, CAMERAS[0], start="scratch", **OPTIONS)
        assert run.model.settings["start"] == "scratch"
        assert run.model.settings["network"] == "unrolled"

    def test_from_scratch_what_else_was_set_is_kept(self, image: np.ndarray, psf: PSF):
        preset = replace(PRESETS["fast"], patch=48, batch=2, denoising_weight=0.3)
        run = zs.train(image, psf, CAMERAS[0], preset=preset, start="scratch", **OPTIONS)
        settings = run.model.settings
        assert (settings["patch"], settings["batch"], settings["denoising_weight"]) == (48, 2, 0.3)
        assert settings["learning_rate"] == FROM_SCRATCH.learning_rate

    def test_on_the_grid_of_the_image_there_is_none(self, image: np.ndarray):
        coarse = PSF.simulate(na=1.3, wavelength=0.525, pixel_size=PIXEL)
        run = zs.train(image, coarse, CAMERAS[0], upsample=False, **OPTIONS)
        assert run.model.settings["start"] == "scratch"
        with pytest.raises(InputError, match="no prior"):
            self.begin(image, coarse, upsample=False, start="prior")

    def test_another_word_is_refused(self, image: np.ndarray, psf: PSF):
        with pytest.raises(InputError, match="start is 'warm': choose 'prior' or 'scratch'"):
            self.begin(image, psf, start="warm")
