"""Long computations say what they do, and end where nobody wants them any more."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from napari_zsdeconvnet.io.image import Image
from napari_zsdeconvnet.simulation.sample import simulate
from napari_zsdeconvnet.utils import phases
from napari_zsdeconvnet.utils.phases import Cancelled, doing, go_on, heard_by, loaded, rounds


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


def test_loading_a_large_module_can_be_cancelled(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "large_module.py").write_text("import time\ntime.sleep(3)\nthere = True\n")
    begun = time.monotonic()
    with pytest.raises(Cancelled), heard_by(lambda: time.monotonic() > begun + 0.1, lambda _: None):
        loaded("large_module")
    assert time.monotonic() - begun < 2
    # It is loaded on meanwhile, and once.
    assert loaded("large_module").there
    assert time.monotonic() - begun > 2.5
    with heard_by(lambda: False, lambda _: None):
        assert loaded("large_module").there
        with pytest.raises(ModuleNotFoundError):
            loaded("no_such_module")


def bands_of_a_network():
    import torch

    from napari_zsdeconvnet.networks.registry import build_network
    from napari_zsdeconvnet.psf.psf import PSF

    psf = PSF.simulate(na=1.3, wavelength=0.525, pixel_size=0.0313, size=17)
    with torch.inference_mode():
        build_network("informed", psf, 2)(torch.rand(1, 1, 256, 256))


def filters_of_a_resolution():
    from napari_zsdeconvnet.quality.decorrelation import decorrelation_resolution

    decorrelation_resolution(np.random.default_rng(0).normal(size=(64, 64)), 0.1)


def transform_of_a_volume():
    import torch

    from napari_zsdeconvnet.physics.fourier import to_spectrum

    to_spectrum(torch.rand(1, 1, 4, 8, 8), (8, 12, 12), (0, 0, 0))


@pytest.mark.parametrize(
    ("compute", "times"),
    [(bands_of_a_network, 50), (filters_of_a_resolution, 9), (transform_of_a_volume, 0)],
)
def test_what_takes_seconds_of_a_large_image_asks_on_its_way(compute, times, monkeypatch):
    from napari_zsdeconvnet.physics import row_blocks

    monkeypatch.setattr(row_blocks, "BAND", 2**17)  # as many bands as a larger image has
    asked = []

    def cancelled():
        asked.append(time.monotonic())
        return len(asked) > times

    with pytest.raises(Cancelled), heard_by(cancelled, lambda _: None):
        compute()


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

    run()  # libraries are loaded once, and asked about while they are
    asked = run()
    first = {words: asked.index(words) for words in dict.fromkeys(asked)}
    phrases = " ".join(first)
    for part in ("simulating the PSF", "measuring the noise", "hot and dead", "first step on"):
        assert part in phrases
    for place in [*list(first.values())[::3], len(asked) - 1]:
        with pytest.raises(Cancelled):
            run(place)
