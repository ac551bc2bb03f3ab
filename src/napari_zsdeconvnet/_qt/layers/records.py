"""The record of a result, kept with its layer: made in the worker, written when asked for."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer
from qtpy.QtWidgets import QFileDialog, QWidget

from ...io.image import Image, made_of
from ...utils.errors import InputError
from ..workers.notifications import show_info
from ..workers.workers import in_background

if TYPE_CHECKING:
    from ...inference.predict import Result, TileProgress
    from ...model.model import Model
    from ...quality.verdict import Verdict
    from ...workflow.record import Prediction, RunRecord

RECORD_KEY = "zsdeconvnet"
"""Of a result layer's metadata; what stands there is ready for JSON."""

RECORD_FILES = "Run records (*.json);;All files (*)"


def recorded(
    tiles: Generator[TileProgress, None, tuple[Result, Prediction]],
    model: Model,
    names: dict[str, str],
    image: Image | None = None,
) -> Generator[TileProgress, None, tuple[Result, dict[str, Any]]]:
    """Predict, and make the record of it, all in the worker.

    The tiles are those of `iter_recorded`, the names those of the layers that will show the result.
    With the image, what is too large for memory is given in several resolutions.
    """
    from ...inference.predict import in_pyramids
    from ...workflow.record import RunRecord

    result, prediction = yield from tiles
    prediction = prediction.with_outputs(result, names)
    if image is not None:
        result = in_pyramids(result, partial(made_of, image))
    return result, RunRecord.of(model, prediction=prediction).to_dict()


def record_of(layer: ImageLayer) -> RunRecord:
    """Read the record of a result layer.

    Raises InputError if it has none.
    """
    from ...workflow.record import RunRecord

    if RECORD_KEY not in layer.metadata:
        raise InputError(
            "layer-without-record", f"Layer {layer.name!r} has no run record; deconvolve it anew."
        )
    return RunRecord.from_dict(layer.metadata[RECORD_KEY])


def keep_verdict(layer: ImageLayer, verdict: Verdict) -> None:
    """Add a verdict to the record of a result layer, if it has one."""
    from ...workflow.record import packed_verdict

    record = layer.metadata.get(RECORD_KEY)
    if record is not None:
        judged = {**record, "verdict": packed_verdict(verdict)}
        layer.metadata = {**layer.metadata, RECORD_KEY: judged}


def save_record(owner: QWidget, layer: ImageLayer) -> None:
    """Ask where, and write the record of a result layer."""
    name = f"{layer.name}.json"
    path, _ = QFileDialog.getSaveFileName(owner, "Save the record", name, RECORD_FILES)
    if path:
        write_record(owner, layer, path)


def write_record(owner: QWidget, layer: ImageLayer, path: str | Path) -> None:
    """Write the record of a result layer in a worker."""
    in_background(
        owner,
        "saving a record",
        lambda: record_of(layer).write(path),
        lambda _: show_info(f"Record saved to {Path(path).name}."),
    )
