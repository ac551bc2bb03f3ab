"""Several layers one after the other: asked once, listed as they go, through real workers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.utils import progress

from napari_zsdeconvnet._qt.layers.state import ViewerState
from napari_zsdeconvnet._qt.widgets.queue_widget import QueueWidget
from napari_zsdeconvnet._qt.workers import preferences
from napari_zsdeconvnet.model import presets
from napari_zsdeconvnet.simulation.raw_sim import simulate_sim
from napari_zsdeconvnet.simulation.sample import simulate
from napari_zsdeconvnet.workflow.record import RunRecord

PIXEL = 0.0626
LONG = 300_000  # milliseconds; shared machines can be slow


def metadata(channel="GFP", wavelength=525):
    return {
        "OME": {
            "Instrument": {"Objective": {"LensNA": 1.3}},
            "Image": {"Pixels": {"Channel": {"Name": channel, "EmissionWavelength": wavelength}}},
        }
    }


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch):
    for chosen in (presets.PRESETS, presets.SIM_PRESETS):
        small = replace(chosen["fast"], patch=48, batch=1, steps=3)
        monkeypatch.setitem(chosen, "fast", small)


@pytest.fixture(scope="module")
def pixels():
    return simulate("filaments", shape=(96, 96), pixel_size=PIXEL).raw


@pytest.fixture
def queue(viewer):
    widget = QueueWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Queue")
    widget.judge_box.value = False
    yield widget
    widget.cancel()


def add(viewer, pixels, name, **settings):
    plain = {"scale": (PIXEL, PIXEL), "units": ("um", "um"), "metadata": metadata()}
    return viewer.add_image(pixels, name=name, **{**plain, **settings})


def texts(queue):
    return [queue.layer_list.item(row).text() for row in range(queue.layer_list.count())]


def wait_for_end(qtbot, queue):
    qtbot.waitUntil(lambda: not queue.running, timeout=LONG)


def test_all_layers_become_results_and_one_model_serves_its_like(qtbot, viewer, pixels, queue):
    one = add(viewer, pixels, "one")
    add(viewer, pixels[::-1], "two")
    add(viewer, pixels, "red", metadata=metadata("RFP", 680))
    queue.start_button.click()
    assert queue.layer_list.locked
    wait_for_end(qtbot, queue)
    assert not queue.asking, "the metadata say it all"
    assert queue.failures == {}
    assert queue.status_label.text() == "3 of 3 layers done."
    assert texts(queue) == ["✓ one: done", "✓ two: done", "✓ red: done"]
    records = {}
    for name in ("one", "two", "red"):
        assert not viewer.layers[f"{name} denoised"].visible
        deconvolved = viewer.layers[f"{name} deconvolved"]
        assert deconvolved.data.shape == (192, 192)
        records[name] = RunRecord.from_dict(deconvolved.metadata["zsdeconvnet"])
    assert records["one"].weights_sha256 == records["two"].weights_sha256
    assert records["red"].weights_sha256 != records["one"].weights_sha256
    assert records["two"].prediction.outputs["deconvolved"].file == "two deconvolved"
    assert ViewerState.of(viewer).judged(one) is None
    assert not queue.layer_list.locked


def test_only_those_that_are_ticked_are_done(qtbot, viewer, pixels, queue):
    add(viewer, pixels, "one")
    two = add(viewer, pixels, "two")
    assert queue.layers == queue.chosen
    queue.none_button.click()
    assert queue.chosen == []
    assert not queue.start_button.isEnabled()
    viewer.layers.selection = {two}
    queue.selected_button.click()
    assert queue.chosen == [two]
    three = add(viewer, pixels, "three")
    assert queue.chosen == [two, three], "what was not ticked stays so, and what is new is ticked"
    queue.choose([two])
    queue.start()
    wait_for_end(qtbot, queue)
    assert "two deconvolved" in viewer.layers
    assert "one deconvolved" not in viewer.layers
    assert queue.layers == [viewer.layers["one"], two, three], "results are not offered"


def test_failures_are_listed_at_the_end_and_in_nobodys_way(
    qtbot, viewer, pixels, queue, notifications
):
    holed = pixels.astype(np.float32)
    holed[20:40, 20:40] = np.nan
    add(viewer, holed, "holed")
    add(viewer, np.stack([pixels] * 2), "two channels", scale=(1, PIXEL, PIXEL),
        units=("pixel", "um", "um"), axis_labels=("c", "y", "x"))  # fmt: skip
    add(viewer, pixels, "sound")
    queue.start()
    wait_for_end(qtbot, queue)
    assert set(queue.failures) == {"holed", "two channels"}
    assert "NaN" in queue.failures["holed"]
    assert "All channels…" in queue.failures["two channels"]
    text = queue.status_label.text()
    assert text.startswith("1 of 3 layers done.\n2 failed:")
    assert "✗ holed: " in text
    assert texts(queue)[0] == "✗ holed: failed"
    assert "sound deconvolved" in viewer.layers
    assert not [message for severity, message in notifications if severity == "error"]


def test_what_is_lacking_is_asked_once_for_all_that_lack_the_same(qtbot, viewer, pixels, queue):
    for name in ("one", "two"):
        add(viewer, pixels, name, metadata={"Channel": {"Name": "GFP"}})
    add(viewer, pixels, "red", metadata={"Channel": {"Name": "RFP"}})
    queue.start()
    qtbot.waitUntil(lambda: queue.asking or not queue.running, timeout=LONG)
    assert queue.form.title.text() == "Channel 'GFP': one, two"
    assert "one is read as image" in queue.status_label.text()
    assert not queue.start_button.isEnabled()
    queue.form.boxes["na"].value = 1.3
    queue.form.boxes["wavelength"].value = 525
    assert queue.start_button.text() == "Go on"
    queue.start_button.click()
    assert queue.form.title.text() == "Channel 'RFP': red"
    assert queue.form.boxes["na"].value == 1.3, "as typed last"
    queue.form.boxes["wavelength"].value = 680
    queue.start_button.click()
    assert not queue.asking
    wait_for_end(qtbot, queue)
    assert queue.status_label.text() == "3 of 3 layers done."
    record = RunRecord.from_dict(viewer.layers["red deconvolved"].metadata["zsdeconvnet"])
    assert "680 nm emission" in record.psf.source


def test_a_form_that_is_cancelled_begins_nothing(qtbot, viewer, pixels, queue):
    add(viewer, pixels, "one", metadata={})
    queue.start()
    qtbot.waitUntil(lambda: queue.asking, timeout=LONG)
    queue.cancel_button.click()
    assert not queue.asking
    assert not queue.running
    assert queue.status_label.text() == "Cancelled: 0 of 1 layers done."
    assert queue.start_button.text() == "Deconvolve all"


def test_the_activity_dock_shows_how_far_it_is_and_cancels(
    qtbot, viewer, pixels, queue, monkeypatch
):
    # Some steps that nothing is gained from, so that there is time to cancel.
    endless = replace(presets.PRESETS["fast"], steps=500, patience=0)
    monkeypatch.setitem(presets.PRESETS, "fast", endless)
    add(viewer, pixels, "one")
    add(viewer, pixels[::-1], "two", metadata=metadata("RFP", 680))
    queue.start()
    qtbot.waitUntil(
        lambda: any("training" in bar.desc for bar in progress._all_instances), timeout=LONG
    )
    (bar,) = progress._all_instances
    assert bar.desc.removesuffix(": ") == "Queue: 1 of 2, one, training"  # tqdm adds it later
    qtbot.waitUntil(lambda: bar.n > 0, timeout=LONG)
    assert bar.n < bar.total / 2
    assert "training" in texts(queue)[0]
    bar.cancel()  # what the button in the dock calls
    wait_for_end(qtbot, queue)
    qtbot.waitUntil(lambda: not progress._all_instances, timeout=LONG)
    assert queue.status_label.text() == "Cancelled: 1 of 2 layers done."
    assert "one deconvolved" in viewer.layers, "what was learned is kept"
    assert "two deconvolved" not in viewer.layers


def test_each_result_is_judged_if_wanted(qtbot, viewer, pixels, queue):
    one = add(viewer, pixels, "one")
    queue.judge_box.value = True
    queue.start()
    wait_for_end(qtbot, queue)
    judged = ViewerState.of(viewer).judged(one)
    assert judged.model is ViewerState.of(viewer).model
    assert judged.verdict.headline() in texts(queue)[0]
    record = RunRecord.from_dict(viewer.layers["one deconvolved"].metadata["zsdeconvnet"])
    assert record.verdict.measures == judged.verdict.measures


def test_models_go_where_the_preferences_say(qtbot, viewer, pixels, queue, monkeypatch, tmp_path):
    monkeypatch.setattr(preferences, "models_folder", lambda: tmp_path / "models")
    add(viewer, pixels, "one cell")
    queue.start()
    wait_for_end(qtbot, queue)
    qtbot.waitUntil(lambda: len(list((tmp_path / "models").glob("*"))) == 1, timeout=LONG)
    (path,) = (tmp_path / "models").iterdir()
    assert path.name.startswith("one_cell_")


def test_raw_sim_frames_are_done_as_such_once_that_is_confirmed(qtbot, viewer, queue):
    sample = simulate_sim("mesh", shape=(96, 96), photons=300, seed=3)
    viewer.add_image(
        sample.raw, name="frames", scale=(1, PIXEL, PIXEL), units=("pixel", "um", "um"),
        metadata=metadata(),
    )  # fmt: skip
    queue.start()
    qtbot.waitUntil(lambda: queue.asking or not queue.running, timeout=LONG)
    assert queue.form.sim_box.value
    queue.form.boxes["na"].value = 1.41
    queue.start_button.click()
    wait_for_end(qtbot, queue)
    assert queue.failures == {}
    assert viewer.layers["frames deconvolved"].data.shape == (192, 192)
    record = RunRecord.from_dict(viewer.layers["frames deconvolved"].metadata["zsdeconvnet"])
    assert record.reconstruction is not None
