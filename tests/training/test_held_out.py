from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.model.best_weights import BestWeights, Gain, Seen, Trust
from napari_zsdeconvnet.model.model import Model
from napari_zsdeconvnet.model.presets import PRESETS, VOLUME_PRESETS
from napari_zsdeconvnet.networks.base import TwoStageNetwork
from napari_zsdeconvnet.noise.camera_check import NoiseCheck, NoiseState
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.noise.recorruption import shared
from napari_zsdeconvnet.quality.reference_metrics import score
from napari_zsdeconvnet.simulation.sample import Sample, simulate, simulate_volume
from napari_zsdeconvnet.training.held_out import (
    MARGIN,
    HeldOutPixels,
    Lattice,
    Window,
    filled,
    with_coarse_light,
)
from napari_zsdeconvnet.training.trainer import TrainingRun
from napari_zsdeconvnet.training.validation import Validation

SIZE = 192
Denoiser = Callable[[Tensor], Tensor]


def around(image: Tensor, radius: int) -> Tensor:
    """Mean of a square, its middle left out: a denoiser that never looks at the pixel itself."""
    width = 2 * radius + 1
    weights = torch.ones(1, 1, width, width)
    weights[..., radius, radius] = 0
    padded = F.pad(image, (radius,) * 4, mode="reflect")
    return F.conv2d(padded, weights / weights.sum())


def blurred(image: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(image, (2,) * 4, mode="reflect"), 5, stride=1)


def errors(image: Tensor, lattice: Lattice, denoise: Denoiser) -> Tensor:
    part = Window(image, torch.zeros_like(image) > 0, (0,) * image.ndim)
    pixels = HeldOutPixels([part], lattice, torch.device("cpu"))

    def stages(seen: Tensor, background: Tensor | None) -> Tensor:
        return with_coarse_light(seen, denoise(seen).expand(2, -1, -1, -1))

    return pixels.errors(stages)


@pytest.fixture(scope="module")
def truth() -> Tensor:
    """Waves of a few pixels, normalised."""
    rows, columns = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    return 0.5 + 0.3 * torch.sin(rows / 3) * torch.cos(columns / 4)


def noisy(truth: Tensor, seed: int, rho: float | None = None) -> Tensor:
    drawn = torch.randn(truth.shape, generator=torch.Generator().manual_seed(seed))
    return truth + 0.3 * truth.sqrt() * shared(drawn, None if rho is None else (rho, rho))


class TestLattice:
    @pytest.mark.parametrize("reach", [0, 1])
    def test_is_the_same_pixels_in_every_window(self, reach: int):
        lattice = Lattice(4 + 3 * reach, (1, 2), reach)
        for mark in (lattice.centres, lattice.left_out):
            whole = mark((0, 0), (60, 60))
            assert torch.equal(whole[7:40, 13:50], mark((7, 13), (33, 37)))

    def test_pixels_that_share_noise_are_left_out_with_each(self):
        lattice = Lattice.fitting((0.4, 0.4), seed=11)
        centres, left_out = (mark((0, 0), (70, 70)) for mark in (lattice.centres, lattice.left_out))
        grown = F.max_pool2d(centres.float()[None], 3, stride=1, padding=1)[0] > 0
        assert torch.equal(left_out[1:-1, 1:-1], grown[1:-1, 1:-1])

    @pytest.mark.parametrize("correlation", [None, (0.4, 0.4)])
    def test_a_fifth_of_the_pixels_at_most_is_lost_to_the_training(self, correlation):
        lattice = Lattice.fitting(correlation, seed=5)
        assert 0.1 < lattice.left_out((0, 0), (210, 210)).float().mean() < 0.2


@pytest.mark.parametrize("correlation", [None, (0.4, 0.4)])
def test_what_is_filled_in_knows_nothing_of_what_was_there(correlation, truth: Tensor):
    lattice = Lattice.fitting(correlation, seed=3)
    masked = lattice.left_out((0, 0), truth.shape)
    image, other = truth[None, None], torch.where(masked, 9.0, truth)[None, None]
    torch.testing.assert_close(
        filled(image, masked, lattice.reach), filled(other, masked, lattice.reach)
    )
    flat = torch.full_like(image, 0.7)
    torch.testing.assert_close(filled(flat, masked, lattice.reach), flat)


@pytest.mark.parametrize("correlation", [None, (0.0, 0.4, 0.4)])
def test_voxels_are_held_out_as_pixels_are(correlation):
    lattice = Lattice.fitting(correlation, seed=5, dimensions=3)
    whole = lattice.left_out((0, 0, 0), (30, 30, 30))
    assert 0.03 < whole.float().mean() < 0.25
    assert torch.equal(whole[3:9, 5:20, 7:30], lattice.left_out((3, 5, 7), (6, 15, 23)))
    volume = torch.rand(1, 1, 30, 30, 30, generator=torch.Generator().manual_seed(1))
    other = torch.where(whole, 9.0, volume)
    torch.testing.assert_close(
        filled(volume, whole, lattice.reach), filled(other, whole, lattice.reach)
    )


class TestMeasure:
    """Differences of it are differences of the true error, with honest bounds."""

    def test_gains_and_their_errors_are_right(self, truth: Tensor):
        lattice = Lattice.fitting(None, seed=1)
        judged = lattice.centres((0, 0), truth.shape)[MARGIN:-MARGIN, MARGIN:-MARGIN]
        scores = []
        for seed in range(20):
            image = noisy(truth, seed)
            before, after = (
                errors(image, lattice, lambda seen, radius=radius: around(seen, radius))
                for radius in (2, 1)
            )
            gain = Gain.over(before, after)
            # With all held-out pixels filled in, this is what the two get wrong.
            seen = filled(image[None, None], lattice.left_out((0, 0), image.shape))
            wrong = [
                float(
                    (around(seen, radius) - truth)[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
                    .square()[0, 0][judged]
                    .sum()
                )
                for radius in (2, 1)
            ]
            true = (wrong[0] - wrong[1]) / float(before[0].sum())
            scores.append((gain.shares[0] - true) / gain.errors[0])
        # Means of 20, and standard deviations known to 16 per cent.
        assert abs(np.mean(scores)) < 4 / np.sqrt(20)
        assert 0.5 < np.std(scores) < 1.6

    def test_ranks_as_the_truth_does_without_a_word_on_the_camera(self, truth: Tensor):
        lattice = Lattice.fitting(None, seed=1)
        denoisers: tuple[Denoiser, ...] = (
            blurred,
            lambda seen: (seen + around(seen, 1)) / 2,
            lambda seen: seen,
            lambda seen: around(seen, 6),
        )
        for seed in range(5):
            image = noisy(truth, seed)
            measured = [float(errors(image, lattice, denoise)[0].sum()) for denoise in denoisers]
            true = [
                float((denoise(image[None, None])[0, 0] - truth).square().mean())
                for denoise in denoisers
            ]
            assert np.argsort(measured).tolist() == np.argsort(true).tolist()

    def test_shared_noise_needs_a_wider_mask(self, truth: Tensor):
        def beside(seen: Tensor) -> Tensor:
            return (seen.roll(1, -1) + seen.roll(-1, -1)) / 2

        image = noisy(truth, 0, rho=0.49)
        true = [
            float((denoise(image[None, None])[0, 0] - truth).square().mean())
            for denoise in (beside, lambda seen: around(seen, 2))
        ]
        assert true[0] > true[1]
        wide = Lattice.fitting((0.49, 0.49), seed=1)
        gain = Gain.over(
            errors(image, wide, beside), errors(image, wide, lambda seen: around(seen, 2))
        )
        assert gain.exceeds(1)


class TestBestWeights:
    CELLS = 100

    def seen(self, step: int, *levels: float, scatter: float = 0.01) -> Seen:
        drawn = np.random.default_rng(step).normal(0, scatter, (2, self.CELLS))
        return Seen(
            step, torch.tensor(np.array(levels)[:, None] + drawn), {"w": torch.tensor(step)}
        )

    def test_the_best_of_both_stages_is_kept(self):
        best = BestWeights.beginning(self.seen(0, 1.0, 1.0), expected=0.0)
        for step, level in ((20, 0.9), (40, 0.8), (60, 0.85)):
            best = best.after(self.seen(step, level, level))
        assert best.best.step == best.choice.step == 40
        assert best.choice.gain.shares == pytest.approx((0.2, 0.2), abs=0.01)
        assert "step 40" in best.choice.describe("the pretrained weights")

    @pytest.mark.parametrize("levels", [(1.1, 0.5), (0.5, 1.1), (1.0, 0.5)])
    def test_a_stage_that_gains_nothing_is_a_reason_to_return(self, levels):
        best = BestWeights.beginning(self.seen(0, 1.0, 1.0, scatter=0.0), expected=0.0)
        best = best.after(self.seen(20, *levels, scatter=0.0))
        assert best.choice.describe("the pretrained weights") == (
            "No step improved the held-out pixels: the pretrained weights are kept."
        )

    def test_chance_is_no_gain(self):
        returned = 0
        for step in range(1, 101):
            best = BestWeights.beginning(self.seen(0, 1.0, 1.0), expected=0.0)
            returned += best.after(self.seen(step, 1.0, 1.0)).best.step == 0
        # Each stage by itself passes in 16 of 100, and both, which here are independent, in 3.
        assert returned >= 88

    def test_a_camera_with_more_noise_than_there_is_cannot_be_trained_under(self):
        first = self.seen(0, 1.0, 1.0)
        for expected, believed in ((1.1, True), (1.3, False)):
            best = BestWeights.beginning(first, expected * self.CELLS)
            best = best.after(self.seen(20, 0.5, 0.5))
            assert (best.best.step == 20) == believed
        assert "gain or read variance are too high" in best.choice.describe("these")

    def begun(self, state: NoiseState, expected: float = 0.9, ratio: float = 1.0) -> BestWeights:
        check = NoiseCheck(state, (0.7, ratio, 1.5), "the why of it", ratio)
        return BestWeights.beginning(self.seen(0, 1.0, 1.0), expected * self.CELLS, check)

    def slight(self, best: BestWeights, level: float = 0.0007) -> Seen:
        """Weights that are better by half a standard error, 0.014 / 10: no gain and no loss."""
        return Seen(40, best.first - self.scatter(level), {"w": torch.tensor(40)})

    @pytest.mark.parametrize(
        ("state", "expected", "kept"),
        [
            (NoiseState.AGREES, 0.75, True),
            (NoiseState.UNKNOWN, 0.75, False),
            (NoiseState.UNKNOWN, 0.95, True),
            (NoiseState.DIFFERS, 0.95, False),
            (NoiseState.PROCESSED, 0.95, False),
        ],
    )
    def test_a_camera_that_explains_the_noise_is_believed(self, state, expected, kept):
        """Where nothing is seen of the noise alone, one that explains the scatter is, too."""
        best = self.begun(state, expected)
        assert (best.after(self.slight(best)).best.step == 40) == kept
        for levels in ((1.01, 0.9), (0.9, 1.01)):
            assert best.after(self.seen(60, *levels)).best.step == 0

    def test_under_a_wrong_camera_a_gain_must_be_beyond_doubt(self):
        best = self.begun(NoiseState.DIFFERS)
        for level, kept in ((1.5, False), (2.5, True)):
            found = best.after(self.slight(best, level * 0.0014))
            assert (found.best.step == 40) == kept
        assert best.choice.describe("these weights").startswith("The noise is 0.7 times")

    @pytest.mark.parametrize(
        ("state", "ratio"), [(NoiseState.PROCESSED, 1.0), (NoiseState.DIFFERS, 0.6)]
    )
    def test_where_pixels_share_noise_the_beginning_is_kept(self, state, ratio):
        """Also where they scatter more than what is seen of the noise lets them."""
        best = self.begun(state, ratio=ratio)
        best = best.after(self.seen(20, 0.5, 0.5))
        assert best.best.step == 0
        assert best.trust is Trust.NOTHING
        words = best.choice.describe("the first weights")
        assert words.startswith("Training cannot be trusted here: ")
        assert words.endswith(". The first weights are kept.")

    def test_a_plausible_camera_does_not_lose_what_was_gained(self):
        best = BestWeights.beginning(self.seen(0, 1.0, 1.0), 0.95 * self.CELLS)
        best = best.after(self.seen(40, 0.8, 0.8))
        assert best.after(self.seen(60, 0.81, 0.7)).best.step == 40

    def scatter(self, level: float) -> torch.Tensor:
        """Differences of this mean and a standard deviation of 0.014."""
        drawn = np.random.default_rng(7).normal(size=(2, self.CELLS))
        drawn -= drawn.mean(axis=1, keepdims=True)
        return torch.tensor(level + 0.014 * drawn / drawn.std(axis=1, ddof=1, keepdims=True))

    @pytest.mark.parametrize("state", NoiseState)
    def test_is_kept_in_tensors(self, state: NoiseState):
        best = self.begun(state).after(self.seen(20, 0.5, 0.5))
        again = BestWeights.from_tensors(best.to_tensors())
        assert again is not None
        assert again.choice == best.choice
        assert again.trust is best.trust
        assert again.best.weights == best.best.weights
        assert BestWeights.from_tensors({}) is None

    @pytest.mark.parametrize(("plausible", "trust"), [(True, Trust.CAMERA), (False, Trust.PIXELS)])
    def test_files_of_before_the_noise_was_checked_go_on(self, plausible: bool, trust: Trust):
        tensors = self.begun(NoiseState.UNKNOWN).to_tensors()
        del tensors["held_out.trust"], tensors["held_out.reason"]
        again = BestWeights.from_tensors({**tensors, "held_out.plausible": torch.tensor(plausible)})
        assert again is not None
        assert again.trust is trust


QUICK = replace(PRESETS["fast"], patch=48, batch=2)
CAMERA = NoiseModel(offset=100.0, gain=1.0, read_variance=4.0)


@pytest.fixture(scope="module")
def sample() -> Sample:
    return simulate("cell", shape=(128, 128), photons=30, seed=2)


def begin(sample: Sample, camera: NoiseModel = CAMERA, **options: object) -> TrainingRun:
    chosen: dict = {"preset": QUICK, "steps": 22, "seed": 1, "preview_every": 0, **options}
    return zs.train(
        sample.raw[:96, :96], sample.psf.cropped(31), camera, axes="YX", device="cpu", **chosen
    )


def same(one: Model, other: Model) -> bool:
    pairs = zip(one.network.parameters(), other.network.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs) and one.chosen == other.chosen


class TestTraining:
    def test_pauses_and_files_change_nothing(self, sample: Sample, tmp_path: Path):
        whole = begin(sample)
        list(whole)
        halted = begin(sample)
        for progress in halted:
            if progress.step == 15:
                break
        halted.save(tmp_path / "half.safetensors")
        resumed = begin(sample, preset="fast", steps=None, resume=tmp_path / "half.safetensors")
        list(resumed)
        assert same(whole.model, resumed.model)
        assert same(whole.latest, resumed.latest)

    def test_checkpoints_do_not_wait_for_a_judgement(
        self, sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        """Of a volume one takes as long as ten steps, and saves come every 20 s."""
        judged = []
        usual = Validation.judge

        def counted(self: Validation, network: TwoStageNetwork, step: int) -> Seen:
            judged.append(step)
            return usual(self, network, step)

        monkeypatch.setattr(Validation, "judge", counted)
        run = begin(sample)
        for progress in run:
            if progress.step == 15:
                break
        path = tmp_path / "half.checkpoint"
        run.save(path, judged=False)
        assert judged == [0]
        assert same(Model.load(path), run.latest)
        assert same(run.model, run.model)
        assert judged == [0, 15]

    def test_model_and_message_say_what_was_kept(self, sample: Sample, tmp_path: Path):
        run = begin(sample, replace(CAMERA, gain=4.0), steps=20)
        last = list(run)[-1]
        model = run.model
        assert model.chosen is not None
        assert model.chosen.step == 0
        assert last.message == model.kept
        assert last.message.endswith("The pretrained weights are kept.")
        model.save(tmp_path / "m.safetensors")
        assert Model.load(tmp_path / "m.safetensors").chosen == model.chosen
        beginning = begin(sample, replace(CAMERA, gain=4.0)).model
        assert beginning.chosen is None
        assert same(replace(model, chosen=None), beginning)
        assert not same(replace(run.latest, chosen=None), beginning)

    def test_under_such_a_camera_it_ends_soon(self, sample: Sample):
        preset = replace(QUICK, steps=100)
        run = begin(sample, replace(CAMERA, gain=4.0), preset=preset, steps=None)
        assert list(run)[-1].step == 20
        assert run.ending

    def test_held_out_pixels_play_no_part(self, sample: Sample):
        """Weights do not depend on what stands there, but for the input of their neighbours."""
        pair = begin(sample)._objective.pairs.draw()
        assert pair.left_out is not None
        assert pair.left_out.shape == pair.target.shape
        assert float(pair.left_out.float().mean()) == pytest.approx(1 / 9, rel=0.02)

    @pytest.mark.slow
    def test_of_volumes_the_last_step_is_compared_with_the_classical_result(self):
        sample = simulate_volume("filaments", shape=(10, 64, 64), photons=30, seed=2)
        preset = replace(VOLUME_PRESETS["fast"], patch=32, planes=8, batch=1)
        run = zs.train(
            *(sample.raw, sample.psf, CAMERA),
            axes="ZYX",
            voxel_size=sample.voxel_size,
            preset=preset,
            steps=20,
            seed=1,
            preview_every=0,
            device="cpu",
        )
        left_out = run._objective.pairs.draw().left_out
        assert left_out is not None
        assert float(left_out.float().mean()) == pytest.approx(1 / 27, rel=0.3)
        list(run)
        chosen = run.model.chosen
        assert chosen is not None
        assert chosen.step == 20
        assert chosen.gain.exceeds(-1)

    def test_a_model_that_goes_on_keeps_what_was_held_out(self, sample: Sample, tmp_path: Path):
        first = begin(sample, steps=20)
        next(first)
        lattice = first._objective.setting.lattice
        path = tmp_path / "first.safetensors"
        first.model.save(path)
        second = begin(sample, steps=20, seed=7, start=path)
        assert second._objective.setting.lattice == lattice
        assert begin(sample, steps=20, seed=7)._objective.setting.lattice != lattice
        second.model.save(path)
        third = begin(sample, steps=20, seed=9, start=path)
        assert third._objective.setting.lattice == lattice

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("told", "kept"), [({"offset": 106.0}, None), ({}, True)], ids=["offset too high", "right"]
    )
    def test_never_worse_than_the_beginning(self, sample: Sample, told: dict, kept):
        run = zs.train(
            sample.raw,
            sample.psf,
            replace(CAMERA, **told),
            axes="YX",
            steps=120,
            seed=1,
            device="cpu",
            preview_every=0,
        )

        def closeness(model: Model) -> float:
            found = model.predict(sample.raw).denoised
            return score(found, sample.noise_free, border=(8, 8)).psnr

        before = closeness(run.latest)
        list(run)
        assert closeness(run.model) > before - 0.1
        if kept:
            assert run.model.chosen is not None
            assert run.model.chosen.step > 0
            assert closeness(run.model) > before + 0.1
