from __future__ import annotations

import pytest
import torch

from napari_zsdeconvnet.networks.informed import STATED, InformedNetwork, binned
from napari_zsdeconvnet.networks.pretrained import load_pretrained
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.physics import row_blocks
from napari_zsdeconvnet.psf.psf import PSF

NOISE = NoiseModel(100.0, 1.0, 4.0, source="test")


@pytest.fixture(scope="module")
def psf() -> PSF:
    return PSF.simulate(na=1.3, wavelength=0.525, pixel_size=0.0313)


@pytest.fixture(scope="module")
def network(psf: PSF) -> InformedNetwork:
    network = InformedNetwork(psf)
    load_pretrained(network, "informed")
    network.expect_noise(NOISE, 50.0)
    return network.eval()


def test_it_states_half_the_width_of_the_psf(network: InformedNetwork, psf: PSF):
    assert network.stated_width == pytest.approx(
        [STATED * width / step for width, step in zip(psf.fwhm, psf.steps, strict=True)]
    )


def test_the_psf_of_raw_pixels_is_centred_and_keeps_the_light(psf: PSF):
    coarse = binned(psf.cropped(31).array, 2)
    assert coarse.sum() == pytest.approx(1)
    assert coarse.argmax() == coarse.size // 2
    assert coarse == pytest.approx(coarse[::-1, ::-1], abs=1e-6)


def test_a_flat_image_without_noise_stays_flat(network: InformedNetwork):
    with torch.no_grad():
        denoised, deconvolved = network(torch.full((1, 1, 64, 64), 0.5))
    inner = (..., slice(16, -16), slice(16, -16))
    for picture in (denoised[inner], deconvolved[inner]):
        assert picture.std() < 0.01
        assert picture.mean() == pytest.approx(0.5, rel=0.03)


def test_every_weight_learns(psf: PSF):
    network = InformedNetwork(psf)
    load_pretrained(network, "informed")
    image = torch.rand((1, 1, 32, 32), generator=torch.Generator().manual_seed(0))
    denoised, deconvolved = network(image, torch.tensor(2.0))
    (denoised.square().mean() + deconvolved.square().mean()).backward()
    assert all(weight.grad is not None for weight in network.parameters())


def test_computed_band_by_band_it_gives_the_same(network: InformedNetwork, monkeypatch):
    image = torch.rand((1, 1, 96, 64), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole = network(image)
        monkeypatch.setattr(row_blocks, "BAND", 4 * 96 * 64)
        banded = network(image)
    for one, other in zip(whole, banded, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_half_the_pixels_of_an_image_reach_it_through_its_context_alone(network: InformedNetwork):
    """What lies beyond the receptive field has no say to speak of: tiles rest on it."""
    rng = torch.Generator().manual_seed(1)
    image = torch.rand((1, 1, 160, 64), generator=rng)
    other = image.clone()
    other[..., 104:, :] = torch.rand((1, 1, 56, 64), generator=rng)
    far = 104 - network.receptive_field
    with torch.no_grad():
        one, two = network(image), network(other)
    for before, after in zip(one, two, strict=True):
        rows = far * before.shape[-2] // 160
        difference = (before - after)[..., :rows, :].abs().max()
        assert difference < 1e-4 * before.abs().max()
