"""Calibrations in volumes, whose planes are images and whose time points are exposures."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from watched import Watched

from napari_zsdeconvnet.io.image import Image
from napari_zsdeconvnet.io.image_files import read_image
from napari_zsdeconvnet.noise.noise_model import NoiseModel, fit_background

DATA = Path(__file__).parents[2].parent / "shared" / "data"
CAMERA = {"offset": 100.0, "gain": 2.0, "read_variance": 9.0}
SHARED = "Neighbouring planes share noise"


@lru_cache
def electrons() -> np.ndarray:
    """Blurred points in (Z, Y, X), none in a corner of 40 x 40 pixels; 60 in the brightest."""
    rng = np.random.default_rng(4)
    volume = np.zeros((24, 128, 128))
    places = rng.integers(0, volume.shape, (1200, 3))
    np.add.at(volume, tuple(places.T), rng.uniform(0.3, 1, len(places)))
    volume[:, :56, :56] = 0
    volume = gaussian_filter(volume, (1.5, 1.4, 1.4))
    volume[:, :40, :40] = 0
    return 60 * volume / np.percentile(volume, 99.9)


def exposed(light: np.ndarray, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    counts = CAMERA["offset"] + CAMERA["gain"] * rng.poisson(light)
    counts = counts + rng.normal(0, np.sqrt(CAMERA["read_variance"]), light.shape)
    return np.round(counts).astype(np.uint16)


def interpolated(volume: np.ndarray) -> np.ndarray:
    """Half a plane on, as a resampled volume is."""
    return (volume[1:].astype(np.float32) + volume[:-1]) / 2


def corner() -> np.ndarray:
    mask = np.zeros((128, 128), bool)
    mask[4:36, 4:36] = True
    return mask


class TestBackground:
    def test_one_mask_for_all_planes(self):
        fit = fit_background(exposed(electrons()), corner(), planes=True)
        assert fit.warnings == ()
        assert fit.pixels == 24 * 32 * 32
        assert abs(fit.offset - 100) < 4 * fit.offset_error
        assert abs(fit.read_variance - 9 - 1 / 12) < 4 * fit.read_variance_error

    def test_a_mask_of_its_own_for_each_plane(self):
        volume = exposed(electrons())
        mask = np.zeros(volume.shape, bool)
        mask[3:9] = corner()
        volume[9:, :40, :40] += 50
        noise = NoiseModel.from_background(volume, mask, gain=2.0, axes="ZYX")
        assert noise.offset == pytest.approx(100, abs=0.2)
        assert "6144 pixels" in noise.source

    @pytest.mark.parametrize("shape", ["YX", "ZYX", "TZYX"])
    def test_volumes_in_time(self, shape: str):
        series = np.stack([exposed(electrons(), seed) for seed in range(2)])
        mask = np.broadcast_to(corner(), series.shape[4 - len(shape) :])
        noise = NoiseModel.from_background(series, mask, gain=2.0)
        assert noise.warnings == ()
        assert noise.offset == pytest.approx(100, abs=0.1)
        assert "49152 pixels" in noise.source

    def test_the_gain_comes_from_the_rest(self):
        noise = NoiseModel.from_background(exposed(electrons()), corner(), axes="ZYX")
        assert noise.gain == pytest.approx(2, rel=0.1)
        assert noise.warnings == ()

    def test_noise_shared_along_z_is_told(self):
        volume = interpolated(exposed(electrons()))
        fit = fit_background(volume, corner(), planes=True)
        assert any(text.startswith(SHARED) for text in fit.warnings)
        # Time has no neighbours that resampling could mix.
        fit = fit_background(volume, corner(), planes=False)
        assert not any(text.startswith(SHARED) for text in fit.warnings)

    def test_a_fixed_pattern_is_not_shared_noise(self):
        pattern = np.random.default_rng(1).normal(0, 2, (128, 128))
        volume = exposed(electrons()) + pattern
        fit = fit_background(volume, corner(), planes=True)
        assert not any(text.startswith(SHARED) for text in fit.warnings)

    def test_only_the_region_is_read(self):
        pixels = np.stack([exposed(electrons(), seed) for seed in range(2)])
        noise = NoiseModel.from_background(Watched(pixels, 128 * 128), corner(), gain=2.0)
        assert noise.offset == pytest.approx(100, abs=0.1)


class TestOneVolume:
    def test_gain_within_ten_per_cent(self):
        noise = NoiseModel.from_image(exposed(electrons()), offset=100, axes="ZYX")
        assert noise.gain == pytest.approx(2, rel=0.1)
        assert noise.read_variance == pytest.approx(9, rel=0.1)
        assert "24 planes of one volume" in noise.source
        assert noise.warnings == ()

    def test_with_gain_from(self):
        dark = NoiseModel(100, None, 9)
        for volume, axes in ((exposed(electrons()), "ZYX"), (exposed(electrons())[None], None)):
            assert dark.with_gain_from(volume, axes=axes).gain == pytest.approx(2, rel=0.1)
        image = Image(exposed(electrons()), "ZYX", (0.3, 0.1, 0.1))
        assert dark.with_gain_from(image).gain == pytest.approx(2, rel=0.1)
        # Without axes planes pass for frames, which are single images just as well.
        assert dark.with_gain_from(exposed(electrons())).gain == pytest.approx(2, rel=0.1)

    def test_noise_shared_along_z_is_told(self):
        noise = NoiseModel.from_image(interpolated(exposed(electrons())), 100, axes="ZYX")
        assert any(text.startswith(SHARED) for text in noise.warnings)

    def test_empty_planes_are_left_out_and_told(self):
        volume = exposed(electrons())
        volume[:6] = volume[20:] = 0
        noise = NoiseModel.from_image(volume, 100, axes="ZYX")
        assert noise.gain == pytest.approx(2, rel=0.1)
        (warning,) = noise.warnings
        assert "10 of 24 planes are empty" in warning

    def test_it_is_read_plane_by_plane(self):
        pixels = np.stack([exposed(electrons(), seed) for seed in range(2)]).astype(">u2")
        noise = NoiseModel.from_image(Watched(pixels, pixels[0].size), offset=100)
        assert noise.gain == pytest.approx(2, rel=0.1)


@lru_cache
def series() -> np.ndarray:
    return np.stack([exposed(electrons(), seed) for seed in range(4)])


class TestSeries:
    def test_gain_within_five_per_cent(self):
        noise = NoiseModel.from_series(series(), offset=100)
        assert noise.gain == pytest.approx(2, rel=0.05)
        assert abs(noise.read_variance - 9) < 4 * noise.read_variance_error
        assert "4 volumes" in noise.source

    def test_it_is_read_plane_by_plane(self):
        noise = NoiseModel.from_series(Watched(series(), series()[0].size), offset=100)
        assert noise == NoiseModel.from_series(series(), offset=100)

    def test_one_volume_is_no_series(self):
        with pytest.raises(ValueError, match="at least two"):
            NoiseModel.from_series(series()[0], axes="ZYX")


class TestDark:
    def test_planes_count_as_frames(self):
        dark = exposed(np.zeros((2, 10, 64, 64)))
        noise = NoiseModel.from_dark(dark)
        assert noise == NoiseModel.from_dark(dark.reshape(20, 64, 64))
        assert noise == NoiseModel.from_dark(Watched(dark, dark[0].size))
        assert noise.source == "a dark stack of 20 frames"
        assert noise.read_variance == pytest.approx(9 + 1 / 12, rel=0.02)


@pytest.mark.skipif(not DATA.is_dir(), reason="the folder with recordings is absent")
class TestRecordings:
    def test_reference(self):
        raw = read_image(DATA / "reference3d" / "raw.tif").data
        noise = NoiseModel.from_image(raw, offset=100, axes="ZYX")
        assert noise.gain == pytest.approx(1, rel=0.05)
        assert noise.read_variance == pytest.approx(4, rel=0.05)
        assert noise.warnings == ()

    def test_deskewed_cell_is_told(self):
        cell = read_image(DATA / "volume" / "lls_cell_deskewed.tif").data
        noise = NoiseModel.from_image(cell, axes="ZYX")
        assert any("neighbouring pixels share noise" in text for text in noise.warnings)
        mask = np.zeros(cell.shape, bool)
        mask[:4, 20:90, 200:260] = True
        noise = NoiseModel.from_background(cell, mask, gain=1.0, axes="ZYX")
        assert any("deskewed" in text for text in noise.warnings)
        assert any("Neighbouring pixels share noise" in text for text in noise.warnings)
