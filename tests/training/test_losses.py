from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_zsdeconvnet.training.losses import (
    combined_loss,
    fidelity,
    hessian_penalty,
)

SHAPE = (2, 1, 7, 9)


def random_images(number: int, seed: int = 0) -> list[torch.Tensor]:
    generator = np.random.default_rng(seed)
    return [torch.from_numpy(generator.normal(size=SHAPE).astype("f4")) for _ in range(number)]


def mean_square(one: torch.Tensor, other: torch.Tensor) -> float:
    """The norm of equations 5 and 6 as a plain loop in double precision."""
    total = 0.0
    for a, b in zip(one.flatten().tolist(), other.flatten().tolist(), strict=True):
        total += (a - b) ** 2
    return total / one.numel()


def hessian_by_loops(images: torch.Tensor) -> float:
    """R of equation 6: f_xx^2 + f_yy^2 + 2 f_xy^2, the mean of each over where it exists."""
    yy, xx, xy = [], [], []
    for frame in images[:, 0].double().numpy():
        height, width = frame.shape
        for y in range(height):
            for x in range(width):
                if 0 < y < height - 1:
                    yy.append((frame[y + 1, x] - 2 * frame[y, x] + frame[y - 1, x]) ** 2)
                if 0 < x < width - 1:
                    xx.append((frame[y, x + 1] - 2 * frame[y, x] + frame[y, x - 1]) ** 2)
                if y < height - 1 and x < width - 1:
                    across = frame[y + 1, x + 1] - frame[y + 1, x] - frame[y, x + 1] + frame[y, x]
                    xy.append(across**2)
    return float(np.mean(xx) + np.mean(yy) + 2 * np.mean(xy))


class TestEquations5And6:
    def test_is_the_mean_square_of_the_difference(self):
        prediction, target = random_images(2)
        assert float(fidelity(prediction, target)) == pytest.approx(
            mean_square(prediction, target), rel=1e-6
        )

    def test_can_be_the_mean_absolute_difference(self):
        prediction, target = random_images(2)
        expected = np.abs(prediction.double().numpy() - target.double().numpy()).mean()
        assert float(fidelity(prediction, target, "absolute")) == pytest.approx(expected, rel=1e-6)

    def test_double_precision_is_kept(self):
        (target,) = (image.double() for image in random_images(1))
        value = fidelity(target + 1e-12, target)
        assert value.dtype == torch.float64
        assert float(value) == pytest.approx(1e-24, rel=1e-3)

    def test_half_precision_predictions_are_compared_in_single_precision(self):
        prediction, target = random_images(2)
        rounded = prediction.bfloat16()
        value = fidelity(rounded, target)
        assert value.dtype == torch.float32
        assert float(value) == pytest.approx(mean_square(rounded.float(), target), rel=1e-6)


def test_the_squared_norm_seeks_the_mean_and_the_absolute_one_the_median():
    noisy = torch.from_numpy(np.random.default_rng(0).exponential(size=4001).astype("f4"))
    levels = torch.linspace(0.3, 1.5, 601)
    for norm, middle in (("squared", noisy.mean()), ("absolute", noisy.median())):
        best = levels[np.argmin([float(fidelity(level, noisy, norm)) for level in levels])]
        assert float(best) == pytest.approx(float(middle), abs=0.003)


class TestHessianPenalty:
    def test_is_the_sum_over_the_second_differences(self):
        (image,) = random_images(1)
        assert float(hessian_penalty(image)) == pytest.approx(hessian_by_loops(image), rel=1e-6)

    def test_a_plane_has_none(self):
        y, x = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
        assert float(hessian_penalty((3 * y - 2 * x + 5)[None, None])) == 0

    def test_known_curvatures(self):
        y, x = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
        assert float(hessian_penalty((y**2)[None, None])) == 4
        assert float(hessian_penalty((x**2)[None, None])) == 4
        assert float(hessian_penalty((x * y)[None, None])) == 2

    def test_the_published_program_takes_half_of_it(self):
        # There each of f_xx, f_yy, f_xy and f_yx enters as half of its mean square, so that
        # the published weight of 0.02 is our 0.01.
        (image,) = random_images(1)
        image = image[:1]
        f = image[0, 0].double().numpy()
        f_xy = np.diff(np.diff(f, axis=0), axis=1)
        seconds = [np.diff(f, n=2, axis=0), np.diff(f, n=2, axis=1), f_xy, f_xy]
        published = sum(0.5 * (second**2).mean() for second in seconds)
        assert 0.01 * float(hessian_penalty(image)) == pytest.approx(0.02 * published, rel=1e-6)

    def test_turning_and_flipping_do_not_change_it(self):
        (image,) = random_images(1)
        expected = float(hessian_penalty(image))
        for turned in (image.rot90(1, (2, 3)), image.flip(2), image.flip(3)):
            assert float(hessian_penalty(turned)) == pytest.approx(expected, rel=1e-6)


def test_equation_4_weighs_the_terms():
    denoising, deconvolution, hessian = (torch.tensor(value) for value in (0.3, 0.7, 11.0))
    total = combined_loss(
        denoising, deconvolution, hessian, denoising_weight=0.2, hessian_weight=0.05
    )
    assert float(total) == pytest.approx(0.2 * 0.3 + 0.8 * (0.7 + 0.05 * 11.0), rel=1e-6)
    published = combined_loss(denoising, deconvolution, hessian)
    assert float(published) == pytest.approx(0.5 * 0.3 + 0.5 * (0.7 + 0.02 * 11.0), rel=1e-6)
