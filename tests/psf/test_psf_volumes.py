"""PSFs of volumes: other axial steps, short stacks, recordings and beads in three dimensions."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile
from refusals import refused

from napari_zsdeconvnet import PSF, Image, InputError
from napari_zsdeconvnet.psf.grid import core_centre, fourier_shift

DATA = Path(__file__).parents[2].parent / "shared" / "data"

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the reference recordings are not here")


def simulated(step: float = 0.1, pixel: float = 0.1, **more: object) -> PSF:
    settings = {"refractive_index": 1.33, "axial_step": step} | more
    return PSF.simulate(1.1, 0.525, pixel, **settings)


def assert_sound(psf: PSF) -> None:
    assert psf.array.ndim == 3
    assert all(n % 2 for n in psf.array.shape)
    assert psf.array.min() >= 0
    assert psf.array.sum(dtype=float) == pytest.approx(1, abs=1e-5)
    middle = [n // 2 for n in psf.array.shape]
    np.testing.assert_allclose(core_centre(psf.array.astype(float)), middle, atol=0.03)


def light_of_planes(psf: PSF) -> np.ndarray:
    light = psf.array.sum(axis=(1, 2), dtype=float)
    return light / light.mean()


# Other steps

GRIDS = [
    (0.2, 0.1, 0.1),  # every second plane
    (0.16, 0.1, 0.1),  # no common step
    (0.07, 0.1, 0.1),  # finer
    (0.3, 0.12, 0.09),  # all axes at once
]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("kind", ["widefield", "light-sheet"])
def test_resampling_a_volume_equals_simulating_it_there(
    grid: tuple[float, float, float], kind: str
) -> None:
    more = {"modality": kind} | ({"sheet_thickness": 1.2} if kind == "light-sheet" else {})
    fine = simulated(planes=41, size=61, **more)
    psf = fine.resampled(grid)
    assert_sound(psf)
    assert psf.voxel_size == grid
    # As many planes as fit into the old extent, so that nothing is made up beyond it.
    assert psf.array.shape[0] == 2 * int(2.0 / grid[0] + 1e-6) + 1
    direct = simulated(grid[0], grid[1:], planes=psf.array.shape[0], size=None, **more)
    sides = [min(a, b) // 2 for a, b in zip(psf.array.shape, direct.array.shape, strict=True)]
    crops = []
    for array in (psf.array.astype(float), direct.array.astype(float)):
        middle = tuple(
            slice(n // 2 - s, n // 2 + s + 1) for n, s in zip(array.shape, sides, strict=True)
        )
        crops.append(array[middle] / array[middle].sum())
    np.testing.assert_allclose(crops[0], crops[1], atol=5e-4 * crops[1].max())
    assert psf.fwhm == pytest.approx(fine.fwhm, rel=0.03)  # in micrometres


@pytest.mark.parametrize("step", [0.07, 0.16, 0.2, 0.33])
def test_every_plane_of_a_widefield_psf_keeps_its_light(step: float) -> None:
    # The outermost planes are as bright as any; a series continued by zeros would ring there.
    fine = simulated(planes=41, size=129)
    psf = fine.resampled((step, 0.1, 0.1))
    depths = step * (np.arange(len(psf.array)) - len(psf.array) // 2)
    expected = np.interp(depths, 0.1 * (np.arange(41) - 20), light_of_planes(fine))
    np.testing.assert_allclose(light_of_planes(psf), expected / expected.mean(), atol=2e-3)


def test_resampling_there_and_back_changes_nothing() -> None:
    psf = simulated(0.1, planes=41, size=41)
    back = psf.resampled((0.05, 0.05, 0.05)).resampled((0.1, 0.1, 0.1))
    assert back.array.shape == psf.array.shape
    np.testing.assert_allclose(back.array, psf.array, atol=1e-3 * psf.array.max())


def test_a_lopsided_volume_keeps_its_orientation() -> None:
    array = np.zeros((21, 21, 21))
    z, y, x = np.indices(array.shape) - 10
    for (dz, dy, dx), height in (((0, 0, 0), 1.0), ((4, 0, 0), 0.3), ((0, -3, 5), 0.25)):
        array += height * np.exp(-((z - dz) ** 2 + (y - dy) ** 2 + (x - dx) ** 2) / 6)
    psf = PSF.from_array(array, (0.2, 0.1, 0.1))
    for grid in ((0.32, 0.1, 0.1), (0.1, 0.07, 0.07)):
        other = psf.resampled(grid)
        for axis, sign in ((0, 1), (1, -1), (2, 1)):
            line = other.array.sum(axis=tuple(a for a in range(3) if a != axis))
            position = np.arange(len(line)) - len(line) // 2
            assert sign * (line * position).sum() * grid[axis] > 0.03


@needs_data
def test_twice_the_reference_step_is_every_second_plane() -> None:
    psf = PSF.read(DATA / "reference3d" / "psf.tif", 0.0926)
    double = psf.resampled((0.1852, 0.0926, 0.0926))
    second = tifffile.imread(DATA / "reference3d" / "psf.tif").astype(float)[1::2]
    np.testing.assert_allclose(
        double.array, second / second.sum(), atol=1e-6 * float(double.array.max())
    )
    assert double.fwhm == pytest.approx(psf.fwhm, rel=0.01)
    fourth = psf.resampled((0.3704, 0.0926, 0.0926)).array
    assert fourth.shape == (7, 27, 27)
    expected = psf.array[1::4].astype(float)
    np.testing.assert_allclose(fourth, expected / expected.sum(), atol=1e-6 * fourth.max())


def test_a_step_too_coarse_for_the_psf_is_warned_of() -> None:
    psf = simulated(0.1, planes=41, size=33)
    assert psf.resampled((0.4, 0.1, 0.1)).warnings == ()
    (warning,) = psf.resampled((0.6, 0.1, 0.1)).warnings
    assert "600 nm between planes is too coarse" in warning
    # Finer planes alone are no reason to call the pixels too coarse.
    coarse = simulated(0.2, 0.13, planes=21, size=33)
    assert coarse.resampled((0.1, 0.13, 0.13)).warnings == coarse.warnings


# Short stacks


def test_a_psf_is_limited_to_what_a_short_stack_can_see() -> None:
    psf = simulated(0.2, planes=31, size=65)
    short = psf.limited(8)
    assert_sound(short)
    assert short.array.shape == (15, 65, 65)
    kept = psf.array[8:23].astype(float)
    np.testing.assert_allclose(short.array, kept / kept.sum(), rtol=1e-5)
    (warning,) = short.warnings
    percent = 100 * (1 - kept.sum())
    assert f"the other 16, with {percent:.2g} % of its light, were left out" in warning
    assert short.limited(8) is short
    assert psf.limited(16) is psf
    assert psf.limited(15).array.shape[0] == 29
    assert psf.limited(1).array.shape == (1, 65, 65)
    assert psf.plane().limited(3).array.ndim == 2


@pytest.mark.parametrize("planes", [0, -3, 2.5, "all", None])
def test_a_stack_has_a_number_of_planes(planes: object) -> None:
    with pytest.raises(InputError, match="planes is"):
        simulated(0.2, planes=31, size=33).limited(planes)


# Recordings


@needs_data
def test_the_measured_psf_is_put_on_the_grid_of_its_recording() -> None:
    path = DATA / "volume" / "lls_psf_measured.tif"
    measured = PSF.read(path, voxel_size=(0.1, 0.101, 0.101))
    assert_sound(measured)
    assert measured.shift == pytest.approx((-0.1, 7.7, 0.8), abs=0.1)
    # Its light within 1.1 um of the axis, against the recording less its background.
    light = tifffile.imread(path).astype(float) - measured.background
    near, far = (light[5:56, 71 - r : 72 + r, 64 - r : 65 + r].sum() for r in (5, 16))
    z, y, x = (n // 2 for n in measured.array.shape)
    ours = measured.array[z - 25 : z + 26, y - 5 : y + 6, x - 5 : x + 6].sum()
    assert ours == pytest.approx(near / far, rel=0.02)
    for grid in ((0.16, 0.1, 0.1), (0.32, 0.1, 0.1), (0.16, 0.05, 0.05)):
        psf = measured.resampled(grid)
        assert_sound(psf)
        assert psf.fwhm == pytest.approx(measured.fwhm, rel=0.04)


@pytest.mark.parametrize(("peak", "allowed"), [(7500, 0.04), (1000, 0.10)])
def test_the_noise_of_a_recorded_volume_adds_no_light(peak: float, allowed: float) -> None:
    known = simulated(0.1, 0.1, planes=51, size=95, modality="light-sheet", sheet_thickness=1.0)
    bead = known.array.astype(float) / known.array.max()
    rng = np.random.default_rng(4)
    recorded = (rng.poisson(peak * bead) + rng.normal(142, 10.5, bead.shape)).round()
    psf = PSF.from_array(recorded.astype(np.uint16), known.voxel_size)
    assert_sound(psf)
    assert psf.background == pytest.approx(142, abs=0.3)
    assert psf.fwhm == pytest.approx(known.fwhm, rel=0.06)
    ours, theirs = (
        array[tuple(slice(n // 2 - 5, n // 2 + 6) for n in array.shape)].sum(dtype=float)
        for array in (psf.array, known.array)
    )
    # Of the tails below the noise some are lost, which leaves the core a little more.
    assert theirs < ours < (1 + allowed) * theirs


# Beads


def bead_stack(known: PSF, depths: tuple[float, float], *, peak: float, seed: int) -> np.ndarray:
    """Twelve beads at random sub-pixel places, as a camera of offset 100 sees them."""
    rng = np.random.default_rng(seed)
    bead = known.array.astype(float) / known.array.max()
    half = np.array(bead.shape) // 2
    shape = np.array([41, 200, 200])
    volume = np.zeros(shape + 2 * half)
    places: list[np.ndarray] = []
    while len(places) < 12:
        place = np.array([rng.uniform(*depths), *rng.uniform(0, 200, 2)])
        if all(np.abs(place - other)[1:].max() > 26 for other in places):
            places.append(place)
            whole = np.rint(place).astype(int)
            window = tuple(slice(w, w + 2 * h + 1) for w, h in zip(whole, half, strict=True))
            volume[window] += peak * rng.uniform(0.7, 1.4) * fourier_shift(bead, place - whole)
    light = np.maximum(volume[tuple(slice(h, -h) for h in half)], 0)
    return (rng.poisson(light) + rng.normal(100, 2, light.shape)).round().astype(np.uint16)


@pytest.mark.parametrize("depths", [(19, 21), (13, 28)], ids=["cover slip", "gel"])
@pytest.mark.parametrize(
    ("step", "peak", "allowed", "more"),
    [
        (0.3, 3000, 0.03, {}),
        (0.2, 200, 0.10, {}),  # a width of 2.5 voxels, each known to about 3 %
        (0.15, 500, 0.05, {"modality": "light-sheet", "sheet_thickness": 1.0}),
    ],
    ids=["bright", "dim", "sheet"],
)
def test_beads_in_a_stack_give_back_the_psf(
    step: float, peak: float, allowed: float, more: dict, depths: tuple[float, float]
) -> None:
    known = simulated(step, 0.1, planes=31, size=33, **more)
    volume = bead_stack(known, depths, peak=peak, seed=1)
    psf = PSF.from_beads(Image(volume, "ZYX", known.voxel_size))
    assert_sound(psf)
    assert psf.voxel_size == known.voxel_size
    used = int(psf.source.split()[2])
    assert used >= 5  # of twelve, some of which touch the border
    assert psf.fwhm == pytest.approx(known.fwhm, rel=allowed)
    sides = [min(a, b) // 2 for a, b in zip(psf.array.shape, known.array.shape, strict=True)]
    ours, theirs = (
        array[
            tuple(
                slice(n // 2 - s, n // 2 + s + 1) for n, s in zip(array.shape, sides, strict=True)
            )
        ]
        for array in (psf.array, known.array)
    )
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.985


def test_a_bead_stack_needs_its_three_steps() -> None:
    volume = np.random.default_rng(0).normal(100, 2, (9, 40, 40))
    with refused("voxel-size-unknown"):
        PSF.from_beads(volume)
    with refused("psf-voxel-size-wrong"):
        PSF.from_beads(volume, (0.1, 0.1))


# A missing axial step


def test_a_missing_axial_step_is_named_with_its_remedy(tmp_path: Path) -> None:
    psf = simulated(0.2, planes=9, size=21)
    tifffile.imwrite(tmp_path / "psf.tif", psf.array)
    read = PSF.read(tmp_path / "psf.tif")
    assert read.voxel_size is None
    assert any("unless you give its voxel size" in word for word in read.warnings)
    with refused("psf-voxel-size-unknown"):
        read.resampled((0.4, 0.1, 0.1))
    with refused("psf-voxel-size-wrong"):
        PSF.read(tmp_path / "psf.tif", (0.1, 0.1))
    given = PSF.read(tmp_path / "psf.tif", (0.2, 0.1, 0.1))
    assert given.resampled((0.4, 0.1, 0.1)).array.shape[0] == 5


def test_an_mrc_without_an_axial_step_says_so(tmp_path: Path) -> None:
    psf = simulated(0.2, planes=9, size=21)
    with mrcfile.new(tmp_path / "psf.mrc") as mrc:
        mrc.set_data(psf.array)
        mrc.voxel_size = (1000, 1000, 0)  # Angstrom, x first
    read = PSF.read(tmp_path / "psf.mrc")
    assert read.voxel_size is None
    assert any("without the step between planes" in word for word in read.warnings)
