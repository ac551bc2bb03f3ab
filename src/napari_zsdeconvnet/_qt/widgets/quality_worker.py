"""Judging a result in a worker: verdict, z-map and spread.

`start_judging` needs a raw layer and a model. The result is taken from the layers that were made
of the two, or predicted where there are none. What was found is in `ViewerState.judged(layer)`,
and `ViewerState.verdict_changed` is emitted.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.viewer import Viewer
from qtpy.QtWidgets import QWidget

from ..layers.layer_axes import Reading, layer_voxel_size, pixels_of, read_as
from ..layers.layers import layer_image
from ..layers.raw_frames import RawFrames, raw_frames
from ..layers.records import RECORD_KEY
from ..layers.results import Frame, shown_result
from ..layers.state import Judged, Made, unwrapped
from ..layers.verdicts import show_verdict
from ..workers.workers import Job, Turns

if TYPE_CHECKING:
    from ...inference.predict import Result, TileProgress
    from ...model.model import Model
    from ...quality.verdict import Verdict


@dataclass(frozen=True)
class Asked:
    """How a result is to be judged."""

    repeats: int = 4
    """Re-corruptions for spread and resolution; 0 for neither."""
    second: ImageLayer | None = None
    """Another exposure of the same scene."""
    device: str = "auto"
    """What computes."""
    layers: bool = True
    """Show z-map and spread as layers, hidden at first."""


def start_judging(
    viewer: Viewer,
    layer: ImageLayer,
    model: Model,
    *,
    owner: QWidget,
    reading: Reading | None = None,
    asked: Asked | None = None,
    on_progress: Callable[[float, str], None] | None = None,
    on_verdict: Callable[[Judged], None] | None = None,
    on_failure: Callable[[Exception], None] | None = None,
    on_end: Callable[[], None] | None = None,
) -> Job[TileProgress, Verdict]:
    """Begin to judge what a model makes of a layer; of a series, the time point that is shown.

    The reading is by default what the layer says itself; raw SIM frames tell how by their number.
    ``on_progress`` gets the part that is done, from 0 to 1, and what is under way in words;
    ``on_verdict`` what was found, once the layers are there. The other handlers are those of
    `Job`, whose `stop` cancels: nothing is added then.

    Raises InputError if the layer cannot be read.
    """
    reading = reading or read_as(layer)
    asked = asked or Asked()
    judging = _Judging(unwrapped(viewer), layer, Made(model, reading), asked)
    counted = Counted(judging.predictions)

    def on_values(values: list[TileProgress]) -> None:
        for value in values:
            counted.add(value)
        if on_progress is not None:
            on_progress(counted.share, values[-1].message)

    def on_result(verdict: Verdict) -> Turns[None]:
        found = yield from judging.show(verdict)
        if on_verdict is not None:
            on_verdict(found)

    return Job(
        judging.work(),
        owner=owner,
        on_values=on_values,
        on_result=on_result,
        on_failure=on_failure,
        on_end=on_end,
        title="ZS-DeconvNet verdict",
        uses_torch=True,
    ).start()


def judged_as_raw_frames(layer: ImageLayer, model: Model, reading: Reading) -> bool:
    """Whether a layer holds raw SIM frames of a model's kind, and not what was made of such."""
    from ...inference.raw_frames import are_raw_frames

    size = layer_voxel_size(layer, reading.axes)
    pixel_size = None if size is None else size[-1]
    return are_raw_frames(model.reconstruction, tuple(pixels_of(layer).shape), pixel_size)


class _Judging:
    """What is judged: all that the worker needs is collected when this is made."""

    def __init__(self, viewer: Viewer, layer: ImageLayer, made: Made, asked: Asked) -> None:
        self._viewer, self._layer, self._asked = viewer, layer, asked
        self._raw = judged_as_raw_frames(layer, made.model, made.reading)
        if self._raw:  # by its frames, with the camera and the patterns of the result
            made = Made(made.model, _frames_of(layer, made.model))
        self._made = made
        self._frame = Frame.shown(viewer, layer, made.reading)
        self._shown = shown_result(viewer, layer, made)
        self.predictions = (self._shown is None) + asked.repeats + (asked.second is not None) + 3
        """Of which each takes about the same time; the last three are for PSF and blank."""

    def work(self) -> Generator[TileProgress, None, Verdict]:
        """Return what the worker runs."""
        model, reading, asked = self._made.model, self._made.reading, self._asked
        image = layer_image(self._layer, reading)
        second = None
        if asked.second is not None:
            like = read_as(asked.second, reading.kind) if not self._raw else None
            second = layer_image(asked.second, like or _frames_of(asked.second, model))
        shown = self._shown or ()
        pixels = [reading.in_a_row(pixels_of(one)) for one in shown]
        record = shown[-1].metadata.get(RECORD_KEY) if shown else None
        settings: dict[str, Any] = {
            "frame": self._frame.index or 0,
            "second": second,
            "repeats": asked.repeats,
            "device": asked.device,
        }

        def judge() -> Generator[TileProgress, None, Verdict]:
            from ...quality.verdict import iter_judge

            known = _made_with(record) if self._raw else {}
            if self._raw and not known:
                from ...quality.raw_frames import check_trained_on

                check_trained_on(model, image)
            elif pixels:
                known["result"] = _result(pixels)
            return (yield from iter_judge(model, image, **settings, **known))

        return judge()

    def show(self, verdict: Verdict) -> Turns[Judged]:
        """Keep the verdict and add its maps."""
        maps = self._asked.layers
        return show_verdict(self._viewer, self._frame, self._made.model, verdict, maps=maps)


def _made_with(record: Any) -> dict[str, Any]:
    """Return the camera and the patterns that a result was made with, by its record."""
    from ...workflow.record import RunRecord

    made = None if record is None else RunRecord.from_dict(record).prediction
    return {} if made is None else {"camera": made.camera, "reconstruction": made.reconstruction}


def _frames_of(layer: ImageLayer, model: Model) -> RawFrames:
    """Read a layer as raw frames with as many orientations and phases as the model's."""
    from ...sim.patterns import Patterns

    assert model.reconstruction is not None
    patterns = Patterns.from_dict(model.reconstruction["patterns"])
    return raw_frames(layer, len(patterns), patterns.phases)


def _result(pixels: Sequence[Any]) -> Result:
    """Make a result of the pixels of two layers."""
    from ...inference.predict import Result

    denoised, deconvolved = map(np.asarray, pixels)
    return Result(denoised, deconvolved)


class Counted:
    """Adds up the progress of several predictions."""

    def __init__(self, predictions: int) -> None:
        self._predictions = predictions
        self._ended = 0
        self._part = 0.0

    def add(self, value: TileProgress) -> None:
        self._part = value.done / max(value.total, 1)
        if value.done == value.total:
            self._ended, self._part = self._ended + 1, 0.0

    @property
    def share(self) -> float:
        return min((self._ended + self._part) / self._predictions, 1.0)
