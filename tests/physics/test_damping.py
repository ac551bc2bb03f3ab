from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from refusals import refused

from napari_zsdeconvnet.physics.stripe_filter import Damping
from napari_zsdeconvnet.utils.errors import InputError

SHAPE = (128, 160)


def bead(shape: tuple[int, int] = SHAPE) -> np.ndarray:
    y, x = np.indices(shape)
    return 1000 * np.exp(-((y - 50.3) ** 2 + (x - 70.8) ** 2) / (2 * 1.5**2))


def stripes(axis: str, shape: tuple[int, int] = SHAPE, period: float = 7.3) -> np.ndarray:
    place = np.indices(shape)["YX".index(axis)]
    return 20 * np.sin(2 * np.pi * place / period)


class TestStripes:
    @pytest.mark.parametrize("axis", ["Y", "X"])
    @pytest.mark.parametrize("period", [2.2, 7.3, 19.1])
    def test_they_go_and_the_bead_stays(self, axis: Literal["Y", "X"], period: float):
        image = 100 + bead() + stripes(axis, period=period)
        left = Damping(axis).apply(image) - Damping(axis).apply(100 + bead())
        assert np.square(left).sum() < 0.05 * np.square(stripes(axis, period=period)).sum()
        clean = Damping(axis).apply(100 + bead())
        assert clean.max() == pytest.approx(1100 + bead().max() - 1000, rel=0.05)
        assert np.abs(clean - 100 - bead()).max() < 0.05 * bead().max()

    def test_rows_of_random_offset(self):
        rows = np.random.default_rng(0).normal(0, 5, (256, 1)) * np.ones((1, 256))
        left = Damping().apply(rows)
        # Of white offsets the share below `keep`, of a half cycle per pixel, remains, and part
        # of what lies between once and twice that.
        assert left.var() < 3 * Damping().keep * rows.var()

    def test_stripes_that_alternate_along_the_other_axis_are_left(self):
        image = stripes("X")
        left = Damping("Y").apply(image)
        assert np.square(left - image).sum() < 1e-4 * np.square(image).sum()

    def test_wavy_stripes_need_a_wider_line(self):
        y, x = np.indices(SHAPE)
        image = np.sin(2 * np.pi * (y / 7 + x / 80))
        power = [np.square(Damping(half_width=w).apply(image)).mean() for w in (0.004, 0.02)]
        assert power[0] > 0.3
        assert power[1] < 0.05 * power[0]


class TestWhatIsKept:
    def test_flux_of_every_plane(self):
        rng = np.random.default_rng(1)
        volume = rng.poisson(30, (2, 3, *SHAPE)) + stripes("Y")
        damped = Damping().apply(volume)
        np.testing.assert_allclose(damped.sum((2, 3), dtype=float), volume.sum((2, 3)), rtol=1e-6)

    @pytest.mark.parametrize("rows", [8, 100, 899, 900, 901])
    def test_a_flat_image_of_any_size_stays(self, rows: int):
        np.testing.assert_allclose(Damping().apply(np.full((rows, 40), 7.0)), 7, rtol=1e-6)

    def test_what_is_broad_stays_to_the_borders(self):
        ramp = np.linspace(0, 100, SHAPE[0])[:, None] * np.ones((1, SHAPE[1]))
        assert np.abs(Damping().apply(ramp) - ramp).max() < 3
        # In a plain Fourier transform the borders meet, and their step rings.
        ringing = np.fft.ifft2(np.fft.fft2(ramp) * np.fft.ifftshift(Damping().mask(SHAPE))).real
        assert np.abs(ringing - ramp).max() > 30

    def test_noise_loses_no_more_than_the_line(self):
        noise = np.random.default_rng(2).normal(0, 1, (256, 256))
        assert Damping().apply(noise).var() > 0.98


class TestMask:
    @pytest.mark.parametrize("shape", [(32, 48), (33, 49)])
    @pytest.mark.parametrize("axis", ["Y", "X"])
    def test_real_symmetric_and_whole_at_zero(self, shape: tuple[int, int], axis: Any):
        mask = Damping(axis, half_width=0.05, keep=0.1).mask(shape)
        assert mask.shape == shape
        assert mask.dtype == np.float32
        assert (mask.min(), mask.max()) == (0, 1)
        unshifted = np.fft.ifftshift(mask)
        mirrored = np.roll(unshifted[::-1, ::-1], (1, 1), axis=(0, 1))
        np.testing.assert_array_equal(unshifted, mirrored)
        assert unshifted[0, 0] == 1
        # Vertical: what varies along Y alone goes, above what is kept.
        line = unshifted[:, 0] if axis == "Y" else unshifted[0]
        frequency = np.abs(np.fft.fftfreq(len(line)))
        assert (line[frequency <= 0.1] == 1).all()
        assert (line[frequency >= 0.2] == 0).all()
        beside = unshifted[:, 8] if axis == "Y" else unshifted[8]
        assert (beside == 1).all()

    def test_it_says_what_apply_does(self):
        damping = Damping(half_width=0.05, keep=0.05)
        y, x = np.indices((64, 64))
        for rows, columns in ((10, 0), (5, 5), (3, 20), (2, 1)):
            # Cosines about pixel edges are their own mirror images.
            wave = np.cos(2 * np.pi * rows * (y + 0.5) / 64)
            wave = wave * np.cos(2 * np.pi * columns * (x + 0.5) / 64)
            weight = damping.mask((64, 64))[32 + rows, 32 + columns]
            np.testing.assert_allclose(damping.apply(wave), weight * wave, atol=1e-5)


class TestUse:
    def test_in_place(self):
        image = (bead() + stripes("Y")).astype(np.float32)
        expected = Damping().apply(image)
        assert Damping().apply(image, into=image) is image
        np.testing.assert_array_equal(image, expected)

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"axis": "Z"}, "'Z'"),
            ({"half_width": 0}, "half_width.*0 cycles"),
            ({"keep": -1}, "keep.*-1 cycles"),
            ({"keep": float("nan")}, "keep.*nan"),
        ],
    )
    def test_settings_that_make_no_sense(self, settings: dict[str, Any], words: str):
        with pytest.raises(InputError, match=words):
            Damping(**settings)

    def test_arrays_that_do_not_fit(self):
        with pytest.raises(InputError, match="1 axes"):
            Damping().apply(np.zeros(5))
        with refused("result-arrays-shape"):
            Damping().apply(np.zeros((5, 5)), into=np.zeros((5, 6), np.float32))
