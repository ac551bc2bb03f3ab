from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve
from torch import nn

from napari_zsdeconvnet.inference.predict import exhaust, infer
from napari_zsdeconvnet.networks import volume
from napari_zsdeconvnet.networks.base import TwoStageNetwork
from napari_zsdeconvnet.networks.registry import build_network
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.psf.psf import PSF

CPU = torch.device("cpu")
NOISE = NoiseModel(offset=100, gain=1.0, read_variance=4.0)
NAMES = ["published-volume", "sharpening", "informed-volume"]


def spot(size: tuple[int, int, int] = (7, 9, 9), sigma: tuple[float, ...] = (1.2, 1.1, 1.3)) -> PSF:
    """Make a small Gaussian, wider along one axis than along the others."""
    grids = np.ogrid[tuple(slice(-(n // 2), n // 2 + 1) for n in size)]
    array = np.exp(-0.5 * sum((grid / s) ** 2 for grid, s in zip(grids, sigma, strict=True)))
    return PSF.from_array(array / array.sum())


def beads(shape: tuple[int, int, int], number: int = 12, seed: int = 0) -> np.ndarray:
    """Make points well inside a dim background."""
    generator = np.random.default_rng(seed)
    volume = np.full(shape, 0.05, np.float32)
    for _ in range(number):
        place = tuple(int(generator.integers(n // 4, n - n // 4)) for n in shape)
        volume[place] += generator.uniform(20, 60)
    return volume


def stirred(name: str, upsampling: int = 1, psf: PSF | None = None) -> TwoStageNetwork:
    """Build a network none of whose weights is zero."""
    torch.manual_seed(0)
    network = build_network(name, psf or spot(), upsampling)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    return network.eval()


class TestMemory:
    @pytest.mark.parametrize("upsampling", [1, 2])
    @pytest.mark.parametrize(
        ("name", "rows"),
        [("sharpening", [136, 56, 84, 84, 80, 52]), ("informed-volume", [68, 40, 60, 48, 28])],
    )
    def test_bands_of_rows_give_the_same(
        self, name: str, rows: list[int], upsampling: int, monkeypatch
    ):
        image = torch.rand(1, 1, 9, 104, 40, generator=torch.Generator().manual_seed(0))
        network = stirred(name, upsampling)
        sizes = []
        network.denoiser.register_forward_hook(lambda _, given, __: sizes.append(given[0].shape))
        with torch.inference_mode():
            whole = network(image)
            needed = network.memory_of((9, 104, 40), CPU)
            for name in ("ROOM_BYTES", "U_NET_VOXELS"):
                monkeypatch.setattr(volume, name, 1)
            banded = network(image)
        assert [size[-2] for size in sizes] == rows
        assert network.memory_of((9, 104, 40), CPU) < needed
        for one, other in zip(whole, banded, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=3e-6)

    @pytest.mark.parametrize("name", ["sharpening", "informed-volume"])
    def test_transfer_functions_are_not_kept_while_a_u_net_needs_memory(self, name: str):
        network = stirred(name)
        kept = []
        for net in (network.denoiser, network.corrector):
            net.register_forward_hook(lambda *_: kept.append(len(network.sharpening._fields)))
        with torch.inference_mode():
            for _ in range(2):
                network(torch.rand(1, 1, 9, 32, 32))
        assert kept == [0, 0, 0, 0]


class TestContract:
    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("upsampling", [1, 2])
    def test_planes_stay_and_the_field_is_refined(self, name: str, upsampling: int):
        with torch.no_grad():
            denoised, deconvolved = stirred(name, upsampling)(torch.rand(1, 1, 9, 16, 24))
        assert denoised.shape == (1, 1, 9, 16, 24)
        assert deconvolved.shape == (1, 1, 9, 16 * upsampling, 24 * upsampling)

    @pytest.mark.parametrize("upsampling", [1, 2])
    def test_the_published_network_has_as_many_parameters_as_published(self, upsampling: int):
        network = build_network("published-volume", spot(), upsampling)
        assert sum(weight.numel() for weight in network.parameters()) == 2_003_490

    @pytest.mark.parametrize("name", NAMES)
    def test_every_weight_learns_whatever_the_seed(self, name: str):
        for seed in range(3):
            torch.manual_seed(seed)
            network = build_network(name, spot())
            ends = [part for part in network.modules() if isinstance(part, nn.Conv3d | nn.Conv2d)]
            with torch.no_grad():
                for part in ends:
                    part.weight.add_(1e-3)
            image = torch.rand(1, 1, 8, 16, 16)
            denoised, deconvolved = network.denoise(image), network(image)[1]
            (denoised.square().mean() + deconvolved.square().mean()).backward()
            for part, weight in network.named_parameters():
                assert weight.grad is not None
                if "squeeze" in part or "excite" in part:
                    continue  # four rectified numbers, of which some may rest
                assert bool(weight.grad.isfinite().all())
                assert float(weight.grad.abs().max()) > 0


class TestLight:
    @pytest.mark.parametrize("upsampling", [1, 2])
    @pytest.mark.parametrize("name", ["sharpening", "informed-volume"])
    def test_is_kept(self, name: str, upsampling: int):
        blurred = convolve(beads((20, 40, 48)), spot().array, mode="mirror")
        network = build_network(name, spot(), upsampling)
        image = torch.from_numpy(blurred)[None, None]
        assert float(network(image)[1].detach().mean()) == pytest.approx(blurred.mean(), rel=0.02)

    @pytest.mark.parametrize("name", ["sharpening", "informed-volume"])
    def test_a_flat_volume_stays_flat(self, name: str):
        network = build_network(name, spot())
        image = torch.full((1, 1, 12, 24, 24), 0.7)
        for result in network(image):
            np.testing.assert_allclose(result.detach(), 0.7, rtol=2e-3)

    @pytest.mark.parametrize("name", ["sharpening", "informed-volume"])
    def test_nothing_in_nothing_out(self, name: str):
        network = build_network(name, spot())
        for result in network(torch.zeros(1, 1, 12, 24, 24)):
            assert float(result.detach().abs().max()) < 1e-6


class TestTiles:
    @pytest.mark.parametrize("upsampling", [1, 2])
    @pytest.mark.parametrize("name", ["sharpening", "informed-volume"])
    def test_do_not_show_along_any_axis(self, name: str, upsampling: int):
        network = stirred(name, upsampling)
        volume = beads((40, 132, 20), number=60)
        counts = np.random.default_rng(0).poisson(20 * volume) + 100
        frames = counts[None].astype(np.uint16)
        planes, rows, _ = (2 * reach for reach in network.reach)
        size = (planes + 20, rows + 68, 20)  # two by two tiles
        whole = exhaust(infer(network, frames, NOISE, 100.0, CPU, tile=10**4))
        tiled = exhaust(infer(network, frames, NOISE, 100.0, CPU, tile=size))
        for one, other in (
            (whole.denoised, tiled.denoised),
            (whole.deconvolved, tiled.deconvolved),
        ):
            assert np.abs(one - other).max() < 1e-4 * np.abs(one).max()
