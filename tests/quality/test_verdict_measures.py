"""What verdicts are made of, without a network: residuals, spectra, resolution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.quality import checks
from napari_zsdeconvnet.quality.data_consistency import Residual, residual
from napari_zsdeconvnet.quality.decorrelation import decorrelation_resolution
from napari_zsdeconvnet.quality.ring_correlation import fourier_ring_correlation
from napari_zsdeconvnet.quality.spectra import faded, per_ring, rings, sharpening
from napari_zsdeconvnet.quality.stability import noise_followed, recorruptions, scaled
from napari_zsdeconvnet.simulation.sample import Sample, camera, simulate
from napari_zsdeconvnet.utils.errors import InputError

NOISE = NoiseModel(offset=100, gain=2.0, read_variance=9.0)


@pytest.fixture(scope="module")
def sample() -> Sample:
    return simulate("mesh", shape=(160, 160), photons=60, noise=NOISE, seed=4)


def of_the_truth(sample: Sample, seed: int = 0, noise: NoiseModel = NOISE) -> Residual:
    """The residual of the very structure, on a fresh exposure."""
    raw = camera(sample.noise_free, NOISE, np.random.default_rng(seed))
    return residual(raw, 2.0 * sample.truth, sample.psf, noise, 2)


def brightness(sample: Sample) -> float:
    return 2 * float(sample.noise_free.mean())


class TestResidual:
    def test_of_the_truth_is_white_noise_of_the_calibrated_variance(self, sample: Sample):
        found = [of_the_truth(sample, seed) for seed in range(20)]
        for part in ("whole", "carried", "noise"):
            powers = [getattr(each, part) for each in found]
            mean = np.mean([power.value for power in powers])
            # Twenty exposures, and at most 1 % for what the truth itself does not show.
            assert mean == pytest.approx(1, abs=0.01 + 4 * powers[0].error / 20**0.5), part
            scatter = np.std([power.value for power in powers])
            assert 0.5 < scatter / powers[0].error < 2, part
        assert max(abs(each.correlation) for each in found) < 5 * found[0].correlation_error

    def test_of_the_truth_raises_no_alarm(self, sample: Sample):
        for seed in range(20):
            found = of_the_truth(sample, seed)
            for measure in (
                checks.noise_level(found, NOISE, brightness(sample)),
                checks.noise_correlation(found),
                checks.reblur(found, NOISE, brightness(sample)),
            ):
                assert measure.passed, measure

    @pytest.mark.parametrize(("gain", "word"), [(3.0, "too high"), (1.33, "too low")])
    def test_a_gain_that_is_half_off_is_noticed(self, sample: Sample, gain: float, word: str):
        wrong = replace(NOISE, gain=gain)
        found = of_the_truth(sample, noise=wrong)
        measure = checks.noise_level(found, wrong, brightness(sample))
        assert measure.passed is False
        assert word in measure.sentence
        # One that is said to be uncertain by as much is not held against it.
        unsure = replace(wrong, gain_error=0.5 * gain)
        assert checks.noise_level(found, unsure, brightness(sample)).passed

    def test_a_psf_off_by_a_third_is_noticed(self, sample: Sample):
        raw = camera(sample.noise_free, NOISE, np.random.default_rng(0))
        wide = scaled(sample.psf, 1.35)
        found = residual(raw, 2.0 * sample.truth, wide, NOISE, 2)
        assert checks.reblur(found, NOISE, brightness(sample)).passed is False

    def test_a_psf_that_reaches_beyond_the_pixels_leaves_no_noise_alone(self, sample: Sample):
        narrow = scaled(sample.psf, 0.4)
        found = residual(sample.raw, 2.0 * sample.truth, narrow, NOISE, 2)
        assert found.noise is None
        assert checks.noise_level(found, NOISE, brightness(sample)).value == found.whole.value

    @pytest.mark.parametrize("sigma", [0.5, 0.7])
    def test_correlated_noise_is_noticed(self, sample: Sample, sigma: float):
        grain = gaussian_filter(np.random.default_rng(1).normal(size=sample.raw.shape), sigma)
        deviation = np.sqrt(NOISE.variance(2 * sample.noise_free + 100))
        raw = 100 + 2 * sample.noise_free + deviation * grain / grain.std()
        found = residual(raw, 2.0 * sample.truth, sample.psf, NOISE, 2)
        assert checks.noise_correlation(found).passed is False


class TestSharpening:
    def test_of_the_truth_undoes_the_optics(self, sample: Sample):
        signal = sample.raw - 100.0
        variance = NOISE.variance(sample.raw)
        found = sharpening(signal, 2.0 * sample.truth, variance, sample.psf, 2)
        restored = (found.gain * found.transfer)[found.seen]
        # The middle of the band; at its end the signal drowns.
        assert restored[3:20] == pytest.approx(1, abs=0.12)
        assert checks.sharper(found, 1000, "nm").passed

    def test_of_the_image_itself_is_none(self, sample: Sample):
        signal = sample.noise_free * 2.0
        same = np.kron(signal, np.ones((2, 2)))
        found = sharpening(signal, same, np.full(signal.shape, 1e-9), sample.psf, 2)
        assert found.gain[found.seen] == pytest.approx(1, abs=1e-6)
        assert found.raised == pytest.approx(1, abs=1e-6)
        assert found.width_after == pytest.approx(found.width_before)
        assert checks.sharper(found, 1000, "nm").passed is False

    def test_haze_that_goes_back_to_its_planes_is_seen(self):
        """A body in 5 of 15 planes, before and after; the image itself raises nothing."""
        body = np.zeros((15, 64, 64))
        body[5:10, 16:48, 16:48] = 100.0
        psf = PSF.simulate(
            na=1.2, wavelength=0.525, pixel_size=0.1, axial_step=0.3, stack=body.shape
        )
        haze = gaussian_filter(body, (4, 3, 3))
        for result, passed in ((body, True), (haze, False)):
            found = sharpening(haze, result, np.full(body.shape, 1e-6), psf, 1)
            assert (found.along_z > 1.5) is passed
            assert checks.sharper(found, 1000, "nm").passed is passed
        assert found.along_z == pytest.approx(1, abs=0.01)

    def test_optical_width_is_that_of_the_psf(self, sample: Sample):
        signal = sample.noise_free * 2.0
        found = sharpening(signal, 2.0 * sample.truth, np.full(signal.shape, 1e-9), sample.psf, 2)
        assert found.width_before == pytest.approx(sample.psf.fwhm[0], rel=0.15)

    def test_noise_is_no_signal(self, sample: Sample):
        noise = np.random.default_rng(0).normal(size=(128, 128))
        found = sharpening(noise, np.kron(noise, np.ones((2, 2))), np.ones(1), sample.psf, 2)
        assert np.isfinite(found.gain).mean() < 0.1


class TestNoiseFollowed:
    def test_is_all_of_a_copy_and_none_of_a_blur(self, sample: Sample):
        drawn = np.random.default_rng(0).normal(size=(128, 128))
        copied, beyond = noise_followed(drawn, drawn, sample.psf, 2)
        assert beyond
        assert copied == pytest.approx(1)
        blurred, _ = noise_followed(drawn, gaussian_filter(drawn, 3), sample.psf, 2)
        assert abs(blurred) < 0.01
        assert checks.noise_followed(copied, beyond).passed is False
        assert checks.noise_followed(blurred, beyond).passed


def test_recorruptions_have_independent_noises(sample: Sample):
    truth = 2.0 * sample.noise_free + 100
    one, other = [], []
    for seed in range(4):
        raw = camera(sample.noise_free, NOISE, np.random.default_rng(seed))
        ((first, second),) = recorruptions(raw, NOISE, 1, seed)
        one.append(first - truth)
        other.append(second - truth)
    correlation = np.mean(np.multiply(one, other)) / np.mean(np.square(one))
    assert abs(correlation) < 5 / np.sqrt(np.size(one))


class TestResolution:
    @pytest.mark.parametrize("kind", ["filaments", "mesh", "cell"])
    @pytest.mark.parametrize("na", [1.3, 0.9])
    def test_ring_correlation_finds_the_optical_cutoff(self, kind: str, na: float):
        bright = simulate(kind, shape=(256, 256), photons=2000, na=na, seed=3)
        found = fourier_ring_correlation(bright.raw, bright.second_exposure, bright.pixel_size)
        assert found.resolution == pytest.approx(0.525 / (2 * na), rel=0.1)

    @pytest.mark.parametrize("kind", ["filaments", "mesh", "cell"])
    def test_the_edges_of_bright_images_do_not_pass_for_detail(self, kind: str):
        camera = NoiseModel(offset=100, gain=0.3, read_variance=0.01)
        bright = simulate(kind, shape=(256, 256), photons=1e5, na=0.9, noise=camera, seed=3)
        found = fourier_ring_correlation(bright.raw, bright.second_exposure, bright.pixel_size)
        assert found.resolution == pytest.approx(0.525 / (2 * 0.9), rel=0.05)

    @pytest.mark.parametrize("kind", ["filaments", "mesh", "cell", "vesicles", "rings"])
    @pytest.mark.parametrize("photons", [50, 200])
    def test_ring_correlation_ends_where_the_noise_says(self, kind: str, photons: float):
        dim = simulate(kind, shape=(256, 256), photons=photons, seed=5)
        found = fourier_ring_correlation(dim.raw, dim.second_exposure, dim.pixel_size)
        # Almost all of the image counts here, so that it is that whose structure is asked for.
        window = faded(dim.raw.shape, 0.125)
        structure = dim.noise_free - dim.noise_free.mean()
        frequency, ring = rings(dim.raw.shape, dim.pixel_size)
        power = per_ring(np.abs(np.fft.fft2(structure * window)) ** 2, ring)
        variance = dim.noise_free + dim.noise.read_variance + 1 / 12
        noise = float(np.sum(variance * window**2)) * per_ring(np.ones(ring.shape), ring)
        # Two exposures correlate by S / (S + N): 1/7 where the noise is six times the signal.
        end = frequency[np.flatnonzero(power < noise / 6)[0]]
        assert 1 / found.resolution == pytest.approx(end, rel=0.04)

    def test_re_corruptions_stand_in_for_two_exposures(self):
        # Two re-corruptions have twice the noise; read at 1/13 they say what exposures do at 1/7.
        bright = simulate("mesh", shape=(256, 256), photons=200, seed=3)
        pixel = bright.pixel_size
        exposures = fourier_ring_correlation(bright.raw, bright.second_exposure, pixel)
        ((first, second),) = recorruptions(bright.raw, bright.noise, 1)
        stand_in = fourier_ring_correlation(first, second, pixel, threshold=1 / 13)
        assert stand_in.resolution == pytest.approx(exposures.resolution, rel=0.08)

    def test_planes_are_correlated_each_by_itself(self):
        planes = [simulate("mesh", shape=(256, 256), photons=2000, seed=n) for n in (3, 4)]
        stacks = (
            np.stack([plane.raw for plane in planes]),
            np.stack([plane.second_exposure for plane in planes]),
        )
        found = fourier_ring_correlation(*stacks, planes[0].pixel_size)
        assert found.resolution == pytest.approx(0.202, rel=0.1)
        with pytest.raises(InputError, match="4 axes"):
            fourier_ring_correlation(np.ones((2, 2, 8, 8)), np.ones((2, 2, 8, 8)), 1.0)

    @pytest.mark.parametrize("photons", [50, 200, 2000])
    @pytest.mark.parametrize(
        ("kind", "seed"),
        [(kind, seed) for kind in ("mesh", "filaments", "cell") for seed in (3, 6)]
        + [("cell", 5), ("vesicles", 4), ("rings", 5)],
    )
    def test_as_nanopyx_finds_it(self, kind: str, seed: int, photons: float):
        nanopyx = pytest.importorskip("nanopyx.core.analysis.frc")
        scene = simulate(kind, shape=(256, 256), photons=photons, seed=seed)
        pair = [image.astype(np.float32) for image in (scene.raw, scene.second_exposure)]
        theirs = nanopyx.FIRECalculator(pixel_size=scene.pixel_size, units="um")
        ours = fourier_ring_correlation(*pair, scene.pixel_size)
        assert ours.resolution == pytest.approx(theirs.calculate_fire_number(*pair), rel=0.05)

    @pytest.mark.parametrize("photons", [50, 2000])
    @pytest.mark.parametrize("na", [1.3, 0.9])
    def test_decorrelation_comes_near_the_cutoff(self, photons: float, na: float):
        image = simulate("mesh", shape=(256, 256), photons=photons, na=na, seed=3)
        cutoff = 0.525 / (2 * na)
        found = decorrelation_resolution(image.raw, image.pixel_size)
        assert 0.95 * cutoff < found < 1.4 * cutoff

    def test_decorrelation_of_noise_alone_stays_honest(self):
        noise = np.random.default_rng(0).normal(size=(128, 128))
        found = decorrelation_resolution(noise, 1.0)
        assert found == float("inf") or found >= 2
        with pytest.raises(InputError, match="3 axes"):
            decorrelation_resolution(np.ones((2, 16, 16)), 1.0)
