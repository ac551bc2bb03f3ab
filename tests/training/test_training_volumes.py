"""Volumes through the public door: train, stop, resume, save, load, predict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from refusals import refused
from watched import Watched

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.inference.predict import Result
from napari_zsdeconvnet.model.presets import VOLUME_PRESETS
from napari_zsdeconvnet.networks.informed_volume import InformedVolumeNetwork as TrainedNetwork
from napari_zsdeconvnet.physics.beyond_faces import volume_reblurred
from napari_zsdeconvnet.physics.stripe_filter import Damping
from napari_zsdeconvnet.training.trainer import TrainingRun
from napari_zsdeconvnet.training.volume_objectives import SequentialObjective

NOISE = zs.NoiseModel(offset=100, gain=1.0, read_variance=4.0)
VOXEL = (0.2, 0.1, 0.1)
QUICK = replace(VOLUME_PRESETS["fast"], patch=32, planes=8, batch=1, steps=6, denoising_share=0.5)
PAPER = replace(VOLUME_PRESETS["paper"], patch=32, planes=8, batch=1, steps=2, axial_margin=1)


@pytest.fixture(scope="module")
def psf() -> zs.PSF:
    return zs.PSF.simulate(
        na=1.1,
        wavelength=0.525,
        refractive_index=1.33,
        pixel_size=0.1,
        axial_step=0.2,
        planes=9,
        size=11,
    )


@pytest.fixture(scope="module")
def stack() -> np.ndarray:
    generator = np.random.default_rng(0)
    signal = np.full((12, 48, 52), 4.0)
    for _ in range(20):
        z, y, x = (int(generator.integers(2, n - 3)) for n in signal.shape)
        signal[z : z + 2, y : y + 3, x : x + 3] += 40
    return (generator.poisson(signal) + 100).astype(np.uint16)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SequentialObjective, "BLOCK", (12, 40, 40))
    monkeypatch.setattr(SequentialObjective, "DRAWS", 2)


def start(images: object, psf: object, **options: object) -> TrainingRun:
    chosen: dict = {"axes": "ZYX", "voxel_size": VOXEL, "preset": QUICK, "seed": 1}
    chosen |= {"device": "cpu", "preview_every": 0, **options}
    return zs.train(images, psf, chosen.pop("noise", NOISE), **chosen)


def trained(images: object, psf: object, **options: object) -> zs.Model:
    run = start(images, psf, **options)
    for _ in run:
        pass
    return run.model


class TestRun:
    @pytest.mark.parametrize("preset", [QUICK, PAPER], ids=["fast", "paper"])
    @pytest.mark.parametrize("upsample", [False, True])
    def test_gives_a_volume_on_the_output_grid(self, stack, psf, preset, upsample):
        model = trained(stack, psf, preset=preset, upsample=upsample)
        factor = 1 + upsample
        assert (model.axes, model.voxel_size, model.upsampling) == ("ZYX", VOXEL, factor)
        assert model.psf.voxel_size == pytest.approx((0.2, 0.1 / factor, 0.1 / factor))
        result = model.predict(stack[:8, :28, :32])
        assert result.denoised.shape == (8, 28, 32)
        assert result.deconvolved.shape == (8, 28 * factor, 32 * factor)
        assert np.isfinite(result.deconvolved).all()

    def test_is_repeatable_to_the_bit(self, stack, psf):
        one, other = (trained(stack, psf).predict(stack) for _ in range(2))
        np.testing.assert_array_equal(one.deconvolved, other.deconvolved)

    @pytest.mark.parametrize("halt", [2, 3, 4, 5])
    def test_resumed_it_goes_on_as_if_nothing_had_been(self, stack, psf, tmp_path: Path, halt):
        whole = trained(stack, psf)
        run = start(stack, psf)
        for progress in run:
            if progress.step == halt:
                break
        run.save(tmp_path / "run.safetensors")
        again = zs.train(stack, axes="ZYX", voxel_size=VOXEL, resume=tmp_path / "run.safetensors",
                         device="cpu", preview_every=0)  # fmt: skip
        for _ in again:
            pass
        for one, other in zip(
            whole.network.parameters(), again.model.network.parameters(), strict=True
        ):
            assert torch.equal(one, other)

    def test_previews_show_the_planes_that_are_looked_at(self, stack, psf):
        run = start(np.tile(stack, (3, 1, 1)), psf, preview_every=1)
        first = next(run).preview
        assert first is not None
        assert first.raw.shape == first.denoised.shape == (16, 48, 52)
        run.focus(35)
        second = next(run).preview
        assert second is not None
        assert second.origin[0] == 36 - 16
        np.testing.assert_allclose(second.raw, np.tile(stack, (3, 1, 1))[20:36] - 100.0)
        run.focus(None)
        third = next(run).preview
        assert third is not None
        assert third.origin == first.origin

    def test_a_model_comes_back_from_its_file(self, stack, psf, tmp_path: Path):
        model = trained(stack, psf)
        model.save(tmp_path / "model.safetensors")
        again = zs.Model.load(tmp_path / "model.safetensors")
        assert again.describe() == model.describe()
        np.testing.assert_array_equal(
            again.predict(stack).deconvolved, model.predict(stack).deconvolved
        )
        with pytest.raises(zs.InputError, match="no planes"):
            again.predict(stack[0], axes="YX")
        with pytest.raises(zs.InputError, match="voxels of 300 x 100 x 100 nm"):
            again.predict(stack, voxel_size=(0.3, 0.1, 0.1))

    def test_memory_that_runs_out_makes_the_batch_and_then_the_patch_smaller(
        self, stack, psf, monkeypatch
    ):
        largest = [2 * 8 * 32 * 32]

        def fail(self, image, excess=1.0, real=TrainedNetwork.denoise):
            if image.numel() > largest[0]:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory")
            return real(self, image, excess)

        monkeypatch.setattr(TrainedNetwork, "denoise", fail)
        run = start(stack, psf, preset=replace(QUICK, batch=4, margin=2))
        assert next(run).message == "Memory ran out: going on with a batch of 2."
        largest[0] = 8 * 16 * 16
        assert next(run).message == "Memory ran out: going on with patches of 16 x 16 pixels."
        largest[0] = 0
        with pytest.raises(zs.InputError, match="close other programs"):
            next(run)


class TestCounts:
    def test_the_light_is_kept(self, stack, psf):
        model = trained(stack, psf)
        result = model.predict(stack)
        light = stack.mean() - 100
        assert result.denoised.mean() == pytest.approx(light, rel=0.01)
        # Of the deconvolved stack what it is once blurred again: the rest went beyond the faces.
        # How much did is an estimate, and this PSF ends where it is bright.
        reblurred = volume_reblurred(
            stack - 100.0, result.deconvolved, psf, 1, model.network.stated_width
        )
        assert reblurred.mean() == pytest.approx(light, rel=0.05)

    def test_blank_in_blank_out(self, stack, psf):
        blank = np.random.default_rng(1).normal(100, 2, (12, 48, 52)).round().astype(np.uint16)
        model = trained(blank, psf)
        result = model.predict(blank)
        for volume in (result.denoised, result.deconvolved):
            assert abs(volume.mean()) < 0.3
            assert volume.std() < 2


class TestSeries:
    def series(self, stack: np.ndarray) -> np.ndarray:
        return np.stack([stack, stack[::-1], stack[:, ::-1]])

    def test_is_never_whole_in_memory(self, stack, psf):
        series = Watched(self.series(stack), most=stack.size)
        model = trained(series, psf, axes="TZYX")
        read = series.read
        result = model.predict(series, axes="TZYX")
        assert result.deconvolved.shape == (3, 12, 48, 52)
        assert read > 0

    def test_has_one_scale(self, stack, psf):
        series = self.series(stack)
        model = trained(series, psf, axes="TZYX")
        together = model.predict(series, axes="TZYX")
        for index in range(3):
            alone = model.predict(series[index])
            np.testing.assert_array_equal(alone.deconvolved, together.deconvolved[index])

    def test_goes_into_room_that_the_caller_made(self, stack, psf, tmp_path: Path):
        series = self.series(stack)
        model = trained(stack, psf, upsample=True)
        coarse, fine = model.output_shapes(series.shape)
        room = Result(
            np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.float32, coarse),
            np.lib.format.open_memmap(tmp_path / "b.npy", "w+", np.float32, fine),
        )
        result = model.predict(series, axes="TZYX", into=room)
        assert result is room
        expected = model.predict(series, axes="TZYX")
        np.testing.assert_array_equal(np.load(tmp_path / "b.npy"), expected.deconvolved)
        with refused("result-arrays-shape"):
            model.predict(stack, into=room)

    def test_several_stacks_are_one_training_set(self, stack, psf):
        run = start([stack, stack[:9]], psf)
        assert next(run).step == 1


class TestDamping:
    def test_takes_stripes_out_first(self, stack, psf):
        model = trained(stack, psf)
        damping = Damping("Y", half_width=0.02, keep=0.03)
        damped = model.predict(stack, damping=damping)
        by_hand = model.predict(damping.apply(stack))
        np.testing.assert_allclose(damped.deconvolved, by_hand.deconvolved, atol=1e-3)
        assert not np.allclose(damped.deconvolved, model.predict(stack).deconvolved, atol=1e-2)


class TestBadInput:
    @pytest.mark.parametrize(
        ("planes", "options", "words"),
        [
            (2, {}, "2 planes, and a volume needs at least 8.*as single images"),
            (7, {}, "7 planes, and a volume needs at least 8"),
            (
                12,
                {"voxel_size": (0.1, 0.1)},
                r"voxel size is \(0.1, 0.1\): give voxel_size=\(z, y, x\)",
            ),
            (12, {"voxel_size": (0.0, 0.1, 0.1)}, r"give voxel_size=\(z, y, x\)"),
            (12, {"preset": "best"}, "choose one of fast, paper"),
            (12, {"noise": None}, "noise is missing"),
        ],
    )
    def test_is_refused_in_one_sentence(self, stack, psf, planes, options, words):
        with pytest.raises(zs.InputError, match=words) as caught:
            start(stack[:planes], psf, **options)
        assert "\n" not in str(caught.value)

    def test_a_flat_psf_is_refused(self, stack, psf):
        with refused("psf-not-3d"):
            start(stack, psf.plane(4))
        with refused("psf-not-2d"):
            start(stack[0], psf, axes="YX", preset="fast")

    def test_a_psf_that_reaches_beyond_the_stack_is_cut_and_that_is_said(self, stack):
        deep = zs.PSF.simulate(
            na=1.1, wavelength=0.525, refractive_index=1.33, pixel_size=0.1, axial_step=0.2,
            planes=41, size=11,
        )  # fmt: skip
        run = start(stack, deep)
        assert run.model.psf.array.shape[0] == 23
        assert any("41 planes" in sentence for sentence in run.warnings)

    def test_a_psf_with_another_step_is_resampled(self, stack):
        fine = zs.PSF.simulate(
            na=1.1, wavelength=0.525, refractive_index=1.33, pixel_size=0.1, axial_step=0.1,
            planes=17, size=11,
        )  # fmt: skip
        assert start(stack, fine).model.psf.voxel_size == pytest.approx(VOXEL)

    def test_empty_planes_are_said_and_odd_counts_taken(self, stack, psf):
        holed = stack[:11].copy()
        holed[3] = 0
        run = start(holed, psf)
        assert any("1 of 11 planes" in sentence for sentence in run.warnings)
        assert next(run).step == 1

    def test_frames_taken_for_planes_are_said(self, psf):
        generator = np.random.default_rng(0)
        scene = generator.uniform(0, 200, (12, 12)).repeat(8, 0).repeat(8, 1)
        frames = (generator.poisson(np.broadcast_to(scene, (12, 96, 96))) + 100).astype(np.uint16)
        run = start(frames, psf)
        assert any("TYX" in sentence for sentence in run.warnings)
