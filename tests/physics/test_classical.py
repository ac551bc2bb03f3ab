from __future__ import annotations

from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.signal import fftconvolve

from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.physics import classical_deconvolution
from napari_zsdeconvnet.physics.classical_deconvolution import (
    MAX_ITERATIONS,
    iterate_richardson_lucy,
    richardson_lucy,
    until_explained,
    wiener,
)
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.quality.reference_metrics import (
    enlarge,
    flux_ratio,
    score,
    truth_at_resolution,
)
from napari_zsdeconvnet.simulation.sample import camera, simulate
from napari_zsdeconvnet.utils.errors import InputError

DATA = Path(__file__).parents[2].parent / "shared" / "data"
REFERENCE, REFERENCE_VOLUME = DATA / "reference2d", DATA / "reference3d"
needs_reference = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="the reference image with known truth is not on this machine"
)
needs_reference_volume = pytest.mark.skipif(
    not REFERENCE_VOLUME.is_dir(), reason="the reference volume with known truth is not here"
)
CAMERA = NoiseModel(offset=100.0, gain=1.0, read_variance=4.0)
NOISELESS = NoiseModel(offset=0.0, gain=1.0, read_variance=0.0)


@pytest.fixture(scope="module")
def sample():
    return simulate(shape=(128, 120), photons=100, seed=3)


@pytest.fixture(scope="module")
def target(sample):
    return truth_at_resolution(sample.truth, 0.1, sample.pixel_size / 2)


def _gaussian(shape, sigmas):
    z, y, x = np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij")
    return np.exp(-sum((c / s) ** 2 / 2 for c, s in zip((z, y, x), sigmas, strict=True)))


@pytest.fixture(scope="module")
def volume():
    """A few balls blurred by a Gaussian that is longer along z, with its noise; and the PSF."""
    rng = np.random.default_rng(4)
    psf = PSF.from_array(_gaussian((11, 11, 11), (1.8, 1.3, 1.3)))
    truth = np.zeros((12, 40, 36))
    truth[tuple(rng.integers(0, n, 30) for n in truth.shape)] = 800
    expected = np.maximum(fftconvolve(truth, psf.array, mode="same"), 0) + 5
    return camera(expected, CAMERA, rng), psf


@pytest.mark.parametrize(
    ("kernel_shape", "shape", "upsampling"),
    [((7, 5), (20, 17), 2), ((5, 7, 5), (6, 20, 17), 2), ((5, 3, 7), (9, 12, 11), 1)],
)
def test_back_projection_is_the_transpose_of_projection(kernel_shape, shape, upsampling):
    rng = np.random.default_rng(0)
    kernel = rng.uniform(size=kernel_shape)
    projector = classical_deconvolution._Projector(kernel / kernel.sum(), shape, upsampling)
    structure = rng.normal(size=projector.output_shape).astype(np.float32)
    image = rng.normal(size=projector.raw_shape).astype(np.float32)

    # <A x, y> = <x, A^T y>; what is called back projection is A^T y over A^T 1, which is one over
    # the output pixels in a raw pixel.
    forward = np.vdot(projector.project(structure), image)
    backward = np.vdot(structure, projector.back_project(image)) / upsampling**2
    assert forward == pytest.approx(backward, rel=1e-4)


def test_projection_keeps_a_flat_image_and_equals_the_simulated_microscope(sample):
    projector = classical_deconvolution._Projector(sample.psf.array, sample.raw.shape, 2)
    flat = np.full(projector.output_shape, 5, np.float32)
    np.testing.assert_allclose(projector.project(flat), 5, rtol=1e-5)

    structure = np.zeros(projector.output_shape, np.float32)
    projector.crop_output(structure)[:] = sample.truth
    blurred = projector.crop(projector.project(structure))
    # Away from the border, where the simulation has seen what lies outside.
    reach = sample.psf.array.shape[0] // 4 + 1
    inside = (slice(reach, -reach), slice(reach, -reach))
    np.testing.assert_allclose(blurred[inside], sample.noise_free[inside], atol=0.02)


@pytest.mark.parametrize("method", [richardson_lucy, wiener])
def test_counts_are_kept_and_the_grid_is_doubled(sample, method):
    structure = method(sample.raw, sample.psf, sample.noise)

    assert structure.shape == (256, 240)
    assert structure.dtype == np.float32
    assert flux_ratio(structure, sample.raw, 100) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("method", [richardson_lucy, wiener])
def test_both_are_closer_to_the_truth_than_the_raw_image(sample, target, method):
    raw = score(enlarge(sample.raw), target, border=16)
    structure = score(method(sample.raw, sample.psf, sample.noise), target, border=16)

    assert structure.psnr > raw.psnr + 0.8
    assert structure.ssim > raw.ssim


def test_richardson_lucy_explains_a_noise_free_image_ever_better(sample):
    steps = islice(iterate_richardson_lucy(sample.noise_free, sample.psf, NOISELESS), 30)
    errors = [np.mean((step.reblurred - sample.noise_free) ** 2) for step in steps]

    assert all(later < earlier for earlier, later in pairwise(errors))
    assert errors[-1] < 0.05 * errors[0]


def test_richardson_lucy_is_never_negative_and_scales_with_its_input(sample):
    first = richardson_lucy(sample.noise_free, sample.psf, NOISELESS, iterations=8)
    tenfold = richardson_lucy(10 * sample.noise_free, sample.psf, NOISELESS, iterations=8)

    assert first.min() >= 0
    np.testing.assert_allclose(tenfold, 10 * first, rtol=1e-3, atol=1e-4)


def test_an_integer_image_and_a_whole_offset_do_not_wrap_around(sample):
    whole = NoiseModel(offset=100, gain=1, read_variance=4)
    as_integers = richardson_lucy(sample.raw, sample.psf, whole, iterations=3)
    as_floats = richardson_lucy(sample.raw.astype(float), sample.psf, CAMERA, iterations=3)

    np.testing.assert_allclose(as_integers, as_floats, rtol=1e-6)


def test_an_asymmetric_psf_is_undone_and_not_doubled():
    # One tail to the lower right; a mirrored model would move the point away from its place.
    kernel = np.zeros((9, 9), np.float32)
    kernel[4, 4], kernel[5, 5], kernel[6, 6], kernel[7, 7] = 4, 3, 2, 1
    psf = PSF.from_array(kernel)
    truth = np.zeros((40, 40), np.float32)
    truth[20, 20] = 100
    image = np.zeros_like(truth)
    for step, weight in enumerate((0.4, 0.3, 0.2, 0.1)):
        image[20 + step, 20 + step] = 100 * weight

    structure = richardson_lucy(image, psf, NOISELESS, iterations=100, upsampling=1)
    assert structure[20, 20] > 90


def test_the_grid_of_the_output_can_be_that_of_the_image(sample):
    assert richardson_lucy(
        sample.raw, sample.psf, sample.noise, iterations=2, upsampling=1
    ).shape == (128, 120)


def test_the_rule_stops_where_the_residual_is_as_large_as_the_noise(sample):
    by_rule = richardson_lucy(sample.raw, sample.psf, sample.noise)
    endless = iterate_richardson_lucy(sample.raw, sample.psf, sample.noise)
    steps = list(until_explained(endless))

    assert 3 < len(steps) < MAX_ITERATIONS
    assert steps[-1].explains_image
    assert not any(step.explains_image for step in steps[:-1])
    assert steps[-1].chi_square == pytest.approx(1, abs=0.05)
    np.testing.assert_array_equal(by_rule, steps[-1].estimate)


def test_the_rule_stops_near_the_iteration_that_is_closest_to_the_truth(sample, target):
    steps = islice(iterate_richardson_lucy(sample.raw, sample.psf, sample.noise), 60)
    closeness = [score(step.estimate, target, border=16).psnr for step in steps]
    by_rule = score(richardson_lucy(sample.raw, sample.psf, sample.noise), target, border=16)

    assert by_rule.psnr > max(closeness) - 1
    assert by_rule.psnr > closeness[-1] + 1, "iterated on, it takes noise for structure"


def test_the_rule_stops_in_any_case(sample):
    # Of a PSF that is far too wide no structure explains the image.
    wrong = PSF.simulate(na=0.5, wavelength=0.525, pixel_size=0.0313, size=65)
    small = sample.raw[:48, :48]
    steps = list(until_explained(iterate_richardson_lucy(small, wrong, sample.noise)))

    assert len(steps) == MAX_ITERATIONS
    assert not steps[-1].explains_image


def test_chi_square_of_the_true_image_is_one(sample):
    """The measure of the rule itself: the truth leaves a residual of exactly the noise."""
    signal = sample.raw.astype(np.float32) - 100
    chi_square = classical_deconvolution._chi_square(signal, sample.noise_free, sample.noise)

    assert chi_square == pytest.approx(1, abs=4 * np.sqrt(2 / signal.size))


@pytest.mark.parametrize("method", [richardson_lucy, wiener])
def test_a_stack_keeps_its_planes_and_its_light(volume, method):
    stack, psf = volume
    structure = method(stack, psf, CAMERA)
    doubled = method(stack, PSF.from_array(psf.array), CAMERA, upsampling=2)

    assert structure.shape == stack.shape
    assert doubled.shape == (12, 80, 72)
    for result in (structure, doubled):
        assert result.dtype == np.float32
        assert flux_ratio(result, stack, 100) == pytest.approx(1, abs=0.01)


def test_the_projection_of_a_stack_is_the_sum_over_neighbours():
    rng = np.random.default_rng(1)
    kernel = rng.uniform(size=(3, 5, 3))
    projector = classical_deconvolution._Projector(kernel, (6, 8, 9), 1)
    structure = rng.uniform(size=projector.output_shape).astype(np.float32)

    z, y, x = 4, 6, 5
    around = structure[z - 1 : z + 2, y - 2 : y + 3, x - 1 : x + 2]
    expected = np.sum(around * kernel[::-1, ::-1, ::-1])
    assert projector.project(structure)[z, y, x] == pytest.approx(expected, rel=1e-5)


def test_richardson_lucy_brings_light_back_to_its_plane_and_place(volume):
    _, psf = volume
    truth = np.zeros((15, 32, 30), np.float32)
    truth[7, 16, 14] = 1000
    image = fftconvolve(truth, psf.array, mode="same").astype(np.float32)
    structure = richardson_lucy(image, psf, NOISELESS, iterations=200)

    assert np.unravel_index(structure.argmax(), structure.shape) == (7, 16, 14)
    assert structure.max() > 4 * image.max()
    assert structure.sum() == pytest.approx(1000, rel=0.01)


def test_a_psf_deeper_than_the_stack_does_no_harm():
    psf = PSF.from_array(_gaussian((13, 9, 9), (2.5, 1.2, 1.2)))
    structure = richardson_lucy(np.full((4, 20, 22), 30.0), psf, NOISELESS, iterations=10)

    np.testing.assert_allclose(structure, 30, rtol=1e-3)


def test_an_iteration_is_not_changed_by_the_next_one(sample):
    steps = iterate_richardson_lucy(sample.raw, sample.psf, sample.noise)
    first = next(steps)
    estimate, reblurred = first.estimate.copy(), first.reblurred.copy()
    next(steps)

    assert np.array_equal(first.estimate, estimate)
    assert np.array_equal(first.reblurred, reblurred)


def test_borders_hold_no_artefact():
    # A flat image of noise-free light must stay flat up to its last pixel.
    psf = PSF.simulate(na=1.3, wavelength=0.525, pixel_size=0.0313)
    structure = richardson_lucy(np.full((64, 60), 50.0), psf, NOISELESS, iterations=30)

    np.testing.assert_allclose(structure, 50, rtol=1e-3)


def test_an_empty_image_gives_an_empty_structure(sample):
    rng = np.random.default_rng(0)
    blank = rng.normal(100, 2, size=(64, 64))
    structure = richardson_lucy(blank, sample.psf, CAMERA)

    assert np.all(np.isfinite(structure))
    assert structure.max() < 2


def test_wiener_is_linear_at_a_given_regularisation(sample):
    def restore(image):
        return wiener(image, sample.psf, NOISELESS, regularisation=0.05)

    raw, free = sample.raw.astype(float), sample.noise_free.astype(float)
    np.testing.assert_allclose(restore(raw + 2 * free), restore(raw) + 2 * restore(free), atol=0.05)


def test_wiener_by_rule_leaves_a_residual_as_large_as_the_noise():
    # A mesh, because its noise is as strong in the middle, where we look, as on average.
    sample = simulate("mesh", shape=(256, 256), photons=50, seed=1)
    structure = wiener(sample.raw, sample.psf, sample.noise)
    projector = classical_deconvolution._Projector(sample.psf.array, sample.raw.shape, 2)
    wide = np.zeros(projector.output_shape, np.float32)
    projector.crop_output(wide)[:] = structure
    reach = sample.psf.array.shape[0] // 2
    inside = (slice(reach, -reach), slice(reach, -reach))
    residual = (projector.crop(projector.project(wide)) - (sample.raw - 100.0))[inside]

    noise = float(sample.raw.mean() - 100 + 4)
    assert np.mean(residual**2) == pytest.approx(noise, rel=0.1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": np.zeros((3, 8, 8))}, "3 axes and the PSF 2"),
        ({"image": np.zeros((2, 3, 8, 8))}, "4 axes"),
        ({"image": np.full((8, 8), np.nan)}, "not finite"),
        ({"iterations": 0}, "iterations is 0"),
        ({"noise": NoiseModel(100, None, 4.0)}, "no gain"),
        ({"noise": NoiseModel(100, None, 0.0)}, "no gain"),
        ({"upsampling": 0}, "upsampling is 0"),
    ],
)
def test_bad_arguments_are_named(sample, change, words):
    arguments = {"image": sample.raw, "psf": sample.psf, "noise": sample.noise} | change
    with pytest.raises(InputError, match=words):
        richardson_lucy(**arguments)


def test_a_negative_regularisation_is_refused(sample):
    with pytest.raises(InputError, match="regularisation is -1"):
        wiener(sample.raw, sample.psf, sample.noise, regularisation=-1)


def test_an_unknown_gain_does_no_harm_where_it_is_not_needed(sample):
    noise = NoiseModel(offset=100, gain=None, read_variance=0.0)
    step = next(iterate_richardson_lucy(sample.raw, sample.psf, noise))

    assert np.isnan(step.chi_square)


@needs_reference
def test_richardson_lucy_reproduces_the_known_scores():
    """Scores that another program measured on this image: 36.6 at 10 iterations, 40.5 at 50."""
    raw, noise_free, truth, psf = (
        tifffile.imread(REFERENCE / f"{name}.tif") for name in ("raw", "noise_free", "truth", "psf")
    )
    target = truth_at_resolution(truth, 0.1, 0.0313)
    plain = NoiseModel(offset=100, gain=1.0, read_variance=0.0)
    steps = list(islice(iterate_richardson_lucy(raw, PSF.from_array(psf), plain), 50))

    tenth = score(steps[9].estimate, target, border=32)
    assert tenth.psnr == pytest.approx(36.6, abs=0.2)
    assert tenth.ssim == pytest.approx(0.924, abs=0.01)
    assert score(steps[9].reblurred, noise_free, border=16).psnr == pytest.approx(38.9, abs=0.25)
    assert score(steps[49].estimate, target, border=32).psnr == pytest.approx(32.4, abs=0.2)
    assert score(steps[49].reblurred, noise_free, border=16).psnr == pytest.approx(40.5, abs=0.2)

    # Told of the read noise it comes closer to the truth, and its rule stops near the best.
    by_rule = score(richardson_lucy(raw, PSF.from_array(psf), CAMERA), target, border=32)
    assert by_rule.psnr > 36.6
    assert by_rule.ssim > 0.95


@needs_reference_volume
def test_richardson_lucy_beats_the_known_scores_of_a_volume():
    """The plain algorithm, its light not held and zeros outside, comes to 42.3 dB at best."""
    raw, truth, psf = (
        tifffile.imread(REFERENCE_VOLUME / f"{name}.tif") for name in ("raw", "truth", "psf")
    )
    voxel_size = (0.1852, 0.0926, 0.0926)
    psf = PSF.from_array(psf[1::2], voxel_size)
    target = truth_at_resolution(truth, (0.35, 0.15, 0.15), voxel_size)
    plain = NoiseModel(offset=100, gain=1.0, read_variance=0.0)
    twentieth = next(islice(iterate_richardson_lucy(raw, psf, plain), 19, None))

    scores = score(twentieth.estimate, target, border=(3, 12, 12))
    assert scores.psnr == pytest.approx(44.5, abs=0.2)
    assert scores.ssim == pytest.approx(0.988, abs=0.003)
    assert flux_ratio(twentieth.estimate, raw, 100) == pytest.approx(1, abs=0.02)
