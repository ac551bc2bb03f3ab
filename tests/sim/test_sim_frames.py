from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_zsdeconvnet.io.image import Image, PixelRule
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.noise.pixel_mask import mask_of
from napari_zsdeconvnet.sim import frames
from napari_zsdeconvnet.utils.errors import InputError


def stack(count=9, size=48, seed=0):
    rng = np.random.default_rng(seed)
    scene = ndimage.gaussian_filter(rng.random((size, size)), 2)
    scene = 200 * (scene - scene.min()) / np.ptp(scene)
    return rng.poisson(np.broadcast_to(scene + 20, (count, size, size))).astype(np.uint16)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((64, 64), "one image of shape"),
        ((8, 64, 64), "8 frames, which do not divide into 3 orientations x 3 phases"),
        ((15, 64, 64), "usual for 3D-SIM of 3 orientations and 5 phases"),
        ((18, 64, 64), r"2 times 3 orientations x 3 phases; give it the axes \(time, 9, Y, X\)"),
        ((9, 16, 64), "16x64 pixels; give 32x32 or more"),
    ],
)
def test_what_is_no_raw_sim_is_refused_with_a_remedy(shape, words):
    with pytest.raises(InputError, match=words):
        frames.as_raw(np.ones(shape))


@pytest.mark.parametrize(
    ("shape", "frames_at"),
    [
        ((9, 48, 48), (0,)),
        ((4, 9, 48, 48), (1,)),
        ((9, 4, 48, 48), (0,)),
        ((3, 3, 48, 48), (0, 1)),
        ((3, 3, 4, 48, 48), (0, 1)),
        ((3, 4, 3, 48, 48), (0, 2)),
        ((2, 9, 3, 48, 48), (1,)),
    ],
)
def test_the_axis_that_fits_is_that_of_the_frames(shape, frames_at):
    raw = np.arange(np.prod(shape[:-2])).reshape(*shape[:-2], 1, 1) * np.ones(shape[-2:])
    others = tuple(axis for axis in range(len(shape) - 2) if axis not in frames_at)
    moved = frames.as_raw(raw)
    assert moved.shape == (*(shape[axis] for axis in others), 9, 48, 48)
    # Of the first image, the frames in the order of their own axes.
    first = raw[tuple(0 if axis in others else slice(None) for axis in range(len(shape) - 2))]
    np.testing.assert_array_equal(
        moved.reshape(-1, 9, 48, 48)[0, :, 0, 0], first.reshape(9, 48, 48)[:, 0, 0]
    )


def test_names_of_axes_tell_which_of_two_holds_the_frames():
    raw = Image(np.ones((9, 9, 48, 48)), "TCYX", name="cell.tif")
    assert frames.frame_axes((9, 9), 3, 3, letters="TC").frames == (1,)
    assert frames.as_raw(raw).shape == (9, 9, 48, 48)
    with pytest.raises(InputError, match=r"cell\.tif has axes TZ of 9 x 9 .* as its channels"):
        frames.as_raw(Image(np.ones((9, 9, 48, 48)), "TZYX", name="cell.tif"))


def test_nine_frames_are_told_from_fifteen_and_named():
    image = Image(stack(), axes="TYX", voxel_size=None, name="cell.tif")
    with pytest.raises(InputError, match=r"cell\.tif has 9 frames .* 2D-SIM"):
        frames.as_raw(image, 3, 5)
    assert frames.as_raw(image).shape == (9, 48, 48)
    with pytest.raises(InputError, match="complex"):
        frames.as_raw(np.ones((9, 48, 48), complex))
    with pytest.raises(InputError, match="2 phases"):
        frames.as_raw(np.ones((6, 48, 48)), 3, 2)


def test_both_orders_are_laid_out_by_orientation():
    raw = np.arange(18.0).reshape(2, 9, 1, 1)
    by_orientation = frames.by_orientation(raw)
    assert by_orientation.shape == (2, 3, 3, 1, 1)
    assert by_orientation.dtype == np.float32
    assert by_orientation[0, 0].ravel().tolist() == [0, 1, 2]
    assert frames.by_orientation(raw, order="phase")[0, 0].ravel().tolist() == [0, 3, 6]


def test_the_offset_is_a_number_a_map_or_a_camera():
    shape = (48, 48)
    assert frames.offset_counts(NoiseModel(100, 1.0, 4.0), shape) == 100
    assert frames.offset_counts(3, shape) == 3
    assert np.shape(frames.offset_counts(np.ones(shape), shape)) == shape
    with pytest.raises(InputError, match=r"shape \(9, 9\)"):
        frames.offset_counts(np.ones((9, 9)), shape)
    with pytest.raises(InputError, match="NaN"):
        frames.offset_counts(np.nan, shape)


def test_what_cannot_be_used_of_frames_is_filled_or_refused():
    raw = stack().astype(float)
    raw[4, 5, 6] = np.nan
    raw[2, 20, 21] = 60_000
    usable, (warning,) = frames.usable_frames(raw)
    assert "2 pixels" in warning
    assert "(z, y, x) = (2, 20, 21)" in warning
    assert np.isfinite(usable[0]).all()
    assert usable[0].max() < 1000
    raw[:, 8:20, 8:20] = np.nan
    with pytest.raises(InputError, match=r"144 NaN"):
        frames.usable_frames(raw)
    saturated = stack()
    saturated[:, :10, :10] = 4095
    with pytest.raises(InputError, match="saturated"):
        frames.usable_frames(saturated)
    assert mask_of(frames.usable_frames(saturated, PixelRule(saturation="mask"))[0]) is not None


def test_bleaching_is_taken_out_and_structure_is_not():
    even = frames.by_orientation(stack(size=64).astype(float))
    lost = np.exp(-0.03 * np.arange(9)).reshape(3, 3)
    factors, warnings = frames.equalising(even * lost[..., None, None], "orientation")

    assert np.ptp(factors * lost) < 0.01
    assert any("27 %" in words for words in warnings)

    # What fringes on a structure do to the mean of a single frame is left alone.
    uneven = even.copy()
    uneven[1, 1] *= 1.02
    factors, warnings = frames.equalising(uneven, "orientation")
    assert np.ptp(factors[1]) < 0.003
    assert warnings == ()

    # No structure does this.
    uneven[1, 1] *= 1.2
    factors, _ = frames.equalising(uneven, "orientation")
    assert factors[1, 1] / factors[1, 0] == pytest.approx(1 / 1.224, abs=0.01)


def test_noise_of_a_mean_is_not_taken_for_flicker():
    noise = np.random.default_rng(4).normal(scale=2, size=(3, 3, 256, 256))
    dim = 0.3 + noise - noise.mean(axis=(-2, -1), keepdims=True)
    # Off by 3 and 7 %, which is 1.3 and 2.6 times the error of a mean.
    dim[2] += np.array([-0.01, -0.01, 0.02])[:, None, None]
    factors, _ = frames.equalising(dim, "orientation")
    assert np.ptp(factors[2]) < 0.005


def test_a_dark_frame_and_a_wrong_offset_are_refused():
    raw = frames.by_orientation(stack().astype(float), order="phase")
    raw[1, 2] = 1
    with pytest.raises(InputError, match=r"Frame 7 of cell .* was not exposed"):
        frames.equalising(raw, "phase", name="cell")
    with pytest.raises(InputError, match="give the offset"):
        frames.equalising(raw - 1000, "orientation")


def test_drift_is_measured_and_said():
    raw = frames.by_orientation(stack(size=96).astype(float))
    still, words = frames.drift(raw, 0.065)
    assert still < 0.2
    assert words == ""
    raw[2] = ndimage.shift(raw[2], (0, 1.5, -2), mode="nearest")
    pixels, words = frames.drift(raw, 0.065)
    assert pixels == pytest.approx(2.5, abs=0.25)
    assert "nm) between the first and the last orientation" in words
    assert frames.drift(raw[:1], 0.065) == (0.0, "")
