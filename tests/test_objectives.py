"""Objectives against the equations, spelled out as plain loops in double precision."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.signal import fftconvolve
from torch import nn

from napari_zsdeconvnet.modes import OBJECTIVES, build_network
from napari_zsdeconvnet.networks import TwoStageNetwork
from napari_zsdeconvnet.noise import NoiseModel
from napari_zsdeconvnet.objectives import InterleavedObjective, Setting, twice_the_step
from napari_zsdeconvnet.presets import VOLUME_PRESETS, Preset
from napari_zsdeconvnet.psf import PSF

CPU = torch.device("cpu")
NOISE = NoiseModel(offset=100, gain=1.0, read_variance=4.0)
PAPER = replace(VOLUME_PRESETS["paper"], patch=8, planes=8, batch=2, margin=0, axial_margin=0)
FAST = replace(VOLUME_PRESETS["fast"], patch=16, planes=8, batch=2, margin=2, axial_margin=1)


class Simple(TwoStageNetwork):
    """Two numbers to learn: brightness of the denoised and of the deconvolved volume."""

    multiple = 1
    receptive_field = 0
    axial_field = 0
    upsampling = 1
    bytes_per_pixel = 10

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.tensor(0.8))
        self.second = nn.Parameter(torch.tensor(1.1))

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        denoised = self.first * image + 0.1 * image.mean(dim=2, keepdim=True)
        return denoised, self.second * denoised


def spot(planes: int = 5) -> PSF:
    """Make a small PSF that no mirror leaves alone."""
    generator = np.random.default_rng(3)
    array = generator.uniform(0.0, 0.2, (planes, 5, 5))
    array[planes // 2, 2, 2] = 2.0
    return PSF.from_array(array / array.sum())


def setting(preset: Preset, shape: tuple[int, ...] = (1, 9, 12, 12), steps: int = 8) -> Setting:
    raw = np.random.default_rng(0).poisson(30, shape).astype(np.uint16) + 100
    return Setting([raw], NOISE, 50.0, spot(), preset, steps, 1, CPU, None)


def reflected(index: int, size: int) -> int:
    index = abs(index)
    return index if index < size else 2 * (size - 1) - index


def blurred(volume: np.ndarray, psf: np.ndarray) -> np.ndarray:
    """Convolve by the definition, the border continued by reflection."""
    result = np.zeros(volume.shape)
    radius = [size // 2 for size in psf.shape]
    for place in np.ndindex(*volume.shape):
        total = 0.0
        for tap in np.ndindex(*psf.shape):
            source = tuple(
                reflected(p - (t - r), n)
                for p, t, r, n in zip(place, tap, radius, volume.shape, strict=True)
            )
            total += float(volume[source]) * float(psf[tap])
        result[place] = total
    return result


def hessian(volume: np.ndarray, lengths: tuple[float, ...]) -> float:
    """R of equation 9, each second difference divided by the steps it was taken over."""
    total = 0.0
    for one in range(3):
        for other in range(3):
            values = []
            for place in np.ndindex(*volume.shape):

                def at(*moves: int, start: tuple[int, ...] = place) -> float | None:
                    moved = list(start)
                    for axis in moves:
                        moved[axis] += 1
                    inside = all(m < n for m, n in zip(moved, volume.shape, strict=True))
                    return float(volume[tuple(moved)]) if inside else None

                corners = (at(one, other), at(one), at(other), at())
                if None not in corners:
                    a, b, c, d = corners
                    values.append(((a - b - c + d) / (lengths[one] * lengths[other])) ** 2)
            total += float(np.mean(values))
    return total


@pytest.mark.parametrize("norm", ["squared", "absolute"])
@pytest.mark.parametrize("lengths", [None, (0.4, 0.1, 0.1)])
def test_interleaved_is_equations_7_to_9(norm, lengths, monkeypatch):
    preset = replace(PAPER, norm=norm, hessian_weight=0.1, gap_weight=0.7)
    network = Simple()
    given = setting(preset)
    if lengths is not None:
        given = replace(given, psf=PSF.from_array(given.psf.array, voxel_size=lengths))
    objective = InterleavedObjective(given, network)
    pair = objective.pairs.draw()
    monkeypatch.setattr(objective.pairs, "draw", lambda: pair)
    terms = objective.losses(1)

    psf = objective.psf.array.astype(float)
    distance = np.square if norm == "squared" else np.abs
    first, second = network.first.item(), network.second.item()

    def denoise(volume: np.ndarray) -> np.ndarray:
        return first * volume + 0.1 * volume.mean(axis=0)

    denoising, deconvolution, curvature = [], [], []
    for stack, odd_first in zip(pair.stack[:, 0].double().numpy(), pair.odd_first, strict=True):
        odd, even = (stack[0::2], stack[1::2]) if odd_first else (stack[1::2], stack[0::2])
        whole = denoise(stack)
        gap = whole[0::2] - whole[1::2] if odd_first else whole[1::2] - whole[0::2]
        denoised = denoise(odd)
        sharp = second * denoised
        seen = blurred(sharp, psf)
        denoising.append(
            distance(denoised - even).mean() + 0.7 * distance(denoised - even - gap).mean()
        )
        deconvolution.append(
            distance(seen - even).mean() + 0.7 * distance(seen - even - gap).mean()
        )
        steps = objective.psf.steps
        curvature.append(hessian(sharp, tuple(step / steps[-1] for step in steps)))
    expected = {
        "denoising": np.mean(denoising),
        "deconvolution": np.mean(deconvolution),
        "hessian": np.mean(curvature),
    }
    for name, value in expected.items():
        assert float(terms[name].detach()) == pytest.approx(value, rel=1e-5), name
    total = 0.5 * expected["denoising"] + 0.5 * (
        expected["deconvolution"] + 0.1 * expected["hessian"]
    )
    assert float(terms["total"].detach()) == pytest.approx(total, rel=1e-5)


def test_the_gap_has_no_gradient():
    objective = InterleavedObjective(setting(PAPER), Simple())
    pair = objective.pairs.draw()
    assert not objective._gap(pair.stack, pair.odd_first).requires_grad


def test_input_and_target_are_the_planes_between_each_other_in_either_role():
    objective = InterleavedObjective(setting(PAPER), Simple())
    seen = set()
    for _ in range(10):
        pair = objective.pairs.draw()
        assert pair.stack.shape == (2, 1, 8, 8, 8)
        for index, odd_first in enumerate(pair.odd_first.tolist()):
            start = 0 if odd_first else 1
            assert torch.equal(pair.input[index], pair.stack[index][:, start::2])
            assert torch.equal(pair.target[index], pair.stack[index][:, 1 - start :: 2])
            seen.add(odd_first)
    assert seen == {True, False}


@pytest.mark.parametrize("planes", [8, 9, 11, 40])
def test_thin_and_odd_stacks_give_shorter_patches(planes: int):
    preset = replace(PAPER, planes=26)
    objective = InterleavedObjective(setting(preset, (1, planes, 12, 12)), Simple())
    pair = objective.pairs.draw()
    assert pair.input.shape == pair.target.shape == (2, 1, min(planes // 2, 13), 8, 8)


class TestTwiceTheStep:
    def test_without_a_voxel_size_every_second_plane_is_taken(self):
        psf = spot(9)
        twice = twice_the_step(psf).array
        expected = psf.array[0::2] / psf.array[0::2].sum()
        np.testing.assert_allclose(twice, expected, rtol=1e-5)
        assert twice_the_step(spot(7)).array.shape[0] == 3

    def test_with_one_it_is_resampled(self):
        psf = PSF.simulate(
            na=1.1, wavelength=0.525, pixel_size=0.1, refractive_index=1.33,
            axial_step=0.2, planes=21, size=21,
        )  # fmt: skip
        twice = twice_the_step(psf)
        assert twice.voxel_size == pytest.approx((0.4, 0.1, 0.1))
        assert twice.array.sum() == pytest.approx(1, abs=1e-5)
        assert twice.fwhm[0] == pytest.approx(psf.fwhm[0], rel=0.03)


class TestSequential:
    def objective(self, **changes: object):
        torch.manual_seed(0)
        given = setting(replace(FAST, **changes), (1, 12, 48, 48))
        network = build_network("sharpening", given.psf)
        return OBJECTIVES["sequential"](given, network), network

    def trained(self, network: nn.Module) -> set[str]:
        found = {
            name.split(".")[0]
            for name, weight in network.named_parameters()
            if weight.grad is not None
        }
        network.zero_grad(set_to_none=True)
        return found

    def test_the_denoiser_learns_first_and_then_rests(self):
        objective, network = self.objective()
        first = objective.losses(6)
        first["total"].backward()
        assert set(first) == {"total", "denoising"}
        assert self.trained(network) == {"denoiser", "denoised"}
        second = objective.losses(7)
        second["total"].backward()
        assert set(second) == {"total", "denoising", "deconvolution", "hessian"}
        assert self.trained(network) == {"corrector", "expand", "correction"}

    def test_without_a_correction_the_loss_is_that_of_the_sharpened_block(self, monkeypatch):
        objective, _ = self.objective(margin=0, axial_margin=0)
        cut = {}
        monkeypatch.setattr(
            objective, "_cut", lambda block, real=objective._cut: cut.setdefault("now", real(block))
        )
        terms = objective.losses(8)
        _image, target, _denoised, sharpened, reblurred = cut["now"]
        loss = np.square(reblurred.double().numpy() - target.double().numpy()).mean()
        assert float(terms["deconvolution"]) == pytest.approx(loss, rel=1e-5)
        assert sharpened.shape == target.shape

    def test_a_correction_counts_as_if_the_whole_had_been_blurred(self):
        objective, network = self.objective(margin=3, axial_margin=3, patch=24, planes=12)
        with torch.no_grad():
            network.correction.weight.normal_(std=0.05)
        block = objective._sharpened_block()
        image, target, denoised, sharpened, reblurred = objective._cut(block)
        with torch.no_grad():
            deconvolved = network.correct(image, denoised, sharpened, reblurred)
        # Where the PSF does not reach beyond the patch, H (s + d) = H s + H d.
        correction = (deconvolved - sharpened)[0, 0].double().numpy()
        inner = np.s_[3:-3, 3:-3, 3:-3]
        kernel = network.blur.kernel.double().numpy()
        extra = fftconvolve(correction, kernel, mode="same")
        expected = np.square(
            (reblurred[0, 0].double().numpy() + extra - target[0, 0].double().numpy())[inner]
        ).mean()
        objective.pairs.batch = 1
        objective._cut = lambda block: [
            part[:1] for part in (image, target, denoised, sharpened, reblurred)
        ]
        objective._block = block
        terms = objective.losses(8)
        assert float(terms["deconvolution"].detach()) == pytest.approx(expected, rel=1e-4)

    def test_a_block_serves_for_some_steps(self, monkeypatch):
        objective, _ = self.objective()
        monkeypatch.setattr(objective, "DRAWS", 3)
        blocks = []
        for _ in range(7):
            objective.losses(8)
            blocks.append(objective._block)
        assert len({id(block) for block in blocks}) == 3
        assert blocks[0] is blocks[2] is not blocks[3]
