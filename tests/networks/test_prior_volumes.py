"""The pretrained weights for volumes: what they must do untrained, and what they must not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from cameras import CAMERAS, recorded
from scipy import ndimage

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.inference.predict import Result
from napari_zsdeconvnet.model.presets import VOLUME_PRESETS
from napari_zsdeconvnet.networks import pretrained
from napari_zsdeconvnet.networks.registry import build_network
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.quality.reference_metrics import score, truth_at_resolution
from napari_zsdeconvnet.simulation.sample import simulate_volume
from napari_zsdeconvnet.utils.errors import InputError

FILE = Path(pretrained.__file__).parent / "weights" / pretrained.PRETRAINED["informed-volume"].file
VOXEL = (0.25, 0.1, 0.1)
SHAPE = (16, 48, 48)


@pytest.fixture(scope="module")
def psf() -> PSF:
    return PSF.simulate(
        na=1.1,
        wavelength=0.525,
        pixel_size=0.1,
        axial_step=0.25,
        refractive_index=1.33,
        planes=15,
        size=41,
        modality="confocal",
        excitation_wavelength=0.488,
        pinhole=1.0,
    )


def untrained(image: np.ndarray, psf: PSF, noise: NoiseModel) -> Result:
    """Apply the pretrained weights as they are."""
    options = {"axes": "ZYX", "voxel_size": VOXEL, "seed": 0, "device": "cpu", "steps": 0}
    model = zs.train(image, psf, noise, **options).model
    assert model.steps_trained == 0
    return model.predict(image, axes="ZYX", device="cpu")


class TestFile:
    def test_is_small_enough_to_bring_along(self):
        assert FILE.stat().st_size <= 2_000_000

    def test_holds_the_weights_of_the_default_and_nothing_else(self, psf: PSF):
        network = build_network(VOLUME_PRESETS["fast"].network, psf)
        weights = safetensors.torch.load_file(FILE)
        assert weights.keys() == network.state_dict().keys()
        assert all(torch.isfinite(weight).all() for weight in weights.values())


class TestNothingIsInvented:
    @pytest.mark.parametrize("camera", CAMERAS[:2], ids=lambda camera: f"gain {camera.gain}")
    @pytest.mark.parametrize("level", [0.0, 2.0, 50.0, 1000.0])
    def test_a_blank_volume_stays_blank(self, camera: NoiseModel, level: float, psf: PSF):
        image = recorded(np.full(SHAPE, level), camera)
        result = untrained(image, psf, camera)
        noise = float(np.sqrt(camera.variance(camera.offset + camera.gain * level)))
        for picture in (result.denoised, result.deconvolved):
            inner = picture[2:-2, 8:-8, 8:-8]
            assert inner.std() < 0.25 * noise
            assert np.abs(inner - inner.mean()).max() < 1.5 * noise
            assert abs(inner.mean() - camera.gain * level) < 0.05 * noise + 0.02 * level

    def test_a_random_texture_is_no_better_known_than_it_is_recorded(self, psf: PSF):
        camera = CAMERAS[0]
        rng = np.random.default_rng(3)
        shape = (24, 64, 64)
        texture = ndimage.gaussian_filter(rng.standard_normal(shape), (0.7, 1, 1), mode="wrap")
        truth = 60 * np.clip(1 + 0.5 * texture / texture.std(), 0, None)
        light = ndimage.convolve(truth, psf.array, mode="wrap")
        image = recorded(light, camera)
        result = untrained(image, psf, camera)
        border = (3, 8, 8)
        before = score(image, light, border=border).psnr
        assert score(result.denoised, light, border=border).psnr > before + 3
        # Structure of its own would be contrast that the truth does not have.
        resolution = tuple(0.5 * width for width in psf.fwhm)
        at_hand = truth_at_resolution(truth, resolution, VOXEL)
        inner = tuple(slice(width, -width) for width in border)
        assert result.deconvolved[inner].std() < at_hand[inner].std()


class TestWhatItIsWorth:
    def test_untrained_it_is_far_above_the_raw_volume_and_keeps_its_light(self):
        cell = simulate_volume("cell", shape=(24, 96, 96), photons=30, noise=CAMERAS[1], seed=21)
        model = zs.train(
            *(cell.raw, cell.psf, cell.noise),
            axes="ZYX",
            voxel_size=cell.voxel_size,
            seed=0,
            device="cpu",
            steps=0,
        ).model
        result = model.predict(cell.raw, axes="ZYX", device="cpu")
        raw = cell.raw - float(cell.noise.offset)
        before = score(raw, cell.noise_free, border=(2, 8, 8))
        after = score(result.denoised, cell.noise_free, border=(2, 8, 8))
        assert after.psnr > before.psnr + 8
        assert result.denoised.mean() == pytest.approx(raw.mean(), rel=0.02)


class TestWithoutTraining:
    def test_random_weights_are_refused(self, psf: PSF):
        image = recorded(np.full(SHAPE, 20.0), CAMERAS[0])
        with pytest.raises(InputError, match="steps is 0"):
            zs.train(
                *(image, psf, CAMERAS[0]), axes="ZYX", voxel_size=VOXEL, steps=0, start="scratch"
            )

    def test_on_a_finer_grid_there_are_no_pretrained_weights(self, psf: PSF):
        image = recorded(np.full(SHAPE, 20.0), CAMERAS[0])
        fine = PSF.simulate(
            na=1.1, wavelength=0.525, pixel_size=0.05, axial_step=0.25, refractive_index=1.33
        )
        options = {"axes": "ZYX", "voxel_size": VOXEL, "upsample": True, "device": "cpu"}
        run = zs.train(image, fine, CAMERAS[0], **options)
        assert run.model.settings["network"] == "sharpening"
        with pytest.raises(InputError, match="no prior"):
            zs.train(image, fine, CAMERAS[0], start="prior", **options)
