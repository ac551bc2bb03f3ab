"""Calibrations against cameras whose numbers are known, and the doubts they raise."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter, shift

from napari_zsdeconvnet.io.image import Image, PixelRule
from napari_zsdeconvnet.noise.image_transfer import transfer_of_images
from napari_zsdeconvnet.noise.noise_model import NoiseModel, fit_background
from napari_zsdeconvnet.noise.series_transfer import transfer_of_series
from napari_zsdeconvnet.utils.errors import InputError

DATA = Path(__file__).parents[2].parent / "shared" / "data"
ROUNDING = 1 / 12  # variance that rounding to whole counts adds


@lru_cache(maxsize=32)
def phantom(kind: str, seed: int, size: int = 512) -> np.ndarray:
    """Return structures blurred by a PSF of 1.4 pixels sigma, 1 at the 99.9th percentile."""
    rng = np.random.default_rng(seed)
    image = np.zeros((size, size))
    if kind == "filaments":
        angles = rng.uniform(0, 2 * np.pi, (40, 1)) + np.cumsum(rng.normal(0, 0.03, (40, 600)), 1)
        y = rng.uniform(0, size, (40, 1)) + np.cumsum(0.5 * np.sin(angles), axis=1)
        x = rng.uniform(0, size, (40, 1)) + np.cumsum(0.5 * np.cos(angles), axis=1)
        np.add.at(image, (y.astype(int) % size, x.astype(int) % size), 1.0)
    elif kind == "spots":
        places = rng.integers(0, size, (2, size * size // 200))
        np.add.at(image, tuple(places), rng.uniform(0.2, 1, places.shape[1]))
    elif kind == "cells":
        image = np.clip(gaussian_filter(rng.normal(size=image.shape), 12, mode="wrap"), 0, None)
        image *= 1 + rng.exponential(size=image.shape)
    image = gaussian_filter(image, 1.4, mode="wrap")
    return image / np.percentile(image, 99.9)


@lru_cache(maxsize=8)
def blurred_points(width: float, size: int = 192, count: int = 400) -> np.ndarray:
    """Return points as an aberration-free widefield microscope shows them, about 1 where bright.

    Its cutoff is 1.02 / width cycles per pixel.
    """
    rng = np.random.default_rng(0)
    fine = np.zeros((4 * size, 4 * size))
    np.add.at(fine, tuple(rng.integers(0, 4 * size, (2, count))), rng.exponential(1, count))
    frequency = np.hypot(np.fft.fftfreq(4 * size)[:, None], np.fft.fftfreq(4 * size))
    share = np.clip(4 * frequency * width / 1.02, 0, 1)
    otf = 2 / np.pi * (np.arccos(share) - share * np.sqrt(1 - share**2))
    image = np.fft.ifft2(np.fft.fft2(fine) * otf).real
    image = np.maximum(image.reshape(size, 4, size, 4).mean(axis=(1, 3)), 0)
    return image / np.quantile(image, 0.995) + 0.01


def expose(
    electrons: np.ndarray,
    seed: int | np.random.Generator,
    *,
    offset: float = 100.0,
    gain: float = 1.0,
    read_variance: float = 4.0,
) -> np.ndarray:
    rng = np.random.default_rng(seed)
    counts = offset + gain * rng.poisson(electrons)
    counts = counts + rng.normal(0, np.sqrt(read_variance), electrons.shape)
    return np.round(counts).astype(np.uint16)


def square(shape: tuple[int, int], side: int, corner: int = 8) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[corner : corner + side, corner : corner + side] = True
    return mask


class TestNoiseModel:
    def test_positional_fields_and_defaults(self):
        noise = NoiseModel(offset=100, gain=1.0, read_variance=4.0)
        assert (noise.offset, noise.gain, noise.read_variance) == (100.0, 1.0, 4.0)
        assert noise.source == "typed by hand"
        assert noise.gain_error is None
        assert noise.warnings == ()
        with pytest.raises(FrozenInstanceError):
            noise.offset = 3.0

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"offset": np.nan}, "offset is nan"),
            ({"offset": np.inf}, "offset is inf"),
            ({"offset": "a lot"}, "offset is 'a lot'"),
            ({"gain": np.nan}, "gain is nan"),
            ({"gain": 0.0}, "gain is 0"),
            ({"gain": -1.0}, "gain is -1"),
            ({"read_variance": -0.1}, "read variance is -0.1"),
            ({"read_variance": np.nan}, "read variance is nan"),
            ({"gain_error": -1.0}, "gain error is -1"),
            ({"offset_error": np.nan}, "offset error is nan"),
        ],
    )
    def test_refuses_what_no_camera_has(self, change, words):
        good = {"offset": 100.0, "gain": 1.0, "read_variance": 4.0}
        with pytest.raises(InputError, match=words):
            NoiseModel(**(good | change))

    def test_variance_is_the_photon_transfer_line(self):
        noise = NoiseModel(offset=100, gain=2.0, read_variance=9.0)
        np.testing.assert_allclose(noise.variance([50, 100, 110]), [9, 9, 29])
        with pytest.raises(InputError, match="gain is not known"):
            replace(noise, gain=None).variance(100)

    def test_survives_json(self):
        noise = NoiseModel(
            np.float32(100.5), 1.5, 4, 0.1, None, 0.2, source="a dark stack", warnings=("careful",)
        )
        again = NoiseModel.from_dict(json.loads(json.dumps(noise.to_dict())))
        assert again == noise

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"offset": 1, "gain": 1}, "read_variance is missing"),
            ({"offset": 1, "gain": 1, "read_variance": 1, "beta": 2}, "unknown entry beta"),
            ([1, 2, 3], "no JSON object"),
        ],
    )
    def test_from_dict_says_what_is_wrong(self, values, words):
        with pytest.raises(InputError, match=words):
            NoiseModel.from_dict(values)

    def test_describes_itself_with_units_and_errors(self):
        noise = NoiseModel(100.02, 2.0, 16.0, offset_error=0.031, source="a dark stack")
        assert noise.describe() == str(noise)
        assert "offset 100.020 ± 0.031 counts" in str(noise)
        assert "gain 2 counts per electron" in str(noise)
        assert "read noise 2 electrons" in str(noise)
        assert "a dark stack" in str(noise)
        assert "gain not measured" in str(replace(noise, gain=None))


class TestBackground:
    def test_offset_and_variance_are_unbiased_and_their_errors_honest(self):
        fits, truth_offset, truth_variance = [], 100 + 2 * 0.5, 4 + 2 * 2 * 0.5 + ROUNDING
        for seed in range(200):
            image = expose(np.full((80, 80), 0.5), seed, gain=2.0)
            fits.append(fit_background(image, square(image.shape, 64), gain=2.0))
        offsets = np.array([fit.offset for fit in fits])
        variances = np.array([fit.read_variance for fit in fits])
        assert np.abs(offsets - truth_offset).max() < 0.2
        for values, truth, errors in (
            (offsets, truth_offset, [fit.offset_error for fit in fits]),
            (variances, truth_variance, [fit.read_variance_error for fit in fits]),
        ):
            z = (values - truth) / errors
            assert abs(z.mean()) < 4 / np.sqrt(len(z))
            assert 0.8 < z.std() < 1.2
        # 64 x 64 pixels give a variance to 2.2 %, so 5 % is 2.2 standard errors.
        assert np.mean(np.abs(variances / truth_variance - 1) < 0.05) > 0.93
        assert not any(fit.warnings for fit in fits)
        assert all(fit.verdict.startswith("Good") for fit in fits)

    def test_region_of_any_shape_and_labels(self):
        image = expose(np.zeros((128, 128)), 0)
        y, x = np.indices(image.shape)
        disc = (y - 64) ** 2 + (x - 64) ** 2 < 30**2
        image[~disc] += 500
        fit = fit_background(image, disc.astype(np.uint8) * 7)
        assert fit.pixels == disc.sum()
        assert fit.offset == pytest.approx(image[disc].mean())
        assert fit.read_variance == pytest.approx(image[disc].var(), rel=0.01)

    def test_histogram_counts_every_pixel_and_the_curve_lies_on_it(self):
        image = expose(np.zeros((128, 128)), 1)
        fit = fit_background(image, np.ones(image.shape, bool))
        assert fit.edges.shape == (len(fit.counts) + 1,) == (len(fit.fitted) + 1,)
        assert fit.counts.sum() == image.size
        chi = (fit.counts - fit.fitted)[fit.fitted > 5] / np.sqrt(fit.fitted[fit.fitted > 5])
        assert np.abs(chi).max() < 5

    def test_float_images_and_stacks(self):
        rng = np.random.default_rng(2)
        frames = (rng.normal(100, 2, (6, 64, 64)) + np.arange(6)[:, None, None]).astype(np.float32)
        fit = fit_background(frames, square((64, 64), 40))
        assert fit.offset == pytest.approx(102.5, abs=0.2)
        # A level that drifts from frame to frame is not read noise.
        assert fit.read_variance == pytest.approx(4, rel=0.06)
        whole = np.zeros(frames.shape, bool)
        whole[2, 10:40, 10:40] = True
        assert fit_background(frames, whole).offset == pytest.approx(102, abs=0.4)

    def test_fixed_pattern_widens_the_error_of_the_offset(self):
        z = []
        for seed in range(100):
            rng = np.random.default_rng(seed)
            pattern = rng.normal(100, 1, (40, 40))
            frames = pattern + rng.normal(0, 1, (8, 40, 40))
            fit = fit_background(frames, np.ones((40, 40), bool))
            z.append((fit.offset - 100) / fit.offset_error)
        assert 0.8 < np.std(z) < 1.25

    def test_hot_pixels_are_left_out_and_named(self):
        image = expose(np.zeros((128, 128)), 3)
        clean = fit_background(image, square(image.shape, 64))
        image[20:60:8, 20:60:8] = 900
        fit = fit_background(image, square(image.shape, 64))
        assert fit.read_variance == pytest.approx(clean.read_variance, rel=0.02)
        assert fit.offset == pytest.approx(clean.offset, abs=0.01)
        assert any("hot" in warning and "25" in warning for warning in fit.warnings)

    def test_a_very_quiet_camera_has_no_hot_pixels(self):
        image = expose(np.zeros((128, 128)), 3, read_variance=0.03, offset=100.05)
        fit = fit_background(image, square(image.shape, 100))
        assert 0 < (image != 100).mean() < 0.01
        assert not any("hot" in warning for warning in fit.warnings)
        assert fit.offset == image[square(image.shape, 100)].mean()

    @pytest.mark.parametrize(
        ("spoil", "word"),
        [
            (lambda y: y + 8 * phantom("spots", 0, 128), "structure"),
            (lambda y: y + np.linspace(0, 6, 128), "slopes"),
            (lambda y: np.where(np.indices(y.shape)[0] < 12, y + 20, y), "skewed"),
            (lambda y: (y + np.roll(y, 1, axis=0)) / 2, "share noise"),
            (lambda y: np.maximum(y - 100, 0), "exactly 0"),
            (lambda y: np.round(100 + (y - 100) / 8).astype(np.uint16), "averaged"),
        ],
    )
    def test_doubts_what_is_not_plain_noise(self, spoil, word):
        image = expose(np.zeros((128, 128)), 4).astype(float)
        mask = square(image.shape, 100)
        assert fit_background(image, mask).warnings == ()
        fit = fit_background(spoil(image), mask)
        assert any(word in warning for warning in fit.warnings), fit.warnings
        empty = word not in ("structure", "skewed", "exactly 0")
        assert fit.empty == empty
        assert fit.verdict.startswith("Take care" if empty else "Not empty")

    @pytest.mark.parametrize("frames", [1, 5])
    def test_region_that_is_lit_evenly_is_not_empty(self, frames):
        light = np.zeros((frames, 128, 128))
        light[:, :64] = 30.0
        image = np.stack([expose(one, seed) for seed, one in enumerate(light)])
        bright, dark = np.zeros((2, 128, 128), bool)
        bright[8:56, 8:120] = dark[72:120, 8:120] = True
        fit = fit_background(image[0] if frames == 1 else image, bright)
        assert not fit.empty
        assert "50 % of the image is darker than the background region, by 30" in fit.warnings[0]
        assert fit_background(image, dark).empty
        # Nor does it matter that the whole level drifts, or what deskewing has filled in.
        drifting = image + 20 * np.arange(frames)[:, None, None]
        assert fit_background(drifting, dark).empty
        image[:, :, :24] = 0
        assert fit_background(image, dark & (image[0] > 0)).empty

    def test_gentle_slope_does_not_pass_for_noise(self):
        image = expose(np.zeros((128, 128)), 5) + np.linspace(0, 6, 128)
        fit = fit_background(image, square(image.shape, 100))
        assert fit.read_variance == pytest.approx(4 + ROUNDING, rel=0.05)

    def test_averaged_frames_show_by_their_grid(self):
        frames = [expose(np.zeros((64, 64)), seed) for seed in range(4)]
        fit = fit_background(np.mean(frames, axis=0), np.ones((64, 64), bool))
        assert any("multiples of 1/4" in warning for warning in fit.warnings)

    def test_few_pixels_and_eight_bits_warn(self):
        image = expose(np.zeros((64, 64)), 6)
        fit = fit_background(image, square(image.shape, 12))
        assert any("144 pixels" in warning for warning in fit.warnings)
        fit = fit_background(image.astype(np.uint8), square(image.shape, 40))
        assert any("8-bit" in warning for warning in fit.warnings)

    def test_refuses_bad_regions(self):
        image = expose(np.zeros((64, 64)), 7)
        with pytest.raises(InputError, match="holds no pixel"):
            fit_background(image, np.zeros((64, 64), bool))
        with pytest.raises(InputError, match=r"shape \(32, 64\)"):
            fit_background(image, np.ones((32, 64), bool))
        with pytest.raises(InputError, match="float64 values"):
            fit_background(image, np.ones((64, 64)))
        with pytest.raises(InputError, match="5 axes"):
            fit_background(image[None, None, None], np.ones((64, 64), bool))

    def test_refuses_bad_pixels(self):
        image = expose(np.zeros((64, 64)), 8).astype(float)
        mask = square(image.shape, 40)
        broken = image.copy()
        broken[12, 12] = np.nan
        with pytest.raises(InputError, match="NaN"):
            fit_background(broken, mask)
        with pytest.raises(InputError, match="constant"):
            fit_background(np.full((64, 64), 100), mask)
        flat = image.copy()
        flat[mask] = 100
        with pytest.raises(InputError, match="region is constant"):
            fit_background(flat, mask)
        clipped = np.where(image > 101, 4095, image)
        with pytest.raises(InputError, match="saturated"):
            fit_background(clipped, mask)

    def test_from_background_measures_the_gain_elsewhere(self):
        signal = phantom("filaments", 0)
        signal = signal * (np.indices(signal.shape)[1] > 100)
        image = expose(200 * signal, 9, gain=1.7)
        noise = NoiseModel.from_background(image, square(image.shape, 64))
        assert noise.gain == pytest.approx(1.7, rel=0.1)
        assert noise.gain_error == pytest.approx(0.25 * noise.gain, rel=0.05)
        assert "25 %" in noise.source
        assert noise.offset == pytest.approx(100, abs=0.2)

    def test_given_gain_is_kept(self):
        image = expose(200 * phantom("filaments", 0), 10)
        noise = NoiseModel.from_background(image, square(image.shape, 30), gain=0.7)
        assert noise.gain == 0.7
        assert noise.gain_error is None
        assert "typed by hand" in noise.source

    @pytest.mark.parametrize("size", [40, 256])
    def test_background_survives_an_image_without_signal(self, size):
        image = expose(np.zeros((size, size)), 11)
        noise = NoiseModel.from_background(image, square(image.shape, 30))
        assert noise.gain is None
        assert any("gain was not measured" in warning for warning in noise.warnings)
        bright = expose(300 * phantom("cells", 1, 256), 12)
        filled = noise.with_gain_from(bright)
        assert filled.gain == pytest.approx(1, rel=0.15)
        assert filled.read_variance == noise.read_variance
        assert not any("not measured" in warning for warning in filled.warnings)


class TestOneImage:
    @pytest.mark.parametrize("kind", ["filaments", "spots", "cells"])
    @pytest.mark.parametrize("peak", [20, 100, 1000])
    def test_gain_within_ten_per_cent(self, kind, peak):
        for seed, gain in enumerate((0.43, 1.0, 2.3)):
            truth = (2 * gain) ** 2  # read noise of two electrons
            image = expose(peak * phantom(kind, seed), seed, gain=gain, read_variance=truth)
            noise = NoiseModel.from_image(image, offset=100)
            assert noise.gain == pytest.approx(gain, rel=0.1)
            known_to = 0.15 + 0.01 * peak / 20  # bright images say little about the dark
            assert noise.read_variance == pytest.approx(truth + ROUNDING, rel=known_to)
            assert noise.offset == 100
            assert noise.offset_error is None

    def test_fit_is_unbiased_and_its_error_honest(self):
        gains, errors = [], []
        for seed in range(60):
            signal = phantom("cells", seed % 6, 256)
            fit = transfer_of_images(expose(100 * signal, seed, gain=1.5)[None], 100.0, None)
            gains.append(fit.gain)
            errors.append(fit.gain_error)
        z = (np.array(gains) - 1.5) / errors
        assert np.mean(gains) == pytest.approx(1.5, rel=0.015)
        assert 0.7 < z.std() < 1.4

    def test_error_is_never_below_a_quarter(self):
        noise = NoiseModel.from_image(expose(500 * phantom("cells", 0), 0), 100)
        assert noise.gain_error >= 0.25 * noise.gain

    def test_without_offset_takes_the_darkest_part_and_says_so(self):
        image = expose(200 * phantom("filaments", 3), 1)
        noise = NoiseModel.from_image(image)
        # The darkest blocks are chosen with other pixels than they are measured with.
        assert noise.offset == pytest.approx(100, abs=0.3)
        assert noise.gain == pytest.approx(1, rel=0.1)
        assert "darkest" in noise.source
        assert any("offset was not given" in warning for warning in noise.warnings)

    @pytest.mark.parametrize("width", [2.3, 8.0])
    def test_light_far_above_the_noise_does_not_leak(self, width):
        """The filter passes nothing of what the optics do, however bright and well sampled."""
        light = 3000 * blurred_points(width)
        noise = NoiseModel.from_image(expose(light, 0, gain=0.2), 100.0, cutoff=1.02 / width)
        assert noise.gain == pytest.approx(0.2, rel=0.15)

    def test_coarse_pixels_are_told_by_the_corner_of_the_spectrum(self):
        light = 200 * blurred_points(1.5)
        noise = NoiseModel.from_image(expose(light, 0, gain=0.5), 100.0)
        assert abs(noise.gain - 0.5) < 2 * noise.gain_error
        assert any("not to be relied on" in warning for warning in noise.warnings)
        fine = NoiseModel.from_image(expose(200 * blurred_points(3.0), 0, gain=0.5), 100.0)
        assert not any("not to be relied on" in warning for warning in fine.warnings)

    def test_few_bad_pixels_that_nobody_found_do_not_count(self):
        image = expose(200 * blurred_points(3.0), 0, gain=2.0)
        image[tuple(np.random.default_rng(1).integers(3, 189, (2, 12)))] += 300
        image = Image(image, "YX", pixel_rule=PixelRule(outliers=False))
        noise = NoiseModel.from_image(image, 100.0, cutoff=0.34)
        assert noise.gain == pytest.approx(2.0, rel=0.12)

    def test_undersampled_image_needs_no_rescue_with_a_cutoff(self):
        image = expose(200 * phantom("cells", 2), 2)
        assert NoiseModel.from_image(image, 100, cutoff=0.4).gain == pytest.approx(1, rel=0.1)
        with pytest.raises(InputError, match=r"cutoff is 0\.9"):
            NoiseModel.from_image(image, 100, cutoff=0.9)

    def test_read_variance_is_never_negative(self):
        image = expose(200 * phantom("cells", 3) + 50, 3, read_variance=0.01)
        noise = NoiseModel.from_image(image, offset=80)
        assert noise.read_variance == 0
        assert noise.gain == pytest.approx(1, rel=0.1)
        assert any("below zero" in warning for warning in noise.warnings)

    def test_border_does_not_leak(self):
        ramp = np.linspace(0, 1000, 256)[:, None] * np.ones(256)
        noise = NoiseModel.from_image(expose(ramp, 4), 100)
        assert noise.gain == pytest.approx(1, rel=0.08)

    def test_several_images_are_pooled(self):
        frames = np.stack([expose(100 * phantom("spots", k, 256), k) for k in range(3)])
        noise = NoiseModel.from_image(frames, 100)
        assert noise.gain == pytest.approx(1, rel=0.1)
        assert "3 single images" in noise.source

    def test_shared_noise_is_made_up_for(self):
        image = expose(300 * phantom("filaments", 4), 5).astype(float)
        shifted = (image + np.roll(image, 1, axis=0)) / 2  # half a pixel, linearly
        noise = NoiseModel.from_image(shifted, 100)
        assert any("share noise" in warning for warning in noise.warnings)
        # Averaging two pixels halves the variance of each.
        assert noise.gain == pytest.approx(0.5, rel=0.25)

    def test_filled_corners_are_left_out_and_told(self):
        image = expose(200 * phantom("filaments", 5), 6)
        image[:, :150] = 97
        noise = NoiseModel.from_image(image)
        assert noise.offset == pytest.approx(100, abs=0.3)
        assert noise.gain == pytest.approx(1, rel=0.1)
        assert any("filled with one value" in warning for warning in noise.warnings)
        mask = square(image.shape, 60, 120)
        assert any("filled" in warning for warning in fit_background(image, mask).warnings)
        image[:, :500] = 97
        with pytest.raises(InputError, match="filled in"):
            NoiseModel.from_image(image)

    def test_no_signal_no_gain(self):
        for seed in range(12):
            blank = expose(np.full((256, 256), 3.0), seed)
            with pytest.raises(InputError, match="too little signal"):
                NoiseModel.from_image(blank, 100)

    def test_refuses_bad_images(self):
        with pytest.raises(InputError, match="at least 64 x 64"):
            NoiseModel.from_image(expose(np.zeros((50, 90)), 0), 100)
        with pytest.raises(InputError, match="constant"):
            NoiseModel.from_image(np.full((128, 128), 7), 100)
        broken = np.ones((128, 128))
        broken[3, 4] = np.inf
        with pytest.raises(InputError, match="no pixel that can be used"):
            NoiseModel.from_image(broken, 100)
        with pytest.raises(InputError, match="offset is nan"):
            NoiseModel.from_image(expose(phantom("cells", 0), 0), np.nan)


class TestSeries:
    @pytest.mark.parametrize("kind", ["filaments", "spots", "cells"])
    def test_gain_within_five_per_cent_from_twenty_frames(self, kind):
        for gain, peak in ((0.43, 100), (1.0, 20), (2.3, 1000)):
            signal = peak * phantom(kind, 5, 256)
            truth = (2 * gain) ** 2
            frames = np.stack(
                [expose(signal, 100 + t, gain=gain, read_variance=truth) for t in range(20)]
            )
            noise = NoiseModel.from_series(frames, offset=100)
            assert noise.gain == pytest.approx(gain, rel=0.05)
            assert noise.read_variance == pytest.approx(truth + ROUNDING, rel=0.1)

    def test_bleaching_and_flicker_are_taken_out(self):
        rng = np.random.default_rng(0)
        signal = 500 * phantom("cells", 6, 256)
        lamp = 0.96 ** np.arange(20) * rng.normal(1, 0.05, 20)
        frames = np.stack([expose(signal * level, rng) for level in lamp])
        assert NoiseModel.from_series(frames, offset=100).gain == pytest.approx(1, rel=0.05)

    def test_what_moves_is_masked(self):
        signal, still = 300 * phantom("spots", 7, 256), 300 * phantom("cells", 7, 256)
        frames = np.stack(
            [
                expose(np.clip(still + shift(signal, (t, 0.5 * t), mode="grid-wrap"), 0, None), t)
                for t in range(20)
            ]
        )
        assert NoiseModel.from_series(frames, offset=100).gain == pytest.approx(1, rel=0.05)

    def test_what_moves_is_masked_where_neighbours_share_noise(self):
        still = 300 * phantom("cells", 8, 256)
        spot = gaussian_filter(np.eye(1, 256 * 256, 128 * 256 + 128).reshape(256, 256), 2)
        spot *= 400 / spot.max()
        frames = [expose(still + np.roll(spot, 3 * t, axis=1), t).astype(float) for t in range(20)]
        smooth = np.stack([(frame + np.roll(frame, 1, axis=0)) / 2 for frame in frames])
        noise = NoiseModel.from_series(smooth, offset=100)
        assert noise.gain == pytest.approx(0.5, rel=0.1)
        assert any("share noise" in warning for warning in noise.warnings)

    def test_undersampled_stills_cancel(self):
        rng = np.random.default_rng(1)
        signal = 200 * (rng.uniform(size=(128, 128)) < 0.1)  # single bright pixels
        frames = np.stack([expose(signal, rng) for _ in range(20)])
        assert NoiseModel.from_series(frames, offset=100).gain == pytest.approx(1, rel=0.05)

    def test_filled_borders_are_left_out(self):
        signal = 200 * phantom("cells", 11, 256)
        frames = np.stack([expose(signal, t) for t in range(10)])
        frames[:, :40] = 0
        noise = NoiseModel.from_series(frames, offset=100)
        assert noise.gain == pytest.approx(1, rel=0.05)
        assert noise.read_variance == pytest.approx(4 + ROUNDING, rel=0.1)
        assert any("filled with one value" in warning for warning in noise.warnings)
        assert NoiseModel.from_series(frames).offset == pytest.approx(100, abs=0.5)

    def test_error_is_honest(self):
        fits = []
        for seed in range(24):
            signal = 100 * phantom("cells", seed % 5, 128)
            frames = np.stack([expose(signal, 1000 * seed + t) for t in range(6)])
            fits.append(transfer_of_series(frames, 100.0))
        z = np.array([(fit.gain - 1) / fit.gain_error for fit in fits])
        assert abs(z.mean()) < 0.8
        assert 0.7 < z.std() < 1.4

    def test_a_pair_is_a_series(self):
        signal = 200 * phantom("filaments", 9)
        pair = np.stack([expose(signal, 1), expose(signal, 2)])
        assert NoiseModel.from_series(pair, offset=100).gain == pytest.approx(1, rel=0.08)
        with pytest.raises(InputError, match="1 frame"):
            NoiseModel.from_series(pair[:1])

    def test_without_offset_takes_the_darkest_pixels(self):
        signal = 200 * phantom("filaments", 10, 256)
        frames = np.stack([expose(signal, t) for t in range(10)])
        noise = NoiseModel.from_series(frames)
        assert noise.offset == pytest.approx(100, abs=0.4)
        assert noise.gain == pytest.approx(1, rel=0.05)
        assert "darkest" in noise.source
        assert any("would vanish at" in warning for warning in noise.warnings)

    def test_no_signal_no_gain(self):
        frames = np.stack([expose(np.zeros((128, 128)), t) for t in range(6)])
        with pytest.raises(InputError, match="too little signal"):
            NoiseModel.from_series(frames)


class TestDark:
    def test_fixed_pattern_is_no_noise(self):
        z = []
        for seed in range(40):
            rng = np.random.default_rng(seed)
            pattern = rng.normal(100, 3, (64, 64))
            frames = np.round(pattern + rng.normal(0, 2, (10, 64, 64))).astype(np.uint16)
            noise = NoiseModel.from_dark(frames)
            assert noise.gain is None
            assert noise.warnings == ()
            assert noise.read_variance == pytest.approx(4 + ROUNDING, rel=0.05)
            z.append(
                [
                    (noise.offset - 100) / noise.offset_error,
                    (noise.read_variance - 4 - ROUNDING) / noise.read_variance_error,
                ]
            )
        assert np.all(np.abs(np.mean(z, axis=0)) < 0.8)
        assert np.all((np.std(z, axis=0) > 0.7) & (np.std(z, axis=0) < 1.4))

    @pytest.mark.parametrize("frames", [2, 3, 30])
    def test_hot_pixels_are_left_out(self, frames):
        rng = np.random.default_rng(frames)
        spread = np.full((128, 128), 2.0)
        spread[::16, ::16] = 40.0
        stack = rng.normal(100, spread, (frames, 128, 128))
        noise = NoiseModel.from_dark(stack)
        left = 0.1 if frames > 3 else 0.6  # two frames cannot tell every hot pixel
        assert noise.read_variance == pytest.approx(4, rel=left)
        assert any("hot" in warning for warning in noise.warnings)

    def test_a_light_leak_is_told(self):
        rng = np.random.default_rng(0)
        stack = rng.normal(100, 2, (10, 64, 64)) + np.linspace(0, 5, 10)[:, None, None]
        noise = NoiseModel.from_dark(stack)
        assert any("drifts" in warning for warning in noise.warnings)
        assert noise.read_variance == pytest.approx(4, rel=0.05)

    def test_one_frame_is_too_few(self):
        with pytest.raises(InputError, match="at least 2"):
            NoiseModel.from_dark(expose(np.zeros((64, 64)), 0))

    def test_gain_can_be_added(self):
        dark = np.stack([expose(np.zeros((64, 64)), t, gain=2) for t in range(10)])
        noise = NoiseModel.from_dark(dark)
        image = expose(200 * phantom("filaments", 1), 50, gain=2)
        assert noise.with_gain_from(image).gain == pytest.approx(2, rel=0.1)
        with pytest.raises(InputError, match="type in the gain"):
            noise.with_gain_from(expose(np.zeros((128, 128)), 0))


def recording(name: str) -> np.ndarray:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the recording {name} is not here")
    return tifffile.imread(path)


class TestRecordings:
    def test_telomeres(self):
        frames = recording("widefield2d/telomeres_timelapse.tif")
        noise = NoiseModel.from_series(frames)
        assert noise.gain == pytest.approx(0.43, rel=0.15)
        vanishes_at = noise.offset - noise.read_variance / noise.gain
        assert vanishes_at == pytest.approx(95.8, abs=1)
        assert any("share noise" in warning for warning in noise.warnings)

    def test_deskewed_cell_is_told(self):
        stack = recording("volume/lls_cell_deskewed.tif")
        noise = NoiseModel.from_image(stack[32])
        assert any("filled with one value" in warning for warning in noise.warnings)

    def test_rna_spots(self):
        image = recording("widefield2d/terra_rna_spots.tif")
        noise = NoiseModel.from_image(image, offset=98)
        assert noise.gain == pytest.approx(0.5, rel=0.4)
        assert any("share noise" in warning for warning in noise.warnings)

    def test_reference_with_known_camera(self):
        image = recording("reference2d/raw.tif")
        noise = NoiseModel.from_image(image, offset=100)
        assert noise.gain == pytest.approx(1, rel=0.1)
        assert noise.read_variance == pytest.approx(4 + ROUNDING, rel=0.05)
        second = recording("reference2d/raw_second_exposure.tif")
        assert NoiseModel.from_series(np.stack([image, second]), offset=100).gain == pytest.approx(
            1, rel=0.05
        )


@pytest.mark.parametrize(
    ("errors", "words"),
    [
        ({}, "offset 100 counts, gain 2.123 counts per electron, read noise 1.5 electrons"),
        (
            {"offset_error": 0.021, "gain_error": 0.03},
            "offset 100.03 counts, gain 2.12 counts per electron, read noise 1.5 electrons",
        ),
        (
            {"offset_error": 3.0, "gain_error": 0.5},
            "offset 100 counts, gain 2.1 ± 0.5 counts per electron, read noise 1.5 electrons",
        ),
        ({"gain": None}, "offset 100 counts, gain not measured, read noise 3.2 counts"),
    ],
)
def test_few_words_have_the_digits_that_are_certain(errors, words):
    numbers = {"offset": 100.03, "gain": 2.1234, "read_variance": 10.24}
    assert NoiseModel(**{**numbers, **errors}).brief() == words
