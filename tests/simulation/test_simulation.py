from __future__ import annotations

import numpy as np
import pytest

from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.quality.line_widths import filament_fwhm
from napari_zsdeconvnet.simulation.drawing import draw_lines, draw_shells, draw_spheres
from napari_zsdeconvnet.simulation.phantoms import PHANTOMS
from napari_zsdeconvnet.simulation.phantoms_3d import PHANTOMS_3D
from napari_zsdeconvnet.simulation.sample import (
    BRIGHT_PERCENTILE,
    bin_2x2,
    blur,
    camera,
    simulate,
    simulate_volume,
)
from napari_zsdeconvnet.utils.errors import InputError

SMALL = (96, 80)
SMALL_VOLUME = (12, 40, 36)
VOXEL = (0.2, 0.09, 0.09)


@pytest.mark.parametrize("kind", PHANTOMS)
def test_every_phantom_has_the_promised_grids_and_brightness(kind):
    sample = simulate(kind, shape=SMALL, photons=30, seed=2)

    assert sample.raw.shape == sample.second_exposure.shape == sample.noise_free.shape == SMALL
    assert sample.raw.dtype == sample.second_exposure.dtype == np.uint16
    assert sample.truth.shape == (192, 160)
    assert sample.truth.dtype == sample.noise_free.dtype == np.float32
    assert sample.truth.min() >= 0
    assert np.percentile(sample.noise_free, BRIGHT_PERCENTILE) == pytest.approx(30, rel=1e-4)
    assert sample.psf.voxel_size == pytest.approx((0.0313, 0.0313))
    # Structure, and not one flat value: most of the field is darker than a third of the peak.
    assert np.median(sample.noise_free) < 10


@pytest.mark.parametrize("kind", PHANTOMS)
def test_blur_and_binning_keep_the_light(kind):
    sample = simulate(kind, shape=(256, 256), seed=4)

    # Only what the PSF carries over the border of the field can differ.
    assert sample.noise_free.mean() == pytest.approx(sample.truth.mean(), rel=0.02)


def test_a_seed_gives_the_same_sample_and_another_seed_another_one():
    first, again, other = (simulate(shape=SMALL, seed=seed) for seed in (5, 5, 6))

    assert np.array_equal(first.raw, again.raw)
    assert np.array_equal(first.second_exposure, again.second_exposure)
    assert not np.array_equal(first.truth, other.truth)


def test_the_structure_depends_neither_on_the_light_nor_on_the_camera():
    dim = simulate(shape=SMALL, photons=5, seed=3)
    bright = simulate(
        shape=SMALL, photons=200, noise=NoiseModel(offset=400, gain=2.2, read_variance=9), seed=3
    )

    np.testing.assert_allclose(bright.truth, 40 * dim.truth, rtol=1e-4)


def test_two_exposures_share_the_structure_and_not_the_noise():
    sample = simulate("mesh", shape=(256, 256), photons=20, seed=1)
    first = sample.raw - 100.0 - sample.noise_free
    second = sample.second_exposure - 100.0 - sample.noise_free

    correlation = np.corrcoef(first.ravel(), second.ravel())[0, 1]
    assert abs(correlation) < 4 / np.sqrt(first.size)


def test_raw_minus_noise_free_has_the_variance_of_the_camera():
    noise = NoiseModel(offset=100, gain=2.0, read_variance=9.0)
    sample = simulate("mesh", shape=(256, 256), photons=50, noise=noise, seed=1)
    residual = sample.raw - (100 + 2.0 * sample.noise_free)
    expected = 4.0 * sample.noise_free + 9.0

    assert abs(residual.mean()) < 4 * np.sqrt(expected.mean() / residual.size)
    # The mean of n squared near-normal values of variance 1 has a standard error of sqrt(2/n).
    assert (residual**2 / expected).mean() == pytest.approx(1, abs=5 * np.sqrt(2 / residual.size))


def test_camera_follows_the_photon_transfer_line():
    noise = NoiseModel(offset=100, gain=2.5, read_variance=6.0)
    rng = np.random.default_rng(0)
    for electrons in (0.0, 3.0, 40.0, 500.0):
        counts = camera(np.full(100_000, electrons), noise, rng).astype(float)
        variance = 2.5**2 * electrons + 6.0
        assert counts.mean() == pytest.approx(
            100 + 2.5 * electrons, abs=5 * np.sqrt(variance / 1e5)
        )
        # The extra term is the kurtosis of the Poisson part, 1/electrons at most.
        spread = np.sqrt((2 + 1 / max(electrons, 1)) / 1e5)
        assert counts.var() == pytest.approx(variance, rel=5 * spread)


def test_camera_clips_at_both_ends_of_its_range():
    rng = np.random.default_rng(0)

    assert camera(np.full(10, 1e6), NoiseModel(100, 1.0, 4.0), rng).tolist() == [65535] * 10
    assert camera(np.zeros(10), NoiseModel(-50, 1.0, 4.0), rng).tolist() == [0] * 10


def test_camera_refuses_what_it_cannot_record():
    rng = np.random.default_rng(0)

    with pytest.raises(InputError, match="gain"):
        camera(np.ones(4), NoiseModel(100, None, 4.0), rng)
    for value in (-1.0, np.nan):
        with pytest.raises(InputError, match="finite and not negative"):
            camera(np.array([1.0, value]), NoiseModel(100, 1.0, 4.0), rng)


def test_blur_equals_the_sum_over_neighbours_and_does_not_mirror_the_psf():
    rng = np.random.default_rng(1)
    kernel = rng.uniform(size=(5, 3)).astype(np.float32)
    psf = PSF.from_array(_peaked(kernel))
    image = rng.uniform(size=(12, 11)).astype(np.float32)

    expected = np.zeros((8, 9))
    for i in range(5):
        for j in range(3):
            expected += psf.array[i, j] * image[4 - i : 12 - i, 2 - j : 11 - j]
    np.testing.assert_allclose(blur(image, psf), expected, rtol=1e-5)


def test_blur_of_a_volume_is_linear_and_reaches_other_planes():
    rng = np.random.default_rng(1)
    psf = PSF.from_array(_peaked(rng.uniform(size=(3, 5, 3)).astype(np.float32)))
    first, second = rng.uniform(size=(2, 7, 12, 11)).astype(np.float32)

    np.testing.assert_allclose(
        blur(first + 3 * second, psf), blur(first, psf) + 3 * blur(second, psf), rtol=1e-5
    )
    point = np.zeros((7, 12, 11), np.float32)
    point[3, 6, 5] = 1
    np.testing.assert_allclose(blur(point, psf)[1:4, 2:7, 3:6], psf.array, atol=1e-6)


def _peaked(kernel):
    kernel = kernel.copy()
    kernel[tuple(n // 2 for n in kernel.shape)] = 2
    return kernel


def test_light_from_outside_the_field_reaches_its_border():
    sample = simulate("mesh", shape=(64, 64), photons=100, seed=0)
    border = np.concatenate([sample.noise_free[:3].ravel(), sample.noise_free[-3:].ravel()])
    inside = sample.noise_free[16:48, 16:48]

    # A border of zeros outside would leave it far darker.
    assert border.mean() > 0.75 * inside.mean()


def test_binning_keeps_a_flat_image_and_averages_neighbours():
    assert np.array_equal(bin_2x2(np.full((4, 6), 7.0)), np.full((2, 3), 7.0))
    assert np.array_equal(bin_2x2(np.arange(8.0).reshape(2, 4)), [[2.5, 4.5]])


def test_a_drawn_line_has_its_length_as_light_and_its_place_as_centroid():
    along = np.arange(0, 20, 0.25)
    path = np.stack([3.3 + 0.6 * along, 5.7 + 0.8 * along], axis=1)
    image = draw_lines((24, 30), [path], np.array([1.5]))

    y, x = np.indices(image.shape)
    assert image.sum() == pytest.approx(1.5 * 20, rel=1e-5)
    assert (y * image).sum() / image.sum() == pytest.approx(path[:, 0].mean(), abs=1e-4)
    assert (x * image).sum() / image.sum() == pytest.approx(path[:, 1].mean(), abs=1e-4)


def test_a_line_that_leaves_the_image_is_cut():
    along = np.arange(-10, 10, 0.25) + 0.125
    image = draw_lines((9, 8), [np.stack([np.full(80, 4.0), along], axis=1)], np.ones(1))

    assert image[4, :8] == pytest.approx(np.ones(8), abs=0.3)
    assert image.sum() == pytest.approx(8, abs=0.6)
    assert np.all(image[[3, 5]] == 0)


def test_a_sphere_holds_its_volume_and_is_brightest_in_the_middle():
    image = draw_spheres((40, 40), np.array([[19.2, 20.6]]), np.array([6.0]), np.array([2.0]))

    assert image.sum() == pytest.approx(2 * 4 / 3 * np.pi * 6**3, rel=0.01)
    assert image[19, 21] == image.max() == pytest.approx(24, rel=0.02)


def test_two_lines_lie_where_the_paths_say():
    sample = simulate("two_lines", shape=(256, 256), separation=0.3, seed=0)

    assert set(sample.separations) == {0.3}
    whole = [path for path in sample.paths if path.min() > 20 and path.max() < 490]
    assert len(whole) >= 3
    for path in whole:
        direction = (path[-1] - path[0]) / np.linalg.norm(path[-1] - path[0])
        side = np.array([direction[1], -direction[0]]) * 0.15 / 0.0313
        rows, columns = np.rint(path).astype(int).T
        assert sample.truth[rows, columns].max() == 0
        for line in (path + side, path - side):
            rows, columns = np.rint(line).astype(int).T
            assert sample.truth[rows, columns].min() > 0


def test_a_separation_of_zero_is_one_line_on_its_path():
    sample = simulate("two_lines", shape=(128, 128), separation=[0.0], seed=0)
    inside = [path for path in sample.paths if path.min() > 2 and path.max() < 250]

    assert inside
    for path in inside:
        rows, columns = np.rint(path).astype(int).T
        assert sample.truth[rows, columns].min() > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kind": "worms"}, "'worms'; choose one of filaments"),
        ({"photons": 0}, "photons is 0"),
        ({"photons": float("nan")}, "photons is nan"),
        ({"pixel_size": -1.0}, "pixel size is -1.0"),
        ({"shape": (0, 8)}, r"shape \(0, 8\)"),
        ({"separation": 0.2}, "'filaments' has no separation"),
        ({"kind": "two_lines", "separation": -0.2}, "separation is -0.2"),
    ],
)
def test_bad_arguments_are_named(arguments, words):
    with pytest.raises(InputError, match=words):
        simulate(**arguments)


# In three dimensions


@pytest.mark.parametrize("upsample", [False, True])
@pytest.mark.parametrize("kind", PHANTOMS_3D)
def test_every_volume_has_the_promised_grids_and_brightness(kind, upsample):
    sample = simulate_volume(kind, shape=SMALL_VOLUME, photons=30, upsample=upsample, seed=2)

    assert sample.raw.shape == sample.second_exposure.shape == SMALL_VOLUME
    assert sample.raw.dtype == np.uint16
    assert sample.truth.shape == ((12, 80, 72) if upsample else SMALL_VOLUME)
    assert sample.truth.min() >= 0
    assert np.percentile(sample.noise_free, BRIGHT_PERCENTILE) == pytest.approx(30, rel=1e-4)
    assert sample.axes == "ZYX"
    assert sample.voxel_size == VOXEL
    assert sample.upsampling == 1 + upsample
    assert sample.psf.voxel_size == pytest.approx(sample.truth_voxel_size)
    assert sample.truth_voxel_size == ((0.2, 0.045, 0.045) if upsample else VOXEL)


@pytest.mark.parametrize("kind", PHANTOMS_3D)
def test_a_volume_is_its_truth_blurred(kind):
    psf = PSF.from_array(_peaked(np.ones((3, 5, 5))), VOXEL)
    sample = simulate_volume(kind, shape=(14, 60, 50), psf=psf, seed=4)

    # The PSF reaches one plane and two pixels: further inside nothing came from beyond.
    expected = blur(sample.truth, psf)
    np.testing.assert_allclose(
        sample.noise_free[1:-1, 2:-2, 2:-2], expected, atol=1e-4 * expected.max()
    )


def test_an_image_and_a_volume_say_their_grids():
    image = simulate(shape=SMALL, seed=1)

    assert image.axes == "YX"
    assert image.upsampling == 2
    assert image.voxel_size == (0.0626, 0.0626)
    assert image.pixel_size == 0.0626
    assert image.truth_voxel_size == pytest.approx((0.0313, 0.0313))


def test_light_from_other_planes_reaches_a_stack():
    psf = PSF.simulate(na=1.1, wavelength=0.525, pixel_size=0.09, axial_step=0.2)
    sample = simulate_volume("shell", shape=(1, 48, 48), psf=psf, seed=0)
    thick = simulate_volume("shell", shape=(21, 48, 48), psf=psf, seed=0)

    assert sample.noise_free.shape == (1, 48, 48)
    # The haze of the planes above and below leaves no dark spot inside a shell.
    assert sample.noise_free.min() > 0
    assert thick.raw.shape == (21, 48, 48)


@pytest.mark.parametrize("modality", ["confocal", "light-sheet"])
def test_a_sectioning_microscope_has_less_haze_than_a_widefield_one(modality):
    widefield = simulate_volume("filaments", shape=(16, 64, 64), seed=1)
    other = simulate_volume("filaments", shape=(16, 64, 64), modality=modality, seed=1)

    assert np.median(other.noise_free) < 0.8 * np.median(widefield.noise_free)


def test_filaments_in_a_volume_are_as_wide_as_the_psf_makes_them():
    # A Gaussian PSF: what it makes of a line is as wide as what it makes of a point.
    sigma = np.array([0.35, 0.13, 0.13])
    place = np.moveaxis(np.indices((17, 15, 15)), 0, -1) - (8, 7, 7)
    psf = PSF.from_array(np.exp(-((place * VOXEL / sigma) ** 2).sum(axis=-1) / 2), VOXEL)
    sample = simulate_volume("filaments", shape=(32, 128, 128), psf=psf, seed=3)

    # Drawing shares light between neighbours, which adds at most a quarter of a voxel squared.
    sideways = filament_fwhm(sample.noise_free, sample.paths, sample.voxel_size)
    assert sideways == pytest.approx(0.13 * 2.3548, rel=0.1)
    along_z = filament_fwhm(sample.noise_free, sample.paths, sample.voxel_size, axial=True)
    assert along_z == pytest.approx(0.35 * 2.3548, rel=0.1)


def test_the_seed_of_a_volume_sets_its_structure_and_not_its_light():
    dim, bright, other = (
        simulate_volume(shape=SMALL_VOLUME, photons=photons, seed=seed)
        for photons, seed in ((5, 3), (200, 3), (5, 4))
    )

    np.testing.assert_allclose(bright.truth, 40 * dim.truth, rtol=1e-4)
    assert not np.array_equal(dim.truth, other.truth)


def test_a_line_in_a_volume_has_its_length_as_light_and_its_place_as_centroid():
    along = np.arange(0, 20, 0.25)
    path = np.stack([2.2 + 0.1 * along, 3.3 + 0.6 * along, 5.7 + 0.8 * along], axis=1)
    volume = draw_lines((8, 24, 30), [path], np.array([1.5]))

    assert volume.sum() == pytest.approx(1.5 * 20, rel=1e-5)
    centroid = [(axis * volume).sum() / volume.sum() for axis in np.indices(volume.shape)]
    assert centroid == pytest.approx(path.mean(axis=0), abs=1e-4)


@pytest.mark.parametrize("wall", [0.2, 2.0])
def test_a_shell_holds_its_volume_at_its_place(wall):
    centre = np.array([10.3, 19.6, 20.2])
    radii = np.array([1.2, 1.0, 0.8])
    volume = draw_shells(
        (21, 40, 40), VOXEL, centre[None], radii[None], np.array([wall]), np.array([2.0])
    )

    inside = np.prod(np.maximum(radii - wall, 0)) if wall < radii.min() else 0.0
    expected = 2 * 4 / 3 * np.pi * (radii.prod() - inside)
    assert volume.sum() * np.prod(VOXEL) == pytest.approx(expected, rel=0.01)
    centroid = [(axis * volume).sum() / volume.sum() for axis in np.indices(volume.shape)]
    assert centroid == pytest.approx(centre, abs=0.02)
    assert volume[10, 20, 20] == pytest.approx(0 if wall < 1 else 2)
    assert volume.max() == pytest.approx(2, rel=1e-3)


def test_a_shell_across_the_border_is_cut_there():
    arguments = (np.array([[0.2]]) * [[1.0, 1, 1]] * 5, np.array([3.0]), np.array([1.0]))
    whole = draw_shells((20, 60, 60), VOXEL, np.array([[9.0, 30.0, 30.0]]), *arguments)
    cut = draw_shells((10, 30, 60), VOXEL, np.array([[-1.0, 10.0, 30.0]]), *arguments)
    outside = draw_shells((10, 30, 60), VOXEL, np.array([[-9.0, 10.0, 30.0]]), *arguments)

    np.testing.assert_allclose(cut, whole[10:, 20:50], atol=1e-6)
    assert not outside.any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kind": "rings"}, "'rings'; choose one of filaments, vesicles, shell, cell"),
        ({"photons": -1}, "photons is -1"),
        ({"shape": (64, 64)}, "planes, rows and columns"),
        ({"voxel_size": (0.2, 0.1)}, r"voxel size is \(0.2, 0.1\)"),
        ({"voxel_size": (0.2, 0.1, 0.09)}, "equal y and x"),
        ({"voxel_size": (-0.2, 0.1, 0.1)}, "voxel size is -0.2"),
        ({"psf": PSF.from_array(_peaked(np.ones((5, 5))))}, "axes YX"),
        (
            {"psf": PSF.from_array(_peaked(np.ones((3, 3, 3))), (0.2, 0.1, 0.1))},
            r"psf.resampled\(\(0.2, 0.09, 0.09\)\)",
        ),
    ],
)
def test_bad_arguments_of_a_volume_are_named(arguments, words):
    with pytest.raises(InputError, match=words):
        simulate_volume(**arguments)
