"""Series as they come, of a camera whose gain is known: odd frames cost precision, never truth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import fourier_shift, gaussian_filter

from napari_zsdeconvnet.io.image_files import read_image
from napari_zsdeconvnet.noise import series_transfer
from napari_zsdeconvnet.noise.frame_pairs import pair_frames, spread_runs
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.utils.errors import InputError

GAIN, OFFSET, READ_VARIANCE = 0.5, 100.0, 2.0
FRAMES, SIZE = 24, 128

Rng = np.random.Generator


def scene(seed: int = 5) -> np.ndarray:
    """Lines, 60 electrons in a bright pixel, on a background of 5."""
    rng = np.random.default_rng(seed)
    angles = rng.uniform(0, 2 * np.pi, (16, 1)) + np.cumsum(rng.normal(0, 0.03, (16, 400)), 1)
    y = rng.uniform(0, SIZE, (16, 1)) + np.cumsum(0.5 * np.sin(angles), axis=1)
    x = rng.uniform(0, SIZE, (16, 1)) + np.cumsum(0.5 * np.cos(angles), axis=1)
    image = np.zeros((SIZE, SIZE))
    np.add.at(image, (y.astype(int) % SIZE, x.astype(int) % SIZE), 1.0)
    image = gaussian_filter(image, 1.6, mode="wrap")
    return 60 * image / np.percentile(image, 99.9) + 5


SCENE = scene()


def record(electrons: np.ndarray, rng: Rng, offset: float = OFFSET) -> np.ndarray:
    counts = offset + GAIN * rng.poisson(np.clip(electrons, 0, None))
    counts = counts + rng.normal(0, np.sqrt(READ_VARIANCE), electrons.shape)
    return np.clip(np.round(counts), 0, 65535).astype(np.uint16)


def plain(rng: Rng, frames: int = FRAMES) -> np.ndarray:
    return np.stack([record(SCENE, rng) for _ in range(frames)])


def lit(levels: np.ndarray, rng: Rng) -> np.ndarray:
    return np.stack([record(SCENE * level, rng) for level in levels])


def every_frame_three_times(rng: Rng) -> np.ndarray:
    return np.repeat(plain(rng, 10), 3, axis=0)


def a_block_of_one_frame_at_the_end(rng: Rng) -> np.ndarray:
    series = plain(rng)
    series[16:] = series[15]
    return series


def a_few_black_frames(rng: Rng) -> np.ndarray:
    return lit(np.where(np.isin(np.arange(FRAMES), (3, 9, 10, 20)), 0, 1), rng)


def flashes(rng: Rng) -> np.ndarray:
    levels = np.ones(FRAMES)
    levels[[5, 6, 15]] = 10, 6, 3
    return lit(levels, rng)


def one_frame_shifted(rng: Rng) -> np.ndarray:
    series = plain(rng)
    series[12] = record(np.roll(SCENE, 5, axis=0), rng)
    return series


def bright_and_dim(rng: Rng) -> np.ndarray:
    return lit(np.where(np.arange(FRAMES) % 2, 1.0, 0.2), rng)


def two_colours(rng: Rng) -> np.ndarray:
    other = scene(9)
    return np.stack([record(SCENE if index % 2 else other, rng) for index in range(FRAMES)])


def every_second_frame_dark(rng: Rng) -> np.ndarray:
    return lit(np.arange(FRAMES) % 2, rng)


def bleached_to_a_third(rng: Rng) -> np.ndarray:
    return lit(3 * 3.0 ** (-np.arange(FRAMES) / FRAMES), rng)


def a_lamp_that_flickers(rng: Rng) -> np.ndarray:
    return lit(rng.normal(1, 0.2, FRAMES), rng)


def an_offset_that_drifts(rng: Rng) -> np.ndarray:
    return np.stack([record(SCENE, rng, OFFSET + 3 * np.sin(t)) for t in range(FRAMES)])


def a_stage_that_drifts(rng: Rng) -> np.ndarray:
    spectrum = np.fft.fft2(SCENE)
    moved = (fourier_shift(spectrum, (0.3 * t, 0.15 * t)) for t in range(FRAMES))
    return np.stack([record(np.fft.ifft2(one).real, rng) for one in moved])


def points_that_drift(rng: Rng) -> np.ndarray:
    points = np.zeros((SIZE, SIZE))
    np.add.at(points, tuple(rng.integers(0, SIZE, (2, 300))), rng.exponential(1, 300))
    points = gaussian_filter(points, 1.1, mode="wrap")
    spectrum = np.fft.fft2(150 * points / np.quantile(points, 0.995) + 2)
    moved = (fourier_shift(spectrum, (0.4 * t, 0.2 * t)) for t in range(FRAMES))
    return np.stack([record(np.fft.ifft2(one).real, rng) for one in moved])


def a_spot_that_moves_and_blinks(rng: Rng) -> np.ndarray:
    spot = np.zeros((SIZE, SIZE))
    spot[64, 20] = 1
    spot = 300 * gaussian_filter(spot, 1.6) / gaussian_filter(spot, 1.6).max()
    moved = (np.roll(spot, 3 * t, axis=1) * (t % 3 > 0) for t in range(FRAMES))
    return np.stack([record(SCENE + one, rng) for one in moved])


def hot_pixels_and_cosmic_rays(rng: Rng) -> np.ndarray:
    series = plain(rng).astype(float)
    for counts in (rng.integers(50, 3000, 20), rng.choice([0, 60, 200], (FRAMES, 20))):
        y, x = rng.integers(0, SIZE, (2, 20))
        series[:, y, x] += counts
    for frame in series:
        frame[tuple(rng.integers(0, SIZE, 2))] += rng.integers(100, 20000)
    return series.astype(np.uint16)


def saturated(rng: Rng) -> np.ndarray:
    return np.minimum(plain(rng), 131)  # a pile-up of one pixel in a thousand


ODD = {
    every_frame_three_times: "20 of 30 frames were left out: 20 repeat another one",
    a_block_of_one_frame_at_the_end: "8 of 24 frames were left out: 8 repeat another one",
    a_few_black_frames: "4 hold next to no light (indices 3, 9, 10, 20)",
    flashes: "3 are unlike those around them, as in a flash or after a jump (indices 5, 6, 15)",
    one_frame_shifted: "1 of 24 frames was left out: 1 is unlike those around it",
    bright_and_dim: "alternate: those 2 apart are alike",
    two_colours: "alternate: those 2 apart are alike",
    every_second_frame_dark: "12 hold next to no light",
    bleached_to_a_third: "",
    a_lamp_that_flickers: "",
    an_offset_that_drifts: "",
    a_stage_that_drifts: "",
    points_that_drift: "",
    a_spot_that_moves_and_blinks: "",
    hot_pixels_and_cosmic_rays: "",
    saturated: "",
}


@pytest.mark.parametrize("series", ODD, ids=lambda series: series.__name__)
def test_odd_series_give_the_gain_within_eight_per_cent(series: Callable[[Rng], np.ndarray]):
    noise = NoiseModel.from_series(series(np.random.default_rng(3)), offset=OFFSET)
    assert noise.gain == pytest.approx(GAIN, rel=0.08)
    assert noise.read_variance == pytest.approx(READ_VARIANCE + 1 / 12, rel=0.15)
    said = " ".join(noise.warnings)
    assert ODD[series] in said
    if not ODD[series]:
        assert "left out" not in said
        assert "share noise" not in said


@pytest.mark.parametrize("name", ["frames_twice", "one_flash"])
def test_series_of_users(cases, name):
    noise = NoiseModel.from_series(read_image(cases / f"{name}.tif"), offset=OFFSET)
    assert noise.gain == pytest.approx(GAIN, rel=0.05)
    left_out = {
        "frames_twice": ("15 of 30 frames were left out", "repeat another one", "1, 3, 5, 7, 9"),
        "one_flash": ("1 of 30 frames was left out", "a flash", "index 12"),
    }
    assert all(words in noise.warnings[0] for words in left_out[name])
    assert ("15 of 30" if name == "frames_twice" else "29 of 30") in noise.source


def test_what_stands_in_a_border_is_no_mean_of_frames():
    series = plain(np.random.default_rng(0), 4).astype(np.float32)
    series[:, :, -7:] = np.nan
    warnings = NoiseModel.from_series(series, offset=OFFSET).warnings
    assert "multiples" not in " ".join(warnings)


class TestLongSeries:
    def test_runs_are_evenly_spread(self):
        assert spread_runs(30, 40) == tuple(range(30))
        chosen = spread_runs(1000, 40)
        assert len(chosen) == 40
        assert chosen[:9] == (*range(8), 248)
        assert chosen[-1] == 999

    def test_a_part_is_looked_at_and_said_with_the_frames_as_they_count(self, monkeypatch):
        monkeypatch.setattr(series_transfer, "SERIES_PIXELS", 40 * SIZE**2)
        rng = np.random.default_rng(4)
        series = plain(rng, 192)
        series[-3] = record(10 * SCENE, rng)
        series[-2, 50, 60] = 9000
        noise = NoiseModel.from_series(series, offset=OFFSET)
        assert noise.gain == pytest.approx(GAIN, rel=0.05)
        said = " ".join(noise.warnings)
        assert "40 of the 192 frames were looked at" in said
        assert "in a flash or after a jump (index 189)" in said
        assert "(190, 50, 60)" in said
        monkeypatch.undo()
        assert "were looked at" not in " ".join(
            NoiseModel.from_series(series[:40], offset=OFFSET).warnings
        )


class TestAveragedFrames:
    def test_means_of_two_are_told_by_their_halves(self):
        series = plain(np.random.default_rng(0), 2 * FRAMES).astype(float)
        noise = NoiseModel.from_series((series[::2] + series[1::2]) / 2, offset=OFFSET)
        assert noise.gain == pytest.approx(GAIN / 2, rel=0.08)
        assert any("mean of 2 frames" in warning for warning in noise.warnings)

    def test_a_running_average_is_told_by_what_neighbours_share(self):
        series = plain(np.random.default_rng(0), FRAMES + 1).astype(float)
        noise = NoiseModel.from_series((series[1:] + series[:-1]) / 2, offset=OFFSET)
        assert noise.gain == pytest.approx(GAIN / 2, rel=0.08)
        assert any(
            "running average" in warning and "2 apart" in warning for warning in noise.warnings
        )

    def test_a_recursive_filter_is_not_taken_for_a_quieter_camera(self):
        series = plain(np.random.default_rng(1), FRAMES + 12).astype(float)
        for index in range(1, len(series)):
            series[index] = (series[index - 1] + series[index]) / 2
        noise = NoiseModel.from_series(np.round(series[12:]), offset=OFFSET)
        assert noise.gain == pytest.approx(GAIN / 3, rel=0.1)
        assert any("recursive filter" in warning for warning in noise.warnings)


class TestFewFrames:
    def test_a_flash_between_two_frames(self):
        noise = NoiseModel.from_series(
            lit(np.array([1, 10, 1]), np.random.default_rng(0)), offset=100
        )
        assert noise.gain == pytest.approx(GAIN, rel=0.15)  # one pair alone: 9 % standard error
        assert abs(noise.gain - GAIN) < 3 * noise.gain_error
        assert "index 1" in noise.warnings[0]

    @pytest.mark.parametrize("levels", [(1, 0), (0, 1)])
    def test_a_lit_and_a_dark_frame_are_no_pair(self, levels):
        with pytest.raises(InputError, match="No two frames are left"):
            NoiseModel.from_series(lit(np.array(levels), np.random.default_rng(0)), offset=100)

    def test_one_frame_twice_is_no_pair(self):
        frame = record(SCENE, np.random.default_rng(0))
        with pytest.raises(InputError, match="1 repeats another one to the last bit"):
            NoiseModel.from_series(np.stack([frame, frame]), offset=OFFSET)


class TestPairs:
    def test_a_sound_series_is_taken_whole(self):
        found = pair_frames([plain(np.random.default_rng(0), 6)])
        assert found.pairs == ((0, 1), (1, 2), (2, 3), (3, 4), (4, 5))
        assert found.frames == tuple(range(6))
        assert found.said == ()

    def test_what_was_left_out_is_bridged(self):
        series = plain(np.random.default_rng(0), 6)
        series[3] = series[2]
        assert pair_frames([series]).pairs == ((0, 1), (1, 2), (2, 4), (4, 5))

    def test_pairs_further_apart(self):
        found = pair_frames([plain(np.random.default_rng(0), 6)])
        assert found.apart(1) == found.pairs
        assert found.apart(4) == ((0, 4), (1, 5))
        assert found.apart(6) == ()
