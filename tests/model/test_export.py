"""Models for other programs compute what `Model.predict` computes."""

from __future__ import annotations

import json
import sys
import zipfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.cli.main import main
from napari_zsdeconvnet.model import export_files
from napari_zsdeconvnet.model.exported_graph import ExportedGraph, example_of
from napari_zsdeconvnet.networks.base import psf_core
from napari_zsdeconvnet.networks.registry import build_network
from napari_zsdeconvnet.physics.direct_blur import DirectBlurAndBin
from napari_zsdeconvnet.physics.forward import BlurAndBin
from tests.refusals import refused

PIXEL = 0.065


def model_of(network: str, upsampling: int = 2) -> zs.Model:
    """A model with random weights, whose corrections are not zero."""
    torch.manual_seed(0)
    psf = zs.PSF.simulate(na=1.3, wavelength=0.525, pixel_size=PIXEL / upsampling)
    built = build_network(network, psf, upsampling)
    with torch.no_grad():
        for weight in built.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    if network == "published":
        built.receptive_field = 32  # what is mirrored at the borders would take long
    noise = zs.NoiseModel(100.0, 2.0, 9.0)
    built.expect_noise(noise, 500.0)
    return replace(
        trained(),
        network=built.eval(),
        settings={**trained().settings, "network": network},
        psf=psf,
        noise=noise,
        scale=500.0,
    )


@cache
def trained() -> zs.Model:
    """A model of pretrained weights, for what else is in one."""
    sample = zs.simulate("filaments", shape=(64, 64), pixel_size=PIXEL)
    return zs.train(sample.raw, sample.psf, sample.noise, steps=0, device="cpu").model


@pytest.fixture(scope="module")
def model() -> zs.Model:
    return model_of("informed")


@pytest.mark.parametrize("factor", [1, 2])
def test_direct_blur_is_that_of_the_physics(model: zs.Model, factor: int) -> None:
    core = psf_core(model.psf)
    core = core[:, :-2] / core[:, :-2].sum()  # not symmetric
    direct, usual = DirectBlurAndBin(core, factor), BlurAndBin(core, factor)
    image = torch.rand(1, 1, 48, 64)
    assert torch.allclose(direct(image), usual(image), atol=1e-5)
    assert torch.allclose(direct.adjoint(image), usual.adjoint(image), atol=1e-5)


@pytest.mark.parametrize(
    ("network", "upsampling"),
    [("informed", 2), ("informed", 1), ("unrolled", 2), ("published", 2)],
)
def test_graph_equals_predict(network: str, upsampling: int) -> None:
    model = model_of(network, upsampling)
    graph = ExportedGraph(model).eval()
    raw = example_of(model, graph.smallest + 2 * graph.multiple)[: graph.smallest]
    found = model.predict(raw, device="cpu")
    with torch.no_grad():
        made = graph(torch.from_numpy(raw)[None, None])
    for one, wanted in zip(made, (found.denoised, found.deconvolved), strict=True):
        assert one.shape[2:] == wanted.shape
        assert np.allclose(one[0, 0].numpy(), wanted, atol=1e-5 * np.abs(wanted).max())


def test_tiles_with_a_halo_equal_the_whole(model: zs.Model) -> None:
    graph = ExportedGraph(model).eval()
    size = 2 * graph.halo + 64
    raw = torch.from_numpy(example_of(model, size + 128))[None, None]
    with torch.no_grad():
        whole, tile = graph(raw)[1], graph(raw[..., 64 : 64 + size, 64 : 64 + size])[1]
    halo = 2 * graph.halo
    inner = tile[..., halo:-halo, halo:-halo]
    start = 128 + halo
    wanted = whole[..., start : start + inner.shape[-1], start : start + inner.shape[-1]]
    assert torch.allclose(inner, wanted, atol=1e-4 * float(whole.abs().max()))


def test_torchscript(model: zs.Model, tmp_path: Path) -> None:
    made = zs.export_model(model, tmp_path / "model.pt")
    assert made.difference < 1e-5
    with pytest.warns(DeprecationWarning, match="jit"):
        loaded: Any = torch.jit.load(str(tmp_path / "model.pt"))  # type: ignore[no-untyped-call]
    raw = torch.from_numpy(example_of(model, 128))[None, None, :96].repeat(2, 1, 1, 1)
    with torch.no_grad():
        assert torch.allclose(loaded(raw)[1], ExportedGraph(model)(raw)[1], atol=1e-2)


@pytest.mark.parametrize(
    "change",
    [{"axes": "ZYX"}, {"reconstruction": {"format": 1}}, {"out_of_focus": True}],
)
def test_what_cannot_be_exported(model: zs.Model, change: dict[str, Any], tmp_path: Path) -> None:
    with refused("export-unsupported"):
        zs.export_model(replace(model, **change), tmp_path / "model.pt")
    assert not [*tmp_path.iterdir()]


def test_other_endings(model: zs.Model, tmp_path: Path) -> None:
    with refused("export-kind"):
        zs.export_model(model, tmp_path / "model.h5")
    with refused("export-authors"):
        zs.export_model(model, tmp_path / "model.zip")


@pytest.mark.parametrize("missing", ["onnxruntime", "onnxscript"])
def test_without_the_extra(
    model: zs.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with refused("extra-missing"):
        zs.export_model(model, tmp_path / "model.onnx")


def test_what_differs_is_not_written(
    model: zs.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_files, "TOLERANCE", -1.0)
    with refused("export-differs"):
        zs.export_model(model, tmp_path / "model.pt")
    assert not [*tmp_path.iterdir()]


def test_packages_without_a_model(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as package:
        package.writestr("rdf.yaml", "name: other")
    with refused("model-of-other-program"):
        zs.Model.load(tmp_path / "a.zip")
    (tmp_path / "b.zip").write_bytes(b"PK not a package")
    with refused("model-damaged"):
        zs.Model.load(tmp_path / "b.zip")


def test_shell(model: zs.Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own, out = str(tmp_path / "model.safetensors"), str(tmp_path / "model.pt")
    model.save(own)
    assert main(["export", own, "-o", out, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["file"] == out
    assert said["difference"] < 1e-4
    assert main(["export", own, "-o", out]) == 2
    assert "--force" in capsys.readouterr().err
    assert main(["export", own, "-o", out, "--force", "--author", "A"]) == 2
    assert main(["export", own, "-o", str(tmp_path / "model.zip")]) == 2
    assert "--author" in capsys.readouterr().err


@pytest.mark.slow
def test_torch_export(tmp_path: Path) -> None:
    model = model_of("unrolled")
    zs.export_model(model, tmp_path / "model.pt2")
    loaded = torch.export.load(str(tmp_path / "model.pt2")).module()
    raw = torch.from_numpy(example_of(model, 128))[None, None, :, :96].repeat(3, 1, 1, 1)
    with torch.no_grad():
        assert torch.allclose(loaded(raw)[1], ExportedGraph(model)(raw)[1], atol=1e-2)


@pytest.mark.slow
def test_package_of_bioimage_io(tmp_path: Path) -> None:
    model = model_of("unrolled")  # the quickest to record
    core = pytest.importorskip("bioimageio.core")
    digest_spec = pytest.importorskip("bioimageio.core.digest_spec")
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    path = tmp_path / "cells.zip"
    made = zs.export_model(model, path, name="Cells in test", authors=["Ada Lovelace"])
    again = zs.Model.load(path)
    raw = example_of(model, 320)[:288]
    wanted = model.predict(raw, device="cpu").deconvolved
    assert np.array_equal(again.predict(raw, device="cpu").deconvolved, wanted)
    assert main(["info", str(path)]) == 0

    with zipfile.ZipFile(path) as package:
        session = onnxruntime.InferenceSession(package.read("model.onnx"))
    found = session.run(None, {"raw": raw[None, None]})[1][0, 0]
    assert np.abs(found - wanted).max() < 1e-4 * wanted.max()

    described = core.load_description(path)
    sample = digest_spec.create_sample_for_model(described, inputs={"raw": raw[None, None]})
    with core.create_prediction_pipeline(described) as pipeline:
        as_it_is = {"skip_input_padding": True, "skip_output_cropping": True}
        results = pipeline.predict_sample_without_blocking(sample, **as_it_is)
        found = results.members["deconvolved"].data.values[0, 0]
        assert np.abs(found - wanted).max() < 1e-4 * wanted.max()
        # It adds a halo of reflections by itself, wider than that of the program.
        results = pipeline.predict_sample_without_blocking(sample)
        found = results.members["deconvolved"].data.values[0, 0]
        inside = slice(2 * made.halo, -2 * made.halo)
        difference = np.abs(found - wanted)[inside, inside]
        assert difference.size
        assert difference.max() < 1e-4 * wanted.max()
    assert made.halo == ExportedGraph(model).halo
