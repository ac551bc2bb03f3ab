from __future__ import annotations

import numpy as np
import pytest

from napari_zsdeconvnet.io.image import Image, as_frames, check_pixels, spatial_axes
from napari_zsdeconvnet.utils.errors import InputError

LENGTHS = {"T": 2, "C": 3, "Z": 5, "Y": 20, "X": 30}


def ramp(axes: str, dtype: str = "float32") -> np.ndarray:
    shape = [LENGTHS[letter] for letter in axes]
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


class TestAsFrames:
    def test_one_image_is_one_frame(self):
        np.testing.assert_array_equal(as_frames(ramp("YX")), ramp("YX")[None])

    def test_three_axes_are_frames(self):
        np.testing.assert_array_equal(as_frames(ramp("TYX")), ramp("TYX"))

    def test_axes_are_put_in_order(self):
        turned = ramp("TYX").transpose(2, 0, 1)
        np.testing.assert_array_equal(as_frames(turned, "XTY"), ramp("TYX"))

    def test_single_channel_and_plane_are_dropped(self):
        assert as_frames(ramp("TYX")[:, None, None], "TCZYX").shape == (2, 20, 30)

    def test_image_brings_its_axes_and_name(self):
        assert as_frames(Image(ramp("TYX"), "TYX")).shape == (2, 20, 30)
        with pytest.raises(InputError, match=r"cells\.tif has 3 channels"):
            as_frames(Image(ramp("CYX"), "CYX", name="cells.tif"))

    def test_byte_order_is_the_machines(self):
        frames = as_frames(ramp("YX", ">u2"))
        assert frames.dtype.isnative
        np.testing.assert_array_equal(frames[0], ramp("YX"))

    @pytest.mark.parametrize(
        ("data", "axes", "words"),
        [
            (np.zeros(5), None, "1 axes"),
            (np.zeros((2, 3, 8, 8)), None, "4 axes"),
            (np.zeros((20, 30, 3)), None, "RGB"),
            (np.zeros((20, 30, 4), np.uint8), "YXS", "RGB"),
            (np.zeros((3, 20, 30)), "CYX", "3 channels"),
            (np.zeros((5, 20, 30)), "ZYX", "5 planes"),
            (np.zeros((5, 20, 30)), "YX", "3 axes"),
            (np.zeros((5, 20, 30)), "QYX", "QYX"),
            (np.zeros((5, 20, 30)), "YYX", "YYX"),
            (np.zeros((20, 30), complex), None, "complex"),
            (np.zeros((20, 30), bool), None, "bool"),
            (np.zeros((0, 30)), None, "no pixels"),
        ],
    )
    def test_what_cannot_be_frames_is_refused(self, data: np.ndarray, axes: str, words: str):
        with pytest.raises(InputError, match=words):
            as_frames(data, axes, name="sample")


class TestAsVolumes:
    @pytest.mark.parametrize(
        ("axes", "order", "shape"),
        [
            ("ZYX", None, (1, 5, 20, 30)),
            ("TZYX", None, (2, 5, 20, 30)),
            ("YXZ", "YXZ", (1, 5, 20, 30)),
            ("ZTXY", "ZTXY", (2, 5, 20, 30)),
        ],
    )
    def test_planes_and_time(self, axes: str, order: str | None, shape: tuple[int, ...]):
        volumes = as_frames(ramp(axes), order, spatial="ZYX")
        assert volumes.shape == shape
        whole = "".join(letter for letter in "TZYX" if letter in axes)
        expected = ramp(axes).transpose([axes.index(letter) for letter in whole])
        np.testing.assert_array_equal(volumes, expected.reshape(shape))

    @pytest.mark.parametrize(
        ("data", "axes", "words"),
        [
            (np.zeros((20, 30)), None, "2 axes.*a volume"),
            (np.zeros((2, 2, 3, 8, 8)), None, "5 axes"),
            (np.zeros((5, 20, 30)), "TYX", 'no planes.*say axes="ZYX"'),
            (np.zeros((20, 30)), "YX", "no planes"),
            (np.zeros((3, 5, 20, 30)), "CZYX", "3 channels"),
        ],
    )
    def test_what_is_no_volume_is_refused(self, data: np.ndarray, axes: str, words: str):
        with pytest.raises(InputError, match=words):
            as_frames(data, axes, name="sample", spatial="ZYX")

    @pytest.mark.parametrize(
        ("shape", "axes", "expected"),
        [
            ((20, 30), None, "YX"),
            ((5, 20, 30), None, "YX"),
            ((2, 5, 20, 30), None, "ZYX"),
            ((5, 20, 30), "zyx", "ZYX"),
            ((1, 20, 30), "ZYX", "YX"),
            ((5, 20, 30), "TYX", "YX"),
            ((2, 5, 20, 30), "TCYX", "YX"),
        ],
    )
    def test_spatial_axes(self, shape: tuple[int, ...], axes: str | None, expected: str):
        assert spatial_axes(np.zeros(shape), axes) == expected
        if axes is not None:
            assert spatial_axes(Image(np.zeros(shape), axes.upper())) == expected


class TestCheckPixels:
    @pytest.fixture
    def sound(self) -> np.ndarray:
        return np.random.default_rng(1).poisson(100, (2, 50, 60)).astype(np.uint16)

    def test_sound_image_passes_without_a_word(self, sound: np.ndarray):
        assert check_pixels(sound) == ()
        assert check_pixels(sound.astype(np.float32)) == ()

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_non_finite_is_counted_and_located(self, sound: np.ndarray, value: float):
        data = sound.astype(np.float32)
        data[1, 7, 9] = data[1, 8, 0] = value
        with pytest.raises(InputError, match=r"cells has 2 NaN or infinite.*\(1, 7, 9\)"):
            check_pixels(data, name="cells")

    def test_constant(self):
        with pytest.raises(InputError, match="constant, every pixel being 7"):
            check_pixels(np.full((20, 30), 7))

    def test_eight_bits_are_warned_of(self, sound: np.ndarray):
        (warning,) = check_pixels(np.minimum(sound, 200).astype(np.uint8))
        assert "8-bit" in warning

    def test_blank_frames_are_warned_of(self, sound: np.ndarray):
        data = sound.copy()
        data[1] = 100
        (warning,) = check_pixels(data)
        assert "1 blank frame(s) of 2, the first at index 1" in warning

    def test_empty_planes_of_a_volume_are_counted(self, sound: np.ndarray):
        stack = np.stack([sound, sound])
        stack[0, 1] = stack[1] = 100
        (warning,) = check_pixels(stack, name="cells")
        assert "3 of 4 planes are empty" in warning
        (warning,) = check_pixels(stack[0], name="cells", spatial="ZYX")
        assert "1 of 2 planes are empty" in warning
