"""The coarsest structure of results is that of the image, whatever the tiles."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_zsdeconvnet.inference.light_correction import SIGMA, CoarseLight, lacking_light
from napari_zsdeconvnet.utils.tiling import tiles

SHAPE = (165, 203)
"""No multiple of anything."""


def scene(shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """A slope with a bright place, 3 on average."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    spot = np.exp(-0.5 * ((y - 80) ** 2 + (x - 120) ** 2) / 30**2)
    return (1 + x / 100 + 4 * spot).astype(np.float32)


def finer(image: np.ndarray) -> np.ndarray:
    return image.repeat(2, axis=0).repeat(2, axis=1)


def given_back(image: np.ndarray, lost: float, size: int, multiple: int = 8, scale: float = 1.0):
    """Both results of a network that keeps only so much of the light, as corrected."""
    denoised, deconvolved = lost * image, finer(lost * image)
    light = CoarseLight(image.shape, (multiple, multiple))
    around = np.pad(image, 64, mode="symmetric")
    for place in tiles(image.shape, (size, size), (16, 16), (multiple, multiple)):
        cut = tuple(
            slice(64 + start, 64 + start + length)
            for start, length in zip(place.window_start, place.window_shape, strict=True)
        )
        window = torch.from_numpy(around[cut])[None, None]
        sharp = torch.from_numpy(finer(lost * around[cut]))[None, None]
        light.take(place, *lacking_light(light.step, place, window, lost * window, sharp))
    results = scale * denoised[None], scale * deconvolved[None]
    for which, result in enumerate(results):
        light.give_back(result, result, 0, scale, which)
    return results[0][0], results[1][0]


@pytest.mark.parametrize("multiple", [1, 4, 8, 16])
def test_light_comes_back_where_it_was_lost(multiple: int):
    image = scene()
    denoised, deconvolved = given_back(image, 0.8, 10**6, multiple)
    assert denoised.sum() == pytest.approx(image.sum(), rel=3e-3)
    assert deconvolved.sum() == pytest.approx(4 * image.sum(), rel=3e-3)
    # All of what is coarser than the Gaussian: at the edges a quarter of what was lost may stay so.
    np.testing.assert_allclose(denoised, image, rtol=0.05)
    np.testing.assert_allclose(deconvolved, finer(image), rtol=0.05)


@pytest.mark.parametrize("size", [48, 72, 120])
def test_tiles_do_not_show(size: int):
    image = scene() + np.random.default_rng(0).normal(0, 0.3, SHAPE).astype(np.float32)
    for one, other in zip(given_back(image, 0.8, 10**6), given_back(image, 0.8, size), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_fine_structure_is_left_to_the_network():
    image = np.zeros(SHAPE, np.float32)
    image[80, 100] = 100.0
    denoised, _ = given_back(image, 0.0, 10**6)
    assert denoised.max() < 2 * 100 / (2 * np.pi * SIGMA**2)
    assert denoised.sum() == pytest.approx(100, rel=0.01)


@pytest.mark.parametrize("shape", [(1, 1), (3, 70), (9, 9)])
def test_small_frames_keep_their_light_too(shape: tuple[int, int]):
    image = np.full(shape, 5.0, np.float32)
    denoised, deconvolved = given_back(image, 0.5, 10**6)
    np.testing.assert_allclose(denoised, 5.0, rtol=1e-5)
    np.testing.assert_allclose(deconvolved, 5.0, rtol=1e-5)


def test_is_given_back_in_counts():
    image = scene()
    denoised, _ = given_back(image, 0.5, 10**6, scale=40.0)
    assert denoised.sum() == pytest.approx(40 * image.sum(), rel=3e-3)
