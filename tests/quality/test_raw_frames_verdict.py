"""The verdict on raw SIM: each measure is made to fail on purpose, and good runs pass them all.

What a result leaves unexplained is first asked of the truth itself, which needs no network. The one
network that is trained to be good sees 96 x 96 pixels for seconds.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from refusals import refused
from torch import Tensor

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.inference.predict import Result
from napari_zsdeconvnet.inference.raw_frames import are_raw_frames, reconstruct
from napari_zsdeconvnet.io.image import Image
from napari_zsdeconvnet.model.model import Model
from napari_zsdeconvnet.model.presets import SIM_PRESETS
from napari_zsdeconvnet.networks.base import TwoStageNetwork
from napari_zsdeconvnet.noise.camera_maps import CameraMaps
from napari_zsdeconvnet.quality import checks
from napari_zsdeconvnet.quality.data_consistency import Residual
from napari_zsdeconvnet.quality.raw_frame_statistics import RecordedSIM
from napari_zsdeconvnet.quality.raw_frames import check_trained_on
from napari_zsdeconvnet.quality.reference_metrics import truth_at_resolution
from napari_zsdeconvnet.quality.stability import scaled, with_psf
from napari_zsdeconvnet.quality.verdict import Verdict, judge
from napari_zsdeconvnet.sim import Reconstruction, SIMSample, estimate, simulate_sim
from napari_zsdeconvnet.utils.errors import InputError

SHAPE = (96, 96)
QUICK = replace(SIM_PRESETS["fast"], patch=64, batch=1)


def recorded(kind: str, photons: float) -> SIMSample:
    """Frames of one microscope: those of one seed share their patterns."""
    return simulate_sim(kind, shape=SHAPE, photons=photons, seed=4)


def trained(
    sample: SIMSample,
    steps: int,
    reconstruction: Reconstruction | None = None,
    batch: int = 1,
    start: str | None = None,
) -> Model:
    run = zs.train(
        sample.raw,
        reconstruction=reconstruction or Reconstruction(sample.patterns),
        noise=sample.noise,
        preset=replace(QUICK, batch=batch),
        start=start,
        steps=steps,
        seed=1,
        device="cpu",
        preview_every=0,
    )
    for _ in run:
        pass
    return run.model


@pytest.fixture(scope="module")
def sample() -> SIMSample:
    return recorded("filaments", 30)


@pytest.fixture(scope="module")
def good(sample: SIMSample) -> Model:
    return trained(sample, 150)


@pytest.fixture(scope="module")
def result(good: Model, sample: SIMSample) -> Result:
    return good.predict(sample.raw, camera=sample.noise, device="cpu")


@pytest.fixture(scope="module")
def sound(good: Model, sample: SIMSample, result: Result) -> Verdict:
    return judge(good, sample.raw, result=result, device="cpu")


def failed(verdict: Verdict) -> set[str]:
    return {measure.name for measure in verdict.failed}


class TestTheTruth:
    """Its residual is noise, whatever there is to be seen and however bright."""

    @staticmethod
    def residual(sample: SIMSample, noise: zs.NoiseModel | None = None) -> Residual:
        reconstruction = Reconstruction(sample.patterns)
        stands_for_a_model = SimpleNamespace(
            psf=reconstruction.psf(), upsampling=1, network=SimpleNamespace(stated_width=None)
        )
        evidence = RecordedSIM(
            cast("Model", stands_for_a_model), sample.raw, noise or sample.noise, reconstruction
        )
        gain = sample.noise.gain
        assert gain is not None
        return evidence.residual((gain * sample.truth).astype(np.float32))

    @pytest.mark.parametrize(
        ("kind", "photons", "gain"),
        [("filaments", 30, 1.0), ("mesh", 100, 2.2), ("vesicles", 300, 0.5)],
    )
    def test_leaves_noise_and_nothing_else(self, kind: str, photons: float, gain: float):
        noise = zs.NoiseModel(100.0, gain, 4.0)
        found = self.residual(simulate_sim(kind, shape=SHAPE, photons=photons, noise=noise, seed=3))
        assert found.noise is not None
        assert found.noise.value == pytest.approx(1, abs=0.06)
        assert found.carried.value == pytest.approx(1, abs=0.1)
        assert found.whole.value == pytest.approx(1, abs=0.1)
        assert found.correlation is not None
        assert abs(found.correlation) < 4 * found.correlation_error

    def test_leaves_structure_where_it_is_shown_wrong(self, sample: SIMSample):
        right = self.residual(sample)
        wrong = self.residual(replace(sample, truth=np.roll(sample.truth, 2, 0)))
        assert wrong.carried.value > 3 * right.carried.value

    def test_pixels_too_coarse_to_hold_noise_alone_say_nothing_of_it(self):
        coarse = simulate_sim(shape=SHAPE, photons=100, pixel_size=0.12, period=0.3, seed=1)
        found = self.residual(coarse)
        assert found.noise is None
        for judged in (
            checks.noise_level(found, coarse.noise, 10.0),
            checks.noise_correlation(found),
        ):
            assert judged.passed is None
            assert "too coarse" in judged.sentence


class TestAGoodRun:
    def test_passes_every_measure(self, sound: Verdict):
        assert failed(sound) == set()
        assert sound.headline() == "All 11 measures passed."
        assert "Sharpened to" in sound.summary()

    def test_passes_on_another_structure_too(self, good: Model):
        assert failed(judge(good, recorded("mesh", 30).raw, device="cpu")) == set()

    def test_gives_its_maps_on_the_grid_of_the_reconstruction(self, sound: Verdict):
        assert set(sound.maps) == {"z_map", "spread", "mean"}
        for pixels in sound.maps.values():
            assert pixels.shape == (192, 192)
            assert np.isfinite(pixels).all()

    def test_has_its_spread_where_its_errors_are(
        self, sound: Verdict, sample: SIMSample, result: Result
    ):
        inner = (slice(24, -24),) * 2
        pixel = sample.pixel_size / 2
        error = np.abs(
            result.deconvolved - truth_at_resolution(sample.truth, 0.06, (pixel, pixel))
        )[inner]
        spread = sound.maps["spread"][inner]
        top = error[spread >= np.quantile(spread, 0.9)].mean()
        assert top / error[spread <= np.median(spread)].mean() >= 3

    def test_says_its_resolution_within_what_its_patterns_support(
        self, sound: Verdict, good: Model, sample: SIMSample
    ):
        measure = sound["resolution"]
        assert measure.unit == "nm"
        assert measure.value is not None
        assert measure.value >= 999 / good.psf.otf_cutoff
        assert measure.value < 1000 * sample.wavelength / (2 * sample.na), "finer than widefield"
        assert "two re-corruptions" in measure.sentence

    def test_of_two_exposures_has_an_honest_resolution(
        self, good: Model, sample: SIMSample, result: Result
    ):
        verdict = judge(
            good, sample.raw, result=result, second=sample.second_exposure, repeats=0, device="cpu"
        )
        assert verdict["resolution"].passed
        assert "two exposures" in verdict["resolution"].sentence


class TestBrokenRuns:
    @pytest.mark.parametrize(("times", "word"), [(0.25, "too low"), (4.0, "too high")])
    def test_a_wrong_gain(
        self, good: Model, sample: SIMSample, result: Result, times: float, word: str
    ):
        wrong = replace(sample.noise, gain=times)
        verdict = judge(good, sample.raw, camera=wrong, result=result, repeats=0, device="cpu")
        assert "noise level" in failed(verdict)
        assert word in verdict["noise level"].sentence

    def test_a_network_that_was_hardly_trained(self, sample: SIMSample):
        verdict = judge(trained(sample, 3, start="scratch"), sample.raw, repeats=0, device="cpu")
        assert failed(verdict) == {"re-blur", "sharpening", "blank"}

    @pytest.mark.parametrize(
        ("width", "measure"), [(1.5, "re-blur"), (0.45, "sharpening")], ids=["wide", "narrow"]
    )
    def test_another_psf_of_the_reconstruction(
        self, good: Model, sample: SIMSample, width: float, measure: str
    ):
        wrong = with_psf(good, scaled(good.psf, width))
        assert wrong is not None
        found = failed(judge(wrong, sample.raw, repeats=0, device="cpu"))
        # Told of a PSF that is much too narrow, the network takes noise for detail.
        assert found - {"blank"} == {measure}

    def test_a_microscope_whose_psf_is_too_wide(self, sample: SIMSample):
        wide = Reconstruction(sample.patterns, psf=scaled(sample.psf, 1.4))
        verdict = judge(trained(sample, 40, wide), sample.raw, repeats=0, device="cpu")
        # So few steps may sharpen too little besides.
        assert failed(verdict) - {"sharpening"} == {"re-blur"}

    def test_frames_that_were_interpolated(self, good: Model, sample: SIMSample, result: Result):
        shifted = (sample.raw + np.roll(sample.raw, 1, 1).astype(float)) / 2
        verdict = judge(good, shifted, result=result, repeats=0, device="cpu")
        assert {"noise level", "residual correlation"} <= failed(verdict)

    def test_light_that_was_invented(self, good: Model, sample: SIMSample, result: Result):
        brighter = Result(result.denoised, result.deconvolved + result.deconvolved.mean() / 10)
        verdict = judge(good, sample.raw, result=brighter, repeats=0, device="cpu")
        assert "flux" in failed(verdict)

    def test_too_little_light(self, good: Model):
        verdict = judge(good, recorded("filaments", 3).raw, repeats=2, device="cpu")
        # Of so little light the resolution may not be measured either.
        assert {"sharpening", "spread"} <= failed(verdict) <= {"sharpening", "spread", "resolution"}

    def test_a_network_that_makes_structure_of_noise(self, good: Model, sample: SIMSample):
        class Unsharp(TwoStageNetwork):
            multiple, receptive_field, bytes_per_pixel, upsampling = 1, 8, 100, 1

            def forward(self, image: Tensor, excess: object = 1.0) -> tuple[Tensor, Tensor]:
                return image, image + 2 * (image - image.mean(dim=(-2, -1), keepdim=True))

        model = replace(good, network=Unsharp(), settings={"network": "published"})
        verdict = judge(model, sample.raw, repeats=2, device="cpu")
        assert {"blank", "noise followed"} <= failed(verdict)
        assert verdict["noise followed"].value == pytest.approx(1)
        assert verdict["PSF sensitivity"].passed is None


class TestAsking:
    def test_without_its_frames_a_reconstruction_is_judged_as_far_as_it_can_be(
        self, good: Model, sample: SIMSample, result: Result
    ):
        image = reconstruct(sample.raw, Reconstruction(sample.patterns), sample.noise)
        verdict = judge(good, image, result=result, device="cpu")
        assert [m.name for m in verdict.measures if m.passed is not None] == ["PSF sensitivity"]
        assert "can only be told from its raw frames" in verdict["re-blur"].sentence

    def test_one_image_of_a_series(
        self, good: Model, sample: SIMSample, result: Result, sound: Verdict
    ):
        series = np.stack([sample.second_exposure, sample.raw])
        results = Result(np.stack([result.denoised] * 2), np.stack([result.deconvolved] * 2))
        chosen = judge(good, series, frame=1, result=results, repeats=0, device="cpu")
        for name in ("noise level", "re-blur", "sharpening", "flux"):
            assert chosen[name] == sound[name]
        with pytest.raises(InputError, match="frame is 2 and the recording has 2 images"):
            judge(good, series, frame=2)

    def test_a_camera_is_completed_by_that_of_the_training(
        self, good: Model, sample: SIMSample, result: Result, sound: Verdict
    ):
        offset_alone = zs.NoiseModel(100.0, None, 0.0)
        flat = np.ones(SHAPE, np.float32)
        maps_of_the_offset = CameraMaps(100 * flat, flat, 0 * flat)
        for camera in (offset_alone, maps_of_the_offset):
            found = judge(good, sample.raw, camera=camera, result=result, repeats=0, device="cpu")
            assert found["noise level"].value == pytest.approx(sound["noise level"].value)

    def test_without_any_gain_what_needs_it_is_not_judged(
        self, good: Model, sample: SIMSample, result: Result
    ):
        unknown = replace(good, camera=zs.NoiseModel(100.0, None, 4.0))
        verdict = judge(unknown, sample.raw, result=result, device="cpu")
        assert [m.name for m in verdict.measures if m.passed is not None] == ["PSF sensitivity"]
        assert "the camera has no gain" in verdict["spread"].sentence

    def test_bad_input_is_refused(self, good: Model, sample: SIMSample):
        with pytest.raises(InputError, match="not trained on raw SIM"):
            judge(replace(good, reconstruction=None), sample.raw, camera=sample.noise)
        with pytest.raises(InputError, match="keeps no camera"):
            judge(replace(good, camera=None), sample.raw)
        with pytest.raises(InputError, match="7 frames"):
            judge(good, sample.raw[:7])
        flat = np.ones((50, 60), np.float32)
        with refused("camera-maps-size"):
            judge(good, sample.raw, camera=CameraMaps(flat, flat, flat))

    def test_raw_frames_are_told_from_reconstructions(self, good: Model, sample: SIMSample):
        pixel = sample.pixel_size
        assert are_raw_frames(good.reconstruction, (9, 96, 96), None)
        assert are_raw_frames(good.reconstruction, (2, 9, 50, 60), pixel)
        assert not are_raw_frames(good.reconstruction, (9, 192, 192), None)
        assert not are_raw_frames(good.reconstruction, (9, 96, 96), pixel / 2)
        assert not are_raw_frames(good.reconstruction, (1, 96, 96), None)
        assert not are_raw_frames(None, (9, 96, 96), None)

    def test_frames_that_the_model_never_saw_are_told(self, good: Model, sample: SIMSample):
        check_trained_on(good, Image(sample.raw, "CYX"))
        with pytest.raises(InputError, match="deconvolve this one first"):
            check_trained_on(good, Image(sample.second_exposure, "CYX", name="other"))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("kind", "photons", "options"),
    [
        ("mesh", 30, {}),
        ("rings", 100, {}),
        ("filaments", 100, {"bleaching": 0.3, "depth": 0.5}),
        ("mesh", 200, {"out_of_focus": 0.3, "depth": 0.5}),
        ("filaments", 60, {"noise": zs.NoiseModel(100.0, 2.2, 6.0)}),
        ("rings", 30, {"noise": zs.NoiseModel(200.0, 0.46, 1.5)}),
    ],
)
def test_no_false_alarm_on_fresh_phantoms(kind: str, photons: float, options: dict[str, object]):
    sample = simulate_sim(kind, shape=(112, 112), photons=photons, seed=21, **options)
    patterns = estimate(
        sample.raw,
        pixel_size=sample.pixel_size,
        na=sample.na,
        wavelength=sample.wavelength,
        offset=sample.noise.offset,
    )
    model = trained(sample, 300, Reconstruction(patterns), batch=2)
    verdict = judge(model, sample.raw, device="cpu")
    assert failed(verdict) == set(), verdict.summary()


@pytest.mark.slow
def test_a_network_that_was_over_fitted(sample: SIMSample):
    # Next to no noise between input and target: the network learns to give the noise back.
    run = zs.train(
        sample.raw,
        reconstruction=Reconstruction(sample.patterns),
        noise=sample.noise,
        preset=replace(
            QUICK, patch=48, learning_rate=6e-3, shot_noise=(0.0, 0.02), read_noise=(0.0, 0.02)
        ),
        steps=400,
        seed=1,
        device="cpu",
        preview_every=0,
    )
    for _ in run:
        pass
    assert failed(judge(run.model, sample.raw, device="cpu")) == {"noise followed", "blank"}
