"""Packages of bioimage.io: a model's graphs, its own file and a description that tools read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..utils.errors import InputError
from .exported_graph import ExportedGraph, example_of
from .model_file import OWN_FILE

if TYPE_CHECKING:
    from .model import Model

_DOI = "10.1038/s41467-024-48575-9"
_CITATION = (
    "Qiao, C. et al. Zero-shot learning enables instant denoising and super-resolution in optical "
    "fluorescence microscopy. Nature Communications 15, 4180 (2024)."
)


def write_package(
    model: Model,
    graph: ExportedGraph,
    weights: Mapping[str, Path],
    opset: int,
    path: Path,
    title: str,
    authors: Sequence[str],
    licence: str,
) -> None:
    """Write a package and have bioimageio.core validate and run it.

    Parameters
    ----------
    model, graph
        What is packed.
    weights
        Files of the graph, .onnx and .pt.
    opset
        Of the former.
    path
        The package, .zip.
    title, authors, licence
        What is said of it.

    Raises
    ------
    InputError
        If the title or the licence is not allowed, or the package fails its test.
    """
    import torch
    from bioimageio.core import test_model
    from bioimageio.spec import save_bioimageio_package
    from bioimageio.spec.model import v0_5 as spec
    from pydantic import ValidationError

    folder = path.parent
    raw = example_of(model, 2 * graph.halo + 8 * graph.multiple)
    with torch.no_grad():
        results = graph(torch.from_numpy(raw)[None, None])
    tensors = {"raw": raw[None, None]}
    tensors |= dict(zip(("denoised", "deconvolved"), (one.numpy() for one in results), strict=True))
    files = {name: folder / f"{name}.npy" for name in tensors}
    for name, pixels in tensors.items():
        np.save(files[name], pixels)
    model.save(folder / OWN_FILE)
    readme = folder / "README.md"
    readme.write_text(_readme(model, graph, title), encoding="utf-8")

    def file(place: Path) -> Any:
        return spec.FileDescr(source=place)

    def output(name: str, factor: int) -> Any:
        return spec.OutputTensorDescr(
            id=spec.TensorId(name),
            axes=[*_leading(spec), *_output_axes(spec, model, graph, factor)],
            test_tensor=file(files[name]),
            data=spec.IntervalOrRatioDataDescr(type="float32"),
            description=f"The {name} image, counts above the camera's offset.",
        )

    try:
        described = spec.ModelDescr(
            name=title,
            description=f"ZS-DeconvNet for one microscope: {model.psf.describe()}",
            authors=[spec.Author(name=one) for one in authors],
            cite=[spec.CiteEntry(text=_CITATION, doi=spec.Doi(_DOI))],
            license=spec.LicenseId(licence),
            documentation=file(readme),
            attachments=[file(folder / OWN_FILE)],
            tags=["deconvolution", "denoising", "fluorescence", "super-resolution", "2d"],
            inputs=[
                spec.InputTensorDescr(
                    id=spec.TensorId("raw"),
                    axes=[*_leading(spec), *_input_axes(spec, model, graph)],
                    test_tensor=file(files["raw"]),
                    data=spec.IntervalOrRatioDataDescr(type="float32"),
                    pad=spec.ReflectPadding(),
                    description="Camera counts as recorded, offset included.",
                )
            ],
            outputs=[output("denoised", 1), output("deconvolved", model.upsampling)],
            weights=spec.WeightsDescr(
                onnx=spec.OnnxWeightsDescr(source=weights[".onnx"], opset_version=opset),
                torchscript=spec.TorchscriptWeightsDescr(
                    source=weights[".pt"],
                    pytorch_version=spec.Version(torch.__version__.partition("+")[0]),
                    parent="onnx",
                ),
            ),
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "this description"
        raise InputError(
            "export-description",
            f"bioimage.io does not allow {where}: {first['msg']}. Change it.",
        ) from error
    save_bioimageio_package(described, output_path=path)
    for kind in ("onnx", "torchscript"):
        summary = test_model(path, weight_format=kind)
        if summary.status != "passed":
            raise InputError(
                "export-untested",
                f"The package fails the test of bioimageio.core ({kind}): {_failure(summary)}. "
                "Update bioimageio.core, or export ONNX.",
            )


def _failure(summary: Any) -> str:
    errors = [str(one.msg) for detail in summary.details for one in detail.errors]
    return errors[0].split("\n")[0] if errors else "it gives no reason"


def _leading(spec: Any) -> list[Any]:
    return [
        spec.BatchAxis(),
        spec.ChannelAxis(channel_names=[spec.Identifier("channel0")]),
    ]


def _pixel(model: Model) -> dict[str, Any]:
    if model.voxel_size is None:
        return {"scale": 1.0}
    return {"scale": float(model.voxel_size[-1]), "unit": "micrometer"}


def _input_axes(spec: Any, model: Model, graph: ExportedGraph) -> list[Any]:
    least = max(graph.smallest, 2 * graph.halo + graph.multiple)
    size = spec.ParameterizedSize(min=least, step=graph.multiple)
    return [
        spec.SpaceInputAxis(id=spec.AxisId(letter), size=size, **_pixel(model)) for letter in "yx"
    ]


def _output_axes(spec: Any, model: Model, graph: ExportedGraph, factor: int) -> list[Any]:
    pixel = _pixel(model)
    return [
        spec.SpaceOutputAxisWithHalo(
            id=spec.AxisId(letter),
            size=spec.SizeReference(tensor_id=spec.TensorId("raw"), axis_id=spec.AxisId(letter)),
            halo=factor * graph.halo,
            **{**pixel, "scale": pixel["scale"] / factor},
        )
        for letter in "yx"
    ]


def _readme(model: Model, graph: ExportedGraph, title: str) -> str:
    return f"""# {title}

{model.describe()}

Trained by napari-zsdeconvnet on one recording. It is valid for this pixel size, PSF and camera.

- Input: camera counts as recorded, float32, axes b, c, y, x; y and x are multiples of
  {graph.multiple} and at least {graph.smallest}.
- Outputs: the denoised image, and the deconvolved one on a grid {model.upsampling} times as fine.
- Tiles overlap by {graph.halo} pixels on each side.
- Hot pixels are not removed, as napari-zsdeconvnet does.
- `zsdeconvnet predict` and `Model.load` of napari-zsdeconvnet take this package as it is.

## Validation

The graphs were compared with napari-zsdeconvnet on a simulated image: they differ by less than
1e-4 of its brightest pixel. Check a result with `zsdeconvnet verdict`.
"""
