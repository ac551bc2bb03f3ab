from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy import signal

from napari_zsdeconvnet.physics.forward import Blur, BlurAndBin, bin_down, continued, remaining_blur
from napari_zsdeconvnet.psf.psf import PSF


def lopsided_psf(*shape: int, seed: int = 0) -> np.ndarray:
    """Random, so that no flip or transposition of it is itself."""
    psf = np.random.default_rng(seed).random(shape)
    return (psf / psf.sum()).astype(np.float32)


def random_image(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((2, 1, *shape), dtype=np.float32))


def convolved(image: torch.Tensor, psf: np.ndarray) -> np.ndarray:
    """Do the same with SciPy, in double precision, on an image continued by reflection."""
    rims = [(size // 2, size // 2) for size in psf.shape]
    padded = [np.pad(frame[0].double().numpy(), rims, mode="reflect") for frame in image]
    kernel = psf.astype(np.float64)
    return np.array([signal.convolve(frame, kernel, mode="valid")[None] for frame in padded])


def convolved_far(image: torch.Tensor, psf: np.ndarray) -> np.ndarray:
    """Do the same where the PSF reaches farther than the image can be reflected."""
    rims = [(size // 2, size // 2) for size in psf.shape]
    padded = continued(image.double(), rims)[:, 0].numpy()
    kernel = psf.astype(np.float64)
    return np.array([signal.convolve(frame, kernel, mode="valid")[None] for frame in padded])


class TestBlur:
    @pytest.mark.parametrize("direct", [True, False])
    @pytest.mark.parametrize(
        ("image", "psf"),
        [((20, 20), (5, 5)), ((24, 31), (3, 9)), ((31, 24), (15, 7)), ((40, 18), (1, 3))],
    )
    def test_is_the_convolution_that_scipy_computes(self, image, psf, direct: bool):
        frames, kernel = random_image(*image), lopsided_psf(*psf)
        blurred = Blur(kernel, direct=direct)(frames)
        np.testing.assert_allclose(blurred, convolved(frames, kernel), atol=1e-5)

    @pytest.mark.parametrize("direct", [True, False])
    def test_a_point_becomes_the_psf_itself_not_its_mirror_image(self, direct: bool):
        psf = lopsided_psf(7, 9)
        point = torch.zeros(1, 1, 21, 25)
        point[..., 10, 12] = 1
        blurred = Blur(psf, direct=direct)(point)[0, 0]
        np.testing.assert_allclose(blurred[7:14, 8:17], psf, atol=1e-6)
        assert float(blurred.sum()) == pytest.approx(1, abs=1e-5)

    def test_fft_and_direct_sum_agree(self):
        frames, psf = random_image(48, 52), lopsided_psf(33, 17)
        directly = Blur(psf, direct=True)(frames)
        by_fft = Blur(psf, direct=False)(frames)
        assert float((directly - by_fft).abs().max()) < 1e-5

    def test_the_way_is_chosen_by_the_number_of_taps(self):
        assert Blur(lopsided_psf(7, 7)).direct
        assert not Blur(lopsided_psf(9, 9)).direct

    @pytest.mark.parametrize("direct", [True, False])
    @pytest.mark.parametrize("reach", [(6, 6), (4, 9), (0, 12)])
    def test_inside_the_reach_the_image_is_its_own_context(self, reach, direct: bool):
        frames, blur = random_image(60, 64), Blur(lopsided_psf(13, 13), direct=direct)
        whole = blur(frames)
        part = blur(frames[..., 10:50, 10:54], reach)
        inner = tuple(slice(max(width, 6), -max(width, 6)) for width in reach)
        np.testing.assert_allclose(
            part[..., *inner], whole[..., 10:50, 10:54][..., *inner], atol=1e-5
        )
        assert part.shape == (2, 1, 40, 44)

    @pytest.mark.parametrize("direct", [True, False])
    def test_what_lies_beyond_the_reach_is_continued_by_reflection(self, direct: bool):
        # The reach of 2 is less than the radius of 6: the other 4 pixels are reflected.
        frames, psf = random_image(30, 30), lopsided_psf(13, 13)
        part = Blur(psf, direct=direct)(frames, (2, 2))
        rim = 4
        padded = np.pad(frames[:, 0].double().numpy(), [(0, 0), (rim, rim), (rim, rim)], "reflect")
        expected = [signal.convolve(frame, psf.astype(float), mode="valid") for frame in padded]
        np.testing.assert_allclose(part[:, 0, 2:-2, 2:-2], expected, atol=1e-5)

    @pytest.mark.parametrize("direct", [True, False])
    @pytest.mark.parametrize("size", [(64, 48), (3, 5), (1, 1)])
    def test_a_flat_image_stays_flat_even_under_a_wider_psf(self, size, direct: bool):
        flat = torch.full((1, 1, *size), 7.0)
        blurred = Blur(lopsided_psf(31, 21), direct=direct)(flat)
        assert blurred.shape == flat.shape
        np.testing.assert_allclose(blurred, 7.0, rtol=1e-5)

    def test_light_away_from_the_edges_is_kept(self):
        image = torch.zeros(1, 1, 80, 90)
        image[..., 30:50, 30:60] = random_image(20, 30)[:1]
        blurred = Blur(lopsided_psf(25, 25))(image)
        assert float(blurred.sum()) == pytest.approx(float(image.sum()), rel=1e-5)

    def test_images_of_changing_size_each_get_their_own_transfer_function(self):
        psf = lopsided_psf(11, 11)
        blur = Blur(psf)
        for size in ((30, 40), (40, 30), (30, 40), (96, 64)):
            frames = random_image(*size)
            np.testing.assert_allclose(blur(frames), convolved(frames, psf), atol=1e-5)

    @pytest.mark.parametrize("direct", [True, False])
    def test_half_precision_is_blurred_in_single_precision(self, direct: bool):
        blur = Blur(lopsided_psf(5, 5), direct=direct)
        image = random_image(20, 20).bfloat16()
        blurred = blur(image)
        assert blurred.dtype == torch.float32
        np.testing.assert_allclose(blurred, blur(image.float()), atol=1e-6)

    @pytest.mark.parametrize("direct", [True, False])
    def test_double_precision_is_kept_and_single_stays_what_it_was(self, direct: bool):
        psf, image = lopsided_psf(9, 7), random_image(20, 20)
        blur = Blur(psf, direct=direct)
        single = blur(image)
        double = blur(image.double())
        assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
        np.testing.assert_allclose(double, convolved(image, psf), rtol=1e-12)
        np.testing.assert_array_equal(blur(image), single)

    @pytest.mark.parametrize("direct", [True, False])
    def test_gradients_are_the_correlation_with_the_psf(self, direct: bool):
        # <blur(x), y> is linear in x, and its gradient the blur's transpose applied to y.
        psf, weights = lopsided_psf(7, 5), torch.zeros(1, 1, 30, 30)
        weights[..., 15, 15] = 1
        image = random_image(30, 30)[:1].requires_grad_()
        (Blur(psf, direct=direct)(image) * weights).sum().backward()
        np.testing.assert_allclose(image.grad[0, 0, 12:19, 13:18], psf[::-1, ::-1], atol=1e-6)

    def test_volumes_are_blurred_along_all_three_axes(self):
        psf, volume = lopsided_psf(3, 5, 7), random_image(9, 12, 15)
        for direct in (True, False):
            blurred = Blur(psf, direct=direct)(volume)
            np.testing.assert_allclose(blurred, convolved(volume, psf), atol=1e-5)


class TestBinDown:
    def test_is_the_mean_of_each_block(self):
        image = random_image(6, 8)
        binned = bin_down(image, 2)
        for y in range(3):
            for x in range(4):
                block = image[..., 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean(dim=(-2, -1))
                np.testing.assert_allclose(binned[..., y, x], block, rtol=1e-6)

    def test_a_flat_image_keeps_its_counts(self):
        np.testing.assert_array_equal(bin_down(torch.full((1, 1, 8, 8), 42.0), 2), 42.0)

    def test_factor_one_changes_nothing(self):
        image = random_image(5, 5)
        assert bin_down(image, 1) is image


def test_a_copy_shares_nothing_with_its_original_and_does_the_same():
    blur, image = Blur(lopsided_psf(11, 11)), random_image(30, 30)
    with torch.inference_mode():
        expected = blur(image)
    copied = copy.deepcopy(blur)
    assert not copied._transfer
    np.testing.assert_array_equal(copied(image), expected)


@pytest.mark.parametrize("blocks", [True, False])
class TestBlurAndBin:
    """The microscope in one pass, by blocks and by FFT: both must be the same operator."""

    @pytest.mark.parametrize("factor", [1, 2, 3])
    @pytest.mark.parametrize(
        ("size", "psf"), [((48, 60), (5, 5)), ((54, 42), (25, 9)), ((6, 12), (7, 3))]
    )
    def test_is_the_blur_then_the_binning(self, size, psf, factor: int, blocks: bool):
        image, kernel = random_image(*size), lopsided_psf(*psf)
        expected = bin_down(torch.from_numpy(convolved_far(image, kernel)), factor)
        seen = BlurAndBin(kernel, factor, blocks=blocks)(image)
        assert seen.dtype == torch.float32
        np.testing.assert_allclose(seen, expected, atol=2e-6)

    @pytest.mark.parametrize("factor", [1, 2, 3])
    @pytest.mark.parametrize("psf", [(5, 5), (25, 9), (9, 7)])
    def test_the_way_back_is_its_adjoint(self, psf, factor: int, blocks: bool):
        # Of images that are dark near the edges, whose continuation then has no say.
        operator = BlurAndBin(lopsided_psf(*psf), factor, blocks=blocks)
        fine, raw = torch.zeros(1, 1, 120, 96), torch.zeros(1, 1, 120 // factor, 96 // factor)
        rim = 36
        inner = tuple(length - 2 * rim for length in fine.shape[2:])
        fine[..., rim:-rim, rim:-rim] = random_image(*inner)[:1]
        dark = rim // factor
        raw[..., dark:-dark, dark:-dark] = random_image(*inner, seed=2)[
            :1, :, : raw.shape[2] - 2 * dark, : raw.shape[3] - 2 * dark
        ]
        there = float((operator(fine).double() * raw).sum())
        back = float((fine * operator.adjoint(raw).double()).sum()) / factor**2
        assert there == pytest.approx(back, rel=1e-6)
        assert there > 0.1

    def test_keeps_the_light_both_ways(self, blocks: bool):
        operator = BlurAndBin(lopsided_psf(13, 17), 2, blocks=blocks)
        image = torch.zeros(1, 1, 96, 96)
        image[..., 32:64, 32:64] = random_image(32, 32)[:1]
        total = float(image.double().sum())
        assert 4 * float(operator(image).double().sum()) == pytest.approx(total, rel=1e-6)
        assert float(operator.adjoint(image).double().sum()) == pytest.approx(4 * total, rel=1e-6)

    @pytest.mark.parametrize("size", [(64, 48), (6, 10), (2, 2)])
    def test_a_flat_image_stays_flat_up_to_its_edges(self, size, blocks: bool):
        operator = BlurAndBin(lopsided_psf(21, 11), 2, blocks=blocks)
        flat = torch.full((1, 1, *size), 7.0)
        np.testing.assert_allclose(operator(flat), 7.0, rtol=2e-6)
        np.testing.assert_allclose(operator.adjoint(flat), 7.0, rtol=2e-6)

    def test_a_lopsided_psf_is_turned_round_on_the_way_back(self, blocks: bool):
        psf = lopsided_psf(7, 9)
        point = torch.zeros(1, 1, 21, 25)
        point[..., 10, 12] = 1
        operator = BlurAndBin(psf, 1, blocks=blocks)
        np.testing.assert_allclose(operator(point)[0, 0, 7:14, 8:17], psf, atol=1e-6)
        back = operator.adjoint(point)[0, 0, 7:14, 8:17]
        np.testing.assert_allclose(back, psf[::-1, ::-1], atol=1e-6)

    def test_gradients_are_those_of_the_adjoint(self, blocks: bool):
        operator = BlurAndBin(lopsided_psf(7, 5), 2, blocks=blocks)
        weights = torch.zeros(1, 1, 20, 20)
        weights[..., 8:12, 9] = random_image(4, 1)[:1, :, :, 0]
        image = random_image(40, 40)[:1].requires_grad_()
        (operator(image) * weights).sum().backward()
        np.testing.assert_allclose(image.grad, operator.adjoint(weights) / 4, atol=1e-6)

    def test_computes_in_full_width_amid_half_width_numbers(self, blocks: bool):
        operator, image = BlurAndBin(lopsided_psf(7, 5), 2, blocks=blocks), random_image(32, 32)
        expected, back = operator(image), operator.adjoint(image)
        with torch.autocast("cpu", torch.bfloat16):
            np.testing.assert_array_equal(operator(image), expected)
            np.testing.assert_array_equal(operator.adjoint(image), back)
        assert operator(image.double()).dtype == torch.float64

    def test_adds_nothing_to_a_file_of_weights(self, blocks: bool):
        assert not BlurAndBin(lopsided_psf(7, 5), 2, blocks=blocks).state_dict()


@pytest.mark.parametrize(
    ("psf", "factor", "blocks"),
    [((25, 25), 2, True), ((33, 33), 2, True), ((49, 49), 2, False), ((25, 25), 1, False)],
)
def test_blocks_are_taken_where_they_were_measured_to_be_faster(psf, factor: int, blocks: bool):
    assert BlurAndBin(lopsided_psf(*psf), factor).blocks == blocks


class TestRemainingBlur:
    """What is left to blur of a structure that is shown through a Gaussian."""

    @staticmethod
    def gaussian(width: float, size: int = 65) -> np.ndarray:
        places = np.arange(size) - size // 2
        line = np.exp(-4 * np.log(2) * (places / width) ** 2)
        return np.outer(line, line) / line.sum() ** 2

    def test_none_stated_leaves_the_psf_as_it_is(self):
        psf = self.gaussian(6.0)
        np.testing.assert_allclose(remaining_blur(psf, None), psf, rtol=1e-6, atol=1e-12)

    def test_of_gaussians_it_is_the_one_whose_square_is_their_difference(self):
        found = remaining_blur(self.gaussian(5.0), (3.0, 3.0))
        np.testing.assert_allclose(found, self.gaussian(4.0), atol=0.03 * found.max())

    def test_both_in_turn_are_the_psf(self):
        psf = PSF.simulate(na=1.3, wavelength=0.525, pixel_size=0.0313)
        width = tuple(0.5 * fwhm / step for fwhm, step in zip(psf.fwhm, psf.steps, strict=True))
        kernel = remaining_blur(psf.array, width)
        assert kernel.sum() == pytest.approx(1)
        again = signal.fftconvolve(kernel, self.gaussian(width[0]), "same")
        np.testing.assert_allclose(again, psf.array, atol=0.01 * psf.array.max())
