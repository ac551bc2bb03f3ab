from __future__ import annotations

import math
import re
import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tifffile
from refusals import refused
from scipy import ndimage, optimize

from napari_zsdeconvnet.io.image import Image
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.sim.agreement import coinciding, in_agreement, without_false_ones
from napari_zsdeconvnet.sim.estimation import estimate
from napari_zsdeconvnet.simulation.raw_sim import SIMSample, simulate_sim
from napari_zsdeconvnet.simulation.sample import camera
from napari_zsdeconvnet.utils.errors import InputError

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "sim2d"
MICROSCOPE = {"pixel_size": 0.0626, "na": 1.41, "wavelength": 0.525}
CAMERA = NoiseModel(offset=100.0, gain=1.0, read_variance=4.0)

recordings = pytest.mark.skipif(not DATA.is_dir(), reason="the SIM recordings are not here")


@cache
def sample(kind: str = "filaments", photons: float = 100, seed: int = 100, **options) -> SIMSample:
    return simulate_sim(kind, photons=photons, seed=seed, **options)


def errors(found, true):
    """Distance of the frequency in steps of the grid, and of the phases in degrees."""
    frequency, expected = np.array(found.frequency), np.array(true.frequency)
    phases = np.array(found.phases)
    if frequency @ expected < 0:
        frequency, phases = -frequency, -phases
    steps = np.hypot(*(frequency - expected)) * 256 * MICROSCOPE["pixel_size"]
    turned = np.exp(1j * (phases - np.array(true.phases)))
    return steps, np.degrees(np.abs(np.angle(turned))).max()


def pattern_in(frame, pixel_size):
    """Fit one sinusoid to a drawn pattern: period, angle in degrees and phase at the middle."""
    image = frame.astype(float) - frame.mean(dtype=float)
    y, x = ((np.arange(n) - (n - 1) / 2) * pixel_size for n in image.shape)
    image *= np.outer(*(np.hanning(n) for n in image.shape))
    spectrum = np.abs(np.fft.fft2(image))
    spectrum[:, image.shape[1] // 2 :] = 0
    row, column = np.unravel_index(spectrum.argmax(), spectrum.shape)
    start = [
        np.fft.fftfreq(n, pixel_size)[i] for n, i in zip(image.shape, (row, column), strict=True)
    ]

    def height(frequency):
        ky, kx = frequency
        return np.exp(-2j * np.pi * ky * y) @ image @ np.exp(-2j * np.pi * kx * x)

    scale = abs(height(start))
    ky, kx = optimize.minimize(
        lambda k: -abs(height(k)) / scale, start, method="Nelder-Mead", options={"xatol": 1e-6}
    ).x
    angle, phase = math.degrees(math.atan2(ky, kx)), np.angle(height((ky, kx)))
    return 1 / math.hypot(ky, kx), angle % 180, phase if 0 <= angle < 180 else -phase


# On simulation, where the truth is known


def test_orientations_that_coincide_are_refused_with_what_else_to_try():
    raw = sample().raw
    three_planes_of_one = np.repeat(raw[:3], 3, axis=0)  # frame 1 of all planes, then frame 2
    with pytest.raises(InputError, match=r"the same angle \(.*which axis of the file"):
        estimate(three_planes_of_one, offset=100, **MICROSCOPE)
    with refused("sim-angles-coincide"):
        estimate(three_planes_of_one, offset=100, order="phase", **MICROSCOPE)


@pytest.mark.parametrize(
    ("photons", "options"),
    [
        (100, {"bleaching": 0.3, "depth": 0.5}),
        (60, {"noise": NoiseModel(100.0, 2.2, 6.0)}),
    ],
)
def test_weak_fringes_at_the_angle_of_clear_ones_are_those_of_the_sample(photons, options):
    # These filaments have no detail along 18 degrees.
    made = sample("filaments", photons, 21, shape=(112, 112), **options)
    patterns = estimate(made.raw, offset=100, **MICROSCOPE)
    assert [pattern.found for pattern in patterns] == [False, True, True]
    assert patterns[0].confidence == 0
    assert "about the angle of orientation 2" in patterns[0].reason
    assert re.search(r"near 1[78] degrees with a period of 19\d nm", patterns[0].reason)
    for found, true in zip(patterns[1:], made.patterns[1:], strict=True):
        assert found.angle == pytest.approx(true.angle, abs=1.5)
        assert found.period == pytest.approx(true.period, rel=0.03)


def test_fringes_of_one_angle_and_one_depth_are_no_reason_to_leave_one_out():
    patterns = tuple(estimate(sample().raw, offset=100, **MICROSCOPE))
    for depth in (0.1, 0.8):
        twice = tuple(
            replace(p, depth=depth, angle=a) for p, a in zip(patterns, (18, 20, 138), strict=True)
        )
        assert without_false_ones(twice) == twice
    apart = tuple(replace(p, depth=d) for p, d in zip(patterns, (0.05, 0.8, 0.8), strict=True))
    assert without_false_ones(apart) == apart


def test_frames_that_are_no_phases_are_less_sure_or_none():
    frames = sample(shape=(128, 128)).raw
    still = np.concatenate([np.repeat(frames[3 * n : 3 * n + 1], 3, axis=0) for n in range(3)])
    with pytest.raises(InputError, match="No pattern is found in any orientation"):
        estimate(still, offset=100, order="orientation", **MICROSCOPE)
    mixed = estimate(frames[[4, 0, 7, 2, 8, 1, 6, 3, 5]], offset=100, **MICROSCOPE)
    assert max(pattern.confidence for pattern in mixed) < 0.9
    sound = estimate(frames, offset=100, **MICROSCOPE)
    assert min(pattern.confidence for pattern in sound) > 0.95


def test_pixels_said_twice_too_large_end_in_no_numbers_that_are_none():
    frames = sample(shape=(128, 128), photons=400).raw
    patterns = estimate(frames, offset=100, **{**MICROSCOPE, "pixel_size": 0.1252})
    assert any("coarser" in warning for warning in patterns.warnings)


def test_what_does_not_fit_the_others_is_less_sure():
    patterns = tuple(estimate(sample().raw, offset=100, **MICROSCOPE))
    turned = replace(patterns[2], angle=(patterns[1].angle + 20) % 180)
    assert min(pattern.confidence for pattern in in_agreement(patterns)) > 0.9
    doubtful = in_agreement((*patterns[:2], turned))
    assert doubtful[0].confidence > 0.9
    assert max(doubtful[1].confidence, doubtful[2].confidence) < 0.7
    longer = in_agreement((*patterns[:2], replace(patterns[2], period=1.4 * patterns[2].period)))
    assert longer[2].confidence < 0.3 < 0.9 < longer[0].confidence
    assert coinciding([2.0, 60.0, 179.0]) == [(0, 2)]


@pytest.mark.parametrize(
    ("photons", "seed", "degrees"), [(100, 100, 2), (1000, 101, 2), (30, 102, 4)]
)
def test_frequency_phase_and_depth_are_found(photons, seed, degrees):
    made = sample(photons=photons, seed=seed)
    patterns = estimate(made.raw, offset=made.noise, **MICROSCOPE)

    assert patterns.order == "orientation"
    assert patterns.shape == (256, 256)
    for found, true in zip(patterns, made.patterns, strict=True):
        steps, off = errors(found, true)
        assert steps <= 0.05
        assert off <= degrees
        assert found.depth == pytest.approx(0.8, abs=0.1)
        assert found.found
        assert found.confidence > 0.99
        assert found.peak_snr > 8
        assert found.reason == ""
    # An ideal microscope simulated it, and so it is found to be.
    assert patterns.attenuation == 1.0


def test_orientations_share_the_sample_and_so_have_less_noise():
    together, alone = [], []
    for seed in (110, 111, 112):
        made = sample(photons=30, seed=seed)
        all_three = estimate(made.raw, offset=made.noise, **MICROSCOPE)
        for number, true in enumerate(made.patterns):
            own = estimate(
                made.raw[3 * number : 3 * number + 3],
                offset=made.noise,
                orientations=1,
                **MICROSCOPE,
            )
            together.append(errors(all_three[number], true))
            alone.append(errors(own[0], true))
    rms = [np.sqrt(np.mean(np.square(found), axis=0)) for found in (together, alone)]
    assert (rms[0] < 0.95 * rms[1]).all()


def test_a_sample_that_moves_between_orientations_does_not_turn_the_phases():
    made = sample(photons=100, seed=113)
    moved = [(0.0, 0.0), (0.15, 0.2), (0.3, 0.4)]  # pixels, of each orientation
    frames = np.repeat(moved, 3, axis=0)
    spectra = [
        ndimage.fourier_shift(np.fft.fft2(frame), off)
        for frame, off in zip(made.noise_free, frames, strict=True)
    ]
    light = np.fft.ifft2(spectra).real.clip(min=0).astype(np.float32)
    raw = camera(light, CAMERA, np.random.default_rng(113))
    patterns = estimate(raw, offset=CAMERA, **MICROSCOPE)
    for found, true, off in zip(patterns, made.patterns, moved, strict=True):
        turn = 2 * np.pi * np.dot(true.frequency, off) * MICROSCOPE["pixel_size"]
        moved_too = replace(true, phases=tuple(phase - turn for phase in true.phases))
        assert errors(found, moved_too)[1] <= 2


def test_a_structure_with_a_peak_of_its_own_is_not_taken_for_the_fringes():
    # Here the correlation is highest at the steps of the grid 1.6 away from the fringes.
    first = float(np.random.default_rng(7004).uniform(0, 60))
    made = sample(photons=30, seed=7004, angles=(first, first + 60, first + 120))
    patterns = estimate(made.raw, offset=made.noise, **MICROSCOPE)

    for found, true in zip(patterns, made.patterns, strict=True):
        steps, off = errors(found, true)
        assert steps <= 0.05
        assert off <= 4


def test_the_order_of_the_frames_is_recognised_and_a_wrong_one_told():
    made = sample()
    by_phase = made.raw.reshape(3, 3, 256, 256).swapaxes(0, 1).reshape(9, 256, 256)

    assert estimate(by_phase, offset=100, **MICROSCOPE).order == "phase"
    with refused("frame-order-wrong"):
        estimate(by_phase, offset=100, order="orientation", **MICROSCOPE)


def test_a_time_series_is_averaged():
    made = sample(photons=30, seed=102)
    one = estimate(made.raw, offset=100, **MICROSCOPE)
    two = estimate(np.stack([made.raw, made.second_exposure]), offset=100, **MICROSCOPE)

    assert sum(p.peak_snr for p in two) > sum(p.peak_snr for p in one)


def test_uneven_steps_are_found_where_they_stand_out():
    made = sample("vesicles", 1000, 7, phase_errors=8, bleaching=0.2)
    patterns = estimate(made.raw, offset=100, **MICROSCOPE)
    even = estimate(made.raw, offset=100, steps="even", **MICROSCOPE)

    def worst(result):
        return max(errors(*pair)[1] for pair in zip(result, made.patterns, strict=True))

    assert worst(patterns) < 5
    assert worst(even) > 7
    assert [p.steps for p in even] == [pytest.approx((120.0,) * 3)] * 3
    # Bleaching is taken out: the factors are those that the light had lost.
    lost = np.array(patterns.brightness) / np.array(made.patterns.brightness)
    assert np.ptp(lost) < 0.03


def test_depth_is_not_biased_by_noise_and_a_shallow_one_is_said():
    made = sample("vesicles", 100, 3, depth=0.15)
    patterns = estimate(made.raw, offset=100, **MICROSCOPE)

    assert [p.depth for p in patterns] == pytest.approx([0.15] * 3, abs=0.05)
    shallow = [p for p in patterns if p.reason]
    assert shallow
    assert all("below 0.2" in p.reason for p in shallow if p.found)
    assert any("below 0.2" in words for words in patterns.warnings)


def test_the_attenuation_of_a_real_microscope_is_found():
    made = sample("vesicles", 1000, 7, phase_errors=8, bleaching=0.2)
    spectrum = np.fft.rfft2(made.noise_free)
    ky, kx = np.fft.fftfreq(256, 0.0626)[:, None], np.fft.rfftfreq(256, 0.0626)
    falling = 0.35 ** (np.hypot(ky, kx) * 0.525 / 2.82)
    blurred = np.fft.irfft2(spectrum * falling)
    noisy = np.random.default_rng(1).poisson(np.maximum(blurred, 0)).astype(float)
    patterns = estimate(noisy, **MICROSCOPE)

    assert 0.2 <= patterns.attenuation <= 0.5
    assert [p.depth for p in patterns] == pytest.approx([0.8] * 3, abs=0.1)


def test_a_psf_takes_the_place_of_an_ideal_microscope(tmp_path):
    made = sample(photons=1000, seed=101)
    patterns = estimate(made.raw, offset=100, psf=made.psf, **MICROSCOPE)
    assert [p.depth for p in patterns] == pytest.approx([0.8] * 3, abs=0.03)

    made.psf.write(tmp_path / "psf.tif")
    same = estimate(made.raw, offset=100, psf=tmp_path / "psf.tif", **MICROSCOPE)
    assert same[0].depth == pytest.approx(patterns[0].depth, abs=1e-3)


# Bad input


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"period": 0.1}, "A period of 100 nm is impossible"),
        ({"period": 200.0}, "check its unit"),
        ({"period": (0.2, 0.2)}, "period has 2 values for 3 orientations"),
        ({"angles": (10.0,)}, "angle has 1 values"),
        ({"angles": ("a", "b", "c")}, "angle is 'a'"),
        ({"excitation_wavelength": 0.6}, "excitation has the shorter one"),
        ({"excitation_na": 0.5, "period": 0.2}, "impossible"),
        ({"order": "random"}, "order of frames is 'random'"),
        ({"steps": "odd"}, "steps are 'odd'"),
        ({"wavelength": 525}, "525"),
        ({"na": 3}, "The NA is 3"),
        ({"pixel_size": 62.6}, "62.6"),
        ({"phases": 5}, "9 frames"),
        ({"psf": PSF.simulate(na=1.4, wavelength=0.525, pixel_size=0.05)}, "31.3 nm"),
        (
            {
                "psf": PSF.simulate(
                    na=1.4, wavelength=0.525, pixel_size=0.0313, axial_step=0.1, planes=5
                )
            },
            "choose its plane",
        ),
    ],
)
def test_what_cannot_be_is_refused(options, words):
    with pytest.raises(InputError, match=words):
        estimate(sample().raw[:, :64, :64], **(MICROSCOPE | options))


def test_noise_without_fringes_is_said_to_have_none():
    rng = np.random.default_rng(0)
    scene = sample(photons=100).noise_free[:3].mean(axis=0)
    raw = rng.poisson(np.broadcast_to(scene[:128, :128], (9, 128, 128)) + 5)
    with pytest.raises(InputError, match=r"No pattern is found in any orientation of cell\.tif"):
        estimate(Image(raw, axes="TYX", voxel_size=None, name="cell.tif"), **MICROSCOPE)


def test_an_orientation_below_the_noise_is_taken_as_given():
    made = sample(photons=100)
    raw = made.raw.astype(float) - 100
    raw[:3] = np.random.default_rng(5).poisson(np.maximum(raw[:3].mean(axis=0), 0), raw[:3].shape)
    patterns = estimate(raw, **MICROSCOPE)
    assert [p.found for p in patterns] == [False, True, True]
    assert "near 18 degrees with a period of 200 nm" in patterns[0].reason
    assert patterns.warnings[-1].startswith("Orientation 1: No pattern is found")

    given = estimate(raw, period=0.2, angles=(18, 78, 138), **MICROSCOPE)
    assert all(p.found for p in given)
    assert given[0].period == pytest.approx(0.2, rel=0.05)
    assert given[0].depth < 0.2
    assert given[0].reason


# Real recordings


@recordings
@pytest.mark.parametrize(
    ("name", "wavelength", "steps"),
    [("hela_mitochondria", 0.660, "auto"), ("cristae", 0.569, "auto"), ("cristae", 0.569, "even")],
)
def test_periods_agree_with_the_supplied_patterns(name, wavelength, steps):
    supplied = tifffile.imread(DATA / f"{name}_patterns.tif")
    patterns = estimate(
        tifffile.imread(DATA / f"{name}_raw.tif"),
        pixel_size=0.065,
        na=1.3,
        wavelength=wavelength,
        offset=100,
        steps=steps,
    )

    assert patterns.order == "orientation"
    assert patterns.attenuation < 0.5
    for number, found in enumerate(patterns):
        drawn = [pattern_in(frame, 0.0325) for frame in supplied[3 * number : 3 * number + 3]]
        assert found.period == pytest.approx(drawn[0][0], rel=0.005)
        assert found.angle == pytest.approx(drawn[0][1], abs=0.5)
        if name == "cristae" and steps == "auto":
            phases = [phase for _, _, phase in drawn]
            true = [
                math.degrees(math.remainder(b - a, 2 * math.pi))
                for a, b in zip(phases, [*phases[1:], phases[0]], strict=True)
            ]
            assert found.steps == pytest.approx(true, abs=3)


def with_napari_sim_processor(raw, least, pixel_size, na, wavelength):
    """Periods and angles as napari-sim-processor has them, searched from a frequency on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = pytest.importorskip("napari_sim_processor.processors.convSimProcessor")
    theirs = package.ConvSimProcessor(3, 3)
    theirs.debug, theirs.magnification = False, 1
    theirs.pixelsize, theirs.NA, theirs.wavelength = pixel_size, na, wavelength
    theirs.eta = least  # in units of the cutoff, without which it takes the sample for a pattern
    theirs.calibrate(raw.astype(np.float32))
    kx, ky = (np.ravel(k) * na / wavelength for k in (theirs.kx, theirs.ky))
    return 1 / np.hypot(kx, ky), np.degrees(np.arctan2(ky, kx)) % 180


def agree(patterns, periods, angles, period, degrees):
    for found, length, angle in zip(patterns, periods, angles, strict=True):
        assert found.period == pytest.approx(length, rel=period)
        assert abs((found.angle - angle + 90) % 180 - 90) < degrees


def test_as_napari_sim_processor_finds_them():
    made = sample(photons=100, seed=1)
    theirs = with_napari_sim_processor(made.raw - CAMERA.offset, 0.75, **MICROSCOPE)
    agree(estimate(made.raw, offset=CAMERA, **MICROSCOPE), *theirs, period=0.001, degrees=0.03)


@recordings
def test_as_napari_sim_processor_finds_those_of_a_recording():
    raw = tifffile.imread(DATA / "hela_mitochondria_raw.tif")
    offset = tifffile.imread(DATA / "hela_mitochondria_offset_map.tif").astype(np.float32)
    microscope = {"pixel_size": 0.065, "na": 1.3, "wavelength": 0.66}
    theirs = with_napari_sim_processor(raw - offset, 0.6, **microscope)
    agree(estimate(raw, offset=offset, **microscope), *theirs, period=0.005, degrees=0.3)


@recordings
def test_the_third_orientation_of_the_noisy_recording_needs_help():
    raw = tifffile.imread(DATA / "microtubules_raw.tif")
    alone = estimate(raw, **MICROSCOPE)

    assert [p.found for p in alone] == [False, True, True]
    assert [p.angle for p in alone.found] == pytest.approx([145, 25], abs=1)
    assert [p.period for p in alone.found] == pytest.approx([0.18, 0.18], rel=0.01)
    assert "near 85 degrees with a period of 180 nm" in alone[0].reason
    assert "NOT FOUND" in alone.report()

    helped = estimate(raw, period=0.18, angles=(85, 145, 25), **MICROSCOPE)
    assert all(p.found for p in helped)
    assert helped[0].angle == pytest.approx(85, abs=1)
