"""Each measure is made to fail on purpose, and a good run passes them all.

Networks here are trained for seconds on 128 x 128 pixels: enough to be good, or bad, at it. Where
a fault lies in the calibration or in the recording, the good network is judged with that fault.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from torch import Tensor

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.cli.main import main
from napari_zsdeconvnet.inference.predict import Result, TileProgress
from napari_zsdeconvnet.io.image import Image
from napari_zsdeconvnet.io.image_writing import write_image
from napari_zsdeconvnet.model.model import Model
from napari_zsdeconvnet.model.presets import FROM_SCRATCH, PRESETS, VOLUME_PRESETS
from napari_zsdeconvnet.networks.base import TwoStageNetwork
from napari_zsdeconvnet.physics.accelerated_richardson_lucy import Sharpening
from napari_zsdeconvnet.physics.forward import enlarge
from napari_zsdeconvnet.quality import checks as measures
from napari_zsdeconvnet.quality import judged_part, recording_statistics
from napari_zsdeconvnet.quality.checks import Measure
from napari_zsdeconvnet.quality.reference_metrics import Flux, truth_at_resolution
from napari_zsdeconvnet.quality.stability import Blank, scaled, with_psf
from napari_zsdeconvnet.quality.verdict import Verdict, iter_judge, judge
from napari_zsdeconvnet.simulation.sample import Sample, simulate, simulate_volume
from napari_zsdeconvnet.utils.errors import InputError
from napari_zsdeconvnet.utils.json_values import built, entries

QUICK = replace(PRESETS["fast"], patch=64, batch=1)
SCRATCH = {name: value for name, value in asdict(FROM_SCRATCH).items() if name != "steps"}
SCRATCH |= {"patch": 64, "batch": 1}
"""All settings of a run that begins with random weights: the prior alone is not bad enough."""
BORDER = 24  # output pixels


@pytest.fixture(scope="module")
def sample() -> Sample:
    return simulate(shape=(128, 128), photons=50, seed=1)


@pytest.fixture(scope="module")
def trained(sample: Sample) -> Callable[..., Model]:
    """Train a network on the sample; anything may be other than it should."""

    def train(steps: int = 150, widen: float = 1.0, **settings: object) -> Model:
        psf = sample.psf if widen == 1 else scaled(sample.psf, widen)
        run = zs.train(
            sample.raw,
            psf,
            sample.noise,
            voxel_size=sample.voxel_size,
            preset=replace(QUICK, **settings),
            steps=steps,
            seed=1,
            device="cpu",
            preview_every=0,
        )
        for _ in run:
            pass
        return run.model

    return train


@pytest.fixture(scope="module")
def good(trained: Callable[..., Model]) -> Model:
    return trained()


@pytest.fixture(scope="module")
def result(good: Model, sample: Sample) -> Result:
    return good.predict(sample.raw, device="cpu")


@pytest.fixture(scope="module")
def sound(good: Model, sample: Sample, result: Result) -> Verdict:
    return judge(good, sample.raw, result=result, device="cpu")


def failed(verdict: Verdict) -> set[str]:
    return {measure.name for measure in verdict.failed}


class TestAGoodRun:
    def test_passes_every_measure(self, sound: Verdict):
        assert failed(sound) == set()
        assert all(measure.passed for measure in sound.measures)
        assert sound.passed
        assert sound.headline() == "All 11 measures passed."
        assert "Sharpened to" in sound.summary()

    def test_is_judged_as_it_is_against_the_truth(
        self, sound: Verdict, sample: Sample, result: Result
    ):
        # Without knowing the truth, the width of the result's blur comes out right: of all
        # blurs of the truth, one of that width is closest to the result.
        said = sound["sharpening"].value
        assert said is not None
        assert sound.spectrum is not None
        width = sound.spectrum.width_after
        errors = {
            factor: np.std(
                truth_at_resolution(sample.truth, factor * width, 0.0313) - result.deconvolved
            )
            for factor in (0.5, 0.7, 1.0, 1.4, 2.0)
        }
        assert min(errors, key=errors.__getitem__) in (0.7, 1.0, 1.4)

    def test_gives_maps_on_their_grids(self, sound: Verdict):
        assert {name: pixels.shape for name, pixels in sound.maps.items()} == {
            "z_map": (128, 128),
            "spread": (256, 256),
            "mean": (256, 256),
        }
        assert all(np.isfinite(pixels).all() for pixels in sound.maps.values())

    def test_is_kept_as_json(self, sound: Verdict):
        again = Verdict.from_dict(json.loads(json.dumps(sound.to_dict())))
        assert again.measures == sound.measures
        assert again.notes == sound.notes
        assert again.passed

    def test_gives_every_judgement_a_sentence(self, sound: Verdict):
        for measure in sound.measures:
            assert measure.sentence.endswith("."), measure
            assert "nan" not in measure.sentence
            assert "inf" not in measure.sentence


class TestBrokenRuns:
    @pytest.mark.parametrize("steps", [40, pytest.param(300, marks=pytest.mark.slow)])
    def test_a_psf_that_is_too_wide(
        self, trained: Callable[..., Model], sample: Sample, steps: int
    ):
        # However long it trains: a network must not explain a wrong PSF away.
        verdict = judge(trained(steps, widen=1.6), sample.raw, device="cpu", repeats=0)
        # Undoing more blur than there was also makes detail that no optics carry.
        assert failed(verdict) - {"extrapolation"} == {"re-blur"}

    def test_a_psf_that_is_too_narrow(self, trained: Callable[..., Model], sample: Sample):
        verdict = judge(trained(steps=40, widen=0.5), sample.raw, device="cpu", repeats=0)
        assert failed(verdict) == {"sharpening"}
        assert verdict["sharpening"].sentence.startswith("Denoised only")

    @pytest.mark.parametrize("gain", [0.4, 2.5])
    def test_a_wrong_gain(self, good: Model, sample: Sample, result: Result, gain: float):
        wrong = replace(good, noise=replace(good.noise, gain=gain))
        verdict = judge(wrong, sample.raw, result=result, device="cpu", repeats=0)
        assert failed(verdict) == {"noise level"}
        assert ("too high" if gain > 1 else "too low") in verdict["noise level"].sentence

    def test_an_interpolated_recording(self, good: Model, sample: Sample):
        shifted = (sample.raw + np.roll(sample.raw, 1, 0).astype(float)) / 2
        verdict = judge(good, shifted, device="cpu", repeats=0)
        assert {"residual correlation", "noise level"} <= failed(verdict)

    def test_noise_that_is_correlated_but_of_the_right_size(self, good: Model, sample: Sample):
        noise = gaussian_filter(np.random.default_rng(0).normal(size=(128, 128)), 0.5)
        noise *= np.sqrt(good.noise.variance(sample.noise_free + 100)) / noise.std()
        verdict = judge(good, 100 + sample.noise_free + noise, device="cpu", repeats=0)
        assert "residual correlation" in failed(verdict)

    def test_an_under_trained_network(self, trained: Callable[..., Model], sample: Sample):
        verdict = judge(trained(3, **SCRATCH), sample.raw, device="cpu", repeats=0)
        assert {"re-blur", "sharpening"} <= failed(verdict)
        assert "noise level" not in failed(verdict)

    def test_an_over_fitted_network(self, trained: Callable[..., Model], sample: Sample):
        # Next to no noise between input and target: the network learns to give the noise back.
        over = trained(
            150,
            **SCRATCH
            | {"patch": 48, "learning_rate": 6e-3}
            | {"shot_noise": (0.0, 0.02), "read_noise": (0.0, 0.02)},
        )
        verdict = judge(over, sample.raw, device="cpu", repeats=2)
        assert failed(verdict) == {"noise followed"}

    def test_light_that_was_lost(self, good: Model, sample: Sample, result: Result):
        dimmer = Result(result.denoised, 0.9 * result.deconvolved)
        verdict = judge(good, sample.raw, result=dimmer, device="cpu", repeats=0)
        assert "flux" in failed(verdict)

    def test_grain_that_no_optics_carry(self, good: Model, sample: Sample, result: Result):
        checks = (-1.0) ** np.add.outer(np.arange(256), np.arange(256))
        grained = (result.deconvolved * (1 + 0.8 * checks)).astype(np.float32)
        verdict = judge(
            good, sample.raw, result=Result(result.denoised, grained), device="cpu", repeats=0
        )
        # Each raw pixel holds two bright and two dark ones: re-blurring does not see them.
        assert failed(verdict) == {"extrapolation"}

    def test_an_image_of_too_little_light(self, good: Model):
        dim = simulate(shape=(128, 128), photons=2, seed=1)
        verdict = judge(good, dim.raw, device="cpu", repeats=2)
        assert "spread" in failed(verdict)

    def test_a_network_that_makes_structure_of_noise(self, good: Model, sample: Sample):
        class Unsharp(TwoStageNetwork):
            multiple, receptive_field, bytes_per_pixel = 1, 8, 100

            def forward(self, image: Tensor, excess: object = 1.0) -> tuple[Tensor, Tensor]:
                fine = enlarge(image, 2)
                return image, fine + 2 * (fine - fine.mean(dim=(-2, -1), keepdim=True))

        model = replace(good, network=Unsharp(), settings={"network": "published"})
        verdict = judge(model, sample.raw, device="cpu", repeats=2)
        assert {"blank", "noise followed"} <= failed(verdict)
        assert verdict["PSF sensitivity"].passed is None


class TestMeasures:
    """Limits of the measures that no broken run above reaches."""

    def test_results_that_agree_less_than_their_images(self):
        assert measures.resolution(250, 400, 200, "nm", independent=True).passed is False
        assert measures.resolution(250, 210, 200, "nm", independent=True).passed

    def test_no_period_finer_than_the_optics_is_claimed(self):
        found = measures.resolution(250, 62, 200, "nm", independent=False)
        assert found.value == 200
        assert "share its errors" in found.sentence

    def test_a_result_that_hangs_on_the_psf(self):
        assert measures.sensitivity(0.5).passed is False

    def test_of_noise_that_is_gone_none_is_still_there(self):
        # Chance takes the number below zero, where no words can follow it.
        assert measures.noise_followed(-0.012, True).sentence.startswith("0 % of the noise")

    def test_flux_of_darkness_is_not_judged(self):
        assert measures.flux(Flux(3.0, 0.5), 2).passed is None

    def test_numbers_that_are_no_numbers_fail(self):
        assert measures.spread(float("nan")).passed is False

    def test_grain_in_the_background_counts_beside_what_is_there(self):
        # 4 counts of noise: grain of 1.9 times that is nothing beside structure of 150 counts,
        # and may be taken for structure where there are 10.
        grain = Blank(level=6.0, noise=4.0, structure=7.6)
        assert measures.blank(grain, 2.4, 150.0).passed
        assert measures.blank(grain, 2.4, 10.0).passed is False
        assert "7.6 counts, 5.1 % of" in measures.blank(grain, 2.4, 150.0).sentence

    def test_a_measure_is_kept_as_json(self):
        measure = Measure("spread", 0.1, "", (None, 0.3), True, "Fine.")
        assert built(Measure, json.loads(json.dumps(entries(measure)))) == measure


class TestSpread:
    @pytest.mark.parametrize(("kind", "seed"), [("filaments", 11), ("cell", 12)])
    def test_is_large_where_the_error_is(self, good: Model, kind: str, seed: int):
        fresh = simulate(kind, shape=(128, 128), photons=50, seed=seed)
        result = good.predict(fresh.raw, device="cpu")
        spread = judge(good, fresh.raw, result=result, device="cpu").maps["spread"]
        assert error_ratio(spread, result.deconvolved, fresh) >= 3


def error_ratio(spread: np.ndarray, deconvolved: np.ndarray, sample: Sample) -> float:
    """Mean error where the spread is in its top decile, over that of its lower half."""
    inner = (slice(BORDER, -BORDER),) * 2
    pixel = sample.truth_voxel_size
    assert sample.noise.gain is not None
    truth = sample.noise.gain * truth_at_resolution(sample.truth, 0.1, pixel)
    error = np.abs(deconvolved - truth)[inner]
    spread = spread[inner]
    top = error[spread >= np.quantile(spread, 0.9)].mean()
    return float(top / error[spread <= np.median(spread)].mean())


class TestAsking:
    def test_a_second_exposure_serves_the_resolution(
        self, good: Model, sample: Sample, result: Result
    ):
        verdict = judge(
            good, sample.raw, result=result, second=sample.second_exposure, device="cpu", repeats=0
        )
        assert verdict["resolution"].passed
        assert "two exposures" in verdict["resolution"].sentence
        assert verdict["spread"].passed is None

    def test_one_frame_of_a_series(self, good: Model, sample: Sample, result: Result):
        series = np.stack([sample.second_exposure, sample.raw])
        results = Result(np.stack([result.denoised] * 2), np.stack([result.deconvolved] * 2))
        verdict = judge(good, series, frame=1, result=results, device="cpu", repeats=0)
        assert verdict.passed
        with pytest.raises(InputError, match="frame is 2"):
            judge(good, series, frame=2, device="cpu")

    def test_without_a_gain_what_needs_it_is_not_judged(
        self, good: Model, sample: Sample, result: Result
    ):
        model = replace(good, noise=replace(good.noise, gain=None))
        verdict = judge(model, sample.raw, result=result, device="cpu")
        assert [m.name for m in verdict.measures if m.passed is not None] == ["PSF sensitivity"]

    def test_progress_is_told_and_may_end_it(self, good: Model, sample: Sample, result: Result):
        seen: list[TileProgress] = []

        def watch(state: TileProgress) -> None:
            seen.append(state)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            judge(good, sample.raw, result=result, device="cpu", progress=watch)
        assert seen[0].message
        steps = iter_judge(good, sample.raw, result=result, device="cpu")
        next(steps)
        steps.close()

    def test_bad_input_is_refused(self, good: Model, sample: Sample, result: Result):
        with pytest.raises(InputError, match="repeats is 3"):
            judge(good, sample.raw, repeats=3)
        with pytest.raises(InputError, match="second exposure has the shape"):
            judge(good, sample.raw, second=sample.raw[:64])
        with pytest.raises(InputError, match="The result has the shape"):
            judge(good, sample.raw[:64], result=result)
        coarse = Image(sample.raw, "YX", voxel_size=(0.1, 0.1), name="coarse.tif")
        with pytest.raises(InputError, match=r"coarse.tif has pixels of 100 x 100 nm"):
            judge(good, coarse)

    def test_on_the_command_line(
        self, good: Model, sample: Sample, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ):
        good.save(tmp_path / "m.safetensors")
        write_image(tmp_path / "a.tif", sample.raw, axes="YX", voxel_size=sample.voxel_size)
        command = ["verdict", str(tmp_path / "a.tif"), "--model", str(tmp_path / "m.safetensors")]
        options = ["--maps", str(tmp_path / "maps"), "--repeats", "2", "--device", "cpu", "--json"]
        assert main([*command, *options]) == 0
        said = json.loads(capsys.readouterr().out)
        assert said["passed"] is True
        assert len(said["measures"]) == 11
        assert zs.read_image(said["maps"]["spread"]).data.shape == (256, 256)


@pytest.mark.slow
def test_a_volume_is_judged_alike():
    sample = simulate_volume(shape=(16, 64, 64), modality="confocal", seed=2)
    run = zs.train(
        sample.raw,
        sample.psf,
        sample.noise,
        axes="ZYX",
        voxel_size=sample.voxel_size,
        preset=VOLUME_PRESETS["fast"],
        steps=120,
        seed=1,
        device="cpu",
        preview_every=0,
    )
    for _ in run:
        pass
    model = run.model
    verdict = judge(model, sample.raw, axes="ZYX", device="cpu", repeats=2)
    assert failed(verdict) == set(), verdict.summary()
    assert verdict.maps["z_map"].shape == (16, 64, 64)

    def broken(model: Model | None) -> set[str]:
        assert model is not None
        return failed(judge(model, sample.raw, axes="ZYX", device="cpu", repeats=0))

    assert broken(replace(model, noise=replace(sample.noise, gain=4.0))) == {"noise level"}
    assert broken(with_psf(model, scaled(sample.psf, 1.5))) == {"re-blur"}
    assert broken(with_psf(model, scaled(sample.psf, 0.5))) == {"sharpening"}


def test_other_noise_is_tried_on_the_brightest_part_of_a_volume(monkeypatch):
    """The whole of it would take minutes."""
    monkeypatch.setitem(judged_part.REGION, 3, (8, 40, 40))
    monkeypatch.setitem(recording_statistics.BLANK_SHAPES, 3, (8, 40, 40))
    monkeypatch.setattr(Sharpening, "iterations", 2)
    sample = simulate_volume(shape=(12, 64, 64), modality="confocal", seed=2)
    raw = sample.raw.astype(float)
    raw[2:10, 20:60, 4:44] += 50
    run = zs.train(
        raw,
        sample.psf,
        sample.noise,
        axes="ZYX",
        voxel_size=sample.voxel_size,
        seed=1,
        device="cpu",
        preview_every=0,
    )
    found = np.float32(raw - 100)
    result = Result(found, found)
    verdict = judge(run.model, raw, axes="ZYX", result=result, device="cpu", repeats=2)
    for name in ("spread", "mean"):
        measured = np.isfinite(verdict.maps[name])
        assert measured[2:10, 20:60, 4:44].all()
        assert measured.sum() == 8 * 40 * 40
    assert np.isfinite(verdict.maps["z_map"]).all()
    assert verdict["spread"].passed is not None
    assert "brightest part of the stack, 8 x 40 x 40 voxels" in verdict.notes[-1]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(20))
def test_no_false_alarm_on_fresh_phantoms(seed: int):
    kind = ("filaments", "vesicles", "rings", "mesh", "cell")[seed % 5]
    noise = zs.NoiseModel(offset=100, gain=(1.0, 2.0, 0.5, 1.0)[seed % 4], read_variance=4)
    sample = simulate(
        kind,
        shape=(128, 128),
        photons=(50, 20, 200, 100)[seed // 5],
        na=(1.3, 1.3, 1.1, 1.45)[seed % 4],
        noise=noise,
        seed=300 + seed,
    )
    run = zs.train(
        sample.raw,
        sample.psf,
        noise,
        voxel_size=sample.voxel_size,
        preset=replace(QUICK, batch=2),
        # A few go on, each of another kind and brightness: learning more must not raise one.
        steps=50 if seed % 6 else 150,
        seed=seed,
        device="cpu",
        preview_every=0,
    )
    for _ in run:
        pass
    result = run.model.predict(sample.raw, device="cpu")
    verdict = judge(run.model, sample.raw, result=result, device="cpu")
    assert failed(verdict) == set(), verdict.summary()
    assert error_ratio(verdict.maps["spread"], result.deconvolved, sample) >= 3


def test_of_an_image_that_memory_does_not_hold_the_brightest_part_is_judged(
    good: Model, sample: Sample, result: Result, monkeypatch: pytest.MonkeyPatch
):
    def free(room: int) -> None:
        monkeypatch.setattr(judged_part, "available_memory", lambda: room)
        monkeypatch.setattr("napari_zsdeconvnet.utils.memory.available_memory", lambda: room)

    monkeypatch.setitem(judged_part.REGION, 2, (64, 64))
    free(int(judged_part.memory_to_judge(good, (100, 100)) / judged_part.JUDGING_SHARE))
    part = judge(good, sample.raw, result=result, repeats=0, device="cpu")
    assert part.notes[-1] == (
        "Judged is the brightest part, 98 x 98 pixels, as memory holds no more."
    )
    assert part.maps["z_map"].shape == sample.raw.shape
    assert np.isfinite(part.maps["z_map"]).sum() == 98 * 98
    assert part["noise level"].passed

    free(2**20)
    with pytest.raises(InputError, match=r"Judging the result needs .* and 1 MiB are free"):
        judge(good, sample.raw, result=result, repeats=0, device="cpu")
