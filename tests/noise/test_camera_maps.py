"""Cameras whose pixels differ: each pixel gets its own offset, gain and noise, wherever it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from refusals import refused
from scipy.ndimage import gaussian_filter

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.io.image import Image, PixelRule
from napari_zsdeconvnet.model.model import Model
from napari_zsdeconvnet.model.presets import PRESETS, VOLUME_PRESETS, Preset, find_preset
from napari_zsdeconvnet.noise.camera_maps import CameraMaps
from napari_zsdeconvnet.noise.pixel_mask import Kind
from napari_zsdeconvnet.noise.recorruption import local_mean, noise_variance, recorrupt, unevenness
from napari_zsdeconvnet.noise.usable_pixels import usable_pixels
from napari_zsdeconvnet.quality.data_consistency import local_variance
from napari_zsdeconvnet.quality.verdict import judge
from napari_zsdeconvnet.simulation.sample import simulate
from napari_zsdeconvnet.training.pairs import RecorruptedPatches
from napari_zsdeconvnet.utils.errors import InputError
from napari_zsdeconvnet.workflow.record import RunRecord, iter_training

SHAPE = (64, 72)
CPU = torch.device("cpu")


def maps_of(shape: tuple[int, int] = SHAPE, seed: int = 0) -> CameraMaps:
    """A strong sCMOS: columns and pixels of their own offset, gain and noise."""
    rng = np.random.default_rng(seed)
    offset = 100 + rng.normal(0, 3, shape[1]) + rng.normal(0, 2, shape)
    gain = 1.25 * np.exp(rng.normal(0, 0.1, shape))
    variance = 4 * np.exp(rng.normal(0, 1, shape))
    return CameraMaps(*(pixels.astype(np.float32) for pixels in (offset, gain, variance)))


def recorded(electrons: np.ndarray, maps: CameraMaps, rng: np.random.Generator) -> np.ndarray:
    counts = maps.offset + maps.gain * rng.poisson(electrons)
    return np.round(counts + rng.normal(0, np.sqrt(maps.read_variance), electrons.shape))


def quick(preset: Preset) -> Preset:
    return replace(preset, patch=48, batch=2)


def run_to_its_end(run) -> Model:
    for _ in run:
        pass
    return run.model


class TestMaps:
    def test_numbers_arrays_and_files_make_maps(self, tmp_path):
        gain = maps_of().gain
        tifffile.imwrite(tmp_path / "gain.tif", gain)
        np.save(tmp_path / "variance.npy", 3 * gain)
        maps = CameraMaps.of(100, tmp_path / "gain.tif", str(tmp_path / "variance.npy"))
        np.testing.assert_array_equal(maps.gain, gain)
        np.testing.assert_array_equal(maps.offset, np.full(SHAPE, 100, np.float32))
        np.testing.assert_array_equal(maps.read_variance, 3 * gain)
        with pytest.raises(InputError, match="Three numbers are no maps"):
            CameraMaps.of(100, 1, 4)
        with pytest.raises(InputError, match=r"offset is 'no\.tif'|no\.tif"):
            CameraMaps.of("no.tif", 1, 4)

    def test_what_was_recorded_comes_back_at_the_typical_camera(self):
        maps = maps_of()
        light = np.random.default_rng(1).uniform(0, 50, (2, 3, *SHAPE)).astype(np.float32)
        evened = maps.evened(maps.offset + maps.gain * light)
        typical = maps.typical
        np.testing.assert_allclose(evened, typical.offset + typical.gain * light, atol=1e-3)

    def test_what_is_read_lazily_stays_so_and_is_the_same(self, tmp_path):
        maps = maps_of()
        frames = np.random.default_rng(2).integers(90, 300, (3, 4, *SHAPE)).astype(np.uint16)
        path = tmp_path / "series.npy"
        np.save(path, frames)
        lazy = maps.evened(np.load(path, mmap_mode="r"))
        assert not isinstance(lazy, np.ndarray)
        whole = maps.evened(frames)
        for place in (
            (1, 2, slice(5, 40), slice(60, 72)),
            (slice(None), 0),
            (0, 1, 7, slice(3, 9)),
            (2, 3, slice(None), -1),
        ):
            np.testing.assert_array_equal(lazy[place], whole[place])

    def test_saturated_pixels_stay_a_pile_up(self, tmp_path):
        maps = maps_of()
        rng = np.random.default_rng(0)
        light = gaussian_filter(rng.exponential(300, SHAPE), 3) * 4
        frames = np.minimum(recorded(light, maps, rng), 2000)[None].astype(np.uint16)
        full = frames == 2000
        assert 10 < full.sum() < 0.5 * full.size
        evened = maps.evened(frames)
        assert (evened == evened.max()).sum() == full.sum()
        np.save(tmp_path / "full.npy", frames)
        lazy = maps.evened(np.load(tmp_path / "full.npy", mmap_mode="r"))
        np.testing.assert_array_equal(lazy[0], evened[0])
        mask = usable_pixels(evened, PixelRule(saturation="mask"))
        np.testing.assert_array_equal(mask.kinds(...)[full], Kind.SATURATED)

    def test_a_part_of_the_chip(self):
        chip = maps_of((100, 120))
        part = chip.part((10, 20), (5, *SHAPE))
        np.testing.assert_array_equal(part.gain, chip.gain[10:74, 20:92])
        assert part.typical == chip.typical
        for start in ((40, 0), (0, 60), (-1, 0)):
            with pytest.raises(InputError, match="does not lie in maps"):
                chip.part(start, SHAPE)

    def test_maps_of_another_part_are_refused_with_what_to_do(self):
        with pytest.raises(InputError, match=r"cells \(50, 60\).*maps\.part"):
            maps_of().evened(np.zeros((50, 60)), "cells")


class TestFromDark:
    def frames(self, count: int) -> tuple[CameraMaps, np.ndarray]:
        truth = maps_of((96, 96), seed=3)
        rng = np.random.default_rng(4)
        return truth, np.stack([recorded(np.zeros((96, 96)), truth, rng) for _ in range(count)])

    def test_each_pixel_is_measured(self):
        truth, frames = self.frames(100)
        maps = CameraMaps.from_dark(frames, 1.25)
        error = maps.offset - truth.offset
        assert error.std() < 1.05 * np.sqrt(np.mean(truth.read_variance) / 100)
        ratio = np.log(maps.read_variance / (truth.read_variance + 1 / 12))
        assert abs(np.median(ratio)) < 0.03
        assert ratio.std() < 0.2
        assert maps.typical.gain == 1.25
        assert "dark stack of 100 frames" in maps.typical.source

    def test_few_frames_lean_on_what_pixels_have_in_common(self):
        truth = CameraMaps.of(
            100 + np.random.default_rng(5).normal(0, 2, 96) + np.zeros((96, 96)), 1.25, 4.0
        )
        rng = np.random.default_rng(6)
        frames = np.stack([recorded(np.zeros((96, 96)), truth, rng) for _ in range(8)])
        maps = CameraMaps.from_dark(frames, 1.25)
        plain = np.std(frames.mean(axis=0) - truth.offset)
        assert np.std(maps.offset - truth.offset) < 0.5 * plain
        assert maps.read_variance.std() < 0.3 * frames.var(axis=0, ddof=1).std()


def source_of(recording: np.ndarray, maps: CameraMaps) -> RecorruptedPatches:
    *depth, _, _ = recording.shape[1:]
    return RecorruptedPatches(
        [maps.evened(recording)],
        maps.typical,
        10.0,
        find_preset("fast", "ZYX" if depth else "YX"),
        maps.evened_read_variance,
        patch=(*depth, 32, 32),
        batch=2,
        device=CPU,
        seed=0,
        multiples=(*(1 for _ in depth), 8, 8),
    )


class TestPairs:
    @pytest.mark.parametrize("depth", [0, 4])
    def test_each_pixel_is_given_its_own_noise_wherever_the_patch_is(self, depth):
        """Maps that are the pixel's own number tell which pixels a patch is of."""
        rows, columns = np.indices(SHAPE)
        number = (1 + 1000 * rows + columns).astype(np.float32)
        maps = CameraMaps(0 * number, 1 + 0 * number, number)
        frame = np.broadcast_to(number, (depth, *SHAPE)) if depth else number
        layers = source_of(frame[None], maps)._cut_with_maps(8)
        assert layers.shape[1] == 2
        torch.testing.assert_close(layers[:, 0], layers[:, 1])

    def test_noise_of_both_halves_is_independent_pixel_by_pixel(self):
        maps, light = maps_of(), np.full(SHAPE, 20.0)
        rng = np.random.default_rng(7)
        series = np.stack([recorded(light, maps, rng) for _ in range(200)])
        source = source_of(series, maps)
        expected = float(maps.typical.gain * 20 / 10)
        generator = torch.Generator().manual_seed(0)
        own = torch.from_numpy(maps.evened_read_variance / 100)
        products, squares = torch.zeros(SHAPE), torch.zeros(SHAPE)
        for frame in maps.evened(series):
            image = torch.from_numpy((frame - np.float32(maps.typical.offset)) / 10)[None, None]
            around = torch.nn.functional.pad(image, (2,) * 4, mode="reflect")
            variance = noise_variance(local_mean(around), source.shot, own)
            one, other = recorrupt(image, variance, torch.ones(()), generator)
            products += ((one - expected) * (other - expected))[0, 0]
            squares += ((one - expected) ** 2)[0, 0]
        noisy = maps.read_variance > np.quantile(maps.read_variance, 0.9)
        for part in (noisy, ~noisy):
            correlation = float(products[part].sum() / squares[part].sum())
            assert abs(correlation) < 4 / np.sqrt(200 * part.sum())

    def test_the_network_is_told_how_much_noisier_a_pixel_is(self):
        light = torch.tensor([0.0, 10.0])
        found = unevenness(light, 0.1, torch.tensor([4.0, 4.0]), 1.0)
        torch.testing.assert_close(found, torch.tensor([4.0, 2.5]))


def trained(image: Image, maps: zs.NoiseModel | CameraMaps, **options) -> Model:
    sample = simulate(shape=SHAPE, photons=50, seed=1)
    chosen = {"preset": quick(PRESETS["fast"]), "steps": 2, "seed": 7, "preview_every": 1}
    psf = sample.psf.cropped(31)
    return run_to_its_end(zs.train(image, psf, maps, device="cpu", **{**chosen, **options}))


@pytest.fixture(scope="module")
def recording() -> Image:
    sample = simulate(shape=SHAPE, photons=50, seed=1)
    light = sample.noise_free / sample.noise.gain
    counts = recorded(light, maps_of(), np.random.default_rng(8))
    return Image(counts.astype(np.uint16), "YX", (0.0626, 0.0626), "cells")


@pytest.fixture(scope="module")
def model(recording) -> Model:
    return trained(recording, maps_of())


class TestTraining:
    def test_equal_pixels_train_as_a_noise_model_does(self, recording):
        """But for the rounding of what is taken away and added again."""
        noise = zs.NoiseModel(100.0, 1.25, 4.0)
        plain = trained(recording, noise)
        flat = trained(recording, CameraMaps.of(100.0, 1.25, 4.0, shape=SHAPE))
        assert flat.scale == pytest.approx(plain.scale, rel=1e-6)
        here, there = (one.predict(recording, device="cpu") for one in (plain, flat))
        np.testing.assert_allclose(here.denoised, there.denoised, atol=1e-2)

    def test_a_model_keeps_its_maps(self, model, tmp_path):
        model.save(tmp_path / "model.safetensors")
        again = Model.load(tmp_path / "model.safetensors")
        assert again.maps is not None
        for name, pixels in maps_of().to_arrays().items():
            np.testing.assert_array_equal(getattr(again.maps, name), pixels)
        assert again.maps.typical == model.maps.typical

    def test_a_training_goes_on_with_them(self, recording, tmp_path):
        sample = simulate(shape=SHAPE, photons=50, seed=1)
        run = zs.train(
            recording, sample.psf.cropped(31), maps_of(), preset=quick(PRESETS["fast"]),
            steps=2, seed=7, device="cpu", preview_every=0,
        )  # fmt: skip
        next(run)
        run.save(tmp_path / "run.safetensors")
        whole = run_to_its_end(run)
        half = zs.train(recording, resume=tmp_path / "run.safetensors", device="cpu")
        there = run_to_its_end(half)
        for one, other in zip(whole.network.parameters(), there.network.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)

    def test_a_record_repeats_it_to_the_bit(self, recording, model, tmp_path):
        record = RunRecord.of(model)
        record.write(tmp_path / "record.json")
        record = RunRecord.read(tmp_path / "record.json")
        steps = iter_training(record, [recording])
        while True:
            try:
                next(steps)
            except StopIteration as end:
                again = end.value
                break
        assert RunRecord.of(again).weights_sha256 == record.weights_sha256

    def test_images_of_another_size_are_refused(self, recording):
        smaller = replace(recording, data=recording.data[:, :64])
        with refused("camera-maps-size"):
            trained(smaller, maps_of())


class TestPrediction:
    def test_a_crop_with_its_part_of_the_maps_gives_that_part(self, recording, model):
        """A network of 2 steps hardly differs from its prior: far inside, both are the same."""
        maps = maps_of()
        place = (slice(0, 64), slice(0, 56))
        whole = model.predict(recording, device="cpu").denoised
        crop = replace(recording, data=recording.data[place])
        part = model.predict(crop, camera=maps.cut(place), device="cpu").denoised
        np.testing.assert_allclose(part[:, :12], whole[:, :12], rtol=0.02, atol=0.5)
        wrong = model.predict(crop, camera=maps.part((0, 16), (64, 56)), device="cpu").denoised
        assert np.abs(wrong - part).max() > 5 * np.abs(part - whole[place])[:, :12].max()

    def test_tiles_use_their_part_of_the_maps(self):
        wide = (64, 256)
        maps = maps_of(wide, seed=9)
        sample = simulate(shape=wide, photons=50, seed=2)
        counts = recorded(sample.noise_free, maps, np.random.default_rng(0)).astype(np.uint16)
        image = Image(counts, "YX", (0.0626, 0.0626), "wide")
        model = trained(image, maps, steps=1)
        whole = model.predict(image, device="cpu").denoised
        tiled = model.predict(image, device="cpu", tile=160).denoised
        np.testing.assert_allclose(tiled, whole, atol=1e-2 * whole.max())

    def test_another_shape_without_maps_is_refused(self, recording, model):
        crop = replace(recording, data=recording.data[:, :60])
        with pytest.raises(InputError, match=r"maps of 64 x 72.*cells has 64 x 60.*camera="):
            model.predict(crop)

    def test_averaging_over_repeats_uses_them(self, recording, model):
        result = model.predict(recording, device="cpu", repeats=1)
        assert np.isfinite(result.deconvolved).all()


class TestVolumes:
    def test_every_plane_has_the_camera_s_pixels(self):
        maps = maps_of((48, 48), seed=11)
        light = gaussian_filter(np.random.default_rng(0).exponential(30, (10, 48, 48)), (1, 2, 2))
        stack = recorded(light, maps, np.random.default_rng(1)).astype(np.uint16)
        image = Image(stack, "ZYX", (0.3, 0.1, 0.1), "stack")
        psf = zs.PSF.simulate(1.2, 0.525, 0.1, axial_step=0.3, planes=9).cropped(31)
        preset = replace(VOLUME_PRESETS["fast"], patch=32, planes=8, batch=1)
        run = zs.train(image, psf, maps, preset=preset, steps=2, seed=0, device="cpu")
        model = run_to_its_end(run)
        result = model.predict(image, device="cpu")
        # The denoised stack of an untrained network is the mean around: no fixed pattern in it.
        inner = (slice(None), slice(4, -4), slice(4, -4))
        found = result.denoised / maps.typical.gain
        assert np.corrcoef(found[inner].ravel(), light[inner].ravel())[0, 1] > 0.8
        pattern = (maps.offset - np.median(maps.offset))[inner[1:]]
        left = (found - light).mean(axis=0)[inner[1:]]
        assert abs(np.corrcoef(left.ravel(), pattern.ravel())[0, 1]) < 0.15


class TestVerdict:
    def test_the_noise_of_each_pixel_is_expected(self, recording, model):
        verdict = judge(model, recording, repeats=2, device="cpu")
        by_name = {measure.name: measure for measure in verdict.measures}
        assert by_name["noise level"].passed
        blind = replace(model, camera=None)
        without = judge(blind, recording, repeats=2, device="cpu")
        assert not {m.name: m for m in without.measures}["noise level"].passed

    def test_local_variance_adds_each_pixel_s_own(self):
        noise = zs.NoiseModel(100.0, 2.0, 4.0)
        own = np.arange(1, 65, dtype=float).reshape(8, 8)
        image = np.full((3, 8, 8), 110.0)
        np.testing.assert_allclose(local_variance(image, noise, own), 20 + np.stack([own] * 3))


@pytest.mark.slow
def test_a_strong_camera_is_denoised_better_with_its_maps():
    """Maps are worth decibels where pixels differ by twice the read noise; measured: 4.4 dB."""
    shape = (160, 160)
    rng = np.random.default_rng(0)
    offset = 100 + rng.normal(0, 4, shape[1]) + rng.normal(0, 4, shape)
    gain = 1.25 * np.exp(rng.normal(0, 0.15, shape))
    maps = CameraMaps(offset, gain, 4 * np.exp(rng.normal(0, 1.5, shape)))
    sample = simulate(shape=shape, photons=40, seed=3)
    counts = recorded(sample.noise_free, maps, np.random.default_rng(5)).astype(np.int32)
    alike = zs.NoiseModel(100.0, 1.25, float(np.mean(maps.read_variance)) + 2 * 4**2)
    inner = (slice(8, -8), slice(8, -8))
    truth = sample.noise_free[inner].ravel()

    def quality(camera: zs.NoiseModel | CameraMaps) -> float:
        run = zs.train(
            counts, sample.psf.cropped(41), camera, steps=60, seed=0, device="cpu", preview_every=0
        )
        denoised = run_to_its_end(run).predict(counts, device="cpu").denoised[inner].ravel()
        design = np.stack([denoised, np.ones_like(denoised)], axis=1)
        fitted = design @ np.linalg.lstsq(design, truth, rcond=None)[0]
        return float(10 * np.log10(truth.max() ** 2 / np.mean((fitted - truth) ** 2)))

    assert quality(maps) > quality(alike) + 2
