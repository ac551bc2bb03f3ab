from __future__ import annotations

import pytest

from napari_zsdeconvnet.training.early_stopping import Plateau


def first_end(losses: list[float], patience: int = 60, least: float = 1e-3) -> int | None:
    """Give the step at which a run with these losses, one every 20 steps, would end."""
    plateau = Plateau(patience, least)
    for number, loss in enumerate(losses, 1):
        if plateau.reached(20 * number, loss):
            return 20 * number
    return None


def test_a_loss_that_falls_goes_on():
    assert first_end([0.99**step for step in range(50)]) is None


def test_a_flat_loss_ends_after_its_patience():
    assert first_end([1.0] * 20) == 80


def test_what_is_gained_at_any_check_counts():
    # 0.2 % in one step of four, and then nothing.
    assert first_end([1.0, 1.0, 0.998, 0.998, 0.998, 0.998, 0.998]) == 120


def test_a_loss_that_rises_again_ends():
    assert first_end([1.0, 0.9, 0.8, 0.85, 0.9, 0.95, 1.0]) == 120


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_units_of_the_loss_play_no_part(scale: float):
    losses = [1.0, 0.9, 0.85, 0.84, 0.8395, 0.8393, 0.8392, 0.8392, 0.8392]
    assert first_end([scale * loss for loss in losses]) == first_end(losses)
