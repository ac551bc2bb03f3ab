"""Richardson-Lucy in an open field: what it finds, at which resolution, and at the borders."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve

from napari_zsdeconvnet.physics.accelerated_richardson_lucy import Sharpening
from napari_zsdeconvnet.physics.forward import bin_down
from napari_zsdeconvnet.psf.psf import PSF

SHAPE = (16, 40, 44)
AROUND = (6, 10, 10)
"""Voxels of structure beyond each face of the recorded part."""


def spot(shape: tuple[int, int, int] = (9, 15, 15)) -> PSF:
    """A Gaussian PSF, 3.5 planes and 4.7 pixels wide."""
    point = np.zeros(shape)
    point[tuple(size // 2 for size in shape)] = 1
    return PSF.from_array(gaussian_filter(point, (1.5, 2, 2)))


def beads(seed: int = 0) -> np.ndarray:
    """Points in a field larger than what is recorded of it."""
    rng = np.random.default_rng(seed)
    truth = np.zeros(tuple(n + 2 * m for n, m in zip(SHAPE, AROUND, strict=True)))
    truth[tuple(rng.integers(0, length, 40) for length in truth.shape)] = rng.uniform(50, 100, 40)
    return truth


def recorded(volume: np.ndarray) -> np.ndarray:
    return volume[tuple(slice(m, -m) for m in AROUND)]


def tensor(volume: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(volume, dtype=np.float32))[None, None]


def sharpened(psf: PSF, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    image = recorded(fftconvolve(truth, psf.array, mode="same")).clip(0)
    estimate, reblurred, _ = Sharpening(psf)(tensor(image), tensor(image), 1e-3, 1e-3)
    return image, estimate[0, 0].numpy(), reblurred[0, 0].numpy()


def test_brings_points_back_as_far_as_it_says():
    truth = beads()
    image, estimate, _ = sharpened(spot(), truth)
    sieve = np.array(Sharpening(spot()).sieve) / np.sqrt(8 * np.log(2))
    target = recorded(gaussian_filter(truth, sieve, mode="constant"))
    before, after = (np.square(result - target).sum() for result in (image, estimate))
    assert after < 0.1 * before


def test_explains_the_image_up_to_its_borders():
    image, _, reblurred = sharpened(spot(), gaussian_filter(beads(), 1.5))
    error = np.abs(reblurred - image)
    assert error.max() < 0.1 * image.max()
    at_faces = np.concatenate([error[[0, -1]].ravel(), error[:, [0, -1]].ravel()])
    assert at_faces.mean() < 0.01 * image.max()


def test_light_from_beyond_a_border_is_left_there():
    truth = np.zeros(tuple(n + 2 * m for n, m in zip(SHAPE, AROUND, strict=True)))
    truth[AROUND[0] - 2, 30, 30] = 1000  # two planes above the first recorded one
    image, estimate, _ = sharpened(spot(), truth)
    assert image.sum() > 50  # its haze is recorded,
    assert estimate.sum() < 0.35 * image.sum()  # and is not taken for structure


def test_nothing_is_finer_than_the_stated_resolution():
    truth = np.zeros(tuple(n + 2 * m for n, m in zip(SHAPE, AROUND, strict=True)))
    truth[tuple(n // 2 for n in truth.shape)] = 1000
    _, estimate, _ = sharpened(spot((13, 25, 25)), truth)
    peak = np.unravel_index(estimate.argmax(), estimate.shape)
    line = estimate[peak[0], peak[1]]
    centre = (np.arange(line.size) * line).sum() / line.sum()
    sigma = np.sqrt((np.square(np.arange(line.size) - centre) * line).sum() / line.sum())
    assert sigma * np.sqrt(8 * np.log(2)) >= 0.98 * Sharpening(spot()).sieve[2]


def test_an_asymmetric_psf_is_undone_the_right_way_round():
    psf = np.zeros((5, 9, 9), np.float32)
    psf[2, 4, 4], psf[2, 4, 6] = 0.7, 0.3
    psf = gaussian_filter(psf, 0.7)
    truth = np.zeros(tuple(n + 2 * m for n, m in zip(SHAPE, AROUND, strict=True)))
    place = (14, 30, 30)
    truth[place] = 1000
    _, estimate, _ = sharpened(PSF.from_array(psf), truth)
    centred = PSF.from_array(psf).array
    shift = np.array(np.unravel_index(centred.argmax(), centred.shape)) - np.array(psf.shape) // 2
    found = np.array(np.unravel_index(estimate.argmax(), estimate.shape)) + AROUND
    assert tuple(found - shift) == pytest.approx(place, abs=1)
    z, y, x = np.unravel_index(estimate.argmax(), estimate.shape)
    assert estimate[z, y, x + 2] < 0.3 * estimate[z, y, x]


def test_on_the_finer_grid_the_image_is_explained_on_its_own():
    psf = spot()
    truth = gaussian_filter(beads(3), 1.5)
    blurred = fftconvolve(truth, psf.array, mode="same").clip(0)
    image = bin_down(tensor(recorded(blurred)), 2)
    estimate, reblurred, _ = Sharpening(psf, 2)(image, image, 1e-3, 1e-3)
    assert estimate.shape[2:] == SHAPE
    assert reblurred.shape == image.shape
    assert float((reblurred - image).abs().max()) < 0.05 * float(image.max())


def test_a_copy_makes_transfer_functions_of_its_own():
    first = Sharpening(spot())
    image = tensor(recorded(fftconvolve(beads(), spot().array, mode="same")).clip(0))
    before = first(image, image, 1e-3, 1e-3).estimate
    second = copy.deepcopy(first)
    assert not second._fields
    torch.testing.assert_close(second(image, image, 1e-3, 1e-3).estimate, before)


def test_planes_as_far_apart_as_the_psf_is_deep_do_not_make_the_steps_diverge():
    point = np.zeros((9, 31, 31))
    point[4, 15, 15] = 1
    psf = PSF.from_array(gaussian_filter(point, (0.45, 2, 2)))
    structure = np.zeros(tuple(n + 2 * m for n, m in zip(SHAPE, AROUND, strict=True)))
    structure[14, 20:40, 20:40] = 1  # a bright sheet in one plane, and nothing around it
    image = recorded(fftconvolve(structure, psf.array, mode="same")).clip(0)
    sharpening = Sharpening(psf)
    field = sharpening.field(SHAPE)
    room = torch.zeros(1, 1, *field.shape)
    room[:, :, 14, 20:40, 20:40] = 1
    assert field.expected(room).min() > -1e-5
    estimate, reblurred, _ = sharpening(tensor(image), tensor(image), 3e-3, 3e-3)
    assert estimate.max() < 3
    assert float(reblurred.sum()) == pytest.approx(image.sum(), rel=0.02)
