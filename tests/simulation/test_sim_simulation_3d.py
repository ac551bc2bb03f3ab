from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import fft

from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.simulation.raw_sim_3d import (
    ThreeBeams,
    sim_psf,
    simulate_sim_volume,
)
from napari_zsdeconvnet.simulation.sample import blur
from napari_zsdeconvnet.utils.errors import InputError

SMALL = (5, 32, 32)
SMALL_VOLUME = (12, 64, 64)
VOXEL = (0.125, 0.04, 0.04)


@cache
def volume(**changes):
    return simulate_sim_volume(**{"kind": "cell", "shape": SMALL_VOLUME, "seed": 3, **changes})


def test_beams_interfere_as_three_waves_do():
    beams = ThreeBeams.crossing(
        0.2, [30.0], 1.0, excitation_wavelength=0.488, refractive_index=1.515
    )
    y, x = ((np.arange(32) - 15.5) * 0.04 for _ in range(2))
    z = 0.31
    # The lateral part of the side beams is half the frequency of the finer stripes; the axial
    # part follows from the length of their wave vector.
    total = 1.515 / 0.488
    angle = np.deg2rad(30.0)
    side = 1 / 0.4
    axial = np.sqrt(total**2 - side**2)
    across = side * (np.sin(angle) * y[:, None] + np.cos(angle) * x)
    # The phase of the two side beams at the focus is that of the central beam there.
    waves = np.exp(2j * np.pi * total * z) + np.exp(2j * np.pi * axial * z) * (
        np.exp(1j * (2 * np.pi * across + 0.7)) + np.exp(-1j * (2 * np.pi * across + 0.7))
    )
    theta = beams.turns((32, 32), 0.04)[0] + 0.7
    light = (
        1
        + 4 / 3 * np.cos(theta) * np.cos(2 * np.pi * beams.axial_frequency * z)
        + 2 / 3 * np.cos(2 * theta)
    )
    np.testing.assert_allclose(light, np.abs(waves) ** 2 / 3, atol=1e-9)


def test_a_reconstructed_stack_has_one_grid_and_no_offset():
    sample = volume(kind="filaments", photons=30)

    assert sample.raw.shape == sample.truth.shape == sample.noise_free.shape == SMALL_VOLUME
    assert sample.raw.dtype == sample.second_exposure.dtype == np.float32
    assert sample.raw.min() < 0
    assert sample.upsampling == 1
    assert sample.noise.offset == 0
    assert sample.psf.voxel_size == VOXEL


def test_the_noise_free_stack_is_the_truth_blurred_by_the_sim_psf():
    sample = volume(shape=(14, 112, 112))

    blurred = blur(sample.truth, sample.psf)
    margin = [n // 2 for n in sample.psf.array.shape]
    inside = tuple(slice(m, n - m) for m, n in zip(margin, sample.truth.shape, strict=True))
    np.testing.assert_allclose(sample.noise_free[inside], blurred, rtol=1e-4)


def test_the_sim_psf_is_half_as_wide_as_the_widefield_one():
    sample = volume()
    wide = PSF.simulate(1.4, 0.525, 0.04, axial_step=0.125, refractive_index=1.515)

    narrow = np.array(sample.psf.fwhm)
    assert narrow[0] == pytest.approx(wide.fwhm[0] / 2, rel=0.05)
    assert narrow[1:] == pytest.approx(np.array(wide.fwhm[1:]) / 2, rel=0.05)
    assert sample.psf.array.sum() == pytest.approx(1, abs=1e-5)
    assert "narrowed by half" in sample.psf.source


def test_noise_has_mean_zero_the_promised_variance_and_differs_between_exposures():
    sample = volume(photons=50)
    first = sample.raw - sample.noise_free
    second = sample.second_exposure - sample.noise_free

    # Neighbours share their noise: about one in fifty voxels counts.
    independent = first.size / 50
    spread = first.std()
    assert abs(first.mean()) < 4 * spread / np.sqrt(independent)
    assert first.var() == pytest.approx(
        sample.noise.variance(sample.noise_free).mean(), rel=6 * np.sqrt(2 / independent)
    )
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 4 / np.sqrt(independent)
    assert np.corrcoef(first[..., 1:].ravel(), first[..., :-1].ravel())[0, 1] > 0.5


def test_noise_is_coloured_as_a_wiener_reconstruction_leaves_it():
    sample = volume(photons=50)
    power = np.abs(fft.rfftn(sample.raw - sample.noise_free)) ** 2
    z, y = (fft.fftfreq(n, d) for n, d in zip(SMALL_VOLUME[:2], VOXEL[:2], strict=True))
    x = fft.rfftfreq(SMALL_VOLUME[2], VOXEL[2])
    lateral = np.hypot(y[:, None], x)[None] + np.zeros((len(z), 1, 1))

    def strength(low, high):
        return power[(lateral >= low) & (lateral < high) & (z == 0)[:, None, None]].mean()

    # The cutoffs: 2 NA / wavelength is 5.3, and with the pattern 10.3 cycles per micrometre.
    assert strength(3, 5) > 1.3 * strength(0, 1)
    assert strength(10.4, 12) < 1e-3 * strength(3, 5)


def test_more_light_makes_less_noise_for_the_same_structure():
    dim, bright = volume(photons=10), volume(photons=1000)

    np.testing.assert_allclose(bright.truth, 100 * dim.truth, rtol=1e-4)
    relative = [
        (sample.raw - sample.noise_free).std() / sample.noise_free.mean()
        for sample in (dim, bright)
    ]
    assert relative[0] > 8 * relative[1]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"kind": "rings"}, "no phantom 'rings'"),
        ({"shape": (64, 64)}, "planes, rows and columns"),
        ({"voxel_size": (0.1, 0.04, 0.05)}, "equal y and x"),
        ({"photons": -1}, "photons is -1"),
        ({"period": 0.1}, "period is 100 nm, finer than light of 488 nm"),
        ({"depth": 2}, "depth is 2"),
        ({"noise": NoiseModel(100, None, 4.0)}, "no gain"),
    ],
)
def test_wrong_numbers_are_refused_by_name(wrong, words):
    with pytest.raises(InputError, match=words):
        simulate_sim_volume(**{"kind": "cell", "shape": SMALL, **wrong})


def test_a_sim_psf_asks_for_the_numbers_of_a_microscope():
    with pytest.raises(InputError, match="The NA is 3"):
        sim_psf(na=3, wavelength=0.525, voxel_size=VOXEL)
