"""Columns and rows that keep an offset of their own: found, said and taken out, or left alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.io.image import Image
from napari_zsdeconvnet.model.model import Model
from napari_zsdeconvnet.model.presets import PRESETS
from napari_zsdeconvnet.noise.fixed_lines import fixed_lines
from napari_zsdeconvnet.simulation.sample import camera, simulate
from napari_zsdeconvnet.workflow.record import RunRecord, iter_training

SHAPE = (192, 160)
CUTOFF = 0.31  # cycles per pixel, of the simulated optics
LINES = 1.5  # counts, a little less than the read noise


def sample(shape: tuple[int, int] = SHAPE, seed: int = 1):
    return simulate(shape=shape, photons=40, seed=seed)


def columns(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, LINES, SHAPE[1])


@pytest.mark.parametrize("structure", ["filaments", "vesicles", "two_lines"])
def test_an_image_without_them_is_left_alone(structure):
    for seed in range(3):
        raw = simulate(structure, shape=SHAPE, photons=40, seed=seed).raw
        assert fixed_lines(raw[None], CUTOFF) is None


def test_structure_that_is_exactly_upright_is_no_line_of_the_camera():
    rng = np.random.default_rng(0)
    x = np.arange(SHAPE[1])
    bars = np.broadcast_to(40 * (1 + np.sin(2 * np.pi * 0.28 * x)), SHAPE)
    assert fixed_lines(camera(bars, sample().noise, rng)[None], CUTOFF) is None


def test_the_edges_of_something_are_no_lines_of_the_camera():
    image = np.random.default_rng(0).normal(100, 2, SHAPE)
    image[60:110, 80:120] += 300
    assert fixed_lines(image[None], CUTOFF) is None


@pytest.mark.parametrize("across", [False, True])
def test_they_are_measured_but_for_what_structure_hides(across):
    lines = columns()
    raw = sample().raw.astype(float)
    noisy = raw + lines
    found = fixed_lines((noisy.T if across else noisy)[None], CUTOFF)
    assert found is not None
    rows, cols = found.deviation
    assert (cols if across else rows) == 0
    offset = found.offset.T if across else found.offset
    left = lines - lines.mean() - offset[0]
    assert left.std() < 0.75 * LINES
    fine = np.abs(np.fft.rfft(left))[int(0.3 * SHAPE[1]) :]
    before = np.abs(np.fft.rfft(lines))[int(0.3 * SHAPE[1]) :]
    assert np.mean(fine**2) < 0.1 * np.mean(before**2)
    assert ("rows" if across else "columns") in found.describe()


def test_pixels_too_coarse_to_tell():
    assert fixed_lines((sample().raw + columns())[None], 0.45) is None


def trained(data: np.ndarray, **options) -> Model:
    image = Image(data, "YX", (0.0626, 0.0626), "cells")
    preset = replace(PRESETS["fast"], patch=48, batch=2)
    run = zs.train(
        image, sample().psf.cropped(31), sample().noise, preset=preset,
        **{"steps": 2, "seed": 7, "device": "cpu", "preview_every": 0, **options},
    )  # fmt: skip
    for _ in run:
        pass
    return run.model


@pytest.fixture(scope="module")
def striped() -> np.ndarray:
    return np.round(sample().raw + columns()).astype(np.uint16)


@pytest.fixture(scope="module")
def model(striped) -> Model:
    return trained(striped)


def striping(image: np.ndarray) -> float:
    """Standard deviation of columns against their neighbours, in rows' mean."""
    mean = image.mean(axis=0)
    return float((mean[1:-1] - (mean[:-2] + mean[2:]) / 2).std())


class TestTraining:
    def test_they_are_taken_out_and_said(self, striped, model):
        assert any("columns" in text and "taken out" in text for text in model.warnings)
        assert model.maps is not None
        assert model.maps.of_image
        clean = trained(sample().raw).predict(sample().raw, device="cpu").denoised
        left = striping(model.predict(striped, device="cpu").denoised) - striping(clean)
        blind = replace(model, camera=None)
        kept = striping(blind.predict(striped, device="cpu").denoised) - striping(clean)
        assert left < 0.3 * kept

    def test_an_image_without_them_has_no_maps(self):
        model = trained(sample().raw)
        assert model.camera is None
        assert not any("columns" in text for text in model.warnings)

    def test_another_image_is_asked_for_its_own(self, model, tmp_path):
        model.save(tmp_path / "m.safetensors")
        again = Model.load(tmp_path / "m.safetensors")
        other = Image(sample((128, 136), seed=2).raw, "YX", (0.0626, 0.0626), "other")
        there = again.predict(other, device="cpu").denoised
        plain = replace(again, camera=None).predict(other, device="cpu").denoised
        np.testing.assert_array_equal(there, plain)

    def test_a_record_repeats_it_to_the_bit(self, striped, model, tmp_path):
        RunRecord.of(model).write(tmp_path / "record.json")
        record = RunRecord.read(tmp_path / "record.json")
        steps = iter_training(record, [Image(striped, "YX", (0.0626, 0.0626), "cells")])
        while True:
            try:
                next(steps)
            except StopIteration as end:
                break_with = end.value
                break
        assert RunRecord.of(break_with).weights_sha256 == record.weights_sha256
