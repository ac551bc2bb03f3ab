"""PSFs of volumes: widefield, confocal and light-sheet, against optics in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
from refusals import refused
from scipy import signal, special

from napari_zsdeconvnet import PSF
from napari_zsdeconvnet.psf import diffraction

NA, WAVELENGTH, LASER, INDEX = 1.2, 0.525, 0.488, 1.33
CONFOCAL = {"modality": "confocal", "excitation_wavelength": LASER}


def through_focus(**change: object) -> PSF:
    settings = {
        "na": NA,
        "wavelength": WAVELENGTH,
        "pixel_size": 0.05,
        "axial_step": 0.1,
        "refractive_index": INDEX,
    }
    return PSF.simulate(**(settings | change))


def assert_sound(psf: PSF) -> None:
    assert psf.array.sum(dtype=float) == pytest.approx(1, abs=1e-5)
    assert all(n % 2 for n in psf.array.shape)
    middle = tuple(n // 2 for n in psf.array.shape)
    assert np.unravel_index(np.argmax(psf.array), psf.array.shape) == middle
    for axis in range(3):
        np.testing.assert_allclose(psf.array, np.flip(psf.array, axis), atol=1e-9)


# Confocal


def test_a_confocal_with_a_point_pinhole_is_the_product() -> None:
    shape = {"planes": 21, "size": 41, "pixel_size": 0.01}  # fine, so that pixels do not matter
    psf = through_focus(**CONFOCAL, **shape)
    assert_sound(psf)
    emission = through_focus(**shape).array.astype(float)
    excitation = through_focus(**shape | {"wavelength": LASER}).array.astype(float)
    product = emission * excitation
    np.testing.assert_allclose(
        psf.array, product / product.sum(), atol=2e-3 * float(psf.array.max())
    )


def test_at_equal_wavelengths_a_confocal_is_narrower_by_1_4_along_each_axis() -> None:
    # Half of the square is where the PSF itself is at 0.71.
    shape = {"planes": 41, "size": 65, "pixel_size": 0.02, "axial_step": 0.05}
    confocal = through_focus(modality="confocal", excitation_wavelength=WAVELENGTH, **shape)
    ratio = np.divide(through_focus(**shape).fwhm, confocal.fwhm)
    assert ratio == pytest.approx((1.39, 1.39, 1.39), abs=0.015)


def test_a_pinhole_averages_the_emission_over_its_disc() -> None:
    # Against a convolution on the grid, with the disc's spectrum 2 J1(q) / q.
    pixel, size, airy_units = 0.03, 129, 1.0
    shape = {"planes": 5, "size": size, "pixel_size": pixel, "axial_step": 0.3}
    psf = through_focus(**CONFOCAL, pinhole=airy_units, **shape)
    emission = through_focus(**shape).array.astype(float)
    excitation = through_focus(**shape | {"wavelength": LASER}).array.astype(float)
    diameter = airy_units * 1.22 * WAVELENGTH / NA
    k = np.hypot(np.fft.fftfreq(size, pixel)[:, None], np.fft.fftfreq(size, pixel))
    q = np.maximum(np.pi * k * diameter, 1e-9)
    disc = np.fft.fftshift(np.fft.ifft2(2 * special.j1(q) / q).real)
    seen = np.stack([signal.fftconvolve(plane, disc, "same") for plane in emission])
    expected = (seen * excitation)[:, 24:-24, 24:-24]
    ours = psf.array[:, 24:-24, 24:-24].astype(float)
    np.testing.assert_allclose(
        ours / ours.sum(), expected / expected.sum(), atol=4e-3 * ours.max() / ours.sum()
    )


def test_a_pinhole_takes_the_sharpness_away_by_and_by() -> None:
    shape = {"planes": 31, "size": 65, "pixel_size": 0.04, "axial_step": 0.08}
    laser = {"modality": "confocal", "excitation_wavelength": WAVELENGTH}
    widths = [
        through_focus(**laser, pinhole=hole, **shape).fwhm for hole in (0.0, 0.3, 1.0, 2.0, 10.0)
    ]
    axial = [width[0] for width in widths]
    assert axial == sorted(axial)
    # So wide that everything is collected: only the excitation is left.
    assert widths[-1] == pytest.approx(through_focus(**shape).fwhm, rel=0.005)


def test_a_confocal_plane_in_focus_is_the_product_of_two_airy_patterns() -> None:
    psf = PSF.simulate(NA, WAVELENGTH, 0.01, size=41, **CONFOCAL)
    assert psf.axes == "YX"
    shape = (0.01, 0.01), (41, 41)
    product = diffraction.airy(NA, WAVELENGTH, *shape) * diffraction.airy(NA, LASER, *shape)
    np.testing.assert_allclose(psf.array, product / product.sum(), atol=2e-3 * psf.array.max())
    assert "488 nm excitation, point pinhole" in psf.source


def test_a_laser_that_underfills_the_objective_makes_a_wider_focus() -> None:
    full, half = (through_focus(**CONFOCAL, excitation_na=na).fwhm for na in (None, 0.6))
    assert half[0] > 1.1 * full[0]
    assert half[2] > 1.1 * full[2]


# Light sheet


@pytest.mark.parametrize("thickness", [0.5, 1.0, 2.0])
def test_a_sheet_and_the_objective_share_the_axial_width(thickness: float) -> None:
    # Of two Gaussians 1 / w^2 = 1 / a^2 + 1 / b^2; the objective's is nearly one.
    psf = through_focus(modality="light-sheet", sheet_thickness=thickness, na=1.1)
    assert_sound(psf)
    alone = through_focus(na=1.1)
    expected = 1 / math.sqrt(1 / thickness**2 + 1 / alone.fwhm[0] ** 2)
    assert psf.fwhm[0] == pytest.approx(expected, rel=0.02)
    assert psf.fwhm[1:] == pytest.approx(alone.fwhm[1:], rel=0.005)  # the sheet narrows only z
    light = psf.array.sum(axis=(1, 2), dtype=float)
    z = psf.steps[0] * (np.arange(len(light)) - len(light) // 2)
    np.testing.assert_allclose(light / light.max(), 0.5 ** ((2 * z / thickness) ** 2), atol=0.02)


def test_a_sheet_far_thicker_than_the_focus_changes_nothing() -> None:
    psf = through_focus(modality="light-sheet", sheet_thickness=90, planes=21, size=65)
    np.testing.assert_allclose(psf.array, through_focus(planes=21, size=65).array, rtol=5e-3)


# Extent


@pytest.mark.parametrize(
    ("settings", "share"),
    [
        (CONFOCAL, 0.96),
        ({"modality": "light-sheet", "sheet_thickness": 0.5}, 0.975),
        ({"modality": "light-sheet", "sheet_thickness": 1.5}, 0.975),
    ],
)
def test_the_default_extent_holds_the_light(settings: dict, share: float) -> None:
    psf = through_focus(**settings)
    large = through_focus(**settings, planes=81, size=257)
    margins = [(n - m) // 2 for n, m in zip(large.array.shape, psf.array.shape, strict=True)]
    assert min(margins) > 0
    inner = large.array[
        tuple(slice(m, n - m) for m, n in zip(margins, large.array.shape, strict=True))
    ]
    assert inner.sum(dtype=float) > share


def test_sheets_need_fewer_planes_than_widefield() -> None:
    widefield, sheet = through_focus(), through_focus(modality="light-sheet", sheet_thickness=0.6)
    assert len(sheet.array) == 17  # 1.2 thicknesses to either side
    assert sheet.array.size < widefield.array.size / 3
    assert sheet.array.size < through_focus(**CONFOCAL).array.size


def test_planes_too_far_apart_are_warned_of() -> None:
    assert through_focus(axial_step=0.3).warnings == ()
    (warning,) = through_focus(axial_step=0.5).warnings
    assert "500 nm between planes is too coarse" in warning
    assert "nm or less" in warning
    assert through_focus(**CONFOCAL, axial_step=0.35).warnings


# Bad numbers


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"modality": "two-photon"}, "modality-unknown"),
        ({"modality": "confocal"}, "excitation-wavelength-unknown"),
        ({**CONFOCAL, "excitation_wavelength": 488}, "wavelength-out-of-range"),
        ({**CONFOCAL, "excitation_wavelength": 0.56}, "wavelengths-swapped"),
        ({**CONFOCAL, "excitation_na": 1.4}, "na-above-index"),
        ({**CONFOCAL, "excitation_na": 0}, "na-out-of-range"),
        ({**CONFOCAL, "pinhole": -1}, "pinhole-out-of-range"),
        ({**CONFOCAL, "pinhole": 50}, "pinhole-out-of-range"),
        ({**CONFOCAL, "sheet_thickness": 1.0}, "other-modality"),
        ({"pinhole": 1.0}, "other-modality"),
        ({"modality": "light-sheet"}, "sheet-thickness-unknown"),
        ({"modality": "light-sheet", "sheet_thickness": 1500}, "length-out-of-range"),
        ({"modality": "light-sheet", "sheet_thickness": 0}, "length-out-of-range"),
        (
            {"modality": "light-sheet", "sheet_thickness": 1.0, "axial_step": None},
            "axial-step-unknown",
        ),
    ],
)
def test_what_is_missing_or_out_of_place_is_refused(change: dict, code: str) -> None:
    with refused(code):
        through_focus(**change)
