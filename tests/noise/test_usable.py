"""Which pixels of a recording are used: outliers, saturation, what was never recorded, maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from refusals import refused
from scipy.ndimage import gaussian_filter

from napari_zsdeconvnet.io.image import Image, PixelRule
from napari_zsdeconvnet.noise import usable_pixels as usable_pixels_module
from napari_zsdeconvnet.noise.dark_region import filled
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.noise.pixel_mask import Filled, Kind, PixelMask, Runs, one_frame
from napari_zsdeconvnet.noise.saturation import clipped_share, piled_up
from napari_zsdeconvnet.noise.usable_pixels import checked, filled_frame, usable_pixels, with_mask
from napari_zsdeconvnet.utils.each import Each
from napari_zsdeconvnet.utils.errors import InputError

ALLOWED = PixelRule(saturation="mask")


class TestLookingOnce:
    """A recording is calibrated, trained on, deconvolved and judged, and searched once."""

    @pytest.fixture
    def searched(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        names: list[str] = []
        usual = usable_pixels_module._Search.mask

        def counted(search: usable_pixels_module._Search, each: Each) -> PixelMask | None:
            names.append(search.name)
            return usual(search, each)

        monkeypatch.setattr(usable_pixels_module, "_FOUND", {})
        monkeypatch.setattr(usable_pixels_module._Search, "mask", counted)
        return names

    def test_the_same_pixels_are_searched_once(self, light: np.ndarray, searched: list[str]):
        image = record(light)
        image[50, 60] = 3000
        first = usable_pixels(image[None], width=2.5)
        assert first is not None
        assert usable_pixels(image[None].copy(), ALLOWED, width=2.7) is first
        assert len(searched) == 1

    def test_other_pixels_and_other_rules_are_searched_anew(
        self, light: np.ndarray, searched: list[str]
    ):
        image = record(light)
        usable_pixels(image[None])
        usable_pixels(image[None], PixelRule(outliers=False))
        usable_pixels(image[None], width=2.2)
        image[0, 0] += 1
        usable_pixels(image[None])
        assert len(searched) == 4
        assert len(usable_pixels_module._FOUND) == 4
        for number in range(10):
            usable_pixels(record(light, number)[None])
        assert len(usable_pixels_module._FOUND) == 8

    def test_what_was_allowed_once_is_still_refused(self, light: np.ndarray, searched: list[str]):
        full = np.minimum(record(light), 200)
        assert usable_pixels(full[None], ALLOWED) is not None
        with pytest.raises(InputError, match="is saturated"):
            usable_pixels(full[None])


@pytest.fixture(scope="module")
def light() -> np.ndarray:
    """Photons of blobs on a dark background, (160, 160)."""
    rng = np.random.default_rng(3)
    seeds = np.zeros((160, 160))
    np.add.at(seeds, tuple(rng.integers(0, 160, (2, 60))), rng.uniform(0.3, 1, 60))
    blobs = gaussian_filter(seeds, 3)
    return 3 + 400 * blobs / blobs.max()


def record(light: np.ndarray, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    counts = 100 + 0.5 * rng.poisson(light) + rng.normal(0, 1.4, light.shape)
    return np.rint(counts).astype(np.uint16)


def places(mask: PixelMask, kind: Kind) -> list[tuple[int, ...]]:
    return sorted(map(tuple, np.argwhere(mask.kinds(...) == kind)))


class TestMask:
    def test_cuts_are_those_of_a_whole_array(self):
        rng = np.random.default_rng(0)
        kinds = np.zeros((2, 3, 20, 30), np.uint8)
        kinds[0, 1] = rng.integers(0, 5, (20, 30)) * (rng.random((20, 30)) < 0.2)
        kinds[1, 2, 5:, 11:] = Kind.UNRECORDED
        values = np.linspace(0, 1, kinds.size, dtype=np.float32).reshape(kinds.shape)
        planes = {
            place: Runs.of(kinds[place], values[place])
            for place in np.ndindex(2, 3)
            if kinds[place].any()
        }
        mask = PixelMask(kinds.shape, planes)
        for index in (
            ...,
            0,
            (0, 1),
            (slice(None), 1, slice(3, 9), slice(4, 25)),
            (1, slice(1, 3), slice(2, 18, 3), 12),
            (slice(0, 1), slice(0, 0)),
        ):
            np.testing.assert_array_equal(mask.kinds(index), kinds[index])
            np.testing.assert_array_equal(mask[index], kinds[index] > 0)
            filled = mask.fill(index, np.zeros(kinds.shape, np.float32)[index])
            np.testing.assert_allclose(filled, np.where(kinds > 0, values, 0)[index], atol=1e-6)

    def test_one_frame_keeps_its_own(self, light: np.ndarray):
        series = np.stack([record(light, seed) for seed in range(3)])
        series[1, 40, 50] = 9000
        filled = with_mask(series, usable_pixels(series))
        assert isinstance(one_frame(filled, 1), Filled)
        assert one_frame(filled, 1)[0, 40, 50] < 300
        assert isinstance(one_frame(filled, 2), np.ndarray)


class TestOutliers:
    def test_without_any_nothing_is_changed(self, light: np.ndarray):
        frames = record(light)[None]
        assert usable_pixels(frames, width=3.0) is None
        assert checked(frames)[0] is frames

    def test_they_are_named_and_filled_from_their_surroundings(self, light: np.ndarray):
        clean = record(light)
        image = clean.copy()
        for place in ((5, 6), (7, 150), (80, 81), (90, 3), (120, 120), (159, 159), (140, 20)):
            image[place] = 60_000
        mask = usable_pixels(image[None], name="cells.tif")
        (sentence,) = mask.sentences
        assert sentence.startswith("cells.tif has 7 pixels that neither light nor noise explains")
        assert "(y, x) = (5, 6), (7, 150), (80, 81), (90, 3), (120, 120) and 2 more" in sentence
        filled = with_mask(image[None], mask)[0]
        assert filled.dtype == image.dtype
        changed = filled != clean
        assert changed.sum() <= 7
        np.testing.assert_allclose(filled[changed], clean[changed], atol=20)

    def test_hot_in_every_frame_and_a_ray_in_one(self, light: np.ndarray):
        series = np.stack([record(light, seed) for seed in range(12)])
        series[:, 30, 31] += 20  # too little to be seen in one frame
        series[4, 99, 98] = 4000
        mask = usable_pixels(series, width=3.0)
        assert places(mask, Kind.OUTLIER) == sorted(
            [*((t, 30, 31) for t in range(12)), (4, 99, 98)]
        )
        assert "1 of them hot or dead in every plane" in mask.sentences[0]

    def test_in_volumes_and_raw_frames_the_plane_is_named(self, light: np.ndarray):
        volumes = np.stack([[record(light, 9 * t + z) for z in range(9)] for t in range(2)])
        volumes[1, 3, 20, 21] = 0
        mask = usable_pixels(volumes)
        assert places(mask, Kind.OUTLIER) == [(1, 3, 20, 21)]
        assert "(t, z, y, x) = (1, 3, 20, 21)" in mask.sentences[0]

    def test_nobody_looks_where_that_is_said(self, light: np.ndarray):
        image = record(light)
        image[50, 60] = 60_000
        assert usable_pixels(image[None], PixelRule(outliers=False)) is None

    def test_a_given_map_holds_for_every_frame(self, light: np.ndarray):
        series = np.stack([record(light, seed) for seed in range(2)])
        bad = np.zeros((160, 160), bool)
        bad[70, 71:73] = True
        mask = usable_pixels(series, PixelRule(bad_pixels=bad))
        assert places(mask, Kind.GIVEN) == [(t, 70, x) for t in range(2) for x in (71, 72)]
        assert "4 pixels of image are bad by the map given" in mask.sentences[0]
        with pytest.raises(InputError, match=r"shape \(9, 9\)"):
            usable_pixels(series, PixelRule(bad_pixels=np.zeros((9, 9), bool)))


class TestSaturation:
    @pytest.mark.parametrize(
        ("top", "dtype"),
        [
            *((255, "uint8"), (255, "float32"), (1023, "uint16"), (4000, "uint16")),
            *((4095, "uint16"), (65520, "uint16"), (65535, "uint16"), (32767, "int16")),
            (0.731, "float32"),
        ],
    )
    def test_a_pile_up_wherever_it_is(self, light: np.ndarray, top: float, dtype: str):
        counts = record(light, 1).astype(float) - 90
        step = 16 if top == 65520 else 1 if dtype != "float32" else 1e-5
        scaled = step * (counts * top / np.quantile(counts, 0.99) // step)
        image = np.minimum(scaled, top).astype(dtype)[None]
        level = np.array(top, dtype)
        mask = usable_pixels(image, ALLOWED, width=3.0)
        np.testing.assert_array_equal(mask.kinds(...) == Kind.SATURATED, image == level)
        words = f"{int(np.sum(image == level))} saturated pixels at {float(level):g}"
        assert any(words in sentence for sentence in mask.sentences)

    def test_few_are_masked_and_many_refused(self, light: np.ndarray):
        image = record(light)[None]
        few, many = (
            np.minimum(image, np.quantile(image, q)).astype(np.uint16) for q in (0.998, 0.97)
        )
        mask = usable_pixels(few)
        assert np.mean(mask.kinds(...) == Kind.SATURATED) == pytest.approx(0.002, rel=0.4)
        with refused("image-saturated"):
            usable_pixels(many)
        assert usable_pixels(many, ALLOWED) is not None

    @pytest.mark.parametrize("photons", [0.01, 0.1, 1, 10, 1000])
    def test_noise_alone_is_none(self, light: np.ndarray, photons: float):
        rng = np.random.default_rng(2)
        for dtype in ("uint8", "uint16", "float32"):
            counts = rng.poisson(photons * light / light.max())
            assert not piled_up(np.minimum(counts, 250).astype(dtype)) or counts.max() > 250

    def test_few_levels_and_single_brightest_pixels_are_none(self, light: np.ndarray):
        assert not piled_up((record(light) // 40).astype(np.uint8))
        stretched = np.interp(record(light), (record(light).min(), record(light).max()), (0, 255))
        assert not piled_up(np.rint(stretched).astype(np.uint8))

    def test_clipped_at_zero_is_said(self, light: np.ndarray):
        image = record(light).astype(int) - 101
        assert clipped_share(np.maximum(image, 0)) > 0.2
        assert clipped_share(np.maximum(image, 0) * 0.37) > 0.2
        assert clipped_share(record(light)) == 0
        rng = np.random.default_rng(1)
        for photons in (0.02, 0.3, 3.0):
            assert clipped_share(rng.poisson(photons * light / light.max())) == 0
        mask = usable_pixels(np.maximum(image, 0)[None])
        assert "an offset was subtracted" in mask.sentences[0]


class TestNeverRecorded:
    @pytest.mark.parametrize("fill", [0, 100, np.nan])
    def test_borders_and_corners(self, light: np.ndarray, fill: float):
        image = record(light).astype(np.float32)
        empty = np.zeros(image.shape, bool)
        empty[:12] = True
        empty |= np.add.outer(np.arange(160), np.arange(160)) > 290
        image[empty] = fill
        mask = usable_pixels(image[None])
        found = mask.kinds(0) == Kind.UNRECORDED
        assert (found & ~empty).sum() <= 12  # a neighbour that has this value by chance
        assert found[empty].mean() > 0.99  # but for the tips of the corner
        said = " ".join(NoiseModel.from_image(image, 100.0).warnings)
        series = np.stack([np.where(empty, fill, record(light, n)) for n in range(3)])
        said_of_series = " ".join(NoiseModel.from_series(series, offset=100.0).warnings)
        for text in (said, said_of_series):
            assert text.count("with one value") == 1
        filled, warnings = checked(image[None])
        assert np.isfinite(filled[0]).all()
        assert filled[0][empty].min() > 80
        assert any("up to the border" in warning for warning in warnings)

    def test_dark_parts_whose_noise_is_less_than_a_count_are_recorded(self, light: np.ndarray):
        rng = np.random.default_rng(0)
        counts = 100 + 0.1 * rng.poisson(10 * (light - 3) + 0.3) + rng.normal(0, 0.15, light.shape)
        image = np.rint(counts).astype(np.uint16)
        assert (image == 100).mean() > 0.2
        assert filled(image).mean() == 0
        assert usable_pixels(image[None]) is None
        noise = NoiseModel.from_image(image, 100.0)
        assert noise.gain == pytest.approx(0.1, rel=0.25)  # rounding is no noise of its own here
        image[:, :20] = 0
        mask = usable_pixels(image[None])
        assert (mask.kinds(0) == Kind.UNRECORDED)[:, :20].all()
        assert filled(image)[:, :16].all()

    def test_zeros_between_counted_photons_are_recorded(self):
        rng = np.random.default_rng(4)
        for mean in (0.003, 0.05, 0.5):
            mask = usable_pixels(rng.poisson(mean, (1, 128, 128)).astype(np.uint16))
            assert mask is None or not places(mask, Kind.UNRECORDED)

    def test_single_nan_are_filled_and_many_refused(self, light: np.ndarray):
        image = record(light).astype(np.float32)
        image[40:42, 50] = np.nan
        mask = usable_pixels(image[None])
        assert places(mask, Kind.OUTLIER) == [(0, 40, 50), (0, 41, 50)]
        image[20:60, 30:70] = np.nan
        with pytest.raises(InputError, match=r"1600 NaN.*first at \(20, 30\)"):
            usable_pixels(image[None])
        with pytest.raises(InputError, match="no pixel that can be used"):
            usable_pixels(np.full((1, 20, 20), np.nan))


def test_one_frame_is_filled_whatever_is_said_of_the_others(light: np.ndarray):
    series = np.stack([record(light, n) for n in range(3)])
    series[1, 50, 60] = 20_000
    bad = np.zeros(series.shape, bool)
    bad[1, 9, 9] = bad[2, 3, 3] = True
    frame = filled_frame(series, 1, PixelRule(bad_pixels=bad))
    changed = np.argwhere(frame != series[1])
    assert {tuple(place) for place in changed} <= {(50, 60), (9, 9)}
    assert frame[50, 60] < 300
    assert np.array_equal(filled_frame(series, 0, PixelRule(bad_pixels=bad)), series[0])


class TestCases:
    """The recordings that stand for what users bring: hot pixels and saturation."""

    CUTOFF = 2 * 1.2 / 0.525 * 0.1

    @pytest.mark.parametrize("file", ["hot_20_of_300.tif", "hot_one.tif"])
    @pytest.mark.parametrize("cutoff", [CUTOFF, None])
    @pytest.mark.parametrize("offset", [100.0, None])
    def test_the_gain_is_what_it_is_without_hot_pixels(self, cases: Path, file, cutoff, offset):
        image = tifffile.imread(cases / file)
        noise = NoiseModel.from_image(image, offset, cutoff=cutoff)
        assert noise.gain == pytest.approx(0.5, rel=0.1)
        number = "20 pixels" if "20" in file else "1 pixel"
        assert any(f"image has {number} that" in warning for warning in noise.warnings)

    def test_saturation_by_the_share_of_the_lit_area(self, cases: Path):
        few = tifffile.imread(cases / "saturated_0.2_percent.tif")
        noise = NoiseModel.from_image(few, 100.0, cutoff=self.CUTOFF)
        assert noise.gain == pytest.approx(0.5, rel=0.1)
        assert any("125 saturated pixels at 4095" in warning for warning in noise.warnings)
        for file in ("saturated_12_bit_left.tif", "saturated_int16.tif"):
            many = tifffile.imread(cases / file)
            with pytest.raises(InputError, match=r"1261 pixels, 9\.1 % of its lit area"):
                NoiseModel.from_image(many)
            allowed = Image(many, "YX", pixel_rule=ALLOWED)
            step = 16 * 60 if "left" in file else 60 * 8
            noise = NoiseModel.from_image(allowed, cutoff=self.CUTOFF)
            assert noise.gain == pytest.approx(0.5 * step, rel=0.1)


@pytest.mark.parametrize("dtype", [np.float16, np.longdouble, ">u2", ">f4"])
def test_pixels_of_every_type_are_looked_at(dtype):
    image = np.random.default_rng(0).poisson(50, (1, 40, 48)).astype(dtype)
    image[0, 10, 12] = 2000
    mask = usable_pixels(image)
    assert mask is not None
    assert "(10, 12)" in mask.sentences[0]


def test_an_image_too_large_to_be_searched_is_refused_beforehand(monkeypatch):
    monkeypatch.setattr("napari_zsdeconvnet.utils.memory.available_memory", lambda: 2**20)
    image = np.random.default_rng(0).poisson(50, (1, 200, 200)).astype(np.uint16)
    with pytest.raises(InputError, match=r"Looking for bad pixels in cell needs 1\.83 MiB"):
        usable_pixels(image, name="cell")
    with pytest.raises(InputError, match=r"needs 2\.82 MiB of memory and 1 MiB are free"):
        usable_pixels(image, width=3.0)
    assert usable_pixels(image, PixelRule(outliers=False)) is None
