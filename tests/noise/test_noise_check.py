"""Whether the noise beyond the optical cutoff tells a right camera from a wrong one."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from napari_zsdeconvnet.noise.camera_check import NoiseCheck, NoiseState, check_recordings
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.noise.pixel_mask import Filled, Kind, PixelMask, Runs
from napari_zsdeconvnet.simulation.sample import Sample, simulate, simulate_volume

CAMERA = NoiseModel(100.0, 1.0, 4.0)


def cutoff(sample: Sample) -> float:
    return sample.psf.otf_cutoff * sample.psf.steps[-1] * sample.upsampling


def checked(
    sample: Sample, raw: NDArray[np.generic] | None = None, camera: NoiseModel = CAMERA
) -> NoiseCheck:
    raw = sample.raw if raw is None else raw
    return check_recordings([raw[np.newaxis]], camera, cutoff(sample))


@pytest.fixture(scope="module")
def sample() -> Sample:
    return simulate("mesh", shape=(160, 160), photons=30, seed=5)


@pytest.mark.parametrize("kind", ["cell", "filaments", "mesh", "rings"])
@pytest.mark.parametrize(("photons", "size"), [(5, 96), (30, 200), (300, 128)])
def test_the_right_camera_agrees_whatever_the_structure(kind: str, photons: float, size: int):
    sample = simulate(kind, shape=(size, size + 31), photons=photons, seed=7)
    found = checked(sample)
    assert found.state is NoiseState.AGREES
    assert found.describe() == ""
    assert found.ratios == pytest.approx((1, 1, 1), abs=0.15)


@pytest.mark.parametrize(
    "told",
    [
        {"gain": 0.5},
        {"gain": 1.8},
        {"read_variance": 8.0},
        {"read_variance": 1.0},
        {"offset": 97.0},
        {"gain": 0.5, "offset": 97.0},
    ],
    ids=str,
)
def test_a_wrong_camera_differs_and_says_where(sample: Sample, told: dict[str, float]):
    found = checked(sample, camera=replace(CAMERA, **told))
    assert found.state is NoiseState.DIFFERS
    assert "in dark pixels" in found.describe()


@pytest.mark.parametrize("told", [{"gain": 1.06}, {"gain": 0.94}, {"offset": 100.4}], ids=str)
def test_errors_of_a_calibration_are_no_wrong_camera(sample: Sample, told: dict[str, float]):
    assert checked(sample, camera=replace(CAMERA, **told)).state is NoiseState.AGREES


def test_an_offset_above_the_dark_is_told():
    sample = simulate("filaments", shape=(128, 128), photons=30, seed=5)
    found = checked(sample, camera=replace(CAMERA, offset=106.0))
    assert found.state is NoiseState.PROCESSED
    assert "the offset is too high" in found.reason


def compressed(raw: NDArray[np.float64], quality: int) -> NDArray[np.float64]:
    """By JPEG in 8 bit, brought back to counts."""
    low, high = 80.0, raw.max()
    file = io.BytesIO()
    pixels = np.rint(255 * np.clip((raw - low) / (high - low), 0, 1)).astype(np.uint8)
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return low + (high - low) / 255 * np.asarray(Image.open(file), float)


PROCESSED: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "gaussian": lambda raw: ndimage.gaussian_filter(raw, 1.0),
    "narrow gaussian": lambda raw: ndimage.gaussian_filter(raw, 0.5),
    "median": lambda raw: ndimage.median_filter(raw, 3),
    "unsharp mask": lambda raw: 2 * raw - ndimage.gaussian_filter(raw, 1.0),
    "JPEG 50": lambda raw: compressed(raw, 50),
    "JPEG 75": lambda raw: compressed(raw, 75),
    "cropped JPEG": lambda raw: compressed(raw, 60)[3:, 5:],
    "half a pixel": lambda raw: ndimage.shift(raw, (0.5, 0.5), order=1, mode="mirror"),
    "cubic": lambda raw: ndimage.shift(raw, (0.3, 0.4), order=3, mode="mirror"),
    "enlarged": lambda raw: ndimage.zoom(raw, 1.3, order=1)[:160, :160],
    "rows": lambda raw: raw + np.random.default_rng(3).normal(0, 2, (len(raw), 1)),
}


@pytest.mark.parametrize("how", PROCESSED)
def test_pixels_that_share_noise_are_recognised(sample: Sample, how: str):
    raw = PROCESSED[how](sample.raw.astype(float))
    found = checked(sample, raw)
    assert found.state is NoiseState.PROCESSED
    assert found.reason in found.describe()


def test_blocks_of_a_compression_are_recognised_by_their_borders(sample: Sample):
    found = checked(sample, compressed(sample.raw.astype(float), 50))
    assert "JPEG" in found.reason


def test_filters_are_recognised_under_a_gain_that_was_measured_after_them(sample: Sample):
    raw = np.rint(ndimage.gaussian_filter(sample.raw.astype(float), 0.7))
    variance = float(np.var(raw - ndimage.gaussian_filter(raw, 2.0)))
    camera = NoiseModel(100.0, 0.3, variance / 3)
    assert checked(sample, raw.astype(np.uint16), camera).state is NoiseState.PROCESSED


def test_noise_that_the_camera_says_is_shared_may_be_shared():
    sample = simulate("filaments", shape=(160, 160), photons=30, seed=5)
    raw = sample.raw.astype(float)
    raw = (0.8 * raw + 0.2 * np.roll(raw, 1, axis=1)).astype(np.float32)
    factor = 0.8**2 + 0.2**2
    known = NoiseModel(100.0, factor, 4 * factor, correlation=(0.0, 0.16 / factor))
    assert checked(sample, raw, known).state is NoiseState.AGREES
    assert checked(sample, raw, replace(known, correlation=None)).state is NoiseState.PROCESSED


def test_pixels_too_wide_for_the_optics_tell_nothing():
    sample = simulate("filaments", shape=(96, 96), pixel_size=0.16, na=1.4, photons=30, seed=1)
    found = checked(sample, camera=replace(CAMERA, gain=9.0))
    assert found.state is NoiseState.UNKNOWN
    assert found.describe() == ""


def test_masked_pixels_have_no_say(sample: Sample):
    raw = sample.raw.copy()
    raw[40:44, 40:60] = 60_000
    kinds = np.where(raw == 60_000, Kind.SATURATED, 0).astype(np.uint8)
    mask = PixelMask((1, *raw.shape), {(0,): Runs.of(kinds, np.full(raw.shape, 130))})
    series = raw[np.newaxis]
    assert check_recordings([series], CAMERA, cutoff(sample)).state is not NoiseState.AGREES
    assert (
        check_recordings([Filled(series, mask)], CAMERA, cutoff(sample)).state is NoiseState.AGREES
    )


def test_each_pixel_may_have_its_own_read_noise(sample: Sample):
    rng = np.random.default_rng(2)
    own = np.where(rng.random(sample.raw.shape) < 0.3, 60.0, 4.0)
    raw = sample.raw + rng.normal(0, np.sqrt(own - 4))
    known = check_recordings([raw[np.newaxis]], CAMERA, cutoff(sample), own)
    assert known.state is NoiseState.AGREES
    assert checked(sample, raw).state is not NoiseState.AGREES


def test_planes_of_volumes_and_frames_are_looked_at_alike():
    sample = simulate_volume("filaments", shape=(10, 96, 96), photons=30, seed=2)
    for gain, state in ((1.0, NoiseState.AGREES), (1.7, NoiseState.DIFFERS)):
        found = checked(sample, camera=replace(CAMERA, gain=gain))
        assert found.state is state
