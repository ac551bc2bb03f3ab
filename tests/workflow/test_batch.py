"""Several recordings in a row: failures wait for the end, and models are used again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_zsdeconvnet.io.image import Image
from napari_zsdeconvnet.model import presets
from napari_zsdeconvnet.modes.base import Known
from napari_zsdeconvnet.modes.image_2d import Image2D
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.psf.microscope import Microscope
from napari_zsdeconvnet.simulation.sample import simulate
from napari_zsdeconvnet.training.trainer import Progress
from napari_zsdeconvnet.utils.errors import InputError
from napari_zsdeconvnet.workflow.batch import Batch, Began, Ended, Entry, Stepped
from napari_zsdeconvnet.workflow.pipeline import ModelReady, Predicted

PIXEL = 0.0626
NOISE = NoiseModel(100, 1.0, 4.0)
QUICK = replace(presets.PRESETS["fast"], patch=48, batch=1, steps=3)


def entry(name: str, *, wavelength: float = 0.525, seed: int = 0) -> Entry:
    def mode() -> Image2D:
        pixels = simulate("filaments", shape=(64, 64), pixel_size=PIXEL, seed=seed).raw
        image = Image(pixels, "YX", (PIXEL, PIXEL), name)
        return Image2D(image, Known(Microscope(1.3, wavelength), camera=NOISE))

    return Entry(name, mode, {"deconvolved": f"{name} sharp", "denoised": f"{name} clean"})


def broken(name: str) -> Entry:
    def mode() -> Image2D:
        raise InputError("file-unreadable", f"{name} cannot be read.")

    return Entry(name, mode)


def batch(*entries: Entry, **settings: object) -> Batch:
    return Batch(entries, **{"preset": QUICK, "judged": False, "device": "cpu", **settings})


def ended(events: list) -> list[Ended]:
    return [event for event in events if isinstance(event, Ended)]


def models(events: list) -> list[ModelReady]:
    steps = [event.step for event in events if isinstance(event, Stepped)]
    return [step for step in steps if isinstance(step, ModelReady)]


def test_a_failure_stops_nothing_and_is_kept_for_the_end():
    events = list(batch(entry("one"), broken("two"), entry("three", seed=1)))
    assert [event.index for event in events if isinstance(event, Began)] == [0, 1, 2]
    assert [event.done for event in ended(events)] == [True, False, True]
    assert [str(event.error or "") for event in ended(events)] == ["", "two cannot be read.", ""]


def test_a_failure_of_whatever_kind_is_kept():
    def mode() -> Image2D:
        raise MemoryError("no room")

    (event,) = ended(list(batch(Entry("one", mode))))
    assert isinstance(event.error, MemoryError)


def test_a_model_serves_those_it_fits_and_others_get_their_own():
    run = batch(
        entry("green"), entry("red", wavelength=0.68), entry("green again", seed=1),
        entry("red again", wavelength=0.68, seed=1),
    )  # fmt: skip
    ready = models(list(run))
    assert [step.trained for step in ready] == [True, True, False, False]
    green, red, green_again, red_again = (step.model for step in ready)
    assert green_again is green
    assert red_again is red
    assert run.models == [red, green]


def test_a_model_at_hand_is_used():
    (first,) = models(list(batch(entry("one"))))
    (second,) = models(list(batch(entry("two", seed=1), models=[first.model])))
    assert (second.trained, second.model) == (False, first.model)


def test_results_are_called_as_they_are_named():
    events = list(batch(entry("one")))
    (made,) = (
        event.step
        for event in events
        if isinstance(event, Stepped) and isinstance(event.step, Predicted)
    )
    assert made.record.prediction is not None
    outputs = made.record.prediction.outputs
    assert {what: output.file for what, output in outputs.items()} == {
        "deconvolved": "one sharp",
        "denoised": "one clean",
    }
    assert np.isfinite(made.result.deconvolved).all()


def test_stopped_it_keeps_what_there_is_and_begins_no_more():
    run = batch(entry("one"), entry("two", seed=1))
    events = []
    for event in run:
        events.append(event)
        if isinstance(event, Stepped) and isinstance(event.step, Progress):
            run.stop()
    assert [event.index for event in events if isinstance(event, Began)] == [0]
    assert [(event.index, event.done) for event in ended(events)] == [(0, True)]
    assert run.stopped


def test_stopped_before_it_begins_it_does_nothing():
    run = batch(entry("one"))
    run.stop()
    assert list(run) == []
