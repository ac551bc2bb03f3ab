"""Raw SIM that was taken for an ordinary stack is noticed, and ordinary stacks are left alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from napari_zsdeconvnet.io.image import Image
from napari_zsdeconvnet.sim.recognition import raw_sim_taken_for_frames
from napari_zsdeconvnet.simulation.raw_sim import simulate_sim
from napari_zsdeconvnet.simulation.sample import simulate

CAMERA = (100.0, 2.0)  # offset and read noise, counts


def recorded(frames, seed):
    generator = np.random.default_rng(seed)
    stack = np.stack(frames)
    counts = generator.poisson(np.maximum(stack, 0)) + generator.normal(*CAMERA, stack.shape)
    return np.round(counts).astype(np.float32)


@pytest.mark.parametrize("kind", ["filaments", "vesicles"])
@pytest.mark.parametrize("order", ["orientation", "phase"])
def test_fringes_are_noticed_in_either_order(kind, order):
    sample = simulate_sim(kind, shape=(128, 128), photons=40, order=order, seed=1)
    sentence = raw_sim_taken_for_frames(Image(sample.raw, "TYX", name="cells.tif"))
    assert sentence is not None
    assert "9 frames of cells.tif" in sentence
    assert "raw 2D-SIM of 3 orientations and 3 phases" in sentence


def test_they_are_noticed_as_planes_of_a_volume_too():
    sample = simulate_sim("filaments", shape=(128, 128), photons=100)
    assert raw_sim_taken_for_frames(sample.raw, "ZYX") is not None


def test_fifteen_frames_are_said_to_be_of_3d_sim():
    three, five = 3, 5
    base = simulate("filaments", shape=(128, 128), photons=200).noise_free
    row, column = np.mgrid[:128, :128]
    frames = []
    for orientation in range(three):
        angle = np.pi * (0.1 + orientation / 3)
        across = 0.3 * (row * np.sin(angle) + column * np.cos(angle))
        for phase in range(five):
            pattern = 1 + 0.7 * np.cos(2 * np.pi * (across + phase / five))
            frames.append(base * pattern)
    sentence = raw_sim_taken_for_frames(recorded(frames, 0))
    assert sentence is not None
    assert "raw 3D-SIM of 3 orientations and 5 phases" in sentence


def changes(base, generator):
    blinking = [gaussian_filter(generator.random(base.shape), 3) > 0.5 for _ in range(9)]
    jumps = 3 * generator.normal(size=(9, 2))
    return {
        "still": [base] * 9,
        "bleaching": [base * 0.93**index for index in range(9)],
        "drifting": [shift(base, (0.7 * i, 0.4 * i), mode="reflect") for i in range(9)],
        "jumping": [shift(base, jump, mode="reflect") for jump in jumps],
        "through focus": [gaussian_filter(base, 0.01 + abs(index - 4)) for index in range(9)],
        "blinking": [base * on for on in blinking],
    }


@pytest.mark.parametrize("kind", ["filaments", "vesicles", "mesh", "rings"])
@pytest.mark.parametrize("photons", [20, 1000])
def test_nine_ordinary_frames_raise_no_alarm(kind, photons):
    base = simulate(kind, shape=(128, 128), photons=photons).noise_free.astype(float)
    for change, frames in changes(base, np.random.default_rng(photons)).items():
        assert raw_sim_taken_for_frames(recorded(frames, 1)) is None, change


def test_what_cannot_be_raw_sim_is_not_looked_at():
    sample = simulate_sim("filaments", shape=(128, 128), photons=100)
    assert raw_sim_taken_for_frames(sample.raw[0]) is None
    assert raw_sim_taken_for_frames(sample.raw[:8]) is None
    assert raw_sim_taken_for_frames(sample.raw[:, :24, :24]) is None
    assert raw_sim_taken_for_frames(np.stack([sample.raw] * 2), "TZYX") is None
