"""Models for other programs: ONNX, torch.export, TorchScript and packages of bioimage.io."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..utils.errors import InputError
from ..utils.files import check_writable, written_whole
from .exported_graph import ExportedGraph, example_of
from .model import Model

TOLERANCE = 1e-4
"""Difference from `Model.predict`, as a part of the brightest pixel, above which an export is
refused."""

INPUT, DENOISED, DECONVOLVED = "raw", "denoised", "deconvolved"
OPSET = 18
"""Of ONNX, the least that resizing needs; older programs read it too."""


@dataclass(frozen=True)
class Export:
    """What was written, and how it compares.

    Attributes
    ----------
    path
        The file.
    difference
        Largest difference of the file's results from those of `Model.predict`, as a part of the
        brightest pixel.
    multiple
        What Y and X of an image must be divisible by.
    smallest
        Pixels along Y and X, at least.
    halo
        Raw pixels by which tiles must overlap on each side.
    """

    path: Path
    difference: float
    multiple: int
    smallest: int
    halo: int


def export_model(
    model: Model,
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    authors: Sequence[str] = (),
    licence: str = "CC-BY-4.0",
) -> Export:
    """Write a model of images for other programs, and check that it computes the same.

    The graph takes camera counts (N, 1, Y, X) in float32 and gives the denoised and the
    deconvolved image in counts above the offset, with the physics at the model's PSF. Equality with
    `Model.predict` is measured on a simulated image before anything is written.

    Parameters
    ----------
    model
        Of images, without camera maps, out-of-focus background or raw SIM.
    path
        By its ending: .onnx (ONNX), .pt2 (torch.export), .pt (TorchScript) or .zip (a package of
        bioimage.io with ONNX, TorchScript and the model itself). ONNX and packages need the extra
        ``share``.
    name
        Title of a package; by default that of the file.
    authors
        Of a package, one at least.
    licence
        Of a package, as SPDX names it.

    Returns
    -------
    Export
        The file, how far its results differ, and what sizes and tiles it takes.

    Raises
    ------
    InputError
        If the model is of another kind, an ending is unknown, the extra is missing, the file cannot
        be written, or results differ by more than 1e-4 of the brightest pixel.

    Examples
    --------
    >>> import napari_zsdeconvnet as zs
    >>> sample = zs.simulate("filaments", shape=(64, 64))
    >>> run = zs.train(sample.raw, sample.psf, sample.noise, steps=0, device="cpu")
    >>> made = zs.export_model(run.model, "cells.pt2")
    >>> made.multiple, made.difference < 1e-4
    (8, True)
    """
    path = Path(path)
    writers: dict[str, Callable[..., Any]] = {
        ".onnx": _write_onnx,
        ".pt2": _write_program,
        ".pt": _write_torchscript,
    }
    suffix = path.suffix.lower()
    if suffix not in (*writers, ".zip"):
        raise InputError(
            "export-kind",
            f"{path} ends in {suffix or 'nothing'}; name a file that ends in .onnx, .pt2, .pt or "
            ".zip (bioimage.io).",
        )
    if suffix == ".zip" and not [one for one in authors if one.strip()]:
        raise InputError("export-authors", f"{path}: a package of bioimage.io names its authors.")
    check_writable(path)
    if suffix in (".onnx", ".zip"):
        require_share(path)
    graph = ExportedGraph(model)
    raw = example_of(model, graph.smallest + graph.multiple)
    expected = model.predict(raw, device="cpu")
    wanted = (expected.denoised, expected.deconvolved)
    with tempfile.TemporaryDirectory() as folder, _quietly():
        if suffix == ".zip":
            from .bioimage_io import write_package

            made = Path(folder) / "package.zip"
            parts = {ending: Path(folder) / f"model{ending}" for ending in (".onnx", ".pt")}
            difference = max(
                _compared(writers[ending](graph, part), raw, wanted, path)
                for ending, part in parts.items()
            )
            plain = "".join(letter if letter.isalnum() else "-" for letter in path.stem)
            title = name or f"{plain} (ZS-DeconvNet)"
            write_package(model, graph, parts, OPSET, made, title, tuple(authors), licence)
        else:
            made = Path(folder) / f"model{suffix}"
            difference = _compared(writers[suffix](graph, made), raw, wanted, path)
        with written_whole(path) as temporary:
            shutil.copyfile(made, temporary)
    return Export(path, difference, graph.multiple, graph.smallest, graph.halo)


def require_share(path: Path) -> None:
    """Refuse what needs the extra `share` where that is not installed, and say how it is."""
    try:
        import onnxscript  # noqa: F401, I001
        import onnxruntime  # noqa: F401
        import bioimageio.core  # noqa: F401  # loads the most
    except ImportError as error:
        lacking = error.name or "onnx"
        raise InputError(
            "extra-missing",
            f"{path} needs {lacking}, which is not installed; run: "
            'pip install "napari-zsdeconvnet[share]".',
        ) from error


def _compared(
    run: Callable[[NDArray[np.float32]], Sequence[NDArray[np.float32]]],
    raw: NDArray[np.float32],
    wanted: Sequence[NDArray[np.float32]],
    path: Path,
) -> float:
    """Give the largest difference of results from those wanted, and refuse what is too large."""
    found = run(raw[None, None])
    difference = max(
        float(np.abs(np.asarray(one)[0, 0] - other).max() / np.abs(other).max())
        for one, other in zip(found, wanted, strict=True)
    )
    if not difference <= TOLERANCE:
        raise InputError(
            "export-differs",
            f"{path} is not written: its results would differ from those of the model by "
            f"{difference:.1e} of the brightest pixel. Update torch and onnxruntime, or use the "
            "model by its own file.",
            difference=difference,
        )
    return difference


def _write_onnx(graph: ExportedGraph, path: Path) -> Any:
    with torch.inference_mode(False):
        made = torch.onnx.export(
            graph,
            (_inputs(graph),),
            dynamo=True,
            dynamic_shapes=_shapes(graph),
            input_names=[INPUT],
            output_names=[DENOISED, DECONVOLVED],
            opset_version=OPSET,
            verbose=False,
        )
    assert made is not None
    made.save(str(path))

    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda raw: session.run([DENOISED, DECONVOLVED], {INPUT: raw})


def _write_program(graph: ExportedGraph, path: Path) -> Any:
    with torch.inference_mode(False):
        program = torch.export.export(
            graph, (_inputs(graph),), dynamic_shapes=_shapes(graph), strict=False
        )
        torch.export.save(program, str(path))
        loaded = torch.export.load(str(path)).module()
    return _runner(loaded)


def _write_torchscript(graph: ExportedGraph, path: Path) -> Any:
    with torch.inference_mode(False), torch.no_grad():
        traced: Any = torch.jit.trace(  # type: ignore[no-untyped-call]
            graph, (_inputs(graph),), check_trace=False
        )
        torch.jit.save(traced, str(path))
    return _runner(torch.jit.load(str(path)))  # type: ignore[no-untyped-call]


def _runner(module: Any) -> Any:
    def run(raw: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        with torch.no_grad():
            return [result.numpy() for result in module(torch.from_numpy(raw))]

    return run


def _inputs(graph: ExportedGraph) -> torch.Tensor:
    """Give an image to record the graph by, longer along X than along Y."""
    size = graph.smallest + graph.multiple
    return torch.full((2, 1, size, size + graph.multiple), graph.offset + graph.scale)


def _shapes(graph: ExportedGraph) -> dict[str, Any]:
    """Say which lengths may vary, as multiples."""
    least = graph.smallest // graph.multiple
    rows, columns = (torch.export.Dim(name, min=least) for name in ("rows", "columns"))
    batch = torch.export.Dim("batch", min=1)
    return {"raw": {0: batch, 2: graph.multiple * rows, 3: graph.multiple * columns}}


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep back what torch says of packages that no graph needs, and of its own plans."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
