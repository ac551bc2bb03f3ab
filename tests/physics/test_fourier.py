"""Transforms of a room that is mostly empty: those of torch, in less work."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_zsdeconvnet.physics.fourier import cut, from_spectrum, placed, to_spectrum

ROOM, START, SIZE = (12, 30, 28), (3, 8, 5), (6, 11, 16)
AXES = (-3, -2, -1)


@pytest.fixture
def volume() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(size=(2, 1, *SIZE)).astype(np.float32))


def test_spectrum_is_that_of_the_whole_room(volume: torch.Tensor) -> None:
    expected = torch.fft.rfftn(placed(volume, ROOM, START), dim=AXES)
    torch.testing.assert_close(to_spectrum(volume, ROOM, START), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("start", "size"), [(START, SIZE), ((0, 0, 0), ROOM), ((11, 0, 3), (1, 30, 25))]
)
def test_part_of_the_room_comes_back(
    volume: torch.Tensor, start: tuple[int, ...], size: tuple[int, ...]
) -> None:
    back = from_spectrum(to_spectrum(volume, ROOM, START), ROOM, start, size)
    expected = cut(placed(volume, ROOM, START), start, size)
    torch.testing.assert_close(back, expected, atol=1e-5, rtol=1e-5)


def test_bits_do_not_depend_on_the_number_of_threads(volume: torch.Tensor) -> None:
    usual, spectra = torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            spectra.append(to_spectrum(volume, ROOM, START))
    finally:
        torch.set_num_threads(usual)
    assert torch.equal(*spectra)


def test_gradients_pass(volume: torch.Tensor) -> None:
    volume.requires_grad_()
    part = from_spectrum(to_spectrum(volume, ROOM, START), ROOM, START, SIZE)
    (part**2).sum().backward()
    torch.testing.assert_close(volume.grad, 2 * volume.detach(), atol=1e-4, rtol=1e-4)


def test_what_is_given_stays_as_it_is(volume: torch.Tensor) -> None:
    kept = volume.clone()
    to_spectrum(volume, SIZE, (0, 0, 0))
    assert torch.equal(volume, kept)
