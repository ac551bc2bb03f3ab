"""What the benchmark hands to other programs: the PSF on their grid, and stabilised noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are not here", allow_module_level=True)


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS / "peers"))
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_a_psf_on_the_grid_of_the_camera_makes_of_a_pixel_what_the_camera_sees():
    from peer_methods import _recording, reblurred

    from napari_zsdeconvnet.simulation.sample import simulate

    sample = simulate("vesicles", shape=(65, 65), seed=1)
    known = _recording(sample)
    # One pixel of the camera, of four of the truth.
    point = np.zeros((130, 130), np.float32)
    point[64:66, 64:66] = 1
    seen = reblurred(point, sample)
    middle, reach = 32, known.psf.shape[0] // 2
    inside = slice(middle - reach, middle + reach + 1)
    np.testing.assert_allclose(known.psf, seen[inside, inside] / seen.sum(), atol=2e-6)


def test_stabilised_noise_has_one_variance_and_its_mean_is_read_back_without_bias():
    from exchange import Recording
    from variance_stabilisation import denoised

    rng = np.random.default_rng(0)
    for electrons in (2.0, 10.0, 500.0):
        counts = 100 + 0.8 * (rng.poisson(electrons, (400, 400)) + rng.normal(0, 2, (400, 400)))
        recording = Recording(
            *(Path(), counts, np.ones((1, 1)), 100.0, 0.8, 0.8**2 * 4), (0.1, 0.1), (1,)
        )
        found = denoised(recording, lambda image: np.full_like(image, image.mean()))
        error = np.sqrt((electrons + 4) / counts.size)
        assert (found.mean() - 100) / 0.8 == pytest.approx(electrons, abs=5 * error + 1e-3)

        def unchanged(image: np.ndarray) -> np.ndarray:
            assert image.std() == pytest.approx(1, abs=0.06)
            return image

        denoised(recording, unchanged)


def test_what_is_not_installed_is_said_to_be_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from methods import Unavailable
    from peer_methods import FOLDER, PEERS, method

    from napari_zsdeconvnet.simulation.sample import simulate

    monkeypatch.setenv(FOLDER, str(tmp_path))
    sample = simulate("vesicles", shape=(32, 32), seed=1)
    with pytest.raises(Unavailable, match="not installed"):
        method(PEERS[0])(sample, None, 0, "cpu")
    absent = replace(PEERS[0], command="a-command-that-is-not-there")
    with pytest.raises(Unavailable, match="not on the PATH"):
        method(absent)(sample, None, 0, "cpu")
