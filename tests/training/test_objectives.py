"""Objectives against the equations, spelled out as plain loops in double precision."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.signal import fftconvolve
from torch import nn

from napari_zsdeconvnet.model.presets import PRESETS, VOLUME_PRESETS, VOLUMES_FROM_SCRATCH, Preset
from napari_zsdeconvnet.networks.base import TwoStageNetwork
from napari_zsdeconvnet.networks.registry import build_network
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.physics.forward import enlarge
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.training.objectives import RecorruptedObjective, Setting
from napari_zsdeconvnet.training.pairs import Pair
from napari_zsdeconvnet.training.registry import OBJECTIVES
from napari_zsdeconvnet.training.volume_objectives import InterleavedObjective, twice_the_step

CPU = torch.device("cpu")
NOISE = NoiseModel(offset=100, gain=1.0, read_variance=4.0)
FLAT = replace(PRESETS["fast"], patch=8, batch=2)
PAPER = replace(VOLUME_PRESETS["paper"], patch=8, planes=8, batch=2, margin=0, axial_margin=0)
FAST = replace(VOLUMES_FROM_SCRATCH, patch=16, planes=8, batch=2, margin=2, axial_margin=1)


class Simple(TwoStageNetwork):
    """Two numbers to learn: brightness of the denoised and of the deconvolved image."""

    multiple = 1
    receptive_field = 0
    bytes_per_pixel = 10

    def __init__(self, upsampling: int = 1, *, axial_field: int | None = 0) -> None:
        super().__init__()
        self.upsampling = upsampling
        self.axial_field = axial_field
        self.first = nn.Parameter(torch.tensor(0.8))
        self.second = nn.Parameter(torch.tensor(1.1))

    def forward(
        self, image: torch.Tensor, excess: object = 1.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        denoised = self.first * image + 0.1 * image.mean(dim=2, keepdim=True)
        return denoised, self.second * enlarge(denoised, self.upsampling)

    def by_hand(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Do the same to one image or volume."""
        denoised = self.first.item() * image + 0.1 * image.mean(axis=0)
        fine = denoised.repeat(self.upsampling, axis=-2).repeat(self.upsampling, axis=-1)
        return denoised, self.second.item() * fine


def spot(*shape: int) -> PSF:
    """Make a small PSF that no mirror leaves alone."""
    generator = np.random.default_rng(3)
    array = generator.uniform(0.0, 0.2, shape or (5, 5, 5))
    array[tuple(size // 2 for size in array.shape)] = 2.0
    return PSF.from_array(array / array.sum())


def setting(preset: Preset, shape: tuple[int, ...] = (1, 9, 12, 12), steps: int = 8) -> Setting:
    raw = np.random.default_rng(0).poisson(30, shape).astype(np.uint16) + 100
    return Setting([raw], NOISE, 50.0, spot(), preset, steps, 1, CPU, None)


def in_double_precision(pair: Pair) -> Pair:
    images = {
        name: part.double()
        for name, part in vars(pair).items()
        if isinstance(part, torch.Tensor) and part.is_floating_point()
    }
    return replace(pair, **images)


def reflected(index: int, size: int) -> int:
    index = abs(index)
    return index if index < size else 2 * (size - 1) - index


def blurred(image: np.ndarray, psf: np.ndarray) -> np.ndarray:
    """Convolve by the definition, the border continued by reflection."""
    result = np.zeros(image.shape)
    radius = [size // 2 for size in psf.shape]
    for place in np.ndindex(*image.shape):
        total = 0.0
        for tap in np.ndindex(*psf.shape):
            source = tuple(
                reflected(p - (t - r), n)
                for p, t, r, n in zip(place, tap, radius, image.shape, strict=True)
            )
            total += float(image[source]) * float(psf[tap])
        result[place] = total
    return result


def binned(image: np.ndarray, factor: int) -> np.ndarray:
    """Average blocks of pixels by the definition."""
    *depth, height, width = image.shape
    result = np.zeros((*depth, height // factor, width // factor))
    for y in range(height // factor):
        for x in range(width // factor):
            for i in range(factor):
                for j in range(factor):
                    result[..., y, x] += image[..., factor * y + i, factor * x + j] / factor**2
    return result


def hessian(image: np.ndarray, lengths: tuple[float, ...]) -> float:
    """R of equations 6 and 9, each second difference divided by the steps it was taken over."""
    total = 0.0
    for one in range(image.ndim):
        for other in range(image.ndim):
            values = []
            for place in np.ndindex(*image.shape):

                def at(*moves: int, start: tuple[int, ...] = place) -> float | None:
                    moved = list(start)
                    for axis in moves:
                        moved[axis] += 1
                    inside = all(m < n for m, n in zip(moved, image.shape, strict=True))
                    return float(image[tuple(moved)]) if inside else None

                corners = (at(one, other), at(one), at(other), at())
                if None not in corners:
                    a, b, c, d = corners
                    values.append(((a - b - c + d) / (lengths[one] * lengths[other])) ** 2)
            total += float(np.mean(values))
    return total


def inside(image: np.ndarray, *rims: int) -> np.ndarray:
    """Leave out the margin, so many voxels along each axis."""
    return image[tuple(slice(rim, size - rim) for rim, size in zip(rims, image.shape, strict=True))]


def check(terms: dict[str, torch.Tensor], expected: dict[str, float]) -> None:
    """Compare all terms, and the whole with what equations 4 and 7 make of them."""
    weighed = expected["deconvolution"] + WEIGHTS["hessian_weight"] * expected["hessian"]
    share = WEIGHTS["denoising_weight"]
    expected["total"] = share * expected["denoising"] + (1 - share) * weighed
    assert set(terms) == set(expected)
    for name, value in expected.items():
        assert float(terms[name].detach()) == pytest.approx(value, rel=1e-6), name


WEIGHTS = {"hessian_weight": 0.1, "denoising_weight": 0.3}
DISTANCES = {"squared": np.square, "absolute": np.abs}


@pytest.mark.parametrize("norm", DISTANCES)
@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("voxel_size", [None, (0.1, 0.1), (0.3, 0.2, 0.1)])
def test_recorrupted_is_equations_4_to_6(norm, factor, voxel_size, monkeypatch):
    volume = voxel_size is not None and len(voxel_size) == 3
    margins = (1, 2, 2) if volume else (2, 2)
    preset = replace(PAPER if volume else FLAT, norm=norm, margin=2, axial_margin=1, **WEIGHTS)
    given = setting(preset, (1, 9, 12, 12) if volume else (2, 12, 12))
    psf = PSF.from_array(spot(*(3, 5, 7)[-len(margins) :]).array, voxel_size=voxel_size)
    network = Simple(factor, axial_field=0 if volume else None).double()
    objective = RecorruptedObjective(replace(given, psf=psf), network)
    pair = in_double_precision(objective.pairs.draw())
    monkeypatch.setattr(objective.pairs, "draw", lambda: pair)

    terms: dict[str, list[float]] = {"denoising": [], "deconvolution": [], "hessian": []}
    fine = (*margins[:-2], *(factor * rim for rim in margins[-2:]))
    lengths = tuple(step / psf.steps[-1] for step in psf.steps)
    for image, target in zip(pair.input[:, 0].numpy(), pair.target[:, 0].numpy(), strict=True):
        denoised, sharp = network.by_hand(image)
        seen = binned(blurred(sharp, psf.array.astype(float)), factor)
        for name, prediction in (("denoising", denoised), ("deconvolution", seen)):
            terms[name].append(DISTANCES[norm](inside(prediction - target, *margins)).mean())
        terms["hessian"].append(hessian(inside(sharp, *fine), lengths))
    check(objective.losses(1), {name: float(np.mean(values)) for name, values in terms.items()})


@pytest.mark.parametrize("norm", DISTANCES)
@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("voxel_size", [None, (0.4, 0.1, 0.1), (0.3, 0.2, 0.1)])
def test_interleaved_is_equations_7_to_9(norm, factor, voxel_size, monkeypatch):
    preset = replace(PAPER, norm=norm, margin=2, axial_margin=1, gap_weight=0.7, **WEIGHTS)
    preset = replace(preset, planes=10)
    psf = PSF.from_array(spot(5, 3, 5).array, voxel_size=voxel_size)
    network = Simple(factor).double()
    objective = InterleavedObjective(replace(setting(preset, (1, 11, 12, 12)), psf=psf), network)
    pair = in_double_precision(objective.pairs.draw())
    assert set(pair.odd_first.tolist()) == {True, False}
    monkeypatch.setattr(objective.pairs, "draw", lambda: pair)

    terms: dict[str, list[float]] = {"denoising": [], "deconvolution": [], "hessian": []}
    psf = twice_the_step(psf)
    lengths = tuple(step / psf.steps[-1] for step in psf.steps)
    for stack, odd_first in zip(pair.stack[:, 0].numpy(), pair.odd_first, strict=True):
        odd, even = (slice(0, None, 2), slice(1, None, 2))[:: 1 if odd_first else -1]
        whole, _ = network.by_hand(stack)
        denoised, sharp = network.by_hand(stack[odd])
        seen = binned(blurred(sharp, psf.array.astype(float)), factor)
        for name, prediction in (("denoising", denoised), ("deconvolution", seen)):
            first = inside(prediction - stack[even], 1, 2, 2)
            gap = inside(whole[odd] - whole[even], 1, 2, 2)
            distance = DISTANCES[norm]
            terms[name].append(distance(first).mean() + 0.7 * distance(first - gap).mean())
        terms["hessian"].append(hessian(inside(sharp, 1, 2 * factor, 2 * factor), lengths))
    check(objective.losses(1), {name: float(np.mean(values)) for name, values in terms.items()})


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
        psf = spot(9, 5, 5)
        twice = twice_the_step(psf).array
        expected = psf.array[0::2] / psf.array[0::2].sum()
        np.testing.assert_allclose(twice, expected, rtol=1e-5)
        assert twice_the_step(spot(7, 5, 5)).array.shape[0] == 3

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
    def objective(
        self,
        margin: int = 2,
        axial_margin: int = 1,
        planes: int = 8,
        patch: int = 16,
        voxel_size: tuple[float, ...] | None = None,
        **changes: object,
    ):
        torch.manual_seed(0)
        sizes = {"margin": margin, "axial_margin": axial_margin, "planes": planes, "patch": patch}
        given = setting(replace(FAST, **sizes, **changes), (1, 12, 48, 48))
        given = replace(given, psf=PSF.from_array(given.psf.array, voxel_size=voxel_size))
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

    @pytest.mark.parametrize("voxel_size", [None, (0.3, 0.1, 0.1)])
    def test_the_second_half_is_equation_6_for_a_sharpened_block(self, voxel_size, monkeypatch):
        objective, network = self.objective(
            *(3, 3, 12, 24), voxel_size=voxel_size, hessian_weight=0.1, anchor_weight=0.4
        )
        with torch.no_grad():
            network.correction.weight.normal_(std=0.05)
        objective._block = objective._sharpened_block()
        network.double()
        cut = [part.double() for part in objective._cut(objective._block)]
        monkeypatch.setattr(objective, "_cut", lambda block: cut)
        terms = objective.losses(8)

        with torch.no_grad():
            deconvolved = network.correct(*cut[1:5]).double()
        expected: dict[str, list[float]] = {"denoising": [], "deconvolution": [], "hessian": []}
        psf = objective.setting.psf
        lengths = tuple(step / psf.steps[-1] for step in psf.steps)
        corrections = []
        for target, _, denoised, sharpened, reblurred, _, sharp in zip(
            *(part[:, 0].numpy() for part in (*cut, deconvolved)), strict=True
        ):
            # Where the PSF does not reach beyond the patch, H (s + d) = H s + H d.
            corrections.append(sharp - sharpened)
            seen = reblurred + fftconvolve(corrections[-1], psf.array.astype(float), mode="same")
            expected["denoising"].append(np.square(inside(denoised - target, 3, 3, 3)).mean())
            expected["deconvolution"].append(np.square(inside(seen - target, 3, 3, 3)).mean())
            expected["hessian"].append(hessian(inside(sharp, 3, 3, 3), lengths))
        values = {name: float(np.mean(each)) for name, each in expected.items()}
        anchor = np.square(corrections).mean()
        values["total"] = values["deconvolution"] + 0.1 * values["hessian"] + 0.4 * anchor
        assert anchor > 0.01 * values["deconvolution"]
        for name, value in values.items():
            assert float(terms[name].detach()) == pytest.approx(value, rel=1e-6), name

    def test_a_block_serves_for_some_steps(self, monkeypatch):
        objective, _ = self.objective()
        monkeypatch.setattr(objective, "DRAWS", 3)
        blocks = []
        for _ in range(7):
            objective.losses(8)
            blocks.append(objective._block)
        assert len({id(block) for block in blocks}) == 3
        assert blocks[0] is blocks[2] is not blocks[3]
