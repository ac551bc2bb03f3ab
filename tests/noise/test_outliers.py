"""Isolated outliers: found where light and noise cannot be the reason, and nowhere else."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter, maximum_filter

from napari_zsdeconvnet.noise.outliers import gaussian_bound, isolated_outliers
from napari_zsdeconvnet.noise.usable_pixels import usable_pixels
from napari_zsdeconvnet.simulation.sample import simulate

SHARED = Path(__file__).parents[3] / "shared" / "data"


@lru_cache(maxsize=8)
def phantom(kind: str, size: int, seed: int) -> np.ndarray:
    """Give a phantom as a PSF of 2.3 pixels shows it, about 1 where it is bright."""
    sample = simulate(kind, shape=(size, size), photons=1.0, pixel_size=0.09, seed=seed)
    return sample.noise_free


def expose(light: np.ndarray, seed: int = 0, gain: float = 0.5, read: float = 1.4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.rint(100 + gain * rng.poisson(light) + rng.normal(0, read, light.shape))


def spots(width: float, count: int, seed: int = 0, size: int = 192) -> np.ndarray:
    """Point sources anywhere, blurred and sampled by square pixels; the brightest are about 1."""
    rng = np.random.default_rng(seed)
    fine = np.zeros((4 * size,) * 2)
    np.add.at(fine, tuple(rng.integers(0, 4 * size, (2, count))), rng.exponential(1.0, count))
    image = gaussian_filter(fine, 4 * width / 2.355)
    image = image.reshape(size, 4, size, 4).mean(axis=(1, 3))
    return image / np.quantile(image, 0.999)


@pytest.fixture(scope="module")
def cells() -> np.ndarray:
    return expose(3 + 200 * phantom("filaments", 256, seed=1))


class TestFound:
    @pytest.mark.parametrize("counts", [0, 300, 4095, 65535])
    def test_a_single_pixel_and_it_alone(self, cells: np.ndarray, counts: float):
        dark = np.argwhere(gaussian_filter(cells, 2) < 105)
        places = dark[:: len(dark) // 7][:7]
        cells = cells.copy()
        cells[tuple(places.T)] = counts
        assert sorted(map(tuple, np.argwhere(isolated_outliers(cells, 2.2)))) == sorted(
            map(tuple, places)
        )

    @pytest.mark.parametrize(
        "cluster", [((0, 0), (0, 1)), ((0, 0), (1, 1)), ((0, 0), (0, 1), (1, 0), (1, 1))]
    )
    def test_small_clusters(self, cells: np.ndarray, cluster):
        places = np.array([100, 40]) + cluster
        cells = cells.copy()
        cells[tuple(places.T)] = 20_000
        found = isolated_outliers(cells, 2.2)
        assert found[tuple(places.T)].all()
        assert found.sum() == len(places)

    def test_at_corners_and_borders(self, cells: np.ndarray):
        places = ((0, 0), (0, 100), (255, 255), (90, 0))
        cells = cells.copy()
        for place in places:
            cells[place] = 5000
        assert sorted(map(tuple, np.argwhere(isolated_outliers(cells)))) == sorted(places)

    def test_a_dead_pixel_in_bright_structure(self):
        image = expose(400 * np.ones((64, 64)))
        image[30, 31] = 0
        assert [tuple(p) for p in np.argwhere(isolated_outliers(image))] == [(30, 31)]

    @pytest.mark.parametrize("turned", [False, True])
    @pytest.mark.parametrize("width", [1, 2])
    @pytest.mark.parametrize("counts", [0.0, 3000.0])
    def test_a_column_or_row_or_part_of_one(self, turned: bool, width: int, counts: float):
        image = expose(3 + 100 * spots(2.5, 200))
        marked = np.zeros(image.shape, bool)
        marked[60:, 50 : 50 + width] = True
        if turned:
            marked = marked.T
        image[marked] = counts
        found = isolated_outliers(image, 2.5)
        assert found[marked].mean() > 0.95
        assert (found & ~marked).sum() == 0

    def test_on_structure_as_bright_as_light_could_be_there(self, cells: np.ndarray):
        brightest = maximum_filter(cells, 3)[10:-10, 10:-10]
        place = np.unravel_index(np.argmin(np.abs(brightest - 160)), brightest.shape)
        place = (place[0] + 10, place[1] + 10)
        cells = cells.copy()
        cells[place] = 300
        assert isolated_outliers(cells, 2.2)[place]


class TestOnStructure:
    """Where the PSF is known to be well sampled, a pixel follows from those around it."""

    @pytest.mark.parametrize("width", [2.3, 3.0, 6.0])
    def test_hot_pixels_among_many_points(self, width: float):
        image = expose(2 + 200 * spots(width, 900), gain=2.0)
        rng = np.random.default_rng(1)
        places = np.zeros(image.shape, bool)
        places[tuple(rng.integers(2, 190, (2, 60)))] = True
        image[places] += 300
        found = isolated_outliers(image, width)
        assert not (found & ~places).any()
        assert found[places].sum() >= 0.9 * places.sum()
        # Those that are left out hardly raise the noise.
        assert found[places].sum() > isolated_outliers(image)[places].sum() + 5

    def test_a_dead_pixel_where_a_pixel_has_few_electrons_to_lose(self):
        y, x = np.mgrid[:128, :128]
        image = expose(1500 * np.exp(-((y - 60) ** 2 + (x - 60) ** 2) / 800), read=2.0)
        image[58, 63] = 100 + 0.6 * (image[58, 63] - 100)
        assert [tuple(place) for place in np.argwhere(isolated_outliers(image, 3.0))] == [(58, 63)]

    @pytest.mark.parametrize("seed", [0, 1])
    @pytest.mark.parametrize("count", [5, 60, 900])
    @pytest.mark.parametrize(("true", "told"), [(2.2, 2.2), (2.2, 8.0), (4.0, 4.0), (1.9, 2.2)])
    def test_single_molecules_and_vesicles_are_none(
        self, true: float, told: float, count: int, seed: int
    ):
        image = expose(2 + 3000 * spots(true, count, seed), seed)
        assert not isolated_outliers(image, told).any()


class TestNotFound:
    """Not one false outlier, or next to none where noise has tails of its own."""

    @pytest.mark.parametrize("photons", [1, 5, 50, 1000, 20_000])
    @pytest.mark.parametrize("kind", ["filaments", "vesicles", "mesh"])
    def test_in_phantoms(self, kind: str, photons: float):
        image = expose(0.3 + photons * phantom(kind, 192, seed=3), seed=4, gain=2.0)
        assert not isolated_outliers(image, 2.2).any()
        assert not isolated_outliers(image).any()

    @pytest.mark.parametrize("photons", [5, 50, 1000])
    @pytest.mark.parametrize("count", [200, 5000])
    @pytest.mark.parametrize("width", [1.3, 2.0, 3.0])
    def test_in_point_sources_as_coarse_as_they_are_said_to_be(
        self, width: float, count: int, photons: float
    ):
        image = expose(0.3 + photons * spots(width, count))
        assert isolated_outliers(image, width).sum() <= 1
        assert isolated_outliers(image).sum() <= 1

    def test_where_photons_are_counted_one_by_one(self):
        rng = np.random.default_rng(5)
        for mean in (0.001, 0.05, 0.7):
            for step in (1.0, 200.0):
                image = step * rng.poisson(mean + 5 * mean * spots(2.2, 300))
                assert not isolated_outliers(image, 2.2).any()

    def test_in_noise_with_heavy_tails(self):
        rng = np.random.default_rng(6)
        light = 3 + 100 * spots(2.2, 300)
        multiplied = 500 + 100 * rng.gamma(np.maximum(rng.poisson(light), 1e-9))
        assert isolated_outliers(multiplied, 2.2).sum() <= 3
        laplace = 100 + light + rng.laplace(0, 3, light.shape)
        assert isolated_outliers(laplace, 2.2).sum() <= 1

    @pytest.mark.parametrize(
        ("file", "most"),
        [
            ("widefield2d/terra_rna_spots.tif", 0),
            ("reference2d/raw.tif", 0),
            ("sim2d/hela_mitochondria_raw.tif", 0),
            ("sim2d/cristae_raw.tif", 0),
            ("widefield2d/telomeres_timelapse.tif", 3),
        ],
    )
    def test_in_recordings(self, file: str, most: int):
        path = SHARED / file
        if not path.is_file():
            pytest.skip(f"{path} is not there: a recording kept outside the package")
        planes = tifffile.imread(path)
        planes = planes.reshape(-1, *planes.shape[-2:])[:40]
        for width in (None, 2.2):
            assert sum(int(isolated_outliers(plane, width).sum()) for plane in planes) <= most


def test_the_bound_is_that_of_a_point_source():
    pixels = gaussian_filter(np.eye(1, 41 * 9, 20 * 9 + 4)[0], 9 * 2.0 / 2.355)
    profile = pixels.reshape(41, 9).mean(axis=1)
    assert profile[20] / profile[19] == pytest.approx(gaussian_bound(2.0), rel=0.03)
    assert gaussian_bound(9.0) == gaussian_bound(2.0) < gaussian_bound(1.2) < gaussian_bound(None)


@pytest.mark.parametrize("brightest", [300, 3000])
def test_dim_corners_of_a_hazy_volume_are_no_dead_pixels(brightest: int):
    """Haze falls off to the borders, so that corners lie far below the darkest few per cent."""
    y, x = np.mgrid[:200, :180]
    haze = 50 + brightest * np.exp(-((y - 100) ** 2 + (x - 90) ** 2) / (2 * 70**2))
    volume = 100 + np.random.default_rng(3).poisson(np.repeat(haze[None], 16, axis=0))
    assert usable_pixels(volume[None]) is None  # (T, Z, Y, X)
