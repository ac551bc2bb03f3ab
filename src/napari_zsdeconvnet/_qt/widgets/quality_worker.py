"""Judging a result in a worker, for whichever widget has one: verdict, z-map and spread.

`start_judging` needs a raw layer and a model. The result is taken from the layers that were made
of the two, or predicted where there are none. What was found is in `ViewerState.judged(layer)`,
which `ViewerState.verdict_changed` tells of.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import Colormap

from ..forms.sim_frames import RawFrames, raw_frames
from ..layers.layer_axes import Reading, layer_voxel_size, pixels_of, read_as
from ..layers.layers import add_or_update, layer_image, made_before, shown_place
from ..layers.records import RECORD_KEY, keep_verdict
from ..layers.results import DECONVOLVED, DENOISED, Frame, result_name, show_frame, shown_result
from ..layers.state import Judged, Made, ViewerState, unwrapped
from ..workers.workers import Job, Turns

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image as ImageLayer
    from qtpy.QtWidgets import QWidget

    from ...inference.predict import Result, TileProgress
    from ...model.model import Model
    from ...quality.verdict import Verdict

Z_MAP, SPREAD = "z-map", "spread"

Z_LIMIT = 4.0
"""Standard deviations of the noise at which the colours of the z-map end."""

_Z_COLOURS = Colormap(
    [(0.25, 0.65, 1.0, 1.0), (0.1, 0.1, 0.1, 1.0), (1.0, 0.6, 0.1, 1.0)],
    name="zsdeconvnet z",
    display_name="blue, grey, orange",
)


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
    viewer: napari.viewer.Viewer,
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

    The handlers are called on the main thread, as those of `Job`.

    Raises InputError if the layer cannot be read.

    Parameters
    ----------
    model : Model
        What made the result, or is to make it.
    reading : Reading, optional
        How to read the layer; by default what it says itself. Raw SIM frames tell how by their
        number.
    asked : Asked, optional
        How to judge.
    on_progress : callable, optional
        Gets the part that is done, from 0 to 1, and what is under way in words.
    on_verdict : callable, optional
        Gets what was found, once the layers are there.
    on_failure, on_end : callable, optional
        As for `Job`.

    Returns
    -------
    Job
        Its `stop` cancels: nothing is added then.
    """
    reading = reading or read_as(layer)
    asked = asked or Asked()
    judging = _judging_of(unwrapped(viewer), layer, Made(model, reading), asked)
    counted = _Counted(judging.predictions)

    def on_values(values: list[TileProgress]) -> None:
        for value in values:
            counted.add(value)
        if on_progress is not None:
            on_progress(counted.share, values[-1].message)

    def on_result(verdict: Verdict) -> Turns[None]:
        found = yield from judging.show(verdict)
        if on_verdict is not None:
            on_verdict(found)

    job = Job(
        judging.work(),
        owner=owner,
        on_values=on_values,
        on_result=on_result,
        on_failure=on_failure,
        on_end=on_end,
        title="ZS-DeconvNet verdict",
        uses_torch=True,
    )
    job.start()
    return job


def judged_as_raw_frames(layer: ImageLayer, model: Model, reading: Reading) -> bool:
    """Whether a layer holds raw SIM frames of a model's kind, and not what was made of such."""
    from ...inference.raw_frames import are_raw_frames

    size = layer_voxel_size(layer, reading.axes)
    pixel_size = None if size is None else size[-1]
    return are_raw_frames(model.reconstruction, tuple(pixels_of(layer).shape), pixel_size)


def _judging_of(
    viewer: napari.viewer.Viewer, layer: ImageLayer, made: Made, asked: Asked
) -> _Judging:
    kind = _SIMJudging if judged_as_raw_frames(layer, made.model, made.reading) else _Judging
    return kind(viewer, layer, made, asked)


class _Judging:
    """What is judged: all that the worker needs is collected when this is made."""

    def __init__(
        self, viewer: napari.viewer.Viewer, layer: ImageLayer, made: Made, asked: Asked
    ) -> None:
        self._viewer, self._layer, self._asked = viewer, layer, asked
        self._made = self._as_made(made)
        self._frame = Frame.shown(viewer, layer, self._made.reading)
        self._shown = self._shown_result()
        self.predictions = (self._shown is None) + asked.repeats + (asked.second is not None) + 3
        """Of which each takes about the same time; the last three are for PSF and blank."""

    def work(self) -> Generator[TileProgress, None, Verdict]:
        """Return what the worker runs."""
        layer, made, asked = self._layer, self._made, self._asked
        image = layer_image(layer, made.reading)
        second = None
        if asked.second is not None:
            second = layer_image(asked.second, read_as(asked.second, made.reading.kind))
        pixels = None if self._shown is None else [one.data for one in self._shown]

        def judge() -> Generator[TileProgress, None, Verdict]:
            from ...quality.verdict import iter_judge

            return (
                yield from iter_judge(
                    made.model,
                    image,
                    frame=self._index or 0,
                    result=None if pixels is None else _result(pixels),
                    second=second,
                    repeats=asked.repeats,
                    device=asked.device,
                )
            )

        return judge()

    def show(self, verdict: Verdict) -> Turns[Judged]:
        """Keep the verdict and add its maps, each in a turn of its own."""
        found = Judged(self._made.model, verdict, self._index)
        for layer in self._shown or ():
            layer.metadata = {**layer.metadata, "verdict": verdict.to_dict()}
            keep_verdict(layer, verdict)
        if self._asked.layers:
            yield from self._show_maps(verdict)
        ViewerState.of(self._viewer).set_judged(self._layer, found)
        return found

    def _show_maps(self, verdict: Verdict) -> Turns[None]:
        z_map, spread = verdict.maps.get("z_map"), verdict.maps.get("spread")
        if z_map is not None:
            layer = self._show_map(Z_MAP, z_map)
            layer.colormap = _Z_COLOURS
            most = max(Z_LIMIT, float(np.abs(z_map).max()))
            layer.contrast_limits_range = (-most, most)
            layer.contrast_limits = (-Z_LIMIT, Z_LIMIT)
            yield
        if spread is not None:
            layer = self._show_map(SPREAD, spread)
            layer.colormap = "inferno"
            layer.contrast_limits = (0.0, layer.contrast_limits[1])
            yield

    # ------------------------------------------------------------------ of images and volumes

    @property
    def _index(self) -> int | None:
        """Which time point is judged; None for a layer without time."""
        return self._frame.index

    def _as_made(self, made: Made) -> Made:
        return made

    def _shown_result(self) -> list[ImageLayer] | None:
        return shown_result(self._viewer, self._layer, self._made)

    def _show_map(self, what: str, pixels: Any) -> ImageLayer:
        return show_frame(
            self._viewer,
            self._frame,
            what,
            pixels,
            upsampling=self._made.model.upsampling if what == SPREAD else 1,
            visible=False,  # else it would lie over the result
        )


class _SIMJudging(_Judging):
    """Judging by raw SIM frames, with the camera and the patterns of the result."""

    _frames: RawFrames
    _place: tuple[int, ...]

    def _as_made(self, made: Made) -> Made:
        self._frames = _frames_of(self._layer, made.model)
        self._place = shown_place(self._layer, self._viewer, self._frames.reading)
        return Made(made.model, self._frames.reading)

    def _shown_result(self) -> list[ImageLayer] | None:
        names = [result_name(self._layer, what) for what in (DENOISED, DECONVOLVED)]
        found = [made_before(self._viewer, name, self._layer) for name in names]
        there = [one for one in found if one is not None and RECORD_KEY in one.metadata]
        return there if len(there) == len(names) else None

    def work(self) -> Generator[TileProgress, None, Verdict]:
        """Return what the worker runs."""
        model, asked = self._made.model, self._asked
        raw = self._frames.image(self._layer, None)
        second = None
        if asked.second is not None:
            second = _frames_of(asked.second, model).image(asked.second, None)
        shown = self._shown
        pixels = None if shown is None else [self._frames.in_a_row(one.data) for one in shown]
        record = None if shown is None else shown[-1].metadata[RECORD_KEY]
        options: dict[str, Any] = {
            "frame": self._index or 0,
            "repeats": asked.repeats,
            "device": asked.device,
        }

        def judge() -> Generator[TileProgress, None, Verdict]:
            from ...quality.raw_frames import check_trained_on, iter_judge_frames
            from ...workflow.record import RunRecord

            known: dict[str, Any] = {}
            if pixels is not None and record is not None:
                made = RunRecord.from_dict(record)
                if made.weights_sha256 == RunRecord.of(model).weights_sha256 and made.prediction:
                    known = {
                        "camera": made.prediction.camera,
                        "reconstruction": made.prediction.reconstruction,
                        "result": _result(pixels),
                    }
            if not known:
                check_trained_on(model, raw)
            return (yield from iter_judge_frames(model, raw, second=second, **known, **options))

        return judge()

    @property
    def _index(self) -> int | None:
        """Which image of the recording the sliders stand at."""
        if len(self._frames.lengths) > 1:
            return int(np.ravel_multi_index(self._place, self._frames.lengths))
        index = self._frame.index
        return None if index is None else index // self._frames.every

    def _show_map(self, what: str, pixels: Any) -> ImageLayer:
        frames = self._frames
        origin: tuple[float, ...] = (0, 0)
        if len(frames.lengths) > 1:
            leading = (1,) * len(frames.lengths)
            pixels, origin = pixels.reshape(*leading, *pixels.shape), (*self._place, 0, 0)
        elif self._index is not None:
            pixels, origin = pixels[np.newaxis], (self._index * frames.every, 0, 0)
        return add_or_update(
            self._viewer,
            result_name(self._layer, what),
            pixels,
            like=self._layer,
            axes=frames.axes,
            upsampling=2,
            origin=origin,
            every=frames.every,
            visible=False,
        )


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


class _Counted:
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
