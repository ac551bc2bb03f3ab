"""A camera that multiplies electrons adds noise, which is measured once and counted once."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.model.presets import find_preset
from napari_zsdeconvnet.noise.camera_maps import CameraMaps
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.quality.checks import calibration_error
from napari_zsdeconvnet.simulation.sample import camera
from napari_zsdeconvnet.training.pairs import RecorruptedPatches
from napari_zsdeconvnet.utils.errors import InputError

GAIN = 5.0  # counts per photoelectron
EMCCD = NoiseModel(200.0, GAIN, 30.0, excess_noise=2.0)


def exposures(count: int, size: int = 128) -> np.ndarray:
    rng = np.random.default_rng(0)
    light = gaussian_filter(rng.exponential(size=(size, size)), 3)
    light = 40 * (light - light.min()) / (light.max() - light.min())
    return np.stack([camera(light, EMCCD, rng) for _ in range(count)])


def test_the_simulated_camera_doubles_the_variance_of_shot_noise():
    counts = camera(np.full((400, 400), 20.0), EMCCD, np.random.default_rng(1)).astype(float)
    assert counts.mean() == pytest.approx(200 + 20 * GAIN, rel=0.005)
    assert counts.var() == pytest.approx(2 * GAIN * 20 * GAIN + 30, rel=0.02)
    assert EMCCD.variance(200 + 20 * GAIN) == 2 * GAIN * 20 * GAIN + 30


def test_photon_transfer_measures_the_slope_and_multiplies_nothing_twice():
    measured = NoiseModel.from_series(exposures(16), offset=200)
    assert measured.gain == pytest.approx(2 * GAIN, rel=0.05)
    told = measured.with_excess_noise(2.0)
    assert told.gain == pytest.approx(GAIN, rel=0.05)
    assert told.slope == pytest.approx(measured.slope, rel=1e-12)
    np.testing.assert_allclose(told.variance([200, 300, 900]), measured.variance([200, 300, 900]))
    assert calibration_error(told, 100) == pytest.approx(calibration_error(measured, 100))
    assert told.with_excess_noise(1.0).gain == pytest.approx(measured.gain)
    assert "excess noise of 2" in told.describe()
    assert "excess" not in measured.describe()


def test_a_gain_measured_for_a_camera_of_known_excess_noise_counts_it_once():
    dark = NoiseModel(200.0, None, 30.0, excess_noise=2.0)
    image = exposures(1, size=256)[0]
    alone = NoiseModel.from_image(image, 200.0)
    noise = dark.with_gain_from(image)
    assert noise.gain == pytest.approx(alone.gain / 2)
    assert noise.slope == pytest.approx(alone.slope)


def test_pairs_are_drawn_with_it():
    preset = find_preset("fast", "YX")
    recording = exposures(1)
    source = RecorruptedPatches(
        [recording], EMCCD, 10.0, preset,
        patch=(64, 64), batch=1, device=torch.device("cpu"), seed=0, multiples=(8, 8),
    )  # fmt: skip
    assert source.shot == pytest.approx(2 * GAIN / 10)


def test_it_stays_in_files_and_old_files_have_none():
    again = NoiseModel.from_dict(json.loads(json.dumps(EMCCD.to_dict())))
    assert again == EMCCD
    old = EMCCD.to_dict()
    del old["excess_noise"]
    assert NoiseModel.from_dict(old).excess_noise == 1.0


def test_maps_know_it():
    maps = CameraMaps.of(200.0, GAIN, 30.0, shape=(8, 8), excess_noise=2.0)
    assert maps.typical.slope == 2 * GAIN


@pytest.mark.parametrize("wrong", [0.0, 0.9, np.nan, "two"])
def test_what_no_camera_has(wrong):
    with pytest.raises(InputError, match="excess noise is"):
        zs.NoiseModel(100, 1.0, 4.0, excess_noise=wrong)
    with pytest.raises(InputError, match="excess noise is"):
        zs.NoiseModel(100, 1.0, 4.0).with_excess_noise(wrong)
