"""The dip between two lines, which only the benchmarks measure."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from lines import gaussian_line

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from two_lines import smallest_resolved, two_line_dip, two_line_separability


@pytest.mark.parametrize("angle", [0.0, 0.7])
def test_dip_between_two_lines_equals_the_sum_of_two_gaussians(angle):
    sigma, separation = 3.0, 9.0
    image, path = gaussian_line((80, 80), angle, sigma, separation)
    x = np.linspace(-12, 12, 4801)
    profile = sum(np.exp(-((x - s * separation / 2) ** 2) / (2 * sigma**2)) for s in (-1, 1))

    dip = two_line_dip(image, path, separation * 0.03, 0.03)
    assert dip == pytest.approx(1 - profile[2400] / profile.max(), abs=0.02)


def test_two_lines_too_close_have_no_dip():
    image, path = gaussian_line((80, 80), 0.2, 4.0, 4.0)

    assert two_line_dip(image, path, 4.0 * 0.03, 0.03) < 0.01


def test_separability_takes_the_median_of_each_separation_and_skips_single_lines():
    near, path = gaussian_line((80, 80), 0.2, 3.0, 5.0)
    far, _ = gaussian_line((80, 80), 0.2, 1.0, 12.0)

    dips = two_line_separability(far, [path, path, path, path + 500], [0.36, 0.36, 0.0, 0.5], 0.03)
    assert list(dips) == [0.36, 0.5]
    assert dips[0.36] > 0.95
    assert np.isnan(dips[0.5])
    assert two_line_separability(near, [path], [0.15], 0.03)[0.15] < 0.1


def test_smallest_resolved_needs_all_wider_ones_too():
    assert smallest_resolved({0.1: 0.5, 0.2: 0.1, 0.3: 0.4, 0.4: 0.9}) == 0.3
    assert smallest_resolved({0.1: 0.0, 0.2: 0.1}) == np.inf
    assert smallest_resolved({0.1: 0.9, 0.2: float("nan")}) == 0.1
