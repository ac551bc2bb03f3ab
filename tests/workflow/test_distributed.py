from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import pytest
import torch
import yaozarrs

from napari_zsdeconvnet.io.image import Display, Origin, PixelRule
from napari_zsdeconvnet.io.image_files import read_image
from napari_zsdeconvnet.io.ome_zarr_writing import Layout
from napari_zsdeconvnet.io.zarr_stores import ZarrPixels
from napari_zsdeconvnet.model import provenance
from napari_zsdeconvnet.model.provenance import Source
from napari_zsdeconvnet.noise import usable_pixels
from napari_zsdeconvnet.noise.camera_maps import CameraMaps
from napari_zsdeconvnet.utils.errors import InputError
from napari_zsdeconvnet.workflow.distributed import (
    iter_predict_to_zarr,
    predict_to_zarr,
)
from napari_zsdeconvnet.workflow.distributed.prediction import unfinished
from napari_zsdeconvnet.workflow.distributed.running import device_for, each_by
from napari_zsdeconvnet.workflow.record import Output, RunRecord
from tests.workflow.small_models import (
    PIXEL,
    KeepingVolume,
    Losing,
    LosingVolume,
    model_of,
    recording,
    written,
)


@pytest.fixture
def threads() -> Any:
    """A cluster of two workers in this process."""
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


CASES = [(Losing, "TYX"), (Losing, "YX"), (LosingVolume, "TZYX"), (KeepingVolume, "ZYX")]
TILE = {"YX": 40, "ZYX": (12, 40, 40)}


@pytest.mark.parametrize("large", [1, 10**12])
def test_bad_pixels_and_fingerprints_are_those_of_one_process(
    tmp_path: Path, threads: Any, monkeypatch: pytest.MonkeyPatch, large: int
):
    monkeypatch.setattr(provenance, "LARGE", large)
    model, image = model_of(Losing()), recording(tmp_path, "TYX")
    pixels = np.tile(image.data, (10, 1, 1))
    pixels[:, 30, 40] = 6000
    pixels[3, 50, 60] = 5000
    pixels[5] = 0  # a frame that was not recorded
    many = replace(image, data=pixels, origin=None)
    each = each_by(threads)
    frames = np.asarray(pixels)
    alone = model.pixel_mask(frames.view(np.ndarray), PixelRule())
    monkeypatch.setattr(usable_pixels, "_FOUND", {})
    together = model.pixel_mask(frames, PixelRule(), each=each)
    assert alone is not None
    assert together is not None
    assert together is not alone
    np.testing.assert_array_equal(together.kinds(...), alone.kinds(...))
    np.testing.assert_array_equal(together.fill(..., pixels), alone.fill(..., pixels))
    assert together.sentences == alone.sentences
    assert together[3, 50, 60]
    assert together[:, 30, 40].all()
    assert Source.of(many, each) == Source.of(many)
    other = pixels.copy()
    other[9, 3, 3] += 1
    assert Source.of(replace(many, data=other), each).sha256 != Source.of(many).sha256


@pytest.mark.parametrize(("network", "axes"), CASES)
def test_results_are_those_of_one_machine_to_the_bit(
    network: Any, axes: str, tmp_path: Path, threads: Any
):
    model, image = model_of(network()), recording(tmp_path, axes)
    tile = TILE[model.axes]
    expected = model.predict(image, device="cpu", tile=tile)
    outputs = {name: tmp_path / f"{name}.ome.zarr" for name in ("deconvolved", "denoised")}
    for client in (None, threads):
        steps = iter_predict_to_zarr(
            model, image, outputs, device="cpu", tile=tile, client=client, force=True
        )
        states = list(steps)
        assert states[-1].done == states[-1].total > 2
        np.testing.assert_array_equal(written(outputs["deconvolved"]), expected.deconvolved)
        np.testing.assert_array_equal(written(outputs["denoised"]), expected.denoised)
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "deconvolved.ome.zarr",
            "denoised.ome.zarr",
            "in.ome.zarr",
        ]


def test_metadata_are_kept_and_others_can_read_it(tmp_path: Path):
    image = recording(tmp_path, "TZYX")
    image = replace(image, display=(Display("00FF00"),), position=(3.0, 1.0, 2.0))
    out = tmp_path / "out.ome.zarr"
    prediction = predict_to_zarr(
        model_of(KeepingVolume()), image, out, device="cpu", tile=(9, 40, 40)
    )
    yaozarrs.validate_zarr_store(str(out))
    result = read_image(out)
    assert result.axes == "TCZYX"
    assert result.voxel_size == pytest.approx((0.3, PIXEL / 2, PIXEL / 2))
    assert result.frame_interval == 0.5
    assert result.channel_names == ("Actin",)
    assert result.display[0].colour == "00FF00"
    assert result.position == pytest.approx((3, 1 - PIXEL / 4, 2 - PIXEL / 4))
    low, high = result.display[0].window or (0, 0)
    assert result.data[:].min() <= low < high <= result.data[:].max()
    record = RunRecord.read(out)
    assert record.prediction is not None
    assert record.prediction.outputs == prediction.outputs
    assert prediction.outputs["deconvolved"] == Output.of(out.name, written(out), "TZYX")


def test_an_axis_of_one_channel_is_left_out_and_of_several_one_is_wanted(tmp_path: Path):
    image, model = recording(tmp_path, "YX"), model_of(Losing())
    pixels = np.asarray(image.data)
    one, two = (
        replace(image, data=np.stack([pixels] * count), axes="CYX", origin=None) for count in (1, 2)
    )
    predict_to_zarr(model, one, tmp_path / "one.ome.zarr", device="cpu")
    predict_to_zarr(model, image, tmp_path / "plain.ome.zarr", device="cpu")
    np.testing.assert_array_equal(
        written(tmp_path / "one.ome.zarr"), written(tmp_path / "plain.ome.zarr")
    )
    with pytest.raises(InputError, match="has 2 channels"):
        predict_to_zarr(model, two, tmp_path / "two.ome.zarr", device="cpu")


def test_a_pyramid_averages_what_lies_under_each_pixel(tmp_path: Path):
    image = recording(tmp_path, "YX")
    wide = np.tile(np.asarray(image.data), (4, 8))[:, :701]
    out = tmp_path / "out.ome.zarr"
    predict_to_zarr(model_of(Losing()), replace(image, data=wide, origin=None), out, device="cpu")
    fine, coarse = written(out), read_image(out, level=1)
    assert coarse.data.shape == (1, 280, 701)
    expected = fine.reshape(280, 2, 701, 2).mean((1, 3))
    np.testing.assert_allclose(coarse.data[0], expected, rtol=1e-5)
    assert coarse.voxel_size == pytest.approx((PIXEL, PIXEL))
    assert coarse.position[1:] == pytest.approx((0, 0), abs=1e-9)
    third = read_image(out, level=2)
    assert third.data.shape == (1, 140, 351)
    np.testing.assert_allclose(
        third.data[0, :, 350], coarse.data[0].reshape(140, 2, 701)[:, :, 700].mean(1), rtol=1e-5
    )
    with pytest.raises(InputError, match="has 3 levels"):
        read_image(out, level=3)


@pytest.mark.parametrize(
    ("length", "part", "chunk", "shard"),
    [
        (4000, 208, 208, 208),
        (4000, 4608, 1000, 4000),
        (1999, 1999, 1000, 2000),
        (9000, 3072, 1024, 3072),
    ],
)
def test_chunks_divide_shards_and_a_shard_is_a_tile(length: int, part: int, chunk: int, shard: int):
    layout = Layout.of((1, 1, 30, length, length), (16, part, part))
    assert layout == Layout((1, 1, 1, chunk, chunk), (1, 1, 16, shard, shard))


class TestARunThatEndedEarly:
    def begin(self, folder: Path, **settings: Any) -> Any:
        image = recording(folder, "TYX")
        self.model = model_of(Losing())
        outputs = {"deconvolved": folder / "out.ome.zarr"}
        return iter_predict_to_zarr(
            self.model, image, outputs, **{"device": "cpu", "tile": 40, **settings}
        )

    def test_goes_on_with_what_is_missing(self, tmp_path: Path):
        steps = self.begin(tmp_path)
        for _ in range(5):
            total = next(steps).total
        steps.close()
        out = tmp_path / "out.ome.zarr"
        assert not out.exists()
        assert unfinished(out).is_dir()
        with pytest.raises(InputError, match="go on with resume=True, or begin anew"):
            next(self.begin(tmp_path))
        image, other = recording(tmp_path, "TYX"), Losing()
        other.extra = torch.nn.Parameter(torch.zeros(1))
        with pytest.raises(InputError, match="unfinished run has another model"):
            predict_to_zarr(model_of(other), image, out, device="cpu", resume=True)
        states = list(self.begin(tmp_path, resume=True, tile=None))
        assert f"5 of {total} tiles are there from before" in states[0].message
        assert self.model.network.computed == total - 5
        expected = self.model.predict(recording(tmp_path, "TYX"), device="cpu", tile=40)
        np.testing.assert_array_equal(written(out), expected.deconvolved)
        assert not unfinished(out).exists()

    def test_is_not_gone_on_with_by_one_whose_pixels_differ(self, tmp_path: Path):
        steps = self.begin(tmp_path)
        next(steps)
        steps.close()
        out, image, model = tmp_path / "out.ome.zarr", recording(tmp_path, "TYX"), self.model
        assert image.origin is not None
        maps = CameraMaps.of(np.full((70, 90), 101.0), 2.0, 4.0)
        ruled = replace(image, pixel_rule=PixelRule(outliers=False))
        plane = replace(image, origin=replace(image.origin, plane=1))
        darker = replace(model, noise=replace(model.noise, offset=90.0))
        for what, (other, given, camera) in {
            "bad pixels": (model, ruled, None),
            "image": (model, plane, None),
            "noise": (darker, image, None),
            "camera": (model, image, maps),
        }.items():
            with pytest.raises(InputError, match=f"unfinished run has another {what} than"):
                predict_to_zarr(other, given, out, device="cpu", resume=True, camera=camera)
        predict_to_zarr(model, image, out, device="cpu", resume=True)

    def test_begins_anew_where_that_is_asked_for(self, tmp_path: Path):
        steps = self.begin(tmp_path)
        next(steps)
        steps.close()
        states = list(self.begin(tmp_path, force=True))
        assert self.model.network.computed == states[-1].total

    def test_leaves_nothing_where_nothing_was_done(self, tmp_path: Path):
        with pytest.raises(InputError, match="no unfinished run"):
            next(self.begin(tmp_path, resume=True))
        assert not unfinished(tmp_path / "out.ome.zarr").exists()

    @pytest.mark.parametrize("on_cluster", [False, True])
    def test_names_the_chunks_that_cannot_be_read(
        self, tmp_path: Path, threads: Any, on_cluster: bool
    ):
        steps = self.begin(tmp_path, client=threads if on_cluster else None)
        next(steps)
        chunk = tmp_path / "in.ome.zarr/0/c/1/2/2"
        whole = chunk.read_bytes()
        chunk.write_bytes(whole[:9])
        with pytest.raises(InputError, match=r"chunk 0/c/1/2/2 cannot .*resume=True") as caught:
            list(steps)
        failed = len(caught.value.fields["tiles"])
        chunk.write_bytes(whole)
        again = iter_predict_to_zarr(
            self.model,
            read_image(tmp_path / "in.ome.zarr"),
            {"deconvolved": tmp_path / "out.ome.zarr"},
            device="cpu",
            resume=True,
        )
        before = self.model.network.computed
        list(again)
        assert self.model.network.computed - before == failed > 0


def _refuse() -> None:
    raise InputError("zarr-no-group", "memory://cells.ome.zarr holds no Zarr.")


def test_what_workers_cannot_open_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ZarrPixels, "__reduce__", lambda _: (_refuse, ()))
    image, out = recording(tmp_path, "YX"), tmp_path / "out.ome.zarr"
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None,
            protocol="tcp://",
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
        pytest.raises(InputError, match=r"A worker cannot open .*memory://cells"),
    ):  # fmt: skip
        predict_to_zarr(model_of(Losing()), image, out, device="cpu", client=client)
    assert not unfinished(out).exists()


def test_outputs_are_not_overwritten_and_not_put_into_the_input(tmp_path: Path):
    model, image = model_of(Losing()), recording(tmp_path, "YX")
    for name in ("in.ome.zarr", "in.ome.zarr/out.ome.zarr"):
        for origin in (image.origin, Origin((tmp_path / "in.ome.zarr").as_uri())):
            given = replace(image, origin=origin)
            with pytest.raises(InputError, match="is the input or lies in it"):
                predict_to_zarr(model, given, tmp_path / name, device="cpu", force=True)
    with pytest.raises(InputError, match=r"memory://out\.ome\.zarr is an address"):
        predict_to_zarr(model, image, "memory://out.ome.zarr", device="cpu")
    out = tmp_path / "out.ome.zarr"
    predict_to_zarr(model, image, out, device="cpu")
    with pytest.raises(InputError, match="exists: replace it with force=True"):
        predict_to_zarr(model, image, out, device="cpu")
    before = written(out)
    predict_to_zarr(model, image, out, device="cpu", force=True)
    np.testing.assert_array_equal(written(out), before)


class Workers:
    """As much of a client as says what workers compute with."""

    def __init__(self, *kinds: str) -> None:
        self.kinds = kinds

    def run(self, _: Any, name: str) -> dict[str, torch.device]:
        return {f"worker {number}": torch.device(kind) for number, kind in enumerate(self.kinds)}


def test_what_computes_is_what_the_workers_have():
    workers: Any = Workers("cuda:0", "cuda:0")
    assert device_for(workers, "auto") == torch.device("cuda:0")
    mixed: Any = Workers("cpu", "cuda:0")
    with pytest.raises(InputError, match="Some workers compute on cpu and others on cuda"):
        device_for(mixed, "auto")
    assert device_for(None, "cpu") == torch.device("cpu")
