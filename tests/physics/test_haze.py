"""Thick samples in a widefield microscope: the whole PSF, haze that goes back, light that stays."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from scipy.ndimage import gaussian_filter

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.io.image import Image
from napari_zsdeconvnet.modes.base import Known
from napari_zsdeconvnet.modes.volume_3d import Volume3D
from napari_zsdeconvnet.physics.accelerated_richardson_lucy import Sharpening
from napari_zsdeconvnet.physics.beyond_faces import uneven_light, volume_reblurred
from napari_zsdeconvnet.physics.open_field import (
    LARGE_ROOM,
    OpenField,
    binned,
    margins,
    quick_part,
    room_of,
)
from napari_zsdeconvnet.psf.microscope import Microscope, smallest_holding
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.quality import checks
from napari_zsdeconvnet.quality.reference_metrics import Flux
from napari_zsdeconvnet.training.data import on_output_grid
from napari_zsdeconvnet.workflow.pipeline import Pipeline, Predicted

OBJECTIVE = {"na": 1.4, "wavelength": 0.461, "refractive_index": 1.515}
STEP, PIXEL = 0.3, 0.13
LASER = {"modality": "confocal", "excitation_wavelength": 0.405}


def for_stack(shape: tuple[int, int, int], **change: object) -> PSF:
    return PSF.simulate(pixel_size=PIXEL, axial_step=STEP, stack=shape, **(OBJECTIVE | change))


class TestExtent:
    def test_a_widefield_psf_is_as_deep_as_the_stack_can_see_and_holds_its_cone(self):
        psf = for_stack((16, 200, 200))
        assert psf.array.shape[0] == 31
        light = psf.array.sum(axis=(1, 2), dtype=float)
        # Each plane holds the same light; next to none of it may be cut off.
        assert light.mean() > 0.99 * light.max()
        wider = PSF.simulate(
            pixel_size=PIXEL, axial_step=STEP, planes=31, size=257, **OBJECTIVE
        ).array
        rows, columns = ((257 - n) // 2 for n in psf.array.shape[1:])
        assert wider[:, rows:-rows, columns:-columns].sum(dtype=float) > 0.99

    def test_it_is_no_wider_than_light_can_go_in_the_stack_and_says_what_that_cuts(self):
        psf = for_stack((20, 48, 40))
        assert psf.array.shape[1] <= 95
        assert psf.array.shape[2] <= 79
        assert "% of the light in these planes goes farther sideways" in psf.source

    @pytest.mark.parametrize(
        "microscope",
        [
            LASER,
            LASER | {"pinhole": 2.0},
            {"modality": "light-sheet", "sheet_thickness": 0.8},
            {"na": 0.5, "refractive_index": 1.0},
        ],
    )
    def test_at_most_a_hundredth_of_the_light_is_cut_off(self, microscope: dict):
        shape = (12, 150, 150)
        psf = for_stack(shape, **microscope)
        whole = PSF.simulate(
            pixel_size=PIXEL, axial_step=STEP, planes=23, size=299, **(OBJECTIVE | microscope)
        ).array
        shapes = zip(whole.shape, psf.array.shape, strict=True)
        kept = whole[tuple(slice((n - m) // 2, (n + m) // 2) for n, m in shapes)]
        assert kept.sum(dtype=float) > 0.99
        assert "% of it, where it is faint, left out" in psf.source

    def test_compact_psfs_are_as_small_as_their_light_allows(self):
        confocal = for_stack((40, 200, 200), **LASER).array
        assert confocal.size < 59 * 59 * 59
        sheet = for_stack((60, 200, 200), modality="light-sheet", sheet_thickness=0.8).array
        assert len(sheet) < 15

    def test_no_smaller_part_holds_as_much(self):
        rows, columns = np.ogrid[-6:7, -10:11]
        planes = np.exp(-0.3 * np.abs(np.arange(-4, 5)))[:, None, None]
        volume = planes * np.exp(-0.5 * (rows**2 / 4 + columns**2 / 9))
        held = smallest_holding(volume, 0.9)
        assert held.sum() >= 0.9 * volume.sum()
        assert all(n % 2 for n in held.shape)
        inner, all_of_it = slice(1, -1), slice(None)
        for smaller in ((inner, all_of_it, all_of_it), (all_of_it, inner, inner)):
            assert held[smaller].sum() < 0.9 * volume.sum()
        np.testing.assert_array_equal(smallest_holding(volume, 1.0), volume)

    def test_a_psf_wider_than_the_image_is_cropped_and_that_is_said(self):
        stack = Image(np.zeros((1, 9, 48, 60)), "TZYX", (STEP, PIXEL, PIXEL))
        psf = PSF.simulate(pixel_size=PIXEL, axial_step=STEP, planes=17, size=129, **OBJECTIVE)
        cropped, notes = on_output_grid(psf, [stack], 1)
        assert cropped.array.shape == (17, 95, 119)
        lost = 100 * (1 - psf.array[:, 17:-17, 5:-5].sum(dtype=float))
        assert any("95 x 119" in note and f"{lost:.2g} % of its light" in note for note in notes)
        image = Image(np.zeros((1, 64, 60)), "TYX", (PIXEL, PIXEL))
        plane, notes = on_output_grid(psf.plane(), [image], 1)
        assert plane.array.shape == (63, 59)
        assert any("left out" in note for note in notes)

    def test_a_psf_that_ends_where_it_is_bright_is_said(self):
        stack = Image(np.zeros((1, 40, 64, 64)), "TZYX", (STEP, PIXEL, PIXEL))
        short = PSF.simulate(pixel_size=PIXEL, axial_step=STEP, **OBJECTIVE)
        _, notes = on_output_grid(short, [stack], 1)
        assert any("the stack can see 79" in note for note in notes)
        _, notes = on_output_grid(for_stack((40, 64, 64)), [stack], 1)
        assert not any("haze" in note for note in notes)


class TestRoom:
    def test_on_wide_pixels_the_microscope_sees_the_same(self):
        psf = for_stack((8, 32, 32)).array
        structure = torch.rand(1, 1, 8, 32, 32, generator=torch.Generator().manual_seed(0))
        coarse = OpenField(binned(psf, 2), (8, 16, 16)).blurred(structure[..., ::2, ::2])
        wide = structure[..., ::2, ::2].repeat_interleave(2, -1).repeat_interleave(2, -2)
        fine = OpenField(psf, (8, 32, 32), upsampling=2).blurred(wide)
        torch.testing.assert_close(coarse, fine, rtol=0.01, atol=0)

    def test_no_light_comes_round_the_end(self):
        point = torch.zeros(1, 1, 8, 24, 24)
        point[..., 0, 0, 0] = 1.0
        psf = for_stack((8, 24, 24)).array
        seen = OpenField(psf, (8, 24, 24)).blurred(point)[0, 0].numpy()
        middle = [n // 2 for n in psf.shape]
        expected = np.zeros_like(seen)
        reached = psf[middle[0] :, middle[1] :, middle[2] :][:8, :24, :24]
        expected[tuple(slice(n) for n in reached.shape)] = reached
        np.testing.assert_allclose(seen, expected, atol=1e-4 * float(psf.max()))


def nucleus(shape: tuple[int, int, int] = (24, 64, 64)) -> tuple[np.ndarray, np.ndarray, PSF]:
    """A filled body in the middle of a stack, what widefield makes of it, and the PSF."""
    rng = np.random.default_rng(0)
    z, y, x = np.mgrid[tuple(map(slice, shape))]
    body = ((z - 12) / 4) ** 2 + ((y - 32) / 20) ** 2 + ((x - 32) / 18) ** 2 < 1
    texture = gaussian_filter(rng.normal(size=shape), (1.5, 3, 3))
    truth = 1000 * body * np.clip(1 + 0.8 * texture / texture.std(), 0.1, None)
    psf = for_stack(shape)
    seen = OpenField(psf.array, shape).blurred(
        torch.from_numpy(truth.astype(np.float32))[None, None]
    )
    return truth, seen[0, 0].numpy().clip(0), psf


def share(volume: np.ndarray) -> float:
    return float(volume[8:17].sum() / volume.sum())


def test_haze_goes_back_into_the_planes_it_is_from():
    truth, blurred, psf = nucleus()
    assert share(blurred) < 0.6
    image = torch.from_numpy(blurred)[None, None] / 1000
    sharpening = Sharpening(psf)
    assert sharpening.grids  # begins on coarse grids
    noisy = image + 0.005 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    found, reblurred, _ = sharpening(noisy, image, 0.003, 0.01)
    assert share(found[0, 0].numpy()) > 0.97
    assert float(found.sum()) == pytest.approx(truth.sum() / 1000, rel=0.03)
    assert float(reblurred.sum()) == pytest.approx(float(image.sum()), rel=0.01)


def test_haze_goes_back_in_a_shallow_stack_too():
    """Ten planes see little of the cone, and haze is still most of the light."""
    shape = (10, 48, 48)
    z, y, x = np.mgrid[tuple(map(slice, shape))]
    truth = 1.0 * (((z - 5) / 2) ** 2 + ((y - 24) / 17) ** 2 + ((x - 24) / 15) ** 2 < 1)
    psf = for_stack(shape)
    image = OpenField(psf.array, shape).blurred(
        torch.from_numpy(truth.astype(np.float32))[None, None]
    )
    image = image.clamp(min=0.0)
    noisy = image + 0.005 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    found = Sharpening(psf)(noisy, image, 0.003, 0.01).estimate[0, 0].numpy()
    assert found[3:8].sum() > 0.95 * found.sum()


def test_psfs_without_haze_begin_on_the_output_grid():
    for microscope in (LASER, {"modality": "light-sheet", "sheet_thickness": 0.8}):
        assert not Sharpening(for_stack((16, 64, 64), **microscope)).grids


class TestLight:
    def test_a_verdict_compares_the_result_blurred_again(self):
        truth, blurred, psf = nucleus()
        assert truth.sum() > 1.2 * blurred.sum()  # the rest went beyond the stack
        found = volume_reblurred(blurred, truth, psf, 1)
        assert found.sum() == pytest.approx(blurred.sum(), rel=0.02)
        noise = np.full(blurred.shape, 1.0)
        assert uneven_light(blurred, found, noise) < 0.04

    def test_structure_that_goes_on_beyond_a_face_is_no_light_too_much(self):
        z, y, x = np.mgrid[:36, :96, :64]
        body = ((z - 12) / 7) ** 2 + ((y - 60) / 25) ** 2 + ((x - 32) / 20) ** 2 < 1
        psf = for_stack((24, 64, 64))
        whole = torch.from_numpy(1000 * body.astype(np.float32))[None, None]
        seen = OpenField(psf.array, whole.shape[2:]).blurred(whole)[0, 0].numpy().clip(0)
        inside = (slice(12, None), slice(None, 64))
        recorded = seen[inside]
        found = volume_reblurred(recorded, 1000.0 * body[inside], psf, 1)
        assert uneven_light(recorded, found, np.ones(recorded.shape)) < 0.025

    def test_dim_noise_makes_no_light(self):
        truth, blurred, psf = nucleus()
        electrons = blurred * (0.5 / blurred.mean())
        noise = np.random.default_rng(1).normal(size=blurred.shape) * np.sqrt(electrons + 4)
        found = volume_reblurred(electrons + noise, truth * (0.5 / blurred.mean()), psf, 1)
        # Three standard errors of the light of so dim a recording are 4 %.
        assert found.sum() == pytest.approx(electrons.sum(), rel=0.04)

    def test_a_region_that_lost_its_light_is_found(self):
        _, blurred, _ = nucleus()
        darker = blurred.copy()
        darker[8:16, 32:, 32:] *= 0.9
        variance = blurred + 1
        assert uneven_light(blurred, blurred, variance) == 0
        assert uneven_light(blurred, darker, variance) == pytest.approx(0.1, abs=0.03)
        failed = checks.flux(Flux(1.0, 1e-4, 0.1), 3)
        assert failed.passed is False
        assert "in one region" in failed.sentence
        assert checks.flux(Flux(1.0, 1e-4, 0.019), 3).passed
        assert checks.flux(Flux(1.0, 1e-4, 0.021), 3).passed is False
        assert not checks.flux(Flux(1.05, 1e-4), 3).passed


# The recording that stands for all thick samples


def score(folder: Path, result: np.ndarray) -> tuple[float, float]:
    """Share of light in the planes of the nucleus, and PSNR against its truth."""
    truth = tifffile.imread(folder / "nucleus_truth.tif").astype(float)
    sigma = [w / s / np.sqrt(8 * np.log(2)) for w, s in ((0.35, 0.3), (0.15, 0.13), (0.15, 0.13))]
    inner = (slice(3, -3), slice(8, -8), slice(8, -8))
    target, found = (
        gaussian_filter(truth, sigma)[inner].ravel(),
        result.astype(float)[inner].ravel(),
    )
    fitted = np.polyval(np.polyfit(found, target, 1), found)
    psnr = 10 * np.log10(np.ptp(target) ** 2 / np.mean((fitted - target) ** 2))
    return float(result[13:30].sum() / result.sum()), float(psnr)


def assert_sharp(folder: Path, result: np.ndarray) -> None:
    light, psnr = score(folder, result)
    assert light > 0.97
    assert psnr > 31.5


NOISE = zs.NoiseModel(100.0, 2.0, 16.0)
VOXEL = (STEP, PIXEL, PIXEL)
STEPS = 1
"""The physics does nearly all of it."""


@pytest.mark.slow
def test_the_nucleus_in_python_with_its_psf(cases: Path):
    stack = tifffile.imread(cases / "nucleus.tif")
    psf = PSF.read(cases / "nucleus_psf.tif", VOXEL)
    run = zs.train(
        stack, psf, NOISE, axes="ZYX", voxel_size=VOXEL, steps=STEPS, seed=0, preview_every=0
    )
    for _ in run:
        pass
    result = run.model.predict(stack, axes="ZYX")
    assert_sharp(cases, result.deconvolved)


@pytest.mark.slow
def test_the_nucleus_in_one_click(cases: Path):
    image = Image(tifffile.imread(cases / "nucleus.tif"), "ZYX", VOXEL)
    steps = Pipeline(
        Volume3D(image, Known(Microscope(**OBJECTIVE), camera=NOISE)),
        judged=False,
        steps=STEPS,
        seed=0,
        preview_every=0,
    )
    (predicted,) = [step for step in steps if isinstance(step, Predicted)]
    assert_sharp(cases, predicted.result.deconvolved)


@pytest.mark.slow
def test_the_nucleus_in_the_shell(run, cases: Path, tmp_path: Path):
    optics = ("--na", "1.4", "--wavelength", "0.461", "--refractive-index", "1.515")
    (tmp_path / "noise.json").write_text(json.dumps(NOISE.to_dict()))
    trained = run(
        *("train", cases / "nucleus.tif", "--axes", "ZYX", "--voxel-size", "0.3,0.13,0.13"),
        *(*optics, "--noise", tmp_path / "noise.json", "--steps", str(STEPS), "--seed", "0"),
        *("-o", tmp_path / "model.safetensors"),
    )
    assert trained.code == 0, trained.err
    predicted = run(
        *("predict", tmp_path / "model.safetensors", cases / "nucleus.tif", "--axes", "ZYX"),
        *("--voxel-size", "0.3,0.13,0.13", "-o", tmp_path),
    )
    assert predicted.code == 0, predicted.err
    (path,) = tmp_path.glob("*deconvolved*.tif")
    assert_sharp(cases, tifffile.imread(path))


def test_parts_are_smaller_where_the_psf_is_large():
    usual, deep = (32, 128, 128), (87, 297, 297)
    assert quick_part(usual, (41, 61, 61)) == usual
    part = quick_part(usual, deep)
    assert all(n // 2 <= p < n for p, n in zip(part, usual, strict=True))
    assert math.prod(room_of(part, margins(deep), deep)) <= LARGE_ROOM
    # Of a PSF on a finer grid its reach in raw voxels counts.
    assert quick_part(usual, (87, 594, 594), 2) == part
