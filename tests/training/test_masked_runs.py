"""Masked pixels from training to result: in Python, from the shell, and once more from a record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from napari_zsdeconvnet.io.image import Image, PixelRule
from napari_zsdeconvnet.model.model import Model
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.quality.recording_statistics import RecordedImage
from napari_zsdeconvnet.quality.verdict import judge
from napari_zsdeconvnet.simulation.sample import simulate
from napari_zsdeconvnet.training.losses import fidelity
from napari_zsdeconvnet.training.trainer import train
from napari_zsdeconvnet.utils.errors import InputError
from napari_zsdeconvnet.workflow.record import RunRecord, iter_training

CAMERA = NoiseModel(100.0, 1.0, 4.0)
PIXEL = (0.09, 0.09)
TRAINED = 40
"""Steps after which the weights have left their beginning."""


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    return simulate("filaments", shape=(96, 96), photons=200, pixel_size=0.09, seed=2).raw


@pytest.fixture(scope="module")
def psf() -> PSF:
    return PSF.simulate(1.3, 0.525, 0.045)


PLACES = ((20, 30), (60, 61), (60, 62), (80, 10))


@pytest.fixture(scope="module")
def hot(clean: np.ndarray) -> np.ndarray:
    image = clean.copy()
    for place in PLACES:
        image[place] = 60_000
    return image


def begun(
    image: np.ndarray, psf: PSF, rule: PixelRule | None = None, steps: int = 2, seed: int = 1
):
    return train(
        Image(image, "YX", PIXEL, "cells", pixel_rule=rule or PixelRule()),
        *(psf, CAMERA),
        steps=steps,
        seed=seed,
        device="cpu",
        preview_every=0,
    )


def exhausted(run):
    for _ in run:
        pass
    return run


def far_from(places: list[tuple[int, int]], shape: tuple[int, int], reach: float) -> np.ndarray:
    y, x = np.indices(shape)
    near = [np.hypot(y - row, x - column) <= reach for row, column in places]
    return ~np.any(near, axis=0)


def test_what_is_left_out_has_no_say_in_the_loss():
    prediction, target = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    target[..., 0, 0] = 1e6
    left_out = target > 1
    assert float(fidelity(prediction, target, left_out=left_out)) == 1.0
    assert float(fidelity(prediction, target, "absolute", ~left_out & left_out)) > 1e4


class TestHotPixels:
    def test_pairs_are_filled_and_marked(self, hot: np.ndarray, clean: np.ndarray, psf: PSF):
        run = begun(hot, psf)
        assert any("4 pixels" in warning and "(20, 30)" in warning for warning in run.warnings)
        pairs = run._objective.pairs
        marked = 0
        for _ in range(6):
            pair = pairs.draw()
            assert pair.left_out.shape == pair.target.shape
            assert float(pair.target.max()) * run.model.scale < 5 * float(clean.max())
            marked += int(pair.left_out.sum())
        assert marked > 0
        assert run.model.scale == pytest.approx(begun(clean, psf).model.scale, rel=0.02)

    def test_without_any_pairs_are_as_they_were(self, clean: np.ndarray, psf: PSF):
        assert begun(clean, psf)._objective.pairs.draw().left_out is None

    def test_results_beyond_three_widths_are_those_without_them(
        self, hot: np.ndarray, clean: np.ndarray, psf: PSF
    ):
        model = exhausted(begun(clean, psf)).model
        expected, result = (model.predict(Image(i, "YX", PIXEL)) for i in (clean, hot))
        assert expected.warnings == ()
        assert "4 pixels" in result.warnings[0]
        width = psf.fwhm[-1] / PIXEL[-1]
        away = far_from(PLACES, clean.shape, 3 * width)
        noise = np.sqrt(CAMERA.read_variance)
        change = np.abs(result.denoised - expected.denoised)
        assert change[away].max() < 0.1 * noise
        assert change.max() < 0.2 * float(expected.denoised.max())

    @pytest.mark.slow
    def test_a_training_with_them_differs_by_less_than_one_from_another_seed(
        self, clean: np.ndarray, psf: PSF
    ):
        places = np.random.default_rng(3).integers(4, 92, (20, 2))
        spoilt = clean.copy()
        spoilt[tuple(places.T)] += 400
        result, again, other = (
            exhausted(begun(image, psf, steps=TRAINED, seed=seed)).model.predict(
                Image(image, "YX", PIXEL)
            )
            for image, seed in ((clean, 1), (spoilt, 1), (clean, 2))
        )
        assert "20 pixels" in again.warnings[0]
        away = far_from([tuple(place) for place in places], clean.shape, 3 * 2.3)
        for name, fine in (("denoised", 1), ("deconvolved", 2)):
            there = away.repeat(fine, 0).repeat(fine, 1)
            by_pixels, by_seed = (
                np.sqrt(np.mean((getattr(one, name) - getattr(result, name))[there] ** 2))
                for one in (again, other)
            )
            assert by_pixels < by_seed

    def test_the_verdict_leaves_them_out_and_says_so(
        self, hot: np.ndarray, clean: np.ndarray, psf: PSF
    ):
        model = exhausted(begun(clean, psf)).model
        without, found = (judge(model, Image(i, "YX", PIXEL), repeats=0) for i in (clean, hot))
        assert any("4 pixels" in note for note in found.notes)
        for name in ("noise level", "re-blur", "flux"):
            assert found[name].value == pytest.approx(without[name].value, rel=0.02)
        assert not found.maps["z_map"][20, 30]

    def test_a_verdict_searches_the_recording_alone(
        self, hot: np.ndarray, psf: PSF, monkeypatch: pytest.MonkeyPatch
    ):
        model = exhausted(begun(hot, psf)).model
        searched = []

        def counted(self: Model, frames: Any, *rest: Any, **more: Any) -> Any:
            searched.append(frames)
            return found(self, frames, *rest, **more)

        found = Model.pixel_mask
        monkeypatch.setattr(Model, "pixel_mask", counted)
        verdict = judge(model, Image(hot, "YX", PIXEL), second=Image(hot, "YX", PIXEL), repeats=2)
        assert len(searched) == 2  # of the image and of the second exposure
        assert any("neither light nor noise explains" in note for note in verdict.notes)

    def test_pairs_of_a_verdict_have_no_noise_where_something_stands_for_a_pixel(
        self, hot: np.ndarray, psf: PSF
    ):
        model = exhausted(begun(hot, psf)).model
        kinds = np.zeros(hot.shape, np.uint8)
        kinds[tuple(np.transpose(PLACES))] = 1
        evidence = RecordedImage(model, hot.astype(np.float32), kinds=kinds)
        (pair,) = evidence.pairs((slice(0, 48), slice(None)), 1)
        alike = np.equal(*pair)
        assert [tuple(place) for place in np.argwhere(alike)] == [PLACES[0]]

    def test_a_training_is_repeated_to_the_bit(self, hot: np.ndarray, psf: PSF):
        bad = np.zeros(hot.shape, bool)
        bad[5, 6:9] = True
        rule = PixelRule(bad_pixels=bad)
        model = exhausted(begun(hot, psf, rule)).model
        record = RunRecord.from_dict(RunRecord.of(model).to_dict())
        steps = iter_training(record, [Image(hot[None], "TYX", PIXEL, "cells")])
        while True:
            try:
                next(steps)
            except StopIteration as end:
                again = RunRecord.of(end.value)
                break
        assert again.weights_sha256 == record.weights_sha256
        assert again.warnings == record.warnings
        assert any("3 pixels of cells are bad by the map" in said for said in again.warnings)


def test_nothing_is_put_where_nothing_was_recorded(clean: np.ndarray, psf: PSF):
    model = exhausted(begun(clean, psf)).model
    image = clean.astype(np.float32)
    image[:, :15] = np.nan
    result = model.predict(Image(image, "YX", PIXEL))
    assert np.isfinite(result.deconvolved).all()
    assert not result.denoised[:, :15].any()
    assert not result.deconvolved[:, :30].any()
    assert result.denoised[:, 15:].any()
    exhausted(begun(image, psf))


class TestShell:
    def test_what_is_masked_is_said_and_more_can_be_allowed(self, run, cases: Path, tmp_path: Path):
        answer = run("calibrate", cases / "hot_20_of_300.tif", "--json")
        assert answer.json["noise"]["gain"] == pytest.approx(0.5, rel=0.1)
        assert "20 pixels that neither light" in answer.err
        file = cases / "saturated_int16.tif"
        refused = run("calibrate", file)
        assert refused.code == 2
        assert "--allow-saturated" in refused.err
        allowed = run("calibrate", file, "--allow-saturated")
        assert allowed.code == 0
        assert "1261 saturated pixels" in allowed.out + allowed.err

    def test_a_map_of_bad_pixels(self, run, cases: Path, tmp_path: Path):
        bad = np.zeros((256, 256), np.uint8)
        bad[40, 77] = 255
        tifffile.imwrite(tmp_path / "bad.tif", bad)
        file = cases / "hot_one.tif"
        answer = run("calibrate", file, "--bad-pixels", tmp_path / "bad.tif")
        assert "1 pixel of hot_one.tif is bad by the map given" in answer.out + answer.err
        tifffile.imwrite(tmp_path / "small.tif", bad[:9])
        assert run("calibrate", file, "--bad-pixels", tmp_path / "small.tif").code == 2

    def test_outliers_may_be_kept(self, run, cases: Path):
        answer = run("calibrate", cases / "hot_20_of_300.tif", "--keep-outliers", "--json")
        assert answer.code == 0
        assert "neither light" not in answer.err


def test_a_rule_says_what_it_may_be():
    with pytest.raises(InputError, match='"refuse" or "mask"'):
        PixelRule(saturation="allow")  # type: ignore[arg-type]
    bad = np.random.default_rng(0).random((7, 9)) > 0.8
    again = PixelRule.from_dict(PixelRule(bad, "mask", False).to_dict())
    np.testing.assert_array_equal(again.bad_pixels, bad)
    assert (again.saturation, again.outliers) == ("mask", False)
    assert PixelRule().to_dict() == {}
