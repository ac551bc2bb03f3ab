from __future__ import annotations

import copy
import json
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from scipy import fft, ndimage, signal

from napari_zsdeconvnet import sim
from napari_zsdeconvnet.quality.ring_correlation import fourier_ring_correlation
from napari_zsdeconvnet.sim.otf import OTF
from napari_zsdeconvnet.sim.patterns import Patterns
from napari_zsdeconvnet.sim.reconstruction import Reconstruction
from napari_zsdeconvnet.simulation.raw_sim import SIMSample, simulate_sim
from napari_zsdeconvnet.utils.errors import InputError

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "sim2d"
OFFSET = 100


@cache
def sample(photons: float = 100, seed: int = 1) -> SIMSample:
    return simulate_sim(photons=photons, seed=seed)


@cache
def estimated(photons: float = 100, seed: int = 1) -> Patterns:
    made = sample(photons, seed)
    return sim.estimate(
        made.raw,
        pixel_size=made.pixel_size,
        na=made.na,
        wavelength=made.wavelength,
        offset=made.noise,
    )


def signal_of(raw) -> np.ndarray:
    return raw.astype(np.float32) - OFFSET


def psnr(image, reference, border):
    a, b = (part[border:-border, border:-border] for part in (image, reference))
    return 10 * np.log10(b.max() ** 2 / np.mean((a - b) ** 2))


def test_noise_free_frames_give_the_truth_through_the_psf():
    made = sample()
    reconstruction = Reconstruction(made.patterns, psf=made.psf)
    result = reconstruction(made.noise_free)
    psf = reconstruction.psf()
    expected = signal.fftconvolve(np.pad(made.truth, 64, mode="reflect"), psf.array, mode="same")[
        64:-64, 64:-64
    ]

    assert result.shape == (512, 512)
    assert psnr(result, expected, 16) > 50
    # Also where the frames had to be continued.
    assert psnr(result, expected, 1) > 40
    assert result.mean() == pytest.approx(made.noise_free.mean(), rel=1e-3)


def test_the_supported_band_is_recovered():
    # Next to no Wiener constant and no apodisation: what the orders support comes back as it is.
    made = sample()
    reconstruction = Reconstruction(
        made.patterns, psf=made.psf, wiener=1e-3, notch=0.0, apodisation=0.0
    )
    window = np.outer(np.hanning(512), np.hanning(512))
    result, truth = (
        np.fft.fft2(image * window) for image in (reconstruction(made.noise_free), made.truth)
    )
    ky, kx = np.fft.fftfreq(512, 0.0313)[:, None], np.fft.fftfreq(512, 0.0313)
    otf = OTF(made.na, made.wavelength, made.pixel_size)
    band = np.zeros((512, 512), bool)
    for pattern in made.patterns:
        for sign in (-1, 0, 1):
            y, x = (axis + sign * k for axis, k in zip((ky, kx), pattern.frequency, strict=True))
            band |= np.hypot(y, x) < 0.8 * otf.cutoff
    error = np.mean(np.abs(result - truth)[band] ** 2) / np.mean(np.abs(truth[band]) ** 2)

    assert -10 * np.log10(error) > 40


def test_the_psf_is_that_of_a_point():
    # Nine images of a point at an odd place, made by the patterns and the microscope alone.
    made = sample()
    patterns = replace(made.patterns, shape=(80, 80), brightness=())
    lights = patterns.illumination()
    reconstruction = Reconstruction(patterns, psf=made.psf)
    point = np.zeros((160, 160))
    point[83, 76] = 4
    frames = [signal.fftconvolve(point * light, made.psf.array, mode="same") for light in lights]
    raw = np.stack(frames).reshape(9, 80, 2, 80, 2).mean(axis=(2, 4))
    image = reconstruction(raw.astype(np.float32))[83 - 24 : 83 + 25, 76 - 24 : 76 + 25]
    psf = reconstruction.psf()

    assert psf.array.shape == (49, 49)
    assert psf.voxel_size == pytest.approx((0.0313, 0.0313))
    image = np.maximum(image, 0)
    np.testing.assert_allclose(image / image.sum(), psf.array, atol=0.01 * psf.array.max())
    assert psf.fwhm[0] < 0.65 * made.psf.fwhm[0]


def test_it_is_linear():
    rng = np.random.default_rng(0)
    a, b = rng.normal(100, 30, (2, 9, 96, 80)).astype(np.float32)
    reconstruction = Reconstruction(sample().patterns)
    whole = reconstruction(a + b)

    error = np.abs(whole - reconstruction(a) - reconstruction(b)).max()
    assert error < 1e-5 * np.abs(whole).max()


@pytest.mark.parametrize("shape", [(64, 64), (75, 101), (20, 33)])
def test_a_flat_field_keeps_its_counts_to_the_edges(shape):
    flat = Reconstruction(sample().patterns)(np.full((9, *shape), 50, np.float32))

    assert flat.shape == (2 * shape[0], 2 * shape[1])
    np.testing.assert_allclose(flat, 50, rtol=5e-3)


def test_batches_kinds_and_orders_of_frames():
    made = sample()
    raw = signal_of(made.raw)[:, :96, :80]
    reconstruction = Reconstruction(made.patterns)
    one = reconstruction(raw)
    assert isinstance(one, np.ndarray)
    assert one.dtype == np.float32

    batch = reconstruction(torch.from_numpy(np.stack([[raw, 2 * raw]])))
    assert isinstance(batch, torch.Tensor)
    assert batch.shape == (1, 2, 192, 160)
    np.testing.assert_allclose(batch[0, 0], one, atol=1e-3)
    np.testing.assert_allclose(batch[0, 1], 2 * one, atol=2e-3)

    by_phase = raw.reshape(3, 3, 96, 80).swapaxes(0, 1).reshape(9, 96, 80)
    same = Reconstruction(replace(made.patterns, order="phase"))(by_phase)
    np.testing.assert_allclose(same, one, atol=1e-3)


@pytest.mark.parametrize("wiener", [0.03, 0.3])
def test_the_spectrum_of_the_noise_is_that_of_white_noise_reconstructed(wiener):
    known = sample().patterns
    faded = replace(known, brightness=((1.0, 1.0, 1.0), (1.1, 1.2, 1.1), (0.9, 1.3, 1.5)))
    reconstruction = Reconstruction(faded, wiener=wiener)
    white = np.random.default_rng(0).standard_normal((40, 9, 96, 96)).astype(np.float32)
    noise = reconstruction(white)[:, 48:-48, 48:-48]
    power = reconstruction.noise_spectrum()
    assert power.mean() == pytest.approx(noise.var(), rel=0.02)
    # Faded to the borders, whose steps would put power beyond where the optics end.
    window = np.outer(*[np.hanning(noise.shape[-1])] * 2)
    found = (np.abs(np.fft.fft2(noise * window)) ** 2).mean(axis=0) / (window**2).sum()

    def within(spectrum, least, most):
        axis = np.fft.fftfreq(len(spectrum))
        radius = np.hypot(axis[:, None], axis)
        return spectrum[(least <= radius) & (radius < most)].mean()

    for band in ((0.04, 0.1), (0.1, 0.15), (0.15, 0.2), (0.2, 0.25)):
        assert within(power, *band) == pytest.approx(within(found, *band), rel=0.08)


def test_gradients_pass():
    raw = torch.rand(9, 32, 32, requires_grad=True)
    Reconstruction(sample().patterns)(raw).square().sum().backward()
    assert raw.grad is not None
    assert raw.grad.abs().sum() > 0


def test_factors_are_kept_for_the_next_time_and_not_copied():
    reconstruction = Reconstruction(sample().patterns)
    raw = np.ones((9, 48, 48), np.float32)
    first = reconstruction(raw)
    kept = next(iter(reconstruction._operators.values()))
    reconstruction(raw)
    assert next(iter(reconstruction._operators.values())) is kept

    copied = copy.deepcopy(reconstruction)
    assert copied._operators == {}
    np.testing.assert_array_equal(copied(raw), first)


def test_it_comes_back_from_a_dictionary():
    made = sample()
    reconstruction = Reconstruction(made.patterns, psf=made.psf, wiener=0.2, notch=0.5)
    values = json.loads(json.dumps(reconstruction.to_dict()))
    raw = signal_of(made.raw)[:, :64, :64]

    np.testing.assert_allclose(Reconstruction.from_dict(values)(raw), reconstruction(raw))
    del values["wiener"]
    with pytest.raises(InputError, match="wiener"):
        Reconstruction.from_dict(values)


def test_the_mean_of_many_recorruptions_is_the_reconstruction():
    made = sample()
    raw = torch.from_numpy(signal_of(made.raw)[:, :64, :64])
    patterns = made.patterns.cropped(0, 0, (64, 64))
    reconstruction = Reconstruction(patterns)
    generator = torch.Generator().manual_seed(3)
    sums = torch.zeros(2, 128, 128, dtype=torch.float64)
    squares = torch.zeros_like(sums)
    variance = ndimage.uniform_filter(raw.clamp(min=0).numpy(), (0, 5, 5)) + 4
    sigma = torch.from_numpy(variance).sqrt()
    for _ in range(200):
        noise = torch.randn(raw.shape, generator=generator)
        pair = recorrupt_pair(raw, sigma, noise)
        images = reconstruction(pair).double()
        sums += images
        squares += images**2
    mean = sums / 200
    error = ((squares / 200 - mean**2) / 200).sqrt()
    off = (mean - reconstruction(raw).double()) / error

    # Each pixel is within its own error, and there is no offset beside it.
    assert float((off.abs() < 3).double().mean()) > 0.99
    assert off.mean(dim=(1, 2)).abs().max() < 0.15
    assert float(off.abs().max()) < 6


def recorrupt_pair(raw, sigma, noise):
    """Equations 2 and 3 with a magnitude of 1: y + sigma n and y - sigma n."""
    return torch.stack([raw + sigma * noise, raw - sigma * noise])


def test_two_exposures_agree_to_nearly_twice_the_resolution():
    made, patterns = sample(), estimated()
    reconstruction = Reconstruction(patterns)
    exposures = [signal_of(raw) for raw in (made.raw, made.second_exposure)]
    sharp = fourier_ring_correlation(*(reconstruction(raw) for raw in exposures), 0.0313)
    plain = fourier_ring_correlation(*(reconstruction.widefield(raw) for raw in exposures), 0.0313)

    assert 1.7 <= plain.resolution / sharp.resolution <= 2.0


@pytest.mark.parametrize("seed", [1, 3])
def test_the_patterns_leave_no_peaks(seed):
    # What the estimate's error leaves in an image without noise, where the fringes would be.
    made = sample(seed=seed)
    exact, found = (
        Reconstruction(patterns)(made.noise_free)
        for patterns in (made.patterns, estimated(seed=seed))
    )
    window = np.outer(np.hanning(512), np.hanning(512))
    left, image = (np.abs(np.fft.fft2(part * window)) ** 2 for part in (found - exact, exact))
    step = 1 / (512 * 0.0313)
    ky, kx = np.fft.fftfreq(512, 0.0313)[:, None], np.fft.fftfreq(512, 0.0313)
    for pattern in made.patterns:
        y, x = pattern.frequency
        away = np.hypot(ky - y, kx - x) / step
        assert left[away < 2.5].max() < 0.01 * image[(away > 3) & (away < 12)].mean()


def test_estimate_and_reconstruction_take_three_seconds_on_two_cores():
    rng = np.random.default_rng(2)
    scene = ndimage.gaussian_filter((rng.random((1024, 1024)) > 0.998).astype(float), 2)
    patterns = replace(sample().patterns, shape=(512, 512))
    lit = scene * patterns.illumination()
    blurred = ndimage.gaussian_filter(lit, (0, 2.6, 2.6)).reshape(9, 512, 2, 512, 2)
    light = blurred.mean(axis=(2, 4))
    raw = rng.poisson(100 * light / np.percentile(light, 99.9)).astype(np.float32)

    start = time.process_time()
    found = sim.estimate(raw, pixel_size=0.0626, na=1.41, wavelength=0.525)
    image = Reconstruction(found)(raw)
    taken = time.process_time() - start
    assert image.shape == (1024, 1024)
    assert taken < 13 * min(seconds_of_transforms() for _ in range(3))


def seconds_of_transforms() -> float:
    """Measure what this processor does in about 0.45 s, less what others on it take."""
    frames = np.zeros((9, 1024, 1024), np.float32)
    start = time.process_time()
    for _ in range(3):
        fft.ifft2(fft.fft2(frames))
    return time.process_time() - start


def test_orientations_that_were_not_found_are_left_out():
    patterns = sample().patterns
    without = replace(patterns[0], found=False, reason="No pattern is found; give more light.")
    some = replace(patterns, orientations=(without, *patterns[1:]))
    raw = signal_of(sample().raw)[:, :48, :48]
    changed = raw.copy()
    changed[:3] += 50

    reconstruction = Reconstruction(some)
    np.testing.assert_array_equal(reconstruction(raw), reconstruction(changed))
    nothing = replace(
        patterns, orientations=tuple(replace(pattern, found=False) for pattern in patterns)
    )
    with pytest.raises(InputError, match="No orientation of the patterns was found"):
        Reconstruction(nothing)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"wiener": 0}, "wiener is 0"),
        ({"notch": 2}, "notch is 2"),
        ({"notch_width": float("nan")}, "notch width is nan"),
        ({"apodisation": -1}, "apodisation is -1"),
    ],
)
def test_settings_out_of_range_are_refused(settings, words):
    with pytest.raises(InputError, match=words):
        Reconstruction(sample().patterns, **settings)


def test_another_number_of_frames_is_refused():
    with pytest.raises(InputError, match=r"\(8, 32, 32\) and the patterns are of 9 frames"):
        Reconstruction(sample().patterns)(np.ones((8, 32, 32), np.float32))


@pytest.mark.skipif(not DATA.is_dir(), reason="the SIM recordings are not here")
@pytest.mark.parametrize(
    ("name", "pixel_size", "na", "wavelength", "known"),
    [
        ("hela_mitochondria", 0.065, 1.3, 0.660, {}),
        ("cristae", 0.065, 1.3, 0.569, {}),
        ("microtubules", 0.0626, 1.41, 0.525, {"period": 0.18, "angles": (85, 145, 25)}),
    ],
)
def test_real_recordings_show_no_fringes(name, pixel_size, na, wavelength, known):
    raw = tifffile.imread(DATA / f"{name}_raw.tif")
    offset = 0 if known else OFFSET
    patterns = sim.estimate(
        raw, pixel_size=pixel_size, na=na, wavelength=wavelength, offset=offset, **known
    )
    signals = raw.astype(np.float32) - offset
    reconstruction = Reconstruction(patterns)
    image = reconstruction(signals)

    assert image.mean() == pytest.approx(signals.mean(), rel=0.02)
    size = image.shape[0]
    window = np.outer(np.hanning(size), np.hanning(size))
    power = np.abs(np.fft.fft2((image - image.mean()) * window)) ** 2
    ky, kx = (np.fft.fftfreq(size, pixel_size / 2),) * 2
    for pattern in patterns:
        y, x = pattern.frequency
        away = np.hypot(ky[:, None] - y, kx - x) * size * pixel_size / 2
        # The power of a spectrum without a peak scatters as an exponential about its mean.
        assert power[away < 1.5].max() < 5 * power[(away > 3) & (away < 10)].mean()
