"""Point spread functions, checked against optics in closed form."""

from __future__ import annotations

import json
import math
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile
from refusals import refused
from scipy import integrate, ndimage, optimize, signal, special

from napari_zsdeconvnet import PSF, Image, InputError
from napari_zsdeconvnet.psf import diffraction
from napari_zsdeconvnet.psf.grid import core_centre, fourier_shift

DATA = Path(__file__).parents[2].parent / "shared" / "data"
NA, WAVELENGTH, PIXEL = 1.4, 0.525, 0.0325
CUTOFF = 2 * NA / WAVELENGTH

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the reference recordings are not here")


@pytest.fixture
def airy() -> PSF:
    return PSF.simulate(na=NA, wavelength=WAVELENGTH, pixel_size=PIXEL)


def lopsided(size: int = 41, middle: tuple[float, float] | None = None) -> np.ndarray:
    """Gaussian core at `middle` with a weaker tail toward +y and, further, +x."""
    centre = middle or ((size - 1) / 2, (size - 1) / 2)
    y, x = (np.arange(size) - c for c in centre)
    r = [(y[:, None] - dy) ** 2 + (x - dx) ** 2 for dy, dx in ((0, 0), (4, 0), (0, 7))]
    return np.exp(-r[0] / 8) + 0.3 * np.exp(-r[1] / 8) + 0.2 * np.exp(-r[2] / 8)


def assert_sound(psf: PSF) -> None:
    assert psf.array.dtype == np.float32
    assert all(n % 2 for n in psf.array.shape)
    assert psf.array.sum(dtype=float) == pytest.approx(1, abs=1e-5)
    assert psf.array.min() >= 0
    np.testing.assert_allclose(
        core_centre(psf.array.astype(float)), [n // 2 for n in psf.array.shape], atol=0.03
    )


# Simulation in 2D


def test_simulated_psf_is_the_airy_pattern(airy: PSF) -> None:
    assert_sound(airy)
    assert airy.voxel_size == (PIXEL, PIXEL)
    assert airy.warnings == ()
    # Against a pixel integral by adaptive quadrature, where the pattern is steep.
    middle = airy.array.shape[0] // 2

    def intensity(y: float, x: float) -> float:
        v = 2 * math.pi * NA * math.hypot(y, x) / WAVELENGTH
        return (2 * special.j1(v) / v) ** 2 if v > 1e-9 else 1.0

    def over_pixel(i: int, j: int) -> float:
        edges = [(k - 0.5) * PIXEL for k in (i, i + 1, j, j + 1)]
        return integrate.dblquad(intensity, edges[2], edges[3], edges[0], edges[1])[0]

    centre = over_pixel(0, 0)
    for i, j in ((0, 1), (2, 3), (0, 5), (8, 8)):
        ratio = airy.array[middle + i, middle + j] / airy.array[middle, middle]
        assert ratio == pytest.approx(over_pixel(i, j) / centre, rel=1e-5)


def test_fwhm_is_half_a_wavelength_over_na(airy: PSF) -> None:
    fine = PSF.simulate(na=NA, wavelength=WAVELENGTH, pixel_size=0.01, size=65)
    assert fine.fwhm == pytest.approx((0.5145 * WAVELENGTH / NA,) * 2, rel=2e-3)
    assert airy.fwhm == pytest.approx(fine.fwhm, rel=0.02)  # a pixel adds a little


@pytest.mark.parametrize(
    ("na", "pixel", "size"),
    [(1.4, 0.0325, None), (1.3, 0.0313, 65), (1.49, 0.05, None), (0.8, 0.1, None), (0.3, 0.2, 31)],
)
def test_otf_ends_at_two_na_over_wavelength(na: float, pixel: float, size: int | None) -> None:
    psf = PSF.simulate(na=na, wavelength=WAVELENGTH, pixel_size=pixel, size=size)
    assert psf.otf_cutoff == pytest.approx(2 * na / WAVELENGTH, rel=0.04)


def test_otf_has_the_shape_of_the_pupils_autocorrelation() -> None:
    psf = PSF.simulate(na=NA, wavelength=WAVELENGTH, pixel_size=PIXEL, size=129)
    transfer = np.abs(np.fft.rfft(psf.array.sum(axis=0, dtype=float), 1024))
    frequency = np.fft.rfftfreq(1024, PIXEL)
    s = np.minimum(frequency / CUTOFF, 1)
    ideal = 2 / np.pi * (np.arccos(s) - s * np.sqrt(1 - s**2)) * np.sinc(frequency * PIXEL)
    np.testing.assert_allclose(transfer, ideal, atol=0.02)  # the cropped tails


def test_default_size_holds_98_percent_of_the_light() -> None:
    psf = PSF.simulate(na=NA, wavelength=WAVELENGTH, pixel_size=PIXEL)
    v = 2 * np.pi * NA / WAVELENGTH * PIXEL * (psf.array.shape[0] // 2)
    assert 1 - special.j0(v) ** 2 - special.j1(v) ** 2 > 0.98
    assert PSF.simulate(na=0.2, wavelength=0.6, pixel_size=0.02).array.shape == (129, 129)


def test_energy_radius_follows_the_encircled_energy() -> None:
    psf = PSF.simulate(na=NA, wavelength=WAVELENGTH, pixel_size=0.02, size=129)

    def within(v: float) -> float:
        return 1 - special.j0(v) ** 2 - special.j1(v) ** 2

    held = within(2 * np.pi * NA / WAVELENGTH * 0.02 * 64)
    for fraction in (0.3, 0.5, 0.7):
        v = optimize.brentq(lambda v, f=fraction: within(v) - f * held, 0.1, 4)
        expected = v * WAVELENGTH / (2 * np.pi * NA)
        assert psf.energy_radius(fraction) == pytest.approx(expected, abs=0.01)


def test_anisotropic_pixels_keep_the_width_in_micrometres() -> None:
    psf = PSF.simulate(na=NA, wavelength=WAVELENGTH, pixel_size=(0.03, 0.05), size=65)
    assert psf.fwhm[0] == pytest.approx(psf.fwhm[1], rel=0.03)


@needs_data
def test_reference_psf_2d_is_reproduced() -> None:
    path = DATA / "reference2d" / "psf.tif"
    ours = PSF.simulate(na=1.3, wavelength=0.525, pixel_size=0.0313, size=65)
    theirs = tifffile.imread(path)
    assert np.abs(ours.array - theirs).max() < 1e-3 * theirs.max()
    np.testing.assert_allclose(PSF.read(path).array, theirs, atol=1e-7)


# Simulation in 3D


def test_3d_psf_keeps_its_light_in_each_plane_and_is_airy_in_focus() -> None:
    psf = PSF.simulate(na=0.8, wavelength=0.5, pixel_size=0.1, axial_step=0.3, planes=11, size=129)
    assert psf.axes == "ZYX"
    assert psf.array.shape == (11, 129, 129)
    assert_sound(psf)
    light = psf.array.sum(axis=(1, 2), dtype=float)
    np.testing.assert_allclose(light, light.mean(), rtol=0.02)
    focus = diffraction.airy(0.8, 0.5, (0.1, 0.1), (129, 129))
    np.testing.assert_allclose(psf.plane().array, focus, atol=1e-4 * focus.max())
    np.testing.assert_allclose(psf.array, psf.array[::-1], atol=1e-9)


def test_3d_psf_on_the_axis_has_the_closed_form() -> None:
    # In the paraxial limit the axis shows sinc^2(u / 4 pi), u = 2 pi z NA^2 / (wavelength n).
    na, wavelength, index, step = 0.2, 0.5, 1.33, 2.0
    psf = PSF.simulate(
        na, wavelength, 0.02, refractive_index=index, axial_step=step, planes=31, size=9
    )
    z = step * (np.arange(31) - 15)
    expected = np.sinc(z * na**2 / (2 * index * wavelength)) ** 2
    axis = psf.array[:, 4, 4] / psf.array[15, 4, 4]
    np.testing.assert_allclose(axis, expected, atol=0.01)


@needs_data
def test_reference_psf_3d_is_reproduced() -> None:
    path = DATA / "reference3d" / "psf.tif"
    read = PSF.read(path, 0.0926)
    ours = PSF.simulate(
        1.1, 0.525, 0.0926, refractive_index=1.3, axial_step=0.0926, planes=27, size=27
    )
    # The reference is sampled at points, ours integrated over pixels.
    assert np.corrcoef(ours.array.ravel(), read.array.ravel())[0, 1] > 0.999
    assert read.fwhm == pytest.approx(ours.fwhm, rel=0.04)
    theirs = tifffile.imread(path).astype(float)
    np.testing.assert_allclose(read.array, theirs / theirs.sum(), rtol=1e-4)  # tails kept


@pytest.mark.parametrize(("na", "index"), [(0.8, 1.0), (1.2, 1.33), (1.4, 1.515)])
def test_immersion_follows_the_na(na: float, index: float) -> None:
    assert diffraction.usual_refractive_index(na) == index


# Bad numbers


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"wavelength": 525}, "wavelength-out-of-range"),
        ({"wavelength": 0.0}, "wavelength-out-of-range"),
        ({"pixel_size": 32.5}, "length-out-of-range"),
        ({"pixel_size": 0}, "psf-voxel-size-wrong"),
        ({"pixel_size": math.nan}, "psf-voxel-size-wrong"),
        ({"na": 0}, "na-out-of-range"),
        ({"na": "big"}, "no-number"),
        ({"na": 1.4, "refractive_index": 1.33}, "na-above-index"),
        ({"na": 1.6}, "na-above-index"),
        ({"refractive_index": 15.15}, "refractive-index-out-of-range"),
        ({"size": 64}, "no-odd-number"),
        ({"size": "big"}, "no-number"),
        ({"planes": 11}, "axial-step-unknown"),
        ({"axial_step": 0.1, "planes": 10}, "no-odd-number"),
        ({"axial_step": 100}, "length-out-of-range"),
    ],
)
def test_simulate_refuses_what_no_microscope_has(change: dict, code: str) -> None:
    settings = {"na": NA, "wavelength": WAVELENGTH, "pixel_size": PIXEL} | change
    with refused(code):
        PSF.simulate(**settings)


def test_pixels_above_nyquist_are_warned_of() -> None:
    psf = PSF.simulate(na=NA, wavelength=WAVELENGTH, pixel_size=0.12)
    assert "coarser than 93.8 nm" in psf.warnings[0]


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((9, 9), np.nan), "81 NaN"),
        (np.zeros((9, 9)), "constant, every pixel being 0"),
        (np.ones((9, 9)), "constant"),
        (np.ones((9, 9), complex), "complex"),
        (np.ones(9), "1 axes"),
        (np.ones((2, 5, 9, 9)), "4 axes"),
        (np.ones((2, 9)), "three pixels or more"),
        (lopsided() - 0.005, "negative values down to -0.005"),
        (-lopsided(), "must be positive"),
        (np.array([["a", "b"]]), "values"),
    ],
)
def test_from_array_refuses_what_no_psf_is(array: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words):
        PSF.from_array(array)


def test_noise_without_a_bead_is_refused() -> None:
    noise = np.random.default_rng(0).normal(100, 5, (41, 41))
    with pytest.raises(InputError, match="does not stand out"):
        PSF.from_array(noise)


@pytest.mark.parametrize(
    ("voxel_size", "code"),
    [
        ((0.1, 0.03, 0.03), "psf-voxel-size-wrong"),
        (-0.03, "psf-voxel-size-wrong"),
        ("small", "psf-voxel-size-wrong"),
        (65, "length-out-of-range"),
    ],
)
def test_voxel_size_is_checked(voxel_size: object, code: str) -> None:
    with refused(code):
        PSF.from_array(lopsided(), voxel_size)


def test_a_plane_must_be_chosen_on_purpose() -> None:
    volume = np.stack([lopsided()] * 5) * np.array([1, 2, 3, 2, 1])[:, None, None]
    psf = PSF.from_array(volume, (0.2, 0.05, 0.05))
    with pytest.raises(InputError, match=r"\.plane\(\)"):
        psf.resampled((0.03, 0.03))
    focus = psf.plane()
    assert focus.array.sum(dtype=float) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(focus.array * psf.array[2].sum(), psf.array[2], rtol=1e-5)
    assert focus.voxel_size == (0.05, 0.05)
    assert "plane 2 of 5" in focus.source
    assert focus.plane() is focus
    with refused("psf-plane-missing", plane=5, planes=5):
        psf.plane(5)


def test_unfinished_arrays_do_not_pass_the_constructor(airy: PSF) -> None:
    for array in (airy.array[:-1], airy.array * 2, airy.array - 1e-3, airy.array[0]):
        with pytest.raises(InputError, match=r"PSF\.from_array"):
            PSF(array)
    with pytest.raises(ValueError, match="read-only"):
        airy.array[0, 0] = 1


# Centre


@pytest.mark.parametrize("middle", [(20, 20), (20.37, 19.8), (17.25, 22.5)])
def test_lopsided_psf_is_moved_and_not_distorted(middle: tuple[float, float]) -> None:
    straight = PSF.from_array(lopsided(61))
    moved = PSF.from_array(lopsided(41, middle))
    assert_sound(moved)
    off = np.subtract(straight.shift, np.subtract(moved.shift, np.subtract(middle, 20)))
    np.testing.assert_allclose(off, 0, atol=0.02)
    half = [
        min(a, b) // 2 - 1 for a, b in zip(moved.array.shape, straight.array.shape, strict=True)
    ]
    crops = [
        p.array[
            tuple(
                slice(n // 2 - h, n // 2 + h + 1) for n, h in zip(p.array.shape, half, strict=True)
            )
        ]
        for p in (straight, moved)
    ]
    np.testing.assert_allclose(crops[0], crops[1], atol=0.01 * straight.array.max())


def test_orientation_survives_reading_and_resampling(tmp_path: Path) -> None:
    psf = PSF.from_array(lopsided(), 0.05)
    psf.write(tmp_path / "psf.tif")
    for other in (PSF.read(tmp_path / "psf.tif"), psf.resampled(0.035), psf.resampled(0.08)):
        y, x = (np.arange(n) - n // 2 for n in other.array.shape)
        weight = other.array
        assert (weight * y[:, None]).sum() * other.steps[0] > 0.01
        assert (weight * x).sum() * other.steps[1] > 0.01
        third_y, third_x = ((weight * v**3).sum() for v in (y[:, None], x))
        assert third_x > 1.5 * third_y > 0  # the tail along x is the longer one


@pytest.mark.parametrize("size", [40, 41])
def test_even_size_becomes_odd_with_a_warning(size: int) -> None:
    psf = PSF.from_array(lopsided(size))
    assert_sound(psf)
    assert any("even size, 40x40" in w for w in psf.warnings) == (size == 40)


def test_light_near_the_border_is_padded_and_not_lost() -> None:
    array = lopsided(41, (20, 6))  # cropped about its peak, the tail along x would go
    psf = PSF.from_array(array)
    assert psf.array.shape[1] > 50
    bright, before = ((a > 0.1 * a.max()).sum() for a in (psf.array, array))
    assert bright == pytest.approx(before, rel=0.1)
    assert any("off the middle" in w for w in psf.warnings)


def test_a_shifted_airy_comes_back(airy: PSF) -> None:
    moved = fourier_shift(airy.array.astype(float), np.array([0.4, -0.3]))
    psf = PSF.from_array(np.maximum(moved, 0), PIXEL)
    middle = [n // 2 for n in psf.array.shape]
    crop = psf.array[middle[0] - 20 : middle[0] + 21, middle[1] - 20 : middle[1] + 21]
    expected = airy.cropped(41).array * crop.sum()
    np.testing.assert_allclose(crop, expected, atol=0.01 * crop.max())
    assert psf.shift == pytest.approx((0.4, -0.3), abs=0.01)


# Background


def test_background_and_noise_of_a_recording_are_removed() -> None:
    rng = np.random.default_rng(3)
    clean = PSF.simulate(1.1, 0.525, 0.1, axial_step=0.2, planes=31, size=65)
    light = clean.array.astype(float) / clean.array.max() * 5000
    recorded = (rng.poisson(light) + rng.normal(140, 10, light.shape)).round().astype(np.uint16)
    psf = PSF.from_array(recorded, clean.voxel_size)
    assert psf.background == pytest.approx(140, abs=1)
    assert any("noise" in w for w in psf.warnings)
    assert psf.fwhm == pytest.approx(clean.fwhm, rel=0.03)
    assert_sound(psf)
    # The noise clipped at zero would hold more than the light of the bead.
    naive = np.maximum(recorded - 140.0, 0)
    assert naive.sum() > 1.15 * light.sum()
    seen = psf.array.max() / clean.array.max()
    assert 0.9 < seen < 1.3  # little of the tails is lost, and nothing is added


def test_a_pedestal_under_a_computed_psf_is_removed(airy: PSF) -> None:
    scaled = airy.array.astype(float) / airy.array.max() * 1000
    psf = PSF.from_array(scaled + 50, PIXEL)
    assert psf.background == pytest.approx(50, abs=0.1)
    np.testing.assert_allclose(psf.array, airy.array, atol=0.01 * airy.array.max())
    kept = PSF.from_array(scaled + 50, PIXEL, background=0)
    assert kept.background == 0
    assert kept.array.max() < 0.5 * airy.array.max()
    assert any("border" in w for w in PSF.from_array(scaled + 80, background=0).warnings)


@pytest.mark.parametrize("size", [9, 15, 33, 65])
@pytest.mark.parametrize("pixel", [0.03, 0.065, 0.1, 0.13])
def test_tails_of_a_computed_psf_are_not_taken_for_background(size: int, pixel: float) -> None:
    psf = PSF.simulate(na=NA, wavelength=WAVELENGTH, pixel_size=pixel, size=size)
    again = PSF.from_array(psf.array, pixel)
    assert again.background == 0
    np.testing.assert_allclose(again.array, psf.array, atol=1e-6)


@needs_data
def test_measured_lattice_light_sheet_psf() -> None:
    path = DATA / "volume" / "lls_psf_measured.tif"
    psf = PSF.read(path, voxel_size=(0.1, 0.101, 0.101))
    assert_sound(psf)
    assert psf.background == pytest.approx(142, abs=1)
    assert psf.voxel_size == (0.1, 0.101, 0.101)
    assert psf.fwhm == pytest.approx((0.69, 0.31, 0.30), abs=0.02)
    # The light in the core, against what stands in a box about the bead above its own frame.
    box = tifffile.imread(path).astype(float)[8:53, 47:97, 40:89]
    frame = np.concatenate([box[:, :4].ravel(), box[:, -4:].ravel()])
    box -= frame.mean()
    share = box[16:29, 19:30, 18:29].sum() / box.sum()
    z, y, x = (n // 2 for n in psf.array.shape)
    ours = psf.array[z - 6 : z + 7, y - 5 : y + 6, x - 6 : x + 5].sum()
    assert ours == pytest.approx(share, rel=0.1)  # no pedestal left, little light lost


# Other grids


@pytest.mark.parametrize(("old", "new"), [(0.0626, 0.0313), (0.0313, 0.0626), (0.05, 0.0325)])
def test_resampled_equals_a_simulation_on_that_grid(old: float, new: float) -> None:
    psf = PSF.simulate(1.3, 0.525, old, size=129).resampled(new)
    assert_sound(psf)
    assert psf.voxel_size == (new, new)
    direct = PSF.simulate(1.3, 0.525, new, size=psf.array.shape[0])
    assert np.abs(psf.array - direct.array).max() < 2e-4 * direct.array.max()
    assert psf.fwhm == pytest.approx(PSF.simulate(1.3, 0.525, old).fwhm, rel=0.02)


def test_resampling_a_volume_along_z_keeps_the_light() -> None:
    fine = PSF.simulate(1.1, 0.525, 0.1, axial_step=0.1, planes=41, size=33)
    coarse = fine.resampled((0.2, 0.1, 0.1))
    assert coarse.array.shape == (21, 33, 33)
    np.testing.assert_allclose(
        coarse.array, fine.array[::2] / fine.array[::2].sum(), atol=2e-3 * coarse.array.max()
    )
    assert coarse.fwhm == pytest.approx(fine.fwhm, rel=0.02)
    between = fine.resampled((0.07, 0.1, 0.1))
    assert between.fwhm == pytest.approx(fine.fwhm, rel=0.02)


def test_resampling_refuses_what_it_cannot_do(airy: PSF) -> None:
    assert airy.resampled(PIXEL) is airy
    with pytest.raises(InputError, match="no voxel size"):
        PSF.from_array(lopsided()).resampled(0.03)
    with pytest.raises(InputError, match="less than three voxels"):
        airy.resampled(5.0)
    coarse = PSF.simulate(na=NA, wavelength=WAVELENGTH, pixel_size=0.13)
    assert any("too coarse" in w for w in coarse.resampled(0.05).warnings)


# Files


@pytest.mark.parametrize("name", ["psf.tif", "psf.ome.tif", "psf.npy"])
@pytest.mark.parametrize("planes", [None, 7])
def test_written_psf_comes_back(name: str, planes: int | None, tmp_path: Path) -> None:
    step = None if planes is None else 0.25
    psf = PSF.simulate(1.2, 0.6, 0.05, axial_step=step, planes=planes, size=31)
    psf.write(tmp_path / name)
    back = PSF.read(tmp_path / name)
    np.testing.assert_allclose(back.array, psf.array, rtol=1e-5)
    if name.endswith(".npy"):
        assert back.voxel_size is None
        assert any(("pixel size" if planes is None else "voxel size") in w for w in back.warnings)
    else:
        assert back.voxel_size == pytest.approx(psf.voxel_size)
        assert not any("pixel size" in w for w in back.warnings)


def test_metadata_is_json_and_comes_back(airy: PSF) -> None:
    metadata = json.loads(json.dumps(airy.to_metadata()))
    back = PSF.from_metadata(airy.array, metadata)
    assert np.array_equal(back.array, airy.array)
    assert (back.voxel_size, back.source) == (airy.voxel_size, airy.source)


def test_a_volume_file_gives_a_plane_when_asked(tmp_path: Path) -> None:
    psf = PSF.simulate(1.2, 0.6, 0.05, axial_step=0.25, planes=7, size=31)
    psf.write(tmp_path / "psf.tif")
    focus = PSF.read(tmp_path / "psf.tif", plane="focus")
    np.testing.assert_allclose(focus.array, psf.plane().array, rtol=1e-5)
    below = PSF.read(tmp_path / "psf.tif", (0.06, 0.06), plane=1)
    np.testing.assert_allclose(below.array, psf.plane(1).array, rtol=1e-5)
    assert below.voxel_size == (0.06, 0.06)
    with refused("psf-plane-missing"):
        PSF.read(tmp_path / "psf.tif", plane="middle")


def test_mrc_gives_voxels_in_micrometres(tmp_path: Path) -> None:
    psf = PSF.simulate(1.2, 0.6, 0.05, axial_step=0.25, planes=7, size=31)
    with mrcfile.new(tmp_path / "psf.mrc") as mrc:
        mrc.set_data(psf.array)
        mrc.voxel_size = (500, 500, 2500)  # Angstrom, x first
    back = PSF.read(tmp_path / "psf.mrc")
    assert back.voxel_size == pytest.approx((0.25, 0.05, 0.05))
    np.testing.assert_allclose(back.array, psf.array, rtol=1e-5)


def test_mrc_that_stores_its_axes_in_another_order_is_told(tmp_path: Path) -> None:
    psf = PSF.simulate(1.2, 0.6, 0.05, axial_step=0.25, planes=7, size=31)
    with mrcfile.new(tmp_path / "psf.mrc") as mrc:
        mrc.set_data(np.ascontiguousarray(psf.array.transpose(1, 2, 0)))
        mrc.header.mapc, mrc.header.mapr, mrc.header.maps = 3, 1, 2
    said = " ".join(PSF.read(tmp_path / "psf.mrc").warnings)
    assert "stored as YXZ" in said
    back = PSF.read(tmp_path / "psf.mrc", axes="YXZ")
    np.testing.assert_allclose(back.array, psf.array, rtol=1e-5)


def test_deltavision_gives_voxels_in_micrometres(tmp_path: Path) -> None:
    psf = PSF.simulate(1.2, 0.6, 0.05, axial_step=0.25, planes=7, size=31)
    header = np.zeros(256, dtype="<i4")
    header[:4] = (31, 31, 7, 2)
    header[10:13] = np.array([0.05, 0.05, 0.25], dtype="<f4").view("<i4")
    header.view("<i2")[48] = -16224
    (tmp_path / "psf.dv").write_bytes(header.tobytes() + psf.array.astype("<f4").tobytes())
    back = PSF.read(tmp_path / "psf.dv")
    assert back.voxel_size == pytest.approx((0.25, 0.05, 0.05))
    np.testing.assert_allclose(back.array, psf.array, rtol=1e-5)


@pytest.mark.parametrize("kind", ["psf.tif", "psf.mrc", "psf.npy"])
def test_truncated_files_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    psf = PSF.simulate(1.2, 0.6, 0.05, size=65)
    if kind.endswith(".mrc"):
        with mrcfile.new(tmp_path / kind) as mrc:
            mrc.set_data(psf.array)
    else:
        psf.write(tmp_path / kind)
    whole = (tmp_path / kind).read_bytes()
    for length in (len(whole) // 2, 100, 0):
        (tmp_path / kind).write_bytes(whole[:length])
        with pytest.raises(InputError, match=kind):
            PSF.read(tmp_path / kind)


def test_foreign_files_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "psf.jpg").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"psf\.jpg is of a kind"):
        PSF.read(tmp_path / "psf.jpg")
    for missing in ("gone.tif", "gone.mrc", "gone.xyz"):
        with pytest.raises(InputError, match="does not exist"):
            PSF.read(tmp_path / missing)
    tifffile.imwrite(tmp_path / "flat.tif", np.ones((9, 9), np.uint16))
    with pytest.raises(InputError, match=r"flat\.tif.*constant"):
        PSF.read(tmp_path / "flat.tif")
    tifffile.imwrite(tmp_path / "channels.tif", np.ones((2, 3, 9, 9), np.uint16), imagej=True)
    with refused("psf-file-axes", axes="CZYX"):
        PSF.read(tmp_path / "channels.tif")


# Radial OTFs


def write_otf(path: Path, otf: np.ndarray, dkr: float, dkz: float) -> None:
    with mrcfile.new(path) as mrc:
        mrc.set_data(otf.astype(np.complex64))
        mrc.header.cella.x = dkz if otf.shape[-2] > 1 else dkr
        mrc.header.cella.y = dkr


def test_radial_otf_of_a_plane(tmp_path: Path) -> None:
    dkr = 0.05
    s = np.minimum(dkr * np.arange(240) / CUTOFF, 1)
    otf = 2 / np.pi * (np.arccos(s) - s * np.sqrt(1 - s**2))
    write_otf(tmp_path / "otf.mrc", 7.5 * otf[None], dkr, 1.0)
    psf = PSF.read(tmp_path / "otf.mrc", voxel_size=PIXEL)
    assert_sound(psf)
    assert psf.voxel_size == (PIXEL, PIXEL)
    middle = psf.array.shape[0] // 2
    r = PIXEL * np.arange(middle + 1)
    v = np.maximum(2 * np.pi * NA * r / WAVELENGTH, 1e-9)
    line = psf.array[middle, middle:] / psf.array[middle, middle]
    np.testing.assert_allclose(line, (2 * special.j1(v) / v) ** 2, atol=2e-3)
    assert psf.otf_cutoff == pytest.approx(CUTOFF, rel=0.04)
    own_grid = PSF.read(tmp_path / "otf.mrc")
    assert own_grid.voxel_size == pytest.approx((1 / (2 * dkr * 239),) * 2)
    with pytest.raises(InputError, match="OTF is that of a plane"):
        PSF.read(tmp_path / "otf.mrc", voxel_size=(0.1, PIXEL, PIXEL))


@pytest.mark.parametrize("orders", [1, 3])
def test_radial_otf_of_a_volume(orders: int, tmp_path: Path) -> None:
    voxel = (0.2, 0.08, 0.08)
    psf = PSF.simulate(1.1, 0.525, 0.08, axial_step=0.2, planes=31, size=65)
    full = np.fft.fftn(np.fft.ifftshift(psf.array.astype(float)))
    radial = full[:, 0, :33].T  # (kr, kz): along kx, the PSF being round
    stack = np.stack([radial, *[0.3 * radial] * (orders - 1)]) if orders > 1 else radial
    write_otf(tmp_path / "otf.mrc", stack, 1 / (65 * 0.08), 1 / (31 * 0.2))
    back = PSF.read(tmp_path / "otf.mrc", voxel_size=voxel)
    assert back.array.ndim == 3
    middle = tuple(slice(n // 2 - 8, n // 2 + 9) for n in back.array.shape)
    inner = tuple(slice(n // 2 - 8, n // 2 + 9) for n in psf.array.shape)
    crops = back.array[middle], psf.array[inner]
    assert np.corrcoef(crops[0].ravel(), crops[1].ravel())[0, 1] > 0.999
    assert back.fwhm == pytest.approx(psf.fwhm, rel=0.03)
    # Two values ask for the plane in focus, not for the projection along z.
    focus = PSF.read(tmp_path / "otf.mrc", voxel_size=voxel[1:])
    assert focus.array.ndim == 2
    assert focus.fwhm == pytest.approx(psf.plane().fwhm, rel=0.03)
    assert any("orders" in w for w in back.warnings) == (orders > 1)


def test_complex_files_that_are_no_radial_otf_are_refused(tmp_path: Path) -> None:
    otf = np.ones((20, 16), complex)
    write_otf(tmp_path / "otf.mrc", otf, 0.0, 0.1)
    with pytest.raises(InputError, match=r"otf\.mrc does not say the distance"):
        PSF.read(tmp_path / "otf.mrc")
    write_otf(tmp_path / "full.mrc", np.ones((30, 20, 16)), 0.1, 0.1)
    with pytest.raises(InputError, match=r"full\.mrc holds complex values of shape"):
        PSF.read(tmp_path / "full.mrc")


# Beads


def bead_field(
    psf: np.ndarray, *, peak: float = 800, count: int = 30, size: int = 384, seed: int = 0
) -> np.ndarray:
    """Beads at random sub-pixel places, as a camera of offset 100 and 2 counts noise sees them."""
    rng = np.random.default_rng(seed)
    half = psf.shape[0] // 2
    image = np.zeros((size + 2 * half,) * 2)
    places: list[np.ndarray] = []
    while len(places) < count:
        place = rng.uniform(0, size, 2)
        if all(np.abs(place - other).max() > 24 for other in places):
            places.append(place)
            whole = np.rint(place).astype(int)
            bead = fourier_shift(psf, place - whole) / psf.max()
            window = tuple(slice(w, w + 2 * half + 1) for w in whole)
            if image[window].shape == bead.shape:
                image[window] += peak * rng.uniform(0.7, 1.4) * bead
    light = np.maximum(image[half:-half, half:-half], 0)
    return (rng.poisson(light) + rng.normal(100, 2, light.shape)).round().astype(np.uint16)


def assert_recovers(psf: PSF, known: PSF) -> None:
    assert_sound(psf)
    half = [min(a, b) // 2 for a, b in zip(psf.array.shape, known.array.shape, strict=True)]
    crops = [
        p.array[
            tuple(
                slice(n // 2 - h, n // 2 + h + 1) for n, h in zip(p.array.shape, half, strict=True)
            )
        ]
        for p in (psf, known)
    ]
    assert np.corrcoef(crops[0].ravel(), crops[1].ravel())[0, 1] > 0.99
    assert psf.fwhm == pytest.approx(known.fwhm, rel=0.05)


@pytest.mark.parametrize("peak", [100, 2000])
@pytest.mark.parametrize("pixel", [0.0626, 0.04])
def test_beads_give_back_the_psf(peak: float, pixel: float) -> None:
    known = PSF.simulate(1.3, 0.525, pixel, size=49)
    psf = PSF.from_beads(bead_field(known.array.astype(float), peak=peak), pixel)
    assert_recovers(psf, known)
    assert "near the border" in psf.source
    assert psf.voxel_size == (pixel, pixel)


def test_beads_keep_a_lopsided_psf() -> None:
    airy = PSF.simulate(1.3, 0.525, 0.0626, size=49).array.astype(float)
    kernel = np.zeros((9, 9))
    kernel[4, 4], kernel[4, 7], kernel[6, 8] = 0.6, 0.25, 0.15
    known = PSF.from_array(signal.fftconvolve(airy, kernel, "same").clip(0), 0.0626).cropped(45)
    psf = PSF.from_beads(bead_field(known.array.astype(float)), 0.0626, size=25)
    assert_recovers(psf, known)
    x = np.arange(psf.array.shape[1]) - psf.array.shape[1] // 2
    assert (psf.array * x).sum() > 0.3


def test_a_bead_stack_gives_a_volume() -> None:
    known = PSF.simulate(1.1, 0.525, 0.1, axial_step=0.3, planes=15, size=25)
    rng = np.random.default_rng(1)
    volume = np.zeros((19, 140, 140))
    for y in (20, 65, 110):
        for x in (22, 68, 112):
            offset = rng.uniform(-0.5, 0.5, 3)
            bead = fourier_shift(known.array.astype(float), offset) / known.array.max()
            volume[2:17, y - 12 : y + 13, x - 12 : x + 13] += 3000 * bead
    noisy = rng.poisson(np.maximum(volume, 0)) + rng.normal(100, 2, volume.shape)
    psf = PSF.from_beads(Image(noisy, "ZYX", (0.3, 0.1, 0.1)), size=25)
    assert "mean of 9 beads" in psf.source
    assert_recovers(psf, known)


def test_the_diameter_of_the_beads_is_taken_out() -> None:
    pixel, diameter = 0.05, 0.2
    known = PSF.simulate(1.3, 0.525, pixel, size=49)
    k = np.hypot(np.fft.fftfreq(49, pixel)[:, None], np.fft.rfftfreq(49, pixel))
    blurred = np.fft.irfft2(
        np.fft.rfft2(known.array.astype(float)) * diffraction.sphere_spectrum(k, diameter), (49, 49)
    )
    field = bead_field(np.maximum(blurred, 0), peak=5000)
    assert diffraction.sphere_spectrum(np.array([0.0]), 1.0)[0] == pytest.approx(1, abs=1e-6)
    assert PSF.from_beads(field, pixel).fwhm[0] > 1.06 * known.fwhm[0]
    corrected = PSF.from_beads(field, pixel, diameter=diameter)
    assert corrected.fwhm == pytest.approx(known.fwhm, rel=0.02)
    assert "200 nm" in corrected.source


def test_doubtful_beads_are_left_out_and_counted() -> None:
    known = PSF.simulate(1.3, 0.525, 0.0626, size=49)
    image = bead_field(known.array.astype(float), count=12)
    bead = known.array.astype(float) / known.array.max()
    image[100:149, 100:149] = 100 + 80 * bead  # dim, on a clean patch
    image[200:249, 200:249] = np.minimum(100 + 200000 * bead, 65535)
    broad = ndimage.gaussian_filter(bead, 3)
    image[290:339, 100:149] = 100 + 900 * broad / broad.max()
    psf = PSF.from_beads(image, 0.0626)
    for reason in ("saturated", "of another"):
        assert reason in psf.source
    assert_recovers(psf, known)


def test_no_beads_and_no_pixel_size_are_refused() -> None:
    noise = np.random.default_rng(0).normal(100, 2, (128, 128))
    with pytest.raises(InputError, match="No bead was found"):
        PSF.from_beads(noise, 0.065)
    known = PSF.simulate(1.3, 0.525, 0.0626, size=49).array.astype(float)
    with refused("voxel-size-unknown"):
        PSF.from_beads(bead_field(known), None)
    with pytest.raises(InputError, match="single channel and time point"):
        PSF.from_beads(Image(np.zeros((2, 64, 64)), "TYX"), 0.065)
    edge = noise.copy()
    edge[:12, :12] += 500 * known[18:30, 18:30] / known.max()
    with pytest.raises(InputError, match="1 near the border"):
        PSF.from_beads(edge, 0.065)


# What the user is shown


def test_describe_and_profile_say_grid_width_and_unit(airy: PSF) -> None:
    text = airy.describe()
    for part in ("119x119", "32.5 x 32.5 nm", "194 x", "finest period 19", "NA 1.4"):
        assert part in text
    positions, values = airy.profile()
    assert positions[np.argmax(values)] == 0
    assert values.max() == 1
    assert positions[1] - positions[0] == pytest.approx(PIXEL)
    plain = PSF.from_array(lopsided())
    assert plain.unit == "pixels"
    assert "voxel size not known" in plain.describe()
    assert plain.fwhm[1] == pytest.approx(2.355 * 2, rel=0.1)


def test_a_width_that_leaves_the_array_is_not_invented() -> None:
    psf = PSF.simulate(1.1, 0.525, 0.1, axial_step=0.05, planes=5, size=33)
    assert math.isnan(psf.fwhm[0])
    assert "cut off" in psf.describe()


def test_one_hot_pixel_is_warned_of() -> None:
    array = np.zeros((21, 21))
    array[10, 10] = 1
    assert any("hot pixel" in w for w in PSF.from_array(array).warnings)
