from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.io import excerpts
from napari_zsdeconvnet.io.image import PixelRule
from napari_zsdeconvnet.model.provenance import Source, weights_fingerprint
from napari_zsdeconvnet.training import data
from napari_zsdeconvnet.workflow.record import RunRecord

SIZE = 96


@pytest.fixture
def sample(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A series that counts as large, whose parts are a quarter of a frame."""
    monkeypatch.setattr(excerpts, "LARGE", 1)
    monkeypatch.setattr(data, "PART_OF_IMAGE", (SIZE, SIZE))
    monkeypatch.setattr(data, "PARTS_PIXELS", 3 * SIZE**2)
    one = zs.simulate("filaments", shape=(2 * SIZE, 2 * SIZE), seed=3)
    rng = np.random.default_rng(4)
    frames = np.stack([rng.permutation(one.raw, axis=0) for _ in range(3)] + [one.raw] * 3)
    image = zs.Image(frames, "TYX", one.voxel_size, name="series")
    return one, image


def recorded_at(image: zs.Image, preview: Any) -> Any:
    """Cut out of a recording what a preview shows."""
    cut = tuple(
        slice(start, start + length)
        for start, length in zip(preview.origin, preview.raw.shape, strict=True)
    )
    return image.data[(preview.frame, *cut)]


def test_parts_are_trained_on_and_the_preview_shows_the_recording(sample: Any, tmp_path: Path):
    one, image = sample
    run = zs.train(image, one.psf, one.noise, steps=2, device="cpu", seed=1, preview_every=1)
    assert any("series is large: 3 parts of 96 x 96 pixels" in said for said in run.warnings)
    preview = next(run).preview
    assert preview is not None
    shown = recorded_at(image, preview) - one.noise.offset
    np.testing.assert_allclose(preview.raw, shown, atol=1e-3)
    run.centre_on(2 * SIZE, 0)
    moved = next(run).preview
    assert moved is not None
    assert moved.origin == (SIZE, 0)

    (source,) = run.model.sources
    assert source.shape == (3, SIZE, SIZE)
    assert len(source.parts) == 3
    assert source.is_of(image)
    assert not source.is_of(replace(image, data=image.data[:, ::-1]))
    assert not source.is_of(replace(image, data=image.data[:2, :50, :50]))
    record = RunRecord.of(run.model)
    record.write(tmp_path / "record.json")
    assert RunRecord.read(tmp_path / "record.json").sources == (source,)
    run.model.save(tmp_path / "model.safetensors")
    assert zs.Model.load(tmp_path / "model.safetensors").sources == (source,)


def test_a_training_on_parts_is_gone_on_with_on_the_same_recording(sample: Any, tmp_path: Path):
    one, image = sample
    run = zs.train(image, one.psf, one.noise, steps=3, device="cpu", seed=1, preview_every=0)
    next(run)
    run.save(tmp_path / "part.safetensors")
    list(run)
    again = zs.train(image, resume=tmp_path / "part.safetensors", device="cpu", preview_every=0)
    list(again)
    assert weights_fingerprint(again.model.network.state_dict()) == weights_fingerprint(
        run.model.network.state_dict()
    )
    other = replace(image, data=image.data[:, ::-1])
    with pytest.raises(zs.InputError, match="trained on other images"):
        zs.train(other, resume=tmp_path / "part.safetensors", device="cpu")


def test_noise_is_measured_on_parts_as_on_the_whole(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(5)
    light = zs.simulate("filaments", shape=(700, 700), seed=6, photons=100).noise_free
    frames = 100 + 2.0 * rng.poisson(light, (12, *light.shape)) + rng.normal(0, 3, (12, 700, 700))
    image = zs.Image(np.rint(frames).astype(np.uint16), "TYX", (0.0626, 0.0626), name="series")
    whole = [zs.NoiseModel.from_series(image), zs.NoiseModel.from_image(image, cutoff=0.3)]
    monkeypatch.setattr(excerpts, "LARGE", 1)
    parts = [zs.NoiseModel.from_series(image), zs.NoiseModel.from_image(image, cutoff=0.3)]
    for one, other in zip(whole, parts, strict=True):
        assert other.gain == pytest.approx(one.gain, rel=0.15)
        assert other.offset == pytest.approx(one.offset, abs=1)
        assert any("is large" in warning for warning in other.warnings)
        assert Source.of(image).parts == ()


def test_with_maps_of_the_camera_the_preview_shows_the_recording_too(sample: Any):
    one, image = sample
    shape = image.data.shape[-2:]
    maps = zs.CameraMaps(
        np.full(shape, one.noise.offset, np.float32),
        np.full(shape, one.noise.gain, np.float32),
        np.full(shape, one.noise.read_variance, np.float32),
    )
    run = zs.train(image, one.psf, maps, steps=1, device="cpu", seed=1, preview_every=1)
    (source,) = run.model.sources
    assert source.parts
    preview = next(run).preview
    assert preview is not None
    shown = recorded_at(image, preview) - one.noise.offset
    np.testing.assert_allclose(preview.raw, shown, atol=0.1)


@pytest.mark.parametrize("axes", [2, 3])
def test_a_map_of_bad_pixels_goes_with_the_parts(sample: Any, axes: int):
    one, image = sample
    bad = np.zeros(image.data.shape[-axes:], bool)
    bad[..., 20, 30] = True
    ruled = replace(image, pixel_rule=PixelRule(bad_pixels=bad))
    run = zs.train(ruled, one.psf, one.noise, steps=0, device="cpu", seed=1)
    assert any("bad by the map given" in said for said in run.warnings)
    assert zs.NoiseModel.from_image(ruled, one.noise.offset, cutoff=0.3).gain is not None
