from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_zsdeconvnet.networks.unrolled import UnrolledSteps
from napari_zsdeconvnet.physics import forward
from napari_zsdeconvnet.physics.forward import BlurAndBin, bin_down, enlarge


def spot(radius: int = 6, width: float = 2.0) -> np.ndarray:
    """A PSF that is no mirror image of itself."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    psf = np.exp(-0.5 * (y**2 + (x - 0.5) ** 2) / width**2)
    return (psf / psf.sum()).astype(np.float32)


def blurred_beads(height: int = 48, width: int = 40) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    truth = (torch.rand(2, 1, 2 * height, 2 * width, generator=generator) > 0.98) * 20.0
    return BlurAndBin(spot(), 2)(truth)


def step_by_step(microscope: BlurAndBin, image: Tensor, damping: float, iterations: int) -> Tensor:
    """The equation as it is written down."""
    estimate = leading = enlarge(image, microscope.factor, "linear")
    for step in range(1, iterations + 1):
        ratio = (image + damping) / (microscope(leading) + damping)
        sharper = leading * microscope.adjoint(ratio).clamp(min=0.01) ** 2
        change = (sharper / (estimate + 1e-5)).clamp(0.2, 5.0)
        leading = sharper * change ** ((step - 1) / (step + 2))
        estimate = sharper
    return estimate


@pytest.mark.parametrize("upsampling", [1, 2])
@pytest.mark.parametrize("iterations", [1, 2, 5])
def test_does_what_its_equation_says(iterations: int, upsampling: int):
    image, steps = blurred_beads(), UnrolledSteps(spot(), upsampling, iterations)
    expected = step_by_step(steps.microscope, image, 0.1, iterations)
    torch.testing.assert_close(steps(image, 0.1), expected, rtol=1e-3, atol=1e-4)


def test_bands_do_not_show(monkeypatch: pytest.MonkeyPatch):
    image, steps = blurred_beads()[:1], UnrolledSteps(spot(), 2)
    whole = steps(image, 0.1)
    monkeypatch.setattr(forward, "STRIP", 4 * 80 * 16)
    torch.testing.assert_close(steps(image, 0.1), whole, rtol=1e-4, atol=1e-5)


def test_sharpens_and_explains_the_image_better():
    image, steps = blurred_beads(), UnrolledSteps(spot(), 2)
    before, after = enlarge(image, 2, "linear"), steps(image, 0.01)
    unexplained = [(image - steps.microscope(one)).square().sum() for one in (before, after)]
    assert float(unexplained[1]) < 0.5 * float(unexplained[0])
    assert float(after.max()) > 2 * float(before.max())


def test_a_flat_image_stays_flat_up_to_its_edges():
    flat = torch.full((1, 1, 24, 28), 3.0)
    np.testing.assert_allclose(UnrolledSteps(spot(), 2)(flat, 0.1), 3.0, rtol=1e-4)


def test_without_an_exponent_the_light_is_kept():
    image = blurred_beads()
    sharper = bin_down(UnrolledSteps(spot(), 2, exponent=1.0)(image, 0.01), 2)
    assert float(sharper.mean()) == pytest.approx(float(image.mean()), rel=0.02)


def test_the_image_itself_is_left_alone_and_gets_no_gradient():
    image = blurred_beads().requires_grad_()
    before = image.detach().clone()
    assert not UnrolledSteps(spot(), 2)(image, 0.1).requires_grad
    torch.testing.assert_close(image.detach(), before)
