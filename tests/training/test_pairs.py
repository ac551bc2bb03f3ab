"""Statistics here are bounded by five standard errors, unless stated otherwise."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter
from watched import Watched

from napari_zsdeconvnet.model.presets import PRESETS, Preset
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.noise.recorruption import MEAN_RADIUS, local_mean, noise_variance, recorrupt
from napari_zsdeconvnet.training.pairs import RecorruptedPatches
from napari_zsdeconvnet.training.patches import CELL, SIGNAL_SHARE

CPU = torch.device("cpu")
NOISE = NoiseModel(offset=100, gain=2.0, read_variance=9.0)
SMALL = replace(
    PRESETS["fast"],
    patch=32,
    batch=8,
    magnitude=(1.0, 2.0),
    shot_noise=(0.5, 1.5),
    read_noise=(0.8, 1.2),
)


def patches(
    *images: np.ndarray,
    noise: NoiseModel = NOISE,
    scale: float = 1.0,
    preset: Preset = SMALL,
    seed: int = 0,
    multiple: int = 1,
) -> RecorruptedPatches:
    frames = [image if image.ndim > 2 else image[None] for image in images]
    return RecorruptedPatches(
        frames,
        noise,
        scale,
        preset,
        patch=(preset.patch, preset.patch),
        batch=preset.batch,
        device=CPU,
        seed=seed,
        multiples=(multiple, multiple),
    )


def exactly(preset: Preset = SMALL, **changes: object) -> Preset:
    """With alpha, beta1 and beta2 at their expected values, to take a pair apart again."""
    fixed = {"magnitude": (1.0, 1.0), "shot_noise": (1.0, 1.0), "read_noise": (1.0, 1.0)}
    return replace(preset, **{**fixed, **changes})


def quiet() -> NoiseModel:
    """So little noise that a pair is the image itself."""
    return NoiseModel(offset=0, gain=1e-9, read_variance=0)


def taken_apart(source: RecorruptedPatches) -> tuple[np.ndarray, np.ndarray]:
    """Image and noise map of a pair made with alpha 1: y + z and y - z."""
    pair = source.draw()
    return (
        ((pair.input + pair.target) / 2)[:, 0].numpy(),
        ((pair.input - pair.target) / 2)[:, 0].numpy(),
    )


class TestEquation2:
    size = 400_000

    def pair(self, assumed: float, magnitude: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Errors of both halves, for true noise of variance 16."""
        generator = torch.Generator().manual_seed(3)
        noisy = 50 + 4 * torch.randn(self.size, generator=generator)
        variance = torch.full((self.size,), assumed)
        halves = recorrupt(noisy, variance, torch.tensor(magnitude), generator)
        return halves[0] - 50, halves[1] - 50

    @pytest.mark.parametrize("magnitude", [1.0, 1.4, 2.0])
    def test_noises_are_uncorrelated_where_the_calibration_is_right(self, magnitude: float):
        one, other = self.pair(16.0, magnitude)
        r = float(torch.corrcoef(torch.stack([one, other]))[0, 1])
        assert abs(r) < 5 / math.sqrt(self.size)

    @pytest.mark.parametrize(("assumed", "sign"), [(8.0, 1), (32.0, -1)])
    def test_noises_are_correlated_where_it_is_wrong(self, assumed: float, sign: int):
        # At alpha 1 the covariance is the true variance less the assumed one.
        one, other = self.pair(assumed, 1.0)
        r = float(torch.corrcoef(torch.stack([one, other]))[0, 1])
        assert r == pytest.approx((16 - assumed) / (16 + assumed), abs=5 / math.sqrt(self.size))
        assert np.sign(r) == sign

    @pytest.mark.parametrize("magnitude", [1.0, 2.0])
    def test_variances_are_those_of_the_equation_and_means_are_kept(self, magnitude: float):
        one, other = self.pair(16.0, magnitude)
        error = 5 * math.sqrt(2 / self.size)
        assert float(one.var()) == pytest.approx(16 + 16 * magnitude**2, rel=error)
        assert float(other.var()) == pytest.approx(16 + 16 / magnitude**2, rel=error)
        for half in (one, other):
            assert abs(float(half.mean())) < 5 * float(half.std()) / math.sqrt(self.size)

    def test_poisson_shot_noise_with_its_gain_is_matched(self):
        generator = np.random.default_rng(0)
        mean = generator.uniform(5, 50, size=(500, 500))
        counts = 2.0 * generator.poisson(mean) + generator.normal(0, 3, mean.shape)
        noisy = torch.from_numpy(counts)
        truth = torch.from_numpy(2 * mean)
        for gain, bound in ((2.0, None), (1.0, 0.05)):
            variance = noise_variance(truth, gain, 9.0)
            halves = recorrupt(noisy, variance, torch.tensor(1.0), torch.Generator().manual_seed(1))
            errors = torch.stack([(half - truth).flatten() for half in halves])
            r = float(torch.corrcoef(errors)[0, 1])
            if bound is None:
                assert abs(r) < 5 / math.sqrt(noisy.numel())
            else:
                assert r > bound


class TestEquation3:
    def test_variance_is_linear_in_the_smoothed_signal_and_never_negative(self):
        smoothed = torch.tensor([-100.0, -1.0, 0.0, 10.0])
        variance = noise_variance(smoothed, 2.0, 9.0)
        np.testing.assert_allclose(variance, [0, 7, 9, 29])

    def test_the_mean_is_over_5_by_5_pixels(self):
        image = np.random.default_rng(0).random((20, 30))
        smoothed = local_mean(torch.from_numpy(image)[None, None])[0, 0]
        np.testing.assert_allclose(smoothed, uniform_filter(image, 5)[2:-2, 2:-2], rtol=1e-9)


class TestNoiseOfPatches:
    def test_alpha_stays_in_its_range_and_fills_it(self):
        source = patches(np.full((64, 64), 150.0, np.float32), scale=50.0)
        alphas = []
        for _ in range(25):
            pair = source.draw()
            added, taken = (pair.input - 1).double(), (1 - pair.target).double()
            # y + alpha z and y - z / alpha: the ratio of what was added is alpha squared.
            ratio = (added.square().sum((1, 2, 3)) / taken.square().sum((1, 2, 3))).sqrt()
            alphas += ratio.sqrt().tolist()
        assert 1 <= min(alphas) < 1.05
        assert 1.95 < max(alphas) <= 2
        assert np.mean(alphas) == pytest.approx(1.5, abs=5 * math.sqrt(1 / 12 / len(alphas)))

    @pytest.mark.parametrize(
        ("level", "noise", "expected", "limits"),
        [
            # Only shot noise, then only read noise.
            (300.0, NoiseModel(offset=100, gain=2.0, read_variance=0.0), 400.0, (0.5, 1.5)),
            (100.0, NoiseModel(offset=100, gain=2.0, read_variance=9.0), 9.0, (0.8, 1.2)),
        ],
    )
    def test_beta_stays_in_its_range_and_fills_it(self, level, noise, expected, limits):
        preset = replace(SMALL, magnitude=(1.0, 1.0))
        source = patches(np.full((64, 64), level, np.float32), noise=noise, preset=preset)
        betas = np.concatenate(
            [taken_apart(source)[1].var(axis=(1, 2)) / expected for _ in range(30)]
        )
        error = 5 * math.sqrt(2 / 32**2)
        low, high = limits
        assert low * (1 - error) < betas.min() < low + 0.1 * (high - low) + error
        assert high - 0.1 * (high - low) - error < betas.max() < high * (1 + error)

    def test_the_noise_follows_the_image_pixel_by_pixel(self):
        image = np.full((96, 96), 100.0, np.float32)
        image[:, 48:] = 500
        source = patches(image, preset=exactly(batch=8))
        ratios: dict[str, list[np.ndarray]] = {"dark": [], "edge": [], "bright": []}
        for _ in range(20):
            for signal, noise in zip(*taken_apart(source), strict=True):
                variance = 2.0 * uniform_filter(signal, 5) + 9.0
                inner = np.s_[MEAN_RADIUS:-MEAN_RADIUS, MEAN_RADIUS:-MEAN_RADIUS]
                ratio = (noise**2 / variance)[inner]
                where = variance[inner]
                ratios["dark"].append(ratio[where < 10])
                ratios["edge"].append(ratio[(where > 10) & (where < 808)])
                ratios["bright"].append(ratio[where > 808])
        for name, parts in ratios.items():
            together = np.concatenate(parts)
            assert together.size > 1000, name
            assert together.mean() == pytest.approx(1, abs=5 * math.sqrt(2 / together.size)), name

    def test_the_rim_of_a_patch_knows_what_lies_around_it(self):
        # At a patch's own edge H still averages 25 true pixels of the image.
        numbers = 500 + np.random.default_rng(0).permutation(34 * 34).reshape(34, 34)
        image = numbers.astype(np.float32)
        smoothed = np.zeros(image.size + 500)
        smoothed[numbers] = uniform_filter(image, 5, mode="mirror")
        source = patches(image, noise=quiet(), preset=exactly(batch=400))
        loud = patches(image, noise=NoiseModel(0, 1.0, 0), preset=exactly(batch=400))
        # The same seed: the same crops, turned alike. A pixel's number says where it was.
        signal, noise = taken_apart(source)[0], taken_apart(loud)[1]
        ratio = noise**2 / smoothed[np.rint(signal).astype(int)]
        for rim in (ratio[:, 0], ratio[:, -1], ratio[:, :, 0], ratio[:, :, -1]):
            assert rim.mean() == pytest.approx(1, abs=5 * math.sqrt(2 / rim.size))

    def test_scale_and_offset_normalise_both_halves(self):
        source = patches(np.full((40, 40), 300.0, np.float32), scale=400.0, preset=exactly())
        signal, noise = taken_apart(source)
        np.testing.assert_allclose(signal, 0.5, atol=1e-6)
        # Variance in counts: 2 * 200 + 9.
        assert noise.var() == pytest.approx(409 / 400**2, rel=5 * math.sqrt(2 / noise.size))


class TestPlaces:
    numbers = np.arange(64 * 80, dtype=np.float32).reshape(64, 80)

    def test_patches_are_crops_in_all_eight_right_angled_positions(self):
        source = patches(self.numbers, noise=quiet(), preset=exactly(batch=64))
        signal, _noise = taken_apart(source)
        seen = set()
        for patch in np.rint(signal).astype(int):
            rows, columns = np.divmod(patch, 80)
            steps = [
                (int(np.diff(index, axis=axis).min()), int(np.diff(index, axis=axis).max()))
                for index in (rows, columns)
                for axis in (0, 1)
            ]
            assert all(low == high for low, high in steps), "not a crop"
            assert sorted(abs(low) for low, _ in steps) == [0, 0, 1, 1]
            seen.add(tuple(low for low, _ in steps))
        assert len(seen) == 8

    def test_all_of_the_image_is_drawn_also_its_borders(self):
        source = patches(self.numbers, noise=quiet(), preset=exactly(batch=64))
        seen: set[int] = set()
        for _ in range(8):
            seen.update(np.rint(taken_apart(source)[0]).astype(int).ravel().tolist())
        assert seen == set(range(64 * 80))

    def test_patches_seek_the_signal_and_keep_some_background(self):
        image = np.full((256, 256), 100.0, np.float32)
        image[64:128, 128:192] = 1100  # a sixteenth of the area
        source = patches(image, noise=replace(NOISE, gain=1e-9), preset=exactly(batch=500))
        signal, _noise = taken_apart(source)
        # Patches of 32 pixels are centred within the block or just beside it.
        bright = (signal.max(axis=(1, 2)) > 500).mean()
        nearby = ((64 + 32) / 256) ** 2
        expected = SIGNAL_SHARE + (1 - SIGNAL_SHARE) * nearby
        assert bright == pytest.approx(expected, abs=5 * math.sqrt(expected * (1 - expected) / 500))
        assert 1 - bright > 0.15

    def test_without_signal_patches_fall_everywhere_alike(self):
        image = np.full((128, 128), 90.0, np.float32)  # below the offset
        image[:64] = 80
        source = patches(image, noise=replace(NOISE, gain=1e-9), preset=exactly(batch=400))
        signal, _noise = taken_apart(source)
        upper = (signal.mean(axis=(1, 2)) < -15).mean()
        assert upper == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(400))

    def test_every_frame_of_every_image_takes_part_whatever_its_size(self):
        first = np.stack([np.full((70, 50), level, np.float32) for level in (200, 210, 220)])
        second = np.full((40, 90), 230.0, np.float32)
        source = patches(first, second, noise=quiet(), preset=exactly(batch=200))
        assert source.patch == (32, 32)
        signal, _noise = taken_apart(source)
        levels, counts = np.unique(np.rint(signal[:, 0, 0]), return_counts=True)
        assert levels.tolist() == [200, 210, 220, 230]
        # Alike in brightness, so in proportion to the number of cells: 4 x 3 and 2 x 5.
        shares = np.array([12, 12, 12, 10]) / 46
        assert np.all(np.abs(counts / 200 - shares) < 5 * np.sqrt(shares * (1 - shares) / 200))

    def test_a_patch_shrinks_to_the_smallest_image_and_stays_divisible(self):
        image = np.full((50, 300), 200.0, np.float32)
        preset = replace(SMALL, patch=96)
        assert patches(image, preset=preset).patch == (50, 50)
        assert patches(image, preset=preset, multiple=16).draw().input.shape == (8, 1, 48, 48)

    def test_only_the_patches_are_read(self):
        series = Watched(np.full((30, 64, 64), 150, np.uint16), most=64 * 64)
        source = patches(series, preset=exactly(), scale=50.0)
        np.testing.assert_allclose(taken_apart(source)[0], 1.0, atol=1e-6)

    def test_a_cell_is_drawn_as_often_as_its_signal_says(self):
        generator = np.random.default_rng(0)
        image = np.kron(generator.uniform(100, 400, (4, 4)), np.ones((CELL, CELL)))
        source = patches(image.astype(np.float32))
        counts = np.zeros((4, 4))
        for _ in range(4000):
            _index, _frame, (row, column) = source._place()
            counts[row // CELL, column // CELL] += 1
        signal = image[::CELL, ::CELL] - 100
        expected = SIGNAL_SHARE * signal / signal.sum() + (1 - SIGNAL_SHARE) / 16
        error = 5 * np.sqrt(expected * (1 - expected) / 4000)
        assert np.all(np.abs(counts / 4000 - expected) < error)


class TestSeed:
    image = np.random.default_rng(0).uniform(100, 300, (64, 64)).astype(np.float32)

    def test_the_same_seed_gives_the_same_pairs(self):
        one, other = patches(self.image, seed=5), patches(self.image, seed=5)
        for _ in range(3):
            a, b = one.draw(), other.draw()
            assert torch.equal(a.input, b.input)
            assert torch.equal(a.target, b.target)

    def test_another_seed_gives_others(self):
        one, other = patches(self.image, seed=5).draw(), patches(self.image, seed=6).draw()
        assert not torch.equal(one.input, other.input)

    def test_no_two_draws_are_alike(self):
        source = patches(self.image)
        assert not torch.equal(source.draw().input, source.draw().input)

    def test_goes_on_where_its_random_state_was_taken(self):
        source = patches(self.image, seed=5)
        source.draw()
        state = source.random_state()
        expected = [source.draw().input for _ in range(2)]
        later = patches(self.image, seed=99)
        later.set_random_state(state)
        for pair in expected:
            assert torch.equal(later.draw().input, pair)

    def test_leaves_the_random_numbers_of_others_alone(self):
        before = torch.random.get_rng_state()
        patches(self.image).draw()
        assert torch.equal(torch.random.get_rng_state(), before)
