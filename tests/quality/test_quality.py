from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from lines import gaussian_line
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio

from napari_zsdeconvnet.quality.line_widths import filament_fwhm, profile_fwhm, profiles_across
from napari_zsdeconvnet.quality.reference_metrics import (
    enlarge,
    fit_intensity,
    flux_ratio,
    psnr,
    score,
    ssim,
    truth_at_resolution,
)
from napari_zsdeconvnet.quality.ring_correlation import fourier_ring_correlation
from napari_zsdeconvnet.utils.errors import InputError

DATA = Path(__file__).parents[2].parent / "shared" / "data"
REFERENCE, REFERENCE_VOLUME = DATA / "reference2d", DATA / "reference3d"
needs_reference = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="the reference image with known truth is not on this machine"
)
needs_reference_volume = pytest.mark.skipif(
    not REFERENCE_VOLUME.is_dir(), reason="the reference volume with known truth is not here"
)


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    reference = ndimage.gaussian_filter(rng.uniform(size=(70, 90)), 2)
    return reference + rng.normal(scale=0.01, size=reference.shape), reference


@pytest.fixture
def volumes():
    rng = np.random.default_rng(1)
    reference = ndimage.gaussian_filter(rng.uniform(size=(18, 30, 34)), (1, 2, 2))
    return reference + rng.normal(scale=0.02, size=reference.shape), reference


@pytest.mark.parametrize("fixture", ["pair", "volumes"])
def test_ssim_follows_its_definition(fixture, request):
    x, y = request.getfixturevalue(fixture)
    c1, c2 = (0.01 * 0.3) ** 2, (0.03 * 0.3) ** 2

    def mean(values):
        return ndimage.gaussian_filter(values, 1.5, radius=5)

    variance = mean(x * x) - mean(x) ** 2 + mean(y * y) - mean(y) ** 2
    covariance = mean(x * y) - mean(x) * mean(y)
    similarity = (2 * mean(x) * mean(y) + c1) * (2 * covariance + c2)
    similarity /= (mean(x) ** 2 + mean(y) ** 2 + c1) * (variance + c2)
    inside = (slice(5, -5),) * x.ndim

    assert ssim(x, y, 0.3) == pytest.approx(similarity[inside].mean(), abs=1e-12)


def test_psnr_equals_the_reference_implementation(pair):
    image, reference = pair

    assert psnr(image, reference, 0.3) == pytest.approx(
        peak_signal_noise_ratio(reference, image, data_range=0.3)
    )
    assert psnr(reference, reference, 0.3) == np.inf


def test_scores_do_not_depend_on_scale_and_level(pair):
    image, reference = pair

    plain = score(image, reference, border=4)
    scaled = score(7 * image - 100, reference, border=4)
    assert scaled.psnr == pytest.approx(plain.psnr)
    assert scaled.ssim == pytest.approx(plain.ssim)


def test_score_by_hand(pair):
    image, reference = pair
    inside = (slice(8, -8), slice(8, -8))
    slope, level = np.polyfit(image[inside].ravel(), reference[inside].ravel(), 1)
    error = np.mean((slope * image[inside] + level - reference[inside]) ** 2)

    expected = 10 * np.log10(np.ptp(reference[inside]) ** 2 / error)
    assert score(image, reference, border=8).psnr == pytest.approx(expected)


def test_the_border_does_not_count(pair):
    image, reference = pair
    spoilt = image.copy()
    spoilt[:4] = 1e3

    assert score(spoilt, reference, border=4) == score(image, reference, border=4)
    assert score(spoilt, reference).psnr < score(image, reference).psnr - 3


def test_score_refuses_what_it_cannot_compare(pair):
    image, reference = pair

    with pytest.raises(InputError, match="bring both to one grid"):
        score(image[1:], reference)
    with pytest.raises(InputError, match="smaller border"):
        score(image, reference, border=30)
    with pytest.raises(InputError, match="flat"):
        score(image, np.ones_like(reference))


def test_the_border_of_a_volume_may_differ_between_its_axes(volumes):
    image, reference = volumes
    inside = (slice(3, -3), slice(8, -8), slice(9, -9))

    cropped = score(image[inside], reference[inside])
    assert score(image, reference, border=(3, 8, 9)) == cropped
    assert score(image, reference, border=3) != cropped


def test_score_refuses_other_axes_and_borders_without_a_middle(volumes):
    image, reference = volumes

    with pytest.raises(InputError, match="4 axes"):
        score(image[None], reference[None])
    with pytest.raises(InputError, match="border holds 2 numbers for 3 axes"):
        score(image, reference, border=(3, 8))
    with pytest.raises(InputError, match=r"border of \(4, 8, 8\) leaves less than 11 pixels"):
        score(image, reference, border=(4, 8, 8))


def test_fit_intensity_finds_the_line_and_survives_a_flat_image():
    reference = np.arange(12.0).reshape(3, 4)

    np.testing.assert_allclose(fit_intensity(3 * reference - 5, reference), reference)
    np.testing.assert_allclose(fit_intensity(np.ones((3, 4)), reference), 5.5)


def test_truth_at_resolution_widens_a_point_to_the_width_asked_for():
    point = np.zeros((61, 61))
    point[30, 30] = 1
    blurred = truth_at_resolution(point, 0.2, 0.02)

    assert blurred.sum() == pytest.approx(1)
    # One pixel of 20 nm sampled on the Gaussian's own nodes: the width is exact but for rounding.
    assert blurred[30, 35] / blurred[30, 30] == pytest.approx(0.5, rel=0.01)


def test_truth_at_resolution_has_a_width_for_each_axis():
    point = np.zeros((31, 61, 61))
    point[15, 30, 30] = 1
    blurred = truth_at_resolution(point, (0.8, 0.4, 0.4), (0.1, 0.04, 0.04))

    assert blurred.sum() == pytest.approx(1)
    for index in ((19, 30, 30), (15, 35, 30), (15, 30, 25)):
        assert blurred[index] / blurred.max() == pytest.approx(0.5, rel=0.01)
    with pytest.raises(InputError, match="The voxel size holds 2 numbers for 3 axes"):
        truth_at_resolution(point, 0.3, (0.1, 0.1))


def test_flux_ratio_compares_means_above_the_offset():
    assert flux_ratio(np.full((8, 8), 3.0), np.full((4, 4), 104), 100) == pytest.approx(0.75)
    assert flux_ratio(np.full((5, 8, 8), 3.0), np.full((5, 4, 4), 104), 100) == pytest.approx(0.75)


def test_enlarge_keeps_flat_images_planes_and_the_place_of_things():
    flat = enlarge(np.full((5, 6), 3.0))
    assert flat.shape == (10, 12)
    np.testing.assert_allclose(flat, 3.0)

    spot = np.zeros((21, 21))
    spot[8, 12] = 1
    y, x = ndimage.center_of_mass(enlarge(ndimage.gaussian_filter(spot, 2)))
    # The centre of raw pixel i lies at 2 i + 1/2 of the doubled grid.
    assert (y, x) == pytest.approx((16.5, 24.5), abs=1e-3)


def test_enlarge_treats_the_planes_of_a_stack_one_by_one():
    stack = np.random.default_rng(0).normal(size=(3, 8, 9))

    np.testing.assert_array_equal(enlarge(stack), [enlarge(plane) for plane in stack])


def test_enlarge_equals_torch_bicubic():
    torch = pytest.importorskip("torch")
    image = np.random.default_rng(0).normal(size=(9, 13))
    expected = torch.nn.functional.interpolate(
        torch.tensor(image)[None, None], scale_factor=2, mode="bicubic", align_corners=False
    )[0, 0].numpy()

    np.testing.assert_allclose(enlarge(image), expected, atol=1e-12)


def test_ring_correlation_of_an_image_with_itself_is_one():
    image = np.random.default_rng(0).normal(size=(64, 64))
    result = fourier_ring_correlation(image, 3 * image + 7, 0.1)

    np.testing.assert_allclose(result.correlation, 1)
    assert result.resolution == pytest.approx(0.2)
    assert result.frequency[-1] == pytest.approx(5)


def test_ring_correlation_of_two_noises_resolves_nothing():
    rng = np.random.default_rng(1)
    result = fourier_ring_correlation(rng.normal(size=(256, 256)), rng.normal(size=(256, 256)), 0.1)

    # A ring of n independent pixels scatters by sqrt(2/n); the outer ones hold hundreds.
    assert np.abs(result.correlation[40:]).max() < 0.25
    assert result.resolution > 1


def test_ring_correlation_finds_a_known_cutoff():
    rng = np.random.default_rng(2)
    size, pixel, cutoff = 256, 0.05, 4.0
    frequency = np.hypot(np.fft.fftfreq(size, pixel)[:, None], np.fft.fftfreq(size, pixel))
    structure = np.fft.ifft2(np.fft.fft2(rng.normal(size=(size, size))) * (frequency < cutoff)).real
    first, second = (structure + 0.1 * rng.normal(size=(size, size)) for _ in range(2))

    result = fourier_ring_correlation(first, second, pixel)
    # So steep an end is spread: over three rings by the window, by one more in the running mean.
    assert 1 / result.resolution == pytest.approx(cutoff, abs=4 / (size * pixel))


def test_ring_correlation_matches_the_theory_at_every_ring():
    rng = np.random.default_rng(3)
    structure = rng.normal(size=(256, 256))
    first, second = (structure + rng.normal(size=structure.shape) for _ in range(2))

    # Signal and noise of equal white power correlate by a half.
    result = fourier_ring_correlation(first, second, 1.0)
    assert result.correlation[20:].mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("angle", [0.0, 0.4, 1.2, np.pi / 2])
def test_fwhm_of_a_line_of_known_width_at_any_angle(angle):
    image, path = gaussian_line((80, 80), angle, sigma=3.0)

    width = filament_fwhm(image, [path], 0.03, reach=0.5)
    assert width == pytest.approx(3.0 * 2.3548 * 0.03, rel=0.01)


def test_fwhm_ignores_a_background_and_what_crosses():
    image, path = gaussian_line((80, 80), 0.3, sigma=3.0)
    crossing, _ = gaussian_line((80, 80), 0.3 + np.pi / 2, sigma=3.0)

    width = filament_fwhm(50 + image + crossing, [path], 0.03, reach=0.5)
    assert width == pytest.approx(3.0 * 2.3548 * 0.03, rel=0.03)


def test_fwhm_that_cannot_be_measured_is_nan():
    image, path = gaussian_line((80, 80), 0.3, sigma=3.0)

    assert np.isnan(filament_fwhm(image, [path + 500], 0.03))
    assert np.isnan(filament_fwhm(image, [path[:20]], 0.03))
    assert np.isnan(profile_fwhm(np.arange(9.0), np.arange(9.0)))


def test_profiles_run_across_the_line_and_stay_inside():
    rows = np.repeat(np.arange(20.0)[:, None], 30, axis=1)
    path = np.stack([np.full(200, 10.0), np.arange(-10, 40, 0.25)], axis=1)
    offsets, profiles = profiles_across(rows, path, reach=4)

    assert len(profiles) == 30
    assert np.ptp(profiles, axis=0) == pytest.approx(0, abs=1e-6)
    assert np.abs(profiles[5] - 10) == pytest.approx(np.abs(offsets), abs=1e-3)


VOXEL = (0.2, 0.08, 0.08)


def gaussian_line_in_a_volume(azimuth, slope, lateral=0.11, axial=0.3, shape=(40, 80, 80)):
    """Draw a line blurred by a Gaussian of these sigmas, in um; return the volume and its path.

    The exact integral of an anisotropic Gaussian along a line: in coordinates divided by the
    sigmas the blur is round, and depends on the distance from the line alone.
    """
    sigmas = np.array([axial, lateral, lateral])
    direction = np.array(
        [np.sin(slope), np.cos(slope) * np.sin(azimuth), np.cos(slope) * np.cos(azimuth)]
    )
    middle = (np.array(shape) - 1) / 2
    scaled = [
        (np.arange(n) - m) * size / sigma
        for n, m, size, sigma in zip(shape, middle, VOXEL, sigmas, strict=True)
    ]
    z, y, x = np.meshgrid(*scaled, indexing="ij")
    along = direction / sigmas
    along /= np.linalg.norm(along)
    distance_squared = z**2 + y**2 + x**2 - (z * along[0] + y * along[1] + x * along[2]) ** 2
    path = middle + np.arange(-2.5, 2.5, 0.02)[:, None] * direction / VOXEL
    return np.exp(-distance_squared / 2), path


@pytest.mark.parametrize(("azimuth", "slope"), [(0.0, 0.0), (0.7, 0.0), (1.3, 0.2), (0.4, -0.3)])
def test_a_line_in_a_volume_has_a_width_sideways_and_one_along_z(azimuth, slope):
    volume, path = gaussian_line_in_a_volume(azimuth, slope)

    sideways = filament_fwhm(volume, [path], VOXEL)
    assert sideways == pytest.approx(0.11 * 2.3548, rel=0.02)
    along_z = filament_fwhm(volume, [path], VOXEL, axial=True)
    # Along z a slope lengthens the width by this factor, which is why steep parts do not count.
    longer = np.sqrt(1 + (0.11 / 0.3 * np.tan(slope)) ** 2)
    assert along_z == pytest.approx(0.3 * 2.3548 * longer, rel=0.02)


def test_a_steep_line_has_no_axial_width_and_an_upright_one_no_lateral_one():
    volume, path = gaussian_line_in_a_volume(0.3, 0.5)
    assert np.isnan(filament_fwhm(volume, [path], VOXEL, axial=True))
    assert np.isfinite(filament_fwhm(volume, [path], VOXEL))

    volume, path = gaussian_line_in_a_volume(0.0, np.pi / 2)
    assert np.isnan(filament_fwhm(volume, [path], VOXEL))


def test_an_axial_profile_of_a_flat_image_is_refused():
    image, path = gaussian_line((80, 80), 0.2, 4.0)

    with pytest.raises(InputError, match="needs ZYX"):
        profiles_across(image, path, reach=4, axial=True)


@needs_reference
def test_the_convention_reproduces_the_known_scores():
    """Scores that another program measured on this image, to a tenth of a decibel."""
    raw, noise_free, truth = (
        tifffile.imread(REFERENCE / f"{name}.tif") for name in ("raw", "noise_free", "truth")
    )
    target = truth_at_resolution(truth, 0.1, 0.0313)

    interpolated = score(enlarge(raw), target, border=32)
    assert interpolated.psnr == pytest.approx(30.6, abs=0.06)
    assert interpolated.ssim == pytest.approx(0.671, abs=0.001)
    ideal = score(enlarge(noise_free), target, border=32)
    assert ideal.psnr == pytest.approx(32.0, abs=0.06)
    assert ideal.ssim == pytest.approx(0.737, abs=0.001)
    assert score(raw, noise_free, border=16).psnr == pytest.approx(31.3, abs=0.06)


@needs_reference_volume
def test_the_convention_reproduces_the_known_score_of_a_volume():
    raw, noise_free, truth = (
        tifffile.imread(REFERENCE_VOLUME / f"{name}.tif") for name in ("raw", "noise_free", "truth")
    )
    target = truth_at_resolution(truth, (0.35, 0.15, 0.15), (0.1852, 0.0926, 0.0926))

    # The known SSIM is of another window, so it is not compared.
    assert score(raw, target, border=(3, 12, 12)).psnr == pytest.approx(36.6, abs=0.06)
    assert score(raw, noise_free, border=(3, 12, 12)).psnr == pytest.approx(35.6, abs=0.06)
