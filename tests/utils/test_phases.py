"""Long computations say what they do, and end where nobody wants them any more."""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace

import numpy as np
import pytest

from napari_zsdeconvnet.io.image import Image
from napari_zsdeconvnet.simulation.sample import simulate
from napari_zsdeconvnet.utils import phases
from napari_zsdeconvnet.utils.phases import Cancelled, doing, go_on, heard_by, rounds


def test_nothing_happens_where_nobody_listens():
    go_on()
    doing("something")
    assert list(rounds(range(3), "counting")) == [0, 1, 2]


def test_rounds_end_where_they_are_cancelled_and_in_this_thread_alone():
    done, elsewhere = [], []

    def here():
        with heard_by(lambda: len(done) == 2, lambda _: None):
            thread = threading.Thread(target=lambda: elsewhere.extend(rounds(range(100))))
            thread.start()
            thread.join()
            for number in rounds(range(100)):
                done.append(number)

    with pytest.raises(Cancelled):
        here()
    assert done == [0, 1]
    assert len(elsewhere) == 100
    go_on()  # nobody listens any more


def test_rounds_say_what_they_do_and_how_long_it_still_takes(monkeypatch):
    clock = itertools.count()  # a second from one look to the next
    monkeypatch.setattr(phases, "monotonic", lambda: next(clock))
    said = []
    with heard_by(lambda: False, said.append):
        assert len(list(rounds(iter("abcd"), "reading 4 planes", total=4))) == 4
    assert said[0] == "reading 4 planes"
    # One took two looks' time: three are left.
    assert said[1:] == [f"reading 4 planes, about {s} s" for s in (6, 3, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("spatial", ["YX", "ZYX"])
def test_pipeline_ends_wherever_it_asks(spatial, monkeypatch):
    """Nothing on the way takes the cancellation for a failure, and each phase asks."""
    from napari_zsdeconvnet.model import presets
    from napari_zsdeconvnet.modes.base import Known
    from napari_zsdeconvnet.modes.registry import find_mode
    from napari_zsdeconvnet.noise import usable_pixels
    from napari_zsdeconvnet.psf.microscope import Microscope
    from napari_zsdeconvnet.training.trainer import Progress
    from napari_zsdeconvnet.workflow.pipeline import Pipeline

    planes = 1 if spatial == "YX" else 8
    pixels = np.stack(
        [
            simulate("filaments", shape=(64, 72), pixel_size=0.1, seed=plane).raw
            for plane in range(planes)
        ]
    )
    pixels = pixels[0] if spatial == "YX" else pixels
    image = Image(pixels, spatial, voxel_size=(0.3, 0.1, 0.1)[-len(spatial) :], name="cell")
    preset = replace(presets.presets_for(spatial)["fast"], batch=1)

    def steps():
        scope = Microscope(1.2, 0.525, refractive_index=1.33)
        mode, _ = find_mode(image)
        recording = mode(image, Known(scope))
        return Pipeline(recording, judged=False, preset=preset, steps=2, seed=0)

    def run(ends_at=None):
        asked, said = [], []
        monkeypatch.setattr(usable_pixels, "_FOUND", {})  # each run searches anew

        def cancelled():
            asked.append(said[-1] if said else "")
            return ends_at is not None and len(asked) > ends_at

        with heard_by(cancelled, said.append):
            for step in steps():
                if isinstance(step, Progress):
                    break
        return asked

    asked = run()
    first = {words: asked.index(words) for words in dict.fromkeys(asked)}
    phrases = " ".join(first)
    for part in ("simulating the PSF", "measuring the noise", "hot and dead", "first step on"):
        assert part in phrases
    for place in [*list(first.values())[::3], len(asked) - 1]:
        with pytest.raises(Cancelled):
            run(place)
