"""Beads that stand near one another or the border, and PSFs that are said to be odd."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from refusals import refused
from scipy import ndimage, optimize

from napari_zsdeconvnet.io import image_files
from napari_zsdeconvnet.psf.bead_fit import fitted_together
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.utils.errors import InputError


def field(
    places: Any,
    sigma: float = 3.0,
    shape: Any = (90, 90),
    light: float = 4e4,
    fading: float = 0.2,
) -> Any:
    """Beads as Gaussians, recorded on a background of 100 counts."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    scene = np.zeros(shape)
    for number, (row, column) in enumerate(places):
        spot = np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * sigma**2))
        scene += light * (1 - fading * number) * spot / spot.sum()
    return (100 + np.random.default_rng(1).poisson(scene + 5)).astype(np.uint16)


def sigmas(psf: PSF) -> Any:
    """Widths of the Gaussian that fits best."""
    grid = np.meshgrid(*(np.arange(n) - n // 2 for n in psf.array.shape), indexing="ij")

    def off(values: Any) -> Any:
        power = sum((axis / width) ** 2 for axis, width in zip(grid, values[1:], strict=True))
        return (values[0] * np.exp(-power / 2) - psf.array).ravel()

    start = [psf.array.max(), *[3.0] * psf.array.ndim]
    return np.abs(optimize.least_squares(off, start).x[1:])


NEAR = [(40.0, 36.0), (48.3, 55.6)]  # six widths apart, and one cut by the border
CUT = [(14.4, 30.0), (45.0, 75.7)]


@pytest.mark.parametrize("places", [NEAR, CUT], ids=["neighbours", "border"])
def test_beads_that_do_not_stand_alone_are_fitted_together(places: Any) -> None:
    psf = PSF.from_beads(field(places), 0.05)
    assert "fit to 2 beads" in psf.source
    assert any("No bead stands alone" in warning for warning in psf.warnings)
    assert sigmas(psf) == pytest.approx([3.0, 3.0], rel=0.04)
    truth = np.exp(-0.5 * (np.arange(-9, 10) / 3.0) ** 2)
    row, column = (n // 2 for n in psf.array.shape)
    line = psf.array[row, column - 9 : column + 10] / psf.array.max()
    np.testing.assert_allclose(line, truth, atol=0.1)


def test_the_fit_tells_neighbours_apart() -> None:
    counts = field(NEAR).astype(float)
    peaks = np.rint(NEAR).astype(int)
    shape, places = fitted_together(counts, peaks, (20, 20), 7.0)  # type: ignore[misc]
    np.testing.assert_allclose(places, NEAR, atol=0.15)
    # Nothing of the neighbour is left where it stood.
    assert abs(shape[20 + 8 - 3 : 20 + 8 + 4, 39 - 3 : 39 + 2].mean()) < 0.01
    assert fitted_together(counts, np.array([[5, 40], [6, 60]]), (20, 20), 7.0) is None


def test_what_shows_no_whole_psf_is_refused_with_an_option_that_is_there(run: Any, tmp_path: Path):
    image = field([(9.0, 30.0), (9.0, 62.0)])
    with pytest.raises(InputError, match="smaller size of the crops"):
        PSF.from_beads(image, 0.05)
    tifffile.imwrite(tmp_path / "beads.tif", image)
    arguments = ("psf", "beads", tmp_path / "beads.tif", "--voxel-size", 0.05)
    assert run(*arguments).code == 2
    assert run(*arguments, "--size", 17).code == 0


def test_widths_that_differ_are_named_with_the_likely_order(run: Any, tmp_path: Path) -> None:
    psf = PSF.simulate(na=1.2, wavelength=0.525, pixel_size=0.1, axial_step=0.2, planes=21, size=21)
    for axes in ("YXZ", "YZX"):
        order = ["ZYX".index(letter) for letter in axes]
        wrong = psf.array.transpose(order)
        (said,) = [one for one in PSF.from_array(wrong).warnings if "which differ" in one]
        assert f"give its axes as {axes}" in said
        right = PSF.from_array(wrong, axes=axes.lower())
        np.testing.assert_allclose(right.array, psf.array, atol=1e-6)
        assert not any("differ" in one for one in right.warnings)
    tifffile.imwrite(tmp_path / "psf.tif", psf.array.transpose(1, 2, 0))
    answer = run("psf", "read", tmp_path / "psf.tif", "--axes", "YXZ", "--json")
    assert answer.json["fwhm"][0] > 1.2 * answer.json["fwhm"][1]
    assert "give its axes as YXZ" in run("psf", "read", tmp_path / "psf.tif").err
    with refused("psf-axes-wrong", axes="YX"):
        PSF.from_array(psf.array, axes="YX")
    assert not any("differ" in warning for warning in psf.warnings)
    line = np.outer(*(np.exp(-0.5 * (np.arange(-12, 13) / s) ** 2) for s in (2.0, 4.0)))
    assert any("about as wide along both" in warning for warning in PSF.from_array(line).warnings)


def test_a_flat_top_is_said() -> None:
    y, x = np.mgrid[-15:16, -15:16]
    for sigma in (1.0, 2.5, 6.0):
        sound = np.exp(-(y**2 + x**2) / (2 * sigma**2))
        between = np.exp(-((y - 0.5) ** 2 + (x - 0.5) ** 2) / (2 * sigma**2))
        eight_bit = np.rint(255 * sound)
        for array in (sound, between, eight_bit):
            assert not any("flat" in one for one in PSF.from_array(array, background=0).warnings)
        saturated = np.minimum(sound, 0.5 if sigma == 1 else 0.8)
        assert any("flat" in one for one in PSF.from_array(saturated, background=0).warnings)


def test_a_row_of_beads_is_one_bead() -> None:
    places = [(float(row), float(column)) for row in (25, 45, 65) for column in (26, 46, 66)]
    psf = PSF.from_beads(field(places[:8], sigma=2.2, light=2e4, fading=0.05), 0.1)
    assert "fit to 8 beads" in psf.source
    assert sigmas(psf) == pytest.approx([2.2, 2.2], rel=0.04)


def test_two_beads_in_one_are_left_out() -> None:
    singles = [(25.0, 25.0), (25.0, 95.0), (95.0, 25.0), (95.0, 95.0)]
    twins = [(28.0, 25.0), (95.0, 98.0)]
    image = field(singles + twins, sigma=2.2, shape=(120, 120), light=2e4, fading=0.02)
    psf = PSF.from_beads(image, 0.1)
    assert "2 two in one" in psf.source
    assert sigmas(psf) == pytest.approx([2.2, 2.2], rel=0.04)


def test_beads_at_the_ends_of_a_stack_show_the_psf_together() -> None:
    scene = np.zeros((31, 90, 90))
    for place in ((1, 25, 25), (29, 65, 65), (2, 25, 65)):
        scene[place] = 1
    scene = ndimage.gaussian_filter(scene, (2.5, 2.2, 2.2))
    counts = 100 + np.random.default_rng(1).poisson(3000 * scene / scene.max() + 5)
    psf = PSF.from_beads(counts.astype(np.uint16), (0.2, 0.1, 0.1))
    assert psf.array.shape[0] > 5
    assert psf.fwhm == pytest.approx([1.18, 0.52, 0.52], rel=0.15)


def test_what_no_microscope_makes_is_said() -> None:
    def said(array: Any, size: Any = (0.2, 0.1, 0.1)) -> str:
        return " ".join(PSF.from_array(array, size).warnings)

    point = np.zeros((21, 41, 41))
    point[10, 20, 20] = 1
    psf = ndimage.gaussian_filter(point, (2.4, 1.5, 1.5))
    for words in ("second peak", "unlike that of", "deeper sideways", "other half", "noise of"):
        assert words not in said(psf)
    assert "a second peak of 100 %" in said(psf + np.roll(psf, 9, 2))
    assert "12 nm wide (FWHM), unlike" in said(psf, (0.02, 0.00333, 0.00333))
    assert "deeper sideways" in said(psf, (0.03, 0.1, 0.1))
    assert "brightest plane of the PSF is its first" in said(psf[10:])
    noisy = np.random.default_rng(0).poisson(20 + 60 * psf / psf.max())
    assert "uncertain; average more beads" in said(noisy)


@pytest.mark.parametrize(
    "how",
    [{"compression": "zlib", "metadata": None}, {"metadata": None}, {}],
    ids=["compressed", "scattered", "one by one"],
)
def test_large_files_are_read(tmp_path: Path, monkeypatch: Any, how: dict[str, Any]) -> None:
    monkeypatch.setattr(image_files, "_MAPPED_FROM", 100)
    psf = PSF.simulate(na=1.2, wavelength=0.525, pixel_size=0.1, axial_step=0.2, planes=9, size=21)
    with tifffile.TiffWriter(tmp_path / "psf.tif") as writer:
        for plane in psf.array:
            writer.write(plane, contiguous=False, **how)
    read = PSF.read(tmp_path / "psf.tif", (0.2, 0.1, 0.1))
    np.testing.assert_allclose(read.array, psf.array, atol=1e-6)
