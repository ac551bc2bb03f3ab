"""The picture of where the orders agree has its peaks where the patterns are."""

from __future__ import annotations

import numpy as np
import pytest

from napari_zsdeconvnet.sim.spectrum import fringe_spectrum, peak_places
from napari_zsdeconvnet.simulation.raw_sim import simulate_sim


@pytest.mark.parametrize("shape", [(128, 128), (127, 150)])
@pytest.mark.parametrize("order", ["orientation", "phase"])
def test_peaks_lie_at_the_patterns(shape, order):
    sample = simulate_sim("filaments", shape=shape, photons=300, order=order)
    spectrum = fringe_spectrum(sample.raw, sample.patterns)
    assert spectrum.shape == shape
    places = peak_places(sample.patterns)
    assert places.shape == (3, 2, 2)
    for place in places.reshape(-1, 2):
        row, column = np.round(place).astype(int)
        near = spectrum[row - 3 : row + 4, column - 3 : column + 4]
        peak = np.unravel_index(near.argmax(), near.shape)
        assert np.hypot(*(np.array(peak) - 3 + (row, column) - place)) < 1
        assert near.max() > 6 * np.median(spectrum[spectrum > 0])


def test_the_middle_and_what_lies_beyond_the_optics_are_left_out():
    sample = simulate_sim("filaments", shape=(128, 128))
    spectrum = fringe_spectrum(np.stack([sample.raw, sample.second_exposure]), sample.patterns)
    assert spectrum[64, 64] == spectrum[0, 0] == 0
