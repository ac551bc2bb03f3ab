"""Training on raw SIM: independent pairs, results that hold, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from refusals import refused

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.inference.raw_frames import reconstruct
from napari_zsdeconvnet.model.presets import SIM_PRESETS, VOLUME_PRESETS
from napari_zsdeconvnet.quality.reference_metrics import score, truth_at_resolution
from napari_zsdeconvnet.sim.reconstruction import Reconstruction
from napari_zsdeconvnet.simulation.raw_sim import SIMSample, simulate_sim
from napari_zsdeconvnet.simulation.raw_sim_3d import simulate_sim_volume
from napari_zsdeconvnet.training.raw_frames import RECONSTRUCTED
from napari_zsdeconvnet.training.sim_pairs import (
    RawSIM,
    ReconstructedPatches,
    recorrupted_reconstructions,
)
from napari_zsdeconvnet.utils.errors import InputError

CPU = torch.device("cpu")
SHAPE = (96, 96)
RIM = 8
"""Output pixels at the border that are not compared."""


@pytest.fixture(scope="module")
def sample() -> SIMSample:
    return simulate_sim("filaments", shape=SHAPE, photons=30, seed=4)


@pytest.fixture(scope="module")
def reconstruction(sample: SIMSample) -> Reconstruction:
    return Reconstruction(sample.patterns)


@pytest.fixture(scope="module")
def halves(sample: SIMSample, reconstruction: Reconstruction) -> tuple[np.ndarray, np.ndarray]:
    """Two hundred re-corruptions, (200, 2Y, 2X) each."""
    raw = RawSIM([sample.raw[None]], sample.noise, reconstruction)
    generator = torch.Generator().manual_seed(5)
    pairs = [
        recorrupted_reconstructions(raw, 0, 0, CPU, magnitude=1.0, generator=generator)
        for _ in range(200)
    ]
    first, second = zip(*pairs, strict=True)
    return torch.stack(first).numpy(), torch.stack(second).numpy()


class TestPairs:
    @pytest.mark.parametrize("which", [0, 1])
    def test_their_mean_is_the_reconstruction(self, which, sample, reconstruction, halves):
        plain = reconstruct(sample.raw, reconstruction, sample.noise)
        drawn = halves[which][:, RIM:-RIM, RIM:-RIM]
        error = drawn.mean(0) - plain[RIM:-RIM, RIM:-RIM]
        standard = drawn.std(0) / np.sqrt(len(drawn))
        assert np.abs(error / standard).max() < 5.5  # of 31 000 pixels
        assert np.sqrt(np.mean((error / standard) ** 2)) == pytest.approx(1, abs=0.15)

    def test_input_and_target_have_independent_noise(self, sample, reconstruction):
        noise = sample.noise
        rng = np.random.default_rng(3)
        expected = reconstruct(noise.offset + noise.gain * sample.noise_free, reconstruction, noise)
        raw_noise = np.sqrt(noise.read_variance)
        errors = []
        generator = torch.Generator().manual_seed(1)
        for _ in range(60):
            counts = noise.offset + noise.gain * rng.poisson(sample.noise_free).astype(float)
            counts += rng.normal(scale=raw_noise, size=counts.shape)
            raw = RawSIM([counts[None]], noise, reconstruction)
            pair = recorrupted_reconstructions(raw, 0, 0, CPU, magnitude=1.0, generator=generator)
            errors.append([(half.numpy() - expected)[RIM:-RIM, RIM:-RIM] for half in pair])
        first, second = np.array(errors).swapaxes(0, 1).reshape(2, -1)
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.01

    def test_a_shot_noise_that_is_wrong_would_be_seen(self, sample, reconstruction):
        """The same figure with half of the noise added: the test above can fail."""
        noise = sample.noise
        expected = reconstruct(noise.offset + noise.gain * sample.noise_free, reconstruction, noise)
        raw = RawSIM([sample.raw[None]], noise, reconstruction)
        generator = torch.Generator().manual_seed(1)
        pair = recorrupted_reconstructions(
            raw, 0, 0, CPU, magnitude=1.0, shot=0.5, read=0.5, generator=generator
        )
        first, second = ((half.numpy() - expected)[RIM:-RIM, RIM:-RIM].ravel() for half in pair)
        assert np.corrcoef(first, second)[0, 1] > 0.1

    def test_what_is_told_of_the_noise_of_inputs_is_so(self):
        flat = simulate_sim("filaments", shape=SHAPE, photons=30, seed=4, depth=0.8)
        rng = np.random.default_rng(2)
        counts = (
            100 + rng.poisson(40, (8, *flat.raw.shape)) + rng.normal(0, 2, (8, *flat.raw.shape))
        )
        reconstruction = Reconstruction(flat.patterns)
        images = reconstruct(counts, reconstruction, flat.noise)
        pairs = ReconstructedPatches(
            [images],
            RECONSTRUCTED,
            10.0,
            SIM_PRESETS["fast"],
            RawSIM([counts], flat.noise, reconstruction),
            patch=(128, 128),
            batch=1,
            device=CPU,
            seed=7,
            multiples=(8, 8),
        )
        plain = images[:, RIM:-RIM, RIM:-RIM].var() / 100
        told, found = [], []
        for _ in range(12 * pairs.DRAWS):
            pair = pairs.draw()
            told.append(float(pair.excess))
            found.append(float(pair.input[..., RIM:-RIM, RIM:-RIM].var()) / plain)
        assert max(told) > 1.5 * min(told)
        assert np.corrcoef(told, found)[0, 1] > 0.9
        assert np.mean(found) == pytest.approx(np.mean(told), rel=0.05)

    def test_go_on_exactly_where_their_state_was_taken(self, sample, reconstruction):
        def source() -> ReconstructedPatches:
            image = reconstruct(sample.raw, reconstruction, sample.noise)
            return ReconstructedPatches(
                [image[None]],
                RECONSTRUCTED,
                10.0,
                SIM_PRESETS["fast"],
                RawSIM([sample.raw[None]], sample.noise, reconstruction),
                patch=(48, 48),
                batch=2,
                device=CPU,
                seed=7,
                multiples=(4, 4),
            )

        first = source()
        for _ in range(23):
            first.draw()
        second = source()
        second.set_random_state(first.random_state())
        for _ in range(25):
            one, other = first.draw(), second.draw()
            assert torch.equal(one.input, other.input)
            assert torch.equal(one.target, other.target)


class TestTraining:
    def test_the_second_stage_keeps_what_it_has_learned_with_the_truth(
        self, sample, reconstruction
    ):
        run = zs.train(
            sample.raw,
            reconstruction=reconstruction,
            noise=sample.noise,
            steps=2,
            seed=1,
            device="cpu",
            preview_every=0,
        )
        first = run.model.network.state_dict()
        for _ in run:
            pass
        last = run.model.network.state_dict()
        changed = {name for name in first if not torch.equal(first[name], last[name])}
        assert changed
        assert all(name.startswith("denoise") for name in changed)

    def test_beats_the_plain_reconstruction(self, sample, reconstruction):
        run = zs.train(
            sample.raw,
            reconstruction=reconstruction,
            noise=sample.noise,
            seed=1,
            steps=40,
            preview_every=20,
        )
        previews = [state.preview for state in run if state.preview]
        assert previews[-1].deconvolved.shape == previews[-1].raw.shape
        plain = reconstruct(sample.raw, reconstruction, sample.noise)
        result = run.model.predict(sample.raw, camera=sample.noise)
        assert result.deconvolved.shape == plain.shape
        pixel = sample.pixel_size / 2
        target = truth_at_resolution(sample.truth, (0.06, 0.06), (pixel, pixel))
        before, after = (score(image, target, border=16) for image in (plain, result.deconvolved))
        assert after.psnr > before.psnr + 3
        assert after.ssim > before.ssim
        assert result.deconvolved.mean() == pytest.approx(plain.mean(), rel=0.02)

    def test_a_file_holds_all_that_prediction_and_resuming_need(
        self, sample, reconstruction, tmp_path
    ):
        path = tmp_path / "model.safetensors"

        def begin(**options) -> zs.training.trainer.TrainingRun:
            return zs.train(
                sample.raw,
                reconstruction=reconstruction,
                noise=sample.noise,
                seed=2,
                steps=6,
                preview_every=0,
                **options,
            )

        whole = begin()
        for state in whole:
            if state.step == 3:
                whole.save(path)
        resumed = zs.train(
            sample.raw,
            reconstruction=reconstruction,
            noise=sample.noise,
            resume=path,
            preview_every=0,
        )
        for _ in resumed:
            pass
        for one, other in zip(
            whole.model.network.parameters(), resumed.model.network.parameters(), strict=True
        ):
            assert torch.equal(one, other)
        resumed.model.save(path)
        loaded = zs.Model.load(path)
        here = whole.model.predict(sample.raw, camera=sample.noise)
        there = loaded.predict(sample.raw, camera=sample.noise)
        np.testing.assert_array_equal(here.deconvolved, there.deconvolved)

    def test_a_series_is_trained_on_as_a_whole(self, sample, reconstruction):
        series = np.stack([sample.raw, sample.second_exposure])
        run = zs.train(
            series,
            reconstruction=reconstruction,
            noise=sample.noise,
            steps=1,
            seed=0,
            preview_every=0,
        )
        next(run)
        result = run.model.predict(series, camera=sample.noise)
        assert result.deconvolved.shape == (2, 2 * SHAPE[0], 2 * SHAPE[1])

    def test_maps_of_the_camera_even_out_its_pixels(self, sample, reconstruction):
        rng = np.random.default_rng(0)
        gain = rng.uniform(0.8, 1.2, SHAPE).astype(np.float32)
        offset = rng.uniform(90, 110, SHAPE).astype(np.float32)
        variance = rng.uniform(1, 9, SHAPE).astype(np.float32)
        maps = zs.CameraMaps(offset, gain, variance)
        plain = reconstruct(100 + sample.noise_free, reconstruction, zs.NoiseModel(100.0, 1.0, 4.0))
        mapped = reconstruct(offset + gain * sample.noise_free, reconstruction, maps)
        np.testing.assert_allclose(mapped / maps.typical.gain, plain, atol=1e-2)
        run = zs.train(
            sample.raw, reconstruction=reconstruction, noise=maps, steps=1, seed=0, preview_every=0
        )
        assert np.isfinite(next(run).losses["total"])


class TestRefusals:
    def test_training_needs_the_gain_and_reconstructing_does_not(self, sample, reconstruction):
        camera = zs.NoiseModel(100.0, None, 4.0)
        known = reconstruct(sample.raw, reconstruction, sample.noise)
        np.testing.assert_array_equal(reconstruct(sample.raw, reconstruction, camera), known)
        raw = RawSIM([sample.raw[None]], camera, reconstruction)
        with pytest.raises(InputError, match="has no gain"):
            recorrupted_reconstructions(raw, 0, 0, CPU, magnitude=1.0)

    def test_a_model_of_images_does_not_take_raw_frames(self, sample, reconstruction):
        image = reconstruct(sample.raw, reconstruction, sample.noise) + 100
        psf = reconstruction.psf()
        run = zs.train(
            image, psf, zs.NoiseModel(100.0, 1.0, 4.0), steps=1, upsample=False, preview_every=0
        )
        with pytest.raises(InputError, match="not trained on raw SIM"):
            run.model.predict(sample.raw, camera=sample.noise)

    def test_another_number_of_frames(self, sample, reconstruction):
        with pytest.raises(InputError, match="7 frames"):
            zs.train(sample.raw[:7], reconstruction=reconstruction, noise=sample.noise)

    def test_maps_of_another_part_of_the_camera(self, sample, reconstruction):
        flat = np.ones((50, 60), np.float32)
        with refused("camera-maps-size"):
            zs.train(
                sample.raw, reconstruction=reconstruction, noise=zs.CameraMaps(flat, flat, flat)
            )

    def test_a_preset_for_other_recordings(self, sample, reconstruction):
        preset = VOLUME_PRESETS["sim"]
        with pytest.raises(InputError, match="not made for raw SIM"):
            zs.train(sample.raw, reconstruction=reconstruction, noise=sample.noise, preset=preset)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"gain": np.zeros(SHAPE)}, "gains are positive"),
            ({"read_variance": -np.ones(SHAPE)}, "never negative"),
            ({"offset": np.full(SHAPE, np.nan)}, "NaN"),
            ({"offset": np.ones((3, 3))}, "one camera"),
            ({"offset": np.ones(3)}, r"give \(Y, X\)"),
        ],
    )
    def test_maps_that_cannot_be(self, change, words):
        maps = {name: np.ones(SHAPE) for name in ("offset", "gain", "read_variance")}
        with pytest.raises(InputError, match=words):
            zs.CameraMaps(**maps | change)


class TestReconstructedStacks:
    def test_the_preset_needs_no_camera_and_beats_its_input(self):
        sample = simulate_sim_volume("vesicles", shape=(16, 96, 96), photons=10, seed=1)
        run = zs.train(
            sample.raw,
            sample.psf,
            axes="ZYX",
            voxel_size=sample.voxel_size,
            preset="sim",
            steps=20,
            seed=0,
            preview_every=0,
        )
        for state in run:
            assert np.isfinite(state.losses["total"])
        result = run.model.predict(sample.raw, axes="ZYX")
        width = tuple(0.5 * fwhm for fwhm in sample.psf.fwhm)
        target = truth_at_resolution(sample.truth, width, sample.voxel_size)
        before, after = (
            score(image, target, border=(2, 6, 6)) for image in (sample.raw, result.deconvolved)
        )
        assert after.psnr > before.psnr + 1.5  # with few of its steps
        assert after.ssim > before.ssim

    def test_published_settings_are_those_of_equations_12_to_14(self):
        preset = VOLUME_PRESETS["sim-paper"]
        assert preset.objective == "interleaved"
        assert preset.norm == "squared"
        assert preset.gap_weight > 0
        assert preset.hessian_weight == 0
        assert (preset.planes, preset.patch) == (14, 64)  # of which every second is input
