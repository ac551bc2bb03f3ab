from __future__ import annotations

import numpy as np
import pytest

from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.simulation.raw_sim import ANGLES, simulate_sim
from napari_zsdeconvnet.simulation.sample import BRIGHT_PERCENTILE
from napari_zsdeconvnet.utils.errors import InputError

SMALL = (96, 80)


def orders(frames, pattern):
    """Separate the frames of one orientation: its widefield and its shifted spectrum."""
    turns = np.exp(1j * np.array(pattern.phases))
    mixing = np.stack(
        [np.ones_like(turns), pattern.depth / 2 * turns, pattern.depth / 2 / turns], axis=1
    )
    return np.tensordot(np.linalg.pinv(mixing), frames, 1)


@pytest.mark.parametrize("kind", ["filaments", "vesicles"])
def test_nine_frames_have_the_promised_grids_and_brightness(kind):
    sample = simulate_sim(kind, shape=SMALL, photons=30, seed=2)

    assert sample.raw.shape == sample.second_exposure.shape == (9, *SMALL)
    assert sample.noise_free.shape == (9, *SMALL)
    assert sample.raw.dtype == sample.second_exposure.dtype == np.uint16
    assert sample.truth.shape == (192, 160)
    assert sample.truth.dtype == sample.noise_free.dtype == np.float32
    assert sample.truth.min() >= 0
    assert np.percentile(sample.noise_free, BRIGHT_PERCENTILE) == pytest.approx(30, rel=1e-4)
    assert sample.psf.voxel_size == pytest.approx((0.0313, 0.0313))
    assert [pattern.angle for pattern in sample.patterns] == list(ANGLES)


def test_the_mean_of_the_frames_is_the_blurred_truth():
    sample = simulate_sim(shape=(128, 128), seed=4)

    for frames in sample.noise_free.reshape(3, 3, 128, 128):
        # Three even phases of a pattern add up to even light.
        np.testing.assert_allclose(frames.mean(axis=0), sample.noise_free.mean(axis=0), atol=1e-3)
    assert sample.noise_free.mean() == pytest.approx(sample.truth.mean(), rel=0.05)


def test_phases_are_those_at_the_centre_of_the_image():
    # On the raw grid its centre is 63.5: half a fine pixel aside would turn the phase by 28
    # degrees at this period.
    sample = simulate_sim("mesh", shape=(128, 128), depth=0.6, phase_errors=10, seed=1)
    y, x = (np.indices((128, 128)) - 63.5) * sample.pixel_size
    for pattern, frames in zip(
        sample.patterns, sample.noise_free.reshape(3, 3, 128, 128), strict=True
    ):
        widefield, shifted, _ = orders(frames, pattern)
        ky, kx = pattern.frequency
        back = shifted * np.exp(-2j * np.pi * (ky * y + kx * x))
        # Brought back in place, the shifted spectrum is in phase with the widefield one.
        overlap = np.sum(back * (widefield - widefield.mean()).conj())
        assert abs(np.angle(overlap, deg=True)) < 3


def test_uneven_phases_separate_without_a_trace():
    sample = simulate_sim(shape=SMALL, phase_errors=8, seed=3)

    widefields = [
        orders(frames, pattern)[0].real
        for pattern, frames in zip(
            sample.patterns, sample.noise_free.reshape(3, 3, *SMALL), strict=True
        )
    ]
    np.testing.assert_allclose(widefields[0], widefields[1], atol=2e-3)
    np.testing.assert_allclose(widefields[0], widefields[2], atol=2e-3)
    steps = np.array([pattern.steps for pattern in sample.patterns])
    assert 2 < np.std(steps - 120) < 25


def test_the_order_of_frames_is_only_an_order():
    by_orientation = simulate_sim(shape=SMALL, seed=5).noise_free
    by_phase = simulate_sim(shape=SMALL, seed=5, order="phase")

    assert by_phase.patterns.order == "phase"
    np.testing.assert_allclose(
        by_phase.noise_free.reshape(3, 3, *SMALL).swapaxes(0, 1).reshape(9, *SMALL),
        by_orientation,
        rtol=1e-5,
    )


@pytest.mark.parametrize("order", ["orientation", "phase"])
def test_bleaching_dims_frame_after_frame_and_the_brightness_makes_up_for_it(order):
    sample = simulate_sim(shape=SMALL, bleaching=0.4, order=order, seed=5)
    even = simulate_sim(shape=SMALL, order=order, seed=5)

    share = sample.noise_free.mean(axis=(1, 2)) / even.noise_free.mean(axis=(1, 2))
    assert share[-1] / share[0] == pytest.approx(0.6, rel=1e-4)
    assert np.all(np.diff(share) < 0)
    factors = np.array(sample.patterns.brightness)
    in_time = factors.ravel() if order == "orientation" else factors.T.ravel()
    np.testing.assert_allclose(share * in_time / (share * in_time).mean(), 1, rtol=1e-4)


def test_light_out_of_focus_carries_no_pattern():
    sample = simulate_sim("mesh", shape=(128, 128), out_of_focus=0.7, seed=1)
    clear = simulate_sim("mesh", shape=(128, 128), seed=1)

    def contrast(frames, pattern):
        widefield, shifted, _ = orders(frames, pattern)
        return np.abs(shifted).std() / widefield.real.mean()

    pattern = sample.patterns[0]
    assert contrast(sample.noise_free[:3], pattern) == pytest.approx(
        0.3 * contrast(clear.noise_free[:3], pattern), rel=1e-3
    )
    assert sample.truth.mean() == pytest.approx(0.3 * sample.noise_free.mean(), rel=0.1)


def test_raw_minus_noise_free_has_the_variance_of_the_camera():
    noise = NoiseModel(offset=100, gain=2.0, read_variance=9.0)
    sample = simulate_sim("mesh", shape=(128, 128), photons=50, noise=noise, seed=1)
    residual = sample.raw - (100 + 2.0 * sample.noise_free)
    expected = 4.0 * sample.noise_free + 9.0

    assert abs(residual.mean()) < 4 * np.sqrt(expected.mean() / residual.size)
    assert (residual**2 / expected).mean() == pytest.approx(1, abs=5 * np.sqrt(2 / residual.size))
    second = sample.second_exposure - (100 + 2.0 * sample.noise_free)
    assert abs(np.corrcoef(residual.ravel(), second.ravel())[0, 1]) < 4 / np.sqrt(residual.size)


def test_a_seed_gives_the_same_sample_and_light_leaves_the_structure_alone():
    first, again = (simulate_sim(shape=SMALL, seed=5) for _ in range(2))
    bright = simulate_sim(shape=SMALL, photons=400, seed=5)

    assert np.array_equal(first.raw, again.raw)
    np.testing.assert_allclose(bright.truth, 4 * first.truth, rtol=1e-4)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"kind": "cats"}, "no phantom 'cats'"),
        ({"shape": (96,)}, "rows and columns"),
        ({"photons": 0}, "photons is 0"),
        ({"period": -0.2}, "period is -0.2"),
        ({"depth": 1.2}, "depth is 1.2"),
        ({"bleaching": 1.0}, "bleaching is 1"),
        ({"out_of_focus": -0.1}, "out of focus is -0.1"),
        ({"order": "z"}, "order is 'z'"),
        ({"noise": NoiseModel(100, None, 4.0)}, "no gain"),
    ],
)
def test_wrong_numbers_are_refused_by_name(wrong, words):
    with pytest.raises(InputError, match=words):
        simulate_sim(**{"shape": SMALL, **wrong})
