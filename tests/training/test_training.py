from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.io.image import Image, PixelRule
from napari_zsdeconvnet.model.model import Model
from napari_zsdeconvnet.model.presets import FROM_SCRATCH, PRESETS
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.simulation.sample import Sample, simulate
from napari_zsdeconvnet.training import begin as begin_module
from napari_zsdeconvnet.training import data, objectives
from napari_zsdeconvnet.training import progress as progress_module
from napari_zsdeconvnet.training import run as run_module
from napari_zsdeconvnet.training.objectives import RecorruptedObjective
from napari_zsdeconvnet.training.pairs import Pair, RecorruptedPatches
from napari_zsdeconvnet.training.trainer import NonFiniteLossError, Progress, TrainingRun
from napari_zsdeconvnet.utils.errors import InputError

# A few steps are worth nothing to the held-out pixels, and then the beginning would be kept.
QUICK = replace(PRESETS["fast"], patch=48, batch=2, guarded=False)
AVERAGED = replace(QUICK, weight_average=0.9)
SHARED = replace(AVERAGED, pretrained_share=0.4)
RESTING = replace(QUICK, denoising_passes=2, coarse_passes=1)
NOISE = NoiseModel(offset=100, gain=1.0, read_variance=4.0)
PIXEL = (0.0626, 0.0626)
TERMS = ("total", "denoising", "deconvolution", "hessian")


@pytest.fixture(scope="module")
def sample() -> Sample:
    return simulate(shape=(128, 128), photons=50, seed=1)


@pytest.fixture(scope="module")
def psf(sample: Sample) -> PSF:
    """Narrow, as steps here need only be quick."""
    return sample.psf.cropped(31)


@pytest.fixture(scope="module")
def raw(sample: Sample) -> np.ndarray:
    return sample.raw[:64, :72]


@pytest.fixture
def start(raw: np.ndarray, psf: PSF):
    """Begin a short run on the CPU; any argument may be replaced."""

    def begin(images: object = raw, psf_: object = psf, **options: object) -> TrainingRun:
        chosen: dict = {"preset": QUICK, "steps": 6, "seed": 1, "device": "cpu", "noise": NOISE}
        chosen |= {"preview_every": 0, **options}
        return zs.train(images, psf_, chosen.pop("noise"), **chosen)

    return begin


def weights(model: Model) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.network.parameters()])


def totals(run: TrainingRun) -> list[float]:
    return [progress.losses["total"] for progress in run]


class TestProgress:
    def test_says_where_a_run_stands(self, start):
        run = start(steps=5)
        states = list(run)
        assert [state.step for state in states] == [1, 2, 3, 4, 5]
        assert {state.steps for state in states} == {5}
        assert [state.finished for state in states] == [False] * 4 + [True]
        for state in states:
            assert tuple(state.losses) == TERMS
            assert all(isinstance(value, float) for value in state.losses.values())
            assert state.learning_rate == QUICK.learning_rate_at(state.step, 5)
            assert state.device.startswith("CPU, ")
            assert state.message == ""
            assert state.preview is None
        elapsed = [state.seconds_elapsed for state in states]
        assert elapsed == sorted(elapsed)
        assert elapsed[0] > 0
        assert states[0].seconds_left == pytest.approx(4 * elapsed[0])
        assert states[-1].seconds_left == 0

    def test_the_total_is_equation_4_of_its_terms(self, start):
        preset = replace(QUICK, denoising_weight=0.3, hessian_weight=0.1)
        for state in start(preset=preset, steps=2):
            total, denoising, deconvolution, hessian = (state.losses[term] for term in TERMS)
            expected = 0.3 * denoising + 0.7 * (deconvolution + 0.1 * hessian)
            assert total == pytest.approx(expected, rel=1e-5)

    def test_previews_come_at_their_interval_and_at_the_end(self, start):
        states = list(start(steps=5, preview_every=2))
        assert [state.step for state in states if state.preview] == [1, 2, 4, 5]

    @pytest.mark.parametrize(("share", "due"), [(1e9, [1, 2, 4, 6, 7]), (0.0, [1, 7])])
    def test_previews_come_some_25_times_by_default_where_they_are_quick(
        self, start, monkeypatch: pytest.MonkeyPatch, share: float, due: list[int]
    ):
        monkeypatch.setattr(run_module, "PREVIEWS", 3)
        monkeypatch.setattr(run_module, "PREVIEW_SHARE", share)
        states = list(start(steps=7, preview_every=None))
        assert [state.step for state in states if state.preview] == due

    def test_a_preview_is_the_brightest_region_as_the_model_sees_it(
        self, start, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(data, "PREVIEW_WIDTH", 48)
        image = np.random.default_rng(0).normal(100, 2, (120, 140)).astype(np.float32)
        image[70:100, 80:120] += 300
        run = start(image, steps=1, preview_every=1)
        preview = next(run).preview
        top, left = preview.origin
        assert (preview.image, preview.frame) == (0, 0)
        assert preview.raw.shape == preview.denoised.shape == (48, 48)
        assert preview.deconvolved.shape == (96, 96)
        region = image[top : top + 48, left : left + 48]
        np.testing.assert_allclose(preview.raw, region - 100, atol=1e-4)
        assert region.sum() > 0.8 * (image[70:100, 80:120]).sum()
        result = run.model.predict(region)
        np.testing.assert_array_equal(preview.deconvolved, result.deconvolved)

    @pytest.mark.parametrize("shape", [(48, 48), (50, 300), (64, 49)])
    def test_a_small_image_is_previewed_whole(self, start, shape):
        image = np.random.default_rng(0).poisson(20, shape) + 100
        preview = next(start(image, steps=1, preview_every=1)).preview
        assert preview.raw.shape == (shape[0], min(shape[1], data.PREVIEW_WIDTH))

    def test_previews_do_not_change_the_training(self, start):
        assert totals(start(preview_every=1)) == totals(start(preview_every=0))


class TestRepeatable:
    @pytest.mark.parametrize(
        "preset", [QUICK, AVERAGED, SHARED, RESTING], ids=["last", "averaged", "shared", "resting"]
    )
    def test_to_the_bit_with_the_same_seed(self, start, preset):
        one, other = start(preset=preset, steps=4), start(preset=preset, steps=4)
        assert totals(one) == totals(other)
        assert torch.equal(weights(one.model), weights(other.model))

    def test_another_seed_gives_another_model(self, start):
        one, other = start(seed=1, steps=2), start(seed=2, steps=2)
        assert totals(one) != totals(other)
        assert not torch.equal(weights(one.model), weights(other.model))

    def test_from_scratch_another_seed_begins_with_other_weights(self, start):
        one, other = (start(start="scratch", seed=seed) for seed in (1, 2))
        assert not torch.equal(weights(one.model), weights(other.model))

    def test_without_a_seed_one_is_drawn_and_kept(self, start):
        drawn = start(seed=None, steps=2)
        assert drawn.model.seed != start(seed=None).model.seed
        assert totals(drawn) == totals(start(seed=drawn.model.seed, steps=2))

    def test_the_callers_random_numbers_and_threads_are_left_alone(self, start):
        torch.manual_seed(5)
        torch_state, threads = torch.random.get_rng_state(), torch.get_num_threads()
        np_state = np.random.get_state()[1].copy()  # noqa: NPY002
        grad = torch.is_grad_enabled()
        list(start(steps=2, preview_every=1))
        assert torch.equal(torch.random.get_rng_state(), torch_state)
        assert torch.get_num_threads() == threads
        assert torch.is_grad_enabled() == grad
        np.testing.assert_array_equal(np.random.get_state()[1], np_state)  # noqa: NPY002

    def test_steps_and_previews_take_the_threads_that_are_fastest(self, start, monkeypatch):
        usual = torch.get_num_threads()
        seen: list[int] = []
        monkeypatch.setattr(run_module, "thread_count", lambda device: 3)
        infer = progress_module.infer
        monkeypatch.setattr(
            progress_module,
            "infer",
            lambda *given, **named: seen.append(torch.get_num_threads()) or infer(*given, **named),
        )
        states = list(start(steps=2, preview_every=1))
        assert {state.device for state in states} == {"CPU, 3 threads"}
        assert seen == [3, 3]
        assert torch.get_num_threads() == usual

    def test_the_callers_image_is_left_alone(self, start, raw: np.ndarray):
        image = raw.astype(np.float32)
        before = image.copy()
        image.setflags(write=False)
        list(start(image, steps=1, preview_every=1))
        np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    "preset", [QUICK, AVERAGED, SHARED, RESTING], ids=["last", "averaged", "shared", "resting"]
)
class TestResuming:
    def test_a_stopped_run_goes_on_as_if_nothing_had_been(self, start, preset):
        whole, halted = start(preset=preset), start(preset=preset)
        losses = totals(whole)
        found = []
        for progress in halted:
            found.append(progress.losses["total"])
            if progress.step == 3:
                halted.stop()
        assert len(found) == 3
        assert not progress.finished
        assert totals(halted) == []
        halted.resume()
        assert found + totals(halted) == losses
        assert torch.equal(weights(whole.model), weights(halted.model))
        halted.resume()
        assert totals(halted) == [], "a run that has done its steps is over"

    def test_a_saved_run_goes_on_to_the_same_bits(self, start, preset, tmp_path: Path):
        whole = start(preset=preset)
        losses = totals(whole)
        first = start(preset=preset)
        found = [next(first).losses["total"] for _ in range(2)]
        first.save(tmp_path / "m")
        second = start(resume=tmp_path / "m", steps=None)
        # Saving at once must keep the random state, too.
        second.save(tmp_path / "m")
        third = start(resume=tmp_path / "m", steps=None)
        states = list(third)
        assert [state.step for state in states] == [3, 4, 5, 6]
        assert [state.learning_rate for state in states] == [
            preset.learning_rate_at(step, 6) for step in (3, 4, 5, 6)
        ]
        assert found + [state.losses["total"] for state in states] == losses
        assert torch.equal(weights(third.model), weights(whole.model))
        assert third.model.history == whole.model.history
        assert third.model.seed == 1
        assert states[0].seconds_elapsed > next(iter(start(steps=1))).seconds_elapsed / 100

    def test_a_saved_run_is_a_model_too(self, start, preset, tmp_path: Path):
        run = start(preset=preset, steps=3)
        next(run)
        run.save(tmp_path / "m")
        loaded = Model.load(tmp_path / "m")
        assert torch.equal(weights(loaded), weights(run.model))
        assert loaded.steps_trained == 1

    def test_a_run_can_be_saved_before_its_first_step(self, start, preset, tmp_path: Path):
        start(preset=preset).save(tmp_path / "m")
        assert totals(start(resume=tmp_path / "m", steps=None)) == totals(start(preset=preset))


@pytest.fixture(scope="module")
def saved(raw: np.ndarray, psf: PSF, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "run.safetensors"
    run = zs.train(raw, psf, NOISE, preset=QUICK, steps=2, seed=1, device="cpu")
    next(run)
    next(run)
    run.save(path)
    return path


class TestResumingFromFiles:
    def test_needs_only_the_images(self, raw: np.ndarray, saved: Path):
        run = zs.train(raw, resume=saved, steps=3, device="cpu")
        assert [progress.step for progress in run] == [3]
        assert run.model.noise == NOISE
        assert run.model.steps_trained == 3

    def test_other_images_are_refused(self, raw: np.ndarray, saved: Path):
        with pytest.raises(InputError, match="trained on other images"):
            zs.train(raw[::-1], resume=saved, steps=3, device="cpu")

    def test_a_finished_run_asks_for_more_steps(self, raw: np.ndarray, saved: Path):
        for steps in (None, 1, 2):
            with pytest.raises(InputError, match=r"has done 2 of \d steps already: give more"):
                zs.train(raw, resume=saved, steps=steps, device="cpu")

    def test_an_unfinished_run_is_not_ended_by_no_steps(self, start, raw, tmp_path: Path):
        run = start(steps=3)
        next(run)
        run.save(tmp_path / "m")
        with pytest.raises(InputError, match="has done 1 of 0 steps already"):
            zs.train(raw, resume=tmp_path / "m", steps=0, device="cpu")

    def test_a_model_without_its_training_is_refused(self, raw, saved: Path, tmp_path: Path):
        Model.load(saved).save(tmp_path / "plain")
        with pytest.raises(InputError, match="finished model without its training"):
            zs.train(raw, resume=tmp_path / "plain", steps=9, device="cpu")

    def test_a_file_that_is_none_is_refused(self, raw: np.ndarray, tmp_path: Path):
        with pytest.raises(InputError, match="does not exist"):
            zs.train(raw, resume=tmp_path / "none", device="cpu")

    def test_another_kind_of_device_draws_the_same_places(self, start, saved: Path, monkeypatch):
        # As if saved on a GPU, whose noise generator's state means nothing here.
        loaded = begin_module.load_with_training(saved)
        loaded[1]["random.noise"] = torch.zeros(16, dtype=torch.uint8)
        loaded[2]["device"] = "cuda"
        monkeypatch.setattr(begin_module, "load_with_training", lambda path: loaded)
        run = start(resume=saved, steps=3)
        state = run._objective.random_state()
        assert torch.equal(state["choices"], loaded[1]["random.choices"])
        assert len(list(run)) == 1


class TestModelOfARun:
    def test_can_be_taken_before_the_first_step(self, start, raw: np.ndarray):
        model = start().model
        assert model.history == ()
        assert model.steps_trained == 0
        assert np.isfinite(model.predict(raw).deconvolved).all()

    def test_is_a_copy_that_further_steps_leave_alone(self, start, raw: np.ndarray):
        run = start()
        next(run)
        model = run.model
        before = weights(model).clone()
        list(run)
        assert torch.equal(weights(model), before)
        assert not torch.equal(weights(run.model), before)
        assert model.steps_trained == 1
        assert not model.network.training

    def test_says_what_it_was_trained_with(self, start, raw: np.ndarray):
        model = start(Image(raw, "YX", PIXEL, "cells.tif"), steps=1).model
        assert model.axes == "YX"
        assert model.voxel_size == PIXEL
        assert model.preset == "fast"
        assert model.settings["patch"] == 48
        assert model.noise == NOISE
        assert model.psf.voxel_size == pytest.approx((0.0313, 0.0313))
        assert model.upsampling == 2
        assert len(model.data_hash) == 64
        assert {"python", "numpy", "torch"} <= set(model.versions)

    def test_says_its_last_step_where_the_history_leaves_steps_out(
        self, start, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(run_module, "HISTORY_LENGTH", 2)
        run = start(steps=6)
        for _ in range(4):
            next(run)
        assert [entry["step"] for entry in run.model.history] == [3, 4]
        list(run)
        assert [entry["step"] for entry in run.model.history] == [3, 6]

    def test_can_be_taken_and_saved_by_another_thread_at_any_time(
        self, start, raw: np.ndarray, tmp_path: Path
    ):
        run = start(steps=12)
        failures: list[BaseException] = []

        def work() -> None:
            try:
                list(run)
            except BaseException as error:
                failures.append(error)

        worker = threading.Thread(target=work)
        worker.start()
        taken = []
        try:
            while worker.is_alive():
                model = run.model
                taken.append((model.steps_trained, weights(model)))
                assert np.isfinite(model.predict(raw).denoised).all()
                run.save(tmp_path / "m")
        finally:
            run.stop()
            worker.join()
        assert not failures
        assert len(taken) > 1
        # Each copy is of one moment: the weights that a run of so many steps has.
        again = start(steps=12)
        expected = {0: weights(again.model)}
        for progress in again:
            expected[progress.step] = weights(again.model)
        for step, vector in taken:
            assert torch.equal(vector, expected[step]), step


class TestEnding:
    """A run whose held-out pairs gain nothing ends by itself, and may go on."""

    NEVER_ENOUGH = replace(QUICK, patience=20, least_gain=0.9, steps=70)

    def test_says_why(self, start):
        run = start(preset=self.NEVER_ENOUGH, steps=None)
        last = list(run)[-1]
        assert (last.step, last.steps, last.finished) == (40, 70, True)
        assert last.message == run.ending
        assert "after 40 steps: no further improvement in 20 steps" in run.ending
        assert run.model.steps_trained == 40

    def test_resumed_it_does_all_its_steps(self, start, tmp_path: Path):
        run = start(preset=self.NEVER_ENOUGH, steps=None)
        list(run)
        run.save(tmp_path / "ended.safetensors")
        run.resume()
        assert [state.step for state in run][-1] == 70
        again = start(resume=tmp_path / "ended.safetensors", preset="fast", steps=None)
        assert [state.step for state in again][-1] == 70
        torch.testing.assert_close(weights(again.model), weights(run.model), rtol=0, atol=0)

    def test_a_number_that_is_asked_for_is_done_in_full(self, start):
        assert list(start(preset=self.NEVER_ENOUGH, steps=60))[-1].step == 60

    def test_while_there_is_something_to_gain_it_goes_on(self, start):
        preset = replace(QUICK, start="scratch", network="unrolled", learning_rate=1e-3)
        run = start(preset=replace(preset, patience=20, steps=60, least_gain=1e-3), steps=None)
        assert list(run)[-1].step == 60

    def test_looking_at_the_held_out_pairs_changes_nothing(self, start):
        looked = start(preset=replace(QUICK, patience=1000, steps=40), steps=None)
        plain = start(preset=replace(QUICK, patience=0, steps=40), steps=40)
        for run in (looked, plain):
            list(run)
        torch.testing.assert_close(weights(looked.model), weights(plain.model), rtol=0, atol=0)


class TestFailures:
    def poisoned(self, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
        """Let pairs turn NaN after some steps."""
        draw, drawn = RecorruptedPatches.draw, []

        def poison(source: RecorruptedPatches) -> Pair:
            pair = draw(source)
            drawn.append(pair)
            return Pair(pair.input * torch.nan, pair.target) if len(drawn) > after else pair

        monkeypatch.setattr(RecorruptedPatches, "draw", poison)

    def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_weights(
        self, start, raw: np.ndarray, monkeypatch: pytest.MonkeyPatch
    ):
        good = start(steps=6)
        for _ in range(3):
            next(good)
        self.poisoned(monkeypatch, after=3)
        run = start(steps=6)
        with pytest.raises(NonFiniteLossError, match=r"not finite at step 4 .*nan.*check the"):
            list(run)
        assert run.step == 3
        assert torch.equal(weights(run.model), weights(good.model))
        assert run.model.steps_trained == 3
        assert list(run) == [], "the run has ended"
        assert np.isfinite(run.model.predict(raw).deconvolved).all()
        monkeypatch.undo()
        run.resume()
        assert len(list(run)) == 3, "with the cause gone it can go on"

    def test_a_gradient_that_is_not_finite_stops_too(self, start, monkeypatch):
        run = start()
        next(run)
        before = weights(run.model)
        monkeypatch.setattr(
            torch.nn.utils, "clip_grad_norm_", lambda *arguments: torch.tensor(float("inf"))
        )
        with pytest.raises(NonFiniteLossError, match="gradient inf"):
            next(run)
        assert torch.equal(weights(run.model), before)

    def test_where_half_width_arithmetic_fails_it_goes_on_in_full(self, start, monkeypatch):
        monkeypatch.setattr(objectives, "reduced_precision", lambda device: torch.bfloat16)
        losses = RecorruptedObjective.losses

        def failing(objective: RecorruptedObjective, step: int) -> dict[str, torch.Tensor]:
            terms = losses(objective, step)
            return (
                terms
                if objective.setting.precision is None
                else {name: term * float("nan") for name, term in terms.items()}
            )

        monkeypatch.setattr(RecorruptedObjective, "losses", failing)
        run = start(steps=3)
        states = list(run)
        assert [state.message for state in states] == [
            "Half-width arithmetic gave no number: going on in full width.",
            "",
            "",
        ]
        assert run.step == 3

    def shortage(self, monkeypatch: pytest.MonkeyPatch, largest: int) -> None:
        """Let memory run out for batches above a size."""
        draw = RecorruptedPatches.draw

        def fail(source: RecorruptedPatches) -> Pair:
            if source.batch > largest:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory")
            return draw(source)

        monkeypatch.setattr(RecorruptedPatches, "draw", fail)

    def test_short_memory_halves_the_batch_and_says_so(self, start, monkeypatch, tmp_path: Path):
        self.shortage(monkeypatch, largest=1)
        run = start(preset=replace(QUICK, batch=4), steps=2)
        states = list(run)
        assert [state.message for state in states] == [
            "Memory ran out: going on with a batch of 1.",
            "",
        ]
        assert states[-1].finished
        run.save(tmp_path / "m")
        resumed = start(resume=tmp_path / "m", steps=3)
        assert [state.message for state in resumed] == [""], "the smaller batch is remembered"
        assert all(stretch.reduced for stretch in resumed.model.stretches)

    def test_memory_too_short_for_a_batch_of_one_is_said(self, start, monkeypatch):
        self.shortage(monkeypatch, largest=0)
        with pytest.raises(InputError, match=r"Memory ran out on CPU.*batch of 1.*close other"):
            next(start())

    def test_other_failures_are_passed_on(self, start, monkeypatch):
        def fail(source: RecorruptedPatches) -> Pair:
            raise RuntimeError("a defect")

        monkeypatch.setattr(RecorruptedPatches, "draw", fail)
        with pytest.raises(RuntimeError, match="a defect"):
            next(start())


IMAGE = np.random.default_rng(0).poisson(20, (64, 72)).astype(np.uint16) + np.uint16(100)


def saturated() -> np.ndarray:
    image = IMAGE.copy()
    image[:10] = 4095
    return image


def test_a_psf_wider_than_the_image_is_cropped_and_that_is_said(start):
    haze = 1 / (1 + (np.hypot(*np.mgrid[-80:81, -80:81]) / 3) ** 2)  # its tails do not end
    run = start(psf_=haze)
    assert max(run.model.psf.array.shape) < 161
    assert any("of its light, was left out" in warning for warning in run.warnings)


class TestBadInput:
    @pytest.mark.parametrize(
        ("images", "options", "words"),
        [
            ([], {}, "images is empty: give at least one"),
            (IMAGE[0], {}, "image has 1 axes; an image has at least two"),
            (np.zeros((2, 2, 64, 64)), {}, "2 planes, and a volume needs at least 8"),
            (IMAGE, {"axes": "TYX"}, "2 axes, but TYX names 3"),
            (IMAGE[None], {"axes": "QYX"}, "the axes QYX"),
            (np.stack([IMAGE] * 4), {"axes": "ZYX"}, "4 planes.*as single images"),
            (np.stack([IMAGE] * 2), {"axes": "CYX"}, "2 channels.*choose one channel"),
            (np.stack([IMAGE] * 3, axis=-1).astype(np.uint8), {}, "RGB picture.*convert"),
            (IMAGE[:47], {}, "47 x 72 pixels, fewer than the smallest patch of 48"),
            ([IMAGE, IMAGE[:40, :40]], {}, "image 2 is 40 x 40 pixels"),
            (np.where(IMAGE > 125, np.nan, IMAGE), {}, "NaN or infinite pixel.*first at"),
            (np.where(IMAGE > 125, np.inf, IMAGE), {}, "NaN or infinite pixel"),
            (np.full((64, 64), 100), {}, "constant, every pixel being 100"),
            (saturated(), {}, "saturated.*4095.*record it again"),
            (IMAGE.astype(complex), {}, "complex.*camera counts"),
            (IMAGE > 120, {}, "bool"),
            ("cells.tif", {}, "camera counts"),
            (None, {}, "camera counts"),
            (Image(IMAGE[None], "ZYX"), {"psf": None}, "psf is missing"),
            (IMAGE, {"noise": None}, "noise is missing"),
            (IMAGE, {"psf": np.ones((3, 5, 5)) + np.eye(5)}, "The PSF has 3 axes.*plane"),
            (IMAGE, {"psf": np.zeros((5, 5))}, "constant"),
            (IMAGE, {"psf": np.eye(5) - 0.5 * np.eye(5)[::-1]}, "PSF has"),
            (IMAGE, {"psf": np.full((5, 5), np.nan)}, "NaN"),
            (IMAGE, {"preset": "slow"}, "Preset 'slow' does not exist: choose one of fast"),
            (IMAGE, {"device": "cuda:77"}, "'cuda:77' does not exist"),
            (
                IMAGE,
                {"steps": 0, "start": "scratch"},
                "steps is 0 and there are no pretrained weights",
            ),
            (IMAGE, {"steps": -1}, "steps is -1: give a whole number of at least 0"),
            (IMAGE, {"steps": -3}, "steps is -3"),
            (IMAGE, {"steps": 2.5}, "steps is 2.5: give a whole number"),
            (IMAGE, {"seed": -1}, "seed is -1"),
            (IMAGE, {"seed": 2**64}, "seed is 18446744073709551616"),
            (IMAGE, {"seed": 0.5}, "seed is 0.5: give a whole number"),
            (IMAGE, {"voxel_size": (0.06, 0)}, r"voxel size is \(0.06, 0\): give voxel_size"),
            (IMAGE, {"voxel_size": "62 nm"}, "voxel size is 62 nm"),
            (
                [Image(IMAGE, "YX", PIXEL, "a.tif"), Image(IMAGE, "YX", (0.1, 0.1), "b.tif")],
                {},
                "b.tif has pixels of 100 x 100 nm and a.tif pixels of 62.6 x 62.6 nm",
            ),
            (
                [Image(IMAGE, "YX", PIXEL, "a.tif"), Image(IMAGE, "YX", None, "b.tif")],
                {},
                "b.tif has no pixel size",
            ),
        ],
    )
    def test_is_refused_at_once_in_one_sentence(self, psf: PSF, images, options: dict, words):
        chosen: dict = {"psf": psf, "noise": NOISE, "preset": QUICK, "device": "cpu", **options}
        with pytest.raises(InputError, match=words) as caught:
            zs.train(images, chosen.pop("psf"), chosen.pop("noise"), **chosen)
        message = str(caught.value)
        assert message.endswith(".")
        assert "\n" not in message

    def test_an_8_bit_image_is_trained_with_a_warning(self, start):
        run = start((IMAGE - 60).astype(np.uint8), noise=NoiseModel(40, 1.0, 4.0), steps=1)
        assert any("8-bit" in warning for warning in run.warnings)
        assert run.warnings == run.model.warnings

    def test_an_even_psf_is_centred_with_a_warning(self, start):
        spot = np.exp(-(np.hypot(*(np.mgrid[:12, :12] - 5.5)) ** 2) / 6)
        run = start(psf_=spot, steps=1)
        assert all(size % 2 for size in run.model.psf.array.shape)
        assert any("even" in warning or "middle" in warning for warning in run.warnings)

    def test_a_missing_pixel_size_is_said(self, start, raw: np.ndarray):
        for images, name in ((raw, "the images"), (Image(raw, "YX"), "the images")):
            warnings = start(images).warnings
            assert any(f"pixel size of {name} is not known" in words for words in warnings)
        spot = np.exp(-(np.hypot(*np.mgrid[-4:5, -4:5]) ** 2) / 4)
        warnings = start(raw, psf_=spot, voxel_size=PIXEL).warnings
        assert any("pixel size of the PSF is not known" in words for words in warnings)
        assert start(raw, voxel_size=PIXEL).warnings == ()

    def test_a_gain_that_is_not_known_is_measured_and_said(self, sample: Sample, start):
        noise = NoiseModel(offset=100, gain=None, read_variance=4)
        run = start(sample.raw, noise=noise, steps=1)
        assert run.model.noise.gain == pytest.approx(1, rel=0.3)
        assert run.model.noise.offset == 100


class TestImages:
    def test_a_series_is_its_frames(self, start, raw: np.ndarray):
        series = np.stack([raw, raw[::-1]])
        expected = totals(start(series, steps=2))
        assert totals(start(series[:, None], axes="TZYX", steps=2)) == expected
        assert totals(start(Image(series, "TYX"), steps=2)) == expected
        assert totals(start(series.tolist(), steps=2)) != []

    def test_one_image_may_come_in_many_forms(self, start, raw: np.ndarray):
        expected = totals(start(raw, steps=2))
        for images in (
            [raw],
            (raw,),
            raw[None],
            raw.tolist(),
            Image(raw, "YX"),
            [Image(raw, "YX")],
        ):
            assert totals(start(images, steps=2)) == expected
        assert totals(start(raw.astype(">u2"), steps=2)) == expected
        assert totals(start(raw.astype(np.float64), steps=2)) == expected

    def test_images_of_several_sizes_train_one_model(self, start, sample: Sample):
        run = start([sample.raw[:50, :90], sample.raw[:3, None].repeat(60, 1)[:, :, :61]], steps=3)
        assert len(list(run)) == 3
        assert run.model.data_hash != start([sample.raw[:50, :90]]).model.data_hash

    def test_numpys_numbers_are_as_good_as_pythons(self, start, raw: np.ndarray, tmp_path: Path):
        run = start(
            raw,
            steps=np.int64(1),
            seed=np.uint32(1),
            voxel_size=np.array(PIXEL),
            noise=NoiseModel(np.float32(100), np.float64(1), np.int16(4)),
        )
        expected = start(raw, steps=1, seed=1, voxel_size=PIXEL)
        assert totals(run) == totals(expected)
        run.save(tmp_path / "m")
        assert Model.load(tmp_path / "m").seed == 1

    def test_one_number_is_the_pixel_size_along_both_axes(self, start, raw: np.ndarray):
        assert start(raw, voxel_size=0.0626).model.voxel_size == PIXEL

    def test_a_given_pixel_size_goes_before_that_of_the_file(self, start, raw: np.ndarray):
        image = Image(raw, "YX", (0.2, 0.2))
        assert start(image, voxel_size=PIXEL).model.voxel_size == PIXEL

    def test_pixel_sizes_that_differ_by_rounding_are_one(self, start, raw: np.ndarray):
        images = [Image(raw, "YX", PIXEL), Image(raw, "YX", (0.06260001, 0.0625999))]
        assert start(images).model.voxel_size == PIXEL

    @pytest.mark.parametrize("shape", [(48, 48), (50, 70), (49, 200)])
    @pytest.mark.parametrize("preset", ["fast", "paper"])
    def test_an_image_smaller_than_the_presets_patch_is_enough(self, start, shape, preset):
        image = np.random.default_rng(0).poisson(20, shape) + 100
        run = start(image, preset=replace(PRESETS[preset], batch=1), steps=1)
        assert next(run).finished

    def test_a_mapped_series_is_not_loaded_whole(self, start, tmp_path: Path):
        series = np.random.default_rng(0).poisson(20, (120, 160, 160)).astype(np.uint16)
        np.save(tmp_path / "series.npy", series)
        mapped = np.load(tmp_path / "series.npy", mmap_mode="r")
        # Each search for outliers takes little memory, and 120 under a tracer a minute.
        image = Image(mapped, "TYX", pixel_rule=PixelRule(outliers=False))
        start(replace(image, data=mapped[:1]), steps=1)  # modules that are loaded now do not count
        tracemalloc.start()
        start(image, steps=1)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < mapped.nbytes / 2

    def test_the_psf_is_put_on_half_the_raw_pixel(self, start, raw: np.ndarray):
        fine = PSF.simulate(na=1.3, wavelength=0.525, pixel_size=0.02, size=41)
        model = start(raw, psf_=fine, voxel_size=PIXEL).model
        assert model.psf.voxel_size == pytest.approx((0.0313, 0.0313))
        assert model.psf.fwhm == pytest.approx(fine.fwhm, rel=0.05)


def test_the_scale_is_one_for_all_frames_and_never_below_the_read_noise(start):
    dim = np.random.default_rng(0).normal(110, 2, (64, 64)).astype(np.float32)
    bright = dim + 900
    scale = start(np.stack([dim, bright])).model.scale
    assert scale == pytest.approx(910, rel=0.02)
    assert start([bright, dim]).model.scale == pytest.approx(scale)
    blank = np.random.default_rng(0).normal(100, 2, (64, 64)).astype(np.float32)
    assert start(blank).model.scale == 2


def trained(images: np.ndarray, psf: PSF, noise: NoiseModel, steps: int) -> tuple[Model, list]:
    preset = replace(FROM_SCRATCH, patch=64, batch=2)
    states: list[Progress] = []
    run: Iterator[Progress] = zs.train(
        images, psf, noise, preset=preset, steps=steps, seed=0, device="cpu", preview_every=0
    )
    states.extend(run)
    return run.model, states


@pytest.fixture(scope="module")
def outcome(sample: Sample) -> tuple[Model, list[Progress]]:
    return trained(sample.raw, sample.psf, NOISE, 120)


@pytest.mark.slow
class TestLearning:
    """On 128 x 128 pixels and in few steps, so that it takes seconds."""

    def test_the_loss_falls(self, outcome):
        _model, states = outcome
        for term in ("total", "deconvolution"):
            values = [state.losses[term] for state in states]
            assert np.mean(values[-30:]) < 0.8 * np.mean(values[:10]), term

    def test_the_image_of_a_prior_comes_out_better_still(self, sample: Sample):
        preset = replace(PRESETS["fast"], patch=64, batch=2)
        options = {"preset": preset, "steps": 100, "seed": 1, "preview_every": 0}
        run = zs.train(sample.raw, sample.psf, NOISE, voxel_size=PIXEL, **options)
        inner = np.s_[12:-12, 12:-12]

        def error(model: Model) -> float:
            denoised = model.predict(sample.raw).denoised
            return float(np.square(denoised - sample.noise_free)[inner].mean())

        before = error(run.model)
        for _ in run:
            pass
        assert error(run.model) < 0.95 * before

    def test_the_image_comes_out_better_than_it_went_in(self, outcome, sample: Sample):
        model, _states = outcome
        result = model.predict(sample.raw)
        inner = np.s_[12:-12, 12:-12]

        def error(image: np.ndarray) -> float:
            return float(np.square(image - sample.noise_free)[inner].mean())

        raw = sample.raw.astype(float) - 100
        assert error(result.denoised) < 0.3 * error(raw)
        assert error(result.denoised) < error(gaussian_filter(raw, 1.0))

        def sharpness(image: np.ndarray) -> float:
            return float(np.corrcoef(image[24:-24, 24:-24].ravel(), target.ravel())[0, 1])

        target = gaussian_filter(sample.truth.astype(float), 1.36)[24:-24, 24:-24]
        doubled = result.denoised.repeat(2, axis=0).repeat(2, axis=1)
        assert sharpness(result.deconvolved) > sharpness(doubled)

    def test_light_is_kept_within_2_per_cent(self, outcome, sample: Sample):
        model, _states = outcome
        result = model.predict(sample.raw)
        light = (sample.raw.astype(float) - 100).mean()
        assert result.deconvolved.mean() == pytest.approx(light, rel=0.02)
        assert result.denoised.mean() == pytest.approx(light, rel=0.02)

    def test_blank_noise_gives_no_structure(self, psf: PSF):
        generator = np.random.default_rng(0)
        blank, another = (
            np.rint(generator.normal(100, 2, (128, 128))).astype(np.uint16) for _ in range(2)
        )
        model, _states = trained(blank, psf, NOISE, 60)
        for image in (blank, another):
            result = model.predict(image)
            assert result.deconvolved.std() < 0.2 * image.std()
            assert result.denoised.std() < 0.25 * image.std()
            assert np.abs(result.deconvolved).max() < 2 * image.std()
